//! What one tenant may have, and what whoever goes beyond it is told; the same bytes twice take no room.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use flame_api::ingest::{Upload, UploadState};
use flame_ingest::config::{Quotas, TenantQuota};
use flame_service_host::config::{Bytes, Span};
use flame_test_kit::{clips, eventually};
use reqwest::Method;
use uuid::Uuid;

use crate::platform::Platform;
use crate::pulls::{Origin, pull, whole};
use crate::world::{PART, PATIENCE, World, header, json, noise, problem, without_media};

/// A world whose tenant may have 10,000 bytes.
async fn narrow() -> World {
    World::start_with(|config| {
        without_media(config);
        config.quotas = Quotas { stored: Some(Bytes(1)), ..Quotas::default() };
        let own = TenantQuota { stored: Some(Bytes(10_000)), open_uploads: None };
        config.quotas.tenants.insert("default".to_owned(), own);
    })
    .await
}

async fn announce(world: &World, length: usize) -> reqwest::Response {
    world.tus(Method::POST, "/uploads").header("upload-length", length).send().await.unwrap()
}

async fn put(world: &World, body: &[u8]) -> Upload {
    let request = world.request(Method::PUT, "/files/clip.mp4?chain=none").body(body.to_vec());
    json(request.send().await.unwrap(), 201).await
}

/// The bytes that the folder of the embedded store takes, those of links once.
pub fn stored_bytes(objects: &Path) -> u64 {
    let mut seen = BTreeSet::new();
    let folders = std::fs::read_dir(objects.join("data")).unwrap();
    let files = folders.flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap());
    // A file may go while its folder is read.
    let files = files.filter_map(|file| file.unwrap().metadata().ok());
    files.filter(|file| seen.insert(file.ino())).map(|file| file.len()).sum()
}

#[tokio::test]
async fn more_bytes_than_a_tenant_may_have_are_refused_before_they_come() {
    let world = narrow().await;
    let first = world.announce(6000).await;
    let detail = problem(announce(&world, 4001).await, 413, "quota-exceeded").await;
    assert!(detail.contains("tenant default") && detail.contains("quotas.stored"), "{detail}");
    // What was refused takes nothing.
    let second = world.announce(4000).await;
    problem(announce(&world, 1).await, 413, "quota-exceeded").await;
    let put = world.request(Method::PUT, "/files/clip.mp4").body(vec![1; 10]).send().await.unwrap();
    problem(put, 413, "quota-exceeded").await;
    first.send(0, &noise(1, 6000)).await;
    // Once nothing is stored of it, the other one's bytes are free again.
    assert_eq!(world.tus(Method::DELETE, &format!("/uploads/{}", second.id)).send().await.unwrap().status(), 204);
    eventually(PATIENCE, || async {
        match announce(&world, 4000).await.status().as_u16() {
            201 => Ok(()),
            other => Err(other),
        }
    })
    .await;
}

#[tokio::test]
async fn bytes_without_a_length_are_refused_where_the_quota_ends() {
    let world = narrow().await;
    let tus = world.announce_with(&[("upload-defer-length", "1")]).await;
    tus.send(0, &noise(2, 8000)).await;
    problem(tus.patch(8000).header("upload-length", 10_001).body("").send().await.unwrap(), 413, "quota-exceeded")
        .await;
    problem(tus.patch(8000).body(vec![1; 2001]).send().await.unwrap(), 413, "quota-exceeded").await;
    assert_eq!(tus.offset().await, 8000);
    problem(announce(&world, 2001).await, 413, "quota-exceeded").await;
    // A PUT that does not say how long it is.
    let chunks = futures_util::stream::iter((0..3).map(|_| Ok::<_, std::io::Error>(vec![7; 1000])));
    let put = world.request(Method::PUT, "/files/clip.mp4").body(reqwest::Body::wrap_stream(chunks));
    problem(put.send().await.unwrap(), 413, "quota-exceeded").await;
    let last = tus.patch(8000).header("upload-length", 10_000).body(vec![1; 2000]).send().await.unwrap();
    assert_eq!((last.status().as_u16(), header(&last, "upload-offset")), (204, 10_000));
}

