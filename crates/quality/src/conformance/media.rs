//! A media playlist, read strictly: what it lists, and what of it breaks the rules of its tags (HLS 4.4).

use super::lines::{self, Attributes, Line, decimal, integer};
use super::{Place, head, quote, rules};

/// A media playlist.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MediaList {
    /// `EXT-X-VERSION`; 1 where it is not said.
    pub version: u64,
    /// `EXT-X-TARGETDURATION`, seconds.
    pub target_s: Option<u64>,
    /// Number of the first segment.
    pub first_number: u64,
    /// Discontinuities before it.
    pub discontinuity_sequence: u64,
    /// Nothing more comes.
    pub has_ended: bool,
    /// What `EXT-X-PLAYLIST-TYPE` promises.
    pub promise: Option<Promise>,
    /// Its segments are single pictures.
    pub is_iframes: bool,
    /// Each segment can be decoded alone.
    pub is_independent: bool,
    /// `PART-TARGET`, seconds.
    pub part_target_s: Option<f64>,
    /// `EXT-X-SERVER-CONTROL`.
    pub control: Option<Control>,
    /// Segments that a delta update leaves out.
    pub skipped: u64,
    /// Segments that it lists, in order.
    pub segments: Vec<Listed>,
    /// Parts of the segment that is under way.
    pub open_parts: Vec<ListedPart>,
    /// URI of the part that is announced.
    pub hint: Option<String>,
    /// Rendition reports.
    pub reports: usize,
}

/// What a playlist promises of its future.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// It does not change.
    Vod,
    /// It only grows.
    Event,
}

/// What the server offers, seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Control {
    /// Blocking reloads.
    pub can_block: bool,
    /// `CAN-SKIP-UNTIL`.
    pub skip_until_s: Option<f64>,
    /// `HOLD-BACK`.
    pub hold_back_s: Option<f64>,
    /// `PART-HOLD-BACK`.
    pub part_hold_back_s: Option<f64>,
}

/// A segment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listed {
    /// Its number.
    pub number: u64,
    /// The line of its URI.
    pub line: usize,
    /// Where it is.
    pub uri: String,
    /// First octet and how many, if it is not all.
    pub range: Option<(u64, u64)>,
    /// `EXTINF`, seconds.
    pub duration_s: f64,
    /// Its init segment.
    pub init: Option<(String, Option<(u64, u64)>)>,
    /// Its times do not go on from the one before.
    pub is_discontinuity: bool,
    /// There is none, only its place.
    pub is_gap: bool,
    /// It is encrypted.
    pub is_encrypted: bool,
    /// `EXT-X-PROGRAM-DATE-TIME` as it stands there.
    pub date: Option<String>,
    /// Its parts, as far as they are listed.
    pub parts: Vec<ListedPart>,
}

/// A part of a segment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ListedPart {
    /// Its line.
    pub line: usize,
    /// Where it is.
    pub uri: String,
    /// How long it is, seconds.
    pub duration_s: f64,
    /// First octet and how many, if it is not all.
    pub range: Option<(u64, u64)>,
    /// It holds a picture that needs no other.
    pub is_independent: bool,
    /// There is none, only its place.
    pub is_gap: bool,
    /// It is encrypted, as the key in front of it says; the segment that it is of has the same one.
    pub is_encrypted: bool,
}

/// Tags of the whole playlist, which stand there once.
const ONCE: [&str; 9] = [
    "-X-VERSION",
    "-X-TARGETDURATION",
    "-X-MEDIA-SEQUENCE",
    "-X-DISCONTINUITY-SEQUENCE",
    "-X-PLAYLIST-TYPE",
    "-X-SERVER-CONTROL",
    "-X-PART-INF",
    "-X-SKIP",
    "-X-START",
];
/// Tags of a multivariant playlist.
const OF_MULTIVARIANT: [&str; 5] =
    ["-X-STREAM-INF", "-X-I-FRAME-STREAM-INF", "-X-MEDIA", "-X-SESSION-DATA", "-X-CONTENT-STEERING"];

