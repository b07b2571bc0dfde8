//! Everything that is written is read back as the same value by two libraries that nobody here wrote: the crate `broadcast-hls`, and
//! npm `hls-parser` (one process of Node for all playlists). Nothing is compared as text.
//!
//! What one of them does not read, or reads wrongly, is left out by name: docs/decisions/0050-judges-of-playlists.md.

#[path = "read_back/broadcast.rs"]
mod broadcast;
#[path = "read_back/cases.rs"]
mod cases;
#[path = "read_back/expected.rs"]
mod expected;

use std::io::Write;
use std::process::{Command, Stdio};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

/// Playlists of each kind that one process reads.
const CASES: usize = 200;
/// What `hls-parser` says of parts that are listed for three target durations: it counts three segments, however short they are.
const COUNTS_SEGMENTS: &str =
    "Remove EXT-X-PART tags from the Playlist after they are greater than three target durations";

/// A playlist, and what is to be read in it.
#[derive(Debug, Clone)]
pub struct Case {
    pub text: String,
    pub expected: Value,
}

/// The same cases in every run: what fails here can be looked at again.
fn cases(strategy: impl Strategy<Value = Option<Case>>) -> Vec<Case> {
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let made = std::iter::repeat_with(|| strategy.new_tree(&mut runner).expect("the strategy makes values").current());
    made.flatten().take(CASES).collect()
}

/// Takes these members out of an object, and of all in it.
fn without(value: &Value, names: &[&str]) -> Value {
    match value {
        Value::Array(values) => values.iter().map(|value| without(value, names)).collect(),
        Value::Object(members) => {
            let kept = members.iter().filter(|(name, _)| !names.contains(&name.as_str()));
            kept.map(|(name, value)| (name.clone(), without(value, names))).collect::<serde_json::Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

/// What `hls-parser` reads in each, and what it objects to.
fn hls_parser(cases: &[Case]) -> Vec<(Value, Vec<String>)> {
    let root = flame_test_kit::repository();
    let judges = root.join("media-tests/judges");
    assert!(Command::new(judges.join("set-up")).status().unwrap().success());
    let mut node = Command::new(root.join("tools/node"))
        .args(["node", "--no-warnings"])
        .arg(judges.join("hls-parser.mjs"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let texts: Vec<&str> = cases.iter().map(|case| case.text.as_str()).collect();
    // It reads all before it writes anything, so neither waits for the other.
    node.stdin.take().unwrap().write_all(&serde_json::to_vec(&texts).unwrap()).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success());
    let read: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let objections = |one: &Value| serde_json::from_value(one["objections"].clone()).unwrap();
    read.iter().map(|one| (one["read"].clone(), objections(one))).collect()
}

/// Holds what `hls-parser` reads against what is written, but for members that it has no eyes for.
fn agrees(cases: &[Case], blind: &[&str]) {
    let read = hls_parser(cases);
    assert_eq!(read.len(), cases.len());
    for (case, (read, objections)) in cases.iter().zip(read) {
        let objections: Vec<_> = objections.into_iter().filter(|one| !one.contains(COUNTS_SEGMENTS)).collect();
        assert!(objections.is_empty(), "hls-parser objects: {objections:?}\n{}", case.text);
        assert_eq!(
            without(&read, blind),
            without(&expected::for_hls_parser(&case.expected, &read), blind),
            "{}",
            case.text
        );
    }
}

fn broadcast_agrees(cases: &[Case], read: fn(&str) -> Value, blind: &[&str]) {
    for case in cases {
        assert_eq!(without(&read(&case.text), blind), without(&case.expected, blind), "{}", case.text);
    }
}

#[test]
fn live_playlists_are_read_back() {
    let cases = cases(cases::live());
    // The crate forgets a discontinuity in front of a segment that is under way.
    broadcast_agrees(&cases, broadcast::media, &["is_open_discontinuity"]);
    agrees(&cases, &["is_open_discontinuity", "open_map", "date_ranges"]);
}

#[test]
fn playlists_of_recordings_are_read_back() {
    let cases = cases(cases::vod());
    broadcast_agrees(&cases, broadcast::media, &[]);
    agrees(&cases, &["is_open_discontinuity", "open_map", "date_ranges"]);
}

#[test]
fn playlists_of_iframes_are_read_back() {
    let cases = cases(cases::iframes());
    broadcast_agrees(&cases, broadcast::media, &[]);
    agrees(&cases, &["is_open_discontinuity", "open_map", "date_ranges"]);
}

#[test]
fn multivariant_playlists_are_read_back() {
    let cases = cases(cases::multivariant());
    broadcast_agrees(&cases, broadcast::multivariant, &[]);
    // Stable names of renditions, supplemental codecs, pathways and steering are not in it; it looks for PATHWAY-ID under another name.
    agrees(&cases, &["stable_rendition_id", "supplemental", "pathway", "steering"]);
}

#[test]
fn date_ranges_are_read_back() {
    let cases = cases(cases::date_ranges());
    broadcast_agrees(&cases, broadcast::media, &["is_open_discontinuity"]);
    agrees(&cases, &["is_open_discontinuity", "open_map", "date_ranges"]);
}
