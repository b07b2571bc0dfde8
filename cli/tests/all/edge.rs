//! `flame edge stats|purge|warm` against a real bundle: what they print, and with what status they end.

use std::time::{Duration, Instant};

use flame_api::router::LEASE_TTL_MS;
use flame_test_kit::{clips, eventually, repository, wait_for};
use reqwest::Url;

use crate::world::{World, flame};

/// More than it takes to be believed that there is no other surrogate.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn surrogates_are_warmed_looked_at_and_purged() {
    let began = Instant::now();
    let world = World::up();
    // Whoever has only just started cannot know whom it did not tell: for as long as a lease lasts, which a machine that stands still may
    // have let go by.
    let early = [&[] as &[&str], &["--json"]].map(|more| world.flame(&[&["edge", "purge", "/nothing"], more].concat()));
    if began.elapsed().as_millis() < u128::from(LEASE_TTL_MS) {
        let [plain, json] = &early;
        let said = "0 objects dropped, 0 other surrogates told\n";
        assert_eq!((plain.status, plain.out.as_str()), (1, said), "{}", plain.err);
        assert!(plain.err.contains("not known who else there is"), "{}", plain.err);
        assert!(json.status == 1 && json.out.contains(r#""all_known": false"#), "{} {}", json.status, json.out);
    }

    let clip = clips::recipe("synthetic").seconds(4.0).size(320, 240).make();
    let id = world.json(&["ingest", clip.to_str().unwrap(), "--chain", "none"])[0]["id"].as_str().unwrap().to_owned();
    let playlist = format!("/{id}/index.m3u8");
    let warmed = world.json(&["edge", "warm", &playlist]);
    // The playlist, its renditions, and at least a segment of each.
    let objects = warmed["objects"].as_u64().unwrap();
    assert!(
        objects > 3 && warmed["bytes"].as_u64().unwrap() > 10_000 && warmed["failed"] == serde_json::json!([]),
        "{warmed:#}"
    );
    let missing = world.flame(&["edge", "warm", "/no-such-asset/index.m3u8"]);
    assert_eq!((missing.status, missing.out.starts_with("0 objects are there")), (1, true), "{}", missing.out);
    assert!(missing.err.contains("not fetched: /no-such-asset/index.m3u8"), "{}", missing.err);

    let kept = |world: &World| world.json(&["edge", "stats"])["kept"][0]["memory_objects"].as_u64().unwrap();
    assert!(kept(&world) >= objects, "{} of {objects} are kept", kept(&world));
    let table = world.flame(&["edge", "stats"]);
    assert_eq!(table.status, 0);
    assert!(table.out.contains(&id) && table.out.contains("serves cdn.main"), "{}", table.out);

    // The router lists this one for long enough now that others would have told it of themselves.
    let purge = |what: &[&str]| {
        wait_for(PATIENCE, || {
            let ran = world.flame(&[&["edge", "purge"], what].concat());
            if ran.status == 0 { Ok(ran.out) } else { Err(ran.err) }
        })
    };
    assert_eq!(purge(&["/nothing"]), "0 objects dropped, 0 other surrogates told\n");
    assert_eq!(purge(&[&playlist]), "1 objects dropped, 0 other surrogates told\n");
    assert_eq!(purge(&["--tag", "no-such-group"]), "0 objects dropped, 0 other surrogates told\n");
    let before = kept(&world);
    let dropped = purge(&["--prefix", &format!("/{id}/")]);
    let dropped: u64 = dropped.split(' ').next().unwrap().parse().unwrap();
    assert!(dropped >= 3 && dropped <= before && kept(&world) <= before - dropped, "{dropped} of {before}");
    let all = world.json(&["edge", "purge", "--prefix", "/"]);
    assert_eq!((&all["all_known"], &all["unreached"]), (&true.into(), &serde_json::json!([])), "{all:#}");
    assert_eq!(kept(&world), 0);

    // What cannot be meant is no purge.
    for (arguments, status) in [
        (&["edge", "purge"][..], 2),
        (&["edge", "purge", "/a", "--tag", "b"], 2),
        (&["edge", "purge", "no-path"], 2),
        (&["edge", "purge", "/a", "--name", "nobody"], 1),
        (&["edge", "warm"], 2),
    ] {
        let ran = world.flame(arguments);
        assert_eq!(ran.status, status, "{arguments:?}: {}", ran.err);
    }
    let away = flame(&["edge", "stats", "--router", "http://127.0.0.1:9"]);
    assert_eq!(away.status, 3, "{}", away.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_surrogate_that_a_template_started_forgets_what_is_deleted_and_is_looked_at_by_its_name() {
    let world = World::up();
    let clip = clips::recipe("synthetic").seconds(4.0).size(320, 240).make();
    let ids = ["one", "two"].map(|title| {
        let ingested = world.json(&["ingest", clip.to_str().unwrap(), "--chain", "none", "--title", title]);
        ingested[0]["id"].as_str().unwrap().to_owned()
    });
    let template = repository().join("templates/services/vod/template.yaml");
    let _ = world.json(&["template", "deploy", template.to_str().unwrap(), "--wait"]);
    // What never changes, and is kept for a year.
    let segment = async |id: &str| {
        let text = async |url: &Url| -> Result<String, String> {
            let answer = reqwest::get(url.clone()).await.and_then(reqwest::Response::error_for_status);
            answer.map_err(|error| error.to_string())?.text().await.map_err(|error| error.to_string())
        };
        let named = |base: &Url, text: &str| {
            let line = text.lines().find(|line| !line.is_empty() && !line.starts_with('#'));
            line.map(|line| base.join(line).unwrap()).ok_or_else(|| format!("{base} names nothing"))
        };
        eventually(PATIENCE, || async {
            let main: Url = format!("{}/~edge.vod-main/{id}/index.m3u8", world.router).parse().unwrap();
            let media = named(&main, &text(&main).await?)?;
            named(&media, &text(&media).await?)
        })
        .await
    };
    let segments = [segment(&ids[0]).await, segment(&ids[1]).await];
    let way = async |url: &Url| {
        let answer = reqwest::get(url.clone()).await.map_err(|error| error.to_string())?;
        let way = answer.headers().get("cache-status").map(|way| way.to_str().unwrap().to_owned());
        way.ok_or_else(|| format!("{}, without a Cache-Status", answer.status()))
    };
    let is = async |url: &Url, wanted: &str| {
        eventually(PATIENCE, || async {
            let way = way(url).await?;
            if way.contains(wanted) { Ok(()) } else { Err(way) }
        })
        .await;
    };
    for segment in &segments {
        is(segment, "; hit").await;
    }
    let via = ["--via", "vcdn-edge.vod-main"];
    let stats = world.json(&[&["edge", "stats"][..], &via].concat());
    assert_eq!(stats["names"], serde_json::json!(["edge.vod-main"]), "{stats:#}");
    // The catalogue has it told by its group, under whatever name it is served.
    assert_eq!(world.flame(&["asset", "rm", &ids[0]]).status, 0, "{}", world.log());
    is(&segments[0], "fwd=uri-miss").await;
    is(&segments[1], "; hit").await;
    // By hand, from the surrogate of the bundle and from this one.
    for arguments in
        [&["edge", "purge", "--name", "*"][..], &["edge", "purge", "--name", "edge.vod-main", via[0], via[1]]]
    {
        is(&segments[1], "; hit").await;
        let ran = world.flame(&[arguments, &["--prefix", &format!("/{}/", ids[1])]].concat());
        let told = format!("{}{}", ran.out, ran.err);
        assert!(!told.contains("not reached"), "{told}");
        assert!(way(&segments[1]).await.unwrap().contains("fwd=uri-miss"), "{arguments:?}: {told}");
    }
}
