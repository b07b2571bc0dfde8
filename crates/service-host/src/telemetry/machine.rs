//! The machine as the services on it report it: reads `/proc`, and how much room the disks have. What that means is said in
//! [`flame_telemetry::machine`].
//!
//! Of the services of one process one reports the machine, and another one when that stops. Those of several processes may all do
//! so: they report at the same moments, multiples of the interval, and points of one series at one time are one.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flame_telemetry::machine::{self, Reading, Texts};
use flame_telemetry::{Context, Point, Tag};

use crate::disk::DiskGuard;

/// Whether a service of this process reports the machine.
static CLAIMED: AtomicBool = AtomicBool::new(false);
/// The file system that every machine has.
const ROOT: &str = "/";

/// What one service reports of its machine.
#[derive(Debug)]
pub(super) struct Machine {
    context: Context,
    interval_ns: i64,
    /// Where the service keeps its data.
    disk: Option<DiskGuard>,
    claim: Option<Claim>,
    before: Reading,
}

/// Held by the service that reports for all of its process.
#[derive(Debug)]
struct Claim;

// === impl Machine ===

impl Machine {
    pub(super) fn new(service: &Context, interval: Duration, disk: Option<DiskGuard>) -> Self {
        let place = [Tag::Location, Tag::Server, Tag::Tenant].map(|tag| (tag, service.get(tag).unwrap_or_default()));
        Self {
            context: place.into_iter().fold(Context::default(), |context, (tag, value)| context.or(tag, value)),
            interval_ns: i64::try_from(interval.as_nanos()).unwrap_or(i64::MAX).max(1),
            disk,
            claim: None,
            before: Reading::default(),
        }
    }

    /// The machine's measurements now, and the room where the service keeps its data.
    pub(super) fn points(&mut self, now_ns: i64) -> Vec<Point> {
        let time_ns = now_ns - now_ns.rem_euclid(self.interval_ns);
        let own = self.disk.as_ref().and_then(DiskGuard::room);
        let mut points: Vec<Point> = own.iter().map(|room| machine::disk(room, &self.context, time_ns)).collect();
        if self.claim.is_none() {
            self.claim = Claim::take();
        }
        if self.claim.is_some() {
            let now = read();
            let root = crate::disk::room(Path::new(ROOT));
            points.extend(root.iter().map(|room| machine::disk(room, &self.context, time_ns)));
            points.extend(machine::points(&self.before, &now, &self.context, time_ns));
            self.before = now;
        }
        points
    }
}

fn read() -> Reading {
    // What a machine does not have, or does not show, is not reported.
    let text = |name: &str| std::fs::read_to_string(Path::new("/proc").join(name)).unwrap_or_default();
    let [stat, meminfo, loadavg, net_dev, diskstats] = ["stat", "meminfo", "loadavg", "net/dev", "diskstats"].map(text);
    Reading::of(Texts { stat: &stat, meminfo: &meminfo, loadavg: &loadavg, net_dev: &net_dev, diskstats: &diskstats })
}

// === impl Claim ===

impl Claim {
    fn take() -> Option<Self> {
        let was_claimed = CLAIMED.swap(true, Ordering::AcqRel);
        // Made only where it is one: it is given back when it is dropped.
        if was_claimed { None } else { Some(Self) }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        CLAIMED.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(points: &[Point]) -> Vec<&str> {
        points.iter().map(|point| point.measurement.as_str()).collect()
    }

    #[test]
    fn one_service_of_a_process_reports_the_machine_and_another_takes_over() {
        let context = Context::default().or(Tag::Location, "here").or(Tag::Server, "box").or(Tag::Endpoint, "a");
        let disk = DiskGuard::new(std::env::temp_dir(), 5.0);
        let machine = |disk: Option<DiskGuard>| Machine::new(&context, Duration::from_secs(10), disk);
        let (mut first, mut second) = (machine(None), machine(Some(disk)));
        let points = first.points(12_345_678_901);
        for name in ["mem", "system", "disk"] {
            assert!(names(&points).contains(&name), "{name} is not in {:?}", names(&points));
        }
        let tags: Vec<_> = points[0].tags.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(tags, ["flame_location", "flame_server", "path"], "of the machine, not of the endpoint");
        assert!(points.iter().all(|point| point.time_ns == 10_000_000_000));
        assert_eq!(names(&second.points(0)), ["disk"], "its own, and not the machine's");
        drop(first);
        assert!(names(&second.points(0)).contains(&"mem"));
    }
}
