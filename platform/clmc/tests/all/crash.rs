//! `kill -9` of the real program while others write: what was acknowledged is there afterwards.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use flame_test_kit::{Scratch, eventually, ports};
use tokio::process::{Child, Command};

use crate::world::{ask, now_ns};

async fn start(folder: &Scratch, base: &str) -> Child {
    let listen = base.strip_prefix("http://").unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_flame-clmc"))
        .env("FLAME_CLMC__HOST__LISTEN", listen)
        .env("FLAME_CLMC__STORE__FOLDER", folder.join("store"))
        .env("FLAME_CLMC__STORE__SEGMENT", "16KiB")
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    eventually(Duration::from_secs(20), || async {
        reqwest::get(format!("{base}/health/ready")).await.and_then(reqwest::Response::error_for_status)
    })
    .await;
    child
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let folder = Scratch::new("clmc-crash");
    let [port] = ports::free_tcp();
    let base = format!("http://127.0.0.1:{port}");
    let mut child = start(&folder, &base).await;
    let begin = now_ns();
    let acknowledged: Arc<Vec<AtomicI64>> = Arc::new((0..4).map(|_| AtomicI64::new(0)).collect());
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4_i64 {
        let (base, acknowledged) = (base.clone(), Arc::clone(&acknowledged));
        writers.spawn(async move {
            let http = reqwest::Client::new();
            for batch in 0_i64.. {
                let lines: String = (0..50)
                    .map(|row| format!("m,writer=w{writer} v={batch}i {}\n", begin + batch * 1000 + row))
                    .collect();
                match http.post(format!("{base}/write?db=db")).body(lines).send().await {
                    Ok(answer) if answer.status() == 204 => {
                        acknowledged[writer as usize].store(batch + 1, Ordering::SeqCst)
                    }
                    Ok(answer) => panic!("{}", answer.status()),
                    Err(_) => return,
                }
            }
        });
    }
    eventually(Duration::from_secs(20), || {
        let least = acknowledged.iter().map(|count| count.load(Ordering::SeqCst)).min().unwrap();
        async move { if least >= 20 { Ok(()) } else { Err(format!("{least} batches")) } }
    })
    .await;
    child.kill().await.unwrap();
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    let _child = start(&folder, &base).await;
    for writer in 0..4 {
        let asked =
            ask(&base, "db", &format!("SELECT count(v) FROM m WHERE writer = 'w{writer}' AND time < now() + 1h")).await;
        let count = asked["results"][0]["series"][0]["values"][0][1].as_i64().unwrap_or_else(|| panic!("{asked}"));
        let least = acknowledged[writer].load(Ordering::SeqCst) * 50;
        // Of a batch that was not acknowledged, all or nothing.
        assert!(count >= least && count <= least + 50 && count % 50 == 0, "{count} of {least}");
    }
}
