//! Transport streams, taken apart again: the same samples at the same times, whatever they are.

use flame_cmaf::{
    Sample, Segmentation, TrackConfig,
    samples::{CodecConfig, InitInfo, samples},
    ts::{self, TsError},
};
use proptest::prelude::*;

use crate::{
    demux::Demuxed,
    roundtrip::{DEPTH, FRAME_TICKS, pictures},
    unpack::{ASC, Written, audio, video, write},
};

pub const SIZE_MAX_BYTES: usize = 64 << 20;
pub const SPS: &[u8] = &[0x67, 0x64, 0x00, 0x0d];
pub const PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb];
/// 100 ms of 27 MHz.
const INTERVAL_TICKS: u64 = 2_700_000;

pub fn init_of(written: &Written) -> InitInfo {
    let init_size = usize::try_from(written.finished.index.init_size_bytes).unwrap();
    InitInfo::parse(&written.object[..init_size]).unwrap()
}

pub fn segments_of(written: &Written) -> impl Iterator<Item = &[u8]> {
    written.finished.index.segments.iter().map(|entry| {
        let start = usize::try_from(entry.offset_bytes).unwrap();
        &written.object[start..start + usize::try_from(entry.size_bytes).unwrap()]
    })
}

/// Muxes each segment by itself and plays all in a row. What must hold for each is checked here.
fn play<'a>(init: &InitInfo, segments: impl Iterator<Item = &'a [u8]>) -> Demuxed {
    let mut all = Demuxed::default();
    for segment in segments {
        let stream = ts::segment(init, segment, SIZE_MAX_BYTES).unwrap();
        let mut alone = Demuxed::default();
        alone.feed(&stream);
        let alone = alone.end();
        assert_eq!(alone.payload_packets % 16, 0, "the next segment begins at counter 0");
        assert_eq!(stream[..188][3] & 15, 0);
        // With a header and at most five clock references each, packets are full but for the last of each unit.
        let fewest: usize = alone.pes.iter().map(|pes| (pes.data.len() + 19 + 5 * 8).div_ceil(184)).sum();
        assert!(alone.payload_packets <= fewest + 15, "{} for {fewest}", alone.payload_packets);
        assert_eq!(alone.packets, 2 + alone.payload_packets + alone.clock_packets);
        all.feed(&stream);
    }
    all.end()
}

/// ISO/IEC 13818-1 sections 2.4.3.6 and 2.7.2; all times of one stream, in a row.
fn check_clocks(found: &Demuxed) {
    let wrap = 300 << 33;
    for pair in found.clocks.windows(2) {
        let distance = (pair[1] + wrap - pair[0]) % wrap;
        assert!(distance <= INTERVAL_TICKS, "clock references {distance} apart");
    }
    for pes in &found.pes {
        let early = (pes.dts * 300 + wrap - pes.clock_at_end) % wrap;
        assert!(early <= 27_000_000, "data arrive {early} before they are decoded, at most a second");
        assert!(((pes.pts + (1 << 33)) - pes.dts) % (1 << 33) < 1 << 32, "shown before decoded");
    }
}

pub fn stamp(ticks: i64, timescale: i64) -> u64 {
    let nearest = (i128::from(ticks) * 180_000 + i128::from(timescale)).div_euclid(2 * i128::from(timescale));
    u64::try_from((nearest + 900_000).rem_euclid(1 << 33)).unwrap()
}

/// Units with a four-byte length each. No two zeros within, as emulation prevention sees to.
pub fn sample_of(units: &[Vec<u8>]) -> Vec<u8> {
    units.iter().flat_map(|unit| [&u32::try_from(unit.len()).unwrap().to_be_bytes()[..], unit].concat()).collect()
}

fn units_of(annex_b: &[u8]) -> Vec<Vec<u8>> {
    let mut units: Vec<Vec<u8>> = Vec::new();
    let mut rest = annex_b;
    while let Some((byte, behind)) = rest.split_first() {
        if let Some(unit) = rest.strip_prefix(&[0, 0, 0, 1]).or_else(|| rest.strip_prefix(&[0, 0, 1])) {
            units.push(Vec::new());
            rest = unit;
        } else {
            units.last_mut().expect("a start code comes first").push(*byte);
            rest = behind;
        }
    }
    units
}

