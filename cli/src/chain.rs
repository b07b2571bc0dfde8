//! `flame chain`: what chains there are, and whether a document is one.
//!
//! Documents are read here, with their line and column, also where no service runs; only whether their encoders are
//! installed has to be asked.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, anyhow};
use flame_api::Client;
use flame_api::transcode::ChainCheck;
use flame_chain::document::DOCUMENT_MAX_BYTES;
use flame_chain::schema;

use crate::args::{self, ChainCommand, Global};
use crate::connection;
use crate::exit::Exit;
use crate::{job, output};

/// A chain that is to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// Its document, if it came from a file.
    pub document: Option<String>,
    /// Values for its parameters.
    pub parameters: BTreeMap<String, String>,
}

pub async fn run(global: &Global, args: args::Chain) -> Result<(), Exit> {
    let client = connection::client(global);
    match args.command {
        ChainCommand::List => list(global, &client).await,
        ChainCommand::Show { name } => show(global, &client, &name).await,
        ChainCommand::Validate { file, set } => validate(global, &client, &file, set).await,
        ChainCommand::Run { source, chain, set } => run_on(global, &client, source, chain, set).await,
        ChainCommand::Encoders => encoders(global, &client).await,
        ChainCommand::Schema => output::print_line(schema::text().trim_end()),
    }
}

async fn list(global: &Global, client: &Client) -> Result<(), Exit> {
    let chains = client.chains().await?.items;
    if global.json {
        return output::print_json(&chains);
    }
    let mut table = output::table(&["chain", "can be set", "what it does"]);
    for chain in chains {
        let set: Vec<_> = chain.parameters.iter().map(|it| format!("{}={}", it.name, it.value)).collect();
        table.add_row([chain.name, set.join(" "), chain.description]);
    }
    output::wrap_only(&mut table, 2);
    output::print_line(&table.trim_fmt())
}

async fn show(global: &Global, client: &Client, name: &str) -> Result<(), Exit> {
    let chain = client.chain(name).await?;
    let chain =
        chain.ok_or_else(|| Exit::failed(anyhow!("there is no chain `{name}`; `flame chain list` names them")))?;
    if global.json {
        return output::print_json(&chain);
    }
    output::print_line(chain.document.trim_end())?;
    let mut table = output::table(&["stage", "type", "fed by", "gates"]);
    for stage in chain.stages {
        table.add_row([stage.name, stage.kind, stage.inputs.join(", "), stage.gates.join("; ")]);
    }
    output::print_line(&format!("\n{}", table.trim_fmt()))?;
    for parameter in chain.parameters {
        output::print_line(&format!("--set {}={}  {}", parameter.name, parameter.value, parameter.description))?;
    }
    Ok(())
}

async fn validate(global: &Global, client: &Client, file: &Path, set: Vec<(String, String)>) -> Result<(), Exit> {
    let (document, parameters) = (read_file(file).map_err(Exit::usage)?, set.into_iter().collect());
    let chain = read(file, &document, &parameters)?;
    let checked = client.check_chain(&ChainCheck { document, parameters }).await;
    match checked {
        Ok(detail) if global.json => return output::print_json(&detail),
        Ok(_) => {}
        // 422: an encoder that is not installed.
        Err(error) if error.status() == Some(422) => return Err(Exit::usage(anyhow!("{}: {error}", file.display()))),
        Err(error) => eprintln!("flame: whether the encoders are installed was not checked: {error}"),
    }
    let stages = chain.stages.len();
    output::print_line(&format!("{}: the chain `{}` is right; it has {stages} stages", file.display(), chain.name))
}

/// What is an identifier and no file is an asset; all else goes up first.
async fn run_on(
    global: &Global,
    client: &Client,
    source: String,
    chain: String,
    set: Vec<(String, String)>,
) -> Result<(), Exit> {
    match source.parse() {
        Ok(id) if !Path::new(&source).exists() => {
            let queued = job::queue(client, id, wanted(&chain, &set)?).await?;
            job::watch(global, client, queued.id).await
        }
        _ => {
            let args = args::Ingest { sources: vec![source], manifest: None, title: None, chain, set, no_wait: false };
            crate::ingest::run(global, args).await
        }
    }
}

async fn encoders(global: &Global, client: &Client) -> Result<(), Exit> {
    let encoders = client.encoders().await?.items;
    if global.json {
        return output::print_json(&encoders);
    }
    let mut table = output::table(&["encoder", "makes", "installed", "element", "package"]);
    for encoder in encoders {
        let installed = if encoder.installed { "yes" } else { "no" };
        table.add_row([encoder.name, encoder.codec, installed.to_owned(), encoder.element, encoder.package]);
    }
    output::print_line(&table.trim_fmt())
}

/// What `--chain NAME|FILE` and `--set` mean. What is a file, or looks like one, is read and checked at once.
pub fn wanted(chain: &str, set: &[(String, String)]) -> Result<Wanted, Exit> {
    let parameters: BTreeMap<String, String> = set.iter().cloned().collect();
    let path = Path::new(chain);
    if !chain.contains(['/', '.']) && !path.is_file() {
        return Ok(Wanted { name: chain.to_owned(), document: None, parameters });
    }
    let document = read_file(path).map_err(Exit::usage)?;
    let name = read(path, &document, &parameters)?.name;
    Ok(Wanted { name, document: Some(document), parameters })
}

fn read_file(path: &Path) -> anyhow::Result<String> {
    let size_bytes = std::fs::metadata(path).with_context(|| format!("open {}", path.display()))?.len();
    anyhow::ensure!(
        size_bytes <= DOCUMENT_MAX_BYTES as u64,
        "{} has more than {DOCUMENT_MAX_BYTES} bytes",
        path.display()
    );
    std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

fn read(path: &Path, document: &str, parameters: &BTreeMap<String, String>) -> Result<flame_chain::Chain, Exit> {
    flame_chain::read(document, parameters)
        .map_err(|error| Exit::usage(anyhow!("{}:{}:{}: {}", path.display(), error.line, error.column, error.reason)))
}
