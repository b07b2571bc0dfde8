//! Media playlists of complete tracks.

use std::time::Duration;

use flame_playlist::{Clip, Container, Key, Method, PlaylistError, VodMedia, segment_uri, vod_media_playlist};
use hls_m3u8::{MediaPlaylist, types::PlaylistType};
use proptest::prelude::*;

fn media(timescale: u32, segment_ticks: &[u64]) -> VodMedia {
    VodMedia { timescale, segment_ticks: segment_ticks.to_vec(), independent_segments: true, ..VodMedia::default() }
}

#[test]
fn is_written_like_this() {
    let text = vod_media_playlist(&media(30_000, &[120_120, 120_120, 45_045])).unwrap();
    let golden = "#EXTM3U\n\
                  #EXT-X-VERSION:7\n\
                  #EXT-X-TARGETDURATION:4\n\
                  #EXT-X-PLAYLIST-TYPE:VOD\n\
                  #EXT-X-INDEPENDENT-SEGMENTS\n\
                  #EXT-X-MAP:URI=\"init.mp4\"\n\
                  #EXTINF:4.004,\n0.m4s\n\
                  #EXTINF:4.004,\n1.m4s\n\
                  #EXTINF:1.5015,\n2.m4s\n\
                  #EXT-X-ENDLIST\n";
    assert_eq!(text, golden);
}

#[test]
fn says_independent_only_if_it_is() {
    let text = vod_media_playlist(&VodMedia { independent_segments: false, ..media(1, &[4]) }).unwrap();
    assert!(!text.contains("INDEPENDENT"));
}

#[test]
fn rounds_the_target_duration_to_the_nearest_second() {
    for (ms, target_s) in [(1, 1), (499, 1), (1499, 1), (1500, 2), (4499, 4), (4500, 5)] {
        let text = vod_media_playlist(&media(1000, &[ms])).unwrap();
        assert!(text.contains(&format!("#EXT-X-TARGETDURATION:{target_s}\n")), "{ms} ms: {text}");
    }
}

#[test]
fn refuses_an_empty_track() {
    assert!(matches!(vod_media_playlist(&media(1, &[])), Err(PlaylistError::Empty { what: "segment" })));
    assert!(matches!(vod_media_playlist(&media(0, &[1])), Err(PlaylistError::Timescale)));
}

proptest! {
    #[test]
    fn any_track_reads_back(
        timescale in 1_u32..200_000,
        seconds in prop::collection::vec(0.001_f64..12.0, 1..300),
    ) {
        let ticks: Vec<u64> = seconds.iter().map(|s| (s * f64::from(timescale)) as u64 + 1).collect();
        let text = vod_media_playlist(&media(timescale, &ticks)).unwrap();
        let playlist = MediaPlaylist::try_from(text.as_str()).unwrap();
        prop_assert_eq!(playlist.playlist_type, Some(PlaylistType::Vod));
        prop_assert!(playlist.has_end_list && playlist.has_independent_segments);
        prop_assert_eq!(playlist.segments.num_elements(), ticks.len());

        let mut listed = Duration::ZERO;
        let mut played_ticks = 0_u64;
        for (number, segment) in playlist.segments.iter() {
            let duration = segment.duration.duration();
            prop_assert!((duration.as_secs_f64() + 0.5).floor() <= playlist.target_duration.as_secs_f64());
            prop_assert_eq!(segment.uri().as_ref(), segment_uri(number));
            prop_assert_eq!(segment.map.is_some(), number == 0);
            listed += duration;
            played_ticks += ticks[number];
            let played_s = played_ticks as f64 / f64::from(timescale);
            prop_assert!((listed.as_secs_f64() - played_s).abs() < 2e-6, "drift after {}: {} s", number, listed.as_secs_f64() - played_s);
        }
    }
}

fn key() -> Key {
    Key { method: Method::Aes128, uri: "../key?n=1".to_owned(), iv: None, format: None, versions: Vec::new() }
}

#[test]
fn transport_streams_are_written_like_this() {
    let ts = VodMedia { container: Container::TransportStream, ..media(1000, &[4000, 2500]) };
    let golden = "#EXTM3U\n\
                  #EXT-X-VERSION:5\n\
                  #EXT-X-TARGETDURATION:4\n\
                  #EXT-X-PLAYLIST-TYPE:VOD\n\
                  #EXT-X-INDEPENDENT-SEGMENTS\n\
                  #EXTINF:4,\n0.ts\n\
                  #EXTINF:2.5,\n1.ts\n\
                  #EXT-X-ENDLIST\n";
    assert_eq!(vod_media_playlist(&ts).unwrap(), golden);
}

#[test]
fn an_encrypted_track_is_written_like_this() {
    let text = vod_media_playlist(&VodMedia { key: Some(key()), ..media(1000, &[4000, 2500]) }).unwrap();
    // The init segment comes before the key, which would cover it otherwise.
    let golden = "#EXTM3U\n\
                  #EXT-X-VERSION:7\n\
                  #EXT-X-TARGETDURATION:4\n\
                  #EXT-X-PLAYLIST-TYPE:VOD\n\
                  #EXT-X-INDEPENDENT-SEGMENTS\n\
                  #EXT-X-MAP:URI=\"init.mp4\"\n\
                  #EXT-X-KEY:METHOD=AES-128,URI=\"../key?n=1\"\n\
                  #EXTINF:4,\n0.m4s\n\
                  #EXTINF:2.5,\n1.m4s\n\
                  #EXT-X-ENDLIST\n";
    assert_eq!(text, golden);
}

