//! `GET /{asset}/{version}/{track}/init.mp4` and `{n}.m4s`: bytes, tags, ranges.

use axum::http::Method;

use crate::world::{VERSION, World, problem};

#[tokio::test]
async fn are_the_stored_bytes() {
    let world = World::start().await;
    // The second one is larger than any buffer on the way.
    let (asset, stored) = world.playable(&[4000, 9_000_000, 60_000]).await;
    let index = &stored.finished.index;
    let init = (0, index.init_size_bytes, &index.init_sha256, "init.mp4".to_owned());
    let segments = index.segments.iter().enumerate();
    let pieces =
        segments.map(|(n, segment)| (segment.offset_bytes, segment.size_bytes, &segment.sha256, format!("{n}.m4s")));
    for (offset, size, sha256, name) in std::iter::once(init).chain(pieces) {
        let path = format!("{asset}/{VERSION}/v/{name}");
        let answer = world.get(&path).await;
        assert_eq!(answer.status(), 200, "{name}");
        assert_eq!(answer.headers()["content-type"], "video/mp4");
        assert_eq!(answer.headers()["cache-control"], "public, max-age=31536000, immutable");
        assert_eq!(answer.headers()["accept-ranges"], "bytes");
        assert_eq!(answer.headers()["content-length"], size.to_string().as_str());
        assert_eq!(answer.headers()["etag"], format!("\"{sha256}\"").as_str());
        let (from, to) = (usize::try_from(offset).unwrap(), usize::try_from(offset + size).unwrap());
        assert!(answer.bytes().await.unwrap() == stored.object[from..to], "{name}");

        let head = world.ask(Method::HEAD, &path, &[]).await;
        assert_eq!(
            (head.status().as_u16(), head.headers()["content-length"].to_str().unwrap()),
            (200, size.to_string().as_str())
        );
        assert!(head.bytes().await.unwrap().is_empty());
    }
    world.stop().await;
}

#[tokio::test]
async fn come_in_parts() {
    let world = World::start().await;
    let (asset, stored) = world.playable(&[4000, 50_000]).await;
    let entry = &stored.finished.index.segments[1];
    let (start, size) = (usize::try_from(entry.offset_bytes).unwrap(), usize::try_from(entry.size_bytes).unwrap());
    let segment = &stored.object[start..start + size];
    let path = format!("{asset}/{VERSION}/v/1.m4s");
    let etag = format!("\"{}\"", entry.sha256);

    for (range, expected) in [
        ("bytes=0-0".to_owned(), 0..1),
        ("bytes=100-30000".to_owned(), 100..30_001),
        (format!("bytes={}-", size - 1), size - 1..size),
        ("bytes=-7".to_owned(), size - 7..size),
        ("bytes=5-999999999".to_owned(), 5..size),
    ] {
        let answer = world.ask(Method::GET, &path, &[("range", &range), ("if-range", &etag)]).await;
        assert_eq!(answer.status(), 206, "{range}");
        let content_range = format!("bytes {}-{}/{size}", expected.start, expected.end - 1);
        assert_eq!(answer.headers()["content-range"], content_range.as_str());
        assert!(answer.bytes().await.unwrap() == segment[expected], "{range}");
    }
    // What broke off after 20,000 bytes is whole again with the rest.
    let rest = world.ask(Method::GET, &path, &[("range", "bytes=20000-"), ("if-range", &etag)]).await;
    assert!([&segment[..20_000], &rest.bytes().await.unwrap()].concat() == segment);

    let other = world.ask(Method::GET, &path, &[("range", "bytes=0-0"), ("if-range", "\"other\"")]).await;
    assert_eq!((other.status().as_u16(), other.bytes().await.unwrap().len()), (200, size));
    let beyond = world.ask(Method::GET, &path, &[("range", &format!("bytes={size}-"))]).await;
    assert_eq!(beyond.status(), 416);
    assert_eq!(beyond.headers()["content-range"], format!("bytes */{size}").as_str());
    let known = world.ask(Method::GET, &path, &[("if-none-match", &format!("\"x\", {etag}"))]).await;
    assert_eq!((known.status().as_u16(), known.headers()["etag"].to_str().unwrap()), (304, etag.as_str()));
    assert_eq!(known.headers()["cache-control"], "public, max-age=31536000, immutable");
    world.stop().await;
}

#[tokio::test]
async fn are_only_read() {
    let world = World::start().await;
    let (asset, _) = world.playable(&[1000]).await;
    for method in [Method::PUT, Method::POST, Method::DELETE, Method::PATCH] {
        let answer = world.ask(method.clone(), &format!("{asset}/{VERSION}/v/0.m4s"), &[]).await;
        assert_eq!(answer.status(), 405, "{method}");
        assert_eq!(problem(answer).await.0, "method-not-allowed");
    }
    world.stop().await;
}
