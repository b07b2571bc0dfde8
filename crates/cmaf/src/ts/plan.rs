//! What a segment becomes before any byte of it is written: its PES packets, their times, and how many packets each
//! takes. Deciding is here, writing in `packets`.

use std::ops::Range;

use super::{
    CLOCK_INTERVAL_MS, DELAY_MS, DURATION_MAX_S, START_S, TsError,
    elementary::Elementary,
    packets::{CLOCK_SIZE_BYTES, FLAGS_SIZE_BYTES, PAYLOAD_SIZE_BYTES, PesHeader, SIZE_BYTES, TABLES_SIZE_BYTES},
};
use crate::samples::{InitInfo, SampleRef};

/// The system clock (ISO/IEC 13818-1 section 2.4.2.1), and the one of PTS and DTS.
const CLOCK_HZ: i128 = 27_000_000;
const STAMP_HZ: i128 = 90_000;
/// Clock references that lie within one access unit of pictures: the last of its bytes arrives before [`DELAY_MS`] are over.
const CLOCKS_WITHIN_MAX: usize = 5;
/// Continuity counters have 4 bits.
const COUNTERS: usize = 16;
/// Stuffing in the header of a PES packet that has fewer bytes than it has to fill packets; 32 may be there.
const HEADER_STUFFING_BYTES: usize = 32;
/// `PES_packet_length` has 16 bits.
const PES_MAX_BYTES: usize = 0xffff;

/// All PES packets of a segment.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) packets: Vec<Pes>,
    size_bytes: usize,
}

/// One PES packet: an access unit of pictures, or a few frames of sound.
#[derive(Debug)]
pub(super) struct Pes {
    /// The samples in it.
    pub(super) samples: Range<usize>,
    /// PTS, and DTS where that differs, 33 bits.
    pts: u64,
    dts: Option<u64>,
    /// Bytes of the elementary stream.
    data_size_bytes: usize,
    header_stuffing_bytes: usize,
    is_video: bool,
    pub(super) is_random_access: bool,
    /// Packets of the transport stream that carry it.
    pub(super) payload_packets: usize,
    /// Clock references: the first one, the time to the next PES packet in which they are spread, how many there are,
    /// and how many of those are in packets with a payload.
    clock_ticks: i128,
    gap_ticks: i128,
    pub(super) clocks: usize,
    pub(super) clocks_within: usize,
}

/// The clock of a track.
struct Times<'a> {
    init: &'a InitInfo,
    /// How much earlier samples are decoded than CMAF says, ticks.
    earlier_ticks: i64,
}

// === impl Plan ===

impl Plan {
    /// Ends with an error as soon as it would be larger than `size_max_bytes`.
    pub(super) fn of(
        init: &InitInfo,
        segment: &[u8],
        samples: &[SampleRef],
        elementary: &Elementary,
        size_max_bytes: usize,
    ) -> Result<Self, TsError> {
        let times = Times::of(init, samples, elementary.reorder_frames());
        let interval_ticks = CLOCK_HZ * i128::from(CLOCK_INTERVAL_MS) / 1000;
        if let (Some(first), Some(last)) = (samples.first(), samples.last())
            && times.end_ticks(last) - times.clock_ticks(first) > CLOCK_HZ * i128::from(DURATION_MAX_S)
        {
            return Err(TsError::TooLong { limit_s: DURATION_MAX_S });
        }
        let mut plan = Self { packets: Vec::new(), size_bytes: TABLES_SIZE_BYTES };
        let mut last_clock_ticks = None;
        let mut start = 0;
        while let Some(first) = samples.get(start) {
            let (end, data_size_bytes) = gather(init, segment, samples, elementary, start)?;
            let clock_ticks = times.clock_ticks(first);
            let next_ticks =
                samples.get(end).map_or_else(|| times.end_ticks(&samples[end - 1]), |next| times.clock_ticks(next));
            let is_random_access = first.is_sync;
            let is_due = last_clock_ticks.is_none_or(|last| next_ticks - last > interval_ticks)
                || (elementary.is_video() && is_random_access);
            let gap_ticks = next_ticks - clock_ticks;
            let clocks = if is_due {
                usize::try_from((gap_ticks + interval_ticks - 1) / interval_ticks).unwrap_or(0).max(1)
            } else {
                0
            };
            let (pts, dts) = times.stamps(first);
            let mut pes = Pes {
                samples: start..end,
                pts,
                dts: Some(dts).filter(|dts| *dts != pts),
                data_size_bytes,
                header_stuffing_bytes: 0,
                is_video: elementary.is_video(),
                is_random_access,
                payload_packets: 0,
                clock_ticks,
                gap_ticks,
                clocks,
                clocks_within: clocks.min(CLOCKS_WITHIN_MAX),
            };
            if is_due {
                last_clock_ticks = Some(pes.clock_at(clocks - 1));
            }
            pes.fit(start)?;
            plan.size_bytes += SIZE_BYTES * pes.transport_packets();
            if plan.size_bytes > size_max_bytes {
                return Err(TsError::TooLarge { size_bytes: plan.size_bytes, limit_bytes: size_max_bytes });
            }
            plan.packets.push(pes);
            start = end;
        }
        plan.fill_up();
        Ok(plan)
    }

