//! Bodies between the socket and the disk: blocks that are large enough to make the hop to a blocking thread
//! cheap, one on its way to or from the disk while the next one is on the wire.
//!
//! Per upload at most two batches of [`WRITE_BATCH_BYTES`] are in memory, per download two blocks of
//! [`READ_BLOCK_BYTES`]. No thread waits for a slow peer: a thread is borrowed for one block.

use std::collections::VecDeque;
use std::fs::File;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::HeaderMap;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::Checksum as _;
use s3s::dto::{Checksum, StreamingBlob};
use s3s::stream::{ByteStream, RemainingLength};
use s3s::{StdError, TrailingHeaders};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::data::{DataWriter, Digests, EtagKind, Written, read_block};
use super::error::{BackendError, Result};
use super::folder::Folder;
use super::intents::Place;
use super::manifest::Piece;
use super::pins::Pinned;

/// Bytes written and hashed in one go.
const WRITE_BATCH_BYTES: usize = 1024 * 1024;
/// Bytes read and sent in one go.
const READ_BLOCK_BYTES: u64 = 512 * 1024;
/// A body that says nothing for so long is given up: it holds one of the few places for writes.
const IDLE_BODY: Duration = Duration::from_secs(60);
/// S3's largest single body.
pub(crate) const MAX_BODY_BYTES: u64 = 5 * 1024 * 1024 * 1024;

/// The folder as async code sees it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Backend {
    pub folder: Arc<Folder>,
    /// Every piece of blocking work; the server waits for it when it stops.
    pub tasks: TaskTracker,
    /// Places for bodies being written.
    pub writes: Arc<Semaphore>,
}

/// What the request announced about its body.
#[derive(Debug, Default)]
pub(crate) struct Announced {
    pub size_bytes: Option<u64>,
    pub md5_base64: Option<String>,
    pub checksums: Checksum,
    /// The checksum that comes after the body.
    pub trailer: Option<Trailer>,
}

/// A checksum announced by `x-amz-trailer`.
#[derive(Debug)]
pub(crate) struct Trailer {
    pub name: &'static str,
    pub headers: TrailingHeaders,
}

/// The bytes of a range of an object, with one block of read-ahead.
pub(crate) struct ObjectStream {
    folder: Arc<Folder>,
    tasks: TaskTracker,
    pieces: VecDeque<Piece>,
    remaining_bytes: u64,
    reading: Option<JoinHandle<Result<Block>>>,
    _pinned: Pinned,
}

struct Block {
    bytes: Bytes,
    /// The rest of the piece and its open file, if the piece goes on.
    rest: Option<(Piece, File)>,
}

// === impl Backend ===

impl Backend {
    /// Runs work on the disk where it may block.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Folder>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let folder = Arc::clone(&self.folder);
        self.tasks.spawn_blocking(move || work(&folder)).await.map_err(BackendError::Interrupted)?
    }

    /// Takes a whole body to the disk. Nothing is left of one that breaks off.
    pub(crate) async fn receive(
        &self,
        body: Option<StreamingBlob>,
        announced: Announced,
        etag: EtagKind,
        place: Place,
    ) -> Result<Written> {
        let size_bytes = announced.size_bytes.unwrap_or(0);
        if size_bytes > MAX_BODY_BYTES {
            return Err(BackendError::TooLarge { limit_bytes: MAX_BODY_BYTES });
        }
        let _place = self.writes.acquire().await.expect("the semaphore is never closed");
        let mut digests = Digests::new(etag, announced.md5_base64.is_some(), announced.hasher());
        // Before the first byte is asked for: a client that waits for `100 Continue` is spared the sending.
        let mut writer = self
            .run(move |folder| {
                folder.check_space(size_bytes)?;
                DataWriter::create(folder, place)
            })
            .await?;
        if let Some(mut body) = body {
            let mut batch = next_batch(&mut body).await?;
            while !batch.is_empty() {
                let blocks: Arc<[Bytes]> = batch.into();
                let same_blocks = Arc::clone(&blocks);
                let writing: JoinHandle<Result<DataWriter>> = self.tasks.spawn_blocking(move || {
                    writer.write(&blocks)?;
                    Ok(writer)
                });
                let hashing = self.tasks.spawn_blocking(move || {
                    digests.update(&same_blocks);
                    digests
                });
                batch = next_batch(&mut body).await?;
                writer = writing.await.map_err(BackendError::Interrupted)??;
                digests = hashing.await.map_err(BackendError::Interrupted)?;
                if writer.size_bytes() > MAX_BODY_BYTES {
                    return Err(BackendError::TooLarge { limit_bytes: MAX_BODY_BYTES });
                }
            }
        }
        self.finish(writer, digests, announced).await
    }

    async fn finish(&self, writer: DataWriter, digests: Digests, announced: Announced) -> Result<Written> {
        // Before the sync, which is the expensive part.
        announced.check_size(writer.size_bytes())?;
        let written = self.run(move |_| writer.finish(digests)).await?;
        announced.check_digests(&written)?;
        Ok(written)
    }
}

