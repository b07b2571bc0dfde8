//! What may be stored: every limit by name, and the checks. Pure.
//!
//! A refusal names the field and the limit, so that the caller can mend the request.

use std::collections::HashSet;

use flame_api::media::{Probe, Rational, SOUNDS_MAX, TRACK_TITLE_MAX_CHARS, Thumbnails, Track};
use flame_api::metadata::{Conditioning, FIGURES_MAX, NewAsset, NewScore, NewVersion, SoundLabel, Source};
use flame_api::quality::jobs::GATES_MAX;
use flame_api::subtitles::{NewSubtitle, SubtitleRole};
use uuid::Uuid;

/// Longest request body: a version of [`TRACKS_MAX`] tracks with every text at its limit stays below.
pub const BODY_MAX_BYTES: usize = 128 * 1024;
/// Longest title, in characters.
pub const TITLE_MAX_CHARS: usize = 500;
/// Longest file name, in bytes: file systems take 255, object stores 1,024.
pub const FILE_NAME_MAX_BYTES: usize = 1024;
/// Longest key of an object, in bytes (S3's own limit).
pub const KEY_MAX_BYTES: usize = 1024;
/// Longest reason of a failure that is kept, in characters; the rest is cut off.
pub const REASON_MAX_CHARS: usize = 4000;
/// Most audio streams of a source that can be labelled.
pub const SOUND_LABELS_MAX: usize = 64;
/// Most parameters, and most encoders, that are noted of how a version was made.
pub const CONDITIONING_ITEMS_MAX: usize = 64;
/// Longest text of each, bytes.
pub const CONDITIONING_TEXT_MAX_BYTES: usize = 1024;
/// Most thumbnails of a version.
pub const THUMBNAILS_MAX: u32 = 10_000;
/// Widest and highest sheet of thumbnails, pixels: what fits in a JPEG.
pub const SHEET_MAX_PIXELS: u32 = 65_535;
/// Longest language tag, bytes; RFC 5646 section 4.4.1 finds that 35 do.
pub const LANGUAGE_MAX_BYTES: usize = 64;
/// Most tracks of a version.
pub const TRACKS_MAX: usize = 64;
/// Most subtitles of an asset.
pub const SUBTITLES_MAX: usize = 64;
/// Longest short text: names of chains, tracks, codecs, containers, languages; in bytes.
pub const WORD_MAX_BYTES: usize = 128;
/// Largest number: SQLite's integers and JavaScript's exact ones (2^53 - 1) both hold it.
pub const NUMBER_MAX: u64 = (1 << 53) - 1;

/// A value that is not stored, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {reason}")]
pub struct Refused {
    /// The field, in JSON's words: `source.sha256`.
    pub field: String,
    /// What it must be.
    pub reason: String,
}

fn refuse(field: impl Into<String>, reason: impl Into<String>) -> Result<(), Refused> {
    Err(Refused { field: field.into(), reason: reason.into() })
}

/// Checks the body of a registration for `tenant`.
pub fn check_asset(tenant: &str, asset: &NewAsset) -> Result<(), Refused> {
    check_title(&asset.title)?;
    check_source(tenant, &asset.source)?;
    if let Some(key) = &asset.poster_key {
        check_key("poster_key", tenant, key)?;
    }
    check_probe(&asset.probe)
}

/// 1 to [`TITLE_MAX_CHARS`] characters, no control characters, not all blank.
pub fn check_title(title: &str) -> Result<(), Refused> {
    let chars = title.chars().count();
    if title.trim().is_empty() || chars > TITLE_MAX_CHARS {
        return refuse("title", format!("must have 1 to {TITLE_MAX_CHARS} characters that are not all blank"));
    }
    if title.chars().any(char::is_control) {
        return refuse("title", "must hold no control characters");
    }
    Ok(())
}

fn check_source(tenant: &str, source: &Source) -> Result<(), Refused> {
    check_key("source.key", tenant, &source.key)?;
    if source.file_name.as_ref().is_some_and(|name| name.len() > FILE_NAME_MAX_BYTES || name.contains('\0')) {
        return refuse("source.file_name", format!("must be at most {FILE_NAME_MAX_BYTES} bytes long, without a NUL"));
    }
    check_digits("source.sha256", &source.sha256, 64)?;
    check_number("source.size_bytes", source.size_bytes)
}

