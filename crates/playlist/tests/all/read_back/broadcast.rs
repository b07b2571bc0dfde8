//! What the crate `broadcast-hls` reads in a playlist, in the words of `expected.rs`.

use broadcast_hls::{
    AttrValue, MasterPlaylist, MediaPlaylist, PartSpec, ProgramDateTime, StartPoint, parse_attribute_list,
};
use serde_json::{Value, json};

#[expect(clippy::cast_possible_truncation, reason = "playlists of tests last less than 2^52 microseconds")]
fn us(seconds: f64) -> i64 {
    (seconds * 1e6).round() as i64
}

fn date_ms(text: &str) -> i64 {
    ProgramDateTime::parse(text).expect("a date").timestamp().as_millisecond()
}

fn parts(parts: &[PartSpec]) -> Vec<Value> {
    let part = |part: &PartSpec| json!({ "uri": part.uri, "duration_us": us(part.duration.get()), "is_independent": part.independent });
    parts.iter().map(part).collect()
}

fn start(start: Option<&StartPoint>) -> Value {
    start.map_or(Value::Null, |start| json!({ "offset_us": us(start.time_offset.get()), "is_precise": start.precise }))
}

/// The attributes of the tag of this name in what stands in front of a segment.
fn tags<'a>(lines: &'a [String], name: &'a str) -> impl Iterator<Item = &'a str> {
    lines.iter().filter_map(move |line| line.strip_prefix(name)?.strip_prefix(':'))
}

fn key(attributes: &str) -> Value {
    let (attributes, _) = parse_attribute_list(attributes);
    let iv = attributes.get("IV").and_then(|iv| iv.strip_prefix("0x")).map(str::to_lowercase);
    json!({
        "method": attributes["METHOD"], "uri": attributes["URI"], "iv": iv,
        "format": attributes.get("KEYFORMAT"), "versions": attributes.get("KEYFORMATVERSIONS"),
    })
}

fn date_range(attributes: &str) -> Value {
    let (attributes, quoted) = parse_attribute_list(attributes);
    let own = attributes.iter().filter(|(name, _)| name.starts_with("X-") || name.starts_with("SCTE35-"));
    let own: serde_json::Map<String, Value> = own
        .map(|(name, value)| {
            let value = match value.strip_prefix("0x") {
                _ if quoted.contains(name) => json!({ "text": value }),
                Some(digits) => json!({ "bytes": digits.to_lowercase() }),
                None => json!({ "number": value }),
            };
            (name.clone(), value)
        })
        .collect();
    let seconds = |name: &str| attributes.get(name).map(|seconds| us(seconds.parse().expect("seconds")));
    json!({
        "id": attributes["ID"],
        "class": attributes.get("CLASS"),
        "start_ms": date_ms(&attributes["START-DATE"]),
        "cue": attributes.get("CUE"),
        "duration_us": seconds("DURATION"),
        "planned_us": seconds("PLANNED-DURATION"),
        "end_on_next": attributes.get("END-ON-NEXT").is_some_and(|value| value == "YES"),
        "attributes": own,
    })
}

