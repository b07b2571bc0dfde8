//! WebVTT in HLS segments (RFC 8216bis section 3.1.4): each holds every cue that is shown during it, whole.
//!
//! A cue that reaches over a border stands unchanged in each segment that it overlaps, so that players can join
//! anywhere and know repetitions by their times. Times are those of the presentation in every segment, never of the
//! segment, and `X-TIMESTAMP-MAP` says what they are on the media's clock.

use std::iter::FusedIterator;

use crate::{Cue, Document};

/// Ticks a second of MPEG's clock.
const MPEG_HZ: u64 = 90_000;
/// It has 33 bits, and starts again.
const MPEG_MASK: u64 = (1 << 33) - 1;

/// How times of the presentation lie on the clock of the media that is played with it.
///
/// hls.js and the players of Apple take `MPEGTS` for a time stamp of the media, and subtract the media's own first one.
/// So it is what the media has at the presentation's time 0: the same value that a segment of the picture at that
/// place starts with. Shaka Player places the cues the same way in its HLS mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeline {
    /// Time stamp of the media at time 0 of the presentation, in ticks of 90 kHz; 33 bits of it are written.
    pub mpegts_ticks: u64,
}

/// The segments of a document, one after the other. Each is made when it is asked for.
#[derive(Debug)]
pub struct Segments<'a> {
    document: &'a Document,
    boundaries_ms: &'a [u64],
    first_lines: String,
    /// For each cue the latest end of it and all before it: rises, so that it can be searched.
    latest_end_ms: Vec<u64>,
    next: usize,
}

/// WebVTT segments of `document`: the one with number `n` is shown from `boundaries_ms[n]` until `boundaries_ms[n + 1]`.
///
/// Times are milliseconds of the presentation, rising. For a clip, cut the document first ([`Document::clip`]): its
/// presentation begins at 0. The cues of `document` must be sorted by their start, as [`crate::parse`] leaves them.
/// A segment without cues is a WebVTT file too.
#[must_use]
pub fn segments<'a>(document: &'a Document, boundaries_ms: &'a [u64], timeline: Timeline) -> Segments<'a> {
    let latest_end_ms = document.cues.iter().scan(0, |latest_ms: &mut u64, cue| {
        *latest_ms = cue.end_ms.max(*latest_ms);
        Some(*latest_ms)
    });
    Segments {
        document,
        boundaries_ms,
        first_lines: format!(
            "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:{},LOCAL:00:00:00.000\n",
            timeline.mpegts_ticks & MPEG_MASK
        ),
        latest_end_ms: latest_end_ms.collect(),
        next: 0,
    }
}

// === impl Timeline ===

impl Timeline {
    /// Of fragmented MP4 whose decode times are those of the presentation: 0 is 0.
    pub const FROM_ZERO: Self = Self { mpegts_ticks: 0 };

    /// Of media that has the time stamp `offset_ms` at time 0: MPEG-TS that starts at 10 s has 900,000 ticks.
    #[must_use]
    pub const fn from_offset_ms(offset_ms: u64) -> Self {
        Self { mpegts_ticks: offset_ms.wrapping_mul(MPEG_HZ / 1000) & MPEG_MASK }
    }
}

// === impl Segments ===

impl Segments<'_> {
    /// The segment with this number, from 0; `None` behind the last one.
    #[must_use]
    pub fn segment(&self, number: usize) -> Option<String> {
        let &[start_ms, end_ms] = self.boundaries_ms.get(number..)?.get(..2)? else { return None };
        let mut text = self.document.written(self.first_lines.clone(), self.cues(start_ms, end_ms));
        // FFmpeg reads segments as one file: without an empty line the next one's head is text of the last cue.
        if !text.ends_with("\n\n") {
            text.push('\n');
        }
        Some(text)
    }

    fn cues(&self, start_ms: u64, end_ms: u64) -> impl Iterator<Item = &Cue> {
        let first = self.latest_end_ms.partition_point(|latest_ms| *latest_ms <= start_ms);
        let cues = self.document.cues[first..].iter();
        cues.take_while(move |cue| cue.start_ms < end_ms).filter(move |cue| cue.overlaps(start_ms, end_ms))
    }
}

impl Iterator for Segments<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let segment = self.segment(self.next)?;
        self.next += 1;
        Some(segment)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.boundaries_ms.len().saturating_sub(1 + self.next);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Segments<'_> {}

impl FusedIterator for Segments<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    #[test]
    fn a_cue_stands_in_each_segment_that_it_overlaps() {
        let document = parse(
            b"WEBVTT\n\nSTYLE\n::cue {}\n\n1\n00:03.000 --> 00:09.000 line:0\nover\n\n00:04.000 --> 00:06.000\nends\n\n00:08.000 --> 00:08.500\nin",
            None,
        );
        let document = document.unwrap();
        let segments: Vec<String> =
            segments(&document, &[0, 3000, 6000, 12_000, 18_000], Timeline::from_offset_ms(10_000)).collect();
        let head = "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:00.000\n\nSTYLE\n::cue {}\n";
        let over = "\n1\n00:00:03.000 --> 00:00:09.000 line:0\nover\n";
        assert_eq!(
            segments,
            [
                format!("{head}\n"),
                format!("{head}{over}\n00:00:04.000 --> 00:00:06.000\nends\n\n"),
                format!("{head}{over}\n00:00:08.000 --> 00:00:08.500\nin\n\n"),
                format!("{head}\n"),
            ]
        );
    }

    #[test]
    fn a_segment_without_cues_is_a_file() {
        let document = Document::default();
        let mut segments = segments(&document, &[0, 1000], Timeline::FROM_ZERO);
        let empty = "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n\n";
        assert_eq!((segments.len(), segments.next().as_deref(), segments.next()), (1, Some(empty), None));
        assert_eq!(parse(empty.as_bytes(), None).unwrap().cues, []);
        for boundaries in [&[][..], &[5]] {
            assert_eq!(super::segments(&document, boundaries, Timeline::FROM_ZERO).count(), 0);
        }
    }

    #[test]
    fn the_clock_has_33_bits() {
        assert_eq!(Timeline::from_offset_ms(10_000).mpegts_ticks, 900_000);
        let document = Document::default();
        let late = segments(&document, &[0, 1], Timeline { mpegts_ticks: (1 << 33) + 7 }).next().unwrap();
        assert!(late.contains("MPEGTS:7,"), "{late}");
    }
}
