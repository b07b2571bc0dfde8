//! The origin of a live channel is killed while an encoder publishes and a viewer watches: the spare that stood beside it has the channel, the door
//! sends there what comes, and the router finds it. Each part is a process of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use flame_test_kit::{eventually, ports};
use serde_json::Value;

use crate::live::publish;
use crate::parts::Apart;

/// Time in which what must happen has happened, on a machine that does other things, too.
const DEADLINE: Duration = Duration::from_secs(90);
/// How long the owner has the channels without a word.
const LEASE_MS: u64 = 4_000;
/// Segments that are watched before and after.
const WATCHED: usize = 3;
/// The newest segments that were told of and may not be stored yet.
const UNSTORED: usize = 2;

/// A viewer of one track that looks at its playlist again and again, and takes each segment that it lists.
struct Viewer {
    http: reqwest::Client,
    playlist: String,
    /// The octets of each segment by its number; `None` where it is a gap.
    segments: BTreeMap<u64, Option<Vec<u8>>>,
    /// Segments in front of which media does not go on.
    discontinuities: BTreeSet<u64>,
    first: u64,
    /// Segments that were media, and are gaps by now.
    lost: BTreeSet<u64>,
    /// What was answered but media, and how often.
    refusals: BTreeMap<String, u32>,
}

