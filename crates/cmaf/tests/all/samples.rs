//! Samples read back: from our own segments, from fragments as others write them, and from bytes that are neither.

use flame_cmaf::{
    ChunkWriter, Parts, Sample, Segmentation,
    samples::{
        CodecConfig, InitInfo, SampleDefaults, SampleRef, SamplesError, keyframes, samples, single_sample, truncated,
    },
};
use mp4_atom::{Encode, Mfhd, Moof, Tfdt, Tfhd, Traf, Trun, TrunEntry};
use proptest::prelude::*;

use crate::{
    roundtrip::{DEPTH, FRAME_TICKS, pictures},
    unpack::{ASC, AVCC, Found, Written, audio, segment as unpacked, video, write},
};

fn init_of(written: &Written) -> InitInfo {
    let init_size = usize::try_from(written.finished.index.init_size_bytes).unwrap();
    InitInfo::parse(&written.object[..init_size]).unwrap()
}

fn segments_of(written: &Written) -> impl Iterator<Item = &[u8]> {
    written.finished.index.segments.iter().map(|entry| {
        let start = usize::try_from(entry.offset_bytes).unwrap();
        &written.object[start..start + usize::try_from(entry.size_bytes).unwrap()]
    })
}

fn found(segment: &[u8], sample: &SampleRef) -> Found {
    let dts_ticks = i64::try_from(sample.decode_ticks).unwrap();
    Found {
        dts_ticks,
        pts_ticks: dts_ticks + i64::from(sample.composition_offset_ticks),
        duration_ticks: sample.duration_ticks,
        is_sync: sample.is_sync,
        data: segment[sample.range.clone()].to_vec(),
    }
}

fn read(segment: &[u8], init: &InitInfo) -> Vec<Found> {
    samples(segment, init).unwrap().iter().map(|sample| found(segment, sample)).collect()
}

/// A `moof` of these runs, then `mdat` with `data`. Offsets are relative to the data's first byte.
fn fragment(tfhd: Tfhd, time_ticks: u64, runs: &[(Option<i32>, Vec<TrunEntry>)], data: &[u8]) -> Vec<u8> {
    let mut moof = Moof {
        mfhd: Mfhd { sequence_number: 1 },
        traf: vec![Traf {
            tfhd,
            tfdt: Some(Tfdt { base_media_decode_time: time_ticks }),
            trun: runs
                .iter()
                .map(|(data_offset, entries)| Trun { data_offset: *data_offset, samples: entries.clone().into() })
                .collect(),
            ..Traf::default()
        }],
    };
    let mut bytes = Vec::new();
    moof.encode(&mut bytes).unwrap();
    let data_start = i32::try_from(bytes.len() + 8).unwrap();
    for run in &mut moof.traf[0].trun {
        run.data_offset = run.data_offset.map(|offset| offset + data_start);
    }
    bytes.clear();
    moof.encode(&mut bytes).unwrap();
    bytes.extend(u32::try_from(data.len() + 8).unwrap().to_be_bytes());
    bytes.extend(b"mdat");
    bytes.extend_from_slice(data);
    bytes
}

fn sound_init() -> InitInfo {
    InitInfo {
        track_id: 7,
        timescale: 48_000,
        codec: CodecConfig::Aac(ASC.to_vec()),
        width_px: 0,
        height_px: 0,
        edit_media_time_ticks: 0,
        edit_delay_ticks: 0,
        defaults: SampleDefaults { duration_ticks: 1024, size_bytes: 3, flags: 0x0101_0000 },
    }
}

fn tfhd() -> Tfhd {
    Tfhd { track_id: 7, default_base_is_moof: true, ..Tfhd::default() }
}

