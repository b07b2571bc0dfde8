//! Transport streams read again: those that we write, those that a small muxer here writes as others do, and both damaged.

use flame_cmaf::ts::reader::{Kind, TsEvent, TsReader};
use flame_cmaf::ts::{self};
use flame_cmaf::{Sample, Segmentation};
use proptest::prelude::*;

use crate::roundtrip::{DEPTH, FRAME_TICKS, pictures};
use crate::ts::{PPS, SIZE_MAX_BYTES, SPS, init_of, sample_of, segments_of, stamp, units, write_pictures};
use crate::unpack::{ASC, audio, video, write};

const PACKET: usize = 188;
const UNIT_MAX_BYTES: usize = 1 << 20;
const MAP_PID: u16 = 0x1000;
const PICTURES_PID: u16 = 0x100;
const SOUND_PID: u16 = 0x101;

/// What is read, in pieces of this size.
fn read(stream: &[u8], piece: usize, is_finished: bool) -> (Vec<TsEvent>, u64) {
    let (mut reader, mut events) = (TsReader::new(UNIT_MAX_BYTES), Vec::new());
    stream.chunks(piece).for_each(|piece| reader.push(piece, &mut events));
    if is_finished {
        reader.finish(&mut events);
    }
    (events, reader.faults())
}

fn media(events: Vec<TsEvent>, of: Kind) -> Vec<(u64, i32, Vec<u8>)> {
    let media = events.into_iter().filter_map(|event| match event {
        TsEvent::Media { kind, time_ticks, composition_ticks, data } if kind == of => {
            Some((time_ticks, composition_ticks, data.to_vec()))
        }
        _ => None,
    });
    media.collect()
}

/// What should be read of pictures of these units, without their times.
fn expected(units: &[Vec<u8>]) -> Option<Vec<u8>> {
    let has = |unit: &&Vec<u8>, kinds: &[u8]| unit.first().is_some_and(|first| kinds.contains(first));
    let kept: Vec<Vec<u8>> = units.iter().filter(|unit| has(unit, &[0x41, 0x65, 0x06])).cloned().collect();
    kept.iter().any(|unit| has(&unit, &[0x41, 0x65])).then(|| sample_of(&kept))
}

// === a small muxer ===

/// Packets of one PID, its payload cut where they end.
fn packets(pid: u16, counter: &mut u8, payload: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    for (n, part) in payload.chunks(PACKET - 4).enumerate() {
        let [high, low] = (pid | if n == 0 { 0x4000 } else { 0 }).to_be_bytes();
        let stuffing = PACKET - 4 - part.len();
        stream.extend([0x47, high, low, if stuffing > 0 { 0x30 } else { 0x10 } | *counter]);
        if stuffing > 0 {
            stream.push(u8::try_from(stuffing - 1).unwrap());
            stream.extend([&[0][..], &[0xff; PACKET]].concat()[..stuffing - 1].iter());
        }
        stream.extend(part);
        *counter = (*counter + 1) & 0x0f;
    }
    stream
}

fn crc32(octets: &[u8]) -> u32 {
    let polynomial = |crc: u32| (0..8).fold(crc, |crc, _| (crc << 1) ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 });
    octets.iter().fold(u32::MAX, |crc, octet| polynomial(crc ^ u32::from(*octet) << 24))
}

fn section(table: u8, number: u16, version: u8, body: &[u8]) -> Vec<u8> {
    let [high, low] = (0xb000 | u16::try_from(body.len() + 9).unwrap()).to_be_bytes();
    let [number_high, number_low] = number.to_be_bytes();
    let mut section = vec![table, high, low, number_high, number_low, 0xc1 | version << 1, 0, 0];
    section.extend(body);
    section.extend(crc32(&section).to_be_bytes());
    section
}

fn field(pid: u16) -> [u8; 2] {
    (0xe000 | pid).to_be_bytes()
}

/// PAT and PMT of one program with these streams; what fills a packet is 0xff, not an adaptation field.
fn tables(counters: &mut [u8; 2], version: u8, streams: &[(u8, u16)]) -> Vec<u8> {
    let pat = section(0, 1, version, &[&[0, 1][..], &field(MAP_PID)].concat());
    let streams: Vec<u8> =
        streams.iter().flat_map(|(kind, pid)| [&[*kind][..], &field(*pid), &[0xf0, 2, 0x52, 0]].concat()).collect();
    let pmt = section(2, 1, version, &[&field(PICTURES_PID)[..], &[0xf0, 0], &streams].concat());
    let mut filled = |pid, section: Vec<u8>, n: usize| {
        let mut payload = [&[0][..], &section].concat();
        payload.resize((PACKET - 4) * payload.len().div_ceil(PACKET - 4), 0xff);
        packets(pid, &mut counters[n], &payload)
    };
    [filled(0, pat, 0), filled(MAP_PID, pmt, 1)].concat()
}

