//! Templates that are shipped, as their stories go: what is deployed is watched, and does to who watches what it is for.

use std::time::Duration;

use flame_test_kit::{Bundle, Scratch, clips, eventually, repository};
use serde_json::Value;
use url::Url;

/// Time for something that services do together, on a machine that does other things, too.
const PATIENCE: Duration = Duration::from_secs(60);
/// Requests between two looks at what came of them.
const BURST: usize = 40;

fn shipped(path: &str) -> String {
    repository().join("templates/services").join(path).display().to_string()
}

/// Brings a clip in, conditioned by `chain`: its identifier.
fn ingested(bundle: &Bundle, clip: &std::path::Path, chain: &str) -> String {
    let done = bundle.json(&["ingest", clip.to_str().unwrap(), "--chain", chain]);
    done[0]["id"].as_str().unwrap_or_else(|| panic!("no asset: {done:#}")).to_owned()
}

/// The functions of an instance and the states that they are in.
fn states(bundle: &Bundle, sfc: &str, sfci: &str) -> Vec<(String, String)> {
    let status = bundle.json(&["template", "status", sfc, sfci]);
    let endpoints = status[0]["endpoints"].as_array().unwrap_or_else(|| panic!("no endpoints: {status:#}"));
    let text = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
    endpoints.iter().map(|one| (text(one, "function"), text(one, "state"))).collect()
}

