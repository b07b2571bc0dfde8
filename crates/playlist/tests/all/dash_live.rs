//! MPDs of live channels: as text, and what holds while the window moves on.

use std::collections::{BTreeMap, BTreeSet};

use flame_playlist::{
    Content, LiveMpd, LivePart, LiveSegment, LiveTrack, LowLatency, Phase, PlaylistError, Role, WallClock,
};
use proptest::prelude::*;

use crate::dash::{Read, audio, decoded, read, video};

/// 2026-11-26T12:00:00Z.
const NOON_S: u64 = 1_795_694_400;

fn segment(time_ticks: u64, duration_ticks: u64, content: Content) -> LiveSegment {
    LiveSegment { time_ticks, duration_ticks, content, init: 0, is_discontinuity: false, wall_offset_ms: 0 }
}

fn whole() -> Content {
    Content::Whole(Vec::new())
}

fn under_way(duration_ticks: u64) -> Content {
    Content::UnderWay(vec![LivePart { duration_ticks, is_independent: true }])
}

/// Four segments of two seconds and a quarter of one, of which the pictures lack the third.
fn channel() -> LiveMpd {
    let track = |track, timescale: u64, lead: u64, lacks: Option<usize>| {
        let at = |number: usize| NOON_S * timescale - lead + number as u64 * 2 * timescale;
        let content = |number| if lacks == Some(number) { Content::Gap } else { whole() };
        let mut segments: Vec<_> = (0..4).map(|number| segment(at(number), 2 * timescale, content(number))).collect();
        segments.push(segment(at(4), timescale / 2, under_way(timescale / 2)));
        LiveTrack { track, first_number: 100, segments }
    };
    LiveMpd {
        tracks: vec![
            track(video("v720", 720, 3_000_000), 30_000, 0, Some(2)),
            track(audio("a", "en", Role::Main), 48_000, 480, None),
        ],
        published_ms: (NOON_S + 8) * 1000 + 500,
        update_ms: 500,
        window_ms: 60_000,
        delay_ms: 3_000,
        clocks: vec![WallClock::HttpIso { uri: "clock".to_owned() }],
        low_latency: Some(LowLatency { segment_ms: 2000, chunk_ms: 500, target_ms: 3000, min_ms: 1000, max_ms: 6000 }),
        ..LiveMpd::default()
    }
}

