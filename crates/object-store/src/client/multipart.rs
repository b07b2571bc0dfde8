//! Objects in parts: uploads that outlive a process, files of any size, copies.

use std::ops::Range;
use std::path::Path;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::error::{StoreError, classify};
use super::{Store, unquote};

/// Size of a part, unless the file needs larger ones.
const PART_BYTES: u64 = 8 * 1024 * 1024;
/// S3's number of parts.
const MAX_PARTS: u64 = 10_000;
/// Parts of one file in flight: with [`PART_BYTES`] the memory of [`Store::put_file`].
const PARTS_IN_FLIGHT: usize = 4;
/// S3's largest copy in one request.
const MAX_COPY_BYTES: u64 = 5 * 1024 * 1024 * 1024;
/// Size of a part that the store copies by itself.
const COPY_PART_BYTES: u64 = 1024 * 1024 * 1024;

/// A multipart upload. Its two names survive a restart in whatever store the caller keeps them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MultipartUpload {
    /// Key of the object to be.
    pub key: String,
    /// The store's name for the upload.
    pub id: String,
}

/// A stored part, as the completion names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartTag {
    /// Its number, from 1 to 10,000.
    pub number: u16,
    /// Its ETag, without quotes.
    pub etag: String,
    /// Its size.
    pub size_bytes: u64,
}

/// A part size with which an object of `size_bytes` fits into S3's 10,000 parts: 8 MiB, and whole MiB beyond
/// 78 GiB.
pub fn part_size_bytes(size_bytes: u64) -> u64 {
    const MIB: u64 = 1024 * 1024;
    size_bytes.div_ceil(MAX_PARTS).next_multiple_of(MIB).max(PART_BYTES)
}

// === impl Store ===

impl Store {
    /// Begins a multipart upload.
    ///
    /// # Errors
    /// [`StoreError::StorageFull`], [`StoreError::Unavailable`].
    pub async fn create_multipart(&self, key: &str, content_type: &str) -> Result<MultipartUpload, StoreError> {
        let request = self.client.create_multipart_upload().bucket(&self.bucket).key(key).content_type(content_type);
        let answer = request.send().await.map_err(|error| classify("create upload of", key, error))?;
        match answer.upload_id {
            Some(id) => Ok(MultipartUpload { key: key.to_owned(), id }),
            None => Err(StoreError::Unavailable {
                operation: "create upload of",
                key: key.to_owned(),
                source: "the store's answer names no upload".into(),
            }),
        }
    }

    /// Stores a part; one of the same number is replaced. Every part but the last has at least 5 MiB.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the upload is over; [`StoreError::StorageFull`], [`StoreError::Unavailable`].
    pub async fn upload_part(
        &self,
        upload: &MultipartUpload,
        number: u16,
        bytes: Bytes,
    ) -> Result<PartTag, StoreError> {
        let size_bytes = bytes.len() as u64;
        let request = self
            .client
            .upload_part()
            .bucket(&self.bucket)
            .key(&upload.key)
            .upload_id(&upload.id)
            .part_number(number.into())
            .body(ByteStream::from(bytes))
            .customize();
        let request = if self.sign_payload { request } else { request.disable_payload_signing() };
        let answer = request.send().await.map_err(|error| classify("upload part of", &upload.key, error))?;
        Ok(PartTag { number, etag: unquote(answer.e_tag()), size_bytes })
    }

    /// The stored parts of an open upload, by number.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the upload is over; [`StoreError::Unavailable`].
    pub async fn list_parts(&self, upload: &MultipartUpload) -> Result<Vec<PartTag>, StoreError> {
        let mut parts = Vec::new();
        let mut marker = None;
        loop {
            let request = self
                .client
                .list_parts()
                .bucket(&self.bucket)
                .key(&upload.key)
                .upload_id(&upload.id)
                .set_part_number_marker(marker.take());
            let answer = request.send().await.map_err(|error| classify("list parts of", &upload.key, error))?;
            parts.extend(answer.parts.unwrap_or_default().into_iter().filter_map(|part| {
                Some(PartTag {
                    number: part.part_number.and_then(|number| u16::try_from(number).ok())?,
                    etag: unquote(part.e_tag.as_deref()),
                    size_bytes: part.size.and_then(|size| u64::try_from(size).ok())?,
                })
            }));
            if answer.is_truncated != Some(true) || answer.next_part_number_marker.is_none() {
                return Ok(parts);
            }
            marker = answer.next_part_number_marker;
        }
    }

