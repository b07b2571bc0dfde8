//! `flame down`: stops the holder of a data folder's lock, and deletes the folder if asked to.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use rustix::process::{Pid, Signal, kill_process};

use crate::args::{Down, Global};
use crate::data;
use crate::exit::Exit;
use crate::output;

/// How long a stop may take before it is reported as failed. Above the services' drain time.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the lock is looked at.
const POLL: Duration = Duration::from_millis(50);

pub async fn run(global: &Global, args: &Down) -> Result<(), Exit> {
    let folder = data::folder(args.data.as_deref())?;
    let tell = |text: String| if global.json { Ok(()) } else { output::print_line(&text) };
    let mut stopped = None;
    if data::is_held(&folder) {
        let holder = data::holder(&folder)?
            .ok_or_else(|| anyhow!("the holder of {} is just starting; try again", folder.display()))?;
        stop(&folder, holder.pid).await?;
        stopped = Some(holder.pid);
        tell(format!("stopped process {}", holder.pid))?;
    } else {
        tell(format!("nothing runs on {}", folder.display()))?;
    }
    let is_deleted = args.purge && purge(&folder)?;
    if is_deleted {
        tell(format!("deleted {}", folder.display()))?;
    }
    if global.json {
        output::print_json(&serde_json::json!({ "data": folder, "stopped": stopped, "deleted": is_deleted }))?;
    }
    Ok(())
}

/// Asks `pid` to end and waits until it has let go of `folder`.
async fn stop(folder: &Path, pid: u32) -> Result<(), Exit> {
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(|| anyhow!("{pid} is no process id"))?;
    kill_process(process, Signal::TERM).with_context(|| format!("stop process {pid}"))?;
    let began = Instant::now();
    while data::is_held(folder) {
        if began.elapsed() > PATIENCE {
            return Err(Exit::not_carried_out(anyhow!("process {pid} has not ended after {} s", PATIENCE.as_secs())));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// Deletes a data folder, and nothing that is not one. Whether there was one.
fn purge(folder: &Path) -> Result<bool, Exit> {
    if !folder.exists() {
        return Ok(false);
    }
    if !folder.join(data::LOCK).is_file() {
        return Err(Exit::not_carried_out(anyhow!(
            "{} is not a data folder of flame (it holds no {}): nothing was deleted",
            folder.display(),
            data::LOCK
        )));
    }
    std::fs::remove_dir_all(folder).with_context(|| format!("delete {}", folder.display()))?;
    Ok(true)
}
