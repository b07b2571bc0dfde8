//! One picture of a video as a JPEG, upright and in square pixels.

use std::{io::BufWriter, path::Path, time::Duration};

use ffmpeg_next::{
    Packet, Rational as AvRational,
    format::Pixel,
    frame, media,
    software::scaling::{Context, Flags},
};
use image::{ExtendedColorType, ImageEncoder, RgbImage, codecs::jpeg::JpegEncoder, imageops};

use crate::{fault::MediaError, probe, source};

/// Time for the whole work.
const BUDGET: Duration = Duration::from_secs(30);
/// Most packets that are read in search of the picture.
const PACKETS_MAX: usize = 20_000;
/// JPEG quality, of 100.
const QUALITY: u8 = 85;

/// Size of a poster in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Poster {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// Writes the picture of `input` (a path or an `http://` URL) at or next after `at_ms`, or the first one if
/// there is none so late, to `output`. Neither side is longer than `max_size` pixels.
///
/// # Errors
/// [`MediaError`] in people's words; `output` does not exist then.
pub fn write(input: &str, at_ms: u64, max_size: u32, output: &Path) -> Result<Poster, MediaError> {
    let shape =
        probe::probe(input)?.video.ok_or_else(|| MediaError::input("the file has no video to take a picture of"))?;
    let frame = match picture(input, at_ms)? {
        Some(frame) => frame,
        None => picture(input, 0)?.ok_or_else(|| MediaError::input("no picture of the video can be decoded"))?,
    };
    let (mut width, mut height) = fit(shape.display_width, shape.display_height, max_size);
    // The frame is scaled before it is turned.
    if !shape.rotation_deg.is_multiple_of(180) {
        std::mem::swap(&mut width, &mut height);
    }
    let image = to_rgb(&frame, width, height)?;
    let image = match shape.rotation_deg {
        90 => imageops::rotate90(&image),
        180 => imageops::rotate180(&image),
        270 => imageops::rotate270(&image),
        _ => image,
    };
    save(&image, output).inspect_err(|_| {
        // Half a picture is worse than none; if it is not there, so much the better.
        let _ = std::fs::remove_file(output);
    })?;
    Ok(Poster { width: image.width(), height: image.height() })
}

/// The first frame at or after `at_ms` of the video's own time.
fn picture(input: &str, at_ms: u64) -> Result<Option<frame::Video>, MediaError> {
    let mut context = source::open(input, BUDGET)?;
    let stream = probe::best_stream(&context, media::Type::Video)
        .ok_or_else(|| MediaError::input("the file has no video to take a picture of"))?;
    let (index, time_base) = (stream.index(), stream.time_base());
    let start_us = to_us(stream.start_time(), time_base).unwrap_or(0);
    let wanted_us = start_us.saturating_add(i64::try_from(at_ms.saturating_mul(1000)).unwrap_or(i64::MAX));
    let mut decoder = probe::decoder_for(&stream, "video")?
        .video()
        .map_err(|error| MediaError::input(format!("the video cannot be decoded: {error}")))?;
    if at_ms > 0 {
        // A container that cannot seek is read from its start.
        let _ = context.seek(wanted_us, ..wanted_us.saturating_add(1));
    }
    let mut frame = frame::Video::empty();
    let is_wanted = |frame: &frame::Video| {
        at_ms == 0 || frame.timestamp().and_then(|pts| to_us(pts, time_base)).is_none_or(|us| us >= wanted_us)
    };
    for _ in 0..PACKETS_MAX {
        let mut packet = Packet::empty();
        if packet.read(&mut context).is_err() {
            break;
        }
        if packet.stream() != index {
            continue;
        }
        // Damaged packets are skipped; whether a picture comes out decides.
        let _ = decoder.send_packet(&packet);
        while decoder.receive_frame(&mut frame).is_ok() {
            if is_wanted(&frame) {
                return Ok(Some(frame));
            }
        }
    }
    let _ = decoder.send_eof();
    while decoder.receive_frame(&mut frame).is_ok() {
        if is_wanted(&frame) {
            return Ok(Some(frame));
        }
    }
    Ok(None)
}

fn to_us(ticks: i64, time_base: AvRational) -> Option<i64> {
    let den = i128::from(time_base.denominator());
    let us = (i128::from(ticks) * i128::from(time_base.numerator()) * 1_000_000).checked_div(den)?;
    i64::try_from(us).ok().filter(|_| ticks != i64::MIN)
}

/// The size within the bound, never enlarged.
fn fit(width: u32, height: u32, max_size: u32) -> (u32, u32) {
    let longest = f64::from(width.max(height));
    let factor = (f64::from(max_size.max(1)) / longest).min(1.0);
    let scaled = |side: u32| ((f64::from(side) * factor).round() as u32).max(1);
    (scaled(width), scaled(height))
}

fn to_rgb(frame: &frame::Video, width: u32, height: u32) -> Result<RgbImage, MediaError> {
    let flags = Flags::BICUBIC | Flags::ACCURATE_RND;
    let scaler = Context::get(frame.format(), frame.width(), frame.height(), Pixel::RGB24, width, height, flags);
    rgb_image(&mut scaler.map_err(not_converted)?, frame, width, height)
}

/// The frame, as `scaler` makes it into RGB of this size.
pub(crate) fn rgb_image(
    scaler: &mut Context,
    frame: &frame::Video,
    width: u32,
    height: u32,
) -> Result<RgbImage, MediaError> {
    let mut rgb = frame::Video::empty();
    scaler.run(frame, &mut rgb).map_err(not_converted)?;
    let row_bytes = width as usize * 3;
    let rows = rgb.data(0).chunks(rgb.stride(0)).take(height as usize);
    let pixels: Vec<u8> = rows.flat_map(|row| &row[..row_bytes]).copied().collect();
    RgbImage::from_raw(width, height, pixels)
        .ok_or_else(|| MediaError::environment("the converted picture has the wrong size"))
}

fn not_converted(error: ffmpeg_next::Error) -> MediaError {
    MediaError::input(format!("the picture cannot be converted: {error}"))
}

/// Writes a JPEG.
pub(crate) fn save(image: &RgbImage, output: &Path) -> Result<(), MediaError> {
    let failed =
        |error: &dyn std::fmt::Display| MediaError::environment(format!("cannot write {}: {error}", output.display()));
    let file = std::fs::File::create(output).map_err(|error| failed(&error))?;
    let mut file = BufWriter::new(file);
    JpegEncoder::new_with_quality(&mut file, QUALITY)
        .write_image(image.as_raw(), image.width(), image.height(), ExtendedColorType::Rgb8)
        .map_err(|error| failed(&error))?;
    std::io::Write::flush(&mut file).map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fits_without_enlarging() {
        assert_eq!(fit(1920, 1080, 640), (640, 360));
        assert_eq!(fit(1080, 1920, 640), (360, 640));
        assert_eq!(fit(320, 240, 640), (320, 240));
        assert_eq!(fit(4000, 2, 100), (100, 1));
    }
}
