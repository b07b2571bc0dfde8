//! Playlists of live tracks: as text, against what rfc8216bis demands, and what viewers may wait for.

use std::num::NonZeroU64;

use flame_playlist::{
    BadDirectives, Content, Directives, Key, LiveMedia, LivePart, LiveSegment, Method, PlaylistError, Position,
    RenditionReport, Wait, directives,
};
use proptest::prelude::*;

/// 2026-11-26T12:00:00Z.
const NOON_S: u64 = 1_795_694_400;

fn parts(ms: &[u64]) -> Vec<LivePart> {
    let part = |(at, ms): (usize, &u64)| LivePart { duration_ticks: *ms, is_independent: at == 0 };
    ms.iter().enumerate().map(part).collect()
}

fn segment(at_ms: u64, content: Content) -> LiveSegment {
    let duration_ticks = match &content {
        Content::Whole(parts) | Content::UnderWay(parts) => parts.iter().map(|part| part.duration_ticks).sum(),
        Content::Gap => 2000,
    };
    LiveSegment {
        time_ticks: NOON_S * 1000 + at_ms,
        duration_ticks,
        content,
        init: 0,
        is_discontinuity: false,
        wall_offset_ms: 0,
    }
}

fn live(segments: Vec<LiveSegment>) -> LiveMedia {
    LiveMedia {
        timescale: 1000,
        target_duration_s: 2,
        part_target_ticks: 500,
        first_number: 7,
        discontinuity_sequence: 0,
        segments,
        is_over: false,
        reports: Vec::new(),
        date_ranges: Vec::new(),
        key: None,
        key_segments: None,
    }
}

#[test]
fn a_key_stands_behind_each_init_segment_and_opens_none() {
    let key =
        Key { method: Method::Aes128, uri: "../../keys/ab".to_owned(), iv: None, format: None, versions: Vec::new() };
    let mut segments: Vec<_> = (0..20).map(|at| segment(at * 2000, Content::Whole(parts(&[2000])))).collect();
    (segments[18].init, segments[19].init) = (1, 1);
    let media = LiveMedia { key: Some(key), ..live(segments) };
    let text = media.playlist(true).unwrap();
    let tag = "#EXT-X-KEY:METHOD=AES-128,URI=\"../../keys/ab\"\n";
    assert!(text.contains(&format!("#EXT-X-MAP:URI=\"init.mp4\"\n{tag}#EXT-X-PROGRAM")), "{text}");
    assert!(text.contains(&format!("#EXT-X-KEY:METHOD=NONE\n#EXT-X-MAP:URI=\"init-1.mp4\"\n{tag}")), "{text}");
    assert_eq!(text.matches(tag).count(), 2);
    assert!(!text.contains("SKIP"), "no delta of what is encrypted: {text}");
    assert!(media.transport_streams().unwrap().contains(&format!("{tag}#EXT-X-PROGRAM")), "whole segments, too");
    assert!(media.clip(NOON_S * 1000, NOON_S * 1000 + 4_000, "to=4s").unwrap().contains(tag));
}

#[test]
fn a_key_that_changes_stands_in_front_of_the_first_segment_of_each_period_and_of_all() {
    let key =
        Key { method: Method::Aes128, uri: "../../keys/ab".to_owned(), iv: None, format: None, versions: Vec::new() };
    let mut segments: Vec<_> = (0..8).map(|at| segment(at * 2000, Content::Whole(parts(&[2000])))).collect();
    // Segments 7 to 14; in the middle of a period the encoder comes back with another configuration.
    segments[5].init = 1;
    segments[6].init = 1;
    segments[7].init = 1;
    let media = LiveMedia { key: Some(key), key_segments: NonZeroU64::new(3), ..live(segments) };
    let keys = |text: &str| -> Vec<String> {
        let of = |line: &str| {
            let key = line.strip_prefix("#EXT-X-KEY:METHOD=");
            let key = key.map(|key| key.replace("AES-128,URI=\"../../keys/", "").replace('"', ""));
            key.or_else(|| line.strip_suffix(".m4s").or(line.strip_suffix(".ts")).map(str::to_owned))
        };
        text.lines().filter(|line| !line.starts_with("#EXT-X-P")).filter_map(of).collect()
    };
    let listed = ["ab-2", "7", "8", "ab-3", "9", "10", "11", "NONE", "ab-4", "12", "13", "14"];
    assert_eq!(keys(&media.playlist(false).unwrap()), listed);
    let streams = ["ab-2", "7", "8", "ab-3", "9", "10", "11", "ab-4", "12", "13", "14"];
    assert_eq!(keys(&media.transport_streams().unwrap()), streams);
    let clip = media.clip(NOON_S * 1000 + 2_000, NOON_S * 1000 + 8_000, "to=8s").unwrap();
    assert_eq!(keys(&clip), ["ab-2", "8", "ab-3", "9", "10"]);
}

