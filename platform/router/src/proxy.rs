//! A request's way through the router: decided, cleaned, passed to an endpoint, and its answer passed back.
//!
//! Who gets it, and who else when that one fails or is late, is in `switching`; how an answer that broke off goes on
//! elsewhere in `watched` and `resume`; who is asked when the answer is not the one that was wanted in `indirection`.
//! Bodies stream; nothing is gathered.

mod body;
mod fault;
mod front;
pub(crate) mod headers;
mod indirection;
pub(crate) mod line;
mod probes;
pub(crate) mod resume;
pub(crate) mod sharing;
mod source;
mod switching;
mod tunnel;
mod unawaited;
mod upstream;
mod watched;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use axum::response::Response;
use flame_naming::hedge;
use flame_naming::path::{Ended, Marker, Paths};
use flame_naming::peers::Key;
use flame_naming::search::Budget;
use flame_naming::{Forward, Label, Mount, Territory};
use flame_service_host::access::Route;
use flame_service_host::connector::Connector;
use flame_service_host::{Encrypted, Stays};
use hyper::body::Body as _;
use hyper::upgrade::OnUpgrade;
use hyper_util::client::legacy::connect::HttpConnector;

use crate::config::{self, Config};
use crate::multicast::Multicast;
use crate::neighbours::Neighbours;
use crate::registry::{Call, Registry};
use crate::search::{self, Searches};
use crate::sticky::{self, Sticky};
use body::{Gate, GiveUp, Offer, Stalled};
use fault::Fault;
use indirection::AnsweredBy;
use probes::Probes;
use resume::{Resumable, Resumer};
use source::Source;
use switching::Got;
use tunnel::{Slot, Tunnels};
use unawaited::Unawaited;
use upstream::{Cause, Unsent, Upstream};
use watched::{Silence, Watched};

/// How far a request has come on its path.
const FLAME_PATH: HeaderName = HeaderName::from_static("flame-path");
/// Room for what a request is counted as: nearly every name has it.
const ROUTE_BYTES: usize = 64;
/// How often a request may pass this router: a service that asks another one by name comes by again.
const PASSES_MAX: usize = 8;
/// How long a body waits for an endpoint's 100 before it is sent without (RFC 9110 section 10.1.1).
const CONTINUE_PATIENCE: Duration = Duration::from_secs(1);

/// Passes requests to endpoints. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Proxy(Arc<Parties>);

pub(crate) struct Parties {
    territory: Territory,
    registry: Registry,
    searches: Searches,
    paths: Paths,
    sticky: Arc<Sticky>,
    upstream: Arc<Upstream>,
    resumer: Arc<Resumer>,
    tunnels: Tunnels,
    unawaited: Unawaited,
    multicast: Option<Multicast>,
    neighbours: Neighbours,
    settings: RwLock<Arc<config::Upstream>>,
    /// This router in `Via`.
    via: headers::Via,
}

/// A request that has been cleaned and can be sent, several times if need be.
struct Outgoing {
    forward: Forward,
    head: Parts,
    offer: Offer,
    expects_continue: bool,
    tunnel: Option<(OnUpgrade, Slot)>,
    /// What it says of the search that it may become.
    asked: search::Asked,
    /// Whether who gets it asks this router for the next function of a path.
    on_path: bool,
    /// Whether it may wait at an endpoint until there is something to answer.
    is_wait: bool,
    /// Whose it is, where its name is sticky.
    sticky: Option<sticky::Key>,
    /// How endpoints are spoken to, as it stood when the request came.
    settings: Arc<config::Upstream>,
    /// What it may use up: time until the answer's head, and endpoints besides the first.
    budget: Budget,
    /// How many endpoints were asked besides the first.
    hops_taken: u32,
    /// Who has been asked and gave no answer.
    tried: Vec<(Label, Key)>,
    /// What the answer shows of the search.
    shown: HeaderMap,
}

/// Whose timer sees that an answer does not come. Nearly every request has its answer before any is looked at, so one
/// timer for each is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watch {
    /// The attempt's own.
    Own,
    /// The caller's, who looks at the attempt again when that has fired: from then on it has its own.
    Callers,
}

