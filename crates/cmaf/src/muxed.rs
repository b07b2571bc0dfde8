//! Fragmented MP4 of several tracks, taken for one of them: what other packagers put into HLS segments, made into what
//! [`crate::pushed`] reads.
//!
//! The boxes of all other tracks are renamed to `free`, which every reader passes over: no octet moves, so all offsets stay right.
//! Nothing is copied more than once, and no box is believed beyond the octets that are there.

use crate::samples::SamplesError;
use crate::samples::reader::{Found, boxes, child, find};

/// A box that nobody reads.
const FREE: [u8; 4] = *b"free";
/// Flag of a `trun` that says where its data begin.
const DATA_OFFSET: u32 = 1;
/// The most tracks of one file that are looked at.
const TRACKS_MAX: usize = 16;

/// The numbers of the tracks of an init segment, in order.
///
/// # Errors
/// [`SamplesError`] where it is none.
pub fn tracks(init: &[u8]) -> Result<Vec<u32>, SamplesError> {
    let moov = child(init, b"moov")?;
    let mut tracks = Vec::new();
    for found in boxes(moov.body) {
        let found = found?;
        if found.kind == *b"trak" {
            tracks.push(number_of(&child(found.body, b"tkhd")?)?);
        }
        if tracks.len() > TRACKS_MAX {
            return Err(SamplesError::Tracks { count: tracks.len() });
        }
    }
    Ok(tracks)
}

/// An init segment or a segment, with the boxes of all tracks but `track` renamed. Returns whether something of it is left.
///
/// # Errors
/// [`SamplesError`] where its boxes do not fit into each other.
pub fn only(octets: &mut [u8], track: u32) -> Result<bool, SamplesError> {
    let (mut renamed, mut is_there) = (Vec::new(), false);
    for outer in boxes(octets) {
        let outer = outer?;
        match &outer.kind {
            b"moov" => {
                look(&outer, outer.body_start, b"trak", Some(b"tkhd"), track, &mut renamed, &mut is_there)?;
                if let Some(mvex) = find(outer.body, b"mvex")? {
                    let at = outer.body_start + mvex.body_start;
                    look(&mvex, at, b"trex", None, track, &mut renamed, &mut false)?;
                }
            }
            b"moof" => {
                let mut is_here = false;
                look(&outer, outer.body_start, b"traf", Some(b"tfhd"), track, &mut renamed, &mut is_here)?;
                if !is_here {
                    // Its `mdat` is passed over with it.
                    renamed.push(outer.start);
                }
                if is_here {
                    says_where(&outer, track)?;
                }
                is_there |= is_here;
            }
            _ => {}
        }
    }
    for start in renamed {
        octets[start + 4..start + 8].copy_from_slice(&FREE);
    }
    drop_orphans(octets)?;
    Ok(is_there)
}

/// Notes the boxes of type `kind` within `outer`, whose body begins at `at`, that are of other tracks.
fn look(
    outer: &Found<'_>,
    at: usize,
    kind: &[u8; 4],
    header: Option<&[u8; 4]>,
    track: u32,
    renamed: &mut Vec<usize>,
    is_there: &mut bool,
) -> Result<(), SamplesError> {
    for found in boxes(outer.body) {
        let found = found?;
        if found.kind != *kind {
            continue;
        }
        let number = match header {
            Some(header) => number_of(&child(found.body, header)?)?,
            None => number_of(&found)?,
        };
        if number == track {
            *is_there = true;
        } else {
            renamed.push(at + found.start);
        }
    }
    Ok(())
}

