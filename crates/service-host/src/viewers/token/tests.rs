//! Tokens as signers write them, and as others would like to.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const NOW_S: u64 = 1_800_000_000;

struct Signer {
    pair: EncodingKey,
    keys: JwkSet,
}

fn signer() -> Signer {
    let pair = Ed25519KeyPair::generate().unwrap();
    let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
    let keys = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "one", "x": x }] });
    let pair = EncodingKey::from_ed_der(pair.to_pkcs8v1().unwrap().as_ref());
    Signer { pair, keys: serde_json::from_value(keys).unwrap() }
}

impl Signer {
    fn token(&self, claims: &Value) -> String {
        let header = Header { kid: Some("one".into()), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, claims, &self.pair).unwrap()
    }

    fn verify(&self, path_and_query: &str) -> Result<Admitted, Refused> {
        let origin = "https://media.example";
        verify(path_and_query, &Expected { origin, audience: "edge", keys: &self.keys, now_unix_s: NOW_S })
    }

    /// The verdict on a token with these claims beside its container.
    fn claims(&self, claims: &Value) -> Result<Admitted, Refused> {
        self.verify(&format!("/;URISigningPackage={}/film/1.m4s", self.token(&with_container(claims))))
    }
}

fn with_container(claims: &Value) -> Value {
    let mut claims = claims.clone();
    claims.as_object_mut().unwrap().entry("cdniuc").or_insert(json!(r"regex:https://media\.example/film/.*"));
    claims
}

#[test]
fn a_token_opens_what_it_says_and_leaves_no_trace_in_the_url() {
    let signer = signer();
    let token = signer.token(&with_container(&json!({ "exp": NOW_S + 60, "sub": "ann", "aud": ["x", "edge"] })));
    let admitted = signer.verify(&format!("/;URISigningPackage={token}/film/v/1.m4s?CMCD=bl%3D3")).unwrap();
    let expected =
        Admitted { url: "/film/v/1.m4s".into(), subject: Some("ann".into()), expires_unix_s: Some(NOW_S + 60) };
    assert_eq!(admitted, expected);
    assert_eq!(signer.verify(&format!("/film/v/1.m4s?URISigningPackage={token}")).unwrap(), expected);
    // Another token for the same is the same.
    let other = signer.token(&with_container(&json!({ "exp": NOW_S + 90 })));
    assert_eq!(signer.verify(&format!("/;URISigningPackage={other}/film/v/1.m4s")).unwrap().url, expected.url);
}

#[test]
fn a_token_opens_nothing_else_however_it_is_written() {
    let signer = signer();
    let token = signer.token(&with_container(&json!({})));
    for path in ["/other/1.m4s", "/filmx", "/x/film/1", "/%6fther/film/"] {
        assert_eq!(signer.verify(&format!("/;URISigningPackage={token}{path}")), Err(Refused::Scope), "{path}");
    }
    for path in ["/film/../other", "/film/%2e%2e/other", "/film/%zz"] {
        let refused = signer.verify(&format!("/;URISigningPackage={token}{path}")).unwrap_err();
        assert_eq!(refused.kind(), "token-malformed", "{path}");
    }
    // Alternatives are within the anchors, and what is encoded is matched as upstream sees it.
    let either = signer.token(&json!({ "cdniuc": "regex:x|https://media.example/film/1" }));
    assert_eq!(signer.verify(&format!("/;URISigningPackage={either}/film/12")), Err(Refused::Scope));
    assert!(signer.verify(&format!("/;URISigningPackage={either}/%66ilm/1")).is_ok());
}

#[test]
fn times_are_held_to_the_second() {
    let signer = signer();
    assert!(signer.claims(&json!({ "exp": NOW_S + 1 })).is_ok());
    assert_eq!(signer.claims(&json!({ "exp": NOW_S })), Err(Refused::Expired(0)));
    assert_eq!(signer.claims(&json!({ "exp": NOW_S - 9 })), Err(Refused::Expired(9)));
    assert!(signer.claims(&json!({ "nbf": NOW_S + AHEAD_MAX_S, "iat": NOW_S })).is_ok());
    assert_eq!(signer.claims(&json!({ "nbf": NOW_S + 60 })), Err(Refused::Early(60)));
    assert_eq!(signer.claims(&json!({ "nbf": 0, "iat": NOW_S + 60 })), Err(Refused::Early(60)));
    assert_eq!(signer.claims(&json!({ "aud": "elsewhere" })), Err(Refused::Scope));
}

#[test]
fn a_bond_that_cannot_be_held_to_is_refused() {
    let signer = signer();
    for (claims, claim) in [
        (json!({ "cdniv": 2 }), "cdniv"),
        (json!({ "cdniip": "x" }), "cdniip"),
        (json!({ "jti": "x" }), "jti"),
        (json!({ "cdnicrit": "exp, geo" }), "geo"),
        (json!({ "cdniuc": "hash:x" }), "cdniuc of another form than regex:"),
    ] {
        assert_eq!(signer.claims(&claims), Err(Refused::Unsupported(claim.into())), "{claims}");
    }
    assert!(signer.claims(&json!({ "cdniv": 1, "cdnicrit": "exp,cdniuc" })).is_ok());
    assert_eq!(signer.claims(&json!({ "cdniuc": "regex:(" })).unwrap_err().kind(), "token-malformed");
    let unbounded = signer.token(&json!({ "exp": NOW_S + 60 }));
    assert_eq!(signer.verify(&format!("/;URISigningPackage={unbounded}/a")).unwrap_err().kind(), "token-malformed");
}

#[test]
fn nobody_else_signs() {
    let (ours, theirs) = (signer(), signer());
    let forged = theirs.token(&with_container(&json!({})));
    assert_eq!(ours.verify(&format!("/;URISigningPackage={forged}/film/1")), Err(Refused::Signature));
    // Signed with what everybody may know, and not signed.
    let header = Header { kid: Some("one".into()), ..Header::new(Algorithm::HS256) };
    let known = EncodingKey::from_secret(b"one");
    let symmetric = jsonwebtoken::encode(&header, &with_container(&json!({})), &known).unwrap();
    assert_eq!(ours.verify(&format!("/;URISigningPackage={symmetric}/film/1")), Err(Refused::Signature));
    let none = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode("{}"));
    assert_eq!(ours.verify(&format!("/;URISigningPackage={none}/film/1")).unwrap_err().kind(), "token-malformed");
    assert_eq!(ours.verify("/film/1"), Err(Refused::Missing));
    let token = ours.token(&with_container(&json!({})));
    let twice = format!("/;URISigningPackage={token}/;URISigningPackage={token}/film/1");
    assert_eq!(ours.verify(&twice).unwrap_err().kind(), "token-malformed");
    let behind = format!("/;URISigningPackage={token}/film;URISigningPackage=x/1");
    assert_eq!(ours.verify(&behind).unwrap_err().kind(), "token-malformed");
}

proptest! {
    #[test]
    fn any_text_is_refused_and_none_is_fatal(path in "(/;URISigningPackage=)?[ -~]{0,60}(/[a-z]{0,4})?") {
        let keys = JwkSet { keys: Vec::new() };
        let expected = Expected { origin: "http://a", audience: "edge", keys: &keys, now_unix_s: NOW_S };
        prop_assert!(verify(&path, &expected).is_err());
    }
}
