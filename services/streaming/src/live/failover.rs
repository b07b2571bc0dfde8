//! Who sends to a channel when there are two: the first encoder as long as it is heard, then the one that stands by, until the
//! first one comes back.

use std::sync::Arc;
use std::time::Duration;

use flame_api::live::{NewPublication, Publication};
use uuid::Uuid;

use super::standby::Standby;
use super::{Channel, Live, LiveError};

/// Looks at who is heard, in the time after which the first encoder counts as silent.
const LOOKS: u32 = 4;

// === impl Live ===

impl Live {
    /// Somebody begins to send who stands by. Another one that did so does not any more.
    pub(super) fn stand_by(&self, channel: &Arc<Channel>, new: &NewPublication) -> Result<Publication, LiveError> {
        let mut tracks = Vec::new();
        for facts in &new.tracks {
            let track = match channel.track(&facts.name) {
                Some(track) => track,
                // Viewers are told of a track only when there is something of it.
                None if channel.is_sent() => {
                    return Err(LiveError::Bounds(format!(
                        "who stands by sends the tracks of the channel, and {:?} is none of them",
                        facts.name
                    )));
                }
                None => self.new_track(channel, facts, channel.next_number()),
            };
            tracks.push((facts.clone(), track.timescale()));
        }
        let max_bytes = usize::try_from(self.0.config.memory.0).unwrap_or(usize::MAX);
        let standby = Arc::new(Standby::new(Uuid::new_v4(), tracks, max_bytes));
        let publication = standby.publication;
        if let Some(before) = channel.replace_standby(Some(Arc::clone(&standby))) {
            self.publications().remove(&before.publication);
        }
        self.publications().insert(publication, Arc::clone(channel));
        self.0.tasks.spawn(self.clone().attend(Arc::clone(channel), standby));
        tracing::info!(channel = %channel.id, %publication, "an encoder stands by");
        let (segment_ms, part_ms) = (channel.segment_ms, channel.part_ms);
        Ok(Publication { id: publication, channel: channel.id, segment_ms, part_ms, first_number: 0 })
    }

    /// The publication that stands by, or did until it took over, if it is this one.
    pub(super) fn standby(&self, channel: &Channel, publication: Uuid) -> Option<Arc<Standby>> {
        channel.standby().filter(|standby| standby.publication == publication)
    }

    /// Lets it take over when the first one falls silent, as long as it is heard itself.
    async fn attend(self, channel: Arc<Channel>, standby: Arc<Standby>) {
        let (failover, silence) = (self.0.config.failover.0, self.0.config.silence.0);
        let (publication, stop) = (standby.publication, self.reign().stop);
        while self.standby(&channel, publication).is_some() && !channel.is_ended() {
            if standby.silent_for() > silence {
                tracing::warn!(channel = %channel.id, %publication, ?silence, "nothing comes of who stands by: it is over");
                self.unpublish(publication);
                return;
            }
            // One that has been heard later than the first one, and so is better off.
            let silent_for = channel.silent_for();
            let is_wanted = !channel.is_sent() || (silent_for > failover && standby.silent_for() < silent_for);
            if is_wanted && !channel.is_sent_by(publication) {
                match standby.take_over(&channel) {
                    Ok(true) => {
                        tracing::warn!(channel = %channel.id, %publication, "the first encoder is not heard: the one that stood by has the channel");
                        self.publications().retain(|id, other| other.id != channel.id || *id == publication);
                    }
                    Ok(false) => {}
                    Err(error) => {
                        tracing::error!(channel = %channel.id, %publication, %error, "who stood by cannot take over");
                        self.unpublish(publication);
                        return;
                    }
                }
            }
            let pause = failover.max(Duration::from_millis(20)) / LOOKS;
            tokio::select! { () = tokio::time::sleep(pause) => {}, () = stop.cancelled() => return }
        }
    }
}
