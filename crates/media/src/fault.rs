//! Why a piece of media work cannot be done, in words that a person who uploaded the file understands.
//!
//! There are two cases because callers do two things: give up, or try again. Library error codes never
//! leave this crate except inside the text.

use flame_media_child::protocol::Fault;
use thiserror::Error;

/// A failure of media work.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MediaError {
    /// The input cannot be used; another try gives the same.
    #[error("{0}")]
    Input(String),
    /// The machine, an installation or a disk is at fault; another try may succeed.
    #[error("{0}")]
    Environment(String),
}

// === impl MediaError ===

impl MediaError {
    /// The input's fault.
    pub fn input(reason: impl Into<String>) -> Self {
        Self::Input(reason.into())
    }

    /// The environment's fault.
    pub fn environment(reason: impl Into<String>) -> Self {
        Self::Environment(reason.into())
    }

    /// Whose fault it is, as the protocol says it.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Input(_) => Fault::Input,
            Self::Environment(_) => Fault::Environment,
        }
    }
}
