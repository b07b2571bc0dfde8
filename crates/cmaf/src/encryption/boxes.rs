//! The boxes of an encrypted track (ISO/IEC 23001-7 sections 4.2, 7 and 8): what the init segment says of the key, and each
//! fragment of which octets are covered. Everything else stays as it was, whoever wrote it.

use bytes::BufMut;

use super::{
    BLOCK_BYTES, Cbc, ContentKey, EncryptionError,
    cover::{CRYPT_BLOCKS, Cover, SKIP_BLOCKS, Subsample},
};
use crate::{
    boxes::BoxType,
    samples::{
        InitInfo, SampleRef, SamplesError, fragments,
        reader::{Found, boxes},
    },
};

/// `size` and `type` of a box.
const HEADER_SIZE_BYTES: usize = 8;
/// Fields of sample entries in front of their boxes (ISO/IEC 14496-12 sections 12.1.3 and 12.2.3).
const VISUAL_ENTRY_SIZE_BYTES: usize = 78;
const AUDIO_ENTRY_SIZE_BYTES: usize = 28;
/// `version`, `flags` and `entry_count` of `stsd`.
const STSD_FIELDS_SIZE_BYTES: usize = 8;
/// The boxes around the sample entry.
const WAY_TO_ENTRIES: [&[u8; 4]; 5] = [b"trak", b"mdia", b"minf", b"stbl", b"stsd"];
const SCHEME: &[u8; 4] = b"cbcs";
/// Version 1.0 of the scheme.
const SCHEME_VERSION: u32 = 0x0001_0000;
/// `senc` says subsamples (section 7.2.2).
const USES_SUBSAMPLES: u32 = 0x02;
/// `trun` says where its data lie (ISO/IEC 14496-12 section 8.8.8.1).
const DATA_OFFSET: u32 = 0x01;

/// The init segment of the same track, encrypted: its sample entry becomes `encv` or `enca` and says how to go on.
///
/// # Errors
/// [`EncryptionError`] if it is none, is encrypted already, or has a codec that is not covered.
pub fn cbcs_init(init: &[u8], key: &ContentKey) -> Result<Vec<u8>, EncryptionError> {
    let info = InitInfo::parse(init)?;
    let cover = Cover::of(&info.codec)?;
    let mut bytes = Vec::with_capacity(init.len() + 128);
    for found in boxes(init) {
        let found = found?;
        if found.kind == *b"moov" {
            enclose(&mut bytes, b"moov", |bytes| descend(bytes, found.body, &WAY_TO_ENTRIES, cover, key))?;
        } else {
            copy(&mut bytes, init, &found);
        }
    }
    Ok(bytes)
}

/// A segment of that track with its samples encrypted, of as many fragments as it has.
///
/// # Errors
/// [`EncryptionError`] if it is none, or is not of this track.
pub fn cbcs_segment(init: &InitInfo, segment: &[u8], key: &ContentKey) -> Result<Vec<u8>, EncryptionError> {
    let cover = Cover::of(&init.codec)?;
    let cbc = Cbc::new(&key.secret);
    let mut bytes = Vec::with_capacity(segment.len() + segment.len() / 16 + 1024);
    let mut samples: Vec<SampleRef> = Vec::new();
    let mut pending: Option<Found<'_>> = None;
    for found in boxes(segment) {
        let found = found?;
        match &found.kind {
            b"moof" if pending.is_some() => return Err(SamplesError::Missing { kind: BoxType(*b"mdat") }.into()),
            b"moof" => pending = Some(found),
            b"mdat" => {
                let first = samples.len();
                if let Some(moof) = pending.take() {
                    let data = found.body_start..found.body_start + found.body.len();
                    fragments::read(&moof, data, init, &mut samples)?;
                    append_moof(&mut bytes, &moof, segment, (first, &samples[first..]), cover)?;
                }
                let start = bytes.len();
                copy(&mut bytes, segment, &found);
                for (number, sample) in samples.iter().enumerate().skip(first) {
                    let within = start + sample.range.start - found.start..start + sample.range.end - found.start;
                    encrypt(&cbc, key, cover, &mut bytes[within], number)?;
                }
            }
            _ => copy(&mut bytes, segment, &found),
        }
    }
    match pending {
        Some(_) => Err(SamplesError::Missing { kind: BoxType(*b"mdat") }.into()),
        None if samples.is_empty() => Err(SamplesError::Missing { kind: BoxType(*b"moof") }.into()),
        None => Ok(bytes),
    }
}

