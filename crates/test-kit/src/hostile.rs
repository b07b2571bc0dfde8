//! Byte streams that are made to be read differently by two servers in a row, and a witness at the end of the row.
//!
//! The same streams go to the router, to the surrogate and to both in a row. What has to hold for each: it is refused
//! or read in one way, no request that hides in another's body is ever asked for, nothing is answered to the wrong
//! question, and whoever asks afterwards gets what is right. Whether a stream is refused or mended is the server's choice.

mod answers;
mod h2;
mod requests;
mod witness;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::eventually;
pub use answers::{Lie, lies};
pub use requests::{Attack, attacks};
pub use witness::{Seen, Witness};

/// How long a server may wait for the rest of what never comes before the client ends its side.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a connection may stay open after that.
const LAST_PATIENCE: Duration = Duration::from_secs(20);
/// After how long a lie that is still given is a kept one: until then somebody may be looking for the rest of it, for all who ask.
const KEPT_AFTER: Duration = Duration::from_secs(60);
/// Between two connections of a flood: without it those that a server ends at once take all ports of the machine.
const BETWEEN: Duration = Duration::from_millis(10);
/// How long a flood may take to begin, and a server to end one.
const FLOOD_PATIENCE: Duration = Duration::from_secs(60);

/// An answer as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its head as text.
    pub head: String,
    /// Its body without framing.
    pub body: Vec<u8>,
}

/// Sends `bytes` on a connection of their own and reads what comes until the other side closes it. One that waits for
/// more is told that nothing comes.
///
/// # Panics
/// When there is no connection, or it stays open.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap_or_else(|error| panic!("{address}: {error}"));
    let (mut reader, mut writer) = stream.split();
    let mut answer = Vec::new();
    // Whoever refuses may close before it has read everything: that is an end like another.
    let both = async {
        let write = async {
            let _ = writer.write_all(bytes).await;
            let _ = writer.flush().await;
        };
        let _ = tokio::join!(write, reader.read_to_end(&mut answer)).1;
    };
    if timeout(PATIENCE, both).await.is_err() {
        let _ = writer.shutdown().await;
        let rest = timeout(LAST_PATIENCE, reader.read_to_end(&mut answer)).await;
        assert!(rest.is_ok(), "the connection stays open after {:?}", String::from_utf8_lossy(bytes));
    }
    answer
}

/// The answers in `bytes`, read strictly; what comes after the last whole one is given back too.
#[must_use]
pub fn answers(bytes: &[u8]) -> (Vec<Answer>, Vec<u8>) {
    let (mut found, mut rest) = (Vec::new(), bytes);
    while let Some((answer, after)) = answer(rest) {
        found.push(answer);
        rest = after;
    }
    (found, rest.to_vec())
}

fn answer(bytes: &[u8]) -> Option<(Answer, &[u8])> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status: u16 =
        head.strip_prefix("HTTP/1.1 ").or_else(|| head.strip_prefix("HTTP/1.0 "))?.get(..3)?.parse().ok()?;
    let field = |wanted: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim().to_owned())
    };
    let rest = &bytes[end..];
    let (body, rest) = match (field("content-length"), field("transfer-encoding")) {
        (None, Some(_)) => dechunked(rest)?,
        (Some(length), _) => {
            let length: usize = length.parse().ok()?;
            (rest.get(..length)?.to_vec(), &rest[length..])
        }
        (None, None) if matches!(status, 100..200 | 204 | 304) => (Vec::new(), rest),
        (None, None) => (rest.to_vec(), &rest[rest.len()..]),
    };
    Some((Answer { status, head, body }, rest))
}

/// A chunked body without extensions and trailers, as good servers write it.
fn dechunked(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
        rest = &rest[end + 2..];
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
        if size == 0 {
            return Some((body, rest));
        }
    }
}

