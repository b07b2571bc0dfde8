//! Subtitles as tracks of an asset: text, cut where the pictures are cut.
//!
//! The name of such a track says which text it is, and which track it is cut like: `t-0123456789ab-v720`. Both never change, so
//! nothing below it does, and every instance makes the same bytes of the same stored text. Kept is the text as it was read, in a
//! cache bounded by its size; what a player asks for is written when it asks.

use std::ops::Range;
use std::sync::Arc;

use flame_api::subtitles::Subtitle;
use flame_cmaf::ts::START_S;
use flame_object_store::StoreError;
use flame_playlist::Container;
use flame_subtitles::{Cue, INPUT_MAX_BYTES, SubtitleError, Timeline, segments};
use moka::future::Cache;
use thiserror::Error;

use crate::names::{self, TrackName};
use crate::presentation::Document;
use crate::store::{MediaStore, ReadError};

/// What names of such tracks begin with.
const PREFIX: &str = "t-";
/// Digits of the name of subtitles.
const ID_LENGTH: usize = 12;
/// The file of all of it.
pub(crate) const WHOLE_URI: &str = "all.vtt";
/// Memory of a kept text besides its cues.
const OVERHEAD_BYTES: usize = 512;

/// A name of text below a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TextName {
    /// The name of the subtitles.
    pub(crate) id: String,
    /// The track that it is cut like.
    pub(crate) grid: TrackName,
}

/// A file of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextFile {
    /// All of it.
    Whole,
    /// What is shown during a segment of this number, beside segments of this kind.
    Segment(u64, Container),
}

/// A text that was read.
#[derive(Debug)]
pub(crate) struct Text(flame_subtitles::Document);

/// Why a text cannot be shown.
#[derive(Debug, Error)]
pub(crate) enum TextError {
    #[error("the subtitles {key} cannot be read")]
    Read {
        key: String,
        #[source]
        source: ReadError,
    },
    #[error("the subtitles {key} are damaged")]
    Damaged {
        key: String,
        #[source]
        source: SubtitleError,
    },
}

/// All texts. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Texts {
    store: MediaStore,
    kept: Cache<String, Arc<Text>>,
}

/// The name of the track of subtitles that are cut like `grid`.
pub(crate) fn track(subtitle: &Subtitle, grid: &str) -> String {
    format!("{PREFIX}{}-{grid}", subtitle.id)
}

/// The name of the subtitles that the track called `name` is text of; `None` where it is pictures or sound.
pub(crate) fn subtitle_of(name: &str) -> Option<&str> {
    split(name).map(|(id, _)| id)
}

fn split(name: &str) -> Option<(&str, &str)> {
    let (id, grid) = name.strip_prefix(PREFIX)?.split_at_checked(ID_LENGTH)?;
    let is_id = id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let grid = grid.strip_prefix('-').filter(|grid| is_id && !grid.is_empty())?;
    Some((id, grid))
}

/// Reads the name of a file; `None` for every other form.
pub(crate) fn file(name: &str) -> Option<TextFile> {
    if name == WHOLE_URI {
        return Some(TextFile::Whole);
    }
    let stem = name.strip_suffix(".vtt")?;
    let (digits, container) = match stem.strip_suffix(".ts") {
        Some(digits) => (digits, Container::TransportStream),
        None => (stem, Container::FragmentedMp4),
    };
    Some(TextFile::Segment(names::number(digits)?, container))
}

// === impl TextName ===

impl TextName {
    /// The text that `name` stands for; `None` where it is a name of pictures or sound.
    pub(crate) fn of(name: &TrackName) -> Option<Self> {
        let (id, grid) = split(&name.track)?;
        Some(Self { id: id.to_owned(), grid: TrackName { track: grid.to_owned(), ..name.clone() } })
    }
}

// === impl Texts ===

impl Texts {
    /// An empty cache in front of `store`, for at most `max_bytes` of text.
    pub(crate) fn new(store: MediaStore, max_bytes: u64) -> Self {
        let weight = |_: &String, text: &Arc<Text>| u32::try_from(text.weight_bytes()).unwrap_or(u32::MAX);
        Self { store, kept: Cache::builder().max_capacity(max_bytes).weigher(weight).build() }
    }

