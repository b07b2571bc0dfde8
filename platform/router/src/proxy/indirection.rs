//! Going where a search leads: the original request to the next surrogate, or to another site's router.
//!
//! `flame_naming::search` says where to, this sends. Only requests that can be sent again as they came are searched: GET
//! and HEAD without a body. A step after a failure is paid from the budget of all repeats; where nothing is left, the failure is
//! the answer. One answer is held back while the next is asked for, unread, and passed on if nothing better
//! comes. What a router failed to get is never passed on in place of what a surrogate said.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use flame_api::router::ActivityKind;
use flame_naming::peers::Key;
use flame_naming::search::{Budget, Outcome, Reason, Rule, Search, Step, Surrogate, Trail, Visit};
use flame_naming::{EndpointId, Label, Moment};

use super::fault::Fault;
use super::{Lost, Outgoing, Parties, Watch};
use crate::registry::Call;
use crate::search::{FLAME_SEARCH, FLAME_TRACE};

/// Says in the answer of a nested search that it is the router's own, for lack of any.
const LOST: &str = ";lost";
/// Failures of a search that cost nothing: one that is broken beside others that are well is always searched around, which also is
/// how it is found to be.
const FREE_FAILURES: u32 = 1;

/// Who gave an answer, in its extensions.
#[derive(Debug, Clone)]
pub(super) struct AnsweredBy(pub(super) Label, pub(super) Key);

/// A search under way.
struct Quest<'a> {
    parties: &'a Parties,
    rule: Rule,
    search: Search,
    trail: Trail,
    /// The last honest answer.
    held: Option<Response>,
    /// Who failed, and when it was asked.
    failed: Vec<(Label, Key, Moment)>,
    /// One that is better than none.
    weak: Option<Response>,
    fault: Option<Fault>,
}

/// What a step gave.
struct Stepped {
    outcome: Result<Response, Fault>,
    from_authority: bool,
    /// It is a router's own answer, not a surrogate's.
    is_lost: bool,
}

impl Parties {
    /// Asks on where the outcome `first` is not the one that was wanted. What the answer shows of the search is noted in
    /// `outgoing`.
    pub(super) async fn search_on(
        &self,
        outgoing: &mut Outgoing,
        first: Result<Response, Fault>,
        began: Moment,
    ) -> Result<Response, Fault> {
        // Most answers are wanted: nothing is made up for them.
        if first.as_ref().is_ok_and(|answer| !outgoing.may_search(answer.status())) {
            return first;
        }
        let own = self.registry.site();
        let left = Budget { hops: outgoing.budget.hops.saturating_sub(outgoing.hops_taken), ..outgoing.budget };
        let begun = self.searches.begin(&own, &outgoing.forward.destination, outgoing.asked, (began, left));
        let Some((rule, search)) = begun.filter(|_| outgoing.offer.is_empty()) else { return first };
        let (trail, held, weak, fault, failed) = (Trail::default(), None, None, None, Vec::new());
        let quest = Quest { parties: self, rule, search, trail, held, failed, weak, fault };
        // In a box of its own: nearly every request does without.
        Box::pin(quest.run(outgoing, first, began)).await
    }
}

// === impl Outgoing ===

impl Outgoing {
    /// Whether a search has to look at an answer of this status.
    pub(super) fn may_search(&self, status: StatusCode) -> bool {
        !(status.is_success() || status.is_redirection() || status.is_informational())
            || self.asked.wants_trace
            || self.asked.nested.is_some()
    }
}

// === impl Quest ===

