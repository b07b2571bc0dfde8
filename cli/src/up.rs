//! `flame up`: everything in one process, in the foreground or behind it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use flame_metadata::config::Webhook;
use flame_naming::site::Sites;
use flame_router::config::OidcConfig;
use flame_service_host::StartError;
use flame_service_host::logs;
use flame_service_host::problem::chain;
use flame_streaming::config::SteeringConfig;
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Global, Up};
use crate::bundle::{Bundle, FUNCTIONS, Settings};
use crate::connection::LiveDoor;
use crate::data::{self, DataFolder, Holder};
use crate::exit::Exit;
use crate::output;
use crate::ports;
use crate::site;
use crate::site::layout::Layout;

/// How long `-d` waits for everything to be ready.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it looks.
const POLL: Duration = Duration::from_millis(50);
/// The log of a detached `flame up` is put aside at a start that finds it longer than this.
const LOG_MAX_BYTES: u64 = 64 << 20;
/// The ports that encoders use where none is named.
pub const RTMP_PORT: u16 = 1935;
pub const SRT_PORT: u16 = 8890;
pub const WHIP_PORT: u16 = 8189;
/// Why it ends when nobody ended it.
const LOST: &str = "another `flame up` has taken the database that outside.toml names: everything was stopped; two on the same would each \
                    delete what only the other one knows";
/// How the banner begins, and how it ends in the foreground.
const READY: &str = "FLAME is ready";
const FOREGROUND_STOP: &str = "Ctrl-C stops it.";

/// What `--json` prints once everything is ready.
#[derive(Debug, Serialize, Deserialize)]
struct Ready {
    /// The router's URL.
    router: String,
    /// Where each service is reached.
    services: BTreeMap<String, String>,
    /// Where the routers of the other points of presence are, where there are several.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    sites: BTreeMap<String, String>,
    /// The embedded object store's URL.
    store: Option<String>,
    /// Where encoders publish; a channel's key follows.
    rtmp: Option<String>,
    /// The same by SRT; `?streamid=` and the key follow.
    srt: Option<String>,
    /// The same by WHIP; the key follows.
    whip: Option<String>,
    /// The data folder.
    data: PathBuf,
    /// The process that serves.
    pid: u32,
    /// How long the start took.
    ready_after_ms: u64,
    /// The token that this start made, if it was the first that needed one.
    token: Option<String>,
}

pub async fn run(global: &Global, args: Up) -> Result<(), Exit> {
    let folder = data::folder(args.data.as_deref())?;
    let files = Files::read(&args)?;
    if args.detach { detach(global, &args, &folder).await } else { serve(global, &args, folder, files).await }
}

/// What stands in files that arguments name.
struct Files {
    steering: Option<SteeringConfig>,
    oidc: Option<OidcConfig>,
    webhooks: Vec<Webhook>,
    site: Option<Sites>,
}

/// A file that `--steering` names.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SteeringFile {
    steering: SteeringConfig,
}

/// A file that `--oidc` names.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OidcFile {
    oidc: OidcConfig,
}

/// A file that `--webhooks` names.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WebhooksFile {
    #[serde(deserialize_with = "flame_metadata::config::webhooks")]
    webhooks: Vec<Webhook>,
}

// === impl Files ===

impl Files {
    fn read(args: &Up) -> Result<Self, Exit> {
        let steering = args.steering.as_deref().map(|path| file::<SteeringFile>(path, "steering")).transpose()?;
        let oidc = args.oidc.as_deref().map(|path| file::<OidcFile>(path, "oidc")).transpose()?;
        if oidc.is_some() && args.listen.ip().is_loopback() {
            let help = "nobody need sign in at a router on loopback: `--oidc` goes with a `--listen` that others reach, as 0.0.0.0:8080";
            return Err(Exit::usage(anyhow!(help)));
        }
        let webhooks = args.webhooks.as_deref().map(|path| file::<WebhooksFile>(path, "webhooks")).transpose()?;
        Ok(Self {
            steering: steering.map(|file| file.steering),
            oidc: oidc.map(|file| file.oidc),
            webhooks: webhooks.map(|file| file.webhooks).unwrap_or_default(),
            site: args.site.as_deref().map(site::read).transpose()?,
        })
    }
}

