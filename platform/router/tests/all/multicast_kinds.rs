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
use flame_service_host::config::Bytes as Size;
use flame_service_host::keys::{self, Grant};
use flame_test_kit::{Scratch, eventually};
use futures_util::future::join_all;
use reqwest::RequestBuilder;
use tokio::sync::watch;

use crate::multicast::{measured, sites_of};
use crate::peers::Row;
use crate::world::{Service, World};

const BODY_BYTES: usize = 300_000;
const BODY_MAX_BYTES: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(20);
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
        "long" => (public, in_pieces(vec![7; 2 * BODY_MAX_BYTES].into())).into_response(),
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

/// What all of `asked`, each at one of `worlds`, get when the endpoint answers after all of them wait.
async fn together(media: &Media, worlds: &[World], asked: Vec<(usize, RequestBuilder)>) -> Vec<Came> {
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
        eventually(PATIENCE, || async {
            if media.asked.lock().unwrap().is_empty() { Err("nobody has asked") } else { Ok(()) }
        })
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
    assert!(together(&media, &worlds, all("/plain/1")).await.iter().all(is_whole));
    assert_eq!(media.asked("/plain/1"), 1);
    // The first one shows that there are several; from then on those of one language share.
    for (path, fetches) in [("/language/1", 1..=7), ("/language/2", 3..=3)] {
        let came = together(&media, &worlds, all(path)).await;
        for ((_, language), (status, _, got)) in asks.iter().zip(&came) {
            assert_eq!((*status, got.as_deref()), (StatusCode::OK, Some(language.as_bytes())), "{path}");
        }
        assert!(fetches.contains(&media.asked(path)), "{path} was asked for {} times", media.asked(path));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn surrogates_share_what_is_for_surrogates_with_those_of_the_same_issuer_and_nobody_else() {
    let (ours, theirs) = (Scratch::new("keys-ours"), Scratch::new("keys-theirs"));
    let token = |folder: &Scratch, scope: &str| {
        keys::ensure(folder.path()).unwrap();
        let life = Duration::from_secs(600);
        let grant = Grant { subject: "edge".into(), tenant: "default".into(), scope: scope.into(), life };
        format!("Bearer {}", keys::issue(folder.path(), &grant).unwrap().0)
    };
    let surrogates = [(); 4].map(|()| token(&ours, "service"));
    let others = [token(&ours, "read write"), token(&theirs, "service"), "Basic eDp5".to_owned()];
    let media = Media::start().await;
    let (_row, worlds) = sites(&media, Some(ours.path())).await;
    let all = |path: &str, shown: &[String]| -> Vec<_> {
        let of = |(at, shown): (usize, &String)| {
            (1 + at % 2, get(&worlds[1 + at % 2], path, &[(header::AUTHORIZATION, shown)]))
        };
        shown.iter().enumerate().map(of).collect()
    };
    assert!(together(&media, &worlds, all("/credential/1", &surrogates)).await.iter().all(is_whole));
    assert_eq!(media.asked("/credential/1"), 1);
    // Beside them, each whose credential is not a surrogate's asks for himself, and so does who has none.
    let mut asked = all("/credential/2", &[&surrogates[..2], &others[..]].concat());
    asked.push((2, get(&worlds[2], "/credential/2", &[])));
    assert!(together(&media, &worlds, asked).await.iter().all(is_whole));
    assert_eq!(media.asked("/credential/2"), 1 + others.len() + 1);
    // What does not say for whom it is may have been made for one.
    assert!(together(&media, &worlds, all("/mute/1", &surrogates)).await.iter().all(is_whole));
    assert_eq!(media.asked("/mute/1"), surrogates.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_which_nobody_says_how_long_it_is_goes_to_all_and_one_that_is_too_long_to_each() {
    let media = Media::start().await;
    let (_row, worlds) = sites(&media, None).await;
    let all = |path: &str| (0..6).map(|at| (1 + at % 2, get(&worlds[1 + at % 2], path, &[]))).collect::<Vec<_>>();
    let came = together(&media, &worlds, all("/unsaid/1")).await;
    assert!(came.iter().all(|came| is_whole(came) && !came.1.contains_key(header::CONTENT_LENGTH)));
    assert_eq!(media.asked("/unsaid/1"), 1);
    // It breaks off, and does not look whole; who comes back gets it alone.
    let came = together(&media, &worlds, all("/long/1")).await;
    assert!(came.iter().all(|(status, _, got)| *status == StatusCode::OK && got.is_none()));
    assert_eq!(media.asked("/long/1"), 1);
    let came = together(&media, &worlds, all("/long/1")).await;
    assert!(came.iter().all(|(_, _, got)| got.as_ref().is_some_and(|got| got.len() == 2 * BODY_MAX_BYTES)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_want_the_same_part_of_the_same_body_share_it() {
    let media = Media::start().await;
    let (_row, worlds) = sites(&media, None).await;
    let part = |tag| [(header::RANGE, "bytes=100-199"), (header::IF_RANGE, tag)];
    let all = |tag| (0..6).map(|at| (1 + at % 2, get(&worlds[1 + at % 2], "/part/1", &part(tag)))).collect::<Vec<_>>();
    for (status, _, got) in together(&media, &worlds, all("\"one\"")).await {
        assert_eq!((status, got), (StatusCode::PARTIAL_CONTENT, Some(body().slice(100..200))));
    }
    assert_eq!(media.asked("/part/1"), 1);
    // Of another body there is no such part; a weak tag says nothing certain.
    assert!(together(&media, &worlds, all("\"two\"")).await.iter().all(is_whole));
    assert_eq!(media.asked("/part/1"), 2);
    assert!(together(&media, &worlds, all("W/\"one\"")).await.iter().all(is_whole));
    assert_eq!(media.asked("/part/1"), 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_of_those_who_waited_finds_elsewhere_is_for_all_of_them() {
    const CLIENTS: usize = 10;
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
    let clients = (0..CLIENTS).map(|_| async {
        let answer = get(&worlds[2], "/plain/1", &[]).send().await.unwrap();
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
    assert!(came.iter().all(|(came, _)| is_whole(came)));
    assert_eq!((media.asked("/plain/1"), asked.load(Ordering::SeqCst)), (1, 2), "once for all, and once in the search");
    let found = |collapsed: &str| {
        let way = format!("router-s2; fwd=miss{collapsed}; detail=searched");
        came.iter().filter(|(_, ways)| ways.contains(&way)).count()
    };
    assert_eq!((found(""), found("; collapsed")), (1, CLIENTS - 1), "{:?}", came[0].1);
}
