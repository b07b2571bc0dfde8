//! A request's way through multicast: at the edge, which asks another site's router once for all its clients; and at
//! the origin's side, which asks the endpoint once for all those routers. What is the same and how it travels is in
//! `crate::multicast`. How an answer came is said in `status`; what is done where nobody answers there, in `elsewhere`.

mod elsewhere;
pub(crate) mod status;

use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use axum::response::Response;
use bytes::Bytes;
use flame_multicast::{Door, Seat};
use flame_naming::identity::{self, Bearer, Carried, Identity, Question, Sharing, Token, sharing};
use flame_naming::{Destination, Forward, Label, Mount};
use flame_service_host::auth::TENANT_HEADER;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::fault::Fault;
use super::resume::Resumable;
use super::source::Source;
use super::watched::{Silence, Watched};
use super::{FLAME_PATH, Lost, Outgoing, Parties, Watch, headers};
use crate::multicast;
use crate::multicast::{Asked, Begun, Follow, Lead, Multicast, Nothing, PROTOCOL, Place, Shared, Sought, Unreceived};
use crate::search::FLAME_SEARCH;
use status::Way;

/// How often a request may lead or follow before it goes its ordinary way: a leader may go without a word.
const TURNS: usize = 3;

/// How often it is looked whether a router that was asked for all is still heard.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long the address of another site's router may be looked for.
const FIND_WITHIN: Duration = Duration::from_secs(2);

/// Time without a block after which the rest of an answer is asked for elsewhere. Longer than for one client's answer: a
/// lost packet of the leg may hold everything up for as long as TCP waits, and what comes by unicast then costs the
/// origin's link a copy.
const STALL_AFTER: Duration = Duration::from_secs(2);

/// What became of asking for all.
enum Brought {
    Shared(Begun),
    /// An answer for one.
    Alone(Response),
    /// An answer that cannot be had in this way.
    Failed(Fault),
    /// Nothing; another one may ask.
    Lost,
    /// There is no room for it here: everybody asks by themselves.
    NoRoom,
}

impl Parties {
    /// Answers by multicast from another site, if that is where the answer is and it can be shared; `None` where the
    /// request goes its ordinary way.
    pub(super) async fn share(&self, outgoing: &mut Outgoing) -> Option<Result<Response, Fault>> {
        let multicast = self.multicast.as_ref().filter(|_| outgoing.is_plain())?;
        let (site, _) = self.registry.whom(&outgoing.forward.destination, None).ok()?;
        if site == self.registry.site() {
            return None;
        }
        let identity = shareable(multicast, outgoing)?;
        let (began, deadline) = (self.registry.now(), outgoing.budget.deadline);
        let sought = (outgoing.forward.destination.site.is_some(), identity.clone());
        for _ in 0..TURNS {
            if !self.registry.hears_router(&site) {
                return None;
            }
            let mut way = Way::ALONE;
            let told = match multicast.at_edge(&site, &sought) {
                Place::Lead(lead) => match Box::pin(self.lead(multicast, outgoing, &site, &identity, lead)).await {
                    Brought::Shared(begun) => Ok(begun),
                    Brought::Alone(answer) if is_unanswered(answer.status()) => {
                        let first = (Ok(answer), began);
                        return Some(Box::pin(self.search_for_all(multicast, outgoing, sought, first)).await);
                    }
                    Brought::Alone(answer) => return Some(Ok(answer)),
                    Brought::Failed(fault) => return Some(Err(fault)),
                    Brought::Lost => Err(Nothing::Leaderless),
                    Brought::NoRoom => Err(Nothing::Alone),
                },
                // As long as the leader waits: a slow endpoint is asked once, and not by all at the same moment. Whose own time is over is told so.
                Place::Follow(mut follow) => {
                    way = Way::COLLAPSED;
                    tokio::select! {
                        told = follow.shared() => told.and_then(|shared| enter(shared, follow)),
                        _ = outgoing.offer.stalled(deadline) => return Some(Err(silent(outgoing))),
                    }
                }
            };
            match told {
                Ok(begun) => return Some(Ok(self.shared(begun, outgoing, way))),
                Err(Nothing::Alone) => return None,
                // Others may have it.
                Err(Nothing::Failed | Nothing::Refused) => {
                    let first = (Err(unanswered(outgoing)), began);
                    return Some(Box::pin(self.search_for_all(multicast, outgoing, sought, first)).await);
                }
                Err(Nothing::Leaderless) => {}
            }
        }
        None
    }

