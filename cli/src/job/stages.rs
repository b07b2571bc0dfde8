//! The stages of a job as they go: a bar for each on a terminal, a line where one changes elsewhere, a table at the end.

use std::io::IsTerminal;

use flame_api::transcode::{Job, StageProgress, StageState};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::exit::Exit;
use crate::output;

/// What is shown while a job is watched.
pub struct Stages {
    /// On a terminal.
    group: Option<MultiProgress>,
    bars: Vec<ProgressBar>,
    /// Elsewhere.
    lines: bool,
    said: Vec<StageState>,
}

// === impl Stages ===

impl Stages {
    /// `quiet` shows nothing.
    pub fn new(quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self {
            group: (terminal && !quiet).then(MultiProgress::new),
            bars: Vec::new(),
            lines: !terminal && !quiet,
            said: Vec::new(),
        }
    }

    /// Shows the stages as they are now.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=1000")]
    pub fn set(&mut self, stages: &[StageProgress]) {
        self.said.resize(stages.len(), StageState::Waiting);
        for (n, stage) in stages.iter().enumerate() {
            let before = std::mem::replace(&mut self.said[n], stage.state);
            if self.lines && before != stage.state {
                eprintln!("  {}: {}", stage.name, words(stage));
            }
            let Some(group) = &self.group else { continue };
            if self.bars.len() == n {
                let bar = group.add(ProgressBar::new(1000));
                let style = ProgressStyle::with_template("  {prefix:<14} {bar:32} {percent:>3} %  {wide_msg}");
                bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
                bar.set_prefix(stage.name.clone());
                self.bars.push(bar);
            }
            self.bars[n].set_position((stage.progress.clamp(0.0, 1.0) * 1000.0) as u64);
            self.bars[n].set_message(words(stage));
        }
    }
}

/// Also who is interrupted leaves no bars behind.
impl Drop for Stages {
    fn drop(&mut self) {
        self.bars.iter().for_each(ProgressBar::finish_and_clear);
    }
}

/// How long each stage took, and what was measured of it.
pub fn print(job: &Job) -> Result<(), Exit> {
    if job.stages.is_empty() {
        return Ok(());
    }
    let mut table = output::table(&["stage", "type", "state", "seconds", "measured"]);
    for stage in &job.stages {
        let took = stage.started_at.zip(stage.finished_at).map(|(from, to)| (to - from).as_seconds_f64());
        let gates = stage.gates.iter().map(|result| {
            let sign = if result.passed { "passes" } else { "fails" };
            format!("{} {sign} {}: {:.3}", result.track, result.gate, result.measured)
        });
        table.add_row([
            stage.name.clone(),
            stage.kind.clone(),
            words(stage),
            took.map(|seconds| format!("{seconds:.1}")).unwrap_or_default(),
            gates.collect::<Vec<_>>().join("; "),
        ]);
    }
    output::wrap_only(&mut table, 4);
    output::print_line(&table.trim_fmt())
}

/// Where a stage stands, and what it did not have to make.
fn words(stage: &StageProgress) -> String {
    let word = word(stage.state);
    if stage.reused.is_empty() { word.to_owned() } else { format!("{word} (reused: {})", stage.reused.join(", ")) }
}

fn word(state: StageState) -> &'static str {
    match state {
        StageState::Waiting => "waiting",
        StageState::Running => "running",
        StageState::Checking => "checking",
        StageState::Done => "done",
        StageState::Failed => "failed",
        StageState::Cancelled => "cancelled",
    }
}
