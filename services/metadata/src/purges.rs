//! Telling surrogates what is no longer there: they keep what never changes for a year, and nobody asks them about it.
//!
//! Noted with the deletion, in one transaction; told by name, through the router, until it is done. One surrogate tells the
//! others; it says whom it did not reach, and whether it knows of all, also at sites whose router is not heard. Those ask by themselves when they can, but what they ask lies
//! with those that were told, who may be gone by then: so it is told again until nobody is left out, or for [`REPEATS_MAX`] times.
//! A repeat bears the same identifier, so whoever has done it does nothing, and holds it once. Attempts by which nobody was told do not count.
//!
//! A surrogate that does not answer makes each telling last for seconds. So many are told at a time, and repeats have places of their own:
//! what nobody was told of yet never waits for them. A name that is served to nobody needs no telling.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use flame_api::router::{Endpoint, EndpointState};
use flame_api::vcdn::{self, Purge, Purged};
use flame_api::{Client, ClientError};
use flame_service_host::problem::chain;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::deletions::{rest, retry_after, until};
use crate::store::{DuePurge, Store, StoreResult, Turn, now_us};

/// Times that some were told after which those that may have been left out are left to ask by themselves: an hour and a half, and a router
/// forgets those of a site that it does not hear after an hour.
const REPEATS_MAX: i64 = 24;

/// What became of a purge that a surrogate took.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// All surrogates have it.
    Done,
    /// Some may not have it, for this reason, and are told again.
    Again(String),
    /// Some may not have it, for this reason, and were told for long enough.
    GivenUp(String),
}

/// Asks for purges until `stop`.
pub(crate) async fn work_off(store: Store, client: Client, stop: CancellationToken) {
    // Each goes on by itself: one that holds a transaction, or a place in the queue for one, while nobody polls it keeps all others from the
    // database, this loop too.
    let mut telling = JoinSet::new();
    let mut under_way: HashMap<i64, Turn> = HashMap::new();
    loop {
        let due = tokio::select! {
            due = due(&store, &under_way) => due,
            () = stop.cancelled() => return,
        };
        let pause = due.map(|(purges, pause)| {
            for purge in purges {
                under_way.insert(purge.seq, purge.turn());
                telling.spawn(tell(store.clone(), client.clone(), purge));
            }
            pause
        });
        let noted = tokio::select! {
            Some(told) = telling.join_next() => {
                let (seq, noted) = ended(told);
                under_way.remove(&seq);
                noted
            }
            () = rest("purges", pause) => Ok(()),
            () = store.purge_noted() => Ok(()),
            () = stop.cancelled() => return,
        };
        if let Err(error) = noted {
            tokio::select! {
                () = rest("purges", Err(error)) => {}
                () = stop.cancelled() => return,
            }
            // What else could not be noted meanwhile is due still, and needs no rest of its own.
            while let Some(told) = telling.try_join_next() {
                under_way.remove(&ended(told).0);
            }
        }
    }
}

