//! Which of several a request gets: two are drawn by their weights, or one is everybody's first for a key.
//!
//! *Two drawn*: the first with the chance of its weight, the second likewise from the rest; the caller takes the cheaper
//! one (power of two choices). *For a key*: weighted rendezvous hashing. Every endpoint has a score for the key that
//! depends on nobody else, and the highest wins; so one that leaves moves only what it had, and one that comes takes only
//! its share. No clock, no dice: the draw is given.

use super::lease::EndpointId;

/// How an endpoint is chosen among equals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lot<'a> {
    /// By chance: a number of which every bit is drawn.
    Drawn(u64),
    /// The same one for the same key, as long as it is there and has room.
    Key(&'a [u8]),
}

/// The places of two different ones of `weights` (the same one twice if there is one), drawn by `draw`.
pub(super) fn two(weights: impl Iterator<Item = u16> + Clone, draw: u64) -> Option<[usize; 2]> {
    let total: u64 = weights.clone().map(u64::from).sum();
    let (low, high) = (draw & u64::from(u32::MAX), draw >> 32);
    let first = at(weights.clone(), low.checked_rem(total)?, None)?;
    let rest = total - u64::from(weights.clone().nth(first)?);
    let second = match high.checked_rem(rest) {
        None => first,
        Some(ticket) => at(weights, ticket, Some(first))?,
    };
    Some([first, second])
}

/// Who holds `ticket` when each but `without` holds as many as its weight.
fn at(weights: impl Iterator<Item = u16>, mut ticket: u64, without: Option<usize>) -> Option<usize> {
    for (place, weight) in weights.enumerate() {
        let weight = if without == Some(place) { 0 } else { u64::from(weight) };
        if ticket < weight {
            return Some(place);
        }
        ticket -= weight;
    }
    None
}

/// How much `endpoint` wants the requests of `key`: the highest score gets them (weighted rendezvous hashing; for the
/// formula, Schindelhauer and Schomaker, "Weighted distributed hash tables", 2005).
pub(super) fn score(key: &[u8], endpoint: &EndpointId, weight: u16) -> f64 {
    // The upper 53 bits, in the middle of their interval: never 0, never 1.
    #[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
    let unit = ((hash(key, endpoint) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    -f64::from(weight) / unit.ln()
}

/// The same on every machine and in every release: FNV-1a over both, mixed by SplitMix64's finaliser. Whoever finds keys
/// that collide has found an endpoint, which is his to choose anyway.
fn hash(key: &[u8], endpoint: &EndpointId) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    // 0xff is in no identifier, so the border between both is certain.
    for byte in endpoint.as_str().bytes().chain([0xff]).chain(key.iter().copied()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
