//! Writes ordinary MP4 files from values, and says naively what must become of them: every sample expanded, nothing shared
//! with the code under test.

use bytes::Bytes;

/// A file, and the `moov` in it.
pub struct Stored {
    pub file: Vec<u8>,
    pub moov: Bytes,
}

#[derive(Debug, Clone)]
pub struct Source {
    pub movie_timescale: u32,
    pub tracks: Vec<Track>,
}

#[derive(Debug, Clone)]
pub struct Track {
    pub id: u32,
    pub handler: [u8; 4],
    pub timescale: u32,
    /// Three letters.
    pub language: [u8; 3],
    /// `a`, `b`, `c`, `d` of the matrix.
    pub turn: [i32; 4],
    /// The sample entry, boxed.
    pub entries: Vec<Vec<u8>>,
    pub samples: Vec<Sample>,
    /// Whether there is an `stss`.
    pub has_sync_table: bool,
    /// `segment_duration`, `media_time`, `media_rate`; no box if empty.
    pub edits: Vec<(u64, i64, u32)>,
    /// Samples of each chunk, used round and round.
    pub chunks: Vec<usize>,
    pub sizes: SizeTable,
    /// 64-bit chunk offsets and edits.
    pub is_wide: bool,
    /// `tref`, `chap`.
    pub chapters: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
pub enum SizeTable {
    Stsz,
    /// Bits of a size: 4, 8 or 16.
    Stz2(u8),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    pub delta: u32,
    pub offset: i32,
    pub is_sync: bool,
    pub data: Vec<u8>,
}

/// A sample as it must be presented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub presented_ticks: i64,
    pub duration_ticks: u32,
    pub is_sync: bool,
    pub data: Vec<u8>,
}

/// What must become of a track.
#[derive(Debug, PartialEq, Eq)]
pub struct Expected {
    pub segments: Vec<Vec<Shown>>,
    /// When the last sample ends, or the edit.
    pub end_ticks: i64,
}

pub fn boxed(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&u32::try_from(body.len() + 8).unwrap().to_be_bytes(), kind.as_slice(), &body].concat()
}

pub fn picture_entry(kind: &[u8; 4], boxes: &[Vec<u8>]) -> Vec<u8> {
    let mut fields = vec![0_u8; 78];
    fields[7] = 1;
    fields[24..28].copy_from_slice(&[0x01, 0x40, 0x00, 0xb4]); // 320x180
    fields[42..46].copy_from_slice(b"\x03odd"); // a compressor's name
    boxed(kind, &[&fields, &boxes.concat()])
}

pub fn avc1() -> Vec<u8> {
    picture_entry(b"avc1", &[boxed(b"avcC", &[crate::unpack::AVCC])])
}

/// `esds` of an `AudioSpecificConfig`, with lengths in one byte.
pub fn esds(object_type: u8, asc: &[u8]) -> Vec<u8> {
    let size = u8::try_from(asc.len()).unwrap();
    let decoder = [&[4, 15 + size, object_type, 0x15], [0; 11].as_slice(), &[5, size], asc].concat();
    let es = [&[3, u8::try_from(decoder.len() + 6).unwrap(), 0, 1, 0], decoder.as_slice(), &[6, 1, 2]].concat();
    boxed(b"esds", &[&[0; 4], &es])
}

/// A sound description of version 0, 1 or 2 (of QuickTime), stereo at 48 kHz by its fields.
pub fn sound_entry(kind: &[u8; 4], version: u8, boxes: &[Vec<u8>]) -> Vec<u8> {
    let mut fields = vec![0_u8; [28, 44, 64][usize::from(version)]];
    (fields[7], fields[9], fields[17], fields[19]) = (1, version, 2, 16);
    fields[24..26].copy_from_slice(&48_000_u16.to_be_bytes());
    boxed(kind, &[&fields, &boxes.concat()])
}

pub fn mp4a() -> Vec<u8> {
    sound_entry(b"mp4a", 0, &[esds(0x40, crate::unpack::ASC)])
}

