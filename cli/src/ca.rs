//! `flame ca`: the local certificate authority beside the data folder, because whoever can read its key may sign anyway.
//!
//! It makes the authority and tokens to join; certificates are given by the router that holds it.

use std::time::Duration;

use anyhow::{Context, anyhow};
use flame_credentials::{Issuer, IssuerError, JoinToken, Role, Standing};
use flame_service_host::keys::unix_seconds;

use crate::args::{self, CaCommand, Global};
use crate::data;
use crate::exit::Exit;
use crate::output;

/// The folder of the authority inside a data folder.
pub const FOLDER: &str = "ca";
/// Longest life of a join token.
pub const TTL_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

pub fn run(global: &Global, args: &args::Ca) -> Result<(), Exit> {
    match &args.command {
        CaCommand::Init { data } => {
            let folder = data::folder(data.as_deref())?.join(FOLDER);
            let issuer = Issuer::init(&folder).context("make the authority")?;
            let fingerprint = issuer.fingerprint().to_string();
            if global.json {
                return output::print_json(&serde_json::json!({ "folder": folder, "fingerprint": fingerprint }));
            }
            eprintln!("authority in {}: set it as `folder` in [issuer] of one router", folder.display());
            output::print_line(&fingerprint)
        }
        CaCommand::JoinToken { names, site, role, ttl, data } => {
            if ttl.0.as_secs() == 0 || ttl.0 > TTL_MAX {
                return Err(Exit::usage(anyhow!("a join token is good for between 1s and 7 days (168h)")));
            }
            if *role == Role::Router && !names.is_empty() {
                return Err(Exit::usage(anyhow!("a router stands behind no names: leave --name out")));
            }
            if *role == Role::Service && names.is_empty() {
                return Err(Exit::usage(anyhow!("say with --name which names the service may stand behind")));
            }
            let issuer = Issuer::open(&data::folder(data.as_deref())?.join(FOLDER)).map_err(absent)?;
            let standing = Standing { role: *role, site: site.clone(), names: names.iter().cloned().collect() };
            let end = unix_seconds().saturating_add(ttl.0.as_secs());
            let token = issuer.invite(&standing, ttl.0).context("make the token")?;
            if global.json {
                let (id, fingerprint) = (token.id(), issuer.fingerprint().to_string());
                return output::print_json(&serde_json::json!({
                    "token": token.to_string(), "id": id, "fingerprint": fingerprint, "standing": standing, "exp": end,
                }));
            }
            let end = i64::try_from(end).ok().and_then(|end| time::OffsetDateTime::from_unix_timestamp(end).ok());
            let end = end.map(output::moment).unwrap_or_default();
            eprintln!("join token {} for one {standing}, valid until {end}", token.id());
            output::print_line(&token.to_string())
        }
        CaCommand::TakeBack { token, data } => {
            let token = token.parse::<JoinToken>().map_err(Exit::usage)?;
            let issuer = Issuer::open(&data::folder(data.as_deref())?.join(FOLDER)).map_err(absent)?;
            if !issuer.take_back(&token).context("take the token back")? {
                return Err(Exit::not_carried_out(anyhow!("no join token {} is kept: it has ended", token.id())));
            }
            if global.json {
                return output::print_json(&serde_json::json!({ "taken_back": token.id() }));
            }
            output::print_line(&format!("taken back {}", token.id()))
        }
    }
}

fn absent(error: IssuerError) -> Exit {
    Exit::not_carried_out(anyhow::Error::new(error))
}
