//! A movie of many hours of one tiny picture, in little space: an ordinary MP4 whose tables are as long as they are for a real one.

/// A picture, as it lies in a movie.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Width and height, pixels.
    pub size: (u16, u16),
    /// The body of its `avcC`.
    pub configuration: Vec<u8>,
    /// Its NAL units, with their lengths.
    pub sample: Vec<u8>,
}

/// Seconds from one sync sample to the next: one chunk of the file.
const GROUP_S: u32 = 4;

// === impl Picture ===

impl Picture {
    /// One that no decoder takes: a slice of one octet, with parameter sets that say little.
    #[must_use]
    pub fn of_nothing() -> Self {
        let configuration = vec![1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 4, 0x67, 0x64, 0, 0x1f, 1, 0, 2, 0x68, 0xeb];
        Self { size: (1280, 720), configuration, sample: vec![0, 0, 0, 1, 0x65] }
    }

    /// The first picture of a movie that has its `moov` behind its `mdat`, as FFmpeg writes it.
    ///
    /// # Panics
    /// When that is no such movie.
    #[must_use]
    pub fn first_of(movie: &[u8], size: (u16, u16)) -> Self {
        let at = |name: &[u8; 4]| {
            movie.windows(4).rposition(|found| found == name).unwrap_or_else(|| panic!("no {name:?}")) + 4
        };
        let u32_at = |at: usize| {
            let octets = movie[at..at + 4].try_into().expect("four octets");
            usize::try_from(u32::from_be_bytes(octets)).expect("it fits")
        };
        let configuration = at(b"avcC");
        let configuration_end = configuration - 8 + u32_at(configuration - 8);
        // Version and flags, the size that all have, how many there are; then the size of each.
        let sizes = at(b"stsz");
        let size_bytes = if u32_at(sizes + 4) > 0 { u32_at(sizes + 4) } else { u32_at(sizes + 12) };
        let begin = u32_at(at(b"stco") + 8);
        let sample = movie[begin..begin + size_bytes].to_vec();
        Self { size, configuration: movie[configuration..configuration_end].to_vec(), sample }
    }

    /// An MP4 in which it is shown for so many hours, `rate` times a second.
    ///
    /// # Panics
    /// When that does not fit into the fields of the format.
    #[must_use]
    pub fn shown_for(&self, hours: u32, rate: u32) -> Vec<u8> {
        let (samples, group) = (hours * 3_600 * rate, GROUP_S * rate);
        let groups = samples / group;
        let sample_bytes = u32::try_from(self.sample.len()).expect("it is tiny");
        let ftyp = of(b"ftyp", &[b"isom", &[0, 0, 2, 0][..], b"isomavc1mp41"].concat());
        let media = self.sample.repeat(usize::try_from(samples).expect("it fits"));
        let mdat = of(b"mdat", &media);
        let begin = u32::try_from(ftyp.len() + 8).expect("it is small");
        let chunks = (0..groups).flat_map(|at| (begin + at * group * sample_bytes).to_be_bytes());
        let chunks: Vec<u8> = words(&[0, groups]).into_iter().chain(chunks).collect();
        let syncs = (0..groups).flat_map(|at| (at * group + 1).to_be_bytes());
        let syncs: Vec<u8> = words(&[0, groups]).into_iter().chain(syncs).collect();
        let (width, height) = self.size;
        let mut entry = vec![0; 6];
        entry.extend([0, 1]);
        entry.extend([0; 16]);
        entry.extend([width.to_be_bytes(), height.to_be_bytes()].concat());
        entry.extend(words(&[0x0048_0000, 0x0048_0000, 0]));
        entry.extend([0, 1]);
        entry.extend([0; 32]);
        entry.extend([0, 24, 0xff, 0xff]);
        entry.extend(of(b"avcC", &self.configuration));
        let description = [words(&[0, 1]), of(b"avc1", &entry)].concat();
        let tables = [
            of(b"stsd", &description),
            of(b"stts", &words(&[0, 1, samples, 1])),
            of(b"stss", &syncs),
            of(b"stsc", &words(&[0, 1, 1, group, 1])),
            of(b"stsz", &words(&[0, sample_bytes, samples])),
            of(b"stco", &chunks),
        ];
        let reference = of(b"dref", &[words(&[0, 1]), of(b"url ", &words(&[1]))].concat());
        let information = [of(b"vmhd", &words(&[1, 0, 0])), of(b"dinf", &reference), of(b"stbl", &tables.concat())];
        let handler = [words(&[0, 0]), b"vide".to_vec(), words(&[0, 0, 0]), vec![0]].concat();
        let duration_ms = hours * 3_600 * 1_000;
        let media = [
            of(b"mdhd", &[words(&[0, 0, 0, rate, samples]), vec![0x55, 0xc4, 0, 0]].concat()),
            of(b"hdlr", &handler),
            of(b"minf", &information.concat()),
        ];
        let matrix = words(&[0x0001_0000, 0, 0, 0, 0x0001_0000, 0, 0, 0, 0x4000_0000]);
        let shown = words(&[u32::from(width) << 16, u32::from(height) << 16]);
        let track_head = [words(&[3, 0, 0, 1, 0, duration_ms, 0, 0, 0, 0]), matrix.clone(), shown].concat();
        let track = [of(b"tkhd", &track_head), of(b"mdia", &media.concat())].concat();
        let head = [
            words(&[0, 0, 0, 1_000, duration_ms, 0x0001_0000]),
            vec![1, 0],
            vec![0; 10],
            matrix,
            vec![0; 24],
            words(&[2]),
        ];
        let movie = of(b"moov", &[of(b"mvhd", &head.concat()), of(b"trak", &track)].concat());
        [ftyp, mdat, movie].concat()
    }
}

/// A box.
fn of(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 8).expect("it is smaller than 4 GiB");
    [&size.to_be_bytes()[..], kind, body].concat()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}