pub fn track(id: u32, handler: &[u8; 4], entry: Vec<u8>, samples: Vec<Sample>) -> Track {
    Track {
        id,
        handler: *handler,
        timescale: 1000,
        language: *b"und",
        turn: [1, 0, 0, 1],
        entries: vec![entry],
        has_sync_table: samples.iter().any(|sample| !sample.is_sync),
        samples,
        edits: Vec::new(),
        chunks: vec![3],
        sizes: SizeTable::Stsz,
        is_wide: false,
        chapters: None,
    }
}

// === impl Source ===

impl Source {
    /// `ftyp`, `mdat` with the chunks of all tracks by turns, `moov`.
    pub fn write(&self) -> Stored {
        let mut file = boxed(b"ftyp", &[b"isom\0\0\0\0isom"]);
        let mdat_at = file.len();
        file.extend_from_slice(&[0, 0, 0, 0, b'm', b'd', b'a', b't']);
        let mut offsets = vec![Vec::new(); self.tracks.len()];
        let mut taken = vec![0; self.tracks.len()];
        while taken.iter().zip(&self.tracks).any(|(taken, track)| *taken < track.samples.len()) {
            for (place, track) in self.tracks.iter().enumerate() {
                let size = track.chunks[offsets[place].len() % track.chunks.len()];
                let chunk: Vec<_> = track.samples.iter().skip(taken[place]).take(size).collect();
                if !chunk.is_empty() {
                    offsets[place].push(file.len() as u64);
                    taken[place] += chunk.len();
                    chunk.iter().for_each(|sample| file.extend_from_slice(&sample.data));
                }
            }
        }
        let mdat_size = u32::try_from(file.len() - mdat_at).unwrap();
        file[mdat_at..mdat_at + 4].copy_from_slice(&mdat_size.to_be_bytes());

        let mvhd = [&[0; 12], self.movie_timescale.to_be_bytes().as_slice(), &[0; 84]].concat();
        let traks: Vec<Vec<u8>> =
            self.tracks.iter().zip(&offsets).map(|(track, offsets)| track.write(offsets)).collect();
        let moov = boxed(b"moov", &[&boxed(b"mvhd", &[&mvhd]), &traks.concat()]);
        file.extend_from_slice(&moov);
        Stored { file, moov: moov.into() }
    }
}

// === impl Track ===

impl Track {
    fn write(&self, offsets: &[u64]) -> Vec<u8> {
        let [a, b, c, d] = self.turn.map(|one| (one << 16).to_be_bytes());
        let matrix = [a, b, [0; 4], c, d, [0; 4], [0; 4], [0; 4], [0x40, 0, 0, 0]].concat();
        let tkhd =
            [&[0, 0, 0, 1], [0; 8].as_slice(), &self.id.to_be_bytes(), &[0; 24], &matrix, &[0, 0, 0, 0], &[0; 4]]
                .concat();
        let letters = self.language.iter().fold(0_u16, |packed, letter| packed << 5 | u16::from(letter - 0x60));
        let mdhd =
            [[0; 12].as_slice(), &self.timescale.to_be_bytes(), &[0; 4], &letters.to_be_bytes(), &[0; 2]].concat();
        let hdlr = [[0; 8].as_slice(), &self.handler, &[0; 13]].concat();
        let dref = boxed(b"dref", &[&[0, 0, 0, 0, 0, 0, 0, 1], &boxed(b"url ", &[&[0, 0, 0, 1]])]);
        let minf = boxed(b"minf", &[&boxed(b"dinf", &[&dref]), &self.table(offsets)]);
        let mdia = boxed(b"mdia", &[&boxed(b"mdhd", &[&mdhd]), &boxed(b"hdlr", &[&hdlr]), &minf]);
        let chapters = self.chapters.map(|id| boxed(b"tref", &[&boxed(b"chap", &[&id.to_be_bytes()])]));
        let edits = if self.edits.is_empty() { Vec::new() } else { self.edit_list() };
        boxed(b"trak", &[&boxed(b"tkhd", &[&tkhd]), &edits, &chapters.unwrap_or_default(), &mdia])
    }

