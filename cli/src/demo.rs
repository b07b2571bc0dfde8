//! `flame demo`: the guided tour. Every step is something that was verified, or the tour ends there.
//!
//! A scenario plays on a `flame up` of its own: free ports, a temporary data folder, a real child process that it may
//! kill. Nothing of the tour is special to the services; they do not know that they are shown.

mod adapt;
mod clip;
mod files;
mod indirection;
mod ingest;
pub mod instance;
mod live;
mod metadata;
mod multicast;
mod path;
mod place;
mod player;
mod quality;
mod sla;
mod stage;
mod switch;
mod tour;
mod transcode;
mod transrate;
mod vcdn;
mod vod;

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::args::{self, Global};
use crate::exit::Exit;
use crate::output;
use place::Place;
use stage::Stage;
use tour::{Broken, Report, Tour, Verified};

/// A scenario of the tour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scenario {
    Vod,
    Ingest,
    Metadata,
    Transcode,
    Transrate,
    Live,
    Quality,
    Switch,
    Indirection,
    Vcdn,
    Multicast,
    Path,
    Adapt,
    Sla,
}

/// The wish that everything ends: Ctrl-C, a request to terminate, or the terminal is gone.
#[derive(Debug)]
struct End {
    signals: [Signal; 3],
}

pub async fn run(global: &Global, args: args::Demo) -> Result<(), Exit> {
    if args.list {
        return list(global);
    }
    let name = args.scenario.unwrap_or_default();
    let scenarios = match Scenario::ALL.iter().find(|scenario| scenario.name() == name) {
        Some(scenario) if args.netns && scenario.machines().is_none() => {
            let able: Vec<_> =
                Scenario::ALL.iter().filter(|one| one.machines().is_some()).map(|one| one.name()).collect();
            let able = able.join(", ");
            return Err(Exit::usage(anyhow!("`{name}` has no links between its parts; --netns is for {able}")));
        }
        Some(scenario) => vec![*scenario],
        None => Scenario::ALL.into_iter().filter(|scenario| !args.netns || scenario.machines().is_some()).collect(),
    };
    if let Some(file) = &args.file {
        crate::ingest::is_file(file).map_err(Exit::usage)?;
    }
    let mut end = End::new()?;
    let mut reports = Vec::new();
    let mut last = None;
    for scenario in scenarios {
        // Only the last one stays open: the others would hold the tour up.
        if let Some(before) = last.take() {
            Stage::close(before).await;
        }
        if global.json {
            // It may take a minute, and its report comes at the end.
            eprintln!("playing {}", scenario.name());
        }
        if args.netns {
            reports.push(play_on_machines(scenario, args.file.clone(), global.json, &mut end).await?);
            continue;
        }
        let (report, stage) = play(scenario, args.file.as_deref(), global.json, &mut end).await?;
        reports.push(report);
        last = Some(stage);
    }
    if global.json {
        match reports.as_slice() {
            [report] => output::print_json(report)?,
            reports => output::print_json(&reports)?,
        }
    }
    if let Some(stage) = last {
        if let (false, Some(router)) = (args.once, stage.router()) {
            let offers = reports.last().map_or(&[][..], Report::offers);
            offers.iter().for_each(|offer| eprintln!("\n{offer}"));
            eprintln!("\nEverything is still open at {router} (data in {}). Ctrl-C ends it.", stage.data().display());
            end.wished().await;
            eprintln!("\nstopping");
        }
        stage.close().await;
    }
    let broken: Vec<_> = reports.iter().filter_map(Report::failure).collect();
    if broken.is_empty() { Ok(()) } else { Err(Exit::failed(anyhow!(broken.join("; ")))) }
}

/// What can be asked for: the scenarios, and all of them.
pub fn names() -> Vec<&'static str> {
    Scenario::ALL.iter().map(|scenario| scenario.name()).chain(["all"]).collect()
}

