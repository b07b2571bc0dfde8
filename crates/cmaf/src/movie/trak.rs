//! One `trak` of a movie: whether it can be played, and what it says of itself.

use bytes::Bytes;

use super::{
    Media, MovieTrack, Picture,
    atoms::{Atoms, array_at, find, need, u32_at},
    cutting::{self, Rules},
    edit::Edit,
    entry,
    header::{Header, MATRIX_UNITY},
    tables::Tables,
    words::{SoundWords, packed_language},
};

/// What is left for tracks that follow, and what holds for all.
#[derive(Debug)]
pub(crate) struct Limits {
    pub(crate) target_ms: u32,
    pub(crate) file_size_bytes: u64,
    pub(crate) samples: u32,
    pub(crate) segments: usize,
}

/// The fields of `tkhd` that matter.
struct TrackHeader {
    is_enabled: bool,
    matrix: [u8; 36],
    /// 16.16
    width: u32,
    height: u32,
}

/// The track in the body of a `trak`.
pub(crate) fn parse(
    trak: &Bytes,
    track_id: u32,
    movie_timescale: u32,
    limits: &mut Limits,
) -> Result<MovieTrack, String> {
    let mdia = need(trak, b"mdia")?;
    let handler = array_at(&need(&mdia, b"hdlr")?, 8).ok_or("its `hdlr` box is cut off")?;
    let is_video = match &handler {
        b"vide" => true,
        b"soun" => false,
        _ => return Err(no_media(&handler)),
    };
    let minf = need(&mdia, b"minf")?;
    let stbl = need(&minf, b"stbl")?;
    let mut entry = entry::parse(&need(&stbl, b"stsd")?, is_video)?;
    if !lies_in_file(&minf, entry.data_reference) {
        return Err("its samples lie in another file".to_owned());
    }
    let mdhd = need(&mdia, b"mdhd")?;
    let timescale = timescale(&mdhd).ok_or("its `mdhd` box has no timescale")?;
    let header = track_header(&need(trak, b"tkhd")?).ok_or("its `tkhd` box is cut off")?;
    let tables = Tables::parse(&stbl, limits.file_size_bytes)?;
    if tables.samples == 0 {
        return Err("it has no samples".to_owned());
    }
    limits.samples = limits
        .samples
        .checked_sub(tables.samples)
        .ok_or_else(|| format!("it has {} samples: too many", tables.samples))?;
    let edit = Edit::parse(trak, movie_timescale, timescale)?;
    let rules = Rules { timescale, target_ms: limits.target_ms, is_video, edit, segments_max: limits.segments };
    let cuts = cutting::cut(&tables, rules)?;
    limits.segments -= cuts.cuts.len();

    let (mut width, mut height) = (0, 0);
    if let Media::Picture(picture) = &mut entry.media {
        picture.rotation_degrees = rotation_degrees(&header.matrix);
        picture.frame_rate = tables.constant_delta_ticks().map(|delta_ticks| reduced(timescale, delta_ticks));
        (width, height) = shown_size(&header, picture);
    }
    let packed = packed_language(&mdhd);
    let init = Header {
        is_video,
        timescale,
        edit_media_time_ticks: super::unsigned(cuts.shift.edit_media_time_ticks),
        language: packed,
        matrix: if is_video { header.matrix } else { MATRIX_UNITY },
        width,
        height,
        entry: &entry.bytes,
    };
    Ok(MovieTrack {
        track_id,
        codec: entry.codec,
        timescale,
        sound: None,
        words: SoundWords::of(trak),
        is_enabled: header.is_enabled,
        media: entry.media,
        init: init.encode().into(),
        tables,
        cuts,
    })
}