#[tokio::test]
async fn parts_count_once_when_they_are_joined() {
    let world = narrow().await;
    let body = noise(3, 9000);
    let (first, second) = (world.partial(&body[..5000]).await, world.partial(&body[5000..]).await);
    problem(announce(&world, 1001).await, 413, "quota-exceeded").await;
    let whole = crate::world::location(&world.concatenate(&[&first, &second]).await);
    world.check_stored(whole, &body).await;
    problem(announce(&world, 1001).await, 413, "quota-exceeded").await;
    assert_eq!(announce(&world, 1000).await.status(), 201);
}

#[tokio::test]
async fn unfinished_uploads_have_a_bound_of_their_own() {
    let world = World::start_with(|config| {
        without_media(config);
        config.quotas.open_uploads = 2;
    })
    .await;
    let (first, _second) = (world.announce(10).await, world.announce(10).await);
    let refused = announce(&world, 10).await;
    assert_eq!(refused.headers()["retry-after"], "30");
    let detail = problem(refused, 429, "too-many-uploads").await;
    assert!(detail.contains("2 unfinished"), "{detail}");
    first.send(0, &noise(4, 10)).await;
    assert_eq!(announce(&world, 10).await.status(), 201);
}

#[tokio::test]
async fn the_same_bytes_again_take_no_room_and_it_is_said() {
    let world = World::start_with(without_media).await;
    let body = noise(5, 2 * PART + 99);
    let first = put(&world, &body).await.id;
    world.check_stored(first, &body).await;
    let before = stored_bytes(&world.scratch.join("objects"));
    let again = async || {
        let id = put(&world, &body).await.id;
        eventually(PATIENCE, || async {
            let upload = world.upload(id).await;
            if upload.duplicate_of == Some(first) { Ok(()) } else { Err(format!("{upload:?}")) }
        })
        .await;
        id
    };
    let copies = [again().await, again().await];
    let other = put(&world, &noise(6, 1000)).await.id;
    eventually(PATIENCE, || async {
        let now = stored_bytes(&world.scratch.join("objects"));
        if now == before + 1000 { Ok(()) } else { Err(format!("{now} of {before}")) }
    })
    .await;
    assert_eq!(world.upload(other).await.duplicate_of, None);
    // As the catalogue does when the asset is deleted.
    world.store().delete_prefix(&format!("default/sources/{first}")).await.unwrap();
    for id in copies {
        world.check_stored(id, &body).await;
    }
    for id in copies {
        world.store().delete_prefix(&format!("default/sources/{id}")).await.unwrap();
    }
    eventually(PATIENCE, || async {
        let now = stored_bytes(&world.scratch.join("objects"));
        if now == 1000 { Ok(()) } else { Err(now) }
    })
    .await;
}

#[tokio::test]
async fn deleted_assets_make_room_and_duplicates_go_on_counting() {
    let platform = Platform::start().await;
    let body = std::fs::read(clips::recipe("audio-only").seconds(1.0).make()).unwrap();
    let size = body.len();
    let world = World::start_with(|config| {
        config.host.router = Some(platform.url());
        // Nobody looks by himself.
        config.limits.sweep = Span(Duration::from_secs(3600));
        config.quotas.stored = Some(Bytes(2 * size as u64 + 10));
    })
    .await;
    let mut ids: Vec<Uuid> = Vec::new();
    for _ in 0..3 {
        let id = put(&world, &body).await.id;
        assert_eq!(world.settled(id).await.state, UploadState::Done);
        ids.push(id);
    }
    let duplicates = async || [world.upload(ids[1]).await.duplicate_of, world.upload(ids[2]).await.duplicate_of];
    assert_eq!(duplicates().await, [Some(ids[0]), Some(ids[0])]);
    // The file counts once, whichever of them are left.
    problem(announce(&world, size + 11).await, 413, "quota-exceeded").await;
    let delete = async |id: Uuid| world.store().delete_prefix(&format!("default/sources/{id}")).await.unwrap();
    delete(ids[0]).await;
    problem(announce(&world, size + 11).await, 413, "quota-exceeded").await;
    problem(world.request(Method::GET, &format!("/uploads/{}", ids[0])).send().await.unwrap(), 410, "gone").await;
    assert_eq!(duplicates().await, [None, Some(ids[1])]);
    delete(ids[1]).await;
    problem(announce(&world, size + 11).await, 413, "quota-exceeded").await;
    delete(ids[2]).await;
    assert_eq!(announce(&world, size + 11).await.status(), 201, "the last one frees it, at once");
}