#[test]
fn a_key_says_what_it_is() {
    let sample = Key {
        method: Method::SampleAes,
        iv: Some([0x0A; 16]),
        format: Some("com.apple.streamingkeydelivery".to_owned()),
        versions: vec![1, 2],
        ..key()
    };
    let text = vod_media_playlist(&VodMedia { key: Some(sample), ..media(1, &[4]) }).unwrap();
    let tag = "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"../key?n=1\",KEYFORMAT=\"com.apple.streamingkeydelivery\",\
               KEYFORMATVERSIONS=\"1/2\",IV=0x0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A\n";
    assert!(text.contains(tag), "{text}");
    for bad in [
        Key { uri: "https://elsewhere/key".to_owned(), ..key() },
        Key { format: Some("a\"b".to_owned()), ..key() },
        Key { versions: vec![1; 10], ..key() },
        Key { versions: vec![0], ..key() },
    ] {
        assert!(vod_media_playlist(&VodMedia { key: Some(bad.clone()), ..media(1, &[4]) }).is_err(), "{bad:?}");
    }
}

fn clip(from_ticks: u64, to_ticks: u64) -> Clip {
    Clip { from_ticks, to_ticks, query: "to=9".to_owned() }
}

#[test]
fn a_clip_is_written_like_this() {
    let text = vod_media_playlist(&VodMedia { clip: Some(clip(5500, 9000)), ..media(1000, &[4000, 4000, 4000, 4000]) });
    let golden = "#EXTM3U\n\
                  #EXT-X-VERSION:7\n\
                  #EXT-X-TARGETDURATION:4\n\
                  #EXT-X-MEDIA-SEQUENCE:1\n\
                  #EXT-X-PLAYLIST-TYPE:VOD\n\
                  #EXT-X-INDEPENDENT-SEGMENTS\n\
                  #EXT-X-START:TIME-OFFSET=1.5,PRECISE=YES\n\
                  #EXT-X-MAP:URI=\"init.mp4\"\n\
                  #EXTINF:4,\n1.m4s\n\
                  #EXTINF:1,\n2.m4s?to=9\n\
                  #EXT-X-ENDLIST\n";
    assert_eq!(text.unwrap(), golden);
    let whole = vod_media_playlist(&VodMedia { clip: Some(clip(4000, 99_000)), ..media(1000, &[4000, 4000]) }).unwrap();
    assert!(!whole.contains("START") && whole.contains("#EXTINF:4,\n1.m4s\n#EXT-X-ENDLIST"), "{whole}");
}

#[test]
fn a_clip_of_nothing_is_refused() {
    for (from, to) in [(5, 5), (6, 5), (8000, 9000)] {
        let media = VodMedia { clip: Some(clip(from, to)), ..media(1000, &[4000, 4000]) };
        assert!(matches!(vod_media_playlist(&media), Err(PlaylistError::Clip { .. })), "{from} {to}");
    }
    let away = Clip { query: "a b".to_owned(), ..clip(0, 1) };
    assert!(matches!(
        vod_media_playlist(&VodMedia { clip: Some(away), ..media(1, &[4]) }),
        Err(PlaylistError::Uri { .. })
    ));
}

proptest! {
    #[test]
    fn a_clip_holds_what_it_should(
        ticks in prop::collection::vec(1u64..5000, 1..40),
        from in 0u64..60_000,
        length in 1u64..60_000,
    ) {
        let total: u64 = ticks.iter().sum();
        let cut = clip(from, from + length).cut(&ticks);
        prop_assert_eq!(cut.is_ok(), from < total);
        let Ok(cut) = cut else { return Ok(()) };
        let start: u64 = ticks[..cut.segments.start].iter().sum();
        // The first frame lies in the first segment, the end in the last one.
        prop_assert_eq!(start + cut.lead_ticks, from);
        prop_assert!(cut.lead_ticks < ticks[cut.segments.start]);
        let last: u64 = ticks[..cut.segments.end - 1].iter().sum();
        prop_assert_eq!(last + cut.last_ticks, (from + length).min(total));
        prop_assert_eq!(cut.is_shortened, cut.last_ticks < ticks[cut.segments.end - 1]);
        prop_assert!(cut.last_ticks > 0);
        // Numbers, and so initialization vectors, are those of the whole track.
        let text = vod_media_playlist(&VodMedia { clip: Some(clip(from, from + length)), ..media(1000, &ticks) }).unwrap();
        let playlist = MediaPlaylist::try_from(text.as_str()).unwrap();
        prop_assert_eq!(playlist.media_sequence, cut.segments.start);
        let names: Vec<String> = playlist.segments.iter().map(|(_, segment)| segment.uri().to_string()).collect();
        for (name, number) in names.iter().zip(cut.segments.clone()) {
            let is_cut = cut.is_shortened && number == cut.segments.end - 1;
            let expected = if is_cut { format!("{number}.m4s?to=9") } else { segment_uri(number) };
            prop_assert_eq!(name, &expected);
        }
        prop_assert_eq!(names.len(), cut.segments.len());
    }
}
