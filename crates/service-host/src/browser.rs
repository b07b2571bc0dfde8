//! Web browsers: which pages may use a service, and what their scripts may read of its answers.
//!
//! On loopback a service asks for no token, so any page that a user opens could speak to it, were it not for this:
//!
//! - **Names that are not ours** (DNS rebinding). A page whose own name suddenly resolves to this machine is, for the
//!   browser, a page of the service. `Host` gives it away: it is no address, not `localhost` nor a name under it, and
//!   not configured, so it gets 421. What comes through a proxy is left to the proxy: no page can send `Via` (a
//!   forbidden request-header of the Fetch standard), and the router has judged the host by its own names.
//! - **Changes from elsewhere.** A request that may change something and comes from a page of an origin that is neither
//!   the service's nor allowed gets 403, with or without a token.
//! - **What is everybody's to send.** A few paths take from pages of any origin, without credentials, what changes nothing of anybody's
//!   ([`Pages::open_paths`]). Hosts are looked at there, too.
//! - **Reading.** Scripts of allowed origins may read every answer, refusals too; those of others none. Services whose
//!   answers are everybody's say so on their own routes.
//!
//! Programs send no `Origin` and name the address that they were given: they are not concerned.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::problem::Failure;

/// How long a browser may remember a preflight, seconds.
const PREFLIGHT_MAX_AGE_S: &str = "600";
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Pages of other origins that may use a service, and what they may do there. By default there are none.
#[derive(Debug, Clone, Default)]
pub struct Pages {
    /// Their origins, as browsers write them: `https://portal.example`.
    pub origins: Vec<String>,
    /// Methods that they may use, separated by commas.
    pub methods: &'static str,
    /// Request headers that they may set, separated by commas.
    pub request_headers: &'static str,
    /// Answer headers that they may read, separated by commas.
    pub answer_headers: &'static str,
    /// Paths that pages of any origin may send to, allowed or not.
    pub open_paths: &'static [&'static str],
}

/// What is asked of every request of a service.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    /// Hosts that requests may be for, besides addresses and `localhost`; `None` where nobody looks at it.
    pub hosts: Option<Vec<String>>,
    pub pages: Pages,
}

/// Middleware: refuses strange hosts and pages, and tells allowed pages what they may do.
pub(crate) async fn guard(guard: Arc<Guard>, request: Request, next: Next) -> Response {
    if let Some(host) = guard.strange_host(&request) {
        return misdirected(host).into_response();
    }
    let origin = request.headers().get(header::ORIGIN).cloned();
    let known = &guard.pages.origins;
    let is_allowed =
        origin.as_ref().is_some_and(|origin| known.iter().any(|known| known.as_bytes() == origin.as_bytes()));
    let may_change = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let is_open = guard.pages.open_paths.contains(&request.uri().path());
    if may_change && !is_open && !is_allowed && !is_own(request.headers()) {
        return foreign(origin.as_ref()).into_response();
    }
    let is_preflight = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = next.run(request).await;
    if known.is_empty() {
        return response;
    }
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin.filter(|_| is_allowed) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(guard.pages.answer_headers));
        if is_preflight {
            let Pages { methods, request_headers, .. } = guard.pages;
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(request_headers));
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_MAX_AGE_S));
        }
    }
    response
}

/// Whether the request comes from a program, or from a page of this very origin (Fetch Metadata; older browsers: the
/// origin's authority is the request's).
fn is_own(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        return matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    authority.is_some() && authority == host
}

/// The host in `host[:port]`, without a root dot.
fn host_of(authority: &str) -> &str {
    let end = if authority.starts_with('[') { authority.find(']').map(|at| at + 1) } else { authority.find(':') };
    let host = &authority[..end.unwrap_or(authority.len())];
    host.strip_suffix('.').unwrap_or(host)
}

/// An address, `localhost`, or a name under it, which browsers resolve to this machine by themselves.
fn is_local(host: &str) -> bool {
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let name = host.to_ascii_lowercase();
    bracketed.is_some_and(|host| host.parse::<Ipv6Addr>().is_ok())
        || host.parse::<Ipv4Addr>().is_ok()
        || name == "localhost"
        || name.ends_with(".localhost")
}

