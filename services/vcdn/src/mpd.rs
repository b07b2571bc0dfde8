//! What a DASH manifest names (ISO/IEC 23009-1): the init segment of each Representation, and its segments in the order in which they are
//! played. Text in, references out; nothing is resolved or fetched here.
//!
//! `SegmentTemplate` with a `SegmentTimeline` or one duration, as streaming writes them, below the `BaseURL` of its Representation if that
//! has one, and files that stand in such a `BaseURL`. `BaseURL`s with a service location are pathways (each player's own choice) and are
//! passed over. Nothing is named below another one that stands above a Representation, nor of `SegmentList` and `SegmentBase`, nor where
//! only a Period's length, which is not said, tells how many segments there are. What is damaged names what stands before the damage.
//!
//! A manifest is a stranger's: whatever it repeats, templates filled or not, is counted, and so are the bytes of it.

use std::sync::Arc;

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

/// References of one manifest, all Representations together.
const NAMED_MAX: usize = 20_000;
/// What one manifest may cost: references tried, begins in timelines, and templates, each with what it copies.
const WORK_MAX: usize = 100_000;
/// Bytes whose copy costs as much as one of them.
const WORK_BYTES: usize = 128;
/// Attributes of an element that are looked at.
const ATTRIBUTES_MAX: usize = 64;
/// Longest reference, and longest template.
const REFERENCE_MAX_BYTES: usize = 2048;
/// Widest `$Number%0…d$`.
const WIDTH_MAX: usize = 20;

/// A `SegmentTemplate`.
#[derive(Debug, Clone, Default)]
struct Template {
    initialization: Option<String>,
    media: Option<String>,
    start_number: Option<u64>,
    timescale: Option<u64>,
    /// Of every segment, ticks.
    duration_ticks: Option<u64>,
    /// Begin of each segment, ticks, where there is a timeline.
    starts_ticks: Option<Arc<Vec<u64>>>,
    /// When the one behind the last begins.
    end_ticks: u64,
}

/// What is left of [`WORK_MAX`].
#[derive(Debug)]
struct Work(usize);

/// What encloses what is read: the templates of the Period, the AdaptationSet and the Representation.
#[derive(Debug)]
struct Walk {
    work: Work,
    depth: usize,
    templates: [Option<Template>; 3],
    /// Length of the presentation, or of this Period, seconds.
    length_s: [Option<f64>; 2],
    periods: usize,
    /// Whether the MPD, this Period, this AdaptationSet has a `BaseURL` that is no pathway.
    is_elsewhere: [bool; 3],
    /// `id` and `bandwidth`.
    representation: Option<(String, String)>,
    is_in_template: bool,
    /// The text of a Representation's `BaseURL`.
    base: Option<String>,
    is_in_base: bool,
    named: Vec<Named>,
    count: usize,
}

/// What a Representation names.
#[derive(Debug)]
struct Named {
    references: Vec<String>,
    /// How many there are follows from the length of the presentation, as long as that has but one Period.
    is_by_presentation: bool,
}

/// Whether `text` is a manifest of this kind, and no playlist of HLS.
pub(crate) fn is_one(text: &str) -> bool {
    text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']).starts_with('<')
}

/// What `text` names, a list for each Representation. It computes for a while: not for a thread that serves.
pub(crate) fn named(text: &str) -> Vec<Vec<String>> {
    let mut walk = Walk::new();
    walk.read(text);
    let is_known = |named: &Named| walk.periods <= 1 || !named.is_by_presentation;
    let known = walk.named.into_iter().map(|named| if is_known(&named) { named.references } else { Vec::new() });
    known.filter(|references| !references.is_empty()).collect()
}

// === impl Work ===

impl Work {
    /// Whether there was enough left for something that copies so many bytes.
    fn take(&mut self, bytes: usize) -> bool {
        let left = self.0.checked_sub(1 + bytes / WORK_BYTES);
        self.0 = left.unwrap_or(0);
        left.is_some()
    }
}

