//! `policies`: where functions begin, and what moves them. Policies that contradict each other are refused here.

use super::{Function, Move, Policy, State, Trigger, of_inputs, settle};
use crate::document::{DocumentError, Findings, Key, Map, Node, Place, Value};
use crate::types::Types;
use crate::values::{Inputs, time_ms};
use crate::words;

const INITIAL: &str = "eu.ict-flame.policies.InitialPolicy";
const CHANGE: &str = "eu.ict-flame.policies.StateChange";
/// The constraint of the beginning.
const INITIALISE: &str = "initialise";
/// How the constraint begins that waits for a trigger of CLMC.
const CLMC: &str = "clmc::";
/// The cluster of whoever does not mind.
const ANY: &str = "any";
/// Triggers of all policies.
const TRIGGERS_MAX: usize = 200;
/// Most actions in a template.
const ACTIONS_MAX: usize = 1000;

/// An action, and where it stands.
struct Placed<'a> {
    at: Place,
    policy: &'a str,
    alert: Option<String>,
    action: Move,
}

pub(super) fn read(
    topology: Map<'_>,
    types: &Types,
    inputs: &Inputs,
    functions: &mut [Function],
    findings: &mut Findings,
) -> Vec<Policy> {
    let listed = match topology.need("policies").and_then(|node| node.list("policies")) {
        Ok(listed) => listed,
        Err(error) => {
            findings.push(error);
            return Vec::new();
        }
    };
    let nodes_are_right = findings.is_empty();
    let known: Vec<String> = functions.iter().map(|function| function.name.clone()).collect();
    let known: Option<Vec<&str>> = nodes_are_right.then(|| known.iter().map(String::as_str).collect());
    let mut policies: Vec<Policy> = Vec::new();
    let mut placed = Vec::new();
    for one in listed {
        let entry = one.map("a policy").and_then(|map| {
            let mut entries = map.iter();
            match (entries.next(), entries.next()) {
                (Some(entry), None) => Ok(entry),
                _ => Err(one.at.wrong("each policy is a map with one key, its id")),
            }
        });
        let (key, body) = match entry {
            Ok(entry) => entry,
            Err(error) => {
                findings.push(error);
                continue;
            }
        };
        if policies.iter().any(|policy| policy.id == key.text) {
            findings.push(key.at.wrong(format!("there is another policy `{}`", key.text)));
        }
        match policy(key, body, types, inputs, known.as_deref(), findings) {
            Ok((policy, moves)) => {
                policies.push(policy);
                placed.extend(moves);
            }
            Err(error) => findings.push(error),
        }
    }
    if policies.iter().map(|policy| policy.triggers.len()).sum::<usize>() > TRIGGERS_MAX {
        findings.push(topology.at.wrong(format!("there are more than {TRIGGERS_MAX} triggers")));
    }
    if findings.is_empty() && !policies.iter().any(|policy| policy.is_initial) {
        findings.push(topology.at.wrong(format!("nothing begins anywhere: there is no policy of type {INITIAL}")));
    }
    if placed.len() > ACTIONS_MAX {
        findings.push(topology.at.wrong(format!("there are more than {ACTIONS_MAX} actions")));
        return policies;
    }
    contradictions(&placed, findings);
    for function in functions {
        function.cluster =
            placed.iter().filter(|one| one.action.function == function.name).find_map(|one| one.action.cluster.clone());
    }
    policies
}

fn policy<'a>(
    key: &'a Key,
    body: &'a Node,
    types: &Types,
    inputs: &Inputs,
    known: Option<&[&str]>,
    findings: &mut Findings,
) -> Result<(Policy, Vec<Placed<'a>>), DocumentError> {
    if !words::is_name(&key.text) {
        return Err(key.at.wrong(format!("`{}` is no id: 1 to 64 letters, digits, `.`, `_` and `-`", key.text)));
    }
    let what = format!("policy `{}`", key.text);
    let body = body.map(&what)?;
    let body = body.only(&["type", "description", "metadata", "properties", "targets", "triggers"])?;
    let kind = body.need("type")?;
    let text = kind.text("type")?;
    let is_initial = types.is_a(text, INITIAL);
    if !is_initial && !types.is_a(text, CHANGE) {
        let names: Vec<&str> = types.names("policy_types").collect();
        return Err(kind.at.wrong(format!("`{text}` is no type of a policy: {}", words::instead(text, &names))));
    }
    let properties = body.get("properties").map(|node| node.map("properties")).transpose()?;
    let settled = settle(&types.properties(text), properties, key.at, &what, of_inputs(inputs), findings);
    let cool_down_ms = settled.get("cool_down").map(time_ms).transpose()?.unwrap_or_default();
    let mut triggers = Vec::new();
    let mut moves = Vec::new();
    for (id, body) in body.need("triggers")?.map("triggers")?.iter() {
        let read = trigger(&key.text, id, body, is_initial, known, findings);
        match read {
            Ok((trigger, placed)) => {
                let same = triggers
                    .iter()
                    .find(|(_, other): &&(Place, Trigger)| other.alert.is_some() && other.alert == trigger.alert);
                if let Some((place, other)) = same {
                    findings.push(id.at.wrong(format!(
                        "`{}` waits for what `{}` waits for, too (line {}): what follows from it stands in one trigger",
                        trigger.id, other.id, place.line
                    )));
                }
                triggers.push((id.at, trigger));
                moves.extend(placed);
            }
            Err(error) => findings.push(error),
        }
    }
    let triggers = triggers.into_iter().map(|(_, trigger)| trigger).collect();
    Ok((Policy { id: key.text.clone(), at: key.at, is_initial, cool_down_ms, triggers }, moves))
}