    fn edit_list(&self) -> Vec<u8> {
        let entries: Vec<u8> = self
            .edits
            .iter()
            .flat_map(|&(duration, media_time, rate)| {
                if self.is_wide {
                    [duration.to_be_bytes().as_slice(), &media_time.to_be_bytes(), &rate.to_be_bytes()].concat()
                } else {
                    let (duration, media_time) = (u32::try_from(duration).unwrap(), i32::try_from(media_time).unwrap());
                    [duration.to_be_bytes(), media_time.to_be_bytes(), rate.to_be_bytes()].concat()
                }
            })
            .collect();
        let count = u32::try_from(self.edits.len()).unwrap();
        boxed(b"edts", &[&boxed(b"elst", &[&[u8::from(self.is_wide), 0, 0, 0], &count.to_be_bytes(), &entries])])
    }

    fn table(&self, offsets: &[u64]) -> Vec<u8> {
        let samples = &self.samples;
        let deltas = runs(samples.iter().map(|sample| sample.delta));
        let composition = runs(samples.iter().map(|sample| sample.offset.cast_unsigned()));
        let has_composition = samples.iter().any(|sample| sample.offset != 0);
        let version = u8::from(samples.iter().any(|sample| sample.offset < 0));
        let sync: Vec<u32> =
            (1..).zip(samples).filter(|(_, sample)| sample.is_sync).map(|(number, _)| number).collect();
        let mut left = samples.len();
        let in_chunks = (0..offsets.len()).map(|chunk| {
            let size = self.chunks[chunk % self.chunks.len()].min(left);
            left -= size;
            u32::try_from(size).unwrap()
        });
        let mut first = 1;
        let chunk_runs: Vec<[u32; 3]> = runs(in_chunks)
            .into_iter()
            .map(|[count, size]| {
                let run = [first, size, 1];
                first += count;
                run
            })
            .collect();
        let chunk_offsets = if self.is_wide {
            let offsets: Vec<u8> = offsets.iter().flat_map(|offset| offset.to_be_bytes()).collect();
            boxed(b"co64", &[&[0; 4], &u32::try_from(offsets.len() / 8).unwrap().to_be_bytes(), &offsets])
        } else {
            let offsets: Vec<[u32; 1]> = offsets.iter().map(|offset| [u32::try_from(*offset).unwrap()]).collect();
            table(b"stco", 0, &offsets)
        };
        let count = u32::try_from(self.entries.len()).unwrap();
        let mut boxes = vec![
            boxed(b"stsd", &[&[0; 4], &count.to_be_bytes(), &self.entries.concat()]),
            table(b"stts", 0, &deltas),
            table(b"stsc", 0, &chunk_runs),
            self.size_table(),
            chunk_offsets,
        ];
        if has_composition {
            boxes.push(table(b"ctts", version, &composition));
        }
        if self.has_sync_table {
            boxes.push(table(b"stss", 0, &sync.iter().map(|number| [*number]).collect::<Vec<_>>()));
        }
        boxed(b"stbl", &[&boxes.concat()])
    }

    fn size_table(&self) -> Vec<u8> {
        let sizes: Vec<u32> = self.samples.iter().map(|sample| u32::try_from(sample.data.len()).unwrap()).collect();
        let count = u32::try_from(sizes.len()).unwrap().to_be_bytes();
        let same = sizes.first().filter(|first| **first > 0 && sizes.iter().all(|size| size == *first));
        match (self.sizes, same) {
            (SizeTable::Stsz, Some(same)) => boxed(b"stsz", &[&[0; 4], &same.to_be_bytes(), &count]),
            (SizeTable::Stsz, None) => {
                let sizes: Vec<u8> = sizes.iter().flat_map(|size| size.to_be_bytes()).collect();
                boxed(b"stsz", &[&[0; 8], &count, &sizes])
            }
            (SizeTable::Stz2(bits), _) => {
                let sizes: Vec<u8> = match bits {
                    4 => sizes.chunks(2).map(|pair| (pair[0] << 4 | pair.get(1).unwrap_or(&0)) as u8).collect(),
                    8 => sizes.iter().map(|size| *size as u8).collect(),
                    _ => sizes.iter().flat_map(|size| (*size as u16).to_be_bytes()).collect(),
                };
                boxed(b"stz2", &[&[0; 7], &[bits], &count, &sizes])
            }
        }
    }

