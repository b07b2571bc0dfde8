//! `flame-bench`: measures the product beside its peers. Exit status: 0 measured and every bound holds, 1 a bound does
//! not hold, 2 wrong usage, 3 could not be carried out.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use flame_bench::report::Section;
use flame_bench::{
    Options, glass, ladder, live, machine, metadata, multicast, players, portal, quality, report, router, soak,
    startup, switching, upload, vcdn, vod,
};

/// Measures the product beside its peers
#[derive(Debug, Parser)]
#[command(name = "flame-bench", version)]
struct Args {
    #[command(subcommand)]
    benchmark: Benchmark,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
enum Benchmark {
    /// Everything below, in this order
    All,
    /// `flame up`: time until ready, and memory at rest
    Up,
    /// A large file by PUT and by tus, beside nginx's dav
    Upload,
    /// The ladder, beside one ffmpeg command with the same settings
    Ladder,
    /// A segment of an upload, just in time, beside nginx sending it from a file; and how soon an upload plays
    Vod,
    /// The surrogate, beside nginx's proxy cache and Varnish
    Vcdn,
    /// Routing and the surrogate: `vcdn`, `switching`, `router` and `multicast`
    Edge,
    /// Endpoints that fail or leave behind the router, beside nginx and HAProxy
    Switching,
    /// The router in the path, beside HAProxy
    Router,
    /// One answer to eight sites by multicast, beside unicast (network namespaces, root)
    Multicast,
    /// A live channel: how soon parts are with a thousand viewers who wait for them
    Live,
    /// Live, from the clock in the picture to the screen of a browser
    Glass,
    /// Players that nobody here wrote, minutes of a live channel each: does any of them stall? Not one of `all`
    Players,
    /// A catalogue of a million assets, on SQLite and PostgreSQL. Not one of `all`
    Metadata,
    /// The portal in a browser: its first view, and a map of 200 endpoints
    Portal,
    /// Scores of a film, beside one ffmpeg that computes the same; 200 viewers who watch, on one core
    Quality,
    /// A live channel with viewers for an hour: is memory flat? Not one of `all`
    Soak,
    /// What `switching` kills and stops
    #[command(hide = true)]
    Endpoint { name: String },
}

/// What stands between a viewer and an origin.
const EDGE: [Benchmark; 4] = [Benchmark::Vcdn, Benchmark::Switching, Benchmark::Router, Benchmark::Multicast];
/// What takes so long that it is measured only where it is named.
const LONG: [Benchmark; 3] = [Benchmark::Metadata, Benchmark::Players, Benchmark::Soak];

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = tokio::select! {
        outcome = run(&args) => outcome,
        // What was started ends, and what was written goes, as the benchmark is dropped.
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("flame-bench: {error:#}");
            ExitCode::from(3)
        }
    }
}

/// Measures, prints, and says whether every bound holds.
async fn run(args: &Args) -> Result<bool> {
    if let Benchmark::Endpoint { name } = &args.benchmark {
        switching::endpoint::serve(name).await?;
    }
    let all = [
        Benchmark::Up,
        Benchmark::Upload,
        Benchmark::Ladder,
        Benchmark::Vod,
        Benchmark::Vcdn,
        Benchmark::Switching,
        Benchmark::Router,
        Benchmark::Multicast,
        Benchmark::Live,
        Benchmark::Glass,
        Benchmark::Portal,
        Benchmark::Quality,
        Benchmark::Metadata,
        Benchmark::Players,
        Benchmark::Soak,
    ];
    let is_wanted = |one: &Benchmark| match args.benchmark {
        Benchmark::All => !LONG.contains(one),
        Benchmark::Edge => EDGE.contains(one),
        ref named => named == one,
    };
    let wanted = all.into_iter().filter(is_wanted);
    let mut holds = true;
    for benchmark in wanted {
        let section = measure(benchmark, &args.options).await?;
        let text = section.markdown(&machine::facts(args.options.dir.as_deref())?);
        println!("{text}");
        holds &= section.holds();
        if args.options.write {
            report::write(section.name, &text)?;
        }
    }
    Ok(holds)
}

async fn measure(benchmark: Benchmark, options: &Options) -> Result<Section> {
    match benchmark {
        Benchmark::All | Benchmark::Edge | Benchmark::Endpoint { .. } => anyhow::bail!("this is no single benchmark"),
        Benchmark::Up => startup::measure(options).await,
        Benchmark::Upload => upload::measure(options).await,
        Benchmark::Ladder => ladder::measure(options).await,
        Benchmark::Vod => vod::measure(options).await,
        Benchmark::Vcdn => vcdn::measure(options).await,
        Benchmark::Switching => switching::measure(options).await,
        Benchmark::Router => router::measure(options).await,
        Benchmark::Multicast => multicast::measure(options).await,
        Benchmark::Live => live::measure(options).await,
        Benchmark::Glass => glass::measure(options).await,
        Benchmark::Portal => portal::measure(options).await,
        Benchmark::Metadata => metadata::measure(options).await,
        Benchmark::Players => players::measure(options).await,
        Benchmark::Quality => quality::measure(options).await,
        Benchmark::Soak => soak::measure(options).await,
    }
}
