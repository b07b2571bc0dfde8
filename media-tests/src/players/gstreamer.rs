//! GStreamer's `playbin3` with `hlsdemux2` and `dashdemux2`, the newer ones of its clients for HLS and DASH.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use flame_test_kit::Scratch;

use crate::command::output_with;

/// Each picture becomes one of so many grey pixels a side, only to be counted.
const PICTURE_SIDE_PIXELS: u64 = 16;
/// Each sample of sound becomes one signed 16-bit number.
const SAMPLE_BYTES: u64 = 2;

/// What GStreamer showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Pictures.
    pub pictures: u64,
    /// Samples of one channel of sound.
    pub samples: u64,
}

/// The client that is to play, and those that must not step in where it fails.
struct Client {
    /// Its type, as the log names it.
    kind: &'static str,
    /// Ranks of its elders.
    ranks: &'static str,
}

const HLS: Client = Client { kind: "GstHLSDemux2", ranks: "hlsdemux:NONE,avdemux_hls:NONE" };
const DASH: Client = Client { kind: "GstDashDemux2", ranks: "dashdemux:NONE,avdemux_dash:NONE" };

/// What `hlsdemux2` of GStreamer 1.22 also says when a short stream has arrived before its pad is shown to `playbin3`
/// (its log then has "Can't push EOS on non-exposed pad"): a race of its own, lost about one time in five on one segment.
const RACE: &str = "Couldn't download fragments";
/// Times that it is played before the complaint is believed. A segment that is really missing is missing every time.
const RACES_MAX: usize = 8;

/// Plays `url` to the end of the stream, as fast as it decodes: DASH if its path ends in `.mpd`, else HLS.
///
/// # Errors
/// When the pipeline fails, ends early, or plays with another client.
pub async fn plays(url: &str) -> Result<Shown> {
    let path = url.split_once('?').map_or(url, |(path, _)| path);
    let client = if path.ends_with(".mpd") { &DASH } else { &HLS };
    let scratch = Scratch::new("gstreamer");
    let (pictures, samples) = (scratch.join("pictures"), scratch.join("samples"));
    // Sinks write what arrives: a sink's messages may repeat or skip a buffer, its bytes do not.
    let side = PICTURE_SIDE_PIXELS;
    let arguments = [
        "-v".to_owned(),
        "playbin3".to_owned(),
        format!("uri={url}"),
        format!(
            "video-sink=videoconvert ! videoscale ! video/x-raw,format=GRAY8,width={side},height={side} ! \
             filesink location={} sync=false",
            pictures.display()
        ),
        format!(
            "audio-sink=audioconvert ! audio/x-raw,format=S16LE,channels=1 ! filesink location={} sync=false",
            samples.display()
        ),
    ];
    let rank = [("GST_PLUGIN_FEATURE_RANK", client.ranks), ("GST_DEBUG_NO_COLOR", "1")];
    let mut output = output_with("gst-launch-1.0", arguments.clone(), &rank).await?;
    for _ in 1..RACES_MAX {
        if !String::from_utf8_lossy(&output.stderr).contains(RACE) {
            break;
        }
        output = output_with("gst-launch-1.0", arguments.clone(), &rank).await?;
    }
    let (log, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let failed = || format!("GStreamer cannot play {url}: {}", tail(&complaints));
    ensure!(output.status.success() && !complaints.contains("ERROR"), failed());
    ensure!(log.contains("Got EOS"), "GStreamer did not come to the end of {url}: {}", tail(&log));
    ensure!(log.contains(client.kind), "GStreamer played {url} without {}", client.kind);
    Ok(Shown { pictures: bytes(&pictures)? / (side * side), samples: bytes(&samples)? / SAMPLE_BYTES })
}

/// Length of what a sink wrote; a sink that was never needed wrote nothing.
fn bytes(file: &Path) -> Result<u64> {
    if !file.exists() {
        return Ok(0);
    }
    Ok(fs::metadata(file).with_context(|| file.display().to_string())?.len())
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim().lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}
