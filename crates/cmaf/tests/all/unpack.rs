//! Reads a track back with `mp4-atom` alone: what is in the bytes, not what the writer meant.

use flame_cmaf::{
    AudioConfig, Finished, MediaConfig, PictureCodec, Sample, Segment, Segmentation, SoundCodec, TrackConfig,
    TrackWriter, VideoConfig,
};
use mp4_atom::{Decode, Ftyp, Mdat, Moof, Moov, Styp};

/// A H.264 configuration record with parameter sets of a real encoder (High profile, level 1.3, 320x180).
pub const AVCC: &[u8] = &[
    0x01, 0x64, 0x00, 0x0d, 0xff, 0xe1, 0x00, 0x04, 0x67, 0x64, 0x00, 0x0d, 0x01, 0x00, 0x04, 0x68, 0xeb, 0xe3, 0xcb,
    0xfd, 0xf8, 0xf8, 0x00,
];
/// AAC-LC, 48 kHz, stereo.
pub const ASC: &[u8] = &[0x11, 0x90];

/// A sample as a reader finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub dts_ticks: i64,
    pub pts_ticks: i64,
    pub duration_ticks: u32,
    pub is_sync: bool,
    pub data: Vec<u8>,
}

/// A whole object: what the caller of the writer would have stored.
pub struct Written {
    pub object: Vec<u8>,
    pub finished: Finished,
}

pub fn video(timescale: u32, composition_delay_ticks: u32) -> TrackConfig {
    let codec = PictureCodec::Avc(AVCC.to_vec());
    let config = VideoConfig { codec, width: 320, height: 180, timescale, colour: None, composition_delay_ticks };
    TrackConfig { media: MediaConfig::Video(config), language: None }
}

pub fn audio(sample_rate_hz: u32, priming_samples: u32) -> TrackConfig {
    let config = AudioConfig { codec: SoundCodec::Aac(ASC.to_vec()), sample_rate_hz, channels: 2, priming_samples };
    TrackConfig { media: MediaConfig::Audio(config), language: Some("eng".to_owned()) }
}

pub fn write(config: &TrackConfig, segmentation: Segmentation, samples: Vec<Sample>) -> Written {
    let mut writer = TrackWriter::new(config, segmentation).unwrap();
    let mut object = writer.init().to_vec();
    let mut append = |segment: Segment| {
        assert_eq!(segment.entry.offset_bytes, object.len() as u64);
        assert_eq!(segment.entry.size_bytes, segment.bytes.len() as u64);
        object.extend(segment.bytes);
    };
    for sample in samples {
        writer.push(sample).unwrap().map(&mut append);
    }
    let finished = writer.finish().unwrap();
    append(finished.last_segment.clone());
    Written { object, finished }
}

/// The init segment's boxes.
pub fn init(object: &[u8]) -> (Ftyp, Moov) {
    let mut rest = object;
    (Ftyp::decode(&mut rest).unwrap(), Moov::decode(&mut rest).unwrap())
}

/// The samples of one segment, by the boxes alone.
pub fn segment(bytes: &[u8]) -> Vec<Found> {
    let mut fragments = fragments(bytes);
    assert_eq!(fragments.len(), 1, "a segment is one fragment");
    fragments.remove(0).1
}

/// The number (`mfhd`) and the samples of each fragment of one segment, by the boxes alone.
pub fn fragments(bytes: &[u8]) -> Vec<(u32, Vec<Found>)> {
    let mut rest = bytes;
    Styp::decode(&mut rest).unwrap();
    let mut fragments = Vec::new();
    while !rest.is_empty() {
        fragments.push(fragment(bytes, &mut rest));
    }
    fragments
}

fn fragment(bytes: &[u8], rest: &mut &[u8]) -> (u32, Vec<Found>) {
    let moof_at = bytes.len() - rest.len();
    let moof = Moof::decode(rest).unwrap();
    let mdat_size = Mdat::decode(rest).unwrap().data.len();
    let end_at = bytes.len() - rest.len();

    let [traf] = moof.traf.as_slice() else { panic!("one track") };
    let [trun] = traf.trun.as_slice() else { panic!("one run") };
    assert!(traf.tfhd.default_base_is_moof);
    let mut at = moof_at + usize::try_from(trun.data_offset.unwrap()).unwrap();
    assert_eq!(at + mdat_size, end_at);
    let mut dts_ticks = i64::try_from(traf.tfdt.as_ref().unwrap().base_media_decode_time).unwrap();
    let samples = trun
        .samples
        .iter()
        .map(|entry| {
            let size = usize::try_from(entry.size.unwrap()).unwrap();
            let duration_ticks = entry.duration.or(traf.tfhd.default_sample_duration).unwrap();
            let flags = entry.flags.or(traf.tfhd.default_sample_flags).unwrap();
            let found = Found {
                dts_ticks,
                pts_ticks: dts_ticks + entry.cts.unwrap_or(0),
                duration_ticks,
                is_sync: flags & 0x0001_0000 == 0,
                data: bytes[at..at + size].to_vec(),
            };
            at += size;
            dts_ticks += i64::from(duration_ticks);
            found
        })
        .collect();
    (moof.mfhd.sequence_number, samples)
}
