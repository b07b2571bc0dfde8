//! `GET /assets?filter=&sort=`, `GET /facets`.

use std::time::{Duration, Instant};

use flame_api::Page;
use flame_api::metadata::{Asset, Facets, NewAsset};
use flame_metadata::config::SearchConfig;
use flame_metadata::filter::Filter;
use flame_service_host::config::Span;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reqwest::Method;
use serde_json::{Value, json as value};
use uuid::Uuid;

use crate::world::{On, World, json, new_asset, new_version, problem};

impl World {
    async fn ask(&self, path: &str, query: &[(&str, &str)]) -> reqwest::Response {
        self.request(Method::GET, path).query(query).send().await.expect("the service answers")
    }

    /// All titles that a query gives, over pages of `limit`.
    async fn found(&self, query: &[(&str, &str)], limit: &str) -> Vec<String> {
        let (mut titles, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let mut query = [query, &[("limit", limit)]].concat();
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page: Page<Asset> = json(self.ask("/assets", &query).await, 200).await;
            titles.extend(page.items.into_iter().map(|asset| asset.title));
            cursor = page.next_cursor;
            if cursor.is_none() {
                return titles;
            }
        }
    }

    async fn describe(&self, title: &str, patch: &Value) -> Uuid {
        let asset = self.register(title).await;
        let path = format!("/assets/{}", asset.id);
        let edit = self.request(Method::PATCH, &path).header("if-match", "*").json(patch);
        json::<Asset>(edit.send().await.unwrap(), 200).await.id
    }
}

/// Five assets, the last one plays.
async fn five(world: &World) {
    let pier = value!({ "name": "Pier", "geo": { "latitude": 51.45, "longitude": -2.6 } });
    let london = value!({ "name": "London", "geo": { "latitude": 51.507, "longitude": -0.128 } });
    world
        .describe(
            "one",
            &value!({ "record": { "keywords": ["sea", "wind"], "contentLocation": [pier] }, "custom": { "n": 1 } }),
        )
        .await;
    world
        .describe(
            "two",
            &value!({ "record": { "keywords": ["sea"], "dateCreated": "2026-05" }, "custom": { "n": "2" } }),
        )
        .await;
    world
        .describe(
            "three",
            &value!({ "record": { "contentLocation": [london] }, "custom": { "n": 3, "deep": { "er": [true] } } }),
        )
        .await;
    world
        .describe("four", &value!({ "protected": true, "record": { "inLanguage": ["de"] }, "custom": { "n": [4, 5] } }))
        .await;
    let plays = world.describe("five", &value!({ "record": { "keywords": ["Sea Wind"] } })).await;
    json::<Asset>(
        world.send(Method::PUT, &format!("/assets/{plays}/versions/0123456789ab"), &new_version()).await,
        201,
    )
    .await;
}

async fn a_filter_looks_at_core_technical_and_custom_fields(on: On) {
    let world = World::start(on).await;
    five(&world).await;
    let cases: [(&str, &[&str]); 17] = [
        ("record.keywords = sea", &["two", "one"]),
        ("record.keywords ~ sea", &["five", "two", "one"]),
        ("custom.n >= 3", &["four", "three"]),
        ("custom.n = 2", &["two"]),
        ("not exists(custom.n)", &["five"]),
        ("custom.deep.er = true or protected = true", &["four", "three"]),
        ("state = ready and version.tracks.height = 720 and version.chain = ladder", &["five"]),
        ("version.tracks.height = 721", &[]),
        ("record.dateCreated < 2026-06", &["two"]),
        ("record.inLanguage in (fr, de)", &["four"]),
        ("near(record.contentLocation, 51.46, -2.6, 20km)", &["one"]),
        ("within(record.contentLocation, 50, -4, 52, 1)", &["three", "one"]),
        ("probe.video.height = 720 and source.size_bytes > 1000000", &["five", "four", "three", "two", "one"]),
        ("created_at < 2020", &[]),
        ("revision = 1 or revision > 2", &["five"]),
        ("source.file_name ~ 'clip.mp4' and not title in (one, two, three)", &["five", "four"]),
        (" ", &["five", "four", "three", "two", "one"]),
    ];
    for (filter, titles) in cases {
        for limit in ["1", "3", "50"] {
            assert_eq!(world.found(&[("filter", filter)], limit).await, titles, "{filter}");
        }
    }
    assert_eq!(world.found(&[("filter", "custom.n = 1"), ("q", "on"), ("state", "registered")], "9").await, ["one"]);
    assert_eq!(world.found(&[("filter", "custom.n = 1"), ("state", "ready")], "9").await, [""; 0]);
}