// === impl Walk ===

impl Walk {
    fn new() -> Self {
        Self {
            work: Work(WORK_MAX),
            depth: 0,
            templates: Default::default(),
            length_s: [None; 2],
            periods: 0,
            is_elsewhere: [false; 3],
            representation: None,
            is_in_template: false,
            base: None,
            is_in_base: false,
            named: Vec::new(),
            count: 0,
        }
    }

    /// Reads on to the end, the damage, or the bound.
    fn read(&mut self, text: &str) {
        let mut reader = Reader::from_str(text);
        while self.count < NAMED_MAX && self.work.0 > 0 {
            match reader.read_event() {
                Ok(Event::Start(element)) => self.open(&element),
                Ok(Event::Empty(element)) => {
                    self.open(&element);
                    self.close(element.local_name().as_ref());
                }
                Ok(Event::End(element)) => self.close(element.local_name().as_ref()),
                Ok(Event::Text(text)) => self.text(&text.decode().unwrap_or_default()),
                Ok(Event::GeneralRef(reference)) => self.text(if &*reference == b"amp" { "&" } else { "" }),
                Ok(Event::CData(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_)) => {}
                Ok(Event::Eof) | Err(_) => return,
            }
        }
    }

    fn open(&mut self, element: &BytesStart<'_>) {
        let attribute = |name: &str| value(element, name);
        match element.local_name().as_ref() {
            b"MPD" => self.length_s[0] = attribute("mediaPresentationDuration").and_then(|text| seconds(&text)),
            b"Period" => {
                (self.templates, self.depth, self.periods) = (Default::default(), 0, self.periods + 1);
                self.is_elsewhere = [self.is_elsewhere[0], false, false];
                self.length_s[1] = attribute("duration").and_then(|text| seconds(&text));
            }
            b"AdaptationSet" => {
                (self.templates[1], self.templates[2], self.depth, self.is_elsewhere[2]) = (None, None, 1, false);
            }
            b"Representation" => {
                (self.templates[2], self.depth, self.base) = (None, 2, None);
                self.representation =
                    Some((attribute("id").unwrap_or_default(), attribute("bandwidth").unwrap_or_default()));
            }
            b"SegmentTemplate" => self.open_template(element),
            b"SegmentTimeline" if self.is_in_template => {
                if let Some(template) = &mut self.templates[self.depth] {
                    (template.starts_ticks, template.end_ticks) = (Some(Arc::default()), 0);
                }
            }
            b"S" if self.is_in_template => {
                let number = |name: &str| attribute(name).and_then(|text| text.parse::<u64>().ok());
                // Repetition to the end of the Period (`r="-1"`) is the unit's alone here.
                let (start, ticks, repeats) = (number("t"), number("d").unwrap_or(0), number("r").unwrap_or(0));
                if let Some(template) = &mut self.templates[self.depth] {
                    template.add(start, ticks, repeats, &mut self.work);
                }
            }
            b"BaseURL" if self.representation.is_some() => {
                // Others are alternatives.
                self.is_in_base = self.base.is_none();
                self.base.get_or_insert_default();
            }
            b"BaseURL" if attribute("serviceLocation").is_none() => {
                self.is_elsewhere[if self.periods == 0 { 0 } else { self.depth.min(1) + 1 }] = true;
            }
            _ => {}
        }
    }

    fn open_template(&mut self, element: &BytesStart<'_>) {
        let attribute = |name: &str| value(element, name);
        let number = |name: &str| attribute(name).and_then(|text| text.parse().ok());
        // What stands further out holds where nothing is said (clause 5.3.9.1).
        let outer = self.templates[..self.depth].iter().flatten().next_back().cloned().unwrap_or_default();
        let template = Template {
            initialization: attribute("initialization").or(outer.initialization),
            media: attribute("media").or(outer.media),
            start_number: number("startNumber").or(outer.start_number),
            timescale: number("timescale").or(outer.timescale),
            duration_ticks: number("duration").or(outer.duration_ticks),
            starts_ticks: outer.starts_ticks,
            end_ticks: outer.end_ticks,
        };
        let texts = [&template.initialization, &template.media].into_iter().flatten();
        let is_paid = self.work.take(texts.map(String::len).sum());
        (self.templates[self.depth], self.is_in_template) = (is_paid.then_some(template), true);
    }

