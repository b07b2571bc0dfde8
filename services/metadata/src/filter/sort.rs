//! In which order assets are wanted, and where a page of such a list ends: `title,-probe.duration_ms`. Pure.
//!
//! What an asset does not have comes last, either way round. Of several values the smallest counts, and the largest where it goes
//! down. What is equal stands newest first. A cursor holds the keys of the last asset, not its place, so that nothing is shown
//! twice or left out while others come and go.

use std::cmp::Ordering;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Field, Needs, Scalar};

/// Most fields of an order.
pub const KEYS_MAX: usize = 3;
/// Characters of a text that the order looks at.
pub const TEXT_MAX_CHARS: usize = 80;

/// An order of assets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort(Vec<(Field, bool)>);

/// What an asset's place in an order follows from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    values: Vec<Option<Scalar>>,
    /// Its place in the order of registration.
    pub seq: i64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cursor {
    sort: String,
    after: Key,
}

// === impl Sort ===

impl Sort {
    /// Reads fields with commas between them; `-` in front of one turns it round.
    pub fn parse(text: &str) -> Result<Self, String> {
        let keys = text.split(',').map(str::trim);
        let read = |key: &str| {
            let (name, down) = key.strip_prefix('-').map_or((key, false), |name| (name, true));
            Field::parse(name).map(|field| (field, down))
        };
        let keys: Vec<_> = keys.map(read).collect::<Result<_, _>>()?;
        if keys.len() > KEYS_MAX {
            return Err(format!("has at most {KEYS_MAX} fields"));
        }
        Ok(Self(keys))
    }

    /// What of an asset it looks at.
    #[must_use]
    pub fn needs(&self) -> Needs {
        self.0.iter().map(|(field, _)| field.needs()).fold(Needs::default(), Needs::and)
    }

    /// The key of an asset, which has the form that the contract gives it.
    #[must_use]
    pub fn key(&self, asset: &Value, seq: i64) -> Key {
        let value = |(field, down): &(Field, bool)| {
            let values = field.values(asset);
            let scalars = values.into_iter().filter_map(|value| Scalar::of(field, value)).map(short);
            if *down { scalars.max_by(Scalar::order) } else { scalars.min_by(Scalar::order) }
        };
        Key { values: self.0.iter().map(value).collect(), seq }
    }

    /// Which of two comes first.
    #[must_use]
    pub fn order(&self, one: &Key, other: &Key) -> Ordering {
        for ((_, down), (one, other)) in self.0.iter().zip(one.values.iter().zip(&other.values)) {
            let order = match (one, other) {
                (Some(one), Some(other)) if *down => other.order(one),
                (Some(one), Some(other)) => one.order(other),
                (one, other) => other.is_some().cmp(&one.is_some()),
            };
            if order.is_ne() {
                return order;
            }
        }
        other.seq.cmp(&one.seq)
    }

    /// The cursor behind the asset that has this key; opaque to callers.
    pub fn cursor(&self, after: &Key) -> Result<String, serde_json::Error> {
        let cursor = Cursor { sort: self.to_string(), after: after.clone() };
        Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(&cursor)?))
    }

    /// Reads a cursor; `None` if it is none of this order.
    #[must_use]
    pub fn after(&self, cursor: &str) -> Option<Key> {
        let Cursor { sort, after } = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        (sort == self.to_string() && after.values.len() == self.0.len()).then_some(after)
    }
}

/// As [`Sort::parse`] reads it.
impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (field, down)) in self.0.iter().enumerate() {
            let (comma, minus) = (if at > 0 { "," } else { "" }, if *down { "-" } else { "" });
            write!(f, "{comma}{minus}{field}")?;
        }
        Ok(())
    }
}

fn short(scalar: Scalar) -> Scalar {
    match scalar {
        Scalar::Text(text) => Scalar::Text(text.chars().take(TEXT_MAX_CHARS).collect()),
        Scalar::Truth(_) | Scalar::Number(_) | Scalar::Time(_) => scalar,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sorted(sort: &str, assets: &[Value]) -> Vec<i64> {
        let sort = Sort::parse(sort).unwrap();
        let mut keys: Vec<Key> = (0..).zip(assets).map(|(seq, asset)| sort.key(asset, seq)).collect();
        keys.sort_by(|one, other| sort.order(one, other));
        // From the cursor of each, the rest follows.
        for (at, key) in keys.iter().enumerate() {
            let after = sort.after(&sort.cursor(key).unwrap()).unwrap();
            let rest = keys.iter().filter(|key| sort.order(key, &after).is_gt()).count();
            assert_eq!(rest, keys.len() - at - 1);
        }
        keys.iter().map(|key| key.seq).collect()
    }

    #[test]
    fn what_is_missing_comes_last_and_what_is_equal_newest_first() {
        let assets = [
            json!({ "title": "b", "custom": { "n": 2 } }),
            json!({ "title": "A", "custom": { "n": [9, 1] } }),
            json!({ "title": "c", "custom": {} }),
            json!({ "title": "B", "custom": { "n": 2 } }),
        ];
        assert_eq!(sorted("title", &assets), [1, 3, 0, 2]);
        assert_eq!(sorted("-title", &assets), [2, 0, 3, 1]);
        assert_eq!(sorted("custom.n", &assets), [1, 3, 0, 2]);
        assert_eq!(sorted("-custom.n,title", &assets), [1, 3, 0, 2]);
        let times =
            [json!({ "created_at": "2026-01-01T00:00:01Z" }), json!({ "created_at": "2026-01-01T00:00:01.5Z" })];
        assert_eq!(sorted("-created_at", &times), [1, 0]);
    }

    #[test]
    fn an_order_is_refused_with_its_reason_and_a_cursor_holds_for_its_order_alone() {
        for wrong in ["", "title,", "colour", "title desc", "title,title,title,title", "record.nme"] {
            assert!(Sort::parse(wrong).is_err(), "{wrong}");
        }
        let by_title = Sort::parse("title").unwrap();
        let cursor = by_title.cursor(&by_title.key(&json!({ "title": "x" }), 7)).unwrap();
        assert!(by_title.after(&cursor).is_some());
        assert!(Sort::parse("-title").unwrap().after(&cursor).is_none());
        assert!(by_title.after("x").is_none());
    }
}
