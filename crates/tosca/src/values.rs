//! What stands in a property: numbers with units, texts that come from inputs and other properties, and whether a value is
//! what its type says.

use std::cell::Cell;
use std::collections::BTreeMap;

use crate::document::{DocumentError, Node, Place, Value};
use crate::types::{Constraint, Kind, Property};
use crate::words;

/// How far a value may be taken from another one.
const STEPS_MAX: usize = 16;
/// How much all values of a template may take to find out: nodes that are looked at, and bytes of text that are copied.
const WORK_MAX: usize = 1 << 20;
const FUNCTIONS: [&str; 3] = ["get_input", "get_property", "concat"];
const SIZES: [(&str, u64); 9] = [
    ("B", 1),
    ("kB", 1000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
];
const TIMES_MS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// The properties and capabilities of one node, as they were written, with defaults.
#[derive(Debug, Clone, Default)]
pub(crate) struct Written {
    pub properties: BTreeMap<String, Node>,
    pub host: BTreeMap<String, Node>,
}

/// The values of the inputs, and how much may still be done to find out what is taken from them.
#[derive(Debug)]
pub(crate) struct Inputs {
    pub values: BTreeMap<String, Node>,
    work_left: Cell<usize>,
}

/// What values may be taken from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub inputs: &'a Inputs,
    pub nodes: &'a BTreeMap<String, Written>,
    /// The node that `SELF` is.
    pub own: &'a str,
}

// === impl Inputs ===

impl Inputs {
    pub fn new(values: BTreeMap<String, Node>) -> Self {
        Self { values, work_left: Cell::new(WORK_MAX) }
    }
}

// === impl Scope ===

impl<'a> Scope<'a> {
    /// The value that `node` stands for.
    pub fn resolve(self, node: &Node) -> Result<Node, DocumentError> {
        self.step(node, STEPS_MAX)
    }

    fn step(self, node: &Node, left: usize) -> Result<Node, DocumentError> {
        if left == 0 {
            return Err(node.at.wrong("this value is taken from itself"));
        }
        self.pay(node)?;
        let value = match &node.value {
            Value::List(items) => {
                Value::List(items.iter().map(|item| self.step(item, left - 1)).collect::<Result<_, _>>()?)
            }
            Value::Map(entries) => match entries.as_slice() {
                [(function, argument)] if FUNCTIONS.contains(&function.text.as_str()) => {
                    let found: Node = match function.text.as_str() {
                        "get_input" => self.input(argument)?.clone(),
                        "get_property" => self.property(argument, left)?,
                        _ => self.concat(argument, left)?,
                    };
                    found.value
                }
                _ => {
                    let mut resolved = Vec::new();
                    for (key, value) in entries {
                        resolved.push((key.clone(), self.step(value, left - 1)?));
                    }
                    Value::Map(resolved)
                }
            },
            plain => plain.clone(),
        };
        // It has the place where it is used.
        Ok(Node { at: node.at, value })
    }

    fn pay(self, node: &Node) -> Result<(), DocumentError> {
        let cost = match &node.value {
            Value::Text(text) => 1 + text.len(),
            _ => 1,
        };
        let left = self.inputs.work_left.get().checked_sub(cost);
        let left = left.ok_or_else(|| node.at.wrong("too much is taken from other properties: write values out"))?;
        self.inputs.work_left.set(left);
        Ok(())
    }

    fn input(self, argument: &Node) -> Result<&'a Node, DocumentError> {
        let name = argument.text("get_input")?;
        self.inputs.values.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.inputs.values.keys().map(String::as_str).collect();
            argument.at.wrong(format!("there is no input `{name}`: {}", words::instead(name, &known)))
        })
    }

    fn property(self, argument: &Node, left: usize) -> Result<Node, DocumentError> {
        let path = argument.list("get_property")?.iter().map(|one| one.text("get_property"));
        let path: Vec<&str> = path.collect::<Result<_, _>>()?;
        let [node, rest @ ..] = path.as_slice() else {
            return Err(argument.at.wrong("get_property is a list: node and property"));
        };
        let own = if *node == "SELF" { self.own } else { node };
        let written = self.nodes.get(own).ok_or_else(|| {
            let known: Vec<&str> = self.nodes.keys().map(String::as_str).chain(["SELF"]).collect();
            argument.at.wrong(format!("there is no node `{own}`: {}", words::instead(own, &known)))
        })?;
        let (of, name, rest) = match rest {
            ["host", name, rest @ ..] => (&written.host, *name, rest),
            [name, rest @ ..] => (&written.properties, *name, rest),
            [] => return Err(argument.at.wrong("get_property is a list: node and property")),
        };
        let found = of.get(name).ok_or_else(|| {
            let known: Vec<&str> = of.keys().map(String::as_str).collect();
            argument.at.wrong(format!("`{own}` has no property `{name}`: {}", words::instead(name, &known)))
        })?;
        let mut found = Scope { own, ..self }.step(found, left - 1)?;
        for word in rest {
            let inner = match found.value {
                Value::Map(entries) => entries.into_iter().find(|(key, _)| key.text == *word).map(|(_, node)| node),
                Value::List(mut items) => {
                    word.parse::<usize>().ok().filter(|at| *at < items.len()).map(|at| items.swap_remove(at))
                }
                _ => None,
            };
            found = inner.ok_or_else(|| argument.at.wrong(format!("there is no `{word}` in `{name}` of `{own}`")))?;
        }
        Ok(found)
    }

    fn concat(self, argument: &Node, left: usize) -> Result<Node, DocumentError> {
        let mut text = String::new();
        for part in argument.list("concat")? {
            match self.step(part, left - 1)?.value {
                Value::Text(part) => text.push_str(&part),
                Value::Integer(part) => text.push_str(&part.to_string()),
                other => {
                    return Err(part.at.wrong(format!("concat takes texts and whole numbers, not {}", other.kind())));
                }
            }
        }
        Ok(Node { at: argument.at, value: Value::Text(text) })
    }
}

