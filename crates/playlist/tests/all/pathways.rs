//! Multivariant playlists with more than pictures and one sound: codecs, subtitles, I-frames, pathways.

use flame_playlist::{
    AudioRendition, IframeRendition, Key, Method, MultivariantInput, Pathway, PlaylistError, Role, Start, Steering,
    SubtitleRendition, VideoRange, VideoRendition, multivariant_playlist,
};
use hls_m3u8::{MasterPlaylist, tags::VariantStream, types::MediaType};
use proptest::prelude::*;

fn video(name: &str) -> VideoRendition {
    VideoRendition {
        uri: format!("0123456789ab/{name}/index.m3u8"),
        codec: "hvc1.2.4.L93.B0".to_owned(),
        width: 1280,
        height: 720,
        frame_rate: Some((50, 1)),
        average_bandwidth_bps: 2_000_000,
        peak_bandwidth_bps: 3_000_000,
        ..VideoRendition::default()
    }
}

fn audio(name: &str, codec: &str, language: &str, bandwidth_bps: u64) -> AudioRendition {
    AudioRendition {
        uri: format!("0123456789ab/{name}/index.m3u8"),
        codec: codec.to_owned(),
        name: language.to_uppercase(),
        language: Some(language.to_owned()),
        channels: Some(if codec == "ec-3" { 6 } else { 2 }),
        average_bandwidth_bps: bandwidth_bps,
        peak_bandwidth_bps: bandwidth_bps,
        ..AudioRendition::default()
    }
}

fn subtitles(name: &str, role: Role) -> SubtitleRendition {
    SubtitleRendition {
        uri: format!("0123456789ab/{name}/index.m3u8"),
        name: name.to_owned(),
        language: Some("en".to_owned()),
        role,
        ..SubtitleRendition::default()
    }
}

