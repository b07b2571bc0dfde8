//! A resource specification: the functions of a chain, what each takes, and the policies that move them. Pure.
//!
//! All that is wrong is found in one reading, each with its place. A function is one endpoint at one cluster: surrogates are
//! several functions of one name, as FLAME's templates have them.

mod nodes;
mod policies;

use std::collections::{BTreeMap, BTreeSet};

use crate::document::{DocumentError, Findings, Map, Node, Place, Value, parse};
use crate::types::{DEFINITIONS_FILE, Property, Types};
use crate::values::{Inputs, Scope, Written};
use crate::words;

/// Functions and chains of one template.
pub const NODES_MAX: usize = 200;
/// Files that one template may import, and those that they import.
const IMPORTS_MAX: usize = 20;
/// The name of the file that FLAME's alerts documents import, which defines nothing that is needed here.
const ALERTS_FILE: &str = "flame_clmc_alerts_definitions.yaml";

/// A template, read and resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// The service function chain.
    pub sfc: String,
    /// Its instance.
    pub sfci: String,
    /// What it is for.
    pub description: String,
    /// Its inputs, and the value that each has, as YAML would show it.
    pub inputs: BTreeMap<String, String>,
    /// Its functions, in the order of the document.
    pub functions: Vec<Function>,
    /// Which functions a request passes.
    pub chains: Vec<Chain>,
    /// What moves functions.
    pub policies: Vec<Policy>,
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    /// Its name in the template.
    pub name: String,
    /// Where it stands there.
    pub at: Place,
    /// Its type.
    pub kind: String,
    /// What it is.
    pub description: String,
    /// What it takes of its cluster.
    pub takes: Resources,
    /// What runs.
    pub image: String,
    /// Names that it serves; those without a dot are expanded with the instance.
    pub fqdn: Vec<String>,
    /// Arguments of what runs.
    pub arguments: Vec<String>,
    /// Its environment.
    pub environment: BTreeMap<String, String>,
    /// Whether it registers its names itself.
    pub registers_itself: bool,
    /// What answers 2xx once it serves; nothing is: whoever takes connections.
    pub ready_path: Option<String>,
    /// The cluster that policies name; nothing is any.
    pub cluster: Option<String>,
    /// Clusters, sites or tiers where it may be; any where nothing is said.
    pub clusters: Vec<String>,
    /// Functions that it shares a cluster with.
    pub beside: Vec<String>,
    /// Functions that it shares none with.
    pub apart_from: Vec<String>,
    /// Where its requests come from: requests per second by site.
    pub demand: BTreeMap<String, f64>,
}

/// What an endpoint takes of a cluster, or a cluster has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resources {
    /// Processors.
    pub cpus: u64,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// Disk, bytes.
    pub disk_bytes: u64,
}

/// Functions in the order of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// From the viewer to the source.
    pub functions: Vec<String>,
}

/// What moves functions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub at: Place,
    /// Whether it says where functions begin, or what changes later.
    pub is_initial: bool,
    /// How long after a change it makes no other, milliseconds.
    pub cool_down_ms: u64,
    /// Its triggers.
    pub triggers: Vec<Trigger>,
}

/// When something changes, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// Its id.
    pub id: String,
    /// What it is for.
    pub description: String,
    /// The trigger of CLMC that is waited for; nothing is the beginning.
    pub alert: Option<String>,
    /// What changes.
    pub actions: Vec<Move>,
}

/// A function goes into a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The function.
    pub function: String,
    /// The cluster; nothing is wherever it has been placed.
    pub cluster: Option<String>,
    /// The state.
    pub state: State,
}

/// How far an endpoint is meant to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It is not there.
    #[default]
    Unplaced,
    /// What it needs is on the cluster; it takes no compute.
    Placed,
    /// It runs, and gets no requests.
    Booted,
    /// It gets requests.
    Connected,
}

/// What a template is given when it is read.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    /// Values of inputs, as texts.
    pub inputs: &'a BTreeMap<String, String>,
    /// The instance, if it is not that of the document.
    pub instance: Option<&'a str>,
    /// The text of an imported file; [`DEFINITIONS_FILE`] is never asked for.
    pub import: &'a dyn Fn(&str) -> Option<String>,
}

