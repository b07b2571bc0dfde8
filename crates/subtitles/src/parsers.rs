//! What this crate reads of what others sent, as functions of one value: the way in for the fuzz targets (fuzz/), which
//! hold each of them to a property. No part of the API: nothing in the product calls it, so no program grows by it.

use crate::{Document, Format, language, parse};

/// The document in `data`: its first byte picks what the sender calls it, the rest are the bytes. The property: written as
/// WebVTT and read again it is the same, without warnings.
#[must_use]
pub fn document(data: &[u8]) -> Option<Document> {
    let (first, bytes) = data.split_first()?;
    let hint = match first % 4 {
        0 => None,
        1 => Some(Format::WebVtt),
        2 => Some(Format::SubRip),
        _ => Some(Format::Ttml),
    };
    parse(bytes, hint).ok()
}

/// The language tag in `text`. The property: a canonical tag is its own canonical tag.
#[must_use]
pub fn language_tag(text: &str) -> Option<String> {
    language::canonical(text).ok()
}
