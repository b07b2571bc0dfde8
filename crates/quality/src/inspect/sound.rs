//! Silence, clipping and loudness of sound, block after block of interleaved samples, full scale at 1.

use ebur128::{EbuR128, Mode};
use flame_api::quality::inspection::{Clipping, Loudness, Spans};

use super::spans::Stretches;

/// A sample below this is silent: -60 dB, as FFmpeg's `silencedetect` has it.
const SILENT: f64 = 0.001;
/// A sample is at full scale from here on: the largest value of 16 bits, 32767/32768.
const FULL_SCALE: f64 = 0.999_969;
/// So many samples of a channel at full scale in a row are clipping; less are a peak.
const CLIPPED_SAMPLES: u64 = 3;
/// The absolute gate of ITU-R BS.1770: what is softer does not count.
const GATE_LUFS: f64 = -70.0;
/// Loudness range is of short-term loudness, which takes three seconds.
const RANGE_S: f64 = 3.0;
/// What is softer than the mean by this does not count for it, and which shares of the rest are its ends (EBU Tech 3342).
const RANGE_GATE_LU: f64 = -20.0;
const RANGE_ENDS: (f64, f64) = (0.10, 0.95);
/// Short-term loudness is counted in steps of so many LU, up to so many LUFS.
const STEP_LU: f64 = 0.01;
const STEPS_TO_LUFS: f64 = 20.0;
/// The lowest rate at which BS.1770's filters mean something: their upper one is around 1.7 kHz.
const RATE_MIN_HZ: u32 = 8000;
/// Momentary and short-term loudness are looked at so many times a second (EBU Tech 3341).
const LOOKS_PER_S: u32 = 10;

/// What sound says, as it comes.
#[derive(Debug)]
pub struct Sound {
    rate_hz: u32,
    channels: usize,
    /// Frames of samples seen.
    frames: u64,
    silence: Stretches,
    /// Of each channel, samples at full scale without a break.
    runs: Vec<u64>,
    clipping: Clipping,
    peak: f64,
    meter: Option<Meter>,
    /// Why loudness is not measured.
    unmetered: Option<String>,
}

#[derive(Debug)]
struct Meter {
    r128: EbuR128,
    /// Frames until momentary loudness is looked at.
    until_look: usize,
    momentary_max: f64,
    short_term_max: f64,
    /// Frames metered.
    frames: u64,
    /// How often each short-term loudness came, from the absolute gate on. Ten times a second: once a second, as the library has
    /// it, a range depends on where the seconds begin.
    short_terms: Vec<u32>,
}

/// All that was found in sound.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// Stretches in which all channels are silent.
    pub silence: Spans,
    /// Samples at full scale.
    pub clipping: Clipping,
    /// Loudness, or why it was not measured.
    pub loudness: Result<Loudness, String>,
    /// Length of the sound, seconds.
    pub duration_s: f64,
}

// === impl Sound ===

impl Sound {
    /// Sound of so many samples a second and channels (front left, front right, centre, LFE, surrounds); silence counts from
    /// `shortest_s` on.
    #[must_use]
    pub fn new(rate_hz: u32, channels: u32, shortest_s: f64) -> Self {
        let mode = Mode::I | Mode::TRUE_PEAK | Mode::M | Mode::S;
        let (meter, unmetered) = match EbuR128::new(channels, rate_hz, mode) {
            Ok(_) if rate_hz < RATE_MIN_HZ => {
                (None, Some(format!("sound at {rate_hz} Hz cannot be metered: it takes {RATE_MIN_HZ}")))
            }
            Ok(r128) => (Some(Meter::new(r128, rate_hz)), None),
            Err(error) => (None, Some(format!("{channels} channels at {rate_hz} Hz cannot be metered: {error:?}"))),
        };
        let channels = channels.max(1) as usize;
        Self {
            rate_hz: rate_hz.max(1),
            channels,
            frames: 0,
            silence: Stretches::new(shortest_s),
            runs: vec![0; channels],
            clipping: Clipping::default(),
            peak: 0.0,
            meter,
            unmetered,
        }
    }

    /// More samples, interleaved. What is no number counts as full scale: it is damage.
    pub fn hear(&mut self, samples: &[f32]) {
        for frame in samples.chunks_exact(self.channels) {
            let mut loudest = 0.0_f64;
            for (sample, run) in frame.iter().zip(&mut self.runs) {
                let level = if sample.is_finite() { f64::from(sample.abs()) } else { 1.0 };
                loudest = loudest.max(level);
                if level >= FULL_SCALE {
                    *run += 1;
                } else if *run > 0 {
                    note_run(&mut self.clipping, std::mem::take(run));
                }
            }
            self.peak = self.peak.max(loudest);
            let at_s = self.frames as f64 / f64::from(self.rate_hz);
            if loudest < SILENT {
                self.silence.begin(at_s);
            } else {
                self.silence.end(at_s);
            }
            self.frames += 1;
        }
        if let Some(meter) = &mut self.meter
            && let Err(error) = meter.hear(samples, self.channels)
        {
            self.unmetered = Some(format!("the sound cannot be metered: {error:?}"));
            self.meter = None;
        }
    }

