//! Where somebody is who watches live, and what comes next: a playlist in, a unit (a segment, or a part of one) or a wish to wait out.
//! Pure (RFC 8216bis sections 6.3.3, 6.3.4, 6.3.8).

use flame_playlist::{ReadControl, ReadMedia, ReadPart};

/// Where no hold-back is said it is so many target durations.
const HOLD_BACK_TARGETS: u64 = 3;

/// What is fetched next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// Number of the segment.
    number: u64,
    /// Part of it, from 0; none where whole segments are watched.
    part: Option<u64>,
}

/// A segment, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Where its octets are.
    pub part: ReadPart,
    /// What it needs in front of it.
    pub init: Option<ReadPart>,
    /// How long it is, milliseconds.
    pub duration_ms: u64,
    /// There is none, only its place.
    pub is_gap: bool,
    /// A segment begins with it: only here the rendition may change.
    pub begins_segment: bool,
}

/// What there is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Fetch it.
    Fetch(Unit),
    /// It is not there yet: a reload may wait for this segment, and part.
    Wait(u64, Option<u64>),
    /// Nothing more comes.
    Over,
}

/// Where watching begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// What comes first.
    pub edge: Edge,
    /// When that was, milliseconds since the Unix epoch; none where nobody says.
    pub date_ms: Option<i64>,
    /// How far from the end that is, milliseconds.
    pub behind_ms: u64,
}

// === impl Edge ===

impl Edge {
    /// Where a viewer begins: at the hold-back from the end, with something that needs nothing before it. None of an empty playlist.
    #[must_use]
    pub fn join(media: &ReadMedia) -> Option<Start> {
        let hold_back_ms = hold_back_ms(media);
        let by_parts = media.control.part_target_ms.is_some();
        let mut behind_ms: u64 = media.parts.iter().map(|part| part.duration_ms).sum();
        let mut earliest = None;
        // The segment under way first: its parts are the newest.
        let under_way = (media.first_number + media.segments.len() as u64, media.parts.as_slice(), None);
        let whole = media.segments.iter().enumerate().rev();
        let whole =
            whole.map(|(at, segment)| (media.first_number + at as u64, segment.parts.as_slice(), Some(segment)));
        for (number, parts, segment) in std::iter::once(under_way).chain(whole) {
            let length_ms = segment.map_or(0, |segment| segment.duration_ms);
            let end_ms = if segment.is_some() { behind_ms } else { 0 };
            behind_ms = if segment.is_some() { behind_ms + length_ms } else { behind_ms };
            let date_ms = segment.and_then(|segment| segment.date_ms);
            if by_parts && !parts.is_empty() {
                let mut at_ms = end_ms;
                for (part, one) in parts.iter().enumerate().rev() {
                    at_ms += one.duration_ms;
                    if at_ms >= hold_back_ms && (one.is_independent || part == 0) {
                        let before_ms: u64 = parts[..part].iter().map(|one| one.duration_ms).sum();
                        let date_ms = date_ms.or(next_date(media, number)).map(|date| date + signed(before_ms));
                        return Some(Start {
                            edge: Self { number, part: Some(part as u64) },
                            date_ms,
                            behind_ms: at_ms,
                        });
                    }
                }
            }
            if segment.is_some() {
                let edge = Self { number, part: by_parts.then_some(0) };
                earliest = Some(Start { edge, date_ms, behind_ms });
                if behind_ms >= hold_back_ms {
                    return earliest;
                }
            }
        }
        earliest
    }

    /// What comes next, of a playlist that was just read. Moves behind what it gives.
    pub fn step(&mut self, media: &ReadMedia) -> Step {
        // What is no longer listed was missed: on with the oldest that is.
        if self.number < media.first_number {
            (self.number, self.part) = (media.first_number, self.part.map(|_| 0));
        }
        let under_way = media.first_number + media.segments.len() as u64;
        loop {
            let at = self.number - media.first_number;
            let listed = usize::try_from(at).ok().and_then(|at| media.segments.get(at));
            let Some(segment) = listed else { break };
            let part = self.part.unwrap_or(0);
            let one = usize::try_from(part).ok().and_then(|part| segment.parts.get(part));
            if let (Some(_), Some(one)) = (self.part, one) {
                let is_last = part + 1 == segment.parts.len() as u64;
                (self.number, self.part) =
                    if is_last { (self.number + 1, Some(0)) } else { (self.number, Some(part + 1)) };
                return Step::Fetch(Unit {
                    part: one.part.clone(),
                    init: segment.init.clone(),
                    duration_ms: one.duration_ms,
                    is_gap: one.is_gap,
                    begins_segment: part == 0,
                });
            }
            (self.number, self.part) = (self.number + 1, self.part.map(|_| 0));
            // The rest of a segment whose parts are all known was had; its parts may be listed no more, too.
            if part == 0 {
                return Step::Fetch(Unit {
                    part: segment.part.clone(),
                    init: segment.init.clone(),
                    duration_ms: segment.duration_ms,
                    is_gap: segment.is_gap,
                    begins_segment: true,
                });
            }
        }
        if let Some(part) = self.part
            && self.number == under_way
            && let Some(one) = usize::try_from(part).ok().and_then(|at| media.parts.get(at))
        {
            self.part = Some(part + 1);
            return Step::Fetch(Unit {
                part: one.part.clone(),
                init: media.segments.last().and_then(|last| last.init.clone()),
                duration_ms: one.duration_ms,
                is_gap: one.is_gap,
                begins_segment: part == 0,
            });
        }
        if media.has_ended { Step::Over } else { Step::Wait(self.number, self.part) }
    }
}

