//! The process target: an endpoint is a child process of this machine.
//!
//! A start is noted before it is done, and the process carries a word of its own in its environment: whoever comes back after a
//! crash in between finds it by that. Where endpoints must not outlive the orchestrator, the kernel ends them with it
//! (`setpriv --pdeathsig`). Each start is a process group of its own, and what it started carries the same word: nothing of it is
//! left when it has ended. It decides nothing: when something starts or ends is said by the lifecycle.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use flame_service_host::Scope;
use flame_service_host::keys::{self, Grant, KeyError};
use flame_telemetry::context::Tag;
use flame_tosca::words::filled;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};
use url::Url;

use crate::config::ProcessConfig;
use crate::deployment::{Endpoint, Key, Process, own_name};
use crate::rights::may_set;

/// The variable that a process is found by.
const BOOT: &str = "FLAME_BOOT";
/// Variables of the orchestrator that endpoints get, too; nothing else of its environment is theirs.
const INHERITED: [&str; 8] =
    ["PATH", "HOME", "LANG", "TMPDIR", "RUST_LOG", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "GST_REGISTRY"];
const LOG: &str = "log";
/// What ends a process with the one that started it.
const SETPRIV: &str = "setpriv";
/// How often is looked for what is left of an endpoint: what is ended may just have started something.
const SWEEPS: usize = 3;

/// What starts and ends endpoints.
#[derive(Debug, Clone)]
pub struct Target {
    config: ProcessConfig,
    router: Option<Url>,
    /// Those of sites that have one of their own.
    routers: BTreeMap<String, Url>,
    /// Those that this orchestrator started and that were not noted as ended, to hear how they end.
    children: Arc<Mutex<BTreeMap<u32, Child>>>,
}

/// Why an endpoint cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// There is no such program.
    #[error("there is no program `{image}`: {hint}")]
    Program {
        /// What the template calls it.
        image: String,
        /// Where it was looked for, and what to do.
        hint: String,
    },
    /// It gets no token.
    #[error("no token can be made with the key in {keys}: see `process.keys`")]
    Token {
        /// The folder.
        keys: PathBuf,
        /// What happened.
        #[source]
        source: KeyError,
    },
    /// The machine refuses.
    #[error("{doing} failed")]
    Io {
        /// What was tried, on what.
        doing: String,
        /// What happened.
        #[source]
        source: io::Error,
    },
}

// === impl Target ===

