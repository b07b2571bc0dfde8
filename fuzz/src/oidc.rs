//! What the router believes of an issuer of OpenID Connect: what it says of itself, its ID tokens, and the claims in them.

use std::net::IpAddr;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flame_router::parsers;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::fields::text;

const NONCE: &str = "nonce";
/// What an issuer may give (never `service` or `metrics`: those are for machines).
const GIVABLE: [&str; 3] = ["read", "write", "admin"];
/// The year 2100, seconds: no clock comes so far.
const LATE_S: u64 = 4_102_444_800;

/// An ID token as it came; or, where it begins with `{`, the claims of one that the issuer signs.
pub fn id_token(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let seed = Ed25519KeyPair::from_seed_unchecked(&[11; 32]).expect("32 octets are a seed");
    let x = URL_SAFE_NO_PAD.encode(seed.public_key().as_ref());
    // Of the other key nobody has the private half.
    let keys = json!({ "keys": [
        { "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "own", "x": x },
        { "kty": "EC", "crv": "P-256", "kid": "a", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
          "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" },
    ] });
    let keys = keys.to_string();
    if !text.trim_start().starts_with('{') {
        let believed = parsers::oidc_token(&keys, text.trim(), NONCE);
        assert!(believed.is_err(), "nobody has signed it: {believed:?}");
        return;
    }
    let Ok(claims) = serde_json::from_str::<Value>(text) else { return };
    let der = seed.to_pkcs8v1().expect("a key pair has a form");
    let header = Header { kid: Some("own".to_owned()), ..Header::new(Algorithm::EdDSA) };
    let signed = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ed_der(der.as_ref()));
    let Ok(token) = signed else { return };
    let believed = parsers::oidc_token(&keys, &token, NONCE);
    let is_for_us = match &claims["aud"] {
        Value::Array(all) => all.iter().any(|one| one == "flame") && (all.len() == 1 || claims["azp"] == "flame"),
        one => one == "flame",
    };
    let is_of_issuer = match &claims["iss"] {
        Value::Array(all) => all.iter().any(|one| one == parsers::OIDC_ISSUER),
        one => one == parsers::OIDC_ISSUER,
    };
    let is_ours =
        is_for_us && is_of_issuer && claims["nonce"] == NONCE && (claims["azp"].is_null() || claims["azp"] == "flame");
    let has_all = [&claims["sub"], &claims["iss"], &claims["aud"]].into_iter().all(Value::is_string)
        && claims["exp"].as_u64().is_some_and(|exp| (LATE_S..1 << 50).contains(&exp));
    match &believed {
        Ok(read) => assert!(
            is_ours && read["sub"] == claims["sub"],
            "it was not made for this sign-in, or reads otherwise: {read}"
        ),
        Err(why) => assert!(!(is_ours && has_all), "the issuer's own word is not believed: {why}"),
    }
    let cut = token.rfind('.').map_or(token.len(), |at| at - 1);
    assert!(parsers::oidc_token(&keys, &token[..cut], NONCE).is_err(), "it is believed without its signature");
    granted(&claims);
}

/// What whoever has `claims` may do.
fn granted(claims: &Value) {
    let Ok((subject, tenant, scope)) = parsers::oidc_grant(claims) else { return };
    assert_eq!(claims["sub"].as_str(), Some(&*subject), "who it is is what the issuer says");
    assert!(!subject.trim().is_empty() && subject.len() <= 255 && !subject.contains(char::is_control), "{subject:?}");
    assert_ne!(subject, "loopback", "the name of everybody on this machine");
    assert_eq!(claims["tenant"].as_str(), Some(&*tenant), "whose it is, too");
    let is_tenant = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    assert!((1..=63).contains(&tenant.len()) && tenant.bytes().all(is_tenant), "{tenant:?}");
    // A slower model: a word is given if it stands among the claim's, and in no other case.
    let said: Vec<&str> = match &claims["scopes"] {
        Value::String(text) => text.split_whitespace().collect(),
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let given: Vec<&str> = scope.split(' ').collect();
    for word in GIVABLE {
        assert_eq!(given.contains(&word), said.contains(&word), "{word}: {scope:?} of {said:?}");
    }
    assert!(!given.is_empty() && given.iter().all(|word| GIVABLE.contains(word)), "{scope:?}");
}

/// What an issuer says of itself (`/.well-known/openid-configuration`).
pub fn discovery(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let Ok(leads) = parsers::oidc_discovered(text) else { return };
    let said: Value = serde_json::from_str(text).expect("it was read as JSON");
    let issuer = said["issuer"].as_str().map(|issuer| issuer.trim_end_matches('/'));
    assert_eq!(issuer, Some(parsers::OIDC_ISSUER.trim_end_matches('/')), "another issuer's word is believed");
    for url in leads {
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let rest = rest.unwrap_or_else(|| panic!("{url} is neither https nor http"));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        let host = match host.strip_prefix('[') {
            Some(literal) => literal.split(']').next().unwrap_or_default(),
            None => host.split(':').next().unwrap_or_default(),
        };
        let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        assert!(!host.is_empty() && (url.starts_with("https://") || is_here), "{url} can be read on the way");
    }
}
