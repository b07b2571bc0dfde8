//! The bounded way to a collector: the oldest go first, they are counted, and whoever reports never waits.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flame_telemetry::reporter::{Refusal, reporter};
use flame_telemetry::{Context, Point, line};
use flame_test_kit::eventually;
use tokio_util::sync::CancellationToken;

fn point(number: i64) -> Point {
    Point::new("m", &Context::default(), number).field("v", number)
}

#[tokio::test]
async fn a_collector_that_is_away_costs_the_oldest_and_they_are_counted() {
    let (reporter, outbox) = reporter(10, Duration::from_millis(10));
    let (is_away, taken) = (Arc::new(AtomicBool::new(true)), Arc::new(Mutex::new(Vec::new())));
    let tries = Arc::new(AtomicUsize::new(0));
    let stop = CancellationToken::new();
    let send = {
        let (is_away, taken, tries) = (Arc::clone(&is_away), Arc::clone(&taken), Arc::clone(&tries));
        move |lines: bytes::Bytes| {
            tries.fetch_add(1, Ordering::Relaxed);
            let outcome = if is_away.load(Ordering::Relaxed) {
                Err(Refusal::Later)
            } else {
                let text = String::from_utf8(lines.to_vec()).unwrap();
                taken.lock().unwrap().extend(line::lines(&text).map(|(_, line)| line.unwrap().time.unwrap()));
                Ok(())
            };
            async move { outcome }
        }
    };
    let task = tokio::spawn(outbox.run(Vec::new, send, stop.clone()));
    for number in 0..7 {
        reporter.report(point(number));
    }
    // Some are out and come back while others come in.
    eventually(Duration::from_secs(5), || {
        let tried = tries.load(Ordering::Relaxed);
        async move { if tried > 1 { Ok(()) } else { Err("not tried twice") } }
    })
    .await;
    for number in 7..25 {
        reporter.report(point(number));
    }
    is_away.store(false, Ordering::Relaxed);
    let counts = eventually(Duration::from_secs(5), || {
        let counts = reporter.counts();
        async move { if counts.waiting == 0 && counts.sent > 0 { Ok(counts) } else { Err(format!("{counts:?}")) } }
    })
    .await;
    let taken = taken.lock().unwrap().clone();
    // The newest are there, in their order, and each of the others is counted.
    assert!(taken.ends_with(&[15, 16, 17, 18, 19, 20, 21, 22, 23, 24]) && taken.is_sorted(), "{taken:?}");
    assert_eq!((counts.sent + counts.dropped, counts.sent), (25, taken.len() as u64));
    assert!(counts.dropped >= 5, "{counts:?}");
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn what_is_measured_last_is_sent_at_the_end() {
    let (reporter, outbox) = reporter(10, Duration::from_secs(3600));
    let taken = Arc::new(Mutex::new(String::new()));
    let send = {
        let taken = Arc::clone(&taken);
        move |lines: bytes::Bytes| {
            taken.lock().unwrap().push_str(std::str::from_utf8(&lines).unwrap());
            async { Ok(()) }
        }
    };
    let stop = CancellationToken::new();
    reporter.report(point(1));
    stop.cancel();
    outbox.run(|| vec![point(2)], send, stop).await;
    assert_eq!(*taken.lock().unwrap(), "m v=1i 1\nm v=2i 2\n");
}
