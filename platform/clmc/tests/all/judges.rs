//! Judges that nobody here wrote: Debian's InfluxDB, which must give the same answers for the same points, and the `influxdb`
//! client of Python.

use flame_test_kit::{Scratch, loud_skip, ports, repository};
use serde_json::Value;
use tokio::process::Command;

use crate::servers::influxdb;
use crate::world::{World, ask, now_ns};

const S: i64 = 1_000_000_000;

/// Points of all types, uneven in time, of several series, some without some tags and fields.
fn points(begin_ns: i64) -> String {
    let mut text = String::new();
    for at in 0..200_i64 {
        let (host, region) = (at % 3, at % 2);
        // No two points at the same time: what comes first of those, InfluxDB does not say.
        let time_ns = begin_ns + at * 7 * S + (at * at % 5) * S / 4;
        let value = ((at * 37) % 101) as f64 / 4.0;
        text.push_str(&format!(
            "cpu,host=h{host},region=r{region} usage={value},count={}i {time_ns}\n",
            (at * 13) % 17
        ));
        if at % 4 == 0 {
            text.push_str(&format!("cpu,host=h{host} usage={},ok={} {}\n", value + 1.0, at % 8 == 0, time_ns + 1));
        }
        if at % 10 == 0 {
            text.push_str(&format!("events,kind=a\\ b text=\"say \\\"{at}\\\", then\",n={at}i {time_ns}\n"));
        }
    }
    text
}

fn questions(begin_ns: i64) -> Vec<String> {
    let (from, to) = (begin_ns + 60 * S, begin_ns + 700 * S);
    let within = format!("time >= {from} AND time < {to}");
    let mut questions = vec![
        "SHOW MEASUREMENTS".to_owned(),
        "SHOW TAG KEYS".to_owned(),
        "SHOW TAG KEYS FROM cpu".to_owned(),
        "SHOW FIELD KEYS".to_owned(),
        "SHOW TAG VALUES FROM cpu WITH KEY = host".to_owned(),
        "SHOW TAG VALUES WITH KEY IN (\"host\", \"kind\")".to_owned(),
        "SHOW TAG VALUES FROM cpu WITH KEY = region WHERE host = 'h1'".to_owned(),
        "SHOW SERIES FROM cpu".to_owned(),
        "SHOW MEASUREMENTS WITH MEASUREMENT =~ /^c/".to_owned(),
        format!("SELECT * FROM cpu WHERE {within} LIMIT 20"),
        format!("SELECT * FROM events WHERE {within}"),
        format!("SELECT usage, host FROM cpu WHERE {within} AND region = '' ORDER BY time DESC LIMIT 5"),
        format!("SELECT usage FROM cpu WHERE {within} AND usage > 20 AND host =~ /h[01]/"),
        format!("SELECT usage FROM cpu WHERE {within} AND (host = 'h0' OR usage < 1.5)"),
        format!("SELECT usage FROM cpu WHERE {within} AND host != 'h0' AND host !~ /2/ LIMIT 7 OFFSET 2"),
        format!("SELECT usage, count FROM cpu WHERE {within} AND ok = true"),
        format!("SELECT usage FROM cpu WHERE {within} GROUP BY host LIMIT 3"),
        format!("SELECT usage FROM cpu WHERE {within} GROUP BY * LIMIT 2"),
        format!("SELECT usage * 2 + 1, count - 1 FROM cpu WHERE {within} LIMIT 5"),
        format!("SELECT mean(usage), max(count) FROM cpu WHERE {within} GROUP BY time(1m), host"),
        format!("SELECT mean(usage) * 100 AS percent FROM cpu WHERE {within} GROUP BY time(1m, 10s) LIMIT 4"),
        format!("SELECT sum(count) / count(count) FROM cpu WHERE {within} GROUP BY region"),
        format!("SELECT count(ok), count(usage) FROM cpu WHERE {within} GROUP BY time(20s)"),
        format!("SELECT percentile(usage, 90), stddev(usage), spread(count) FROM cpu WHERE {within} GROUP BY time(2m)"),
        format!("SELECT mean(*) FROM cpu WHERE {within}"),
        format!("SELECT last(text) FROM events WHERE {within}"),
        format!("SELECT mean(n) FROM events WHERE {within} GROUP BY time(30s) fill(linear)"),
        format!("SELECT sum(n) FROM events WHERE {within} GROUP BY time(30s) fill(previous)"),
        format!("SELECT sum(n) FROM events WHERE {within} GROUP BY time(30s) fill(-1)"),
        format!("SELECT count(n) FROM events WHERE {within} GROUP BY time(30s) fill(none)"),
        format!("SELECT count(n) FROM events WHERE {within} GROUP BY time(30s) ORDER BY time DESC LIMIT 5"),
        format!("SELECT mean(usage) FROM /c.*/ WHERE {within}"),
        format!("SELECT mean(nothing) FROM cpu WHERE {within} GROUP BY time(1m)"),
        format!("SELECT mean(usage) FROM nothing WHERE {within}"),
        format!("SELECT mean(usage) FROM cpu WHERE {within} AND host = 'nobody' GROUP BY time(1m)"),
        "SELECT mean(usage) FROM cpu".to_owned(),
    ];
    for function in ["mean", "median", "sum", "min", "max", "count", "first", "last", "spread"] {
        for field in ["usage", "count"] {
            questions.push(format!("SELECT {function}({field}) FROM cpu WHERE {within}"));
            questions.push(format!("SELECT {function}({field}) FROM cpu WHERE {within} GROUP BY time(45s), host"));
        }
    }
    questions
}