/// How an attempt failed.
#[derive(Debug)]
enum Lost {
    Connect(Cause),
    Broken(Cause),
    /// The head came, and no byte of the body.
    Bodiless(Cause),
    /// The endpoint was killed.
    Killed,
    Stalled(Stalled),
}

/// Makes the connections to endpoints and other routers.
pub(crate) fn http_connector(config: &Config) -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(config.upstream.connect_timeout.0));
    connector
}

// === impl Proxy ===

impl Deref for Proxy {
    type Target = Parties;

    fn deref(&self) -> &Parties {
        &self.0
    }
}

impl Proxy {
    pub(crate) fn new(
        territory: Territory,
        registry: Registry,
        (searches, paths, sticky): (Searches, Paths, Arc<Sticky>),
        multicast: Option<Multicast>,
        (connector, cores): (Connector, usize),
        config: &Config,
    ) -> Self {
        let settings = config.upstream.clone();
        let upstream = Arc::new(Upstream::new(connector, &settings, cores));
        // A pseudonym: two routers must not take each other for themselves.
        let via = headers::Via::new(&format!("flame-{:08x}", rand::random::<u32>()));
        Self(Arc::new(Parties {
            territory,
            resumer: Arc::new(Resumer { registry: registry.clone(), upstream: Arc::clone(&upstream) }),
            neighbours: Neighbours::new(registry.clone()),
            registry,
            searches,
            paths,
            sticky,
            upstream,
            tunnels: Tunnels::new(config.limits.tunnels),
            unawaited: Unawaited::default(),
            multicast,
            settings: RwLock::new(Arc::new(settings)),
            via,
        }))
    }

    pub(crate) fn tunnels(&self) -> Tunnels {
        self.0.tunnels.clone()
    }

    /// What is passed on to its end also where nobody waits for the answer.
    pub(crate) fn unawaited(&self) -> Unawaited {
        self.0.unawaited.clone()
    }

    /// Takes other limits; what is under way ends as it began. Connections are kept as at the start.
    pub(crate) fn change(&self, config: &Config, rules: search::Rules) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config.upstream.clone());
        self.tunnels.set_limit(config.limits.tunnels);
        self.searches.change(rules);
    }

    /// Asks endpoints that hang whether they are back.
    pub(crate) fn probes(&self) -> Probes {
        Probes::new(&self.resumer, self.settings().probe_every.0, self.settings().probe_static_every.0)
    }

    async fn pass_on(self, forward: Forward, request: Request) -> Response {
        if !unawaited::is_one(&request) {
            return self.pass(forward, request).await;
        }
        // In a box of its own: nearly every request does without, and its future is copied as it begins.
        let unawaited = self.unawaited();
        unawaited.answer(Box::pin(async move { self.pass(forward, request).await })).await
    }

    async fn pass(&self, forward: Forward, mut request: Request) -> Response {
        let mut route = String::with_capacity(ROUTE_BYTES);
        route.push('~');
        forward.destination.name.write_to(&mut route);
        let route = Route(route);
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        // What is refused before the name was looked up may have any name: it must not become a label.
        let (mut shown, mut cookie) = (HeaderMap::new(), None);
        let leg = match &self.multicast {
            Some(multicast) => self.take_leg(&mut request).await.map(|leg| (multicast, leg)),
            None => None,
        };
        let (answer, was_looked_up) = match self.prepare(forward, request) {
            Ok(mut outgoing) => {
                let answer = match leg {
                    Some((multicast, leg)) => Box::pin(self.share_out(multicast, &mut outgoing, leg)).await,
                    None => match self.share(&mut outgoing).await {
                        Some(answer) => answer,
                        None => self.send_and_search(&mut outgoing).await,
                    },
                };
                shown = outgoing.shown;
                cookie = outgoing.sticky.and_then(|key| key.cookie);
                (answer, true)
            }
            Err(fault) => (Err(fault), false),
        };
        let is_known = was_looked_up && !answer.as_ref().is_err_and(Fault::is_unknown_name);
        let mut answer = answer.unwrap_or_else(|fault| fault.answer(is_read));
        // Only this router's word counts here.
        [search::FLAME_SEARCH, search::FLAME_TRACE].iter().for_each(|name| drop(answer.headers_mut().remove(name)));
        answer.headers_mut().extend(shown);
        if let Some(cookie) = cookie {
            answer.headers_mut().append(header::SET_COOKIE, cookie);
        }
        if is_known {
            answer.extensions_mut().insert(route);
        }
        answer
    }
}