    /// Of the whole transport stream.
    pub(super) fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Makes the packets with payload a multiple of [`COUNTERS`], so that the next segment begins at 0 like this one.
    fn fill_up(&mut self) {
        let packets: usize = self.packets.iter().map(|pes| pes.payload_packets).sum();
        let missing = packets.next_multiple_of(COUNTERS) - packets;
        // The last one that has enough for each packet with its header whole in the first.
        let roomy = self.packets.iter().rposition(|pes| pes.data_size_bytes >= pes.payload_packets + missing);
        let last = self.packets.len().saturating_sub(1);
        if let Some(pes) = self.packets.get_mut(roomy.unwrap_or(last)) {
            if roomy.is_none() {
                // All have less than 16 bytes and so one packet each; it stays one.
                pes.header_stuffing_bytes = HEADER_STUFFING_BYTES;
            }
            pes.payload_packets += missing;
            self.size_bytes += SIZE_BYTES * missing;
        }
    }
}

/// Where the PES packet ends that begins with the sample `start`, and how many bytes of the elementary stream it has.
fn gather(
    init: &InitInfo,
    segment: &[u8],
    samples: &[SampleRef],
    elementary: &Elementary,
    start: usize,
) -> Result<(usize, usize), TsError> {
    let size_of = |number: usize| {
        let sample = &samples[number];
        let mut size_bytes = 0;
        elementary
            .visit(&segment[sample.range.clone()], sample.is_sync, number, |bytes| size_bytes += bytes.len())
            .map(|()| size_bytes)
    };
    let mut size_bytes = size_of(start)?;
    let mut end = start + 1;
    if elementary.is_video() {
        return Ok((end, size_bytes));
    }
    let first = &samples[start];
    let longest_ticks = u64::from(init.timescale) * u64::from(CLOCK_INTERVAL_MS) / 1000;
    while let Some(next) = samples.get(end) {
        let previous = &samples[end - 1];
        // What has no time of its own must follow without a gap.
        let follows = next.decode_ticks == previous.decode_ticks + u64::from(previous.duration_ticks)
            && next.composition_offset_ticks == first.composition_offset_ticks;
        let length_ticks = next.decode_ticks + u64::from(next.duration_ticks) - first.decode_ticks;
        let next_size_bytes = size_of(end)?;
        if !follows || length_ticks > longest_ticks || size_bytes + next_size_bytes > PES_MAX_BYTES / 2 {
            break;
        }
        size_bytes += next_size_bytes;
        end += 1;
    }
    Ok((end, size_bytes))
}

// === impl Pes ===

impl Pes {
    /// Its header.
    pub(super) fn header(&self, stream_id: u8) -> PesHeader {
        // 0 says "to the next one", which only pictures may.
        let data_size_bytes = (!self.is_video).then_some(self.data_size_bytes);
        PesHeader::new(stream_id, self.pts, self.dts, self.header_stuffing_bytes, data_size_bytes)
    }

    /// Bytes of it, header and all.
    pub(super) fn size_bytes(&self) -> usize {
        PesHeader::size_bytes_of(self.dts.is_some(), self.header_stuffing_bytes) + self.data_size_bytes
    }

    /// Clock reference `number`, in ticks of 27 MHz.
    pub(super) fn clock_at(&self, number: usize) -> i128 {
        let (number, clocks) = (widened(number), widened(self.clocks.max(1)));
        self.clock_ticks + self.gap_ticks * number / clocks
    }

