//! Requests that are alike in all that an answer may depend on, said or unsaid: an answer that says nothing of whom it is for is for
//! those only who would have asked in the very same words.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// All fields of a request, each line of them, but those that say nothing of what is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Fields(Vec<(HeaderName, HeaderValue)>);

// === impl Fields ===

impl Fields {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let telling = headers.iter().filter(|(name, _)| !is_of_one_request(name.as_str()));
        let mut fields: Vec<_> = telling.map(|(name, value)| (name.clone(), value.clone())).collect();
        // The lines of one field stay in their order, which counts.
        fields.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
        Self(fields)
    }
}

/// Fields that differ from one request to the next whoever asks, and that nobody answers by: where it belongs in a trace (W3C Trace
/// Context), and what a player measured (CTA-5004).
fn is_of_one_request(name: &str) -> bool {
    matches!(name, "traceparent" | "tracestate" | "x-request-id") || name.starts_with("cmcd-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[(&'static str, &'static str)]) -> Fields {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        Fields::of(&headers)
    }

    #[test]
    fn alike_is_who_says_the_same_in_whatever_order_but_for_what_is_of_one_request() {
        let one =
            of(&[("x-region", "a"), ("accept", "x"), ("accept", "y"), ("traceparent", "1"), ("cmcd-request", "bl=1")]);
        assert_eq!(one, of(&[("accept", "x"), ("cmcd-session", "sid=2"), ("accept", "y"), ("x-region", "a")]));
        let others = [
            of(&[("accept", "x"), ("accept", "y"), ("x-region", "b")]),
            of(&[("accept", "x"), ("accept", "y")]),
            of(&[("accept", "y"), ("accept", "x"), ("x-region", "a")]),
            of(&[("accept", "x"), ("accept", "y"), ("x-region", "a"), ("user-agent", "")]),
        ];
        assert!(others.iter().all(|other| one != *other));
    }
}
