//! `flame quality watch`: what a viewer meets with, on request and live, in a real bundle; gates on it, and what clmc is told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flame_test_kit::clips;
use flame_test_kit::origin::Origin;
use serde_json::Value;

use crate::live::Live;
use crate::world::{Ran, World, flame};

fn watch(world: &World, rest: &[&str]) -> Ran {
    flame(&[&["quality", "watch"], rest, &["--router", &world.router]].concat())
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}{}", ran.out, ran.err))
}

#[test]
fn what_is_there_on_request_is_watched_judged_and_told() {
    let world = World::up();
    let clip = clips::recipe("synthetic").seconds(4.0).size(640, 360).make();
    let id = world.json(&["ingest", clip.to_str().unwrap()])[0]["id"].as_str().unwrap().to_owned();
    let gates =
        ["--gate", "watch.stalls <= 0", "--gate", "watch.failed <= 0", "--gate", "watch.startup_p95_ms <= 5000"];
    let ran = watch(&world, &[&[&id, "--for", "6s", "--clmc", "watched", "--json"], &gates[..]].concat());
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);
    let told = json(&ran);
    assert!(told["played_ms"].as_u64() >= Some(4000) && told["requests"].as_u64() > Some(4), "{told:#}");
    // It is not live: how far behind it is nobody can say, and a gate on that is not kept.
    let ran = watch(&world, &[&id, "--for", "3s", "--gate", "watch.delay_p95_ms <= 100000"]);
    assert!(ran.status == 3 && ran.err.contains("PROGRAM-DATE-TIME"), "{}{}", ran.out, ran.err);
    let ran = watch(&world, &[&id, "--for", "3s", "--gate", "watch.requests <= 1"]);
    assert_eq!(ran.status, 1, "{}{}", ran.out, ran.err);
    assert_eq!(watch(&world, &[&id, "--gate", "vmaf.p5 >= 1"]).status, 2);
    let asked = ["clmc", "query", "SELECT sum(requests), max(viewers) FROM watch", "--db", "watched"];
    let rows = world.json(&asked)["results"][0]["series"][0]["values"][0].clone();
    assert!(rows[1].as_f64().unwrap() > 0.0 && rows[2].as_f64() == Some(1.0), "{rows}");
}

#[tokio::test]
async fn a_channel_is_watched_near_its_end_and_the_delay_is_measured() {
    let live = Live::up();
    let channel = live.channel("watch");
    let _encoder = live.publish(&channel.key);
    live.plays(&channel).await;
    let ran = watch(
        &live.world,
        &[&channel.id, "--for", "8s", "--clmc", "live", "--json", "--gate", "watch.delay_p95_ms <= 8000"],
    );
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);
    let told = json(&ran);
    // Parts, not whole segments: many requests, and a delay of a few parts.
    assert!(told["requests"].as_u64() > Some(30) && told["failed"] == 0, "{told:#}");
    assert!(told["played_ms"].as_u64() >= Some(4000), "{told:#}");
    let delay = told["delay_ms"]["p50"].as_f64().expect("it was measured");
    assert!((100.0..6000.0).contains(&delay), "{told:#}");
    let asked = ["clmc", "query", "SELECT max(live_delay) FROM watch", "--db", "live"];
    let rows = live.world.json(&asked)["results"][0]["series"][0]["values"][0].clone();
    assert!(rows[1].as_f64().unwrap() > 0.05, "{rows}");
}

/// A plain live playlist of one-second segments whose server stands still from a moment on.
#[test]
fn a_channel_that_stands_still_is_a_stall() {
    let stands = Arc::new(AtomicBool::new(false));
    let began = Arc::new(Mutex::new(None::<std::time::Instant>));
    let (still, origin_began) = (Arc::clone(&stands), Arc::clone(&began));
    let origin = Origin::of(move |path| {
        if path.contains(".ts") {
            return Some(vec![0x47; 188]);
        }
        let since = *origin_began.lock().unwrap().get_or_insert_with(std::time::Instant::now);
        let now_s = since.elapsed().as_secs_f64();
        if now_s > 4.0 {
            still.store(true, Ordering::SeqCst);
        }
        let first = now_s.min(4.0) as u64;
        let list: String = (first..first + 5).map(|number| format!("#EXTINF:1.0,\n{number}.ts\n")).collect();
        Some(
            format!("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{first}\n{list}")
                .into_bytes(),
        )
    });
    let url = origin.url("index.m3u8");
    let ran = flame(&["quality", "watch", &url, "--for", "12s", "--json", "--gate", "watch.stalls <= 0"]);
    let told = json(&ran);
    assert!(stands.load(Ordering::SeqCst), "it was followed until then");
    assert!(ran.status == 1 && told["stalls"].as_u64() >= Some(1), "{told:#}{}", ran.err);
    let played = Duration::from_millis(told["played_ms"].as_u64().unwrap());
    assert!(played >= Duration::from_secs(3) && played <= Duration::from_secs(9), "{told:#}");
}
