//! Buckets.

use aws_sdk_s3::error::ProvideErrorMetadata;
use bytes::Bytes;

use crate::world::{BUCKET, World};

#[tokio::test(flavor = "multi_thread")]
async fn buckets_come_and_go() {
    let world = World::start().await;
    world.store.ensure_bucket().await.unwrap();
    let sdk = world.sdk();
    sdk.create_bucket().bucket("other").send().await.unwrap();
    sdk.head_bucket().bucket("other").send().await.unwrap();
    let names = |answer: aws_sdk_s3::operation::list_buckets::ListBucketsOutput| {
        answer.buckets().iter().map(|bucket| bucket.name().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(sdk.list_buckets().send().await.unwrap()), [BUCKET, "other"]);
    sdk.get_bucket_location().bucket("other").send().await.unwrap();

    sdk.delete_bucket().bucket("other").send().await.unwrap();
    assert!(sdk.head_bucket().bucket("other").send().await.is_err());
    // Made again, its folders must be durable again.
    sdk.create_bucket().bucket("other").send().await.unwrap();
    sdk.put_object().bucket("other").key("a/b").send().await.unwrap();
    let refused = sdk.delete_bucket().bucket("other").send().await.unwrap_err();
    assert_eq!(refused.code(), Some("BucketNotEmpty"));
    sdk.delete_object().bucket("other").key("a/b").send().await.unwrap();
    let upload = sdk.create_multipart_upload().bucket("other").key("m").send().await.unwrap();
    let refused = sdk.delete_bucket().bucket("other").send().await.unwrap_err();
    assert_eq!(refused.code(), Some("BucketNotEmpty"), "an open upload is content");
    let abort = sdk.abort_multipart_upload().bucket("other").key("m").upload_id(upload.upload_id().unwrap());
    abort.send().await.unwrap();
    sdk.delete_bucket().bucket("other").send().await.unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_bucket_is_named() {
    let world = World::start().await;
    let sdk = world.sdk();
    let no_bucket = Some("NoSuchBucket");
    assert_eq!(sdk.get_object().bucket("none").key("k").send().await.unwrap_err().code(), no_bucket);
    assert_eq!(sdk.put_object().bucket("none").key("k").send().await.unwrap_err().code(), no_bucket);
    assert_eq!(sdk.delete_object().bucket("none").key("k").send().await.unwrap_err().code(), no_bucket);
    assert_eq!(sdk.list_objects_v2().bucket("none").send().await.unwrap_err().code(), no_bucket);
    assert_eq!(sdk.create_multipart_upload().bucket("none").key("k").send().await.unwrap_err().code(), no_bucket);
    assert_eq!(sdk.delete_bucket().bucket("none").send().await.unwrap_err().code(), no_bucket);
    world.store.put("k", Bytes::new(), "a/b").await.unwrap();
    let copy = sdk.copy_object().bucket("none").key("k").copy_source(format!("{BUCKET}/k")).send().await;
    assert_eq!(copy.unwrap_err().code(), no_bucket);
    world.stop().await;
}
