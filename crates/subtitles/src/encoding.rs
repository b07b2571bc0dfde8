//! Which characters the bytes are.
//!
//! Byte order marks, then UTF-8; UTF-16 without a mark is known by its zeros. What is none of these is taken for
//! Windows-1252, the commonest of the old code pages, and that is said in a warning: nothing in such a file tells which
//! page it is. XML says its encoding, and WebVTT is UTF-8 by definition, so they are not guessed at.

use std::borrow::Cow;

use crate::SubtitleError;

/// How far into an XML file its declaration may reach, bytes.
const DECLARATION_MAX_BYTES: usize = 200;

/// Bytes 0x80 to 0x9F of Windows-1252 (WHATWG Encoding, index windows-1252); the others are Latin-1.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’',
    '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// Characters, without byte order mark, with `\n` between lines, and without NUL (both as WebVTT section 6.1 has it).
pub struct Decoded<'a> {
    pub text: Cow<'a, str>,
    /// What the sender should know.
    pub note: Option<&'static str>,
}

/// Reads the bytes.
pub fn decode(bytes: &[u8]) -> Result<Decoded<'_>, SubtitleError> {
    let (text, note) = characters(bytes)?;
    Ok(Decoded { text: with_plain_lines(text), note })
}

fn characters(bytes: &[u8]) -> Result<(Cow<'_, str>, Option<&'static str>), SubtitleError> {
    const REPLACED: &str = "some bytes are not UTF-8, and were replaced";
    const UNMARKED: &str = "taken for UTF-16, though it has no byte order mark";
    match bytes {
        [0xEF, 0xBB, 0xBF, rest @ ..] => Ok(match std::str::from_utf8(rest) {
            Ok(text) => (text.into(), None),
            Err(_) => (String::from_utf8_lossy(rest), Some(REPLACED)),
        }),
        [0xFF, 0xFE, rest @ ..] => Ok((utf_16(rest, u16::from_le_bytes)?.into(), None)),
        [0xFE, 0xFF, rest @ ..] => Ok((utf_16(rest, u16::from_be_bytes)?.into(), None)),
        [1..=0xFF, 0, ..] => Ok((utf_16(bytes, u16::from_le_bytes)?.into(), Some(UNMARKED))),
        [0, 1..=0xFF, ..] => Ok((utf_16(bytes, u16::from_be_bytes)?.into(), Some(UNMARKED))),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => Ok((text.into(), None)),
            Err(_) if bytes.starts_with(b"WEBVTT") => Ok((String::from_utf8_lossy(bytes), Some(REPLACED))),
            Err(_) if bytes.trim_ascii_start().starts_with(b"<") => declared(bytes).map(|text| (text.into(), None)),
            Err(_) => Ok((
                windows_1252(bytes).into(),
                Some("not UTF-8: taken for Windows-1252; look at letters with accents"),
            )),
        },
    }
}

/// XML that is not UTF-8, by its own declaration.
fn declared(bytes: &[u8]) -> Result<String, SubtitleError> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(DECLARATION_MAX_BYTES)]).to_ascii_lowercase();
    let declaration = head.split_once("?>").map_or("", |(declaration, _)| declaration);
    let value = declaration.split_once("encoding").map_or("", |(_, value)| value);
    let name = value.split(['"', '\'']).nth(1).unwrap_or("utf-8");
    match name {
        "windows-1252" | "iso-8859-1" | "latin1" | "us-ascii" => Ok(windows_1252(bytes)),
        "utf-8" => Err(SubtitleError::Encoding { reason: "XML that should be UTF-8 and is not" }),
        _ => Err(SubtitleError::Encoding { reason: "XML in an encoding that is not read" }),
    }
}

fn windows_1252(bytes: &[u8]) -> String {
    let character = |&byte: &u8| match byte {
        0x80..=0x9F => WINDOWS_1252[usize::from(byte - 0x80)],
        _ => char::from(byte),
    };
    bytes.iter().map(character).collect()
}

fn utf_16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, SubtitleError> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(SubtitleError::Encoding { reason: "UTF-16 with half a character at its end" });
    }
    let units = pairs.iter().map(|&pair| unit(pair));
    Ok(char::decode_utf16(units).map(|read| read.unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
}

fn with_plain_lines(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.contains(['\r', '\0']) {
        return text;
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    while let Some((before, behind)) = rest.split_once(['\r', '\0']) {
        plain.push_str(before);
        let is_return = rest.as_bytes()[before.len()] == b'\r';
        plain.push(if is_return { '\n' } else { char::REPLACEMENT_CHARACTER });
        rest = if is_return { behind.strip_prefix('\n').unwrap_or(behind) } else { behind };
    }
    plain.push_str(rest);
    plain.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> (String, bool) {
        let decoded = decode(bytes).unwrap();
        (decoded.text.into_owned(), decoded.note.is_some())
    }

    #[test]
    fn each_encoding_is_known_by_its_bytes() {
        assert_eq!(read("\u{FEFF}é\r\n".as_bytes()), ("é\n".to_owned(), false));
        assert_eq!(read(b"\xFF\xFE1\0\xE9\0"), ("1é".to_owned(), false));
        assert_eq!(read(b"\xFE\xFF\x001\x00\xE9"), ("1é".to_owned(), false));
        assert_eq!(read(b"1\0\xE9\0"), ("1é".to_owned(), true));
        assert_eq!(read(b"\x001\x00\xE9"), ("1é".to_owned(), true));
        assert_eq!(read(b"na\xEFve \x93\x80\x94"), ("naïve “€”".to_owned(), true));
        assert_eq!(read(b"WEBVTT \xEF"), ("WEBVTT \u{FFFD}".to_owned(), true));
        assert_eq!(read(b"ab\0\rc"), ("ab\u{FFFD}\nc".to_owned(), false));
        assert_eq!(read(b"\r\r\n\n\0\na\r"), ("\n\n\n\u{FFFD}\na\n".to_owned(), false));
        assert_eq!(
            read(b"<?xml version='1.0' encoding='ISO-8859-1'?>\xE9").0,
            "<?xml version='1.0' encoding='ISO-8859-1'?>é"
        );
        for wrong in [&b"<tt>\xE9</tt>"[..], b"<?xml version='1.0' encoding='koi8-r'?>\xE9", b"\xFF\xFEa"] {
            assert!(matches!(decode(wrong), Err(SubtitleError::Encoding { .. })), "{wrong:?}");
        }
    }
}
