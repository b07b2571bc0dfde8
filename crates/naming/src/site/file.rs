//! Reads and judges the site file. What is refused is named with its place and with what is expected there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;

use super::{
    CLUSTERS_MAX, Capacity, Cluster, LATENCY_MAX, LINKS_MAX, Link, SITES_MAX, Site, SiteError, Sites, Tier, VERSION,
};
use crate::name::Label;

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "version")]
    _version: u32,
    sites: Vec<SiteEntry>,
    #[serde(default)]
    links: Vec<LinkEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SiteEntry {
    name: String,
    router: Option<String>,
    #[serde(default)]
    clusters: Vec<ClusterEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClusterEntry {
    name: String,
    tier: Tier,
    cpus: u32,
    memory_mib: u64,
    storage_mib: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkEntry {
    between: [String; 2],
    latency_ms: f64,
    bandwidth_mbps: f64,
    multicast_mbps: Option<f64>,
}

/// The version alone: a later file may have other keys, and its version is what to name then.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// Reads `text`.
pub(super) fn read(text: &str) -> Result<Sites, SiteError> {
    let form = |error| SiteError::Form(Box::new(error));
    let Versioned { version: found } = toml::from_str(text).map_err(form)?;
    if found != VERSION {
        return Err(SiteError::Version { found });
    }
    let File { _version: _, sites: entries, links } = toml::from_str(text).map_err(form)?;
    within("sites", entries.len(), SITES_MAX)?;
    within("links", links.len(), LINKS_MAX)?;
    let mut sites = BTreeMap::new();
    for (at, entry) in entries.into_iter().enumerate() {
        let site = site(at, entry)?;
        if let Some(before) = sites.insert(site.name.clone(), site) {
            return Err(SiteError::Twice { what: format!("site {}", before.name) });
        }
    }
    let mut pairs = BTreeSet::new();
    let links = links.into_iter().enumerate().map(|(at, entry)| {
        let link = link(at, &entry, &sites)?;
        let [one, other] = &link.between;
        if pairs.insert([one.clone().min(other.clone()), one.clone().max(other.clone())]) {
            Ok(link)
        } else {
            Err(SiteError::Twice { what: format!("the link {one} - {other}") })
        }
    });
    let links = links.collect::<Result<_, _>>()?;
    Ok(Sites { sites, links })
}

fn site(at: usize, entry: SiteEntry) -> Result<Site, SiteError> {
    let place = format!("sites[{at}]");
    let name = label(&place, &entry.name)?;
    // Two hyphens part a site from a function in a name: such a site could never be pinned.
    if name.as_str().contains("--") {
        return Err(SiteError::Value { place, reason: format!("`{name}` has `--`, which ends a site in a name") });
    }
    let router = entry.router.map(|router| router.parse());
    let router = router.transpose().map_err(|reason| SiteError::Value { place: format!("{place} router"), reason })?;
    within("clusters of a site", entry.clusters.len(), CLUSTERS_MAX)?;
    let mut clusters: Vec<Cluster> = Vec::with_capacity(entry.clusters.len());
    for (at, ClusterEntry { name, tier, cpus, memory_mib, storage_mib }) in entry.clusters.into_iter().enumerate() {
        let place = format!("{place} clusters[{at}]");
        let name = label(&place, &name)?;
        if cpus == 0 || memory_mib == 0 {
            return Err(SiteError::Value { place, reason: "nothing runs without cpus and memory_mib".to_owned() });
        }
        if clusters.iter().any(|before| before.name == name) {
            return Err(SiteError::Twice { what: format!("cluster {name} of {}", entry.name) });
        }
        clusters.push(Cluster { name, tier, capacity: Capacity { cpus, memory_mib, storage_mib } });
    }
    Ok(Site { name, router, clusters })
}

fn link(at: usize, entry: &LinkEntry, sites: &BTreeMap<Label, Site>) -> Result<Link, SiteError> {
    let end = |name: &String| {
        let site = label(&format!("links[{at}] between"), name)?;
        if sites.contains_key(&site) { Ok(site) } else { Err(SiteError::NoSite { link: at, site }) }
    };
    let [one, other] = [end(&entry.between[0])?, end(&entry.between[1])?];
    if one == other {
        return Err(SiteError::Circle { link: at, site: one });
    }
    let most = LATENCY_MAX.as_secs_f64() * 1000.0;
    let value = |key: &str, reason: String| SiteError::Value { place: format!("links[{at}] {key}"), reason };
    if !(0.0..=most).contains(&entry.latency_ms) {
        return Err(value("latency_ms", format!("{} is not 0 to {most}", entry.latency_ms)));
    }
    if !(entry.bandwidth_mbps.is_finite() && entry.bandwidth_mbps > 0.0) {
        return Err(value("bandwidth_mbps", format!("{} is not above 0", entry.bandwidth_mbps)));
    }
    // Below one megabit no block would come in time.
    let (multicast_mbps, bandwidth_mbps) = (entry.multicast_mbps, entry.bandwidth_mbps);
    if let Some(most) = multicast_mbps.filter(|most| !(1.0..=bandwidth_mbps).contains(most)) {
        return Err(value("multicast_mbps", format!("{most} is not 1 to bandwidth_mbps ({bandwidth_mbps})")));
    }
    let latency = Duration::from_secs_f64(entry.latency_ms / 1000.0);
    Ok(Link { between: [one, other], latency, bandwidth_mbps, multicast_mbps })
}

fn label(place: &str, text: &str) -> Result<Label, SiteError> {
    text.parse().map_err(|source| SiteError::Name { place: place.to_owned(), source })
}

fn within(what: &'static str, count: usize, limit: usize) -> Result<(), SiteError> {
    if count > limit { Err(SiteError::TooMany { what, count, limit }) } else { Ok(()) }
}
