//! Bytes of bodies that are not wholly here: far ahead of a fill, and of those that are too large to be kept whole.

use flame_service_host::config::Bytes;
use flame_test_kit::eventually;
use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::watch;

use crate::origin::{Noted, Reply};
use crate::world::{PATIENCE, World, bytes, cache_status};

const LENGTH: usize = 8 << 20;

/// A film whose beginning flows, and stops before its third MiB.
async fn begun(memory: Bytes) -> (World, watch::Sender<bool>, reqwest::Response) {
    let world = World::with(|config| {
        config.cache.range_ahead.0 = 1 << 16;
        config.cache.memory = memory;
    })
    .await;
    let gate = watch::Sender::new(false);
    world.origin.put("/film", Reply::new(bytes(LENGTH)).gated(Some(2 << 20), &gate));
    let whole = world.get("/film").await;
    assert_eq!(whole.status(), 200);
    (world, gate, whole)
}

/// The ranges that the origin was asked for.
fn ranges(asked: &[Noted]) -> Vec<String> {
    let range = |noted: &Noted| noted.headers.get("range").map(|range| range.to_str().unwrap().to_owned());
    asked.iter().filter_map(range).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_far_ahead_of_a_fill_are_asked_for_once_for_all_who_want_them() {
    let (world, gate, whole) = begun(Bytes(256 << 20)).await;
    let wanted = [(5_000_000, 5_099_999), (5_050_000, 6_999_999), (5_000_000, LENGTH - 1)];
    let viewers = (0..30).map(|viewer| {
        let (world, (first, last)) = (&world, wanted[viewer % 3]);
        // A player says where it begins, and leaves the end open.
        let range = if last == LENGTH - 1 { format!("bytes={first}-") } else { format!("bytes={first}-{last}") };
        async move {
            let part = world.get_with("/film", &[("range", &range)]).await;
            assert_eq!(part.status(), 206);
            assert_eq!(part.headers()["content-range"], format!("bytes {first}-{last}/{LENGTH}"));
            assert_eq!(part.bytes().await.unwrap(), bytes(LENGTH)[first..=last]);
        }
    });
    join_all(viewers).await;
    let mut asked = ranges(&world.origin.asked("/film"));
    asked.sort_unstable();
    let slice = |number: usize| format!("bytes={}-{}", number << 20, ((number + 1) << 20) - 1);
    assert_eq!(asked, (4..8).map(slice).collect::<Vec<_>>());
    let of_it = world.origin.asked("/film");
    assert!(of_it[1..].iter().all(|noted| noted.headers.contains_key("if-range")), "of the same bytes only");
    gate.send_replace(true);
    assert_eq!(whole.bytes().await.unwrap(), bytes(LENGTH));
    world.settled().await;
    assert_eq!(world.stats().await.kept[0].memory_objects, 1, "the slices went when the whole was here");
}

#[tokio::test(flavor = "multi_thread")]
async fn slices_of_a_body_too_large_to_be_kept_whole_serve_on_until_they_are_purged() {
    let (world, gate, whole) = begun(Bytes(6 << 20)).await;
    let range = [("range", "bytes=5000000-5099999")];
    let get = async || {
        let part = world.get_with("/film", &range).await;
        let status = cache_status(&part);
        assert_eq!(part.bytes().await.unwrap(), bytes(LENGTH)[5_000_000..5_100_000]);
        status
    };
    assert!(get().await.starts_with("fwd=uri-miss"));
    assert_eq!(get().await, "hit; detail=partial");
    gate.send_replace(true);
    assert_eq!(whole.bytes().await.unwrap(), bytes(LENGTH));
    world.settled().await;
    let before = world.origin.asked("/film").len();
    assert_eq!(get().await, "hit; detail=partial");
    // By the other writer, too.
    let url = world.url("/film");
    let by_hyper = world.http.get(&url).header("range", range[0].1).header("expect", "nothing").send().await.unwrap();
    assert_eq!(by_hyper.bytes().await.unwrap(), bytes(LENGTH)[5_000_000..5_100_000]);
    assert_eq!(world.origin.asked("/film").len(), before);
    let purge = world.http.post(world.api("/purges")).json(&json!({ "name": "cdn", "url": "/film" }));
    assert_eq!(purge.send().await.unwrap().status(), 200);
    assert!(get().await.starts_with("fwd"));
    assert!(world.origin.asked("/film").len() > before);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_the_beginning_gets_the_rest_though_there_is_no_room_for_more_slices() {
    let world = World::with(|config| {
        config.cache.range_ahead.0 = 1 << 16;
        config.cache.filling = Bytes(10 << 20);
        config.cache.object_max = Bytes(8 << 20);
    })
    .await;
    let gate = watch::Sender::new(false);
    world.origin.put("/film", Reply::new(bytes(LENGTH)).gated(Some(2 << 20), &gate));
    let whole = world.get("/film").await;
    world.origin.put("/film", Reply::new(bytes(LENGTH)));
    // The fifth slice is here; then others take all room that is left.
    let first = world.get_with("/film", &[("range", "bytes=4500000-4599999")]).await;
    assert_eq!(first.bytes().await.unwrap(), bytes(LENGTH)[4_500_000..4_600_000]);
    let mut others = Vec::new();
    for path in ["/other/1", "/other/2"] {
        eventually(PATIENCE, || async {
            let taken = world.stats().await.kept[0].filling_bytes;
            if taken <= 9 << 20 { Ok(()) } else { Err(format!("{taken} bytes")) }
        })
        .await;
        world.origin.put(path, Reply::new(bytes(1 << 20)).gated(Some(1000), &gate));
        others.push(world.get(path).await);
    }
    assert_eq!(world.stats().await.kept[0].filling_bytes, 10 << 20);
    // Both writers.
    for field in [None, Some(("expect", "nothing"))] {
        let fields: Vec<_> = field.into_iter().chain([("range", "bytes=4500000-7999999")]).collect();
        let part = world.get_with("/film", &fields).await;
        assert_eq!(part.status(), 206);
        assert_eq!(part.bytes().await.expect("it does not break off"), bytes(LENGTH)[4_500_000..8_000_000]);
    }
    let asked = ranges(&world.origin.asked("/film"));
    // Nobody takes all the rest for himself: the next slice may be for all again.
    let end = |range: &str| range.rsplit_once('-').and_then(|(_, end)| end.parse::<u64>().ok());
    let of_first: Vec<_> = asked.iter().filter(|range| range.starts_with(&format!("bytes={}-", 5 << 20))).collect();
    assert!(of_first.len() >= 2 && of_first.iter().all(|range| end(range) == Some((6 << 20) - 1)), "{asked:?}");
    gate.send_replace(true);
    assert_eq!(whole.bytes().await.unwrap(), bytes(LENGTH));
    for other in others {
        assert_eq!(other.bytes().await.unwrap(), bytes(1 << 20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slices_of_other_bytes_are_never_mixed_in() {
    let (world, gate, whole) = begun(Bytes(256 << 20)).await;
    // The origin has another film by now: what is asked of the old one is not there any more.
    let other = vec![7; LENGTH];
    world.origin.put("/film", Reply::new(other.clone()).with("etag", "\"other\""));
    let part = world.get_with("/film", &[("range", "bytes=5000000-5099999")]).await;
    assert_eq!(part.headers()["etag"], "\"other\"");
    assert_eq!(part.bytes().await.unwrap(), other[5_000_000..5_100_000]);
    gate.send_replace(true);
    assert_eq!(whole.bytes().await.unwrap(), bytes(LENGTH));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_within_reach_of_a_fill_waits_for_it() {
    let (world, gate, mut whole) = begun(Bytes(256 << 20)).await;
    // What its first viewer has is here.
    let mut seen = Vec::new();
    while seen.len() < 2 << 20 {
        seen.extend_from_slice(&whole.chunk().await.unwrap().unwrap());
    }
    let kept = world.get_with("/film", &[("range", "bytes=2097000-2097009")]).await;
    assert_eq!(kept.bytes().await.unwrap(), bytes(LENGTH)[2_097_000..2_097_010]);
    let part = world.get_with("/film", &[("range", "bytes=2100000-2100009")]).await;
    gate.send_replace(true);
    assert_eq!(part.bytes().await.unwrap(), bytes(LENGTH)[2_100_000..2_100_010]);
    seen.extend_from_slice(&whole.bytes().await.unwrap());
    assert_eq!(seen, bytes(LENGTH));
    assert_eq!(world.origin.asked("/film").len(), 1);
}
