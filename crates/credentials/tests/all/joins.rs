//! A token is good for one join, and that outlasts everything.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use flame_credentials::{Identity, Issuer, IssuerError, JoinToken, Key, Refusal, Role, Wanted};

use crate::world::{World, as_is, refusal, router, service};

fn request() -> String {
    Key::new().unwrap().request_pem().unwrap()
}

#[test]
fn who_joins_gets_what_the_token_says_and_keeps_it_for_itself() {
    let world = World::new();
    let (standing, folder) = (service("edge", &["media", "cache.*"]), world.part("media"));
    let identity = world.member(&folder, &standing);
    assert_eq!(identity.standing, standing);
    assert!(identity.ends_in() > Duration::from_secs(23 * 3600) && !identity.has_ended());
    let again = Identity::read(&folder).unwrap().unwrap();
    assert_eq!((again.standing, again.ends_unix_s), (standing, identity.ends_unix_s));
    for file in [folder.join("identity.pem"), world.part("ca").join("ca.key")] {
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    assert!(!folder.join("joining.key").exists(), "the join is over");
    let names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["identity.pem"], "nothing half-written stays");
}

#[test]
fn a_token_is_good_for_one_join() {
    let world = World::new();
    let standing = service("edge", &["media"]);
    let (token, first) = (world.invite(&standing), request());
    world.issuer.join(&token, &as_is(&standing), &first).unwrap();
    assert_eq!(refusal(world.issuer.join(&token, &as_is(&standing), &request())), Refusal::Spent);
    // Whoever opens the folder next knows it, too.
    let restarted = Issuer::open(&world.part("ca")).unwrap();
    assert_eq!(refusal(restarted.join(&token, &as_is(&standing), &request())), Refusal::Spent);
    // The one whose answer was lost asks again, for the same key.
    restarted.join(&token, &as_is(&standing), &first).unwrap();
}

#[test]
fn of_many_who_use_one_token_at_once_one_joins() {
    let world = World::new();
    let standing = service("edge", &["media"]);
    let token = world.invite(&standing);
    let joined = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| Issuer::open(&world.part("ca")).unwrap().join(&token, &as_is(&standing), &request()))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(Result::is_ok).count()
    });
    assert_eq!(joined, 1);
}

#[test]
fn a_changed_guessed_ended_or_foreign_token_joins_nobody() {
    let (world, other) = (World::new(), World::new());
    let standing = service("edge", &["media"]);
    let token = world.invite(&standing).to_string();
    for at in 0..token.len() {
        let with = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
        let mut changed = token.clone();
        changed.replace_range(at..=at, with);
        // The last third is the fingerprint: for the joiner to compare, before it sends anything.
        let Ok(changed) = changed.parse::<JoinToken>() else { continue };
        if changed.authority == world.issuer.fingerprint() {
            assert_eq!(refusal(world.issuer.join(&changed, &as_is(&standing), &request())), Refusal::Unknown, "{at}");
        }
    }
    let token = token.parse::<JoinToken>().unwrap();
    assert_eq!(refusal(other.issuer.join(&token, &as_is(&standing), &request())), Refusal::Unknown);
    let ended = world.issuer.invite(&standing, Duration::ZERO).unwrap();
    assert_eq!(refusal(world.issuer.join(&ended, &as_is(&standing), &request())), Refusal::Ended);
    assert!(world.issuer.take_back(&token).unwrap());
    assert_eq!(refusal(world.issuer.join(&token, &as_is(&standing), &request())), Refusal::Unknown);
}

#[test]
fn a_token_for_something_else_is_refused_and_not_spent() {
    let world = World::new();
    let standing = service("edge", &["media.*"]);
    let token = world.invite(&standing);
    let other_name = Wanted { names: vec!["metadata".parse().unwrap()], ..as_is(&standing) };
    assert!(matches!(refusal(world.issuer.join(&token, &other_name, &request())), Refusal::Name(_)));
    let other_site = Wanted { site: Some("cloud".parse().unwrap()), ..as_is(&standing) };
    assert!(matches!(refusal(world.issuer.join(&token, &other_site, &request())), Refusal::Site { .. }));
    let other_role = Wanted { role: Role::Router, ..as_is(&standing) };
    assert!(matches!(refusal(world.issuer.join(&token, &other_role, &request())), Refusal::Role { .. }));
    let right = Wanted { names: vec!["media.west".parse().unwrap()], ..as_is(&standing) };
    world.issuer.join(&token, &right, &request()).unwrap();
}

#[test]
fn what_no_part_can_be_nobody_is_invited_to_be() {
    let world = World::new();
    let mut standing = router("edge");
    standing.names.insert("media".parse().unwrap());
    assert!(matches!(world.issuer.invite(&standing, Duration::from_secs(1)), Err(IssuerError::Unfit(_))));
    let many: Vec<_> = (0..65).map(|n| format!("f{n}")).collect();
    let many = service("edge", &many.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(matches!(world.issuer.invite(&many, Duration::from_secs(1)), Err(IssuerError::Unfit(_))));
}

#[test]
fn who_was_interrupted_joins_with_the_same_key() {
    let world = World::new();
    let (folder, standing) = (world.part("media"), service("edge", &["media"]));
    let key = Key::joining(&folder).unwrap();
    let again = Key::joining(&folder).unwrap();
    let token = world.invite(&standing);
    // The answer to the first is lost.
    world.issuer.join(&token, &as_is(&standing), &key.request_pem().unwrap()).unwrap();
    let issued = world.issuer.join(&token, &as_is(&standing), &again.request_pem().unwrap()).unwrap();
    Identity::keep(&folder, &again, &issued).unwrap();
}

#[test]
fn a_request_that_is_none_or_too_long_is_refused() {
    let world = World::new();
    let standing = service("edge", &["media"]);
    let good = request();
    // Its signature is of another content.
    let body: String = good.lines().filter(|line| !line.starts_with("-----")).collect();
    let mut forged = body.into_bytes();
    let middle = forged.len() / 2;
    forged[middle] = if forged[middle] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    let forged = format!("-----BEGIN CERTIFICATE REQUEST-----\n{forged}\n-----END CERTIFICATE REQUEST-----\n");
    for wrong in ["", "x", &forged, &format!("{good}{}", " ".repeat(20_000))] {
        let outcome = world.issuer.renew(standing.clone(), wrong);
        assert!(matches!(outcome, Err(IssuerError::Request(_))), "{outcome:?}");
    }
}

#[test]
fn an_answer_of_another_authority_or_for_another_key_is_not_kept() {
    let (world, other) = (World::new(), World::new());
    let (folder, standing) = (world.part("media"), service("edge", &["media"]));
    let before = world.member(&folder, &standing);
    let key = Key::new().unwrap();
    let theirs = other.issuer.renew(standing.clone(), &key.request_pem().unwrap()).unwrap();
    assert!(theirs.is_of(world.issuer.fingerprint()).is_err());
    // Their certificate beside our authority's.
    let mixed = flame_credentials::Issued { authority_pem: world.issuer.certificate_pem().to_owned(), ..theirs };
    Identity::keep(&folder, &key, &mixed).unwrap_err();
    let for_another = world.issuer.renew(standing, &request()).unwrap();
    Identity::keep(&folder, &key, &for_another).unwrap_err();
    let after = Identity::read(&folder).unwrap().unwrap();
    assert_eq!(after.ends_unix_s, before.ends_unix_s, "what was there stays");
}
