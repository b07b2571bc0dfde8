//! The handshake of RTMP (specification 1.0, section 5.2), the server's side: 1 + 1536 octets each way, then an echo.
//!
//! The simple form: no digest is asked for and none is given. Encoders send the digest of the Flash era or do not, and go on
//! with a server that ignores it; only players of protected streams insist on it.

use thiserror::Error;

/// The version of the protocol.
const VERSION: u8 = 3;
/// Octets of C1, S1, C2 and S2.
const BLOCK_BYTES: usize = 1536;
/// Time and zero, in front of the random octets of a block.
const BLOCK_HEAD_BYTES: usize = 8;

/// It is not a client of RTMP.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HandshakeError {
    /// Another version, or another protocol.
    #[error(
        "the first octet is {version:#04x}: it speaks no RTMP, or none of version 3 (RTMPE and RTMPS are not taken here)"
    )]
    Version {
        /// The octet.
        version: u8,
    },
}

/// What the handshake gives at each step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shake {
    /// More octets are needed.
    More,
    /// The client is to be answered with these, and more octets are needed.
    Answer(Vec<u8>),
    /// It is over.
    Done,
}

/// A handshake under way.
#[derive(Debug)]
pub struct Handshake {
    held: Vec<u8>,
    is_answered: bool,
}

// === impl Handshake ===

impl Handshake {
    /// A handshake of which nothing has come.
    #[must_use]
    pub fn new() -> Self {
        Self { held: Vec::new(), is_answered: false }
    }

    /// Takes octets from the front of `input`, never more than the handshake has.
    ///
    /// # Errors
    /// [`HandshakeError`] with the first octet.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Shake, HandshakeError> {
        let wanted = if self.is_answered { BLOCK_BYTES } else { 1 + BLOCK_BYTES };
        let taken = input.len().min(wanted - self.held.len());
        self.held.extend_from_slice(&input[..taken]);
        *input = &input[taken..];
        if let Some(&version) = self.held.first().filter(|version| !self.is_answered && **version != VERSION) {
            return Err(HandshakeError::Version { version });
        }
        if self.held.len() < wanted {
            return Ok(Shake::More);
        }
        let held = std::mem::take(&mut self.held);
        if self.is_answered {
            // C2 echoes S1; some clients fill it with something else, and nothing hangs on it.
            return Ok(Shake::Done);
        }
        self.is_answered = true;
        let c1 = &held[1..];
        let mut answer = Vec::with_capacity(1 + 2 * BLOCK_BYTES);
        answer.push(VERSION);
        answer.extend_from_slice(&[0; BLOCK_HEAD_BYTES]);
        // What is random in S1 only tells this connection from others: the client's own octets do, turned over.
        answer.extend(c1[BLOCK_HEAD_BYTES..].iter().map(|octet| !octet));
        answer.extend_from_slice(c1);
        Ok(Shake::Answer(answer))
    }
}

impl Default for Handshake {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn echoes_the_client_and_takes_nothing_of_what_follows() {
        let c1: Vec<u8> = (0..BLOCK_BYTES).map(|n| u8::try_from(n % 255).unwrap()).collect();
        let sent = [&[VERSION][..], &c1, &[7; BLOCK_BYTES], b"next"].concat();
        let mut handshake = Handshake::new();
        let mut input = sent.as_slice();
        let Shake::Answer(answer) = handshake.read(&mut input).unwrap() else { panic!("C0 and C1 are there") };
        assert_eq!(answer.len(), 1 + 2 * BLOCK_BYTES);
        assert_eq!(answer[1 + BLOCK_BYTES..], c1);
        assert_eq!(handshake.read(&mut input), Ok(Shake::Done));
        assert_eq!(input, b"next");
    }

    #[test]
    fn says_at_the_first_octet_that_it_is_something_else() {
        let mut input: &[u8] = b"GET / HTTP/1.1\r\n";
        assert_eq!(Handshake::new().read(&mut input), Err(HandshakeError::Version { version: b'G' }));
    }
}
