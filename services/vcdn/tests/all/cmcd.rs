//! What players tell of themselves is taken in, added up, and goes no further; what this hop tells them comes with every answer.

use flame_api::vcdn::{Stats, Viewing};
use flame_test_kit::eventually;
use flame_vcdn::config::FrontConfig;
use tokio::sync::watch;

use crate::origin::Reply;
use crate::world::{PATIENCE, World, cache_status};

async fn viewing(world: &World, asset: &str) -> Option<Viewing> {
    let stats = world.stats().await;
    stats.assets.into_iter().find(|figures| figures.asset == asset)?.viewing
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_that_another_library_wrote_are_counted_and_stay_here() {
    let world = World::start().await;
    world.origin.put("/film/1.m4s", Reply::new("media"));
    let root = flame_test_kit::repository();
    let judges = root.join("media-tests/judges");
    assert!(std::process::Command::new(judges.join("set-up")).status().unwrap().success());
    let player = tokio::process::Command::new(root.join("tools/node"))
        .args(["node", "--no-warnings"])
        .arg(judges.join("cmcd.mjs"))
        .arg(format!("http://{}", world.edge()))
        .output()
        .await
        .unwrap();
    assert!(player.status.success(), "{}", String::from_utf8_lossy(&player.stderr));
    let expected = Viewing {
        reports: 6,
        damaged: 0,
        sessions: 3,
        // The first one says so; the third waits for media.
        starved_sessions: 2,
        starvations: 2,
        rebuffering: 1,
        errors: 1,
        throughput_kbps: Some((2 * 5000 + 4 * 7000) / 6),
        bitrate_kbps: Some((2 * 3200 + 4 * 4800) / 6),
        buffer_ms: Some((2 * 2100 + 4 * 4100) / 6),
        start_delay_ms: Some(350),
    };
    assert_eq!(viewing(&world, "film").await, Some(expected));
    let asked = world.origin.asked("/film/1.m4s");
    assert_eq!((asked.len(), asked[0].target.as_str()), (1, "/film/1.m4s"), "players that say other things share");
    assert!(world.origin.asked("/collector").is_empty());
}

#[tokio::test]
async fn nothing_of_a_player_goes_upstream_with_requests_that_are_passed_on() {
    let world = World::start().await;
    world.origin.put("/film/1?x=1", Reply::new("x"));
    let fields = [("authorization", "Bearer x"), ("cmcd-session", "sid=\"abc\""), ("cmcd-status", "bs")];
    assert_eq!(world.get_with("/film/1?x=1&CMCD=bl%3D1", &fields).await.status(), 200);
    let asked = world.origin.asked("/film/1").remove(0);
    assert_eq!(asked.target, "/film/1?x=1");
    assert!(!asked.headers.keys().any(|name| name.as_str().starts_with("cmcd")), "{asked:?}");
    assert_eq!(world.get("/film/1?x=1&CMCD=%3D%3D").await.status(), 200, "a damaged report costs itself");
    let viewing = viewing(&world, "film").await.unwrap();
    assert_eq!((viewing.reports, viewing.damaged), (1, 1));
}

#[tokio::test]
async fn batches_of_events_are_bounded_and_anything_else_is_not_taken() {
    let world = World::with(|config| config.cache.assets_counted = 3).await;
    let post = |kind: &'static str, body: String| {
        world.http.post(world.url("/any")).header("content-type", kind).body(body).send()
    };
    // An asset has figures of its own once something of it was asked for; what nobody watches here has none.
    world.origin.put("/film/1", Reply::new("x"));
    world.get("/film/1").await;
    let batch = post("application/cmcd", "e=t,cid=\"film\",ts=1\nnonsense(\n".to_owned()).await.unwrap();
    assert_eq!(
        (batch.status().as_u16(), &batch.headers()["access-control-allow-origin"]),
        (204, &"*".parse().unwrap())
    );
    assert_eq!(viewing(&world, "film").await.unwrap().reports, 1);
    assert_eq!(post("application/cmcd", "x".repeat(100_000)).await.unwrap().status(), 413);
    assert_eq!(post("text/plain", "e=t".to_owned()).await.unwrap().status(), 405);
    // What was never asked for shares one place, whatever it is called.
    let many: String = (0..50).map(|number| format!("e=t,cid=\"c{number}\",ts=1\n")).collect();
    assert_eq!(post("application/cmcd", many).await.unwrap().status(), 204);
    let others = viewing(&world, "(others)").await.unwrap();
    assert_eq!(others.reports, 50);
    assert_eq!(world.stats().await.assets.len(), 2);
}

