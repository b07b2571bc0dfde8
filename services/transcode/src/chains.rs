//! Which chain a job runs: one that comes with the program, or the document that the job brings. Pure.

use std::collections::BTreeMap;

use flame_api::transcode::{Chain as Listed, ChainDetail, ChainParameter, ChainStage};
use flame_chain::chain::{Chain, Parameter};
use flame_chain::{DocumentError, shipped};
use thiserror::Error;

/// A job whose chain cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChainError {
    /// There is none of that name.
    #[error("there is no chain `{name}`; there are {}", names())]
    Unknown {
        /// The name.
        name: String,
    },
    /// The document is wrong.
    #[error("{0}")]
    Document(#[from] DocumentError),
    /// The document gives itself another name.
    #[error("the document calls itself `{0}`")]
    OtherName(String),
    /// The document has a name that stands for another one.
    #[error("`{0}` is the name of a chain that comes with the program: give the document another one")]
    Taken(String),
}

/// The document of `name`, if it comes with the program.
#[must_use]
pub fn shipped_text(name: &str) -> Option<&'static str> {
    shipped::find(name).map(|shipped| shipped.text)
}

/// The chain of a job.
///
/// # Errors
/// [`ChainError`].
pub fn resolve(name: &str, document: Option<&str>, parameters: &BTreeMap<String, String>) -> Result<Chain, ChainError> {
    let Some(text) = document else {
        let text = shipped_text(name).ok_or_else(|| ChainError::Unknown { name: name.to_owned() })?;
        return Ok(flame_chain::read(text, parameters)?);
    };
    let chain = flame_chain::read(text, parameters)?;
    if chain.name != name {
        return Err(ChainError::OtherName(chain.name));
    }
    Ok(chain)
}

/// The chain of a job that is not yet queued: the name of one that comes with the program stands for nothing else.
///
/// # Errors
/// [`ChainError`].
pub fn resolve_new(
    name: &str,
    document: Option<&str>,
    parameters: &BTreeMap<String, String>,
) -> Result<Chain, ChainError> {
    let chain = resolve(name, document, parameters)?;
    match document {
        Some(text) if shipped_text(name).is_some_and(|shipped| shipped != text) => Err(ChainError::Taken(chain.name)),
        Some(_) | None => Ok(chain),
    }
}

/// Those that come with the program.
#[must_use]
pub fn list() -> Vec<Listed> {
    let listed = |chain: Chain| Listed {
        name: chain.name,
        description: chain.about,
        parameters: chain.parameters.into_iter().map(parameter).collect(),
    };
    shipped::chains().into_iter().map(listed).collect()
}

/// All that is said of a chain.
#[must_use]
pub fn detail(chain: Chain, document: String) -> ChainDetail {
    let stages = chain.stages.iter().map(|stage| ChainStage {
        name: stage.name.clone(),
        kind: stage.word.to_owned(),
        inputs: stage.inputs.clone(),
        gates: stage.gates().iter().map(ToString::to_string).collect(),
    });
    ChainDetail {
        stages: stages.collect(),
        name: chain.name,
        description: chain.about,
        parameters: chain.parameters.into_iter().map(parameter).collect(),
        document,
    }
}

fn parameter(parameter: Parameter) -> ChainParameter {
    ChainParameter { name: parameter.name, value: parameter.value, description: parameter.about }
}

fn names() -> String {
    shipped::ALL.map(|shipped| shipped.name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_run_under_its_own_name_only() {
        let none = BTreeMap::new();
        let text = shipped_text("proxy").unwrap();
        assert_eq!(resolve("proxy", None, &none).unwrap(), resolve("proxy", Some(text), &none).unwrap());
        let mine = text.replace("chain: proxy", "chain: mine");
        assert_eq!(resolve("mine", Some(&mine), &none).unwrap().name, "mine");
        assert_eq!(resolve("other", Some(&mine), &none), Err(ChainError::OtherName("mine".to_owned())));
        let changed = text.replace("default: 28", "default: 40");
        assert_eq!(resolve_new("proxy", Some(&changed), &none), Err(ChainError::Taken("proxy".to_owned())));
        // A job that an older release has queued.
        assert!(resolve("proxy", Some(&changed), &none).is_ok());
        let unknown = resolve("mine", None, &none).unwrap_err().to_string();
        assert!(unknown.contains("ladder, ladder-hevc, ladder-av1, proxy, audio-only"), "{unknown}");
    }
}