fn at(number: u64, part: impl Into<Option<u64>>) -> Position {
    Position { number, part: part.into() }
}

#[test]
fn is_written_like_this() {
    let mut media = live(vec![
        segment(0, Content::Whole(parts(&[500, 500, 500, 500]))),
        segment(2000, Content::Gap),
        segment(4000, Content::UnderWay(parts(&[500, 480]))),
    ]);
    media.segments[2].is_discontinuity = true;
    media.segments[2].init = 1;
    media.reports = vec![
        RenditionReport { uri: "../a/index.m3u8".to_owned(), last: at(9, 1) },
        RenditionReport { uri: "../b/index.m3u8".to_owned(), last: at(8, None) },
    ];
    let golden = "#EXTM3U\n\
                  #EXT-X-VERSION:9\n\
                  #EXT-X-TARGETDURATION:2\n\
                  #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5,HOLD-BACK=6.0,CAN-SKIP-UNTIL=12.0\n\
                  #EXT-X-PART-INF:PART-TARGET=0.5\n\
                  #EXT-X-MEDIA-SEQUENCE:7\n\
                  #EXT-X-INDEPENDENT-SEGMENTS\n\
                  #EXT-X-MAP:URI=\"init.mp4\"\n\
                  #EXT-X-PROGRAM-DATE-TIME:2026-11-26T12:00:00.000Z\n\
                  #EXT-X-PART:DURATION=0.5,URI=\"7.0.m4s\",INDEPENDENT=YES\n\
                  #EXT-X-PART:DURATION=0.5,URI=\"7.1.m4s\"\n\
                  #EXT-X-PART:DURATION=0.5,URI=\"7.2.m4s\"\n\
                  #EXT-X-PART:DURATION=0.5,URI=\"7.3.m4s\"\n\
                  #EXTINF:2.0,\n7.m4s\n\
                  #EXT-X-PROGRAM-DATE-TIME:2026-11-26T12:00:02.000Z\n\
                  #EXT-X-GAP\n\
                  #EXTINF:2.0,\n8.m4s\n\
                  #EXT-X-DISCONTINUITY\n\
                  #EXT-X-MAP:URI=\"init-1.mp4\"\n\
                  #EXT-X-PROGRAM-DATE-TIME:2026-11-26T12:00:04.000Z\n\
                  #EXT-X-PART:DURATION=0.5,URI=\"9.0.m4s\",INDEPENDENT=YES\n\
                  #EXT-X-PART:DURATION=0.48,URI=\"9.1.m4s\"\n\
                  #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"9.2.m4s\"\n\
                  #EXT-X-RENDITION-REPORT:URI=\"../a/index.m3u8\",LAST-MSN=9,LAST-PART=1\n\
                  #EXT-X-RENDITION-REPORT:URI=\"../b/index.m3u8\",LAST-MSN=8\n";
    assert_eq!(media.playlist(false).unwrap(), golden);
}

#[test]
fn one_that_is_over_has_an_end_and_nothing_to_wait_for() {
    let mut media = live(vec![segment(0, Content::Whole(parts(&[500, 500])))]);
    media.is_over = true;
    let text = media.playlist(true).unwrap();
    assert!(text.ends_with("#EXTINF:1.0,\n7.m4s\n#EXT-X-ENDLIST\n"), "{text}");
    for tag in ["SERVER-CONTROL", "#EXT-X-PART", "PRELOAD-HINT", "SKIP"] {
        assert!(!text.contains(tag), "{tag}: {text}");
    }
    assert_eq!((media.hint(), media.waits_for(at(99, 3))), (None, Wait::Over));
}

#[test]
fn nothing_makes_no_playlist() {
    assert!(matches!(live(Vec::new()).playlist(false), Err(PlaylistError::Empty { .. })));
    let mut away = live(vec![segment(0, Content::Gap)]);
    away.reports = vec![RenditionReport { uri: "//elsewhere/index.m3u8".to_owned(), last: at(1, None) }];
    assert!(matches!(away.playlist(false), Err(PlaylistError::Uri { .. })));
    let begun = live(vec![segment(0, Content::UnderWay(Vec::new()))]);
    assert!(matches!(begun.playlist(false), Err(PlaylistError::Empty { .. })));
}