/// What stands before a URI and is about it, and what goes on from one to the next.
#[derive(Default)]
struct Pending {
    segment: Listed,
    duration_line: Option<usize>,
    init: Option<(String, Option<(u64, u64)>)>,
    is_encrypted: bool,
    discontinuities: usize,
    date_range: Option<usize>,
    has_map: bool,
    needs: (u64, &'static str),
}

/// Whether a playlist names others.
#[must_use]
pub fn is_multivariant(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("#EXT-X-STREAM-INF:") || line.starts_with("#EXT-X-I-FRAME-STREAM-INF:"))
}

/// Reads a playlist, and notes what it breaks. `is_delta` where it answers a wish to leave out what is old.
pub fn read(text: &str, is_delta: bool, place: &mut Place<'_>) -> MediaList {
    let (mut list, mut pending) = (MediaList { version: 1, ..MediaList::default() }, Pending::default());
    let mut seen: Vec<&str> = Vec::new();
    for (number, line) in lines::of(text, place) {
        match line {
            Line::Uri(uri) => segment(&mut list, &mut pending, number, uri, place),
            Line::Tag(name, _) if OF_MULTIVARIANT.contains(&name) => {
                place.breaks(&rules::KIND, Some(number), format!("#EXT{name} in a media playlist"));
            }
            Line::Tag(name, value) => {
                if ONCE.contains(&name) {
                    if seen.contains(&name) {
                        place.breaks(&rules::TWICE, Some(number), format!("#EXT{name} once more"));
                    }
                    seen.push(name);
                }
                tag(&mut list, &mut pending, number, (name, value), place);
            }
        }
    }
    if let Some(line) = pending.duration_line {
        place.breaks(&rules::EXTINF_MISSING, Some(line), "an EXTINF without a segment behind it");
    }
    list.open_parts = std::mem::take(&mut pending.segment.parts);
    if list.skipped > 0 && !is_delta {
        place.breaks(&rules::SKIP_UNASKED, None, format!("{} segments are left out", list.skipped));
    }
    if let (Some(line), false) = (pending.date_range, list.segments.iter().any(|segment| segment.date.is_some())) {
        place.breaks(&rules::DATE_RANGE_TIME, Some(line), "there is no EXT-X-PROGRAM-DATE-TIME");
    }
    // For single pictures 5 is enough.
    if pending.has_map && !list.is_iframes {
        pending.needs = pending.needs.max((6, "EXT-X-MAP"));
    }
    if list.version < pending.needs.0 {
        let (needed, why) = pending.needs;
        place.breaks(
            &rules::VERSION,
            None,
            format!("{why} needs version {needed}, the playlist says {}", list.version),
        );
    }
    head::check(&list, place);
    list
}

fn segment(list: &mut MediaList, pending: &mut Pending, line: usize, uri: &str, place: &mut Place<'_>) {
    if pending.duration_line.take().is_none() {
        place.breaks(&rules::EXTINF_MISSING, Some(line), format!("`{}` has none", quote(uri)));
    }
    let number = list.first_number + list.skipped + list.segments.len() as u64;
    let (init, is_encrypted) = (pending.init.clone(), pending.is_encrypted);
    let mut segment =
        Listed { number, line, uri: uri.to_owned(), init, is_encrypted, ..std::mem::take(&mut pending.segment) };
    // A range that says nothing of its begin follows the one before in the same resource.
    if let Some((from, length)) = segment.range.filter(|(from, _)| *from == u64::MAX) {
        let before = list.segments.last().filter(|last| last.uri == segment.uri).and_then(|last| last.range);
        segment.range = before.map(|(at, long)| (at.saturating_add(long), length));
        if segment.range.is_none() {
            place.breaks(&rules::VALUE, Some(line), format!("a range of {length} bytes ({from}) that follows nothing"));
        }
    }
    list.segments.push(segment);
}

