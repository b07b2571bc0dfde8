//! What `hls_m3u8` has no words for: attributes behind those that it wrote, tags of our own, the version.
//!
//! A playlist is lines. A line that `hls_m3u8` writes can be given further attributes; a tag that it does not know is
//! written here as a whole. Texts that it has written are never searched or replaced.

use std::fmt::{Display, Write};

use crate::PlaylistError;

/// Tags of the whole playlist that `hls_m3u8` is asked to write.
const HEAD: [&str; 6] = [
    "#EXT-X-TARGETDURATION",
    "#EXT-X-MEDIA-SEQUENCE",
    "#EXT-X-DISCONTINUITY-SEQUENCE",
    "#EXT-X-PLAYLIST-TYPE",
    "#EXT-X-I-FRAMES-ONLY",
    "#EXT-X-INDEPENDENT-SEGMENTS",
];

/// A list of attributes (RFC 8216bis section 4.2): `NAME=value,NAME="value"`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attributes(String);

/// A value between quotes: no quotes and no line ends can stand in it, and there is no way to escape them.
pub(crate) struct Quoted<'a>(&'a str);

// === impl Attributes ===

impl Attributes {
    /// With one more, whose value is written as it is: a number, or a word of the draft.
    pub(crate) fn plain(mut self, name: &str, value: impl Display) -> Self {
        let comma = if self.0.is_empty() { "" } else { "," };
        write!(self.0, "{comma}{name}={value}").expect("a string takes everything");
        self
    }

    /// With one more, whose value stands between quotes.
    pub(crate) fn quoted(self, name: &str, value: &Quoted<'_>) -> Self {
        self.plain(name, format_args!("\"{}\"", value.0))
    }

    /// With one more, if there is a value.
    pub(crate) fn quoted_if(self, name: &str, value: Option<&Quoted<'_>>) -> Self {
        match value {
            Some(value) => self.quoted(name, value),
            None => self,
        }
    }

    /// The tag `name` with these.
    pub(crate) fn tag(&self, name: &str) -> String {
        format!("#{name}:{}", self.0)
    }

    /// `tag`, which `hls_m3u8` wrote, with these behind its own; a URI in a line below it stays there.
    pub(crate) fn behind(&self, tag: impl Display) -> String {
        let tag = tag.to_string();
        let (attributes, uri) = tag.split_once('\n').map_or((tag.as_str(), None), |(line, uri)| (line, Some(uri)));
        let comma = if self.0.is_empty() { "" } else { "," };
        let uri = uri.map_or_else(String::new, |uri| format!("\n{uri}"));
        format!("{attributes}{comma}{}{uri}", self.0)
    }
}

// === impl Quoted ===

impl<'a> Quoted<'a> {
    /// The value of `attribute`.
    ///
    /// # Errors
    /// [`PlaylistError::Attribute`] if it cannot stand between quotes.
    pub(crate) fn new(attribute: &'static str, value: &'a str) -> Result<Self, PlaylistError> {
        let is_sound = !value.is_empty() && !value.contains(|letter: char| letter == '"' || letter.is_control());
        if is_sound { Ok(Self(value)) } else { Err(PlaylistError::Attribute { attribute, value: value.to_owned() }) }
    }

    /// The value of `attribute`, which is an identifier: letters, digits, `+ / = . - _` (section 4.4.6.1, stable ids).
    ///
    /// # Errors
    /// [`PlaylistError::Attribute`] if it holds anything else.
    pub(crate) fn id(attribute: &'static str, value: &'a str) -> Result<Self, PlaylistError> {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=.-_".contains(&byte);
        if value.bytes().all(is_letter) {
            Self::new(attribute, value)
        } else {
            Err(PlaylistError::Attribute { attribute, value: value.to_owned() })
        }
    }
}

/// Bytes as a hexadecimal sequence (section 4.2): upper case only; `None` if there are none.
pub(crate) fn hexadecimal(bytes: &[u8]) -> Option<String> {
    let digits = bytes.iter().fold("0x".to_owned(), |mut text, byte| {
        write!(text, "{byte:02X}").expect("a string takes everything");
        text
    });
    (!bytes.is_empty()).then_some(digits)
}

/// `EXT-X-START` (section 4.4.2.2). `hls_m3u8` knows it, but in single precision: off by a frame after three hours.
pub(crate) fn start_tag(seconds: impl Display, is_precise: bool) -> String {
    let attributes = Attributes::default().plain("TIME-OFFSET", seconds);
    let attributes = if is_precise { attributes.plain("PRECISE", "YES") } else { attributes };
    attributes.tag("EXT-X-START")
}

/// `written`, a media playlist as `hls_m3u8` prints it, under a version of ours, with `lines` in front of its first segment.
///
/// `hls_m3u8` declares the least version that its tags need, or none: the two lines of its head are written anew.
pub(crate) fn under_version(version: u16, lines: &[String], written: &str) -> String {
    let mut rest =
        written.lines().skip_while(|line| *line == "#EXTM3U" || line.starts_with("#EXT-X-VERSION:")).peekable();
    let mut text = format!("#EXTM3U\n#EXT-X-VERSION:{version}\n");
    text.reserve(written.len() + 128 * lines.len());
    let mut push = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    while let Some(line) = rest.next_if(|line| is_of_head(line)) {
        push(line);
    }
    lines.iter().for_each(|line| push(line));
    rest.for_each(push);
    text
}

/// Whether a line speaks of the whole playlist, of those that `hls_m3u8` puts in front of the first segment.
fn is_of_head(line: &str) -> bool {
    let name = line.split(':').next().unwrap_or_default();
    HEAD.contains(&name)
}
