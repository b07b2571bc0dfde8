//! Polynomials over GF(2^8), the field of RFC 5510: known by as many values as they have coefficients, any other value
//! follows.
//!
//! A block's symbols are such values. At each place within a symbol, the octets of the source symbols 0 to k - 1 are
//! the values, at the points α^0 to α^(k-1), of the one polynomial of degree below k; a repair symbol is its value at a
//! further point (RFC 5510 section 8 says the same with Vandermonde's matrix). So making a repair symbol and restoring
//! a lost one is the same: a sum of k known symbols, each times the weight that Lagrange's formula gives it.
//!
//! Sums are what costs time, and there they multiply nothing: symbols are piled up (XOR) by the two halves of their
//! weights, and fifteen piles for each half are multiplied once at the end. It needs no instructions that not every
//! processor has, and no tables of the processor's cache.

/// Points of the field that are powers of α: more symbols a block cannot have, source and repair together.
pub const POINTS: usize = 255;

/// x^8 + x^4 + x^3 + x^2 + 1, without x^8.
const POLYNOMIAL: u8 = 0x1D;
/// Values of half an octet.
const NIBBLES: usize = 16;

/// Powers of α by exponent (twice over, so that sums of two exponents need no remainder), and exponents by power.
static FIELD: ([u8; 2 * POINTS], [u8; POINTS + 1]) = field();

/// Where values are known: points by their exponents.
#[derive(Debug)]
pub(crate) struct Known {
    points: Vec<u8>,
    /// For each point, the exponent of the product of its differences to the others.
    spreads: Vec<u32>,
}

const fn field() -> ([u8; 2 * POINTS], [u8; POINTS + 1]) {
    let (mut powers, mut exponents) = ([0; 2 * POINTS], [0; POINTS + 1]);
    let (mut power, mut exponent) = (1u8, 0);
    while exponent < POINTS {
        powers[exponent] = power;
        powers[exponent + POINTS] = power;
        exponents[power as usize] = exponent as u8;
        power = doubled(power);
        exponent += 1;
    }
    (powers, exponents)
}

/// Times α.
const fn doubled(octet: u8) -> u8 {
    (octet << 1) ^ (POLYNOMIAL * (octet >> 7))
}

/// The exponent of the difference of two points, which must not be the same.
fn difference(a: u8, b: u8) -> u32 {
    let (powers, exponents) = &FIELD;
    u32::from(exponents[usize::from(powers[usize::from(a)] ^ powers[usize::from(b)])])
}

// === impl Known ===

impl Known {
    /// Values are known at `points`: exponents below [`POINTS`], no two the same.
    pub(crate) fn at(points: Vec<u8>) -> Self {
        let others = |at: u8| points.iter().filter(move |point| **point != at);
        let spreads = points.iter().map(|at| others(*at).map(|point| difference(*at, *point)).sum()).collect();
        Self { points, spreads }
    }

    /// What each of the values weighs in the one at another point.
    pub(crate) fn weights(&self, at: u8) -> impl Iterator<Item = u8> {
        let most = POINTS as u32;
        let all: u32 = self.points.iter().map(|point| difference(at, *point)).sum();
        self.points.iter().zip(&self.spreads).map(move |(point, spread)| {
            // The exponents of what is divided by are taken away; as remainders they stay above nothing.
            let exponent = all % most + 2 * most - spread % most - difference(at, *point);
            FIELD.0[(exponent % most) as usize]
        })
    }
}

/// The sum of symbols of at most `length` octets (they end in noughts), each times its weight.
pub(crate) fn sum<'a>(length: usize, terms: impl Iterator<Item = (u8, &'a [u8])>) -> Vec<u8> {
    let mut piles = vec![0; 2 * NIBBLES * length];
    for (weight, symbol) in terms {
        let (low, high) = (usize::from(weight & 15), NIBBLES + usize::from(weight >> 4));
        for pile in [low, high] {
            add(&mut piles[pile * length..][..length], symbol);
        }
    }
    let mut total = vec![0; length];
    // Horner: what belongs to the highest bit is doubled seven times.
    for bit in (0..8).rev() {
        total.iter_mut().for_each(|octet| *octet = doubled(*octet));
        let half = bit / 4 * NIBBLES;
        for nibble in (0..NIBBLES).filter(|nibble| nibble >> (bit % 4) & 1 == 1) {
            add(&mut total, &piles[(half + nibble) * length..][..length]);
        }
    }
    total
}

fn add(to: &mut [u8], octets: &[u8]) {
    to.iter_mut().zip(octets).for_each(|(to, octet)| *to ^= octet);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Russian peasants.
    fn times(mut a: u8, mut b: u8) -> u8 {
        let mut product = 0;
        while b > 0 {
            if b & 1 == 1 {
                product ^= a;
            }
            a = if a & 0x80 == 0 { a << 1 } else { (a << 1) ^ POLYNOMIAL };
            b >>= 1;
        }
        product
    }

    fn power(exponent: u32) -> u8 {
        (0..exponent).fold(1, |power, _| times(power, 2))
    }

    fn value(coefficients: &[u8], at: u8) -> u8 {
        coefficients.iter().rev().fold(0, |value, coefficient| times(value, at) ^ coefficient)
    }

    #[test]
    fn alpha_makes_every_octet_but_nought() {
        let mut seen = [false; 256];
        (0..POINTS).for_each(|exponent| seen[usize::from(power(exponent as u32))] = true);
        assert!(!seen[0] && seen[1..].iter().all(|seen| *seen));
    }

    proptest! {
        /// The specification: coefficients, and what they give at each power of α.
        #[test]
        fn from_any_values_follows_every_other(
            coefficients in prop::collection::vec(any::<u8>(), 1..=POINTS - 1),
            points in Just((0..POINTS as u8).collect::<Vec<u8>>()).prop_shuffle(),
        ) {
            let (known, others) = points.split_at(coefficients.len());
            let values: Vec<[u8; 1]> = known.iter().map(|at| [value(&coefficients, power(u32::from(*at)))]).collect();
            let polynomial = Known::at(known.to_vec());
            for at in others.iter().take(8) {
                let terms = polynomial.weights(*at).zip(values.iter().map(|value| &value[..]));
                prop_assert_eq!(sum(1, terms), [value(&coefficients, power(u32::from(*at)))]);
            }
        }

        #[test]
        fn a_sum_is_the_sum_of_the_products(terms in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..=40)), 0..40)) {
            let mut expected = vec![0; 40];
            for (weight, symbol) in &terms {
                expected.iter_mut().zip(symbol).for_each(|(to, octet)| *to ^= times(*weight, *octet));
            }
            prop_assert_eq!(sum(40, terms.iter().map(|(weight, symbol)| (*weight, &symbol[..]))), expected);
        }
    }
}
