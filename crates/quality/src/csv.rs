//! Scores as a table: one line a pair of frames.

use std::fmt::Write;

use flame_api::quality::Scores;

/// CSV (RFC 4180, but line feeds alone): `reference,distorted,time_ms` and the columns.
#[must_use]
pub fn table(scores: &Scores) -> String {
    let mut text = String::from("reference,distorted,time_ms");
    for column in &scores.columns {
        text.push(',');
        text.push_str(column);
    }
    text.push('\n');
    for frame in &scores.frames {
        // Writing into a string does not fail.
        let _ = write!(text, "{},{},{:.3}", frame.reference, frame.distorted, frame.time_ms);
        for value in &frame.values {
            let _ = write!(text, ",{value:.6}");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use flame_api::quality::FrameScores;

    use super::*;

    #[test]
    fn a_line_a_frame() {
        let frame = FrameScores { reference: 3, distorted: 4, time_ms: 160.0, values: vec![0.5, 40.0] };
        let scores = Scores { columns: vec!["ssim".to_owned(), "psnr".to_owned()], frames: vec![frame] };
        assert_eq!(table(&scores), "reference,distorted,time_ms,ssim,psnr\n3,4,160.000,0.500000,40.000000\n");
    }
}
