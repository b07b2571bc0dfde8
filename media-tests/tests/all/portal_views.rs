//! Views of the portal in Chromium: chapters, two jobs side by side, runs of suites, plots that are saved and linked to; and that every
//! command that is shown is one that `flame` understands.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use flame_media_tests::players::browser;
use flame_test_kit::programs::program;
use flame_test_kit::{Bundle, Scratch, clips, eventually};
use serde_json::{Value, json};

/// Time for a channel to be where it is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A recording of a looped asset, with two chapters a few seconds apart; its identifier.
async fn recorded(bundle: &Bundle, asset: &str) -> String {
    let channel = bundle.json(&["channel", "create", "Marked", "--loop", asset]);
    let id = channel["id"].as_str().unwrap_or_else(|| panic!("no channel: {channel:#}")).to_owned();
    let playlist = format!("{}/~streaming/{id}/index.m3u8", bundle.router());
    let plays = async || -> Result<usize, String> {
        let text = reqwest::get(&playlist).await.map_err(|error| error.to_string())?;
        let text = text
            .error_for_status()
            .map_err(|error| error.to_string())?
            .text()
            .await
            .map_err(|error| error.to_string())?;
        let track = text.lines().find(|line| !line.starts_with('#') && !line.is_empty()).ok_or_else(|| text.clone())?;
        let base: url::Url = playlist.parse().expect("it is a URL");
        let track = base.join(track).map_err(|error| error.to_string())?;
        let media = reqwest::get(track)
            .await
            .map_err(|error| error.to_string())?
            .text()
            .await
            .map_err(|error| error.to_string())?;
        Ok(media.matches("#EXTINF").count())
    };
    let reaches = |least: usize| {
        eventually(PATIENCE, move || async move {
            let count = plays().await?;
            if count >= least { Ok(()) } else { Err(format!("{count} segments")) }
        })
    };
    reaches(1).await;
    let mark = |name: &str, title: &str| {
        let title = format!("X-TITLE={title}");
        bundle.json(&[
            "channel",
            "mark",
            &id,
            "--id",
            name,
            "--class",
            "chapter",
            "--until-next",
            "--attribute",
            &title,
        ])
    };
    mark("one", "The first");
    reaches(3).await;
    mark("two", "The second");
    reaches(5).await;
    assert_eq!(bundle.json(&["channel", "end", &id])["id"], id.as_str());
    id
}

