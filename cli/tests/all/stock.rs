//! What a `flame up` holds, as its callers see it: to be compared with what another one holds that came out of it.

use std::collections::BTreeMap;

use flame_test_kit::{clips, eventually};
use reqwest::{Client, Method};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::world::World;

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
pub const MIB: usize = 1 << 20;

/// Everything of one asset: what is said of it, what was done to it, and the SHA-256 of each file that a player fetches.
#[derive(Debug, PartialEq)]
pub struct Held {
    shown: Value,
    history: Value,
    files: BTreeMap<String, String>,
}

/// An unfinished upload by tus.
pub struct Half {
    pub id: String,
    body: Vec<u8>,
    sent: usize,
}

pub fn clip(seconds: f64) -> String {
    clips::recipe("synthetic").seconds(seconds).size(320, 180).make().to_str().unwrap().to_owned()
}

/// Brings a clip in; its identifier.
pub fn ingest(world: &World, seconds: f64, chain: &str) -> String {
    let done = world.json(&["ingest", &clip(seconds), "--chain", chain]);
    done[0]["id"].as_str().unwrap().to_owned()
}

/// All that there is of the asset.
pub async fn held(world: &World, id: &str) -> Held {
    let shown = world.json(&["asset", "show", id]);
    let history = world.json(&["asset", "history", id]);
    Held { shown, history, files: files(world, id).await }
}

/// What a player of HLS fetches, followed from the asset's playlist.
async fn files(world: &World, id: &str) -> BTreeMap<String, String> {
    let http = Client::new();
    let mut files = BTreeMap::new();
    let mut open = vec![format!("/{id}/index.m3u8")];
    while let Some(path) = open.pop() {
        if files.contains_key(&path) {
            continue;
        }
        let url = format!("{}/~streaming{path}", world.router);
        let answer = http.get(&url).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{url}: {}", world.log());
        let body = answer.bytes().await.unwrap();
        files.insert(path.clone(), hex(&body));
        if path.ends_with(".m3u8") {
            let folder = &path[..=path.rfind('/').unwrap()];
            open.extend(named(std::str::from_utf8(&body).unwrap()).map(|name| format!("{folder}{name}")));
        }
    }
    assert!(files.len() > 3, "{files:?}");
    files
}

/// What a playlist names.
fn named(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| match line.split_once("URI=\"") {
        Some((_, rest)) => rest.split('"').next(),
        None => (!line.is_empty() && !line.starts_with('#')).then_some(line),
    })
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

// === impl Half ===

impl Half {
    /// Announces an upload and sends a part and a bit of it.
    pub async fn begin(world: &World) -> Self {
        let body: Vec<u8> = (0..20 * MIB).map(|n| u8::try_from((n * 7 + n / 251) % 256).unwrap()).collect();
        let post = Client::new().post(format!("{}/~ingest/uploads", world.router));
        let post = post.header("tus-resumable", "1.0.0").header("upload-length", body.len().to_string());
        let answer = post.send().await.unwrap();
        assert_eq!(answer.status(), 201);
        let location = answer.headers()["location"].to_str().unwrap();
        let mut half = Self { id: location.rsplit('/').next().unwrap().to_owned(), body, sent: 0 };
        half.send(world, 9 * MIB).await;
        half
    }

    /// Sends bytes up to `end`.
    async fn send(&mut self, world: &World, end: usize) {
        let patch = self.request(world, Method::PATCH).header("content-type", "application/offset+octet-stream");
        let patch = patch.header("upload-offset", self.sent.to_string()).body(self.body[self.sent..end].to_vec());
        let answer = patch.send().await.unwrap();
        assert_eq!(answer.status(), 204, "{}\n{}", answer.text().await.unwrap(), world.log());
        self.sent = end;
    }

    fn request(&self, world: &World, method: Method) -> reqwest::RequestBuilder {
        let url = format!("{}/~ingest/uploads/{}", world.router, self.id);
        Client::new().request(method, url).header("tus-resumable", "1.0.0")
    }

    /// Goes on at the offset that it had, to the end; what came together are the bytes that were sent.
    pub async fn go_on(&mut self, world: &World) {
        let head = self.request(world, Method::HEAD).send().await.unwrap();
        assert_eq!(head.status(), 200, "{}", world.log());
        let offset: usize = head.headers()["upload-offset"].to_str().unwrap().parse().unwrap();
        assert_eq!(offset, self.sent, "what was acknowledged is there");
        self.send(world, self.body.len()).await;
        let upload = eventually(PATIENCE, || async {
            let upload: Value = self.request(world, Method::GET).send().await.unwrap().json().await.unwrap();
            // It is no film: all its bytes were read before that is said.
            if upload["state"] == "failed" { Ok(upload) } else { Err(upload.to_string()) }
        })
        .await;
        assert_eq!(upload["sha256"], hex(&self.body).as_str());
        let error = upload["error"].as_str().unwrap();
        assert!(error.contains("not a media file") || error.contains("media"), "{upload}");
    }
}