/// Reads a file that is a `what`.
fn file<T: serde::de::DeserializeOwned>(path: &Path, what: &str) -> Result<T, Exit> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()));
    let file = toml::from_str(&text.map_err(Exit::usage)?);
    file.with_context(|| format!("{} is no {what} file", path.display())).map_err(Exit::usage)
}

async fn serve(global: &Global, args: &Up, folder: PathBuf, files: Files) -> Result<(), Exit> {
    // People who watch want warnings; a log file or collector wants everything.
    logs::init(if std::io::stderr().is_terminal() { "warn,s3s=off" } else { "info,s3s=off" });
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let has_terminal = std::io::stdin().is_terminal();
    let abandoned = stdin_ends(args.stop_with_stdin);
    tokio::pin!(abandoned);

    let mut data = DataFolder::take(folder).await?;
    // Also who is only starting can be stopped.
    let mut holder = Holder { pid: std::process::id(), router: args.listen, ready: false };
    data.announce(&holder)?;
    let layout = files.site.map(|sites| Layout::new(sites, args.listen)).transpose().map_err(Exit::usage)?;
    let settings = Settings {
        listen: args.listen,
        rtmp: beside(args.listen, args.rtmp, RTMP_PORT),
        srt: beside(args.listen, args.srt, SRT_PORT),
        srt_passphrase: args.srt_passphrase.clone(),
        whip: beside(args.listen, args.whip, WHIP_PORT),
        whip_advertise: args.whip_advertise.clone(),
        allow_private_pulls: args.allow_private_pulls,
        steering: files.steering,
        oidc: files.oidc,
        webhooks: files.webhooks,
        report_every: args.report_every,
        link_life: args.link_life,
        any_program: args.any_program,
        layout,
    };
    let began = Instant::now();
    let bundle = Bundle::start(data.path(), &settings).await.map_err(explain)?;
    holder.router = bundle.router();
    data.announce(&holder)?;
    let ready = tokio::select! {
        ready = bundle.ready() => ready,
        _ = interrupt.recv() => Err(anyhow!("interrupted before everything was ready")),
        _ = terminate.recv() => Err(anyhow!("stopped before everything was ready")),
        () = &mut abandoned => Err(anyhow!("stopped before everything was ready")),
    };
    if let Err(error) = ready {
        bundle.stop().await;
        return Err(error.into());
    }
    holder.ready = true;
    data.announce(&holder)?;
    if global.json {
        let ready = Ready::of(&bundle, data.path(), began.elapsed());
        output::print_line(&serde_json::to_string(&ready).map_err(anyhow::Error::new)?)?;
    } else {
        output::print_line(&banner(&bundle, data.path(), began.elapsed()))?;
    }
    bundle.first_token_was_shown(data.path())?;
    let is_lost = loop {
        tokio::select! {
            _ = interrupt.recv() => break false,
            _ = terminate.recv() => break false,
            () = &mut abandoned => break false,
            () = bundle.lost() => break true,
            // A terminal that is gone is no wish to reload.
            _ = hangup.recv() => if has_terminal && !std::io::stdin().is_terminal() { break false } else { bundle.reload() },
        }
    };
    if std::io::stderr().is_terminal() {
        eprintln!("\nstopping: open requests finish first; a second Ctrl-C stops at once");
    }
    tokio::select! {
        () = bundle.stop() => if is_lost { Err(Exit::not_carried_out(anyhow!(LOST))) } else { Ok(()) },
        _ = interrupt.recv() => Err(Exit::not_carried_out(anyhow!("stopped at once; running jobs go on at the next start"))),
    }
}

/// Where a live door listens: beside the router on its own port, on a free one where the router takes a free one.
fn beside(router: SocketAddr, door: Option<LiveDoor>, port: u16) -> Option<SocketAddr> {
    match door {
        Some(LiveDoor::At(address)) => Some(address),
        Some(LiveDoor::Off) => None,
        None => Some(SocketAddr::new(router.ip(), if router.port() == 0 { 0 } else { port })),
    }
}

/// Ends with standard input, if that is asked for.
async fn stdin_ends(is_asked: bool) {
    if !is_asked {
        std::future::pending::<()>().await;
    }
    let reading = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()));
    // An error is an end too.
    let _ = reading.await;
}

/// Where people reach what may listen on all addresses.
pub fn shown(address: SocketAddr) -> String {
    if address.ip().is_unspecified() { format!("localhost:{}", address.port()) } else { address.to_string() }
}

