//! Pictures of pairs of frames for people to look at: reference, distorted, and where they differ, side by side.

use std::path::Path;

use ffmpeg_next::{
    format::Pixel,
    frame,
    software::scaling::{Context, Flags},
};
use flame_media_child::protocol::{FramePair, SheetPlan};
use image::RgbImage;

use super::{film::Film, skip_to};
use crate::{fault::MediaError, poster};

/// Widest picture of a sheet in pixels.
const WIDTH_MAX: u32 = 480;
/// Most sheets of a request.
const SHEETS_MAX: usize = 100;
/// How much stronger than it is the difference is shown.
const GAIN: u8 = 4;

/// Writes `<frame of the distorted film>.jpg` for each pair into `output_dir`.
///
/// # Errors
/// [`MediaError`] in people's words.
pub fn write(plan: &SheetPlan, output_dir: &Path) -> Result<(), MediaError> {
    if plan.pairs.len() > SHEETS_MAX {
        return Err(MediaError::input(format!("at most {SHEETS_MAX} pairs of frames are drawn")));
    }
    let mut pairs = plan.pairs.clone();
    pairs.sort_by_key(|pair| (pair.distorted, pair.reference));
    std::thread::scope(|scope| {
        let reference = Film::open(&plan.reference, plan.reference_form.as_ref(), plan.follow_playlists)?;
        let distorted = Film::open(&plan.distorted, plan.distorted_form.as_ref(), plan.follow_playlists)?;
        let (mut reference, mut distorted) = (reference.play(scope, "reference")?, distorted.play(scope, "distorted")?);
        let (mut next_reference, mut next_distorted) = (0, 0);
        for FramePair { reference: wanted_reference, distorted: wanted_distorted } in pairs {
            let missing =
                || MediaError::input(format!("there is no frame {wanted_distorted} with its reference any more"));
            let at = usize::try_from(wanted_reference).map_err(|_| missing())?;
            let reference = skip_to(&mut reference, &mut next_reference, at).ok_or_else(missing)?;
            let at = usize::try_from(wanted_distorted).map_err(|_| missing())?;
            let distorted = skip_to(&mut distorted, &mut next_distorted, at).ok_or_else(missing)?;
            let sheet = draw(&reference.frame, &distorted.frame)?;
            poster::save(&sheet, &output_dir.join(format!("{wanted_distorted}.jpg")))?;
        }
        Ok(())
    })
}

fn draw(reference: &frame::Video, distorted: &frame::Video) -> Result<RgbImage, MediaError> {
    let width = reference.width().clamp(1, WIDTH_MAX);
    let height = (reference.height() * width / reference.width().max(1)).max(1);
    let (reference, distorted) = (small(reference, width, height)?, small(distorted, width, height)?);
    let mut sheet = RgbImage::new(3 * width, height);
    for (x, y, pixel) in reference.enumerate_pixels() {
        let other = distorted.get_pixel(x, y);
        let difference = std::array::from_fn(|n| pixel.0[n].abs_diff(other.0[n]).saturating_mul(GAIN));
        sheet.put_pixel(x, y, *pixel);
        sheet.put_pixel(width + x, y, *other);
        sheet.put_pixel(2 * width + x, y, image::Rgb(difference));
    }
    Ok(sheet)
}

fn small(frame: &frame::Video, width: u32, height: u32) -> Result<RgbImage, MediaError> {
    let flags = Flags::AREA | Flags::ACCURATE_RND;
    let scaler = Context::get(frame.format(), frame.width(), frame.height(), Pixel::RGB24, width, height, flags);
    let failed = |error| MediaError::input(format!("a frame cannot be converted: {error}"));
    poster::rgb_image(&mut scaler.map_err(failed)?, frame, width, height)
}
