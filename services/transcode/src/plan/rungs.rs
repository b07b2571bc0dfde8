//! The sizes of a ladder, and what each of them may cost.
//!
//! A rung is named after its shorter side, as people name resolutions (`v1080` is 1920x1080, and 1080x1920 of an
//! upright film). The first rung is the source itself; those below it are the classic sizes that are clearly smaller.

use flame_api::media::Rational;
use flame_chain::chain::{Cap, Rate, Sizes};
use flame_chain::table::EncoderType;
use flame_media_child::protocol::VideoRung;

use super::RUNGS_MAX;

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
/// Least bits per second that a smaller size gets of those of the largest.
const SHARE_MIN_BPS: u32 = 10_000;

/// A size in square pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    width: u32,
    height: u32,
}

/// The rungs of pictures that are shown in this size, best first; at least one.
pub(super) fn of(
    (width, height): (u32, u32),
    frame_rate: Option<Rational>,
    rate: Rate,
    wanted: &Sizes,
    encoder: &EncoderType,
    preset: &str,
) -> Vec<VideoRung> {
    let fps = frame_rate.map_or(REFERENCE_RATE, Rational::as_f64);
    let sizes = match wanted {
        Sizes::Classic => classic(Size { width, height }),
        Sizes::Source => vec![best(Size { width, height })],
        Sizes::Shorter(sides) => shorter(Size { width, height }, sides),
    };
    let most_pixels = sizes.first().map_or(1, |size| size.pixels());
    let auto_crf = |size: Size| crf(size.pixels(), fps) + crf_above_h264(encoder.codec);
    let rung = |size: Size| {
        let share = |bps: u32| share_bps(bps, size.pixels(), most_pixels);
        let auto_bps = share_of_h264(cap_bps(size.pixels(), fps), encoder.codec);
        let (crf, mean_bitrate_bps, max_bitrate_bps) = match rate {
            Rate::Quality { crf: set, cap } => {
                let cap_bps = match cap {
                    Cap::Auto => auto_bps,
                    Cap::Open => 0,
                    Cap::Bps(bps) => share(bps),
                };
                (set.unwrap_or(auto_crf(size)), None, cap_bps)
            }
            Rate::Mean { bitrate_bps, cap } => {
                let mean_bps = share(bitrate_bps);
                let cap_bps = match cap {
                    Cap::Auto => mean_bps / 2 * 3,
                    Cap::Open => 0,
                    Cap::Bps(bps) => share(bps),
                };
                (auto_crf(size), Some(mean_bps), cap_bps)
            }
        };
        VideoRung {
            name: format!("v{}", size.shorter()),
            width: size.width,
            height: size.height,
            encoder: encoder.word.to_owned(),
            crf,
            mean_bitrate_bps,
            max_bitrate_bps,
            preset: preset.to_owned(),
        }
    };
    sizes.into_iter().map(rung).collect()
}

/// What remains of the bits of the largest size for one of so many pixels.
fn share_bps(bps: u32, pixels: u64, most_pixels: u64) -> u32 {
    if pixels >= most_pixels {
        return bps;
    }
    #[allow(clippy::cast_precision_loss, reason = "the pixels of a picture are far below 2^52")]
    let share = (pixels as f64 / most_pixels as f64).powf(PIXEL_EXPONENT);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most `bps`, above 0")]
    let bps = (f64::from(bps) * share).round() as u32;
    bps.max(SHARE_MIN_BPS)
}

/// The source's own size. Nothing is larger than the largest classic size: no level of H.264 that players know goes
/// beyond it.
fn best(source: Size) -> Size {
    let (shorter, longer) = CLASSIC[0];
    source.within(shorter, longer).even_below(source)
}

/// The sizes of these shorter sides that are not above the source, largest first; else its own.
fn shorter(source: Size, sides: &[u32]) -> Vec<Size> {
    let best = best(source);
    let sized = |side: &u32| {
        let scaled = |length: u32| nearest_even(u64::from(length) * u64::from(*side), u64::from(best.shorter()));
        Size { width: scaled(best.width), height: scaled(best.height) }.even_below(best)
    };
    let sizes: Vec<Size> = sides.iter().filter(|side| **side <= best.shorter()).map(sized).collect();
    if sizes.is_empty() { vec![best] } else { sizes }
}

