//! Packets of SRT (draft-sharabayko-srt section 3): octets of a datagram in, what they mean out; and the few that the door sends.

/// The header of every packet.
pub const HEADER_BYTES: usize = 16;
/// Sequence numbers have 31 bits.
pub const SEQUENCE_BITS: u32 = 31;
const SEQUENCE_MASK: u32 = (1 << SEQUENCE_BITS) - 1;
const CONTROL: u32 = 1 << 31;
/// `KK`: a key that the payload is encrypted with.
const KEY_SHIFT: u32 = 27;
/// Extensions: a key message, and its answer.
const KEY_REQUEST: u32 = 3;
const KEY_ANSWER: u32 = 4;

/// Types of control packets (section 3.2).
mod kind {
    pub(super) const HANDSHAKE: u16 = 0;
    pub(super) const KEEP_ALIVE: u16 = 1;
    pub(super) const ACK: u16 = 2;
    pub(super) const NAK: u16 = 3;
    pub(super) const SHUTDOWN: u16 = 5;
    pub(super) const ACK_ACK: u16 = 6;
    pub(super) const DROP_REQUEST: u16 = 7;
    /// What extends the protocol; the kind stands behind it.
    pub(super) const EXTENSION: u16 = 0x7fff;
}

/// A packet that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The socket that it is for; 0 before there is one.
    pub destination: u32,
    /// What it is.
    pub body: Body<'a>,
}

/// What a packet is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body<'a> {
    /// Media.
    Data {
        /// Its number.
        sequence: u32,
        /// Which key it is encrypted with (`KK`); 0 where it is not.
        keys: u8,
        /// What it carries.
        payload: &'a [u8],
    },
    /// A handshake, without the header.
    Handshake(&'a [u8]),
    /// The acknowledgement of an acknowledgement, by number.
    AckAck(u32),
    /// What is missing between these two, and they, will not come.
    DropRequest {
        /// The first.
        first: u32,
        /// The last.
        last: u32,
    },
    /// A key message: the keys of what comes later.
    Keys(&'a [u8]),
    /// It leaves.
    Shutdown,
    /// Nothing that a receiver does anything about; but it is there.
    Other,
}

/// What the door sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// A handshake, without the header.
    Handshake(Vec<u8>),
    /// It is there.
    KeepAlive,
    /// All before `next` has come or is given up.
    Ack {
        /// Its own number.
        number: u32,
        /// The first that is missing.
        next: u32,
        /// Round trip, microseconds, and how much it varies.
        rtt_us: [u32; 2],
        /// Packets that there is room for.
        room: u32,
    },
    /// What is missing, from and to.
    Nak(Vec<(u32, u32)>),
    /// A key message was understood: it is said back.
    Keys(Vec<u8>),
    /// It ends the connection.
    Shutdown,
}

// === impl Packet ===

impl<'a> Packet<'a> {
    /// `None` where it is none.
    #[must_use]
    pub fn read(octets: &'a [u8]) -> Option<Self> {
        let (header, rest) = octets.split_first_chunk::<HEADER_BYTES>()?;
        let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (first, second, destination) = (word(0), word(4), word(12));
        let body = if first & CONTROL == 0 {
            Body::Data { sequence: first, keys: u8::try_from(second >> KEY_SHIFT & 0b11).unwrap_or(0), payload: rest }
        } else {
            match u16::try_from(first >> 16 & 0x7fff).ok()? {
                kind::HANDSHAKE => Body::Handshake(rest),
                kind::SHUTDOWN => Body::Shutdown,
                kind::ACK_ACK => Body::AckAck(second),
                kind::DROP_REQUEST => {
                    let [first, last] = *words(rest).first_chunk::<2>()?;
                    Body::DropRequest { first: first & SEQUENCE_MASK, last: last & SEQUENCE_MASK }
                }
                kind::EXTENSION if first & 0xffff == KEY_REQUEST => Body::Keys(rest),
                _ => Body::Other,
            }
        };
        Some(Self { destination, body })
    }
}

