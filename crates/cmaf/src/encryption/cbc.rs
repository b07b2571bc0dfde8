//! AES-128 in CBC without padding: whole blocks in, whole blocks out.

use aws_lc_rs::{
    cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey},
    iv::FixedLength,
};

use super::BLOCK_BYTES;

/// A key, ready to encrypt.
pub(crate) struct Cbc(EncryptingKey);

/// A chain of blocks that is not over: each one is mixed with the one before it.
pub(crate) struct Chain<'a> {
    key: &'a Cbc,
    last: [u8; BLOCK_BYTES],
}

// === impl Cbc ===

impl Cbc {
    pub(crate) fn new(secret: &[u8; BLOCK_BYTES]) -> Self {
        let key = UnboundCipherKey::new(&AES_128, secret).expect("the key has the cipher's length");
        Self(EncryptingKey::cbc(key).expect("the cipher has this mode"))
    }

    /// Encrypts whole blocks in their place.
    pub(crate) fn encrypt(&self, iv: &[u8; BLOCK_BYTES], blocks: &mut [u8]) {
        if blocks.is_empty() {
            return;
        }
        let context = EncryptionContext::Iv128(FixedLength::from(iv));
        self.0.less_safe_encrypt(blocks, context).expect("whole blocks");
    }

    pub(crate) fn chain(&self, iv: &[u8; BLOCK_BYTES]) -> Chain<'_> {
        Chain { key: self, last: *iv }
    }
}

impl std::fmt::Debug for Cbc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cbc")
    }
}

// === impl Chain ===

impl Chain<'_> {
    /// Encrypts the next block in its place.
    pub(crate) fn next(&mut self, block: &mut [u8; BLOCK_BYTES]) {
        self.key.encrypt(&self.last, block);
        self.last = *block;
    }
}
