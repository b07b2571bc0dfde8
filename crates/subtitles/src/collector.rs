//! What all three readers put their cues into: the one place where bounds, ids, order and warnings are kept.

use std::collections::HashSet;
use std::fmt;

use crate::clock::ARROW;
use crate::{
    CUE_TEXT_MAX_BYTES, CUES_MAX, Cue, Document, HeaderBlock, INPUT_MAX_BYTES, SubtitleError, TIME_MAX_MS,
    WARNINGS_MAX, Warning,
};

/// What is written around a cue's id, settings and text, at most, bytes: two times of nine-digit hours and line ends.
const CUE_FRAME_BYTES: usize = 50;

/// Kept free for the first lines of a file, bytes.
const FIRST_LINES_BYTES: usize = 100;

/// Letters of the file that a message quotes.
const QUOTED_MAX_LETTERS: usize = 40;

/// The beginning of something that came from the file, as a message quotes it.
pub struct Quoted<'a>(pub &'a str);

/// A document that is being read.
#[derive(Default)]
pub struct Collector {
    cues: Vec<Cue>,
    header: Vec<HeaderBlock>,
    warnings: Vec<Warning>,
    ids: HashSet<String>,
    /// Of the document as it will be written.
    size_bytes: usize,
}

// === impl Collector ===

impl Collector {
    /// Notes what the sender should know; it is put into words only if it is kept.
    pub fn warn(&mut self, line: usize, text: impl fmt::Display) {
        if self.warnings.len() < WARNINGS_MAX {
            self.warnings.push(Warning { line, text: text.to_string() });
        } else if self.warnings.len() == WARNINGS_MAX {
            self.warnings.push(Warning { line, text: "there are more warnings, which are not listed".to_owned() });
        }
    }

    /// Takes the cue at `line`, or leaves it out with a warning.
    pub fn cue(&mut self, line: usize, mut cue: Cue) -> Result<(), SubtitleError> {
        if cue.end_ms <= cue.start_ms {
            self.warn(line, "the cue ends before it starts, or at once: it is left out");
            return Ok(());
        }
        if cue.end_ms > TIME_MAX_MS {
            self.warn(line, format_args!("the cue ends after {} hours: it is left out", TIME_MAX_MS / 3_600_000));
            return Ok(());
        }
        if cue.text.len() > CUE_TEXT_MAX_BYTES {
            return Err(SubtitleError::Limit { line, what: "bytes of text in a cue", max: CUE_TEXT_MAX_BYTES });
        }
        if self.cues.len() == CUES_MAX {
            return Err(SubtitleError::Limit { line, what: "cues", max: CUES_MAX });
        }
        cue.id = cue.id.map(|id| id.trim().to_owned()).filter(|id| !id.is_empty() && !id.contains(ARROW));
        // Players take a second cue of an id for a repetition, and do not show it.
        if let Some(id) = cue.id.take() {
            if self.ids.insert(id.clone()) {
                cue.id = Some(id);
            } else {
                self.warn(line, format_args!("the id {} is taken: this cue has none", Quoted(&id)));
            }
        }
        self.grow(
            line,
            CUE_FRAME_BYTES + cue.id.as_ref().map_or(0, String::len) + cue.settings.len() + cue.text.len(),
        )?;
        self.cues.push(cue);
        Ok(())
    }

    /// Takes a block of the header.
    pub fn block(&mut self, line: usize, block: HeaderBlock) -> Result<(), SubtitleError> {
        self.grow(line, CUE_FRAME_BYTES + block.text.len())?;
        self.header.push(block);
        Ok(())
    }

    /// The document, its cues sorted.
    pub fn finish(mut self, language: Option<String>) -> Document {
        self.cues.sort_by_key(|cue| cue.start_ms);
        // A cue is known to be wrong at its end; that there are more warnings stays the last one.
        let listed = self.warnings.len().min(WARNINGS_MAX);
        self.warnings[..listed].sort_by_key(|warning| warning.line);
        Document { language, cues: self.cues, header: self.header, warnings: self.warnings }
    }

    /// So that what is written can always be read again, and text that is repeated (TTML) cannot fill memory.
    fn grow(&mut self, line: usize, bytes: usize) -> Result<(), SubtitleError> {
        self.size_bytes += bytes;
        if self.size_bytes > INPUT_MAX_BYTES - FIRST_LINES_BYTES {
            return Err(SubtitleError::Limit { line, what: "bytes when written as WebVTT", max: INPUT_MAX_BYTES });
        }
        Ok(())
    }
}

// === impl Quoted ===

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut letters = self.0.chars();
        write!(f, "\"")?;
        letters.by_ref().take(QUOTED_MAX_LETTERS).try_for_each(|letter| write!(f, "{}", letter.escape_debug()))?;
        write!(f, "{}\"", if letters.next().is_some() { "…" } else { "" })
    }
}