proptest! {
    #[test]
    fn our_own_segments_are_read_back(pictures in pictures(), ms in 1_u32..20_000) {
        let written = write(&video(90_000, DEPTH * FRAME_TICKS), Segmentation::Interval { ms }, pictures);
        let init = init_of(&written);
        for (n, segment) in segments_of(&written).enumerate() {
            let all = unpacked(segment);
            prop_assert_eq!(read(segment, &init), all.clone());

            let refs = samples(segment, &init).unwrap();
            let keys = keyframes(&refs, &init);
            let sync: Vec<_> = all.iter().filter(|sample| sample.is_sync).collect();
            prop_assert_eq!(keys.len(), sync.len());
            let lasting: i64 = keys.iter().map(|key| i64::from(key.duration_ticks)).sum();
            let durations: i64 = all.iter().map(|sample| i64::from(sample.duration_ticks)).sum();
            let first_ticks = all.iter().map(|sample| sample.pts_ticks).min().unwrap();
            // The segment's end by its durations may lie before its last picture where distances vary.
            if keys.last().unwrap().presented_ticks + init.edit_media_time_ticks < first_ticks + durations {
                prop_assert_eq!(lasting, durations);
            }
            for (key, sync) in keys.iter().zip(sync) {
                let single = single_sample(segment, &init, key, 4).unwrap();
                let mut expected = sync.clone();
                expected.duration_ticks = key.duration_ticks;
                prop_assert_eq!(unpacked(&single), vec![expected]);
                prop_assert_eq!(key.presented_ticks + init.edit_media_time_ticks, sync.pts_ticks);
            }

            // Cut at every presentation time, and just behind.
            for until in all.iter().flat_map(|sample| [sample.pts_ticks, sample.pts_ticks + 1]) {
                let cut = truncated(segment, &init, until - init.edit_media_time_ticks, u32::try_from(n).unwrap());
                let last = all.iter().rposition(|sample| sample.pts_ticks < until);
                match last {
                    None => prop_assert!(cut.is_err_and(|error| error.to_string().starts_with("nothing of the segment"))),
                    Some(last) => prop_assert_eq!(unpacked(&cut.unwrap()), &all[..=last]),
                }
            }
            let whole = truncated(segment, &init, i64::MAX, 0).unwrap();
            prop_assert!(whole == segment, "nothing cut, nothing changed");
        }
    }

    #[test]
    fn live_segments_are_read_back(frames in 1_usize..200, priming in 0_u32..2113) {
        let config = audio(48_000, priming);
        let mut writer = ChunkWriter::new(&config, Parts::of(200, 48_000, Some(1024))).unwrap();
        let init = InitInfo::parse(writer.init()).unwrap();
        let mut chunks = Vec::new();
        for n in 0..frames {
            let ticks = i64::try_from(n).unwrap() * 1024;
            let data = vec![u8::try_from(n).unwrap(); 1 + n].into();
            chunks.extend(writer.push(Sample { dts_ticks: ticks, pts_ticks: ticks, duration_ticks: 1024, is_sync: true, data }, 0).unwrap());
        }
        chunks.extend(writer.finish().unwrap());
        let segment: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.bytes.to_vec()).collect();
        let found = read(&segment, &init);
        prop_assert_eq!(found.len(), frames);
        for (n, sample) in found.iter().enumerate() {
            prop_assert_eq!(sample.dts_ticks, i64::try_from(n).unwrap() * 1024);
            prop_assert_eq!(&sample.data, &vec![u8::try_from(n).unwrap(); 1 + n]);
        }
    }

    #[test]
    fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = InitInfo::parse(&bytes);
        let _ = samples(&bytes, &sound_init());
    }

    #[test]
    fn damaged_boxes_are_refused_or_read(
        pictures in pictures(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![Just(0), Just(255), any::<u8>()]), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let written = write(&video(90_000, DEPTH * FRAME_TICKS), Segmentation::OnCall, pictures);
        let init = init_of(&written);
        let init_size = usize::try_from(written.finished.index.init_size_bytes).unwrap();
        let damage = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            for (place, value) in &changes {
                let place = place.index(bytes.len());
                bytes[place] = *value;
            }
            bytes
        };
        let _ = InitInfo::parse(&damage(&written.object[..init_size]));
        let whole = &written.object[init_size..];
        for segment in [damage(whole), whole[..cut.index(whole.len())].to_vec()] {
            if let Ok(found) = samples(&segment, &init) {
                prop_assert!(found.iter().all(|sample| !sample.range.is_empty() && sample.range.end <= segment.len()));
                prop_assert!(found.windows(2).all(|pair| pair[0].range.end <= pair[1].range.start));
                for key in keyframes(&found, &init) {
                    single_sample(&segment, &init, &key, 0).unwrap();
                }
                let _ = truncated(&segment, &init, init.presented_ticks(&found[0]) + 1, 0).unwrap();
            }
        }
        // Cut off anywhere but at its beginning, it is no segment.
        prop_assert!(samples(&whole[..1 + cut.index(whole.len() - 1)], &init).is_err());
    }
}

