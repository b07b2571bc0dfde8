//! What encoders send to the SRT door: datagrams of strangers and of callers, and the transport stream in them.

use std::time::{Duration, Instant};

use flame_cmaf::ts::reader::{Kind, TsEvent, TsReader};
use flame_ingest::srt::access;
use flame_ingest::srt::handshake::{Greeter, Greeting};
use flame_ingest::srt::packet::{Body, Control, Packet, ahead, octets};
use flame_ingest::srt::receiver::Receiver;
use flame_ingest::srt::secret::Passphrase;

const UNIT_MAX_BYTES: usize = 64 << 10;
const DATAGRAM_MAX_BYTES: usize = 1500;
const LATENCY: Duration = Duration::from_millis(50);
const WINDOW: usize = 64;
/// Between two datagrams.
const STEP: Duration = Duration::from_millis(5);
/// Where the cookie is in a handshake.
const COOKIE: std::ops::Range<usize> = 28..32;

/// The data is a transport stream.
pub fn transport(data: &[u8]) {
    let whole = read(data, data.len().max(1));
    for piece in [1, 7, 129, 188] {
        assert_eq!(read(data, piece), whole, "in pieces of {piece}");
    }
    let mut bytes = 0;
    for event in &whole.0 {
        match event {
            TsEvent::Media { kind, time_ticks, data, .. } => {
                assert!(*time_ticks < 1 << 33 && !data.is_empty());
                if *kind == Kind::Picture {
                    let mut rest = &data[..];
                    while let Some((length, after)) = rest.split_first_chunk::<4>() {
                        let (unit, after) = after.split_at(u32::from_be_bytes(*length) as usize);
                        assert!(!unit.is_empty() && ![7, 8, 9].contains(&(unit[0] & 0x1f)));
                        rest = after;
                    }
                    assert!(rest.is_empty());
                }
                bytes += data.len();
            }
            TsEvent::Configuration(Kind::Picture, record) => assert!(record.len() > 10 && record[0] == 1),
            TsEvent::Configuration(Kind::Sound, config) => assert_eq!(config.len(), 2),
            TsEvent::Program { .. } | TsEvent::Skipped { .. } => {}
        }
    }
    // A start code has three octets at least, a length four.
    assert!(3 * bytes <= 4 * data.len(), "more media than came");
}

fn read(data: &[u8], piece: usize) -> (Vec<TsEvent>, u64) {
    let (mut reader, mut events) = (TsReader::new(UNIT_MAX_BYTES), Vec::new());
    data.chunks(piece).for_each(|piece| reader.push(piece, &mut events));
    reader.finish(&mut events);
    (events, reader.faults())
}

/// The data are datagrams, each behind two octets of its length; handshakes get the cookie that their caller would have been given.
pub fn datagrams(data: &[u8]) {
    let address = "192.0.2.1:5000".parse().expect("an address");
    let greeter = Greeter::new([7; 32]);
    let cookie = cookie(&greeter, address);
    // Whatever it is: only what passes since is looked at.
    let begun = Instant::now();
    let (mut now, mut receiver, mut given) = (begun, Receiver::new(0, LATENCY, WINDOW, begun), 0);
    let passphrase = Passphrase::new("nobody is told this").expect("long enough");
    let mut rest = data;
    while let Some(([high, low], after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (datagram, after) = after.split_at(length);
        rest = after;
        now += STEP;
        let Some(packet) = Packet::read(datagram) else { continue };
        match packet.body {
            Body::Handshake(handshake) => {
                let mut handshake = handshake.to_vec();
                if let Some(field) = handshake.get_mut(COOKIE) {
                    field.copy_from_slice(&cookie);
                }
                match greeter.greet(address, &handshake, 0) {
                    Greeting::Answer(answer, socket) => {
                        assert!(
                            answer.write(0, socket).len() <= datagram.len(),
                            "an answer is longer than its question"
                        );
                    }
                    Greeting::Call(call) => {
                        assert!(call.stream_id.len() <= 512);
                        if let Ok(key) = access::read(&call.stream_id) {
                            assert!(call.stream_id.contains(key.reveal()) && !key.reveal().is_empty());
                        }
                    }
                    Greeting::Silence => {}
                }
            }
            Body::Data { sequence, payload, .. } => receiver.data(sequence, payload, now),
            Body::AckAck(number) => receiver.ack_ack(number, now),
            Body::DropRequest { first, last } => receiver.drop_request(first, last),
            Body::Keys(message) => assert!(passphrase.open(message).is_err(), "who wraps keys knows the passphrase"),
            Body::Shutdown => receiver.close(),
            Body::Other => {}
        }
        while let Some(payload) = receiver.take(now) {
            given += payload.len();
        }
        for control in receiver.due(now) {
            assert!(control.write(0, 1).len() <= DATAGRAM_MAX_BYTES);
            match control {
                Control::Nak(missing) => {
                    assert!(missing.iter().all(|(first, last)| (0..WINDOW as i64).contains(&ahead(*first, *last))));
                }
                Control::Ack { room, .. } => assert!(room as usize <= WINDOW),
                Control::KeepAlive | Control::Shutdown | Control::Handshake(_) | Control::Keys(_) => {}
            }
        }
    }
    assert!(given <= data.len(), "more media than came");
}

fn cookie(greeter: &Greeter, address: std::net::SocketAddr) -> [u8; 4] {
    let induction = octets(&[4, 2, 0, 1500, 8192, 1, 1, 0, 0, 0, 0, 0]);
    let Greeting::Answer(Control::Handshake(answer), 1) = greeter.greet(address, &induction, 0) else {
        panic!("an induction is answered")
    };
    answer[COOKIE].try_into().expect("four octets")
}