/// An object below `folder`, the tenant's own: otherwise one tenant could have another's bytes conditioned for it.
fn check_key(field: &str, folder: &str, key: &str) -> Result<(), Refused> {
    let own = key.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')).is_some_and(|rest| !rest.is_empty());
    if !own || key.len() > KEY_MAX_BYTES || key.chars().any(char::is_control) {
        return refuse(field, format!("must begin with `{folder}/` and have at most {KEY_MAX_BYTES} bytes"));
    }
    Ok(())
}

fn check_probe(probe: &Probe) -> Result<(), Refused> {
    check_word("probe.container", &probe.container)?;
    check_number("probe.duration_ms", probe.duration_ms)?;
    check_number("probe.bitrate_bps", probe.bitrate_bps)?;
    if let Some(video) = &probe.video {
        check_word("probe.video.codec", &video.codec)?;
        check_word("probe.video.pixel_format", &video.pixel_format)?;
        check_ratio("probe.video.pixel_aspect", Some(video.pixel_aspect))?;
        check_ratio("probe.video.frame_rate", video.frame_rate)?;
        check_number("probe.video.duration_ms", video.duration_ms.unwrap_or(0))?;
    }
    if probe.other_audio.len() >= SOUNDS_MAX {
        return refuse("probe.other_audio", format!("must hold less than {SOUNDS_MAX} streams"));
    }
    for audio in probe.sounds() {
        check_word("probe.audio.codec", &audio.codec)?;
        check_word("probe.audio.language", audio.language.as_deref().unwrap_or("und"))?;
        check_track_title("probe.audio.title", audio.title.as_deref())?;
        check_number("probe.audio.duration_ms", audio.duration_ms.unwrap_or(0))?;
    }
    Ok(())
}

fn check_track_title(field: &str, title: Option<&str>) -> Result<(), Refused> {
    let is_title = |title: &str| {
        !title.trim().is_empty()
            && title.chars().count() <= TRACK_TITLE_MAX_CHARS
            && !title.chars().any(char::is_control)
    };
    if title.is_none_or(is_title) {
        return Ok(());
    }
    refuse(
        field,
        format!("must have 1 to {TRACK_TITLE_MAX_CHARS} characters that are not all blank, no control characters"),
    )
}

/// Checks what is said of the sounds of an asset.
pub fn check_sound_labels(labels: &[SoundLabel]) -> Result<(), Refused> {
    if labels.len() > SOUND_LABELS_MAX {
        return refuse("sound_labels", format!("must hold at most {SOUND_LABELS_MAX} labels"));
    }
    let mut sounds = HashSet::new();
    for (at, label) in labels.iter().enumerate() {
        let field = |name: &str| format!("sound_labels[{at}].{name}");
        if !sounds.insert(label.sound) {
            return refuse(field("sound"), format!("is {}, as another label's is", label.sound));
        }
        if label.language.as_deref().is_some_and(|language| !is_language(language)) {
            return refuse(field("language"), "must be a language tag (BCP 47) such as `en`, `pt-BR`");
        }
        check_track_title(&field("title"), label.title.as_deref())?;
    }
    Ok(())
}

/// The shape of a language tag (RFC 5646 section 2.1): subtags of 1 to 8 letters and digits, the first one of letters.
pub(crate) fn is_language(tag: &str) -> bool {
    let is_subtag =
        |subtag: &str| (1..=8).contains(&subtag.len()) && subtag.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let first = tag.split('-').next().unwrap_or_default();
    tag.len() <= LANGUAGE_MAX_BYTES
        && (2..=8).contains(&first.len())
        && first.bytes().all(|byte| byte.is_ascii_alphabetic())
        && tag.split('-').all(is_subtag)
}

/// Checks the name of a version: 12 lower-case hexadecimal digits, as it stands in URLs.
pub fn check_version_name(name: &str) -> Result<(), Refused> {
    check_digits("version", name, 12)
}

fn check_digits(field: &str, text: &str, count: usize) -> Result<(), Refused> {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != count || !text.bytes().all(hex) {
        return refuse(field, format!("must be {count} lower-case hexadecimal digits"));
    }
    Ok(())
}

/// Checks the listing of subtitles of `tenant`'s asset `id` under `name`.
pub fn check_subtitle(tenant: &str, id: Uuid, name: &str, new: &NewSubtitle) -> Result<(), Refused> {
    check_digits("subtitle", name, 12)?;
    check_word("language", &new.language)?;
    new.title.as_deref().map_or(Ok(()), check_title)?;
    check_key("key", &format!("{tenant}/subtitles/{id}"), &new.key)?;
    check_digits("sha256", &new.sha256, 64)?;
    check_number("size_bytes", new.size_bytes)?;
    check_number("cues", new.cues)?;
    if new.default && new.role == SubtitleRole::Forced {
        return refuse("default", "must be false where `role` is `forced`: players show those by themselves");
    }
    Ok(())
}

