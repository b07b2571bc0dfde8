//! What people say of an asset: the core record, by the names of schema.org's `VideoObject`, and what else they like.
//!
//! Source of names and meanings: <https://schema.org/VideoObject> and its parents `MediaObject` and `CreativeWork`. `name` is
//! the asset's `title`, and what the probe measured (`duration`, `width`, …) is not said again here.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Fields that an experimenter chooses: any JSON object within the limits.
pub type Custom = serde_json::Map<String, serde_json::Value>;

/// The core record. Every field may be absent; texts are for people unless said otherwise.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Record {
    /// Another title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alternate_name: Option<String>,
    /// What is to be seen and heard: up to 5,000 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Words to find it by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    /// Its kinds: `documentary`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub genre: Vec<String>,
    /// Languages spoken (BCP 47).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub in_language: Vec<String>,
    /// When it was made (ISO 8601: `2026`, `2026-05`, `2026-05-17`, or a date with time and zone).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date_created: Option<String>,
    /// When it was first published (ISO 8601).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date_published: Option<String>,
    /// After when it is of no use any more (ISO 8601). Nothing is deleted for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// What others call it: several, each of a scheme.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub identifier: Vec<PropertyValue>,
    /// Who is to be seen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actor: Vec<Agent>,
    /// Who wrote it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub author: Vec<Agent>,
    /// Who else had a part in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contributor: Vec<Agent>,
    /// Who made it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub creator: Vec<Agent>,
    /// Who directed it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub director: Vec<Agent>,
    /// Who produced it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub producer: Vec<Agent>,
    /// Whose music it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub music_by: Vec<Agent>,
    /// Who publishes it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub publisher: Vec<Agent>,
    /// Whose the rights are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub copyright_holder: Vec<Agent>,
    /// The year of the rights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copyright_year: Option<u16>,
    /// The notice as it is to be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copyright_notice: Option<String>,
    /// The licence: its name or URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Who is to be named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credit_text: Option<String>,
    /// Under which conditions it may be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions_of_access: Option<String>,
    /// For whom it is fit: `MPAA PG-13`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_rating: Option<String>,
    /// Whether children may see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_family_friendly: Option<bool>,
    /// Where it may be shown: codes of countries (ISO 3166). Nothing is enforced by it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub regions_allowed: Vec<String>,
    /// Where what is to be seen is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub content_location: Vec<Place>,
    /// Where it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location_created: Option<Place>,
    /// Chapters, in the order of their begins.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub has_part: Vec<Clip>,
}

/// An identifier of a scheme.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PropertyValue {
    /// The scheme: `EIDR`, `ISAN`, `house-number`.
    #[serde(rename = "propertyID")]
    pub property_id: String,
    /// What it is called there.
    pub value: String,
}

/// A person or an organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Agent {
    /// Its name.
    pub name: String,
    /// What it did, or whom it played.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_name: Option<String>,
    /// A URL that stands for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_as: Option<String>,
}

/// A place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Place {
    /// Its name.
    pub name: String,
    /// Its address, on one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub geo: Option<GeoCoordinates>,
}

/// A point on earth (WGS 84).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GeoCoordinates {
    /// Degrees north, -90 to 90.
    pub latitude: f64,
    /// Degrees east, -180 to 180.
    pub longitude: f64,
}

/// A chapter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Clip {
    /// Its title.
    pub name: String,
    /// Where it begins, seconds.
    pub start_offset: f64,
    /// Where it ends, seconds; absent: where the next one begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_offset: Option<f64>,
}

// === impl Record ===

impl Record {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it has a member of that name. The type itself is asked, so that there is no second list of names.
    #[must_use]
    pub fn has_member(name: &str) -> bool {
        let alone = serde_json::Map::from_iter([(name.to_owned(), serde_json::Value::Null)]);
        match serde_json::from_value::<Self>(serde_json::Value::Object(alone)) {
            Ok(_) => true,
            Err(error) => !error.to_string().starts_with("unknown field"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_those_of_the_type() {
        for name in ["description", "keywords", "copyrightYear", "contentLocation", "isFamilyFriendly", "hasPart"] {
            assert!(Record::has_member(name), "{name}");
        }
        for name in ["", "name", "content_location", "Keywords"] {
            assert!(!Record::has_member(name), "{name}");
        }
    }
}
