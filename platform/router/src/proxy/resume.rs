//! Getting the rest of an answer that broke off from another endpoint.
//!
//! Only where it is certain that the bytes are the same: the strong ETag of RFC 9110 section 8.8.3 says so, sent as
//! If-Range with the range that is missing. What comes must be that range of that representation in that coding; an
//! endpoint that knows no ranges may send the whole, of which the beginning is left out. Anything else is not taken, and the client
//! sees that its answer broke off. How long the rest is follows from what is known of the whole; one of which neither that nor the
//! connection it comes by says where it ends is not taken either, because nobody could tell a part of it from all.
//!
//! An answer that broke off is lost where its rest is not had, so that is not given up as easily as a second request that would only be
//! quicker: who was late with it, or broke off, is asked once more when all were asked, and an empty budget is waited for.

use std::sync::Arc;
use std::time::Duration;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use flame_api::router::ActivityKind;
use flame_naming::{Forward, NoChoice};
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep, timeout};

use super::body::Lent;
use super::source::Source;
use super::switching::Tried;
use super::upstream::{Unsent, Upstream};
use super::{Outgoing, headers};
use crate::registry::{Call, Registry};

/// How long one endpoint may take to begin with the rest; twice as long when all were asked and none had it.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often endpoints that take connections are asked for one rest: each time is paid for.
const ASKED_MAX: usize = 6;
/// How long the rest of an answer that broke off is looked for; whoever is asked at the end of that may still answer.
const WITHIN: Duration = Duration::from_secs(10);
/// How soon it is looked again where nobody has room, all were asked, or too many requests were repeated.
const AGAIN: Duration = Duration::from_millis(100);

/// Who can be asked for the rest.
pub(super) struct Resumer {
    pub(super) registry: Registry,
    pub(super) upstream: Arc<Upstream>,
}

/// An answer whose rest can be asked for.
#[derive(Clone)]
pub(super) struct Resumable {
    resumer: Arc<Resumer>,
    forward: Forward,
    head: Parts,
    part: Part,
}

/// What an answer has of which representation.
#[derive(Debug, Clone)]
struct Part {
    etag: HeaderValue,
    coding: Option<HeaderValue>,
    /// The first byte of the representation that the answer has.
    from: u64,
    /// The last one, where that is known.
    last: Option<u64>,
    is_whole: bool,
}

/// The rest of an answer.
pub(super) struct Rest {
    pub(super) body: Source,
    pub(super) call: Call,
    /// Which bytes of it are new.
    pub(super) new: New,
}

/// What a rest brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct New {
    /// Bytes at its beginning that the client has.
    pub(super) skip: u64,
    /// Bytes that the client has not; `None` where only the framing of the body says where it ends.
    pub(super) bytes: Option<u64>,
}

/// A Content-Range: first and last byte, and the length of the whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ContentRange {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) whole: Option<u64>,
}

// === impl Resumable ===

impl Resumable {
    /// `None` where the rest of this answer could not be told from that of another one.
    pub(super) fn new(
        resumer: &Arc<Resumer>,
        outgoing: &Outgoing,
        answer: &axum::http::response::Parts,
    ) -> Option<Self> {
        if outgoing.head.method != Method::GET || !outgoing.is_repeatable() {
            return None;
        }
        let (forward, head) = (&outgoing.forward, &outgoing.head);
        Self::of(resumer, (forward, head), answer.status, &answer.headers)
    }