/// Sends every attack to the server at `address`, which serves `witness` below `mount` at `host`, and asks for the same
/// afterwards as a stranger to all of it.
///
/// # Panics
/// With all findings: a stream that was read in two ways, an answer to another question, a hidden request that was asked
/// for, a stream that got no answer, an object that is another one now.
pub async fn withstands_requests(address: SocketAddr, mount: &str, host: &str, witness: &Witness) {
    let attacks = attacks(mount, host);
    let mut sent = JoinSet::new();
    for (at, attack) in attacks.iter().enumerate() {
        let bytes = attack.bytes.clone();
        sent.spawn(async move { (at, exchange(address, &bytes).await) });
    }
    let mut findings = Vec::new();
    for (at, got) in sent.join_all().await {
        let attack = &attacks[at];
        // A server that speaks HTTP/2 answers its preface in it.
        if attack.bytes.starts_with(b"PRI ") {
            continue;
        }
        if let Err(finding) = judge(attack, &got) {
            findings.push(format!("{}: {finding}: {:?}", attack.name, String::from_utf8_lossy(&got)));
        }
    }
    for attack in &attacks {
        for path in [&attack.path, &attack.tail] {
            let body = ask(address, mount, host, path).await;
            if body != Ok(format!("GET {path}")) {
                findings.push(format!("{}: afterwards {path} is {body:?}", attack.name));
            }
        }
    }
    let hidden = witness.seen().into_iter().filter(|seen| seen.target.contains("hidden"));
    findings.extend(hidden.map(|seen| format!("a hidden request was asked for: {seen:?}")));
    findings.extend(witness.complaints().into_iter().map(|complaint| format!("the witness complains: {complaint}")));
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}

/// Sends every attack by HTTP/2 to the server at `address`, which serves `witness` below `mount` at `host`, while others ask it
/// for honest things by HTTP/1.1 and HTTP/2; and asks for the same afterwards.
///
/// # Panics
/// With all findings: a hidden request that was asked for, something that the witness could read in two ways, a malformed
/// request that was answered with 2xx, an honest one that was not answered, or a server that speaks no HTTP/2.
pub async fn withstands_http2(address: SocketAddr, mount: &str, host: &str, witness: &Witness) {
    let mut sent = JoinSet::new();
    for attack in h2::attacks(mount, host) {
        sent.spawn(async move {
            let got = exchange(address, &[h2::PREFACE, &attack.bytes].concat()).await;
            (attack, got)
        });
    }
    let (mut findings, mut attacked) = (Vec::new(), Vec::new());
    for asked in 0.. {
        let path = format!("/h2/honest/{asked}");
        let by_http1 = ask(address, mount, host, &path).await;
        let by_http2 = exchange(address, &h2::honest(&format!("{mount}{path}"), host)).await;
        let wanted = format!("GET {path}");
        let has_body = by_http2.windows(wanted.len()).any(|part| part == wanted.as_bytes());
        if by_http1.as_ref() != Ok(&wanted) || h2::successes(&by_http2) != 1 || !has_body {
            let by_http2 = String::from_utf8_lossy(&by_http2);
            findings.push(format!("meanwhile {path} is {by_http1:?}, and by HTTP/2 {by_http2:?}"));
        }
        while let Some(done) = sent.try_join_next() {
            attacked.push(done.expect("a connection is made"));
        }
        if sent.is_empty() {
            break;
        }
    }
    for (attack, got) in attacked {
        // Whoever breaks the connection off may have said nothing; whoever answers begins with its settings.
        if !got.is_empty() && got.get(3) != Some(&h2::SETTINGS) {
            findings.push(format!("{}: no HTTP/2: {:?}", attack.name, String::from_utf8_lossy(&got)));
        }
        if attack.is_malformed && h2::successes(&got) > 0 {
            findings.push(format!("{}: taken for a request", attack.name));
        }
    }
    let body = ask(address, mount, host, "/h2").await;
    if body != Ok("GET /h2".to_owned()) {
        findings.push(format!("afterwards /h2 is {body:?}"));
    }
    let is_hidden =
        |seen: &Seen| seen.target.contains("hidden") || seen.method == "DELETE" || seen.host.contains("hidden");
    let hidden = witness.seen().into_iter().filter(is_hidden);
    findings.extend(hidden.map(|seen| format!("a hidden request was asked for: {seen:?}")));
    findings.extend(witness.complaints().into_iter().map(|complaint| format!("the witness complains: {complaint}")));
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}