    fn close(&mut self, name: &[u8]) {
        match name {
            b"SegmentTemplate" => self.is_in_template = false,
            b"BaseURL" => self.is_in_base = false,
            b"Representation" => {
                let Some(representation) = self.representation.take() else { return };
                let base = self.base.take().unwrap_or_default();
                let named = self.named_by(&representation, base.trim());
                self.count += named.references.len();
                (self.templates[2], self.depth) = (None, 1);
                self.named.push(named);
            }
            _ => {}
        }
    }

    fn named_by(&mut self, (id, bandwidth): &(String, String), base: &str) -> Named {
        let mut named = Named { references: Vec::new(), is_by_presentation: false };
        if !self.work.take(0) || self.is_elsewhere.contains(&true) {
            return named;
        }
        let room = NAMED_MAX - self.count;
        match self.templates.iter().flatten().next_back() {
            Some(template) => {
                named.is_by_presentation = template.starts_ticks.is_none() && self.length_s[1].is_none();
                let length_s = self.length_s[1].or(self.length_s[0]);
                named.references = template.named((id, bandwidth, base), length_s, room, &mut self.work);
            }
            None if !base.is_empty() => named.references.push(base.to_owned()),
            None => {}
        }
        named
    }

    fn text(&mut self, text: &str) {
        if let Some(base) = self.base.as_mut().filter(|base| self.is_in_base && base.len() < REFERENCE_MAX_BYTES) {
            base.push_str(text);
        }
    }
}

// === impl Template ===

impl Template {
    /// Adds an `S` to the timeline.
    fn add(&mut self, start_ticks: Option<u64>, ticks: u64, repeats: u64, work: &mut Work) {
        let mut at = start_ticks.unwrap_or(self.end_ticks);
        // One that stands further out is not this one's to go on with.
        let Some(starts) = self.starts_ticks.as_mut().and_then(Arc::get_mut) else { return };
        for _ in 0..=repeats {
            if starts.len() >= NAMED_MAX || !work.take(0) {
                break;
            }
            starts.push(at);
            at = at.saturating_add(ticks);
        }
        self.end_ticks = at;
    }

    /// At most `room` references.
    fn named(
        &self,
        (id, bandwidth, base): (&str, &str, &str),
        length_s: Option<f64>,
        room: usize,
        work: &mut Work,
    ) -> Vec<String> {
        let mut named = Vec::new();
        let mut fill = |text: &str, number: u64, time: u64| {
            let filled = filled(text, (id, bandwidth), number, time).and_then(|text| below(base, text));
            // What could not be filled in was work, too.
            work.take(filled.as_ref().map_or(text.len(), String::len)).then_some(filled).flatten()
        };
        named.extend(self.initialization.as_deref().and_then(|text| fill(text, 0, 0)));
        let (Some(media), first) = (&self.media, self.start_number.unwrap_or(1)) else { return named };
        for at in 0..self.segments(length_s) {
            let number = first.saturating_add(at as u64);
            // Where one cannot be filled in, none of those behind it can.
            let Some(reference) = fill(media, number, self.start_ticks(at)).filter(|_| named.len() < room) else {
                break;
            };
            named.push(reference);
        }
        named
    }

    /// How many segments there are, in a presentation of that length where they have one duration.
    fn segments(&self, length_s: Option<f64>) -> usize {
        if let Some(starts) = &self.starts_ticks {
            return starts.len();
        }
        let (Some(ticks), Some(length_s)) = (self.duration_ticks.filter(|ticks| *ticks > 0), length_s) else {
            return 0;
        };
        let segment_s = ticks as f64 / self.timescale.filter(|scale| *scale > 0).unwrap_or(1) as f64;
        // What is nearly whole is: durations are rounded.
        (length_s / segment_s - 1e-3).ceil().clamp(0.0, NAMED_MAX as f64) as usize
    }

