//! One publisher's connection as a state machine: octets in; answers and what they mean out.
//!
//! It speaks the server's side of RTMP (specification 1.0, section 7) as far as publishing goes: `connect`, `createStream`,
//! `publish`, media, and the end. It opens no socket, asks nobody and decides no key: who owns it answers
//! [`Event::Publish`] with [`Session::accept`] or [`Session::refuse`].

use bytes::Bytes;
use thiserror::Error;

use super::amf::{self, AmfError, Value};
use super::chunk_stream::{self, ChunkError, ChunkReader, Message};
use super::handshake::{Handshake, HandshakeError, Shake};
use crate::live::key::StreamKey;

/// The application that encoders name: `rtmp://HOST/live/KEY`.
pub const APPLICATION: &str = "live";

/// Octets after which each side wants to hear that they have come.
const WINDOW_BYTES: u32 = 2_500_000;
/// An answer goes out after so many octets at the earliest, whatever the client asks for.
const WINDOW_MIN_BYTES: u32 = 64 << 10;
/// The longest command; media may be longer.
const COMMAND_MAX_BYTES: usize = 64 << 10;
/// The message stream that `createStream` gives.
const STREAM: u32 = 1;

/// Types of messages (section 5.4 and 7.1).
mod kind {
    pub(super) const SET_CHUNK_SIZE: u8 = 1;
    pub(super) const ABORT: u8 = 2;
    pub(super) const ACKNOWLEDGEMENT: u8 = 3;
    pub(super) const USER_CONTROL: u8 = 4;
    pub(super) const WINDOW_SIZE: u8 = 5;
    pub(super) const PEER_BANDWIDTH: u8 = 6;
    pub(super) const AUDIO: u8 = 8;
    pub(super) const VIDEO: u8 = 9;
    pub(super) const DATA_AMF3: u8 = 15;
    pub(super) const COMMAND_AMF3: u8 = 17;
    pub(super) const DATA: u8 = 18;
    pub(super) const COMMAND: u8 = 20;
    pub(super) const AGGREGATE: u8 = 22;
}

/// Chunk streams of answers.
const CONTROL_STREAM: u8 = 2;
const COMMAND_STREAM: u8 = 3;

/// Events of `USER_CONTROL`.
const STREAM_BEGIN: u16 = 0;
const PING_REQUEST: u16 = 6;
const PING_RESPONSE: u16 = 7;

/// What came.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// It wants to publish. Media comes once it may.
    Publish(StreamKey),
    /// It sent something of its media.
    Sent(Sent),
    /// It has ended what it published.
    End,
}

/// What a publisher sends.
#[derive(Debug, Clone, PartialEq)]
pub enum Sent {
    /// What it says about its media (`onMetaData`).
    Metadata(Value),
    /// Sound: the body of an FLV tag.
    Audio {
        /// When, milliseconds modulo 2^32.
        time_ms: u32,
        /// What.
        body: Bytes,
    },
    /// A picture: the body of an FLV tag.
    Video {
        /// When, milliseconds modulo 2^32.
        time_ms: u32,
        /// What.
        body: Bytes,
    },
}

/// Why a publisher is not to have its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The key opens nothing.
    BadKey,
    /// It cannot be asked now, or no more is taken.
    NotNow,
}

/// Octets that a publisher does not send.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SessionError {
    /// The handshake.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The chunk stream.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// A command.
    #[error(transparent)]
    Amf(#[from] AmfError),
    /// A message that is too short for its type, or too long for a command.
    #[error("a message of type {kind} has {length_bytes} bytes")]
    Length {
        /// Its type.
        kind: u8,
        /// Its length.
        length_bytes: usize,
    },
    /// A command that does not come now, or not like this.
    #[error("`{command}` cannot come now")]
    OutOfPlace {
        /// Which.
        command: &'static str,
    },
    /// Another application than this one.
    #[error("it asks for another application than `{APPLICATION}`: publish to rtmp://HOST/{APPLICATION}/KEY")]
    Application,
    /// It wants to watch.
    #[error("it wants to play; viewers get HLS from streaming")]
    Play,
    /// Several messages in one.
    #[error("it sends aggregate messages, which are not taken")]
    Aggregate,
}

/// A publisher's connection. See the module.
#[derive(Debug)]
pub struct Session {
    stage: Stage,
    chunks: ChunkReader,
    output: Vec<u8>,
    received_bytes: u32,
    acknowledged_bytes: u32,
    window_bytes: u32,
}

#[derive(Debug)]
enum Stage {
    Handshake(Handshake),
    /// Nothing has been named.
    Open,
    /// The application is the right one.
    Connected,
    /// The key is being looked at.
    Asked,
    Publishing,
    Over,
}

// === impl Session ===