/// Sends the server at `address` frames that it must not keep, on `connections` connections of each kind, each until the server
/// closes it or `bytes_max` are sent, and reads nothing. How much was taken in all, bytes.
///
/// # Panics
/// When there is no connection.
pub async fn flood_http2(address: SocketAddr, mount: &str, host: &str, connections: usize, bytes_max: usize) -> usize {
    let mut floods = JoinSet::new();
    for flood in h2::floods(mount, host).into_iter().flat_map(|flood| vec![flood; connections]) {
        floods.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap_or_else(|error| panic!("{address}: {error}"));
            let mut taken = 0;
            let mut next = flood.first.clone();
            for at in 0.. {
                // Who does not read on is as good as one who has closed.
                match timeout(PATIENCE, stream.write_all(&next)).await {
                    Ok(Ok(())) if taken < bytes_max => taken += next.len(),
                    Ok(_) | Err(_) => break,
                }
                next = (flood.next)(&flood.fields, at);
            }
            println!("{}: {taken} bytes were taken", flood.name);
            taken
        });
    }
    floods.join_all().await.into_iter().sum()
}

/// What became of the connections of one kind of flood.
#[derive(Debug, Clone)]
pub struct Flooded {
    /// The kind.
    pub name: &'static str,
    /// How much was taken of them, bytes.
    pub taken_bytes: usize,
    /// How many the server ended.
    pub ended: usize,
}

/// What is counted of them meanwhile.
#[derive(Debug, Default)]
struct Poured {
    taken_bytes: AtomicUsize,
    ended: AtomicUsize,
}

/// Kinds that nobody has to read to their end, because they have none (CVE-2024-27316, and heads beyond all bounds).
const ENDLESS: [&str; 2] = ["a head that never ends", "a head of nothings"];

/// Awaits `others` while the server at `address` is sent frames without end: one connection of each kind, which goes on as another one where
/// the server ends it, or `bytes_max` are sent. They begin before `others` do, and end when those have, and the server has ended each kind of
/// head that has no end itself.
///
/// # Panics
/// When it takes nothing of a kind, or ends none of those.
pub async fn beside_http2_floods<T>(
    address: SocketAddr,
    (mount, host): (&str, &str),
    bytes_max: usize,
    others: impl Future<Output = T>,
) -> (T, Vec<Flooded>) {
    let (mut floods, mut poured) = (JoinSet::new(), Vec::new());
    for flood in h2::floods(mount, host) {
        let counts = Arc::<Poured>::default();
        poured.push((flood.name, Arc::clone(&counts)));
        floods.spawn(pour(address, flood, bytes_max, counts));
    }
    let flooded = || {
        let count = |&(name, ref counts): &(&'static str, Arc<Poured>)| Flooded {
            name,
            taken_bytes: counts.taken_bytes.load(Ordering::SeqCst),
            ended: counts.ended.load(Ordering::SeqCst),
        };
        poured.iter().map(count).collect::<Vec<_>>()
    };
    let until = async |is_so: fn(&Flooded) -> bool| {
        eventually(FLOOD_PATIENCE, || async {
            let flooded = flooded();
            if flooded.iter().all(is_so) { Ok(()) } else { Err(format!("{flooded:?}")) }
        })
        .await;
    };
    until(|kind| kind.taken_bytes > 0).await;
    let done = others.await;
    until(|kind| kind.ended > 0 || !ENDLESS.contains(&kind.name)).await;
    let flooded = flooded();
    floods.shutdown().await;
    (done, flooded)
}

