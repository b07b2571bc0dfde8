//! A folder of a test's own, deleted with it; kept to look at if the test fails.

use std::ops::Deref;
use std::path::Path;

use tempfile::TempDir;

/// A temporary folder. Use it as a [`Path`].
#[derive(Debug)]
pub struct Scratch {
    folder: Option<TempDir>,
}

// === impl Scratch ===

impl Scratch {
    /// A new, empty folder whose name begins with `flame-<name>-`.
    ///
    /// # Panics
    /// When the folder cannot be made.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix(&format!("flame-{name}-"))
            .tempdir()
            .unwrap_or_else(|error| panic!("no scratch folder in {}: {error}", std::env::temp_dir().display()));
        Self { folder: Some(folder) }
    }

    /// The folder.
    ///
    /// # Panics
    /// Never: the folder is there until drop.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.as_ref().expect("the folder is taken only by drop").path()
    }
}

impl Deref for Scratch {
    type Target = Path;

    fn deref(&self) -> &Path {
        self.path()
    }
}

impl AsRef<Path> for Scratch {
    fn as_ref(&self) -> &Path {
        self.path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(folder) = self.folder.take()
            && std::thread::panicking()
        {
            eprintln!("kept to look at: {}", folder.keep().display());
        }
    }
}
