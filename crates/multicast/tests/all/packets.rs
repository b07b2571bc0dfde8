//! What the network can throw at the packet parser, the opener and the reception.

use flame_multicast::alc::{HEADER_BYTES, Malformed, Symbol};
use flame_multicast::leg::Welcome;
use flame_multicast::reception::{Reception, Refused};
use flame_multicast::seal::{Key, Sealer};
use flame_multicast::{SYMBOL_BYTES, coding};
use proptest::prelude::*;

fn packet(symbol: Symbol<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    symbol.write(&mut out);
    out
}

proptest! {
    #[test]
    fn what_is_written_is_read(transfer: u32, block: u32, esi: u8, octets in prop::collection::vec(any::<u8>(), 1..1500)) {
        let symbol = Symbol { transfer, block, esi, octets: &octets };
        let written = packet(symbol);
        prop_assert_eq!(Symbol::read(&written), Ok(symbol));
    }

    /// Nothing but what is written is read, and nothing panics.
    #[test]
    fn any_octets_are_refused_or_are_exactly_a_packet(octets in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(symbol) = Symbol::read(&octets) {
            prop_assert_eq!(packet(symbol), octets);
        }
    }

    #[test]
    fn a_packet_with_one_octet_changed_is_refused_or_another_packet(at in 0usize..40, to: u8) {
        let mut octets = packet(Symbol { transfer: 1, block: 2, esi: 3, octets: &[7; 20] });
        octets[at] = to;
        match Symbol::read(&octets) {
            Ok(symbol) => prop_assert_eq!(packet(symbol), octets),
            Err(Malformed::Header) => prop_assert!(at < 8),
            Err(Malformed::SourceBlock(found)) => {
                prop_assert!((16..19).contains(&at) && found == u32::from(to) << (8 * (18 - at)));
            }
            Err(Malformed::Short) => prop_assert!(false),
        }
    }

    /// A reception takes anything in any order, holds no more than its window, and gives out only what is right.
    #[test]
    fn a_reception_survives_what_members_with_the_key_can_send(
        packets in prop::collection::vec((any::<u16>(), prop_oneof![0u32..4, Just(u32::MAX)], prop_oneof![0u8..6, 250u8..=255], any::<u8>(), prop::bool::weighted(0.9)), 0..60),
        announced_after in 0usize..60,
    ) {
        let key = Key::random();
        let welcome = Welcome { transfer: 9, key: key.clone(), symbol_bytes: SYMBOL_BYTES, window_blocks: 3, head: Default::default() };
        let mut reception = Reception::new(&welcome);
        let mut sealer = Sealer::new(&key, 9);
        let body = vec![5; usize::from(SYMBOL_BYTES) * 3];
        for (at, (transfer, block, esi, octet, is_whole)) in packets.into_iter().enumerate() {
            if at == announced_after {
                reception.announce(0, body.len() as u32, coding::digest_of(&body)).unwrap();
            }
            let octets = vec![octet; if is_whole { usize::from(SYMBOL_BYTES) } else { usize::from(octet) + 1 }];
            // Mostly the right transfer.
            let transfer = if transfer < 60_000 { 9 } else { u32::from(transfer) };
            let mut sealed = Vec::new();
            sealer.seal(&mut sealed, |out| Symbol { transfer, block, esi, octets: &octets }.write(out));
            let taken = reception.packet(&mut sealed);
            if !is_whole || block >= 3 || transfer != 9 || esi == 255 {
                prop_assert_eq!(taken, Err(Refused::Useless));
            }
            reception.judge();
            if let Some(out) = reception.take() {
                prop_assert_eq!(&out[..], &body[..]);
            }
        }
    }
}

#[test]
fn a_header_cut_anywhere_is_short() {
    let octets = packet(Symbol { transfer: 1, block: 2, esi: 3, octets: &[7] });
    for length in 0..=HEADER_BYTES {
        assert_eq!(Symbol::read(&octets[..length]), Err(Malformed::Short));
    }
    assert!(Symbol::read(&octets).is_ok());
}
