//! tus 1.0, concatenation: parts that come at the same time become one upload, with the digest of the whole.

use std::time::Duration;

use flame_api::ingest::{ConcatRole, UploadState};
use flame_service_host::config::{Bytes, Span};
use flame_test_kit::eventually;
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::Method;

use crate::world::{MIB, PART, PATIENCE, Tus, World, header, location, noise, problem, without_media};

/// Waits until nothing is stored but the sources of these.
async fn only_sources(world: &World, wanted: &[&Tus]) {
    let mut wanted: Vec<_> = wanted.iter().map(|tus| format!("default/sources/{}", tus.id)).collect();
    wanted.sort();
    let store = world.store();
    eventually(PATIENCE, || async {
        let keys = world.keys().await;
        let open = store.list_multipart("", 10).await.unwrap();
        if keys == wanted && open.is_empty() { Ok(()) } else { Err(format!("{keys:?} {open:?}")) }
    })
    .await;
}

async fn head(tus: &Tus) -> reqwest::Response {
    tus.http.head(tus.url()).header("tus-resumable", "1.0.0").send().await.unwrap()
}

#[tokio::test]
async fn parts_that_came_in_parallel_become_one() {
    let world = World::start_with(without_media).await;
    let body = noise(51, 4 * PART + 4321);
    let cuts = [0, PART + 77, 2 * PART + 500_000, 3 * PART, body.len()];
    let pieces: Vec<_> = cuts.windows(2).map(|cut| &body[cut[0]..cut[1]]).collect();
    let partials = join_all(pieces.iter().map(|piece| world.partial(piece))).await;
    let partials: Vec<_> = partials.iter().collect();
    let answer = head(partials[1]).await;
    assert_eq!(
        (header(&answer, "upload-offset"), header(&answer, "upload-length")),
        (pieces[1].len(), pieces[1].len())
    );
    assert_eq!(answer.headers()["upload-concat"], "partial");
    let part = world.upload(partials[1].id).await;
    assert_eq!((part.concat, part.state), (Some(ConcatRole::Partial), UploadState::Receiving));

    let answer = world.concatenate(&partials).await;
    assert_eq!(answer.status(), 201);
    assert!(!answer.headers().contains_key("upload-offset"));
    let whole = Tus { base: world.base(), id: location(&answer), http: partials[0].http.clone() };
    // Whoever lost the answer gets the same one.
    assert_eq!(location(&world.concatenate(&partials).await), whole.id);
    world.check_stored(whole.id, &body).await;
    let answer = head(&whole).await;
    assert_eq!((header(&answer, "upload-offset"), header(&answer, "upload-length")), (body.len(), body.len()));
    let list = answer.headers()["upload-concat"].to_str().unwrap();
    assert_eq!(list.strip_prefix("final;").unwrap().split(' ').count(), 4);
    let upload = world.upload(whole.id).await;
    assert_eq!((upload.concat, upload.file_name.as_deref()), (Some(ConcatRole::Final), Some("whole.mp4")));
    // The parts have become it: nothing is stored twice.
    only_sources(&world, &[&whole]).await;
    assert_eq!(partials[0].try_offset().await.unwrap_err(), "410 Gone");
    problem(whole.patch(0).body("x").send().await.unwrap(), 403, "final-upload").await;
    assert_eq!(location(&world.concatenate(&partials).await), whole.id, "also now");
}

#[tokio::test]
async fn any_cutting_into_parts_gives_the_same_bytes() {
    let mut world = World::start_with(without_media).await;
    for seed in 0..6 {
        let mut random = StdRng::seed_from_u64(seed);
        let body = noise(seed + 500, random.random_range(1..4 * PART));
        let mut partials = Vec::new();
        let mut at = 0;
        while at < body.len() {
            let wanted = match random.random_range(0..4) {
                0 => random.random_range(0..100),
                1 => random.random_range(0..PART),
                2 => PART,
                _ => random.random_range(PART..3 * PART),
            };
            let end = (at + wanted).min(body.len());
            partials.push(world.partial(&body[at..end]).await);
            at = end;
        }
        let whole = location(&world.concatenate(&partials.iter().collect::<Vec<_>>()).await);
        if seed % 2 == 0 {
            world.restart().await;
        }
        world.check_stored(whole, &body).await;
    }
}

