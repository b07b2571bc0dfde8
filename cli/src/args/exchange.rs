//! Arguments of `flame asset export` and `flame asset import`.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

#[derive(Debug, clap::Args)]
pub struct Export {
    /// Only assets with these words in title or file name
    pub words: Vec<String>,
    /// Only assets that this wants: 'record.keywords = sea'
    #[arg(long, value_name = "FILTER")]
    pub filter: Option<String>,
    /// ndjson: all that the catalogue knows; jsonld: schema.org; csv: a manifest for spreadsheets
    #[arg(long, value_enum, default_value_t = Form::Ndjson)]
    pub format: Form,
    /// Where to (default: standard output)
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct Import {
    /// NDJSON, schema.org JSON-LD or CSV, such as `flame asset export` writes
    pub file: PathBuf,
    /// Its form, where its name does not say it
    #[arg(long, value_enum)]
    pub format: Option<Form>,
    /// Enter assets that the catalogue has not as they were exported (NDJSON), protection, encryption, sounds and
    /// subtitles included: their objects are in the store already
    #[arg(long)]
    pub register: bool,
    /// The chain for files and URLs that are brought in, or `none`
    #[arg(long, default_value = "ladder")]
    pub chain: String,
}

/// Forms of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    Ndjson,
    Jsonld,
    Csv,
}

// === impl Form ===

impl Form {
    /// What a file's name says.
    pub fn of(file: &Path) -> Option<Self> {
        match file.extension()?.to_str()? {
            "ndjson" | "jsonl" => Some(Self::Ndjson),
            "jsonld" | "json" => Some(Self::Jsonld),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }
}
