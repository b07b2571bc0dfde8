//! What a job may look like before it is queued: every limit by name, and the checks. Pure.
//!
//! A refusal names the field and the limit, so that the caller can mend the request.

use flame_api::media::{Probe, SOUNDS_MAX, TRACK_TITLE_MAX_CHARS};
use flame_api::transcode::{Chain, NewJob};

use crate::ladder::{self, PlanError};

/// Longest request body.
pub const BODY_MAX_BYTES: usize = 64 * 1024;
/// Longest key of an object, in bytes (S3's own limit).
pub const KEY_MAX_BYTES: usize = 1024;
/// Longest short text of a probe, in bytes.
pub const WORD_MAX_BYTES: usize = 128;
/// Longest reason of a failure that is kept, in characters; the rest is cut off.
pub const REASON_MAX_CHARS: usize = 2000;
/// Longest promised duration, milliseconds: a year. It keeps sums and deadlines within their types.
pub const DURATION_MAX_MS: u64 = 366 * 24 * 3_600_000;

/// The chain that every source can go through.
pub const LADDER: &str = "ladder";

/// A job that is not queued, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {reason}")]
pub struct Refused {
    /// The field, in JSON's words: `probe.video.codec`.
    pub field: &'static str,
    /// What it must be.
    pub reason: String,
}

/// The chains that this service runs.
#[must_use]
pub fn chains() -> Vec<Chain> {
    let description = "H.264 in up to seven sizes, none above its source, and one AAC track; GOPs of 2 s that begin on \
                       the same frames in all sizes; CMAF segments of 4 s";
    vec![Chain { name: LADDER.to_owned(), description: description.to_owned() }]
}

/// Checks the body of `POST /jobs` by `tenant`.
pub fn check(tenant: &str, job: &NewJob) -> Result<(), Refused> {
    if !chains().iter().any(|chain| chain.name == job.chain) {
        let names: Vec<String> = chains().into_iter().map(|chain| chain.name).collect();
        return refuse("chain", format!("must be one of: {}", names.join(", ")));
    }
    check_key(tenant, &job.source_key)?;
    check_probe(&job.probe)?;
    match ladder::plan(&job.probe, "veryfast") {
        Ok(_) => Ok(()),
        Err(error @ (PlanError::NothingToEncode | PlanError::NoPixels { .. })) => refuse("probe", error.to_string()),
    }
}

/// A source of the tenant's own: otherwise one tenant could have another's bytes conditioned for it.
fn check_key(tenant: &str, key: &str) -> Result<(), Refused> {
    let own = key.strip_prefix(tenant).and_then(|rest| rest.strip_prefix('/')).is_some_and(|rest| !rest.is_empty());
    if !own || key.len() > KEY_MAX_BYTES || key.chars().any(char::is_control) {
        return refuse("source_key", format!("must begin with `{tenant}/` and have at most {KEY_MAX_BYTES} bytes"));
    }
    Ok(())
}

fn check_probe(probe: &Probe) -> Result<(), Refused> {
    check_word("probe.container", &probe.container)?;
    if probe.duration_ms > DURATION_MAX_MS {
        return refuse("probe.duration_ms", format!("must be at most {DURATION_MAX_MS}: a year"));
    }
    if let Some(video) = &probe.video {
        check_word("probe.video.codec", &video.codec)?;
        check_word("probe.video.pixel_format", &video.pixel_format)?;
        if ![0, 90, 180, 270].contains(&video.rotation_deg) {
            return refuse("probe.video.rotation_deg", "must be 0, 90, 180 or 270");
        }
        if video.pixel_aspect.den == 0 {
            return refuse("probe.video.pixel_aspect", "must have a denominator above 0");
        }
        if video.frame_rate.is_some_and(|rate| rate.den == 0) {
            return refuse("probe.video.frame_rate", "must have a denominator above 0");
        }
    }
    if probe.other_audio.len() >= SOUNDS_MAX {
        return refuse("probe.other_audio", format!("must hold less than {SOUNDS_MAX} streams"));
    }
    for audio in probe.sounds() {
        check_word("probe.audio.codec", &audio.codec)?;
        if audio.title.as_ref().is_some_and(|title| title.chars().count() > TRACK_TITLE_MAX_CHARS) {
            return refuse("probe.audio.title", format!("must have at most {TRACK_TITLE_MAX_CHARS} characters"));
        }
        if let Some(language) = &audio.language {
            check_word("probe.audio.language", language)?;
        }
    }
    Ok(())
}

