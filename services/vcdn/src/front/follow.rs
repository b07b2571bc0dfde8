//! Answers out of a fill that runs: the head as soon as it is there, bytes as they come.

use std::sync::Arc;

use axum::http::HeaderMap;

use super::serve::{flow_lead, part_lead};
use super::{Asked, Front};
use crate::answer::{Answer, Content};
use crate::fetch::Wanted;
use crate::fetch::slice::Whole;
use crate::fill::{Fill, Flow, Outcome, Phase};
use crate::object::UnixMs;
use crate::policy::{self, Condition, Part};
use crate::status::{CacheStatus, Forwarded};
use crate::upstream::UpstreamError;

// === impl Front ===

impl Front {
    /// The answer to `asked` out of `fill`, which is another request's if it `is_collapsed`.
    pub(super) async fn follow(
        self: &Arc<Self>,
        asked: &Asked,
        fill: &Arc<Fill>,
        wanted: &Wanted,
        is_collapsed: bool,
        reason: Forwarded,
        since: UnixMs,
    ) -> Answer {
        let mut phases = fill.follow();
        let base = CacheStatus::forwarded(reason);
        let status = if is_collapsed { base.collapsed() } else { base };
        // The sender lives as long as `fill` does, which is here.
        let phase = phases.wait_for(|phase| !matches!(phase, Phase::Asking)).await.map(|phase| phase.clone());
        let phase = phase.unwrap_or(Phase::Asking);
        // Another's answer, which varies by what this request says otherwise, is not this one's.
        let kept_under = match &phase {
            Phase::Complete(object, _) => Some(&object.key),
            Phase::Flowing(flow) | Phase::Aborted(flow) => Some(&flow.key),
            Phase::Asking | Phase::Unshared | Phase::Failed(_) => None,
        };
        if is_collapsed && kept_under.is_some_and(|key| *key != self.key(&wanted.resource, &wanted.headers)) {
            return self.again(asked, wanted, reason).await;
        }
        // A group is known when the head is here: a purge that came before that has not found this fill.
        if is_collapsed && self.was_purged_before(fill, since) {
            self.shelf.ended(fill);
            return self.again(asked, wanted, reason).await;
        }
        // An answer that was there before this request, and may not be used without asking, is not the answer to this one.
        let is_old = |flow: &Flow| flow.times.received < since && flow.times.fresh_until <= since;
        if is_collapsed && matches!(&phase, Phase::Flowing(flow) if is_old(flow)) {
            return self.pass(asked, reason).await;
        }
        match phase {
            Phase::Asking => self.failed(&UpstreamError::Abandoned, reason).await,
            Phase::Failed(error) => self.failed(&error, reason).await,
            Phase::Unshared => {
                match fill.take_unshared().filter(|_| !is_collapsed && was_told(&asked.headers, &wanted.headers)) {
                    Some(answer) => self.passed(answer, asked.is_head, status),
                    // It was the answer to a plain request, and not for others: this one is asked for as it is.
                    None => self.pass(asked, reason).await,
                }
            }
            Phase::Complete(object, Outcome::Fetched) if !is_collapsed => {
                let answer = self.serve(asked, &object, UnixMs::now(), status.stored()).await;
                Answer { age_s: fill.age_s(), ..answer }
            }
            Phase::Complete(object, outcome) => {
                let status = match outcome {
                    Outcome::Fetched => status.stored(),
                    Outcome::Unchanged => status.forwarded_status(axum::http::StatusCode::NOT_MODIFIED).stored(),
                    Outcome::Stale => status.stale_if_error(),
                };
                self.serve(asked, &object, UnixMs::now(), status).await
            }
            Phase::Flowing(flow) | Phase::Aborted(flow) => {
                let status = status.forwarded_status(flow.head.status).stored();
                let age_s = UnixMs::now().since_ms(flow.times.born) / 1000;
                let age_s = if is_collapsed { Some(age_s).filter(|age_s| *age_s > 0) } else { fill.age_s() };
                let answer = self.flowing(asked, &flow, fill, wanted, status, reason).await;
                let is_of_another = matches!(answer.content, Content::Pass { .. } | Content::Slices(_));
                if is_of_another { answer } else { Answer { age_s, ..answer } }
            }
        }
    }

    async fn flowing(
        self: &Arc<Self>,
        asked: &Asked,
        flow: &Flow,
        fill: &Fill,
        wanted: &Wanted,
        status: CacheStatus,
        reason: Forwarded,
    ) -> Answer {
        match policy::condition(&asked.headers, &flow.head) {
            Condition::Holds => {}
            Condition::NotModified => return self.not_modified(&flow.head, status),
            Condition::Failed => return self.precondition_failed(status).await,
        }
        // Without a length no range can be named; the whole is what RFC 9110 section 14.2 leaves.
        let part = flow.length.map_or(Part::Whole, |length| asked.part(&flow.head, length));
        let (lead, offset, end) = match (part, flow.length) {
            (Part::Unsatisfiable, length) => return self.unsatisfiable(length.unwrap_or(0), status).await,
            (Part::Bytes { first, last }, Some(length)) => {
                if first > flow.written.saturating_add(self.settings.range_ahead.0) {
                    let sliced = match Whole::of(flow, length, wanted) {
                        Some(whole) => self.sliced(asked, whole, (first, last), status).await,
                        None => None,
                    };
                    return match sliced {
                        Some(answer) => answer,
                        None => self.pass(asked, reason).await,
                    };
                }
                (part_lead(&flow.head, first, last, length), first, Some(last + 1))
            }
            (Part::Whole | Part::Bytes { .. }, length) => (flow_lead(flow), 0, length),
        };
        let content = if asked.is_head { Content::None } else { Content::Follow { fill: fill.follow(), offset, end } };
        Answer {
            lead,
            age_s: None,
            cache_status: self.status(status),
            content,
            asset: Some(self.shelf.assets.of(&asked.target)),
        }
    }
}

/// Whether upstream would answer this request like the one that was sent for all: each of its fields went there, or says nothing of
/// what is wanted.
fn was_told(asked: &HeaderMap, sent: &HeaderMap) -> bool {
    const OF_NO_ANSWER: [&str; 17] = [
        "accept-encoding",
        "cache-control",
        "cdn-loop",
        "connection",
        "dnt",
        "forwarded",
        "host",
        "keep-alive",
        "origin",
        "pragma",
        "priority",
        "referer",
        "te",
        "traceparent",
        "tracestate",
        "user-agent",
        "via",
    ];
    let says_nothing = |name: &str| {
        let of_way = ["cmcd-", "sec-", "x-forwarded-"].iter().any(|prefix| name.starts_with(prefix));
        of_way || OF_NO_ANSWER.contains(&name)
    };
    asked.keys().all(|name| sent.contains_key(name) || says_nothing(name.as_str()))
}