#[test]
fn a_channel_that_lost_a_segment_is_written_like_this() {
    let golden = r#"<?xml version="1.0" encoding="UTF-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011" type="dynamic" availabilityStartTime="1970-01-01T00:00:00.000Z" publishTime="2026-11-26T12:00:08.500Z" minimumUpdatePeriod="PT0.5S" timeShiftBufferDepth="PT60S" suggestedPresentationDelay="PT3S" minBufferTime="PT0.5S" maxSegmentDuration="PT2S">
  <ServiceDescription id="0">
    <Latency target="3000" min="1000" max="6000"/>
    <PlaybackRate min="0.96" max="1.04"/>
  </ServiceDescription>
  <Period id="p0" start="PT0S">
    <AdaptationSet id="0" contentType="video" mimeType="video/mp4" segmentAlignment="true" startWithSAP="1" par="16:9" maxWidth="1280" maxHeight="720" maxFrameRate="30000/1001">
      <Role schemeIdUri="urn:mpeg:dash:role:2011" value="main"/>
      <Representation id="v720" codecs="avc1.64001f" bandwidth="3000000" width="1280" height="720" frameRate="30000/1001" sar="1:1">
        <SegmentTemplate timescale="30000" startNumber="100" availabilityTimeOffset="1.5" availabilityTimeComplete="false" initialization="0123456789ab/v720/init.mp4" media="0123456789ab/v720/$Number$.m4s">
          <SegmentTimeline>
            <S t="53870832000000" d="60000" r="1"/>
          </SegmentTimeline>
        </SegmentTemplate>
      </Representation>
    </AdaptationSet>
    <AdaptationSet id="1" contentType="audio" mimeType="audio/mp4" lang="en" segmentAlignment="true" startWithSAP="1">
      <Role schemeIdUri="urn:mpeg:dash:role:2011" value="main"/>
      <Representation id="a" codecs="mp4a.40.2" bandwidth="130000" audioSamplingRate="48000">
        <AudioChannelConfiguration schemeIdUri="urn:mpeg:mpegB:cicp:ChannelConfiguration" value="2"/>
        <SegmentTemplate timescale="48000" startNumber="100" availabilityTimeOffset="1.5" availabilityTimeComplete="false" initialization="0123456789ab/a/init.mp4" media="0123456789ab/a/$Number$.m4s">
          <SegmentTimeline>
            <S t="86193331199520" d="96000" r="2"/>
          </SegmentTimeline>
        </SegmentTemplate>
      </Representation>
    </AdaptationSet>
  </Period>
  <Period id="p1795694406000" start="PT1795694406S">
    <AdaptationSet id="0" contentType="video" mimeType="video/mp4" segmentAlignment="true" startWithSAP="1" par="16:9" maxWidth="1280" maxHeight="720" maxFrameRate="30000/1001">
      <Role schemeIdUri="urn:mpeg:dash:role:2011" value="main"/>
      <Representation id="v720" codecs="avc1.64001f" bandwidth="3000000" width="1280" height="720" frameRate="30000/1001" sar="1:1">
        <SegmentTemplate timescale="30000" presentationTimeOffset="53870832180000" startNumber="103" availabilityTimeOffset="1.5" availabilityTimeComplete="false" initialization="0123456789ab/v720/init.mp4" media="0123456789ab/v720/$Number$.m4s">
          <SegmentTimeline>
            <S t="53870832180000" d="60000" r="1"/>
          </SegmentTimeline>
        </SegmentTemplate>
      </Representation>
    </AdaptationSet>
    <AdaptationSet id="1" contentType="audio" mimeType="audio/mp4" lang="en" segmentAlignment="true" startWithSAP="1">
      <Role schemeIdUri="urn:mpeg:dash:role:2011" value="main"/>
      <Representation id="a" codecs="mp4a.40.2" bandwidth="130000" audioSamplingRate="48000">
        <AudioChannelConfiguration schemeIdUri="urn:mpeg:mpegB:cicp:ChannelConfiguration" value="2"/>
        <SegmentTemplate timescale="48000" presentationTimeOffset="86193331488000" startNumber="103" availabilityTimeOffset="1.5" availabilityTimeComplete="false" initialization="0123456789ab/a/init.mp4" media="0123456789ab/a/$Number$.m4s">
          <SegmentTimeline>
            <S t="86193331487520" d="96000" r="1"/>
          </SegmentTimeline>
        </SegmentTemplate>
      </Representation>
    </AdaptationSet>
  </Period>
  <UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-iso:2014" value="clock"/>
</MPD>
"#;
    assert_eq!(channel().mpd().unwrap(), golden);
    assert_eq!(channel().period_starts_ms(), [(NOON_S + 6) * 1000]);
}

#[test]
fn without_growing_segments_only_whole_ones_are_listed() {
    let mut plain = channel();
    plain.low_latency = None;
    let text = plain.mpd().unwrap();
    assert!(!text.contains("availabilityTime"), "{text}");
    assert!(text.contains("minBufferTime=\"PT2S\"") && !text.contains("ServiceDescription"), "{text}");
    assert_eq!(listed(&text)["v720"].keys().copied().collect::<Vec<_>>(), [100, 101, 103]);
}

#[test]
fn one_that_is_over_ends_where_it_was_or_begins_at_nothing() {
    let mut over = channel();
    over.phase = Phase::Ended;
    let mpd = read(&over.mpd().unwrap())[0].attributes.clone();
    assert_eq!((mpd["type"].as_str(), mpd["mediaPresentationDuration"].as_str()), ("dynamic", "PT1795694408.5S"));
    assert!(!mpd.contains_key("minimumUpdatePeriod"));

    over.phase = Phase::Recorded;
    let elements = read(&over.mpd().unwrap());
    let mpd = &elements[0].attributes;
    // Sound begins ten milliseconds before the pictures.
    assert_eq!((mpd["type"].as_str(), mpd["mediaPresentationDuration"].as_str()), ("static", "PT8.51S"));
    assert!(!mpd.contains_key("availabilityStartTime") && !elements.iter().any(|element| element.name == "UTCTiming"));
    let periods = elements.iter().filter(|element| element.name == "Period");
    let spans: Vec<_> =
        periods.map(|period| (period.attributes["start"].clone(), period.attributes["duration"].clone())).collect();
    assert_eq!(spans, [("PT0S".into(), "PT6.01S".into()), ("PT6.01S".into(), "PT2.5S".into())]);
    let offsets: Vec<_> =
        elements.iter().filter_map(|element| element.attributes.get("presentationTimeOffset")).collect();
    assert_eq!(offsets, ["53870831999700", "86193331199520", "53870832180000", "86193331488000"]);
}

