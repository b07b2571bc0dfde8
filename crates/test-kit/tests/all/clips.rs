//! Clips come with the digest that was pinned, once, whoever asks at the same time.

use std::fs;
use std::process::{Command, Output};

use flame_test_kit::repository;
use flame_test_kit::{Scratch, clips};

fn fetch(cache: &Scratch, arguments: &[&str]) -> Output {
    Command::new(repository().join("media-tests/clips/fetch"))
        .args(arguments)
        .env("XDG_CACHE_HOME", cache.path())
        .output()
        .expect("python3 runs")
}

#[test]
fn real_footage_is_there() {
    for name in ["bigbuckbunny", "bikes", "carphone_pristine", "carphone_distorted"] {
        assert!(clips::path(name).metadata().expect("it was fetched").len() > 5_000, "{name}");
    }
}

#[test]
fn callers_at_the_same_time_get_the_same_synthetic_clip() {
    let cache = Scratch::new("clips");
    let made: Vec<Output> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| fetch(&cache, &["synthetic", "--seconds", "1", "--rate", "30000/1001"])))
            .collect();
        asked.into_iter().map(|thread| thread.join().expect("fetch does not panic")).collect()
    });
    assert!(made.iter().all(|run| run.status.success() && run.stdout == made[0].stdout), "{made:?}");
    let files = fs::read_dir(cache.join("flame/clips")).expect("the cache is there");
    assert_eq!(files.filter(|file| file.as_ref().is_ok_and(|file| file.path().extension().is_some())).count(), 1);
}

#[test]
fn a_damaged_clip_is_fetched_again() {
    let cache = Scratch::new("clips");
    let folder = cache.join("flame/clips");
    fs::create_dir_all(&folder).expect("scratch is writable");
    let whole = fs::read(clips::path("carphone_distorted")).expect("fetched");
    fs::write(folder.join("carphone_distorted.mp4"), &whole[1..]).expect("scratch is writable");
    let ran = fetch(&cache, &["carphone_distorted"]);
    assert!(ran.status.success(), "{ran:?}");
    assert_eq!(fs::read(folder.join("carphone_distorted.mp4")).expect("fetched"), whole);
}

#[test]
fn what_is_not_there_is_an_answer() {
    let cache = Scratch::new("clips");
    let unknown = fetch(&cache, &["sintel"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("no clip and no recipe is called sintel"));
    let impossible = fetch(&cache, &["synthetic", "--size", "0x0"]);
    assert_eq!(impossible.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&impossible.stderr).contains("ffmpeg could not make synthetic"));
}

#[test]
fn every_recipe_can_be_made() {
    let listed = fetch(&Scratch::new("clips"), &["--list"]);
    let names = String::from_utf8(listed.stdout).expect("UTF-8");
    for name in names.lines().skip(4).filter_map(|line| line.split_whitespace().next()) {
        assert!(clips::recipe(name).make().metadata().expect("made").len() > 0, "{name}");
    }
}

/// What `ffprobe` says of the first stream of a kind.
fn probed(name: &str, stream: &str, entries: &str) -> String {
    let mut ffprobe = std::process::Command::new("ffprobe");
    ffprobe.args(["-v", "error", "-select_streams", stream, "-show_entries", entries, "-of", "csv=p=0"]);
    let output = ffprobe.arg(clips::recipe(name).make()).output().expect("ffprobe starts");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
}

#[test]
fn odd_recipes_are_odd_in_the_way_that_they_are_called() {
    for (name, stream, entries, said) in [
        ("odd-size", "v:0", "stream=width,height", "321,181"),
        ("rotated", "v:0", "stream_side_data=rotation", "90"),
        ("anamorphic", "v:0", "stream=sample_aspect_ratio", "64:45"),
        ("surround", "a:0", "stream=channels", "6"),
        ("ten-bit", "v:0", "stream=pix_fmt", "yuv420p10le"),
        ("one-frame", "v:0", "stream=nb_frames", "1"),
        ("audio-only", "v", "stream=index", ""),
        ("no-audio", "a", "stream=index", ""),
        ("webm", "v:0", "format=format_name", "matroska,webm"),
        ("avi", "v:0", "format=format_name", "avi"),
        ("mpegts", "v:0", "format=format_name", "mpegts"),
    ] {
        let told = probed(name, stream, entries);
        assert_eq!(told.trim_matches(['"', ',']), said, "{name}");
    }
    assert!(probed("late-audio", "a:0", "stream=start_time").parse::<f64>().unwrap() > 0.1);
    // Pictures of no fixed duration.
    let durations = probed("variable-rate", "v:0", "packet=duration_time");
    let durations: std::collections::BTreeSet<_> = durations.lines().collect();
    assert!(durations.len() > 1, "{durations:?}");
    // A picture is decoded after it is to be shown only where offsets are negative.
    let times = probed("negative-offsets", "v:0", "packet=pts,dts");
    assert!(
        times.lines().any(|line| {
            let mut numbers = line.split(',').map(|number| number.parse::<i64>().unwrap());
            numbers.next() < numbers.next()
        }),
        "{times}"
    );
    // A group is open where a key frame is followed by pictures that are shown before it.
    let pictures = probed("open-gop", "v:0", "packet=pts,flags");
    let pictures: Vec<(i64, bool)> = pictures
        .lines()
        .map(|line| line.split_once(',').map(|(pts, flags)| (pts.parse().unwrap(), flags.starts_with('K'))).unwrap())
        .collect();
    assert!(pictures.windows(2).skip(1).any(|two| two[0].1 && two[1].0 < two[0].0), "{pictures:?}");
    let bytes = std::fs::read(clips::recipe("moov-last").make()).unwrap();
    let at = |kind: &[u8]| bytes.windows(4).position(|window| window == kind).unwrap();
    assert!(at(b"moov") > at(b"mdat"));
    let bytes = std::fs::read(clips::recipe("edit-list").make()).unwrap();
    let at = bytes.windows(4).position(|window| window == b"elst").unwrap();
    // Version, flags, count, then duration and media time of the first entry (ISO/IEC 14496-12, 8.6.6).
    let word = |offset: usize| i32::from_be_bytes(bytes[at + offset..at + offset + 4].try_into().unwrap());
    assert!(word(8) >= 1 && (word(16) != 0 || word(8) > 1), "it cuts nothing");
}