#[test]
fn everything_at_once_is_written_like_this() {
    let stable = |id: &str| Some(id.to_owned());
    let input = MultivariantInput {
        video: vec![VideoRendition {
            supplemental_codecs: Some("dvh1.08.07/db4h".to_owned()),
            video_range: Some(VideoRange::Hlg),
            stable_id: stable("v720"),
            ..video("v720")
        }],
        audio: vec![
            AudioRendition { stable_id: stable("a-en"), ..audio("a-en", "mp4a.40.2", "en", 128_000) },
            AudioRendition {
                stable_id: stable("a-ad"),
                role: Role::Description,
                ..audio("a-ad", "mp4a.40.2", "en", 96_000)
            },
        ],
        subtitles: vec![SubtitleRendition {
            codec: Some("wvtt".to_owned()),
            stable_id: stable("s-en"),
            ..subtitles("s-en", Role::Caption)
        }],
        iframes: vec![IframeRendition {
            uri: "0123456789ab/v720/iframes.m3u8".to_owned(),
            codec: "hvc1.2.4.L93.B0".to_owned(),
            width: 1280,
            height: 720,
            video_range: Some(VideoRange::Hlg),
            average_bandwidth_bps: 150_000,
            peak_bandwidth_bps: 200_000,
            stable_id: stable("v720-i"),
        }],
        start: Some(Start { offset_ms: -12_500, is_precise: false }),
        steering: Some(Steering { server_uri: "../steering?x=1".to_owned(), first_pathway: Some("west".to_owned()) }),
        pathways: vec![
            Pathway { id: "west".to_owned(), base: String::new() },
            Pathway { id: "east".to_owned(), base: "../../~east--streaming/".to_owned() },
        ],
        session_keys: vec![Key {
            method: Method::SampleAes,
            uri: "key".to_owned(),
            iv: None,
            format: Some("identity".to_owned()),
            versions: Vec::new(),
        }],
    };
    let golden = concat!(
        "#EXTM3U\n",
        "#EXT-X-VERSION:5\n",
        "#EXT-X-INDEPENDENT-SEGMENTS\n",
        "#EXT-X-CONTENT-STEERING:SERVER-URI=\"../steering?x=1\",PATHWAY-ID=\"west\"\n",
        "#EXT-X-START:TIME-OFFSET=-12.5\n",
        "#EXT-X-SESSION-KEY:METHOD=SAMPLE-AES,URI=\"key\",KEYFORMAT=\"identity\"\n",
        "#EXT-X-MEDIA:TYPE=AUDIO,URI=\"0123456789ab/a-en/index.m3u8\",GROUP-ID=\"audio.west\",LANGUAGE=\"en\",NAME=\"EN\",",
        "DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\",STABLE-RENDITION-ID=\"a-en\"\n",
        "#EXT-X-MEDIA:TYPE=AUDIO,URI=\"0123456789ab/a-ad/index.m3u8\",GROUP-ID=\"audio.west\",LANGUAGE=\"en\",NAME=\"EN 2\",",
        "AUTOSELECT=YES,CHARACTERISTICS=\"public.accessibility.describes-video\",CHANNELS=\"2\",STABLE-RENDITION-ID=\"a-ad\"\n",
        "#EXT-X-MEDIA:TYPE=SUBTITLES,URI=\"0123456789ab/s-en/index.m3u8\",GROUP-ID=\"subtitles.west\",LANGUAGE=\"en\",",
        "NAME=\"s-en\",AUTOSELECT=YES,CHARACTERISTICS=\"public.accessibility.transcribes-spoken-dialog,",
        "public.accessibility.describes-music-and-sound\",STABLE-RENDITION-ID=\"s-en\"\n",
        "#EXT-X-MEDIA:TYPE=AUDIO,URI=\"../../~east--streaming/0123456789ab/a-en/index.m3u8\",GROUP-ID=\"audio.east\",",
        "LANGUAGE=\"en\",NAME=\"EN\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\",STABLE-RENDITION-ID=\"a-en\"\n",
        "#EXT-X-MEDIA:TYPE=AUDIO,URI=\"../../~east--streaming/0123456789ab/a-ad/index.m3u8\",GROUP-ID=\"audio.east\",",
        "LANGUAGE=\"en\",NAME=\"EN 2\",AUTOSELECT=YES,CHARACTERISTICS=\"public.accessibility.describes-video\",",
        "CHANNELS=\"2\",STABLE-RENDITION-ID=\"a-ad\"\n",
        "#EXT-X-MEDIA:TYPE=SUBTITLES,URI=\"../../~east--streaming/0123456789ab/s-en/index.m3u8\",",
        "GROUP-ID=\"subtitles.east\",LANGUAGE=\"en\",NAME=\"s-en\",AUTOSELECT=YES,",
        "CHARACTERISTICS=\"public.accessibility.transcribes-spoken-dialog,public.accessibility.describes-music-and-sound\",",
        "STABLE-RENDITION-ID=\"s-en\"\n",
        "#EXT-X-STREAM-INF:BANDWIDTH=3128000,AVERAGE-BANDWIDTH=2128000,CODECS=\"hvc1.2.4.L93.B0,mp4a.40.2,wvtt\",",
        "RESOLUTION=1280x720,FRAME-RATE=50.000,AUDIO=\"audio.west\",SUBTITLES=\"subtitles.west\",CLOSED-CAPTIONS=NONE,",
        "VIDEO-RANGE=HLG,STABLE-VARIANT-ID=\"v720\",PATHWAY-ID=\"west\",SUPPLEMENTAL-CODECS=\"dvh1.08.07/db4h\"\n",
        "0123456789ab/v720/index.m3u8\n",
        "#EXT-X-STREAM-INF:BANDWIDTH=3128000,AVERAGE-BANDWIDTH=2128000,CODECS=\"hvc1.2.4.L93.B0,mp4a.40.2,wvtt\",",
        "RESOLUTION=1280x720,FRAME-RATE=50.000,AUDIO=\"audio.east\",SUBTITLES=\"subtitles.east\",CLOSED-CAPTIONS=NONE,",
        "VIDEO-RANGE=HLG,STABLE-VARIANT-ID=\"v720\",PATHWAY-ID=\"east\",SUPPLEMENTAL-CODECS=\"dvh1.08.07/db4h\"\n",
        "../../~east--streaming/0123456789ab/v720/index.m3u8\n",
        "#EXT-X-I-FRAME-STREAM-INF:URI=\"0123456789ab/v720/iframes.m3u8\",BANDWIDTH=200000,AVERAGE-BANDWIDTH=150000,",
        "CODECS=\"hvc1.2.4.L93.B0\",RESOLUTION=1280x720,VIDEO-RANGE=HLG,STABLE-VARIANT-ID=\"v720-i\",PATHWAY-ID=\"west\"\n",
        "#EXT-X-I-FRAME-STREAM-INF:URI=\"../../~east--streaming/0123456789ab/v720/iframes.m3u8\",BANDWIDTH=200000,",
        "AVERAGE-BANDWIDTH=150000,CODECS=\"hvc1.2.4.L93.B0\",RESOLUTION=1280x720,VIDEO-RANGE=HLG,",
        "STABLE-VARIANT-ID=\"v720-i\",PATHWAY-ID=\"east\"\n",
    );
    assert_eq!(multivariant_playlist(&input).unwrap(), golden);
}