#[test]
fn a_period_without_one_of_the_tracks_is_not_listed() {
    let mut begins_late = channel();
    begins_late.tracks[0].segments[0].content = Content::Gap;
    let found = listed(&begins_late.mpd().unwrap());
    let numbers = |id: &str| found[id].keys().copied().collect::<Vec<_>>();
    assert_eq!((numbers("v720"), numbers("a")), (vec![101, 103, 104], vec![101, 102, 103, 104]));
    // A track that never had anything is no reason.
    for segment in &mut begins_late.tracks[0].segments {
        segment.content = Content::Gap;
    }
    assert_eq!(listed(&begins_late.mpd().unwrap()).keys().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn an_encoder_that_returns_before_its_last_segment_was_to_end_begins_a_period() {
    let mut overlapping = channel();
    for track in &mut overlapping.tracks {
        let scale = u64::from(track.track.timescale);
        track.segments.truncate(4);
        // The third one begins in the first half of the second.
        for (at, segment) in track.segments.iter_mut().enumerate().skip(2) {
            segment.time_ticks -= 3 * scale / 2;
            segment.content = whole();
            segment.is_discontinuity = at == 2;
        }
    }
    let text = overlapping.mpd().unwrap();
    for segments in listed(&text).values() {
        let periods: Vec<_> = segments.iter().map(|(number, (period, ..))| (*number, period.as_str())).collect();
        let new = "p1795694402500";
        assert_eq!(periods, [(100, "p0"), (101, "p0"), (102, new), (103, new)], "{text}");
    }
}

#[test]
fn refuses_nothing_to_play_and_clocks_elsewhere() {
    assert!(matches!(LiveMpd::default().mpd(), Err(PlaylistError::Empty { .. })));
    let elsewhere =
        LiveMpd { clocks: vec![WallClock::HttpIso { uri: "https://time.example/".to_owned() }], ..channel() };
    assert!(matches!(elsewhere.mpd(), Err(PlaylistError::Uri { .. })));
}

/// Of each Representation, by segment: in which Period it is, when it is presented (milliseconds), and how long (ticks).
fn listed(text: &str) -> BTreeMap<String, BTreeMap<u64, (String, u64, u64)>> {
    let mut found: BTreeMap<String, BTreeMap<u64, (String, u64, u64)>> = BTreeMap::new();
    let (mut period, mut id, mut template) = (Read::default(), String::new(), Read::default());
    let mut runs: Vec<Read> = Vec::new();
    let mut elements = read(text);
    elements.push(Read { name: "Representation".to_owned(), ..Read::default() });
    for element in elements {
        match element.name.as_str() {
            "S" => runs.push(element),
            "SegmentTemplate" => template = element,
            "Representation" | "Period" => {
                for (at, (t, d)) in decoded(&runs).into_iter().enumerate() {
                    let number =
                        |name: &str| template.attributes.get(name).map_or(0, |value| value.parse::<u64>().unwrap());
                    let start = &period.attributes["start"];
                    let start_ms = (start[2..start.len() - 1].parse::<f64>().unwrap() * 1000.0).round() as u64;
                    let ms = start_ms as f64
                        + (t as f64 - number("presentationTimeOffset") as f64) * 1000.0 / number("timescale") as f64;
                    let twice = found.entry(id.clone()).or_default().insert(
                        number("startNumber") + at as u64,
                        (period.attributes["id"].clone(), ms.round() as u64, d),
                    );
                    assert!(twice.is_none(), "a segment is listed twice: {text}");
                }
                runs.clear();
                if element.name == "Period" {
                    period = element;
                } else {
                    id = element.attributes.get("id").cloned().unwrap_or_default();
                }
            }
            _ => {}
        }
    }
    found
}

/// What may happen to a segment of a track.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Comes,
    IsLost,
    /// After a pause of the encoder, milliseconds; with another init segment or not.
    Resumes(u64, bool),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        8 => Just(Fate::Comes),
        2 => Just(Fate::IsLost),
        1 => (0u64..5000, any::<bool>()).prop_map(|(pause, is_new)| Fate::Resumes(pause, is_new)),
    ]
}

