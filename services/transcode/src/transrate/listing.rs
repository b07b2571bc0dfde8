//! Which renditions can be made of those that a multivariant playlist names, and the playlist that names them too. Pure.
//!
//! Only what is stored whole, in the clear and in SDR is a source. A size that is there already, within a tenth, is not made. Of
//! steered playlists nothing is made: what is derived here never leaves this site, and another site would be asked for it.

use std::fmt::Write;

use flame_media_child::protocol::TransratePlan;

/// How a line of a variant begins (RFC 8216bis section 4.4.6.2).
const VARIANT: &str = "#EXT-X-STREAM-INF:";
/// What says that nothing can be derived: another site may be asked for it, or it is encrypted.
const HINDRANCES: [&str; 2] = ["#EXT-X-CONTENT-STEERING:", "#EXT-X-SESSION-KEY:"];
/// Video codecs that the media child decodes.
const DECODED: [&str; 6] = ["avc1.", "avc3.", "hvc1.", "hev1.", "av01.", "vp09."];
/// Hex digits of a version.
const VERSION_DIGITS: usize = 12;
/// Sizes this near are one.
const SAME_PERCENT: u32 = 10;
/// Bits per second that sound beside the pictures takes at most: five channels, without loss of anything one hears.
const SOUND_BPS: u64 = 384_000;
/// Frames per second where nobody says.
const RATE: f64 = 60.0;
/// Levels of H.264 (ITU-T H.264 table A-1): name, `level_idc`, macroblocks a second, and of a picture, at most.
const LEVELS: [(&str, u8, f64, u32); 6] = [
    ("3", 30, 40_500.0, 1620),
    ("3.1", 31, 108_000.0, 3600),
    ("3.2", 32, 216_000.0, 5120),
    ("4", 40, 245_760.0, 8192),
    ("4.2", 42, 522_240.0, 8704),
    ("5.1", 51, 983_040.0, 36_864),
];

/// What is made, where it can be.
#[derive(Debug, Clone, Copy)]
pub struct Taste<'a> {
    /// Shorter sides in pixels.
    pub rungs: &'a [u32],
    /// x264's constant rate factor.
    pub crf: u32,
    /// x264's preset.
    pub preset: &'a str,
}

/// A rendition that can be made.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// The version of its source.
    pub version: String,
    /// The track of its source.
    pub source: String,
    /// Its shorter side, pixels.
    pub side: u32,
    /// How it is made.
    pub plan: TransratePlan,
    /// Its line in the playlist.
    line: String,
}

/// A variant, as listed.
#[derive(Debug, Clone)]
struct Variant<'a> {
    attributes: Vec<(&'a str, &'a str)>,
    uri: &'a str,
}

/// A variant that others can be made of.
#[derive(Debug, Clone)]
struct Source<'a> {
    variant: Variant<'a>,
    version: &'a str,
    track: &'a str,
    size: (u32, u32),
}

/// What can be made of the variants of `playlist`, largest first.
#[must_use]
pub fn offers(playlist: &str, taste: Taste<'_>) -> Vec<Offer> {
    if playlist.lines().any(|line| HINDRANCES.iter().any(|hindrance| line.starts_with(hindrance))) {
        return Vec::new();
    }
    let variants: Vec<_> = variants(playlist).collect();
    let sides: Vec<u32> = variants.iter().filter_map(|variant| variant.size()).map(shorter).collect();
    let sources: Vec<_> = variants.iter().filter_map(Source::of).collect();
    let mut rungs = taste.rungs.to_vec();
    rungs.sort_unstable_by(|one, other| other.cmp(one));
    rungs.dedup();
    let is_new = |side: &u32| !sides.iter().any(|there| there.abs_diff(*side) * 100 <= side * SAME_PERCENT);
    // The smallest that is larger costs least to decode.
    let offer = |side: u32| {
        let larger = sources.iter().filter(|source| shorter(source.size) > side);
        larger.min_by_key(|source| source.size.0 * source.size.1).and_then(|source| source.offer(side, taste))
    };
    rungs.into_iter().filter(is_new).filter_map(offer).collect()
}

/// The playlist with what is offered behind its own variants; URIs stay relative to it.
#[must_use]
pub fn with(playlist: &str, offers: &[Offer]) -> String {
    let mut text = playlist.trim_end().to_owned();
    for offer in offers {
        let _ = write!(text, "\n{}\n{}/{}/index.m3u8", offer.line, offer.version, offer.track());
    }
    text.push('\n');
    text
}

/// `v720.360`: the track that another one is made of, and the shorter side.
#[must_use]
pub fn parse_track(track: &str) -> Option<(&str, u32)> {
    let (source, side) = track.rsplit_once('.')?;
    let is_side = !side.is_empty() && side.len() <= 4 && side.bytes().all(|digit| digit.is_ascii_digit());
    (is_side && is_track(source)).then(|| Some((source, side.parse().ok()?))).flatten()
}