/// The asset has as many subtitles as it may have.
#[must_use]
pub fn too_many_subtitles() -> Refused {
    let reason = format!("must be at most {SUBTITLES_MAX} of an asset; take some away first");
    Refused { field: "subtitles".to_owned(), reason }
}

/// The asset has no such revision.
#[must_use]
pub fn no_such_revision(revision: u64) -> Refused {
    let reason = format!("must be one that the asset has had, and is {revision}; GET …/history shows them");
    Refused { field: "revision".to_owned(), reason }
}

/// Checks the body of a publication.
pub fn check_version(version: &NewVersion) -> Result<(), Refused> {
    check_word("chain", &version.chain)?;
    if version.tracks.is_empty() || version.tracks.len() > TRACKS_MAX {
        return refuse("tracks", format!("must hold 1 to {TRACKS_MAX} tracks"));
    }
    let mut names = HashSet::new();
    for (at, track) in version.tracks.iter().enumerate() {
        check_track(at, track)?;
        if !names.insert(track.name.as_str()) {
            return refuse(format!("tracks[{at}].name"), format!("is `{}`, as another track's is", track.name));
        }
    }
    version.conditioning.as_ref().map_or(Ok(()), check_conditioning)?;
    version.thumbnails.as_ref().map_or(Ok(()), check_thumbnails)
}

/// Checks the body of a score.
pub fn check_score(score: &NewScore) -> Result<(), Refused> {
    let NewScore { media, version, track, reference, figures, gates, tools, .. } = score;
    check_text("media", media)?;
    check_text("reference", reference.as_deref().unwrap_or("none"))?;
    check_text("tools", tools)?;
    check_word("track", track.as_deref().unwrap_or("none"))?;
    version.as_deref().map_or(Ok(()), check_version_name)?;
    let is_figure =
        |(name, value): (&String, &f64)| name.len() <= WORD_MAX_BYTES && !name.contains('\0') && value.is_finite();
    if figures.len() > FIGURES_MAX || !figures.iter().all(is_figure) {
        let reason = format!("must be at most {FIGURES_MAX}, with names of at most {WORD_MAX_BYTES} bytes");
        return refuse("figures", reason);
    }
    let texts = gates.iter().flat_map(|gate| std::iter::once(&gate.gate).chain(&gate.why));
    let is_short = |text: &String| text.len() <= CONDITIONING_TEXT_MAX_BYTES && !text.contains('\0');
    if gates.len() > GATES_MAX || !texts.into_iter().all(is_short) {
        return refuse(
            "gates",
            format!("must be at most {GATES_MAX}, of at most {CONDITIONING_TEXT_MAX_BYTES} bytes each"),
        );
    }
    Ok(())
}

fn check_text(field: &str, text: &str) -> Result<(), Refused> {
    if text.is_empty() || text.len() > CONDITIONING_TEXT_MAX_BYTES || text.contains('\0') {
        return refuse(field, format!("must have 1 to {CONDITIONING_TEXT_MAX_BYTES} bytes, and no NUL"));
    }
    Ok(())
}

fn check_conditioning(conditioning: &Conditioning) -> Result<(), Refused> {
    let Conditioning { document_sha256, parameters, encoders, tools } = conditioning;
    if document_sha256.len() != 64 || !document_sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return refuse("conditioning.document_sha256", "must have 64 hexadecimal digits".to_owned());
    }
    let is_short = |text: &String| text.len() <= CONDITIONING_TEXT_MAX_BYTES && !text.contains('\0');
    let texts = parameters.iter().flat_map(|(name, value)| [name, value]).chain(encoders).chain([tools]);
    if parameters.len().max(encoders.len()) > CONDITIONING_ITEMS_MAX || !texts.into_iter().all(is_short) {
        let reason = format!(
            "must have at most {CONDITIONING_ITEMS_MAX} parameters and encoders, of at most {CONDITIONING_TEXT_MAX_BYTES} \
             bytes each, without a NUL"
        );
        return refuse("conditioning", reason);
    }
    Ok(())
}