pub fn media(text: &str) -> Value {
    let playlist = MediaPlaylist::parse(text).expect("a media playlist");
    let segments = playlist.segments.iter().map(|segment| {
        json!({
            "uri": segment.uri,
            "duration_us": us(segment.duration.get()),
            "is_gap": segment.gap,
            "is_discontinuity": segment.discontinuous,
            "map": segment.map.as_ref().map(|map| &map.uri),
            "date_ms": segment.program_date_time.as_ref().map(|date| date.timestamp().as_millisecond()),
            "parts": parts(&segment.parts),
        })
    });
    let segments: Vec<Value> = segments.collect();
    let none = Vec::new();
    let front = playlist.segments.first().map_or(&none, |first| &first.pre_tags);
    let front =
        if front.is_empty() { playlist.open_segment.as_ref().map_or(front, |open| &open.pre_tags) } else { front };
    let low = playlist.low_latency.as_ref();
    let open = playlist.open_segment.as_ref();
    let server = low.map(|low| {
        json!({
            "can_block": low.can_block_reload,
            "hold_back_us": low.hold_back.map(|value| us(value.get())),
            "part_hold_back_us": low.part_hold_back.map(|value| us(value.get())),
            "can_skip_us": low.can_skip_until.map(|value| us(value.get())),
        })
    });
    json!({
        "version": playlist.version,
        "target_s": playlist.target_duration,
        "first_number": playlist.media_sequence,
        "discontinuity_sequence": playlist.discontinuity_sequence,
        "is_independent": playlist.independent_segments,
        "is_vod": playlist.playlist_type.is_some_and(|kind| kind.name() == "VOD"),
        "is_over": playlist.endlist,
        "iframes_only": playlist.iframes_only,
        "start": start(playlist.start.as_ref()),
        "key": tags(front, "#EXT-X-KEY").next().map(key),
        "server": server,
        "part_target_us": low.and_then(|low| low.part_target).map(|value| us(value.get())),
        "skipped": playlist.skip.as_ref().map_or(0, |skip| skip.skipped_segments),
        "segments": segments,
        "open": open.map(|open| json!({
            "date_ms": open.program_date_time.as_ref().map(|date| date.timestamp().as_millisecond()),
            "parts": parts(&open.parts),
        })),
        "open_map": open.and_then(|open| open.map.as_ref()).map(|map| &map.uri),
        "is_open_discontinuity": false,
        "hint": low.and_then(|low| low.preload_hint_part.as_ref()),
        "reports": playlist.rendition_reports.iter().map(|report| json!({
            "uri": report.uri, "number": report.last_msn, "part": report.last_part,
        })).collect::<Vec<_>>(),
        "date_ranges": tags(front, "#EXT-X-DATERANGE").map(date_range).collect::<Vec<_>>(),
    })
}

pub fn multivariant(text: &str) -> Value {
    let playlist = MasterPlaylist::parse(text).expect("a multivariant playlist");
    let other = |attributes: &[(String, AttrValue)], name: &str| {
        attributes.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str().to_owned())
    };
    let split = |codecs: &Option<String>| -> Vec<String> {
        codecs.iter().flat_map(|codecs| codecs.split(',')).map(str::to_owned).collect()
    };
    let renditions = playlist.media.iter().map(|media| {
        json!({
            "kind": media.media_type.name(), "group": media.group_id, "uri": media.uri, "name": media.name,
            "language": media.language, "is_default": media.default, "is_autoselect": media.autoselect,
            "is_forced": media.forced, "characteristics": media.characteristics, "channels": media.channels,
            "stable_rendition_id": media.stable_rendition_id,
        })
    });
    let variants = playlist.variants.iter().map(|variant| {
        let more = |name| other(&variant.extra_attrs, name);
        json!({
            "uri": variant.uri, "bandwidth_bps": variant.bandwidth, "average_bps": variant.average_bandwidth,
            "codecs": split(&variant.codecs), "size": variant.resolution.map(|(width, height)| [width, height]),
            "rate_milli": variant.frame_rate.map(|rate| rate.millihertz()), "range": more("VIDEO-RANGE"),
            "stable_id": more("STABLE-VARIANT-ID"), "pathway": more("PATHWAY-ID"), "supplemental": more("SUPPLEMENTAL-CODECS"),
            "audio": variant.audio, "subtitles": variant.subtitles,
        })
    });
    let iframes = playlist.iframe_variants.iter().map(|variant| {
        let more = |name| other(&variant.extra_attrs, name);
        json!({
            "uri": variant.uri, "bandwidth_bps": variant.bandwidth, "average_bps": variant.average_bandwidth,
            "codecs": split(&variant.codecs), "size": variant.resolution.map(|(width, height)| [width, height]),
            "rate_milli": null, "range": more("VIDEO-RANGE"), "stable_id": more("STABLE-VARIANT-ID"),
            "pathway": more("PATHWAY-ID"), "supplemental": more("SUPPLEMENTAL-CODECS"), "audio": null, "subtitles": null,
        })
    });
    json!({
        "version": (playlist.version > 0).then_some(playlist.version),
        "is_independent": playlist.independent_segments,
        "start": start(playlist.start.as_ref()),
        "steering": playlist.content_steering.as_ref().map(|steering| json!({
            "uri": steering.server_uri, "pathway": steering.pathway_id,
        })),
        "session_keys": playlist.session_keys.iter().map(|key| json!({
            "method": key.method.name(), "uri": key.uri, "format": key.keyformat, "versions": key.keyformatversions,
            "iv": key.iv.map(|iv| super::expected::hex(&iv)),
        })).collect::<Vec<_>>(),
        "renditions": renditions.collect::<Vec<_>>(),
        "variants": variants.collect::<Vec<_>>(),
        "iframes": iframes.collect::<Vec<_>>(),
    })
}
