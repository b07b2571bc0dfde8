//! Playlists of our own writer keep all rules that are looked at; each one that is broken, in any of them, is found.

use std::num::NonZeroU64;

use flame_playlist::{Content, Key, LiveMedia, LivePart, LiveSegment, Method};
use proptest::prelude::*;

use super::media::{self, MediaList};
use super::rules::{self, Rule, Severity};
use super::{Report, multivariant, reload};

const MULTIVARIANT: &str = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n\
    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"English\",DEFAULT=YES,AUTOSELECT=YES,URI=\"a/index.m3u8\"\n\
    #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"English\",URI=\"s/index.m3u8\"\n\
    #EXT-X-STREAM-INF:BANDWIDTH=2000,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=640x360,AUDIO=\"a\",SUBTITLES=\"s\"\nv/index.m3u8\n";

/// A live channel that has come to `segments` segments of four parts and `open` parts of another, of which the first `gone` are gone.
fn live(gone: u64, segments: u64, open: u64) -> LiveMedia {
    let part = |at: u64| LivePart { duration_ticks: 500, is_independent: at == 0 };
    let segment = |number: u64, content: Content, parts: u64| LiveSegment {
        time_ticks: 1_795_694_400_000 + 2000 * number,
        duration_ticks: 500 * parts,
        content,
        init: 0,
        is_discontinuity: false,
        wall_offset_ms: 0,
    };
    let whole = (gone..segments).map(|number| segment(number, Content::Whole((0..4).map(part).collect()), 4));
    let under_way = (open > 0).then(|| segment(segments, Content::UnderWay((0..open).map(part).collect()), open));
    LiveMedia {
        timescale: 1000,
        target_duration_s: 2,
        part_target_ticks: 500,
        first_number: gone,
        segments: whole.chain(under_way).collect(),
        ..LiveMedia::default()
    }
}

fn text(media: &LiveMedia) -> String {
    media.playlist(false).expect("it can be written")
}

fn read(text: &str) -> (MediaList, Report) {
    let mut report = Report::default();
    let list = media::read(text, false, &mut report.at("index.m3u8"));
    (list, report)
}

fn names(report: &Report) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.rule.as_str()).collect()
}

/// The text without its `nth` line (modulo how many there are) that begins so.
fn without(text: &str, start: &str, nth: usize) -> String {
    let those: Vec<usize> =
        text.lines().enumerate().filter(|(_, line)| line.starts_with(start)).map(|(at, _)| at).collect();
    let gone = those[nth % those.len()];
    text.lines().enumerate().filter(|(at, _)| *at != gone).map(|(_, line)| format!("{line}\n")).collect()
}

/// The text with something else in its `nth` line that begins so.
fn within(text: &str, start: &str, nth: usize, from: &str, to: &str) -> String {
    let those: Vec<usize> =
        text.lines().enumerate().filter(|(_, line)| line.starts_with(start)).map(|(at, _)| at).collect();
    let chosen = those[nth % those.len()];
    let mutate = |(at, line): (usize, &str)| {
        let line = if at == chosen { line.replacen(from, to, 1) } else { line.to_owned() };
        format!("{line}\n")
    };
    text.lines().enumerate().map(mutate).collect()
}

