//! What may stand in the core record and in the fields of an experimenter's own: every limit by name, and the checks. Pure.

use std::fmt::Display;

use flame_api::metadata::{Agent, Custom, GeoCoordinates, Place, Record};
use serde_json::Value;

use crate::filter::instant_us;
use crate::limits::{NUMBER_MAX, Refused, is_language};

/// Largest record, and largest custom fields, as JSON, bytes: a page of 200 assets stays below what clients read.
pub const RECORD_MAX_BYTES: usize = 12 * 1024;
/// Longest description or notice, characters.
pub const DESCRIPTION_MAX_CHARS: usize = 5000;
/// Longest other text, characters.
pub const TEXT_MAX_CHARS: usize = 500;
/// Most items of a list.
pub const LIST_MAX: usize = 100;
/// Most objects and arrays in each other, in custom fields.
pub const DEPTH_MAX: usize = 8;
/// Most values in custom fields, objects and arrays among them.
pub const VALUES_MAX: usize = 1000;
/// Longest name of a custom field, bytes.
pub const NAME_MAX_BYTES: usize = 100;

fn refuse(field: impl Display, reason: impl Into<String>) -> Result<(), Refused> {
    Err(Refused { field: field.to_string(), reason: reason.into() })
}

/// Checks a record.
pub fn check_record(record: &Record) -> Result<(), Refused> {
    let json =
        serde_json::to_vec(record).map_err(|error| Refused { field: "record".into(), reason: error.to_string() })?;
    check_size("record", json.len())?;
    for (name, text) in [("description", &record.description), ("copyrightNotice", &record.copyright_notice)] {
        check_text(name, text.as_deref(), DESCRIPTION_MAX_CHARS)?;
    }
    for (name, text) in [
        ("alternateName", &record.alternate_name),
        ("license", &record.license),
        ("creditText", &record.credit_text),
        ("conditionsOfAccess", &record.conditions_of_access),
        ("contentRating", &record.content_rating),
    ] {
        check_text(name, text.as_deref(), TEXT_MAX_CHARS)?;
    }
    for (name, date) in
        [("dateCreated", &record.date_created), ("datePublished", &record.date_published), ("expires", &record.expires)]
    {
        if date.as_deref().is_some_and(|date| instant_us(date).is_none()) {
            return refuse(
                format_args!("record.{name}"),
                "must be a date such as `2026-05-17`, or one with time and zone",
            );
        }
    }
    for (name, texts) in [
        ("keywords", &record.keywords),
        ("genre", &record.genre),
        ("inLanguage", &record.in_language),
        ("regionsAllowed", &record.regions_allowed),
    ] {
        check_count(name, texts.len())?;
        texts.iter().try_for_each(|text| check_text(name, Some(text), TEXT_MAX_CHARS))?;
    }
    if record.in_language.iter().any(|tag| !is_language(tag)) {
        return refuse("record.inLanguage", "must hold language tags (BCP 47) such as `en`, `pt-BR`");
    }
    check_agents(record)?;
    check_count("identifier", record.identifier.len())?;
    for identifier in &record.identifier {
        check_text("identifier.propertyID", Some(&identifier.property_id), TEXT_MAX_CHARS)?;
        check_text("identifier.value", Some(&identifier.value), TEXT_MAX_CHARS)?;
    }
    check_count("contentLocation", record.content_location.len())?;
    record.content_location.iter().try_for_each(|place| check_place("contentLocation", place))?;
    record.location_created.iter().try_for_each(|place| check_place("locationCreated", place))?;
    check_chapters(record)
}