// === impl Parties ===

impl Parties {
    fn settings(&self) -> Arc<config::Upstream> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes the request that an endpoint gets.
    fn prepare(&self, mut forward: Forward, mut request: Request) -> Result<Outgoing, Fault> {
        let on_path = self.walk(&mut forward, request.headers_mut())?;
        let to = &forward.destination;
        if self.via.times_in(request.headers()) >= PASSES_MAX {
            return Err(Fault::Loop { to: to.clone() });
        }
        let protocol = headers::upgrade(request.headers());
        let tunnel = match &protocol {
            Some(_) => {
                let stays = request.extensions_mut().remove::<Stays>();
                Some((hyper::upgrade::on(&mut request), self.tunnels.slot(stays).ok_or(Fault::TunnelsFull)?))
            }
            None => None,
        };
        let (mut head, body) = request.into_parts();
        let offer = Offer::new(body);
        let peer = head.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
        let expects = head
            .headers
            .get(header::EXPECT)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        headers::remove_hop_by_hop(&mut head.headers);
        if let Some(protocol) = protocol {
            headers::set_upgrade(&mut head.headers, protocol);
        }
        if let Some(authority) = head.uri.authority() {
            let host = HeaderValue::from_str(authority.as_str());
            head.headers.insert(header::HOST, host.map_err(|_| Fault::Malformed("the authority is no host"))?);
        }
        let proto = if head.extensions.get::<Encrypted>().is_some() { "https" } else { "http" };
        headers::set_forwarded(&mut head.headers, peer, proto);
        self.via.add_to(&mut head.headers, head.version);
        let asked = self.searches.admit(&head.method, &mut head.headers, &to.name);
        let asked = asked.map_err(|search::Circle| Fault::Loop { to: to.clone() })?;
        head.version = Version::HTTP_11;
        head.extensions.clear();
        let expects_continue = expects && !offer.is_empty();
        if on_path && asked.wants_trace {
            head.headers.insert(search::FLAME_TRACE, HeaderValue::from_static("?1"));
        }
        let query = forward.path_and_query.split_once('?').map(|(_, query)| query);
        let sticky = self.sticky.key(&forward.destination.name, &mut head.headers, query, &forward.mount);
        let settings = self.settings();
        let limits = Budget { hops: settings.hops, deadline: settings.answer_timeout.0 };
        let budget = asked.nested.map_or(limits, |left| limits.at_most(left));
        let is_wait = hedge::is_wait(&forward.path_and_query);
        Ok(Outgoing {
            forward,
            head,
            offer,
            expects_continue,
            tunnel,
            asked,
            on_path,
            is_wait,
            sticky,
            settings,
            budget,
            hops_taken: 0,
            tried: Vec::new(),
            shown: HeaderMap::new(),
        })
    }

    /// Where the name is a path: turns to its next function, which is told who comes after it. Whether one does.
    fn walk(&self, forward: &mut Forward, headers: &mut HeaderMap) -> Result<bool, Fault> {
        let marker = headers.get(FLAME_PATH).and_then(|field| field.to_str().ok()?.parse::<Marker>().ok());
        let hop = self.paths.next(&forward.destination.name, marker.as_ref());
        let hop = hop.map_err(|Ended| Fault::PathEnded { to: forward.destination.clone() })?;
        let Some(hop) = hop else { return Ok(false) };
        let marker = HeaderValue::from_str(&hop.marker.to_string()).expect("a name and a number");
        headers.insert(FLAME_PATH, marker);
        forward.destination.name = hop.function;
        Ok(!hop.is_last)
    }

    async fn send_and_search(&self, outgoing: &mut Outgoing) -> Result<Response, Fault> {
        let began = self.registry.now();
        let first = self.send(outgoing).await;
        self.search_on(outgoing, first, began).await
    }

