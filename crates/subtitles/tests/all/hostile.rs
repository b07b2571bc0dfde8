//! Bytes that nobody meant well with: no panic, every bound, and what is read is always a document.

use flame_subtitles::{
    CUE_TEXT_MAX_BYTES, CUES_MAX, Document, Format, INPUT_MAX_BYTES, SubtitleError, TIME_MAX_MS, WARNINGS_MAX, parse,
};
use proptest::prelude::*;
use proptest::sample::Index;

const WEBVTT: &str = "WEBVTT\nLanguage: en\n\nSTYLE\n::cue {}\n\nREGION\nid:r\n\nNOTE x\n\nid\n00:01.000 --> 00:02.000 \
                      line:0 position:10%,start align:left region:r\n<v A>x &amp; <00:01.500><b>y</b>\n\n\
                      00:00:03.000 --> 00:00:04.000\nz\n";
const SUBRIP: &str = "1\r\n00:00:01,000 --> 00:00:02,000 X1:1\r\n{\\an8\\i1}a <font color=\"red\">b <i>c</b></font>\r\n\r\nd\r\n\
                      2\r\n00:00:03,000 --> 00:00:04,000\r\ne & <3\r\n";
const TTML: &str = "<?xml version='1.0' encoding='UTF-8'?><tt xmlns='http://www.w3.org/ns/ttml' xml:lang='en' \
                    ttp:frameRate='25' ttp:tickRate='1000' tts:extent='640px 480px'><head><styling><style xml:id='s' \
                    tts:color='#ffff00' tts:fontStyle='italic'/></styling><layout><region xml:id='r' tts:origin='10% 20px' \
                    tts:extent='20c 5c'><style tts:displayAlign='after'/></region></layout></head><body begin='1s'><div \
                    timeContainer='seq'><p region='r' dur='2s'>a <span style='s' begin='500ms' end='20f'>b</span><br/>c\
                    </p>\n<p xml:space='preserve' end='00:00:05:12'>d &amp;\n &#233;<![CDATA[<]]></p></div></body></tt>";

fn hint() -> impl Strategy<Value = Option<Format>> {
    prop::sample::select(vec![None, Some(Format::WebVtt), Some(Format::SubRip), Some(Format::Ttml)])
}

/// One of the three files, with pieces of it and of anything put in, moved and taken out.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..4),
        prop::sample::select(vec![
            "\n\n",
            "-->",
            "<",
            ">",
            "&",
            "\0",
            "\u{FEFF}",
            "00:00:09.000 --> 00:00:10.000\n",
            "STYLE\n",
            "REGION\n",
            "</i>",
            "99999999999999999999",
            "<!DOCTYPE a>",
            "&x;",
            "&#0;",
            "&#x0D;",
            "</p>",
            "<span begin='1s'>",
            "<br/>",
            "'",
            "=",
            "%",
            "-",
            "{\\an9}",
            "line:-0%",
            "<b><i><u>",
            "1e308",
            "seq",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    let change = (any::<Index>(), 0_usize..20, piece);
    (prop::sample::select(vec![WEBVTT, SUBRIP, TTML]), prop::collection::vec(change, 0..8)).prop_map(
        |(file, changes)| {
            let mut bytes = file.as_bytes().to_vec();
            for (at, removed, piece) in changes {
                let at = at.index(bytes.len() + 1);
                let end = (at + removed).min(bytes.len());
                bytes.splice(at..end, piece);
            }
            bytes
        },
    )
}

/// What holds for every document that was read.
fn holds(document: &Document) {
    assert!(document.cues.len() <= CUES_MAX);
    assert!(document.warnings.len() <= WARNINGS_MAX + 1);
    assert!(document.cues.is_sorted_by_key(|cue| cue.start_ms));
    for cue in &document.cues {
        assert!(cue.start_ms < cue.end_ms && cue.end_ms <= TIME_MAX_MS, "{cue:?}");
        assert!(cue.text.len() <= CUE_TEXT_MAX_BYTES);
        assert!(!cue.text.contains("-->") && !cue.text.contains(['\r', '\0']), "{cue:?}");
        assert!(cue.text.is_empty() || cue.text.split('\n').all(|line| !line.is_empty()), "{cue:?}");
        assert!(!cue.settings.contains(['\n', '\t']), "{cue:?}");
    }
    let mut ids: Vec<&String> = document.cues.iter().filter_map(|cue| cue.id.as_ref()).collect();
    ids.sort_unstable();
    assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "two cues of one id");
    let written = document.to_webvtt();
    assert!(written.len() <= INPUT_MAX_BYTES);
    let read = parse(written.as_bytes(), None).unwrap();
    assert_eq!(read.warnings, [], "{written}");
    assert_eq!(read, Document { warnings: Vec::new(), ..document.clone() }, "{written}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), hint in hint()) {
        parse(&bytes, hint).iter().for_each(holds);
    }

    #[test]
    fn spoilt_files_are_read_or_refused(bytes in mutated(), hint in hint()) {
        parse(&bytes, hint).iter().for_each(holds);
    }
}

