//! What the authority reads off the network, as functions of values: the way in for the fuzz targets (fuzz/), which hold each of
//! them to a property. No part of the API: nothing in the product calls it, so no program grows by it.

use crate::issuer::{IssuerError, Signed};

/// The SHA-256, hexadecimal, of the key that a certificate request (PKCS #10, PEM) is for and signed with.
///
/// # Errors
/// Why nothing is signed for it.
pub fn key_of_request(request_pem: &str) -> Result<String, IssuerError> {
    Signed::read(request_pem).map(|request| request.key_sha256)
}
