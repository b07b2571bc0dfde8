//! Forgetting what an answer to a change says has changed. All that is kept may have to be looked through, and files deleted: that is
//! done beside the threads that answer viewers, and ends also when who made the change has left.

use std::sync::Arc;

use super::Shelf;

/// What was changed.
#[derive(Debug)]
pub(crate) struct Changed {
    /// Resources, each in all its variants.
    pub resources: Vec<String>,
    /// What keys of the groups begin with.
    pub prefix: String,
    pub groups: Box<[Box<str>]>,
}

// === impl Shelf ===

impl Shelf {
    /// Forgets it; done when this ends.
    pub(crate) async fn forget_changed(self: &Arc<Self>, changed: Changed) {
        let shelf = Arc::clone(self);
        let forget = move || {
            changed.resources.iter().for_each(|resource| shelf.invalidate(resource));
            if !changed.groups.is_empty() {
                shelf.invalidate_groups(&changed.prefix, &changed.groups);
            }
        };
        if let Err(error) = tokio::task::spawn_blocking(forget).await {
            tracing::error!(%error, "what was changed may still be kept");
        }
    }

    /// Forgets a resource in all its variants; fills of it are not kept, and nobody joins them any more.
    fn invalidate(&self, resource: &str) {
        let is_of =
            |key: &str| key.strip_prefix(resource).is_some_and(|rest| rest.is_empty() || rest.starts_with('\0'));
        self.left_to_end(|key, fill| {
            let is_of = is_of(key);
            if is_of {
                fill.supersede();
            }
            is_of
        });
        if self.vary(resource).is_some_and(|vary| !vary.is_empty()) {
            self.purge(|key, _| is_of(key));
        } else {
            self.beginnings.remove(resource);
            self.drop_slices(resource);
            self.forget(resource);
        }
    }

    /// Forgets what of `groups` is kept under keys that begin with `prefix`. Fills of them are not kept, and nobody joins them any more;
    /// nor those of which it is not known yet, for it may be what was before the change that comes.
    fn invalidate_groups(&self, prefix: &str, groups: &[Box<str>]) {
        let is_of =
            |key: &str, tags: &[Box<str>]| key.starts_with(prefix) && tags.iter().any(|tag| groups.contains(tag));
        self.left_to_end(|key, fill| {
            // Asked first: once its head is there, its groups are known.
            let is_of = (key.starts_with(prefix) && fill.is_asking()) || is_of(key, &fill.tags());
            if is_of {
                fill.supersede();
            }
            is_of
        });
        self.purge(is_of);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::shelf::Counted;

    #[tokio::test]
    async fn what_was_changed_is_forgotten_beside_the_thread_that_answers() {
        let shelf = Shelf::new(1 << 20, None, 1 << 20, Counted { assets: 1, sessions: 1, of_an_address: 1 }).unwrap();
        let shelf = Arc::new(shelf);
        let changed = || Changed { resources: vec!["a".into()], prefix: "a".into(), groups: ["red".into()].into() };
        // Whoever holds the list of fills, as one that walks all that is kept does.
        let fills = shelf.lock();
        let mut forgetting = Box::pin(shelf.forget_changed(changed()));
        assert!((&mut forgetting).now_or_never().is_none(), "this thread goes on");
        drop(fills);
        forgetting.await;
    }
}
