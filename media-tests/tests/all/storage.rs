//! What is stored of an asset: no more of it because it is played, in whatever form; and what a movie of a hundred hours costs who takes it in.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use flame_media_tests::measure;
use flame_test_kit::long_movie::Picture;
use flame_test_kit::{Bundle, Scratch, clips, eventually};
use serde_json::Value;

/// Time in which what must happen has happened.
const DEADLINE: Duration = Duration::from_secs(60);
const HOURS: u32 = 100;
/// Memory of all services together at its highest, development build, while a movie of a hundred hours is taken in and played.
const PEAK_MAX_BYTES: u64 = 600 << 20;

/// Every file below a folder with its length.
fn files(folder: &Path) -> BTreeMap<std::path::PathBuf, u64> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("it is there") {
            let path = entry.expect("it can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(about) = path.metadata() {
                found.insert(path, about.len());
            }
        }
    }
    found
}

/// What the object store holds, once nothing is written any more.
async fn stored(bundle: &Bundle) -> BTreeMap<std::path::PathBuf, u64> {
    let folder = bundle.data().join("objects");
    let before = std::cell::RefCell::new(BTreeMap::new());
    eventually(DEADLINE, || {
        let now = files(&folder);
        let is_same = *before.borrow() == now && !now.is_empty();
        *before.borrow_mut() = now.clone();
        async move { if is_same { Ok(now) } else { Err(format!("{} files", now.len())) } }
    })
    .await
}

async fn text(url: &str) -> String {
    let answer = reqwest::get(url).await.expect("the router answers");
    let (status, text) = (answer.status(), answer.text().await.expect("it is whole"));
    assert_eq!(status, 200, "{url}: {text}");
    text
}

/// All that a text names, below the folder of its URL.
async fn taken(url: &str, names: impl Iterator<Item = String>) -> u64 {
    let (folder, _) = url.rsplit_once('/').expect("it has a path");
    let mut octets = 0;
    for name in names {
        let url = format!("{folder}/{name}");
        let answer = reqwest::get(&url).await.expect("the router answers");
        assert_eq!(answer.status(), 200, "{url}");
        octets += answer.bytes().await.expect("it is whole").len() as u64;
    }
    octets
}

/// Plays an asset in every form: all of it by FFmpeg, and what FFmpeg does not ask for besides.
async fn played(asset: &str, has_thumbnails: bool) {
    let clip = "?from=2s&to=6s";
    for form in ["index.m3u8", "ts.m3u8", "manifest.mpd"] {
        for clip in ["", clip] {
            measure::decodes(&format!("{asset}/{form}{clip}"))
                .await
                .unwrap_or_else(|error| panic!("{form}{clip}: {error:#}"));
        }
    }
    let multivariant = text(&format!("{asset}/index.m3u8")).await;
    let iframes: Vec<&str> = multivariant.split('"').filter(|part| part.ends_with("/iframes.m3u8")).collect();
    assert!(!iframes.is_empty(), "{multivariant}");
    for list in iframes {
        let url = format!("{asset}/{list}");
        let listed = text(&url).await;
        let names = listed.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned);
        assert!(taken(&url, names).await > 0, "{listed}");
    }
    if has_thumbnails {
        let url = format!("{asset}/thumbnails.vtt");
        let index = text(&url).await;
        let sheets = index.lines().filter_map(|line| Some(line.split_once("#xywh")?.0.to_owned()));
        assert!(taken(&url, sheets).await > 0, "{index}");
    }
}

#[tokio::test]
async fn nothing_more_is_stored_because_an_asset_is_played_in_every_form() {
    let bundle = Bundle::up().await;
    let file = clips::path("bikes");
    for chain in [&[][..], &["--chain", "none"]] {
        let done: Value =
            bundle.json(&[&["ingest", file.to_str().expect("paths of clips are UTF-8")][..], chain].concat());
        let id = done[0]["id"].as_str().unwrap_or_else(|| panic!("no asset: {done:#}")).to_owned();
        let asset = format!("{}/~streaming/{id}", bundle.router());
        eventually(DEADLINE, || async {
            let status = reqwest::get(format!("{asset}/index.m3u8")).await.expect("the router answers").status();
            if status == 200 { Ok(()) } else { Err(status) }
        })
        .await;
        let before = stored(&bundle).await;
        played(&asset, chain.is_empty()).await;
        let after = stored(&bundle).await;
        let octets = |files: &BTreeMap<_, u64>| files.values().sum::<u64>();
        println!(
            "{} files of {} octets before, {} of {} after",
            before.len(),
            octets(&before),
            after.len(),
            octets(&after)
        );
        assert_eq!(before, after, "{chain:?}");
    }
}

/// The most memory that a process had, bytes.
fn peak_bytes(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux says it");
    let kib: u64 = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("it is a number");
    kib * 1_024
}

#[tokio::test]
async fn a_movie_of_a_hundred_hours_is_probed_listed_and_played_from_any_place() {
    let scratch = Scratch::new("hours");
    let one = scratch.join("one.mp4");
    let made = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", "color=c=teal:size=64x64:rate=1:duration=1"])
        .args(["-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "1", "-bsf:v", "filter_units=remove_types=6"])
        .arg(&one)
        .status()
        .expect("ffmpeg starts");
    assert!(made.success());
    let picture = Picture::first_of(&std::fs::read(&one).expect("it was made"), (64, 64));
    let file = scratch.join("hours.mp4");
    std::fs::write(&file, picture.shown_for(HOURS, 1)).expect("scratch is writable");

    let bundle = Bundle::up().await;
    let idle = peak_bytes(bundle.pid());
    let began = Instant::now();
    let done: Value = bundle.json(&["ingest", file.to_str().expect("paths are UTF-8"), "--chain", "none"]);
    let id = done[0]["id"].as_str().unwrap_or_else(|| panic!("no asset: {done:#}")).to_owned();
    let shown = bundle.json(&["asset", "show", &id]);
    let duration_ms = shown["probe"]["duration_ms"].as_u64().unwrap_or_else(|| panic!("no duration: {shown:#}"));
    assert_eq!(duration_ms, u64::from(HOURS) * 3_600_000);
    let asset = format!("{}/~streaming/{id}", bundle.router());
    let multivariant = eventually(DEADLINE, || async {
        let answer = reqwest::get(format!("{asset}/index.m3u8")).await.expect("the router answers");
        let status = answer.status();
        if status == 200 { Ok(answer.text().await.expect("it is whole")) } else { Err(status) }
    })
    .await;
    let taken_in = began.elapsed();
    let variant = multivariant.lines().find(|line| !line.is_empty() && !line.starts_with('#')).expect("it plays");
    let listed = text(&format!("{asset}/{variant}")).await;
    assert_eq!(listed.matches("#EXTINF:").count(), 90_000);
    // The end of it, as FFmpeg decodes it.
    measure::decodes(&format!("{asset}/index.m3u8?from=359980s&to=359999s")).await.expect("FFmpeg decodes the end");
    let peak = peak_bytes(bundle.pid());
    println!(
        "100 h taken in and listed after {} ms; all services at most {} MiB, {} MiB before",
        taken_in.as_millis(),
        peak >> 20,
        idle >> 20
    );
    assert!(peak < PEAK_MAX_BYTES, "{} MiB", peak >> 20);
}
