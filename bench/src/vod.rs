//! Films: a segment cut just in time out of an upload, beside nginx sending the same bytes from a file; and how soon an upload plays.
//!
//! Ours stores the upload once and cuts each segment when it is asked for; nginx's file holds what ours answered, byte for byte
//! (checked). streaming is asked at its own port, as nginx is; through the router, as viewers come, stands beside it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use reqwest::Client;
use tokio::process::Command;
use tokio::time::sleep;
use url::Url;
use uuid::Uuid;

use crate::flame::{self, Flame};
use crate::ladder::looped_clip;
use crate::load::{self, Load};
use crate::nginx::{self, Nginx};
use crate::report::{Figure, Row, Section};
use crate::samples::{Bound, Samples};
use crate::{Options, machine, process};

/// Promised share of nginx's rate.
const RATE_MIN: f64 = 0.8;
/// Promised time from the end of an upload to its first segments, seconds.
const PLAYS_MAX_S: f64 = 1.0;
/// Connections that ask for the segment, and for how long.
const LOAD: Load = Load { connections: 32, seconds: 3 };
/// The segment that is asked for: not the first one, which may be smaller.
const SEGMENT: &str = "1.m4s";
/// Uploads that are timed: recipes of media-tests/clips/clips.toml, one for each codec of pictures and of sound.
const INPUTS: [(&str, &str); 3] = [("synthetic", "H.264, AAC"), ("hevc-ac3", "H.265, AC-3"), ("av1-opus", "AV1, Opus")];
/// Time for an upload to play.
const DEADLINE: Duration = Duration::from_secs(30);
/// Pause between two looks.
const POLL: Duration = Duration::from_millis(5);

/// What one side gave.
#[derive(Debug, Default)]
struct Side {
    rate: Samples,
    p99_ms: Samples,
}

/// Measures it.
pub async fn measure(options: &Options) -> Result<Section> {
    let versions =
        [machine::version("nginx", "-v", nginx::PACKAGE).await?, machine::version("wrk", "-v", load::PACKAGE).await?];
    let workshop = options.workshop()?;
    let clip = match &options.clip {
        Some(clip) => std::path::absolute(clip)?,
        None => looped_clip(&workshop.path().join("clip.mp4")).await?,
    };
    let flame = Flame::up(&workshop.path().join("data")).await?;
    let nginx = Nginx::start(&workshop.path().join("nginx")).await?;
    let http = flame::http()?;

    let (asset, _) = flame.put(&clip).await?;
    let segment = playlists(&http, &flame, asset).await?.swap_remove(0).join(SEGMENT)?;
    let bytes = get(&http, &segment).await?;
    std::fs::write(nginx.path(SEGMENT), &bytes)?;
    let theirs = get(&http, &Url::parse(&format!("http://127.0.0.1:{}/{SEGMENT}", nginx.port))?).await?;
    ensure!(bytes == theirs, "nginx sends another segment");

    let through = (router_port(&flame)?, segment.path().to_owned());
    let own = streaming_port(&flame).await?;
    let direct = (own, through.1.strip_prefix("/~streaming").context("a segment is streaming's")?.to_owned());
    let asked = [
        ("streaming", direct),
        ("nginx", (nginx.port, format!("/{SEGMENT}"))),
        ("streaming, through the router", through),
    ];
    let mut sides = [Side::default(), Side::default(), Side::default()];
    for round in 0..=options.rounds {
        for (side, (_, (port, path))) in sides.iter_mut().zip(&asked) {
            let heard = LOAD.run(*port, path).await?;
            // The first round warms up.
            if round > 0 {
                side.rate.add(heard.rate);
                side.p99_ms.add(heard.p99_ms);
            }
        }
    }
    let plays = INPUTS.map(|_| Samples::default());
    let plays = uploads(options, (&http, &flame), plays).await?;
    let commands = asked.iter().map(|(_, (port, path))| LOAD.shown(*port, path)).collect();
    flame.server.stop().await?;
    nginx.server.stop().await?;

    let [ours, theirs, routed] = &sides;
    let figures = vec![
        Figure {
            what: "segment: rate / nginx's (medians)".to_owned(),
            value: ours.rate.median() / theirs.rate.median(),
            unit: "×",
            bound: Some(Bound::AtLeast(RATE_MIN)),
        },
        Figure {
            what: "segment, through the router: rate / nginx's (medians)".to_owned(),
            value: routed.rate.median() / theirs.rate.median(),
            unit: "×",
            bound: None,
        },
        Figure {
            what: "an upload plays after (worst)".to_owned(),
            value: plays.iter().map(Samples::max).fold(f64::NEG_INFINITY, f64::max),
            unit: "s",
            bound: Some(Bound::AtMost(PLAYS_MAX_S)),
        },
    ];
    let mut rows = Vec::new();
    for ((name, _), Side { rate, p99_ms }) in asked.iter().zip(sides) {
        rows.push(Row { what: format!("segment, {name}"), unit: "req/s", samples: rate });
        rows.push(Row { what: format!("segment, {name}, p99"), unit: "ms", samples: p99_ms });
    }
    for ((_, codecs), samples) in INPUTS.iter().zip(plays) {
        rows.push(Row { what: format!("upload of {codecs}: until its first segments are there"), unit: "s", samples });
    }
    Ok(Section {
        name: "vod",
        title: format!(
            "Films: a segment of {} KiB over {} connections, beside nginx; and uploads that play",
            bytes.len() / 1024,
            LOAD.connections
        ),
        rows,
        figures,
        notes: vec![
            "The segment is cut out of an MP4 that was uploaded and never converted; nginx has the same bytes in a file (checked). sendfile and tcp_nopush on, access log off.".to_owned(),
            "An upload plays when its multivariant playlist, the playlists in it and the first segment of each are there, counted from the answer to the PUT.".to_owned(),
            "All on one machine, over loopback; the load generator shares the cores with the server under test.".to_owned(),
            format!("Peer and load: {}.", versions.join("; ")),
        ],
        commands,
    })
}

