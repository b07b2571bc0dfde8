//! What `flame chain` is told.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, clap::Args)]
pub struct Chain {
    #[command(subcommand)]
    pub command: ChainCommand,
}

#[derive(Debug, Subcommand)]
pub enum ChainCommand {
    /// List the chains that can be run by name
    List,
    /// The document of one, its stages and what can be set
    Show {
        /// Its name
        name: String,
    },
    /// Check a document: status 2 and the place of the first mistake if it is wrong
    Validate {
        /// The document, YAML or JSON
        file: PathBuf,
        /// A value for one of its parameters, `--set crf=30`, or of a stage's, `--set video.preset=slow`
        #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
        set: Vec<(String, String)>,
    },
    /// Run one on a file, which is uploaded, or on an asset that is there, and follow it to its end; status 1 if it fails
    Run {
        /// A file, an http(s) URL that the service pulls, or an asset's identifier
        #[arg(value_name = "FILE|ASSET")]
        source: String,
        /// The chain: a name (`flame chain list`), or the file of a document
        #[arg(long, value_name = "NAME|FILE")]
        chain: String,
        /// A value for one of its parameters, `--set crf=30`, or of a stage's, `--set video.preset=slow`
        #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
        set: Vec<(String, String)>,
    },
    /// The encoders that documents can name, and which of them are installed where media is encoded
    Encoders,
    /// The JSON Schema of documents, for editors
    Schema,
}

/// `NAME=VALUE`.
pub fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("write NAME=VALUE, as in crf=30".to_owned()),
    }
}