/// Whoever makes sessions up weighs what one household weighs; those whom a router tells apart weigh each for themselves.
#[tokio::test]
async fn one_address_speaks_for_a_few_sessions_however_many_it_makes_up() {
    let world = World::start().await;
    let events = |from: u32, sessions: std::ops::Range<u32>| {
        let lines: String =
            sessions.map(|number| format!("bs,cid=\"film\",e=ps,sid=\"{from}-{number}\",sta=r,ts=1\n")).collect();
        let post = world.http.post(world.url("/any")).header("content-type", "application/cmcd");
        post.header("x-forwarded-for", format!("203.0.113.{from}")).body(lines).send()
    };
    for _ in 0..3 {
        assert_eq!(events(1, 0..60).await.unwrap().status(), 204);
    }
    let flooded = world.stats().await.voices;
    // A window may have ended between two of them, or in one.
    assert!((4..=16).contains(&flooded.sessions) && flooded.complaining == flooded.sessions, "{flooded:?}");
    for viewer in 2..22 {
        assert_eq!(events(viewer, 0..1).await.unwrap().status(), 204);
    }
    assert_eq!(world.stats().await.voices.sessions, flooded.sessions + 20);
    // What is counted for people is all that was reported.
    assert_eq!(viewing(&world, "(others)").await.unwrap().reports, 3 * 60 + 20);
}

#[tokio::test]
async fn each_hop_says_what_it_took_and_the_origin_s_static_word_passes() {
    let world = World::start().await;
    let reply = Reply::new("x").with("cmsd-static", "ot=v,br=3200").with("cmsd-dynamic", "\"origin\";rd=7");
    world.origin.put("/film/1", reply.clone());
    world.origin.put("/own/1", reply.with("cache-control", "private"));
    let said = |answer: &reqwest::Response, name: &str| {
        let lines: Vec<_> =
            answer.headers().get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect();
        lines.join(", ")
    };
    let id = world.stats().await.surrogate;
    for _ in 0..2 {
        let answer = world.get("/film/1").await;
        assert_eq!(said(&answer, "cmsd-static"), "ot=v,br=3200");
        let dynamic = said(&answer, "cmsd-dynamic");
        let ours = dynamic.strip_prefix(&format!("\"{id}\";rd=")).unwrap_or_else(|| panic!("{dynamic}"));
        let delay_ms: u64 = ours.parse().unwrap();
        let is_hit = cache_status(&answer).starts_with("hit");
        assert!(!is_hit || delay_ms == 0, "{dynamic}");
        let exposed = said(&answer, "access-control-expose-headers");
        assert!(["cache-status", "cmsd-static", "cmsd-dynamic"].iter().all(|name| exposed.contains(name)), "{exposed}");
        world.settled().await;
    }
    // A delivery that is nobody else's has both hops in their order.
    let passed = said(&world.get("/own/1").await, "cmsd-dynamic");
    assert!(passed.starts_with("\"origin\";rd=7, \"") && passed.contains(&id), "{passed}");
}