/// Encrypts a sample in its place.
fn encrypt(cbc: &Cbc, key: &ContentKey, cover: Cover, sample: &mut [u8], number: usize) -> Result<(), EncryptionError> {
    if matches!(cover, Cover::Whole) {
        let blocks = sample.len() - sample.len() % BLOCK_BYTES;
        cbc.encrypt(&key.iv, &mut sample[..blocks]);
        return Ok(());
    }
    let mut rest = &mut *sample;
    for subsample in cover.subsamples(rest, number)? {
        let (part, behind) = std::mem::take(&mut rest).split_at_mut(subsample.clear_bytes + subsample.protected_bytes);
        rest = behind;
        // The vector is the same for each subsample, and the pattern begins anew.
        let mut chain = cbc.chain(&key.iv);
        for group in part[subsample.clear_bytes..].chunks_mut((CRYPT_BLOCKS + SKIP_BLOCKS) * BLOCK_BYTES) {
            if let Some(block) = group.first_chunk_mut::<BLOCK_BYTES>() {
                chain.next(block);
            }
        }
    }
    Ok(())
}

/// Copies the boxes of `body`, and goes down where `way` leads; at its end the sample entries are rewritten.
fn descend(
    bytes: &mut Vec<u8>,
    body: &[u8],
    way: &[&[u8; 4]],
    cover: Cover,
    key: &ContentKey,
) -> Result<(), EncryptionError> {
    let Some((next, behind)) = way.split_first() else { return entries(bytes, body, cover, key) };
    for found in boxes(body) {
        let found = found?;
        if found.kind == **next {
            enclose(bytes, &found.kind, |bytes| descend(bytes, found.body, behind, cover, key))?;
        } else {
            again(bytes, &found)?;
        }
    }
    Ok(())
}

/// `stsd`: its first entry, which is the one that was looked at, and others as they are.
fn entries(bytes: &mut Vec<u8>, body: &[u8], cover: Cover, key: &ContentKey) -> Result<(), EncryptionError> {
    let missing = || SamplesError::Missing { kind: BoxType(*b"stsd") };
    let (fields, list) = body.split_at_checked(STSD_FIELDS_SIZE_BYTES).ok_or_else(missing)?;
    bytes.extend_from_slice(fields);
    for (number, found) in boxes(list).enumerate() {
        let found = found?;
        if number > 0 {
            again(bytes, &found)?;
            continue;
        }
        let (kind, fields_size) = match cover {
            Cover::Slices { .. } => (b"encv", VISUAL_ENTRY_SIZE_BYTES),
            Cover::Whole => (b"enca", AUDIO_ENTRY_SIZE_BYTES),
        };
        if found.body.len() < fields_size {
            return Err(SamplesError::Damaged { kind: BoxType(found.kind) }.into());
        }
        enclose(bytes, kind, |bytes| {
            bytes.extend_from_slice(found.body);
            enclose(bytes, b"sinf", |bytes| scheme(bytes, &found.kind, cover, key))
        })?;
    }
    Ok(())
}

