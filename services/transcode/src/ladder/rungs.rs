//! The sizes of a ladder, and what each of them may cost.
//!
//! A rung is named after its shorter side, as people name resolutions (`v1080` is 1920x1080, and 1080x1920 of an
//! upright film). The first rung is the source itself; those below it are the classic sizes that are clearly smaller.

use flame_api::media::VideoStream;
use flame_media_child::protocol::VideoRung;

use super::{PlanError, RUNGS_MAX};

/// The classic sizes: most of the shorter side, most of the longer side (16:9). A picture of another shape is made to
/// fit inside, so a wide film loses height and a square one width.
const CLASSIC: [(u32, u32); RUNGS_MAX] =
    [(2160, 3840), (1440, 2560), (1080, 1920), (720, 1280), (480, 854), (360, 640), (240, 426)];
/// A rung with more than this share of the pixels of the one above it is not worth its bits.
const SHARE_MAX_PERCENT: u64 = 85;
/// Pixels of 1280x720: from here on quality is traded for bits a little sooner.
const HD_PIXELS: u64 = 1280 * 720;
/// Frames per second above which single pictures are seen too briefly for the finest quality.
const FAST_RATE: f64 = 40.0;

/// The cap of 1920x1080 at 30 frames per second, bits per second.
const REFERENCE_CAP_BPS: f64 = 6_000_000.0;
const REFERENCE_PIXELS: f64 = 1920.0 * 1080.0;
const REFERENCE_RATE: f64 = 30.0;
/// Bits grow slower than pixels: neighbours resemble each other.
const PIXEL_EXPONENT: f64 = 0.75;
/// And slower still than frames.
const RATE_EXPONENT: f64 = 0.6;
/// Caps are whole multiples of this, and at least ten of it.
const CAP_STEP_BPS: f64 = 10_000.0;

/// A size in square pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    width: u32,
    height: u32,
}

/// The rungs of `video`, best first; at least one.
pub(super) fn of(video: &VideoStream, preset: &str) -> Result<Vec<VideoRung>, PlanError> {
    let (width, height) = (video.display_width, video.display_height);
    if width == 0 || height == 0 {
        return Err(PlanError::NoPixels { width, height });
    }
    let rate = super::frame_rate(video).map_or(REFERENCE_RATE, |rate| rate.as_f64());
    let rung = |size: Size| VideoRung {
        name: format!("v{}", size.shorter()),
        width: size.width,
        height: size.height,
        crf: crf(size.pixels(), rate),
        max_bitrate_bps: cap_bps(size.pixels(), rate),
        preset: preset.to_owned(),
    };
    Ok(sizes(Size { width, height }).into_iter().map(rung).collect())
}

/// The sizes of a ladder for a source of this size, best first.
fn sizes(source: Size) -> Vec<Size> {
    let (top, rest) = CLASSIC.split_first().expect("there are classic sizes");
    // Nothing is larger than the largest classic size: no level of H.264 that players know goes beyond it.
    let mut sizes = vec![source.within(top.0, top.1).even_below(source)];
    for &(shorter, longer) in rest {
        let above = *sizes.last().expect("the first is there");
        let size = source.within(shorter, longer).even_below(above);
        let is_smaller = size.pixels() * 100 <= above.pixels() * SHARE_MAX_PERCENT;
        if is_smaller && size.shorter() < above.shorter() {
            sizes.push(size);
        }
    }
    sizes
}

/// x264's constant rate factor. Small pictures are shown enlarged, so their faults are as well.
fn crf(pixels: u64, rate: f64) -> u32 {
    let by_size = if pixels >= HD_PIXELS { 22 } else { 21 };
    by_size + u32::from(rate > FAST_RATE)
}

