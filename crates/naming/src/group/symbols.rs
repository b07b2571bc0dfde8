//! A set of the source symbols of one block.

use std::fmt;

/// Words of 64 symbols.
const WORDS: usize = 4;

/// Source symbols of a block, by number. A block has at most [`SymbolSet::MOST`] of them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct SymbolSet([u64; WORDS]);

// === impl SymbolSet ===

impl SymbolSet {
    /// Most symbols of a block.
    pub const MOST: u32 = 64 * WORDS as u32;
    /// Length of [`SymbolSet::to_bytes`].
    pub const BYTES: usize = 8 * WORDS;

    /// The first `count` symbols (at most [`SymbolSet::MOST`]).
    #[must_use]
    pub fn first(count: u32) -> Self {
        let mut words = [0; WORDS];
        let mut left = count.min(Self::MOST);
        for word in &mut words {
            let here = left.min(64);
            *word = if here == 64 { u64::MAX } else { (1 << here) - 1 };
            left -= here;
        }
        Self(words)
    }

    /// Adds a symbol; `false` where it was there, or is no symbol of a block.
    pub fn insert(&mut self, symbol: u32) -> bool {
        let Some((word, bit)) = Self::place(symbol) else { return false };
        let is_new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        is_new
    }

    /// Whether a symbol is in it.
    #[must_use]
    pub fn contains(&self, symbol: u32) -> bool {
        Self::place(symbol).is_some_and(|(word, bit)| self.0[word] & bit != 0)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0 == [0; WORDS]
    }

    /// What is in one of both.
    #[must_use]
    pub fn union(mut self, other: Self) -> Self {
        for (word, theirs) in self.0.iter_mut().zip(other.0) {
            *word |= theirs;
        }
        self
    }

    /// What is in this one and not in `other`.
    #[must_use]
    pub fn without(mut self, other: Self) -> Self {
        for (word, theirs) in self.0.iter_mut().zip(other.0) {
            *word &= !theirs;
        }
        self
    }

    /// What is in both.
    #[must_use]
    pub fn within(mut self, other: Self) -> Self {
        for (word, theirs) in self.0.iter_mut().zip(other.0) {
            *word &= theirs;
        }
        self
    }

    /// The symbols, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + use<> {
        let set = *self;
        (0..Self::MOST).filter(move |symbol| set.contains(*symbol))
    }

    /// The lowest `count` of them.
    #[must_use]
    pub fn lowest(&self, count: u32) -> Self {
        self.iter().take(count as usize).collect()
    }

    /// The set on the wire: a bit a symbol, symbol 0 first and lowest.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Reads [`SymbolSet::to_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let mut words = [0; WORDS];
        for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            let mut eight = [0; 8];
            eight.copy_from_slice(chunk);
            *word = u64::from_le_bytes(eight);
        }
        Self(words)
    }

    fn place(symbol: u32) -> Option<(usize, u64)> {
        (symbol < Self::MOST).then(|| ((symbol / 64) as usize, 1 << (symbol % 64)))
    }
}

impl FromIterator<u32> for SymbolSet {
    fn from_iter<T: IntoIterator<Item = u32>>(symbols: T) -> Self {
        let mut set = Self::default();
        for symbol in symbols {
            set.insert(symbol);
        }
        set
    }
}

impl fmt::Debug for SymbolSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_set_of_the_numbers_put_in(left in prop::collection::btree_set(0u32..300, 0..60), right in prop::collection::btree_set(0u32..256, 0..60)) {
            let kept: BTreeSet<u32> = left.iter().copied().filter(|symbol| *symbol < SymbolSet::MOST).collect();
            let [a, b]: [SymbolSet; 2] = [left.iter().copied().collect(), right.iter().copied().collect()];
            prop_assert_eq!(a.iter().collect::<BTreeSet<_>>(), kept.clone());
            prop_assert_eq!(a.len() as usize, kept.len());
            prop_assert_eq!(a.union(b).iter().collect::<BTreeSet<_>>(), &kept | &right);
            prop_assert_eq!(a.within(b).iter().collect::<BTreeSet<_>>(), &kept & &right);
            prop_assert_eq!(a.without(b).iter().collect::<BTreeSet<_>>(), &kept - &right);
            prop_assert_eq!(SymbolSet::from_bytes(a.to_bytes()), a);
        }

        #[test]
        fn the_first_are_counted_from_nought(count in 0u32..300) {
            prop_assert_eq!(SymbolSet::first(count), (0..count).collect());
        }
    }
}