#[test]
fn a_viewer_waits_for_what_comes_next_and_for_nothing_beyond() {
    let media = live(vec![
        segment(0, Content::Whole(parts(&[500, 500]))),
        segment(1000, Content::UnderWay(parts(&[500, 500]))),
    ]);
    for (wanted, waits) in [
        (at(0, None), Wait::Over),
        (at(7, None), Wait::Over),
        (at(7, 1), Wait::Over),
        // There never was such a part: the first one of the next segment is meant, which is there.
        (at(7, 2), Wait::Over),
        (at(8, 1), Wait::Over),
        (at(8, 2), Wait::On),
        (at(8, None), Wait::On),
        (at(9, 0), Wait::On),
        (at(9, None), Wait::On),
        (at(10, 0), Wait::TooFar),
        // Three seconds of parts of half a second, and no more.
        (at(8, 7), Wait::On),
        (at(8, 8), Wait::TooFar),
        (at(9, 5), Wait::On),
        (at(9, 6), Wait::TooFar),
        (at(8, 1_000_000_000), Wait::TooFar),
    ] {
        assert_eq!(media.waits_for(wanted), waits, "{wanted:?}");
    }
    let whole = live(vec![segment(0, Content::Whole(parts(&[500, 500])))]);
    assert_eq!((whole.waits_for(at(7, 2)), whole.waits_for(at(8, 0))), (Wait::On, Wait::On));
    assert_eq!((whole.hint(), media.hint()), (Some(at(8, 0)), Some(at(9, 0))));
    assert_eq!((whole.last(), media.last()), (Some(at(7, None)), Some(at(8, 1))));
}

#[test]
fn where_a_segment_ends_the_next_one_is_announced() {
    let hint = |before: Content, under_way: &[u64]| {
        live(vec![segment(0, before), segment(2_000, Content::UnderWay(parts(under_way)))]).hint().unwrap()
    };
    let whole = || Content::Whole(parts(&[500; 4]));
    assert_eq!(hint(whole(), &[500, 500, 500]), at(8, 3));
    assert_eq!(hint(whole(), &[500; 4]), at(9, 0));
    // A picture less than the one before it.
    assert_eq!(hint(whole(), &[500, 500, 500, 467]), at(9, 0));
    // It goes on all the same, and nobody knows how far.
    assert_eq!(hint(whole(), &[500; 5]), at(8, 5));
    // The last part is what is left over.
    let before = Content::Whole(parts(&[500, 500, 500, 200]));
    assert_eq!((hint(before.clone(), &[500; 3]), hint(before, &[500, 500, 500, 200])), (at(8, 3), at(9, 0)));
    // Nothing says how long it will be.
    assert_eq!(hint(Content::Gap, &[500; 4]), at(8, 4));
    assert_eq!(live(vec![segment(0, Content::UnderWay(parts(&[500; 4])))]).hint(), Some(at(7, 4)));
    // Who guessed that it goes on is let wait, too; nobody else is.
    let full = live(vec![segment(0, whole()), segment(2_000, Content::UnderWay(parts(&[500; 4])))]);
    let next = [at(9, 0), at(8, 4), at(8, 5), at(9, 1), at(10, 0), at(8, 3)];
    assert_eq!(next.map(|wanted| full.may_come_next(wanted)), [true, true, false, false, false, false]);
}

#[test]
fn directives_are_read_or_refused() {
    let read = |query| directives(query).unwrap();
    assert_eq!(read(""), Directives::default());
    assert_eq!(read("x=1&_HLS_skip=YES"), Directives { wait: None, skip: true });
    assert_eq!(read("_HLS_msn=4&_HLS_part=2"), Directives { wait: Some(at(4, 2)), skip: false });
    assert_eq!(read("_HLS_msn=4"), Directives { wait: Some(at(4, None)), skip: false });
    for (query, refusal) in [
        ("_HLS_part=1", BadDirectives::PartAlone),
        ("_HLS_msn=-1", BadDirectives::Number { name: "_HLS_msn", value: "-1".to_owned() }),
        ("_HLS_msn=", BadDirectives::Number { name: "_HLS_msn", value: String::new() }),
        ("_HLS_msn=1&_HLS_part=x", BadDirectives::Number { name: "_HLS_part", value: "x".to_owned() }),
        ("_HLS_msn=1&_HLS_msn=2", BadDirectives::Twice { name: "_HLS_msn" }),
        ("_HLS_skip=no", BadDirectives::Skip { value: "no".to_owned() }),
        ("_HLS_msn=99999999999999999999", BadDirectives::Number { name: "_HLS_msn", value: "9".repeat(20) }),
    ] {
        assert_eq!(directives(query), Err(refusal), "{query}");
    }
}

