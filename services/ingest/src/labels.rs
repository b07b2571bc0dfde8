//! What an uploader says about a file: labels for people, never paths.
//!
//! Keys in the object store are made of the tenant and the upload's own identifier only, so no name reaches another
//! place. One that tries to (`../../etc/passwd`) is refused all the same: whoever saves the file by its name later
//! should not have to look.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flame_chain::shipped;

/// Longest file name in bytes.
pub const FILE_NAME_MAX_BYTES: usize = 255;
/// Longest title in characters; the catalogue takes no longer one.
pub const TITLE_MAX_CHARS: usize = 500;
/// Longest `Upload-Metadata` header in bytes.
pub const METADATA_MAX_BYTES: usize = 8 * 1024;
/// The chain that runs when the uploader names none.
pub const DEFAULT_CHAIN: &str = shipped::LADDER;
/// The chain that is none: the asset is registered and nothing more.
pub const NO_CHAIN: &str = "none";

/// What an uploader said about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// The file's name.
    pub file_name: Option<String>,
    /// Title wanted.
    pub title: Option<String>,
    /// Chain to run on arrival.
    pub chain: String,
}

/// What cannot be taken as a label.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// Too long.
    #[error("{what} is longer than {max}")]
    TooLong {
        /// Which label.
        what: &'static str,
        /// Its bound with its unit.
        max: String,
    },
    /// Control characters.
    #[error("{0} holds control characters")]
    Control(&'static str),
    /// The name of a file elsewhere.
    #[error("the file name `{0}` leaves its folder: no `..`, and nothing from the root on")]
    Path(String),
    /// Not a chain.
    #[error("`{0}` is no chain that runs on arrival: {known}, or `{NO_CHAIN}`", known = shipped::ALL.map(|chain| format!("`{}`", chain.name)).join(", "))]
    Chain(String),
    /// Not of the form of the header.
    #[error("Upload-Metadata: {0}")]
    Metadata(String),
}

// === impl Labels ===

impl Labels {
    /// Checks what the uploader said. Empty text is as good as none.
    pub fn new(file_name: Option<String>, title: Option<String>, chain: Option<String>) -> Result<Self, LabelError> {
        let file_name = printable("the file name", file_name)?;
        if file_name.as_ref().is_some_and(|name| name.len() > FILE_NAME_MAX_BYTES) {
            return Err(LabelError::TooLong { what: "the file name", max: format!("{FILE_NAME_MAX_BYTES} bytes") });
        }
        if let Some(name) = file_name.as_ref().filter(|name| leaves_its_folder(name)) {
            return Err(LabelError::Path(name.clone()));
        }
        let title = printable("the title", title)?;
        if title.as_ref().is_some_and(|title| title.chars().count() > TITLE_MAX_CHARS) {
            return Err(LabelError::TooLong { what: "the title", max: format!("{TITLE_MAX_CHARS} characters") });
        }
        let chain = chain.filter(|chain| !chain.is_empty()).unwrap_or_else(|| DEFAULT_CHAIN.to_owned());
        if chain != NO_CHAIN && shipped::find(&chain).is_none() {
            return Err(LabelError::Chain(chain.chars().take(64).collect()));
        }
        Ok(Self { file_name, title, chain })
    }

