//! Answers of a broken or hostile server, as bytes.

/// What a server says to a request for a path.
#[derive(Debug, Clone)]
pub struct Lie {
    /// What is wrong with it.
    pub name: &'static str,
    /// The bytes; then the connection stays open, or not.
    pub bytes: Vec<u8>,
    /// Whether the server closes afterwards.
    pub closes: bool,
    /// Whether the body in it, if somebody gets it whole, is `bad`, and may be kept: the answer is odd, but clear.
    pub is_clear: bool,
}

/// What a shared cache needs to hear.
const KEPT: &str = "Cache-Control: public, max-age=600\r\nETag: \"bad\"\r\n";

/// Everything that a server can get wrong about one answer. Whoever gets a body of `evil` was given another's answer.
#[must_use]
pub fn lies() -> Vec<Lie> {
    let evil = format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n{KEPT}\r\nevil");
    let head = |fields: &str, body: &str| format!("HTTP/1.1 200 OK\r\n{KEPT}{fields}\r\n{body}");
    let many = "X: y\r\n".repeat(300);
    let long = format!("X: {}\r\n", "x".repeat(512 << 10));
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(200);
    let cases = [
        ("two lengths", head("Content-Length: 3\r\nContent-Length: 4\r\n", &format!("bad{evil}")), false, false),
        ("a list of lengths", head("Content-Length: 3, 4\r\n", &format!("bad{evil}")), false, false),
        ("a signed length", head("Content-Length: +3\r\n", &format!("bad{evil}")), false, false),
        ("a negative length", head("Content-Length: -1\r\n", "bad"), true, false),
        (
            "length and chunks",
            head("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "3\r\nbad\r\n0\r\n\r\n"),
            true,
            true,
        ),
        ("an unknown coding", head("Transfer-Encoding: xchunked\r\n", "3\r\nbad\r\n0\r\n\r\n"), true, true),
        ("more than its length", head("Content-Length: 3\r\n", &format!("bad{evil}")), false, true),
        ("two answers", format!("{}{evil}", head("Content-Length: 3\r\n", "bad")), false, true),
        ("less than its length", head("Content-Length: 30\r\n", "bad"), true, false),
        ("chunks without an end", head("Transfer-Encoding: chunked\r\n", "3\r\nbad\r\n"), true, false),
        ("a chunk that is none", head("Transfer-Encoding: chunked\r\n", "3\r\nbad\r\nzz\r\nevil"), true, false),
        (
            "a chunk that overflows",
            head("Transfer-Encoding: chunked\r\n", "10000000000000003\r\nbad\r\n0\r\n\r\n"),
            true,
            false,
        ),
        ("a field on two lines", head("X: y\r\n Content-Length: 3\r\nContent-Length: 3\r\n", "bad"), true, true),
        ("NUL in a field", head("X: a\0b\r\nContent-Length: 3\r\n", "bad"), true, false),
        ("a blank before a colon", head("Content-Length : 3\r\n", "bad"), true, false),
        ("a bare carriage return", head("X: a\rSet-Cookie: b\r\nContent-Length: 3\r\n", "bad"), true, false),
        ("too many fields", head(&format!("{many}Content-Length: 3\r\n"), "bad"), true, false),
        ("too long a head", head(&format!("{long}Content-Length: 3\r\n"), "bad"), true, false),
        ("no head at all", "bad".to_owned(), true, false),
        ("another protocol's version", "HTTP/3.0 200 OK\r\nContent-Length: 3\r\n\r\nbad".to_owned(), true, false),
        ("a status that is none", format!("HTTP/1.1 20 OK\r\n{KEPT}Content-Length: 3\r\n\r\nbad"), true, false),
        (
            "a switch that nobody asked for",
            "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n".to_owned(),
            true,
            false,
        ),
        ("a body on a 204", format!("HTTP/1.1 204 No\r\n{KEPT}Content-Length: 3\r\n\r\nbad{evil}"), false, true),
        ("a body on a 304", format!("HTTP/1.1 304 Not\r\n{KEPT}Content-Length: 3\r\n\r\nbad{evil}"), false, true),
        (
            "a part of nothing",
            format!("HTTP/1.1 206 Part\r\n{KEPT}Content-Range: bytes 0-2/9\r\nContent-Length: 3\r\n\r\nbad"),
            true,
            true,
        ),
        ("many interim answers, then the end", interim, true, false),
        ("nothing", String::new(), true, false),
    ];
    let cases = cases.into_iter();
    cases.map(|(name, text, closes, is_clear)| Lie { name, bytes: text.into_bytes(), closes, is_clear }).collect()
}
