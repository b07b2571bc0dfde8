//! Placement: which cluster each function goes to. Pure.
//!
//! What is made small is the time that requests spend on the way: the rate of each function's demand times the latency from
//! where it comes, summed. Capacity, the clusters that a function may be at, and who stands beside or apart from whom must
//! hold. It is searched branch by branch, the cheapest first, and a branch is left when it cannot be better than the best one
//! found: the answer is exact unless `steps_max` is reached; then it is the best that was found, with the least that any
//! could cost beside it.

use std::collections::BTreeMap;

use flame_tosca::template::{Function, Resources};

/// Where endpoints can be.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// What it is called.
    pub name: String,
    /// Its site.
    pub site: String,
    /// How near to viewers it is: `data_centre`, `edge`, `far_edge`, `mist`.
    pub tier: String,
    /// What it has.
    pub has: Resources,
}

/// Clusters, and how far their sites are from each other.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Estate {
    /// In the order in which they are preferred.
    pub clusters: Vec<Cluster>,
    /// One-way latency between two sites, milliseconds; both ways alike.
    pub latency_ms: BTreeMap<(String, String), f64>,
    /// That between sites of which nothing is known.
    pub unknown_latency_ms: f64,
}

/// What is there already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// What endpoints take, by cluster.
    pub resources: BTreeMap<String, Resources>,
}

/// Where everything goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// In the order of the functions.
    pub places: Vec<Placement>,
    /// Requests under way at any time because of distance: rate times latency, summed.
    pub cost: f64,
    /// The least that any placement could cost.
    pub bound: f64,
    /// Whether no placement is cheaper.
    pub is_exact: bool,
}

/// Where a function goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Placement {
    /// The function.
    pub function: String,
    /// The cluster, by its place in the estate.
    pub cluster: usize,
    /// What it costs there.
    pub cost: f64,
    /// Why there.
    pub reason: String,
}

/// Why nothing can be placed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A function fits nowhere, even alone.
    #[error("function `{function}` fits nowhere: {reasons}")]
    Nowhere {
        /// The function.
        function: String,
        /// What is in the way at each cluster.
        reasons: String,
    },
    /// Each fits somewhere, but not all at once.
    #[error("the functions do not fit together: {0}")]
    NotTogether(String),
    /// None was found in the steps allowed.
    #[error(
        "no placement was found in {0} steps; there may be one: name clusters in the template, or set `placement.steps_max`"
    )]
    Unknown(u64),
}

/// The search.
struct Search<'a> {
    estate: &'a Estate,
    functions: Vec<&'a Function>,
    /// With whom of those before it each function shares a cluster, and with whom it shares none.
    beside: Vec<Vec<usize>>,
    apart: Vec<Vec<usize>>,
    /// Clusters of each function, the cheapest first.
    choices: Vec<Vec<(f64, usize)>>,
    /// What the functions from here on cost at least.
    rest: Vec<f64>,
    left: Vec<Resources>,
    chosen: Vec<usize>,
    best: Option<(f64, Vec<usize>)>,
    steps: u64,
    steps_max: u64,
}

