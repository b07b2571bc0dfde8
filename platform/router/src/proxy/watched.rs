//! An answer's body on its way to the client, watched.
//!
//! An endpoint that breaks off, or goes silent, in the middle of an answer whose rest can be had elsewhere is replaced
//! without the client noticing; one that was killed is left at once. Where it is only silent, both are listened to: who
//! sends first goes on; if the silent one breaks off meanwhile and nobody else sends, its rest is looked for in earnest. If nobody has the
//! rest, the client sees a broken connection and never a clean end.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::body::{Broken, GiveUp};
use super::resume::{New, Rest, Resumable};
use super::source::Source;
use crate::registry::Call;

/// How often one answer may break off and go on elsewhere. How often it is asked for because of silences is counted apart: these cost
/// nothing but time, and are no reason to lose an answer that breaks off at last.
const RESUMED_MAX: u32 = 8;
/// How often it may break off at one byte: who breaks off there again gives nothing of the rest, and would be waited for in vain.
const STUCK_MAX: u32 = 3;
/// How often the rest of one answer is asked for because of silences.
const SILENCES_MAX: u32 = 8;

/// How long an endpoint may be silent in the middle of an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Silence {
    /// Until another one is asked for the rest.
    pub(super) resumed: Duration,
    /// Until the answer is given up.
    pub(super) broken: Duration,
}

/// The endpoint's body, watched.
pub(super) struct Watched {
    /// Who sends; nobody while the rest is asked for.
    source: Option<Source>,
    /// Who sends, or sent last.
    call: Call,
    /// Whether the answer is one of success: the end of another one shows nothing of how its endpoint does.
    is_success: bool,
    first: Option<Frame<Bytes>>,
    /// What is left of the answer, where that is known.
    left: Option<u64>,
    sent: u64,
    /// Bytes of the source that the client has.
    skip: u64,
    /// Whether the source is not the one that the answer began with.
    is_rest: bool,
    resumable: Option<Resumable>,
    resumed: u32,
    /// After which byte it broke off last, and how often there.
    stuck: (u64, u32),
    silences: u32,
    rest: Option<BoxFuture<'static, Option<Rest>>>,
    /// Whether the rest is asked for because the answer broke off.
    is_for_broken: bool,
    /// Why the last source ended.
    error: Option<Broken>,
    /// Ends when the endpoint is killed; made when it is first waited for.
    killed: Option<BoxFuture<'static, ()>>,
    silence: Silence,
    timer: Option<Pin<Box<Sleep>>>,
    /// Since when nothing has come.
    silent_since: Option<Instant>,
    /// Whether another one was asked in this silence.
    has_asked: bool,
    _give_up: Option<GiveUp>,
}

// === impl Watched ===

impl Watched {
    pub(super) fn new(
        (body, first): (Source, Option<Frame<Bytes>>),
        (call, is_success): (Call, bool),
        silence: Silence,
        give_up: Option<GiveUp>,
        resumable: Option<Resumable>,
    ) -> Self {
        let read = first.as_ref().and_then(Frame::data_ref).map_or(0, |data| data.len() as u64);
        let left = body.size_hint().exact().map(|left| left + read);
        Self {
            source: Some(body),
            call,
            is_success,
            first,
            left,
            sent: 0,
            skip: 0,
            is_rest: false,
            resumable,
            resumed: 0,
            stuck: (0, 0),
            silences: 0,
            rest: None,
            is_for_broken: false,
            error: None,
            killed: None,
            silence,
            timer: None,
            silent_since: None,
            has_asked: false,
            _give_up: give_up,
        }
    }

    /// What of a frame the client has not; `None` where it has all.
    fn take(&mut self, frame: Frame<Bytes>) -> Option<Frame<Bytes>> {
        let mut data = match frame.into_data() {
            Ok(data) => data,
            // They would be the end, and it is not all here.
            Err(_) if self.is_short() => return None,
            Err(trailers) => return Some(trailers),
        };
        let known = usize::try_from(self.skip).unwrap_or(usize::MAX).min(data.len());
        self.skip -= known as u64;
        drop(data.split_to(known));
        if let Some(left) = self.left {
            data.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        }
        let new = data.len() as u64;
        self.sent += new;
        self.left = self.left.map(|left| left.saturating_sub(new));
        (new > 0 || known == 0).then(|| Frame::data(data))
    }

    /// Whether something is lacking of what the client has of a rest. What is the first to come is held to what it states before.
    fn is_short(&self) -> bool {
        self.is_rest && self.left.is_some_and(|left| left > 0)
    }

    /// Asks another endpoint for the rest, where that is possible.
    fn ask(&mut self, has_broken: bool) {
        self.has_asked = true;
        let (asked, most) =
            if has_broken { (&mut self.resumed, RESUMED_MAX) } else { (&mut self.silences, SILENCES_MAX) };
        if self.rest.is_some() || *asked >= most {
            return;
        }
        if let Some(resumable) = &self.resumable {
            *asked += 1;
            let from = (self.call.site.clone(), self.call.choice.endpoint.clone());
            self.rest = Some(resumable.clone().rest(self.sent, from, has_broken));
            self.is_for_broken = has_broken;
        }
    }

