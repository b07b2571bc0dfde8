//! What a chain makes of a source: from a document and what the probe measured to the plan that a media child obeys. Pure.
//!
//! Everything that is a matter of taste (sizes, qualities, caps) is in the document or decided here and nowhere else, so
//! that it can be read, tested and argued about without a single frame. Nothing here looks at media: a probe that lies
//! gives a plan that fails in the child.

mod rungs;
mod shape;
mod thumbnails;
mod timescale;

use flame_api::media::{AudioStream, Probe, Rational, SOUNDS_MAX, VideoStream};
use flame_chain::chain::{AudioEncoding, Chain, Stage, VideoEncoding, Work};
use flame_chain::table::{ENCODERS, EncoderType};
use flame_chain::{read, shipped};
use flame_media_child::protocol::{AudioRung, LadderPlan, LoudnessPlan, PictureStep, VideoRung};
use thiserror::Error;

use shape::Shape;

/// Most video rungs of a stage whose sizes are `classic`.
pub const RUNGS_MAX: usize = 7;
/// Most tracks of a plan: what a catalogue takes of one version.
pub const TRACKS_MAX: usize = 64;
/// Bits per second of stereo.
const STEREO_BPS: u32 = 128_000;
/// Bits per second of mono.
const MONO_BPS: u32 = 64_000;
/// Bits per second that are expected at most of a rung without a cap, for the room on disk.
const OPEN_BPS: u64 = 40_000_000;
/// Least pixels that a crop may leave on each side.
const CROPPED_MIN: u32 = 16;

/// What a media child is to do, and for which stage of the chain it does what.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// For the child.
    pub ladder: LadderPlan,
    /// The stage that makes each track; video first, then audio.
    pub stages: Vec<String>,
    /// The encoders that are used, as documents name them.
    pub encoders: Vec<String>,
}

/// What this machine and this configuration add to a chain.
#[derive(Debug, Clone, Copy)]
pub struct Means<'a> {
    /// x264's preset where the chain names none.
    pub preset: &'a str,
    /// The encoders that are installed, by their names in documents; `None`: all of them, as nobody has looked.
    pub encoders: Option<&'a [String]>,
}

/// A chain that cannot be run on a source.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    /// There is nothing to encode.
    #[error("the source has neither video nor audio")]
    NothingToEncode,
    /// Nothing of what the chain encodes.
    #[error("the source has no {0}, and the chain makes tracks of nothing else")]
    NothingOfIt(&'static str),
    /// The probe describes pictures that cannot be.
    #[error("the source's pictures have no size: {width} x {height} pixels")]
    NoPixels {
        /// Width in square pixels.
        width: u32,
        /// Height in square pixels.
        height: u32,
    },
    /// A crop takes too much.
    #[error(
        "stage `{stage}` leaves nothing of the source's {width} x {height} pixels: {CROPPED_MIN} must stay on each side"
    )]
    CropsAll {
        /// The stage.
        stage: String,
        /// Width before it.
        width: u32,
        /// Height before it.
        height: u32,
    },
    /// A gate that compares what does not correspond.
    #[error(
        "stage `{stage}`: `{gate}` compares with the source picture by picture, and this source is {why}; gate on `track.…` instead"
    )]
    NotComparable {
        /// The stage.
        stage: String,
        /// Its gate.
        gate: String,
        /// What the source is.
        why: &'static str,
    },
    /// An encoder is not there.
    #[error("stage `{stage}`: the encoder {wanted} is not installed; {instead}")]
    NoEncoder {
        /// The stage.
        stage: String,
        /// What it wants.
        wanted: String,
        /// What there is, and what to install.
        instead: String,
    },
    /// Pictures that an encoder does not take.
    #[error(
        "stage `{stage}`: the encoder `{encoder}` takes pictures of {side_min} pixels and more on each side, and these have {width} x {height}"
    )]
    TooSmall {
        /// The stage.
        stage: String,
        /// Its encoder.
        encoder: &'static str,
        /// What it takes.
        side_min: u32,
        /// Width of the largest.
        width: u32,
        /// Height of the largest.
        height: u32,
    },
    /// More tracks than a version may have.
    #[error("the chain would make {0} tracks of this source, and a version has at most {TRACKS_MAX}")]
    TooManyTracks(usize),
}

