//! Baselines: what a suite measured when all was well, and whether it still measures that. Values in, verdicts out.
//!
//! A baseline says with which tools it was made. A figure that has moved while a tool has another version is no verdict on whoever
//! changed something else: it is told apart from a regression, and the baseline is to be looked at and made anew.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::gate::Gate;

/// Longest file of a baseline, bytes.
pub const BASELINE_MAX_BYTES: usize = 4 << 20;
/// Most runs from which a baseline is made.
pub const REPEATS_MAX: u32 = 20;

/// A baseline as it is kept, beside its suite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// The suite that made it.
    pub suite: String,
    /// What it measured, by the name of the case.
    pub cases: BTreeMap<String, Recorded>,
}

/// What a case measured when all was well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// The digest of the clip that it was made of; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_sha256: Option<String>,
    /// The tools that made and measured it, and their versions.
    pub tools: BTreeMap<String, String>,
    /// Threads that it may have used.
    pub threads: u32,
    /// Runs that it is the mean of.
    pub repeats: u32,
    /// The figures.
    pub figures: BTreeMap<String, Level>,
}

/// A figure over several runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// Its mean.
    pub mean: f64,
    /// How far its runs were apart: what moves by no more than this has not moved.
    pub noise: f64,
}

/// What a case measures now.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// As in [`Recorded`].
    pub clip_sha256: Option<String>,
    /// As in [`Recorded`].
    pub tools: BTreeMap<String, String>,
    /// As in [`Recorded`].
    pub threads: u32,
    /// The figures.
    pub figures: BTreeMap<String, f64>,
}

/// A figure that is held against the baseline.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Against {
    /// The figure, as gates call it: `vmaf.p5`.
    pub figure: String,
    /// How far it may be below the baseline, beside the noise; absent: as far as it likes.
    pub may_fall: Option<f64>,
    /// How far it may be above the baseline, beside the noise; absent: as far as it likes.
    pub may_rise: Option<f64>,
    /// Why so much, for people.
    pub because: String,
}

/// What holding a figure against the baseline says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It is where it was.
    Holds(String),
    /// It has moved, and nothing else has.
    Regression(String),
    /// It has moved, and so has what made or measured it: whose doing it is, is not known.
    ToolChanged(String),
    /// There is nothing that it could be held against.
    NotComparable(String),
}

// === impl Baseline ===

impl Baseline {
    /// Reads a baseline.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > BASELINE_MAX_BYTES {
            return Err(format!("a baseline has at most {BASELINE_MAX_BYTES} bytes"));
        }
        let baseline: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let levels = || baseline.cases.values().flat_map(|case| &case.figures);
        match levels().find(|(_, level)| !level.mean.is_finite() || !(0.0..f64::INFINITY).contains(&level.noise)) {
            Some((figure, _)) => Err(format!("`{figure}` has no mean, or a noise below 0")),
            None => Ok(baseline),
        }
    }

    /// As it is kept: a line for each value, in an order that does not change, so that a difference can be read.
    #[must_use]
    pub fn text(&self) -> String {
        serde_json::to_string_pretty(self).map(|text| text + "\n").unwrap_or_default()
    }
}

// === impl Recorded ===

impl Recorded {
    /// The mean of several runs of a case.
    ///
    /// # Errors
    /// There is none, or they are not runs of the same.
    pub fn of(runs: &[Run]) -> Result<Self, String> {
        let [first, ..] = runs else { return Err("nothing was run".to_owned()) };
        let is_same = |run: &Run| {
            (&run.clip_sha256, &run.tools, run.threads) == (&first.clip_sha256, &first.tools, first.threads)
                && run.figures.keys().eq(first.figures.keys())
        };
        if !runs.iter().all(is_same) {
            return Err("the clip, the tools or the figures changed between two runs".to_owned());
        }
        let level = |name: &String| {
            let values = || runs.iter().filter_map(|run| run.figures.get(name).copied());
            #[allow(clippy::cast_precision_loss, reason = "runs are few")]
            let mean = values().sum::<f64>() / runs.len() as f64;
            let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
            (name.clone(), Level { mean: rounded(mean), noise: rounded(most - least) })
        };
        Ok(Self {
            clip_sha256: first.clip_sha256.clone(),
            tools: first.tools.clone(),
            threads: first.threads,
            repeats: u32::try_from(runs.len()).unwrap_or(u32::MAX),
            figures: first.figures.keys().map(level).collect(),
        })
    }

