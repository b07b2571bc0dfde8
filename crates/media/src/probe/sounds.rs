//! Which audio streams of a file are offered, which of them a player would choose, and what each is for.
//!
//! All that can be decoded, up to a bound. The chosen one is the first of those that the container marks as default and
//! that are not for viewers with an impairment; so a file's sounds have the same order whether it plays as it was
//! uploaded or as a ladder.

use std::cmp::Reverse;

use ffmpeg_next::{Stream, format, format::stream::Disposition, media};
use flame_api::media::{AudioStream, SOUNDS_MAX, SoundRole, TRACK_TITLE_MAX_CHARS};

use super::{Chosen, best_stream};
use crate::{fault::MediaError, ffi};

/// The audio streams that belong to the video, with their numbers among all audio streams.
pub(crate) fn streams(context: &format::context::Input) -> impl Iterator<Item = (u32, Stream<'_>)> {
    let video = best_stream(context, media::Type::Video).map(|stream| stream.index());
    let audio = context.streams().filter(|stream| stream.parameters().medium() == media::Type::Audio);
    (0..)
        .zip(audio)
        .filter(move |(_, stream)| video.is_none_or(|video| ffi::share_a_programme(context, video, stream.index())))
}

/// Decoders for the streams that can be decoded. Where there are streams and none can be, why the first one cannot.
pub(super) fn open(context: &format::context::Input) -> Result<Vec<Chosen>, MediaError> {
    let mut opened = Vec::new();
    let mut refusal = None;
    for (number, stream) in streams(context) {
        match Chosen::of(&stream, media::Type::Audio, number) {
            Ok(chosen) if opened.len() < SOUNDS_MAX => opened.push(chosen),
            Ok(_) => break,
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    match refusal {
        Some(error) if opened.is_empty() => Err(error),
        Some(_) | None => Ok(opened),
    }
}

/// What is known of the streams, the one that a player would choose first. Where something of any was decoded, those of
/// which nothing was are left out; else there is one, by the container's word.
pub(super) fn describe(
    context: &format::context::Input,
    audio: &mut Vec<Chosen>,
) -> Result<(Option<AudioStream>, Vec<AudioStream>), MediaError> {
    let is_decoded = |chosen: &Chosen| !chosen.frames.is_empty();
    let any_decoded = audio.iter().any(is_decoded);
    if any_decoded {
        audio.retain(is_decoded);
    }
    let rank = |chosen: &Chosen| {
        let disposition = context.stream(chosen.index).map_or(Disposition::empty(), |stream| stream.disposition());
        let is_for_few = role_of(disposition, None).is_for_few();
        Reverse(u8::from(!is_for_few) + u8::from(disposition.contains(Disposition::DEFAULT)))
    };
    let chosen = audio.iter().map(rank).enumerate().min_by_key(|(_, rank)| *rank).map(|(at, _)| at);
    let Some(chosen) = chosen else { return Ok((None, Vec::new())) };
    let first = audio.remove(chosen);
    audio.insert(0, first);
    if !any_decoded {
        audio.truncate(1);
    }
    let described = audio.iter().map(|chosen| chosen.describe_audio(context)).collect::<Result<Vec<_>, _>>()?;
    let mut described = described.into_iter();
    Ok((described.next(), described.collect()))
}

/// What the container's flags say, or, where they say nothing, the title.
pub(super) fn role_of(disposition: Disposition, title: Option<&str>) -> SoundRole {
    let any = |flags: Disposition| disposition.intersects(flags);
    if any(Disposition::VISUAL_IMPAIRED | Disposition::DESCRIPTIONS) {
        SoundRole::Description
    } else if any(Disposition::COMMENT) {
        SoundRole::Commentary
    } else if any(Disposition::HEARING_IMPAIRED) {
        SoundRole::ClearSpeech
    } else if any(Disposition::DUB) {
        SoundRole::Dub
    } else {
        title.and_then(SoundRole::of_title).unwrap_or_default()
    }
}

/// The stream's title, as far as it can be shown.
pub(super) fn title_of(stream: &Stream<'_>) -> Option<String> {
    let metadata = stream.metadata();
    let title = metadata.get("title").or_else(|| metadata.get("name"))?;
    let shown: String = title.chars().filter(|letter| !letter.is_control()).take(TRACK_TITLE_MAX_CHARS).collect();
    let shown = shown.trim();
    (!shown.is_empty()).then(|| shown.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_come_before_titles() {
        let commentary = Some("Commentary");
        assert_eq!(role_of(Disposition::VISUAL_IMPAIRED, commentary), SoundRole::Description);
        assert_eq!(role_of(Disposition::COMMENT | Disposition::DEFAULT, None), SoundRole::Commentary);
        assert_eq!(role_of(Disposition::HEARING_IMPAIRED, None), SoundRole::ClearSpeech);
        assert_eq!(role_of(Disposition::DUB, None), SoundRole::Dub);
        assert_eq!(role_of(Disposition::DEFAULT, commentary), SoundRole::Commentary);
        assert_eq!(role_of(Disposition::DEFAULT, Some("Stereo")), SoundRole::Main);
    }
}
