//! What the catalogue does not list is looked for at other sites by a few at a time: whoever makes names up takes nobody's room.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use flame_api::router::Registration;
use flame_service_host::config::Span;
use flame_streaming::config::ReplicasConfig;
use flame_test_kit::eventually;
use tokio::sync::Semaphore;

use crate::replicas::{PATIENCE, Sites};
use crate::world::VERSION;

/// Versions that are made up, all asked for at once.
const INVENTED: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn invented_versions_leave_room_for_what_is_watched() {
    let mut sites = Sites::start().await;
    let deadline = Span(Duration::from_secs(300));
    sites.edge.config.replicas = Some(ReplicasConfig { deadline, ..ReplicasConfig::default() });
    sites.edge.stream().await;
    sites.know("streaming.main", 1).await;
    let (asset, _) = sites.playable(&[4_000]).await;

    // A store of another site that takes questions, and says nothing until the gate opens.
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let routes = Router::new().fallback(move |request: Request| {
        let held = Arc::clone(&held);
        async move {
            if request.uri().path().ends_with("objects") {
                drop(held.acquire().await);
            }
            StatusCode::MISDIRECTED_REQUEST
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let registration = Registration::new(listener.local_addr().unwrap(), 1, 60_000);
    let serving = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    sites.cloud.client().register("store", "silent", &registration).await.unwrap();
    sites.know("store.main", 2).await;

    let refused = Arc::new(AtomicUsize::new(0));
    let ask = |path: String| {
        let (request, refused) = (sites.http.get(sites.edge.url(&path)), Arc::clone(&refused));
        tokio::spawn(async move {
            let answer = request.send().await.unwrap();
            let (status, said) = (answer.status(), answer.text().await.unwrap());
            let is_refused = status == 503 && said.contains("does not list");
            refused.fetch_add(usize::from(is_refused), Ordering::Relaxed);
            is_refused
        })
    };
    let asking: Vec<_> = (1..=INVENTED).map(|number| ask(format!("{asset}/{number:012x}/v/0.m4s"))).collect();
    eventually(PATIENCE, || async {
        let refused = refused.load(Ordering::Relaxed);
        if refused > 0 { Ok(()) } else { Err("all that was made up is looked for".to_owned()) }
    })
    .await;
    let watched = ask(format!("{asset}/{VERSION}/v/0.m4s"));
    gate.close();
    for one in asking {
        one.await.unwrap();
    }
    assert!(!watched.await.unwrap(), "what is listed has room of its own");
    serving.abort();
    sites.stop().await;
}
