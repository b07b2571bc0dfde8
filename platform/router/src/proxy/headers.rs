//! What a proxy does to header fields: hop-by-hop ones end here, its own are added, `Location` is mounted.
//!
//! Fields about where a request came from (`Forwarded`, `X-Forwarded-*`) are replaced, never appended to: what a
//! client says about itself is not passed on as if the router had seen it.

use std::fmt::Write;
use std::net::SocketAddr;

use axum::http::response::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, Version, header};
use bytes::{Bytes, BytesMut};
use flame_naming::Mount;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// Room for what is stated besides the host.
const STATED_BYTES: usize = 128;

/// This router in `Via` (RFC 9110 section 7.6.3), by what a message came.
#[derive(Debug)]
pub(super) struct Via {
    pseudonym: String,
    http1: HeaderValue,
    http2: HeaderValue,
}

/// Mark of an answer whose body ends with its connection (RFC 9112 section 6.3): nobody can tell a part of it from the whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unended;

/// Marks an answer, as it came, whose end nothing marks.
pub(super) fn note_unended(head: &mut Parts) {
    let codings = head.headers.get_all(header::TRANSFER_ENCODING).iter().next_back();
    let last = codings.and_then(|codings| codings.to_str().ok()).and_then(|codings| codings.rsplit(',').next());
    let is_chunked = last.is_some_and(|last| last.trim().eq_ignore_ascii_case("chunked"));
    let is_stated = last.is_none() && head.headers.contains_key(header::CONTENT_LENGTH);
    if head.version < Version::HTTP_2 && !is_chunked && !is_stated {
        head.extensions.insert(Unended);
    }
}

/// The protocol that the sender wants to change to, if it asks for that. A change of this connection only (to HTTP/2, which
/// clients begin with its preface since RFC 9113, or to TLS) is nobody's behind it, and may be passed over.
pub(super) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    if !nominated(headers).any(|token| token.eq_ignore_ascii_case("upgrade")) {
        return None;
    }
    let values = headers.get_all(header::UPGRADE).iter().filter_map(|value| value.to_str().ok());
    let protocols = values.flat_map(|value| value.split(',')).map(str::trim).filter(|protocol| {
        let name = protocol.split('/').next().unwrap_or_default();
        !["", "h2c", "h2", "tls"].iter().any(|own| name.eq_ignore_ascii_case(own))
    });
    let protocols = protocols.collect::<Vec<_>>().join(", ");
    HeaderValue::from_str(&protocols).ok().filter(|protocols| !protocols.is_empty())
}

/// Takes away what is meant for this hop only. `TE: trailers` stays: trailers pass through.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let nominated: Vec<HeaderName> = nominated(headers).filter_map(|token| token.parse().ok()).collect();
    let wants_trailers = headers.get_all(header::TE).iter().any(|value| {
        value.to_str().unwrap_or_default().split(',').any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
    });
    // A client may name thousands.
    for name in &nominated {
        headers.remove(name);
    }
    remove(headers, is_hop_by_hop);
    if wants_trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// Asks the next hop for an upgrade, or says that it was granted.
pub(super) fn set_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol);
}

/// States the client's address, and the host and scheme that it asked.
pub(super) fn set_forwarded(headers: &mut HeaderMap, peer: Option<SocketAddr>, proto: &'static str) {
    remove(headers, is_stated_here);
    let host = headers.get(header::HOST).cloned();
    // One piece of memory for all that is written here; writing to it does not fail.
    let mut text = BytesMut::with_capacity(STATED_BYTES + host.as_ref().map_or(0, HeaderValue::len));
    if let Some(peer) = peer {
        let ip = peer.ip().to_canonical();
        let _ = write!(text, "{ip}");
        let address = text.split().freeze();
        // RFC 7239 section 6: an IPv6 address is quoted and in brackets.
        let (before, behind) = if ip.is_ipv4() { ("for=", ";") } else { ("for=\"[", "]\";") };
        text.extend_from_slice(before.as_bytes());
        text.extend_from_slice(&address);
        text.extend_from_slice(behind.as_bytes());
        insert(headers, FORWARDED_FOR, address);
    }
    if let Some(host) = host {
        // A host has passed `Territory`: it holds nothing that would end a quoted string.
        text.extend_from_slice(b"host=\"");
        text.extend_from_slice(host.to_str().unwrap_or_default().as_bytes());
        text.extend_from_slice(b"\";");
        headers.insert(FORWARDED_HOST, host);
    }
    text.extend_from_slice(b"proto=");
    text.extend_from_slice(proto.as_bytes());
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(proto));
    insert(headers, header::FORWARDED, text.freeze());
}

