//! Merge patches of JSON (RFC 7396): applying one, and finding the one that leads from one value to another. Pure.
//!
//! A merge patch cannot say that a member is null: `null` removes it. What is kept here has no such members, for it was made by
//! merging; so there is always a patch that leads from one value to another.

use serde_json::{Map, Value};

/// Applies `patch` to `target` (RFC 7396 section 2).
pub fn apply(target: &mut Value, patch: &Value) {
    let Value::Object(members) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(kept) = target else { return };
    for (name, value) in members {
        if value.is_null() {
            kept.remove(name);
        } else {
            apply(kept.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

/// The smallest patch that leads from `before` to `after`; `None` where they are the same. Members of objects must not be null.
#[must_use]
pub fn diff(before: &Value, after: &Value) -> Option<Value> {
    if before == after {
        return None;
    }
    let (Value::Object(old), Value::Object(new)) = (before, after) else { return Some(after.clone()) };
    let mut patch = Map::new();
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    for (name, value) in new {
        let change = old.get(name).map_or_else(|| Some(value.clone()), |known| diff(known, value));
        if let Some(change) = change {
            patch.insert(name.clone(), change);
        }
    }
    Some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Values as they are kept: no member of an object is null.
    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c]", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// The examples of RFC 7396, appendix A.
    #[test]
    fn the_examples_of_the_standard() {
        for (before, patch, after) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "b"}), json!(["c"]), json!(["c"])),
            (json!({"a": "foo"}), Value::Null, Value::Null),
            (json!({"a": "foo"}), json!("bar"), json!("bar")),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let mut target = before.clone();
            apply(&mut target, &patch);
            assert_eq!(target, after, "{before} with {patch}");
        }
    }

    proptest! {
        #[test]
        fn what_differs_leads_there_and_back(before in value(), after in value()) {
            for (from, to) in [(&before, &after), (&after, &before)] {
                let mut target = from.clone();
                if let Some(patch) = diff(from, to) {
                    apply(&mut target, &patch);
                }
                prop_assert_eq!(&target, to);
            }
            prop_assert_eq!(diff(&before, &after).is_none(), before == after);
        }
    }
}
