//! The unicast leg's frames: written and read, cut anywhere, and whatever else may come over a connection.

use bytes::{Bytes, BytesMut};
use flame_multicast::leg::{BadFrame, FRAME_MAX_BYTES, Frame, Welcome};
use flame_naming::group::{Lack, SymbolSet};
use proptest::prelude::*;

fn frames() -> impl Strategy<Value = Frame> {
    let octets = || prop::collection::vec(any::<u8>(), 1..200).prop_map(Bytes::from);
    let welcome = (any::<u32>(), any::<[u8; 16]>(), any::<u16>(), any::<u32>(), octets());
    prop_oneof![
        welcome.prop_map(|(transfer, key, symbol_bytes, window_blocks, head)| {
            Frame::Welcome(Welcome { transfer, key: key.into(), symbol_bytes, window_blocks, head })
        }),
        any::<(u32, u32, [u8; 32])>().prop_map(|(block, length_bytes, digest)| Frame::Block {
            block,
            length_bytes,
            digest
        }),
        any::<(u32, u8)>().prop_map(|(block, round)| Frame::Ask { block, round }),
        (any::<u32>(), any::<u32>(), octets()).prop_map(|(block, symbol, octets)| Frame::Data {
            block,
            symbol,
            octets
        }),
        any::<u32>().prop_map(|blocks| Frame::End { blocks }),
        "[a-z ]{0,40}".prop_map(|reason| Frame::Abort { reason }),
        Just(Frame::Ready),
        Just(Frame::Nudge),
        any::<u32>().prop_map(|block| Frame::Has { block }),
        any::<u32>().prop_map(|block| Frame::Spoiled { block }),
        any::<(u32, u8, u32, [u8; 32])>().prop_map(|(block, round, short, missing)| Frame::Lacks {
            block,
            round,
            lack: Lack { missing: SymbolSet::from_bytes(missing), short }
        }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_however_it_is_cut(frames in prop::collection::vec(frames(), 1..8), cuts in prop::collection::vec(1usize..300, 1..40)) {
        let mut wire = BytesMut::new();
        frames.iter().for_each(|frame| frame.write(&mut wire));
        let (mut buffer, mut read) = (BytesMut::new(), Vec::new());
        for length in cuts.into_iter().chain([usize::MAX]) {
            let piece = wire.split_to(length.min(wire.len()));
            buffer.extend_from_slice(&piece);
            while let Some(frame) = Frame::read(&mut buffer).unwrap() {
                read.push(frame);
            }
        }
        prop_assert_eq!(read, frames);
        prop_assert!(buffer.is_empty());
    }

    #[test]
    fn any_octets_are_frames_or_are_refused(octets in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut buffer = BytesMut::from(&octets[..]);
        while let Ok(Some(frame)) = Frame::read(&mut buffer) {
            let mut again = BytesMut::new();
            frame.write(&mut again);
            let is_there = octets.windows(again.len()).any(|part| part == again);
            // A reason that is no UTF-8 is read with substitutes.
            let is_reason = matches!(frame, Frame::Abort { .. });
            prop_assert!(is_reason || is_there);
        }
        prop_assert!(buffer.capacity() <= FRAME_MAX_BYTES * 2);
    }
}

#[test]
fn a_frame_that_is_longer_than_any_is_refused_before_it_is_there() {
    let mut buffer = BytesMut::from(&[4, 0xFF, 0xFF, 0xFF, 0xFF][..]);
    assert_eq!(Frame::read(&mut buffer), Err(BadFrame::Long(u32::MAX as usize)));
    let mut buffer = BytesMut::from(&[99, 0, 0, 0, 0][..]);
    assert_eq!(Frame::read(&mut buffer), Err(BadFrame::Kind(99)));
    let mut buffer = BytesMut::from(&[16, 0, 0, 0, 1, 7][..]);
    assert_eq!(Frame::read(&mut buffer), Err(BadFrame::Length(16)));
}
