//! ADTS headers (ISO/IEC 14496-3 section 1.A.2.2) from an `AudioSpecificConfig`.

/// A header without a checksum.
pub(super) const SIZE_BYTES: usize = 7;
/// `aac_frame_length` has 13 bits.
const FRAME_MAX_BYTES: usize = (1 << 13) - 1;
/// The index that says that the sampling frequency follows (section 1.6.3.3).
const EXPLICIT_FREQUENCY: u32 = 15;
/// Sampling frequencies by their index, Hz.
pub(super) const FREQUENCIES_HZ: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
/// Audio object types: spectral band replication and parametric stereo come as extensions of another type.
const SBR: u32 = 5;
const PS: u32 = 29;

/// What all frames of a track share.
#[derive(Debug)]
pub(super) struct Header {
    fixed: [u8; SIZE_BYTES],
}

/// Bits from the most significant one on; all that is read lies in the first 16 bytes.
struct Bits {
    word: u128,
    left: u32,
}

// === impl Header ===

impl Header {
    /// The header for `asc`. Band replication and parametric stereo are left for the decoder to find, as ADTS does.
    pub(super) fn of(asc: &[u8]) -> Result<Self, &'static str> {
        const CUT: &str = "the `AudioSpecificConfig` ends too early";
        let mut bits = Bits::of(asc);
        let mut object_type = bits.object_type().ok_or(CUT)?;
        let frequency_index = bits.frequency_index().ok_or(CUT)?;
        let channels = bits.take(4).ok_or(CUT)?;
        if matches!(object_type, SBR | PS) {
            bits.frequency_index().ok_or(CUT)?;
            object_type = bits.object_type().ok_or(CUT)?;
        }
        let frame_length_flag = bits.take(1).ok_or(CUT)?;
        if !(1..=4).contains(&object_type) {
            return Err("ADTS carries AAC Main, LC, SSR and LTP, with or without extensions");
        }
        let frequency_index = frequency_index.ok_or("ADTS has no such sampling frequency")?;
        if !(1..=7).contains(&channels) {
            return Err("ADTS carries the channel layouts 1 to 7");
        }
        if frame_length_flag != 0 {
            return Err("ADTS carries frames of 1024 samples");
        }
        // `syncword`, MPEG-4, no layer, no checksum; profile, frequency, channels; `adts_buffer_fullness` of
        // variable rate; one block of raw data.
        let profile = object_type - 1;
        let packed = 0xff_f1_00_00_00_1f_fc_u64
            | u64::from(profile) << 38
            | u64::from(frequency_index) << 34
            | u64::from(channels) << 30;
        let [_, fixed @ ..] = packed.to_be_bytes();
        Ok(Self { fixed })
    }

    /// The header of a frame of so many bytes.
    pub(super) fn frame(&self, size_bytes: usize) -> Result<[u8; SIZE_BYTES], &'static str> {
        let length = size_bytes.saturating_add(SIZE_BYTES);
        if length > FRAME_MAX_BYTES {
            return Err("a frame of AAC is larger than ADTS can say");
        }
        let mut header = self.fixed;
        let [.., high, middle, low] = (u64::try_from(length).expect("13 bits") << 5).to_be_bytes();
        header[3] |= high;
        header[4] |= middle;
        header[5] |= low;
        Ok(header)
    }
}

// === impl Bits ===

impl Bits {
    fn of(bytes: &[u8]) -> Self {
        let count = bytes.len().min(16);
        let mut word = [0; 16];
        word[..count].copy_from_slice(&bytes[..count]);
        Self { word: u128::from_be_bytes(word), left: 8 * u32::try_from(count).expect("at most 16") }
    }

    fn take(&mut self, count: u32) -> Option<u32> {
        self.left = self.left.checked_sub(count)?;
        let taken = self.word >> (u128::BITS - count);
        self.word <<= count;
        u32::try_from(taken).ok()
    }

    /// `GetAudioObjectType()` (section 1.6.2.1).
    fn object_type(&mut self) -> Option<u32> {
        match self.take(5)? {
            31 => self.take(6).map(|more| 32 + more),
            object_type => Some(object_type),
        }
    }

    /// The index of a sampling frequency; inside, `None` for one that has no index.
    fn frequency_index(&mut self) -> Option<Option<u32>> {
        let index = match self.take(4)? {
            EXPLICIT_FREQUENCY => {
                let frequency_hz = self.take(24)?;
                FREQUENCIES_HZ
                    .iter()
                    .position(|known| *known == frequency_hz)
                    .and_then(|index| u32::try_from(index).ok())
            }
            index => Some(index).filter(|index| (*index as usize) < FREQUENCIES_HZ.len()),
        };
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(asc: &[u8], size_bytes: usize) -> Result<[u8; SIZE_BYTES], &'static str> {
        Header::of(asc)?.frame(size_bytes)
    }

    #[test]
    fn headers_are_those_of_an_encoder() {
        // LC, 48 kHz, stereo: as `ffmpeg -f lavfi -i sine=r=48000 -ac 2 -c:a aac -f adts` begins, but for the length.
        assert_eq!(frame(&[0x11, 0x90], 100).unwrap(), [0xff, 0xf1, 0x4c, 0x80, 0x0d, 0x7f, 0xfc]);
        // LC, 44.1 kHz, 5.1: channels reach over a byte's border.
        assert_eq!(frame(&[0x12, 0x30], 8184).unwrap(), [0xff, 0xf1, 0x51, 0x83, 0xff, 0xff, 0xfc]);
        // HE-AAC, said hierarchically: SBR, 24 kHz, stereo, 48 kHz, LC.
        assert_eq!(frame(&[0x2b, 0x11, 0x88, 0x00], 1).unwrap(), [0xff, 0xf1, 0x58, 0x80, 0x01, 0x1f, 0xfc]);
        // An explicit frequency that has an index: 48 kHz.
        assert_eq!(frame(&[0x17, 0x80, 0x5d, 0xc0, 0x10], 100).unwrap(), [0xff, 0xf1, 0x4c, 0x80, 0x0d, 0x7f, 0xfc]);
    }

    #[test]
    fn refuses_what_adts_cannot_say() {
        assert!(frame(&[0x11, 0x90], 8185).is_err());
        // xHE-AAC, 960 samples, a layout in a program configuration element, 47 kHz, nothing at all.
        for asc in
            [&[0xf9, 0x46, 0x40][..], &[0x11, 0x94], &[0x11, 0x80], &[0x17, 0x80, 0x5b, 0xcc, 0x10], &[0x11], &[]]
        {
            assert!(frame(asc, 10).is_err(), "{asc:x?}");
        }
    }
}
