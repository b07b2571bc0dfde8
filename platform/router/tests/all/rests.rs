//! Rests of answers that broke off, from endpoints that say nothing of where such a rest ends: its length is known from the range.

use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::world::{Service, World, read_head};

const BODY_BYTES: usize = 200_000;
/// What comes before the answer breaks off.
const FIRST_BYTES: usize = 80_000;

/// How endpoints answer who asks for a rest: with so many of the bytes that were asked for, one answer after the other; the last of
/// them for all that follow. More than there are is beyond the end.
#[derive(Clone)]
struct Rests {
    status: u16,
    bytes: Vec<usize>,
    /// Where each began that was asked for.
    asked: Arc<Mutex<Vec<usize>>>,
}

fn body() -> Vec<u8> {
    (0..BODY_BYTES).map(|at| ((at * 2_654_435_761) >> 13) as u8).collect()
}

/// Breaks off where the whole is asked for; a rest ends with its connection, as it did with HTTP/1.0.
async fn answer(mut stream: TcpStream, is_stated: bool, rests: Rests) {
    let asked = read_head(&mut stream).await.to_ascii_lowercase();
    let range = asked.split("range: bytes=").nth(1).and_then(|range| range.split('-').next()?.parse::<usize>().ok());
    let fields = "etag: \"one\"\r\ncache-control: public, max-age=60\r\n";
    let Some(from) = range else {
        let framing = if is_stated {
            format!("content-length: {BODY_BYTES}\r\n\r\n")
        } else {
            format!("transfer-encoding: chunked\r\n\r\n{BODY_BYTES:x}\r\n")
        };
        let head = format!("HTTP/1.1 200 OK\r\n{fields}{framing}");
        let _ = stream.write_all(&[head.as_bytes(), &body()[..FIRST_BYTES]].concat()).await;
        return;
    };
    let bytes = {
        let mut asked = rests.asked.lock().unwrap();
        asked.push(from);
        *rests.bytes.get(asked.len() - 1).or(rests.bytes.last()).unwrap()
    };
    let beyond = [body(), vec![0xEE; BODY_BYTES]].concat();
    let (from, range) = match rests.status {
        206 => (from, format!("content-range: bytes {from}-{}/{BODY_BYTES}\r\n", BODY_BYTES - 1)),
        _ => (0, String::new()),
    };
    let head = format!("HTTP/1.1 {} Rest\r\n{fields}{range}connection: close\r\n\r\n", rests.status);
    let _ = stream.write_all(&[head.as_bytes(), &beyond[from..from + bytes]].concat()).await;
}

/// What a client gets of an answer of a stated length, or of none, that broke off, and where the rests began that were asked for.
async fn got(is_stated: bool, status: u16, bytes: &[usize]) -> (Option<Vec<u8>>, Vec<usize>) {
    let rests = Rests { status, bytes: bytes.to_vec(), asked: Arc::default() };
    let world = World::start().await;
    let talk = rests.clone();
    let service = Service::talking(move |stream| answer(stream, is_stated, talk.clone())).await;
    world.register("old", &service).await;
    let answer = world.get("/~old/1").await;
    assert_eq!(answer.status(), StatusCode::OK);
    let got = answer.bytes().await.ok().map(|got| got.to_vec());
    let asked = rests.asked.lock().unwrap().clone();
    (got, asked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rest_that_ends_too_early_is_no_end_and_what_is_lacking_is_asked_for() {
    const SHORT_BYTES: usize = 10_000;
    for is_stated in [true, false] {
        let (got, asked) = got(is_stated, 206, &[SHORT_BYTES, BODY_BYTES - FIRST_BYTES - SHORT_BYTES]).await;
        assert!(got.is_some_and(|got| got == body()), "{is_stated}");
        assert_eq!(asked, [FIRST_BYTES, FIRST_BYTES + SHORT_BYTES], "{is_stated}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_taken_of_what_a_rest_has_beyond_the_end() {
    for is_stated in [true, false] {
        let (got, asked) = got(is_stated, 206, &[BODY_BYTES]).await;
        assert!(got.is_some_and(|got| got == body()), "{is_stated}");
        assert_eq!(asked, [FIRST_BYTES], "{is_stated}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_that_comes_for_a_rest_is_taken_only_where_it_is_known_where_it_ends() {
    let (whole, _) = got(true, 200, &[BODY_BYTES]).await;
    assert!(whole.is_some_and(|whole| whole == body()));
    // The first one stated no length, the second one neither: a part of it would look like all.
    let (whole, _) = got(false, 200, &[BODY_BYTES - 1]).await;
    assert!(whole.is_none());
}
