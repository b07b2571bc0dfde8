//! The document of a demand: YAML in, values with every bound kept out, or the place of what is wrong. Pure.

use serde::Deserialize;

/// Longest document, bytes.
pub const DOCUMENT_MAX_BYTES: usize = 64 << 10;
/// What is deployed while surrogates are measured: no demand is called so.
pub const CALIBRATION: &str = "calibration";
/// Most sites in a demand.
pub const SITES_MAX: usize = 32;
/// Most times of day of one site.
pub const TIMES_MAX: usize = 96;
/// Most sizes to choose from.
pub const SIZES_MAX: usize = 6;
/// Most surrogates at a cluster.
pub const INSTANCES_MAX: u64 = 100;
/// Most viewers of a site.
pub const VIEWERS_MAX: u64 = 100_000_000;
/// Most assets.
pub const ASSETS_MAX: u64 = 10_000;

/// A demand.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sla {
    /// What it is called; the service function chain is called so, too.
    pub sla: String,
    /// For people.
    #[serde(default)]
    pub about: String,
    /// What is watched.
    pub content: Content,
    /// Who watches, where and when.
    pub demand: Vec<Demand>,
    /// How well.
    #[serde(default)]
    pub targets: Targets,
    /// For how much.
    #[serde(default)]
    pub budget: Budget,
    /// What things cost; the first that fits a cluster counts. Without any, a processor costs 1 an hour and a GiB of memory 0.1.
    #[serde(default)]
    pub prices: Vec<Price>,
    /// Sizes to choose from: what a surrogate keeps in memory, MiB.
    #[serde(default = "sizes")]
    pub cache_mib: Vec<u64>,
    /// Most surrogates at a cluster.
    #[serde(default = "instances")]
    pub instances_max: u64,
    /// What nobody can measure beforehand.
    #[serde(default)]
    pub assumed: Assumed,
}

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// How many assets.
    pub assets: u64,
    /// How long one lasts, seconds.
    pub duration_s: f64,
    /// Exponent of Zipf's law: how much more the first is watched than the others; 0 is all alike.
    pub skew: f64,
}

/// Who watches at a site.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Demand {
    /// The site.
    pub site: String,
    /// How many, by time of day.
    pub viewers: Vec<Watching>,
    /// The shortest time in which they come, seconds.
    #[serde(default = "a_minute")]
    pub arrive_s: f64,
}

/// So many viewers from an hour on.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watching {
    /// The hour of the day, 0 to below 24; the last one of a day lasts until the first.
    pub from_h: f64,
    /// Viewers at once.
    pub count: u64,
}

/// How well viewers are served; what is not said is not promised.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Targets {
    /// Time to the first picture that 95 of 100 viewers do not exceed, milliseconds.
    pub start_up_ms: Option<f64>,
    /// Share of the time that players stand still, at most.
    pub stalled_share: Option<f64>,
    /// Mean VMAF of what is watched, at least.
    pub vmaf: Option<f64>,
    /// Chance that enough surrogates are there, at least.
    pub availability: Option<f64>,
}

/// For how much; what is not said is not bounded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// Processors.
    pub cpus: Option<u64>,
    /// Memory, MiB.
    pub memory_mib: Option<u64>,
    /// Cost of an hour.
    pub per_hour: Option<f64>,
}

/// What things cost at a cluster.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// A cluster, a site or a tier; `any` is all.
    pub at: String,
    /// A processor for an hour.
    pub cpu: f64,
    /// A GiB of memory for an hour.
    pub gib: f64,
}

/// What nobody can measure beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assumed {
    /// How often a surrogate fails in a day.
    pub failures_per_day: f64,
}

/// What is wrong with a demand, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {reason}")]
pub struct SlaError {
    /// Line, from 1 on.
    pub line: u64,
    /// Column, from 1 on.
    pub column: u64,
    /// Why, and what can be written instead.
    pub reason: String,
}

fn sizes() -> Vec<u64> {
    vec![64, 256, 1024]
}

fn instances() -> u64 {
    20
}

fn a_minute() -> f64 {
    60.0
}

// === impl Assumed ===

