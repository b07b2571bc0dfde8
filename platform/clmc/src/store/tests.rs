//! The store against a map in memory: whatever is written in whatever order, over restarts and torn ends, is read as it was
//! written last; and the bounds hold.

use std::collections::BTreeMap;
use std::time::Duration;

use flame_service_host::config::{Bytes, Span};
use flame_telemetry::line;
use flame_test_kit::Scratch;
use proptest::prelude::*;

use super::*;

const NOW_NS: i64 = 1_700_000_000_000_000_000;
const S: i64 = 1_000_000_000;

fn settings(folder: &Scratch) -> StoreConfig {
    StoreConfig { folder: folder.join("store"), segment: Bytes(400), ..StoreConfig::default() }
}

fn write(store: &Store, name: &str, text: &str) -> Written {
    let points: Vec<_> =
        line::lines(text).map(|(_, line)| line.unwrap()).map(|line| (line.clone(), line.time.unwrap())).collect();
    store.write("default", name, &points, NOW_NS).unwrap()
}

fn read(store: &Store, name: &str, from_ns: i64, to_ns: i64) -> Vec<Series> {
    let all = |_: &Tags| true;
    let selection = Selection { measurement: "m", series: &all, fields: None, from_ns, to_ns };
    let mut found = store.read("default", name, selection, (NOW_NS, 1_000_000)).unwrap();
    found.sort_by(|left, right| left.tags.cmp(&right.tags));
    found
}

/// Host, field, time after the beginning in seconds, value.
type Sample = (u8, u8, i64, i64);

