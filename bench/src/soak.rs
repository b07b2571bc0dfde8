//! A live channel with viewers for as long as one likes: does memory stay flat?
//!
//! FFmpeg publishes by RTMP to a `flame up` of its own, whose channel has the shortest window there is, so that what leaves it leaves
//! from the first minute on. Viewers follow part by part. Looked at is the resident memory of the process tree: the last quarter of the
//! time beside the second one. It is no benchmark: there is no peer, and `all` leaves it out.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use flame_api::live::NewChannel;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Options;
use crate::flame::{self, Flame};
use crate::process::{self, Server};
use crate::report::{Figure, Row, Section};
use crate::samples::{Bound, Samples};

/// Who watches.
const VIEWERS: usize = 20;
/// The shortest window, seconds.
const WINDOW_S: u32 = 30;
/// Looks at the memory, in all.
const LOOKS: u32 = 240;
/// Memory may be so much larger in the end: allocators do not give back all at once.
const GROWTH_MAX: f64 = 1.1;
/// Time for an answer.
const DEADLINE: Duration = Duration::from_secs(60);
/// A viewer asks again after an answer that is none.
const PAUSE: Duration = Duration::from_millis(200);

/// Watches for `options.minutes`.
pub async fn measure(options: &Options) -> Result<Section> {
    let length = Duration::from_secs(60 * u64::from(options.minutes));
    let workshop = options.workshop()?;
    let door = flame::free_port()?;
    let flame = Flame::up_with_door(&workshop.path().join("data"), Some(door)).await?;
    let new = NewChannel {
        id: Uuid::now_v7(),
        title: "soak".to_owned(),
        segment_ms: 2_000,
        part_ms: 200,
        window_s: WINDOW_S,
        keep_s: None,
        source: None,
        ladder: None,
        encryption: None,
    };
    let channel = flame.client.create_channel(&new).await?;
    let key = channel.key.context("the channel was there before")?;
    let mut publishing = encoder(&format!("rtmp://127.0.0.1:{door}/live/{key}"));
    let mut encoder = Server::start("ffmpeg", &mut publishing)?;
    let folder = format!("{}~streaming/{}", flame.router, channel.id);
    flame::begun(&format!("{folder}/index.m3u8")).await?;

    let stop = CancellationToken::new();
    let mut viewers = JoinSet::new();
    for _ in 0..VIEWERS {
        viewers.spawn(watch(format!("{folder}/{}", channel.version), stop.clone()));
    }
    let began = Instant::now();
    let mut resident = Vec::new();
    println!("minute  resident MiB");
    for look in 1..=LOOKS {
        tokio::time::sleep((length * look / LOOKS).saturating_sub(began.elapsed())).await;
        let mib = flame.server.resident_mib()?;
        ensure!(mib > 0.0, "flame up ended after {:.1} minutes", began.elapsed().as_secs_f64() / 60.0);
        if let Some(status) = encoder.child().try_wait()? {
            bail!("ffmpeg ended after {:.1} minutes: {status}", began.elapsed().as_secs_f64() / 60.0);
        }
        resident.push(mib);
        if look % (LOOKS / 12) == 0 {
            println!("{:6.1}  {mib:12.1}", began.elapsed().as_secs_f64() / 60.0);
        }
    }
    stop.cancel();
    let (mut parts, mut missed) = (Samples::default(), Samples::default());
    while let Some(watched) = viewers.join_next().await {
        let watched = watched??;
        parts.add(f64::from(watched.parts));
        missed.add(f64::from(watched.missed));
    }
    drop(encoder);
    flame.server.stop().await?;

    let quarter = resident.len() / 4;
    let of = |range: std::ops::Range<usize>| resident[range].iter().copied().collect::<Samples>();
    let (second, last) = (of(quarter..2 * quarter), of(3 * quarter..resident.len()));
    // Every viewer gets nearly all of what there is: else little was soaked.
    let expected = length.as_secs_f64() * 5.0 * 0.5;
    Ok(Section {
        name: "soak",
        title: format!("A live channel of {} minutes with {VIEWERS} viewers: memory over time", options.minutes),
        figures: vec![
            Figure {
                what: "last quarter beside the second one (medians)".to_owned(),
                value: last.median() / second.median(),
                unit: "×",
                bound: Some(Bound::AtMost(GROWTH_MAX)),
            },
            Figure {
                what: "parts that a viewer got (fewest)".to_owned(),
                value: parts.min(),
                unit: "",
                bound: Some(Bound::AtLeast(expected)),
            },
        ],
        rows: vec![
            Row { what: "resident, second quarter".to_owned(), unit: "MiB", samples: second },
            Row { what: "resident, last quarter".to_owned(), unit: "MiB", samples: last },
            Row { what: "parts of a viewer".to_owned(), unit: "", samples: parts },
            Row { what: "answers of a viewer that were none".to_owned(), unit: "", samples: missed },
        ],
        notes: vec![
            format!("The window is {WINDOW_S} s; what leaves it stays in the object store, on the disk."),
            "Resident memory (`VmRSS`) of the process and all its descendants.".to_owned(),
        ],
        commands: vec![process::shown(&publishing).replace(&key, "KEY")],
    })
}

fn encoder(door: &str) -> Command {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-nostdin", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25"])
        .args(["-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "50"])
        .args(["-x264-params", "scenecut=0", "-c:a", "aac", "-f", "flv", door])
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true);
    command
}

/// What a viewer had.
#[derive(Debug, Clone, Copy, Default)]
struct Watched {
    /// Parts.
    parts: u32,
    /// Playlists and parts that did not come: a wait in vain, or a connection that broke.
    missed: u32,
}

/// Follows the pictures, part by part, until it is told to stop. An hour is not lost because of one answer.
async fn watch(version: String, stop: CancellationToken) -> Result<Watched> {
    let http = reqwest::Client::builder().no_proxy().timeout(DEADLINE).build()?;
    let (mut next, mut watched) = (None::<String>, Watched::default());
    while !stop.is_cancelled() {
        let query = next.take().unwrap_or_default();
        let Ok(text) = got(&http, &format!("{version}/v/index.m3u8{query}")).await else {
            // It waited in vain, fell behind, or broke off: from the newest on.
            watched.missed += 1;
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let text = String::from_utf8_lossy(&text);
        let part = |line: &str| line.strip_prefix("#EXT-X-PART:").and_then(|line| quoted(line).map(str::to_owned));
        if let Some(name) = text.lines().rev().find_map(part) {
            match got(&http, &format!("{version}/v/{name}")).await {
                Ok(_) => watched.parts += 1,
                Err(_) => watched.missed += 1,
            }
        }
        let hint = text.lines().find(|line| line.starts_with("#EXT-X-PRELOAD-HINT:")).and_then(quoted);
        let hint = hint.and_then(|name| name.strip_suffix(".m4s")?.split_once('.'));
        next = hint.map(|(number, part)| format!("?_HLS_msn={number}&_HLS_part={part}"));
        if next.is_none() {
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(watched)
}

/// The whole of a good answer.
async fn got(http: &reqwest::Client, url: &str) -> reqwest::Result<Vec<u8>> {
    Ok(http.get(url).send().await?.error_for_status()?.bytes().await?.to_vec())
}

/// The value of `URI` in a tag.
fn quoted(line: &str) -> Option<&str> {
    line.split_once("URI=\"")?.1.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_tags() {
        let line = "DURATION=0.2,URI=\"7.3.m4s\",INDEPENDENT=YES";
        assert_eq!(quoted(line), Some("7.3.m4s"));
        assert_eq!(quoted("DURATION=0.2"), None);
    }
}
