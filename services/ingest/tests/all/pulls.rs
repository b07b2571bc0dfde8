//! `POST /pulls`, from real servers on loopback.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flame_api::ingest::{NewPull, Upload, UploadState};
use flame_ingest::config::Config;
use flame_service_host::config::{Bytes, Span};
use flame_test_kit::eventually;
use reqwest::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::world::{PART, PATIENCE, World, json, noise, problem, without_media};

/// A web server that breaks off where it is told to. Stops when dropped.
pub struct Origin {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    _serving: JoinSet<()>,
}

#[derive(Debug, Clone)]
pub struct Request {
    path: String,
    headers: HashMap<String, String>,
}

/// What it answers: head and body, of which it sends only so many bytes before it closes.
pub struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Origin {
    pub async fn start(answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let seen = Arc::clone(&requests);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if let Some((mut stream, request)) = read_request(stream).await {
                    let nth = {
                        let mut seen = seen.lock().unwrap();
                        seen.push(request.clone());
                        seen.len()
                    };
                    let Answer { head, body } = answer(&request, nth);
                    // The other side may go away: that is what some tests are about.
                    let _ = stream.write_all(format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").as_bytes()).await;
                    let _ = stream.write_all(&body).await;
                }
            }
        });
        Self { address, requests, _serving: serving }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

async fn read_request(mut stream: TcpStream) -> Option<(TcpStream, Request)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers =
        lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let headers = headers.collect();
    Some((stream, Request { path, headers }))
}

pub fn whole(body: &[u8]) -> Answer {
    Answer { head: format!("200 OK\r\nContent-Length: {}\r\nETag: \"v1\"", body.len()), body: body.to_vec() }
}

fn open_to_loopback(config: &mut Config) {
    without_media(config);
    config.pulls.allow_private = true;
}

pub async fn pull(world: &World, url: &str) -> Upload {
    let body = NewPull { url: url.to_owned(), title: None, chain: Some("none".to_owned()) };
    json(world.request(Method::POST, "/pulls").json(&body).send().await.unwrap(), 202).await
}

async fn failed(world: &World, url: &str) -> String {
    let id = pull(world, url).await.id;
    let upload = world.settled(id).await;
    assert_eq!(upload.state, UploadState::Failed);
    upload.error.expect("a reason")
}

#[tokio::test]
async fn a_file_is_fetched() {
    let world = World::start_with(open_to_loopback).await;
    let body = noise(1, 2 * PART + 77);
    let served = body.clone();
    let origin = Origin::start(move |request, _| match request.path.as_str() {
        "/moved" => Answer { head: "302 Found\r\nLocation: /a%20clip.mp4?x=1".to_owned(), body: Vec::new() },
        // No length: the end of the connection is the end of the file.
        "/endless" => Answer { head: "200 OK".to_owned(), body: served.clone() },
        _ => whole(&served),
    })
    .await;
    for (path, name) in
        [("/a%20clip.mp4", Some("a clip.mp4")), ("/moved", Some("moved")), ("/endless", Some("endless"))]
    {
        let upload = pull(&world, &origin.url(path)).await;
        assert_eq!((upload.file_name.as_deref(), upload.state), (name, UploadState::Receiving));
        world.check_stored(upload.id, &body).await;
    }
}