/// How far from the end a viewer begins, milliseconds.
fn hold_back_ms(media: &ReadMedia) -> u64 {
    let ReadControl { part_target_ms, part_hold_back_ms, hold_back_ms, .. } = media.control;
    let usual_ms = HOLD_BACK_TARGETS * 1000 * media.target_s;
    match part_target_ms {
        Some(part_target_ms) => part_hold_back_ms.unwrap_or(HOLD_BACK_TARGETS * part_target_ms),
        None => hold_back_ms.unwrap_or(usual_ms),
    }
}

/// When the segment under way began: where the one before it ended.
fn next_date(media: &ReadMedia, number: u64) -> Option<i64> {
    let last = media.segments.last().filter(|_| number == media.first_number + media.segments.len() as u64)?;
    Some(last.date_ms? + signed(last.duration_ms))
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use flame_playlist::{Content, LiveMedia, LivePart, LiveSegment, ReadPlaylist, read_playlist};
    use proptest::prelude::*;

    use super::*;

    /// A channel of 2 s segments and 500 ms parts, `ms` after its begin; listed are the last `window` segments.
    fn at(ms: u64, window: u64) -> ReadMedia {
        let (whole, parts) = (ms / 2000, ms % 2000 / 500);
        let first = whole.saturating_sub(window);
        let part = |at: u64| LivePart { duration_ticks: 500, is_independent: at == 0 };
        let segment = |number: u64, count: u64, content: Content| LiveSegment {
            time_ticks: 1_795_694_400_000 + 2000 * number,
            duration_ticks: 500 * count,
            content,
            init: 0,
            is_discontinuity: false,
            wall_offset_ms: 0,
        };
        let all = (first..whole).map(|number| segment(number, 4, Content::Whole((0..4).map(part).collect())));
        let open = (parts > 0).then(|| segment(whole, parts, Content::UnderWay((0..parts).map(part).collect())));
        let media = LiveMedia {
            timescale: 1000,
            target_duration_s: 2,
            part_target_ticks: 500,
            first_number: first,
            segments: all.chain(open).collect(),
            ..LiveMedia::default()
        };
        let text = media.playlist(false).expect("it can be written");
        match read_playlist(&text).expect("it can be read") {
            ReadPlaylist::Media(media) => media,
            ReadPlaylist::Multivariant(_) => panic!("it names media"),
        }
    }

    proptest! {
        /// Whenever somebody comes and however rarely he looks: what he gets is without a hole, until the window has moved past him.
        #[test]
        fn what_is_watched_goes_on_without_a_hole(comes_ms in 6000..40_000_u64, looks in prop::collection::vec(1..3000_u64, 1..40)) {
            let mut now_ms = comes_ms;
            let media = at(now_ms, 8);
            let start = Edge::join(&media).expect("there is something");
            prop_assert!((1500..=3500).contains(&start.behind_ms), "{start:?}");
            let begun_ms = u64::try_from(start.date_ms.expect("it is said") - 1_795_694_400_000).expect("it is later");
            let end_ms = now_ms / 500 * 500;
            prop_assert_eq!(begun_ms + start.behind_ms, end_ms);
            let (mut edge, mut had_ms, mut begins) = (start.edge, 0, true);
            for look_ms in looks {
                now_ms += look_ms;
                let media = at(now_ms, 8);
                let wanted = loop {
                    match edge.step(&media) {
                        Step::Fetch(unit) => {
                            prop_assert_eq!(unit.begins_segment, (begun_ms + had_ms) % 2000 == 0);
                            prop_assert!(unit.begins_segment || !begins, "it begins with something that needs nothing");
                            (had_ms, begins) = (had_ms + unit.duration_ms, false);
                        }
                        Step::Wait(number, part) => break (number, part),
                        Step::Over => panic!("it goes on"),
                    }
                };
                prop_assert_eq!(begun_ms + had_ms, now_ms / 500 * 500);
                prop_assert_eq!(wanted, (now_ms / 2000, Some(now_ms % 2000 / 500)));
            }
        }
    }

    #[test]
    fn whoever_was_away_too_long_goes_on_with_what_there_is() {
        let mut edge = Edge::join(&at(20_000, 8)).expect("there is something").edge;
        let later = at(60_000, 8);
        assert!(matches!(edge.step(&later), Step::Fetch(unit) if unit.begins_segment));
        assert_eq!(edge.number, later.first_number + u64::from(edge.part == Some(0)));
        let ended = ReadMedia { has_ended: true, ..at(20_000, 8) };
        let mut edge = Edge { number: 10, part: Some(0) };
        assert_eq!(edge.step(&ended), Step::Over);
    }
}
