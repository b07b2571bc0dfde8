//! Where the points of presence of a site are on this machine: which one everything else stands at, and at which port each router
//! listens. Decides; starts nothing. Distances are the file's: nothing on this machine is slowed down to match them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use flame_naming::Label;
use flame_naming::site::{Cluster, Site, Sites, Tier};
use flame_orchestrator::config::{self, ClusterConfig, LinkConfig, PlacementConfig};
use flame_service_host::config::{Bytes, Span};
use url::Url;

/// The site file of a data folder: the site with the addresses of this start. Written anew at each.
const FILE: &str = "sites.toml";
/// Points of presence that one machine runs at most: each has a router with its threads, and a surrogate with a cache.
const POINTS_MAX: usize = 32;

/// Points of presence on one machine.
#[derive(Debug, Clone)]
pub struct Layout {
    sites: Sites,
    /// The one that everything but the other routers and surrogates stands at.
    home: Label,
    /// Where each router listens.
    listens: BTreeMap<Label, SocketAddr>,
    /// Where each is reached.
    reached: BTreeMap<Label, SocketAddr>,
}

/// A cluster as the orchestrator and templates call it: names in a site file are unique within their site only.
pub fn cluster_name(site: &Site, cluster: &Cluster) -> String {
    format!("{}-{}", site.name, cluster.name)
}

// === impl Layout ===

impl Layout {
    /// Lays a site out on this machine: the router of its data centre listens at `listen`, the others at the ports after it, in the
    /// order of their names; all at free ones where `listen` has port 0.
    pub fn new(sites: Sites, listen: SocketAddr) -> anyhow::Result<Self> {
        let others = sites.iter().count().saturating_sub(1);
        if others >= POINTS_MAX {
            bail!("the site has {} points of presence, and one machine runs at most {POINTS_MAX}", others + 1);
        }
        let ports =
            if listen.port() == 0 { free_ports(listen, others + 1)? } else { ports_after(listen.port(), others)? };
        Self::at(sites, listen, &ports)
    }

    /// The same with ports that were chosen: that of the data centre, then those of the others by name.
    fn at(sites: Sites, listen: SocketAddr, ports: &[u16]) -> anyhow::Result<Self> {
        let is_centre = |site: &&Site| site.clusters.iter().any(|cluster| cluster.tier == Tier::DataCentre);
        let home = sites.iter().find(is_centre).map(|site| site.name.clone());
        let home = home.context(
            "none of its points of presence has a cluster of the tier data_centre: nothing could stand there",
        )?;
        let mut names = BTreeSet::new();
        for site in sites.iter() {
            for name in site.clusters.iter().map(|cluster| cluster_name(site, cluster)) {
                if !names.insert(name.clone()) {
                    bail!("two clusters would be called {name}: give one another name");
                }
            }
        }
        let others = sites.iter().map(|site| &site.name).filter(|name| **name != home);
        let in_order = std::iter::once(&home).chain(others);
        let listens: BTreeMap<Label, SocketAddr> =
            in_order.zip(ports).map(|(name, port)| (name.clone(), SocketAddr::new(listen.ip(), *port))).collect();
        let reached = listens.iter().map(|(name, address)| (name.clone(), crate::bundle::reachable(*address)));
        let reached = reached.collect();
        Ok(Self { sites, home, listens, reached })
    }

    /// The point of presence that everything else stands at.
    pub fn home(&self) -> &Label {
        &self.home
    }

    /// The others, and where their routers listen.
    pub fn others(&self) -> impl Iterator<Item = (&Label, SocketAddr)> {
        self.listens.iter().filter(|(name, _)| **name != self.home).map(|(name, address)| (name, *address))
    }

    /// Writes the site file that all routers read. Blocking.
    pub fn write(&self, data: &Path) -> anyhow::Result<()> {
        let path = Self::file(data);
        std::fs::write(&path, self.text()).with_context(|| format!("write {}", path.display()))
    }

    /// Where that is.
    fn file(data: &Path) -> PathBuf {
        data.join(FILE)
    }

