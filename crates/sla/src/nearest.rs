//! The whole answer to a demand: the cheapest surrogates and what makes them dear; or, where nothing keeps the promise, the nearest promises
//! that can be kept. Pure.
//!
//! Both are found by leaving one thing out at a time. What gets cheaper without it, binds; what becomes possible without it is asked for
//! again and again, between what was wanted and what is possible, until the nearest value is known. Where it takes two changes at once, only
//! a smaller demand is offered.

use flame_api::orchestrator::sla::{Binding, Calibration, Nearest, Size, Solution};

use crate::document::Sla;
use crate::model::{Cluster, Limits, Model, served};
use crate::solve::{Best, Found, solve};
use crate::template;

/// Steps towards the nearest value: each halves what it may be.
const STEPS: u32 = 24;
/// How finely a share of a demand is told, at most; of large ones as finely as one viewer is.
const SHARE_UNIT: f64 = 0.001;

/// What can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Constraint {
    StartUp,
    Stalled,
    Vmaf,
    Availability,
    Cpus,
    Memory,
    PerHour,
    Room,
}

/// What a demand comes to.
///
/// # Errors
/// Why the calibration is of no use for it, and what to do.
pub fn answer(sla: &Sla, calibration: &Calibration, clusters: &[Cluster], steps_max: u64) -> Result<Solution, String> {
    let model = Model::new(sla, calibration, clusters)?;
    let limits = Limits::of(sla);
    let Found { best, is_exact } = solve(&model, &limits, steps_max);
    let mut solution = Solution {
        is_feasible: best.is_some(),
        is_exact,
        rendition: named(&model, &limits),
        sizes: Vec::new(),
        predicted: Vec::new(),
        cpus: 0,
        memory_bytes: 0,
        cost_per_hour: 0.0,
        binding: Vec::new(),
        nearest: Vec::new(),
        template: None,
        notes: Vec::new(),
    };
    match best {
        Some(best) => {
            fill(&mut solution, &model, &limits, &best);
            solution.binding = binding(&model, &limits, &best, steps_max);
            let instances: u64 = solution.sizes.iter().map(|size| size.instances).sum();
            if instances <= template::SURROGATES_MAX {
                solution.template = Some(template::of(sla, calibration, &solution.sizes));
            } else {
                let most = template::SURROGATES_MAX;
                solution.notes.push(format!(
                    "a template holds {most} surrogates, and it takes {instances}: ask for parts of the demand"
                ));
            }
        }
        None => solution.nearest = nearest(&model, &limits, steps_max),
    }
    if solution.rendition != calibration.rendition && solution.is_feasible {
        let (taken, measured) = (&solution.rendition, &calibration.rendition);
        solution.notes.push(format!(
            "viewers are reckoned with {taken}, and it was measured with {measured}: `flame sla calibrate` with this demand is surer"
        ));
    }
    if !is_exact {
        solution.notes.push("not every placement was looked at: one may be cheaper".to_owned());
    }
    Ok(solution)
}

fn named(model: &Model<'_>, limits: &Limits) -> String {
    let rendition = model.rendition(limits.vmaf).map(|at| model.calibration.renditions[at].name.clone());
    rendition.unwrap_or_default()
}

fn fill(solution: &mut Solution, model: &Model<'_>, limits: &Limits, best: &Best) {
    let serving = model.serving(|cluster| best.choices[cluster].is_some()).unwrap_or_default();
    if let Some((takes, predicted)) = model.predict(limits, &best.choices) {
        (solution.cpus, solution.memory_bytes, solution.cost_per_hour) =
            (takes.cpus, takes.memory_bytes, takes.per_hour);
        solution.predicted = predicted;
    }
    let rendition = model.rendition(limits.vmaf).unwrap_or_default();
    for (at, choice) in best.choices.iter().enumerate().filter_map(|(at, choice)| Some((at, (*choice)?))) {
        let (cluster, sites) = (&model.clusters[at], served(&serving, at));
        let carries = |instances: &u64| {
            model.serves(limits, rendition, at, &sites, crate::model::Choice { instances: *instances, ..choice })
        };
        solution.sizes.push(Size {
            cluster: cluster.name.clone(),
            site: cluster.site.clone(),
            tier: cluster.tier.clone(),
            instances: choice.instances,
            needed: (1..=choice.instances).find(carries).unwrap_or(choice.instances),
            cache_bytes: model.sla.cache_mib[choice.size] << 20,
            cost_per_hour: model.takes(at, choice).per_hour,
            serves: sites.into_iter().map(|site| model.sla.demand[site].site.clone()).collect(),
        });
    }
}