    /// The source has sent all that it has; what it said, and more, where it `has_surplus`.
    fn ended(&self, has_surplus: bool) {
        if has_surplus {
            self.call.said_too_little();
        } else if self.is_success {
            self.call.succeeded();
        }
    }

    fn broke(&mut self, error: Broken) {
        let cause = flame_service_host::problem::chain(&error);
        tracing::warn!(endpoint = %self.call.choice.endpoint, address = %self.call.choice.address, cause, "an answer broke off");
        let is_killed = matches!(error, Broken::Killed);
        if !is_killed {
            self.call.failed();
        }
        (self.source, self.killed) = (None, None);
        self.error = Some(error);
        // Who was killed says nothing of the rest, and who sent what the client has already was not stuck.
        let is_stuck = if is_killed || self.skip > 0 {
            false
        } else {
            let (at, times) = self.stuck;
            self.stuck = (self.sent, if at == self.sent { times + 1 } else { 1 });
            self.stuck.1 >= STUCK_MAX
        };
        if !is_stuck {
            self.ask(true);
        }
    }

    /// The next frame of the source, if one is there; `Ready(None)` at the end.
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        loop {
            // What a rest has beyond what was lacking is none of it.
            if self.is_rest
                && self.left == Some(0)
                && let Some(source) = self.source.take()
            {
                self.ended(source.has_surplus());
                return Poll::Ready(None);
            }
            let Some(source) = &mut self.source else { return Poll::Pending };
            match ready!(Pin::new(&mut *source).poll_frame(cx)) {
                Some(Err(error)) => self.broke(Broken::Endpoint(error)),
                Some(Ok(frame)) => {
                    // Who knows the length does not ask for the end.
                    let (is_over, has_surplus) = (source.is_end_stream(), source.has_surplus());
                    let frame = self.take(frame);
                    if is_over && !self.is_short() {
                        self.ended(has_surplus);
                    }
                    if let Some(frame) = frame {
                        return Poll::Ready(Some(frame));
                    }
                }
                // The end of a connection does not say that this was all. What is the first to come is held to what it states before.
                None => match self.left {
                    Some(left_bytes) if left_bytes > 0 && self.is_rest => self.broke(Broken::Short(left_bytes)),
                    Some(_) | None => {
                        let has_surplus = source.has_surplus();
                        self.ended(has_surplus);
                        return Poll::Ready(None);
                    }
                },
            }
        }
    }

    /// Leaves the source where its endpoint was killed meanwhile.
    fn poll_killed(&mut self, cx: &mut Context<'_>) {
        if self.source.is_none() {
            return;
        }
        let call = &self.call;
        if self.killed.get_or_insert_with(|| Box::pin(call.killed_later())).as_mut().poll(cx).is_ready() {
            self.broke(Broken::Killed);
        }
    }

    /// Whether the rest comes from somewhere else now, or is asked for anew.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(asked) = &mut self.rest else { return false };
        let Poll::Ready(rest) = asked.as_mut().poll(cx) else { return false };
        self.rest = None;
        let Some(Rest { body, call, new: New { skip, bytes } }) = rest else {
            // It was asked for because of a silence that ended in a break: now it is needed.
            let is_needed = self.source.is_none() && !self.is_for_broken;
            if is_needed {
                self.ask(true);
            }
            return is_needed;
        };
        if self.source.is_some() {
            self.call.overtaken();
        }
        (self.source, self.call, self.skip) = (Some(body), call, skip);
        // Only what succeeds is a rest.
        (self.left, self.is_rest, self.is_success) = (bytes.or(self.left), true, true);
        (self.error, self.killed, self.silent_since, self.has_asked) = (None, None, None, false);
        true
    }

    /// Ready when the source has been silent for too long; `true` when it is time to ask somebody else.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let now = Instant::now();
        let since = *self.silent_since.get_or_insert(now);
        let may_ask = self.resumable.is_some() && !self.has_asked && self.silence.resumed < self.silence.broken;
        let ends = since + if may_ask { self.silence.resumed } else { self.silence.broken };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(ends)));
        if timer.deadline() != ends {
            timer.as_mut().reset(ends);
        }
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(may_ask)
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Some(first) = self.first.take()
            && let Some(frame) = self.take(first)
        {
            return Poll::Ready(Some(Ok(frame)));
        }
        loop {
            if let Poll::Ready(frame) = self.poll_source(cx) {
                (self.silent_since, self.has_asked, self.rest) = (None, false, None);
                return Poll::Ready(frame.map(Ok));
            }
            self.poll_killed(cx);
            if self.poll_rest(cx) {
                continue;
            }
            if self.source.is_none() && self.rest.is_none() {
                return Poll::Ready(self.error.take().map(Err));
            }
            if ready!(self.poll_silence(cx)) {
                self.ask(false);
            } else {
                // Where it broke off before, that is why.
                let broke = self.error.take();
                if broke.is_none() {
                    self.call.failed();
                }
                return Poll::Ready(Some(Err(broke.unwrap_or(Broken::Silent(self.silence.broken)))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        // A rest that ends before what was lacking is here is no end: that is seen when it is asked for more.
        self.first.is_none() && !self.is_short() && self.source.as_ref().is_some_and(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
