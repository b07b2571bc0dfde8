//! Media processes: who runs, and what becomes of a service when one is killed.

use std::fs;
use std::process::Command;

/// The media processes that `parent` has started and that still run.
///
/// # Panics
/// Where there is no `/proc`.
#[must_use]
pub fn media_processes(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("Linux has /proc");
    let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| {
        // pid (name) state parent …; a zombie has no work any more.
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let rest = stat.split_once("(flame-media) ").map(|(_, rest)| rest.to_owned()).unwrap_or_default();
        let mut fields = rest.split(' ');
        let alive = fields.next().is_some_and(|state| state != "Z");
        alive && fields.next() == Some(parent.to_string().as_str())
    })
    .collect()
}

/// `kill -9`; false where the process has ended already.
///
/// # Panics
/// Where there is no `kill`.
#[must_use]
pub fn kill(process: u32) -> bool {
    let done = Command::new("kill").arg("-9").arg(process.to_string()).stderr(std::process::Stdio::null()).status();
    done.expect("kill is there").success()
}
