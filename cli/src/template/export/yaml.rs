//! JSON values as YAML that people read and every parser takes: blocks, and strings in quotes wherever one could be taken for
//! something else (YAML 1.1 knows `no`, `on` and `12:30` as what is no text).

use serde_json::Value;

/// Words that some version of YAML takes for what is no text.
const TAKEN: [&str; 9] = ["true", "false", "yes", "null", "off", "nan", "inf", "none", "infinity"];

/// A document, ending with a line break.
pub fn written(value: &Value) -> String {
    if is_flat(value) { format!("{}\n", flat(value)) } else { block(value, 0) }
}

/// A map or list that holds something, `depth` levels in.
fn block(value: &Value, depth: usize) -> String {
    let pad = "  ".repeat(depth);
    let mut text = String::new();
    match value {
        Value::Object(entries) => {
            for (key, inner) in entries {
                let key = quoted_if_needed(key, "_-./");
                if is_flat(inner) {
                    text.push_str(&format!("{pad}{key}: {}\n", flat(inner)));
                } else {
                    text.push_str(&format!("{pad}{key}:\n{}", block(inner, depth + 1)));
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                if is_flat(item) {
                    text.push_str(&format!("{pad}- {}\n", flat(item)));
                } else {
                    // Its first line stands beside the dash.
                    text.push_str(&format!("{pad}- {}", block(item, depth + 1).trim_start()));
                }
            }
        }
        plain => text.push_str(&format!("{pad}{}\n", flat(plain))),
    }
    text
}

/// Whether it is written in one line.
fn is_flat(value: &Value) -> bool {
    match value {
        Value::Object(entries) => entries.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => true,
    }
}

fn flat(value: &Value) -> String {
    match value {
        Value::String(text) => quoted_if_needed(text, "_-"),
        // Numbers, booleans, `{}` and `[]` are written as in JSON.
        other => other.to_string(),
    }
}

/// A text, in the quotes of JSON unless it is letters first, then letters, digits and `also`, and means nothing else.
fn quoted_if_needed(text: &str, also: &str) -> String {
    let is_plain = text.len() > 2
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|one| one.is_ascii_alphanumeric() || also.contains(one))
        && !TAKEN.contains(&text.to_lowercase().as_str());
    if is_plain { text.to_owned() } else { Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn blocks_are_indented_and_what_could_be_something_else_is_quoted() {
        let value = json!({
            "kind": "Deployment", "no": "on", "count": 2, "empty": {}, "none": [],
            "list": [{ "name": "http", "ports": [80, "12:30"] }, "it's: \"so\"", []],
            "flame.eu/cluster": "rack-1", "text": "{state=booted}", "line": "a\nb", "True": "null", "yes": true,
        });
        let wanted = "\"True\": \"null\"\ncount: 2\nempty: {}\nflame.eu/cluster: rack-1\nkind: Deployment\nline: \"a\\nb\"\nlist:\n  - name: \
                      http\n    ports:\n      - 80\n      - \"12:30\"\n  - \"it's: \\\"so\\\"\"\n  - []\n\"no\": \"on\"\n\"none\": []\ntext: \
                      \"{state=booted}\"\n\"yes\": true\n";
        assert_eq!(written(&value), wanted);
        assert_eq!(written(&json!({})), "{}\n");
    }
}