    async fn attempt(
        &self,
        outgoing: &Outgoing,
        call: &Call,
        watch: Watch,
    ) -> Result<(hyper::Response<Source>, Option<GiveUp>), Lost> {
        let by_http2 = call.choice.http2 && !call.choice.tls;
        let gate = (outgoing.expects_continue && !by_http2).then(Gate::default);
        let body = outgoing.offer.lend(gate.clone());
        let answer = self.upstream.send(call, &outgoing.forward.path_and_query, &outgoing.head, body);
        let stalled = outgoing.offer.stalled(outgoing.budget.deadline);
        tokio::pin!(answer, stalled);
        let mut is_timed = watch == Watch::Own;
        let mut stalled =
            poll_fn(
                |cx| {
                    if std::mem::replace(&mut is_timed, true) { stalled.as_mut().poll(cx) } else { Poll::Pending }
                },
            );
        let mut waits = gate.is_some();
        // Nearly no request waits for that: it is a timer only where one does.
        let patience = async move {
            if waits {
                tokio::time::sleep(CONTINUE_PATIENCE).await;
            }
        };
        let killed = call.killed();
        tokio::pin!(patience, killed);
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return match answer {
                    Ok(answer) => {
                        call.answered(outgoing.demand(), answer.status(), answer.headers());
                        Ok((answer, gate.map(Gate::give_up_later)))
                    }
                    Err(Unsent::Connect(cause)) => Err(Lost::Connect(cause)),
                    Err(Unsent::Broken(cause)) => Err(Lost::Broken(cause)),
                },
                () = &mut patience, if waits => {
                    waits = false;
                    gate.iter().for_each(Gate::open);
                }
                side = &mut stalled => return Err(Lost::Stalled(side)),
                () = &mut killed => return Err(Lost::Killed),
            }
        }
    }

    /// Makes the answer that the client gets.
    fn finish(
        &self,
        answer: hyper::Response<Source>,
        call: Call,
        outgoing: &mut Outgoing,
        give_up: Option<GiveUp>,
    ) -> Result<Response, Fault> {
        self.pass_on(Got { answer, give_up, first: None }, call, outgoing)
    }

    /// The same with what has been read of its body.
    fn pass_on(&self, got: Got, call: Call, outgoing: &mut Outgoing) -> Result<Response, Fault> {
        let Got { mut answer, give_up, first } = got;
        let granted = answer.headers().get(header::UPGRADE).cloned();
        let upgraded = (answer.status() == StatusCode::SWITCHING_PROTOCOLS).then(|| hyper::upgrade::on(&mut answer));
        let (mut head, body) = answer.into_parts();
        headers::note_unended(&mut head);
        headers::remove_hop_by_hop(&mut head.headers);
        let asked = outgoing.head.headers.get(header::HOST);
        headers::mount_locations(&mut head.headers, &outgoing.forward.mount, || authority(call.choice.address), asked);
        if outgoing.forward.mount != Mount::Host {
            headers::confine_pages(&mut head.headers);
        }
        self.via.add_to(&mut head.headers, head.version);
        head.version = Version::HTTP_11;
        if outgoing.may_search(head.status) {
            head.extensions.insert(AnsweredBy(call.site.clone(), call.key()));
        }
        if body.has_surplus() {
            call.said_too_little();
        } else if body.is_end_stream() && !head.status.is_server_error() {
            call.succeeded();
        }
        let body = match upgraded {
            None => {
                // What has come whole needs nobody to go on with it.
                let is_whole = first.is_some() && body.is_end_stream();
                let resumable = if is_whole { None } else { Resumable::new(&self.resumer, outgoing, &head) };
                let config::Upstream { stall_after, body_idle_timeout, .. } = &*outgoing.settings;
                let silence = Silence { resumed: stall_after.0, broken: body_idle_timeout.0 };
                let is_success = !head.status.is_server_error();
                Body::new(Watched::new((body, first), (call, is_success), silence, give_up, resumable))
            }
            Some(endpoint) => {
                let to = || outgoing.forward.destination.clone();
                let (client, slot) = outgoing.tunnel.take().ok_or_else(|| Fault::Unasked { to: to() })?;
                headers::set_upgrade(&mut head.headers, granted.ok_or_else(|| Fault::Unasked { to: to() })?);
                self.tunnels.connect(client, endpoint, call, slot);
                Body::empty()
            }
        };
        Ok(Response::from_parts(head, body))
    }
}

fn authority(address: SocketAddr) -> Authority {
    address.to_string().parse().expect("a socket address is an authority")
}
