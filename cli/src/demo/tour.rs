//! A tour: steps that are verified one after the other, and the figures measured on the way.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Instant;

use serde::Serialize;

use crate::output;

/// How the names of figures end that belong together: without what is shown, with it, and with it a second time.
const WITHOUT: &str = "_without";
const WITH: &str = "_with";
const AGAIN: &str = "_again";

/// A tour under way.
#[derive(Debug)]
pub struct Tour {
    report: Report,
    quiet: bool,
    began: Instant,
    closing: Vec<String>,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
pub struct Report {
    scenario: &'static str,
    ok: bool,
    /// Time that all of it took, milliseconds.
    ms: u64,
    steps: Vec<Step>,
    figures: BTreeMap<&'static str, Figure>,
    #[serde(skip)]
    offers: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Step {
    name: &'static str,
    ok: bool,
    ms: u64,
    detail: String,
}

#[derive(Debug, Serialize)]
struct Figure {
    value: f64,
    unit: &'static str,
    bound: Option<String>,
}

/// A step was not verified: the tour ends. Why is in its report.
#[derive(Debug)]
pub struct Broken;

/// What a verified step gives: a value for the next steps, and a sentence for people.
#[derive(Debug)]
pub struct Verified<T>(pub T, pub String);

// === impl Tour ===

impl Tour {
    pub fn new(scenario: &'static str, about: &str, quiet: bool) -> Self {
        if !quiet {
            eprintln!("{scenario}: {about}\n");
        }
        let (steps, figures) = (Vec::new(), BTreeMap::new());
        let report = Report { scenario, ok: false, ms: 0, steps, figures, offers: Vec::new() };
        Self { report, quiet, began: Instant::now(), closing: Vec::new() }
    }

    /// Whether nothing but the report is to be printed.
    pub fn quiet(&self) -> bool {
        self.quiet
    }

    /// Performs one step and notes how it went.
    pub async fn step<T>(
        &mut self,
        name: &'static str,
        work: impl Future<Output = anyhow::Result<Verified<T>>>,
    ) -> Result<T, Broken> {
        let began = Instant::now();
        let outcome = work.await;
        let ms = ms_since(began);
        let (value, ok, detail) = match outcome {
            Ok(Verified(value, detail)) => (Ok(value), true, detail),
            Err(error) => (Err(Broken), false, format!("{error:#}")),
        };
        if !self.quiet {
            let mark = if ok { "ok    " } else { "FAILED" };
            eprintln!("  {mark} {name:<14} {:>7.2} s  {detail}", seconds(ms));
        }
        self.report.steps.push(Step { name, ok, ms, detail });
        value
    }

