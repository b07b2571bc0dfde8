//! MPDs of complete tracks: as text, and as an XML reader decodes them.

use std::collections::BTreeMap;

use flame_playlist::{DashKind, DashTrack, PlaylistError, Role, VodMpd, VodTrack, vod_mpd};
use proptest::prelude::*;
use quick_xml::{Reader, events::Event};

/// An element as it was read: its name, its attributes, its text.
#[derive(Debug, Default, Clone)]
pub struct Read {
    pub name: String,
    pub attributes: BTreeMap<String, String>,
    pub text: String,
}

/// Reads a document; fails if it is not well-formed.
pub fn read(text: &str) -> Vec<Read> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_comments = true;
    let (mut elements, mut open): (Vec<Read>, Vec<usize>) = (Vec::new(), Vec::new());
    loop {
        let event = reader.read_event().unwrap();
        let is_start = matches!(event, Event::Start(_));
        match event {
            Event::Start(start) | Event::Empty(start) => {
                let attributes = start.attributes().map(|attribute| {
                    let attribute = attribute.unwrap();
                    let name = String::from_utf8(attribute.key.as_ref().to_vec()).unwrap();
                    let value = std::str::from_utf8(&attribute.value).unwrap();
                    (name, quick_xml::escape::unescape(value).unwrap().into_owned())
                });
                let name = String::from_utf8(start.name().as_ref().to_vec()).unwrap();
                let attributes = attributes.collect();
                elements.push(Read { name, attributes, text: String::new() });
                if is_start {
                    open.push(elements.len() - 1);
                }
            }
            Event::End(_) => {
                open.pop().unwrap();
            }
            Event::Text(text) => {
                if let Some(at) = open.last() {
                    elements[*at].text.push_str(&text.decode().unwrap());
                }
            }
            Event::GeneralRef(reference) => {
                let text = quick_xml::escape::resolve_predefined_entity(&reference.decode().unwrap()).unwrap();
                elements[*open.last().unwrap()].text.push_str(text);
            }
            Event::Eof => break,
            Event::Decl(_) => {}
            other => panic!("{other:?} has no place in an MPD"),
        }
    }
    assert!(open.is_empty());
    elements
}

/// The times and lengths that a `SegmentTimeline` stands for.
pub fn decoded(runs: &[Read]) -> Vec<(u64, u64)> {
    let mut at = 0;
    let mut segments = Vec::new();
    for run in runs {
        let number = |name: &str| run.attributes.get(name).map(|value| value.parse::<u64>().unwrap());
        at = number("t").unwrap_or(at);
        for _ in 0..=number("r").unwrap_or(0) {
            segments.push((at, number("d").unwrap()));
            at += number("d").unwrap();
        }
    }
    segments
}

pub fn video(id: &str, height: u32, bandwidth_bps: u64) -> DashTrack {
    DashTrack {
        id: id.to_owned(),
        folder: format!("0123456789ab/{id}"),
        codec: "avc1.64001f".to_owned(),
        kind: DashKind::Video { width: height * 16 / 9, height, frame_rate: Some((60_000, 2002)), sar: (1, 1) },
        bandwidth_bps,
        timescale: 30_000,
        start_with_sap: Some(1),
        ..DashTrack::default()
    }
}

pub fn audio(id: &str, language: &str, role: Role) -> DashTrack {
    DashTrack {
        id: id.to_owned(),
        folder: format!("0123456789ab/{id}"),
        codec: "mp4a.40.2".to_owned(),
        kind: DashKind::Audio { sampling_rate_hz: Some(48_000), channels: Some(2) },
        language: Some(language.to_owned()),
        role,
        bandwidth_bps: 130_000,
        timescale: 48_000,
        start_with_sap: Some(1),
        ..DashTrack::default()
    }
}

fn vod(track: DashTrack, segment_ticks: &[u64]) -> VodTrack {
    VodTrack { track, segment_ticks: segment_ticks.to_vec(), ..VodTrack::default() }
}

