//! What given surrogates would do for a demand. Pure.
//!
//! Viewers go to the nearest cluster that has surrogates, as the router sends them, and are shared among those alike. A surrogate's
//! load is what its viewers take, as a share of what it was measured to send at most; what viewers meet with at that load was measured, too.
//! Distance adds its round trips to the first picture: one for the connection, one for each request before it; what is not in memory adds
//! the time to fetch it. Failures are independent, and last as long as a repair was measured to take.

use std::cell::Cell;
use std::rc::Rc;

use flame_api::orchestrator::sla::{Calibration, Prediction};

use crate::cache::hit_share;
use crate::curve::Curve;
use crate::document::{Budget, Sla};

const SECONDS_OF_A_DAY: f64 = 86_400.0;
/// Most that is reckoned for one answer: sites beside sites, at each time of each choice. Some seconds' worth.
const RECKONED_MAX: u64 = 100_000_000;
const MIB: u64 = 1 << 20;

/// Where surrogates can be, and what is free there.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// What it is called.
    pub name: String,
    /// Its site.
    pub site: String,
    /// How near to viewers it is.
    pub tier: String,
    /// Processors that are free.
    pub cpus: u64,
    /// Memory that is free, bytes.
    pub memory_bytes: u64,
    /// One way to each site of the demand, in its order, milliseconds.
    pub latency_ms: Vec<f64>,
}

/// What has to hold; what is nothing need not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// See [`crate::document::Targets`].
    pub start_up_ms: Option<f64>,
    /// The same.
    pub stalled_share: Option<f64>,
    /// The same.
    pub vmaf: Option<f64>,
    /// The same.
    pub availability: Option<f64>,
    /// What it may cost.
    pub budget: Budget,
    /// Whether a cluster holds no more than it has room for.
    pub has_room: bool,
}

/// Surrogates at one cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// How many.
    pub instances: u64,
    /// What each keeps, by its place among the sizes of the demand.
    pub size: usize,
}

/// What a choice takes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Takes {
    /// Processors.
    pub cpus: u64,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// Cost of an hour.
    pub per_hour: f64,
}

/// What is reckoned with.
#[derive(Debug, Clone)]
pub struct Model<'a> {
    /// The demand.
    pub sla: &'a Sla,
    /// What was measured.
    pub calibration: &'a Calibration,
    /// Where surrogates can be.
    pub clusters: &'a [Cluster],
    curve: Curve,
    /// Share of hits, by rendition and size.
    hits: Vec<Vec<f64>>,
    times: Vec<f64>,
    /// What has been reckoned for the whole answer, also by models that were made of this one.
    reckoned: Rc<Cell<u64>>,
}

// === impl Limits ===

impl Limits {
    /// Those of a demand.
    #[must_use]
    pub fn of(sla: &Sla) -> Self {
        let targets = sla.targets;
        Self {
            start_up_ms: targets.start_up_ms,
            stalled_share: targets.stalled_share,
            vmaf: targets.vmaf,
            availability: targets.availability,
            budget: sla.budget,
            has_room: true,
        }
    }

    /// Whether all of it together is within the budget.
    #[must_use]
    pub fn affords(&self, takes: Takes) -> bool {
        let Budget { cpus, memory_mib, per_hour } = self.budget;
        cpus.is_none_or(|most| takes.cpus <= most)
            && memory_mib.is_none_or(|most| takes.memory_bytes <= most.saturating_mul(MIB))
            && per_hour.is_none_or(|most| takes.per_hour <= most + 1e-9)
    }
}

// === impl Takes ===

impl Takes {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            cpus: self.cpus + other.cpus,
            memory_bytes: self.memory_bytes + other.memory_bytes,
            per_hour: self.per_hour + other.per_hour,
        }
    }
}

// === impl Model ===

#[allow(clippy::cast_precision_loss, reason = "viewers, surrogates and bytes are far below 2^52")]
impl<'a> Model<'a> {
    /// A demand, as it is reckoned with.
    ///
    /// # Errors
    /// Why the calibration is of no use for it.
    pub fn new(sla: &'a Sla, calibration: &'a Calibration, clusters: &'a [Cluster]) -> Result<Self, String> {
        let curve = Curve::of(calibration)?;
        if sla.targets.vmaf.is_some() && calibration.renditions.iter().all(|one| one.vmaf.is_none()) {
            return Err("a VMAF is asked for, and none was measured: `flame sla calibrate` with this demand".to_owned());
        }
        for demand in &sla.demand {
            let (wanted_ms, measured_ms) = (demand.arrive_s * 1000.0, calibration.arrive_ms as f64);
            if wanted_ms < measured_ms {
                return Err(format!(
                    "the viewers of `{}` come within {:.1} s, and it was measured with viewers who came within {:.1} s: measure it \
                     again with `--ramp {:.1}s`",
                    demand.site,
                    wanted_ms / 1000.0,
                    measured_ms / 1000.0,
                    wanted_ms / 1000.0
                ));
            }
        }
        let hits = calibration.renditions.iter().map(|rendition| {
            let asset_bytes = rendition.bitrate_bps / 8.0 * sla.content.duration_s;
            let share = |mib: &u64| hit_share(sla.content.assets, sla.content.skew, (mib * MIB) as f64 / asset_bytes);
            sla.cache_mib.iter().map(share).collect()
        });
        let reckoned = Rc::new(Cell::new(0));
        Ok(Self { hits: hits.collect(), times: sla.times(), sla, calibration, clusters, curve, reckoned })
    }

