//! What a caller's stream identifier asks for: a key alone, or SRT's access control syntax (`#!::r=KEY,m=publish`). Pure.

use super::handshake::Refusal;
use crate::live::key::StreamKey;

/// How the syntax begins (draft-sharabayko-srt appendix B).
const SYNTAX: &str = "#!::";

/// The key that it publishes with.
///
/// # Errors
/// [`Refusal`], if it does not publish.
pub fn read(stream_id: &str) -> Result<StreamKey, Refusal> {
    let Some(list) = stream_id.strip_prefix(SYNTAX) else {
        return named(stream_id);
    };
    let mut resource = "";
    for pair in list.split(',').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or(Refusal::BadRequest)?;
        match (name, value) {
            ("r", value) => resource = value,
            ("m", "publish") | ("t", "stream") => {}
            ("m" | "t", _) => return Err(Refusal::BadMode),
            // Users, sessions, hosts, and what applications make up.
            _ => {}
        }
    }
    named(resource)
}

fn named(key: &str) -> Result<StreamKey, Refusal> {
    if key.is_empty() { Err(Refusal::BadRequest) } else { Ok(StreamKey::new(key.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_identifier_is_a_key_or_says_which() {
        let key = |text: &str| read(text).map(|key| key.reveal().to_owned());
        assert_eq!(key("abc?standby"), Ok("abc?standby".to_owned()));
        assert_eq!(key("#!::r=abc,m=publish"), Ok("abc".to_owned()));
        assert_eq!(key("#!::u=me,t=stream,r=abc"), Ok("abc".to_owned()));
        assert_eq!(key("#!::r=abc,m=request"), Err(Refusal::BadMode));
        assert_eq!(key("#!::r=abc,m=bidirectional"), Err(Refusal::BadMode));
        assert_eq!(key("#!::m=publish"), Err(Refusal::BadRequest));
        assert_eq!(key("#!::r"), Err(Refusal::BadRequest));
        assert_eq!(key(""), Err(Refusal::BadRequest));
    }
}
