//! The main job through the command line: in, listed, found, played, removed; and killed in the middle.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use flame_api::Client;
use flame_api::page::PageQuery;
use flame_test_kit::{clips, eventually, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::world::{World, command};

fn clip(seconds: f64) -> String {
    clips::recipe("synthetic").seconds(seconds).size(320, 180).make().to_str().unwrap().to_owned()
}

#[test]
fn a_file_comes_in_is_found_and_goes() {
    let world = World::up();
    let done = world.json(&["ingest", &clip(4.0), "--title", "Grüße aus Bristol"]);
    let id = done[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(done[0]["job"]["state"], "succeeded");
    assert_eq!(world.json(&["job", "watch", done[0]["job"]["id"].as_str().unwrap()])["state"], "succeeded");

    let found = world.json(&["asset", "search", "grüße", "bris"]);
    assert_eq!(found[0]["id"], id.as_str());
    let shown = world.json(&["asset", "show", &id]);
    assert_eq!(shown["state"], "ready");
    let table = world.flame(&["asset", "show", &id]);
    assert!(table.out.contains("/~streaming/") && table.out.contains("avc1."), "{}", table.out);

    assert_eq!(world.json(&["asset", "rm", "--erase", &id])["deleted"][0], id.as_str());
    assert_eq!(world.flame(&["asset", "rm", "--erase", &id]).status, 1);
    assert_eq!(world.flame(&["asset", "show", &id]).status, 1);
    assert_eq!(world.json(&["asset", "list"]), Value::Array(Vec::new()));
}

#[test]
fn an_asset_is_described_deleted_and_comes_back() {
    let world = World::up();
    let done = world.json(&["ingest", &clip(2.0), "--title", "One", "--chain", "none"]);
    let id = done[0]["id"].as_str().unwrap().to_owned();
    let edited =
        world.json(&["asset", "edit", &id, "--title", "Two", "--set", "description=Sea", "--set", "custom.day=3"]);
    assert_eq!((&edited["record"]["description"], &edited["custom"]["day"]), (&"Sea".into(), &3.into()));
    assert_eq!(world.flame(&["asset", "edit", &id, "--set", "descripton=x"]).status, 2);
    assert_eq!(world.flame(&["asset", "edit", &id]).status, 2);
    let history = world.flame(&["asset", "history", &id]);
    assert!(history.out.contains("title: \"One\" -> \"Two\""), "{}", history.out);
    assert_eq!(world.json(&["asset", "restore", &id, "--revision", "1"])[0]["title"], "One");
    world.json(&["asset", "rm", &id]);
    assert_eq!(world.json(&["asset", "list"]), Value::Array(Vec::new()));
    assert_eq!(world.json(&["asset", "list", "--deleted"])[0]["id"], id.as_str());
    assert_eq!(world.json(&["asset", "restore", &id])[0]["title"], "One");
    assert_eq!(world.json(&["asset", "show", &id])["title"], "One");
}

#[test]
fn a_manifest_brings_in_many_and_says_which_failed() {
    let world = World::up();
    let folder = world.scratch.path();
    std::fs::copy(clip(2.0), folder.join("good.mp4")).unwrap();
    std::fs::write(folder.join("bad.mp4"), "no film at all").unwrap();
    let manifest = folder.join("list.csv");
    std::fs::write(folder.join("good.srt"), "1\n00:00:00,500 --> 00:00:01,500\nGuten Tag\n").unwrap();
    let lines = "path,title,chain,subtitles\ngood.mp4,Good,none,de:good.srt\nbad.mp4,Bad,,\n";
    std::fs::write(&manifest, lines).unwrap();
    let ran = world.flame(&["ingest", "--manifest", manifest.to_str().unwrap(), "--json"]);
    assert_eq!(ran.status, 1, "{}", ran.err);
    let results: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(results[0]["error"], Value::Null);
    assert!(results[1]["error"].as_str().unwrap().contains("not a media file"), "{results}");
    let titles: Vec<_> =
        world.json(&["asset", "list"]).as_array().unwrap().iter().map(|asset| asset["title"].clone()).collect();
    assert_eq!(titles, ["Good"]);
    // The same by their names, without a manifest.
    let (one, two) = (clip(1.0), folder.join("bad.mp4"));
    let ran = world.flame(&["ingest", &one, two.to_str().unwrap(), "--chain", "none", "--json"]);
    assert_eq!(ran.status, 1, "{}", ran.err);
    let both: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&both[0]["error"], both[1]["error"].is_string()), (&Value::Null, true), "{both}");
    assert_eq!(world.flame(&["ingest", &one, &clip(2.0), "--title", "Both"]).status, 2);
    world.json(&["asset", "rm", "--erase", both[0]["id"].as_str().unwrap()]);
    // Nothing is sent where a line cannot be carried out.
    let wrong = folder.join("wrong.csv");
    std::fs::write(&wrong, "path,chain\ngood.mp4,none\ngood.mp4,laddr\n").unwrap();
    let ran = world.flame(&["ingest", "--manifest", wrong.to_str().unwrap()]);
    assert_eq!(ran.status, 2, "{}", ran.err);
    assert!(ran.err.contains("line 3") && ran.err.contains("ladder"), "{}", ran.err);
    assert_eq!(world.json(&["asset", "list"]).as_array().map(Vec::len), Some(1));
    let good = results[0]["id"].as_str().unwrap();
    assert_eq!(world.json(&["subtitles", "list", good])[0]["language"], "de");
}