/// Makes `Location` and `Content-Location` right for the client: a service answers paths from its own root and need
/// not know where it is mounted, so the mount is put before them. Relative ones are right already.
pub(super) fn mount_locations(
    headers: &mut HeaderMap,
    mount: &Mount,
    upstream: impl Fn() -> Authority,
    asked: Option<&HeaderValue>,
) {
    for name in [header::LOCATION, header::CONTENT_LOCATION] {
        let Some(text) = headers.get(&name).and_then(|value| value.to_str().ok()) else { continue };
        if let Some(mounted) = mounted(text, mount, &upstream(), asked.and_then(|host| host.to_str().ok())) {
            insert(headers, name, mounted.into());
        }
    }
}

/// `location` as the client needs it; `None` where it may stay.
pub(crate) fn mounted(location: &str, mount: &Mount, upstream: &Authority, asked: Option<&str>) -> Option<String> {
    let prefix = mount.prefix();
    if location.starts_with('/') && !location.starts_with("//") {
        return (!prefix.is_empty()).then(|| format!("{prefix}{location}"));
    }
    let uri: Uri = location.parse().ok()?;
    let authority = uri.authority()?;
    // A service that wrote its own address, or the host that it was asked for, means itself.
    let is_asked = asked.is_some_and(|host| authority.as_str().eq_ignore_ascii_case(host));
    let is_itself = authority == upstream || (is_asked && !prefix.is_empty());
    if !matches!(uri.scheme_str(), Some("http" | "https")) || !is_itself {
        return None;
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let fragment = location.split_once('#').map(|(_, fragment)| format!("#{fragment}")).unwrap_or_default();
    Some(format!("{prefix}{path}{fragment}"))
}

/// Types that no browser makes a page of, besides pictures, sounds, videos and fonts.
const NO_PAGES: [&[u8]; 11] = [
    b"application/json",
    b"application/problem+json",
    b"application/vnd.apple.mpegurl",
    b"application/octet-stream",
    b"application/javascript",
    b"text/javascript",
    b"text/css",
    b"text/csv",
    b"text/event-stream",
    b"text/plain",
    b"text/vtt",
];

/// Behind a path, every service shares the origin of the router's own page: whatever of a service's answers a browser might
/// show as a page gets an origin of its own (CSP `sandbox`), and nothing else is guessed to be one.
pub(super) fn confine_pages(headers: &mut HeaderMap) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // What has no type is taken for none: see `nosniff`.
    let Some(kind) = headers.get(header::CONTENT_TYPE).map(|kind| kind.as_bytes().to_ascii_lowercase()) else { return };
    if !is_no_page(&kind) {
        headers.append(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    }
}

fn is_no_page(kind: &[u8]) -> bool {
    let essence = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let is_medium = [&b"image/"[..], b"audio/", b"video/", b"font/"].iter().any(|family| essence.starts_with(family));
    // SVG and what else is XML runs scripts.
    (is_medium && !essence.windows(3).any(|part| part == b"xml")) || NO_PAGES.contains(&essence)
}

/// Hop-by-hop fields (RFC 9110 section 7.6.1), and those of a proxy's own authentication.
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Fields about the client's way here, which only this router states.
fn is_stated_here(name: &str) -> bool {
    matches!(
        name,
        "forwarded"
            | "x-forwarded-for"
            | "x-forwarded-host"
            | "x-forwarded-port"
            | "x-forwarded-prefix"
            | "x-forwarded-proto"
            | "x-forwarded-server"
            | "x-original-url"
            | "x-real-ip"
    )
}

/// Removes the fields of such names. A message has few fields, and mostly none of them: looking through those that it has
/// costs less than asking for each.
fn remove(headers: &mut HeaderMap, is_it: impl Fn(&str) -> bool) {
    while let Some(name) = headers.keys().find(|name| is_it(name.as_str())).cloned() {
        headers.remove(name);
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, text: Bytes) {
    if let Ok(value) = HeaderValue::from_maybe_shared(text) {
        headers.insert(name, value);
    }
}

fn nominated(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

// === impl Via ===

impl Via {
    /// For a router that calls itself `pseudonym`, a token.
    pub(super) fn new(pseudonym: &str) -> Self {
        let by = |version: &str| HeaderValue::from_str(&format!("{version} {pseudonym}")).expect("a token");
        Self { pseudonym: pseudonym.to_owned(), http1: by("1.1"), http2: by("2.0") }
    }

    /// What this router calls itself.
    pub(super) fn pseudonym(&self) -> &str {
        &self.pseudonym
    }

    /// Adds it to a message that came by `version`.
    pub(super) fn add_to(&self, headers: &mut HeaderMap, version: Version) {
        let by = if version == Version::HTTP_2 { &self.http2 } else { &self.http1 };
        headers.append(header::VIA, by.clone());
    }

    /// How often it is there already.
    pub(super) fn times_in(&self, headers: &HeaderMap) -> usize {
        let values = headers.get_all(header::VIA).iter().filter_map(|value| value.to_str().ok());
        let hops = values.flat_map(|value| value.split(','));
        hops.filter(|hop| hop.split_whitespace().nth(1) == Some(self.pseudonym.as_str())).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(text: &str, prefix: &str) -> Option<String> {
        let mount = if prefix.is_empty() { Mount::Host } else { Mount::Path(prefix.to_owned()) };
        mounted(text, &mount, &Authority::from_static("127.0.0.1:4000"), Some("localhost:8080"))
    }

    #[test]
    fn a_location_is_mounted_where_it_means_the_service() {
        let cases = [
            ("/uploads/1", "/~ingest", Some("/~ingest/uploads/1")),
            ("/uploads/1?a=b#c", "/~ingest", Some("/~ingest/uploads/1?a=b#c")),
            ("uploads/1", "/~ingest", None),
            ("../1", "/~ingest", None),
            ("//elsewhere/1", "/~ingest", None),
            ("https://elsewhere/1", "/~ingest", None),
            ("http://elsewhere/1", "/~ingest", None),
            ("http://127.0.0.1:4000/1?q#f", "/~ingest", Some("/~ingest/1?q#f")),
            ("http://localhost:8080/1", "/~ingest", Some("/~ingest/1")),
            ("/uploads/1", "", None),
            ("http://127.0.0.1:4000/1", "", Some("/1")),
            ("http://localhost:8080/1", "", None),
        ];
        for (text, prefix, wanted) in cases {
            assert_eq!(location(text, prefix).as_deref(), wanted, "{text} at {prefix:?}");
        }
    }

    #[test]
    fn a_page_of_a_service_gets_an_origin_of_its_own_and_media_stay_as_they_are() {
        let confined = |kind: &'static str| {
            let mut headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
            confine_pages(&mut headers);
            assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
            headers.contains_key(header::CONTENT_SECURITY_POLICY)
        };
        for page in [
            "text/html",
            "Text/HTML; charset=utf-8",
            "application/xhtml+xml",
            "image/svg+xml",
            "text/xml",
            "text/xsl",
            "application/dash+xml",
            "multipart/x-mixed-replace; boundary=x",
            "application/pdf",
            "",
        ] {
            assert!(confined(page), "{page}");
        }
        for other in ["video/mp4", "application/vnd.apple.mpegurl", "application/json; charset=utf-8", "image/jpeg"] {
            assert!(!confined(other), "{other}");
        }
    }

    #[test]
    fn a_change_of_the_client_s_own_connection_is_not_asked_of_an_endpoint() {
        let asked = |protocols: &[&'static str]| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade, HTTP2-Settings"));
            for one in protocols {
                headers.append(header::UPGRADE, HeaderValue::from_static(one));
            }
            upgrade(&headers).map(|protocols| protocols.to_str().unwrap().to_owned())
        };
        for own in [&["h2c"][..], &["H2C, TLS/1.2"], &[""], &[]] {
            assert_eq!(asked(own), None, "{own:?}");
        }
        assert_eq!(asked(&["h2c, websocket"]).as_deref(), Some("websocket"));
        assert_eq!(asked(&["h2c", "flame-multicast/1"]).as_deref(), Some("flame-multicast/1"));
    }

    #[test]
    fn hop_by_hop_fields_end_here_with_those_that_connection_names() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Mine"),
            ("connection", "upgrade"),
            ("x-mine", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "gzip, trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("proxy-authorization", "Basic eA=="),
            ("authorization", "Bearer x"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        assert_eq!(upgrade(&headers), Some(HeaderValue::from_static("websocket")));
        remove_hop_by_hop(&mut headers);
        let mut left: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        left.sort_unstable();
        assert_eq!(left, [("authorization", "Bearer x"), ("te", "trailers")]);
    }
}
