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
