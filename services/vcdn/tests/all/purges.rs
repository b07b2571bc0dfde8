//! Purges: by URL, prefix and tag, here and in other surrogates, and across fills, stops and absences.

use flame_api::vcdn::{PurgeEntry, Purged};
use flame_service_host::config::Span;
use flame_test_kit::eventually;
use serde_json::json;
use tokio::sync::watch;

use crate::origin::Reply;
use crate::world::{PATIENCE, World, cache_status};

async fn purge(world: &World, body: serde_json::Value) -> Purged {
    let answer = world.http.post(world.api("/purges")).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{body}");
    answer.json().await.unwrap()
}

#[tokio::test]
async fn what_is_purged_is_fetched_again_and_the_rest_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::on(folder.path()).await;
    world.origin.put("/a/1", Reply::new("x").with("cache-groups", "\"red\", \"blue\""));
    world.origin.put("/a/2", Reply::new("x"));
    world.origin.put("/b/1", Reply::new("x").with("cache-groups", "\"red\""));
    let paths = ["/a/1", "/a/2", "/b/1"];
    for (body, gone) in [
        (json!({ "name": "cdn", "url": "/a/1" }), &["/a/1"][..]),
        (json!({ "name": "cdn", "prefix": "/a/" }), &["/a/1", "/a/2"]),
        (json!({ "name": "cdn", "tag": "red" }), &["/a/1", "/b/1"]),
        (json!({ "name": "cdn", "tag": "green" }), &[]),
    ] {
        for path in paths {
            assert_eq!(world.get(path).await.status(), 200);
        }
        world.settled().await;
        assert_eq!(purge(&world, body.clone()).await.objects, gone.len() as u64, "{body}");
        for path in paths {
            let is_hit = cache_status(&world.get(path).await).starts_with("hit");
            assert_eq!(is_hit, !gone.contains(&path), "{path} after {body}");
        }
        world.settled().await;
    }
    for body in [
        json!({ "name": "cdn" }),
        json!({ "name": "cdn", "url": "/a", "tag": "b" }),
        json!({ "name": "cdn", "url": "a" }),
    ] {
        let answer = world.http.post(world.api("/purges")).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 422, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_that_began_before_a_purge_is_not_kept() {
    let world = World::start().await;
    let gate = watch::Sender::new(false);
    world.origin.put("/a/1", Reply::new(vec![1; 100_000]).with("cache-groups", "\"red\"").gated(Some(1000), &gate));
    for body in [json!({ "name": "cdn", "url": "/a/1" }), json!({ "name": "cdn", "tag": "red" })] {
        gate.send_replace(false);
        let old = world.get("/a/1").await;
        purge(&world, body).await;
        gate.send_replace(true);
        assert_eq!(old.bytes().await.unwrap().len(), 100_000, "who was being served is served");
        world.settled().await;
        assert!(cache_status(&world.get("/a/1").await).starts_with("fwd"), "it was kept");
        world.settled().await;
        purge(&world, json!({ "name": "cdn", "prefix": "/" })).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_after_a_purge_of_a_group_joins_nothing_that_began_before_it() {
    let world = World::start().await;
    let red = |byte: u8| Reply::new(vec![byte; 100_000]).with("cache-groups", "\"red\"");
    let by_tag = json!({ "name": "cdn", "tag": "red" });
    // Its head is here; and not even that.
    for (path, sent) in [("/flowing", Some(1000)), ("/asking", None)] {
        let gate = watch::Sender::new(false);
        world.origin.put(path, red(1).gated(sent, &gate));
        let old = async { world.get(path).await.bytes().await.unwrap() };
        let new = async {
            eventually(PATIENCE, || async {
                let asked = world.origin.asked(path).len();
                // The head has to be here for a purge that finds it by its group.
                let joins = sent.is_none() || cache_status(&world.get(path).await).contains("collapsed");
                if asked == 1 && joins { Ok(()) } else { Err(format!("{asked} times")) }
            })
            .await;
            purge(&world, by_tag.clone()).await;
            world.origin.put(path, red(2));
            let before = world.figures().await.collapsed;
            let late = world.get(path);
            let open = async {
                if sent.is_none() {
                    // It waits for the head of the old one.
                    eventually(PATIENCE, || async {
                        let collapsed = world.figures().await.collapsed;
                        if collapsed > before { Ok(()) } else { Err("it does not wait") }
                    })
                    .await;
                    gate.send_replace(true);
                }
            };
            let (late, ()) = tokio::join!(late, open);
            assert!(!cache_status(&late).contains("collapsed") || sent.is_none(), "{path}: {}", cache_status(&late));
            let body = late.bytes().await.unwrap();
            gate.send_replace(true);
            body
        };
        let (old, new) = tokio::join!(old, new);
        assert_eq!((old[0], new[0]), (1, 2), "{path}");
        world.settled().await;
        let hit = world.get(path).await;
        assert!(cache_status(&hit).starts_with("hit"), "{path}");
        assert_eq!(hit.bytes().await.unwrap()[0], 2, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_beginning_of_a_body_goes_with_its_group() {
    let world = World::with(|config| config.upstream.resumes = 0).await;
    let red = |reply: Reply| reply.with("cache-groups", "\"red\"");
    for path in ["/before", "/meanwhile"] {
        let gate = watch::Sender::new(path == "/before");
        let reply = Reply::new(vec![1; 100_000]).broken_at(50_000, 0..10).without_ranges().gated(Some(1000), &gate);
        world.origin.put(path, red(reply));
        let broken = world.get(path).await;
        if path == "/before" {
            assert!(broken.bytes().await.is_err());
            world.settled().await;
            purge(&world, json!({ "name": "cdn", "tag": "red" })).await;
        } else {
            purge(&world, json!({ "name": "cdn", "tag": "red" })).await;
            gate.send_replace(true);
            assert!(broken.bytes().await.is_err());
            // It is no fill of the surrogate's list any more: that it has ended is seen in its figures.
            eventually(PATIENCE, || async {
                let errors = world.figures().await.errors;
                if errors >= 4 { Ok(()) } else { Err(format!("{errors} errors")) }
            })
            .await;
        }
        world.origin.put(path, red(Reply::new(vec![2; 100_000]).with("etag", "\"other\"")));
        let part = world.get_with(path, &[("range", "bytes=100-199")]).await;
        assert!(cache_status(&part).starts_with("fwd"), "{path}: {}", cache_status(&part));
        assert_eq!(part.bytes().await.unwrap(), vec![2; 100], "{path}");
        world.settled().await;
    }
}

#[tokio::test]
async fn a_purge_reaches_the_other_surrogates_and_one_that_was_away_catches_up() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let world = World::on(here.path()).await;
    let mut config = world.config.clone();
    config.cache.folder = Some(there.path().to_owned());
    let other = flame_vcdn::start(config.clone()).await.unwrap();
    world.origin.put("/a/1", Reply::new("x"));
    let at_other = async |other: &flame_vcdn::Running| {
        let url = format!("http://{}/a/1", other.fronts()["cdn.main"]);
        cache_status(&world.http.get(url).send().await.unwrap())
    };
    at_other(&other).await;
    eventually(PATIENCE, || async {
        let status = at_other(&other).await;
        if status.starts_with("hit") { Ok(()) } else { Err(status) }
    })
    .await;
    let body = json!({ "name": "cdn", "url": "/a/1" });
    eventually(PATIENCE, || async {
        let purged = purge(&world, body.clone()).await;
        if purged.peers.len() == 1 { Ok(()) } else { Err(format!("{purged:?}")) }
    })
    .await;
    assert!(at_other(&other).await.starts_with("fwd"));
    // What begins in the millisecond of a purge may have begun before it and is not kept: then the next one is.
    eventually(PATIENCE, || async {
        at_other(&other).await;
        let files = walk(there.path());
        if files == 1 { Ok(()) } else { Err(format!("{files} files")) }
    })
    .await;
    other.stop().await;
    purge(&world, body).await;
    let back = flame_vcdn::start(config).await.unwrap();
    assert!(at_other(&back).await.starts_with("fwd"), "it served what was purged while it was away");
}

#[tokio::test]
async fn who_cannot_ask_what_was_purged_asks_for_what_it_kept_once_and_goes_on() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // Nobody is where the router says that the one is which knows of the purge.
    let [nowhere] = flame_test_kit::ports::free_tcp();
    let world = World::with(|config| {
        config.cache.folder = Some(here.path().to_owned());
        config.host.advertise = Some(([127, 0, 0, 1], nowhere).into());
    })
    .await;
    let mut config = world.config.clone();
    config.host.advertise = None;
    config.cache.folder = Some(there.path().to_owned());
    let at = async |other: &flame_vcdn::Running, path: &str| {
        let answer = world.http.get(format!("http://{}{path}", other.fronts()["cdn.main"])).send().await.unwrap();
        (cache_status(&answer), answer.text().await.unwrap())
    };
    let other = flame_vcdn::start(config.clone()).await.unwrap();
    for path in ["/purged", "/kept"] {
        world.origin.put(path, Reply::new("old"));
        at(&other, path).await;
    }
    eventually(PATIENCE, || async {
        let files = walk(there.path());
        if files == 2 { Ok(()) } else { Err(format!("{files} files")) }
    })
    .await;
    other.stop().await;
    purge(&world, json!({ "name": "cdn", "url": "/purged" })).await;
    world.origin.put("/purged", Reply::new("new").with("etag", "\"new\""));
    let back = flame_vcdn::start(config.clone()).await.unwrap();
    let (status, text) = at(&back, "/purged").await;
    assert!(status.starts_with("fwd=stale") && text == "new", "{status}: {text}");
    assert_eq!(at(&back, "/kept").await, ("fwd=stale; fwd-status=304; stored".to_owned(), "old".to_owned()));
    let (status, _) = at(&back, "/kept").await;
    assert!(status.starts_with("hit"), "it was asked for once: {status}");
    back.stop().await;
    // That one is gone for good, and the router says so: there is nobody to ask.
    let World { origin, router, vcdn, http, .. } = world;
    vcdn.stop().await;
    let alone = flame_vcdn::start(config).await.unwrap();
    let answer = http.get(format!("http://{}/kept", alone.fronts()["cdn.main"])).send().await.unwrap();
    assert!(cache_status(&answer).starts_with("hit"), "{}", cache_status(&answer));
    drop((origin, router));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_upstream_is_away_what_may_have_been_purged_is_waited_for_once() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // Nobody is where the router says that another surrogate is: what was purged cannot be known.
    let [nowhere] = flame_test_kit::ports::free_tcp();
    let world = World::with(|config| {
        config.cache.folder = Some(here.path().to_owned());
        config.host.advertise = Some(([127, 0, 0, 1], nowhere).into());
    })
    .await;
    let mut config = world.config.clone();
    config.host.advertise = None;
    config.cache.folder = Some(there.path().to_owned());
    let at = async |other: &flame_vcdn::Running, path: &str| {
        let answer = world.http.get(format!("http://{}{path}", other.fronts()["cdn.main"])).send().await.unwrap();
        (cache_status(&answer), answer.text().await.unwrap())
    };
    let other = flame_vcdn::start(config.clone()).await.unwrap();
    let paths = ["/film/1", "/film/2", "/film/3"];
    for path in paths {
        world.origin.put(path, Reply::new("old"));
        at(&other, path).await;
    }
    eventually(PATIENCE, || async {
        let files = walk(there.path());
        if files == paths.len() { Ok(()) } else { Err(format!("{files} files")) }
    })
    .await;
    other.stop().await;
    let gate = watch::Sender::new(false);
    for path in paths {
        world.origin.put(path, Reply::new("old").gated(None, &gate));
    }
    config.upstream.answer_timeout = Span(std::time::Duration::from_millis(500));
    let back = flame_vcdn::start(config).await.unwrap();
    assert_eq!(at(&back, paths[0]).await, ("fwd=stale; detail=stale-if-error".to_owned(), "old".to_owned()));
    for path in paths {
        let (status, text) = at(&back, path).await;
        let is_at_once = status.starts_with("hit; ttl=") && status.ends_with("; detail=stale-if-error");
        assert!(is_at_once && text == "old", "{path}: {status}: {text}");
    }
    assert_eq!(world.origin.asked(paths[1]).len(), 1, "whoever wants another thing does not wait either");
    gate.send_replace(true);
    for path in paths {
        eventually(PATIENCE, || async {
            let (status, _) = at(&back, path).await;
            if status.starts_with("hit") && !status.contains("detail") { Ok(()) } else { Err(status) }
        })
        .await;
    }
    back.stop().await;
}

#[tokio::test]
async fn a_router_that_has_just_started_is_not_believed_that_there_is_no_other_surrogate() {
    let folder = tempfile::tempdir().unwrap();
    let alone_after = Span(std::time::Duration::from_secs(2));
    let world = World::with(|config| {
        config.cache.folder = Some(folder.path().to_owned());
        config.cache.alone_after = alone_after;
    })
    .await;
    // More than are looked at until it is believed.
    let paths: Vec<String> = (0..1000).map(|number| format!("/film/{number}")).collect();
    for path in &paths {
        world.origin.put(path, Reply::new("x"));
        assert_eq!(world.get(path).await.status(), 200);
    }
    eventually(PATIENCE, || async {
        let files = walk(folder.path());
        if files == paths.len() { Ok(()) } else { Err(format!("{files} files")) }
    })
    .await;
    let world = world.restart().await;
    let mut untouched = paths.iter();
    let began = std::time::Instant::now();
    let first = world.get(untouched.next().unwrap()).await;
    assert_eq!(cache_status(&first), "fwd=stale; fwd-status=304; stored");
    let untouched = std::cell::RefCell::new(untouched);
    eventually(PATIENCE, || async {
        let path = untouched.borrow_mut().next().expect("there are more than are looked at");
        let status = cache_status(&world.get(path).await);
        if status.starts_with("hit") { Ok(()) } else { Err(status) }
    })
    .await;
    assert!(began.elapsed() >= alone_after.0, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_purge_says_whether_there_may_be_others_that_were_not_told() {
    let world = World::with(|config| config.cache.alone_after = Span(std::time::Duration::from_secs(3))).await;
    let body = json!({ "name": "cdn", "url": "/a/1" });
    let told = |purged: Purged| (purged.peers.len(), purged.unreached.len(), purged.all_known);
    // The router has only just begun to list this one: others may be on their way.
    assert_eq!(told(purge(&world, body.clone()).await), (0, 0, false));
    eventually(PATIENCE, || async {
        let told = told(purge(&world, body.clone()).await);
        if told == (0, 0, true) { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;
    // Nobody is where it says that another one is: that one is known, and not told.
    let [nowhere] = flame_test_kit::ports::free_tcp();
    let registration = flame_api::router::Registration::new(([127, 0, 0, 1], nowhere).into(), 1, 60_000);
    let router = format!("http://{}", world.router.address()).parse().unwrap();
    flame_api::Client::new(router, None).register("vcdn", "other", &registration).await.unwrap();
    assert_eq!(told(purge(&world, body.clone()).await), (0, 1, true));
    // Without the router nobody is known at all; here the purge is done all the same.
    let World { origin, router, vcdn, http, .. } = world;
    router.stop().await;
    let answer = http.post(format!("http://{}/purges", vcdn.address())).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(told(answer.json().await.unwrap()), (0, 0, false));
    drop(origin);
}

#[tokio::test]
async fn a_purge_that_is_asked_for_again_by_its_id_is_done_and_held_once() {
    let world = World::start().await;
    world.origin.put("/a/1", Reply::new("x"));
    let is_kept = async || {
        eventually(PATIENCE, || async {
            let status = cache_status(&world.get("/a/1").await);
            if status.starts_with("hit") { Ok(()) } else { Err(status) }
        })
        .await;
    };
    let id = uuid::Uuid::new_v4();
    let body = json!({ "name": "cdn", "url": "/a/1", "id": id });
    is_kept().await;
    let first = purge(&world, body.clone()).await;
    assert_eq!((first.id, first.objects), (id, 1));
    is_kept().await;
    // Nobody is where the router says that another one is: whoever does not have it is told of a repeat, too.
    let [nowhere] = flame_test_kit::ports::free_tcp();
    let registration = flame_api::router::Registration::new(([127, 0, 0, 1], nowhere).into(), 1, 60_000);
    let router = format!("http://{}", world.router.address()).parse().unwrap();
    flame_api::Client::new(router, None).register("vcdn", "other", &registration).await.unwrap();
    let again = purge(&world, body).await;
    assert_eq!((again.id, again.objects, again.unreached.len()), (id, 0, 1));
    assert!(cache_status(&world.get("/a/1").await).starts_with("hit"), "what was kept since was dropped");
    let other = json!({ "name": "cdn", "url": "/a/2", "id": id });
    let refused = world.http.post(world.api("/purges")).json(&other).send().await.unwrap();
    assert_eq!(refused.status(), 409);
    let log = world.http.get(world.api("/purges")).send().await.unwrap();
    let log: Vec<PurgeEntry> = log.json().await.unwrap();
    assert_eq!(log.iter().map(|entry| (entry.id, entry.purge.id)).collect::<Vec<_>>(), [(id, None)]);
}

#[tokio::test]
async fn a_purge_just_after_a_restart_of_the_router_does_not_count_as_told_to_all() {
    // It looks at nobody by itself meanwhile, so what it knows of the router is older than that one's restart.
    let world = World::with(|config| {
        config.cache.alone_after = Span(std::time::Duration::from_secs(8));
        config.cache.purges_every = Span(std::time::Duration::from_secs(3600));
    })
    .await;
    let body = json!({ "name": "cdn", "url": "/a/1" });
    eventually(PATIENCE, || async {
        let told = purge(&world, body.clone()).await;
        if told.all_known { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;
    let World { origin, router, vcdn, http, .. } = world;
    let address = router.address();
    router.stop().await;
    let mut config = flame_router::Config::default();
    config.host.listen = address;
    let router = flame_router::start(config).await.unwrap();
    let client = flame_api::Client::new(format!("http://{address}").parse().unwrap(), None);
    eventually(PATIENCE, || async {
        let listed = client.endpoints().await.unwrap().items;
        if listed.iter().any(|one| one.name == "vcdn.main") { Ok(()) } else { Err(format!("{listed:?}")) }
    })
    .await;
    let purge = async || -> Purged {
        let answer = http.post(format!("http://{}/purges", vcdn.address())).json(&body).send().await.unwrap();
        answer.json().await.unwrap()
    };
    assert!(!purge().await.all_known, "others may still be on their way back");
    eventually(PATIENCE, || async { if purge().await.all_known { Ok(()) } else { Err("not all are known") } }).await;
    router.stop().await;
    drop(origin);
}

#[tokio::test]
async fn a_surrogate_that_could_not_be_told_asks_while_it_runs() {
    let world = World::start().await;
    let mut config = world.config.clone();
    // Nobody is where the router says that it is: the way to it is cut, the one from it is not.
    let [nowhere] = flame_test_kit::ports::free_tcp();
    config.host.advertise = Some(([127, 0, 0, 1], nowhere).into());
    config.cache.purges_every = Span(std::time::Duration::from_millis(50));
    let other = flame_vcdn::start(config).await.unwrap();
    world.origin.put("/a/1", Reply::new("x"));
    let at_other = async || {
        let url = format!("http://{}/a/1", other.fronts()["cdn.main"]);
        cache_status(&world.http.get(url).send().await.unwrap())
    };
    let is = async |wanted: &str| {
        eventually(PATIENCE, || async {
            let status = at_other().await;
            if status.starts_with(wanted) { Ok(()) } else { Err(status) }
        })
        .await;
    };
    is("hit").await;
    eventually(PATIENCE, || async {
        let purged = purge(&world, json!({ "name": "cdn", "url": "/a/1" })).await;
        if purged.unreached.len() == 1 { Ok(()) } else { Err(format!("{purged:?}")) }
    })
    .await;
    is("fwd").await;
    is("hit").await;
    // It has the whole log, and is told that nothing was noted since.
    let log = world.http.get(world.api("/purges")).send().await.unwrap();
    let again = world.http.get(world.api("/purges")).header("if-none-match", &log.headers()["etag"]);
    assert_eq!(again.send().await.unwrap().status(), 304);
    other.stop().await;
}

/// Objects on disk.
fn walk(folder: &std::path::Path) -> usize {
    let tenant = folder.join("default");
    let shelves = std::fs::read_dir(tenant).unwrap().flatten().filter(|entry| entry.file_name().len() == 2);
    shelves.map(|shelf| std::fs::read_dir(shelf.path()).unwrap().count()).sum()
}
