//! What a DASH manifest names (ISO/IEC 23009-1): the init segment of each Representation, and its segments in the order in which they are
//! played. Text in, references out; nothing is resolved or fetched here.
//!
//! `SegmentTemplate` with a `SegmentTimeline` or one duration, as streaming writes them, and files that stand in a `BaseURL`. `BaseURL`s
//! above a Representation are pathways (each player's own choice) and are passed over, and so are `SegmentList` and `SegmentBase`: an
//! MPD that has only these names nothing. What is damaged names what stands before the damage.

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

/// References of one manifest, all Representations together.
const NAMED_MAX: usize = 20_000;
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
    starts_ticks: Option<Vec<u64>>,
    /// When the one behind the last begins.
    end_ticks: u64,
}

/// What encloses what is read: the templates of the Period, the AdaptationSet and the Representation.
#[derive(Debug, Default)]
struct Walk {
    depth: usize,
    templates: [Option<Template>; 3],
    /// Length of the presentation, or of this Period, seconds.
    length_s: [Option<f64>; 2],
    /// `id` and `bandwidth`.
    representation: Option<(String, String)>,
    is_in_template: bool,
    /// The text of a Representation's `BaseURL`.
    file: Option<String>,
    is_in_file: bool,
    named: Vec<Vec<String>>,
    count: usize,
}

/// Whether `text` is a manifest of this kind, and no playlist of HLS.
pub(crate) fn is_one(text: &str) -> bool {
    text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']).starts_with('<')
}

/// What `text` names, a list for each Representation.
pub(crate) fn named(text: &str) -> Vec<Vec<String>> {
    let (mut reader, mut walk) = (Reader::from_str(text), Walk::default());
    loop {
        match reader.read_event() {
            Ok(Event::Start(element)) => walk.open(&element),
            Ok(Event::Empty(element)) => {
                walk.open(&element);
                walk.close(element.local_name().as_ref());
            }
            Ok(Event::End(element)) => walk.close(element.local_name().as_ref()),
            Ok(Event::Text(text)) => walk.text(&text.decode().unwrap_or_default()),
            Ok(Event::GeneralRef(reference)) => walk.text(if &*reference == b"amp" { "&" } else { "" }),
            Ok(Event::CData(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_)) => {}
            Ok(Event::Eof) | Err(_) => return walk.named,
        }
        if walk.count >= NAMED_MAX {
            return walk.named;
        }
    }
}

// === impl Walk ===

impl Walk {
    fn open(&mut self, element: &BytesStart<'_>) {
        let attribute = |name: &str| value(element, name);
        match element.local_name().as_ref() {
            b"MPD" => self.length_s[0] = attribute("mediaPresentationDuration").and_then(|text| seconds(&text)),
            b"Period" => {
                (self.templates, self.depth) = (Default::default(), 0);
                self.length_s[1] = attribute("duration").and_then(|text| seconds(&text));
            }
            b"AdaptationSet" => {
                (self.templates[1], self.templates[2], self.depth) = (None, None, 1);
            }
            b"Representation" => {
                (self.templates[2], self.depth, self.file) = (None, 2, None);
                self.representation =
                    Some((attribute("id").unwrap_or_default(), attribute("bandwidth").unwrap_or_default()));
            }
            b"SegmentTemplate" => {
                let number = |name: &str| attribute(name).and_then(|text| text.parse().ok());
                // What stands further out holds where nothing is said (clause 5.3.9.1).
                let outer = self.templates[..self.depth].iter().flatten().next_back().cloned().unwrap_or_default();
                self.templates[self.depth] = Some(Template {
                    initialization: attribute("initialization").or(outer.initialization),
                    media: attribute("media").or(outer.media),
                    start_number: number("startNumber").or(outer.start_number),
                    timescale: number("timescale").or(outer.timescale),
                    duration_ticks: number("duration").or(outer.duration_ticks),
                    starts_ticks: outer.starts_ticks,
                    end_ticks: outer.end_ticks,
                });
                self.is_in_template = true;
            }
            b"SegmentTimeline" if self.is_in_template => {
                if let Some(template) = &mut self.templates[self.depth] {
                    (template.starts_ticks, template.end_ticks) = (Some(Vec::new()), 0);
                }
            }
            b"S" if self.is_in_template => {
                let number = |name: &str| attribute(name).and_then(|text| text.parse::<u64>().ok());
                // Repetition to the end of the Period (`r="-1"`) is the unit's alone here.
                let (start, ticks, repeats) = (number("t"), number("d").unwrap_or(0), number("r").unwrap_or(0));
                if let Some(template) = &mut self.templates[self.depth] {
                    template.add(start, ticks, repeats);
                }
            }
            b"BaseURL" if self.depth == 2 && self.representation.is_some() => {
                (self.is_in_file, self.file) = (true, Some(String::new()));
            }
            _ => {}
        }
    }

