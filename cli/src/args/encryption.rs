//! What can be said to `flame asset encrypt`.

use flame_api::metadata::Encryption;
use uuid::Uuid;

use crate::connection;

#[derive(Debug, clap::Args)]
pub struct Encrypt {
    #[arg(required = true, value_parser = connection::id, help = "Their identifiers")]
    pub ids: Vec<Uuid>,
    /// Whole segments, or the samples in them
    #[arg(long, value_enum, default_value_t = Method::Aes128)]
    pub method: Method,
    /// Send them in the clear again
    #[arg(long, conflicts_with = "method")]
    pub off: bool,
}

/// How media is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Method {
    /// Each segment as a whole
    #[value(name = "aes-128")]
    Aes128,
    /// The samples: cbcs in fragmented MP4
    #[value(name = "sample-aes")]
    SampleAes,
}

// === impl Encrypt ===

impl Encrypt {
    /// What is to be set.
    pub fn encryption(&self) -> Option<Encryption> {
        (!self.off).then_some(self.method.encryption())
    }
}

// === impl Method ===

impl Method {
    pub fn encryption(self) -> Encryption {
        match self {
            Self::Aes128 => Encryption::Aes128,
            Self::SampleAes => Encryption::SampleAes,
        }
    }
}
