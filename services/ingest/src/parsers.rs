//! Header fields of tus, as functions of values: the way in for the fuzz targets (fuzz/), which hold each of them to a
//! property. No part of the API: nothing in the product calls it, so no program grows by it.

use axum::http::{HeaderMap, HeaderName};

use crate::digest::Promise;
use crate::http::tus::headers;

/// The number in a field; `Err` where it is none, `Ok(None)` where it is not there.
///
/// # Errors
/// It is no number of bytes.
#[allow(clippy::result_unit_err, reason = "the answer's text is not what is looked at")]
pub fn number(fields: &HeaderMap, name: &HeaderName) -> Result<Option<u64>, ()> {
    headers::number(fields, name).map_err(drop)
}

/// The checksum that was promised.
///
/// # Errors
/// It is none that can be verified.
#[allow(clippy::result_unit_err, reason = "the answer's text is not what is looked at")]
pub fn promise(fields: &HeaderMap) -> Result<Option<Promise>, ()> {
    headers::promise(fields).map_err(drop)
}