/// A track of an encoder that sends parts of at most 500 ms in segments of 2 s.
fn any_media() -> impl Strategy<Value = LiveMedia> {
    let whole = (prop::collection::vec(1u64..=500, 1..5), any::<bool>(), 0u8..10);
    let whole = prop::collection::vec(whole, 0..40);
    (whole, prop::collection::vec(1u64..=500, 0..4), 0u64..1000).prop_map(|(whole, open, first_number)| {
        let mut time = 0;
        let mut segments = Vec::new();
        for (ms, is_discontinuity, kind) in whole {
            let content = if kind == 0 { Content::Gap } else { Content::Whole(parts(&ms)) };
            let made = LiveSegment { is_discontinuity: is_discontinuity && kind > 0, ..segment(time, content) };
            time += made.duration_ticks;
            segments.push(made);
        }
        segments.push(segment(time, Content::UnderWay(parts(&open))));
        LiveMedia { first_number, ..live(segments) }
    })
}

/// Lines that name segments, in order.
fn segments(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#')).collect()
}

#[test]
fn as_transport_streams_whole_segments_are_listed_under_their_numbers() {
    let whole = |at_ms| segment(at_ms, Content::Whole(parts(&[500, 500, 500, 500])));
    let begun = LiveSegment { is_discontinuity: true, ..whole(4_000) };
    let under_way = segment(6_000, Content::UnderWay(parts(&[500])));
    let media = live(vec![whole(0), segment(2_000, Content::Gap), begun, under_way]);
    let text = media.transport_streams().unwrap();
    let expected = "#EXTM3U\n#EXT-X-VERSION:8\n#EXT-X-TARGETDURATION:2\n#EXT-X-SERVER-CONTROL:HOLD-BACK=6.0\n\
        #EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-INDEPENDENT-SEGMENTS\n\
        #EXT-X-PROGRAM-DATE-TIME:2026-11-26T12:00:00.000Z\n#EXTINF:2.0,\n7.ts\n\
        #EXT-X-PROGRAM-DATE-TIME:2026-11-26T12:00:02.000Z\n#EXT-X-GAP\n#EXTINF:2.0,\n8.ts\n\
        #EXT-X-DISCONTINUITY\n#EXT-X-PROGRAM-DATE-TIME:2026-11-26T12:00:04.000Z\n#EXTINF:2.0,\n9.ts\n";
    assert_eq!(text, expected);
    let over = LiveMedia { is_over: true, ..live(vec![whole(0)]) }.transport_streams().unwrap();
    assert!(over.contains("#EXT-X-PLAYLIST-TYPE:VOD\n") && over.ends_with("7.ts\n#EXT-X-ENDLIST\n"), "{over}");
    assert!(live(vec![segment(0, Content::Gap)]).transport_streams().is_err());
}

#[test]
fn a_segment_of_a_clock_that_drifts_says_the_time_of_the_wall() {
    let late =
        |offset_ms, at_ms| LiveSegment { wall_offset_ms: offset_ms, ..segment(at_ms, Content::Whole(parts(&[2000]))) };
    let text = live(vec![late(0, 0), late(40, 2_000), late(-1_250, 4_000)]).playlist(false).unwrap();
    let times: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("#EXT-X-PROGRAM-DATE-TIME:")).collect();
    assert_eq!(times, ["2026-11-26T12:00:00.000Z", "2026-11-26T12:00:02.040Z", "2026-11-26T12:00:02.750Z"]);
    assert_eq!(LiveSegment { wall_offset_ms: i64::MIN, ..late(0, 0) }.by_the_wall(1, u32::MAX), 0);
}

