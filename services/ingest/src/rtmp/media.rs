//! What a publisher sends, in the words that all live doors use ([`crate::live::packager::Input`]).

use flame_api::media::TrackKind;

use super::amf::Value;
use super::flv::{self, Tag, TagError};
use super::session::Sent;
use crate::live::codecs::rate_of;
use crate::live::packager::{Hints, Input};

/// What it means; `None` where it means nothing for a track.
///
/// # Errors
/// [`TagError`], if it is of another codec.
pub fn read(sent: Sent) -> Result<Option<Input>, TagError> {
    let (kind, time_ms, tag) = match sent {
        Sent::Metadata(value) => return Ok(Some(Input::Hints(hints(&value)))),
        Sent::Video { time_ms, body } => (TrackKind::Video, time_ms, flv::video(&body)?),
        Sent::Audio { time_ms, body } => (TrackKind::Audio, time_ms, flv::audio(&body)?),
    };
    Ok(match tag {
        Tag::Configuration(record) => Some(Input::Configuration(kind, record)),
        Tag::Media { composition_ms, data } => {
            Some(Input::Media { kind, time: time_ms.into(), composition: composition_ms, data })
        }
        Tag::Nothing => None,
    })
}

/// What `onMetaData` says. Encoders name the codecs of what they send, and only those: what is named is a track that will
/// come.
fn hints(metadata: &Value) -> Hints {
    let number = |name| metadata.member(name).and_then(Value::as_number);
    let has = |name| match metadata.member(name) {
        Some(Value::Number(codec)) => Some(*codec > 0.0),
        Some(Value::Text(_)) => Some(true),
        Some(Value::Boolean(_) | Value::Object(_) | Value::Array(_) | Value::Null) | None => None,
    };
    let (video, audio) = (has("videocodecid"), has("audiocodecid"));
    let names_any = video.is_some() || audio.is_some();
    let pixels = |name| number(name).filter(|size| (1.0..=65_535.0).contains(size)).map(|size| size as u16);
    Hints {
        has_video: video.or(names_any.then_some(false)),
        has_audio: audio.or(names_any.then_some(false)),
        rate: number("framerate").and_then(rate_of),
        size: pixels("width").zip(pixels("height")),
    }
}

#[cfg(test)]
mod tests {
    use flame_api::media::Rational;

    use super::*;

    #[test]
    fn metadata_says_what_will_come() {
        let named = |name: &str, value| (name.to_owned(), value);
        let metadata = Value::Object(vec![
            named("width", Value::Number(1280.0)),
            named("height", Value::Number(720.0)),
            named("framerate", Value::Number(29.97)),
            named("videocodecid", Value::text("avc1")),
        ]);
        let rate = Some(Rational { num: 30_000, den: 1001 });
        let expected = Hints { has_video: Some(true), has_audio: Some(false), rate, size: Some((1280, 720)) };
        assert_eq!(hints(&metadata), expected);
        assert_eq!(hints(&Value::Null), Hints::default());
    }
}
