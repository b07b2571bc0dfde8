//! What a reader is to find in a playlist, from the values that it was made of.

use flame_playlist::{
    AudioRendition, Container, Content, Cue, DateRange, IframeMedia, Key, Length, LiveMedia, LivePart, Method,
    MultivariantInput, Role, Start, SubtitleRendition, Value as Own, VideoRange, VodMedia, init_uri, part_uri,
    segment_uri, ts_segment_uri,
};
use serde_json::{Value, json};

/// Ticks as microseconds, to the nearest.
fn us(ticks: u64, timescale: u32) -> u64 {
    let timescale = u128::from(timescale);
    u64::try_from((u128::from(ticks) * 1_000_000 + timescale / 2) / timescale).unwrap()
}

/// Spans as differences of their rounded ends.
fn spans_us(ticks: impl IntoIterator<Item = u64>, timescale: u32) -> Vec<u64> {
    let mut end_ticks = 0;
    let span = |ticks| {
        let start_us = us(end_ticks, timescale);
        end_ticks += ticks;
        us(end_ticks, timescale) - start_us
    };
    ticks.into_iter().map(span).collect()
}

fn date_ms(ticks: u64, timescale: u32) -> u64 {
    ticks / u64::from(timescale) * 1000 + ticks % u64::from(timescale) * 1000 / u64::from(timescale)
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn key(key: &Key) -> Value {
    let versions: Vec<String> = key.versions.iter().map(u8::to_string).collect();
    json!({
        "method": match key.method { Method::Aes128 => "AES-128", Method::SampleAes => "SAMPLE-AES" },
        "uri": key.uri,
        "iv": key.iv.map(|iv| hex(&iv)),
        "format": key.format,
        // 1 is what holds where nothing is said, and is not said.
        "versions": (!versions.is_empty() && key.versions != [1]).then(|| versions.join("/")),
    })
}

fn date_range(range: &DateRange) -> Value {
    let mut attributes: serde_json::Map<String, Value> = range
        .attributes
        .iter()
        .map(|(name, value)| {
            let value = match value {
                Own::Text(text) => json!({ "text": text }),
                Own::Bytes(bytes) => json!({ "bytes": hex(bytes) }),
                Own::Number(number) => json!({ "number": number.to_string() }),
            };
            (name.clone(), value)
        })
        .collect();
    for (name, section) in [("SCTE35-CMD", &range.scte35.command), ("SCTE35-OUT", &range.scte35.out)] {
        if let Some(section) = section {
            attributes.insert(name.to_owned(), json!({ "bytes": hex(section) }));
        }
    }
    let (mut duration_us, mut planned_us) = (None, None);
    match range.length {
        Length::Known(ms) => duration_us = Some(ms * 1000),
        Length::Planned(ms) => planned_us = Some(ms * 1000),
        Length::Unknown | Length::UntilNext => {}
    }
    json!({
        "id": range.id,
        "class": range.class,
        "start_ms": range.start_ms,
        "cue": range.cues.contains(&Cue::Pre).then_some("PRE,ONCE"),
        "duration_us": duration_us,
        "planned_us": planned_us,
        "end_on_next": range.length == Length::UntilNext,
        "attributes": attributes,
    })
}

pub fn live(media: &LiveMedia, skip: bool) -> Value {
    let (timescale, target_ticks) = (media.timescale, media.target_duration_s * u64::from(media.timescale));
    let end: u64 = media.segments.iter().map(|segment| segment.duration_ticks).sum();
    let mut at = 0;
    let ages: Vec<u64> = media
        .segments
        .iter()
        .map(|segment| {
            at += segment.duration_ticks;
            end - at
        })
        .collect();
    let is_delta = skip && !media.is_over;
    let skipped = ages.iter().take_while(|age| is_delta && **age >= 6 * target_ticks).count();
    let parts = |number: u64, parts: &[LivePart]| -> Vec<Value> {
        let part = |(at, part): (usize, &LivePart)| {
            let duration_us = us(part.duration_ticks, timescale);
            json!({ "uri": part_uri(number, at as u64), "duration_us": duration_us, "is_independent": part.is_independent })
        };
        parts.iter().enumerate().map(part).collect()
    };
    let (mut segments, mut open, mut hint) = (Vec::new(), Value::Null, part_uri(media.first_number, 0));
    // In a delta the init segment of what was left out goes on, unnamed.
    let left_out = skipped.checked_sub(1).map(|at| media.segments[at].init);
    let (mut map, mut last) = (None, left_out);
    let (mut open_map, mut is_open_discontinuity) = (None, false);
    for (at, segment) in media.segments.iter().enumerate().skip(skipped) {
        let number = media.first_number + at as u64;
        if last.replace(segment.init) != Some(segment.init) {
            map = Some(init_uri(segment.init));
        }
        let offset_ticks = segment.wall_offset_ms * i64::from(timescale) / 1000;
        let date_ms = date_ms(segment.time_ticks.checked_add_signed(offset_ticks).unwrap(), timescale);
        let is_discontinuity = segment.is_discontinuity && at > 0;
        let listed = match &segment.content {
            Content::Whole(those) if !media.is_over && ages[at] <= 3 * target_ticks => parts(number, those),
            Content::Whole(_) | Content::Gap => Vec::new(),
            Content::UnderWay(those) => {
                open = json!({ "date_ms": date_ms, "parts": parts(number, those) });
                (open_map, is_open_discontinuity) = (map.clone(), is_discontinuity);
                let so_far: u64 = those.iter().map(|part| part.duration_ticks).sum();
                let before = at.checked_sub(1).map(|at| &media.segments[at]);
                let before = before.filter(|before| before.content != Content::Gap);
                let slack = i128::from(media.part_target_ticks / 4);
                let is_full = before.is_some_and(|before| {
                    let lacks = i128::from(before.duration_ticks) - i128::from(so_far);
                    (-slack..=slack).contains(&lacks)
                });
                hint = if is_full { part_uri(number + 1, 0) } else { part_uri(number, those.len() as u64) };
                continue;
            }
        };
        hint = part_uri(number + 1, 0);
        segments.push(json!({
            "uri": segment_uri(usize::try_from(number).unwrap()),
            "duration_us": us(segment.duration_ticks, timescale),
            "is_gap": segment.content == Content::Gap,
            "is_discontinuity": is_discontinuity,
            "map": map,
            "date_ms": date_ms,
            "parts": listed,
        }));
    }
    let before_first = u64::from(media.segments[0].is_discontinuity);
    let mut ranges: Vec<&DateRange> = media.date_ranges.iter().collect();
    ranges.sort_by_key(|range| (range.start_ms, &range.id));
    let is_live = !media.is_over;
    let reports = media.reports.iter().filter(|_| is_live);
    json!({
        "version": 9,
        "target_s": media.target_duration_s,
        "first_number": media.first_number,
        "discontinuity_sequence": media.discontinuity_sequence + before_first,
        "is_independent": true,
        "is_vod": media.is_over,
        "is_over": media.is_over,
        "iframes_only": false,
        "start": null,
        "key": null,
        "server": is_live.then(|| json!({
            "can_block": true,
            "hold_back_us": 3 * media.target_duration_s * 1_000_000,
            "part_hold_back_us": us(3 * media.part_target_ticks, timescale),
            "can_skip_us": 6 * media.target_duration_s * 1_000_000,
        })),
        "part_target_us": is_live.then(|| us(media.part_target_ticks, timescale)),
        "skipped": skipped,
        "segments": segments,
        "open": open,
        "open_map": open_map,
        "is_open_discontinuity": is_open_discontinuity,
        "hint": is_live.then_some(hint),
        "reports": reports.map(|report| json!({
            "uri": report.uri, "number": report.last.number, "part": report.last.part,
        })).collect::<Vec<_>>(),
        "date_ranges": ranges.into_iter().map(date_range).collect::<Vec<_>>(),
    })
}

/// What is the same in every playlist of something that is not under way.
fn plain(version: u64, segments: Vec<Value>) -> Value {
    json!({
        "version": version, "first_number": 0, "discontinuity_sequence": 0, "is_independent": false,
        "is_vod": true, "is_over": true, "iframes_only": false, "start": null, "key": null, "server": null,
        "part_target_us": null, "skipped": 0, "segments": segments, "open": null, "open_map": null,
        "is_open_discontinuity": false, "hint": null, "reports": [], "date_ranges": [],
    })
}

fn target_s(durations_us: &[u64]) -> u64 {
    ((durations_us.iter().max().unwrap() + 500_000) / 1_000_000).max(1)
}

pub fn vod(media: &VodMedia) -> Value {
    let durations_us = spans_us(media.segment_ticks.iter().copied(), media.timescale);
    let is_mp4 = media.container == Container::FragmentedMp4;
    let segment = |(number, duration_us): (usize, &u64)| {
        json!({
            "uri": if is_mp4 { segment_uri(number) } else { ts_segment_uri(number) },
            "duration_us": duration_us, "is_gap": false, "is_discontinuity": false,
            "map": is_mp4.then_some("init.mp4"), "date_ms": null, "parts": [],
        })
    };
    let mut all = plain(if is_mp4 { 7 } else { 5 }, durations_us.iter().enumerate().map(segment).collect());
    all["target_s"] = target_s(&durations_us).into();
    all["is_independent"] = media.independent_segments.into();
    all["key"] = media.key.as_ref().map_or(Value::Null, key);
    all
}

pub fn iframes(media: &IframeMedia) -> Value {
    let durations_us = spans_us(media.frames.iter().map(|frame| frame.duration_ticks), media.timescale);
    let frames = media.frames.iter().zip(&durations_us).enumerate().map(|(at, (frame, duration_us))| {
        json!({
            "uri": frame.uri, "duration_us": duration_us, "is_gap": false,
            "is_discontinuity": frame.is_discontinuity && at > 0, "map": "init.mp4",
            "date_ms": frame.time_ticks.map(|ticks| date_ms(ticks, media.timescale)), "parts": [],
        })
    });
    let mut all = plain(7, frames.collect());
    all["iframes_only"] = true.into();
    all["key"] = media.key.as_ref().map_or(Value::Null, key);
    all["target_s"] = target_s(&durations_us).into();
    if let Some(live) = media.live {
        let before_first = u64::from(media.frames[0].is_discontinuity);
        all["target_s"] = live.target_duration_s.into();
        all["first_number"] = live.first_number.into();
        all["discontinuity_sequence"] = (live.discontinuity_sequence + before_first).into();
        all["is_vod"] = live.is_over.into();
        all["is_over"] = live.is_over.into();
    }
    all
}

fn range(range: Option<VideoRange>) -> Option<&'static str> {
    range.map(|range| match range {
        VideoRange::Sdr => "SDR",
        VideoRange::Hlg => "HLG",
        VideoRange::Pq => "PQ",
    })
}

