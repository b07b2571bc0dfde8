//! Codec strings (RFC 6381) from what the encoder says about itself. Never guessed from a file's looks.

use thiserror::Error;

/// A codec configuration that names no codec.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CodecError {
    /// The `AVCDecoderConfigurationRecord` is too short or of another version.
    #[error("the H.264 configuration record ({size_bytes} bytes) is not one of version 1")]
    Avc {
        /// Length of what was given.
        size_bytes: usize,
    },
    /// The `AudioSpecificConfig` ends too early or holds object type 0.
    #[error("the AAC configuration ({size_bytes} bytes) holds no audio object type")]
    Aac {
        /// Length of what was given.
        size_bytes: usize,
    },
}

/// `avc1.PPCCLL` (RFC 6381 section 3.3) from an `AVCDecoderConfigurationRecord`.
///
/// # Errors
/// [`CodecError::Avc`] unless it is a record of version 1.
pub fn avc1(avcc: &[u8]) -> Result<String, CodecError> {
    match avcc {
        [1, profile, compatibility, level, _, ..] => Ok(format!("avc1.{profile:02x}{compatibility:02x}{level:02x}")),
        _ => Err(CodecError::Avc { size_bytes: avcc.len() }),
    }
}

/// `mp4a.40.A` (RFC 6381 section 3.3) from an `AudioSpecificConfig`; `A` is the audio object type.
///
/// # Errors
/// [`CodecError::Aac`] if it is too short for one.
pub fn mp4a(asc: &[u8]) -> Result<String, CodecError> {
    /// The value that announces six more bits (ISO/IEC 14496-3 section 1.6.2.1).
    const ESCAPE: u8 = 31;
    let object_type = match asc {
        [first, second, ..] if first >> 3 == ESCAPE => 32 + (((first & 0b111) << 3) | (second >> 5)),
        [first, _, ..] => first >> 3,
        _ => 0,
    };
    if object_type == 0 {
        return Err(CodecError::Aac { size_bytes: asc.len() });
    }
    Ok(format!("mp4a.40.{object_type}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_h264_profiles_and_levels() {
        assert_eq!(avc1(&[1, 0x64, 0x00, 0x1f, 0xff, 0xe1]).unwrap(), "avc1.64001f");
        assert_eq!(avc1(&[1, 0x42, 0xc0, 0x0d, 0xff]).unwrap(), "avc1.42c00d");
        assert_eq!(avc1(&[0, 0, 0, 1, 0x67]), Err(CodecError::Avc { size_bytes: 5 }));
        assert_eq!(avc1(&[]), Err(CodecError::Avc { size_bytes: 0 }));
    }

    #[test]
    fn names_aac_object_types() {
        assert_eq!(mp4a(&[0x11, 0x90]).unwrap(), "mp4a.40.2");
        assert_eq!(mp4a(&[0x2b, 0x92, 0x08, 0x00]).unwrap(), "mp4a.40.5");
        // xHE-AAC: object type 42 is 31 followed by 42 - 32 in six bits.
        assert_eq!(mp4a(&[0xf9, 0x40]).unwrap(), "mp4a.40.42");
        assert_eq!(mp4a(&[0x11]), Err(CodecError::Aac { size_bytes: 1 }));
        assert_eq!(mp4a(&[0x00, 0x10]), Err(CodecError::Aac { size_bytes: 2 }));
    }
}
