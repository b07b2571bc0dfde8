//! Coded pictures of some GOPs of a rung, on their way from whoever encodes them to whoever joins them.
//!
//! ```text
//! "FLMCHNK1"
//! u32  length of the header; JSON: the configuration record, the colour
//! then for each picture, in decode order:
//! u8   1, of a keyframe 3; u64 running time and u64 duration (nanoseconds, 0 where unknown); u32 length; its bytes
//! u8   0; u64 number of pictures: the file is whole
//! ```
//! Numbers are big-endian. No times of a track are in it: those are made when all chunks are there, by the same rule as those of a track
//! that was encoded in one piece. A range in which the source has no picture has a header without a record.

use std::{
    fs::File,
    io::{BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use flame_cmaf::{Colour, PictureCodec};
use serde::{Deserialize, Serialize};

use super::video_track::{Picture, VideoTrack};
use crate::fault::MediaError;

const MAGIC: &[u8; 8] = b"FLMCHNK1";
/// Longest header that is read.
const HEADER_MAX_BYTES: u32 = 1 << 20;
/// Largest picture that is read.
const PICTURE_MAX_BYTES: u32 = 256 << 20;
const END: u8 = 0;
const PICTURE: u8 = 1;
const KEYFRAME: u8 = 3;

/// Where the pictures of a rung go.
pub(super) enum Rung {
    /// Into a track.
    Track(Box<VideoTrack>),
    /// Into a chunk of one.
    Chunk(Chunk),
}

/// A chunk being written.
pub(super) struct Chunk {
    path: PathBuf,
    file: Option<BufWriter<File>>,
    pictures: u64,
}

/// A chunk being read.
pub(super) struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    codec: Option<(PictureCodec, Option<Colour>)>,
    pictures: u64,
}

/// What stands in front of the pictures.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Header {
    /// `AVCDecoderConfigurationRecord`; empty without pictures.
    avc: Vec<u8>,
    colour: Option<Colours>,
}

/// [`Colour`], as it is written.
#[derive(Debug, Serialize, Deserialize)]
struct Colours {
    primaries: u16,
    transfer: u16,
    matrix: u16,
    full_range: bool,
}

/// Path of the chunk of the track `name` in `folder`.
pub(super) fn path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.chunk"))
}

// === impl Rung ===

impl Rung {
    /// Whether [`Rung::configure`] was called.
    pub(super) fn is_configured(&self) -> bool {
        match self {
            Self::Track(track) => track.is_configured(),
            Self::Chunk(chunk) => chunk.file.is_some(),
        }
    }

    /// Creates the file, once the encoder has said what it makes.
    pub(super) fn configure(&mut self, codec: PictureCodec, colour: Option<Colour>) -> Result<(), MediaError> {
        match self {
            Self::Track(track) => track.configure(codec, colour),
            Self::Chunk(chunk) => chunk.configure(codec, colour),
        }
    }

    /// Takes the next picture in decode order.
    pub(super) fn push(&mut self, picture: Picture) -> Result<(), MediaError> {
        match self {
            Self::Track(track) => track.push(picture),
            Self::Chunk(chunk) => chunk.push(&picture),
        }
    }
}

// === impl Chunk ===

impl Chunk {
    /// The chunk of the track `name`, in `folder`.
    pub(super) fn new(folder: &Path, name: &str) -> Self {
        Self { path: path(folder, name), file: None, pictures: 0 }
    }

    fn configure(&mut self, codec: PictureCodec, colour: Option<Colour>) -> Result<(), MediaError> {
        let PictureCodec::Avc(avc) = codec else {
            return Err(MediaError::environment("only H.264 is encoded in chunks"));
        };
        let colour = colour.map(|Colour { primaries, transfer, matrix, full_range }| Colours {
            primaries,
            transfer,
            matrix,
            full_range,
        });
        self.begin(&Header { avc, colour })
    }

