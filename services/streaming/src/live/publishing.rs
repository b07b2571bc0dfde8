//! What doors do: they begin to send with a key, send segments part by part, and leave.
//!
//! Whoever sends is told the channel's next number. What is taken goes to the tracks at once; what is whole is stored by
//! `archive`. Who sends where there are two, `failover` decides.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use flame_api::live::{LiveTrack, NewPublication, Publication, Taken};
use flame_cmaf::arriving::Arrival;
use futures_util::StreamExt;
use uuid::Uuid;

use super::documents::{self, NumbersDocument};
use super::{Channel, INITS_MAX, Live, LiveError, NotTaken, TRACKS_MAX, Track, archive, limits};

/// Numbers that are noted before anything of them can be seen, and how many are left when more are noted: an encoder that takes over brings
/// up to three segments at once.
const NOTED_AHEAD: u64 = 6;
const NOTED_MARGIN: u64 = 4;
/// How long a publication waits for that before it begins: the store may be away, and media go on all the same.
const NOTED_WITHIN: Duration = Duration::from_secs(1);

// === impl Live ===

impl Live {
    /// Somebody begins to send.
    pub(crate) async fn publish(&self, tenant: &str, new: &NewPublication) -> Result<Publication, LiveError> {
        let channel = self.opened(tenant, &new.key).await?;
        self.begin(channel, new).await
    }

    /// The same of somebody who may, without a look at the key.
    pub(super) async fn begin(&self, channel: Arc<Channel>, new: &NewPublication) -> Result<Publication, LiveError> {
        let id = channel.id;
        self.check()?;
        limits::check_tracks(channel.part_ms, &new.tracks)?;
        let new_tracks = new.tracks.iter().filter(|track| channel.track(&track.name).is_none()).count();
        if channel.tracks().len() + new_tracks > TRACKS_MAX {
            return Err(LiveError::Bounds(format!(
                "a channel has {TRACKS_MAX} tracks at most, of all who published to it"
            )));
        }
        if new.standby {
            return self.stand_by(&channel, new);
        }
        self.note_numbers(&channel, channel.next_number()).await;
        // Meanwhile whoever has the channel went on, or it ended. From here on nothing is waited for.
        if channel.is_ended() {
            return Err(LiveError::Ended(id));
        }
        self.check()?;
        let first_number = channel.next_number();
        // Whoever has the channel now keeps it where this one cannot go on.
        for track in new.tracks.iter().filter_map(|track| channel.track(&track.name)) {
            track.can_skip_to(first_number)?;
        }
        let publication = Uuid::new_v4();
        let standby = channel.standby();
        if let Some(standby) = &standby {
            standby.stand_by(&channel);
        }
        channel.taken_by(publication);
        for facts in &new.tracks {
            let track = channel.track(&facts.name);
            let track = track.unwrap_or_else(|| self.new_track(&channel, facts, first_number));
            track.announce(facts.clone());
            track.taken_by(publication, first_number)?;
        }
        let standby = standby.map(|standby| standby.publication);
        self.publications().retain(|other, channel| channel.id != id || Some(*other) == standby);
        self.publications().insert(publication, Arc::clone(&channel));
        self.0.tasks.spawn(self.clone().listen(Arc::clone(&channel), publication));
        tracing::info!(channel = %id, %publication, first_number, "a publication begins");
        let (segment_ms, part_ms) = (channel.segment_ms, channel.part_ms);
        Ok(Publication { id: publication, channel: id, segment_ms, part_ms, first_number })
    }

    /// Notes that numbers from `next` on may be seen soon. Parts go out before their segment is stored, and caches keep them: a process that
    /// comes after this one begins behind all that were noted, whatever became of this one.
    async fn note_numbers(&self, channel: &Channel, next: u64) {
        let mut noted = channel.noted.lock().await;
        if *noted >= next + NOTED_MARGIN {
            return;
        }
        let key = documents::numbers_key(&self.0.tenant, channel.id, &channel.media_version);
        let document = documents::write(&NumbersDocument::new(next + NOTED_AHEAD));
        let store = self.store_of(channel);
        let written = store.put(&key, document);
        match tokio::time::timeout(NOTED_WITHIN, written).await {
            Ok(Ok(())) => *noted = next + NOTED_AHEAD,
            Ok(Err(error)) => tracing::warn!(channel = %channel.id, %error, "the numbers that are used are not noted"),
            Err(_) => tracing::warn!(channel = %channel.id, "the numbers that are used are not noted in time"),
        }
    }

    /// This process takes nothing more, and all that came is stored: the next one goes on with the number that is next now.
    pub(super) async fn note_last_numbers(&self) {
        let channels: Vec<_> = self.channels().values().cloned().collect();
        for channel in channels {
            let (next, noted) = (channel.next_number(), *channel.noted.lock().await);
            if noted == next || channel.is_ended() {
                continue;
            }
            let key = documents::numbers_key(&self.0.tenant, channel.id, &channel.media_version);
            let document = documents::write(&NumbersDocument::new(next));
            if let Err(error) = self.store().put(&key, document).await {
                tracing::warn!(channel = %channel.id, %error, "the last number is not noted: a few will be left out");
            }
        }
    }

    /// A track that the channel has not had before.
    pub(super) fn new_track(&self, channel: &Arc<Channel>, facts: &LiveTrack, first_number: u64) -> Arc<Track> {
        let keys = self.keys(channel, &facts.name);
        let track = Arc::new(channel.new_track(keys, facts.clone(), first_number));
        channel.add(facts.name.clone(), Arc::clone(&track));
        self.keep(channel, Arc::clone(&track));
        track
    }

