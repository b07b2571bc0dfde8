//! Every way to write a name reaches the same service; what names nothing is told so.

use crate::world::{Service, World, problem};

#[tokio::test]
async fn every_form_reaches_the_service() {
    let world = World::start().await;
    let service = Service::echo().await;
    world.register("metadata", &service).await;
    let port = world.address().port();
    let address = world.address().to_string();

    let first_line = |text: String| text.lines().next().unwrap_or_default().to_owned();
    for path in [
        "/~metadata/assets?q=a%20b",
        "/~metadata.main/assets?q=a%20b",
        "/~metadata.main.default/assets?q=a%20b",
        "/~metadata.localhost/assets?q=a%20b",
        "/~METADATA.main.localhost/assets?q=a%20b",
        "/~local--metadata/assets?q=a%20b",
        "/%7Emetadata/assets?q=a%20b",
        "/api/metadata/assets?q=a%20b",
        "/api/metadata.main/assets?q=a%20b",
    ] {
        let seen = world.get(path).await.text().await.unwrap();
        assert_eq!(first_line(seen), "GET /assets?q=a%20b", "{path}");
    }
    for host in ["metadata", "metadata.main", "metadata.main.default", "local--metadata", "MetaData"] {
        let seen = world.curl(&[&format!("http://{host}.localhost:{port}/assets?q=a%20b")]).await;
        assert_eq!(first_line(seen), "GET /assets?q=a%20b", "{host}");
    }
    let seen = world.curl(&["--proxy", &address, "http://metadata.localhost/assets?q=a%20b"]).await;
    assert!(seen.starts_with("GET /assets?q=a%20b\n") && seen.contains("host: metadata.localhost\n"), "{seen}");
    let seen = world.curl(&["--proxy", &address, &format!("http://127.0.0.1:{port}/~metadata/x")]).await;
    assert!(seen.starts_with("GET /x\n"), "{seen}");
    // Under a name's own host all paths are the service's, also those that the router has itself.
    for path in ["/", "/health/live", "/~other/x", "/api/router/endpoints", "/metrics"] {
        let seen = world.curl(&[&format!("http://metadata.localhost:{port}{path}")]).await;
        assert_eq!(first_line(seen), format!("GET {path}"));
    }
    // And any method.
    let seen = world.curl(&["-X", "PROPFIND", &format!("http://{address}/~metadata/x")]).await;
    assert_eq!(first_line(seen), "PROPFIND /x");
    world.router.stop().await;
}

#[tokio::test]
async fn a_name_without_a_slash_is_sent_to_the_one_with_it() {
    let world = World::start().await;
    let answer = world.get("/~metadata?a=b").await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["location"]), (308, &"/~metadata/?a=b".parse().unwrap()));
}

#[tokio::test]
async fn the_router_answers_for_itself() {
    let world = World::with(|config| config.public_hosts = vec!["media.example.org".into()]).await;
    let port = world.address().port();
    for host in ["localhost", "127.0.0.1", "[::1]", "LOCALHOST.", "media.example.org"] {
        let request = format!("GET /health/live HTTP/1.1\r\nhost: {host}:{port}\r\nconnection: close\r\n\r\n");
        let answer = world.raw(&request).await;
        assert_eq!((answer.status(), answer.body.as_slice()), (200, b"live\n".as_slice()), "{host}");
    }
    assert_eq!(world.get("/nothing").await.status(), 404);
    let openapi: serde_json::Value = world.get("/openapi.json").await.json().await.unwrap();
    assert!(openapi["paths"]["/api/router/endpoints/{name}/{endpoint}"]["put"].is_object(), "{openapi}");
}

#[tokio::test]
async fn what_names_nothing_is_told_so() {
    let world = World::start().await;
    let port = world.address().port();
    let unknown = problem(world.get("/~nobody/x").await).await;
    assert_eq!((unknown.status, unknown.slug()), (404, "unknown-name"));
    assert_eq!(unknown.detail, "no endpoint is registered for nobody.main");
    // The typed client does not take that for a missing resource.
    let error = world.client().asset(Default::default()).await.unwrap_err();
    assert!(error.is_transient(), "{error}");

    for (host, slug) in [
        ("nobody.localhost", "unknown-name"),
        ("elsewhere--nobody.localhost", "unknown-name"),
        ("-.localhost", "unknown-name"),
        ("a.b.c.d.localhost", "unknown-name"),
        ("example.org", "unknown-name"),
        ("localhost.example.org", "unknown-name"),
        ("evillocalhost", "unknown-name"),
    ] {
        let request = world.http.get(world.url("/")).header("host", format!("{host}:{port}"));
        let refusal = problem(request.send().await.unwrap()).await;
        assert_eq!((refusal.status, refusal.slug()), (421, slug), "{host}: {refusal}");
    }
    for path in ["/~/x", "/~-/x", "/~a.b.c.d/x", "/~a%62c/x", "/~metadata%2Fx/", "/api/-/x"] {
        assert_eq!(problem(world.get(path).await).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_pin_to_another_site_is_not_answered_here() {
    let world = World::with(|config| config.site = "london".into()).await;
    let service = Service::echo().await;
    world.register("metadata", &service).await;
    assert_eq!(world.get("/~london--metadata/").await.status(), 200);
    assert_eq!(world.get("/~bristol--metadata/").await.status(), 404);
}
