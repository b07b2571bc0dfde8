//! Listings, page by page, and what is done to whole prefixes.

use std::time::SystemTime;

use aws_sdk_s3::operation::list_objects_v2::builders::ListObjectsV2FluentBuilder;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};

use super::error::{StoreError, classify};
use super::multipart::MultipartUpload;
use super::{Store, unquote};

/// One object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectSummary {
    /// Its key.
    pub key: String,
    /// Its size.
    pub size_bytes: u64,
    /// Entity tag, without quotes.
    pub etag: String,
}

/// Up to 1,000 objects, in the byte order of their keys.
#[derive(Debug, Clone, Default)]
pub struct ListPage {
    /// The objects.
    pub objects: Vec<ObjectSummary>,
    /// Asks for the next page; `None` on the last.
    pub next: Option<PageToken>,
}

/// Where a listing goes on. Opaque; good for this store only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageToken(String);

/// A multipart upload that was neither completed nor aborted.
#[derive(Debug, Clone)]
pub struct OpenUpload {
    /// What [`Store::abort_multipart`] takes.
    pub upload: MultipartUpload,
    /// When it began.
    pub initiated: Option<SystemTime>,
}

// === impl Store ===

impl Store {
    /// One page of the objects whose key begins with `prefix`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Denied`].
    pub async fn list(&self, prefix: &str, page: Option<PageToken>) -> Result<ListPage, StoreError> {
        let request = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(prefix)
            .set_continuation_token(page.map(|token| token.0));
        page_of(request, prefix).await
    }

    /// Lists a page of the objects whose key begins with `prefix`, in the order of their keys, behind the key `after`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Denied`].
    pub async fn list_after(&self, prefix: &str, after: Option<&str>) -> Result<ListPage, StoreError> {
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix);
        page_of(request.set_start_after(after.map(str::to_owned)), prefix).await
    }

    /// Deletes every object whose key begins with `prefix`; returns how many. Not atomic: objects written
    /// meanwhile may stay.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Denied`]; some objects may be gone then.
    pub async fn delete_prefix(&self, prefix: &str) -> Result<u64, StoreError> {
        let mut deleted = 0;
        loop {
            // Always the first page: what it named is gone the next time.
            let page = self.list(prefix, None).await?;
            if page.objects.is_empty() {
                return Ok(deleted);
            }
            deleted += page.objects.len() as u64;
            self.delete_many(prefix, page.objects).await?;
            if page.next.is_none() {
                return Ok(deleted);
            }
        }
    }

    async fn delete_many(&self, prefix: &str, objects: Vec<ObjectSummary>) -> Result<(), StoreError> {
        let identify = |object: ObjectSummary| {
            ObjectIdentifier::builder().key(object.key).build().expect("the key is the one required field")
        };
        let delete = Delete::builder()
            .quiet(true)
            .set_objects(Some(objects.into_iter().map(identify).collect()))
            .build()
            .expect("the objects are the one required field");
        let request = self.client.delete_objects().bucket(&self.bucket).delete(delete);
        let answer = request.send().await.map_err(|error| classify("delete below", prefix, error))?;
        match answer.errors.unwrap_or_default().into_iter().next() {
            None => Ok(()),
            Some(first) => Err(StoreError::Unavailable {
                operation: "delete",
                key: first.key.unwrap_or_default(),
                source: first.message.or(first.code).unwrap_or_default().into(),
            }),
        }
    }

    /// The open multipart uploads whose key begins with `prefix`, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Denied`].
    pub async fn list_multipart(&self, prefix: &str, limit: usize) -> Result<Vec<OpenUpload>, StoreError> {
        let mut found = Vec::new();
        let (mut key_marker, mut upload_marker) = (None, None);
        loop {
            let request = self
                .client
                .list_multipart_uploads()
                .bucket(&self.bucket)
                .prefix(prefix)
                .set_key_marker(key_marker.take())
                .set_upload_id_marker(upload_marker.take());
            let answer = request.send().await.map_err(|error| classify("list uploads", prefix, error))?;
            for upload in answer.uploads.unwrap_or_default() {
                let (Some(key), Some(id)) = (upload.key, upload.upload_id) else { continue };
                if found.len() == limit {
                    return Ok(found);
                }
                found.push(OpenUpload {
                    upload: MultipartUpload { key, id },
                    initiated: upload.initiated.and_then(|time| SystemTime::try_from(time).ok()),
                });
            }
            if answer.is_truncated != Some(true) || answer.next_key_marker.is_none() {
                return Ok(found);
            }
            key_marker = answer.next_key_marker;
            upload_marker = answer.next_upload_id_marker;
        }
    }
}

async fn page_of(request: ListObjectsV2FluentBuilder, prefix: &str) -> Result<ListPage, StoreError> {
    let answer = request.send().await.map_err(|error| classify("list", prefix, error))?;
    let next = answer.next_continuation_token.map(PageToken);
    let objects = answer
        .contents
        .unwrap_or_default()
        .into_iter()
        .filter_map(|object| {
            Some(ObjectSummary {
                size_bytes: u64::try_from(object.size.unwrap_or(0)).ok()?,
                etag: unquote(object.e_tag.as_deref()),
                key: object.key?,
            })
        })
        .collect();
    Ok(ListPage { objects, next })
}
