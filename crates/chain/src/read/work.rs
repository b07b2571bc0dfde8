//! What a stage does, from its settings.

use std::collections::BTreeMap;

use flame_quality::gate::Gate;

use crate::chain::{AudioEncoding, Borders, Cap, Loudness, Rate, Sizes, VideoEncoding, Work};
use crate::document::{DocumentError, Place};
use crate::nearest::hint;
use crate::setting::Setting;
use crate::table::{ENCODERS, StageType};

const SETTINGS_BUG: &str = "the table names every setting";

/// The settings of one stage.
struct Settings<'a>(&'a BTreeMap<&'static str, (Setting, Place)>);

/// What a stage of type `kind` at `place` does.
pub(super) fn of(
    kind: &StageType,
    settings: &BTreeMap<&'static str, (Setting, Place)>,
    place: Place,
) -> Result<Work, DocumentError> {
    let settings = Settings(settings);
    Ok(match kind.word {
        "decode" => Work::Decode,
        "deinterlace" => Work::Deinterlace(match settings.word("when") {
            Some("always") => Some(true),
            Some("never") => Some(false),
            _ => None,
        }),
        "rotate" => Work::Rotate(settings.word("degrees").and_then(|degrees| degrees.parse().ok())),
        "crop" => crop(&settings)?,
        "pad" => Work::Pad(settings.ratio("aspect", place)?),
        "frame-rate" => Work::FrameRate(settings.ratio("fps", place)?),
        "scale" => Work::Scale(match settings.0.get("sizes") {
            Some((Setting::Sizes(sizes), _)) => sizes.clone(),
            _ => Sizes::Classic,
        }),
        "encode-video" => Work::EncodeVideo(video(&settings)?),
        "mix" => Work::Mix(match settings.word("channels") {
            Some("mono") => Some(1),
            Some("stereo") => Some(2),
            _ => None,
        }),
        "loudness" => {
            let level = |word| settings.level(word).ok_or_else(|| place.wrong(format!("`{word}` is a level")));
            Work::Loudness(Loudness { target_lufs: level("target")?, true_peak_max_dbtp: level("true_peak")? })
        }
        "encode-audio" => Work::EncodeAudio(audio(&settings)?),
        "thumbnails" => Work::Thumbnails,
        "package" => package(&settings, place)?,
        other => return Err(place.wrong(format!("stages of type `{other}` cannot be run"))),
    })
}

fn crop(settings: &Settings<'_>) -> Result<Work, DocumentError> {
    let side = |word: &'static str| {
        let pixels = settings.number(word).unwrap_or(0);
        let place = settings.0.get(word).map(|(_, place)| *place);
        match place.filter(|_| !pixels.is_multiple_of(2)) {
            Some(place) => Err(place.wrong(format!("`{word}` is an even number of pixels, not {pixels}"))),
            None => Ok(pixels),
        }
    };
    Ok(Work::Crop(Borders { left: side("left")?, right: side("right")?, top: side("top")?, bottom: side("bottom")? }))
}

fn video(settings: &Settings<'_>) -> Result<VideoEncoding, DocumentError> {
    let cap = match (settings.word("max_bitrate"), settings.number("max_bitrate")) {
        (_, Some(bps)) => Cap::Bps(bps),
        (Some("none"), _) => Cap::Open,
        _ => Cap::Auto,
    };
    let rate = match settings.number("bitrate") {
        Some(bitrate_bps) => {
            if let (Some(_), Some((_, place))) = (settings.number("crf"), settings.0.get("crf")) {
                return Err(
                    place.wrong("`crf` (constant quality) and `bitrate` (a mean) exclude each other: take one away")
                );
            }
            if let (Cap::Bps(most), Some((_, place))) = (cap, settings.0.get("max_bitrate"))
                && most < bitrate_bps
            {
                return Err(place.wrong(format!("`max_bitrate` ({most}) is below `bitrate` ({bitrate_bps})")));
            }
            Rate::Mean { bitrate_bps, cap }
        }
        None => Rate::Quality { crf: settings.number("crf"), cap },
    };
    let (codec, encoder) = encoder(settings)?;
    let preset = settings.word("preset").filter(|preset| *preset != "auto").map(str::to_owned);
    if let (Some(_), Some(encoder), Some((_, place))) = (&preset, &encoder, settings.0.get("preset"))
        && encoder == "openh264"
    {
        return Err(place.wrong("`openh264` has no presets: leave `preset` out"));
    }
    let crf_max = ENCODERS.iter().filter(|known| known.codec == codec).map(|known| known.crf_max).max();
    if let (Some(crf), Some(most), Some((_, place))) = (settings.number("crf"), crf_max, settings.0.get("crf"))
        && crf > most
    {
        return Err(place.wrong(format!("`crf` of {codec} is a whole number from 0 to {most}, or auto; not `{crf}`")));
    }
    let gates = settings.gates();
    check_gates(settings, &gates, true)?;
    Ok(VideoEncoding { codec, encoder, preset, rate, gates })
}