fn tag(list: &mut MediaList, pending: &mut Pending, line: usize, (name, value): (&str, &str), place: &mut Place<'_>) {
    let needs = |pending: &mut Pending, version, why| pending.needs = pending.needs.max((version, why));
    let whole = |place: &mut Place<'_>| {
        let read = integer(value);
        if read.is_none() {
            place.breaks(&rules::VALUE, Some(line), format!("#EXT{name}:{} is no whole number", quote(value)));
        }
        read
    };
    match name {
        "-X-VERSION" => list.version = whole(place).unwrap_or(1),
        "-X-TARGETDURATION" => list.target_s = whole(place),
        "-X-MEDIA-SEQUENCE" => {
            if !list.segments.is_empty() || list.skipped > 0 {
                place.breaks(&rules::SEQUENCE_PLACE, Some(line), "it stands behind a segment");
            }
            list.first_number = whole(place).unwrap_or(0);
        }
        "-X-DISCONTINUITY-SEQUENCE" => {
            if !list.segments.is_empty() || pending.discontinuities > 0 {
                place.breaks(&rules::DISCONTINUITY_PLACE, Some(line), "it stands behind a segment or a discontinuity");
            }
            list.discontinuity_sequence = whole(place).unwrap_or(0);
        }
        "-X-ENDLIST" => list.has_ended = true,
        "-X-PLAYLIST-TYPE" => match value {
            "VOD" => list.promise = Some(Promise::Vod),
            "EVENT" => list.promise = Some(Promise::Event),
            other => place.breaks(&rules::VALUE, Some(line), format!("EXT-X-PLAYLIST-TYPE is `{}`", quote(other))),
        },
        "-X-I-FRAMES-ONLY" => {
            list.is_iframes = true;
            needs(pending, 4, "EXT-X-I-FRAMES-ONLY");
        }
        "-X-INDEPENDENT-SEGMENTS" => list.is_independent = true,
        "-X-PART-INF" => {
            let attributes = Attributes::noted(value, line, place);
            attributes.require(name, &["PART-TARGET"], line, place);
            list.part_target_s = attributes.decimal("PART-TARGET");
        }
        "-X-SERVER-CONTROL" => {
            let attributes = Attributes::noted(value, line, place);
            list.control = Some(Control {
                can_block: attributes.word("CAN-BLOCK-RELOAD") == Some("YES"),
                skip_until_s: attributes.decimal("CAN-SKIP-UNTIL"),
                hold_back_s: attributes.decimal("HOLD-BACK"),
                part_hold_back_s: attributes.decimal("PART-HOLD-BACK"),
            });
        }
        "-X-SKIP" => {
            needs(pending, 9, "EXT-X-SKIP");
            let attributes = Attributes::noted(value, line, place);
            attributes.require(name, &["SKIPPED-SEGMENTS"], line, place);
            list.skipped = attributes.integer("SKIPPED-SEGMENTS").unwrap_or(0);
        }
        "-X-DEFINE" => needs(pending, 8, "EXT-X-DEFINE"),
        "-X-PRELOAD-HINT" => {
            let attributes = Attributes::noted(value, line, place);
            attributes.require(name, &["TYPE", "\"URI\""], line, place);
            if attributes.word("TYPE") == Some("PART") {
                list.hint = attributes.quoted("URI").map(str::to_owned);
            }
        }
        "-X-RENDITION-REPORT" => {
            let attributes = Attributes::noted(value, line, place);
            attributes.require(name, &["\"URI\"", "LAST-MSN"], line, place);
            list.reports += 1;
        }
        "-X-DATERANGE" => {
            let attributes = Attributes::noted(value, line, place);
            attributes.require(name, &["\"ID\""], line, place);
            pending.date_range.get_or_insert(line);
        }
        _ => of_segment(pending, line, (name, value), place),
    }
}

