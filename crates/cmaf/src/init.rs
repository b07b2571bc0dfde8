//! The init segment (CMAF header, ISO/IEC 23000-19 section 7.3.1): `ftyp` and `moov` of one track.
//!
//! It is final before the first sample. Durations in `mvhd`, `tkhd` and `mdhd` are 0 and there is no `mehd`,
//! which says that all samples are in fragments and that the length is not known here (ISO/IEC 14496-12
//! sections 8.2.2 and 8.8.2); the edit, where there is one, has the duration 0 and so holds for all fragments
//! to come (section 8.6.6). The movie's timescale is the track's, so that an edit is exact.

use mp4_atom::{
    Audio, Av01, Av1c, Avc1, Avcc, Codec, Colr, Dinf, Dops, Dref, DrefEntry, Edts, Elst, ElstEntry, Encode, FixedPoint,
    FourCC, Ftyp, Hdlr, Hvc1, Hvcc, Mdhd, Mdia, Minf, Moov, Mp4a, Mvex, Mvhd, Opus, Pasp, Smhd, Stbl, Stco, Stsd, Tkhd,
    Trak, Trex, Url, Visual, Vmhd, Vp09, VpcC, esds,
};

use crate::{
    track::{AudioConfig, MediaConfig, PictureCodec, SoundCodec, TrackConfig, VideoConfig},
    writer::WriteError,
};

/// The only track of each object.
pub(crate) const TRACK_ID: u32 = 1;

/// `MPEG-4 Audio`, `objectTypeIndication` of ISO/IEC 14496-1 table 5.
const OBJECT_TYPE_MPEG4_AUDIO: u8 = 0x40;
/// `AudioStream`, `streamType` of ISO/IEC 14496-1 table 6.
const STREAM_TYPE_AUDIO: u8 = 5;
/// "Undetermined", for `mdhd`.
const LANGUAGE_UNKNOWN: &str = "und";

/// Bytes of the init segment of `config`.
pub(crate) fn encode(config: &TrackConfig) -> Result<Vec<u8>, WriteError> {
    let mut bytes = Vec::with_capacity(1024);
    file_type(config).encode(&mut bytes)?;
    movie(config)?.encode(&mut bytes)?;
    Ok(bytes)
}

/// `cmf2` (ISO/IEC 23000-19 section 7.2) is promised where no edit list shifts the track.
fn file_type(config: &TrackConfig) -> Ftyp {
    let mut compatible_brands = vec![FourCC::new(b"iso6"), FourCC::new(b"cmfc")];
    if config.edit_media_time_ticks() == 0 {
        compatible_brands.push(FourCC::new(b"cmf2"));
    }
    Ftyp { major_brand: FourCC::new(b"cmfc"), minor_version: 0, compatible_brands }
}

fn movie(config: &TrackConfig) -> Result<Moov, WriteError> {
    let timescale = config.timescale();
    let (handler, name, entry, width, height, vmhd, smhd) = match &config.media {
        MediaConfig::Video(video) => {
            (b"vide", "VideoHandler", video_entry(video)?, video.width, video.height, Some(Vmhd::default()), None)
        }
        MediaConfig::Audio(audio) => (b"soun", "SoundHandler", audio_entry(audio), 0, 0, None, Some(Smhd::default())),
    };
    let trak = Trak {
        tkhd: Tkhd {
            track_id: TRACK_ID,
            enabled: true,
            in_movie: true,
            volume: u8::from(smhd.is_some()).into(),
            width: width.into(),
            height: height.into(),
            ..Tkhd::default()
        },
        edts: edit(config.edit_media_time_ticks()),
        mdia: Mdia {
            mdhd: Mdhd { timescale, language: language(config.language.as_deref()), ..Mdhd::default() },
            hdlr: Hdlr { handler: FourCC::new(handler), name: name.to_owned() },
            minf: Minf {
                vmhd,
                smhd,
                dinf: Dinf { dref: Dref { entries: vec![DrefEntry::Url(Url { location: String::new() })] } },
                stbl: Stbl { stsd: Stsd { codecs: vec![entry] }, stco: Some(Stco::default()), ..Stbl::default() },
                ..Minf::default()
            },
        },
        ..Trak::default()
    };
    Ok(Moov {
        mvhd: Mvhd { timescale, rate: 1.into(), volume: 1.into(), next_track_id: TRACK_ID + 1, ..Mvhd::default() },
        trak: vec![trak],
        mvex: Some(Mvex {
            mehd: None,
            trex: vec![Trex { track_id: TRACK_ID, default_sample_description_index: 1, ..Trex::default() }],
        }),
        ..Moov::default()
    })
}

