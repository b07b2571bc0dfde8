//! Measures whether what an attempt has made passes the gates of its chain, before anything of it is stored.
//!
//! Pictures are compared with the source by a media child, frame by frame once it knows which belong together. All
//! gates of a track are measured before one that fails ends the job, so that its record shows every figure.

use std::path::Path;
use std::time::Duration;

use flame_api::media::Track;
use flame_api::quality::{Comparison, Inspection, Metric};
use flame_api::transcode::GateResult;
use flame_chain::Chain;
use flame_cmaf::index::TrackIndex;
use flame_jobs::attempt::{Unfinished, failed, media_trouble};
use flame_media_child::protocol::{ComparePlan, Fault, InspectPlan, Outcome, Request};
use flame_media_child::{Call, Pool};
use flame_quality::gate::Gate;
use flame_service_host::problem::chain as chained;
use tokio_util::sync::CancellationToken;

use super::board::Board;
use super::tracks::read_index;
use crate::gate::{Measured, refusal};
use crate::plan::Plan;
use crate::version::{Made, media_name};

/// File name of the scores of single frames.
const SCORES: &str = "scores.json";
/// Less certainty that frames belong together makes scores mean nothing.
const CONFIDENCE_MIN: f64 = 0.5;

/// Black, frozen and silent stretches count from this length on, seconds; as `flame quality inspect` has it.
const SHORTEST_S: f64 = 0.5;

/// What is measured, and with what.
pub(super) struct Checking<'a> {
    pub(super) pool: &'a Pool,
    pub(super) source: &'a Path,
    /// Where the tracks are.
    pub(super) folder: &'a Path,
    pub(super) plan: &'a Plan,
    pub(super) board: &'a Board,
    pub(super) cancel: &'a CancellationToken,
    /// For each track.
    pub(super) deadline: Duration,
}

// === impl Checking ===

impl Checking<'_> {
    /// Measures all tracks whose stages have gates.
    pub(super) async fn run(&self, chain: &Chain, made: &Made, progress: impl Fn(f64)) -> Result<(), Unfinished> {
        let first = match self.plan.ladder.video.first() {
            Some(rung) => Some(self.index(&rung.name).await?),
            None => None,
        };
        let gated = made.tracks.iter().zip(&self.plan.stages);
        let gated = gated.filter_map(|(track, name)| Some((track, chain.stage(name)?)));
        let gated: Vec<_> = gated.filter(|(_, stage)| !stage.gates().is_empty()).collect();
        gated.iter().for_each(|(_, stage)| self.board.checking(&stage.name));
        #[allow(clippy::cast_precision_loss, reason = "a version has few tracks")]
        for (n, (track, stage)) in gated.iter().enumerate() {
            progress(n as f64 / gated.len() as f64);
            if let Some(reason) = self.track(track, &stage.name, stage.gates(), first.as_ref()).await? {
                self.board.checked(&stage.name, false);
                return Err(failed(Fault::Input, reason));
            }
            if gated[n + 1..].iter().all(|(_, later)| later.name != stage.name) {
                self.board.checked(&stage.name, true);
            }
        }
        Ok(())
    }

    /// Measures one track; gives why it does not pass.
    async fn track(
        &self,
        track: &Track,
        stage: &str,
        gates: &[Gate],
        first: Option<&TrackIndex>,
    ) -> Result<Option<String>, Unfinished> {
        let index = self.index(&track.name).await?;
        let source_duration_ms = self.plan.ladder.duration_ms;
        let known = Measured { track, index: &index, first, source_duration_ms };
        let comparison = match gates.iter().any(Gate::needs_pictures) {
            true => Some(self.compare(&track.name, gates).await?),
            false => None,
        };
        let inspection = match gates.iter().any(Gate::needs_inspection) {
            true => Some(self.inspect(&track.name).await?),
            false => None,
        };
        let mut refused = None;
        for gate in gates {
            let absent = || format!("`{gate}` is about what the track {} does not have", track.name);
            let verdict = match (gate.track_figure(), &comparison, &inspection) {
                (Some(figure), ..) => known.figure(figure).map(|measured| gate.verdict(measured)).ok_or_else(absent),
                (None, _, Some(inspection)) if gate.needs_inspection() => gate.judge_inspection(inspection),
                (None, Some(comparison), _) => gate.judge(comparison),
                (None, None, _) => Err(absent()),
            };
            let verdict = match verdict {
                Ok(verdict) => verdict,
                Err(why) => {
                    return Ok(Some(format!("stage `{stage}`: the track {} cannot pass `{gate}`: {why}", track.name)));
                }
            };
            let (track, measured) = (track.name.clone(), verdict.measured);
            if !verdict.passes && refused.is_none() {
                refused = Some(refusal(stage, &track, gate, measured, comparison.as_ref()));
            }
            let result = GateResult { track, gate: gate.to_string(), measured, passed: verdict.passes };
            self.board.measured(stage, &result);
        }
        Ok(refused)
    }

    /// Compares the track with the source.
    async fn compare(&self, track: &str, gates: &[Gate]) -> Result<Comparison, Unfinished> {
        let mut metrics: Vec<Metric> = gates.iter().filter_map(Gate::metric).collect();
        if metrics.is_empty() {
            // The alignment alone is asked for: the cheapest brings it along.
            metrics.push(Metric::Psnr);
        }
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let plan = ComparePlan {
            reference: path(self.source),
            distorted: path(&self.folder.join(media_name(track))),
            follow_playlists: false,
            reference_form: None,
            distorted_form: None,
            metrics: flame_quality::columns::ordered(&metrics),
            frames_max: None,
            subsample: 1,
            threads: 1,
            confidence_min: CONFIDENCE_MIN,
        };
        let request = Request::Compare { plan, output: self.folder.join(SCORES) };
        let call = Call { deadline: Some(self.deadline), cancel: self.cancel.clone(), ..Call::default() };
        let outcome = self.pool.run(&request, call).await.map_err(|error| media_trouble(&error))?;
        match outcome {
            Outcome::Compare { comparison } => Ok(*comparison),
            _ => Err(failed(Fault::Environment, "the media process answered another question".to_owned())),
        }
    }

    /// Looks what is in the track.
    async fn inspect(&self, track: &str) -> Result<Inspection, Unfinished> {
        let input = self.folder.join(media_name(track)).to_string_lossy().into_owned();
        let plan = InspectPlan { input, follow_playlists: false, shortest_s: SHORTEST_S };
        let call = Call { deadline: Some(self.deadline), cancel: self.cancel.clone(), ..Call::default() };
        let outcome = self.pool.run(&Request::Inspect { plan }, call).await.map_err(|error| media_trouble(&error))?;
        match outcome {
            Outcome::Inspect { inspection } => Ok(*inspection),
            _ => Err(failed(Fault::Environment, "the media process answered another question".to_owned())),
        }
    }

    async fn index(&self, track: &str) -> Result<TrackIndex, Unfinished> {
        let read = read_index(self.folder, track).await;
        let json =
            read.map_err(|(path, error)| failed(Fault::Environment, format!("read {}: {error}", path.display())))?;
        TrackIndex::from_json(&json).map_err(|error| failed(Fault::Environment, chained(&error)))
    }
}