// === impl Property ===

impl Property {
    /// Whether a value is what the property says.
    pub(crate) fn check(&self, node: &Node) -> Result<(), DocumentError> {
        let what = format!("`{}`", self.name);
        fits(node, &self.kind, &what)?;
        self.constraints.iter().try_for_each(|constraint| meets(node, &self.kind, constraint, &what))
    }
}

fn fits(node: &Node, kind: &Kind, what: &str) -> Result<(), DocumentError> {
    let wrong = |wanted: &str| Err(node.at.wrong(format!("{what} is {wanted}, not {}", node.value.kind())));
    match (kind, &node.value) {
        (Kind::Text, _) => node.text(what).map(|_| ()),
        (Kind::Integer, Value::Integer(_)) | (Kind::Bool, Value::Bool(_)) => Ok(()),
        (Kind::Float, Value::Integer(_)) => Ok(()),
        (Kind::Float, Value::Float(number)) if number.is_finite() => Ok(()),
        (Kind::Size, _) => size_bytes(node).map(|_| ()),
        (Kind::Time, _) => time_ms(node).map(|_| ()),
        (Kind::List(entry), Value::List(items)) => items.iter().try_for_each(|item| fits(item, entry, what)),
        (Kind::Map(entry), Value::Map(entries)) => {
            entries.iter().try_for_each(|(key, value)| fits(value, entry, &format!("`{}`", key.text)))
        }
        (Kind::Integer, _) => wrong("a whole number"),
        (Kind::Float, _) => wrong("a number"),
        (Kind::Bool, _) => wrong("true or false"),
        (Kind::List(_), _) => wrong("a list"),
        (Kind::Map(_), _) => wrong("a map"),
    }
}

fn meets(node: &Node, kind: &Kind, constraint: &Constraint, what: &str) -> Result<(), DocumentError> {
    match constraint {
        Constraint::OneOf(values) => {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            node.one_of(what, &values).map(|_| ())
        }
        Constraint::InRange(from, to) => {
            #[allow(clippy::cast_precision_loss, reason = "bounds are small beside what a number can hold")]
            let number = match (kind, &node.value) {
                (Kind::Size, _) => size_bytes(node)? as f64,
                (Kind::Time, _) => time_ms(node)? as f64 / 1000.0,
                (_, Value::Integer(number)) => *number as f64,
                (_, Value::Float(number)) => *number,
                _ => return Ok(()),
            };
            if (*from..=*to).contains(&number) {
                return Ok(());
            }
            let bound = match (from.is_finite(), to.is_finite()) {
                (true, true) => format!("{from} to {to}"),
                (true, false) => format!("at least {from}"),
                _ => format!("at most {to}"),
            };
            Err(node.at.wrong(format!("{what} is {bound}, not {number}")))
        }
        Constraint::MinLength(_) | Constraint::MaxLength(_) => {
            let length = match &node.value {
                Value::Text(text) => text.chars().count(),
                Value::List(items) => items.len(),
                Value::Map(entries) => entries.len(),
                _ => return Ok(()),
            };
            match constraint {
                Constraint::MinLength(least) if length < *least => {
                    Err(node.at.wrong(format!("{what} has at least {least} letters or items, not {length}")))
                }
                Constraint::MaxLength(most) if length > *most => {
                    Err(node.at.wrong(format!("{what} has at most {most} letters or items, not {length}")))
                }
                _ => Ok(()),
            }
        }
    }
}

/// Bytes of a size with its unit (TOSCA 1.3 section 3.3.6.4); units in any case of letters.
pub(crate) fn size_bytes(node: &Node) -> Result<u64, DocumentError> {
    measured(node, &SIZES, "a size: `256 MiB`")
}

/// Milliseconds of a time with its unit (TOSCA 1.3 section 3.3.6.5).
pub(crate) fn time_ms(node: &Node) -> Result<u64, DocumentError> {
    measured(node, &TIMES_MS, "a time: `30 s`")
}

fn measured(node: &Node, units: &[(&str, u64)], wanted: &str) -> Result<u64, DocumentError> {
    let wrong = |place: Place, shown: &str| place.wrong(format!("{shown} is not {wanted}"));
    let Value::Text(text) = &node.value else { return Err(wrong(node.at, node.value.kind())) };
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|it: char| it.is_ascii_digit() || it == '.').len();
    let (number, unit) = (&text[..digits], text[digits..].trim());
    let Some((_, scale)) = units.iter().find(|(word, _)| word.eq_ignore_ascii_case(unit)) else {
        let words: Vec<&str> = units.iter().map(|(word, _)| *word).collect();
        return Err(node.at.wrong(format!("`{text}` is not {wanted}, with a unit of {}", words.join(" "))));
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(*scale).ok_or_else(|| node.at.wrong(format!("`{text}` is too large")));
    }
    match number.parse::<f64>() {
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it has no sign, and is below 2^53"
        )]
        Ok(number) if number * (*scale as f64) < 9e15 => Ok((number * (*scale as f64)).round() as u64),
        Ok(_) | Err(_) => Err(wrong(node.at, &format!("`{text}`"))),
    }
}
