//! What is in the segments of one rendition, against what its playlist and the variants say of them: boxes, decode times, durations,
//! pictures that need no other, formats, bit rates. Fragmented MP4 only; transport streams and what is encrypted are said to be left out by
//! who fetches.

use flame_cmaf::codec;
use flame_cmaf::samples::{CodecConfig, InitInfo, SampleRef, SamplesError, samples};

use super::media::{Listed, ListedPart};
use super::multivariant::Variant;
use super::{Place, quote, rules};

/// How far EXTINF may be from the samples, seconds.
const DURATION_TOLERANCE_S: f64 = 0.1;
/// How far decode times may be apart, seconds: rounding of timescales.
const GAP_S: f64 = 0.001;
/// Bit rates are counted over runs of segments that last so many target durations (HLS 4.1, "peak segment bit rate").
const RUN_TARGETS: (f64, f64) = (0.5, 1.5);
/// Rounding of a bit rate.
const RATE_TOLERANCE: f64 = 1.001;
/// Most segments whose sizes are kept.
const SIZES_MAX: usize = 100_000;

/// A rendition whose segments are looked into, in order.
#[derive(Debug)]
pub struct Track {
    init: Option<InitInfo>,
    /// Number of the last segment, and when it ends, ticks.
    last: Option<(u64, u64)>,
    sizes: Vec<(f64, u64)>,
}

/// Why a rendition is not looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// Nobody can without the key.
    Encrypted,
    /// Several tracks are in it, which HLS allows and CMAF does not.
    Several,
    /// It breaks a rule, which was noted.
    Broken,
}

// === impl Track ===

impl Track {
    /// One whose init segments are to come, or never do.
    #[must_use]
    pub fn new() -> Self {
        Self { init: None, last: None, sizes: Vec::new() }
    }

    /// Takes an init segment: of the first segment, or of those from here on.
    ///
    /// # Errors
    /// [`Closed`].
    pub fn init(&mut self, bytes: &[u8], place: &mut Place<'_>) -> Result<(), Closed> {
        match InitInfo::parse(bytes) {
            Ok(init) => {
                self.init = Some(init);
                Ok(())
            }
            Err(SamplesError::Protected) => Err(Closed::Encrypted),
            Err(SamplesError::Tracks { count }) if count > 1 => Err(Closed::Several),
            Err(error) => {
                place.breaks(&rules::INIT, None, error.to_string());
                Err(Closed::Broken)
            }
        }
    }

    /// What it is, once its init segment is there.
    #[must_use]
    pub fn info(&self) -> Option<&InitInfo> {
        self.init.as_ref()
    }

    /// Notes how large a segment is whose boxes nobody looks into.
    pub fn weigh(&mut self, duration_s: f64, size_bytes: u64) {
        if self.sizes.len() < SIZES_MAX {
            self.sizes.push((duration_s, size_bytes));
        }
    }

    /// Takes the next segment. `is_independent` where the playlist says so of all.
    pub fn segment(&mut self, listed: &Listed, is_independent: bool, bytes: &[u8], place: &mut Place<'_>) {
        self.weigh(listed.duration_s, bytes.len() as u64);
        let Some(init) = &self.init else {
            place.breaks(&rules::INIT, Some(listed.line), format!("`{}` has no EXT-X-MAP", quote(&listed.uri)));
            return;
        };
        let samples = match samples(bytes, init) {
            Ok(samples) => samples,
            Err(error) => {
                self.last = None;
                place.breaks(&rules::BOXES, Some(listed.line), format!("`{}`: {error}", quote(&listed.uri)));
                return;
            }
        };
        let scale = f64::from(init.timescale);
        let length_ticks: u64 = samples.iter().map(|sample| u64::from(sample.duration_ticks)).sum();
        let (first, last) = (&samples[0], &samples[samples.len() - 1]);
        let begin_ticks = first.decode_ticks;
        if let Some((number, end_ticks)) = self.last
            && number + 1 == listed.number
            && !listed.is_discontinuity
        {
            let apart_s = (begin_ticks as f64 - end_ticks as f64) / scale;
            if apart_s.abs() > GAP_S + 1.0 / scale {
                let found = format!("`{}` begins {apart_s:.4} s after the end of the one before", quote(&listed.uri));
                place.breaks(&rules::DECODE_TIME, Some(listed.line), found);
            }
        }
        self.last = Some((listed.number, last.decode_ticks + u64::from(last.duration_ticks)));
        let length_s = length_ticks as f64 / scale;
        if (length_s - listed.duration_s).abs() > DURATION_TOLERANCE_S {
            let found =
                format!("`{}` has samples of {length_s:.3} s, EXTINF says {} s", quote(&listed.uri), listed.duration_s);
            place.breaks(&rules::DURATION, Some(listed.line), found);
        }
        if is_independent && has_pictures(init) && !first.is_sync {
            let found = format!("`{}` begins with a picture that needs others", quote(&listed.uri));
            place.breaks(&rules::INDEPENDENT_SEGMENT, Some(listed.line), found);
        }
    }

    /// Takes a part, of a segment that is under way or was.
    pub fn part(&self, listed: &ListedPart, bytes: &[u8], place: &mut Place<'_>) {
        let Some(init) = &self.init else { return };
        let samples: Vec<SampleRef> = match samples(bytes, init) {
            Ok(samples) => samples,
            Err(error) => {
                place.breaks(&rules::BOXES, Some(listed.line), format!("`{}`: {error}", quote(&listed.uri)));
                return;
            }
        };
        if listed.is_independent && has_pictures(init) && !samples.iter().any(|sample| sample.is_sync) {
            let found = format!("`{}` holds none", quote(&listed.uri));
            place.breaks(&rules::INDEPENDENT_PART, Some(listed.line), found);
        }
    }

