//! What of an asset people edit, and what an edit makes of it: the decisions behind `PATCH` and `restore`. Pure.

use flame_api::metadata::{Asset, AssetPatch, Change, Custom, Encryption, Record, SoundLabel};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::limits::{self, Refused};
use crate::{merge, record};

/// The fields that people edit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Edited {
    /// The title.
    pub title: String,
    /// Whether viewers need a signed URL.
    pub protected: bool,
    /// How media is encrypted on its way to viewers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// What is said of the sounds.
    #[serde(default)]
    pub sound_labels: Vec<SoundLabel>,
    /// The core record.
    #[serde(default)]
    pub record: Record,
    /// The fields of an experimenter's own.
    #[serde(default)]
    pub custom: Custom,
}

/// Why a revision cannot be had again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreachable {
    /// It is still to come.
    Future,
    /// The changes since are no longer kept.
    Forgotten,
}

// === impl Edited ===

impl Edited {
    /// What stands in `asset`.
    #[must_use]
    pub fn of(asset: &Asset) -> Self {
        Self {
            title: asset.title.clone(),
            protected: asset.protected,
            encryption: asset.encryption,
            sound_labels: asset.sound_labels.clone(),
            record: asset.record.clone(),
            custom: asset.custom.clone(),
        }
    }

    /// The same after `patch`, checked.
    pub fn patched(&self, patch: &AssetPatch) -> Result<Self, Refused> {
        let (mut value, patch) = (self.value(), json("patch", patch)?);
        merge::apply(&mut value, &patch);
        let edited = Self::read(value)?;
        limits::check_title(&edited.title)?;
        limits::check_sound_labels(&edited.sound_labels)?;
        record::check_record(&edited.record)?;
        record::check_custom(&edited.custom)?;
        Ok(edited)
    }

    /// The same as it was after revision `wanted`, where `changes` are those since, newest first, and the last of them made
    /// revision `current`.
    pub fn before(&self, changes: &[Change], current: u64, wanted: u64) -> Result<Self, Unreachable> {
        let since = current.checked_sub(wanted).ok_or(Unreachable::Future)?;
        let mut value = self.value();
        let mut revisions = (wanted + 1..=current).rev();
        for change in changes {
            if revisions.next() != Some(change.revision) {
                return Err(Unreachable::Forgotten);
            }
            if let Some(undo) = &change.undo {
                merge::apply(&mut value, undo);
            }
        }
        if u64::try_from(changes.len()) != Ok(since) {
            return Err(Unreachable::Forgotten);
        }
        Self::read(value).map_err(|_| Unreachable::Forgotten)
    }

    /// The merge patches that lead from this to `after` and back; none where they are the same.
    #[must_use]
    pub fn patches_to(&self, after: &Self) -> Option<(Value, Value)> {
        let (before, after) = (self.value(), after.value());
        merge::diff(&before, &after).zip(merge::diff(&after, &before))
    }

    fn value(&self) -> Value {
        // Texts, numbers and lists of them: there is always such a value.
        serde_json::to_value(self).unwrap_or_default()
    }

    fn read(mut value: Value) -> Result<Self, Refused> {
        // One at a time, so that a refusal says which field it is about.
        for field in ["record", "custom"] {
            if value.get(field).is_some_and(|field| !field.is_object()) {
                return Err(Refused { field: field.to_owned(), reason: "must be an object".to_owned() });
            }
        }
        if let Some(Value::Object(members)) = value.get("record") {
            for (name, member) in members {
                let alone = Value::Object([(name.clone(), member.clone())].into_iter().collect());
                if let Err(error) = serde_json::from_value::<Record>(alone) {
                    return Err(Refused { field: format!("record.{name}"), reason: format!("does not fit: {error}") });
                }
            }
        }
        strip(&mut value);
        serde_json::from_value(value)
            .map_err(|error| Refused { field: "the patch".to_owned(), reason: format!("does not fit: {error}") })
    }
}

/// Takes null members out of objects that stand in arrays, which a merge takes over as they are.
fn strip(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn json(what: &str, value: &impl Serialize) -> Result<Value, Refused> {
    serde_json::to_value(value).map_err(|error| Refused { field: what.to_owned(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use flame_api::metadata::Action;
    use proptest::prelude::*;
    use serde_json::json;
    use time::OffsetDateTime;

    use super::*;

    fn edited() -> Edited {
        Edited {
            title: "t".to_owned(),
            protected: false,
            encryption: None,
            sound_labels: Vec::new(),
            record: Record::default(),
            custom: Custom::new(),
        }
    }

    fn patch(value: Value) -> AssetPatch {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_patch_reaches_into_records_and_a_refusal_names_the_field() {
        let first = edited().patched(&patch(
            json!({ "record": { "description": "d", "keywords": ["a"] }, "custom": { "a": { "b": 1, "c": 2 } } }),
        ));
        let first = first.unwrap();
        let second = first
            .patched(&patch(json!({ "record": { "description": null }, "custom": { "a": { "c": null } } })))
            .unwrap();
        assert_eq!((&second.record.description, &second.record.keywords), (&None, &vec!["a".to_owned()]));
        assert_eq!(Value::Object(second.custom.clone()), json!({ "a": { "b": 1 } }));
        assert!(second.patched(&patch(json!({ "record": null, "custom": null }))).unwrap().record.is_empty());
        for (wrong, field) in [
            (json!({ "record": { "descripton": "d" } }), "record.descripton"),
            (json!({ "record": { "keywords": "a" } }), "record.keywords"),
            (json!({ "record": [] }), "record"),
            (json!({ "custom": 1 }), "custom"),
            (json!({ "title": "" }), "title"),
        ] {
            assert_eq!(first.patched(&patch(wrong.clone())).unwrap_err().field, field, "{wrong}");
        }
    }

    proptest! {
        /// The model keeps every state; the code keeps the last one and what changed.
        #[test]
        fn every_revision_can_be_had_again(titles in prop::collection::vec(("[a-c]", "[a-c]?", "[x-z]?"), 1..12)) {
            let mut states = vec![edited()];
            let mut changes = Vec::new();
            for (title, description, custom) in titles {
                let said = |text: String| if text.is_empty() { Value::Null } else { Value::from(text) };
                let patch = patch(json!({
                    "title": title, "record": { "description": said(description) }, "custom": { "a": { "b": said(custom) } },
                }));
                let before = states.last().unwrap().clone();
                let after = before.patched(&patch).unwrap();
                let (change, undo) = before.patches_to(&after).unzip();
                let revision = u64::try_from(states.len()).unwrap() + 1;
                let at = OffsetDateTime::UNIX_EPOCH;
                changes.insert(0, Change { revision, at, by: String::new(), action: Action::Edited, detail: None, change, undo });
                states.push(after);
            }
            let current = u64::try_from(states.len()).unwrap();
            let last = states.last().unwrap().clone();
            for (wanted, state) in (1..).zip(&states) {
                let since = usize::try_from(current - wanted).unwrap();
                prop_assert_eq!(&last.before(&changes[..since], current, wanted).unwrap(), state);
                if since > 0 {
                    prop_assert_eq!(last.before(&changes[..since - 1], current, wanted), Err(Unreachable::Forgotten));
                }
            }
            prop_assert_eq!(last.before(&[], current, current + 1), Err(Unreachable::Future));
        }
    }
}
