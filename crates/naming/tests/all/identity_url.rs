//! The canonical URL: examples, and a model that was not made from the code. The model takes a resource apart into what it
//! means, writes it down in any spelling that RFC 3986 calls equal, and wants the one plain spelling back.

use flame_naming::identity::url::{canonical, has_token, is_plain, loggable, split_token, without_token};
use flame_naming::identity::{Bearer, Identity, Question, Single, Token};
use http::{HeaderMap, Method};
use proptest::prelude::*;
use proptest::sample::select;

fn identity(url: &str) -> Result<Identity, Single> {
    let (name, headers) = ("media".parse().unwrap(), HeaderMap::new());
    let question = Question {
        name: &name,
        method: &Method::GET,
        path_and_query: url,
        headers: &headers,
        token: Token::Unverified,
        bearer: Bearer::Unverified,
    };
    Identity::of(&question, &[])
}

#[test]
fn equal_spellings_are_one_and_no_others() {
    for (spelling, url) in [
        ("/a%2Fb", "/a%2Fb"),
        ("/a%2fb", "/a%2Fb"),
        ("/%61/./%2e/b", "/a/b"),
        ("/a/.", "/a/"),
        ("/a//b", "/a//b"),
        ("/a?", "/a?"),
        ("/a?b=%7e&a", "/a?b=~&a"),
        ("/a?CMCD=bl%3D1", "/a"),
        ("/a?x=1&CMCD=bl%3D1&y", "/a?x=1&y"),
        ("/a?%43MCD=1", "/a"),
        ("/a?CMCDX=1", "/a?CMCDX=1"),
        ("/a?_HLS_part=01&x=1&_HLS_msn=007&_HLS_foo=1", "/a?x=1&_HLS_msn=7&_HLS_part=1"),
        ("/a?_HLS_msn=000", "/a?_HLS_msn=0"),
        ("/a?_HLS_msn=2&_HLS_msn=1", "/a?_HLS_msn=2&_HLS_msn=1"),
        ("/a?_HLS_skip=v2&_HLS_msn=abc", "/a?_HLS_msn=abc&_HLS_skip=v2"),
    ] {
        assert_eq!(canonical(spelling, Token::Unverified).as_deref(), Some(url), "{spelling}");
    }
    for bad in ["", "a", "http://x/", "/..", "/a/%2e%2E/b", "/%", "/%4", "/%zz", "/a b", "/a#b", "/\u{e4}", "/a?%"] {
        assert_eq!(canonical(bad, Token::Unverified), None, "{bad}");
    }
}

#[test]
fn a_verified_token_is_taken_out_and_another_makes_a_request_single() {
    let signed = "/;URISigningPackage=aaa.bbb.ccc/film/index.m3u8";
    assert_eq!(split_token(signed), Some(("aaa.bbb.ccc", "/film/index.m3u8")));
    assert_eq!(split_token("/film/;URISigningPackage=a/b"), None);
    assert_eq!(canonical(signed, Token::Verified).as_deref(), Some("/film/index.m3u8"));
    assert_eq!(canonical("/film/1.m4s?URISigningPackage=a.b", Token::Verified).as_deref(), Some("/film/1.m4s"));
    for url in [signed, "/film/1.m4s?URISigningPackage=a.b", "/film/%55RISigningPackage=a/1", "/f;URISigningPackage=a"]
    {
        assert_eq!(identity(url), Err(Single::Credential("URISigningPackage")), "{url}");
    }
}

#[test]
fn one_token_is_taken_out_and_a_second_one_refuses_the_url() {
    let signed = "/;URISigningPackage=a.b.c";
    for path in [
        format!("{signed}{signed}/film/1"),
        format!("{signed}/film/1?URISigningPackage=x"),
        format!("{signed}/film;URISigningPackage=x/1"),
        format!("{signed}/film/%55RISigningPackage=x"),
        format!("{signed}/film%3BURISigningPackage%3Dx"),
        "/./;URISigningPackage=a/film".to_owned(),
        "/film?URISigningPackage=a&URISigningPackage=b".to_owned(),
        "/;URISigningP%61ckage=a/film?URISigningPackage=b".to_owned(),
    ] {
        assert_eq!(canonical(&path, Token::Verified), None, "{path}");
    }
}