impl Session {
    /// A connection on which nothing has come. Messages have at most `message_max_bytes`.
    #[must_use]
    pub fn new(message_max_bytes: u32) -> Self {
        Self {
            stage: Stage::Handshake(Handshake::new()),
            chunks: ChunkReader::new(message_max_bytes),
            output: Vec::new(),
            received_bytes: 0,
            acknowledged_bytes: 0,
            window_bytes: WINDOW_BYTES,
        }
    }

    /// Octets that are to be sent now.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Whether the handshake is over.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !matches!(self.stage, Stage::Handshake(_))
    }

    /// Takes octets, and appends what they mean to `events`.
    ///
    /// # Errors
    /// [`SessionError`]; the connection is of no use then.
    pub fn receive(&mut self, mut input: &[u8], events: &mut Vec<Event>) -> Result<(), SessionError> {
        while let Stage::Handshake(handshake) = &mut self.stage {
            match handshake.read(&mut input)? {
                Shake::More => return Ok(()),
                Shake::Answer(octets) => self.output.extend_from_slice(&octets),
                Shake::Done => self.stage = Stage::Open,
            }
        }
        self.received_bytes = self.received_bytes.wrapping_add(u32::try_from(input.len()).unwrap_or(u32::MAX));
        while let Some(message) = self.chunks.read(&mut input)? {
            self.take(message, events)?;
        }
        if self.received_bytes.wrapping_sub(self.acknowledged_bytes) >= self.window_bytes {
            self.acknowledged_bytes = self.received_bytes;
            self.control(kind::ACKNOWLEDGEMENT, &self.received_bytes.to_be_bytes());
        }
        Ok(())
    }

    /// The publisher may send.
    pub fn accept(&mut self) {
        if matches!(self.stage, Stage::Asked) {
            self.stage = Stage::Publishing;
            let begin = [&STREAM_BEGIN.to_be_bytes()[..], &STREAM.to_be_bytes()].concat();
            self.control(kind::USER_CONTROL, &begin);
            self.status("status", "NetStream.Publish.Start", "Send.");
        }
    }

    /// The publisher may not, and its connection is to be closed.
    pub fn refuse(&mut self, refusal: Refusal) {
        self.stage = Stage::Over;
        match refusal {
            Refusal::BadKey => self.status("error", "NetStream.Publish.BadName", "This key opens no channel."),
            Refusal::NotNow => self.status("error", "NetStream.Publish.Failed", "Not now. Try again in a while."),
        }
    }

    fn take(&mut self, message: Message, events: &mut Vec<Event>) -> Result<(), SessionError> {
        let Message { kind, time_ms, payload, .. } = message;
        let word = || match payload.get(..4) {
            Some(octets) => Ok(u32::from_be_bytes([octets[0], octets[1], octets[2], octets[3]])),
            None => Err(SessionError::Length { kind, length_bytes: payload.len() }),
        };
        match kind {
            kind::SET_CHUNK_SIZE => self.chunks.set_chunk_size(word()?)?,
            kind::ABORT => self.chunks.abort(word()?),
            kind::WINDOW_SIZE => self.window_bytes = word()?.max(WINDOW_MIN_BYTES),
            kind::USER_CONTROL => self.answer_ping(&payload),
            kind::AUDIO if self.is_publishing() => events.push(Event::Sent(Sent::Audio { time_ms, body: payload })),
            kind::VIDEO if self.is_publishing() => events.push(Event::Sent(Sent::Video { time_ms, body: payload })),
            kind::AUDIO | kind::VIDEO if !matches!(self.stage, Stage::Over) => {
                return Err(SessionError::OutOfPlace { command: "media" });
            }
            kind::DATA if self.is_publishing() => events.extend(metadata(&payload)),
            kind::DATA_AMF3 if self.is_publishing() => events.extend(metadata(payload.get(1..).unwrap_or_default())),
            kind::COMMAND => self.command(&payload, events)?,
            // An octet that says "AMF0 follows" stands in front.
            kind::COMMAND_AMF3 => self.command(payload.get(1..).unwrap_or_default(), events)?,
            kind::AGGREGATE => return Err(SessionError::Aggregate),
            _ => {}
        }
        Ok(())
    }

    fn is_publishing(&self) -> bool {
        matches!(self.stage, Stage::Publishing)
    }

    fn answer_ping(&mut self, payload: &[u8]) {
        if let [high, low, data @ ..] = payload
            && u16::from_be_bytes([*high, *low]) == PING_REQUEST
            && data.len() == 4
        {
            self.control(kind::USER_CONTROL, &[&PING_RESPONSE.to_be_bytes()[..], data].concat());
        }
    }

    fn command(&mut self, payload: &[u8], events: &mut Vec<Event>) -> Result<(), SessionError> {
        if payload.len() > COMMAND_MAX_BYTES {
            return Err(SessionError::Length { kind: kind::COMMAND, length_bytes: payload.len() });
        }
        let values = amf::read(payload)?;
        let name = values.first().and_then(Value::as_text).unwrap_or_default();
        let transaction = values.get(1).and_then(Value::as_number).unwrap_or_default();
        match (name, &self.stage) {
            ("connect", Stage::Open) => {
                let application = values.get(2).and_then(|object| object.member("app")).and_then(Value::as_text);
                self.connect(transaction, application.unwrap_or_default())?;
            }
            ("createStream", Stage::Connected | Stage::Asked | Stage::Publishing) => {
                self.reply("_result", transaction, vec![Value::Null, Value::Number(STREAM.into())]);
            }
            ("publish", Stage::Connected) => {
                let Some(name) = values.get(3).and_then(Value::as_text) else {
                    return Err(SessionError::OutOfPlace { command: "publish" });
                };
                self.stage = Stage::Asked;
                events.push(Event::Publish(StreamKey::new(name.to_owned())));
            }
            ("deleteStream" | "closeStream" | "FCUnpublish", Stage::Publishing) => {
                self.stage = Stage::Over;
                events.push(Event::End);
            }
            ("connect", _) => return Err(SessionError::OutOfPlace { command: "connect" }),
            ("createStream", _) => return Err(SessionError::OutOfPlace { command: "createStream" }),
            ("publish", _) => return Err(SessionError::OutOfPlace { command: "publish" }),
            ("play" | "play2", _) => return Err(SessionError::Play),
            // `releaseStream`, `FCPublish`, `_checkbw` and their like want no answer.
            _ => {}
        }
        Ok(())
    }

    fn connect(&mut self, transaction: f64, application: &str) -> Result<(), SessionError> {
        let status = |level: &str, code: &str, text: &str| {
            Value::Object(vec![
                ("level".to_owned(), Value::text(level)),
                ("code".to_owned(), Value::text(code)),
                ("description".to_owned(), Value::text(text)),
                ("objectEncoding".to_owned(), Value::Number(0.0)),
            ])
        };
        if application.trim_end_matches('/') != APPLICATION {
            self.stage = Stage::Over;
            let text = format!("Publish to rtmp://HOST/{APPLICATION}/KEY.");
            let refused = status("error", "NetConnection.Connect.InvalidApp", &text);
            self.reply("_error", transaction, vec![Value::Null, refused]);
            return Err(SessionError::Application);
        }
        self.stage = Stage::Connected;
        self.control(kind::WINDOW_SIZE, &WINDOW_BYTES.to_be_bytes());
        // 2: "dynamic".
        self.control(kind::PEER_BANDWIDTH, &[&WINDOW_BYTES.to_be_bytes()[..], &[2]].concat());
        let server = Value::Object(vec![
            ("fmsVer".to_owned(), Value::text("FMS/3,0,1,123")),
            ("capabilities".to_owned(), Value::Number(31.0)),
        ]);
        let connected = status("status", "NetConnection.Connect.Success", "Connected.");
        self.reply("_result", transaction, vec![server, connected]);
        Ok(())
    }

    fn reply(&mut self, name: &str, transaction: f64, rest: Vec<Value>) {
        let values = [vec![Value::text(name), Value::Number(transaction)], rest].concat();
        self.send(COMMAND_STREAM, kind::COMMAND, 0, &amf::write(&values));
    }

    fn status(&mut self, level: &str, code: &str, text: &str) {
        let status = Value::Object(vec![
            ("level".to_owned(), Value::text(level)),
            ("code".to_owned(), Value::text(code)),
            ("description".to_owned(), Value::text(text)),
        ]);
        let values = [Value::text("onStatus"), Value::Number(0.0), Value::Null, status];
        self.send(COMMAND_STREAM, kind::COMMAND, STREAM, &amf::write(&values));
    }

    fn control(&mut self, kind: u8, payload: &[u8]) {
        self.send(CONTROL_STREAM, kind, 0, payload);
    }

    fn send(&mut self, chunk_stream: u8, kind: u8, stream: u32, payload: &[u8]) {
        let message = Message { kind, stream, time_ms: 0, payload: Bytes::copy_from_slice(payload) };
        chunk_stream::write(&mut self.output, chunk_stream, &message);
    }
}

/// What a data message says about the media, if that is what it does; one that cannot be read says nothing.
fn metadata(payload: &[u8]) -> Option<Event> {
    let values = amf::read(payload.get(..COMMAND_MAX_BYTES.min(payload.len()))?).ok()?;
    let mut values = values.into_iter().skip_while(|value| value.as_text() == Some("@setDataFrame"));
    let is_metadata = values.next()?.as_text() == Some("onMetaData");
    values.next().filter(|_| is_metadata).map(|value| Event::Sent(Sent::Metadata(value)))
}

#[cfg(test)]
mod tests;