async fn an_order_holds_over_all_pages_and_what_is_missing_comes_last(on: On) {
    let world = World::start(on).await;
    five(&world).await;
    let cases: [(&str, &[&str]); 5] = [
        ("title", &["five", "four", "one", "three", "two"]),
        ("-title", &["two", "three", "one", "four", "five"]),
        ("custom.n", &["one", "three", "four", "two", "five"]),
        ("-custom.n,title", &["two", "four", "three", "one", "five"]),
        ("created_at", &["one", "two", "three", "four", "five"]),
    ];
    for (sort, titles) in cases {
        for limit in ["1", "2", "50"] {
            assert_eq!(world.found(&[("sort", sort)], limit).await, titles, "{sort}");
        }
    }
    let query = [("sort", "-title"), ("filter", "exists(custom.n)"), ("q", "t")];
    assert_eq!(world.found(&query, "1").await, ["two", "three"]);
}

async fn values_are_counted_and_the_tenant_s_own(on: On) {
    let mut world = World::start(on).await;
    world.act_for(Some("acme"));
    world.describe("theirs", &value!({ "record": { "keywords": ["sea"] } })).await;
    world.act_for(None);
    five(&world).await;
    let counts = async |query: &[(&str, &str)]| {
        let facets: Facets = json(world.ask("/facets", query).await, 200).await;
        let told = facets.facets.iter().map(|facet| {
            let values = facet.values.iter().map(|one| format!("{}:{}", one.value, one.count)).collect::<Vec<_>>();
            (values.join(" "), facet.missing)
        });
        (facets.matches.to_string(), told.collect::<Vec<_>>())
    };
    let (matches, told) = counts(&[("by", "state,record.keywords,custom.n")]).await;
    assert_eq!(matches, "5");
    assert_eq!(told[0], ("\"registered\":4 \"ready\":1".to_owned(), 0));
    assert_eq!(told[1], ("\"sea\":2 \"Sea Wind\":1 \"wind\":1".to_owned(), 2));
    assert_eq!(told[2], ("\"2\":1 1:1 3:1 4:1 5:1".to_owned(), 1));
    let (matches, told) = counts(&[("by", "title"), ("filter", "record.keywords = sea"), ("q", "t")]).await;
    assert_eq!((matches.as_str(), told[0].0.as_str()), ("1", "\"two\":1"));
    assert_eq!(counts(&[("by", "title"), ("q", "-")]).await.0, "0");
}

async fn what_one_request_looks_at_is_bounded_and_a_walk_sees_everything(on: On) {
    let world =
        World::start_with(on, |config| config.search = SearchConfig { scan: 7, matches: 3, ..config.search }).await;
    let mut rare = Vec::new();
    for number in 0..20 {
        let asset = world.register(&format!("sea {number}")).await;
        if number % 9 == 0 {
            rare.insert(0, asset.title);
        }
    }
    let filter = "title in ('sea 0', 'sea 9', 'sea 18')";
    for q in ["", "sea"] {
        for limit in ["1", "2", "50"] {
            assert_eq!(world.found(&[("filter", filter), ("q", q)], limit).await, rare, "{q} {limit}");
        }
    }
    let page: Page<Asset> = json(world.ask("/assets", &[("filter", "title = 'sea 0'")]).await, 200).await;
    assert!(page.items.is_empty() && page.next_cursor.is_some(), "it has not looked that far, and says so");
    let facets: Facets = json(world.ask("/facets", &[("by", "state")]).await, 200).await;
    assert_eq!((facets.matches.count, facets.matches.more), (3, true));
    assert_eq!(world.found(&[("sort", "title")], "50").await, ["sea 17", "sea 18", "sea 19"]);
}

async fn a_request_ends_when_its_time_is_over_and_a_walk_sees_everything(on: On) {
    let world = World::start_with(on, |config| config.search.time = Span(Duration::ZERO)).await;
    for number in 0..5 {
        world.register(&format!("sea {number}")).await;
    }
    for q in ["", "sea", "clip"] {
        let query = [("filter", "title in ('sea 0', 'sea 3')"), ("q", q)];
        assert_eq!(world.found(&query, "50").await, ["sea 3", "sea 0"], "{q}");
    }
    let page: Page<Asset> = json(world.ask("/assets", &[("filter", "title = 'sea 0'")]).await, 200).await;
    assert!(page.items.is_empty() && page.next_cursor.is_some(), "it has looked at one, and says where to go on");
    let facets: Facets = json(world.ask("/facets", &[("by", "state")]).await, 200).await;
    assert_eq!((facets.matches.count, facets.matches.more), (1, true));
}