impl Target {
    pub fn new(mut config: ProcessConfig, router: Option<Url>, routers: BTreeMap<String, Url>) -> Self {
        if config.folders.is_empty() {
            let own = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.to_owned()));
            config.folders.extend(own);
        }
        // Endpoints have other working folders than the orchestrator.
        if let Ok(folder) = std::path::absolute(&config.folder) {
            config.folder = folder;
        }
        if let Some(Ok(keys)) = config.keys.as_ref().map(std::path::absolute) {
            config.keys = Some(keys);
        }
        let router = config.router.clone().or(router);
        Self { config, router, routers, children: Arc::default() }
    }

    /// The program that a template calls `image`.
    pub fn program(&self, image: &str) -> Result<PathBuf, TargetError> {
        let is_program =
            |path: &Path| path.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0);
        let wrong = |hint: String| TargetError::Program { image: image.to_owned(), hint };
        if image.contains('/') {
            if !self.config.any_program {
                return Err(wrong(
                    "only programs of `process.programs` are run (`process.any_program` allows others)".to_owned(),
                ));
            }
            let path = PathBuf::from(image);
            return if is_program(&path) { Ok(path) } else { Err(wrong("no program is at this path".to_owned())) };
        }
        let listed = &self.config.programs;
        if !listed.iter().any(|name| name == image) {
            return Err(wrong(match flame_tosca::words::nearest(image, listed.iter().map(String::as_str)) {
                Some(name) => format!("do you mean `{name}`?"),
                None => format!("templates may name {} (`process.programs`)", listed.join(", ")),
            }));
        }
        let found = self.config.folders.iter().map(|folder| folder.join(image)).find(|path| is_program(path));
        found.ok_or_else(|| {
            let folders: Vec<_> = self.config.folders.iter().map(|folder| folder.display().to_string()).collect();
            wrong(format!("it was looked for in {}", folders.join(", ")))
        })
    }

    fn folder(&self, endpoint: &Endpoint) -> PathBuf {
        self.config.folder.join(&endpoint.id)
    }

    /// Puts what an endpoint needs on the machine.
    pub fn place(&self, endpoint: &Endpoint) -> Result<(), TargetError> {
        self.program(&endpoint.spec.image)?;
        let folder = self.folder(endpoint);
        let made = std::fs::create_dir_all(&folder);
        made.map_err(|source| TargetError::Io { doing: format!("making {}", folder.display()), source })
    }

    /// Takes it off again.
    pub fn unplace(&self, endpoint: &Endpoint) -> Result<(), TargetError> {
        let folder = self.folder(endpoint);
        match std::fs::remove_dir_all(&folder) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(TargetError::Io { doing: format!("removing {}", folder.display()), source })
            }
            _ => Ok(()),
        }
    }

    /// A port that is free now. Whoever is faster than the endpoint costs it one start.
    pub fn free_port() -> Result<u16, TargetError> {
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        Ok(bound.map_err(|source| TargetError::Io { doing: "taking a port".to_owned(), source })?.port())
    }

    /// Starts an endpoint that was given a port and a generation.
    pub fn boot(&self, endpoint: &Endpoint, (tenant, sfc, sfci): &Key) -> Result<Process, TargetError> {
        let program = self.program(&endpoint.spec.image)?;
        let folder = self.folder(endpoint);
        let doing = |what: &str| {
            let doing = format!("{what} {}", program.display());
            move |source| TargetError::Io { doing, source }
        };
        let name = endpoint.spec.names.first().map(String::as_str).unwrap_or_default();
        let own = own_name(&endpoint.spec.image, &endpoint.function, sfci, tenant);
        let token = self.token(endpoint, tenant, &own)?;
        let router = self.routers.get(&endpoint.site).or(self.router.as_ref());
        let words = BTreeMap::from([
            ("port", endpoint.port.unwrap_or_default().to_string()),
            ("listen", format!("{}:{}", Ipv4Addr::LOCALHOST, endpoint.port.unwrap_or_default())),
            ("router", router.map(Url::to_string).unwrap_or_default()),
            ("fqdn", name.to_owned()),
            ("folder", folder.display().to_string()),
            ("cluster", endpoint.cluster.clone()),
            ("site", endpoint.site.clone()),
            ("function", endpoint.function.clone()),
            ("instance", sfci.to_lowercase()),
            ("own", own),
            ("token", token.clone().unwrap_or_default()),
        ]);
        let log =
            File::options().create(true).append(true).open(folder.join(LOG)).map_err(doing("opening the log of"))?;
        let mut command = if self.config.outlive {
            Command::new(&program)
        } else {
            let mut command = Command::new(SETPRIV);
            command.args(["--pdeathsig", "KILL", "--"]).arg(&program);
            command
        };
        command.env_clear().envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        let set = endpoint.spec.environment.iter().filter(|(name, _)| may_set(name));
        command.envs(set.map(|(name, value)| (name, filled(value, &words))));
        // What follows is for the orchestrator to say, whatever a template says.
        let context = [
            (Tag::Location, endpoint.site.as_str()),
            (Tag::Chain, sfc),
            (Tag::ChainInstance, sfci),
            (Tag::Package, &endpoint.spec.image),
            (Tag::Function, &endpoint.function),
            (Tag::Endpoint, name),
            (Tag::Tenant, tenant),
        ];
        command.envs(context.map(|(tag, value)| (tag.variable(), value)));
        command.env("FLAME_ROUTER", &words["router"]).env("FLAME_PORT", &words["port"]).env(BOOT, word(endpoint));
        if token.is_some() {
            command.env("FLAME_TOKEN", &words["token"]);
        }
        if let Some(keys) = &self.config.keys {
            // Whoever calls an endpoint shows a token, too.
            command.env("FLAME_KEYS", keys);
        }
        command.args(endpoint.spec.arguments.iter().map(|argument| filled(argument, &words)));
        let errors = log.try_clone().map_err(doing("opening the log of"))?;
        command.current_dir(&folder).stdin(Stdio::null()).stdout(log).stderr(errors).process_group(0);
        let child = command.spawn().map_err(doing("starting"))?;
        let pid = child.id().ok_or_else(|| doing("starting")(io::Error::other("it ended at once")))?;
        let stat = Stat::of(pid).ok_or_else(|| doing("starting")(io::Error::other("it ended at once")))?;
        self.children.lock().unwrap_or_else(PoisonError::into_inner).insert(pid, child);
        Ok(Process { pid, start_ticks: stat.start_ticks })
    }

    /// What an endpoint is known by: a token of this start, for its own names; or the one that all are given.
    fn token(&self, endpoint: &Endpoint, tenant: &str, own: &str) -> Result<Option<String>, TargetError> {
        let Some(keys) = &self.config.keys else { return Ok(self.config.token.clone()) };
        let scope = [Scope::Read, Scope::Write, Scope::Admin].map(Scope::as_str).join(" ");
        let subject = format!("endpoint {} of {}", endpoint.id, endpoint.function);
        let grant = Grant { subject, tenant: tenant.to_owned(), scope, life: self.config.token_life.0 };
        let names = endpoint.spec.names.iter().cloned().chain([own.to_owned()]).collect();
        let issued = keys::issue_confined(keys, &grant, Some(names));
        Ok(Some(issued.map_err(|source| TargetError::Token { keys: keys.clone(), source })?.0))
    }

    /// How an endpoint has ended, where this orchestrator started it; whatever was left of it is taken.
    pub fn ended(&self, endpoint: &Endpoint) -> Option<String> {
        let pid = endpoint.process?.pid;
        // One that runs still is not waited for: the runtime takes what is left of it.
        let mut child = self.children.lock().unwrap_or_else(PoisonError::into_inner).remove(&pid)?;
        Some(child.try_wait().ok()??.to_string())
    }

    /// The process that an endpoint's last start made, if it runs and was not noted.
    pub fn find(&self, endpoint: &Endpoint) -> Option<Process> {
        // It may have children of its own, with the same environment: the eldest that leads a group is it.
        let leads = started(endpoint).into_iter().filter(|(pid, stat)| stat.group == *pid && stat.is_running);
        let found = leads.map(|(pid, stat)| Process { pid, start_ticks: stat.start_ticks });
        found.min_by_key(|process| (process.start_ticks, process.pid))
    }

    /// Ends what an endpoint's last start has left behind. What gave up both its group and its environment is not found.
    pub fn sweep(&self, endpoint: &Endpoint) {
        for _ in 0..SWEEPS {
            let left = started(endpoint);
            if left.is_empty() {
                return;
            }
            let function = &endpoint.function;
            tracing::info!(function, processes = left.len(), "what an endpoint left running is ended");
            for (pid, stat) in left {
                let group = endpoint.process.filter(|process| process.pid == stat.group);
                let ended = match (numbered(pid), group.and_then(|process| numbered(process.pid))) {
                    (_, Some(group)) => kill_process_group(group, Signal::KILL),
                    (Some(pid), None) => kill_process(pid, Signal::KILL),
                    (None, None) => Ok(()),
                };
                if let Err(error) = ended {
                    tracing::debug!(%error, pid, "it has ended already");
                }
            }
        }
    }

    /// Whether a process runs.
    pub fn is_alive(process: Process) -> bool {
        Stat::of(process.pid).is_some_and(|stat| stat.start_ticks == process.start_ticks && stat.is_running)
    }

    /// Tells a process to end, which tells its children; or ends it with its group.
    pub fn end(process: Process, at_once: bool) {
        // As long as it runs, its group is no other one of the same number.
        let Some(pid) = numbered(process.pid).filter(|_| Self::is_alive(process)) else { return };
        let told = if at_once { kill_process_group(pid, Signal::KILL) } else { kill_process(pid, Signal::TERM) };
        if let Err(error) = told {
            tracing::debug!(%error, pid = process.pid, "it has ended already");
        }
    }

    /// Begins a log anew that has become too long.
    pub fn trim_log(&self, endpoint: &Endpoint) {
        let path = self.folder(endpoint).join(LOG);
        let is_long = path.metadata().is_ok_and(|found| found.len() > self.config.log_max.0);
        if is_long && let Err(error) = File::options().write(true).open(&path).and_then(|file| file.set_len(0)) {
            tracing::warn!(%error, path = %path.display(), "a log is longer than it should be");
        }
    }

    /// Whether endpoints go on without the orchestrator.
    pub fn outlives(&self) -> bool {
        self.config.outlive
    }
}

/// What a start of an endpoint is found by.
fn word(endpoint: &Endpoint) -> String {
    format!("{}.{}", endpoint.id, endpoint.generation)
}

fn numbered(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// What carries the word of an endpoint's last start.
fn started(endpoint: &Endpoint) -> Vec<(u32, Stat)> {
    let wanted = format!("{BOOT}={}", word(endpoint));
    let entries = std::fs::read_dir("/proc").into_iter().flatten();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let is_it = |pid: &u32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|one| one == wanted.as_bytes())
    };
    pids.filter(is_it).filter_map(|pid| Some((pid, Stat::of(pid)?))).collect()
}

/// What the kernel says of a process (proc(5), `/proc/[pid]/stat`).
struct Stat {
    is_running: bool,
    /// Its process group.
    group: u32,
    start_ticks: u64,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in brackets may hold anything.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let is_running = !matches!(*fields.first()?, "Z" | "X");
        let group = fields.get(2)?.parse().ok()?;
        Some(Self { is_running, group, start_ticks: fields.get(19)?.parse().ok()? })
    }
}