    fn begin(&mut self, header: &Header) -> Result<(), MediaError> {
        let json = serde_json::to_vec(header).map_err(|error| self.failed(&error))?;
        let length = u32::try_from(json.len()).map_err(|error| self.failed(error))?;
        let mut file = BufWriter::new(File::create(&self.path).map_err(|error| self.failed(&error))?);
        let written = file
            .write_all(MAGIC)
            .and_then(|()| file.write_all(&length.to_be_bytes()))
            .and_then(|()| file.write_all(&json));
        written.map_err(|error| self.failed(&error))?;
        self.file = Some(file);
        Ok(())
    }

    fn push(&mut self, picture: &Picture) -> Result<(), MediaError> {
        let Picture { running_ns, duration_ns, is_key, data } = picture;
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        if length > PICTURE_MAX_BYTES {
            return Err(MediaError::environment(format!("a picture of {} bytes is too large", data.len())));
        }
        let Some(file) = self.file.as_mut() else {
            return Err(MediaError::environment("the video encoder did not say what it makes"));
        };
        let written = file
            .write_all(&[if *is_key { KEYFRAME } else { PICTURE }])
            .and_then(|()| file.write_all(&running_ns.to_be_bytes()))
            .and_then(|()| file.write_all(&duration_ns.unwrap_or(0).to_be_bytes()))
            .and_then(|()| file.write_all(&length.to_be_bytes()))
            .and_then(|()| file.write_all(data));
        written.map_err(|error| self.failed(&error))?;
        self.pictures += 1;
        Ok(())
    }

    /// Ends the chunk. Gives its pictures and its length in bytes.
    pub(super) fn finish(mut self) -> Result<(u64, u64), MediaError> {
        if self.file.is_none() {
            self.begin(&Header::default())?;
        }
        let Some(mut file) = self.file.take() else {
            return Err(MediaError::environment("a chunk has no file"));
        };
        let written = file
            .write_all(&[END])
            .and_then(|()| file.write_all(&self.pictures.to_be_bytes()))
            .and_then(|()| file.flush())
            .and_then(|()| file.get_ref().metadata());
        let size_bytes = written.map_err(|error| self.failed(&error))?.len();
        Ok((self.pictures, size_bytes))
    }

    fn failed(&self, error: impl std::fmt::Display) -> MediaError {
        MediaError::environment(format!("cannot write {}: {error}", self.path.display()))
    }
}

// === impl Reader ===

impl Reader {
    /// Opens the chunk of the track `name` in `folder`.
    pub(super) fn open(folder: &Path, name: &str) -> Result<Self, MediaError> {
        let path = path(folder, name);
        let file = File::open(&path);
        let file = file.map_err(|error| MediaError::environment(format!("cannot open {}: {error}", path.display())))?;
        let mut reader = Self { path, file: BufReader::new(file), codec: None, pictures: 0 };
        if reader.bytes::<8>()? != *MAGIC {
            return Err(reader.broken("it is no chunk"));
        }
        let length = u32::from_be_bytes(reader.bytes()?);
        if length > HEADER_MAX_BYTES {
            return Err(reader.broken("its header is too long"));
        }
        let json = reader.vector(length)?;
        let Header { avc, colour } = serde_json::from_slice(&json).map_err(|error| reader.broken(&error))?;
        if !avc.is_empty() {
            let colour = colour.map(|Colours { primaries, transfer, matrix, full_range }| Colour {
                primaries,
                transfer,
                matrix,
                full_range,
            });
            reader.codec = Some((PictureCodec::Avc(avc), colour));
        }
        Ok(reader)
    }

    /// How its pictures are coded; none if there is none.
    pub(super) fn codec(&self) -> Option<&(PictureCodec, Option<Colour>)> {
        self.codec.as_ref()
    }