/// Whether two answers say the same: numbers as numbers.
pub fn differs(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Number(ours), Value::Number(theirs)) => {
            let (ours, theirs) = (ours.as_f64().unwrap(), theirs.as_f64().unwrap());
            // Sums of fractions depend on the order in which they are made.
            (ours - theirs).abs() > 1e-9 * ours.abs().max(1.0)
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.len() != theirs.len() || ours.iter().zip(theirs).any(|(ours, theirs)| differs(ours, theirs))
        }
        (Value::Object(ours), Value::Object(theirs)) => {
            ours.len() != theirs.len()
                || ours.iter().any(|(name, ours)| theirs.get(name).is_none_or(|theirs| differs(ours, theirs)))
        }
        (ours, theirs) => ours != theirs,
    }
}

#[tokio::test]
async fn influxdb_gives_the_same_answers() {
    let folder = Scratch::new("clmc-influxdb");
    let [port] = ports::free_tcp();
    let Some((_influxd, theirs)) = influxdb(&folder, port).await else {
        return loud_skip("influxd is not installed (tools/deps test)");
    };
    let world = World::start().await;
    let begin_ns = (now_ns() / S - 3600) * S;
    for base in [&world.base(), &theirs] {
        ask(base, "", "CREATE DATABASE db").await;
        let http = reqwest::Client::new();
        let answer = http.post(format!("{base}/write?db=db")).body(points(begin_ns)).send().await.unwrap();
        assert_eq!(answer.status(), 204, "{base}");
    }
    let mut findings = Vec::new();
    for question in questions(begin_ns) {
        let (ours, theirs) = (ask(&world.base(), "db", &question).await, ask(&theirs, "db", &question).await);
        if differs(&ours, &theirs) {
            findings.push(format!("{question}\n    ours   {ours}\n    theirs {theirs}"));
        }
    }
    assert!(
        findings.is_empty(),
        "{} of {} differ:\n{}",
        findings.len(),
        questions(begin_ns).len(),
        findings.join("\n")
    );
}

#[tokio::test]
async fn the_python_client_writes_and_asks() {
    let world = World::start().await;
    let ran = Command::new(repository().join("tools/python"))
        .arg(repository().join("media-tests/judges/influx.py"))
        .arg(world.running.address().port().to_string())
        .output()
        .await
        .expect("tools/python starts");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.trim() == "all as expected", "{said}{}", String::from_utf8_lossy(&ran.stderr));
}