fn check_word(field: &'static str, word: &str) -> Result<(), Refused> {
    if word.is_empty() || word.len() > WORD_MAX_BYTES || word.chars().any(char::is_control) {
        return refuse(field, format!("must have 1 to {WORD_MAX_BYTES} bytes and no control characters"));
    }
    Ok(())
}

fn refuse(field: &'static str, reason: impl Into<String>) -> Result<(), Refused> {
    Err(Refused { field, reason: reason.into() })
}

/// The reason of a failure as it is kept: cut to [`REASON_MAX_CHARS`], because a failure whose text is too long must
/// still be noted.
#[must_use]
pub fn kept_reason(reason: &str) -> String {
    reason.chars().take(REASON_MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use flame_api::media::{AudioStream, Rational, SoundRole, VideoStream};
    use uuid::Uuid;

    use super::*;

    fn job() -> NewJob {
        let video = VideoStream {
            codec: "h264".to_owned(),
            width: 640,
            height: 360,
            display_width: 640,
            display_height: 360,
            rotation_deg: 0,
            pixel_aspect: Rational { num: 1, den: 1 },
            frame_rate: None,
            variable_frame_rate: false,
            timescale: None,
            pixel_format: "yuv420p".to_owned(),
            bit_depth: 8,
            interlaced: false,
            duration_ms: None,
        };
        let audio = AudioStream {
            number: 0,
            role: SoundRole::Main,
            title: None,
            codec: "aac".to_owned(),
            sample_rate_hz: 48_000,
            channels: 2,
            language: None,
            duration_ms: None,
        };
        NewJob {
            id: Uuid::nil(),
            chain: LADDER.to_owned(),
            asset_id: Uuid::nil(),
            source_key: "acme/sources/x".to_owned(),
            probe: Probe {
                container: "matroska,webm".to_owned(),
                duration_ms: 1000,
                bitrate_bps: 0,
                video: Some(video),
                audio: Some(audio),
                other_audio: Vec::new(),
            },
        }
    }

    fn refused(change: impl FnOnce(&mut NewJob)) -> &'static str {
        let mut job = job();
        change(&mut job);
        check("acme", &job).unwrap_err().field
    }

    #[test]
    fn a_job_within_the_limits_is_taken() {
        assert_eq!(check("acme", &job()), Ok(()));
    }

    #[test]
    fn a_refusal_names_the_field() {
        assert_eq!(refused(|job| job.chain = "proxy".to_owned()), "chain");
        for key in ["other/sources/x", "acme", "acme/", "acmex/y", "acme/\n", &format!("acme/{}", "x".repeat(1024))] {
            assert_eq!(refused(|job| job.source_key = key.to_owned()), "source_key", "{key}");
        }
        assert_eq!(refused(|job| job.probe.container.clear()), "probe.container");
        assert_eq!(refused(|job| job.probe.duration_ms = u64::MAX), "probe.duration_ms");
        assert_eq!(refused(|job| (job.probe.video, job.probe.audio) = (None, None)), "probe");
        fn video(job: &mut NewJob) -> &mut VideoStream {
            job.probe.video.as_mut().unwrap()
        }
        assert_eq!(refused(|job| video(job).display_height = 0), "probe");
        assert_eq!(refused(|job| video(job).rotation_deg = 45), "probe.video.rotation_deg");
        assert_eq!(refused(|job| video(job).pixel_aspect.den = 0), "probe.video.pixel_aspect");
        assert_eq!(refused(|job| video(job).codec = "x".repeat(129)), "probe.video.codec");
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(kept_reason(&"ä".repeat(REASON_MAX_CHARS + 1)).chars().count(), REASON_MAX_CHARS);
    }
}