/// Tags that are about the next segment, or about all from here on.
fn of_segment(pending: &mut Pending, line: usize, (name, value): (&str, &str), place: &mut Place<'_>) {
    let needs = |pending: &mut Pending, version, why| pending.needs = pending.needs.max((version, why));
    match name {
        "INF" => {
            let (duration, _) = value.split_once(',').unwrap_or((value, ""));
            match decimal(duration) {
                Some(duration_s) => pending.segment.duration_s = duration_s,
                None => place.breaks(&rules::VALUE, Some(line), format!("EXTINF of `{}`", quote(duration))),
            }
            if duration.contains('.') {
                needs(pending, 3, "a duration with a fraction");
            }
            if pending.duration_line.replace(line).is_some() {
                place.breaks(&rules::EXTINF_MISSING, Some(line), "two EXTINF and one segment");
            }
        }
        "-X-BYTERANGE" => {
            needs(pending, 4, "EXT-X-BYTERANGE");
            pending.segment.range = range(value);
            if pending.segment.range.is_none() {
                place.breaks(&rules::VALUE, Some(line), format!("EXT-X-BYTERANGE of `{}`", quote(value)));
            }
        }
        "-X-DISCONTINUITY" => {
            pending.segment.is_discontinuity = true;
            pending.discontinuities += 1;
        }
        "-X-GAP" => pending.segment.is_gap = true,
        "-X-PROGRAM-DATE-TIME" => {
            if !is_date(value) {
                place.breaks(&rules::VALUE, Some(line), format!("EXT-X-PROGRAM-DATE-TIME of `{}`", quote(value)));
            }
            pending.segment.date = Some(value.to_owned());
        }
        "-X-KEY" => {
            let attributes = Attributes::noted(value, line, place);
            if attributes.require(name, &["METHOD"], line, place) {
                pending.is_encrypted = attributes.word("METHOD") != Some("NONE");
                if pending.is_encrypted {
                    attributes.require(name, &["\"URI\""], line, place);
                }
                if attributes.word("IV").is_some() {
                    needs(pending, 2, "the IV of EXT-X-KEY");
                }
                if attributes.quoted("KEYFORMAT").is_some() || attributes.word("METHOD") == Some("SAMPLE-AES") {
                    needs(pending, 5, "KEYFORMAT or SAMPLE-AES");
                }
            }
        }
        "-X-MAP" => {
            needs(pending, 5, "EXT-X-MAP");
            pending.has_map = true;
            let attributes = Attributes::noted(value, line, place);
            attributes.require(name, &["\"URI\""], line, place);
            let whole =
                attributes.quoted("BYTERANGE").map(|text| range(text).map(|(from, length)| (from % u64::MAX, length)));
            if whole == Some(None) {
                place.breaks(&rules::VALUE, Some(line), "the BYTERANGE of EXT-X-MAP");
            }
            pending.init = attributes.quoted("URI").map(|uri| (uri.to_owned(), whole.flatten()));
        }
        "-X-PART" => {
            let attributes = Attributes::noted(value, line, place);
            if attributes.require(name, &["\"URI\"", "DURATION"], line, place) {
                pending.segment.parts.push(ListedPart {
                    line,
                    uri: attributes.quoted("URI").unwrap_or_default().to_owned(),
                    duration_s: attributes.decimal("DURATION").unwrap_or(0.0),
                    range: attributes.quoted("BYTERANGE").and_then(range),
                    is_independent: attributes.word("INDEPENDENT") == Some("YES"),
                    is_gap: attributes.word("GAP") == Some("YES"),
                    is_encrypted: pending.is_encrypted,
                });
            }
        }
        // What is not known is passed over (HLS 6.3.1).
        _ => {}
    }
}

/// `n[@o]`; without `o` the first octet is `u64::MAX`.
fn range(text: &str) -> Option<(u64, u64)> {
    let (length, from) = text.split_once('@').map_or((text, None), |(length, from)| (length, Some(from)));
    let length = integer(length).filter(|length| *length > 0)?;
    Some((from.map_or(Some(u64::MAX), integer)?, length))
}

/// Whether it is a date, a time and a zone (ISO 8601), as the clause has its example.
fn is_date(text: &str) -> bool {
    let digits = |from: usize, to: usize| {
        text.get(from..to).is_some_and(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let signs = [(4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":")];
    let fields = [(0, 4), (5, 7), (8, 10), (11, 13), (14, 16), (17, 19)];
    let zone =
        text.get(19..).map(|rest| rest.trim_start_matches(|letter: char| letter == '.' || letter.is_ascii_digit()));
    signs.iter().all(|(at, sign)| text.get(*at..*at + 1) == Some(*sign))
        && fields.iter().all(|(from, to)| digits(*from, *to))
        && zone.is_some_and(|zone| zone == "Z" || (zone.len() >= 3 && zone.starts_with(['+', '-'])))
}

// === impl MediaList ===

impl MediaList {
    /// How long what it lists is, seconds.
    #[must_use]
    pub fn length_s(&self) -> f64 {
        let open: f64 = self.open_parts.iter().map(|part| part.duration_s).sum();
        self.segments.iter().map(|segment| segment.duration_s).sum::<f64>() + open
    }

    /// Number of the next segment that is not whole yet.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.first_number + self.skipped + self.segments.len() as u64
    }

    /// The segment of this number.
    #[must_use]
    pub fn numbered(&self, number: u64) -> Option<&Listed> {
        let at = number.checked_sub(self.first_number + self.skipped)?;
        self.segments.get(usize::try_from(at).ok()?)
    }
}
