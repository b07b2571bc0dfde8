//! `/api/router/routes` and `/api/router/explain`: where requests go, and why.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State as Shared};
use axum::http::{StatusCode, Uri};
use flame_api::Page;
use flame_api::router::{Explanation, Route, RouteState};
use flame_naming::name::DEFAULT_TENANT;
use flame_naming::path::Paths;
use flame_naming::peers::Key;
use flame_naming::table::Held;
use flame_naming::{Asked, Forward, Label, Moment, Name, State, Target, Territory};
use flame_service_host::{Caller, Failure, FailureResult, Json, Scope};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::endpoints::{is_of, is_visible};
use super::paths;
use crate::registry::Registry;
use crate::sticky::Sticky;

/// What to explain.
#[derive(Debug, Deserialize, IntoParams)]
struct Explained {
    /// A URL as a client would ask for it, or its path: `/~streaming/x`.
    url: String,
    /// What the cookie, field or argument of a sticky name would say.
    sticky: Option<String>,
}

/// The routes; every one needs a caller.
pub(crate) fn routes(territory: Territory, registry: Registry, sticky: Arc<Sticky>, paths: Paths) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(explain)).with_state((territory, registry, sticky, paths))
}

/// All endpoints as this router sees them. Callers that are no service see those of their tenant and the shared ones; how much is asked of
/// the shared ones in all, which is of all tenants, only those with the scope `metrics` or `admin`.
#[utoipa::path(
    get,
    path = "/api/router/routes",
    responses((status = 200, body = Page<Route>), (status = 403, description = "without the scope `read`"))
)]
async fn list(
    Shared((_territory, registry, _sticky, _paths)): Shared<Known>,
    caller: Caller,
) -> FailureResult<Json<Page<Route>>> {
    let sees_all = caller.is_service();
    if !sees_all {
        caller.require(Scope::Read)?;
    }
    let mut items = seen(&registry, |_| true);
    items.retain(|route| sees_all || is_visible(&route.name, &caller.tenant));
    keep_counts(&mut items, &caller);
    Ok(Json(Page { items, next_cursor: None }))
}

/// Where a request for a URL would go now, and why.
#[utoipa::path(
    get,
    path = "/api/router/explain",
    params(Explained),
    responses(
        (status = 200, body = Explanation),
        (status = 403, description = "without the scope `read`"),
        (status = 404, description = "the URL is for nobody behind this router that the caller may see"),
        (status = 422, description = "it is no URL"),
    )
)]
async fn explain(
    Shared((territory, registry, sticky, rows)): Shared<Known>,
    caller: Caller,
    Query(Explained { url, sticky: given }): Query<Explained>,
) -> FailureResult<Json<Explanation>> {
    if !caller.is_service() {
        caller.require(Scope::Read)?;
    }
    let unfit = |detail: String| {
        Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "unprocessable", "The URL is not understood", detail)
    };
    let uri: Uri = url.parse().map_err(|error| unfit(format!("`{url}`: {error}")))?;
    let host = uri.authority().map_or("localhost", axum::http::uri::Authority::as_str);
    let asked = Asked { authority: None, host: Some(host), path: uri.path(), query: uri.query() };
    let target = territory.target(&asked).map_err(|reason| unfit(reason.to_string()))?;
    let target = match target {
        // Where a client is sent on to.
        Target::Slash(_) => {
            let path = format!("{}/", uri.path());
            territory.target(&Asked { path: &path, ..asked }).map_err(|reason| unfit(reason.to_string()))?
        }
        target => target,
    };
    let Target::Service(Forward { mut destination, path_and_query, .. }) = target else {
        return Err(unfit(format!("`{url}` is for the router itself; write it like /~streaming/x")));
    };
    let name = destination.name.to_string();
    // Of a path its first function is asked, which asks the next one for its input.
    let functions = rows.functions(&destination.name);
    if let Some(first) = functions.first() {
        destination.name.clone_from(first);
    }
    let mut routes = seen(&registry, |behind| *behind == destination.name || functions.contains(behind));
    if routes.is_empty() || !(caller.is_service() || is_visible(&name, &caller.tenant)) {
        return Err(Failure::not_found(format_args!("endpoint behind {destination}")));
    }
    keep_counts(&mut routes, &caller);
    let query = path_and_query.split_once('?').map(|(_, query)| query);
    let key = given.map(String::into_bytes).or_else(|| sticky.key_of_url(&destination.name, query));
    let told = sticky.told(&destination.name);
    let key = key.filter(|_| told.is_some());
    // Of a path, those of its first function: the others stand beside them only to be shown.
    let first = destination.name.to_string();
    let own: Vec<_> = routes.iter().filter(|route| route.name == first).cloned().collect();
    let pinned = destination.site.as_ref().map(Label::as_str);
    let chosen = registry.whom(&destination, key.as_deref());
    let chosen = chosen.map(|(site, choice)| (site.to_string(), choice.endpoint.to_string()));
    let (chosen, reason) = match chosen {
        Err(reason) => (None, reason.to_string()),
        Ok((site, endpoint)) => {
            let chosen = own.iter().find(|route| route.site == site && route.endpoint == endpoint).cloned();
            let reason = chosen.as_ref().map_or_else(String::new, |chosen| match (told, &key) {
                (Some(told), Some(_)) => stays(chosen, (&own, pinned), &told),
                (Some(told), None) => format!("it is sticky by {told}, and without it {}", why(chosen, &own, pinned)),
                (None, _) => why(chosen, &own, pinned),
            });
            (chosen, reason)
        }
    };
    let row: Vec<_> = functions.iter().map(Name::to_string).collect();
    let reason = if row.is_empty() {
        reason
    } else {
        format!("it is the path {}, and for the first {reason}", row.join(" -> "))
    };
    let functions = functions.iter().map(|function| paths::explained(function, &registry)).collect();
    Ok(Json(Explanation { name, path: path_and_query, chosen, reason, routes, functions }))
}

