//! Live tracks: any samples, cut into segments and parts, come back whole, and the parts keep the rules of low-latency HLS.

use flame_cmaf::{Chunk, ChunkWriter, Cuts, Followed, MediaTime, Parts, Sample, TrackConfig, WriteError};
use proptest::prelude::*;

use crate::unpack::{Found, audio, fragments, video};

/// A Thursday in 2026, seconds: times are those of a live track.
const EPOCH_S: i64 = 1_795_700_000;
const TIMESCALE: u32 = 30_000;
const FRAME_TICKS: u32 = 1001;

/// A live track, and what its chunks say.
struct Written {
    chunks: Vec<Chunk>,
    /// Chunks that came with each push, then those of the end.
    came: Vec<usize>,
}

fn write(config: &TrackConfig, parts: Parts, samples: &[(Sample, u64)]) -> Written {
    let mut writer = ChunkWriter::new(config, parts).unwrap();
    let mut written = Written { chunks: Vec::new(), came: Vec::new() };
    for (sample, number) in samples {
        let came = writer.push(sample.clone(), *number).unwrap();
        assert!(came.len() <= 2);
        written.came.push(came.len());
        written.chunks.extend(came);
    }
    written.chunks.extend(writer.finish().unwrap());
    written
}

/// A picture of a constant rate, `offset` frames shown later than decoded.
fn frame(at: i64, offset: i64, is_sync: bool) -> Sample {
    let dts_ticks = EPOCH_S * i64::from(TIMESCALE) + at * i64::from(FRAME_TICKS);
    Sample {
        dts_ticks,
        pts_ticks: dts_ticks + offset * i64::from(FRAME_TICKS),
        duration_ticks: FRAME_TICKS,
        is_sync,
        data: vec![u8::try_from(at.rem_euclid(251)).unwrap(); 3 + usize::try_from(at.rem_euclid(7)).unwrap()].into(),
    }
}

/// Checks what holds for every track, and returns its samples as a reader finds them.
fn read(written: &Written) -> Vec<Found> {
    let mut found = Vec::new();
    let mut fragment = 0;
    let mut segments: Vec<(u64, Vec<u8>, Vec<&Chunk>)> = Vec::new();
    for chunk in &written.chunks {
        if chunk.begins_segment {
            assert!(segments.last().is_none_or(
                |(number, _, chunks)| *number < chunk.number && chunks.last().is_some_and(|last| last.ends_segment)
            ));
            segments.push((chunk.number, Vec::new(), Vec::new()));
        }
        let (number, bytes, chunks) = segments.last_mut().expect("the first chunk begins a segment");
        assert_eq!(*number, chunk.number);
        assert!(chunks.last().is_none_or(|last| !last.ends_segment));
        bytes.extend_from_slice(&chunk.bytes);
        chunks.push(chunk);
    }
    assert!(written.chunks.last().is_none_or(|last| last.ends_segment));
    for (_, bytes, chunks) in segments {
        let read = fragments(&bytes);
        assert_eq!(read.len(), chunks.len());
        for ((sequence_number, samples), chunk) in read.into_iter().zip(chunks) {
            fragment += 1;
            assert_eq!(sequence_number, fragment);
            assert_eq!(samples.len(), chunk.samples as usize);
            assert_eq!(i64::try_from(chunk.time_ticks).unwrap(), samples[0].dts_ticks);
            assert_eq!(chunk.is_independent, samples[0].is_sync);
            let shown = samples.iter().map(|sample| sample.pts_ticks).min();
            assert_eq!(i64::try_from(chunk.presented_ticks).ok(), shown);
            assert_eq!(
                chunk.duration_ticks,
                samples.iter().map(|sample| u64::from(sample.duration_ticks)).sum::<u64>()
            );
            // Each chunk is decoded where the one before ends.
            let end = found.last().map(|last: &Found| last.dts_ticks + i64::from(last.duration_ticks));
            assert!(end.is_none_or(|end| end == samples[0].dts_ticks));
            found.extend(samples);
        }
    }
    found
}

fn expected(samples: &[(Sample, u64)]) -> Vec<Found> {
    let next = samples.iter().skip(1).map(|(sample, _)| Some(sample.dts_ticks)).chain([None]);
    samples
        .iter()
        .zip(next)
        .map(|((sample, _), next)| Found {
            dts_ticks: sample.dts_ticks,
            pts_ticks: sample.pts_ticks,
            duration_ticks: next.map_or(sample.duration_ticks, |next| u32::try_from(next - sample.dts_ticks).unwrap()),
            is_sync: sample.is_sync,
            data: sample.data.to_vec(),
        })
        .collect()
}

