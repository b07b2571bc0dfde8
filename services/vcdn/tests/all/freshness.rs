//! What is fresh, what is asked for again, and what may be used although it is stale.

use flame_test_kit::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::origin::Reply;
use crate::world::{PATIENCE, World, cache_status};

#[tokio::test]
async fn what_is_stale_is_asked_for_with_its_validator() {
    let world = World::start().await;
    world.origin.put("/a/1", Reply::new("one").with("cache-control", "no-cache").with("etag", "\"v1\""));
    assert_eq!(world.get("/a/1").await.text().await.unwrap(), "one");
    world.settled().await;
    let again = world.get("/a/1").await;
    assert_eq!(cache_status(&again), "fwd=stale; fwd-status=304; stored");
    assert_eq!(again.text().await.unwrap(), "one");
    assert_eq!(world.origin.asked("/a/1")[1].headers["if-none-match"], "\"v1\"");
    world.settled().await;
    world.origin.put("/a/1", Reply::new("two").with("cache-control", "no-cache").with("etag", "\"v2\""));
    assert_eq!(world.get("/a/1").await.text().await.unwrap(), "two");
}

#[tokio::test]
async fn a_stale_answer_goes_out_at_once_while_a_new_one_is_fetched() {
    let world = World::start().await;
    let control = "max-age=0, stale-while-revalidate=60";
    world.origin.put("/a/1", Reply::new("one").with("cache-control", control));
    assert_eq!(world.get("/a/1").await.text().await.unwrap(), "one");
    world.settled().await;
    let gate = watch::Sender::new(false);
    let two = Reply::new("two").with("cache-control", control).with("etag", "\"v2\"");
    world.origin.put("/a/1", two.gated(None, &gate));
    // The new one does not come before this one is read.
    let stale = world.get("/a/1").await;
    assert!(cache_status(&stale).starts_with("hit; ttl=-"), "{}", cache_status(&stale));
    assert_eq!(stale.text().await.unwrap(), "one");
    gate.send_replace(true);
    eventually(PATIENCE, || async {
        let text = world.get("/a/1").await.text().await.unwrap();
        if text == "two" { Ok(()) } else { Err(text) }
    })
    .await;
}

#[tokio::test]
async fn a_stale_answer_stands_in_for_a_failing_origin_only_where_it_may() {
    let world = World::start().await;
    world.origin.put("/a/1", Reply::new("one").with("cache-control", "max-age=0, stale-if-error=60"));
    world.origin.put("/a/2", Reply::new("two").with("cache-control", "max-age=0, must-revalidate, stale-if-error=60"));
    for path in ["/a/1", "/a/2"] {
        assert_eq!(world.get(path).await.status(), 200);
        world.settled().await;
        world.origin.put(path, Reply::new("away").status(503));
    }
    let stale = world.get("/a/1").await;
    assert_eq!(cache_status(&stale), "fwd=stale; detail=stale-if-error");
    assert_eq!(stale.text().await.unwrap(), "one");
    assert_eq!(world.get("/a/2").await.status(), 503);
}

#[tokio::test]
async fn nothing_is_kept_that_must_not_be() {
    let world = World::start().await;
    for (path, name, value) in [
        ("/no-store", "cache-control", "no-store"),
        ("/private", "cache-control", "private, max-age=60"),
        ("/cookie", "set-cookie", "session=1"),
        ("/vary", "vary", "*"),
        ("/targeted", "cdn-cache-control", "no-store"),
    ] {
        world.origin.put(path, Reply::new(path).with(name, value));
        for _ in 0..3 {
            assert_eq!(world.get(path).await.text().await.unwrap(), path);
        }
        assert_eq!(world.origin.asked(path).len(), 3, "{path}");
    }
    let cookie = world.get("/cookie").await;
    assert_eq!(cookie.headers()["set-cookie"], "session=1", "it is for this one viewer");
}

#[tokio::test]
async fn the_cdns_own_directive_wins_and_absence_is_remembered_for_a_moment() {
    let world = World::start().await;
    world.origin.put("/a/1", Reply::new("x").with("cache-control", "no-store").with("cdn-cache-control", "max-age=60"));
    for _ in 0..3 {
        assert_eq!(world.get("/a/1").await.status(), 200);
        world.settled().await;
    }
    assert_eq!(world.origin.asked("/a/1").len(), 1);
    for _ in 0..5 {
        assert_eq!(world.get("/a/none").await.status(), 404);
    }
    assert_eq!(world.origin.asked("/a/none").len(), 1);
    // For no longer.
    world.origin.put("/a/none", Reply::new("here now"));
    eventually(PATIENCE, || async {
        let status = world.get("/a/none").await.status();
        if status == 200 { Ok(()) } else { Err(status) }
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_has_no_body_has_no_length_and_the_next_one_begins_behind_it() {
    let world = World::start().await;
    for (path, reply) in [("/a/none", Reply::new("")), ("/a/chunks", Reply::new("").chunked())] {
        world.origin.put(path, reply.status(204));
        world.origin.put("/a/next", Reply::new("next"));
        for number in 0..3 {
            let mut viewer = TcpStream::connect(world.edge()).await.unwrap();
            let ask = |path: &str, last: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n{last}\r\n");
            let both = ask(path, "") + &ask("/a/next", "Connection: close\r\n");
            viewer.write_all(both.as_bytes()).await.unwrap();
            let mut seen = String::new();
            viewer.read_to_string(&mut seen).await.unwrap();
            let (first, rest) = seen.split_once("\r\n\r\n").unwrap();
            assert!(first.starts_with("HTTP/1.1 204 "), "{first}");
            let framing = ["content-length:", "transfer-encoding:"];
            let has_framing = first.lines().any(|line| framing.iter().any(|name| line.starts_with(name)));
            assert!(!has_framing, "{first}");
            assert!(rest.starts_with("HTTP/1.1 200 ") && rest.ends_with("\r\n\r\nnext"), "{number}: {rest}");
            world.settled().await;
        }
        assert_eq!(world.origin.asked(path).len(), 1, "it was kept");
    }
}

#[tokio::test]
async fn a_viewer_may_ask_for_a_fresh_one_or_only_for_a_kept_one() {
    let world = World::start().await;
    world.origin.put("/a/1", Reply::new("x"));
    assert_eq!(world.get_with("/a/1", &[("cache-control", "only-if-cached")]).await.status(), 504);
    assert_eq!(world.origin.asked("/a/1").len(), 0);
    assert_eq!(world.get("/a/1").await.status(), 200);
    world.settled().await;
    assert_eq!(world.get_with("/a/1", &[("cache-control", "only-if-cached")]).await.status(), 200);
    let fresh = world.get_with("/a/1", &[("cache-control", "no-cache")]).await;
    assert_eq!(cache_status(&fresh), "fwd=request; fwd-status=304; stored");
    assert_eq!(world.origin.asked("/a/1").len(), 2);
}