/// What a URL answers, and whether a surrogate answered.
async fn read(url: &Url) -> Result<(String, bool), String> {
    let answer = reqwest::get(url.clone()).await.map_err(|error| error.to_string())?;
    let (status, by_surrogate) = (answer.status(), answer.headers().contains_key("cache-status"));
    let text = answer.text().await.map_err(|error| error.to_string())?;
    if status.is_success() { Ok((text, by_surrogate)) } else { Err(format!("{url}: {status}: {text}")) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_event_is_seen_through_its_surrogates_and_a_crowd_brings_the_reserve() {
    let bundle = Bundle::up_with(&["--report-every", "1s"]).await;
    let scratch = Scratch::new("live-event");
    // Fewer are a crowd here, and nobody goes.
    let alerts = std::fs::read_to_string(shipped("live-event/alerts.yaml")).unwrap();
    let fewer = alerts.replace("threshold: 2000", "threshold: 20").replace("threshold: 3000", "threshold: 0");
    assert!(fewer.contains("threshold: 20\n") && fewer.contains("threshold: 0\n"), "{fewer}");
    std::fs::write(scratch.join("alerts.yaml"), fewer).unwrap();
    let (template, alerts) = (shipped("live-event/template.yaml"), scratch.join("alerts.yaml"));
    let _ = bundle.json(&["template", "deploy", &template, "--alerts", alerts.to_str().unwrap(), "--wait"]);
    let state = |function: &str| {
        let all = states(&bundle, "live-event", "stage");
        all.iter().find(|(name, _)| name == function).unwrap_or_else(|| panic!("no {function}: {all:?}")).1.clone()
    };
    assert_eq!([state("first"), state("second"), state("reserve")], ["connected", "connected", "booted"]);

    // What goes on air is seen through them.
    let asset = ingested(&bundle, &clips::path("carphone_pristine"), "ladder");
    let channel = bundle.json(&["channel", "create", "The event", "--loop", &asset]);
    let id = channel["id"].as_str().unwrap_or_else(|| panic!("no channel: {channel:#}")).to_owned();
    let presentation: Url = format!("{}/~event.stage/{id}/index.m3u8", bundle.router()).parse().unwrap();
    let media = eventually(PATIENCE, || async {
        let (text, by_surrogate) = read(&presentation).await?;
        let track = text.lines().find(|line| !line.starts_with('#') && !line.is_empty()).ok_or_else(|| text.clone())?;
        let media = presentation.join(track).map_err(|error| error.to_string())?;
        let (list, _) = read(&media).await?;
        let is_live = list.contains("#EXTINF") && !list.contains("#EXT-X-ENDLIST");
        if is_live && by_surrogate { Ok(media) } else { Err(list) }
    })
    .await;

    // Many come, and the third one joins.
    eventually(PATIENCE, || async {
        for _ in 0..BURST {
            read(&media).await?;
        }
        let reserve = state("reserve");
        if reserve == "connected" { Ok(()) } else { Err(format!("the reserve is {reserve}")) }
    })
    .await;
    let decisions = bundle.json(&["template", "decisions", "live-event", "stage"]).to_string();
    assert!(decisions.contains("audience"), "{decisions}");
    assert!(bundle.flame(&["channel", "end", &id]).status.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_narrow_link_does_is_seen_beside_a_wide_one() {
    let bundle = Bundle::up_with(&["--report-every", "1s"]).await;
    let asset = ingested(&bundle, &clips::recipe("synthetic").seconds(20.0).make(), "none");
    // So little that the first segment takes the link for longer than anybody waits.
    let template = shipped("quality-lab/template.yaml");
    let _ = bundle.json(&["template", "deploy", &template, "--input", "rate=16KiB", "--input", "wait=2s", "--wait"]);
    let presentation = |way: &str| format!("{}/~{way}.lab/{asset}/index.m3u8", bundle.router());
    let wide: Url = presentation("wide").parse().unwrap();
    eventually(PATIENCE, || async {
        let (text, by_surrogate) = read(&wide).await?;
        if by_surrogate { Ok(()) } else { Err(text) }
    })
    .await;
    let watched = |way: &str| {
        let gates = ["--gate", "watch.failed <= 0", "--gate", "watch.requests > 2"];
        let ran = bundle.flame(&[&["quality", "watch", &presentation(way), "--for", "10s"][..], &gates].concat());
        let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        (ran.status.code(), said)
    };
    let (status, said) = watched("wide");
    assert_eq!(status, Some(0), "{said}");
    let (status, said) = watched("narrow");
    assert_eq!(status, Some(1), "who watches by the narrow link notices: {said}");

    // Another number, and it is another link.
    let _ = bundle.json(&["template", "update", &template, "--input", "rate=1GiB", "--wait"]);
    eventually(PATIENCE, || async {
        let (status, said) = watched("narrow");
        if status == Some(0) { Ok(()) } else { Err(said) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_place_sees_its_own_news_at_one_address() {
    let bundle = Bundle::up_with(&["--any-program"]).await;
    let program = format!("program={}", shipped("personalised-local-news/newsroom.py"));
    let template = shipped("personalised-local-news/template.yaml");
    let _ = bundle.json(&["template", "deploy", &template, "--input", &program, "--wait"]);
    // Where one is led from the address of a place, and what is there.
    let client = reqwest::Client::new();
    let seen = async |place: &str| -> Result<(String, String, bool), String> {
        let url = format!("{}/~news.town/{place}/index.m3u8", bundle.router());
        let answer = client.get(url).send().await.map_err(|error| error.to_string())?;
        let (path, by_surrogate) = (answer.url().path().to_owned(), answer.headers().contains_key("cache-status"));
        let text = answer.text().await.map_err(|error| error.to_string())?;
        Ok((path, text, by_surrogate))
    };
    let refused = eventually(PATIENCE, || async {
        let (path, text, _) = seen("harbour").await?;
        if text.contains("no news") { Ok(path) } else { Err(text) }
    })
    .await;
    assert_eq!(refused, "/~news.town/harbour/index.m3u8", "it leads nowhere");

    let of = |place: &str, seconds: f64| {
        let asset = ingested(&bundle, &clips::recipe("synthetic").seconds(seconds).make(), "none");
        let _ = bundle.json(&["asset", "edit", &asset, "--set", &format!("custom.place={place}")]);
        asset
    };
    let (harbour, everywhere) = (of("harbour", 4.0), of("everywhere", 5.0));
    let leads_to = async |place: &str, asset: &str| {
        eventually(PATIENCE, || async {
            let (path, text, by_surrogate) = seen(place).await?;
            let is_there = text.starts_with("#EXTM3U") && by_surrogate;
            if is_there && path == format!("/~edge.town/{asset}/index.m3u8") {
                Ok(())
            } else {
                Err(format!("{path}: {text}"))
            }
        })
        .await;
    };
    leads_to("harbour", &harbour).await;
    leads_to("market", &everywhere).await;
    // What comes later is what is seen.
    let later = of("harbour", 6.0);
    leads_to("harbour", &later).await;
}
