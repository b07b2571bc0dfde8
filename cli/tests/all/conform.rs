//! `flame quality conform`: what others package keeps the rules, what is broken is found with its clause, and so is what goes wrong while
//! something is live; what FLAME itself serves keeps all that say must.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use flame_test_kit::origin::Origin;
use flame_test_kit::{Scratch, clips, repository};
use serde_json::Value;

use crate::live::Live;
use crate::world::{Ran, World, flame};

/// FFmpeg's own packager: a rendition of pictures and one of sound.
fn packaged(folder: &Path) {
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=8"])
        .args(["-f", "lavfi", "-i", "sine=440:sample_rate=48000:d=8", "-c:v", "libx264", "-preset", "ultrafast"])
        .args([
            "-pix_fmt",
            "yuv420p",
            "-g",
            "50",
            "-keyint_min",
            "50",
            "-sc_threshold",
            "0",
            "-b:v",
            "300k",
            "-c:a",
            "aac",
        ])
        .args(["-f", "hls", "-hls_time", "2", "-hls_playlist_type", "vod", "-hls_segment_type", "fmp4"])
        .args(["-hls_flags", "independent_segments", "-var_stream_map", "v:0,agroup:a a:0,agroup:a"])
        .args(["-hls_fmp4_init_filename", "init-%v.mp4", "-hls_segment_filename", "s-%v-%d.m4s"])
        .args(["-master_pl_name", "main.m3u8", "part-%v.m3u8"])
        .current_dir(folder)
        .status()
        .expect("ffmpeg starts");
    assert!(made.success());
    // It states less than its segments have: `what_others_package…` would find that, and looks for the rest.
    let main = std::fs::read_to_string(folder.join("main.m3u8")).unwrap();
    std::fs::write(folder.join("main.m3u8"), with_bandwidth(&main, 2_000_000)).unwrap();
}

/// The playlist, with this bandwidth stated of each variant.
fn with_bandwidth(main: &str, bps: u32) -> String {
    let lines = main.lines().map(|line| match line.split_once("BANDWIDTH=") {
        Some((tag, rest)) if line.starts_with("#EXT-X-STREAM-INF") => {
            let (_, rest) = rest.split_once(',').expect("it has more attributes");
            format!("{tag}BANDWIDTH={bps},{rest}\n")
        }
        Some(_) | None => format!("{line}\n"),
    });
    lines.collect()
}

fn rules(ran: &Ran) -> Vec<String> {
    let report: Value =
        serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}{}", ran.out, ran.err));
    let findings = report["findings"].as_array().expect("they are listed");
    findings.iter().map(|finding| finding["rule"].as_str().expect("it has a rule").to_owned()).collect()
}

#[test]
fn what_others_package_is_judged_by_its_boxes_too() {
    let folder = Scratch::new("conform");
    packaged(&folder);
    let main = folder.join("main.m3u8");
    let conform = |strict: bool| {
        let rest: &[&str] = if strict { &["--strict", "--json"] } else { &["--json"] };
        flame(&[&["quality", "conform", main.to_str().unwrap()], rest].concat())
    };
    let ran = conform(false);
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert!(report["segments"].as_u64() >= Some(8) && report["playlists"].as_u64() == Some(3), "{report}");

    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let broken = |rule: &str, name: &str, change: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        let was = read(name);
        let becomes = change(was.clone());
        assert_ne!(was, becomes, "{rule}");
        std::fs::write(folder.join(name), becomes).unwrap();
        let ran = conform(true);
        assert!(ran.status == 1 && rules(&ran).iter().any(|found| found == rule), "{rule}: {}{}", ran.out, ran.err);
        std::fs::write(folder.join(name), was).unwrap();
    };
    let text = |from: &'static str, to: &'static str| {
        move |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(from, to).into_bytes()
    };
    let bandwidth = |bytes: Vec<u8>| with_bandwidth(&String::from_utf8(bytes).unwrap(), 1000).into_bytes();
    broken("BANDWIDTH", "main.m3u8", &bandwidth);
    broken("RESOLUTION", "main.m3u8", &text("320x180", "640x360"));
    broken("CODECS", "main.m3u8", &text("avc1.", "hvc1.1.6.L93.B0-"));
    broken("GROUP", "main.m3u8", &text(",AUDIO=\"", ",AUDIO=\"x"));
    broken("DURATION", "part-0.m3u8", &text("#EXTINF:2.000000", "#EXTINF:1.500000"));
    broken("SAME_TARGET", "part-1.m3u8", &text("TARGETDURATION:2", "TARGETDURATION:3"));
    // The third segment once more in the place of the second: its times do not go on.
    let third = read("s-0-2.m4s");
    broken("DECODE_TIME", "s-0-1.m4s", &|_| third.clone());
    broken("BOXES", "s-0-1.m4s", &|bytes| bytes[..bytes.len() / 2].to_vec());
    broken("INIT", "init-0.mp4", &|bytes| bytes[..bytes.len() / 2].to_vec());
    let missing = read("s-0-3.m4s");
    std::fs::remove_file(folder.join("s-0-3.m4s")).unwrap();
    assert_eq!(rules(&conform(true)), ["AVAILABLE"]);
    std::fs::write(folder.join("s-0-3.m4s"), missing).unwrap();
    assert_eq!(conform(true).status, 0, "whole again");

    // Over HTTP it is the same, and for people it says clause and word.
    let origin = Origin::of_folder(&folder);
    assert_eq!(flame(&["quality", "conform", &origin.url("main.m3u8")]).status, 0);
    std::fs::remove_file(folder.join("s-1-0.m4s")).unwrap();
    let ran = flame(&["quality", "conform", &origin.url("main.m3u8")]);
    assert!(ran.status == 1 && ran.out.contains("must") && ran.out.contains("HLS 6.2.1"), "{}{}", ran.out, ran.err);
    assert_eq!(flame(&["quality", "conform", &origin.url("nothing.m3u8")]).status, 3);
}