fn audio(settings: &Settings<'_>) -> Result<AudioEncoding, DocumentError> {
    let (codec, encoder) = encoder(settings)?;
    let gates = settings.gates();
    check_gates(settings, &gates, false)?;
    let first_only = settings.word("sounds") == Some("first");
    Ok(AudioEncoding { codec, encoder, bitrate_bps: settings.number("bitrate"), first_only, gates })
}

/// The codec, and the encoder if it is not `auto`.
fn encoder(settings: &Settings<'_>) -> Result<(String, Option<String>), DocumentError> {
    let codec = settings.word("codec").expect(SETTINGS_BUG).to_owned();
    let Some((Setting::Word(word), place)) = settings.0.get("encoder") else { return Ok((codec, None)) };
    if word == "auto" {
        return Ok((codec, None));
    }
    let fitting = || ENCODERS.iter().filter(|encoder| encoder.codec == codec).map(|encoder| encoder.word);
    if !fitting().any(|known| known == word) {
        let hint = hint(word, ["auto"].into_iter().chain(fitting()));
        return Err(place.wrong(format!("no encoder `{word}` makes {codec} in this release: {hint}")));
    }
    Ok((codec, Some(word.clone())))
}

fn package(settings: &Settings<'_>, place: Place) -> Result<Work, DocumentError> {
    let ms = |word| settings.number(word).ok_or_else(|| place.wrong(format!("`{word}` is a time")));
    let (gop_ms, segment_ms) = (ms("gop")?, ms("segment")?);
    if !segment_ms.is_multiple_of(gop_ms) {
        let at = settings.0.get("segment").map_or(place, |(_, place)| *place);
        return Err(at.wrong(format!("a segment ({segment_ms}ms) is a whole number of GOPs ({gop_ms}ms)")));
    }
    Ok(Work::Package { gop_ms, segment_ms })
}

/// Detectors of what is in a track of pictures, and of sound.
const OF_PICTURES: [&str; 9] = ["video", "black", "freeze", "si", "ti", "blur", "blockiness", "gop", "timestamps"];
const OF_SOUND: [&str; 4] = ["audio", "silence", "clipping", "loudness"];

/// What can be measured of a track of this kind.
fn check_gates(settings: &Settings<'_>, gates: &[Gate], is_video: bool) -> Result<(), DocumentError> {
    let place = settings.0.get("gates").map(|(_, place)| *place);
    let detectors = if is_video { OF_PICTURES.as_slice() } else { OF_SOUND.as_slice() };
    let fits = |gate: &Gate| match gate.column().filter(|_| gate.needs_inspection()) {
        Some(detector) => detectors.contains(&detector),
        None => is_video || !gate.needs_pictures(),
    };
    let (Some(wrong), Some(place)) = (gates.iter().find(|gate| !fits(gate)), place) else { return Ok(()) };
    let (other, made) = if is_video { ("sound", "pictures") } else { ("pictures", "sound") };
    let detectors = detectors.join(", ");
    Err(place.wrong(format!(
        "`{wrong}` is about {other}, and this stage makes {made}: gate on `track.…`, or on {detectors}"
    )))
}

// === impl Settings ===

impl Settings<'_> {
    fn word(&self, word: &str) -> Option<&str> {
        self.0.get(word).and_then(|(setting, _)| setting.word())
    }

    fn number(&self, word: &str) -> Option<u32> {
        self.0.get(word).and_then(|(setting, _)| setting.number())
    }

    fn level(&self, word: &str) -> Option<f64> {
        match self.0.get(word) {
            Some((Setting::Level(level), _)) => Some(*level),
            _ => None,
        }
    }

    fn ratio(&self, word: &str, place: Place) -> Result<flame_api::media::Rational, DocumentError> {
        match self.0.get(word) {
            Some((Setting::Ratio(ratio), _)) => Ok(*ratio),
            _ => Err(place.wrong(format!("`{word}` is a ratio"))),
        }
    }

    fn gates(&self) -> Vec<Gate> {
        match self.0.get("gates") {
            Some((Setting::Gates(gates), _)) => gates.clone(),
            _ => Vec::new(),
        }
    }
}
