//! What encoders call what they push: which of it is a playlist, and which track the rest belongs to. Pure.
//!
//! One request may carry a whole track (`v720.mp4`, `Streams(v720.cmfv)`), or its header and segments may come in requests of their
//! own (`init-stream0.m4s` and `chunk-stream0-00001.m4s` of FFmpeg, `v720_init.mp4` and `v720_17.m4s`, `v720/init.mp4` and
//! `v720/17.m4s`). Words that say what a file is and the number at its end are left out of the name; what is left names the track,
//! in URLs of viewers too. Segments' numbers are not looked at: their times say where they belong.

/// Longest name of a track.
const NAME_MAX_CHARS: usize = 32;
/// The track of those who give it no name.
const UNNAMED: &str = "main";
/// Words that say what a file is.
const KINDS: [&str; 9] = ["init", "header", "chunk", "seg", "segment", "fragment", "media", "dash", "cmaf"];
const PLAYLISTS: [&str; 2] = ["mpd", "m3u8"];
const MEDIA: [&str; 9] = ["mp4", "m4s", "m4v", "m4a", "m4f", "cmfv", "cmfa", "ismv", "isma"];

/// What is pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// A playlist of the encoder's own, which nobody needs.
    Playlist,
    /// Header or media of this track.
    Track(String),
}

/// Reads what stands behind the key; `None` where it is neither.
#[must_use]
pub fn read(path: &str) -> Option<Name> {
    let (folders, file) = path.rsplit_once('/').map_or(("", path), |(folders, file)| (folders, file));
    // DASH-IF live media ingest, section 6.5.
    let file = file.strip_prefix("Streams(").and_then(|rest| rest.strip_suffix(')')).unwrap_or(file);
    let (stem, extension) = file.rsplit_once('.')?;
    let extension = extension.to_ascii_lowercase();
    if PLAYLISTS.contains(&extension.as_str()) {
        return Some(Name::Playlist);
    }
    if !MEDIA.contains(&extension.as_str()) {
        return None;
    }
    let folder = folders.rsplit('/').next().unwrap_or_default();
    let name = if folder.is_empty() { words(stem) } else { plain(folder) };
    Some(Name::Track(if name.is_empty() { UNNAMED.to_owned() } else { name }))
}

/// What is left of a file's name.
fn words(stem: &str) -> String {
    let mut words: Vec<String> = stem.split(|letter: char| !letter.is_ascii_alphanumeric()).map(plain).collect();
    words.retain(|word| !word.is_empty() && !KINDS.contains(&word.as_str()));
    if words.last().is_some_and(|word| word.bytes().all(|byte| byte.is_ascii_digit())) {
        words.pop();
    }
    words.concat().chars().take(NAME_MAX_CHARS).collect()
}

fn plain(text: &str) -> String {
    let letters = text.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|letter| letter.to_ascii_lowercase()).take(NAME_MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn header_and_segments_have_one_name() {
        for (path, track) in [
            ("v720.mp4", "v720"),
            ("Streams(V720.cmfv)", "v720"),
            ("init-stream0.m4s", "stream0"),
            ("chunk-stream0-00001.m4s", "stream0"),
            ("v720_init.mp4", "v720"),
            ("v720_17.m4s", "v720"),
            ("event/v720/init.mp4", "v720"),
            ("event/v720/17.m4s", "v720"),
            ("init.mp4", "main"),
            ("17.m4s", "main"),
        ] {
            assert_eq!(read(path), Some(Name::Track(track.to_owned())), "{path}");
        }
        assert_eq!(read("manifest.mpd"), Some(Name::Playlist));
        assert_eq!(read("event/media_0.m3u8"), Some(Name::Playlist));
        assert_eq!(read("thumbnail.jpg"), None);
        assert_eq!(read("noextension"), None);
        assert_eq!(read(""), None);
    }

    proptest! {
        #[test]
        fn names_are_those_that_streaming_takes(path in "\\PC{0,80}(\\.mp4)?") {
            if let Some(Name::Track(name)) = read(&path) {
                prop_assert!((1..=NAME_MAX_CHARS).contains(&name.len()));
                prop_assert!(name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z')), "{}", name);
            }
        }
    }
}