const SECTIONS: [&str; 9] = [
    "tosca_definitions_version",
    "description",
    "imports",
    "metadata",
    "topology_template",
    "node_types",
    "policy_types",
    "capability_types",
    "dsl_definitions",
];

/// Reads a template; all that is wrong with it, if something is.
pub fn read(text: &str, given: Given<'_>) -> Result<Template, Vec<DocumentError>> {
    let document = parse(text).map_err(|error| vec![error])?;
    let map = head(&document).map_err(|error| vec![error])?;
    let mut types = Types::built_in();
    import(map, given, &mut types, &mut BTreeSet::new()).map_err(|error| vec![error])?;
    types.add(map).map_err(|error| vec![error])?;
    let mut findings = Findings::default();
    let mut kept = |error: DocumentError| findings.push(error);

    let names = || -> Result<(String, String, String), DocumentError> {
        let metadata = map.need("metadata")?.map("metadata")?;
        let sfc = metadata.need("sfc")?;
        let sfc_name = sfc.name("name of a chain")?;
        let sfci = metadata.need("sfci")?.name("name of an instance")?;
        let sfci = given.instance.unwrap_or(sfci);
        if !words::is_name(sfci) {
            return Err(metadata.at.wrong(format!("`{sfci}` is no name of an instance")));
        }
        let description = map.get("description").map(|node| node.text("description")).transpose()?;
        Ok((sfc_name.to_owned(), sfci.to_owned(), description.unwrap_or_default().to_owned()))
    };
    let named = names().unwrap_or_else(|error| {
        kept(error);
        Default::default()
    });
    let topology = map.need("topology_template").and_then(|node| {
        let keys = ["description", "inputs", "node_templates", "policies", "outputs"];
        node.map("topology_template")?.only(&keys)
    });
    let topology = match topology {
        Ok(topology) => topology,
        Err(error) => {
            findings.push(error);
            return Err(findings.sorted());
        }
    };
    let inputs = match inputs(topology, given.inputs) {
        Ok(values) => Inputs::new(values),
        Err(errors) => {
            errors.into_iter().for_each(|error| findings.push(error));
            return Err(findings.sorted());
        }
    };
    let (sfc, sfci, description) = named;
    let (mut functions, chains) = nodes::read(topology, &types, &inputs, &sfci, &mut findings);
    let policies = policies::read(topology, &types, &inputs, &mut functions, &mut findings);
    if !findings.is_empty() {
        return Err(findings.sorted());
    }
    let inputs = inputs.values.into_iter().map(|(name, node)| (name, shown(&node.value))).collect();
    Ok(Template { sfc, sfci, description, inputs, functions, chains, policies })
}

/// The map of a document of one of the versions that are read.
pub(crate) fn head(document: &Node) -> Result<Map<'_>, DocumentError> {
    let map = document.map("a TOSCA document")?.only(&SECTIONS)?;
    map.need("tosca_definitions_version")?.one_of("version that is read here", &words::VERSIONS)?;
    Ok(map)
}

/// Adds the types of all that is imported.
fn import(
    document: Map<'_>,
    given: Given<'_>,
    types: &mut Types,
    read: &mut BTreeSet<String>,
) -> Result<(), DocumentError> {
    let Some(imports) = document.get("imports") else { return Ok(()) };
    for one in imports.list("imports")? {
        // Also the long form: a map with the key `file`, or one from a name to it.
        let file = match &one.value {
            Value::Map(_) => {
                let map = one.map("an import")?;
                let file = map.get("file").or_else(|| map.iter().next().map(|(_, node)| node));
                file.ok_or_else(|| one.at.wrong("an import names a file"))?
            }
            _ => one,
        };
        let path = file.text("an import")?;
        let name = path.rsplit('/').next().unwrap_or(path);
        if [DEFINITIONS_FILE, ALERTS_FILE].contains(&name) {
            continue;
        }
        // Two files may import a third.
        if !read.insert(path.to_owned()) {
            continue;
        }
        if read.len() > IMPORTS_MAX {
            return Err(file.at.wrong(format!("more than {IMPORTS_MAX} files are imported")));
        }
        let Some(text) = (given.import)(path) else {
            let instead = words::nearest(name, [DEFINITIONS_FILE, ALERTS_FILE]);
            let instead = instead.map_or_else(String::new, |word| format!("; do you mean `{word}`?"));
            return Err(file.at.wrong(format!("`{path}` is not there{instead}")));
        };
        // What that file imports says itself where it is.
        let within =
            |error: DocumentError| DocumentError { file: error.file.or_else(|| Some(path.to_owned())), ..error };
        let imported = parse(&text).map_err(within)?;
        let map = head(&imported).map_err(within)?;
        import(map, given, types, read).map_err(within)?;
        types.add(map).map_err(within)?;
    }
    Ok(())
}

