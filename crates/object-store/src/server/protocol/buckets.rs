//! Bucket operations.

use s3s::S3Request;
use s3s::dto::*;

use super::super::buckets as folder_buckets;
use super::super::error::Result;
use super::super::objects::require_bucket;
use super::super::transfer::Backend;

/// The one region there is.
const REGION: &str = "us-east-1";

pub(super) async fn create(backend: &Backend, request: S3Request<CreateBucketInput>) -> Result<CreateBucketOutput> {
    let bucket = request.input.bucket;
    let location = Some(format!("/{bucket}"));
    backend.run(move |folder| folder_buckets::create(folder, &bucket)).await?;
    Ok(CreateBucketOutput { location })
}

pub(super) async fn head(backend: &Backend, request: S3Request<HeadBucketInput>) -> Result<HeadBucketOutput> {
    let bucket = request.input.bucket;
    backend.run(move |folder| require_bucket(folder, &bucket)).await?;
    Ok(HeadBucketOutput { bucket_region: Some(REGION.to_owned()), ..Default::default() })
}

pub(super) async fn delete(backend: &Backend, request: S3Request<DeleteBucketInput>) -> Result<DeleteBucketOutput> {
    let bucket = request.input.bucket;
    backend.run(move |folder| folder_buckets::delete(folder, &bucket)).await?;
    Ok(DeleteBucketOutput::default())
}

pub(super) async fn list(backend: &Backend, request: S3Request<ListBucketsInput>) -> Result<ListBucketsOutput> {
    let prefix = request.input.prefix.unwrap_or_default();
    let buckets = backend.run(|folder| folder_buckets::list(folder)).await?;
    let buckets = buckets
        .into_iter()
        .filter(|bucket| bucket.name.starts_with(&prefix))
        .map(|bucket| Bucket {
            name: Some(bucket.name),
            creation_date: Some(Timestamp::from(bucket.created)),
            ..Default::default()
        })
        .collect();
    Ok(ListBucketsOutput { buckets: Some(buckets), ..Default::default() })
}

pub(super) async fn location(
    backend: &Backend,
    request: S3Request<GetBucketLocationInput>,
) -> Result<GetBucketLocationOutput> {
    let bucket = request.input.bucket;
    backend.run(move |folder| require_bucket(folder, &bucket)).await?;
    // S3 says nothing for us-east-1.
    Ok(GetBucketLocationOutput::default())
}
