//! The routers that endpoints are registered with: each at that of its own site, for a router takes no registrations of another one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use flame_api::Client;
use flame_api::router::Route;
use flame_service_host::problem::chain;

/// Time that a router may take to answer.
const ROUTER_WAIT: Duration = Duration::from_secs(2);

/// The router of the orchestrator's own site, and those of sites that have one of their own.
#[derive(Debug)]
pub struct Routers {
    own: Option<Client>,
    of_sites: BTreeMap<String, Client>,
}

// === impl Routers ===

impl Routers {
    /// `own` is the one that all services are found through.
    pub fn new(own: Option<Client>, of_sites: BTreeMap<String, Client>) -> Self {
        let own = own.map(|client| client.with_deadline(ROUTER_WAIT));
        let of_sites = of_sites.into_iter().map(|(site, client)| (site, client.with_deadline(ROUTER_WAIT)));
        Self { own, of_sites: of_sites.collect() }
    }

    /// The one that all services are found through.
    pub fn own(&self) -> Option<&Client> {
        self.own.as_ref()
    }

    /// The one that endpoints of a site are registered with.
    pub fn of(&self, site: &str) -> Option<&Client> {
        self.of_sites.get(site).or(self.own.as_ref())
    }

    /// Where requests go at all sites. What a site's own router says of its endpoints counts; where it does not answer, what the own
    /// site's router heard of it does.
    ///
    /// # Errors
    /// The router of the own site does not answer.
    pub async fn routes(&self) -> Result<Vec<Route>, String> {
        let Some(own) = &self.own else { return Ok(Vec::new()) };
        let said = own.routes().await.map(|page| page.items).map_err(|error| chain(&error))?;
        let asked = self.of_sites.iter().map(|(site, client)| async move {
            match client.routes().await {
                Ok(page) => Some((site.as_str(), page.items)),
                Err(error) => {
                    tracing::debug!(error = chain(&error), site, "the router of a site does not answer");
                    None
                }
            }
        });
        let heard = futures_util::future::join_all(asked).await;
        Ok(merged(said, heard.into_iter().flatten().collect()))
    }
}

/// What `heard` says, each of its own site, and `said` of all other sites. Requests that are open at an endpoint are those of all routers.
fn merged(said: Vec<Route>, heard: Vec<(&str, Vec<Route>)>) -> Vec<Route> {
    if heard.is_empty() {
        return said;
    }
    let mut open: BTreeMap<(String, String, String), u32> = BTreeMap::new();
    for route in said.iter().chain(heard.iter().flat_map(|(_, routes)| routes)) {
        let sum = open.entry(key(route)).or_default();
        *sum = sum.saturating_add(route.open);
    }
    let owners: BTreeSet<&str> = heard.iter().map(|(site, _)| *site).collect();
    let others = said.into_iter().filter(|route| !owners.contains(route.site.as_str()));
    let of_owners =
        heard.into_iter().flat_map(|(site, routes)| routes.into_iter().filter(move |route| route.site == site));
    let all = others.chain(of_owners).map(|route| {
        let open = open.get(&key(&route)).copied().unwrap_or(route.open);
        Route { open, ..route }
    });
    all.collect()
}

/// What an endpoint behind a name is told apart by.
fn key(route: &Route) -> (String, String, String) {
    (route.site.clone(), route.name.clone(), route.endpoint.clone())
}

#[cfg(test)]
mod tests {
    use flame_api::router::RouteState;

    use super::*;

    fn route(site: &str, endpoint: &str, state: RouteState, open: u32) -> Route {
        Route {
            name: "edge.city".to_owned(),
            endpoint: endpoint.to_owned(),
            site: site.to_owned(),
            address: ([127, 0, 0, 1], 9000).into(),
            tls: false,
            refused: None,
            distance_us: None,
            state,
            refuses_writes: false,
            weight: 100,
            capacity: None,
            open,
            answers: None,
            latency_us: None,
            cost_us: 0,
        }
    }

    #[test]
    fn each_router_counts_for_its_own_site_and_what_is_open_is_open_at_all_of_them() {
        let here = vec![
            route("cloud", "one", RouteState::Serving, 1),
            route("edge", "two", RouteState::Booted, 3),
            route("mute", "three", RouteState::Serving, 0),
        ];
        let there = vec![
            route("cloud", "one", RouteState::Booted, 5),
            route("edge", "two", RouteState::Serving, 2),
            route("edge", "four", RouteState::Serving, 0),
        ];
        let all = merged(here.clone(), vec![("edge", there)]);
        let seen: Vec<_> = all.iter().map(|one| (one.endpoint.as_str(), one.state, one.open)).collect();
        let wanted = [
            ("one", RouteState::Serving, 6),
            ("three", RouteState::Serving, 0),
            ("two", RouteState::Serving, 5),
            ("four", RouteState::Serving, 0),
        ];
        assert_eq!(seen, wanted);
        assert_eq!(merged(here.clone(), Vec::new()), here);
    }
}
