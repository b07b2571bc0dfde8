//! What is encrypted, opened again by the letter of the standards, and by FFmpeg.

#[path = "encryption/players.rs"]
mod players;

use aws_lc_rs::cipher::{AES_128, DecryptingKey, DecryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use flame_cmaf::{
    Sample, Segmentation,
    encryption::{self, ContentKey, EncryptionError, cbcs_init, cbcs_segment},
    samples::{CodecConfig, InitInfo, samples},
    ts,
};
use proptest::prelude::*;

use crate::{
    demux::Demuxed,
    unpack::{ASC, Written, audio, video, write},
};

const SIZE_MAX_BYTES: usize = 64 << 20;

pub fn key() -> ContentKey {
    ContentKey { secret: *b"sixteen octets!!", id: *b"a key identifier", iv: *b"initial vector 0" }
}

fn open(secret: &[u8; 16], iv: &[u8; 16], blocks: &[u8]) -> Vec<u8> {
    let mut blocks = blocks.to_vec();
    if !blocks.is_empty() {
        let cipher = DecryptingKey::cbc(UnboundCipherKey::new(&AES_128, secret).unwrap()).unwrap();
        cipher.decrypt(&mut blocks, DecryptionContext::Iv128(FixedLength::from(iv))).unwrap();
    }
    blocks
}

/// The body of the first box at the end of this way.
fn body<'a>(bytes: &'a [u8], way: &[&[u8; 4]]) -> Option<&'a [u8]> {
    let Some((kind, behind)) = way.split_first() else { return Some(bytes) };
    let mut rest = bytes;
    while rest.len() >= 8 {
        let size = usize::try_from(u32::from_be_bytes(rest[..4].try_into().unwrap())).unwrap();
        if rest[4..8] == **kind {
            return body(&rest[8..size], behind);
        }
        rest = &rest[size..];
    }
    None
}

pub fn init_of(written: &Written) -> &[u8] {
    &written.object[..usize::try_from(written.finished.index.init_size_bytes).unwrap()]
}

pub fn segments_of(written: &Written) -> impl Iterator<Item = &[u8]> {
    written.finished.index.segments.iter().map(|entry| {
        let start = usize::try_from(entry.offset_bytes).unwrap();
        &written.object[start..start + usize::try_from(entry.size_bytes).unwrap()]
    })
}

/// A sample opened by ISO/IEC 23001-7: `parts` of clear and protected octets, with this pattern (0, 0: all blocks).
fn opened(sample: &[u8], parts: &[(usize, usize)], pattern: (usize, usize), key: &ContentKey) -> Vec<u8> {
    let mut clear = Vec::new();
    let mut rest = sample;
    for &(clear_bytes, protected_bytes) in parts {
        clear.extend(&rest[..clear_bytes]);
        let protected = &rest[clear_bytes..clear_bytes + protected_bytes];
        rest = &rest[clear_bytes + protected_bytes..];
        let step = if pattern == (0, 0) { 1 } else { pattern.0 + pattern.1 };
        let is_encrypted = |block: usize| pattern == (0, 0) || block % step < pattern.0;
        let whole = protected.len() / 16;
        let blocks: Vec<u8> = (0..whole)
            .filter(|block| is_encrypted(*block))
            .flat_map(|block| protected[16 * block..16 * block + 16].to_vec())
            .collect();
        let mut found = open(&key.secret, &key.iv, &blocks).into_iter();
        for block in 0..whole {
            let was = &protected[16 * block..16 * block + 16];
            clear.extend(if is_encrypted(block) { found.by_ref().take(16).collect() } else { was.to_vec() });
        }
        clear.extend(&protected[16 * whole..]);
    }
    assert!(rest.is_empty(), "all of a sample is in its parts");
    clear
}

/// Reads `senc` where `saio` and `saiz` say, as ISO/IEC 14496-12 section 8.7.9 has it, and by itself.
fn parts_of(moof: &[u8]) -> Option<Vec<Vec<(usize, usize)>>> {
    let word =
        |bytes: &[u8], at: usize| usize::try_from(u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())).unwrap();
    let traf = body(moof, &[b"traf"]).unwrap();
    let senc = body(traf, &[b"senc"]).unwrap();
    if word(senc, 0) == 0 {
        return None;
    }
    assert_eq!(word(senc, 0), 2, "subsamples");
    let (saiz, saio) = (body(traf, &[b"saiz"]).unwrap(), body(traf, &[b"saio"]).unwrap());
    assert_eq!((word(saio, 0), word(saio, 4), saiz[4]), (0, 1, 0));
    let sizes = &saiz[9..];
    assert_eq!((word(saiz, 5), word(senc, 4)), (sizes.len(), sizes.len()));
    // Offsets count from the box `moof`, of which this is the body.
    let mut rest = &moof[word(saio, 8) - 8..];
    assert_eq!(rest.as_ptr(), senc[8..].as_ptr(), "saio points into senc");
    let parts = sizes.iter().map(|size| {
        let (entry, behind) = rest.split_at((*size).into());
        rest = behind;
        let count = usize::from(u16::from_be_bytes([entry[0], entry[1]]));
        assert_eq!(entry.len(), 2 + 6 * count);
        let part = |part: &[u8]| (usize::from(u16::from_be_bytes([part[0], part[1]])), word(part, 2));
        entry[2..].chunks(6).map(part).collect()
    });
    Some(parts.collect())
}

