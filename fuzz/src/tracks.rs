//! Files and indexes of media tracks.

use flame_cmaf::boxes::{BoxError, BoxWalk, Layout, Step};
use flame_cmaf::{TrackIndex, codec};

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
