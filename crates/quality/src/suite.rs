//! A suite: what is measured of which clips, and the bounds that must hold. YAML in, values out; nothing is run here.
//!
//! Words that are not known are refused, and so is a gate on something that is not measured: a suite that checks less
//! than its author thinks would pass for the wrong reason.

use std::collections::BTreeMap;

use flame_api::quality::{Metric, Raw};
use serde::Deserialize;

use crate::{baseline::Against, columns, gate::Gate};

/// Most cases of a suite.
pub const CASES_MAX: usize = 500;
/// Longest document, bytes.
pub const SUITE_MAX_BYTES: usize = 1 << 20;

/// A suite as it is written.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// Its name.
    pub suite: String,
    /// What it proves, for people.
    pub about: String,
    /// The clips, by name.
    #[serde(default)]
    pub clips: BTreeMap<String, Clip>,
    /// The file of its baseline, seen from the suite's folder.
    pub baseline: Option<String>,
    /// What is checked.
    pub cases: Vec<Case>,
}

/// Where a clip comes from.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clip {
    /// Real footage of the catalogue, whose digest is pinned there.
    pub real: Option<String>,
    /// A synthetic clip of the catalogue.
    pub recipe: Option<String>,
    /// Length of a synthetic clip, seconds.
    pub seconds: Option<f64>,
    /// Size of a synthetic clip: `640x360`.
    pub size: Option<String>,
    /// Frame rate of a synthetic clip: `25`, `30000/1001`.
    pub rate: Option<String>,
    /// A file, seen from the suite's folder.
    pub file: Option<String>,
    /// The file's digest, hexadecimal.
    pub sha256: Option<String>,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// The clip that is the reference, or of which something is made; not for `files`.
    pub clip: Option<String>,
    /// What is scored against it, or inspected.
    pub subject: Subject,
    /// What to compute against the reference; nothing, where all gates are about what is found without one.
    #[serde(default)]
    pub metrics: Vec<Metric>,
    /// What raw samples are, of files called `.yuv` or `.raw`: `1280x720@25:yuv420p`.
    pub raw: Option<String>,
    /// The curve that it is a point of (`flame quality curve`).
    pub curve: Option<String>,
    /// Bounds to keep.
    #[serde(default)]
    pub gates: Vec<String>,
    /// Figures that must be where the suite's baseline has them.
    #[serde(default)]
    pub against: Vec<Against>,
    /// Every n-th pair of frames is scored.
    #[serde(default = "one")]
    pub subsample: u32,
    /// Black, frozen and silent stretches count from this length on, seconds.
    #[serde(default = "two")]
    pub shortest_s: f64,
    /// How long what is live is followed for `conformance`, seconds.
    #[serde(default = "ten")]
    pub live_s: f64,
    /// Whether a gate must fail: a control that shows that the suite can fail.
    #[serde(default)]
    pub must_fail: bool,
}

/// What is scored.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// What a command makes of the clip: `{in}` and `{out}` stand for paths.
    Command(Command),
    /// What a URL plays.
    Url(String),
    /// Pairs of files that are there.
    Files(Files),
    /// What a chain of the running services makes of the clip, played from there.
    Chain(String),
}

/// A command that encodes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// A line for the shell.
    pub run: String,
    /// Extension of what it makes: `mp4`.
    pub makes: String,
    /// A line for the shell whose first line of output says which version the encoder has; where there is a baseline.
    pub version: Option<String>,
}

/// Files that belong together by their order.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// A path with `*` in its last part, seen from the suite's folder; not where nothing is compared.
    pub reference: Option<String>,
    /// The same for what is scored; as many files as the reference has, or the reference is one.
    pub distorted: String,
}

/// Longest time that something live may be followed.
const LIVE_MAX_S: f64 = 3600.0;
/// Longest stretch that may be asked for as the shortest that counts.
const SHORTEST_MAX_S: f64 = 3600.0;

fn one() -> u32 {
    1
}

fn two() -> f64 {
    2.0
}

fn ten() -> f64 {
    10.0
}

// === impl Suite ===

impl Suite {
    /// Reads a suite.
    ///
    /// # Errors
    /// Where it is wrong, and why.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > SUITE_MAX_BYTES {
            return Err(format!("a suite has at most {SUITE_MAX_BYTES} bytes"));
        }
        let suite: Self = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        suite.check()?;
        Ok(suite)
    }

    fn check(&self) -> Result<(), String> {
        if self.cases.is_empty() || self.cases.len() > CASES_MAX {
            return Err(format!("a suite has 1 to {CASES_MAX} cases, this one has {}", self.cases.len()));
        }
        for (name, clip) in &self.clips {
            clip.check().map_err(|why| format!("clip {name}: {why}"))?;
        }
        for (at, case) in self.cases.iter().enumerate() {
            case.check(self).map_err(|why| format!("case `{}`: {why}", case.name))?;
            if self.cases[..at].iter().any(|other| other.name == case.name) {
                return Err(format!("two cases are called `{}`", case.name));
            }
        }
        Ok(())
    }
}

