//! What is written is read again, by this crate: whole files, and the segments that players put together.

use std::collections::BTreeSet;

use flame_subtitles::{Cue, Document, HeaderBlock, HeaderKind, Timeline, language, parse, segments};
use proptest::prelude::*;

fn text() -> impl Strategy<Value = String> {
    let line = prop::sample::select(vec![
        "Hello",
        "<i>two</i> & three",
        "<v Fred>&lt;",
        "12",
        "00:01.000",
        "->",
        "NOTE",
        "STYLE",
        "WEBVTT",
        " ",
        "é –",
        "--&gt;",
        "<00:00:03.000>x",
    ]);
    prop::collection::vec(line, 0..4).prop_map(|lines| lines.join("\n"))
}

fn cues() -> impl Strategy<Value = Vec<Cue>> {
    let settings = prop::sample::select(vec![
        "",
        "line:0",
        "vertical:rl line:5%,end position:10%,line-left size:50% align:left region:r",
    ]);
    let cue = (0_u64..60_000, 1_u64..20_000, text(), settings, any::<bool>());
    prop::collection::vec(cue, 0..30).prop_map(|cues| {
        let cue = |(at, (start_ms, length_ms, text, settings, has_id)): (usize, (u64, u64, String, &str, bool))| Cue {
            start_ms,
            end_ms: start_ms + length_ms,
            id: has_id.then(|| format!("cue {at}")),
            settings: settings.to_owned(),
            text,
        };
        let mut cues: Vec<Cue> = cues.into_iter().enumerate().map(cue).collect();
        cues.sort_by_key(|cue| cue.start_ms);
        cues
    })
}

fn documents() -> impl Strategy<Value = Document> {
    let block = prop::sample::select(vec![
        (HeaderKind::Style, "::cue {\n}"),
        (HeaderKind::Region, "id:r\nlines:3"),
        (HeaderKind::Style, "STYLE"),
    ]);
    let language = prop::option::of(prop::sample::select(vec!["en", "pt-BR", "zh-Hant-TW", "x-mine"]));
    (language, cues(), prop::collection::vec(block, 0..3)).prop_map(|(language, cues, blocks)| Document {
        language: language.map(str::to_owned),
        cues,
        header: blocks.into_iter().map(|(kind, text)| HeaderBlock { kind, text: text.to_owned() }).collect(),
        warnings: Vec::new(),
    })
}

/// As SubRip has it, with a number and line ends of its own.
fn subrip_time(ms: u64) -> String {
    format!("{:02}:{:02}:{:02},{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
}

proptest! {
    #[test]
    fn a_document_is_read_as_it_was_written(document in documents()) {
        let written = document.to_webvtt();
        prop_assert_eq!(parse(written.as_bytes(), None).unwrap(), document);
    }

    #[test]
    fn a_cue_is_in_exactly_the_segments_that_it_overlaps(document in documents(), cuts in prop::collection::btree_set(0_u64..90_000, 2..20)) {
        let boundaries_ms: Vec<u64> = cuts.into_iter().collect();
        let made = segments(&document, &boundaries_ms, Timeline::FROM_ZERO);
        prop_assert_eq!(made.len(), boundaries_ms.len() - 1);
        let mut seen = BTreeSet::new();
        for (number, text) in made.enumerate() {
            let segment = parse(text.as_bytes(), None).unwrap();
            let (start_ms, end_ms) = (boundaries_ms[number], boundaries_ms[number + 1]);
            let expected: Vec<&Cue> = document.cues.iter().filter(|cue| cue.start_ms < end_ms && cue.end_ms > start_ms).collect();
            prop_assert_eq!(segment.cues.iter().collect::<Vec<_>>(), expected);
            prop_assert_eq!(&segment.header, &document.header);
            prop_assert!(segment.warnings.iter().all(|warning| warning.text.contains("X-TIMESTAMP-MAP")), "{:?}", segment.warnings);
            seen.extend(segment.cues.iter().map(|cue| format!("{cue:?}")));
        }
        let (first_ms, last_ms) = (boundaries_ms[0], boundaries_ms[boundaries_ms.len() - 1]);
        let shown: BTreeSet<String> = document.cues.iter().filter(|cue| cue.overlaps(first_ms, last_ms)).map(|cue| format!("{cue:?}")).collect();
        prop_assert_eq!(seen, shown);
    }

    #[test]
    fn a_clip_shows_what_the_whole_shows(document in documents(), from_ms in 0_u64..70_000, length_ms in 1_u64..30_000, at_ms in 0_u64..30_000) {
        let clip = document.clip(from_ms, Some(from_ms + length_ms));
        prop_assert!(clip.cues.is_sorted_by_key(|cue| cue.start_ms));
        prop_assert!(clip.cues.iter().all(|cue| cue.start_ms < cue.end_ms && cue.end_ms <= length_ms));
        let shown = |document: &Document, at_ms: u64| document.cues.iter().filter(|cue| cue.overlaps(at_ms, at_ms + 1)).map(|cue| cue.settings.clone()).collect::<Vec<_>>();
        let expected = if at_ms < length_ms { shown(&document, from_ms + at_ms) } else { Vec::new() };
        prop_assert_eq!(shown(&clip, at_ms), expected);
    }

    #[test]
    fn subrip_is_read_whatever_its_numbers_say(cues in cues(), numbers in prop::collection::vec(prop::option::of(0_u32..99), 30), blank in any::<bool>()) {
        let mut cues: Vec<Cue> = cues.into_iter().enumerate().map(|(at, cue)| Cue { id: None, settings: String::new(), text: format!("text {at}\n<i>second</i>"), ..cue }).collect();
        let mut file = String::new();
        for (cue, number) in cues.iter().zip(&numbers) {
            if let Some(number) = number {
                file.push_str(&format!("{number}\r\n"));
            }
            file.push_str(&format!("{} --> {}\r\n{}\r\n", subrip_time(cue.start_ms), subrip_time(cue.end_ms), cue.text));
            if blank {
                file.push_str("\r\n");
            }
        }
        if cues.is_empty() {
            file.push_str("0:0:1,0 --> 0:0:2,0\nx");
            cues.push(Cue { start_ms: 1000, end_ms: 2000, text: "x".to_owned(), ..Cue::default() });
        }
        let document = parse(file.as_bytes(), None).unwrap();
        prop_assert_eq!(document.cues, cues);
        prop_assert_eq!(document.warnings, Vec::new());
    }

    #[test]
    fn a_canonical_tag_stays_as_it_is(tag in "[a-zA-Z0-9]{1,8}(-[a-zA-Z0-9]{1,8}){0,4}|[a-z]{2,3}(-[a-z]{3})?(-[A-Z][a-z]{3})?(-[A-Z]{2})?(-[0-9][a-z]{3})?(-[a-wy-z]-[a-z]{2,3}){0,3}(-x-[a-z]{1,3})?|\\PC{0,12}") {
        if let Ok(canonical) = language::canonical(&tag) {
            prop_assert_eq!(language::canonical(&canonical), Ok(canonical.clone()));
            prop_assert!(canonical.is_ascii());
        }
    }
}