/// The next blocks of a body, about [`WRITE_BATCH_BYTES`] in all; none at its end.
async fn next_batch(body: &mut StreamingBlob) -> Result<Vec<Bytes>> {
    let mut batch = Vec::new();
    let mut size_bytes = 0;
    while size_bytes < WRITE_BATCH_BYTES {
        let next = tokio::time::timeout(IDLE_BODY, body.next()).await;
        match next.map_err(|_| BackendError::IdleBody { idle_s: IDLE_BODY.as_secs() })? {
            Some(block) => {
                let block = block.map_err(BackendError::BrokenBody)?;
                size_bytes += block.len();
                batch.push(block);
            }
            None => break,
        }
    }
    batch.retain(|block| !block.is_empty());
    Ok(batch)
}

// === impl Announced ===

impl Announced {
    /// The trailer that a request announces, if it is a checksum that can be verified.
    pub(crate) fn trailer(headers: &HeaderMap, trailing: Option<TrailingHeaders>) -> Option<Trailer> {
        let announced = headers.get("x-amz-trailer")?.to_str().ok()?;
        let name = ALGORITHMS.iter().find(|algorithm| algorithm.header.eq_ignore_ascii_case(announced.trim()))?.header;
        trailing.map(|headers| Trailer { name, headers })
    }

    fn hasher(&self) -> ChecksumHasher {
        let mut hasher = ChecksumHasher::default();
        for algorithm in &ALGORITHMS {
            let trails = self.trailer.as_ref().is_some_and(|trailer| trailer.name == algorithm.header);
            if trails || (algorithm.value)(&self.checksums).is_some() {
                (algorithm.enable)(&mut hasher);
            }
        }
        hasher
    }