/// Leaves out what all tenants together have asked of a name that is not the caller's tenant's alone: it would tell each of them how much the
/// others do. Shared names are nobody's own, nor of those whose tenant is called like theirs: that is whoever states none.
fn keep_counts(routes: &mut [Route], caller: &Caller) {
    let scopes = [Scope::Service, Scope::Metrics, Scope::Admin];
    if scopes.iter().any(|scope| caller.scopes().contains(scope)) {
        return;
    }
    for route in routes {
        if caller.tenant == DEFAULT_TENANT || !is_of(&route.name, &caller.tenant) {
            route.answers = None;
        }
    }
}

/// What the router explains with.
type Known = (Territory, Registry, Arc<Sticky>, Paths);

/// Why `chosen` for a request that says whose it is.
fn stays(chosen: &Route, (all, pinned): (&[Route], Option<&str>), by: &str) -> String {
    let near = all.iter().filter(|route| route.site == chosen.site && route.state == RouteState::Serving).count();
    match chosen.state {
        RouteState::Serving => format!(
            "it is sticky by {by}: of the {near} that serve at {} it is the one for what that says, as long as it serves and has room",
            chosen.site
        ),
        RouteState::Booted
        | RouteState::Draining
        | RouteState::Killed
        | RouteState::Full
        | RouteState::Resting
        | RouteState::Hung => why(chosen, all, pinned),
    }
}

/// Why `chosen` and nobody else of `all`, where the request names the site `pinned`.
fn why(chosen: &Route, all: &[Route], pinned: Option<&str>) -> String {
    if chosen.state != RouteState::Serving {
        return "nobody serves; it is the one that is most likely to answer".to_owned();
    }
    let near = all.iter().filter(|route| route.site == chosen.site && route.state == RouteState::Serving).count();
    let away = all.iter().filter(|route| route.site != chosen.site).count();
    let site = match pinned {
        Some(pinned) => format!("the request names {pinned}; "),
        None if away > 0 => format!("{} is the nearest site where somebody serves; ", chosen.site),
        None => String::new(),
    };
    match near {
        1 => format!("{site}it is the only one that serves there"),
        2 => format!(
            "{site}of the two that serve there it costs less (open requests times latency, by weight), or as much"
        ),
        _ => format!(
            "{site}of two drawn from the {near} that serve there it costs less (open requests times latency, by weight), or as much"
        ),
    }
}

