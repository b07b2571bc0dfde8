//! TTML as broadcasters and streaming services write it.

use flame_subtitles::{Cue, Document, parse};
use proptest::prelude::*;

fn cue(start_ms: u64, end_ms: u64, settings: &str, text: &str) -> Cue {
    Cue { start_ms, end_ms, id: None, settings: settings.to_owned(), text: text.to_owned() }
}

fn read(text: &str) -> Document {
    parse(text.as_bytes(), None).unwrap()
}

/// A body in a document that says nothing else.
fn body(inner: &str) -> Document {
    read(&format!("<tt xmlns=\"http://www.w3.org/ns/ttml\"><body>{inner}</body></tt>"))
}

#[test]
fn imsc_as_streaming_services_write_it() {
    let document = read(
        r##"<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<tt:tt xmlns:tt="http://www.w3.org/ns/ttml" xmlns:ttp="http://www.w3.org/ns/ttml#parameter" xmlns:tts="http://www.w3.org/ns/ttml#styling"
    xmlns:ttm="http://www.w3.org/ns/ttml#metadata" ttp:profile="http://www.w3.org/ns/ttml/profile/imsc1/text" ttp:timeBase="media"
    ttp:tickRate="10000000" ttp:frameRate="24" ttp:frameRateMultiplier="1000 1001" ttp:cellResolution="40 20" xml:lang="fr-CA">
  <tt:head>
    <tt:metadata><ttm:title>Not a text</ttm:title></tt:metadata>
    <tt:styling>
      <tt:style xml:id="italic" style="plain slanted"/>
      <tt:style xml:id="plain" tts:color="white" tts:fontStyle="normal"/>
      <tt:style xml:id="slanted" tts:fontStyle="italic"/>
      <tt:style xml:id="loud" tts:color="#FFFF00FF" tts:fontWeight="bold" tts:textDecoration="underline lineThrough"/>
    </tt:styling>
    <tt:layout>
      <tt:region xml:id="bottom" tts:displayAlign="after" tts:textAlign="center" tts:origin="10% 80%" tts:extent="80% 15%"/>
      <tt:region xml:id="top" tts:origin="4c 2c" tts:extent="32c 4c"><tt:style tts:displayAlign="before" tts:textAlign="left"/></tt:region>
      <tt:region xml:id="middle" tts:origin="0% 40%" tts:extent="50% 20%" tts:displayAlign="center" tts:textAlign="end" style="loud"/>
    </tt:layout>
  </tt:head>
  <tt:body style="plain" region="bottom">
    <tt:div>
      <tt:p xml:id="s1" begin="10000000t" end="25000000t"><tt:metadata><ttm:desc>Nor this</ttm:desc></tt:metadata>
        Bonjour,<tt:br/>
        <tt:span style="italic">tout  le
        monde</tt:span> !
      </tt:p>
      <tt:p begin="00:00:03.000" dur="2s" region="top" tts:textAlign="start">R&amp;B &lt;3 <tt:span style="loud italic">fort</tt:span></tt:p>
      <tt:p begin="00:00:06:00" end="00:00:06:12" region="middle" style="loud">x</tt:p>
    </tt:div>
  </tt:body>
</tt:tt>"##,
    );
    assert_eq!(document.language.as_deref(), Some("fr-CA"));
    let first = Cue { id: Some("s1".to_owned()), ..cue(1000, 2500, "", "Bonjour,\n<i>tout le monde</i> !") };
    assert_eq!(
        document.cues,
        [
            first,
            cue(3000, 5000, "line:10% position:10% align:start", "R&amp;B &lt;3 <b><i><u>fort</u></i></b>"),
            cue(6000, 6501, "line:50%,center position:50% align:end", "<c.yellow><b><u>x</u></b></c>"),
        ]
    );
    assert_eq!(document.warnings, []);
}

#[test]
fn times_nest_within_each_other() {
    let document = body(
        "<div begin='10s'><p begin='1s' end='3s'>a</p><p begin='1s' dur='9s'>b</p></div>\
         <div begin='20s' end='22s'><p>whole</p><p begin='1s' dur='1h'>rest</p></div>",
    );
    assert_eq!(
        document.cues,
        [
            cue(11_000, 13_000, "", "a"),
            cue(11_000, 20_000, "", "b"),
            cue(20_000, 22_000, "", "whole"),
            cue(21_000, 22_000, "", "rest"),
        ]
    );
}

#[test]
fn siblings_may_follow_each_other() {
    let document = body(
        "<div timeContainer='seq' begin='5s'><p dur='1s'>a</p><p dur='2s'>b</p><p begin='1s' end='2s'>c</p></div>",
    );
    assert_eq!(document.cues, [cue(5000, 6000, "", "a"), cue(6000, 8000, "", "b"), cue(9000, 10_000, "", "c")]);
}