fn edit(media_time_ticks: u64) -> Option<Edts> {
    (media_time_ticks > 0).then(|| Edts {
        elst: Some(Elst {
            entries: vec![ElstEntry { segment_duration: 0, media_time: Some(media_time_ticks), media_rate: 1.into() }],
        }),
    })
}

fn video_entry(video: &VideoConfig) -> Result<Codec, WriteError> {
    use mp4_atom::Atom;

    let colr = video.colour.map(|colour| Colr::Nclx {
        colour_primaries: colour.primaries,
        transfer_characteristics: colour.transfer,
        matrix_coefficients: colour.matrix,
        full_range_flag: colour.full_range,
    });
    let visual = Visual { data_reference_index: 1, width: video.width, height: video.height, ..Visual::default() };
    let pasp = Some(Pasp { h_spacing: 1, v_spacing: 1 });
    Ok(match &video.codec {
        PictureCodec::Avc(record) => {
            let avcc = Avcc::decode_body(&mut record.as_slice())?;
            Codec::Avc1(Avc1 { visual, avcc, colr, pasp, ..Avc1::default() })
        }
        PictureCodec::Hevc(record) => {
            let hvcc = Hvcc::decode_body(&mut record.as_slice())?;
            Codec::Hvc1(Hvc1 { visual, hvcc, colr, pasp, ..Hvc1::default() })
        }
        PictureCodec::Av1(record) => {
            let av1c = Av1c::decode_body(&mut record.as_slice())?;
            Codec::Av01(Av01 { visual, av1c, colr, pasp, ..Av01::default() })
        }
        PictureCodec::Vp9(record) => {
            let vpcc = VpcC::decode_body(&mut record.as_slice())?;
            Codec::Vp09(Vp09 { visual, vpcc, colr, pasp, ..Vp09::default() })
        }
    })
}

fn audio_entry(config: &AudioConfig) -> Codec {
    let audio = Audio {
        data_reference_index: 1,
        channel_count: config.channels,
        sample_size: 16,
        // 16.16 holds rates below 65,536; others are said by the AudioSpecificConfig alone.
        sample_rate: FixedPoint::new(u16::try_from(config.sample_rate_hz).unwrap_or(0), 0),
    };
    let asc = match &config.codec {
        SoundCodec::Aac(asc) => asc,
        SoundCodec::Opus => return opus_entry(config, audio),
    };
    Codec::Mp4a(Mp4a {
        audio,
        esds: mp4_atom::Esds {
            es_desc: esds::EsDescriptor {
                dec_config: esds::DecoderConfig {
                    object_type_indication: OBJECT_TYPE_MPEG4_AUDIO,
                    stream_type: STREAM_TYPE_AUDIO,
                    dec_specific: Some(esds::DecoderSpecific { raw: asc.clone(), ..esds::DecoderSpecific::default() }),
                    ..esds::DecoderConfig::default()
                },
                ..esds::EsDescriptor::default()
            },
        },
        btrt: None,
        taic: None,
    })
}

/// Encapsulation of Opus in ISO Base Media File Format, section 4.3: channel mapping family 0. What an encoder needs to get
/// going is not said by live ones, and nothing is skipped.
fn opus_entry(config: &AudioConfig, audio: Audio) -> Codec {
    let dops = Dops {
        output_channel_count: u8::try_from(config.channels).unwrap_or(u8::MAX),
        pre_skip: u16::try_from(config.priming_samples).unwrap_or(u16::MAX),
        input_sample_rate: config.sample_rate_hz,
        output_gain: 0,
        channel_mapping: None,
    };
    Codec::Opus(Opus { audio, dops, btrt: None })
}

/// `mdhd` packs three lower-case letters (ISO 639-2/T) into 15 bits; anything else is said in playlists only.
fn language(tag: Option<&str>) -> String {
    let primary = tag.and_then(|tag| tag.split(['-', '_']).next()).unwrap_or(LANGUAGE_UNKNOWN).to_ascii_lowercase();
    if primary.len() == 3 && primary.bytes().all(|letter| letter.is_ascii_lowercase()) {
        primary
    } else {
        LANGUAGE_UNKNOWN.to_owned()
    }
}