/// Plans what `chain` makes of a source.
///
/// # Errors
/// [`PlanError`], if that cannot be run, or nothing would come of it.
pub fn of(chain: &Chain, probe: &Probe, means: Means<'_>) -> Result<Plan, PlanError> {
    if probe.video.is_none() && probe.audio.is_none() {
        return Err(PlanError::NothingToEncode);
    }
    let video = probe.video.as_ref();
    let (gop_ms, segment_ms) = match chain.package().map(|package| &package.work) {
        Some(Work::Package { gop_ms, segment_ms }) => (*gop_ms, *segment_ms),
        _ => (2000, 4000),
    };
    let mut plan = Plan {
        ladder: LadderPlan {
            video: Vec::new(),
            audio: Vec::new(),
            gop_ms,
            segment_ms,
            video_timescale: timescale::of(video, None),
            rotation_deg: video.map_or(0, |video| video.rotation_deg),
            deinterlace: false,
            front: Vec::new(),
            frame_rate: video.and_then(frame_rate),
            duration_ms: probe.duration_ms,
            thumbnails: None,
            agreed: None,
        },
        stages: Vec::new(),
        encoders: Vec::new(),
    };
    let mut sound_stages = Vec::new();
    for stage in chain.packaged() {
        match &stage.work {
            Work::EncodeVideo(encoding) => {
                if let Some(video) = video {
                    plan.add_video(chain, stage, encoding, video, means)?;
                }
            }
            Work::EncodeAudio(encoding) => {
                let path = chain.path(stage);
                let channels = path.iter().rev().find_map(|before| match before.work {
                    Work::Mix(channels) => channels,
                    _ => None,
                });
                let loudness = path.iter().find_map(|before| match before.work {
                    Work::Loudness(loudness) => Some(LoudnessPlan {
                        target_lufs: loudness.target_lufs,
                        true_peak_max_dbtp: loudness.true_peak_max_dbtp,
                    }),
                    _ => None,
                });
                let found = encoder(stage, &encoding.codec, encoding.encoder.as_deref(), means)?;
                plan.note(found);
                for rung in sounds(probe, encoding, channels) {
                    plan.add_sound(AudioRung { loudness, ..rung });
                    sound_stages.push(stage.name.clone());
                }
            }
            _ => {}
        }
    }
    plan.stages.extend(sound_stages);
    if plan.stages.is_empty() {
        let only_video = !chain.packaged().any(|stage| matches!(stage.work, Work::EncodeAudio(_)));
        return Err(PlanError::NothingOfIt(if only_video { "video" } else { "audio" }));
    }
    if plan.stages.len() > TRACKS_MAX {
        return Err(PlanError::TooManyTracks(plan.stages.len()));
    }
    let wants_thumbnails = chain.packaged().any(|stage| stage.work == Work::Thumbnails);
    if let Some(video) = video.filter(|_| wants_thumbnails) {
        let shape = Shape::of(video, plan.ladder.rotation_deg)?;
        plan.ladder.thumbnails = thumbnails::of(shape.shown(), probe.duration_ms);
    }
    Ok(plan)
}

