//! Pictures in chunks: the same frames at the same times as in one piece, made once, by any number of processes, whichever dies.

use std::path::Path;
use std::process::{Command as Foreign, Stdio};
use std::time::Duration;

use flame_api::transcode::{Job, JobState, NewJob};
use flame_jobs::changes::Changes;
use flame_jobs::queue::ReportError;
use flame_media_child::protocol::{Agreed, Fault, GopRange, LadderPlan};
use flame_service_host::config::{Bytes, Span};
use flame_test_kit::{Scratch, clips, eventually};
use flame_transcode::chunks::Task;
use flame_transcode::reuse::Key;
use flame_transcode::store::{ChunkLease, ChunkState, Store, WantedChunk};
use sha2::{Digest, Sha256};
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tokio::process::{Child, Command};

use crate::reuse::two_sizes;
use crate::world::{PATIENCE, World, config, long_clip, store_config};

/// Five seconds and a quarter in GOPs of a second: chunks of this length are six, and the last one is shorter.
const SHORT: Span = Span(Duration::from_secs(1));
const CHUNKS: i64 = 6;
/// Kills at random moments; `make soak` asks for more (`FLAME_CHUNK_KILLS`).
const KILLS: u32 = 2;
/// The tracks of [`two_sizes`] that have pictures.
const PICTURES: [&str; 2] = ["v360", "v180"];

async fn database(world: &World) -> SqliteConnection {
    SqliteConnectOptions::new().filename(&world.config.database).connect().await.expect("the database is there")
}

async fn number(world: &World, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(&mut database(world).await).await.expect("the database answers")
}

/// Chunks that were begun, as the rows say: one that was begun twice counts twice.
async fn begun(world: &World) -> i64 {
    number(world, "SELECT coalesce(sum(lease_number), 0) FROM chunks").await
}

async fn succeeded(world: &World, new: &NewJob) -> Job {
    let job = world.until_final(new.id).await;
    assert_eq!((job.state, job.error.as_deref()), (JobState::Succeeded, None), "{job:?}");
    job
}

/// Time and kind of each frame of a track, as `ffprobe` sees them; `ffmpeg` decodes all of it and has nothing to say.
async fn frames(world: &World, job: &Job, track: &str) -> Vec<String> {
    let version = job.version.as_deref().expect("it is published");
    let file = world.folder.join(format!("{version}-{track}.mp4"));
    let key = format!("default/media/{}/{version}/{track}.mp4", job.asset_id);
    world.objects.download(&key, &file).await.expect("the track is stored");
    let said = said("ffmpeg", &["-v", "error", "-nostdin", "-xerror", "-i"], &file, &["-f", "null", "-"]);
    assert_eq!(said, "", "{track}");
    let entries = "frame=best_effort_timestamp_time,key_frame";
    let wanted = ["-v", "error", "-select_streams", "v:0", "-show_entries", entries, "-of", "csv=p=0"];
    let said = self::said("ffprobe", &wanted, &file, &[]);
    let frame = |line: &str| {
        // Side data leaves empty fields behind.
        let mut fields = line.split(',').filter(|field| !field.is_empty());
        let (kind, time_s) = (fields.next()?, fields.next()?);
        Some(format!("{time_s} {kind}"))
    };
    said.lines().filter_map(frame).collect()
}

fn said(program: &str, before: &[&str], file: &Path, behind: &[&str]) -> String {
    let mut command = Foreign::new(program);
    let ran = command.args(before).arg(file).args(behind).stdin(Stdio::null()).output().expect("it is installed");
    assert!(ran.status.success(), "{program}: {}", String::from_utf8_lossy(&ran.stderr));
    format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr))
}

/// What the clip comes to in one piece: frames of each track of pictures.
async fn in_one_piece() -> Vec<Vec<String>> {
    let world = World::start_with(|config| config.chunks.length = Span(Duration::ZERO)).await;
    let new = two_sizes(&world.job_for(&clips::path("bigbuckbunny")).await, &[]);
    world.queue(&new).await;
    let job = succeeded(&world, &new).await;
    assert_eq!(begun(&world).await, 0);
    all_frames(&world, &job).await
}

async fn all_frames(world: &World, job: &Job) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for track in PICTURES {
        all.push(frames(world, job, track).await);
    }
    assert!(all.iter().all(|frames| frames.len() == 132), "{all:?}");
    all
}

