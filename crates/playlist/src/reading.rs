//! Playlists of others, read: what a client of HLS has to know to fetch their media (RFC 8216bis section 4).
//!
//! `hls_m3u8` reads versions up to 7 and refuses what it does not know; servers of today say 9 and more. So what is not known is passed
//! over here, as section 6.3.1 wants it, and only what stands in the way of fetching is an error. Pure; no more is held than was read.

use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A playlist.
#[derive(Debug, Clone, PartialEq)]
pub enum ReadPlaylist {
    /// It names others.
    Multivariant(ReadMultivariant),
    /// It names media.
    Media(ReadMedia),
}

/// A playlist that names others.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReadMultivariant {
    /// What can be chosen between, as listed.
    pub variants: Vec<ReadVariant>,
    /// Sound that stands apart.
    pub sounds: Vec<ReadSound>,
}

/// A variant (section 4.4.6.2).
#[derive(Debug, Clone, PartialEq)]
pub struct ReadVariant {
    /// Where it is.
    pub uri: String,
    /// `BANDWIDTH`.
    pub bandwidth_bps: u64,
    /// `CODECS`, one by one.
    pub codecs: Vec<String>,
    /// The group of its sound.
    pub audio: Option<String>,
}

/// A rendition of sound (section 4.4.6.1).
#[derive(Debug, Clone, PartialEq)]
pub struct ReadSound {
    /// Its group.
    pub group: String,
    /// Where it is; `None` where it is within the variant.
    pub uri: Option<String>,
    /// Whether it is the one to begin with.
    pub is_default: bool,
}

/// A playlist that names media.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReadMedia {
    /// `EXT-X-TARGETDURATION`, seconds.
    pub target_s: u64,
    /// The number of the first segment.
    pub first_number: u64,
    /// Nothing more comes.
    pub has_ended: bool,
    /// In order.
    pub segments: Vec<ReadSegment>,
    /// Parts of the segment that is under way.
    pub parts: Vec<ReadLivePart>,
    /// What its server offers to those who watch live.
    pub control: ReadControl,
}

/// What a server offers to those who watch live (section 4.4.3.8), milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadControl {
    /// It answers when what was asked for is there.
    pub can_block: bool,
    /// `PART-TARGET`.
    pub part_target_ms: Option<u64>,
    /// How far from the end to play, with parts.
    pub part_hold_back_ms: Option<u64>,
    /// The same, without.
    pub hold_back_ms: Option<u64>,
}

/// A part of a segment (section 4.4.4.9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadLivePart {
    /// Where its octets are.
    pub part: ReadPart,
    /// How long it is, milliseconds.
    pub duration_ms: u64,
    /// It can be decoded without the ones before.
    pub is_independent: bool,
    /// There is none, only its place.
    pub is_gap: bool,
}

/// A segment.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadSegment {
    /// Where its octets are.
    pub part: ReadPart,
    /// `EXTINF`, milliseconds.
    pub duration_ms: u64,
    /// What it needs in front of it: fragmented MP4 has one, transport streams have none.
    pub init: Option<ReadPart>,
    /// Its times do not go on from the one before.
    pub is_discontinuity: bool,
    /// There is none, only its place.
    pub is_gap: bool,
    /// It is encrypted.
    pub is_encrypted: bool,
    /// When its first picture was taken (`EXT-X-PROGRAM-DATE-TIME`), milliseconds since the Unix epoch.
    pub date_ms: Option<i64>,
    /// Its parts, as far as they are listed.
    pub parts: Vec<ReadLivePart>,
}

/// Octets of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadPart {
    /// The resource.
    pub uri: String,
    /// First octet and how many, if it is not all.
    pub range: Option<(u64, u64)>,
}

/// What is no playlist.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ReadError {
    /// The first line is another one.
    #[error("it is no playlist: it does not begin with #EXTM3U")]
    NotAPlaylist,
    /// A line cannot be read.
    #[error("line {line} cannot be read: {what}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        what: &'static str,
    },
}

