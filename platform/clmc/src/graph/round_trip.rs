//! Round-trip times: the network there, the service, and the network back. Pure.

use std::collections::BTreeMap;

use flame_api::clmc::RoundTrip;

use super::network::{Network, Way, milliseconds};
use crate::series::{Column, Tags};

/// Fields that a service reports which can be measured.
pub const FIELDS: [&str; 3] = ["response_time", "request_size", "response_size"];
/// How many requests a point speaks of, where it says so.
pub const WEIGHT: &str = "requests";

/// Who answers: the measurement, and the context tags.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    pub service: String,
    pub tags: Tags,
}

/// How an endpoint answered.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Answered {
    weight: f64,
    seconds: f64,
    request_bytes: f64,
    response_bytes: f64,
}

/// Which pairs are asked for; all where nothing is said.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The place that requests come from.
    pub source: Option<String>,
    /// The name of the endpoint (`flame_sfe`), or the measurement of the service.
    pub endpoint: Option<String>,
}

/// There are more pairs than may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "there are {pairs} pairs of a place and an endpoint, and at most {max} are looked at: say `from` or `to`, or set `graph.pairs`"
)]
pub struct TooMany {
    pub pairs: usize,
    pub max: usize,
}

// === impl Answered ===

impl Answered {
    /// Adds the points of a series. Each counts for the requests that it speaks of.
    pub fn add(&mut self, columns: &BTreeMap<String, Column>) {
        let value = |name: &str, time_ns: i64| {
            let column = columns.get(name)?;
            let at = column.binary_search_by_key(&time_ns, |(time_ns, _)| *time_ns).ok()?;
            column[at].1.number()
        };
        let [time, request, response] = FIELDS;
        for (time_ns, seconds) in columns.get(time).into_iter().flatten() {
            let Some(seconds) = seconds.number().filter(|seconds| *seconds >= 0.0) else { continue };
            let weight = value(WEIGHT, *time_ns).filter(|count| *count > 0.0).unwrap_or(1.0);
            self.weight += weight;
            self.seconds += seconds * weight;
            self.request_bytes += value(request, *time_ns).unwrap_or(0.0) * weight;
            self.response_bytes += value(response, *time_ns).unwrap_or(0.0) * weight;
        }
    }

    fn mean(&self, sum: f64) -> f64 {
        sum / self.weight
    }
}

// === impl Endpoint ===

impl Endpoint {
    /// The endpoint of a series: of its tags, those of the context.
    pub fn of(service: &str, tags: &Tags) -> Self {
        let context = tags.iter().filter(|(name, _)| name.starts_with("flame_"));
        Self { service: service.to_owned(), tags: context.map(|(name, value)| (name.clone(), value.clone())).collect() }
    }

    /// The site of its server.
    pub fn location(&self) -> Option<&str> {
        self.tags.get("flame_location").map(String::as_str)
    }

    fn is_wanted(&self, wanted: &Wanted) -> bool {
        let is = |name: &String| *name == self.service || self.tags.get("flame_sfe") == Some(name);
        wanted.endpoint.as_ref().is_none_or(is)
    }
}

/// The round-trip time of every pair of a place and an endpoint that is wanted, and between which there is a way. Endpoints
/// that do not say where they are, or did not answer, have none.
pub fn round_trips(
    network: &Network,
    endpoints: &BTreeMap<Endpoint, Answered>,
    wanted: &Wanted,
    pairs_max: usize,
) -> Result<Vec<RoundTrip>, TooMany> {
    let numbers: BTreeMap<&str, usize> = network.places().map(|(number, name)| (name, number)).collect();
    let known: Vec<(&Endpoint, &Answered, usize)> = endpoints
        .iter()
        .filter(|(endpoint, answered)| endpoint.is_wanted(wanted) && answered.weight > 0.0)
        .filter_map(|(endpoint, answered)| Some((endpoint, answered, *numbers.get(endpoint.location()?)?)))
        .collect();
    let sources: Vec<(usize, &str)> =
        network.places().filter(|(_, name)| wanted.source.as_ref().is_none_or(|source| source == name)).collect();
    let pairs = sources.len().saturating_mul(known.len());
    if pairs > pairs_max {
        return Err(TooMany { pairs, max: pairs_max });
    }
    // The ways back begin at few places.
    let mut back: BTreeMap<usize, Vec<Option<Way>>> = BTreeMap::new();
    for (_, _, place) in &known {
        back.entry(*place).or_insert_with(|| network.ways(*place));
    }
    let mut found = Vec::with_capacity(pairs);
    for (from, source) in sources {
        let forward = if known.is_empty() { Vec::new() } else { network.ways(from) };
        for (endpoint, answered, place) in &known {
            let there = forward.get(*place).copied().flatten();
            let home = back.get(place).and_then(|ways| ways.get(from)).copied().flatten();
            if let (Some(there), Some(home)) = (there, home) {
                found.push(round_trip(source, endpoint, answered, [there, home]));
            }
        }
    }
    Ok(found)
}

fn round_trip(source: &str, endpoint: &Endpoint, answered: &Answered, [there, home]: [Way; 2]) -> RoundTrip {
    let [forward_ms, back_ms] = [there, home].map(|way| milliseconds(way.latency));
    let response_ms = answered.mean(answered.seconds) * 1000.0;
    // A megabit a second is a thousand bits a millisecond.
    let on_the_way = |bytes: f64, way: Way| way.bandwidth_mbps.map_or(0.0, |mbps| bytes * 8.0 / (mbps * 1000.0));
    let [request_bytes, response_bytes] =
        [answered.request_bytes, answered.response_bytes].map(|sum| answered.mean(sum));
    RoundTrip {
        source: source.to_owned(),
        service: endpoint.service.clone(),
        location: endpoint.location().unwrap_or_default().to_owned(),
        tags: endpoint.tags.clone(),
        forward_ms,
        response_ms,
        back_ms,
        round_trip_ms: forward_ms + response_ms + back_ms,
        transfer_ms: on_the_way(request_bytes, there) + on_the_way(response_bytes, home),
    }
}
