//! What memory there is, and what a child has of it.
//!
//! Address space says little: threads and arenas reserve gigabytes that nobody touches. What a child really holds is looked at
//! while it works, and one that holds more than its share is ended before the kernel ends whatever it finds, in a container
//! perhaps the whole of it.

use std::{path::Path, time::Duration};

/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Of the memory there is, what is left to everything but children: an eighth.
const RESERVED: u64 = 8;

/// Most resident memory, in bytes, for each of `size` children of a pool; `None` where this system does not say what there is.
#[must_use]
pub fn share(size: usize) -> Option<u64> {
    let total = available(
        &std::fs::read_to_string("/proc/meminfo").ok()?,
        // Version 2, then 1; within a container its own limit is at the root.
        ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
            .iter()
            .find_map(|path| std::fs::read_to_string(path).ok())
            .as_deref(),
    )?;
    Some((total - total / RESERVED) / size.max(1) as u64)
}

/// What the machine has by its `meminfo(5)`, or the cgroup's limit where that is less: bytes.
fn available(meminfo: &str, limit: Option<&str>) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let machine = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)?;
    // Version 2 says `max` where there is none; version 1 a number near 2^63.
    let limit = limit.and_then(|text| text.trim().parse::<u64>().ok());
    Some(limit.map_or(machine, |limit| limit.min(machine)))
}

/// Ends once the process `pid` holds more than `limit_bytes`; never if that cannot be seen.
pub(crate) async fn exceeded(pid: Option<u32>, limit_bytes: Option<u64>) -> u64 {
    let (Some(pid), Some(limit_bytes)) = (pid, limit_bytes) else { return std::future::pending().await };
    let file = format!("/proc/{pid}/status");
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if resident(Path::new(&file)).is_some_and(|held| held > limit_bytes) {
            return limit_bytes;
        }
    }
}

/// `VmRSS` of a `/proc/PID/status`, in bytes. The kernel writes it from memory: reading it does not wait.
fn resident(file: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_of_machine_and_container_counts() {
        let meminfo = "MemTotal:       24689764 kB\nMemFree:        1 kB\n";
        let machine = 24_689_764 * 1024;
        assert_eq!(available(meminfo, None), Some(machine));
        assert_eq!(available(meminfo, Some("max\n")), Some(machine));
        assert_eq!(available(meminfo, Some("2147483648\n")), Some(2 << 30));
        assert_eq!(available(meminfo, Some("9223372036854771712\n")), Some(machine));
        assert_eq!(available("", Some("1")), None);
    }

    #[test]
    fn what_this_process_holds_is_seen() {
        let held = resident(Path::new("/proc/self/status")).expect("Linux says it");
        assert!((1 << 20..share(1).unwrap()).contains(&held), "{held}");
    }
}