/// Pictures of a constant rate in GOPs of these lengths, each in the segment that [`Cuts`] gives it.
fn cut(gops: &[usize], segment_ms: u32) -> Vec<(Sample, u64)> {
    let mut cuts = Cuts::new(segment_ms, 5);
    let sync = gops.iter().flat_map(|length| (0..*length).map(|n| n == 0));
    sync.enumerate()
        .map(|(n, is_sync)| {
            let sample = frame(i64::try_from(n).unwrap(), 2, is_sync);
            let time = |ticks| MediaTime { ticks, timescale: TIMESCALE };
            let number = cuts.lead(time(sample.pts_ticks), time(sample.dts_ticks), is_sync);
            (sample, number)
        })
        .collect()
}

proptest! {
    #[test]
    fn any_samples_survive(
        samples in prop::collection::vec((1_i64..20_000, 0_i64..9000, any::<bool>(), 1_u64..3, 1_usize..60), 1..200),
        longest_ticks in 1_u32..30_000,
        frame_ticks in prop::option::of(1_u32..5000),
    ) {
        let (mut clock_ticks, mut number) = (EPOCH_S * 90_000, 0);
        let samples: Vec<(Sample, u64)> = samples
            .into_iter()
            .enumerate()
            .map(|(n, (distance, offset, is_sync, skip, size))| {
                clock_ticks += distance;
                let is_sync = is_sync || n == 0;
                number += if is_sync { skip } else { 0 };
                let data = vec![u8::try_from(n % 251).unwrap(); size].into();
                let (dts_ticks, pts_ticks) = (clock_ticks, clock_ticks + offset);
                (Sample { dts_ticks, pts_ticks, duration_ticks: 17, is_sync, data }, number)
            })
            .collect();
        let written = write(&video(90_000, 0), Parts { longest_ticks, frame_ticks }, &samples);
        prop_assert_eq!(read(&written), expected(&samples));
        for chunk in &written.chunks {
            prop_assert!(chunk.duration_ticks <= u64::from(longest_ticks) || chunk.samples == 1);
        }
    }

    #[test]
    fn parts_of_a_constant_rate_are_as_long_as_they_say(
        gops in prop::collection::vec(1_usize..90, 1..8),
        part_ms in 20_u32..500,
        segment_ms in 300_u32..3000,
    ) {
        let samples = cut(&gops, segment_ms);
        let parts = Parts::of(part_ms, TIMESCALE, Some(FRAME_TICKS));
        let written = write(&video(TIMESCALE, 0), parts, &samples);
        prop_assert_eq!(read(&written), expected(&samples));
        let longest_ticks = u64::from(parts.longest_ticks);
        prop_assert!(longest_ticks * 1000 <= u64::from(part_ms) * u64::from(TIMESCALE) || longest_ticks == u64::from(FRAME_TICKS));
        for chunk in &written.chunks {
            prop_assert!(chunk.duration_ticks == longest_ticks || (chunk.ends_segment && chunk.duration_ticks < longest_ticks));
        }
    }

    #[test]
    fn sound_begins_its_segments_where_the_pictures_do(
        gops in prop::collection::vec(1_usize..90, 2..8),
        lead_ms in 0_i64..500,
        segment_ms in 300_u32..3000,
    ) {
        let pictures = cut(&gops, segment_ms);
        let mut cuts = Cuts::new(segment_ms, 5);
        let (mut waiting, mut heard) = (std::collections::VecDeque::new(), Vec::new());
        let mut next = EPOCH_S * 48_000;
        for (picture, number) in &pictures {
            // Sound up to `lead_ms` ahead of the picture that comes next has come.
            let picture_ms = picture.dts_ticks * 1000 / i64::from(TIMESCALE);
            while next * 1000 / 48_000 <= picture_ms + lead_ms {
                waiting.push_back(next);
                next += 1024;
            }
            let time = |ticks| MediaTime { ticks, timescale: TIMESCALE };
            prop_assert_eq!(cuts.lead(time(picture.pts_ticks), time(picture.dts_ticks), picture.is_sync), *number);
            while let Some(ticks) = waiting.front().copied() {
                match cuts.follow(MediaTime { ticks, timescale: 48_000 }) {
                    Followed::Unknown => break,
                    Followed::TooEarly => {}
                    Followed::Number(number) => heard.push((ticks, number)),
                }
                waiting.pop_front();
            }
        }
        // What waits is not older than the pictures: it is held back no longer than until the next one.
        let newest = pictures.last().unwrap().0.dts_ticks;
        prop_assert!(waiting.iter().all(|ticks| i128::from(*ticks) * i128::from(TIMESCALE) > i128::from(newest) * 48_000));
        // Afterwards it is plain where each belongs.
        for (ticks, number) in heard {
            let begun = pictures.iter().filter(|(picture, _)| {
                picture.is_sync && i128::from(picture.pts_ticks) * 48_000 <= i128::from(ticks) * i128::from(TIMESCALE)
            });
            prop_assert_eq!(begun.map(|(_, number)| *number).max(), Some(number));
        }
    }
}

