//! Playlists of every kind, made from values; and what those values are in the words of `expected.rs`.

use std::collections::BTreeMap;

use flame_playlist::{
    AudioRendition, Container, Content, Cue, DateRange, Iframe, IframeMedia, IframeRendition, Key, Length, LiveIframes,
    LiveMedia, LivePart, LiveSegment, Method, MultivariantInput, Pathway, Position, RenditionReport, Role, Scte35,
    Start, Steering, SubtitleRendition, Value, VideoRange, VideoRendition, VodMedia, iframe_playlist,
    multivariant_playlist, vod_media_playlist,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{Case, expected};

/// 2026-11-26T12:00:00Z.
const NOON_S: u64 = 1_795_694_400;
/// Four parts of half a second make a segment.
const TARGET_S: u64 = 2;
const PARTS: u64 = 4;

fn timescale() -> impl Strategy<Value = u32> {
    prop_oneof![Just(1000), Just(48_000), Just(90_000), Just(30_000)]
}

/// Parts of at least 85 % of their target, but for the last.
fn parts(most: usize) -> impl Strategy<Value = Vec<(u64, bool)>> {
    vec((85_u64..=100, any::<bool>()), 1..=most)
}

fn key() -> impl Strategy<Value = Key> {
    (any::<bool>(), option::of(any::<[u8; 16]>()), option::of("[a-z]{1,8}"), vec(1_u8..9, 0..3)).prop_map(
        |(is_whole, iv, format, versions)| Key {
            method: if is_whole { Method::Aes128 } else { Method::SampleAes },
            uri: "../keys/0123".to_owned(),
            iv,
            format,
            versions,
        },
    )
}

fn live_media(ranges: impl Strategy<Value = Vec<DateRange>>) -> impl Strategy<Value = LiveMedia> {
    let segment = (0_u8..10, parts(4), 0_u8..6);
    let reports = vec((0_u64..2000, option::of(0_u64..4)), 0..3);
    let numbers = (1_u64..1000, 0_u64..3);
    (timescale(), vec(segment, 1..25), parts(3), numbers, reports, ranges, any::<bool>()).prop_map(
        |(timescale, segments, open, (first_number, discontinuity_sequence), reports, date_ranges, is_over)| {
            let part_target = TARGET_S * u64::from(timescale) / PARTS;
            let part =
                |(percent, is_independent)| LivePart { duration_ticks: part_target * percent / 100, is_independent };
            let mut at = NOON_S * u64::from(timescale);
            let mut init = 0;
            let count = segments.len();
            let last = (11, open, 1);
            let segments = segments.into_iter().chain([last]).enumerate().map(|(number, (kind, parts, change))| {
                init += u32::from(change == 0);
                let parts: Vec<LivePart> = parts.into_iter().map(part).collect();
                let ticks = parts.iter().map(|part| part.duration_ticks).sum();
                let (content, duration_ticks) = match kind {
                    0 => (Content::Gap, TARGET_S * u64::from(timescale)),
                    _ if number == count && !is_over => (Content::UnderWay(parts), ticks),
                    _ => (Content::Whole(parts), ticks),
                };
                let (is_discontinuity, wall_offset_ms) = (change <= 1, 17 * (i64::from(change) - 3));
                let made =
                    LiveSegment { time_ticks: at, duration_ticks, content, init, is_discontinuity, wall_offset_ms };
                at += duration_ticks;
                made
            });
            let report = |(at, (number, part)): (usize, (u64, Option<u64>))| RenditionReport {
                uri: format!("../r{at}/index.m3u8"),
                last: Position { number, part },
            };
            LiveMedia {
                timescale,
                target_duration_s: TARGET_S,
                part_target_ticks: part_target,
                first_number,
                discontinuity_sequence,
                segments: segments.collect(),
                is_over,
                reports: reports.into_iter().enumerate().map(report).collect(),
                date_ranges,
                key: None,
                key_segments: None,
            }
        },
    )
}

pub fn live() -> impl Strategy<Value = Option<Case>> {
    (live_media(Just(Vec::new())), any::<bool>()).prop_map(|(media, skip)| {
        let text = media.playlist(skip).expect("the values make a playlist");
        Some(Case { text, expected: expected::live(&media, skip) })
    })
}

pub fn date_ranges() -> impl Strategy<Value = Option<Case>> {
    let value = prop_oneof![
        // An apostrophe opens a string for `hls-parser`.
        "[ -!#-&(-~]{0,12}".prop_map(Value::Text),
        vec(any::<u8>(), 1..8).prop_map(Value::Bytes),
        (-1000_i32..1000).prop_map(|number| Value::Number(f64::from(number) / 8.0)),
    ];
    let length = prop_oneof![
        Just(Length::Unknown),
        Just(Length::UntilNext),
        (1_u64..90_000).prop_map(Length::Known),
        (1_u64..90_000).prop_map(Length::Planned),
    ];
    let scte35 = (option::of(vec(any::<u8>(), 1..6)), option::of(vec(any::<u8>(), 1..6)));
    let own = prop::collection::btree_map("X-[A-Z0-9-]{1,6}", value, 0..3);
    let range = (length, 0_u64..100_000, any::<bool>(), scte35, own);
    let ranges = vec(range, 1..3).prop_map(|ranges| {
        let range = |(at, (length, start_ms, is_pre, (command, out), attributes))| DateRange {
            id: format!("mark-{at}"),
            class: Some(format!("com.example.{at}")),
            start_ms: NOON_S * 1000 + start_ms,
            length,
            cues: if is_pre { vec![Cue::Pre, Cue::Once] } else { Vec::new() },
            scte35: Scte35 { command, out, back_in: None },
            attributes: attributes as BTreeMap<String, Value>,
        };
        ranges.into_iter().enumerate().map(range).collect()
    });
    live_media(ranges).prop_map(|media| {
        let text = media.playlist(false).expect("the values make a playlist");
        Some(Case { text, expected: expected::live(&media, false) })
    })
}

pub fn vod() -> impl Strategy<Value = Option<Case>> {
    let segments = vec(1_u64..400_000, 1..30);
    (timescale(), segments, any::<bool>(), any::<bool>(), option::of(key())).prop_map(
        |(timescale, segment_ticks, independent_segments, is_mp4, key)| {
            let container = if is_mp4 { Container::FragmentedMp4 } else { Container::TransportStream };
            let media = VodMedia { timescale, segment_ticks, independent_segments, container, key, clip: None };
            // What lasts less than a microsecond makes none.
            let text = vod_media_playlist(&media).ok()?;
            Some(Case { text, expected: expected::vod(&media) })
        },
    )
}

pub fn iframes() -> impl Strategy<Value = Option<Case>> {
    let live = option::of((1_u64..1000, 0_u64..3, any::<bool>()));
    (timescale(), vec((1000_u64..50_000, 0_u8..5), 1..30), option::of(key()), live).prop_map(
        |(timescale, frames, key, live)| {
            let mut at = NOON_S * u64::from(timescale);
            let frames = frames.into_iter().enumerate().map(|(number, (duration_ticks, change))| {
                let frame = Iframe {
                    uri: format!("i{number}.m4s"),
                    duration_ticks,
                    time_ticks: live.map(|_| at),
                    init: Some(0),
                    is_discontinuity: live.is_some() && change == 0,
                    key_period: None,
                };
                at += duration_ticks;
                frame
            });
            let frames = frames.collect();
            let live = live.map(|(first_number, discontinuity_sequence, is_over)| LiveIframes {
                first_number,
                discontinuity_sequence,
                target_duration_s: 60,
                is_over,
            });
            let media = IframeMedia { timescale, frames, key, live };
            let text = iframe_playlist(&media).ok()?;
            Some(Case { text, expected: expected::iframes(&media) })
        },
    )
}

fn range() -> impl Strategy<Value = Option<VideoRange>> {
    option::of(prop_oneof![Just(VideoRange::Sdr), Just(VideoRange::Hlg), Just(VideoRange::Pq)])
}

pub fn multivariant() -> impl Strategy<Value = Option<Case>> {
    let rates = || (1_u64..4_000_000, 1_u64..4_000_000);
    let rate = prop_oneof![Just(Some((30_000, 1001))), Just(Some((25, 1))), Just(Some((24_000, 1001))), Just(None)];
    let video = (rates(), 16_u32..4096, 16_u32..2160, rate, range(), option::of(Just("dvh1.08.07/db4h".to_owned())));
    let roles = prop_oneof![Just(Role::Main), Just(Role::Dub), Just(Role::Description), Just(Role::Commentary)];
    let audio = (rates(), roles, option::of(1_u16..8));
    let texts = prop_oneof![Just(Role::Subtitle), Just(Role::Caption), Just(Role::Forced), Just(Role::EasyReader)];
    let start = option::of((-90_000_i64..90_000, any::<bool>()));
    let all = (vec(video, 1..5), vec(audio, 0..4), vec((texts, any::<bool>()), 0..3), vec((rates(), range()), 0..3));
    let more = (0_usize..4, any::<bool>(), any::<bool>(), start, vec(key(), 0..2));
    (all, more).prop_map(|((video, audio, subtitles, iframes), (ways, is_stable, is_steered, start, session_keys))| {
        let stable = |id: String| is_stable.then_some(id);
        let language = |at: usize| ["en", "de", "pt-BR", "fr", "cy"][at].to_owned();
        let video =
            video.into_iter().enumerate().map(|(at, ((average, peak), width, height, frame_rate, range, more))| {
                VideoRendition {
                    uri: format!("0123456789ab/v{at}/index.m3u8"),
                    codec: "avc1.64001f".to_owned(),
                    supplemental_codecs: more,
                    width,
                    height,
                    frame_rate,
                    video_range: range,
                    average_bandwidth_bps: average,
                    peak_bandwidth_bps: peak,
                    stable_id: stable(format!("v{at}")),
                }
            });
        let audio = audio.into_iter().enumerate().map(|(at, ((average, peak), role, channels))| AudioRendition {
            uri: format!("0123456789ab/a{at}/index.m3u8"),
            codec: "mp4a.40.2".to_owned(),
            name: format!("Sound, no. {at}"),
            language: Some(language(at)),
            role,
            channels,
            average_bandwidth_bps: average,
            peak_bandwidth_bps: peak,
            stable_id: stable(format!("a{at}")),
        });
        let subtitles = subtitles.into_iter().enumerate().map(|(at, (role, is_default))| SubtitleRendition {
            uri: format!("0123456789ab/t{at}/index.m3u8"),
            codec: None,
            name: format!("Text = {at}"),
            language: Some(language(at)),
            role,
            is_default,
            stable_id: stable(format!("t{at}")),
        });
        let iframes = iframes.into_iter().enumerate().map(|(at, ((average, peak), range))| IframeRendition {
            uri: format!("0123456789ab/v{at}/iframes.m3u8"),
            codec: "avc1.64001f".to_owned(),
            width: 640,
            height: 360,
            video_range: range,
            average_bandwidth_bps: average,
            peak_bandwidth_bps: peak,
            stable_id: stable(format!("i{at}")),
        });
        let pathways: Vec<Pathway> = (0..ways)
            .map(|way| Pathway { id: format!("site-{way}"), base: format!("../../~site-{way}--streaming/") })
            .collect();
        let first_pathway = pathways.last().map(|way| way.id.clone());
        let input = MultivariantInput {
            video: video.collect(),
            audio: audio.collect(),
            subtitles: subtitles.collect(),
            iframes: iframes.collect(),
            start: start.map(|(offset_ms, is_precise)| Start { offset_ms, is_precise }),
            steering: is_steered.then(|| Steering { server_uri: "../steering?a=b".to_owned(), first_pathway }),
            pathways,
            session_keys,
        };
        let text = multivariant_playlist(&input).expect("the values make a playlist");
        Some(Case { text, expected: expected::multivariant(&input) })
    })
}