    /// What was found in all of it.
    #[must_use]
    pub fn finish(mut self) -> Heard {
        for run in std::mem::take(&mut self.runs) {
            note_run(&mut self.clipping, run);
        }
        let duration_s = self.frames as f64 / f64::from(self.rate_hz);
        self.clipping.peak_dbfs = decibels(self.peak);
        let loudness = match (self.meter, self.unmetered) {
            _ if self.frames == 0 => Err("not a sample was decoded".to_owned()),
            (Some(meter), _) => meter.finish(),
            (None, why) => Err(why.unwrap_or_default()),
        };
        Heard { silence: self.silence.finish(duration_s), clipping: self.clipping, loudness, duration_s }
    }
}

/// dB of an amplitude; none of nothing.
fn decibels(amplitude: f64) -> Option<f64> {
    (amplitude > 0.0).then(|| 20.0 * amplitude.log10())
}

// === impl Meter ===

impl Meter {
    fn new(r128: EbuR128, rate_hz: u32) -> Self {
        let until_look = (rate_hz / LOOKS_PER_S).max(1) as usize;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a quotient of the constants above")]
        let short_terms = vec![0; ((STEPS_TO_LUFS - GATE_LUFS) / STEP_LU) as usize + 1];
        let none = f64::NEG_INFINITY;
        Self { r128, until_look, momentary_max: none, short_term_max: none, frames: 0, short_terms }
    }

    fn hear(&mut self, samples: &[f32], channels: usize) -> Result<(), ebur128::Error> {
        let clean: Vec<f32>;
        let mut rest = if samples.iter().all(|sample| sample.is_finite()) {
            samples
        } else {
            // One of them would make every later figure no number.
            clean = samples.iter().map(|sample| if sample.is_finite() { *sample } else { 0.0 }).collect();
            &clean
        };
        while !rest.is_empty() {
            let (some, later) = rest.split_at((self.until_look * channels).min(rest.len()));
            self.r128.add_frames_f32(some)?;
            self.until_look -= some.len() / channels;
            self.frames += (some.len() / channels) as u64;
            if self.until_look == 0 {
                self.momentary_max = self.momentary_max.max(self.r128.loudness_momentary()?);
                self.look_at(self.r128.loudness_shortterm()?);
                self.until_look = (self.r128.rate() / LOOKS_PER_S).max(1) as usize;
            }
            rest = later;
        }
        Ok(())
    }

    /// Counts a short-term loudness, LUFS, once there are three seconds to have one of.
    fn look_at(&mut self, lufs: f64) {
        if self.frames as f64 + 1.0 < RANGE_S * f64::from(self.r128.rate()) {
            return;
        }
        self.short_term_max = self.short_term_max.max(lufs);
        if lufs >= GATE_LUFS {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts of floats saturate")]
            let at = (((lufs - GATE_LUFS) / STEP_LU).round() as usize).min(self.short_terms.len() - 1);
            self.short_terms[at] = self.short_terms[at].saturating_add(1);
        }
    }

    /// The range of what is above both gates; none where nothing is.
    fn range_lu(&self) -> Option<f64> {
        let steps = || {
            self.short_terms.iter().enumerate().map(|(at, count)| (GATE_LUFS + at as f64 * STEP_LU, u64::from(*count)))
        };
        let powers: f64 = steps().map(|(lufs, count)| count as f64 * 10_f64.powf(lufs / 10.0)).sum();
        let all: u64 = steps().map(|(_, count)| count).sum();
        let gate = 10.0 * (powers / all.max(1) as f64).log10() + RANGE_GATE_LU;
        let loud = || steps().filter(|(lufs, count)| *lufs >= gate && *count > 0);
        let last = loud().map(|(_, count)| count).sum::<u64>().checked_sub(1)? as f64;
        let at = |share: f64| {
            let mut before = 0.0;
            loud().find(|(_, count)| {
                before += *count as f64;
                before > (last * share).round()
            })
        };
        Some(at(RANGE_ENDS.1)?.0 - at(RANGE_ENDS.0)?.0)
    }

    fn finish(self) -> Result<Loudness, String> {
        let failed = |error: ebur128::Error| format!("the sound cannot be metered: {error:?}");
        let integrated = self.r128.loudness_global().map_err(failed)?;
        let mut true_peak = 0.0_f64;
        for channel in 0..self.r128.channels() {
            true_peak = true_peak.max(self.r128.true_peak(channel).map_err(failed)?);
        }
        let heard = |lufs: f64| (lufs > GATE_LUFS).then_some(lufs);
        Ok(Loudness {
            integrated_lufs: heard(integrated),
            range_lu: self.range_lu(),
            true_peak_dbtp: decibels(true_peak),
            momentary_max_lufs: heard(self.momentary_max),
            short_term_max_lufs: heard(self.short_term_max),
        })
    }
}

