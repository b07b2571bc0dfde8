//! What FFmpeg finds in a file or behind a URL: times of frames, counts of samples. Edit lists are applied, as a
//! player would.

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::command::quiet;

/// The decoded pictures of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Pictures {
    /// Presentation time of each picture in seconds, in the order shown.
    pub times_s: Vec<f64>,
}

/// The decoded sound of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Sound {
    /// Samples per second.
    pub sample_rate_hz: u32,
    /// Samples of one channel, priming and padding removed where the file says so.
    pub samples: u64,
    /// Presentation time of the first sample in seconds.
    pub start_s: f64,
}

#[derive(Deserialize)]
struct Probed {
    #[serde(default)]
    frames: Vec<ProbedFrame>,
    #[serde(default)]
    packets: Vec<ProbedPacket>,
    #[serde(default)]
    streams: Vec<ProbedStream>,
}

#[derive(Deserialize)]
struct ProbedPacket {
    pts_time: Option<String>,
    flags: String,
}

#[derive(Deserialize)]
struct ProbedFrame {
    best_effort_timestamp_time: Option<String>,
    nb_samples: Option<u64>,
}

#[derive(Deserialize)]
struct ProbedStream {
    sample_rate: Option<String>,
}

/// Decodes everything behind `input` and throws it away.
///
/// # Errors
/// When FFmpeg stops, or only complains.
pub async fn decodes(input: &str) -> Result<()> {
    let arguments = ["-nostdin", "-v", "error", "-xerror", "-i", input, "-map", "0", "-f", "null", "-"];
    quiet("ffmpeg", arguments).await.with_context(|| format!("{input} does not decode"))?;
    Ok(())
}

/// The pictures of the first video stream of `input`; `None` if it has none.
///
/// # Errors
/// When ffprobe complains, or a picture has no time.
pub async fn pictures(input: &str) -> Result<Option<Pictures>> {
    let probed = frames(input, "v:0").await?;
    if probed.streams.is_empty() {
        return Ok(None);
    }
    let times_s = probed.frames.iter().map(|frame| time_s(input, frame)).collect::<Result<Vec<_>>>()?;
    Ok(Some(Pictures { times_s }))
}

/// The sound of the first audio stream of `input`; `None` if it has none.
///
/// # Errors
/// When ffprobe complains, or the stream cannot be measured.
pub async fn sound(input: &str) -> Result<Option<Sound>> {
    let probed = frames(input, "a:0").await?;
    let Some(stream) = probed.streams.first() else { return Ok(None) };
    let sample_rate_hz: u32 = stream.sample_rate.as_deref().context("no sample rate")?.parse()?;
    let mut heard = Vec::with_capacity(probed.frames.len());
    for frame in &probed.frames {
        let time_s = time_s(input, frame)?;
        let samples = frame.nb_samples.unwrap_or(0).saturating_sub(samples_before_zero(time_s, sample_rate_hz));
        if samples > 0 {
            heard.push((time_s.max(0.0), samples));
        }
    }
    let Some((start_s, _)) = heard.first() else { bail!("{input}: the audio stream is empty") };
    Ok(Some(Sound { sample_rate_hz, samples: heard.iter().map(|(_, samples)| samples).sum(), start_s: *start_s }))
}

/// How many samples of a frame at `time_s` lie before time 0. In fragments, FFmpeg applies an edit list by moving the
/// times: the encoder's priming stays in its output, before the time at which anybody hears something.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 0 and up, and a few frames long"
)]
fn samples_before_zero(time_s: f64, sample_rate_hz: u32) -> u64 {
    (-time_s.min(0.0) * f64::from(sample_rate_hz)).round() as u64
}

/// Times of the key frames of the first video stream of `input`, in seconds.
///
/// # Errors
/// When ffprobe complains.
pub async fn key_frames_s(input: &str) -> Result<Vec<f64>> {
    let entries = "packet=pts_time,flags";
    let arguments = ["-v", "error", "-select_streams", "v:0", "-show_entries", entries, "-of", "json", input];
    let probed: Probed = serde_json::from_slice(&quiet("ffprobe", arguments).await?)?;
    let keys = probed.packets.iter().filter(|packet| packet.flags.starts_with('K'));
    let times_s = keys.map(|packet| {
        let time = packet.pts_time.as_deref().with_context(|| format!("{input}: a packet has no time"))?;
        Ok(time.parse()?)
    });
    let mut times_s = times_s.collect::<Result<Vec<f64>>>()?;
    times_s.sort_by(f64::total_cmp);
    Ok(times_s)
}

async fn frames(input: &str, stream: &str) -> Result<Probed> {
    let entries = "stream=sample_rate:frame=best_effort_timestamp_time,nb_samples";
    let arguments = ["-v", "error", "-select_streams", stream, "-show_entries", entries, "-of", "json", input];
    let json = quiet("ffprobe", arguments).await.with_context(|| format!("{input} cannot be probed"))?;
    serde_json::from_slice(&json).with_context(|| format!("{input}: ffprobe's answer is not what it used to be"))
}

fn time_s(input: &str, frame: &ProbedFrame) -> Result<f64> {
    let time = frame.best_effort_timestamp_time.as_deref().with_context(|| format!("{input}: a frame has no time"))?;
    time.parse().with_context(|| format!("{input}: {time} is not a time"))
}
