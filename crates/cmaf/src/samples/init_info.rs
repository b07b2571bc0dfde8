//! What an init segment says that its samples cannot be used without. Codec records are kept as they are.

use super::{
    SampleRef, SamplesError, TICKS_MAX,
    reader::{Fields, boxes, child, find},
};
use crate::boxes::BoxType;

/// Fields of a `VisualSampleEntry` in front of its boxes (ISO/IEC 14496-12 section 12.1.3).
const VISUAL_ENTRY_SIZE_BYTES: usize = 78;
/// The same of an `AudioSampleEntry` (section 12.2.3).
const AUDIO_ENTRY_SIZE_BYTES: usize = 28;
/// Descriptors of ISO/IEC 14496-1 section 7.2.6: elementary stream, decoder configuration, decoder specific.
const ES_DESCRIPTOR: u8 = 3;
const DECODER_CONFIG: u8 = 4;
const DECODER_SPECIFIC: u8 = 5;
/// `objectTypeIndication` of MPEG-4 AAC, and of the three profiles of MPEG-2 AAC.
const AAC_OBJECT_TYPES: [u8; 4] = [0x40, 0x66, 0x67, 0x68];

/// How the samples of a track are coded, with the record that its sample entry holds, without a box around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodecConfig {
    /// H.264: `avcC`, an `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15 section 5.3.3.1).
    Avc(Vec<u8>),
    /// H.265: `hvcC`, an `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15 section 8.3.3.1).
    Hevc(Vec<u8>),
    /// AAC: the `AudioSpecificConfig` (ISO/IEC 14496-3 section 1.6.2.1) in `esds`.
    Aac(Vec<u8>),
    /// AC-3: `dac3` (ETSI TS 102 366 annex F).
    Ac3(Vec<u8>),
    /// E-AC-3: `dec3` (ETSI TS 102 366 annex F).
    Eac3(Vec<u8>),
    /// Opus: `dOps`.
    Opus(Vec<u8>),
    /// Another one, by the type of its sample entry.
    Other(BoxType),
}

/// What an init segment of one track says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitInfo {
    /// `track_ID`, which the fragments name.
    pub track_id: u32,
    /// Ticks per second of the samples' times, above 0.
    pub timescale: u32,
    /// The codec and its configuration.
    pub codec: CodecConfig,
    /// Width in pixels; 0 of sound.
    pub width_px: u16,
    /// Height in pixels; 0 of sound.
    pub height_px: u16,
    /// `media_time` of the edit list: the media time that is presented first, ticks; 0 where there is none.
    pub edit_media_time_ticks: i64,
    /// How long nothing is presented before it (an empty edit), ticks.
    pub edit_delay_ticks: i64,
    /// What holds where neither `tfhd` nor `trun` say anything (`trex`).
    pub defaults: SampleDefaults,
}

/// Defaults of samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SampleDefaults {
    /// Duration in ticks.
    pub duration_ticks: u32,
    /// Size in bytes.
    pub size_bytes: u32,
    /// `sample_flags` of ISO/IEC 14496-12 section 8.8.3.1.
    pub flags: u32,
}

// === impl InitInfo ===

impl InitInfo {
    /// Reads an init segment: `moov` with exactly one track, which is not encrypted. It keeps no more than the
    /// codec's record, so its memory is bounded by the input's.
    ///
    /// # Errors
    /// [`SamplesError`] for everything else.
    pub fn parse(init: &[u8]) -> Result<Self, SamplesError> {
        let moov = child(init, b"moov")?.body;
        let mut tracks = boxes(moov).filter(|found| found.as_ref().map_or(true, |found| found.kind == *b"trak"));
        let trak = tracks.next().ok_or(SamplesError::Tracks { count: 0 })??;
        if let Some(other) = tracks.next() {
            other?;
            return Err(SamplesError::Tracks { count: 2 + tracks.count() });
        }
        let mdia = child(trak.body, b"mdia")?.body;

        let mut tkhd = child(trak.body, b"tkhd")?.fields();
        let (version, _) = tkhd.version_flags()?;
        tkhd.skip(if version == 0 { 8 } else { 16 })?;
        let track_id = tkhd.u32()?;

        let timescale = timescale_of(child(mdia, b"mdhd")?.fields())?;
        let movie_timescale = timescale_of(child(moov, b"mvhd")?.fields())?;
        let (edit_media_time_ticks, edit_delay_ticks) = edit(trak.body, timescale, movie_timescale)?;

        let minf = child(mdia, b"minf")?.body;
        let mut stsd = child(child(minf, b"stbl")?.body, b"stsd")?.fields();
        stsd.skip(8)?;
        let (codec, width_px, height_px) = sample_entry(stsd.rest())?;
        let defaults = trex(moov, track_id)?;
        Ok(Self { track_id, timescale, codec, width_px, height_px, edit_media_time_ticks, edit_delay_ticks, defaults })
    }

