//! Where a page of jobs ends and the next begins. Pure.
//!
//! Jobs are listed from the newest to the oldest; a cursor names the job before which to go on, so nothing that is
//! queued or changed meanwhile moves it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The form of cursor that this release writes and reads.
const FORM: u8 = 1;

/// A place in the list of jobs: only those queued before this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The job's place in the queue's order.
    pub before_seq: i64,
}

// === impl Position ===

impl Position {
    /// The start of the list.
    pub const START: Self = Self { before_seq: i64::MAX };

    /// The cursor that callers see; opaque to them.
    #[must_use]
    pub fn encode(self) -> String {
        let mut bytes = [FORM, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes[1..].copy_from_slice(&self.before_seq.to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a cursor; `None` if it is none of ours.
    #[must_use]
    pub fn decode(cursor: &str) -> Option<Self> {
        let [form, seq @ ..]: [u8; 9] = URL_SAFE_NO_PAD.decode(cursor).ok()?.try_into().ok()?;
        (form == FORM).then(|| Self { before_seq: i64::from_be_bytes(seq) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_says_where_it_was(before_seq: i64) {
            let position = Position { before_seq };
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
