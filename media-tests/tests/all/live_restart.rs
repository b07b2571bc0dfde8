//! The origin of a live channel is killed and started again, while an encoder publishes and hls.js, which nobody here wrote, watches on a
//! page of another origin: it goes on by itself, and what it had been told of is what it was. Each part is a process of its own.

use std::time::{Duration, Instant};

use flame_media_tests::players::browser::{self, Player, Viewing};
use flame_test_kit::{eventually, ports};
use serde_json::Value;

use crate::live::publish;
use crate::parts::Apart;

/// Time in which what must happen has happened, on a machine that does other things, too.
const DEADLINE: Duration = Duration::from_secs(90);
/// Segments of two seconds that there are before anybody watches.
const BEFORE: u64 = 4;
/// Segments that come before the origin is killed, from when the browser is started.
const SEEN: u64 = 5;
/// Seconds that are watched.
const WATCHED_S: u32 = 60;
/// More seconds than a player has ahead of what it shows of a channel whose parts it takes as they come: what it plays beyond came
/// afterwards.
const AHEAD_S: f64 = 8.0;

/// What a track lists of whole segments, the newest last.
async fn listed(playlist: &str) -> Result<Vec<u64>, String> {
    let answer = reqwest::get(playlist).await.map_err(|error| error.to_string())?;
    let (status, text) = (answer.status(), answer.text().await.map_err(|error| error.to_string())?);
    if status != 200 {
        return Err(format!("{status} {text}"));
    }
    let names = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.strip_suffix(".m4s"));
    names.map(|name| name.parse().map_err(|_| format!("`{name}` is no number"))).collect()
}

/// Waits until it lists this segment, and says which one is the newest.
async fn until(apart: &Apart, playlist: &str, wanted: u64) -> u64 {
    eventually(DEADLINE, || async {
        let newest = listed(playlist).await?.last().copied();
        match newest.filter(|newest| *newest >= wanted) {
            Some(newest) => Ok(newest),
            None => Err(format!("{newest:?} of {wanted}\n{}", apart.logs())),
        }
    })
    .await
}

/// A segment beside the playlist.
async fn octets(apart: &Apart, playlist: &str, number: u64) -> Vec<u8> {
    let url = playlist.replace("index.m3u8", &format!("{number}.m4s"));
    eventually(DEADLINE, || async {
        let answer = reqwest::get(&url).await.map_err(|error| error.to_string())?;
        let (status, octets) = (answer.status(), answer.bytes().await.map_err(|error| error.to_string())?);
        if status == 200 { Ok(octets.to_vec()) } else { Err(format!("{status} of {number}\n{}", apart.logs())) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn hls_js_goes_on_by_itself_when_the_origin_is_killed_and_comes_back() {
    let mut apart = Apart::new();
    let [rtmp] = ports::free_tcp();
    apart.set("ingest", "FLAME_INGEST__RTMP__LISTEN", &format!("127.0.0.1:{rtmp}"));
    for part in ["router", "metadata", "ingest"] {
        apart.start(part);
    }
    apart.stands("ingest").await;
    apart.start("streaming");
    let created: Value = eventually(DEADLINE, || async {
        let made = apart.flame(&["channel", "create", "Restarted", "--json"]);
        serde_json::from_slice(&made.stdout).map_err(|_| format!("{}", String::from_utf8_lossy(&made.stderr)))
    })
    .await;
    let text = |name: &str| created[name].as_str().unwrap_or_else(|| panic!("no {name} in {created}")).to_owned();
    let (id, key, version) = (text("id"), text("key"), text("version"));
    let _encoder = publish(&format!("rtmp://127.0.0.1:{rtmp}/live/{key}"));
    let url = apart.url(&format!("~streaming/{id}/index.m3u8"));
    let playlist = apart.url(&format!("~streaming/{id}/{version}/v/index.m3u8"));
    let old = until(&apart, &playlist, BEFORE - 1).await;

    let began = Instant::now();
    let restarted = async {
        let told = until(&apart, &playlist, old + SEEN).await;
        let before = octets(&apart, &playlist, old).await;
        let killed_s = began.elapsed().as_secs_f64();
        apart.kill("streaming");
        apart.start("streaming");
        // No number is another segment's by now, and what was there is what it was.
        let newest = until(&apart, &playlist, told).await;
        let back_s = began.elapsed().as_secs_f64();
        assert!(octets(&apart, &playlist, old).await == before, "{old} has other octets by now\n{}", apart.logs());
        (killed_s, back_s, newest)
    };
    let viewing = Viewing { for_s: WATCHED_S, patient: true, ..Viewing::default() };
    let (seen, (killed_s, back_s, newest)) = tokio::join!(browser::watch(Player::HlsJs, &url, &viewing), restarted);
    let seen = seen.expect("the browser can be run");
    println!("killed after {killed_s:.1} s, there again after {back_s:.1} s with segment {newest}: {seen:?}");
    assert!(seen.errors.iter().all(|error| !error.fatal), "{seen:?}\n{}", apart.logs());
    assert!(seen.played_s > killed_s + AHEAD_S && seen.sound_bytes > 0, "{killed_s} s: {seen:?}\n{}", apart.logs());
    // hls.js does not play faster by itself to come nearer to the edge: it is as far behind as it was, and what the outage took.
    let latency_max_s = AHEAD_S + back_s - killed_s;
    assert!(seen.latency_s.is_some_and(|latency_s| latency_s < latency_max_s), "{latency_max_s} s: {seen:?}");
}
