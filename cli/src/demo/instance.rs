//! An instance of a service for a tour to kill, stop and connect: a process of its own that registers as every service does.
//!
//! It holds one object, `/object`, with a strong ETag and ranges; whole, in pieces with a pause between them, so that a
//! fault meets the answer in its middle. `/beginning` is its first KiB. It ends with its standard input.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flame_api::router::EndpointState;
use flame_service_host::auth::AuthConfig;
use flame_service_host::config::RegistrationConfig;
use flame_service_host::{Host, HostConfig, Routes, logs};
use futures_util::stream;
use sha2::{Digest, Sha256};
use utoipa_axum::router::OpenApiRouter;

use crate::args::{DemoInstance, Global};
use crate::exit::Exit;
use crate::output;

/// Bytes of the small object.
pub const BEGINNING_BYTES: usize = 1 << 10;
/// A long answer goes out in such pieces, each after such a pause.
const PIECE_BYTES: usize = 64 << 10;
const PAUSE: Duration = Duration::from_millis(5);

/// What it holds.
struct Object {
    bytes: Bytes,
    etag: HeaderValue,
}

pub async fn run(global: &Global, args: DemoInstance) -> Result<(), Exit> {
    logs::init("error");
    serve(global, args).await.map_err(Exit::not_carried_out)
}

async fn serve(global: &Global, args: DemoInstance) -> anyhow::Result<()> {
    let bytes = Bytes::from(read(args.object).await?);
    let etag = HeaderValue::from_str(&format!("\"{}\"", hex::encode(&Sha256::digest(&bytes)[..8])))?;
    let object = Arc::new(Object { bytes, etag });
    let state = if args.booted { EndpointState::Booted } else { EndpointState::Connected };
    let config = HostConfig {
        listen: args.listen,
        name: Some(args.name),
        router: Some(global.router.clone()),
        token: global.token.clone(),
        auth: AuthConfig { keys: args.keys },
        registration: RegistrationConfig { state, ..RegistrationConfig::default() },
        ..HostConfig::default()
    };
    let host = Host::bind("instance", &config).await?;
    let public =
        OpenApiRouter::new().route("/object", get(whole)).route("/beginning", get(beginning)).with_state(object);
    let running = host.serve(Routes { public, ..Routes::default() });
    output::print_line(&running.address().to_string()).ok();
    // An error is an end too.
    let _ = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink())).await;
    running.stop().await;
    Ok(())
}

async fn read(path: PathBuf) -> anyhow::Result<Vec<u8>> {
    tokio::fs::read(&path).await.with_context(|| format!("read {}", path.display()))
}

async fn beginning(State(object): State<Arc<Object>>) -> Response {
    let bytes = object.bytes.slice(..object.bytes.len().min(BEGINNING_BYTES));
    ([(header::ETAG, object.etag.clone())], bytes).into_response()
}

async fn whole(State(object): State<Arc<Object>>, headers: HeaderMap) -> Response {
    let is_same = headers.get(header::IF_RANGE).is_none_or(|etag| *etag == object.etag);
    let first = headers.get(header::RANGE).filter(|_| is_same).and_then(|range| {
        let (first, _) = range.to_str().ok()?.strip_prefix("bytes=")?.split_once('-')?;
        first.parse::<usize>().ok().filter(|first| *first < object.bytes.len())
    });
    let length = object.bytes.len();
    let rest = object.bytes.slice(first.unwrap_or(0)..);
    let mut answer = Response::new(Body::empty());
    let fields = answer.headers_mut();
    fields.insert(header::ETAG, object.etag.clone());
    fields.insert(header::CONTENT_LENGTH, HeaderValue::from(rest.len()));
    if let Some(first) = first
        && let Ok(range) = HeaderValue::from_str(&format!("bytes {first}-{}/{length}", length - 1))
    {
        fields.insert(header::CONTENT_RANGE, range);
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    *answer.body_mut() = Body::from_stream(stream::unfold(rest, |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(PAUSE).await;
        let piece = rest.split_to(rest.len().min(PIECE_BYTES));
        Some((Ok::<_, std::convert::Infallible>(piece), rest))
    }));
    answer
}
