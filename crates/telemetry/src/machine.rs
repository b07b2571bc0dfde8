//! Measurements of the machine that services run on: processors, memory, disks, network. Pure: texts of Linux's `/proc` in
//! (proc(5)), points out.
//!
//! Measurements and fields are called as Telegraf's plugins of the same names call them, so what is made for those works here.
//! They carry the tags of a place and a machine only: whoever joins them with services does so by these. What a text does not
//! say is left out.

use crate::context::Context;
use crate::point::Point;

/// Interfaces of a machine that are reported, and likewise block devices: the first ones, as the kernel lists them.
const LISTED_MAX: usize = 32;
/// The unit of `/proc/diskstats`, whatever the device has.
const SECTOR_BYTES: u64 = 512;

/// What the kernel says of a machine at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// Ticks of all processors since the start.
    ticks: Option<Ticks>,
    memory: Option<Memory>,
    /// Load over 1, 5 and 15 minutes.
    load: Option<[f64; 3]>,
    interfaces: Vec<(String, Traffic)>,
    devices: Vec<(String, Transfers)>,
}

/// The texts of the files of the same names below `/proc`; empty where one cannot be read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Texts<'a> {
    /// `/proc/stat`
    pub stat: &'a str,
    /// `/proc/meminfo`
    pub meminfo: &'a str,
    /// `/proc/loadavg`
    pub loadavg: &'a str,
    /// `/proc/net/dev`
    pub net_dev: &'a str,
    /// `/proc/diskstats`
    pub diskstats: &'a str,
}

