//! What a browser sends, in the words that all live doors use ([`crate::live::packager::Input`]). Pure.
//!
//! RTP counts pictures and sound from origins that have nothing to do with each other (RFC 3550 section 5.1). Until the sender
//! reports say where each of them lies on the sender's clock (section 6.4.1), the arrival of the first packet does; after that the
//! reports do, as soon as they differ by more than [`TOLERANCE_TICKS`]: so sound and pictures also stay together when the
//! clocks behind them drift apart.

use std::time::{Duration, Instant};

use bytes::Bytes;
use flame_api::media::TrackKind;
use flame_cmaf::ts::reader::AnnexB;

use crate::live::codecs::{OPUS_RATE_HZ, Opus, opus_samples};
use crate::live::grid::{CLOCK_HZ, MS_TICKS};
use crate::live::packager::Input;

/// Ticks per second of pictures (RFC 6184 section 8.2.1).
const PICTURE_RATE_HZ: u32 = CLOCK_HZ;
/// Channels that are said of Opus: what it is negotiated with (RFC 7587 section 7).
const OPUS_CHANNELS: u16 = 2;
/// How far a time may be from where the reports put it.
pub const TOLERANCE_TICKS: i64 = 20 * MS_TICKS;
/// A key frame that was asked for and does not come is asked for again after this.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// When something came and was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// The time in its packets, modulo 2^32.
    pub rtp: u32,
    /// When the first of them came, since the session began.
    pub arrived: Duration,
    /// The newest sender report of its stream.
    pub report: Option<Report>,
}

/// A sender report: one instant on two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// As packets count it.
    pub rtp: u32,
    /// As the sender's wall clock has it, microseconds since 1970.
    pub wall_us: i64,
}

/// Reads the media of one session.
#[derive(Debug)]
pub struct Reader {
    pictures: Stream,
    sound: Stream,
    /// How far the sender's wall clock is ahead of the session's, ticks of [`CLOCK_HZ`]; of the stream whose report came first.
    ahead_ticks: Option<i64>,
    units: AnnexB,
    opus: Option<Opus>,
}

/// Times of one stream.
#[derive(Debug)]
struct Stream {
    rate_hz: u32,
    last_rtp: Option<u32>,
    /// Since the first packet, in its own ticks.
    position: i64,
    /// The session's time of the first packet, ticks of [`CLOCK_HZ`].
    offset_ticks: i64,
}

/// When a key frame is to be asked for: browsers send none by themselves, and a segment begins with one.
#[derive(Debug)]
pub struct KeyFrames {
    every: Duration,
    last: Option<Instant>,
    asked: Option<Instant>,
}

// === impl Reader ===

impl Reader {
    /// Nothing has come.
    #[must_use]
    pub fn new() -> Self {
        Self {
            pictures: Stream::new(PICTURE_RATE_HZ),
            sound: Stream::new(OPUS_RATE_HZ),
            ahead_ticks: None,
            units: AnnexB::default(),
            opus: None,
        }
    }

    /// A picture, as NAL units behind start codes (ITU-T H.264 annex B), or a packet of Opus. What it means is appended to `inputs`.
    /// What cannot be read means nothing: what comes after it can.
    pub fn read(&mut self, kind: TrackKind, heard: &Heard, data: &[u8], inputs: &mut Vec<Input>) {
        let stream = match kind {
            TrackKind::Video => &mut self.pictures,
            TrackKind::Audio => &mut self.sound,
        };
        let clock = stream.place(heard, &mut self.ahead_ticks);
        // Negative ones too: only so many low bits count.
        let time = clock.cast_unsigned();
        let data = match kind {
            TrackKind::Video => {
                let Some(unit) = self.units.read(data) else { return };
                inputs.extend(unit.configuration.map(|record| Input::Configuration(TrackKind::Video, record)));
                let Some(picture) = unit.picture else { return };
                picture
            }
            TrackKind::Audio => {
                let Some(samples) = opus_samples(data) else { return };
                if self.opus.is_none() {
                    let opus = *self.opus.insert(Opus { channels: OPUS_CHANNELS, frame_samples: samples });
                    inputs.push(Input::Opus(opus));
                }
                Bytes::copy_from_slice(data)
            }
        };
        // Browsers send pictures in the order in which they are shown.
        inputs.push(Input::Media { kind, time, composition: 0, data });
    }
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Stream ===

impl Stream {
    fn new(rate_hz: u32) -> Self {
        Self { rate_hz, last_rtp: None, position: 0, offset_ticks: 0 }
    }