#[test]
fn a_ladder_with_two_languages_is_written_like_this() {
    let pictures = [60_060, 60_060, 60_060, 30_030];
    // The edit list takes 1024 samples of priming from the first segment.
    let sound = [95_232, 96_256, 96_256, 48_000];
    let described =
        DashTrack { label: Some("Für \"Blinde\" & <Sehende>".to_owned()), ..audio("a-de", "de", Role::Description) };
    let text = vod_mpd(
        &[
            vod(video("v720", 720, 3_000_000), &pictures),
            vod(video("v360", 360, 800_000), &pictures),
            vod(audio("a-en", "en", Role::Main), &sound),
            vod(described, &sound),
        ],
        &[],
    );
    let golden = r#"<?xml version="1.0" encoding="UTF-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011" type="static" mediaPresentationDuration="PT7.007S" minBufferTime="PT2.006S" maxSegmentDuration="PT2.006S">
  <Period id="0" start="PT0S" duration="PT7.007S">
    <AdaptationSet id="0" contentType="video" mimeType="video/mp4" segmentAlignment="true" startWithSAP="1" par="16:9" maxWidth="1280" maxHeight="720" maxFrameRate="30000/1001">
      <Role schemeIdUri="urn:mpeg:dash:role:2011" value="main"/>
      <SegmentTemplate timescale="30000" startNumber="0" initialization="0123456789ab/$RepresentationID$/init.mp4" media="0123456789ab/$RepresentationID$/$Number$.m4s">
        <SegmentTimeline>
          <S t="0" d="60060" r="2"/>
          <S d="30030"/>
        </SegmentTimeline>
      </SegmentTemplate>
      <Representation id="v720" codecs="avc1.64001f" bandwidth="3000000" width="1280" height="720" frameRate="30000/1001" sar="1:1"/>
      <Representation id="v360" codecs="avc1.64001f" bandwidth="800000" width="640" height="360" frameRate="30000/1001" sar="1:1"/>
    </AdaptationSet>
    <AdaptationSet id="1" contentType="audio" mimeType="audio/mp4" lang="en" segmentAlignment="true" startWithSAP="1">
      <Role schemeIdUri="urn:mpeg:dash:role:2011" value="main"/>
      <Representation id="a-en" codecs="mp4a.40.2" bandwidth="130000" audioSamplingRate="48000">
        <AudioChannelConfiguration schemeIdUri="urn:mpeg:mpegB:cicp:ChannelConfiguration" value="2"/>
        <SegmentTemplate timescale="48000" startNumber="0" initialization="0123456789ab/a-en/init.mp4" media="0123456789ab/a-en/$Number$.m4s">
          <SegmentTimeline>
            <S t="0" d="95232"/>
            <S d="96256" r="1"/>
            <S d="48000"/>
          </SegmentTimeline>
        </SegmentTemplate>
      </Representation>
    </AdaptationSet>
    <AdaptationSet id="2" contentType="audio" mimeType="audio/mp4" lang="de" segmentAlignment="true" startWithSAP="1">
      <Label>Für &quot;Blinde&quot; &amp; &lt;Sehende&gt;</Label>
      <Accessibility schemeIdUri="urn:tva:metadata:cs:AudioPurposeCS:2007" value="1"/>
      <Role schemeIdUri="urn:mpeg:dash:role:2011" value="description"/>
      <Representation id="a-de" codecs="mp4a.40.2" bandwidth="130000" audioSamplingRate="48000">
        <AudioChannelConfiguration schemeIdUri="urn:mpeg:mpegB:cicp:ChannelConfiguration" value="2"/>
        <SegmentTemplate timescale="48000" startNumber="0" initialization="0123456789ab/a-de/init.mp4" media="0123456789ab/a-de/$Number$.m4s">
          <SegmentTimeline>
            <S t="0" d="95232"/>
            <S d="96256" r="1"/>
            <S d="48000"/>
          </SegmentTimeline>
        </SegmentTemplate>
      </Representation>
    </AdaptationSet>
  </Period>
</MPD>
"#;
    assert_eq!(text.unwrap(), golden);
}

#[test]
fn pictures_of_other_codecs_and_boundaries_are_told_apart() {
    let hevc = DashTrack { codec: "hvc1.1.6.L93.B0".to_owned(), ..video("h720", 720, 2_000_000) };
    let tracks = [
        vod(video("v720", 720, 3_000_000), &[60_060, 60_060]),
        // The same moments on another clock are aligned; other moments are not.
        vod(DashTrack { timescale: 60_000, ..video("v360", 360, 800_000) }, &[120_120, 120_120]),
        vod(hevc.clone(), &[60_060, 60_060]),
        vod(DashTrack { id: "h360".to_owned(), ..hevc }, &[90_090, 30_030]),
    ];
    let elements = read(&vod_mpd(&tracks, &[]).unwrap());
    let of = |name: &str| elements.iter().filter(|element| element.name == name).cloned().collect::<Vec<_>>();
    let aligned: Vec<_> =
        of("AdaptationSet").iter().map(|set| set.attributes.contains_key("segmentAlignment")).collect();
    assert_eq!(aligned, [true, false]);
    let switching: Vec<_> =
        of("SupplementalProperty").iter().map(|property| property.attributes["value"].clone()).collect();
    assert_eq!(switching, ["1", "0"]);
    assert_eq!(of("SegmentTemplate").len(), 4);
}