    /// What must become of it; `None` if it cannot be played.
    pub fn expected(&self, movie_timescale: u32, target_ms: u32) -> Option<Expected> {
        let scale = |duration: u64| {
            let (ticks, scale) = (u128::from(duration) * u128::from(self.timescale), u128::from(movie_timescale));
            i64::try_from((2 * ticks + scale) / (2 * scale)).unwrap()
        };
        let delay: i64 = self.edits.iter().filter(|edit| edit.1 == -1).map(|edit| scale(edit.0)).sum();
        let real = self.edits.iter().find(|edit| edit.1 >= 0);
        let start = real.map_or(0, |edit| edit.1);
        let end = real.filter(|edit| edit.0 > 0).map_or(i64::MAX, |edit| start + scale(edit.0));

        let mut dts = 0;
        let timed: Vec<(i64, &Sample)> = self
            .samples
            .iter()
            .map(|sample| {
                let pts = dts + i64::from(sample.offset);
                dts += i64::from(sample.delta);
                (pts, sample)
            })
            .collect();
        let preroll = if &self.handler == b"soun" { i64::from(self.timescale) / 4 } else { 0 };
        let is_sync = |n: &usize| !self.has_sync_table || timed[*n].1.is_sync;
        let decodable = (0..timed.len()).find(is_sync)?;
        let shown = (decodable..timed.len()).find(|n| timed[*n].0 >= start).unwrap_or(timed.len() - 1);
        let first = (decodable..=shown).filter(is_sync).rfind(|n| timed[*n].0 + preroll <= start).unwrap_or(decodable);
        let last = (first..timed.len()).rfind(|n| timed[*n].0 < end)?;
        let end_ticks = timed[first..=last].iter().map(|(pts, sample)| pts + i64::from(sample.delta)).max()?.min(end);
        if end_ticks <= start {
            return None;
        }

        let presented = |n: usize| timed[n].0 - start + delay;
        let interval =
            |n: usize| i128::from(presented(n).max(0)) * 1000 / (i128::from(target_ms) * i128::from(self.timescale));
        let mut segments: Vec<Vec<Shown>> = Vec::new();
        let mut begun = first;
        for (n, (pts, sample)) in timed.iter().enumerate().take(last + 1).skip(first) {
            if segments.is_empty() || (is_sync(&n) && *pts < end && interval(n) > interval(begun)) {
                segments.push(Vec::new());
                begun = n;
            }
            segments.last_mut().unwrap().push(Shown {
                presented_ticks: presented(n),
                duration_ticks: sample.delta,
                is_sync: is_sync(&n),
                data: sample.data.clone(),
            });
        }
        Some(Expected { segments, end_ticks: end_ticks - start + delay })
    }
}

fn table<const N: usize>(kind: &[u8; 4], version: u8, entries: &[[u32; N]]) -> Vec<u8> {
    let body: Vec<u8> = entries.iter().flatten().flat_map(|field| field.to_be_bytes()).collect();
    boxed(kind, &[&[version, 0, 0, 0], &u32::try_from(entries.len()).unwrap().to_be_bytes(), &body])
}

/// Count and value of each run of equal values.
fn runs(values: impl Iterator<Item = u32>) -> Vec<[u32; 2]> {
    values.fold(Vec::new(), |mut runs: Vec<[u32; 2]>, value| {
        match runs.last_mut() {
            Some([count, last]) if *last == value => *count += 1,
            _ => runs.push([1, value]),
        }
        runs
    })
}
