//! `kill -9` of the real program: what was acknowledged is there afterwards.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use flame_api::metadata::Asset;
use flame_metadata::config::Location;
use flame_test_kit::{Scratch, eventually, ports};
use reqwest::StatusCode;
use tokio::process::{Child, Command};

use crate::world::{On, json, new_asset};

/// Starts the program; it is killed with the value.
async fn start(config: &Path, base: &str) -> Child {
    let child = Command::new(env!("CARGO_BIN_EXE_flame-metadata"))
        .arg(config)
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the program starts");
    eventually(Duration::from_secs(20), || async {
        let answer = reqwest::get(format!("{base}/health/ready")).await.map_err(|error| error.to_string())?;
        answer.error_for_status().map_err(|error| error.to_string())
    })
    .await;
    child
}

async fn what_was_acknowledged_survives_kill_9(on: On) {
    let folder = Scratch::new("metadata-crash");
    let [port] = ports::free_tcp();
    let base = format!("http://127.0.0.1:{port}");
    let config = folder.join("metadata.toml");
    let (database, _postgres) = on.database(&folder).await;
    let database = match &database {
        Location::Sqlite(path) => path.display().to_string(),
        Location::Postgres(url) => url.clone(),
    };
    let text = format!("database = \"{database}\"\n[host]\nlisten = \"127.0.0.1:{port}\"\n");
    std::fs::write(&config, text).unwrap();
    let http = reqwest::Client::new();

    let mut acknowledged: Vec<Asset> = Vec::new();
    for round in 1..=3 {
        let mut child = start(&config, &base).await;
        for asset in &acknowledged {
            let found = http.get(format!("{base}/assets/{}", asset.id)).send().await.unwrap();
            assert_eq!(&json::<Asset>(found, 200).await, asset, "round {round}");
        }
        // Some register without end while the program is killed; each notes what was answered with 201.
        let writer = || async {
            let mut noted = Vec::new();
            loop {
                let sent = http.post(format!("{base}/assets")).json(&new_asset("default")).send().await;
                let Ok(answer) = sent else { return noted };
                let status = answer.status();
                let Ok(asset) = answer.json::<Asset>().await else { return noted };
                assert_eq!(status, StatusCode::CREATED);
                noted.push(asset);
            }
        };
        let killer = async {
            eventually(Duration::from_secs(20), || async {
                let page =
                    http.get(format!("{base}/assets?limit=200")).send().await.map_err(|error| error.to_string())?;
                let page: flame_api::Page<Asset> = page.json().await.map_err(|error| error.to_string())?;
                let wanted = round * 20;
                if page.items.len() >= wanted { Ok(()) } else { Err(format!("{} of {wanted}", page.items.len())) }
            })
            .await;
            child.kill().await.unwrap();
        };
        let (first, second, third, ()) = tokio::join!(writer(), writer(), writer(), killer);
        acknowledged.extend(first.into_iter().chain(second).chain(third));
    }
    assert!(acknowledged.len() >= 40, "{}", acknowledged.len());
    let _child = start(&config, &base).await;
    for asset in &acknowledged {
        let found = http.get(format!("{base}/assets/{}", asset.id)).send().await.unwrap();
        assert_eq!(&json::<Asset>(found, 200).await, asset);
    }
}

on_each_database! {
    what_was_acknowledged_survives_kill_9,
}
