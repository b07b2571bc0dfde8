//! What the gates of a job say of what was measured. Pure.

use flame_api::quality::jobs::{GateVerdict, NewComparison, NewInspection};
use flame_api::quality::{Comparison, Inspection};
use flame_quality::gate::{Gate, Verdict};
use serde::{Deserialize, Serialize};

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// A comparison.
    Comparison(NewComparison),
    /// An inspection.
    Inspection(NewInspection),
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// Of a comparison.
    Comparison(Box<Comparison>),
    /// Of an inspection.
    Inspection(Box<Inspection>),
}

/// What each gate says, in order. A gate that cannot be read is not kept, as one whose figure was not measured.
#[must_use]
pub fn judge(gates: &[String], found: &Found) -> Vec<GateVerdict> {
    gates.iter().map(|text| verdict(text, said(text, found))).collect()
}

fn said(text: &str, found: &Found) -> Result<Verdict, String> {
    let gate: Gate = text.parse()?;
    match found {
        Found::Comparison(comparison) => gate.judge(comparison),
        Found::Inspection(inspection) => gate.judge_inspection(inspection),
    }
}

fn verdict(gate: &str, said: Result<Verdict, String>) -> GateVerdict {
    let gate = gate.to_owned();
    match said {
        Ok(verdict) => GateVerdict { gate, measured: Some(verdict.measured), passed: verdict.passes, why: None },
        Err(why) => GateVerdict { gate, measured: None, passed: false, why: Some(why) },
    }
}

#[cfg(test)]
mod tests {
    use flame_api::quality::inspection::NotMeasured;

    use super::*;

    #[test]
    fn what_was_not_measured_is_not_kept_and_says_why() {
        let missing = NotMeasured { detector: "loudness".to_owned(), why: "the input has no sound".to_owned() };
        let inspection = Inspection {
            input: "x".to_owned(),
            container: "mp4".to_owned(),
            video: None,
            audio: None,
            synchrony: None,
            not_measured: vec![missing],
            notes: Vec::new(),
            incomplete: Vec::new(),
        };
        let gates = ["loudness.integrated >= -99".to_owned(), "nonsense".to_owned()];
        let said = judge(&gates, &Found::Inspection(Box::new(inspection)));
        assert!(said.iter().all(|said| !said.passed && said.measured.is_none()), "{said:?}");
        assert!(said[0].why.as_ref().is_some_and(|why| why.contains("no sound")), "{said:?}");
    }
}
