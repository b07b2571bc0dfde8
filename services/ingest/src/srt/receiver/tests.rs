//! A sender behind a line that loses, doubles and mixes up, and what becomes of what it sends.

use proptest::prelude::*;

use super::*;

const LATENCY: Duration = Duration::from_millis(120);
const WINDOW: usize = 64;

fn all(receiver: &mut Receiver, now: Instant) -> Vec<Bytes> {
    std::iter::from_fn(|| receiver.take(now)).collect()
}

fn payload(number: u32) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

#[test]
fn in_order_nothing_is_held_back_and_a_gap_is_waited_for_and_asked_for() {
    let begun = Instant::now();
    let mut receiver = Receiver::new(u32::MAX >> 1, LATENCY, WINDOW, begun);
    receiver.data(u32::MAX >> 1, b"a", begun);
    assert_eq!(all(&mut receiver, begun), [&b"a"[..]]);
    receiver.data(2, b"d", begun);
    assert_eq!(all(&mut receiver, begun), [&b""[..]; 0]);
    let due = receiver.due(begun);
    assert_eq!(due[0], Control::Nak(vec![(0, 1)]));
    assert!(matches!(due[1], Control::Ack { number: 1, next: 0, .. }), "{due:?}");
    // Not again at once, but before long.
    assert_eq!(receiver.due(begun + TICK), []);
    let later = begun + Duration::from_millis(160);
    assert!(receiver.due(later).contains(&Control::Nak(vec![(0, 1)])));
    receiver.data(1, b"c", begun + LATENCY / 2);
    receiver.data(0, b"b", begun + LATENCY / 2);
    assert_eq!(all(&mut receiver, begun + LATENCY / 2), [&b"b"[..], b"c", b"d"]);
    assert_eq!(receiver.lost(), 0);
}

#[test]
fn what_does_not_come_is_given_up() {
    let begun = Instant::now();
    let mut receiver = Receiver::new(7, LATENCY, WINDOW, begun);
    receiver.data(8, b"b", begun);
    assert_eq!(all(&mut receiver, begun + LATENCY - TICK), [&b""[..]; 0]);
    assert_eq!(all(&mut receiver, begun + LATENCY), [&b"b"[..]]);
    // It comes after all.
    receiver.data(7, b"a", begun + LATENCY);
    assert_eq!(all(&mut receiver, begun + LATENCY), [&b""[..]; 0]);
    // The sender gives up itself, also of what nobody has missed.
    receiver.data(10, b"d", begun);
    receiver.drop_request(9, 12);
    assert_eq!(all(&mut receiver, begun), [&b"d"[..]]);
    receiver.data(13, b"e", begun);
    assert_eq!(all(&mut receiver, begun), [&b"e"[..]]);
    assert_eq!(receiver.lost(), 4);
    // Who leaves is not waited for.
    receiver.data(15, b"f", begun);
    receiver.close();
    assert_eq!(all(&mut receiver, begun), [&b"f"[..]]);
}

#[test]
fn round_trips_are_measured() {
    let begun = Instant::now();
    let mut receiver = Receiver::new(1, LATENCY, WINDOW, begun);
    let mut now = begun;
    for number in 1..100 {
        receiver.data(number, b"x", now);
        all(&mut receiver, now);
        let due = receiver.due(now);
        let [Control::Ack { number, .. }] = due.as_slice() else { panic!("{due:?}") };
        receiver.ack_ack(*number, now + Duration::from_millis(5));
        now += TICK;
    }
    receiver.data(100, b"x", now);
    all(&mut receiver, now);
    let due = receiver.due(now);
    let [Control::Ack { rtt_us: [mean_us, variance_us], .. }] = due.as_slice() else { panic!("{due:?}") };
    assert!(mean_us.abs_diff(5000) < 20 && *variance_us < 20, "{mean_us} {variance_us}");
    // Nothing new and all confirmed: it only says now and then that it is there.
    receiver.ack_ack(100, now);
    assert_eq!(receiver.due(now + TICK), []);
    assert_eq!(receiver.due(now + KEEP_ALIVE), [Control::KeepAlive]);
}

proptest! {
    /// A sender that answers reports, over a line that loses some of all that is sent.
    #[test]
    fn everything_comes_in_order_or_is_known_to_be_lost(
        first in any::<u32>().prop_map(|first| first >> 1),
        losses in prop::collection::vec(any::<u8>(), 64),
        swaps in prop::collection::vec(any::<bool>(), 200),
        loses_percent in 0_u8..60,
    ) {
        let begun = Instant::now();
        let mut receiver = Receiver::new(first, LATENCY, WINDOW, begun);
        let (mut now, mut tries, mut got) = (begun, 0, Vec::new());
        let mut is_lost = || {
            tries += 1;
            losses[tries % losses.len()] % 100 < loses_percent
        };
        let mut line: Vec<u32> = Vec::new();
        for number in 0..200_u32 {
            line.push(number);
            if swaps[number as usize] && line.len() > 1 {
                let length = line.len();
                line.swap(length - 1, length - 2);
            }
            for number in line.drain(..) {
                if !is_lost() {
                    receiver.data(later(first, number), &payload(number), now);
                }
            }
            for control in receiver.due(now) {
                if let Control::Nak(missing) = control {
                    for (from, to) in missing {
                        line.extend((0..=ahead(from, to)).map(|n| later(from, u32::try_from(n).unwrap())).map(|n| n.wrapping_sub(first) & (u32::MAX >> 1)));
                    }
                }
            }
            got.extend(all(&mut receiver, now));
            prop_assert!(receiver.slots.len() <= WINDOW);
            now += Duration::from_millis(3);
        }
        got.extend(all(&mut receiver, now + LATENCY));
        let numbers: Vec<u32> = got.iter().map(|got| u32::from_be_bytes(got[..].try_into().unwrap())).collect();
        prop_assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        if loses_percent == 0 {
            prop_assert_eq!(numbers.len(), 200);
        }
        let end = numbers.last().map_or(0, |last| last + 1);
        prop_assert_eq!(numbers.len() as u64 + receiver.lost(), u64::from(end));
    }
}
