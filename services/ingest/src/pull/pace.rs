//! Which pull is next, and whether a server sends fast enough to go on. Pure: it looks at no clock and starts nothing.

use std::collections::HashMap;
use std::time::Duration;

use uuid::Uuid;

/// Which of those that are `due`, longest waiting first, begin beside those that run: no more than `max` all together, and
/// `tenant_max` of a tenant. First comes who has least running.
#[must_use]
pub fn next(due: &[(Uuid, String)], running: &HashMap<Uuid, String>, max: usize, tenant_max: usize) -> Vec<Uuid> {
    let mut of: HashMap<&str, usize> = HashMap::new();
    for tenant in running.values() {
        *of.entry(tenant).or_default() += 1;
    }
    let mut begin = Vec::new();
    while running.len() + begin.len() < max {
        let waiting = due.iter().filter(|(id, _)| !running.contains_key(id) && !begin.contains(id));
        let running_of = |tenant: &str| of.get(tenant).copied().unwrap_or(0);
        // Of equals the first one: it has waited longest.
        let Some((id, tenant)) = waiting.min_by_key(|(_, tenant)| running_of(tenant)) else { break };
        if running_of(tenant) >= tenant_max {
            break;
        }
        *of.entry(tenant).or_default() += 1;
        begin.push(*id);
    }
    begin
}

/// How fast a server sends, counting only the time that we waited for it.
#[derive(Debug)]
pub struct Pace {
    min_bytes_per_s: u64,
    over: Duration,
    waited: Duration,
    came_bytes: u64,
}

// === impl Pace ===

impl Pace {
    /// At least `min_bytes_per_s`, judged over each `over` of waiting.
    #[must_use]
    pub fn new(min_bytes_per_s: u64, over: Duration) -> Self {
        Self { min_bytes_per_s, over, waited: Duration::ZERO, came_bytes: 0 }
    }

    /// After `waited` so many bytes came. Whether that is fast enough, as far as it can be told.
    pub fn came(&mut self, waited: Duration, bytes: u64) -> bool {
        self.waited += waited;
        self.came_bytes += bytes;
        if self.waited < self.over {
            return true;
        }
        let is_enough =
            u128::from(self.came_bytes) * 1000 >= u128::from(self.min_bytes_per_s) * self.waited.as_millis();
        (self.waited, self.came_bytes) = (Duration::ZERO, 0);
        is_enough
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nobody_gets_more_than_its_share_and_no_place_stays_empty_for_nothing(
            due in prop::collection::vec(0_u8..4, 0..30),
            runs in prop::collection::vec(0_u8..4, 0..6),
            max in 1_usize..8,
            tenant_max in 1_usize..4,
        ) {
            let due: Vec<(Uuid, String)> = due.iter().map(|tenant| (Uuid::new_v4(), tenant.to_string())).collect();
            let running: HashMap<Uuid, String> = runs.iter().map(|tenant| (Uuid::new_v4(), tenant.to_string())).collect();
            let begin = next(&due, &running, max, tenant_max);
            let tenant_of = |id: &Uuid| &due.iter().find(|(due, _)| due == id).unwrap().1;
            let count = |tenant: &str| {
                running.values().filter(|of| *of == tenant).count() + begin.iter().filter(|id| tenant_of(id) == tenant).count()
            };
            prop_assert!(begin.is_empty() || running.len() + begin.len() <= max);
            for id in &begin {
                prop_assert!(count(tenant_of(id)) <= tenant_max);
                // Within a tenant in the order in which they wait.
                let earlier = due.iter().take_while(|(due, _)| due != id).filter(|(_, tenant)| tenant == tenant_of(id));
                prop_assert!(earlier.clone().all(|(earlier, _)| begin.contains(earlier)));
            }
            if running.len() + begin.len() < max {
                let left = due.iter().find(|(id, tenant)| !begin.contains(id) && count(tenant) < tenant_max);
                prop_assert!(left.is_none(), "{left:?} could begin");
            }
        }
    }

    #[test]
    fn only_time_that_is_waited_counts() {
        let mut pace = Pace::new(1000, Duration::from_secs(10));
        let second = Duration::from_secs(1);
        // What came while we were busy costs the server nothing.
        assert!((0..100).all(|_| pace.came(Duration::ZERO, 1)));
        assert!((0..9).all(|_| pace.came(second, 1000)));
        assert!(pace.came(second, 1000), "fast enough");
        assert!((0..9).all(|_| pace.came(second, 999)));
        assert!(!pace.came(second, 999), "too slow");
        assert!(pace.came(second, 0), "it is judged anew");
    }
}
