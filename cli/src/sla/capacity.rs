//! What one surrogate does with nobody else there: its time to an answer that it has and to one that it has to fetch, and what it
//! sends at most. It asks as fast as it can, which no viewer does: of viewers it says nothing.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use reqwest::Client;
use tokio::task::JoinSet;
use url::Url;

/// Objects whose times are taken.
const OBJECTS_MAX: usize = 12;
/// Who asks at once for what it sends at most. Few: answers that wait too long for the link are refused.
const AT_ONCE: usize = 6;
/// What was let go at once is sent first; then so long is counted.
const SETTLING: Duration = Duration::from_millis(700);
const COUNTED: Duration = Duration::from_millis(2500);
/// Time for one answer.
const DEADLINE: Duration = Duration::from_secs(20);
/// Answers in a row that may say that the link is busy, and the pause after each.
const REFUSED_MAX: u32 = 1000;
const PAUSE: Duration = Duration::from_millis(20);

/// Times to the head of an answer, milliseconds: one that it fetches, one that it has.
pub async fn heads(http: &Client, objects: &[Url]) -> anyhow::Result<(f64, f64)> {
    // Backwards: what is fetched ahead is what comes next.
    let objects: Vec<&Url> = objects.iter().rev().take(OBJECTS_MAX).collect();
    let (mut misses, mut hits) = (Vec::new(), Vec::new());
    for times in [&mut misses, &mut hits] {
        for object in &objects {
            let began = Instant::now();
            let answer = http.get((*object).clone()).timeout(DEADLINE).send().await?.error_for_status()?;
            times.push(began.elapsed().as_secs_f64() * 1000.0);
            answer.bytes().await?;
        }
    }
    Ok((middle(misses).context("there is nothing to ask for")?, middle(hits).context("there is nothing to ask for")?))
}

fn middle(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// What it sends at most, bits a second: bodies that came to their end, of objects that it has.
pub async fn most_bps(http: &Client, objects: &[Url]) -> anyhow::Result<f64> {
    ensure!(!objects.is_empty(), "there is nothing to ask for");
    let began = Instant::now();
    let (from, to) = (began + SETTLING, began + SETTLING + COUNTED);
    let mut askers = JoinSet::new();
    for asker in 0..AT_ONCE {
        let (http, objects) = (http.clone(), objects.to_vec());
        askers.spawn(async move {
            let (mut bytes, mut refused) = (0u64, 0u32);
            for object in objects.iter().cycle().skip(asker) {
                if Instant::now() >= to {
                    break;
                }
                let answer = http.get(object.clone()).timeout(DEADLINE).send().await?;
                if !answer.status().is_success() {
                    // The link is busy for longer than anybody waits: it sends all that it can.
                    refused += 1;
                    ensure!(refused < REFUSED_MAX, "{object} is answered with {}", answer.status());
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                let length = answer.bytes().await?.len() as u64;
                let ended = Instant::now();
                if ended >= from && ended < to {
                    bytes += length;
                }
            }
            anyhow::Ok(bytes)
        });
    }
    let mut bytes = 0;
    while let Some(asker) = askers.join_next().await {
        bytes += asker??;
    }
    ensure!(bytes > 0, "nothing came in {} ms", COUNTED.as_millis());
    #[allow(clippy::cast_precision_loss, reason = "a rate")]
    Ok(bytes as f64 * 8.0 / COUNTED.as_secs_f64())
}
