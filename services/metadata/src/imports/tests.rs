//! What is read of a body, and what is decided of its lines.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn value(number: u128) -> Value {
    let id = Uuid::from_u128(number);
    json!({
        "id": id, "title": format!("No. {number}"),
        "source": { "key": format!("acme/sources/{id}"), "file_name": null, "size_bytes": 7, "sha256": "ab".repeat(32) },
        "probe": { "container": "mov", "duration_ms": 5280, "bitrate_bps": 1 },
    })
}

fn imported(number: u128, identifier: Option<&str>) -> ImportedAsset {
    let mut value = value(number);
    if let Some(identifier) = identifier {
        value["record"] = json!({ "identifier": [{ "propertyID": "house", "value": identifier }] });
    }
    serde_json::from_value(value).unwrap()
}

fn refusal(line: &Value) -> String {
    let lines = read("acme", line.to_string().as_bytes()).unwrap();
    lines[0].read.as_ref().unwrap_err().field.clone()
}

#[test]
fn blank_lines_count_and_are_none_and_a_wrong_one_leaves_the_others_alone() {
    let body = format!("\n{}\r\n  \n{{\n{}\n", value(1), value(2));
    let lines = read("acme", body.as_bytes()).unwrap();
    let told: Vec<_> = lines.iter().map(|line| (line.number, line.read.is_ok())).collect();
    assert_eq!(told, [(2, true), (4, false), (5, true)]);
    let many = |count| format!("{}\n", value(1)).repeat(count);
    assert_eq!(read("acme", many(IMPORT_LINES_MAX).as_bytes()).unwrap().len(), IMPORT_LINES_MAX);
    assert_eq!(read("acme", many(IMPORT_LINES_MAX + 1).as_bytes()).unwrap_err().field, "the body");
    assert_eq!(read("acme", b" \n\n").unwrap_err().field, "the body");
}

#[test]
fn a_line_is_checked_as_the_calls_that_would_bring_its_parts() {
    let with = |name: &str, part: Value| {
        let mut value = value(1);
        value[name] = part;
        value
    };
    assert_eq!(refusal(&with("titel", "x".into())), "the line");
    assert_eq!(refusal(&with("title", " ".into())), "title");
    assert_eq!(refusal(&with("poster_key", "other/x".into())), "poster_key");
    assert_eq!(refusal(&with("sound_labels", json!([{ "sound": 1 }, { "sound": 1 }]))), "sound_labels[1].sound");
    assert_eq!(refusal(&with("custom", json!({ "a\u{0}": 1 }))), "custom");
    let version =
        json!({ "name": "x", "job_id": null, "chain": "c", "tracks": [], "created_at": "2026-05-17T12:00:00Z" });
    assert_eq!(refusal(&with("version", version.clone())), "version");
    let mut named = version;
    named["name"] = "0123456789ab".into();
    assert_eq!(refusal(&with("version", named)), "tracks");
    let id = Uuid::from_u128(1);
    let subtitle = json!({
        "id": "0123456789ab", "language": "de", "role": "subtitle", "title": null, "default": false,
        "key": format!("acme/subtitles/{id}/x"), "size_bytes": 1, "sha256": "ab".repeat(32), "cues": 1,
        "created_at": "2026-05-17T12:00:00Z",
    });
    assert_eq!(refusal(&with("subtitles", json!([subtitle, subtitle]))), "subtitles");
    let lines = read("acme", with("subtitles", json!([subtitle])).to_string().as_bytes()).unwrap();
    assert!(lines[0].read.is_ok(), "{lines:?}");
}

#[test]
fn a_line_is_of_the_asset_with_its_id_else_with_its_identifier() {
    let assets = [imported(1, Some("a")), imported(2, Some("a")), imported(3, Some("b")), imported(4, None)];
    let mut there = Catalogue::default();
    there.identified.insert(("house".to_owned(), "b".to_owned(), "ab".repeat(32)), Uuid::from_u128(9));
    there.deleted.insert(Uuid::from_u128(4));
    let fates = decide("acme", &assets, there.clone());
    let known = |number| Fate::Known(Uuid::from_u128(number));
    assert_eq!(fates, [Fate::New, known(1), known(9), Fate::Deleted]);
    // The same id twice, and once more with another source.
    let mut other = imported(1, None);
    other.source.size_bytes += 1;
    let assets = [imported(1, None), imported(1, None), other];
    assert_eq!(decide("acme", &assets, there), [Fate::New, known(1), Fate::Taken]);
}

#[test]
fn an_identifier_stands_for_an_asset_with_the_same_bytes_alone() {
    let with = |number, sha256: &str| {
        let mut asset = imported(number, Some("b"));
        asset.source.sha256 = sha256.repeat(32);
        asset
    };
    let mut there = Catalogue::default();
    there.identified.insert(("house".to_owned(), "b".to_owned(), "ab".repeat(32)), Uuid::from_u128(9));
    let assets = [with(1, "cd"), with(2, "ab"), with(3, "cd"), with(4, "ef")];
    let known = |number| Fate::Known(Uuid::from_u128(number));
    assert_eq!(decide("acme", &assets, there), [Fate::New, known(9), known(1), Fate::New]);
}

proptest! {
    /// Ids are few here, so that some come again: whatever the order, each is registered once, at its first line.
    #[test]
    fn each_id_is_registered_once(numbers in prop::collection::vec(0_u128..6, 1..20), gone in 0_u128..6) {
        let assets: Vec<ImportedAsset> = numbers.iter().map(|number| imported(*number, None)).collect();
        let there = Catalogue { deleted: HashSet::from([Uuid::from_u128(gone)]), ..Catalogue::default() };
        let fates = decide("acme", &assets, there);
        prop_assert_eq!(fates.len(), numbers.len());
        let mut seen = HashSet::new();
        for (number, fate) in numbers.iter().zip(fates) {
            let id = Uuid::from_u128(*number);
            let wanted = match (*number == gone, seen.insert(id)) {
                (true, _) => Fate::Deleted,
                (false, true) => Fate::New,
                (false, false) => Fate::Known(id),
            };
            prop_assert_eq!(fate, wanted);
        }
    }
}