/// Runs a command as it is shown, in a shell that knows `flame` by its path; what it printed.
fn ran(command: &str) -> String {
    let text = format!(
        "flame() {{ \"$FLAME\" \"$@\"; }}; curl() {{ command curl -sS --fail-with-body --max-time 60 \"$@\"; }}; {command}"
    );
    let output = Command::new("sh").args(["-c", &text]).env("FLAME", program("flame")).output().expect("sh runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// Runs commands that change something as the views show them, by `flame` and by `curl`, and looks at what came of it.
fn changed_by_what_is_shown(bundle: &Bundle, shown: &Value, asset: &str) {
    let commands = |view: &str, has: &[&str]| -> Vec<String> {
        let all = shown[view].as_array().unwrap_or_else(|| panic!("no view {view}: {shown:#}"));
        let all = all.iter().filter_map(Value::as_str).filter(|command| has.iter().all(|part| command.contains(part)));
        all.map(str::to_owned).collect()
    };
    let count = |arguments: &[&str]| {
        let listed = bundle.json(arguments);
        listed.as_array().or_else(|| listed["items"].as_array()).unwrap_or_else(|| panic!("no list: {listed:#}")).len()
    };
    // An edit is of the revision that was looked at: before anything else changes.
    let renamed = commands("asset/ASSET", &["asset edit "]).into_iter().chain(commands("asset/ASSET", &["-X PATCH "]));
    let renamed: Vec<_> = renamed.map(|command| command.replace("Chapters", "Renamed")).collect();
    ran(&renamed[1]);
    assert_eq!(bundle.json(&["asset", "show", asset])["title"], "Renamed", "{renamed:#?}");
    ran(&renamed[0].replace("Renamed", "Renamed-again"));
    assert_eq!(bundle.json(&["asset", "show", asset])["title"], "Renamed-again", "{renamed:#?}");

    // A pair of commands for each: what it does, where it is shown, and of what there is more then.
    let live = commands("live", &["channel create "])
        .into_iter()
        .chain(commands("live", &["-X POST ", "/~streaming/channels ", "-d "]));
    let live: Vec<_> = live.collect();
    let before = count(&["channel", "list"]);
    live.iter().for_each(|command| drop(ran(command)));
    assert_eq!((live.len(), count(&["channel", "list"])), (2, before + 2), "{live:#?}");

    let started = commands("chains/ASSET", &["job start "])
        .into_iter()
        .chain(commands("chains/ASSET", &["-X POST ", "/~transcode/jobs ", "-d "]));
    let started: Vec<_> = started.collect();
    let before = count(&["job", "list"]);
    started.iter().for_each(|command| drop(ran(command)));
    assert_eq!((started.len(), count(&["job", "list"])), (2, before + 2), "{started:#?}");

    let measured = commands("quality/ASSET", &["-X POST ", "/~quality/", "-d "]);
    let before = count(&["quality", "jobs"]);
    measured.iter().for_each(|command| drop(ran(command)));
    assert_eq!((measured.len(), count(&["quality", "jobs"])), (2, before + 2), "{measured:#?}");

    let [name, endpoint] = {
        let drains = commands("platform", &["endpoint drain "]);
        let mut words = drains[0].rsplit(' ');
        let endpoint = words.next().expect("an endpoint").to_owned();
        [words.next().expect("a name").to_owned(), endpoint]
    };
    let standing = || {
        let known = bundle.json(&["endpoint", "list"]);
        let known = known.as_array().or_else(|| known["items"].as_array()).expect("endpoints").clone();
        let found = known.iter().find(|one| {
            one["endpoint"] == endpoint.as_str()
                && one["name"].as_str().is_some_and(|found| found == name || found == format!("{name}.main"))
        });
        found.and_then(|one| one["state"].as_str()).unwrap_or_else(|| panic!("no {name} {endpoint}")).to_owned()
    };
    for (way, state, opposite, before) in
        [("drain", "draining", "connect", "connected"), ("connect", "connected", "drain", "draining")]
    {
        let pair = [
            commands("platform", &[&format!("endpoint {way} ")]),
            commands("platform", &["-X POST ", &format!("/{way}")]),
        ]
        .concat();
        assert_eq!(pair.len(), 2, "{pair:#?}");
        // Each of the two does it by itself: before each the opposite is so.
        for command in &pair {
            assert!(bundle.flame(&["endpoint", opposite, &name, &endpoint]).status.success(), "{opposite}");
            assert_eq!(standing(), before, "{opposite}");
            ran(command);
            assert_eq!(standing(), state, "{command}");
        }
    }

    let planned = commands("templates", &["-X POST ", "/~orchestrator/plans"]);
    assert!(ran(&planned[0]).contains("\"places\""), "{planned:#?}");
    // Last of all, what is deleted.
    let deleted = commands("asset/ASSET", &["-X DELETE "]);
    ran(&deleted[0]);
    let trash = bundle.json(&["asset", "list", "--deleted"]);
    assert!(trash.to_string().contains(asset), "{deleted:#?}: {trash:#}");
}

/// Runs a suite whose encoder copies `encode`, and has it kept; its status.
fn tested(bundle: &Bundle, folder: &Path, encode: &str) -> Option<i32> {
    let text = format!(
        "suite: copies
about: a test
clips: {{ a: {{ file: a.mp4 }} }}
cases:
  - name: a copy
    clip: a
    subject: {{ command: {{ run: 'cat {{in}} > /dev/null; cp {} {{out}}', makes: mp4 }} }}
    metrics: [psnr]
    gates: [psnr.mean > 50, alignment.dropped_frames <= 0]
  - name: a control
    clip: a
    subject: {{ command: {{ run: 'cat {{in}} > /dev/null; cp {} {{out}}', makes: mp4 }} }}
    metrics: [psnr]
    gates: [psnr.mean > 1000]
    must_fail: true
",
        folder.join(encode).display(),
        folder.join(encode).display()
    );
    let path = folder.join("copies.yaml");
    std::fs::write(&path, text).expect("scratch is writable");
    bundle.flame(&["quality", "test", "--record", path.to_str().expect("it is UTF-8")]).status.code()
}

#[tokio::test]
async fn chromium_sees_chapters_two_jobs_suites_and_plots_and_shows_commands_that_work() {
    let bundle = Bundle::up().await;
    let clip = clips::path("carphone_pristine");
    let ingested =
        bundle.json(&["ingest", clip.to_str().expect("it is UTF-8"), "--title", "Chapters", "--chain", "ladder"]);
    let asset = ingested[0]["id"].as_str().expect("an identifier").to_owned();
    let damaged = clips::path("carphone_distorted");
    let damaged =
        bundle.json(&["ingest", damaged.to_str().expect("it is UTF-8"), "--title", "Damaged", "--chain", "none"]);
    let other = damaged[0]["id"].as_str().expect("an identifier").to_owned();
    let film = clips::recipe("synthetic").seconds(60.0).make();
    let film = bundle.json(&["ingest", film.to_str().expect("it is UTF-8"), "--title", "A minute", "--chain", "none"]);
    let long = film[0]["id"].as_str().expect("an identifier").to_owned();
    let parts = json!([{ "name": "Begin", "startOffset": 0 }, { "name": "Middle", "startOffset": 1.5 }, { "name": "End", "startOffset": 3 }]);
    let edited = bundle.json(&["asset", "edit", &asset, "--set", &format!("hasPart={parts}")]);
    assert_eq!(edited["id"], asset.as_str(), "{edited:#}");
    let recording = recorded(&bundle, &asset).await;
    let folder = Scratch::new("suite");
    for (name, clip) in [("a.mp4", "carphone_pristine"), ("b.mp4", "carphone_distorted")] {
        std::fs::copy(clips::path(clip), folder.join(name)).expect("scratch is writable");
    }
    assert_eq!([tested(&bundle, &folder, "a.mp4"), tested(&bundle, &folder, "b.mp4")], [Some(0), Some(1)]);

    let mut arguments = vec![bundle.router().to_owned()];
    for (name, value) in [("--asset", &asset), ("--other", &other), ("--long", &long), ("--recording", &recording)] {
        arguments.extend([name.to_owned(), value.clone()]);
    }
    arguments.extend(browser::pictures());
    let seen = browser::node("views.mjs", arguments).await.expect("the portal can be opened");
    let seen: Value = serde_json::from_slice(&seen).expect("views.mjs prints one JSON object");

    // What the record says, else what the playlist marks; a click goes there, and the time bar knows it.
    let named = &seen["named"];
    assert_eq!(named["texts"], json!(["0:00 Begin", "0:01 Middle", "0:03 End"]), "{named:#}");
    assert!(named["at_s"].as_f64().is_some_and(|at_s| (at_s - 3.0).abs() < 0.2), "{named:#}");
    assert_eq!((&named["named"], &named["ticks"]), (&json!("End"), &json!(2)), "{named:#}");
    assert!(named["said"].as_str().is_some_and(|said| said.ends_with(", End")), "{named:#}");
    let marked = &seen["marked"];
    let texts = marked["texts"].as_array().expect("texts");
    assert!(texts.len() == 2 && texts[1].as_str().is_some_and(|text| text.ends_with(" The second")), "{marked:#}");
    assert_eq!(marked["named"], "The second", "{marked:#}");
    assert!(marked["at_s"].as_f64().is_some_and(|at_s| at_s > 1.0), "{marked:#}");

    // Two jobs side by side.
    let compare = &seen["compare"];
    assert_eq!(compare["heads"], json!(["What", "ladder", "proxy", "Change"]), "{compare:#}");
    for title in ["Together", "Stages", "Tracks"] {
        assert!(compare["table"][title].as_array().is_some_and(|rows| !rows.is_empty()), "{title}: {compare:#}");
    }
    assert!(
        compare["address"].as_str().is_some_and(|address| address.contains(&format!("#/chains/{asset}/"))),
        "{compare:#}"
    );
    assert_eq!(compare["lost"], json!([false, true]), "a link to a job that is not there says so: {compare:#}");
    let jobs = bundle.json(&["job", "list"]).to_string();
    assert!(jobs.contains("\"cancelled\""), "{jobs}");

    // Another asset, and a rendition, beside what was uploaded: what is damaged is worse than what was made of it.
    let pairs = seen["pairs"].as_array().expect("pairs");
    let psnr_db = |at: usize| pairs[at]["psnr_db"].as_f64().unwrap_or_else(|| panic!("no figure: {pairs:#?}"));
    assert!(pairs.len() == 2 && 0.0 < psnr_db(0) && psnr_db(0) < psnr_db(1), "{pairs:#?}");
    assert!(pairs[0]["media"] == format!("{other}/source").as_str(), "{pairs:#?}");

    // A suite's gates from run to run: the second run does not keep one, and the first is not forgotten.
    let suite = &seen["suite"];
    let row = suite["rows"][0].as_array().expect("a row");
    assert_eq!((&row[0], &row[1]), (&json!("a copy"), &json!("psnr.mean > 50")), "{suite:#}");
    assert!(row[4] == "100" && row[5].as_str().is_some_and(|cell| cell.ends_with('✗')), "{suite:#}");
    assert!(
        suite["standing"].as_str().is_some_and(|text| text.contains("1 failed")) && suite["trends"] == 3,
        "{suite:#}"
    );

    // A gate over time is a plot like others: a table, a picture, and a link that leads back to it.
    let trend = &suite["trend"];
    assert_eq!((&trend["csv"], &trend["rows"]), (&json!("time,a copy: psnr.mean > 50"), &json!(3)), "{suite:#}");
    assert_eq!((&trend["png"], &trend["title"]), (&json!("PNG"), &json!("psnr.mean > 50 of a copy")), "{suite:#}");
    assert!(trend["link"].as_str().is_some_and(|link| link.starts_with("#/quality/suites/copies/")), "{suite:#}");
    assert_eq!(trend["held"], trend["link"], "{suite:#}");

    // A control that fails as it must is well; what it was for is said.
    let control = suite["controls"][0].as_array().expect("a row");
    assert!(
        control[0] == "a control" && control[1].as_str().is_some_and(|gate| gate.ends_with("(a control: must fail)")),
        "{suite:#}"
    );
    assert_eq!((&control[2], &control[3]), (&json!("passed"), &json!("passed")), "{suite:#}");

    // Plots are tables, pictures and links.
    let quality = &seen["quality"];
    assert_eq!((&quality["csv"], &quality["png"]), (&json!("time,psnr"), &json!("PNG")), "{quality:#}");
    assert!(quality["link"] != quality["whole"] && quality["link"] == quality["held"], "{quality:#}");
    let keys = quality["keys"].as_array().expect("what was seen");
    let apart: BTreeSet<_> = keys[..4].iter().map(Value::as_str).collect();
    assert!(
        apart.len() == 4 && keys[0] == quality["whole"] && keys[4] == keys[0],
        "keys zoom, move and go back: {quality:#}"
    );
    for plot in seen["plots"].as_array().expect("plots") {
        assert!(plot["png"] == "PNG" && plot["rows"].as_u64() > Some(1), "{plot:#}");
        assert!(plot["link"].as_str().is_some_and(|link| link.starts_with("#/platform/")), "{plot:#}");
        assert_eq!(plot["held"], seen["plots"][0]["link"], "a link to a time shows that time: {plot:#}");
    }
    let plot = &seen["plots"][0];
    assert!(plot["zoomed"] != plot["link"] && plot["zoomed"] == plot["stays"], "{plot:#}");
    assert_eq!(seen["errors"], json!([]), "{seen:#}");

    // Every command is one: `--help` behind it is answered only where all before it is understood.
    let (mut count, mut asked) = (0, 0);
    for (view, commands) in seen["shown"].as_object().expect("views") {
        let commands: Vec<_> = commands.as_array().expect("commands").iter().filter_map(Value::as_str).collect();
        assert!(!commands.is_empty(), "{view} shows no command");
        for command in commands.iter().filter(|command| command.starts_with("flame ")) {
            let text = format!("flame() {{ \"$FLAME\" \"$@\"; }}; {command} --help");
            let ran = Command::new("sh").args(["-c", &text]).env("FLAME", program("flame")).output().expect("sh runs");
            assert!(ran.status.success(), "{view}: {command}: {}", String::from_utf8_lossy(&ran.stderr));
            count += 1;
        }
        // What is only asked for is asked for as it is shown; what changes something is sent by the buttons, above.
        let asks = |command: &&&str| {
            command.starts_with("curl ") && ![" -X ", " -d @-"].iter().any(|flag| command.contains(flag))
        };
        for command in commands.iter().filter(asks) {
            let text = format!("curl() {{ command curl -sS --fail --max-time 20 -o /dev/null \"$@\"; }}; {command}");
            let ran = Command::new("sh").args(["-c", &text]).output().expect("sh runs");
            assert!(ran.status.success(), "{view}: {command}: {}", String::from_utf8_lossy(&ran.stderr));
            asked += 1;
        }
    }
    assert!(count > 20 && asked > 15, "{count} commands of flame, {asked} of curl");
    changed_by_what_is_shown(&bundle, &seen["shown"], &asset);
}