#[test]
fn what_the_edit_list_cuts_off_is_not_listed() {
    let late = VodTrack { start_ticks: 700, ..vod(audio("a", "en", Role::Main), &[0, 0, 400, 1024]) };
    let elements = read(&vod_mpd(&[late], &[]).unwrap());
    let template = elements.iter().find(|element| element.name == "SegmentTemplate").unwrap();
    assert_eq!(template.attributes["startNumber"], "2");
    let runs: Vec<Read> = elements.iter().filter(|element| element.name == "S").cloned().collect();
    assert_eq!(decoded(&runs), [(700, 400), (1100, 1024)]);
}

#[test]
fn sizes_say_how_much_to_gather() {
    let buffer = |sizes: &[u64]| {
        let track = VodTrack { segment_bytes: sizes.to_vec(), ..vod(video("v", 180, 8_000), &[60_000, 60_000]) };
        read(&vod_mpd(&[track], &[]).unwrap())[0].attributes["minBufferTime"].clone()
    };
    assert_eq!(
        (buffer(&[]), buffer(&[2_000, 2_000]), buffer(&[1_000, 500])),
        ("PT2S".into(), "PT2S".into(), "PT1S".into())
    );
}

#[test]
fn refuses_nothing_to_play_and_names_that_leave() {
    assert!(matches!(vod_mpd(&[], &[]), Err(PlaylistError::Empty { .. })));
    assert!(matches!(vod_mpd(&[vod(video("v", 180, 1), &[])], &[]), Err(PlaylistError::Empty { .. })));
    let timeless = DashTrack { timescale: 0, ..video("v", 180, 1) };
    assert!(matches!(vod_mpd(&[vod(timeless, &[1])], &[]), Err(PlaylistError::Timescale)));
    for folder in ["", "/v", "//host/v", "http://elsewhere/v", "a b", "a\"b", "v/"] {
        let track = DashTrack { folder: folder.to_owned(), ..video("v", 180, 1) };
        assert!(matches!(vod_mpd(&[vod(track, &[1])], &[]), Err(PlaylistError::Uri { .. })), "{folder:?}");
    }
    for id in ["", "a b", "a$b", "a/b"] {
        let track = DashTrack { id: id.to_owned(), ..video("v", 180, 1) };
        assert!(matches!(vod_mpd(&[vod(track, &[1])], &[]), Err(PlaylistError::Attribute { .. })), "{id:?}");
    }
}

#[test]
fn a_dollar_in_a_folder_is_no_identifier() {
    let track = DashTrack { folder: "a$Number$b/v".to_owned(), ..video("v", 180, 1) };
    let text = vod_mpd(&[vod(track, &[1])], &[]).unwrap();
    assert!(text.contains("media=\"a$$Number$$b/v/$Number$.m4s\""), "{text}");
}

#[test]
fn of_encrypted_samples_an_mpd_says_how_and_with_which_key() {
    let key_id = Some(*b"\x01\x23\x45\x67\x89\xab\xcd\xef0123456\xff");
    let sealed = DashTrack { key_id, ..video("v", 360, 800_000) };
    let text = vod_mpd(&[vod(sealed, &[60_000]), vod(audio("a", "en", Role::Main), &[96_000])], &[]).unwrap();
    let elements = read(&text);
    let said: Vec<_> = elements.iter().filter(|element| element.name == "ContentProtection").collect();
    assert_eq!(said.len(), 2, "{text}");
    assert_eq!(said[0].attributes["schemeIdUri"], "urn:mpeg:dash:mp4protection:2011");
    assert_eq!(said[0].attributes["value"], "cbcs");
    assert_eq!(said[0].attributes["cenc:default_KID"], "01234567-89ab-cdef-3031-3233343536ff");
    assert_eq!(said[1].attributes["schemeIdUri"], "urn:uuid:e2719d58-a985-b3c9-781a-b030af78d30e");
    // Ahead of what else is said of the set (the order of the schema).
    assert!(text.find("<ContentProtection").unwrap() < text.find("<Role").unwrap(), "{text}");
}

