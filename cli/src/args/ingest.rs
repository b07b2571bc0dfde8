//! `flame ingest`.

use std::path::PathBuf;

use clap::ArgGroup;

use super::chain;

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("what").required(true).args(["sources", "manifest"]))]
pub struct Ingest {
    /// Files, and http(s) URLs that the service pulls
    #[arg(value_name = "FILE|URL")]
    pub sources: Vec<String>,
    /// A CSV or NDJSON file that lists many: path (or URL), title, chain, subtitles (de:film.de.srt;en:film.en.vtt)
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
    /// Title [default: the file's name]
    #[arg(long, conflicts_with = "manifest")]
    pub title: Option<String>,
    /// Chain to run on arrival: a name (`flame chain list`), the file of a document, or `none`
    #[arg(long, value_name = "NAME|FILE", default_value = "ladder")]
    pub chain: String,
    /// A value for a parameter of the chain, `--set crf=30`, or of a stage, `--set video.preset=slow`
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = chain::setting, conflicts_with = "manifest")]
    pub set: Vec<(String, String)>,
    /// Return once the job is queued instead of waiting until it has ended
    #[arg(long)]
    pub no_wait: bool,
}
