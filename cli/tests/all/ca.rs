//! The authority and its tokens, as an operator makes them.

use flame_test_kit::Scratch;
use serde_json::Value;

use crate::world::flame;

#[test]
fn an_authority_is_made_once_and_gives_tokens_that_can_be_taken_back() {
    let folder = Scratch::new("cli-ca");
    let data = folder.path().to_str().unwrap();
    let none = flame(&["ca", "join-token", "--data", data, "--name", "media"]);
    assert!(none.status == 3 && none.err.contains("flame ca init"), "{}", none.err);
    let made = flame(&["ca", "init", "--data", data]);
    assert_eq!(made.status, 0, "{}", made.err);
    let again = flame(&["ca", "init", "--data", data]);
    assert_eq!(again.out, made.out, "an authority that there is stays");
    let fingerprint = made.out.trim();
    let token = flame(&["ca", "join-token", "--data", data, "--name", "media.*", "--site", "edge"]);
    assert_eq!((token.status, token.out.trim().len()), (0, 54), "{}", token.err);
    assert!(token.err.contains("service at edge for media.*, valid until 20"), "{}", token.err);
    let ran =
        flame(&["ca", "join-token", "--json", "--data", data, "--role", "router", "--site", "edge", "--ttl", "1h"]);
    let said: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&said["fingerprint"], &said["standing"]["role"]), (&fingerprint.into(), &"router".into()));
    let token = token.out.trim();
    assert_eq!(flame(&["ca", "take-back", "--data", data, token]).status, 0);
    assert_eq!(flame(&["ca", "take-back", "--data", data, token]).status, 3, "it is gone");
    // A folder that holds an authority and nothing else may become the data of `flame up`.
    assert!(folder.path().join("ca/ca.key").is_file());
}

#[test]
fn parts_with_certificates_are_made_by_one_command_that_can_be_run_again() {
    let folder = Scratch::new("cli-parts-tls");
    let parts = folder.join("parts");
    let parts = parts.to_str().unwrap();
    let plain = flame(&["parts", parts, "--tls"]);
    assert!(plain.status == 2 && plain.err.contains("--router https://"), "{}", plain.err);
    let without = flame(&["parts", parts, "--viewers", "127.0.0.1:1"]);
    assert!(without.status == 2 && without.err.contains("--tls"), "{}", without.err);
    let long = flame(&["parts", parts, "--tls", "--router", "https://127.0.0.1:8443", "--join", "200h"]);
    assert!(long.status == 2 && long.err.contains("7 days"), "{}", long.err);
    let make = || flame(&["parts", parts, "--tls", "--router", "https://127.0.0.1:8443", "--site", "edge"]);
    let made = make();
    assert!(made.status == 0 && made.out.contains("join the authority"), "{} {}", made.out, made.err);
    let told = |part: &str| std::fs::read_to_string(folder.join("parts").join(part).join("part.toml")).unwrap();
    let before = [told("router"), told("vcdn"), told("orchestrator")];
    assert!(before[0].contains("site = \"edge\"") && !before[0].contains("join_token"), "{}", before[0]);
    assert!(before[1].contains("join_token") && before[2].contains("router = \"http://127.0.0.1:8081/\""));
    assert_eq!(make().status, 0);
    assert_eq!([told("router"), told("vcdn"), told("orchestrator")], before, "nothing is new that is still good");
    // A token that was taken back, as one that is spent, gives way to another one.
    let vcdn: toml::Table = before[1].parse().unwrap();
    let token = vcdn["host"]["tls"]["join_token"].as_str().unwrap().to_owned();
    let data = folder.join("parts/router");
    assert_eq!(flame(&["ca", "take-back", "--data", data.to_str().unwrap(), &token]).status, 0);
    assert_eq!(make().status, 0);
    let now: toml::Table = told("vcdn").parse().unwrap();
    assert_ne!(now["host"]["tls"]["join_token"].as_str().unwrap(), token);
    assert_eq!(now["host"]["token"], vcdn["host"]["token"]);
}
