//! What one surrogate was measured to do, checked, and read between the loads that were measured. Pure.
//!
//! Between two levels it is a straight line; below the first it is the first, which is never better than true; above the last nothing is
//! known, and nothing is said. A level that went better than a lighter one by chance counts as bad as that one.

use flame_api::orchestrator::sla::{Calibration, Level};

/// Most levels, and most renditions, of a calibration.
pub const LEVELS_MAX: usize = 32;
/// The same of renditions.
pub const RENDITIONS_MAX: usize = 16;

/// Levels by rising load.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve(Vec<Level>);

// === impl Curve ===

impl Curve {
    /// The curve of a calibration.
    ///
    /// # Errors
    /// What is wrong with the calibration, and what to do.
    pub fn of(calibration: &Calibration) -> Result<Self, String> {
        let Calibration { renditions, levels, rendition, .. } = calibration;
        let again = "; measure it again (`flame sla calibrate`)";
        let positive = |what: &str, value: f64| {
            if value.is_finite() && value > 0.0 {
                Ok(())
            } else {
                Err(format!("`{what}` of the calibration is {value}{again}"))
            }
        };
        let not_negative = |what: &str, value: f64| {
            if value.is_finite() && value >= 0.0 {
                Ok(())
            } else {
                Err(format!("`{what}` of the calibration is {value}{again}"))
            }
        };
        positive("capacity_bps", calibration.capacity_bps)?;
        for (what, value) in [
            ("requests_before_picture", calibration.requests_before_picture),
            ("hit_ms", calibration.hit_ms),
            ("miss_ms", calibration.miss_ms),
            ("repair_s", calibration.repair_s),
        ] {
            not_negative(what, value)?;
        }
        if calibration.surrogate.cpus == 0
            || calibration.surrogate.cpus > 1024
            || calibration.surrogate.overhead_bytes > 1 << 44
        {
            return Err(format!("`surrogate` of the calibration takes no processor, or too much{again}"));
        }
        if renditions.is_empty() || renditions.len() > RENDITIONS_MAX {
            return Err(format!("a calibration has 1 to {RENDITIONS_MAX} renditions{again}"));
        }
        for (at, one) in renditions.iter().enumerate() {
            positive("bitrate_bps", one.bitrate_bps)?;
            not_negative("vmaf", one.vmaf.unwrap_or_default())?;
            if at > 0 && one.bitrate_bps < renditions[at - 1].bitrate_bps {
                return Err(format!("the renditions of a calibration rise in bit rate{again}"));
            }
        }
        if !renditions.iter().any(|one| one.name == *rendition) {
            return Err(format!(
                "the calibration was measured with rendition `{rendition}`, which it does not list{again}"
            ));
        }
        if levels.is_empty() || levels.len() > LEVELS_MAX {
            return Err(format!("a calibration has 1 to {LEVELS_MAX} levels{again}"));
        }
        let mut curve: Vec<Level> = Vec::new();
        for level in levels {
            positive("load", level.load)?;
            for (what, value) in [
                ("viewer_bps", level.viewer_bps),
                ("viewer_requests_per_s", level.viewer_requests_per_s),
                ("start_up_p50_ms", level.start_up_p50_ms),
                ("start_up_p95_ms", level.start_up_p95_ms),
                ("stalled_share", level.stalled_share),
            ] {
                not_negative(what, value)?;
            }
            let before = curve.last().copied().unwrap_or_default();
            if level.load <= before.load {
                return Err(format!("the levels of a calibration rise in load{again}"));
            }
            curve.push(Level {
                start_up_p50_ms: level.start_up_p50_ms.max(before.start_up_p50_ms),
                start_up_p95_ms: level.start_up_p95_ms.max(before.start_up_p95_ms),
                stalled_share: level.stalled_share.max(before.stalled_share),
                ..*level
            });
        }
        Ok(Self(curve))
    }

