//! Whom the keys of a folder let in, and for how long; in files of their own, with real signatures.

use super::*;

fn grant() -> Grant {
    Grant { subject: "ann".into(), tenant: "acme".into(), scope: "read write".into(), life: Duration::from_secs(60) }
}

#[test]
fn a_token_is_issued_verified_and_revoked() {
    let dir = tempfile::tempdir().unwrap();
    ensure(dir.path()).unwrap();
    ensure(dir.path()).unwrap();
    let ring = Keyring::open(dir.path()).unwrap();
    let (token, claims) = issue(dir.path(), &grant()).unwrap();
    assert_eq!(ring.verify(&token).unwrap(), claims);
    revoke(dir.path(), claims.jti, claims.exp).unwrap();
    ring.reload().unwrap();
    assert!(ring.verify(&token).unwrap_err().to_string().contains("revoked"));
}

#[test]
fn a_surrogate_is_known_by_the_key_that_signed_its_token_until_that_is_revoked() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    ensure(ours.path()).unwrap();
    ensure(theirs.path()).unwrap();
    let ring = Keyring::open(ours.path()).unwrap();
    let service = Grant { scope: "read service".into(), ..grant() };
    let (one, claims) = issue(ours.path(), &service).unwrap();
    let (other, _) = issue(ours.path(), &Grant { subject: "bob".into(), ..service.clone() }).unwrap();
    let rights = ring.surrogate(&one).unwrap();
    assert_eq!((&*rights.key, &*rights.tenant), (signer(ours.path()).unwrap().0.as_str(), "acme"));
    assert_eq!(ring.surrogate(&other).as_ref(), Some(&rights));
    // The same key gives other rights where it signed others.
    for grant in
        [Grant { tenant: "beta".into(), ..service.clone() }, Grant { scope: "service".into(), ..service.clone() }]
    {
        let (token, _) = issue(ours.path(), &grant).unwrap();
        assert!(ring.surrogate(&token).is_some_and(|other| other != rights), "{grant:?}");
    }
    let (confined, _) = issue_confined(ours.path(), &service, Some(vec!["media".into()])).unwrap();
    assert!(ring.surrogate(&confined).is_some_and(|other| other != rights));
    for (folder, grant) in [(&ours, grant()), (&theirs, service)] {
        assert_eq!(ring.surrogate(&issue(folder.path(), &grant).unwrap().0), None, "{grant:?}");
    }
    // With the id of a key that is known, and a signature of another.
    let key = Header { kid: Some(rights.key.to_string()), ..Header::new(Algorithm::EdDSA) };
    let forged = EncodingKey::from_ed_der(&signer(theirs.path()).unwrap().1);
    assert_eq!(ring.surrogate(&jsonwebtoken::encode(&key, &claims, &forged).unwrap()), None);
    // What was verified before is not remembered beyond its revocation.
    revoke(ours.path(), claims.jti, claims.exp).unwrap();
    ring.reload().unwrap();
    assert_eq!((ring.surrogate(&one), ring.surrogate(&other)), (None, Some(rights)));
}

#[test]
fn so_many_verified_tokens_are_remembered_until_they_end() {
    let dir = tempfile::tempdir().unwrap();
    ensure(dir.path()).unwrap();
    let ring = Keyring::open(dir.path()).unwrap();
    let (token, _) = issue(dir.path(), &Grant { scope: "service".into(), ..grant() }).unwrap();
    let rights = ring.surrogate(&token).unwrap();
    for number in 0..2 * VERIFIED_MAX {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&number.to_be_bytes());
        ring.lock().remember(digest, rights.clone(), unix_seconds() + 1000);
    }
    assert_eq!(ring.lock().verified.len(), VERIFIED_MAX);
    // One that has ended is verified again, and refused.
    let old = Claims { exp: unix_seconds() - 60, ..issue(dir.path(), &grant()).unwrap().1 };
    let old = sign(dir.path(), &old).unwrap();
    ring.lock().remember(Sha256::digest(&old).into(), rights, unix_seconds() - 60);
    assert_eq!(ring.surrogate(&old), None);
}

#[test]
fn revocations_at_the_same_time_are_all_kept() {
    let dir = tempfile::tempdir().unwrap();
    let ids: Vec<Uuid> = (0..8).map(|_| Uuid::now_v7()).collect();
    std::thread::scope(|scope| {
        for id in &ids {
            scope.spawn(|| revoke(dir.path(), *id, unix_seconds() + 60).unwrap());
        }
    });
    let kept = read_revoked(&dir.path().join("revoked.json")).unwrap();
    assert!(ids.iter().all(|id| kept.iter().any(|entry| entry.jti == *id)), "{} of {}", kept.len(), ids.len());
}

#[test]
fn a_private_key_that_nobody_publishes_signs_nothing() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    ensure(dir.path()).unwrap();
    let ours = signer(dir.path()).unwrap().0;
    // What a start leaves behind that breaks off between the two files; several, so that one is read first.
    for _ in 0..4 {
        let pair = Ed25519KeyPair::generate().unwrap();
        let name = format!("{}.pk8", hex::encode(&pair.public_key().as_ref()[..8]));
        fs::write(dir.path().join(name), pair.to_pkcs8v1().unwrap()).unwrap();
    }
    let (token, _) = issue(dir.path(), &grant()).unwrap();
    Keyring::open(dir.path()).unwrap().verify(&token).unwrap();
    fs::copy(dir.path().join("jwks.json"), other.path().join("jwks.json")).unwrap();
    assert!(matches!(issue(other.path(), &grant()), Err(KeyError::NoSigner(_))), "{ours} is not there");
    // Handed on under the name that is known before; another issuer's is not taken for it.
    let (kid, der) = signer(dir.path()).unwrap();
    let stranger = Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap();
    fs::write(other.path().join(SIGNER), stranger).unwrap();
    assert!(matches!(issue(other.path(), &grant()), Err(KeyError::NoSigner(_))));
    fs::write(other.path().join(SIGNER), der).unwrap();
    assert_eq!(signer(other.path()).unwrap().0, kid);
    let (token, _) = issue(other.path(), &grant()).unwrap();
    Keyring::open(dir.path()).unwrap().verify(&token).unwrap();
}

#[test]
fn a_stranger_s_key_an_altered_or_an_old_token_are_refused() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    ensure(ours.path()).unwrap();
    ensure(theirs.path()).unwrap();
    let ring = Keyring::open(ours.path()).unwrap();
    let (token, _) = issue(theirs.path(), &grant()).unwrap();
    assert!(ring.verify(&token).is_err());
    let (mut token, _) = issue(ours.path(), &grant()).unwrap();
    let middle = token.len() / 2;
    let other = if token.as_bytes()[middle] == b'A' { "B" } else { "A" };
    token.replace_range(middle..=middle, other);
    assert!(ring.verify(&token).is_err());
    let key = signer(ours.path()).unwrap();
    let header = Header { kid: Some(key.0), ..Header::new(Algorithm::EdDSA) };
    let old = Claims {
        jti: Uuid::nil(),
        sub: "ann".into(),
        aud: AUDIENCE.into(),
        tenant: "acme".into(),
        scope: "read".into(),
        names: None,
        iat: 1,
        exp: unix_seconds() - 60,
    };
    let token = jsonwebtoken::encode(&header, &old, &EncodingKey::from_ed_der(&key.1)).unwrap();
    assert!(ring.verify(&token).unwrap_err().to_string().contains("xpired"));
}
