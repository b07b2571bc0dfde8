//! `flame sla`: what demands come to, and the measurements that this is reckoned by.
//!
//! The orchestrator reckons, because it knows its clusters and what is free; here documents are read, and people answered.

mod calibrate;
mod capacity;
mod renditions;

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use flame_api::orchestrator::sla::{Calibration, NewSolution, Prediction, Solution};
use flame_sla::document::DOCUMENT_MAX_BYTES;
use flame_sla::{Sla, schema};
use serde_json::json;

use crate::args::{self, Global, SlaCommand};
use crate::exit::Exit;
use crate::template::deployed;
use crate::{connection, output};

pub use calibrate::{Bench, calibrated, watched};
pub use renditions::{Rung, rungs};

/// Longest calibration that is read, bytes.
const CALIBRATION_MAX_BYTES: u64 = 1 << 20;

pub async fn run(global: &Global, args: args::Sla) -> Result<(), Exit> {
    match args.command {
        SlaCommand::Validate { file } => {
            let (_, sla) = read(&file)?;
            output::print_line(&format!("{} is right: {} viewers at the peak", file.display(), sla.peak()))
        }
        SlaCommand::Calibrate(args) => calibrate(global, args).await,
        SlaCommand::Solve { file, calibration, deploy, template } => {
            let calibration = calibration.unwrap_or_else(|| beside(&file));
            solve(global, &file, &calibration, deploy, template.as_deref()).await
        }
        SlaCommand::Schema => output::print_line(schema::text().trim_end()),
    }
}

/// Where a calibration lies that nobody put elsewhere.
fn beside(file: &Path) -> PathBuf {
    file.with_extension("calibration.json")
}

fn read(file: &Path) -> Result<(String, Sla), Exit> {
    let length =
        std::fs::metadata(file).with_context(|| format!("read {}", file.display())).map_err(Exit::usage)?.len();
    if length > DOCUMENT_MAX_BYTES as u64 {
        return Err(Exit::usage(anyhow!("{} is longer than {DOCUMENT_MAX_BYTES} bytes", file.display())));
    }
    let text =
        std::fs::read_to_string(file).with_context(|| format!("read {}", file.display())).map_err(Exit::usage)?;
    let sla = Sla::read(&text).map_err(|error| {
        let (line, column, reason) = (error.line, error.column, error.reason);
        Exit::usage(anyhow!("{}:{line}:{column}: {reason}", file.display()))
    })?;
    Ok((text, sla))
}

async fn calibrate(global: &Global, args: args::Calibrate) -> Result<(), Exit> {
    let (_, sla) = read(&args.file)?;
    let client = connection::client(global);
    let out = args.out.clone().unwrap_or_else(|| beside(&args.file));
    let assets = if args.assets.is_empty() { crate::load::playable(&client).await? } else { args.assets };
    let ms = |span: flame_service_host::config::Span| u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX);
    let bench = Bench {
        assets,
        uplink_bytes_per_s: args.uplink.map(|rate| rate.0),
        levels: args.levels,
        lasts_ms: ms(args.lasts),
        ramp_ms: ms(args.ramp),
        buffer_ms: ms(args.buffer),
        start_ms: ms(args.start),
    };
    let calibration = calibrated(&client, &sla, &bench, global.json).await?;
    let text = serde_json::to_string_pretty(&calibration).map_err(anyhow::Error::new)?;
    std::fs::write(&out, text + "\n")
        .with_context(|| format!("write {}", out.display()))
        .map_err(Exit::not_carried_out)?;
    if global.json {
        return output::print_json(&calibration);
    }
    let mut table = output::table(&["load", "viewers", "first picture p50", "p95", "stalled"]);
    for level in &calibration.levels {
        table.add_row([
            format!("{:.2}", level.load),
            level.viewers.to_string(),
            format!("{:.0} ms", level.start_up_p50_ms),
            format!("{:.0} ms", level.start_up_p95_ms),
            format!("{:.2} %", level.stalled_share * 100.0),
        ]);
    }
    output::print_line(&table.trim_fmt())?;
    output::print_line(&format!(
        "\none surrogate sends {:.1} Mbit/s at most, and is back {:.1} s after its end; viewers took {}\nwritten to {}",
        calibration.capacity_bps / 1e6,
        calibration.repair_s,
        calibration.rendition,
        out.display()
    ))
}

