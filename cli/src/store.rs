//! `flame store`: whether what is stored is what it was. Ingest reads and compares; here it is asked and shown.

use std::time::Duration;

use anyhow::anyhow;
use flame_api::Client;
use flame_api::ingest::Scrub;

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
