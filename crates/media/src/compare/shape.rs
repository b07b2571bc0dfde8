//! As what two films are compared: one size and sample format for both, chosen from theirs, and how frames get there.

use ffmpeg_next::{
    color,
    format::Pixel,
    frame,
    software::scaling::{Context, Flags},
};
use flame_api::quality::Shape;
use flame_quality::plane::{Picture, Plane};

use crate::{fault::MediaError, ffi};

/// Scalers that are kept: a film that changes its format more often is not compared.
const SCALERS_MAX: usize = 16;

/// Frames as both films have them when they are compared: planar YUV.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Common {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Shifts of chroma against luma: horizontal, vertical.
    pub(crate) chroma_shifts: (u32, u32),
    pub(crate) bits: u8,
    /// Whether samples use all values (JPEG) or leave head and foot room (broadcast).
    pub(crate) full_range: bool,
    /// By which matrix RGB becomes this (ITU-T H.273); BT.601's where neither film states one.
    pub(crate) matrix: Option<u32>,
}

/// What matters of a film's first frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    width: u32,
    height: u32,
    format: Pixel,
    chroma_shifts: (u32, u32),
    bits: u8,
    full_range: bool,
    is_rgb: bool,
    /// What it states, ITU-T H.273.
    matrix: Option<u32>,
    /// H.273 code of PQ or HLG.
    hdr: bool,
    interlaced: bool,
}

/// What makes the common form of one form.
struct Scaler {
    from: (Pixel, u32, u32),
    context: Context,
}

/// Brings frames of one film into the common form.
pub(crate) struct Converter {
    common: Common,
    scalers: Vec<Scaler>,
    converted: frame::Video,
}

// === impl Kind ===

impl Kind {
    pub(crate) fn of(frame: &frame::Video) -> Result<Self, MediaError> {
        let format = frame.format();
        let no_format = || MediaError::input("the frames have no known pixel format");
        let layout = ffi::layout(format).ok_or_else(no_format)?;
        let is_jpeg = matches!(format, Pixel::YUVJ420P | Pixel::YUVJ422P | Pixel::YUVJ444P);
        // swscale takes grey of eight bits for the full range, whatever is stated.
        let is_grey = matches!(format, Pixel::GRAY8 | Pixel::YA8);
        let transfer = ffi::transfer_code(frame.color_transfer_characteristic());
        let matrix = ffi::matrix_code(frame.color_space());
        Ok(Self {
            width: frame.width(),
            height: frame.height(),
            format,
            chroma_shifts: layout.chroma_shifts,
            bits: layout.bits,
            full_range: !layout.is_rgb && (is_jpeg || is_grey || frame.color_range() == color::Range::JPEG),
            is_rgb: layout.is_rgb,
            // 0 is RGB's own, 2 says nothing.
            matrix: Some(matrix).filter(|code| !layout.is_rgb && !matches!(*code, 0 | 2)),
            hdr: matches!(transfer, 16 | 18),
            interlaced: frame.is_interlaced(),
        })
    }

    pub(crate) fn shape(&self) -> Shape {
        let pixel_format = self.format.descriptor().map_or("unknown", |descriptor| descriptor.name()).to_owned();
        Shape { width: self.width, height: self.height, pixel_format }
    }
}

/// The common form of two films, and what is to be said about it.
pub(crate) fn common(reference: Kind, distorted: Kind) -> Result<(Common, Vec<String>), MediaError> {
    if reference.hdr != distorted.hdr {
        let (hdr, sdr) = if reference.hdr { ("reference", "distorted") } else { ("distorted", "reference") };
        return Err(MediaError::input(format!(
            "the {hdr} film is HDR (PQ or HLG) and the {sdr} one is not: their samples mean different light, no score of \
             the two says anything; convert one with a tone mapper first"
        )));
    }
    if reference.bits.max(distorted.bits) > 8 && reference.full_range != distorted.full_range {
        return Err(MediaError::input(
            "one film uses the full range of samples and the other the limited one; convert one of them first",
        ));
    }
    let mut notes = Vec::new();
    let bits = match reference.bits.max(distorted.bits) {
        0..=8 => 8,
        9..=10 => 10,
        _ => 12,
    };
    let chroma_shifts = match reference.chroma_shifts {
        known @ (0 | 1, 0) => known,
        // What libvmaf does not know, too.
        _ => (1, 1),
    };
    let common = Common {
        width: reference.width,
        height: reference.height,
        chroma_shifts,
        bits,
        full_range: reference.full_range,
        matrix: reference.matrix.or(distorted.matrix),
    };
    if reference.is_rgb != distorted.is_rgb && common.matrix.is_none() {
        notes.push("one film is RGB, and the other does not state its matrix: BT.601 was taken".to_owned());
    }
    if (distorted.width, distorted.height) != (common.width, common.height) {
        notes.push(format!(
            "the distorted film was scaled from {}x{} to {}x{} (bicubic)",
            distorted.width, distorted.height, common.width, common.height
        ));
    }
    for (name, kind) in [("reference", reference), ("distorted", distorted)] {
        if kind.bits != bits || kind.chroma_shifts != chroma_shifts || kind.is_rgb {
            let shape = kind.shape();
            notes.push(format!("the {name} film was converted from {} to {}", shape.pixel_format, common.name()));
        }
        if kind.full_range != common.full_range {
            notes.push(format!("the {name} film was converted to the range of samples of the other"));
        }
    }
    if reference.interlaced || distorted.interlaced {
        let both = if reference.interlaced == distorted.interlaced { "both films are" } else { "one of the films is" };
        notes.push(format!("{both} interlaced; frames were compared as they are, VMAF was not made for that"));
    }
    if reference.hdr {
        notes.push("both films are HDR; VMAF's models were trained on SDR".to_owned());
    }
    Ok((common, notes))
}

