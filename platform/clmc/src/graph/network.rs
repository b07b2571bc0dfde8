//! The network as the graph sees it: places, and how long it takes from one to another. Pure.
//!
//! Site files say which links there are, with latency and bandwidth, the same both ways. Measurements know better: a latency
//! that was measured from one end to the other takes the place of that of the file, each way by itself; one that was measured
//! one way only is taken for both. What is measured between places that no link connects is a link of its own, so user
//! equipment is in the graph as soon as somebody measures how far it is from its site.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use flame_api::clmc::{NetworkGraph, NetworkLink, NetworkNode, NodeKind};
use flame_naming::site::{LATENCY_MAX, Sites};

/// Places of a graph; of what is measured between further ones nothing is taken.
pub const NODES_MAX: usize = 1024;
/// Links of a graph, each way by itself; likewise.
pub const LINKS_MAX: usize = 16_384;

/// A latency that was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// From where.
    pub source: String,
    /// To where.
    pub target: String,
    /// One way.
    pub latency: Duration,
}

/// Places and links.
#[derive(Debug, Clone, Default)]
pub struct Network {
    nodes: Vec<(String, NodeKind)>,
    numbers: BTreeMap<String, usize>,
    /// By their ends: from, to.
    links: BTreeMap<(usize, usize), Link>,
}

#[derive(Debug, Clone, Copy)]
struct Link {
    latency: Duration,
    bandwidth_mbps: Option<f64>,
    is_measured: bool,
}

/// The quickest way from one place to another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Way {
    /// Of all links together, one way.
    pub latency: Duration,
    /// The bandwidth of the narrowest link of which it is known.
    pub bandwidth_mbps: Option<f64>,
}

// === impl Measured ===

impl Measured {
    /// A latency in milliseconds; `None` where it cannot be one.
    pub fn new(source: &str, target: &str, latency_ms: f64) -> Option<Self> {
        let is_one = (0.0..=LATENCY_MAX.as_secs_f64() * 1000.0).contains(&latency_ms) && source != target;
        is_one.then(|| Self {
            source: source.to_owned(),
            target: target.to_owned(),
            latency: Duration::from_secs_f64(latency_ms / 1000.0),
        })
    }
}

// === impl Network ===

impl Network {
    /// What a site file says, and what was measured; of the same two places the later one of `measured` holds.
    pub fn new(sites: &Sites, measured: &[Measured]) -> Self {
        let mut network = Self::default();
        for site in sites.iter() {
            network.place(site.name.as_str(), NodeKind::Site);
        }
        for link in sites.links() {
            let [one, other] = link.between.each_ref().map(|name| network.place(name.as_str(), NodeKind::Site));
            if let (Some(one), Some(other)) = (one, other) {
                let known =
                    Link { latency: link.latency, bandwidth_mbps: Some(link.bandwidth_mbps), is_measured: false };
                network.links.insert((one, other), known);
                network.links.insert((other, one), known);
            }
        }
        for Measured { source, target, latency } in measured {
            let [source, target] = [source, target].map(|name| network.place(name, NodeKind::UserEquipment));
            if let (Some(source), Some(target)) = (source, target) {
                network.measured(source, target, *latency, true);
                network.measured(target, source, *latency, false);
            }
        }
        network
    }

    /// Takes a latency. Where it was measured the other way (`is_own` false) a measured one of this way stays.
    fn measured(&mut self, from: usize, to: usize, latency: Duration, is_own: bool) {
        let is_full = self.links.len() >= LINKS_MAX;
        match self.links.get_mut(&(from, to)) {
            Some(link) if is_own || !link.is_measured => {
                link.latency = latency;
                link.is_measured = is_own;
            }
            Some(_) => {}
            None if is_full => {}
            None => {
                self.links.insert((from, to), Link { latency, bandwidth_mbps: None, is_measured: is_own });
            }
        }
    }

    /// The number of a place, which is made where it is not known; `None` where there are too many.
    pub fn place(&mut self, name: &str, kind: NodeKind) -> Option<usize> {
        if let Some(number) = self.numbers.get(name) {
            return Some(*number);
        }
        if self.nodes.len() >= NODES_MAX {
            return None;
        }
        let number = self.nodes.len();
        self.nodes.push((name.to_owned(), kind));
        self.numbers.insert(name.to_owned(), number);
        Some(number)
    }

    /// All places with their numbers.
    pub fn places(&self) -> impl Iterator<Item = (usize, &str)> {
        self.nodes.iter().enumerate().map(|(number, (name, _))| (number, name.as_str()))
    }

    /// The quickest ways from a place to all others (Dijkstra 1959), by their numbers; `None` where none leads there.
    pub fn ways(&self, from: usize) -> Vec<Option<Way>> {
        let mut ways: Vec<Option<Way>> = vec![None; self.nodes.len()];
        // The latency, the place, and where one comes from.
        let mut open = BinaryHeap::from([Reverse((Duration::ZERO, from, from))]);
        while let Some(Reverse((latency, at, before))) = open.pop() {
            if ways.get(at).is_none_or(Option::is_some) {
                continue;
            }
            let narrowest = ways.get(before).copied().flatten().and_then(|way| way.bandwidth_mbps);
            let last = self.links.get(&(before, at)).and_then(|link| link.bandwidth_mbps);
            let bandwidth_mbps = narrowest.into_iter().chain(last).reduce(f64::min);
            ways[at] = Some(Way { latency, bandwidth_mbps });
            for ((_, next), link) in self.links.range((at, 0)..=(at, usize::MAX)) {
                if ways.get(*next).is_some_and(Option::is_none) {
                    open.push(Reverse((latency.saturating_add(link.latency), *next, at)));
                }
            }
        }
        ways
    }

    /// It as the API shows it.
    pub fn shown(&self) -> NetworkGraph {
        let name = |number: usize| self.nodes.get(number).map(|(name, _)| name.clone()).unwrap_or_default();
        let nodes = self.nodes.iter().map(|(name, kind)| NetworkNode { name: name.clone(), kind: *kind });
        let links = self.links.iter().map(|((from, to), link)| NetworkLink {
            source: name(*from),
            target: name(*to),
            latency_ms: milliseconds(link.latency),
            bandwidth_mbps: link.bandwidth_mbps,
            is_measured: link.is_measured,
        });
        NetworkGraph { nodes: nodes.collect(), links: links.collect() }
    }
}

/// A time as the API says it.
pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
