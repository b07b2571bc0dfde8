//! How much of what a container states has come: a file that ends early, segments that nobody could fetch, packets that nobody could
//! decode. Pure. It knows nothing of containers; who reads says what is stated, and whether each picture's length is.

/// Lengths are rounded, and sound ends within a block: less than this is not missing, milliseconds.
const TOLERANCE_MS: f64 = 150.0;
/// The same where the length is the sum of a playlist's rounded ones, and that of one rendition for all.
const PLAYLIST_TOLERANCE_MS: f64 = 500.0;
/// And in pictures or blocks of sound.
const TOLERANCE_BLOCKS: f64 = 3.0;

/// What a container states of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Stated {
    /// How long it is, milliseconds.
    pub length_ms: Option<f64>,
    /// Whether it states the length of each picture: then holes are seen, and no pause is taken for one.
    pub of_each: bool,
    /// Whether the length is the sum of a playlist's.
    pub by_playlist: bool,
    /// From when on the length counts, milliseconds as the container has its times; none where that is from the stream's own begin.
    pub from_ms: Option<f64>,
    /// Whether the length is that of another stream: then only holes are missing, for this one may be shorter.
    pub is_of_another: bool,
}

/// What has come of it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Extent {
    stated: Stated,
    lasted_ms: f64,
    longest_ms: f64,
}

// === impl Extent ===

impl Extent {
    /// Of nothing yet.
    #[must_use]
    pub fn new(stated: Stated) -> Self {
        Self { stated, ..Self::default() }
    }

    /// A picture or a block of sound that was decoded, and how long it lasts.
    pub fn came(&mut self, length_ms: f64) {
        if length_ms.is_finite() && length_ms > 0.0 {
            self.lasted_ms += length_ms;
            self.longest_ms = self.longest_ms.max(length_ms);
        }
    }

    /// How long it is stated to be, milliseconds.
    #[must_use]
    pub fn stated_ms(&self) -> Option<f64> {
        self.stated.length_ms
    }

    /// How much did not come, milliseconds; none where nothing is stated. `shown_ms` is when the first picture is shown and when the last
    /// one ends, as the container has its times; `refused` what could not be decoded, each `usual_ms` long.
    #[must_use]
    pub fn missing_ms(&self, shown_ms: (f64, f64), refused: u64, usual_ms: f64) -> Option<f64> {
        let span_ms = shown_ms.1 - self.stated.from_ms.map_or(shown_ms.0, |from_ms| from_ms.min(shown_ms.0));
        let mut stated_ms = self.stated.length_ms?;
        if self.stated.is_of_another {
            // Times that jump say nothing.
            stated_ms = Some(span_ms).filter(|span_ms| *span_ms < stated_ms + PLAYLIST_TOLERANCE_MS)?;
        }
        let came_ms = if self.stated.of_each { self.lasted_ms } else { span_ms - refused as f64 * usual_ms };
        let missing_ms = stated_ms - came_ms;
        let at_least_ms = if self.stated.by_playlist { PLAYLIST_TOLERANCE_MS } else { TOLERANCE_MS };
        // A single picture that stands for minutes is no reason to miss minutes.
        let blocks_ms = TOLERANCE_BLOCKS * if usual_ms > 0.0 { usual_ms } else { self.longest_ms.min(TOLERANCE_MS) };
        Some(if missing_ms > at_least_ms.max(blocks_ms) { missing_ms } else { 0.0 })
    }
}

/// What is said of media of which something did not come.
#[must_use]
pub fn said(what: &str, stated_ms: Option<f64>, missing_ms: Option<f64>) -> Option<String> {
    let missing_s = missing_ms.filter(|missing_ms| *missing_ms > 0.0)? / 1000.0;
    Some(format!("{missing_s:.3} s of the {:.3} s of {what} that are stated did not come", stated_ms? / 1000.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn extent(length_ms: f64, of_each: bool) -> Extent {
        Extent::new(Stated { length_ms: Some(length_ms), of_each, ..Stated::default() })
    }

    #[test]
    fn an_early_end_is_seen_and_a_rounded_one_is_not() {
        let whole = extent(4000.0, false);
        assert_eq!(whole.missing_ms((0.0, 2000.0), 0, 40.0), Some(2000.0));
        assert_eq!(whole.missing_ms((0.0, 3900.0), 0, 40.0), Some(0.0));
        // It begins late, and the length counts from the begin of the file.
        let late = Extent::new(Stated { length_ms: Some(4500.0), from_ms: Some(0.0), ..Stated::default() });
        assert_eq!(late.missing_ms((500.0, 4500.0), 0, 40.0), Some(0.0));
        // Five pictures in the middle could not be decoded.
        assert_eq!(whole.missing_ms((0.0, 4000.0), 5, 40.0), Some(200.0));
        assert_eq!(Extent::new(Stated::default()).missing_ms((0.0, 1.0), 9, 40.0), None);
        assert!(
            said("pictures", Some(4000.0), Some(2000.0)).is_some_and(|said| said.contains("2.000 s of the 4.000 s"))
        );
        assert_eq!(said("pictures", Some(4000.0), Some(0.0)), None);
    }

    #[test]
    fn sound_that_is_shorter_is_whole_and_sound_with_a_hole_is_not() {
        let stated =
            Stated { length_ms: Some(8000.0), of_each: true, by_playlist: true, from_ms: None, is_of_another: true };
        let mut extent = Extent::new(stated);
        (0..3).for_each(|_| extent.came(2000.0));
        assert_eq!(extent.missing_ms((0.0, 6000.0), 0, 20.0), Some(0.0));
        assert_eq!(extent.missing_ms((0.0, 8000.0), 0, 20.0), Some(2000.0));
        assert_eq!(extent.missing_ms((0.0, 1e6), 0, 20.0), None);
    }

    proptest! {
        /// Whatever stands between: what is missing is what was taken away, or too little to count.
        #[test]
        fn what_is_left_out_is_missing(lengths in proptest::collection::vec((5.0..100.0_f64, any::<bool>()), 1..400)) {
            let total: f64 = lengths.iter().map(|(length, _)| length).sum();
            let mut extent = extent(total, true);
            for (length, comes) in &lengths {
                if *comes {
                    extent.came(*length);
                }
            }
            let left_out: f64 = lengths.iter().filter(|(_, comes)| !comes).map(|(length, _)| length).sum();
            let missing = extent.missing_ms((0.0, total), 0, 20.0).expect("it is stated");
            prop_assert!((missing - left_out).abs() < 1e-6 || (missing == 0.0 && left_out <= TOLERANCE_MS + 1e-6));
        }
    }
}
