//! What is asked of an issuer, what is believed of it, and what its people may do; with keys that sign as an issuer does.

use flame_service_host::keys;
use serde_json::json;

use super::*;

const ISSUER: &str = "https://login.example/realms/media";

fn config(more: &str) -> OidcConfig {
    toml::from_str(&format!("issuer = '{ISSUER}'\nclient_id = 'flame'\n{more}")).unwrap()
}

fn discovered(issuer: &str) -> Discovered {
    let at = |end: &str| format!("https://login.example/{end}");
    let found = json!({
        "issuer": issuer, "authorization_endpoint": at("auth?theme=dark"), "token_endpoint": at("token"), "jwks_uri": at("keys"),
        "scopes_supported": ["openid"],
    });
    serde_json::from_value(found).unwrap()
}

#[test]
fn what_cannot_be_used_is_refused_with_its_reason() {
    let said = |more: &str| config(more).check().unwrap_err().to_string();
    assert!(config("").check().is_ok());
    assert!(said("scopes = ['read', 'service']").contains("`service`"));
    assert!(said("tenant = 'A b'").contains("`A b`"));
    for wrong in ["http://video.example/api/router/session/oidc/return", "https://video.example/elsewhere"] {
        assert!(said(&format!("redirect_uri = '{wrong}'")).contains(wrong), "{wrong}");
    }
    assert!(config("redirect_uri = 'https://video.example/api/router/session/oidc/return'").check().is_ok());
    assert!(said("scopes = []").contains("nobody could do anything"));
    assert!(config("scopes = []\nscopes_claim = 'roles'").check().is_ok());
    for (issuer, is_open) in
        [("http://login.example", true), ("http://localhost:9000", false), ("http://127.0.0.1:9000/a", false)]
    {
        let config = OidcConfig { issuer: issuer.parse().unwrap(), ..config("") };
        assert_eq!(matches!(config.check(), Err(OidcInvalid::Open(_))), is_open, "{issuer}");
    }
    assert!(toml::from_str::<OidcConfig>(&format!("issuer = '{ISSUER}'")).is_err(), "a client has a name");
}

#[test]
fn a_configuration_gets_into_logs_without_its_secret() {
    let shown = format!("{:?}", config("client_secret = 'of both'"));
    assert!(shown.contains(ISSUER) && !shown.contains("of both"), "{shown}");
}

#[test]
fn an_issuer_is_believed_about_itself_only() {
    let config = config("");
    assert_eq!(config.discovery(), "https://login.example/realms/media/.well-known/openid-configuration");
    assert_eq!(config.believes(&discovered(ISSUER)), Ok(()));
    assert!(config.believes(&discovered("https://elsewhere.example")).unwrap_err().contains("calls itself"));
    let open = Discovered { jwks_uri: "http://login.example/keys".parse().unwrap(), ..discovered(ISSUER) };
    assert!(config.believes(&open).unwrap_err().contains("neither https"));
}

#[test]
fn a_browser_is_sent_away_with_all_that_the_flow_needs() {
    let begun = Begun::new("https://video.example/return".to_owned());
    let url = config("ask = ['email', 'groups']").leads(&discovered(ISSUER), &begun);
    let asked: std::collections::BTreeMap<String, String> = url.query_pairs().into_owned().collect();
    // RFC 7636, 4.2.
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&begun.verifier));
    let wanted = [
        ("client_id", "flame"),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
        ("nonce", begun.nonce.as_str()),
        ("redirect_uri", "https://video.example/return"),
        ("response_type", "code"),
        ("scope", "openid email groups"),
        ("state", begun.state.as_str()),
        ("theme", "dark"),
    ];
    assert_eq!(asked, wanted.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    let again = Begun::new("https://video.example/return".to_owned());
    assert!(begun.verifier.len() >= 43, "RFC 7636, 4.1");
    assert!(begun.state != again.state && begun.nonce != again.nonce && begun.verifier != again.verifier);
}