impl Default for Assumed {
    fn default() -> Self {
        Self { failures_per_day: 1.0 }
    }
}

// === impl Sla ===

impl Sla {
    /// Reads a demand.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn read(text: &str) -> Result<Self, SlaError> {
        let wrong = |reason: String| SlaError { line: 1, column: 1, reason };
        if text.len() > DOCUMENT_MAX_BYTES {
            return Err(wrong(format!("the document is longer than {DOCUMENT_MAX_BYTES} bytes")));
        }
        let sla: Self = serde_saphyr::from_str(text).map_err(|error| {
            let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
            let shown = error.without_snippet().to_string();
            let reason = shown.lines().next().unwrap_or_default();
            let reason = reason.strip_suffix(&format!(" at line {line}, column {column}")).unwrap_or(reason).to_owned();
            SlaError { line, column, reason }
        })?;
        sla.check().map_err(|(word, reason)| {
            // Where the word stands first: the document is short.
            let key = format!("{word}:");
            let at = text.lines().enumerate().find_map(|(line, said)| {
                let said = said.split('#').next().unwrap_or_default();
                Some((line, said.find(&key)?))
            });
            let place = |count: usize| u64::try_from(count + 1).unwrap_or(1);
            let (line, column) = at.map_or((1, 1), |(line, column)| (place(line), place(column)));
            SlaError { line, column, reason }
        })?;
        Ok(sla)
    }

    /// The word that is wrong, and why.
    fn check(&self) -> Result<(), (&'static str, String)> {
        let between = |word: &'static str, value: f64, least: f64, most: f64| {
            if value.is_finite() && value >= least && value <= most {
                return Ok(());
            }
            Err((word, format!("`{word}` is {value}, and is to be from {least} to {most}")))
        };
        let optional =
            |word, value: Option<f64>, least, most| value.map_or(Ok(()), |it| between(word, it, least, most));
        let counted = |word: &'static str, value: u64, most: u64| {
            if (1..=most).contains(&value) {
                return Ok(());
            }
            Err((word, format!("`{word}` is {value}, and is to be from 1 to {most}")))
        };
        if self.sla == CALIBRATION {
            return Err(("sla", format!("`{CALIBRATION}` is what calibrations are called: take another name")));
        }
        if !is_name(&self.sla) {
            return Err(("sla", format!("`{}` is no name: lower-case letters, digits and `-`, at most 40", self.sla)));
        }
        counted("assets", self.content.assets, ASSETS_MAX)?;
        between("duration_s", self.content.duration_s, 1.0, 86_400.0)?;
        between("skew", self.content.skew, 0.0, 5.0)?;
        if self.demand.is_empty() || self.demand.len() > SITES_MAX {
            return Err(("demand", format!("a demand is of 1 to {SITES_MAX} sites")));
        }
        for demand in &self.demand {
            if demand.site.is_empty() || self.demand.iter().filter(|one| one.site == demand.site).count() > 1 {
                return Err(("site", format!("site `{}` is to stand there once, with a name", demand.site)));
            }
            if demand.viewers.is_empty() || demand.viewers.len() > TIMES_MAX {
                return Err(("viewers", format!("`viewers` of `{}` are 1 to {TIMES_MAX} times of day", demand.site)));
            }
            between("arrive_s", demand.arrive_s, 0.1, 86_400.0)?;
            for (at, watching) in demand.viewers.iter().enumerate() {
                between("from_h", watching.from_h, 0.0, 23.999)?;
                if at > 0 && watching.from_h <= demand.viewers[at - 1].from_h {
                    return Err(("from_h", "`from_h` is to rise from one to the next".to_owned()));
                }
                if watching.count > VIEWERS_MAX {
                    return Err(("count", format!("`count` is {}, and is at most {VIEWERS_MAX}", watching.count)));
                }
            }
        }
        if self.peak() == 0 {
            return Err(("demand", "nobody watches at any time: `count` is 0 everywhere".to_owned()));
        }
        optional("start_up_ms", self.targets.start_up_ms, 1.0, 3_600_000.0)?;
        optional("stalled_share", self.targets.stalled_share, 0.0, 1.0)?;
        optional("vmaf", self.targets.vmaf, 0.0, 100.0)?;
        optional("availability", self.targets.availability, 0.0, 0.999_999_999)?;
        optional("per_hour", self.budget.per_hour, 0.0, 1e12)?;
        for price in &self.prices {
            between("cpu", price.cpu, 0.0, 1e9)?;
            between("gib", price.gib, 0.0, 1e9)?;
        }
        if self.cache_mib.is_empty() || self.cache_mib.len() > SIZES_MAX {
            return Err(("cache_mib", format!("`cache_mib` is 1 to {SIZES_MAX} sizes")));
        }
        for size in &self.cache_mib {
            counted("cache_mib", *size, 1 << 20)?;
        }
        counted("instances_max", self.instances_max, INSTANCES_MAX)?;
        between("failures_per_day", self.assumed.failures_per_day, 0.0, 86_400.0)
    }

    /// The times of day at which anything changes, rising.
    #[must_use]
    pub fn times(&self) -> Vec<f64> {
        let mut times: Vec<f64> = self.demand.iter().flat_map(|demand| &demand.viewers).map(|one| one.from_h).collect();
        times.sort_by(f64::total_cmp);
        times.dedup();
        times
    }

    /// Viewers of all sites together when they are most.
    #[must_use]
    pub fn peak(&self) -> u64 {
        let at = |hour: f64| self.demand.iter().map(|demand| demand.at(hour)).sum();
        self.times().into_iter().map(at).max().unwrap_or_default()
    }

    /// The same with another share of all viewers, rounded up: somebody always stays.
    #[must_use]
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "viewers are at most 1e8"
    )]
    pub fn scaled(&self, share: f64) -> Self {
        let mut scaled = self.clone();
        for watching in scaled.demand.iter_mut().flat_map(|demand| &mut demand.viewers) {
            watching.count = (watching.count as f64 * share).ceil() as u64;
        }
        scaled
    }
}

