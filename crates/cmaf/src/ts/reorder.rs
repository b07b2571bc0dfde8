//! How many pictures may be decoded before one that is shown before them all: from sequence parameter sets.
//!
//! A transport stream forbids what CMAF's signed composition offsets allow, that a picture is shown before its own decode
//! time; so decode times move back by this many pictures. The number must be the track's, not a segment's: a segment
//! without such pictures has to move as far as the others.

/// Profiles of H.264 whose parameter sets say more of chroma (section 7.3.2.1.1).
const CHROMA_PROFILES: [u64; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];
/// Those that say so in a configuration record, too.
const RECORD_PROFILES: [u64; 4] = [100, 110, 122, 244];
/// More than any level allows.
const REORDER_MAX: u64 = 16;

/// Bits of a NAL unit, without the bytes that prevent start codes.
pub(crate) struct Bits {
    bytes: Vec<u8>,
    at: usize,
}

/// `max_num_reorder_frames` of a sequence parameter set of H.264 (section E.2.1); `None` where it is not said.
pub(super) fn h264(unit: &[u8]) -> Option<u32> {
    let mut bits = Bits::of(unit.get(1..)?);
    let profile = bits.take(8)?;
    bits.take(16)?;
    bits.ue()?;
    if CHROMA_PROFILES.contains(&profile) {
        let chroma_format = bits.ue()?;
        if chroma_format == 3 {
            bits.take(1)?;
        }
        bits.ue()?;
        bits.ue()?;
        bits.take(1)?;
        if bits.flag()? {
            for list in 0..if chroma_format == 3 { 12 } else { 8 } {
                if bits.flag()? {
                    bits.scaling_list(if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    bits.ue()?;
    match bits.ue()? {
        0 => bits.skip_ue(1)?,
        1 => {
            bits.take(1)?;
            bits.skip_ue(2)?;
            let count = bits.ue()?;
            bits.skip_ue(count)?;
        }
        _ => {}
    }
    bits.ue()?;
    bits.take(1)?;
    bits.skip_ue(2)?;
    let frames_only = bits.flag()?;
    bits.take(if frames_only { 1 } else { 2 })?;
    if bits.flag()? {
        bits.skip_ue(4)?;
    }
    if bits.flag()? { h264_usability(&mut bits) } else { None }
}

/// Chroma format and depths of samples above eight bits of a sequence parameter set of H.264, where its profile has them in a
/// configuration record (ISO/IEC 14496-15 section 5.3.3.1.2).
pub(super) fn h264_samples(unit: &[u8]) -> Option<[u8; 3]> {
    let mut bits = Bits::of(unit.get(1..)?);
    let profile = bits.take(8)?;
    bits.take(16)?;
    bits.ue()?;
    if !RECORD_PROFILES.contains(&profile) {
        return None;
    }
    let chroma_format = bits.ue()?;
    if chroma_format == 3 {
        bits.take(1)?;
    }
    let [chroma, luma_depth, chroma_depth] = [chroma_format, bits.ue()?, bits.ue()?].map(u8::try_from);
    let said = [chroma.ok()?, luma_depth.ok()?, chroma_depth.ok()?];
    (said[0] < 4 && said[1] < 8 && said[2] < 8).then_some(said)
}

/// The same within `vui_parameters` (section E.1.1).
fn h264_usability(bits: &mut Bits) -> Option<u32> {
    const EXTENDED_ASPECT: u64 = 255;
    if bits.flag()? && bits.take(8)? == EXTENDED_ASPECT {
        bits.take(32)?;
    }
    if bits.flag()? {
        bits.take(1)?;
    }
    if bits.flag()? {
        bits.take(4)?;
        if bits.flag()? {
            bits.take(24)?;
        }
    }
    if bits.flag()? {
        bits.skip_ue(2)?;
    }
    if bits.flag()? {
        bits.take(32)?;
        bits.take(33)?;
    }
    let mut has_buffer = false;
    for _ in 0..2 {
        if bits.flag()? {
            has_buffer = true;
            let count = bits.ue()?.saturating_add(1);
            bits.take(8)?;
            for _ in 0..count {
                bits.skip_ue(2)?;
                bits.take(1)?;
            }
            bits.take(20)?;
        }
    }
    if has_buffer {
        bits.take(1)?;
    }
    bits.take(1)?;
    if !bits.flag()? {
        return None;
    }
    bits.take(1)?;
    bits.skip_ue(4)?;
    bits.reorder()
}

/// `sps_max_num_reorder_pics` of the highest layer of a sequence parameter set of H.265 (section 7.4.3.2.1).
pub(super) fn h265(unit: &[u8]) -> Option<u32> {
    let mut bits = Bits::of(unit.get(2..)?);
    bits.take(4)?;
    let sub_layers = bits.take(3)?;
    bits.take(1)?;
    bits.profile()?;
    bits.take(8)?;
    let mut present = Vec::new();
    if sub_layers > 0 {
        for _ in 0..sub_layers {
            present.push((bits.flag()?, bits.flag()?));
        }
        bits.take(2 * (8 - u32::try_from(sub_layers).ok()?))?;
    }
    for (profile, level) in present {
        if profile {
            bits.profile()?;
        }
        if level {
            bits.take(8)?;
        }
    }
    bits.ue()?;
    if bits.ue()? == 3 {
        bits.take(1)?;
    }
    bits.skip_ue(2)?;
    if bits.flag()? {
        bits.skip_ue(4)?;
    }
    bits.skip_ue(3)?;
    let first = if bits.flag()? { 0 } else { sub_layers };
    let mut reorder = None;
    for _ in first..=sub_layers {
        bits.ue()?;
        reorder = Some(bits.reorder()?);
        bits.ue()?;
    }
    reorder
}

// === impl Bits ===

impl Bits {
    pub(crate) fn of(escaped: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(escaped.len());
        let mut zeros = 0;
        for &byte in escaped {
            if zeros >= 2 && byte == 3 {
                zeros = 0;
                continue;
            }
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            bytes.push(byte);
        }
        Self { bytes, at: 0 }
    }

    /// Bits that nothing was put between.
    pub(crate) fn plain(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), at: 0 }
    }

    pub(crate) fn flag(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// At most 64 bits.
    pub(crate) fn take(&mut self, count: u32) -> Option<u64> {
        (0..count).try_fold(0, |value, _| Some(value << 1 | u64::from(self.flag()?)))
    }

    /// Exp-Golomb (H.264 section 9.1).
    pub(crate) fn ue(&mut self) -> Option<u64> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 32 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.take(zeros)?)
    }

    /// Signed ones have the same length. Ends with the bits, whatever the count.
    fn skip_ue(&mut self, count: u64) -> Option<()> {
        (0..count).try_for_each(|_| self.ue().map(|_| ()))
    }

    fn scaling_list(&mut self, size: u32) -> Option<()> {
        let (mut last, mut next) = (8, 8);
        for _ in 0..size {
            if next != 0 {
                let code = i64::try_from(self.ue()?).ok()?;
                let delta = if code % 2 == 1 { code / 2 + 1 } else { -(code / 2) };
                next = (last + delta).rem_euclid(256);
            }
            last = if next == 0 { last } else { next };
        }
        Some(())
    }

    /// A profile of H.265, without its level.
    fn profile(&mut self) -> Option<()> {
        self.take(44)?;
        self.take(44).map(|_| ())
    }

    fn reorder(&mut self) -> Option<u32> {
        self.ue().filter(|frames| *frames <= REORDER_MAX).and_then(|frames| u32::try_from(frames).ok())
    }
}
