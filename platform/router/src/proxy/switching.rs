//! Which endpoint gets a request, and who else when that one refuses, breaks off or is late.
//!
//! A request is tried on another endpoint only while nothing of its body has been taken and nothing of an answer has
//! gone to the client: after a refused connection whatever its method (nobody saw it), after a broken one, or where the
//! endpoint was killed, only if the method is safe (RFC 9110 section 9.2.1): a DELETE that was done before its endpoint died is idempotent,
//! and yet the next one would answer 404. A safe one without a body is also sent to a second endpoint when its answer is later than answers hardly ever are; the first answer wins, and the other attempt is let go. Where the name is
//! sticky, or the request is one that waits at its endpoint, late is not enough: the endpoint has to hang. All of it is paid from the budget of `flame_naming::hedge`, and
//! ends with the request's own budget of hops and time; which endpoint comes next is `flame_naming::table`'s choice.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use axum::response::Response;
use bytes::Bytes;
use flame_api::router::ActivityKind;
use flame_naming::health::Demand;
use flame_naming::{Destination, EndpointId, Label, NoChoice};
use http_body::{Body as _, Frame};
use tokio::time::{Instant, timeout};

use super::body::{GiveUp, Stalled};
use super::fault::Fault;
use super::source::Source;
use super::{Lost, Outgoing, Parties, Watch};
use crate::registry::Call;

/// How long the first piece of an answer is waited for before its head goes to the client: until then another endpoint can
/// still answer instead.
const FIRST_PIECE: Duration = Duration::from_millis(20);

/// How soon a second endpoint is looked for again where there was none, or too many requests were repeated.
const AGAIN: Duration = Duration::from_millis(100);

/// An endpoint that was tried: its identifier is unique at its site.
pub(super) type Tried = (Label, EndpointId);

/// An answer of which nothing has been passed on.
pub(super) struct Got {
    pub(super) answer: hyper::Response<Source>,
    pub(super) give_up: Option<GiveUp>,
    /// What has been read of its body.
    pub(super) first: Option<Frame<Bytes>>,
}

// === impl Parties ===

impl Parties {
    /// Tries endpoints until one answers or nothing more may be tried.
    pub(super) async fn send(&self, outgoing: &mut Outgoing) -> Result<Response, Fault> {
        let to = outgoing.forward.destination.clone();
        let (mut refused, mut broken) = (Vec::new(), Vec::new());
        let mut last = None;
        for attempt in 1..=outgoing.settings.attempts.max(1) {
            let key = outgoing.sticky.as_ref().map(|key| key.bytes.as_slice());
            let call = match self.choose(outgoing.demand(), &to, key, &refused, &broken) {
                Ok(call) if outgoing.is_wait => call.waiting(),
                Ok(call) => call,
                Err(reason) => return Err(last.unwrap_or_else(|| Fault::nobody(&to, reason, &outgoing.forward.mount))),
            };
            if last.is_some() && !(outgoing.may_hop() && call.may_repeat()) {
                break;
            }
            outgoing.hops_taken += u32::from(last.is_some());
            if let (Some(fault), Some((site, key))) = (&last, outgoing.tried.last()) {
                let now_at = (&call.site, Some(&call.choice.endpoint));
                let activity = self.registry.activity();
                activity.note(
                    ActivityKind::Retried,
                    &to.name,
                    Some((site, &key.endpoint)),
                    Some(now_at),
                    fault.to_string(),
                );
            }
            let (call, outcome) = self.race(outgoing, call, &mut broken).await;
            let lost = match outcome {
                Ok(got) => return self.pass_on(got, call, outgoing),
                Err(lost) => lost,
            };
            outgoing.tried.push((call.site.clone(), call.key()));
            call.lost(&lost);
            let is_taken = outgoing.offer.was_taken();
            let may_retry = match &lost {
                Lost::Connect(_) => !is_taken,
                Lost::Broken(_) | Lost::Bodiless(_) | Lost::Killed => !is_taken && outgoing.head.method.is_safe(),
                Lost::Stalled(_) => false,
            };
            let endpoint = (call.site.clone(), call.choice.endpoint.clone());
            if matches!(lost, Lost::Connect(_)) { &mut refused } else { &mut broken }.push(endpoint);
            let fault = lost.fault(&to, outgoing.budget.deadline);
            tracing::debug!(%to, address = %call.choice.address, attempt, %fault, "an attempt failed");
            if !may_retry {
                return Err(fault);
            }
            last = Some(fault);
        }
        Err(last.unwrap_or_else(|| Fault::nobody(&to, NoChoice::Tried, &outgoing.forward.mount)))
    }

