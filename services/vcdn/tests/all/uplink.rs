//! A surrogate with a share of its link: answers take turns, whoever would wait too long is sent elsewhere, and nobody gets other bytes.

use std::time::{Duration, Instant};

use flame_service_host::config::{Bytes, Span};
use futures_util::future::join_all;

use crate::origin::Reply;
use crate::world::{World, bytes};

const KIB: usize = 1 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn answers_take_turns_and_the_last_begins_when_the_link_has_sent_the_others() {
    let world = World::with(|config| config.uplink.rate = Some(Bytes(200 << 10))).await;
    let body = bytes(100 * KIB);
    world.origin.put("/a/1", Reply::new(body.clone()));
    // It is kept from now on, and the link is busy for half a second.
    assert_eq!(world.get("/a/1").await.bytes().await.unwrap(), body);
    world.settled().await;
    let began = Instant::now();
    // Plain ones, and one with a field, which another loop answers.
    let asked = (0..4).map(|number| {
        let request = world.http.get(world.url("/a/1"));
        let request = if number == 3 { request.header("accept-language", "en") } else { request };
        async move {
            let answer = request.send().await.unwrap();
            let head = began.elapsed();
            (head, answer.status().as_u16(), answer.bytes().await.unwrap())
        }
    });
    let mut answers = join_all(asked).await;
    assert!(answers.iter().all(|(_, status, got)| *status == 200 && *got == body));
    answers.sort_by_key(|(head, ..)| *head);
    let heads: Vec<Duration> = answers.iter().map(|(head, ..)| *head).collect();
    // 100 KiB take half a second: each begins half a second after the one before; the first waits for the one that filled.
    for two in heads.windows(2) {
        assert!(two[1] - two[0] > Duration::from_millis(350), "{heads:?}");
    }
    // A HEAD sends next to nothing, and waits for nobody.
    let began = Instant::now();
    assert_eq!(world.http.head(world.url("/a/1")).send().await.unwrap().status(), 200);
    assert!(began.elapsed() < Duration::from_millis(300));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_would_wait_too_long_is_told_so_at_once() {
    let world = World::with(|config| {
        config.uplink.rate = Some(Bytes(100 << 10));
        config.uplink.wait = Span(Duration::from_millis(1500));
    })
    .await;
    world.origin.put("/a/1", Reply::new(bytes(100 * KIB)));
    let began = Instant::now();
    let answers = join_all((0..6).map(|_| async {
        let answer = world.get("/a/1").await;
        let (status, after) = (answer.status().as_u16(), began.elapsed());
        let says = answer.headers().contains_key("retry-after");
        (status, says, after, answer.bytes().await.unwrap().len())
    }));
    let answers = answers.await;
    let served = answers.iter().filter(|(status, _, _, length)| (*status, *length) == (200, 100 * KIB)).count();
    // At once, and after one second.
    assert_eq!(served, 2, "{answers:?}");
    for (status, says, after, _) in answers.iter().filter(|(status, ..)| *status != 200) {
        assert!(*status == 503 && *says && *after < Duration::from_millis(900), "{answers:?}");
    }
}
