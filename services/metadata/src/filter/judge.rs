//! Whether an asset is what a filter wants. Pure.

use std::cmp::Ordering;

use flame_api::metadata::GeoCoordinates;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use time::{Date, OffsetDateTime};

use super::{Area, Field, Filter, Literal, Operator};
use crate::words;

/// The mean radius of the earth, metres (IUGG).
const EARTH_RADIUS_M: f64 = 6_371_008.8;

/// A value that can be compared, and put into an order: truths, numbers, times, texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Scalar {
    /// `true` or `false`.
    Truth(bool),
    /// Any number.
    Number(f64),
    /// A time, microseconds since the Unix epoch.
    Time(i64),
    /// Any other text.
    Text(String),
}

/// The words of an asset's fields: cut once a field, however many terms ask for them.
#[derive(Default)]
struct Cut<'f>(Vec<(&'f Field, Vec<String>)>);

// === impl Cut ===

impl<'f> Cut<'f> {
    /// The words of each text of a field, with a space before each word.
    fn texts(&mut self, field: &'f Field, asset: &Value) -> &[String] {
        let known = self.0.iter().position(|(known, _)| *known == field);
        let at = known.unwrap_or_else(|| {
            let texts = field.values(asset).into_iter().filter_map(Value::as_str);
            let cut = texts.map(|text| words::of(text).into_iter().fold(String::new(), |all, word| all + " " + &word));
            self.0.push((field, cut.collect()));
            self.0.len() - 1
        });
        self.0.get(at).map_or(&[], |(_, texts)| texts)
    }
}

// === impl Filter ===

impl Filter {
    /// Whether it wants this asset, which has the form that the contract gives it.
    #[must_use]
    pub fn wants(&self, asset: &Value) -> bool {
        self.holds(asset, &mut Cut::default())
    }

    fn holds<'f>(&'f self, asset: &Value, cut: &mut Cut<'f>) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(asset, cut)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(asset, cut)),
            Self::Not(part) => !part.holds(asset, cut),
            Self::Compare(field, Operator::Words, literal) => {
                let wanted = format!(" {}", literal.words);
                cut.texts(field, asset).iter().any(|text| text.contains(&wanted))
            }
            Self::Compare(field, Operator::NotEqual, literal) => !has(asset, field, Operator::Equal, literal),
            Self::Compare(field, operator, literal) => has(asset, field, *operator, literal),
            Self::Exists(field) => !field.values(asset).is_empty(),
            Self::Near { field, centre, radius_m } => {
                places(asset, field).any(|place| distance_m(*centre, place) <= *radius_m)
            }
            Self::Within { field, area } => places(asset, field).any(|place| area.holds(place)),
        }
    }
}

fn has(asset: &Value, field: &Field, operator: Operator, literal: &Literal) -> bool {
    field.values(asset).into_iter().any(|value| match value {
        Value::Bool(truth) => operator == Operator::Equal && literal.truth == Some(*truth),
        Value::Number(number) => {
            let both = number.as_f64().zip(literal.number);
            both.and_then(|(number, wanted)| number.partial_cmp(&wanted)).is_some_and(|order| operator.fits(order))
        }
        Value::String(text) => has_text(text, field, operator, literal),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    })
}

fn has_text(text: &str, field: &Field, operator: Operator, literal: &Literal) -> bool {
    let times = field.may_be_time().then(|| instant_us(text)).flatten().zip(literal.at_us);
    let order = match times {
        Some((at_us, wanted_us)) => at_us.cmp(&wanted_us),
        // A number and a truth say nothing of the order of texts.
        None if operator != Operator::Equal && (literal.number.is_some() || literal.truth.is_some()) => return false,
        None => text.cmp(&literal.text),
    };
    operator.fits(order)
}

/// The places that a field has: coordinates, or something that has them as `geo`.
fn places<'a>(asset: &'a Value, field: &Field) -> impl Iterator<Item = GeoCoordinates> + 'a {
    let coordinates = |value: &Value| {
        let value = value.get("geo").unwrap_or(value);
        let degrees = |name: &str| value.get(name).and_then(Value::as_f64);
        Some(GeoCoordinates { latitude: degrees("latitude")?, longitude: degrees("longitude")? })
    };
    field.values(asset).into_iter().filter_map(coordinates)
}

/// The shortest way between two places over the surface, metres: that of a sphere, up to 0.6 % away from the ellipsoid's.
pub(super) fn distance_m(from: GeoCoordinates, to: GeoCoordinates) -> f64 {
    let (from_latitude, to_latitude) = (from.latitude.to_radians(), to.latitude.to_radians());
    let half = |degrees: f64| (degrees.to_radians() / 2.0).sin().powi(2);
    let north = half(to.latitude - from.latitude);
    let east = half(to.longitude - from.longitude);
    let chord = north + from_latitude.cos() * to_latitude.cos() * east;
    2.0 * EARTH_RADIUS_M * chord.sqrt().min(1.0).asin()
}

/// The moment that a text of ISO 8601 names, microseconds since the Unix epoch: of a year, a month or a day its first in UTC.
#[must_use]
pub fn instant_us(text: &str) -> Option<i64> {
    let day = match text.len() {
        4 => format!("{text}-01-01"),
        7 => format!("{text}-01"),
        10 => text.to_owned(),
        _ => {
            let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
            return i64::try_from(moment.unix_timestamp_nanos().div_euclid(1000)).ok();
        }
    };
    let date = Date::parse(&day, time::macros::format_description!("[year]-[month]-[day]")).ok()?;
    Some(date.midnight().assume_utc().unix_timestamp().saturating_mul(1_000_000))
}

// === impl Operator ===

impl Operator {
    fn fits(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::More => order.is_gt(),
            Self::AtLeast => order.is_ge(),
            Self::Words => false,
        }
    }
}

// === impl Area ===

impl Area {
    fn holds(self, place: GeoCoordinates) -> bool {
        let Self { south, west, north, east } = self;
        let between = if west <= east {
            (west..=east).contains(&place.longitude)
        } else {
            place.longitude >= west || place.longitude <= east
        };
        (south..=north).contains(&place.latitude) && between
    }
}

// === impl Scalar ===

impl Scalar {
    /// The value, where it is one that can be compared.
    #[must_use]
    pub fn of(field: &Field, value: &Value) -> Option<Self> {
        match value {
            Value::Bool(truth) => Some(Self::Truth(*truth)),
            Value::Number(number) => number.as_f64().map(Self::Number),
            Value::String(text) => {
                // A year alone is a time where times stand, and a text elsewhere.
                let is_time = field.is_time() || (field.may_be_time() && text.len() >= 10);
                let at_us = is_time.then(|| instant_us(text)).flatten();
                Some(at_us.map_or_else(|| Self::Text(text.clone()), Self::Time))
            }
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// The order of a list: texts in any case, then by code points.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Truth(one), Self::Truth(other)) => one.cmp(other),
            (Self::Number(one), Self::Number(other)) => one.total_cmp(other),
            (Self::Time(one), Self::Time(other)) => one.cmp(other),
            (Self::Text(one), Self::Text(other)) => {
                let letters = |text: &str| text.to_lowercase();
                letters(one).cmp(&letters(other)).then_with(|| one.cmp(other))
            }
            (_, _) => self.kind().cmp(&other.kind()),
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Truth(_) => 0,
            Self::Number(_) => 1,
            Self::Time(_) => 2,
            Self::Text(_) => 3,
        }
    }
}

#[cfg(test)]
mod tests;