/// Ways to break a live playlist, each with the rule that it breaks.
fn broken(text: &str, nth: usize) -> Vec<(Rule, String)> {
    let control = "#EXT-X-SERVER-CONTROL";
    let part_uri = ",URI=\"";
    vec![
        (rules::FIRST_LINE, text.replacen("#EXTM3U", "#EXTM4U", 1)),
        (rules::ENCODING, format!("\u{feff}{text}")),
        (rules::ENCODING, within(text, "#EXTINF", nth, ",", ",a\u{7}b")),
        (
            rules::TWICE,
            text.replacen("#EXT-X-TARGETDURATION:2\n", "#EXT-X-TARGETDURATION:2\n#EXT-X-TARGETDURATION:2\n", 1),
        ),
        (rules::TARGET_MISSING, without(text, "#EXT-X-TARGETDURATION", 0)),
        (rules::TARGET_EXCEEDED, within(text, "#EXTINF", nth, "#EXTINF:2.0", "#EXTINF:2.6")),
        (rules::EXTINF_MISSING, without(text, "#EXTINF", nth)),
        (rules::VALUE, within(text, "#EXTINF", nth, "#EXTINF:", "#EXTINF:-")),
        (rules::VALUE, within(text, "#EXT-X-PROGRAM-DATE-TIME", nth, "T12:", " 12:")),
        (rules::VALUE, within(text, "#EXT-X-MEDIA-SEQUENCE", 0, ":", ":-")),
        (rules::VERSION, text.replacen("#EXT-X-VERSION:9", "#EXT-X-VERSION:5", 1)),
        (rules::KIND, format!("{text}#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"b\"\n")),
        (rules::SEQUENCE_PLACE, format!("{}#EXT-X-MEDIA-SEQUENCE:0\n", without(text, "#EXT-X-MEDIA-SEQUENCE", 0))),
        (rules::DISCONTINUITY_PLACE, format!("{text}#EXT-X-DISCONTINUITY-SEQUENCE:1\n")),
        (rules::PART_INF, without(text, "#EXT-X-PART-INF", 0)),
        (rules::PART_TOO_LONG, within(text, "#EXT-X-PART:", nth, "DURATION=0.5", "DURATION=0.6")),
        (rules::PART_TOO_SHORT, within(text, "#EXT-X-PART:", 0, "DURATION=0.5", "DURATION=0.4")),
        (rules::REQUIRED, within(text, "#EXT-X-PART:", nth, part_uri, ",URL=\"")),
        (rules::ATTRIBUTES, within(text, "#EXT-X-PART:", nth, part_uri, ",URI=")),
        (rules::ATTRIBUTES, within(text, "#EXT-X-PART:", nth, "DURATION", "DURATION=0.5,DURATION")),
        (rules::PART_HOLD_BACK_MISSING, within(text, control, 0, "PART-HOLD-BACK=1.5,", "")),
        (rules::PART_HOLD_BACK, within(text, control, 0, "PART-HOLD-BACK=1.5", "PART-HOLD-BACK=0.9")),
        (rules::PART_HOLD_BACK_SHORT, within(text, control, 0, "PART-HOLD-BACK=1.5", "PART-HOLD-BACK=1.2")),
        (rules::HOLD_BACK, within(text, control, 0, ",HOLD-BACK=6.0", ",HOLD-BACK=5.5")),
        (rules::SKIP_BOUNDARY, within(text, control, 0, "CAN-SKIP-UNTIL=12.0", "CAN-SKIP-UNTIL=11.0")),
        (rules::BLOCKING, within(text, control, 0, "CAN-BLOCK-RELOAD=YES,", "")),
        (rules::SKIP_UNASKED, within(text, "#EXT-X-MEDIA-SEQUENCE", 0, "#", "#EXT-X-SKIP:SKIPPED-SEGMENTS=2\n#")),
        (rules::DATE_RANGE_TIME, {
            let undated: String =
                text.lines().filter(|line| !line.contains("DATE-TIME")).map(|line| format!("{line}\n")).collect();
            format!("{undated}#EXT-X-DATERANGE:ID=\"x\",START-DATE=\"2026-11-26T12:00:00Z\"\n")
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn our_own_keeps_all_and_whatever_is_broken_is_found(gone in 0..9_u64, more in 5..14_u64, open in 0..4_u64, nth in 0..40_usize) {
        let text = text(&live(gone, gone + more, open));
        let whole = read(&text).1;
        prop_assert_eq!(names(&whole), Vec::<&str>::new(), "{}", text);
        for (rule, broken) in broken(&text, nth) {
            prop_assert!(broken != text, "{} changes nothing", rule.name);
            let report = read(&broken).1;
            prop_assert!(names(&report).contains(&rule.name), "{} is not found: {:?}\n{}", rule.name, names(&report), broken);
            let counted = if rule.severity == Severity::Must { report.must } else { report.should };
            prop_assert!(counted > 0);
        }
    }

    #[test]
    fn a_channel_that_goes_on_keeps_all_and_what_is_rewritten_is_found(gone in 0..6_u64, more in 8..14_u64, open in 1..4_u64, steps in 0..3_u64) {
        let (was, is) = (live(gone, gone + more, open), live(gone + steps, gone + more + steps, open));
        let (before, after) = (read(&text(&was)).0, read(&text(&is)).0);
        let held = |after: &MediaList| {
            let mut report = Report::default();
            reload::between(&before, after, &mut report.at("x"));
            reload::hinted(&before, after, &mut report.at("x"));
            report
        };
        let whole = held(&after);
        prop_assert_eq!(names(&whole), Vec::<&str>::new());
        let changed = |change: &dyn Fn(&mut MediaList)| {
            let mut after = after.clone();
            change(&mut after);
            held(&after)
        };
        let found = |report: &Report, rule: &Rule| names(report).contains(&rule.name);
        prop_assert!(found(&changed(&|list| list.segments[0].uri.push('x')), &rules::SEGMENT_CHANGED));
        prop_assert!(found(&changed(&|list| list.segments[1].duration_s -= 0.1), &rules::SEGMENT_CHANGED));
        prop_assert!(found(&changed(&|list| list.target_s = Some(3)), &rules::TARGET_CHANGED));
        prop_assert!(found(&changed(&|list| list.discontinuity_sequence += 3), &rules::DISCONTINUITY_COUNT));
        if gone > 0 {
            let report = changed(&|list| list.first_number = gone - 1);
            prop_assert!(found(&report, &rules::SEQUENCE_BACK));
        }
        // A delta of what there is now, and one that leaves out too much.
        let mut report = Report::default();
        let short = is.playlist(true).expect("it can be written");
        let delta = media::read(&short, true, &mut report.at("x"));
        reload::delta(&after, &delta, &mut report.at("x"));
        prop_assert_eq!(names(&report), Vec::<&str>::new(), "{}", short);
        let mut greedy = delta.clone();
        greedy.skipped += 3;
        greedy.segments.drain(..3);
        reload::delta(&after, &greedy, &mut report.at("x"));
        prop_assert!(found(&report, &rules::DELTA));
    }
}

#[test]
fn a_blocking_reload_has_what_it_was_asked_for() {
    let list = read(&text(&live(0, 8, 2))).0;
    let held = |number, part| {
        let mut report = Report::default();
        reload::blocked(&list, number, part, &mut report.at("x"));
        report.must
    };
    assert_eq!((held(7, None), held(8, Some(1)), held(7, Some(9))), (0, 0, 0));
    assert_eq!((held(8, None), held(8, Some(2)), held(9, Some(0))), (1, 1, 1));
    let mut report = Report::default();
    reload::stale(&list, 3.9, &mut report.at("x"));
    assert_eq!(report.must, 0);
    reload::stale(&list, 4.2, &mut report.at("x"));
    assert_eq!(names(&report), ["STALE"]);
}

#[test]
fn the_key_in_front_of_a_part_opens_it_as_it_does_its_segment() {
    let key = Key { method: Method::Aes128, uri: "../keys/k".to_owned(), iv: None, format: None, versions: Vec::new() };
    let text = text(&LiveMedia { key: Some(key), key_segments: NonZeroU64::new(2), ..live(0, 8, 2) });
    let (list, report) = read(&text);
    assert_eq!(names(&report), Vec::<&str>::new(), "{text}");
    let is_encrypted = |list: &MediaList| {
        let segments =
            list.segments.iter().all(|one| one.is_encrypted && one.parts.iter().all(|part| part.is_encrypted));
        (segments, list.open_parts.iter().map(|part| part.is_encrypted).collect::<Vec<_>>())
    };
    assert!(list.segments.iter().any(|segment| !segment.parts.is_empty()), "{text}");
    assert_eq!(is_encrypted(&list), (true, vec![true, true]), "{text}");
    // The segment under way is the first one of the last key: where that is none, its parts are clear, and what lies before is not.
    let (front, behind) = text.split_at(text.rfind("#EXT-X-KEY:").expect("keys change"));
    let (_, behind) = behind.split_once('\n').expect("it is a line");
    let (list, _) = read(&format!("{front}#EXT-X-KEY:METHOD=NONE\n{behind}"));
    assert_eq!(is_encrypted(&list), (true, vec![false, false]), "{text}");
}

#[test]
fn what_is_complete_does_not_change() {
    let ended = LiveMedia { is_over: true, ..live(0, 8, 0) };
    let (before, report) = read(&text(&ended));
    assert!(before.has_ended && report.findings.is_empty(), "{:?}", report.findings);
    let mut report = Report::default();
    let more = read(&text(&LiveMedia { is_over: true, ..live(0, 9, 0) })).0;
    reload::between(&before, &more, &mut report.at("x"));
    assert_eq!(names(&report), ["APPEND_ONLY"]);
}

#[test]
fn a_multivariant_playlist_is_held_to_its_rules() {
    let read = |text: &str| {
        let mut report = Report::default();
        let read = multivariant::read(text, &mut report.at("x"));
        (read, report)
    };
    let (whole, report) = read(MULTIVARIANT);
    assert!(report.findings.is_empty() && whole.variants.len() == 1, "{report:?}");
    for (rule, from, to) in [
        (&rules::REQUIRED, "BANDWIDTH=2000,", ""),
        (&rules::VALUE, "BANDWIDTH=2000", "BANDWIDTH=0"),
        (&rules::VALUE, "640x360", "640*360"),
        (&rules::CODECS_MISSING, "CODECS=\"avc1.64001f,mp4a.40.2\",", ""),
        (&rules::RESOLUTION_MISSING, "RESOLUTION=640x360,", ""),
        (&rules::GROUP, "AUDIO=\"a\"", "AUDIO=\"b\""),
        (&rules::RENDITION_URI, ",URI=\"s/index.m3u8\"", ""),
        (&rules::DEFAULT_AUTOSELECT, "AUTOSELECT=YES", "AUTOSELECT=NO"),
        (&rules::REQUIRED, "NAME=\"English\",DEFAULT", "DEFAULT"),
        (&rules::VARIANT_URI, "v/index.m3u8\n", ""),
        (&rules::KIND, "#EXT-X-VERSION:6\n", "#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:4\n"),
        (
            &rules::GROUP_NAMES,
            "#EXT-X-VERSION:6\n",
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"English\",URI=\"b/index.m3u8\"\n",
        ),
    ] {
        let broken = MULTIVARIANT.replacen(from, to, 1);
        assert_ne!(broken, MULTIVARIANT, "{from}");
        let report = read(&broken).1;
        assert!(names(&report).contains(&rule.name), "{}: {report:?}", rule.name);
    }
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(lines in proptest::collection::vec(
        "(#EXT(INF|-X-(MAP|KEY|BYTERANGE|PART|SKIP|MEDIA|STREAM-INF|MEDIA-SEQUENCE|TARGETDURATION|PROGRAM-DATE-TIME)):)?\\PC{0,40}", 0..20)) {
        let text = format!("#EXTM3U\n{}", lines.join("\n"));
        let (list, _) = read(&text);
        let mut report = Report::default();
        reload::between(&list, &list, &mut report.at("x"));
        let _ = multivariant::read(&text, &mut report.at("x"));
    }
}