#[tokio::test]
async fn a_broken_transfer_goes_on_where_it_broke() {
    let mut world = World::start_with(open_to_loopback).await;
    let body = noise(2, 3 * PART + 5);
    let served = body.clone();
    let origin = Origin::start(move |request, nth| {
        let from = request.headers.get("range").map_or(0, |range| {
            assert_eq!(request.headers["if-range"], "\"v1\"");
            range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse().unwrap()
        });
        let until = if nth < 4 { (from + PART + 1000).min(served.len()) } else { served.len() };
        let head = match from {
            0 => format!("200 OK\r\nContent-Length: {}", served.len()),
            _ => format!(
                "206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {from}-{}/{}",
                served.len() - from,
                served.len() - 1,
                served.len()
            ),
        };
        Answer { head: format!("{head}\r\nETag: \"v1\""), body: served[from..until].to_vec() }
    })
    .await;
    let upload = pull(&world, &origin.url("/clip.mp4")).await;
    // It goes on also after a restart of the service.
    eventually(PATIENCE, || async {
        let now = world.upload(upload.id).await;
        if now.offset_bytes > 0 { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
    world.restart().await;
    world.check_stored(upload.id, &body).await;
    let ranges: Vec<_> = origin.requests().iter().map(|request| request.headers.contains_key("range")).collect();
    assert!(!ranges[0] && ranges[1..].iter().all(|range| *range), "{ranges:?}");
}

#[tokio::test]
async fn a_file_that_changed_meanwhile_is_fetched_anew() {
    let world = World::start_with(open_to_loopback).await;
    let (old, new) = (noise(3, 2 * PART), noise(4, PART + 9));
    let (first, second) = (old.clone(), new.clone());
    let origin = Origin::start(move |_, nth| match nth {
        1 => Answer {
            head: format!("200 OK\r\nContent-Length: {}\r\nETag: \"v1\"", first.len()),
            body: first[..PART + 5].to_vec(),
        },
        _ => {
            Answer { head: format!("200 OK\r\nContent-Length: {}\r\nETag: \"v2\"", second.len()), body: second.clone() }
        }
    })
    .await;
    let upload = pull(&world, &origin.url("/clip.mp4")).await;
    world.check_stored(upload.id, &new).await;
}

#[tokio::test]
async fn what_cannot_be_fetched_fails_with_its_reason() {
    let world = World::start_with(|config| {
        open_to_loopback(config);
        config.limits.max_upload = Bytes(1 << 20);
        config.pulls.max_tries = 3;
    })
    .await;
    let origin = Origin::start(|request, _| match request.path.as_str() {
        "/loop" => Answer { head: "302 Found\r\nLocation: /loop".to_owned(), body: Vec::new() },
        "/file" => Answer { head: "302 Found\r\nLocation: file:///etc/passwd".to_owned(), body: Vec::new() },
        "/long" => Answer { head: "200 OK\r\nContent-Length: 1048577".to_owned(), body: Vec::new() },
        "/endless" => Answer { head: "200 OK".to_owned(), body: vec![0; (1 << 20) + 1] },
        "/broken" => Answer { head: "200 OK\r\nContent-Length: 100".to_owned(), body: vec![0; 50] },
        "/away" => Answer { head: "503 Service Unavailable\r\nContent-Length: 0".to_owned(), body: Vec::new() },
        "/packed" => Answer { head: "200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1".to_owned(), body: vec![0] },
        _ => Answer { head: "404 Not Found\r\nContent-Length: 0".to_owned(), body: Vec::new() },
    })
    .await;
    for (path, reason) in [
        ("/missing?secret=1", "answers 404 Not Found"),
        ("/loop", "redirects more than 5 times"),
        ("/file", "its scheme is `file`"),
        ("/long", "the file has 1048577 bytes, at most 1048576 are taken"),
        ("/endless", "more than 1048576 bytes came"),
        ("/broken", "given up after 3 tries: the transfer broke off"),
        ("/away", "given up after 3 tries"),
        ("/packed", "sends the file encoded"),
    ] {
        let said = failed(&world, &origin.url(path)).await;
        assert!(said.contains(reason) && !said.contains("secret"), "{path}: {said}");
    }
    let nobody = failed(&world, "http://127.0.0.1:1/clip.mp4").await;
    assert!(nobody.contains("cannot be reached"), "{nobody}");
    world.check_empty().await;
}

#[tokio::test]
async fn private_addresses_are_refused() {
    let world = World::start_with(without_media).await;
    let origin = Origin::start(|_, _| whole(b"inner secret")).await;
    let port = origin.address.port();
    let post = |url: String| {
        let body = NewPull { url, title: None, chain: None };
        world.request(Method::POST, "/pulls").json(&body)
    };
    for literal in ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "10.0.0.1"]
    {
        let answer = post(format!("http://{literal}:{port}/")).send().await.unwrap();
        let detail = problem(answer, 403, "private-address").await;
        assert!(detail.contains("private address"), "{detail}");
    }
    for wrong in ["file:///etc/passwd", "gopher://x/", "nothing", "http://u:p@example.org/"] {
        problem(post(wrong.to_owned()).send().await.unwrap(), 400, "bad-request").await;
    }
    // A name is judged when it is resolved.
    let said = failed(&world, &format!("http://localhost:{port}/clip.mp4")).await;
    assert!(said.contains("localhost leads to the private address"), "{said}");
    assert!(origin.requests().is_empty(), "nobody was connected to");
    world.check_empty().await;
}

#[tokio::test]
async fn a_pull_can_be_ended() {
    let world = World::start_with(open_to_loopback).await;
    // Promises more than it sends, and begins again each time.
    let origin =
        Origin::start(|_, _| Answer { head: "200 OK\r\nContent-Length: 9000000".to_owned(), body: vec![0; 8_000_000] })
            .await;
    let upload = pull(&world, &origin.url("/clip.mp4")).await;
    eventually(PATIENCE, || async { if origin.requests().is_empty() { Err("not asked") } else { Ok(()) } }).await;
    let ended = world.tus(Method::DELETE, &format!("/uploads/{}", upload.id)).send().await.unwrap();
    assert_eq!(ended.status(), 204);
    world.check_empty().await;
}

/// Sends a byte now and then to whoever asks, and never comes to an end. Stops when dropped.
async fn trickling() -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            connections.spawn(async move {
                let Some((mut stream, _)) = read_request(stream).await else { return };
                let head = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\nETag: \"v1\"\r\n\r\n";
                let mut sent = stream.write_all(head.as_bytes()).await;
                let mut ticks = tokio::time::interval(Duration::from_millis(50));
                while sent.is_ok() {
                    ticks.tick().await;
                    sent = stream.write_all(b"x").await;
                }
            });
        }
    });
    (address, serving)
}

#[tokio::test]
async fn servers_that_trickle_are_left_and_others_are_fetched() {
    let world = World::start_with(|config| {
        open_to_loopback(config);
        config.limits.idle = Span(Duration::from_secs(3));
        config.pulls.max_tries = 2;
        (config.pulls.max_running, config.pulls.tenant_running, config.pulls.tenant_waiting) = (2, 2, 3);
    })
    .await;
    let (slow, _serving) = trickling().await;
    let body = noise(9, PART + 1000);
    let served = body.clone();
    let origin = Origin::start(move |_, _| whole(&served)).await;
    let trickles = [pull(&world, &format!("http://{slow}/a")).await, pull(&world, &format!("http://{slow}/b")).await];
    let good = pull(&world, &origin.url("/clip.mp4")).await;
    let more = NewPull { url: origin.url("/clip.mp4"), title: None, chain: None };
    let refused = world.request(Method::POST, "/pulls").json(&more).send().await.unwrap();
    assert!(refused.headers().contains_key("retry-after"), "{refused:?}");
    let detail = problem(refused, 429, "too-many-uploads").await;
    assert!(detail.contains("pulls.tenant_waiting"), "{detail}");
    world.check_stored(good.id, &body).await;
    for trickle in trickles {
        let upload = world.settled(trickle.id).await;
        let reason = upload.error.unwrap_or_default();
        assert!(reason.contains("given up after 2 tries") && reason.contains("pulls.min_rate"), "{reason}");
    }
}