    /// The same with the viewers of another demand, which differs in nothing else.
    #[must_use]
    pub fn for_viewers_of<'b>(&self, sla: &'b Sla) -> Model<'b>
    where
        'a: 'b,
    {
        Model { sla, ..self.clone() }
    }

    /// The rendition that viewers are to have: the cheapest with that VMAF; the best where none is asked for.
    #[must_use]
    pub fn rendition(&self, vmaf: Option<f64>) -> Option<usize> {
        let renditions = &self.calibration.renditions;
        match vmaf {
            None => renditions.len().checked_sub(1),
            Some(least) => renditions.iter().position(|one| one.vmaf.is_some_and(|vmaf| vmaf >= least)),
        }
    }

    /// The cluster that serves each site, of those that are open.
    #[must_use]
    pub fn serving(&self, is_open: impl Fn(usize) -> bool) -> Option<Vec<usize>> {
        let nearest = |site: usize| {
            let open = (0..self.clusters.len()).filter(|cluster| is_open(*cluster));
            open.min_by(|one, other| {
                self.clusters[*one].latency_ms[site].total_cmp(&self.clusters[*other].latency_ms[site])
            })
        };
        (0..self.sla.demand.len()).map(nearest).collect()
    }

    /// What a choice takes at a cluster.
    #[must_use]
    pub fn takes(&self, cluster: usize, choice: Choice) -> Takes {
        let surrogate = &self.calibration.surrogate;
        let memory_bytes = choice.instances * (surrogate.overhead_bytes + self.sla.cache_mib[choice.size] * MIB);
        let cpus = choice.instances * surrogate.cpus;
        let at = &self.clusters[cluster];
        let fits = |name: &str| name == "any" || [&at.name, &at.site, &at.tier].into_iter().any(|own| own == name);
        let price = self.sla.prices.iter().find(|price| fits(&price.at));
        let (cpu, gib) = price.map_or((1.0, 0.1), |price| (price.cpu, price.gib));
        let per_hour = cpus as f64 * cpu + memory_bytes as f64 / f64::from(1 << 30) * gib;
        Takes { cpus, memory_bytes, per_hour }
    }

    /// Whether there is room for a choice.
    #[must_use]
    pub fn fits(&self, cluster: usize, takes: Takes, limits: &Limits) -> bool {
        let at = &self.clusters[cluster];
        !limits.has_room || (takes.cpus <= at.cpus && takes.memory_bytes <= at.memory_bytes)
    }

    /// What is expected of a site, served with others by so many surrogates of a cluster; nothing where more is asked of them than was
    /// ever measured.
    fn expect(
        &self,
        rendition: usize,
        cluster: usize,
        sites: &[usize],
        site: usize,
        time: f64,
        choice: Choice,
    ) -> Option<Prediction> {
        let (demand, what) = (&self.sla.demand[site], &self.calibration.renditions[rendition]);
        let viewers: u64 = sites.iter().map(|site| self.sla.demand[*site].at(time)).sum();
        let load = viewers as f64 * what.bitrate_bps / (choice.instances as f64 * self.calibration.capacity_bps);
        let level = self.curve.at(load)?;
        let measured = self.calibration.renditions.iter().find(|one| one.name == self.calibration.rendition);
        // Another rendition than the one that was measured takes more or less in proportion.
        let scale = measured.map_or(1.0, |measured| what.bitrate_bps / measured.bitrate_bps);
        let hit_share = self.hits[rendition][choice.size];
        let at = &self.clusters[cluster];
        let fetch_ms = (self.calibration.miss_ms - self.calibration.hit_ms).max(0.0) * (1.0 - hit_share);
        let requests = self.calibration.requests_before_picture;
        let away_ms = (requests + 1.0) * 2.0 * at.latency_ms[site] + requests * fetch_ms;
        let own = demand.at(time);
        Some(Prediction {
            site: demand.site.clone(),
            cluster: at.name.clone(),
            from_h: time,
            viewers: own,
            load,
            delivered_bps: own as f64 * level.viewer_bps * scale,
            requests_per_s: own as f64 * level.viewer_requests_per_s,
            start_up_p50_ms: level.start_up_p50_ms + away_ms,
            start_up_p95_ms: level.start_up_p95_ms + away_ms,
            stalled_share: level.stalled_share,
            hit_share,
            vmaf: what.vmaf,
            availability: 1.0,
        })
    }

    /// What is expected of all sites that a cluster serves, at all times when they have viewers.
    fn expect_all(&self, rendition: usize, cluster: usize, sites: &[usize], choice: Choice) -> Option<Vec<Prediction>> {
        let mut all = Vec::new();
        for time in &self.times {
            for site in sites {
                if self.sla.demand[*site].at(*time) > 0 {
                    all.push(self.expect(rendition, cluster, sites, *site, *time, choice)?);
                }
            }
        }
        Some(all)
    }

    /// Whether no more is reckoned for this answer: what was not looked at is then taken for nothing that keeps the promise.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.reckoned.get() > RECKONED_MAX
    }

    /// Whether so many surrogates, all of them there, serve as well as they are to.
    #[must_use]
    pub fn serves(&self, limits: &Limits, rendition: usize, cluster: usize, sites: &[usize], choice: Choice) -> bool {
        if self.is_spent() {
            return false;
        }
        self.reckoned.set(self.reckoned.get() + (self.times.len() * sites.len() * sites.len()) as u64);
        let Some(all) = self.expect_all(rendition, cluster, sites, choice) else { return false };
        all.iter().all(|one| {
            limits.start_up_ms.is_none_or(|most| one.start_up_p95_ms <= most)
                && limits.stalled_share.is_none_or(|most| one.stalled_share <= most)
        })
    }

    /// The chance that at least `needed` of `instances` are there.
    #[must_use]
    pub fn availability(&self, needed: u64, instances: u64) -> f64 {
        let failing = self.sla.assumed.failures_per_day * self.calibration.repair_s / SECONDS_OF_A_DAY;
        // Up for 1/rate between repairs.
        at_least(needed, instances, 1.0 / (1.0 + failing))
    }

    /// What all choices together come to, by cluster; nothing where something is asked of them that was never measured, or they do not fit.
    #[must_use]
    pub fn predict(&self, limits: &Limits, choices: &[Option<Choice>]) -> Option<(Takes, Vec<Prediction>)> {
        let rendition = self.rendition(limits.vmaf)?;
        let serving = self.serving(|cluster| choices[cluster].is_some())?;
        let (mut takes, mut predicted) = (Takes::default(), Vec::new());
        for (cluster, choice) in choices.iter().enumerate().filter_map(|(at, choice)| Some((at, (*choice)?))) {
            let own = self.takes(cluster, choice);
            if !self.fits(cluster, own, limits) {
                return None;
            }
            takes = takes.and(own);
            let sites = served(&serving, cluster);
            let needed = (1..=choice.instances)
                .find(|some| self.serves(limits, rendition, cluster, &sites, Choice { instances: *some, ..choice }))?;
            let availability = self.availability(needed, choice.instances);
            if limits.availability.is_some_and(|least| availability < least) {
                return None;
            }
            let all = self.expect_all(rendition, cluster, &sites, choice)?;
            predicted.extend(all.into_iter().map(|one| Prediction { availability, ..one }));
        }
        predicted.sort_by(|one, other| one.site.cmp(&other.site).then(one.from_h.total_cmp(&other.from_h)));
        limits.affords(takes).then_some((takes, predicted))
    }
}