/// What a telling came to; its panic goes on here.
fn ended<T>(told: Result<T, JoinError>) -> T {
    told.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// How many are told at a time. A purge lasts for up to eleven seconds while a surrogate does not answer: a thousand are told in six minutes.
fn at_once(turn: Turn) -> usize {
    match turn {
        Turn::First => 32,
        Turn::Repeat => 16,
    }
}

/// What is due and not under way, as far as there is room for it, and the pause until the next is due; `None` if there is none.
async fn due(store: &Store, under_way: &HashMap<i64, Turn>) -> StoreResult<(Vec<DuePurge>, Option<Duration>)> {
    let (now_us, mut found) = (now_us(), Vec::new());
    for turn in [Turn::First, Turn::Repeat] {
        let room = room(turn, under_way);
        if room > 0 {
            // Those that are under way may stand before all others.
            let due = store.due_purges(turn, now_us, room + under_way.len()).await?;
            found.extend(due.into_iter().filter(|purge| !under_way.contains_key(&purge.seq)).take(room));
        }
    }
    let next = store.next_purge(now_us).await?;
    Ok((found, next.map(|next| until(next.due_at_us).unwrap_or_default())))
}

/// For how many more there is room beside what is under way.
fn room(turn: Turn, under_way: &HashMap<i64, Turn>) -> usize {
    at_once(turn).saturating_sub(under_way.values().filter(|other| **other == turn).count())
}

/// Asks for a purge. Gives its place in the table, and whether what came of it could be noted.
async fn tell(store: Store, client: Client, due: DuePurge) -> (i64, StoreResult<()>) {
    let DuePurge { id, tenant, name, tag, .. } = &due;
    let purge = Purge { id: *id, name: name.clone(), tag: Some(tag.clone()), ..Purge::default() };
    let noted = match ask(&client.for_tenant(tenant), &purge).await {
        Ok(purged) => note(&store, &due, &purged).await,
        // No surrogate serves the name to this tenant.
        Err(error) if error.status() == Some(404) && !error.is_unknown_name() => {
            tracing::debug!(name, tag, %error, "nobody serves what was deleted");
            store.note_purge_done(&due).await
        }
        Err(error) => {
            let attempts = due.attempts + 1;
            let (error, pause) = (chain(&error), retry_after(attempts));
            tracing::warn!(name, tag, attempts, error, "surrogates may still have what was deleted");
            store.note_purge_failed(&due, &error, pause).await
        }
    };
    (due.seq, noted)
}

/// Asks a surrogate: the platform's; where there is none, one with another name that administrators alone register. Whoever answers is shown
/// what this service is known by.
async fn ask(client: &Client, purge: &Purge) -> Result<Purged, ClientError> {
    let mut failed = match client.purge(purge).await {
        Err(error) if error.is_unknown_name() => error,
        asked => return asked,
    };
    for api in apis(client.endpoints().await?.items) {
        match client.purge_at(&api, purge).await {
            // It has left meanwhile, or does not answer: another one tells all the same.
            Err(error) if error.is_transient() => failed = error,
            asked => return asked,
        }
    }
    Err(failed)
}

/// What the APIs of other surrogates are called, of the platform's own tenant and its instance `main`, each once.
fn apis(endpoints: Vec<Endpoint>) -> BTreeSet<String> {
    let is_own = |name: &str| vcdn::is_api(name) && name.split_once('.').is_some_and(|(_, rest)| rest == "main");
    let connected = endpoints.into_iter().filter(|endpoint| endpoint.state == EndpointState::Connected);
    connected.map(|endpoint| endpoint.name).filter(|name| is_own(name)).collect()
}

/// Notes what a surrogate has answered.
async fn note(store: &Store, due: &DuePurge, purged: &Purged) -> StoreResult<()> {
    let (DuePurge { name, tag, .. }, partly) = (due, due.partly + 1);
    match outcome(purged, partly) {
        Outcome::Done => {
            let objects = purged.objects;
            tracing::info!(name, tag, objects, "surrogates have forgotten what was deleted");
            store.note_purge_done(due).await
        }
        Outcome::Again(reason) => {
            tracing::info!(name, tag, partly, reason, "not all surrogates were told of what was deleted");
            store.note_purge_partly(due, purged.id, &reason, retry_after(partly)).await
        }
        Outcome::GivenUp(reason) => {
            tracing::warn!(name, tag, partly, reason, "some surrogates may never have been told of what was deleted");
            store.note_purge_done(due).await
        }
    }
}

/// What became of a purge, where this is the time number `partly` (from 1) that some were told.
fn outcome(purged: &Purged, partly: i64) -> Outcome {
    let Purged { unreached, unheard_sites, all_known, .. } = purged;
    let reason = match (unreached.as_slice(), unheard_sites.as_slice()) {
        ([], []) if *all_known => return Outcome::Done,
        ([], []) => "the router does not know all surrogates yet".to_owned(),
        ([], sites) => format!("no router is heard of {}", sites.join(", ")),
        (unreached, []) => format!("not reached: {}", unreached.join(", ")),
        (unreached, sites) => {
            format!("not reached: {}; no router is heard of {}", unreached.join(", "), sites.join(", "))
        }
    };
    if partly < REPEATS_MAX { Outcome::Again(reason) } else { Outcome::GivenUp(reason) }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn who_may_be_left_out_is_told_again_but_not_for_ever() {
        let purged = |unreached: &[&str], all_known| Purged {
            id: Uuid::nil(),
            objects: 0,
            peers: Vec::new(),
            unreached: unreached.iter().map(|one| (*one).to_owned()).collect(),
            all_known,
            unheard_sites: Vec::new(),
        };
        assert_eq!(outcome(&purged(&[], true), 1), Outcome::Done);
        assert_eq!(outcome(&purged(&[], true), REPEATS_MAX), Outcome::Done);
        let unheard = |purged: Purged| Purged { unheard_sites: vec!["edge".to_owned()], ..purged };
        let left_out = [purged(&[], false), purged(&["192.0.2.7:7060"], true), purged(&["192.0.2.7:7060"], false)];
        for left_out in left_out.into_iter().chain([unheard(purged(&[], false))]) {
            for partly in 1..REPEATS_MAX {
                assert!(matches!(outcome(&left_out, partly), Outcome::Again(_)), "{partly}");
            }
            assert!(matches!(outcome(&left_out, REPEATS_MAX), Outcome::GivenUp(_)), "and it is not said to be done");
        }
        let reason = "not reached: 192.0.2.7:7060".to_owned();
        assert_eq!(outcome(&purged(&["192.0.2.7:7060"], true), 1), Outcome::Again(reason));
        let reason = "no router is heard of edge".to_owned();
        assert_eq!(outcome(&unheard(purged(&[], false)), 1), Outcome::Again(reason));
        // A router forgets those of a site that it does not hear within an hour.
        let spent: Duration = (1..REPEATS_MAX).map(retry_after).sum();
        assert!(spent >= Duration::from_secs(3600) && spent <= Duration::from_secs(2 * 3600), "{spent:?}");
    }

    #[test]
    fn where_there_is_no_vcdn_those_are_asked_whom_administrators_registered() {
        let endpoint = |name: &str, state: &str| -> Endpoint {
            let json = serde_json::json!({
                "name": name, "endpoint": "e", "address": "127.0.0.1:1", "generation": 1, "expires_in_ms": 1, "state": state,
                "router_time_unix_ms": 1,
            });
            serde_json::from_value(json).unwrap()
        };
        let listed = [
            ("vcdn-first.main", "connected"),
            ("vcdn-first.main", "connected"),
            ("vcdn-second.main", "booted"),
            ("vcdn-third.city", "connected"),
            ("vcdn-first.main.acme", "connected"),
            ("edge.main", "connected"),
        ];
        let found = apis(listed.map(|(name, state)| endpoint(name, state)).into());
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["vcdn-first.main"]);
    }

    #[test]
    fn repeats_take_no_room_from_what_nobody_was_told_of() {
        let mut under_way: HashMap<i64, Turn> = (0..16).map(|seq| (seq, Turn::Repeat)).collect();
        assert_eq!((room(Turn::First, &under_way), room(Turn::Repeat, &under_way)), (at_once(Turn::First), 0));
        under_way.extend((100..131).map(|seq| (seq, Turn::First)));
        assert_eq!((room(Turn::First, &under_way), room(Turn::Repeat, &under_way)), (1, 0));
    }
}