/// A fragmented track with encrypted samples, opened again; the boxes that say how are held to the standard.
fn through_cbcs(written: &Written) -> Vec<Vec<u8>> {
    let init = InitInfo::parse(init_of(written)).unwrap();
    let sealed = cbcs_init(init_of(written), &key()).unwrap();
    let stsd = body(&sealed, &[b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"]).unwrap();
    let is_video = matches!(init.codec, CodecConfig::Avc(_));
    let entry = if is_video {
        &body(&stsd[8..], &[b"encv"]).unwrap()[78..]
    } else {
        &body(&stsd[8..], &[b"enca"]).unwrap()[28..]
    };
    let sinf = body(entry, &[b"sinf"]).unwrap();
    assert_eq!(body(sinf, &[b"frma"]).unwrap(), if is_video { b"avc1" } else { b"mp4a" });
    assert_eq!(body(sinf, &[b"schm"]).unwrap(), [&[0; 4][..], b"cbcs", &[0, 1, 0, 0]].concat());
    let pattern = if is_video { 0x19 } else { 0 };
    let tenc = [&[1, 0, 0, 0, 0, pattern, 1, 0][..], &key().id, &[16], &key().iv].concat();
    assert_eq!(body(sinf, &[b"schi", b"tenc"]).unwrap(), tenc);
    assert!(matches!(InitInfo::parse(&sealed), Err(flame_cmaf::samples::SamplesError::Protected)));

    let mut clear = Vec::new();
    for segment in segments_of(written) {
        let sealed = cbcs_segment(&init, segment, &key()).unwrap();
        // The boxes of samples read as before, so they are where the boxes say.
        let found = samples(&sealed, &init).unwrap();
        let before = samples(segment, &init).unwrap();
        assert_eq!(found.len(), before.len());
        let parts = parts_of(body(&sealed, &[b"moof"]).unwrap());
        for (number, (sample, was)) in found.iter().zip(&before).enumerate() {
            let bytes = &sealed[sample.range.clone()];
            let (parts, pattern) = match &parts {
                Some(parts) => (parts[number].clone(), (1, 9)),
                None => (vec![(0, bytes.len())], (0, 0)),
            };
            clear.push(opened(bytes, &parts, pattern, &key()));
            let times = |sample: &flame_cmaf::samples::SampleRef| {
                (sample.decode_ticks, sample.composition_offset_ticks, sample.duration_ticks, sample.is_sync)
            };
            assert_eq!(times(sample), times(was));
        }
    }
    clear
}

/// The same track as transport streams with encrypted samples: NAL units, or frames without their headers, opened again.
fn through_ts(written: &Written) -> (Demuxed, Vec<Vec<u8>>) {
    let init = InitInfo::parse(init_of(written)).unwrap();
    let mut all = Demuxed::default();
    for segment in segments_of(written) {
        all.feed(&ts::encrypted_segment(&init, segment, SIZE_MAX_BYTES, &key()).unwrap());
    }
    let all = all.end();
    let mut clear = Vec::new();
    for pes in &all.pes {
        if pes.stream_id == 0xe0 {
            clear.extend(units_of(&pes.data).iter().map(|unit| opened_unit(unit)));
            continue;
        }
        let mut rest = &pes.data[..];
        while let [0xff, 0xf1, _, channels, high, low, _, ..] = rest {
            let size = usize::from(channels & 3) << 11 | usize::from(*high) << 3 | usize::from(low >> 5);
            let frame = &rest[7..size];
            let lead = frame.len().min(16);
            let end = lead + (frame.len() - lead) / 16 * 16;
            let blocks = open(&key().secret, &key().iv, &frame[lead..end]);
            clear.push([&frame[..lead], &blocks, &frame[end..]].concat());
            rest = &rest[size..];
        }
        assert!(rest.is_empty());
    }
    (all, clear)
}

/// Annex B of ISO/IEC 14496-10.
fn units_of(stream: &[u8]) -> Vec<Vec<u8>> {
    let starts: Vec<usize> =
        (0..stream.len().saturating_sub(2)).filter(|at| stream[*at..*at + 3] == [0, 0, 1]).collect();
    let ends = starts.iter().skip(1).copied().chain([stream.len()]);
    let unit = |(start, end): (&usize, usize)| {
        let unit = &stream[start + 3..end];
        // The zero of a long start code belongs to the next unit.
        if end < stream.len() && unit.last() == Some(&0) { unit[..unit.len() - 1].to_vec() } else { unit.to_vec() }
    };
    starts.iter().zip(ends).map(unit).collect()
}

/// Listing 2-1 of Apple's format, read backwards.
fn opened_unit(unit: &[u8]) -> Vec<u8> {
    if unit.len() <= 48 || !matches!(unit[0] & 31, 1 | 5) {
        return unit.to_vec();
    }
    let plain = without_emulation(unit);
    let mut parts = vec![(32, 0)];
    let mut left = plain.len() - 32;
    let mut clear = plain[..32].to_vec();
    let mut blocks = Vec::new();
    let mut at = 32;
    while left > 0 {
        if left > 16 {
            blocks.extend(&plain[at..at + 16]);
            parts.push((0, 16));
            (at, left) = (at + 16, left - 16);
        }
        let skipped = left.min(144);
        parts.push((skipped, 0));
        (at, left) = (at + skipped, left - skipped);
    }
    let mut found = open(&key().secret, &key().iv, &blocks).into_iter();
    at = 32;
    for &(skipped, encrypted) in &parts[1..] {
        clear.extend(found.by_ref().take(encrypted));
        at += encrypted;
        clear.extend(&plain[at..at + skipped]);
        at += skipped;
    }
    clear
}

fn without_emulation(unit: &[u8]) -> Vec<u8> {
    let mut zeros = 0;
    let mut plain = Vec::new();
    for &byte in unit {
        if zeros >= 2 {
            assert!(byte > 2, "a start code within a unit");
            if byte == 3 {
                zeros = 0;
                continue;
            }
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        plain.push(byte);
    }
    plain
}

fn pictures(samples: &[Vec<Vec<u8>>]) -> (Written, Vec<Vec<u8>>) {
    let data: Vec<Vec<u8>> = samples
        .iter()
        .map(|units| {
            let unit = |unit: &Vec<u8>| [&u32::try_from(unit.len()).unwrap().to_be_bytes()[..], unit].concat();
            units.iter().flat_map(unit).collect()
        })
        .collect();
    let sample = |(number, data): (usize, &Vec<u8>)| {
        let ticks = i64::try_from(number).unwrap() * 1000;
        let is_sync = number % 4 == 0;
        Sample { dts_ticks: ticks, pts_ticks: ticks, duration_ticks: 1000, is_sync, data: data.clone().into() }
    };
    let written =
        write(&video(25_000, 0), Segmentation::Interval { ms: 80 }, data.iter().enumerate().map(sample).collect());
    (written, data)
}

fn frames(frames: &[Vec<u8>]) -> Written {
    let sample = |(number, data): (usize, &Vec<u8>)| {
        let ticks = i64::try_from(number).unwrap() * 1024;
        Sample { dts_ticks: ticks, pts_ticks: ticks, duration_ticks: 1024, is_sync: true, data: data.clone().into() }
    };
    write(&audio(48_000, 0), Segmentation::Interval { ms: 100 }, frames.iter().enumerate().map(sample).collect())
}

/// A unit as encoders make them: with emulation prevention, and no zero at its end.
fn unit() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![3 => Just(0x41_u8), 2 => Just(0x65), 1 => Just(0x06), 1 => Just(0x02)];
    let size = prop_oneof![4 => 0_usize..200, 2 => 30_usize..60, 1 => 0_usize..3000];
    (kind, size, any::<u64>()).prop_map(|(kind, size, seed)| {
        let mut seed = seed | 1;
        let mut zeros = 0;
        let mut unit = vec![kind];
        for _ in 0..size {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let byte = [0, 0, 0, 1, 3, 0x80, 0xff, (seed >> 40).to_le_bytes()[0]]
                [usize::from((seed >> 60).to_le_bytes()[0] & 7)];
            if zeros >= 2 && byte <= 3 {
                unit.push(3);
                zeros = 0;
            }
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            unit.push(byte);
        }
        unit.push(0x80);
        unit
    })
}

#[test]
fn whole_segments_are_the_standard_s_example() {
    // NIST SP 800-38A section F.2.1, and a block of padding behind it.
    let secret: [u8; 16] = hex::decode("2b7e151628aed2a6abf7158809cf4f3c").unwrap().try_into().unwrap();
    let iv: [u8; 16] = hex::decode("000102030405060708090a0b0c0d0e0f").unwrap().try_into().unwrap();
    let plain = hex::decode("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51").unwrap();
    let sealed = encryption::whole(&secret, &iv, plain.clone());
    assert_eq!(hex::encode(&sealed[..32]), "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2");
    assert_eq!(open(&secret, &iv, &sealed)[32..], [16; 16]);
    assert_eq!(encryption::sequence_iv(0x0102), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
}

#[test]
fn what_is_not_known_is_refused_and_a_key_is_not_printed() {
    let (written, _) = pictures(&[vec![vec![0x65; 200]]]);
    let segment = segments_of(&written).next().unwrap();
    let mut init = InitInfo::parse(init_of(&written)).unwrap();
    init.codec = CodecConfig::Other(flame_cmaf::boxes::BoxType(*b"av01"));
    assert!(matches!(cbcs_segment(&init, segment, &key()), Err(EncryptionError::Codec { .. })));
    // A record without parameter sets.
    init.codec = CodecConfig::Hevc([vec![1; 22], vec![0]].concat());
    assert!(matches!(ts::encrypted_segment(&init, segment, SIZE_MAX_BYTES, &key()), Err(ts::TsError::Unencryptable)));
    assert!(encryption::covers("hvc1.1.6.L93") && !encryption::covers("av01.0.04M.08"));
    assert!(encryption::covers_in_ts("avc1.64001f") && !encryption::covers_in_ts("hvc1.1.6.L93"));
    let printed = format!("{:?}", key());
    assert!(printed.contains(&hex::encode(key().id)) && !printed.contains("sixteen") && !printed.contains("115, 105"));
}

proptest! {
    #[test]
    fn a_whole_segment_opens_again(bytes in prop::collection::vec(any::<u8>(), 0..200), number in any::<u64>()) {
        let sealed = encryption::whole(&key().secret, &encryption::sequence_iv(number), bytes.clone());
        let found = open(&key().secret, &encryption::sequence_iv(number), &sealed);
        let padding = usize::from(*found.last().unwrap());
        prop_assert!((1..=16).contains(&padding) && found[found.len() - padding..].iter().all(|byte| usize::from(*byte) == padding));
        prop_assert_eq!(&found[..found.len() - padding], &bytes[..]);
    }

    #[test]
    fn pictures_open_again(samples in prop::collection::vec(prop::collection::vec(unit(), 1..4), 1..9)) {
        let (written, data) = pictures(&samples);
        prop_assert_eq!(through_cbcs(&written), data);
        let (stream, units) = through_ts(&written);
        prop_assert_eq!(stream.stream_type, 0xdb);
        prop_assert_eq!(stream.descriptors, b"\x0f\x04zavc");
        let units: Vec<_> = units.into_iter().filter(|unit| !matches!(unit[0] & 31, 7..=9)).collect();
        prop_assert_eq!(units, samples.concat());
    }

    #[test]
    fn sound_opens_again(samples in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..120), 1..30)) {
        let written = frames(&samples);
        prop_assert_eq!(&through_cbcs(&written), &samples);
        let (stream, found) = through_ts(&written);
        prop_assert_eq!(stream.stream_type, 0xcf);
        prop_assert_eq!(stream.descriptors, [&b"\x0f\x04aacd\x05\x0eapadzaac\x00\x00\x01\x02"[..], ASC].concat());
        prop_assert_eq!(found, samples);
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0_usize..2000) {
        let (written, _) = pictures(&[vec![vec![0x65; 300]]]);
        let init = InitInfo::parse(init_of(&written)).unwrap();
        let segment = segments_of(&written).next().unwrap();
        let _ = cbcs_segment(&init, &bytes, &key());
        let _ = cbcs_init(&bytes, &key());
        let _ = cbcs_segment(&init, &segment[..cut.min(segment.len())], &key());
        let _ = cbcs_init(&init_of(&written)[..cut.min(init_of(&written).len())], &key());
        let mut sample = segment.to_vec();
        let end = sample.len();
        sample[end - bytes.len().min(300)..].copy_from_slice(&bytes[..bytes.len().min(300)]);
        let _ = cbcs_segment(&init, &sample, &key());
        let _ = ts::encrypted_segment(&init, &sample, SIZE_MAX_BYTES, &key());
    }
}