fn trigger<'a>(
    policy: &'a str,
    id: &Key,
    body: &Node,
    is_initial: bool,
    known: Option<&[&str]>,
    findings: &mut Findings,
) -> Result<(Trigger, Vec<Placed<'a>>), DocumentError> {
    if !words::is_name(&id.text) {
        return Err(id.at.wrong(format!("`{}` is no id: 1 to 64 letters, digits, `.`, `_` and `-`", id.text)));
    }
    let what = format!("trigger `{}`", id.text);
    let body = body.map(&what)?.only(&["description", "condition", "action"])?;
    let condition = body.need("condition")?.map("condition")?.only(&["constraint"])?;
    let constraint = condition.need("constraint")?;
    let text = constraint.text("constraint")?;
    let alert = match (text.strip_prefix(CLMC), is_initial) {
        (None, true) if text == INITIALISE => None,
        (Some(alert), false) if words::is_name(alert) => Some(alert.to_owned()),
        (_, true) => {
            return Err(constraint
                .at
                .wrong(format!("the constraint of an InitialPolicy is {INITIALISE}, not `{text}`")));
        }
        (_, false) => {
            let wanted = format!("the constraint of a StateChange is {CLMC}<trigger of the alerts document>");
            return Err(constraint.at.wrong(format!("{wanted}, not `{text}`")));
        }
    };
    let mut placed = Vec::new();
    for (function, clusters) in body.need("action")?.map("action")?.iter() {
        if findings.is_full() {
            break;
        }
        if let Some(known) = known
            && !known.contains(&function.text.as_str())
        {
            let instead = words::instead(&function.text, known);
            findings.push(function.at.wrong(format!("there is no function `{}`: {instead}", function.text)));
            continue;
        }
        for (cluster, state) in clusters.map("an action: cluster and state")?.iter() {
            let action = Move {
                function: function.text.clone(),
                cluster: (cluster.text != ANY).then(|| cluster.text.clone()),
                state: read_state(state)?,
            };
            placed.push(Placed { at: cluster.at, policy, alert: alert.clone(), action });
        }
    }
    let description = body.get("description").map(|node| node.text("description")).transpose()?.unwrap_or_default();
    let actions = placed.iter().map(|one| one.action.clone()).collect();
    Ok((Trigger { id: id.text.clone(), description: description.to_owned(), alert, actions }, placed))
}

fn read_state(node: &Node) -> Result<State, DocumentError> {
    let words = State::WORDS.map(|(word, _)| word);
    let found = State::WORDS.iter().find(|(word, _)| matches!(&node.value, Value::Text(text) if text == word));
    match found {
        Some((_, state)) => Ok(*state),
        None => node.one_of("state", &words).map(|_| State::Unplaced),
    }
}

/// One function is one endpoint at one cluster, and one event says one thing of it.
fn contradictions(placed: &[Placed<'_>], findings: &mut Findings) {
    for (at, one) in placed.iter().enumerate() {
        let earlier = placed[..at].iter().filter(|other| other.action.function == one.action.function);
        for other in earlier {
            let function = &one.action.function;
            let (line, policy) = (other.at.line, other.policy);
            let event = one.alert.as_ref().map(|alert| (one.policy, alert));
            let is_same_event = event == other.alert.as_ref().map(|alert| (other.policy, alert));
            if let (Some(here), Some(there)) = (&one.action.cluster, &other.action.cluster)
                && here != there
            {
                findings.push(one.at.wrong(format!(
                    "`{function}` is at `{here}` here and at `{there}` in policy `{policy}` (line {line}): a function is one endpoint; \
                     write another function with the same fqdn"
                )));
                break;
            }
            if is_same_event {
                findings.push(one.at.wrong(format!(
                    "what becomes of `{function}` is said twice for one event, here and in line {line}, policy `{policy}`"
                )));
                break;
            }
        }
    }
}
