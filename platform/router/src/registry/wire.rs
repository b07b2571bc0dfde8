//! Endpoints as callers and peers see them, and back: `flame_api`'s words for what `flame_naming` decides with.

use std::time::{Duration, SystemTime};

use flame_api::peers::Place;
use flame_api::router::{Endpoint, EndpointState, Presence, Registration};
use flame_naming::table::{Held, Unfit};
use flame_naming::{Label, Lease, Moment, State, Terms};

/// What a registration asks for.
pub(crate) fn lease(asked: &Registration) -> Result<Lease, Unfit> {
    let Registration { address, generation, ttl_ms, weight, capacity, http2, state, tls } = *asked;
    let terms = Terms { tls, ..Terms::new(weight, capacity, http2)? };
    Ok(Lease { address, generation, ttl: Duration::from_millis(ttl_ms), terms, state: inner(state) })
}

/// What a peer tells of an endpoint: it has no lease of its own. Terms that are none count as ordinary ones.
pub(super) fn learned(place: &Place) -> Lease {
    let Place { address, generation, weight, capacity, http2, state, tls } = *place;
    let terms = Terms { tls, ..Terms::new(weight, capacity, http2).unwrap_or_default() };
    Lease { address, generation, ttl: Duration::MAX, terms, state: inner(state) }
}

/// An endpoint as callers see it; `began` is when the newest of the routers did.
pub(super) fn endpoint(site: &Label, held: &Held<'_>, now: Moment, began: Moment) -> Endpoint {
    let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    Endpoint {
        name: held.name.to_string(),
        endpoint: held.endpoint.to_string(),
        site: site.to_string(),
        address: held.address,
        generation: held.generation,
        expires_in_ms: ms(held.expires_in),
        weight: held.terms.weight,
        capacity: held.terms.capacity,
        http2: held.terms.http2,
        tls: held.terms.tls,
        state: outer(held.state),
        presence: held.is_written_down().then(|| match held.health.answers() {
            None => Presence::Unknown,
            Some(true) => Presence::Answers,
            Some(false) => Presence::Silent,
        }),
        router_up_ms: Some(ms(now.0.saturating_sub(began.0))),
        router_time_unix_ms: ms(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()),
    }
}

pub(super) fn place(held: &Held<'_>) -> Place {
    let Terms { weight, capacity, http2, tls } = held.terms;
    Place { address: held.address, generation: held.generation, weight, capacity, http2, state: outer(held.state), tls }
}

fn inner(state: EndpointState) -> State {
    match state {
        EndpointState::Booted => State::Booted,
        EndpointState::Connected => State::Connected,
        EndpointState::Draining => State::Draining,
        EndpointState::Killed => State::Killed,
    }
}

fn outer(state: State) -> EndpointState {
    match state {
        State::Booted => EndpointState::Booted,
        State::Connected => EndpointState::Connected,
        State::Draining => EndpointState::Draining,
        State::Killed => EndpointState::Killed,
    }
}
