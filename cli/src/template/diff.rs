//! What an update would change: the template that is deployed beside the one in a file. What decides is the orchestrator's rule: a function
//! whose program, names, settings or size differ, or that is placed elsewhere, gets a successor; everything else stays as it runs.

use std::collections::BTreeMap;
use std::fmt::Debug;

use flame_api::Client;
use flame_api::orchestrator::NewDeployment;
use flame_tosca::template::{Function, Given};
use flame_tosca::{DocumentError, Template};
use reqwest::{Method, StatusCode};
use serde::Serialize;

use super::deployed::absent;
use super::file::TemplateFile;
use crate::args::Global;
use crate::exit::Exit;
use crate::{connection, output};

/// What becomes of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is new.
    Added,
    /// It goes.
    Removed,
    /// A successor takes its place, and it goes once that serves.
    Replaced,
    /// It goes on running, into another state.
    Moved,
    /// It goes on as it is.
    Stays,
}

/// A function, or a policy, that differs or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its name.
    pub name: String,
    /// What becomes of it.
    pub fate: Fate,
    /// What differs: its word, as it is deployed, as it would be.
    pub differs: Vec<(String, String, String)>,
}

pub async fn run(global: &Global, file: TemplateFile) -> Result<(), Exit> {
    let client = connection::client(global);
    let (sfc, sfci) = (&file.template.sfc, &file.template.sfci);
    let deployed = client.deployment(sfc, sfci).await?.ok_or_else(|| absent(sfc, sfci))?;
    let asked = request(&client, sfc, sfci).await?;
    let before = read(&asked).map_err(|errors| {
        let reasons: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Exit::not_carried_out(anyhow::anyhow!("what is deployed is not understood any more: {}", reasons.join("; ")))
    })?;
    let plan = client.plan(&file.request).await?;
    let is = deployed.endpoints.into_iter().map(|one| (one.function, one.cluster)).collect();
    let will_be = plan.places.into_iter().map(|place| (place.function, place.cluster)).collect();
    let changes = changes((&before, &is), (&file.template, &will_be));
    let mut policies = policies(&before, &file.template);
    policies.extend(alerts(asked.alerts.as_deref(), file.request.alerts.as_deref()));
    if global.json {
        return output::print_json(&serde_json::json!({ "functions": changes, "policies": policies }));
    }
    let mut table = output::table(&["function", "becomes", "what differs"]);
    for change in changes.iter().chain(&policies) {
        let fate = match change.fate {
            Fate::Added => "added",
            Fate::Removed => "removed",
            Fate::Replaced => "replaced",
            Fate::Moved => "another state",
            Fate::Stays => "stays",
        };
        let differs: Vec<_> = change.differs.iter().map(|(what, from, to)| format!("{what}: {from} → {to}")).collect();
        table.add_row([change.name.clone(), fate.to_owned(), differs.join("\n")]);
    }
    output::wrap_only(&mut table, 2);
    output::print_line(&table.trim_fmt())?;
    if changes.iter().chain(&policies).all(|change| change.fate == Fate::Stays) {
        output::print_line("\nan update would change nothing")?;
    }
    Ok(())
}

/// What becomes of the alerts document; an update that brings none ends those that were.
fn alerts(before: Option<&str>, after: Option<&str>) -> Option<Change> {
    let change = |fate| Some(Change { name: "alerts".to_owned(), fate, differs: Vec::new() });
    match (before, after) {
        (None, None) => None,
        (None, Some(_)) => change(Fate::Added),
        (Some(_), None) => change(Fate::Removed),
        (Some(before), Some(after)) => change(if before == after { Fate::Stays } else { Fate::Replaced }),
    }
}

/// What was asked for when it was deployed.
async fn request(client: &Client, sfc: &str, sfci: &str) -> Result<NewDeployment, Exit> {
    let answer = client.request(Method::GET, "orchestrator", &format!("deployments/{sfc}/{sfci}/template"));
    let answer =
        answer.send().await.map_err(|error| Exit::not_carried_out(connection::no_answer(client.router(), &error)))?;
    if answer.status() == StatusCode::NOT_FOUND {
        return Err(absent(sfc, sfci));
    }
    let answer = answer.error_for_status().map_err(|error| Exit::not_carried_out(anyhow::Error::new(error)))?;
    answer.json().await.map_err(|error| Exit::not_carried_out(anyhow::Error::new(error)))
}

