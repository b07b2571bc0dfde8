//! Many viewers of one cold object: one request upstream, and everybody gets bytes while they come.

use flame_service_host::config::Bytes;
use flame_vcdn::config::CacheConfig;
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::origin::Reply;
use crate::world::{World, bytes, cache_status};

#[tokio::test(flavor = "multi_thread")]
async fn one_fetch_serves_all_who_ask_meanwhile_and_everybody_follows_it() {
    let world = World::start().await;
    let body = bytes(4 << 20);
    let gate = watch::Sender::new(false);
    world.origin.put("/film/1.m4s", Reply::new(body.clone()).gated(Some(1 << 20), &gate));
    let mut viewers = Vec::new();
    for _ in 0..60 {
        let mut viewer = world.get("/film/1.m4s").await;
        assert_eq!(viewer.status(), 200);
        // The first bytes are here, though the origin holds the rest back.
        let first = viewer.chunk().await.unwrap().unwrap();
        viewers.push((viewer, first.to_vec()));
    }
    let collapsed = viewers.iter().filter(|(viewer, _)| cache_status(viewer).contains("collapsed")).count();
    assert_eq!(collapsed, 59);
    assert!(cache_status(&viewers[0].0).starts_with("fwd=uri-miss"));
    gate.send_replace(true);
    let bodies = join_all(viewers.into_iter().map(|(mut viewer, mut seen)| async move {
        while let Some(chunk) = viewer.chunk().await.unwrap() {
            seen.extend_from_slice(&chunk);
        }
        seen
    }));
    assert!(bodies.await.iter().all(|seen| *seen == body));
    assert_eq!(world.origin.asked("/film/1.m4s").len(), 1);
    let hit = world.get("/film/1.m4s").await;
    assert!(cache_status(&hit).starts_with("hit; ttl="), "{}", cache_status(&hit));
    assert_eq!(hit.bytes().await.unwrap(), body);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_wait_for_the_head_share_it() {
    let world = World::start().await;
    let gate = watch::Sender::new(false);
    world.origin.put("/live/index.m3u8?_HLS_msn=7", Reply::new("#EXTM3U\n").gated(None, &gate));
    let waiting = join_all((0..40).map(|_| world.get("/live/index.m3u8?_HLS_msn=7")));
    let opened = async {
        flame_test_kit::eventually(crate::world::PATIENCE, || async {
            let figures = world.figures().await;
            let asked = figures.misses + figures.collapsed;
            if asked == 40 { Ok(()) } else { Err(format!("{asked} have asked")) }
        })
        .await;
        gate.send_replace(true);
    };
    let (answers, ()) = tokio::join!(waiting, opened);
    assert!(answers.iter().all(|answer| answer.status() == 200));
    assert_eq!(world.origin.asked("/live/index.m3u8").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_are_answered_out_of_what_has_come_so_far() {
    let world = World::start().await;
    let body = bytes(1 << 20);
    let gate = watch::Sender::new(false);
    world.origin.put("/a/1", Reply::new(body.clone()).gated(Some(600_000), &gate));
    let whole = world.get("/a/1").await;
    let part = world.get_with("/a/1", &[("range", "bytes=1000-1999")]).await;
    assert_eq!(
        (part.status().as_u16(), &part.headers()["content-range"]),
        (206, &"bytes 1000-1999/1048576".parse().unwrap())
    );
    assert_eq!(part.bytes().await.unwrap(), body[1000..2000]);
    gate.send_replace(true);
    assert_eq!(whole.bytes().await.unwrap(), body);
    let tail = world.get_with("/a/1", &[("range", "bytes=-10")]).await;
    assert_eq!(tail.bytes().await.unwrap(), body[body.len() - 10..]);
    let beyond = world.get_with("/a/1", &[("range", "bytes=1048576-")]).await;
    assert_eq!(
        (beyond.status().as_u16(), &beyond.headers()["content-range"]),
        (416, &"bytes */1048576".parse().unwrap())
    );
    assert_eq!(world.origin.asked("/a/1").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_far_ahead_of_a_fill_is_asked_for_alone() {
    let world = World::with(|config| config.cache.range_ahead.0 = 1 << 16).await;
    let body = bytes(1 << 20);
    let gate = watch::Sender::new(false);
    world.origin.put("/a/1", Reply::new(body.clone()).gated(Some(1000), &gate));
    let whole = world.get("/a/1").await;
    gate.send_replace(true);
    let whole = whole.bytes();
    world.origin.put("/a/1", Reply::new(body.clone()));
    let part = world.get_with("/a/1", &[("range", "bytes=1048000-1048009")]).await;
    assert_eq!(part.bytes().await.unwrap(), body[1_048_000..1_048_010]);
    assert_eq!(whole.await.unwrap(), body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_a_length_is_chunked_to_viewers_and_has_one_later() {
    let world = World::start().await;
    let body = bytes(300_000);
    world.origin.put("/a/1", Reply::new(body.clone()).chunked());
    assert_eq!(world.get("/a/1").await.bytes().await.unwrap(), body);
    world.settled().await;
    let hit = world.get("/a/1").await;
    assert_eq!(hit.headers()["content-length"], "300000");
    assert_eq!(hit.bytes().await.unwrap(), body);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_on_their_way_stay_within_their_bound_and_what_finds_no_room_is_passed_on_alone() {
    let world = World::with(|config| {
        config.cache.filling.0 = 1 << 20;
        config.cache.object_max.0 = 1 << 20;
        config.upstream.resumes = 0;
    })
    .await;
    let taken = async || world.stats().await.kept[0].filling_bytes;
    let gate = watch::Sender::new(false);
    world.origin.put("/long", Reply::new(bytes(800_000)).gated(Some(1000), &gate));
    world.origin.put("/other", Reply::new(bytes(600_000)));
    let long = world.get("/long").await;
    assert_eq!(taken().await, 800_000);
    for answer in join_all((0..3).map(|_| world.get("/other"))).await {
        assert_eq!(answer.bytes().await.unwrap(), bytes(600_000));
    }
    let again = world.get("/other").await;
    assert!(cache_status(&again).starts_with("fwd"), "there was no room for it: {}", cache_status(&again));
    assert_eq!(again.bytes().await.unwrap(), bytes(600_000));
    assert_eq!(taken().await, 800_000);
    gate.send_replace(true);
    assert_eq!(long.bytes().await.unwrap(), bytes(800_000));
    world.settled().await;
    assert_eq!(taken().await, 0);
    // Now there is, and it is kept at once.
    assert_eq!(world.get("/other").await.bytes().await.unwrap(), bytes(600_000));
    world.settled().await;
    assert!(cache_status(&world.get("/other").await).starts_with("hit"));

    // Beginnings of bodies count, and make way.
    world.origin.put("/broken", Reply::new(bytes(700_000)).broken_at(400_000, 0..10).without_ranges());
    assert!(world.get("/broken").await.bytes().await.is_err());
    world.settled().await;
    let beginning = taken().await;
    assert!(beginning > 0 && beginning <= 400_000, "{beginning}");
    world.origin.put("/large", Reply::new(bytes(1_000_000)));
    assert_eq!(world.get("/large").await.bytes().await.unwrap(), bytes(1_000_000));
    world.settled().await;
    assert_eq!(taken().await, 0);
    assert!(cache_status(&world.get("/large").await).starts_with("hit"));

    // What does not say how long it is finds out too late; the next one is passed on as it comes.
    world.origin.put("/endless", Reply::new(bytes(2 << 20)).chunked());
    assert!(world.get("/endless").await.bytes().await.is_err());
    world.settled().await;
    assert_eq!(taken().await, 0);
    assert_eq!(world.get("/endless").await.bytes().await.unwrap(), bytes(2 << 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_on_their_way_leave_room_for_small_ones_to_be_shared() {
    let world = World::with(|config| {
        config.cache.filling.0 = 8 << 20;
        config.cache.object_max.0 = 7 << 20;
    })
    .await;
    let gate = watch::Sender::new(false);
    let mut large = Vec::new();
    for path in ["/large/1", "/large/2"] {
        world.origin.put(path, Reply::new(bytes(4 << 20)).gated(Some(1000), &gate));
        large.push(world.get(path).await);
    }
    world.origin.put("/small", Reply::new(bytes(1 << 20)).gated(Some(1000), &gate));
    let small: Vec<_> = join_all((0..20).map(|_| world.get("/small"))).await;
    assert_eq!(world.origin.asked("/small").len(), 1, "it was not shared");
    gate.send_replace(true);
    for answer in large {
        assert_eq!(answer.bytes().await.unwrap(), bytes(4 << 20));
    }
    for answer in small {
        assert_eq!(answer.bytes().await.unwrap(), bytes(1 << 20));
    }
    let cache = || world.config.cache.clone();
    for (cache, key) in [
        (CacheConfig { object_max: Bytes((7 << 20) + 1), ..cache() }, "cache.object_max"),
        (CacheConfig { sessions_of_an_address: 0, ..cache() }, "cache.sessions_of_an_address"),
    ] {
        let refused = flame_vcdn::start(flame_vcdn::Config { cache, ..world.config.clone() }).await.unwrap_err();
        let reason = flame_service_host::problem::chain(&refused);
        assert!(reason.contains(key), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_beginnings_make_way_and_no_more_of_them_than_has_to_be() {
    let world = World::with(|config| {
        config.cache.filling.0 = 5 << 20;
        config.cache.object_max.0 = 1 << 20;
        config.upstream.resumes = 0;
    })
    .await;
    let paths = ["/broken/1", "/broken/2", "/broken/3"];
    for path in paths {
        world.origin.put(path, Reply::new(bytes(900_000)).broken_at(800_000, 0..10).without_ranges());
        assert!(world.get(path).await.bytes().await.is_err());
        world.settled().await;
    }
    let free = async || (5 << 20) - world.stats().await.kept[0].filling_bytes;
    let gate = watch::Sender::new(false);
    let mut others = Vec::new();
    let fill = async |number: usize, length: u64| {
        let path = format!("/other/{number}");
        world.origin.put(&path, Reply::new(bytes(usize::try_from(length).unwrap())).gated(Some(1000), &gate));
        world.get(&path).await
    };
    while free().await >= 1 << 20 {
        others.push(fill(others.len(), 1 << 20).await);
    }
    // One octet more than there is room for.
    let one_more = free().await + 1;
    others.push(fill(others.len(), one_more).await);
    let mut kept = Vec::new();
    // The one that is gone comes last: whoever asks for it has it fetched, which takes room again.
    for path in paths.iter().rev() {
        let part = world.get_with(path, &[("range", "bytes=0-99")]).await;
        kept.push(cache_status(&part) == "hit; detail=partial");
    }
    assert_eq!(kept, [true, true, false]);
    gate.send_replace(true);
    for other in others {
        other.bytes().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_kept_nowhere_takes_its_room_until_its_last_viewer_has_it() {
    let world = World::with(|config| config.cache.memory.0 = 1 << 20).await;
    let body = bytes(16 << 20);
    world.origin.put("/a/1", Reply::new(body.clone()));
    let mut slow = TcpStream::connect(world.edge()).await.unwrap();
    slow.write_all(b"GET /a/1 HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 1];
    slow.read_exact(&mut first).await.unwrap();
    world.settled().await;
    let taken = async || world.stats().await.kept[0].filling_bytes;
    assert_eq!(taken().await, 16 << 20);
    drop(slow);
    flame_test_kit::eventually(crate::world::PATIENCE, || async {
        let taken = taken().await;
        if taken == 0 { Ok(()) } else { Err(format!("{taken} bytes")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_who_takes_nothing_holds_up_nobody_and_is_given_up() {
    let world = World::with(|config| config.host.write_idle.0 = std::time::Duration::from_millis(300)).await;
    let body = bytes(16 << 20);
    world.origin.put("/a/1", Reply::new(body.clone()));
    let mut slow = TcpStream::connect(world.edge()).await.unwrap();
    slow.write_all(b"GET /a/1 HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert_eq!(world.get("/a/1").await.bytes().await.unwrap(), body);
    flame_test_kit::eventually(crate::world::PATIENCE, || async {
        let abandoned = world.figures().await.abandoned;
        if abandoned == 1 { Ok(()) } else { Err(format!("{abandoned} were given up")) }
    })
    .await;
    // What the kernel holds for it, and then the end: far before the body's.
    let mut seen = Vec::new();
    let _ = slow.read_to_end(&mut seen).await;
    assert!(seen.len() < body.len(), "{} bytes", seen.len());
}
