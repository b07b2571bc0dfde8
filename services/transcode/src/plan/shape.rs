//! The shape of pictures on their way: the pixels that are stored, and the square ones in which they are shown.

use flame_api::media::{Rational, VideoStream};
use flame_chain::chain::Borders as Cut;
use flame_media_child::protocol::Borders;

use super::{CROPPED_MIN, PlanError};

/// Pictures as they are stored, upright, and as they are shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shape {
    width: u32,
    height: u32,
    /// Square pixels for each stored one.
    across: f64,
    down: f64,
}

// === impl Shape ===

impl Shape {
    /// The source's, turned by so many degrees.
    pub(super) fn of(video: &VideoStream, rotation_deg: u16) -> Result<Self, PlanError> {
        let (width, height) = (video.display_width, video.display_height);
        if width == 0 || height == 0 {
            return Err(PlanError::NoPixels { width, height });
        }
        let is_turned = |degrees: u16| !degrees.is_multiple_of(180);
        // Shown sizes are those after the source's own rotation.
        let (shown_width, shown_height) =
            if is_turned(rotation_deg) == is_turned(video.rotation_deg) { (width, height) } else { (height, width) };
        let (width, height) =
            if is_turned(rotation_deg) { (video.height, video.width) } else { (video.width, video.height) };
        let (width, height) = (width.max(1), height.max(1));
        Ok(Self {
            width,
            height,
            across: f64::from(shown_width) / f64::from(width),
            down: f64::from(shown_height) / f64::from(height),
        })
    }

    /// Width and height in square pixels.
    pub(super) fn shown(self) -> (u32, u32) {
        (rounded(f64::from(self.width) * self.across), rounded(f64::from(self.height) * self.down))
    }

    /// Takes borders away; `None` if there is nothing to do.
    pub(super) fn crop(&mut self, cut: Cut, stage: &str) -> Result<Option<Borders>, PlanError> {
        let Cut { left, right, top, bottom } = cut;
        if cut == Cut::default() {
            return Ok(None);
        }
        let rest = |length: u32, one: u32, other: u32| {
            length.checked_sub(one).and_then(|rest| rest.checked_sub(other)).filter(|rest| *rest >= CROPPED_MIN)
        };
        match (rest(self.width, left, right), rest(self.height, top, bottom)) {
            (Some(width), Some(height)) => (self.width, self.height) = (width, height),
            _ => {
                let (width, height) = (self.width, self.height);
                return Err(PlanError::CropsAll { stage: stage.to_owned(), width, height });
            }
        }
        Ok(Some(Borders { left, right, top, bottom }))
    }

    /// Adds bars until width to height is `aspect` as it is shown, to two pixels; `None` if it is so.
    pub(super) fn pad(&mut self, aspect: Rational) -> Option<Borders> {
        let (width, height) = (f64::from(self.width) * self.across, f64::from(self.height) * self.down);
        let wanted = aspect.as_f64();
        let half = |missing: f64, per_pixel: f64| rounded(missing / per_pixel / 2.0) & !1;
        let borders = if width / height < wanted {
            let half = half(height * wanted - width, self.across);
            Borders { left: half, right: half, ..Borders::default() }
        } else {
            let half = half(width / wanted - height, self.down);
            Borders { top: half, bottom: half, ..Borders::default() }
        };
        self.width += borders.left + borders.right;
        self.height += borders.top + borders.bottom;
        (borders != Borders::default()).then_some(borders)
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts of floats saturate")]
fn rounded(value: f64) -> u32 {
    value.round() as u32
}

#[cfg(test)]
mod tests {
    use super::super::tests::video;
    use super::*;

    fn wide() -> Rational {
        Rational { num: 16, den: 9 }
    }

    #[test]
    fn shapes_follow_what_is_done_to_them() {
        let mut shape = Shape::of(&video(1440, 1080), 0).unwrap();
        assert_eq!(shape.pad(wide()), Some(Borders { left: 240, right: 240, ..Borders::default() }));
        assert_eq!(shape.shown(), (1920, 1080));
        assert_eq!(shape.pad(wide()), None);
        let cut = shape.crop(Cut { left: 240, right: 240, ..Cut::default() }, "cut").unwrap();
        assert_eq!((cut.is_some(), shape.shown()), (true, (1440, 1080)));
        let all = shape.crop(Cut { top: 540, bottom: 530, ..Cut::default() }, "cut").unwrap_err();
        assert!(all.to_string().contains("`cut`"), "{all}");
        assert_eq!(shape.shown(), (1440, 1080));
    }

    #[test]
    fn pixels_that_are_not_square_and_pictures_that_lie_are_counted_right() {
        // PAL, shown 16:9.
        let pal = VideoStream { width: 720, height: 576, ..video(1024, 576) };
        let mut shape = Shape::of(&pal, 0).unwrap();
        assert_eq!(shape.shown(), (1024, 576));
        shape.crop(Cut { left: 72, right: 72, ..Cut::default() }, "cut").unwrap();
        assert_eq!(shape.shown(), (819, 576));
        // An upright film of a telephone.
        let phone = VideoStream { width: 1920, height: 1080, rotation_deg: 90, ..video(1080, 1920) };
        assert_eq!(Shape::of(&phone, 90).unwrap().shown(), (1080, 1920));
        assert_eq!(Shape::of(&phone, 0).unwrap().shown(), (1920, 1080));
    }
}
