//! `Cache-Status` (RFC 9211): what this surrogate did for a request, in words that machines read.

use std::fmt::Write;

use axum::http::StatusCode;

use crate::object::{Object, UnixMs};

/// What was done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CacheStatus {
    is_hit: bool,
    /// Seconds of freshness left; negative once it is stale.
    ttl_s: Option<i64>,
    forwarded: Option<Forwarded>,
    forwarded_status: Option<StatusCode>,
    is_collapsed: bool,
    is_stored: bool,
    detail: Option<&'static str>,
}

/// Why a request went upstream (RFC 9211 section 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forwarded {
    /// It is configured, or has credentials of its own.
    Bypass,
    /// Nothing is kept under this URL.
    UriMiss,
    /// What is kept under this URL is for other requests.
    VaryMiss,
    /// What is kept is stale.
    Stale,
    /// The request wants it fresh.
    Request,
    /// It changes something.
    Method,
}

// === impl CacheStatus ===

impl CacheStatus {
    const NOTHING: Self = Self {
        is_hit: false,
        ttl_s: None,
        forwarded: None,
        forwarded_status: None,
        is_collapsed: false,
        is_stored: false,
        detail: None,
    };

    /// Answered from what is kept.
    pub(crate) fn hit(object: &Object, now: UnixMs) -> Self {
        let ttl_ms = object.times.fresh_until.0.cast_signed().saturating_sub(now.0.cast_signed());
        Self { is_hit: true, ttl_s: Some(ttl_ms.div_euclid(1000)), ..Self::NOTHING }
    }

    /// Answered with a part of a body that is not whole.
    pub(crate) fn partial_hit() -> Self {
        Self { is_hit: true, detail: Some("partial"), ..Self::NOTHING }
    }

    /// Asked upstream.
    pub(crate) fn forwarded(why: Forwarded) -> Self {
        Self { forwarded: Some(why), ..Self::NOTHING }
    }

    /// Answered without either.
    pub(crate) fn refused() -> Self {
        Self { detail: Some("refused"), ..Self::NOTHING }
    }

    /// Another request was waited for.
    pub(crate) fn collapsed(self) -> Self {
        Self { is_collapsed: true, ..self }
    }

    /// The answer is kept.
    pub(crate) fn stored(self) -> Self {
        Self { is_stored: true, ..self }
    }

    /// What upstream answered.
    pub(crate) fn forwarded_status(self, status: StatusCode) -> Self {
        Self { forwarded_status: Some(status), ..self }
    }

    /// The stale one had to do.
    pub(crate) fn stale_if_error(self) -> Self {
        Self { detail: Some("stale-if-error"), ..self }
    }

    /// As a list member with this surrogate's name.
    pub(crate) fn text(&self, id: &str) -> String {
        let mut text = String::with_capacity(64);
        text.push_str(id);
        if self.is_hit {
            text.push_str("; hit");
        }
        if let Some(why) = self.forwarded {
            text.push_str("; fwd=");
            text.push_str(why.token());
        }
        if let Some(status) = self.forwarded_status {
            let _ = write!(text, "; fwd-status={}", status.as_u16());
        }
        if let Some(ttl_s) = self.ttl_s {
            let _ = write!(text, "; ttl={ttl_s}");
        }
        for (is_so, word) in [(self.is_stored, "; stored"), (self.is_collapsed, "; collapsed")] {
            text.push_str(if is_so { word } else { "" });
        }
        if let Some(detail) = self.detail {
            let _ = write!(text, "; detail={detail}");
        }
        text
    }
}

// === impl Forwarded ===

impl Forwarded {
    fn token(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Stale => "stale",
            Self::Request => "request",
            Self::Method => "method",
        }
    }
}
