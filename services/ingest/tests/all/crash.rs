//! The real binary, killed in the middle of what it does: what was acknowledged is there, and the upload goes on.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use flame_api::ingest::{Upload, UploadState};
use flame_test_kit::{Scratch, eventually, ports};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::world::{MIB, PART, PATIENCE, Tus, check_stored, json, noise, store_at};

/// Kills at random moments; `make soak` asks for more (`FLAME_KILLS`).
const KILLS: u64 = 8;
/// Peak memory of the process, whatever the length of an upload.
const PEAK_MAX_MIB: usize = 150;

struct Process {
    scratch: Scratch,
    config: PathBuf,
    http: SocketAddr,
    s3: SocketAddr,
    child: Child,
}

impl Process {
    async fn start(limits: &str, fault: &str) -> Self {
        let scratch = Scratch::new("ingest-crash");
        let [http, s3] = ports::free_tcp().map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let root = scratch.display();
        // Without a media program the files are kept to be compared.
        let text = format!(
            "data = \"{root}/ingest\"\nmedia_program = \"/nonexistent\"\n[host]\nlisten = \"{http}\"\nmin_free_disk_percent = 0.0\n\
             [store.embedded]\nroot = \"{root}/objects\"\nlisten = \"{s3}\"\naccess_key = \"test\"\nsecret_key = \"test-secret\"\n\
             [limits]\n{limits}\n"
        );
        let config = scratch.join("config.toml");
        std::fs::write(&config, text).unwrap();
        let child = Self::spawn(&config, fault);
        let process = Self { scratch, config, http, s3, child };
        process.ready().await;
        process
    }

