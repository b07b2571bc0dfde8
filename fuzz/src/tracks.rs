//! Files and indexes of media tracks.

use bytes::Bytes;
use flame_cmaf::boxes::{BoxError, BoxWalk, Layout, Step};
use flame_cmaf::encryption::{ContentKey, cbcs_segment};
use flame_cmaf::movie::SegmentPlan;
use flame_cmaf::samples::{self, InitInfo, SampleRef};
use flame_cmaf::{Movie, TrackIndex, codec, ts};

/// The file that a `moov` is told to be of.
const MOVIE_BYTES: u64 = 1 << 20;
/// Target duration of its segments.
const SEGMENT_MS: u32 = 4_000;
/// Segments and keyframes of it that are looked at.
const LOOKED_AT: usize = 64;
/// The most bytes of a transport stream.
const STREAM_MAX_BYTES: usize = 1 << 20;
/// Bytes of a packet of a transport stream, and its first one (ISO/IEC 13818-1 section 2.4.3.2).
const PACKET_BYTES: usize = 188;
const SYNC_BYTE: u8 = 0x47;

/// The data is a file, or its first 4 KiB: the walk is told a length that need not be true.
pub fn boxes(data: &[u8]) {
    let walked = walk(data);
    match model(data) {
        // What the model cannot say, the walk may say as it likes.
        None => assert!(walked.is_err(), "{walked:?}"),
        Some((boxes, moov)) => {
            if let Ok(layout) = walked {
                assert_eq!(layout.moov_offset_bytes, moov);
                assert!(layout.boxes <= boxes);
            }
        }
    }
    let _ = codec::avc1(data);
}

fn walk(file: &[u8]) -> Result<Layout, BoxError> {
    let mut walk = BoxWalk::new(file.len() as u64);
    let mut step = walk.step()?;
    let mut before = None;
    loop {
        match step {
            Step::Done(layout) => return Ok(layout),
            Step::Read { offset_bytes, length_bytes } => {
                assert!(before.is_none_or(|before| offset_bytes > before), "the walk does not advance");
                before = Some(offset_bytes);
                let start = usize::try_from(offset_bytes).expect("within the file");
                step = walk.feed(&file[start..start + usize::try_from(length_bytes).expect("short")])?;
            }
        }
    }
}

/// Boxes of a file, and where its `moov` is; `None` where there is none before the first box that does not fit.
fn model(file: &[u8]) -> Option<(u32, u64)> {
    let (mut at, mut boxes, mut moov) = (0_u128, 0, None);
    let length = file.len() as u128;
    while at + 8 <= length {
        let head = &file[usize::try_from(at).ok()?..];
        let size = match u128::from(u32::from_be_bytes(head[..4].try_into().ok()?)) {
            0 => length - at,
            1 => u128::from(u64::from_be_bytes(head.get(8..16)?.try_into().ok()?)),
            size => size,
        };
        if size < 8 || at + size > length {
            break;
        }
        if &head[4..8] == b"moov" {
            moov = moov.or(u64::try_from(at).ok());
        }
        boxes += 1;
        at += size;
    }
    moov.map(|moov| (boxes, moov))
}

pub fn index(data: &[u8]) {
    let Ok(index) = TrackIndex::from_json(data) else { return };
    let again = TrackIndex::from_json(&index.to_json());
    assert_eq!(again.ok().as_ref(), Some(&index));
    let mut at = u128::from(index.init_size_bytes);
    for (number, segment) in index.segments.iter().enumerate() {
        assert_eq!(u128::from(segment.offset_bytes), at, "a gap before segment {number}");
        at += u128::from(segment.size_bytes);
        assert!(index.presented_ticks(number).is_some_and(|ticks| ticks <= segment.duration_ticks));
    }
    assert_eq!(u128::from(index.object_size_bytes()), at);
    let figures = flame_cmaf::Figures::of(&index);
    assert!(figures.peak_bandwidth_bps >= figures.average_bandwidth_bps || index.segments.is_empty(), "{figures:?}");
}

pub fn codecs(data: &[u8]) {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.';
    if let Ok(text) = codec::avc1(data) {
        assert!(text.len() == 11 && text.starts_with("avc1.") && text.bytes().all(is_letter), "{text}");
    }
    if let Ok(text) = codec::mp4a(data) {
        let object_type = text.strip_prefix("mp4a.40.").and_then(|number| number.parse::<u8>().ok());
        assert!(object_type.is_some_and(|number| (1..96).contains(&number)), "{text}");
    }
}

