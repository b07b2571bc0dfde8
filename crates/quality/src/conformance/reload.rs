//! What becomes of a live playlist from one reload to the next (HLS 6.2): segments stay what they were, numbers only rise, something new
//! comes in time, deltas and blocking reloads give what they promise.

use super::media::{MediaList, Promise};
use super::{Place, quote, rules};

/// Seconds that decimal fractions are rounded by.
const ROUNDING_S: f64 = 0.001;
/// A playlist has something new within so many target durations.
const NEWS_TARGETS: f64 = 1.5;
/// What a request may take, on top.
const REQUEST_S: f64 = 1.0;

/// Holds a playlist against the same one, read before.
pub fn between(before: &MediaList, after: &MediaList, place: &mut Place<'_>) {
    if after.first_number < before.first_number {
        let found = format!("from {} to {}", before.first_number, after.first_number);
        place.breaks(&rules::SEQUENCE_BACK, None, found);
        return;
    }
    if after.target_s != before.target_s {
        place.breaks(&rules::TARGET_CHANGED, None, format!("from {:?} to {:?} s", before.target_s, after.target_s));
    }
    same_segments(before, after, &rules::SEGMENT_CHANGED, place);
    let removed = usize::try_from(after.first_number - before.first_number).unwrap_or(usize::MAX);
    let gone = &before.segments[..removed.min(before.segments.len())];
    let is_fixed = before.has_ended || before.promise == Some(Promise::Vod);
    let has_grown = after.next_number() != before.next_number();
    if (is_fixed && (has_grown || removed > 0)) || (before.has_ended && !after.has_ended) {
        place.breaks(&rules::APPEND_ONLY, None, "it was complete and has changed");
    } else if before.promise == Some(Promise::Event) && removed > 0 {
        place.breaks(&rules::APPEND_ONLY, None, format!("{removed} segments of an EVENT playlist are gone"));
    }
    // The tag in front of the first segment that stays may be counted with what went, or stand there.
    let went = gone.iter().filter(|segment| segment.is_discontinuity).count() as u64;
    let counted = after.discontinuity_sequence.saturating_sub(before.discontinuity_sequence);
    let is_ambiguous = before.numbered(after.first_number).is_some_and(|first| first.is_discontinuity)
        || gone.first().is_some_and(|first| first.is_discontinuity);
    let is_off = counted != went && !(is_ambiguous && counted.abs_diff(went) <= 1);
    if is_off && removed <= before.segments.len() {
        place.breaks(&rules::DISCONTINUITY_COUNT, None, format!("{went} went, {counted} were counted"));
    }
    if removed > 0 && !after.has_ended {
        let target_s = after.target_s.unwrap_or(0) as f64;
        let left_s = after.length_s();
        if after.skipped == 0 && left_s < 3.0 * target_s - ROUNDING_S {
            place.breaks(&rules::REMOVED_EARLY, None, format!("{left_s:.3} s are left of a target of {target_s} s"));
        }
    }
}

fn same_segments(before: &MediaList, after: &MediaList, rule: &rules::Rule, place: &mut Place<'_>) {
    for now in &after.segments {
        let Some(then) = before.numbered(now.number) else { continue };
        if then.uri != now.uri || (then.duration_s - now.duration_s).abs() > ROUNDING_S || then.range != now.range {
            let found = format!(
                "segment {}: `{}` of {} s became `{}` of {} s",
                now.number,
                quote(&then.uri),
                then.duration_s,
                quote(&now.uri),
                now.duration_s
            );
            place.breaks(rule, Some(now.line), found);
        }
    }
}

/// Notes a live playlist that had nothing new for `unchanged_s` seconds.
pub fn stale(list: &MediaList, unchanged_s: f64, place: &mut Place<'_>) {
    let target_s = list.target_s.unwrap_or(0) as f64;
    if !list.has_ended && target_s > 0.0 && unchanged_s > NEWS_TARGETS * target_s + REQUEST_S {
        place.breaks(&rules::STALE, None, format!("nothing new for {unchanged_s:.1} s, the target is {target_s} s"));
    }
}

/// Holds a delta update against the whole playlist that was read just before or after.
pub fn delta(whole: &MediaList, delta: &MediaList, place: &mut Place<'_>) {
    same_segments(whole, delta, &rules::DELTA, place);
    let boundary_s = whole.control.and_then(|control| control.skip_until_s);
    let Some(boundary_s) = boundary_s else {
        if delta.skipped > 0 {
            place.breaks(&rules::DELTA, None, "segments are left out though there is no CAN-SKIP-UNTIL");
        }
        return;
    };
    // What the delta itself lists reaches back to the boundary at least.
    let listed_s = delta.length_s();
    if delta.skipped > 0 && listed_s < boundary_s - ROUNDING_S {
        place.breaks(
            &rules::DELTA,
            None,
            format!("only the last {listed_s:.3} s are listed, the boundary is {boundary_s} s"),
        );
    }
}

/// Whether the answer to a blocking reload has what it was asked for: a segment, or a part of one.
pub fn blocked(answer: &MediaList, number: u64, part: Option<usize>, place: &mut Place<'_>) {
    let next = answer.next_number();
    let has_part = |part: usize| next > number || (next == number && answer.open_parts.len() > part);
    let has = part.map_or(next > number, has_part);
    if !has && !answer.has_ended {
        let wanted = part.map_or(String::new(), |part| format!(", part {part}"));
        let found = format!(
            "asked for segment {number}{wanted}, the answer ends before: segment {next} is under way with {} parts",
            answer.open_parts.len()
        );
        place.breaks(&rules::BLOCKED_ANSWER, None, found);
    }
}

/// Whether what was announced is what came: the part behind those that `before` lists.
pub fn hinted(before: &MediaList, after: &MediaList, place: &mut Place<'_>) {
    let Some(hint) = &before.hint else { return };
    let came = |number: u64, at: usize| {
        let parts = match after.numbered(number) {
            Some(segment) => &segment.parts,
            None if after.next_number() == number => &after.open_parts,
            None => return None,
        };
        parts.get(at).map(|part| part.uri.clone())
    };
    let next = before.next_number();
    // The segment under way may have been whole already.
    let candidates = [came(next, before.open_parts.len()), came(next + 1, 0)];
    let known: Vec<String> = candidates.into_iter().flatten().collect();
    if !known.is_empty() && !known.contains(hint) {
        place.breaks(&rules::HINT, None, format!("`{}` was announced, `{}` came", quote(hint), quote(&known[0])));
    }
}
