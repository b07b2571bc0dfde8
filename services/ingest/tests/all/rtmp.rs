//! The RTMP door on its socket: who is sent away, and that nobody who is costs more than its connection.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use flame_ingest::config::RtmpConfig;
use flame_ingest::rtmp::amf::{self, Value};
use flame_ingest::rtmp::chunk_stream::{self, ChunkReader, Message};
use flame_service_host::config::Span;
use flame_test_kit::eventually;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use reqwest::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{PATIENCE, World, without_media};

/// Shorter than in production, so that tests end.
const HANDSHAKE: Duration = Duration::from_millis(700);
const HELLO_BYTES: usize = 1 + 2 * 1536;
const COMMAND: u8 = 20;
const VIDEO: u8 = 9;

async fn door() -> (World, SocketAddr) {
    let world = World::start_with(|config| {
        without_media(config);
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let handshake = Span(HANDSHAKE);
        config.rtmp = Some(RtmpConfig { listen, handshake, max_connections: 4, ..RtmpConfig::default() });
    })
    .await;
    let address = world.rtmp_address();
    (world, address)
}

fn message(kind: u8, stream: u32, payload: Vec<u8>) -> Vec<u8> {
    let mut octets = Vec::new();
    chunk_stream::write(&mut octets, 3, &Message { kind, stream, time_ms: 0, payload: payload.into() });
    octets
}

fn handshake() -> Vec<u8> {
    [vec![3], vec![5; HELLO_BYTES - 1]].concat()
}

fn connect(application: &str) -> Vec<u8> {
    let object = Value::Object(vec![("app".to_owned(), Value::text(application))]);
    message(COMMAND, 0, amf::write(&[Value::text("connect"), Value::Number(1.0), object]))
}

fn publish(key: &str) -> Vec<u8> {
    let values = [Value::text("publish"), Value::Number(5.0), Value::Null, Value::text(key), Value::text("live")];
    message(COMMAND, 1, amf::write(&values))
}

/// Sends octets and reads until the door closes the connection, at the latest after [`PATIENCE`].
async fn until_closed(address: SocketAddr, octets: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // It may close before it has read all.
    let _ = stream.write_all(octets).await;
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    closed.expect("the door closes the connection").map_or(answer.clone(), |_| answer)
}

/// The codes of the commands in an answer.
fn codes(answer: &[u8]) -> Vec<String> {
    let mut rest = answer.get(HELLO_BYTES..).unwrap_or_default();
    let mut reader = ChunkReader::new(1 << 20);
    let messages = std::iter::from_fn(|| reader.read(&mut rest).unwrap()).filter(|message| message.kind == COMMAND);
    let values = messages.flat_map(|message| amf::read(&message.payload).unwrap());
    values.filter_map(|value| value.member("code").and_then(Value::as_text).map(str::to_owned)).collect()
}

/// A connection for which there is a place, now or soon.
async fn taken(address: SocketAddr) -> TcpStream {
    eventually(PATIENCE, || async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let shaken = async {
            stream.write_all(&handshake()).await?;
            stream.read_exact(&mut [0; HELLO_BYTES]).await
        };
        shaken.await.map_err(|error| format!("no place is free: {error}"))?;
        Ok::<_, String>(stream)
    })
    .await
}