#[test]
fn a_part_is_given_out_with_the_frame_after_its_last() {
    let samples: Vec<_> = (0..13).map(|n| (frame(n, 0, n == 0), 0)).collect();
    let written = write(&video(TIMESCALE, 0), Parts::of(167, TIMESCALE, Some(FRAME_TICKS)), &samples);
    assert_eq!(written.came, [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0]);
    // Where the rate is not known it is given out once it is long enough.
    let written = write(&video(TIMESCALE, 0), Parts::of(190, TIMESCALE, None), &samples);
    assert_eq!(written.came, [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0]);
}

#[test]
fn a_missing_frame_makes_no_part_longer() {
    let samples: Vec<_> = (0..20).filter(|n| *n != 5).map(|n| (frame(n, 0, n == 0), 0)).collect();
    let parts = Parts::of(200, TIMESCALE, Some(FRAME_TICKS));
    let written = write(&video(TIMESCALE, 0), parts, &samples);
    assert_eq!(read(&written), expected(&samples));
    let frames: Vec<u64> = written.chunks.iter().map(|chunk| chunk.duration_ticks / u64::from(FRAME_TICKS)).collect();
    // The fifth frame is shown twice as long, and does not fit.
    assert_eq!(frames, [4, 5, 5, 5, 1]);
}

#[test]
fn a_segment_begins_with_a_sync_sample_and_numbers_grow() {
    let config = audio(48_000, 0);
    let mut writer = ChunkWriter::new(&config, Parts::of(200, 48_000, Some(1024))).unwrap();
    let unsynced = frame(0, 0, false);
    assert!(matches!(writer.push(unsynced.clone(), 3), Err(WriteError::NoSync { number: 3, .. })));
    writer.push(frame(0, 0, true), 3).unwrap();
    let next = Sample { dts_ticks: frame(1, 0, false).dts_ticks, ..unsynced };
    assert!(matches!(writer.push(next, 4), Err(WriteError::NoSync { number: 4, .. })));
    let mut writer = ChunkWriter::new(&config, Parts::of(200, 48_000, Some(1024))).unwrap();
    writer.push(frame(0, 0, true), 3).unwrap();
    assert!(matches!(writer.push(frame(1, 0, true), 2), Err(WriteError::Number { number: 2, previous_number: 3 })));
    let parts = Parts { longest_ticks: 0, frame_ticks: None };
    assert!(matches!(ChunkWriter::new(&config, parts), Err(WriteError::Zero { .. })));
    let writer = ChunkWriter::new(&config, Parts::of(200, 48_000, Some(1024))).unwrap();
    assert!(writer.finish().unwrap().is_empty());
}

/// What a rendition's encoder says of a length is a guess where pictures were lost: what comes behind them says better.
#[test]
fn a_picture_behind_a_hole_is_shown_when_it_is_due() {
    let (config, second) = (video(TIMESCALE, 0), i64::from(TIMESCALE / FRAME_TICKS));
    // Ten frames a part. Two are missing within a part, a second is missing between two, and one comes half a frame early.
    let mut at: Vec<i64> = [0, 1, 2, 5, 6, 7].into_iter().chain((0..8).map(|at| 7 + second + at)).collect();
    at.dedup();
    let mut writer = ChunkWriter::new(&config, Parts::of(340, TIMESCALE, Some(FRAME_TICKS))).unwrap();
    let mut samples: Vec<_> = at.iter().enumerate().map(|(place, at)| (frame(*at, 0, place == 0), 0)).collect();
    let early = samples.last_mut().unwrap();
    (early.0.dts_ticks, early.0.pts_ticks) = (early.0.dts_ticks - 500, early.0.pts_ticks - 500);
    let mut chunks = Vec::new();
    for (sample, number) in &samples {
        chunks.extend(writer.push_timed(sample.clone(), *number).unwrap());
    }
    chunks.extend(writer.end_segment().unwrap());
    for chunk in &chunks {
        assert!(chunk.duration_ticks <= u64::from(10 * FRAME_TICKS), "{} ticks", chunk.duration_ticks);
    }
    let bytes: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.bytes.to_vec()).collect();
    let read = fragments(&bytes);
    let shown: Vec<_> = read.iter().flat_map(|(_, found)| found).map(|found| found.dts_ticks).collect();
    let due: Vec<_> = samples.iter().map(|(sample, _)| sample.dts_ticks).collect();
    assert_eq!(shown, due);
}
