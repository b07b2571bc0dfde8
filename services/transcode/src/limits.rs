//! What a job may look like before it is queued: every limit by name, and the checks. Pure.
//!
//! A refusal names the field and the limit, so that the caller can mend the request.

use flame_api::media::{Probe, SOUNDS_MAX, TRACK_TITLE_MAX_CHARS};
use flame_api::transcode::NewJob;
use flame_chain::chain::Chain;
use flame_jobs::http::NotQueued;

use crate::chains::{self, ChainError};
use crate::plan::{self, Means, PlanError};

/// Longest request body.
pub const BODY_MAX_BYTES: usize = 64 * 1024;
/// Longest key of an object, in bytes (S3's own limit).
pub const KEY_MAX_BYTES: usize = 1024;
/// Longest short text of a probe, in bytes.
pub const WORD_MAX_BYTES: usize = 128;
/// Longest promised duration, milliseconds: a year. It keeps sums and deadlines within their types.
pub const DURATION_MAX_MS: u64 = 366 * 24 * 3_600_000;

/// Checks the body of `POST /jobs` by `tenant`; gives its chain. `encoders` are those that are installed, if it matters.
pub fn check(tenant: &str, job: &NewJob, encoders: Option<&[String]>) -> Result<Chain, NotQueued> {
    let chain = check_chain(job)?;
    check_key(tenant, &job.source_key)?;
    check_probe(&job.probe)?;
    match plan::of(&chain, &job.probe, Means { preset: "veryfast", encoders }) {
        Ok(_) => Ok(chain),
        Err(error @ (PlanError::NothingToEncode | PlanError::NoPixels { .. })) => refuse("probe", error.to_string()),
        Err(
            error @ (PlanError::NothingOfIt(_)
            | PlanError::CropsAll { .. }
            | PlanError::NotComparable { .. }
            | PlanError::NoEncoder { .. }
            | PlanError::TooSmall { .. }
            | PlanError::TooManyTracks(_)),
        ) => refuse("chain", format!("cannot be run on this source: {error}")),
    }
}

/// Checks what a job says of its chain.
pub fn check_chain(job: &NewJob) -> Result<Chain, NotQueued> {
    chains::resolve_new(&job.chain, job.document.as_deref(), &job.parameters).map_err(|error| {
        let field = match (&error, job.document.is_some()) {
            (ChainError::Unknown { .. } | ChainError::OtherName(_) | ChainError::Taken(_), _) => "chain",
            (ChainError::Document(_), true) => "document",
            // A document that comes with the program is right: what was set is not.
            (ChainError::Document(_), false) => "parameters",
        };
        NotQueued { field, reason: format!("is refused: {error}") }
    })
}

/// A source of the tenant's own: otherwise one tenant could have another's bytes conditioned for it.
fn check_key(tenant: &str, key: &str) -> Result<(), NotQueued> {
    let own = key.strip_prefix(tenant).and_then(|rest| rest.strip_prefix('/')).is_some_and(|rest| !rest.is_empty());
    if !own || key.len() > KEY_MAX_BYTES || key.chars().any(char::is_control) {
        return refuse("source_key", format!("must begin with `{tenant}/` and have at most {KEY_MAX_BYTES} bytes"));
    }
    Ok(())
}

fn check_probe(probe: &Probe) -> Result<(), NotQueued> {
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

fn check_word(field: &'static str, word: &str) -> Result<(), NotQueued> {
    if word.is_empty() || word.len() > WORD_MAX_BYTES || word.chars().any(char::is_control) {
        return refuse(field, format!("must have 1 to {WORD_MAX_BYTES} bytes and no control characters"));
    }
    Ok(())
}

fn refuse<T>(field: &'static str, reason: impl Into<String>) -> Result<T, NotQueued> {
    Err(NotQueued { field, reason: reason.into() })
}

#[cfg(test)]
mod tests {
    use flame_api::media::{AudioStream, Rational, SoundRole, VideoStream};
    use flame_chain::shipped::LADDER;
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
            document: None,
            parameters: Default::default(),
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
        check("acme", &job, None).unwrap_err().field
    }

    #[test]
    fn a_job_within_the_limits_is_taken() {
        assert_eq!(check("acme", &job(), None).unwrap().name, LADDER);
    }

    #[test]
    fn a_refusal_names_the_field() {
        assert_eq!(refused(|job| job.chain = "proxi".to_owned()), "chain");
        assert_eq!(refused(|job| job.parameters = [("crf".to_owned(), "20".to_owned())].into()), "parameters");
        assert_eq!(refused(|job| job.document = Some("chain: [".to_owned())), "document");
        assert_eq!(refused(|job| (job.chain, job.probe.audio) = ("audio-only".to_owned(), None)), "chain");
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
}
