//! Which URIs may stand in a manifest: relative ones, of characters that mean the same in a playlist and in XML.
//!
//! Nothing is made relative or escaped here: what does not fit is refused.

use crate::PlaylistError;

/// The URI, if it may stand in a manifest.
pub(crate) fn checked(uri: &str) -> Result<&str, PlaylistError> {
    if is_relative(uri) { Ok(uri) } else { Err(PlaylistError::Uri { uri: uri.to_owned() }) }
}

/// What may stand in front of URIs in a manifest: a folder, relative or at another host (`https://edge.example/~cdn/`).
pub(crate) fn checked_base(base: &str) -> Result<&str, PlaylistError> {
    let refuse = || PlaylistError::Uri { uri: base.to_owned() };
    let is_plain_or_port = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte == b':' || is_plain(byte));
    let behind_scheme = base.strip_prefix("https://").or_else(|| base.strip_prefix("http://"));
    let is_sound = match behind_scheme.and_then(|rest| rest.split_once('/')) {
        Some((authority, path)) => is_plain_or_port(authority) && !path.contains('?') && path.bytes().all(is_plain),
        None => is_relative(base),
    };
    if is_sound && base.ends_with('/') { Ok(base) } else { Err(refuse()) }
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
