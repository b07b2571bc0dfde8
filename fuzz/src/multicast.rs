//! What comes over a group, and over the unicast leg beside it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::BytesMut;
use flame_multicast::alc::Symbol;
use flame_multicast::coding;
use flame_multicast::leg::{Frame, Welcome};
use flame_multicast::reception::Reception;
use flame_multicast::seal::{Dropped, Key, Opener, REPLAY_WINDOW, Sealer};

const TRANSFER: u32 = 9;

pub fn packet(data: &[u8]) {
    let Ok(symbol) = Symbol::read(data) else { return };
    let mut written = Vec::new();
    symbol.write(&mut written);
    assert_eq!(written, data);
}

/// Pairs of octets: which packet comes next, and which of its bits is another (255 for none).
pub fn seal(data: &[u8]) {
    let key = Key::from([5; 16]);
    let (mut sealer, mut opener) = (Sealer::new(&key, TRANSFER), Opener::new(&key, TRANSFER));
    let mut sent: Vec<Vec<u8>> = Vec::new();
    let mut taken = BTreeSet::new();
    for step in data.chunks_exact(2).take(256) {
        // Some come in order, some far ahead of all that came.
        let at = usize::from(step[0]) * if step[0] % 7 == 0 { 41 } else { 1 };
        while sent.len() <= at {
            let number = sent.len();
            let mut out = Vec::new();
            sealer.seal(&mut out, |out| out.extend_from_slice(&number.to_be_bytes()));
            sent.push(out);
        }
        let mut packet = sent[at].clone();
        if step[1] != 255 {
            let bit = usize::from(step[1]) % (packet.len() * 8);
            packet[bit / 8] ^= 1 << (bit % 8);
            assert!(opener.open(&mut packet).is_err(), "a changed packet is opened");
            continue;
        }
        let is_old = taken.last().is_some_and(|highest| at as u64 + REPLAY_WINDOW <= *highest as u64);
        match opener.open(&mut packet) {
            Ok(plain) => {
                assert!(!is_old && taken.insert(at), "packet {at} is opened again");
                assert_eq!(plain, at.to_be_bytes());
            }
            Err(Dropped::Replayed) => assert!(is_old || taken.contains(&at), "packet {at} is new"),
            Err(other) => panic!("a good packet: {other}"),
        }
    }
}

pub fn leg(data: &[u8]) {
    let whole = frames(&mut BytesMut::from(data));
    // However they are cut, they are the same.
    let mut buffer = BytesMut::new();
    let mut cut = Vec::new();
    for (at, octet) in data.iter().enumerate() {
        buffer.extend_from_slice(&[*octet]);
        let left = buffer.len();
        match Frame::read(&mut buffer) {
            Ok(Some(frame)) => {
                assert!(buffer.is_empty(), "a frame ends before its last octet");
                written(&frame, &data[at + 1 - left..=at]);
                cut.push(frame);
            }
            Ok(None) => assert_eq!(buffer.len(), left),
            Err(_) => break,
        }
    }
    assert_eq!(whole, cut);
}

fn frames(buffer: &mut BytesMut) -> Vec<Frame> {
    std::iter::from_fn(|| Frame::read(buffer).ok().flatten()).collect()
}

fn written(frame: &Frame, octets: &[u8]) {
    // A reason that is no text is shown as one.
    if let Frame::Abort { reason } = frame
        && reason.contains(char::REPLACEMENT_CHARACTER)
    {
        return;
    }
    let mut out = BytesMut::new();
    frame.write(&mut out);
    assert_eq!(out, octets);
}

/// The first octet is a symbol's length; then steps of five: what, block, encoding symbol, an octet, a length.
pub fn reception(data: &[u8]) {
    let Some((size, steps)) = data.split_first() else { return };
    let (key, symbol_bytes) = (Key::from([5; 16]), u16::from(*size).max(1));
    let size = usize::from(symbol_bytes);
    let welcome =
        Welcome { transfer: TRANSFER, key: key.clone(), symbol_bytes, window_blocks: 3, head: bytes::Bytes::new() };
    let mut reception = Reception::new(&welcome);
    let mut sealer = Sealer::new(&key, TRANSFER);
    let mut announced = BTreeMap::new();
    let mut sealed = Vec::new();
    for step in steps.chunks_exact(5).take(400) {
        let (block, octet) = (u32::from(step[1] % 6), step[3]);
        // The block that is announced has this body; what is sent of it may be true or not.
        let body: Vec<u8> = (0..usize::from(step[4]) * 3 + 1).map(|at| (at as u8).wrapping_mul(octet | 1)).collect();
        match step[0] % 6 {
            0 | 1 => {
                let esi = step[2];
                let octets = vec![octet; if step[4] == 255 { size + 1 } else { size }];
                sealed.clear();
                sealer.seal(&mut sealed, |out| Symbol { transfer: TRANSFER, block, esi, octets: &octets }.write(out));
                // Useless ones are counted.
                let _ = reception.packet(&mut sealed);
            }
            2 => {
                let (length, digest) = (u32::try_from(body.len()).expect("short"), coding::digest_of(&body));
                if reception.announce(block, length, digest).is_ok() {
                    announced.insert(block, (body.len(), digest));
                }
            }
            3 => {
                let begins = (usize::from(step[2]) * size).min(body.len());
                let ends = (begins + size * usize::from(octet % 3 + 1)).min(body.len());
                let _ = reception.data(block, u32::from(step[2]), &body[begins..ends]);
            }
            4 => drop(reception.judge()),
            _ => {
                let next = reception.next();
                if let Some(out) = reception.take() {
                    let (length, digest) = announced.get(&next).expect("nobody announced it");
                    assert_eq!((out.len(), coding::digest_of(&out)), (*length, *digest), "block {next}");
                    assert_eq!(reception.next(), next + 1);
                }
            }
        }
        for block in 0..6 {
            let Some(lack) = reception.lack(block) else { continue };
            let (length, _) = announced.get(&block).expect("nobody announced it");
            assert!(lack.missing.iter().all(|symbol| symbol < coding::symbols_of(*length, symbol_bytes)));
        }
    }
}
