//! Subtitles: playlists of text that is cut like pictures, text in an MPD, and which of several is the default.

use flame_playlist::{
    Clip, Container, DashKind, DashText, DashTrack, MultivariantInput, PlaylistError, Role, SubtitleRendition,
    VideoRendition, VodText, VodTrack, multivariant_playlist, text_segment_uri, vod_mpd, vod_text_playlist,
};
use hls_m3u8::MediaPlaylist;

use crate::dash::read;

fn text() -> VodText {
    VodText { timescale: 1000, segment_ticks: vec![4000, 4000, 2500], ..VodText::default() }
}

#[test]
fn text_is_cut_like_pictures() {
    let golden = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:4\n#EXT-X-PLAYLIST-TYPE:VOD\n\
                  #EXTINF:4,\n0.vtt\n#EXTINF:4,\n1.vtt\n#EXTINF:2.5,\n2.vtt\n#EXT-X-ENDLIST\n";
    assert_eq!(vod_text_playlist(&text()).unwrap(), golden);
    let beside = vod_text_playlist(&VodText { container: Container::TransportStream, ..text() }).unwrap();
    assert_eq!(beside, golden.replace(".vtt", ".ts.vtt"));
    assert_eq!(text_segment_uri(7, Container::TransportStream), "7.ts.vtt");
    MediaPlaylist::try_from(golden).unwrap();
}

#[test]
fn a_clip_of_text_names_whole_segments() {
    let clip = Clip { from_ticks: 4500, to_ticks: 9000, query: "to=9.000s".to_owned() };
    let made = vod_text_playlist(&VodText { clip: Some(clip), ..text() }).unwrap();
    assert!(
        made.contains("#EXT-X-MEDIA-SEQUENCE:1\n") && made.contains("\n#EXT-X-START:TIME-OFFSET=0.5,PRECISE=YES\n"),
        "{made}"
    );
    assert!(made.contains("#EXTINF:4,\n1.vtt\n#EXTINF:1,\n2.vtt\n") && !made.contains("0.vtt"), "{made}");
    let behind = Clip { from_ticks: 20_000, to_ticks: 30_000, query: String::new() };
    let refused = vod_text_playlist(&VodText { clip: Some(behind), ..text() });
    assert!(matches!(refused, Err(PlaylistError::Clip { .. })), "{refused:?}");
    assert!(vod_text_playlist(&VodText::default()).is_err());
}

#[test]
fn an_mpd_has_text_as_files() {
    let kind = DashKind::Video { width: 640, height: 360, frame_rate: None, sar: (1, 1) };
    let track = DashTrack {
        id: "v".to_owned(),
        folder: "0123456789ab/v".to_owned(),
        codec: "avc1.64001f".to_owned(),
        kind,
        bandwidth_bps: 1,
        timescale: 1000,
        ..DashTrack::default()
    };
    let video = VodTrack { track, segment_ticks: vec![4000], ..VodTrack::default() };
    let caption = DashText {
        id: "t-de".to_owned(),
        uri: "0123456789ab/t-de/all.vtt".to_owned(),
        language: Some("de".to_owned()),
        label: Some("Für <alle> & jeden".to_owned()),
        role: Role::Caption,
        is_default: true,
        bandwidth_bps: 200,
    };
    let forced =
        DashText { id: "t-en".to_owned(), uri: "t-en/all.vtt".to_owned(), role: Role::Forced, ..DashText::default() };
    let made = vod_mpd(std::slice::from_ref(&video), &[caption.clone(), forced]).unwrap();
    let golden = r#"    <AdaptationSet id="1" contentType="text" mimeType="text/vtt" lang="de">
      <Label>Für &lt;alle&gt; &amp; jeden</Label>
      <Accessibility schemeIdUri="urn:tva:metadata:cs:AudioPurposeCS:2007" value="2"/>
      <Role schemeIdUri="urn:mpeg:dash:role:2011" value="caption"/>
      <Role schemeIdUri="urn:mpeg:dash:role:2011" value="main"/>
      <Representation id="t-de" bandwidth="200">
        <BaseURL>0123456789ab/t-de/all.vtt</BaseURL>
      </Representation>
    </AdaptationSet>
    <AdaptationSet id="2" contentType="text" mimeType="text/vtt">
      <Role schemeIdUri="urn:mpeg:dash:role:2011" value="forced-subtitle"/>
      <Representation id="t-en" bandwidth="1">
        <BaseURL>t-en/all.vtt</BaseURL>
      </Representation>
    </AdaptationSet>
  </Period>
</MPD>
"#;
    assert!(made.ends_with(golden), "{made}");
    assert_eq!(read(&made).iter().filter(|element| element.name == "BaseURL").count(), 2);
    for (id, uri) in [("", "a"), ("a b", "a"), ("a", "http://x/a"), ("a", "/a"), ("a", "a\"b")] {
        let wrong = DashText { id: id.to_owned(), uri: uri.to_owned(), ..caption.clone() };
        assert!(vod_mpd(std::slice::from_ref(&video), &[wrong]).is_err(), "{id:?} {uri:?}");
    }
}

#[test]
fn one_of_several_subtitles_is_the_default() {
    let subtitle = |name: &str, role, is_default| SubtitleRendition {
        uri: format!("{name}.m3u8"),
        name: name.to_owned(),
        language: Some("de".to_owned()),
        role,
        is_default,
        ..SubtitleRendition::default()
    };
    let video =
        VideoRendition { uri: "v.m3u8".to_owned(), codec: "avc1.64001f".to_owned(), ..VideoRendition::default() };
    let input = MultivariantInput {
        video: vec![VideoRendition { width: 2, height: 2, ..video }],
        subtitles: vec![
            subtitle("one", Role::Subtitle, false),
            subtitle("two", Role::Subtitle, true),
            subtitle("three", Role::Subtitle, true),
            subtitle("four", Role::Forced, false),
        ],
        ..MultivariantInput::default()
    };
    let made = multivariant_playlist(&input).unwrap();
    let line = |name: &str| made.lines().find(|line| line.contains(&format!("NAME=\"{name}\""))).unwrap().to_owned();
    let is = |name: &str, attribute: &str| line(name).contains(&format!("{attribute}=YES"));
    let said =
        ["one", "two", "three", "four"].map(|name| (is(name, "DEFAULT"), is(name, "AUTOSELECT"), is(name, "FORCED")));
    assert_eq!(said, [(false, true, false), (true, true, false), (false, false, false), (false, true, true)], "{made}");
}
