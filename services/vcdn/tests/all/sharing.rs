//! Who shares an answer with whom, and who never does.

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use flame_test_kit::eventually;
use flame_vcdn::config::FrontConfig;

use crate::origin::Reply;
use crate::world::{PATIENCE, World, cache_status};

#[tokio::test(flavor = "multi_thread")]
async fn what_turns_out_to_be_private_is_asked_for_by_each() {
    let world = World::start().await;
    let gate = watch::Sender::new(false);
    world.origin.put("/me", Reply::new("mine").with("cache-control", "private").gated(None, &gate));
    let asked = join_all((0..5).map(|number| {
        let cookie = format!("user={number}");
        let request = world.http.get(world.url("/me")).header("cookie", cookie);
        async move { request.send().await.unwrap().text().await.unwrap() }
    }));
    let open = async { gate.send_replace(true) };
    let (answers, _) = tokio::join!(asked, open);
    assert!(answers.iter().all(|answer| answer == "mine"));
    let cookies: std::collections::BTreeSet<String> = world
        .origin
        .asked("/me")
        .iter()
        .filter_map(|noted| noted.headers.get("cookie").map(|cookie| cookie.to_str().unwrap().to_owned()))
        .collect();
    assert_eq!(cookies.len(), 5, "each was asked for with its own cookie");
}

#[tokio::test]
async fn a_shared_fetch_carries_nothing_of_one_viewer() {
    let world = World::start().await;
    world.origin.put("/a/1", Reply::new("x"));
    let fields = [("cookie", "user=1"), ("x-secret", "1"), ("referer", "https://x/"), ("range", "bytes=0-0")];
    assert_eq!(world.get_with("/a/1?CMCD=sid%3D%22abc%22", &fields).await.status(), 206);
    let asked = world.origin.asked("/a/1");
    assert_eq!(asked[0].target, "/a/1", "what the player says of itself is no part of the URL");
    for name in ["cookie", "x-secret", "referer", "range"] {
        assert!(!asked[0].headers.contains_key(name), "{name}");
    }
    world.settled().await;
    let other = world.get("/a/1?CMCD=sid%3D%22def%22").await;
    assert!(cache_status(&other).starts_with("hit"));
}

#[tokio::test]
async fn credentials_are_passed_on_alone() {
    let world = World::start().await;
    world.origin.put("/a/1", Reply::new("x"));
    assert_eq!(world.get("/a/1").await.status(), 200);
    world.settled().await;
    let private = world.get_with("/a/1", &[("authorization", "Bearer abc")]).await;
    assert!(cache_status(&private).starts_with("fwd=bypass"), "{}", cache_status(&private));
    let asked = world.origin.asked("/a/1");
    assert_eq!(asked.last().unwrap().headers["authorization"], "Bearer abc");
    assert!(!asked[0].headers.contains_key("authorization"));
}