    /// The packet with payload that clock reference `number` is in; they are spread evenly.
    pub(super) fn packet_of_clock(&self, number: usize) -> usize {
        number * self.payload_packets / self.clocks_within.max(1)
    }

    /// Bytes of the adaptation field in front of the payload of packet `number`, if nothing has to be filled.
    pub(super) fn adaptation_size_bytes(&self, number: usize, has_clock: bool) -> usize {
        match (has_clock, number == 0 && self.is_random_access) {
            (true, _) => CLOCK_SIZE_BYTES,
            (false, true) => FLAGS_SIZE_BYTES,
            (false, false) => 0,
        }
    }

    /// All packets: those with payload, and those with nothing but a clock reference.
    fn transport_packets(&self) -> usize {
        self.payload_packets + self.clocks - self.clocks_within
    }

    /// Finds the fewest packets that take it. `number` is that of its first sample.
    fn fit(&mut self, number: usize) -> Result<(), TsError> {
        if !self.is_video && self.size_bytes() + HEADER_STUFFING_BYTES > PES_MAX_BYTES {
            return Err(TsError::Sample { number, what: "it is larger than a PES packet of sound can be" });
        }
        loop {
            let first = self.adaptation_size_bytes(0, self.clocks_within > 0);
            let later = CLOCK_SIZE_BYTES * self.clocks_within.saturating_sub(1);
            self.payload_packets = (self.size_bytes() + first + later).div_ceil(PAYLOAD_SIZE_BYTES);
            if self.clocks_within <= self.payload_packets {
                return Ok(());
            }
            self.clocks_within -= 1;
        }
    }
}

// === impl Times ===

impl<'a> Times<'a> {
    fn of(init: &'a InitInfo, samples: &[SampleRef], reorder_frames: u32) -> Self {
        let lowest_ticks = samples.iter().map(|sample| i64::from(sample.composition_offset_ticks)).min().unwrap_or(0);
        let mut earlier_ticks = (-lowest_ticks).max(0);
        // Offsets that are not signed come with an edit, and are right as they are.
        if init.edit_media_time_ticks == 0 {
            let frame_ticks = samples.iter().map(|sample| sample.duration_ticks).filter(|ticks| *ticks > 0).min();
            let reorder_ticks = i64::from(reorder_frames) * i64::from(frame_ticks.unwrap_or(0));
            let first_ticks = samples.first().map_or(0, |first| i64::from(first.composition_offset_ticks));
            earlier_ticks = earlier_ticks.max(reorder_ticks - first_ticks);
        }
        Self { init, earlier_ticks }
    }

    /// When a sample is decoded, on the presentation's timeline.
    fn decode_ticks(&self, sample: &SampleRef) -> i64 {
        self.init.edited_ticks(sample) - self.earlier_ticks
    }

    fn scaled(&self, ticks: i64, hz: i128) -> i128 {
        (i128::from(ticks) * hz).div_euclid(i128::from(self.init.timescale))
    }

    /// The clock reference with which a sample begins to arrive, 27 MHz.
    fn clock_ticks(&self, sample: &SampleRef) -> i128 {
        let shift = CLOCK_HZ * i128::from(START_S) - CLOCK_HZ * i128::from(DELAY_MS) / 1000;
        self.scaled(self.decode_ticks(sample), CLOCK_HZ) + shift
    }

    /// The same for a sample that would follow.
    fn end_ticks(&self, sample: &SampleRef) -> i128 {
        let after =
            SampleRef { decode_ticks: sample.decode_ticks + u64::from(sample.duration_ticks), ..sample.clone() };
        self.clock_ticks(&after)
    }

    /// PTS and DTS, to the nearest tick of 90 kHz.
    fn stamps(&self, sample: &SampleRef) -> (u64, u64) {
        let stamp = |ticks: i64| {
            let half_ticks = (self.scaled(ticks, 2 * STAMP_HZ) + 1).div_euclid(2);
            let shifted = half_ticks + STAMP_HZ * i128::from(START_S);
            u64::try_from(shifted.rem_euclid(1 << 33)).expect("33 bits")
        };
        (stamp(self.init.presented_ticks(sample)), stamp(self.decode_ticks(sample)))
    }
}

fn widened(number: usize) -> i128 {
    i128::try_from(number).unwrap_or(i128::MAX)
}