/// Whether all encoders that `chain` names, or one for each codec, are `installed`.
///
/// # Errors
/// [`PlanError::NoEncoder`], for the first stage without one.
pub fn check_encoders(chain: &Chain, installed: &[String]) -> Result<(), PlanError> {
    let means = Means { preset: "", encoders: Some(installed) };
    for stage in &chain.stages {
        match &stage.work {
            Work::EncodeVideo(encoding) => {
                encoder(stage, &encoding.codec, encoding.encoder.as_deref(), means)?;
            }
            Work::EncodeAudio(encoding) => {
                encoder(stage, &encoding.codec, encoding.encoder.as_deref(), means)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Plans the shipped chain `ladder`, encoded with x264's `preset`.
///
/// # Errors
/// [`PlanError`], if there is nothing that could be encoded.
pub fn ladder(probe: &Probe, preset: &str) -> Result<LadderPlan, PlanError> {
    let text = shipped::find(shipped::LADDER).map_or("", |shipped| shipped.text);
    // A test reads all shipped chains.
    let chain = read(text, &Default::default()).map_err(|_| PlanError::NothingToEncode)?;
    Ok(of(&chain, probe, Means { preset, encoders: None })?.ladder)
}

// === impl Plan ===

impl Plan {
    fn add_video(
        &mut self,
        chain: &Chain,
        stage: &Stage,
        encoding: &VideoEncoding,
        video: &VideoStream,
        means: Means<'_>,
    ) -> Result<(), PlanError> {
        let path = chain.path(stage);
        let found = encoder(stage, &encoding.codec, encoding.encoder.as_deref(), means)?;
        self.note(found);
        // The same for all stages that encode pictures: the document was checked for it.
        let mut deinterlace = false;
        let mut rotation_deg = 0;
        for before in &path {
            match before.work {
                Work::Deinterlace(when) => deinterlace = when.unwrap_or(video.interlaced),
                Work::Rotate(degrees) => rotation_deg = degrees.unwrap_or(video.rotation_deg),
                _ => {}
            }
        }
        let gate = stage.gates().iter().find(|gate| gate.needs_pictures());
        if let Some(gate) = gate.filter(|_| rotation_deg != 0 || deinterlace) {
            let why = if deinterlace { "deinterlaced" } else { "turned" };
            return Err(PlanError::NotComparable { stage: stage.name.clone(), gate: gate.to_string(), why });
        }
        let mut shape = Shape::of(video, rotation_deg)?;
        let mut front = Vec::new();
        let mut rate = frame_rate(video);
        let mut sizes = &flame_chain::chain::Sizes::Source;
        for before in &path {
            match &before.work {
                Work::Crop(borders) => front.extend(shape.crop(*borders, &before.name)?.map(PictureStep::Crop)),
                Work::Pad(aspect) => front.extend(shape.pad(*aspect).map(PictureStep::Pad)),
                Work::FrameRate(fps) => {
                    front.push(PictureStep::FrameRate(*fps));
                    rate = Some(*fps);
                    self.ladder.video_timescale = timescale::of(None, Some(*fps));
                }
                Work::Scale(wanted) => sizes = wanted,
                _ => {}
            }
        }
        let preset = encoding.preset.as_deref().unwrap_or(means.preset);
        let (width, height) = shape.shown();
        let mut rungs = rungs::of((width, height), rate, encoding.rate, sizes, found, preset);
        let largest = rungs.first().map_or((width, height), |rung| (rung.width, rung.height));
        rungs.retain(|rung| rung.width.min(rung.height) >= found.side_min);
        if rungs.is_empty() {
            let (width, height) = largest;
            let (encoder, side_min) = (found.word, found.side_min);
            return Err(PlanError::TooSmall { stage: stage.name.clone(), encoder, side_min, width, height });
        }
        for rung in rungs {
            let name = unique(&rung.name, self.ladder.video.iter().map(|rung| &rung.name));
            self.ladder.video.push(VideoRung { name, ..rung });
            self.stages.push(stage.name.clone());
        }
        self.ladder.deinterlace = deinterlace;
        self.ladder.rotation_deg = rotation_deg;
        self.ladder.front = front;
        Ok(())
    }

    fn note(&mut self, encoder: &EncoderType) {
        if !self.encoders.iter().any(|word| word == encoder.word) {
            self.encoders.push(encoder.word.to_owned());
        }
    }

    fn add_sound(&mut self, rung: AudioRung) {
        let name = unique(&rung.name, self.ladder.audio.iter().map(|rung| &rung.name));
        self.ladder.audio.push(AudioRung { name, ..rung });
    }
}

/// `a128`, and where that is taken `a128-2`.
fn unique<'a>(name: &str, taken: impl Iterator<Item = &'a String>) -> String {
    let twins =
        taken.filter(|other| *other == name || other.strip_prefix(name).is_some_and(|rest| rest.starts_with('-')));
    match twins.count() {
        0 => name.to_owned(),
        n => format!("{name}-{}", n + 1),
    }
}

/// The encoder that makes `codec`: the wanted one, or the first that is installed.
fn encoder(
    stage: &Stage,
    codec: &str,
    wanted: Option<&str>,
    means: Means<'_>,
) -> Result<&'static EncoderType, PlanError> {
    let fitting = || ENCODERS.iter().filter(|encoder| encoder.codec == codec);
    let is_there =
        |encoder: &EncoderType| means.encoders.is_none_or(|there| there.iter().any(|word| word == encoder.word));
    let found = fitting().find(|encoder| is_there(encoder) && wanted.is_none_or(|wanted| wanted == encoder.word));
    found.ok_or_else(|| {
        let there: Vec<&str> = fitting().filter(|encoder| is_there(encoder)).map(|encoder| encoder.word).collect();
        let packages: Vec<&str> = fitting()
            .filter(|encoder| wanted.is_none_or(|wanted| wanted == encoder.word))
            .map(|encoder| encoder.package)
            .collect();
        let install = format!("install Debian's package {} and start the service again", packages.join(" or "));
        let instead = match there.as_slice() {
            [] => install,
            there => format!("use {} or auto, or {install}", there.join(", ")),
        };
        let wanted = wanted.map_or_else(|| format!("for {codec}"), |wanted| format!("`{wanted}`"));
        PlanError::NoEncoder { stage: stage.name.clone(), wanted, instead }
    })
}

/// What pictures of so many pixels and frames a second may take, bits per second over two seconds: as those of a ladder.
#[must_use]
pub fn cap_bps(pixels: u64, rate: f64) -> u32 {
    rungs::cap_bps(pixels, rate)
}

/// What the tracks of `plan` take on disk at most, in bytes: their caps over the promised duration.
#[must_use]
pub fn size_max_bytes(plan: &LadderPlan) -> u64 {
    let most_bps =
        |rung: &VideoRung| if rung.max_bitrate_bps == 0 { OPEN_BPS } else { u64::from(rung.max_bitrate_bps) };
    let video_bps: u64 = plan.video.iter().map(most_bps).sum();
    let audio_bps: u64 = plan.audio.iter().map(|rung| u64::from(rung.bitrate_bps)).sum();
    let sheets_bytes = plan.thumbnails.as_ref().map_or(0, thumbnails::size_max_bytes);
    ((video_bps + audio_bps).saturating_mul(plan.duration_ms) / 8000).saturating_add(sheets_bytes)
}

/// Every sound of the source, or the first, as `encoding` wants it; the one that a player chooses first.
fn sounds(probe: &Probe, encoding: &AudioEncoding, channels: Option<u16>) -> Vec<AudioRung> {
    let most = if encoding.first_only { 1 } else { SOUNDS_MAX };
    probe.sounds().take(most).map(|source| audio(source, encoding.bitrate_bps, channels)).collect()
}

/// AAC-LC: mono stays mono and everything else becomes stereo, if nothing else is said; rates of the 44.1 kHz family stay
/// in it, because going over to 48 kHz would change every sample.
fn audio(source: &AudioStream, bitrate_bps: Option<u32>, channels: Option<u16>) -> AudioRung {
    let channels = channels.unwrap_or(if source.channels == 1 { 1 } else { 2 });
    let bitrate_bps = bitrate_bps.unwrap_or(if channels == 1 { MONO_BPS } else { STEREO_BPS });
    let of_44100 = source.sample_rate_hz > 0 && source.sample_rate_hz.is_multiple_of(11_025);
    AudioRung {
        name: format!("a{}", bitrate_bps / 1000),
        sound: source.number,
        language: source.language.clone(),
        role: source.role,
        title: source.title.clone(),
        channels,
        sample_rate_hz: if of_44100 { 44_100 } else { 48_000 },
        bitrate_bps,
        loudness: None,
    }
}

fn frame_rate(video: &VideoStream) -> Option<Rational> {
    video.frame_rate.filter(|rate| rate.num > 0 && rate.den > 0)
}

#[cfg(test)]
mod tests;
