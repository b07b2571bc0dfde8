//! `node_templates`: functions and chains.

use std::collections::BTreeMap;

use flame_naming::Name;

use super::{Chain, Function, NODES_MAX, Resources, settle, whole, written};
use crate::document::{DocumentError, Findings, Key, Map, Node, Value};
use crate::types::Types;
use crate::values::{Inputs, Scope, Written, size_bytes};
use crate::words;

pub const FUNCTION: &str = "eu.ict-flame.nodes.ServiceFunction";
const CHAIN: &str = "eu.ict-flame.nodes.ServiceFunctionChain";
const HOST: &str = "host";

/// A node, its parts found.
struct Found<'a> {
    key: &'a Key,
    kind: &'a str,
    description: &'a str,
    properties: Option<Map<'a>>,
    host: Option<Map<'a>>,
}

pub(super) fn read(
    topology: Map<'_>,
    types: &Types,
    inputs: &Inputs,
    instance: &str,
    findings: &mut Findings,
) -> (Vec<Function>, Vec<Chain>) {
    let nodes = match topology.need("node_templates").and_then(|node| node.map("node_templates")) {
        Ok(nodes) => nodes,
        Err(error) => {
            findings.push(error);
            return Default::default();
        }
    };
    if nodes.iter().count() > NODES_MAX {
        findings.push(nodes.at.wrong(format!("there are more than {NODES_MAX} nodes")));
        return Default::default();
    }
    let mut found = Vec::new();
    for (key, body) in nodes.iter() {
        match parts(key, body, types) {
            Ok(parts) => found.push(parts),
            Err(error) => findings.push(error),
        }
    }
    let written: BTreeMap<String, Written> = found
        .iter()
        .map(|node| {
            let host = types.capabilities(node.kind).get(HOST).map(|of| types.properties(of)).unwrap_or_default();
            let properties = written(&types.properties(node.kind), node.properties);
            (node.key.text.clone(), Written { properties, host: written(&host, node.host) })
        })
        .collect();
    let (mut functions, mut chains) = (Vec::new(), Vec::new());
    for node in &found {
        let scope = Scope { inputs, nodes: &written, own: &node.key.text };
        let what = format!("`{}`", node.key.text);
        let before = findings.len();
        let properties = settle(&types.properties(node.kind), node.properties, node.key.at, &what, scope, findings);
        let host = types.capabilities(node.kind).get(HOST).map(|of| types.properties(of)).unwrap_or_default();
        let host = settle(&host, node.host, node.key.at, &format!("host of {what}"), scope, findings);
        if findings.len() > before {
            continue;
        }
        if types.is_a(node.kind, FUNCTION) {
            match function(node, &properties, &host, instance) {
                Ok(function) => functions.push(function),
                Err(error) => findings.push(error),
            }
        } else {
            chains.push(Chain { name: node.key.text.clone(), functions: texts(properties.get("functions")) });
        }
    }
    // Only where all nodes were understood is a name that is not there another mistake.
    if findings.is_empty() {
        check_references(&found, &functions, &chains, findings);
    }
    (functions, chains)
}

fn parts<'a>(key: &'a Key, body: &'a Node, types: &Types) -> Result<Found<'a>, DocumentError> {
    if !words::is_name(&key.text) {
        return Err(key.at.wrong(format!("`{}` is no name: 1 to 64 letters, digits, `.`, `_` and `-`", key.text)));
    }
    let body = body.map("a node")?;
    let body = body.only(&["type", "description", "metadata", "properties", "capabilities"])?;
    let kind = body.need("type")?;
    let text = kind.text("type")?;
    if !types.is_a(text, FUNCTION) && !types.is_a(text, CHAIN) {
        let known: Vec<&str> = types.names("node_types").collect();
        return Err(kind.at.wrong(format!("`{text}` is no type of a node: {}", words::instead(text, &known))));
    }
    let description = body.get("description").map(|node| node.text("description")).transpose()?.unwrap_or_default();
    let properties = body.get("properties").map(|node| node.map("properties")).transpose()?;
    let mut host = None;
    if let Some(capabilities) = body.get("capabilities") {
        let known: Vec<&str> = types.capabilities(text).into_keys().collect();
        for (name, capability) in capabilities.map("capabilities")?.only(&known)?.iter() {
            let listed = capability.map("a capability")?.only(&["properties"])?;
            if name.text == HOST {
                host = listed.get("properties").map(|node| node.map("properties")).transpose()?;
            }
        }
    }
    Ok(Found { key, kind: text, description, properties, host })
}