fn pes(stream: u8, times: Option<(u64, u64)>, has_length: bool, data: &[u8]) -> Vec<u8> {
    let put = |prefix: u64, time: u64| {
        let parts = (time >> 30 & 7) << 33 | (time >> 15 & 0x7fff) << 17 | (time & 0x7fff) << 1;
        (prefix << 36 | parts | 0x1_0001_0001).to_be_bytes()[3..].to_vec()
    };
    let fields = times.map_or(Vec::new(), |(shown, decoded)| [put(3, shown), put(1, decoded)].concat());
    let length = if has_length { u16::try_from(3 + fields.len() + data.len()).unwrap() } else { 0 };
    let [high, low] = length.to_be_bytes();
    let flags = if times.is_some() { 0xc0 } else { 0 };
    [&[0, 0, 1, stream, high, low, 0x80, flags, u8::try_from(fields.len()).unwrap()][..], &fields, data].concat()
}

fn adts(data: &[u8]) -> Vec<u8> {
    let length = data.len() + 7;
    let header = [0xff, 0xf1, 0x4c, 0x80 | u8::try_from(length >> 11).unwrap(), (length >> 3 & 0xff) as u8];
    [&header[..], &[(length << 5 & 0xff) as u8 | 0x1f, 0xfc], data].concat()
}