    /// Has a router stand at one of the points of presence.
    pub fn stand(&self, router: &mut flame_router::Config, at: &Label, data: &Path) {
        if let Some(listen) = self.listens.get(at) {
            router.host.listen = *listen;
        }
        router.site = at.to_string();
        router.sites = Some(Self::file(data));
    }

    /// What the orchestrator is told: the clusters, first those of the data centre, each with the router of its point of presence; and how
    /// far all are from each other.
    pub fn placement(&self) -> anyhow::Result<PlacementConfig> {
        let (at_home, away): (Vec<&Site>, Vec<&Site>) = self.sites.iter().partition(|site| site.name == self.home);
        let mut clusters = Vec::new();
        for site in at_home.into_iter().chain(away) {
            let elsewhere = self.reached.get(&site.name).filter(|_| site.name != self.home);
            let router = elsewhere.map(|address| Url::parse(&format!("http://{address}"))).transpose();
            let router = router.context("the address of a router makes a URL")?;
            clusters.extend(site.clusters.iter().map(|cluster| ClusterConfig {
                name: cluster_name(site, cluster),
                site: site.name.to_string(),
                tier: tier(cluster.tier),
                cpus: u64::from(cluster.capacity.cpus),
                memory: Bytes(cluster.capacity.memory_mib.saturating_mul(1 << 20)),
                disk: Bytes(cluster.capacity.storage_mib.saturating_mul(1 << 20)),
                router: router.clone(),
            }));
        }
        let links = self.distances().into_iter().map(|(from, to, latency)| LinkConfig {
            from: from.to_string(),
            to: to.to_string(),
            latency: Span(latency),
        });
        Ok(PlacementConfig { clusters, links: links.collect(), ..PlacementConfig::default() })
    }

    /// How far any two are from each other that a way connects, each pair once.
    fn distances(&self) -> Vec<(Label, Label, Duration)> {
        let mut found = Vec::new();
        for from in self.sites.iter() {
            let all = self.sites.distances(&from.name);
            let later = all.into_iter().filter(|(to, _)| *to > from.name);
            found.extend(later.map(|(to, latency)| (from.name.clone(), to, latency)));
        }
        found
    }

    /// The site file of this machine.
    fn text(&self) -> String {
        let mut text =
            String::from("# Written by `flame up --site` at each start: its routers read it.\nversion = 1\n");
        for site in self.sites.iter() {
            text.push_str(&format!("\n[[sites]]\nname = \"{}\"\n", site.name));
            if let Some(address) = self.reached.get(&site.name) {
                text.push_str(&format!("router = \"{address}\"\n"));
            }
            for Cluster { name, tier, capacity } in &site.clusters {
                text.push_str(&format!(
                    "\n[[sites.clusters]]\nname = \"{name}\"\ntier = \"{tier}\"\ncpus = {}\nmemory_mib = {}\nstorage_mib = {}\n",
                    capacity.cpus, capacity.memory_mib, capacity.storage_mib
                ));
            }
        }
        for link in self.sites.links() {
            let [one, other] = &link.between;
            text.push_str(&format!(
                "\n[[links]]\nbetween = [\"{one}\", \"{other}\"]\nlatency_ms = {}\nbandwidth_mbps = {}\n",
                link.latency.as_secs_f64() * 1000.0,
                link.bandwidth_mbps
            ));
            if let Some(most) = link.multicast_mbps {
                text.push_str(&format!("multicast_mbps = {most}\n"));
            }
        }
        text
    }
}

/// The port, and as many after it as there are others.
fn ports_after(first: u16, others: usize) -> anyhow::Result<Vec<u16>> {
    let last = u16::try_from(others).ok().and_then(|others| first.checked_add(others));
    let last = last.with_context(|| format!("there are not {others} ports after {first}: take a lower one"))?;
    Ok((first..=last).collect())
}

