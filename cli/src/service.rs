//! `flame service`: whether a service function of somebody's own keeps the contract of docs/own-service.md, clause by clause.
//!
//! It asks as a router does, and as clients behave that are slow or rude. It changes nothing, but for `--drain`, which ends the function.

mod clauses;

use anyhow::anyhow;
use serde::Serialize;

use crate::args::{self, Global, ServiceCommand};
use crate::exit::Exit;
use crate::{connection, output};

/// What became of a clause.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// Its heading in docs/own-service.md.
    clause: &'static str,
    /// Whether it is kept; nothing where it was not looked at.
    keeps: Option<bool>,
    /// What was seen, or what to do to have it looked at.
    seen: String,
}

/// What is checked.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Where it listens.
    pub address: String,
    /// The name that it is behind, if it was named so.
    pub name: Option<String>,
    /// A path that it answers with 200.
    pub path: String,
    /// What answers 2xx once it serves.
    pub ready: Option<String>,
    /// Its process, if it may be ended.
    pub drain: Option<u32>,
}

pub async fn run(global: &Global, args: args::Service) -> Result<(), Exit> {
    let ServiceCommand::Check { address, path, ready, drain } = args.command;
    let client = connection::client(global);
    let (address, name) = if address.contains(':') {
        let address = address.trim_start_matches("http://").trim_end_matches('/').to_owned();
        (address, None)
    } else {
        let found = client.endpoints().await?.items.into_iter().find(|one| one.name == address);
        let found = found.ok_or_else(|| {
            Exit::failed(anyhow!("nothing is behind the name `{address}`; `flame endpoint list` shows what is"))
        })?;
        (found.address.to_string(), Some(address))
    };
    if !path.starts_with('/') || ready.as_ref().is_some_and(|path| !path.starts_with('/')) {
        return Err(Exit::usage(anyhow!("paths begin with `/`")));
    }
    let subject = Subject { address, name, path, ready, drain };
    let findings = clauses::check(&client, &subject).await;
    let failed: Vec<&str> = findings.iter().filter(|one| one.keeps == Some(false)).map(|one| one.clause).collect();
    if global.json {
        output::print_json(&serde_json::json!({ "keeps": failed.is_empty(), "clauses": findings }))?;
    } else {
        let mut table = output::table(&["clause", "kept", "seen"]);
        for one in &findings {
            let kept = match one.keeps {
                Some(true) => "yes",
                Some(false) => "NO",
                None => "not looked at",
            };
            table.add_row([one.clause.to_owned(), kept.to_owned(), one.seen.clone()]);
        }
        output::wrap_only(&mut table, 2);
        output::print_line(&table.trim_fmt())?;
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(Exit::failed(anyhow!("not kept: {}; docs/own-service.md says what each asks for", failed.join(", "))))
}

// === impl Finding ===

impl Finding {
    pub fn of(clause: &'static str, outcome: Result<String, String>) -> Self {
        match outcome {
            Ok(seen) => Self { clause, keeps: Some(true), seen },
            Err(seen) => Self { clause, keeps: Some(false), seen },
        }
    }

    pub fn unseen(clause: &'static str, why: &str) -> Self {
        Self { clause, keeps: None, seen: why.to_owned() }
    }
}
