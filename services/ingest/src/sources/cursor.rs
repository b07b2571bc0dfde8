//! Which segment of a playlist is fetched next. Pure.
//!
//! Of a playlist that goes on, the third segment from its end is the first, as RFC 8216bis section 6.3.3 wants it of players; of one
//! that has ended, the first. A playlist that has moved on meanwhile is followed where it now begins; one whose numbers went back is that of
//! an encoder that was started again.

use flame_playlist::{ReadMedia, ReadSegment};

/// How far from the end of a playlist that goes on it begins, segments.
const FROM_END: usize = 3;

/// Where a playlist was read up to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cursor {
    next: Option<u64>,
}

/// What comes next.
#[derive(Debug, PartialEq)]
pub enum Next<'a> {
    /// A segment.
    Segment {
        /// What is known of it.
        segment: &'a ReadSegment,
        /// Its times do not go on from what was read before.
        is_cut: bool,
    },
    /// Nothing yet.
    Wait,
    /// Nothing any more.
    Over,
}

// === impl Cursor ===

impl Cursor {
    /// Goes on to the next segment of the playlist as it is now.
    pub fn step<'a>(&mut self, media: &'a ReadMedia) -> Next<'a> {
        let length = media.segments.len();
        let end = media.first_number.saturating_add(length as u64);
        let begin = || {
            let left_out = if media.has_ended { 0 } else { length.saturating_sub(FROM_END) };
            media.first_number.saturating_add(left_out as u64)
        };
        let (number, is_again) = match self.next {
            None => (begin(), false),
            Some(next) if next > end => (begin(), true),
            Some(next) => (next.max(media.first_number), false),
        };
        let at = usize::try_from(number - media.first_number).unwrap_or(usize::MAX);
        let Some(segment) = media.segments.get(at) else {
            return if media.has_ended { Next::Over } else { Next::Wait };
        };
        let is_first = self.next.is_none();
        self.next = Some(number + 1);
        Next::Segment { segment, is_cut: is_again || (segment.is_discontinuity && !is_first) }
    }
}

#[cfg(test)]
mod tests {
    use flame_playlist::ReadPart;

    use super::*;

    fn media(numbers: std::ops::Range<u64>, has_ended: bool) -> ReadMedia {
        let segment = |number: u64| ReadSegment {
            part: ReadPart { uri: number.to_string(), range: None },
            duration_ms: 4000,
            init: None,
            is_discontinuity: number.is_multiple_of(10),
            is_gap: false,
            is_encrypted: false,
            date_ms: None,
            parts: Vec::new(),
        };
        let segments = numbers.clone().map(segment).collect();
        ReadMedia { target_s: 4, first_number: numbers.start, has_ended, segments, ..ReadMedia::default() }
    }

    fn all(cursor: &mut Cursor, media: &ReadMedia) -> Vec<(String, bool)> {
        std::iter::from_fn(|| match cursor.step(media) {
            Next::Segment { segment, is_cut } => Some((segment.part.uri.clone(), is_cut)),
            Next::Wait | Next::Over => None,
        })
        .collect()
    }

    fn named(read: &[(&str, bool)]) -> Vec<(String, bool)> {
        read.iter().map(|(uri, is_cut)| ((*uri).to_owned(), *is_cut)).collect()
    }

    #[test]
    fn what_goes_on_is_followed_from_near_its_end() {
        let mut cursor = Cursor::default();
        assert_eq!(all(&mut cursor, &media(11..17, false)), named(&[("14", false), ("15", false), ("16", false)]));
        assert_eq!(cursor.step(&media(11..17, false)), Next::Wait);
        assert_eq!(all(&mut cursor, &media(13..18, false)), named(&[("17", false)]));
        // It was away for longer than the playlist is.
        assert_eq!(all(&mut cursor, &media(19..21, false)), named(&[("19", false), ("20", true)]));
        // Its encoder begins to count anew.
        assert_eq!(all(&mut cursor, &media(1..3, false)), named(&[("1", true), ("2", false)]));
        assert_eq!(all(&mut cursor, &media(1..4, true)), named(&[("3", false)]));
        assert_eq!(cursor.step(&media(1..4, true)), Next::Over);
    }

    #[test]
    fn what_has_an_end_is_read_from_its_beginning() {
        let mut cursor = Cursor::default();
        assert_eq!(all(&mut cursor, &media(0..5, true)).len(), 5);
        assert_eq!(cursor.step(&media(0..5, true)), Next::Over);
        assert_eq!(Cursor::default().step(&media(0..0, false)), Next::Wait);
    }
}
