//! Looks through one film or sound for what is wrong with it, in one decode. What counts as a finding is decided in
//! `flame_quality::inspect`; this only brings pictures, samples and times.
//!
//! Whatever cannot be looked at is said: sound that is not there, a codec without a decoder, sound that changes its shape in the
//! middle. It never reports silence of a film whose sound it could not hear. Nor does it take a part for the whole: what the container
//! states is held against what came, and what did not come, or could not be decoded, makes the result a partial one.

mod ear;
mod eye;

use std::time::Duration;

use ffmpeg_next::{Error as FfmpegError, Packet, media};
use flame_api::quality::{
    Inspection,
    inspection::{NotMeasured, Synchrony},
};
use flame_media_child::protocol::InspectPlan;
use flame_quality::inspect::extent::Stated;

use self::{
    ear::{Ear, Sounding},
    eye::{Eye, Seeing},
};
use crate::{fault::MediaError, ffi, probe, source, stated};

/// Time for all reads together.
const BUDGET: Duration = Duration::from_secs(24 * 60 * 60);
/// Detectors that need pictures, and that need sound.
const OF_PICTURES: [&str; 9] = ["video", "black", "freeze", "si", "ti", "blur", "blockiness", "gop", "timestamps"];
const OF_SOUND: [&str; 4] = ["audio", "silence", "clipping", "loudness"];

/// Inspects media. `on_progress` hears how far it is, 0 to 1.
///
/// # Errors
/// [`MediaError`] in people's words: it cannot be opened or read, or there is nothing in it that can be decoded.
pub fn inspect(plan: &InspectPlan, on_progress: &mut dyn FnMut(f64)) -> Result<Inspection, MediaError> {
    if !plan.shortest_s.is_finite() || plan.shortest_s < 0.0 {
        return Err(MediaError::input("the shortest stretch that counts is a number of seconds from 0 on"));
    }
    let input = plan.input.as_str();
    let mut context = if plan.follow_playlists && input.starts_with("http://") {
        source::open_playlist(input, BUDGET)?
    } else {
        source::open(input, BUDGET)?
    };
    let mut eye = opened(probe::best_stream(&context, media::Type::Video), "pictures", |stream| {
        Eye::of(stream, stated::of(&context, stream), plan)
    });
    let mut ear = opened(probe::best_stream(&context, media::Type::Audio), "sound", |stream| {
        let stated = stated::of(&context, stream);
        // A playlist's length is that of its pictures, where there are some.
        Ear::of(stream, Stated { is_of_another: stated.by_playlist && eye.is_ok(), ..stated }, plan)
    });
    if let (Err(no_pictures), Err(no_sound)) = (&eye, &ear) {
        return Err(MediaError::input(format!("{input}: there is nothing to inspect: {no_pictures}; {no_sound}")));
    }
    let wanted: Vec<usize> = eye.iter().map(Eye::index).chain(ear.iter().map(Ear::index)).collect();
    ffi::leave_out_all_but(&mut context, &wanted);
    let expected_s = Some(context.duration()).filter(|us| *us > 0).map(|us| us as f64 / 1e6);
    let mut incomplete = Vec::new();
    loop {
        let mut packet = Packet::empty();
        match packet.read(&mut context) {
            Ok(()) => {}
            Err(FfmpegError::Eof) => break,
            Err(FfmpegError::InvalidData) => {
                incomplete.push("the input ends in the middle: what follows could not be read".to_owned());
                break;
            }
            Err(FfmpegError::Exit) => return Err(MediaError::input("it could not be read in the time allowed")),
            Err(error) => return Err(MediaError::environment(format!("{input} cannot be read on: {error}"))),
        }
        if let Ok(eye) = eye.as_mut()
            && packet.stream() == eye.index()
        {
            eye.look(&packet)?;
        } else if let Ok(ear) = ear.as_mut()
            && packet.stream() == ear.index()
        {
            ear.hear(&packet);
        }
        let seen_s = eye.as_ref().ok().map(Eye::seen_s).or_else(|| ear.as_ref().ok().map(Ear::heard_s));
        if let (Some(seen_s), Some(expected_s)) = (seen_s, expected_s) {
            on_progress((seen_s / expected_s).clamp(0.0, 1.0));
        }
    }
    let container = context.format().name().to_owned();
    let inspection = summed_up(input, container, eye, ear, incomplete)?;
    on_progress(1.0);
    Ok(inspection)
}

