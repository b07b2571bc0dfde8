//! What a job may look like before it is queued: every limit by name, and the checks. Pure.
//!
//! A refusal names the field and the limit, so that the caller can mend the request. A gate on what would not be measured is
//! refused here, and not found out after an hour.

use flame_api::quality::Metric;
use flame_api::quality::inspection::SPANS_MAX;
use flame_api::quality::jobs::{GATE_MAX_BYTES, GATES_MAX, MediaName, NewComparison, NewInspection};
use flame_api::quality::suites::{CASES_MAX, CaseResult, NAME_MAX_CHARS, NewSuiteRun, SAID_MAX_CHARS};
use flame_jobs::http::NotQueued;
use flame_quality::columns;
use flame_quality::gate::Gate;

/// Longest request body.
pub const BODY_MAX_BYTES: usize = 64 * 1024;
/// Most runs of a page.
pub const RUNS_PAGE_MAX: u32 = 50;
/// Longest stretch that may be asked for as the shortest that counts, seconds.
pub const SHORTEST_MAX_S: f64 = 3600.0;
/// Most pairs between two that are scored.
pub const SUBSAMPLE_MAX: u32 = 10_000;

// A finding is a record, not a file: what is listed of it is bounded.
const _: () = assert!(SPANS_MAX <= 1000);

/// What the service is configured to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Pairs of frames that are scored at most.
    pub frames_max: u64,
    /// Names whose paths may be opened.
    pub names: Vec<String>,
}

/// Checks the body of `POST /comparisons`.
///
/// # Errors
/// The first field that is not as it must be.
pub fn check_comparison(new: &NewComparison, bounds: &Bounds) -> Result<(), NotQueued> {
    check_media("reference", &new.reference, bounds)?;
    check_media("distorted", &new.distorted, bounds)?;
    if new.metrics.is_empty() {
        let names: Vec<_> = Metric::ALL.iter().map(|metric| metric.name()).collect();
        return refuse("metrics", format!("must name at least one of {}", names.join(", ")));
    }
    if !(1..=SUBSAMPLE_MAX).contains(&new.subsample) {
        return refuse("subsample", format!("must be 1 to {SUBSAMPLE_MAX}"));
    }
    if new.frames_max.is_some_and(|frames| !(1..=bounds.frames_max).contains(&frames)) {
        return refuse("frames_max", format!("must be 1 to {} (`jobs.frames_max` of the service)", bounds.frames_max));
    }
    if !(0.0..=1.0).contains(&new.confidence_min) {
        return refuse("confidence_min", "must be 0 to 1".to_owned());
    }
    let measured: Vec<_> = new.metrics.iter().flat_map(|metric| columns::of(*metric)).copied().collect();
    for gate in gates(&new.gates)? {
        if gate.needs_inspection() {
            return refuse("gates", format!("hold `{gate}`, which needs no reference: ask for an inspection"));
        }
        if let Some(column) = gate.column()
            && !measured.contains(&column)
        {
            let measured = measured.join(", ");
            return refuse(
                "gates",
                format!("hold `{gate}`, which is not among what is measured: alignment, {measured}"),
            );
        }
    }
    Ok(())
}

/// Checks the body of `POST /inspections`.
///
/// # Errors
/// The first field that is not as it must be.
pub fn check_inspection(new: &NewInspection, bounds: &Bounds) -> Result<(), NotQueued> {
    check_media("media", &new.media, bounds)?;
    if !(0.0..=SHORTEST_MAX_S).contains(&new.shortest_s) {
        return refuse("shortest_s", format!("must be 0 to {SHORTEST_MAX_S}"));
    }
    match gates(&new.gates)?.iter().find(|gate| !gate.needs_inspection()) {
        Some(gate) => refuse("gates", format!("hold `{gate}`, which needs a reference: ask for a comparison")),
        None => Ok(()),
    }
}

