//! Media playlists of complete tracks.

use std::time::Duration;

use flame_playlist::{PlaylistError, VodMedia, segment_uri, vod_media_playlist};
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