    /// Asks the router of `site` for all who follow `lead`, as long as that router is heard: a slow endpoint is waited
    /// for, a router that is gone or hangs is not.
    async fn lead(
        &self,
        multicast: &Multicast,
        outgoing: &mut Outgoing,
        site: &Label,
        identity: &Identity,
        lead: Lead<Asked, Arc<Shared>>,
    ) -> Brought {
        let (head, asked) = (outgoing.head.clone(), outgoing.forward.path_and_query.clone());
        let fell_silent = async {
            while self.registry.hears_router(site) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let brought = tokio::select! {
            brought = self.ask_for_all(multicast, outgoing, site, identity, lead) => brought,
            () = fell_silent => {
                tracing::warn!(%site, "its router fell silent while it was asked for all");
                Brought::Lost
            }
        };
        (outgoing.head, outgoing.forward.path_and_query) = (head, asked);
        brought
    }

    async fn ask_for_all(
        &self,
        multicast: &Multicast,
        outgoing: &mut Outgoing,
        site: &Label,
        identity: &Identity,
        lead: Lead<Asked, Arc<Shared>>,
    ) -> Brought {
        let Destination { name, site: pin, .. } = outgoing.forward.destination.clone();
        // Who must be asked there is asked there, or not at all.
        let pin = pin.map_or_else(String::new, |pin| format!("{pin}--"));
        let host = HeaderValue::from_str(&format!("{pin}{name}.{}", self.territory.domain()));
        let found = tokio::time::timeout(FIND_WITHIN, self.registry.call_router(site, &name)).await;
        let (Ok(host), Ok(Some(call))) = (host, found) else {
            tracing::warn!(%site, %name, "its router has no address: not asked for all");
            return Brought::Lost;
        };
        identity.url().clone_into(&mut outgoing.forward.path_and_query);
        normalise(&mut outgoing.head.headers, identity);
        // What an endpoint is asked, should the rest be had from there.
        let (forward, plain) = (outgoing.forward.clone(), outgoing.head.clone());
        outgoing.head.headers.insert(header::HOST, host);
        headers::set_upgrade(&mut outgoing.head.headers, PROTOCOL);
        let attempt = self.attempt(outgoing, &call, Watch::Own).await;
        outgoing.head.headers.clone_from(&plain.headers);
        let (mut answer, give_up) = match attempt {
            Ok(answer) => answer,
            // Its own time is over; those who came later may have some left.
            Err(Lost::Stalled(_)) => return Brought::Failed(silent(outgoing)),
            Err(lost) => {
                tracing::warn!(%site, %name, ?lost, "its router did not answer who asked for all");
                return Brought::Lost;
            }
        };
        let is_granted = answer.headers().get(header::UPGRADE) == Some(&PROTOCOL);
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS || !is_granted {
            // Only to know what such answers depend on.
            is_shared(multicast, identity, answer.status(), answer.headers());
            dismiss(lead, answer.status());
            return match self.finish(answer, call, outgoing, give_up) {
                Ok(answer) => Brought::Alone(answer),
                Err(fault) => Brought::Failed(fault),
            };
        }
        match hyper::upgrade::on(&mut answer).await {
            Ok(leg) => {
                let watched = |head: &multicast::head::Head, blocks| {
                    let resumable = Resumable::of(&self.resumer, (&forward, &plain), head.status, &head.headers);
                    let silence = Silence {
                        resumed: STALL_AFTER,
                        broken: outgoing.settings.body_idle_timeout.0.max(STALL_AFTER),
                    };
                    Watched::new((Source::Multicast(blocks), None), (call, true), silence, None, resumable)
                };
                let may_be_shared =
                    |head: &multicast::head::Head| is_shared(multicast, identity, head.status, &head.headers);
                match multicast.receive(TokioIo::new(leg), lead, may_be_shared, watched).await {
                    Ok(begun) => Brought::Shared(begun),
                    Err(Unreceived::Lost) => Brought::Lost,
                    Err(Unreceived::NoRoom) => Brought::NoRoom,
                }
            }
            Err(error) => {
                tracing::warn!(%site, %name, %error, "its router broke off before the first octet");
                Brought::Lost
            }
        }
    }

    /// An answer that comes by multicast, as one client sees it.
    fn shared(&self, begun: Begun, outgoing: &Outgoing, way: Way) -> Response {
        let mut answer = read(begun);
        let Outgoing { forward, head, .. } = outgoing;
        // The other router was asked at the root of a host: what it answers is right for that.
        let asked = head.headers.get(header::HOST);
        let upstream = || Authority::from_static("localhost");
        headers::mount_locations(answer.headers_mut(), &forward.mount, upstream, asked);
        if forward.mount != Mount::Host {
            headers::confine_pages(answer.headers_mut());
        }
        self.via.add_to(answer.headers_mut(), Version::HTTP_11);
        self.say_way(answer.headers_mut(), way);
        answer
    }

    /// Takes a request that asks for multicast out of a router's hands: what is left is an ordinary one. So it is for
    /// everybody else, who gets nothing but that.
    pub(super) async fn take_leg(&self, request: &mut Request) -> Option<OnUpgrade> {
        if headers::upgrade(request.headers()) != Some(PROTOCOL) {
            return None;
        }
        // In a box of its own: nearly every request does without.
        let is_router = Box::pin(self.neighbours.is_one(request.extensions())).await;
        let leg = hyper::upgrade::on(&mut *request);
        request.headers_mut().remove(header::UPGRADE);
        request.headers_mut().remove(header::CONNECTION);
        is_router.then_some(leg)
    }

    /// Answers another router that can take part in multicast.
    pub(super) async fn share_out(
        &self,
        multicast: &Multicast,
        outgoing: &mut Outgoing,
        leg: OnUpgrade,
    ) -> Result<Response, Fault> {
        let Some(identity) = shareable(multicast, outgoing) else { return self.send_and_search(outgoing).await };
        let pin = outgoing.forward.destination.site.as_ref();
        if pin.is_some_and(|pin| *pin != self.registry.site()) {
            return self.send_and_search(outgoing).await;
        }
        let (deadline, sought) = (outgoing.budget.deadline, (pin.is_some(), identity.clone()));
        for _ in 0..TURNS {
            match multicast.at_origin(sought.clone()) {
                Place::Lead(lead) => match self.fetch_for_all(multicast, outgoing, &identity, lead).await? {
                    Ok(door) => {
                        if let Some(seat) = reserve(&door).await {
                            return Ok(sit(multicast, seat, leg));
                        }
                    }
                    Err(answer) => return Ok(answer),
                },
                Place::Follow(mut follow) => {
                    let told = tokio::select! {
                        told = follow.shared() => told,
                        _ = outgoing.offer.stalled(deadline) => return Err(silent(outgoing)),
                    };
                    match told {
                        Ok(door) => match reserve(&door).await {
                            Some(seat) => return Ok(sit(multicast, seat, leg)),
                            // It is too far on, or just over, or full: the next one is for those who come now.
                            None => follow.turned_away(),
                        },
                        Err(Nothing::Leaderless) => {}
                        Err(Nothing::Alone) => break,
                        Err(Nothing::Failed | Nothing::Refused) => return Err(unanswered(outgoing)),
                    }
                }
            }
        }
        self.send_and_search(outgoing).await
    }

    /// Asks the endpoint for all routers that follow `lead`: where their transfer is, or an answer for one.
    async fn fetch_for_all(
        &self,
        multicast: &Multicast,
        outgoing: &mut Outgoing,
        identity: &Identity,
        lead: Lead<Sought, Door>,
    ) -> Result<Result<Door, Response>, Fault> {
        identity.url().clone_into(&mut outgoing.forward.path_and_query);
        normalise(&mut outgoing.head.headers, identity);
        let answer = match self.send_and_search(outgoing).await {
            Ok(answer) => answer,
            // Whoever came shortly before has not waited for long: one of them asks once more.
            Err(fault @ Fault::Silent { .. }) => return Err(fault),
            Err(fault) => {
                lead.failed();
                return Err(fault);
            }
        };
        let (mut answer, body) = answer.into_parts();
        let is_shared = is_shared(multicast, identity, answer.status, &answer.headers) && is_ended(&answer.extensions);
        let Some(room) = is_shared.then(|| multicast.memory().room_to_send(&answer.headers)).flatten() else {
            dismiss(lead, answer.status);
            return Ok(Err(Response::from_parts(answer, body)));
        };
        self.say_way(&mut answer.headers, Way::ALONE);
        Ok(Ok(multicast.send(&answer, body, lead, room)))
    }
}

/// Lets those who wait go, because what came is for one: they ask by themselves, while that one reads; where nobody answered,
/// they search on.
fn dismiss<K: Eq + Hash, V>(lead: Lead<K, V>, status: StatusCode) {
    if is_unanswered(status) { lead.failed() } else { lead.alone() }
}

/// Whether a router answers so where nobody answered it.
fn is_unanswered(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

/// What those are told whose time is over.
fn silent(outgoing: &Outgoing) -> Fault {
    Fault::Silent { to: outgoing.forward.destination.clone(), patience: outgoing.budget.deadline }
}

/// What those are told who waited for one who got no answer.
fn unanswered(outgoing: &Outgoing) -> Fault {
    Fault::Unanswered { to: outgoing.forward.destination.clone() }
}

/// What is the same as what is asked for, where it may be shared as far as is known before there is an answer.
fn shareable(multicast: &Multicast, outgoing: &Outgoing) -> Option<Identity> {
    outgoing.identity(multicast).filter(|identity| !multicast.learned().is_long(identity, Instant::now()))
}

/// Hangs on what is coming; where its beginning is not held any more, whoever asks next leads.
fn enter<K: Eq + Hash>(shared: Arc<Shared>, follow: Follow<K, Arc<Shared>>) -> Result<Begun, Nothing> {
    match shared.fan.enter() {
        Some(reading) => Ok((shared, reading)),
        None => {
            follow.turned_away();
            Err(Nothing::Leaderless)
        }
    }
}

/// What comes, as it came.
fn read((shared, reading): Begun) -> Response {
    let (status, headers) = (shared.head.status, shared.head.headers.clone());
    let mut answer = Response::new(Body::from_stream(reading.of(shared)));
    (*answer.status_mut(), *answer.headers_mut()) = (status, headers);
    answer
}

/// A seat of a transfer that one can still come in to.
async fn reserve(door: &Door) -> Option<Seat> {
    door.reserve(true).await?.inspect_err(|reason| tracing::debug!(%reason, "a router came too late")).ok()
}

/// Lets a router in.
fn sit(multicast: &Multicast, seat: Seat, leg: OnUpgrade) -> Response {
    multicast.spawn(async move {
        match leg.await {
            Ok(leg) => seat.sit(TokioIo::new(leg), Bytes::new()).await,
            Err(error) => tracing::debug!(%error, "a router did not change the protocol that it asked for"),
        }
    });
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    headers::set_upgrade(answer.headers_mut(), PROTOCOL);
    answer
}

impl Outgoing {
    /// Whether it is a plain question, whoever asks it.
    fn is_plain(&self) -> bool {
        let headers = &self.head.headers;
        let is_plain = self.tunnel.is_none() && self.offer.is_empty() && self.asked.nested.is_none();
        let is_plain = is_plain && !self.asked.wants_trace && !self.on_path && self.sticky.is_none();
        let is_on_its_way = headers.contains_key(FLAME_PATH) || headers.contains_key(FLAME_SEARCH);
        is_plain && !is_on_its_way && self.head.method == Method::GET
    }

    /// What other requests are the same; `None` where this one is somebody's own. Whether a site is asked for by its name does not
    /// matter: what a URL stands for does not depend on where it is asked for.
    fn identity(&self, multicast: &Multicast) -> Option<Identity> {
        let Forward { destination, path_and_query, .. } = &self.forward;
        let (name, method, headers) = (&destination.name, &self.head.method, &self.head.headers);
        // For whom somebody acts is for the service to judge.
        let is_refused =
            headers.contains_key(TENANT_HEADER) || identity::refused_whoever_asks(method, headers).is_err();
        if !self.is_plain() || is_refused {
            return None;
        }
        // A credential is verified last: that costs most.
        let rights = multicast.surrogate(headers);
        let bearer = rights.as_ref().map_or(Bearer::Unverified, Bearer::Surrogate);
        let question = Question { name, method, path_and_query, headers, token: Token::Unverified, bearer };
        Identity::of(&question, multicast.learned().keyed(name, Instant::now())).ok()
    }
}

/// Whether an answer that was fetched for one may go to all of the same identity. What it depends on is noted.
fn is_shared(multicast: &Multicast, identity: &Identity, status: StatusCode, headers: &HeaderMap) -> bool {
    // What a refusal depends on says nothing of the media.
    if !matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT) {
        return false;
    }
    match judged(identity, status, headers) {
        Sharing::All => true,
        Sharing::Split(split) => {
            multicast.learned().note_split(identity.name(), &split, Instant::now());
            false
        }
    }
}

fn judged(identity: &Identity, status: StatusCode, headers: &HeaderMap) -> Sharing {
    let carried = if identity.is_of_surrogates() { Carried::Credential } else { Carried::Fields };
    sharing::judge(|name| identity.is_keyed(name), carried, status, headers)
}

/// Whether it is known of an answer with these extensions where it ends: a part of one of which it is not looks like the whole.
fn is_ended(extensions: &Extensions) -> bool {
    extensions.get::<headers::Unended>().is_none()
}

/// Asks for all of a group in the same words.
fn normalise(headers: &mut HeaderMap, identity: &Identity) {
    if let Ok(codings) = HeaderValue::from_str(identity.accept_encoding()) {
        headers.insert(header::ACCEPT_ENCODING, codings);
    }
}