fn batches() -> impl Strategy<Value = Vec<(Vec<Sample>, bool)>> {
    let sample = (0..3_u8, 0..3_u8, 0..100_i64, any::<i64>());
    // A batch, and whether the store is opened anew after it.
    proptest::collection::vec((proptest::collection::vec(sample, 1..30), any::<bool>()), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_written_is_read_over_restarts(batches in batches(), from in 0..100_i64, length in 0..100_i64) {
        let folder = Scratch::new("clmc-store");
        let mut store = Store::open(&settings(&folder)).unwrap();
        let begin = NOW_NS - 1000 * S;
        let mut model: BTreeMap<(String, String, i64), i64> = BTreeMap::new();
        for (samples, is_opened_anew) in batches {
            let mut text = String::new();
            for (host, field, second, value) in samples {
                let time_ns = begin + second * S;
                text.push_str(&format!("m,host=h{host} f{field}={value}i {time_ns}\n"));
                model.insert((format!("h{host}"), format!("f{field}"), time_ns), value);
            }
            let written = write(&store, "db", &text);
            prop_assert_eq!(written.accepted, text.lines().count());
            if is_opened_anew {
                drop(store);
                store = Store::open(&settings(&folder)).unwrap();
            }
        }
        let (from_ns, to_ns) = (begin + from * S, begin + (from + length) * S);
        let mut seen = BTreeMap::new();
        for series in read(&store, "db", from_ns, to_ns) {
            for (field, column) in series.columns {
                for (time_ns, value) in column {
                    let flame_telemetry::Value::Integer(value) = value else { panic!("{value:?}") };
                    let key = (series.tags["host"].clone(), field.clone(), time_ns);
                    prop_assert!(seen.insert(key, value).is_none(), "twice");
                }
            }
        }
        model.retain(|(_, _, time_ns), _| (from_ns..=to_ns).contains(time_ns));
        prop_assert_eq!(seen, model);
    }

    #[test]
    fn an_end_that_was_torn_off_costs_what_it_held_and_no_more(cut in 1..60_u64, is_noise in any::<bool>()) {
        let folder = Scratch::new("clmc-torn");
        let store = Store::open(&StoreConfig { segment: Bytes(1 << 20), ..settings(&folder) }).unwrap();
        for second in 0..5 {
            write(&store, "db", &format!("m v={second}i {}", NOW_NS + second * S));
        }
        drop(store);
        let path = folder.join("store/default/db/000000000001.seg");
        let bytes = std::fs::read(&path).unwrap();
        let kept = bytes.len() - usize::try_from(cut).unwrap();
        let mut torn = bytes[..kept].to_vec();
        if is_noise {
            torn.extend(std::iter::repeat_n(0xa5, 40));
        }
        std::fs::write(&path, torn).unwrap();
        let store = Store::open(&settings(&folder)).unwrap();
        let count = |store: &Store| read(store, "db", 0, i64::MAX).first().map_or(0, |series| series.columns["v"].len());
        let whole = count(&store);
        prop_assert!(whole < 5);
        // It goes on where it was whole.
        write(&store, "db", &format!("m v=7i {}", NOW_NS + 7 * S));
        drop(store);
        let store = Store::open(&settings(&folder)).unwrap();
        prop_assert_eq!(count(&store), whole + 1);
    }
}

#[test]
fn what_is_too_old_is_refused_then_deleted_with_its_names() {
    let folder = Scratch::new("clmc-old");
    let settings = StoreConfig { retention: Span(Duration::from_secs(100)), ..settings(&folder) };
    let store = Store::open(&settings).unwrap();
    let text = format!("m,host=a v=1 {}\nm,host=b v=1 {}", NOW_NS - 101 * S, NOW_NS - 90 * S);
    let written = write(&store, "db", &text);
    assert_eq!((written.accepted, written.rejected), (1, vec![(0, Rejection::TooOld)]));
    // Later writes close files; the ones that are over go.
    for second in 0..20 {
        write(&store, "db", &format!("m,host=c long=\"{}\" {}", "x".repeat(100), NOW_NS - (80 - second) * S));
    }
    let hosts = |store: &Store| {
        let shape = store.shape("default", "db", "m").unwrap().unwrap();
        shape.series.into_iter().map(|tags| tags["host"].clone()).collect::<BTreeSet<_>>()
    };
    assert_eq!(hosts(&store), ["b", "c"].map(str::to_owned).into());
    let before = store.figures();
    store.tidy(NOW_NS + 30 * S);
    assert_eq!(hosts(&store), ["c"].map(str::to_owned).into());
    assert!(store.figures().bytes < before.bytes && store.figures().series == 1);
    drop(store);
    assert_eq!(hosts(&Store::open(&settings).unwrap()), ["c"].map(str::to_owned).into());
}

#[test]
fn the_disk_is_bounded_and_who_writes_most_loses_first() {
    let folder = Scratch::new("clmc-disk");
    let store = Store::open(&StoreConfig { disk: Bytes(20_000), segment: Bytes(1_000), ..settings(&folder) }).unwrap();
    write(&store, "small", &format!("m v=1 {NOW_NS}"));
    for second in 0..300 {
        write(&store, "large", &format!("m long=\"{}\" {}", "x".repeat(200), NOW_NS + second * S));
    }
    let bytes = store.figures().bytes;
    assert!((15_000..=21_500).contains(&bytes), "{bytes}");
    assert_eq!(read(&store, "small", 0, i64::MAX).len(), 1);
    let kept = read(&store, "large", 0, i64::MAX);
    let column = &kept[0].columns["long"];
    // The newest are there, without a gap.
    assert_eq!(column.last().unwrap().0, NOW_NS + 299 * S);
    assert!(column.windows(2).all(|pair| pair[1].0 - pair[0].0 == S) && column.len() < 120, "{}", column.len());
}

#[test]
fn names_are_bounded_and_types_stay() {
    let folder = Scratch::new("clmc-names");
    let settings = StoreConfig { series: 2, fields: 3, databases: 2, ..settings(&folder) };
    let store = Store::open(&settings).unwrap();
    write(&store, "db", &format!("m,host=a v=1 {NOW_NS}\nm,host=b v=1 {NOW_NS}"));
    let rejected = |text: &str| {
        write(&store, "db", &format!("{text} {NOW_NS}")).rejected.into_iter().map(|(_, why)| why).collect::<Vec<_>>()
    };
    assert_eq!(rejected("m,host=c v=1"), [Rejection::Series(2)]);
    assert_eq!(rejected("m,host=a v=1,x=1,y=1"), []);
    assert_eq!(rejected("m,host=a z=1"), [Rejection::Fields(3)]);
    let conflict =
        "field type conflict: input field \"v\" on measurement \"m\" is type integer, already exists as type float";
    assert_eq!(rejected("m,host=a v=1i").iter().map(ToString::to_string).collect::<Vec<_>>(), [conflict]);
}

#[test]
fn databases_are_the_tenant_s_own_and_few() {
    let folder = Scratch::new("clmc-databases");
    let settings = StoreConfig { databases: 2, create_on_write: false, ..settings(&folder) };
    let store = Store::open(&settings).unwrap();
    let points = [];
    assert!(matches!(store.write("default", "db", &points, NOW_NS), Err(StoreError::NoDatabase(_))));
    for name in ["", "a/b", "..\0", &"x".repeat(65)] {
        assert!(matches!(store.create("default", name), Err(StoreError::Name(_))), "{name:?}");
    }
    store.create("default", "..").unwrap();
    store.create("acme", "db å").unwrap();
    assert!(matches!(store.create("default", "third"), Err(StoreError::TooMany(2))));
    store.create("default", "..").unwrap();
    drop(store);
    let store = Store::open(&settings).unwrap();
    assert_eq!((store.databases("default"), store.databases("acme")), (vec!["..".to_owned()], vec!["db å".to_owned()]));
    store.drop_database("acme", "db å").unwrap();
    store.drop_database("acme", "..").unwrap();
    assert_eq!((store.databases("default").len(), store.databases("acme").len()), (1, 0));
    let folders = std::fs::read_dir(folder.join("store")).unwrap().count();
    assert!(folders == 2 && std::fs::read_dir(folder.path()).unwrap().count() == 1, "nothing lies outside");
}