pub fn units() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let kind = prop_oneof![Just(0x41_u8), Just(0x65), Just(0x06), Just(0x09), Just(0x67), Just(0x68)];
    let unit = (kind, prop_oneof![4 => 0_usize..40, 2 => 0_usize..1200, 1 => 0_usize..20_000], 1_u8..=255, 0_u8..8);
    prop::collection::vec(unit, 1..5).prop_map(|units| {
        units
            .into_iter()
            .map(
                |(kind, size, fill, empty)| {
                    if empty == 0 { Vec::new() } else { [vec![kind], vec![fill; size]].concat() }
                },
            )
            .collect()
    })
}

fn expected_units(units: &[Vec<u8>], is_sync: bool) -> Vec<Vec<u8>> {
    let has = |kind: u8| units.iter().any(|unit| unit.first() == Some(&kind));
    let mut expected = vec![vec![0x09, 0xf0]];
    if is_sync && !(has(0x67) && has(0x68)) {
        expected.extend([SPS.to_vec(), PPS.to_vec()]);
    }
    expected.extend(units.iter().filter(|unit| !unit.is_empty() && unit[0] != 0x09).cloned());
    expected
}

pub fn write_pictures(config: &TrackConfig, mut pictures: Vec<Sample>, units: &[Vec<Vec<u8>>], ms: u32) -> Written {
    for (n, picture) in pictures.iter_mut().enumerate() {
        picture.data = sample_of(&units[n % units.len()]).into();
    }
    write(config, Segmentation::Interval { ms }, pictures)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn pictures_survive(
        pictures in pictures(),
        units in prop::collection::vec(units(), 1..10),
        ms in 1_u32..20_000,
        // Far enough to pass the 33 bits now and then.
        later_ticks in prop_oneof![Just(0_i64), 0_i64..1 << 34, (1_i64 << 33) - 2_000_000..1 << 33],
    ) {
        let mut pictures = pictures;
        for picture in &mut pictures {
            picture.dts_ticks += later_ticks;
            picture.pts_ticks += later_ticks;
        }
        let edit_ticks = DEPTH * FRAME_TICKS;
        let written = write_pictures(&video(90_000, edit_ticks), pictures.clone(), &units, ms);
        let init = init_of(&written);
        prop_assert_eq!(init.edit_media_time_ticks, i64::from(edit_ticks));
        let found = play(&init, segments_of(&written));
        check_clocks(&found);
        prop_assert_eq!((found.stream_type, &found.registration), (0x1b, &None));
        prop_assert_eq!(found.pes.len(), pictures.len());
        for (n, (pes, picture)) in found.pes.iter().zip(&pictures).enumerate() {
            prop_assert_eq!(pes.stream_id, 0xe0);
            prop_assert_eq!(pes.pts, stamp(picture.pts_ticks - i64::from(edit_ticks), 90_000));
            prop_assert_eq!(pes.dts, stamp(picture.dts_ticks - i64::from(edit_ticks), 90_000));
            prop_assert_eq!(pes.is_random_access, picture.is_sync);
            prop_assert_eq!(units_of(&pes.data), expected_units(&units[n % units.len()], picture.is_sync));
        }
    }

    #[test]
    fn sound_survives(
        frames in 1_usize..600,
        start_frames in 0_i64..1 << 30,
        priming in 0_u32..2113,
        size in prop_oneof![1_usize..20, 1_usize..1500, Just(8000)],
        sample_rate_hz in prop_oneof![Just(48_000_u32), Just(44_100), Just(8_000)],
        ms in 100_u32..8_000,
    ) {
        let sounds: Vec<Sample> = (0..frames)
            .map(|n| {
                let ticks = (start_frames + i64::try_from(n).unwrap()) * 1024;
                let data = vec![u8::try_from(n % 256).unwrap(); 1 + (size + n) % size.max(2)].into();
                Sample { dts_ticks: ticks, pts_ticks: ticks, duration_ticks: 1024, is_sync: true, data }
            })
            .collect();
        let written = write(&audio(sample_rate_hz, priming), Segmentation::Interval { ms }, sounds.clone());
        let found = play(&init_of(&written), segments_of(&written));
        check_clocks(&found);
        prop_assert_eq!((found.stream_type, &found.registration), (0x0f, &None));
        let mut n = 0;
        for pes in &found.pes {
            prop_assert_eq!((pes.stream_id, pes.is_random_access, pes.dts), (0xc0, true, pes.pts));
            let heard_ticks = sounds[n].pts_ticks - i64::from(priming);
            prop_assert_eq!(pes.pts, stamp(heard_ticks, sample_rate_hz.into()));
            let mut rest = pes.data.as_slice();
            let first = n;
            while !rest.is_empty() {
                let length = usize::from(rest[3] & 3) << 11 | usize::from(rest[4]) << 3 | usize::from(rest[5] >> 5);
                prop_assert_eq!(&rest[..3], &[0xff, 0xf1, 0x4c]);
                prop_assert_eq!(&rest[7..length], &sounds[n].data[..]);
                rest = &rest[length..];
                n += 1;
            }
            let frames = u64::try_from(n - first).unwrap();
            prop_assert!(frames == 1 || frames * 1024 * 10 <= u64::from(sample_rate_hz), "at most 100 ms");
        }
        prop_assert_eq!(n, frames);
    }

    #[test]
    fn survives_any_segment(
        pictures in pictures(),
        ms in 1_u32..20_000,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let units = [vec![vec![0x41; 9]]];
        let written = write_pictures(&video(90_000, DEPTH * FRAME_TICKS), pictures, &units, ms);
        let init = init_of(&written);
        let mut segment = segments_of(&written).next().unwrap().to_vec();
        for (place, value) in changes {
            let place = place.index(segment.len());
            segment[place] = value;
        }
        if let Ok(stream) = ts::segment(&init, &segment, 1 << 20) {
            prop_assert!(stream.len() <= 1 << 20);
        }
    }

    #[test]
    fn survives_any_record(record in prop::collection::vec(any::<u8>(), 0..80), first in 0_u8..3, kind in 0_usize..3) {
        let written = write(&audio(48_000, 0), Segmentation::OnCall, vec![sound(0, vec![0, 0, 0, 2, 0x65, 1])]);
        let record = [vec![first], record].concat();
        let codec = [CodecConfig::Avc(record.clone()), CodecConfig::Hevc(record.clone()), CodecConfig::Aac(record)];
        let init = InitInfo { codec: codec[kind].clone(), ..init_of(&written) };
        let _ = ts::segment(&init, segments_of(&written).next().unwrap(), SIZE_MAX_BYTES);
    }
}

