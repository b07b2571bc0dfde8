//! Surrogates in processes of their own that are told to end (SIGTERM) and replaced, one after the other, while viewers come at the
//! rates of the issue: no request fails, and nobody is cut off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use flame_test_kit::eventually;
use rustix::process::{Pid, Signal, kill_process};
use tokio::task::JoinSet;

use crate::killed::{Surrogate, listed};
use crate::origin::Reply;
use crate::world::{PATIENCE, World, bytes};

/// What is asked for, bytes, and how often, milliseconds from one to the next.
const RATES: [(usize, u64); 3] = [(1024, 2), (65_536, 20), (4 << 20, 200)];
/// More than all buffers on the way hold (two receive buffers of 32 MiB where the kernel allows most, two send buffers of 4 MiB): as
/// long as its viewer does not read on, it is under way.
const FILM_BYTES: usize = 80 << 20;

/// Asks for `size` bytes every `every_ms` until it is over; every answer is whole.
async fn view(world: Arc<World>, size: usize, every_ms: u64, is_over: Arc<AtomicBool>, answers: Arc<AtomicUsize>) {
    let whole: Arc<[u8]> = bytes(size).into();
    let (mut ticks, mut requests) = (tokio::time::interval(Duration::from_millis(every_ms)), JoinSet::new());
    // A machine that was late is not made to catch up: that would be another load than the one that is said.
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !is_over.load(Ordering::SeqCst) {
        ticks.tick().await;
        let (world, whole, answers) = (Arc::clone(&world), Arc::clone(&whole), Arc::clone(&answers));
        requests.spawn(async move {
            let url = format!("http://{}/~edge/{size}", world.router.address());
            let answer = world.http.get(url).send().await.unwrap();
            assert_eq!(answer.status(), 200);
            let body = answer.bytes().await.unwrap();
            assert!(*body == *whole, "{} of {size} bytes, or other ones", body.len());
            answers.fetch_add(1, Ordering::SeqCst);
        });
        while let Some(request) = requests.try_join_next() {
            request.unwrap();
        }
    }
    while let Some(request) = requests.join_next().await {
        request.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn surrogates_that_are_replaced_in_turn_under_load_cost_no_request_and_cut_nobody_off() {
    let world = Arc::new(World::start().await);
    let keep = |path: String, body: Vec<u8>| {
        world.origin.put(&path, Reply::new(body).with("cache-control", "public, max-age=600"));
    };
    RATES.into_iter().for_each(|(size, _)| keep(format!("/{size}"), bytes(size)));
    let start = async || Surrogate::start(&world, Arc::new(tempfile::tempdir().unwrap())).await;
    let mut surrogates = vec![start().await, start().await];
    let (is_over, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut viewers = JoinSet::new();
    for (size, every_ms) in RATES {
        viewers.spawn(view(Arc::clone(&world), size, every_ms, Arc::clone(&is_over), Arc::clone(&answers)));
    }
    let more = async |count: usize| {
        let before = answers.load(Ordering::SeqCst);
        eventually(PATIENCE, || async {
            let since = answers.load(Ordering::SeqCst) - before;
            if since >= count { Ok(()) } else { Err(format!("{since} of {count} answers")) }
        })
        .await;
    };
    more(500).await;
    let film = bytes(FILM_BYTES);
    for round in 0..2 {
        keep(format!("/film/{round}"), film.clone());
        let url = format!("http://{}/~edge/film/{round}", world.router.address());
        let mut answer = world.http.get(url).send().await.unwrap();
        let way = answer.headers()["cache-status"].to_str().unwrap().to_owned();
        let mut got = answer.chunk().await.unwrap().unwrap().to_vec();
        let at = surrogates.iter().position(|one| way.starts_with(&one.id));
        let mut leaving = surrogates.swap_remove(at.unwrap_or_else(|| panic!("nobody's: {way}")));
        let pid = Pid::from_raw(leaving.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        eventually(PATIENCE, || async {
            let is_listed = listed(&world).await.iter().any(|one| one.address == leaving.front);
            if is_listed { Err("it is registered still") } else { Ok(()) }
        })
        .await;
        // The other one serves all who come, and this one the viewer that it has.
        more(500).await;
        assert!(leaving.child.try_wait().unwrap().is_none(), "it has ended with a viewer on it");
        while let Some(piece) = answer.chunk().await.expect("its viewer gets the rest") {
            got.extend_from_slice(&piece);
        }
        assert!(got == film, "{} bytes, or other ones", got.len());
        let ended = eventually(PATIENCE, || {
            let ended = leaving.child.try_wait().unwrap();
            async move { ended.ok_or("it goes on without a viewer") }
        });
        assert!(ended.await.success(), "it did not end in order");
        surrogates.push(start().await);
    }
    more(500).await;
    is_over.store(true, Ordering::SeqCst);
    while let Some(viewer) = viewers.join_next().await {
        viewer.unwrap();
    }
}
