//! What is one viewer's own stays so, over generated viewers and origins: nobody gets a body that was made for another; and
//! those who may share one do.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use flame_service_host::keys;
use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use serde_json::json;

use crate::origin::{Reply, made_of};
use crate::world::World;

/// A viewer. Values of cookies and credentials are his alone.
#[derive(Debug, Clone)]
struct Viewer {
    cookie: Option<String>,
    authorization: Option<String>,
    language: Option<&'static str>,
    device: Option<&'static str>,
    /// Accept-Encoding, and whether gzip is accepted by it.
    codings: (&'static str, bool),
    range: Option<(usize, usize)>,
    token: usize,
    has_cmcd: bool,
}

/// What an origin makes its bodies of, and how it says that they are somebody's own.
#[derive(Debug, Clone)]
struct Manner {
    made_of: Vec<&'static str>,
    says: &'static str,
}

/// Fields that an origin may look at.
const FIELDS: [&str; 5] = ["cookie", "authorization", "accept-language", "x-device", "accept-encoding"];

fn viewers() -> impl Strategy<Value = Vec<Viewer>> {
    let codings = select(vec![("gzip", true), ("br, gzip;q=1", true), ("gzip;q=0", false), ("identity", false)]);
    let languages = prop::option::of(select(vec!["de", "en"]));
    let devices = prop::option::of(select(vec!["tv", "phone"]));
    let ranges = prop::option::weighted(0.3, (0_usize..6, 6_usize..9));
    let viewer = (any::<[bool; 3]>(), languages, devices, codings, ranges, 0_usize..3);
    prop::collection::vec(viewer, 2..7).prop_map(|all| {
        let viewer =
            |(number, (flags, language, device, codings, range, token)): (usize, ([bool; 3], _, _, _, _, _))| {
                let own = |is_there: bool, kind: &str| is_there.then(|| format!("{kind}-of-{number}"));
                Viewer {
                    cookie: own(flags[0], "cookie"),
                    authorization: own(flags[1] && number % 2 == 0, "credential"),
                    language,
                    device,
                    codings,
                    range,
                    token,
                    has_cmcd: flags[2],
                }
            };
        all.into_iter().enumerate().map(viewer).collect()
    })
}

fn manners() -> impl Strategy<Value = Manner> {
    let says = select(vec!["vary", "private", "no-store", "set-cookie", "nothing"]);
    (prop::sample::subsequence(FIELDS.to_vec(), 0..=FIELDS.len()), says)
        .prop_map(|(made_of, says)| Manner { made_of, says })
}

impl Manner {
    fn reply(&self) -> Reply {
        let reply = match self.says {
            "private" => Reply::new("media, the same for all").with("cache-control", "private, max-age=60"),
            "no-store" => Reply::new("media, the same for all").with("cache-control", "no-store"),
            "set-cookie" => Reply::new("media, the same for all").with("set-cookie", "a=b"),
            "vary" => Reply::new("media, the same for all").with("vary", &self.made_of.join(", ")),
            _ => Reply::new("media, the same for all"),
        };
        if self.made_of.is_empty() { reply } else { reply.made_of(&self.made_of) }
    }

    /// Whether an answer says all that it depends on.
    fn is_honest(&self) -> bool {
        self.says != "nothing" || self.made_of.is_empty()
    }
}

impl Viewer {
    fn says(&self, name: &str) -> Option<&str> {
        match name {
            "cookie" => self.cookie.as_deref(),
            "authorization" => self.authorization.as_deref(),
            "accept-language" => self.language,
            "x-device" => self.device,
            _ => Some(self.codings.0),
        }
    }

    /// What he gets when nobody else is there; upstream learns of codings what he accepts, whatever he did not say.
    fn alone(&self, manner: &Manner) -> String {
        if manner.made_of.is_empty() {
            return "media, the same for all".to_owned();
        }
        let gzip = if self.codings.1 { "gzip" } else { "identity" };
        made_of(&manner.made_of, |name| if name == "accept-encoding" { Some(gzip) } else { self.says(name) })
    }

    fn secrets(&self) -> impl Iterator<Item = &String> {
        self.cookie.iter().chain(&self.authorization)
    }

    async fn ask(&self, world: &World, token: &str, path: &str) -> (reqwest::Response, Option<(usize, usize)>) {
        let cmcd = if self.has_cmcd { "?CMCD=bl%3D1000" } else { "" };
        let mut request = world.http.get(world.url(&format!("/;URISigningPackage={token}{path}{cmcd}")));
        for name in FIELDS {
            if let Some(value) = self.says(name) {
                request = request.header(name, value);
            }
        }
        if let Some((first, last)) = self.range {
            request = request.header("range", format!("bytes={first}-{last}"));
        }
        let answer = request.send().await.unwrap();
        let range = self.range.filter(|_| answer.status() == 206);
        (answer, range)
    }
}

#[test]
fn nobody_gets_what_was_made_for_another_and_all_get_what_is_for_all() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    keys::ensure(folder.path()).unwrap();
    let world = runtime.block_on(World::with(|config| {
        let front = config.fronts.remove(0);
        config.fronts.push(front.with_tokens(folder.path().join("jwks.json")));
    }));
    let tokens = ["ann", "bob", "eve"].map(|name| {
        let claims =
            json!({ "sub": name, "cdniuc": "regex:https://cdn\\.main/.*", "exp": keys::unix_seconds() + 3600 });
        keys::sign(folder.path(), &claims).unwrap()
    });
    let number = AtomicUsize::new(0);
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 96, source_file: Some(file!()), ..ProptestConfig::default() });
    let outcome = runner.run(&(manners(), viewers()), |(manner, viewers)| {
        let path = format!("/case/{}", number.fetch_add(1, Ordering::Relaxed));
        world.origin.put(&path, manner.reply());
        runtime.block_on(async {
            // Together, and again when whatever is kept is there.
            for _ in 0..2 {
                let asks = viewers.iter().map(|viewer| viewer.ask(&world, &tokens[viewer.token], &path));
                for (viewer, (answer, range)) in viewers.iter().zip(join_all(asks).await) {
                    prop_assert!(answer.status().is_success(), "{}", answer.status());
                    let is_gzip = answer.headers().contains_key("content-encoding");
                    prop_assert!(viewer.codings.1 || !is_gzip, "{:?} cannot read gzip", viewer);
                    let body = answer.text().await.unwrap();
                    let others =
                        viewers.iter().flat_map(Viewer::secrets).filter(|one| !viewer.secrets().any(|own| own == *one));
                    for secret in others {
                        prop_assert!(!body.contains(secret.as_str()), "{:?} got {}", viewer, body);
                    }
                    if manner.is_honest() {
                        let alone = viewer.alone(&manner);
                        let alone = range.map_or(alone.as_str(), |(first, last)| &alone[first..=last]);
                        prop_assert_eq!(&body, alone, "{:?}", viewer);
                    }
                }
                world.settled().await;
            }
            Ok(())
        })?;
        let unverified = viewers.iter().filter(|viewer| viewer.authorization.is_some()).count();
        if manner.made_of.is_empty() && manner.says == "nothing" {
            let asked = world.origin.asked(&path);
            let shared = asked.iter().filter(|noted| !noted.headers.contains_key("authorization")).count();
            let with_tokens: BTreeSet<_> = viewers.iter().map(|viewer| viewer.token).collect();
            prop_assert_eq!(shared, usize::from(unverified < viewers.len()), "{:?} of {:?}", asked.len(), with_tokens);
        }
        Ok(())
    });
    outcome.unwrap();
}
