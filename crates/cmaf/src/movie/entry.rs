//! Sample entries (ISO/IEC 14496-12 section 8.5.2): what a stored file says of its codec, and the entry that goes out.
//!
//! The entry is built anew from the fields that players need; configuration records are copied byte for byte. So what
//! QuickTime adds (sound descriptions of version 1 and 2, `wave`, `fiel`, `gama`, Apple's own) stays behind.

use bytes::Bytes;

use super::{
    Media, Picture, Sound, VideoRange,
    atoms::{Atoms, find, u16_at, u32_at},
    sound::{self, Format},
};
use crate::{codec, track::Colour};

/// Fields before the boxes of a picture's entry.
const VISUAL_BYTES: usize = 78;
/// Fields before the boxes of a sound's entry; QuickTime's versions 1 and 2 have more.
const AUDIO_BYTES: usize = 28;
const AUDIO_V1_BYTES: usize = AUDIO_BYTES + 16;
const AUDIO_V2_BYTES: usize = AUDIO_BYTES + 36;
/// Code point of ITU-T H.273: "unspecified".
const UNSPECIFIED: u16 = 2;

/// The largest configuration record that is copied.
const RECORD_MAX_BYTES: usize = 64 << 10;

/// Size of Dolby Vision's configuration.
const DOLBY_BYTES: usize = 24;

/// What an entry says.
#[derive(Debug)]
pub(crate) struct SampleEntry {
    pub(crate) codec: String,
    pub(crate) media: Media,
    /// The whole box that goes out.
    pub(crate) bytes: Vec<u8>,
    /// `dref` entry that says where the samples are, from 1.
    pub(crate) data_reference: u16,
}

/// The only entry in the body of `stsd`, of a track of pictures or of sound.
pub(crate) fn parse(stsd: &Bytes, is_video: bool) -> Result<SampleEntry, String> {
    let cut = || "its `stsd` box is cut off".to_owned();
    let count = u32_at(stsd, 4).ok_or_else(cut)?;
    if count != 1 {
        return Err(format!("it has {count} sample descriptions, so its codec changes on the way"));
    }
    let entry = Atoms::of(&stsd.slice(8..)).next().ok_or_else(cut)?;
    let kind = &entry.kind;
    if matches!(kind, b"encv" | b"enca" | b"drmi" | b"drms") {
        return Err("it is encrypted".to_owned());
    }
    let data_reference = u16_at(&entry.body, 6).ok_or_else(cut)?;
    let (codec, media, bytes) = match (kind, is_video) {
        (b"avc1" | b"avc3" | b"hvc1" | b"hev1" | b"av01", true) => picture(kind, &entry.body)?,
        (b"mp4a" | b"Opus" | b"ac-3" | b"ec-3", false) => sound(kind, &entry.body, stsd[0])?,
        _ => return Err(format!("its codec `{}` is none that is played without conversion", kind.escape_ascii())),
    };
    Ok(SampleEntry { codec, media, bytes, data_reference })
}

