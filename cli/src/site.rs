//! `flame site`: the sites that are shipped, and what a site file says. Which of it runs is `flame up --site`'s: [`layout`] decides where
//! everything goes on this machine, [`presence`] is what stands at each point of presence.

pub mod layout;
pub mod presence;

use std::path::Path;

use anyhow::{Context, anyhow};
use flame_naming::site::Sites;
use serde_json::{Value, json};

use crate::args::{self, Global, SiteCommand};
use crate::exit::Exit;
use crate::output;

/// The sites that are shipped (templates/sites), by name.
const SHIPPED: [(&str, &str); 4] = [
    ("barcelona", include_str!("../../templates/sites/barcelona.toml")),
    ("bristol", include_str!("../../templates/sites/bristol.toml")),
    ("kings-college-london", include_str!("../../templates/sites/kings-college-london.toml")),
    ("level7-sicily", include_str!("../../templates/sites/level7-sicily.toml")),
];
/// Longest site file that is read.
const FILE_MAX_BYTES: u64 = 1 << 20;

pub fn run(global: &Global, args: args::Site) -> Result<(), Exit> {
    match args.command {
        SiteCommand::List => list(global),
        SiteCommand::Show { site } => show(global, &site),
    }
}

/// The site that somebody calls `named`: one that is shipped, else a file.
///
/// # Errors
/// There is neither, or it cannot be used: [`Exit::usage`] with what is wrong, and where.
pub fn read(named: &str) -> Result<Sites, Exit> {
    if let Some((_, text)) = SHIPPED.iter().find(|(name, _)| *name == named) {
        return parsed(text, named).map_err(Exit::usage);
    }
    let path = Path::new(named);
    let Ok(found) = path.metadata() else {
        let names: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
        let instead = flame_tosca::words::instead(named, &names);
        return Err(Exit::usage(anyhow!("`{named}` is neither a site that is shipped nor a file: {instead}")));
    };
    if found.len() > FILE_MAX_BYTES {
        return Err(Exit::usage(anyhow!("{named} is longer than {FILE_MAX_BYTES} bytes")));
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("read {named}")).map_err(Exit::usage)?;
    parsed(&text, named).map_err(Exit::usage)
}

fn parsed(text: &str, named: &str) -> anyhow::Result<Sites> {
    text.parse().with_context(|| format!("{named} is no site file"))
}

fn list(global: &Global) -> Result<(), Exit> {
    let mut table = output::table(&["site", "points of presence", "clusters", "cpus", "memory"]);
    let mut shown = Vec::new();
    for (name, _) in SHIPPED {
        let sites = read(name)?;
        let clusters = || sites.iter().flat_map(|site| &site.clusters);
        let (points, count) = (sites.iter().count(), clusters().count());
        let cpus: u64 = clusters().map(|one| u64::from(one.capacity.cpus)).sum();
        let memory_mib: u64 = clusters().map(|one| one.capacity.memory_mib).sum();
        let memory = output::size(memory_mib << 20);
        table.add_row([name.to_owned(), points.to_string(), count.to_string(), cpus.to_string(), memory]);
        shown.push(json!({
            "name": name, "points_of_presence": points, "clusters": count, "cpus": cpus, "memory_mib": memory_mib,
        }));
    }
    if global.json {
        return output::print_json(&json!({ "items": shown }));
    }
    output::print_line(&table.trim_fmt())
}

fn show(global: &Global, named: &str) -> Result<(), Exit> {
    let sites = read(named)?;
    if global.json {
        return output::print_json(&described(&sites));
    }
    let mut table = output::table(&["point of presence", "cluster", "tier", "cpus", "memory", "disk"]);
    for site in sites.iter() {
        for cluster in &site.clusters {
            let has = cluster.capacity;
            table.add_row([
                site.name.to_string(),
                layout::cluster_name(site, cluster),
                cluster.tier.to_string(),
                has.cpus.to_string(),
                output::size(has.memory_mib << 20),
                output::size(has.storage_mib << 20),
            ]);
        }
    }
    output::print_line(&table.trim_fmt())?;
    let mut table = output::table(&["link", "one way", "carries"]);
    for link in sites.links() {
        let [one, other] = &link.between;
        let latency = format!("{} ms", link.latency.as_secs_f64() * 1000.0);
        table.add_row([format!("{one} – {other}"), latency, format!("{} Mbit/s", link.bandwidth_mbps)]);
    }
    output::print_line(&format!("\n{}", table.trim_fmt()))?;
    output::print_line("\nThese are the file's words: `flame up --site` counts on them, and slows nothing down.")
}

fn described(sites: &Sites) -> Value {
    let points = sites.iter().map(|site| {
        let clusters = site.clusters.iter().map(|cluster| {
            json!({
                "name": layout::cluster_name(site, cluster), "tier": cluster.tier, "cpus": cluster.capacity.cpus,
                "memory_mib": cluster.capacity.memory_mib, "storage_mib": cluster.capacity.storage_mib,
            })
        });
        json!({ "name": site.name.as_str(), "clusters": clusters.collect::<Vec<_>>() })
    });
    let links = sites.links().iter().map(|link| {
        let [one, other] = &link.between;
        json!({
            "between": [one.as_str(), other.as_str()], "latency_ms": link.latency.as_secs_f64() * 1000.0,
            "bandwidth_mbps": link.bandwidth_mbps,
        })
    });
    json!({ "points_of_presence": points.collect::<Vec<_>>(), "links": links.collect::<Vec<_>>() })
}