/// What a rung may take at most, over any two seconds.
fn cap_bps(pixels: u64, rate: f64) -> u32 {
    #[allow(clippy::cast_precision_loss, reason = "the pixels of a picture are far below 2^52")]
    let by_size = (pixels as f64 / REFERENCE_PIXELS).powf(PIXEL_EXPONENT);
    let by_rate = (rate.clamp(10.0, 120.0) / REFERENCE_RATE).powf(RATE_EXPONENT);
    let steps = (REFERENCE_CAP_BPS * by_size * by_rate / CAP_STEP_BPS).round().clamp(10.0, 20_000.0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 200 Mbit/s, above 0")]
    let cap = (steps * CAP_STEP_BPS) as u32;
    cap
}

// === impl Size ===

impl Size {
    fn shorter(self) -> u32 {
        self.width.min(self.height)
    }

    fn longer(self) -> u32 {
        self.width.max(self.height)
    }

    fn pixels(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// The size of this shape that fits into the bounds of its sides; never larger than it is.
    fn within(self, shorter_max: u32, longer_max: u32) -> Self {
        let (shorter, longer) = (u64::from(self.shorter()), u64::from(self.longer()));
        // The side that must shrink more decides; the other follows, to the nearest pixel.
        let (num, den) = if u64::from(shorter_max) * longer <= u64::from(longer_max) * shorter {
            (u64::from(shorter_max), shorter)
        } else {
            (u64::from(longer_max), longer)
        };
        if num >= den {
            return self;
        }
        let scaled = |side: u32| nearest_even(u64::from(side) * num, den);
        Self { width: scaled(self.width), height: scaled(self.height) }
    }

    /// With even sides, above 0, and nowhere larger than `bound` (unless that has a side of one pixel).
    fn even_below(self, bound: Self) -> Self {
        let even = |side: u32, bound: u32| (side.min(bound) & !1).max(2);
        Self { width: even(self.width, bound.width), height: even(self.height, bound.height) }
    }
}

/// `num / den`, to the nearest even number.
fn nearest_even(num: u64, den: u64) -> u32 {
    u32::try_from((num + den) / (2 * den) * 2).unwrap_or(u32::MAX - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::video;
    use super::*;

    fn named(width: u32, height: u32) -> Vec<(String, u32, u32)> {
        let rungs = of(&video(width, height), "veryfast").unwrap();
        rungs.into_iter().map(|rung| (rung.name, rung.width, rung.height)).collect()
    }

    fn check(width: u32, height: u32, expected: &[(&str, u32, u32)]) {
        let expected: Vec<_> =
            expected.iter().map(|(name, width, height)| ((*name).to_owned(), *width, *height)).collect();
        assert_eq!(named(width, height), expected, "{width}x{height}");
    }

    #[test]
    fn classic_sources_get_the_classic_ladder() {
        check(
            1920,
            1080,
            &[("v1080", 1920, 1080), ("v720", 1280, 720), ("v480", 854, 480), ("v360", 640, 360), ("v240", 426, 240)],
        );
        assert_eq!(named(3840, 2160).len(), RUNGS_MAX);
        check(640, 360, &[("v360", 640, 360), ("v240", 426, 240)]);
        check(160, 120, &[("v120", 160, 120)]);
    }

    #[test]
    fn upright_films_are_named_by_their_shorter_side() {
        check(720, 1280, &[("v720", 720, 1280), ("v480", 480, 854), ("v360", 360, 640), ("v240", 240, 426)]);
    }

    #[test]
    fn odd_sizes_come_first_rounded_down_and_near_ones_are_left_out() {
        check(1279, 719, &[("v718", 1278, 718), ("v480", 854, 480), ("v360", 640, 360), ("v240", 426, 240)]);
        // PAL with its pixels made square.
        check(1024, 576, &[("v576", 1024, 576), ("v480", 854, 480), ("v360", 640, 360), ("v240", 426, 240)]);
        // A wide film fits by its longer side.
        check(
            1920,
            800,
            &[("v800", 1920, 800), ("v534", 1280, 534), ("v356", 854, 356), ("v266", 640, 266), ("v178", 426, 178)],
        );
    }

    #[test]
    fn what_no_player_decodes_is_made_smaller() {
        assert_eq!(named(7680, 4320)[0], ("v2160".to_owned(), 3840, 2160));
        assert_eq!(named(65_535, 2)[0], ("v2".to_owned(), 3840, 2));
        check(1, 1, &[("v2", 2, 2)]);
    }

    #[test]
    fn more_pixels_and_more_frames_may_take_more_bits() {
        assert_eq!(cap_bps(1920 * 1080, 30.0), 6_000_000);
        assert!(cap_bps(1920 * 1080, 60.0) > cap_bps(1920 * 1080, 30.0));
        assert!(cap_bps(u64::from(u32::MAX), 1e9) <= 200_000_000);
        assert!(cap_bps(4, 1.0) >= 100_000);
    }

    proptest! {
        #[test]
        fn every_ladder_keeps_the_rules(width in 1_u32..9000, height in 1_u32..9000) {
            let source = Size { width, height };
            let rungs = of(&video(width, height), "veryfast").unwrap();
            prop_assert!((1..=RUNGS_MAX).contains(&rungs.len()));
            for rung in &rungs {
                prop_assert!(rung.width >= 2 && rung.height >= 2 && rung.width % 2 == 0 && rung.height % 2 == 0);
                prop_assert!(rung.width <= width.max(2) && rung.height <= height.max(2), "above its source");
                prop_assert!(rung.width.max(rung.height) <= 3840 && rung.width.min(rung.height) <= 2160);
                // The cross products differ by what two pixels of rounding on each side explain.
                let skew = (u64::from(rung.width) * u64::from(height)).abs_diff(u64::from(rung.height) * u64::from(width));
                prop_assert!(skew <= 2 * u64::from(width) + 2 * u64::from(height), "another shape: {rung:?}");
            }
            for pair in rungs.windows(2) {
                prop_assert!(pair[0].width >= pair[1].width && pair[0].height >= pair[1].height);
                prop_assert!(pair[0].max_bitrate_bps > pair[1].max_bitrate_bps || pair[1].max_bitrate_bps == 100_000);
                prop_assert!(pair[0].crf >= pair[1].crf);
                prop_assert!(pair[0].name != pair[1].name);
            }
            // The best rung is the source, as far as it is even and can be played.
            if width.max(height) <= 3840 && width.min(height) <= 2160 {
                prop_assert_eq!((rungs[0].width, rungs[0].height), ((width & !1).max(2), (height & !1).max(2)));
            }
            let turned = sizes(Size { width: height, height: width });
            let upright: Vec<_> = sizes(source).iter().map(|size| Size { width: size.height, height: size.width }).collect();
            prop_assert_eq!(turned, upright, "upright and lying films are treated alike");
        }
    }
}
