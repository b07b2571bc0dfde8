//! Keys of objects and their manifests, in a folder that a stranger may have written into.

use std::path::{Component, Path};

use flame_object_store::server::parsers::{self, Cut};

use crate::fields::{lines, text};

/// First line: a file name of a folder; then a key.
pub fn key(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let [name, key] = lines(text);
    if let Some(found) = parsers::key_of(Path::new(name)) {
        // Another spelling of the same key would be another object.
        assert!(!found.is_empty() || name == "=o" || name == "=d" || name == "=c", "{name:?}");
        assert!(!found[..found.len().saturating_sub(1)].contains(&b'/'), "{name:?} holds a slash");
    }
    let Some(path) = parsers::path_of(key) else { return };
    for part in path.components() {
        assert!(matches!(part, Component::Normal(name) if name.len() <= 255), "{part:?} of {key:?}");
    }
    assert_eq!(parsers::key_of(&path).as_deref(), Some(key.as_bytes()));
    for cut in (0..=key.len()).filter(|cut| key.is_char_boundary(*cut)) {
        assert!(
            path.starts_with(parsers::folder_of_prefix(&key[..cut])),
            "{key:?} lies outside of its prefix's folder"
        );
    }
    if let Some(id) = parsers::upload_id(key) {
        assert!(id == key && id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}

/// First line: two numbers; then a manifest.
pub fn manifest(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let [range, json] = lines(text);
    let Some((start, end)) = range.split_once(' ') else { return };
    let (Ok(start), Ok(end)) = (start.parse::<u64>(), end.parse::<u64>()) else { return };
    let Some(Cut { length, pieces }) = parsers::read_manifest(json.as_bytes(), start..end) else { return };
    let given: u128 = pieces.iter().map(|(_, _, size)| u128::from(*size)).sum();
    let (from, to) = (u128::from(start).min(length), u128::from(end).min(length));
    assert_eq!(given, to.saturating_sub(from), "of {length} bytes");
    for (path, _, size) in pieces {
        assert!(size > 0 && path.len() == 35 && !path.contains(".."), "{path}");
    }
}
