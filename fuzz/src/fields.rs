//! What targets have in common: a text's lines, fields of a head, and what a cache's directives are to somebody slow.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Text, or nothing: parsers of text never see anything else.
pub fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// The first `N - 1` lines, and everything behind them.
pub fn lines<const N: usize>(text: &str) -> [&str; N] {
    let mut parts = text.splitn(N, '\n');
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

/// The fields that `text` has, one a line; what is no field is skipped.
pub fn fields(text: &str) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in text.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        let name = HeaderName::from_bytes(name.trim().as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value.trim())) {
            fields.append(name, value);
        }
    }
    fields
}

/// A map with one more line of a field.
pub fn with(fields: &HeaderMap, name: &'static str, value: &str) -> HeaderMap {
    let mut fields = fields.clone();
    fields.append(HeaderName::from_static(name), HeaderValue::from_str(value).expect("the caller's own text"));
    fields
}

/// Whether a directive stands in any line of a field, read letter by letter (RFC 9110 section 5.6: tokens, quoted strings,
/// commas).
pub fn says(fields: &HeaderMap, name: &'static str, directive: &str) -> bool {
    fields.get_all(name).iter().any(|line| {
        let (mut member, mut is_quoted, mut is_escaped, mut found) = (String::new(), false, false, false);
        // A comma at the end ends the last member.
        for letter in line.as_bytes().iter().map(|byte| char::from(*byte)).chain([',']) {
            let is_end = letter == ',' && !is_quoted;
            if is_end {
                let key = member.split('=').next().unwrap_or_default().trim().to_ascii_lowercase();
                found |= key == directive;
                member.clear();
            } else {
                member.push(letter);
            }
            match letter {
                _ if is_escaped => is_escaped = false,
                '\\' if is_quoted => is_escaped = true,
                '"' => is_quoted = !is_quoted,
                _ => {}
            }
        }
        found
    })
}
