//! The names in public URLs, and the keys of what they stand for.
//!
//! A name is exactly what the platform itself writes, or it names nothing: one resource has one URL, and no
//! request reaches an object that is not part of a track.

use std::fmt;

use uuid::Uuid;

/// Characters of a version.
const VERSION_LENGTH: usize = 12;
/// The most characters of a track's name.
const TRACK_LENGTH_MAX: usize = 128;

/// A name that names nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoSuchName {
    /// What it should have been: `asset`, `version`, `track`, `file`.
    pub what: &'static str,
    /// The name.
    pub name: String,
}

/// One track of one version of an asset.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TrackName {
    /// The asset.
    pub asset: Uuid,
    /// The version: 12 lower-case hex digits.
    pub version: String,
    /// The track: lower-case letters, digits, `-`, `_`.
    pub track: String,
}

/// Names a key and its use, in the name of a version that is encrypted with it: 8 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SealTag(pub u32);

/// Reads the name of a version in URLs: `0123456789ab`, or `0123456789ab-01234567` of one that is encrypted.
///
/// # Errors
/// [`NoSuchName`] if what follows the hyphen is no tag; of what is in front of it, [`TrackName::parse`] judges.
pub fn sealed(version: &str) -> Result<(&str, Option<SealTag>), NoSuchName> {
    let Some((plain, digits)) = version.split_once('-') else { return Ok((version, None)) };
    let is_tag = digits.len() == 8 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let tag = is_tag.then(|| u32::from_str_radix(digits, 16).ok()).flatten();
    let tag = tag.ok_or_else(|| NoSuchName { what: "version", name: version.to_owned() })?;
    Ok((plain, Some(SealTag(tag))))
}

/// Reads an asset's identifier in its one public form: lower case, with hyphens.
///
/// # Errors
/// [`NoSuchName`] for every other form.
pub fn asset(name: &str) -> Result<Uuid, NoSuchName> {
    let mut canonical = [0; uuid::fmt::Hyphenated::LENGTH];
    match Uuid::parse_str(name) {
        Ok(id) if id.hyphenated().encode_lower(&mut canonical) == name => Ok(id),
        Ok(_) | Err(_) => Err(NoSuchName { what: "asset", name: name.to_owned() }),
    }
}

/// A file below a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum File {
    /// `init.mp4`, `init-1.mp4`: the init segment of this number, from 0.
    Init(u32),
    /// `17.m4s`: a segment.
    Segment(u64),
    /// `17.3.m4s`: a part of a live segment.
    Part(u64, u64),
    /// `17.ts`: a segment as a transport stream.
    Ts(u64),
    /// `i17.m4s`: an I-frame.
    Keyframe(u64),
}

/// Reads the name of a file below a track; no sign, no leading zero.
///
/// # Errors
/// [`NoSuchName`] for every other form.
pub fn file(name: &str) -> Result<File, NoSuchName> {
    let init = |number: u64| u32::try_from(number).ok().filter(|number| *number > 0).map(File::Init);
    let found = match name.rsplit_once('.') {
        Some(("init", "mp4")) => Some(File::Init(0)),
        Some((stem, "mp4")) => stem.strip_prefix("init-").and_then(number).and_then(init),
        Some((stem, "ts")) => number(stem).map(File::Ts),
        Some((stem, "m4s")) => match (stem.strip_prefix('i'), stem.split_once('.')) {
            (Some(digits), _) => number(digits).map(File::Keyframe),
            (None, Some((segment, part))) => {
                number(segment).zip(number(part)).map(|(segment, part)| File::Part(segment, part))
            }
            (None, None) => number(stem).map(File::Segment),
        },
        Some(_) | None => None,
    };
    found.ok_or_else(|| NoSuchName { what: "file", name: name.to_owned() })
}

/// Reads the name of a sheet of thumbnails, `3.jpg`; no sign, no leading zero.
///
/// # Errors
/// [`NoSuchName`] for every other form.
pub fn sheet(name: &str) -> Result<u32, NoSuchName> {
    let found = name.strip_suffix(".jpg").and_then(number).and_then(|number| u32::try_from(number).ok());
    found.ok_or_else(|| NoSuchName { what: "sheet", name: name.to_owned() })
}

/// URI of the I-frame `number`, from 0, beside its playlist.
#[must_use]
pub fn keyframe_uri(number: usize) -> String {
    format!("i{number}.m4s")
}

/// A decimal number without sign or leading zero.
pub(crate) fn number(digits: &str) -> Option<u64> {
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    is_plain.then(|| digits.parse().ok()).flatten()
}

// === impl TrackName ===

