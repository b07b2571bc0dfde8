//! How long to wait before trying again what is away.

use std::time::Duration;

use time::OffsetDateTime;

/// The pause after the first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The pause after `attempts` failures in a row.
#[must_use]
pub fn pause(attempts: u32, longest: Duration) -> Duration {
    let doublings = attempts.saturating_sub(1).min(20);
    FIRST_PAUSE.saturating_mul(1 << doublings).min(longest)
}

/// The time until `due`, or `fallback` where nothing is due.
#[must_use]
pub fn until(due: Option<OffsetDateTime>, fallback: Duration) -> Duration {
    let left = due.map(|due| Duration::try_from(due - OffsetDateTime::now_utc()).unwrap_or(Duration::ZERO));
    left.map_or(fallback, |left| left.min(fallback))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let longest = Duration::from_secs(3);
        let pauses = [0, 1, 2, 3, 4, 5, 1000].map(|attempts| pause(attempts, longest).as_millis());
        assert_eq!(pauses, [250, 250, 500, 1000, 2000, 3000, 3000]);
    }
}
