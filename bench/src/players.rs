//! Players that nobody here wrote, live: does any of them stall in minutes?
//!
//! FFmpeg publishes by RTMP to a `flame up` of its own, and each player watches the channel in a headless Chromium, one after the other, on a
//! page of another origin (`media-tests/judges/play.mjs`). The tests watch them for seconds, since two cores carry no more beside
//! everything else; here nothing else runs. There is no peer: what is asked is that nothing happens.

use std::time::Duration;

use anyhow::{Context, Result};
use flame_api::live::NewChannel;
use serde::Deserialize;
use serde_json::Value;
use tokio::process::Command;
use uuid::Uuid;

use crate::flame::{self, Flame};
use crate::process::{self, Server};
use crate::report::{Figure, Row, Section};
use crate::samples::{Bound, Samples};
use crate::{Options, judge};

/// Who plays what.
const PLAYERS: [(&str, &str, &str); 5] = [
    ("hls.js", "index.m3u8", "hls.js, HLS"),
    ("shaka-player", "index.m3u8", "Shaka Player, HLS"),
    ("native", "index.m3u8", "Chromium itself, HLS"),
    ("dash.js", "manifest.mpd", "dash.js, DASH"),
    ("shaka-player", "manifest.mpd", "Shaka Player, DASH"),
];
/// How long each of them watches.
const WATCHED: Duration = Duration::from_secs(150);
/// Share of that which is played; the rest is what it takes to begin and to end.
const PLAYED_MIN: f64 = 0.97;

/// What `play.mjs` prints, as far as it is looked at.
#[derive(Debug, Deserialize)]
struct Seen {
    played_s: f64,
    frames: u32,
    dropped_frames: u32,
    first_frame_ms: Option<f64>,
    latency_s: Option<f64>,
    stalls: Vec<f64>,
    errors: Vec<Value>,
    failed_requests: Vec<Value>,
}

/// Watches with each of them.
pub async fn measure(options: &Options) -> Result<Section> {
    let workshop = options.workshop()?;
    let door = flame::free_port()?;
    let flame = Flame::up_with_door(&workshop.path().join("data"), Some(door)).await?;
    let new = NewChannel {
        id: Uuid::now_v7(),
        title: "players".to_owned(),
        segment_ms: 2_000,
        part_ms: 200,
        window_s: 60,
        keep_s: None,
        source: None,
        ladder: None,
        encryption: None,
    };
    let channel = flame.client.create_channel(&new).await?;
    let key = channel.key.context("the channel was there before")?;
    let mut publishing = encoder(&format!("rtmp://127.0.0.1:{door}/live/{key}"));
    let encoder = Server::start("ffmpeg", &mut publishing)?;
    let folder = format!("{}~streaming/{}", flame.router, channel.id);
    for form in ["index.m3u8", "manifest.mpd"] {
        flame::begun(&format!("{folder}/{form}")).await?;
    }
    let (mut rows, mut stalls, mut faults, mut least_played) = (Vec::new(), 0, 0, f64::INFINITY);
    for (player, form, name) in PLAYERS {
        let arguments =
            [player, &format!("{folder}/{form}"), "--page", "own", "--for-s", &WATCHED.as_secs().to_string()];
        let seen: Seen = judge::run("play.mjs", &arguments.map(str::to_owned)).await?;
        for fault in seen.errors.iter().chain(&seen.failed_requests) {
            println!("{name}: {fault}");
        }
        stalls += seen.stalls.len();
        faults += seen.errors.len() + seen.failed_requests.len();
        least_played = least_played.min(seen.played_s / WATCHED.as_secs_f64());
        rows.extend(seen.rows(name)?);
    }
    drop(encoder);
    flame.server.stop().await?;
    let figure =
        |what: &str, value: f64, bound: Bound| Figure { what: what.to_owned(), value, unit: "", bound: Some(bound) };
    Ok(Section {
        name: "players",
        title: format!("Players of others, live, {} s each: stalls and errors", WATCHED.as_secs()),
        rows,
        figures: vec![
            figure("stalls, all of them", f64::from(u32::try_from(stalls)?), Bound::AtMost(0.0)),
            figure("errors and requests in vain, all of them", f64::from(u32::try_from(faults)?), Bound::AtMost(0.0)),
            figure("share of the time that was played (the least)", least_played, Bound::AtLeast(PLAYED_MIN)),
        ],
        notes: vec![
            "One rendition of 640x360 at 30 pictures a second with sound; segments of 2 s, parts of 200 ms. Each player in a browser of its own, on a page of another origin, through the router.".to_owned(),
            "How far they are behind is what they say themselves: hls.js of the end of the playlist, the others of the wall's clock; Chromium does not say.".to_owned(),
            "Encoder, services and browser (which decodes without a graphics card) share the cores.".to_owned(),
        ],
        commands: vec![process::shown(&publishing).replace(&key, "KEY")],
    })
}

fn encoder(door: &str) -> Command {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-nostdin", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=30"])
        .args(["-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "60"])
        .args(["-x264-params", "scenecut=0", "-c:a", "aac", "-f", "flv", door])
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true);
    command
}

// === impl Seen ===

impl Seen {
    fn rows(&self, name: &str) -> Result<Vec<Row>> {
        let stalls = u32::try_from(self.stalls.len())?;
        let mut rows = Vec::new();
        for (what, unit, value) in [
            ("first picture", "ms", self.first_frame_ms),
            ("played", "s", Some(self.played_s)),
            ("behind at the end", "s", self.latency_s),
            ("stalls", "", Some(f64::from(stalls))),
            ("pictures that came too late, of a hundred", "", self.late_percent()),
        ] {
            let Some(value) = value else { continue };
            rows.push(Row { what: format!("{name}: {what}"), unit, samples: [value].into_iter().collect::<Samples>() });
        }
        Ok(rows)
    }

    fn late_percent(&self) -> Option<f64> {
        (self.frames > 0).then(|| 100.0 * f64::from(self.dropped_frames) / f64::from(self.frames))
    }
}
