//! What of the catalogue is wanted: lists, filters, orders, and how often each value occurs.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::AssetState;

/// The most fields that are counted at once.
pub const FACETS_MAX: usize = 8;

/// Query of `GET /assets`, newest first. Where `q` is given, assets whose title has all its words come before those
/// that need the file name, each newest first: an order that does not move while others are registered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AssetQuery {
    /// Words to find in title, file name and record, there also in other forms by the record's languages; the last one matches as a prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
    /// Only assets in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<AssetState>,
    /// Only assets that this wants, such as `state = ready and probe.video.height >= 1080`. Up to a bound of assets are looked at for
    /// a page: it may be short, or empty, and still have a `next_cursor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Another order: up to three fields with commas between them, `-` in front of one that goes down, such as
    /// `-probe.duration_ms,title`. The newest 10,000 matches are put into it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort: Option<String>,
    /// Those that are called so by others (`record.identifier`), exactly: the scheme, a colon, and the value, such as
    /// `EIDR:10.5240/1`. An index answers; not with `q`, `filter`, `sort`, `deleted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// Those whose source has this SHA-256 (lower-case hex). An index answers; not with `q`, `filter`, `sort`, `deleted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Those that have these ids, up to 100 with commas between them; what is not there, or another tenant's, is left out. Not with `q`,
    /// `filter`, `sort`, `deleted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<String>,
    /// With `q`: each asset says where its title, file name and record have the words (`highlights`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub highlight: bool,
    /// Those in the trash, instead of those in the catalogue; not with `q`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Items wanted, 1 to 200 (default 50).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Title, file name and texts of the record in pieces, of which those are marked that a search found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Highlights {
    /// All of the title.
    pub title: Vec<Piece>,
    /// All of the file name; empty where it has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub file_name: Vec<Piece>,
    /// Texts of the record in which something was found, up to 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub record: Vec<FoundIn>,
}

/// A text of a record in which a search found something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FoundIn {
    /// The member of the record: `description`, `actor`, `hasPart`.
    pub field: String,
    /// All of the text.
    pub pieces: Vec<Piece>,
}

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Piece {
    /// Its characters, as they are: no markup.
    pub text: String,
    /// Whether a word of the search is here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hit: bool,
}

/// Query of `GET /facets`: which assets, and which of their fields.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FacetQuery {
    /// The fields, 1 to 8, with commas between them: `state,record.keywords`.
    pub by: String,
    /// Words to find in title, file name and record, there also in other forms by the record's languages; the last one matches as a prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
    /// Only assets in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<AssetState>,
    /// Only assets that this wants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

/// How often each value occurs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Facets {
    /// How many assets there are of those that are asked for.
    pub matches: Matches,
    /// The fields, in the order in which they were asked for.
    pub facets: Vec<Facet>,
}

/// A count that ends at a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Matches {
    /// How many were counted.
    pub count: u64,
    /// Whether there may be more: then older assets were not looked at.
    pub more: bool,
}

/// The values of a field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Facet {
    /// The field.
    pub field: String,
    /// Its values, the most frequent first, at most 50.
    pub values: Vec<FacetValue>,
    /// Whether it has more values than these.
    pub more: bool,
    /// Assets that have no value there.
    pub missing: u64,
}

/// A value, and how many assets have it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FacetValue {
    /// The value: a text, a number, `true` or `false`.
    #[schema(value_type = Object)]
    pub value: serde_json::Value,
    /// How many assets have it.
    pub count: u64,
}

// === impl Matches ===

/// For people: `12`, `10,000+`.
impl std::fmt::Display for Matches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = self.count.to_string();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        f.write_str(if self.more { "+" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_ended_says_so() {
        let said = |count, more| Matches { count, more }.to_string();
        assert_eq!([said(0, false), said(999, false), said(10_000, true)], ["0", "999", "10,000+"]);
        assert_eq!(said(1_234_567, false), "1,234,567");
    }
}
