//! I-frame playlists.

use flame_playlist::{Iframe, IframeMedia, Key, LiveIframes, Method, PlaylistError, iframe_playlist};
use hls_m3u8::MediaPlaylist;
use proptest::prelude::*;

/// 2026-11-26T12:00:00Z.
const NOON_S: u64 = 1_795_694_400;

fn frames(ticks: &[u64]) -> Vec<Iframe> {
    let frame = |(at, ticks): (usize, &u64)| Iframe {
        uri: format!("{}.{}.i.m4s", at / 2, at % 2),
        duration_ticks: *ticks,
        time_ticks: None,
        init: Some(0),
        is_discontinuity: false,
        key_period: None,
    };
    ticks.iter().enumerate().map(frame).collect()
}

fn live() -> LiveIframes {
    LiveIframes { first_number: 41, discontinuity_sequence: 0, target_duration_s: 2, is_over: false }
}

#[test]
fn a_complete_track_is_written_like_this() {
    let text = iframe_playlist(&IframeMedia {
        timescale: 30_000,
        frames: frames(&[60_060, 60_060, 15_015]),
        ..IframeMedia::default()
    });
    let golden = "#EXTM3U\n\
                  #EXT-X-VERSION:7\n\
                  #EXT-X-TARGETDURATION:2\n\
                  #EXT-X-PLAYLIST-TYPE:VOD\n\
                  #EXT-X-I-FRAMES-ONLY\n\
                  #EXT-X-MAP:URI=\"init.mp4\"\n\
                  #EXTINF:2.002,\n0.0.i.m4s\n\
                  #EXTINF:2.002,\n0.1.i.m4s\n\
                  #EXTINF:0.5005,\n1.0.i.m4s\n\
                  #EXT-X-ENDLIST\n";
    assert_eq!(text.unwrap(), golden);
}

#[test]
fn a_live_track_is_written_like_this() {
    let mut pictures = frames(&[2000, 2000, 1500]);
    for (picture, s) in pictures.iter_mut().zip([0, 2, 10]) {
        picture.time_ticks = Some((NOON_S + s) * 1000);
    }
    pictures[2].init = Some(1);
    pictures[2].is_discontinuity = true;
    let media = IframeMedia { timescale: 1000, frames: pictures, live: Some(live()), ..IframeMedia::default() };
    let golden = "#EXTM3U\n\
                  #EXT-X-VERSION:7\n\
                  #EXT-X-TARGETDURATION:2\n\
                  #EXT-X-MEDIA-SEQUENCE:41\n\
                  #EXT-X-I-FRAMES-ONLY\n\
                  #EXT-X-MAP:URI=\"init.mp4\"\n\
                  #EXT-X-PROGRAM-DATE-TIME:2026-11-26T12:00:00.000Z\n\
                  #EXTINF:2,\n0.0.i.m4s\n\
                  #EXT-X-PROGRAM-DATE-TIME:2026-11-26T12:00:02.000Z\n\
                  #EXTINF:2,\n0.1.i.m4s\n\
                  #EXT-X-MAP:URI=\"init-1.mp4\"\n\
                  #EXT-X-DISCONTINUITY\n\
                  #EXT-X-PROGRAM-DATE-TIME:2026-11-26T12:00:10.000Z\n\
                  #EXTINF:1.5,\n1.0.i.m4s\n";
    assert_eq!(iframe_playlist(&media).unwrap(), golden);
    // Where the first one does not go on, that is counted: its tag would stand in front of nothing.
    let mut later = IframeMedia { frames: media.frames[2..].to_vec(), ..media.clone() };
    later.live = Some(LiveIframes { first_number: 43, discontinuity_sequence: 4, ..live() });
    let text = iframe_playlist(&later).unwrap();
    assert!(text.contains("#EXT-X-DISCONTINUITY-SEQUENCE:5\n") && !text.contains("DISCONTINUITY\n"), "{text}");
    let over = IframeMedia { live: Some(LiveIframes { is_over: true, ..live() }), ..media };
    let text = iframe_playlist(&over).unwrap();
    assert!(
        text.ends_with("#EXT-X-ENDLIST\n") && text.contains("PLAYLIST-TYPE:VOD") && text.contains("SEQUENCE:41"),
        "{text}"
    );
}

