//! Thumbnails in an MPD: sheets of small pictures as segments of an AdaptationSet of images (DASH-IF IOP 4.3 section 6.2.6).

use super::representation::descriptor;
use super::xml::Element;
use crate::{PlaylistError, uri};

const TILE_SCHEME: &str = "http://dashif.org/guidelines/thumbnail_tile";
const TIMESCALE: u32 = 1000;

/// Pictures taken at even distances, on sheets `{folder}/{n}.jpg` from 0, row by row; all sheets are of one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tiles {
    /// Where the sheets are: relative to the MPD, without `/` at the end.
    pub folder: String,
    /// From one picture to the next, milliseconds.
    pub interval_ms: u64,
    /// Pictures in a row.
    pub columns: u32,
    /// Rows of a sheet.
    pub rows: u32,
    /// Width of a picture, pixels.
    pub tile_width_px: u32,
    /// Height of a picture, pixels.
    pub tile_height_px: u32,
    /// Bytes of the largest sheet.
    pub largest_sheet_bytes: u64,
}

// === impl Tiles ===

impl Tiles {
    /// The AdaptationSet with this number.
    pub(super) fn element(&self, number: usize) -> Result<Element, PlaylistError> {
        if uri::checked(&self.folder)?.ends_with('/') || self.folder.contains('$') {
            return Err(PlaylistError::Uri { uri: self.folder.clone() });
        }
        let sheet_ms = self.interval_ms.saturating_mul(u64::from(self.columns) * u64::from(self.rows));
        if sheet_ms == 0 || self.tile_width_px == 0 || self.tile_height_px == 0 {
            return Err(PlaylistError::Empty { what: "thumbnail" });
        }
        let bandwidth_bps = self.largest_sheet_bytes.saturating_mul(8 * u64::from(TIMESCALE)).div_ceil(sheet_ms);
        let template = Element::new("SegmentTemplate")
            .with("timescale", TIMESCALE)
            .with("duration", sheet_ms)
            .with("startNumber", 0)
            .with("media", format!("{}/$Number$.jpg", self.folder));
        let representation = Element::new("Representation")
            .with("id", "thumbnails")
            .with("bandwidth", bandwidth_bps.clamp(1, u64::from(u32::MAX)))
            .with("width", self.columns.saturating_mul(self.tile_width_px))
            .with("height", self.rows.saturating_mul(self.tile_height_px))
            .child(descriptor("EssentialProperty", TILE_SCHEME, &format!("{}x{}", self.columns, self.rows)));
        let set = Element::new("AdaptationSet").with("id", number).with("contentType", "image");
        Ok(set.with("mimeType", "image/jpeg").child(template).child(representation))
    }
}