    /// When a sample of [`super::samples`] is presented, ticks, the edit applied. Below 0 for what is not presented.
    #[must_use]
    pub fn presented_ticks(&self, sample: &SampleRef) -> i64 {
        self.edited_ticks(sample).saturating_add(i64::from(sample.composition_offset_ticks))
    }

    /// When it is decoded, on the same timeline.
    #[must_use]
    pub fn edited_ticks(&self, sample: &SampleRef) -> i64 {
        let decode_ticks = i64::try_from(sample.decode_ticks).unwrap_or(i64::MAX);
        decode_ticks.saturating_sub(self.edit_media_time_ticks).saturating_add(self.edit_delay_ticks)
    }
}

/// `TransferCharacteristics` (H.273 section 8.2) of the pictures of an init segment's first track, where its sample entry has a `colr` of
/// type `nclx` (ISO/IEC 14496-12 section 12.1.5).
///
/// # Errors
/// [`SamplesError`] where boxes on the way to the sample entry are missing or damaged.
pub fn transfer_of(init: &[u8]) -> Result<Option<u16>, SamplesError> {
    let mdia = child(child(child(init, b"moov")?.body, b"trak")?.body, b"mdia")?.body;
    let mut stsd = child(child(child(mdia, b"minf")?.body, b"stbl")?.body, b"stsd")?.fields();
    stsd.skip(8)?;
    let entry = boxes(stsd.rest()).next().ok_or(SamplesError::Missing { kind: BoxType(*b"stsd") })??;
    if !is_visual(&entry.kind) {
        return Ok(None);
    }
    let mut fields = entry.fields();
    fields.skip(VISUAL_ENTRY_SIZE_BYTES)?;
    let Some(colr) = find(fields.rest(), b"colr")? else { return Ok(None) };
    let mut colr = colr.fields();
    if colr.u32()? != u32::from_be_bytes(*b"nclx") {
        return Ok(None);
    }
    colr.skip(2)?;
    Ok(Some(colr.u16()?))
}

fn is_visual(kind: &[u8; 4]) -> bool {
    matches!(kind, b"avc1" | b"avc3" | b"hvc1" | b"hev1" | b"av01" | b"vp09")
}

/// Of `mvhd` and `mdhd`, which begin alike.
fn timescale_of(mut header: Fields<'_>) -> Result<u32, SamplesError> {
    let (version, _) = header.version_flags()?;
    header.skip(if version == 0 { 8 } else { 16 })?;
    match header.u32()? {
        0 => Err(SamplesError::NoTimescale),
        timescale => Ok(timescale),
    }
}

/// `media_time` of the first edit that has one, and the length of the empty ones before it.
fn edit(trak: &[u8], timescale: u32, movie_timescale: u32) -> Result<(i64, i64), SamplesError> {
    let Some(edts) = find(trak, b"edts")? else { return Ok((0, 0)) };
    let Some(elst) = find(edts.body, b"elst")? else { return Ok((0, 0)) };
    let mut elst = elst.fields();
    let (version, _) = elst.version_flags()?;
    let mut delay_ticks = 0_u128;
    for _ in 0..elst.u32()? {
        let length = elst.wide(version)?;
        let media_time = if version == 0 { i64::from(elst.u32()?.cast_signed()) } else { elst.u64()?.cast_signed() };
        elst.skip(4)?;
        if media_time >= 0 {
            let delay_ticks = i64::try_from(delay_ticks).ok().filter(|ticks| *ticks <= TICKS_MAX.cast_signed());
            let delay_ticks = delay_ticks.ok_or(SamplesError::Time)?;
            return if media_time <= TICKS_MAX.cast_signed() {
                Ok((media_time, delay_ticks))
            } else {
                Err(SamplesError::Time)
            };
        }
        delay_ticks =
            delay_ticks.saturating_add(u128::from(length) * u128::from(timescale) / u128::from(movie_timescale));
    }
    Ok((0, 0))
}