/// What stands in `sinf`: the entry as it was called, the scheme, and the key.
fn scheme(bytes: &mut Vec<u8>, was: &[u8; 4], cover: Cover, key: &ContentKey) -> Result<(), EncryptionError> {
    enclose(bytes, b"frma", |bytes| {
        bytes.extend_from_slice(was);
        Ok(())
    })?;
    enclose(bytes, b"schm", |bytes| {
        bytes.put_u32(0);
        bytes.extend_from_slice(SCHEME);
        bytes.put_u32(SCHEME_VERSION);
        Ok(())
    })?;
    enclose(bytes, b"schi", |bytes| {
        enclose(bytes, b"tenc", |bytes| {
            let pattern = match cover {
                Cover::Slices { .. } => CRYPT_BLOCKS << 4 | SKIP_BLOCKS,
                Cover::Whole => 0,
            };
            // Version 1, which has a pattern; reserved; protected, with no vector a sample but one for all.
            bytes.put_u32(1 << 24);
            bytes.put_u8(0);
            bytes.put_u8(u8::try_from(pattern).expect("two half octets"));
            bytes.extend([1, 0]);
            bytes.extend_from_slice(&key.id);
            bytes.put_u8(u8::try_from(BLOCK_BYTES).expect("sixteen"));
            bytes.extend_from_slice(&key.iv);
            Ok(())
        })
    })
}

/// `moof` with `saiz`, `saio` and `senc` behind what its `traf` holds, and its data as much further away.
fn append_moof(
    bytes: &mut Vec<u8>,
    moof: &Found<'_>,
    segment: &[u8],
    samples: (usize, &[SampleRef]),
    cover: Cover,
) -> Result<(), EncryptionError> {
    let (first, samples) = samples;
    let parts: Vec<Vec<Subsample>> = samples
        .iter()
        .zip(first..)
        .map(|(sample, number)| cover.subsamples(&segment[sample.range.clone()], number))
        .collect::<Result<_, _>>()?;
    let auxiliary = auxiliary(&parts, cover)?;
    // What is new, less what the headers of others spent on sizes of 64 bits.
    let mut trial = Vec::new();
    rewritten(&mut trial, moof, &auxiliary, 0)?;
    let was = moof.body_start - moof.start + moof.body.len();
    let sizes = i32::try_from(trial.len()).ok().zip(i32::try_from(was).ok());
    let longer = sizes.map(|(is, was)| is - was).ok_or(EncryptionError::TooLarge)?;
    rewritten(bytes, moof, &auxiliary, longer)
}

/// `saiz`, `saio` and `senc` of a fragment; where `senc` is, is not said yet.
fn auxiliary(parts: &[Vec<Subsample>], cover: Cover) -> Result<Vec<u8>, EncryptionError> {
    let count = u32::try_from(parts.len()).map_err(|_| EncryptionError::TooLarge)?;
    let has_subsamples = matches!(cover, Cover::Slices { .. });
    let mut bytes = Vec::new();
    if has_subsamples {
        enclose(&mut bytes, b"saiz", |bytes| {
            bytes.put_u32(0);
            // No size for all.
            bytes.put_u8(0);
            bytes.put_u32(count);
            for parts in parts {
                bytes.put_u8(u8::try_from(2 + 6 * parts.len()).map_err(|_| EncryptionError::TooLarge)?);
            }
            Ok(())
        })?;
        enclose(&mut bytes, b"saio", |bytes| {
            bytes.put_u32(0);
            bytes.put_u32(1);
            bytes.put_u32(0);
            Ok(())
        })?;
    }
    enclose(&mut bytes, b"senc", |bytes| {
        bytes.put_u32(if has_subsamples { USES_SUBSAMPLES } else { 0 });
        bytes.put_u32(count);
        for parts in parts.iter().filter(|_| has_subsamples) {
            bytes.put_u16(u16::try_from(parts.len()).map_err(|_| EncryptionError::TooLarge)?);
            for part in parts {
                bytes.put_u16(u16::try_from(part.clear_bytes).map_err(|_| EncryptionError::TooLarge)?);
                bytes.put_u32(u32::try_from(part.protected_bytes).map_err(|_| EncryptionError::TooLarge)?);
            }
        }
        Ok(())
    })?;
    Ok(bytes)
}