/// What stands before a URI and is about it.
#[derive(Default)]
struct Pending {
    duration_ms: Option<u64>,
    range: Option<(Option<u64>, u64)>,
    is_discontinuity: bool,
    is_gap: bool,
    date_ms: Option<i64>,
    parts: Vec<ReadLivePart>,
    variant: Option<ReadVariant>,
}

/// Reads a playlist.
///
/// # Errors
/// [`ReadError`].
pub fn read_playlist(text: &str) -> Result<ReadPlaylist, ReadError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.lines().map(str::trim).enumerate();
    if lines.next().is_none_or(|(_, first)| first != "#EXTM3U") {
        return Err(ReadError::NotAPlaylist);
    }
    let (mut media, mut multivariant, mut pending) =
        (ReadMedia::default(), ReadMultivariant::default(), Pending::default());
    let (mut init, mut is_encrypted) = (None, false);
    for (at, line) in lines {
        let wrong = |what| ReadError::Line { line: at + 1, what };
        if line.is_empty() {
            continue;
        }
        if !line.starts_with('#') {
            if let Some(variant) = pending.variant.take() {
                multivariant.variants.push(ReadVariant { uri: line.to_owned(), ..variant });
                continue;
            }
            let duration_ms = pending.duration_ms.ok_or_else(|| wrong("a URI without #EXTINF"))?;
            let range = match pending.range {
                None => None,
                Some((from, length)) => {
                    let from = from.or_else(|| media.segments.last().and_then(|last| follows(last, line)));
                    Some((from.ok_or_else(|| wrong("a range that follows nothing"))?, length))
                }
            };
            media.segments.push(ReadSegment {
                part: ReadPart { uri: line.to_owned(), range },
                duration_ms,
                init: init.clone(),
                is_discontinuity: pending.is_discontinuity,
                is_gap: pending.is_gap,
                is_encrypted,
                date_ms: pending.date_ms,
                parts: std::mem::take(&mut pending.parts),
            });
            pending = Pending::default();
            continue;
        }
        let (tag, value) = line.split_once(':').unwrap_or((line, ""));
        let attribute = |name| attribute(value, name);
        match tag {
            "#EXTINF" => {
                let duration_ms = value.split(',').next().and_then(span_ms);
                pending.duration_ms = Some(duration_ms.ok_or_else(|| wrong("#EXTINF has no duration"))?);
            }
            "#EXT-X-BYTERANGE" => {
                pending.range = Some(range(value).ok_or_else(|| wrong("no range of bytes"))?);
            }
            "#EXT-X-DISCONTINUITY" => pending.is_discontinuity = true,
            "#EXT-X-GAP" => pending.is_gap = true,
            "#EXT-X-PROGRAM-DATE-TIME" => pending.date_ms = date_ms(value),
            "#EXT-X-PART" => pending.parts.extend(live_part(value)),
            "#EXT-X-PART-INF" => media.control.part_target_ms = attribute("PART-TARGET").and_then(span_ms),
            "#EXT-X-SERVER-CONTROL" => {
                let can_block = attribute("CAN-BLOCK-RELOAD") == Some("YES");
                let part_hold_back_ms = attribute("PART-HOLD-BACK").and_then(span_ms);
                let hold_back_ms = attribute("HOLD-BACK").and_then(span_ms);
                media.control = ReadControl { can_block, part_hold_back_ms, hold_back_ms, ..media.control };
            }
            "#EXT-X-ENDLIST" => media.has_ended = true,
            "#EXT-X-TARGETDURATION" => {
                media.target_s = value.parse().map_err(|_| wrong("no target duration"))?;
            }
            "#EXT-X-MEDIA-SEQUENCE" => {
                media.first_number = value.parse().map_err(|_| wrong("no number of the first segment"))?;
            }
            "#EXT-X-KEY" => is_encrypted = attribute("METHOD").is_some_and(|method| method != "NONE"),
            "#EXT-X-MAP" => {
                let uri = attribute("URI").ok_or_else(|| wrong("#EXT-X-MAP without a URI"))?.to_owned();
                let range = match attribute("BYTERANGE").map(range) {
                    None => None,
                    Some(Some((from, length))) => Some((from.unwrap_or(0), length)),
                    Some(None) => return Err(wrong("no range of bytes")),
                };
                init = Some(ReadPart { uri, range });
            }
            "#EXT-X-STREAM-INF" => {
                let bandwidth_bps = attribute("BANDWIDTH").and_then(|text| text.parse().ok()).unwrap_or(0);
                let codecs = attribute("CODECS").unwrap_or_default().split(',').map(str::trim);
                let codecs = codecs.filter(|codec| !codec.is_empty()).map(str::to_owned).collect();
                let audio = attribute("AUDIO").map(str::to_owned);
                pending.variant = Some(ReadVariant { uri: String::new(), bandwidth_bps, codecs, audio });
            }
            "#EXT-X-MEDIA" if attribute("TYPE") == Some("AUDIO") => {
                let group = attribute("GROUP-ID").ok_or_else(|| wrong("#EXT-X-MEDIA without a group"))?.to_owned();
                let uri = attribute("URI").map(str::to_owned);
                multivariant.sounds.push(ReadSound { group, uri, is_default: attribute("DEFAULT") == Some("YES") });
            }
            _ => {}
        }
    }
    media.parts = pending.parts;
    if multivariant.variants.is_empty() {
        Ok(ReadPlaylist::Media(media))
    } else {
        Ok(ReadPlaylist::Multivariant(multivariant))
    }
}

