//! From a document to a chain: every stage known, every value within its bounds, a graph without circles in which
//! each stage is fed with what it takes and every track is packaged.

mod given;
mod graph;
mod work;

use std::collections::BTreeMap;

use crate::chain::{Chain, Parameter, Stage};
use crate::document::{self, DocumentError, Key, Node, Place, Value};
use crate::nearest::hint;
use crate::setting::{self, Setting};
use crate::table::{self, StageType};

/// Stages of a chain.
pub const STAGES_MAX: usize = 32;
/// Parameters of a chain.
pub const PARAMETERS_MAX: usize = 32;
/// Longest name of a chain, a stage or a parameter, bytes.
pub const NAME_MAX_BYTES: usize = 64;
/// Longest text for people, characters.
pub const ABOUT_MAX_CHARS: usize = 1000;

/// A stage as it is written.
struct Written {
    name: String,
    place: Place,
    kind: &'static StageType,
    inputs: Vec<(String, Place)>,
    settings: BTreeMap<&'static str, (Setting, Place)>,
}

/// Reads and checks a document. `set` gives parameters other values than the document does: those of the chain by their names, and
/// those of a stage as `stage.parameter`.
///
/// # Errors
/// The first thing that is wrong, with its place. What is wrong with `set` is said of the place of the parameters.
pub fn read(text: &str, set: &BTreeMap<String, String>) -> Result<Chain, DocumentError> {
    let node = document::parse(text)?;
    let top = node.map("a chain")?;
    known_keys("a chain", top, &["chain", "about", "parameters", "stages"])?;
    let name_node = needed(&node, top, "chain")?;
    let name = name_of(name_node.text("`chain`, the name,")?, name_node.place)?;
    let about = about(top)?;
    given::bounded(set, node.place)?;
    let parameters = parameters(top, set, node.place)?;
    let stages = needed(&node, top, "stages")?;
    let written = stages.map("`stages`")?;
    if written.is_empty() || written.len() > STAGES_MAX {
        return Err(stages.wrong(format!("a chain has 1 to {STAGES_MAX} stages, this one has {}", written.len())));
    }
    let mut used = Vec::new();
    let written = written.iter().map(|(key, node)| stage(key, node, &parameters, set, &mut used));
    let written = written.collect::<Result<Vec<_>, _>>()?;
    given::check(set, &written, stages.place)?;
    if let Some(unused) = parameters.iter().find(|parameter| !used.contains(&parameter.name)) {
        let reason = format!("no stage uses the parameter `{0}`: write `${{{0}}}` where it is meant", unused.name);
        return Err(unused.place.wrong(reason));
    }
    let order = graph::check(&written, stages.place)?;
    let mut made = Vec::with_capacity(written.len());
    for at in order {
        let Written { name, place, kind, inputs, settings } = &written[at];
        let work = work::of(kind, settings, *place)?;
        let inputs = inputs.iter().map(|(input, _)| input.clone()).collect();
        made.push(Stage { name: name.clone(), word: kind.word, inputs, work });
    }
    let parameters =
        parameters.into_iter().map(|it| Parameter { name: it.name, about: it.about, value: shown(&it.value) });
    let chain = Chain { name, about, parameters: parameters.collect(), stages: made };
    graph::check_pictures(&chain, &written)?;
    Ok(chain)
}

/// A parameter, declared and perhaps set.
struct Declared {
    name: String,
    about: String,
    place: Place,
    value: Node,
}

fn parameters(
    top: &[(Key, Node)],
    set: &BTreeMap<String, String>,
    place: Place,
) -> Result<Vec<Declared>, DocumentError> {
    let mut declared = Vec::new();
    let node = top.iter().find(|(key, _)| key.word == "parameters").map(|(_, node)| node);
    let entries = node.map_or(Ok(&[][..]), |node| node.map("`parameters`"))?;
    for (key, node) in entries {
        let name = name_of(&key.word, key.place)?;
        let keys = node.map(&format!("parameter `{name}`"))?;
        known_keys("a parameter", keys, &["default", "about"])?;
        let default = needed(node, keys, "default")?;
        let set = set.get(&name).map(|text| Node { place: default.place, value: Value::Scalar(text.clone()) });
        declared.push(Declared {
            name,
            about: about(keys)?,
            place: key.place,
            value: set.unwrap_or_else(|| default.clone()),
        });
    }
    if declared.len() > PARAMETERS_MAX {
        return Err(place.wrong(format!("a chain has at most {PARAMETERS_MAX} parameters")));
    }
    let names = || declared.iter().map(|parameter| parameter.name.as_str());
    // Those with a dot are of stages.
    match set.keys().find(|key| !key.contains('.') && !names().any(|name| name == key.as_str())) {
        Some(unknown) => {
            let at = node.map_or(place, |node| node.place);
            Err(at.wrong(format!("the chain has no parameter `{unknown}`: {}", hint(unknown, names()))))
        }
        None => Ok(declared),
    }
}

