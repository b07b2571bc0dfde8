//! Bodies of FLV tags (Adobe's FLV specification 10.1, annex E.4), as RTMP carries media: what they say, and nothing of what
//! it means.

use bytes::Bytes;
use thiserror::Error;

/// `CodecID` of H.264, and `SoundFormat` of AAC.
const CODEC_H264: u8 = 7;
const FORMAT_AAC: u8 = 10;
/// `SoundFormat` that says "enhanced RTMP".
const FORMAT_ENHANCED: u8 = 9;
/// `FrameType` of a message to the player, which is no picture.
const FRAME_COMMAND: u8 = 5;
/// The bit that says "enhanced RTMP" in a picture's first octet.
const ENHANCED: u8 = 0x80;

/// What a tag holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tag {
    /// The decoder's configuration: an `AVCDecoderConfigurationRecord` or an `AudioSpecificConfig`.
    Configuration(Bytes),
    /// A picture or an access unit of sound.
    Media {
        /// Presentation time less decode time, milliseconds.
        composition_ms: i32,
        /// Length-prefixed NAL units, or one raw AAC access unit.
        data: Bytes,
    },
    /// Nothing that belongs into a track.
    Nothing,
}

/// A tag that is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TagError {
    /// It ends too early.
    #[error("a tag of {length_bytes} bytes ends within its own header")]
    CutOff {
        /// Its length.
        length_bytes: usize,
    },
    /// Another codec for pictures.
    #[error("pictures of codec {codec} are not taken: set the encoder to H.264")]
    VideoCodec {
        /// `CodecID`, or the four characters of enhanced RTMP.
        codec: String,
    },
    /// Another codec for sound.
    #[error("sound of format {codec} is not taken: set the encoder to AAC")]
    AudioCodec {
        /// `SoundFormat`, or the four characters of enhanced RTMP.
        codec: String,
    },
}

/// Reads the body of a video tag.
///
/// # Errors
/// [`TagError`], if it is no H.264.
pub fn video(body: &Bytes) -> Result<Tag, TagError> {
    let cut_off = TagError::CutOff { length_bytes: body.len() };
    // Some encoders end with an empty one.
    let Some(first) = body.first() else { return Ok(Tag::Nothing) };
    if first & ENHANCED != 0 {
        return Err(TagError::VideoCodec { codec: four_characters(body) });
    }
    if first >> 4 == FRAME_COMMAND {
        return Ok(Tag::Nothing);
    }
    let codec = first & 0x0f;
    if codec != CODEC_H264 {
        return Err(TagError::VideoCodec { codec: codec.to_string() });
    }
    let [_, packet, a, b, c, ..] = body[..] else { return Err(cut_off) };
    Ok(match packet {
        0 => Tag::Configuration(body.slice(5..)),
        // 24 bits with a sign.
        1 if body.len() > 5 => {
            Tag::Media { composition_ms: i32::from_be_bytes([a, b, c, 0]) >> 8, data: body.slice(5..) }
        }
        _ => Tag::Nothing,
    })
}

/// Reads the body of an audio tag.
///
/// # Errors
/// [`TagError`], if it is no AAC.
pub fn audio(body: &Bytes) -> Result<Tag, TagError> {
    let Some(first) = body.first() else { return Ok(Tag::Nothing) };
    match first >> 4 {
        FORMAT_AAC => {}
        FORMAT_ENHANCED => return Err(TagError::AudioCodec { codec: four_characters(body) }),
        format => return Err(TagError::AudioCodec { codec: format.to_string() }),
    }
    let Some(packet) = body.get(1) else { return Err(TagError::CutOff { length_bytes: body.len() }) };
    Ok(match packet {
        0 => Tag::Configuration(body.slice(2..)),
        1 if body.len() > 2 => Tag::Media { composition_ms: 0, data: body.slice(2..) },
        _ => Tag::Nothing,
    })
}

/// What enhanced RTMP calls its codec.
fn four_characters(body: &[u8]) -> String {
    let characters = body.get(1..5).unwrap_or_default();
    format!("`{}` (enhanced RTMP)", characters.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(octets: &[u8]) -> Bytes {
        Bytes::copy_from_slice(octets)
    }

    #[test]
    fn pictures_are_read_with_their_offset() {
        assert_eq!(video(&bytes(&[0x17, 0, 0, 0, 0, 1, 2])), Ok(Tag::Configuration(bytes(&[1, 2]))));
        let media = |composition_ms| Ok(Tag::Media { composition_ms, data: bytes(&[9]) });
        assert_eq!(video(&bytes(&[0x27, 1, 0, 0, 80, 9])), media(80));
        assert_eq!(video(&bytes(&[0x27, 1, 0xff, 0xff, 0xfe, 9])), media(-2));
        assert_eq!(video(&bytes(&[0x17, 2, 0, 0, 0])), Ok(Tag::Nothing));
        assert_eq!(video(&bytes(&[0x57, 0])), Ok(Tag::Nothing));
        assert_eq!(video(&bytes(&[0x17, 1])), Err(TagError::CutOff { length_bytes: 2 }));
    }

    #[test]
    fn sound_is_read() {
        assert_eq!(audio(&bytes(&[0xaf, 0, 0x11, 0x90])), Ok(Tag::Configuration(bytes(&[0x11, 0x90]))));
        assert_eq!(audio(&bytes(&[0xaf, 1, 7])), Ok(Tag::Media { composition_ms: 0, data: bytes(&[7]) }));
        assert_eq!(audio(&bytes(&[0xaf, 1])), Ok(Tag::Nothing));
        assert_eq!(audio(&bytes(&[])), Ok(Tag::Nothing));
    }

    #[test]
    fn what_is_not_taken_is_named() {
        let hevc = video(&bytes(&[0x90, b'h', b'v', b'c', b'1', 0])).unwrap_err();
        assert!(hevc.to_string().contains("`hvc1` (enhanced RTMP)"), "{hevc}");
        assert_eq!(video(&bytes(&[0x12, 0])), Err(TagError::VideoCodec { codec: "2".to_owned() }));
        assert_eq!(audio(&bytes(&[0x2f, 0])), Err(TagError::AudioCodec { codec: "2".to_owned() }));
    }
}