/// A number of seconds up to a day, in milliseconds.
fn span_ms(text: &str) -> Option<u64> {
    let seconds = text.trim().parse::<f64>().ok().filter(|seconds| (0.0..=86_400.0).contains(seconds))?;
    Some((seconds * 1000.0).round() as u64)
}

/// A date with its time, as far as it can be read.
fn date_ms(text: &str) -> Option<i64> {
    let date = OffsetDateTime::parse(text.trim(), &Rfc3339).ok()?;
    i64::try_from(date.unix_timestamp_nanos() / 1_000_000).ok()
}

/// A part; who cannot read one goes on with the whole segment.
fn live_part(value: &str) -> Option<ReadLivePart> {
    let range = match attribute(value, "BYTERANGE").map(range) {
        None => None,
        Some(Some((Some(from), length))) => Some((from, length)),
        Some(Some((None, _)) | None) => return None,
    };
    Some(ReadLivePart {
        part: ReadPart { uri: attribute(value, "URI")?.to_owned(), range },
        duration_ms: span_ms(attribute(value, "DURATION")?)?,
        is_independent: attribute(value, "INDEPENDENT") == Some("YES"),
        is_gap: attribute(value, "GAP") == Some("YES"),
    })
}

/// Where a range begins that only says how long it is.
fn follows(last: &ReadSegment, uri: &str) -> Option<u64> {
    let (from, length) = last.part.range.filter(|_| last.part.uri == uri)?;
    from.checked_add(length)
}

/// `n[@o]`.
fn range(text: &str) -> Option<(Option<u64>, u64)> {
    let (length, from) = text.split_once('@').map_or((text, None), |(length, from)| (length, Some(from)));
    let length = length.trim().parse().ok().filter(|length| *length > 0)?;
    match from {
        None => Some((None, length)),
        Some(from) => Some((Some(from.trim().parse().ok()?), length)),
    }
}