/// What makes a solution dear: all without which it is cheaper, the dearest first.
fn binding(model: &Model<'_>, limits: &Limits, best: &Best, steps_max: u64) -> Vec<Binding> {
    let mut found = Vec::new();
    for constraint in Constraint::ALL.into_iter().filter(|one| one.asked(limits).is_some()) {
        let Some(without) = solve(model, &constraint.without(limits), steps_max).best else { continue };
        let saves = best.takes.per_hour - without.takes.per_hour;
        if saves > 1e-9 {
            let name = constraint.name();
            let why = format!(
                "without `{name}` an hour costs {:.2} instead of {:.2}",
                without.takes.per_hour, best.takes.per_hour
            );
            found.push(Binding { constraint: name.to_owned(), saves_per_hour: saves, why });
        }
    }
    found.sort_by(|one, other| other.saves_per_hour.total_cmp(&one.saves_per_hour));
    found
}

/// The nearest demands that have a solution, each with one thing changed.
fn nearest(model: &Model<'_>, limits: &Limits, steps_max: u64) -> Vec<Nearest> {
    let mut found = Vec::new();
    for constraint in Constraint::ALL {
        let Some(asked) = constraint.asked(limits) else { continue };
        let free = as_f64(model.clusters.iter().map(|cluster| cluster.cpus).sum());
        let asked = if constraint == Constraint::Room { free } else { asked };
        let relaxed = constraint.without(limits);
        let Some(best) = solve(model, &relaxed, steps_max).best else { continue };
        let possible = |value: f64| solve(model, &constraint.with(limits, value), steps_max).best;
        let nearest = match constraint {
            Constraint::Room => Some((as_f64(best.takes.cpus), best.takes.per_hour)),
            // It is the cheapest already.
            Constraint::PerHour => Some((best.takes.per_hour, best.takes.per_hour)),
            Constraint::Vmaf => {
                let renditions = model.calibration.renditions.iter().filter_map(|one| one.vmaf);
                let mut lower: Vec<f64> = renditions.filter(|vmaf| *vmaf < asked).collect();
                lower.sort_by(|one, other| other.total_cmp(one));
                lower.into_iter().find_map(|vmaf| Some((vmaf, possible(vmaf)?.takes.per_hour)))
            }
            Constraint::Cpus => close_in(asked, as_f64(best.takes.cpus), 1.0, possible),
            Constraint::Memory => close_in(asked, as_f64(best.takes.memory_bytes.div_ceil(1 << 20)), 1.0, possible),
            Constraint::StartUp | Constraint::Stalled | Constraint::Availability => {
                let Some((_, predicted)) = model.predict(&relaxed, &best.choices) else { continue };
                let least = predicted.iter().map(|one| match constraint {
                    Constraint::StartUp => one.start_up_p95_ms,
                    Constraint::Stalled => one.stalled_share,
                    _ => -one.availability,
                });
                let worst = least.fold(f64::NEG_INFINITY, f64::max).abs();
                close_in(asked, worst, constraint.unit(), possible)
            }
        };
        let Some((possible, cost_per_hour)) = nearest else { continue };
        let name = constraint.name();
        let why = match constraint {
            Constraint::Room => {
                format!(
                    "clusters with more room: {possible:.0} processors are needed, {asked:.0} are free, and they may be elsewhere"
                )
            }
            Constraint::StartUp => format!("`{name}` {} instead of {}", possible.ceil(), asked),
            _ => format!("`{name}` {possible:.4} instead of {asked}"),
        };
        let why = format!("{why}, at {cost_per_hour:.2} an hour");
        found.push(Nearest { constraint: name.to_owned(), asked, possible, cost_per_hour, why });
    }
    found.extend(smaller(model, limits, steps_max));
    found
}

