//! The same over HTTP/2 (RFC 9113): requests whose fields and frames would be another request, or two, once they are written as
//! HTTP/1.1; and streams of frames that cost whoever reads them more than whoever sends them.
//!
//! Frames are written by hand, because a library would refuse to: fields as HPACK literals without a table (RFC 7541 section
//! 6.2.2), so that any octets can stand in them.

/// What a client of HTTP/2 begins with: the preface and no settings of its own.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
/// Kind of the frame that a server begins with.
pub(super) const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// Most octets of a frame that nobody asked to be larger (section 4.2).
const FRAME_MAX: usize = 16_384;
/// A stream of many frames has so many.
const MANY: u32 = 1000;

/// Frames on a connection of their own.
#[derive(Debug, Clone)]
pub(super) struct Frames {
    pub(super) name: &'static str,
    /// Whether its head alone is no request (RFC 9113 section 8.1.1), so that 2xx is no answer to it.
    pub(super) is_malformed: bool,
    pub(super) bytes: Vec<u8>,
}

type Field = (&'static [u8], Vec<u8>);

fn field(name: &'static str, value: Vec<u8>) -> Field {
    (name.as_bytes(), value)
}

/// All of them, to `/h2` below `mount` at `host`. What must never be asked for has `hidden` in its path.
pub(super) fn attacks(mount: &str, host: &str) -> Vec<Frames> {
    let path = format!("{mount}/h2").into_bytes();
    let hidden = format!("GET {mount}/hidden HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes();
    let of = |method: &'static str, path: &[u8], more: &[Field]| -> Vec<Field> {
        let mut all: Vec<Field> = vec![
            field(":method", method.into()),
            field(":scheme", b"http".to_vec()),
            field(":authority", host.into()),
            field(":path", path.to_vec()),
        ];
        all.extend_from_slice(more);
        all
    };
    let mut all = Vec::new();
    let mut add =
        |name: &'static str, is_malformed: bool, bytes: Vec<u8>| all.push(Frames { name, is_malformed, bytes });
    // What a field says of the body is not what the frames are.
    let length = |said: &str| -> Field { field("content-length", said.as_bytes().to_vec()) };
    let chunks: Field = field("transfer-encoding", b"chunked".to_vec());
    let behind = |text: &[u8]| [text, &hidden].concat();
    let exact = hidden.len().to_string();
    for (name, fields, body) in [
        ("a length of nothing before a body", vec![length("0")], hidden.clone()),
        ("a length that is too short", vec![length("5")], behind(b"hello")),
        ("a length that is too long", vec![length("1000")], hidden.clone()),
        ("two lengths", vec![length("5"), length(&exact)], hidden.clone()),
        ("a length in a list", vec![length(&format!("5, {exact}"))], hidden.clone()),
        ("a signed length", vec![length(&format!("+{exact}"))], hidden.clone()),
        ("chunks", vec![chunks.clone()], behind(b"0\r\n\r\n")),
        ("chunks and a length", vec![chunks.clone(), length("5")], behind(b"0\r\n\r\n")),
        (
            "chunks that a hop is to remove",
            vec![field("connection", b"transfer-encoding".to_vec()), chunks.clone()],
            behind(b"0\r\n\r\n"),
        ),
        (
            "an upgrade",
            vec![field("connection", b"upgrade".to_vec()), field("upgrade", b"h2c".to_vec())],
            hidden.clone(),
        ),
        ("a wish for trailers that is another coding", vec![field("te", b"chunked".to_vec())], hidden.clone()),
    ] {
        let head = headers(1, &of("POST", &path, &fields), 0);
        add(name, false, [head, frame(DATA, END_STREAM, 1, &body)].concat());
    }
    // Fields that are lines of their own.
    for (name, more) in [
        ("a request in a value", field("x", [b"y\r\n\r\n", &hidden[..]].concat())),
        ("a field in a value", field("x", b"y\r\ntransfer-encoding: chunked".to_vec())),
        ("a bare line feed in a value", field("x", b"y\ncontent-length: 5".to_vec())),
        ("a bare return in a value", field("x", b"y\rz".to_vec())),
        ("NUL in a value", field("x", b"y\0z".to_vec())),
        ("a field in a name", field("x: y\r\nz", b"1".to_vec())),
        ("a colon in a name", field("transfer-encoding: chunked, x", b"1".to_vec())),
        ("a blank in a name", field("x y", b"1".to_vec())),
        ("capitals in a name", field("Transfer-Encoding", b"chunked".to_vec())),
        ("a name of nothing", field("", b"1".to_vec())),
        ("another host", field("host", b"hidden.invalid".to_vec())),
        ("another path", field(":path", format!("{mount}/hidden").into_bytes())),
        ("another authority", field(":authority", b"hidden.invalid".to_vec())),
        ("another scheme", field(":scheme", b"https".to_vec())),
        ("another method", field(":method", b"DELETE".to_vec())),
        ("an unknown pseudo field", field(":hidden", b"1".to_vec())),
        ("a status in a request", field(":status", b"200".to_vec())),
        ("a protocol without a tunnel", field(":protocol", b"websocket".to_vec())),
    ] {
        add(name, true, headers(1, &of("GET", &path, &[more]), END_STREAM));
    }
    // A request line that is more than one.
    let long = [&path[..], b" HTTP/1.1\r\nHost: x\r\n\r\n", &hidden].concat();
    for (name, path) in [
        ("a request in the path", long),
        ("a blank in the path", [&path[..], b" /hidden"].concat()),
        ("no path", Vec::new()),
        ("a path that is none", b"hidden".to_vec()),
        ("upwards", [&path[..], b"/../hidden"].concat()),
        ("a fragment", [&path[..], b"#/hidden"].concat()),
    ] {
        add(name, false, headers(1, &of("GET", &path, &[]), END_STREAM));
    }
    for (name, which, instead) in [
        ("a request in the method", 0, hidden.clone()),
        ("a scheme that is an address", 1, format!("http://{host}{mount}/hidden?").into_bytes()),
        ("a request in the authority", 2, [host.as_bytes(), b"\r\n\r\n", &hidden].concat()),
        ("a user in the authority", 2, format!("hidden@{host}").into_bytes()),
    ] {
        let mut fields = of("GET", &path, &[]);
        fields[which].1 = instead;
        add(name, true, headers(1, &fields, END_STREAM));
    }
    // Trailers that say what only a head may.
    for (name, trailer) in [
        ("chunks in the trailers", chunks),
        ("a length in the trailers", length("5")),
        ("a path in the trailers", field(":path", format!("{mount}/hidden").into_bytes())),
        ("a request in the trailers", field("x", [b"y\r\n\r\n", &hidden[..]].concat())),
    ] {
        let (head, body) = (headers(1, &of("POST", &path, &[]), 0), frame(DATA, 0, 1, b"hello"));
        add(name, false, [head, body, headers(1, &[trailer], END_STREAM)].concat());
    }
    // Frames that nobody asked for, and more of them than anybody means.
    add("a body of no request", true, frame(DATA, END_STREAM, 1, &hidden));
    add("a stream of even number", true, headers(2, &of("GET", &path, &[]), END_STREAM));
    let get = of("GET", &path, &[]);
    add("two heads", false, [headers(1, &get, 0), headers(1, &get, 0)].concat());
    let large: Vec<Field> = (0..20).map(|_| field("x", vec![b'y'; 8 << 10])).collect();
    add("160 KiB of fields", true, headers(1, &of("GET", &path, &large), END_STREAM));
    let begun = frame(HEADERS, END_STREAM, 1, &block(&get));
    let more = frame(CONTINUATION, 0, 1, &block(&[field("x", vec![b'y'; 8 << 10])]));
    add("a head that never ends", true, [begun.clone(), more.repeat(256)].concat());
    add("a head of nothings", true, [begun, frame(CONTINUATION, 0, 1, b"").repeat(10_000)].concat());
    let mut reset = Vec::new();
    for at in 0..MANY {
        reset.extend(headers(2 * at + 1, &get, END_STREAM));
        reset.extend(frame(RST_STREAM, 0, 2 * at + 1, &8_u32.to_be_bytes()));
    }
    add("requests that are taken back at once", false, reset);
    all
}

/// An honest request for `target` at `host`, on a connection of its own.
pub(super) fn honest(target: &str, host: &str) -> Vec<u8> {
    let fields: [Field; 4] = [
        field(":method", b"GET".to_vec()),
        field(":scheme", b"http".to_vec()),
        field(":authority", host.into()),
        field(":path", target.into()),
    ];
    [PREFACE, &headers(1, &fields, END_STREAM)].concat()
}

/// A piece of a stream of frames that goes on for as long as somebody reads it, and what it begins with.
#[derive(Debug, Clone)]
pub(super) struct Flood {
    pub(super) name: &'static str,
    pub(super) first: Vec<u8>,
    /// Given again and again, with the number of the time.
    pub(super) next: fn(&[Field], u32) -> Vec<u8>,
    pub(super) fields: Vec<Field>,
}

// === impl Flood ===

impl Flood {
    fn new(name: &'static str, first: &[u8], fields: &[Field], next: fn(&[Field], u32) -> Vec<u8>) -> Self {
        Self { name, first: [PREFACE, first].concat(), next, fields: fields.to_vec() }
    }
}

/// Streams that cost memory, if whoever reads them keeps what it was sent.
pub(super) fn floods(mount: &str, host: &str) -> Vec<Flood> {
    let fields: Vec<Field> = vec![
        field(":method", b"GET".to_vec()),
        field(":scheme", b"http".to_vec()),
        field(":authority", host.into()),
        field(":path", format!("{mount}/h2").into_bytes()),
    ];
    let large = vec![field("x", vec![b'y'; 8 << 10]); 7];
    let wide = [fields.clone(), large].concat();
    let open = frame(HEADERS, END_STREAM, 1, &block(&fields));
    let none = Vec::new();
    let of = Flood::new;
    vec![
        of("a head that never ends", &open, &fields, |_, _| {
            frame(CONTINUATION, 0, 1, &block(&[field("x", vec![b'y'; 8 << 10])]))
        }),
        of("a head of nothings", &open, &fields, |_, _| frame(CONTINUATION, 0, 1, b"").repeat(100)),
        of("heads of nearly 64 KiB", &none, &wide, |fields, at| headers(2 * at + 1, fields, END_STREAM)),
        of("bodies that never end", &none, &fields, |fields, at| headers(2 * at + 1, fields, 0)),
        of("requests that are taken back at once", &none, &fields, |fields, at| {
            let stream = 2 * at + 1;
            [headers(stream, fields, END_STREAM), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
        }),
        of("settings", &none, &fields, |_, _| frame(SETTINGS, 0, 0, b"\0\x03\0\0\0\x10").repeat(100)),
        of("pings", &none, &fields, |_, at| frame(PING, 0, 0, &[&at.to_be_bytes()[..], b"ping"].concat()).repeat(100)),
    ]
}

/// The statuses that begin the answers in `bytes` and are 2xx, whole frames only.
pub(super) fn successes(bytes: &[u8]) -> usize {
    let (mut found, mut rest) = (0, bytes);
    while let [a, b, c, kind, _, _, _, _, _, after @ ..] = rest {
        let length = usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).unwrap_or(usize::MAX);
        let Some(payload) = after.get(..length) else { return found };
        // A table's size may be said first; `:status` is 200, 204 or 206 by its number in the static table.
        let first = payload.iter().find(|byte| !matches!(byte, 0x20..=0x3f));
        found += usize::from(*kind == HEADERS && matches!(first, Some(0x88..=0x8a)));
        rest = &after[length..];
    }
    found
}

/// A request's head in as many frames as it needs.
fn headers(stream: u32, fields: &[Field], flags: u8) -> Vec<u8> {
    let block = block(fields);
    let pieces: Vec<&[u8]> = block.chunks(FRAME_MAX).collect();
    let last = pieces.len() - 1;
    let mut all = Vec::new();
    for (at, piece) in pieces.into_iter().enumerate() {
        let (kind, flags) = if at == 0 { (HEADERS, flags) } else { (CONTINUATION, 0) };
        all.extend(frame(kind, if at == last { flags | END_HEADERS } else { flags }, stream, piece));
    }
    all
}

fn block(fields: &[Field]) -> Vec<u8> {
    let mut all = Vec::new();
    for (name, value) in fields {
        all.push(0);
        for text in [*name, value] {
            number(&mut all, text.len());
            all.extend_from_slice(text);
        }
    }
    all
}

/// An integer with a prefix of seven bits (RFC 7541 section 5.1).
fn number(all: &mut Vec<u8>, value: usize) {
    let Some(mut rest) = value.checked_sub(127) else { return all.push(low(value)) };
    all.push(127);
    while rest >= 128 {
        all.push(low(rest % 128) | 128);
        rest /= 128;
    }
    all.push(low(rest));
}

fn low(value: usize) -> u8 {
    u8::try_from(value).expect("less than 128")
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame is short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}