fn list(global: &Global) -> Result<(), Exit> {
    if global.json {
        let all: Vec<_> =
            Scenario::ALL.iter().map(|one| serde_json::json!({ "name": one.name(), "about": one.about() })).collect();
        return output::print_json(&all);
    }
    for scenario in Scenario::ALL {
        output::print_line(&format!("{:<12} {}", scenario.name(), scenario.about()))?;
    }
    Ok(())
}

/// Plays one scenario. Its stage is still open afterwards.
async fn play(scenario: Scenario, file: Option<&Path>, quiet: bool, end: &mut End) -> Result<(Report, Stage), Exit> {
    let mut tour = Tour::new(scenario.name(), scenario.about(), quiet);
    let (mut stage, place) = (Stage::new()?, Place::loopback());
    tokio::select! {
        // A broken step is in the report already.
        _ = perform(scenario, &mut tour, &mut stage, file, &place) => {}
        () = end.wished() => {
            stage.close().await;
            return Err(interrupted());
        }
    }
    Ok((tour.finish(), stage))
}

/// Plays one scenario on machines of its own. Nobody outside of them could look at it afterwards, so it ends with it.
async fn play_on_machines(
    scenario: Scenario,
    file: Option<PathBuf>,
    quiet: bool,
    end: &mut End,
) -> Result<Report, Exit> {
    let machines = scenario.machines().unwrap_or_default();
    let place = Place::machines(machines)?;
    let (stop, stage, there) = (CancellationToken::new(), Stage::new()?, place.clone());
    let stopped = stop.clone();
    let played = place.at(machines[0], move || async move {
        let (mut tour, mut stage) = (Tour::new(scenario.name(), scenario.about(), quiet), stage);
        tokio::select! {
            _ = perform(scenario, &mut tour, &mut stage, file.as_deref(), &there) => {}
            () = stopped.cancelled() => {}
        }
        stage.close().await;
        tour.finish()
    });
    tokio::pin!(played);
    tokio::select! {
        report = &mut played => Ok(report?),
        () = end.wished() => {
            stop.cancel();
            // What it came to so far is of no use.
            let _ = played.await;
            Err(interrupted())
        }
    }
}

fn interrupted() -> Exit {
    Exit::not_carried_out(anyhow!("interrupted; nothing was left behind"))
}

async fn perform(
    scenario: Scenario,
    tour: &mut Tour,
    stage: &mut Stage,
    file: Option<&Path>,
    place: &Place,
) -> Result<(), Broken> {
    let clip: PathBuf = tour.step("clip", clip::find(file)).await?;
    match scenario {
        Scenario::Vod => vod::perform(tour, stage, &clip).await,
        Scenario::Ingest => ingest::perform(tour, stage, &clip).await,
        Scenario::Metadata => metadata::perform(tour, stage, &clip).await,
        Scenario::Transcode => transcode::perform(tour, stage, &clip).await,
        Scenario::Transrate => transrate::perform(tour, stage, &clip).await,
        Scenario::Live => live::perform(tour, stage, &clip).await,
        Scenario::Quality => quality::perform(tour, stage, &clip).await,
        Scenario::Switch => switch::perform(tour, stage, &clip, place).await,
        Scenario::Indirection => indirection::perform(tour, stage, &clip, place).await,
        Scenario::Multicast => multicast::perform(tour, stage, &clip, place).await,
        Scenario::Path => path::perform(tour, stage, &clip, place).await,
        Scenario::Adapt => adapt::perform(tour, stage, &clip).await,
        Scenario::Sla => sla::perform(tour, stage, &clip).await,
        Scenario::Vcdn => vcdn::perform(tour, stage, &clip, place).await,
    }
}

// === impl End ===

impl End {
    fn new() -> anyhow::Result<Self> {
        let of = |kind| signal(kind).context("listen for signals");
        Ok(Self { signals: [of(SignalKind::interrupt())?, of(SignalKind::terminate())?, of(SignalKind::hangup())?] })
    }

