//! Object keys as paths in the folder: pure, total and reversible.
//!
//! A key is cut at every `/`; each piece becomes a file name that consists of letters, digits, `.`, `_`, `-`
//! and `%XX` only, and ends in a mark that no piece can contain:
//!
//! | mark | is |
//! | --- | --- |
//! | `=o` | an object's manifest, the last piece of a key |
//! | `=d` | a folder, any other piece |
//! | `=c` | a folder with the first [`CHUNK_BYTES`] bytes of a piece that is too long for one file name |
//!
//! So `a` and `a/b` live beside each other (`a=o`, `a=d/b=o`), `..` is the harmless name `..=d`, and an empty
//! piece (`a//b`) is `=d`. A piece of [`CHUNK_BYTES`] bytes or more always continues, also if nothing remains:
//! otherwise `c` and the longer `c…` would be neighbours whose ranges of keys overlap, and a listing could no
//! longer walk one folder after the other.
//!
//! The order of a listing is the byte order of the keys: entries of one folder are sorted by [`Entry::sort_key`],
//! and all keys below a folder begin with that folder's sort key.
//!
//! Never here: a look at the disk.

use std::path::PathBuf;

/// Bytes of a key held by one `=c` folder. Three times as long when every byte is escaped, plus the mark: 242,
/// below the 255 that Linux file systems allow.
pub(crate) const CHUNK_BYTES: usize = 80;

/// Longest key, as in S3. Escaped, it is the longest path below a bucket: about 3.1 KiB of the 4 KiB of a path.
pub(crate) const MAX_KEY_BYTES: usize = 1024;

/// One entry of a folder, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub kind: EntryKind,
    /// The piece of the key, without a slash.
    pub piece: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryKind {
    Object,
    Folder,
    Continued,
}

/// Why a key is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("the key is empty")]
    Empty,
    #[error("the key is longer than {MAX_KEY_BYTES} bytes")]
    TooLong,
    #[error("the key holds a character that XML cannot carry, so a listing could not name it")]
    Unlistable,
}

/// Refuses keys that the store could keep but not list (S3 answers are XML 1.0), and keys longer than S3's.
pub(crate) fn check(key: &str) -> Result<(), KeyError> {
    if key.is_empty() {
        return Err(KeyError::Empty);
    }
    if key.len() > MAX_KEY_BYTES {
        return Err(KeyError::TooLong);
    }
    let unlistable = |c: char| c.is_control() || c == '\u{fffe}' || c == '\u{ffff}';
    if key.chars().any(unlistable) {
        return Err(KeyError::Unlistable);
    }
    Ok(())
}

/// The path of a key's manifest, relative to the bucket's `objects` folder.
pub(crate) fn manifest_path(key: &str) -> PathBuf {
    let mut pieces: Vec<&[u8]> = key.as_bytes().split(|&b| b == b'/').collect();
    let last = pieces.pop().expect("split yields at least one piece");
    let mut path = PathBuf::new();
    for piece in pieces {
        push_piece(&mut path, piece, EntryKind::Folder);
    }
    push_piece(&mut path, last, EntryKind::Object);
    path
}

/// The folder in which every key with this prefix lies, relative to `objects`, and the part of the prefix that
/// its path covers.
pub(crate) fn prefix_folder(prefix: &str) -> (PathBuf, &[u8]) {
    let bytes = prefix.as_bytes();
    let mut path = PathBuf::new();
    let mut covered_bytes = 0;
    let mut rest = bytes;
    while let Some(slash) = rest.iter().position(|&b| b == b'/') {
        push_piece(&mut path, &rest[..slash], EntryKind::Folder);
        covered_bytes += slash + 1;
        rest = &rest[slash + 1..];
    }
    while rest.len() >= CHUNK_BYTES {
        path.push(file_name(&rest[..CHUNK_BYTES], EntryKind::Continued));
        covered_bytes += CHUNK_BYTES;
        rest = &rest[CHUNK_BYTES..];
    }
    (path, &bytes[..covered_bytes])
}

/// Decodes a file name; `None` if this module did not make it.
pub(crate) fn parse_entry(name: &str) -> Option<Entry> {
    let (escaped, mark) = name.split_at_checked(name.len().checked_sub(2)?)?;
    let kind = match mark {
        "=o" => EntryKind::Object,
        "=d" => EntryKind::Folder,
        "=c" => EntryKind::Continued,
        _ => return None,
    };
    let mut piece = Vec::with_capacity(escaped.len());
    let mut bytes = escaped.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => piece.push(hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?),
            plain if is_plain(plain) => piece.push(plain),
            _ => return None,
        }
    }
    // Only the one spelling that `file_name` makes is ours: two spellings of one key would be two objects.
    let entry = Entry { kind, piece };
    (file_name(&entry.piece, kind) == name).then_some(entry)
}