    /// Its peak segment bit rate, bits a second, over what was weighed; 0 of nothing.
    #[must_use]
    pub fn peak_bps(&self, target_s: f64) -> f64 {
        let mut peak_bps: f64 = 0.0;
        for from in 0..self.sizes.len() {
            let (mut length_s, mut size_bytes) = (0.0, 0);
            for (duration_s, bytes) in &self.sizes[from..] {
                length_s += duration_s;
                size_bytes += bytes;
                if length_s > RUN_TARGETS.1 * target_s {
                    break;
                }
                if length_s >= RUN_TARGETS.0 * target_s && length_s > 0.0 {
                    peak_bps = peak_bps.max(size_bytes as f64 * 8.0 / length_s);
                }
            }
        }
        peak_bps
    }
}

impl Default for Track {
    fn default() -> Self {
        Self::new()
    }
}

/// Holds what a variant says of itself against its renditions: the one of its own URI first, then one of each of its groups. A
/// format that is not known here is not held against it.
pub fn variant(variant: &Variant, tracks: &[&Track], target_s: f64, place: &mut Place<'_>) {
    let peak_bps: f64 = tracks.iter().map(|track| track.peak_bps(target_s)).sum();
    if variant.bandwidth_bps > 0 && peak_bps > variant.bandwidth_bps as f64 * RATE_TOLERANCE {
        let found = format!("it says {} bit/s, its segments have {peak_bps:.0} bit/s", variant.bandwidth_bps);
        place.breaks(&rules::BANDWIDTH, Some(variant.line), found);
    }
    for info in tracks.iter().filter_map(|track| track.info()) {
        if !variant.codecs.is_empty() && !variant.codecs.iter().any(|codec| fits(codec, &info.codec)) {
            let found = format!("`{}`, and a rendition is {}", quote(&variant.codecs.join(",")), name(&info.codec));
            place.breaks(&rules::CODECS, Some(variant.line), found);
        }
        let coded = (u64::from(info.width_px), u64::from(info.height_px));
        if let Some(said) = variant.resolution.filter(|said| has_pictures(info) && *said != coded) {
            let found = format!("it says {}x{}, the pictures are {}x{}", said.0, said.1, coded.0, coded.1);
            place.breaks(&rules::RESOLUTION, Some(variant.line), found);
        }
    }
}

fn has_pictures(init: &InitInfo) -> bool {
    init.width_px > 0
}

/// What the init segment says, as CODECS would.
fn name(config: &CodecConfig) -> String {
    match config {
        CodecConfig::Avc(record) => codec::avc1(record).unwrap_or_else(|error| error.to_string()),
        CodecConfig::Hevc(record) => codec::hevc("hvc1", record).unwrap_or_else(|error| error.to_string()),
        CodecConfig::Aac(config) => codec::mp4a(config).unwrap_or_else(|error| error.to_string()),
        CodecConfig::Ac3(_) => "ac-3".to_owned(),
        CodecConfig::Eac3(_) => "ec-3".to_owned(),
        CodecConfig::Opus(_) => "opus".to_owned(),
        CodecConfig::Other(kind) => kind.to_string(),
    }
}

/// Whether a word of CODECS says what an init segment does. Of H.264 the profile must be the same, and the level at least as high: a
/// variant may say the most of its renditions.
fn fits(said: &str, config: &CodecConfig) -> bool {
    let said = said.to_ascii_lowercase();
    let is = name(config).to_ascii_lowercase();
    match config {
        CodecConfig::Avc(_) => {
            let (Some(said), Some(is)) = (said.strip_prefix("avc1.").or(said.strip_prefix("avc3.")), is.get(5..))
            else {
                return false;
            };
            let level = |text: &str| text.get(4..6).and_then(|hex| u8::from_str_radix(hex, 16).ok());
            said.get(..2) == is.get(..2) && level(said) >= level(is)
        }
        CodecConfig::Hevc(_) => said.starts_with("hvc1.") || said.starts_with("hev1.") || said.starts_with("dvh"),
        // 5 and 29 (SBR, PS) may be signalled as 2 in the configuration.
        CodecConfig::Aac(_) => said == is || (said.starts_with("mp4a.40.") && is.starts_with("mp4a.40.")),
        CodecConfig::Ac3(_) | CodecConfig::Eac3(_) | CodecConfig::Opus(_) => said == is,
        CodecConfig::Other(_) => said.get(..4) == is.get(..4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_apart() {
        let avc = CodecConfig::Avc(vec![1, 0x64, 0, 0x1f, 0xff]);
        assert!(fits("avc1.64001F", &avc) && fits("avc1.640028", &avc) && fits("avc3.64001f", &avc));
        assert!(!fits("avc1.42001f", &avc) && !fits("avc1.64001e", &avc) && !fits("hvc1.1.6.L93.B0", &avc));
        assert!(!fits("mp4a.40.2", &CodecConfig::Opus(Vec::new())) && fits("Opus", &CodecConfig::Opus(Vec::new())));
    }

    #[test]
    fn a_peak_is_that_of_a_run_of_about_a_target() {
        let mut track = Track::new();
        for bytes in [100_000, 400_000, 100_000] {
            track.weigh(2.0, bytes);
        }
        // One of them alone is half a target at least.
        assert!((track.peak_bps(2.0) - 1_600_000.0).abs() < 1.0);
        // Of a target of 6 s, runs of 4 to 8 s count only.
        assert!((track.peak_bps(6.0) - 1_000_000.0).abs() < 1.0);
        assert!(Track::new().peak_bps(2.0).abs() < f64::EPSILON);
    }
}