    /// Reads `Upload-Metadata` (tus 1.0, creation extension): `key base64` pairs, separated by commas. Keys other than
    /// `filename`, `title` and `chain` (and the clients' usual `filetype`) are passed over.
    pub fn from_tus(header: &str) -> Result<Self, LabelError> {
        if header.len() > METADATA_MAX_BYTES {
            return Err(LabelError::TooLong { what: "Upload-Metadata", max: format!("{METADATA_MAX_BYTES} bytes") });
        }
        let mut found: [(&str, Option<String>); 3] = [("filename", None), ("title", None), ("chain", None)];
        let mut seen = Vec::new();
        for pair in header.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
            if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(LabelError::Metadata("a key holds other than ASCII characters".to_owned()));
            }
            if seen.contains(&key) {
                return Err(LabelError::Metadata(format!("`{key}` stands there twice")));
            }
            seen.push(key);
            let bytes = STANDARD.decode(value.trim());
            let bytes = bytes.map_err(|_| LabelError::Metadata(format!("the value of `{key}` is not base64")))?;
            if let Some((_, place)) = found.iter_mut().find(|(name, _)| *name == key) {
                let text = String::from_utf8(bytes);
                *place = Some(text.map_err(|_| LabelError::Metadata(format!("the value of `{key}` is not UTF-8")))?);
            }
        }
        let [(_, file_name), (_, title), (_, chain)] = found;
        Self::new(file_name, title, chain)
    }

    /// The title of the asset: the one wanted, else the file's name without folders and ending, else a plain word.
    #[must_use]
    pub fn display_title(&self) -> String {
        let from_name = || {
            let name = self.file_name.as_deref()?.rsplit(['/', '\\']).next()?;
            let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
            let shown = if stem.is_empty() { name } else { stem };
            (!shown.trim().is_empty()).then(|| shown.to_owned())
        };
        self.title.clone().or_else(from_name).unwrap_or_else(|| "Untitled".to_owned())
    }
}

/// Whether a name, taken as a path on any system, is one outside of the folder that it is used in.
fn leaves_its_folder(name: &str) -> bool {
    let drive = name.as_bytes().first().is_some_and(u8::is_ascii_alphabetic) && name.get(1..3) == Some(":\\");
    drive || name.starts_with(['/', '\\']) || name.split(['/', '\\']).any(|part| part == "..")
}

fn printable(what: &'static str, text: Option<String>) -> Result<Option<String>, LabelError> {
    let text = text.filter(|text| !text.trim().is_empty());
    match &text {
        Some(found) if found.chars().any(char::is_control) => Err(LabelError::Control(what)),
        Some(_) | None => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pair(key: &str, value: &str) -> String {
        format!("{key} {}", STANDARD.encode(value))
    }

    #[test]
    fn metadata_is_read() {
        let header =
            [pair("filename", "Ä film.mp4"), pair("filetype", "video/mp4"), "is_confidential".to_owned()].join(",");
        let labels = Labels::from_tus(&header).unwrap();
        assert_eq!(labels.file_name.as_deref(), Some("Ä film.mp4"));
        assert_eq!((labels.title.clone(), labels.chain.as_str()), (None, "ladder"));
        assert_eq!(labels.display_title(), "Ä film");
        assert_eq!(Labels::from_tus("").unwrap().display_title(), "Untitled");
        assert_eq!(Labels::from_tus(&pair("filename", "Day 1/a..b.mov")).unwrap().display_title(), "a..b");
    }

    #[test]
    fn every_shipped_chain_runs_on_arrival() {
        for name in shipped::ALL.iter().map(|chain| chain.name).chain([NO_CHAIN]) {
            assert_eq!(Labels::from_tus(&pair("chain", name)).unwrap().chain, name);
        }
        let refused = Labels::from_tus(&pair("chain", "laddr")).unwrap_err().to_string();
        assert!(refused.contains("`ladder`, `ladder-hevc`") && refused.contains("`none`"), "{refused}");
    }

    #[test]
    fn what_is_no_label_is_refused() {
        for wrong in [
            "filename !!!".to_owned(),
            "filename /w==".to_owned(),
            [pair("title", "a"), pair("title", "b")].join(","),
            pair("chain", "rm -rf"),
            pair("chain", "laddr"),
            pair("filename", "a\0b"),
            pair("filename", "../../etc/passwd"),
            pair("filename", "a/../../b.mp4"),
            pair("filename", "/etc/passwd"),
            pair("filename", "..\\b.mp4"),
            pair("filename", "C:\\boot.ini"),
            pair("filename", &"x".repeat(256)),
            pair("title", &"x".repeat(501)),
            "k".repeat(METADATA_MAX_BYTES + 1),
        ] {
            assert!(Labels::from_tus(&wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn survives_any_header(header in ".{0,200}") {
            let _ = Labels::from_tus(&header);
        }
    }
}
