//! Reads TTML (TTML2, and the text profile of IMSC 1.2): an XML document whose elements are timed within each other.
//!
//! The document is walked once, with the open elements on a stack. A paragraph becomes a cue, or several where its
//! parts have times of their own; `style` finds out how it looks and where it stands, `time` reads times, `paragraph`
//! makes the text. Names are looked at without their namespaces: none of another that files use means something else.
//! Not read: images, animation (`set`), ruby, and times of the day (`ttp:timeBase="clock"`).
//!
//! Hostile XML: a document type is refused, so there are no entities to expand; depth, attributes and times of a
//! paragraph are bounded; nothing is loaded.

mod attributes;
mod paragraph;
mod style;
mod time;

use std::collections::HashMap;

use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};

use crate::collector::{Collector, Quoted};
use crate::document::Document;
use crate::{SubtitleError, language};
use attributes::Attributes;
use paragraph::Paragraph;
use style::{Canvas, Style, Styles};
use time::{Interval, Rates};

/// Deepest nesting of elements.
const DEPTH_MAX: usize = 64;
/// Most styles and regions that have names.
const NAMES_MAX: usize = 4096;

/// What an element is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tt,
    /// `head`, `styling`, `layout`: they only hold others.
    Holder,
    Style,
    Region,
    /// `body`, `div`.
    Block,
    P,
    Span,
    Br,
}

/// An element that is open.
struct Frame {
    kind: Kind,
    interval: Interval,
    /// Where the next child begins, if they follow each other (`timeContainer="seq"`).
    next_ms: Option<u64>,
    /// With what it inherits.
    style: Style,
    region: Option<String>,
    keeps_spaces: bool,
    /// Of a `region`: what it is called.
    id: Option<String>,
}

struct Walk<'a> {
    text: &'a str,
    reader: Reader<&'a [u8]>,
    collector: Collector,
    stack: Vec<Frame>,
    /// Open elements that are passed over.
    passed_over: usize,
    has_root: bool,
    language: Option<String>,
    rates: Rates,
    canvas: Canvas,
    styles: Styles,
    regions: HashMap<String, Style>,
    /// Styles and regions that have names.
    names: usize,
    paragraph: Option<Paragraph>,
    /// Up to where lines were counted, bytes; and how many.
    counted: (usize, usize),
}

/// Reads the whole document.
pub fn parse(text: &str, collector: Collector) -> Result<Document, SubtitleError> {
    let (text, whole) = (text.trim_start(), text);
    let before = whole[..whole.len() - text.len()].matches('\n').count();
    let mut walk = Walk {
        text,
        reader: Reader::from_str(text),
        collector,
        stack: Vec::new(),
        passed_over: 0,
        has_root: false,
        language: None,
        rates: Rates::default(),
        canvas: Canvas::default(),
        styles: Styles::default(),
        regions: HashMap::new(),
        names: 0,
        paragraph: None,
        counted: (0, 1 + before),
    };
    walk.run()?;
    Ok(walk.collector.finish(walk.language))
}

// === impl Walk ===