    /// Another endpoint; if there is no other, one whose connection broke may have been only that connection.
    fn choose(
        &self,
        demand: Demand,
        to: &Destination,
        key: Option<&[u8]>,
        refused: &[Tried],
        broken: &[Tried],
    ) -> Result<Call, NoChoice> {
        let tried = [refused, broken].concat();
        match self.registry.call(demand, to, &tried, key) {
            Err(NoChoice::Tried | NoChoice::Full) if !broken.is_empty() => self.registry.call(demand, to, refused, key),
            chosen => chosen,
        }
    }

    /// Asks one endpoint, and a second one when its answer is late; what came first, and from whom.
    async fn race(&self, outgoing: &mut Outgoing, call: Call, broken: &mut Vec<Tried>) -> (Call, Result<Got, Lost>) {
        if !outgoing.is_repeatable() {
            let outcome = self.ask(outgoing, &call, Watch::Own).await;
            return (call, outcome);
        }
        let to = outgoing.forward.destination.clone();
        let key = outgoing.sticky.as_ref().map(|key| key.bytes.as_slice());
        let (other, by_other, outcome) = {
            // Where the timer of lateness comes first, it looks at the attempt again.
            let is_late_first = call.hedge_after < outgoing.budget.deadline;
            let watch = if is_late_first { Watch::Callers } else { Watch::Own };
            let mut first = pin!(self.ask(outgoing, &call, watch));
            let (mut wait, began) = (call.hedge_after, Instant::now());
            loop {
                let late = async {
                    tokio::time::sleep(wait).await;
                    if key.is_some() || outgoing.is_wait {
                        // What is somebody's own goes to another one only if this one cannot have it, and what waits here
                        // would wait there.
                        call.hangs().await;
                    }
                };
                let in_time = tokio::select! { biased; outcome = &mut first => Some(outcome), () = late => None };
                if let Some(outcome) = in_time {
                    break (None, false, outcome);
                }
                if !outgoing.may_hop() {
                    break (None, false, first.await);
                }
                if let Some(other) = self.registry.hedge(&to, &call, broken, key) {
                    tracing::debug!(%to, late = %call.choice.address, asked = %other.choice.address, "a second one is asked");
                    let (from, now_at) =
                        ((&call.site, &call.choice.endpoint), (&other.site, Some(&other.choice.endpoint)));
                    let why = format!("no answer after {} ms", began.elapsed().as_millis());
                    self.registry.activity().note(ActivityKind::Hedged, &to.name, Some(from), Some(now_at), why);
                    let other = if outgoing.is_wait { other.waiting() } else { other };
                    // In a box of its own: nearly every request does without.
                    let both = Box::pin(self.first_of(first, (outgoing, &call), &other));
                    let (by_other, outcome) = both.await;
                    break (Some(other), by_other, outcome);
                }
                // Nobody else is there, or too much was repeated: perhaps later.
                wait = call.hedge_after.max(AGAIN);
            }
        };
        let (winner, loser) = match other {
            None => return (call, outcome),
            Some(other) if by_other => (other, call),
            Some(other) => (call, other),
        };
        outgoing.hops_taken += 1;
        outgoing.tried.push((loser.site.clone(), loser.key()));
        broken.push((loser.site.clone(), loser.choice.endpoint.clone()));
        if by_other && outcome.is_ok() {
            loser.overtaken();
        }
        (winner, outcome)
    }

    /// The first answer of two, the better one where the first is an error of the server; a failure only if both fail. Whether
    /// it is the second one's.
    async fn first_of(
        &self,
        mut first: Pin<&mut impl Future<Output = Result<Got, Lost>>>,
        (outgoing, call): (&Outgoing, &Call),
        other: &Call,
    ) -> (bool, Result<Got, Lost>) {
        let mut second = pin!(self.ask(outgoing, other, Watch::Own));
        let (by_other, outcome) = tokio::select! {
            biased;
            outcome = &mut first => (false, outcome),
            outcome = &mut second => (true, outcome),
        };
        match outcome {
            Ok(got) if got.answer.status().is_server_error() => {
                // The other one may do better; what is there is kept meanwhile.
                let rest = async { if by_other { first.await } else { second.await } };
                match timeout(self.searches.step_timeout(), rest).await {
                    Ok(Ok(better)) => (!by_other, Ok(better)),
                    Ok(Err(lost)) => {
                        if by_other { call } else { other }.lost(&lost);
                        (by_other, Ok(got))
                    }
                    Err(_late) => (by_other, Ok(got)),
                }
            }
            Ok(got) => (by_other, Ok(got)),
            Err(lost) if by_other => {
                other.lost(&lost);
                (false, first.await)
            }
            Err(lost) => {
                call.lost(&lost);
                (true, second.await)
            }
        }
    }

