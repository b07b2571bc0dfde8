//! Thumbnails on the way: of the frames that are decoded anyway, one at each interval is made small and put on a sheet.
//!
//! It costs one scaling at an interval, in the decoding thread, and one JPEG a sheet. They are welcome, not needed: where they
//! cannot be made, the ladder goes on without. The number of sheets is bounded by the plan, whatever the source does.

use std::{
    io::BufWriter,
    path::{Path, PathBuf},
};

use ffmpeg_next::{
    format::Pixel,
    frame::Video,
    software::scaling::{Context, Flags},
};
use flame_api::media::Thumbnails;
use flame_media_child::protocol::ThumbnailPlan;
use image::{ExtendedColorType, ImageEncoder, RgbImage, codecs::jpeg::JpegEncoder, imageops};

use crate::{fault::MediaError, ffi::SendContext, poster::rgb_image};

/// JPEG quality, of 100.
const QUALITY: u8 = 75;
/// A frame so little before its moment is the one of that moment: containers round times.
const TOLERANCE_NS: u64 = 500_000;

/// Sheets being filled.
pub(super) struct Sheets {
    folder: PathBuf,
    plan: ThumbnailPlan,
    rotation_deg: u16,
    scaler: Option<(Source, SendContext)>,
    /// Running time of the first frame.
    first_ns: Option<u64>,
    /// Pictures placed.
    count: u32,
    sheet: RgbImage,
    newest: Option<RgbImage>,
    size_bytes: u64,
    largest_bytes: u64,
}

/// What a scaler was made for.
type Source = (Pixel, u32, u32);

/// Where the sheets of a version lie, in `folder`.
pub(super) fn folder_in(folder: &Path) -> PathBuf {
    folder.join("thumbnails")
}

// === impl Sheets ===

impl Sheets {
    /// Sheets below the existing folder `folder`.
    pub(super) fn new(folder: &Path, plan: &ThumbnailPlan, rotation_deg: u16) -> Self {
        let sheet = RgbImage::new(plan.columns * plan.width, plan.rows * plan.height);
        Self {
            folder: folder_in(folder),
            plan: plan.clone(),
            rotation_deg,
            scaler: None,
            first_ns: None,
            count: 0,
            sheet,
            newest: None,
            size_bytes: 0,
            largest_bytes: 0,
        }
    }

    /// Takes the next frame, as shown.
    pub(super) fn look(&mut self, frame: &Video, running_ns: u64) -> Result<(), MediaError> {
        let first_ns = *self.first_ns.get_or_insert(running_ns);
        let due = due(running_ns.saturating_sub(first_ns), self.plan.interval_ms);
        let most = self.plan.tiles().saturating_mul(self.plan.sheets_max);
        if self.count > due || self.count >= most {
            return Ok(());
        }
        // What lies in between was shown by what came before.
        while let Some(newest) = self.newest.clone().filter(|_| self.count < due.min(most)) {
            self.place(&newest)?;
        }
        if self.count < most {
            let tile = self.tile(frame)?;
            self.place(&tile)?;
            self.newest = Some(tile);
        }
        Ok(())
    }

    /// Writes the last sheet. `None` if there was no frame.
    pub(super) fn finish(mut self) -> Result<Option<Thumbnails>, MediaError> {
        if self.count == 0 {
            return Ok(None);
        }
        if !self.count.is_multiple_of(self.plan.tiles()) {
            self.write(self.count / self.plan.tiles())?;
        }
        Ok(Some(Thumbnails {
            interval_ms: self.plan.interval_ms,
            columns: self.plan.columns,
            rows: self.plan.rows,
            tile_width: self.plan.width,
            tile_height: self.plan.height,
            count: self.count,
            largest_sheet_bytes: self.largest_bytes,
            size_bytes: self.size_bytes,
        }))
    }

    fn tile(&mut self, frame: &Video) -> Result<RgbImage, MediaError> {
        let (mut width, mut height) = (self.plan.width, self.plan.height);
        // The frame is scaled before it is turned.
        if !self.rotation_deg.is_multiple_of(180) {
            std::mem::swap(&mut width, &mut height);
        }
        let source = (frame.format(), frame.width(), frame.height());
        if self.scaler.as_ref().is_none_or(|(known, _)| *known != source) {
            let context = Context::get(source.0, source.1, source.2, Pixel::RGB24, width, height, Flags::AREA);
            let context =
                context.map_err(|error| MediaError::input(format!("a frame cannot be made small: {error}")))?;
            self.scaler = Some((source, SendContext(context)));
        }
        let Some((_, SendContext(scaler))) = &mut self.scaler else {
            return Err(MediaError::environment("there is no scaler"));
        };
        let image = rgb_image(scaler, frame, width, height)?;
        Ok(match self.rotation_deg {
            90 => imageops::rotate90(&image),
            180 => imageops::rotate180(&image),
            270 => imageops::rotate270(&image),
            _ => image,
        })
    }

    fn place(&mut self, tile: &RgbImage) -> Result<(), MediaError> {
        let at = self.count % self.plan.tiles();
        let (column, row) = (at % self.plan.columns, at / self.plan.columns);
        let (x, y) = (column * self.plan.width, row * self.plan.height);
        imageops::replace(&mut self.sheet, tile, x.into(), y.into());
        self.count += 1;
        if self.count.is_multiple_of(self.plan.tiles()) {
            self.write(self.count / self.plan.tiles() - 1)?;
            self.sheet.fill(0);
        }
        Ok(())
    }

    fn write(&mut self, number: u32) -> Result<(), MediaError> {
        let path = self.folder.join(format!("{number}.jpg"));
        let failed = |error: &dyn std::fmt::Display| {
            MediaError::environment(format!("cannot write {}: {error}", path.display()))
        };
        std::fs::create_dir_all(&self.folder).map_err(|error| failed(&error))?;
        let mut file = BufWriter::new(std::fs::File::create(&path).map_err(|error| failed(&error))?);
        let (width, height) = self.sheet.dimensions();
        JpegEncoder::new_with_quality(&mut file, QUALITY)
            .write_image(self.sheet.as_raw(), width, height, ExtendedColorType::Rgb8)
            .map_err(|error| failed(&error))?;
        std::io::Write::flush(&mut file).map_err(|error| failed(&error))?;
        let size_bytes = std::fs::metadata(&path).map_err(|error| failed(&error))?.len();
        self.size_bytes += size_bytes;
        self.largest_bytes = self.largest_bytes.max(size_bytes);
        Ok(())
    }
}

/// The newest picture whose moment has come, so long after the first frame.
fn due(since_ns: u64, interval_ms: u32) -> u32 {
    let interval_ns = u64::from(interval_ms.max(1)) * 1_000_000;
    u32::try_from(since_ns.saturating_add(TOLERANCE_NS) / interval_ns).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_due_at_each_interval() {
        for (since_ns, expected) in [(0, 0), (999_400_000, 0), (999_600_000, 1), (1_000_000_000, 1), (7_100_000_000, 7)]
        {
            assert_eq!(due(since_ns, 1000), expected, "{since_ns}");
        }
        assert_eq!(due(u64::MAX, 0), u32::MAX);
    }
}
