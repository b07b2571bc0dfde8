//! Request identity against a model: whatever is merged is what each client would have got alone.

use std::collections::{BTreeMap, BTreeSet};

use flame_naming::Name;
use flame_naming::identity::url::canonical;
use flame_naming::identity::{Bearer, Carried, Identity, Question, Rights, Sharing, Single, Split, Token, sharing};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use proptest::prelude::*;
use proptest::sample::select;

fn fields(fields: &[(&str, &str)]) -> HeaderMap {
    let parse =
        |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    fields.iter().map(parse).collect()
}

fn identity(url: &str, headers: &[(&str, &str)]) -> Result<Identity, Single> {
    let name = "media".parse().unwrap();
    let headers = fields(headers);
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

// === fields ===

#[test]
fn codings_are_compared_by_what_they_accept() {
    let accepts = |value: &str| identity("/a", &[("accept-encoding", value)]).unwrap().accept_encoding().to_owned();
    for (value, expected) in [
        ("gzip, br", "br, gzip"),
        ("BR;q=0.5 , x-gzip", "br, gzip"),
        // Not as if nothing was said: then an origin might choose gzip.
        ("gzip;q=0", "identity"),
        ("gzip;level=9;q=0.0", "identity"),
        ("gzip;q=0, br", "br"),
        ("gzip, gzip;q=0", "identity"),
        ("gzip; q = 0", "identity"),
        ("gzip;q=nonsense", "identity"),
        ("gzip;q=0.001", "gzip"),
        ("x-br", "identity"),
        ("x-x-gzip", "identity"),
        ("", "identity"),
        ("x=\"a, gzip\"", "identity"),
        ("*", "br, gzip, zstd"),
        ("*;q=0, gzip", "gzip, identity;q=0"),
        ("deflate", "identity"),
        ("*;q=0", "identity;q=0"),
        ("identity;q=0", "identity;q=0"),
    ] {
        assert_eq!(accepts(value), expected, "{value}");
    }
    assert_eq!(identity("/a", &[]).unwrap(), identity("/a", &[("accept-encoding", "identity")]).unwrap());
}

#[test]
fn what_is_between_one_client_and_one_server_is_single() {
    for (name, value) in [
        ("authorization", "Bearer x"),
        ("cookie", "a=b"),
        ("x-api-key", "x"),
        ("proxy-authorization", "x"),
        ("if-none-match", "\"a\""),
        ("if-range", "\"a\""),
        ("if-modified-since", "x"),
        ("cache-control", "max-age=5, No-Cache"),
        ("cache-control", "max-age=0"),
        ("pragma", "no-cache"),
        ("upgrade", "websocket"),
        ("transfer-encoding", "chunked"),
        ("content-length", "5"),
    ] {
        assert!(identity("/a", &[(name, value)]).is_err(), "{name}: {value}");
    }
    assert!(identity("/a", &[("content-length", "0"), ("cache-control", "max-age=5")]).is_ok());
}

#[test]
fn a_pinned_site_is_the_same_and_another_tenant_is_not() {
    let destination = |text: &str| text.parse::<flame_naming::Destination>().unwrap();
    let of = |text: &str| {
        let (name, headers) = (destination(text).name, HeaderMap::new());
        let question = Question {
            name: &name,
            method: &Method::GET,
            path_and_query: "/a",
            headers: &headers,
            token: Token::Unverified,
            bearer: Bearer::Unverified,
        };
        Identity::of(&question, &[]).unwrap()
    };
    assert_eq!(of("bristol--media"), of("media.main"));
    assert_ne!(of("media.main.acme"), of("media.main"));
    assert_ne!(of("media.blue"), of("media.main"));
}

// === answers ===

#[test]
fn an_answer_is_for_all_only_if_nothing_in_it_says_otherwise() {
    let identity = identity("/a", &[]).unwrap();
    let judge_of = |carried, status: u16, headers: &[(&str, &str)]| {
        let is_keyed = |name: &HeaderName| identity.is_keyed(name);
        sharing::judge(is_keyed, carried, StatusCode::from_u16(status).unwrap(), &fields(headers))
    };
    let judge = |status, headers: &[(&str, &str)]| judge_of(Carried::Identity, status, headers);
    assert_eq!(judge(200, &[]), Sharing::All);
    assert_eq!(judge(200, &[("vary", "Accept-Encoding, range")]), Sharing::All);
    assert_eq!(judge(404, &[]), Sharing::All);
    for (headers, expected) in [
        (&[][..], Sharing::Split(Split::Unsaid)),
        (&[("cache-control", "no-cache, max-age=60")], Sharing::Split(Split::Unsaid)),
        (&[("etag", "\"a\"")], Sharing::Split(Split::Unsaid)),
        (&[("cache-control", "max-age=60")], Sharing::All),
        (&[("cdn-cache-control", "s-maxage=60")], Sharing::All),
    ] {
        assert_eq!(judge_of(Carried::Fields, 200, headers), expected, "{headers:?}");
    }
    // What was asked for with a credential is for others only where that is said, and not how long it lives.
    for (headers, expected) in [
        (&[("cache-control", "max-age=60")][..], Sharing::Split(Split::Unsaid)),
        (&[("cache-control", "public, no-cache")], Sharing::Split(Split::Unsaid)),
        (&[("cache-control", "private, max-age=60")], Sharing::Split(Split::Private)),
        (&[("cache-control", "public, max-age=60")], Sharing::All),
        (&[("cache-control", "private, max-age=60"), ("cdn-cache-control", "public, max-age=60")], Sharing::All),
    ] {
        assert_eq!(judge_of(Carried::Credential, 200, headers), expected, "{headers:?}");
    }
    let language = vec![HeaderName::from_static("accept-language")];
    for (headers, split) in [
        (&[("set-cookie", "a=b"), ("cache-control", "public")][..], Split::SetCookie),
        (&[("cache-control", "max-age=5, Private=\"x\"")], Split::Private),
        (&[("cache-control", "no-store")], Split::Private),
        (&[("cache-control", "foo=\"a, b\", private")], Split::Private),
        (&[("cache-control", "max-age=60, foo=\"a, private")], Split::Private),
        (&[("cache-control", "public"), ("cdn-cache-control", "no-store")], Split::Private),
        (&[("cache-control", "private"), ("cdn-cache-control", "")], Split::Private),
        (&[("cache-control", "private"), ("cdn-cache-control", "Max-Age=60")], Split::Private),
        (&[("cache-control", "private"), ("cdn-cache-control", "max-age=60, ,")], Split::Private),
        (&[("cache-control", "public"), ("cdn-cache-control", "no-store, ???")], Split::Private),
        (&[("vary", "*")], Split::VaryAny),
        (&[("vary", "Cookie"), ("cache-control", "public")], Split::VaryAny),
        (&[("vary", "a b")], Split::VaryAny),
        (&[("vary", "accept-encoding, Accept-Language")], Split::Vary(language)),
    ] {
        assert_eq!(judge(200, headers), Sharing::Split(split), "{headers:?}");
    }
    let ours_alone = [("cache-control", "private"), ("cdn-cache-control", "max-age=60, x=\"y\"")];
    assert_eq!(judge(200, &ours_alone), Sharing::All, "private is for caches of others");
    for status in [100, 304, 401, 407, 412] {
        assert_ne!(judge(status, &[("cache-control", "public")]), Sharing::All, "{status}");
    }
}

// === whole groups ===

/// What an origin makes its bodies from, and how it says so.
#[derive(Debug, Clone)]
struct Origin {
    by_cookie: bool,
    by_authorization: bool,
    by_language: bool,
    /// It says `max-age=60` and nothing of cookies and credentials, as forgetful origins do.
    is_forgetful: bool,
    privately: &'static str,
}

#[derive(Debug, Clone)]
struct Client {
    url: &'static str,
    head: bool,
    headers: BTreeMap<&'static str, &'static str>,
    /// The segment that the edge verified.
    token: Option<&'static str>,
    /// What its credential gives, where that is a surrogate's.
    surrogate_with: Option<Rights>,
}

impl Origin {
    /// The whole answer, body last; a function of what the origin looks at, and of nothing else.
    fn answer(&self, url: &str, head: bool, headers: &HeaderMap) -> (HeaderMap, String) {
        let value = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let part = value("range").map(|range| (range, value("if-range")));
        let mut body = format!("{url} {head} {part:?}");
        let mut said = HeaderMap::new();
        body += &format!(" {:?}", value("accept-encoding").is_some_and(|codings| codings.contains("gzip")));
        let mut control = "public, max-age=60";
        if self.by_language {
            said.append("vary", HeaderValue::from_static("Accept-Language"));
            body += &format!(" {:?}", value("accept-language"));
        }
        if self.by_cookie {
            body += &format!(" {:?}", value("cookie"));
            control = if self.is_forgetful { "max-age=60" } else { self.privately };
            if self.privately == "set-cookie" && !self.is_forgetful {
                said.append("set-cookie", HeaderValue::from_static("a=b"));
            } else if self.privately == "vary" && !self.is_forgetful {
                said.append("vary", HeaderValue::from_static("cookie"));
            }
        }
        if self.by_authorization {
            // Not a word of it: whoever merges these is on his own. One that says "public" means all surrogates of the same rights.
            let shown = value("authorization");
            let rights = shown.as_ref().and_then(|shown| shown.rsplit(" of ").next()).map(str::to_owned);
            body += &format!(" {:?}", if self.is_forgetful { shown } else { rights });
            control = if self.is_forgetful { "max-age=60" } else { control };
        }
        said.append("cache-control", HeaderValue::from_str(control).unwrap());
        (said, body)
    }
}

fn origins() -> impl Strategy<Value = Origin> {
    let privately = select(vec!["private", "no-store", "set-cookie", "vary"]);
    (any::<[bool; 4]>(), privately).prop_map(|(flags, privately)| Origin {
        by_cookie: flags[0],
        by_authorization: flags[1],
        by_language: flags[2],
        is_forgetful: flags[3],
        privately,
    })
}

fn clients() -> impl Strategy<Value = Client> {
    let urls = select(vec!["/a", "/%61", "/a?CMCD=bl%3D3", "/a?x=1", "/a?_HLS_msn=1", "/a?_HLS_msn=01", "/b"]);
    let field = select(vec![
        ("cookie", "user=1"),
        ("cookie", "user=2"),
        ("authorization", "Bearer 1 of a/acme/service"),
        ("authorization", "Bearer 2 of a/acme/service"),
        ("authorization", "Bearer 3 of b/acme/service"),
        ("authorization", "Bearer 4 of a/beta/service"),
        ("authorization", "Bearer 5 of a/acme/admin service"),
        ("authorization", "Bearer 6 of a/acme/service/media"),
        ("accept-language", "de"),
        ("accept-language", "en"),
        ("accept-encoding", "gzip, br"),
        ("accept-encoding", "br;q=1, gzip;q=0.3"),
        ("accept-encoding", "identity"),
        ("range", "bytes=0-9"),
        ("range", "Bytes=0-9"),
        ("range", "bytes=10-"),
        ("if-range", "\"a\""),
        ("if-range", "\"b\""),
        ("if-range", "W/\"b\""),
    ]);
    let token = prop::option::of(select(vec!["one", "two"]));
    let all = (urls, any::<bool>(), prop::collection::vec(field, 0..4), token, any::<bool>());
    all.prop_map(|(url, head, fields, token, is_verified)| {
        let headers: BTreeMap<_, _> = fields.into_iter().collect();
        let shown = headers.get("authorization").and_then(|shown: &&str| shown.rsplit(" of ").next());
        Client { url, head, surrogate_with: shown.filter(|_| is_verified).map(rights), headers, token }
    })
}

/// The rights of key, tenant, scopes and names.
fn rights(text: &str) -> Rights {
    let mut parts = text.split('/');
    let mut next = || parts.next().unwrap_or_default();
    let (key, tenant) = (next().into(), next().into());
    let scopes = next().split(' ').map(Box::from).collect();
    Rights { key, tenant, scopes, names: parts.next().map(|name| BTreeSet::from([name.into()])) }
}

impl Client {
    fn headers(&self) -> HeaderMap {
        fields(&self.headers.iter().map(|(name, value)| (*name, *value)).collect::<Vec<_>>())
    }

    fn identity(&self, name: &Name, keyed: &[HeaderName]) -> Result<Identity, Single> {
        let url = self.token.map_or_else(|| self.url.to_owned(), |it| format!("/;URISigningPackage={it}{}", self.url));
        let token = if self.token.is_some() { Token::Verified } else { Token::Unverified };
        let method = if self.head { Method::HEAD } else { Method::GET };
        let headers = self.headers();
        let bearer = self.surrogate_with.as_ref().map_or(Bearer::Unverified, Bearer::Surrogate);
        Identity::of(&Question { name, method: &method, path_and_query: &url, headers: &headers, token, bearer }, keyed)
    }

    /// What it gets when it is asked for alone.
    fn alone(&self, origin: &Origin) -> (HeaderMap, String) {
        origin.answer(&canonical(self.url, Token::Verified).unwrap(), self.head, &self.normal_headers())
    }

    /// Its fields as they go upstream: the range in one form, as a server reads it.
    fn normal_headers(&self) -> HeaderMap {
        let mut headers = self.headers();
        if let Some(range) = headers.get("range").map(|range| range.to_str().unwrap().to_lowercase()) {
            headers.insert("range", HeaderValue::from_str(&range).unwrap());
        }
        headers
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whoever sends the request, whoever joins, whatever the origin makes of it: nobody gets another's body.
    #[test]
    fn everybody_gets_what_he_would_have_got_alone(
        origin in origins(),
        clients in prop::collection::vec(clients(), 2..12),
        learned in any::<bool>(),
    ) {
        let name = "media".parse().unwrap();
        let keyed: Vec<_> = learned.then(|| HeaderName::from_static("accept-language")).into_iter().collect();
        let mut groups: BTreeMap<Identity, Vec<&Client>> = BTreeMap::new();
        for client in &clients {
            match client.identity(&name, &keyed) {
                Ok(identity) => groups.entry(identity).or_default().push(client),
                Err(single) => {
                    let has = |name: &str| client.headers.contains_key(name);
                    let is_own = (has("authorization") && client.surrogate_with.is_none()) || has("cookie");
                    prop_assert!(is_own || has("if-range"), "{single}");
                }
            }
        }
        for (identity, members) in groups {
            let leader = members[0];
            let (headers, body) = leader.alone(&origin);
            let is_keyed = |name: &HeaderName| identity.is_keyed(name);
            let carried = if identity.is_of_surrogates() { Carried::Credential } else { Carried::Fields };
            if sharing::judge(is_keyed, carried, StatusCode::OK, &headers) == Sharing::All {
                for member in members {
                    prop_assert_eq!(&member.alone(&origin).1, &body, "{:?} of {:?}", member, leader);
                }
            }
        }
    }

    /// The other half: what may be merged is. Different valid tokens, CMCD, wordings do not part viewers of the same.
    #[test]
    fn viewers_of_the_same_share_it(mut a in clients(), token in "[a-z]{1,8}", other in "[a-z]{1,8}") {
        a.headers.retain(|name, _| !matches!(*name, "authorization" | "cookie" | "if-range"));
        let name: Name = "media".parse().unwrap();
        let separator = if a.url.contains('?') { '&' } else { '?' };
        let of = |url: String| {
            let (headers, method) = (a.headers(), Method::GET);
            let (token, bearer) = (Token::Verified, Bearer::Unverified);
            let question = Question { name: &name, method: &method, path_and_query: &url, headers: &headers, token, bearer };
            Identity::of(&question, &[])
        };
        let one = of(format!("/;URISigningPackage={token}{}", a.url)).unwrap();
        let two = of(format!("/;URISigningPackage={other}{}{separator}CMCD=sid", a.url)).unwrap();
        prop_assert_eq!(&one, &two);
        prop_assert!(!one.url().contains("URISigningPackage"));
        let public = fields(&[("cache-control", "public, max-age=4"), ("vary", "accept-encoding")]);
        let judged = sharing::judge(|name| one.is_keyed(name), Carried::Fields, StatusCode::OK, &public);
        prop_assert_eq!(judged, Sharing::All);
    }
}