proptest! {
    #[test]
    fn a_delta_and_what_was_known_before_are_the_whole(media in any_media()) {
        let (Ok(whole), Ok(delta)) = (media.playlist(false), media.playlist(true)) else { return Ok(()) };
        let skipped = delta.lines().find_map(|line| line.strip_prefix("#EXT-X-SKIP:SKIPPED-SEGMENTS="));
        let skipped: usize = skipped.map_or(0, |count| count.parse().unwrap());
        prop_assert_eq!(&segments(&whole)[skipped..], &segments(&delta)[..]);
        // What is left out lies at least six target durations before the end (section 4.4.5.2).
        let end: u64 = media.segments.iter().map(|segment| segment.duration_ticks).sum();
        let left_out: u64 = media.segments[..skipped].iter().map(|segment| segment.duration_ticks).sum();
        prop_assert!(skipped == 0 || end - left_out >= 12_000);
        // Everything behind the first segment that is not left out is the same text.
        let from = whole.rfind(segments(&delta).first().copied().unwrap_or("#EXTM3U")).unwrap();
        prop_assert!(delta.ends_with(&whole[from..]));
    }

    #[test]
    fn what_the_draft_demands_holds(media in any_media()) {
        let Ok(text) = media.playlist(false) else { return Ok(()) };
        for line in text.lines() {
            if let Some(part) = line.strip_prefix("#EXT-X-PART:DURATION=") {
                let seconds: f64 = part.split(',').next().unwrap().parse().unwrap();
                prop_assert!(seconds > 0.0 && seconds <= 0.5);
            }
            if let Some(rest) = line.strip_prefix("#EXTINF:") {
                let seconds: f64 = rest.trim_end_matches(',').parse().unwrap();
                prop_assert!(seconds.round() <= 2.0);
            }
        }
        let count = text.matches("#EXT-X-PRELOAD-HINT").count();
        prop_assert_eq!(count, 1);
        // Discontinuities are counted, or there.
        let listed = media.segments.iter().filter(|segment| segment.is_discontinuity).count();
        let at_first = usize::from(media.segments.first().is_some_and(|first| first.is_discontinuity));
        prop_assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), listed - at_first);
        prop_assert_eq!(text.contains("#EXT-X-DISCONTINUITY-SEQUENCE:1\n"), at_first == 1);
    }

    #[test]
    fn what_is_announced_is_what_is_waited_for(media in any_media()) {
        let hint = media.hint().unwrap();
        prop_assert_eq!(media.waits_for(hint), Wait::On);
        if let Some(last) = media.last() {
            prop_assert_eq!(media.waits_for(last), Wait::Over);
        }
    }

    #[test]
    fn any_query_is_read_or_refused(query in "[_HLSmsnpartki=&0-9YES]{0,40}") {
        let _ = directives(&query);
    }
}

proptest! {
    /// Whatever is cut out: the same segments under the same numbers, what is shown is as long as was asked for, and each
    /// discontinuity in front of the first one is counted.
    #[test]
    fn a_clip_names_the_segments_that_it_needs(
        fates in prop::collection::vec((any::<bool>(), any::<bool>(), 100_u64..3000), 1..20),
        from in 0_u64..20_000,
        length in 1_u64..20_000,
    ) {
        let mut at_ms = 0;
        let segments: Vec<LiveSegment> = fates.iter().map(|(is_gap, is_discontinuity, ms)| {
            let content = if *is_gap { Content::Gap } else { Content::Whole(parts(&[*ms])) };
            let made = LiveSegment { duration_ticks: *ms, is_discontinuity: *is_discontinuity, ..segment(at_ms, content) };
            at_ms += ms;
            made
        }).collect();
        let media = live(segments.clone());
        let (from_ticks, to_ticks) = (NOON_S * 1000 + from, NOON_S * 1000 + from + length);
        let is_in = |segment: &LiveSegment| {
            segment.content != Content::Gap
                && segment.time_ticks < to_ticks
                && segment.time_ticks + segment.duration_ticks > from_ticks
        };
        let Ok(text) = media.clip(from_ticks, to_ticks, "to=x") else {
            prop_assert!(!segments.iter().any(is_in));
            return Ok(());
        };
        let names = |text: &str| text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
        let (first, last) = (segments.iter().position(is_in).unwrap(), segments.iter().rposition(is_in).unwrap());
        let is_cut = segments[last].time_ticks + segments[last].duration_ticks > to_ticks;
        let expected = (first..=last).map(|at| {
            let query = if at == last && is_cut { "?to=x" } else { "" };
            format!("{}.m4s{query}", 7 + at)
        });
        prop_assert_eq!(names(&text), expected.collect::<Vec<_>>());
        let lead = from_ticks.saturating_sub(segments[first].time_ticks);
        prop_assert_eq!(text.contains("#EXT-X-START:"), lead > 0);
        let before = segments[..=first].iter().filter(|segment| segment.is_discontinuity).count();
        let sequence = text.lines().find_map(|line| line.strip_prefix("#EXT-X-DISCONTINUITY-SEQUENCE:"));
        prop_assert_eq!(sequence.map_or(0, |sequence| sequence.parse::<usize>().unwrap()), before);
        let behind = segments[first + 1..=last].iter().filter(|segment| segment.is_discontinuity).count();
        prop_assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), behind);
        prop_assert!(text.contains("#EXT-X-PLAYLIST-TYPE:VOD\n") && text.ends_with("#EXT-X-ENDLIST\n"));
    }
}
