//! Problem details (RFC 9457): the one shape in which every service says no.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The media type of a [`Problem`].
pub const CONTENT_TYPE: &str = "application/problem+json";

/// Field of an answer that says what a refusal is about: [`RESOURCE`] where it is what was asked for alone (an asset, a channel, a kind of
/// request), and the service does well otherwise. A router passes a service over that answers 503 with `Retry-After`; not for this.
pub const CONCERNS: &str = "flame-concerns";
/// The value of [`CONCERNS`] that says so.
pub const RESOURCE: &str = "resource";

/// The most of a body in another form that is told, bytes.
const FOREIGN_MAX_BYTES: usize = 300;

/// An `application/problem+json` body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// A stable word for programs, as a relative reference: `/problems/<slug>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words, the same for every occurrence.
    pub title: String,
    /// The HTTP status, repeated.
    pub status: u16,
    /// What happened this time: what was tried, on what, and what to do about it.
    pub detail: String,
}

impl Problem {
    /// A problem of the kind `slug` (for example `"not-found"`) with the HTTP status `status`.
    #[must_use]
    pub fn new(status: u16, slug: &str, title: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { kind: format!("/problems/{slug}"), title: title.into(), status, detail: detail.into() }
    }

    /// The problem that a refusal's body is; one made from its status and `reason` where it is none (a proxy in between).
    /// The status is the answer's own: what is retried, and what counts as absent, hangs on it (RFC 9457 section 3.1.2).
    #[must_use]
    pub fn read(status: u16, reason: &str, body: &[u8]) -> Self {
        if let Ok(problem) = serde_json::from_slice::<Self>(body) {
            return Self { status, ..problem };
        }
        let text = String::from_utf8_lossy(&body[..body.len().min(FOREIGN_MAX_BYTES)]);
        // A page for people is no reason: another kind of server sent it.
        let detail = match text.trim_start().starts_with('<') {
            true => "a web page answered; this seems to be another server than FLAME's router",
            false => text.trim(),
        };
        Self::new(status, "unknown", reason, detail)
    }

    /// The last part of `type`: what a program compares.
    #[must_use]
    pub fn slug(&self) -> &str {
        self.kind.rsplit('/').next().unwrap_or_default()
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} ({})", self.title, self.detail, self.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_web_page_is_not_told_as_a_reason() {
        let page = Problem::read(404, "Not Found", b"\n<!doctype html><p>nothing here");
        assert!(page.detail.contains("another server") && !page.detail.contains('<'), "{page}");
        assert_eq!(Problem::read(502, "Bad Gateway", b" upstream is away\n").detail, "upstream is away");
    }
}