async fn pour(address: SocketAddr, flood: h2::Flood, bytes_max: usize, counts: Arc<Poured>) {
    loop {
        sleep(BETWEEN).await;
        let Ok(mut stream) = TcpStream::connect(address).await else { continue };
        let (mut sent_bytes, mut next) = (0, flood.first.clone());
        for at in 0.. {
            match timeout(PATIENCE, stream.write_all(&next)).await {
                Ok(Ok(())) => {
                    sent_bytes += next.len();
                    counts.taken_bytes.fetch_add(next.len(), Ordering::SeqCst);
                }
                Ok(Err(_)) => {
                    counts.ended.fetch_add(1, Ordering::SeqCst);
                    break;
                }
                // It does not read on.
                Err(_) => break,
            }
            if sent_bytes >= bytes_max {
                break;
            }
            next = (flood.next)(&flood.fields, at);
        }
    }
}

/// What is wrong with what came for an attack.
fn judge(attack: &Attack, got: &[u8]) -> Result<(), &'static str> {
    let (answers, rest) = answers(got);
    let mut finals = answers.iter().filter(|answer| answer.status >= 200);
    let first = finals.next().ok_or("no answer")?;
    let is_refused = |answer: &Answer| answer.status >= 400;
    let is_for =
        |answer: &Answer, path: &str| answer.status == 200 && answer.body.ends_with(format!(" {path}").as_bytes());
    if !is_refused(first) && !is_for(first, &attack.path) {
        return Err("another answer");
    }
    if finals.next().is_some_and(|second| !is_refused(second) && !is_for(second, &attack.tail)) {
        return Err("another second answer");
    }
    if finals.next().is_some() {
        return Err("more answers than requests");
    }
    if rest.is_empty() { Ok(()) } else { Err("more than its answers") }
}

/// Lets `witness` lie in every way to the server at `address`, and asks for what is lied about and for other things.
///
/// # Panics
/// With all findings: somebody got another's answer, a broken one that looked whole, or a lie that was kept.
pub async fn withstands_answers(address: SocketAddr, mount: &str, host: &str, witness: &Witness) {
    let (lies, mut findings) = (lies(), Vec::new());
    for (at, lie) in lies.iter().enumerate() {
        let path = format!("/lie/{at}");
        witness.lie(&path, lie.clone());
        let got = exchange(address, &request(mount, host, &path)).await;
        let (found, _) = answers(&got);
        let is_whole = found.iter().any(|answer| matches!(answer.status, 200 | 206));
        if got.windows(4).any(|four| four == b"evil") || (is_whole && !lie.is_clear) || got.is_empty() {
            findings.push(format!("{}: {:?}", lie.name, String::from_utf8_lossy(&got)));
        }
        // Others use the connection that the lie came over, if it was kept.
        for other in 0..3 {
            let path = format!("/honest/{at}/{other}");
            let body = ask(address, mount, host, &path).await;
            if body != Ok(format!("GET {path}")) {
                findings.push(format!("{}: afterwards {path} is {body:?}", lie.name));
            }
        }
    }
    witness.be_honest();
    for (at, lie) in lies.iter().enumerate() {
        let path = format!("/lie/{at}");
        let is_honest = |body: &Result<String, String>| {
            let (Ok(said) | Err(said)) = body;
            *body == Ok(format!("GET {path}")) || (lie.is_clear && !said.contains("evil"))
        };
        let until = Instant::now() + KEPT_AFTER;
        let mut body = ask(address, mount, host, &path).await;
        while !is_honest(&body) && Instant::now() < until {
            body = ask(address, mount, host, &path).await;
        }
        if !is_honest(&body) {
            findings.push(format!("{}: it is kept: {body:?}", lie.name));
        }
    }
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}

fn request(mount: &str, host: &str, path: &str) -> Vec<u8> {
    format!("GET {mount}{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").into_bytes()
}

/// The body that a plain client gets.
async fn ask(address: SocketAddr, mount: &str, host: &str, path: &str) -> Result<String, String> {
    let got = exchange(address, &request(mount, host, path)).await;
    match answers(&got).0.as_slice() {
        [answer] if answer.status == 200 => Ok(String::from_utf8_lossy(&answer.body).into_owned()),
        _ => Err(String::from_utf8_lossy(&got).into_owned()),
    }
}