#[test]
fn each_codec_has_a_group_with_every_member() {
    let input = MultivariantInput {
        video: vec![video("v720")],
        audio: vec![
            audio("a-en", "mp4a.40.2", "en", 128_000),
            audio("a-de", "mp4a.40.2", "de", 130_000),
            audio("d-en", "ec-3", "en", 384_000),
        ],
        ..MultivariantInput::default()
    };
    let text = multivariant_playlist(&input).unwrap();
    let playlist = MasterPlaylist::try_from(text.as_str()).unwrap();
    let members: Vec<_> = playlist
        .media
        .iter()
        .map(|media| {
            (media.group_id().as_ref(), media.name().as_ref(), media.uri().unwrap().as_ref(), media.is_default)
        })
        .collect();
    assert_eq!(
        members,
        [
            ("audio-1", "EN", "0123456789ab/a-en/index.m3u8", true),
            ("audio-1", "DE", "0123456789ab/a-de/index.m3u8", false),
            ("audio-2", "EN", "0123456789ab/d-en/index.m3u8", true),
            // German is lent: groups have the same members.
            ("audio-2", "DE", "0123456789ab/a-de/index.m3u8", false),
        ]
    );
    let variants: Vec<_> = playlist
        .variant_streams
        .iter()
        .map(|variant| (variant.bandwidth(), variant.codecs().unwrap().to_string()))
        .collect();
    assert_eq!(
        variants,
        [(3_130_000, "hvc1.2.4.L93.B0,mp4a.40.2".to_owned()), (3_384_000, "hvc1.2.4.L93.B0,ec-3,mp4a.40.2".to_owned()),]
    );
}

#[test]
fn forced_subtitles_stand_beside_the_others() {
    let input = MultivariantInput {
        video: vec![video("v720")],
        subtitles: vec![subtitles("s", Role::Subtitle), subtitles("f", Role::Forced), subtitles("t", Role::Subtitle)],
        ..MultivariantInput::default()
    };
    let text = multivariant_playlist(&input).unwrap();
    let playlist = MasterPlaylist::try_from(text.as_str()).unwrap();
    let said: Vec<_> = playlist
        .media
        .iter()
        .map(|media| (media.media_type, media.is_forced, media.is_autoselect, media.is_default))
        .collect();
    let text = MediaType::Subtitles;
    assert_eq!(said, [(text, false, true, false), (text, true, true, false), (text, false, false, false)]);
}

#[test]
fn what_breaks_a_rule_is_refused() {
    let input = || MultivariantInput {
        video: vec![VideoRendition { stable_id: Some("v".to_owned()), ..video("v") }],
        ..MultivariantInput::default()
    };
    let way = |id: &str, base: &str| Pathway { id: id.to_owned(), base: base.to_owned() };
    let mut some_stable = input();
    some_stable.audio = vec![audio("a", "mp4a.40.2", "en", 1)];
    assert!(matches!(multivariant_playlist(&some_stable), Err(PlaylistError::StableId { .. })));
    for bad in [
        MultivariantInput { pathways: vec![way("a", ""), way("a", "b/")], ..input() },
        MultivariantInput { pathways: vec![way("", "")], ..input() },
        MultivariantInput { pathways: vec![way("a b", "")], ..input() },
        MultivariantInput { pathways: vec![way("a", "b")], ..input() },
        MultivariantInput { pathways: vec![way("a", "//host/")], ..input() },
        MultivariantInput { pathways: vec![way("a", "https://host")], ..input() },
        MultivariantInput { pathways: vec![way("a", "https:///")], ..input() },
        MultivariantInput { pathways: vec![way("a", "ftp://host/")], ..input() },
        MultivariantInput { pathways: vec![way("a", "https://host/b\"/")], ..input() },
        MultivariantInput { pathways: vec![way("a", "https://host/b?c=/")], ..input() },
        MultivariantInput {
            steering: Some(Steering { server_uri: "https://host/".to_owned(), first_pathway: None }),
            ..input()
        },
        MultivariantInput {
            steering: Some(Steering { server_uri: "s".to_owned(), first_pathway: Some("b".to_owned()) }),
            pathways: vec![way("a", "")],
            ..input()
        },
        MultivariantInput {
            video: vec![VideoRendition { stable_id: Some("a\"b".to_owned()), ..video("v") }],
            ..input()
        },
        MultivariantInput { video: vec![VideoRendition { codec: "a\nb".to_owned(), ..video("v") }], ..input() },
        MultivariantInput {
            video: vec![VideoRendition { supplemental_codecs: Some("a\"".to_owned()), ..video("v") }],
            ..input()
        },
    ] {
        let made = multivariant_playlist(&bad);
        assert!(matches!(made, Err(PlaylistError::Attribute { .. } | PlaylistError::Uri { .. })), "{made:?}");
    }
}

