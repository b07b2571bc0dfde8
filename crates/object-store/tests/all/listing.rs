//! Listings: order, pages, delimiters; and what is done to prefixes.

use std::collections::BTreeSet;

use aws_sdk_s3::Client;
use bytes::Bytes;

use crate::world::{BUCKET, World};

/// Keys whose order on disk and as text could differ: neighbours of `/`, long pieces, empty pieces, no ASCII.
fn keys() -> BTreeSet<String> {
    let mut keys: BTreeSet<String> =
        ["a", "a/", "a/b", "a/b/c", "a!", "a0", "a//b", "/", "/x", "b/1", "b/2", "b/22", "b0/x", "é", "é/ü", "~"]
            .map(str::to_owned)
            .into();
    let long = "l".repeat(80);
    for tail in ["", "!", "/", "/x", "m", "0/y"] {
        keys.insert(format!("{long}{tail}"));
    }
    keys.insert("é".repeat(150));
    keys
}

async fn filled() -> (World, BTreeSet<String>) {
    let world = World::start().await;
    let keys = keys();
    for key in &keys {
        world.store.put(key, Bytes::from_static(b"x"), "a/b").await.unwrap();
    }
    (world, keys)
}

/// Everything a listing says, in its order, through pages of `page` entries: keys, and prefixes marked `>`.
async fn list(sdk: &Client, prefix: &str, delimiter: Option<&str>, after: Option<&str>, page: i32) -> Vec<String> {
    let mut seen = Vec::new();
    let mut token = None;
    loop {
        let request = sdk.list_objects_v2().bucket(BUCKET).prefix(prefix).max_keys(page);
        let request = request.set_delimiter(delimiter.map(str::to_owned)).set_start_after(after.map(str::to_owned));
        let answer = request.set_continuation_token(token).send().await.unwrap();
        let mut entries: Vec<(String, bool)> =
            answer.contents().iter().map(|object| (object.key().unwrap().to_owned(), false)).collect();
        entries.extend(answer.common_prefixes().iter().map(|common| (common.prefix().unwrap().to_owned(), true)));
        entries.sort();
        assert!(entries.len() <= usize::try_from(page).unwrap());
        assert_eq!(answer.key_count(), i32::try_from(entries.len()).ok());
        seen.extend(entries.into_iter().map(|(name, common)| if common { format!(">{name}") } else { name }));
        token = answer.next_continuation_token;
        if token.is_none() {
            return seen;
        }
    }
}

/// The same from the definition.
fn expected(keys: &BTreeSet<String>, prefix: &str, delimiter: Option<&str>, after: Option<&str>) -> Vec<String> {
    let mut expected: Vec<String> = Vec::new();
    for key in keys.iter().filter(|key| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after)) {
        let rest = &key[prefix.len()..];
        let entry = match delimiter.and_then(|delimiter| Some(rest.find(delimiter)? + delimiter.len())) {
            Some(end) => format!(">{}", &key[..prefix.len() + end]),
            None => key.clone(),
        };
        if expected.last() != Some(&entry) {
            expected.push(entry);
        }
    }
    expected
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_is_what_the_definition_says() {
    let (world, keys) = filled().await;
    let sdk = world.sdk();
    let long = "l".repeat(80);
    let prefixes = ["", "a", "a/", "a/b", "b", "b/2", "/", "é", "x", long.as_str(), &long[..79], "a//"];
    for prefix in prefixes {
        for delimiter in [None, Some("/"), Some("2"), Some("b/")] {
            for after in [None, Some("a"), Some("a/b"), Some("b/1"), Some("zz")] {
                for page in [1, 3, 1000] {
                    let got = list(&sdk, prefix, delimiter, after, page).await;
                    let want = expected(&keys, prefix, delimiter, after);
                    assert_eq!(got, want, "prefix {prefix:?} delimiter {delimiter:?} after {after:?} page {page}");
                }
            }
        }
    }
    assert!(list_page_of_nothing(&sdk).await);
    world.stop().await;
}

async fn list_page_of_nothing(sdk: &Client) -> bool {
    let answer = sdk.list_objects_v2().bucket(BUCKET).max_keys(0).send().await.unwrap();
    answer.contents().is_empty() && answer.is_truncated() == Some(false)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_version_of_listing_agrees() {
    let (world, keys) = filled().await;
    let sdk = world.sdk();
    let mut seen = Vec::new();
    let mut marker = None;
    loop {
        let page = sdk.list_objects().bucket(BUCKET).max_keys(4).set_marker(marker).send().await.unwrap();
        seen.extend(page.contents().iter().map(|object| object.key().unwrap().to_owned()));
        marker = page.next_marker;
        if marker.is_none() {
            break;
        }
    }
    assert_eq!(seen, keys.into_iter().collect::<Vec<_>>());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_is_listed_and_deleted_and_its_neighbours_stay() {
    let (world, keys) = filled().await;
    let page = world.store.list("b/", None).await.unwrap();
    let listed: Vec<&str> = page.objects.iter().map(|object| object.key.as_str()).collect();
    assert_eq!(listed, ["b/1", "b/2", "b/22"]);
    assert!(page.next.is_none());
    assert_eq!(page.objects[0].size_bytes, 1);
    assert_eq!(page.objects[0].etag, "9dd4e461268c8034f5c8564e155c67a6");

    assert_eq!(world.store.delete_prefix("b/").await.unwrap(), 3);
    assert_eq!(world.store.delete_prefix("b/").await.unwrap(), 0);
    let left = world.store.list("", None).await.unwrap().objects;
    assert_eq!(left.len(), keys.len() - 3);
    assert_eq!(world.store.delete_prefix("").await.unwrap(), left.len() as u64);
    assert!(world.store.list("", None).await.unwrap().objects.is_empty());
    world.stop().await;
}
