//! A publisher's side, spoken by hand.

use super::*;

const MESSAGE_MAX_BYTES: u32 = 1 << 20;

/// What a publisher sends up to and with `publish`.
fn hello(application: &str, key: &str) -> Vec<u8> {
    let mut octets = vec![3];
    octets.extend_from_slice(&[1; 2 * 1536]);
    let object = Value::Object(vec![("app".to_owned(), Value::text(application))]);
    command(&mut octets, 0, &[Value::text("connect"), Value::Number(1.0), object]);
    command(&mut octets, 0, &[Value::text("createStream"), Value::Number(2.0), Value::Null]);
    let publish = [Value::text("publish"), Value::Number(3.0), Value::Null, Value::text(key), Value::text("live")];
    command(&mut octets, STREAM, &publish);
    octets
}

fn command(octets: &mut Vec<u8>, stream: u32, values: &[Value]) {
    let payload = amf::write(values).into();
    chunk_stream::write(octets, COMMAND_STREAM, &Message { kind: kind::COMMAND, stream, time_ms: 0, payload });
}

fn send(kind: u8, payload: &'static [u8]) -> Vec<u8> {
    let mut octets = Vec::new();
    let message = Message { kind, stream: STREAM, time_ms: 40, payload: Bytes::from_static(payload) };
    chunk_stream::write(&mut octets, 6, &message);
    octets
}

/// Everything that a server answered after its handshake, as messages.
fn answers(output: &[u8]) -> Vec<Message> {
    let mut rest = &output[1 + 2 * 1536..];
    let mut reader = ChunkReader::new(MESSAGE_MAX_BYTES);
    std::iter::from_fn(|| reader.read(&mut rest).unwrap()).collect()
}

/// The codes that commands among them carry.
fn codes(messages: &[Message]) -> Vec<String> {
    let values = messages.iter().filter(|message| message.kind == kind::COMMAND);
    let values = values.flat_map(|message| amf::read(&message.payload).unwrap());
    values.filter_map(|value| value.member("code").and_then(Value::as_text).map(str::to_owned)).collect()
}

#[test]
fn a_publisher_is_let_in_and_sends() {
    let mut session = Session::new(MESSAGE_MAX_BYTES);
    let mut events = Vec::new();
    for octet in hello("live", "s3cret?x=1") {
        session.receive(&[octet], &mut events).unwrap();
    }
    assert_eq!(events, [Event::Publish(StreamKey::new("s3cret?x=1".to_owned()))]);
    assert!(!format!("{events:?} {session:?}").contains("s3cret"));
    session.accept();
    let octets = [send(kind::VIDEO, &[0x17, 0]), send(kind::AUDIO, &[0xaf])].concat();
    session.receive(&octets, &mut events).unwrap();
    let video = Sent::Video { time_ms: 40, body: Bytes::from_static(&[0x17, 0]) };
    let audio = Sent::Audio { time_ms: 40, body: Bytes::from_static(&[0xaf]) };
    assert_eq!(events[1..], [Event::Sent(video), Event::Sent(audio)]);
    let mut end = Vec::new();
    command(&mut end, STREAM, &[Value::text("deleteStream"), Value::Number(4.0), Value::Null, Value::Number(1.0)]);
    session.receive(&end, &mut events).unwrap();
    assert_eq!(events.last(), Some(&Event::End));
    let answered = answers(&session.take_output());
    assert_eq!(codes(&answered), ["NetConnection.Connect.Success", "NetStream.Publish.Start"]);
}

#[test]
fn a_bad_key_is_told_so() {
    let mut session = Session::new(MESSAGE_MAX_BYTES);
    let mut events = Vec::new();
    session.receive(&hello("live", "wrong"), &mut events).unwrap();
    session.refuse(Refusal::BadKey);
    // What it sends nevertheless is not taken.
    session.receive(&send(kind::VIDEO, &[0x17, 0]), &mut events).unwrap();
    assert_eq!(events.len(), 1);
    let answered = answers(&session.take_output());
    assert_eq!(codes(&answered), ["NetConnection.Connect.Success", "NetStream.Publish.BadName"]);
}

#[test]
fn another_application_and_media_before_leave_are_errors() {
    let receive = |octets: &[u8]| {
        let mut session = Session::new(MESSAGE_MAX_BYTES);
        session.receive(octets, &mut Vec::new()).map_err(|error| (error, codes(&answers(&session.take_output()))))
    };
    let (error, told) = receive(&hello("vod", "key")).unwrap_err();
    assert_eq!((error, told), (SessionError::Application, vec!["NetConnection.Connect.InvalidApp".to_owned()]));
    let early = [hello("live", "key"), send(kind::VIDEO, &[0x17, 0])].concat();
    assert_eq!(receive(&early).unwrap_err().0, SessionError::OutOfPlace { command: "media" });
    let twice = [hello("live", "key"), hello("live", "key")[1 + 2 * 1536..].to_vec()].concat();
    assert_eq!(receive(&twice).unwrap_err().0, SessionError::OutOfPlace { command: "connect" });
}

#[test]
fn what_has_come_is_acknowledged() {
    let mut session = Session::new(MESSAGE_MAX_BYTES);
    session.receive(&hello("live", "key"), &mut Vec::new()).unwrap();
    session.receive(&send(kind::WINDOW_SIZE, &[0, 1, 0, 0]), &mut Vec::new()).unwrap();
    session.take_output();
    let mut sent = 0;
    while sent < 60_000 {
        let octets = send(kind::PEER_BANDWIDTH, &[0; 1000]);
        session.receive(&octets, &mut Vec::new()).unwrap();
        sent += octets.len();
    }
    assert!(session.take_output().is_empty());
    for _ in 0..10 {
        session.receive(&send(kind::PEER_BANDWIDTH, &[0; 1000]), &mut Vec::new()).unwrap();
    }
    // Type 3 on chunk stream 2, four octets.
    assert_eq!(session.take_output()[..8], [2, 0, 0, 0, 0, 0, 4, kind::ACKNOWLEDGEMENT]);
}
