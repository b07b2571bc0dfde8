//! JUnit XML, which continuous integration shows: a test case for each thing that was checked.

use std::fmt::Write;

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// What it is part of.
    pub class: String,
    /// What was checked.
    pub name: String,
    /// How long it took, seconds.
    pub time_s: f64,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a check ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It holds; the text says what was measured.
    Passed(String),
    /// It does not hold.
    Failed(String),
    /// It could not be measured.
    Error(String),
}

/// The document of one suite.
#[must_use]
pub fn document(suite: &str, cases: &[Case]) -> String {
    let count = |wanted: fn(&Outcome) -> bool| cases.iter().filter(|case| wanted(&case.outcome)).count();
    let failures = count(|outcome| matches!(outcome, Outcome::Failed(_)));
    let errors = count(|outcome| matches!(outcome, Outcome::Error(_)));
    let time_s: f64 = cases.iter().map(|case| case.time_s).sum();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing into a string does not fail.
    let _ = writeln!(
        text,
        "<testsuites>\n<testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" time=\"{time_s:.3}\">",
        escape(suite),
        cases.len(),
    );
    for case in cases {
        let _ = write!(
            text,
            "<testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\">",
            escape(&case.class),
            escape(&case.name),
            case.time_s
        );
        let _ = match &case.outcome {
            Outcome::Passed(said) => write!(text, "<system-out>{}</system-out>", escape(said)),
            Outcome::Failed(why) => write!(text, "<failure message=\"{}\"/>", escape(why)),
            Outcome::Error(why) => write!(text, "<error message=\"{}\"/>", escape(why)),
        };
        text.push_str("</testcase>\n");
    }
    text.push_str("</testsuite>\n</testsuites>\n");
    text
}

/// Text for XML 1.0, in which most control characters cannot be written at all.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            character if character.is_control() || matches!(character, '\u{fffe}' | '\u{ffff}') => {
                escaped.push('\u{fffd}')
            }
            character => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_escapes() {
        let case = |outcome| Case { class: "a<b".to_owned(), name: "c".to_owned(), time_s: 0.5, outcome };
        let text = document(
            "smoke",
            &[
                case(Outcome::Passed("fine".to_owned())),
                case(Outcome::Failed("\"x\" & \u{7}".to_owned())),
                case(Outcome::Error("no".to_owned())),
            ],
        );
        assert!(text.contains("tests=\"3\" failures=\"1\" errors=\"1\" time=\"1.500\""), "{text}");
        assert!(text.contains("message=\"&quot;x&quot; &amp; \u{fffd}\""), "{text}");
        assert!(text.contains("classname=\"a&lt;b\""), "{text}");
    }
}