#[test]
fn the_end_of_a_line_takes_no_time() {
    let document = body("<div><p timeContainer='seq'><span dur='1s'>a</span><br/><span dur='1s'>b</span></p></div>");
    assert_eq!(document.cues, [cue(0, 1000, "", "a"), cue(1000, 2000, "", "b")]);
}

#[test]
fn parts_with_times_of_their_own_make_several_cues() {
    let document = body(
        "<div><p begin='1s' end='5s'>one <span begin='1s'>two</span> <span begin='2s' end='3s'>three</span><br/></p></div>",
    );
    assert_eq!(
        document.cues,
        [
            cue(1000, 2000, "", "one"),
            cue(2000, 3000, "", "one two"),
            cue(3000, 4000, "", "one two three"),
            cue(4000, 5000, "", "one two"),
        ]
    );
    let painted = body("<div><p><span begin='1s' end='2s'>x</span><span begin='3s' end='4s'>y</span></p></div>");
    assert_eq!(painted.cues, [cue(1000, 2000, "", "x"), cue(3000, 4000, "", "y")]);
}

#[test]
fn spaces_are_kept_where_the_file_says_so() {
    let document = body(
        "<div xml:space='preserve'><p end='1s'>- a   b\n  - c\n\n</p></div><div><p end='1s'>\n  a\n  <br/><br/> b  <span> c</span>\n</p></div>",
    );
    assert_eq!(document.cues, [cue(0, 1000, "", "- a   b\n- c"), cue(0, 1000, "", "a\nb c")]);
}

#[test]
fn what_is_never_shown_is_told() {
    let document = body(
        "<div>\n<p>endless</p>\n<p begin='2s' end='1s'>backwards</p>\n<p begin='soon' end='3s'>when</p>\n<p end='1s'>  </p>\
         \n<p end='1s'>shown</p></div>\n<div begin='x'><p end='1s'>lost</p></div>",
    );
    assert_eq!(document.cues, [cue(0, 1000, "", "shown")]);
    let lines: Vec<usize> = document.warnings.iter().map(|warning| warning.line).collect();
    assert_eq!(lines, [2, 3, 4, 7], "{:?}", document.warnings);
}

#[test]
fn pixels_need_a_root_that_says_how_many_there_are() {
    let file = |root: &str| {
        read(&format!(
            "<tt {root}><head><layout><region xml:id='r' tts:origin='64px 48px' tts:extent='320px 48px'/></layout></head>\
             <body><div><p end='1s' region='r'>x</p></div></body></tt>"
        ))
    };
    assert_eq!(file("tts:extent='640px 480px'").cues[0].settings, "line:10% position:35%");
    assert_eq!(file("").cues[0].settings, "");
}

#[test]
fn a_clock_of_the_day_is_refused() {
    let refused = parse(b"<tt ttp:timeBase='clock'><body/></tt>", None).unwrap_err();
    assert!(refused.to_string().starts_with("line 1: ttp:timeBase"), "{refused}");
}

proptest! {
    /// A paragraph of parts, each with a time within the paragraph's; and what stands there at each moment.
    #[test]
    fn at_each_moment_just_the_parts_of_that_moment_are_shown(
        paragraph in (0_u64..10, 1_u64..30),
        parts in prop::collection::vec((0_u64..20, prop::option::of(0_u64..25), prop::option::of(0_u64..25)), 1..12),
    ) {
        let (begin_ms, dur_ms) = paragraph;
        let within = |name: &str, ms: Option<u64>| ms.map_or(String::new(), |ms| format!(" {name}='{ms}ms'"));
        let spans: String = parts
            .iter()
            .enumerate()
            .map(|(at, (begin, end, dur))| {
                format!("<span begin='{begin}ms'{}{}>[{at}]</span>", within("end", *end), within("dur", *dur))
            })
            .collect();
        let document = body(&format!("<div><p begin='{begin_ms}ms' dur='{dur_ms}ms'>{spans}</p></div>"));
        prop_assert!(document.cues.windows(2).all(|pair| pair[0].end_ms <= pair[1].start_ms));
        for at_ms in 0..60 {
            let is_shown = |(begin, end, dur): &(u64, Option<u64>, Option<u64>)| {
                let ends_ms = [end.map(|ms| begin_ms + ms), dur.map(|ms| begin_ms + begin + ms), Some(begin_ms + dur_ms)];
                (begin_ms + begin..ends_ms.into_iter().flatten().min().unwrap_or(0)).contains(&at_ms)
            };
            let expected: String = (0..).zip(&parts).filter(|(_, part)| is_shown(part)).map(|(at, _)| format!("[{at}]")).collect();
            let shown: String = document.cues.iter().filter(|cue| cue.overlaps(at_ms, at_ms + 1)).map(|cue| cue.text.as_str()).collect();
            prop_assert_eq!(shown, expected, "at {} ms of {}", at_ms, spans);
        }
    }
}