    /// Notes a figure; one outside of its bound is a step that failed.
    pub async fn figure(
        &mut self,
        name: &'static str,
        value: f64,
        unit: &'static str,
        bound: Option<Bound>,
    ) -> Result<(), Broken> {
        let text = bound.map(|bound| bound.to_string());
        self.report.figures.insert(name, Figure { value, unit, bound: text.clone() });
        match bound {
            Some(bound) if !bound.holds(value) => {
                let missed = async { anyhow::bail!("{name} is {value:.2} {unit}, the bound is {bound}") };
                self.step::<()>("figure", missed).await
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Adds text to what is printed after the last step.
    pub fn close_with(&mut self, text: String) {
        self.closing.push(text);
    }

    /// Adds what can be looked at as long as everything is open.
    pub fn offer(&mut self, text: String) {
        self.report.offers.push(text);
    }

    /// Ends the tour.
    pub fn finish(mut self) -> Report {
        self.report.ok = self.report.steps.iter().all(|step| step.ok);
        self.report.ms = ms_since(self.began);
        if !self.quiet {
            eprintln!("  {:<21} {:>7.2} s", "in all", seconds(self.report.ms));
            // What is left of it goes to standard output, for whoever wants to keep it.
            let closing = if self.report.ok { self.closing.as_slice() } else { &[] };
            let closing = closing.iter().map(|text| format!("\n{text}"));
            for line in closing.chain(self.report.told()) {
                // Nobody who reads is no reason to end.
                let _ = output::print_line(&line);
            }
        }
        self.report
    }
}

fn ms_since(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[allow(clippy::cast_precision_loss, reason = "two decimals are printed")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

fn in_words(name: &str) -> String {
    name.replace('_', " ")
}

// === impl Figure ===

impl Figure {
    fn bound(&self) -> String {
        self.bound.as_deref().map_or_else(String::new, |bound| format!("  (bound {bound})"))
    }
}

// === impl Report ===

impl Report {
    /// The figures for people: what was measured without a feature and with it stands in one row.
    fn told(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let of = |base: &str, way: &str| self.figures.get(&*format!("{base}{way}"));
        let bases =
            self.figures.keys().filter_map(|name| name.strip_suffix(WITH)).filter(|base| of(base, WITHOUT).is_some());
        let bases: Vec<&str> = bases.collect();
        if !bases.is_empty() {
            lines.extend([String::new(), format!("  {:<24} {:>12} {:>12}", "", "without", "with")]);
        }
        for base in &bases {
            let [Some(without), Some(with)] = [of(base, WITHOUT), of(base, WITH)] else { continue };
            let again = of(base, AGAIN).map_or_else(String::new, |again| format!(", again {:.2}", again.value));
            let Figure { value, unit, .. } = with;
            lines.push(format!(
                "  {:<24} {:>12.2} {value:>12.2} {unit}{again}{}",
                in_words(base),
                without.value,
                with.bound()
            ));
        }
        let is_paired = |name: &str| {
            [WITH, WITHOUT, AGAIN].iter().filter_map(|way| name.strip_suffix(way)).any(|base| bases.contains(&base))
        };
        let mut others = self.figures.iter().filter(|(name, _)| !is_paired(name)).peekable();
        if others.peek().is_some() {
            lines.push(String::new());
        }
        for (name, figure) in others {
            let Figure { value, unit, .. } = figure;
            lines.push(format!("  {:<24} {value:>12.2} {unit}{}", in_words(name), figure.bound()));
        }
        lines
    }

    /// What can be looked at as long as everything is open.
    pub fn offers(&self) -> &[String] {
        &self.offers
    }

    /// The step that failed, if one did.
    pub fn failure(&self) -> Option<String> {
        let step = self.steps.iter().find(|step| !step.ok)?;
        Some(format!("demo {}, step {}: {}", self.scenario, step.name, step.detail))
    }
}

/// What a figure has to keep to.
#[derive(Debug, Clone, Copy)]
pub enum Bound {
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
}

// === impl Bound ===

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(bound) => value <= bound,
            Self::AtLeast(bound) => value >= bound,
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtMost(bound) => write!(f, "<= {bound}"),
            Self::AtLeast(bound) => write!(f, ">= {bound}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_broken_step_or_bound_fails_the_tour() {
        let mut tour = Tour::new("vod", "", true);
        tour.step("one", async { Ok(Verified((), "fine".into())) }).await.unwrap();
        tour.figure("size", 5.0, "MiB", Some(Bound::AtMost(10.0))).await.unwrap();
        assert!(tour.figure("ratio", 0.5, "x", Some(Bound::AtLeast(0.8))).await.is_err());
        let report = tour.finish();
        assert!(!report.ok);
        assert_eq!(report.figures["ratio"].bound.as_deref(), Some(">= 0.8"));
        assert!(report.failure().unwrap().contains("ratio is 0.50"));
    }

    #[tokio::test]
    async fn what_belongs_together_stands_side_by_side() {
        let mut tour = Tour::new("vod", "", true);
        let measured =
            [("fetches_without", 50.0), ("fetches_with", 1.0), ("fetches_again", 0.0), ("planned_with", 2.0)];
        for (name, value) in measured {
            tour.figure(name, value, "fetches", Some(Bound::AtMost(50.0))).await.unwrap();
        }
        let told = tour.finish().told();
        let told: Vec<String> = told.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        let row = "fetches 50.00 1.00 fetches, again 0.00 (bound <= 50)";
        assert_eq!(told, ["", "without with", row, "", "planned with 2.00 fetches (bound <= 50)"]);
    }
}
