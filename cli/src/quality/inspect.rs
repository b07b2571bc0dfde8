//! `flame quality inspect`: what is wrong with media, without a reference.

use anyhow::anyhow;
use flame_api::quality::Inspection;
use flame_api::quality::inspection::Spans;
use flame_media_child::protocol::{InspectPlan, Outcome, Request};
use flame_quality::gate::{Gate, Verdict};
use flame_quality::{figures, junit};

use super::{Verdicts, ask, cases, input, misunderstood, remote, write_junit};
use crate::args::{Global, Inspect};
use crate::exit::Exit;
use crate::output;

/// Stretches of a kind that are printed.
const SHOWN_MAX: usize = 10;

pub async fn run(global: &Global, args: &Inspect) -> Result<(), Exit> {
    if let Some(gate) = args.gates.iter().find(|gate| !gate.needs_inspection()) {
        return Err(Exit::usage(anyhow!("gate {gate} needs a reference: `flame quality compare` measures that")));
    }
    let begun = std::time::Instant::now();
    let class = format!("inspection of {}", args.media);
    let found = if args.remote { remote::inspect(global, args).await } else { local(global, args).await };
    let time_s = begun.elapsed().as_secs_f64();
    let (inspection, verdicts) = match found {
        Ok(found) => found,
        Err(exit) => {
            let outcome = junit::Outcome::Error(exit.message());
            let case = junit::Case { class, name: "measured".to_owned(), time_s, outcome };
            write_junit(args.junit.as_deref(), &[case])?;
            return Err(exit);
        }
    };
    let summary = format!("{} figures", figures::table(&inspection).len());
    write_junit(args.junit.as_deref(), &cases(&class, &verdicts, summary, time_s))?;
    if global.json {
        output::print_json(&inspection)?;
    } else {
        print(&inspection)?;
    }
    judge(global, &verdicts)
}

async fn local(global: &Global, args: &Inspect) -> Result<(Inspection, Verdicts), Exit> {
    let media = input(global, &args.media, None).await?;
    let inspection = measure(media, args.shortest.0.as_secs_f64(), "inspecting", global.json).await?;
    let verdicts = judged(&args.gates, &inspection);
    Ok((inspection, verdicts))
}

/// Has a child inspect; shows how far it is.
pub async fn measure(input: String, shortest_s: f64, name: &str, quiet: bool) -> Result<Inspection, Exit> {
    let request = Request::Inspect { plan: InspectPlan { input, follow_playlists: true, shortest_s } };
    let Outcome::Inspect { inspection } = ask(request, name, quiet).await? else { return Err(misunderstood()) };
    Ok(*inspection)
}

fn judged(gates: &[Gate], inspection: &Inspection) -> Verdicts {
    gates.iter().map(|gate| (gate.to_string(), gate.judge_inspection(inspection))).collect()
}

/// Says what every gate says. What could not be measured counts more than what fails: nobody knows how it is.
pub fn judge(global: &Global, verdicts: &[(String, Result<Verdict, String>)]) -> Result<(), Exit> {
    let (mut failed, mut unknown) = (Vec::new(), Vec::new());
    for (gate, verdict) in verdicts {
        match verdict {
            Ok(verdict) if verdict.passes => {
                if !global.json {
                    output::print_line(&format!("passed: {gate} (measured {:.4})", verdict.measured))?;
                }
            }
            Ok(verdict) => failed.push(format!("{gate} (measured {:.4})", verdict.measured)),
            Err(why) => unknown.push(format!("{gate}: {why}")),
        }
    }
    if !unknown.is_empty() {
        return Err(Exit::not_carried_out(anyhow!("a gate could not be judged: {}", unknown.join("; "))));
    }
    if failed.is_empty() { Ok(()) } else { Err(Exit::failed(anyhow!("a gate failed: {}", failed.join("; ")))) }
}

fn print(inspection: &Inspection) -> Result<(), Exit> {
    let mut table = output::table(&["figure", "value"]);
    for (name, value) in figures::table(inspection) {
        let text = if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.3}") };
        table.add_row([name, text]);
    }
    output::print_line(&table.to_string())?;
    let video = inspection.video.as_ref();
    let kinds = [
        ("black", video.map(|video| &video.black)),
        ("frozen", video.map(|video| &video.freeze)),
        ("silent", inspection.audio.as_ref().map(|audio| &audio.silence)),
    ];
    for (name, spans) in kinds {
        if let Some(spans) = spans.filter(|spans| spans.count > 0) {
            output::print_line(&format!("{name}: {}", listed(spans)))?;
        }
    }
    for missing in &inspection.not_measured {
        output::print_line(&format!("not measured: {}: {}", missing.detector, missing.why))?;
    }
    for lack in &inspection.incomplete {
        output::print_line(&format!("PARTIAL: {lack}"))?;
    }
    for note in &inspection.notes {
        output::print_line(&format!("note: {note}"))?;
    }
    Ok(())
}

fn listed(spans: &Spans) -> String {
    let shown = spans.list.iter().take(SHOWN_MAX);
    let mut text =
        shown.map(|span| format!("{:.3} to {:.3} s", span.start_s, span.end_s)).collect::<Vec<_>>().join(", ");
    if spans.count > SHOWN_MAX as u64 {
        text.push_str(&format!(" and {} more", spans.count - SHOWN_MAX as u64));
    }
    text
}
