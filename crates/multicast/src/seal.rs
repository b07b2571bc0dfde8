//! Packets are sealed with a key that only the transfer's members have, and each is taken once.
//!
//! ```text
//! | transfer (4) | sequence (8) | AES-128-GCM of the packet | tag (16) |
//! ```
//!
//! The first twelve octets are the nonce: the key is the transfer's own, and its sender counts. Whoever lacks the key
//! is dropped before anything is parsed. A member has it, and could forge: so the seal keeps strangers and accidents
//! away, and the digest of each block, which comes on the unicast leg, decides what is believed.
//!
//! What was seen is remembered for the last [`REPLAY_WINDOW`] sequence numbers; older ones are dropped unseen, so a
//! replay costs a look and no decryption.

use std::fmt;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;

/// Octets of a key.
pub const KEY_BYTES: usize = 16;
/// Octets that sealing adds.
pub const SEAL_BYTES: usize = NONCE_LEN + TAG_BYTES;
/// Sequence numbers behind the highest that are still taken.
pub const REPLAY_WINDOW: u64 = 64 * WINDOW_WORDS as u64;

const TAG_BYTES: usize = 16;
/// 4,096 packets: more than a receive buffer can put out of order.
const WINDOW_WORDS: usize = 64;

/// The key of one transfer.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; KEY_BYTES]);

/// Seals one transfer's packets.
pub struct Sealer {
    key: LessSafeKey,
    transfer: u32,
    next: u64,
}

/// Opens one transfer's packets.
pub struct Opener {
    key: LessSafeKey,
    transfer: u32,
    seen: Seen,
}

/// Why a packet was dropped unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Dropped {
    /// It is too short to be sealed.
    #[error("it is shorter than a seal")]
    Short,
    /// It is another transfer's.
    #[error("it belongs to another transfer")]
    Foreign,
    /// It was seen, or is so old that it may have been.
    #[error("it was seen before")]
    Replayed,
    /// Its seal is wrong.
    #[error("its seal is wrong")]
    Forged,
}

/// Which sequence numbers were seen.
#[derive(Clone)]
struct Seen {
    /// One more than the highest.
    end: u64,
    bits: [u64; WINDOW_WORDS],
}

/// The transfer that a sealed packet says it belongs to.
#[must_use]
pub fn transfer_of(sealed: &[u8]) -> Option<u32> {
    let first = sealed.first_chunk::<4>()?;
    (sealed.len() > SEAL_BYTES).then(|| u32::from_be_bytes(*first))
}

fn cipher(key: &Key) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key.0).expect("the key has the cipher's length"))
}

// === impl Key ===

impl Key {
    /// A new one.
    ///
    /// # Panics
    /// When the system has no random numbers: nothing can be kept secret then.
    #[must_use]
    pub fn random() -> Self {
        let mut octets = [0; KEY_BYTES];
        rand::fill(&mut octets).expect("the system gives random numbers");
        Self(octets)
    }