fn variants(playlist: &str) -> impl Iterator<Item = Variant<'_>> {
    let mut lines = playlist.lines().map(str::trim);
    std::iter::from_fn(move || {
        loop {
            let Some(list) = lines.next()?.strip_prefix(VARIANT) else { continue };
            let uri = lines.by_ref().find(|line| !line.is_empty() && !line.starts_with('#'))?;
            return Some(Variant { attributes: attributes(list).collect(), uri });
        }
    })
}

/// Names and values as they are written; a comma within quotes belongs to its value.
fn attributes(list: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let mut quoted = false;
        let ends = |letter: char| {
            quoted ^= letter == '"';
            letter == ',' && !quoted
        };
        let (one, more) = rest.split_once(ends).unwrap_or((rest, ""));
        rest = more;
        let (name, value) = one.split_once('=')?;
        Some((name.trim(), value.trim()))
    })
}

fn shorter((width, height): (u32, u32)) -> u32 {
    width.min(height)
}

fn is_track(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-' || it == b'_')
}

/// The least level that such pictures fit.
fn level((width, height): (u32, u32), rate: f64) -> (&'static str, u8) {
    let blocks = width.div_ceil(16) * height.div_ceil(16);
    let fits = |(_, _, a_second, a_picture): &&(&str, u8, f64, u32)| {
        f64::from(blocks) * rate <= *a_second && blocks <= *a_picture
    };
    LEVELS.iter().find(fits).map_or(("5.1", 51), |(name, number, ..)| (*name, *number))
}

// === impl Offer ===

impl Offer {
    /// Its own track: `v720.360`.
    #[must_use]
    pub fn track(&self) -> String {
        format!("{}.{}", self.source, self.side)
    }
}

// === impl Variant ===

impl<'a> Variant<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.attributes.iter().find(|(other, _)| *other == name).map(|(_, value)| value.trim_matches('"'))
    }

    fn size(&self) -> Option<(u32, u32)> {
        let (width, height) = self.get("RESOLUTION")?.split_once('x')?;
        let pixels = |text: &str| text.parse::<u32>().ok().filter(|pixels| (2..=8192).contains(pixels));
        Some((pixels(width)?, pixels(height)?))
    }
}

// === impl Source ===

impl<'a> Source<'a> {
    fn of(variant: &Variant<'a>) -> Option<Self> {
        let mut parts = variant.uri.split('/');
        let (version, track) = (parts.next()?, parts.next()?);
        let is_version = version.len() == VERSION_DIGITS && version.bytes().all(|digit| digit.is_ascii_hexdigit());
        let is_plain = is_version && is_track(track) && parts.eq(["index.m3u8"]);
        let codecs = variant.get("CODECS")?;
        let is_decoded = codecs.split(',').any(|codec| DECODED.iter().any(|known| codec.trim().starts_with(known)));
        let is_sdr = variant.get("VIDEO-RANGE").is_none_or(|range| range == "SDR");
        let size = variant.size()?;
        (is_plain && is_decoded && is_sdr).then(|| Self { variant: variant.clone(), version, track, size })
    }

    fn offer(&self, side: u32, taste: Taste<'_>) -> Option<Offer> {
        let from = shorter(self.size);
        let scaled = |length: u32| {
            let (num, den) = (u64::from(length) * u64::from(side), u64::from(from));
            u32::try_from((num + den) / (2 * den) * 2).ok().map(|length| length.max(2))
        };
        let (width, height) = (scaled(self.size.0)?, scaled(self.size.1)?);
        let rate = self.variant.get("FRAME-RATE").and_then(|rate| rate.parse().ok()).unwrap_or(RATE);
        let (level, number) = level((width, height), rate);
        let max_bitrate_bps = crate::plan::cap_bps(u64::from(width) * u64::from(height), rate);
        let plan = TransratePlan {
            width,
            height,
            crf: taste.crf,
            max_bitrate_bps,
            preset: taste.preset.to_owned(),
            level: level.to_owned(),
        };
        let line = self.line(&plan, number, side);
        Some(Offer { version: self.version.to_owned(), source: self.track.to_owned(), side, plan, line })
    }

