//! What packet times and display matrices mean. Pure.

use ffmpeg_next::Rational;

/// Packets whose times are kept.
const KEPT_MAX: usize = 600;
/// Packets at the end of an unfinished sample that may lack a neighbour which comes later (B-frames).
const REORDER_MAX: usize = 16;
/// Distances that differ by this much are one rate, rounded: many tools write whole milliseconds.
const ROUNDING_S: f64 = 0.002;

/// Presentation times of the first packets of a stream, ticks.
#[derive(Debug, Default)]
pub(super) struct PacketTimes {
    ticks: Vec<i64>,
    span: Option<(i64, i64)>,
}

// === impl PacketTimes ===

impl PacketTimes {
    /// Takes the time and duration of a packet.
    pub(super) fn add(&mut self, ticks: Option<i64>, duration_ticks: i64) {
        let Some(ticks) = ticks else { return };
        let end = ticks.saturating_add(duration_ticks.max(0));
        self.span = Some(self.span.map_or((ticks, end), |(from, to)| (from.min(ticks), to.max(end))));
        if !self.is_full() {
            self.ticks.push(ticks);
        }
    }

    /// Whether more packets tell nothing more.
    pub(super) fn is_full(&self) -> bool {
        self.ticks.len() >= KEPT_MAX
    }

    /// Start of the first and end of the last packet seen.
    pub(super) fn span(&self) -> Option<(i64, i64)> {
        self.span
    }

    /// Whether frames last differently by more than rounding explains. `complete` says that no packet
    /// follows those seen.
    pub(super) fn is_variable(&self, time_base: Rational, complete: bool) -> bool {
        let mut times = self.ticks.clone();
        times.sort_unstable();
        if !complete || self.is_full() {
            times.truncate(times.len().saturating_sub(REORDER_MAX));
        }
        let distances = times.windows(2).map(|pair| pair[1] - pair[0]);
        let (Some(least), Some(most)) = (distances.clone().min(), distances.max()) else { return false };
        let tick_s = f64::from(time_base.numerator()) / f64::from(time_base.denominator().max(1));
        most - least > 1 && (most - least) as f64 * tick_s > ROUNDING_S
    }
}

/// Clockwise quarter turns (0 to 3) of a display matrix: nine 32-bit integers of the machine's byte order,
/// as FFmpeg hands it over (`AV_PKT_DATA_DISPLAYMATRIX`).
pub(super) fn quarter_turns(matrix: &[u8]) -> u16 {
    let element = |n: usize| {
        let bytes = matrix.get(n * 4..n * 4 + 4)?;
        Some(f64::from(i32::from_ne_bytes(bytes.try_into().ok()?)))
    };
    let (Some(a), Some(b), Some(c), Some(d)) = (element(0), element(1), element(3), element(4)) else { return 0 };
    let (scale_x, scale_y) = (a.hypot(c), b.hypot(d));
    if scale_x == 0.0 || scale_y == 0.0 {
        return 0;
    }
    let degrees = (b / scale_y).atan2(a / scale_x).to_degrees();
    ((degrees / 90.0).round() as i32).rem_euclid(4) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(ticks: &[i64]) -> PacketTimes {
        let mut times = PacketTimes::default();
        for &ticks in ticks {
            times.add(Some(ticks), 1);
        }
        times
    }

    fn matrix(a: i32, b: i32, c: i32, d: i32) -> Vec<u8> {
        [a, b, 0, c, d, 0, 0, 0, 1 << 14].iter().flat_map(|n| (n * 4).to_ne_bytes()).collect()
    }

    #[test]
    fn milliseconds_of_30_fps_are_a_constant_rate() {
        assert!(!times(&[0, 67, 33, 100, 133, 167, 200]).is_variable(Rational(1, 1000), true));
    }

    #[test]
    fn a_missing_frame_makes_the_rate_variable() {
        assert!(times(&[0, 3000, 6000, 12000, 15000]).is_variable(Rational(1, 90_000), true));
    }

    #[test]
    fn one_frame_has_no_rate_to_vary() {
        assert!(!times(&[5]).is_variable(Rational(1, 25), true));
    }

    #[test]
    fn matrices_turn_clockwise() {
        let one = 1 << 14;
        assert_eq!(quarter_turns(&matrix(one, 0, 0, one)), 0);
        assert_eq!(quarter_turns(&matrix(0, one, -one, 0)), 1);
        assert_eq!(quarter_turns(&matrix(-one, 0, 0, -one)), 2);
        assert_eq!(quarter_turns(&matrix(0, -one, one, 0)), 3);
        assert_eq!(quarter_turns(&[1, 2, 3]), 0);
        assert_eq!(quarter_turns(&[0; 36]), 0);
    }
}
