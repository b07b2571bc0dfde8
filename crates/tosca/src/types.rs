//! Types of nodes, policies and capabilities: FLAME's own, which are built in, and those that a template's imports derive
//! from them.

use std::collections::BTreeMap;

use crate::document::{DocumentError, Map, Node, Place, Value, parse};
use crate::words;

/// The file that holds FLAME's types, by its name in `imports`.
pub const DEFINITIONS_FILE: &str = "flame_definitions.yaml";
/// FLAME's types.
pub const DEFINITIONS: &str = include_str!("../../../templates/types/flame_definitions.yaml");

const SECTIONS: [(&str, &str); 3] = [
    ("node_types", "tosca.nodes.Root"),
    ("policy_types", "tosca.policies.Root"),
    ("capability_types", "tosca.capabilities.Root"),
];
/// How far a type may be from its root.
const ANCESTORS_MAX: usize = 16;

/// Types by their names.
#[derive(Debug, Clone, Default)]
pub struct Types {
    types: BTreeMap<String, Type>,
}

#[derive(Debug, Clone)]
struct Type {
    section: &'static str,
    derived_from: String,
    properties: Vec<Property>,
    capabilities: BTreeMap<String, String>,
}

/// A property that nodes of a type have.
#[derive(Debug, Clone)]
pub struct Property {
    /// What it is called.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// What it is where nothing is said; a property without one has to be said, unless it is optional.
    pub default: Option<Node>,
    /// Whether it has to be said where there is no default.
    pub required: bool,
    /// What its value has to meet.
    pub constraints: Vec<Constraint>,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// A whole number.
    Integer,
    /// A number.
    Float,
    /// `true` or `false`.
    Bool,
    /// A number of bytes, with a unit: `256 MiB`.
    Size,
    /// A time, with a unit: `30 s`.
    Time,
    /// A list of these.
    List(Box<Kind>),
    /// A map of texts to these.
    Map(Box<Kind>),
}

/// What a value has to meet.
#[derive(Debug, Clone, PartialEq)]
pub enum Constraint {
    /// It is one of these.
    OneOf(Vec<String>),
    /// It is at least and at most this.
    InRange(f64, f64),
    /// It has at least so many letters or items.
    MinLength(usize),
    /// It has at most so many letters or items.
    MaxLength(usize),
}

// === impl Types ===

impl Types {
    /// FLAME's own types.
    ///
    /// # Panics
    /// Never: a test reads the file.
    #[must_use]
    pub fn built_in() -> Self {
        let mut types = Self::default();
        let document = parse(DEFINITIONS).expect("the built-in definitions are YAML");
        let map = document.map("the document").expect("the built-in definitions are a map");
        types.add(map).expect("the built-in definitions are right");
        types
    }

    /// Adds the types that a document defines.
    pub fn add(&mut self, document: Map<'_>) -> Result<(), DocumentError> {
        for (section, _) in SECTIONS {
            let Some(defined) = document.get(section) else { continue };
            for (name, body) in defined.map(section)?.iter() {
                if self.types.contains_key(&name.text) || is_root(&name.text) {
                    return Err(name.at.wrong(format!("there is another type `{}`", name.text)));
                }
                let found = Type::read(section, &name.text, body)?;
                self.types.insert(name.text.clone(), found);
            }
        }
        // Derivation is looked at once all are there: their order means nothing.
        for (section, root) in SECTIONS {
            let Some(defined) = document.get(section) else { continue };
            for (name, body) in defined.map(section)?.iter() {
                let at = body.map("a type")?.get("derived_from").map_or(name.at, |node| node.at);
                self.check_ancestry(at, &name.text, section, root)?;
            }
        }
        Ok(())
    }

    fn check_ancestry(&self, at: Place, name: &str, section: &str, root: &str) -> Result<(), DocumentError> {
        let mut current = name;
        for _ in 0..ANCESTORS_MAX {
            let Some(found) = self.types.get(current).filter(|found| found.section == section) else {
                let known: Vec<&str> = self.names(section).chain([root]).collect();
                let instead = words::instead(current, &known);
                return Err(at.wrong(format!("`{current}` is no type that can be derived from: {instead}")));
            };
            if found.derived_from == root {
                return Ok(());
            }
            current = &found.derived_from;
        }
        Err(at.wrong(format!("`{name}` comes from no root within {ANCESTORS_MAX} steps")))
    }

    /// The names of all types of a section.
    pub fn names<'a>(&'a self, section: &'a str) -> impl Iterator<Item = &'a str> {
        self.types.iter().filter(move |(_, found)| found.section == section).map(|(name, _)| name.as_str())
    }

    /// Whether `name` is `ancestor`, or comes from it.
    #[must_use]
    pub fn is_a(&self, name: &str, ancestor: &str) -> bool {
        self.line(name).any(|(current, _)| current == ancestor)
    }

    /// The properties of a type; those of its ancestors, too, unless it has some of the same names.
    #[must_use]
    pub fn properties<'a>(&'a self, name: &str) -> Vec<&'a Property> {
        let mut found: Vec<&'a Property> = Vec::new();
        for property in self.line(name).flat_map(|(_, one)| &one.properties) {
            if !found.iter().any(|other| other.name == property.name) {
                found.push(property);
            }
        }
        found
    }

    /// The capabilities of a type, and the type of each.
    #[must_use]
    pub fn capabilities<'a>(&'a self, name: &str) -> BTreeMap<&'a str, &'a str> {
        let mut found = BTreeMap::new();
        for (capability, of) in self.line(name).flat_map(|(_, one)| &one.capabilities) {
            found.entry(capability.as_str()).or_insert(of.as_str());
        }
        found
    }

    /// A type and its ancestors, nearest first.
    fn line<'a>(&'a self, name: &str) -> impl Iterator<Item = (&'a str, &'a Type)> + use<'a> {
        let first = self.types.get_key_value(name);
        let next = move |(_, one): &(&'a String, &'a Type)| self.types.get_key_value(&one.derived_from);
        std::iter::successors(first, next).take(ANCESTORS_MAX).map(|(name, one)| (name.as_str(), one))
    }
}