/// Fails if the data of the track's fragment begin where those of another end (ISO/IEC 14496-12 clause 8.8.8.1: a first `trun`
/// without an offset): who reads one track alone does not find that place.
fn says_where(moof: &Found<'_>, track: u32) -> Result<(), SamplesError> {
    let mut others_come_first = false;
    for traf in boxes(moof.body) {
        let traf = traf?;
        if traf.kind != *b"traf" {
            continue;
        }
        if number_of(&child(traf.body, b"tfhd")?)? != track {
            others_come_first = true;
        } else if others_come_first
            && let Some(trun) = find(traf.body, b"trun")?
            && trun.fields().version_flags()?.1 & DATA_OFFSET == 0
        {
            return Err(SamplesError::NoOffset);
        }
    }
    Ok(())
}

/// Renames each `mdat` whose `moof` was renamed.
fn drop_orphans(octets: &mut [u8]) -> Result<(), SamplesError> {
    let (mut orphans, mut has_moof) = (Vec::new(), false);
    for found in boxes(octets) {
        let found = found?;
        match &found.kind {
            b"moof" => has_moof = true,
            b"mdat" if !std::mem::take(&mut has_moof) => orphans.push(found.start),
            _ => {}
        }
    }
    for start in orphans {
        octets[start + 4..start + 8].copy_from_slice(&FREE);
    }
    Ok(())
}

/// `track_ID` of a `tkhd`, `tfhd` or `trex`.
fn number_of(found: &Found<'_>) -> Result<u32, SamplesError> {
    let mut fields = found.fields();
    let (version, _) = fields.version_flags()?;
    if found.kind == *b"tkhd" {
        fields.skip(if version == 1 { 16 } else { 8 })?;
    }
    fields.u32()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn made(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let size = u32::try_from(8 + body.len()).expect("test boxes are small");
        [&size.to_be_bytes(), &kind[..], body].concat()
    }

    /// A fragment of this track, whose run says where its data begin, or does not.
    fn traf(track: u32, offset: Option<u32>) -> Vec<u8> {
        let tfhd = made(b"tfhd", &[0x0002_0000_u32.to_be_bytes(), track.to_be_bytes()].concat());
        let flags = u32::from(offset.is_some()) | 0x200;
        let mut run = vec![flags, 1];
        run.extend(offset);
        run.push(4);
        let run: Vec<u8> = run.into_iter().flat_map(u32::to_be_bytes).collect();
        made(b"traf", &[tfhd, made(b"trun", &run)].concat())
    }

    fn segment(trafs: &[Vec<u8>]) -> Vec<u8> {
        [made(b"moof", &trafs.concat()), made(b"mdat", &[0; 8])].concat()
    }

    fn kinds(octets: &[u8]) -> Vec<[u8; 4]> {
        boxes(octets).map(|found| found.expect("it was read before").kind).collect()
    }

    #[test]
    fn the_others_are_passed_over_and_nothing_moves() {
        let whole = segment(&[traf(1, Some(100)), traf(2, Some(104))]);
        let mut octets = whole.clone();
        assert!(only(&mut octets, 2).unwrap());
        let moof = child(&octets, b"moof").unwrap();
        assert_eq!(kinds(moof.body), [FREE, *b"traf"]);
        assert_eq!(octets.len(), whole.len());
        let mut octets = segment(&[traf(1, Some(100))]);
        assert!(!only(&mut octets, 2).unwrap());
        assert_eq!(kinds(&octets), [FREE, FREE]);
    }

    #[test]
    fn data_that_begin_where_another_track_s_end_are_refused() {
        for (track, is_refused) in [(1, false), (2, true)] {
            let mut octets = segment(&[traf(1, None), traf(2, None)]);
            let refused = matches!(only(&mut octets, track), Err(SamplesError::NoOffset));
            assert_eq!(refused, is_refused, "track {track}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_read_without_a_panic(
            at in 0_usize..200, with in any::<u8>(), noise in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut octets = segment(&[traf(1, Some(100)), traf(2, Some(104))]);
            let at = at % octets.len();
            octets[at] = with;
            octets.extend(noise);
            let length = octets.len();
            let _ = only(&mut octets, 2);
            let _ = tracks(&octets);
            prop_assert_eq!(octets.len(), length);
        }
    }
}