/// The service has one thread here, and so has this test: what holds it up shows in how late a clock's ticks come.
#[tokio::test]
async fn a_filter_that_takes_long_holds_up_nobody() {
    let world = World::start(On::Sqlite).await;
    let words = "Éa ".repeat(2500);
    for number in 0..60 {
        world.describe(&number.to_string(), &value!({ "custom": { "a": words } })).await;
    }
    let terms: Vec<String> = (0..60).map(|number| format!("custom.a ~ 'x{number}'")).collect();
    let (filter, begun) = (terms.join(" or "), Instant::now());
    let query = [("filter", filter.as_str())];
    let mut asked = std::pin::pin!(world.ask("/assets", &query));
    let (mut ticks, mut last, mut longest) = (tokio::time::interval(Duration::from_millis(1)), begun, Duration::ZERO);
    loop {
        tokio::select! {
            answer = &mut asked => {
                assert_eq!(answer.status(), 200);
                break;
            }
            _ = ticks.tick() => {
                longest = longest.max(last.elapsed());
                last = Instant::now();
            }
        }
    }
    longest = longest.max(last.elapsed());
    assert!(longest * 2 < begun.elapsed(), "{longest:?} of {:?}", begun.elapsed());
}

async fn what_is_not_understood_is_refused_where_it_stands(on: On) {
    let world = World::start(on).await;
    for (query, said) in [
        (("filter", "state = ready adn x"), "character 15"),
        (("filter", "colour = red"), "`colour` is no field"),
        (("filter", "title = '"), "quotes"),
        (("sort", "title,"), "a field is expected"),
        (("sort", "colour"), "`colour` is no field"),
    ] {
        let detail = problem(world.ask("/assets", &[query]).await, 422, "unprocessable").await;
        assert!(detail.starts_with(&format!("`{}`", query.0)) && detail.contains(said), "{detail}");
    }
    problem(world.ask("/assets", &[("filter", &"x".repeat(2001))]).await, 422, "unprocessable").await;
    problem(world.ask("/assets", &[("sort", "title"), ("cursor", "x")]).await, 400, "bad-request").await;
    problem(world.ask("/facets", &[]).await, 400, "bad-request").await;
    problem(world.ask("/facets", &[("by", "nothing")]).await, 422, "unprocessable").await;
}

/// What the database gives is what the filter wants of the assets as the contract shows them: nothing was left out on the way.
async fn a_filter_finds_what_it_wants_of_the_assets_as_they_are_shown(on: On) {
    let world = World::start(on).await;
    five(&world).await;
    let other = NewAsset { title: "Été 2026".to_owned(), ..new_asset("default") };
    let mut other = NewAsset { poster_key: None, ..other };
    (other.source.file_name, other.probe.video) = (None, None);
    json::<Asset>(world.send(Method::POST, "/assets", &other).await, 201).await;
    let all: Page<Value> = json(world.get("/assets").await, 200).await;
    let term = (
        prop::sample::select(vec![
            "title",
            "state",
            "error",
            "protected",
            "revision",
            "poster_key",
            "source.file_name",
            "source.size_bytes",
            "probe.video.height",
            "probe.audio.channels",
            "record.keywords",
            "record.dateCreated",
            "custom.n",
            "custom.deep.er",
            "version.chain",
            "version.tracks.height",
            "version.tracks.kind",
            "created_at",
            "record.contentLocation.name",
            "id",
        ]),
        prop::sample::select(vec!["=", "!=", "<", ">=", "~"]),
        prop::sample::select(vec![
            "sea",
            "ready",
            "true",
            "2",
            "720",
            "3",
            "2026",
            "2026-05-01",
            "'Sea Wind'",
            "video",
            "ete",
            "ladder",
        ]),
    );
    let terms = prop::collection::vec((term, any::<bool>(), any::<bool>()), 1..4);
    let mut runner = TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
    let handle = tokio::runtime::Handle::current();
    runner
        .run(&terms, |terms| {
            let mut text = String::new();
            for (at, ((field, sign, literal), negated, both)) in terms.into_iter().enumerate() {
                let joined = if at == 0 {
                    ""
                } else if both {
                    " and "
                } else {
                    " or "
                };
                text += &format!("{joined}{}{field} {sign} {literal}", if negated { "not " } else { "" });
            }
            let filter = Filter::parse(&text).unwrap();
            let wanted: Vec<&str> = all
                .items
                .iter()
                .filter(|asset| filter.wants(asset))
                .map(|asset| asset["title"].as_str().unwrap())
                .collect();
            let found = tokio::task::block_in_place(|| handle.block_on(world.found(&[("filter", &text)], "50")));
            prop_assert_eq!(found, wanted, "{}", text);
            Ok(())
        })
        .unwrap();
}

on_each_database! {
    a_filter_looks_at_core_technical_and_custom_fields,
    an_order_holds_over_all_pages_and_what_is_missing_comes_last,
    values_are_counted_and_the_tenant_s_own,
    what_one_request_looks_at_is_bounded_and_a_walk_sees_everything,
    a_request_ends_when_its_time_is_over_and_a_walk_sees_everything,
    what_is_not_understood_is_refused_where_it_stands,
    a_filter_finds_what_it_wants_of_the_assets_as_they_are_shown,
}
