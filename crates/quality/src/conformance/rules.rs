//! The rules that are looked at: where each stands, whether it says must or should, and what it asks for in our own words.
//!
//! A clause is named so that whoever disagrees can read it. What no clause says is no rule here.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How binding a clause is (RFC 2119).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// MUST, MUST NOT, REQUIRED.
    Must,
    /// SHOULD, SHOULD NOT.
    Should,
}

/// A rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Its name, for reports and tests.
    pub name: &'static str,
    /// How binding it is.
    pub severity: Severity,
    /// Where it stands.
    pub clause: &'static str,
    /// What it asks for.
    pub asks: &'static str,
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Must => "must",
            Self::Should => "should",
        })
    }
}

macro_rules! rules {
    ($($name:ident $severity:ident $clause:literal $asks:literal)*) => {
        $(#[doc = $asks] pub const $name: Rule =
            Rule { name: stringify!($name), severity: Severity::$severity, clause: $clause, asks: $asks };)*
        /// All of them.
        pub const ALL: &[Rule] = &[$($name),*];
    };
}

rules! {
    ENCODING Must "HLS 4.1" "a playlist is UTF-8 without a byte order mark and without control characters"
    FIRST_LINE Must "HLS 4.4.1.1" "the first line is #EXTM3U"
    KIND Must "HLS 4.1" "a playlist has either media segments or other playlists, and the tags of that kind only"
    TWICE Must "HLS 4.4.3" "a tag of the whole playlist stands there once"
    ATTRIBUTES Must "HLS 4.2" "attributes are NAME=value with commas between, each name once"
    REQUIRED Must "HLS 4.4" "a tag has the attributes that it cannot do without, each of its own kind"
    VALUE Must "HLS 4.2" "a value has the form that its tag demands"
    VERSION Must "HLS 8" "EXT-X-VERSION is at least that of the newest feature in use"
    TARGET_MISSING Must "HLS 4.4.3.1" "a media playlist has EXT-X-TARGETDURATION"
    TARGET_EXCEEDED Must "HLS 4.4.3.1" "no segment, its duration rounded to whole seconds, is longer than the target duration"
    SEQUENCE_PLACE Must "HLS 4.4.3.2" "EXT-X-MEDIA-SEQUENCE stands before the first segment"
    DISCONTINUITY_PLACE Must "HLS 4.4.3.3" "EXT-X-DISCONTINUITY-SEQUENCE stands before the first segment and the first EXT-X-DISCONTINUITY"
    EXTINF_MISSING Must "HLS 4.4.4.1" "each segment has its EXTINF, and each EXTINF its segment"
    PART_INF Must "HLS 4.4.3.7" "a playlist with parts has EXT-X-PART-INF"
    PART_TOO_LONG Must "HLS 4.4.4.9" "no part is longer than the part target"
    PART_TOO_SHORT Must "HLS 4.4.4.9" "a part has at least 85 % of the part target, unless it is the last of its segment, a gap, or the next is independent"
    PARTS_OLD Should "HLS 4.4.4.9" "parts are listed within three target durations of the end only"
    HOLD_BACK Must "HLS 4.4.3.8" "HOLD-BACK is at least three target durations"
    PART_HOLD_BACK_MISSING Must "HLS 4.4.3.8" "a playlist with EXT-X-PART-INF has PART-HOLD-BACK"
    PART_HOLD_BACK Must "HLS 4.4.3.8" "PART-HOLD-BACK is at least two part targets"
    PART_HOLD_BACK_SHORT Should "HLS 4.4.3.8" "PART-HOLD-BACK is at least three part targets"
    SKIP_BOUNDARY Must "HLS 4.4.3.8" "CAN-SKIP-UNTIL is at least six target durations"
    BLOCKING Must "HLS B.1" "a low-latency playlist offers blocking reloads"
    DATE_RANGE_TIME Must "HLS 4.4.5.1" "a playlist with EXT-X-DATERANGE has an EXT-X-PROGRAM-DATE-TIME"
    SKIP_UNASKED Must "HLS 4.4.5.2" "EXT-X-SKIP stands in answers to a delivery directive only"
    VOD_END Should "HLS 4.4.3.5" "a playlist that will not change ends with EXT-X-ENDLIST"
    SEQUENCE_BACK Must "HLS 6.2.2" "the number of the first segment never falls"
    SEGMENT_CHANGED Must "HLS 6.2.1" "a segment that was listed keeps its URI and its duration"
    TARGET_CHANGED Must "HLS 6.2.1" "the target duration of a playlist does not change"
    APPEND_ONLY Must "HLS 6.2.1" "an EVENT playlist only grows, a VOD playlist does not change, and nothing follows EXT-X-ENDLIST"
    DISCONTINUITY_COUNT Must "HLS 6.2.2" "EXT-X-DISCONTINUITY-SEQUENCE grows by the discontinuities that went with their segments"
    REMOVED_EARLY Must "HLS 6.2.2" "a segment is not removed while less than three target durations would be left"
    STALE Must "HLS 6.2.2" "a live playlist has something new within one and a half target durations"
    DELTA Must "HLS 6.2.5.1" "a delta update leaves out only what lies behind the skip boundary, and is like the playlist otherwise"
    BLOCKED_ANSWER Must "HLS 6.2.5.2" "the answer to a blocking reload has the segment or part that it asked for"
    HINT Should "HLS 4.4.5.3" "what a preload hint announces is what comes next"
    REPORTS Must "HLS B.1" "a low-latency playlist reports on the other renditions"
    VARIANT_URI Must "HLS 4.4.6.2" "EXT-X-STREAM-INF is followed by a URI"
    CODECS_MISSING Should "HLS 4.4.6.2" "a variant says its CODECS"
    RESOLUTION_MISSING Should "HLS 4.4.6.2" "a variant with pictures says its RESOLUTION"
    GROUP Must "HLS 4.4.6.2" "a group that a variant names is there"
    GROUP_NAMES Must "HLS 4.4.6.1.1" "members of a group have different names, and one at most is the default"
    RENDITION_URI Must "HLS 4.4.6.1" "subtitles have a URI, closed captions have INSTREAM-ID and none"
    DEFAULT_AUTOSELECT Must "HLS 4.4.6.1" "what is the default can be selected automatically"
    SAME_TARGET Must "HLS 6.2.4" "playlists of one presentation have the same target duration"
    CODECS Must "HLS 4.4.6.2" "CODECS names the format of every rendition of the variant"
    RESOLUTION Should "HLS 4.4.6.2" "RESOLUTION is that of the pictures"
    BANDWIDTH Must "HLS 4.4.6.2" "BANDWIDTH is at least the peak bit rate of the variant's segments"
    AVAILABLE Must "HLS 6.2.1" "what a playlist lists can be had"
    INIT Must "HLS 3.1.2" "a fragmented MP4 segment has an init segment with the configuration of its track"
    BOXES Must "ISO/IEC 14496-12 8.8" "a segment is fragments whose samples lie in their own data"
    DECODE_TIME Must "HLS 4.4.4.3" "decode times (tfdt) go on from segment to segment, unless EXT-X-DISCONTINUITY stands between"
    DURATION Should "HLS 4.4.4.1" "EXTINF is as long as the samples, so that the sum does not drift"
    INDEPENDENT_SEGMENT Must "HLS 4.4.2.1" "with EXT-X-INDEPENDENT-SEGMENTS each segment begins with a picture that needs no other"
    INDEPENDENT_PART Must "HLS 4.4.4.9" "a part with INDEPENDENT=YES holds a picture that needs no other"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = ALL.iter().map(|rule| rule.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }
}
