//! Answers out of a fill that runs: the head as soon as it is there, bytes as they come.

use std::sync::Arc;

use super::serve::{flow_lead, part_lead};
use super::{Asked, Front};
use crate::answer::{Answer, Content};
use crate::fetch::Wanted;
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
        match phase {
            Phase::Asking => self.failed(&UpstreamError::Abandoned, reason).await,
            Phase::Failed(error) => self.failed(&error, reason).await,
            Phase::Unshared => match fill.take_unshared().filter(|_| !is_collapsed && !is_special(asked)) {
                Some(answer) => self.passed(answer, asked.is_head, status),
                // It was the answer to a plain request, and not for others: this one is asked for as it is.
                None => self.pass(asked, reason).await,
            },
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
                self.flowing(asked, &flow, fill, status, reason).await
            }
        }
    }

    async fn flowing(
        self: &Arc<Self>,
        asked: &Asked,
        flow: &Flow,
        fill: &Fill,
        status: CacheStatus,
        reason: Forwarded,
    ) -> Answer {
        match policy::condition(&asked.headers, &flow.head) {
            Condition::Holds => {}
            Condition::NotModified => return self.not_modified(&flow.head, status),
            Condition::Failed => return self.precondition_failed(status).await,
        }
        // Without a length no range can be named; the whole is what RFC 9110 section 14.2 leaves.
        let part = flow.length.map_or(Part::Whole, |length| policy::part(&asked.headers, &flow.head, length));
        let (lead, offset, end) = match (part, flow.length) {
            (Part::Unsatisfiable, length) => return self.unsatisfiable(length.unwrap_or(0), status).await,
            (Part::Bytes { first, last }, Some(length)) => {
                if first > flow.written.saturating_add(self.settings.range_ahead.0) {
                    return self.pass(asked, reason).await;
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

/// Whether upstream may answer it in another way than the plain request that was sent for all.
fn is_special(asked: &Asked) -> bool {
    use axum::http::header;
    [header::COOKIE, header::RANGE, header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE, header::IF_MATCH]
        .iter()
        .any(|name| asked.headers.contains_key(name))
}
