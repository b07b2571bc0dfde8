//! Rate-distortion curves: what one encoder needs for the quality of another, as one figure (Bjøntegaard's delta rate, VCEG-M33), and a plot.
//! Values in, values and text out.
//!
//! Between its points a curve is a piecewise cubic that never overshoots (PCHIP; Fritsch and Butland, 1984), of the logarithm of the
//! rate over the quality: what ITU-T HSTP-VID-WPOM calls for where points are few. It is compared only where both curves are: nothing is
//! extrapolated, and curves that hardly share a quality are refused.

use std::fmt::Write;

/// Fewest points of a curve.
pub const POINTS_MIN: usize = 4;
/// The qualities that both have are at least so much of those of the narrower one.
const SHARED_MIN: f64 = 0.5;
/// Size of a plot, pixels, and the room for its words.
const PLOT: (f64, f64, f64) = (720.0, 360.0, 56.0);
/// Colours of curves, in order.
const COLOURS: [&str; 6] = ["#0b6", "#c40", "#06c", "#a0a", "#860", "#555"];

/// A point of a curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Bits a second.
    pub rate_bps: f64,
    /// A score of which more is better.
    pub quality: f64,
}

/// A cubic that goes through all points, and between two of them keeps to what lies between.
struct Pchip {
    at: Vec<f64>,
    value: Vec<f64>,
    slope: Vec<f64>,
}

/// How much more rate `other` needs for the same quality as `anchor`, per cent; below 0 it needs less.
///
/// # Errors
/// Why no such figure would mean anything: too few points, a curve that does not rise, qualities that are not shared.
pub fn delta_rate_percent(anchor: &[Point], other: &[Point]) -> Result<f64, String> {
    let (anchor, other) = (rising(anchor)?, rising(other)?);
    let range = |points: &[Point]| (points[0].quality, points[points.len() - 1].quality);
    let (a, b) = (range(&anchor), range(&other));
    let (from, to) = (a.0.max(b.0), a.1.min(b.1));
    let narrower = (a.1 - a.0).min(b.1 - b.0);
    if to - from < SHARED_MIN * narrower {
        return Err(format!(
            "the curves hardly share a quality: one goes from {:.3} to {:.3}, the other from {:.3} to {:.3}; choose rates that lead to the same",
            a.0, a.1, b.0, b.1
        ));
    }
    let area = |points: &[Point]| {
        let at = points.iter().map(|point| point.quality).collect();
        let value = points.iter().map(|point| point.rate_bps.log10()).collect();
        Pchip::through(at, value).area(from, to)
    };
    let mean = (area(&other) - area(&anchor)) / (to - from);
    Ok((10_f64.powf(mean) - 1.0) * 100.0)
}

/// Points by rising quality, each with a higher rate than the one before.
fn rising(points: &[Point]) -> Result<Vec<Point>, String> {
    if points.len() < POINTS_MIN {
        return Err(format!("a curve has at least {POINTS_MIN} points, this one has {}", points.len()));
    }
    if points.iter().any(|point| !(point.rate_bps > 0.0 && point.rate_bps.is_finite() && point.quality.is_finite())) {
        return Err("a point has no rate above 0, or no quality".to_owned());
    }
    let mut points = points.to_vec();
    points.sort_by(|a, b| a.quality.total_cmp(&b.quality));
    match points.windows(2).find(|pair| pair[1].rate_bps <= pair[0].rate_bps || pair[1].quality <= pair[0].quality) {
        Some(pair) => Err(format!(
            "the curve does not rise: {:.0} bit/s give {:.3}, and {:.0} bit/s {:.3}",
            pair[0].rate_bps, pair[0].quality, pair[1].rate_bps, pair[1].quality
        )),
        None => Ok(points),
    }
}

/// Curves as a picture in SVG: bits a second to the right, quality upwards.
#[must_use]
pub fn plot(curves: &[(String, Vec<Point>)], figure: &str) -> String {
    let all = || curves.iter().flat_map(|(_, points)| points);
    let bounds = |of: fn(&Point) -> f64| {
        let (low, high) = all()
            .map(of)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if high > low { (low, high) } else { (low - 1.0, low + 1.0) }
    };
    let (rates, qualities) = (bounds(|point| point.rate_bps), bounds(|point| point.quality));
    let (width, height, room) = PLOT;
    let x = |rate: f64| room + (rate - rates.0) / (rates.1 - rates.0) * (width - 2.0 * room);
    let y =
        |quality: f64| height - room - (quality - qualities.0) / (qualities.1 - qualities.0) * (height - 2.0 * room);
    let mut svg =
        format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\"><g font-size=\"12\" fill=\"currentColor\">");
    for (text, at, row) in [
        (format!("{:.0} kbit/s", rates.0 / 1000.0), room, height - 30.0),
        (format!("{:.0} kbit/s", rates.1 / 1000.0), width - room - 40.0, height - 30.0),
        (format!("{:.2}", qualities.0), 4.0, height - room),
        (format!("{:.2}", qualities.1), 4.0, room),
        (crate::html::escape(figure), 4.0, room - 24.0),
    ] {
        let _ = write!(svg, "<text x=\"{at:.0}\" y=\"{row:.0}\">{text}</text>");
    }
    svg.push_str("</g>");
    for ((at, (name, points)), colour) in curves.iter().enumerate().zip(COLOURS.iter().cycle()) {
        let mut points = points.clone();
        points.sort_by(|a, b| a.rate_bps.total_cmp(&b.rate_bps));
        let line: Vec<_> = points.iter().map(|one| format!("{:.1},{:.1}", x(one.rate_bps), y(one.quality))).collect();
        let _ = write!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>",
            line.join(" ")
        );
        for one in &points {
            let _ = write!(
                svg,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{colour}\"/>",
                x(one.rate_bps),
                y(one.quality)
            );
        }
        #[allow(clippy::cast_precision_loss, reason = "a handful of curves")]
        let row = height - room - 12.0 - 16.0 * at as f64;
        let name = crate::html::escape(name);
        let _ = write!(
            svg,
            "<text x=\"{:.0}\" y=\"{row:.0}\" font-size=\"13\" text-anchor=\"end\" fill=\"{colour}\">{name}</text>",
            width - room
        );
    }
    svg.push_str("</svg>");
    svg
}

