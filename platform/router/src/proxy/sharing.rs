//! A request's way through multicast: at the edge, which asks another site's router once for all its clients; and at
//! the origin's side, which asks the endpoint once for all those routers. What is the same and how it travels is in
//! `crate::multicast`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use axum::response::Response;
use bytes::Bytes;
use flame_multicast::Door;
use flame_naming::identity::{Carried, Identity, Question, Sharing, Token, sharing};
use flame_naming::{Forward, Mount};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::fault::Fault;
use super::{FLAME_PATH, Outgoing, Parties, headers};
use crate::multicast;
use crate::multicast::{Multicast, PATIENCE, PROTOCOL, Place, Shared};
use crate::search::FLAME_SEARCH;

/// Fields that an answer may depend on, and be shared among those who agree in them.
const KEYED: [HeaderName; 3] = [header::ACCEPT, header::ACCEPT_LANGUAGE, header::ORIGIN];

impl Parties {
    /// Answers by multicast from another site, if that is where the answer is and it can be shared; `None` where the
    /// request goes its ordinary way.
    pub(super) async fn share(&self, outgoing: &mut Outgoing) -> Option<Result<Response, Fault>> {
        let multicast = self.multicast.as_ref()?;
        let identity = outgoing.identity()?;
        let to = outgoing.forward.destination.clone();
        let (site, _) = self.registry.whom(&to, None).ok()?;
        if site == self.registry.site() || !self.registry.has_router(&site) {
            return None;
        }
        let lead = match multicast.at_edge(identity.clone()) {
            Place::Lead(lead) => lead,
            Place::Follow(follow) => {
                let shared = tokio::time::timeout(PATIENCE, follow.shared()).await.ok()??;
                return Some(Ok(self.shared(&shared, outgoing)));
            }
        };
        let call = self.registry.call_router(&site, &to.name).await?;
        let head = outgoing.head.clone();
        let host = HeaderValue::from_str(&format!("{}.{}", to.name, self.territory.domain())).ok()?;
        outgoing.head.headers.insert(header::HOST, host);
        let asked = std::mem::replace(&mut outgoing.forward.path_and_query, identity.url().to_owned());
        normalise(&mut outgoing.head.headers, &identity);
        headers::set_upgrade(&mut outgoing.head.headers, PROTOCOL);
        let attempt = self.attempt(outgoing, &call).await;
        outgoing.head = head;
        outgoing.forward.path_and_query = asked;
        let (mut answer, give_up) = attempt.ok()?;
        let is_granted = answer.headers().get(header::UPGRADE) == Some(&PROTOCOL);
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS || !is_granted {
            // Not to be shared: those who wait ask by themselves.
            drop(lead);
            return Some(self.finish(answer, call, outgoing, give_up));
        }
        let leg = hyper::upgrade::on(&mut answer).await.ok()?;
        let shared = multicast.receive(TokioIo::new(leg), lead).await?;
        Some(Ok(self.shared(&shared, outgoing)))
    }

    /// An answer that comes by multicast, as one client sees it.
    fn shared(&self, shared: &Arc<Shared>, outgoing: &Outgoing) -> Response {
        let mut answer = Response::new(Body::from_stream(multicast::read(Arc::clone(shared))));
        *answer.status_mut() = shared.head.status;
        *answer.headers_mut() = shared.head.headers.clone();
        let Outgoing { forward, head, .. } = outgoing;
        // The other router was asked at the root of a host: what it answers is right for that.
        let asked = head.headers.get(header::HOST);
        let upstream = Authority::from_static("localhost");
        headers::mount_locations(answer.headers_mut(), &forward.mount, &upstream, asked);
        if forward.mount != Mount::Host {
            headers::confine_pages(answer.headers_mut());
        }
        self.via.add_to(answer.headers_mut(), Version::HTTP_11);
        answer
    }

