//! Tokens of viewers and of callers, as signers write them and as nobody should.

use std::sync::LazyLock;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flame_naming::identity::Token;
use flame_naming::identity::url::{TOKEN_PARAMETER, canonical};
use flame_service_host::auth::{Caller, Scope};
use flame_service_host::keys::{AUDIENCE, Claims, token as callers};
use flame_service_host::viewers::token::{Admitted, Expected, Refused, verify};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::fields::{lines, text};

const NOW_S: u64 = 1_800_000_000;
/// Where the token goes in a URL.
const PLACE: &str = "{}";

struct Signer {
    pair: EncodingKey,
    keys: JwkSet,
}

/// One key, the same in every run.
static SIGNER: LazyLock<Signer> = LazyLock::new(|| {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("32 octets are a seed");
    let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
    let keys = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "one", "x": x }] });
    let der = pair.to_pkcs8v1().expect("a key has a form");
    Signer { pair: EncodingKey::from_ed_der(der.as_ref()), keys: serde_json::from_value(keys).expect("a key set") }
});

fn verdict(url: &str) -> Result<Admitted, Refused> {
    verify(url, &Expected { origin: "https://media.example", audience: "edge", keys: &SIGNER.keys, now_unix_s: NOW_S })
}

/// First line: claims. Second: the URL, with `{}` where the token goes.
pub fn token(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let [claims, url] = lines(text);
    let claims: Option<Value> = serde_json::from_str(claims).ok();
    let Some(claims) = claims.filter(|claims| claims.is_object() && url.contains(PLACE)) else {
        assert!(verdict(url).is_err(), "nobody signed anything");
        return;
    };
    let header = Header { kid: Some("one".into()), ..Header::new(Algorithm::EdDSA) };
    let token = jsonwebtoken::encode(&header, &claims, &SIGNER.pair).expect("claims are JSON");
    let url = url.replacen(PLACE, &token, 1);
    let Ok(admitted) = verdict(&url) else { return };
    assert!(!admitted.url.contains(&token), "the token goes on upstream: {}", admitted.url);
    for parameter in admitted.url.split(['/', '?', '&', ';']) {
        assert!(parameter.split('=').next() != Some(TOKEN_PARAMETER), "a token goes on upstream: {}", admitted.url);
    }
    assert_eq!(canonical(&admitted.url, Token::Unverified).as_deref(), Some(admitted.url.as_str()));
    let number = |claim: &str| claims.get(claim).and_then(Value::as_u64);
    assert!(number("exp").is_none_or(|exp| exp > NOW_S), "it has ended");
    assert!(number("nbf").is_none_or(|nbf| nbf <= NOW_S + 5), "it has not begun");
    assert!(claims.get("jti").is_none_or(Value::is_null) && claims.get("cdniip").is_none_or(Value::is_null));
    let container = claims.get("cdniuc").and_then(Value::as_str).expect("it says what it opens");
    assert!(container.starts_with("regex:"), "{container}");
    // One letter of its middle is another: of claims or signature, nobody signed that.
    let middle = token.len() / 2;
    let other = if token.as_bytes()[middle] == b'A' { "B" } else { "A" };
    let changed = format!("{}{other}{}", &token[..middle], &token[middle + 1..]);
    assert!(verdict(&url.replacen(&token, &changed, 1)).is_err(), "a changed token opens {url}");
}

fn caller(token: &str) -> Option<Claims> {
    callers::verify(token, |kid| SIGNER.keys.find(kid).cloned(), AUDIENCE, NOW_S).ok()
}

/// First line: claims, or a token as it is. Second: the id of the key that the header names.
pub fn api(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let [said, kid] = lines(text);
    let claims: Option<Value> = serde_json::from_str(said).ok();
    let Some(claims) = claims.filter(Value::is_object) else {
        assert!(caller(said).is_none(), "nobody signed anything");
        return;
    };
    let header = |algorithm| Header { kid: Some(kid.into()), ..Header::new(algorithm) };
    let token = jsonwebtoken::encode(&header(Algorithm::EdDSA), &claims, &SIGNER.pair).expect("claims are JSON");
    // The public key is no secret, and no signature is none.
    let public = &SIGNER.keys.find("one").expect("it is there");
    let x = serde_json::to_value(public).ok().and_then(|key| Some(key.get("x")?.as_str()?.to_owned()));
    let secret = EncodingKey::from_secret(x.expect("it has an x").as_bytes());
    let confused = jsonwebtoken::encode(&header(Algorithm::HS256), &claims, &secret).expect("claims are JSON");
    let parts: Vec<&str> = token.split('.').collect();
    let none = URL_SAFE_NO_PAD.encode(json!({ "alg": "none", "kid": kid }).to_string());
    for forged in [confused, format!("{none}.{}.", parts[1]), format!("{}.{}.", parts[0], parts[1])] {
        assert!(caller(&forged).is_none(), "{forged} is taken");
    }
    let Some(read) = caller(&token) else { return };
    assert_eq!(kid, "one", "a key that is not known");
    assert!(claims["exp"].as_u64().is_some_and(|exp| exp >= NOW_S - 5), "it has ended");
    let is_ours = |audience: &Value| audience.as_str() == Some(AUDIENCE);
    assert!(is_ours(&claims["aud"]) || claims["aud"].as_array().is_some_and(|all| all.iter().any(is_ours)));
    assert_eq!(Some(read.tenant.as_str()), claims["tenant"].as_str());
    assert_eq!(Some(read.sub.as_str()), claims["sub"].as_str());
    let names = |names: &Vec<Value>| names.iter().map(|name| name.as_str().map(str::to_owned)).collect();
    assert_eq!(read.names, claims["names"].as_array().and_then(names));
    // Its holder may do what stands there as a word, and nothing else.
    let words: Vec<String> = read.scope.split_whitespace().map(str::to_owned).collect();
    let caller_is = Caller::from(read);
    for scope in Scope::ALL {
        assert_eq!(caller_is.require(scope).is_ok(), words.iter().any(|word| word == scope.as_str()), "{scope}");
    }
    // One letter of its middle is another: nobody signed that.
    let middle = token.len() / 2;
    let other = if token.as_bytes()[middle] == b'A' { "B" } else { "A" };
    assert!(
        caller(&format!("{}{other}{}", &token[..middle], &token[middle + 1..])).is_none(),
        "a changed token is taken"
    );
}