    /// What viewers meet with at a load; nothing above what was measured.
    #[must_use]
    pub fn at(&self, load: f64) -> Option<Level> {
        let above = self.0.iter().position(|level| load <= level.load)?;
        let high = self.0[above];
        let Some(low) = above.checked_sub(1).map(|at| self.0[at]) else { return Some(Level { load, ..high }) };
        let share = (load - low.load) / (high.load - low.load);
        let between = |of: fn(&Level) -> f64| of(&low) + (of(&high) - of(&low)) * share;
        Some(Level {
            load,
            viewers: high.viewers,
            viewer_bps: between(|one| one.viewer_bps),
            viewer_requests_per_s: between(|one| one.viewer_requests_per_s),
            start_up_p50_ms: between(|one| one.start_up_p50_ms),
            start_up_p95_ms: between(|one| one.start_up_p95_ms),
            stalled_share: between(|one| one.stalled_share),
        })
    }
}

#[cfg(test)]
mod tests {
    use flame_api::orchestrator::sla::{Rendition, Surrogate};
    use proptest::prelude::*;

    use super::*;

    fn level(load: f64, start_up_p95_ms: f64) -> Level {
        let viewers = (load * 100.0) as u64;
        Level {
            load,
            viewers,
            viewer_bps: 1e6,
            viewer_requests_per_s: 1.0,
            start_up_p50_ms: start_up_p95_ms / 2.0,
            start_up_p95_ms,
            stalled_share: load / 100.0,
        }
    }

    fn calibration(levels: Vec<Level>) -> Calibration {
        Calibration {
            surrogate: Surrogate { cpus: 1, ..Surrogate::default() },
            capacity_bps: 1e8,
            renditions: vec![Rendition { name: "v720".into(), bitrate_bps: 1e6, vmaf: None }],
            rendition: "v720".into(),
            levels,
            ..Calibration::default()
        }
    }

    proptest! {
        #[test]
        fn more_load_is_never_better_and_nothing_is_said_beyond_what_was_measured(
            times in prop::collection::vec(1.0f64..5000.0, 1..8), one in 0.0f64..1.2, other in 0.0f64..1.2,
        ) {
            let count = times.len() as f64;
            let levels: Vec<Level> = times.iter().enumerate().map(|(at, ms)| level((at + 1) as f64 / count, *ms)).collect();
            let curve = Curve::of(&calibration(levels.clone())).unwrap();
            let (low, high) = (one.min(other), one.max(other));
            prop_assert_eq!(curve.at(high).is_some(), high <= 1.0);
            if let (Some(low), Some(high)) = (curve.at(low), curve.at(high)) {
                prop_assert!(low.start_up_p95_ms <= high.start_up_p95_ms + 1e-6 && low.stalled_share <= high.stalled_share + 1e-9);
            }
            // Never better than what was measured at that very load.
            for measured in levels {
                prop_assert!(curve.at(measured.load).unwrap().start_up_p95_ms >= measured.start_up_p95_ms - 1e-6);
            }
        }
    }

    #[test]
    fn a_calibration_that_cannot_be_reckoned_with_is_refused() {
        let right = calibration(vec![level(0.5, 100.0), level(0.8, 300.0)]);
        assert!(Curve::of(&right).is_ok());
        type Change = fn(&mut Calibration);
        let wrong: [(&str, Change); 7] = [
            ("capacity_bps", |it| it.capacity_bps = 0.0),
            ("rise in load", |it| it.levels[1].load = 0.5),
            ("levels", |it| it.levels.clear()),
            ("does not list", |it| it.rendition = "v1080".into()),
            ("`miss_ms`", |it| it.miss_ms = f64::NAN),
            ("surrogate", |it| it.surrogate.cpus = 0),
            ("start_up_p95_ms", |it| it.levels[0].start_up_p95_ms = -1.0),
        ];
        for (said, change) in wrong {
            let mut one = right.clone();
            change(&mut one);
            let error = Curve::of(&one).unwrap_err();
            assert!(error.contains(said) && error.contains("flame sla calibrate"), "{said}: {error}");
        }
    }
}
