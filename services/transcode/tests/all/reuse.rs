//! What was made before is taken again: all of it, or what a changed parameter leaves; and never what is gone, old, or another's.

use std::time::Duration;

use flame_api::media::Thumbnails;
use flame_api::transcode::{Job, JobState, NewJob, StageState};
use flame_cmaf::index::TrackIndex;
use flame_jobs::changes::Changes;
use flame_jobs::job::Report;
use flame_jobs::queue::Lane;
use flame_service_host::config::Span;
use flame_test_kit::{Scratch, clips, eventually};
use flame_transcode::reuse::{Key, Output, What};
use flame_transcode::store::{Created, Store};
use flame_transcode::version::Made;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use uuid::Uuid;

use crate::world::{PATIENCE, World, config, short_clip, short_probe, store_config};

/// Two sizes of stages of their own, sound and thumbnails; the small size has to fit the grid of the large one.
pub const TWO_SIZES: &str = "\
chain: two-sizes
parameters:
  crf: { default: 26 }
  bitrate: { default: 96k }
  least: { default: psnr_y.p5 >= 5 }
stages:
  source: { type: decode }
  large-size: { type: scale, input: source, sizes: [360] }
  small-size: { type: scale, input: source, sizes: [180] }
  large: { type: encode-video, input: large-size, crf: 26, preset: ultrafast }
  small:
    type: encode-video
    input: small-size
    crf: ${crf}
    preset: ultrafast
    gates: [\"${least}\", track.keyframes_off_grid <= 0]
  audio: { type: encode-audio, input: source, sounds: first, bitrate: \"${bitrate}\" }
  sheets: { type: thumbnails, input: source }
  out: { type: package, input: [large, small, audio, sheets], gop: 1s, segment: 2s }
";

/// A job of [`TWO_SIZES`] on the source of another one.
pub fn two_sizes(source: &NewJob, parameters: &[(&str, &str)]) -> NewJob {
    let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let (chain, document) = ("two-sizes".to_owned(), Some(TWO_SIZES.to_owned()));
    NewJob { id: Uuid::now_v7(), chain, document, parameters, ..source.clone() }
}

async fn ended(world: &World, source: &NewJob, parameters: &[(&str, &str)]) -> Job {
    let new = two_sizes(source, parameters);
    world.queue(&new).await;
    world.until_final(new.id).await
}

async fn run(world: &World, source: &NewJob, parameters: &[(&str, &str)]) -> Job {
    let job = ended(world, source, parameters).await;
    assert_eq!((job.state, job.error.as_deref()), (JobState::Succeeded, None));
    assert!(job.stages.iter().all(|stage| (stage.state, stage.progress) == (StageState::Done, 1.0)), "{job:?}");
    assert!(job.stages.iter().all(|stage| stage.started_at.is_some() && stage.started_at <= stage.finished_at));
    job
}

/// What each stage has taken again, of those that have: `large=v360 sheets=thumbnails`.
pub fn again(job: &Job) -> String {
    let stages = job.stages.iter().filter(|stage| !stage.reused.is_empty());
    let words: Vec<String> = stages.map(|stage| format!("{}={}", stage.name, stage.reused.join("+"))).collect();
    words.join(" ")
}

const ALL: &str = "large=v360 small=v180 audio=a96 sheets=thumbnails";

/// Seconds of media that were encoded, as the service counts them.
async fn encoded(world: &World) -> String {
    let metrics = reqwest::get(format!("{}/metrics", world.base())).await.unwrap().text().await.unwrap();
    let line = metrics.lines().find(|line| line.starts_with("flame_media_seconds_total"));
    line.expect("it is counted").to_owned()
}

fn prefix(job: &Job) -> String {
    format!("default/media/{}/{}/", job.asset_id, job.version.as_deref().expect("it is published"))
}

/// Names and bytes of all objects of a job's version.
async fn stored(world: &World, job: &Job) -> Vec<(String, bytes::Bytes)> {
    let prefix = prefix(job);
    let mut objects = Vec::new();
    for key in world.media_keys().await.iter().filter(|key| key.starts_with(&prefix)) {
        objects.push((key[prefix.len()..].to_owned(), world.objects.get(key, 64 << 20).await.unwrap()));
    }
    objects
}

async fn index(world: &World, job: &Job, track: &str) -> TrackIndex {
    let key = format!("{}{track}.index.json", prefix(job));
    TrackIndex::from_json(&world.objects.get(&key, 1 << 20).await.unwrap()).unwrap()
}

#[tokio::test]
async fn what_was_made_before_is_not_encoded_again() {
    let world = World::start().await;
    let clip = clips::path("bigbuckbunny");
    let source = world.job_for(&clip).await;
    let first = run(&world, &source, &[]).await;
    assert_eq!(again(&first), "");
    let before = encoded(&world).await;
    let kept = stored(&world, &first).await;
    assert_eq!(kept.len(), 7, "three tracks, their indexes and a sheet");

    let second = run(&world, &source, &[]).await;
    assert_eq!(again(&second), ALL);
    assert_ne!(second.version, first.version);
    assert_eq!((&second.tracks, stored(&world, &second).await), (&first.tracks, kept.clone()));
    let (one, other) = (world.asset(source.asset_id).await.version.unwrap(), second.version.clone());
    assert_eq!((Some(one.name), one.tracks), (other, first.tracks.clone()), "it is published");
    assert!(one.thumbnails.is_some() && one.conditioning.is_some());

    // The same bytes as another asset.
    let twin = world.job_for(&clip).await;
    let third = run(&world, &twin, &[]).await;
    assert_eq!((again(&third).as_str(), stored(&world, &third).await), (ALL, kept));
    assert_eq!(encoded(&world).await, before, "nothing was encoded");
    world.assert_scratch_is_empty();
}

#[tokio::test]
async fn a_changed_parameter_makes_anew_what_it_touches_and_nothing_else() {
    let world = World::start().await;
    let source = world.job_for(&clips::path("bigbuckbunny")).await;
    let first = run(&world, &source, &[]).await;
    let coarse = run(&world, &source, &[("crf", "45")]).await;
    assert_eq!(again(&coarse), "large=v360 audio=a96 sheets=thumbnails");
    assert_eq!((&coarse.tracks[0], &coarse.tracks[2]), (&first.tracks[0], &first.tracks[2]));
    assert!(coarse.tracks[1].size_bytes < first.tracks[1].size_bytes, "{:?}", coarse.tracks);
    let small = coarse.stages.iter().find(|stage| stage.name == "small").expect("it has run");
    assert!(small.gates.len() == 2 && small.gates.iter().all(|gate| gate.passed), "{small:?}");

    // Sound that is made alone begins, and is cut, where the pictures are.
    let thin = run(&world, &source, &[("bitrate", "64k")]).await;
    assert_eq!(again(&thin), "large=v360 small=v180 sheets=thumbnails");
    assert_eq!(thin.tracks[1], first.tracks[1]);
    let times = |index: TrackIndex| {
        let segments = index.segments.iter().map(|it| (it.time_ticks, it.duration_ticks, it.samples));
        (index.timescale, index.edit_media_time_ticks, segments.collect::<Vec<_>>())
    };
    assert_eq!(times(index(&world, &thin, "a64").await), times(index(&world, &first, "a96").await));
    // What was made for either is there.
    let both = run(&world, &source, &[("crf", "45"), ("bitrate", "64k")]).await;
    assert_eq!(again(&both), "large=v360 small=v180 audio=a64 sheets=thumbnails");
    assert_eq!(both.tracks[1], coarse.tracks[1]);
}

#[tokio::test]
async fn what_is_gone_or_not_what_it_was_is_made_anew() {
    let world = World::start().await;
    let source = world.job_for(&short_clip()).await;
    let first = run(&world, &source, &[]).await;
    let second = run(&world, &source, &[]).await;
    assert_eq!(again(&second), ALL);
    // The newest copy is gone: there is an older one.
    world.objects.delete_prefix(&prefix(&second)).await.unwrap();
    let before = encoded(&world).await;
    let third = run(&world, &source, &[]).await;
    assert_eq!((again(&third).as_str(), encoded(&world).await), (ALL, before));

    world.objects.delete_prefix(&prefix(&first)).await.unwrap();
    world.objects.delete(&format!("{}v180.mp4", prefix(&third))).await.unwrap();
    let index = format!("{}a96.index.json", prefix(&third));
    world.objects.put(&index, bytes::Bytes::from_static(b"{}"), "application/json").await.unwrap();
    let fourth = run(&world, &source, &[]).await;
    assert_eq!(again(&fourth), "large=v360 sheets=thumbnails");
    assert_eq!(stored(&world, &fourth).await.len(), 7);

    // Without a sheet there have to be pictures that it can be made of: the smallest.
    world.objects.delete_prefix(&prefix(&third)).await.unwrap();
    world.objects.delete(&format!("{}thumbnails/0.jpg", prefix(&fourth))).await.unwrap();
    let fifth = run(&world, &source, &[]).await;
    assert_eq!(again(&fifth), "large=v360 audio=a96");

    for version in [&fourth, &fifth] {
        world.objects.delete_prefix(&prefix(version)).await.unwrap();
    }
    let last = run(&world, &source, &[]).await;
    assert_eq!((again(&last).as_str(), stored(&world, &last).await.len()), ("", 7));
}

#[tokio::test]
async fn what_is_taken_again_has_to_pass_its_gates_all_the_same() {
    let world = World::start().await;
    let source = world.job_for(&short_clip()).await;
    run(&world, &source, &[]).await;
    let before = encoded(&world).await;
    let keys = world.media_keys().await;
    let refused = ended(&world, &source, &[("least", "psnr_y.p5 >= 90")]).await;
    assert_eq!((refused.state, refused.attempt), (JobState::Failed, 1), "{refused:?}");
    let error = refused.error.clone().unwrap();
    assert!(error.contains("stage `small`") && error.contains("psnr_y.p5 >= 90"), "{error}");
    assert_eq!((again(&refused).as_str(), encoded(&world).await), (ALL, before), "nothing was encoded");
    assert_eq!(world.media_keys().await, keys, "nothing of it is left");
    world.assert_scratch_is_empty();
}

#[tokio::test]
async fn a_part_that_cannot_be_made_costs_an_attempt_and_not_the_job() {
    let world = World::start().await;
    let source = world.job_for(&short_clip()).await;
    run(&world, &source, &[]).await;
    // What is noted of the tracks cannot be: they would begin centuries after their first picture.
    let mut database = SqliteConnectOptions::new().filename(&world.config.database).connect().await.unwrap();
    let spoiled = sqlx::query(
        "UPDATE outputs SET what = json_set(what, '$.agreed.zero_ns', 9000000000000000000) \
         WHERE json_extract(what, '$.kind') = 'track'",
    );
    assert_eq!(spoiled.execute(&mut database).await.unwrap().rows_affected(), 3);

    let new = two_sizes(&source, &[("crf", "40")]);
    world.queue(&new).await;
    let job = world.until_final(new.id).await;
    assert_eq!((job.state, job.attempt, job.error.as_deref()), (JobState::Succeeded, 2, None), "{job:?}");
    assert_eq!((again(&job).as_str(), stored(&world, &job).await.len()), ("", 7));
    assert_eq!(again(&run(&world, &source, &[("crf", "40")]).await), ALL);
}

#[tokio::test]
async fn who_wants_nothing_again_gets_everything_anew() {
    let world = World::start_with(|config| config.reuse.keep = Span(Duration::ZERO)).await;
    let source = world.job_for(&short_clip()).await;
    for _ in 0..2 {
        assert_eq!(again(&run(&world, &source, &[]).await), "");
    }
}

// --- the rows ---

fn output(key: &str, prefix: &str) -> Output {
    let thumbnails = Thumbnails {
        interval_ms: 1000,
        columns: 5,
        rows: 5,
        tile_width: 160,
        tile_height: 90,
        count: 2,
        largest_sheet_bytes: 10,
        size_bytes: 10,
    };
    let what = What::Thumbnails { thumbnails };
    Output { key: Key::stored(key.to_owned()), prefix: prefix.to_owned(), what }
}

/// A job of `tenant` that has made these.
async fn commit(store: &Store, tenant: &str, outputs: &[Output]) {
    let asset_id = Uuid::now_v7();
    let new = NewJob {
        id: Uuid::now_v7(),
        chain: "ladder".to_owned(),
        document: None,
        parameters: Default::default(),
        asset_id,
        source_key: format!("{tenant}/sources/{asset_id}"),
        probe: short_probe(),
    };
    assert!(matches!(store.create(tenant, &new).await.unwrap(), Created::New(_)));
    let job = store.claim(Lane::Work, "a worker").await.unwrap().expect("it waits");
    store.commit(job.lease, &Made::default(), &[], outputs).await.unwrap();
    store.queue().report(job.lease, Report::Succeed).await.unwrap();
}

/// Where a tenant has what this key stands for.
async fn found(store: &Store, tenant: &str, key: &str) -> Vec<String> {
    let found = store.outputs(tenant, &Key::stored(key.to_owned())).await.unwrap();
    found.into_iter().map(|output| output.prefix).collect()
}

#[tokio::test]
async fn outputs_are_a_tenants_own_few_and_not_too_old() {
    let folder = Scratch::new("transcode-outputs");
    let mut config = config(&folder, store_config("http://127.0.0.1:1"), None);
    config.reuse.outputs_max = 3;
    let store = Store::open(&config, Changes::new(0)).await.unwrap();
    commit(&store, "acme", &[output("one", "acme/1/"), output("two", "acme/1/")]).await;
    commit(&store, "acme", &[output("one", "acme/2/")]).await;
    commit(&store, "other", &[output("one", "other/1/")]).await;
    assert_eq!(found(&store, "acme", "one").await, ["acme/2/", "acme/1/"], "the newest first");
    assert_eq!(found(&store, "other", "one").await, ["other/1/"]);
    assert_eq!(found(&store, "other", "two").await, Vec::<String>::new(), "another tenant's is nobody's");
    store.forget_output("acme", &output("one", "acme/2/")).await.unwrap();
    assert_eq!(found(&store, "acme", "one").await, ["acme/1/"]);

    // Two more: those of the first job are the oldest, and go together.
    commit(&store, "acme", &[output("three", "acme/3/"), output("four", "acme/3/")]).await;
    assert_eq!(found(&store, "acme", "one").await, Vec::<String>::new());
    assert_eq!(found(&store, "acme", "two").await, Vec::<String>::new());
    assert_eq!(found(&store, "acme", "four").await, ["acme/3/"]);
    assert_eq!(found(&store, "other", "one").await, ["other/1/"], "nobody pushes out what another tenant has");

    assert_eq!(store.forget_old_outputs().await.unwrap(), 0);
    drop(store);
    config.reuse.keep = Span(Duration::from_millis(1));
    let store = Store::open(&config, Changes::new(0)).await.unwrap();
    eventually(PATIENCE, || async {
        let left = found(&store, "acme", "four").await;
        if left.is_empty() { Ok(()) } else { Err(format!("not yet too old: {left:?}")) }
    })
    .await;
    assert_eq!(store.forget_old_outputs().await.unwrap(), 3);
    assert_eq!(store.forget_old_outputs().await.unwrap(), 0);
}
