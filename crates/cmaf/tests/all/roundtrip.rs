//! Any samples: write, read the boxes again, and find the same samples at the same times.

use flame_cmaf::{Sample, Segmentation, TrackIndex, timing::DecodeClock};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use crate::unpack::{Found, Written, audio, init, segment, video, write};

/// How far [`pictures`] reorders, and its nominal distance of two pictures.
pub const DEPTH: u32 = 1;
pub const FRAME_TICKS: u32 = 3000;

/// Pictures in decode order: GOPs of some length, reordered within, with any distances between them.
pub fn pictures() -> impl Strategy<Value = Vec<Sample>> {
    let gop = (1_usize..9, any::<bool>(), prop::collection::vec(1_i64..400_000, 8));
    (prop::collection::vec(gop, 1..12), 0_i64..1_000_000, 1_u32..100_000, 1_usize..40).prop_map(
        |(gops, start_ticks, last_ticks, size)| {
            let mut clock_ticks = start_ticks;
            let mut pts = Vec::new();
            let mut sync = Vec::new();
            for (length, reordered, distances) in gops {
                let mut shown: Vec<i64> = (0..length)
                    .map(|n| {
                        let now_ticks = clock_ticks;
                        clock_ticks += distances[n];
                        now_ticks
                    })
                    .collect();
                // Decode order I P b b P b b: each third picture comes before the two that it is shown after.
                if reordered {
                    shown[1..].chunks_exact_mut(3).for_each(|group| group.rotate_right(1));
                }
                sync.extend((0..length).map(|n| n == 0));
                pts.extend(shown);
            }
            let times = DecodeClock::new(DEPTH, FRAME_TICKS).pass_gop(&pts).unwrap();
            (0..times.len())
                .map(|n| Sample {
                    dts_ticks: times[n].dts_ticks,
                    pts_ticks: times[n].pts_ticks,
                    duration_ticks: last_ticks,
                    is_sync: sync[n],
                    data: vec![u8::try_from(n % 251).unwrap(); size + n % 7].into(),
                })
                .collect()
        },
    )
}

/// What a reader should find: durations are the distances, but for the last sample.
fn expected(samples: &[Sample]) -> Vec<Found> {
    samples
        .iter()
        .enumerate()
        .map(|(n, sample)| Found {
            dts_ticks: sample.dts_ticks,
            pts_ticks: sample.pts_ticks,
            duration_ticks: samples
                .get(n + 1)
                .map_or(sample.duration_ticks, |next| u32::try_from(next.dts_ticks - sample.dts_ticks).unwrap()),
            is_sync: sample.is_sync,
            data: sample.data.to_vec(),
        })
        .collect()
}

/// Every segment, cut out of the object by the index alone.
fn read(written: &Written) -> Vec<Vec<Found>> {
    let index = TrackIndex::from_json(&written.finished.index.to_json()).unwrap();
    assert_eq!(index, written.finished.index);
    assert_eq!(index.object_size_bytes(), written.object.len() as u64);
    let init_size = usize::try_from(index.init_size_bytes).unwrap();
    assert_eq!(index.init_sha256, hex::encode(Sha256::digest(&written.object[..init_size])));
    index
        .segments
        .iter()
        .map(|entry| {
            let start = usize::try_from(entry.offset_bytes).unwrap();
            let bytes = &written.object[start..start + usize::try_from(entry.size_bytes).unwrap()];
            assert_eq!(entry.sha256, hex::encode(Sha256::digest(bytes)));
            let samples = segment(bytes);
            assert_eq!(entry.samples as usize, samples.len());
            assert_eq!(entry.time_ticks, u64::try_from(samples[0].pts_ticks).unwrap());
            assert_eq!(samples.iter().map(|s| s.pts_ticks).min(), Some(samples[0].pts_ticks));
            assert!(samples[0].is_sync);
            assert_eq!(entry.sap, 1);
            samples
        })
        .collect()
}

