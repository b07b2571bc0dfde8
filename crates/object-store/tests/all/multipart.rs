//! Uploads in parts.

use aws_sdk_s3::error::ProvideErrorMetadata;
use bytes::Bytes;
use flame_object_store::{PartTag, StoreError};

use crate::world::{BUCKET, World, random_bytes};

const PART: usize = 5 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn parts_become_the_object_and_ranges_cross_them() {
    let world = World::start().await;
    let store = &world.store;
    let upload = store.create_multipart("m/o", "video/mp4").await.unwrap();
    let whole = random_bytes(2 * PART + 1000);
    let mut tags = Vec::new();
    // Out of order, one of them twice, one that the completion does not name.
    for (number, range) in [(3, 2 * PART..2 * PART + 1000), (1, 0..PART), (2, PART..2 * PART)] {
        tags.push(store.upload_part(&upload, number, whole.slice(range)).await.unwrap());
    }
    store.upload_part(&upload, 1, random_bytes(PART)).await.unwrap();
    tags[1] = store.upload_part(&upload, 1, whole.slice(0..PART)).await.unwrap();
    store.upload_part(&upload, 9, random_bytes(10)).await.unwrap();
    tags.sort_by_key(|tag| tag.number);

    assert_eq!(store.head("m/o").await.unwrap(), None, "nothing is visible before the completion");
    let listed = store.list_parts(&upload).await.unwrap();
    assert_eq!(listed.iter().map(|part| part.number).collect::<Vec<_>>(), [1, 2, 3, 9]);
    assert_eq!(listed[..3], tags);
    let open = store.list_multipart("m/", 10).await.unwrap();
    assert_eq!(open.iter().map(|open| &open.upload).collect::<Vec<_>>(), [&upload]);
    assert!(open[0].initiated.is_some());
    assert!(store.list_multipart("n", 10).await.unwrap().is_empty());

    let etag = store.complete_multipart(&upload, &tags).await.unwrap();
    assert!(etag.ends_with("-3"), "{etag}");
    assert_eq!(store.complete_multipart(&upload, &tags).await.unwrap(), etag, "asked again, the same answer");
    assert!(store.list_multipart("", 10).await.unwrap().is_empty());
    assert!(matches!(store.upload_part(&upload, 4, Bytes::new()).await, Err(StoreError::NotFound { .. })));
    store.abort_multipart(&upload).await.unwrap();

    assert!(store.get("m/o", u64::MAX).await.unwrap() == whole);
    let info = store.head("m/o").await.unwrap().unwrap();
    assert_eq!((info.etag, info.content_type.as_deref()), (etag, Some("video/mp4")));
    for (from, to) in [(PART - 3, PART + 3), (PART - 1, 2 * PART + 1), (2 * PART, 2 * PART + 5)] {
        let range = from as u64..to as u64;
        assert_eq!(store.get_range("m/o", range).await.unwrap(), whole.slice(from..to));
    }
    store.copy("m/o", "copy").await.unwrap();
    store.delete("m/o").await.unwrap();
    assert!(store.get("copy", u64::MAX).await.unwrap() == whole, "a copy outlives its source");
    let again = store.complete_multipart(&upload, &tags).await;
    assert!(matches!(again, Err(StoreError::NotFound { .. })), "{again:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_that_cannot_be_right_is_refused_and_changes_nothing() {
    let world = World::start().await;
    let store = &world.store;
    let upload = store.create_multipart("o", "a/b").await.unwrap();
    let small = store.upload_part(&upload, 1, random_bytes(100)).await.unwrap();
    let last = store.upload_part(&upload, 2, random_bytes(100)).await.unwrap();
    let code = |result: Result<String, StoreError>| match result.unwrap_err() {
        StoreError::Rejected { code, .. } => code,
        other => panic!("{other:?}"),
    };
    let pair = [small.clone(), last.clone()];
    assert_eq!(code(store.complete_multipart(&upload, &pair).await), "EntityTooSmall");
    let twisted = [last.clone(), small.clone()];
    assert_eq!(code(store.complete_multipart(&upload, &twisted).await), "InvalidPartOrder");
    let wrong = [PartTag { etag: last.etag.clone(), ..small.clone() }];
    assert_eq!(code(store.complete_multipart(&upload, &wrong).await), "InvalidPart");
    let missing = [small, PartTag { number: 3, ..last.clone() }];
    assert_eq!(code(store.complete_multipart(&upload, &missing).await), "InvalidPart");
    assert!(store.complete_multipart(&upload, &[]).await.is_err());
    assert_eq!(store.head("o").await.unwrap(), None);
    store.complete_multipart(&upload, &[last]).await.unwrap();
    assert_eq!(store.head("o").await.unwrap().unwrap().size_bytes, 100);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_upload_is_gone_and_an_open_one_survives_a_restart() {
    let world = World::start().await;
    let gone = world.store.create_multipart("gone", "a/b").await.unwrap();
    world.store.upload_part(&gone, 1, random_bytes(PART)).await.unwrap();
    world.store.abort_multipart(&gone).await.unwrap();
    let missing = world.store.upload_part(&gone, 2, Bytes::new()).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })));

    let kept = world.store.create_multipart("kept", "a/b").await.unwrap();
    let first = random_bytes(PART);
    let tag = world.store.upload_part(&kept, 1, first.clone()).await.unwrap();
    let world = world.restart().await;
    let open = world.store.list_multipart("", 10).await.unwrap();
    assert_eq!(open.iter().map(|open| &open.upload).collect::<Vec<_>>(), [&kept]);
    let last = world.store.upload_part(&kept, 2, Bytes::from_static(b"end")).await.unwrap();
    world.store.complete_multipart(&kept, &[tag, last]).await.unwrap();
    let got = world.store.get("kept", u64::MAX).await.unwrap();
    assert!(got[..PART] == first && &got[PART..] == b"end");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_can_be_copied_from_an_object() {
    let world = World::start().await;
    let bytes = random_bytes(PART + 5000);
    world.store.put("source", bytes.clone(), "a/b").await.unwrap();
    let upload = world.store.create_multipart("o", "a/b").await.unwrap();
    let sdk = world.sdk();
    let copy = |number, range: String| {
        sdk.upload_part_copy()
            .bucket(BUCKET)
            .key("o")
            .upload_id(&upload.id)
            .part_number(number)
            .copy_source(format!("{BUCKET}/source"))
            .copy_source_range(range)
            .send()
    };
    let mut tags = Vec::new();
    for (number, range) in [(1, format!("bytes=10-{}", PART + 9)), (2, "bytes=0-9".to_owned())] {
        let answer = copy(number, range).await.unwrap();
        let etag = answer.copy_part_result().unwrap().e_tag().unwrap().trim_matches('"').to_owned();
        tags.push(PartTag { number: u16::try_from(number).unwrap(), etag, size_bytes: 0 });
    }
    let beyond = copy(3, format!("bytes={}-{}", PART + 5000, PART + 6000)).await.unwrap_err();
    assert_eq!(beyond.code(), Some("InvalidRange"));
    world.store.complete_multipart(&upload, &tags).await.unwrap();
    let got = world.store.get("o", u64::MAX).await.unwrap();
    assert!(got[..PART] == bytes[10..PART + 10] && got[PART..] == bytes[..10]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_of_uploads_are_paged() {
    let world = World::start().await;
    let mut ids = Vec::new();
    for key in ["a", "a", "b", "c"] {
        ids.push(world.store.create_multipart(key, "a/b").await.unwrap());
    }
    let sdk = world.sdk();
    let mut seen = Vec::new();
    let (mut key, mut id) = (None, None);
    loop {
        let request = sdk.list_multipart_uploads().bucket(BUCKET).max_uploads(1);
        let page = request.set_key_marker(key).set_upload_id_marker(id).send().await.unwrap();
        seen.extend(page.uploads().iter().map(|upload| upload.upload_id().unwrap().to_owned()));
        if page.is_truncated() != Some(true) {
            break;
        }
        (key, id) = (page.next_key_marker, page.next_upload_id_marker);
    }
    assert_eq!(seen.len(), 4);
    for upload in &ids {
        assert!(seen.contains(&upload.id));
        world.store.abort_multipart(upload).await.unwrap();
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_a_whole_part_of_another_object_is_linked() {
    let world = World::start().await;
    let (first, last) = (random_bytes(PART), random_bytes(5000));
    let source = world.store.create_multipart("source", "a/b").await.unwrap();
    let of_source = [
        world.store.upload_part(&source, 1, first.clone()).await.unwrap(),
        world.store.upload_part(&source, 2, last.clone()).await.unwrap(),
    ];
    world.store.complete_multipart(&source, &of_source).await.unwrap();
    world.store.put("short", last.clone(), "a/b").await.unwrap();
    let before = world.data_inodes();

    let (part, end) = (PART as u64, (PART + 5000) as u64);
    let upload = world.store.create_multipart("o", "a/b").await.unwrap();
    let linked = world.store.copy_part(&upload, 1, "source", 0..part).await.unwrap();
    assert_eq!(linked.etag, of_source[0].etag, "the same bytes, the same ETag");
    assert_eq!(world.data_inodes(), before, "nothing was written");
    // From the middle of a part there is nothing to link.
    let copied = world.store.copy_part(&upload, 2, "source", 10..end).await.unwrap();
    assert_eq!(world.data_inodes().len(), before.len() + 1);
    let short = world.store.copy_part(&upload, 3, "short", 0..5000).await.unwrap();
    assert_eq!(world.data_inodes().len(), before.len() + 1);
    // A part that takes the place of another one, and the source gone before the completion.
    let again = world.store.copy_part(&upload, 1, "source", 0..part).await.unwrap();
    assert_eq!(again, linked);
    world.store.delete("source").await.unwrap();
    world.store.complete_multipart(&upload, &[linked, copied, short]).await.unwrap();
    let got = world.store.get("o", u64::MAX).await.unwrap();
    let wanted = [&first[..], &first[10..], &last[..], &last[..]].concat();
    assert!(got == wanted, "other bytes");
    world.store.delete("o").await.unwrap();
    world.store.delete("short").await.unwrap();
    assert!(world.data_inodes().is_empty(), "nothing is left");
    world.stop().await;
}
