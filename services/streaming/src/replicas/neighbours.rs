//! The stores of other sites, asked by name through the router. `store` names all of them; the own one says 421 of what it has not, and
//! the router searches on, the nearest site first (docs/decisions/0008). Whoever answers says a digest of each block (RFC 9530), and
//! which object it is (`If-Range`), so blocks of different objects are never put together. Whatever comes with a digest is held to it, also
//! what goes on to viewers.

use std::error::Error;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use flame_api::Client;
use flame_naming::Label;
use flame_object_store::{ObjectInfo, StoreError};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use reqwest::header::{self, HeaderName};
use reqwest::{Method, Response, StatusCode};
use sha2::{Digest, Sha256};

use super::BLOCK_BYTES;

/// The digest of a body (RFC 9530).
pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
/// How often a block is asked for: another site may have it, too.
const TRIES: u32 = 3;

/// Bytes of an object on their way.
pub(crate) type Arriving = BoxStream<'static, Result<Bytes, StoreError>>;

/// All other stores. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Neighbours {
    client: Client,
    name: Arc<str>,
    deadline: Duration,
}

/// `Content-Digest` of these bytes.
pub(crate) fn content_digest(bytes: &[u8]) -> String {
    digest_field(Sha256::new_with_prefix(bytes))
}

fn digest_field(hash: Sha256) -> String {
    format!("sha-256=:{}:", STANDARD.encode(hash.finalize()))
}

// === impl Neighbours ===

impl Neighbours {
    /// Those behind `name`; each has `deadline` to begin, and between two pieces.
    pub(crate) fn new(client: Client, name: &str, deadline: Duration) -> Self {
        Self { client, name: name.into(), deadline }
    }

    /// Looks at an object; [`StoreError::NotFound`] where nobody who was reached has it.
    pub(crate) async fn head(&self, key: &str, from: Option<&Label>) -> Result<ObjectInfo, StoreError> {
        let answer = self.ask((Method::HEAD, "look at"), (key, from), &[]).await?;
        let field = |name: HeaderName| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let size_bytes = field(header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
        let etag = field(header::ETAG).map(|etag| etag.trim_matches('"').to_owned());
        let (Some(size_bytes), Some(etag)) = (size_bytes, etag) else {
            return Err(away("look at", key, "the answer has no length or no ETag"));
        };
        let content_type = field(header::CONTENT_TYPE).map(str::to_owned);
        Ok(ObjectInfo { size_bytes, etag, content_type, modified: None })
    }

    /// Opens a range, and says how long what comes is.
    pub(crate) async fn open(&self, key: &str, range: Range<u64>) -> Result<(u64, Arriving), StoreError> {
        let fields = [(header::RANGE, bytes_of(&range))];
        let answer = self.ask((Method::GET, "get"), (key, None), &fields).await?;
        let size_bytes = length(key, &answer)?;
        Ok((size_bytes, arriving(answer, key, size_bytes, self.deadline)))
    }

    /// A whole object in memory, of at most `max_bytes`.
    pub(crate) async fn get(&self, key: &str, max_bytes: u64) -> Result<Bytes, StoreError> {
        let answer = self.ask((Method::GET, "get"), (key, None), &[]).await?;
        let size_bytes = length(key, &answer)?;
        if size_bytes > max_bytes {
            return Err(StoreError::TooLarge { operation: "get", key: key.to_owned(), size_bytes, max_bytes });
        }
        collected(arriving(answer, key, size_bytes, self.deadline), size_bytes).await
    }

    /// A block of the object that has this ETag, held to the digest that came with it.
    pub(crate) async fn block(
        &self,
        (key, from): (&str, Option<&Label>),
        etag: &str,
        range: Range<u64>,
    ) -> Result<Bytes, StoreError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let mut tries = 0;
        loop {
            tries += 1;
            match self.block_once((key, from), etag, range.clone()).await {
                Err(error @ StoreError::Unavailable { .. }) if tries < TRIES => {
                    tracing::debug!(key, ?range, tries, %error, "a block is asked for again");
                }
                settled => return settled,
            }
        }
    }

    async fn block_once(
        &self,
        (key, from): (&str, Option<&Label>),
        etag: &str,
        range: Range<u64>,
    ) -> Result<Bytes, StoreError> {
        let fields = [(header::RANGE, bytes_of(&range)), (header::IF_RANGE, format!("\"{etag}\""))];
        let answer = self.ask((Method::GET, "get a block of"), (key, from), &fields).await?;
        let wanted_bytes = range.end - range.start;
        if answer.status() != StatusCode::PARTIAL_CONTENT || length(key, &answer)? != wanted_bytes {
            return Err(away("get a block of", key, "what answers has another object than the one that began"));
        }
        if !answer.headers().contains_key(CONTENT_DIGEST) {
            return Err(away("get a block of", key, "it has no digest"));
        }
        collected(arriving(answer, key, wanted_bytes, self.deadline), wanted_bytes).await
    }