/// `moof` again, its data `longer` octets further away, with `auxiliary` at the end of its `traf`.
fn rewritten(bytes: &mut Vec<u8>, moof: &Found<'_>, auxiliary: &[u8], longer: i32) -> Result<(), EncryptionError> {
    let start = bytes.len();
    enclose(bytes, b"moof", |bytes| {
        for found in boxes(moof.body) {
            let found = found?;
            if found.kind != *b"traf" {
                again(bytes, &found)?;
                continue;
            }
            enclose(bytes, b"traf", |bytes| {
                for inner in boxes(found.body) {
                    let inner = inner?;
                    let at = bytes.len();
                    again(bytes, &inner)?;
                    if inner.kind == *b"trun" {
                        further(&mut bytes[at..], longer)?;
                    }
                }
                let at = bytes.len();
                bytes.extend_from_slice(auxiliary);
                point(&mut bytes[start..], at - start)
            })?;
        }
        Ok(())
    })
}

/// Says in `saio`, which is somewhere behind `from` in `moof`, where the entries of `senc` are, counted from `moof`.
fn point(moof: &mut [u8], from: usize) -> Result<(), EncryptionError> {
    let mut offset = None;
    let mut entries = None;
    for found in boxes(&moof[from..]) {
        let found = found?;
        match &found.kind {
            // Behind version, flags and count.
            b"saio" => offset = Some(from + found.body_start + 8),
            b"senc" => entries = Some(from + found.body_start + 8),
            _ => {}
        }
    }
    if let (Some(at), Some(entries)) = (offset, entries) {
        let entries = u32::try_from(entries).map_err(|_| EncryptionError::TooLarge)?;
        moof[at..at + 4].copy_from_slice(&entries.to_be_bytes());
    }
    Ok(())
}

/// A `trun` whose data are `longer` octets further away.
fn further(trun: &mut [u8], longer: i32) -> Result<(), EncryptionError> {
    const OFFSET_AT: std::ops::Range<usize> = HEADER_SIZE_BYTES + 8..HEADER_SIZE_BYTES + 12;
    let flags = trun.get(HEADER_SIZE_BYTES..HEADER_SIZE_BYTES + 4).and_then(<[u8]>::first_chunk::<4>);
    if flags.is_none_or(|flags| u32::from_be_bytes(*flags) & DATA_OFFSET == 0) {
        return Ok(());
    }
    let damaged = || SamplesError::Damaged { kind: BoxType(*b"trun") };
    let offset = trun.get_mut(OFFSET_AT).and_then(<[u8]>::first_chunk_mut::<4>).ok_or_else(damaged)?;
    let moved = i32::from_be_bytes(*offset).checked_add(longer).ok_or(EncryptionError::TooLarge)?;
    *offset = moved.to_be_bytes();
    Ok(())
}

/// A box of `kind` around what `fill` writes.
fn enclose(
    bytes: &mut Vec<u8>,
    kind: &[u8; 4],
    fill: impl FnOnce(&mut Vec<u8>) -> Result<(), EncryptionError>,
) -> Result<(), EncryptionError> {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(kind);
    fill(bytes)?;
    let size = u32::try_from(bytes.len() - start).map_err(|_| EncryptionError::TooLarge)?;
    bytes[start..start + 4].copy_from_slice(&size.to_be_bytes());
    Ok(())
}

/// Writes a box again, its header in the short form.
fn again(bytes: &mut Vec<u8>, found: &Found<'_>) -> Result<(), EncryptionError> {
    enclose(bytes, &found.kind, |bytes| {
        bytes.extend_from_slice(found.body);
        Ok(())
    })
}

/// Copies a box of `within`, header and all.
fn copy(bytes: &mut Vec<u8>, within: &[u8], found: &Found<'_>) {
    bytes.extend_from_slice(&within[found.start..found.body_start + found.body.len()]);
}
