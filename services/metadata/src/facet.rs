//! How often each value of a field occurs among assets. Pure.
//!
//! An asset that has a value several times counts once for it. What can grow has a bound: assets are counted up to one, values of a
//! field up to [`VALUES_MAX`] (those that come after are only known to be there), and the most frequent are told.

use std::collections::{BTreeMap, BTreeSet};

use flame_api::metadata::{FACETS_MAX, Facet, FacetValue};
use serde_json::Value;

use crate::filter::{Field, Needs, Scalar};

/// Most different values of a field that are counted.
pub const VALUES_MAX: usize = 10_000;
/// Most values of a field that are told.
pub const TOLD_MAX: usize = 50;
/// Longest text that is a value of its own, in characters; longer ones are counted as their begins.
pub const TEXT_MAX_CHARS: usize = 200;

/// Counts under way.
#[derive(Debug)]
pub struct Tally(Vec<Counted>);

#[derive(Debug)]
struct Counted {
    field: Field,
    /// By the value as JSON.
    counts: BTreeMap<String, u64>,
    missing: u64,
    more: bool,
}

// === impl Tally ===

impl Tally {
    /// Reads the fields to count, with commas between them.
    pub fn parse(by: &str) -> Result<Self, String> {
        let fields: Vec<Field> = by.split(',').map(|name| Field::parse(name.trim())).collect::<Result<_, _>>()?;
        if fields.len() > FACETS_MAX {
            return Err(format!("has at most {FACETS_MAX} fields"));
        }
        let counted = |field| Counted { field, counts: BTreeMap::new(), missing: 0, more: false };
        Ok(Self(fields.into_iter().map(counted).collect()))
    }

    /// What of an asset it looks at.
    #[must_use]
    pub fn needs(&self) -> Needs {
        self.0.iter().map(|counted| counted.field.needs()).fold(Needs::default(), Needs::and)
    }

    /// Counts an asset, which has the form that the contract gives it.
    pub fn count(&mut self, asset: &Value) {
        for Counted { field, counts, missing, more } in &mut self.0 {
            let scalars = field.values(asset).into_iter().filter(|value| Scalar::of(field, value).is_some());
            let values: BTreeSet<String> = scalars.map(|value| short(value).to_string()).collect();
            if values.is_empty() {
                *missing += 1;
            }
            for value in values {
                if counts.len() < VALUES_MAX || counts.contains_key(&value) {
                    *counts.entry(value).or_default() += 1;
                } else {
                    *more = true;
                }
            }
        }
    }

    /// What was counted: the most frequent values first, of as frequent ones in the order of their JSON.
    #[must_use]
    pub fn told(self) -> Vec<Facet> {
        let told = |Counted { field, counts, missing, more }: Counted| {
            let more = more || counts.len() > TOLD_MAX;
            let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
            counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            let value = |(value, count): (String, u64)| {
                serde_json::from_str(&value).ok().map(|value| FacetValue { value, count })
            };
            let values = counts.into_iter().take(TOLD_MAX).filter_map(value).collect();
            Facet { field: field.to_string(), values, more, missing }
        };
        self.0.into_iter().map(told).collect()
    }
}

fn short(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.chars().take(TEXT_MAX_CHARS).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_counted_once_an_asset_and_the_most_frequent_come_first() {
        let mut tally = Tally::parse("record.keywords, custom.n").unwrap();
        for (keywords, n) in
            [(json!(["a", "b", "a"]), json!(1)), (json!(["b"]), json!("1")), (json!([]), json!({ "x": 1 }))]
        {
            tally.count(&json!({ "record": { "keywords": keywords }, "custom": { "n": n } }));
        }
        let told = tally.told();
        let value = |value: Value, count| FacetValue { value, count };
        assert_eq!(told[0].values, [value(json!("b"), 2), value(json!("a"), 1)]);
        assert_eq!((told[0].missing, told[0].more, told[0].field.as_str()), (1, false, "record.keywords"));
        assert_eq!(told[1].values, [value(json!("1"), 1), value(json!(1), 1)]);
    }

    #[test]
    fn values_and_fields_are_bounded() {
        assert!(Tally::parse(&["title"; 9].join(",")).is_err() && Tally::parse("").is_err());
        let mut tally = Tally::parse("custom.n").unwrap();
        (0..VALUES_MAX + 5).for_each(|n| tally.count(&json!({ "custom": { "n": n } })));
        assert_eq!(tally.0[0].counts.len(), VALUES_MAX);
        let told = tally.told();
        assert!(told[0].more && told[0].values.len() == TOLD_MAX);
    }
}