    /// Asks one endpoint. Where the request may be repeated, the answer has shown that its body comes.
    async fn ask(&self, outgoing: &Outgoing, call: &Call, watch: Watch) -> Result<Got, Lost> {
        let (mut answer, give_up) = self.attempt(outgoing, call, watch).await?;
        let mut first = None;
        if outgoing.is_repeatable() {
            if answer.body().is_end_stream() {
                call.began(answer.status());
                return Ok(Got { answer, give_up, first });
            }
            // Mostly it came with the head, and needs no timer.
            let there = poll_fn(|cx| Poll::Ready(Pin::new(answer.body_mut()).poll_frame(cx))).await;
            let is_whole = answer.body().is_end_stream() && !answer.body().has_surplus();
            if matches!(there, Poll::Ready(Some(Ok(_)))) && is_whole {
                call.began_and_ended(answer.status());
            } else {
                call.began(answer.status());
            }
            let piece = match there {
                Poll::Ready(piece) => Ok(piece),
                Poll::Pending => timeout(FIRST_PIECE, poll_fn(|cx| Pin::new(answer.body_mut()).poll_frame(cx))).await,
            };
            first = match piece {
                Ok(Some(Err(error))) => return Err(Lost::Bodiless(error)),
                Ok(Some(Ok(frame))) => Some(frame),
                // It is empty after all, or comes slowly: then the client waits itself.
                Ok(None) | Err(_) => None,
            };
        }
        Ok(Got { answer, give_up, first })
    }
}

// === impl Outgoing ===

impl Outgoing {
    /// Whether it changes nothing and can be sent as often as one likes.
    pub(super) fn is_repeatable(&self) -> bool {
        self.head.method.is_safe() && self.offer.is_empty() && self.tunnel.is_none()
    }

    /// What it is to do at an endpoint.
    pub(super) fn demand(&self) -> Demand {
        if self.head.method.is_safe() { Demand::Read } else { Demand::Write }
    }

    /// Whether one more endpoint may be asked.
    fn may_hop(&self) -> bool {
        self.hops_taken < self.budget.hops
    }
}

// === impl Lost ===

impl Lost {
    /// What it means for the request.
    pub(super) fn fault(self, to: &Destination, patience: Duration) -> Fault {
        let to = to.clone();
        match self {
            Self::Connect(source) => Fault::Unreachable { to, source },
            Self::Broken(source) => Fault::Broken { to, source },
            Self::Bodiless(source) => Fault::Bodiless { to, source },
            Self::Killed => Fault::Killed { to },
            Self::Stalled(Stalled::Endpoint) => Fault::Silent { to, patience },
            Self::Stalled(Stalled::Client) => Fault::SlowClient(patience),
        }
    }
}

// === impl Call ===

impl Call {
    /// Takes note of how an attempt failed.
    fn lost(&self, lost: &Lost) {
        self.note_refusal(lost);
        match lost {
            Lost::Connect(_) | Lost::Broken(_) | Lost::Bodiless(_) => self.failed(),
            Lost::Stalled(Stalled::Endpoint) => self.overtaken(),
            Lost::Stalled(Stalled::Client) | Lost::Killed => {}
        }
    }

    /// Takes note of a certificate that is not the one it should be.
    pub(super) fn note_refusal(&self, lost: &Lost) {
        if let Lost::Connect(error) = lost
            && let Some(refusal) = refusal(error.as_ref())
        {
            self.not_believed(refusal.to_string());
        }
    }
}

/// What was wrong with the other side's certificate, if that is why there is no connection.
fn refusal<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(refusal) = error.downcast_ref::<rustls::Error>() {
        return matches!(refusal, rustls::Error::InvalidCertificate(_)).then_some(refusal);
    }
    // An I/O error shows what it wraps here, and only the cause of that as its own.
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => refusal(inner),
        None => refusal(error.source()?),
    }
}