/// The value of an attribute, without quotes.
fn attribute<'a>(list: &'a str, wanted: &str) -> Option<&'a str> {
    let mut rest = list;
    loop {
        let (name, behind) = rest.split_once('=')?;
        let (value, next) = match behind.strip_prefix('"') {
            Some(quoted) => {
                let (value, next) = quoted.split_once('"')?;
                (value, next.strip_prefix(',').unwrap_or(next))
            }
            None => behind.split_once(',').unwrap_or((behind, "")),
        };
        if name.trim() == wanted {
            return Some(value.trim());
        }
        rest = next;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIVE: &str = "#EXTM3U\n#EXT-X-VERSION:10\n#EXT-X-TARGETDURATION:4\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n\
                        #EXT-X-MEDIA-SEQUENCE:17\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:4.00000,\n17.m4s\n#EXT-X-GAP\n#EXTINF:4,\n18.m4s\n\
                        #EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"init-1.mp4\",BYTERANGE=\"700@0\"\n#EXT-X-BYTERANGE:50@700\n#EXTINF:3.96,News, 1\n\
                        all.mp4\n#EXT-X-BYTERANGE:60\n#EXTINF:4,\nall.mp4\n#EXT-X-PART:DURATION=0.2,URI=\"x.m4s\"\n";

    fn media(text: &str) -> ReadMedia {
        match read_playlist(text).unwrap() {
            ReadPlaylist::Media(media) => media,
            ReadPlaylist::Multivariant(_) => panic!("it names media"),
        }
    }

    #[test]
    fn media_is_found_whatever_the_version_says() {
        let read = media(LIVE);
        assert_eq!((read.target_s, read.first_number, read.has_ended, read.segments.len()), (4, 17, false, 4));
        let [first, gap, ranged, behind] = &read.segments[..] else { panic!("four of them") };
        assert_eq!(first.init, Some(ReadPart { uri: "init.mp4".to_owned(), range: None }));
        assert_eq!((first.duration_ms, gap.is_gap, ranged.is_discontinuity), (4000, true, true));
        assert_eq!(
            (ranged.duration_ms, ranged.part.range, behind.part.range),
            (3960, Some((700, 50)), Some((750, 60)))
        );
        assert_eq!(behind.init.as_ref().unwrap().range, Some((0, 700)));
        let keyed = "#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXTINF:4,\na.ts\n#EXT-X-KEY:METHOD=NONE\n#EXTINF:4,\nb.ts\n#EXT-X-ENDLIST\n";
        let read = media(keyed);
        assert!(read.has_ended && read.segments[0].is_encrypted && !read.segments[1].is_encrypted);
    }

    #[test]
    fn variants_are_found_with_their_sound() {
        let text = "#EXTM3U\r\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a,b\",NAME=\"x=y\",DEFAULT=YES,URI=\"a/index.m3u8\"\r\n\
                    #EXT-X-STREAM-INF:AVERAGE-BANDWIDTH=9,BANDWIDTH=1200,CODECS=\"avc1.64001f,mp4a.40.2\",AUDIO=\"a,b\"\r\nv/index.m3u8\r\n";
        let ReadPlaylist::Multivariant(read) = read_playlist(text).unwrap() else { panic!("it names others") };
        let sound = ReadSound { group: "a,b".to_owned(), uri: Some("a/index.m3u8".to_owned()), is_default: true };
        assert_eq!(read.sounds, [sound]);
        assert_eq!((read.variants[0].bandwidth_bps, read.variants[0].uri.as_str()), (1200, "v/index.m3u8"));
        assert_eq!((read.variants[0].codecs.len(), read.variants[0].audio.as_deref()), (2, Some("a,b")));
    }

    #[test]
    fn what_is_none_is_said() {
        assert_eq!(read_playlist("<html>"), Err(ReadError::NotAPlaylist));
        for wrong in ["a.ts", "#EXTINF:x,\na.ts", "#EXTINF:1,\n#EXT-X-BYTERANGE:5\na.ts", "#EXT-X-MEDIA-SEQUENCE:-1"] {
            let read = read_playlist(&format!("#EXTM3U\n{wrong}\n"));
            assert!(matches!(read, Err(ReadError::Line { .. })), "{wrong}: {read:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(lines in proptest::collection::vec("(#EXT(INF|-X-(MAP|KEY|BYTERANGE|MEDIA|STREAM-INF|MEDIA-SEQUENCE)):)?\\PC{0,40}", 0..20)) {
            let _ = read_playlist(&format!("#EXTM3U\n{}", lines.join("\n")));
        }
    }
}
