//! What players tell of themselves is taken in, added up, and goes no further; what this hop tells them comes with every answer.

use flame_api::vcdn::Viewing;
use tokio::sync::watch;

use crate::origin::Reply;
use crate::world::{World, cache_status};

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
