//! What the values of one media playlist say of each other: target durations, hold-backs, parts (HLS 4.4.3, 4.4.4.9).

use super::media::{MediaList, Promise};
use super::{Place, quote, rules};

/// Seconds that decimal fractions are rounded by.
const ROUNDING_S: f64 = 0.001;
/// Of the part target, at least.
const PART_SHARE: f64 = 0.85;
/// Parts are listed for so many target durations.
const PARTS_TARGETS: f64 = 3.0;

/// Notes what does not fit.
pub fn check(list: &MediaList, place: &mut Place<'_>) {
    let Some(target_s) = list.target_s else {
        place.breaks(&rules::TARGET_MISSING, None, "there is none");
        return;
    };
    for segment in &list.segments {
        if segment.duration_s.round() > target_s as f64 {
            let found = format!("`{}` lasts {} s, the target is {target_s} s", quote(&segment.uri), segment.duration_s);
            place.breaks(&rules::TARGET_EXCEEDED, Some(segment.line), found);
        }
    }
    if list.promise == Some(Promise::Vod) && !list.has_ended {
        place.breaks(&rules::VOD_END, None, "it says VOD and does not end");
    }
    control(list, target_s as f64, place);
    parts(list, target_s as f64, place);
}

fn control(list: &MediaList, target_s: f64, place: &mut Place<'_>) {
    let control = list.control.unwrap_or_default();
    let short = |value: Option<f64>, least_s: f64| value.filter(|value| *value < least_s - ROUNDING_S);
    if let Some(hold_back_s) = short(control.hold_back_s, 3.0 * target_s) {
        place.breaks(&rules::HOLD_BACK, None, format!("{hold_back_s} s of a target of {target_s} s"));
    }
    if let Some(skip_s) = short(control.skip_until_s, 6.0 * target_s) {
        place.breaks(&rules::SKIP_BOUNDARY, None, format!("{skip_s} s of a target of {target_s} s"));
    }
    let Some(part_target_s) = list.part_target_s else { return };
    if control.part_hold_back_s.is_none() {
        place.breaks(&rules::PART_HOLD_BACK_MISSING, None, "there is none");
    }
    let found = |value: f64| format!("{value} s of a part target of {part_target_s} s");
    if let Some(value) = short(control.part_hold_back_s, 2.0 * part_target_s) {
        place.breaks(&rules::PART_HOLD_BACK, None, found(value));
    } else if let Some(value) = short(control.part_hold_back_s, 3.0 * part_target_s) {
        place.breaks(&rules::PART_HOLD_BACK_SHORT, None, found(value));
    }
    if !control.can_block && !list.has_ended {
        place.breaks(&rules::BLOCKING, None, "there is no CAN-BLOCK-RELOAD=YES");
    }
}

fn parts(list: &MediaList, target_s: f64, place: &mut Place<'_>) {
    let groups = list.segments.iter().map(|segment| (&segment.parts, true)).chain([(&list.open_parts, false)]);
    let has_parts = groups.clone().any(|(parts, _)| !parts.is_empty());
    let Some(part_target_s) = list.part_target_s else {
        if has_parts {
            place.breaks(&rules::PART_INF, None, "there are parts and no EXT-X-PART-INF");
        }
        return;
    };
    for (parts, is_whole) in groups {
        for (at, part) in parts.iter().enumerate() {
            let found =
                || format!("`{}` lasts {} s, the target is {part_target_s} s", quote(&part.uri), part.duration_s);
            if part.duration_s > part_target_s + ROUNDING_S {
                place.breaks(&rules::PART_TOO_LONG, Some(part.line), found());
            }
            // What comes behind the last one of a segment under way is not known.
            let next = parts.get(at + 1);
            let may_be_short =
                part.is_gap || next.is_none_or(|next| next.is_independent) || (!is_whole && next.is_none());
            if !may_be_short && part.duration_s < PART_SHARE * part_target_s - ROUNDING_S {
                place.breaks(&rules::PART_TOO_SHORT, Some(part.line), found());
            }
        }
    }
    let mut behind_s: f64 = list.open_parts.iter().map(|part| part.duration_s).sum();
    for segment in list.segments.iter().rev() {
        if let Some(part) = segment.parts.first().filter(|_| behind_s > PARTS_TARGETS * target_s + target_s) {
            place.breaks(&rules::PARTS_OLD, Some(part.line), format!("{behind_s:.3} s before the end"));
            break;
        }
        behind_s += segment.duration_s;
    }
}