    /// The session's time of what was heard, ticks of [`CLOCK_HZ`].
    fn place(&mut self, heard: &Heard, ahead_ticks: &mut Option<i64>) -> i64 {
        match self.last_rtp.replace(heard.rtp) {
            None => self.offset_ticks = ticks_of_us(i64::try_from(heard.arrived.as_micros()).unwrap_or(i64::MAX)),
            Some(last) => self.position += distance(last, heard.rtp),
        }
        let since_first = self.ticks(self.position);
        if let Some(report) = heard.report {
            let wall_ticks = ticks_of_us(report.wall_us) + self.ticks(distance(report.rtp, heard.rtp));
            let ahead = *ahead_ticks.get_or_insert(wall_ticks - since_first - self.offset_ticks);
            let reported_ticks = wall_ticks - ahead;
            if (reported_ticks - since_first - self.offset_ticks).abs() > TOLERANCE_TICKS {
                self.offset_ticks = reported_ticks - since_first;
            }
        }
        since_first + self.offset_ticks
    }

    fn ticks(&self, own: i64) -> i64 {
        let ticks = i128::from(own) * i128::from(CLOCK_HZ);
        i64::try_from(ticks.div_euclid(i128::from(self.rate_hz))).unwrap_or(0)
    }
}

/// From one time of RTP to another, the short way round.
fn distance(from: u32, to: u32) -> i64 {
    to.wrapping_sub(from).cast_signed().into()
}

/// Wall clocks that are centuries off become one that is.
fn ticks_of_us(us: i64) -> i64 {
    (us / 1000).clamp(-(1 << 48), 1 << 48) * MS_TICKS + us % 1000 * MS_TICKS / 1000
}

// === impl KeyFrames ===

impl KeyFrames {
    /// One is wanted `every` so often.
    #[must_use]
    pub fn new(every: Duration) -> Self {
        Self { every, last: None, asked: None }
    }

