//! Movies of any shape against the naive expansion of [`super::source`], and movies that are broken somewhere.

use flame_cmaf::movie::{Movie, MovieTrack, SegmentPlan};
use proptest::prelude::*;

use super::source::{Expected, Sample, Shown, SizeTable, Source, Stored, Track, avc1, mp4a, track};
use crate::unpack;

/// The bytes of a plan: what a service would send.
fn served(plan: &SegmentPlan, file: &[u8]) -> Vec<u8> {
    let mut bytes = plan.head.to_vec();
    for range in &plan.ranges {
        bytes.extend_from_slice(&file[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()]);
    }
    assert_eq!(bytes.len() as u64, plan.size_bytes);
    assert!(plan.ranges.windows(2).all(|pair| pair[0].end != pair[1].start), "neighbours are merged");
    bytes
}

/// Judges a track by what is served of it.
fn judge(found: &MovieTrack, expected: &Expected, stored: &Stored) {
    let (_, moov) = unpack::init(found.init());
    let elst = moov.trak[0].edts.as_ref().and_then(|edts| edts.elst.as_ref());
    let edit_ticks = elst.map_or(0, |elst| i64::try_from(elst.entries[0].media_time.unwrap()).unwrap());
    assert_eq!(u64::try_from(edit_ticks).unwrap(), found.edit_media_time_ticks());
    assert_eq!(moov.trak[0].mdia.mdhd.timescale, found.timescale);

    let mut decoded_until = None;
    assert_eq!(found.segments().len(), expected.segments.len());
    assert!(found.segment(expected.segments.len()).is_none());
    for (n, (segment, wanted)) in found.segments().zip(&expected.segments).enumerate() {
        let plan = found.segment(n).unwrap();
        assert_eq!(plan.size_bytes, segment.size_bytes);
        let samples = unpack::segment(&served(&plan, &stored.file));
        let shown: Vec<Shown> = samples
            .iter()
            .map(|sample| Shown {
                presented_ticks: sample.pts_ticks - edit_ticks,
                duration_ticks: sample.duration_ticks,
                is_sync: sample.is_sync,
                data: sample.data.clone(),
            })
            .collect();
        assert_eq!(&shown, wanted);
        // Decode times follow each other from segment to segment, and nothing is decoded after it is shown.
        assert!(decoded_until.is_none_or(|ticks| ticks == samples[0].dts_ticks));
        let last = samples.last().unwrap();
        decoded_until = Some(last.dts_ticks + i64::from(last.duration_ticks));
        assert!(samples.iter().all(|sample| sample.pts_ticks >= sample.dts_ticks));

        assert_eq!(segment.time_ticks, u64::try_from(samples[0].pts_ticks).unwrap());
        assert_eq!(segment.samples as usize, samples.len());
        let is_open = samples.iter().any(|sample| sample.pts_ticks < samples[0].pts_ticks);
        assert_eq!(segment.sap, if is_open { 3 } else { 1 });
        let end_ticks = expected.segments.get(n + 1).map_or(expected.end_ticks, |next| next[0].presented_ticks);
        let duration_ticks = (end_ticks - wanted[0].presented_ticks).max(1);
        assert_eq!(segment.duration_ticks, u64::try_from(duration_ticks).unwrap());
    }
    judge_keyframes(found, expected, stored, edit_ticks);
    let figures = found.figures();
    assert_eq!(figures.samples as usize, expected.segments.concat().len());
    let presented: u64 = (0..found.segments().len()).filter_map(|n| found.presented_ticks(n)).sum();
    assert_eq!(figures.duration_ticks, presented);
    let size_bytes: u64 = found.segments().map(|segment| segment.size_bytes).sum();
    assert_eq!(figures.size_bytes, found.init().len() as u64 + size_bytes);
}

fn judge_keyframes(found: &MovieTrack, expected: &Expected, stored: &Stored, edit_ticks: i64) {
    let syncs: Vec<Shown> = expected.segments.concat().into_iter().filter(|sample| sample.is_sync).collect();
    let keyframes: Vec<_> = found.keyframes().collect();
    assert_eq!(keyframes.len(), syncs.len());
    assert!(found.keyframe(u32::try_from(syncs.len()).unwrap()).is_none());
    for (n, (keyframe, sync)) in keyframes.iter().zip(&syncs).enumerate() {
        let plan = found.keyframe(u32::try_from(n).unwrap()).unwrap();
        assert_eq!(plan.size_bytes, keyframe.size_bytes);
        let samples = unpack::segment(&served(&plan, &stored.file));
        assert_eq!((samples.len(), &samples[0].data), (1, &sync.data));
        assert_eq!(samples[0].pts_ticks - edit_ticks, sync.presented_ticks);
        let start_ticks = sync.presented_ticks.max(0);
        let end_ticks = syncs.get(n + 1).map_or(expected.end_ticks, |next| next.presented_ticks).max(0);
        assert_eq!(keyframe.presented_ticks, u64::try_from(start_ticks).unwrap());
        assert_eq!(keyframe.duration_ticks, u64::try_from((end_ticks - start_ticks).max(0)).unwrap());
    }
}

