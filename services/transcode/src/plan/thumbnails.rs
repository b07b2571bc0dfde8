//! How many thumbnails a source gets, how far apart, and on how many sheets. Pure.

use flame_media_child::protocol::ThumbnailPlan;

/// The longer side of a thumbnail, pixels.
const SIDE_MAX: u32 = 160;
/// Thumbnails of a sheet, each way.
const SHEET_SIDE: u32 = 10;
/// The most sheets: the interval grows with the length of the source.
const SHEETS_MAX: u32 = 10;
/// The shortest interval.
const INTERVAL_MIN_MS: u64 = 1000;
/// The interval where nobody knows how long the source is.
const INTERVAL_UNKNOWN_MS: u64 = 10_000;

/// The thumbnails of upright pictures of this size, for so long; `None` where its pictures have no size.
pub(super) fn of((width, height): (u32, u32), duration_ms: u64) -> Option<ThumbnailPlan> {
    let longest = u64::from(width.max(height));
    let scaled = |side: u32| u32::try_from(u64::from(side) * u64::from(SIDE_MAX) / longest.max(1)).unwrap_or(SIDE_MAX);
    let side = |side: u32| (scaled(side) & !1).max(2);
    let most = u64::from(SHEETS_MAX * SHEET_SIDE * SHEET_SIDE);
    let interval_ms = match duration_ms {
        0 => INTERVAL_UNKNOWN_MS,
        // In whole seconds.
        known => (known.div_ceil(most).div_ceil(1000) * 1000).max(INTERVAL_MIN_MS),
    };
    // A year takes 8.8 hours, which fit.
    let interval_ms = u32::try_from(interval_ms).unwrap_or(u32::MAX);
    let count = match duration_ms {
        0 => u64::from(SHEET_SIDE * SHEET_SIDE),
        known => known.div_ceil(interval_ms.into()).max(1),
    };
    // A short source does not get a sheet that is mostly empty.
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    let columns = count.min(SHEET_SIDE);
    let rows = count.div_ceil(columns).min(SHEET_SIDE);
    (width > 0 && height > 0).then(|| ThumbnailPlan {
        interval_ms,
        columns,
        rows,
        width: side(width),
        height: side(height),
        sheets_max: SHEETS_MAX,
    })
}

/// What the sheets take on disk at most, in bytes: half a byte a pixel is a busy JPEG.
pub(super) fn size_max_bytes(plan: &ThumbnailPlan) -> u64 {
    let tile_pixels = u64::from(plan.width) * u64::from(plan.height);
    tile_pixels * u64::from(plan.columns) * u64::from(plan.rows) * u64::from(plan.sheets_max) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_grows_with_the_length_and_the_sheets_stay_ten() {
        const HOUR_MS: u64 = 3_600_000;
        for (duration_ms, interval_ms, columns, rows) in [
            (1, 1000, 1, 1),
            (6_500, 1000, 7, 1),
            (25_000, 1000, 10, 3),
            (1_000_000, 1000, 10, 10),
            (1_000_001, 2000, 10, 10),
            (2 * HOUR_MS, 8000, 10, 10),
            (100 * HOUR_MS, 360_000, 10, 10),
            (0, 10_000, 10, 10),
        ] {
            let plan = of((1920, 1080), duration_ms).unwrap();
            assert_eq!((plan.interval_ms, plan.columns, plan.rows), (interval_ms, columns, rows), "{duration_ms}");
            let sheets = duration_ms.div_ceil(interval_ms.into()).div_ceil(u64::from(columns * rows));
            assert!(sheets <= u64::from(plan.sheets_max), "{duration_ms}");
        }
    }

    #[test]
    fn a_thumbnail_has_the_shape_of_the_picture() {
        for (size, tile) in
            [((1920, 1080), (160, 90)), ((1080, 1920), (90, 160)), ((64, 64), (160, 160)), ((9000, 2), (160, 2))]
        {
            let plan = of(size, 10_000).unwrap();
            assert_eq!((plan.width, plan.height), tile, "{size:?}");
        }
        assert_eq!(of((0, 100), 10_000), None);
    }
}
