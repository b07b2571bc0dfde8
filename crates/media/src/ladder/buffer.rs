//! The buffer of a capped encoder (VBV, ITU-T H.264 annex C with a variable rate): whether pictures keep the cap. Pure.
//!
//! Bits come in at the rate of the cap and wait in a buffer of so many seconds of it; a picture takes its bits out at once. What is not
//! there in time is late. Whoever encodes a chunk says how full the buffer is where it begins; behind other chunks it is as full as they
//! leave it.

use flame_media_child::protocol::Unkept;

/// Least that a chunk may be told to begin with, percent: an encoder with an empty buffer makes nothing of its first picture.
const LEAST_PERCENT: u8 = 5;

/// A buffer.
#[derive(Debug, Clone, Copy)]
struct Buffer {
    rate_bps: i128,
    size_bits: i128,
    full_bits: i128,
}

/// Follows the chunks of one rung.
#[derive(Debug)]
pub(super) struct Follower {
    real: Buffer,
    chunks: u32,
    /// The chunk as it was meant.
    own: Buffer,
    found_percent: u8,
    stated_percent: u8,
    real_kept: bool,
    own_kept: bool,
    unkept: Vec<Unkept>,
}

// === impl Buffer ===

impl Buffer {
    fn new(rate_bps: u32, size_ms: u32, percent: u8) -> Self {
        let rate_bps = i128::from(rate_bps);
        let size_bits = rate_bps * i128::from(size_ms) / 1000;
        Self { rate_bps, size_bits, full_bits: size_bits * i128::from(percent) / 100 }
    }

    /// A picture of so many bytes that lasts so long; says whether its bits were there.
    fn take(&mut self, size_bytes: u64, duration_ns: u64) -> bool {
        self.full_bits -= i128::from(size_bytes) * 8;
        let kept = self.full_bits >= 0;
        let come_in_bits = self.rate_bps * i128::from(duration_ns) / 1_000_000_000;
        self.full_bits = (self.full_bits.max(0) + come_in_bits).min(self.size_bits);
        kept
    }

    fn percent(&self) -> u8 {
        u8::try_from(self.full_bits * 100 / self.size_bits.max(1)).unwrap_or(100)
    }
}

// === impl Follower ===

impl Follower {
    /// A buffer of `size_ms` at `rate_bps`, above 0.
    pub(super) fn new(rate_bps: u32, size_ms: u32) -> Self {
        let full = Buffer::new(rate_bps, size_ms, 100);
        Self {
            real: full,
            chunks: 0,
            own: full,
            found_percent: 100,
            stated_percent: 100,
            real_kept: true,
            own_kept: true,
            unkept: Vec::new(),
        }
    }

    /// The next chunk begins, and was told that the buffer is so full.
    pub(super) fn begin(&mut self, stated_percent: u8) {
        self.end();
        self.own.full_bits = self.own.size_bits * i128::from(stated_percent) / 100;
        if self.chunks == 0 {
            self.real = self.own;
        }
        self.found_percent = self.real.percent();
        self.stated_percent = stated_percent;
        (self.real_kept, self.own_kept) = (true, true);
        self.chunks += 1;
    }

    /// Its next picture in decode order.
    pub(super) fn picture(&mut self, size_bytes: u64, duration_ns: u64) {
        self.real_kept &= self.real.take(size_bytes, duration_ns);
        self.own_kept &= self.own.take(size_bytes, duration_ns);
    }

    /// The chunks that need more than there is where they begin. One that breaks the cap by itself is its encoder's doing.
    pub(super) fn finish(mut self) -> Vec<Unkept> {
        self.end();
        self.unkept
    }

    fn end(&mut self) {
        let found_percent = self.found_percent.max(LEAST_PERCENT);
        if self.chunks > 0 && self.own_kept && !self.real_kept && found_percent < self.stated_percent {
            self.unkept.push(Unkept { chunk: self.chunks - 1, found_percent });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A megabit a second, two of them, 25 pictures a second: 5000 bytes come in with each picture, 250,000 fit.
    fn follower() -> Follower {
        Follower::new(1_000_000, 2000)
    }

    const PICTURE_NS: u64 = 40_000_000;

    #[test]
    fn a_chunk_that_spends_what_is_not_there_is_found_and_what_is_really_there_is_said() {
        let mut follower = follower();
        follower.begin(90);
        // Leaves 225,000 - 200,000 + 5000 bytes: 12 percent.
        follower.picture(200_000, PICTURE_NS);
        follower.begin(50);
        follower.picture(100_000, PICTURE_NS);
        // It cannot be worse than empty: the next one finds two percent, and needs less.
        follower.begin(50);
        follower.picture(4000, PICTURE_NS);
        assert_eq!(follower.finish(), [Unkept { chunk: 1, found_percent: 12 }]);
    }

    #[test]
    fn a_chunk_that_breaks_the_cap_by_itself_is_its_encoders_doing() {
        let mut follower = follower();
        follower.begin(90);
        follower.picture(200_000, PICTURE_NS);
        follower.begin(50);
        follower.picture(200_000, PICTURE_NS);
        assert_eq!(follower.finish(), []);
    }

    proptest! {
        #[test]
        fn one_who_takes_what_comes_in_is_kept_whatever_is_stated(
            stated in prop::collection::vec(5_u8..=100, 1..8),
            sizes in prop::collection::vec(0_u64..=5000, 1..50),
        ) {
            let mut follower = follower();
            for percent in stated {
                follower.begin(percent);
                sizes.iter().for_each(|&size_bytes| follower.picture(size_bytes, PICTURE_NS));
            }
            prop_assert_eq!(follower.finish(), []);
        }
    }
}
