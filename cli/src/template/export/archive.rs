//! Archives of TOSCA (CSAR 1.1, TOSCA Simple Profile in YAML 1.3 section 6): a ZIP file (APPNOTE.TXT 6.3) with the template, what it
//! imports, and its alerts. Written without compression; read also where others compressed (deflate).
//!
//! What is read comes from strangers: sizes and counts are bounded, checksums are checked, and no path leads anywhere but into the archive.

use std::collections::BTreeMap;
use std::io::Read;

use anyhow::{Context, bail, ensure};
use flame_api::orchestrator::NewDeployment;
use flame_tosca::Template;
use flame_tosca::document::DOCUMENT_MAX_BYTES;

/// Where an archive says what is in it.
const META: &str = "TOSCA-Metadata/TOSCA.meta";
/// Where the documents are.
const DEFINITIONS: &str = "Definitions";
/// The alerts document, which is CLMC's and no definition of TOSCA's.
const ALERTS: &str = "Files/alerts.yaml";
/// The types that templates import, which every reader of ours has built in, and others have not.
const TYPES: &str = include_str!("../../../../templates/types/flame_definitions.yaml");
/// The name that they are imported by, behind any folder.
const TYPES_FILE: &str = "flame_definitions.yaml";
/// Longest archive.
pub const ARCHIVE_MAX_BYTES: u64 = 8 << 20;
/// Most files in one.
const FILES_MAX: usize = 256;
/// The folders between the definitions and a template, at most: as many as its imports go up.
const DEPTH_MAX: usize = 8;

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_BYTES: usize = 22;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
/// ZIP 2.0, names in UTF-8, and the first day that ZIP knows: the same template gives the same bytes.
const VERSION: u16 = 20;
const UTF_8: u16 = 1 << 11;
const FIRST_DAY: u16 = 0x0021;

/// What an archive holds.
pub struct Opened {
    /// The template.
    pub template: String,
    /// Its alerts, if there are any.
    pub alerts: Option<String>,
    folder: String,
    files: BTreeMap<String, String>,
}

/// The archive of a template.
///
/// # Errors
/// An import leads out of every folder that an archive has.
pub fn packed(request: &NewDeployment, template: &Template) -> anyhow::Result<Vec<u8>> {
    let types = imported_types(&request.template);
    let imports = || request.imports.keys().chain(&types);
    // As deep as the highest import goes up, so that none leads out.
    let depth = imports().map(|path| path.split('/').filter(|part| *part == "..").count()).max().unwrap_or(0);
    ensure!(depth <= DEPTH_MAX, "an import goes up {depth} folders, and an archive has at most {DEPTH_MAX}");
    let mut folder = DEFINITIONS.to_owned();
    for number in 1..=depth {
        folder.push_str(&format!("/{number}"));
    }
    let entry = format!("{folder}/{}.yaml", template.sfc);
    let mut files = BTreeMap::from([(entry.clone(), request.template.clone())]);
    for path in imports() {
        let text = request.imports.get(path).map_or(TYPES, String::as_str);
        let place = joined(&folder, path).with_context(|| format!("the import `{path}` leads out of the archive"))?;
        let before = files.insert(place.clone(), text.to_owned());
        ensure!(
            before.is_none_or(|before| before == text),
            "the import `{path}` would stand at {place}, where something else of the template stands: call it otherwise"
        );
    }
    files.extend(request.alerts.clone().map(|text| (ALERTS.to_owned(), text)));
    let meta = format!(
        "TOSCA-Meta-File-Version: 1.1\nCSAR-Version: 1.1\nCreated-By: flame {}\nEntry-Definitions: {entry}\n",
        env!("CARGO_PKG_VERSION")
    );
    let all: Vec<(String, String)> = std::iter::once((META.to_owned(), meta)).chain(files).collect();
    zip(&all)
}

/// The template in an archive.
///
/// # Errors
/// It is no ZIP file, larger than what is read, damaged, or says of no file of its own that it is the template.
pub fn opened(bytes: &[u8]) -> anyhow::Result<Opened> {
    let files = unzip(bytes).context("read the archive")?;
    let meta = files.get(META).with_context(|| format!("there is no {META} in the archive"))?;
    let entry = meta.lines().find_map(|line| line.strip_prefix("Entry-Definitions:")).map(str::trim);
    let entry = entry.with_context(|| format!("{META} does not say `Entry-Definitions`"))?.to_owned();
    let template = files.get(&entry).with_context(|| format!("{META} names {entry}, which is not in the archive"))?;
    let folder = entry.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
    Ok(Opened { template: template.clone(), alerts: files.get(ALERTS).cloned(), folder, files })
}