    fn check_size(&self, got_bytes: u64) -> Result<()> {
        match self.size_bytes {
            Some(expected_bytes) if expected_bytes != got_bytes => {
                Err(BackendError::IncompleteBody { got_bytes, expected_bytes })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn check_digests(&self, written: &Written) -> Result<()> {
        if let Some(md5) = &self.md5_base64
            && Some(md5) != written.md5.as_ref().map(base64_of_md5).as_ref()
        {
            return Err(BackendError::BadDigest { algorithm: "MD5" });
        }
        for algorithm in &ALGORITHMS {
            let announced = match &self.trailer {
                Some(trailer) if trailer.name == algorithm.header => trailer
                    .headers
                    .read(|headers| headers.get(trailer.name).and_then(|value| value.to_str().ok().map(str::to_owned)))
                    .flatten(),
                Some(_) | None => (algorithm.value)(&self.checksums).clone(),
            };
            if announced.is_some() && announced != *(algorithm.value)(&written.checksums) {
                return Err(BackendError::BadDigest { algorithm: algorithm.header });
            }
        }
        Ok(())
    }
}

/// One of S3's additional checksums, as the protocol crate holds it.
struct Algorithm {
    header: &'static str,
    value: fn(&Checksum) -> &Option<String>,
    enable: fn(&mut ChecksumHasher),
}

const ALGORITHMS: [Algorithm; 5] = [
    Algorithm {
        header: "x-amz-checksum-crc32",
        value: |checksums| &checksums.checksum_crc32,
        enable: |hasher| hasher.crc32 = Some(s3s::crypto::Crc32::new()),
    },
    Algorithm {
        header: "x-amz-checksum-crc32c",
        value: |checksums| &checksums.checksum_crc32c,
        enable: |hasher| hasher.crc32c = Some(s3s::crypto::Crc32c::new()),
    },
    Algorithm {
        header: "x-amz-checksum-crc64nvme",
        value: |checksums| &checksums.checksum_crc64nvme,
        enable: |hasher| hasher.crc64nvme = Some(s3s::crypto::Crc64Nvme::new()),
    },
    Algorithm {
        header: "x-amz-checksum-sha1",
        value: |checksums| &checksums.checksum_sha1,
        enable: |hasher| hasher.sha1 = Some(s3s::crypto::Sha1::new()),
    },
    Algorithm {
        header: "x-amz-checksum-sha256",
        value: |checksums| &checksums.checksum_sha256,
        enable: |hasher| hasher.sha256 = Some(s3s::crypto::Sha256::new()),
    },
];

/// Standard base64 (RFC 4648 section 4) of a digest.
fn base64_of_md5(md5: &[u8; 16]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(md5)
}

// === impl ObjectStream ===

impl ObjectStream {
    pub(crate) fn new(backend: &Backend, pieces: Vec<Piece>, pinned: Pinned) -> Self {
        let mut stream = Self {
            folder: Arc::clone(&backend.folder),
            tasks: backend.tasks.clone(),
            remaining_bytes: pieces.iter().map(|piece| piece.size_bytes).sum(),
            pieces: pieces.into(),
            reading: None,
            _pinned: pinned,
        };
        stream.read_ahead(None);
        stream
    }

    fn read_ahead(&mut self, rest: Option<(Piece, File)>) {
        let (piece, open) = match rest {
            Some((piece, file)) => (piece, Some(file)),
            None => match self.pieces.pop_front() {
                Some(piece) => (piece, None),
                None => return,
            },
        };
        let folder = Arc::clone(&self.folder);
        self.reading = Some(self.tasks.spawn_blocking(move || {
            let (file, bytes) = read_block(&folder, piece, READ_BLOCK_BYTES, open)?;
            let got_bytes = bytes.len() as u64;
            let rest = Piece {
                offset_bytes: piece.offset_bytes + got_bytes,
                size_bytes: piece.size_bytes - got_bytes,
                ..piece
            };
            Ok(Block { bytes, rest: (rest.size_bytes > 0).then_some((rest, file)) })
        }));
    }
}

impl Stream for ObjectStream {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(reading) = &mut self.reading else { return Poll::Ready(None) };
        let result = ready!(Pin::new(reading).poll(cx)).map_err(BackendError::Interrupted).flatten();
        self.reading = None;
        match result {
            Ok(block) => {
                self.remaining_bytes -= block.bytes.len() as u64;
                self.read_ahead(block.rest);
                Poll::Ready(Some(Ok(block.bytes)))
            }
            Err(error) => {
                // The status line is long gone: the connection breaks off, which is all a client can be told.
                tracing::error!(error = &error as &dyn std::error::Error, "reading an object broke off");
                self.pieces.clear();
                Poll::Ready(Some(Err(error.into())))
            }
        }
    }
}

impl ByteStream for ObjectStream {
    fn remaining_length(&self) -> RemainingLength {
        RemainingLength::new_exact(usize::try_from(self.remaining_bytes).expect("64-bit sizes"))
    }
}
