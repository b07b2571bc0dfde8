//! The listener's side of SRT's handshake (draft-sharabayko-srt section 4.3.1): what a caller sends before there is a connection, and
//! what it is answered. Pure.
//!
//! *Nothing is kept of a stranger.* The first question is answered with a cookie made of the caller's address, the time and a secret; who
//! shows it again is where it says it is. So an address that is made up costs one datagram.

use std::net::SocketAddr;

use sha2::{Digest, Sha256};

use super::packet::{Control, octets, words};

/// What stands in front of extensions, with the caller's address, which nobody looks at.
const FIXED_BYTES: usize = 48;
const VERSION: u32 = 5;
/// Says in an answer that extensions are known.
const MAGIC: u32 = 0x4a17;
/// Kinds of handshakes; a refusal is 1000 and its code.
const INDUCTION: u32 = 1;
const CONCLUSION: u32 = 0xffff_ffff;
/// Extensions and the flags that say that there are some.
const REQUEST: u16 = 1;
const RESPONSE: u32 = 2;
const KEY_REQUEST: u16 = 3;
const KEY_RESPONSE: u32 = 4;
const STREAM_ID: u16 = 5;
const REQUEST_FLAG: u32 = 1;
const KEY_FLAG: u32 = 2;
/// The longest key message: two keys of 256 bits.
const KEYS_MAX_BYTES: usize = 16 + 16 + 64 + 8;
/// The longest stream identifier (section 3.2.1.3).
const STREAM_ID_MAX_BYTES: usize = 512;
/// What the door says it is: libsrt 1.5.0, and what of it: delivery by time, late packets dropped, losses reported again and again,
/// retransmissions marked.
const SRT_VERSION: u32 = 0x0001_0500;
const FLAGS: u32 = 0x01 | 0x02 | 0x08 | 0x10 | 0x20;
/// The longest packet, with the headers of IPv4 and UDP.
const PACKET_MAX_BYTES: u32 = 1500;
/// The time that a cookie is made of, seconds; the one before is good, too.
const COOKIE_S: u64 = 60;

/// Why a caller is refused, as the codes of SRT's access control say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Another version of the protocol, or no handshake extension.
    Version,
    /// It wants to encrypt, and there is no passphrase; or it does not, and there is one.
    Encrypted,
    /// Its passphrase is another one.
    WrongPassphrase,
    /// No stream identifier, or none that can be read.
    BadRequest,
    /// The key opens nothing.
    Unauthorized,
    /// Too many connections, or too many questions.
    Overload,
    /// It wants to receive.
    BadMode,
    /// Streaming is away.
    Down,
}

/// A caller that is where it says it is, and waits for an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its socket.
    pub socket: u32,
    /// The number of its first packet of media.
    pub sequence: u32,
    /// What it calls: not read yet.
    pub stream_id: String,
    /// How long it keeps what was lost, milliseconds.
    pub latency_ms: u16,
    /// Its key message, where it encrypts: not opened yet.
    pub keys: Option<Vec<u8>>,
    window: u32,
    cookie: u32,
}

/// What is done about a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Greeting {
    /// It is sent this, to the socket.
    Answer(Control, u32),
    /// It calls.
    Call(Call),
    /// Nothing.
    Silence,
}

/// Makes cookies, and knows them again.
pub struct Greeter {
    secret: [u8; 32],
}

// === impl Refusal ===

impl Refusal {
    /// Codes below 1000 are the protocol's own, the others of its access control.
    fn code(self) -> u32 {
        match self {
            Self::Version => 8,
            Self::WrongPassphrase => 10,
            Self::Encrypted => 11,
            Self::BadRequest => 1400,
            Self::Unauthorized => 1401,
            Self::Overload => 1402,
            Self::BadMode => 1405,
            Self::Down => 1503,
        }
    }
}

// === impl Greeter ===

impl std::fmt::Debug for Greeter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Greeter")
    }
}

impl Greeter {
    /// `secret` is random, and nobody else's.
    #[must_use]
    pub fn new(secret: [u8; 32]) -> Self {
        Self { secret }
    }

