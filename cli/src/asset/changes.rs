//! `flame asset changes`: what became of all assets, page by page or as it happens.

use std::time::Duration;

use flame_api::Client;
use flame_api::metadata::{ChangeNotice, ChangesQuery};

use crate::args::Global;
use crate::exit::Exit;
use crate::output;

/// Changes asked for at once.
const PAGE: u32 = 200;
/// Pause before a feed that broke off is opened again.
const PAUSE: Duration = Duration::from_millis(500);

/// Prints the changes after `after`; with `follow` also those to come, until it is interrupted.
pub async fn run(global: &Global, client: &Client, after: Option<u64>, follow: bool, limit: usize) -> Result<(), Exit> {
    if follow {
        return tokio::select! {
            ended = follow_on(global, client, after) => ended,
            interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
        };
    }
    let (mut after, mut left) = (after.unwrap_or(0), limit);
    while left > 0 {
        let wanted = u32::try_from(left).unwrap_or(PAGE).min(PAGE);
        let page = client.changes(&ChangesQuery { after: Some(after), limit: Some(wanted) }).await?;
        page.items.iter().try_for_each(|change| print(global, change))?;
        if page.items.is_empty() {
            break;
        }
        (after, left) = (page.position, left - page.items.len());
    }
    Ok(())
}

async fn follow_on(global: &Global, client: &Client, mut after: Option<u64>) -> Result<(), Exit> {
    if after.is_none() {
        // What comes from now on, also if the first connection breaks before anything has.
        after = Some(client.changes(&ChangesQuery::default()).await?.position);
    }
    loop {
        let query = ChangesQuery { after, limit: None };
        let broken = match client.follow_changes(&query).await {
            Ok(mut stream) => loop {
                match stream.next().await {
                    Ok(Some(change)) => {
                        print(global, &change)?;
                        after = Some(change.position);
                    }
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            },
            Err(error) => Some(error),
        };
        if let Some(error) = broken.filter(|error| !error.is_transient()) {
            return Err(error.into());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn print(global: &Global, change: &ChangeNotice) -> Result<(), Exit> {
    if global.json {
        return output::print_line(&serde_json::to_string(change).map_err(Exit::failed)?);
    }
    let ChangeNotice { position, asset_id, revision, at, by, action, detail } = change;
    let (at, did) = (output::moment(*at), super::history::word(*action));
    let detail = detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
    output::print_line(&format!("{position:>8}  {at}  {asset_id}  revision {revision}: {by} {did}{detail}"))
}
