//! Baselines beside their suites: read to judge, written when somebody asks for it and sees what is different. What they mean is
//! decided elsewhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, ensure};
use flame_quality::baseline::{BASELINE_MAX_BYTES, Baseline, Recorded, Run};
use flame_quality::suite::Suite;

use crate::args::Global;
use crate::exit::Exit;
use crate::output;

/// Set by continuous integration, to anything.
const CI: &str = "CI";

/// The file of a suite's baseline.
#[derive(Debug)]
pub struct Kept {
    path: PathBuf,
    /// What is in it; nothing if it is not there yet.
    pub baseline: Baseline,
}

/// Reads the baseline of a suite in `folder`, if it has one.
pub fn load(folder: &Path, suite: &Suite) -> anyhow::Result<Option<Kept>> {
    let Some(name) = &suite.baseline else { return Ok(None) };
    let path = folder.join(name);
    let baseline = match std::fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Baseline { suite: suite.suite.clone(), cases: BTreeMap::new() }
        }
        Err(error) => return Err(error).with_context(|| format!("open {}", path.display())),
        Ok(found) => {
            ensure!(found.len() <= BASELINE_MAX_BYTES as u64, "{} is larger than a baseline may be", path.display());
            let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            Baseline::parse(&text).map_err(|why| anyhow!("{}: {why}", path.display()))?
        }
    };
    ensure!(
        baseline.suite == suite.suite,
        "{} is the baseline of the suite `{}`, not of `{}`",
        path.display(),
        baseline.suite,
        suite.suite
    );
    Ok(Some(Kept { path, baseline }))
}

/// Refuses to write one where nobody would look at it.
pub fn refuse_in_ci() -> Result<(), Exit> {
    match std::env::var(CI) {
        Ok(value) if !value.is_empty() && value != "false" => Err(Exit::usage(anyhow!(
            "{CI} is set: continuous integration is held to the baseline and does not make it; run --update-baseline yourself, look at \
             what is different, and commit the file"
        ))),
        Ok(_) | Err(_) => Ok(()),
    }
}

// === impl Kept ===

impl Kept {
    /// Makes it of these runs, shows what is different, and writes it.
    pub fn update(mut self, global: &Global, runs: BTreeMap<String, Vec<Run>>) -> Result<(), Exit> {
        let mut new = BTreeMap::new();
        for (name, runs) in runs {
            let recorded = Recorded::of(&runs).map_err(|why| Exit::not_carried_out(anyhow!("case {name}: {why}")))?;
            new.insert(name, recorded);
        }
        let mut differences: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (name, recorded) in &new {
            differences.insert(name, Recorded::difference(self.baseline.cases.get(name), recorded));
        }
        for gone in self.baseline.cases.keys().filter(|name| !new.contains_key(*name)) {
            differences.insert(gone, vec!["is no longer in the suite".to_owned()]);
        }
        if global.json {
            output::print_json(&differences)?;
        } else {
            for (name, lines) in &differences {
                let lines = if lines.is_empty() { vec!["nothing is different".to_owned()] } else { lines.clone() };
                output::print_line(&format!("  {name}:\n    {}", lines.join("\n    ")))?;
            }
        }
        drop(differences);
        self.baseline.cases = new;
        let draft = self.path.with_extension("new");
        let written = std::fs::write(&draft, self.baseline.text()).and_then(|()| std::fs::rename(&draft, &self.path));
        written.with_context(|| format!("write {}", self.path.display()))?;
        if !global.json {
            output::print_line(&format!("wrote {}; look at it, and commit it with the suite", self.path.display()))?;
        }
        Ok(())
    }
}