fn picture(kind: &[u8; 4], body: &Bytes) -> Result<(String, Media, Vec<u8>), String> {
    let cut = || format!("its `{}` box is cut off", kind.escape_ascii());
    let (Some(width), Some(height)) = (u16_at(body, 24), u16_at(body, 26)) else { return Err(cut()) };
    if body.len() < VISUAL_BYTES || width == 0 || height == 0 {
        return Err(cut());
    }
    let boxes = body.slice(VISUAL_BYTES..);
    let name = match kind {
        b"av01" => b"av1C",
        b"hvc1" | b"hev1" => b"hvcC",
        _ => b"avcC",
    };
    let record = bounded(find(&boxes, name), name)?;
    let colour = colour(&boxes);
    let codec = match kind {
        b"avc1" => codec::avc1(&record),
        b"avc3" => codec::avc3(&record),
        b"hvc1" => codec::hevc("hvc1", &record),
        b"hev1" => codec::hevc("hev1", &record),
        _ => codec::av01(&record, colour),
    };
    let codec = codec.map_err(|error| error.to_string())?;
    let pixel_aspect = find(&boxes, b"pasp")
        .and_then(|pasp| Some((u32_at(&pasp, 0)?, u32_at(&pasp, 4)?)))
        .filter(|(horizontal, vertical)| *horizontal > 0 && *vertical > 0)
        .unwrap_or((1, 1));

    let mut fields = vec![0; VISUAL_BYTES];
    fields[7] = 1; // data_reference_index
    fields[24..26].copy_from_slice(&width.to_be_bytes());
    fields[26..28].copy_from_slice(&height.to_be_bytes());
    fields[28..36].copy_from_slice(&[0, 0x48, 0, 0, 0, 0x48, 0, 0]); // 72 dpi
    fields[41] = 1; // frame_count
    fields[74..78].copy_from_slice(&[0, 0x18, 0xff, 0xff]); // depth, pre_defined
    append(&mut fields, name, &record);
    if let Some(Colour { primaries, transfer, matrix, full_range }) = colour {
        let points = [primaries, transfer, matrix].map(u16::to_be_bytes).concat();
        append(&mut fields, b"colr", &[b"nclx".as_slice(), &points, &[u8::from(full_range) << 7]].concat());
    }
    let (horizontal, vertical) = pixel_aspect;
    append(&mut fields, b"pasp", &[horizontal.to_be_bytes(), vertical.to_be_bytes()].concat());
    // Mastering display and content light level: HDR10's.
    for (name, size_bytes) in [(b"mdcv", 24), (b"clli", 4)] {
        if let Some(values) = find(&boxes, name).filter(|values| values.len() == size_bytes) {
            append(&mut fields, name, &values);
        }
    }
    // Dolby Vision's configuration: what its players need besides.
    let mut supplemental_codec = None;
    for name in [b"dvcC", b"dvvC"] {
        if let Some(config) = find(&boxes, name).filter(|config| config.len() == DOLBY_BYTES) {
            append(&mut fields, name, &config);
            supplemental_codec = supplemental(kind, &config);
        }
    }
    let mut bytes = Vec::new();
    append(&mut bytes, kind, &fields);
    let range = colour.map_or(VideoRange::Sdr, |colour| VideoRange::of_transfer(colour.transfer));
    // Rotation and frame rate stand elsewhere.
    let picture = Picture {
        width,
        height,
        pixel_aspect,
        rotation_degrees: 0,
        colour,
        range,
        supplemental_codec,
        frame_rate: None,
    };
    Ok((codec, Media::Picture(picture), bytes))
}

/// What `SUPPLEMENTAL-CODECS` says of pictures that any player of `kind` shows, and one of Dolby Vision better (Dolby Vision Streams Within the ISO Base
/// Media File Format; Apple's HLS Authoring Specification): codec and brand; `None` where the layer below is nothing that others show.
fn supplemental(kind: &[u8; 4], config: &[u8]) -> Option<String> {
    let [_, _, first, second, third, ..] = *config else { return None };
    let (profile, level, compatibility) = (first >> 1, (first & 1) << 5 | second >> 3, third >> 4);
    let codec = match (kind, profile) {
        (b"hvc1", 8) => "dvh1",
        (b"hev1", 8) => "dvhe",
        (b"av01", 10) => "dav1",
        _ => return None,
    };
    let brand = match compatibility {
        1 => "db1p",
        2 => "db2g",
        4 => "db4h",
        _ => return None,
    };
    Some(format!("{codec}.{profile:02}.{level:02}/{brand}"))
}

/// `nclx` of ISO, `nclc` of QuickTime (which has no full range); other kinds name profiles for printing.
fn colour(boxes: &Bytes) -> Option<Colour> {
    Atoms::of(boxes).filter(|atom| &atom.kind == b"colr").find_map(|atom| {
        let has_range = match atom.body.get(..4)? {
            b"nclx" => true,
            b"nclc" => false,
            _ => return None,
        };
        let colour = Colour {
            primaries: u16_at(&atom.body, 4)?,
            transfer: u16_at(&atom.body, 6)?,
            matrix: u16_at(&atom.body, 8)?,
            full_range: has_range && *atom.body.get(10)? >= 0x80,
        };
        let is_said = [colour.primaries, colour.transfer, colour.matrix].iter().any(|point| *point != UNSPECIFIED);
        (is_said || colour.full_range).then_some(colour)
    })
}

