//! The files that comparisons leave: `results/{seq}/frames.csv`, `frames.json`, `report.html`, and `{frame}.jpg` of each of the worst.
//!
//! They are written into a folder beside it, synced, and put in place by one rename, before the job says that it was measured: a
//! job that has succeeded has its files whole, also after a crash. A folder that belongs to no job is removed at the next start.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use flame_api::quality::jobs::ResultFile;

/// The folder of all results. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Results {
    folder: PathBuf,
}

// === impl Results ===

impl Results {
    /// Opens `folder/results`, made if it is not there.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let folder = folder.join("results");
        fs::create_dir_all(&folder)?;
        Ok(Self { folder })
    }

    /// Puts the files in place that lie in `draft` (on the same file system), instead of any that are there.
    ///
    /// # Errors
    /// They cannot be synced or moved; nothing is in place then.
    pub fn put(&self, seq: i64, draft: &Path) -> io::Result<()> {
        for entry in fs::read_dir(draft)? {
            File::open(entry?.path())?.sync_all()?;
        }
        File::open(draft)?.sync_all()?;
        self.remove(seq)?;
        fs::rename(draft, self.of(seq))?;
        File::open(&self.folder)?.sync_all()
    }

    /// Removes a job's files, if there are any.
    ///
    /// # Errors
    /// Some of them stay.
    pub fn remove(&self, seq: i64) -> io::Result<()> {
        match fs::remove_dir_all(self.of(seq)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Where a job's file lies, if it is there.
    #[must_use]
    pub fn path(&self, seq: i64, file: ResultFile) -> PathBuf {
        self.of(seq).join(file.name())
    }

    /// Where a job's picture of a frame of the distorted film lies, if there is one.
    #[must_use]
    pub fn picture(&self, seq: i64, frame: u64) -> PathBuf {
        self.of(seq).join(picture_name(frame))
    }

    /// Removes what belongs to none of these jobs.
    ///
    /// # Errors
    /// The folder cannot be read or changed.
    pub fn sweep(&self, kept: &HashSet<i64>) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let seq = entry.file_name().to_str().and_then(|name| name.parse::<i64>().ok());
            if seq.is_none_or(|seq| !kept.contains(&seq)) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    fn of(&self, seq: i64) -> PathBuf {
        self.folder.join(seq.to_string())
    }
}

/// What the picture of a frame is called, drawn or put in place.
#[must_use]
pub fn picture_name(frame: u64) -> String {
    format!("{frame}.jpg")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_in_place_whole_and_go_with_their_job() {
        let folder = tempfile::tempdir().unwrap();
        let results = Results::open(folder.path()).unwrap();
        for text in ["old", "new"] {
            let draft = folder.path().join("draft");
            fs::create_dir(&draft).unwrap();
            fs::write(draft.join("frames.csv"), text).unwrap();
            results.put(7, &draft).unwrap();
            assert!(!draft.exists());
            assert_eq!(fs::read_to_string(results.path(7, ResultFile::FramesCsv)).unwrap(), text);
        }
        fs::create_dir(folder.path().join("results/8")).unwrap();
        results.sweep(&[7].into()).unwrap();
        assert!(folder.path().join("results/7").exists() && !folder.path().join("results/8").exists());
        results.remove(7).unwrap();
        results.remove(7).unwrap();
        assert!(!results.path(7, ResultFile::FramesCsv).exists());
    }
}
