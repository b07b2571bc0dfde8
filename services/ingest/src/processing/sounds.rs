//! What an MP4 says of its sounds and FFmpeg does not pass on: `kind`, the track's name, and the extended language. Streaming
//! reads the same of an upload that plays as it is; so language, role and title stay when its ladder takes its place.

use bytes::Bytes;
use flame_api::media::{Probe, SoundRole, TRACK_TITLE_MAX_CHARS};
use flame_cmaf::movie::{SoundWords, sound_words};

/// Adds to `probe` what the movie says of its sounds. `moov` is the whole box.
pub(super) fn learn(moov: &Bytes, probe: &mut Probe) {
    if probe.audio.is_some() {
        apply(&sound_words(moov), probe);
    }
}

/// Each stream as the words of its number say; where they say nothing, as it was.
fn apply(words: &[SoundWords], probe: &mut Probe) {
    for stream in probe.audio.iter_mut().chain(&mut probe.other_audio) {
        let number = usize::try_from(stream.number).unwrap_or(usize::MAX);
        let Some(SoundWords { language, roles, title }) = words.get(number) else { continue };
        stream.language = language.clone().or(stream.language.take());
        let title = title.as_ref().map(|title| title.chars().take(TRACK_TITLE_MAX_CHARS).collect::<String>());
        let said = roles.iter().find_map(|role| SoundRole::of_dash(role));
        stream.role = said.or_else(|| SoundRole::of_title(title.as_deref()?)).unwrap_or(stream.role);
        stream.title = title.or(stream.title.take());
    }
}

#[cfg(test)]
mod tests {
    use flame_api::media::AudioStream;

    use super::*;

    #[test]
    fn words_go_to_the_stream_of_their_number() {
        let stream = |number| AudioStream {
            number,
            codec: "aac".to_owned(),
            sample_rate_hz: 48_000,
            channels: 2,
            language: Some("deu".to_owned()),
            role: SoundRole::Dub,
            title: None,
            duration_ms: None,
        };
        let mut probe = Probe {
            container: "mov,mp4,m4a,3gp,3g2,mj2".to_owned(),
            duration_ms: 1,
            bitrate_bps: 1,
            video: None,
            audio: Some(stream(1)),
            other_audio: vec![stream(0), stream(7)],
        };
        let words = [
            SoundWords::default(),
            SoundWords {
                language: Some("de-CH".to_owned()),
                roles: vec!["main".to_owned(), "commentary".to_owned()],
                title: Some("ü".repeat(200)),
            },
        ];
        apply(&words, &mut probe);
        let chosen = probe.audio.as_ref().unwrap();
        assert_eq!((chosen.language.as_deref(), chosen.role), (Some("de-CH"), SoundRole::Commentary));
        assert_eq!(chosen.title.as_ref().unwrap().chars().count(), TRACK_TITLE_MAX_CHARS);
        assert_eq!(probe.other_audio, [stream(0), stream(7)], "of them nothing is said");
    }
}