    /// Whether to ask for one, after a picture that came at `now`, is one or not, and follows the one before it or not.
    pub fn is_due(&mut self, now: Instant, is_key: bool, is_contiguous: bool) -> bool {
        if is_key {
            (self.last, self.asked) = (Some(now), None);
            return false;
        }
        let is_old = self.last.is_none_or(|last| now.duration_since(last) >= self.every);
        let may_ask = self.asked.is_none_or(|asked| now.duration_since(asked) >= ASK_AGAIN);
        let is_due = (is_old || !is_contiguous) && may_ask;
        if is_due {
            self.asked = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const IDR: &[u8] = &[0, 0, 0, 1, 0x65, 0x88, 0x84, 0];
    const PACKET: &[u8] = &[0xfc, 1, 2, 3];

    fn time(reader: &mut Reader, kind: TrackKind, heard: Heard) -> i64 {
        let data = if kind == TrackKind::Video { IDR } else { PACKET };
        let mut inputs = Vec::new();
        reader.read(kind, &heard, data, &mut inputs);
        match inputs.last() {
            Some(Input::Media { time, .. }) => time.cast_signed(),
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        /// A sender records pictures and sound at the same instants, on clocks of its own with any origins, and the network
        /// delays each stream's first packet by something else.
        #[test]
        fn reports_bring_pictures_and_sound_together(
            picture_origin: u32,
            sound_origin: u32,
            wall_us in 0_i64..4_000_000_000_000_000,
            picture_delay_ms in 0_u64..400,
            sound_delay_ms in 0_u64..400,
        ) {
            let mut reader = Reader::new();
            let heard = |kind, at_ms: u32, report_at_ms: Option<u32>| {
                let (origin, per_ms, delay_ms) = match kind {
                    TrackKind::Video => (picture_origin, 90, picture_delay_ms),
                    TrackKind::Audio => (sound_origin, 48, sound_delay_ms),
                };
                let rtp = |at_ms: u32| origin.wrapping_add(at_ms.wrapping_mul(per_ms));
                let report = report_at_ms.map(|at_ms| Report { rtp: rtp(at_ms), wall_us: wall_us + i64::from(at_ms) * 1000 });
                Heard { rtp: rtp(at_ms), arrived: Duration::from_millis(u64::from(at_ms) + delay_ms), report }
            };
            // Without reports arrivals count.
            let picture = time(&mut reader, TrackKind::Video, heard(TrackKind::Video, 0, None));
            let sound = time(&mut reader, TrackKind::Audio, heard(TrackKind::Audio, 0, None));
            let apart_ms = (picture_delay_ms.cast_signed() - sound_delay_ms.cast_signed()).unsigned_abs();
            prop_assert_eq!((picture - sound).unsigned_abs(), apart_ms * 90);
            // With them it is when it was recorded, whichever stream's comes first, over the ends of both counts.
            for at_ms in (1000..200_000_000).step_by(20_000_000) {
                let picture = time(&mut reader, TrackKind::Video, heard(TrackKind::Video, at_ms, Some(at_ms - 500)));
                let sound = time(&mut reader, TrackKind::Audio, heard(TrackKind::Audio, at_ms, Some(at_ms - 700)));
                prop_assert!((picture - sound).abs() <= TOLERANCE_TICKS, "{picture} {sound}");
                let since = picture - picture_delay_ms.cast_signed() * 90;
                prop_assert!((since - i64::from(at_ms) * 90).abs() <= 400 * 90 + TOLERANCE_TICKS, "{since}");
            }
        }

        #[test]
        fn no_octets_do_harm(data in prop::collection::vec(any::<u8>(), 0..64), rtp: u32, wall_us: i64, is_sound: bool) {
            let mut reader = Reader::new();
            let kind = if is_sound { TrackKind::Audio } else { TrackKind::Video };
            let report = Some(Report { rtp: 0, wall_us });
            reader.read(kind, &Heard { rtp, arrived: Duration::ZERO, report }, &data, &mut Vec::new());
        }
    }

    #[test]
    fn clocks_that_drift_apart_are_brought_together_again() {
        let mut reader = Reader::new();
        let mut worst = 0;
        for second in 0..3600_u32 {
            // The sound card's clock is 0.01 % fast: more than 300 ms an hour.
            let sound_rtp = second * 48_000 + second * 48 / 10;
            let at = |rtp| Heard {
                rtp,
                arrived: Duration::from_secs(second.into()),
                report: Some(Report { rtp, wall_us: i64::from(second) * 1_000_000 }),
            };
            let picture = time(&mut reader, TrackKind::Video, at(second * 90_000));
            let sound = time(&mut reader, TrackKind::Audio, at(sound_rtp));
            worst = worst.max((picture - sound).abs());
        }
        assert!(worst <= TOLERANCE_TICKS, "{worst}");
    }

    #[test]
    fn opus_is_announced_once_and_parameter_sets_when_they_change() {
        let mut reader = Reader::new();
        let heard = Heard { rtp: 0, arrived: Duration::ZERO, report: None };
        let mut inputs = Vec::new();
        reader.read(TrackKind::Audio, &heard, PACKET, &mut inputs);
        reader.read(TrackKind::Audio, &heard, PACKET, &mut inputs);
        let [Input::Opus(opus), Input::Media { .. }, Input::Media { .. }] = &inputs[..] else { panic!("{inputs:?}") };
        assert_eq!(*opus, Opus { channels: 2, frame_samples: 960 });
        let sets: &[u8] = &[0, 0, 0, 1, 0x67, 0x42, 0xe0, 0x1f, 0x8c, 0x8d, 0, 0, 0, 1, 0x68, 0xce, 0x3c, 0x80];
        let key_frame = [sets, IDR].concat();
        inputs.clear();
        reader.read(TrackKind::Video, &heard, &key_frame, &mut inputs);
        reader.read(TrackKind::Video, &heard, &key_frame, &mut inputs);
        let [Input::Configuration(TrackKind::Video, _), Input::Media { data, .. }, Input::Media { .. }] = &inputs[..]
        else {
            panic!("{inputs:?}");
        };
        // The unit behind its length; the zero at its end belongs to the next start code.
        assert_eq!(data[..], [0, 0, 0, 3, 0x65, 0x88, 0x84]);
    }

    #[test]
    fn key_frames_are_asked_for_when_they_are_missed() {
        let began = Instant::now();
        let at = |ms| began + Duration::from_millis(ms);
        let mut key_frames = KeyFrames::new(Duration::from_secs(2));
        assert!(key_frames.is_due(at(0), false, true), "nothing can be shown yet");
        assert!(!key_frames.is_due(at(30), false, true), "it is on its way");
        assert!(!key_frames.is_due(at(60), true, true));
        assert!(!key_frames.is_due(at(1500), false, true));
        assert!(key_frames.is_due(at(1533), false, false), "something was lost");
        assert!(!key_frames.is_due(at(1600), false, true));
        assert!(!key_frames.is_due(at(1700), true, true));
        assert!(key_frames.is_due(at(3700), false, true), "a segment is full");
        assert!(key_frames.is_due(at(4200), false, true), "the question was lost");
    }
}
