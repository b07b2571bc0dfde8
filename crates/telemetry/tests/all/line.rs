//! The line protocol: what is written is read again, whatever it says; what others write is read as InfluxDB reads it.

use flame_telemetry::line::{self, LineError};
use flame_telemetry::{Point, Value};
use proptest::prelude::*;

/// Names with everything that has a meaning in the protocol.
fn name() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![
            Just(','),
            Just('='),
            Just(' '),
            Just('"'),
            Just('\\'),
            Just('#'),
            Just('\n'),
            Just('é'),
            proptest::char::range('a', 'e')
        ],
        0..6,
    )
    .prop_map(|characters| characters.into_iter().collect())
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<f64>().prop_map(Value::Float),
        any::<i64>().prop_map(Value::Integer),
        any::<bool>().prop_map(Value::Boolean),
        name().prop_map(Value::Text),
    ]
}

fn point() -> impl Strategy<Value = Point> {
    let tags = proptest::collection::vec((name(), name()), 0..4);
    let fields = proptest::collection::vec((name(), value()), 0..4);
    (name(), tags, fields, any::<i64>()).prop_map(|(measurement, tags, fields, time_ns)| Point {
        measurement,
        tags,
        fields,
        time_ns,
    })
}

/// Measurement, tags, fields.
type Said = (String, Vec<(String, String)>, Vec<(String, Value)>);

/// What the protocol can say of a point, said again without it.
fn sayable(point: &Point) -> Option<Said> {
    let clean = |name: &str| name.trim_end_matches('\\').replace(['\n', '\r'], " ");
    let measurement = clean(&point.measurement);
    let mut tags: Vec<(String, String)> = Vec::new();
    for (name, value) in point.tags.iter().map(|(name, value)| (clean(name), clean(value))) {
        if !tags.iter().any(|(known, _)| *known == name) {
            tags.push((name, value));
        }
    }
    tags.retain(|(name, value)| !name.is_empty() && !value.is_empty());
    tags.sort();
    let mut fields: Vec<(String, Value)> = Vec::new();
    for (name, value) in &point.fields {
        let name = clean(name);
        if name.is_empty() || matches!(value, Value::Float(number) if !number.is_finite()) {
            continue;
        }
        match fields.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value.clone(),
            None => fields.push((name, value.clone())),
        }
    }
    let is_said = !measurement.is_empty() && !measurement.starts_with('#') && !fields.is_empty();
    is_said.then_some((measurement, tags, fields))
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(points in proptest::collection::vec(point(), 1..5)) {
        let mut text = String::new();
        let mut expected = Vec::new();
        for point in &points {
            let said = sayable(point);
            prop_assert_eq!(line::write(point, &mut text), said.is_some(), "{:?}", point);
            expected.extend(said.map(|said| (said, point.time_ns)));
        }
        let read: Vec<_> = line::lines(&text).map(|(_, read)| read.unwrap_or_else(|error| panic!("{error}: {text:?}"))).collect();
        prop_assert_eq!(read.len(), expected.len(), "{}", text);
        for (read, ((measurement, tags, fields), time_ns)) in read.iter().zip(&expected) {
            prop_assert_eq!(read.measurement.as_ref(), measurement);
            let read_tags: Vec<_> = read.tags.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            prop_assert_eq!(&read_tags, tags);
            let read_fields: Vec<_> = read.fields.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
            prop_assert_eq!(&read_fields, fields);
            prop_assert_eq!(read.time, Some(*time_ns));
        }
    }

    #[test]
    fn whatever_is_sent_is_read_or_refused_line_by_line(text in "[a-c,= \"\\\\\n#0-9i.tu-]{0,60}") {
        let mut last = 0;
        for (number, _) in line::lines(&text) {
            prop_assert!(number > last && number <= text.lines().count().max(1));
            last = number;
        }
    }

    #[test]
    fn a_wrong_line_costs_itself_alone(wrong in "[a-c]{1,4}|[a-c],[a-c]{0,3} v=1|[a-c] v=|[a-c] v=1 x|,a=b v=1") {
        let text = format!("m v=1 1\n{wrong}\nm v=2 2\n");
        let read: Vec<_> = line::lines(&text).collect();
        prop_assert_eq!(read.len(), 3);
        prop_assert!(read[0].1.is_ok() && read[1].1.is_err() && read[2].1.is_ok(), "{:?}", read);
        prop_assert_eq!(read[1].0, 2);
    }
}

#[test]
fn lines_of_others_are_read_as_influxdb_reads_them() {
    let read = |text: &str| line::read(text).map(|line| format!("{line:?}"));
    let same = |left: &str, right: &str| assert_eq!(read(left), read(right), "{left} {right}");
    same("cpu,host=a value=1", "cpu,host=a value=1.0");
    same("cpu value=1  ", "cpu value=1");
    same("cpu  value=1", "cpu value=1");
    let telegraf = "disk,device=sda\\ 1,path=/srv used_percent=12.5,total=100i,ok=T,mode=\"rw, \\\"x\\\" = y\" 1700000000000000000";
    let line = line::read(telegraf).unwrap();
    assert_eq!(line.tags[0], ("device".into(), "sda 1".into()));
    let fields: Vec<_> = line.fields.iter().map(|(_, value)| value.clone()).collect();
    let text = Value::Text("rw, \"x\" = y".to_owned());
    assert_eq!(fields, [Value::Float(12.5), Value::Integer(100), Value::Boolean(true), text]);
    assert_eq!(line.time, Some(1_700_000_000_000_000_000));
    // A line feed in a text does not end the line; the lines after it have their own numbers.
    let texts = "# a comment\n\nlog text=\"one\ntwo\" 1\nlog text=\"three\" 2\n";
    let numbers: Vec<_> = line::lines(texts).map(|(number, line)| (number, line.unwrap().time)).collect();
    assert_eq!(numbers, [(3, Some(1)), (5, Some(2))]);
}

#[test]
fn what_is_wrong_is_named() {
    let error = |text: &str| line::read(text).unwrap_err();
    assert_eq!(error("cpu"), LineError::NoFields);
    assert_eq!(error(" v=1"), LineError::NoMeasurement);
    assert_eq!(error("cpu,host v=1"), LineError::Tag("cpu,host".to_owned()));
    assert_eq!(error("cpu,host= v=1"), LineError::Tag("cpu,host=".to_owned()));
    assert_eq!(error("cpu,a=1,a=2 v=1"), LineError::DuplicateTag("a".to_owned()));
    assert_eq!(error("cpu v"), LineError::Field("cpu v".to_owned()));
    for wrong in ["nan", "inf", "+1", "1x", "1.5i", "\"a\"b", "", "-", "9223372036854775808i", "-Inf", "0x10"] {
        assert_eq!(error(&format!("cpu v={wrong} 1")), LineError::Value("v".to_owned()), "{wrong}");
    }
    assert_eq!(error("cpu v=\"a"), LineError::Quotes("v".to_owned()));
    assert_eq!(error("cpu v=1 1.5"), LineError::Time("1.5".to_owned()));
    assert_eq!(error("cpu time=1"), LineError::Reserved);
}
