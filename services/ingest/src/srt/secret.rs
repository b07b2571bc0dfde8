//! Encryption of SRT (draft-sharabayko-srt sections 3.2.2 and 6): a passphrase that both sides know opens the keys that a sender makes up,
//! and those open its packets. Pure; nothing here is ever logged.
//!
//! A key message holds a salt and one or two keys, wrapped (RFC 3394) with a key that is derived from the passphrase and the salt
//! (PBKDF2, HMAC-SHA1, 2,048 rounds). Packets are AES in counter mode; the counter begins with the salt and the packet's number, so a
//! packet that is sent again is the same. Senders change keys now and then, and announce the next one before: so there are two, even and odd.

use aws_lc_rs::cipher::{self, DecryptingKey, DecryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::key_wrap::{self, AesKek, KeyWrap};
use aws_lc_rs::pbkdf2;
use std::num::NonZeroU32;
use thiserror::Error;

/// What stands in front of the salt.
const HEAD_BYTES: usize = 16;
const SALT_BYTES: usize = 16;
/// Of the salt, what the key of keys is derived with: its end.
const DERIVED_WITH: usize = 8;
/// Of the salt, what a counter begins with.
const COUNTER_SALT_BYTES: usize = 14;
/// What RFC 3394 adds to what is wrapped.
const WRAPPING_BYTES: usize = 8;
const ROUNDS: NonZeroU32 = NonZeroU32::new(2_048).expect("it is above 0");
/// Version 1, a key message; its signature; AES in counter mode; no authentication; live.
const KIND: u8 = 0x12;
const SIGNATURE: [u8; 2] = [0x20, 0x29];
const AES_COUNTER: u8 = 2;
/// Lengths of passphrases that libsrt takes.
const PASSPHRASE_BYTES: std::ops::RangeInclusive<usize> = 10..=79;
const EVEN: u8 = 0b01;
const ODD: u8 = 0b10;

/// What both sides know.
#[derive(Clone)]
pub struct Passphrase(String);

/// A passphrase that no encoder can be told.
#[derive(Debug, Error)]
#[error("a passphrase of SRT has {} to {} bytes, not {found}", PASSPHRASE_BYTES.start(), PASSPHRASE_BYTES.end())]
pub struct BadPassphrase {
    found: usize,
}

/// Why a key message opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Sealed {
    /// It is none, or of another cipher than AES-128 or AES-256.
    #[error("what it encrypts with is not known here")]
    Unknown,
    /// The passphrase does not open it.
    #[error("its passphrase is another one")]
    Wrong,
}

/// The keys of a sender.
pub struct Secret {
    even: Option<Key>,
    odd: Option<Key>,
    key_bytes: usize,
}

struct Key {
    key: DecryptingKey,
    counter_salt: [u8; COUNTER_SALT_BYTES],
}

// === impl Passphrase ===

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase")
    }
}

impl Passphrase {
    /// One that encoders can be told, without what stands around it in a file.
    ///
    /// # Errors
    /// [`BadPassphrase`].
    pub fn new(text: &str) -> Result<Self, BadPassphrase> {
        let text = text.trim_matches(['\r', '\n']);
        if PASSPHRASE_BYTES.contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadPassphrase { found: text.len() })
        }
    }

    /// The keys of a key message.
    ///
    /// # Errors
    /// [`Sealed`].
    pub fn open(&self, message: &[u8]) -> Result<Secret, Sealed> {
        let (head, rest) = message.split_first_chunk::<HEAD_BYTES>().ok_or(Sealed::Unknown)?;
        let (salt, wrapped) = rest.split_first_chunk::<SALT_BYTES>().ok_or(Sealed::Unknown)?;
        let (which, key_bytes) = (head[3] & 0b11, 4 * usize::from(head[15]));
        let is_known = head[0] == KIND && head[1..3] == SIGNATURE && head[8] == AES_COUNTER && head[9] == 0;
        let keys = usize::from(which & EVEN != 0) + usize::from(which & ODD != 0);
        let (wrapping, algorithm) = match key_bytes {
            16 => (&key_wrap::AES_128, &cipher::AES_128),
            32 => (&key_wrap::AES_256, &cipher::AES_256),
            _ => return Err(Sealed::Unknown),
        };
        let is_whole = 4 * usize::from(head[14]) == SALT_BYTES && wrapped.len() == keys * key_bytes + WRAPPING_BYTES;
        if !is_known || keys == 0 || !is_whole {
            return Err(Sealed::Unknown);
        }
        let mut derived = vec![0; key_bytes];
        let with = &salt[SALT_BYTES - DERIVED_WITH..];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA1, ROUNDS, with, self.0.as_bytes(), &mut derived);
        let mut opened = vec![0; keys * key_bytes];
        let kek = AesKek::new(wrapping, &derived).map_err(|_| Sealed::Unknown)?;
        let opened = kek.unwrap(wrapped, &mut opened).map_err(|_| Sealed::Wrong)?;
        let mut opened = opened.chunks_exact(key_bytes);
        let mut counter_salt = [0; COUNTER_SALT_BYTES];
        counter_salt.copy_from_slice(&salt[..COUNTER_SALT_BYTES]);
        let mut key = |flag: u8| -> Result<Option<Key>, Sealed> {
            if which & flag == 0 {
                return Ok(None);
            }
            let octets = opened.next().ok_or(Sealed::Unknown)?;
            let key = UnboundCipherKey::new(algorithm, octets).and_then(DecryptingKey::ctr);
            key.map(|key| Some(Key { key, counter_salt })).map_err(|_| Sealed::Unknown)
        };
        // The even one stands first.
        let (even, odd) = (key(EVEN)?, key(ODD)?);
        Ok(Secret { even, odd, key_bytes })
    }
}

