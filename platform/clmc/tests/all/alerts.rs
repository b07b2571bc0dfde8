//! `/alerts`: a document is put, and whoever it names is told when a condition begins to hold, and when it holds no more.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{StatusCode, Uri};
use flame_service_host::config::Span;
use flame_test_kit::eventually;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::world::{World, now_ns};

const LATENESS: Duration = Duration::from_millis(200);

/// Path, message, when it came.
type Told = (String, Value, i64);

/// A handler that is busy the first time it is told something.
async fn handler() -> (String, Arc<Mutex<Vec<Told>>>) {
    let told: Arc<Mutex<Vec<Told>>> = Arc::default();
    let noted = Arc::clone(&told);
    let take = async move |uri: Uri, body: String| {
        let mut told = noted.lock().unwrap();
        told.push((uri.path().to_owned(), serde_json::from_str(&body).unwrap(), now_ns()));
        if told.len() == 1 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::NO_CONTENT }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Ends with the test's runtime.
    tokio::spawn(async { axum::serve(listener, axum::Router::new().fallback(take)).await });
    (format!("http://{address}"), told)
}

fn document(handlers: &str) -> String {
    format!(
        "tosca_definitions_version: tosca_simple_profile_for_nfv_1_0_0
imports: [ flame_clmc_alerts_definitions.yaml ]
metadata: {{ sfc: vr, sfci: premium }}
topology_template:
  policies:
    - scale:
        type: eu.ict-flame.policies.StateChange
        triggers:
          slow:
            event_type: threshold
            metric: nginx.response_time
            condition:
              threshold: 10
              granularity: 1
              aggregation_method: mean
              resource_type: {{ flame_location: watershed }}
              comparison_operator: gt
            action:
              implementation: [ {handlers} ]
    - dead:
        type: eu.ict-flame.policies.Alert
        triggers:
          silent:
            event_type: deadman
            metric: nobody.*
            condition: {{ threshold: 0, granularity: 1 }}
            action: {{ implementation: [ {handlers} ] }}
"
    )
}

async fn world(sfemc: &str) -> World {
    let sfemc = sfemc.parse().unwrap();
    World::start_with(|config| {
        config.alerts.lateness = Span(LATENESS);
        config.alerts.retry = Span(Duration::from_millis(50));
        config.alerts.sfemc = Some(sfemc);
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_named_is_told_within_a_second_of_closing_the_window() {
    let (base, told) = handler().await;
    let world = world(&base).await;
    let put = world.write("/alerts", &document("flame_sfemc")).await;
    assert_eq!(put.status(), 201, "{}", put.text().await.unwrap());
    assert_eq!(world.write("/alerts", &document("flame_sfemc")).await.status(), 200, "again, in its place");
    let value = Arc::new(Mutex::new(50.0));
    let stop = CancellationToken::new();
    let writing = {
        let (http, url, value, stop) =
            (world.http.clone(), format!("{}/write?db=vr", world.base()), Arc::clone(&value), stop.clone());
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_millis(100));
            while stop.run_until_cancelled(tick.tick()).await.is_some() {
                let slow = *value.lock().unwrap();
                // Other places, and other instances of the chain, are no concern of the condition's.
                let lines = format!(
                    "nginx,flame_location=watershed,flame_sfci=premium response_time={slow}\n\
                     nginx,flame_location=elsewhere,flame_sfci=premium response_time=1\n\
                     nginx,flame_location=watershed,flame_sfci=basic response_time=-1000\n"
                );
                assert_eq!(http.post(&url).body(lines).send().await.unwrap().status(), 204);
            }
        })
    };
    let of = |id: &str| {
        told.lock().unwrap().iter().filter(|(_, message, _)| message["id"] == id).cloned().collect::<Vec<Told>>()
    };
    eventually(Duration::from_secs(15), || {
        let found = (of("slow").len(), of("silent").len());
        async move { if found.0 >= 1 && found.1 >= 1 { Ok(()) } else { Err(format!("{found:?}")) } }
    })
    .await;
    let (path, message, came_ns) = of("slow").remove(0);
    assert_eq!(path, "/vr/scale/slow");
    assert_eq!(
        (&message["level"], &message["message"], &message["data"]["series"][0]["values"][0][1]),
        (&"CRITICAL".into(), &"TRUE".into(), &50.0.into())
    );
    let closed =
        time::OffsetDateTime::parse(message["time"].as_str().unwrap(), &time::format_description::well_known::Rfc3339)
            .unwrap();
    let closed_ns = closed.unix_timestamp_nanos() as i64 + LATENESS.as_nanos() as i64;
    let late_ms = (came_ns - closed_ns) / 1_000_000;
    assert!((0..1000).contains(&late_ms), "{late_ms} ms after the window closed");
    // Who was busy is told again.
    eventually(Duration::from_secs(15), || {
        let tries = told.lock().unwrap().len();
        async move { if tries >= 3 { Ok(()) } else { Err(format!("{tries} messages")) } }
    })
    .await;
    *value.lock().unwrap() = 1.0;
    eventually(Duration::from_secs(15), || {
        let levels: Vec<_> = of("slow").iter().map(|(_, message, _)| message["level"].clone()).collect();
        async move { if levels.last() == Some(&"OK".into()) { Ok(()) } else { Err(format!("{levels:?}")) } }
    })
    .await;
    stop.cancel();
    writing.await.unwrap();
    let listed: Value = world.get("/alerts").await.json().await.unwrap();
    assert_eq!(listed["items"][0]["triggers"][0]["level"], "OK", "{listed}");
    assert_eq!(listed["items"][0]["triggers"][1]["level"], "CRITICAL", "{listed}");
}

#[tokio::test]
async fn documents_are_kept_replaced_and_removed() {
    let folder = flame_test_kit::Scratch::new("clmc-alerts");
    let mut config = flame_clmc::Config::default();
    config.store.folder = folder.join("store");
    config.alerts.handler_hosts = vec!["127.0.0.1".to_owned()];
    let url = |running: &flame_service_host::Running, path: &str| format!("http://{}{path}", running.address());
    let http = reqwest::Client::new();
    let running = flame_clmc::start(config.clone()).await.unwrap();
    let put = async |text: String| http.post(url(&running, "/alerts")).body(text).send().await.unwrap();
    assert_eq!(put(document("http://127.0.0.1:9/x")).await.status(), 201);
    let refused: Value = put(document("http://192.0.2.1/x")).await.json().await.unwrap();
    assert!(refused["detail"].as_str().unwrap().contains("192.0.2.1"), "{refused}");
    let refused: Value =
        put(document("flame_sfemc").replace("threshold: 10", "threshold: ten")).await.json().await.unwrap();
    assert_eq!(
        (&refused["status"], refused["detail"].as_str().unwrap().starts_with("line 13, column ")),
        (&422.into(), true),
        "{refused}"
    );
    running.stop().await;
    let running = flame_clmc::start(config).await.unwrap();
    let list = async || http.get(url(&running, "/alerts")).send().await.unwrap().json::<Value>().await.unwrap();
    assert_eq!(list().await["items"][0]["sfci"], "premium");
    let delete = async || http.delete(url(&running, "/alerts/vr/premium")).send().await.unwrap().status();
    assert_eq!((delete().await.as_u16(), delete().await.as_u16()), (204, 404));
    assert_eq!(list().await["items"].as_array().unwrap().len(), 0);
    running.stop().await;
}
