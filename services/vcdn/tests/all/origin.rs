//! An origin that answers what a test has put there, and notes every request: the witness of what a surrogate asked.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What is answered under a path.
#[derive(Debug, Clone)]
pub struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    /// The body breaks off here, at the requests with these numbers (from 0).
    break_at: Option<(usize, std::ops::Range<usize>)>,
    /// Nothing behind this many bytes is sent before the gate opens; `None` for the head.
    gate: Option<(Option<usize>, watch::Receiver<bool>)>,
    has_length: bool,
    ignores_ranges: bool,
    /// It sends parts of what it has, whatever If-Range says.
    ignores_if_range: bool,
    /// Parts come with these fields, too.
    of_parts: Vec<(&'static str, &'static str)>,
    /// The body is made of these fields of the request.
    made_of: Vec<&'static str>,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Noted {
    pub method: String,
    pub target: String,
    pub headers: HeaderMap,
}

#[derive(Debug, Default)]
struct Content {
    replies: Mutex<HashMap<String, Reply>>,
    log: Mutex<Vec<Noted>>,
}

/// A running origin.
#[derive(Debug)]
pub struct Origin {
    pub address: SocketAddr,
    content: Arc<Content>,
    task: JoinHandle<()>,
}

// === impl Origin ===

impl Origin {
    pub async fn start() -> Self {
        let content = Arc::new(Content::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().fallback(answer).with_state(Arc::clone(&content));
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { address, content, task }
    }

    /// From now on `path` (with its query) is answered so.
    pub fn put(&self, path: &str, reply: Reply) {
        self.content.replies.lock().unwrap().insert(path.to_owned(), reply);
    }

    /// Requests for `path`, with or without a query.
    pub fn asked(&self, path: &str) -> Vec<Noted> {
        let log = self.content.log.lock().unwrap();
        log.iter().filter(|noted| noted.target.split('?').next() == Some(path)).cloned().collect()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

// === impl Reply ===

impl Reply {
    /// 200 with `body`, fresh for a minute, under a strong ETag made of it.
    pub fn new(body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let etag = format!("\"{:x}-{}\"", body.len(), body.first().copied().unwrap_or(0));
        Self {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body,
            break_at: None,
            gate: None,
            has_length: true,
            ignores_ranges: false,
            ignores_if_range: false,
            of_parts: Vec::new(),
            made_of: Vec::new(),
        }
        .with("cache-control", "public, max-age=60")
        .with("etag", &etag)
    }

    pub fn status(mut self, status: u16) -> Self {
        self.status = StatusCode::from_u16(status).unwrap();
        self
    }

    /// Sets a field; an empty value removes it.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().unwrap();
        self.headers.remove(&name);
        if !value.is_empty() {
            self.headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
        self
    }

    /// Breaks off after `bytes` of the answers number `which`, counted for each path.
    pub fn broken_at(mut self, bytes: usize, which: std::ops::Range<usize>) -> Self {
        self.break_at = Some((bytes, which));
        self
    }

    /// Sends no more than `bytes` (no head, if `None`) until `gate` is true.
    pub fn gated(mut self, bytes: Option<usize>, gate: &watch::Sender<bool>) -> Self {
        self.gate = Some((bytes, gate.subscribe()));
        self
    }

    pub fn chunked(mut self) -> Self {
        self.has_length = false;
        self
    }

    /// Answers with what these fields of each request say ([`made_of`]).
    pub fn made_of(mut self, fields: &[&'static str]) -> Self {
        self.made_of = fields.to_vec();
        self.without_etag()
    }

    fn without_etag(self) -> Self {
        self.with("etag", "")
    }

    pub fn without_ranges(mut self) -> Self {
        self.ignores_ranges = true;
        self
    }

    /// As simple servers do it: a range is answered with a part, or 416, of whatever is there.
    pub fn without_if_range(mut self) -> Self {
        self.ignores_if_range = true;
        self
    }

    /// Sets a field of parts; an empty value removes it.
    pub fn part_with(mut self, name: &'static str, value: &'static str) -> Self {
        self.of_parts.push((name, value));
        self
    }
}

async fn answer(State(content): State<Arc<Content>>, request: Request) -> Response {
    let target = request.uri().path_and_query().unwrap().to_string();
    let reply = content.replies.lock().unwrap().get(&target).cloned();
    let number = {
        let mut log = content.log.lock().unwrap();
        let number = log.iter().filter(|noted| noted.target == target).count();
        let (method, headers) = (request.method().to_string(), request.headers().clone());
        log.push(Noted { method, target, headers });
        number
    };
    let Some(mut reply) = reply else {
        return Response::builder().status(404).body(Body::from("nothing here")).unwrap();
    };
    if let Some((None, gate)) = &reply.gate {
        gate.clone().wait_for(|is_open| *is_open).await.unwrap();
    }
    let headers = request.headers();
    if !reply.made_of.is_empty() {
        let says = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        reply.body = made_of(&reply.made_of, says).into();
        if reply.made_of.contains(&"accept-encoding") && takes_gzip(says("accept-encoding")) {
            reply.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
    }
    let mut response = Response::builder().status(reply.status);
    response.headers_mut().unwrap().extend(reply.headers.clone());
    let etag = reply.headers.get(header::ETAG);
    if etag.is_some() && headers.get(header::IF_NONE_MATCH) == etag {
        return response.status(304).body(Body::empty()).unwrap();
    }
    let is_same = reply.ignores_if_range || headers.get(header::IF_RANGE).is_none_or(|wanted| Some(wanted) == etag);
    let from = headers.get(header::RANGE).filter(|_| is_same && !reply.ignores_ranges);
    let (mut first, mut last) = (0, reply.body.len().saturating_sub(1));
    if let Some(range) = from {
        let (start, end) = range.to_str().unwrap().strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        first = start.parse().unwrap();
        if first > last {
            return response.status(416).body(Body::empty()).unwrap();
        }
        last = end.parse().unwrap_or(last).min(last);
        let total = reply.body.len();
        response = response.status(206).header("content-range", format!("bytes {first}-{last}/{total}"));
        let fields = response.headers_mut().unwrap();
        for (name, value) in &reply.of_parts {
            fields.remove(*name);
            if !value.is_empty() {
                fields.insert(*name, HeaderValue::from_static(value));
            }
        }
    }
    let body = if reply.body.is_empty() { Bytes::new() } else { reply.body.slice(first..=last) };
    if reply.has_length {
        response = response.header("content-length", body.len());
    }
    let stop = reply.break_at.filter(|(_, which)| which.contains(&number)).map(|(at, _)| at);
    let wait = reply.gate.and_then(|(at, gate)| at.map(|at| (at, gate)));
    response.body(paced(body, stop, wait)).unwrap()
}

/// A body that says what the fields of a request are; of the codings only whether gzip is one.
pub fn made_of<'a>(fields: &[&str], says: impl Fn(&str) -> Option<&'a str>) -> String {
    let line = |name: &&str| match *name {
        "accept-encoding" => format!("gzip: {}\n", takes_gzip(says(name))),
        name => format!("{name}: {:?}\n", says(name)),
    };
    fields.iter().map(line).collect::<String>() + "that is all"
}

/// As origins do it: who says nothing takes everything.
fn takes_gzip(accepted: Option<&str>) -> bool {
    accepted.is_none_or(|accepted| accepted.contains("gzip") && !accepted.contains("gzip;q=0"))
}

/// `body` in pieces, waiting and breaking off where it should.
fn paced(body: Bytes, stop: Option<usize>, wait: Option<(usize, watch::Receiver<bool>)>) -> Body {
    Body::from_stream(stream::try_unfold((body, 0, wait), move |(mut rest, sent, wait)| async move {
        if stop.is_some_and(|stop| sent >= stop) {
            // What was sent before has to be on its way when the connection goes.
            tokio::task::yield_now().await;
            return Err(io::Error::other("broken off on purpose"));
        }
        if rest.is_empty() {
            return Ok(None);
        }
        let mut piece = rest.len().min(16 << 10);
        if let Some((at, gate)) = &wait {
            if sent >= *at {
                gate.clone().wait_for(|is_open| *is_open).await.map_err(io::Error::other)?;
            } else {
                piece = piece.min(at - sent);
            }
        }
        if let Some(stop) = stop {
            piece = piece.min(stop - sent);
        }
        let data = rest.split_to(piece);
        Ok(Some((data, (rest, sent + piece, wait))))
    }))
}