// === impl Secret ===

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// Length of its keys, as handshakes say it: in eights of octets.
    #[must_use]
    pub fn announced_length(&self) -> u16 {
        u16::try_from(self.key_bytes / 8).unwrap_or(0)
    }

    /// Takes the keys of a later message; those that it does not name stay.
    pub fn renew(&mut self, later: Self) {
        self.even = later.even.or(self.even.take());
        self.odd = later.odd.or(self.odd.take());
    }

    /// The payload of the packet `sequence`, in the clear; `keys` is what it says of the key (`KK`). `None` for a key that was never announced.
    #[must_use]
    pub fn decrypt(&self, sequence: u32, keys: u8, payload: &[u8]) -> Option<Vec<u8>> {
        let Key { key, counter_salt } = match keys {
            EVEN => self.even.as_ref(),
            ODD => self.odd.as_ref(),
            _ => None,
        }?;
        let mut counter = [0; 16];
        counter[..COUNTER_SALT_BYTES].copy_from_slice(counter_salt);
        for (octet, of_number) in counter[10..COUNTER_SALT_BYTES].iter_mut().zip(sequence.to_be_bytes()) {
            *octet ^= of_number;
        }
        let mut clear = payload.to_vec();
        let context = DecryptionContext::Iv128(FixedLength::from(counter));
        key.decrypt(&mut clear, context).ok()?;
        Some(clear)
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::cipher::{EncryptingKey, EncryptionContext};
    use proptest::prelude::*;

    use super::*;

    /// The message of a sender, as the draft draws it.
    fn message(passphrase: &str, salt: [u8; 16], which: u8, keys: &[u8], key_bytes: usize) -> Vec<u8> {
        let mut derived = vec![0; key_bytes];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA1, ROUNDS, &salt[8..], passphrase.as_bytes(), &mut derived);
        let wrapping = if key_bytes == 16 { &key_wrap::AES_128 } else { &key_wrap::AES_256 };
        let mut wrapped = vec![0; keys.len() + 8];
        AesKek::new(wrapping, &derived).unwrap().wrap(keys, &mut wrapped).unwrap();
        let head = [0x12, 0x20, 0x29, which, 0, 0, 0, 0, 2, 0, 2, 0, 0, 0, 4, u8::try_from(key_bytes / 4).unwrap()];
        [&head[..], &salt, &wrapped].concat()
    }

    proptest! {
        #[test]
        fn who_knows_the_passphrase_reads_and_nobody_else(
            salt in any::<[u8; 16]>(),
            keys in any::<[u8; 64]>(),
            key_bytes in prop::sample::select(vec![16_usize, 32]),
            which in 1_u8..4,
            sequence in 0_u32..1 << 31,
            payload in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let count = usize::from(which & 1) + usize::from(which >> 1);
            let sent = message("a long passphrase", salt, which, &keys[..count * key_bytes], key_bytes);
            let secret = Passphrase::new("a long passphrase\n").unwrap().open(&sent).unwrap();
            prop_assert_eq!(usize::from(secret.announced_length()) * 8, key_bytes);
            let mut counter = [0; 16];
            counter[..14].copy_from_slice(&salt[..14]);
            counter[10..14].iter_mut().zip(sequence.to_be_bytes()).for_each(|(octet, other)| *octet ^= other);
            let algorithm = if key_bytes == 16 { &cipher::AES_128 } else { &cipher::AES_256 };
            let first = UnboundCipherKey::new(algorithm, &keys[..key_bytes]).and_then(EncryptingKey::ctr).unwrap();
            let mut sealed = payload.clone();
            first.less_safe_encrypt(&mut sealed, EncryptionContext::Iv128(FixedLength::from(counter))).unwrap();
            let flag = if which & 1 != 0 { 1 } else { 2 };
            prop_assert_eq!(secret.decrypt(sequence, flag, &sealed), Some(payload));
            prop_assert_eq!(secret.decrypt(sequence, 3, &sealed), None);
            let other = Passphrase::new("another passphrase").unwrap().open(&sent);
            prop_assert_eq!(other.err(), Some(Sealed::Wrong));
        }

        #[test]
        fn whatever_comes_is_survived(message in prop::collection::vec(any::<u8>(), 0..120)) {
            prop_assert!(Passphrase::new("a long passphrase").unwrap().open(&message).is_err());
        }
    }

    #[test]
    fn passphrases_are_as_long_as_encoders_take_them() {
        assert!(Passphrase::new("123456789").is_err() && Passphrase::new(&"x".repeat(80)).is_err());
        assert!(Passphrase::new("1234567890\r\n").is_ok());
        assert_eq!(format!("{:?}", Passphrase::new("1234567890").unwrap()), "Passphrase");
    }
}