// === impl Control ===

impl Control {
    /// Its octets, sent at `timestamp_us` to the socket `destination`.
    #[must_use]
    pub fn write(&self, timestamp_us: u32, destination: u32) -> Vec<u8> {
        let mut subtype = 0;
        let (kind, info, rest) = match self {
            Self::Handshake(rest) => (kind::HANDSHAKE, 0, rest.clone()),
            // Some read a word of content even where there is none.
            Self::KeepAlive => (kind::KEEP_ALIVE, 0, vec![0; 4]),
            Self::Shutdown => (kind::SHUTDOWN, 0, vec![0; 4]),
            Self::Keys(message) => {
                subtype = KEY_ANSWER;
                (kind::EXTENSION, 0, message.clone())
            }
            Self::Ack { number, next, rtt_us: [rtt_us, variance_us], room } => {
                (kind::ACK, *number, octets(&[*next, *rtt_us, *variance_us, *room]))
            }
            Self::Nak(missing) => {
                let listed = missing
                    .iter()
                    .flat_map(|(first, last)| if first == last { vec![*first] } else { vec![*first | CONTROL, *last] });
                (kind::NAK, 0, octets(&listed.collect::<Vec<_>>()))
            }
        };
        let mut written = octets(&[CONTROL | u32::from(kind) << 16 | subtype, info, timestamp_us, destination]);
        written.extend(rest);
        written
    }
}

/// Whole words of 32 bits.
pub(super) fn words(octets: &[u8]) -> Vec<u32> {
    octets.as_chunks::<4>().0.iter().map(|word| u32::from_be_bytes(*word)).collect()
}

/// Words of 32 bits as they are sent.
#[must_use]
pub fn octets(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// How far `to` is ahead of `from`, the short way round.
#[must_use]
pub fn ahead(from: u32, to: u32) -> i64 {
    let ahead = i64::from(to.wrapping_sub(from) & SEQUENCE_MASK);
    if ahead > i64::from(SEQUENCE_MASK / 2) { ahead - (1 << SEQUENCE_BITS) } else { ahead }
}

/// The number `count` later.
#[must_use]
pub fn later(from: u32, count: u32) -> u32 {
    from.wrapping_add(count) & SEQUENCE_MASK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_round() {
        assert_eq!((ahead(5, 9), ahead(9, 5), ahead(7, 7)), (4, -4, 0));
        assert_eq!((ahead(SEQUENCE_MASK, 1), ahead(1, SEQUENCE_MASK)), (2, -2));
        assert_eq!(later(SEQUENCE_MASK, 2), 1);
    }

    #[test]
    fn packets_are_read_as_the_draft_writes_them() {
        let data = [&[0x12, 0x34, 0x56, 0x78, 0xe4, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 7][..], b"payload"].concat();
        let read = Packet::read(&data).unwrap();
        let body = Body::Data { sequence: 0x1234_5678, keys: 0, payload: b"payload" };
        assert_eq!(read, Packet { destination: 7, body });
        let nak = Control::Nak(vec![(3, 3), (5, 9)]).write(1, 2);
        assert_eq!(nak[16..], [0, 0, 0, 3, 0x80, 0, 0, 5, 0, 0, 0, 9]);
        let odd = [&data[..4], &[0xf4][..], &data[5..]].concat();
        assert!(matches!(Packet::read(&odd).unwrap().body, Body::Data { keys: 2, .. }));
        let renewed = [&[0xff, 0xff, 0, 3, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 7][..], b"keys"].concat();
        assert_eq!(Packet::read(&renewed).unwrap().body, Body::Keys(b"keys"));
        assert_eq!(Control::Keys(b"keys".to_vec()).write(9, 7), [&[0xff, 0xff, 0, 4][..], &renewed[4..]].concat());
        assert_eq!(Packet::read(&Control::Shutdown.write(0, 3)).unwrap().body, Body::Shutdown);
        assert_eq!(Packet::read(&data[..15]), None);
    }
}
