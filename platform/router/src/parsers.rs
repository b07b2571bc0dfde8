//! What the router reads off the network, as functions of values: the way in for the fuzz targets (fuzz/), which hold
//! each of them to a property. No part of the API: nothing in the product calls it, so no program grows by it.

use std::collections::BTreeMap;
use std::path::Path;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode};
use bytes::{Buf, BytesMut};
use flame_api::peers::{Line, Place};
use flame_naming::peers::{Key, Message};
use flame_naming::{Label, Mount};
use flame_service_host::problem::chain;

use crate::cookie;
use crate::multicast::head::Head;
use crate::oidc::{Discovered, OidcConfig};
use crate::peers::follow;
use crate::proxy::headers;
use crate::proxy::line::flow::{Framing, Step};
use crate::proxy::line::head::{self, Read};
use crate::proxy::resume::ContentRange;
use crate::proxy::sharing::status;

/// The issuer that all targets know.
pub const OIDC_ISSUER: &str = "https://login.example/";

/// An answer as it is read on a line to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineAnswer {
    /// Its status.
    pub status: StatusCode,
    /// Its fields.
    pub fields: HeaderMap,
    /// Its body, as far as it came.
    pub body: Vec<u8>,
    /// What stands behind the body.
    pub trailers: HeaderMap,
    /// Whether the body came to its end.
    pub is_whole: bool,
    /// Whether another answer may follow.
    pub keeps_alive: bool,
    /// What came after it.
    pub rest: Vec<u8>,
}

/// The entries of a file of static ones, for the router at the site `own`.
///
/// # Errors
/// What is wrong with it.
pub fn static_entries(text: &str, own: &Label) -> Result<BTreeMap<Label, BTreeMap<Key, Place>>, String> {
    crate::static_entries::parse(Path::new("entries.toml"), text, own).map_err(|error| chain(&error))
}

/// What a line of a peer's feed says.
///
/// # Errors
/// Why the conversation ends.
pub fn peer_line(line: &[u8]) -> Result<Message<Place>, String> {
    let line: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    follow::message(line).map_err(|error| chain(&error))
}

/// The head of an answer as it comes over a unicast leg.
#[must_use]
pub fn answer_head(octets: &[u8]) -> Option<(StatusCode, HeaderMap)> {
    Head::read(octets).map(|head| (head.status, head.headers))
}

/// A head as it goes over a unicast leg.
#[must_use]
pub fn write_answer_head(status: StatusCode, headers: HeaderMap) -> Vec<u8> {
    Head { status, headers }.write().to_vec()
}

/// Takes away what is meant for one hop only.
pub fn remove_hop_by_hop(fields: &mut HeaderMap) {
    headers::remove_hop_by_hop(fields);
}

/// A `Location` of the endpoint at `upstream` as the client needs it, who asked the host `asked`; `None` where it may stay.
#[must_use]
pub fn mounted(location: &str, mount: &Mount, upstream: &Authority, asked: Option<&str>) -> Option<String> {
    headers::mounted(location, mount, upstream, asked)
}

/// Takes out of `Cache-Status` what the routers of other sites have said.
pub fn hide_sites(fields: &mut HeaderMap) {
    status::hide_sites(fields);
}

/// First and last byte of a Content-Range, and the length of the whole, where they can be.
#[must_use]
pub fn content_range(field: &str) -> Option<(u64, u64, Option<u64>)> {
    ContentRange::read(field).map(|ContentRange { first, last, whole }| (first, last, whole))
}

/// Takes the router's cookie `name` out of a request: its value.
#[must_use]
pub fn take_cookie(fields: &mut HeaderMap, name: &str) -> Option<Vec<u8>> {
    cookie::take(fields, name)
}

/// The answer to a request of `method` that a line reads, which gets `piece_bytes` of `octets` at a time and then their end;
/// `None` where no head comes.
///
/// # Errors
/// Why it is no answer.
pub fn line_answer(octets: &[u8], method: &Method, piece_bytes: usize) -> Result<Option<LineAnswer>, String> {
    let (mut read, mut pieces) = (BytesMut::new(), octets.chunks(piece_bytes.max(1)));
    let answer = loop {
        match head::read(&read, method)? {
            Read::Whole(length, answer) => {
                read.advance(length);
                break *answer;
            }
            Read::Interim(length) => read.advance(length),
            Read::Partial => match pieces.next() {
                Some(piece) => read.extend_from_slice(piece),
                None => return Ok(None),
            },
        }
    };
    let (mut framing, mut body, mut trailers) = (answer.framing, Vec::new(), HeaderMap::new());
    let is_whole = loop {
        match framing.step(&mut read) {
            Ok(Step::Data(data)) => body.extend_from_slice(&data),
            Ok(Step::Trailers(fields)) => trailers = fields,
            Ok(Step::End) => break true,
            Ok(Step::More) => match pieces.next() {
                Some(piece) => read.extend_from_slice(piece),
                None => break framing == Framing::Close,
            },
            Err(_) => break false,
        }
    };
    pieces.for_each(|piece| read.extend_from_slice(piece));
    let (status, fields, keeps_alive) = (answer.head.status, answer.head.headers, answer.keeps_alive);
    Ok(Some(LineAnswer { status, fields, body, trailers, is_whole, keeps_alive, rest: read.to_vec() }))
}

/// What an ID token says that an issuer signed with one of `keys` (a JWK set) for the sign-in of `nonce`.
///
/// # Errors
/// Why it is not believed.
pub fn oidc_token(keys: &str, token: &str, nonce: &str) -> Result<serde_json::Value, String> {
    let keys = serde_json::from_str(keys).map_err(|error| error.to_string())?;
    let found = serde_json::json!({
        "issuer": OIDC_ISSUER, "authorization_endpoint": OIDC_ISSUER, "token_endpoint": OIDC_ISSUER, "jwks_uri": OIDC_ISSUER,
    });
    let found = serde_json::from_value(found).map_err(|error| error.to_string())?;
    oidc()?.verified(&found, &keys, token, nonce)
}

/// Where an issuer's own word leads: to sign in, to get a token, to its keys.
///
/// # Errors
/// Why it is not believed.
pub fn oidc_discovered(text: &str) -> Result<[String; 3], String> {
    let found: Discovered = serde_json::from_str(text).map_err(|error| error.to_string())?;
    oidc()?.believes(&found).map(|()| found.leads().map(ToString::to_string))
}

/// Who signs in with these claims, in which tenant, and what for, in words.
///
/// # Errors
/// Why nobody does.
pub fn oidc_grant(claims: &serde_json::Value) -> Result<(String, String, String), String> {
    oidc()?.grant(claims).map(|grant| (grant.subject, grant.tenant, grant.scope))
}

/// An issuer that says by claims in which tenant somebody is, and what for.
fn oidc() -> Result<OidcConfig, String> {
    let config = serde_json::json!({
        "issuer": OIDC_ISSUER, "client_id": "flame", "tenant_claim": "tenant", "scopes_claim": "scopes",
    });
    serde_json::from_value(config).map_err(|error| error.to_string())
}
