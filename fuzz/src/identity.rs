//! When two requests are the same, and whether an answer is for both.

use flame_naming::Name;
use flame_naming::identity::sharing::{Carried, Sharing, judge};
use flame_naming::identity::url::canonical;
use flame_naming::identity::{Bearer, Identity, Question, Token};
use http::{HeaderMap, Method, StatusCode};

use crate::fields::{fields, lines, says, text, with};

pub fn url(data: &[u8]) {
    let Some(text) = text(data) else { return };
    for token in [Token::Unverified, Token::Verified] {
        let Some(url) = canonical(text, token) else { continue };
        // Whoever has no token to take out leaves it as it is; a second token is for the verifier to refuse.
        assert_eq!(canonical(&url, Token::Unverified).as_deref(), Some(url.as_str()), "not its own canonical form");
        assert!(url.starts_with('/') && url.bytes().all(|byte| (0x21..0x7f).contains(&byte) && byte != b'#'));
        let path = url.split('?').next().unwrap_or_default();
        assert!(!path.split('/').any(|segment| segment == ".." || segment == "."), "{url}");
        let arguments = url.split_once('?').map(|(_, query)| query).unwrap_or_default();
        let names = arguments.split('&').map(|argument| argument.split('=').next().unwrap_or_default());
        assert!(!names.into_iter().any(|name| name.eq_ignore_ascii_case("cmcd")), "{url}");
    }
}

/// Parts between lines of `--`: a request (target, then fields), another, and an answer's fields.
pub fn identity(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let mut parts = text.split("\n--\n");
    let (Some(one), Some(other), Some(answer)) = (parts.next(), parts.next(), parts.next()) else { return };
    let (one, other, answer) = (Asked::of(one), Asked::of(other), fields(answer));
    let (Some(first), Some(second)) = (one.identity(), other.identity()) else { return };
    // What is asked upstream is the same request.
    let again = Asked { target: first.url().to_owned(), fields: one.fields.clone() };
    assert_eq!(again.identity().as_ref(), Some(&first));
    if first == second {
        assert_eq!(one.language(), other.language(), "merged in spite of their languages");
        assert_eq!(one.fields.contains_key("range"), other.fields.contains_key("range"));
        assert_eq!(one.fields.get("if-range"), other.fields.get("if-range"), "parts of different bodies");
        assert_eq!(canonical(&one.target, Token::Unverified), canonical(&other.target, Token::Unverified));
    }
    for fields in [&one.fields, &other.fields] {
        for name in ["authorization", "proxy-authorization", "if-none-match", "upgrade", "transfer-encoding"] {
            assert!(!fields.contains_key(name), "{name} is somebody's own");
        }
        let tag = fields.get("if-range").map(|tag| tag.as_bytes());
        let is_certain = tag.is_none_or(|tag| tag.first() == Some(&b'"') && fields.contains_key("range"));
        assert!(is_certain, "an `If-Range` that servers read differently");
    }
    let judged = |carried, answer: &HeaderMap| judge(|name| first.is_keyed(name), carried, StatusCode::OK, answer);
    for carried in [Carried::Identity, Carried::Fields, Carried::Credential] {
        if judged(carried, &answer) != Sharing::All {
            continue;
        }
        assert_eq!(judged(Carried::Identity, &answer), Sharing::All, "more that is said allows what less does not");
        assert!(!answer.contains_key("set-cookie"));
        if answer.contains_key("cdn-cache-control") {
            continue;
        }
        assert!(!says(&answer, "cache-control", "private") && !says(&answer, "cache-control", "no-store"));
    }
    for (name, value) in [("set-cookie", "a=b"), ("vary", "*"), ("vary", "Cookie"), ("vary", "x-unheard-of")] {
        assert_ne!(judged(Carried::Identity, &with(&answer, name, value)), Sharing::All, "{name}: {value}");
    }
    if !answer.contains_key("cdn-cache-control") {
        assert_ne!(judged(Carried::Identity, &with(&answer, "cache-control", "Private")), Sharing::All);
    }
}

struct Asked {
    target: String,
    fields: HeaderMap,
}

impl Asked {
    fn of(text: &str) -> Self {
        let [target, rest] = lines(text);
        Self { target: target.to_owned(), fields: fields(rest) }
    }

    fn identity(&self) -> Option<Identity> {
        let name: Name = "media.main".parse().expect("a name");
        let question = Question {
            name: &name,
            method: &Method::GET,
            path_and_query: &self.target,
            headers: &self.fields,
            token: Token::Unverified,
            bearer: Bearer::Unverified,
        };
        Identity::of(&question, &[http::header::ACCEPT_LANGUAGE]).ok()
    }

    fn language(&self) -> Option<&[u8]> {
        self.fields.get("accept-language").map(|value| value.as_bytes().trim_ascii())
    }
}