fn read(request: &NewDeployment) -> Result<Template, Vec<DocumentError>> {
    let import = |path: &str| request.imports.get(path).cloned();
    let given = Given { inputs: &request.inputs, instance: request.instance.as_deref(), import: &import };
    flame_tosca::read(&request.template, given)
}

/// What becomes of each function that is ever used: those of both templates, with the clusters where they are and would be.
fn changes(
    (before, is): (&Template, &BTreeMap<String, String>),
    (after, will_be): (&Template, &BTreeMap<String, String>),
) -> Vec<Change> {
    let mut all = Vec::new();
    for new in after.functions.iter().filter(|function| after.is_used(&function.name)) {
        let name = new.name.clone();
        let Some(old) = before.function(&name).filter(|_| before.is_used(&name)) else {
            all.push(Change { name, fate: Fate::Added, differs: Vec::new() });
            continue;
        };
        let mut differs = spec(old, new, (&before.sfci, &after.sfci));
        if let (Some(from), Some(to)) = (is.get(&name), will_be.get(&name))
            && from != to
        {
            differs.push(("cluster".to_owned(), from.clone(), to.clone()));
        }
        let is_replaced = !differs.is_empty();
        let (from, to) = (before.initial(&name).as_str(), after.initial(&name).as_str());
        if from != to {
            differs.push(("begins".to_owned(), from.to_owned(), to.to_owned()));
        }
        let fate = match (is_replaced, from == to) {
            (true, _) => Fate::Replaced,
            (false, false) => Fate::Moved,
            (false, true) => Fate::Stays,
        };
        all.push(Change { name, fate, differs });
    }
    for old in before.functions.iter().filter(|function| before.is_used(&function.name)) {
        if !after.function(&old.name).is_some_and(|new| after.is_used(&new.name)) {
            all.push(Change { name: old.name.clone(), fate: Fate::Removed, differs: Vec::new() });
        }
    }
    all
}

/// What makes an endpoint another one.
fn spec(old: &Function, new: &Function, instances: (&str, &str)) -> Vec<(String, String, String)> {
    let mut differs = Vec::new();
    let mut compare = |what: &str, from: String, to: String| {
        if from != to {
            differs.push((what.to_owned(), from, to));
        }
    };
    compare("image", old.image.clone(), new.image.clone());
    compare("names", old.names(instances.0).join(" "), new.names(instances.1).join(" "));
    compare("arguments", old.arguments.join(" "), new.arguments.join(" "));
    compare("registers itself", old.registers_itself.to_string(), new.registers_itself.to_string());
    let path = |function: &Function| function.ready_path.clone().unwrap_or_default();
    compare("ready_path", path(old), path(new));
    compare("cpus", old.takes.cpus.to_string(), new.takes.cpus.to_string());
    compare("memory", output::size(old.takes.memory_bytes), output::size(new.takes.memory_bytes));
    compare("disk", output::size(old.takes.disk_bytes), output::size(new.takes.disk_bytes));
    let said = |function: &Function, key: &String| function.environment.get(key).cloned().unwrap_or_default();
    let mut keys: Vec<&String> = old.environment.keys().chain(new.environment.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        compare(key, said(old, key), said(new, key));
    }
    differs
}