#[test]
fn an_id_token_counts_only_if_everything_in_it_is_of_this_sign_in() {
    let (own, other) = (key_pair(), key_pair());
    let set = |folder: &std::path::Path| -> JwkSet {
        serde_json::from_slice(&std::fs::read(folder.join("jwks.json")).unwrap()).unwrap()
    };
    let (keys, config, found) = (set(&own), config(""), discovered(ISSUER));
    let now = keys::unix_seconds();
    let right = json!({ "iss": ISSUER, "aud": "flame", "sub": "ann", "nonce": "n", "iat": now, "exp": now + 300 });
    let verified = |claims: &Value| config.verified(&found, &keys, &keys::sign(&own, claims).unwrap(), "n");
    assert_eq!(verified(&right).unwrap(), right);
    let with = |name: &str, value: Value| {
        let mut claims = right.clone();
        claims[name] = value;
        claims
    };
    let wrong = [
        with("iss", json!("https://elsewhere.example")),
        with("iss", Value::Null),
        with("aud", json!("another")),
        with("aud", json!(["flame", "another"])),
        with("azp", json!("another")),
        with("nonce", json!("of another sign-in")),
        with("nonce", Value::Null),
        with("exp", json!(now - 120)),
        with("exp", Value::Null),
    ];
    for claims in wrong {
        assert!(verified(&claims).is_err(), "{claims}");
    }
    let mut several = with("aud", json!(["another", "flame"]));
    several["azp"] = json!("flame");
    assert!(verified(&several).is_ok(), "for several, and made for this one");
    let strange = keys::sign(&other, &right).unwrap();
    assert!(config.verified(&found, &keys, &strange, "n").unwrap_err().contains("does not publish"));
    // A secret that everybody can read in the set of keys, and no signature at all.
    let shared = jsonwebtoken::EncodingKey::from_secret(&std::fs::read(own.join("jwks.json")).unwrap());
    let header =
        jsonwebtoken::Header { kid: keys.keys[0].common.key_id.clone(), ..jsonwebtoken::Header::new(Algorithm::HS256) };
    let shared = jsonwebtoken::encode(&header, &right, &shared).unwrap();
    assert!(config.verified(&found, &keys, &shared, "n").unwrap_err().contains("not taken"));
    let none =
        format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode(right.to_string()));
    assert!(config.verified(&found, &keys, &none, "n").is_err());
}

#[test]
fn what_somebody_may_do_is_what_the_configuration_or_its_claims_say_and_never_more() {
    let claims = json!({
        "sub": "248289761001", "email": "ann@video.example", "team": "acme", "roles": ["write", "read", "service", "metrics", "staff"],
        "groups": "admin other", "odd": { "read": true }, "loud": "A B",
    });
    let grant = |more: &str| config(more).grant(&claims);
    let plain = grant("").unwrap();
    assert_eq!(
        (plain.subject.as_str(), plain.tenant.as_str(), plain.scope.as_str()),
        ("248289761001", "default", "read")
    );
    assert_eq!(plain.life, Duration::from_secs(8 * 3600));
    let told = grant("subject_claim = 'email'\ntenant_claim = 'team'\nscopes_claim = 'roles'\nlife = '10min'").unwrap();
    assert_eq!(
        (told.subject.as_str(), told.tenant.as_str(), told.scope.as_str()),
        ("ann@video.example", "acme", "read write")
    );
    assert_eq!(told.life, Duration::from_secs(600));
    assert_eq!(grant("scopes_claim = 'groups'").unwrap().scope, "admin");
    for nothing in ["scopes_claim = 'odd'", "scopes_claim = 'none'", "scopes_claim = 'email'"] {
        assert!(grant(nothing).unwrap_err().contains("may do nothing here"), "{nothing}");
    }
    for nowhere in ["tenant_claim = 'none'", "tenant_claim = 'loud'", "tenant_claim = 'roles'"] {
        assert!(grant(nowhere).unwrap_err().contains("has no tenant here"), "{nowhere}");
    }
    assert!(grant("subject_claim = 'roles'").unwrap_err().contains("names nobody"));
    let unverified = json!({ "email": "ann@video.example", "email_verified": false });
    assert!(config("subject_claim = 'email'").grant(&unverified).unwrap_err().contains("does not vouch"));
    assert!(config("").grant(&json!({ "sub": "loopback" })).is_err(), "that is who everybody is on loopback");
    let long = json!({ "sub": "a".repeat(SUBJECT_MAX_BYTES + 1) });
    assert!(config("").grant(&long).is_err());
    assert!(config("").grant(&json!({ "sub": "a\nb" })).is_err());
}

/// A folder with a key pair.
fn key_pair() -> flame_test_kit::Scratch {
    let folder = flame_test_kit::Scratch::new("oidc-keys");
    keys::ensure(&folder).unwrap();
    folder
}

#[test]
fn what_the_example_says_of_an_issuer_is_what_it_would_be() {
    let example = include_str!("../../config.example.toml");
    let from = example.split_once("# [oidc]\n").expect("the example has it").1.lines();
    let lines =
        from.take_while(|line| line.starts_with('#')).map(|line| &line[2..]).filter(|line| line.contains(" = "));
    let lines: Vec<_> = lines.filter(|line| line.split(" = ").next().is_some_and(|key| !key.contains(' '))).collect();
    let config: OidcConfig = toml::from_str(&lines.join("\n")).expect("its keys are those of the configuration");
    assert!(config.check().is_ok());
    let same = OidcConfig {
        ask: Vec::new(),
        tenant_claim: None,
        scopes_claim: None,
        redirect_uri: None,
        client_secret: None,
        ..config
    };
    let plain: OidcConfig =
        toml::from_str("issuer = 'https://login.example/realms/media'\nclient_id = 'flame'").unwrap();
    assert_eq!(serde_json::to_value(&same).unwrap(), serde_json::to_value(&plain).unwrap(), "the defaults");
}