#[test]
fn transport_streams_need_no_map_and_keys_do_not_cover_it() {
    let mut plain = frames(&[2000]);
    plain[0].init = None;
    let text = iframe_playlist(&IframeMedia { timescale: 1000, frames: plain, ..IframeMedia::default() }).unwrap();
    assert!(!text.contains("MAP") && text.contains("#EXT-X-VERSION:5\n"), "{text}");
    let key = Key { method: Method::Aes128, uri: "key".to_owned(), iv: None, format: None, versions: Vec::new() };
    let media = IframeMedia { timescale: 1000, frames: frames(&[2000]), key: Some(key), ..IframeMedia::default() };
    let text = iframe_playlist(&media).unwrap();
    let (map, key) = (text.find("#EXT-X-MAP"), text.find("#EXT-X-KEY:METHOD=AES-128,URI=\"key\"\n"));
    assert!(map.is_some() && map < key, "{text}");
}

#[test]
fn a_key_stands_in_front_of_each_picture_at_which_it_begins_and_opens_no_init_segment() {
    let mut pictures = frames(&[2000, 2000, 2000, 1500]);
    for (picture, period) in pictures.iter_mut().zip([6, 6, 7, 7]) {
        picture.key_period = Some(period);
    }
    pictures[3].init = Some(1);
    let key = Key { method: Method::Aes128, uri: "key".to_owned(), iv: None, format: None, versions: Vec::new() };
    let media = IframeMedia { timescale: 1000, frames: pictures, key: Some(key), ..IframeMedia::default() };
    let golden = "#EXTM3U\n\
                  #EXT-X-VERSION:7\n\
                  #EXT-X-TARGETDURATION:2\n\
                  #EXT-X-PLAYLIST-TYPE:VOD\n\
                  #EXT-X-I-FRAMES-ONLY\n\
                  #EXT-X-MAP:URI=\"init.mp4\"\n\
                  #EXT-X-KEY:METHOD=AES-128,URI=\"key-6\"\n\
                  #EXTINF:2,\n0.0.i.m4s\n\
                  #EXTINF:2,\n0.1.i.m4s\n\
                  #EXT-X-KEY:METHOD=AES-128,URI=\"key-7\"\n\
                  #EXTINF:2,\n1.0.i.m4s\n\
                  #EXT-X-KEY:METHOD=NONE\n\
                  #EXT-X-MAP:URI=\"init-1.mp4\"\n\
                  #EXT-X-KEY:METHOD=AES-128,URI=\"key-7\"\n\
                  #EXTINF:1.5,\n1.1.i.m4s\n\
                  #EXT-X-ENDLIST\n";
    assert_eq!(iframe_playlist(&media).unwrap(), golden);
}

#[test]
fn refuses_what_makes_no_playlist() {
    let media = |frames, live| IframeMedia { timescale: 1000, frames, live, ..IframeMedia::default() };
    assert!(matches!(iframe_playlist(&media(Vec::new(), None)), Err(PlaylistError::Empty { .. })));
    let mut away = frames(&[1000]);
    away[0].uri = "//elsewhere/0.m4s".to_owned();
    assert!(matches!(iframe_playlist(&media(away, None)), Err(PlaylistError::Uri { .. })));
    // The target duration of a live playlist never changes (section 6.2.1), and no picture lasts longer.
    assert!(matches!(iframe_playlist(&media(frames(&[2500]), Some(live()))), Err(PlaylistError::Rule(_))));
    assert!(iframe_playlist(&media(frames(&[2499]), Some(live()))).is_ok());
}

proptest! {
    #[test]
    fn any_track_reads_back(ticks in prop::collection::vec(1u64..200_000, 1..100), timescale in 1_000u32..100_000) {
        let text = iframe_playlist(&IframeMedia { timescale, frames: frames(&ticks), ..IframeMedia::default() }).unwrap();
        let playlist = MediaPlaylist::try_from(text.as_str()).unwrap();
        prop_assert!(playlist.has_i_frames_only && playlist.has_end_list);
        prop_assert_eq!(playlist.segments.num_elements(), ticks.len());
        let target_s = playlist.target_duration.as_secs_f64();
        for (_, segment) in playlist.segments.iter() {
            prop_assert!((segment.duration.duration().as_secs_f64() + 0.5).floor() <= target_s);
        }
        let total = playlist.duration().as_secs_f64() - ticks.iter().sum::<u64>() as f64 / f64::from(timescale);
        prop_assert!(total.abs() < 2e-6);
    }
}