/// Pictures and sound of a channel; pauses are of both, losses of one.
fn histories() -> impl Strategy<Value = Vec<LiveTrack>> {
    prop::collection::vec((fate(), any::<bool>(), 500u64..2000), 3..40).prop_map(|fates| {
        let mut tracks = [
            LiveTrack { track: video("v", 720, 1), ..LiveTrack::default() },
            LiveTrack { track: audio("a", "en", Role::Main), ..LiveTrack::default() },
        ];
        let (mut at_ms, mut init) = (NOON_S * 1000, 0);
        for (fate, is_audio, ms) in fates {
            if let Fate::Resumes(pause, is_new) = fate {
                at_ms += pause;
                init += u32::from(is_new);
            }
            for (which, track) in tracks.iter_mut().enumerate() {
                let scale = u64::from(track.track.timescale);
                let lead = if which == 1 { 7 } else { 0 };
                let is_lost = fate == Fate::IsLost && is_audio == (which == 1);
                let content = if is_lost { Content::Gap } else { whole() };
                let mut made = segment((at_ms - lead) * scale / 1000, ms * scale / 1000, content);
                (made.init, made.is_discontinuity) = (init, matches!(fate, Fate::Resumes(..)));
                track.segments.push(made);
            }
            at_ms += ms;
        }
        tracks.to_vec()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens: segments are listed once, under their own numbers, at their own times; and in whichever window one
    /// is listed, in the same Period. All of those are listed that the other track does not lack, and a Period has both.
    #[test]
    fn numbers_and_periods_never_change_while_the_window_moves(tracks in histories(), length in 2usize..12) {
        let count = tracks[0].segments.len();
        let mut known = Vec::new();
        let mut periods: BTreeMap<(String, u64), String> = BTreeMap::new();
        for end in 1..=count {
            let first = end.saturating_sub(length);
            let windows = tracks.iter().map(|track| LiveTrack {
                first_number: 1000 + first as u64,
                segments: track.segments[first..end].to_vec(),
                ..track.clone()
            });
            let mpd = LiveMpd { tracks: windows.collect(), known_period_starts_ms: known.clone(), ..LiveMpd::default() };
            let text = match mpd.mpd() {
                Ok(text) => text,
                Err(error) => {
                    let is_empty = matches!(error, PlaylistError::Empty { .. });
                    prop_assert!(is_empty);
                    continue;
                }
            };
            known = mpd.period_starts_ms();
            let listed = listed(&text);
            let named = |id: &str| listed[id].values().map(|(period, ..)| period.clone()).collect::<BTreeSet<_>>();
            if listed.len() == 2 {
                prop_assert_eq!(named("v"), named("a"));
            }
            for track in &tracks {
                let scale = u64::from(track.track.timescale);
                let mut expected: BTreeMap<u64, u64> = BTreeMap::new();
                for at in first..end {
                    let segment = &track.segments[at];
                    if segment.content != Content::Gap {
                        expected.insert(1000 + at as u64, segment.time_ticks * 1000 / scale);
                    }
                }
                let found = listed.get(&track.track.id).cloned().unwrap_or_default();
                for (number, at) in (1000 + first as u64..).zip(first..end) {
                    let is_shown = tracks.iter().all(|track| track.segments[at].content != Content::Gap);
                    prop_assert!(!is_shown || found.contains_key(&number), "{} of {} is missing\n{}", number, &track.track.id, &text);
                }
                prop_assert!(found.keys().all(|number| expected.contains_key(number)));
                for (number, (period, ms, _)) in found {
                    prop_assert!(ms.abs_diff(expected[&number]) <= 1, "{}: {} {}", number, ms, expected[&number]);
                    let before = periods.entry((track.track.id.clone(), number)).or_insert_with(|| period.clone());
                    prop_assert_eq!(&*before, &period, "segment {} of {}\n{}", number, &track.track.id, &text);
                }
            }
        }
    }
}
