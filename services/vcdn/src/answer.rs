//! What a viewer gets: a head, and where its body comes from. Written by [`crate::edge`], or by hyper.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use bytes::Bytes;
use flame_service_host::Failure;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::watch;

use crate::fill::Phase;
use crate::front::Slices;
use crate::medium::BodyFile;
use crate::object::Head;
use crate::stats::AssetCounters;

/// The whole of an answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub lead: Lead,
    /// `Age` in seconds, where the answer was kept.
    pub age_s: Option<u64>,
    /// RFC 9211.
    pub cache_status: String,
    pub content: Content,
    /// Where its bytes are counted.
    pub asset: Option<Arc<AssetCounters>>,
}

/// Status and fields.
#[derive(Debug, Clone)]
pub(crate) enum Lead {
    /// Those of a kept answer, ready to send.
    Kept(Arc<Head>),
    /// To be written.
    Fields(StatusCode, HeaderMap),
}

/// Where a body comes from.
#[derive(Debug)]
pub(crate) enum Content {
    /// None, whatever `Content-Length` says (HEAD, 304).
    None,
    Memory(Bytes),
    /// `length` bytes from `offset` on.
    File {
        file: Arc<BodyFile>,
        offset: u64,
        length: u64,
    },
    /// From `offset` to `end` (or to wherever it ends) of a fill, as it comes.
    Follow {
        fill: watch::Receiver<Phase>,
        offset: u64,
        end: Option<u64>,
    },
    /// Out of slices, one after the other.
    Slices(Box<Slices>),
    /// Passed through.
    Pass {
        body: Incoming,
        length: Option<u64>,
    },
}

// === impl Answer ===

impl Answer {
    /// A problem, never kept by anybody.
    pub(crate) async fn failure(failure: Failure, cache_status: String) -> Self {
        let (parts, body) = axum::response::IntoResponse::into_response(failure).into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let mut headers = parts.headers;
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        for_any_page(&mut headers);
        let content = Content::Memory(body);
        Self { lead: Lead::Fields(parts.status, headers), age_s: None, cache_status, content, asset: None }
    }

    pub(crate) fn status(&self) -> StatusCode {
        match &self.lead {
            Lead::Kept(head) => head.status,
            Lead::Fields(status, _) => *status,
        }
    }
}

// === impl Content ===

impl Content {
    /// The length of the body, where it is known; the fields say the same.
    pub(crate) fn length(&self) -> Option<u64> {
        match self {
            Self::None => Some(0),
            Self::Memory(bytes) => Some(bytes.len() as u64),
            Self::File { length, .. } => Some(*length),
            Self::Follow { offset, end, .. } => end.map(|end| end - offset),
            Self::Slices(slices) => Some(slices.left_bytes()),
            Self::Pass { length, .. } => *length,
        }
    }
}

/// What the hops of a delivery say of it (CTA-5006); each adds its own.
pub(crate) const CMSD_DYNAMIC: HeaderName = HeaderName::from_static("cmsd-dynamic");

/// Scripts of any page may read what is shared: there are no credentials that they could abuse.
pub(crate) fn for_any_page(headers: &mut HeaderMap) {
    const EXPOSED: HeaderValue =
        HeaderValue::from_static("content-length, content-range, etag, age, cache-status, cmsd-static, cmsd-dynamic");
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
}