    fn start_ticks(&self, at: usize) -> u64 {
        let even = || (at as u64).saturating_mul(self.duration_ticks.unwrap_or(0));
        self.starts_ticks.as_ref().map_or_else(even, |starts| starts.get(at).copied().unwrap_or(0))
    }
}

/// A template with its identifiers filled in (clause 5.3.9.4.4); `None` where one of them is none, or it grows too long.
fn filled(text: &str, (id, bandwidth): (&str, &str), number: u64, time: u64) -> Option<String> {
    let mut filled = String::with_capacity(text.len().min(REFERENCE_MAX_BYTES) + 8);
    let mut parts = text.split('$');
    filled.push_str(parts.next()?);
    while let Some(identifier) = parts.next() {
        let behind = parts.next()?;
        let (name, width) = match identifier.split_once("%0") {
            Some((name, format)) => (name, format.strip_suffix('d')?.parse::<usize>().ok()?.min(WIDTH_MAX)),
            None => (identifier, 0),
        };
        match name {
            "" => filled.push('$'),
            "RepresentationID" => filled.push_str(id),
            "Number" => filled.push_str(&format!("{number:0width$}")),
            "Time" => filled.push_str(&format!("{time:0width$}")),
            "Bandwidth" => filled.push_str(bandwidth),
            _ => return None,
        }
        filled.push_str(behind);
        if filled.len() > REFERENCE_MAX_BYTES {
            return None;
        }
    }
    (filled.len() <= REFERENCE_MAX_BYTES).then_some(filled)
}

/// `reference` as it reads where `base` is left out (RFC 3986 section 5.2.3); `None` where it grows too long.
fn below(base: &str, reference: String) -> Option<String> {
    if base.is_empty() {
        return Some(reference);
    }
    let whole = match url::Url::parse(base) {
        Ok(base) => base.join(&reference).ok()?.into(),
        Err(_) if reference.starts_with('/') || url::Url::parse(&reference).is_ok() => reference,
        Err(_) => {
            let path = base.split(['?', '#']).next().unwrap_or_default();
            let folder = path.rfind('/').map_or("", |end| &path[..=end]);
            format!("{folder}{reference}")
        }
    };
    (whole.len() <= REFERENCE_MAX_BYTES).then_some(whole)
}

/// Seconds of an ISO 8601 duration without years and months, as `PT1M2.5S`.
fn seconds(text: &str) -> Option<f64> {
    let (days, time) = text.strip_prefix('P')?.split_once('T').unwrap_or((text.strip_prefix('P')?, ""));
    let mut all_s = 0.0;
    for (text, units) in [(days, &[('D', 86_400.0)][..]), (time, &[('H', 3600.0), ('M', 60.0), ('S', 1.0)])] {
        let mut rest = text;
        for (unit, unit_s) in units {
            if let Some((number, behind)) = rest.split_once(*unit) {
                let number = number.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0)?;
                (all_s, rest) = (all_s + number * unit_s, behind);
            }
        }
        if !rest.is_empty() {
            return None;
        }
    }
    Some(all_s)
}

/// The attribute `name` of an element.
fn value(element: &BytesStart<'_>, name: &str) -> Option<String> {
    // Repeated names are looked for in time that is quadratic: the first one holds.
    let mut attributes = element.attributes();
    let mut attributes = attributes.with_checks(false).take(ATTRIBUTES_MAX).flatten();
    let attribute = attributes.find(|attribute| attribute.key.as_ref() == name.as_bytes())?;
    let value = attribute.normalized_value(XmlVersion::Implicit1_0).ok()?;
    (value.len() <= REFERENCE_MAX_BYTES).then(|| value.into_owned())
}

#[cfg(test)]
mod tests;
