//! What callers and operators build on: the OpenAPI document, the example configuration, the name behind the router.

use flame_service_host::config;
use flame_test_kit::{eventually, openapi};
use flame_vcdn::Config;

use crate::origin::Reply;
use crate::world::{PATIENCE, World, cache_status};

#[tokio::test]
async fn the_openapi_document_is_the_one_checked_in() {
    let world = World::start().await;
    let document = openapi::document(&format!("http://{}", world.vcdn.address())).await;
    openapi::check_golden("vcdn", &document);
    let operations = openapi::operations(&document);
    let open: Vec<_> = operations.iter().filter(|operation| !operation.needs_token).collect();
    assert_eq!(open.iter().map(|operation| operation.path.as_str()).collect::<Vec<_>>(), ["/purges/{id}/pulls"]);
}

#[test]
fn the_example_configuration_holds_the_defaults() {
    let file = flame_test_kit::repository().join("services/vcdn/config.example.toml");
    let example: Config = config::load("vcdn", Some(&file)).unwrap();
    let default = Config::default();
    assert_eq!(format!("{:?}", example.upstream), format!("{:?}", default.upstream));
    let cache = flame_vcdn::config::CacheConfig { folder: None, ..example.cache };
    assert_eq!(format!("{cache:?}"), format!("{:?}", default.cache));
    assert_eq!(example.host.max_connections, default.host.max_connections);
    assert_eq!(example.fronts.len(), 1);
}

#[tokio::test]
async fn viewers_reach_it_by_its_name_and_figures_say_what_they_got() {
    let world = World::start().await;
    world.origin.put("/film/1", Reply::new("one").with("location", "/film/2").status(301));
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let url = format!("http://{}/~cdn/film/1", world.router.address());
    let answer = eventually(PATIENCE, || async {
        let answer = client.get(&url).send().await.unwrap();
        if answer.status() == 301 { Ok(answer) } else { Err(answer.status().to_string()) }
    })
    .await;
    assert_eq!(answer.headers()["location"], "/~cdn/film/2", "behind the name that the viewer asked");
    world.settled().await;
    assert!(cache_status(&client.get(&url).send().await.unwrap()).starts_with("hit"));
    let stats = world.stats().await;
    assert_eq!((stats.assets[0].asset.as_str(), stats.total.misses, stats.total.hits), ("film", 1, 1));
    assert_eq!((stats.total.fetches, stats.kept[0].memory_objects), (1, 1));
    eventually(PATIENCE, || async {
        let metrics = world.http.get(world.api("/metrics")).send().await.unwrap().text().await.unwrap();
        let wanted = "flame_vcdn_requests{answer=\"hit\",tenant=\"default\",service=\"vcdn\"} 1";
        if metrics.contains(wanted) { Ok(()) } else { Err(metrics) }
    })
    .await;
}
