//! A paragraph of TTML, and the cues that become of it: one for each time during which it reads the same.

use std::borrow::Cow;

use crate::collector::Collector;
use crate::document::Cue;
use crate::markup::{has_letters, push_escaped};
use crate::{CUE_TEXT_MAX_BYTES, SubtitleError, settings};

use super::style::{Canvas, Style, place};
use super::time::Interval;

/// Most moments at which a paragraph changes. It is built anew for each: twice as many take four times as long.
const CHANGES_MAX: usize = 128;
/// Most parts of a paragraph.
const PIECES_MAX: usize = 8192;

/// How letters look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Look {
    colour: Option<&'static str>,
    bold: bool,
    italic: bool,
    underline: bool,
}

struct Piece {
    interval: Interval,
    content: Content,
}

enum Content {
    Text { text: String, look: Look, keeps_spaces: bool },
    LineEnd,
}

/// A paragraph that is open.
pub struct Paragraph {
    line: usize,
    id: Option<String>,
    region: Option<Style>,
    style: Style,
    pieces: Vec<Piece>,
    text_bytes: usize,
}

/// The text of a cue as it is put together.
#[derive(Default)]
struct Writer {
    text: String,
    look: Look,
    /// A space that stands here if letters follow, and how it looks.
    space: Option<Look>,
    /// Whether a letter stands in this line.
    has_letters: bool,
}

// === impl Paragraph ===

impl Paragraph {
    /// The one at `line`, in `region`.
    pub fn new(line: usize, id: Option<String>, region: Option<&Style>, style: &Style) -> Self {
        Self { line, id, region: region.copied(), style: *style, pieces: Vec::new(), text_bytes: 0 }
    }

    /// Appends text.
    pub fn add(
        &mut self,
        text: &str,
        interval: Interval,
        style: &Style,
        keeps_spaces: bool,
    ) -> Result<(), SubtitleError> {
        let text = if keeps_spaces { text.into() } else { with_single_spaces(text) };
        self.text_bytes += text.len();
        if self.text_bytes > CUE_TEXT_MAX_BYTES {
            let what = "bytes of text in a paragraph";
            return Err(SubtitleError::Limit { line: self.line, what, max: CUE_TEXT_MAX_BYTES });
        }
        let look = self.look(style);
        let last = self.pieces.last_mut().filter(|last| last.interval == interval);
        if let Some(Content::Text { text: before, look: same, keeps_spaces: kept }) = last.map(|last| &mut last.content)
            && (*same, *kept) == (look, keeps_spaces)
        {
            before.push_str(&text);
            return Ok(());
        }
        self.push(Piece { interval, content: Content::Text { text: text.into_owned(), look, keeps_spaces } })
    }

    /// Appends a `br`.
    pub fn end_line(&mut self, interval: Interval) -> Result<(), SubtitleError> {
        self.push(Piece { interval, content: Content::LineEnd })
    }

    fn push(&mut self, piece: Piece) -> Result<(), SubtitleError> {
        if self.pieces.len() == PIECES_MAX {
            return Err(SubtitleError::Limit { line: self.line, what: "parts of a paragraph", max: PIECES_MAX });
        }
        self.pieces.push(piece);
        Ok(())
    }

    /// What the style comes to, with the region's where it says nothing.
    fn look(&self, style: &Style) -> Look {
        let style = self.region.map_or(*style, |region| region.under(style));
        Look {
            colour: style.colour.flatten(),
            bold: style.bold.unwrap_or(false),
            italic: style.italic.unwrap_or(false),
            underline: style.underline.unwrap_or(false),
        }
    }

