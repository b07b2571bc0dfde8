//! A disk that fills up for a while, with all that is kept on it, the log too: on a small file system of its own, in a mount
//! namespace that ends with the process.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use flame_test_kit::{Scratch, clips, eventually, loud_skip};
use serde_json::Value;

use crate::world::{self, Ran};

const PATIENCE: Duration = Duration::from_secs(60);
/// What other users, and the store's own files, leave no room for.
const DISK: &str = "48m";
/// Of which less than 5 % are more than the databases need.
const ROOMIER_DISK: &str = "240m";

struct SmallDisk {
    _scratch: Scratch,
    /// Where the test sees what the process sees.
    disk: PathBuf,
    router: String,
    child: Child,
}

impl SmallDisk {
    async fn up(size: &str) -> Self {
        let scratch = Scratch::new("full-disk");
        let mount = scratch.path().join("disk");
        std::fs::create_dir(&mount).unwrap();
        let script = format!("mount -t tmpfs -o size={size} tmpfs \"$0\" && exec \"$@\" 2>\"$0/log\"");
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script]).arg(&mount).arg(env!("CARGO_BIN_EXE_flame"));
        command.args(["up", "--listen", "127.0.0.1:0", "--rtmp", "off", "--data"]).arg(mount.join("data"));
        command.env_remove("FLAME_LISTEN").env_remove("FLAME_RTMP").stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().expect("unshare starts");
        let disk = Path::new("/proc").join(child.id().to_string()).join("root").join(mount.strip_prefix("/").unwrap());
        let lock = disk.join("data/flame.lock");
        let router = eventually(PATIENCE, || async {
            let text = std::fs::read_to_string(&lock).unwrap_or_default();
            let holder: Value = serde_json::from_str(&text).unwrap_or_default();
            match holder["router"].as_str() {
                Some(router) if holder["ready"] == true => Ok(format!("http://{router}")),
                _ => Err(format!("not ready: {text}")),
            }
        })
        .await;
        Self { _scratch: scratch, disk, router, child }
    }

    fn flame(&self, arguments: &[&str]) -> Ran {
        world::run(world::command().args(arguments).env("FLAME_ROUTER", &self.router))
    }

    fn jobs(&self) -> Value {
        serde_json::from_str(&self.flame(&["job", "list", "--json"]).out).unwrap_or_default()
    }

    /// Takes what room there is but `left_bytes`.
    fn fill_but(&self, left_bytes: u64) {
        let mut file = std::fs::File::create(self.disk.join("fill")).unwrap();
        let full = std::io::copy(&mut std::io::repeat(0), &mut file).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
        file.set_len(file.metadata().unwrap().len() - left_bytes).unwrap();
    }

    /// Files below a folder of the data.
    fn files(&self, folder: &str) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.disk.join("data").join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { files.push(path) }
            }
        }
        files.sort();
        files
    }

    fn free(&self) {
        std::fs::remove_file(self.disk.join("fill")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn cannot_mount() -> bool {
    let may = Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|status| status.success());
    if !may {
        loud_skip("a mount namespace needs root");
    }
    !may
}

#[tokio::test]
async fn a_disk_that_is_full_for_a_while_stops_nothing_for_good() {
    if cannot_mount() {
        return;
    }
    let mut small = SmallDisk::up(DISK).await;
    let clip = |seconds: f64| clips::recipe("synthetic").seconds(seconds).size(640, 360).make();
    let (long, short) = (clip(20.0), clip(1.0));
    let sent = small.flame(&["ingest", "--no-wait", long.to_str().unwrap()]);
    assert_eq!(sent.status, 0, "{}", sent.err);
    eventually(PATIENCE, || async {
        let jobs = small.jobs();
        if jobs[0]["state"] == "running" { Ok(()) } else { Err(jobs.to_string()) }
    })
    .await;

    // An upload that is under way when the disk fills.
    let film = std::fs::read(clip(2.0)).unwrap();
    let uploads = format!("{}/~ingest/uploads", small.router);
    let client = reqwest::Client::new();
    let tus = |method: reqwest::Method, url: &str| client.request(method, url).header("tus-resumable", "1.0.0");
    let announced =
        tus(reqwest::Method::POST, &uploads).header("upload-length", film.len().to_string()).send().await.unwrap();
    assert_eq!(announced.status(), 201);
    let location = announced.headers()["location"].to_str().unwrap();
    let upload = announced.url().join(location).unwrap().to_string();
    let half = film.len() / 2;
    let patch = async |from: usize, to: usize| {
        let patch = tus(reqwest::Method::PATCH, &upload).header("upload-offset", from.to_string());
        patch
            .header("content-type", "application/offset+octet-stream")
            .body(film[from..to].to_vec())
            .send()
            .await
            .unwrap()
    };
    assert_eq!(patch(0, half).await.status(), 204);

    small.fill_but(0);
    let refused = patch(half, film.len()).await;
    assert_eq!(refused.status(), 507, "{}", refused.text().await.unwrap());
    let offset = tus(reqwest::Method::HEAD, &upload).send().await.unwrap();
    assert_eq!(offset.headers()["upload-offset"], half.to_string().as_str(), "what was acknowledged is there");
    // An upload is refused, with the reason, and leaves nothing.
    let refused = small.flame(&["ingest", short.to_str().unwrap()]);
    assert_eq!(refused.status, 3, "{}", refused.err);
    assert!(refused.err.contains("free"), "{}", refused.err);
    // The queue cannot be written any more, whatever room its files had.
    let asset = small.jobs()[0]["asset_id"].as_str().unwrap().to_owned();
    eventually(PATIENCE, || async {
        let started = small.flame(&["job", "start", &asset]);
        if started.status == 0 { Err("the queue is still written") } else { Ok(()) }
    })
    .await;
    assert!(small.child.try_wait().unwrap().is_none(), "a full disk ends the process");
    small.free();
    assert_eq!(patch(half, film.len()).await.status(), 204, "it goes on where it was");

    // Jobs are cancelled, go on or begin again, and others are taken.
    let jobs = small.jobs();
    let waiting = jobs.as_array().unwrap().iter().filter(|job| job["state"] == "queued");
    for job in waiting {
        let cancelled = small.flame(&["job", "cancel", job["id"].as_str().unwrap()]);
        assert_eq!(cancelled.status, 0, "{}", cancelled.err);
    }
    eventually(PATIENCE * 2, || async {
        let jobs = small.jobs();
        let is_done = |job: &Value| job["state"] == "succeeded" || job["state"] == "cancelled";
        if jobs.as_array().unwrap().iter().all(is_done) { Ok(()) } else { Err(jobs.to_string()) }
    })
    .await;
    let next = small.flame(&["ingest", short.to_str().unwrap()]);
    assert_eq!(next.status, 0, "{}", next.err);
    let uploads: Value = reqwest::get(format!("{}/~ingest/uploads", small.router)).await.unwrap().json().await.unwrap();
    let open = uploads["items"].as_array().unwrap().iter().filter(|upload| upload["state"] == "receiving").count();
    assert_eq!(open, 0, "{uploads}");
}

#[tokio::test]
async fn an_upload_that_does_not_fit_is_refused_and_the_room_is_there_again() {
    if cannot_mount() {
        return;
    }
    let small = SmallDisk::up(ROOMIER_DISK).await;
    let scratch = Scratch::new("full-disk");
    let large = scratch.join("large.mp4");
    std::fs::File::create(&large).unwrap().set_len(300 << 20).unwrap();
    let refused = small.flame(&["ingest", large.to_str().unwrap()]);
    assert_eq!(refused.status, 3, "{}", refused.err);
    assert!(refused.err.contains("full"), "{}", refused.err);
    eventually(PATIENCE, || async {
        let kept = small.files("objects");
        let bytes: u64 = kept.iter().filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum();
        if bytes < 1 << 20 { Ok(()) } else { Err(format!("{bytes} bytes in {kept:?}")) }
    })
    .await;
    let uploads: Value = reqwest::get(format!("{}/~ingest/uploads", small.router)).await.unwrap().json().await.unwrap();
    assert_eq!(uploads["items"].as_array().unwrap().len(), 0, "{uploads}");
}

#[tokio::test]
async fn a_disk_that_stays_full_fails_the_job_for_that_reason_and_nothing_of_it_is_left() {
    if cannot_mount() {
        return;
    }
    let small = SmallDisk::up(ROOMIER_DISK).await;
    let clip = clips::recipe("synthetic").seconds(30.0).size(640, 360).make();
    let sent = small.flame(&["ingest", "--no-wait", "--json", clip.to_str().unwrap()]);
    assert_eq!(sent.status, 0, "{}", sent.err);
    eventually(PATIENCE, || async {
        let jobs = small.jobs();
        if jobs[0]["state"] == "running" { Ok(()) } else { Err(jobs.to_string()) }
    })
    .await;
    let before = small.files("objects/data");
    // The databases have room, what is made has not: the encoder is at work for longer than it takes to fill the disk.
    small.fill_but(6 << 20);
    let job = eventually(PATIENCE * 2, || async {
        let mut jobs = small.jobs();
        if jobs[0]["state"] == "failed" { Ok(jobs[0].take()) } else { Err(jobs.to_string()) }
    })
    .await;
    assert!(job["error"].as_str().unwrap().contains("full"), "{job}");
    let asset = job["asset_id"].as_str().unwrap();
    let shown: Value = serde_json::from_str(&small.flame(&["asset", "show", asset, "--json"]).out).unwrap();
    assert_eq!(shown["state"], "failed", "{shown}");
    assert!(shown["error"].as_str().unwrap().contains("full"), "{shown}");
    assert_eq!(shown["versions"].as_array().map_or(0, Vec::len), 0, "{shown}");
    let scratch = small.files("scratch");
    assert!(scratch.is_empty(), "{scratch:?}");
    assert_eq!(small.files("objects/data"), before, "only the upload is stored");

    small.free();
    let again = small.flame(&["job", "start", asset]);
    assert_eq!(again.status, 0, "{}", again.err);
    eventually(PATIENCE * 2, || async {
        let shown = small.flame(&["asset", "show", asset, "--json"]).out;
        let shown: Value = serde_json::from_str(&shown).unwrap_or_default();
        if shown["state"] == "ready" { Ok(()) } else { Err(shown.to_string()) }
    })
    .await;
}
