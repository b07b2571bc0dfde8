//! `flame edge`: what the surrogates keep, what they must forget, and what they should have before anybody asks.

mod warm;

use flame_api::vcdn::{Figures, Purge, Purged, Stats};

use crate::args::{self, EdgeCommand, Global};
use crate::connection;
use crate::exit::Exit;
use crate::output;

pub async fn run(global: &Global, args::Edge { via, command }: args::Edge) -> Result<(), Exit> {
    let client = connection::client(global);
    match command {
        EdgeCommand::Stats => stats(global, &client.edge_stats_at(&via).await?),
        EdgeCommand::Purge { name, what } => {
            let purge = Purge { name, url: what.url, prefix: what.prefix, tag: what.tag, id: None };
            let purged = client.purge_at(&via, &purge).await?;
            if global.json {
                output::print_json(&purged)?;
            } else {
                let told = purged.peers.len();
                output::print_line(&format!("{} objects dropped, {told} other surrogates told", purged.objects))?;
            }
            match untold(&purged) {
                None => Ok(()),
                Some(untold) => Err(Exit::failed(anyhow::anyhow!(untold))),
            }
        }
        EdgeCommand::Warm { name, url, max } => {
            let warmed = warm::ask(&client, &via, &flame_api::vcdn::Warm { name, url, max }).await?;
            if global.json {
                output::print_json(&warmed)?;
            } else {
                output::print_line(&format!("{} objects are there, {}", warmed.objects, output::size(warmed.bytes)))?;
            }
            match warm::missing(&warmed) {
                None => Ok(()),
                Some(missing) => Err(Exit::failed(anyhow::anyhow!(missing))),
            }
        }
    }
}

/// Who may still serve what was purged, if anybody may.
fn untold(purged: &Purged) -> Option<String> {
    let mut said = Vec::new();
    if !purged.unreached.is_empty() {
        said.push(format!("not reached: {}; they catch up when they are back", purged.unreached.join(", ")));
    }
    if !purged.unheard_sites.is_empty() {
        let sites = purged.unheard_sites.join(", ");
        said.push(format!(
            "not known which surrogates stand at {sites}: the router hears none from there (for good? take it out of the site file, and send \
             the router SIGHUP)"
        ));
    } else if !purged.all_known {
        let unknown = "not known who else there is: the router does not list the surrogates, or has only just begun to; those \
                       that it does not know yet serve what was purged until they ask for purges, every 10 s by default";
        said.push(unknown.to_owned());
    }
    (!said.is_empty()).then(|| said.join("; "))
}

fn stats(global: &Global, stats: &Stats) -> Result<(), Exit> {
    if global.json {
        return output::print_json(stats);
    }
    let columns = ["asset", "hits", "collapsed", "misses", "stale", "passed", "errors", "fetches", "sent", "fetched"];
    let mut table = output::table(&columns);
    let mut row = |name: &str, figures: &Figures| {
        let counts = [figures.hits, figures.collapsed, figures.misses, figures.stale, figures.passed, figures.errors];
        let mut cells = vec![name.to_owned()];
        cells.extend(counts.iter().chain([&figures.fetches]).map(ToString::to_string));
        cells.extend([output::size(figures.sent_bytes), output::size(figures.fetched_bytes)]);
        table.add_row(cells);
    };
    for asset in &stats.assets {
        row(&asset.asset, &asset.figures);
    }
    row("all", &stats.total);
    output::print_line(&table.trim_fmt())?;
    let watched = stats.assets.iter().filter_map(|asset| Some((&asset.asset, asset.viewing.as_ref()?)));
    let watched: Vec<_> = watched.collect();
    if !watched.is_empty() {
        let columns = [
            "asset",
            "sessions",
            "starved",
            "starvations",
            "waiting",
            "errors",
            "throughput",
            "bitrate",
            "buffer",
            "start",
        ];
        let mut viewing = output::table(&columns);
        let unit = |value: Option<u64>, unit: &str| value.map_or("-".to_owned(), |value| format!("{value} {unit}"));
        for (asset, fare) in watched {
            let mut cells = vec![asset.clone()];
            let counts = [fare.sessions, fare.starved_sessions, fare.starvations, fare.rebuffering, fare.errors];
            cells.extend(counts.iter().map(ToString::to_string));
            cells.extend([unit(fare.throughput_kbps, "kbit/s"), unit(fare.bitrate_kbps, "kbit/s")]);
            cells.extend([unit(fare.buffer_ms, "ms"), unit(fare.start_delay_ms, "ms")]);
            viewing.add_row(cells);
        }
        output::print_line(&viewing.trim_fmt())?;
    }
    let mut kept = output::table(&["tenant", "in memory", "objects", "on disk", "objects", "fills", "on their way"]);
    for tier in &stats.kept {
        kept.add_row([
            tier.tenant.clone(),
            output::size(tier.memory_bytes),
            tier.memory_objects.to_string(),
            output::size(tier.disk_bytes),
            tier.disk_objects.to_string(),
            tier.fills.to_string(),
            output::size(tier.filling_bytes),
        ]);
    }
    output::print_line(&kept.trim_fmt())?;
    output::print_line(&format!("{} serves {}", stats.surrogate, stats.names.join(", ")))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn who_may_still_serve_what_was_purged_is_named_with_what_to_do() {
        let told = |unreached: &[&str], unheard: &[&str], all_known| {
            let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
            untold(&Purged {
                id: Uuid::nil(),
                objects: 1,
                peers: vec!["192.0.2.1:80".to_owned()],
                unreached: owned(unreached),
                all_known,
                unheard_sites: owned(unheard),
            })
        };
        assert_eq!(told(&[], &[], true), None);
        for (unreached, unheard, all_known, words) in [
            (&["192.0.2.2:80"] as &[&str], &[] as &[&str], true, &["192.0.2.2:80", "catch up"][..]),
            (&[], &["edge", "attic"], false, &["edge, attic", "site file", "SIGHUP"]),
            (&[], &[], false, &["not known who else there is"]),
            (&["192.0.2.2:80"], &["edge"], false, &["192.0.2.2:80", "edge"]),
        ] {
            let said = told(unreached, unheard, all_known).expect("somebody may serve it");
            assert!(words.iter().all(|word| said.contains(word)), "{said}");
        }
    }
}
