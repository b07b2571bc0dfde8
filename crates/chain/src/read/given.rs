//! Values that whoever runs a chain gives to its stages, instead of what the document says: `video.preset=slow`.
//!
//! The document stays as it is: a value stands where that of the document would, and is checked as that would be. Only parameters of
//! stages can be given, neither their types nor what feeds them.

use std::collections::BTreeMap;

use super::{PARAMETERS_MAX, Written};
use crate::document::{self, DocumentError, Node, Place, Value};
use crate::nearest::hint;

/// Longest value that is given, bytes; of parameters of the chain as well.
pub const GIVEN_MAX_BYTES: usize = 1024;

/// Refuses values that are too long, before anything looks at them.
pub(super) fn bounded(set: &BTreeMap<String, String>, place: Place) -> Result<(), DocumentError> {
    match set.iter().find(|(_, value)| value.len() > GIVEN_MAX_BYTES) {
        None => Ok(()),
        Some((name, _)) => {
            let reason = format!("the value that is given for `{name}` has more than {GIVEN_MAX_BYTES} bytes");
            Err(place.wrong(reason))
        }
    }
}

/// Refuses values that nothing takes. `place` is where the stages stand.
pub(super) fn check(set: &BTreeMap<String, String>, stages: &[Written], place: Place) -> Result<(), DocumentError> {
    let given = set.keys().filter_map(|name| name.split_once('.'));
    if given.clone().count() > PARAMETERS_MAX {
        return Err(place.wrong(format!("at most {PARAMETERS_MAX} parameters of stages can be given")));
    }
    for (stage, word) in given {
        let Some(found) = stages.iter().find(|other| other.name == stage) else {
            let names = hint(stage, stages.iter().map(|stage| stage.name.as_str()));
            return Err(place.wrong(format!("the chain has no stage `{stage}` that could be given `{word}`: {names}")));
        };
        if !found.kind.parameters.iter().any(|parameter| parameter.word == word) {
            let words = hint(word, found.kind.parameters.iter().map(|parameter| parameter.word));
            let kind = found.kind.word;
            return Err(found.place.wrong(format!("stage `{stage}` ({kind}) has no parameter `{word}`: {words}")));
        }
    }
    Ok(())
}

/// What is given to the parameter `word` of `stage`, as if it stood at `place`; a list is written `[720, 360]`. (Sizes are
/// split at commas as well, where they are read.)
pub(super) fn value(
    set: &BTreeMap<String, String>,
    stage: &str,
    word: &str,
    place: Place,
) -> Option<Result<Node, DocumentError>> {
    let text = set.get(&format!("{stage}.{word}"))?;
    if !text.starts_with('[') {
        return Some(Ok(Node { place, value: Value::Scalar(text.clone()) }));
    }
    let here = |node: Node| Node { place, ..node };
    Some(match document::parse(text) {
        Ok(Node { value: Value::List(items), .. }) => {
            Ok(Node { place, value: Value::List(items.into_iter().map(here).collect()) })
        }
        Ok(_) => Err(place.wrong(format!("`{text}`, given for `{stage}.{word}`, is no list"))),
        Err(error) => Err(place.wrong(format!("`{text}`, given for `{stage}.{word}`, is no list: {}", error.reason))),
    })
}