// === impl Demand ===

impl Demand {
    /// Viewers at an hour: those of the last time of day before it, which may be yesterday's.
    #[must_use]
    pub fn at(&self, hour: f64) -> u64 {
        let before = self.viewers.iter().rev().find(|one| one.from_h <= hour);
        before.or(self.viewers.last()).map_or(0, |one| one.count)
    }
}

fn is_name(text: &str) -> bool {
    let fits = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    (1..=40).contains(&text.len()) && text.chars().all(fits) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = include_str!("../../../templates/sla/town.yaml");

    #[test]
    fn what_is_shipped_is_read_and_a_day_goes_round() {
        let sla = Sla::read(TEXT).unwrap();
        assert_eq!(sla.sla, "town");
        let demand = &sla.demand[0];
        let (first, last) = (demand.viewers[0], demand.viewers[demand.viewers.len() - 1]);
        assert!(first.from_h > 0.0, "the example shows a night that began the day before");
        assert_eq!((demand.at(0.0), demand.at(first.from_h), demand.at(23.9)), (last.count, first.count, last.count));
        assert!(sla.peak() >= demand.viewers.iter().map(|one| one.count).max().unwrap());
        assert_eq!(sla.scaled(0.5).demand[0].viewers[0].count, first.count / 2);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (from, to, said) in [
            ("skew:", "skw:", "skw"),
            ("sla: town", "sla: Town Hall", "is no name"),
            ("from_h: 7", "from_h: 24", "from 0 to"),
            ("vmaf: ", "vmaf: 1", "`vmaf`"),
            ("assets: ", "assets: 0 # ", "`assets` is 0"),
            ("availability: 0.", "availability: 1.", "`availability`"),
        ] {
            let text = TEXT.replacen(from, to, 1);
            assert_ne!(text, TEXT, "{from} is not in the example");
            let error = Sla::read(&text).unwrap_err();
            assert!(error.reason.contains(said) && error.line > 1, "{from} → {to}: {error}");
        }
        assert!(Sla::read("[").is_err() && Sla::read("").is_err());
        assert!(Sla::read(&" ".repeat(DOCUMENT_MAX_BYTES + 1)).unwrap_err().reason.contains("longer"));
    }
}
