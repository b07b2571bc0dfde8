//! What a container states of the length of its streams, before any of it is read: to be held against what comes. Only what stands in
//! the file or the playlist counts; what FFmpeg guesses from a bit rate, or has measured itself, says nothing of what is missing.

use ffmpeg_next::{Stream, format, media};
use flame_quality::inspect::extent::Stated;

use crate::ffi;

/// What is stated of `stream`.
pub(crate) fn of(context: &format::context::Input, stream: &Stream<'_>) -> Stated {
    if !ffi::states_duration(context) {
        return Stated::default();
    }
    let name = context.format().name().to_owned();
    let of_file_ms = Some(context.duration()).filter(|us| *us > 0).map(|us| us as f64 / 1000.0);
    // A playlist that goes on states no length; FFmpeg leaves out a segment that it cannot fetch, and says nothing.
    if name == "hls" {
        return Stated { length_ms: of_file_ms, of_each: true, by_playlist: true, ..Stated::default() };
    }
    let own_ms = Some(stream.duration()).filter(|ticks| *ticks > 0);
    let own_ms = own_ms.map(|ticks| ticks as f64 * 1000.0 * f64::from(stream.time_base()));
    if name.contains("mp4") {
        return Stated { length_ms: own_ms, of_each: true, ..Stated::default() };
    }
    // That of the file is that of its longest stream.
    let is_alone = context.streams().filter(|other| is_timed(other)).count() == 1;
    let length_ms = own_ms.or_else(|| tagged_ms(stream)).or(of_file_ms.filter(|_| is_alone));
    // Those lengths are when the last one ends.
    let from_ms = own_ms.is_none().then_some(0.0);
    Stated { length_ms, from_ms, ..Stated::default() }
}

/// Whether a stream has a length: a cover picture has none.
fn is_timed(stream: &Stream<'_>) -> bool {
    let is_cover = stream.disposition().contains(format::stream::Disposition::ATTACHED_PIC);
    !is_cover && !matches!(stream.parameters().medium(), media::Type::Attachment | media::Type::Data)
}

/// The tag that writers of Matroska put at each track: `00:00:04.000000000`.
fn tagged_ms(stream: &Stream<'_>) -> Option<f64> {
    let metadata = stream.metadata();
    let text = metadata.get("DURATION")?;
    let mut parts = text.split(':');
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| (0.0..1e6).contains(number));
    let seconds = 3600.0 * number(hours)? + 60.0 * number(minutes)? + number(seconds)?;
    Some(seconds * 1000.0).filter(|ms| *ms > 0.0)
}