fn annex_b(units: &[&[u8]]) -> Vec<u8> {
    units.iter().flat_map(|unit| [&[0, 0, 0, 1][..], unit].concat()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_we_write_is_read_again(
        pictures in pictures(),
        units in prop::collection::vec(units(), 1..10),
        piece in 1_usize..2000,
        later_ticks in prop_oneof![Just(0_i64), (1_i64 << 33) - 2_000_000..1 << 33],
    ) {
        let edit_ticks = i64::from(DEPTH * FRAME_TICKS);
        let mut pictures = pictures;
        for picture in &mut pictures {
            picture.dts_ticks += later_ticks;
            picture.pts_ticks += later_ticks;
        }
        let written = write_pictures(&video(90_000, DEPTH * FRAME_TICKS), pictures.clone(), &units, 900);
        let init = init_of(&written);
        let stream: Vec<u8> =
            segments_of(&written).flat_map(|segment| ts::segment(&init, segment, SIZE_MAX_BYTES).unwrap()).collect();
        let (events, faults) = read(&stream, piece, true);
        prop_assert_eq!(faults, 0);
        prop_assert_eq!(&events[0], &TsEvent::Program { has_pictures: true, has_sound: false });
        let should: Vec<_> = pictures
            .iter()
            .enumerate()
            .filter_map(|(n, picture)| {
                let data = expected(&units[n % units.len()])?;
                let offset = i32::try_from(picture.pts_ticks - picture.dts_ticks).unwrap();
                Some((stamp(picture.dts_ticks - edit_ticks, 90_000), offset, data))
            })
            .collect();
        prop_assert_eq!(media(events, Kind::Picture), should);
    }

    #[test]
    fn what_is_lost_on_the_way_takes_nothing_else_with_it_and_makes_nothing_up(
        pictures in pictures(),
        lost in prop::collection::vec(any::<prop::sample::Index>(), 1..12),
        doubled in any::<prop::sample::Index>(),
        junk in prop::collection::vec(0_u8..0x47, 0..300),
        piece in 1_usize..2000,
    ) {
        let units = [vec![vec![0x65; 700]], vec![vec![0x41; 90], vec![0x06; 3]], vec![vec![0x41; 400]]];
        let written = write_pictures(&video(90_000, DEPTH * FRAME_TICKS), pictures, &units, 900);
        let init = init_of(&written);
        let stream: Vec<u8> =
            segments_of(&written).flat_map(|segment| ts::segment(&init, segment, SIZE_MAX_BYTES).unwrap()).collect();
        let all = media(read(&stream, 999, false).0, Kind::Picture);
        let mut left: Vec<&[u8]> = stream.chunks(PACKET).collect();
        let doubled = left[doubled.index(left.len())];
        let count = lost.len();
        for place in lost {
            let place = place.index(left.len());
            left.remove(place);
        }
        let mut damaged: Vec<u8> = Vec::new();
        for (n, packet) in left.iter().enumerate() {
            damaged.extend(*packet);
            if *packet == doubled {
                damaged.extend(*packet);
            }
            if n == left.len() / 2 {
                damaged.extend(&junk);
            }
        }
        let (events, faults) = read(&damaged, piece, false);
        let found = media(events, Kind::Picture);
        prop_assert!(found.iter().all(|one| all.contains(one)), "something is made up");
        prop_assert!(faults <= 2 * count as u64 + 2, "{}", faults);
        // A packet belongs to one picture, and the junk and its search hide two packets at most; before the tables nothing is known.
        let begins = all.iter().position(|one| found.first() == Some(one)).unwrap_or(all.len());
        prop_assert!(begins == all.len() || found.len() + begins + count + 3 >= all.len(), "{} of {}", found.len(), all.len());
    }

    #[test]
    fn sound_is_whole_wherever_it_is_cut(
        frames in prop::collection::vec((1_usize..600, any::<u8>()), 1..60),
        cuts in prop::collection::vec(1_usize..1500, 1..20),
        base in prop_oneof![0_u64..1 << 33, Just((1 << 33) - 5000)],
        has_length in any::<bool>(),
        piece in 1_usize..2000,
    ) {
        let frames: Vec<Vec<u8>> = frames.into_iter().map(|(size, fill)| vec![fill; size]).collect();
        let mut starts = vec![0];
        let all: Vec<u8> = frames
            .iter()
            .flat_map(|frame| {
                starts.push(starts.last().unwrap() + frame.len() + 7);
                adts(frame)
            })
            .collect();
        let time = |n: usize| (base + n as u64 * 1920) % (1 << 33);
        let (mut stream, mut counter) = (tables(&mut [3, 5], 0, &[(0x0f, SOUND_PID)]), 7);
        let (mut from, mut cut) = (0, 0);
        while from < all.len() {
            let to = all.len().min(from + cuts[cut % cuts.len()]);
            // The time of the first frame that begins in it, if one does.
            let first = (0..frames.len()).find(|n| (from..to).contains(&starts[*n]));
            let times = first.map(|n| (time(n), time(n)));
            stream.extend(packets(SOUND_PID, &mut counter, &pes(0xc0, times, has_length, &all[from..to])));
            (from, cut) = (to, cut + 1);
        }
        let (events, faults) = read(&stream, piece, true);
        prop_assert_eq!(faults, 0);
        prop_assert_eq!(&events[1], &TsEvent::Configuration(Kind::Sound, ASC.to_vec().into()));
        let should: Vec<_> = frames.iter().enumerate().map(|(n, frame)| (time(n), 0, frame.clone())).collect();
        prop_assert_eq!(media(events, Kind::Sound), should);
    }

    #[test]
    fn whatever_comes_is_read_the_same_in_any_pieces(
        packets in prop::collection::vec((0_u16..4, any::<u8>(), prop::collection::vec(any::<u8>(), 184)), 0..30),
        piece in 1_usize..300,
    ) {
        let mut stream = tables(&mut [0, 0], 0, &[(0x1b, PICTURES_PID), (0x0f, SOUND_PID)]);
        for (which, flags, payload) in packets {
            let pid = [0, MAP_PID, PICTURES_PID, SOUND_PID][usize::from(which)];
            let [high, low] = pid.to_be_bytes();
            stream.extend([0x47, high | flags & 0xe0, low, flags & 0x3f]);
            stream.extend(payload);
        }
        prop_assert_eq!(read(&stream, piece, true), read(&stream, stream.len(), true));
    }
}

#[test]
fn streams_that_are_not_taken_are_named_once_and_another_map_begins_anew() {
    let (mut tables_of, mut picture, mut sound) = ([0; 2], 0, 0);
    let one = annex_b(&[&[9, 0xf0], SPS, PPS, &[0x65, 1, 2]]);
    let other = annex_b(&[&[9, 0xf0], &[0x41, 3], &[12, 0xff, 0xff], &[0x41, 4]]);
    let all = [(0x1b, PICTURES_PID), (0x0f, SOUND_PID), (0x24, 0x102), (0x0f, 0x103)];
    let mut stream = [tables(&mut tables_of, 0, &all), tables(&mut tables_of, 0, &all)].concat();
    stream.extend(packets(PICTURES_PID, &mut picture, &pes(0xe0, Some((3000, 0)), false, &one)));
    stream.extend(packets(SOUND_PID, &mut sound, &pes(0xc0, Some((90, 90)), true, &adts(&[5; 9]))));
    stream.extend(packets(PICTURES_PID, &mut picture, &pes(0xe0, Some((9000, 3000)), false, &other)));
    // Now without sound.
    stream.extend(tables(&mut tables_of, 1, &[(0x1b, PICTURES_PID)]));
    let (events, faults) = read(&stream, 500, true);
    assert_eq!(faults, 0);
    let skipped = |pid, stream_type| TsEvent::Skipped { pid, stream_type };
    assert_eq!(
        events[..3],
        [TsEvent::Program { has_pictures: true, has_sound: true }, skipped(0x102, 0x24), skipped(0x103, 0x0f)]
    );
    assert_eq!(events.last(), Some(&TsEvent::Program { has_pictures: true, has_sound: false }));
    assert_eq!(media(events.clone(), Kind::Sound), [(90, 0, vec![5; 9])]);
    // Several slices stay together, filler goes.
    let pictures =
        [(0, 3000, sample_of(&[vec![0x65, 1, 2]])), (3000, 6000, sample_of(&[vec![0x41, 3], vec![0x41, 4]]))];
    assert_eq!(media(events, Kind::Picture), pictures);
}

#[test]
fn the_record_is_that_of_an_encoder() {
    // As FFmpeg writes it into `avcC`, of `libx264 -bf 2`, 320x180, High profile.
    const AVCC: &str = "0164000cffe1001a6764000cacd941419f9f011000000300100000030320f142996001000668ebe3cb22c0fdf8f800";
    let record = hex::decode(AVCC).unwrap();
    let (sps, pps) = (&record[8..34], &record[37..43]);
    let (mut counters, mut counter) = ([0; 2], 0);
    let mut stream = tables(&mut counters, 0, &[(0x1b, PICTURES_PID)]);
    for n in 0..3 {
        let one = annex_b(&[&[9, 0xf0], sps, pps, &[0x65, n]]);
        stream.extend(packets(PICTURES_PID, &mut counter, &pes(0xe0, Some((0, 0)), false, &one)));
    }
    let events = read(&stream, 188, true).0;
    let records: Vec<_> = events.iter().filter(|event| matches!(event, TsEvent::Configuration(..))).collect();
    assert_eq!(records, [&TsEvent::Configuration(Kind::Picture, record.into())]);
}

#[test]
fn a_wrong_checksum_a_unit_that_is_too_long_and_one_without_a_time_are_dropped_and_counted() {
    let (mut counters, mut counter) = ([0; 2], 0);
    let mut broken = tables(&mut counters, 0, &[(0x1b, PICTURES_PID)]);
    broken[PACKET + 20] ^= 1;
    assert_eq!(read(&broken, 188, true), (Vec::new(), 1));
    let mut stream = tables(&mut counters, 0, &[(0x1b, PICTURES_PID)]);
    let long = annex_b(&[&vec![0x65; UNIT_MAX_BYTES]]);
    stream.extend(packets(PICTURES_PID, &mut counter, &pes(0xe0, Some((0, 0)), false, &long)));
    let timeless = annex_b(&[&[0x65, 7]]);
    stream.extend(packets(PICTURES_PID, &mut counter, &pes(0xe0, None, false, &timeless)));
    stream.extend(packets(PICTURES_PID, &mut counter, &pes(0xe0, Some((5, 5)), false, &timeless)));
    let (events, faults) = read(&stream, 188, true);
    assert_eq!((media(events, Kind::Picture).len(), faults), (1, 2));
}

/// One of our own, so that the checksums of both muxers are held against each other.
#[test]
fn our_own_sound_is_read_by_its_time() {
    let sound = |n: i64| Sample {
        dts_ticks: n * 1024,
        pts_ticks: n * 1024,
        duration_ticks: 1024,
        is_sync: true,
        data: vec![1; 30].into(),
    };
    let written = write(&audio(48_000, 0), Segmentation::OnCall, (0..20).map(sound).collect());
    let stream = ts::segment(&init_of(&written), segments_of(&written).next().unwrap(), SIZE_MAX_BYTES).unwrap();
    let found = media(read(&stream, 100, true).0, Kind::Sound);
    assert_eq!(found.len(), 20);
    assert!(found.windows(2).all(|pair| pair[1].0 - pair[0].0 == 1920), "{found:?}");
}