#[test]
fn a_job_goes_on_after_everything_was_killed() {
    let mut world = World::up();
    let done = world.json(&["ingest", &clip(30.0), "--no-wait"]);
    let id = done[0]["id"].as_str().unwrap().to_owned();
    // Killed when the encoder is at work, not before.
    wait_for(Duration::from_secs(60), || match &world.json(&["job", "list"])[0]["state"] {
        state if *state == "running" => Ok(()),
        state => Err(format!("the job is {state}")),
    });
    world.kill();
    world.start();
    let job = world.json(&["job", "list"])[0].clone();
    let watched = world.json(&["job", "watch", job["id"].as_str().unwrap()]);
    assert_eq!(watched["state"], "succeeded", "{}", world.log());
    assert_eq!(world.json(&["asset", "show", &id])["state"], "ready");
}

#[test]
fn killed_at_each_step_of_an_upload_everything_goes_on_once() {
    let mut world = World::up();
    for (done, point) in
        ["complete-noted", "assembled", "picture", "register", "queue", "job-encoded"].into_iter().enumerate()
    {
        world.kill();
        point.clone_into(&mut world.fault);
        world.start();
        let title = format!("Killed at {point}");
        // Another film each time: the same bytes are stored once.
        #[allow(clippy::cast_precision_loss, reason = "a handful")]
        let film = clip(2.0 + 0.2 * done as f64);
        let mut ingest = command();
        ingest.args(["ingest", &film, "--title", &title]).env("FLAME_ROUTER", &world.router);
        let mut ingest = ingest.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        assert_ne!(world.ended(), Some(0), "{point}");
        // Once, who sent it waits as long as it does; then it is gone too.
        if done > 0 {
            ingest.kill().unwrap();
        }
        assert_ne!(ingest.wait().unwrap().code(), Some(0), "{point}");

        world.fault.clear();
        world.start();
        let (assets, jobs) = wait_for(Duration::from_secs(60), || {
            let assets = world.json(&["asset", "list"]);
            let jobs = world.json(&["job", "list"]);
            let count = |list: &Value, state| list.as_array().unwrap().iter().filter(|it| it["state"] == state).count();
            let there = (count(&assets, "ready"), count(&jobs, "succeeded")) == (done + 1, done + 1);
            if there { Ok((assets, jobs)) } else { Err(format!("{point}: {assets:#} {jobs:#}\n{}", world.log())) }
        });
        let lengths = [assets.as_array().unwrap().len(), jobs.as_array().unwrap().len()];
        assert_eq!(lengths, [done + 1; 2], "{point}: something is there twice");
        assert_eq!(assets[0]["title"], title.as_str());
    }
}