#[test]
fn the_files_that_are_spoilt_are_read_whole() {
    for (file, cues) in [(WEBVTT, 2), (SUBRIP, 2), (TTML, 4)] {
        let document = parse(file.as_bytes(), None).unwrap();
        assert_eq!((document.cues.len(), &document.warnings[..]), (cues, &[][..]), "{:#?}", document);
        holds(&document);
    }
}

#[test]
fn what_is_too_much_is_refused() {
    let cue = "00:01.000 --> 00:02.000\nx\n\n";
    let limit = |text: String, expected: &str, at: usize| match parse(text.as_bytes(), None) {
        Err(SubtitleError::Limit { line, what, .. }) => assert_eq!((what, line), (expected, at)),
        other => panic!("{expected}: {other:?}"),
    };
    let large = vec![b' '; INPUT_MAX_BYTES + 1];
    assert_eq!(parse(&large, None), Err(SubtitleError::TooLarge { bytes: INPUT_MAX_BYTES + 1 }));
    limit(format!("WEBVTT\n\n{}", cue.repeat(CUES_MAX + 1)), "cues", 3 + 3 * CUES_MAX);
    limit(cue.replace('.', ",").repeat(CUES_MAX + 1), "cues", 1 + 3 * CUES_MAX);
    let long = "x".repeat(CUE_TEXT_MAX_BYTES + 1);
    limit(format!("WEBVTT\n\n00:01.000 --> 00:02.000\n{long}"), "bytes of text in a cue", 3);
    limit(format!("1\n00:00:01,000 --> 00:00:02,000\n{long}"), "bytes of text in a cue", 2);
    // Each character of the file is five of the document.
    let ampersands = format!("00:00:01,000 --> 00:00:02,000\n{}\n\n", "&".repeat(3000));
    let fits = INPUT_MAX_BYTES / 15_050;
    limit(ampersands.repeat(fits + 1), "bytes when written as WebVTT", 1 + 3 * fits);
    let paragraph = |inner: &str| format!("<tt><body><div>\n<p end='9s'>{inner}</p></div></body></tt>");
    limit(paragraph(&long), "bytes of text in a paragraph", 2);
    limit(paragraph(&"<br/>".repeat(9000)), "parts of a paragraph", 2);
    let changes: String = (0..130).map(|at| format!("<span begin='{at}ms'>x</span>")).collect();
    limit(paragraph(&changes), "changes of a paragraph", 2);
    limit(paragraph(&"<span>".repeat(70)), "elements within each other", 2);
    let styles: String = (0..4097).map(|at| format!("<style xml:id='{at}'/>")).collect();
    limit(format!("<tt><head><styling>\n{styles}</styling></head></tt>"), "styles and regions", 2);
    let attributes: String = (0..70).map(|at| format!(" a{at}=''")).collect();
    limit(format!("<tt><body><div\n{attributes}/></body></tt>"), "attributes of an element", 2);
}

#[test]
fn many_warnings_are_few() {
    let file = format!("WEBVTT\n\n{}", "00:02.000 --> 00:01.000\n\n".repeat(5000));
    let document = parse(file.as_bytes(), None).unwrap();
    assert_eq!(document.warnings.len(), WARNINGS_MAX + 1);
    assert!(document.warnings[WARNINGS_MAX].text.contains("more warnings"));
}

#[test]
fn xml_that_bites_is_refused() {
    let bomb = "<?xml version='1.0'?>\n<!DOCTYPE tt [<!ENTITY a 'x'><!ENTITY b '&a;&a;&a;'>]>\n<tt><body><div><p end='1s'>&b;</p></div></body></tt>";
    assert!(
        matches!(parse(bomb.as_bytes(), None), Err(SubtitleError::Refused { line: 2, what }) if what.contains("DOCTYPE"))
    );
    for (text, at) in [
        ("<tt>\n<body><div><p>&b;</p></div></body></tt>", 2),
        ("<tt>\n\n<body></tt>", 3),
        ("<tt><body>", 1),
        ("<tt a='&b;'/>", 1),
        ("<tt><body><div><p>&#0;</p></div></body></tt>", 1),
    ] {
        assert!(
            matches!(parse(text.as_bytes(), None), Err(SubtitleError::Xml { line, .. }) if line == at),
            "{text}: {:?}",
            parse(text.as_bytes(), None)
        );
    }
    for text in ["<html/>", "<!-- no root -->", "<?xml version='1.0'?><svg></svg>"] {
        assert!(matches!(parse(text.as_bytes(), None), Err(SubtitleError::Refused { .. })), "{text}");
    }
}
