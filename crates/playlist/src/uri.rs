//! Which URIs may stand in a manifest: relative ones, of characters that mean the same in a playlist and in XML.
//!
//! Nothing is made relative or escaped here: what does not fit is refused.

use crate::PlaylistError;

/// The URI, if it may stand in a manifest.
pub(crate) fn checked(uri: &str) -> Result<&str, PlaylistError> {
    if is_relative(uri) { Ok(uri) } else { Err(PlaylistError::Uri { uri: uri.to_owned() }) }
}

/// What may stand behind the `?` of a URI.
pub(crate) fn checked_query(query: &str) -> Result<&str, PlaylistError> {
    let is_sound = !query.is_empty() && !query.contains('?') && query.bytes().all(is_plain);
    if is_sound { Ok(query) } else { Err(PlaylistError::Uri { uri: format!("?{query}") }) }
}

fn is_relative(uri: &str) -> bool {
    !uri.is_empty() && !uri.starts_with('/') && uri.bytes().all(is_plain)
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b':' | b'#' | b'<' | b'>' | b'\\')
}