/// A stream that is looked at, or why it is not.
fn opened<T>(
    stream: Option<ffmpeg_next::Stream<'_>>,
    what: &str,
    open: impl FnOnce(&ffmpeg_next::Stream<'_>) -> Result<T, MediaError>,
) -> Result<T, String> {
    let stream = stream.ok_or_else(|| format!("the input has no {what}"))?;
    open(&stream).map_err(|error| error.to_string())
}

fn summed_up(
    input: &str,
    container: String,
    eye: Result<Eye, String>,
    ear: Result<Ear, String>,
    incomplete: Vec<String>,
) -> Result<Inspection, MediaError> {
    let mut inspection = Inspection {
        input: input.to_owned(),
        container,
        video: None,
        audio: None,
        synchrony: None,
        not_measured: Vec::new(),
        notes: Vec::new(),
        incomplete,
    };
    let (mut seen_ms, mut heard_ms) = (None, None);
    match eye.and_then(Eye::finish) {
        Ok(Seeing { video, early, span_ms }) => {
            for (detector, is_there, why) in [
                ("si", video.si.is_some(), "the pictures are too small to have edges"),
                ("ti", video.ti.is_some(), "there is no picture"),
                ("blur", video.blur.is_some(), "the pictures are of one level, or too small to have edges"),
                ("blockiness", video.blockiness.is_some(), "the pictures are too small to hold blocks"),
                ("gop", video.gop.is_some(), "no packet is marked as a key frame"),
                ("timestamps", video.timestamps.is_some(), "less than two pictures have a time"),
            ] {
                if !is_there {
                    cannot(&mut inspection, detector, why);
                }
            }
            if video.decode_errors > 0 {
                let errors = video.decode_errors;
                let why = format!("the pictures are damaged: {errors} of them could not be decoded, or only in part");
                inspection.incomplete.push(why);
            }
            inspection.incomplete.extend(early);
            (inspection.video, seen_ms) = (Some(video), span_ms);
        }
        Err(why) => OF_PICTURES.iter().for_each(|detector| cannot(&mut inspection, detector, &why)),
    }
    match ear.and_then(Ear::finish) {
        Ok(Sounding { audio, unmetered, early, span_ms }) => {
            if let Some(why) = unmetered {
                cannot(&mut inspection, "loudness", &why);
            }
            if audio.decode_errors > 0 {
                let errors = audio.decode_errors;
                inspection.incomplete.push(format!("the sound is damaged: {errors} packets could not be decoded"));
            }
            inspection.incomplete.extend(early);
            (inspection.audio, heard_ms) = (Some(audio), span_ms);
        }
        Err(why) => OF_SOUND.iter().for_each(|detector| cannot(&mut inspection, detector, &why)),
    }
    if let (None, None) = (&inspection.video, &inspection.audio) {
        let mut why: Vec<_> = inspection.not_measured.iter().map(|missing| missing.why.as_str()).collect();
        why.dedup();
        return Err(MediaError::input(format!("{input}: nothing could be measured: {}", why.join("; "))));
    }
    match (seen_ms, heard_ms) {
        (Some((seen_from, seen_to)), Some((heard_from, heard_to))) => {
            inspection.synchrony =
                Some(Synchrony { start_offset_ms: heard_from - seen_from, end_offset_ms: heard_to - seen_to });
        }
        (_, _) => cannot(&mut inspection, "synchrony", "it takes pictures and sound whose times are known"),
    }
    Ok(inspection)
}

/// Says what could not be measured.
fn cannot(inspection: &mut Inspection, detector: &str, why: &str) {
    inspection.not_measured.push(NotMeasured { detector: detector.to_owned(), why: why.to_owned() });
}