#[test]
fn init_segments_say_what_the_writer_meant() {
    let sample = || Sample { dts_ticks: 0, pts_ticks: 0, duration_ticks: 1, is_sync: true, data: vec![1].into() };
    let pictures = init_of(&write(&video(30_000, 2002), Segmentation::OnCall, vec![sample()]));
    assert_eq!(pictures.codec, CodecConfig::Avc(AVCC.to_vec()));
    assert_eq!((pictures.track_id, pictures.timescale), (1, 30_000));
    assert_eq!((pictures.width_px, pictures.height_px, pictures.edit_media_time_ticks), (320, 180, 2002));
    let sound = init_of(&write(&audio(44_100, 1024), Segmentation::OnCall, vec![sample()]));
    assert_eq!(sound.codec, CodecConfig::Aac(ASC.to_vec()));
    assert_eq!((sound.width_px, sound.edit_media_time_ticks, sound.edit_delay_ticks), (0, 1024, 0));
}

#[test]
fn defaults_come_from_trun_then_tfhd_then_trex() {
    let init = sound_init();
    let entry = |duration, size, flags, cts| TrunEntry { duration, size, flags, cts };
    // Two runs, the second right behind the first because it does not say where; then a fragment with less said.
    let runs = [
        (Some(1), vec![entry(Some(5), Some(2), Some(0x0200_0000), Some(-4)); 2]),
        (None, vec![entry(None, Some(1), None, None)]),
    ];
    let first = fragment(Tfhd { default_sample_duration: Some(9), ..tfhd() }, 100, &runs, b"xaabbc");
    let second = fragment(tfhd(), 200, &[(Some(0), vec![entry(None, None, None, None); 2])], b"dddeee");
    let segment = [first, second].concat();
    let expected = |dts_ticks, pts_ticks, duration_ticks, is_sync, data: &[u8]| Found {
        dts_ticks,
        pts_ticks,
        duration_ticks,
        is_sync,
        data: data.to_vec(),
    };
    assert_eq!(
        read(&segment, &init),
        [
            expected(100, 96, 5, true, b"aa"),
            expected(105, 101, 5, true, b"bb"),
            expected(110, 110, 9, false, b"c"),
            expected(200, 200, 1024, false, b"ddd"),
            expected(1224, 1224, 1024, false, b"eee"),
        ]
    );
    // One fragment is made of what is left, with the gap between them as a duration; the track keeps its number.
    let cut = truncated(&segment, &init, 201, 0).unwrap();
    let kept = read(&cut, &init);
    assert_eq!((kept.len(), kept[2].duration_ticks, kept[3].dts_ticks), (4, 90, 200));
}

#[test]
fn lies_about_data_are_refused() {
    let init = sound_init();
    let entry = |size| TrunEntry { size: Some(size), ..TrunEntry::default() };
    let refused = |runs: &[(Option<i32>, Vec<TrunEntry>)], data: &[u8]| {
        samples(&fragment(tfhd(), 0, runs, data), &init).unwrap_err()
    };
    // Beyond the end; in front of the data; empty; twice the same; backwards.
    for runs in [
        vec![(Some(0), vec![entry(7)])],
        vec![(Some(-1), vec![entry(1)])],
        vec![(Some(0), vec![entry(0)])],
        vec![(Some(0), vec![entry(4)]), (Some(2), vec![entry(2)])],
        vec![(Some(7), vec![])],
        vec![(Some(i32::MIN / 2), vec![entry(1)])],
    ] {
        let error = refused(&runs, b"aabbcc");
        assert!(matches!(error, SamplesError::OutsideData { .. }), "{runs:?}: {error}");
    }
    let whole = fragment(tfhd(), 5, &[(Some(0), vec![entry(6)])], b"aabbcc");
    assert!(samples(&whole, &init).is_ok());
    let other = InitInfo { track_id: 8, ..init.clone() };
    assert!(matches!(samples(&whole, &other), Err(SamplesError::OtherTrack { track_id: 7, expected_id: 8 })));
    let back = [whole.clone(), fragment(tfhd(), 4, &[(Some(0), vec![entry(6)])], b"aabbcc")].concat();
    assert!(matches!(samples(&back, &init), Err(SamplesError::Time)));
    let absolute = Tfhd { base_data_offset: Some(0), default_base_is_moof: false, ..tfhd() };
    let absolute = fragment(absolute, 0, &[(Some(0), vec![entry(6)])], b"aabbcc");
    assert!(matches!(samples(&absolute, &init), Err(SamplesError::AbsoluteOffset)));
    assert!(matches!(samples(b"", &init), Err(SamplesError::Missing { .. })));
    // A count that nothing backs: 2^32 - 1 samples of the default size.
    let mut many = fragment(tfhd(), 0, &[(Some(0), vec![TrunEntry::default(); 2])], b"aaabbb");
    let trun = many.windows(4).position(|kind| kind == b"trun").unwrap();
    many[trun + 8..trun + 12].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(matches!(samples(&many, &init), Err(SamplesError::OutsideData { number: 2 })));
}