#[test]
fn a_token_is_in_no_log() {
    for (text, logged) in [
        ("/film/1.m4s", "/film/1.m4s"),
        ("GET /;URISigningPackage=a.b-c_d/film?x=1 HTTP/1.1", "GET /;URISigningPackage=…/film?x=1 HTTP/1.1"),
        ("/film?x=1&URISigningPackage=a.b.c&y", "/film?x=1&URISigningPackage=…&y"),
        ("/%55RISigningPackage=a.b/film", "/URISigningPackage=…/film"),
        ("/film%3BURISigningPackage%3Da.b.c", "/URISigningPackage=…"),
        ("/;URISigningPackage=%zz/film", "/;URISigningPackage=…/film"),
    ] {
        assert_eq!(without_token(text), logged, "{text}");
    }
}

#[test]
fn a_channels_key_is_in_no_log() {
    let key = "0123456789abcdef".repeat(4);
    for (path, logged) in [
        (format!("/push/{key}/v720.mp4"), "/push/…/v720.mp4"),
        (format!("/~ingest/push/{key}"), "/~ingest/push/…"),
        (format!("/whip/{key}/837a3171-04c5-4535-8c6c-4c7e430b1bff"), "/whip/…/837a3171-04c5-4535-8c6c-4c7e430b1bff"),
        (format!("/~ingest/whip/{key}"), "/~ingest/whip/…"),
        (format!("/~ingest/push/{key}x/v/1.m4s"), "/~ingest/push/…/v/1.m4s"),
        (
            "/push/0198a1b2-0000-7000-8000-000000000001/v.mp4".to_owned(),
            "/push/0198a1b2-0000-7000-8000-000000000001/v.mp4",
        ),
        ("/;URISigningPackage=a/push/x".to_owned(), "/;URISigningPackage=…/push/x"),
        ("/film/1.m4s".to_owned(), "/film/1.m4s"),
    ] {
        assert_eq!(loggable(&path), logged, "{path}");
    }
}

// === a model ===

/// A path and query by what they mean.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Resource {
    segments: Vec<String>,
    arguments: Vec<String>,
    /// `_HLS_msn` and `_HLS_part`.
    directives: Option<(u32, Option<u32>)>,
}

/// How one octet of a spelling is chosen.
#[derive(Debug, Clone, Copy)]
enum Hand {
    Plain,
    Upper,
    Lower,
}

fn resources() -> impl Strategy<Value = Resource> {
    // Octets that are plain in every spelling or in none: `/` inside a segment is data, and stays encoded.
    let segment = "[a-z0-9~._/-]{1,5}".prop_filter("no dot segment", |text| !matches!(text.as_str(), "." | ".."));
    let argument = "[a-z]{1,3}=[a-z0-9 &]{0,4}";
    let directives = prop::option::of((0_u32..99, prop::option::of(0_u32..9)));
    (prop::collection::vec(segment, 1..4), prop::collection::vec(argument, 0..3), directives)
        .prop_map(|(segments, arguments, directives)| Resource { segments, arguments, directives })
}

/// One octet as a hand writes it: what is unreserved may be encoded, what is reserved has to be.
fn octet(byte: u8, hand: Hand, reserved: &str) -> String {
    let must = reserved.as_bytes().contains(&byte);
    match hand {
        Hand::Plain if !must => char::from(byte).to_string(),
        Hand::Plain | Hand::Upper => format!("%{byte:02X}"),
        Hand::Lower => format!("%{byte:02x}"),
    }
}

fn text(text: &str, hands: &mut impl Iterator<Item = Hand>, reserved: &str) -> String {
    text.bytes().map(|byte| octet(byte, hands.next().unwrap(), reserved)).collect()
}

