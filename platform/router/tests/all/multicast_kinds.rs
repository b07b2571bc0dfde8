//! Which requests and answers are shared by multicast: those of several languages, of surrogates with credentials, parts of a certain body,
//! bodies of which nobody said how long they are; and what was found elsewhere.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flame_service_host::auth::TENANT_HEADER;
use flame_service_host::config::Bytes as Size;
use flame_service_host::keys::{self, Grant};
use flame_test_kit::{Scratch, eventually};
use futures_util::future::join_all;
use reqwest::RequestBuilder;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::multicast::{measured, sites_of};
use crate::peers::Row;
use crate::world::{Service, World, read_head};

const BODY_BYTES: usize = 300_000;
const BODY_MAX_BYTES: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(20);
const REGION: HeaderName = HeaderName::from_static("x-region");
const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// An endpoint that holds back its answers until it may give them, and counts them by path.
struct Media {
    service: Service,
    asked: Arc<Mutex<BTreeMap<String, usize>>>,
    may: watch::Sender<bool>,
}

/// What came: status, fields, and the body if it was whole.
type Came = (StatusCode, HeaderMap, Option<Bytes>);

impl Media {
    async fn start() -> Self {
        let (asked, may) = (Arc::new(Mutex::new(BTreeMap::new())), watch::Sender::new(false));
        let (counts, waits) = (Arc::clone(&asked), may.subscribe());
        let answer = move |request: Request| {
            *counts.lock().unwrap().entry(request.uri().path().to_owned()).or_default() += 1;
            let mut waits = waits.clone();
            async move {
                waits.wait_for(|may| *may).await.unwrap();
                media(request.uri().path(), request.headers())
            }
        };
        Self { service: Service::start(Router::new().fallback(answer)).await, asked, may }
    }

    fn asked(&self, path: &str) -> usize {
        self.asked.lock().unwrap().get(path).copied().unwrap_or_default()
    }
}

/// The answer by the first segment of the path.
fn media(path: &str, asked: &HeaderMap) -> Response {
    let public = [(header::CACHE_CONTROL, "public, max-age=60")];
    match path.split('/').nth(1).unwrap_or_default() {
        "language" => {
            let language = asked.get(header::ACCEPT_LANGUAGE).map(|language| language.as_bytes().to_vec());
            (public, [(header::VARY, "Accept-Language")], language.unwrap_or_default()).into_response()
        }
        // It refuses nobody: whose credential it is to judge is tested with the surrogate.
        "credential" => {
            let control = [(header::CACHE_CONTROL, "private, max-age=60")];
            (control, [(CDN_CACHE_CONTROL, "public, max-age=60")], body()).into_response()
        }
        "mute" => ([(header::CACHE_CONTROL, "max-age=60")], body()).into_response(),
        "unsaid" => (public, in_pieces(body())).into_response(),
        "long" => (public, in_pieces(long())).into_response(),
        "breaks" => {
            let piece = futures_util::stream::iter([Ok(body()), Err(std::io::Error::other("broke"))]);
            (public, Body::from_stream(piece)).into_response()
        }
        "gone" => (StatusCode::NOT_FOUND, "nobody has it").into_response(),
        // It looks at a field and does not say so.
        "region" => (StatusCode::NOT_FOUND, asked[&REGION].as_bytes().to_vec()).into_response(),
        "closed" => {
            let mut answer = (StatusCode::SERVICE_UNAVAILABLE, asked[&REGION].as_bytes().to_vec()).into_response();
            answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            answer
        }
        "full" => (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "7")], "all are full").into_response(),
        "part" => {
            let is_same = asked.get(header::IF_RANGE).is_some_and(|tag| tag == "\"one\"");
            if !is_same || asked.get(header::RANGE).is_none_or(|range| range != "bytes=100-199") {
                return (public, [(header::ETAG, "\"one\"")], body()).into_response();
            }
            let range = [(header::CONTENT_RANGE, format!("bytes 100-199/{BODY_BYTES}"))];
            (StatusCode::PARTIAL_CONTENT, public, [(header::ETAG, "\"one\"")], range, body().slice(100..200))
                .into_response()
        }
        _ => (public, body()).into_response(),
    }
}

fn body() -> Bytes {
    (0..BODY_BYTES).map(|at| ((at * 2_654_435_761) >> 13) as u8).collect()
}

/// More than twice what an edge holds, so that it has to be let go of while it comes.
fn long() -> Bytes {
    body().repeat(2 * BODY_MAX_BYTES.div_ceil(BODY_BYTES) + 1).into()
}