    fn close(&mut self, name: &[u8]) {
        match name {
            b"SegmentTemplate" => self.is_in_template = false,
            b"BaseURL" => self.is_in_file = false,
            b"Representation" => {
                let Some((id, bandwidth)) = self.representation.take() else { return };
                let template = self.templates.iter().flatten().next_back();
                let length_s = self.length_s[1].or(self.length_s[0]);
                let room = NAMED_MAX - self.count;
                let named = match (template, self.file.take()) {
                    (Some(template), _) => template.named(&id, &bandwidth, length_s, room),
                    (None, Some(file)) if !file.trim().is_empty() => vec![file.trim().to_owned()],
                    (None, _) => Vec::new(),
                };
                self.count += named.len();
                (self.templates[2], self.depth) = (None, 1);
                self.named.push(named);
            }
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        if let Some(file) = self.file.as_mut().filter(|file| self.is_in_file && file.len() < REFERENCE_MAX_BYTES) {
            file.push_str(text);
        }
    }
}

// === impl Template ===

impl Template {
    /// Adds an `S` to the timeline.
    fn add(&mut self, start_ticks: Option<u64>, ticks: u64, repeats: u64) {
        let mut at = start_ticks.unwrap_or(self.end_ticks);
        let Some(starts) = &mut self.starts_ticks else { return };
        for _ in 0..=repeats {
            if starts.len() >= NAMED_MAX {
                break;
            }
            starts.push(at);
            at = at.saturating_add(ticks);
        }
        self.end_ticks = at;
    }

    /// At most `room` references.
    fn named(&self, id: &str, bandwidth: &str, length_s: Option<f64>, room: usize) -> Vec<String> {
        let fill = |text: &str, number: u64, time: u64| filled(text, (id, bandwidth), number, time);
        let init = self.initialization.as_deref().and_then(|text| fill(text, 0, 0));
        let first = self.start_number.unwrap_or(1);
        let starts_ticks = self.starts_ticks.clone().unwrap_or_else(|| self.even(length_s));
        let numbered = starts_ticks.iter().enumerate().map(|(at, start)| (first.saturating_add(at as u64), *start));
        let media = self.media.as_deref().into_iter();
        let segments = media.flat_map(|text| numbered.clone().filter_map(|(number, start)| fill(text, number, start)));
        init.into_iter().chain(segments).take(room).collect()
    }

    /// Begins of segments of one duration, in a presentation of that length.
    fn even(&self, length_s: Option<f64>) -> Vec<u64> {
        let (Some(ticks), Some(length_s)) = (self.duration_ticks.filter(|ticks| *ticks > 0), length_s) else {
            return Vec::new();
        };
        let segment_s = ticks as f64 / self.timescale.filter(|scale| *scale > 0).unwrap_or(1) as f64;
        // What is nearly whole is: durations are rounded.
        let count = (length_s / segment_s - 1e-3).ceil().clamp(0.0, NAMED_MAX as f64) as u64;
        (0..count).map(|at| at.saturating_mul(ticks)).collect()
    }
}

/// A template with its identifiers filled in (clause 5.3.9.4.4); `None` where one of them is none.
fn filled(text: &str, (id, bandwidth): (&str, &str), number: u64, time: u64) -> Option<String> {
    let mut filled = String::with_capacity(text.len() + 8);
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
    }
    (filled.len() <= REFERENCE_MAX_BYTES).then_some(filled)
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mpd(inside: &str) -> String {
        format!("<?xml version=\"1.0\"?><MPD mediaPresentationDuration=\"PT10.001S\"><Period>{inside}</Period></MPD>")
    }

