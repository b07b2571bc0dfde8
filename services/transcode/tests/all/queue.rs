//! The queue under contention: two processes' worth of connections, many workers, some of which die or dawdle.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flame_api::transcode::{JobState, NewJob};
use flame_jobs::changes::Changes;
use flame_jobs::http::Shows;
use flame_jobs::job::{Phase, Refused, Report};
use flame_jobs::queue::{Lane, ReportError};
use flame_media_child::protocol::Fault;
use flame_service_host::config::Span;
use flame_test_kit::Scratch;
use flame_transcode::Config;
use flame_transcode::stage::{Progress, Stage};
use flame_transcode::store::{Claimed, Created, Store};
use flame_transcode::version::Made;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::world::{config, short_probe, store_config};

const JOBS: usize = 40;
const WORKERS: usize = 12;

fn queue_config(folder: &Scratch) -> Config {
    let mut config = config(folder, store_config("http://127.0.0.1:1"), None);
    config.jobs.backoff = Span(Duration::from_millis(1));
    config.jobs.attempts_max = 1000;
    config
}

async fn open(config: &Config) -> Store {
    Store::open(config, Changes::new(0)).await.unwrap()
}

async fn fill(store: &Store, jobs: usize) -> Vec<Uuid> {
    fill_for(store, "default", jobs).await
}

async fn fill_for(store: &Store, tenant: &str, jobs: usize) -> Vec<Uuid> {
    let probe = short_probe();
    let mut ids = Vec::new();
    for _ in 0..jobs {
        let (id, asset_id) = (Uuid::now_v7(), Uuid::now_v7());
        let source_key = format!("{tenant}/sources/{asset_id}");
        let new = NewJob {
            id,
            chain: "ladder".to_owned(),
            document: None,
            parameters: Default::default(),
            asset_id,
            source_key,
            probe: probe.clone(),
        };
        assert!(matches!(store.create(tenant, &new).await.unwrap(), Created::New(_)));
        ids.push(id);
    }
    ids
}

/// Who works on what, as the workers themselves see it.
#[derive(Default)]
struct Ledger {
    working: HashMap<i64, u64>,
    succeeded: HashMap<i64, u32>,
}

/// Works until nothing is left; `seed` decides what becomes of each claim.
async fn work(store: Store, owner: String, mut seed: u64, ledger: Arc<Mutex<Ledger>>) {
    loop {
        let Some(job) = store.claim(Lane::Work, &owner).await.unwrap() else {
            let counts = store.queue().counts().await.unwrap();
            if counts.iter().all(|(state, _)| state.is_final()) {
                return;
            }
            tokio::task::yield_now().await;
            continue;
        };
        let other = ledger.lock().unwrap().working.insert(job.lease.seq, job.lease.number);
        assert_eq!(other, None, "two workers hold job {}", job.lease.seq);
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        // xorshift: any sequence will do, if it is the same every time.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let leave = || ledger.lock().unwrap().working.remove(&job.lease.seq);
        match seed % 4 {
            0 => {
                leave();
                store.queue().report(job.lease, Report::Interrupt).await.unwrap();
            }
            1 => {
                // Dies: the worker starts anew under its name, and its old self comes back too late.
                leave();
                assert_eq!(store.queue().restart(&owner).await.unwrap(), 1);
                assert_refused(&store, &job, Refused::LeaseLost).await;
            }
            _ => {
                store.renew(job.lease, Progress { stage: Stage::Storing, fraction: 0.5 }, &[]).await.unwrap();
                if job.made.is_none() {
                    store.commit(job.lease, &Made::default(), &[], &[]).await.unwrap();
                }
                *ledger.lock().unwrap().succeeded.entry(job.lease.seq).or_default() += 1;
                leave();
                store.queue().report(job.lease, Report::Succeed).await.unwrap();
                assert_refused(&store, &job, Refused::Final).await;
            }
        }
    }
}

