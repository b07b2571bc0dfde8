//! A multivariant playlist, read strictly: what can be chosen, and whether what it says of that fits together (HLS 4.4.6).

use super::lines::{self, Attributes, Line};
use super::{Place, quote, rules};

/// A multivariant playlist.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Multivariant {
    /// What can be chosen between, as listed.
    pub variants: Vec<Variant>,
    /// Renditions that stand apart.
    pub renditions: Vec<Rendition>,
    /// Playlists of single pictures.
    pub iframes: Vec<String>,
    /// It says so of all segments.
    pub is_independent: bool,
}

/// A variant.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Variant {
    /// Its line.
    pub line: usize,
    /// Where it is.
    pub uri: String,
    /// `BANDWIDTH`, bits a second.
    pub bandwidth_bps: u64,
    /// `CODECS`, one by one.
    pub codecs: Vec<String>,
    /// `RESOLUTION`, pixels.
    pub resolution: Option<(u64, u64)>,
    /// Groups of its sound, pictures and subtitles.
    pub groups: Vec<(&'static str, String)>,
}

/// A rendition.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rendition {
    /// Its line.
    pub line: usize,
    /// `AUDIO`, `VIDEO`, `SUBTITLES`, `CLOSED-CAPTIONS`.
    pub kind: String,
    /// Its group.
    pub group: String,
    /// Where it is, if it stands apart.
    pub uri: Option<String>,
    name: String,
    is_default: bool,
}

/// Attributes of a variant that name a group.
const GROUPS: [&str; 4] = ["AUDIO", "VIDEO", "SUBTITLES", "CLOSED-CAPTIONS"];
/// How codecs of pictures begin.
const PICTURES: [&str; 8] = ["avc", "hvc", "hev", "av01", "vp0", "dvh", "vvc", "mp4v"];

/// Reads a playlist, and notes what it breaks.
pub fn read(text: &str, place: &mut Place<'_>) -> Multivariant {
    let (mut read, mut pending) = (Multivariant::default(), None::<Variant>);
    for (number, line) in lines::of(text, place) {
        if let (Some(variant), false) = (&pending, matches!(line, Line::Uri(_))) {
            place.breaks(&rules::VARIANT_URI, Some(variant.line), "there is none on the next line");
            pending = None;
        }
        match line {
            Line::Uri(uri) => match pending.take() {
                Some(variant) => read.variants.push(Variant { uri: uri.to_owned(), ..variant }),
                None => place.breaks(&rules::KIND, Some(number), format!("`{}` without EXT-X-STREAM-INF", quote(uri))),
            },
            Line::Tag("-X-STREAM-INF", value) => pending = Some(variant(value, number, place)),
            Line::Tag("-X-I-FRAME-STREAM-INF", value) => {
                let attributes = Attributes::noted(value, number, place);
                attributes.require("-X-I-FRAME-STREAM-INF", &["BANDWIDTH", "\"URI\""], number, place);
                read.iframes.extend(attributes.quoted("URI").map(str::to_owned));
            }
            Line::Tag("-X-MEDIA", value) => read.renditions.push(rendition(value, number, place)),
            Line::Tag("-X-INDEPENDENT-SEGMENTS", _) => read.is_independent = true,
            Line::Tag(name @ ("INF" | "-X-TARGETDURATION" | "-X-MEDIA-SEQUENCE" | "-X-PART" | "-X-ENDLIST"), _) => {
                place.breaks(&rules::KIND, Some(number), format!("#EXT{name} in a multivariant playlist"));
            }
            Line::Tag(..) => {}
        }
    }
    if let Some(variant) = pending {
        place.breaks(&rules::VARIANT_URI, Some(variant.line), "the playlist ends behind it");
    }
    groups(&read, place);
    read
}