    #[test]
    fn a_shared_template_names_the_segments_of_each_representation() {
        let set = "<AdaptationSet><SegmentTemplate timescale=\"10\" startNumber=\"3\" initialization=\"v/$RepresentationID$/init.mp4\" \
                   media=\"v/$RepresentationID$/$Number$.m4s?a=1&amp;b=2\"><SegmentTimeline><S t=\"5\" d=\"20\" r=\"1\"/><S d=\"7\"/>\
                   </SegmentTimeline></SegmentTemplate><Representation id=\"hi\"/><Representation id=\"lo\"/></AdaptationSet>";
        let of = |id: &str| {
            let segments = (3..6).map(|number| format!("v/{id}/{number}.m4s?a=1&b=2"));
            [format!("v/{id}/init.mp4")].into_iter().chain(segments).collect::<Vec<_>>()
        };
        assert_eq!(named(&mpd(set)), [of("hi"), of("lo")]);
    }

    #[test]
    fn what_a_representation_says_itself_holds_and_a_file_is_named_as_it_is() {
        let sets = "<AdaptationSet><SegmentTemplate timescale=\"1\" media=\"a/$Number%03d$\"/><Representation id=\"1\" bandwidth=\"9\">\
                    <SegmentTemplate media=\"$Bandwidth$/$Time$$$\"><SegmentTimeline><S d=\"2\" r=\"1\"/></SegmentTimeline></SegmentTemplate>\
                    </Representation><Representation id=\"2\"><SegmentTemplate duration=\"5\" startNumber=\"0\"/></Representation>\
                    </AdaptationSet><AdaptationSet><Representation id=\"t\"><BaseURL>t/en.vtt?a&amp;b</BaseURL></Representation></AdaptationSet>";
        let expected = [vec!["9/0$", "9/2$"], vec!["a/000", "a/001"], vec!["t/en.vtt?a&b"]];
        assert_eq!(named(&mpd(sets)), expected);
    }

    #[test]
    fn durations_are_read_in_seconds_and_what_is_none_is_not() {
        for (text, expected) in
            [("PT1M2.5S", Some(62.5)), ("P1DT1H", Some(90_000.0)), ("PT0S", Some(0.0)), ("PT", Some(0.0))]
        {
            assert_eq!(seconds(text), expected, "{text}");
        }
        for text in ["", "1", "P1Y", "PT1", "PT-1S", "PTnanS", "PT1S1H"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn a_manifest_that_would_name_too_much_is_bounded() {
        let endless = "<AdaptationSet><SegmentTemplate media=\"$Number$\"><SegmentTimeline><S d=\"1\" r=\"18446744073709551615\"/>\
                       </SegmentTimeline></SegmentTemplate><Representation/><Representation/></AdaptationSet>";
        assert_eq!(named(&mpd(endless)).iter().map(Vec::len).sum::<usize>(), NAMED_MAX);
        assert!(is_one("\u{feff} <MPD/>") && !is_one("#EXTM3U"));
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd_to_be_read(text in "(<|>|/|\"|=|MPD|Period|AdaptationSet|Representation|SegmentTemplate|SegmentTimeline|S| d| r| media|\\$Number\\$|9|&amp;|&){0,60}") {
            let named = named(&text);
            prop_assert!(named.iter().map(Vec::len).sum::<usize>() <= NAMED_MAX);
        }
    }
}
