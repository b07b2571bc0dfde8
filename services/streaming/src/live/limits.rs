//! Bounds of what channels and publishers may ask for. Pure.

use flame_api::live::{LiveTrack, NewChannel, RUNGS_MAX, Source};
use flame_api::metadata::Encryption;

use super::LiveError;

/// Longest URL of a source.
const URL_MAX_BYTES: usize = 4096;
/// Longest time for which a channel can be asked to keep media, seconds: a leap year. Who wants more keeps all.
const KEEP_MAX_S: u32 = 366 * 86_400;
/// Shorter sides of renditions that transcode makes, pixels.
const RUNG_SIDES: std::ops::RangeInclusive<u32> = 90..=2160;

/// A channel that somebody wants.
pub(super) fn check(new: &NewChannel) -> Result<(), LiveError> {
    let within = |what: &str, value: u32, least: u32, most: u32| {
        let is_within = (least..=most).contains(&value);
        is_within
            .then_some(())
            .ok_or_else(|| LiveError::Bounds(format!("`{what}` must be {least} to {most}, not {value}")))
    };
    within("segment_ms", new.segment_ms, 1_000, 10_000)?;
    within("part_ms", new.part_ms, 100, 1_000)?;
    within("window_s", new.window_s, 30, 43_200)?;
    if let Some(keep_s) = new.keep_s {
        within("keep_s", keep_s, new.window_s, KEEP_MAX_S)?;
    }
    if new.title.trim().is_empty() || new.title.chars().count() > 500 {
        return Err(LiveError::Bounds("`title` must have 1 to 500 characters".to_owned()));
    }
    // The catalogue, which gets it when the channel ends, takes none.
    if new.title.chars().any(char::is_control) {
        return Err(LiveError::Bounds("`title` must hold no control characters".to_owned()));
    }
    if new.encryption == Some(Encryption::SampleAes) {
        return Err(LiveError::Bounds(
            "`encryption` of a channel is `aes-128`: with `sample-aes` each init segment and each part would have to be made anew, and hls.js \
             opens no such part"
                .to_owned(),
        ));
    }
    if let Some(ladder) = &new.ladder {
        let is_size = |side: &u32| RUNG_SIDES.contains(side);
        if ladder.rungs.len() > RUNGS_MAX || !ladder.rungs.iter().all(is_size) {
            let (least, most) = (RUNG_SIDES.start(), RUNG_SIDES.end());
            return Err(LiveError::Bounds(format!(
                "`ladder.rungs` has up to {RUNGS_MAX} sizes of {least} to {most} lines; none leaves them to transcode"
            )));
        }
    }
    if let Some(Source::Pull(url)) = &new.source {
        let is_web = url.starts_with("http://") || url.starts_with("https://");
        let is_plain = url.len() <= URL_MAX_BYTES && !url.contains(|letter: char| letter.is_control());
        if !is_web || !is_plain {
            return Err(LiveError::Bounds(format!(
                "`source.pull` must be a URL of http or https with at most {URL_MAX_BYTES} bytes"
            )));
        }
    }
    Ok(())
}

/// Tracks that somebody wants to send, in parts of at most `part_ms`.
pub(super) fn check_tracks(part_ms: u32, tracks: &[LiveTrack]) -> Result<(), LiveError> {
    let refuse = |why: String| Err(LiveError::Bounds(why));
    if tracks.is_empty() || tracks.len() > 16 {
        return refuse(format!("a publication has 1 to 16 tracks, not {}", tracks.len()));
    }
    for (at, track) in tracks.iter().enumerate() {
        let name = &track.name;
        let is_plain = name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z'));
        if name.is_empty() || name.len() > 32 || !is_plain || tracks[..at].iter().any(|other| other.name == *name) {
            return refuse(format!("track names are 1 to 32 lower-case letters and digits, and differ; not {name:?}"));
        }
        // One frame more than asked for: at least a part of one frame is always possible.
        let longest = u64::from(track.timescale) * u64::from(part_ms) / 1000 + u64::from(track.timescale);
        if track.timescale == 0 || track.part_ticks == 0 || u64::from(track.part_ticks) > longest {
            return refuse(format!("track {name:?} has no timescale, or parts that are longer than asked for"));
        }
        if track.codec.is_empty() || track.codec.len() > 64 || !track.codec.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return refuse(format!("track {name:?} has no codec"));
        }
    }
    Ok(())
}
