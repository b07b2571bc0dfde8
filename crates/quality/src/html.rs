//! The report that people read: one page that needs nothing but itself, on a phone, on paper, and from an artefact store.
//!
//! Plots show the lowest score of each stretch of frames, so that a single bad frame of a long film is still seen.

use std::collections::BTreeMap;
use std::fmt::Write;

use flame_api::quality::{Column, Comparison, Scores};

/// Points of a plot.
const POINTS_MAX: usize = 600;
const PLOT_WIDTH: f64 = 720.0;
const PLOT_HEIGHT: f64 = 140.0;
/// Room for the numbers on the left.
const MARGIN: f64 = 48.0;

/// A picture of a pair of frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sheet {
    /// Frame of the distorted film.
    pub distorted: u64,
    /// A JPEG in base64: reference, distorted and their difference, side by side.
    pub jpeg_base64: String,
}

/// A gate and what it said.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The gate.
    pub gate: String,
    /// What was measured, or why nothing was.
    pub said: String,
    /// Whether it holds.
    pub passes: bool,
}

const STYLE: &str = "body{font:16px/1.45 system-ui,sans-serif;margin:0 auto;max-width:62rem;padding:1rem;color:#1c1c1e;background:#fff}\
h1{font-size:1.3rem}h2{font-size:1.05rem;margin-top:2rem}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\
td,th{padding:.25rem .5rem;text-align:right;border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}\
.wide{overflow-x:auto}svg,img{width:100%;height:auto}figure{margin:0 0 1rem;break-inside:avoid}.pass{color:#176b2c}.fail{color:#a3121f;font-weight:600}\
code{overflow-wrap:anywhere}@media print{body{max-width:none;font-size:11pt}}";

/// The page.
#[must_use]
pub fn document(comparison: &Comparison, scores: &Scores, gates: &[Judged], sheets: &[Sheet]) -> String {
    let mut page = String::from("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    page.push_str(
        "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>Quality report</title><style>",
    );
    page.push_str(STYLE);
    page.push_str("</style></head><body>\n");
    head(&mut page, comparison);
    verdicts(&mut page, gates);
    table(&mut page, &comparison.columns);
    alignment(&mut page, comparison);
    for column in comparison.columns.iter().filter(|column| !column.worst.is_empty()) {
        plot(&mut page, column, scores);
    }
    worst(&mut page, comparison, sheets);
    page.push_str("</body></html>\n");
    page
}

/// A page about curves: how much more rate each needs than the anchor for the same quality, per cent, and their plot (SVG).
#[must_use]
pub fn curves(about: &str, anchor: &str, figure: &str, rows: &BTreeMap<&str, Option<f64>>, plot: &str) -> String {
    let (about, anchor, figure) = (escape(about), escape(anchor), escape(figure));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>Rate and quality</title><style>{STYLE}</style></head><body>\n<h1>Rate and quality</h1><p>{about}</p>\
         <table><tr><th>curve</th><th>rate for the same {figure} as <code>{anchor}</code></th></tr>"
    );
    for (name, percent) in rows {
        let said = percent.map_or_else(|| "the anchor".to_owned(), |percent| format!("{percent:+.1} %"));
        let _ = write!(page, "<tr><td>{}</td><td>{said}</td></tr>", escape(name));
    }
    let _ = write!(page, "</table><figure>{plot}</figure></body></html>");
    page
}

// Writing into a string does not fail, so what `write!` says is not looked at.

fn head(page: &mut String, comparison: &Comparison) {
    let (reference, distorted) = (&comparison.reference, &comparison.distorted);
    let _ = write!(page, "<h1>Quality of <code>{}</code></h1>", escape(&distorted.input));
    page.push_str("<div class=\"wide\"><table><tr><th></th><th>reference</th><th>distorted</th></tr>");
    let mut row = |name: &str, of: &dyn Fn(&flame_api::quality::Film) -> String| {
        let _ = write!(
            page,
            "<tr><td>{name}</td><td>{}</td><td>{}</td></tr>",
            escape(&of(reference)),
            escape(&of(distorted))
        );
    };
    row("film", &|film| film.input.clone());
    row("codec", &|film| film.codec.clone());
    row("frames", &|film| {
        format!("{} of {}x{}, {}", film.frames, film.shape.width, film.shape.height, film.shape.pixel_format)
    });
    row("frame rate", &|film| film.frame_rate.map_or_else(|| "not said".to_owned(), |rate| format!("{rate:.3}")));
    row("duration", &|film| format!("{:.3} s", film.duration_ms / 1000.0));
    page.push_str("</table></div>\n");
    for lack in &comparison.incomplete {
        let _ = write!(page, "<p class=\"fail\">Partial: {}.</p>", escape(lack));
    }
    for note in &comparison.notes {
        let _ = write!(page, "<p>Note: {}.</p>", escape(note));
    }
}

fn verdicts(page: &mut String, gates: &[Judged]) {
    if gates.is_empty() {
        return;
    }
    page.push_str("<h2>Gates</h2><table>");
    for gate in gates {
        let (class, word) = if gate.passes { ("pass", "holds") } else { ("fail", "fails") };
        let (name, said) = (escape(&gate.gate), escape(&gate.said));
        let _ = write!(page, "<tr><td>{name}</td><td>{said}</td><td class=\"{class}\">{word}</td></tr>");
    }
    page.push_str("</table>\n");
}

