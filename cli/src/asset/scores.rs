//! `flame asset scores`: what was measured of an asset, as the catalogue keeps it; and what is different between two of these, which may be
//! of two versions, two chains or two releases. Nothing is measured here.

use std::collections::BTreeMap;

use anyhow::anyhow;
use flame_api::Client;
use flame_api::metadata::{Measure, NewScore, Score};
use serde::Serialize;
use uuid::Uuid;

use crate::args::{AssetScores, Global};
use crate::exit::Exit;
use crate::output;

/// A figure of two scores.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Moved {
    figure: String,
    /// Of the first.
    was: Option<f64>,
    /// Of the second.
    is: Option<f64>,
    /// How much more the second has.
    by: Option<f64>,
}

/// What is different between two scores.
#[derive(Debug, Serialize)]
struct Difference<'a> {
    first: &'a Score,
    second: &'a Score,
    /// What makes them less comparable than they look.
    notes: Vec<String>,
    figures: Vec<Moved>,
}

pub async fn run(global: &Global, client: &Client, args: &AssetScores) -> Result<(), Exit> {
    let id = args.id;
    let found = client.scores(id).await?.ok_or_else(|| Exit::failed(anyhow!("there is no asset {id}")))?;
    if let [first, second] = args.between[..] {
        let of = |job: Uuid| found.items.iter().find(|score| score.job_id == job);
        let missing =
            |job: Uuid| Exit::failed(anyhow!("no job {job} has measured {id}; `flame asset scores {id}` lists them"));
        let first = of(first).ok_or_else(|| missing(first))?;
        let second = of(second).ok_or_else(|| missing(second))?;
        return differ(global, first, second, &args.figures);
    }
    if global.json {
        return output::print_json(&found.items);
    }
    if found.items.is_empty() {
        return output::print_line("nothing was measured of it: flame quality compare ID/source ID/TRACK --remote");
    }
    let mut table = output::table(&["measured", "how", "media", "against", "version", "gates", "figures", "job"]);
    for Score { job_id, score } in &found.items {
        let figures = chosen(score, &args.figures);
        let figures: Vec<_> = figures.iter().map(|(name, value)| format!("{name} {value:.3}")).collect();
        table.add_row([
            output::moment(score.measured_at),
            match score.measure {
                Measure::Comparison => "comparison",
                Measure::Inspection => "inspection",
            }
            .to_owned(),
            score.media.clone(),
            score.reference.clone().unwrap_or_default(),
            score.version.clone().unwrap_or_default(),
            gates(score),
            figures.join(", "),
            job_id.to_string(),
        ]);
    }
    output::wrap_only(&mut table, 6);
    output::print_line(&table.trim_fmt())
}

/// What the gates say, in a word.
fn gates(score: &NewScore) -> String {
    let failed = score.gates.iter().filter(|gate| !gate.passed).count();
    match (score.gates.len(), failed) {
        (0, _) => "none".to_owned(),
        (_, 0) => "hold".to_owned(),
        (all, failed) => format!("{failed} of {all} FAIL"),
    }
}

/// Figures that are shown: those that were asked for (`vmaf.p5`, or all of `vmaf`); else what the gates are about; else means.
fn chosen(score: &NewScore, asked: &[String]) -> BTreeMap<String, f64> {
    let of_gates: Vec<&str> = score.gates.iter().filter_map(|gate| gate.gate.split_whitespace().next()).collect();
    let is_shown = |name: &str| match (asked, of_gates.as_slice()) {
        ([], []) => name.ends_with(".mean") || name.ends_with(".integrated"),
        ([], of_gates) => of_gates.contains(&name),
        (asked, _) => asked.iter().any(|asked| is_of(name, asked)),
    };
    let shown = score.figures.iter().filter(|(name, _)| is_shown(name));
    shown.map(|(name, value)| (name.clone(), *value)).collect()
}