impl TrackName {
    /// Reads the first three parts of a media URL's path.
    ///
    /// # Errors
    /// [`NoSuchName`] for the first part that is not of the one form.
    pub fn parse(asset_name: &str, version: &str, track: &str) -> Result<Self, NoSuchName> {
        let asset = asset(asset_name)?;
        let is_hex = version.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if version.len() != VERSION_LENGTH || !is_hex {
            return Err(NoSuchName { what: "version", name: version.to_owned() });
        }
        let is_plain = track.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'-' | b'_'));
        if track.is_empty() || track.len() > TRACK_LENGTH_MAX || !is_plain {
            return Err(NoSuchName { what: "track", name: track.to_owned() });
        }
        Ok(Self { asset, version: version.to_owned(), track: track.to_owned() })
    }

    /// Key of the track's object.
    #[must_use]
    pub fn object_key(&self, tenant: &str) -> String {
        format!("{tenant}/media/{self}.mp4")
    }

    /// Key of a sheet of thumbnails, which lie as a track would.
    #[must_use]
    pub fn sheet_key(&self, tenant: &str, number: u32) -> String {
        format!("{tenant}/media/{self}/{number}.jpg")
    }

    /// Key of the track's index.
    #[must_use]
    pub fn index_key(&self, tenant: &str) -> String {
        format!("{tenant}/media/{self}.index.json")
    }
}

impl fmt::Display for SealTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Display for TrackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.asset, self.version, self.track)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ASSET: &str = "0197a1b2-0000-7000-8000-000000000001";

    #[test]
    fn one_resource_has_one_name() {
        assert!(asset(ASSET).is_ok());
        for other in [ASSET.to_uppercase(), ASSET.replace('-', ""), format!("{{{ASSET}}}"), format!("urn:uuid:{ASSET}")]
        {
            assert!(asset(&other).is_err(), "{other}");
        }
        for (name, expected) in [
            ("0.m4s", File::Segment(0)),
            ("17.m4s", File::Segment(17)),
            ("0.0.m4s", File::Part(0, 0)),
            ("17.3.m4s", File::Part(17, 3)),
            ("init.mp4", File::Init(0)),
            ("init-2.mp4", File::Init(2)),
            ("17.ts", File::Ts(17)),
            (&keyframe_uri(3), File::Keyframe(3)),
        ] {
            assert_eq!(file(name), Ok(expected), "{name}");
        }
        for other in ["17..m4s", ".3.m4s", "01.3.m4s", "1.03.m4s", "1.2.3.m4s", "1.+3.m4s", "init-0.mp4", "init-01.mp4"]
        {
            assert!(file(other).is_err(), "{other}");
        }
        for other in
            ["init-.mp4", "init-1.m4s", "init-4294967296.mp4", "", ".m4s", "00.m4s", "01.m4s", "+1.m4s", "-1.m4s"]
        {
            assert!(file(other).is_err(), "{other}");
        }
        for other in ["1.mp4", "1.m4s ", "99999999999999999999.m4s", "i.m4s", "i01.m4s", "i1.2.m4s", "1.3.ts", "i1.ts"]
        {
            assert!(file(other).is_err(), "{other}");
        }
    }

    #[test]
    fn a_track_has_its_keys() {
        let name = TrackName::parse(ASSET, "0123456789ab", "v720").unwrap();
        assert_eq!(name.object_key("default"), format!("default/media/{ASSET}/0123456789ab/v720.mp4"));
        assert_eq!(name.index_key("default"), format!("default/media/{ASSET}/0123456789ab/v720.index.json"));
        for version in ["0123456789AB", "0123456789a", "0123456789abc", "../../../abc"] {
            assert_eq!(TrackName::parse(ASSET, version, "v720").unwrap_err().what, "version");
        }
        for track in ["", "..", "V720", "v720.index", "a/b", "é"] {
            assert_eq!(TrackName::parse(ASSET, "0123456789ab", track).unwrap_err().what, "track");
        }
    }

    #[test]
    fn a_sealed_version_has_one_name() {
        assert_eq!(sealed("0123456789ab"), Ok(("0123456789ab", None)));
        let tag = SealTag(0x0012_abcd);
        assert_eq!(sealed(&format!("0123456789ab-{tag}")), Ok(("0123456789ab", Some(tag))));
        for other in ["a-", "a-0012ABCD", "a-+012abcd", "a-12abcd", "a-00012abcd", "a-0012abcd-0", "a--012abcd"] {
            assert_eq!(sealed(other).unwrap_err().what, "version", "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_name_leaves_its_folder(version in ".{0,14}", track in ".{0,10}") {
            if let Ok(name) = TrackName::parse(ASSET, &version, &track) {
                let key = name.object_key("t");
                prop_assert_eq!(key.split('/').count(), 5);
                prop_assert!(!key.contains(".."));
            }
        }
    }
}
