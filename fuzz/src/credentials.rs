//! What the authority reads of those who are not known yet: join tokens.

use flame_credentials::JoinToken;

use crate::fields::text;

pub fn join_token(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let Ok(token) = text.parse::<JoinToken>() else { return };
    let printed = token.to_string();
    assert_eq!((printed.as_str(), printed.len()), (text.trim(), 54));
    assert!(printed.parse() == Ok(token.clone()), "it reads otherwise than it prints");
    assert!(!format!("{token:?}").contains(&printed), "the secret is shown");
}
