//! The JSON Schema of demands, with the same bounds as the checks: editors complete and underline with it. It is published as
//! `docs/sla.schema.json`. It cannot say all that is checked (that hours rise), and it never refuses what is right.

use serde_json::{Value, json};

use crate::document::{ASSETS_MAX, INSTANCES_MAX, SITES_MAX, SIZES_MAX, TIMES_MAX, VIEWERS_MAX};

/// The schema, as it is published.
#[must_use]
pub fn text() -> String {
    let mut text = serde_json::to_string_pretty(&schema()).unwrap_or_default();
    text.push('\n');
    text
}

fn number(about: &str, least: f64, most: f64) -> Value {
    json!({ "type": "number", "minimum": least, "maximum": most, "description": about })
}

fn whole(about: &str, least: u64, most: u64) -> Value {
    json!({ "type": "integer", "minimum": least, "maximum": most, "description": about })
}

fn object(about: &str, required: &[&str], properties: &Value) -> Value {
    json!({ "type": "object", "description": about, "required": required, "additionalProperties": false, "properties": properties })
}

fn schema() -> Value {
    let watching = object(
        "So many viewers from an hour on; the last one of a day lasts until the first",
        &["from_h", "count"],
        &json!({
            "from_h": number("The hour of the day", 0.0, 23.999),
            "count": whole("Viewers at once", 0, VIEWERS_MAX),
        }),
    );
    let demand = object(
        "Who watches at a site",
        &["site", "viewers"],
        &json!({
            "site": { "type": "string", "minLength": 1, "description": "The site, as the orchestrator's clusters have it" },
            "viewers": { "type": "array", "minItems": 1, "maxItems": TIMES_MAX, "items": watching },
            "arrive_s": number("The shortest time in which they come, seconds (default 60)", 0.1, 86_400.0),
        }),
    );
    let price = object(
        "What things cost at a cluster; the first that fits counts",
        &["at", "cpu", "gib"],
        &json!({
            "at": { "type": "string", "description": "A cluster, a site or a tier; `any` is all" },
            "cpu": number("A processor for an hour", 0.0, 1e9),
            "gib": number("A GiB of memory for an hour", 0.0, 1e9),
        }),
    );
    let mut schema = object(
        "So many viewers at these sites, so well served, for so much",
        &["sla", "content", "demand"],
        &json!({
            "sla": { "type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$", "description": "Its name, and that of the chain" },
            "about": { "type": "string", "description": "For people" },
            "content": object("What is watched", &["assets", "duration_s", "skew"], &json!({
                "assets": whole("How many assets", 1, ASSETS_MAX),
                "duration_s": number("How long one lasts, seconds", 1.0, 86_400.0),
                "skew": number("Exponent of Zipf's law; 0 is all alike", 0.0, 5.0),
            })),
            "demand": { "type": "array", "minItems": 1, "maxItems": SITES_MAX, "items": demand },
            "targets": object("How well; what is not said is not promised", &[], &json!({
                "start_up_ms": number("Time to the first picture that 95 of 100 viewers do not exceed, milliseconds", 1.0, 3_600_000.0),
                "stalled_share": number("Share of the time that players stand still, at most", 0.0, 1.0),
                "vmaf": number("Mean VMAF of what is watched, at least", 0.0, 100.0),
                "availability": number("Chance that enough surrogates are there, at least", 0.0, 0.999_999_999),
            })),
            "budget": object("For how much; what is not said is not bounded", &[], &json!({
                "cpus": whole("Processors", 0, u64::MAX),
                "memory_mib": whole("Memory, MiB", 0, u64::MAX),
                "per_hour": number("Cost of an hour", 0.0, 1e12),
            })),
            "prices": { "type": "array", "items": price },
            "cache_mib": {
                "type": "array", "minItems": 1, "maxItems": SIZES_MAX,
                "items": whole("What a surrogate keeps in memory, MiB", 1, 1 << 20),
                "description": "Sizes to choose from (default 64, 256, 1024)",
            },
            "instances_max": whole("Most surrogates at a cluster (default 20)", 1, INSTANCES_MAX),
            "assumed": object("What nobody can measure beforehand", &["failures_per_day"], &json!({
                "failures_per_day": number("How often a surrogate fails in a day (default 1)", 0.0, 86_400.0),
            })),
        }),
    );
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("FLAME demand (SLA)");
    schema
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::Sla;

    /// Every value of a document is named by the schema, within its bounds.
    fn allows(schema: &Value, value: &Value, path: &str) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let property = schema["properties"].get(key);
                    allows(
                        property.unwrap_or_else(|| panic!("{path}.{key} is not in the schema")),
                        value,
                        &format!("{path}.{key}"),
                    );
                }
                for required in schema["required"].as_array().into_iter().flatten() {
                    assert!(map.contains_key(required.as_str().unwrap()), "{path} has no {required}");
                }
            }
            Value::Array(items) => items.iter().for_each(|item| allows(&schema["items"], item, path)),
            Value::Number(number) => {
                let number = number.as_f64().unwrap();
                assert!(
                    schema["minimum"].as_f64().unwrap() <= number && number <= schema["maximum"].as_f64().unwrap(),
                    "{path}"
                );
            }
            Value::String(_) => assert_eq!(schema["type"], "string", "{path}"),
            Value::Null | Value::Bool(_) => panic!("{path} is nothing that a demand has"),
        }
    }

    #[test]
    fn what_is_shipped_fits_and_what_the_schema_requires_is_required() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../templates/sla");
        let mut seen = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            Sla::read(&text).unwrap();
            let value: Value = serde_saphyr::from_str(&text).unwrap();
            allows(&schema(), &value, "");
            for required in schema()["required"].as_array().unwrap() {
                let mut without = value.clone();
                without.as_object_mut().unwrap().remove(required.as_str().unwrap());
                // JSON is YAML.
                assert!(Sla::read(&without.to_string()).is_err(), "without {required}");
            }
            seen += 1;
        }
        assert!(seen > 0);
    }

    /// `UPDATE_GOLDEN=1` writes it.
    #[test]
    fn the_published_schema_is_this_one() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sla.schema.json");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, text()).unwrap();
        }
        assert!(std::fs::read_to_string(&path).unwrap_or_default() == text(), "run this test with UPDATE_GOLDEN=1");
    }
}