#[tokio::test]
async fn what_cannot_be_joined_is_named_and_stays() {
    let world = World::start_with(|config| {
        without_media(config);
        config.limits.max_upload = Bytes(3000);
        config.limits.max_partials = 3;
    })
    .await;
    let [first, second, long] = [1000, 500, 2500].map(|length| noise(length as u64, length));
    let (first, second, long) = (world.partial(&first).await, world.partial(&second).await, world.partial(&long).await);
    let open = world.announce_with(&[("upload-concat", "partial"), ("upload-length", "10")]).await;
    open.send(0, b"12345").await;
    let endless = world.announce_with(&[("upload-concat", "partial"), ("upload-defer-length", "1")]).await;
    let plain = world.announce(10).await;
    for unfit in [&open, &endless, &plain] {
        let detail = problem(world.concatenate(&[&first, unfit]).await, 409, "conflict").await;
        assert!(detail.contains(&unfit.id.to_string()), "{detail}");
    }
    let detail = problem(world.concatenate(&[&first, &long]).await, 413, "too-large").await;
    assert!(detail.contains("3500") && detail.contains("3000"), "{detail}");
    problem(world.concatenate(&[&first, &first]).await, 400, "bad-request").await;
    problem(world.concatenate(&[&first, &second, &long, &open]).await, 400, "bad-request").await;
    let unknown = world.tus(Method::POST, "/uploads");
    let unknown = unknown.header("upload-concat", "final;/uploads/0192f7a0-0000-7000-8000-000000000000");
    problem(unknown.send().await.unwrap(), 404, "not-found").await;
    let url = format!("final;/uploads/{}", first.id);
    let sized = world.tus(Method::POST, "/uploads").header("upload-concat", &url).header("upload-length", 1000);
    problem(sized.send().await.unwrap(), 400, "bad-request").await;
    let bodied = world.tus(Method::POST, "/uploads").header("upload-concat", &url);
    let bodied = bodied.header("content-type", "application/offset+octet-stream").body("x");
    problem(bodied.send().await.unwrap(), 400, "bad-request").await;

    // None of that took anything away.
    let whole = location(&world.concatenate(&[&first, &second]).await);
    let detail = problem(world.concatenate(&[&second]).await, 409, "conflict").await;
    assert!(detail.contains(&whole.to_string()), "{detail}");
    let end = world.tus(Method::DELETE, &format!("/uploads/{}", second.id)).send().await.unwrap();
    assert!([409, 410].contains(&end.status().as_u16()), "{end:?}");
    let body = [noise(1000, 1000), noise(500, 500)].concat();
    world.check_stored(whole, &body).await;
}

#[tokio::test]
async fn parts_that_nobody_joins_expire_and_those_that_somebody_did_do_not() {
    let world = World::start_with(|config| {
        without_media(config);
        config.limits.expiry = Span(Duration::from_secs(2));
        config.limits.sweep = Span(Duration::from_millis(50));
    })
    .await;
    let body = noise(61, MIB);
    let left = world.partial(&body).await;
    assert!(head(&left).await.headers().contains_key("upload-expires"));
    let whole = location(&world.concatenate(&[&world.partial(&body).await, &world.partial(&body).await]).await);
    eventually(PATIENCE, || async {
        match left.try_offset().await {
            Err(status) if status.starts_with("410") || status.starts_with("404") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    world.check_stored(whole, &[body.clone(), body].concat()).await;
}

#[tokio::test]
async fn a_final_upload_that_is_ended_takes_its_parts_with_it() {
    let world = World::start_with(|config| {
        without_media(config);
        config.limits.max_upload = Bytes(1 << 30);
        config.limits.receive_memory = Bytes(3 * PART as u64);
        config.limits.memory_turn = Span(Duration::from_secs(600));
    })
    .await;
    let body = noise(71, PART + 5);
    let (first, second) = (world.partial(&body).await, world.partial(&body).await);
    // Joining takes memory, and there is none: so it has not been done when its end is asked for.
    let keep = world.hold_all_memory().await;
    let whole = location(&world.concatenate(&[&first, &second]).await);
    let answer = world.tus(Method::DELETE, &format!("/uploads/{whole}")).send().await.unwrap();
    assert_eq!(answer.status(), 204, "{answer:?}");
    assert_eq!(first.try_offset().await.unwrap_err(), "410 Gone");
    let store = world.store();
    eventually(PATIENCE, || async {
        let mut left = Vec::new();
        for id in [whole, first.id, second.id] {
            left.extend(store.head(&format!("default/sources/{id}")).await.unwrap());
        }
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    keep.abort();
}

#[tokio::test]
async fn parts_that_the_store_has_lost_are_said() {
    let mut world = World::start_with(without_media).await;
    let body = noise(81, 1000);
    let (first, second) = (world.partial(&body).await, world.partial(&body).await);
    world.store().delete(&format!("default/sources/{}", second.id)).await.unwrap();
    let whole = location(&world.concatenate(&[&first, &second]).await);
    let failed = world.settled(whole).await;
    assert_eq!(failed.state, UploadState::Failed);
    assert!(failed.error.as_ref().unwrap().contains(&second.id.to_string()), "{failed:?}");
    world.restart().await;
    world.check_empty().await;
}