impl Viewer {
    fn new(playlist: String) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().expect("it can be made");
        let (segments, refusals) = (BTreeMap::new(), BTreeMap::new());
        Self { http, playlist, segments, discontinuities: BTreeSet::new(), first: 0, lost: BTreeSet::new(), refusals }
    }

    async fn get(&mut self, url: &str) -> Option<Vec<u8>> {
        let answer = match self.http.get(url).send().await {
            Ok(answer) if answer.status() == 200 => {
                answer.bytes().await.map(|octets| octets.to_vec()).map_err(|_| "broke off".to_owned())
            }
            Ok(answer) => Err(answer.status().to_string()),
            Err(_) => Err("no answer".to_owned()),
        };
        match answer {
            Ok(octets) => Some(octets),
            Err(why) => {
                *self.refusals.entry(why).or_default() += 1;
                None
            }
        }
    }

    /// Looks once; `false` where there was nothing to see.
    async fn look(&mut self) -> bool {
        let playlist = self.playlist.clone();
        let Some(text) = self.get(&playlist).await else { return false };
        let text = String::from_utf8(text).expect("playlists are text");
        let (mut is_gap, mut breaks) = (false, false);
        let mut next = None;
        for line in text.lines() {
            if let Some(number) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
                let number: u64 = number.parse().expect("it is a number");
                assert!(number >= self.first, "the window goes back: {text}");
                (self.first, next) = (number, Some(number));
            }
            is_gap |= line == "#EXT-X-GAP";
            breaks |= line == "#EXT-X-DISCONTINUITY";
            let Some(name) = line.strip_suffix(".m4s").filter(|name| !name.starts_with('#')) else { continue };
            let number: u64 = name.parse().expect("segments have numbers");
            assert_eq!(Some(number), next, "{text}");
            next = Some(number + 1);
            if std::mem::take(&mut breaks) {
                self.discontinuities.insert(number);
            }
            let (was_gap, before) = (std::mem::take(&mut is_gap), self.segments.get(&number).map(Option::is_none));
            match before {
                Some(false) if was_gap => drop(self.lost.insert(number)),
                Some(known) => assert_eq!(known, was_gap, "{number} is something else by now: {text}"),
                None if was_gap => drop(self.segments.insert(number, None)),
                None => {
                    let url = playlist.replace("index.m3u8", &format!("{number}.m4s"));
                    let Some(octets) = self.get(&url).await else { return false };
                    self.segments.insert(number, Some(octets));
                }
            }
        }
        true
    }

    /// Looks until `is_enough`.
    async fn until(&mut self, apart: &Apart, is_enough: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !is_enough(self) {
            assert!(began.elapsed() < DEADLINE, "{:?} {:?}\n{}", self.segments.keys(), self.refusals, apart.logs());
            self.look().await;
            tokio::task::yield_now().await;
        }
    }

    fn media(&self) -> usize {
        self.segments.values().flatten().count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_origin_is_followed_by_its_spare_and_viewers_go_on() {
    let mut apart = Apart::new();
    let [rtmp] = ports::free_tcp();
    apart.set("ingest", "FLAME_INGEST__RTMP__LISTEN", &format!("127.0.0.1:{rtmp}"));
    apart.set("streaming", "FLAME_STREAMING__LIVE__LEASE", &format!("{LEASE_MS}ms"));
    for part in ["router", "metadata", "ingest"] {
        apart.start(part);
    }
    apart.stands("ingest").await;
    apart.start("streaming");
    let created: Value = eventually(DEADLINE, || async {
        let made = apart.flame(&["channel", "create", "Spare", "--json"]);
        serde_json::from_slice(&made.stdout).map_err(|_| format!("{}", String::from_utf8_lossy(&made.stderr)))
    })
    .await;
    let (id, key) = (created["id"].as_str().expect("it has one"), created["key"].as_str().expect("it is new"));
    let version = created["version"].as_str().expect("it has one");
    apart.start_as("streaming", "spare");
    eventually(DEADLINE, || async {
        let listed = apart.json(&["endpoint", "list"]);
        let is_streaming = |one: &&Value| one.to_string().contains("streaming");
        let there = listed["items"].as_array().map_or(0, |all| all.iter().filter(is_streaming).count());
        if there == 2 { Ok(()) } else { Err(format!("{listed}\n{}", apart.logs())) }
    })
    .await;
    let _encoder = publish(&format!("rtmp://127.0.0.1:{rtmp}/live/{key}"));
    let mut viewer = Viewer::new(apart.url(&format!("~streaming/{id}/{version}/v/index.m3u8")));
    viewer.until(&apart, |viewer| viewer.media() >= WATCHED).await;
    assert!(viewer.discontinuities.is_empty(), "{:?}", viewer.discontinuities);
    let (before, refused_before) = (viewer.segments.clone(), std::mem::take(&mut viewer.refusals));

    let killed = Instant::now();
    apart.kill("streaming");
    while !viewer.look().await {
        assert!(killed.elapsed() < DEADLINE, "{:?}\n{}", viewer.refusals, apart.logs());
    }
    let answered_ms = killed.elapsed().as_millis();
    let seen = viewer.media();
    viewer.until(&apart, |viewer| viewer.media() > seen).await;
    let went_on_ms = killed.elapsed().as_millis();
    viewer.until(&apart, |viewer| viewer.media() >= seen + WATCHED).await;
    println!(
        "origin killed with a lease of {LEASE_MS} ms: the playlist was there again after {answered_ms} ms, the next segment after {went_on_ms} ms; \
         refused meanwhile: {:?} (before: {refused_before:?}); gaps: {}",
        viewer.refusals,
        viewer.segments.values().filter(|segment| segment.is_none()).count(),
    );
    // What was seen before is what it was, one discontinuity is where the owner changed, and each number is there once.
    let numbers: Vec<u64> = viewer.segments.keys().copied().collect();
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
    assert_eq!(viewer.discontinuities.len(), 1, "{:?}", viewer.discontinuities);
    // What was told of and not yet stored when its owner died is a gap: the newest only, never what was seen a segment before.
    let newest = before.keys().rev().take(UNSTORED);
    assert!(viewer.lost.is_subset(&newest.copied().collect()), "{:?} of {:?}", viewer.lost, before.keys());
    for (number, octets) in before.into_iter().filter(|(number, _)| !viewer.lost.contains(number)) {
        let url = apart.url(&format!("~streaming/{id}/{version}/v/{number}.m4s"));
        let answer = reqwest::get(&url).await.expect("it answers").bytes().await.expect("it is whole");
        assert!(octets.is_some_and(|octets| octets == answer), "{number} has other octets by now");
    }
    // All of it is the recording, whoever took it.
    let ended = apart.json(&["channel", "end", id]);
    assert_eq!(ended["state"], "ended", "{ended}");
    eventually(DEADLINE, || async {
        let text = reqwest::get(&viewer.playlist).await.map_err(|error| error.to_string())?;
        let text = text.text().await.map_err(|error| error.to_string())?;
        let is_whole = numbers.iter().all(|number| text.contains(&format!("\n{number}.m4s\n")));
        if text.ends_with("#EXT-X-ENDLIST\n") && is_whole { Ok(()) } else { Err(text) }
    })
    .await;
}
