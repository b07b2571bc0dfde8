//! What the authority reads of those who are not known yet: join tokens, and requests for certificates.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flame_credentials::{JoinToken, parsers};

use crate::fields::text;

pub fn join_token(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let Ok(token) = text.parse::<JoinToken>() else { return };
    let printed = token.to_string();
    assert_eq!((printed.as_str(), printed.len()), (text.trim(), 54));
    assert!(printed.parse() == Ok(token.clone()), "it reads otherwise than it prints");
    assert!(!format!("{token:?}").contains(&printed), "the secret is shown");
}

/// A certificate request as an endpoint posts it with its join token.
pub fn request(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let Ok(key_sha256) = parsers::key_of_request(text) else { return };
    assert!(key_sha256.len() == 64 && key_sha256.bytes().all(|byte| byte.is_ascii_hexdigit()), "{key_sha256}");
    assert_eq!(parsers::key_of_request(text).ok().as_deref(), Some(&*key_sha256), "it reads otherwise the second time");
    // Nobody asks for the certificate of a key that he has not: what was signed is signed to the last bit of it.
    let body: String = text.split("-----").nth(2).unwrap_or_default().split_whitespace().collect();
    let Some(mut der) = STANDARD.decode(body).ok().filter(|der| is_one(der)) else { return };
    // What is signed comes first and is more than half of it.
    let at = der.len() / 3;
    der[at] ^= 1;
    let forged =
        format!("-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n", STANDARD.encode(der));
    assert!(parsers::key_of_request(&forged).is_err(), "a request that was changed is taken");
}

/// Whether `der` is one sequence of 128 to 65,535 bytes, and nothing behind it.
fn is_one(der: &[u8]) -> bool {
    match der {
        [0x30, 0x81, length, rest @ ..] => usize::from(*length) == rest.len(),
        [0x30, 0x82, high, low, rest @ ..] => usize::from(u16::from_be_bytes([*high, *low])) == rest.len(),
        _ => false,
    }
}
