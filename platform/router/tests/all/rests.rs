//! Rests of answers that broke off: from endpoints that say nothing of where such a rest ends (its length is known from the range), that
//! are late with it, or that may only be asked in a while.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::StatusCode;
use flame_router::Config;
use flame_service_host::config::Span;
use flame_test_kit::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{Service, World, read_head};

const BODY_BYTES: usize = 200_000;
/// What comes before the answer breaks off.
const FIRST_BYTES: usize = 80_000;
/// What every answer says besides of itself.
const FIELDS: &str = "etag: \"one\"\r\ncache-control: public, max-age=60\r\n";
const PATIENCE: Duration = Duration::from_secs(30);

/// What says where a rest ends.
#[derive(Clone, Copy)]
enum Framing {
    /// Its connection, as it did with HTTP/1.0.
    Close,
    /// Its length, whatever its range says.
    Length,
    /// Its last chunk.
    Chunked,
}

/// How endpoints answer who asks for a rest: with so many of the bytes that were asked for, one answer after the other; the last of
/// them for all that follow. More than there are is beyond the end.
#[derive(Clone)]
struct Rests {
    status: u16,
    bytes: Vec<usize>,
    framing: Framing,
    /// Where each began that was asked for.
    asked: Arc<Mutex<Vec<usize>>>,
}

fn body() -> Vec<u8> {
    (0..BODY_BYTES).map(|at| ((at * 2_654_435_761) >> 13) as u8).collect()
}

/// Where what is asked for begins, if not at the beginning.
fn asked_from(head: &str) -> Option<usize> {
    head.to_ascii_lowercase().split("range: bytes=").nth(1)?.split('-').next()?.parse().ok()
}