// === impl Clip ===

impl Clip {
    fn check(&self) -> Result<(), String> {
        let origins = [&self.real, &self.recipe, &self.file];
        if origins.iter().filter(|origin| origin.is_some()).count() != 1 {
            return Err("it is either `real`, a `recipe` or a `file`".to_owned());
        }
        let is_shaped = self.seconds.is_some() || self.size.is_some() || self.rate.is_some();
        if is_shaped && self.recipe.is_none() {
            return Err("only a `recipe` has `seconds`, `size` and `rate`".to_owned());
        }
        if self.seconds.is_some_and(|seconds| !(0.04..=3600.0).contains(&seconds)) {
            return Err("`seconds` are 0.04 to 3600".to_owned());
        }
        let is_digest = |text: &String| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if self.sha256.as_ref().is_some_and(|digest| self.file.is_none() || !is_digest(digest)) {
            return Err("`sha256` belongs to a `file` and has 64 hexadecimal digits".to_owned());
        }
        Ok(())
    }
}

// === impl Case ===

impl Case {
    /// The bounds, read.
    ///
    /// # Errors
    /// One of them is none.
    pub fn bounds(&self) -> Result<Vec<Gate>, String> {
        self.gates.iter().map(|gate| gate.parse()).collect()
    }

    /// All figures that are asked for: the bounds, and what is held against the baseline as a bound that says nothing.
    ///
    /// # Errors
    /// One of them is none.
    pub fn asked(&self) -> Result<Vec<Gate>, String> {
        let mut asked = self.bounds()?;
        for against in &self.against {
            asked.push(against.gate()?);
        }
        Ok(asked)
    }

