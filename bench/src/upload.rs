//! A large file into the store: by PUT and by tus, beside `curl -T` to nginx's dav.
//!
//! What flame acknowledges is on the disk. nginx syncs nothing, so its file is synced after it, and that time counts;
//! what it takes without is given for comparison.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use flame_api::ingest::Upload;
use reqwest::{Method, StatusCode};
use tokio::process::Command;
use tokio::time::sleep;
use uuid::Uuid;

use crate::flame::Flame;
use crate::nginx::{self, Nginx};
use crate::report::{Figure, Row, Section};
use crate::samples::{Bound, Samples};
use crate::{Options, machine, process};

/// Promised speed against nginx, both synced.
const RATIO_MIN: f64 = 0.8;
/// Name of the file.
const NAME: &str = "bench.mp4";
/// Time for the objects of a deleted asset to leave the disk.
const GONE_DEADLINE: Duration = Duration::from_secs(60);
/// Pause between two looks at the disk.
const POLL: Duration = Duration::from_millis(20);

#[derive(Debug, Default)]
struct Measured {
    put: Samples,
    tus: Samples,
    synced: Samples,
    unsynced: Samples,
    peak_mib: Samples,
}

/// Measures it.
pub async fn measure(options: &Options) -> Result<Section> {
    let curl = machine::version("curl", "--version", "curl").await?;
    let nginx_version = machine::version("nginx", "-v", nginx::PACKAGE).await?;
    let workshop = options.workshop()?;
    let file = workshop.path().join(NAME);
    make_file(&file, options.mib).await?;
    let data = workshop.path().join("flame");
    let flame = Flame::up(&data).await?;
    let nginx = Nginx::start(&workshop.path().join("nginx")).await?;

    let mut measured = Measured::default();
    for round in 0..=options.rounds {
        let mib = f64::from(options.mib);
        let speed = |took: Duration| mib / took.as_secs_f64();
        // What was written and deleted just before is felt: in every other round the ways change places.
        let (mut by_put, mut by_tus) = (None, None);
        if round % 2 == 1 {
            by_put = Some(flame_takes(&flame, &data, put(&flame, &file)).await?);
        } else {
            by_tus = Some(flame_takes(&flame, &data, tus(&flame, &file)).await?);
        }
        let nginx_took = to_nginx(&nginx, &file).await?;
        let (put_peak_mib, put_took) = match by_put {
            Some(taken) => taken,
            None => flame_takes(&flame, &data, put(&flame, &file)).await?,
        };
        let (tus_peak_mib, tus_took) = match by_tus {
            Some(taken) => taken,
            None => flame_takes(&flame, &data, tus(&flame, &file)).await?,
        };
        // The first round warms up.
        if round > 0 {
            measured.put.add(speed(put_took));
            measured.tus.add(speed(tus_took));
            measured.synced.add(speed(nginx_took.0));
            measured.unsynced.add(speed(nginx_took.1));
            measured.peak_mib.add(put_peak_mib.max(tus_peak_mib));
        }
    }
    let commands = vec![
        process::shown(&put_command(&flame, &file)),
        process::shown(&tus_command(&flame, &file, Uuid::nil())),
        process::shown(&nginx_command(&nginx, &file)),
    ];
    flame.server.stop().await?;
    nginx.server.stop().await?;
    Ok(section(options.mib, measured, &[curl, nginx_version], commands))
}

fn section(mib: u32, measured: Measured, versions: &[String], commands: Vec<String>) -> Section {
    let Measured { put, tus, synced, unsynced, peak_mib } = measured;
    let ratio = |what: &str, ours: &Samples, theirs: &Samples, bound| Figure {
        what: what.to_owned(),
        value: ours.median() / theirs.median(),
        unit: "×",
        bound,
    };
    let bound = Some(Bound::AtLeast(RATIO_MIN));
    let figures = vec![
        ratio("PUT / nginx, both synced (medians)", &put, &synced, bound),
        ratio("tus / nginx, both synced (medians)", &tus, &synced, bound),
        ratio("PUT, synced / nginx, not synced (medians)", &put, &unsynced, None),
    ];
    let row = |what: &str, unit, samples| Row { what: what.to_owned(), unit, samples };
    Section {
        name: "upload",
        title: format!("One file of {mib} MiB over loopback, through the router into the embedded store"),
        rows: vec![
            row("flame, PUT, synced", "MiB/s", put),
            row("flame, tus (one PATCH), synced", "MiB/s", tus),
            row("nginx dav, then fsync of file and folder", "MiB/s", synced),
            row("nginx dav, not synced", "MiB/s", unsynced),
            row("flame, highest resident memory of the round", "MiB", peak_mib),
        ],
        figures,
        notes: vec![
            "Sync policy: flame syncs every part and the database before it acknowledges; nginx syncs nothing, so file and folder are synced after its answer and that time counts.".to_owned(),
            "flame also computes SHA-256 and writes through S3; nginx does neither.".to_owned(),
            "Order of a round: PUT, nginx, tus, and in every other round tus, nginx, PUT. Before each, `sync`; after each, the file is deleted. Source in the page cache.".to_owned(),
            "The file is a short MP4 with a `free` box of pseudo-random bytes behind it: flame accepts only media.".to_owned(),
            format!("Clients and peer: {}.", versions.join("; ")),
        ],
        commands,
    }
}

// --- flame ---

/// An upload that has been measured, still to be removed.
struct Stored {
    took: Duration,
    upload: Uuid,
}