/// A live playlist of transport streams that lists segments from `first` on.
fn window(first: u64, count: u64, rename: &str) -> String {
    let list = (first..first + count).map(|number| format!("#EXTINF:1.0,\n{rename}{number}.ts\n"));
    format!(
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{first}\n{}",
        list.collect::<String>()
    )
}

#[test]
fn a_channel_that_rewrites_its_past_is_found() {
    type Answers = fn(u64) -> String;
    let cases: [(&str, Answers); 4] = [
        ("SEGMENT_CHANGED", |asked| window(asked, 6, if asked > 2 { "other-" } else { "" })),
        ("SEQUENCE_BACK", |asked| window(20 - asked.min(10), 6, "")),
        ("STALE", |_| window(0, 6, "")),
        ("REMOVED_EARLY", |asked| window(2 * asked, 2, "")),
    ];
    for (rule, answers) in cases {
        let asked = AtomicU64::new(0);
        let origin = Origin::of(move |path| {
            if path.contains(".ts") {
                return Some([&[0x47; 1], &[0; 187][..]].concat());
            }
            Some(answers(asked.fetch_add(1, Ordering::SeqCst)).into_bytes())
        });
        let ran = flame(&["quality", "conform", &origin.url("index.m3u8"), "--for", "5s", "--json"]);
        assert_eq!(ran.status, 1, "{rule}: {}{}", ran.out, ran.err);
        assert!(rules(&ran).iter().any(|found| found == rule), "{rule}: {:?}", rules(&ran));
    }
    // One that only moves on breaks nothing.
    let asked = AtomicU64::new(0);
    let origin = Origin::of(move |path| {
        if path.contains(".ts") {
            return Some([&[0x47; 1], &[0; 187][..]].concat());
        }
        Some(window(asked.fetch_add(1, Ordering::SeqCst), 6, "").into_bytes())
    });
    let ran = flame(&["quality", "conform", &origin.url("index.m3u8"), "--for", "4s", "--json"]);
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);
}

#[tokio::test]
async fn what_is_played_live_keeps_what_must_be() {
    let live = Live::up();
    let channel = live.channel("conform");
    let _encoder = live.publish(&channel.key);
    live.plays(&channel).await;
    let ran = conform(&live.world, &[&channel.id, "--for", "8s"]);
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    // Reloads, deltas, parts.
    assert!(report["playlists"].as_u64() > Some(20) && report["segments"].as_u64() > Some(20), "{report}");
}

#[test]
fn the_ladder_keeps_what_must_be() {
    let world = World::up();
    let film = clips::path("bikes");
    let done = world.json(&["ingest", film.to_str().unwrap()]);
    let id = done[0]["id"].as_str().expect("it has an id").to_owned();
    let ran = conform(&world, &[&id]);
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert!(report["segments"].as_u64() > Some(5), "{report}");
}

fn conform(world: &World, rest: &[&str]) -> Ran {
    flame(&[&["quality", "conform"], rest, &["--json", "--router", &world.router]].concat())
}

#[test]
fn the_suite_passes_and_its_controls_fail() {
    let suite = repository().join("media-tests/suites/conformance.yaml");
    let ran = flame(&["quality", "test", suite.to_str().unwrap()]);
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);
    assert_eq!(ran.out.matches("fails as it must").count(), 2, "{}", ran.out);
}
