//! Spans that something is said of, as events of a Period (ISO/IEC 23009-1 section 5.10.2): advertisements of SCTE 35 in its
//! own scheme (SCTE 214-1 section 6.7), and all of them as the line that HLS has for them. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::xml::Element;
use crate::{DateRange, Length, PlaylistError};

const SCTE35_SCHEME: &str = "urn:scte:scte35:2014:xml+bin";
const SCTE35_NAMESPACE: &str = "http://www.scte.org/schemas/35/2016";
/// Our own: the message is the tag of HLS.
const DATE_RANGE_SCHEME: &str = "urn:flame:date-range:2026";
const MS_TIMESCALE: u32 = 1_000;
/// FNV-1a, 32 bits: `Event@id` is a number, and stays one and the same.
const FNV_OFFSET: u32 = 0x811c_9dc5;
const FNV_PRIME: u32 = 0x0100_0193;

/// The event streams of a Period that begins at `start_ms`, of which `ranges` begin in it or go on.
pub(super) fn streams(ranges: &[&DateRange], start_ms: u64) -> Result<Vec<Element>, PlaylistError> {
    let stream = |scheme: &str| {
        Element::new("EventStream")
            .with("schemeIdUri", scheme)
            .with("timescale", MS_TIMESCALE)
            .with_if("presentationTimeOffset", (start_ms > 0).then_some(start_ms))
    };
    let sections = ranges.iter().filter_map(|range| {
        let scte35 = &range.scte35;
        let section = scte35.out.as_ref().or(scte35.command.as_ref()).or(scte35.back_in.as_ref())?;
        let binary = Element::new("Binary").text(&STANDARD.encode(section));
        let signal = Element::new("Signal").with("xmlns", SCTE35_NAMESPACE).child(binary);
        Some(event(range).child(signal))
    });
    let sections: Vec<Element> = sections.collect();
    let mut streams = Vec::new();
    if !sections.is_empty() {
        streams.push(stream(SCTE35_SCHEME).children(sections));
    }
    if !ranges.is_empty() {
        let events = ranges.iter().map(|range| Ok(event(range).text(&range.tag()?)));
        streams.push(stream(DATE_RANGE_SCHEME).children(events.collect::<Result<Vec<_>, PlaylistError>>()?));
    }
    Ok(streams)
}

fn event(range: &DateRange) -> Element {
    let duration_ms = match range.length {
        Length::Known(ms) | Length::Planned(ms) => Some(ms),
        Length::Unknown | Length::UntilNext => None,
    };
    let id = range.id.bytes().fold(FNV_OFFSET, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(FNV_PRIME));
    Element::new("Event").with("presentationTime", range.start_ms).with_if("duration", duration_ms).with("id", id)
}