/// The room of a file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// A folder on it.
    pub path: String,
    /// What it has, bytes.
    pub total_bytes: u64,
    /// What can be written to it, bytes.
    pub free_bytes: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Ticks {
    user: u64,
    system: u64,
    idle: u64,
    iowait: u64,
    steal: u64,
    all: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Memory {
    total_bytes: u64,
    available_bytes: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Traffic {
    bytes_recv: u64,
    packets_recv: u64,
    err_in: u64,
    drop_in: u64,
    bytes_sent: u64,
    packets_sent: u64,
    err_out: u64,
    drop_out: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Transfers {
    reads: u64,
    read_bytes: u64,
    writes: u64,
    write_bytes: u64,
}

/// The measurements of a machine at `time_ns`: shares of processor time are those since `before`, counters go on from the
/// machine's start.
#[must_use]
pub fn points(before: &Reading, now: &Reading, context: &Context, time_ns: i64) -> Vec<Point> {
    let point = |measurement: &str| Point::new(measurement, context, time_ns);
    let mut points = Vec::new();
    if let (Some(before), Some(now)) = (before.ticks, now.ticks) {
        let all = now.all.saturating_sub(before.all);
        if all > 0 {
            let share = |now: u64, before: u64| percent(now.saturating_sub(before), all);
            let cpu = point("cpu").tag("cpu", "cpu-total").field("usage_user", share(now.user, before.user));
            let cpu = cpu.field("usage_system", share(now.system, before.system));
            let cpu = cpu.field("usage_idle", share(now.idle, before.idle));
            let cpu = cpu.field("usage_iowait", share(now.iowait, before.iowait));
            points.push(cpu.field("usage_steal", share(now.steal, before.steal)));
        }
    }
    if let Some(Memory { total_bytes, available_bytes }) = now.memory {
        let used_bytes = total_bytes.saturating_sub(available_bytes);
        let memory = point("mem").field("total", total_bytes).field("available", available_bytes);
        points.push(memory.field("used", used_bytes).field("used_percent", percent(used_bytes, total_bytes)));
    }
    if let Some([load1, load5, load15]) = now.load {
        points.push(point("system").field("load1", load1).field("load5", load5).field("load15", load15));
    }
    points.extend(now.devices.iter().map(|(name, one)| {
        let io = point("diskio").tag("name", name).field("reads", one.reads).field("read_bytes", one.read_bytes);
        io.field("writes", one.writes).field("write_bytes", one.write_bytes)
    }));
    points.extend(now.interfaces.iter().map(|(name, one)| {
        let fields = [
            ("bytes_recv", one.bytes_recv),
            ("bytes_sent", one.bytes_sent),
            ("packets_recv", one.packets_recv),
            ("packets_sent", one.packets_sent),
            ("err_in", one.err_in),
            ("err_out", one.err_out),
            ("drop_in", one.drop_in),
            ("drop_out", one.drop_out),
        ];
        let net = point("net").tag("interface", name);
        fields.into_iter().fold(net, |net, (name, count)| net.field(name, count))
    }));
    points
}

/// The room of a file system as a measurement.
#[must_use]
pub fn disk(room: &Room, context: &Context, time_ns: i64) -> Point {
    let Room { path, total_bytes, free_bytes } = room;
    let used_bytes = total_bytes.saturating_sub(*free_bytes);
    let disk = Point::new("disk", context, time_ns).tag("path", path);
    let disk = disk.field("total", *total_bytes).field("free", *free_bytes);
    disk.field("used", used_bytes).field("used_percent", percent(used_bytes, *total_bytes))
}

#[allow(clippy::cast_precision_loss, reason = "a share of counts")]
fn percent(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 * 100.0 / all as f64 }
}

// === impl Reading ===

impl Reading {
    /// What the texts say.
    #[must_use]
    pub fn of(texts: Texts<'_>) -> Self {
        Self {
            ticks: ticks(texts.stat),
            memory: memory(texts.meminfo),
            load: load(texts.loadavg),
            interfaces: interfaces(texts.net_dev),
            devices: devices(texts.diskstats),
        }
    }
}

fn ticks(text: &str) -> Option<Ticks> {
    let words = text.lines().find_map(|line| line.strip_prefix("cpu "))?.split_ascii_whitespace();
    // What guests took is in `user` and `nice` already.
    let counts: Vec<u64> = words.take(8).map_while(|word| word.parse().ok()).collect();
    let [user, nice, system, idle, iowait, irq, softirq, steal] = <[u64; 8]>::try_from(counts).ok()?;
    let (user, system) = (user.saturating_add(nice), system.saturating_add(irq).saturating_add(softirq));
    let all = [user, system, idle, iowait, steal].into_iter().fold(0, u64::saturating_add);
    Some(Ticks { user, system, idle, iowait, steal, all })
}

fn memory(text: &str) -> Option<Memory> {
    let bytes = |name: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        rest.split_ascii_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
    };
    Some(Memory { total_bytes: bytes("MemTotal")?, available_bytes: bytes("MemAvailable")? })
}

fn load(text: &str) -> Option<[f64; 3]> {
    let words =
        text.split_ascii_whitespace().take(3).map_while(|word| word.parse().ok().filter(|load: &f64| load.is_finite()));
    <[f64; 3]>::try_from(words.collect::<Vec<f64>>()).ok()
}

fn interfaces(text: &str) -> Vec<(String, Traffic)> {
    let one = |line: &str| {
        let (name, counts) = line.split_once(':')?;
        let counts: Vec<u64> = counts.split_ascii_whitespace().map_while(|word| word.parse().ok()).collect();
        let count = |at: usize| counts.get(at).copied();
        let traffic = Traffic {
            bytes_recv: count(0)?,
            packets_recv: count(1)?,
            err_in: count(2)?,
            drop_in: count(3)?,
            bytes_sent: count(8)?,
            packets_sent: count(9)?,
            err_out: count(10)?,
            drop_out: count(11)?,
        };
        Some((name.trim().to_owned(), traffic))
    };
    text.lines().filter_map(one).filter(|(name, _)| name != "lo").take(LISTED_MAX).collect()
}

fn devices(text: &str) -> Vec<(String, Transfers)> {
    let one = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let count = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
        let transfers = Transfers {
            reads: count(3)?,
            read_bytes: count(5)?.saturating_mul(SECTOR_BYTES),
            writes: count(7)?,
            write_bytes: count(9)?.saturating_mul(SECTOR_BYTES),
        };
        Some(((*words.get(2)?).to_owned(), transfers))
    };
    // Neither what lies in memory nor what was never used.
    let is_shown = |(name, transfers): &(String, Transfers)| {
        !name.starts_with("ram") && !name.starts_with("loop") && (transfers.reads > 0 || transfers.writes > 0)
    };
    text.lines().filter_map(one).filter(is_shown).take(LISTED_MAX).collect()
}
