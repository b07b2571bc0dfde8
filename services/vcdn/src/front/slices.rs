//! Answers out of slices: bytes far ahead of a fill, or of a body that is not wholly here, each slice asked for once for all who want it.

use std::sync::Arc;

use axum::http::HeaderValue;
use bytes::Bytes;
use hyper::body::Incoming;
use tokio::sync::watch;

use super::{Asked, Front};
use crate::answer::{Answer, Content};
use crate::fetch::slice::{self, SLICE_BYTES, Whole};
use crate::fill::{Outcome, Phase};
use crate::object::{Object, UnixMs};
use crate::policy::{self, Condition, Part};
use crate::shelf::{Found, Sliced, count};
use crate::status::CacheStatus;
use crate::upstream::UpstreamError;

use super::serve::part_lead;

/// A viewer's way through the slices of a body.
#[derive(Debug)]
pub(crate) struct Slices {
    front: Arc<Front>,
    whole: Arc<Whole>,
    /// The next byte, and the one behind the last.
    at: u64,
    end: u64,
}

/// What of one slice is wanted.
#[derive(Debug)]
pub(crate) struct Slice {
    pub fill: watch::Receiver<Phase>,
    /// Within the slice.
    pub offset: u64,
    pub end: u64,
}

/// The bytes of a slice that could not be had, as they come from upstream, for one viewer alone.
#[derive(Debug)]
pub(crate) struct Rest {
    front: Arc<Front>,
    body: Incoming,
    left_bytes: u64,
}

// === impl Rest ===

impl Rest {
    /// The next piece; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        match self.front.upstream.next(&mut self.body).await? {
            None if self.left_bytes == 0 => Ok(None),
            Some(data) if data.len() as u64 <= self.left_bytes => {
                self.left_bytes -= data.len() as u64;
                Ok(Some(data))
            }
            None | Some(_) => Err(UpstreamError::Length),
        }
    }
}

// === impl Slices ===

impl Slices {
    /// Bytes that are still wanted.
    pub(crate) fn left_bytes(&self) -> u64 {
        self.end - self.at
    }

    /// The next slice; `None` at the end. Whoever comes back for more has taken all of the one before.
    pub(crate) fn next(&mut self) -> Option<Slice> {
        if self.at >= self.end {
            return None;
        }
        let number = self.at / SLICE_BYTES;
        let begin = number * SLICE_BYTES;
        let end = self.end.min(begin + SLICE_BYTES);
        let fill = self.front.slice(&self.whole, number);
        if end < self.end {
            // The one behind it is on its way when it is wanted.
            drop(self.front.slice(&self.whole, number + 1));
        }
        let slice = Slice { fill, offset: self.at - begin, end: end - begin };
        self.at = end;
        Some(slice)
    }

    /// What is wanted still of the last slice, where `missing_bytes` of it cannot be had: there was no room for it, or it broke off. Who
    /// has the beginning gets the same bytes, past what is kept; the next slice is shared again.
    pub(crate) async fn rest(&self, missing_bytes: u64) -> Result<Rest, UpstreamError> {
        let first = self.at - missing_bytes;
        let asset = self.front.shelf.assets.of(&self.whole.target);
        count(&asset.passed, 1);
        let answer = slice::ask(&self.front, &self.whole, (first, self.at)).await?;
        Ok(Rest { front: Arc::clone(&self.front), body: answer.into_body(), left_bytes: missing_bytes })
    }
}

// === impl Front ===

impl Front {
    /// The answer with bytes `first` to `last` of `whole` out of slices; `None` where upstream has not the same bytes any more,
    /// or says so of no part.
    pub(super) async fn sliced(
        self: &Arc<Self>,
        asked: &Asked,
        whole: Whole,
        (first, last): (u64, u64),
        status: CacheStatus,
    ) -> Option<Answer> {
        let whole = Arc::new(whole);
        let mut fill = self.slice(&whole, first / SLICE_BYTES);
        let phase = fill.wait_for(|phase| !matches!(phase, Phase::Asking)).await.ok()?.clone();
        let born = match &phase {
            Phase::Flowing(flow) => flow.times.born,
            Phase::Complete(object, _) => object.times.born,
            Phase::Asking | Phase::Aborted(_) | Phase::Unshared | Phase::Failed(_) => return None,
        };
        let (lead, asset) = (part_lead(&whole.head, first, last, whole.length), self.shelf.assets.of(&asked.target));
        let slices = Slices { front: Arc::clone(self), whole, at: first, end: last + 1 };
        Some(Answer {
            lead,
            age_s: Some(UnixMs::now().since_ms(born) / 1000).filter(|age_s| *age_s > 0),
            cache_status: self.status(status),
            content: Content::Slices(Box::new(slices)),
            asset: Some(asset),
        })
    }

    /// The answer to a range whose slices are all kept and fresh, of a body that is not.
    pub(super) async fn kept_slices(self: &Arc<Self>, asked: &Asked, key: &Arc<str>) -> Option<Answer> {
        let Sliced { etag, .. } = self.shelf.sliced(key)?;
        let (first, _) = policy::range(&asked.headers)?;
        let now = UnixMs::now();
        let kept = |number: u64| self.shelf.get(&slice_key(key, &etag, number)).filter(|slice| slice.is_fresh(now));
        let head = Arc::clone(&kept(first / SLICE_BYTES)?.head);
        let length = head.length()?;
        let Part::Bytes { first, last } = asked.part(&head, length) else { return None };
        if policy::condition(&asked.headers, &head) != Condition::Holds {
            return None;
        }
        let mut numbers = first / SLICE_BYTES..=last / SLICE_BYTES;
        let accepts = |slice: &Arc<Object>| policy::accepts(&asked.headers, &slice.times, now);
        if !numbers.all(|number| kept(number).as_ref().is_some_and(accepts)) {
            return None;
        }
        let headers = super::pass::shared_headers(&asked.headers, &self.fields);
        let whole = Whole { key: Arc::clone(key), head, etag, length, target: asked.target.clone(), headers };
        self.sliced(asked, whole, (first, last), CacheStatus::partial_hit()).await
    }

    /// Slice `number`: one that is kept, one that is being fetched, or one that is fetched from now on.
    fn slice(self: &Arc<Self>, whole: &Arc<Whole>, number: u64) -> watch::Receiver<Phase> {
        let key: Arc<str> = slice_key(&whole.key, &whole.etag, number).into();
        let found = self.shelf.fill(&key, self.settings.fills, |slice| slice.is_fresh(UnixMs::now()));
        match found {
            Found::Stored(object) => watch::channel(Phase::Complete(object, Outcome::Fetched)).1,
            Found::Filling(fill) => fill.follow(),
            Found::Begun(fill) => {
                let phases = fill.follow();
                self.tasks.spawn(slice::run(Arc::clone(self), fill, Arc::clone(whole), number));
                phases
            }
            Found::Full => watch::channel(Phase::Unshared).1,
        }
    }
}

/// What slice `number` of the body under `key` is kept under: bytes of another version are others.
pub(crate) fn slice_key(key: &str, etag: &HeaderValue, number: u64) -> String {
    format!("{key}\0slice {number} {}", hex::encode(etag.as_bytes()))
}
