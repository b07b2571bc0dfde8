//! The product as a user starts it: `flame up`, on a folder and a port of its own.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use flame_api::Client;
use flame_api::ingest::{Upload, UploadState};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::{sleep, timeout};
use url::Url;
use uuid::Uuid;

use crate::machine;
use crate::process::{self, Server};

/// Time for `flame up` to become ready.
const READY_DEADLINE: Duration = Duration::from_secs(60);
/// Time for an upload to be probed and registered, or a job to come to its end.
const WORK_DEADLINE: Duration = Duration::from_secs(900);
/// Time for one answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// Pause between two looks at an upload.
const POLL: Duration = Duration::from_millis(20);
/// Pause between two looks at a job: of half a minute of work, and looking takes time from the encoders.
const JOB_POLL: Duration = Duration::from_millis(100);
/// Time for a channel to play once an encoder publishes.
const BEGIN_DEADLINE: Duration = Duration::from_secs(60);
/// Pause between two looks at it.
const BEGIN_POLL: Duration = Duration::from_millis(200);
/// How the line that says it is ready begins.
const READY: &str = "FLAME is ready";

/// A running `flame up`.
#[derive(Debug)]
pub struct Flame {
    /// Its process.
    pub server: Server,
    /// Its router, with `/` at the end.
    pub router: Url,
    /// A client of its services.
    pub client: Client,
    /// From its start until it said that it is ready.
    pub ready_after: Duration,
}

/// The command that starts it on `data`, listening on `port`.
pub fn command(data: &Path, port: u16) -> Result<Command> {
    with_door(data, port, None)
}

fn with_door(data: &Path, port: u16, door: Option<u16>) -> Result<Command> {
    let mut command = Command::new(machine::ours("flame")?);
    let door = door.map_or_else(|| "off".to_owned(), |door| format!("127.0.0.1:{door}"));
    command
        .arg("up")
        .arg("--data")
        .arg(data)
        .arg("--listen")
        .arg(format!("127.0.0.1:{port}"))
        .arg("--rtmp")
        .arg(door)
        .args(["--srt", "off", "--whip", "off"]);
    Ok(command)
}

/// A port of loopback that is free at the moment.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
    Ok(listener.local_addr().context("find a free port")?.port())
}

/// A client that keeps its connections and asks no proxy, whatever the environment says: what is measured is on this machine.
pub fn http() -> Result<reqwest::Client> {
    reqwest::Client::builder().no_proxy().timeout(ANSWER_DEADLINE).build().context("make a client of HTTP")
}

/// Waits until the channel whose playlist this is plays.
pub async fn begun(url: &str) -> Result<()> {
    let (http, began) = (http()?, Instant::now());
    while began.elapsed() < BEGIN_DEADLINE {
        if http.get(url).send().await?.status().is_success() {
            return Ok(());
        }
        sleep(BEGIN_POLL).await;
    }
    bail!("{url} does not play after {} s: is there an ffmpeg with libx264?", BEGIN_DEADLINE.as_secs())
}

// === impl Flame ===

impl Flame {
    /// Starts it on `data` and waits until it says that it is ready.
    pub async fn up(data: &Path) -> Result<Self> {
        Self::up_with_door(data, None).await
    }

    /// The same, with the RTMP door at this port.
    pub async fn up_with_door(data: &Path, door: Option<u16>) -> Result<Self> {
        let port = free_port()?;
        let mut command = with_door(data, port, door)?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let began = Instant::now();
        let mut server = Server::start("flame up", &mut command)?;
        let stdout = server.child().stdout.take().context("flame up has no standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await? {
                if line.starts_with(READY) {
                    return Ok(());
                }
            }
            bail!("flame up ended before it was ready")
        };
        timeout(READY_DEADLINE, ready).await.context("flame up is not ready after a minute")??;
        let ready_after = began.elapsed();
        // What else it prints is little, and nobody reads it: the pipe's buffer takes it.
        let router = Url::parse(&format!("http://127.0.0.1:{port}"))?;
        let client = Client::new(router.clone(), None);
        Ok(Self { server, router, client, ready_after })
    }

    /// Uploads a file, to be played as it is. Gives its asset, and when it was acknowledged.
    pub async fn put(&self, file: &Path) -> Result<(Uuid, Instant)> {
        let mut url = self.client.url("ingest", "files/bench.mp4");
        url.set_query(Some("chain=none"));
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail-with-body", "--noproxy", "*", "-T"]).arg(file).arg(url.as_str());
        let (_, answer) = process::time(&mut curl).await?;
        let answered = Instant::now();
        let upload: Upload =
            serde_json::from_str(&answer).with_context(|| format!("the upload was not taken: {answer}"))?;
        Ok((upload.id, answered))
    }

    /// Waits until an upload is an asset. Gives its id.
    pub async fn registered(&self, upload: Uuid) -> Result<Uuid> {
        let began = Instant::now();
        loop {
            let Upload { state, asset_id, error, .. } =
                self.client.upload(upload).await?.context("the upload is gone")?;
            match (state, asset_id) {
                (UploadState::Done, Some(asset)) => return Ok(asset),
                (UploadState::Failed, _) => bail!("the upload was refused: {}", error.unwrap_or_default()),
                (UploadState::Receiving | UploadState::Processing | UploadState::Done, _) => {}
            }
            if began.elapsed() > WORK_DEADLINE {
                bail!("the upload is not registered after {} s", WORK_DEADLINE.as_secs());
            }
            sleep(POLL).await;
        }
    }

    /// Has the asset conditioned again, with the chain `ladder`; gives how long the whole job took.
    pub async fn run_ladder(&self, asset: Uuid) -> Result<Duration> {
        let asset = self.client.asset(asset).await?.context("the asset is gone")?;
        let job = flame_api::transcode::NewJob {
            id: Uuid::now_v7(),
            chain: "ladder".to_owned(),
            document: None,
            parameters: Default::default(),
            asset_id: asset.id,
            source_key: asset.source.key,
            probe: asset.probe,
        };
        let began = Instant::now();
        self.client.create_job(&job).await?;
        loop {
            let seen = self.client.job(job.id).await?.context("the job is gone")?;
            let took = began.elapsed();
            match seen.state {
                flame_api::transcode::JobState::Succeeded => return Ok(took),
                state if state.is_final() => bail!("the job ended {state:?}: {}", seen.error.unwrap_or_default()),
                _ => {}
            }
            if took > WORK_DEADLINE {
                bail!("the job is not done after {} s", WORK_DEADLINE.as_secs());
            }
            sleep(JOB_POLL).await;
        }
    }
}