proptest! {
    /// Every pathway has the same variants under the same stable identifiers, and nothing leaves by an absolute URI.
    #[test]
    fn pathways_are_alike(
        codecs in prop::collection::vec((0usize..3, "[a-c]{2}"), 0..6),
        heights in 1usize..4,
        ways in 1usize..4,
        texts in 0usize..3,
    ) {
        let known = ["mp4a.40.2", "ec-3", "Opus"];
        let input = MultivariantInput {
            video: (0..heights).map(|n| VideoRendition { stable_id: Some(format!("v{n}")), ..video(&format!("v{n}")) }).collect(),
            audio: codecs.iter().enumerate().map(|(n, (codec, language))| AudioRendition {
                stable_id: Some(format!("a{n}")),
                ..audio(&format!("a{n}"), known[*codec], language, 1)
            }).collect(),
            subtitles: (0..texts).map(|n| SubtitleRendition { stable_id: Some(format!("s{n}")), ..subtitles(&format!("s{n}"), Role::Subtitle) }).collect(),
            pathways: (0..ways).map(|n| Pathway { id: format!("p{n}"), base: format!("../~p{n}/") }).collect(),
            ..MultivariantInput::default()
        };
        let text = multivariant_playlist(&input).unwrap();
        let playlist = MasterPlaylist::try_from(text.as_str()).unwrap();
        let groups: std::collections::BTreeSet<usize> = codecs.iter().map(|(codec, _)| *codec).collect();
        prop_assert_eq!(playlist.variant_streams.len(), ways * heights * groups.len().max(1));
        // Groups of a type have the same names in the same order (section 4.4.6.1.1), each once.
        let mut names: std::collections::BTreeMap<(bool, &str), Vec<&str>> = std::collections::BTreeMap::new();
        for media in &playlist.media {
            let is_audio = media.media_type == MediaType::Audio;
            names.entry((is_audio, media.group_id().as_ref())).or_default().push(media.name().as_ref());
        }
        for is_audio in [true, false] {
            let mut lists = names.iter().filter(|((kind, _), _)| *kind == is_audio).map(|(_, names)| names);
            if let Some(first) = lists.next() {
                prop_assert!(lists.all(|list| list == first));
                let distinct: std::collections::BTreeSet<_> = first.iter().collect();
                prop_assert_eq!(distinct.len(), first.len());
            }
        }
        let lines = || text.lines().filter(|line| line.starts_with("#EXT-X-STREAM-INF"));
        let value = |line: &str, name: &str| line.split(&format!("{name}=\"")).nth(1).unwrap().split('"').next().unwrap().to_owned();
        let ids = |way: usize| lines().filter(|line| value(line, "PATHWAY-ID") == format!("p{way}")).map(|line| value(line, "STABLE-VARIANT-ID")).collect::<Vec<_>>();
        for way in 0..ways {
            prop_assert_eq!(ids(way), ids(0));
            let distinct: std::collections::BTreeSet<_> = ids(way).into_iter().collect();
            prop_assert_eq!(distinct.len(), ids(way).len());
        }
        for stream in &playlist.variant_streams {
            let VariantStream::ExtXStreamInf { uri, audio, .. } = stream else { panic!("no I-frames were asked for") };
            prop_assert!(uri.starts_with("../~p"));
            prop_assert_eq!(audio.is_some(), !codecs.is_empty());
        }
    }
}
