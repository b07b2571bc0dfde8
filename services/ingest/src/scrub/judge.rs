//! What an object is to be held against, and whether its bytes are what they were. Pure.
//!
//! Who wrote an object noted a digest somewhere: of a source in our database, of a packaged track in the index beside it, of
//! anything that the embedded store took in one request in its ETag.

use aws_lc_rs::digest::{Context, SHA256};
use flame_cmaf::index::TrackIndex;
use md5::{Digest, Md5};
use uuid::Uuid;

/// Kinds of objects, by their keys (docs/storage-format.md).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// The source of an upload: our database has its SHA-256.
    Source(Uuid),
    /// A packaged track: the index under this key has the SHA-256 of each piece.
    Track {
        /// Key of the index.
        index_key: String,
    },
    /// The index of a packaged track, which has to be there.
    Index {
        /// Key of the track.
        track_key: String,
    },
    /// What lies there of an upload until it is complete. Its ETag may say something.
    Upload(Uuid),
    /// Anything else: its ETag may say something.
    Other,
}

/// What a piece of an object is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// What it is called where it is damaged.
    pub name: String,
    /// Its length.
    pub size_bytes: u64,
    /// Its SHA-256, lower-case hex.
    pub sha256: String,
}

/// What an object is held against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Promise {
    /// These pieces, one after the other, and nothing behind them.
    Pieces(Vec<Piece>),
    /// The MD5 of the whole, lower-case hex.
    Md5(String),
    /// Nobody has noted anything that could be compared.
    Nothing,
}

/// Takes the bytes of an object as they come, and says what is wrong with them.
#[derive(Debug)]
pub struct Judge {
    promise: Promise,
    piece: usize,
    piece_bytes: u64,
    sha256: Sha256Context,
    md5: Md5,
    wrong: Option<String>,
}

/// `Context` prints nothing of itself.
struct Sha256Context(Context);

/// The kind of the object under this key of a tenant.
#[must_use]
pub fn kind(tenant: &str, key: &str) -> Kind {
    let Some(path) = key.strip_prefix(tenant).and_then(|rest| rest.strip_prefix('/')) else { return Kind::Other };
    if let Some(id) = path.strip_prefix("sources/") {
        return id.parse().map_or(Kind::Other, Kind::Source);
    }
    if let Some(rest) = path.strip_prefix("uploads/") {
        let id = rest.split('/').next().unwrap_or_default();
        return id.parse().map_or(Kind::Other, Kind::Upload);
    }
    if path.starts_with("media/") {
        if let Some(stem) = key.strip_suffix(".index.json") {
            return Kind::Index { track_key: format!("{stem}.mp4") };
        }
        if let Some(stem) = key.strip_suffix(".mp4") {
            return Kind::Track { index_key: format!("{stem}.index.json") };
        }
    }
    Kind::Other
}

/// The asset, or channel, that the object under this key belongs to.
#[must_use]
pub fn asset(tenant: &str, key: &str) -> Option<Uuid> {
    let path = key.strip_prefix(tenant)?.strip_prefix('/')?;
    let (_, rest) = path.split_once('/')?;
    let name = rest.split(['/', '.']).next()?;
    name.parse().ok()
}

/// What the index of a track says of it.
#[must_use]
pub fn of_index(index: &TrackIndex) -> Promise {
    let init = Piece {
        name: "the init segment".to_owned(),
        size_bytes: index.init_size_bytes,
        sha256: index.init_sha256.clone(),
    };
    let segments = index.segments.iter().enumerate().map(|(number, segment)| Piece {
        name: format!("segment {number}"),
        size_bytes: segment.size_bytes,
        sha256: segment.sha256.clone(),
    });
    Promise::Pieces(std::iter::once(init).chain(segments).collect())
}

/// What an ETag says, where the store is the embedded one: elsewhere it may be anything.
#[must_use]
pub fn of_etag(etag: &str, is_embedded: bool) -> Promise {
    let is_md5 = etag.len() == 32 && etag.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_embedded && is_md5 { Promise::Md5(etag.to_owned()) } else { Promise::Nothing }
}

// === impl Judge ===

impl Judge {
    /// Of an object that is to be what `promise` says.
    #[must_use]
    pub fn new(promise: Promise) -> Self {
        let sha256 = Sha256Context(Context::new(&SHA256));
        let mut judge = Self { promise, piece: 0, piece_bytes: 0, sha256, md5: Md5::new(), wrong: None };
        judge.end_pieces();
        judge
    }

    /// The next bytes.
    pub fn take(&mut self, mut bytes: &[u8]) {
        match &self.promise {
            Promise::Nothing => {}
            Promise::Md5(_) => self.md5.update(bytes),
            Promise::Pieces(_) => {
                while !bytes.is_empty() && self.wrong.is_none() {
                    let Some(left) = self.left_bytes() else {
                        self.wrong = Some("it is longer than it was".to_owned());
                        return;
                    };
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    self.sha256.0.update(&bytes[..taken]);
                    self.piece_bytes += taken as u64;
                    bytes = &bytes[taken..];
                    self.end_pieces();
                }
            }
        }
    }