async fn solve(
    global: &Global,
    file: &Path,
    calibration: &Path,
    deploy: bool,
    template: Option<&Path>,
) -> Result<(), Exit> {
    let (text, sla) = read(file)?;
    let missing = || format!("read {}: `flame sla calibrate {}` makes it", calibration.display(), file.display());
    let length = std::fs::metadata(calibration).with_context(missing).map_err(Exit::usage)?.len();
    if length > CALIBRATION_MAX_BYTES {
        return Err(Exit::usage(anyhow!("{} is longer than {CALIBRATION_MAX_BYTES} bytes", calibration.display())));
    }
    let measured = std::fs::read_to_string(calibration).with_context(missing).map_err(Exit::usage)?;
    let measured: Calibration = serde_json::from_str(&measured)
        .with_context(|| format!("{} is no calibration", calibration.display()))
        .map_err(Exit::usage)?;
    let client = connection::client(global);
    let solution = client.solve(&NewSolution { sla: text, calibration: measured }).await?;
    if let (Some(path), Some(text)) = (template, &solution.template) {
        std::fs::write(path, text)
            .with_context(|| format!("write {}", path.display()))
            .map_err(Exit::not_carried_out)?;
    }
    let deployment = match &solution.template {
        Some(text) if deploy => Some(deployed::settled(&client, text.clone()).await?),
        Some(_) | None => None,
    };
    if global.json {
        let mut shown = json!({ "solution": solution });
        if let Some(deployment) = &deployment {
            shown["deployment"] = serde_json::to_value(deployment).map_err(anyhow::Error::new)?;
        }
        output::print_json(&shown)?;
    } else {
        show(&sla, &solution)?;
        if let Some(deployment) = deployment {
            output::print_line("")?;
            deployed::show(&client, &[deployment])?;
        }
    }
    if solution.is_feasible {
        return Ok(());
    }
    Err(Exit::failed(anyhow!("`{}` cannot be kept as it is asked for", sla.sla)))
}

fn show(sla: &Sla, solution: &Solution) -> Result<(), Exit> {
    if !solution.is_feasible {
        output::print_line("nothing keeps all of it. What would be possible, with one thing changed:")?;
        for one in &solution.nearest {
            output::print_line(&format!("  {}", one.why))?;
        }
        if solution.nearest.is_empty() {
            output::print_line(
                "  nothing: no smaller demand is served as asked either; change two things, or calibrate anew",
            )?;
        }
        return notes(solution);
    }
    let mut table =
        output::table(&["cluster", "site", "surrogates", "for failures", "each keeps", "serves", "an hour"]);
    for size in &solution.sizes {
        table.add_row([
            size.cluster.clone(),
            size.site.clone(),
            size.instances.to_string(),
            (size.instances - size.needed).to_string(),
            output::size(size.cache_bytes),
            size.serves.join(" "),
            format!("{:.2}", size.cost_per_hour),
        ]);
    }
    output::print_line(&table.trim_fmt())?;
    let memory = output::size(solution.memory_bytes);
    output::print_line(&format!("\n{} processors, {memory}, {:.2} an hour\n", solution.cpus, solution.cost_per_hour))?;
    let mut table = output::table(&[
        "site",
        "from",
        "viewers",
        "load",
        "sent",
        "first picture p95",
        "stalled",
        "VMAF",
        "available",
    ]);
    for one in &solution.predicted {
        table.add_row(row(one));
    }
    output::print_line(&table.trim_fmt())?;
    output::print_line("")?;
    for one in &solution.binding {
        output::print_line(&format!("binds: {}", one.why))?;
    }
    if solution.binding.is_empty() {
        output::print_line(&format!("binds: the traffic of {} viewers alone", sla.peak()))?;
    }
    notes(solution)
}

fn row(one: &Prediction) -> [String; 9] {
    [
        one.site.clone(),
        format!("{:02.0}:{:02.0}", one.from_h.trunc(), one.from_h.fract() * 60.0),
        one.viewers.to_string(),
        format!("{:.2}", one.load),
        format!("{:.1} Mbit/s", one.delivered_bps / 1e6),
        format!("{:.0} ms", one.start_up_p95_ms),
        format!("{:.2} %", one.stalled_share * 100.0),
        one.vmaf.map_or_else(|| "not measured".to_owned(), |vmaf| format!("{vmaf:.1}")),
        format!("{:.5}", one.availability),
    ]
}

fn notes(solution: &Solution) -> Result<(), Exit> {
    solution.notes.iter().try_for_each(|note| output::print_line(&format!("note: {note}")))
}