fn banner(bundle: &Bundle, data: &Path, took: Duration) -> String {
    let router = bundle.router();
    let shown = shown(router);
    let mut text = format!("{READY} after {:.1} s: http://{shown}/\n", took.as_secs_f64());
    for (name, about) in FUNCTIONS {
        text.push_str(&format!("  http://{shown}/~{name:<12} {about}\n"));
    }
    for (site, address) in bundle.presences() {
        text.push_str(&format!("  {site}: router and surrogate at http://{}/\n", self::shown(address)));
    }
    if let Some(store) = bundle.store() {
        text.push_str(&format!("  object store (S3) at http://{store}\n"));
    }
    if let Some(rtmp) = bundle.rtmp() {
        text.push_str(&format!(
            "  encoders publish to rtmp://{}/live/KEY with the key of a channel\n",
            self::shown(rtmp)
        ));
    }
    if let Some(srt) = bundle.srt() {
        text.push_str(&format!("  encoders publish to srt://{}?streamid=KEY likewise\n", self::shown(srt)));
    }
    if bundle.whip().is_some() {
        text.push_str(&format!("  browsers and OBS publish to http://{shown}/~ingest/whip/KEY (WebRTC)\n"));
    }
    text.push_str(&format!("  data in {}\n", data.display()));
    if let Some(token) = bundle.first_token() {
        text.push_str(&format!("\nOther machines can reach it, so callers need a token. This one was made for you:\n  http://{shown}/#token={token}\n"));
        text.push_str(&format!("and for the commands below:\n  export FLAME_TOKEN={token}\n"));
        text.push_str("It is not shown again; `flame token issue` makes more.\n");
    }
    let router_flag = if router.port() == 8080 { String::new() } else { format!(" --router http://{shown}") };
    text.push_str(&format!("\nNext: flame ingest FILE{router_flag}   flame asset list{router_flag}   flame doctor\n"));
    text.push_str(FOREGROUND_STOP);
    text
}

