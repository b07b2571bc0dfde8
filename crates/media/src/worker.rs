//! The child's side of the protocol: requests from standard input, one at a time, events to standard output.
//!
//! A thread of its own reads standard input, also while work goes on. When it ends the parent is gone, and
//! the process exits at once, in the middle of whatever it does.

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    process::exit,
    sync::mpsc,
    time::{Duration, Instant},
};

use anyhow::Context;
use flame_media_child::protocol::{Event, Fault, LINE_SIZE_MAX_BYTES, Outcome, PROTOCOL, Request};

use crate::{
    compare,
    fault::MediaError,
    inspect,
    ladder::{self, Ladder},
    poster, probe, transrate,
};

/// Least time between two reports of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);
/// Exit status when the parent is gone.
const ORPHANED: i32 = 0;
/// Exit status when the parent says what is not in the protocol.
const MISUNDERSTOOD: i32 = 3;

/// Serves requests until standard input ends; then the process exits.
///
/// # Errors
/// Standard output cannot be taken over or written.
pub fn run() -> anyhow::Result<()> {
    let mut output = take_stdout().context("cannot take over standard output")?;
    say(&mut output, &Event::Hello { protocol: PROTOCOL, versions: versions() })?;
    // One request is answered before the next is sent, so one place is enough.
    let (sender, requests) = mpsc::sync_channel(1);
    std::thread::Builder::new().name("stdin".to_owned()).spawn(move || read_requests(&sender))?;
    for request in requests {
        let event = match work(request, &mut output) {
            Ok(outcome) => Event::Done { outcome },
            Err(error) => Event::Failed { fault: error.fault(), reason: error.to_string() },
        };
        say(&mut output, &event)?;
    }
    Ok(())
}

fn versions() -> String {
    format!("flame-media {}, {}", env!("CARGO_PKG_VERSION"), ladder::versions())
}

/// From here on descriptor 1 leads to standard error, so that no library can write into the protocol.
pub(crate) fn take_stdout() -> std::io::Result<File> {
    let output = rustix::io::dup(std::io::stdout())?;
    rustix::stdio::dup2_stdout(std::io::stderr())?;
    Ok(File::from(output))
}

fn read_requests(sender: &mpsc::SyncSender<Request>) {
    let mut input = BufReader::new(std::io::stdin());
    loop {
        let mut line = Vec::new();
        let bound = u64::try_from(LINE_SIZE_MAX_BYTES).unwrap_or(u64::MAX);
        match std::io::Read::take(&mut input, bound).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => exit(ORPHANED),
            Ok(_) if line.last() != Some(&b'\n') => exit(MISUNDERSTOOD),
            Ok(_) => {}
        }
        match serde_json::from_slice(&line) {
            Ok(request) => {
                if sender.try_send(request).is_err() {
                    eprintln!("a request came while another was waiting");
                    exit(MISUNDERSTOOD);
                }
            }
            Err(error) => {
                eprintln!("not a request: {error}");
                exit(MISUNDERSTOOD);
            }
        }
    }
}

fn work(request: Request, output: &mut File) -> Result<Outcome, MediaError> {
    match request {
        Request::Probe { input } => Ok(Outcome::Probe { probe: Box::new(probe::probe(&input)?) }),
        Request::Poster { input, at_ms, max_size, output } => {
            let poster = poster::write(&input, at_ms, max_size, &output)?;
            Ok(Outcome::Poster { width: poster.width, height: poster.height })
        }
        Request::Ladder { input, output_dir, plan } => {
            let mut on_progress = |fraction, parts: Vec<f64>| {
                if say(output, &Event::Progress { fraction, parts }).is_err() {
                    exit(ORPHANED);
                }
            };
            let Ladder { tracks, source_frames, source_audio_samples, thumbnails, agreed } =
                ladder::encode(&input, &output_dir, &plan, &mut on_progress)?;
            Ok(Outcome::Ladder { tracks, source_frames, source_audio_samples, thumbnails, agreed })
        }
        Request::Agree { input, output_dir, plan } => {
            Ok(Outcome::Agreed { agreed: ladder::agree(&input, &output_dir, &plan)? })
        }
        Request::Chunk { input, output_dir, plan, range } => {
            let mut on_progress = reporter(output);
            let made = ladder::encode_chunk(&input, &output_dir, &plan, range, &mut on_progress)?;
            Ok(Outcome::Chunk { pictures: made.pictures, sizes_bytes: made.sizes_bytes })
        }
        Request::Join { chunks, output_dir, plan } => {
            let made = ladder::join(&chunks, &output_dir, &plan)?;
            Ok(Outcome::Joined { tracks: made.tracks, unkept: made.unkept })
        }
        Request::Elements { names } => {
            Ok(Outcome::Elements { installed: ladder::installed(names)?, versions: versions() })
        }
        Request::Compare { plan, output: scores_path } => {
            let (comparison, scores) = compare::compare(&plan, &mut reporter(output))?;
            compare::write(&scores, &scores_path)?;
            Ok(Outcome::Compare { comparison: Box::new(comparison) })
        }
        Request::Inspect { plan } => {
            let inspection = inspect::inspect(&plan, &mut reporter(output))?;
            Ok(Outcome::Inspect { inspection: Box::new(inspection) })
        }
        Request::Transrate { input, init_size_bytes, output_dir, plan } => {
            let made = transrate::transrate(&input, init_size_bytes, &output_dir, &plan)?;
            Ok(Outcome::Transrate { codec: made.codec, samples: made.samples })
        }
        Request::Sheets { plan, output_dir } => {
            compare::sheets::write(&plan, &output_dir)?;
            Ok(Outcome::Sheets)
        }
    }
}

/// Says how far the work is, not too often.
fn reporter(output: &mut File) -> impl FnMut(f64) {
    let mut said = Instant::now();
    move |fraction| {
        if said.elapsed() >= PROGRESS_INTERVAL {
            said = Instant::now();
            if say(output, &Event::Progress { fraction, parts: Vec::new() }).is_err() {
                exit(ORPHANED);
            }
        }
    }
}

fn say(output: &mut File, event: &Event) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(event).context("an event cannot be written as JSON")?;
    if line.len() >= LINE_SIZE_MAX_BYTES {
        let reason = "the answer is larger than the protocol allows".to_owned();
        line = serde_json::to_vec(&Event::Failed { fault: Fault::Environment, reason })?;
    }
    line.push(b'\n');
    output.write_all(&line).context("the parent does not read")
}