// === impl Pchip ===

impl Pchip {
    /// Through at least three points, by rising place.
    fn through(at: Vec<f64>, value: Vec<f64>) -> Self {
        let steps: Vec<f64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let rises: Vec<f64> = value.windows(2).zip(&steps).map(|(pair, step)| (pair[1] - pair[0]) / step).collect();
        let last = rises.len() - 1;
        let mut slope = vec![end(steps[0], steps[1], rises[0], rises[1])];
        for (step, rise) in steps.windows(2).zip(rises.windows(2)) {
            let (before, behind) = (2.0 * step[1] + step[0], step[1] + 2.0 * step[0]);
            let is_turn = rise[0] * rise[1] <= 0.0;
            slope.push(if is_turn { 0.0 } else { (before + behind) / (before / rise[0] + behind / rise[1]) });
        }
        slope.push(end(steps[last], steps[last - 1], rises[last], rises[last - 1]));
        Self { at, value, slope }
    }

    /// The integral from one place to another within.
    fn area(&self, from: f64, to: f64) -> f64 {
        let pieces = self.at.windows(2).enumerate().map(|(nth, ends)| {
            let (low, high) = (from.max(ends[0]), to.min(ends[1]));
            if high <= low {
                return 0.0;
            }
            let step = ends[1] - ends[0];
            let rise = (self.value[nth + 1] - self.value[nth]) / step;
            let (first, second) = (self.slope[nth], self.slope[nth + 1]);
            let (square, cube) =
                ((3.0 * rise - 2.0 * first - second) / step, (first + second - 2.0 * rise) / (step * step));
            let upto = |place: f64| {
                let s = place - ends[0];
                s * (self.value[nth] + s * (first / 2.0 + s * (square / 3.0 + s * cube / 4.0)))
            };
            upto(high) - upto(low)
        });
        pieces.sum()
    }
}

/// The slope at an end: of the parabola through three points, kept from overshooting.
fn end(step: f64, next_step: f64, rise: f64, next_rise: f64) -> f64 {
    let slope = ((2.0 * step + next_step) * rise - step * next_rise) / (step + next_step);
    if slope * rise <= 0.0 {
        0.0
    } else if rise * next_rise < 0.0 && slope.abs() > 3.0 * rise.abs() {
        3.0 * rise
    } else {
        slope
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn points(list: &[(f64, f64)]) -> Vec<Point> {
        list.iter().map(|(rate_bps, quality)| Point { rate_bps: *rate_bps, quality: *quality }).collect()
    }

    #[test]
    fn curves_that_say_nothing_are_refused() {
        let whole = points(&[(1e5, 30.0), (2e5, 33.0), (4e5, 36.0), (8e5, 39.0)]);
        let far = points(&[(1e5, 50.0), (2e5, 53.0), (4e5, 56.0), (8e5, 59.0)]);
        let refused = |other: &[Point]| delta_rate_percent(&whole, other).expect_err("it says nothing");
        assert!(refused(&far).contains("share"));
        assert!(refused(&whole[..3]).contains("at least 4"));
        assert!(refused(&points(&[(1e5, 30.0), (2e5, 33.0), (4e5, 32.0), (8e5, 39.0)])).contains("does not rise"));
        assert!(refused(&points(&[(0.0, 30.0), (2e5, 33.0), (4e5, 36.0), (8e5, 39.0)])).contains("above 0"));
        let svg = plot(&[("a<b".to_owned(), whole)], "vmaf.mean");
        assert!(svg.contains("a&lt;b") && svg.matches("<circle").count() == 4);
    }

    proptest! {
        /// The same curve at so many times the rate costs so much more, however it is bent; and the other way round it is the inverse.
        #[test]
        fn a_factor_is_found(
            steps in prop::collection::vec((1.1..3.0_f64, 0.5..8.0_f64), 4..9), factor in 0.2..5.0_f64,
        ) {
            let (mut rate_bps, mut quality, mut curve) = (1e5, 20.0, Vec::new());
            for (times, more) in steps {
                (rate_bps, quality) = (rate_bps * times, quality + more);
                curve.push(Point { rate_bps, quality });
            }
            let other: Vec<_> = curve.iter().map(|one| Point { rate_bps: one.rate_bps * factor, ..*one }).collect();
            let there = delta_rate_percent(&curve, &other).expect("they are alike");
            prop_assert!((there - (factor - 1.0) * 100.0).abs() < 1e-6);
            let back = delta_rate_percent(&other, &curve).expect("they are alike");
            prop_assert!(((1.0 + there / 100.0) * (1.0 + back / 100.0) - 1.0).abs() < 1e-9);
        }
    }
}