    /// All bytes were there: what is wrong with them, if something is.
    #[must_use]
    pub fn end(self) -> Option<String> {
        match &self.promise {
            Promise::Nothing => None,
            Promise::Md5(md5) => {
                (hex::encode(self.md5.finalize()) != *md5).then(|| "its bytes are not those of its ETag".to_owned())
            }
            Promise::Pieces(pieces) => {
                let is_short = self.piece < pieces.len();
                self.wrong.or_else(|| is_short.then(|| "it is shorter than it was".to_owned()))
            }
        }
    }

    /// Bytes that are missing of the piece at hand; `None` behind the last.
    fn left_bytes(&self) -> Option<u64> {
        match &self.promise {
            Promise::Pieces(pieces) => pieces.get(self.piece).map(|piece| piece.size_bytes - self.piece_bytes),
            Promise::Md5(_) | Promise::Nothing => None,
        }
    }

    /// Compares the pieces that are whole.
    fn end_pieces(&mut self) {
        while self.left_bytes() == Some(0) && self.wrong.is_none() {
            let whole = std::mem::replace(&mut self.sha256.0, Context::new(&SHA256)).finish();
            let Promise::Pieces(pieces) = &self.promise else { return };
            let piece = &pieces[self.piece];
            if hex::encode(whole) != piece.sha256 {
                self.wrong = Some(format!("{} has not the SHA-256 that it had", piece.name));
            }
            self.piece += 1;
            self.piece_bytes = 0;
        }
    }
}

impl std::fmt::Debug for Sha256Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sha256Context")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces(bytes: &[u8], cuts: &[usize]) -> Vec<Piece> {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let sha256 = |bytes: &[u8]| hex::encode(aws_lc_rs::digest::digest(&SHA256, bytes));
        let piece = |cut: &[usize]| {
            let part = &bytes[cut[0]..cut[1]];
            Piece { name: format!("{cut:?}"), size_bytes: part.len() as u64, sha256: sha256(part) }
        };
        cuts.windows(2).map(piece).collect()
    }

    fn judged(promise: Promise, bytes: &[u8], step: usize) -> Option<String> {
        let mut judge = Judge::new(promise);
        bytes.chunks(step).for_each(|block| judge.take(block));
        judge.end()
    }

    proptest! {
        #[test]
        fn every_flip_cut_and_growth_is_found_and_nothing_else(
            bytes in prop::collection::vec(any::<u8>(), 1..300),
            cuts in prop::collection::vec(any::<usize>(), 0..6),
            step in 1_usize..50,
            at in any::<prop::sample::Index>(),
            bit in 0_u8..8,
        ) {
            let md5 = Promise::Md5(hex::encode(Md5::digest(&bytes)));
            for promise in [Promise::Pieces(pieces(&bytes, &cuts)), md5] {
                prop_assert_eq!(judged(promise.clone(), &bytes, step), None);
                let mut flipped = bytes.clone();
                flipped[at.index(bytes.len())] ^= 1 << bit;
                prop_assert!(judged(promise.clone(), &flipped, step).is_some());
                prop_assert!(judged(promise.clone(), &bytes[..at.index(bytes.len())], step).is_some());
                let longer = [bytes.as_slice(), &[0]].concat();
                prop_assert!(judged(promise, &longer, step).is_some());
            }
        }

        #[test]
        fn no_key_is_too_strange(tenant in "[a-z]{1,5}", key in any::<String>()) {
            let _ = (kind(&tenant, &key), asset(&tenant, &key));
            let _ = kind(&tenant, &format!("{tenant}/{key}"));
        }
    }

    #[test]
    fn keys_say_what_they_are() {
        let id: Uuid = "0198a1b2-0000-7000-8000-000000000001".parse().unwrap();
        assert_eq!(kind("a", &format!("a/sources/{id}")), Kind::Source(id));
        assert_eq!(kind("a", &format!("a/uploads/{id}/tail-7")), Kind::Upload(id));
        assert_eq!(kind("b", &format!("a/sources/{id}")), Kind::Other);
        let index_key = format!("a/media/{id}/0123/v720.index.json");
        let track_key = format!("a/media/{id}/0123/v720.mp4");
        assert_eq!(kind("a", &track_key), Kind::Track { index_key: index_key.clone() });
        assert_eq!(kind("a", &index_key), Kind::Index { track_key: track_key.clone() });
        for key in [
            format!("a/posters/{id}.jpg"),
            track_key,
            format!("a/live/{id}/v/t/4.m4s"),
            format!("a/channels/{id}.json"),
        ] {
            assert_eq!(asset("a", &key), Some(id), "{key}");
        }
        assert_eq!(asset("a", "a/whatever"), None);
        assert_eq!(
            of_etag("d41d8cd98f00b204e9800998ecf8427e", true),
            Promise::Md5("d41d8cd98f00b204e9800998ecf8427e".to_owned())
        );
        assert_eq!(of_etag("d41d8cd98f00b204e9800998ecf8427e", false), Promise::Nothing);
        assert_eq!(of_etag("d41d8cd98f00b204e9800998ecf8427e-2", true), Promise::Nothing);
    }
}