#[tokio::test]
async fn chunks_are_the_frames_of_one_piece_and_are_made_once() {
    let expected = in_one_piece().await;
    let world = World::start_with(|config| config.chunks.length = SHORT).await;
    let source = world.job_for(&clips::path("bigbuckbunny")).await;
    let first = two_sizes(&source, &[]);
    world.queue(&first).await;
    let job = succeeded(&world, &first).await;
    assert_eq!(job.attempt, 1);
    assert_eq!(all_frames(&world, &job).await, expected);
    assert!(job.tracks.iter().any(|track| track.name == "a96") && job.tracks.len() == 3, "{:?}", job.tracks);
    assert!(world.asset(source.asset_id).await.version.expect("it plays").thumbnails.is_some());
    let before = begun(&world).await;
    assert!(before >= CHUNKS, "{before}");
    world.assert_scratch_is_empty();

    // Nobody knows of the tracks any more: the chunks are there all the same.
    sqlx::query("DELETE FROM outputs").execute(&mut database(&world).await).await.unwrap();
    let second = two_sizes(&source, &[]);
    world.queue(&second).await;
    let job = succeeded(&world, &second).await;
    assert!(job.stages.iter().all(|stage| stage.reused.is_empty()), "{job:?}");
    assert_eq!(all_frames(&world, &job).await, expected);
    assert_eq!(begun(&world).await, before, "no chunk was made twice");

    // One that is gone is made again, and no other.
    sqlx::query("DELETE FROM outputs").execute(&mut database(&world).await).await.unwrap();
    let key: String = sqlx::query_scalar("SELECT key FROM chunks ORDER BY seq LIMIT 1 OFFSET 2")
        .fetch_one(&mut database(&world).await)
        .await
        .unwrap();
    assert!(world.objects.delete_prefix(&format!("default/chunks/{key}/")).await.unwrap() > 0);
    let third = two_sizes(&source, &[]);
    world.queue(&third).await;
    let job = succeeded(&world, &third).await;
    assert_eq!(all_frames(&world, &job).await, expected);
    assert_eq!(begun(&world).await, before + 1);
}

#[tokio::test]
async fn a_chunk_that_is_not_what_it_was_costs_an_attempt_and_not_the_job() {
    let world = World::start_with(|config| config.chunks.length = SHORT).await;
    let source = world.job_for(&clips::path("bigbuckbunny")).await;
    let first = two_sizes(&source, &[]);
    world.queue(&first).await;
    let expected = all_frames(&world, &succeeded(&world, &first).await).await;
    sqlx::query("DELETE FROM outputs").execute(&mut database(&world).await).await.unwrap();
    let objects = world.objects.list("default/chunks/", None).await.unwrap().objects;
    assert!(objects.iter().filter(|object| object.key.ends_with("/v180.chunk")).count() >= 6, "{objects:?}");
    for object in objects.iter().filter(|object| object.key.ends_with("/v180.chunk")) {
        let spoiled = bytes::Bytes::from_static(b"FLMCHNK1 and no more");
        world.objects.put(&object.key, spoiled, "application/octet-stream").await.unwrap();
    }
    let second = two_sizes(&source, &[]);
    world.queue(&second).await;
    let job = succeeded(&world, &second).await;
    // After a failure chunks have no part in it, be it of the first ranges or of those that the cap asked for.
    assert_eq!(job.attempt, 2, "{job:?}");
    assert_eq!(all_frames(&world, &job).await, expected);
}

#[tokio::test]
async fn a_source_that_cannot_be_made_in_chunks_is_encoded_in_one_piece() {
    let world = World::start_with(|config| config.chunks.length = SHORT).await;
    // Whoever takes a chunk finds nothing in it that can be decoded.
    sqlx::query(
        "CREATE TRIGGER chunks_fail AFTER UPDATE OF lease_owner ON chunks WHEN NEW.lease_owner IS NOT NULL BEGIN \
         UPDATE chunks SET state = 'failed', is_inputs_fault = 1, error = 'nothing of it can be decoded', \
         lease_owner = NULL, lease_until_us = NULL WHERE seq = NEW.seq; END",
    )
    .execute(&mut database(&world).await)
    .await
    .unwrap();
    let new = two_sizes(&world.job_for(&clips::path("bigbuckbunny")).await, &[]);
    world.queue(&new).await;
    let job = succeeded(&world, &new).await;
    assert_eq!(job.attempt, 1, "{job:?}");
    all_frames(&world, &job).await;
    assert!(number(&world, "SELECT count(*) FROM chunks WHERE state = 'failed'").await > 0);
}