#[test]
fn a_cancelled_job_is_cancelled() {
    let world = World::up();
    world.json(&["ingest", &clip(30.0), "--no-wait"]);
    let job = world.json(&["job", "list"])[0]["id"].as_str().unwrap().to_owned();
    let stages = |watched: &serde_json::Value| {
        let stages = watched["stages"].as_array().cloned().unwrap_or_default();
        stages.iter().map(|stage| stage["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    wait_for(Duration::from_secs(60), || {
        let jobs = world.json(&["job", "list"]);
        if stages(&jobs[0]).contains(&"running".to_owned()) { Ok(()) } else { Err(format!("no stage runs: {jobs}")) }
    });
    world.flame(&["job", "cancel", &job]);
    let watched = world.flame(&["job", "watch", &job, "--json"]);
    assert_eq!(watched.status, 1);
    assert!(watched.err.contains("cancelled"), "{}", watched.err);
    let ended = stages(&serde_json::from_str(&watched.out).unwrap());
    assert!(ended.contains(&"cancelled".to_owned()) && !ended.contains(&"failed".to_owned()), "{ended:?}");
}

#[test]
fn who_is_no_terminal_is_told_in_plain_lines_and_a_terminal_sees_bars() {
    let world = World::up();
    let file = clip(2.0);
    let piped = world.flame(&["ingest", &file]);
    assert_eq!(piped.status, 0, "{}", piped.err);
    assert!(piped.err.lines().any(|line| line.starts_with("  upload: 100 %")), "{}", piped.err);
    assert!(piped.err.lines().any(|line| line.starts_with("  condition: 100 %")), "{}", piped.err);
    assert!(!piped.err.contains('\u{1b}') && !piped.out.contains('\u{1b}'), "{:?}", piped.err);

    // `script` (util-linux) gives it a terminal; what was drawn there comes out.
    let line = format!("'{}' ingest '{file}'", env!("CARGO_BIN_EXE_flame"));
    let mut script = std::process::Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).stdin(Stdio::null());
    let drawn = crate::world::run(script.env("FLAME_ROUTER", &world.router).env("TERM", "xterm").env("COLUMNS", "120"));
    assert_eq!(drawn.status, 0, "{}", drawn.out);
    assert!(drawn.out.contains('\u{1b}') && drawn.out.contains('█'), "{:?}", drawn.out);
    assert!(!drawn.out.contains("upload: 100 %"), "{:?}", drawn.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_fetched_and_one_that_is_not_there_is_said() {
    let film = std::fs::read(clip(2.0)).unwrap();
    let served = axum::Router::new().route("/film.mp4", axum::routing::get(async move || film));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, served).await });
    let world = World::up();
    let fetched = world.flame(&["ingest", &format!("{at}/film.mp4"), "--chain", "none", "--title", "From there"]);
    assert_eq!(fetched.status, 0, "{}", fetched.err);
    let assets = world.json(&["asset", "list"]);
    assert_eq!((assets.as_array().unwrap().len(), &assets[0]["title"]), (1, &"From there".into()), "{assets}");
    let absent = world.flame(&["ingest", &format!("{at}/nothing.mp4"), "--chain", "none"]);
    assert_eq!(absent.status, 1, "{}", absent.err);
    assert!(absent.err.contains("404"), "{}", absent.err);
    assert_eq!(world.json(&["asset", "list"]).as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_interrupted_upload_says_so_and_leaves_nothing() {
    let world = World::up();
    let file = world.scratch.path().join("large.mp4");
    File::create(&file).unwrap().set_len(4 << 30).unwrap();
    let mut ingest = command();
    ingest.arg("ingest").arg(&file).env("FLAME_ROUTER", &world.router);
    let ingest = ingest.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();

    let client = Client::new(world.router.parse().unwrap(), None);
    let uploads = async || client.uploads(&PageQuery::default()).await.unwrap().items;
    // Interrupted when bytes have come, not before.
    while uploads().await.iter().all(|upload| upload.offset_bytes == 0) {}
    kill_process(Pid::from_raw(i32::try_from(ingest.id()).unwrap()).unwrap(), Signal::INT).unwrap();
    let ended = ingest.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(3), "{said}");
    assert!(said.contains("interrupted") && said.contains("deleted"), "{said}");
    eventually(Duration::from_secs(20), || async {
        let left = uploads().await;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
}