#[tokio::test]
async fn deleted_assets_make_room_for_what_comes_without_a_length_or_is_pulled() {
    let platform = Platform::start().await;
    let body = std::fs::read(clips::recipe("audio-only").seconds(1.0).make()).unwrap();
    let world = World::start_with(|config| {
        config.host.router = Some(platform.url());
        config.limits.sweep = Span(Duration::from_secs(3600));
        config.quotas.stored = Some(Bytes(body.len() as u64 + 10));
        config.pulls.allow_private = true;
    })
    .await;
    let done_and_deleted = async |id: Uuid| {
        assert_eq!(world.settled(id).await.state, UploadState::Done);
        world.store().delete_prefix(&format!("default/sources/{id}")).await.unwrap();
    };
    done_and_deleted(put(&world, &body).await.id).await;
    let pieces = body.chunks(4096).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect::<Vec<_>>();
    let endless = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    let request = world.request(Method::PUT, "/files/clip.mp4?chain=none").body(endless);
    let second: Upload = json(request.send().await.unwrap(), 201).await;
    done_and_deleted(second.id).await;
    let served = body.clone();
    let origin = Origin::start(move |_, _| whole(&served)).await;
    let third = pull(&world, &origin.url("/clip.mp4")).await;
    let third = world.settled(third.id).await;
    assert_eq!(third.state, UploadState::Done, "{third:?}");
}

#[tokio::test]
async fn what_failed_is_forgotten_in_time() {
    let world = World::start_with(|config| {
        without_media(config);
        config.limits.expiry = Span(Duration::from_secs(3));
        config.limits.sweep = Span(Duration::from_millis(100));
    })
    .await;
    let empty = put(&world, b"").await.id;
    assert_eq!(world.settled(empty).await.state, UploadState::Failed);
    is_forgotten(&world, empty, &[404]).await;
}

/// As a client leaves it that goes between the announcement and its body: the row is there, and nobody writes.
#[tokio::test]
async fn a_put_that_nobody_writes_holds_no_quota() {
    let world = World::start_with(|config| {
        without_media(config);
        config.limits.idle = Span(Duration::from_secs(1));
        config.limits.sweep = Span(Duration::from_millis(200));
        config.quotas = Quotas { stored: Some(Bytes(10_000)), ..Quotas::default() };
    })
    .await;
    let file = world.config.data.join("ingest.sqlite");
    let left = Uuid::now_v7();
    let database = sqlx::sqlite::SqlitePool::connect(&format!("sqlite://{}", file.display())).await.unwrap();
    let now_ms = time::OffsetDateTime::now_utc().unix_timestamp() * 1000;
    sqlx::query(
        "INSERT INTO uploads (id, tenant, origin, stage, length_bytes, part_bytes, chain, holds_bytes, created_at_ms)
         VALUES (?, 'default', 'put', 'receiving', 9000, 5242880, 'none', 9000, ?)",
    )
    .bind(left.to_string())
    .bind(now_ms)
    .execute(&database)
    .await
    .unwrap();
    database.close().await;
    problem(announce(&world, 2000).await, 413, "quota-exceeded").await;
    is_forgotten(&world, left, &[404, 410]).await;
    assert_eq!(announce(&world, 2000).await.status(), 201);
}

async fn is_forgotten(world: &World, id: Uuid, statuses: &[u16]) {
    eventually(PATIENCE, || async {
        let answer = world.request(Method::GET, &format!("/uploads/{id}")).send().await.unwrap();
        let status = answer.status().as_u16();
        if statuses.contains(&status) { Ok(()) } else { Err(status) }
    })
    .await;
}