/// The largest share of all viewers that can be served as asked.
fn smaller(model: &Model<'_>, limits: &Limits, steps_max: u64) -> Option<Nearest> {
    // From one viewer on.
    let unit = SHARE_UNIT.min(1.0 / as_f64(model.sla.peak().max(1)));
    let possible = |share: f64| {
        let sla = model.sla.scaled(share);
        if sla.peak() == 0 {
            return None;
        }
        solve(&model.for_viewers_of(&sla), limits, steps_max).best
    };
    let (share, cost_per_hour) = close_in(1.0, unit * 1.5, unit, possible)?;
    let viewers = model.sla.scaled(share).peak();
    let why = format!(
        "{:.2} % of the viewers ({viewers} of {} at the peak) as well as asked, at {cost_per_hour:.2} an hour",
        share * 100.0,
        model.sla.peak()
    );
    Some(Nearest { constraint: "demand".to_owned(), asked: 1.0, possible: share, cost_per_hour, why })
}

/// Between what was asked for, which is not possible, and what is: the nearest that is, in whole `unit`s.
fn close_in(asked: f64, possible: f64, unit: f64, look: impl Fn(f64) -> Option<Best>) -> Option<(f64, f64)> {
    // Away from what was asked for.
    let round =
        |value: f64| if possible > asked { (value / unit).ceil() * unit } else { (value / unit).floor() * unit };
    let (mut near, mut far) = (asked, round(possible));
    let mut best = look(far)?;
    for _ in 0..STEPS {
        let middle = round(f64::midpoint(near, far));
        if (middle - far).abs() < unit / 2.0 || (middle - near).abs() < unit / 2.0 {
            break;
        }
        match look(middle) {
            Some(found) => (far, best) = (middle, found),
            None => near = middle,
        }
    }
    Some((far, best.takes.per_hour))
}

#[allow(clippy::cast_precision_loss, reason = "processors and bytes are far below 2^52")]
fn as_f64(value: u64) -> f64 {
    value as f64
}

// === impl Constraint ===

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "budgets are whole and above 0")]
impl Constraint {
    const ALL: [Self; 8] = [
        Self::StartUp,
        Self::Stalled,
        Self::Vmaf,
        Self::Availability,
        Self::Cpus,
        Self::Memory,
        Self::PerHour,
        Self::Room,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::StartUp => "start_up_ms",
            Self::Stalled => "stalled_share",
            Self::Vmaf => "vmaf",
            Self::Availability => "availability",
            Self::Cpus => "budget.cpus",
            Self::Memory => "budget.memory_mib",
            Self::PerHour => "budget.per_hour",
            Self::Room => "room",
        }
    }

    /// How finely a value is told.
    fn unit(self) -> f64 {
        match self {
            Self::StartUp | Self::Cpus | Self::Memory => 1.0,
            Self::Stalled => 0.0001,
            Self::Availability => 0.000_001,
            Self::Vmaf | Self::PerHour | Self::Room => 0.01,
        }
    }

    /// What was asked for, if it was.
    fn asked(self, limits: &Limits) -> Option<f64> {
        match self {
            Self::StartUp => limits.start_up_ms,
            Self::Stalled => limits.stalled_share,
            Self::Vmaf => limits.vmaf,
            Self::Availability => limits.availability,
            Self::Cpus => limits.budget.cpus.map(as_f64),
            Self::Memory => limits.budget.memory_mib.map(as_f64),
            Self::PerHour => limits.budget.per_hour,
            Self::Room => limits.has_room.then_some(0.0),
        }
    }

    /// All but this one. Without a VMAF, any rendition will do: the cheapest.
    fn without(self, limits: &Limits) -> Limits {
        let mut limits = *limits;
        match self {
            Self::StartUp => limits.start_up_ms = None,
            Self::Stalled => limits.stalled_share = None,
            Self::Vmaf => limits.vmaf = Some(0.0),
            Self::Availability => limits.availability = None,
            Self::Cpus => limits.budget.cpus = None,
            Self::Memory => limits.budget.memory_mib = None,
            Self::PerHour => limits.budget.per_hour = None,
            Self::Room => limits.has_room = false,
        }
        limits
    }

    /// All, with another value of this one.
    fn with(self, limits: &Limits, value: f64) -> Limits {
        let mut limits = *limits;
        match self {
            Self::StartUp => limits.start_up_ms = Some(value),
            Self::Stalled => limits.stalled_share = Some(value),
            Self::Vmaf => limits.vmaf = Some(value),
            Self::Availability => limits.availability = Some(value),
            Self::Cpus => limits.budget.cpus = Some(value as u64),
            Self::Memory => limits.budget.memory_mib = Some(value as u64),
            Self::PerHour => limits.budget.per_hour = Some(value),
            Self::Room => {}
        }
        limits
    }
}
