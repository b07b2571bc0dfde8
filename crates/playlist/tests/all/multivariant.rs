//! Multivariant playlists.

use flame_playlist::{AudioRendition, MultivariantInput, PlaylistError, Role, VideoRendition, multivariant_playlist};
use hls_m3u8::{MasterPlaylist, tags::VariantStream};
use proptest::prelude::*;

fn video(name: &str, height: u32, peak_bandwidth_bps: u64) -> VideoRendition {
    VideoRendition {
        uri: format!("0123456789ab/{name}/index.m3u8"),
        codec: "avc1.64001f".to_owned(),
        width: height * 16 / 9,
        height,
        frame_rate: Some((30_000, 1001)),
        average_bandwidth_bps: peak_bandwidth_bps / 2,
        peak_bandwidth_bps,
        ..VideoRendition::default()
    }
}

fn audio(name: &str, language: Option<&str>, peak_bandwidth_bps: u64) -> AudioRendition {
    AudioRendition {
        uri: format!("0123456789ab/{name}/index.m3u8"),
        codec: "mp4a.40.2".to_owned(),
        name: "Audio".to_owned(),
        language: language.map(str::to_owned),
        channels: Some(2),
        average_bandwidth_bps: peak_bandwidth_bps - 1000,
        peak_bandwidth_bps,
        ..AudioRendition::default()
    }
}

#[test]
fn pictures_and_sound_are_written_like_this() {
    let input = MultivariantInput {
        video: vec![video("v720", 720, 3_000_000), video("v360", 360, 800_000)],
        audio: vec![audio("a128", Some("en"), 130_000)],
        ..MultivariantInput::default()
    };
    let golden = concat!(
        "#EXTM3U\n",
        "#EXT-X-INDEPENDENT-SEGMENTS\n",
        "#EXT-X-MEDIA:TYPE=AUDIO,URI=\"0123456789ab/a128/index.m3u8\",GROUP-ID=\"audio\",LANGUAGE=\"en\",NAME=\"Audio\",",
        "DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\"\n",
        "#EXT-X-STREAM-INF:BANDWIDTH=3130000,AVERAGE-BANDWIDTH=1629000,CODECS=\"avc1.64001f,mp4a.40.2\",",
        "RESOLUTION=1280x720,FRAME-RATE=29.970,AUDIO=\"audio\",CLOSED-CAPTIONS=NONE\n",
        "0123456789ab/v720/index.m3u8\n",
        "#EXT-X-STREAM-INF:BANDWIDTH=930000,AVERAGE-BANDWIDTH=529000,CODECS=\"avc1.64001f,mp4a.40.2\",",
        "RESOLUTION=640x360,FRAME-RATE=29.970,AUDIO=\"audio\",CLOSED-CAPTIONS=NONE\n",
        "0123456789ab/v360/index.m3u8\n",
    );
    assert_eq!(multivariant_playlist(&input).unwrap(), golden);
}

#[test]
fn sound_alone_is_a_variant() {
    let input =
        MultivariantInput { video: vec![], audio: vec![audio("a128", None, 130_000)], ..MultivariantInput::default() };
    let golden = concat!(
        "#EXTM3U\n",
        "#EXT-X-INDEPENDENT-SEGMENTS\n",
        "#EXT-X-STREAM-INF:BANDWIDTH=130000,AVERAGE-BANDWIDTH=129000,CODECS=\"mp4a.40.2\"\n",
        "0123456789ab/a128/index.m3u8\n",
    );
    assert_eq!(multivariant_playlist(&input).unwrap(), golden);
}

#[test]
fn sounds_alone_that_differ_are_chosen_from() {
    let described = AudioRendition { role: Role::Description, ..audio("a2", Some("en"), 120_000) };
    let input = MultivariantInput {
        audio: vec![audio("a0", Some("en"), 130_000), audio("a1", Some("de"), 140_000), described],
        ..MultivariantInput::default()
    };
    let text = multivariant_playlist(&input).unwrap();
    let playlist = MasterPlaylist::try_from(text.as_str()).unwrap();
    let languages: Vec<_> = playlist.media.iter().map(|media| media.language().map(|tag| tag.to_string())).collect();
    assert_eq!(languages, [Some("en".to_owned()), Some("de".to_owned()), Some("en".to_owned())]);
    // One variant, which is the default sound: no player takes another language for another quality.
    let [VariantStream::ExtXStreamInf { uri, audio: Some(group), .. }] = playlist.variant_streams.as_slice() else {
        panic!("{text}");
    };
    assert_eq!((uri.as_ref(), group.as_ref()), ("0123456789ab/a0/index.m3u8", "audio"));
    assert_eq!(playlist.variant_streams[0].bandwidth(), 140_000);
}

