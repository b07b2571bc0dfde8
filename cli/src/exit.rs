//! How a command ends: with a status that programs can act on and a sentence that people can.

use std::process::ExitCode;

use flame_api::ClientError;

use crate::connection;
use crate::upload::Refused;

/// Why a command did not end well.
#[derive(Debug)]
pub struct Exit {
    status: Status,
    error: anyhow::Error,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    /// The thing that was checked failed.
    Failed = 1,
    /// The command line or a document is wrong, whether it is found out here or by the service that is asked.
    Usage = 2,
    /// It could not be carried out.
    NotCarriedOut = 3,
}

// === impl Exit ===

impl Exit {
    /// Status 1: the thing that was checked failed.
    pub fn failed(error: impl Into<anyhow::Error>) -> Self {
        Self { status: Status::Failed, error: error.into() }
    }

    /// Status 2: the command line or a document is wrong.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self { status: Status::Usage, error: error.into() }
    }

    /// Status 3: it could not be carried out.
    pub fn not_carried_out(error: impl Into<anyhow::Error>) -> Self {
        Self { status: Status::NotCarriedOut, error: error.into() }
    }

    /// The error and its causes in one line.
    pub fn message(&self) -> String {
        format!("{:#}", self.error)
    }

    /// Whether an error of one entry of many is one of all of them: nobody answers, or the caller is not known.
    pub fn is_of_all(error: &anyhow::Error) -> bool {
        let is_unheard = error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect);
        let is_unknown = error.downcast_ref::<Refused>().is_some_and(|refused| refused.status == 401);
        match error.downcast_ref::<ClientError>() {
            Some(ClientError::Unreachable { .. }) => true,
            Some(ClientError::Refused { problem, .. }) => problem.status == 401,
            Some(ClientError::Malformed { .. }) | None => is_unheard || is_unknown,
        }
    }

    /// Prints the error with its causes.
    pub fn report(&self) -> ExitCode {
        eprintln!("flame: {}", self.message());
        ExitCode::from(self.status as u8)
    }
}

/// Whatever `?` meets is something that could not be carried out, unless a service refused it: what cannot be asked so (400,
/// 422) is wrong usage or a wrong document, any other refusal the failure of what was asked for. The rest is said expressly.
impl From<anyhow::Error> for Exit {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<ClientError>() {
            Ok(refusal) => refusal.into(),
            Err(error) => Self::not_carried_out(error),
        }
    }
}

impl From<std::io::Error> for Exit {
    fn from(error: std::io::Error) -> Self {
        Self::not_carried_out(error)
    }
}

impl From<ClientError> for Exit {
    fn from(error: ClientError) -> Self {
        let hint = match &error {
            ClientError::Unreachable { url, source, .. } => {
                let router = url.split("/~").next().and_then(|router| router.parse().ok());
                return match router {
                    Some(router) => Self::not_carried_out(connection::no_answer(&router, source)),
                    None => Self::not_carried_out(error),
                };
            }
            ClientError::Refused { problem, .. } if problem.status == 401 => "pass a token with --token or FLAME_TOKEN",
            // The service says it better, in one sentence and without the URL.
            ClientError::Refused { problem, .. } if matches!(problem.status, 400 | 422) => {
                return Self::usage(anyhow::anyhow!("{}: {}", problem.title, problem.detail));
            }
            ClientError::Refused { problem, .. } if (400..500).contains(&problem.status) => {
                return Self::failed(anyhow::anyhow!("{}: {}", problem.title, problem.detail));
            }
            ClientError::Refused { .. } | ClientError::Malformed { .. } => return Self::not_carried_out(error),
        };
        Self::not_carried_out(anyhow::Error::new(error).context(hint))
    }
}