/// The people and organisations of a record, each list with the name of its field.
pub fn agents(record: &Record) -> [(&'static str, &[Agent]); 9] {
    [
        ("actor", &record.actor),
        ("author", &record.author),
        ("contributor", &record.contributor),
        ("creator", &record.creator),
        ("director", &record.director),
        ("producer", &record.producer),
        ("musicBy", &record.music_by),
        ("publisher", &record.publisher),
        ("copyrightHolder", &record.copyright_holder),
    ]
}

fn check_agents(record: &Record) -> Result<(), Refused> {
    for (name, agents) in agents(record) {
        check_count(name, agents.len())?;
        for agent in agents {
            let texts = [Some(agent.name.as_str()), agent.role_name.as_deref(), agent.same_as.as_deref()];
            texts.into_iter().try_for_each(|text| check_text(name, text, TEXT_MAX_CHARS))?;
        }
    }
    Ok(())
}

fn check_place(name: &str, place: &Place) -> Result<(), Refused> {
    check_text(name, Some(&place.name), TEXT_MAX_CHARS)?;
    check_text(name, place.address.as_deref(), TEXT_MAX_CHARS)?;
    let is_on_earth = |geo: GeoCoordinates| geo.latitude.abs() <= 90.0 && geo.longitude.abs() <= 180.0;
    if place.geo.is_none_or(is_on_earth) {
        return Ok(());
    }
    refuse(format_args!("record.{name}.geo"), "must have -90 to 90 degrees of latitude and -180 to 180 of longitude")
}

fn check_chapters(record: &Record) -> Result<(), Refused> {
    check_count("hasPart", record.has_part.len())?;
    let mut begin = 0.0;
    for chapter in &record.has_part {
        check_text("hasPart", Some(&chapter.name), TEXT_MAX_CHARS)?;
        let end = chapter.end_offset.unwrap_or(chapter.start_offset);
        if !(begin..=1e9).contains(&chapter.start_offset) || !(chapter.start_offset..=1e9).contains(&end) {
            return refuse(
                "record.hasPart",
                "must be in the order of `startOffset`, seconds, and end after they begin",
            );
        }
        begin = chapter.start_offset;
    }
    Ok(())
}

fn check_size(field: &str, bytes: usize) -> Result<(), Refused> {
    if bytes > RECORD_MAX_BYTES {
        return refuse(field, format!("must have at most {RECORD_MAX_BYTES} bytes as JSON, and has {bytes}"));
    }
    Ok(())
}

fn check_count(name: &str, count: usize) -> Result<(), Refused> {
    if count > LIST_MAX {
        return refuse(format_args!("record.{name}"), format!("must have at most {LIST_MAX} items"));
    }
    Ok(())
}

fn check_text(name: &str, text: Option<&str>, max: usize) -> Result<(), Refused> {
    let Some(text) = text else { return Ok(()) };
    let is_control = |symbol: char| symbol.is_control() && symbol != '\n' && symbol != '\t';
    if text.trim().is_empty() || text.chars().count() > max || text.chars().any(is_control) {
        let reason = format!("must have 1 to {max} characters that are not all blank, no control characters");
        return refuse(format_args!("record.{name}"), reason);
    }
    Ok(())
}

/// Checks custom fields.
pub fn check_custom(custom: &Custom) -> Result<(), Refused> {
    let json =
        serde_json::to_vec(custom).map_err(|error| Refused { field: "custom".into(), reason: error.to_string() })?;
    check_size("custom", json.len())?;
    let mut values = 0;
    check_members("custom", custom, 1, &mut values)
}

fn check_members(at: &str, members: &Custom, depth: usize, values: &mut usize) -> Result<(), Refused> {
    for (name, value) in members {
        if name.is_empty() || name.len() > NAME_MAX_BYTES || name.chars().any(char::is_control) {
            return refuse(at, format!("must have names of 1 to {NAME_MAX_BYTES} bytes, no control characters"));
        }
        check_value(&format!("{at}.{name}"), value, depth, values)?;
    }
    Ok(())
}

fn check_value(at: &str, value: &Value, depth: usize, values: &mut usize) -> Result<(), Refused> {
    *values += 1;
    if *values > VALUES_MAX {
        return refuse("custom", format!("must have at most {VALUES_MAX} values"));
    }
    if depth > DEPTH_MAX {
        return refuse(at, format!("must have at most {DEPTH_MAX} objects and arrays in each other"));
    }
    match value {
        Value::Null | Value::Bool(_) => Ok(()),
        Value::Number(number) if number.as_f64().is_some_and(|number| number.abs() <= NUMBER_MAX as f64) => Ok(()),
        Value::Number(_) => refuse(at, format!("must be a number from -{NUMBER_MAX} to {NUMBER_MAX}")),
        Value::String(text) if text.contains('\0') => refuse(at, "must have no NUL"),
        Value::String(_) => Ok(()),
        Value::Array(items) => items.iter().try_for_each(|item| check_value(at, item, depth + 1, values)),
        Value::Object(members) => check_members(at, members, depth + 1, values),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(value: Value) -> Result<(), Refused> {
        check_record(&serde_json::from_value(value).unwrap())
    }

    #[test]
    fn what_is_said_fits_or_is_refused_by_name() {
        let good = json!({
            "description": "Line one.\nLine two.", "keywords": ["sea", "wind"], "inLanguage": ["en", "pt-BR"],
            "dateCreated": "2026", "datePublished": "2026-05-17T12:00:00+02:00", "expires": "2027-05",
            "identifier": [{ "propertyID": "EIDR", "value": "10.5240/1" }],
            "director": [{ "name": "Agnès", "roleName": "second unit" }],
            "contentLocation": [{ "name": "Pier", "geo": { "latitude": 51.45, "longitude": -2.6 } }],
            "hasPart": [{ "name": "One", "startOffset": 0 }, { "name": "Two", "startOffset": 12.5, "endOffset": 20 }],
        });
        assert_eq!(record(good), Ok(()));
        for (wrong, field) in [
            (json!({ "description": "a\u{0}b" }), "record.description"),
            (json!({ "description": "x".repeat(5001) }), "record.description"),
            (json!({ "license": " " }), "record.license"),
            (json!({ "keywords": vec!["x"; 101] }), "record.keywords"),
            (json!({ "inLanguage": ["english language"] }), "record.inLanguage"),
            (json!({ "dateCreated": "17.5.2026" }), "record.dateCreated"),
            (json!({ "dateCreated": "2026-02-30" }), "record.dateCreated"),
            (json!({ "actor": [{ "name": "" }] }), "record.actor"),
            (
                json!({ "locationCreated": { "name": "x", "geo": { "latitude": 91, "longitude": 0 } } }),
                "record.locationCreated.geo",
            ),
            (json!({ "hasPart": [{ "name": "x", "startOffset": 5, "endOffset": 4 }] }), "record.hasPart"),
            (
                json!({ "hasPart": [{ "name": "x", "startOffset": 5 }, { "name": "y", "startOffset": 4 }] }),
                "record.hasPart",
            ),
            (json!({ "genre": vec!["x".repeat(200); 100] }), "record"),
        ] {
            assert_eq!(record(wrong.clone()).unwrap_err().field, field, "{wrong}");
        }
    }

    #[test]
    fn custom_fields_are_bounded_in_depth_number_and_size() {
        let custom = |value: Value| check_custom(value.as_object().unwrap());
        let nested = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!({ "a": inner }));
        assert_eq!(custom(nested(DEPTH_MAX)), Ok(()));
        assert!(custom(nested(DEPTH_MAX + 1)).is_err());
        assert_eq!(custom(json!({ "a": vec![1; VALUES_MAX - 1] })), Ok(()));
        assert!(custom(json!({ "a": vec![1; VALUES_MAX] })).is_err());
        assert!(custom(json!({ "a": "x".repeat(RECORD_MAX_BYTES) })).is_err());
        for wrong in [json!({ "": 1 }), json!({ "a\n": 1 }), json!({ "a": "\u{0}" }), json!({ "a": 1e300 })] {
            assert!(custom(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