    async fn wished(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {}, _ = hangup.recv() => {} }
    }
}

// === impl Scenario ===

impl Scenario {
    /// In the order in which a newcomer should see them.
    const ALL: [Self; 14] = [
        Self::Vod,
        Self::Ingest,
        Self::Metadata,
        Self::Transcode,
        Self::Transrate,
        Self::Live,
        Self::Quality,
        Self::Switch,
        Self::Indirection,
        Self::Vcdn,
        Self::Multicast,
        Self::Path,
        Self::Adapt,
        Self::Sla,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Vod => "vod",
            Self::Ingest => "ingest",
            Self::Metadata => "metadata",
            Self::Transcode => "transcode",
            Self::Transrate => "transrate",
            Self::Live => "live",
            Self::Quality => "quality",
            Self::Switch => "switch",
            Self::Indirection => "indirection",
            Self::Multicast => "multicast",
            Self::Path => "path",
            Self::Adapt => "adapt",
            Self::Sla => "sla",
            Self::Vcdn => "vcdn",
        }
    }

    /// The machines that it can be played on, the one of its viewers first; `None` where nothing lies between its parts.
    fn machines(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Indirection => Some(&indirection::MACHINES),
            Self::Multicast => Some(&multicast::MACHINES),
            Self::Path => Some(&path::MACHINES),
            Self::Switch => Some(&switch::MACHINES),
            Self::Vcdn => Some(&vcdn::MACHINES),
            Self::Vod
            | Self::Ingest
            | Self::Metadata
            | Self::Transcode
            | Self::Transrate
            | Self::Live
            | Self::Quality
            | Self::Adapt
            | Self::Sla => None,
        }
    }

    fn about(self) -> &'static str {
        match self {
            Self::Vod => "a clip is uploaded, probed, catalogued, encoded to a ladder, packaged and played back",
            Self::Ingest => {
                "uploads are cut, killed and resumed; damaged ones and files that are not media are refused"
            }
            Self::Metadata => {
                "assets are described, found, counted and followed; an edit conflict, a played URL's provenance, export and import"
            }
            Self::Transcode => {
                "chains with gates that pass and that do not, in several codecs; everything is killed in the middle of a job"
            }
            Self::Transrate => "a site with one rendition serves smaller ones, made a segment at a time on request",
            Self::Live => {
                "a clip is published by RTMP and followed part by part; the encoder is cut off, comes back, and the recording plays"
            }
            Self::Quality => {
                "a bad chain and a good one on the same clip are measured; a gate tells them apart, and keeps the bad one from viewers"
            }
            Self::Switch => {
                "instances are killed, hang, are drained and stand by under load, with switching and without"
            }
            Self::Indirection => {
                "an object that one surrogate of two sites has is found, and not found without a search"
            }
            Self::Multicast => {
                "forty clients at four sites want one cold object, with and without multicast between routers"
            }
            Self::Path => "one name for three functions in a row at two sites, beside a client that does their work",
            Self::Adapt => {
                "a flash crowd makes an edge slow; CLMC sees it, the orchestrator connects a second surrogate, and takes it back afterwards"
            }
            Self::Sla => {
                "a demand is refused as too cheap, changed to the nearest that can be kept, deployed, watched, and measured against its promise"
            }
            Self::Vcdn => "fifty viewers of one cold asset, with and without a surrogate in front of the origin",
        }
    }
}

/// The first bytes of a clip, as an object whose way is shown.
async fn beginning(clip: &Path, bytes_max: usize) -> anyhow::Result<Verified<Vec<u8>>> {
    let mut bytes = tokio::fs::read(clip).await.with_context(|| format!("read {}", clip.display()))?;
    bytes.truncate(bytes_max);
    let detail = format!("the first {} KiB of the clip", bytes.len() >> 10);
    Ok(Verified(bytes, detail))
}