fn trex(moov: &[u8], track_id: u32) -> Result<SampleDefaults, SamplesError> {
    let Some(mvex) = find(moov, b"mvex")? else { return Ok(SampleDefaults::default()) };
    for found in boxes(mvex.body) {
        let found = found?;
        let mut trex = found.fields();
        if found.kind != *b"trex" || trex.version_flags().is_err() || trex.u32()? != track_id {
            continue;
        }
        trex.skip(4)?;
        return Ok(SampleDefaults { duration_ticks: trex.u32()?, size_bytes: trex.u32()?, flags: trex.u32()? });
    }
    Ok(SampleDefaults::default())
}

/// The codec, width and height of the first sample entry.
fn sample_entry(entries: &[u8]) -> Result<(CodecConfig, u16, u16), SamplesError> {
    let entry = boxes(entries).next().ok_or(SamplesError::Missing { kind: BoxType(*b"stsd") })??;
    let mut fields = entry.fields();
    let mut dimensions = (0, 0);
    if is_visual(&entry.kind) {
        let mut visual = fields;
        visual.skip(24)?;
        dimensions = (visual.u16()?, visual.u16()?);
        fields.skip(VISUAL_ENTRY_SIZE_BYTES)?;
    } else if matches!(&entry.kind, b"mp4a" | b"ac-3" | b"ec-3" | b"Opus") {
        fields.skip(AUDIO_ENTRY_SIZE_BYTES)?;
    }
    let record = |kind: &[u8; 4]| child(fields.rest(), kind).map(|found| found.body.to_vec());
    let codec = match &entry.kind {
        b"avc1" | b"avc3" => CodecConfig::Avc(record(b"avcC")?),
        b"hvc1" | b"hev1" => CodecConfig::Hevc(record(b"hvcC")?),
        b"ac-3" => CodecConfig::Ac3(record(b"dac3")?),
        b"ec-3" => CodecConfig::Eac3(record(b"dec3")?),
        b"Opus" => CodecConfig::Opus(record(b"dOps")?),
        b"mp4a" => match audio_specific_config(child(fields.rest(), b"esds")?.fields())? {
            Some(asc) => CodecConfig::Aac(asc.to_vec()),
            None => CodecConfig::Other(BoxType(entry.kind)),
        },
        b"encv" | b"enca" => return Err(SamplesError::Protected),
        _ => CodecConfig::Other(BoxType(entry.kind)),
    };
    Ok((codec, dimensions.0, dimensions.1))
}

/// The `AudioSpecificConfig` in `esds`; `None` if that says something else than AAC.
fn audio_specific_config(mut esds: Fields<'_>) -> Result<Option<&[u8]>, SamplesError> {
    esds.version_flags()?;
    let mut stream = descriptor(&mut esds, ES_DESCRIPTOR)?;
    stream.skip(2)?;
    let flags = stream.u8()?;
    if flags & 0x80 != 0 {
        stream.skip(2)?;
    }
    if flags & 0x40 != 0 {
        let length = stream.u8()?;
        stream.skip(length.into())?;
    }
    if flags & 0x20 != 0 {
        stream.skip(2)?;
    }
    let mut decoder = descriptor(&mut stream, DECODER_CONFIG)?;
    let object_type = decoder.u8()?;
    decoder.skip(12)?;
    if !AAC_OBJECT_TYPES.contains(&object_type) {
        return Ok(None);
    }
    Ok(Some(descriptor(&mut decoder, DECODER_SPECIFIC)?.rest()))
}

/// The next descriptor of a certain tag; others before it are passed over.
fn descriptor<'a>(fields: &mut Fields<'a>, wanted: u8) -> Result<Fields<'a>, SamplesError> {
    loop {
        let tag = fields.u8()?;
        let mut size = 0;
        for _ in 0..4 {
            let byte = fields.u8()?;
            size = size << 7 | usize::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                break;
            }
        }
        let body = fields.within(size)?;
        if tag == wanted {
            return Ok(body);
        }
    }
}