    /// Hands its cues over.
    pub fn finish(mut self, canvas: &Canvas, collector: &mut Collector) -> Result<(), SubtitleError> {
        let settings = settings::canonical(&place(self.region.as_ref(), &self.style, canvas));
        let mut changes_ms: Vec<u64> =
            self.visible().flat_map(|piece| [piece.interval.start_ms, piece.interval.end_ms]).collect();
        changes_ms.sort_unstable();
        changes_ms.dedup();
        if changes_ms.len() > CHANGES_MAX {
            return Err(SubtitleError::Limit { line: self.line, what: "changes of a paragraph", max: CHANGES_MAX });
        }
        let mut last: Option<Cue> = None;
        let mut is_endless = false;
        for window in changes_ms.windows(2) {
            let (start_ms, end_ms) = (window[0], window[1]);
            let text = self.text(start_ms);
            if text.is_empty() {
                continue;
            }
            if end_ms == u64::MAX {
                is_endless = true;
                continue;
            }
            match &mut last {
                Some(last) if last.end_ms == start_ms && last.text == text => last.end_ms = end_ms,
                _ => {
                    let cue = Cue { start_ms, end_ms, id: self.id.take(), settings: settings.clone(), text };
                    if let Some(done) = last.replace(cue) {
                        collector.cue(self.line, done)?;
                    }
                }
            }
        }
        if is_endless {
            let what = "nothing ends this paragraph, or a part of it: give it an end or a dur; it is left out";
            collector.warn(self.line, what);
        } else if last.is_none() && !changes_ms.is_empty() {
            collector.warn(self.line, "the paragraph is at no time shown: it is left out");
        }
        last.map_or(Ok(()), |last| collector.cue(self.line, last))
    }

    /// Parts that show something at some time.
    fn visible(&self) -> impl Iterator<Item = &Piece> {
        self.pieces.iter().filter(|piece| match &piece.content {
            Content::Text { text, .. } => !text.trim().is_empty(),
            Content::LineEnd => false,
        })
    }

    fn text(&self, at_ms: u64) -> String {
        let mut writer = Writer::default();
        for piece in &self.pieces {
            if at_ms < piece.interval.start_ms || piece.interval.end_ms <= at_ms {
                continue;
            }
            match &piece.content {
                Content::Text { text, look, keeps_spaces } => writer.add(text, *look, *keeps_spaces),
                Content::LineEnd => writer.end_line(),
            }
        }
        writer.finish()
    }
}

/// Files are indented: what stands between two elements is one space, however long.
fn with_single_spaces(text: &str) -> Cow<'_, str> {
    const SPACES: [char; 4] = [' ', '\n', '\t', '\r'];
    let is_single = !text.contains(&SPACES[1..]) && !text.contains("  ");
    if is_single {
        return text.into();
    }
    let mut last = 'a';
    let mut spaced: String = text.chars().map(|letter| if SPACES.contains(&letter) { ' ' } else { letter }).collect();
    spaced.retain(|letter| (std::mem::replace(&mut last, letter), letter) != (' ', ' '));
    spaced.into()
}

// === impl Writer ===

impl Writer {
    /// Spaces between words are one (`xml:space="default"`), and none at either end of a line.
    fn add(&mut self, text: &str, look: Look, keeps_spaces: bool) {
        for letter in text.chars() {
            match letter {
                '\n' if keeps_spaces => self.end_line(),
                ' ' if keeps_spaces && self.has_letters => self.letter(' ', look),
                ' ' | '\n' | '\t' | '\r' => self.space = self.space.or(Some(look)),
                _ => {
                    if let Some(look) = self.space.take().filter(|_| self.has_letters) {
                        self.letter(' ', look);
                    }
                    self.letter(letter, look);
                }
            }
        }
    }

    fn letter(&mut self, letter: char, look: Look) {
        if self.look != look {
            self.turn(look);
        }
        push_escaped(&mut self.text, letter);
        self.has_letters = true;
    }

    fn turn(&mut self, look: Look) {
        let was = std::mem::replace(&mut self.look, look);
        let ends = [(was.underline, "</u>"), (was.italic, "</i>"), (was.bold, "</b>"), (was.colour.is_some(), "</c>")];
        ends.iter().filter(|(is_open, _)| *is_open).for_each(|(_, tag)| self.text.push_str(tag));
        if let Some(class) = look.colour {
            self.text.extend(["<c.", class, ">"]);
        }
        let begins = [(look.bold, "<b>"), (look.italic, "<i>"), (look.underline, "<u>")];
        begins.iter().filter(|(is_open, _)| *is_open).for_each(|(_, tag)| self.text.push_str(tag));
    }

    /// WebVTT has no empty lines.
    fn end_line(&mut self) {
        self.space = None;
        if std::mem::take(&mut self.has_letters) {
            self.text.push('\n');
        }
    }

    fn finish(mut self) -> String {
        let trimmed = self.text.trim_end_matches(['\n', ' ']).len();
        self.text.truncate(trimmed);
        self.turn(Look::default());
        if has_letters(&self.text) { self.text } else { String::new() }
    }
}