    /// What is done about a handshake that came from `address` at `now_s`, seconds on any clock.
    #[must_use]
    pub fn greet(&self, address: SocketAddr, handshake: &[u8], now_s: u64) -> Greeting {
        let Some((fixed, extensions)) = handshake.split_at_checked(FIXED_BYTES) else { return Greeting::Silence };
        let words = words(fixed);
        let &[version, fields, sequence, _, window, kind, socket, cookie, ..] = words.as_slice() else {
            return Greeting::Silence;
        };
        match kind {
            INDUCTION => {
                let cookie = self.cookie(address, now_s / COOKIE_S);
                let answer = [VERSION, MAGIC, sequence, PACKET_MAX_BYTES, window, INDUCTION, 0, cookie];
                Greeting::Answer(written(&answer, &[]), socket)
            }
            CONCLUSION => {
                let times = [now_s / COOKIE_S, (now_s / COOKIE_S).wrapping_sub(1)];
                if !times.iter().any(|time| self.cookie(address, *time) == cookie) {
                    return Greeting::Silence;
                }
                let mut call = Call {
                    socket,
                    sequence: sequence & 0x7fff_ffff,
                    stream_id: String::new(),
                    latency_ms: 0,
                    keys: None,
                    window,
                    cookie,
                };
                if version != VERSION || fields & REQUEST_FLAG == 0 {
                    return Greeting::Answer(call.refuse(Refusal::Version), socket);
                }
                match call.extensions(extensions) {
                    Ok(()) => Greeting::Call(call),
                    Err(refusal) => Greeting::Answer(call.refuse(refusal), socket),
                }
            }
            _ => Greeting::Silence,
        }
    }

    fn cookie(&self, address: SocketAddr, time: u64) -> u32 {
        let mut digest = Sha256::new();
        digest.update(self.secret);
        digest.update(address.to_string());
        digest.update(time.to_be_bytes());
        let digest = digest.finalize();
        u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
    }
}

// === impl Call ===

impl Call {
    fn extensions(&mut self, mut rest: &[u8]) -> Result<(), Refusal> {
        let mut is_request = false;
        while let Some(([a, b, c, d], after)) = rest.split_first_chunk::<4>() {
            let (kind, count) = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
            let Some((content, after)) = after.split_at_checked(4 * usize::from(count)) else {
                return Err(Refusal::BadRequest);
            };
            match kind {
                REQUEST => {
                    let &[_, _, delays, ..] = words(content).as_slice() else { return Err(Refusal::Version) };
                    // What it wants for what it sends is in the lower half.
                    self.latency_ms = u16::try_from(delays & 0xffff).unwrap_or(u16::MAX);
                    is_request = true;
                }
                KEY_REQUEST if content.len() > KEYS_MAX_BYTES => return Err(Refusal::Encrypted),
                KEY_REQUEST => self.keys = Some(content.to_vec()),
                STREAM_ID => self.stream_id = stream_id(content).ok_or(Refusal::BadRequest)?,
                _ => {}
            }
            rest = after;
        }
        if is_request { Ok(()) } else { Err(Refusal::Version) }
    }

    /// It may send to `socket`, so many packets ahead; what is lost is waited for so long. Where its keys were opened, they are said back;
    /// `key_length` is that of [`super::secret::Secret::announced_length`].
    #[must_use]
    pub fn accept(&self, socket: u32, latency_ms: u16, window_packets: usize, key_length: Option<u16>) -> Control {
        let window = self.window.min(u32::try_from(window_packets).unwrap_or(u32::MAX));
        let keys = self.keys.as_deref().zip(key_length);
        let fields = keys.map_or(REQUEST_FLAG, |(_, length)| u32::from(length) << 16 | REQUEST_FLAG | KEY_FLAG);
        let answer = [VERSION, fields, self.sequence, PACKET_MAX_BYTES, window, CONCLUSION, socket, self.cookie];
        let delays = u32::from(latency_ms) << 16 | u32::from(latency_ms);
        let mut extensions = vec![RESPONSE << 16 | 3, SRT_VERSION, FLAGS, delays];
        if let Some((message, _)) = keys {
            let message = words(message);
            extensions.push(KEY_RESPONSE << 16 | u32::try_from(message.len()).unwrap_or(0));
            extensions.extend(message);
        }
        written(&answer, &extensions)
    }

    /// It may not, and why.
    #[must_use]
    pub fn refuse(&self, refusal: Refusal) -> Control {
        let kind = 1000 + refusal.code();
        written(&[VERSION, 0, self.sequence, PACKET_MAX_BYTES, self.window, kind, 0, self.cookie], &[])
    }
}

