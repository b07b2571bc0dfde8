//! Where a page of assets ends and the next begins. Pure.
//!
//! A list has tiers, each from the newest registration to the oldest: without a search only the first; with one,
//! first the assets whose title holds all words, then those that need the file name, then those that need the record, or
//! other forms of the words. A position names a tier and the registration before which to go on, so nothing that is registered
//! or changed meanwhile moves it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The form of cursor that this release writes and reads.
const FORM: u8 = 1;

/// Which matches come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// All words are in the title (or no words are asked for).
    Title,
    /// The file name is needed to have all words.
    FileName,
    /// The record, or another form of a word, is needed to have all words.
    Record,
}

/// A place in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The tier that the next item is sought in first.
    pub tier: Tier,
    /// Only registrations before this one.
    pub before_seq: i64,
}

// === impl Tier ===

impl Tier {
    /// The one after it.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        match self {
            Self::Title => Some(Self::FileName),
            Self::FileName => Some(Self::Record),
            Self::Record => None,
        }
    }
}

// === impl Position ===

impl Position {
    /// The start of every list.
    pub const START: Self = Self::top(Tier::Title);

    /// The start of a tier.
    #[must_use]
    pub const fn top(tier: Tier) -> Self {
        Self { tier, before_seq: i64::MAX }
    }

    /// The cursor that callers see; opaque to them.
    #[must_use]
    pub fn encode(self) -> String {
        let tier = match self.tier {
            Tier::Title => 0,
            Tier::FileName => 1,
            Tier::Record => 2,
        };
        let mut bytes = [FORM, tier, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes[2..].copy_from_slice(&self.before_seq.to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a cursor; `None` if it is none of ours.
    #[must_use]
    pub fn decode(cursor: &str) -> Option<Self> {
        let bytes: [u8; 10] = URL_SAFE_NO_PAD.decode(cursor).ok()?.try_into().ok()?;
        let [form, tier, seq @ ..] = bytes;
        let tier = match (form, tier) {
            (FORM, 0) => Tier::Title,
            (FORM, 1) => Tier::FileName,
            (FORM, 2) => Tier::Record,
            (_, _) => return None,
        };
        Some(Self { tier, before_seq: i64::from_be_bytes(seq) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_says_where_it_was(before_seq: i64, at in 0_usize..3) {
            let tier = [Tier::Title, Tier::FileName, Tier::Record][at];
            let position = Position { tier, before_seq };
            prop_assert_eq!(Position::decode(&position.encode()), Some(position));
        }

        #[test]
        fn other_text_is_no_cursor(text in "\\PC{0,40}") {
            if let Some(position) = Position::decode(&text) {
                prop_assert_eq!(position.encode(), text);
            }
        }
    }
}