    /// Answers another router that can take part in multicast.
    pub(super) async fn share_out(
        &self,
        multicast: &Multicast,
        outgoing: &mut Outgoing,
        leg: OnUpgrade,
    ) -> Result<Response, Fault> {
        let Some(identity) = outgoing.identity() else { return self.send_and_search(outgoing).await };
        let door = match multicast.at_origin(identity.clone()) {
            Place::Lead(lead) => {
                identity.url().clone_into(&mut outgoing.forward.path_and_query);
                normalise(&mut outgoing.head.headers, &identity);
                let (answer, body) = self.send_and_search(outgoing).await?.into_parts();
                let is_shared = is_shared(&identity, answer.status, &answer.headers);
                let Some(room) = is_shared.then(|| multicast.room_for(&answer.headers)).flatten() else {
                    // Those who wait ask by themselves, while this one reads.
                    drop(lead);
                    return Ok(Response::from_parts(answer, body));
                };
                multicast.send(&answer, body, lead, room)
            }
            Place::Follow(follow) => match tokio::time::timeout(PATIENCE, follow.shared()).await {
                Ok(Some(door)) => door,
                Ok(None) | Err(_) => return self.send_and_search(outgoing).await,
            },
        };
        match seat(multicast, &door, leg).await {
            Some(answer) => Ok(answer),
            // It is too far on, or just over.
            None => self.send_and_search(outgoing).await,
        }
    }
}

/// Lets a router in, if it can still come in.
async fn seat(multicast: &Multicast, door: &Door, leg: OnUpgrade) -> Option<Response> {
    let seat = door.reserve(true).await?.ok()?;
    multicast.spawn(async move {
        match leg.await {
            Ok(leg) => seat.sit(TokioIo::new(leg), Bytes::new()).await,
            Err(error) => tracing::debug!(%error, "a router did not change the protocol that it asked for"),
        }
    });
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    headers::set_upgrade(answer.headers_mut(), PROTOCOL);
    Some(answer)
}

/// Takes a request out of a router's hands that asks for multicast: what is left is an ordinary one.
pub(super) fn take_leg(request: &mut Request) -> Option<OnUpgrade> {
    if headers::upgrade(request.headers()) != Some(PROTOCOL) {
        return None;
    }
    let leg = hyper::upgrade::on(&mut *request);
    request.headers_mut().remove(header::UPGRADE);
    request.headers_mut().remove(header::CONNECTION);
    Some(leg)
}

impl Outgoing {
    /// What other requests are the same; `None` where this one is somebody's own.
    fn identity(&self) -> Option<Identity> {
        let Forward { destination, path_and_query, .. } = &self.forward;
        let headers = &self.head.headers;
        let is_plain = self.tunnel.is_none() && self.offer.is_empty() && self.asked.nested.is_none();
        let is_plain = is_plain && !self.asked.wants_trace && !self.on_path && self.sticky.is_none();
        let is_plain = is_plain && self.head.method == Method::GET;
        let is_on_its_way = headers.contains_key(FLAME_PATH) || headers.contains_key(FLAME_SEARCH);
        if !is_plain || is_on_its_way || destination.site.is_some() {
            return None;
        }
        let (name, method) = (&destination.name, &self.head.method);
        let question = Question { name, method, path_and_query, headers, token: Token::Unverified };
        Identity::of(&question, &KEYED).ok()
    }
}

/// Whether an answer that was fetched for one may go to all of the same identity.
fn is_shared(identity: &Identity, status: StatusCode, headers: &HeaderMap) -> bool {
    let is_body = matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT);
    is_body && sharing::judge(|name| identity.is_keyed(name), Carried::Fields, status, headers) == Sharing::All
}

/// Asks for all of a group in the same words.
fn normalise(headers: &mut HeaderMap, identity: &Identity) {
    if let Ok(codings) = HeaderValue::from_str(identity.accept_encoding()) {
        headers.insert(header::ACCEPT_ENCODING, codings);
    }
}
