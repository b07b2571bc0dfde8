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
    // From one picture to the next it is not always as long.
    let times = probed("variable-rate", "v:0", "packet=dts");
    let times: Vec<i64> = times.lines().map(|line| line.trim_end_matches(',').parse().unwrap()).collect();
    let steps: std::collections::BTreeSet<_> = times.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(steps.len() > 1, "{steps:?}");
    // The first group begins with an IDR picture (NAL unit type 5, ITU-T H.264 table 7-1), later ones with pictures that are none.
    let mut ffmpeg = std::process::Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-i"]).arg(clips::recipe("open-gop").make());
    ffmpeg.args(["-map", "0:v", "-c", "copy", "-bsf:v", "filter_units=pass_types=5", "-f", "framecrc", "-"]);
    let listed = String::from_utf8(ffmpeg.output().expect("ffmpeg starts").stdout).expect("UTF-8");
    let of_idr = listed.lines().filter(|line| !line.starts_with('#')).count();
    let of_keys = probed("open-gop", "v:0", "packet=flags").lines().filter(|flags| flags.starts_with('K')).count();
    assert!(of_idr == 1 && of_keys > 1, "{of_idr} IDR pictures, {of_keys} key frames");
    // Composition offsets are signed in version 1 (ISO/IEC 14496-12, 8.6.1.3), and one is below 0.
    let bytes = std::fs::read(clips::recipe("negative-offsets").make()).unwrap();
    let at = bytes.windows(4).position(|window| window == b"ctts").unwrap();
    let word = |offset: usize| i32::from_be_bytes(bytes[at + offset..at + offset + 4].try_into().unwrap());
    let offsets: Vec<i32> = (0..word(8)).map(|entry| word(16 + 8 * usize::try_from(entry).unwrap())).collect();
    assert!(bytes[at + 4] == 1 && offsets.iter().any(|offset| *offset < 0), "version {}, {offsets:?}", bytes[at + 4]);
    let bytes = std::fs::read(clips::recipe("moov-last").make()).unwrap();
    let at = |kind: &[u8]| bytes.windows(4).position(|window| window == kind).unwrap();
    assert!(at(b"moov") > at(b"mdat"));
    let bytes = std::fs::read(clips::recipe("edit-list").make()).unwrap();
    let at = bytes.windows(4).position(|window| window == b"elst").unwrap();
    // Version, flags, count, then duration and media time of the first entry (ISO/IEC 14496-12, 8.6.6).
    let word = |offset: usize| i32::from_be_bytes(bytes[at + offset..at + offset + 4].try_into().unwrap());
    assert!(word(8) >= 1 && (word(16) != 0 || word(8) > 1), "it cuts nothing");
}
