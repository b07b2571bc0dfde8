//! A name that stands for several functions in a row.

use axum::Router;
use axum::extract::Request;
use axum::http::HeaderMap;
use flame_api::router::Registration;
use flame_router::Config;
use flame_router::config::PathConfig;

use crate::peers::Row;
use crate::world::{Service, World, problem};

fn one_path(config: &mut Config) {
    let functions = ["grade", "trim", "source"].map(str::to_owned).to_vec();
    config.paths = vec![PathConfig { name: "film".to_owned(), functions }];
}

/// A function that asks the router at `router` for its input, passes on what it is told of the way, and adds `word`.
async fn function(router: String, word: &'static str) -> Service {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let work = async move |request: Request| {
        let mut input = http.get(format!("{router}/~film{}", request.uri()));
        for name in ["flame-path", "flame-trace", "cdn-loop"] {
            if let Some(value) = request.headers().get(name) {
                input = input.header(name, value);
            }
        }
        let input = input.send().await.unwrap();
        let shown = input.headers().get("flame-trace").cloned();
        let fields: HeaderMap = shown.into_iter().map(|shown| ("flame-trace".parse().unwrap(), shown)).collect();
        let status = input.status();
        (status, fields, format!("{} {word}", input.text().await.unwrap()))
    };
    Service::start(Router::new().fallback(work)).await
}

async fn source() -> Service {
    Service::start(Router::new().fallback(async |request: Request| format!("{}", request.uri()))).await
}

#[tokio::test]
async fn a_request_walks_the_functions_and_the_answers_walk_back() {
    let world = World::with(one_path).await;
    let (grade, trim, source) =
        (function(world.url(""), "graded").await, function(world.url(""), "trimmed").await, source().await);
    world.register("grade", &grade).await;
    world.register("trim", &trim).await;
    world.register("source", &source).await;
    let answer = world.http.get(world.url("/~film/a?b=c")).header("flame-trace", "?1").send().await.unwrap();
    let trace = answer.headers()["flame-trace"].to_str().unwrap().to_owned();
    assert_eq!(answer.text().await.unwrap(), "/a?b=c trimmed graded");
    assert_eq!(trace.matches("status=200").count(), 3, "{trace}");
    // Without being asked nothing is shown, and the path is still walked.
    let answer = world.get("/~film/a").await;
    assert!(!answer.headers().contains_key("flame-trace"));
    assert_eq!(answer.text().await.unwrap(), "/a trimmed graded");
    // The host form is the same path.
    let request = world.http.get(world.url("/a")).header("host", "film.localhost");
    assert_eq!(request.send().await.unwrap().text().await.unwrap(), "/a trimmed graded");
}

#[tokio::test]
async fn a_path_crosses_sites_by_name_and_says_how_it_goes() {
    let row = Row::of(2);
    let worlds = row.routers(one_path).await;
    let (grade, trim) = (function(worlds[0].url(""), "graded").await, function(worlds[1].url(""), "trimmed").await);
    let source = source().await;
    worlds[0].register("grade", &grade).await;
    worlds[1].register("trim", &trim).await;
    let explained = async || {
        let body = worlds[0].get("/api/router/paths").await.text().await.unwrap();
        let page: flame_api::Page<flame_api::router::Path> = serde_json::from_str(&body).unwrap();
        let functions = page.items.into_iter().next().unwrap().functions;
        functions.into_iter().map(|one| format!("{} {:?}", one.name, one.site)).collect::<Vec<_>>()
    };
    assert_eq!(explained().await.last().unwrap(), "source.main None");
    worlds[1].register("source", &source).await;
    flame_test_kit::eventually(std::time::Duration::from_secs(10), || async {
        let known = explained().await;
        let wanted = ["grade.main Some(\"s0\")", "trim.main Some(\"s1\")", "source.main Some(\"s1\")"];
        if known == wanted { Ok(()) } else { Err(known.join(", ")) }
    })
    .await;
    assert_eq!(worlds[0].get("/~film/x").await.text().await.unwrap(), "/x trimmed graded");
    // What a URL of it stands for is explained, with all who stand behind its functions.
    let explained = worlds[0].get("/api/router/explain?url=/~film/a").await;
    let explained: flame_api::router::Explanation = explained.json().await.unwrap();
    assert_eq!(explained.chosen.as_ref().map(|chosen| chosen.name.as_str()), Some("grade.main"), "{explained:?}");
    assert_eq!((explained.functions.len(), explained.routes.len()), (3, 3), "{explained:?}");
    assert!(explained.reason.contains("grade.main -> trim.main -> source.main"), "{}", explained.reason);
}

#[tokio::test]
async fn what_a_path_is_explained_with_is_its_first_function_also_where_others_have_endpoints_called_the_same() {
    let world = World::with(one_path).await;
    let mut services = Vec::new();
    for (name, endpoint) in [("trim", "e"), ("trim", "f"), ("grade", "e"), ("source", "e")] {
        let service = source().await;
        let registration = Registration::new(service.address, 1, 60_000);
        world.client().register(name, endpoint, &registration).await.unwrap();
        services.push((name, service));
    }
    let grade = services.iter().find(|(name, _)| *name == "grade").unwrap().1.address;
    // With and without the slash that a client is sent on to.
    for url in ["/~film/a", "/~film/", "/~film", "/~film?a=b", "/~local--film/a"] {
        let explained = world.client().explain(url, None).await.unwrap().unwrap();
        let chosen = explained.chosen.expect("it is somebody");
        assert_eq!((chosen.name.as_str(), chosen.address), ("grade.main", grade), "{url}");
        let only = if url.contains("--") {
            "the request names local; it is the only one"
        } else {
            "for the first it is the only one"
        };
        assert!(explained.reason.contains(only), "{url}: {}", explained.reason);
        assert_eq!(explained.routes.len(), 4, "{url}");
    }
}

#[tokio::test]
async fn a_path_ends_and_a_missing_function_is_named() {
    let world = World::with(one_path).await;
    let (grade, trim) = (function(world.url(""), "graded").await, function(world.url(""), "trimmed").await);
    world.register("grade", &grade).await;
    world.register("trim", &trim).await;
    let broken = world.get("/~film/x").await;
    assert_eq!(broken.status(), 404);
    assert!(broken.text().await.unwrap().contains("source.main"));
    // A last function that asks for more gets no further.
    let greedy = function(world.url(""), "greedy").await;
    world.register("source", &greedy).await;
    let ended = world.get("/~film/x").await;
    assert_eq!(ended.status(), 508);
    assert!(ended.text().await.unwrap().contains("film.main has ended"));
    // Who writes the field himself begins later, and never outside.
    let later = |index: &str| world.http.get(world.url("/~film/x")).header("flame-path", format!("film;index={index}"));
    assert_eq!(problem(later("3").send().await.unwrap()).await.status, 508);
    assert_eq!(problem(later("99999999").send().await.unwrap()).await.status, 508);
    let source = source().await;
    let world = World::with(one_path).await;
    world.register("source", &source).await;
    let later = world.http.get(world.url("/~film/x")).header("flame-path", "film;index=2");
    assert_eq!(later.send().await.unwrap().text().await.unwrap(), "/x");
}

#[tokio::test]
async fn a_path_that_cannot_be_is_named_at_the_start() {
    let mut config = Config::default();
    config.host.listen.set_port(0);
    config.paths = vec![PathConfig { name: "film".to_owned(), functions: Vec::new() }];
    let error = flame_router::start(config).await.map(|_| ()).unwrap_err();
    let said = flame_service_host::problem::chain(&error);
    assert!(said.contains("film.main has 0 functions"), "{said}");
}