    /// Makes the parts, in ascending order, the object; returns its ETag. May be repeated after a lost answer.
    ///
    /// # Errors
    /// [`StoreError::Rejected`] (`InvalidPart`, `EntityTooSmall`), [`StoreError::NotFound`] if the upload was
    /// aborted, [`StoreError::Unavailable`].
    pub async fn complete_multipart(&self, upload: &MultipartUpload, parts: &[PartTag]) -> Result<String, StoreError> {
        let name = |part: &PartTag| {
            CompletedPart::builder().part_number(part.number.into()).e_tag(format!("\"{}\"", part.etag)).build()
        };
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.iter().map(name).collect())).build();
        let request = self
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(&upload.key)
            .upload_id(&upload.id)
            .multipart_upload(parts);
        let answer = request.send().await.map_err(|error| classify("complete upload of", &upload.key, error))?;
        Ok(unquote(answer.e_tag()))
    }

    /// Gives an upload up and frees its parts. One that is over is a success.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn abort_multipart(&self, upload: &MultipartUpload) -> Result<(), StoreError> {
        let request = self.client.abort_multipart_upload().bucket(&self.bucket).key(&upload.key).upload_id(&upload.id);
        match request.send().await.map_err(|error| classify("abort upload of", &upload.key, error)) {
            Ok(_) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(other) => Err(other),
        }
    }

    /// Uploads a file of any size with at most four parts in memory; returns its ETag. A failed upload is aborted;
    /// one whose future is dropped stays open until [`list_multipart`](Self::list_multipart) finds it.
    ///
    /// # Errors
    /// [`StoreError::File`], also if the file shrinks meanwhile; [`StoreError::StorageFull`],
    /// [`StoreError::Unavailable`].
    pub async fn put_file(&self, key: &str, path: &Path, content_type: &str) -> Result<String, StoreError> {
        let file_error = |action| move |source| StoreError::File { action, path: path.to_owned(), source };
        let size_bytes = tokio::fs::metadata(path).await.map_err(file_error("inspect"))?.len();
        if size_bytes <= PART_BYTES {
            let bytes = read_part(path, 0, size_bytes).await.map_err(file_error("read"))?;
            return self.put(key, bytes, content_type).await;
        }
        let upload = self.create_multipart(key, content_type).await?;
        let result = self.put_parts(&upload, path, size_bytes).await;
        if let Err(error) = &result
            && let Err(abort) = self.abort_multipart(&upload).await
        {
            tracing::warn!(%error, %abort, key, "a failed upload could not be aborted");
        }
        result
    }

    async fn put_parts(&self, upload: &MultipartUpload, path: &Path, size_bytes: u64) -> Result<String, StoreError> {
        let part_bytes = part_size_bytes(size_bytes);
        let numbers = 1..=u16::try_from(size_bytes.div_ceil(part_bytes)).expect("at most 10,000 parts");
        let mut parts: Vec<PartTag> = stream::iter(numbers)
            .map(|number| async move {
                let offset_bytes = u64::from(number - 1) * part_bytes;
                let bytes = read_part(path, offset_bytes, part_bytes.min(size_bytes - offset_bytes))
                    .await
                    .map_err(|source| StoreError::File { action: "read", path: path.to_owned(), source })?;
                self.upload_part(upload, number, bytes).await
            })
            .buffer_unordered(PARTS_IN_FLIGHT)
            .try_collect()
            .await?;
        parts.sort_by_key(|part| part.number);
        self.complete_multipart(upload, &parts).await
    }

    /// Copies an object within the bucket; the store moves the bytes. Replaces `to`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::StorageFull`], [`StoreError::Unavailable`].
    pub async fn copy(&self, from: &str, to: &str) -> Result<(), StoreError> {
        let not_found = || StoreError::NotFound { operation: "copy", key: from.to_owned() };
        let info = self.head(from).await?.ok_or_else(not_found)?;
        if info.size_bytes <= MAX_COPY_BYTES {
            let request = self.client.copy_object().bucket(&self.bucket).key(to).copy_source(self.copy_source(from));
            return request.send().await.map(drop).map_err(|error| classify("copy", from, error));
        }
        let content_type = info.content_type.as_deref().unwrap_or("application/octet-stream");
        let upload = self.create_multipart(to, content_type).await?;
        let result = self.copy_parts(&upload, from, info.size_bytes).await;
        if result.is_err() {
            self.abort_multipart(&upload).await?;
        }
        result
    }

    /// Makes a range of an object of this bucket a part; the store moves the bytes. At most 5 GiB, and at least 5 MiB unless it is
    /// the last part. A part of the same number is replaced.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is no such object or the upload is over; [`StoreError::StorageFull`],
    /// [`StoreError::Unavailable`].
    pub async fn copy_part(
        &self,
        upload: &MultipartUpload,
        number: u16,
        from: &str,
        range: Range<u64>,
    ) -> Result<PartTag, StoreError> {
        let request = self
            .client
            .upload_part_copy()
            .bucket(&self.bucket)
            .key(&upload.key)
            .upload_id(&upload.id)
            .part_number(number.into())
            .copy_source(self.copy_source(from))
            .copy_source_range(format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
        let answer = request.send().await.map_err(|error| classify("copy part of", from, error))?;
        let etag = unquote(answer.copy_part_result().and_then(|part| part.e_tag()));
        Ok(PartTag { number, etag, size_bytes: range.end - range.start })
    }

    async fn copy_parts(&self, upload: &MultipartUpload, from: &str, size_bytes: u64) -> Result<(), StoreError> {
        let mut parts = Vec::new();
        let mut offset_bytes = 0;
        while offset_bytes < size_bytes {
            let end_bytes = (offset_bytes + COPY_PART_BYTES).min(size_bytes);
            let number = u16::try_from(parts.len() + 1).expect("10,000 parts of 1 GiB are S3's largest object twice");
            parts.push(self.copy_part(upload, number, from, offset_bytes..end_bytes).await?);
            offset_bytes = end_bytes;
        }
        self.complete_multipart(upload, &parts).await.map(drop)
    }

    /// The source header: path segments escaped, slashes kept.
    fn copy_source(&self, key: &str) -> String {
        const KEPT: &percent_encoding::AsciiSet =
            &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');
        format!("{}/{}", self.bucket, percent_encoding::utf8_percent_encode(key, KEPT))
    }
}

async fn read_part(path: &Path, offset_bytes: u64, size_bytes: u64) -> std::io::Result<Bytes> {
    let mut file = File::open(path).await?;
    file.set_max_buf_size(usize::try_from(size_bytes.clamp(1, PART_BYTES)).expect("at most PART_BYTES"));
    file.seek(std::io::SeekFrom::Start(offset_bytes)).await?;
    let mut bytes = vec![0; usize::try_from(size_bytes).expect("a part fits into memory")];
    file.read_exact(&mut bytes).await?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_size_fits_into_the_parts() {
        for size_bytes in [1, PART_BYTES, 78 << 30, 79 << 30, 5 << 40] {
            let part_bytes = part_size_bytes(size_bytes);
            assert!(part_bytes >= PART_BYTES);
            assert!(size_bytes.div_ceil(part_bytes) <= MAX_PARTS, "{size_bytes}");
        }
    }
}