fn start(start: Start) -> Value {
    json!({ "offset_us": start.offset_ms * 1000, "is_precise": start.is_precise })
}

pub fn multivariant(input: &MultivariantInput) -> Value {
    let (mut renditions, mut variants, mut iframes) = (Vec::new(), Vec::new(), Vec::new());
    let unnamed = [(None, "")];
    let named: Vec<_> = input.pathways.iter().map(|way| (Some(way.id.as_str()), way.base.as_str())).collect();
    for (way, base) in if named.is_empty() { &unnamed[..] } else { &named[..] } {
        let group = |name: &str| way.map_or_else(|| name.to_owned(), |way| format!("{name}.{way}"));
        let default = input.subtitles.iter().position(|text| text.is_default);
        let sounds = input.audio.iter().enumerate().map(|(at, AudioRendition { uri, name, language, role, channels, stable_id, .. })| {
            json!({
                "kind": "AUDIO", "group": group("audio"), "uri": format!("{base}{uri}"), "name": name, "language": language,
                "is_default": at == 0, "is_autoselect": true, "is_forced": false, "characteristics": words(*role),
                "channels": channels.map(|count| count.to_string()), "stable_rendition_id": stable_id,
            })
        });
        let texts = input.subtitles.iter().enumerate().map(|(at, SubtitleRendition { uri, name, language, role, stable_id, .. })| {
            json!({
                "kind": "SUBTITLES", "group": group("subtitles"), "uri": format!("{base}{uri}"), "name": name, "language": language,
                "is_default": default == Some(at), "is_autoselect": true, "is_forced": *role == Role::Forced,
                "characteristics": words(*role), "channels": null, "stable_rendition_id": stable_id,
            })
        });
        renditions.extend(sounds.chain(texts));
        let has = |is_there: bool, name: &str| is_there.then(|| group(name));
        let most = |of: fn(&AudioRendition) -> u64| input.audio.iter().map(of).max().unwrap_or(0);
        variants.extend(input.video.iter().map(|video| {
            let sound = (!input.audio.is_empty()).then_some("mp4a.40.2");
            let codecs: Vec<_> = std::iter::once(video.codec.as_str()).chain(sound).collect();
            json!({
                "uri": format!("{base}{}", video.uri),
                "bandwidth_bps": video.peak_bandwidth_bps + most(|audio| audio.peak_bandwidth_bps),
                "average_bps": video.average_bandwidth_bps + most(|audio| audio.average_bandwidth_bps),
                "codecs": codecs, "size": [video.width, video.height],
                "rate_milli": video.frame_rate.map(|(num, den)| (num * 1000 + den / 2) / den),
                "range": range(video.video_range), "stable_id": video.stable_id, "pathway": way,
                "supplemental": video.supplemental_codecs,
                "audio": has(!input.audio.is_empty(), "audio"), "subtitles": has(!input.subtitles.is_empty(), "subtitles"),
            })
        }));
        iframes.extend(input.iframes.iter().map(|iframe| {
            json!({
                "uri": format!("{base}{}", iframe.uri), "bandwidth_bps": iframe.peak_bandwidth_bps,
                "average_bps": iframe.average_bandwidth_bps, "codecs": [iframe.codec], "size": [iframe.width, iframe.height],
                "rate_milli": null, "range": range(iframe.video_range), "stable_id": iframe.stable_id, "pathway": way,
                "supplemental": null, "audio": null, "subtitles": null,
            })
        }));
    }
    json!({
        "version": (!input.session_keys.is_empty()).then_some(5),
        "is_independent": true,
        "start": input.start.map(start),
        "steering": input.steering.as_ref().map(|steering| json!({
            "uri": steering.server_uri, "pathway": steering.first_pathway,
        })),
        "session_keys": input.session_keys.iter().map(key).collect::<Vec<_>>(),
        "renditions": renditions, "variants": variants, "iframes": iframes,
    })
}

fn words(role: Role) -> Vec<&'static str> {
    role.characteristics().map(|words| words.split(',').collect()).unwrap_or_default()
}

/// The same, as far as `hls-parser` keeps it: of several date ranges the last. For a report without a part it makes one up, which is
/// taken for what it is.
pub fn for_hls_parser(expected: &Value, read: &Value) -> Value {
    let mut expected = expected.clone();
    if let Some(ranges) = expected.get("date_ranges").and_then(Value::as_array) {
        expected["last_date_range"] = ranges.last().cloned().unwrap_or(Value::Null);
    }
    let reports = expected.get_mut("reports").and_then(Value::as_array_mut).into_iter().flatten();
    for (at, report) in reports.enumerate().filter(|(_, report)| report["part"].is_null()) {
        report["part"] = read["reports"][at]["part"].clone();
    }
    expected
}
