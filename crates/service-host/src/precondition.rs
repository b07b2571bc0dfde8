//! `If-Match` (RFC 9110 section 13.1.1): a change is made only to what the caller saw.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};

use crate::problem::Failure;

/// The most entity tags that one request may list.
const TAGS_MAX: usize = 32;

/// Extractor: the states that the caller takes for current. `Option<IfMatch>` where the header may be absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// `*`: whatever there is.
    Any,
    /// One of these strong entity tags, without their quotes. Weak ones match nothing and are left out.
    Tags(Vec<String>),
}

/// The strong entity tag of `revision`, as a header value: `"7"`.
#[must_use]
pub fn revision_etag(revision: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{revision}\"")).expect("digits and quotes are visible ASCII")
}

// === impl IfMatch ===

impl IfMatch {
    /// Reads the value of the header; `None` if it is not of the form that RFC 9110 gives.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text.trim();
        if rest == "*" {
            return Some(Self::Any);
        }
        let mut tags = Vec::new();
        for _ in 0..TAGS_MAX {
            let weak = rest.strip_prefix("W/");
            let (tag, after) = weak.unwrap_or(rest).strip_prefix('"')?.split_once('"')?;
            // `If-Match` compares strongly (section 8.8.3.2): a weak tag is never equal.
            if weak.is_none() {
                tags.push(tag.to_owned());
            }
            rest = after.trim_start();
            if rest.is_empty() {
                return Some(Self::Tags(tags));
            }
            rest = rest.strip_prefix(',')?.trim_start();
        }
        None
    }

    /// Whether the current state, of revision `revision`, is one that the caller takes for current.
    #[must_use]
    pub fn allows(&self, revision: u64) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => {
                let current = revision.to_string();
                tags.contains(&current)
            }
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        from_headers(parts)?.ok_or_else(Failure::precondition_required)
    }
}

impl<S: Send + Sync> axum::extract::OptionalFromRequestParts<S> for IfMatch {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Failure> {
        from_headers(parts)
    }
}

fn from_headers(parts: &Parts) -> Result<Option<IfMatch>, Failure> {
    // Several lines of one list are one list (section 5.3).
    let lines: Vec<&str> =
        parts.headers.get_all(header::IF_MATCH).iter().map(|line| line.to_str().unwrap_or("?")).collect();
    if lines.is_empty() {
        return Ok(None);
    }
    let text = lines.join(", ");
    let parsed = IfMatch::parse(&text).ok_or_else(|| {
        Failure::bad_request(format!("If-Match is `*` or at most {TAGS_MAX} entity tags in quotes, not `{text}`"))
    })?;
    Ok(Some(parsed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(list: &[&str]) -> IfMatch {
        IfMatch::Tags(list.iter().map(|tag| (*tag).to_owned()).collect())
    }

    #[test]
    fn lists_are_read_and_compared_strongly() {
        assert_eq!(IfMatch::parse(" * "), Some(IfMatch::Any));
        assert_eq!(IfMatch::parse("\"7\""), Some(tags(&["7"])));
        assert_eq!(IfMatch::parse("\"7\" , W/\"8\",\"a,b\""), Some(tags(&["7", "a,b"])));
        assert!(tags(&["6", "7"]).allows(7));
        assert!(!tags(&["70"]).allows(7));
        assert!(!IfMatch::parse("W/\"7\"").unwrap().allows(7));
        assert_eq!(revision_etag(7), "\"7\"");
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for wrong in ["", "7", "\"7", "\"7\" \"8\"", "\"7\",", "*, \"7\"", "w/\"7\""] {
            assert_eq!(IfMatch::parse(wrong), None, "{wrong}");
        }
        assert_eq!(IfMatch::parse(&vec!["\"1\""; TAGS_MAX + 1].join(",")), None);
    }
}