    /// What is different in `new`, a line each; nothing where nothing is.
    #[must_use]
    pub fn difference(old: Option<&Self>, new: &Self) -> Vec<String> {
        let none = Self {
            clip_sha256: None,
            tools: BTreeMap::new(),
            threads: new.threads,
            repeats: new.repeats,
            figures: BTreeMap::new(),
        };
        let old = old.unwrap_or(&none);
        let mut lines = Vec::new();
        if old.clip_sha256 != new.clip_sha256 {
            let word = |digest: &Option<String>| {
                digest.as_ref().map_or("none", |digest| &digest[..digest.len().min(12)]).to_owned()
            };
            lines.push(format!("clip: {} -> {}", word(&old.clip_sha256), word(&new.clip_sha256)));
        }
        lines.extend(old.changed_tools(&new.tools, new.threads));
        for (name, level) in &new.figures {
            match old.figures.get(name) {
                None => lines.push(format!("{name}: none -> {:.4} (noise {:.4})", level.mean, level.noise)),
                Some(before) if before != level => lines.push(format!(
                    "{name}: {:.4} -> {:.4} ({:+.4}; noise {:.4} -> {:.4})",
                    before.mean,
                    level.mean,
                    level.mean - before.mean,
                    before.noise,
                    level.noise
                )),
                Some(_) => {}
            }
        }
        let gone = old.figures.keys().filter(|name| !new.figures.contains_key(*name));
        lines.extend(gone.map(|name| format!("{name}: is no longer held against the baseline")));
        lines
    }

    /// Which tools are others than `tools`.
    fn changed_tools(&self, tools: &BTreeMap<String, String>, threads: u32) -> Vec<String> {
        let names = self.tools.keys().chain(tools.keys().filter(|name| !self.tools.contains_key(*name)));
        let word =
            |of: &BTreeMap<String, String>, name: &String| of.get(name).cloned().unwrap_or_else(|| "none".to_owned());
        let mut changed: Vec<_> = names
            .filter(|name| self.tools.get(*name) != tools.get(*name))
            .map(|name| format!("{name}: {} -> {}", word(&self.tools, name), word(tools, name)))
            .collect();
        if self.threads != threads {
            changed.push(format!("threads: {} -> {threads}", self.threads));
        }
        changed
    }
}

/// To millionths: a file for people, which says the same when it is read again.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

// === impl Against ===

impl Against {
    /// The figure as a gate that says nothing of it.
    ///
    /// # Errors
    /// There is no such figure.
    pub fn gate(&self) -> Result<Gate, String> {
        format!("{} >= 0", self.figure).parse()
    }

    /// What it asks for, told apart from a gate: `vmaf.p5 against the baseline, may fall by 2`.
    #[must_use]
    pub fn name(&self) -> String {
        let allowed = self.allowed();
        format!("{} against the baseline, {}", self.figure, allowed.join(", "))
    }

    /// How far the figure may move: `may fall by 2`.
    fn allowed(&self) -> Vec<String> {
        let allowed = |word: &str, allowed: Option<f64>| allowed.map(|allowed| format!("may {word} by {allowed}"));
        [allowed("fall", self.may_fall), allowed("rise", self.may_rise)].into_iter().flatten().collect()
    }

