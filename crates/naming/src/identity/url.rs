//! The canonical form of a path and query: what of them names the resource, and only that.
//!
//! Two spellings become one only where RFC 3986 section 6.2.2 says that they are equal (case of percent-encodings, encoded
//! unreserved characters, `.` segments), and arguments are taken out only where their own standard says that they are no
//! part of the resource. The order of other arguments is kept: servers may read meaning into it.

use std::borrow::Cow;

/// The parameter of a signed URL (RFC 9246 section 2), in a segment of its own in front of the asset, so that relative
/// URLs keep it: `/;URISigningPackage=<JWT>/asset/index.m3u8`; or an argument of that name.
pub const TOKEN_PARAMETER: &str = "URISigningPackage";
/// Arguments in which players tell of themselves (CTA-5004).
const CMCD: &str = "cmcd";
/// What every argument for the delivery of a playlist begins with (rfc8216bis section 6.2.5).
const DIRECTIVE_PREFIX: &str = "_HLS_";
/// Directives that change the answer, in the order they are written.
const DIRECTIVES: [&str; 3] = ["_HLS_msn", "_HLS_part", "_HLS_skip"];

/// What is known of a viewer's token in a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// It stays in the URL: whoever asked is not known.
    Unverified,
    /// The edge verified it: it is taken out, and viewers with different tokens ask for the same.
    Verified,
}

/// Whether a target is its own canonical form for certain, decided byte by byte and without a copy: a plain path. Most are, and
/// pay for nothing else. `false` says nothing: [`canonical`] decides.
#[must_use]
pub fn is_plain(path_and_query: &str) -> bool {
    let mut before = 0;
    let fits = |byte: u8| {
        let after_slash = std::mem::replace(&mut before, byte) == b'/';
        // A dot behind a slash may begin a `.` segment; a semicolon, a token.
        (byte != b'.' || !after_slash) && PLAIN[usize::from(byte)]
    };
    path_and_query.starts_with('/') && path_and_query.bytes().all(fits)
}

/// Bytes that mean only themselves in a path.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        plain[byte] = !matches!(byte as u8, b'%' | b'?' | b'#' | b';');
        byte += 1;
    }
    plain
};

/// The canonical form; `None` where the target is no path, has an encoding that is none, goes upwards, or has another token in it
/// than the one that was verified.
#[must_use]
pub fn canonical(path_and_query: &str, token: Token) -> Option<String> {
    let canonical = normal(path_and_query, token)?;
    let has_another = token == Token::Verified && has_token(&canonical);
    (!has_another).then_some(canonical)
}

fn normal(path_and_query: &str, token: Token) -> Option<String> {
    let (path, query) =
        path_and_query.split_once('?').map_or((path_and_query, None), |(path, query)| (path, Some(query)));
    if !path.starts_with('/') {
        return None;
    }
    let path = unescaped(path)?;
    let mut canonical = path_of(&path, token)?;
    let Some(query) = query else { return Some(canonical) };
    let query = unescaped(query)?;
    if query.is_empty() {
        canonical.push('?');
        return Some(canonical);
    }
    let (mut kept, mut directives) = (Vec::new(), Vec::new());
    let mut takes_token = token == Token::Verified && split_token(&path).is_none();
    for argument in query.split('&') {
        let name = argument.split('=').next().unwrap_or_default();
        // The first one is the one that was verified; a second one stays, and is refused.
        if name.eq_ignore_ascii_case(CMCD) || (name == TOKEN_PARAMETER && std::mem::take(&mut takes_token)) {
            continue;
        }
        if !name.starts_with(DIRECTIVE_PREFIX) {
            kept.push(argument.to_owned());
        } else if let Some(place) = DIRECTIVES.iter().position(|directive| *directive == name) {
            directives.push((place, argument));
        }
    }
    // Stable: what is said twice keeps its order, for the origin to refuse.
    directives.sort_by_key(|(place, _)| *place);
    kept.extend(directives.into_iter().map(|(_, argument)| directive(argument)));
    if !kept.is_empty() {
        canonical.push('?');
        canonical.push_str(&kept.join("&"));
    }
    Some(canonical)
}

/// What a player tells of itself in the query (CTA-5004), still encoded.
#[must_use]
pub fn cmcd(path_and_query: &str) -> Option<&str> {
    let (_, query) = path_and_query.split_once('?')?;
    query.split('&').find_map(|argument| {
        let (name, value) = argument.split_once('=')?;
        name.eq_ignore_ascii_case(CMCD).then_some(value)
    })
}

