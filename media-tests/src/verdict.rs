//! The decisions: is what was measured what the source promised? Pure; each says the first difference it finds.

use anyhow::{Result, ensure};

use crate::measure::{Pictures, Sound};

/// How far a time may be off, seconds: containers round to a millisecond (Matroska) or finer.
pub const TIME_TOLERANCE_S: f64 = 0.001_1;
/// Samples in one AAC-LC access unit (ISO/IEC 14496-3): the last one is padded, the first may be priming.
pub const AAC_FRAME_SAMPLES: u64 = 1024;

/// Every picture of the source is there, at its time, and no other.
///
/// Times count from the first picture: where a presentation begins is the packager's choice.
///
/// # Errors
/// The first difference.
pub fn same_pictures(source: &Pictures, played: &Pictures) -> Result<()> {
    let (wanted, found) = (&source.times_s, &played.times_s);
    for (n, (wanted_s, found_s)) in wanted.iter().zip(found).enumerate() {
        let (wanted_s, found_s) = (wanted_s - wanted[0], found_s - found[0]);
        ensure!(
            (wanted_s - found_s).abs() <= TIME_TOLERANCE_S,
            "picture {n} is shown at {found_s:.6} s, the source shows it at {wanted_s:.6} s"
        );
    }
    ensure!(wanted.len() == found.len(), "{} pictures, the source has {}", found.len(), wanted.len());
    Ok(())
}

/// The sound is as long as the source's, within one AAC frame of samples.
///
/// # Errors
/// The difference.
pub fn same_length(source: &Sound, played: &Sound) -> Result<()> {
    // In samples of what was played; a source of another rate is converted, rounded to the nearest.
    let (from, to) = (u128::from(source.sample_rate_hz), u128::from(played.sample_rate_hz));
    let wanted = (u128::from(source.samples) * to + from / 2) / from;
    let off = wanted.abs_diff(u128::from(played.samples));
    ensure!(
        off <= u128::from(AAC_FRAME_SAMPLES),
        "{} samples of sound at {} Hz, the source has {wanted}: {off} is more than one AAC frame",
        played.samples,
        played.sample_rate_hz
    );
    Ok(())
}

/// Sound follows the pictures at the source's distance, within one picture.
///
/// # Errors
/// The distance.
pub fn starts_together(source_distance_s: f64, played_distance_s: f64, picture_interval_s: f64) -> Result<()> {
    let off_s = played_distance_s - source_distance_s;
    ensure!(
        off_s.abs() <= picture_interval_s + TIME_TOLERANCE_S,
        "sound begins {:.1} ms off the pictures, a picture lasts {:.1} ms",
        off_s * 1e3,
        picture_interval_s * 1e3
    );
    Ok(())
}

/// Whether pictures come at one interval, to a millisecond, in which many containers count.
#[must_use]
pub fn is_constant(times_s: &[f64]) -> bool {
    let steps: Vec<f64> = times_s.windows(2).map(|two| two[1] - two[0]).collect();
    let (least, most) =
        steps.iter().fold((f64::MAX, 0.0_f64), |(least, most), step| (least.min(*step), most.max(*step)));
    most - least <= 0.0021
}

/// All video renditions have their key frames at the same times, so that a player can change between them.
///
/// # Errors
/// The first difference.
pub fn same_key_frames(first_s: &[f64], other_s: &[f64]) -> Result<()> {
    let close = |(one_s, other_s): (&f64, &f64)| (one_s - other_s).abs() <= TIME_TOLERANCE_S;
    ensure!(
        first_s.len() == other_s.len() && first_s.iter().zip(other_s).all(close),
        "key frames at {other_s:?}, those of the first rendition are at {first_s:?}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound(sample_rate_hz: u32, samples: u64) -> Sound {
        Sound { sample_rate_hz, samples, start_s: 0.0 }
    }

    #[test]
    fn sound_may_differ_by_one_access_unit_and_no_more() {
        for (samples, fits) in [(48_000, true), (49_024, true), (46_976, true), (49_025, false), (46_975, false)] {
            assert_eq!(same_length(&sound(48_000, 48_000), &sound(48_000, samples)).is_ok(), fits, "{samples}");
        }
        // One second of another rate.
        same_length(&sound(22_050, 22_050), &sound(44_100, 44_100)).expect("converted");
    }

    #[test]
    fn pictures_may_begin_later_but_not_move() {
        let source = Pictures { times_s: vec![0.0, 0.04, 0.08] };
        same_pictures(&source, &Pictures { times_s: vec![10.0, 10.04, 10.0805] }).expect("only later");
        same_pictures(&source, &Pictures { times_s: vec![0.0, 0.042, 0.08] }).expect_err("one moved");
        same_pictures(&source, &Pictures { times_s: vec![0.0, 0.04] }).expect_err("one is missing");
        same_pictures(&source, &Pictures { times_s: vec![] }).expect_err("all are missing");
    }
}
