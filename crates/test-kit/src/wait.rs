//! Waiting for a condition instead of for a time: a test is as fast as what it tests, and never flaky by a guess.

use std::fmt::Display;
use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

/// Time between two looks at the condition.
const PAUSE: Duration = Duration::from_millis(20);

/// Calls `condition` until it gives `Ok`, and returns that.
///
/// The error of a look that failed says what is still missing (`"3 of 4 tracks"`): the last one is in the message
/// when the deadline passes.
///
/// ```
/// # use std::time::Duration;
/// # use flame_test_kit::eventually;
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let mut looks = 0;
/// let seen = eventually(Duration::from_secs(5), || {
///     looks += 1;
///     let found = if looks == 3 { Ok(looks) } else { Err("not yet") };
///     async move { found }
/// })
/// .await;
/// assert_eq!(seen, 3);
/// # });
/// ```
///
/// # Panics
/// When `deadline` has passed and the condition does not hold, also if a look hangs.
#[track_caller]
pub fn eventually<T, E, F, Look>(deadline: Duration, mut condition: F) -> impl Future<Output = T>
where
    F: FnMut() -> Look,
    Look: Future<Output = Result<T, E>>,
    E: Display,
{
    let caller = Location::caller();
    async move {
        let end = Instant::now() + deadline;
        let mut missing = String::from("the first look did not return");
        loop {
            match timeout_at(end, condition()).await {
                Ok(Ok(found)) => return found,
                Ok(Err(reason)) => missing = reason.to_string(),
                Err(_elapsed) => panic!("{caller}: a look hung; still missing after {deadline:?}: {missing}"),
            }
            assert!(Instant::now() < end, "{caller}: still missing after {deadline:?}: {missing}");
            sleep(PAUSE).await;
        }
    }
}

/// What [`eventually`] is, for tests without a runtime: the thread sleeps between two looks.
///
/// # Panics
/// When `deadline` has passed and the condition does not hold. A look that hangs is not noticed.
#[track_caller]
#[allow(clippy::disallowed_methods, reason = "the one place in which threads of tests wait")]
pub fn wait_for<T, E: Display>(deadline: Duration, mut condition: impl FnMut() -> Result<T, E>) -> T {
    let end = Instant::now() + deadline;
    loop {
        match condition() {
            Ok(found) => return found,
            Err(missing) => assert!(Instant::now() < end, "still missing after {deadline:?}: {missing}"),
        }
        std::thread::sleep(PAUSE);
    }
}