#[tokio::test]
async fn variants_are_kept_apart_and_wordings_are_not() {
    let world = World::start().await;
    world.origin.put("/a/1", Reply::new("x").with("vary", "Accept-Encoding, Origin"));
    for coding in ["gzip, br", "br;q=0.5, gzip", "gzip", "identity", "", "gzip;q=0"] {
        assert_eq!(world.get_with("/a/1", &[("accept-encoding", coding)]).await.status(), 200);
        world.settled().await;
    }
    let asked = world.origin.asked("/a/1");
    let codings: Vec<_> = asked.iter().map(|noted| noted.headers["accept-encoding"].to_str().unwrap()).collect();
    assert_eq!(codings, ["br, gzip", "gzip", "identity"], "an origin that is not asked for a coding may choose any");
    world.origin.put("/a/2", Reply::new("x").with("vary", "Cookie"));
    for _ in 0..2 {
        assert_eq!(world.get_with("/a/2", &[("cookie", "a=1")]).await.status(), 200);
    }
    assert!(world.origin.asked("/a/2").len() >= 2, "what depends on a cookie is not shared");
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_of_different_variants_do_not_share_a_fill() {
    let world = World::start().await;
    let gate = watch::Sender::new(false);
    world.origin.put("/a/1", Reply::new("x").with("vary", "accept-encoding").gated(None, &gate));
    let with = world.get_with("/a/1", &[("accept-encoding", "gzip")]);
    let without = world.get_with("/a/1", &[("accept-encoding", "identity")]);
    let open = async {
        flame_test_kit::eventually(crate::world::PATIENCE, || async {
            let figures = world.figures().await;
            let both = figures.misses == 1 && figures.collapsed == 1;
            if both { Ok(()) } else { Err(format!("{figures:?}")) }
        })
        .await;
        gate.send_replace(true);
    };
    tokio::join!(with, without, open);
    let mut codings: Vec<_> =
        world.origin.asked("/a/1").iter().map(|noted| noted.headers.get("accept-encoding").cloned()).collect();
    codings.sort();
    assert_eq!(codings, [Some("gzip".parse().unwrap()), Some("identity".parse().unwrap())]);
}

#[tokio::test]
async fn tenants_share_nothing() {
    let world = World::with(|config| config.fronts.push(FrontConfig::new("cdn.main.acme", "origin"))).await;
    world.origin.put("/a/1", Reply::new("x"));
    let other = format!("http://{}/a/1", world.vcdn.fronts()["cdn.main.acme"]);
    assert_eq!(world.get("/a/1").await.status(), 200);
    world.settled().await;
    let answer = world.http.get(&other).send().await.unwrap();
    assert!(cache_status(&answer).starts_with("fwd=uri-miss"));
    assert_eq!(world.origin.asked("/a/1").len(), 2);
    // Its figures and its purges are its own, too.
    let stats = world.stats().await;
    assert_eq!((stats.names.as_slice(), stats.kept.len()), (&["cdn.main".to_owned()][..], 1));
    let body = serde_json::json!({ "name": "cdn.main.acme", "prefix": "/" });
    let purge = world.http.post(world.api("/purges")).json(&body).send().await.unwrap();
    assert_eq!(purge.status(), 404);
    let purge = world.http.post(world.api("/purges")).header("flame-tenant", "acme").json(&body).send().await.unwrap();
    assert_eq!(purge.status(), 200);
    assert!(cache_status(&world.get("/a/1").await).starts_with("hit"));
}

/// An answer as it came, without what is different each time: its moment and what it took.
async fn answered(world: &World, head: &str) -> String {
    let mut stream = TcpStream::connect(world.edge()).await.unwrap();
    stream.write_all(format!("{head}Host: cdn\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).await.unwrap();
    let is_same_each_time = |line: &&str| {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        !["date", "age", "cmsd-dynamic", "cache-status"].contains(&name.as_str())
    };
    let mut lines: Vec<String> = all.lines().filter(is_same_each_time).map(str::to_owned).collect();
    let status =
        all.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("cache-status: ").map(str::to_owned));
    lines.push(status.unwrap_or_default().split("ttl=").next().unwrap_or_default().to_owned());
    lines.join("\n")
}

#[tokio::test]
async fn what_comes_by_routers_is_answered_like_what_comes_at_once_and_only_surrogates_count_as_hops() {
    let world = World::with(|config| config.upstream.hops = 3).await;
    world.origin.put("/a/1", Reply::new("body").with("cache-control", "max-age=600").with("x-of-its-own", "1"));
    assert_eq!(world.get("/a/1").await.status(), 200);
    world.settled().await;
    let me = world.stats().await.surrogate;
    let router = "flame-1a2b3c4d;name=cdn.main";
    for method in ["GET", "HEAD"] {
        let plain = answered(&world, &format!("{method} /a/1 HTTP/1.1\r\n")).await;
        assert!(plain.starts_with("HTTP/1.1 200 OK") && plain.contains("; hit"), "{plain}");
        // A field that is in doubt everywhere takes the long way: the answer has to be the same.
        for fields in [
            format!("CDN-Loop: {router}\r\n"),
            format!("cdn-loop: {router}, {router}\r\nCDN-Loop: vcdn-00000002, {router}, other\r\n"),
            format!("CDN-Loop: {router}\r\nCache-Control: max-age=900\r\n"),
            format!("CDN-Loop: {router}\r\nVia: 1.1 flame-1a2b3c4d\r\nForwarded: for=127.0.0.1\r\n"),
        ] {
            assert_eq!(answered(&world, &format!("{method} /a/1 HTTP/1.1\r\n{fields}")).await, plain, "{fields}");
        }
        for (fields, detail) in [
            (format!("CDN-Loop: {router}, {me}\r\n"), "came back to this surrogate"),
            (format!("CDN-Loop: {router}\r\nCDN-Loop: {me};x=1, {router}\r\n"), "came back to this surrogate"),
            (format!("CDN-Loop: one, {router}, two\r\nCDN-Loop: three\r\n"), "has passed 3 surrogates"),
        ] {
            let refused = answered(&world, &format!("{method} /a/1 HTTP/1.1\r\n{fields}")).await;
            assert!(refused.starts_with("HTTP/1.1 508 "), "{fields}: {refused}");
            assert!(method == "HEAD" || refused.contains(detail), "{fields}: {refused}");
        }
    }
}

#[tokio::test]
async fn a_request_that_comes_back_is_refused() {
    let world = World::with(|config| {
        config.fronts = vec![FrontConfig::new("cdn", "cdn2"), FrontConfig::new("cdn2", "cdn")];
    })
    .await;
    let url = format!("http://{}/a/1", world.vcdn.fronts()["cdn.main"]);
    flame_test_kit::eventually(crate::world::PATIENCE, || async {
        // Until both are registered the router says so itself.
        let answer = world.http.get(&url).send().await.unwrap();
        let status = answer.status().as_u16();
        if status == 508 { Ok(()) } else { Err(format!("{status}")) }
    })
    .await;
    let error = flame_vcdn::start(flame_vcdn::Config {
        fronts: vec![FrontConfig::new("cdn", "cdn.main")],
        ..world.config.clone()
    });
    assert!(error.await.is_err(), "a front of itself");
}

#[tokio::test]
async fn what_a_change_says_of_groups_is_forgotten_under_its_name_alone() {
    let world = World::with(|config| {
        config.fronts[0].writes = true;
        config.fronts.push(FrontConfig::new("other", "origin"));
    })
    .await;
    let other = world.vcdn.fronts()["other.main"];
    for (path, groups) in [("/a/1", r#""say \"red\"", "blue""#), ("/a/2", "\"blue\""), ("/a/3", "\"green\"")] {
        world.origin.put(path, Reply::new("x").with("cache-groups", groups));
    }
    world.origin.put("/done", Reply::new("ok").with("cache-group-invalidation", r#""say \"red\"", "green""#));
    world.origin.put("/failed", Reply::new("no").status(409).with("cache-group-invalidation", "\"blue\""));
    let hits = async || {
        let mut hits = Vec::new();
        for path in ["/a/1", "/a/2", "/a/3"] {
            let elsewhere = world.http.get(format!("http://{other}{path}")).send().await.unwrap();
            let is_hit = |answer: &reqwest::Response| cache_status(answer).starts_with("hit");
            hits.push((is_hit(&world.get(path).await), is_hit(&elsewhere)));
        }
        world.settled().await;
        hits
    };
    hits().await;
    assert_eq!(hits().await, [(true, true); 3]);
    // An answer that is kept has no say, nor has a change that did not happen.
    assert_eq!(world.get("/done").await.status(), 200);
    let post = async |path: &str| world.http.post(world.url(path)).body("x").send().await.unwrap().status();
    assert_eq!(post("/failed").await, 409);
    assert_eq!(hits().await, [(true, true); 3]);
    assert_eq!(post("/done").await, 200);
    assert_eq!(hits().await, [(false, true), (true, true), (false, true)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_is_forgotten_though_who_changed_it_has_left() {
    let world = World::with(|config| config.fronts[0].writes = true).await;
    world.origin.put("/a/1", Reply::new("x").with("cache-groups", "\"red\""));
    world.get("/a/1").await;
    world.settled().await;
    assert!(cache_status(&world.get("/a/1").await).starts_with("hit"));
    let gate = watch::Sender::new(false);
    let done = Reply::new("ok").with("cache-group-invalidation", "\"red\"").gated(None, &gate);
    world.origin.put("/done", done);
    let mut hasty = TcpStream::connect(world.edge()).await.unwrap();
    hasty.write_all(b"POST /done HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    let asked = async |wanted: usize| {
        eventually(PATIENCE, || async {
            let asked = world.origin.asked("/done").len();
            if asked == wanted { Ok(()) } else { Err(format!("{asked} times")) }
        })
        .await;
    };
    asked(1).await;
    drop(hasty);
    assert!(cache_status(&world.get("/a/1").await).starts_with("hit"));
    gate.send_replace(true);
    eventually(PATIENCE, || async {
        let status = cache_status(&world.get("/a/1").await);
        if status.starts_with("fwd") { Ok(()) } else { Err(status) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_turns_off_neither_keeping_nor_sharing() {
    let world = World::start().await;
    let asked = async || {
        let figures = world.figures().await;
        figures.misses + figures.collapsed
    };
    for status in [500, 503] {
        let path = format!("/a/{status}");
        world.origin.put(&path, Reply::new("away").status(status));
        assert_eq!(world.get(&path).await.status(), status);
        world.settled().await;
        let (before, gate) = (asked().await, watch::Sender::new(false));
        world.origin.put(&path, Reply::new("back").gated(None, &gate));
        let viewers = join_all((0..50).map(|_| world.get(&path)));
        let open = async {
            eventually(PATIENCE, || async {
                let waiting = asked().await - before;
                if waiting == 50 { Ok(()) } else { Err(format!("{waiting} wait for one fetch")) }
            })
            .await;
            gate.send_replace(true);
        };
        let (answers, ()) = tokio::join!(viewers, open);
        assert!(answers.iter().all(|answer| answer.status() == 200));
        assert_eq!(world.origin.asked(&path).len(), 2, "one fetch for all, behind the one that failed");
        world.settled().await;
        assert!(cache_status(&world.get(&path).await).starts_with("hit"));
    }
}