fn misdirected(host: &str) -> Failure {
    let detail = format!(
        "`{host}` is not a host of this service: ask it at its address, through the router, or name the host in \
         `[host] allowed_hosts`"
    );
    Failure::new(StatusCode::MISDIRECTED_REQUEST, "unknown-host", "Not a host of this service", detail)
}

fn foreign(origin: Option<&HeaderValue>) -> Failure {
    let origin = origin.and_then(|origin| origin.to_str().ok()).unwrap_or("another origin");
    let detail = format!(
        "the request comes from a web page of {origin}; services that take requests from other pages than their own \
         name them in `allowed_origins`"
    );
    Failure::new(StatusCode::FORBIDDEN, "foreign-origin", "Not from this page", detail)
}

// === impl Guard ===

impl Guard {
    /// The host that the request is for, if it should not be.
    fn strange_host<'a>(&self, request: &'a Request) -> Option<&'a str> {
        let allowed = self.hosts.as_ref()?;
        if request.headers().contains_key(header::VIA) {
            return None;
        }
        let named = request.headers().get_all(header::HOST).iter();
        // What is no text is no host: the empty one is strange too.
        let named = named.map(|host| host.to_str().unwrap_or_default());
        let target = request.uri().authority().map(|authority| authority.as_str());
        named.chain(target).map(host_of).find(|host| {
            let is_allowed = allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(host));
            !is_allowed && !is_local(host)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(pairs: &[(&'static str, &'static str)]) -> bool {
        let pairs = pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        is_own(&pairs.collect())
    }

    #[test]
    fn strange_pages_are_told_from_programs_and_own_pages() {
        assert!(own(&[("host", "127.0.0.1:8080")]));
        assert!(own(&[("host", "127.0.0.1:8080"), ("origin", "http://127.0.0.1:8080")]));
        assert!(own(&[("host", "10.0.0.1"), ("origin", "http://127.0.0.1:8080"), ("sec-fetch-site", "same-origin")]));
        assert!(!own(&[("host", "127.0.0.1:8080"), ("origin", "http://evil.example")]));
        assert!(!own(&[("host", "127.0.0.1:8080"), ("origin", "null")]));
        assert!(!own(&[("host", "127.0.0.1:8080"), ("sec-fetch-site", "cross-site")]));
    }

    #[test]
    fn hosts_of_this_machine_are_told_from_names_that_only_resolve_to_it() {
        let guard = Guard { hosts: Some(vec!["media.example".to_owned()]), pages: Pages::default() };
        let strange = |fields: &[(&str, &str)], target: &str| {
            let mut request = Request::builder().uri(target);
            for (name, value) in fields {
                request = request.header(*name, *value);
            }
            guard.strange_host(&request.body(axum::body::Body::empty()).unwrap()).map(str::to_owned)
        };
        for host in [
            "127.0.0.1",
            "127.0.0.1:7010",
            "[::1]:7010",
            "[::1]",
            "localhost:7010",
            "LOCALHOST.",
            "metadata.main.localhost:8080",
            "Media.Example:443",
        ] {
            assert_eq!(strange(&[("host", host)], "/"), None, "{host}");
        }
        for host in
            ["evil.example:7010", "evil-localhost", "localhost.evil.example", "127.0.0.1.evil.example", "[x]", ""]
        {
            assert!(strange(&[("host", host)], "/").is_some(), "{host}");
        }
        assert_eq!(strange(&[], "/"), None, "HTTP/1.0 programs send none");
        assert!(strange(&[("host", "127.0.0.1")], "http://evil.example/").is_some());
        assert!(strange(&[("host", "127.0.0.1"), ("host", "evil.example")], "/").is_some());
        // The router passes the host on that it was asked for, and says that it was in between.
        assert_eq!(strange(&[("host", "flame.example"), ("via", "1.1 flame-01020304")], "/"), None);
    }
}