fn is_root(name: &str) -> bool {
    SECTIONS.iter().any(|(_, root)| *root == name)
}

// === impl Type ===

impl Type {
    fn read(section: &'static str, name: &str, body: &Node) -> Result<Self, DocumentError> {
        let what = format!("type `{name}`");
        let body = body.map(&what)?.only(&["derived_from", "description", "properties", "capabilities"])?;
        let derived_from = body.need("derived_from")?.text("derived_from")?.to_owned();
        let mut properties = Vec::new();
        if let Some(listed) = body.get("properties") {
            for (name, property) in listed.map("properties")?.iter() {
                properties.push(Property::read(&name.text, property)?);
            }
        }
        let mut capabilities = BTreeMap::new();
        if let Some(listed) = body.get("capabilities") {
            for (name, capability) in listed.map("capabilities")?.iter() {
                let capability = capability.map("a capability")?.only(&["type", "description"])?;
                capabilities.insert(name.text.clone(), capability.need("type")?.text("type")?.to_owned());
            }
        }
        Ok(Self { section, derived_from, properties, capabilities })
    }
}

// === impl Property ===

impl Property {
    /// Reads the definition of a property, or of an input, which has the same form.
    pub(crate) fn read(name: &str, body: &Node) -> Result<Self, DocumentError> {
        let what = format!("`{name}`");
        let words = ["type", "description", "default", "required", "constraints", "entry_schema"];
        let body = body.map(&what)?.only(&words)?;
        let kind = Kind::read(body)?;
        let required = match body.get("required").map(|node| (node, &node.value)) {
            None => true,
            Some((_, Value::Bool(required))) => *required,
            Some((node, other)) => {
                return Err(node.at.wrong(format!("required is true or false, not {}", other.kind())));
            }
        };
        let mut constraints = Vec::new();
        if let Some(listed) = body.get("constraints") {
            for one in listed.list("constraints")? {
                constraints.push(Constraint::read(one)?);
            }
        }
        let property =
            Self { name: name.to_owned(), kind, default: body.get("default").cloned(), required, constraints };
        if let Some(default) = &property.default {
            property.check(default)?;
        }
        Ok(property)
    }
}

// === impl Kind ===

impl Kind {
    const WORDS: [&str; 8] =
        ["string", "integer", "float", "boolean", "scalar-unit.size", "scalar-unit.time", "list", "map"];

    fn read(body: Map<'_>) -> Result<Self, DocumentError> {
        let word = body.need("type")?.one_of("type of a property", &Self::WORDS)?;
        let entry = || match body.get("entry_schema") {
            None => Ok(Box::new(Self::Text)),
            Some(node) => match &node.value {
                Value::Text(_) => Ok(Box::new(Self::of(node.one_of("type of an entry", &Self::WORDS[..6])?))),
                _ => Ok(Box::new(Self::read(node.map("entry_schema")?.only(&[
                    "type",
                    "description",
                    "entry_schema",
                ])?)?)),
            },
        };
        Ok(match word {
            "list" => Self::List(entry()?),
            "map" => Self::Map(entry()?),
            plain => Self::of(plain),
        })
    }

    fn of(word: &str) -> Self {
        match word {
            "integer" => Self::Integer,
            "float" => Self::Float,
            "boolean" => Self::Bool,
            "scalar-unit.size" => Self::Size,
            "scalar-unit.time" => Self::Time,
            _ => Self::Text,
        }
    }
}

// === impl Constraint ===

impl Constraint {
    fn read(node: &Node) -> Result<Self, DocumentError> {
        let words = ["valid_values", "in_range", "greater_or_equal", "less_or_equal", "min_length", "max_length"];
        let map = node.map("a constraint")?.only(&words)?;
        let Some((key, value)) = map.iter().next() else {
            return Err(node.at.wrong("a constraint says something"));
        };
        let number = |node: &Node| match node.value {
            #[allow(clippy::cast_precision_loss, reason = "bounds are small")]
            Value::Integer(number) => Ok(number as f64),
            Value::Float(number) => Ok(number),
            _ => Err(node.at.wrong(format!("{} is a number, not {}", key.text, node.value.kind()))),
        };
        let length = |node: &Node| match node.value {
            Value::Integer(number) => usize::try_from(number).map_err(|_| node.at.wrong("a length is not below 0")),
            _ => Err(node.at.wrong(format!("{} is a whole number, not {}", key.text, node.value.kind()))),
        };
        Ok(match key.text.as_str() {
            "valid_values" => {
                let values = value.list("valid_values")?.iter().map(|one| one.text("a valid value").map(str::to_owned));
                Self::OneOf(values.collect::<Result<_, _>>()?)
            }
            "greater_or_equal" => Self::InRange(number(value)?, f64::INFINITY),
            "less_or_equal" => Self::InRange(f64::NEG_INFINITY, number(value)?),
            "min_length" => Self::MinLength(length(value)?),
            "max_length" => Self::MaxLength(length(value)?),
            _ => match value.list("in_range")? {
                [from, to] => Self::InRange(number(from)?, number(to)?),
                _ => return Err(value.at.wrong("in_range is two numbers")),
            },
        })
    }
}