    /// The next picture in decode order; none at the end of a whole chunk.
    pub(super) fn picture(&mut self) -> Result<Option<Picture>, MediaError> {
        let [kind] = self.bytes()?;
        if kind == END {
            let pictures = u64::from_be_bytes(self.bytes()?);
            let is_whole = pictures == self.pictures;
            return if is_whole { Ok(None) } else { Err(self.broken("it has not all of its pictures")) };
        }
        if kind != PICTURE && kind != KEYFRAME {
            return Err(self.broken("a picture of an unknown kind is in it"));
        }
        let running_ns = u64::from_be_bytes(self.bytes()?);
        let duration_ns = Some(u64::from_be_bytes(self.bytes()?)).filter(|&ns| ns > 0);
        let length = u32::from_be_bytes(self.bytes()?);
        if length > PICTURE_MAX_BYTES {
            return Err(self.broken("a picture is too large"));
        }
        let data = Bytes::from(self.vector(length)?);
        self.pictures += 1;
        Ok(Some(Picture { running_ns, duration_ns, is_key: kind == KEYFRAME, data }))
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], MediaError> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes).map_err(|error| self.broken(&error))?;
        Ok(bytes)
    }

    fn vector(&mut self, length: u32) -> Result<Vec<u8>, MediaError> {
        let mut bytes = Vec::new();
        // Grows with what is there, not with what is promised.
        let read = self.file.by_ref().take(u64::from(length)).read_to_end(&mut bytes);
        match read {
            Ok(read) if read as u64 == u64::from(length) => Ok(bytes),
            Ok(_) => Err(self.broken("it is cut off")),
            Err(error) => Err(self.broken(&error)),
        }
    }

    fn broken(&self, what: impl std::fmt::Display) -> MediaError {
        MediaError::environment(format!("the chunk {} cannot be read: {what}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use flame_test_kit::Scratch;

    use super::*;

    fn picture(n: u64) -> Picture {
        let data = Bytes::from(vec![7; usize::try_from(n).unwrap() * 100]);
        Picture { running_ns: n * 40, duration_ns: n.is_multiple_of(2).then_some(40), is_key: n == 1, data }
    }

    fn written(folder: &Path, pictures: u64) -> u64 {
        let mut chunk = Chunk::new(folder, "v");
        if pictures > 0 {
            let colour = Colour { primaries: 1, transfer: 1, matrix: 1, full_range: false };
            chunk.configure(PictureCodec::Avc(vec![1, 2, 3]), Some(colour)).unwrap();
        }
        (1..=pictures).for_each(|n| chunk.push(&picture(n)).unwrap());
        let (counted, size_bytes) = chunk.finish().unwrap();
        assert_eq!(counted, pictures);
        size_bytes
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = Scratch::new("chunk");
        let size_bytes = written(&folder, 3);
        assert_eq!(std::fs::metadata(path(&folder, "v")).unwrap().len(), size_bytes);
        let mut reader = Reader::open(&folder, "v").unwrap();
        let (codec, colour) = reader.codec().unwrap().clone();
        assert_eq!((codec, colour.unwrap().primaries), (PictureCodec::Avc(vec![1, 2, 3]), 1));
        for n in 1..=3 {
            let read = reader.picture().unwrap().expect("there are three");
            let expected = picture(n);
            assert_eq!((read.running_ns, read.duration_ns), (expected.running_ns, expected.duration_ns));
            assert_eq!((read.is_key, read.data), (expected.is_key, expected.data));
        }
        assert!(reader.picture().unwrap().is_none());
    }

    #[test]
    fn without_a_picture_it_is_a_chunk_all_the_same() {
        let folder = Scratch::new("chunk");
        written(&folder, 0);
        let mut reader = Reader::open(&folder, "v").unwrap();
        assert!(reader.codec().is_none() && reader.picture().unwrap().is_none());
    }

    #[test]
    fn what_is_cut_off_anywhere_is_not_taken_for_whole() {
        let folder = Scratch::new("chunk");
        written(&folder, 2);
        let whole = std::fs::read(path(&folder, "v")).unwrap();
        for length in 0..whole.len() {
            std::fs::write(path(&folder, "v"), &whole[..length]).unwrap();
            let read = Reader::open(&folder, "v").and_then(|mut reader| {
                while reader.picture()?.is_some() {}
                Ok(())
            });
            assert!(read.is_err(), "{length} bytes of {}", whole.len());
        }
    }
}