fn written(fields: &[u32; 8], extensions: &[u32]) -> Control {
    // The address of the other side is for callers that do not know their own: zeros say nothing.
    Control::Handshake(octets(&[&fields[..], &[0; 4], extensions].concat()))
}

/// Its words have their octets the other way round, and the last is filled with zeros.
fn stream_id(content: &[u8]) -> Option<String> {
    if content.len() > STREAM_ID_MAX_BYTES {
        return None;
    }
    let mut text: Vec<u8> = words(content).into_iter().flat_map(u32::to_le_bytes).collect();
    let length = text.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
    text.truncate(length);
    String::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: &str = "192.0.2.7:5000";

    fn caller(fields: [u32; 8], extensions: &[u32]) -> Vec<u8> {
        octets(&[&fields[..], &[0; 4], extensions].concat())
    }

    fn cookie(greeter: &Greeter, now_s: u64) -> u32 {
        let induction = caller([4, 2, 77, 1500, 8192, INDUCTION, 9, 0], &[]);
        let answer = greeter.greet(ADDRESS.parse().unwrap(), &induction, now_s);
        let Greeting::Answer(Control::Handshake(answer), 9) = answer else { panic!("{answer:?}") };
        assert_eq!(words(&answer)[..2], [5, MAGIC]);
        words(&answer)[7]
    }

    fn conclude(greeter: &Greeter, address: &str, cookie: u32, extensions: &[u32], now_s: u64) -> Greeting {
        let conclusion = caller([5, 5, 77, 1500, 8192, CONCLUSION, 9, cookie], extensions);
        greeter.greet(address.parse().unwrap(), &conclusion, now_s)
    }

    #[test]
    fn who_shows_its_cookie_calls_and_nobody_else() {
        let greeter = Greeter::new([3; 32]);
        let cookie = cookie(&greeter, 1000);
        // `abcdef` in words turned round.
        let extensions = [0x0001_0003, SRT_VERSION, 0xbf, 0x0000_0078, 0x0005_0002, 0x6463_6261, 0x0000_6665];
        let Greeting::Call(call) = conclude(&greeter, ADDRESS, cookie, &extensions, 1050) else { panic!("it calls") };
        assert_eq!((call.socket, call.sequence, call.latency_ms, &*call.stream_id), (9, 77, 120, "abcdef"));
        assert_eq!(conclude(&greeter, "192.0.2.8:5000", cookie, &extensions, 1000), Greeting::Silence);
        assert_eq!(conclude(&greeter, ADDRESS, cookie ^ 1, &extensions, 1000), Greeting::Silence);
        assert_eq!(conclude(&greeter, ADDRESS, cookie, &extensions, 1180), Greeting::Silence);
        assert_eq!(conclude(&Greeter::new([4; 32]), ADDRESS, cookie, &extensions, 1000), Greeting::Silence);
    }

    #[test]
    fn who_lies_is_told_and_who_encrypts_hears_its_keys_again() {
        let greeter = Greeter::new([3; 32]);
        let cookie = cookie(&greeter, 1000);
        let refused = |extensions: &[u32]| match conclude(&greeter, ADDRESS, cookie, extensions, 1000) {
            Greeting::Answer(Control::Handshake(answer), 9) => words(&answer)[5],
            other => panic!("{other:?}"),
        };
        let request = [0x0001_0003, SRT_VERSION, 0xbf, 0x0078_0078];
        assert_eq!(refused(&[&request[..], &[0x0003_0020], &[0; 32]].concat()), 1011, "no key is so long");
        let keys = conclude(&greeter, ADDRESS, cookie, &[&request[..], &[0x0003_0001, 7]].concat(), 1000);
        let Greeting::Call(call) = keys else { panic!("it calls") };
        let Control::Handshake(answer) = call.accept(5, 120, 32, Some(2)) else { panic!("it is answered") };
        assert_eq!((words(&answer)[1], &words(&answer)[16..]), (0x0002_0003, &[0x0004_0001, 7][..]));
        assert_eq!(refused(&[&request[..], &[0x0005_0009, 0]].concat()), 2400);
        assert_eq!(refused(&[]), 1008);
    }
}