/// What becomes of each policy: they are followed from the update on.
fn policies(before: &Template, after: &Template) -> Vec<Change> {
    let kept = |template: &Template| {
        let policies = template.policies.iter().filter(|policy| !policy.is_initial);
        policies.map(|policy| (policy.id.clone(), policy.clone())).collect::<BTreeMap<_, _>>()
    };
    let (old, new) = (kept(before), kept(after));
    let mut ids: Vec<&String> = old.keys().chain(new.keys()).collect();
    ids.sort();
    ids.dedup();
    let change = |id: &String| {
        let (from, to) = (old.get(id), new.get(id));
        let mut differs = Vec::new();
        let fate = match (from, to) {
            (None, _) => Fate::Added,
            (_, None) => Fate::Removed,
            (Some(from), Some(to)) => {
                compared("cool_down_ms", from.cool_down_ms, to.cool_down_ms, &mut differs);
                // Where it stands is no difference.
                if from.triggers != to.triggers {
                    differs.push((
                        "triggers".to_owned(),
                        from.triggers.len().to_string(),
                        to.triggers.len().to_string(),
                    ));
                }
                if differs.is_empty() { Fate::Stays } else { Fate::Replaced }
            }
        };
        Change { name: format!("policy {id}"), fate, differs }
    };
    ids.into_iter().map(change).collect()
}

fn compared<T: PartialEq + Debug>(what: &str, from: T, to: T, differs: &mut Vec<(String, String, String)>) {
    if from != to {
        differs.push((what.to_owned(), format!("{from:?}"), format!("{to:?}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOD: &str = include_str!("../../../templates/services/vod/template.yaml");
    const CROWD: &str = include_str!("../../../templates/services/flash-crowd/template.yaml");

    fn template(text: &str) -> Template {
        read(&NewDeployment { template: text.to_owned(), ..NewDeployment::default() }).unwrap()
    }

    fn of(before: &str, after: &str) -> Vec<Change> {
        changes((&template(before), &BTreeMap::new()), (&template(after), &BTreeMap::new()))
    }

    #[test]
    fn an_update_without_the_alerts_that_were_ends_them() {
        let fate = |before, after| alerts(before, after).map(|change| change.fate);
        assert_eq!(fate(None, None), None);
        assert_eq!(fate(Some("a"), None), Some(Fate::Removed));
        assert_eq!(fate(Some("a"), Some("b")), Some(Fate::Replaced));
        assert_eq!((fate(Some("a"), Some("a")), fate(None, Some("a"))), (Some(Fate::Stays), Some(Fate::Added)));
    }

    #[test]
    fn what_is_said_to_stay_is_the_same_in_all_that_makes_an_endpoint() {
        assert!(of(CROWD, CROWD).iter().all(|change| change.fate == Fate::Stays));
        assert!(policies(&template(CROWD), &template(CROWD)).iter().all(|change| change.fate == Fate::Stays));
        for (from, to, word) in [
            ("num_cpus: 1", "num_cpus: 2", "cpus"),
            ("256 MiB", "128 MiB", "memory"),
            ("default: 64MiB", "default: 32MiB", "FLAME_VCDN__CACHE__MEMORY"),
            ("fqdn: [ edge ]", "fqdn: [ other ]", "names"),
            ("registers: itself", "registers: orchestrator", "registers itself"),
        ] {
            let changes = of(VOD, &VOD.replacen(from, to, 1));
            assert_eq!(changes[0].fate, Fate::Replaced, "{from}");
            assert!(changes[0].differs.iter().any(|(what, _, _)| what == word), "{changes:?}");
        }
        let stands_by = VOD.replace("lifecycle.connected", "lifecycle.booted");
        let changes = of(VOD, &stands_by);
        assert_eq!((changes[0].fate, changes[0].differs[0].0.as_str()), (Fate::Moved, "begins"));
        let named: BTreeMap<String, Fate> =
            of(VOD, CROWD).into_iter().map(|change| (change.name, change.fate)).collect();
        let fates = [("edge", Fate::Removed), ("first", Fate::Added), ("second", Fate::Added)];
        assert_eq!(named, fates.map(|(name, fate)| (name.to_owned(), fate)).into());
        let (here, there) = (
            BTreeMap::from([("edge".to_owned(), "a".to_owned())]),
            BTreeMap::from([("edge".to_owned(), "b".to_owned())]),
        );
        let changes = super::changes((&template(VOD), &here), (&template(VOD), &there));
        assert_eq!((changes[0].fate, changes[0].differs[0].0.as_str()), (Fate::Replaced, "cluster"));
    }
}