async fn metrics(world: &World) -> String {
    world.request(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn who_speaks_something_else_loses_its_connection_alone() {
    let (world, address) = door().await;
    let mut random = StdRng::seed_from_u64(7);
    let mut noise = vec![0; 200_000];
    random.fill_bytes(&mut noise);
    let lying_length = [handshake(), vec![3, 0, 0, 0, 0xff, 0xff, 0xff, COMMAND, 0, 0, 0, 0]].concat();
    let no_beginning = [handshake(), vec![0xc5; 100]].concat();
    let bomb = [handshake(), message(COMMAND, 0, [3, 0, 1, b'a'].repeat(10_000))].concat();
    let noise_within = [handshake(), noise.clone()].concat();
    let early = [handshake(), connect("live"), message(VIDEO, 1, vec![0x17, 0, 0, 0, 0])].concat();
    let foreign = [handshake(), connect("vod")].concat();
    let begun = Instant::now();
    let foreigners = [b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0x16, 3, 1, 2, 0]];
    let liars = [lying_length, no_beginning, bomb, early, foreign];
    for octets in foreigners.iter().chain(&liars) {
        until_closed(address, octets).await;
    }
    // None of them was waited for.
    assert!(begun.elapsed() < 7 * HANDSHAKE, "{:?}", begun.elapsed());
    until_closed(address, &noise).await;
    until_closed(address, &noise_within).await;
    let text = metrics(&world).await;
    assert!(text.contains(r#"flame_live_publishers_refused_total{reason="protocol",service="ingest"} "#), "{text}");
    let ready = world.request(Method::GET, "/health/ready").send().await.unwrap();
    assert_eq!(ready.status(), 200);
}

#[tokio::test]
async fn an_endless_handshake_ends_and_places_are_bounded() {
    let (world, address) = door().await;
    // Each octet comes in time, and all of them never.
    let mut slow = TcpStream::connect(address).await.unwrap();
    let begun = Instant::now();
    let ended = async {
        loop {
            let mut octet = [0];
            tokio::select! {
                read = slow.read(&mut octet) => match read {
                    Ok(0) | Err(_) => break,
                    Ok(_) => {}
                },
                () = tokio::time::sleep(HANDSHAKE / 20) => {}
            }
            if slow.write_all(&[3]).await.is_err() {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the door ends it");
    assert!(begun.elapsed() >= HANDSHAKE);

    drop(slow);
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(taken(address).await);
    }
    // There is no place for a fifth.
    assert!(until_closed(address, &[]).await.is_empty());
    assert!(metrics(&world).await.contains(r#"flame_live_publishers_refused_total{reason="full",service="ingest"} "#));
    drop(held);
    taken(address).await;
}

#[tokio::test]
async fn without_streaming_a_publisher_is_told_to_come_back() {
    let (_world, address) = door().await;
    let answer = until_closed(address, &[handshake(), connect("live"), publish("s3cret")].concat()).await;
    assert_eq!(codes(&answer), ["NetConnection.Connect.Success", "NetStream.Publish.Failed"]);
}

#[tokio::test]
async fn a_service_that_stops_ends_its_connections() {
    let (mut world, address) = door().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&[handshake(), connect("live")].concat()).await.unwrap();
    let mut answer = vec![0; HELLO_BYTES];
    stream.read_exact(&mut answer).await.unwrap();
    let begun = Instant::now();
    world.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    let mut rest = Vec::new();
    // Closed or reset: it has ended.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("the connection ended");
    assert!(TcpStream::connect(address).await.is_err());
}

/// Linux takes all of 127.0.0.0/8 for its own: connections come from another address than the tests' usual one.
#[tokio::test]
async fn an_address_that_only_connects_leaves_room_for_others() {
    let world = World::start_with(|config| {
        without_media(config);
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        config.rtmp = Some(RtmpConfig { listen, max_connections: 10, ..RtmpConfig::default() });
    })
    .await;
    let address = world.rtmp_address();
    let mut crowd = Vec::new();
    for _ in 0..20 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 2], 0))).unwrap();
        crowd.push(socket.connect(address).await.unwrap());
    }
    // Connections are taken in the order in which they come: these are refused.
    for stream in &mut crowd[8..] {
        let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
        assert!(matches!(closed, Ok(Ok(0) | Err(_))), "{closed:?}");
    }
    taken(address).await;
    assert!(
        metrics(&world).await.contains(r#"flame_live_publishers_refused_total{reason="full",service="ingest"} 12"#)
    );
}