/// The data is a `moov`.
pub fn movie(data: &[u8]) {
    let Ok(movie) = Movie::parse(&Bytes::copy_from_slice(data), MOVIE_BYTES, SEGMENT_MS) else { return };
    for track in &movie.tracks {
        let mut end_ticks = None;
        for (number, segment) in track.segments().enumerate().take(LOOKED_AT) {
            assert!(end_ticks.is_none_or(|end_ticks| end_ticks == segment.time_ticks), "a gap before segment {number}");
            end_ticks = Some(segment.time_ticks + segment.duration_ticks);
            let plan = track.segment(number).expect("what is listed can be made");
            assert_eq!(plan.size_bytes, segment.size_bytes);
            holds(&plan);
        }
        for (number, keyframe) in track.keyframes().enumerate().take(LOOKED_AT) {
            let plan = track.keyframe(u32::try_from(number).expect("few")).expect("what is listed can be made");
            assert_eq!(plan.size_bytes, keyframe.size_bytes);
            holds(&plan);
        }
    }
}

fn holds(plan: &SegmentPlan) {
    let of_file: u64 = plan.ranges.iter().map(|range| range.end - range.start).sum();
    assert_eq!(plan.head.len() as u64 + of_file, plan.size_bytes);
    assert!(plan.ranges.iter().all(|range| range.start < range.end && range.end <= MOVIE_BYTES), "{:?}", plan.ranges);
}

/// The data is the length of an init segment (two bytes), that, and a segment.
pub fn samples(data: &[u8]) {
    let Some((init, segment)) = parts(data) else { return };
    let Ok(found) = samples::samples(segment, &init) else { return };
    assert!(
        !found.is_empty() && found.iter().all(|sample| sample.range.end <= segment.len() && !sample.range.is_empty())
    );
    assert!(found.windows(2).all(|pair| pair[0].decode_ticks <= pair[1].decode_ticks), "decode times go back");
    for keyframe in samples::keyframes(&found, &init) {
        let alone = samples::single_sample(segment, &init, &keyframe, 0).expect("a sample of the segment makes one");
        let read = samples::samples(&alone, &init).expect("what is written is read");
        assert_eq!(read.len(), 1);
        assert_eq!(alone[read[0].range.clone()], segment[keyframe.sample.range.clone()]);
    }
    let middle = init.presented_ticks(&found[found.len() / 2]);
    let Ok(cut) = samples::truncated(segment, &init, middle, 0) else { return };
    let kept = samples::samples(&cut, &init).expect("what is written is read");
    assert!(kept.len() <= found.len());
    for (kept, found) in kept.iter().zip(&found) {
        assert_eq!((kept.decode_ticks, kept.is_sync), (found.decode_ticks, found.is_sync));
        assert_eq!(cut[kept.range.clone()], segment[found.range.clone()]);
    }
}

/// As [`samples`].
pub fn stream(data: &[u8]) {
    let Some((init, segment)) = parts(data) else { return };
    sealed(&init, segment);
    let Ok(stream) = ts::segment(&init, segment, STREAM_MAX_BYTES) else { return };
    assert!(stream.len() <= STREAM_MAX_BYTES && stream.len().is_multiple_of(PACKET_BYTES), "{} bytes", stream.len());
    assert!(stream.chunks(PACKET_BYTES).all(|packet| packet[0] == SYNC_BYTE), "a packet does not begin where one ends");
}

/// As [`samples`], encrypted: the boxes and samples that come out are those that went in.
fn sealed(init: &InitInfo, segment: &[u8]) {
    let key = ContentKey { secret: [1; 16], id: [2; 16], iv: [3; 16] };
    if let Ok(sealed) = cbcs_segment(init, segment, &key) {
        let (found, before) = (samples::samples(&sealed, init), samples::samples(segment, init));
        let (found, before) = (found.expect("what is sealed is read"), before.expect("what was sealed was read"));
        let sizes = |samples: &[SampleRef]| -> Vec<usize> { samples.iter().map(|sample| sample.range.len()).collect() };
        assert_eq!(sizes(&found), sizes(&before));
    }
    if let Ok(stream) = ts::encrypted_segment(init, segment, STREAM_MAX_BYTES, &key) {
        assert!(stream.len() <= STREAM_MAX_BYTES && stream.len().is_multiple_of(PACKET_BYTES));
    }
}

fn parts(data: &[u8]) -> Option<(InitInfo, &[u8])> {
    let (length, rest) = data.split_first_chunk::<2>()?;
    let (init, segment) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Some((InitInfo::parse(init).ok()?, segment))
}
