//! Viewers' tokens, as signers write them and as nobody should.

use std::sync::LazyLock;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flame_naming::identity::Token;
use flame_naming::identity::url::{TOKEN_PARAMETER, canonical};
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
