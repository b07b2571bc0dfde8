//! Spans of time that live playlists speak of.

use std::collections::BTreeMap;

use flame_playlist::{Content, Cue, DateRange, Length, LiveMedia, LivePart, LiveSegment, PlaylistError, Scte35, Value};
use hls_m3u8::tags::ExtXDateRange;
use proptest::prelude::*;

/// 2026-11-26T12:00:00Z.
const NOON_MS: u64 = 1_795_694_400_000;

fn live(date_ranges: Vec<DateRange>) -> LiveMedia {
    let parts = vec![LivePart { duration_ticks: 500, is_independent: true }];
    let segment = |at_ms, content| LiveSegment {
        time_ticks: NOON_MS + at_ms,
        duration_ticks: 2000,
        content,
        init: 0,
        is_discontinuity: false,
        wall_offset_ms: 0,
    };
    let mut segments: Vec<_> = (0..20).map(|n| segment(n * 2000, Content::Whole(Vec::new()))).collect();
    segments.push(segment(40_000, Content::UnderWay(parts)));
    LiveMedia {
        timescale: 1000,
        target_duration_s: 2,
        part_target_ticks: 500,
        segments,
        date_ranges,
        ..LiveMedia::default()
    }
}

fn range(id: &str, start_ms: u64) -> DateRange {
    DateRange { id: id.to_owned(), start_ms: NOON_MS + start_ms, ..DateRange::default() }
}

fn of_class(id: &str, start_ms: u64, length: Length) -> DateRange {
    DateRange { class: Some("com.example.chapter".to_owned()), length, ..range(id, start_ms) }
}

#[test]
fn an_advertisement_and_a_chapter_are_written_like_this() {
    let advertisement = DateRange {
        length: Length::Planned(30_500),
        cues: vec![Cue::Once, Cue::Pre],
        scte35: Scte35 { out: Some(vec![0xFC, 0x00, 0x2A]), ..Scte35::default() },
        attributes: BTreeMap::from([
            ("X-ASSET-URI".to_owned(), Value::Text("../ads/7/index.m3u8".to_owned())),
            ("X-ID".to_owned(), Value::Bytes(vec![1, 0xAB])),
            ("X-OFFSET".to_owned(), Value::Number(1.25)),
        ]),
        ..range("ad-1", 4_250)
    };
    let text = live(vec![advertisement, of_class("chapter-1", 0, Length::UntilNext)]).playlist(false).unwrap();
    let golden = "#EXT-X-INDEPENDENT-SEGMENTS\n\
                  #EXT-X-DATERANGE:ID=\"chapter-1\",CLASS=\"com.example.chapter\",START-DATE=\"2026-11-26T12:00:00.000Z\",END-ON-NEXT=YES\n\
                  #EXT-X-DATERANGE:ID=\"ad-1\",START-DATE=\"2026-11-26T12:00:04.250Z\",CUE=\"PRE,ONCE\",PLANNED-DURATION=30.5,SCTE35-OUT=0xFC002A,X-ASSET-URI=\"../ads/7/index.m3u8\",X-ID=0x01AB,X-OFFSET=1.25\n\
                  #EXT-X-MAP:URI=\"init.mp4\"\n";
    assert!(text.contains(golden), "{text}");
}

#[test]
fn a_delta_has_them_all() {
    let media = live(vec![range("a", 0), range("b", 39_000)]);
    let (whole, delta) = (media.playlist(false).unwrap(), media.playlist(true).unwrap());
    assert!(delta.contains("#EXT-X-SKIP:"), "{delta}");
    let tags =
        |text: &str| text.lines().filter(|line| line.contains("DATERANGE")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!((tags(&whole).len(), tags(&whole)), (2, tags(&delta)));
}

#[test]
fn what_contradicts_itself_is_refused() {
    let own = |name: &str, value| DateRange { attributes: BTreeMap::from([(name.to_owned(), value)]), ..range("a", 0) };
    for (ranges, why) in [
        (vec![range("a", 0), range("a", 1)], "twice"),
        (vec![of_class("a", 0, Length::Known(10_000)), of_class("b", 9_999, Length::Unknown)], "before another one"),
        (vec![DateRange { length: Length::UntilNext, ..range("a", 0) }], "needs a CLASS"),
        (vec![DateRange { cues: vec![Cue::Pre, Cue::Post], ..range("a", 0) }], "PRE and POST"),
        (vec![own("COLOUR", Value::Number(1.0))], "X-"),
        (vec![own("X-colour", Value::Number(1.0))], "X-"),
        (vec![own("X-N", Value::Number(f64::NAN))], "no number"),
        (vec![own("X-N", Value::Bytes(Vec::new()))], "no bytes"),
    ] {
        let error = live(ranges).playlist(false).unwrap_err();
        assert!(matches!(error, PlaylistError::DateRange { .. }) && error.to_string().contains(why), "{error}");
    }
    for bad in ["", "a\"b", "a\nb"] {
        let error = live(vec![range(bad, 0)]).playlist(false).unwrap_err();
        assert!(matches!(error, PlaylistError::Attribute { attribute: "ID", .. }), "{error}");
    }
    // One behind the other is fine, and so are others without a class.
    let apart = vec![of_class("a", 0, Length::Known(10_000)), of_class("b", 10_000, Length::Unknown), range("c", 5)];
    assert!(live(apart).playlist(false).is_ok());
}

proptest! {
    #[test]
    fn any_span_reads_back_or_is_refused(
        id in ".{0,8}",
        class in prop::option::of(".{0,8}"),
        name in "X-[A-Za-z0-9 -]{0,5}",
        text in ".{0,12}",
        ms in 0u64..100_000,
    ) {
        let made = DateRange {
            id: id.clone(),
            class: class.clone(),
            length: Length::Known(ms),
            attributes: BTreeMap::from([(name.clone(), Value::Text(text.clone()))]),
            ..range("", 0)
        };
        let made = DateRange { id: id.clone(), ..made };
        let Ok(tag) = made.tag() else { return Ok(()) };
        prop_assert_eq!(tag.lines().count(), 1);
        let read = ExtXDateRange::try_from(tag.as_str()).unwrap();
        prop_assert_eq!(read.id().as_ref(), id);
        prop_assert_eq!(read.class().as_ref().map(|class| class.as_ref().to_owned()), class);
        prop_assert_eq!(read.duration.map(|duration| duration.as_millis() as u64), Some(ms));
    }
}