#[tokio::test]
async fn chunks_that_nobody_wants_are_swept() {
    let world = World::start_with(|config| {
        config.chunks.length = SHORT;
        config.chunks.keep = Span(Duration::ZERO);
    })
    .await;
    let new = two_sizes(&world.job_for(&clips::path("bigbuckbunny")).await, &[]);
    world.queue(&new).await;
    succeeded(&world, &new).await;
    assert!(number(&world, "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'chunks'").await >= CHUNKS);
    until_swept(&world).await;
}

#[tokio::test]
async fn a_chunk_that_is_swept_under_a_job_is_wanted_again() {
    let world = World::start_with(|config| config.chunks.length = SHORT).await;
    // As when another job has let go of it: whoever takes the second chunk first finds it swept.
    sqlx::query(
        "CREATE TRIGGER chunks_swept AFTER UPDATE OF lease_owner ON chunks \
         WHEN NEW.lease_owner IS NOT NULL AND NEW.lease_number = 1 AND NEW.seq = 2 BEGIN \
         UPDATE chunks SET state = 'gone', lease_owner = NULL, lease_until_us = NULL WHERE seq = NEW.seq; END",
    )
    .execute(&mut database(&world).await)
    .await
    .unwrap();
    let new = two_sizes(&world.job_for(&clips::path("bigbuckbunny")).await, &[]);
    world.queue(&new).await;
    let job = succeeded(&world, &new).await;
    assert_eq!(job.attempt, 1, "{job:?}");
    all_frames(&world, &job).await;
    // It was not given up for one piece either.
    assert!(number(&world, "SELECT count(*) FROM chunks WHERE state = 'done'").await >= CHUNKS);
}

/// No chunk is left, neither a row nor an object.
async fn until_swept(world: &World) {
    eventually(PATIENCE, || async {
        let rows = number(world, "SELECT count(*) FROM chunks").await;
        let objects = world.objects.list("default/chunks/", None).await.map_err(|error| error.to_string())?.objects;
        if rows == 0 && objects.is_empty() { Ok(()) } else { Err(format!("{rows} rows, {objects:?}")) }
    })
    .await;
}

#[tokio::test]
async fn a_job_that_is_cancelled_calls_its_chunks_off() {
    let world = World::start_with(|config| {
        config.chunks.length = SHORT;
        config.chunks.keep = Span(Duration::ZERO);
    })
    .await;
    let new = world.job_for(&long_clip()).await;
    world.queue(&new).await;
    eventually(PATIENCE, || async {
        let held = number(&world, "SELECT count(*) FROM chunks WHERE lease_owner IS NOT NULL").await;
        if held > 0 { Ok(()) } else { Err("no chunk is made yet") }
    })
    .await;
    world.client.cancel_job(new.id).await.expect("it can be cancelled");
    assert_eq!(world.until_final(new.id).await.state, JobState::Cancelled);
    until_swept(&world).await;
    world.assert_nothing_left().await;
}

#[tokio::test]
async fn without_room_for_chunks_a_job_is_done_in_one_piece() {
    let world = World::start_with(|config| {
        config.chunks.length = SHORT;
        config.chunks.budget = Bytes(1000);
    })
    .await;
    let new = two_sizes(&world.job_for(&clips::path("bigbuckbunny")).await, &[]);
    world.queue(&new).await;
    succeeded(&world, &new).await;
    assert_eq!(number(&world, "SELECT count(*) FROM chunks").await, 0);
    world.assert_scratch_is_empty();
}

