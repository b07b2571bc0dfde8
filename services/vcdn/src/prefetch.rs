//! What comes next: the order in which playlists name things.
//!
//! Whoever asks for a segment will ask for the one behind it. So when an object is asked for the first time here, the ones
//! that its playlist names next are fetched, unless they are kept or on their way, and never so many that viewers would wait.

use std::sync::Arc;

use axum::http::{HeaderMap, header};
use quick_cache::UnitWeighter;
use quick_cache::sync::Cache;

use crate::front::Front;
use crate::medium::Medium;
use crate::object::Object;
use crate::shelf::Found;
use crate::{fetch, warm};

/// Neighbours that are remembered.
const REMEMBERED: usize = 100_000;

/// Who comes after whom, by target.
#[derive(Debug)]
pub(crate) struct Order {
    next: Cache<Arc<str>, Arc<str>, UnitWeighter>,
}

// === impl Order ===

impl Order {
    pub(crate) fn new() -> Self {
        Self { next: Cache::new(REMEMBERED) }
    }

    /// Notes the order of what the playlist at `target` names, if `object` is one.
    pub(crate) fn learn(&self, target: &str, object: &Object) {
        let kind = object.head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let is_playlist = kind.is_some_and(|kind| kind.to_ascii_lowercase().contains("mpegurl"));
        let Medium::Memory(bytes) = &object.medium else { return };
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        // Renditions in a multivariant playlist are alternatives: nobody plays them one after the other.
        if !is_playlist || text.contains("#EXT-X-STREAM-INF") {
            return;
        }
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let targets: Vec<Arc<str>> = lines.filter_map(|line| warm::resolve(target, line)).map(Arc::from).collect();
        for pair in targets.windows(2) {
            self.next.insert(Arc::clone(&pair[0]), Arc::clone(&pair[1]));
        }
    }

    /// What comes after `target`.
    pub(crate) fn after(&self, target: &str) -> Option<Arc<str>> {
        self.next.get(target)
    }
}

// === impl Front ===

impl Front {
    /// Fetches what comes after `target`.
    pub(crate) fn prefetch_after(self: &Arc<Self>, target: &str) {
        let mut at: Arc<str> = target.into();
        for _ in 0..self.settings.prefetch {
            let Some(next) = self.order.after(&at) else { return };
            at = next;
            let resource: Arc<str> = format!("{}{at}", self.key_prefix()).into();
            // What varies is left to those who say which variant they want.
            let varies = self.shelf.vary(&resource).is_some_and(|vary| !vary.is_empty());
            // Viewers come first: they find half of the fills free.
            if varies || self.shelf.is_kept(&resource) || self.shelf.filling() >= self.settings.fills / 2 {
                continue;
            }
            if let Found::Begun(fill) = self.shelf.fill(&resource, self.settings.fills, |_| true) {
                let target = at.to_string();
                self.begin(&fill, fetch::Wanted { target, resource, headers: HeaderMap::new(), stale: None });
            }
        }
    }
}