fn in_pieces(body: Bytes) -> Body {
    let pieces: Vec<_> = body.chunks(50_000).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
    Body::from_stream(futures_util::stream::iter(pieces))
}

/// Three sites with `media` at the first, whose routers take the surrogates of `keys`.
async fn sites(media: &Media, keys: Option<&Path>) -> (Row, Vec<World>) {
    sites_of(&media.service, [true; 3], |config| {
        config.multicast.surrogates = keys.map(Path::to_owned);
        config.multicast.body_max = Size(BODY_MAX_BYTES as u64);
    })
    .await
}

fn get(world: &World, path: &str, fields: &[(HeaderName, &str)]) -> RequestBuilder {
    let request = world.http.get(world.url(&format!("/~media{path}")));
    fields.iter().fold(request, |request, (name, value)| request.header(name, HeaderValue::from_str(value).unwrap()))
}

/// What all of `asked`, each for `path` at one of `worlds`, get when the endpoint answers after all of them wait.
async fn together(media: &Media, worlds: &[World], path: &str, asked: Vec<(usize, RequestBuilder)>) -> Vec<Came> {
    let before = media.asked(path);
    let waiting = [1, 2].map(|world| asked.iter().filter(|(at, _)| *at == world).count());
    let answers = asked.into_iter().map(|(_, request)| async move {
        let answer = request.send().await.unwrap();
        (answer.status(), answer.headers().clone(), answer.bytes().await.ok())
    });
    let opens = async {
        for (world, waiting) in worlds[1..].iter().zip(waiting) {
            eventually(PATIENCE, || async {
                let (open, all) = (measured(world, "flame_http_requests_open").await, (waiting + 1) as f64);
                if open >= all { Ok(()) } else { Err(format!("{open} of {all} requests")) }
            })
            .await;
        }
        eventually(PATIENCE, || async { if media.asked(path) > before { Ok(()) } else { Err("nobody has asked") } })
            .await;
        media.may.send_replace(true);
    };
    let (came, ()) = tokio::join!(join_all(answers), opens);
    media.may.send_replace(false);
    came
}

