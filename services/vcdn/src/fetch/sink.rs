//! Where the body of a fill is written, and when its followers are told.

use std::io;
use std::os::unix::fs::FileExt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::disk::Scratch;
use crate::fill::{Fill, Flow};
use crate::front::Front;
use crate::medium::{self, BodyFile};
use crate::room::Held;
use crate::upstream::UpstreamError;

/// So many followers are a crowd: to wake each of them for every piece costs more than to send it.
const CROWD: usize = 64;
/// A crowd is told when so much has come,
const TELL_BYTES: u64 = 256 << 10;
/// or after this time.
const TELL_AFTER: Duration = Duration::from_millis(5);

/// Where a body is written.
pub(super) struct Sink {
    /// It holds the room: for all of it, where its length is known.
    pub(super) file: Arc<BodyFile>,
    pub(super) scratch: Option<Scratch>,
    /// Of what was written, where it goes to disk; nothing else needs one.
    digest: Option<Sha256>,
    pub(super) written: u64,
    /// When followers were told last, and how much came since.
    told: Instant,
    untold_bytes: u64,
}

/// Whether followers are told now of what was written since they were told last.
fn is_due(followers: usize, untold_bytes: u64, since_told: Duration) -> bool {
    followers < CROWD || untold_bytes >= TELL_BYTES || since_told >= TELL_AFTER
}

// === impl Sink ===

impl Sink {
    /// A file on disk while there is room and it is worth it, in memory else.
    pub(super) fn new(front: &Front, key: &Arc<str>, held: Held) -> io::Result<Self> {
        let is_wanted = front.settings.disk_after <= 1 || front.shelf.count_fetch(key) >= front.settings.disk_after;
        let scratch = match front.shelf.disk().filter(|_| is_wanted && front.has_free_space()) {
            Some(disk) => disk.scratch(held),
            None => return Self::in_memory(held),
        };
        match scratch {
            Ok(scratch) => Ok(Self::empty(Arc::clone(scratch.file()), Some(scratch))),
            Err((error, held)) => {
                tracing::warn!(%error, "the disk tier takes nothing");
                Self::in_memory(held)
            }
        }
    }

    pub(super) fn in_memory(held: Held) -> io::Result<Self> {
        Ok(Self::empty(Arc::new(BodyFile::holding(medium::anonymous()?, held)), None))
    }

    fn empty(file: Arc<BodyFile>, scratch: Option<Scratch>) -> Self {
        let digest = scratch.as_ref().map(|_| Sha256::new());
        Self { file, scratch, digest, written: 0, told: Instant::now(), untold_bytes: 0 }
    }

    /// Begins with a copy of what a broken-off fill has left.
    pub(super) async fn resumed(front: &Front, key: &Arc<str>, partial: &Flow, held: Held) -> io::Result<Self> {
        let mut sink = Self::new(front, key, held)?;
        let (from, written) = (Arc::clone(&partial.file), partial.written);
        let (to, mut digest) = (Arc::clone(&sink.file), sink.digest.take());
        let copy = tokio::task::spawn_blocking(move || {
            let mut at = 0;
            while at < written {
                let length = usize::try_from(written - at).unwrap_or(usize::MAX).min(256 << 10);
                let bytes = medium::read(&from, at, length)?;
                if let Some(digest) = &mut digest {
                    digest.update(&bytes);
                }
                to.write_all_at(&bytes, at)?;
                at += length as u64;
            }
            Ok::<_, io::Error>(digest)
        });
        sink.digest = copy.await.map_err(io::Error::other).flatten()?;
        sink.written = written;
        Ok(sink)
    }

    /// The next piece of `body`. Meanwhile followers are told of what they were not told of yet.
    pub(super) async fn next(
        &mut self,
        front: &Front,
        body: &mut Incoming,
        fill: &Fill,
    ) -> Result<Option<Bytes>, UpstreamError> {
        let mut next = pin!(front.upstream.next(body));
        let mut piece = None;
        if self.untold_bytes > 0 {
            tokio::select! {
                biased;
                next = &mut next => piece = Some(next),
                () = tokio::time::sleep_until(self.told + TELL_AFTER) => self.tell(fill),
            }
        }
        let piece = match piece {
            Some(piece) => piece,
            None => next.await,
        };
        if self.untold_bytes > 0 && !matches!(piece, Ok(Some(_))) {
            self.tell(fill);
        }
        piece
    }

    /// The file on disk and the digest of what is in it, if that is where it was written.
    pub(super) fn take_disk(&mut self) -> Option<(Scratch, String)> {
        let digest = self.digest.take()?;
        Some((self.scratch.take()?, hex::encode(digest.finalize())))
    }

    fn tell(&mut self, fill: &Fill) {
        fill.tell();
        (self.told, self.untold_bytes) = (Instant::now(), 0);
    }

    /// Writes a piece, and tells the followers if it is time.
    pub(super) async fn write(&mut self, data: Bytes, fill: &Fill) -> io::Result<()> {
        let length = data.len() as u64;
        if let Some(mut digest) = self.digest.take() {
            let (file, at, bytes) = (Arc::clone(&self.file), self.written, data.clone());
            let write = move || {
                digest.update(&bytes);
                file.write_all_at(&bytes, at).map(|()| digest)
            };
            match tokio::task::spawn_blocking(write).await.map_err(io::Error::other).flatten() {
                Ok(digest) => self.digest = Some(digest),
                Err(error) => {
                    tracing::warn!(%error, "the disk takes no more; the fill goes on in memory");
                    self.leave_disk(fill)?;
                    self.file.write_all_at(&data, self.written)?;
                }
            }
        } else {
            self.file.write_all_at(&data, self.written)?;
        }
        self.written += length;
        self.untold_bytes += length;
        let tells = is_due(fill.followers(), self.untold_bytes, self.told.elapsed());
        fill.wrote(length, tells);
        if tells {
            (self.told, self.untold_bytes) = (Instant::now(), 0);
        }
        Ok(())
    }

    /// Goes on in memory: the disk is full or gone, viewers need not know.
    fn leave_disk(&mut self, fill: &Fill) -> io::Result<()> {
        let file = match self.file.held() {
            Some(held) => BodyFile::holding(medium::anonymous()?, held.hand_over()),
            None => BodyFile::counted(medium::anonymous()?),
        };
        let file = Arc::new(file);
        let mut at = 0;
        while at < self.written {
            let length = usize::try_from(self.written - at).unwrap_or(usize::MAX).min(256 << 10);
            file.write_all_at(&medium::read(&self.file, at, length)?, at)?;
            at += length as u64;
        }
        self.file = file;
        self.scratch = None;
        self.digest = None;
        fill.moved(&self.file);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_told_at_once_and_a_crowd_of_much_or_after_a_moment() {
        let at = Duration::from_millis;
        assert!(is_due(1, 1, at(0)) && is_due(CROWD - 1, 1, at(0)));
        assert!(!is_due(CROWD, TELL_BYTES - 1, at(4)));
        assert!(is_due(CROWD, TELL_BYTES, at(0)) && is_due(CROWD, 1, at(5)));
    }
}