    /// The same for an answer to a GET without a body, of that head.
    pub(super) fn of(
        resumer: &Arc<Resumer>,
        (forward, head): (&Forward, &Parts),
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Option<Self> {
        let part = Part::of(status, headers)?;
        Some(Self { resumer: Arc::clone(resumer), forward: forward.clone(), head: head.clone(), part })
    }

    /// Asks for what comes after the first `sent` bytes: not the one that broke off, or is silent. Where the answer
    /// `has_broken` off, that one too when nobody else has it. `None` where nobody has.
    pub(super) fn rest(self, sent: u64, from: Tried, has_broken: bool) -> BoxFuture<'static, Option<Rest>> {
        Box::pin(async move {
            let registry = &self.resumer.registry;
            let to = &self.forward.destination;
            // Where nobody takes connections, or has something else; and who was asked besides, the one that it came from first.
            let (mut refused, mut tried) = (Vec::<Tried>::new(), vec![from.clone()]);
            let (mut asked, mut patience) = (0, PATIENCE);
            let until = Instant::now() + WITHIN;
            while asked < ASKED_MAX && Instant::now() < until {
                let call = match registry.call_again(to, &[refused.as_slice(), tried.as_slice()].concat()) {
                    Ok(call) => call,
                    Err(_) if !has_broken => return None,
                    // What broke may have been only a connection, and who was late may only have been busy.
                    Err(_) if !tried.is_empty() => {
                        tried.clear();
                        if asked > 0 {
                            patience = 2 * PATIENCE;
                            sleep(AGAIN).await;
                        }
                        continue;
                    }
                    Err(NoChoice::Full) => {
                        sleep(AGAIN).await;
                        continue;
                    }
                    Err(_) => return None,
                };
                // Who is only silent is better than who fails.
                if !has_broken && call.rests() {
                    return None;
                }
                if !call.may_repeat() {
                    if !has_broken {
                        return None;
                    }
                    drop(call);
                    sleep(AGAIN).await;
                    continue;
                }
                let it = (call.site.clone(), call.choice.endpoint.clone());
                let (head, path) = (self.head(sent), &self.forward.path_and_query);
                let asked_for = self.resumer.upstream.send(&call, path, &head, Lent::nothing());
                let answer = match timeout(patience, asked_for).await {
                    Ok(Ok(answer)) => answer,
                    // However many are gone, one that is there is found.
                    Ok(Err(Unsent::Connect(_))) => {
                        call.failed();
                        refused.push(it);
                        continue;
                    }
                    Ok(Err(Unsent::Broken(_))) | Err(_) => {
                        call.failed();
                        tried.push(it);
                        asked += 1;
                        continue;
                    }
                };
                asked += 1;
                let (mut answer, body) = answer.into_parts();
                headers::note_unended(&mut answer);
                let is_ended = answer.extensions.get::<headers::Unended>().is_none();
                let new = self.part.new_of(sent, answer.status, &answer.headers);
                if let Some(new) = new.filter(|new| is_ended || new.bytes.is_some()) {
                    tracing::info!(%to, address = %call.choice.address, sent, "an answer goes on from another endpoint");
                    let (from, now_at) = ((&from.0, &from.1), (&call.site, Some(&call.choice.endpoint)));
                    let how = if has_broken { "it broke off" } else { "it stood still" };
                    let why = format!("{how} after {sent} bytes");
                    registry.activity().note(ActivityKind::Resumed, &to.name, Some(from), Some(now_at), why);
                    return Some(Rest { body, call, new });
                }
                // An error says nothing of what it has.
                if answer.status.is_server_error() { &mut tried } else { &mut refused }.push(it);
            }
            None
        })
    }

    /// The head of the request for what comes after the first `sent` bytes.
    fn head(&self, sent: u64) -> Parts {
        let mut head = self.head.clone();
        let headers = &mut head.headers;
        for name in [header::IF_MATCH, header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE, header::IF_UNMODIFIED_SINCE] {
            headers.remove(name);
        }
        let Part { etag, from, last, .. } = &self.part;
        let last = last.map(|last| last.to_string()).unwrap_or_default();
        let range =
            HeaderValue::from_str(&format!("bytes={}-{last}", from.saturating_add(sent))).expect("letters and digits");
        headers.insert(header::RANGE, range);
        headers.insert(header::IF_RANGE, etag.clone());
        head
    }
}