fn variant(value: &str, line: usize, place: &mut Place<'_>) -> Variant {
    let attributes = Attributes::noted(value, line, place);
    attributes.require("-X-STREAM-INF", &["BANDWIDTH"], line, place);
    let bandwidth_bps = attributes.integer("BANDWIDTH").unwrap_or(0);
    if attributes.word("BANDWIDTH").is_some() && bandwidth_bps == 0 {
        place.breaks(&rules::VALUE, Some(line), "BANDWIDTH is no number of bits above 0");
    }
    let codecs: Vec<String> =
        attributes.quoted("CODECS").unwrap_or_default().split(',').map(|codec| codec.trim().to_owned()).collect();
    let codecs: Vec<String> = codecs.into_iter().filter(|codec| !codec.is_empty()).collect();
    if codecs.is_empty() {
        place.breaks(&rules::CODECS_MISSING, Some(line), "there are none");
    }
    let resolution = attributes.word("RESOLUTION").map(|text| {
        let (width, height) = text.split_once('x')?;
        Some((lines::integer(width)?, lines::integer(height)?))
    });
    match resolution {
        Some(None) => place.breaks(&rules::VALUE, Some(line), "RESOLUTION is no width x height"),
        None if codecs.iter().any(|codec| PICTURES.iter().any(|start| codec.starts_with(start))) => {
            place.breaks(&rules::RESOLUTION_MISSING, Some(line), "there is none");
        }
        Some(Some(_)) | None => {}
    }
    let named = GROUPS.into_iter().filter_map(|kind| Some((kind, attributes.quoted(kind)?.to_owned())));
    let groups = named.collect();
    Variant { line, uri: String::new(), bandwidth_bps, codecs, resolution: resolution.flatten(), groups }
}

fn rendition(value: &str, line: usize, place: &mut Place<'_>) -> Rendition {
    let attributes = Attributes::noted(value, line, place);
    attributes.require("-X-MEDIA", &["TYPE", "\"GROUP-ID\"", "\"NAME\""], line, place);
    let uri = attributes.quoted("URI").map(str::to_owned);
    let kind = attributes.word("TYPE").unwrap_or_default();
    match kind {
        "SUBTITLES" if uri.is_none() => place.breaks(&rules::RENDITION_URI, Some(line), "subtitles without a URI"),
        "CLOSED-CAPTIONS" if uri.is_some() || attributes.quoted("INSTREAM-ID").is_none() => {
            place.breaks(&rules::RENDITION_URI, Some(line), "closed captions with a URI, or without INSTREAM-ID");
        }
        _ => {}
    }
    let is_default = attributes.word("DEFAULT") == Some("YES");
    if is_default && attributes.word("AUTOSELECT") == Some("NO") {
        place.breaks(&rules::DEFAULT_AUTOSELECT, Some(line), "DEFAULT=YES and AUTOSELECT=NO");
    }
    Rendition {
        line,
        kind: kind.to_owned(),
        group: attributes.quoted("GROUP-ID").unwrap_or_default().to_owned(),
        uri,
        name: attributes.quoted("NAME").unwrap_or_default().to_owned(),
        is_default,
    }
}

fn groups(read: &Multivariant, place: &mut Place<'_>) {
    for variant in &read.variants {
        for (kind, group) in &variant.groups {
            if !read.renditions.iter().any(|rendition| rendition.kind == *kind && rendition.group == *group) {
                place.breaks(&rules::GROUP, Some(variant.line), format!("there is no {kind} group `{}`", quote(group)));
            }
        }
    }
    for (at, rendition) in read.renditions.iter().enumerate() {
        let others = &read.renditions[..at];
        let same = |other: &&Rendition| other.kind == rendition.kind && other.group == rendition.group;
        if others.iter().filter(same).any(|other| other.name == rendition.name) {
            let found = format!("two members are called `{}`", quote(&rendition.name));
            place.breaks(&rules::GROUP_NAMES, Some(rendition.line), found);
        }
        if rendition.is_default && others.iter().filter(same).any(|other| other.is_default) {
            place.breaks(&rules::GROUP_NAMES, Some(rendition.line), "a second member is the default");
        }
    }
}
