//! What is written here is found in the stores outside, with its database made there; one that is away holds up nobody, gets what
//! waits when it is back, and what there was no room for is counted.

use std::time::Duration;

use flame_clmc::config::ForwardConfig;
use flame_service_host::config::{Bytes, Span};
use flame_test_kit::{Scratch, eventually, loud_skip, ports};
use serde_json::Value;

use crate::judges::differs;
use crate::servers::{influxdb, victoria_metrics};
use crate::world::{World, ask, now_ns};

const WAIT: Duration = Duration::from_secs(60);

fn forward(port: u16, buffer: u64) -> ForwardConfig {
    ForwardConfig {
        url: format!("http://127.0.0.1:{port}/write").parse().unwrap(),
        token: None,
        buffer: Bytes(buffer),
        retry: Span(Duration::from_millis(50)),
        timeout: Span(Duration::from_secs(10)),
    }
}

/// The value of one of the service's own measurements.
async fn figure(world: &World, name: &str) -> f64 {
    let text = world.get("/metrics").await.text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with(name));
    let line = line.unwrap_or_else(|| panic!("{name} is not among\n{text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

async fn until_figure(world: &World, name: &'static str, wanted: f64) {
    eventually(WAIT, || async move {
        let found = figure(world, name).await;
        if (found - wanted).abs() < 0.5 { Ok(()) } else { Err(format!("{name} is {found}, not {wanted}")) }
    })
    .await;
}

#[tokio::test]
async fn what_is_written_is_found_in_influxdb_and_in_victoria_metrics() {
    let (influx, victoria) = (Scratch::new("clmc-forward-influx"), Scratch::new("clmc-forward-victoria"));
    let [influx_port, victoria_port] = ports::free_tcp();
    let Some((_influxd, influx_base)) = influxdb(&influx, influx_port).await else {
        return loud_skip("influxd is not installed (tools/deps test)");
    };
    let Some((_victoria, victoria_base)) = victoria_metrics(&victoria, victoria_port).await else {
        return loud_skip("victoria-metrics is not installed (tools/deps test)");
    };
    let world = World::start_with(|config| {
        config.forward = vec![forward(influx_port, 1 << 20), forward(victoria_port, 1 << 20)];
    })
    .await;
    // InfluxDB has no database of this name, and says 200 to the making of it: it holds up nothing of the others.
    world.wrote("..", "m v=1\n").await;
    let begin_ns = now_ns() / 1_000_000_000 * 1_000_000_000 - 60_000_000_000;
    let lines: String = (0..50)
        .map(|n| format!("nginx,flame_location=here\\ and\\ there v={n}.5,n={n}i {}\n", begin_ns + n * 1_000_000_000))
        .collect();
    // Wrong lines cost themselves alone here, and are not told there.
    let wrong = format!("{lines}nginx v=\"text\" {begin_ns}\nnonsense\n");
    assert_eq!(world.write("/write?db=sh%20op", &wrong).await.status(), 400);
    // A point without a time has the same one everywhere.
    world.wrote("sh op", "timeless v=1\n").await;
    let question = "SELECT v, n, flame_location FROM nginx; SELECT v FROM timeless";
    let ours = world.ask("sh op", question).await;
    assert_eq!(ours["results"][0]["series"][0]["values"].as_array().unwrap().len(), 50, "{ours}");
    eventually(WAIT, || async {
        let theirs = ask(&influx_base, "sh op", question).await;
        if differs(&ours, &theirs) { Err(theirs) } else { Ok(()) }
    })
    .await;
    eventually(WAIT, || async {
        // What was taken a moment ago is searched after a flush.
        reqwest::get(format!("{victoria_base}/internal/force_flush")).await.unwrap();
        let request = reqwest::Client::new().get(format!("{victoria_base}/api/v1/export"));
        let answer = request.query(&[("match[]", r#"{__name__="nginx_v",db="sh op"}"#)]).send().await.unwrap();
        let text = answer.text().await.unwrap();
        let Ok(found) = serde_json::from_str::<Value>(text.trim()) else { return Err(text) };
        let values: Vec<f64> =
            found["values"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
        let is_all = values.len() == 50 && (values[49] - 49.5).abs() < 1e-9;
        let is_there = found["metric"]["flame_location"] == "here and there";
        let is_then = found["timestamps"][0].as_i64() == Some(begin_ns / 1_000_000);
        if is_all && is_there && is_then { Ok(()) } else { Err(text) }
    })
    .await;
    // Fifty-one to each of two, and to VictoriaMetrics, which has no databases, the one that InfluxDB has no place for.
    until_figure(&world, "flame_forward_points_sent_total", 103.0).await;
    until_figure(&world, "flame_forward_points_dropped_total", 1.0).await;
}

#[tokio::test]
async fn a_store_that_is_away_holds_up_nobody_and_gets_what_there_was_room_for() {
    let folder = Scratch::new("clmc-forward-away");
    let [port] = ports::free_tcp();
    // Each of the points below takes 28 bytes: room for ten.
    let world = World::start_with(|config| config.forward = vec![forward(port, 280)]).await;
    let begin_ns = now_ns() - 60_000_000_000;
    for n in 0..30 {
        world.wrote("db", &format!("m v={n}i {:019}\n", begin_ns + n)).await;
    }
    // One may be under way while others are dropped; it finds no room when it comes back.
    eventually(WAIT, || async {
        let dropped = figure(&world, "flame_forward_points_dropped_total").await;
        let waiting = figure(&world, "flame_forward_bytes_waiting").await;
        if dropped >= 18.0 && waiting <= 280.0 { Ok(()) } else { Err(format!("{dropped} dropped, {waiting} wait")) }
    })
    .await;
    let Some((_influxd, base)) = influxdb(&folder, port).await else {
        return loud_skip("influxd is not installed (tools/deps test)");
    };
    until_figure(&world, "flame_forward_bytes_waiting", 0.0).await;
    eventually(WAIT, || async {
        let dropped = figure(&world, "flame_forward_points_dropped_total").await;
        let sent = figure(&world, "flame_forward_points_sent_total").await;
        if (dropped + sent - 30.0).abs() < 0.5 { Ok(()) } else { Err(format!("{dropped} dropped, {sent} sent")) }
    })
    .await;
    let sent = figure(&world, "flame_forward_points_sent_total").await;
    let found = ask(&base, "db", "SELECT count(v), max(v), min(v) FROM m").await;
    let row = &found["results"][0]["series"][0]["values"][0];
    assert!(sent >= 1.0 && row[1].as_f64() == Some(sent), "{found}, and {sent} were sent");
    assert!(row[2] == 29 && row[3].as_f64() == Some(30.0 - sent), "the newest are there, the oldest are not: {found}");
}