fn check_thumbnails(thumbnails: &Thumbnails) -> Result<(), Refused> {
    let Thumbnails { interval_ms, columns, rows, tile_width, tile_height, count, .. } = *thumbnails;
    if interval_ms == 0 || !(1..=THUMBNAILS_MAX).contains(&count) {
        return refuse("thumbnails", format!("must be 1 to {THUMBNAILS_MAX} pictures at an interval above 0"));
    }
    let fits = |tiles: u32, px: u32| tiles.checked_mul(px).is_some_and(|px| (1..=SHEET_MAX_PIXELS).contains(&px));
    if !fits(columns, tile_width) || !fits(rows, tile_height) {
        return refuse("thumbnails", format!("must lie on sheets of 1 to {SHEET_MAX_PIXELS} pixels each way"));
    }
    check_number("thumbnails.largest_sheet_bytes", thumbnails.largest_sheet_bytes)?;
    check_number("thumbnails.size_bytes", thumbnails.size_bytes)
}

fn check_track(at: usize, track: &Track) -> Result<(), Refused> {
    let field = |name: &str| format!("tracks[{at}].{name}");
    let safe = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    if track.name.is_empty() || track.name.len() > WORD_MAX_BYTES || !track.name.bytes().all(safe) {
        return refuse(field("name"), "must be of a-z, 0-9, `-` and `_`: it stands in URLs");
    }
    check_word(&field("codec"), &track.codec)?;
    check_word(&field("language"), track.language.as_deref().unwrap_or("und"))?;
    check_track_title(&field("title"), track.title.as_deref())?;
    check_ratio(&field("frame_rate"), track.frame_rate)?;
    let numbers = [
        ("duration_ms", track.duration_ms),
        ("samples", track.samples),
        ("average_bandwidth_bps", track.average_bandwidth_bps),
        ("peak_bandwidth_bps", track.peak_bandwidth_bps),
        ("size_bytes", track.size_bytes),
    ];
    numbers.into_iter().try_for_each(|(name, number)| check_number(&field(name), number))
}

fn check_word(field: &str, word: &str) -> Result<(), Refused> {
    if word.is_empty() || word.len() > WORD_MAX_BYTES || word.chars().any(char::is_control) {
        return refuse(field, format!("must have 1 to {WORD_MAX_BYTES} bytes and no control characters"));
    }
    Ok(())
}

fn check_number(field: &str, number: u64) -> Result<(), Refused> {
    if number > NUMBER_MAX {
        return refuse(field, format!("must be at most {NUMBER_MAX}"));
    }
    Ok(())
}

fn check_ratio(field: &str, ratio: Option<Rational>) -> Result<(), Refused> {
    if ratio.is_some_and(|ratio| ratio.den == 0) {
        return refuse(field, "must have a denominator above 0");
    }
    Ok(())
}

/// The reason of a failure as it is kept: cut to [`REASON_MAX_CHARS`], because a failure whose text is too long must
/// still be noted. A NUL, which PostgreSQL's text cannot hold, becomes U+FFFD.
#[must_use]
pub fn kept_reason(reason: &str) -> String {
    let reason = &reason.replace('\0', "\u{fffd}");
    match reason.char_indices().nth(REASON_MAX_CHARS - 1) {
        Some((cut, last)) if cut + last.len_utf8() < reason.len() => format!("{}…", &reason[..cut]),
        Some(_) | None => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_counted_in_characters() {
        assert_eq!(check_title("é"), Ok(()));
        assert_eq!(check_title(&"é".repeat(TITLE_MAX_CHARS)), Ok(()));
        for wrong in ["", "  ", "a\nb", "\u{7f}", &"é".repeat(TITLE_MAX_CHARS + 1)] {
            assert_eq!(check_title(wrong).unwrap_err().field, "title", "{wrong:?}");
        }
    }

    #[test]
    fn keys_stay_in_their_tenant() {
        assert_eq!(check_key("k", "acme", "acme/sources/1"), Ok(()));
        for wrong in ["", "acme", "acme/", "acme2/sources/1", "other/acme/1", "acme/a\0b"] {
            assert!(check_key("k", "acme", wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn version_names_are_twelve_digits() {
        assert_eq!(check_version_name("0123456789ab"), Ok(()));
        for wrong in ["", "0123456789a", "0123456789AB", "0123456789abc", "../../etc/pa"] {
            assert!(check_version_name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_long_reason_is_cut_and_says_so() {
        assert_eq!(kept_reason("no video"), "no video");
        assert_eq!(kept_reason("no\0video"), "no\u{fffd}video");
        let exact = "ü".repeat(REASON_MAX_CHARS);
        assert_eq!(kept_reason(&exact), exact);
        let cut = kept_reason(&format!("{exact}!"));
        assert_eq!(cut.chars().count(), REASON_MAX_CHARS);
        assert!(cut.ends_with("ü…"));
    }
}
