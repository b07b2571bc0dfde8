//! Bodies that break off: resumed where it is safe, else broken off here too, and never kept.

use std::time::Duration;

use flame_test_kit::eventually;
use tokio::sync::watch;

use crate::origin::Reply;
use crate::world::{PATIENCE, World, bytes, cache_status};

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_is_resumed_at_its_place() {
    let world = World::start().await;
    let body = bytes(1 << 20);
    world.origin.put("/a/1", Reply::new(body.clone()).broken_at(400_000, 0..1));
    assert_eq!(world.get("/a/1").await.bytes().await.unwrap(), body);
    let asked = world.origin.asked("/a/1");
    assert_eq!(asked.len(), 2);
    assert!(asked[1].headers.contains_key("if-range"));
    let range = asked[1].headers["range"].to_str().unwrap();
    assert!(range.starts_with("bytes=") && range != "bytes=0-", "{range}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_falls_silent_in_the_middle_is_asked_for_the_rest_or_the_body_breaks() {
    for is_resumable in [true, false] {
        let world = World::with(|config| config.upstream.body_idle_timeout.0 = Duration::from_millis(300)).await;
        let body = bytes(1 << 20);
        let reply = Reply::new(body.clone());
        let reply = if is_resumable { reply } else { reply.with("etag", "W/\"weak\"") };
        let gate = watch::Sender::new(false);
        world.origin.put("/a/1", reply.clone().gated(Some(400_000), &gate));
        // A viewer who begins is not left hanging: within the patience of the surrogate it goes on, or ends visibly.
        let silent = async {
            let answer = world.get("/a/1").await;
            assert_eq!(answer.status(), 200);
            answer.bytes().await
        };
        let put = async {
            eventually(PATIENCE, || async {
                let asked = world.origin.asked("/a/1").len();
                if asked > 0 { Ok(()) } else { Err("nobody has asked") }
            })
            .await;
            // Whoever asks from now on is answered at once; the first answer stays silent.
            world.origin.put("/a/1", reply.clone());
        };
        let (got, ()) = tokio::join!(async { tokio::time::timeout(PATIENCE, silent).await.expect("it ends") }, put);
        world.settled().await;
        if is_resumable {
            assert!(got.unwrap() == body, "the bytes of both answers in a row");
            assert!(cache_status(&world.get("/a/1").await).starts_with("hit"));
        } else {
            assert!(got.is_err(), "it looked whole");
            let anew = world.get("/a/1").await;
            assert!(!cache_status(&anew).starts_with("hit"), "{}", cache_status(&anew));
            assert!(anew.bytes().await.unwrap() == body);
        }
        gate.send_replace(true);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_cannot_be_resumed_never_looks_whole_and_is_not_kept() {
    for reply in [
        Reply::new(bytes(1 << 20)).with("etag", ""),
        Reply::new(bytes(1 << 20)).with("etag", "W/\"weak\""),
        Reply::new(bytes(1 << 20)).without_ranges(),
        Reply::new(bytes(1 << 20)).with("etag", "").chunked(),
    ] {
        let world = World::start().await;
        world.origin.put("/a/1", reply.clone().broken_at(400_000, 0..10));
        let broken = world.get("/a/1").await;
        assert_eq!(broken.status(), 200);
        assert!(broken.bytes().await.is_err(), "it looked whole");
        world.settled().await;
        world.origin.put("/a/1", reply);
        let whole = world.get("/a/1").await;
        assert!(!cache_status(&whole).starts_with("hit"), "{}", cache_status(&whole));
        assert_eq!(whole.bytes().await.unwrap(), bytes(1 << 20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_before_the_break_serves_ranges_and_the_next_try_goes_on_from_there() {
    let world = World::with(|config| config.upstream.resumes = 0).await;
    let body = bytes(1 << 20);
    // Nobody on the way can resume it, until it is as it should be again.
    world.origin.put("/a/1", Reply::new(body.clone()).broken_at(400_000, 0..10).without_ranges());
    assert!(world.get("/a/1").await.bytes().await.is_err());
    world.settled().await;
    let before = world.origin.asked("/a/1").len();
    world.origin.put("/a/1", Reply::new(body.clone()));
    let part = world.get_with("/a/1", &[("range", "bytes=100-199")]).await;
    assert_eq!(cache_status(&part), "hit; detail=partial");
    assert_eq!(part.bytes().await.unwrap(), body[100..200]);
    assert_eq!(world.origin.asked("/a/1").len(), before);
    assert_eq!(world.get("/a/1").await.bytes().await.unwrap(), body);
    let asked = world.origin.asked("/a/1");
    assert_eq!(asked.len(), before + 1);
    assert!(asked[before].headers.contains_key("range"), "the beginning was fetched twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_body_of_other_bytes_is_never_mixed() {
    let world = World::with(|config| config.upstream.resumes = 0).await;
    world.origin.put("/a/1", Reply::new(bytes(1 << 20)).broken_at(400_000, 0..10).without_ranges());
    assert!(world.get("/a/1").await.bytes().await.is_err());
    world.settled().await;
    let other = vec![7; 1 << 20];
    world.origin.put("/a/1", Reply::new(other.clone()).with("etag", "\"other\""));
    assert_eq!(world.get("/a/1").await.bytes().await.unwrap(), other);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beginning_whose_rest_is_not_to_be_had_stands_in_nobodys_way() {
    let (shorter, longer) = (bytes(200_000), vec![7; 2 << 20]);
    for (what, there_now, body) in [
        ("other bytes", Reply::new(longer.clone()).with("etag", "\"other\""), &longer),
        ("bytes of which nothing says which they are", Reply::new(longer.clone()).with("etag", ""), &longer),
        ("a shorter body", Reply::new(shorter.clone()).with("etag", "\"short\""), &shorter),
        ("a part without ETag", Reply::new(bytes(1 << 20)).part_with("etag", ""), &bytes(1 << 20)),
        ("a part that is private", Reply::new(bytes(1 << 20)).part_with("cache-control", "private"), &bytes(1 << 20)),
    ] {
        let world = World::with(|config| config.upstream.resumes = 0).await;
        world.origin.put("/a/1", Reply::new(bytes(1 << 20)).broken_at(400_000, 0..10).without_ranges());
        assert!(world.get("/a/1").await.bytes().await.is_err());
        world.settled().await;
        let before = world.origin.asked("/a/1").len();
        world.origin.put("/a/1", there_now.without_if_range());
        let whole = world.get("/a/1").await;
        assert_eq!(whole.status(), 200, "{what}");
        assert!(whole.bytes().await.unwrap() == *body, "{what}");
        world.settled().await;
        let asked = world.origin.asked("/a/1");
        assert_eq!(asked.len(), before + 2, "{what}: once for the rest, once for the whole");
        assert!(asked[before].headers.contains_key("range") && !asked[before + 1].headers.contains_key("range"));
        assert!(cache_status(&world.get("/a/1").await).starts_with("hit"), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beginning_serves_as_what_is_kept_does_while_it_is_fresh_and_not_to_who_wants_it_anew() {
    let world = World::with(|config| config.upstream.resumes = 0).await;
    let broken = Reply::new(bytes(1 << 20)).broken_at(400_000, 0..10).without_ranges();
    world.origin.put("/stale", broken.clone().with("cache-control", "no-cache"));
    world.origin.put("/fresh", broken);
    for path in ["/stale", "/fresh"] {
        assert!(world.get(path).await.bytes().await.is_err());
    }
    world.settled().await;
    let other = vec![7; 1 << 20];
    for path in ["/stale", "/fresh"] {
        world.origin.put(path, Reply::new(other.clone()).with("etag", "\"other\""));
    }
    let range = ("range", "bytes=100-199");
    let kept = world.get_with("/fresh", &[range]).await;
    assert_eq!(cache_status(&kept), "hit; detail=partial");
    for (path, fields) in [("/stale", &[range][..]), ("/fresh", &[range, ("cache-control", "no-cache")])] {
        let part = world.get_with(path, fields).await;
        assert!(cache_status(&part).starts_with("fwd"), "{path}: {}", cache_status(&part));
        assert_eq!(part.bytes().await.unwrap(), other[100..200], "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_is_away_is_said_and_not_kept() {
    let world = World::start().await;
    world.origin.put("/a/1", Reply::new("x").status(500));
    assert_eq!(world.get("/a/1").await.status(), 500);
    world.origin.put("/a/1", Reply::new("x"));
    assert_eq!(world.get("/a/1").await.status(), 200);
    let World { origin, router, vcdn, http, config } = world;
    drop(origin);
    // What it was about to answer may still come; each try asks for something else, for that would be kept.
    let mut tries = 2;
    flame_test_kit::eventually(std::time::Duration::from_secs(10), || {
        tries += 1;
        let asked = http.get(format!("http://{}/a/{tries}", vcdn.fronts()["cdn.main"])).send();
        async move {
            let status = asked.await.unwrap().status();
            if status.is_server_error() { Ok(()) } else { Err(status) }
        }
    })
    .await;
    drop((router, config));
}
