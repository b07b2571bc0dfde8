//! Filters against a model that knows no paths and no tree: every way through the asset is written out, and each comparison looks
//! through all of them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn wants(filter: &str, asset: &Value) -> bool {
    Filter::parse(filter).unwrap_or_else(|error| panic!("{filter}: {error}")).wants(asset)
}

#[test]
fn values_are_compared_by_what_they_are() {
    let asset = json!({
        "title": "Été à Zürich", "state": "ready", "protected": false, "created_at": "2026-05-17T12:00:00Z",
        "probe": { "duration_ms": 5280, "video": { "height": 720 }, "audio": null },
        "record": {
            "keywords": ["sea", "Wind power"], "dateCreated": "2026-05", "director": [{ "name": "Agnès" }, { "name": "Jo" }],
            "contentLocation": [{ "name": "Pier", "geo": { "latitude": 51.45, "longitude": -2.6 } }, { "name": "nowhere" }],
        },
        "custom": { "code": "0042", "n": 42, "my field": { "x.y": true }, "day": "2026-05-17" },
        "version": { "tracks": [{ "kind": "video", "height": 1080 }, { "kind": "audio" }] },
    });
    for wanted in [
        "state = ready",
        "STATE=ready".to_lowercase().as_str(),
        "state in (failed, ready)",
        "protected = false and not protected = true",
        "probe.duration_ms >= 5280 and probe.duration_ms<5281",
        "probe.video.height = 720.0",
        "version.tracks.height > 1000",
        "title ~ \"zur\" and title ~ 'ETE A'",
        "record.keywords = sea",
        "record.keywords ~ power",
        "record.director.name = 'Agnès'",
        "record.director.name ~ agnes",
        "record.dateCreated = 2026-05-01",
        "record.dateCreated >= 2026 and record.dateCreated < 2026-06",
        "created_at > 2026-05-17 and created_at <= 2026-05-17T14:00:00+02:00",
        "custom.day >= 2026-05-17",
        "custom.code = 0042 and custom.n = 42 and custom.n = 0042",
        "custom.\"my field\".\"x.y\" = true",
        "exists(probe.video) and not exists(probe.audio) and exists(record.director)",
        "error != x",
        "near(record.contentLocation, 51.45, -2.59, 1km)",
        "within(record.contentLocation, 51, -3, 52, -2)",
        "within(record.contentLocation, 51, 170, 52, -2)",
        "title = x or (state = ready and (title = y or title ~ zurich))",
    ] {
        assert!(wants(wanted, &asset), "{wanted}");
    }
    for other in [
        "state = READY",
        "probe.duration_ms = \"5280\"",
        "probe.duration_ms ~ 5280",
        "probe.audio.codec = aac",
        "title ~ rich",
        "title > 7",
        "record.keywords != sea",
        "record.keywords = win",
        "custom.n = \"42\"",
        "custom.code > 41",
        "custom = x",
        "near(record.contentLocation, 51.45, -2.59, 500m)",
        "near(record.locationCreated, 51.45, -2.59, 20000km)",
        "within(record.contentLocation, 51, -2, 52, 3)",
        "within(record.contentLocation, 51, -2, 52, -3)",
        "exists(custom.none)",
    ] {
        assert!(!wants(other, &asset), "{other}");
    }
}

/// Great-circle distances that others publish: Paris to London is 344 km, and around the 180th meridian is not far.
#[test]
fn distances_are_those_of_the_earth() {
    let at = |latitude, longitude| GeoCoordinates { latitude, longitude };
    let paris = distance_m(at(48.8566, 2.3522), at(51.5074, -0.1278));
    assert!((343_000.0..345_000.0).contains(&paris), "{paris}");
    let date_line = distance_m(at(0.0, 179.5), at(0.0, -179.5));
    assert!((111_000.0..111_400.0).contains(&date_line), "{date_line}");
    assert!((20_015_000.0..20_015_200.0).contains(&distance_m(at(90.0, 0.0), at(-90.0, 0.0))));
}

#[test]
fn what_is_not_understood_says_where_and_why() {
    for (text, at, said) in [
        ("", 1, "a field is expected"),
        ("title", 6, "an operator"),
        ("title =", 8, "a value is expected, and it ends"),
        ("title = )", 9, "a value is expected, and there is `)`"),
        ("title = x y", 11, "`and`, `or` or the end"),
        ("(title = x", 11, "`)` is expected"),
        ("title = \"x", 9, "quotes are not closed"),
        ("colour = red", 1, "`colour` is no field; fields begin with one of source, probe"),
        ("title.x = 1", 1, "nothing stands below `title`"),
        ("probe.vido = 1", 1, "`probe` has the fields audio, bitrate_bps"),
        ("state = ready and record.descripton = x", 19, "`record.descripton` is no field"),
        ("title ~ '-'", 9, "no letter or digit"),
        ("near(custom.x, 91, 0, 1km)", 16, "latitude is expected, -90 to 90 degrees"),
        ("near(custom.x, 9, 0, 1)", 22, "a distance is expected, such as 500m or 2.5km"),
        ("near(custom.x, 9, 0, NaNm)", 22, "a distance is expected"),
        ("within(custom.x, 9, 0, 8, 1)", 22, "south lies north of north"),
        ("state in ()", 11, "a value is expected"),
    ] {
        let error = Filter::parse(text).unwrap_err();
        assert!(error.at == at && error.reason.contains(said), "{text}: {error}");
    }
    for long in [
        "title = x or ".repeat(200),
        format!("{}title = x{}", "(".repeat(17), ")".repeat(17)),
        format!("{}title = x", "not ".repeat(17)),
        format!("state in ({}x)", "x,".repeat(64)),
        format!("custom.{} = 1", "a.".repeat(12) + "a"),
    ] {
        assert!(Filter::parse(&long).is_err(), "{long}");
    }
    assert!(Filter::parse(&format!("{}title = x{}", "(".repeat(16), ")".repeat(16))).is_ok());
}

