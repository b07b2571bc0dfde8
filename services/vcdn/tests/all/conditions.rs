//! HEAD, conditional requests, ranges of what is kept.

use crate::origin::Reply;
use crate::world::{World, bytes, cache_status};

#[tokio::test]
async fn conditions_are_answered_here() {
    let world = World::start().await;
    world
        .origin
        .put("/a/1", Reply::new("hello").with("etag", "\"v1\"").with("last-modified", "Mon, 02 Nov 2026 10:00:00 GMT"));
    assert_eq!(world.get("/a/1").await.text().await.unwrap(), "hello");
    world.settled().await;
    for (fields, status) in [
        (&[("if-none-match", "\"v1\"")][..], 304),
        (&[("if-none-match", "W/\"v1\"")], 304),
        (&[("if-none-match", "\"v0\", \"v1\"")], 304),
        (&[("if-none-match", "\"v0\"")], 200),
        (&[("if-modified-since", "Mon, 02 Nov 2026 10:00:00 GMT")], 304),
        (&[("if-modified-since", "Mon, 02 Nov 2026 09:59:59 GMT")], 200),
        (&[("if-match", "\"v1\"")], 200),
        (&[("if-match", "\"v0\"")], 412),
        (&[("range", "bytes=0-0"), ("if-range", "\"v1\"")], 206),
        (&[("range", "bytes=0-0"), ("if-range", "\"v0\"")], 200),
        (&[("range", "bytes=0-0"), ("if-range", "Mon, 02 Nov 2026 10:00:00 GMT")], 206),
        (&[("range", "bytes=0-0"), ("if-range", "Mon, 02 Nov 2026 10:00:01 GMT")], 200),
        (&[("range", "bytes=0-0, 2-2")], 200),
        (&[("range", "lines=0-0")], 200),
    ] {
        let answer = world.get_with("/a/1", fields).await;
        assert_eq!(answer.status(), status, "{fields:?}");
        if status == 304 {
            assert_eq!(answer.headers()["etag"], "\"v1\"");
            assert!(!answer.headers().contains_key("content-length"));
        }
    }
    assert_eq!(world.origin.asked("/a/1").len(), 1);
}

#[tokio::test]
async fn head_says_the_same_as_get_and_brings_no_body() {
    let world = World::start().await;
    let body = bytes(300_000);
    world.origin.put("/a/1", Reply::new(body.clone()));
    let head = |world: &World| world.http.head(world.url("/a/1")).send();
    let passed = head(&world).await.unwrap();
    assert_eq!((passed.status().as_u16(), &passed.headers()["content-length"]), (200, &"300000".parse().unwrap()));
    assert_eq!(world.origin.asked("/a/1")[0].method, "HEAD", "nobody wanted the body");
    assert_eq!(world.get("/a/1").await.bytes().await.unwrap(), body);
    world.settled().await;
    let kept = head(&world).await.unwrap();
    assert!(cache_status(&kept).starts_with("hit"));
    assert_eq!(kept.headers()["content-length"], "300000");
    let away = world.http.head(world.url("/a/1")).header("if-match", "\"other\"").send().await.unwrap();
    assert_eq!(away.status(), 412);
    for fields in
        [&[("range", "bytes=0-9")][..], &[("range", "bytes=300000-")], &[("range", "bytes=0-9"), ("if-range", "\"x\"")]]
    {
        let request = world.http.head(world.url("/a/1"));
        let ranged = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let ranged = ranged.send().await.unwrap();
        assert_eq!((ranged.status().as_u16(), &ranged.headers()["content-length"]), (200, &"300000".parse().unwrap()));
        assert!(!ranged.headers().contains_key("content-range"), "only GET has ranges");
    }
    // The connection is in order afterwards.
    assert_eq!(world.get("/a/1").await.bytes().await.unwrap(), body);
}

#[tokio::test]
async fn pages_of_any_origin_may_read_and_ask_before() {
    let world = World::start().await;
    world.origin.put("/a/1", Reply::new("hello"));
    let answer = world.get_with("/a/1", &[("origin", "https://player.example")]).await;
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    let exposed = answer.headers()["access-control-expose-headers"].to_str().unwrap().to_owned();
    assert!(exposed.contains("cache-status") && exposed.contains("cmsd-dynamic"));
    let preflight = world.http.request(reqwest::Method::OPTIONS, world.url("/a/1"));
    let preflight = preflight.header("access-control-request-method", "GET").send().await.unwrap();
    assert_eq!(
        (preflight.status().as_u16(), &preflight.headers()["access-control-max-age"]),
        (204, &"86400".parse().unwrap())
    );
    let post = world.http.post(world.url("/a/1")).body("x").send().await.unwrap();
    assert_eq!((post.status().as_u16(), &post.headers()["allow"]), (405, &"GET, HEAD, OPTIONS".parse().unwrap()));
    assert_eq!(world.origin.asked("/a/1").len(), 1);
}