fn sound(ticks: i64, data: Vec<u8>) -> Sample {
    Sample { dts_ticks: ticks, pts_ticks: ticks, duration_ticks: 1024, is_sync: true, data: data.into() }
}

#[test]
fn dolby_and_h265_are_told_by_type_and_registration() {
    let written = write(&audio(48_000, 0), Segmentation::OnCall, vec![sound(0, vec![0x0b, 0x77, 1, 2, 3])]);
    let init = init_of(&written);
    let of = |codec| play(&InitInfo { codec, ..init.clone() }, segments_of(&written));
    for (codec, stream_type, registration) in
        [(CodecConfig::Ac3(vec![]), 0x81, b"AC-3"), (CodecConfig::Eac3(vec![]), 0x87, b"EAC3")]
    {
        let found = of(codec);
        assert_eq!((found.stream_type, found.registration.as_deref()), (stream_type, Some(&registration[..])));
        assert_eq!((found.pes[0].stream_id, &found.pes[0].data[..]), (0xbd, &[0x0b, 0x77, 1, 2, 3][..]));
    }

    // A record with one set of each kind, a name of the encoder and a mastering display.
    let sets: [&[u8]; 5] = [&[0x40, 1, 7], &[0x42, 1, 8], &[0x44, 1, 9], &[0x4e, 1, 5, 3], &[0x4e, 1, 137, 3]];
    let mut record = [&[1][..], &[0; 20], &[0xff, 5]].concat();
    for set in sets {
        record.extend([set[0] >> 1, 0, 1, 0, u8::try_from(set.len()).unwrap()]);
        record.extend_from_slice(set);
    }
    let idr = vec![0x26, 1, 5];
    let written = write(&audio(48_000, 0), Segmentation::OnCall, vec![sound(0, sample_of(std::slice::from_ref(&idr)))]);
    let found = play(&InitInfo { codec: CodecConfig::Hevc(record), ..init_of(&written) }, segments_of(&written));
    assert_eq!((found.stream_type, found.registration.as_deref()), (0x24, Some(&b"HEVC"[..])));
    let expected = [&[0x46, 1, 0x50], sets[0], sets[1], sets[2], sets[4], &idr[..]];
    assert_eq!(units_of(&found.pes[0].data), expected);
}