fn table(page: &mut String, columns: &[Column]) {
    page.push_str(
        "<h2>Scores</h2><div class=\"wide\"><table><tr><th>metric</th><th>mean</th><th>harmonic</th><th>min</th>",
    );
    page.push_str("<th>1 %</th><th>5 %</th><th>10 %</th></tr>");
    for column in columns {
        let pooled = &column.pooled;
        let _ = write!(page, "<tr><td>{}</td>", escape(&column.name));
        for figure in [pooled.mean, pooled.harmonic_mean, pooled.min, pooled.p1, pooled.p5, pooled.p10] {
            let _ = write!(page, "<td>{figure:.4}</td>");
        }
        page.push_str("</tr>");
    }
    page.push_str("</table></div>\n");
}

fn alignment(page: &mut String, comparison: &Comparison) {
    let alignment = &comparison.alignment;
    let _ = writeln!(
        page,
        "<h2>Frames</h2><p>{} pairs were scored, with a confidence of {:.2} that they belong together. Dropped: {}, repeated: {}, \
         foreign: {}. Before the first pair: {} of the reference, {} of the distorted film; behind the last: {} and {}.</p>",
        comparison.scored_frames,
        alignment.confidence,
        alignment.dropped_frames,
        alignment.repeated_frames,
        alignment.foreign_frames,
        alignment.lead_in_reference,
        alignment.lead_in_distorted,
        alignment.tail_reference,
        alignment.tail_distorted,
    );
}

fn plot(page: &mut String, column: &Column, scores: &Scores) {
    let Some(at) = scores.columns.iter().position(|name| *name == column.name) else { return };
    let lowest = lowest(scores, at);
    let (min, max) = (column.pooled.min, column.pooled.max);
    let span = if max > min { max - min } else { 1.0 };
    let last = (lowest.len().max(2) - 1) as f64;
    let points = lowest.iter().enumerate().map(|(at, value)| {
        let x = MARGIN + (PLOT_WIDTH - MARGIN) * at as f64 / last;
        format!("{x:.1},{:.1}", 8.0 + (PLOT_HEIGHT - 16.0) * (max - value) / span)
    });
    let points = points.collect::<Vec<_>>().join(" ");
    let _ = writeln!(
        page,
        "<figure><figcaption>{} by frame</figcaption><svg viewBox=\"0 0 {PLOT_WIDTH} {PLOT_HEIGHT}\" role=\"img\" \
         aria-label=\"{} from {min:.3} to {max:.3}\"><g font-size=\"11\" fill=\"#666\"><text x=\"0\" y=\"12\">{max:.2}</text>\
         <text x=\"0\" y=\"{:.0}\">{min:.2}</text></g><polyline fill=\"none\" stroke=\"#0a5aa8\" stroke-width=\"1.5\" points=\"{points}\"/>\
         </svg></figure>",
        escape(&column.name),
        escape(&column.name),
        PLOT_HEIGHT - 5.0,
    );
}

/// At most [`POINTS_MAX`] stretches of frames, by their lowest score.
fn lowest(scores: &Scores, at: usize) -> Vec<f64> {
    let frames = scores.frames.chunks(scores.frames.len().div_ceil(POINTS_MAX).max(1));
    frames.map(|frames| frames.iter().map(|frame| frame.values[at]).fold(f64::INFINITY, f64::min)).collect()
}

fn worst(page: &mut String, comparison: &Comparison, sheets: &[Sheet]) {
    let Some(column) = comparison.columns.iter().rev().find(|column| !column.worst.is_empty()) else { return };
    let _ = write!(page, "<h2>Worst moments by {}</h2>", escape(&column.name));
    for frame in &column.worst {
        let text = format!(
            "{:.3} at {:.2} s: frame {}, beside frame {} of the reference",
            frame.score,
            frame.time_ms / 1000.0,
            frame.distorted,
            frame.reference
        );
        match sheets.iter().find(|sheet| sheet.distorted == frame.distorted) {
            Some(sheet) => {
                let _ = writeln!(
                    page,
                    "<figure><img alt=\"reference, distorted, difference\" src=\"data:image/jpeg;base64,{}\"><figcaption>{text}; \
                     reference, distorted, difference (4 times)</figcaption></figure>",
                    sheet.jpeg_base64
                );
            }
            None => {
                let _ = write!(page, "<p>{text}</p>");
            }
        }
    }
}

pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use flame_api::quality::FrameScores;

    use super::*;

    #[test]
    fn a_single_bad_frame_of_a_long_film_is_in_the_plot() {
        let frame = |number: u64| FrameScores {
            reference: number,
            distorted: number,
            time_ms: number as f64 * 40.0,
            values: vec![if number == 61_803 { 3.0 } else { 95.0 }],
        };
        let scores = Scores { columns: vec!["vmaf".to_owned()], frames: (0..100_000).map(frame).collect() };
        let lowest = lowest(&scores, 0);
        assert!(lowest.len() <= POINTS_MAX, "{}", lowest.len());
        assert_eq!(lowest.iter().filter(|value| **value < 4.0).count(), 1);
    }

    #[test]
    fn names_of_files_are_text() {
        assert_eq!(escape("<script>\"&"), "&lt;script&gt;&quot;&amp;");
    }
}
