//! The cheapest surrogates that keep a promise. Pure.
//!
//! Which clusters are open says who serves whom, and with that each open cluster needs, of each size, a least number. So every set of open
//! clusters is looked at, and of each the sizes, branch by branch, left when they are no cheaper than the best found. The answer is
//! exact unless there are more clusters than [`CLUSTERS_MAX`] (then the nearest to the demand are looked at), or `steps_max` is reached.

use std::collections::BTreeMap;

use crate::model::{Choice, Limits, Model, Takes, served};

/// Most clusters that are looked at.
pub const CLUSTERS_MAX: usize = 10;

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// What is at each cluster; nothing where nothing keeps the promise.
    pub best: Option<Best>,
    /// Whether nothing is cheaper.
    pub is_exact: bool,
}

/// The cheapest.
#[derive(Debug, Clone, PartialEq)]
pub struct Best {
    /// By cluster.
    pub choices: Vec<Option<Choice>>,
    /// All together.
    pub takes: Takes,
}

/// A number of surrogates of one size that keeps the promise at a cluster.
type Able = (usize, Choice, Takes);

struct Search<'a> {
    limits: &'a Limits,
    best: Option<(Takes, Vec<(usize, Choice)>)>,
    steps: u64,
    steps_max: u64,
}

/// Looks for the cheapest.
#[must_use]
pub fn solve(model: &Model<'_>, limits: &Limits, steps_max: u64) -> Found {
    let Some(rendition) = model.rendition(limits.vmaf) else { return Found { best: None, is_exact: true } };
    let clusters = candidates(model);
    let mut search = Search { limits, best: None, steps: 0, steps_max };
    // The same sites at the same cluster come up in many sets.
    let mut known: BTreeMap<(usize, Vec<usize>), Vec<Able>> = BTreeMap::new();
    for set in 1_u32..1 << clusters.len() {
        if search.steps >= steps_max || model.is_spent() {
            break;
        }
        search.steps += 1;
        let open: Vec<usize> =
            clusters.iter().enumerate().filter(|(at, _)| set & 1 << at != 0).map(|(_, one)| *one).collect();
        let Some(serving) = model.serving(|cluster| open.contains(&cluster)) else { continue };
        // One that serves nobody is looked at without.
        if open.iter().any(|cluster| !serving.contains(cluster)) {
            continue;
        }
        let choices = open.iter().map(|cluster| {
            let sites = served(&serving, *cluster);
            let found = known.entry((*cluster, sites));
            found.or_insert_with_key(|(cluster, sites)| able(model, limits, rendition, *cluster, sites)).clone()
        });
        let choices: Vec<Vec<Able>> = choices.collect();
        search.go(&choices, &mut Vec::new(), Takes::default());
    }
    let is_exact = search.steps < steps_max && !model.is_spent() && clusters.len() == model.clusters.len();
    let best = search.best.map(|(takes, chosen)| {
        let mut choices = vec![None; model.clusters.len()];
        for (cluster, choice) in chosen {
            choices[cluster] = Some(choice);
        }
        Best { choices, takes }
    });
    Found { best, is_exact }
}

/// The clusters that are looked at: all, or those nearest to each site in turn.
fn candidates(model: &Model<'_>) -> Vec<usize> {
    let all: Vec<usize> = (0..model.clusters.len()).collect();
    if all.len() <= CLUSTERS_MAX {
        return all;
    }
    let mut chosen = Vec::new();
    for rank in 0..all.len() {
        for site in 0..model.sla.demand.len() {
            let mut by_distance = all.clone();
            by_distance.sort_by(|one, other| {
                model.clusters[*one].latency_ms[site].total_cmp(&model.clusters[*other].latency_ms[site])
            });
            if chosen.len() < CLUSTERS_MAX && !chosen.contains(&by_distance[rank]) {
                chosen.push(by_distance[rank]);
            }
        }
    }
    chosen.sort_unstable();
    chosen
}

/// Of each size the least number that keeps the promise, with what is there for failures; the cheapest first.
fn able(model: &Model<'_>, limits: &Limits, rendition: usize, cluster: usize, sites: &[usize]) -> Vec<Able> {
    let most = model.sla.instances_max;
    let mut found = Vec::new();
    for size in 0..model.sla.cache_mib.len() {
        let serves = |instances| model.serves(limits, rendition, cluster, sites, Choice { instances, size });
        let Some(needed) = least(1, most, serves) else { continue };
        let lasts = |instances| limits.availability.is_none_or(|bound| model.availability(needed, instances) >= bound);
        let Some(instances) = least(needed, most, lasts) else { continue };
        let choice = Choice { instances, size };
        let takes = model.takes(cluster, choice);
        if model.fits(cluster, takes, limits) {
            found.push((cluster, choice, takes));
        }
    }
    found.sort_by(|one, other| one.2.per_hour.total_cmp(&other.2.per_hour));
    found
}

/// The least number from `from` to `most` that does, where each one above does, too; nothing if `most` does not.
fn least(from: u64, most: u64, does: impl Fn(u64) -> bool) -> Option<u64> {
    let (mut low, mut high) = (from, most);
    if from > most || !does(most) {
        return None;
    }
    while low < high {
        let middle = low.midpoint(high);
        if does(middle) { high = middle } else { low = middle + 1 }
    }
    Some(high)
}

// === impl Search ===

impl Search<'_> {
    fn go(&mut self, choices: &[Vec<Able>], chosen: &mut Vec<(usize, Choice)>, takes: Takes) {
        let Some((first, rest)) = choices.split_first() else {
            self.best = Some((takes, chosen.clone()));
            return;
        };
        for (cluster, choice, own) in first {
            if self.steps >= self.steps_max {
                return;
            }
            self.steps += 1;
            let all = takes.and(*own);
            // They get dearer: none after this one is better.
            if self.best.as_ref().is_some_and(|(best, _)| all.per_hour >= best.per_hour) {
                return;
            }
            if self.limits.affords(all) {
                chosen.push((*cluster, *choice));
                self.go(rest, chosen, all);
                chosen.pop();
            }
        }
    }
}