/// One way of uploading: the highest resident memory during it, MiB, and how long it took. Nothing of it stays.
async fn flame_takes(
    flame: &Flame,
    data: &Path,
    upload: impl Future<Output = Result<Stored>>,
) -> Result<(f64, Duration)> {
    let (peak_mib, stored) = flame.server.peak_while(upload).await?;
    Ok((peak_mib, stored?.clean(flame, data).await?))
}

async fn put(flame: &Flame, file: &Path) -> Result<Stored> {
    process::settle_disk().await?;
    let (took, answer) = process::time(&mut put_command(flame, file)).await?;
    let upload: Upload =
        serde_json::from_str(&answer).with_context(|| format!("the upload was not taken: {answer}"))?;
    Ok(Stored { took, upload: upload.id })
}

fn put_command(flame: &Flame, file: &Path) -> Command {
    let mut url = flame.client.url("ingest", &format!("files/{NAME}"));
    url.set_query(Some("chain=none"));
    let mut command = curl(file);
    command.arg(url.as_str());
    command
}

async fn tus(flame: &Flame, file: &Path) -> Result<Stored> {
    process::settle_disk().await?;
    let length_bytes = std::fs::metadata(file)?.len();
    let began = Instant::now();
    let announce = flame.client.request(Method::POST, "ingest", "uploads");
    let announce = announce.header("tus-resumable", "1.0.0").header("upload-length", length_bytes);
    // `filename` and `chain`, in base64.
    let announce = announce.header("upload-metadata", "filename YmVuY2gubXA0,chain bm9uZQ==");
    let answer = announce.send().await?;
    if answer.status() != StatusCode::CREATED {
        bail!("the upload was not announced: {}", answer.text().await?);
    }
    let location = answer.headers().get("location").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let upload = location.rsplit('/').next().unwrap_or_default().parse().context("Location names no upload")?;
    process::time(&mut tus_command(flame, file, upload)).await?;
    Ok(Stored { took: began.elapsed(), upload })
}

fn tus_command(flame: &Flame, file: &Path, upload: Uuid) -> Command {
    let url = flame.client.url("ingest", &format!("uploads/{upload}"));
    let mut command = curl(file);
    command.args(["-X", "PATCH", "-H", "Tus-Resumable: 1.0.0", "-H", "Upload-Offset: 0"]);
    command.args(["-H", "Content-Type: application/offset+octet-stream"]).arg(url.as_str());
    command
}

// === impl Stored ===

impl Stored {
    /// Removes it and waits until its bytes have left the disk; gives how long the upload took.
    async fn clean(self, flame: &Flame, data: &Path) -> Result<Duration> {
        let asset = flame.registered(self.upload).await?;
        let full_bytes = process::folder_bytes(data);
        flame.client.erase_asset(asset).await?;
        let began = Instant::now();
        while process::folder_bytes(data) > full_bytes / 2 {
            if began.elapsed() > GONE_DEADLINE {
                bail!("the deleted file is still on the disk after {} s", GONE_DEADLINE.as_secs());
            }
            sleep(POLL).await;
        }
        Ok(self.took)
    }
}

// --- nginx ---

/// Uploads to nginx; gives the time with and without the sync after it.
async fn to_nginx(nginx: &Nginx, file: &Path) -> Result<(Duration, Duration)> {
    process::settle_disk().await?;
    let (took, _) = process::time(&mut nginx_command(nginx, file)).await?;
    let sync = nginx.sync(NAME).await?;
    let stored = nginx.path(NAME);
    if std::fs::metadata(&stored)?.len() != std::fs::metadata(file)?.len() {
        bail!("nginx has stored another length");
    }
    std::fs::remove_file(stored)?;
    Ok((took + sync, took))
}

fn nginx_command(nginx: &Nginx, file: &Path) -> Command {
    let mut command = curl(file);
    command.arg(format!("http://127.0.0.1:{}/{NAME}", nginx.port));
    command
}

fn curl(file: &Path) -> Command {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--fail-with-body", "--noproxy", "*", "-T"]).arg(file);
    command
}

// --- the file ---

/// Makes a file of `mib` MiB that is media: a short clip, and behind it a `free` box (ISO/IEC 14496-12 section 8.1.2) of
/// bytes that do not compress.
async fn make_file(path: &Path, mib: u32) -> Result<()> {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=1"]);
    ffmpeg.args(["-c:v", "libx264", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]).arg(path);
    process::time(&mut ffmpeg).await.context("make a clip (apt-get install ffmpeg)")?;
    let path: PathBuf = path.to_owned();
    tokio::task::spawn_blocking(move || fill(&path, u64::from(mib) << 20)).await.context("fill the file")?
}

fn fill(path: &Path, size_bytes: u64) -> Result<()> {
    let clip_bytes = std::fs::metadata(path)?.len();
    let box_bytes = size_bytes.checked_sub(clip_bytes).context("the clip is longer than the file")?;
    let mut out = BufWriter::with_capacity(1 << 20, std::fs::File::options().append(true).open(path)?);
    out.write_all(&u32::try_from(box_bytes).context("the file is longer than a box")?.to_be_bytes())?;
    out.write_all(b"free")?;
    // xorshift64 (Marsaglia 2003): random enough for a disk, and the same every time.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut left = box_bytes - 8;
    while left > 0 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let bytes = state.to_be_bytes();
        let take = usize::try_from(left.min(8)).unwrap_or(8);
        out.write_all(&bytes[..take])?;
        left -= take as u64;
    }
    out.flush()?;
    Ok(())
}