    fn spawn(config: &PathBuf, fault: &str) -> Child {
        Command::new(env!("CARGO_BIN_EXE_flame-ingest"))
            .arg(config)
            .env("FLAME_FAULT", fault)
            .env("FLAME_LOG", "warn")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    fn base(&self) -> String {
        format!("http://{}", self.http)
    }

    async fn ready(&self) {
        eventually(PATIENCE, || async {
            let answer = reqwest::get(format!("{}/health/ready", self.base())).await;
            match answer {
                Ok(answer) if answer.status() == 200 => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }

    /// kill -9.
    async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    async fn restart(&mut self) {
        self.child = Self::spawn(&self.config, "");
        self.ready().await;
    }

    /// Peak resident memory in MiB.
    fn peak_mib(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() / 1024
    }

    async fn check_stored(&self, tus: &Tus, body: &[u8]) {
        check_stored(&self.base(), &store_at(self.s3), tus.id, body).await;
    }
}

/// Sends in random pieces until told to stop; returns the highest offset that was acknowledged.
fn keep_sending(base: &str, tus: &Tus, body: Vec<u8>, seed: u64) -> JoinHandle<usize> {
    let tus = Tus { base: base.to_owned(), id: tus.id, http: reqwest::Client::new() };
    tokio::spawn(async move {
        let mut random = StdRng::seed_from_u64(seed);
        let Ok(mut offset) = tus.try_offset().await else { return 0 };
        while offset < body.len() {
            let wanted = if random.random() { random.random_range(1..MIB) } else { random.random_range(MIB..3 * PART) };
            let end = (offset + wanted).min(body.len());
            match tus.patch(offset).body(body[offset..end].to_vec()).send().await {
                Ok(answer) if answer.status() == 204 => offset = end,
                Ok(_) | Err(_) => break,
            }
        }
        offset
    })
}

#[tokio::test]
async fn killed_at_random_moments_it_loses_nothing_acknowledged() {
    let mut process = Process::start("part = \"5MiB\"", "").await;
    let mut random = StdRng::seed_from_u64(2026);
    let kills = std::env::var("FLAME_KILLS").map_or(KILLS, |kills| kills.parse().expect("a number of kills"));
    let mut killed = 0;
    let mut round = 0;
    while killed < kills {
        let body = noise(round, random.random_range(PART..5 * PART));
        let tus = Tus::announce(&process.base(), body.len(), "clip.mp4").await;
        loop {
            let sending = keep_sending(&process.base(), &tus, body.clone(), round);
            // A random moment is the one thing here that cannot be a condition.
            tokio::time::sleep(Duration::from_millis(random.random_range(0..400))).await;
            let finished = sending.is_finished();
            process.kill().await;
            killed += 1;
            let acknowledged = sending.await.unwrap();
            process.restart().await;
            let offset = tus.offset().await;
            assert!(offset >= acknowledged, "round {round}, kill {killed}: {offset} < {acknowledged}");
            if finished || killed >= kills {
                break;
            }
        }
        let offset = tus.offset().await;
        if offset < body.len() {
            tus.send(offset, &body[offset..]).await;
        }
        process.check_stored(&tus, &body).await;
        round += 1;
    }
    assert!(process.scratch.exists());
}

#[tokio::test]
async fn killed_at_each_step_it_goes_on() {
    let body = noise(77, 2 * PART + 1234);
    for fault in [
        "multipart-begun",
        "part-stored",
        "part-stored:2",
        "tail-stored",
        "last-part-stored",
        "complete-noted",
        "assembled",
        "inspect",
    ] {
        let mut process = Process::start("part = \"5MiB\"", fault).await;
        let tus = Tus::announce(&process.base(), body.len(), "clip.mp4").await;
        let mut acknowledged = 0;
        for end in [1000, PART + 1000, body.len()] {
            match tus.patch(acknowledged).body(body[acknowledged..end].to_vec()).send().await {
                Ok(answer) if answer.status() == 204 => acknowledged = end,
                Ok(_) | Err(_) => break,
            }
        }
        let ended =
            tokio::time::timeout(PATIENCE, process.child.wait()).await.expect("the fault point is reached").unwrap();
        assert!(!ended.success(), "{fault}");
        process.restart().await;
        let offset = tus.offset().await;
        assert!(offset >= acknowledged, "{fault}: {offset} < {acknowledged}");
        if offset < body.len() {
            tus.send(offset, &body[offset..]).await;
        }
        process.check_stored(&tus, &body).await;
    }
}

#[tokio::test]
async fn killed_at_each_step_of_a_join_it_goes_on() {
    let body = noise(78, 4 * PART + 777);
    let cuts = [0, PART + 1000, PART + 3000, 3 * PART + 3000, body.len()];
    for fault in [
        "join-partials-whole",
        "join-begun",
        "join-part-copied",
        "join-part-copied:2",
        "join-noted",
        "join-copied",
        "join-complete-noted",
        "assembled",
        "inspect",
    ] {
        // Every copied part is noted, so that each fault is met.
        let mut process = Process::start("part = \"5MiB\"", fault).await;
        let mut urls = Vec::new();
        for cut in cuts.windows(2) {
            let length = (cut[1] - cut[0]).to_string();
            let headers = [("upload-concat", "partial"), ("upload-length", length.as_str())];
            let tus = Tus::announce_with(&process.base(), &headers).await.unwrap();
            assert_eq!(tus.send(0, &body[cut[0]..cut[1]]).await, cut[1] - cut[0]);
            urls.push(format!("/uploads/{}", tus.id));
        }
        let concat = format!("final;{}", urls.join(" "));
        let headers = [("upload-concat", concat.as_str())];
        // The answer may be lost with the process; what it said is not.
        let answered = Tus::announce_with(&process.base(), &headers).await;
        let ended =
            tokio::time::timeout(PATIENCE, process.child.wait()).await.expect("the fault point is reached").unwrap();
        assert!(!ended.success(), "{fault}");
        process.restart().await;
        let again = Tus::announce_with(&process.base(), &headers).await.unwrap();
        assert!(answered.is_none_or(|tus| tus.id == again.id), "{fault}");
        process.check_stored(&again, &body).await;
        let store = store_at(process.s3);
        eventually(PATIENCE, || async {
            let keys = crate::world::keys(&store).await;
            let open = store.list_multipart("", 10).await.unwrap();
            if keys.len() == 1 && open.is_empty() { Ok(()) } else { Err(format!("{fault}: {keys:?} {open:?}")) }
        })
        .await;
    }
}

#[tokio::test]
async fn killed_while_bytes_are_to_be_shared_it_shares_them_after_that() {
    let mut process = Process::start("part = \"5MiB\"", "twin-noted").await;
    let body = noise(79, PART + 55);
    let first = Tus::announce(&process.base(), body.len(), "clip.mp4").await;
    first.send(0, &body).await;
    process.check_stored(&first, &body).await;
    let second = Tus::announce(&process.base(), body.len(), "clip.mp4").await;
    // The answer may be lost with the process.
    let _ = second.patch(0).body(body.clone()).send().await;
    tokio::time::timeout(PATIENCE, process.child.wait()).await.expect("the fault point is reached").unwrap();
    process.restart().await;
    process.check_stored(&second, &body).await;
    let upload: flame_api::ingest::Upload =
        json(reqwest::get(format!("{}/uploads/{}", process.base(), second.id)).await.unwrap(), 200).await;
    assert_eq!(upload.duplicate_of, Some(first.id));
    eventually(PATIENCE, || async {
        let stored_bytes = crate::quotas::stored_bytes(&process.scratch.join("objects"));
        if stored_bytes == body.len() as u64 { Ok(()) } else { Err(stored_bytes) }
    })
    .await;
}

#[tokio::test]
async fn a_file_over_which_the_service_ends_each_time_is_given_up_and_others_go_on() {
    let mut process = Process::start("part = \"5MiB\"", "look-begun").await;
    let body = noise(80, 1000);
    let bad = Tus::announce(&process.base(), body.len(), "clip.mp4").await;
    // The answer may be lost with the process.
    let _ = bad.patch(0).body(body).send().await;
    for _ in 0..5 {
        let ended = tokio::time::timeout(PATIENCE, process.child.wait()).await.expect("it is looked into").unwrap();
        assert!(!ended.success());
        process.child = Process::spawn(&process.config, "look-begun");
    }
    process.ready().await;
    let upload = async |tus: &Tus| -> Upload {
        json(reqwest::get(format!("{}/uploads/{}", process.base(), tus.id)).await.unwrap(), 200).await
    };
    eventually(PATIENCE, || async {
        match upload(&bad).await {
            Upload { state: UploadState::Failed, error: Some(reason), .. }
                if reason.contains("ended over it 5 times") =>
            {
                Ok(())
            }
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let (mut process, body) = (process, noise(81, 1000));
    process.kill().await;
    process.restart().await;
    let good = Tus::announce(&process.base(), body.len(), "clip.mp4").await;
    good.send(0, &body).await;
    process.check_stored(&good, &body).await;
}

#[tokio::test]
async fn work_that_panics_is_tried_again_and_then_given_up_and_others_go_on() {
    for (fault, is_given_up) in [("panic@assembled:1", false), ("panic@assembled:3", true)] {
        let process = Process::start("part = \"5MiB\"\nmax_processing = 1\nmax_backoff = \"100ms\"", fault).await;
        let (first, second) = (noise(11, 1000), noise(12, 2000));
        let bad = Tus::announce(&process.base(), first.len(), "clip.mp4").await;
        bad.send(0, &first).await;
        if is_given_up {
            eventually(PATIENCE, || async {
                let answer = reqwest::get(bad.url()).await.map_err(|error| error.to_string())?;
                let upload: flame_api::ingest::Upload = json(answer, 200).await;
                let reason = upload.error.unwrap_or_default();
                let is_failed = upload.state == flame_api::ingest::UploadState::Failed;
                if is_failed && reason.contains("crashed 3 times") { Ok(()) } else { Err(reason) }
            })
            .await;
        } else {
            process.check_stored(&bad, &first).await;
        }
        let good = Tus::announce(&process.base(), second.len(), "clip.mp4").await;
        good.send(0, &second).await;
        process.check_stored(&good, &second).await;
    }
}

#[tokio::test]
async fn a_put_that_is_cut_by_a_crash_leaves_nothing() {
    let mut process = Process::start("part = \"5MiB\"", "last-part-stored").await;
    let put = reqwest::Client::new().put(format!("{}/files/clip.mp4", process.base())).body(noise(1, 2 * PART + 9));
    assert!(put.send().await.is_err());
    process.child.wait().await.unwrap();
    process.restart().await;
    let store = store_at(process.s3);
    eventually(PATIENCE, || async {
        let keys = crate::world::keys(&store).await;
        let open = store.list_multipart("", 10).await.unwrap();
        if keys.is_empty() && open.is_empty() { Ok(()) } else { Err(format!("{keys:?} {open:?}")) }
    })
    .await;
    let page: serde_json::Value = json(reqwest::get(format!("{}/uploads", process.base())).await.unwrap(), 200).await;
    assert_eq!(page["items"], serde_json::json!([]));
}

#[tokio::test]
async fn memory_does_not_grow_with_the_upload() {
    const LENGTH: usize = 300 * MIB;
    let process = Process::start("", "").await;
    let before = process.peak_mib();
    let tus = Tus::announce(&process.base(), LENGTH, "clip.mp4").await;
    let block = noise(5, MIB);
    let blocks = futures_util::stream::iter((0..LENGTH / MIB).map(move |_| Ok::<_, std::io::Error>(block.clone())));
    let answer = tus.patch(0).body(reqwest::Body::wrap_stream(blocks)).send().await.unwrap();
    assert_eq!(answer.status(), 204);
    let store = store_at(process.s3);
    let key = format!("default/sources/{}", tus.id);
    eventually(PATIENCE, || async {
        match store.head(&key).await {
            Ok(Some(info)) if info.size_bytes == LENGTH as u64 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let after = process.peak_mib();
    eprintln!("peak resident memory: {before} MiB before, {after} MiB after an upload of 300 MiB");
    assert!(after < PEAK_MAX_MIB, "{before} MiB before, {after} MiB after an upload of 300 MiB");
}

#[tokio::test]
async fn what_a_kill_left_in_the_scratch_folder_goes_at_the_next_start() {
    let mut world = crate::world::World::start().await;
    world.stop().await;
    let left = world.config.data.join("scratch/.tmpKilled");
    std::fs::create_dir_all(&left).unwrap();
    std::fs::write(left.join("poster.jpg"), "half a poster").unwrap();
    world.resume().await;
    assert!(!left.exists());
}
