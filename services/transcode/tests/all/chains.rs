//! Chains: listed, shown, checked, and run as documents say.

use std::collections::BTreeMap;

use flame_api::ClientError;
use flame_api::media::Rational;
use flame_api::transcode::{ChainCheck, Job, JobState, NewJob, StageState};
use flame_test_kit::clips::recipe;
use uuid::Uuid;

use crate::world::{World, short_clip};

const MINE: &str = "\
chain: mine
parameters:
  crf: { default: 24 }
stages:
  source: { type: decode }
  cut: { type: crop, input: source, left: 80, right: 80 }
  wide: { type: pad, input: cut, aspect: 2:1 }
  slow: { type: frame-rate, input: wide, fps: 10 }
  sizes: { type: scale, input: slow, sizes: [180] }
  video: { type: encode-video, input: sizes, crf: \"${crf}\", preset: ultrafast }
  mono: { type: mix, input: source, channels: mono }
  audio: { type: encode-audio, input: mono, bitrate: 48k, gates: [\"track.duration_error_ms <= 100\"] }
  out: { type: package, input: [video, audio], gop: 1s, segment: 2s }
";

/// Gates that hold for a good encode of the clip.
const GATED: &str = "\
chain: gated
parameters:
  crf: { default: 20 }
  bound: { default: psnr_y.p5 >= 35 }
stages:
  source: { type: decode }
  sizes: { type: scale, input: source, sizes: source }
  video:
    type: encode-video
    input: sizes
    preset: ultrafast
    crf: ${crf}
    gates: [\"${bound}\", \"alignment.dropped_frames <= 0\", track.longest_gop_ms <= 2000, track.keyframes_off_grid <= 0]
  out: { type: package, input: video }
";

fn set(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Runs a document on a job's source.
async fn run(world: &World, job: &NewJob, document: &str, parameters: &[(&str, &str)]) -> Job {
    let name = document.lines().next().and_then(|line| line.strip_prefix("chain: ")).expect("it has a name");
    let (chain, document) = (name.to_owned(), Some(document.to_owned()));
    let new = NewJob { id: Uuid::now_v7(), chain, document, parameters: set(parameters), ..job.clone() };
    world.queue(&new).await;
    world.until_final(new.id).await
}

#[tokio::test]
async fn chains_are_listed_shown_and_checked() {
    let world = World::start().await;
    let chains = world.client.chains().await.unwrap().items;
    let names: Vec<_> = chains.iter().map(|chain| chain.name.as_str()).collect();
    assert_eq!(names, ["ladder", "ladder-hevc", "ladder-av1", "proxy", "audio-only"]);
    for name in names {
        let shown = world.client.chain(name).await.unwrap().expect("it is listed");
        let check = ChainCheck { document: shown.document.clone(), parameters: BTreeMap::new() };
        assert_eq!(world.client.check_chain(&check).await.unwrap(), shown);
    }
    assert_eq!(world.client.chain("laddr").await.unwrap(), None);
    let encoders = world.client.encoders().await.unwrap().items;
    assert!(encoders.iter().any(|encoder| encoder.name == "x264" && encoder.installed), "{encoders:?}");

    let wrong = MINE.replace("type: pad", "type: pda");
    let check = ChainCheck { document: wrong.clone(), parameters: BTreeMap::new() };
    let refused = world.client.check_chain(&check).await.unwrap_err();
    said(&refused, "line 7, column 17: there is no stage of type `pda`: did you mean `pad`?");
    let job = world.job_for(&short_clip()).await;
    let new = NewJob { chain: "mine".to_owned(), document: Some(wrong), ..job.clone() };
    said(&world.client.create_job(&new).await.unwrap_err(), "line 7, column 17");
    let new = NewJob { chain: "proxy".to_owned(), parameters: set(&[("cfr", "30")]), ..job };
    said(&world.client.create_job(&new).await.unwrap_err(), "did you mean `crf`?");
}

fn said(error: &ClientError, what: &str) {
    assert!(error.status() == Some(422) && error.to_string().contains(what), "{error}");
}

#[tokio::test]
async fn a_document_decides_what_is_made() {
    let world = World::start().await;
    // 640x360 at 25 pictures a second: cut to 480x360, and made 720x360 by bars.
    let job = world.job_for(&short_clip()).await;
    let job = run(&world, &job, MINE, &[("crf", "30")]).await;
    assert_eq!((job.state, job.error.as_deref()), (JobState::Succeeded, None));
    let tracks: Vec<_> = job.tracks.iter().map(|track| (track.name.as_str(), track.width, track.height)).collect();
    assert_eq!(tracks, [("v180", Some(360), Some(180)), ("a48", None, None)]);
    assert_eq!(job.tracks[0].frame_rate, Some(Rational { num: 10, den: 1 }));
    assert_eq!(job.tracks[0].samples, 20, "{:?}", job.tracks[0]);
    assert_eq!(job.tracks[1].channels, Some(1));
    assert_eq!(job.parameters, set(&[("crf", "30")]));
    let stages: Vec<_> = job.stages.iter().map(|stage| (stage.name.as_str(), stage.state, stage.progress)).collect();
    let expected = ["source", "cut", "wide", "slow", "sizes", "video", "mono", "audio", "out"];
    assert_eq!(stages, expected.map(|name| (name, StageState::Done, 1.0)));
    assert!(job.stages.iter().all(|stage| stage.started_at.is_some() && stage.started_at <= stage.finished_at));
    let audio = &job.stages[7];
    assert!(audio.gates.len() == 1 && audio.gates[0].passed && audio.gates[0].measured <= 100.0, "{audio:?}");
    let version = world.asset(job.asset_id).await.version.expect("it is published");
    assert_eq!((version.chain.as_str(), version.thumbnails), ("mine", None));
    let made = version.conditioning.expect("it says how it was made");
    assert_eq!(
        (made.parameters, made.encoders),
        (set(&[("crf", "30")]), vec!["x264".to_owned(), "avenc-aac".to_owned()])
    );
    assert!(made.document_sha256.len() == 64 && made.tools.contains("GStreamer 1."), "{}", made.tools);
}

#[tokio::test]
async fn shipped_chains_make_what_they_say() {
    let world = World::start().await;
    let source = world.job_for(&short_clip()).await;
    let mut jobs = Vec::new();
    for (chain, parameters, tracks) in [
        ("proxy", set(&[]), vec!["v360", "a64"]),
        ("proxy", set(&[("size", "240"), ("crf", "40")]), vec!["v240", "a64"]),
        ("audio-only", set(&[("bitrate", "96k"), ("channels", "mono")]), vec!["a96"]),
    ] {
        let new = NewJob { id: Uuid::now_v7(), chain: chain.to_owned(), parameters, ..source.clone() };
        world.queue(&new).await;
        jobs.push((new.id, tracks));
    }
    for (id, tracks) in jobs {
        let job = world.until_final(id).await;
        assert_eq!((job.state, job.error.as_deref()), (JobState::Succeeded, None));
        assert_eq!(job.tracks.iter().map(|track| track.name.as_str()).collect::<Vec<_>>(), tracks);
    }
    // Nothing could come of it.
    let silent = world.job_for(&recipe("no-audio").seconds(1.0).make()).await;
    let new = NewJob { chain: "audio-only".to_owned(), ..silent };
    said(&world.client.create_job(&new).await.unwrap_err(), "the source has no audio");
}

#[tokio::test]
async fn other_codecs_are_made_beside_one_that_every_player_has() {
    let world = World::start().await;
    let source = world.job_for(&short_clip()).await;
    for (chain, codec, encoder) in [("ladder-hevc", "hvc1.", "x265"), ("ladder-av1", "av01.", "svt-av1")] {
        let parameters = set(&[("preset", "ultrafast"), ("fallback", "240")]);
        let new = NewJob { id: Uuid::now_v7(), chain: chain.to_owned(), parameters, ..source.clone() };
        world.queue(&new).await;
        let job = world.until_final(new.id).await;
        assert_eq!((job.state, job.error.as_deref()), (JobState::Succeeded, None));
        let tracks: Vec<_> = job.tracks.iter().map(|track| (track.name.as_str(), track.codec.get(..5))).collect();
        let h264 = ("v240-2", Some("avc1."));
        assert_eq!(tracks, [("v360", Some(codec)), ("v240", Some(codec)), h264, ("a128", Some("mp4a."))]);
        let version = world.asset(job.asset_id).await.version.expect("it is published");
        let made = version.conditioning.expect("it says how it was made");
        assert_eq!(made.encoders, [encoder, "x264", "avenc-aac"]);
    }
}

/// Sound at a target, and gates on what is found in the track.
const LOUD: &str = "\
chain: loud
parameters:
  target: { default: -23 }
  bound: { default: loudness.integrated >= -23.5 }
stages:
  source: { type: decode }
  loud: { type: loudness, input: source, target: \"${target}\", true_peak: -1 }
  audio: { type: encode-audio, input: loud, gates: [\"${bound}\", loudness.integrated <= -22.5, loudness.true_peak <= 0] }
  out: { type: package, input: audio }
";

#[tokio::test]
async fn sound_is_brought_to_a_loudness_and_gated_on_it() {
    let world = World::start().await;
    let source = world.job_for(&short_clip()).await;
    let good = run(&world, &source, LOUD, &[]).await;
    assert_eq!((good.state, good.error.as_deref()), (JobState::Succeeded, None));
    let audio = good.stages.iter().find(|stage| stage.name == "audio").expect("it has run");
    assert!(audio.gates.len() == 3 && audio.gates.iter().all(|gate| gate.passed), "{audio:?}");
    let source = world.job_for(&short_clip()).await;
    let bad = run(&world, &source, LOUD, &[("target", "-30")]).await;
    assert_eq!(bad.state, JobState::Failed, "{bad:?}");
    let error = bad.error.expect("it says why");
    assert!(error.contains("stage `audio`") && error.contains("loudness.integrated >= -23.5"), "{error}");
}

#[tokio::test]
async fn what_does_not_pass_its_gate_fails_its_job_and_names_the_figure() {
    let world = World::start().await;
    let source = world.job_for(&short_clip()).await;
    let good = run(&world, &source, GATED, &[]).await;
    assert_eq!((good.state, good.error.as_deref()), (JobState::Succeeded, None));
    let video = good.stages.iter().find(|stage| stage.name == "video").expect("it has run");
    assert!(video.gates.len() == 4 && video.gates.iter().all(|gate| gate.passed), "{video:?}");

    // The same, degraded.
    let source = world.job_for(&short_clip()).await;
    let bad = run(&world, &source, GATED, &[("crf", "50")]).await;
    assert_eq!((bad.state, bad.attempt), (JobState::Failed, 1), "{bad:?}");
    let error = bad.error.expect("it says why");
    for word in ["stage `video`", "v360", "psnr_y.p5 >= 35", "was measured", "frame "] {
        assert!(error.contains(word), "{word} is not in: {error}");
    }
    let video = bad.stages.iter().find(|stage| stage.name == "video").expect("it has run");
    assert_eq!(video.state, StageState::Failed);
    let failed: Vec<_> = video.gates.iter().filter(|gate| !gate.passed).collect();
    assert!(failed.len() == 1 && failed[0].gate == "psnr_y.p5 >= 35" && failed[0].measured < 35.0, "{video:?}");
    let prefix = format!("default/media/{}/", bad.asset_id);
    assert!(world.media_keys().await.iter().all(|key| !key.starts_with(&prefix)), "nothing of it is stored");
    world.assert_scratch_is_empty();
}
