//! The bytes of a segment out of a stored file: few reads instead of many, and nothing kept.
//!
//! In a file with pictures and sound in turns the samples of one track are pieces between those of the others. Pieces that lie
//! close together are fetched by one read, and what is between them is dropped as it comes.

use std::io;
use std::ops::Range;
use std::pin::pin;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use flame_cmaf::movie::SegmentPlan;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};

use crate::store::{MediaStore, ReadError, Stored};

/// What is read in vain rather than asked for anew: a read costs about as much as so many bytes.
const GAP_MAX_BYTES: u64 = 128 << 10;

/// One read of the file, and what of it is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Read {
    span: Range<u64>,
    pieces: Vec<Range<u64>>,
}

/// Bytes `wanted` of what `plan` makes. The first read is open when this returns; if a later one fails, the body breaks off.
pub(crate) async fn body(
    store: &MediaStore,
    key: &str,
    plan: &SegmentPlan,
    wanted: Range<u64>,
) -> Result<Body, ReadError> {
    Ok(Body::from_stream(stream(store, key, plan, wanted).await?.map_err(io::Error::other)))
}

/// All that `plan` makes, in memory.
pub(crate) async fn bytes(store: &MediaStore, key: &str, plan: &SegmentPlan) -> Result<Bytes, ReadError> {
    let mut pieces = pin!(stream(store, key, plan, 0..plan.size_bytes).await?);
    let mut bytes = BytesMut::new();
    while let Some(piece) = pieces.next().await {
        bytes.extend_from_slice(&piece?);
    }
    Ok(bytes.freeze())
}

async fn stream(
    store: &MediaStore,
    key: &str,
    plan: &SegmentPlan,
    wanted: Range<u64>,
) -> Result<impl Stream<Item = Result<Bytes, ReadError>> + Send + use<>, ReadError> {
    let (head, pieces) = within(plan, wanted);
    let mut reads = reads(&pieces).into_iter();
    let first = match reads.next() {
        Some(read) => Some((store.open(key, read.span.clone()).await?, read)),
        None => None,
    };
    let (store, key) = (store.clone(), key.to_owned());
    let rest = stream::iter(reads).then(move |read| {
        let (store, key) = (store.clone(), key.clone());
        async move { Ok::<_, ReadError>((store.open(&key, read.span.clone()).await?, read)) }
    });
    let opened = stream::iter(first).map(Ok).chain(rest);
    let media = opened.map_ok(|(body, read)| picked(body, read)).try_flatten();
    Ok(stream::iter((!head.is_empty()).then_some(Ok(head))).chain(media))
}

/// What of the head and of the file is wanted.
fn within(plan: &SegmentPlan, wanted: Range<u64>) -> (Bytes, Vec<Range<u64>>) {
    let head_bytes = plan.head.len() as u64;
    let at = |offset: u64| usize::try_from(offset.min(head_bytes)).expect("a length in memory");
    let head = plan.head.slice(at(wanted.start)..at(wanted.end));
    let mut begin = head_bytes;
    let mut pieces = Vec::new();
    for range in &plan.ranges {
        let end = begin + (range.end - range.start);
        let (from, to) = (wanted.start.max(begin), wanted.end.min(end));
        if from < to {
            pieces.push(range.start + (from - begin)..range.start + (to - begin));
        }
        begin = end;
    }
    (head, pieces)
}

/// The reads that fetch `pieces` in their order.
fn reads(pieces: &[Range<u64>]) -> Vec<Read> {
    let mut reads: Vec<Read> = Vec::new();
    for piece in pieces {
        match reads.last_mut() {
            Some(read) if (read.span.end..=read.span.end + GAP_MAX_BYTES).contains(&piece.start) => {
                read.span.end = piece.end;
                read.pieces.push(piece.clone());
            }
            _ => reads.push(Read { span: piece.clone(), pieces: vec![piece.clone()] }),
        }
    }
    reads
}

/// The pieces of a read, out of its bytes.
fn picked(body: Stored, read: Read) -> impl Stream<Item = Result<Bytes, ReadError>> {
    let mut at = read.span.start;
    let mut pieces = read.pieces.into_iter().peekable();
    body.map_err(ReadError::from)
        .map_ok(move |block| {
            let span = at..at + block.len() as u64;
            at = span.end;
            let mut found = Vec::new();
            while let Some(piece) = pieces.peek() {
                let (from, to) = (piece.start.max(span.start), piece.end.min(span.end));
                let inside = |offset: u64| usize::try_from(offset - span.start).expect("a length in memory");
                if from < to {
                    found.push(Ok(block.slice(inside(from)..inside(to))));
                }
                if piece.end > span.end {
                    break;
                }
                pieces.next();
            }
            stream::iter(found)
        })
        .try_flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plan(head: usize, ranges: &[(u64, u64)]) -> SegmentPlan {
        let ranges: Vec<Range<u64>> = ranges.iter().map(|(start, length)| *start..start + length).collect();
        let size_bytes = head as u64 + ranges.iter().map(|range| range.end - range.start).sum::<u64>();
        SegmentPlan { head: vec![1; head].into(), ranges, size_bytes }
    }

    #[test]
    fn pieces_close_together_are_one_read() {
        let near = GAP_MAX_BYTES;
        let pieces = [10..20, 20 + near..30 + near, 31 + 2 * near..40 + 2 * near, 5..6];
        let spans: Vec<_> = reads(&pieces).into_iter().map(|read| (read.span, read.pieces.len())).collect();
        assert_eq!(spans, [(10..30 + near, 2), (31 + 2 * near..40 + 2 * near, 1), (5..6, 1)]);
    }

    proptest! {
        /// Byte `n` of the whole is where the plan says, whatever part of it is asked for.
        #[test]
        fn every_part_is_the_part_of_the_whole(
            head in 0_usize..20,
            ranges in prop::collection::vec((0_u64..1_000_000, 1_u64..50), 0..8),
            cut in (0.0_f64..1.0, 0.0_f64..1.0),
        ) {
            let plan = plan(head, &ranges);
            let place = |share: f64| -> u64 { (plan.size_bytes as f64 * share) as u64 };
            let wanted = place(cut.0.min(cut.1))..place(cut.0.max(cut.1));
            let offsets = |(head, pieces): (Bytes, Vec<Range<u64>>)| {
                let mut whole = vec![u64::MAX; head.len()];
                for read in reads(&pieces) {
                    prop_assert!(read.pieces.iter().all(|piece| read.span.start <= piece.start && piece.end <= read.span.end));
                    whole.extend(read.pieces.into_iter().flatten());
                }
                Ok(whole)
            };
            let whole = offsets(within(&plan, 0..plan.size_bytes))?;
            prop_assert_eq!(whole.len() as u64, plan.size_bytes);
            let part = offsets(within(&plan, wanted.clone()))?;
            let inside = usize::try_from(wanted.start).unwrap()..usize::try_from(wanted.end).unwrap();
            prop_assert_eq!(&part[..], &whole[inside]);
        }
    }
}