fn function(
    node: &Found<'_>,
    properties: &BTreeMap<String, Node>,
    host: &BTreeMap<String, Node>,
    instance: &str,
) -> Result<Function, DocumentError> {
    let text = |name: &str| properties.get(name).and_then(as_text).unwrap_or_default().to_owned();
    let bytes = |name: &str| host.get(name).map(size_bytes).transpose().map(Option::unwrap_or_default);
    let cpus = match host.get("num_cpus").map(|node| &node.value) {
        Some(Value::Integer(cpus)) => u64::try_from(*cpus).unwrap_or_default(),
        _ => 1,
    };
    let fqdn = texts(properties.get("fqdn"));
    for (at, name) in fqdn.iter().enumerate() {
        let place = match properties.get("fqdn").map(|node| &node.value) {
            Some(Value::List(items)) => items[at].at,
            _ => node.key.at,
        };
        if let Err(error) = whole(name, instance).parse::<Name>() {
            return Err(place.wrong(format!("`{name}` (with the instance `{instance}`) is no name: {error}")));
        }
    }
    if fqdn.is_empty() {
        return Err(node.key.at.wrong(format!("`{}` serves no name: fqdn is empty", node.key.text)));
    }
    let entries = |name: &str| match properties.get(name).map(|node| &node.value) {
        Some(Value::Map(entries)) => entries.as_slice(),
        _ => &[],
    };
    let environment =
        entries("environment").iter().filter_map(|(key, node)| Some((key.text.clone(), as_text(node)?.to_owned())));
    #[allow(clippy::cast_precision_loss, reason = "requests per second are few")]
    let demand = entries("demand").iter().map(|(key, node)| match node.value {
        Value::Integer(rate) if rate >= 0 => Ok((key.text.clone(), rate as f64)),
        Value::Float(rate) if rate >= 0.0 => Ok((key.text.clone(), rate)),
        _ => Err(node.at.wrong("a demand is not below 0")),
    });
    Ok(Function {
        name: node.key.text.clone(),
        at: node.key.at,
        kind: node.kind.to_owned(),
        description: node.description.to_owned(),
        takes: Resources { cpus, memory_bytes: bytes("mem_size")?, disk_bytes: bytes("disk_size")? },
        image: text("image"),
        fqdn,
        arguments: texts(properties.get("arguments")),
        environment: environment.collect(),
        registers_itself: text("registers") == "itself",
        ready_path: Some(text("ready_path")).filter(|path| !path.is_empty()),
        cluster: None,
        clusters: texts(properties.get("clusters")),
        beside: texts(properties.get("beside")),
        apart_from: texts(properties.get("apart_from")),
        demand: demand.collect::<Result<_, _>>()?,
    })
}

/// Whether whoever is named is there.
fn check_references(found: &[Found<'_>], functions: &[Function], chains: &[Chain], findings: &mut Findings) {
    let known: Vec<&str> = functions.iter().map(|function| function.name.as_str()).collect();
    let of_functions = functions.iter().flat_map(|function| {
        let lists = [("beside", &function.beside), ("apart_from", &function.apart_from)];
        lists.map(|(property, names)| (function.name.as_str(), property, names))
    });
    let of_chains = chains.iter().map(|chain| (chain.name.as_str(), "functions", &chain.functions));
    for (node, property, names) in of_functions.chain(of_chains) {
        let listed =
            found.iter().find(|found| found.key.text == node).and_then(|found| found.properties?.get(property));
        for (at, name) in names.iter().enumerate() {
            if findings.is_full() {
                return;
            }
            let place = match listed.map(|node| (node.at, &node.value)) {
                Some((_, Value::List(items))) if at < items.len() => items[at].at,
                Some((place, _)) => place,
                None => continue,
            };
            if name == node && property != "functions" {
                findings.push(place.wrong(format!("`{node}` names itself in `{property}`")));
            } else if !known.contains(&name.as_str()) {
                let instead = words::instead(name, &known);
                findings.push(place.wrong(format!("there is no function `{name}`: {instead}")));
            }
        }
    }
}

fn as_text(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn texts(node: Option<&Node>) -> Vec<String> {
    match node.map(|node| &node.value) {
        Some(Value::List(items)) => items.iter().filter_map(as_text).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}