// === The model ===

/// Every way through `value` to something that is no list: its names, and what is there.
fn ways(value: &Value, names: &str, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| ways(item, names, found)),
        Value::Object(members) => {
            found.push((names.to_owned(), value.clone()));
            for (name, value) in members {
                ways(value, &format!("{names}/{name}"), found);
            }
        }
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) | Value::String(_) => found.push((names.to_owned(), value.clone())),
    }
}

/// A comparison of `custom.NAMES`.
#[derive(Debug, Clone)]
struct Term {
    names: Vec<String>,
    sign: &'static str,
    value: Value,
}

impl Term {
    fn text(&self) -> String {
        format!("custom.{} {} {}", self.names.join("."), self.sign, self.value)
    }

    fn holds(&self, ways: &[(String, Value)]) -> bool {
        let there: Vec<&Value> = ways
            .iter()
            .filter(|(names, _)| *names == format!("/custom/{}", self.names.join("/")))
            .map(|(_, value)| value)
            .collect();
        let less = |one: &Value, other: &Value| match (one, other) {
            (Value::Number(one), Value::Number(other)) => one.as_i64() < other.as_i64(),
            (Value::String(one), Value::String(other)) => one < other,
            _ => false,
        };
        let same_kind =
            |one: &Value| one.is_number() == self.value.is_number() && one.is_string() == self.value.is_string();
        let any = |test: &dyn Fn(&Value) -> bool| there.iter().any(|value| same_kind(value) && test(value));
        match self.sign {
            "=" => there.contains(&&self.value),
            "!=" => !there.contains(&&self.value),
            "<" => any(&|value| less(value, &self.value)),
            ">=" => {
                !self.value.is_boolean()
                    && any(&|value| !value.is_boolean() && !value.is_object() && !less(value, &self.value))
            }
            sign => panic!("{sign}"),
        }
    }
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::from),
        (-2_i64..3).prop_map(Value::from),
        "[abz]{0,2}".prop_map(Value::from)
    ]
}

fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![4 => scalar(), 1 => Just(Value::Null)];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[ab]", inner, 0..3).prop_map(|members| members.into_iter().collect::<Value>()),
        ]
    })
}

fn term() -> impl Strategy<Value = Term> {
    let names = prop::collection::vec("[ab]", 1..3);
    let sign = prop::sample::select(vec!["=", "!=", "<", ">="]);
    (names, sign, scalar()).prop_map(|(names, sign, value)| Term { names, sign, value })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn a_filter_wants_what_the_model_wants(
        custom in prop::collection::hash_map("[ab]", tree(), 1..3), (one, two, three) in (term(), term(), term()), (neither, first) in any::<(bool, bool)>(),
    ) {
        let asset = json!({ "title": "t", "custom": custom });
        let mut all = Vec::new();
        ways(&asset, "", &mut all);
        let (a, b, c) = (one.holds(&all), two.holds(&all), three.holds(&all));
        let (text, wanted) = match (neither, first) {
            (true, true) => (format!("not ({} or {})", one.text(), two.text()), !(a || b)),
            (true, false) => (format!("not {} and {}", one.text(), two.text()), !a && b),
            (false, true) => (format!("{} or {} and {}", one.text(), two.text(), three.text()), a || b && c),
            (false, false) => (format!("({} or {}) and {}", one.text(), two.text(), three.text()), (a || b) && c),
        };
        let filter = Filter::parse(&text).unwrap();
        prop_assert_eq!(filter.wants(&asset), wanted, "{} of {}", text, asset);
        prop_assert_eq!(Filter::parse(&filter.to_string()).unwrap(), filter);
    }

    #[test]
    fn what_is_understood_is_written_and_read_the_same(text in "[a-z(){}\"'=!<>~., 0-9]{0,40}|(not |\\(|title = x|\\)| and | or |exists\\(id\\)){0,8}") {
        if let Ok(filter) = Filter::parse(&text) {
            prop_assert_eq!(Filter::parse(&filter.to_string()), Ok(filter));
        }
    }
}