/// The sites that a cluster serves.
#[must_use]
pub fn served(serving: &[usize], cluster: usize) -> Vec<usize> {
    serving.iter().enumerate().filter(|(_, by)| **by == cluster).map(|(site, _)| site).collect()
}

/// The chance that at least `needed` of `count` things are there, each with the chance `each`.
fn at_least(needed: u64, count: u64, each: f64) -> f64 {
    // chances[k]: exactly k of those looked at so far.
    let mut chances = vec![1.0];
    for _ in 0..count {
        let mut next = vec![0.0; chances.len() + 1];
        for (there, chance) in chances.iter().enumerate() {
            next[there] += chance * (1.0 - each);
            next[there + 1] += chance * each;
        }
        chances = next;
    }
    chances.iter().skip(usize::try_from(needed).unwrap_or(usize::MAX)).sum::<f64>().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spares_are_reckoned_as_every_way_to_fail_is_counted() {
        for count in 0..8u32 {
            for needed in 0..=count {
                let each = 0.9_f64;
                let ways = (0..1u32 << count).filter(|ups| ups.count_ones() >= needed);
                let ups = |ups: u32| i32::try_from(ups.count_ones()).unwrap();
                let chance: f64 = ways
                    .map(|there| each.powi(ups(there)) * 0.1_f64.powi(i32::try_from(count).unwrap() - ups(there)))
                    .sum();
                assert!((at_least(needed.into(), count.into(), each) - chance).abs() < 1e-9, "{needed} of {count}");
            }
        }
    }
}
