//! Which objects are being read, so that a replaced or deleted one keeps its data files until the last reader is
//! done.
//!
//! In memory only: after a crash there are no readers, and the intent that the deletion left behind is resolved
//! at the next start.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::folder::Folder;
use super::intents::Intent;
use super::manifest::FileId;

/// The generations that have readers. Bounded by the number of responses under way.
#[derive(Debug, Default)]
pub(crate) struct Pins(Mutex<HashMap<Uuid, Pin>>);

#[derive(Debug, Default)]
struct Pin {
    readers: u32,
    doomed: Option<Doomed>,
}

/// Data files that go when their last reader goes.
#[derive(Debug)]
pub(crate) struct Doomed {
    pub files: Vec<FileId>,
    pub intent: Intent,
}

/// While this lives, the data files of one generation stay.
#[derive(Debug)]
pub(crate) struct Pinned {
    folder: Arc<Folder>,
    tasks: TaskTracker,
    generation: Uuid,
}

// === impl Pins ===

impl Pins {
    /// Hands the files back if nobody reads them; else keeps them for the last reader.
    fn doom(&self, generation: Uuid, doomed: Doomed) -> Option<Doomed> {
        match self.lock().entry(generation) {
            Entry::Occupied(mut pin) => {
                pin.get_mut().doomed = Some(doomed);
                None
            }
            Entry::Vacant(_) => Some(doomed),
        }
    }

    fn unpin(&self, generation: Uuid) -> Option<Doomed> {
        let mut pins = self.lock();
        let Entry::Occupied(mut pin) = pins.entry(generation) else { return None };
        pin.get_mut().readers -= 1;
        if pin.get().readers > 0 {
            return None;
        }
        pin.remove().doomed
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Pin>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Doomed ===

impl Doomed {
    fn execute(self, folder: &Folder) {
        if folder.remove_data(&self.files) {
            self.intent.close();
        }
    }
}

// === impl Pinned ===

impl Pinned {
    pub(crate) fn new(folder: Arc<Folder>, tasks: TaskTracker, generation: Uuid) -> Self {
        folder.pins.lock().entry(generation).or_default().readers += 1;
        Self { folder, tasks, generation }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if let Some(doomed) = self.folder.pins.unpin(self.generation) {
            let folder = Arc::clone(&self.folder);
            // Removing a large file takes milliseconds, and this may be dropped on an async thread. The server
            // waits for the tracker when it stops.
            self.tasks.spawn_blocking(move || doomed.execute(&folder));
        }
    }
}

/// Removes the data files of a generation that no manifest names any more, now or after its last reader.
pub(crate) fn dispose(folder: &Folder, generation: Uuid, doomed: Doomed) {
    if let Some(doomed) = folder.pins.doom(generation, doomed) {
        doomed.execute(folder);
    }
}
