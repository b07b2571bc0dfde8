//! The folder as its documentation describes it, read without the server's code: every data file belongs to
//! exactly one record, has the recorded size, and nothing temporary is left.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Panics if something leaks or is missing.
pub fn assert_clean(root: &Path) {
    for empty in ["intents", "tmp"] {
        let left: Vec<PathBuf> = files_below(&root.join(empty));
        assert!(left.is_empty(), "left in {empty}: {left:?}");
    }
    let mut owners: BTreeMap<String, (u64, PathBuf)> = BTreeMap::new();
    for path in files_below(&root.join("buckets")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let record: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let extents = match name {
            "upload.json" => Vec::new(),
            part if part.ends_with(".part") => vec![record["extent"].clone()],
            object if object.ends_with("=o") => record["extents"].as_array().unwrap().clone(),
            other => panic!("a file that nothing explains: {other}"),
        };
        for extent in extents {
            let file = extent["file"].as_str().unwrap().to_owned();
            let claim = (extent["size_bytes"].as_u64().unwrap(), path.clone());
            let before = owners.insert(file.clone(), claim);
            assert!(before.is_none(), "{file} belongs to {path:?} and {before:?}");
        }
    }
    for path in files_below(&root.join("data")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let (size_bytes, owner) = owners.remove(name).unwrap_or_else(|| panic!("{name} belongs to nothing"));
        assert_eq!(path.metadata().unwrap().len(), size_bytes, "{name} of {owner:?}");
    }
    assert!(owners.is_empty(), "missing data files: {owners:?}");
}

/// Every file below a folder.
pub fn files_below(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}