/// One of several processes that share the database; it is killed with the value.
fn start_worker(world: &World, name: &str) -> Child {
    let file = world.folder.join(format!("{name}.toml"));
    let store = &world.config.store;
    let text = format!(
        "database = {:?}\nscratch = {:?}\n[host]\nrouter = {:?}\n[jobs]\npoll = \"100ms\"\nlease = \"20s\"\n\
         [chunks]\nlength = \"1s\"\n[store]\nendpoint = {:?}\nbucket = {:?}\naccess_key = {:?}\nsecret_key = {:?}\n",
        world.config.database,
        world.folder.join(name),
        world.config.host.router.as_ref().expect("there is one").as_str(),
        store.endpoint,
        store.bucket,
        store.access_key,
        store.secret_key.expose(),
    );
    std::fs::write(&file, text).expect("the folder is there");
    Command::new(env!("CARGO_BIN_EXE_flame-transcode"))
        .arg(&file)
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the program starts")
}

async fn killed_one_of_three(seed: u32, expected: &[Vec<String>]) {
    let drawn = Sha256::digest(seed.to_be_bytes());
    let (victim, after) = (usize::from(drawn[0]) % 3, i64::from(drawn[1]) % CHUNKS);
    let case = format!("seed {seed}: worker {victim} after {after} chunks");
    let world = World::without_service().await;
    let mut workers = Vec::new();
    for name in ["one", "two", "three"] {
        workers.push(start_worker(&world, name));
        // One after the other: the first one makes the schema.
        eventually(PATIENCE, || async {
            let ready = world.folder.join(name).join("jobs").exists() && world.config.database.exists();
            if ready { Ok(()) } else { Err(format!("{name} does not work yet")) }
        })
        .await;
        world.until_registered().await;
    }
    let new = two_sizes(&world.job_for(&clips::path("bigbuckbunny")).await, &[]);
    eventually(PATIENCE, || async { world.client.create_job(&new).await.map(drop) }).await;
    eventually(PATIENCE, || async {
        let rows = number(&world, "SELECT count(*) FROM chunks").await;
        let done = number(&world, "SELECT count(*) FROM chunks WHERE state = 'done'").await;
        if rows > 0 && done >= after { Ok(()) } else { Err(format!("{case}: {done} of {rows} chunks")) }
    })
    .await;
    workers[victim].kill().await.expect("it is killed");

    let job = succeeded(&world, &new).await;
    assert_eq!(all_frames(&world, &job).await, expected, "{case}");
    let twice = number(&world, "SELECT coalesce(sum(lease_number) - count(*), 0) FROM chunks").await;
    assert!(twice <= 1, "{case}: {twice} chunks were begun again");
}

#[tokio::test]
async fn kill_9_of_one_of_three_workers_costs_one_chunk_at_most() {
    let expected = in_one_piece().await;
    let kills = std::env::var("FLAME_CHUNK_KILLS").map_or(KILLS, |kills| kills.parse().expect("a number of kills"));
    for seed in 0..kills {
        killed_one_of_three(seed, &expected).await;
    }
}

// --- the rows ---

async fn open(folder: &Scratch, change: impl FnOnce(&mut flame_transcode::Config)) -> Store {
    let mut config = config(folder, store_config("http://127.0.0.1:1"), None);
    config.jobs.failures_max = 2;
    config.jobs.backoff = Span(Duration::ZERO);
    change(&mut config);
    Store::open(&config, Changes::new(0)).await.expect("the database opens")
}

fn wanted(key: &str, expected_bytes: u64) -> WantedChunk {
    wanted_from(key, 0, expected_bytes)
}

/// One that begins with this GOP.
fn wanted_from(key: &str, from: u32, expected_bytes: u64) -> WantedChunk {
    let plan = LadderPlan {
        video: Vec::new(),
        audio: Vec::new(),
        gop_ms: 1000,
        segment_ms: 1000,
        video_timescale: 90_000,
        rotation_deg: 0,
        deinterlace: false,
        front: Vec::new(),
        frame_rate: None,
        duration_ms: 1000,
        thumbnails: None,
        agreed: Some(Agreed { origin_ns: 0, zero_ns: 0, grid_ns: 0 }),
    };
    let range = GopRange { from, to: None, buffer_percent: 90 };
    let task = Task { source_key: format!("acme/sources/{key}"), plan, range };
    WantedChunk { key: Key::stored(key.to_owned()), task, expected_bytes }
}

async fn want(store: &Store, tenant: &str, keys: &[&str]) -> Vec<i64> {
    let wanted: Vec<WantedChunk> = keys.iter().map(|key| wanted(key, 100)).collect();
    store.want_chunks(tenant, &wanted).await.unwrap().expect("there is room")
}