/// Places functions beside what is there.
pub fn plan(estate: &Estate, taken: &Taken, functions: &[Function], steps_max: u64) -> Result<Plan, PlanError> {
    let left = |cluster: &Cluster| cluster.has.without(taken.resources.get(&cluster.name).copied().unwrap_or_default());
    let left: Vec<Resources> = estate.clusters.iter().map(left).collect();
    let mut choices = Vec::new();
    for function in functions {
        let mut found = Vec::new();
        let mut reasons = Vec::new();
        for (at, cluster) in estate.clusters.iter().enumerate() {
            match obstacle(function, cluster, left[at]) {
                None => found.push((estate.cost(function, cluster), at)),
                Some(reason) => reasons.push(format!("{}: {reason}", cluster.name)),
            }
        }
        if found.is_empty() {
            let reasons = if reasons.is_empty() { "there is no cluster".to_owned() } else { reasons.join("; ") };
            return Err(PlanError::Nowhere { function: function.name.clone(), reasons });
        }
        found.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
        choices.push(found);
    }
    // Who has little choice goes first, and of those who takes most: wrong branches end early.
    let mut order: Vec<usize> = (0..functions.len()).collect();
    order.sort_by_key(|at| {
        let takes = functions[*at].takes;
        (choices[*at].len(), std::cmp::Reverse((takes.cpus, takes.memory_bytes)))
    });
    let choices: Vec<_> = order.iter().map(|at| choices[*at].clone()).collect();
    let mut rest = vec![0.0; functions.len() + 1];
    for at in (0..functions.len()).rev() {
        rest[at] = rest[at + 1] + choices[at][0].0;
    }
    let ordered: Vec<&Function> = order.iter().map(|at| &functions[*at]).collect();
    let mut search = Search {
        estate,
        beside: neighbours(&ordered, |function| &function.beside),
        apart: neighbours(&ordered, |function| &function.apart_from),
        functions: ordered,
        choices,
        rest,
        left,
        chosen: Vec::new(),
        best: None,
        steps: 0,
        steps_max,
    };
    search.go(0, 0.0);
    let is_exact = search.steps < search.steps_max;
    let Some((cost, chosen)) = search.best.take() else {
        return Err(if is_exact {
            PlanError::NotTogether(search.shortage(functions))
        } else {
            PlanError::Unknown(steps_max)
        });
    };
    let bound = if is_exact { cost } else { search.rest[0] };
    let mut places: Vec<(usize, Placement)> = Vec::new();
    for (position, cluster) in chosen.iter().enumerate() {
        let function = search.functions[position];
        let cost = estate.cost(function, &estate.clusters[*cluster]);
        let reason = reason(estate, function, *cluster, &search.choices[position]);
        places.push((order[position], Placement { function: function.name.clone(), cluster: *cluster, cost, reason }));
    }
    places.sort_by_key(|(at, _)| *at);
    Ok(Plan { places: places.into_iter().map(|(_, placement)| placement).collect(), cost, bound, is_exact })
}

/// Neighbours of each function among those before it, whichever of the two lists the other; each once, however long the lists are.
fn neighbours(functions: &[&Function], of: impl Fn(&Function) -> &Vec<String>) -> Vec<Vec<usize>> {
    let positions: BTreeMap<&str, usize> =
        functions.iter().enumerate().map(|(at, function)| (function.name.as_str(), at)).collect();
    let mut found = vec![std::collections::BTreeSet::new(); functions.len()];
    for (at, function) in functions.iter().enumerate() {
        for other in of(function).iter().filter_map(|name| positions.get(name.as_str())) {
            if *other != at {
                found[at.max(*other)].insert(at.min(*other));
            }
        }
    }
    found.into_iter().map(|positions| positions.into_iter().collect()).collect()
}

/// What keeps a function from a cluster, even if it is alone there.
fn obstacle(function: &Function, cluster: &Cluster, left: Resources) -> Option<String> {
    if let Some(wanted) = &function.cluster
        && *wanted != cluster.name
    {
        return Some(format!("a policy wants it at `{wanted}`"));
    }
    if !function.clusters.is_empty() && !function.clusters.iter().any(|name| cluster.is_called(name)) {
        return Some(format!("it may only be at {}", function.clusters.join(", ")));
    }
    if function.takes.fits(left) {
        return None;
    }
    let takes = function.takes;
    let short = [
        ("cpus", takes.cpus, left.cpus),
        ("bytes of memory", takes.memory_bytes, left.memory_bytes),
        ("bytes of disk", takes.disk_bytes, left.disk_bytes),
    ];
    let short: Vec<_> = short.iter().filter(|(_, takes, left)| takes > left).collect();
    Some(
        short
            .iter()
            .map(|(what, takes, left)| format!("it takes {takes} {what}, {left} are left"))
            .collect::<Vec<_>>()
            .join(", "),
    )
}