/// Samples with any offsets, so also in orders that no encoder makes.
fn samples(all_sync: bool) -> impl Strategy<Value = Vec<Sample>> {
    let delta = prop_oneof![4 => Just(40_u32), 1 => 0_u32..2000, 1 => 1_u32..4];
    let offset = prop_oneof![3 => 0_i32..3, 1 => -4_i32..60];
    let sync = if all_sync { Just(true).boxed() } else { prop::bool::weighted(0.2).boxed() };
    let scale = prop_oneof![Just(i32::from(!all_sync)), Just(40_i32)];
    let size = prop_oneof![Just(1_usize..16), Just(9_usize..10), Just(0_usize..300)];
    (prop::collection::vec((delta, offset, sync, any::<prop::sample::Index>()), 1..120), scale, size).prop_map(
        |(samples, scale, sizes)| {
            samples
                .into_iter()
                .enumerate()
                .map(|(n, (delta, offset, is_sync, size))| {
                    let length = sizes.start + size.index(sizes.len());
                    let data = (0..length).map(|at| (n * 31 + at * 7) as u8).collect();
                    Sample { delta, offset: offset * scale, is_sync, data }
                })
                .collect()
        },
    )
}

fn edits() -> impl Strategy<Value = Vec<(u64, i64, u32)>> {
    let delay = prop_oneof![2 => Just(None), 1 => (1_u64..9000).prop_map(Some)];
    let real = prop_oneof![2 => Just(None), 3 => (prop_oneof![Just(0_u64), 1_u64..9000], 0_i64..3000).prop_map(Some)];
    (delay, real).prop_map(|(delay, real)| {
        let delay = delay.map(|duration| (duration, -1, 1 << 16));
        let real = real.or(delay.map(|_| (0, 0))).map(|(duration, start)| (duration, start, 1 << 16));
        delay.into_iter().chain(real).collect()
    })
}

fn tracks() -> impl Strategy<Value = Source> {
    let shape = || {
        (
            edits(),
            prop::collection::vec(1_usize..9, 1..4),
            any::<bool>(),
            prop_oneof![Just(1000_u32), Just(12_800), Just(44_100)],
        )
    };
    (samples(false), samples(true), shape(), shape(), prop_oneof![Just(600_u32), Just(1000), Just(90_000)], 0_usize..4)
        .prop_map(|(pictures, sounds, first, second, movie_timescale, sizes)| {
            let tracks = [(1, b"vide", avc1(), pictures, first), (7, b"soun", mp4a(), sounds, second)];
            let tracks = tracks.map(|(id, handler, entry, samples, (edits, chunks, is_wide, timescale))| {
                let longest = samples.iter().map(|sample| sample.data.len()).max().unwrap_or(0);
                let sizes = match sizes {
                    1 if longest < 16 => SizeTable::Stz2(4),
                    2 if longest < 256 => SizeTable::Stz2(8),
                    3 => SizeTable::Stz2(16),
                    _ => SizeTable::Stsz,
                };
                Track { timescale, edits, chunks, is_wide, sizes, ..track(id, handler, entry, samples) }
            });
            Source { movie_timescale, tracks: tracks.into() }
        })
}

/// Asks for everything that can be asked for.
fn exercise(moov: &[u8], file_size_bytes: u64, target_ms: u32) {
    let Ok(movie) = Movie::parse(&moov.to_vec().into(), file_size_bytes, target_ms) else { return };
    for track in &movie.tracks {
        assert!(!format!("{track:?}").is_empty());
        let mut keyframes = 0;
        for (n, segment) in track.segments().enumerate() {
            let plan = track.segment(n).unwrap();
            assert_eq!(plan.size_bytes, segment.size_bytes);
            assert!(segment.duration_ticks > 0 && segment.samples > 0);
            assert!(plan.ranges.iter().all(|range| range.start < range.end && range.end <= file_size_bytes));
            assert!(track.presented_ticks(n).is_some_and(|ticks| ticks <= segment.duration_ticks));
        }
        for keyframe in track.keyframes() {
            assert_eq!(track.keyframe(keyframes).unwrap().size_bytes, keyframe.size_bytes);
            keyframes += 1;
        }
        assert!(track.keyframe(keyframes).is_none());
        let _ = track.figures();
    }
}

proptest! {
    #[test]
    fn every_sample_is_served_once_in_order_and_in_time(source in tracks(), target_ms in 1_u32..5000) {
        let stored = source.write();
        let movie = Movie::parse(&stored.moov, stored.file.len() as u64, target_ms).unwrap();
        let mut found = movie.tracks.iter();
        for track in &source.tracks {
            match track.expected(source.movie_timescale, target_ms) {
                Some(expected) => {
                    let found = found.next().unwrap_or_else(|| panic!("left out: {:?}", movie.left_out));
                    prop_assert_eq!(found.track_id, track.id);
                    judge(found, &expected, &stored);
                }
                None => prop_assert!(movie.left_out.iter().any(|left| left.track_id == track.id)),
            }
        }
        prop_assert!(found.next().is_none());
    }

    #[test]
    fn a_file_that_is_cut_off_leaves_no_track_that_reaches_beyond(source in tracks(), cut in any::<prop::sample::Index>()) {
        let stored = source.write();
        let file_size_bytes = cut.index(stored.file.len()) as u64;
        exercise(&stored.moov, file_size_bytes, 1000);
    }

    #[test]
    fn mutated_boxes_never_panic(
        source in tracks(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![Just(0_u8), Just(1), Just(0xff), Just(0x7f), any::<u8>()]), 1..12),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let stored = source.write();
        let mut moov = stored.moov.to_vec();
        for (at, value) in changes {
            let at = at.index(moov.len());
            moov[at] = value;
        }
        if let Some(cut) = cut {
            moov.truncate(cut.index(moov.len()));
        }
        exercise(&moov, stored.file.len() as u64, 1000);
    }

    #[test]
    fn any_bytes_are_refused_or_served(body in prop::collection::vec(any::<u8>(), 0..300)) {
        exercise(&body, 1 << 40, 4000);
        exercise(&super::source::boxed(b"moov", &[&body]), 1 << 40, 4000);
    }
}