proptest! {
    #[test]
    fn any_text_is_escaped_and_any_timeline_decodes(
        label in ".{0,20}",
        language in prop::option::of(".{0,8}"),
        folder in "[a-z&'$;=/]{1,12}",
        codec in "[!-~]{1,12}",
        start in 0u64..100_000,
        ticks in prop::collection::vec(1u64..5, 1..60),
    ) {
        let track = DashTrack {
            label: Some(label.clone()),
            language,
            folder: folder.clone(),
            codec: codec.clone(),
            ..audio("a", "en", Role::Main)
        };
        let made = vod_mpd(&[VodTrack { start_ticks: start, ..vod(track, &ticks) }], &[]);
        prop_assert_eq!(made.is_err(), folder.starts_with('/') || folder.ends_with('/'));
        let Ok(text) = made else { return Ok(()) };
        let elements = read(&text);
        let of = |name: &str| elements.iter().filter(|element| element.name == name).cloned().collect::<Vec<_>>();
        let legal: String = label.chars().filter(|letter| !letter.is_control() && *letter < '\u{fffe}' || *letter > '\u{ffff}').collect();
        prop_assert_eq!(&of("Label")[0].text, &legal);
        prop_assert_eq!(&of("Representation")[0].attributes["codecs"], &codec);
        let media = format!("{}/$Number$.m4s", folder.replace('$', "$$"));
        prop_assert_eq!(&of("SegmentTemplate")[0].attributes["media"], &media);
        let segments = decoded(&of("S"));
        prop_assert_eq!(segments[0].0, start);
        prop_assert_eq!(segments.iter().map(|(_, d)| *d).collect::<Vec<_>>(), ticks);
        // Nothing but names of schemes is absolute.
        let absolute = elements.iter().flat_map(|element| &element.attributes).filter(|(_, value)| value.contains(':'));
        for (name, value) in absolute {
            let is_scheme = ["xmlns", "profiles", "schemeIdUri", "codecs"].contains(&name.as_str());
            prop_assert!(is_scheme, "{}={}", name, value);
        }
    }
}

/// Four segments of 2 s of pictures, shown from 0 on, and of sound that is half as long.
#[test]
fn a_clip_is_a_period_that_begins_with_its_first_frame() {
    let track = |track: DashTrack, count: usize| {
        let ticks = u64::from(track.timescale) * 2;
        VodTrack { track, start_ticks: 0, segment_ticks: vec![ticks; count], segment_bytes: Vec::new() }
    };
    let tracks = [track(video("v", 720, 1_000_000), 4), track(audio("a", "en", Role::Main), 2)];
    let found = |from_ms, to_ms| {
        let elements = read(&VodMpd { tracks: &tracks, ..VodMpd::default() }.clip(from_ms, to_ms).unwrap());
        let said = |element: &str, attribute: &str| -> Vec<String> {
            let of = elements.iter().filter(|found| found.name == element);
            of.map(|found| found.attributes.get(attribute).cloned().unwrap_or_default()).collect()
        };
        (
            said("MPD", "mediaPresentationDuration").remove(0),
            said("SegmentTemplate", "startNumber"),
            said("SegmentTemplate", "presentationTimeOffset"),
            said("S", "t"),
            said("S", "r"),
        )
    };
    let text = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let expected = (
        "PT2.5S".to_owned(),
        text(&["1", "1"]),
        text(&["75000", "120000"]),
        text(&["60000", "96000"]),
        text(&["1", ""]),
    );
    assert_eq!(found(2500, 5000), expected);
    // Where the sound has ended, there are pictures alone; behind the end there is the end.
    let expected = ("PT1S".to_owned(), text(&["3"]), text(&["210000"]), text(&["180000"]), text(&[""]));
    assert_eq!(found(7000, 60_000), expected);
    for (from_ms, to_ms) in [(8000, 9000), (3000, 3000)] {
        let refusal = VodMpd { tracks: &tracks, ..VodMpd::default() }.clip(from_ms, to_ms);
        assert!(matches!(refusal, Err(PlaylistError::Clip { .. })), "{refusal:?}");
    }
}
