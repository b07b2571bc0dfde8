//! Fragmented MP4 of several tracks, taken for one of them: what other packagers put into HLS segments, made into what
//! [`crate::pushed`] reads.
//!
//! The boxes of all other tracks are renamed to `free`, which every reader passes over: no octet moves, so all offsets stay right.
//! Nothing is copied more than once, and no box is believed beyond the octets that are there.

use crate::samples::SamplesError;
use crate::samples::reader::{Found, boxes, child, find};

/// A box that nobody reads.
const FREE: [u8; 4] = *b"free";
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
