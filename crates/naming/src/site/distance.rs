//! The quickest way from one site to all others (Dijkstra 1959).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use super::Sites;
use crate::name::Label;

/// Latency of the quickest way from `from` to each site that can be reached.
pub(super) fn distances(sites: &Sites, from: &Label) -> BTreeMap<Label, Duration> {
    let mut neighbours: BTreeMap<&Label, Vec<(&Label, Duration)>> = BTreeMap::new();
    for link in sites.links() {
        let [one, other] = &link.between;
        neighbours.entry(one).or_default().push((other, link.latency));
        neighbours.entry(other).or_default().push((one, link.latency));
    }
    let mut settled = BTreeMap::new();
    let mut open = BinaryHeap::new();
    if let Some(site) = sites.get(from) {
        open.push(Reverse((Duration::ZERO, &site.name)));
    }
    while let Some(Reverse((distance, site))) = open.pop() {
        if settled.contains_key(site) {
            continue;
        }
        settled.insert(site.clone(), distance);
        for (next, latency) in neighbours.get(site).into_iter().flatten() {
            if !settled.contains_key(*next) {
                open.push(Reverse((distance.saturating_add(*latency), next)));
            }
        }
    }
    settled
}