/// Breaks off where the whole is asked for.
async fn answer(mut stream: TcpStream, is_stated: bool, rests: Rests) {
    let Some(from) = asked_from(&read_head(&mut stream).await) else {
        let framing = if is_stated {
            format!("content-length: {BODY_BYTES}\r\n\r\n")
        } else {
            format!("transfer-encoding: chunked\r\n\r\n{BODY_BYTES:x}\r\n")
        };
        let head = format!("HTTP/1.1 200 OK\r\n{FIELDS}{framing}");
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
    let (framing, end) = match rests.framing {
        Framing::Close => (String::new(), ""),
        Framing::Length => (format!("content-length: {bytes}\r\n"), ""),
        Framing::Chunked => ("transfer-encoding: chunked\r\n".to_owned(), "\r\n0\r\n\r\n"),
    };
    let size = if end.is_empty() { String::new() } else { format!("{bytes:x}\r\n") };
    let head = format!("HTTP/1.1 {} Rest\r\n{FIELDS}{range}{framing}connection: close\r\n\r\n{size}", rests.status);
    let _ = stream.write_all(&[head.as_bytes(), &beyond[from..from + bytes], end.as_bytes()].concat()).await;
}

/// What a client gets of an answer of a stated length, or of none, that broke off, and where the rests began that were asked for.
async fn got(is_stated: bool, status: u16, bytes: &[usize]) -> (Option<Vec<u8>>, Vec<usize>) {
    got_with(|_| {}, is_stated, status, (bytes, Framing::Close)).await
}

/// The same of a router that is told something else.
async fn got_with(
    change: impl FnOnce(&mut Config),
    is_stated: bool,
    status: u16,
    (bytes, framing): (&[usize], Framing),
) -> (Option<Vec<u8>>, Vec<usize>) {
    let rests = Rests { status, bytes: bytes.to_vec(), framing, asked: Arc::default() };
    let world = World::with(change).await;
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
async fn a_rest_that_is_shorter_than_its_range_is_never_a_clean_end_however_it_is_framed() {
    const SHORT_BYTES: usize = 10_000;
    let rests = [SHORT_BYTES, BODY_BYTES - FIRST_BYTES - SHORT_BYTES];
    for is_stated in [true, false] {
        let (got, asked) = got_with(|_| {}, is_stated, 206, (&rests[..], Framing::Chunked)).await;
        assert!(got.is_some_and(|got| got == body()), "{is_stated}: asked at {asked:?}");
        // One that contradicts itself is nobody's rest.
        let (got, asked) = got_with(|_| {}, is_stated, 206, (&rests[..], Framing::Length)).await;
        assert!(got.is_none(), "{is_stated}: {:?} bytes, asked at {asked:?}", got.map(|got| got.len()));
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

/// Half a repeat a second is earned where ten seconds earn so many.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_too_much_was_repeated_the_rest_is_asked_for_when_it_may_be() {
    const PIECE_BYTES: usize = 20_000;
    let pieces = (BODY_BYTES - FIRST_BYTES) / PIECE_BYTES;
    let burst = u16::try_from(pieces - 1).unwrap();
    let (got, asked) = got_with(
        |config| config.upstream.repeat_burst = burst,
        true,
        206,
        (&vec![PIECE_BYTES; pieces][..], Framing::Close),
    )
    .await;
    assert!(got.is_some_and(|got| got == body()), "asked at {asked:?}");
    let wanted: Vec<_> = (0..pieces).map(|at| FIRST_BYTES + at * PIECE_BYTES).collect();
    assert_eq!(asked, wanted);
}

/// Two endpoints that begin an answer and say no more; who asks for a rest is kept waiting the first time, and gets it the next.
#[derive(Default)]
struct Late {
    /// Which of them began.
    began: Mutex<Option<usize>>,
    rests: AtomicUsize,
}

async fn begin_or_keep_waiting(mut stream: TcpStream, this: usize, late: Arc<Late>) {
    let said = match asked_from(&read_head(&mut stream).await) {
        None => {
            *late.began.lock().unwrap() = Some(this);
            let head = format!("HTTP/1.1 200 OK\r\n{FIELDS}content-length: {BODY_BYTES}\r\n\r\n");
            [head.as_bytes(), &body()[..FIRST_BYTES]].concat()
        }
        Some(_) if late.rests.fetch_add(1, Ordering::SeqCst) == 0 => Vec::new(),
        Some(from) => {
            let (last, bytes) = (BODY_BYTES - 1, BODY_BYTES - from);
            let range = format!("content-range: bytes {from}-{last}/{BODY_BYTES}\r\ncontent-length: {bytes}\r\n");
            let head = format!("HTTP/1.1 206 Rest\r\n{FIELDS}{range}\r\n");
            [head.as_bytes(), &body()[from..]].concat()
        }
    };
    let _ = stream.write_all(&said).await;
    // Until the router closes, or the endpoint ends.
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_late_with_a_rest_is_asked_once_more_also_where_it_was_asked_because_of_a_silence() {
    for is_silent_before in [false, true] {
        let world = World::with(|config| {
            // None is to begin but the one that is asked first.
            (config.upstream.hedge_min, config.upstream.hedge_max) = (Span(PATIENCE), Span(PATIENCE));
            if !is_silent_before {
                config.upstream.stall_after = config.upstream.body_idle_timeout;
            }
        })
        .await;
        let (late, mut services) = (Arc::new(Late::default()), Vec::new());
        for this in 0..2 {
            let late = Arc::clone(&late);
            let service = Service::talking(move |stream| begin_or_keep_waiting(stream, this, Arc::clone(&late))).await;
            world.register("a", &service).await;
            services.push(Some(service));
        }
        let mut answer = world.get("/~a/1").await;
        assert_eq!(answer.status(), StatusCode::OK);
        let mut got = Vec::new();
        while got.len() < FIRST_BYTES {
            got.extend_from_slice(&answer.chunk().await.unwrap().unwrap());
        }
        if is_silent_before {
            eventually(PATIENCE, || async {
                let rests = late.rests.load(Ordering::SeqCst);
                if rests > 0 { Ok(()) } else { Err("nobody was asked because of the silence") }
            })
            .await;
        }
        let began = late.began.lock().unwrap().unwrap();
        drop(services[began].take());
        while let Some(piece) = answer.chunk().await.unwrap() {
            got.extend_from_slice(&piece);
        }
        assert!(got == body(), "{} bytes, or other ones", got.len());
        assert!(late.rests.load(Ordering::SeqCst) >= 2);
    }
}

/// Endpoints that are gone, as many as a site may lose at once, while their leases last: whoever is left has the rest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_many_are_gone_the_one_that_is_left_has_the_rest() {
    const GONE: usize = 8;
    let rests =
        Rests { status: 206, bytes: vec![BODY_BYTES - FIRST_BYTES], framing: Framing::Close, asked: Arc::default() };
    let world = World::with(|config| config.upstream.attempts = 20).await;
    let talk = rests.clone();
    let left = Service::talking(move |stream| answer(stream, true, talk.clone())).await;
    world.register("old", &left).await;
    // What it breaks off goes on there at last, whoever is drawn before.
    for port in flame_test_kit::ports::free_tcp::<GONE>() {
        world.register_address("old", ([127, 0, 0, 1], port).into()).await;
    }
    for _ in 0..3 {
        let answer = world.get("/~old/1").await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(answer.bytes().await.is_ok_and(|got| *got == *body()));
    }
    assert!(rests.asked.lock().unwrap().iter().all(|from| *from == FIRST_BYTES));
}
