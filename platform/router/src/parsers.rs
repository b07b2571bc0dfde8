//! What the router reads off the network, as functions of values: the way in for the fuzz targets (fuzz/), which hold
//! each of them to a property. No part of the API: nothing in the product calls it, so no program grows by it.

use std::collections::BTreeMap;
use std::path::Path;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode};
use flame_api::peers::{Line, Place};
use flame_naming::peers::{Key, Message};
use flame_naming::{Label, Mount};
use flame_service_host::problem::chain;

use crate::multicast::head::Head;
use crate::peers::follow;
use crate::proxy::headers;

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