fn stage(
    key: &Key,
    node: &Node,
    parameters: &[Declared],
    set: &BTreeMap<String, String>,
    used: &mut Vec<String>,
) -> Result<Written, DocumentError> {
    let name = name_of(&key.word, key.place)?;
    let keys = node.map(&format!("stage `{name}`"))?;
    let type_node = needed_in(&format!("stage `{name}`"), key.place, keys, "type")?;
    let word = type_node.text("`type`")?;
    let kind = table::stage(word).ok_or_else(|| {
        let words = hint(word, table::STAGES.iter().map(|stage| stage.word));
        type_node.wrong(format!("there is no stage of type `{word}`: {words}"))
    })?;
    let words = ["type"].into_iter().chain((kind.inputs_max > 0).then_some("input"));
    let words: Vec<&str> = words.chain(kind.parameters.iter().map(|parameter| parameter.word)).collect();
    known_keys(&format!("`{word}`"), keys, &words)?;
    let mut settings = BTreeMap::new();
    for parameter in kind.parameters {
        let written = keys.iter().find(|(key, _)| key.word == parameter.word).map(|(_, node)| node);
        let place = written.map_or(key.place, |node| node.place);
        // Also what is not taken for it is used by the document.
        let written = written.map(|node| resolved(node, parameters, used)).transpose()?;
        let node = match (given::value(set, &name, parameter.word, place), written, parameter.default) {
            (Some(given), _, _) => given?,
            (None, Some(node), _) => node,
            (None, None, Some(default)) => Node { place, value: Value::Scalar(default.to_owned()) },
            (None, None, None) => return Err(key.place.wrong(format!("stage `{name}` needs `{}`", parameter.word))),
        };
        settings.insert(parameter.word, (setting::read(parameter, &node)?, node.place));
    }
    let inputs = match keys.iter().find(|(key, _)| key.word == "input").map(|(_, node)| node) {
        None if kind.inputs_max > 0 => {
            return Err(key.place.wrong(format!("stage `{name}` needs `input`: the stage that feeds it")));
        }
        None => Vec::new(),
        Some(node) => match &node.value {
            Value::List(items) => items
                .iter()
                .map(|item| Ok((item.text("an input")?.to_owned(), item.place)))
                .collect::<Result<_, _>>()?,
            Value::Empty | Value::Scalar(_) | Value::Map(_) => vec![(node.text("`input`")?.to_owned(), node.place)],
        },
    };
    Ok(Written { name, place: key.place, kind, inputs, settings })
}

/// The node, or the value of the parameter that it names: `${crf}`. Also within a list.
fn resolved(node: &Node, parameters: &[Declared], used: &mut Vec<String>) -> Result<Node, DocumentError> {
    match &node.value {
        Value::Scalar(text) => {
            let Some(name) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) else {
                return Ok(node.clone());
            };
            let found = parameters.iter().find(|parameter| parameter.name == name).ok_or_else(|| {
                let names = hint(name, parameters.iter().map(|parameter| parameter.name.as_str()));
                node.wrong(format!("the chain has no parameter `{name}`: {names}"))
            })?;
            used.push(found.name.clone());
            Ok(Node { place: found.value.place, value: found.value.value.clone() })
        }
        Value::List(items) => {
            let items = items.iter().map(|item| resolved(item, parameters, used)).collect::<Result<_, _>>()?;
            Ok(Node { place: node.place, value: Value::List(items) })
        }
        Value::Empty | Value::Map(_) => Ok(node.clone()),
    }
}

fn shown(node: &Node) -> String {
    match &node.value {
        Value::Scalar(text) => text.clone(),
        Value::List(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        Value::Empty | Value::Map(_) => String::new(),
    }
}

fn about(entries: &[(Key, Node)]) -> Result<String, DocumentError> {
    let Some((_, node)) = entries.iter().find(|(key, _)| key.word == "about") else { return Ok(String::new()) };
    let text = node.text("`about`")?;
    if text.chars().count() > ABOUT_MAX_CHARS {
        return Err(node.wrong(format!("`about` has at most {ABOUT_MAX_CHARS} characters")));
    }
    Ok(text.trim().to_owned())
}

fn known_keys(what: &str, entries: &[(Key, Node)], words: &[&str]) -> Result<(), DocumentError> {
    match entries.iter().find(|(key, _)| !words.contains(&key.word.as_str())) {
        Some((key, _)) => {
            let hint = hint(&key.word, words.iter().copied());
            Err(key.place.wrong(format!("{what} has no `{}`: {hint}", key.word)))
        }
        None => Ok(()),
    }
}

fn needed<'a>(of: &Node, entries: &'a [(Key, Node)], word: &str) -> Result<&'a Node, DocumentError> {
    needed_in("this", of.place, entries, word)
}

fn needed_in<'a>(what: &str, place: Place, entries: &'a [(Key, Node)], word: &str) -> Result<&'a Node, DocumentError> {
    let found = entries.iter().find(|(key, _)| key.word == word);
    found.map(|(_, node)| node).ok_or_else(|| place.wrong(format!("{what} needs `{word}`")))
}

/// Names become parts of paths and messages.
fn name_of(text: &str, place: Place) -> Result<String, DocumentError> {
    let is_plain = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || matches!(it, '-' | '_');
    let is_name = text.starts_with(|it: char| it.is_ascii_lowercase()) && text.chars().all(is_plain);
    if is_name && text.len() <= NAME_MAX_BYTES && text != "none" {
        return Ok(text.to_owned());
    }
    let reason = format!(
        "`{text}` is no name: a lower-case letter, then such letters, digits, `-` and `_`, at most {NAME_MAX_BYTES}; not `none`"
    );
    Err(place.wrong(reason))
}

#[cfg(test)]
mod tests;
