//! The index of thumbnails that players show above their time bar: WebVTT whose texts are places in sprite sheets.
//!
//! No standard has it; players agree on `sheet.jpg#xywh=x,y,width,height` (Media Fragments URI 1.0, section 4.2.2) as
//! the whole text of a cue.

use std::fmt::Write as _;

use crate::clock::{ARROW, Written};
use crate::{CUES_MAX, SubtitleError, TIME_MAX_MS};

/// In the URI of a sheet, where its number stands.
pub const SHEET: &str = "{sheet}";

/// Largest sum of sizes, pixels: what fits in a JPEG.
const SHEET_MAX_PIXELS: u32 = 65_535;

/// Pictures taken at even distances, put side by side on sheets, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sprite {
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
    /// All pictures.
    pub count: u32,
    /// Of the presentation, milliseconds. The last picture stands until then.
    pub duration_ms: u64,
    /// Where a sheet is, from the index; [`SHEET`] stands for its number, from 0.
    pub sheet_uri: String,
}

/// The index of `sprite`, as WebVTT. Pictures that begin after the end have no place in it.
///
/// # Errors
/// [`SubtitleError::Sprite`]: a value is 0 or too large, or the URI would not be one.
pub fn thumbnails_vtt(sprite: &Sprite) -> Result<String, SubtitleError> {
    sprite.check()?;
    let mut text = "WEBVTT\n".to_owned();
    let a_sheet = sprite.columns * sprite.rows;
    for number in 0..sprite.count {
        let start_ms = sprite.interval_ms.saturating_mul(u64::from(number));
        if start_ms >= sprite.duration_ms {
            break;
        }
        let is_last = number + 1 == sprite.count;
        let next_ms = start_ms.saturating_add(sprite.interval_ms);
        let end_ms = if is_last { sprite.duration_ms } else { next_ms.min(sprite.duration_ms) };
        let (sheet, tile) = (number / a_sheet, number % a_sheet);
        let (width, height) = (sprite.tile_width_px, sprite.tile_height_px);
        let (x, y) = (tile % sprite.columns * width, tile / sprite.columns * height);
        let uri = sprite.sheet_uri.replace(SHEET, &sheet.to_string());
        let (start, end) = (Written(start_ms), Written(end_ms));
        // A `String` takes everything.
        let _ = write!(text, "\n{start} {ARROW} {end}\n{uri}#xywh={x},{y},{width},{height}\n");
    }
    Ok(text)
}

// === impl Sprite ===

impl Sprite {
    fn check(&self) -> Result<(), SubtitleError> {
        let fits = |count: u32, size_px: u32| {
            count.checked_mul(size_px).is_some_and(|px| (1..=SHEET_MAX_PIXELS).contains(&px))
        };
        let is_uri = !self.sheet_uri.is_empty()
            && !self.sheet_uri.contains(ARROW)
            && !self
                .sheet_uri
                .contains(|letter: char| "#<>&\"".contains(letter) || letter.is_whitespace() || letter.is_control());
        let is_one_sheet = self.columns.checked_mul(self.rows).is_some_and(|tiles| tiles >= self.count);
        let what = if self.interval_ms == 0 {
            "the interval must be above 0"
        } else if self.duration_ms == 0 || self.duration_ms > TIME_MAX_MS {
            "the duration must be above 0, and one that WebVTT can write"
        } else if self.count == 0 || usize::try_from(self.count).is_ok_and(|count| count > CUES_MAX) {
            "there must be from 1 to 100000 pictures"
        } else if !fits(self.columns, self.tile_width_px) || !fits(self.rows, self.tile_height_px) {
            "a sheet must be from 1 to 65535 pixels wide and high"
        } else if !is_uri {
            "the sheet's URI must hold no spaces and none of # < > & \" -->"
        } else if !is_one_sheet && !self.sheet_uri.contains(SHEET) {
            "there are several sheets, and their URI has no {sheet}"
        } else {
            return Ok(());
        };
        Err(SubtitleError::Sprite { what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    fn sprite() -> Sprite {
        Sprite {
            interval_ms: 10_000,
            columns: 2,
            rows: 2,
            tile_width_px: 160,
            tile_height_px: 90,
            count: 6,
            duration_ms: 61_500,
            sheet_uri: "sprite-{sheet}.jpg".to_owned(),
        }
    }

    #[test]
    fn each_picture_has_its_place() {
        let index = thumbnails_vtt(&sprite()).unwrap();
        let cues = parse(index.as_bytes(), None).unwrap().cues;
        let found: Vec<_> = cues.iter().map(|cue| (cue.start_ms, cue.end_ms, cue.text.as_str())).collect();
        assert_eq!(
            found,
            [
                (0, 10_000, "sprite-0.jpg#xywh=0,0,160,90"),
                (10_000, 20_000, "sprite-0.jpg#xywh=160,0,160,90"),
                (20_000, 30_000, "sprite-0.jpg#xywh=0,90,160,90"),
                (30_000, 40_000, "sprite-0.jpg#xywh=160,90,160,90"),
                (40_000, 50_000, "sprite-1.jpg#xywh=0,0,160,90"),
                (50_000, 61_500, "sprite-1.jpg#xywh=160,0,160,90"),
            ]
        );
    }

    #[test]
    fn nothing_is_listed_behind_the_end() {
        let index = thumbnails_vtt(&Sprite { duration_ms: 20_000, ..sprite() }).unwrap();
        assert_eq!(parse(index.as_bytes(), None).unwrap().cues.len(), 2);
    }

    #[test]
    fn impossible_sprites_are_refused() {
        let uri = |uri: &str| Sprite { sheet_uri: uri.to_owned(), ..sprite() };
        for wrong in [
            Sprite { interval_ms: 0, ..sprite() },
            Sprite { columns: 0, ..sprite() },
            Sprite { rows: u32::MAX, ..sprite() },
            Sprite { tile_width_px: u32::MAX, ..sprite() },
            Sprite { count: 100_001, ..sprite() },
            Sprite { duration_ms: 0, ..sprite() },
            uri("one.jpg"),
            uri("a b{sheet}"),
            uri("x\n{sheet}"),
            uri("#{sheet}"),
        ] {
            assert!(matches!(thumbnails_vtt(&wrong), Err(SubtitleError::Sprite { .. })), "{wrong:?}");
        }
    }
}