/// The inputs' values: given ones, else defaults.
fn inputs(topology: Map<'_>, given: &BTreeMap<String, String>) -> Result<BTreeMap<String, Node>, Vec<DocumentError>> {
    let mut values = BTreeMap::new();
    let mut findings = Vec::new();
    let mut known = Vec::new();
    let declared = topology.get("inputs").map(|node| node.map("inputs")).transpose().map_err(|error| vec![error])?;
    for (key, body) in declared.iter().flat_map(|map| map.iter()) {
        known.push(key.text.as_str());
        let value = Property::read(&key.text, body).and_then(|input| {
            let value = match given.get(&key.text) {
                Some(text) if input.kind == crate::types::Kind::Text => {
                    Some(Node { at: key.at, value: Value::Text(text.clone()) })
                }
                Some(text) => {
                    let wrong =
                        |_| key.at.wrong(format!("`{text}`, given for input `{}`, is not understood", key.text));
                    Some(Node { at: key.at, value: parse(text).map_err(wrong)?.value })
                }
                None => input.default.clone(),
            };
            match value {
                Some(value) => input.check(&value).map(|()| Some(value)),
                None if input.required => Err(key
                    .at
                    .wrong(format!("input `{}` has no default and was not given: --input {}=…", key.text, key.text))),
                None => Ok(None),
            }
        });
        match value {
            Ok(Some(value)) => drop(values.insert(key.text.clone(), value)),
            Ok(None) => {}
            Err(error) => findings.push(error),
        }
    }
    for name in given.keys().filter(|name| !known.contains(&name.as_str())) {
        let instead = words::instead(name, &known);
        findings.push(topology.at.wrong(format!("input `{name}` was given, and the template has none: {instead}")));
    }
    if findings.is_empty() { Ok(values) } else { Err(findings) }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(it) => it.to_string(),
        Value::Integer(it) => it.to_string(),
        Value::Float(it) => it.to_string(),
        Value::Text(it) => it.clone(),
        Value::List(items) => {
            let items: Vec<_> = items.iter().map(|item| shown(&item.value)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Map(entries) => {
            let entries: Vec<_> =
                entries.iter().map(|(key, node)| format!("{}: {}", key.text, shown(&node.value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

// === impl Template ===

impl Template {
    /// A function by its name.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.iter().find(|function| function.name == name)
    }

    /// In which state a function begins.
    #[must_use]
    pub fn initial(&self, function: &str) -> State {
        let begins = self.policies.iter().filter(|policy| policy.is_initial).flat_map(|policy| &policy.triggers);
        begins
            .flat_map(|trigger| &trigger.actions)
            .find(|one| one.function == function)
            .map_or(State::Unplaced, |one| one.state)
    }

    /// Whether a function is ever meant to be somewhere: one that no policy names is not.
    #[must_use]
    pub fn is_used(&self, function: &str) -> bool {
        let moves = self.policies.iter().flat_map(|policy| &policy.triggers).flat_map(|trigger| &trigger.actions);
        moves.filter(|one| one.state > State::Unplaced).any(|one| one.function == function)
    }

    /// What follows when CLMC tells of a trigger of a policy: the triggers that wait for it.
    #[must_use]
    pub fn awaiting(&self, policy: &str, alert: &str) -> Option<(&Policy, &Trigger)> {
        let policy = self.policies.iter().find(|one| one.id == policy && !one.is_initial)?;
        policy.triggers.iter().find(|trigger| trigger.alert.as_deref() == Some(alert)).map(|trigger| (policy, trigger))
    }
}

// === impl Function ===

impl Function {
    /// Its names, each whole: `function.instance`.
    #[must_use]
    pub fn names(&self, instance: &str) -> Vec<String> {
        self.fqdn.iter().map(|name| whole(name, instance)).collect()
    }
}

/// A name without a dot is a function, expanded with the instance.
pub(crate) fn whole(name: &str, instance: &str) -> String {
    if name.contains('.') { name.to_owned() } else { format!("{name}.{}", instance.to_lowercase()) }
}

// === impl State ===

impl State {
    /// What a template calls it.
    pub const WORDS: [(&str, Self); 4] = [
        ("eu.ict-flame.sfe.state.lifecycle.unplaced", Self::Unplaced),
        ("eu.ict-flame.sfe.state.lifecycle.placed", Self::Placed),
        ("eu.ict-flame.sfe.state.lifecycle.booted", Self::Booted),
        ("eu.ict-flame.sfe.state.lifecycle.connected", Self::Connected),
    ];

    /// Its last word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unplaced => "unplaced",
            Self::Placed => "placed",
            Self::Booted => "booted",
            Self::Connected => "connected",
        }
    }
}

// === impl Resources ===

impl Resources {
    /// Whether there is room for it in what is left.
    #[must_use]
    pub fn fits(self, left: Self) -> bool {
        self.cpus <= left.cpus && self.memory_bytes <= left.memory_bytes && self.disk_bytes <= left.disk_bytes
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            cpus: self.cpus.saturating_add(other.cpus),
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
            disk_bytes: self.disk_bytes.saturating_add(other.disk_bytes),
        }
    }

    /// What is left without the other.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self {
            cpus: self.cpus.saturating_sub(other.cpus),
            memory_bytes: self.memory_bytes.saturating_sub(other.memory_bytes),
            disk_bytes: self.disk_bytes.saturating_sub(other.disk_bytes),
        }
    }
}

/// Resolves and checks the properties that a node or a policy was given against those of its type.
fn settle(
    types: &[&Property],
    given: Option<Map<'_>>,
    at: Place,
    what: &str,
    scope: Scope<'_>,
    findings: &mut Findings,
) -> BTreeMap<String, Node> {
    let known: Vec<&str> = types.iter().map(|property| property.name.as_str()).collect();
    for (key, _) in given.iter().flat_map(|map| map.iter()) {
        if !known.contains(&key.text.as_str()) {
            let instead = words::instead(&key.text, &known);
            findings.push(key.at.wrong(format!("{what} has no property `{}`: {instead}", key.text)));
        }
    }
    let mut settled = BTreeMap::new();
    for property in types {
        let value = given.and_then(|map| map.get(&property.name)).or(property.default.as_ref());
        match value.map(|value| scope.resolve(value)) {
            Some(Ok(value)) => match property.check(&value) {
                Ok(()) => drop(settled.insert(property.name.clone(), value)),
                Err(error) => findings.push(error),
            },
            Some(Err(error)) => findings.push(error),
            None if property.required => {
                findings.push(at.wrong(format!("{what} needs the property `{}`", property.name)))
            }
            None => {}
        }
    }
    settled
}

/// What properties and capabilities say before they are resolved, with the types' defaults.
fn written(types: &[&Property], given: Option<Map<'_>>) -> BTreeMap<String, Node> {
    let mut all: BTreeMap<String, Node> =
        types.iter().filter_map(|one| Some((one.name.clone(), one.default.clone()?))).collect();
    for (key, node) in given.iter().flat_map(|map| map.iter()) {
        all.insert(key.text.clone(), node.clone());
    }
    all
}

/// The scope of values that are taken from inputs alone.
fn of_inputs(inputs: &Inputs) -> Scope<'_> {
    static NONE: BTreeMap<String, Written> = BTreeMap::new();
    Scope { inputs, nodes: &NONE, own: "SELF" }
}