/// Of two surrogates in a row each adds its own word to `Cache-Status` and `CMSD-Dynamic`, the one that the viewer asks last.
#[tokio::test(flavor = "multi_thread")]
async fn two_surrogates_in_a_row_each_say_their_own_and_the_nearest_comes_last() {
    let world = World::start().await;
    let mut config = world.config.clone();
    config.fronts = vec![FrontConfig::new("outer", "cdn")];
    let outer = flame_vcdn::start(config).await.unwrap();
    let url = |path: &str| format!("http://{}{path}", outer.fronts()["outer.main"]);
    let stats: Stats =
        world.http.get(format!("http://{}/stats", outer.address())).send().await.unwrap().json().await.unwrap();
    let (near, far) = (stats.surrogate, world.stats().await.surrogate);
    let reply = Reply::new("x").with("cmsd-static", "ot=v").with("cmsd-dynamic", "\"origin\";rd=7");
    ["/film/1", "/film/2"].iter().for_each(|path| world.origin.put(path, reply.clone()));
    world.origin.put("/own/1", reply.with("cache-control", "private"));
    let said = |answer: &reqwest::Response, name: &str| -> Vec<String> {
        let lines = answer.headers().get_all(name).iter().map(|value| value.to_str().unwrap());
        lines.flat_map(|line| line.split(", ")).map(str::to_owned).collect()
    };
    // What the far one and the near one say of a request at the near one.
    let ways = async |path: &str| {
        let answer = world.http.get(url(path)).send().await.unwrap();
        assert_eq!(said(&answer, "cmsd-static"), ["ot=v"], "{path}");
        let (ways, delays) = (said(&answer, "cache-status"), said(&answer, "cmsd-dynamic"));
        assert_eq!(answer.text().await.unwrap(), "x");
        let [first, last] = <[String; 2]>::try_from(ways).unwrap_or_else(|ways| panic!("{path}: {ways:?}"));
        let first = first.strip_prefix(&format!("{far}; ")).unwrap_or_else(|| panic!("{path}: {first}")).to_owned();
        let last = last.strip_prefix(&format!("{near}; ")).unwrap_or_else(|| panic!("{path}: {last}")).to_owned();
        (first, last, delays)
    };
    let of_near = format!("\"{near}\";rd=");
    // A miss at both, and then a hit at the near one, which passes on what the far one has said of its fetch.
    let (first, last, delays) = ways("/film/1").await;
    assert!(first.starts_with("fwd=uri-miss") && last.starts_with("fwd=uri-miss"), "{first}, {last}");
    assert!(delays.len() == 1 && delays[0].starts_with(&of_near), "{delays:?}");
    eventually(PATIENCE, || async {
        let (first, last, delays) = ways("/film/1").await;
        assert!(first.starts_with("fwd=uri-miss") && delays.len() == 1, "{first}, {delays:?}");
        if last.starts_with("hit") && delays[0] == format!("{of_near}0") { Ok(()) } else { Err(last) }
    })
    .await;
    // What only the far one has.
    assert_eq!(world.get("/film/2").await.text().await.unwrap(), "x");
    world.settled().await;
    let (first, last, _) = ways("/film/2").await;
    assert!(first.starts_with("hit") && last.starts_with("fwd=uri-miss"), "{first}, {last}");
    // A delivery that is nobody else's: all three in their order.
    let (first, last, delays) = ways("/own/1").await;
    assert!(first.starts_with("fwd=") && last.starts_with("fwd="), "{first}, {last}");
    let [origin, of_far, nearest] = <[String; 3]>::try_from(delays).unwrap_or_else(|all| panic!("{all:?}"));
    assert_eq!(origin, "\"origin\";rd=7");
    assert!(of_far.starts_with(&format!("\"{far}\";rd=")) && nearest.starts_with(&of_near), "{of_far}, {nearest}");
    outer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_more_can_be_fetched_that_is_said_and_what_is_kept_is_served() {
    let world = World::with(|config| config.cache.fills = 2).await;
    let gate = watch::Sender::new(false);
    world.origin.put("/film/kept", Reply::new("kept"));
    world.origin.put("/film/cold", Reply::new("cold"));
    let duress = async || {
        let answer = world.get("/film/kept").await;
        let dynamic = answer.headers()["cmsd-dynamic"].to_str().unwrap().to_owned();
        assert_eq!(answer.text().await.unwrap(), "kept");
        dynamic.ends_with(";du")
    };
    duress().await;
    world.settled().await;
    assert!(!duress().await);
    let mut open = Vec::new();
    for path in ["/film/1", "/film/2"] {
        world.origin.put(path, Reply::new(vec![1; 100_000]).gated(Some(1000), &gate));
        open.push(world.get(path).await);
    }
    let refused = world.get("/film/cold").await;
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap()), (503, "1"));
    assert!(duress().await);
    gate.send_replace(true);
    for answer in open {
        assert_eq!(answer.bytes().await.unwrap().len(), 100_000);
    }
    world.settled().await;
    assert!(!duress().await);
    assert_eq!(world.get("/film/cold").await.text().await.unwrap(), "cold");
}
