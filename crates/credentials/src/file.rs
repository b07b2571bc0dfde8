//! Files that are whole or not there, and stay: written beside their place, synced, and renamed into it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Puts a private file (mode 0600) with `bytes` in the place of `path`. When it returns, the file outlasts a power cut.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    // The new name has to outlast a power cut too: what is spent must not come back.
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