/// Parts a token segment from the path behind it: `(token, "/asset/…")`.
#[must_use]
pub fn split_token(path: &str) -> Option<(&str, &str)> {
    let segment = path.strip_prefix("/;")?;
    let (parameter, _) = segment.split_once('/')?;
    let token = parameter.strip_prefix(TOKEN_PARAMETER)?.strip_prefix('=')?;
    Some((token, &segment[parameter.len()..]))
}

/// Whether a canonical target has a token in it, in whatever place: its letters have one form there.
#[must_use]
pub fn has_token(canonical: &str) -> bool {
    canonical.contains(TOKEN_PARAMETER)
}

/// A target, or a whole request line, as it may be logged: a token is worth what it opens, and goes into no log.
#[must_use]
pub fn without_token(text: &str) -> Cow<'_, str> {
    // Its name may be written in percent-encodings; a token has to have a semicolon or a question mark before it.
    if !text.contains([';', '?']) && !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut rest = text;
    let mut kept = String::with_capacity(text.len());
    let ends = |character: char| matches!(character, '/' | '?' | '&' | ';' | ' ' | '#');
    loop {
        let end = rest.find(ends).unwrap_or(rest.len());
        let (part, behind) = rest.split_at(end);
        let plain = unescaped(part);
        let has_token = plain.as_deref().is_none_or(|plain| plain.contains(TOKEN_PARAMETER));
        if has_token {
            kept.push_str(TOKEN_PARAMETER);
            kept.push_str("=…");
        } else {
            kept.push_str(part);
        }
        let Some(separator) = behind.chars().next() else { return Cow::Owned(kept) };
        kept.push(separator);
        rest = &behind[separator.len_utf8()..];
    }
}

/// What stands in front of a live channel's key where encoders publish by HTTP (`/push/{key}/…`, `/whip/{key}`).
const KEY_FRONTS: [&str; 2] = ["/push/", "/whip/"];
/// Letters of such a key.
const KEY_LENGTH: usize = 64;

/// A path as it may be logged: without tokens, and without the keys of live channels.
#[must_use]
pub fn loggable(path: &str) -> Cow<'_, str> {
    let starts = |at: usize| KEY_FRONTS.iter().find(|front| path[at..].starts_with(**front));
    let first = path.match_indices('/').find_map(|(at, _)| starts(at).map(|front| at + front.len()));
    let Some((front, behind)) = first.map(|at| path.split_at(at)) else { return without_token(path) };
    let (key, rest) = behind.split_at(behind.find('/').unwrap_or(behind.len()));
    let shown = if key.len() >= KEY_LENGTH { "…" } else { key };
    Cow::Owned(format!("{}{shown}{}", without_token(front), without_token(rest)))
}

/// A path without `.` segments, and without its token if that is verified.
fn path_of(path: &str, token: Token) -> Option<String> {
    let path = match (token, split_token(path)) {
        (Token::Verified, Some((_, rest))) => rest,
        (Token::Verified | Token::Unverified, _) => path,
    };
    let mut kept = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            ".." => return None,
            // The last one stands for the folder, whose path ends in a slash.
            "." if segments.peek().is_none() => kept.push(""),
            "." => {}
            segment => kept.push(segment),
        }
    }
    Some(format!("/{}", kept.join("/")))
}

/// A directive in one form: numbers without zeros in front.
fn directive(argument: &str) -> String {
    match argument.split_once('=') {
        Some((name, value)) if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
            let digits = value.trim_start_matches('0');
            format!("{name}={}", if digits.is_empty() { "0" } else { digits })
        }
        Some(_) | None => argument.to_owned(),
    }
}

/// Percent-encodings in one form: unreserved characters plain, others in upper case (RFC 3986 section 6.2.2).
fn unescaped(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            // Blanks, controls, fragments and bytes above ASCII are in no target.
            if !(0x21..0x7f).contains(&byte) || byte == b'#' {
                return None;
            }
            plain.push(char::from(byte));
            continue;
        }
        let (high, low) = (bytes.next()?, bytes.next()?);
        let code = char::from(high).to_digit(16)? * 16 + char::from(low).to_digit(16)?;
        let decoded = char::from(u8::try_from(code).ok()?);
        if decoded.is_ascii_alphanumeric() || matches!(decoded, '-' | '.' | '_' | '~') {
            plain.push(decoded);
        } else {
            plain.extend(['%', char::from(high.to_ascii_uppercase()), char::from(low.to_ascii_uppercase())]);
        }
    }
    Some(plain)
}
