//! What can go wrong with work in a child, by what the caller does about it.

use std::{path::PathBuf, time::Duration};

use thiserror::Error;

/// A request that was not carried out.
#[derive(Debug, Error)]
pub enum ChildError {
    /// The input cannot be used: trying again is useless. The reason is for the one who brought the file.
    #[error("{reason}")]
    Input {
        /// In people's words.
        reason: String,
    },
    /// Disk, memory or an installation is at fault: trying again may help.
    #[error("{reason}")]
    Environment {
        /// In people's words.
        reason: String,
    },
    /// The child died in the middle of the work.
    #[error("the media process died{}{}", describe_end(*.signal, *.status), describe_words(.stderr))]
    Crashed {
        /// The signal that killed it, if one did.
        signal: Option<i32>,
        /// Its exit status, if it exited.
        status: Option<i32>,
        /// The last lines that it wrote to standard error.
        stderr: Vec<String>,
    },
    /// The work took longer than the caller allowed; the child was killed.
    #[error("the media process was stopped after {} s, the time allowed", .after.as_secs())]
    TimedOut {
        /// What was allowed.
        after: Duration,
    },
    /// The child held more memory than its share; it was killed.
    #[error("the media process was stopped because it held more than {} MiB of memory, its share", .limit_bytes >> 20)]
    TooMuchMemory {
        /// Its share.
        limit_bytes: u64,
    },
    /// The caller cancelled; the child was killed.
    #[error("cancelled")]
    Cancelled,
    /// The program is not there.
    #[error("the program flame-media was not found at {}: build it, or set FLAME_MEDIA", .program.display())]
    NotFound {
        /// Where it was looked for.
        program: PathBuf,
    },
    /// The program cannot be started.
    #[error("cannot start {}", .program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The child said what is not in the protocol, or another version of it; it was killed.
    #[error("the media process broke the protocol: {what}")]
    Protocol {
        /// What it did.
        what: String,
    },
}

// === impl ChildError ===

impl ChildError {
    /// Whether the same request may succeed at another time.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        match self {
            Self::Input { .. } | Self::Cancelled => false,
            Self::Environment { .. }
            | Self::Crashed { .. }
            | Self::TimedOut { .. }
            | Self::TooMuchMemory { .. }
            | Self::NotFound { .. }
            | Self::Start { .. }
            | Self::Protocol { .. } => true,
        }
    }
}

fn describe_end(signal: Option<i32>, status: Option<i32>) -> String {
    match (signal, status) {
        (Some(signal), _) => format!(" of signal {signal}"),
        (None, Some(status)) => format!(" with status {status}"),
        (None, None) => String::new(),
    }
}

fn describe_words(stderr: &[String]) -> String {
    stderr.last().map(|line| format!("; its last words: {line}")).unwrap_or_default()
}
