//! Reading objects: whole up to a limit, as a stream, or into a file.

use std::ops::Range;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aws_sdk_s3::primitives::SdkBody;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::error::{StoreError, classify};
use super::{ObjectInfo, Store, unquote};

/// Memory set aside before a body is read; more is added as bytes arrive, whatever length was announced.
const FIRST_BUFFER_BYTES: u64 = 1024 * 1024;

/// The body of an object or of a range of it: a stream of blocks.
///
/// It ends with an error if the connection breaks; a short body never looks like a whole one.
#[derive(Debug)]
pub struct ObjectBody {
    /// The whole object, also if this is a range.
    pub info: ObjectInfo,
    /// Bytes that this body has.
    pub size_bytes: u64,
    key: String,
    remaining_bytes: u64,
    body: Pin<Box<SdkBody>>,
}

// === impl Store ===

impl Store {
    /// Reads a whole object into memory, if it has at most `max_bytes`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::TooLarge`], [`StoreError::Unavailable`].
    pub async fn get(&self, key: &str, max_bytes: u64) -> Result<Bytes, StoreError> {
        self.get_tagged(key, max_bytes).await.map(|(bytes, _)| bytes)
    }

    /// [`get`](Self::get), with the ETag of what was read.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn get_tagged(&self, key: &str, max_bytes: u64) -> Result<(Bytes, String), StoreError> {
        let body = self.stream(key, None).await?;
        if body.size_bytes > max_bytes {
            let size_bytes = body.size_bytes;
            return Err(StoreError::TooLarge { operation: "get", key: key.to_owned(), size_bytes, max_bytes });
        }
        let etag = body.info.etag.clone();
        Ok((body.collect_bytes().await?, etag))
    }

    /// Reads a range into memory: the caller's range is the limit. A range that goes beyond the end is cut off.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Rejected`] (`InvalidRange`) if it begins at or beyond the end;
    /// [`StoreError::Unavailable`].
    pub async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let wanted_bytes = range.end - range.start;
        let body = self.stream(key, Some(range)).await?;
        if body.size_bytes > wanted_bytes {
            // A store without ranges sends everything.
            let size_bytes = body.size_bytes;
            let (operation, key) = ("get range of", key.to_owned());
            return Err(StoreError::TooLarge { operation, key, size_bytes, max_bytes: wanted_bytes });
        }
        body.collect_bytes().await
    }

    /// Opens an object, or a range of it, as a stream.
    ///
    /// # Errors
    /// As [`get_range`](Self::get_range).
    pub async fn stream(&self, key: &str, range: Option<Range<u64>>) -> Result<ObjectBody, StoreError> {
        let range = range.map(|range| format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
        let request = self.client.get_object().bucket(&self.bucket).key(key).set_range(range);
        let answer = request.send().await.map_err(|error| classify("get", key, error))?;
        let size_bytes = answer.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or(0);
        let whole_bytes = answer
            .content_range()
            .and_then(|range| range.rsplit_once('/'))
            .and_then(|(_, whole)| whole.parse().ok())
            .unwrap_or(size_bytes);
        Ok(ObjectBody {
            info: ObjectInfo {
                size_bytes: whole_bytes,
                etag: unquote(answer.e_tag()),
                content_type: answer.content_type().map(str::to_owned),
                modified: answer.last_modified().and_then(|time| std::time::SystemTime::try_from(*time).ok()),
            },
            size_bytes,
            key: key.to_owned(),
            remaining_bytes: size_bytes,
            body: Box::pin(answer.body.into_inner()),
        })
    }

    /// Writes an object into a file, which is made or replaced. On an error the file is left as it is then.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Unavailable`], [`StoreError::File`].
    pub async fn download(&self, key: &str, path: &Path) -> Result<ObjectInfo, StoreError> {
        let file_error = |action| move |source| StoreError::File { action, path: path.to_owned(), source };
        let mut body = self.stream(key, None).await?;
        let mut file = File::create(path).await.map_err(file_error("create"))?;
        file.set_max_buf_size(1024 * 1024);
        while let Some(block) = body.next().await {
            file.write_all(&block?).await.map_err(file_error("write"))?;
        }
        file.flush().await.map_err(file_error("write"))?;
        Ok(body.info)
    }
}

// === impl ObjectBody ===

impl ObjectBody {
    /// The whole body in memory. Check [`size_bytes`](Self::size_bytes) first.
    async fn collect_bytes(mut self) -> Result<Bytes, StoreError> {
        let first_bytes = self.size_bytes.min(FIRST_BUFFER_BYTES);
        let mut bytes = BytesMut::with_capacity(usize::try_from(first_bytes).expect("a small constant"));
        while let Some(block) = self.next().await {
            bytes.extend_from_slice(&block?);
        }
        Ok(bytes.freeze())
    }

    fn broken(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
        StoreError::Unavailable { operation: "read", key: self.key.clone(), source: source.into() }
    }
}

impl Stream for ObjectBody {
    type Item = Result<Bytes, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            return Poll::Ready(match ready!(http_body::Body::poll_frame(self.body.as_mut(), cx)) {
                Some(Ok(frame)) => {
                    // Trailers are no content.
                    let Ok(block) = frame.into_data() else { continue };
                    self.remaining_bytes = self.remaining_bytes.saturating_sub(block.len() as u64);
                    Some(Ok(block))
                }
                Some(Err(error)) => {
                    // Reported once; after it the stream is over.
                    self.remaining_bytes = 0;
                    self.body = Box::pin(SdkBody::empty());
                    Some(Err(self.broken(error)))
                }
                None if self.remaining_bytes > 0 => {
                    let missing = format!("the body ended {} bytes early", self.remaining_bytes);
                    self.remaining_bytes = 0;
                    Some(Err(self.broken(missing)))
                }
                None => None,
            });
        }
    }
}
