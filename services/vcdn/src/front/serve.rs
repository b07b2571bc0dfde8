//! Answers out of what is kept: whole, in part, or "not modified".

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use flame_service_host::Failure;

use super::{Asked, Front};
use crate::answer::{Answer, Content, Lead};
use crate::fill::Flow;
use crate::medium::Medium;
use crate::object::{Head, Object, UnixMs};
use crate::policy::{self, Condition, Part};
use crate::status::CacheStatus;

/// Fields about a body that a 304 does not have.
const OF_BODY: [HeaderName; 4] =
    [header::CONTENT_LENGTH, header::CONTENT_TYPE, header::CONTENT_ENCODING, header::CONTENT_RANGE];

// === impl Front ===

impl Front {
    /// The answer to `asked` out of `object`.
    pub(super) async fn serve(&self, asked: &Asked, object: &Arc<Object>, now: UnixMs, status: CacheStatus) -> Answer {
        match policy::condition(&asked.headers, &object.head) {
            Condition::Holds => {}
            Condition::NotModified => {
                return Answer { age_s: Some(object.age_s(now)), ..self.not_modified(&object.head, status) };
            }
            Condition::Failed => return self.precondition_failed(status).await,
        }
        let (first, last) = match asked.part(&object.head, object.length) {
            Part::Whole => return self.whole(object, asked.is_head, now, status),
            Part::Unsatisfiable => return self.unsatisfiable(object.length, status).await,
            Part::Bytes { first, last } => (first, last),
        };
        let content = match &object.medium {
            Medium::Memory(bytes) => {
                let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
                Content::Memory(bytes.slice(at(first)..=at(last)))
            }
            Medium::File(file) => Content::File { file: Arc::clone(file), offset: first, length: last - first + 1 },
        };
        Answer {
            lead: part_lead(&object.head, first, last, object.length),
            age_s: Some(object.age_s(now)),
            cache_status: self.status(status),
            content,
            asset: Some(Arc::clone(&object.asset)),
        }
    }

    /// The whole of `object`.
    pub(super) fn whole(&self, object: &Arc<Object>, is_head: bool, now: UnixMs, status: CacheStatus) -> Answer {
        let content = match &object.medium {
            _ if is_head => Content::None,
            Medium::Memory(bytes) => Content::Memory(bytes.clone()),
            Medium::File(file) => Content::File { file: Arc::clone(file), offset: 0, length: object.length },
        };
        Answer {
            lead: Lead::Kept(Arc::clone(&object.head)),
            age_s: Some(object.age_s(now)),
            cache_status: self.status(status),
            content,
            asset: Some(Arc::clone(&object.asset)),
        }
    }

    /// The answer to a range within the beginning of a body that broke off.
    pub(super) fn beginning(&self, asked: &Asked, key: &str) -> Option<Answer> {
        let flow = self.shelf.partial(key)?;
        let length = flow.length?;
        let Part::Bytes { first, last } = asked.part(&flow.head, length) else { return None };
        let now = UnixMs::now();
        // It serves as what is kept does: while it is fresh, and to those who take what is kept.
        if now >= flow.times.fresh_until || !policy::accepts(&asked.headers, &flow.times, now) {
            return None;
        }
        if last >= flow.written || policy::condition(&asked.headers, &flow.head) != Condition::Holds {
            return None;
        }
        let content = Content::File { file: Arc::clone(&flow.file), offset: first, length: last - first + 1 };
        Some(Answer {
            lead: part_lead(&flow.head, first, last, length),
            age_s: Some(now.since_ms(flow.times.born) / 1000),
            cache_status: self.status(CacheStatus::partial_hit()),
            content,
            asset: Some(self.shelf.assets.of(&asked.target)),
        })
    }

    pub(super) fn not_modified(&self, head: &Head, status: CacheStatus) -> Answer {
        let mut headers = head.headers.clone();
        OF_BODY.iter().for_each(|name| drop(headers.remove(name)));
        Answer {
            lead: Lead::Fields(StatusCode::NOT_MODIFIED, headers),
            age_s: None,
            cache_status: self.status(status),
            content: Content::None,
            asset: None,
        }
    }

    pub(super) async fn precondition_failed(&self, status: CacheStatus) -> Answer {
        let failure = Failure::precondition_failed("what is here is not what the request is about");
        Answer::failure(failure, self.status(status)).await
    }

    pub(super) async fn unsatisfiable(&self, length: u64, status: CacheStatus) -> Answer {
        let detail = format!("the body has {length} bytes");
        let range = HeaderValue::from_str(&format!("bytes */{length}")).expect("digits");
        let status_code = StatusCode::RANGE_NOT_SATISFIABLE;
        let failure = Failure::new(status_code, "range", "No such range", detail);
        Answer::failure(failure.with_header(header::CONTENT_RANGE, range), self.status(status)).await
    }
}

/// Head of a 206.
pub(super) fn part_lead(head: &Head, first: u64, last: u64, length: u64) -> Lead {
    let mut headers: HeaderMap = head.headers.clone();
    let range = format!("bytes {first}-{last}/{length}");
    headers.insert(header::CONTENT_RANGE, HeaderValue::from_str(&range).expect("digits"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(last - first + 1));
    Lead::Fields(StatusCode::PARTIAL_CONTENT, headers)
}

/// Head of a body that flows.
pub(super) fn flow_lead(flow: &Flow) -> Lead {
    Lead::Kept(Arc::clone(&flow.head))
}
