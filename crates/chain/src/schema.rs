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
    json!({ "type": "string", "maxLength": ABOUT_MAX_CHARS, "description": "For people" })
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
            vec![json!({ "type": "integer", "minimum": min, "maximum": max }), json!({ "enum": words })]
        }
        Kind::Bitrate { min, max, words } => vec![
            json!({ "type": "integer", "minimum": min, "maximum": max }),
            text("^[0-9]+(\\.[0-9]+)?[kKM]?$"),
            json!({ "enum": words }),
        ],
        Kind::Time { .. } => vec![text("^[0-9]+(\\.[0-9]+)?(ms|s)$")],
        Kind::Ratio { min, max } => vec![
            json!({ "type": "number", "minimum": min, "maximum": max }),
            text("^[0-9]+(\\.[0-9]+)?$|^[0-9]+[:/][0-9]+$"),
        ],
        Kind::Sizes => {
            let side = json!({ "type": "integer", "minimum": SIDE_MIN, "maximum": SIDE_MAX, "multipleOf": 2 });
            let item = json!({ "anyOf": [side, text(REFERENCE)] });
            vec![
                json!({ "enum": ["classic", "source"] }),
                side,
                json!({ "type": "array", "items": item, "minItems": 1 }),
            ]
        }
        Kind::Encoder => vec![json!({ "type": "string" })],
        Kind::Gates => vec![json!({ "type": "array", "items": { "type": "string" } })],
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

    use super::*;

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