async fn assert_refused(store: &Store, job: &Claimed, expected: Refused) {
    let fail = Report::Fail { fault: Fault::Input, reason: "too late".to_owned() };
    for report in [Report::Alive, Report::Commit, Report::Succeed, Report::Interrupt, fail] {
        match store.queue().report(job.lease, report).await {
            // Another may have ended it already.
            Err(ReportError::Refused(refused)) => assert!(refused == expected || refused == Refused::Final),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_job_is_ever_held_by_two_workers() {
    let folder = Scratch::new("transcode-queue");
    let config = queue_config(&folder);
    let stores = [open(&config).await, open(&config).await];
    fill(&stores[0], JOBS).await;
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let mut workers = JoinSet::new();
    for n in 0..WORKERS {
        let seed = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(n as u64 + 1);
        workers.spawn(work(stores[n % 2].clone(), format!("worker {n}"), seed, Arc::clone(&ledger)));
    }
    while let Some(ended) = workers.join_next().await {
        ended.unwrap();
    }
    assert_eq!(stores[0].queue().counts().await.unwrap(), [(JobState::Succeeded, JOBS as u64)]);
    let ledger = ledger.lock().unwrap();
    assert!(ledger.working.is_empty());
    assert_eq!(ledger.succeeded.len(), JOBS);
    assert!(ledger.succeeded.values().all(|times| *times == 1), "a job was done twice");
}

#[tokio::test]
async fn the_oldest_is_taken_first_and_each_lane_takes_its_own() {
    let folder = Scratch::new("transcode-queue");
    let store = open(&queue_config(&folder)).await;
    let ids = fill(&store, 3).await;
    let cancelled = store.read("default", ids[1]).await.unwrap().unwrap();
    store.queue().cancel(cancelled.seq).await.unwrap();
    let taken = [
        store.claim(Lane::Work, "a").await.unwrap().unwrap().id,
        store.claim(Lane::Work, "a").await.unwrap().unwrap().id,
    ];
    assert_eq!(taken, [ids[0], ids[2]]);
    assert!(store.claim(Lane::Work, "a").await.unwrap().is_none());
    assert_eq!(store.claim(Lane::Closing, "a").await.unwrap().unwrap().id, ids[1]);
}

#[tokio::test]
async fn a_lease_that_nobody_renews_runs_out() {
    let folder = Scratch::new("transcode-queue");
    let mut config = queue_config(&folder);
    config.jobs.lease = Span(Duration::from_millis(50));
    let store = open(&config).await;
    fill(&store, 1).await;
    let first = store.claim(Lane::Work, "a").await.unwrap().unwrap();
    assert_eq!(store.queue().restart("b").await.unwrap(), 0, "only its owner's own");
    flame_test_kit::eventually(Duration::from_secs(10), || async {
        match store.queue().expire().await.unwrap() {
            1 => Ok(()),
            _ => Err("the lease still runs"),
        }
    })
    .await;
    let second = store.claim(Lane::Work, "b").await.unwrap().unwrap();
    assert_eq!((second.id, second.attempt), (first.id, 2));
    assert_refused(&store, &first, Refused::LeaseLost).await;
}

#[tokio::test]
async fn what_was_committed_is_known_to_the_next_worker() {
    let folder = Scratch::new("transcode-queue");
    let config = queue_config(&folder);
    let store = open(&config).await;
    fill(&store, 1).await;
    let job = store.claim(Lane::Work, "a").await.unwrap().unwrap();
    store.commit(job.lease, &Made::default(), &[], &[]).await.unwrap();
    drop(store);
    let store = open(&config).await;
    assert_eq!(store.queue().restart("a").await.unwrap(), 1);
    let again = store.claim(Lane::Work, "a").await.unwrap().unwrap();
    assert_eq!((again.phase, again.made), (Phase::Publishing, Some(Made::default())));
}

/// Whoever has much to do does not keep others waiting until it is done.
#[tokio::test]
async fn tenants_take_turns_and_each_has_its_own_jobs_in_order() {
    let folder = Scratch::new("transcode-turns");
    let store = open(&queue_config(&folder)).await;
    let many = fill_for(&store, "many", 6).await;
    let few = fill_for(&store, "few", 2).await;
    let claim = async || {
        let job = store.claim(Lane::Work, "w").await.unwrap().unwrap();
        (job.id, job.lease)
    };
    // Two places: one each, although all of `many` came first.
    let (first, _) = claim().await;
    let (second, lease) = claim().await;
    assert_eq!((first, second), (many[0], few[0]));
    // One place that becomes free again and again, and nobody else has anything under way: by turns.
    let ended = async |lease| {
        let report = Report::Fail { fault: Fault::Input, reason: "of the test".to_owned() };
        store.queue().report(lease, report).await.unwrap();
    };
    ended(lease).await;
    let (third, lease) = claim().await;
    assert_eq!(third, few[1], "`few` has nothing under way, `many` has one");
    ended(lease).await;
    let mut rest = Vec::new();
    for _ in 0..5 {
        rest.push(claim().await.0);
    }
    assert_eq!(rest, many[1..], "nobody else has work, and each tenant's jobs are in order");
}

#[tokio::test]
async fn each_tenant_has_a_share_of_the_queue_and_of_what_is_kept() {
    let folder = Scratch::new("queue");
    let mut config = queue_config(&folder);
    config.jobs.queued_max = 3;
    let store = open(&config).await;
    fill_for(&store, "acme", 3).await;
    let (id, asset_id) = (Uuid::now_v7(), Uuid::now_v7());
    let one_more = NewJob {
        id,
        chain: "ladder".to_owned(),
        document: None,
        parameters: Default::default(),
        asset_id,
        source_key: format!("acme/sources/{asset_id}"),
        probe: short_probe(),
    };
    assert!(matches!(store.create("acme", &one_more).await.unwrap(), Created::Full));
    let theirs = fill_for(&store, "other", 1).await;
    // One that is at work waits no more.
    let claimed = store.claim(Lane::Work, "worker").await.unwrap().expect("four wait");
    assert_eq!(claimed.tenant, "acme");
    assert!(matches!(store.create("acme", &one_more).await.unwrap(), Created::New(_)));

    // Of what has ended each keeps its newest.
    let queue = store.queue();
    assert_eq!(queue.forget(0).await.unwrap(), Vec::<i64>::new());
    let page = store.list("acme", Default::default(), flame_jobs::cursor::Position::START, 10).await.unwrap();
    for job in page.items.iter().map(|job| job.id).chain(theirs.iter().copied()) {
        let tenant = if theirs.contains(&job) { "other" } else { "acme" };
        let shown = store.read(tenant, job).await.unwrap().expect("it is there");
        queue.cancel(shown.seq).await.unwrap();
    }
    // Its holder lets go, and what it left is removed: then it has ended too.
    queue.report(claimed.lease, Report::Interrupt).await.unwrap();
    while let Some(closing) = store.claim(Lane::Closing, "worker").await.unwrap() {
        queue.report(closing.lease, Report::Close).await.unwrap();
    }
    let forgotten = queue.forget(1).await.unwrap();
    assert_eq!(forgotten.len(), 3, "{forgotten:?}");
    let left = store.list("acme", Default::default(), flame_jobs::cursor::Position::START, 10).await.unwrap();
    assert_eq!(left.items.iter().map(|job| job.id).collect::<Vec<_>>(), [id]);
    assert!(store.read("other", theirs[0]).await.unwrap().is_some());
    assert_eq!(queue.forget(1).await.unwrap(), Vec::<i64>::new());
}