impl Walk<'_> {
    fn run(&mut self) -> Result<(), SubtitleError> {
        loop {
            match self.reader.read_event() {
                Ok(Event::Start(element)) => self.open(&element)?,
                Ok(Event::Empty(element)) => {
                    self.open(&element)?;
                    self.close()?;
                }
                Ok(Event::End(_)) => self.close()?,
                Ok(Event::Text(text)) => {
                    let text = text.decode().map_err(|error| self.broken(&error))?;
                    self.add(&text)?;
                }
                Ok(Event::CData(text)) => {
                    let text = text.decode().map_err(|error| self.broken(&error))?;
                    self.add(&text)?;
                }
                Ok(Event::GeneralRef(reference)) => self.reference(&reference)?,
                Ok(Event::DocType(_)) => {
                    return Err(self.refused("a document type: TTML has none, take the <!DOCTYPE …> out"));
                }
                Ok(Event::Comment(_) | Event::Decl(_) | Event::PI(_)) => {}
                Ok(Event::Eof) => break,
                Err(error) => return Err(self.broken(&error)),
            }
        }
        if !self.has_root {
            return Err(self.refused("the root is not <tt>: this is XML, but not TTML"));
        }
        if !self.stack.is_empty() || self.passed_over > 0 {
            return Err(self.broken(&"the document ends within an element"));
        }
        Ok(())
    }

    fn open(&mut self, element: &BytesStart<'_>) -> Result<(), SubtitleError> {
        if self.stack.len() + self.passed_over >= DEPTH_MAX {
            return Err(SubtitleError::Limit { line: self.line(), what: "elements within each other", max: DEPTH_MAX });
        }
        let parent = self.stack.last().map(|frame| frame.kind);
        let kind = kind(element.local_name().as_ref(), parent).filter(|_| self.passed_over == 0);
        let Some(kind) = kind else {
            if self.stack.is_empty() && self.passed_over == 0 {
                return Err(self.refused("the root is not <tt>: this is XML, but not TTML"));
            }
            self.passed_over += 1;
            return Ok(());
        };
        let line = self.line();
        let attributes = Attributes::read(element, line)?;
        if kind == Kind::Tt {
            self.root(&attributes)?;
        }
        let Some(frame) = self.frame(kind, &attributes) else {
            self.passed_over += 1;
            return Ok(());
        };
        if matches!(kind, Kind::Style | Kind::Region) && attributes.id.is_some() {
            self.names += 1;
            if self.names > NAMES_MAX {
                return Err(SubtitleError::Limit { line, what: "styles and regions", max: NAMES_MAX });
            }
        }
        match kind {
            Kind::Style => self.styles.take(&attributes),
            Kind::P => {
                let region = frame.region.as_ref().and_then(|region| self.regions.get(region));
                self.paragraph = Some(Paragraph::new(line, attributes.id, region, &frame.style));
            }
            Kind::Br => {
                if let Some(paragraph) = &mut self.paragraph {
                    paragraph.end_line(frame.interval)?;
                }
            }
            _ => {}
        }
        self.stack.push(frame);
        Ok(())
    }

    /// What the root says of times and places.
    fn root(&mut self, attributes: &Attributes) -> Result<(), SubtitleError> {
        self.has_root = true;
        match attributes.time_base.as_deref() {
            None | Some("media") => {}
            Some("smpte") => {
                let line = self.line();
                self.collector.warn(line, "ttp:timeBase is \"smpte\": the times are taken as those of the medium");
            }
            Some(_) => {
                return Err(
                    self.refused("ttp:timeBase is \"clock\": export the times as those of the medium (\"media\")")
                );
            }
        }
        let line = self.line();
        match Rates::read(attributes) {
            Some(rates) => self.rates = rates,
            None => self
                .collector
                .warn(line, "ttp:frameRate, frameRateMultiplier or tickRate is no rate: the usual one is taken"),
        }
        self.canvas = Canvas::read(attributes);
        if let Some(tag) = attributes.lang.as_deref().filter(|tag| !tag.is_empty()) {
            match language::canonical(tag) {
                Ok(tag) => self.language = Some(tag),
                Err(error) => self.collector.warn(line, format_args!("{error}: the file's language is not taken over")),
            }
        }
        Ok(())
    }

    /// An element as it stands within those that are open; `None` if its times cannot be read.
    fn frame(&mut self, kind: Kind, attributes: &Attributes) -> Option<Frame> {
        let (parent, next_ms) =
            self.stack.last().map_or((Interval::default(), None), |frame| (frame.interval, frame.next_ms));
        let interval = match Interval::within(parent, next_ms, attributes, &self.rates) {
            Ok(interval) => interval,
            Err(said) => {
                let line = self.line();
                self.collector.warn(line, format_args!("{} is no time: the element is left out", Quoted(&said)));
                return None;
            }
        };
        let mut style = self.styles.with(attributes.style.as_deref(), &attributes.styling);
        let parent = self.stack.last();
        if !matches!(kind, Kind::Style | Kind::Region)
            && let Some(parent) = parent
        {
            style = parent.style.under(&style);
        }
        Some(Frame {
            kind,
            interval,
            next_ms: attributes.is_sequence.then_some(interval.start_ms),
            style,
            region: attributes.region.clone().or_else(|| parent.and_then(|parent| parent.region.clone())),
            keeps_spaces: attributes.keeps_spaces.unwrap_or(parent.is_some_and(|parent| parent.keeps_spaces)),
            id: attributes.id.clone().filter(|_| kind == Kind::Region),
        })
    }

    fn close(&mut self) -> Result<(), SubtitleError> {
        if self.passed_over > 0 {
            self.passed_over -= 1;
            return Ok(());
        }
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        if let Some(parent) = self.stack.last_mut() {
            if let Some(next_ms) = &mut parent.next_ms
                && frame.kind != Kind::Br
            {
                *next_ms = frame.interval.end_ms;
            }
            // A style within a region describes the region.
            if frame.kind == Kind::Style && parent.kind == Kind::Region {
                parent.style = parent.style.under(&frame.style);
            }
        }
        match (frame.kind, frame.id) {
            (Kind::Holder, _) => self.styles.settle(),
            (Kind::Region, Some(id)) => drop(self.regions.insert(id, frame.style)),
            (Kind::P, _) => {
                if let Some(paragraph) = self.paragraph.take() {
                    paragraph.finish(&self.canvas, &mut self.collector)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn add(&mut self, text: &str) -> Result<(), SubtitleError> {
        let (Some(frame), Some(paragraph), 0) = (self.stack.last(), &mut self.paragraph, self.passed_over) else {
            return Ok(());
        };
        paragraph.add(text, frame.interval, &frame.style, frame.keeps_spaces)
    }

    /// `&#233;`, or one of the five names that XML has without a document type.
    fn reference(&mut self, reference: &BytesRef<'_>) -> Result<(), SubtitleError> {
        let name = reference.decode().map_err(|error| self.broken(&error))?;
        let letter = match reference.resolve_char_ref() {
            Ok(Some(letter)) => letter,
            Ok(None) => match name.as_ref() {
                "amp" => '&',
                "lt" => '<',
                "gt" => '>',
                "quot" => '"',
                "apos" => '\'',
                _ => {
                    return Err(
                        self.broken(&format_args!("there is no entity {}: write the letter itself", Quoted(&name)))
                    );
                }
            },
            Err(error) => return Err(self.broken(&error)),
        };
        self.add(letter.encode_utf8(&mut [0; 4]))
    }

    /// The line that is being read, from 1; counted onwards, so that all calls together read the text once.
    fn line(&mut self) -> usize {
        let at = usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX).min(self.text.len());
        let (from, lines) = self.counted;
        if at > from {
            let passed = self.text.as_bytes()[from..at].iter().filter(|byte| **byte == b'\n').count();
            self.counted = (at, lines + passed);
        }
        self.counted.1
    }

    fn broken(&mut self, reason: &dyn std::fmt::Display) -> SubtitleError {
        SubtitleError::Xml { line: self.line(), reason: reason.to_string() }
    }

    fn refused(&mut self, what: &'static str) -> SubtitleError {
        SubtitleError::Refused { line: self.line(), what }
    }
}

/// What an element is, in the one that holds it; `None` for what is passed over.
fn kind(name: &[u8], parent: Option<Kind>) -> Option<Kind> {
    match (name, parent) {
        (b"tt", None) => Some(Kind::Tt),
        (b"head", Some(Kind::Tt)) | (b"styling" | b"layout", Some(Kind::Holder)) => Some(Kind::Holder),
        (b"style", Some(Kind::Holder | Kind::Region)) => Some(Kind::Style),
        (b"region", Some(Kind::Holder)) => Some(Kind::Region),
        (b"body", Some(Kind::Tt)) | (b"div", Some(Kind::Block)) => Some(Kind::Block),
        (b"p", Some(Kind::Block)) => Some(Kind::P),
        (b"span", Some(Kind::P | Kind::Span)) => Some(Kind::Span),
        (b"br", Some(Kind::P | Kind::Span)) => Some(Kind::Br),
        _ => None,
    }
}