/// Uploads each input once a round, and takes the time until it plays.
async fn uploads<const N: usize>(
    options: &Options,
    (http, flame): (&Client, &Flame),
    mut plays: [Samples; N],
) -> Result<[Samples; N]> {
    for (samples, (recipe, _)) in plays.iter_mut().zip(INPUTS) {
        let mut fetch = Command::new("media-tests/clips/fetch");
        let (_, path) = process::time(fetch.arg(recipe)).await.with_context(|| format!("make the clip {recipe}"))?;
        for round in 0..=options.rounds {
            let (asset, answered) = flame.put(Path::new(path.trim())).await?;
            for playlist in playlists(http, flame, asset).await? {
                get(http, &playlist.join("0.m4s")?).await?;
            }
            let took = answered.elapsed();
            if round > 0 {
                samples.add(took.as_secs_f64());
            }
            // The next one is no copy of something that is there.
            flame.registered(asset).await?;
            flame.client.erase_asset(asset).await?;
        }
    }
    Ok(plays)
}

/// Waits until the asset plays. Gives its media playlists, which are there, the pictures' first.
async fn playlists(http: &Client, flame: &Flame, asset: Uuid) -> Result<Vec<Url>> {
    let url = flame.router.join(&format!("~streaming/{asset}/index.m3u8"))?;
    let began = Instant::now();
    let text = loop {
        let answer = http.get(url.clone()).send().await?;
        if answer.status().is_success() {
            break answer.text().await?;
        }
        if began.elapsed() > DEADLINE {
            bail!("the upload does not play after {} s: {}", DEADLINE.as_secs(), answer.text().await?);
        }
        sleep(POLL).await;
    };
    let pictures = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let sounds = text.lines().filter(|line| line.starts_with("#EXT-X-MEDIA:"));
    let sounds = sounds.filter_map(|line| line.split_once("URI=\"")?.1.split('"').next());
    let mut found = Vec::new();
    for playlist in pictures.chain(sounds) {
        let playlist = url.join(playlist)?;
        get(http, &playlist).await?;
        found.push(playlist);
    }
    ensure!(!found.is_empty(), "nothing plays: {text}");
    Ok(found)
}

async fn get(http: &Client, url: &Url) -> Result<Vec<u8>> {
    let answer = http.get(url.clone()).send().await?.error_for_status()?;
    Ok(answer.bytes().await?.to_vec())
}

fn router_port(flame: &Flame) -> Result<u16> {
    flame.router.port().context("the router's address has a port")
}

/// Where streaming listens itself.
async fn streaming_port(flame: &Flame) -> Result<u16> {
    let endpoints = flame.client.endpoints().await?.items;
    let streaming = endpoints.iter().find(|endpoint| endpoint.name.starts_with("streaming."));
    Ok(streaming.context("streaming is not registered")?.address.port())
}
