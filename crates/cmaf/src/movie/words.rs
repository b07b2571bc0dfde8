//! What a movie says of its sounds in words: the language (`mdhd`, `elng`), `kind` boxes (ISO/IEC 14496-12 section 8.10.4) and
//! QuickTime's `name` in the user data. Nothing here decides what a player makes of it.

use bytes::Bytes;

use super::atoms::{Atoms, array_at, find, u16_at};

/// The scheme of DASH's roles (ISO/IEC 23009-1 section 5.8.5.5).
const ROLE_SCHEME: &[u8] = b"urn:mpeg:dash:role:2011";
/// The most roles of a track that are kept.
const ROLES_MAX: usize = 8;
/// The longest role and title that are kept, bytes.
const ROLE_MAX_BYTES: usize = 64;
const TITLE_MAX_BYTES: usize = 400;

/// What is said of a track in words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SoundWords {
    /// Language as the file has it: BCP 47 (`de-CH`) or ISO 639-2 (`deu`).
    pub language: Option<String>,
    /// What it is for, as values of DASH's role scheme: `main`, `commentary`, `description`.
    pub roles: Vec<String>,
    /// Its title for people.
    pub title: Option<String>,
}

/// What a movie says of each of its tracks of sound, in the order of the file, also of those that cannot be played. `moov`
/// is the whole box with its header; of one that is damaged, what can be read.
#[must_use]
pub fn sound_words(moov: &Bytes) -> Vec<SoundWords> {
    let body = Atoms::of(moov).next().filter(|atom| &atom.kind == b"moov").map(|atom| atom.body).unwrap_or_default();
    let traks = Atoms::of(&body).filter(|atom| &atom.kind == b"trak").take(super::TRACKS_MAX);
    traks.filter(|trak| is_sound(&trak.body)).map(|trak| SoundWords::of(&trak.body)).collect()
}

// === impl SoundWords ===

impl SoundWords {
    pub(crate) fn of(trak: &Bytes) -> Self {
        let mdia = find(trak, b"mdia").unwrap_or_default();
        let packed = || find(&mdia, b"mdhd").and_then(|mdhd| packed_language(&mdhd));
        let language =
            extended_language(&mdia).or_else(|| packed().map(|letters| letters.into_iter().map(char::from).collect()));
        let Some(udta) = find(trak, b"udta") else { return Self { language, ..Self::default() } };
        let kinds = Atoms::of(&udta).filter(|atom| &atom.kind == b"kind");
        let roles = kinds.filter_map(|kind| role(&kind.body)).take(ROLES_MAX).collect();
        let title = find(&udta, b"name").filter(|name| name.len() <= TITLE_MAX_BYTES);
        let title = title.and_then(|name| String::from_utf8(name.to_vec()).ok());
        let is_blank = |letter: char| letter == '\0' || letter.is_whitespace();
        let title = title.map(|title| title.trim_matches(is_blank).to_owned());
        let is_shown = |title: &String| !title.is_empty() && !title.contains(char::is_control);
        Self { language, roles, title: title.filter(is_shown) }
    }
}

/// Whether a `trak` is of sound.
pub(crate) fn is_sound(trak: &Bytes) -> bool {
    let hdlr = find(trak, b"mdia").and_then(|mdia| find(&mdia, b"hdlr"));
    hdlr.and_then(|hdlr| array_at(&hdlr, 8)).is_some_and(|handler: [u8; 4]| &handler == b"soun")
}

/// Version and flags, the scheme, its value; both end with a zero byte.
fn role(kind: &[u8]) -> Option<String> {
    let mut texts = kind.get(4..)?.split(|byte| *byte == 0);
    let (scheme, value) = (texts.next()?, texts.next()?);
    let is_word = (1..=ROLE_MAX_BYTES).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic);
    (scheme == ROLE_SCHEME && is_word).then(|| value.iter().copied().map(char::from).collect())
}

/// Three letters of five bits. Numbers below `0x400` are QuickTime's own, which writers leave at 0 whatever is spoken.
pub(crate) fn packed_language(mdhd: &Bytes) -> Option<[u8; 3]> {
    let packed = u16_at(mdhd, if *mdhd.first()? == 1 { 32 } else { 20 })?;
    let letters = [10, 5, 0].map(|shift| 0x60 + u8::try_from(packed >> shift & 0x1f).unwrap_or(0));
    (letters.iter().all(u8::is_ascii_lowercase) && &letters != b"und").then_some(letters)
}

/// `elng` (section 8.4.6).
fn extended_language(mdia: &Bytes) -> Option<String> {
    /// RFC 5646 section 4.4.1.
    const TAG_MAX_BYTES: usize = 35;
    let body = find(mdia, b"elng")?;
    let tag = body.get(4..)?.split(|byte| *byte == 0).next()?;
    let is_tag = !tag.is_empty()
        && tag.len() <= TAG_MAX_BYTES
        && tag.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
    is_tag.then(|| tag.iter().copied().map(char::from).collect()).filter(|tag| tag != "und")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let size = u32::try_from(body.len() + 8).unwrap();
        [size.to_be_bytes().as_slice(), kind, body].concat()
    }

    #[test]
    fn kinds_of_dash_and_the_name_are_read() {
        let kind = |text: &[u8]| boxed(b"kind", &[&[0; 4], text].concat());
        let udta = [
            kind(b"urn:mpeg:dash:role:2011\0commentary\0"),
            kind(b"about:html-kind\0descriptions\0"),
            kind(b"urn:mpeg:dash:role:2011"),
            kind(b"urn:mpeg:dash:role:2011\0\0"),
            boxed(b"name", "Kommentar der Regie".as_bytes()),
        ];
        let labels = SoundWords::of(&boxed(b"udta", &udta.concat()).into());
        assert_eq!(labels.roles, ["commentary"]);
        assert_eq!(labels.title.as_deref(), Some("Kommentar der Regie"));
    }

    #[test]
    fn what_is_no_text_is_no_title() {
        for name in [&b""[..], b"\0", b"\xff\xfe", b"a\nb", &[b'x'; 401]] {
            let labels = SoundWords::of(&boxed(b"udta", &boxed(b"name", name)).into());
            assert_eq!(labels, SoundWords::default(), "{name:?}");
        }
        assert_eq!(SoundWords::of(&Bytes::new()), SoundWords::default());
        assert_eq!(SoundWords::of(&boxed(b"udta", b"kind").into()), SoundWords::default());
    }
}
