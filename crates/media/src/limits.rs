//! What the child may use, set by itself at its start from the parent's flags (`setrlimit(2)`, `setpriority(2)`).
//!
//! Limits only ever shrink. A child that runs into one dies or gets an error; its parent goes on.

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getpriority_process, getrlimit, setpriority_process, setrlimit};

/// The limits; `None` leaves what the child inherited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Address space in bytes.
    pub address_space_bytes: Option<u64>,
    /// Processor time of the whole life of the process in seconds.
    pub cpu_s: Option<u64>,
    /// Largest file that may be written, in bytes.
    pub file_size_bytes: Option<u64>,
    /// Niceness, 0 to 19: the higher, the more it leaves to others who want the processor.
    pub nice: Option<u8>,
}

// === impl Limits ===

impl Limits {
    /// Applies them to this process, and forbids core dumps.
    ///
    /// # Errors
    /// The limit that the kernel refuses.
    pub fn apply(self) -> anyhow::Result<()> {
        let limits = [
            (Resource::As, self.address_space_bytes, "address space"),
            (Resource::Cpu, self.cpu_s, "processor time"),
            (Resource::Fsize, self.file_size_bytes, "file size"),
            (Resource::Core, Some(0), "core dumps"),
        ];
        for (resource, limit, name) in limits {
            let Some(limit) = limit else { continue };
            let hard = getrlimit(resource).maximum;
            let limit = hard.map_or(limit, |hard| limit.min(hard));
            setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })
                .with_context(|| format!("cannot limit {name} to {limit}"))?;
        }
        if let Some(nice) = self.nice {
            let inherited = getpriority_process(None).context("cannot read the priority")?;
            let nice = inherited.max(i32::from(nice));
            setpriority_process(None, nice).with_context(|| format!("cannot be as nice as {nice}"))?;
        }
        // Where memory ends, the kernel takes this process, not the service that feeds it. Not everywhere may that be said.
        if let Err(error) = std::fs::write("/proc/self/oom_score_adj", "1000") {
            eprintln!("cannot offer itself to the kernel where memory ends: {error}");
        }
        Ok(())
    }
}
