//! Tracks that stand still while others of their channel go on: a rendition whose encoder hangs, a sound that the encoder of today does not
//! have. What they lack is said as gaps while they may come back, and nobody is offered what has not come for half a window.
//!
//! Nothing ends here: a track that comes again is offered again, from its next segment on.

use std::sync::Arc;

use super::channel::Channel;
use super::track::Track;
use super::view::View;

// === impl Channel ===

impl Channel {
    /// `track` has the segment `number` as a whole: what other tracks of its publication still lack that lies `behind` segments before
    /// it, or further, is a gap. So viewers of one that stands still hear of it, and turn to another.
    pub(super) fn leave_behind(&self, track: &Arc<Track>, number: u64, behind: u64) {
        let (publication, next) = (track.publication(), number.saturating_sub(behind));
        let Some(begins_at) = track.window().begins_at(next).filter(|_| publication.is_some()) else { return };
        for other in self.tracks() {
            if Arc::ptr_eq(&other, track) || other.publication() != publication {
                continue;
            }
            let time_ticks =
                u128::from(begins_at) * u128::from(other.timescale()) / u128::from(track.timescale().max(1));
            if let Err(error) = other.skip_until(next, u64::try_from(time_ticks).unwrap_or(u64::MAX)) {
                tracing::warn!(channel = %self.id, %error, "a track cannot follow the others");
            }
        }
    }

    /// Its tracks that have something and go on, as they are now; `None` while it has not begun, by [`Self::target_duration_s`].
    pub(crate) fn views(&self) -> Option<Vec<Arc<View>>> {
        self.views_of(true)
    }

    /// All its tracks that have something: of the time before one stood still, it can be had, and times count from what came first.
    pub(crate) fn all_views(&self) -> Option<Vec<Arc<View>>> {
        self.views_of(false)
    }

    fn views_of(&self, goes_on: bool) -> Option<Vec<Arc<View>>> {
        let target_duration_s = self.target_duration_s()?;
        let date_ranges = self.date_ranges();
        let view = |track: &Arc<Track>| {
            let mut view = track.view(target_duration_s);
            view.media.date_ranges.clone_from(&date_ranges);
            Arc::new(view)
        };
        let tracks = self.tracks();
        let has_any = tracks.iter().any(|track| track.is_ready());
        // Nobody is offered what does not come any more.
        let came_until_ms = |track: &Arc<Track>| track.window().came_until_ms().unwrap_or(0);
        let newest_ms = tracks.iter().map(came_until_ms).max().unwrap_or(0);
        let stands_still = |track: &Arc<Track>| came_until_ms(track) + u64::from(self.window_s) * 500 < newest_ms;
        let is_offered = |track: &&Arc<Track>| !has_any || (track.is_ready() && !(goes_on && stands_still(track)));
        Some(tracks.iter().filter(is_offered).map(view).collect())
    }
}