#[test]
fn silent_pictures_have_no_group() {
    let silent = VideoRendition { frame_rate: None, ..video("v180", 180, 100_000) };
    let text =
        multivariant_playlist(&MultivariantInput { video: vec![silent], ..MultivariantInput::default() }).unwrap();
    assert!(
        !text.contains("AUDIO") && !text.contains("FRAME-RATE") && text.contains("CODECS=\"avc1.64001f\""),
        "{text}"
    );
}

#[test]
fn names_differ_and_each_language_is_selectable_once() {
    let input = MultivariantInput {
        video: vec![video("v720", 720, 1)],
        audio: vec![
            audio("a0", Some("en"), 130_000),
            audio("a1", Some("en"), 140_000),
            audio("a2", Some("not a \"language\"\n#EXT-X-ENDLIST"), 120_000),
        ],
        ..MultivariantInput::default()
    };
    let text = multivariant_playlist(&input).unwrap();
    let playlist = MasterPlaylist::try_from(text.as_str()).unwrap();
    let names: Vec<&str> = playlist.media.iter().map(|media| media.name().as_ref()).collect();
    assert_eq!(names, ["Audio", "Audio 2", "Audio 3"]);
    let chosen: Vec<_> = playlist.media.iter().map(|media| (media.is_default, media.is_autoselect)).collect();
    assert_eq!(chosen, [(true, true), (false, false), (false, true)]);
    assert_eq!(playlist.media[2].language(), None);
    // The most expensive sound counts, and one codec is named once.
    assert_eq!(playlist.variant_streams[0].bandwidth(), 140_001);
    assert_eq!(playlist.variant_streams[0].codecs().unwrap().len(), 2);
}

#[test]
fn refuses_nothing_to_play_and_uris_that_leave() {
    let nothing = multivariant_playlist(&MultivariantInput::default());
    assert!(matches!(nothing, Err(PlaylistError::Empty { what: "rendition" })));
    for uri in ["", "/root/index.m3u8", "http://elsewhere/", "a b", "a\"b", "a\nb"] {
        let input = MultivariantInput {
            video: vec![VideoRendition { uri: uri.to_owned(), ..video("v", 180, 1) }],
            ..MultivariantInput::default()
        };
        assert!(matches!(multivariant_playlist(&input), Err(PlaylistError::Uri { .. })), "{uri:?}");
    }
}

proptest! {
    #[test]
    fn any_ladder_reads_back(
        ladder in prop::collection::vec((90_u32..4321, 1_u64..1 << 40), 0..8),
        sounds in prop::collection::vec((".{0,12}", prop::option::of(".{0,8}"), 1_001_u64..1 << 30), 0..5),
    ) {
        let input = MultivariantInput {
            video: ladder.iter().enumerate().map(|(n, &(height, bps))| video(&format!("v{n}"), height, bps)).collect(),
            audio: sounds
                .iter()
                .enumerate()
                .map(|(n, (name, language, bps))| AudioRendition {
                    name: name.clone(),
                    ..audio(&format!("a{n}"), language.as_deref(), *bps)
                })
                .collect(),
            ..MultivariantInput::default()
        };
        prop_assume!(!ladder.is_empty() || !sounds.is_empty());
        let text = multivariant_playlist(&input).unwrap();
        let playlist = MasterPlaylist::try_from(text.as_str()).unwrap();
        let is_choice = sounds.windows(2).any(|pair| (&pair[0].0, &pair[0].1) != (&pair[1].0, &pair[1].1));
        let variants = match (ladder.len(), is_choice) {
            (0, false) => sounds.len(),
            (0, true) => 1,
            (rungs, _) => rungs,
        };
        prop_assert_eq!(playlist.variant_streams.len(), variants);
        prop_assert_eq!(playlist.media.len(), if ladder.is_empty() && !is_choice { 0 } else { sounds.len() });
        prop_assert_eq!(playlist.unknown_tags.len(), 0);
        for stream in &playlist.variant_streams {
            let VariantStream::ExtXStreamInf { uri, .. } = stream else { panic!("no I-frame variant was asked for") };
            prop_assert!(uri.starts_with("0123456789ab/"), "{}", uri);
            prop_assert!(stream.average_bandwidth() <= Some(stream.bandwidth()));
        }
    }
}
