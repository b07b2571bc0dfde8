//! How loud each sound is before it is encoded, and the one gain that brings it to its target (EBU R 128).
//!
//! Two passes over the sound alone: this one decodes, mixes down and resamples as the ladder will, and meters; then every sample is
//! multiplied by the same number. So the balance within a programme stays what it was: nothing is compressed, and where peaks
//! leave no room the target is not reached. Nothing is written here.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use flame_api::quality::inspection::Loudness;
use flame_media_child::protocol::{AudioRung, LadderPlan, LoudnessPlan};
use flame_quality::inspect::sound::Sound;
use gstreamer::{self as gst, prelude::*};

use super::{feed, feed::Sources, graph, watch};
use crate::fault::MediaError;

/// More than this is no programme that was made too quiet, but noise.
const GAIN_MAX_DB: f64 = 30.0;
/// The meter notes silent stretches as well; none is this long.
const NO_STRETCH_S: f64 = 1e9;

/// The gain of each sound of `plan`, decibels; none where its loudness is left alone.
pub(super) fn gains_db(
    input: &Path,
    plan: &LadderPlan,
    on_progress: &mut dyn FnMut(f64),
) -> Result<Vec<Option<f64>>, MediaError> {
    let wanted: Vec<&AudioRung> = plan.audio.iter().filter(|rung| rung.loudness.is_some()).collect();
    if wanted.is_empty() {
        return Ok(vec![None; plan.audio.len()]);
    }
    let sounds = LadderPlan {
        video: Vec::new(),
        audio: wanted.iter().map(|rung| (*rung).clone()).collect(),
        thumbnails: None,
        agreed: None,
        ..plan.clone()
    };
    let mut measured = measure(input, &sounds, on_progress)?.into_iter();
    let gain = |rung: &AudioRung| {
        let loudness = rung.loudness?;
        let heard = measured.next().flatten();
        let gain_db = heard.as_ref().map_or(0.0, |heard| gain_db(heard, loudness));
        // The log of the job keeps it.
        eprintln!("{}: {heard:?}, so its gain is {gain_db:.2} dB", rung.name);
        Some(gain_db)
    };
    Ok(plan.audio.iter().map(gain).collect())
}

/// What brings a sound to its target, as far as its peaks let it; 0 for one that is silent or too short to be measured.
fn gain_db(heard: &Loudness, plan: LoudnessPlan) -> f64 {
    let Some(integrated_lufs) = heard.integrated_lufs else { return 0.0 };
    let wanted_db = plan.target_lufs - integrated_lufs;
    let room_db = heard.true_peak_dbtp.map_or(f64::INFINITY, |peak| plan.true_peak_max_dbtp - peak);
    // Also what is quiet enough is turned down where its peaks are too high.
    wanted_db.min(room_db).clamp(-GAIN_MAX_DB, GAIN_MAX_DB)
}

/// Plays all sounds of `plan` into meters.
fn measure(
    input: &Path,
    plan: &LadderPlan,
    on_progress: &mut dyn FnMut(f64),
) -> Result<Vec<Option<Loudness>>, MediaError> {
    let source = feed::open(input)?;
    let shared = Arc::new(graph::Shared::new(Path::new(""), plan, None)?);
    let pipeline = gst::Pipeline::new();
    let mut meters = Vec::new();
    let mut audio = Vec::new();
    for (n, rung) in plan.audio.iter().enumerate() {
        let meter = Sound::new(rung.sample_rate_hz, rung.channels.into(), NO_STRETCH_S);
        let meter = Arc::new(Mutex::new(Some(meter)));
        meters.push(Arc::clone(&meter));
        let source = graph::meter_branch(&pipeline, n, rung, &shared, move |samples| {
            if let Some(meter) = meter.lock().expect("no panic while it is held").as_mut() {
                meter.hear(samples);
            }
        })?;
        audio.push((rung.sound, source));
    }
    let sources = Sources { video: None, audio, frame_rate: None, sheets: None, origin_ns: None, cut: None };
    let started = pipeline.set_state(gst::State::Playing);
    let feeder = started
        .map_err(|_| MediaError::environment("the media pipeline does not start"))
        .and_then(|_| feed::start(source, sources, Arc::clone(&shared)));
    let watched =
        feeder.map(|feeder| (watch(&pipeline, &shared, plan, &mut |fraction, _| on_progress(fraction)), feeder));
    // Also after a failure: only a stopped pipeline lets go of its threads, and of the feeder.
    let stopped = pipeline.set_state(gst::State::Null);
    let (watched, feeder) = watched?;
    let fed = feeder.join();
    if let Some(error) = shared.failure() {
        return Err(error);
    }
    watched?;
    stopped.map_err(|_| MediaError::environment("the media pipeline does not stop"))?;
    fed.map_err(|_| MediaError::environment("the decoding thread panicked"))?;
    let heard = meters.iter().map(|meter| {
        let meter = meter.lock().expect("the pipeline has stopped").take();
        meter.and_then(|meter| meter.finish().loudness.ok())
    });
    Ok(heard.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gain(integrated_lufs: Option<f64>, true_peak_dbtp: Option<f64>) -> f64 {
        let heard = Loudness {
            integrated_lufs,
            range_lu: None,
            true_peak_dbtp,
            momentary_max_lufs: None,
            short_term_max_lufs: None,
        };
        gain_db(&heard, LoudnessPlan { target_lufs: -23.0, true_peak_max_dbtp: -2.0 })
    }

    #[test]
    fn peaks_bound_the_gain_and_silence_has_none() {
        assert_eq!(gain(Some(-30.0), Some(-20.0)), 7.0);
        assert_eq!(gain(Some(-30.0), Some(-4.0)), 2.0);
        assert_eq!(gain(Some(-14.0), Some(0.0)), -9.0);
        assert_eq!(gain(Some(-23.0), Some(1.0)), -3.0);
        assert_eq!(gain(Some(-69.0), Some(-60.0)), GAIN_MAX_DB);
        assert_eq!(gain(Some(-30.0), None), 7.0);
        assert_eq!(gain(None, Some(-4.0)), 0.0);
    }
}
