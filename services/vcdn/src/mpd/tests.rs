//! What manifests name, read off short ones; and that odd, damaged and endless ones cost no more than their bound.

use proptest::prelude::*;

use super::*;

fn mpd(inside: &str) -> String {
    format!("<?xml version=\"1.0\"?><MPD mediaPresentationDuration=\"PT10.001S\"><Period>{inside}</Period></MPD>")
}

#[test]
fn a_shared_template_names_the_segments_of_each_representation() {
    let set = "<AdaptationSet><SegmentTemplate timescale=\"10\" startNumber=\"3\" initialization=\"v/$RepresentationID$/init.mp4\" \
               media=\"v/$RepresentationID$/$Number$.m4s?a=1&amp;b=2\"><SegmentTimeline><S t=\"5\" d=\"20\" r=\"1\"/><S d=\"7\"/>\
               </SegmentTimeline></SegmentTemplate><Representation id=\"hi\"/><Representation id=\"lo\"/></AdaptationSet>";
    let of = |id: &str| {
        let segments = (3..6).map(|number| format!("v/{id}/{number}.m4s?a=1&b=2"));
        [format!("v/{id}/init.mp4")].into_iter().chain(segments).collect::<Vec<_>>()
    };
    assert_eq!(named(&mpd(set)), [of("hi"), of("lo")]);
}

#[test]
fn what_a_representation_says_itself_holds_and_a_file_is_named_as_it_is() {
    let sets = "<AdaptationSet><SegmentTemplate timescale=\"1\" media=\"a/$Number%03d$\"/><Representation id=\"1\" bandwidth=\"9\">\
                <SegmentTemplate media=\"$Bandwidth$/$Time$$$\"><SegmentTimeline><S d=\"2\" r=\"1\"/></SegmentTimeline></SegmentTemplate>\
                </Representation><Representation id=\"2\"><SegmentTemplate duration=\"5\" startNumber=\"0\"/></Representation>\
                </AdaptationSet><AdaptationSet><Representation id=\"t\"><BaseURL>t/en.vtt?a&amp;b</BaseURL></Representation></AdaptationSet>";
    let expected = [vec!["9/0$", "9/2$"], vec!["a/000", "a/001"], vec!["t/en.vtt?a&b"]];
    assert_eq!(named(&mpd(sets)), expected);
}

#[test]
fn a_base_of_a_representation_goes_before_its_segments_and_one_above_leads_elsewhere() {
    let template =
        "<SegmentTemplate media=\"$Number$\"><SegmentTimeline><S d=\"2\"/></SegmentTimeline></SegmentTemplate>";
    for (base, expected) in [
        ("v/hi/", "v/hi/1"),
        ("v/hi?x=/", "v/1"),
        ("/v/", "/v/1"),
        ("hi", "1"),
        ("http://a/v/", "http://a/v/1"),
        (" ", "1"),
    ] {
        let set = format!(
            "<AdaptationSet>{template}<Representation><BaseURL>{base}</BaseURL></Representation></AdaptationSet>"
        );
        assert_eq!(named(&mpd(&set)), [[expected]], "{base}");
    }
    let set = format!("<AdaptationSet>{template}<Representation/></AdaptationSet>");
    let pathway = "<BaseURL serviceLocation=\"east\">http://east/</BaseURL>";
    assert_eq!(named(&mpd(&format!("{pathway}{set}"))), [["1"]]);
    let above = mpd(&format!("<BaseURL>other/</BaseURL>{set}"));
    let outer = mpd(&set).replace("<Period>", "<BaseURL>other/</BaseURL><Period>");
    let in_set = mpd(&set).replace("<AdaptationSet>", "<AdaptationSet><BaseURL>other/</BaseURL>");
    for text in [above, outer, in_set] {
        assert!(named(&text).is_empty(), "{text}");
    }
    // It holds for what it stands in.
    let periods = format!("<BaseURL>other/</BaseURL>{set}</Period><Period>{set}");
    assert_eq!(named(&mpd(&periods)), [["1"]]);
}

