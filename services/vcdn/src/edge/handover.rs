//! Connections that are hyper's from now on: the same answers for everything that the loop does not take.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use bytes::Bytes;
use flame_naming::identity::url;
use flame_service_host::plain::Prefixed;
use flame_service_host::{Failure, Socket};
use futures_util::{Stream, stream};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::write::{Span, span};
use super::{HEAD_MAX_BYTES, Limits};
use crate::answer::{self, Answer, Content, Lead};
use crate::fill::Phase;
use crate::front::{Asked, Front, Rest, Slice, Slices};
use crate::medium;
use crate::rules::cmcd::{EVENTS_TYPE, speaker};

/// How long a browser may remember a preflight, seconds; browsers cap it on their own.
const PREFLIGHT_MAX_AGE_S: &str = "86400";
/// Longest batch of events that is taken.
const EVENTS_MAX_BYTES: usize = 64 << 10;
/// A piece of a file that is read at a time.
const PIECE_BYTES: u64 = 64 << 10;

/// Serves the rest of a connection.
pub(super) async fn serve<S>(
    stream: S,
    peer: SocketAddr,
    prefix: Bytes,
    front: Arc<Front>,
    limits: Limits,
    stop: CancellationToken,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let socket = TokioIo::new(Prefixed::new(prefix, Socket::new(stream, limits.write_idle)));
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let front = Arc::clone(&front);
        async move { Ok::<_, Infallible>(respond(&front, peer, request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_headers(100)
        .max_buf_size(HEAD_MAX_BYTES)
        .serve_connection(socket, service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, %peer, "a connection broke");
    }
    Ok(())
}

async fn respond(front: &Arc<Front>, peer: SocketAddr, request: Request<Incoming>) -> Response<Body> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let is_http_11 = request.version() == axum::http::Version::HTTP_11;
    if (hosts.next().is_none() && is_http_11) || hosts.next().is_some() {
        return Failure::bad_request("send exactly one Host field").into_response();
    }
    let began = Instant::now();
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let (parts, body) = request.into_parts();
    let peer = Some(peer.ip());
    let asked = Asked { is_head: parts.method == Method::HEAD, target, headers: parts.headers, peer };
    let answer = match parts.method {
        Method::GET | Method::HEAD => front.answer(asked).await,
        Method::OPTIONS => return preflight(front),
        Method::POST if is_events(&asked.headers) => return events(front, speaker(&asked.headers, peer), body).await,
        Method::TRACE | Method::CONNECT => return not_allowed(front),
        ref method if front.writes => front.change(method, &asked, body).await,
        _ => return not_allowed(front),
    };
    let answer = if parts.method == Method::HEAD { answer } else { front.in_turn(answer).await };
    let path = parts.uri.to_string();
    tracing::info!(target: "access", front = %front.name, method = %parts.method, path = &*url::without_token(&path), status = answer.status().as_u16(), cache = answer.cache_status);
    front.exchanges.count(answer.status().as_u16(), began.elapsed(), 0, answer.content.length());
    response(front, answer, began.elapsed())
}

/// What a front lets be asked.
fn methods(front: &Front) -> HeaderValue {
    let (some, all) = ("GET, HEAD, OPTIONS", "GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE");
    HeaderValue::from_static(if front.writes { all } else { some })
}

fn not_allowed(front: &Front) -> Response<Body> {
    let detail = "a surrogate answers GET and HEAD; what changes something is for the service itself";
    let failure = Failure::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed", detail);
    failure.with_header(header::ALLOW, methods(front)).into_response()
}

/// Whether a request brings what players have met with (CTA-5004-A, event mode).
fn is_events(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(EVENTS_TYPE)
}

/// Takes a batch of events; every path of the front does, and none keeps them.
async fn events(front: &Front, address: Option<IpAddr>, body: Incoming) -> Response<Body> {
    let mut headers = HeaderMap::new();
    answer::for_any_page(&mut headers);
    let status = match Limited::new(body, EVENTS_MAX_BYTES).collect().await {
        Ok(body) => {
            let events = front.note_events(&String::from_utf8_lossy(&body.to_bytes()), address);
            tracing::info!(target: "access", front = %front.name, events, "players told of themselves");
            StatusCode::NO_CONTENT
        }
        Err(error) if error.is::<LengthLimitError>() => StatusCode::PAYLOAD_TOO_LARGE,
        Err(_) => StatusCode::BAD_REQUEST,
    };
    (status, headers).into_response()
}

fn preflight(front: &Front) -> Response<Body> {
    let mut headers = HeaderMap::new();
    answer::for_any_page(&mut headers);
    // Players post events from pages of any origin.
    let asked = if front.writes { "GET, HEAD, POST, PUT, PATCH, DELETE" } else { "GET, HEAD, POST" };
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, asked),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "*"),
        (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE_S),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::ALLOW, methods(front));
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// The answer as hyper sends it.
fn response(front: &Arc<Front>, answer: Answer, delay: Duration) -> Response<Body> {
    let Answer { lead, age_s, cache_status, content, asset } = answer;
    let (status, mut headers) = match lead {
        Lead::Fields(status, headers) => (status, headers),
        Lead::Kept(head) => (head.status, head.headers.clone()),
    };
    if let Some(age_s) = age_s {
        headers.insert(header::AGE, HeaderValue::from(age_s));
    }
    if let Ok(value) = HeaderValue::from_str(&cache_status) {
        headers.append("cache-status", value);
    }
    if let Ok(value) = HeaderValue::from_str(&format!("{}{}{}", front.cmsd(), delay.as_millis(), front.duress())) {
        headers.append(answer::CMSD_DYNAMIC, value);
    }
    if let (Some(asset), Some(length)) = (&asset, content.length()) {
        crate::shelf::count(&asset.sent_bytes, length);
    }
    let body = match content {
        Content::None => Body::empty(),
        Content::Memory(bytes) => Body::from(bytes),
        Content::File { file, offset, length } => {
            let end = offset + length;
            Body::from_stream(stream::try_unfold(offset, move |at| {
                let piece = (at < end).then(|| {
                    let wanted = usize::try_from((end - at).min(PIECE_BYTES)).unwrap_or(usize::MAX);
                    medium::read(&file, at, wanted)
                });
                async move { piece.transpose().map(|piece| piece.map(|bytes| (bytes.clone(), at + bytes.len() as u64))) }
            }))
        }
        Content::Follow { fill, offset, end } => Body::from_stream(followed(fill, offset, end)),
        Content::Slices(slices) => Body::from_stream(sliced(slices)),
        Content::Pass { body, .. } => {
            let front = Arc::clone(front);
            Body::from_stream(stream::try_unfold((front, body), |(front, mut body)| async move {
                let data = front.upstream.next(&mut body).await?;
                Ok::<_, crate::upstream::UpstreamError>(data.map(|data| (data, (front, body))))
            }))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The bytes of a fill, as they come.
fn followed(
    fill: watch::Receiver<Phase>,
    offset: u64,
    end: Option<u64>,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::try_unfold((fill, offset), move |(mut fill, at)| async move {
        let bytes = match piece(span(&mut fill, at, end).await)? {
            Piece::Bytes(bytes) => bytes,
            Piece::End => return Ok(None),
            Piece::Broken => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        };
        let next = at + bytes.len() as u64;
        Ok(Some((bytes, (fill, next))))
    })
}

/// What is sent of a followed body at a time.
enum Piece {
    Bytes(Bytes),
    End,
    Broken,
}

fn piece(span: Span) -> io::Result<Piece> {
    Ok(match span {
        Span::End => Piece::End,
        Span::Broken => Piece::Broken,
        Span::Memory(bytes) => Piece::Bytes(bytes),
        Span::File { file, offset, length } => {
            Piece::Bytes(medium::read(&file, offset, usize::try_from(length.min(PIECE_BYTES)).unwrap_or(usize::MAX))?)
        }
    })
}

/// Where a viewer is on his way through slices.
enum Place {
    Between,
    In(Slice),
    Behind(Box<Rest>),
}

/// The bytes of slices, one after the other, and past them where one is not to be had.
fn sliced(slices: Box<Slices>) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::try_unfold((slices, Place::Between), |(mut slices, mut place)| async move {
        loop {
            place = match place {
                Place::Between => match slices.next() {
                    Some(slice) => Place::In(slice),
                    None => return Ok(None),
                },
                Place::In(mut slice) => match piece(span(&mut slice.fill, slice.offset, Some(slice.end)).await)? {
                    Piece::Bytes(bytes) => {
                        slice.offset += bytes.len() as u64;
                        return Ok(Some((bytes, (slices, Place::In(slice)))));
                    }
                    Piece::End => Place::Between,
                    Piece::Broken => {
                        let rest = slices.rest(slice.end - slice.offset).await;
                        Place::Behind(Box::new(rest.map_err(io::Error::other)?))
                    }
                },
                Place::Behind(mut rest) => match rest.next().await.map_err(io::Error::other)? {
                    Some(bytes) => return Ok(Some((bytes, (slices, Place::Behind(rest))))),
                    None => Place::Between,
                },
            };
        }
    })
}