    /// The octets, for the unicast leg.
    #[must_use]
    pub fn octets(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl From<[u8; KEY_BYTES]> for Key {
    fn from(octets: [u8; KEY_BYTES]) -> Self {
        Self(octets)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

// === impl Sealer ===

impl Sealer {
    /// Seals the packets of `transfer`. One sealer a key: a nonce must not come twice.
    #[must_use]
    pub fn new(key: &Key, transfer: u32) -> Self {
        Self { key: cipher(key), transfer, next: 0 }
    }

    /// Appends the sealed form of what `write` appends to `out`.
    pub fn seal(&mut self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        let begins = out.len();
        out.extend_from_slice(&self.transfer.to_be_bytes());
        out.extend_from_slice(&self.next.to_be_bytes());
        self.next += 1;
        let nonce = nonce_of(&out[begins..]);
        write(out);
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut out[begins + NONCE_LEN..]);
        out.extend_from_slice(tag.expect("a datagram is shorter than the cipher's limit").as_ref());
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("transfer", &self.transfer).field("next", &self.next).finish_non_exhaustive()
    }
}

// === impl Opener ===

impl Opener {
    /// Opens the packets of `transfer`.
    #[must_use]
    pub fn new(key: &Key, transfer: u32) -> Self {
        Self { key: cipher(key), transfer, seen: Seen { end: 0, bits: [0; WINDOW_WORDS] } }
    }

    /// Opens a packet where it lies.
    pub fn open<'a>(&mut self, sealed: &'a mut [u8]) -> Result<&'a [u8], Dropped> {
        if transfer_of(sealed).ok_or(Dropped::Short)? != self.transfer {
            return Err(Dropped::Foreign);
        }
        let nonce = nonce_of(sealed);
        let (head, body) = sealed.split_at_mut(NONCE_LEN);
        let mut octets = [0; 8];
        octets.copy_from_slice(&head[4..]);
        let sequence = u64::from_be_bytes(octets);
        if !self.seen.is_new(sequence) {
            return Err(Dropped::Replayed);
        }
        let plain = self.key.open_in_place(nonce, Aad::empty(), body).map_err(|_| Dropped::Forged)?;
        // Only what was sealed with the key moves the window: nobody else can push it on.
        self.seen.insert(sequence);
        Ok(plain)
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("transfer", &self.transfer).finish_non_exhaustive()
    }
}

fn nonce_of(sealed: &[u8]) -> Nonce {
    let first = sealed.first_chunk::<NONCE_LEN>().expect("the caller has looked at the length");
    Nonce::assume_unique_for_key(*first)
}

// === impl Seen ===

impl Seen {
    fn is_new(&self, sequence: u64) -> bool {
        if sequence >= self.end {
            return sequence < u64::MAX;
        }
        let (word, bit) = Self::place(sequence);
        self.end - sequence <= REPLAY_WINDOW && self.bits[word] & bit == 0
    }

    fn insert(&mut self, sequence: u64) {
        let (word, bit) = Self::place(sequence);
        if sequence >= self.end {
            // What lies between was not seen, and its places held what is too old now.
            let skipped = (sequence - self.end).min(REPLAY_WINDOW);
            for passed in sequence - skipped..=sequence {
                let (word, bit) = Self::place(passed);
                self.bits[word] &= !bit;
            }
            self.end = sequence + 1;
        }
        self.bits[word] |= bit;
    }

    fn place(sequence: u64) -> (usize, u64) {
        let at = sequence % REPLAY_WINDOW;
        ((at / 64) as usize, 1 << (at % 64))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn pair() -> (Sealer, Opener) {
        let key = Key::random();
        (Sealer::new(&key, 7), Opener::new(&key, 7))
    }

    fn sealed(sealer: &mut Sealer, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        sealer.seal(&mut out, |out| out.extend_from_slice(text));
        out
    }

    #[test]
    fn what_was_sealed_is_opened_once() {
        let (mut sealer, mut opener) = pair();
        let packet = sealed(&mut sealer, b"symbol");
        assert_eq!(opener.open(&mut packet.clone()), Ok(&b"symbol"[..]));
        assert_eq!(opener.open(&mut packet.clone()), Err(Dropped::Replayed));
        assert_eq!(packet.len(), SEAL_BYTES + 6);
    }

    #[test]
    fn another_key_another_transfer_and_every_changed_bit_are_dropped() {
        let (mut sealer, mut opener) = pair();
        let (mut stranger, _) = pair();
        assert_eq!(opener.open(&mut sealed(&mut stranger, b"symbol")), Err(Dropped::Forged));
        let packet = sealed(&mut sealer, b"symbol");
        for bit in 0..packet.len() * 8 {
            let mut changed = packet.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(opener.open(&mut changed).is_err(), "bit {bit}");
        }
        for length in 0..packet.len() {
            assert!(opener.open(&mut packet[..length].to_vec()).is_err(), "{length} octets");
        }
        assert_eq!(opener.open(&mut packet.clone()), Ok(&b"symbol"[..]), "strangers have moved no window");
    }

    proptest! {
        #[test]
        fn a_number_is_taken_once_and_never_when_it_is_old(numbers in prop::collection::vec(prop_oneof![0u64..200, 0u64..20_000], 1..300)) {
            let mut seen = Seen { end: 0, bits: [0; WINDOW_WORDS] };
            let mut taken = BTreeSet::new();
            for number in numbers {
                let is_old = taken.last().is_some_and(|highest| number + REPLAY_WINDOW <= *highest);
                prop_assert_eq!(seen.is_new(number), !is_old && !taken.contains(&number));
                if seen.is_new(number) {
                    seen.insert(number);
                    taken.insert(number);
                }
            }
        }
    }
}
