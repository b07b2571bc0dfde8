//! A router of another site as a process of its own, that is killed, or stopped in its tracks.

use std::time::{Duration, Instant};

use axum::Router;
use flame_api::Client;
use flame_api::peers::PeerState;
use flame_api::router::Registration;
use flame_router::config::Searchable;
use flame_service_host::config::Span;
use flame_test_kit::eventually;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;

use crate::peers::{Row, all_are};
use crate::world::{Service, World};

const PATIENCE: Duration = Duration::from_secs(20);

/// The own site, where `media` is not found, and another one's router process, behind which it is.
struct Pair {
    here: World,
    there: Child,
    _services: [Service; 2],
}

// === impl Pair ===

impl Pair {
    async fn start() -> Self {
        let row = Row::of(2);
        let there = row.process(1);
        let here = row.router(0, |config| {
            config.search.names = vec![Searchable { name: "media".to_owned(), authority: None }];
            config.search.deadline = Span(Duration::from_secs(2));
        });
        let here = here.await;
        all_are(&here, PeerState::Connected).await;
        let missing = Service::start(Router::new().fallback(async || axum::http::StatusCode::NOT_FOUND)).await;
        let holder = Service::start(Router::new().fallback(async || "found")).await;
        here.register("media", &missing).await;
        let client = Client::new(format!("http://{}", row.address(1)).parse().unwrap(), None);
        let registration = Registration::new(holder.address, 1, 60_000);
        client.register("media", "holder", &registration).await.unwrap();
        let pair = Self { here, there, _services: [missing, holder] };
        pair.finds("\"s1\";status=200").await;
        pair
    }

    /// Waits until a search finds it on a way that has `step` in it.
    async fn finds(&self, step: &str) {
        eventually(PATIENCE, || async {
            let request = self.here.http.get(self.here.url("/~media/x")).header("flame-trace", "?1");
            let answer = request.send().await.map_err(|error| error.to_string())?;
            let trace = answer.headers()["flame-trace"].to_str().unwrap().to_owned();
            let status = answer.status();
            if status == 200 && trace.contains(step) { Ok(()) } else { Err(format!("{status}: {trace}")) }
        })
        .await;
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.there.id().unwrap().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Stops the other router, and waits until its last thread stands still: until then it may answer.
    async fn stop(&self) {
        self.signal(Signal::STOP);
        let pid = self.there.id().unwrap();
        eventually(PATIENCE, || async move { if stands_still(pid) { Ok(()) } else { Err(format!("{pid} runs")) } })
            .await;
    }
}

fn stands_still(pid: u32) -> bool {
    std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten().all(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
    })
}

#[tokio::test]
async fn what_a_killed_router_told_is_served_and_searched_on() {
    let mut pair = Pair::start().await;
    pair.there.kill().await.unwrap();
    // In the same moment, before anybody noticed: the search goes past the router.
    let found = pair.here.get("/~media/x").await;
    assert_eq!((found.status().as_u16(), found.text().await.unwrap().as_str()), (200, "found"));
    all_are(&pair.here, PeerState::Stale).await;
    pair.finds("\"s1/holder\";status=200").await;
    assert_eq!(pair.here.get("/~s1--media/x").await.text().await.unwrap(), "found");
}

#[tokio::test]
async fn a_router_that_hangs_costs_a_search_half_of_its_time_until_it_is_noticed() {
    let pair = Pair::start().await;
    pair.stop().await;
    let began = Instant::now();
    let answer = pair.here.get("/~media/x").await;
    let took = began.elapsed();
    // The honest answer of the own site, for nobody else said anything.
    assert_eq!(answer.status(), 404);
    assert!(took >= Duration::from_millis(900) && took < Duration::from_secs(10), "{took:?}");
    all_are(&pair.here, PeerState::Stale).await;
    pair.finds("\"s1/holder\";status=200").await;
    pair.signal(Signal::CONT);
    all_are(&pair.here, PeerState::Connected).await;
    pair.finds("\"s1\";status=200").await;
}
