//! How far each stage of a chain is, for whoever watches the job. It decides nothing.

use std::sync::{Mutex, PoisonError};

use flame_api::transcode::{GateResult, StageProgress, StageState};
use flame_chain::Chain;
use flame_jobs::hold::Cause;
use time::OffsetDateTime;

/// The stages of one attempt.
#[derive(Debug, Default)]
pub(super) struct Board {
    stages: Mutex<Vec<StageProgress>>,
}

// === impl Board ===

impl Board {
    /// All stages of `chain` wait.
    pub(super) fn begin(&self, chain: &Chain) {
        let waiting = chain.stages.iter().map(|stage| StageProgress {
            name: stage.name.clone(),
            kind: stage.word.to_owned(),
            state: StageState::Waiting,
            progress: 0.0,
            started_at: None,
            finished_at: None,
            gates: Vec::new(),
            reused: Vec::new(),
        });
        *self.stages.lock().unwrap_or_else(PoisonError::into_inner) = waiting.collect();
    }

    /// Goes on where an earlier attempt came to: what it did is done, and the rest is under way.
    pub(super) fn go_on(&self, stages: Vec<StageProgress>) {
        *self.stages.lock().unwrap_or_else(PoisonError::into_inner) = stages;
        self.each(|stage| {
            if stage.state != StageState::Done {
                (stage.state, stage.finished_at) = (StageState::Running, None);
            }
        });
    }

    /// The stages of these types begin, if they have not.
    pub(super) fn start(&self, of: impl Fn(&str) -> bool) {
        let now = OffsetDateTime::now_utc();
        self.each(|stage| {
            if of(&stage.kind) && stage.state == StageState::Waiting {
                (stage.state, stage.started_at) = (StageState::Running, Some(now));
            }
        });
    }

    /// Of what the stage `name` makes this was made before, and was taken again; `all` of it, or a part.
    pub(super) fn taken(&self, name: &str, outputs: &[String], all: bool) {
        let now = Some(OffsetDateTime::now_utc());
        self.named(name, |stage| {
            stage.reused = outputs.to_vec();
            if all {
                (stage.state, stage.progress) = (StageState::Done, 1.0);
                (stage.started_at, stage.finished_at) = (stage.started_at.or(now), now);
            }
        });
    }

    /// The stages of these types are so far.
    pub(super) fn advance(&self, of: impl Fn(&str) -> bool, progress: f64) {
        self.each(|stage| {
            if of(&stage.kind) {
                stage.progress = progress.clamp(0.0, 1.0);
            }
        });
    }

    /// The encoders are so far: `fraction` of the pictures went in, and `parts` came out of the stages in `makers`.
    pub(super) fn encoded(&self, makers: &[String], fraction: f64, parts: &[f64]) {
        self.each(|stage| {
            let own = makers.iter().zip(parts).filter(|(maker, _)| **maker == stage.name).map(|(_, part)| *part);
            let progress = own.reduce(f64::min).unwrap_or(fraction);
            if stage.state == StageState::Running {
                stage.progress = progress.clamp(0.0, 1.0);
            }
        });
    }

    /// The stages of these types are done.
    pub(super) fn finish(&self, of: impl Fn(&str) -> bool) {
        let now = OffsetDateTime::now_utc();
        self.each(|stage| {
            if of(&stage.kind) && stage.state.is_under_way() {
                (stage.state, stage.progress, stage.finished_at) = (StageState::Done, 1.0, Some(now));
            }
        });
    }

    /// The output of the stage `name` is measured.
    pub(super) fn checking(&self, name: &str) {
        self.named(name, |stage| (stage.state, stage.finished_at) = (StageState::Checking, None));
    }

    /// Something was measured of the output of the stage `name`.
    pub(super) fn measured(&self, name: &str, result: &GateResult) {
        self.named(name, |stage| stage.gates.push(result.clone()));
    }

    /// The output of the stage `name` has passed, or not.
    pub(super) fn checked(&self, name: &str, passed: bool) {
        let state = if passed { StageState::Done } else { StageState::Failed };
        self.named(name, |stage| (stage.state, stage.finished_at) = (state, Some(OffsetDateTime::now_utc())));
    }

    /// The attempt has ended, by itself or because of `cause`: what was under way is not done. In a cancelled job it stays as it was,
    /// and the job's end says what that means.
    pub(super) fn end(&self, cause: Option<Cause>) {
        let now = OffsetDateTime::now_utc();
        self.each(|stage| {
            if stage.state.is_under_way() {
                match cause {
                    None => (stage.state, stage.finished_at) = (StageState::Failed, Some(now)),
                    Some(Cause::Stopping | Cause::LeaseLost) => {
                        (stage.state, stage.progress, stage.started_at) = (StageState::Waiting, 0.0, None);
                    }
                    Some(Cause::Cancelled) => {}
                }
            }
        });
    }

    /// As they are now.
    pub(super) fn stages(&self) -> Vec<StageProgress> {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn each(&self, change: impl FnMut(&mut StageProgress)) {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner).iter_mut().for_each(change);
    }

    fn named(&self, name: &str, change: impl FnMut(&mut StageProgress)) {
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        stages.iter_mut().filter(|stage| stage.name == name).for_each(change);
    }
}