#[test]
fn signed_offsets_move_all_decode_times_alike() {
    // `libx264 -bf 2`, 320x180: its sequence parameter set says that two pictures are reordered at most.
    const AVCC: &str = "0164000cffe1001a6764000cacd941419f9f011000000300100000030320f142996001000668ebe3cb22c0fdf8f800";
    let record = hex::decode(AVCC).unwrap();
    let picture = |dts_ticks: i64, pts_ticks: i64, is_sync| Sample {
        dts_ticks,
        pts_ticks,
        duration_ticks: 3000,
        is_sync,
        data: sample_of(&[vec![0x41, 1]]).into(),
    };
    // I B b b with negative offsets, then a GOP without any.
    let times = [(0, 0), (1, 4), (2, 2), (3, 1), (4, 3), (5, 5), (6, 6)];
    let pictures = times.iter().map(|&(dts, pts)| picture(dts * 3000, pts * 3000, pts % 5 == 0)).collect();
    let written = write(&video(90_000, 0), Segmentation::Interval { ms: 160 }, pictures);
    assert_eq!(written.finished.index.segments.len(), 2);
    let init = InitInfo { codec: CodecConfig::Avc(record), ..init_of(&written) };
    let found = play(&init, segments_of(&written));
    check_clocks(&found);
    let stamps: Vec<_> = found.pes.iter().map(|pes| (pes.dts, pes.pts)).collect();
    let moved = |time: i64| stamp(time * 3000, 90_000);
    assert_eq!(stamps, times.map(|(dts, pts)| (moved(dts - 2), moved(pts))));
}

#[test]
fn refuses_what_it_cannot_carry() {
    let written = write(&audio(48_000, 0), Segmentation::OnCall, vec![sound(0, vec![1; 8185])]);
    let (init, segment) = (init_of(&written), segments_of(&written).next().unwrap());
    assert_eq!(init.codec, CodecConfig::Aac(ASC.to_vec()));
    let of = |codec, limit| ts::segment(&InitInfo { codec, ..init.clone() }, segment, limit).unwrap_err();
    assert!(matches!(of(CodecConfig::Aac(ASC.to_vec()), SIZE_MAX_BYTES), TsError::Sample { number: 0, .. }));
    assert!(matches!(of(CodecConfig::Opus(vec![]), SIZE_MAX_BYTES), TsError::Codec { .. }));
    assert!(matches!(of(CodecConfig::Aac(vec![0xf9, 0x46, 0x40]), SIZE_MAX_BYTES), TsError::Configuration { .. }));
    assert!(matches!(of(CodecConfig::Ac3(vec![]), segment.len() - 1), TsError::TooLarge { .. }));
    // It fits, what is made of it does not.
    assert!(matches!(of(CodecConfig::Ac3(vec![]), segment.len()), TsError::TooLarge { .. }));
    let slow = InitInfo { timescale: 1, ..init.clone() };
    assert!(matches!(ts::segment(&slow, segment, SIZE_MAX_BYTES).unwrap_err(), TsError::TooLong { .. }));
    assert_eq!(samples(segment, &init).unwrap().len(), 1);
}