fn push_piece(path: &mut PathBuf, mut piece: &[u8], kind: EntryKind) {
    while piece.len() >= CHUNK_BYTES {
        path.push(file_name(&piece[..CHUNK_BYTES], EntryKind::Continued));
        piece = &piece[CHUNK_BYTES..];
    }
    path.push(file_name(piece, kind));
}

fn file_name(piece: &[u8], kind: EntryKind) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut name = String::with_capacity(piece.len() + 2);
    for &byte in piece {
        if is_plain(byte) {
            name.push(char::from(byte));
        } else {
            name.push('%');
            name.push(char::from(DIGITS[usize::from(byte >> 4)]));
            name.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
    name.push_str(match kind {
        EntryKind::Object => "=o",
        EntryKind::Folder => "=d",
        EntryKind::Continued => "=c",
    });
    name
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

// === impl Entry ===

impl Entry {
    /// The key bytes that everything in this entry begins with, relative to its folder.
    pub(crate) fn sort_key(&self) -> Vec<u8> {
        let mut key = self.piece.clone();
        if self.kind == EntryKind::Folder {
            key.push(b'/');
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use std::path::Component;

    use proptest::prelude::*;

    use super::*;

    /// Keys that provoke: slashes, dots, escapes, our own marks, long pieces, any other character.
    fn hostile_key() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("..".to_owned()),
            Just(".".to_owned()),
            Just(String::new()),
            Just("a".to_owned()),
            Just("a=d".to_owned()),
            Just("%2F".to_owned()),
            Just("\0".to_owned()),
            "[a-c!/0é%=.]{0,6}",
            "[ab]{78,82}",
            "[ab!]{158,163}",
            any::<String>(),
        ];
        prop::collection::vec(piece, 1..5).prop_map(|pieces| pieces.join("/"))
    }

    /// A key from the path of its manifest.
    fn key_of(path: &std::path::Path) -> Option<Vec<u8>> {
        let mut key = Vec::new();
        for part in path.components() {
            let Component::Normal(name) = part else { return None };
            key.extend(parse_entry(name.to_str()?)?.sort_key());
        }
        Some(key)
    }

    /// The sort keys from the top to the manifest: what the walk compares, folder by folder.
    fn sort_keys(path: &std::path::Path) -> Vec<Vec<u8>> {
        path.iter().map(|name| parse_entry(name.to_str().unwrap()).unwrap().sort_key()).collect()
    }

    proptest! {
        #[test]
        fn a_key_survives_the_round_trip_and_stays_inside(key in hostile_key()) {
            let path = manifest_path(&key);
            for part in path.components() {
                prop_assert!(matches!(part, Component::Normal(_)), "{part:?}");
                prop_assert!(part.as_os_str().len() <= 255);
            }
            prop_assert_eq!(key_of(&path), Some(key.into_bytes()));
        }

        #[test]
        fn folders_sort_as_their_keys_do(a in hostile_key(), b in hostile_key()) {
            let (path_a, path_b) = (manifest_path(&a), manifest_path(&b));
            prop_assert_eq!(sort_keys(&path_a).cmp(&sort_keys(&path_b)), a.as_bytes().cmp(b.as_bytes()));
        }

        #[test]
        fn no_key_is_an_ancestor_of_another(a in hostile_key(), b in hostile_key()) {
            prop_assume!(a != b);
            prop_assert!(!manifest_path(&a).starts_with(manifest_path(&b)));
        }

        #[test]
        fn every_key_lies_in_the_folder_of_each_of_its_prefixes(key in hostile_key(), cut in 0usize..200) {
            let cut = key.floor_char_boundary(cut);
            let (folder, covered) = prefix_folder(&key[..cut]);
            prop_assert!(manifest_path(&key).starts_with(&folder));
            prop_assert!(key.as_bytes().starts_with(covered));
        }

        #[test]
        fn a_foreign_file_name_is_never_taken_for_a_key(name in any::<String>()) {
            if let Some(entry) = parse_entry(&name) {
                prop_assert_eq!(file_name(&entry.piece, entry.kind), name);
            }
        }
    }

    #[test]
    fn a_key_and_its_child_are_neighbours() {
        assert_eq!(manifest_path("a"), PathBuf::from("a=o"));
        assert_eq!(manifest_path("a/b"), PathBuf::from("a=d/b=o"));
        assert_eq!(manifest_path("../x"), PathBuf::from("..=d/x=o"));
        assert_eq!(manifest_path("/é"), PathBuf::from("=d/%C3%A9=o"));
    }

    #[test]
    fn keys_that_a_listing_cannot_name_are_refused() {
        assert_eq!(check(""), Err(KeyError::Empty));
        assert_eq!(check("a\0b"), Err(KeyError::Unlistable));
        assert_eq!(check(&"k".repeat(1025)), Err(KeyError::TooLong));
        assert_eq!(check(&"k".repeat(1024)), Ok(()));
        assert_eq!(check("../../etc/passwd"), Ok(()));
    }
}
