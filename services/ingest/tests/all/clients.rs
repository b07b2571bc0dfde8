//! Clients that nobody here wrote, each as it is: tus-js-client in Node, tuspy in Python, curl.

use std::path::Path;
use std::process::{Output, Stdio};

use flame_api::ingest::ConcatRole;
use flame_test_kit::repository;
use tokio::process::Command;
use uuid::Uuid;

use crate::world::{PART, World, metadata, noise, without_media};

/// What the program printed, if it ended well.
async fn printed(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().await.expect("the program starts");
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

fn upload_of(url: &str) -> Uuid {
    url.trim().rsplit('/').next().unwrap().parse().unwrap()
}

/// A file of these bytes in the world's folder.
fn file(world: &World, body: &[u8]) -> std::path::PathBuf {
    let path = world.scratch.join("film.mp4");
    std::fs::write(&path, body).unwrap();
    path
}

fn judges() -> std::path::PathBuf {
    repository().join("media-tests/judges")
}

fn node(script: &str) -> Command {
    let set_up = std::process::Command::new(judges().join("set-up")).status().unwrap();
    assert!(set_up.success(), "the judges cannot be set up");
    let mut node = Command::new(repository().join("tools/node"));
    node.args(["node", "--no-warnings"]).arg(judges().join(script));
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn tus_js_client_in_parallel_without_a_length_and_resumed() {
    let world = World::start_with(without_media).await;
    let body = noise(91, 5 * PART + 4321);
    let endpoint = format!("{}/uploads", world.base());
    let said = printed(node("tus.mjs").arg(endpoint).arg(file(&world, &body))).await;
    let urls: serde_json::Value = serde_json::from_str(&said).unwrap();
    for kind in ["parallel", "deferred", "resumed"] {
        let id = upload_of(urls[kind].as_str().unwrap());
        world.check_stored(id, &body).await;
        let role = (kind == "parallel").then_some(ConcatRole::Final);
        assert_eq!(world.upload(id).await.concat, role, "{kind}");
        assert_eq!(world.upload(id).await.file_name.as_deref(), Some("film.mp4"), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tuspy_with_checksums_and_resumed() {
    let world = World::start_with(without_media).await;
    let body = noise(92, 2 * PART + 4321);
    let mut python = Command::new(repository().join("tools/python"));
    python.arg(judges().join("tus.py")).arg(format!("{}/uploads", world.base())).arg(file(&world, &body));
    let id = upload_of(&printed(&mut python).await);
    world.check_stored(id, &body).await;
}

/// Runs curl on a tus resource and gives the answer's head.
async fn curl(arguments: &[&str], body: Option<&Path>) -> String {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--fail-with-body", "-D", "-", "-o", "/dev/null", "-H", "Tus-Resumable: 1.0.0"]).args(arguments);
    if let Some(body) = body {
        curl.args(["-H", "Content-Type: application/offset+octet-stream", "-T"]).arg(body);
    }
    printed(&mut curl).await
}

fn field<'a>(head: &'a str, name: &str) -> &'a str {
    let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no {name} in {head}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_alone_does_for_all_of_it() {
    let world = World::start_with(without_media).await;
    let body = noise(93, PART + 4321);
    let (first, second) = body.split_at(PART);
    let uploads = format!("{}/uploads", world.base());
    let mut partials = Vec::new();
    for piece in [first, second] {
        let announced =
            curl(&["-X", "POST", &uploads, "-H", "Upload-Concat: partial", "-H", "Upload-Defer-Length: 1"], None).await;
        let url = format!("{}{}", world.base(), field(&announced, "location"));
        let length = format!("Upload-Length: {}", piece.len());
        let sent =
            curl(&["-X", "PATCH", &url, "-H", "Upload-Offset: 0", "-H", &length], Some(&file(&world, piece))).await;
        assert_eq!(field(&sent, "upload-offset"), piece.len().to_string());
        partials.push(url);
    }
    let list = format!("Upload-Concat: final;{}", partials.join(" "));
    let labels = format!("Upload-Metadata: {}", metadata(&[("filename", "film.mp4"), ("chain", "none")]));
    let whole = curl(&["-X", "POST", &uploads, "-H", &list, "-H", &labels], None).await;
    let id = upload_of(field(&whole, "location"));
    world.check_stored(id, &body).await;
    let head = curl(&["-I", &format!("{uploads}/{id}")], None).await;
    assert_eq!(field(&head, "upload-concat"), list.strip_prefix("Upload-Concat: ").unwrap());
}
