//! Who another surrogate is, what it is told, and what it says. Pure, but for reading an answer.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;

use axum::http::StatusCode;
use flame_api::Problem;
use flame_api::router::Endpoint;
use flame_naming::Name;
use flame_naming::name::{DEFAULT_INSTANCE, DEFAULT_TENANT};
use flame_service_host::problem::chain;

/// The kind of problem by which a surrogate says that it serves no name of a purge.
pub(crate) const NOT_SERVED: &str = "not-served";

/// The longest such problem, bytes.
const PROBLEM_MAX_BYTES: usize = 16 << 10;

/// Another surrogate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Other {
    pub(super) address: SocketAddr,
    pub(super) tls: bool,
    /// Where it is.
    pub(super) site: String,
    /// What its own API is called.
    pub(super) api: Name,
    /// Whether another one is called so at its site, which may be this one: the router chooses between them.
    pub(super) is_one_of_several: bool,
}

/// What became of telling a surrogate of a purge.
pub(super) enum Said {
    Done,
    /// It serves no such name.
    NotServed,
    Failed(String),
}

// === impl Other ===

impl Other {
    /// What it is called where the router is not to choose another site.
    pub(super) fn at_its_site(&self) -> String {
        let Self { site, api, .. } = self;
        if site.is_empty() { api.to_string() } else { format!("{site}--{api}") }
    }
}

/// Those of the surrogates listed that are not at the `own` address.
pub(super) fn others(surrogates: &[&Endpoint], own: Option<SocketAddr>) -> BTreeSet<Other> {
    let mut called: HashMap<(&str, &str), HashSet<SocketAddr>> = HashMap::new();
    for Endpoint { site, name, address, .. } in surrogates.iter().copied() {
        called.entry((site.as_str(), name.as_str())).or_default().insert(*address);
    }
    let others = surrogates.iter().filter(|endpoint| Some(endpoint.address) != own);
    let other = |endpoint: &&Endpoint| {
        let Endpoint { site, name, address, tls, .. } = *endpoint;
        let is_one_of_several = called.get(&(site.as_str(), name.as_str())).is_some_and(|called| called.len() > 1);
        let api = name.parse::<Name>().ok()?;
        Some(Other { address: *address, tls: *tls, site: site.clone(), api, is_one_of_several })
    };
    others.filter_map(other).collect()
}

/// Who is told of a purge of what is `tenant`'s, and who only that there is one, by a surrogate of tenant `own`. What is one tenant's is not
/// told to another's; who is not believed could not learn more, for the platform's show it what is its own tenant's.
pub(super) fn told_how(others: BTreeSet<Other>, tenant: &str, own: &str) -> (Vec<Other>, Vec<Other>) {
    let (mut believed, mut hinted): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|other| is_believed(&other.api, own));
    believed.retain(|other| [DEFAULT_TENANT, tenant].contains(&other.api.tenant().as_str()));
    hinted.retain(|other| other.api.tenant().as_str() == tenant);
    (believed, hinted)
}

/// Whether a surrogate of `tenant` shows what it is known by to the one whose API is called so, and believes its purges: only
/// administrators register there.
pub(super) fn is_believed(api: &Name, tenant: &str) -> bool {
    api.instance().as_str() == DEFAULT_INSTANCE && [DEFAULT_TENANT, tenant].contains(&api.tenant().as_str())
}

/// What a surrogate says to a purge. A 404 of the router, or of one that knows no such request, is no word about the name.
pub(super) async fn said(sent: Result<reqwest::Response, reqwest::Error>) -> Said {
    let answer = match sent {
        Ok(answer) => answer,
        Err(error) => return Said::Failed(chain(&error)),
    };
    let Err(error) = answer.error_for_status_ref() else { return Said::Done };
    let problem = if answer.status() == StatusCode::NOT_FOUND { problem(answer).await } else { None };
    if problem.is_some_and(|problem| problem.slug() == NOT_SERVED) {
        Said::NotServed
    } else {
        Said::Failed(error.to_string())
    }
}

/// The problem that an answer tells. Not all who are told of purges are believed: no more is read than one has.
async fn problem(mut answer: reqwest::Response) -> Option<Problem> {
    let mut text = Vec::new();
    while let Some(piece) = answer.chunk().await.ok()? {
        if text.len() + piece.len() > PROBLEM_MAX_BYTES {
            return None;
        }
        text.extend_from_slice(&piece);
    }
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &str, site: &str, port: u16) -> Endpoint {
        let json = serde_json::json!({
            "name": name, "endpoint": "e", "site": site, "address": format!("127.0.0.1:{port}"), "tls": true, "generation": 1,
            "expires_in_ms": 1, "router_time_unix_ms": 1,
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn the_router_does_not_choose_between_sites_and_between_those_of_one_it_is_not_believed() {
        let all = [
            listed("vcdn.main", "centre", 1),
            listed("vcdn.main", "edge", 2),
            listed("vcdn.main", "edge", 3),
            listed("vcdn-first.main", "edge", 4),
            listed("vcdn-second.main", "edge", 5),
            listed("vcdn-second.main", "edge", 6),
            // Once more, and the own one behind another name.
            listed("vcdn-first.main", "edge", 4),
            listed("vcdn-third.main", "edge", 1),
        ];
        // Also the own one may be what the router chooses.
        let found = others(&all.iter().collect::<Vec<_>>(), Some(([127, 0, 0, 1], 6).into()));
        let found: Vec<_> =
            found.iter().map(|other| (other.address.port(), other.at_its_site(), other.is_one_of_several)).collect();
        let wanted = [
            (1, "centre--vcdn.main", false),
            (1, "edge--vcdn-third.main", false),
            (2, "edge--vcdn.main", true),
            (3, "edge--vcdn.main", true),
            (4, "edge--vcdn-first.main", false),
            (5, "edge--vcdn-second.main", true),
        ];
        assert_eq!(found, wanted.map(|(port, name, several)| (port, name.to_owned(), several)));
    }

    #[test]
    fn of_a_purge_of_one_tenant_no_surrogate_of_another_s_template_is_told() {
        let others = |names: &[&str]| -> BTreeSet<Other> {
            let listed: Vec<_> = names.iter().zip(1..).map(|(name, port)| listed(name, "", port)).collect();
            others(&listed.iter().collect::<Vec<_>>(), None)
        };
        let all =
            ["vcdn", "vcdn-first.main", "vcdn-first.city", "vcdn.main.acme", "vcdn-first.city.acme", "vcdn.x.other"];
        for (tenant, own, believed, hinted) in [
            ("default", "default", &[1, 2][..], &[3][..]),
            ("acme", "default", &[1, 2], &[4, 5]),
            ("acme", "acme", &[1, 2, 4], &[5]),
            ("other", "default", &[1, 2], &[6]),
        ] {
            let (told, only_told_of_it) = told_how(others(&all), tenant, own);
            let ports = |others: &[Other]| others.iter().map(|other| other.address.port()).collect::<Vec<_>>();
            assert_eq!((ports(&told), ports(&only_told_of_it)), (believed.to_vec(), hinted.to_vec()), "{tenant} {own}");
        }
    }

    #[test]
    fn only_who_stands_where_administrators_register_is_shown_a_token() {
        let believed = |api: &str, tenant: &str| is_believed(&api.parse().unwrap(), tenant);
        assert!(believed("vcdn", "default") && believed("vcdn-first", "default") && believed("vcdn", "acme"));
        assert!(believed("vcdn.main.acme", "acme") && !believed("vcdn.main.acme", "default"));
        assert!(!believed("vcdn-first.city", "default") && !believed("vcdn-first.city.acme", "acme"));
    }
}
