//! What a machine reports of itself, from texts as Linux writes them, and of the machine that the test runs on.

use flame_telemetry::machine::{Reading, Room, Texts, disk, points};
use flame_telemetry::{Context, Point, Tag, Value};
use proptest::prelude::*;

const NET_DEV: &str = "Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 900 9 0 0 0 0 0 0 900 9 0 0 0 0 0 0
  eth0:1000 10 1 2 0 0 0 0 2000 20 3 4 0 0 0 0
";
const DISKSTATS: &str = "   7       0 loop0 5 0 5 0 0 0 0 0 0 0 0
 259       0 nvme0n1 100 5 2048 7 50 3 1024 9 0 1 2
 259       1 unused 0 0 0 0 0 0 0 0 0 0 0
";
const MEMINFO: &str = "MemTotal:        1000 kB\nMemFree:          100 kB\nMemAvailable:     250 kB\n";

fn reading(stat: &str) -> Reading {
    Reading::of(Texts {
        stat,
        meminfo: MEMINFO,
        loadavg: "0.50 1.25 2.00 1/100 4711\n",
        net_dev: NET_DEV,
        diskstats: DISKSTATS,
    })
}

fn context() -> Context {
    Context::default().or(Tag::Location, "here").or(Tag::Server, "box")
}

fn shown(points: &[Point]) -> String {
    let mut text = String::new();
    for point in points {
        assert!(flame_telemetry::line::write(point, &mut text), "{point:?}");
    }
    text
}

#[test]
fn processors_memory_load_disks_and_interfaces_are_reported() {
    let before = reading("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n");
    // Of 200 ticks 30 + 10 in user mode, 20 + 5 + 5 in the kernel, 100 idle, 10 waiting, 20 taken by others.
    let now = reading("cpu  130 10 70 900 60 5 5 20 99 99\ncpu0 1 1 1 1 1 1 1 1 0 0\n");
    let mut found = points(&before, &now, &context(), 7);
    found.push(disk(&Room { path: "/data".to_owned(), total_bytes: 400, free_bytes: 100 }, &context(), 7));
    assert_eq!(
        shown(&found),
        "cpu,cpu=cpu-total,flame_location=here,flame_server=box usage_user=20.0,usage_system=15.0,usage_idle=50.0,\
usage_iowait=5.0,usage_steal=10.0 7
mem,flame_location=here,flame_server=box total=1024000i,available=256000i,used=768000i,used_percent=75.0 7
system,flame_location=here,flame_server=box load1=0.5,load5=1.25,load15=2.0 7
diskio,flame_location=here,flame_server=box,name=nvme0n1 reads=100i,read_bytes=1048576i,writes=50i,write_bytes=524288i 7
net,flame_location=here,flame_server=box,interface=eth0 bytes_recv=1000i,bytes_sent=2000i,packets_recv=10i,\
packets_sent=20i,err_in=1i,err_out=3i,drop_in=2i,drop_out=4i 7
disk,flame_location=here,flame_server=box,path=/data total=400i,free=100i,used=300i,used_percent=75.0 7
"
    );
}

#[test]
fn this_machine_says_something_of_everything() {
    let text = |name: &str| std::fs::read_to_string(format!("/proc/{name}")).unwrap_or_default();
    let (stat, meminfo, loadavg) = (text("stat"), text("meminfo"), text("loadavg"));
    let now = Reading::of(Texts { stat: &stat, meminfo: &meminfo, loadavg: &loadavg, ..Texts::default() });
    let before = reading("cpu  0 0 0 0 0 0 0 0 0 0\n");
    let found = points(&before, &now, &context(), 7);
    let names: Vec<_> = found.iter().map(|point| point.measurement.as_str()).collect();
    assert_eq!(names, ["cpu", "mem", "system"]);
    let shares = found[0].fields.iter().filter_map(|(_, value)| value.number());
    assert!((shares.sum::<f64>() - 100.0).abs() < 1e-6, "{:?}", found[0]);
}

#[test]
fn what_is_not_said_is_left_out() {
    let nothing = Reading::of(Texts::default());
    assert_eq!(points(&nothing, &nothing, &context(), 7), []);
    let now = reading("cpu  1 2 3\n");
    assert!(points(&nothing, &now, &context(), 7).iter().all(|point| point.measurement != "cpu"));
}

proptest! {
    #[test]
    fn whatever_the_texts_are_shares_are_shares(
        stats in proptest::collection::vec(proptest::collection::vec(any::<u64>(), 0..12), 2),
        noise in "[a-z0-9: \n]{0,200}",
    ) {
        let text = |counts: &Vec<u64>| {
            let words: Vec<_> = counts.iter().map(u64::to_string).collect();
            format!("cpu  {}\n", words.join(" "))
        };
        let of = |stat: &str| {
            Reading::of(Texts { stat, meminfo: &noise, loadavg: &noise, net_dev: &noise, diskstats: &noise })
        };
        for point in points(&of(&text(&stats[0])), &of(&text(&stats[1])), &context(), 7) {
            for (name, value) in &point.fields {
                if let Value::Float(share) = value {
                    prop_assert!(share.is_finite() && *share >= 0.0, "{} of {} is {}", name, point.measurement, share);
                }
            }
        }
    }
}
