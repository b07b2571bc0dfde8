//! What every service reads: values with units, and conditions of changes.

use flame_service_host::config::{Bytes, Span};
use flame_service_host::precondition::IfMatch;

use crate::fields::text;

/// Units of spans in milliseconds, of sizes in bytes; longest ending first.
const SPANS: [(&str, u128); 4] = [("min", 60_000), ("ms", 1), ("s", 1000), ("h", 3_600_000)];
const SIZES: [(&str, u128); 5] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40), ("B", 1)];

pub fn values(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let span = text.parse::<Span>().ok();
    assert_eq!(span.map(|span| span.0.as_millis()), model(text, &SPANS), "the span {text:?}");
    if let Some(span) = span {
        assert_eq!(span.to_string().parse(), Ok(span));
    }
    let bytes = text.parse::<Bytes>().ok();
    assert_eq!(bytes.map(|bytes| u128::from(bytes.0)), model(text, &SIZES), "the size {text:?}");
    if let Some(bytes) = bytes {
        assert_eq!(bytes.to_string().parse(), Ok(bytes));
    }
}

/// A whole number and a unit, of at most 64 bits together.
fn model(text: &str, units: &[(&str, u128)]) -> Option<u128> {
    let text = text.trim();
    let (unit, scale) = units.iter().find(|(unit, _)| text.ends_with(unit))?;
    let number = text[..text.len() - unit.len()].trim_end();
    // A sign is none of a number's digits.
    let digits = number.strip_prefix('+').unwrap_or(number);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let significant = digits.trim_start_matches('0');
    let number = if significant.len() > 20 { None } else { format!("0{significant}").parse::<u128>().ok() }?;
    let value = number.checked_mul(*scale)?;
    (number <= u128::from(u64::MAX) && value <= u128::from(u64::MAX)).then_some(value)
}

pub fn if_match(data: &[u8]) {
    let Some(text) = text(data) else { return };
    match IfMatch::parse(text) {
        None => {}
        Some(IfMatch::Any) => assert_eq!(text.trim(), "*"),
        Some(IfMatch::Tags(tags)) => {
            assert!(tags.len() <= 32 && tags.iter().all(|tag| !tag.contains('"')));
            let written: Vec<String> = tags.iter().map(|tag| format!("\"{tag}\"")).collect();
            for revision in [0, 7, u64::MAX] {
                let is_there = written.contains(&format!("\"{revision}\""));
                assert_eq!(IfMatch::Tags(tags.clone()).allows(revision), is_there);
            }
            if !tags.is_empty() {
                assert_eq!(IfMatch::parse(&written.join(", ")), Some(IfMatch::Tags(tags)));
            }
        }
    }
}