fn sound(kind: &[u8; 4], body: &Bytes, stsd_version: u8) -> Result<(String, Media, Vec<u8>), String> {
    let cut = || format!("its `{}` box is cut off", kind.escape_ascii());
    let fields_bytes = match u16_at(body, 8) {
        // Version 1 of ISO comes with version 1 of `stsd` and has no more fields (section 12.2.3).
        Some(0) => AUDIO_BYTES,
        Some(1) if stsd_version == 0 => AUDIO_V1_BYTES,
        Some(1) => AUDIO_BYTES,
        Some(2) => AUDIO_V2_BYTES,
        _ => return Err(cut()),
    };
    if body.len() < fields_bytes {
        return Err(cut());
    }
    let boxes = body.slice(fields_bytes..);
    // QuickTime puts the configuration into `wave`.
    let config = |name: &[u8; 4]| {
        bounded(find(&boxes, name).or_else(|| find(&boxes, b"wave").and_then(|wave| find(&wave, name))), name)
    };
    let said =
        Format { channels: u16_at(body, 16).unwrap_or(0), sample_rate_hz: u32::from(u16_at(body, 24).unwrap_or(0)) };
    let (codec, format, name, record) = match kind {
        b"mp4a" => {
            let asc = sound::audio_specific_config(&config(b"esds")?)?;
            let codec = codec::mp4a(&asc).map_err(|error| error.to_string())?;
            (codec, sound::aac(&asc, said), b"esds", sound::esds(&asc))
        }
        b"Opus" => {
            let record = config(b"dOps")?;
            (codec::OPUS.to_owned(), sound::opus(&record)?, b"dOps", record.to_vec())
        }
        b"ac-3" => {
            let record = config(b"dac3")?;
            ("ac-3".to_owned(), sound::ac3(&record)?, b"dac3", record.to_vec())
        }
        _ => {
            let record = config(b"dec3")?;
            ("ec-3".to_owned(), sound::eac3(&record)?, b"dec3", record.to_vec())
        }
    };
    let Format { channels, sample_rate_hz } = format;
    let mut fields = vec![0; AUDIO_BYTES];
    fields[7] = 1; // data_reference_index
    fields[16..18].copy_from_slice(&channels.to_be_bytes());
    fields[19] = 16; // samplesize
    // 16.16 holds rates below 65,536; others are said by the configuration alone.
    fields[24..26].copy_from_slice(&u16::try_from(sample_rate_hz).unwrap_or(0).to_be_bytes());
    append(&mut fields, name, &record);
    let mut bytes = Vec::new();
    append(&mut bytes, kind, &fields);
    Ok((codec, Media::Sound(Sound { channels, sample_rate_hz }), bytes))
}

fn bounded(record: Option<Bytes>, name: &[u8; 4]) -> Result<Bytes, String> {
    record
        .filter(|record| record.len() <= RECORD_MAX_BYTES)
        .ok_or_else(|| format!("it has no `{}` box of a usual size", name.escape_ascii()))
}

/// Appends a box. What comes from a `moov` is far shorter than 4 GiB.
pub(crate) fn append(bytes: &mut Vec<u8>, kind: &[u8; 4], body: &[u8]) {
    let size = u32::try_from(body.len() + 8).expect("a box of a `moov` of bounded size");
    bytes.extend_from_slice(&size.to_be_bytes());
    bytes.extend_from_slice(kind);
    bytes.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_more_than_a_codec_says_its_profile_level_and_what_lies_below() {
        // Version 1.0, profile 8, level 6, with a reference picture unit and a base layer, which is HDR10, or HLG.
        let config = |profile: u8, compatibility: u8| [1, 0, profile << 1, 6 << 3 | 0b101, compatibility << 4, 0];
        assert_eq!(supplemental(b"hvc1", &config(8, 1)).as_deref(), Some("dvh1.08.06/db1p"));
        assert_eq!(supplemental(b"hev1", &config(8, 4)).as_deref(), Some("dvhe.08.06/db4h"));
        assert_eq!(supplemental(b"av01", &config(10, 2)).as_deref(), Some("dav1.10.06/db2g"));
        // Of profile 5 nothing is shown that is not Dolby Vision.
        for (kind, config) in [(b"hvc1", config(5, 0)), (b"avc1", config(8, 1)), (b"hvc1", config(8, 7))] {
            assert_eq!(supplemental(kind, &config), None);
        }
        assert_eq!(supplemental(b"hvc1", &[1, 0]), None);
    }
}