#[test]
fn the_length_of_all_is_not_taken_for_that_of_one_period_of_several() {
    let set = "<AdaptationSet><SegmentTemplate duration=\"5\" media=\"$Number$\"/><Representation/></AdaptationSet>";
    assert_eq!(named(&mpd(set)), [["1", "2"]]);
    assert!(named(&mpd(&format!("{set}</Period><Period>{set}"))).is_empty());
    let known = format!("{set}</Period><Period duration=\"PT5S\">{set}");
    assert_eq!(named(&mpd(&known)), [["1"]]);
}

#[test]
fn durations_are_read_in_seconds_and_what_is_none_is_not() {
    for (text, expected) in
        [("PT1M2.5S", Some(62.5)), ("P1DT1H", Some(90_000.0)), ("PT0S", Some(0.0)), ("PT", Some(0.0))]
    {
        assert_eq!(seconds(text), expected, "{text}");
    }
    for text in ["", "1", "P1Y", "PT1", "PT-1S", "PTnanS", "PT1S1H"] {
        assert_eq!(seconds(text), None, "{text}");
    }
}

#[test]
fn a_manifest_that_would_name_too_much_is_bounded() {
    let endless = "<AdaptationSet><SegmentTemplate media=\"$Number$\"><SegmentTimeline><S d=\"1\" r=\"18446744073709551615\"/>\
                   </SegmentTimeline></SegmentTemplate><Representation/><Representation/></AdaptationSet>";
    assert_eq!(named(&mpd(endless)).iter().map(Vec::len).sum::<usize>(), NAMED_MAX);
    assert!(is_one("\u{feff} <MPD/>") && !is_one("#EXTM3U"));
}

#[test]
fn what_names_nothing_however_often_it_is_tried_costs_no_more() {
    let work_of = |inside: &str| {
        let mut walk = Walk::new();
        walk.read(&mpd(inside));
        (WORK_MAX - walk.work.0, walk.count)
    };
    let endless = "<SegmentTimeline><S d=\"1\" r=\"18446744073709551615\"/></SegmentTimeline>";
    let many = "<Representation/>".repeat(10_000);
    // What cannot be filled in is tried once for each.
    let odd =
        format!("<AdaptationSet><SegmentTemplate media=\"$X$\">{endless}</SegmentTemplate>{many}</AdaptationSet>");
    assert_eq!(work_of(&odd), (1 + NAMED_MAX + 2 * 10_000, 0));
    // One that grows too long, timelines for each, templates for each.
    let long = "a".repeat(2000);
    let own = format!(
        "<Representation id=\"{long}\"><SegmentTemplate media=\"$X$\">{endless}</SegmentTemplate></Representation>"
    );
    let copies = "<Representation><SegmentTemplate/></Representation>".repeat(10_000);
    for inside in [
        format!("<AdaptationSet>{}</AdaptationSet>", own.repeat(1000)),
        format!(
            "<AdaptationSet><SegmentTemplate media=\"{long}$X$\" initialization=\"{long}\"/>{copies}</AdaptationSet>"
        ),
        format!(
            "<AdaptationSet><SegmentTemplate media=\"{}\">{endless}</SegmentTemplate>{own}{many}</AdaptationSet>",
            "$RepresentationID$".repeat(100)
        ),
    ] {
        let (work, count) = work_of(&inside);
        assert!(work <= WORK_MAX && count <= NAMED_MAX, "{work} for {count}");
    }
}

proptest! {
    #[test]
    fn no_text_is_too_odd_to_be_read(text in "(<|>|/|\"|=|MPD|Period|AdaptationSet|Representation|SegmentTemplate|SegmentTimeline|S| d| r| media|\\$Number\\$|9|&amp;|&){0,60}") {
        let named = named(&text);
        prop_assert!(named.iter().map(Vec::len).sum::<usize>() <= NAMED_MAX);
    }
}