/// Why a function is where it is.
fn reason(estate: &Estate, function: &Function, cluster: usize, choices: &[(f64, usize)]) -> String {
    if function.cluster.is_some() {
        return "a policy names this cluster".to_owned();
    }
    if choices.len() == 1 {
        return "it can be nowhere else".to_owned();
    }
    let cost = estate.cost(function, &estate.clusters[cluster]);
    if cost > choices[0].0 {
        let nearest = &estate.clusters[choices[0].1].name;
        return format!(
            "{nearest} is nearer to its demand, and has no room for it beside the others, or must not have it"
        );
    }
    if function.demand.is_empty() {
        return format!("it may be at {} clusters, and no demand says where it is wanted", choices.len());
    }
    format!("of {} clusters this is the nearest to its demand", choices.len())
}

// === impl Cluster ===

impl Cluster {
    /// Whether a template that says `name` means it.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        [&self.name, &self.site, &self.tier].into_iter().any(|own| own == name)
    }
}

// === impl Estate ===

impl Estate {
    /// What a function costs at a cluster: requests that are on the way at any time.
    fn cost(&self, function: &Function, cluster: &Cluster) -> f64 {
        function.demand.iter().map(|(site, rate)| rate * self.latency_ms(site, &cluster.site) / 1000.0).sum()
    }

    /// One way, milliseconds.
    #[must_use]
    pub fn latency_ms(&self, from: &str, to: &str) -> f64 {
        if from == to {
            return 0.0;
        }
        let pair = |from: &str, to: &str| self.latency_ms.get(&(from.to_owned(), to.to_owned())).copied();
        pair(from, to).or_else(|| pair(to, from)).unwrap_or(self.unknown_latency_ms)
    }
}

// === impl Search ===

impl Search<'_> {
    fn go(&mut self, at: usize, cost: f64) {
        if at == self.functions.len() {
            if self.best.as_ref().is_none_or(|(best, _)| cost < *best) {
                self.best = Some((cost, self.chosen.clone()));
            }
            return;
        }
        for choice in 0..self.choices[at].len() {
            if self.steps >= self.steps_max {
                return;
            }
            self.steps += 1;
            let (own, cluster) = self.choices[at][choice];
            let least = cost + own + self.rest[at + 1];
            // Choices get dearer: none after this one is better.
            if self.best.as_ref().is_some_and(|(best, _)| least >= *best) {
                return;
            }
            let takes = self.functions[at].takes;
            if !takes.fits(self.left[cluster]) || !self.may_stand(at, cluster) {
                continue;
            }
            self.left[cluster] = self.left[cluster].without(takes);
            self.chosen.push(cluster);
            self.go(at + 1, cost + own);
            self.chosen.pop();
            self.left[cluster] = self.left[cluster].and(takes);
        }
    }

    /// Whether a function may be at a cluster beside those that have been placed.
    fn may_stand(&self, at: usize, cluster: usize) -> bool {
        self.beside[at].iter().all(|other| self.chosen[*other] == cluster)
            && self.apart[at].iter().all(|other| self.chosen[*other] != cluster)
    }

    /// What there is too little of, as far as it can be told.
    fn shortage(&self, functions: &[Function]) -> String {
        let wanted = functions.iter().fold(Resources::default(), |sum, function| sum.and(function.takes));
        let left = self.left.iter().fold(Resources::default(), |sum, left| sum.and(*left));
        if wanted.cpus > left.cpus {
            return format!("they take {} cpus, {} are left", wanted.cpus, left.cpus);
        }
        if wanted.memory_bytes > left.memory_bytes {
            return format!("they take {} bytes of memory, {} are left", wanted.memory_bytes, left.memory_bytes);
        }
        if wanted.disk_bytes > left.disk_bytes {
            return format!("they take {} bytes of disk, {} are left", wanted.disk_bytes, left.disk_bytes);
        }
        format!(
            "no choice among {} clusters meets capacity, `clusters`, `beside` and `apart_from` at once",
            self.estate.clusters.len()
        )
    }
}