/// What the only `trak` of a fragmented movie says, and the init segment that says the same without an edit list.
pub(crate) fn describe(trak: &Bytes) -> Result<super::Described, String> {
    let mdia = need(trak, b"mdia")?;
    let handler = array_at(&need(&mdia, b"hdlr")?, 8).ok_or("its `hdlr` box is cut off")?;
    let is_video = match &handler {
        b"vide" => true,
        b"soun" => false,
        _ => return Err(no_media(&handler)),
    };
    let stbl = need(&need(&mdia, b"minf")?, b"stbl")?;
    let entry = entry::parse(&need(&stbl, b"stsd")?, is_video)?;
    let mdhd = need(&mdia, b"mdhd")?;
    let timescale = timescale(&mdhd).ok_or("its `mdhd` box has no timescale")?;
    let header = track_header(&need(trak, b"tkhd")?).ok_or("its `tkhd` box is cut off")?;
    let (width, height) = match &entry.media {
        Media::Picture(picture) => shown_size(&header, picture),
        Media::Sound(_) => (0, 0),
    };
    let packed = packed_language(&mdhd);
    let init = Header {
        is_video,
        timescale,
        edit_media_time_ticks: 0,
        language: packed,
        matrix: if is_video { header.matrix } else { MATRIX_UNITY },
        width,
        height,
        entry: &entry.bytes,
    };
    let SoundWords { language, .. } = SoundWords::of(trak);
    Ok(super::Described { codec: entry.codec, language, media: entry.media, init: init.encode().into() })
}

fn no_media(handler: &[u8; 4]) -> String {
    let what = match handler {
        b"hint" => "hints for servers",
        b"tmcd" => "a time code",
        b"text" | b"sbtl" | b"subt" | b"subp" | b"clcp" => "text or chapters",
        b"meta" | b"mebx" => "timed metadata",
        _ => return format!("its handler `{}` is neither picture nor sound", handler.escape_ascii()),
    };
    format!("it is {what}, neither picture nor sound")
}

/// Ticks per second in the body of `mvhd` or `mdhd`, above 0.
pub(crate) fn timescale(body: &Bytes) -> Option<u32> {
    u32_at(body, if *body.first()? == 1 { 20 } else { 12 }).filter(|timescale| *timescale > 0)
}

/// `track_ID`.
pub(crate) fn track_id(trak: &Bytes) -> Option<u32> {
    let tkhd = find(trak, b"tkhd")?;
    u32_at(&tkhd, if *tkhd.first()? == 1 { 20 } else { 12 })
}

/// The tracks that hold chapters of this one (QuickTime File Format, "Track Reference Atoms").
pub(crate) fn chapters(trak: &Bytes) -> Vec<u32> {
    let list = find(trak, b"tref").and_then(|tref| find(&tref, b"chap")).unwrap_or_default();
    list.chunks_exact(4).take(super::TRACKS_MAX).filter_map(|id| u32_at(id, 0)).collect()
}

fn track_header(tkhd: &Bytes) -> Option<TrackHeader> {
    let at = if *tkhd.first()? == 1 { 52 } else { 40 };
    Some(TrackHeader {
        is_enabled: tkhd.get(3)? & 1 == 1,
        matrix: array_at(tkhd, at)?,
        width: u32_at(tkhd, at + 36)?,
        height: u32_at(tkhd, at + 40)?,
    })
}

/// Whether the data reference says that samples lie in the same file (section 8.7.2; `alis` of QuickTime has the same flag).
fn lies_in_file(minf: &Bytes, number: u16) -> bool {
    let entries = find(minf, b"dinf").and_then(|dinf| find(&dinf, b"dref"));
    let Some(entries) = entries.filter(|dref| dref.len() >= 8) else {
        // Some writers leave it away.
        return true;
    };
    let place = usize::from(number).saturating_sub(1);
    Atoms::of(&entries.slice(8..)).nth(place).is_some_and(|entry| entry.body.get(3).is_some_and(|flags| flags & 1 == 1))
}

/// What `tkhd` says, or what the pixels make of it.
fn shown_size(header: &TrackHeader, picture: &Picture) -> (u32, u32) {
    if header.width > 0 && header.height > 0 {
        return (header.width, header.height);
    }
    (u32::from(picture.width) << 16, u32::from(picture.height) << 16)
}

/// From `a b u c d v …` of the matrix (section 8.3.2), whose first four are 16.16.
fn rotation_degrees(matrix: &[u8; 36]) -> u16 {
    let sign = |field: usize| u32_at(matrix, 4 * field).map_or(0, |value| value.cast_signed().signum());
    match [0, 1, 3, 4].map(sign) {
        [0, 1, -1, 0] => 90,
        [-1, 0, 0, -1] => 180,
        [0, -1, 1, 0] => 270,
        _ => 0,
    }
}

fn reduced(numerator: u32, denominator: u32) -> (u32, u32) {
    let (mut divisor, mut rest) = (numerator, denominator);
    while rest > 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    (numerator / divisor, denominator / divisor)
}
