//! Raw samples in a file, picture after picture: what they are was stated, and FFmpeg is not asked what it thinks that they are.

use std::{
    fs::File,
    io::{BufReader, ErrorKind, Read},
    sync::mpsc::SyncSender,
};

use ffmpeg_next::{format::Pixel, frame};
use flame_api::quality::Raw;
use flame_quality::inspect::extent::Stated;

use super::film::{About, Ended, Shown};
use crate::{fault::MediaError, ffi, source};

/// Largest picture: 8K with three full planes of 16 bits takes 199 MB.
const PICTURE_MAX_BYTES: usize = 256 << 20;

/// A file of raw samples.
pub(super) struct Reader {
    input: String,
    file: BufReader<File>,
    format: Pixel,
    stated: Raw,
    /// Bytes of a row and number of rows of each plane.
    planes: Vec<(usize, usize)>,
    picture_bytes: usize,
    /// Whole pictures in the file.
    pictures: u64,
}

// === impl Reader ===

impl Reader {
    /// Opens `input`, whose pictures are as stated.
    pub(super) fn open(input: &str, stated: &Raw) -> Result<Self, MediaError> {
        source::initialise();
        if input.starts_with("http://") {
            return Err(MediaError::input(format!("{input}: raw pictures are read from a file, not from a URL")));
        }
        let unknown = || {
            MediaError::input(format!(
                "{} is no pixel format whose samples can be read from a file",
                stated.pixel_format
            ))
        };
        let format: Pixel = stated.pixel_format.parse().map_err(|_| unknown())?;
        // A palette stands in no such file.
        ffi::layout(format).filter(|_| format != Pixel::PAL8).ok_or_else(unknown)?;
        let planes = ffi::packed_planes(format, stated.width, stated.height).ok_or_else(unknown)?;
        let picture_bytes: usize = planes.iter().map(|(row_bytes, rows)| row_bytes * rows).sum();
        if picture_bytes > PICTURE_MAX_BYTES {
            return Err(MediaError::input(format!(
                "a picture of {stated} has {picture_bytes} bytes; at most {PICTURE_MAX_BYTES} are read"
            )));
        }
        let failed = |error: &std::io::Error| MediaError::environment(format!("cannot open {input}: {error}"));
        let file = File::open(input).map_err(|error| failed(&error))?;
        let about = file.metadata().map_err(|error| failed(&error))?;
        if !about.is_file() {
            return Err(MediaError::input(format!("{input} is not a file")));
        }
        let pictures = about.len() / picture_bytes as u64;
        if pictures == 0 {
            return Err(MediaError::input(format!(
                "{input} has {} bytes, and a picture of {stated} has {picture_bytes}: it is something else, or was cut off",
                about.len()
            )));
        }
        Ok(Self {
            input: input.to_owned(),
            file: BufReader::new(file),
            format,
            stated: stated.clone(),
            planes,
            picture_bytes,
            pictures,
        })
    }

    /// What is known of it before it is read.
    pub(super) fn about(&self) -> About {
        let frame_rate = self.stated.frame_rate.as_f64();
        About {
            codec: "rawvideo".to_owned(),
            frame_rate: Some(frame_rate),
            duration_ms: Some(self.pictures as f64 * 1000.0 / frame_rate),
            rotation_deg: 0,
            stated: Stated::default(),
        }
    }

    /// Reads to the end, or until nobody listens.
    pub(super) fn read(mut self, frames: &SyncSender<Shown>) -> Result<Ended, MediaError> {
        let duration_ms = 1000.0 / self.stated.frame_rate.as_f64();
        let mut samples = vec![0; self.picture_bytes];
        let mut time_ms = 0.0;
        for number in 1_u64.. {
            let filled = self.fill(&mut samples)?;
            if filled < samples.len() {
                return Ok(Ended { refused: 0, is_broken: filled > 0 });
            }
            let frame = self.frame(&samples);
            if frames.send(Shown { frame, time_ms, begin_ms: 0.0, duration_ms }).is_err() {
                break;
            }
            time_ms = number as f64 * duration_ms;
        }
        Ok(Ended::default())
    }

    /// Fills `samples` as far as the file goes; gives how far.
    fn fill(&mut self, samples: &mut [u8]) -> Result<usize, MediaError> {
        let mut filled = 0;
        while filled < samples.len() {
            match self.file.read(&mut samples[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(MediaError::environment(format!("{} cannot be read on: {error}", self.input)));
                }
            }
        }
        Ok(filled)
    }

    /// The samples of a picture as a frame.
    fn frame(&self, samples: &[u8]) -> frame::Video {
        let mut frame = frame::Video::new(self.format, self.stated.width, self.stated.height);
        let mut rest = samples;
        for (n, (row_bytes, rows)) in self.planes.iter().enumerate() {
            let (plane, behind) = rest.split_at(row_bytes * rows);
            let stride_bytes = frame.stride(n);
            for (to, from) in frame.data_mut(n).chunks_mut(stride_bytes).zip(plane.chunks(*row_bytes)) {
                to[..*row_bytes].copy_from_slice(from);
            }
            rest = behind;
        }
        frame
    }
}
