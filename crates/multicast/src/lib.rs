//! One response to many: block transport over IP multicast, with a reliable unicast leg to each member.
//!
//! The sender cuts a response into blocks, sends each block's symbols once to a group that all routers joined when
//! they started, and repairs what was lost: with as many Reed-Solomon symbols as the worst member lacks, then by unicast.
//! The unicast leg tells each member what the blocks must be (length, digest) and hands out the key of the packets, so
//! nothing that comes by multicast is believed by itself. A member that cannot hear multicast gets the same bytes over
//! its leg. Who is to be sent what is decided by [`flame_naming::group`]; here it is done.
//!
//! It never looks into a response, never decides who may have one, and retries nothing: a transfer that breaks is said
//! to be broken. Everything that can grow is bounded: a sender holds at most the blocks of its window, a member the
//! same, both together with the frames that wait for a slow leg.
//!
//! Reading order: [`alc`] and [`seal`] (a packet), `polynomial` and [`coding`] (a block), [`leg`] (what the two say to each other),
//! [`reception`] (what a member holds), [`bucket`], `link` and [`pool`] (the way between them), [`sender`] and [`member`] (the two ends).

pub mod alc;
pub mod bucket;
pub mod coding;
pub mod leg;
mod link;
pub mod member;
mod polynomial;
pub mod pool;
pub mod reception;
pub mod seal;
pub mod sender;

pub use member::{Broken, Member};
pub use pool::{Pool, PoolConfig};
pub use sender::{Door, Seat, Summary};

/// Longest block: what is lost of it is repaired before anything of it can be used.
pub const BLOCK_MAX_BYTES: usize = 256 * 1024;
/// Octets of a symbol: with its headers and its seal it fills an Ethernet frame (1,500 - 20 IPv4 - 8 UDP - 28 - 20).
pub const SYMBOL_BYTES: u16 = 1424;
/// What a datagram costs its link besides its payload: Ethernet, IPv4, UDP.
pub const DATAGRAM_OVERHEAD_BYTES: usize = 14 + 20 + 8;

const _: () = assert!(BLOCK_MAX_BYTES.div_ceil(SYMBOL_BYTES as usize) < flame_naming::group::SYMBOLS_MAX as usize);