proptest! {
    #[test]
    fn pictures_survive(samples in pictures(), ms in 1_u32..20_000) {
        let written = write(&video(90_000, DEPTH * FRAME_TICKS), Segmentation::Interval { ms }, samples.clone());
        let segments = read(&written);
        prop_assert_eq!(segments.concat(), expected(&samples));
        prop_assert_eq!(written.finished.figures.samples, samples.len() as u64);

        let presented: u64 = (0..segments.len()).filter_map(|n| written.finished.index.presented_ticks(n)).sum();
        let first_ticks = samples.iter().map(|s| s.pts_ticks).min().unwrap();
        let last = samples.iter().max_by_key(|s| s.pts_ticks).unwrap();
        let end_ticks = last.pts_ticks + i64::from(last.duration_ticks);
        prop_assert_eq!(presented, u64::try_from(end_ticks - first_ticks).unwrap());

        // A segment is as short as its sync samples allow: a sync sample in a later interval opens another.
        let interval = |ticks: i64| (ticks - i64::from(DEPTH * FRAME_TICKS)) * 1000 / (90_000 * i64::from(ms));
        for found in &segments {
            let first = interval(found[0].pts_ticks);
            prop_assert!(found.iter().skip(1).filter(|s| s.is_sync).all(|s| interval(s.pts_ticks) == first));
        }
    }

    #[test]
    fn sound_survives(frames in 1_usize..400, start_frames in 0_i64..50, priming in 0_u32..2113, last_ticks in 1_u32..1025) {
        let samples: Vec<Sample> = (0..frames)
            .map(|n| {
                let ticks = (start_frames + i64::try_from(n).unwrap()) * 1024;
                Sample {
                    dts_ticks: ticks,
                    pts_ticks: ticks,
                    duration_ticks: if n + 1 == frames { last_ticks } else { 1024 },
                    is_sync: true,
                    data: vec![7; 1 + n % 300].into(),
                }
            })
            .collect();
        let written = write(&audio(48_000, priming), Segmentation::Interval { ms: 1000 }, samples.clone());
        let segments = read(&written);
        prop_assert_eq!(segments.concat(), expected(&samples));
        // Cut at the first access unit heard at or after each second.
        for found in &segments[1..] {
            let heard_ticks = found[0].pts_ticks - i64::from(priming);
            prop_assert!(heard_ticks % 48_000 < 1024, "cut at {}", heard_ticks);
        }
        let (_, moov) = init(&written.object);
        let edit = moov.trak[0].edts.as_ref().map(|edts| edts.elst.as_ref().unwrap().entries[0].media_time);
        prop_assert_eq!(edit, (priming > 0).then_some(Some(u64::from(priming))));
    }
}

#[test]
fn init_describes_the_track() {
    let sample = |is_sync| Sample { dts_ticks: 0, pts_ticks: 0, duration_ticks: 1, is_sync, data: vec![1].into() };
    let pictures = write(&video(30_000, 0), Segmentation::OnCall, vec![sample(true)]);
    let (ftyp, moov) = init(&pictures.object);
    assert_eq!(ftyp.major_brand.to_string(), "cmfc");
    assert!(ftyp.compatible_brands.iter().any(|brand| brand.to_string() == "cmf2"));
    assert_eq!((moov.mvhd.timescale, moov.mvhd.duration), (30_000, 0));
    assert_eq!(moov.mvex.unwrap().trex.len(), 1);
    let trak = &moov.trak[0];
    assert_eq!((trak.tkhd.width.integer(), trak.tkhd.height.integer()), (320, 180));
    assert!(trak.edts.is_none());
    let mp4_atom::Codec::Avc1(avc1) = &trak.mdia.minf.stbl.stsd.codecs[0] else { panic!("avc1") };
    let mut record = Vec::new();
    mp4_atom::Encode::encode(&avc1.avcc, &mut record).unwrap();
    assert_eq!(&record[8..], crate::unpack::AVCC, "the record is stored as it came");
    assert_eq!(pictures.finished.index.codec, "avc1.64000d");

    let sound = write(&audio(44_100, 1024), Segmentation::OnCall, vec![sample(true)]);
    let (ftyp, moov) = init(&sound.object);
    assert!(!ftyp.compatible_brands.iter().any(|brand| brand.to_string() == "cmf2"));
    assert_eq!(moov.trak[0].mdia.mdhd.language, "eng");
    let mp4_atom::Codec::Mp4a(mp4a) = &moov.trak[0].mdia.minf.stbl.stsd.codecs[0] else { panic!("mp4a") };
    assert_eq!(mp4a.esds.es_desc.dec_config.dec_specific.as_ref().unwrap().raw, crate::unpack::ASC);
    assert_eq!(sound.finished.index.codec, "mp4a.40.2");
    assert_eq!(sound.finished.index.edit_media_time_ticks, 1024);
}
