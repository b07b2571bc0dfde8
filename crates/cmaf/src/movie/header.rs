//! The init segment of a track of a stored movie: as `init` writes it for tracks of our own, but with a sample entry that
//! is handed in as bytes, the rotation of the source, and any codec.

use super::entry::append;
use crate::init::TRACK_ID;

/// "Undetermined" (ISO 639-2), for `mdhd`.
const LANGUAGE_UNKNOWN: [u8; 3] = *b"und";
/// The matrix that changes nothing.
pub(crate) const MATRIX_UNITY: [u8; 36] = {
    let mut matrix = [0; 36];
    (matrix[1], matrix[17], matrix[32]) = (1, 1, 0x40);
    matrix
};

/// What an init segment says.
#[derive(Debug)]
pub(crate) struct Header<'a> {
    pub(crate) is_video: bool,
    pub(crate) timescale: u32,
    pub(crate) edit_media_time_ticks: u64,
    /// Three lower-case letters.
    pub(crate) language: Option<[u8; 3]>,
    /// Of `tkhd`, as are the sizes, in 16.16.
    pub(crate) matrix: [u8; 36],
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) entry: &'a [u8],
}

// === impl Header ===

impl Header<'_> {
    /// `ftyp` and `moov`.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut brands = b"cmfc\0\0\0\0iso6cmfc".to_vec();
        // Promised where no edit list shifts the track (ISO/IEC 23000-19 section 7.2).
        if self.edit_media_time_ticks == 0 {
            brands.extend_from_slice(b"cmf2");
        }
        let mut bytes = Vec::with_capacity(1024 + self.entry.len());
        append(&mut bytes, b"ftyp", &brands);
        append(&mut bytes, b"moov", &[self.movie_header(), self.track(), extends()].concat());
        bytes
    }

    /// Durations are 0: all samples are in fragments.
    fn movie_header(&self) -> Vec<u8> {
        let mut body = vec![0; 12];
        body.extend_from_slice(&self.timescale.to_be_bytes());
        body.extend_from_slice(&[0; 4]);
        body.extend_from_slice(&[0, 1, 0, 0, 1, 0]); // rate, volume
        body.extend_from_slice(&[0; 10]);
        body.extend_from_slice(&MATRIX_UNITY);
        body.extend_from_slice(&[0; 24]);
        body.extend_from_slice(&(TRACK_ID + 1).to_be_bytes());
        boxed(b"mvhd", &body)
    }

    fn track(&self) -> Vec<u8> {
        let mut tkhd = vec![0, 0, 0, 3]; // enabled, in the movie
        tkhd.extend_from_slice(&[0; 8]);
        tkhd.extend_from_slice(&TRACK_ID.to_be_bytes());
        tkhd.extend_from_slice(&[0; 20]); // reserved, duration, reserved, layer, alternate group
        tkhd.extend_from_slice(&[u8::from(!self.is_video), 0, 0, 0]); // volume
        tkhd.extend_from_slice(&self.matrix);
        tkhd.extend_from_slice(&self.width.to_be_bytes());
        tkhd.extend_from_slice(&self.height.to_be_bytes());

        let mut mdhd = vec![0; 12];
        mdhd.extend_from_slice(&self.timescale.to_be_bytes());
        mdhd.extend_from_slice(&[0; 4]);
        let letters = self.language.unwrap_or(LANGUAGE_UNKNOWN);
        let packed = letters.iter().fold(0, |packed, letter| packed << 5 | u16::from(letter - 0x60));
        mdhd.extend_from_slice(&packed.to_be_bytes());
        mdhd.extend_from_slice(&[0; 2]);

        let (handler, name): (&[u8; 4], &[u8]) =
            if self.is_video { (b"vide", b"VideoHandler\0") } else { (b"soun", b"SoundHandler\0") };
        let hdlr = [[0; 8].as_slice(), handler, &[0; 12], name].concat();
        let media_header = if self.is_video { full(b"vmhd", 1, &[0; 8]) } else { full(b"smhd", 0, &[0; 4]) };
        let dref = full(b"dref", 0, &[&1_u32.to_be_bytes(), full(b"url ", 1, &[]).as_slice()].concat());
        let stbl = [
            full(b"stsd", 0, &[&1_u32.to_be_bytes(), self.entry].concat()),
            full(b"stts", 0, &[0; 4]),
            full(b"stsc", 0, &[0; 4]),
            full(b"stsz", 0, &[0; 8]),
            full(b"stco", 0, &[0; 4]),
        ];
        let minf = [media_header, boxed(b"dinf", &dref), boxed(b"stbl", &stbl.concat())];
        let mdia = [boxed(b"mdhd", &mdhd), boxed(b"hdlr", &hdlr), boxed(b"minf", &minf.concat())];
        boxed(b"trak", &[boxed(b"tkhd", &tkhd), self.edit(), boxed(b"mdia", &mdia.concat())].concat())
    }

    /// A duration of 0 holds for all fragments to come (ISO/IEC 14496-12 section 8.6.6). The movie's timescale is the
    /// track's.
    fn edit(&self) -> Vec<u8> {
        let start = self.edit_media_time_ticks;
        let one = 1_u32.to_be_bytes();
        let elst = match (start, u32::try_from(start).ok().filter(|start| *start <= i32::MAX.cast_unsigned())) {
            (0, _) => return Vec::new(),
            (_, Some(start)) => [[0; 4].as_slice(), &one, &[0; 4], &start.to_be_bytes(), &[0, 1, 0, 0]].concat(),
            (_, None) => [[1, 0, 0, 0].as_slice(), &one, &[0; 8], &start.to_be_bytes(), &[0, 1, 0, 0]].concat(),
        };
        boxed(b"edts", &boxed(b"elst", &elst))
    }
}

fn extends() -> Vec<u8> {
    let trex = [TRACK_ID, 1, 0, 0, 0].map(u32::to_be_bytes).concat();
    boxed(b"mvex", &full(b"trex", 0, &trex))
}

fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len() + 8);
    append(&mut bytes, kind, body);
    bytes
}

/// A box with version 0 and flags.
fn full(kind: &[u8; 4], flags: u8, body: &[u8]) -> Vec<u8> {
    boxed(kind, &[[0, 0, 0, flags].as_slice(), body].concat())
}