    /// The line of the source, with what differs.
    fn line(&self, plan: &TransratePlan, level: u8, side: u32) -> String {
        let sound_bps = if self.variant.get("AUDIO").is_some() { SOUND_BPS } else { 0 };
        // A segment of two seconds and more starts with a full buffer of one; boxes take the rest.
        let bandwidth_bps = u64::from(plan.max_bitrate_bps) * 8 / 5 + sound_bps;
        let codecs = self.variant.get("CODECS").unwrap_or_default();
        let codecs = codecs.split(',').map(str::trim).map(|codec| {
            let is_video = DECODED.iter().any(|known| codec.starts_with(known));
            if is_video { format!("avc1.6400{level:02x}") } else { codec.to_owned() }
        });
        let codecs = codecs.collect::<Vec<_>>().join(",");
        let mut line = VARIANT.to_owned();
        for (name, value) in &self.variant.attributes {
            let value = match *name {
                "BANDWIDTH" => bandwidth_bps.to_string(),
                "RESOLUTION" => format!("{}x{}", plan.width, plan.height),
                "CODECS" => format!("\"{codecs}\""),
                "STABLE-VARIANT-ID" => format!("\"{}.{side}\"", value.trim_matches('"')),
                // Measured of the source, or about it alone.
                "AVERAGE-BANDWIDTH" | "SUPPLEMENTAL-CODECS" | "SCORE" => continue,
                _ => (*value).to_owned(),
            };
            let comma = if line.ends_with(':') { "" } else { "," };
            let _ = write!(line, "{comma}{name}={value}");
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAYLIST: &str = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n\
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"sound\",NAME=\"Sound\",URI=\"0123456789ab/a128/index.m3u8\"\n\
        #EXT-X-STREAM-INF:BANDWIDTH=3000000,AVERAGE-BANDWIDTH=2000000,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,\
        FRAME-RATE=25.000,AUDIO=\"sound\"\n0123456789ab/v720/index.m3u8\n";
    const TASTE: Taste<'_> = Taste { rungs: &[240, 360, 480], crf: 24, preset: "veryfast" };

    fn tracks(playlist: &str) -> Vec<String> {
        offers(playlist, TASTE).iter().map(Offer::track).collect()
    }

    #[test]
    fn what_is_missing_is_made_of_what_is_there() {
        let found = offers(PLAYLIST, TASTE);
        assert_eq!(tracks(PLAYLIST), ["v720.480", "v720.360", "v720.240"]);
        assert_eq!((found[1].plan.width, found[1].plan.height, found[1].plan.level.as_str()), (640, 360, "3"));
        let text = with(PLAYLIST, &found);
        assert!(text.starts_with(PLAYLIST.trim_end()));
        let line = "RESOLUTION=640x360,FRAME-RATE=25.000,AUDIO=\"sound\"\n0123456789ab/v720.360/index.m3u8\n";
        assert!(text.contains(line) && text.contains("CODECS=\"avc1.64001e,mp4a.40.2\""), "{text}");
        assert_eq!(text.matches("AVERAGE-BANDWIDTH").count(), 1);
        // Of what names them nothing more is made.
        assert!(offers(&text, TASTE).is_empty());
    }

    #[test]
    fn nothing_is_made_where_it_would_be_wrong() {
        for (was, becomes) in [
            ("#EXT-X-INDEPENDENT-SEGMENTS", "#EXT-X-CONTENT-STEERING:SERVER-URI=\"steering\""),
            ("#EXT-X-INDEPENDENT-SEGMENTS", "#EXT-X-SESSION-KEY:METHOD=AES-128,URI=\"k\""),
            ("RESOLUTION=1280x720,", ""),
            ("RESOLUTION=1280x720,", "RESOLUTION=320x180,"),
            ("avc1.64001f", "dvh1.05.01"),
            ("FRAME-RATE=25.000", "VIDEO-RANGE=PQ"),
            ("0123456789ab/v720", "0123456789ab-00ff/v720"),
            ("0123456789ab/v720", "../v720"),
            ("v720/index.m3u8", "v720/live.m3u8"),
        ] {
            assert!(PLAYLIST.contains(was), "{was}");
            assert!(tracks(&PLAYLIST.replacen(was, becomes, 1)).is_empty(), "{becomes}");
        }
        // A size that is there.
        let two = with(PLAYLIST, &offers(PLAYLIST, Taste { rungs: &[352], ..TASTE }));
        assert_eq!(tracks(&two), ["v720.480", "v720.240"]);
    }

    #[test]
    fn names_of_tracks_say_what_they_are_made_of() {
        assert_eq!(parse_track("v720.360"), Some(("v720", 360)));
        for none in ["v720", "v720.", ".360", "v720.36x", "v/720.360", "v720.12345"] {
            assert_eq!(parse_track(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_playlist_what_is_offered_is_smaller_and_even(
            width in 2_u32..5000, height in 2_u32..5000, rate in 1.0..240.0_f64, rungs in prop::collection::vec(2_u32..3000, 0..6),
        ) {
            let text = PLAYLIST.replace("1280x720", &format!("{width}x{height}")).replace("25.000", &format!("{rate:.3}"));
            for offer in offers(&text, Taste { rungs: &rungs, ..TASTE }) {
                let plan = &offer.plan;
                prop_assert!(plan.width % 2 == 0 && plan.height % 2 == 0 && plan.width > 0 && plan.height > 0);
                prop_assert!(plan.width <= width + 1 && plan.height <= height + 1);
                let track = offer.track();
                prop_assert_eq!(parse_track(&track), Some(("v720", offer.side)));
            }
        }

        #[test]
        fn no_text_is_too_strange(text in "(#EXT-X-STREAM-INF:[A-Z=\",x0-9-]{0,40}\n|[a-z0-9/.]{0,30}\n){0,8}") {
            let found = offers(&text, TASTE);
            let _ = with(&text, &found);
        }
    }
}