fn is_whole(came: &Came) -> bool {
    came.0 == StatusCode::OK && came.2.as_ref() == Some(&body())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_of_several_languages_share_media_and_each_gets_the_page_in_his_own() {
    let media = Media::start().await;
    let (_row, worlds) = sites(&media, None).await;
    let asks = [(1, "de"), (1, "de"), (1, "en"), (2, "de"), (2, "fr"), (2, "fr")];
    let all = |path: &str| -> Vec<_> {
        let of =
            |(world, language): (usize, _)| (world, get(&worlds[world], path, &[(header::ACCEPT_LANGUAGE, language)]));
        asks.into_iter().map(of).collect()
    };
    assert!(together(&media, &worlds, "/plain/1", all("/plain/1")).await.iter().all(is_whole));
    assert_eq!(media.asked("/plain/1"), 1);
    // The first one shows that there are several; from then on those of one language share.
    for (path, fetches) in [("/language/1", asks.len()), ("/language/2", 3)] {
        let came = together(&media, &worlds, path, all(path)).await;
        for ((_, language), (status, _, got)) in asks.iter().zip(&came) {
            assert_eq!((*status, got.as_deref()), (StatusCode::OK, Some(language.as_bytes())), "{path}");
        }
        assert_eq!(media.asked(path), fetches, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn surrogates_share_what_is_for_surrogates_with_those_of_the_same_issuer_and_nobody_else() {
    let [ours, others, strangers] = ["keys-ours", "keys-others", "keys-strangers"].map(Scratch::new);
    let grant = |tenant: &str, scope: &str| {
        let life = Duration::from_secs(600);
        Grant { subject: "edge".into(), tenant: tenant.into(), scope: scope.into(), life }
    };
    let token = |folder: &Scratch, tenant: &str, scope: &str| {
        keys::ensure(folder.path()).unwrap();
        format!("Bearer {}", keys::issue(folder.path(), &grant(tenant, scope)).unwrap().0)
    };
    let surrogates = [(); 4].map(|()| token(&ours, "default", "service"));
    // Of another issuer, whose key is known, too; or of the same one with other rights.
    let apart = [
        token(&others, "default", "service"),
        token(&ours, "acme", "service"),
        token(&ours, "default", "service admin"),
        token(&ours, "default", "read write"),
        token(&strangers, "default", "service"),
        forged(&ours, &strangers),
        "Basic eDp5".to_owned(),
    ];
    let known = both(&ours, &others);
    let media = Media::start().await;
    let (_row, worlds) = sites(&media, Some(known.path())).await;
    let all = |path: &str, shown: &[String]| -> Vec<_> {
        let of = |(at, shown): (usize, &String)| {
            (1 + at % 2, get(&worlds[1 + at % 2], path, &[(header::AUTHORIZATION, shown)]))
        };
        shown.iter().enumerate().map(of).collect()
    };
    let path = "/credential/1";
    assert!(together(&media, &worlds, path, all(path, &surrogates)).await.iter().all(is_whole));
    assert_eq!(media.asked(path), 1);
    // Beside them each other one asks for himself; and so does who has none, and who acts for another tenant.
    let path = "/credential/2";
    let mut asked = all(path, &[&surrogates[..2], &apart[..]].concat());
    asked.push((2, get(&worlds[2], path, &[])));
    let tenant = [(header::AUTHORIZATION, surrogates[3].as_str()), (HeaderName::from_static(TENANT_HEADER), "acme")];
    asked.push((1, get(&worlds[1], path, &tenant)));
    assert!(together(&media, &worlds, path, asked).await.iter().all(is_whole));
    assert_eq!(media.asked(path), 1 + apart.len() + 2);
    // What does not say for whom it is may have been made for one.
    let path = "/mute/1";
    assert!(together(&media, &worlds, path, all(path, &surrogates)).await.iter().all(is_whole));
    assert_eq!(media.asked(path), surrogates.len());
}

/// A token that names the key of `folder`, and is signed by that of `other`.
fn forged(folder: &Scratch, other: &Scratch) -> String {
    let part = |folder: &Scratch, at: usize| {
        let life = Duration::from_secs(600);
        let grant = Grant { subject: "edge".into(), tenant: "default".into(), scope: "service".into(), life };
        let token = keys::issue(folder.path(), &grant).unwrap().0;
        token.split('.').nth(at).unwrap().to_owned()
    };
    format!("Bearer {}.{}.{}", part(folder, 0), part(other, 1), part(other, 2))
}

/// The public keys of both folders.
fn both(one: &Scratch, other: &Scratch) -> Scratch {
    let known = Scratch::new("keys-known");
    let keys = [one, other].map(|folder| {
        let text = std::fs::read(folder.path().join("jwks.json")).unwrap();
        serde_json::from_slice::<serde_json::Value>(&text).unwrap()["keys"].as_array().unwrap().clone()
    });
    let all = serde_json::json!({ "keys": keys.concat() });
    std::fs::write(known.path().join("jwks.json"), all.to_string()).unwrap();
    known
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_which_nobody_says_how_long_it_is_goes_to_all_whole_and_if_it_was_long_to_each_after_that() {
    let media = Media::start().await;
    let (_row, worlds) = sites(&media, None).await;
    let all = |path: &str| (0..6).map(|at| (1 + at % 2, get(&worlds[1 + at % 2], path, &[]))).collect::<Vec<_>>();
    let came = together(&media, &worlds, "/unsaid/1", all("/unsaid/1")).await;
    assert!(came.iter().all(|came| is_whole(came) && !came.1.contains_key(header::CONTENT_LENGTH)));
    assert_eq!(media.asked("/unsaid/1"), 1);
    // More than is held of one goes to all who came in time; from then on each asks by himself.
    for fetches in [1, 1 + 6] {
        let came = together(&media, &worlds, "/long/1", all("/long/1")).await;
        assert!(came.iter().all(|(status, _, got)| *status == StatusCode::OK && got.as_ref() == Some(&long())));
        assert_eq!(media.asked("/long/1"), fetches);
    }
    // One that breaks off looks whole to nobody.
    let came = together(&media, &worlds, "/breaks/1", all("/breaks/1")).await;
    let told: Vec<_> = came.iter().map(|(status, _, got)| (*status, got.as_ref().map(Bytes::len))).collect();
    assert!(told.iter().all(|(status, got)| !status.is_success() || got.is_none()), "{told:?}");
}

/// Counts what lives.
struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_reads_any_more_is_let_go_and_what_ends_with_its_connection_is_not_shared() {
    let media = Media::start().await;
    let (_row, worlds) = sites(&media, None).await;
    let alive = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&alive);
    let endless = move || {
        counts.fetch_add(1, Ordering::SeqCst);
        let each = (tokio::time::interval(Duration::from_millis(20)), Alive(Arc::clone(&counts)));
        let pieces = futures_util::stream::unfold(each, async |mut each| {
            each.0.tick().await;
            Some((Ok::<_, std::io::Error>(vec![7; 1000]), each))
        });
        async { ([(header::CACHE_CONTROL, "public, max-age=60")], Body::from_stream(pieces)) }
    };
    let live = Service::start(Router::new().fallback(endless)).await;
    worlds[0].register("live", &live).await;
    let asks = || worlds[1].http.get(worlds[1].url("/~live/1")).send();
    eventually(PATIENCE, || async {
        if asks().await.unwrap().status() == StatusCode::OK { Ok(()) } else { Err("no") }
    })
    .await;
    eventually(PATIENCE, || async { if alive.load(Ordering::SeqCst) == 0 { Ok(()) } else { Err("it still comes") } })
        .await;
    let mut answers = join_all([asks(), asks(), asks()]).await.into_iter().map(Result::unwrap).collect::<Vec<_>>();
    for answer in &mut answers {
        assert!(answer.chunk().await.unwrap().is_some());
    }
    assert_eq!(alive.load(Ordering::SeqCst), 1, "one for all");
    // As long as one reads it goes on; then it ends.
    let mut last = answers.pop().unwrap();
    drop(answers);
    for _ in 0..200 {
        assert!(last.chunk().await.unwrap().is_some());
    }
    drop(last);
    eventually(PATIENCE, || async { if alive.load(Ordering::SeqCst) == 0 { Ok(()) } else { Err("it still comes") } })
        .await;
    // Of a body that ends with its connection nobody knows whether that was its end.
    let (listener, asked) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Arc::new(AtomicUsize::new(0)));
    let (address, counts) = (listener.local_addr().unwrap(), Arc::clone(&asked));
    let served = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let counts = Arc::clone(&counts);
            tokio::spawn(async move {
                let head = read_head(&mut stream).await;
                if head.starts_with("GET /old") {
                    counts.fetch_add(1, Ordering::SeqCst);
                }
                let head = "HTTP/1.1 200 OK\r\ncache-control: public, max-age=60\r\nconnection: close\r\n\r\n";
                stream.write_all(&[head.as_bytes(), &body()].concat()).await.unwrap();
            });
        }
    });
    worlds[0].register_address("old", address).await;
    let asks = |path: &'static str| {
        let worlds = &worlds;
        async move { worlds[1].http.get(worlds[1].url(path)).send().await.unwrap() }
    };
    eventually(PATIENCE, || async {
        let status = asks("/~old/new").await.status();
        if status == StatusCode::OK { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    for answer in join_all((0..4).map(|_| asks("/~old/old"))).await {
        assert!(!answer.headers().contains_key("cache-status"), "nobody shared it");
        assert_eq!(answer.bytes().await.unwrap(), body());
    }
    assert_eq!(asked.load(Ordering::SeqCst), 4);
    served.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_want_the_same_part_of_the_same_body_share_it() {
    let media = Media::start().await;
    let (_row, worlds) = sites(&media, None).await;
    let part = |tag| [(header::RANGE, "bytes=100-199"), (header::IF_RANGE, tag)];
    let all = |tag| (0..6).map(|at| (1 + at % 2, get(&worlds[1 + at % 2], "/part/1", &part(tag)))).collect::<Vec<_>>();
    for (status, _, got) in together(&media, &worlds, "/part/1", all("\"one\"")).await {
        assert_eq!((status, got), (StatusCode::PARTIAL_CONTENT, Some(body().slice(100..200))));
    }
    assert_eq!(media.asked("/part/1"), 1);
    // Of another body there is no such part; a weak tag says nothing certain.
    assert!(together(&media, &worlds, "/part/1", all("\"two\"")).await.iter().all(is_whole));
    assert_eq!(media.asked("/part/1"), 2);
    assert!(together(&media, &worlds, "/part/1", all("W/\"one\"")).await.iter().all(is_whole));
    assert_eq!(media.asked("/part/1"), 8);
}

const CLIENTS: usize = 10;
const REGIONS: [&str; 2] = ["north", "south"];

/// What clients of one edge get of `path` and how it came to them, where nobody answers at the site that is asked first; and how often
/// both endpoints were asked.
async fn searched(path: &str, region: impl Fn(usize) -> &'static str) -> (Vec<(Came, Vec<String>)>, [usize; 2]) {
    let media = Media::start().await;
    media.may.send_replace(true);
    // The router in the middle passes on what its own endpoint says, which is nothing.
    let (_row, worlds) =
        sites_of(&media.service, [true; 3], |config| config.search.enabled = config.site != "s1").await;
    let (may, asked) = (watch::Sender::new(false), Arc::new(AtomicUsize::new(0)));
    let (waits, counts) = (may.subscribe(), Arc::clone(&asked));
    let refuse = move || {
        counts.fetch_add(1, Ordering::SeqCst);
        let mut waits = waits.clone();
        async move {
            waits.wait_for(|may| *may).await.unwrap();
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    let failing = Service::start(Router::new().fallback(refuse)).await;
    worlds[1].register("media", &failing).await;
    eventually(PATIENCE, || async {
        let known = worlds[2].client().endpoints().await.map_err(|error| error.to_string())?.items.len();
        if known == 2 { Ok(()) } else { Err(format!("{known} endpoints")) }
    })
    .await;
    let requests = (0..CLIENTS).map(|client| get(&worlds[2], path, &[(REGION, region(client))]));
    let clients = requests.map(|request| async {
        let answer = request.send().await.unwrap();
        let ways = answer.headers().get_all("cache-status").iter().map(|way| way.to_str().unwrap().to_owned());
        let ways: Vec<_> = ways.collect();
        ((answer.status(), answer.headers().clone(), answer.bytes().await.ok()), ways)
    });
    let opens = async {
        eventually(PATIENCE, || async {
            let open = measured(&worlds[2], "flame_http_requests_open").await;
            if open > CLIENTS as f64 && asked.load(Ordering::SeqCst) > 0 {
                Ok(())
            } else {
                Err(format!("{open} requests"))
            }
        })
        .await;
        may.send_replace(true);
    };
    let (came, ()) = tokio::join!(join_all(clients), opens);
    (came, [media.asked(path), asked.load(Ordering::SeqCst)])
}

fn ways(came: &[(Came, Vec<String>)], collapsed: &str) -> usize {
    let way = format!("router-s2; fwd=miss{collapsed}; detail=searched");
    came.iter().filter(|(_, ways)| ways.contains(&way)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_of_those_who_waited_finds_elsewhere_is_for_all_of_them() {
    // The fields of one's own are nothing to an answer that says it is for all.
    let (came, asked) = searched("/plain/1", |client| REGIONS[client % 2]).await;
    assert!(came.iter().all(|(came, _)| is_whole(came)));
    assert_eq!(asked, [1, 2], "once for all, and once in the search");
    assert_eq!([ways(&came, ""), ways(&came, "; collapsed")], [1, CLIENTS - 1], "{:?}", came[0].1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_nobody_has_it_is_told_to_all_who_waited_as_it_was_said() {
    for (path, status, said) in [
        ("/gone/1", StatusCode::NOT_FOUND, "nobody has it"),
        ("/full/1", StatusCode::SERVICE_UNAVAILABLE, "all are full"),
    ] {
        let (came, asked) = searched(path, |_| REGIONS[0]).await;
        for ((got, headers, body), _) in &came {
            assert_eq!((*got, body.as_deref()), (status, Some(said.as_bytes())), "{path}");
            assert_eq!(headers.contains_key(header::RETRY_AFTER), path == "/full/1");
        }
        assert!(asked.iter().all(|asked| *asked <= 2), "{path}: {asked:?} of {CLIENTS} clients");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_last_word_that_does_not_say_what_it_depends_on_is_told_to_those_who_asked_in_the_same_words() {
    let region = |client: usize| REGIONS[client % 2];
    let (came, asked) = searched("/region/1", region).await;
    for (client, ((status, _, got), _)) in came.iter().enumerate() {
        assert_eq!((*status, got.as_deref()), (StatusCode::NOT_FOUND, Some(region(client).as_bytes())));
    }
    assert!(asked.iter().all(|asked| *asked < CLIENTS), "{asked:?} of {CLIENTS} clients");
    // What must not be kept is heard by one for each way to ask; nobody is told what another one heard.
    let (came, asked) = searched("/closed/1", region).await;
    let heard: Vec<_> = came.iter().map(|((status, _, got), _)| (status.is_server_error(), got.as_deref())).collect();
    for (client, (is_error, got)) in heard.iter().enumerate() {
        let others = REGIONS[(client + 1) % 2];
        assert!(*is_error && *got != Some(others.as_bytes()), "{heard:?}");
    }
    for own in REGIONS {
        assert!(heard.contains(&(true, Some(own.as_bytes()))), "{heard:?}");
    }
    assert!(asked.iter().all(|asked| *asked < CLIENTS), "{asked:?} of {CLIENTS} clients");
}
