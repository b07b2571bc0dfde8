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