    async fn ask(
        &self,
        (method, operation): (Method, &'static str),
        (key, from): (&str, Option<&Label>),
        fields: &[(HeaderName, String)],
    ) -> Result<Response, StoreError> {
        let name = match from {
            Some(site) => format!("{site}--{}", self.name),
            None => self.name.to_string(),
        };
        let request = self.client.request(method, &name, "objects").query(&[("key", key)]);
        let request = fields.iter().fold(request, |request, (field, value)| request.header(field, value));
        match tokio::time::timeout(self.deadline, request.send()).await {
            Err(_elapsed) => Err(away(operation, key, "no store answered in time")),
            Ok(Err(error)) => Err(away(operation, key, error)),
            Ok(Ok(answer)) if answer.status().is_success() => Ok(answer),
            Ok(Ok(answer)) if answer.status() == StatusCode::MISDIRECTED_REQUEST => {
                Err(StoreError::NotFound { operation, key: key.to_owned() })
            }
            Ok(Ok(answer)) => Err(away(operation, key, format!("a store answered {}", answer.status()))),
        }
    }
}

fn bytes_of(range: &Range<u64>) -> String {
    format!("bytes={}-{}", range.start, range.end.saturating_sub(1))
}

fn length(key: &str, answer: &Response) -> Result<u64, StoreError> {
    answer.content_length().ok_or_else(|| away("get", key, "the answer does not say how long it is"))
}

/// The body, with a bound on the time between two pieces. One that is short ends with an error, and so does one that is not what its digest
/// says; what is longer than a block has none.
fn arriving(answer: Response, key: &str, size_bytes: u64, patience: Duration) -> Arriving {
    let key: Arc<str> = key.into();
    let said = answer.headers().get(CONTENT_DIGEST).cloned().map(|digest| (digest, Sha256::new()));
    let begun = (answer.bytes_stream().boxed(), size_bytes, said);
    let pieces = stream::try_unfold(begun, move |(mut body, left_bytes, mut said)| {
        let key = Arc::clone(&key);
        async move {
            match tokio::time::timeout(patience, body.next()).await {
                Err(_elapsed) => Err(away("read", &key, "nothing came for too long")),
                Ok(Some(Err(error))) => Err(away("read", &key, error)),
                Ok(Some(Ok(piece))) => {
                    let left_bytes = left_bytes.saturating_sub(piece.len() as u64);
                    if let Some((_, hash)) = &mut said {
                        hash.update(&piece);
                    }
                    // Before the last piece goes on: who has as many bytes as were promised asks for no more.
                    if left_bytes == 0
                        && let Some((digest, hash)) = said.take()
                        && digest != digest_field(hash)
                    {
                        return Err(away("read", &key, "it is not what its digest says"));
                    }
                    Ok(Some((piece, (body, left_bytes, said))))
                }
                Ok(None) if left_bytes > 0 => {
                    Err(away("read", &key, format!("the body ended {left_bytes} bytes early")))
                }
                Ok(None) => Ok(None),
            }
        }
    });
    pieces.boxed()
}

/// All of it in memory: room is made for one block at once, and for more as it comes.
async fn collected(mut pieces: Arriving, size_bytes: u64) -> Result<Bytes, StoreError> {
    let room = usize::try_from(size_bytes.min(BLOCK_BYTES)).unwrap_or(0);
    let mut bytes = BytesMut::with_capacity(room);
    while let Some(piece) = pieces.next().await {
        bytes.extend_from_slice(&piece?);
    }
    Ok(bytes.freeze())
}

fn away(operation: &'static str, key: &str, source: impl Into<Box<dyn Error + Send + Sync>>) -> StoreError {
    StoreError::Unavailable { operation, key: key.to_owned(), source: source.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_written_as_rfc_9530_does() {
        // Its example, appendix B.1: the JSON object with a line feed behind it.
        let body = b"{\"hello\": \"world\"}\n";
        assert_eq!(content_digest(body), "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:");
    }

    #[tokio::test]
    async fn the_last_piece_of_what_is_not_what_its_digest_says_never_comes() {
        let arriving = |digest: String| {
            let answer = axum::http::Response::builder().header(CONTENT_DIGEST, digest).body("some bytes").unwrap();
            arriving(Response::from(answer), "key", 10, Duration::from_secs(60))
        };
        let whole = collected(arriving(content_digest(b"some bytes")), 10).await.unwrap();
        assert_eq!(&whole[..], b"some bytes");
        let lie: Vec<_> = arriving(content_digest(b"other bytes")).collect().await;
        assert!(lie.len() == 1 && lie[0].is_err(), "{lie:?}");
    }
}