    /// What raw samples are, read.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn raw(&self) -> Result<Option<Raw>, String> {
        self.raw.as_deref().map(str::parse).transpose()
    }

    /// Whether something is compared with a reference; else all of it is found without one.
    #[must_use]
    pub fn compares(&self) -> bool {
        !self.metrics.is_empty()
    }

    fn check(&self, suite: &Suite) -> Result<(), String> {
        let needs_clip = match &self.subject {
            Subject::Command(command) => {
                if !command.run.contains("{in}") || !command.run.contains("{out}") {
                    return Err("the command names {in} and {out}".to_owned());
                }
                if command.makes.is_empty() || !command.makes.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                    return Err("`makes` is an extension such as mp4".to_owned());
                }
                true
            }
            Subject::Chain(_) => true,
            Subject::Url(url) => {
                if !url.starts_with("http://") {
                    return Err(format!("{url} is no http:// URL"));
                }
                self.compares()
            }
            Subject::Files(files) => {
                if files.reference.is_some() != self.compares() {
                    return Err("`files` have a `reference` where there are `metrics`, and only there".to_owned());
                }
                false
            }
        };
        match &self.clip {
            Some(_) if !needs_clip => {
                return Err(
                    "it needs no `clip`: leave it out, or say with `metrics` what is compared with it".to_owned()
                );
            }
            None if needs_clip => return Err("it needs a `clip`".to_owned()),
            Some(clip) if !suite.clips.contains_key(clip) => return Err(format!("there is no clip `{clip}`")),
            Some(_) | None => {}
        }
        if (self.gates.is_empty() && self.against.is_empty()) || self.subsample == 0 {
            return Err("it needs gates, and a subsample of at least 1".to_owned());
        }
        if self.raw()?.is_some() && !self.compares() {
            return Err("`raw` is for what is compared: without a reference raw samples are not looked at".to_owned());
        }
        self.check_against(suite)?;
        if !(0.0..=SHORTEST_MAX_S).contains(&self.shortest_s) {
            return Err(format!("`shortest_s` is 0 to {SHORTEST_MAX_S}"));
        }
        if !(0.0..=LIVE_MAX_S).contains(&self.live_s) {
            return Err(format!("`live_s` is 0 to {LIVE_MAX_S}"));
        }
        if self.curve.is_some() && (!self.compares() || matches!(self.subject, Subject::Url(_) | Subject::Chain(_))) {
            return Err("a point of a `curve` is a file with `metrics`: it has a size and a quality".to_owned());
        }
        let measured: Vec<_> = self.metrics.iter().flat_map(|metric| columns::of(*metric)).collect();
        for gate in self.asked()?.iter().filter(|gate| !gate.needs_inspection() && gate.conformance_figure().is_none())
        {
            if !self.compares() {
                return Err(format!("gate {gate} needs `metrics`: it is about a comparison"));
            }
            if let Some(column) = gate.column()
                && !measured.iter().any(|measured| **measured == column)
            {
                return Err(format!("gate {gate}: `{column}` is not among what is measured"));
            }
        }
        Ok(())
    }

    fn check_against(&self, suite: &Suite) -> Result<(), String> {
        if self.against.is_empty() {
            return Ok(());
        }
        if suite.baseline.is_none() {
            return Err("`against` needs the suite's `baseline`: the name of a file beside it".to_owned());
        }
        if self.must_fail {
            return Err("a case that `must_fail` is held to its gates, not `against` a baseline".to_owned());
        }
        if matches!(&self.subject, Subject::Command(command) if command.version.is_none()) {
            let why = "a command whose figures are held `against` a baseline says its `version`: a new one is told apart from a regression";
            return Err(why.to_owned());
        }
        for against in &self.against {
            let allowed = [against.may_fall, against.may_rise];
            if allowed == [None, None]
                || allowed.into_iter().flatten().any(|allowed| !(0.0..f64::INFINITY).contains(&allowed))
            {
                return Err(format!("`{}` has `may_fall` or `may_rise`, or both, of at least 0", against.figure));
            }
            if against.because.trim().is_empty() {
                return Err(format!("`{}` says `because` of what it may move so far", against.figure));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUITE: &str = "
suite: smoke
about: an encoder keeps its promise
clips:
  moving: { recipe: synthetic, seconds: 2, size: 320x240 }
cases:
  - name: crf 23
    clip: moving
    subject:
      command: { run: 'ffmpeg -i {in} {out}', makes: mp4 }
    metrics: [psnr, vmaf]
    gates: ['vmaf.p5 >= 80', 'alignment.dropped_frames <= 0']
  - name: files
    subject:
      files: { reference: 'a/*.y4m', distorted: 'b/*.mp4' }
    metrics: [ssim]
    gates: ['ssim.min > 0.9']
    must_fail: true
  - name: sound
    clip: moving
    subject:
      command: { run: 'ffmpeg -i {in} {out}', makes: mp4 }
    gates: ['loudness.integrated >= -24', 'black.count <= 0']
    shortest_s: 0.5
  - name: as before
    clip: moving
    subject:
      command: { run: 'ffmpeg -i {in} {out}', makes: mp4, version: 'ffmpeg -version' }
    metrics: [vmaf]
    against: [{ figure: vmaf.p5, may_fall: 1.5, because: threads }]
baseline: smoke.baseline.json
";

    #[test]
    fn a_suite_is_read() {
        let suite = Suite::parse(SUITE).expect("it is right");
        assert_eq!(suite.cases.len(), 4);
        assert_eq!(suite.cases[3].asked().map(|asked| asked.len()), Ok(1));
        assert!(!suite.cases[2].compares() && suite.cases[2].shortest_s < suite.cases[0].shortest_s);
        assert_eq!(suite.clips["moving"].seconds, Some(2.0));
        assert!(suite.cases[1].must_fail && suite.cases[1].clip.is_none());
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (was, becomes, why) in [
            ("vmaf.p5", "xpsnr.p5", "not among what is measured"),
            ("vmaf.p5", "vmaf.p6", "no gate"),
            ("clip: moving", "clip: still", "there is no clip"),
            ("    clip: moving\n", "", "needs a `clip`"),
            ("{in}", "in.mp4", "{in}"),
            ("name: files", "name: crf 23", "two cases"),
            ("metrics: [ssim]", "metrics: [ssimm]", "ssimm"),
            ("must_fail: true", "raw: 1280x720", "does not say what raw pictures are"),
            ("shortest_s: 0.5", "raw: 1280x720@25:yuv420p", "`raw` is for what is compared"),
            ("    metrics: [ssim]\n", "", "only there"),
            ("black.count <= 0", "psnr.min > 3", "needs `metrics`"),
            ("loudness.integrated", "loudness.loudest", "it has integrated"),
            ("baseline: smoke.baseline.json\n", "", "needs the suite's `baseline`"),
            (", version: 'ffmpeg -version'", "", "`version`"),
            ("may_fall: 1.5, ", "", "`may_fall`"),
            ("may_fall: 1.5", "may_fall: -1.5", "`may_fall`"),
            ("because: threads", "because: ' '", "`because`"),
            ("figure: vmaf.p5", "figure: vmaf.p6", "no gate"),
            ("figure: vmaf.p5", "figure: psnr.p5", "not among what is measured"),
            ("shortest_s: 0.5", "shortest_s: -1", "`shortest_s`"),
            ("must_fail", "must_fial", "must_fial"),
            ("seconds: 2", "seconds: -2", "0.04"),
            ("recipe: synthetic", "real: bikes", "only a `recipe`"),
        ] {
            let wrong = SUITE.replacen(was, becomes, 1);
            let refused = Suite::parse(&wrong).expect_err(becomes);
            assert!(refused.contains(why), "{becomes}: {refused}");
        }
        assert!(Suite::parse("suite: [").is_err());
    }
}