impl Quest<'_> {
    async fn run(
        mut self,
        outgoing: &mut Outgoing,
        first: Result<Response, Fault>,
        began: Moment,
    ) -> Result<Response, Fault> {
        let from = first.as_ref().ok().and_then(|answer| answer.extensions().get::<AnsweredBy>().cloned());
        let from = from.or_else(|| outgoing.tried.last().map(|(site, key)| AnsweredBy(site.clone(), key.clone())));
        let why =
            first.as_ref().map_or_else(ToString::to_string, |answer| format!("it said {}", answer.status().as_u16()));
        // Whoever waited for what was asked for all was not counted anywhere yet.
        let counted = from.as_ref().map(|AnsweredBy(site, _)| site.clone());
        let counted = counted.or_else(|| self.parties.registry.count(&outgoing.forward.destination));
        let (mut steps, mut failures, mut asked) = (0_u32, 0_u32, None);
        let (mut stepped, mut step_began) = (self.first(outgoing, first, began), began);
        let settled = loop {
            let Stepped { outcome, from_authority, is_lost } = stepped;
            let reason = match &outcome {
                Ok(answer) => self.rule.reason(answer.status().as_u16(), has_retry_after(answer)),
                Err(fault) => fault.is_searched().then_some(Reason::Failed),
            };
            let Some(reason) = reason else { break outcome };
            if let (Reason::Failed, Ok(answer)) = (reason, &outcome)
                && let Some(AnsweredBy(site, key)) = answer.extensions().get()
            {
                self.failed.push((site.clone(), key.clone(), step_began));
            }
            // A limit for whoever asks is no word about room: others may have the same.
            let is_limited = outcome.as_ref().is_ok_and(|answer| answer.status() == StatusCode::TOO_MANY_REQUESTS);
            let is_failure = reason == Reason::Failed || is_limited;
            failures += u32::from(is_failure);
            self.keep(outcome, reason, from_authority, is_lost);
            let surrogates = self.surrogates(outgoing);
            let Some(step) = self.search.next(&surrogates, reason, self.parties.registry.now()) else {
                break self.give_up(outgoing);
            };
            if is_failure && failures > FREE_FAILURES && !self.may_go_on(outgoing, counted.as_ref()) {
                break self.give_up(outgoing);
            }
            tracing::debug!(to = %outgoing.forward.destination, ?reason, ?step, "searching on");
            steps += 1;
            asked = Some(match &step {
                Step::Surrogate { key, site } => (site.clone(), Some(key.endpoint.clone())),
                Step::Site(site) => (site.clone(), None),
            });
            step_began = self.parties.registry.now();
            stepped = match step {
                Step::Surrogate { key, site } => {
                    let mut those = surrogates.iter().filter(|one| one.key == key && one.site == site);
                    let from_authority = those.any(|one| one.is_authority);
                    let outcome = self.ask_surrogate(outgoing, &site, &key).await;
                    Stepped { outcome, from_authority, is_lost: false }
                }
                Step::Site(site) => {
                    let from_authority = surrogates.iter().any(|one| one.site == site && one.is_authority);
                    let (outcome, is_lost) = self.ask_router(outgoing, &site).await;
                    Stepped { outcome, from_authority, is_lost }
                }
            };
        };
        if settled.as_ref().is_ok_and(|answer| !answer.status().is_server_error()) {
            // Others could: it is them, and not the request.
            self.failed.iter().for_each(|(site, key, began)| self.parties.registry.failed(site, key, *began));
        }
        if steps > 0 {
            let is_found = settled
                .as_ref()
                .is_ok_and(|answer| self.rule.reason(answer.status().as_u16(), has_retry_after(answer)).is_none());
            let kind = if is_found { ActivityKind::Found } else { ActivityKind::Missed };
            let from = from.as_ref().map(|AnsweredBy(site, key)| (site, &key.endpoint));
            let to = asked.as_ref().filter(|_| is_found).map(|(site, endpoint)| (site, endpoint.as_ref()));
            let why = format!("{why}; {steps} more asked");
            self.parties.registry.activity().note(kind, &outgoing.forward.destination.name, from, to, why);
        }
        let is_own = settled.is_err();
        self.show(outgoing, is_own);
        settled
    }

    /// Takes note of what was asked before the search.
    fn first(&mut self, outgoing: &Outgoing, first: Result<Response, Fault>, began: Moment) -> Stepped {
        let took = self.parties.registry.now().0.saturating_sub(began.0);
        let by = first.as_ref().ok().and_then(|answer| answer.extensions().get::<AnsweredBy>().cloned());
        for (site, key) in &outgoing.tried {
            self.search.was_asked(site, key);
            if !by.as_ref().is_some_and(|AnsweredBy(there, who)| there == site && who == key) {
                self.visited(site, Some(&key.endpoint), Outcome::NoAnswer, Duration::ZERO);
            }
        }
        let mut from_authority = false;
        if let (Some(AnsweredBy(site, key)), Ok(answer)) = (by, &first) {
            self.search.was_asked(&site, &key);
            self.path_shown(outgoing, answer);
            self.visited(&site, Some(&key.endpoint), Outcome::Status(answer.status().as_u16()), took);
            let authority = self.rule.authority.as_ref();
            from_authority = authority.is_some_and(|authority| {
                authority.name == key.name && authority.site.as_ref().is_none_or(|wanted| *wanted == site)
            });
        }
        Stepped { outcome: first, from_authority, is_lost: false }
    }

    /// Holds what may be passed on in the end.
    fn keep(&mut self, outcome: Result<Response, Fault>, reason: Reason, from_authority: bool, is_lost: bool) {
        match outcome {
            Err(fault) => self.fault = Some(fault),
            // Of a 404 that need not be true, nothing is kept.
            Ok(_) if !self.search.is_honest(reason, from_authority) => {}
            Ok(answer) if is_lost || reason == Reason::Misdirected => self.weak = Some(answer),
            Ok(answer) => self.held = Some(answer),
        }
    }

    /// Whether a further failure may be followed by one more request: where all fail, searches would multiply the load of what is down
    /// already. What is only not there, or has no room, says so once and fails nobody.
    fn may_go_on(&self, outgoing: &Outgoing, counted: Option<&Label>) -> bool {
        let to = &outgoing.forward.destination;
        let is_paid = counted.is_none_or(|site| self.parties.registry.may_search(site, &to.name));
        if !is_paid {
            tracing::debug!(%to, "not searched on: too many requests were asked twice");
        }
        is_paid
    }

    fn give_up(&mut self, outgoing: &Outgoing) -> Result<Response, Fault> {
        let to = outgoing.forward.destination.clone();
        let answer = self.held.take().or_else(|| self.weak.take());
        answer.ok_or_else(|| self.fault.take().unwrap_or(Fault::Unsettled { to }))
    }

    /// Who can be asked now: those behind the name, and the authority if it has another one.
    fn surrogates(&self, outgoing: &Outgoing) -> Vec<Surrogate> {
        let registry = &self.parties.registry;
        let name = &outgoing.forward.destination.name;
        let mut all = registry.surrogates(name);
        if let Some(authority) = &self.rule.authority {
            let is_it = |one: &Surrogate| authority.site.as_ref().is_none_or(|site| *site == one.site);
            if authority.name == *name {
                all.iter_mut().filter(|one| is_it(one)).for_each(|one| one.is_authority = true);
            } else {
                let others = registry.surrogates(&authority.name).into_iter().filter(is_it);
                all.extend(others.map(|one| Surrogate { is_authority: true, ..one }));
            }
        }
        all
    }

    async fn ask_surrogate(&mut self, outgoing: &mut Outgoing, site: &Label, key: &Key) -> Result<Response, Fault> {
        let parties = self.parties;
        let began = parties.registry.now();
        let patience = parties.searches.step_timeout().min(self.search.budget(began).deadline);
        let Some(call) = parties.registry.call_at(site, key) else {
            return Err(Fault::Unsettled { to: outgoing.forward.destination.clone() });
        };
        let outcome = parties.step(outgoing, call, patience).await;
        if let Ok(answer) = &outcome {
            self.path_shown(outgoing, answer);
        }
        self.stepped(site, Some(&key.endpoint), &outcome, began);
        outcome
    }

    /// Asks another site's router to search its own surrogates; and whether the answer is only the router's.
    async fn ask_router(&mut self, outgoing: &mut Outgoing, site: &Label) -> (Result<Response, Fault>, bool) {
        let parties = self.parties;
        let began = parties.registry.now();
        let left = self.search.budget(began);
        // Half of the time: a site that hangs must not cost all that come after it.
        let budget = Budget { deadline: left.deadline / 2, ..left };
        let to = outgoing.forward.destination.clone();
        let call = tokio::time::timeout(budget.deadline, parties.registry.call_router(site, &to.name)).await;
        let Ok(Some(call)) = call else {
            self.search.router_is_lost(site);
            return (Err(Fault::Unsettled { to }), false);
        };
        let head = outgoing.head.clone();
        let fields = &mut outgoing.head.headers;
        insert(fields, header::HOST, &format!("{}.{}", to.name, parties.territory.domain()));
        insert(fields, FLAME_SEARCH, &budget.to_string());
        if outgoing.asked.wants_trace {
            fields.insert(FLAME_TRACE, HeaderValue::from_static("?1"));
        }
        let stepped = parties.step(outgoing, call, budget.deadline).await;
        outgoing.head = head;
        if matches!(stepped, Err(Fault::Unreachable { .. })) {
            // Nobody there saw it.
            self.search.router_is_lost(site);
        }
        let mut is_lost = false;
        let outcome = stepped.map(|mut answer| {
            if let Some(field) = answer.headers_mut().remove(FLAME_SEARCH)
                && let Ok(field) = field.to_str()
            {
                is_lost = field.ends_with(LOST);
                let hops =
                    field.parse::<Budget>().map_or(0, |taken| if taken.hops == u32::MAX { 0 } else { taken.hops });
                self.search.was_nested(hops);
            }
            if let Some(Ok(field)) = answer.headers_mut().remove(FLAME_TRACE).as_ref().map(HeaderValue::to_str) {
                self.trail.nested(field);
            }
            answer
        });
        self.stepped(site, None, &outcome, began);
        (outcome, is_lost)
    }

    fn stepped(
        &mut self,
        site: &Label,
        endpoint: Option<&EndpointId>,
        outcome: &Result<Response, Fault>,
        began: Moment,
    ) {
        let outcome = outcome.as_ref().map_or(Outcome::NoAnswer, |answer| Outcome::Status(answer.status().as_u16()));
        let took = self.parties.registry.now().0.saturating_sub(began.0);
        self.visited(site, endpoint, outcome, took);
    }

    /// A function of a path passes on what it was shown of those after it.
    fn path_shown(&mut self, outgoing: &Outgoing, answer: &Response) {
        let shown = answer.headers().get(FLAME_TRACE).filter(|_| outgoing.on_path);
        if let Some(Ok(field)) = shown.map(HeaderValue::to_str) {
            self.trail.nested(field);
        }
    }

    fn visited(&mut self, site: &Label, endpoint: Option<&EndpointId>, outcome: Outcome, took: Duration) {
        self.trail.visited(&Visit { site, endpoint, outcome, took });
    }

    /// Notes what the answer is to show.
    fn show(&self, outgoing: &mut Outgoing, is_own: bool) {
        if outgoing.asked.wants_trace {
            insert(&mut outgoing.shown, FLAME_TRACE, self.trail.as_str());
        }
        if outgoing.asked.nested.is_some() {
            let lost = if is_own { LOST } else { "" };
            insert(
                &mut outgoing.shown,
                FLAME_SEARCH,
                &format!("nested;hops={}{lost}", outgoing.hops_taken + self.search.hops_taken()),
            );
        }
    }
}

impl Parties {
    /// Sends the request to one, once.
    async fn step(&self, outgoing: &mut Outgoing, call: Call, patience: Duration) -> Result<Response, Fault> {
        let to = outgoing.forward.destination.clone();
        match tokio::time::timeout(patience, self.attempt(outgoing, &call, Watch::Own)).await {
            Ok(Ok((answer, give_up))) => self.finish(answer, call, outgoing, give_up),
            Ok(Err(lost @ (Lost::Connect(_) | Lost::Broken(_) | Lost::Bodiless(_)))) => {
                call.note_refusal(&lost);
                call.failed();
                Err(lost.fault(&to, patience))
            }
            Ok(Err(lost @ Lost::Killed)) => Err(lost.fault(&to, patience)),
            Ok(Err(Lost::Stalled(_))) | Err(_) => Err(Fault::Silent { to, patience }),
        }
    }
}

fn has_retry_after(answer: &Response) -> bool {
    let status = answer.status();
    let may = status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE;
    may && answer.headers().contains_key(header::RETRY_AFTER)
}

fn insert(fields: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        fields.insert(name, value);
    }
}