async fn state(store: &Store, seq: i64) -> ChunkState {
    store.chunks(&[seq]).await.unwrap().remove(0).state
}

fn is_refused(result: Result<impl Sized, ReportError>) -> bool {
    matches!(result, Err(ReportError::Refused(_)))
}

#[tokio::test]
async fn a_chunk_is_one_workers_at_a_time_and_nobodys_whom_nobody_wants() {
    let folder = Scratch::new("transcode-chunks");
    let store = open(&folder, |_| {}).await;
    let seqs = want(&store, "acme", &["a", "b"]).await;
    assert_eq!(want(&store, "acme", &["a", "b"]).await, seqs, "the same are the same");
    let other = want(&store, "other", &["a"]).await;
    assert!(!seqs.contains(&other[0]), "another tenant's are others");

    let first = store.claim_chunk("one").await.unwrap().expect("some wait");
    assert_eq!((first.lease, first.tenant.as_str()), (ChunkLease { seq: seqs[0], number: 1 }, "acme"));
    assert_eq!(first.task, wanted("a", 100).task);
    let second = store.claim_chunk("two").await.unwrap().expect("two wait");
    assert_eq!((second.lease.seq, second.tenant.as_str()), (other[0], "other"), "tenants take turns");
    let third = store.claim_chunk("three").await.unwrap().expect("one waits");
    assert_eq!(third.lease.seq, seqs[1]);
    assert!(store.claim_chunk("four").await.unwrap().is_none());

    assert!(!store.renew_chunk(first.lease, 0.25).await.unwrap(), "it is wanted");
    assert_eq!(state(&store, seqs[0]).await, ChunkState::Waiting { fraction: 0.25 });
    // Its process begins anew: whoever takes it has another lease, and the old one is worth nothing.
    assert_eq!(store.restart_chunks("one").await.unwrap(), 1);
    let again = store.claim_chunk("two").await.unwrap().expect("it waits again");
    assert_eq!(again.lease, ChunkLease { seq: seqs[0], number: 2 });
    assert!(is_refused(store.renew_chunk(first.lease, 0.5).await));
    assert!(is_refused(store.finish_chunk(first.lease, 7).await));
    assert!(is_refused(store.fail_chunk(first.lease, Fault::Input, "too late").await));
    store.finish_chunk(again.lease, 50).await.unwrap();
    assert_eq!(state(&store, seqs[0]).await, ChunkState::Done { lease: 2, size_bytes: 50 });
    assert_eq!(want(&store, "acme", &["a"]).await, seqs[..1], "what is there is not made again");
    assert_eq!(state(&store, seqs[0]).await, ChunkState::Done { lease: 2, size_bytes: 50 });

    store.let_chunks_go(&seqs).await.unwrap();
    assert!(store.renew_chunk(third.lease, 0.5).await.unwrap(), "nobody wants it");
    store.let_chunk_go(third.lease).await.unwrap();
    assert!(store.claim_chunk("four").await.unwrap().is_none());
    store.go_on_wanting_chunks(&seqs).await.unwrap();
    assert_eq!(store.claim_chunk("four").await.unwrap().expect("it is wanted").lease.seq, seqs[1]);
}

#[tokio::test]
async fn jobs_of_a_tenant_take_turns() {
    let folder = Scratch::new("transcode-chunks");
    let store = open(&folder, |_| {}).await;
    let mut seqs = Vec::new();
    for (job, starts) in [("long", [0, 30, 60]), ("later", [0, 20, 40])] {
        let wanted: Vec<WantedChunk> =
            starts.iter().map(|from| wanted_from(&format!("{job}-{from}"), *from, 100)).collect();
        seqs.extend(store.want_chunks("acme", &wanted).await.unwrap().expect("there is room"));
    }
    let mut taken = Vec::new();
    while let Some(chunk) = store.claim_chunk("one").await.unwrap() {
        taken.push(chunk.lease.seq);
    }
    assert_eq!(taken, [0, 3, 4, 1, 5, 2].map(|n: usize| seqs[n]));
}

