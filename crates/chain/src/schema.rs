//! The JSON Schema of chains, from the same table as the checks: editors complete and underline with it. It is published
//! as `docs/chain.schema.json`. It cannot say all that is checked (who feeds whom), and it never refuses what is right.

use serde_json::{Map, Value, json};

use crate::read::{ABOUT_MAX_CHARS, PARAMETERS_MAX, STAGES_MAX};
use crate::table::{Kind, ParameterType, SIDE_MAX, SIDE_MIN, STAGES, StageType};

const NAME: &str = "^[a-z][a-z0-9_-]{0,63}$";
/// A parameter of the chain instead of a value.
const REFERENCE: &str = r"^\$\{[a-z][a-z0-9_-]{0,63}\}$";

/// The schema, as it is published.
#[must_use]
pub fn text() -> String {
    let mut text = serde_json::to_string_pretty(&schema()).unwrap_or_default();
    text.push('\n');
    text
}

fn schema() -> Value {
    let parameter = json!({
        "type": "object",
        "required": ["default"],
        "additionalProperties": false,
        "properties": {
            "default": { "type": ["string", "number", "boolean", "array"] },
            "about": about(),
        },
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "FLAME chain",
        "description": "How an asset is conditioned: a graph of stages",
        "type": "object",
        "required": ["chain", "stages"],
        "additionalProperties": false,
        "properties": {
            "chain": { "type": "string", "pattern": NAME, "description": "Its name" },
            "about": about(),
            "parameters": {
                "type": "object",
                "maxProperties": PARAMETERS_MAX,
                "propertyNames": { "pattern": NAME },
                "additionalProperties": parameter,
                "description": "What can be set when it is run; `${name}` stands for the value",
            },
            "stages": {
                "type": "object",
                "minProperties": 1,
                "maxProperties": STAGES_MAX,
                "propertyNames": { "pattern": NAME },
                "additionalProperties": { "oneOf": STAGES.iter().map(stage).collect::<Vec<_>>() },
            },
        },
    })
}

fn about() -> Value {
    json!({ "type": ["string", "number", "boolean"], "maxLength": ABOUT_MAX_CHARS, "description": "For people" })
}

fn stage(stage: &StageType) -> Value {
    let mut properties = Map::new();
    let mut required = vec!["type"];
    properties.insert("type".to_owned(), json!({ "const": stage.word }));
    if stage.inputs_max > 0 {
        required.push("input");
        let one = json!({ "type": "string", "pattern": NAME });
        let many = json!({ "type": "array", "items": one, "minItems": 1, "maxItems": stage.inputs_max });
        properties.insert("input".to_owned(), json!({ "anyOf": [one, many], "description": "Who feeds it" }));
    }
    for parameter in stage.parameters {
        if parameter.default.is_none() {
            required.push(parameter.word);
        }
        properties.insert(parameter.word.to_owned(), setting(parameter));
    }
    json!({
        "type": "object",
        "description": stage.about,
        "required": required,
        "additionalProperties": false,
        "properties": properties,
    })
}