/// The sizes of a ladder for a source of this size, best first.
fn classic(source: Size) -> Vec<Size> {
    let mut sizes = vec![best(source)];
    for &(shorter, longer) in &CLASSIC[1..] {
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

/// How much further other codecs count for about the same quality, where theirs begins at 0 too.
fn crf_above_h264(codec: &str) -> u32 {
    match codec {
        "hevc" => 3,
        "av1" => 12,
        "vp9" => 11,
        _ => 0,
    }
}

/// What other codecs need of the bits of H.264, rounded up: they are capped there.
fn share_of_h264(bps: u32, codec: &str) -> u32 {
    let percent = match codec {
        "hevc" => 70,
        "av1" => 60,
        "vp9" => 75,
        _ => 100,
    };
    #[allow(clippy::cast_possible_truncation, reason = "at most what it was")]
    let share = (u64::from(bps) * percent / 100) as u32;
    share.max(SHARE_MIN_BPS)
}

/// What a rung may take at most, over any two seconds.
pub(super) fn cap_bps(pixels: u64, rate: f64) -> u32 {
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
    use flame_chain::table::ENCODERS;
    use proptest::prelude::*;

    use super::*;

    const AUTO: Rate = Rate::Quality { crf: None, cap: Cap::Auto };

    fn x264() -> &'static EncoderType {
        encoder("x264")
    }

    fn encoder(word: &str) -> &'static EncoderType {
        ENCODERS.iter().find(|encoder| encoder.word == word).unwrap()
    }

    fn ladder(width: u32, height: u32) -> Vec<VideoRung> {
        of((width, height), Some(Rational { num: 25, den: 1 }), AUTO, &Sizes::Classic, x264(), "veryfast")
    }

    fn named(width: u32, height: u32) -> Vec<(String, u32, u32)> {
        let rungs = ladder(width, height);
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

    #[test]
    fn sizes_that_are_asked_for_are_never_above_the_source() {
        let sized = |source, sides: &[u32]| {
            let rungs = of(source, None, AUTO, &Sizes::Shorter(sides.to_vec()), x264(), "fast");
            rungs.into_iter().map(|rung| (rung.width, rung.height)).collect::<Vec<_>>()
        };
        assert_eq!(sized((1920, 1080), &[720, 360]), [(1280, 720), (640, 360)]);
        assert_eq!(sized((1080, 1920), &[720]), [(720, 1280)]);
        assert_eq!(sized((640, 360), &[720, 360]), [(640, 360)]);
        assert_eq!(sized((640, 360), &[720]), [(640, 360)]);
        assert_eq!(sized((321, 181), &[180]), [(320, 180)]);
    }

    #[test]
    fn bits_that_are_asked_for_are_those_of_the_largest_size() {
        let rate = Rate::Mean { bitrate_bps: 2_000_000, cap: Cap::Auto };
        let rungs = of((1280, 720), None, rate, &Sizes::Shorter(vec![720, 360]), x264(), "fast");
        assert_eq!((rungs[0].mean_bitrate_bps, rungs[0].max_bitrate_bps), (Some(2_000_000), 3_000_000));
        assert!(rungs[1].mean_bitrate_bps < Some(1_000_000) && rungs[1].mean_bitrate_bps > Some(500_000));
        let capped = Rate::Quality { crf: Some(30), cap: Cap::Bps(1_000_000) };
        let rungs = of((1280, 720), None, capped, &Sizes::Source, x264(), "fast");
        assert_eq!((rungs[0].crf, rungs[0].mean_bitrate_bps, rungs[0].max_bitrate_bps), (30, None, 1_000_000));
    }

    #[test]
    fn better_codecs_get_fewer_bits_and_count_further() {
        let of = |word| of((1280, 720), None, AUTO, &Sizes::Source, encoder(word), "fast").remove(0);
        let [h264, hevc, av1, vp9] = ["x264", "x265", "svt-av1", "vpx-vp9"].map(of);
        assert!(av1.max_bitrate_bps < hevc.max_bitrate_bps && hevc.max_bitrate_bps < vp9.max_bitrate_bps);
        assert!(vp9.max_bitrate_bps < h264.max_bitrate_bps);
        assert_eq!([h264.crf, hevc.crf, av1.crf, vp9.crf], [22, 25, 34, 33]);
    }

    proptest! {
        #[test]
        fn every_ladder_keeps_the_rules(width in 1_u32..9000, height in 1_u32..9000) {
            let source = Size { width, height };
            let rungs = ladder(width, height);
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
            let turned = classic(Size { width: height, height: width });
            let upright: Vec<_> = classic(source).iter().map(|size| Size { width: size.height, height: size.width }).collect();
            prop_assert_eq!(turned, upright, "upright and lying films are treated alike");
        }
    }
}
