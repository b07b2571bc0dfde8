//! `POST /write`, `POST /api/v2/write`: what Telegraf and the clients of InfluxDB send, and what they are told.

use std::io::Write;

use flame_service_host::config::Bytes;
use flame_test_kit::eventually;
use serde_json::{Value, json};

use crate::world::{World, now_ns};

#[tokio::test]
async fn both_paths_write_plain_and_packed_in_every_unit() {
    let world = World::start().await;
    let now_s = now_ns() / 1_000_000_000;
    world.wrote("db", &format!("m,host=a v=1 {}", now_s * 1_000_000_000)).await;
    let answer = world.write("/write?db=db&precision=s&u=x&p=y", &format!("m,host=a v=2 {}", now_s + 1)).await;
    assert_eq!(answer.status(), 204);
    let answer = world
        .write(
            "/api/v2/write?bucket=db/autogen&org=flame&precision=ms",
            &format!("m,host=a v=3 {}", (now_s + 2) * 1000),
        )
        .await;
    assert_eq!(answer.status(), 204);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(format!("m,host=a v=4 {}\n", (now_s + 3) * 1_000_000).as_bytes()).unwrap();
    let request =
        world.http.post(format!("{}/write?db=db&precision=u", world.base())).header("content-encoding", "gzip");
    assert_eq!(request.body(packed.finish().unwrap()).send().await.unwrap().status(), 204);
    let asked = world.ask("db", "SELECT v FROM m").await;
    let rows: Vec<_> = (0..4).map(|at| json!([(now_s + at) * 1_000_000_000, at as f64 + 1.0])).collect();
    assert_eq!(asked["results"][0]["series"][0]["values"], Value::Array(rows));
    // Without a time: that of the arrival, in the unit of the others.
    assert_eq!(world.write("/write?db=db&precision=s", "n v=1").await.status(), 204);
    let asked = world.ask("db", "SELECT v FROM n").await;
    let time_ns = asked["results"][0]["series"][0]["values"][0][0].as_i64().unwrap();
    assert!(time_ns % 1_000_000_000 == 0 && (time_ns - now_ns()).abs() < 60_000_000_000, "{time_ns}");
}

#[tokio::test]
async fn wrong_lines_are_named_and_the_others_are_written() {
    let world = World::start().await;
    let now = now_ns();
    world.wrote("db", &format!("m v=1 {now}")).await;
    let lines = format!("m v=2 {}\nm v=\nm v=3i {}\n\nm,host v=1\nm v=4 {}\nm v=5 1\n", now + 1, now + 2, now + 3);
    let answer = world.write("/write?db=db", &lines).await;
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    assert!(answer.headers().contains_key("x-influxdb-error"));
    let body: Value = answer.json().await.unwrap();
    let named: Vec<_> = body["lines"].as_array().unwrap().iter().map(|it| it["line"].as_u64().unwrap()).collect();
    assert_eq!(named, [2, 5, 3, 7], "{body}");
    for reason in ["unable to parse 'm v='", "field type conflict", "points beyond retention policy", "dropped=2"] {
        assert!(body["error"].as_str().unwrap().contains(reason), "{reason}: {body}");
    }
    let asked = world.ask("db", "SELECT count(v) FROM m").await;
    assert_eq!(asked["results"][0]["series"][0]["values"][0][1], 3);
}

#[tokio::test]
async fn what_cannot_be_taken_at_all_is_refused_with_a_reason() {
    let world = World::start_with(|config| {
        config.write.body_max = Bytes(1000);
        config.store.create_on_write = false;
    })
    .await;
    let error = |answer: reqwest::Response| async {
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.unwrap();
        (status, body["error"].as_str().unwrap().to_owned())
    };
    let (status, reason) = error(world.write("/write?db=nowhere", "m v=1").await).await;
    assert_eq!((status, reason.as_str()), (404, "database not found: \"nowhere\""));
    world.ask("", "CREATE DATABASE db").await;
    assert_eq!(error(world.write("/write", "m v=1").await).await.0, 400);
    assert_eq!(error(world.write("/api/v2/write?org=x", "m v=1").await).await.0, 400);
    assert_eq!(error(world.write("/write?db=db&precision=days", "m v=1").await).await.0, 400);
    assert_eq!(error(world.write("/write?db=db", &"m v=1\n".repeat(400)).await).await.0, 413);
    // Small when it is packed, and too large when it is not.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all("m v=1\n".repeat(2000).as_bytes()).unwrap();
    let request = || world.http.post(format!("{}/write?db=db", world.base())).header("content-encoding", "gzip");
    assert_eq!(error(request().body(packed.finish().unwrap()).send().await.unwrap()).await.0, 413);
    assert_eq!(error(request().body("no gzip").send().await.unwrap()).await.0, 400);
    assert_eq!(
        error(world.http.post(format!("{}/write?db=db", world.base())).body(vec![0xff, 0xfe]).send().await.unwrap())
            .await
            .0,
        400
    );
    assert_eq!(world.ask("db", "SHOW MEASUREMENTS").await, json!({ "results": [{ "statement_id": 0 }] }));
}

#[tokio::test]
async fn what_was_done_is_measured() {
    let world = World::start().await;
    world.wrote("db", &format!("m v=1 {}\nm v=2 {}", now_ns(), now_ns() + 1)).await;
    world.write("/write?db=db", "m").await;
    eventually(std::time::Duration::from_secs(5), || async {
        let text = world.get("/metrics").await.text().await.unwrap();
        let wanted =
            ["flame_points_accepted_total{service=\"clmc\"} 2", "flame_points_rejected_total{service=\"clmc\"} 1"];
        if wanted.iter().all(|wanted| text.contains(wanted)) { Ok(()) } else { Err(text) }
    })
    .await;
    assert_eq!(world.get("/ping").await.headers()["x-influxdb-version"], "1.8.10");
}
