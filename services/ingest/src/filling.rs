//! The part that fills, and the digests of the bytes in it.
//!
//! Bytes are copied once, into the memory that the store gets. Hashing takes longer than all else that happens to them,
//! so it is done beside it: while one batch is hashed where work may block, the next one arrives. Batches are pieces of
//! the part's own memory, handed to the hasher and back, so nothing is held twice.

use bytes::{Bytes, BytesMut};
use flame_object_store::aligned_buffer;
use tokio::task::JoinHandle;

use crate::digest::{Promise, RunningSha256};

/// Bytes hashed in one go: enough to make the hop to another thread cheap.
const BATCH_BYTES: usize = 1024 * 1024;

/// What is computed over the bytes.
#[derive(Debug)]
pub struct Digests {
    /// Of the upload from its first byte on.
    pub sha256: RunningSha256,
    /// Of this request's bytes, if it promised one.
    pub promise: Option<Promise>,
}

/// Memory of one part, filled from its beginning on.
#[derive(Debug)]
pub struct Filling {
    /// The beginning, hashed.
    hashed: BytesMut,
    hasher: Hasher,
    /// What follows: not hashed yet, and the room for more.
    fresh: BytesMut,
    size_bytes: usize,
}

#[derive(Debug)]
enum Hasher {
    /// Has hashed all that it got.
    Resting(Box<Digests>),
    /// Hashes what follows the beginning.
    Working(JoinHandle<(Box<Digests>, BytesMut)>),
    /// Only while it changes hands.
    Away,
}

// === impl Filling ===

impl Filling {
    /// A part in `memory` that begins with what is there already and was hashed before.
    #[must_use]
    pub fn new(mut memory: BytesMut, digests: Digests) -> Self {
        let hashed = memory.split();
        Self { size_bytes: hashed.len(), hashed, hasher: Hasher::Resting(Box::new(digests)), fresh: memory }
    }

    /// Memory for a part of `capacity_bytes`: set aside at once, so that it never grows by copying, and where a disk can
    /// take it as it is. The system gives it as it is filled.
    #[must_use]
    pub fn room(capacity_bytes: usize) -> BytesMut {
        aligned_buffer(capacity_bytes)
    }

    /// Bytes in it.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Takes more bytes, for which there must be room. It waits while the batch before is still being hashed.
    pub async fn push(&mut self, piece: &[u8]) {
        self.fresh.extend_from_slice(piece);
        self.size_bytes += piece.len();
        if self.fresh.len() >= BATCH_BYTES {
            let mut digests = self.rest().await;
            let batch = self.fresh.split();
            self.hasher = Hasher::Working(tokio::task::spawn_blocking(move || {
                digests.update(&batch);
                (digests, batch)
            }));
        }
    }

    /// The digests of all bytes so far.
    pub async fn digests(&mut self) -> &mut Digests {
        let mut digests = self.rest().await;
        // Less than a batch: not worth the hop.
        let batch = self.fresh.split();
        digests.update(&batch);
        self.join(batch);
        self.hasher = Hasher::Resting(digests);
        match &mut self.hasher {
            Hasher::Resting(digests) => digests,
            Hasher::Working(_) | Hasher::Away => unreachable!("it was set to rest just now"),
        }
    }

    /// Gives the bytes away and goes on in `memory`, which is empty. Their digests have been asked for before.
    pub fn replace(&mut self, memory: BytesMut) -> Bytes {
        debug_assert!(self.fresh.is_empty(), "bytes go nowhere without having been hashed");
        self.size_bytes = 0;
        self.fresh = memory;
        std::mem::take(&mut self.hashed).freeze()
    }

    /// Goes on in `memory`, which begins with what was given away last and is hashed already.
    pub fn resume(&mut self, mut memory: BytesMut) {
        debug_assert!(self.size_bytes == 0, "what is there would be lost");
        self.hashed = memory.split();
        self.size_bytes = self.hashed.len();
        self.fresh = memory;
    }

    /// Waits for the batch that is being hashed and takes the digests; whoever asks puts them back.
    async fn rest(&mut self) -> Box<Digests> {
        match std::mem::replace(&mut self.hasher, Hasher::Away) {
            Hasher::Resting(digests) => digests,
            Hasher::Working(task) => {
                let (digests, batch) = task.await.expect("hashing neither panics nor is it aborted");
                self.join(batch);
                digests
            }
            Hasher::Away => unreachable!("digests are put back by who takes them"),
        }
    }

    /// Puts a hashed batch back where it was cut off: the same memory, so nothing is copied.
    fn join(&mut self, batch: BytesMut) {
        self.hashed.unsplit(batch);
    }
}

// === impl Digests ===

impl Digests {
    fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(promise) = &mut self.promise {
            promise.update(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;

    fn digests() -> Digests {
        Digests { sha256: RunningSha256::default(), promise: None }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn whatever_the_pieces_bytes_and_digest_are_those_that_came(
            pieces in prop::collection::vec(0_usize..900_000, 0..8),
            asked_after in prop::collection::vec(any::<bool>(), 8),
            before in 0_usize..5_000,
        ) {
            let size = pieces.iter().sum::<usize>();
            let all: Vec<u8> = (0..before + size).map(|at| (at * 31 % 251) as u8).collect();
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
            runtime.block_on(async {
                let mut memory = Filling::room(all.len());
                memory.extend_from_slice(&all[..before]);
                let mut start = digests();
                start.update(&all[..before]);
                let begins_at = memory.as_ptr();
                let mut filling = Filling::new(memory, start);
                let mut at = before;
                for (piece, asks) in pieces.iter().zip(&asked_after) {
                    filling.push(&all[at..at + piece]).await;
                    at += piece;
                    if *asks {
                        assert_eq!(filling.digests().await.sha256.hex(), hex::encode(Sha256::digest(&all[..at])));
                    }
                }
                assert_eq!(filling.size_bytes(), all.len());
                assert_eq!(filling.digests().await.sha256.hex(), hex::encode(Sha256::digest(&all)));
                let part = filling.replace(BytesMut::new());
                assert!(part == all, "other bytes");
                assert_eq!(filling.size_bytes(), 0);
                if !all.is_empty() {
                    assert_eq!(part.as_ptr(), begins_at, "the part was copied");
                    let mut again = part.try_into_mut().expect("nobody else holds the memory");
                    again.clear();
                    assert_eq!(again.as_ptr(), begins_at, "the memory is as good the second time");
                    assert!(again.capacity() >= all.len());
                }
            });
        }
    }
}
