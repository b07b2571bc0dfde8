//! Glass to glass: how old is a picture of a live channel when a browser shows it?
//!
//! FFmpeg makes pictures with the clock of this machine burnt into them, in real time, and publishes them by RTMP to a `flame up` of its
//! own; hls.js in headless Chromium plays the channel as LL-HLS through the router, and `media-tests/judges/glass.mjs` reads the clock
//! from each picture as it is shown. Encoder, services and browser share this machine. There is no peer: what a player keeps in hand
//! follows from the playlist, and that is ours.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_api::live::NewChannel;
use serde::Deserialize;
use time::OffsetDateTime;
use tokio::process::Command;
use uuid::Uuid;

use crate::flame::{self, Flame};
use crate::process::{self, Server};
use crate::report::{Figure, Row, Section};
use crate::samples::{Bound, Samples};
use crate::{Options, judge};

/// Promised 95th percentile, milliseconds.
const P95_MAX_MS: f64 = 1000.0;
const PART_MS: u32 = 200;
const SEGMENT_MS: u32 = 1000;
/// How long pictures are looked at in a round.
const ROUND: Duration = Duration::from_secs(20);
/// How long it plays before that.
const WARM: Duration = Duration::from_secs(10);
/// A round of 30 pictures a second has at least so many: else the browser did not keep up, and ages say little.
const PICTURES_MIN: usize = 500;

/// What `glass.mjs` prints.
#[derive(Debug, Deserialize)]
struct Seen {
    ages_ms: Vec<f64>,
    stalls: u32,
    errors: Vec<String>,
}

/// Who plays.
#[derive(Debug, Default)]
struct Player {
    median: Samples,
    p95: Samples,
    stalls: Samples,
}

/// Measures it.
pub async fn measure(options: &Options) -> Result<Section> {
    let workshop = options.workshop()?;
    let door = flame::free_port()?;
    let flame = Flame::up_with_door(&workshop.path().join("data"), Some(door)).await?;
    let new = NewChannel {
        id: Uuid::now_v7(),
        title: "glass".to_owned(),
        segment_ms: SEGMENT_MS,
        part_ms: PART_MS,
        window_s: 60,
        keep_s: None,
        source: None,
        ladder: None,
        encryption: None,
    };
    let channel = flame.client.create_channel(&new).await?;
    let key = channel.key.context("the channel was there before")?;
    let epoch_s = OffsetDateTime::now_utc().unix_timestamp();
    let mut publishing = encoder(&format!("rtmp://127.0.0.1:{door}/live/{key}"), epoch_s);
    let encoder = Server::start("ffmpeg", &mut publishing)?;
    let url = format!("{}~streaming/{}/index.m3u8", flame.router, channel.id);
    flame::begun(&url).await?;

    // The portal's player is the product's; hls.js alone stands beside it.
    let page = format!("{}#/live", flame.router);
    let mut players = [Player::default(), Player::default()];
    for _ in 0..options.rounds {
        for (player, (url, is_portal)) in players.iter_mut().zip([(&page, true), (&url, false)]) {
            player.add(watch(url, epoch_s, is_portal).await?)?;
        }
    }
    drop(encoder);
    flame.server.stop().await?;
    let worst_ms = players[0].p95.median();
    let mut rows = Vec::new();
    for (name, Player { median, p95, stalls }) in ["the portal's player", "hls.js as it comes"].into_iter().zip(players)
    {
        rows.push(Row { what: format!("{name}: age of a picture, p50"), unit: "ms", samples: median });
        rows.push(Row { what: format!("{name}: age of a picture, p95"), unit: "ms", samples: p95 });
        rows.push(Row { what: format!("{name}: stalls of a round"), unit: "", samples: stalls });
    }
    Ok(Section {
        name: "glass",
        title: "Live, glass to glass: from the clock in the picture to the browser's screen".to_owned(),
        rows,
        figures: vec![Figure {
            what: "the portal's player: age of a picture, p95 (median round)".to_owned(),
            value: worst_ms,
            unit: "ms",
            bound: Some(Bound::AtMost(P95_MAX_MS)),
        }],
        notes: vec![
            format!(
                "One rendition of 1280x720 at 30 pictures a second; segments of {SEGMENT_MS} ms, parts of {PART_MS} ms. The portal's player is hls.js that plays up to a tenth faster until it is where PART-HOLD-BACK says."
            ),
            format!(
                "A round is a browser of its own for each player: {} s to begin, then {} s that count.",
                WARM.as_secs(),
                ROUND.as_secs()
            ),
            "Encoder, services and browser (which decodes without a graphics card) share the cores.".to_owned(),
        ],
        commands: vec![process::shown(&publishing).replace(&key, "KEY")],
    })
}

/// Pictures with their time in milliseconds since `epoch_s` in 32 fields across their top, sent as they are made.
fn encoder(door: &str, epoch_s: i64) -> Command {
    let clock = format!(
        "split[a][b];[b]scale=32:2,format=gray,setpts='(RTCTIME-{epoch_s}000000)/(TB*1000000)',\
         geq=lum='255*mod(floor(T*1000/pow(2,X)),2)',setpts=N/(30*TB),scale=1280:36:flags=neighbor[c];\
         [a]setpts=N/(30*TB)[d];[d][c]overlay=format=auto"
    );
    let mut command = Command::new("ffmpeg");
    command
        .args(["-nostdin", "-v", "error", "-f", "lavfi", "-i"])
        .arg(format!("testsrc2=size=1280x720:rate=30,realtime,settb=AVTB,{clock}"))
        .args(["-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "30"])
        .args(["-b:v", "3M", "-x264-params", "scenecut=0", "-f", "flv", door])
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true);
    command
}

async fn watch(url: &str, epoch_s: i64, is_portal: bool) -> Result<Seen> {
    let mut arguments =
        vec![url.to_owned(), format!("{epoch_s}000"), "--for-s".to_owned(), ROUND.as_secs().to_string()];
    arguments.extend(["--warm-s".to_owned(), WARM.as_secs().to_string()]);
    arguments.extend(is_portal.then(|| "--portal".to_owned()));
    judge::run("glass.mjs", &arguments).await
}

// === impl Player ===

impl Player {
    fn add(&mut self, seen: Seen) -> Result<()> {
        let count = seen.ages_ms.len();
        ensure!(count >= PICTURES_MIN, "only {count} pictures were shown in {} s: {:?}", ROUND.as_secs(), seen.errors);
        let ages: Samples = seen.ages_ms.into_iter().collect();
        self.median.add(ages.percentile(50));
        self.p95.add(ages.percentile(95));
        self.stalls.add(f64::from(seen.stalls));
        Ok(())
    }
}