/// Checks the body of `POST /suite-runs`.
///
/// # Errors
/// The first field that is not as it must be.
pub fn check_run(new: &NewSuiteRun) -> Result<(), NotQueued> {
    let is_name = |text: &str| !text.trim().is_empty() && text.chars().count() <= NAME_MAX_CHARS;
    let is_time = |time_s: f64| time_s.is_finite() && time_s >= 0.0;
    if !is_name(&new.suite) {
        return refuse("suite", format!("must be 1 to {NAME_MAX_CHARS} characters"));
    }
    if !is_name(&new.tool) {
        return refuse("tool", format!("must be 1 to {NAME_MAX_CHARS} characters"));
    }
    if new.cases.is_empty() || new.cases.len() > CASES_MAX {
        return refuse("cases", format!("must be 1 to {CASES_MAX}"));
    }
    if !is_time(new.time_s) || !new.cases.iter().all(|case| is_time(case.time_s)) {
        return refuse("time_s", "must be 0 or more".to_owned());
    }
    let is_short = |case: &CaseResult| {
        // The name of a case, and of one pair of files of it.
        let named = !case.case.trim().is_empty() && case.case.chars().count() <= 4 * NAME_MAX_CHARS;
        let gates = case.gates.len() <= GATES_MAX && case.gates.iter().all(|gate| gate.gate.len() <= GATE_MAX_BYTES);
        let whys = case.gates.iter().flat_map(|gate| &gate.why).chain([&case.said]);
        named && gates && whys.into_iter().all(|text| text.chars().count() <= SAID_MAX_CHARS)
    };
    match new.cases.iter().find(|case| !is_short(case)) {
        None => Ok(()),
        Some(case) => {
            let name: String = case.case.chars().take(NAME_MAX_CHARS).collect();
            refuse(
                "cases",
                format!(
                    "hold `{name}`, which is too long: names have at most {} characters, sentences {SAID_MAX_CHARS}, and there are at most \
                     {GATES_MAX} gates of {GATE_MAX_BYTES} bytes",
                    4 * NAME_MAX_CHARS
                ),
            )
        }
    }
}

/// Gates, read.
///
/// # Errors
/// One of them is none, or there are too many.
pub fn gates(texts: &[String]) -> Result<Vec<Gate>, NotQueued> {
    if texts.len() > GATES_MAX || texts.iter().any(|text| text.len() > GATE_MAX_BYTES) {
        return refuse("gates", format!("must be at most {GATES_MAX}, of at most {GATE_MAX_BYTES} bytes each"));
    }
    let read = texts.iter().map(|text| text.parse());
    read.collect::<Result<_, String>>().or_else(|why| refuse("gates", format!("cannot be read: {why}")))
}

fn check_media(field: &'static str, media: &MediaName, bounds: &Bounds) -> Result<(), NotQueued> {
    match media.function() {
        Some(function) if !bounds.names.iter().any(|name| name == function) => {
            let names = bounds.names.join(", ");
            refuse(
                field,
                format!("goes to `{function}`; only paths of {names} are opened (`media.names` of the service)"),
            )
        }
        Some(_) | None => Ok(()),
    }
}

fn refuse<T>(field: &'static str, reason: String) -> Result<T, NotQueued> {
    Err(NotQueued { field, reason })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn bounds() -> Bounds {
        Bounds { frames_max: 1000, names: vec!["streaming".to_owned()] }
    }

    fn comparison() -> NewComparison {
        NewComparison {
            id: Uuid::nil(),
            reference: MediaName::Source(Uuid::nil()),
            distorted: MediaName::Path("/~streaming/x/index.m3u8".to_owned()),
            metrics: vec![Metric::Psnr],
            gates: vec!["psnr_y.p5 >= 30".to_owned(), "alignment.dropped_frames <= 0".to_owned()],
            subsample: 1,
            frames_max: None,
            confidence_min: 0.5,
        }
    }

    fn refused(change: impl FnOnce(&mut NewComparison)) -> &'static str {
        let mut new = comparison();
        change(&mut new);
        check_comparison(&new, &bounds()).expect_err("it is refused").field
    }

    #[test]
    fn a_refusal_names_the_field() {
        assert_eq!(check_comparison(&comparison(), &bounds()), Ok(()));
        assert_eq!(refused(|new| new.distorted = MediaName::Path("/~orchestrator/x".to_owned())), "distorted");
        assert_eq!(refused(|new| new.metrics.clear()), "metrics");
        assert_eq!(refused(|new| new.subsample = 0), "subsample");
        assert_eq!(refused(|new| new.frames_max = Some(1001)), "frames_max");
        assert_eq!(refused(|new| new.confidence_min = f64::NAN), "confidence_min");
        for gate in ["vmaf.p5 >= 3", "psnr", "black.count <= 0", "track.peak_bps <= 4"] {
            assert_eq!(refused(|new| new.gates = vec![gate.to_owned()]), "gates", "{gate}");
        }
        assert_eq!(refused(|new| new.gates = vec!["psnr.min > 1".to_owned(); GATES_MAX + 1]), "gates");
    }

    #[test]
    fn an_inspection_takes_gates_of_its_own_kind() {
        let media = MediaName::Asset(Uuid::nil());
        let new = |gate: &str, shortest_s| NewInspection {
            id: Uuid::nil(),
            media: media.clone(),
            shortest_s,
            gates: vec![gate.to_owned()],
        };
        assert_eq!(check_inspection(&new("loudness.integrated >= -24", 2.0), &bounds()), Ok(()));
        assert!(check_inspection(&new("psnr.min > 3", 2.0), &bounds()).is_err_and(|refused| refused.field == "gates"));
        let refused = check_inspection(&new("black.count <= 0", f64::INFINITY), &bounds());
        assert!(refused.is_err_and(|refused| refused.field == "shortest_s"));
    }
}