// === impl Common ===

impl Common {
    pub(crate) fn shape(&self) -> Shape {
        Shape { width: self.width, height: self.height, pixel_format: self.name().to_owned() }
    }

    fn name(&self) -> &'static str {
        self.pixel().descriptor().map_or("unknown", |descriptor| descriptor.name())
    }

    fn pixel(&self) -> Pixel {
        match (self.bits, self.chroma_shifts, self.full_range) {
            (8, (1, 1), false) => Pixel::YUV420P,
            (8, (1, 1), true) => Pixel::YUVJ420P,
            (8, (1, _), false) => Pixel::YUV422P,
            (8, (1, _), true) => Pixel::YUVJ422P,
            (8, _, false) => Pixel::YUV444P,
            (8, _, true) => Pixel::YUVJ444P,
            (10, (1, 1), _) => Pixel::YUV420P10LE,
            (10, (1, _), _) => Pixel::YUV422P10LE,
            (10, _, _) => Pixel::YUV444P10LE,
            (_, (1, 1), _) => Pixel::YUV420P12LE,
            (_, (1, _), _) => Pixel::YUV422P12LE,
            _ => Pixel::YUV444P12LE,
        }
    }
}

// === impl Converter ===

impl Converter {
    pub(crate) fn new(common: Common) -> Self {
        Self { common, scalers: Vec::new(), converted: frame::Video::empty() }
    }

    /// The frame in the common form; that of the argument if it has it.
    pub(crate) fn convert<'a>(&'a mut self, frame: &'a mut frame::Video) -> Result<Picture<'a>, MediaError> {
        let wanted = self.common.pixel();
        // FFmpeg names the full range of 8 bits by a format of its own; swscale goes by it.
        let jpeg =
            [(Pixel::YUV420P, Pixel::YUVJ420P), (Pixel::YUV422P, Pixel::YUVJ422P), (Pixel::YUV444P, Pixel::YUVJ444P)];
        if frame.color_range() == color::Range::JPEG
            && let Some((_, full)) = jpeg.iter().find(|(limited, _)| *limited == frame.format())
        {
            frame.set_format(*full);
        }
        let key = (frame.format(), frame.width(), frame.height());
        if key == (wanted, self.common.width, self.common.height)
            && let Some(picture) = self.picture(frame)
        {
            return Ok(picture);
        }
        let failed = |error| MediaError::input(format!("a frame cannot be converted: {error}"));
        let at = match self.scalers.iter().position(|scaler| scaler.from == key) {
            Some(at) => at,
            None if self.scalers.len() == SCALERS_MAX => {
                return Err(MediaError::input("the film changes its size or format too often to be compared"));
            }
            None => {
                let flags = Flags::BICUBIC | Flags::ACCURATE_RND | Flags::FULL_CHR_H_INT;
                let Common { width, height, .. } = self.common;
                let mut context = Context::get(key.0, key.1, key.2, wanted, width, height, flags).map_err(failed)?;
                let is_rgb = ffi::layout(key.0).is_some_and(|layout| layout.is_rgb);
                if let Some(matrix) = self.common.matrix.filter(|_| is_rgb)
                    && !ffi::set_matrix(&mut context, matrix)
                {
                    return Err(MediaError::environment("a frame cannot be converted by the matrix of the other film"));
                }
                self.scalers.push(Scaler { from: key, context });
                self.scalers.len() - 1
            }
        };
        self.scalers[at].context.run(frame, &mut self.converted).map_err(failed)?;
        self.picture(&self.converted).ok_or_else(|| MediaError::environment("a converted frame has the wrong size"))
    }

    fn picture<'a>(&self, frame: &'a frame::Video) -> Option<Picture<'a>> {
        let Common { width, height, chroma_shifts: (across, down), bits, .. } = self.common;
        let plane = |n: usize| {
            let (across, down) = if n == 0 { (0, 0) } else { (across, down) };
            let (width, height) = (width.div_ceil(1 << across), height.div_ceil(1 << down));
            // A picture that is stored upside down has a negative distance from row to row.
            let stride_bytes = frame.stride(n);
            if stride_bytes > i32::MAX as usize {
                return None;
            }
            Plane::new(frame.data(n), stride_bytes, width as usize, height as usize, bits)
        };
        let planes = (0..3).map(plane).collect::<Option<Vec<_>>>()?;
        Some(Picture { planes })
    }
}