impl Resource {
    /// A spelling. `hands` writes octets, `extras` says what is strewn in that means nothing.
    fn spelled(&self, hands: &mut impl Iterator<Item = Hand>, extras: &mut impl Iterator<Item = u8>) -> String {
        let mut path = String::new();
        for segment in &self.segments {
            if extras.next().unwrap() == 0 {
                path.push_str(["/.", "/%2e", "/%2E"][usize::from(extras.next().unwrap() % 3)]);
            }
            path.push('/');
            path.push_str(&text(segment, hands, "/"));
        }
        let mut arguments: Vec<String> = Vec::new();
        let strew = |arguments: &mut Vec<String>, extras: &mut dyn Iterator<Item = u8>| match extras.next().unwrap() {
            0 => arguments.push("CMCD=bl%3D3".to_owned()),
            1 => arguments.push("cmc%64=x".to_owned()),
            2 => arguments.push("_HLS_unknown=7".to_owned()),
            _ => {}
        };
        let mut directives = Vec::new();
        if let Some((msn, part)) = self.directives {
            let zeros = |extras: &mut dyn Iterator<Item = u8>| "0".repeat(usize::from(extras.next().unwrap() % 3));
            directives.push(format!("_HLS_msn={}{msn}", zeros(extras)));
            directives.extend(part.map(|part| format!("_HLS_part={}{part}", zeros(extras))));
            if extras.next().unwrap().is_multiple_of(2) {
                directives.reverse();
            }
        }
        // Directives may stand anywhere between the others.
        for argument in &self.arguments {
            strew(&mut arguments, extras);
            if extras.next().unwrap().is_multiple_of(2) {
                arguments.append(&mut directives);
            }
            let (name, value) = argument.split_once('=').unwrap();
            arguments.push(format!("{}={}", text(name, hands, ""), text(value, hands, " &")));
        }
        strew(&mut arguments, extras);
        arguments.append(&mut directives);
        if arguments.is_empty() { path } else { format!("{path}?{}", arguments.join("&")) }
    }

    /// The plain spelling.
    fn plain(&self) -> String {
        let whole = Self { directives: None, ..self.clone() };
        let mut plain = whole.spelled(&mut std::iter::repeat(Hand::Plain), &mut std::iter::repeat(9));
        let mut separator = if self.arguments.is_empty() { '?' } else { '&' };
        let (msn, part) = self.directives.map_or((None, None), |(msn, part)| (Some(msn), part));
        for (name, number) in [("_HLS_msn", msn), ("_HLS_part", part)] {
            if let Some(number) = number {
                plain.push_str(&format!("{separator}{name}={number}"));
                separator = '&';
            }
        }
        plain
    }
}

fn hands() -> impl Strategy<Value = Vec<Hand>> {
    prop::collection::vec(select(vec![Hand::Plain, Hand::Upper, Hand::Lower]), 64)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_spelling_of_a_resource_is_the_plain_one(
        resource in resources(),
        hands in hands(),
        extras in prop::collection::vec(0_u8..12, 32),
    ) {
        let spelling = resource.spelled(&mut hands.into_iter().cycle(), &mut extras.into_iter().cycle());
        prop_assert_eq!(canonical(&spelling, Token::Unverified), Some(resource.plain()), "{}", spelling);
        let signed = format!("/;URISigningPackage=a.b{spelling}");
        prop_assert_eq!(canonical(&signed, Token::Verified), Some(resource.plain()), "{}", signed);
    }

    #[test]
    fn two_resources_are_two_however_they_are_spelled(a in resources(), b in resources(), hands in hands()) {
        prop_assume!(a != b);
        let spelled = |resource: &Resource| {
            canonical(&resource.spelled(&mut hands.clone().into_iter().cycle(), &mut std::iter::repeat(9)), Token::Unverified)
        };
        prop_assert_ne!(spelled(&a), spelled(&b));
    }

    #[test]
    fn no_spelling_brings_a_token_into_a_log(hands in hands(), path in "[a-z/;?&=%]{0,8}", behind in "[a-z/;?&= %]{0,8}") {
        let token = text("URISigningPackage", &mut hands.into_iter(), "");
        let logged = format!("{path};{token}=SECRET{behind}");
        prop_assert!(!without_token(&logged).contains("SECRET"), "{}", logged);
    }

    /// The short way agrees with the long one wherever it answers, and it does so for paths of media.
    #[test]
    fn what_looks_plain_is_canonical(url in "/?[a%2-5eEfF/.?&=_;~#C -]{0,24}", path in "(/[A-Za-z0-9_-]{1,8}){1,4}(\\.m4s)?") {
        if is_plain(&url) {
            prop_assert_eq!(canonical(&url, Token::Unverified), Some(url.clone()));
            prop_assert!(!has_token(&url) || url.contains('='));
        }
        prop_assert!(is_plain(&path), "{}", path);
    }
}
