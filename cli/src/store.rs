//! `flame store`: whether what is stored is what it was, and assets that are brought to sites. Ingest reads and compares, streaming copies;
//! here they are asked, and shown.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use flame_api::Client;
use flame_api::ingest::Scrub;
use flame_api::replicas::{PlaceQuery, Placement};
use futures_util::future::join_all;
use uuid::Uuid;

use crate::args::{Global, Store, StoreCommand};
use crate::connection;
use crate::exit::Exit;
use crate::output;

/// How often is looked how far it has come.
const POLL: Duration = Duration::from_millis(500);

pub async fn run(global: &Global, args: Store) -> Result<(), Exit> {
    let client = connection::client(global);
    let found = match args.command {
        StoreCommand::Scrub { no_wait } => {
            let begun = client.begin_scrub().await?;
            if no_wait { begun } else { ended(&client, global.json).await? }
        }
        StoreCommand::Show => client.scrub().await?,
        StoreCommand::Place { id, sites, from, no_wait, patience } => {
            let patience = (!no_wait).then(|| Duration::from_secs(patience));
            return place(global, &client, (id, sites, PlaceQuery { from }), patience).await;
        }
    };
    show(global, &found)?;
    if found.rotten == 0 {
        return Ok(());
    }
    Err(Exit::failed(anyhow!(
        "{} objects are not what they were: bring their assets in anew, or restore a backup",
        found.rotten
    )))
}

/// Waits for the end of the look that is under way.
async fn ended(client: &Client, quiet: bool) -> Result<Scrub, Exit> {
    let mut told = 0;
    loop {
        let scrub = client.scrub().await?;
        if !scrub.is_running {
            return Ok(scrub);
        }
        if !quiet && scrub.objects >= told + 1000 {
            told = scrub.objects;
            eprintln!("  {} objects, {}", scrub.objects, output::size(scrub.size_bytes));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Tells all sites at once, so that what they fetch is the same at the same time, and waits until all have it.
async fn place(
    global: &Global,
    client: &Client,
    (asset, sites, query): (Uuid, Vec<String>, PlaceQuery),
    patience: Option<Duration>,
) -> Result<(), Exit> {
    let (mut best_bytes, mut moved) = (0, Instant::now());
    let mut placed: BTreeMap<&String, Placement> = BTreeMap::new();
    loop {
        let is_patient = patience.is_some_and(|patience| moved.elapsed() <= patience);
        let told = sites.iter().map(|site| client.place(Some(site.as_str()), asset, &query));
        for (site, told) in sites.iter().zip(join_all(told).await) {
            match told {
                Ok(placement) => {
                    placed.insert(site, placement);
                }
                // What it said before holds for as long as something comes somewhere. One that never answered may not be there at all.
                Err(error) if error.is_transient() && is_patient && placed.contains_key(site) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if let Some((site, _)) = placed.iter().find(|(_, placed)| placed.objects == 0) {
            return Err(Exit::failed(anyhow!(
                "nothing of {asset} can be brought to {site}: recordings of channels stay where the channel was"
            )));
        }
        let is_done = placed.values().all(|placed| placed.here == placed.objects);
        let here_bytes = placed.values().map(|placed| placed.here_bytes).sum::<u64>();
        if here_bytes > best_bytes {
            (best_bytes, moved) = (here_bytes, Instant::now());
        }
        let is_over = patience.is_none_or(|patience| moved.elapsed() > patience);
        if is_done || is_over {
            show_placed(global, &placed)?;
            if is_done || patience.is_none() {
                return Ok(());
            }
            return Err(Exit::failed(anyhow!(
                "not all of {asset} came: the logs of streaming at those sites say why; the same command goes on"
            )));
        }
        tokio::time::sleep(POLL).await;
    }
}

fn show_placed(global: &Global, placed: &BTreeMap<&String, Placement>) -> Result<(), Exit> {
    if global.json {
        return output::print_json(placed);
    }
    let mut table = output::table(&["site", "objects", "here", "waiting", "size"]);
    for (site, placed) in placed {
        let Placement { objects, here, waiting, here_bytes } = placed;
        let numbers = [objects, here, waiting].map(u64::to_string);
        let [objects, here, waiting] = numbers;
        table.add_row([(*site).clone(), objects, here, waiting, output::size(*here_bytes)]);
    }
    output::print_line(&table.to_string())
}

fn show(global: &Global, scrub: &Scrub) -> Result<(), Exit> {
    if global.json {
        return output::print_json(scrub);
    }
    if !scrub.rot.is_empty() {
        let mut table = output::table(&["asset", "object", "what", "found"]);
        for rot in &scrub.rot {
            let asset = rot.asset_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
            table.add_row([asset, rot.key.clone(), rot.what.clone(), output::moment(rot.found_at)]);
        }
        output::wrap_only(&mut table, 2);
        output::print_line(&table.to_string())?;
    }
    let read = format!("{} objects, {}", scrub.objects, output::size(scrub.size_bytes));
    output::print_line(&match (scrub.began_at, scrub.ended_at) {
        (None, _) => "nobody has looked yet: `flame store scrub` does".to_owned(),
        (Some(began), None) => format!("under way since {}: {read} so far", output::moment(began)),
        (Some(_), Some(ended)) => {
            let unverified = match scrub.unverified {
                0 => String::new(),
                some => format!(", of which {some} could be read, and no more be said of them"),
            };
            format!("read until {}: {read}{unverified}", output::moment(ended))
        }
    })
}