#[tokio::test]
async fn a_chunk_that_cannot_be_made_is_given_up_and_tried_again_for_the_next_job() {
    let folder = Scratch::new("transcode-chunks");
    let store = open(&folder, |_| {}).await;
    let seqs = want(&store, "acme", &["a", "b"]).await;
    for _ in 0..2 {
        assert!(matches!(state(&store, seqs[0]).await, ChunkState::Waiting { .. }));
        let chunk = store.claim_chunk("one").await.unwrap().expect("it waits");
        assert_eq!(chunk.lease.seq, seqs[0]);
        store.fail_chunk(chunk.lease, Fault::Environment, "the disk is full").await.unwrap();
    }
    let given_up = |fault, reason: &str| ChunkState::Failed { fault, reason: reason.to_owned() };
    assert_eq!(state(&store, seqs[0]).await, given_up(Fault::Environment, "the disk is full"));
    let chunk = store.claim_chunk("one").await.unwrap().expect("the other one waits");
    store.fail_chunk(chunk.lease, Fault::Input, "it is no film").await.unwrap();
    assert_eq!(state(&store, seqs[1]).await, given_up(Fault::Input, "it is no film"), "once is enough");
    assert_eq!(want(&store, "acme", &["a"]).await, seqs[..1]);
    assert_eq!(state(&store, seqs[0]).await, ChunkState::Waiting { fraction: 0.0 });
}

#[tokio::test]
async fn a_chunk_that_workers_die_of_is_given_up_and_tried_again_for_the_next_job() {
    let folder = Scratch::new("transcode-chunks");
    let store = open(&folder, |config| config.jobs.attempts_max = 2).await;
    let seqs = want(&store, "acme", &["a"]).await;
    for number in [1, 2] {
        let chunk = store.claim_chunk("one").await.unwrap().expect("it waits");
        assert_eq!(chunk.lease.number, number);
        assert_eq!(store.restart_chunks("one").await.unwrap(), 1);
    }
    assert!(store.claim_chunk("one").await.unwrap().is_none());
    let is_given_up = |state: ChunkState| matches!(state, ChunkState::Failed { fault: Fault::Environment, .. });
    assert!(is_given_up(state(&store, seqs[0]).await));
    // It stays so for whoever wants it already.
    assert_eq!(want(&store, "acme", &["a"]).await, seqs);
    assert!(is_given_up(state(&store, seqs[0]).await));
    store.let_chunks_go(&seqs).await.unwrap();
    assert_eq!(want(&store, "acme", &["a"]).await, seqs);
    assert_eq!(state(&store, seqs[0]).await, ChunkState::Waiting { fraction: 0.0 });
    assert_eq!(store.claim_chunk("one").await.unwrap().expect("it waits again").lease.number, 3);
}

#[tokio::test]
async fn chunks_have_a_budget_and_the_oldest_go_that_nobody_wants() {
    let folder = Scratch::new("transcode-chunks");
    let store = open(&folder, |config| config.chunks.budget = Bytes(250)).await;
    let many: Vec<WantedChunk> = ["a", "b", "c"].iter().map(|key| wanted(key, 100)).collect();
    assert_eq!(store.want_chunks("acme", &many).await.unwrap(), None, "there is no room");
    assert!(store.claim_chunk("one").await.unwrap().is_none(), "nothing of it is left");

    let mut all = Vec::new();
    for key in ["a", "b", "c"] {
        let seqs = want(&store, "acme", &[key]).await;
        let chunk = store.claim_chunk("one").await.unwrap().expect("it waits");
        store.finish_chunk(chunk.lease, 100).await.unwrap();
        if key != "c" {
            store.let_chunks_go(&seqs).await.unwrap();
        }
        all.extend(seqs);
    }
    let gone = store.sweep_chunks().await.unwrap();
    assert_eq!(gone.iter().map(|gone| gone.lease.seq).collect::<Vec<_>>(), all[..1], "the oldest");
    // Somebody wants it again before its objects are removed: then it is made under another number.
    assert_eq!(want(&store, "acme", &["a"]).await, all[..1]);
    store.forget_chunk(&gone[0]).await.unwrap();
    assert_eq!(state(&store, all[0]).await, ChunkState::Waiting { fraction: 0.0 });
    assert_eq!(store.claim_chunk("one").await.unwrap().expect("it waits").lease.number, 2);
}