    /// Holds a run against the baseline.
    #[must_use]
    pub fn judge(&self, recorded: Option<&Recorded>, now: &Run) -> Said {
        let name = &self.figure;
        let update = "make one with --update-baseline, look at it, and keep it beside the suite";
        let Some(recorded) = recorded else {
            return Said::NotComparable(format!("{name}: the baseline does not have this case: {update}"));
        };
        if recorded.clip_sha256 != now.clip_sha256 {
            return Said::NotComparable(format!("{name}: the baseline was made of another clip: {update}"));
        }
        let Some(level) = recorded.figures.get(name) else {
            return Said::NotComparable(format!("{name}: the baseline does not have this figure: {update}"));
        };
        let Some(measured) = now.figures.get(name).copied().filter(|measured| measured.is_finite()) else {
            return Said::NotComparable(format!("{name}: was not measured"));
        };
        let moved = measured - level.mean;
        let within = |allowed: Option<f64>, moved: f64| allowed.is_none_or(|allowed| moved <= allowed + level.noise);
        let said = format!("{name} {measured:.4}, baseline {:.4} ({moved:+.4}, noise {:.4})", level.mean, level.noise);
        if within(self.may_fall, -moved) && within(self.may_rise, moved) {
            return Said::Holds(said);
        }
        let said = format!("{said}; it {} ({})", self.allowed().join(" and "), self.because);
        match recorded.changed_tools(&now.tools, now.threads).as_slice() {
            [] => Said::Regression(said),
            changed => Said::ToolChanged(format!(
                "{said}; not the same tools, so not told to be a regression: {}",
                changed.join(", ")
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(vmaf: f64) -> Run {
        Run {
            clip_sha256: Some("ab".repeat(32)),
            tools: [("x264".to_owned(), "164".to_owned())].into(),
            threads: 2,
            figures: [("vmaf.p5".to_owned(), vmaf)].into(),
        }
    }

    fn against(may_fall: Option<f64>, may_rise: Option<f64>) -> Against {
        Against { figure: "vmaf.p5".to_owned(), may_fall, may_rise, because: "threads".to_owned() }
    }

    #[test]
    fn a_changed_tool_is_told_apart_from_a_regression() {
        let recorded = Recorded::of(&[run(80.0), run(80.5), run(81.0)]).unwrap();
        assert_eq!(recorded.figures["vmaf.p5"], Level { mean: 80.5, noise: 1.0 });
        let judge = |now: &Run| against(Some(2.0), None).judge(Some(&recorded), now);
        assert!(matches!(judge(&run(77.5)), Said::Holds(_)) && matches!(judge(&run(99.0)), Said::Holds(_)));
        let Said::Regression(said) = judge(&run(77.0)) else { panic!("{:?}", judge(&run(77.0))) };
        assert!(said.contains("may fall by 2 (threads)"), "{said}");
        for (now, word) in [
            (Run { tools: [("x264".to_owned(), "165".to_owned())].into(), ..run(77.0) }, "x264: 164 -> 165"),
            (Run { tools: BTreeMap::new(), ..run(77.0) }, "x264: 164 -> none"),
            (Run { threads: 8, ..run(77.0) }, "threads: 2 -> 8"),
        ] {
            let Said::ToolChanged(said) = judge(&now) else { panic!("{:?}", judge(&now)) };
            assert!(said.contains(word), "{said}");
            // What has not moved holds, whoever measured it.
            assert!(matches!(judge(&Run { figures: run(80.0).figures, ..now }), Said::Holds(_)));
        }
        for now in
            [Run { clip_sha256: None, ..run(80.0) }, Run { figures: BTreeMap::new(), ..run(80.0) }, run(f64::NAN)]
        {
            assert!(matches!(judge(&now), Said::NotComparable(_)), "{now:?}");
        }
        assert!(matches!(against(Some(2.0), None).judge(None, &run(80.0)), Said::NotComparable(_)));
    }

    #[test]
    fn a_difference_names_all_that_is_different() {
        let (old, mut new) = (Recorded::of(&[run(80.0)]).unwrap(), Recorded::of(&[run(79.0)]).unwrap());
        assert!(Recorded::difference(Some(&old), &old).is_empty());
        new.tools.insert("libvmaf".to_owned(), "3.0.0".to_owned());
        let lines = Recorded::difference(Some(&old), &new);
        assert_eq!(lines, ["libvmaf: none -> 3.0.0", "vmaf.p5: 80.0000 -> 79.0000 (-1.0000; noise 0.0000 -> 0.0000)"]);
        assert_eq!(Recorded::difference(None, &old).len(), 3);
        assert!(Recorded::of(&[run(1.0), Run { threads: 3, ..run(1.0) }]).is_err() && Recorded::of(&[]).is_err());
    }

    proptest! {
        /// Against a model that knows only the numbers.
        #[test]
        fn within_the_tolerance_and_the_noise_it_holds(
            runs in proptest::collection::vec(0.0_f64..100.0, 1..6),
            now in 0.0_f64..100.0,
            may_fall in proptest::option::of(0.0_f64..30.0),
            may_rise in proptest::option::of(0.0_f64..30.0),
        ) {
            let recorded = Recorded::of(&runs.iter().map(|vmaf| run(*vmaf)).collect::<Vec<_>>()).unwrap();
            let (least, most) = (runs.iter().copied().fold(f64::MAX, f64::min), runs.iter().copied().fold(0.0, f64::max));
            let mean = runs.iter().sum::<f64>() / runs.len() as f64;
            let is_low = may_fall.is_some_and(|fall| now < mean - fall - (most - least));
            let is_high = may_rise.is_some_and(|rise| now > mean + rise + (most - least));
            let edge = [may_fall.map(|fall| mean - fall - (most - least)), may_rise.map(|rise| mean + rise + (most - least))];
            prop_assume!(edge.into_iter().flatten().all(|edge| (edge - now).abs() > 1e-4));
            let said = against(may_fall, may_rise).judge(Some(&recorded), &run(now));
            prop_assert_eq!(matches!(said, Said::Regression(_)), is_low || is_high, "{:?}", said);
            // What was kept and read again says the same.
            let kept = Baseline { suite: "s".to_owned(), cases: [("c".to_owned(), recorded)].into() };
            prop_assert_eq!(Baseline::parse(&kept.text()), Ok(kept));
        }
    }

    #[test]
    fn what_is_no_baseline_is_refused() {
        let good =
            Baseline { suite: "s".to_owned(), cases: [("c".to_owned(), Recorded::of(&[run(80.0)]).unwrap())].into() };
        for (was, becomes) in [("\"noise\": 0.0", "\"noise\": -1.0"), ("threads", "treads"), ("}", "")] {
            assert!(Baseline::parse(&good.text().replacen(was, becomes, 1)).is_err(), "{becomes}");
        }
    }
}