// === impl Part ===

impl Part {
    /// `None` where nobody could tell another part of it from one of something else.
    fn of(status: StatusCode, headers: &HeaderMap) -> Option<Self> {
        let etag = headers.get(header::ETAG).filter(|etag| etag.as_bytes().first() == Some(&b'"'))?.clone();
        let (from, last) = match status {
            StatusCode::OK => (0, content_length(headers).and_then(|length| length.checked_sub(1))),
            StatusCode::PARTIAL_CONTENT => {
                let range = ContentRange::of(headers)?;
                (range.first, Some(range.last))
            }
            _ => return None,
        };
        let coding = headers.get(header::CONTENT_ENCODING).cloned();
        Some(Self { etag, coding, from, last, is_whole: status == StatusCode::OK })
    }

    /// What of an answer the client has, and what it has not; `None` where the answer is not the rest of this one.
    fn new_of(&self, sent: u64, status: StatusCode, headers: &HeaderMap) -> Option<New> {
        let from = self.from.saturating_add(sent);
        let is_same = headers.get(header::ETAG) == Some(&self.etag)
            && headers.get(header::CONTENT_ENCODING) == self.coding.as_ref();
        match status {
            StatusCode::PARTIAL_CONTENT if is_same => {
                let range = ContentRange::of(headers)?;
                let last = self.last.or_else(|| range.whole?.checked_sub(1));
                let bytes = (range.last - range.first).checked_add(1);
                if content_length(headers).is_some_and(|stated| Some(stated) != bytes) {
                    return None;
                }
                (range.first == from && Some(range.last) == last).then_some(New { skip: 0, bytes })
            }
            StatusCode::OK if is_same && self.is_whole => {
                let (known, stated) = (self.last.map(|last| last + 1), content_length(headers));
                match (known, stated) {
                    (Some(known), Some(stated)) if known != stated => None,
                    (Some(whole), _) | (None, Some(whole)) => {
                        Some(New { skip: sent, bytes: Some(whole.checked_sub(sent)?) })
                    }
                    (None, None) => Some(New { skip: sent, bytes: None }),
                }
            }
            _ => None,
        }
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

// === impl ContentRange ===

impl ContentRange {
    fn of(headers: &HeaderMap) -> Option<Self> {
        Self::read(headers.get(header::CONTENT_RANGE)?.to_str().ok()?)
    }

    /// Reads a range that was sent (RFC 9110 section 14.4); `None` where it says that none was, or what cannot be.
    pub(crate) fn read(field: &str) -> Option<Self> {
        // Digits and nothing else: `parse` alone would take a sign.
        let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok())?;
        let (range, whole) = field.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last) = (number(first)?, number(last)?);
        let whole = if whole == "*" { None } else { Some(number(whole)?) };
        (first <= last && whole.is_none_or(|whole| last < whole)).then_some(Self { first, last, whole })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(fields: &[(header::HeaderName, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn only_what_is_certainly_the_rest_of_the_same_bytes_is_taken() {
        use header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG};
        let part = |status: u16, answer: &[(header::HeaderName, &str)]| {
            Part::of(StatusCode::from_u16(status).unwrap(), &fields(answer))
        };
        let whole = part(200, &[(ETAG, "\"a\""), (CONTENT_LENGTH, "1000")]).unwrap();
        let range = part(206, &[(ETAG, "\"a\""), (CONTENT_RANGE, "bytes 100-899/1000")]).unwrap();
        let open = part(200, &[(ETAG, "\"a\"")]).unwrap();
        let zipped = part(200, &[(ETAG, "\"a\""), (CONTENT_LENGTH, "1000"), (CONTENT_ENCODING, "gzip")]).unwrap();
        let new = |skip, bytes| Some(New { skip, bytes });
        let rest = [(ETAG, "\"a\""), (CONTENT_RANGE, "bytes 400-999/1000")];
        let all = [(ETAG, "\"a\""), (CONTENT_LENGTH, "1000")];
        let unsaid = [(ETAG, "\"a\"")];
        for (of, sent, status, answer, wanted) in [
            (&whole, 400, 206, &rest[..], new(0, Some(600))),
            (&range, 300, 206, &[(ETAG, "\"a\""), (CONTENT_RANGE, "bytes 400-899/1000")], new(0, Some(500))),
            (&open, 400, 206, &rest, new(0, Some(600))),
            // The whole, of which the beginning is left out.
            (&whole, 400, 200, &all, new(400, Some(600))),
            (&whole, 400, 200, &unsaid, new(400, Some(600))),
            (&open, 400, 200, &all, new(400, Some(600))),
            (&open, 400, 200, &unsaid, new(400, None)),
            // Other bytes, or bytes that may be others.
            (&whole, 400, 206, &[(ETAG, "\"b\""), rest[1].clone()], None),
            (&whole, 400, 206, &[(ETAG, "W/\"a\""), rest[1].clone()], None),
            (&whole, 400, 206, &[rest[1].clone()], None),
            (&whole, 400, 200, &[(ETAG, "\"b\""), all[1].clone()], None),
            (&whole, 400, 206, &[rest[0].clone(), rest[1].clone(), (CONTENT_ENCODING, "gzip")], None),
            (&zipped, 400, 206, &rest, None),
            // Another range, another length, a part of what was a part, and no answer.
            (&whole, 399, 206, &rest, None),
            (&whole, 400, 206, &[(ETAG, "\"a\""), (CONTENT_RANGE, "bytes 400-998/1000")], None),
            (&range, 300, 206, &rest, None),
            (&whole, 400, 200, &[(ETAG, "\"a\""), (CONTENT_LENGTH, "1001")], None),
            (&open, 1001, 200, &all, None),
            (&range, 300, 200, &all, None),
            (&whole, 400, 206, &[(ETAG, "\"a\"")], None),
            // It states another length than that of its range.
            (&open, 400, 206, &[rest[0].clone(), rest[1].clone(), (CONTENT_LENGTH, "500")], None),
            (&open, 400, 206, &[rest[0].clone(), rest[1].clone(), (CONTENT_LENGTH, "600")], new(0, Some(600))),
            (&whole, 400, 416, &rest, None),
            (&whole, 400, 500, &all, None),
        ] {
            let got = of.new_of(sent, StatusCode::from_u16(status).unwrap(), &fields(answer));
            assert_eq!(got, wanted, "{of:?} after {sent}: {status} {answer:?}");
        }
        // What has no strong ETag, or says no range, has no rest.
        for (status, answer) in [
            (200, &[(CONTENT_LENGTH, "1000")][..]),
            (200, &[(ETAG, "W/\"a\"")]),
            (206, &[(ETAG, "\"a\"")]),
            (404, &[(ETAG, "\"a\"")]),
        ] {
            assert!(part(status, answer).is_none(), "{status} {answer:?}");
        }
    }

    #[test]
    fn a_content_range_is_read_or_refused() {
        let read = |text: &'static str| {
            ContentRange::of(&HeaderMap::from_iter([(header::CONTENT_RANGE, HeaderValue::from_static(text))]))
        };
        assert_eq!(read("bytes 5-9/10"), Some(ContentRange { first: 5, last: 9, whole: Some(10) }));
        assert_eq!(read("bytes 5-9/*"), Some(ContentRange { first: 5, last: 9, whole: None }));
        let no_ranges = ["bytes */10", "bytes 5/10", "items 5-9/10", "bytes 5-9", "bytes -5-9/10", "bytes +5-9/10", ""];
        let impossible = ["bytes 9-5/10", "bytes 5-10/10", "bytes 5-18446744073709551616/*"];
        for wrong in no_ranges.into_iter().chain(impossible) {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