/// Adds a run of samples at full scale that has ended, if it is long enough to be clipping.
fn note_run(clipping: &mut Clipping, samples: u64) {
    if samples >= CLIPPED_SAMPLES {
        clipping.runs += 1;
        clipping.samples += samples;
        clipping.longest_samples = clipping.longest_samples.max(samples);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heard(samples: &[f32], block: usize) -> Heard {
        let mut sound = Sound::new(1000, 2, 0.0);
        samples.chunks(2 * block).for_each(|samples| sound.hear(samples));
        sound.finish()
    }

    proptest! {
        /// Against runs in whole channels, whatever the blocks that the sound comes in.
        #[test]
        fn silence_and_clipping_are_what_one_would_find_by_hand(
            frames in proptest::collection::vec(proptest::sample::select(vec![(0.0, 0.0), (0.5, 0.0), (1.0, 0.0), (1.0, -1.0), (0.0, 0.0009)]), 1..120),
            block in 1_usize..50,
        ) {
            let samples: Vec<f32> = frames.iter().flat_map(|(left, right)| [*left, *right]).collect();
            let found = heard(&samples, block);
            let mut runs = Vec::new();
            for channel in 0..2 {
                let of: Vec<bool> = samples.iter().skip(channel).step_by(2).map(|sample| sample.abs() >= 1.0).collect();
                runs.extend(of.chunk_by(|a, b| a == b).filter(|run| run[0] && run.len() >= 3).map(|run| run.len() as u64));
            }
            prop_assert_eq!((found.clipping.runs, found.clipping.samples), (runs.len() as u64, runs.iter().sum::<u64>()));
            let silent: Vec<bool> = frames.iter().map(|(left, right)| left.abs() < 0.001 && right.abs() < 0.001).collect();
            let stretches = silent.chunk_by(|a, b| a == b).filter(|run| run[0]).count() as u64;
            prop_assert_eq!(found.silence.count, stretches);
            prop_assert!((found.silence.total_s - silent.iter().filter(|is| **is).count() as f64 / 1000.0).abs() < 1e-9);
        }
    }

    /// EBU Tech 3341, case 1: a stereo sine of 1 kHz at -23 dBFS is -23 LUFS.
    #[test]
    fn the_reference_tone_is_as_loud_as_it_must_be() {
        let mut sound = Sound::new(48_000, 2, 2.0);
        let amplitude = 10_f64.powf(-23.0 / 20.0);
        let samples: Vec<f32> = (0..20 * 48_000)
            .flat_map(|at| {
                let sample = (amplitude * (f64::from(at) * std::f64::consts::TAU / 48.0).sin()) as f32;
                [sample, sample]
            })
            .collect();
        samples.chunks(2 * 1111).for_each(|samples| sound.hear(samples));
        let loudness = sound.finish().loudness.expect("it is metered");
        for figure in [loudness.integrated_lufs, loudness.momentary_max_lufs, loudness.short_term_max_lufs] {
            assert!((figure.expect("it is loud enough") + 23.0).abs() < 0.1, "{loudness:?}");
        }
        assert!(loudness.range_lu.expect("it is long enough") < 0.1);
        assert!((loudness.true_peak_dbtp.expect("it has one") + 23.0).abs() < 0.2, "{loudness:?}");
    }

    #[test]
    fn digital_silence_has_no_loudness_and_does_not_pretend_to() {
        let mut sound = Sound::new(8000, 2, 2.0);
        sound.hear(&vec![0.0; 160_000]);
        let found = sound.finish();
        let loudness = found.loudness.expect("it is metered");
        assert_eq!((loudness.integrated_lufs, loudness.range_lu, loudness.true_peak_dbtp), (None, None, None));
        assert_eq!((found.silence.count, found.silence.longest_s, found.clipping.peak_dbfs), (1, 10.0, None));
        assert!(Sound::new(48_000, 2, 2.0).finish().loudness.is_err_and(|why| why.contains("not a sample")));
    }

    #[test]
    fn what_the_filters_were_not_made_for_is_not_metered() {
        for (rate_hz, channels) in [(1000, 2), (48_000, 200)] {
            let mut sound = Sound::new(rate_hz, channels, 2.0);
            sound.hear(&vec![0.5; 2000]);
            assert!(sound.finish().loudness.is_err_and(|why| why.contains("cannot be metered")));
        }
    }

    #[test]
    fn samples_that_are_no_numbers_are_damage_and_spoil_nothing_else() {
        // A tone: what does not change is not heard.
        let mut samples: Vec<f32> = (0..32_000_i16).map(|at| 0.1 * (f32::from(at) * 0.35).sin()).collect();
        samples[100..110].fill(f32::NAN);
        let mut sound = Sound::new(8000, 2, 2.0);
        samples.chunks(154).for_each(|samples| sound.hear(samples));
        let found = sound.finish();
        assert_eq!((found.clipping.runs, found.clipping.longest_samples), (2, 5));
        assert!(found.loudness.is_ok_and(|loudness| loudness.momentary_max_lufs.is_some_and(f64::is_finite)));
    }
}