    /// Ends a publication of which nothing comes any more: its door died without a word.
    async fn listen(self, channel: Arc<Channel>, publication: Uuid) {
        let (silence, stop) = (self.0.config.silence.0, self.reign().stop);
        while channel.is_sent_by(publication) {
            let left = silence.saturating_sub(channel.silent_for());
            if left.is_zero() {
                tracing::warn!(channel = %channel.id, %publication, ?silence, "nothing comes of a publication: it is over");
                self.unpublish(publication);
                return;
            }
            tokio::select! { () = tokio::time::sleep(left) => {}, () = stop.cancelled() => return }
        }
    }

    pub(super) fn publications(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<Uuid, Arc<Channel>>> {
        self.0.publications.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn published(&self, publication: Uuid, name: &str) -> Result<(Arc<Channel>, Arc<Track>), LiveError> {
        let channel = self.0.publications.read().unwrap_or_else(PoisonError::into_inner).get(&publication).cloned();
        let is_one =
            |channel: &Arc<Channel>| channel.is_sent_by(publication) || self.standby(channel, publication).is_some();
        let channel = channel.filter(is_one);
        let channel = channel.ok_or(LiveError::NoPublication(publication))?;
        let track = channel.track(name).ok_or_else(|| LiveError::NoTrack(name.to_owned()))?;
        Ok((channel, track))
    }

    /// Takes the init segment of a track.
    pub(crate) async fn put_init(&self, publication: Uuid, name: &str, bytes: Bytes) -> Result<(), LiveError> {
        let (channel, track) = self.published(publication, name)?;
        if track.inits().len() >= INITS_MAX {
            return Err(LiveError::Bounds(format!(
                "a track has {INITS_MAX} init segments at most: begin another channel"
            )));
        }
        let (init, _) = track.add_init(bytes.clone())?;
        let number = init.number;
        match self.standby(&channel, publication) {
            Some(standby) => standby.init(name, init),
            None => track.begin_with(number),
        }
        // Also where it is known: it may not have been stored the last time.
        archive::put_init(&self.store_of(&channel), &track.keys, number, bytes).await?;
        let tracks = channel.track_documents();
        self.write(&channel, |document| document.tracks = tracks).await
    }

    /// Takes a segment, part by part while it comes. It is held where its publication stands by.
    pub(crate) async fn receive(
        &self,
        publication: Uuid,
        name: &str,
        number: u64,
        body: Body,
    ) -> Result<Taken, LiveError> {
        let (channel, track) = self.published(publication, name)?;
        let standby = self.standby(&channel, publication);
        let defaults = standby.as_ref().map_or_else(|| track.defaults(), |standby| standby.defaults(name));
        let defaults = defaults.ok_or_else(|| LiveError::NoInit(name.to_owned()))?;
        let held = track.window().held_bytes();
        if held as u64 > self.0.config.memory.0 {
            return Err(LiveError::Behind(held));
        }
        // Who stands by counts by itself.
        let coming = if standby.is_some() { channel.next_number() } else { channel.next_number().max(number) };
        if channel.noted.try_lock().is_ok_and(|noted| *noted < coming.saturating_add(NOTED_MARGIN)) {
            let (live, channel, next) = (self.clone(), Arc::clone(&channel), coming);
            if self.peers().is_some() {
                // A successor begins behind what is noted: nothing that is not may be seen.
                live.note_numbers(&channel, next).await;
                if *channel.noted.lock().await <= next {
                    return Err(NotTaken::Shut.into());
                }
            } else {
                self.0.tasks.spawn(async move { live.note_numbers(&channel, next).await });
            }
        }
        let (mut arrival, mut body, mut at) = (Arrival::new(defaults), body.into_data_stream(), 0);
        let silence = self.0.config.silence.0;
        loop {
            let piece = tokio::time::timeout(silence, body.next()).await.map_err(|_| LiveError::Silent(silence))?;
            let Some(piece) = piece else { break };
            arrival.push(&piece.map_err(LiveError::BrokenOff)?);
            while let Some(chunk) = arrival.chunk()? {
                let chunk = chunk.counted_in(defaults.timescale, track.timescale());
                match &standby {
                    Some(standby) => standby.chunk(&channel, name, (number, at), chunk)?,
                    None if !channel.is_sent_by(publication) => return Err(LiveError::NoPublication(publication)),
                    None => {
                        self.check()?;
                        channel.hears();
                        channel.takes(&track, (number, at), chunk)?;
                    }
                }
                at += 1;
            }
        }
        arrival.end()?;
        let behind = self.0.config.behind_segments;
        match &standby {
            Some(standby) => standby.end(&channel, name, number, behind),
            None => {
                track.end(number);
                channel.leave_behind(&track, number, behind);
            }
        }
        // Also of who stood by and has it now; it may have ended meanwhile.
        if channel.is_sent_by(publication) {
            self.0.figures.clock(&channel);
        }
        channel.note_periods();
        self.note_target(&channel).await?;
        let has_channel = standby.is_none_or(|standby| standby.is_sending());
        Ok(if has_channel { Taken::Used } else { Taken::Held })
    }

    /// Writes down the target duration as soon as it is known.
    async fn note_target(&self, channel: &Channel) -> Result<(), LiveError> {
        let target = channel.target_duration_s();
        self.write(channel, |document| document.target_duration_s = target).await
    }

    /// A publication is over; `false` where there was none.
    pub(crate) fn unpublish(&self, publication: Uuid) -> bool {
        let Some(channel) = self.publications().remove(&publication) else { return false };
        if self.standby(&channel, publication).is_some() {
            channel.replace_standby(None);
        }
        if channel.is_sent_by(publication) {
            channel.left_by(publication);
            self.0.figures.rests(&channel);
            channel.tracks().iter().for_each(|track| track.pause());
            tracing::info!(channel = %channel.id, %publication, "a publication is over");
        }
        true
    }
}
