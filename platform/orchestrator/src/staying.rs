//! Placement of what runs already: who is unchanged stays where it is, unless what is asked for now forbids that. Pure.
//!
//! Moving is dear: for a while a function that moves takes its room twice. So all that may stay is held there first; if that
//! leaves no placement, those are let go that have neighbours to heed; then all.

use flame_tosca::template::{Function, Resources};

use crate::plan::{Cluster, Estate, Plan, PlanError, Taken, plan};

/// A function that runs unchanged, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// The function.
    pub function: String,
    /// Its cluster.
    pub cluster: String,
    /// What it takes there.
    pub takes: Resources,
}

/// Places functions beside what others take, of which some have a home.
pub fn plan_around(
    estate: &Estate,
    taken: &Taken,
    functions: &[Function],
    homes: &[Home],
    steps_max: u64,
) -> Result<Plan, PlanError> {
    let allowed: Vec<&Home> = homes.iter().filter(|home| may_stay(estate, functions, home)).collect();
    let unbound = allowed.iter().copied().filter(|home| !has_neighbours(functions, &home.function)).collect();
    let mut refused = None;
    let mut tried: Option<Vec<&Home>> = None;
    for staying in [at_peace(functions, &allowed), unbound, Vec::new()] {
        if tried.as_ref() == Some(&staying) {
            continue;
        }
        match plan_with(estate, taken, functions, homes, &staying, steps_max) {
            Ok(plan) => return Ok(plan),
            Err(error) => drop(refused.get_or_insert(error)),
        }
        tried = Some(staying);
    }
    Err(refused.unwrap_or(PlanError::Unknown(steps_max)))
}

fn plan_with(
    estate: &Estate,
    taken: &Taken,
    functions: &[Function],
    homes: &[Home],
    staying: &[&Home],
    steps_max: u64,
) -> Result<Plan, PlanError> {
    let mut taken = taken.clone();
    for leaving in homes.iter().filter(|home| !staying.contains(home)) {
        // It is there until its successor serves.
        let sum = taken.resources.entry(leaving.cluster.clone()).or_default();
        *sum = sum.and(leaving.takes);
    }
    let stays = |name: &str| staying.iter().find(|home| home.function == name);
    let held = |function: &Function| {
        let cluster = stays(&function.name).map(|home| home.cluster.clone()).or_else(|| function.cluster.clone());
        Function { cluster, ..function.clone() }
    };
    let held: Vec<Function> = functions.iter().map(held).collect();
    let mut plan = plan(estate, &taken, &held, steps_max)?;
    for place in plan.places.iter_mut().filter(|place| stays(&place.function).is_some()) {
        "it is there already".clone_into(&mut place.reason);
    }
    Ok(plan)
}

/// Whether a function may be at its home, as far as that is about itself.
fn may_stay(estate: &Estate, functions: &[Function], home: &Home) -> bool {
    let cluster = estate.clusters.iter().find(|cluster| cluster.name == home.cluster);
    let function = functions.iter().find(|function| function.name == home.function);
    cluster.zip(function).is_some_and(|(cluster, function)| {
        function.cluster.as_ref().is_none_or(|wanted| *wanted == cluster.name) && may_be_at(function, cluster)
    })
}

fn may_be_at(function: &Function, cluster: &Cluster) -> bool {
    function.clusters.is_empty() || function.clusters.iter().any(|name| cluster.is_called(name))
}

/// Those of `homes` that can all stay, as far as neighbours are concerned; of two that cannot, the first.
fn at_peace<'a>(functions: &[Function], homes: &[&'a Home]) -> Vec<&'a Home> {
    let function = |home: &Home| functions.iter().find(|function| function.name == home.function);
    let mut staying: Vec<&Home> = Vec::new();
    for home in homes {
        let Some(own) = function(home) else { continue };
        let is_right = staying.iter().filter_map(|other| Some((other, function(other)?))).all(|(there, other)| {
            let beside = own.beside.contains(&other.name) || other.beside.contains(&own.name);
            let apart = own.apart_from.contains(&other.name) || other.apart_from.contains(&own.name);
            !(beside && there.cluster != home.cluster || apart && there.cluster == home.cluster)
        });
        if is_right {
            staying.push(home);
        }
    }
    staying
}

fn has_neighbours(functions: &[Function], name: &str) -> bool {
    functions.iter().any(|function| {
        let lists = [&function.beside, &function.apart_from];
        lists
            .iter()
            .any(|list| if function.name == name { !list.is_empty() } else { list.iter().any(|one| one == name) })
    })
}