/// Starts the same command again behind the terminal, and waits until it is ready.
async fn detach(global: &Global, args: &Up, folder: &Path) -> Result<(), Exit> {
    if let Some(holder) = data::holder(folder)? {
        let message = anyhow!(
            "{} is in use: process {} at http://{}; `{}` stops it",
            folder.display(),
            holder.pid,
            holder.router,
            data::stop_command(folder)
        );
        return Err(Exit::not_carried_out(message));
    }
    data::create(folder)?;
    let path = folder.join(data::LOG);
    let began_at = put_aside(&path)?;
    let log = File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("open {}", path.display()))?;
    let mut command = Command::new(std::env::current_exe().context("find this program")?);
    command.arg("up").arg("--data").arg(folder).args(["--listen", &args.listen.to_string()]);
    if let Some(rtmp) = args.rtmp {
        command.args(["--rtmp", &rtmp.to_string()]);
    }
    if let Some(whip) = args.whip {
        command.args(["--whip", &whip.to_string()]);
    }
    for address in &args.whip_advertise {
        command.args(["--whip-advertise", &address.to_string()]);
    }
    if let Some(srt) = args.srt {
        command.args(["--srt", &srt.to_string()]);
    }
    if let Some(path) = &args.srt_passphrase {
        command.arg("--srt-passphrase").arg(path);
    }
    if args.allow_private_pulls {
        command.arg("--allow-private-pulls");
    }
    command.args(["--report-every", &args.report_every.to_string()]);
    command.args(["--link-life", &args.link_life.to_string()]);
    if args.any_program {
        command.arg("--any-program");
    }
    if let Some(site) = &args.site {
        command.arg("--site").arg(site);
    }
    if let Some(path) = &args.oidc {
        command.arg("--oidc").arg(path);
    }
    if let Some(path) = &args.steering {
        command.arg("--steering").arg(path);
    }
    if let Some(path) = &args.webhooks {
        command.arg("--webhooks").arg(path);
    }
    if global.json {
        command.arg("--json");
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // Its own group: Ctrl-C in this terminal is not for it.
        .process_group(0)
        .spawn()
        .context("start the services")?;
    let began = Instant::now();
    loop {
        let ready = data::holder(folder)?.is_some_and(|holder| holder.ready && Some(holder.pid) == child.id());
        if ready {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let text = text.get(began_at..).unwrap_or_default();
            if global.json {
                return output::print_json(&printed_ready(text, &path)?);
            }
            return output::print_line(&format!(
                "{}\n\nIt logs to {}. Stop it with: {}",
                printed_banner(text),
                path.display(),
                data::stop_command(folder)
            ));
        }
        if let Some(status) = child.try_wait()? {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let reason = text.get(began_at..).unwrap_or_default().lines().rfind(|line| line.starts_with("flame: "));
            let reason = reason.map_or_else(
                || format!("it ended ({status}); {} may say why", path.display()),
                |line| line["flame: ".len()..].to_owned(),
            );
            return Err(Exit::not_carried_out(anyhow!(reason)));
        }
        if began.elapsed() > PATIENCE {
            return Err(Exit::not_carried_out(anyhow!(
                "not ready after {} s; {} may say why",
                PATIENCE.as_secs(),
                path.display()
            )));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// What a detached `flame up --json` said within its log, and where that log is.
fn printed_ready(log: &str, path: &Path) -> anyhow::Result<serde_json::Value> {
    let ready = log.lines().filter_map(|line| serde_json::from_str::<Ready>(line).ok()).next_back();
    let mut ready = serde_json::to_value(ready.with_context(|| format!("read {}", path.display()))?)?;
    ready["log"] = path.display().to_string().into();
    Ok(ready)
}

/// The banner within a log: its lines up to the one that tells how to stop what runs in the foreground.
fn printed_banner(log: &str) -> String {
    let lines = log.lines().skip_while(|line| !line.starts_with(READY)).take_while(|line| *line != FOREGROUND_STOP);
    lines.filter(|line| !line.starts_with('{')).collect::<Vec<_>>().join("\n")
}

/// Puts a long log aside. Returns the length of the one that goes on.
fn put_aside(path: &Path) -> anyhow::Result<usize> {
    let length = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    if length <= LOG_MAX_BYTES {
        return Ok(usize::try_from(length)?);
    }
    std::fs::rename(path, path.with_extension("log.1")).with_context(|| format!("put {} aside", path.display()))?;
    Ok(0)
}

/// A busy port is the one failure of a start that everybody meets: says who has it, and what to do.
fn explain(error: anyhow::Error) -> Exit {
    if let Some(StartError::Bind { service, address, source }) = error.downcast_ref::<StartError>()
        && source.kind() == std::io::ErrorKind::AddrInUse
    {
        let occupant = ports::occupant(*address).map_or_else(|| "somebody".to_owned(), |occupant| occupant.description);
        let (port, ip) = (address.port(), address.ip());
        let way_out = match *service {
            flame_ingest::rtmp::SERVICE => format!("take another with --rtmp {ip}:PORT, or none with --rtmp off"),
            flame_ingest::srt::SERVICE => format!("take another with --srt {ip}:PORT, or none with --srt off"),
            flame_ingest::whip::SERVICE => format!("take another with --whip {ip}:PORT, or none with --whip off"),
            _ => format!("take another with --listen {ip}:PORT"),
        };
        return Exit::not_carried_out(anyhow!("port {port} is taken by {occupant}; {way_out}"));
    }
    match error.downcast_ref::<StartError>() {
        Some(start) => Exit::not_carried_out(anyhow!(chain(start))),
        None => Exit::not_carried_out(error),
    }
}

// === impl Ready ===

impl Ready {
    fn of(bundle: &Bundle, data: &Path, took: Duration) -> Self {
        let router = format!("http://{}/", shown(bundle.router()));
        let services = FUNCTIONS.iter().map(|(name, _)| ((*name).to_owned(), format!("{router}~{name}/")));
        Self {
            services: services.collect(),
            sites: bundle.presences().map(|(site, at)| (site.to_owned(), format!("http://{}/", shown(at)))).collect(),
            store: bundle.store().map(|store| format!("http://{store}/")),
            rtmp: bundle.rtmp().map(|rtmp| format!("rtmp://{}/live", shown(rtmp))),
            srt: bundle.srt().map(|srt| format!("srt://{}", shown(srt))),
            whip: bundle.whip().map(|_| format!("{router}~ingest/whip")),
            router,
            data: data.to_owned(),
            pid: std::process::id(),
            ready_after_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            token: bundle.first_token().map(str::to_owned),
        }
    }
}