/// Whether a figure is the one that was asked for, or one of its kind: `vmaf.p5` of `vmaf`, and not `vmaf_neg.p5`.
fn is_of(name: &str, asked: &str) -> bool {
    name.strip_prefix(asked).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn differ(global: &Global, first: &Score, second: &Score, asked: &[String]) -> Result<(), Exit> {
    let figures = moved(&first.score, &second.score, asked);
    let notes = notes(&first.score, &second.score);
    if global.json {
        return output::print_json(&Difference { first, second, notes, figures });
    }
    for Score { job_id, score } in [first, second] {
        let against = score.reference.as_ref().map(|reference| format!(" against {reference}")).unwrap_or_default();
        let at = output::moment(score.measured_at);
        output::print_line(&format!("{job_id}: {}{against}, {at}; gates: {}", score.media, gates(score)))?;
    }
    for note in notes {
        output::print_line(&format!("NOTE: {note}"))?;
    }
    let mut table = output::table(&["figure", "first", "second", "difference"]);
    for Moved { figure, was, is, by } in figures {
        let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
        let by = by.map_or_else(|| "-".to_owned(), |by| format!("{by:+.4}"));
        table.add_row([figure, number(was), number(is), by]);
    }
    output::print_line(&table.trim_fmt())
}

/// All figures of either, or those that were asked for.
fn moved(first: &NewScore, second: &NewScore, asked: &[String]) -> Vec<Moved> {
    let names = first.figures.keys().chain(second.figures.keys().filter(|name| !first.figures.contains_key(*name)));
    let mut names: Vec<&String> =
        names.filter(|name| asked.is_empty() || asked.iter().any(|asked| is_of(name, asked))).collect();
    names.sort();
    let moved = |name: &String| {
        let (was, is) = (first.figures.get(name).copied(), second.figures.get(name).copied());
        Moved { figure: name.clone(), was, is, by: was.zip(is).map(|(was, is)| is - was) }
    };
    names.into_iter().map(moved).collect()
}

/// What else is different.
fn notes(first: &NewScore, second: &NewScore) -> Vec<String> {
    let mut notes = Vec::new();
    if first.measure != second.measure {
        notes.push("one was compared with a reference and the other was not: they share few figures".to_owned());
    }
    let sides = [
        ("the references are not the same", first.reference.as_deref(), second.reference.as_deref()),
        ("the tracks are not the same", first.track.as_deref(), second.track.as_deref()),
        ("other tools measured", Some(first.tools.as_str()), Some(second.tools.as_str())),
    ];
    for (what, one, other) in sides {
        if one != other {
            notes.push(format!("{what}: {} and {}", one.unwrap_or("none"), other.unwrap_or("none")));
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use flame_api::quality::jobs::GateVerdict;
    use time::OffsetDateTime;

    use super::*;

    fn score(figures: &[(&str, f64)], gates: &[(&str, bool)]) -> NewScore {
        let gate = |(gate, passed): &(&str, bool)| GateVerdict {
            gate: (*gate).to_owned(),
            measured: None,
            passed: *passed,
            why: None,
        };
        NewScore {
            measure: Measure::Comparison,
            media: "a/v720".to_owned(),
            version: None,
            track: Some("v720".to_owned()),
            reference: Some("a/source".to_owned()),
            figures: figures.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
            gates: gates.iter().map(gate).collect(),
            tools: "flame 1".to_owned(),
            measured_at: OffsetDateTime::UNIX_EPOCH,
        }
    }

    const FIGURES: [(&str, f64); 4] =
        [("psnr.mean", 40.0), ("vmaf.mean", 90.0), ("vmaf.p5", 80.0), ("vmaf_neg.p5", 70.0)];

    fn names(of: &NewScore, asked: &[&str]) -> Vec<String> {
        let asked: Vec<_> = asked.iter().map(|asked| (*asked).to_owned()).collect();
        chosen(of, &asked).into_keys().collect()
    }

    #[test]
    fn what_was_asked_for_is_shown_else_what_gates_are_about_else_means() {
        let plain = score(&FIGURES, &[]);
        assert_eq!(names(&plain, &[]), ["psnr.mean", "vmaf.mean"]);
        assert_eq!(names(&plain, &["vmaf"]), ["vmaf.mean", "vmaf.p5"]);
        assert_eq!(names(&plain, &["vmaf_neg.p5", "ssim"]), ["vmaf_neg.p5"]);
        let gated = score(&FIGURES, &[("vmaf.p5 >= 85", false), ("psnr.mean >= 30", true)]);
        assert_eq!(names(&gated, &[]), ["psnr.mean", "vmaf.p5"]);
        assert_eq!((gates(&plain), gates(&gated)), ("none".to_owned(), "1 of 2 FAIL".to_owned()));
    }

    #[test]
    fn two_scores_are_held_against_each_other_and_what_else_changed_is_said() {
        let first = score(&FIGURES, &[]);
        let second =
            NewScore { tools: "flame 2".to_owned(), ..score(&[("vmaf.p5", 77.5), ("xpsnr_y.mean", 38.0)], &[]) };
        let of = |figure: &str, was, is, by| Moved { figure: figure.to_owned(), was, is, by };
        assert_eq!(
            moved(&first, &second, &["vmaf".to_owned(), "xpsnr_y".to_owned()]),
            [
                of("vmaf.mean", Some(90.0), None, None),
                of("vmaf.p5", Some(80.0), Some(77.5), Some(-2.5)),
                of("xpsnr_y.mean", None, Some(38.0), None),
            ]
        );
        assert_eq!(moved(&first, &second, &[]).len(), 5);
        assert_eq!(notes(&first, &second), ["other tools measured: flame 1 and flame 2"]);
        assert_eq!(notes(&first, &first), Vec::<String>::new());
    }
}
