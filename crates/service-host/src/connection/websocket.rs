//! WebSocket over HTTP/2 (RFC 8441): the extended CONNECT gets the form of an upgrade by HTTP/1.1 (RFC 6455 section 4.1),
//! and what is answered to that the form of HTTP/2 again. Any other CONNECT stays what it is.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::ext::Protocol;

use super::Activity;
use crate::problem::Failure;

/// Keeps a connection by HTTP/2 from being taken for one without requests: whoever goes on with an upgraded stream of it
/// holds this. In the extensions of the request.
#[derive(Debug, Clone)]
pub struct Stays(#[expect(dead_code, reason = "held, not read")] Arc<Stay>);

#[derive(Debug)]
struct Stay(Arc<Activity>);

/// Whether a request asks for a WebSocket by HTTP/2.
pub(super) fn is_asked_for(request: &Request) -> bool {
    let protocol = request.extensions().get::<Protocol>();
    *request.method() == Method::CONNECT && protocol.is_some_and(|protocol| protocol.as_str() == "websocket")
}

/// Gives it the form of HTTP/1.1. By HTTP/2 there is no key: this one's answer is not looked at.
pub(super) fn ask(request: &mut Request, activity: &Arc<Activity>) {
    *request.method_mut() = Method::GET;
    request.extensions_mut().remove::<Protocol>();
    activity.open.fetch_add(1, Ordering::Relaxed);
    request.extensions_mut().insert(Stays(Arc::new(Stay(Arc::clone(activity)))));
    let headers = request.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let key = HeaderValue::try_from(STANDARD.encode(rand::random::<[u8; 16]>())).expect("letters and digits");
    headers.insert(header::SEC_WEBSOCKET_KEY, key);
}

/// Gives the answer the form of HTTP/2: 200 is what 101 was, so any other success is none.
pub(super) fn answered(mut answer: Response) -> Response {
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS && is_websocket(answer.headers()) {
        *answer.status_mut() = StatusCode::OK;
        for name in [header::CONNECTION, header::UPGRADE, header::SEC_WEBSOCKET_ACCEPT, header::CONTENT_LENGTH] {
            answer.headers_mut().remove(name);
        }
    } else if answer.status().is_success() || answer.status().is_informational() {
        let detail = "what was asked for a WebSocket answered with something else";
        return Failure::new(StatusCode::BAD_GATEWAY, "bad-gateway", "No WebSocket was granted", detail)
            .into_response();
    }
    answer
}

fn is_websocket(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.moved();
    }
}
