//! A wall clock that is set while the router runs. The clock is libfaketime's, which nobody here wrote: it is put between the
//! process and the system's, and set by writing a file.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use flame_api::Client;
use flame_api::router::Registration;
use flame_test_kit::{Scratch, eventually, loud_skip, ports};
use tokio::process::Command;

use crate::world::Service;

const PATIENCE: Duration = Duration::from_secs(20);
/// A lease that outlives the test (the longest there is), and one that ends in it.
const LONG_MS: u64 = 60_000;
const SHORT_MS: u64 = 1_000;

fn library() -> Option<PathBuf> {
    let all = fs::read_dir("/usr/lib").ok()?.flatten().map(|arch| arch.path().join("faketime/libfaketime.so.1"));
    all.into_iter().find(|library| library.is_file())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_ends_no_lease_and_keeps_none() {
    let Some(library) = library() else { return loud_skip("libfaketime is not installed") };
    let (folder, [port]) = (Scratch::new("router-clocks"), ports::free_tcp());
    let clock = folder.join("clock");
    fs::write(&clock, "+0s").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_flame-router"));
    command.env("FLAME_ROUTER__HOST__LISTEN", format!("127.0.0.1:{port}"));
    command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", &clock);
    command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let router = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let router = router.spawn().unwrap();
    let url = format!("http://127.0.0.1:{port}");
    let client = Client::new(url.parse().unwrap(), None);
    let service = Service::start(Router::new().fallback(get(async || "here"))).await;
    let long = Registration::new(service.address, 1, LONG_MS);
    eventually(PATIENCE, || client.register("a", "long", &long)).await;
    let said = async || client.endpoints().await.unwrap().items;
    let real_ms = said().await[0].router_time_unix_ms;
    for (set, is_later) in [("+86400s", true), ("-86400s", false)] {
        fs::write(&clock, set).unwrap();
        let held = said().await;
        // It is the clock that was set, and the lease that does not mind.
        assert_eq!(held[0].router_time_unix_ms > real_ms, is_later, "{set}: {held:?}");
        assert!((1..=LONG_MS).contains(&held[0].expires_in_ms), "{set}: {held:?}");
        let answer = reqwest::get(format!("{url}/~a/x")).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (200, "here"), "{set}");
        client.register("b", "short", &Registration::new(service.address, 1, SHORT_MS)).await.unwrap();
        eventually(PATIENCE, || async {
            let held = client.endpoints().await.map_err(|error| error.to_string())?.items;
            if held.iter().any(|one| one.name.starts_with('b')) { Err(format!("{set}: {held:?}")) } else { Ok(()) }
        })
        .await;
    }
    drop(router);
}