fn setting(parameter: &ParameterType) -> Value {
    let text = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    let mut any = match parameter.kind {
        Kind::Word(words) => {
            let numbers: Vec<u32> = words.iter().filter_map(|word| word.parse().ok()).collect();
            match numbers.is_empty() {
                true => vec![json!({ "enum": words })],
                false => vec![json!({ "enum": words }), json!({ "enum": numbers })],
            }
        }
        Kind::Number { min, max, words } => {
            let number = json!({ "type": "integer", "minimum": min, "maximum": max });
            vec![number, text("^[0-9]+$"), json!({ "enum": words })]
        }
        Kind::Bitrate { min, max, words } => vec![
            json!({ "type": "number", "minimum": min, "maximum": max }),
            text("^[0-9]+(\\.[0-9]+)?[kKM]?$"),
            json!({ "enum": words }),
        ],
        Kind::Time { .. } => vec![text("^[0-9]+(\\.[0-9]+)?(ms|s)$")],
        Kind::Level { min, max } => {
            vec![json!({ "type": "number", "minimum": min, "maximum": max }), text("^-?[0-9]+(\\.[0-9]+)?$")]
        }
        Kind::Ratio { min, max } => vec![
            json!({ "type": "number", "minimum": min, "maximum": max }),
            text("^[0-9]+(\\.[0-9]+)?$|^[0-9]+[:/][0-9]+$"),
        ],
        Kind::Sizes => {
            let side = json!({ "type": "integer", "minimum": SIDE_MIN, "maximum": SIDE_MAX, "multipleOf": 2 });
            let item = json!({ "anyOf": [side, text("^[0-9]*[02468]$"), text(REFERENCE)] });
            vec![
                json!({ "enum": ["classic", "source"] }),
                side,
                text("^ *[0-9]*[02468] *(, *[0-9]*[02468] *)*$"),
                json!({ "type": "array", "items": item, "minItems": 1 }),
            ]
        }
        Kind::Encoder => vec![json!({ "type": "string" })],
        Kind::Gates => vec![json!({ "type": "array", "items": { "type": "string" } }), json!({ "enum": [null, ""] })],
    };
    // An empty enum allows nothing.
    any.retain(|option| option["enum"].as_array().is_none_or(|words| !words.is_empty()));
    any.push(text(REFERENCE));
    let mut said = json!({ "anyOf": any, "description": parameter.about });
    if let Some(default) = parameter.default.filter(|default| !default.is_empty()) {
        said["default"] = json!(default);
    }
    said
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;
    use regex_lite::Regex;

    use super::*;
    use crate::{document, setting};

    /// Whether `schema` allows `value`: of JSON Schema only what is written here.
    fn allows(schema: &Value, value: &Value) -> bool {
        let is_type = |name: &str| match name {
            "string" => value.is_string(),
            "number" => value.is_number(),
            "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
            "array" => value.is_array(),
            other => panic!("{other} is not used"),
        };
        let number = |key: &str| schema[key].as_f64();
        let items = value.as_array().map_or(&[][..], Vec::as_slice);
        schema["anyOf"].as_array().is_none_or(|any| any.iter().any(|one| allows(one, value)))
            && schema["enum"].as_array().is_none_or(|words| words.contains(value))
            && schema["type"].as_str().is_none_or(is_type)
            && schema["pattern"]
                .as_str()
                .is_none_or(|pattern| value.as_str().is_none_or(|text| Regex::new(pattern).unwrap().is_match(text)))
            && number("minimum").is_none_or(|least| value.as_f64().is_none_or(|number| number >= least))
            && number("maximum").is_none_or(|most| value.as_f64().is_none_or(|number| number <= most))
            && number("multipleOf").is_none_or(|of| value.as_f64().is_none_or(|number| number % of == 0.0))
            && items.iter().all(|item| schema["items"].is_null() || allows(&schema["items"], item))
    }

    fn values() -> impl Strategy<Value = Value> {
        let words =
            ["classic", "source", "auto", "none", "x264", "mono", "16:9", "2.5M", "96k", "500ms", "2s", "720, 360", ""];
        let scalar = prop_oneof![
            (0_u32..3000).prop_map(|number| json!(number)),
            (0_u32..3000).prop_map(|number| json!(number.to_string())),
            (0_u32..300).prop_map(|number| json!(f64::from(number) / 4.0)),
            (0_u32..300).prop_map(|number| json!((f64::from(number) / 4.0).to_string())),
            (0_u32..200).prop_map(|number| json!(f64::from(number) / -4.0)),
            (0_u32..200).prop_map(|number| json!((f64::from(number) / -4.0).to_string())),
            prop::sample::select(words.to_vec()).prop_map(|word| json!(word)),
            "[+ 0-9.:/kMms-]{0,6}".prop_map(|text| json!(text)),
            Just(Value::Null),
        ];
        prop_oneof![4 => scalar.clone(), 1 => prop::collection::vec(scalar, 0..3).prop_map(Value::Array)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// What the reader takes is never underlined by an editor.
        #[test]
        fn the_schema_allows_what_is_read(value in values(), which in 0_usize..100) {
            let all: Vec<&ParameterType> = STAGES.iter().flat_map(|stage| stage.parameters).collect();
            let parameter = all[which % all.len()];
            let node = document::parse(&value.to_string()).unwrap();
            // A stage knows which encoders there are; a kind takes any word.
            let is_checked_later = matches!(parameter.kind, Kind::Encoder);
            if !is_checked_later && setting::read(parameter, &node).is_ok() {
                prop_assert!(allows(&setting(parameter), &value), "`{}`: {value}", parameter.word);
            }
        }
    }

    /// `UPDATE_GOLDEN=1` writes it.
    #[test]
    fn the_published_schema_is_this_one() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/chain.schema.json");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, text()).unwrap();
        }
        assert!(std::fs::read_to_string(&path).unwrap_or_default() == text(), "run this test with UPDATE_GOLDEN=1");
    }
}
