//! Codec strings (RFC 6381) from what the encoder says about itself. Never guessed from a file's looks.

use thiserror::Error;

use crate::track::Colour;

/// A codec configuration that names no codec.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CodecError {
    /// The `AVCDecoderConfigurationRecord` is too short or of another version.
    #[error("the H.264 configuration record ({size_bytes} bytes) is not one of version 1")]
    Avc {
        /// Length of what was given.
        size_bytes: usize,
    },
    /// The `HEVCDecoderConfigurationRecord` is too short or of another version.
    #[error("the H.265 configuration record ({size_bytes} bytes) is not one of version 1")]
    Hevc {
        /// Length of what was given.
        size_bytes: usize,
    },
    /// The `AV1CodecConfigurationRecord` is too short or of another version.
    #[error("the AV1 configuration record ({size_bytes} bytes) is not one of version 1")]
    Av1 {
        /// Length of what was given.
        size_bytes: usize,
    },
    /// The body of `vpcC` is too short or of another version.
    #[error("the VP9 configuration ({size_bytes} bytes) is not one of version 1")]
    Vp9 {
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

/// `avc3.PPCCLL`, like [`avc1`]: parameter sets may also lie in the samples.
///
/// # Errors
/// [`CodecError::Avc`] unless it is a record of version 1.
pub fn avc3(avcc: &[u8]) -> Result<String, CodecError> {
    avc1(avcc).map(|text| text.replacen("avc1", "avc3", 1))
}

/// `hvc1.P.C.TL.B…` or `hev1.…`, by the type of the sample entry (ISO/IEC 14496-15 annex E.3), from an
/// `HEVCDecoderConfigurationRecord`: profile, compatibility flags in reverse order, tier and level, constraint bytes.
///
/// # Errors
/// [`CodecError::Hevc`] unless it is a record of version 1.
pub fn hevc(entry: &str, hvcc: &[u8]) -> Result<String, CodecError> {
    let refused = || CodecError::Hevc { size_bytes: hvcc.len() };
    let [1, profile, c0, c1, c2, c3, constraints @ .., level] = hvcc.get(..13).ok_or_else(refused)? else {
        return Err(refused());
    };
    let space = ["", "A", "B", "C"][usize::from(profile >> 6)];
    let tier = if profile & 0x20 == 0 { 'L' } else { 'H' };
    let compatibility = u32::from_be_bytes([*c0, *c1, *c2, *c3]).reverse_bits();
    let used = constraints.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let mut text = format!("{entry}.{space}{}.{compatibility:X}.{tier}{level}", profile & 0x1f);
    for byte in &constraints[..used] {
        text.push_str(&format!(".{byte:X}"));
    }
    Ok(text)
}

/// `av01.P.LLT.DD`, and `.M.CCC.cp.tc.mc.F` where the colour is not that of SDR in BT.709 (AV1 Codec ISO Media File
/// Format Binding section 5), from an `AV1CodecConfigurationRecord`.
///
/// # Errors
/// [`CodecError::Av1`] unless it is a record of version 1.
pub fn av01(av1c: &[u8], colour: Option<Colour>) -> Result<String, CodecError> {
    const BT709: Colour = Colour { primaries: 1, transfer: 1, matrix: 1, full_range: false };
    let [0x81, level, format, _, ..] = av1c else {
        return Err(CodecError::Av1 { size_bytes: av1c.len() });
    };
    let bit = |position: u8| (format >> position) & 1;
    let profile = level >> 5;
    let tier = if bit(7) == 0 { 'M' } else { 'H' };
    let depth_bits = match (bit(6), bit(5)) {
        (0, _) => 8,
        (_, 1) if profile == 2 => 12,
        _ => 10,
    };
    let mut text = format!("av01.{profile}.{:02}{tier}.{depth_bits:02}", level & 0x1f);
    if let Some(Colour { primaries, transfer, matrix, full_range }) = colour.filter(|colour| *colour != BT709) {
        let (mono, x, y) = (bit(4), bit(3), bit(2));
        // The position of chroma samples means something for 4:2:0 only.
        let position = if x == 1 && y == 1 { format & 0b11 } else { 0 };
        let full = u8::from(full_range);
        text.push_str(&format!(".{mono}.{x}{y}{position}.{primaries:02}.{transfer:02}.{matrix:02}.{full}"));
    }
    Ok(text)
}

/// `vp09.PP.LL.DD`, and `.CC.cp.tc.mc.FF` where the colour is said and not that of SDR in BT.709 (VP Codec ISO Media File Format
/// Binding section 6), from the body of `vpcC`.
///
/// # Errors
/// [`CodecError::Vp9`] unless it is one of version 1.
pub fn vp09(vpcc: &[u8]) -> Result<String, CodecError> {
    let [1, _, _, _, profile, level, format, primaries, transfer, matrix, ..] = *vpcc else {
        return Err(CodecError::Vp9 { size_bytes: vpcc.len() });
    };
    let (depth_bits, chroma, full) = (format >> 4, format >> 1 & 0b111, format & 1);
    let mut text = format!("vp09.{profile:02}.{level:02}.{depth_bits:02}");
    let colour = (primaries, transfer, matrix);
    if (colour != (2, 2, 2) && colour != (1, 1, 1)) || full == 1 {
        text.push_str(&format!(".{chroma:02}.{primaries:02}.{transfer:02}.{matrix:02}.{full:02}"));
    }
    Ok(text)
}

/// Opus, as Media Source Extensions and playlists name it ("Opus in ISOBMFF", section 4.5 by way of RFC 6381).
pub const OPUS: &str = "opus";

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
    fn names_h265_profiles_and_levels() {
        // Main, level 3.1, progressive and frame-only: the example of ISO/IEC 14496-15.
        let main = [1, 0x01, 0x60, 0, 0, 0, 0xb0, 0, 0, 0, 0, 0, 93, 0xf0];
        assert_eq!(hevc("hvc1", &main).unwrap(), "hvc1.1.6.L93.B0");
        let high = [1, 0x62, 0x20, 0, 0, 0, 0x90, 0, 0x0a, 0, 0, 0, 150];
        assert_eq!(hevc("hev1", &high).unwrap(), "hev1.A2.4.H150.90.0.A");
        assert_eq!(hevc("hvc1", &[0; 13]), Err(CodecError::Hevc { size_bytes: 13 }));
        assert_eq!(hevc("hvc1", &main[..12]), Err(CodecError::Hevc { size_bytes: 12 }));
    }

    #[test]
    fn names_av1_profiles_levels_and_colours() {
        let hdr = Colour { primaries: 9, transfer: 16, matrix: 9, full_range: false };
        assert_eq!(av01(&[0x81, 0x04, 0x0c, 0], None).unwrap(), "av01.0.04M.08");
        let bt709 = Colour { primaries: 1, transfer: 1, matrix: 1, full_range: false };
        assert_eq!(av01(&[0x81, 0x04, 0x0c, 0], Some(bt709)).unwrap(), "av01.0.04M.08");
        // The example of the binding: Main, level 3.0, 10 bits, 4:2:0 co-located, BT.2100 PQ.
        assert_eq!(av01(&[0x81, 0x04, 0x4e, 0], Some(hdr)).unwrap(), "av01.0.04M.10.0.112.09.16.09.0");
        assert_eq!(av01(&[0x81, 0x48, 0xe0, 0], None).unwrap(), "av01.2.08H.12");
        assert_eq!(av01(&[0x01, 0, 0, 0], None), Err(CodecError::Av1 { size_bytes: 4 }));
    }

    #[test]
    fn names_vp9_profiles_levels_and_colours() {
        assert_eq!(vp09(&[1, 0, 0, 0, 0, 31, 0x80, 1, 1, 1, 0, 0]).unwrap(), "vp09.00.31.08");
        assert_eq!(vp09(&[1, 0, 0, 0, 2, 10, 0xa2, 9, 16, 9, 0, 0]).unwrap(), "vp09.02.10.10.01.09.16.09.00");
        assert_eq!(vp09(&[0, 0, 0]), Err(CodecError::Vp9 { size_bytes: 3 }));
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