    /// The text of `subtitle`.
    pub(crate) async fn get(&self, subtitle: &Subtitle) -> Result<Arc<Text>, Arc<TextError>> {
        self.kept.try_get_with_by_ref(&subtitle.key, Box::pin(self.load(&subtitle.key))).await
    }

    async fn load(&self, key: &str) -> Result<Arc<Text>, TextError> {
        let bytes = self.store.get(key, INPUT_MAX_BYTES as u64).await;
        let bytes = bytes.map_err(|source| TextError::Read { key: key.to_owned(), source })?;
        // Hours of text; elsewhere it would hold up who shares this thread.
        let reading = tokio::task::spawn_blocking(move || flame_subtitles::parse(&bytes, None));
        let read = reading.await.expect("a parser that panics is a fault of ours");
        Ok(Arc::new(Text(read.map_err(|source| TextError::Damaged { key: key.to_owned(), source })?)))
    }
}

// === impl Text ===

impl Text {
    /// All of it, as a file.
    pub(crate) fn whole(&self) -> Document {
        Document::new(self.0.to_webvtt())
    }

    /// What is shown during `shown_ms`, beside segments of the kind `container`.
    pub(crate) fn segment(&self, shown_ms: Range<u64>, container: Container) -> Document {
        let timeline = match container {
            Container::FragmentedMp4 => Timeline::FROM_ZERO,
            Container::TransportStream => Timeline::from_offset_ms(u64::from(START_S) * 1000),
        };
        let boundaries_ms = [shown_ms.start, shown_ms.end];
        Document::new(segments(&self.0, &boundaries_ms, timeline).next().unwrap_or_default())
    }

    fn weight_bytes(&self) -> usize {
        let cue =
            |cue: &Cue| size_of::<Cue>() + cue.text.len() + cue.settings.len() + cue.id.as_ref().map_or(0, String::len);
        let header: usize = self.0.header.iter().map(|block| block.text.len()).sum();
        OVERHEAD_BYTES + header + self.0.cues.iter().map(cue).sum::<usize>()
    }
}

// === impl TextError ===

impl TextError {
    /// Whether the object has gone: the subtitles were taken away a moment ago.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Read { source: ReadError::Store(StoreError::NotFound { .. }), .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(track: &str) -> TrackName {
        TrackName::parse("0197a1b2-0000-7000-8000-000000000001", "0123456789ab", track).unwrap()
    }

    #[test]
    fn a_name_says_the_text_and_what_it_is_cut_like() {
        let found = TextName::of(&name("t-00000000000f-v720")).unwrap();
        assert_eq!((found.id.as_str(), found.grid), ("00000000000f", name("v720")));
        for other in ["v720", "t-00000000000f", "t-00000000000f-", "t-0000000000-v720", "t-00000000000g-v", "t-"] {
            assert_eq!(TextName::of(&name(other)), None, "{other}");
        }
    }

    #[test]
    fn one_file_has_one_name() {
        assert_eq!(file("all.vtt"), Some(TextFile::Whole));
        assert_eq!(file("17.vtt"), Some(TextFile::Segment(17, Container::FragmentedMp4)));
        assert_eq!(file("0.ts.vtt"), Some(TextFile::Segment(0, Container::TransportStream)));
        for other in ["", ".vtt", "00.vtt", "-1.vtt", "1.ts", "1.ts.ts.vtt", "all.ts.vtt", "99999999999999999999.vtt"] {
            assert_eq!(file(other), None, "{other}");
        }
    }

    #[test]
    fn the_media_s_clock_begins_where_the_container_s_does() {
        let document = flame_subtitles::parse(b"WEBVTT\n\n00:05.000 --> 00:06.000\nHello\n", None).unwrap();
        let text = |document: Document| String::from_utf8(document.text.to_vec()).unwrap();
        let made = |container| text(Text(document.clone()).segment(4000..8000, container));
        let cue = "\n00:00:05.000 --> 00:00:06.000\nHello\n";
        let head = |ticks: u32| format!("WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:{ticks},LOCAL:00:00:00.000\n");
        assert_eq!(made(Container::FragmentedMp4), head(0) + cue + "\n");
        assert_eq!(made(Container::TransportStream), head(900_000) + cue + "\n");
        assert!(!text(Text(document).segment(0..4000, Container::FragmentedMp4)).contains("Hello"));
    }
}