/// Ports that are free now: the site file names them before their routers listen. Whoever is faster than a router costs this start.
fn free_ports(listen: SocketAddr, count: usize) -> anyhow::Result<Vec<u16>> {
    // Held together, so that no two are the same.
    let held: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind(listen))
        .collect::<std::io::Result<_>>()
        .with_context(|| format!("take a port of {}", listen.ip()))?;
    let ports = held.iter().map(|one| one.local_addr().map(|address| address.port())).collect::<std::io::Result<_>>();
    ports.context("read the ports that were taken")
}

fn tier(tier: Tier) -> config::Tier {
    match tier {
        Tier::DataCentre => config::Tier::DataCentre,
        Tier::Edge => config::Tier::Edge,
        Tier::FarEdge => config::Tier::FarEdge,
        Tier::Mist => config::Tier::Mist,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bristol(listen: &str) -> Layout {
        let sites = crate::site::parsed(crate::site::SHIPPED[1].1, "bristol").unwrap();
        Layout::new(sites, listen.parse().unwrap()).unwrap()
    }

    #[test]
    fn every_shipped_site_is_laid_out_around_its_data_centre() {
        for (name, text) in crate::site::SHIPPED {
            let sites = crate::site::parsed(text, name).unwrap();
            let points = sites.iter().count();
            let layout = Layout::new(sites, "127.0.0.1:8080".parse().unwrap()).unwrap();
            let others: Vec<_> = layout.others().map(|(_, address)| address.port()).collect();
            assert_eq!((points, others), (4, vec![8081, 8082, 8083]), "{name}");
            // What the routers read is the same site, with the addresses of this machine.
            let read: Sites = layout.text().parse().unwrap();
            assert_eq!(read.links(), layout.sites.links(), "{name}");
            for (site, before) in read.iter().zip(layout.sites.iter()) {
                assert_eq!((&site.name, &site.clusters), (&before.name, &before.clusters), "{name}");
                let router = site.router.as_ref().map(|router| router.as_str().to_owned());
                assert_eq!(router, Some(layout.reached[&site.name].to_string()), "{name}");
            }
        }
    }

    #[test]
    fn the_orchestrator_prefers_the_data_centre_and_knows_routers_and_distances() {
        let layout = bristol("0.0.0.0:8080");
        let placement = layout.placement().unwrap();
        let seen: Vec<_> = placement
            .clusters
            .iter()
            .map(|one| (one.name.as_str(), one.router.as_ref().map(ToString::to_string).unwrap_or_default()))
            .collect();
        let wanted = [
            ("smart-internet-lab-hall", ""),
            ("millennium-square-tower", "http://127.0.0.1:8081/"),
            ("watershed-rack", "http://127.0.0.1:8082/"),
            ("we-the-curious-rack", "http://127.0.0.1:8083/"),
        ];
        assert_eq!(seen, wanted.map(|(name, router)| (name, router.to_owned())));
        // No link of its own leads there: the quickest way does.
        let far =
            placement.links.iter().find(|link| link.from == "millennium-square" && link.to == "smart-internet-lab");
        let far_ms = far.unwrap().latency.0.as_secs_f64() * 1000.0;
        assert!((far_ms - 1.7).abs() < 0.001, "{far_ms}");
        assert_eq!(placement.links.len(), 6);
    }

    #[test]
    fn ports_are_free_and_differ_where_none_is_named_and_end_where_there_are_none() {
        let layout = bristol("127.0.0.1:0");
        let ports: BTreeSet<u16> = layout.listens.values().map(SocketAddr::port).collect();
        assert!(ports.len() == 4 && !ports.contains(&0), "{ports:?}");
        assert!(ports_after(65_534, 2).is_err());
        assert_eq!(ports_after(65_534, 1).unwrap(), [65_534, 65_535]);
    }

    #[test]
    fn a_site_without_a_data_centre_is_refused() {
        let text = "version = 1\n[[sites]]\nname = \"a\"\n[[sites.clusters]]\nname = \"b\"\ntier = \"edge\"\ncpus = 1\n\
                    memory_mib = 1\nstorage_mib = 1\n";
        let refused = Layout::new(text.parse().unwrap(), "127.0.0.1:8080".parse().unwrap()).unwrap_err();
        assert!(refused.to_string().contains("data_centre"), "{refused}");
    }
}