// === impl Opened ===

impl Opened {
    /// The text of what the template imports.
    pub fn import(&self, path: &str) -> Option<String> {
        self.files.get(&joined(&self.folder, path)?).cloned()
    }
}

/// Paths by which a template imports the types that are built in: nobody was asked for their text.
fn imported_types(text: &str) -> Vec<String> {
    let words = text.split(|one: char| one.is_whitespace() || "[]{},'\"".contains(one));
    let mut found: Vec<String> =
        words.filter(|word| word.rsplit('/').next() == Some(TYPES_FILE)).map(str::to_owned).collect();
    found.sort();
    found.dedup();
    found
}

/// `path` as it is seen from `folder`, within the archive.
fn joined(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    (!path.starts_with('/')).then(|| parts.join("/"))
}

/// A ZIP file without compression.
fn zip(files: &[(String, String)]) -> anyhow::Result<Vec<u8>> {
    let (mut bytes, mut directory): (Vec<u8>, Vec<u8>) = (Vec::new(), Vec::new());
    for (name, text) in files {
        let offset = u32::try_from(bytes.len()).context("the archive is too long")?;
        let (length, name_length) = (u32::try_from(text.len())?, u16::try_from(name.len())?);
        let mut common: Vec<u8> = Vec::new();
        for word in [VERSION, UTF_8, STORED, 0, FIRST_DAY] {
            common.extend(word.to_le_bytes());
        }
        for long in [crc32fast::hash(text.as_bytes()), length, length] {
            common.extend(long.to_le_bytes());
        }
        // The name's length, and that of no extra field.
        for word in [name_length, 0] {
            common.extend(word.to_le_bytes());
        }
        bytes.extend(LOCAL.to_le_bytes());
        bytes.extend(&common);
        bytes.extend(name.as_bytes());
        bytes.extend(text.as_bytes());
        directory.extend(CENTRAL.to_le_bytes());
        directory.extend(VERSION.to_le_bytes());
        directory.extend(&common);
        // No comment, the first disk, no attributes: two, two, two and four bytes.
        directory.extend([0_u8; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (count, offset) = (u16::try_from(files.len())?, u32::try_from(bytes.len())?);
    let length = u32::try_from(directory.len())?;
    bytes.extend(&directory);
    bytes.extend(END.to_le_bytes());
    bytes.extend([0_u8; 4]);
    bytes.extend(count.to_le_bytes());
    bytes.extend(count.to_le_bytes());
    bytes.extend(length.to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    bytes.extend([0_u8; 2]);
    Ok(bytes)
}

/// The files of a ZIP file that are texts, by name.
fn unzip(bytes: &[u8]) -> anyhow::Result<BTreeMap<String, String>> {
    ensure!(bytes.len() as u64 <= ARCHIVE_MAX_BYTES, "it is longer than {ARCHIVE_MAX_BYTES} bytes");
    let cut = "it is no ZIP file, or cut off";
    // It may end with a comment of up to 64 KiB.
    let last = bytes.len().checked_sub(END_BYTES).context(cut)?;
    let end = (last.saturating_sub(1 << 16)..=last).rev().find(|at| long(bytes, *at) == Some(END)).context(cut)?;
    let count = usize::from(word(bytes, end + 10).context(cut)?);
    ensure!(count <= FILES_MAX, "it has {count} files, and at most {FILES_MAX} are read");
    let mut at = usize::try_from(long(bytes, end + 16).context(cut)?)?;
    let mut files = BTreeMap::new();
    for _ in 0..count {
        ensure!(long(bytes, at) == Some(CENTRAL), cut);
        let [method, name_length, extra, comment] = [10, 28, 30, 32].map(|offset| word(bytes, at + offset));
        let [sum, packed, place] = [16, 20, 42].map(|offset| long(bytes, at + offset));
        let name_length = usize::from(name_length.context(cut)?);
        let name = bytes.get(at + 46..at + 46 + name_length).context(cut)?;
        let name = std::str::from_utf8(name).context("a name in it is no UTF-8")?;
        at += 46 + name_length + usize::from(extra.context(cut)?) + usize::from(comment.context(cut)?);
        if name.ends_with('/') {
            continue;
        }
        let place = usize::try_from(place.context(cut)?)?;
        ensure!(long(bytes, place) == Some(LOCAL), cut);
        let [own_name, own_extra] = [26, 28].map(|offset| word(bytes, place + offset));
        let begin = place + 30 + usize::from(own_name.context(cut)?) + usize::from(own_extra.context(cut)?);
        let packed = bytes.get(begin..begin + usize::try_from(packed.context(cut)?)?).context(cut)?;
        let data = unpacked(packed, method.context(cut)?).with_context(|| format!("unpack {name}"))?;
        ensure!(Some(crc32fast::hash(&data)) == sum, "{name} is not what its checksum says");
        // What is no text is an artefact of somebody's, and nothing of the template.
        if let Ok(text) = String::from_utf8(data) {
            files.insert(name.to_owned(), text);
        }
    }
    Ok(files)
}

/// The bytes of a file.
fn unpacked(packed: &[u8], method: u16) -> anyhow::Result<Vec<u8>> {
    let most = DOCUMENT_MAX_BYTES as u64;
    let mut data: Vec<u8> = Vec::new();
    match method {
        STORED => data.extend(packed.get(..packed.len().min(DOCUMENT_MAX_BYTES + 1)).unwrap_or(packed)),
        DEFLATED => {
            flate2::read::DeflateDecoder::new(packed).take(most + 1).read_to_end(&mut data)?;
        }
        other => bail!("it is compressed by method {other}, and none and deflate (8) are read"),
    }
    ensure!(data.len() <= DOCUMENT_MAX_BYTES, "it is longer than {DOCUMENT_MAX_BYTES} bytes");
    Ok(data)
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names_and_texts() -> impl Strategy<Value = BTreeMap<String, String>> {
        proptest::collection::btree_map("[a-z]{1,8}(/[a-z]{1,8}){0,2}", "\\PC{0,200}", 0..8)
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked_and_what_is_damaged_is_not_taken_for_it(
            files in names_and_texts(), cut in any::<prop::sample::Index>(), flip in any::<prop::sample::Index>(), bit in 0..8_u32,
        ) {
            let listed: Vec<(String, String)> = files.clone().into_iter().collect();
            let bytes = zip(&listed).unwrap();
            prop_assert_eq!(unzip(&bytes).unwrap(), files);
            prop_assert!(unzip(&bytes[..cut.index(bytes.len())]).is_err());
            // Whatever is wrong in it, it is read or refused, and no text is another one under its own name.
            let mut damaged = bytes.clone();
            damaged[flip.index(bytes.len())] ^= 1 << bit;
            for (name, text) in unzip(&damaged).unwrap_or_default() {
                if let Some((_, before)) = listed.iter().find(|(known, _)| *known == name) {
                    prop_assert!(text == *before || listed.iter().any(|(_, other)| *other == text), "{} is {}", name, text);
                }
            }
        }

        #[test]
        fn whatever_is_no_archive_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(unzip(&bytes).is_err());
        }
    }

    #[test]
    fn paths_stay_in_the_archive() {
        assert_eq!(joined("a/b", "../c.yaml").as_deref(), Some("a/c.yaml"));
        assert_eq!(joined("a/b", "./d/../c.yaml").as_deref(), Some("a/b/c.yaml"));
        assert_eq!(joined("a", "../../c.yaml"), None);
        assert_eq!(joined("a", "/etc/passwd"), None);
    }

    #[test]
    fn what_others_compressed_is_read_and_no_bomb() {
        let squeezed = |text: &[u8]| {
            let mut bytes = Vec::new();
            flate2::read::DeflateEncoder::new(text, flate2::Compression::best()).read_to_end(&mut bytes).unwrap();
            bytes
        };
        assert_eq!(unpacked(&squeezed(b"a: 1\n"), DEFLATED).unwrap(), b"a: 1\n");
        assert!(unpacked(&squeezed(&vec![0; DOCUMENT_MAX_BYTES + 1]), DEFLATED).is_err());
        assert!(unpacked(b"a", 12).is_err());
    }
}