fn seen(registry: &Registry, wanted: impl Fn(&Name) -> bool) -> Vec<Route> {
    let mut routes = registry.look(|site, held, now| {
        let mut route = wanted(held.name).then(|| route(site, held, now))?;
        let key = || Key { name: held.name.clone(), endpoint: held.endpoint.clone() };
        route.refused = registry.refusal(site, &key());
        Some(route)
    });
    for route in &mut routes {
        let site = route.site.parse::<Label>().ok();
        route.distance_us = site.and_then(|site| registry.distance(&site)).map(micros);
    }
    routes
}

fn route(site: &Label, held: &Held<'_>, now: Moment) -> Route {
    let health = held.health;
    let state = match held.state {
        State::Booted => RouteState::Booted,
        State::Draining => RouteState::Draining,
        State::Killed => RouteState::Killed,
        State::Connected if health.is_hung() => RouteState::Hung,
        State::Connected if health.rests(now) => RouteState::Resting,
        State::Connected if !held.has_room() || health.is_full(now) => RouteState::Full,
        State::Connected => RouteState::Serving,
    };
    Route {
        name: held.name.to_string(),
        endpoint: held.endpoint.to_string(),
        site: site.to_string(),
        address: held.address,
        tls: held.terms.tls,
        refused: None,
        distance_us: None,
        state,
        refuses_writes: health.refuses_writes(now),
        weight: held.terms.weight,
        capacity: held.terms.capacity,
        open: health.open(),
        answers: Some(health.served()),
        latency_us: health.latency().mean().map(micros),
        cost_us: micros(Duration::from_secs_f64(held.cost_us(now) / 1e6)),
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(site: &str, endpoint: &str, state: RouteState) -> Route {
        Route {
            name: "a.main".to_owned(),
            endpoint: endpoint.to_owned(),
            site: site.to_owned(),
            address: ([127, 0, 0, 1], 1).into(),
            tls: false,
            refused: None,
            distance_us: None,
            state,
            refuses_writes: false,
            weight: 1,
            capacity: None,
            open: 0,
            answers: Some(0),
            latency_us: None,
            cost_us: 1,
        }
    }

    #[test]
    fn why_an_endpoint_was_chosen_is_said_for_one_for_two_for_several_and_over_sites() {
        use RouteState::{Draining, Full, Hung, Resting, Serving};
        let cost = "it costs less (open requests times latency, by weight), or as much";
        let near = |states: &[RouteState]| -> Vec<Route> {
            states.iter().enumerate().map(|(number, state)| at("s0", &format!("e{number}"), *state)).collect()
        };
        for (states, said) in [
            (&[Serving][..], "it is the only one that serves there".to_owned()),
            (&[Serving, Resting, Draining], "it is the only one that serves there".to_owned()),
            (&[Serving, Serving], format!("of the two that serve there {cost}")),
            (&[Serving, Serving, Serving, Full], format!("of two drawn from the 3 that serve there {cost}")),
            (&[Resting, Hung], "nobody serves; it is the one that is most likely to answer".to_owned()),
            (&[Full, Full], "nobody serves; it is the one that is most likely to answer".to_owned()),
        ] {
            let all = near(states);
            assert_eq!(why(&all[0], &all, None), said, "{states:?}");
        }
        let all = [near(&[Resting]), vec![at("s1", "e0", Serving), at("s2", "e0", Serving)]].concat();
        let said = "s1 is the nearest site where somebody serves; it is the only one that serves there";
        assert_eq!(why(&all[1], &all, None), said);
        // A site that is named is asked, also where a nearer one serves.
        let all = [near(&[Serving]), vec![at("s1", "e0", Serving)]].concat();
        let said = "the request names s1; it is the only one that serves there";
        assert_eq!(why(&all[1], &all, Some("s1")), said);
    }

    #[test]
    fn why_one_keeps_what_is_somebody_s_own_is_said_in_one_line() {
        let all = [at("s0", "e0", RouteState::Serving), at("s0", "e1", RouteState::Serving)];
        let said = "it is sticky by the cookie `x`: of the 2 that serve at s0 it is the one for what that says, as long as it \
                    serves and has room";
        assert_eq!(stays(&all[0], (&all, None), "the cookie `x`"), said);
        let all = [at("s0", "e0", RouteState::Resting)];
        assert_eq!(stays(&all[0], (&all, None), "x"), "nobody serves; it is the one that is most likely to answer");
    }
}
