//! `flame`: one binary that runs everything on one machine (`flame up`), and the clients of its services.
//!
//! Exit status of every command: 0 done or verified, 1 the thing checked failed, 2 wrong usage or document (also where
//! the service that is asked says so, with 400 or 422), 3 could not be carried out. It holds no logic of a service: `up`
//! starts them, everything else speaks HTTP to them.

mod args;
mod asset;
mod backup;
mod bundle;
mod ca;
mod chain;
mod channel;
mod clips;
mod clmc;
mod connection;
mod contents;
mod data;
mod demo;
mod doctor;
mod down;
mod edge;
mod endpoint;
mod exit;
mod health;
mod ingest;
mod job;
mod load;
mod manifest;
mod migrate;
mod output;
mod outside;
mod parts;
mod ports;
mod quality;
mod restore;
mod route;
mod secrets;
mod service;
mod site;
mod sla;
mod store;
mod subtitles;
mod template;
mod token;
mod up;
mod upload;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Args, Command};
use exit::Exit;

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return Exit::not_carried_out(anyhow::Error::new(error).context("start the async runtime")).report();
        }
    };
    let outcome = runtime.block_on(run(args));
    // Blocking work of a command that was interrupted must not hold up the exit.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => exit.report(),
    }
}

async fn run(args: Args) -> Result<(), Exit> {
    let Args { global, command } = args;
    match command {
        Command::Up(up) => up::run(&global, up).await,
        Command::Down(down) => down::run(&global, &down).await,
        Command::Backup(backup) => backup::run(&global, backup).await,
        Command::Restore(restore) => restore::run(&global, restore).await,
        Command::Migrate(migrate) => migrate::run(&global, migrate).await,
        Command::Store(store) => store::run(&global, store).await,
        Command::Demo(demo) => demo::run(&global, demo).await,
        Command::DemoInstance(instance) => demo::instance::run(&global, instance).await,
        Command::Ingest(ingest) => ingest::run(&global, ingest).await,
        Command::Asset(asset) => asset::run(&global, asset).await,
        Command::Subtitles(subtitles) => subtitles::run(&global, subtitles).await,
        Command::Channel(channel) => channel::run(&global, channel).await,
        Command::Chain(chain) => chain::run(&global, chain).await,
        Command::Job(job) => job::run(&global, job).await,
        Command::Quality(quality) => quality::run(&global, quality).await,
        Command::Edge(edge) => edge::run(&global, edge).await,
        Command::Load(load) => load::run(&global, load).await,
        Command::Service(service) => service::run(&global, service).await,
        Command::Site(site) => site::run(&global, site),
        Command::Sla(sla) => sla::run(&global, sla).await,
        Command::Endpoint(endpoint) => endpoint::run(&global, endpoint).await,
        Command::Route(route) => route::run(&global, route).await,
        Command::Clmc(clmc) => clmc::run(&global, clmc).await,
        Command::Template(template) => template::run(&global, template).await,
        Command::Token(token) => token::run(&global, &token),
        Command::Ca(ca) => ca::run(&global, &ca),
        Command::Parts(parts) => parts::run(&global, &parts),
        Command::Doctor(doctor) => doctor::run(&global, &doctor).await,
        Command::Health => health::run(&global).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "flame", &mut script);
            output::print_line(String::from_utf8_lossy(&script).trim_end())
        }
    }
}
