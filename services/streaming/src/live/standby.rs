//! A second encoder that stands by: what it sends is held for a moment, and when the first one falls silent, its channel goes on with
//! what the second one sent from there on. Viewers miss nothing; where the two do not cut alike, they see up to a segment twice.
//!
//! Nothing is decided here about who sends: [`super::failover`] does. Both encoders' times are the wall's, so what comes next is found by time; numbers
//! are the channel's, so those of the second one are moved.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use flame_api::live::LiveTrack;
use flame_cmaf::arriving::{Chunk, Defaults};
use uuid::Uuid;

use super::channel::Channel;
use super::window::NotTaken;

/// Segments of a track that are held: the one that is being made, and those that the first encoder may not have sent yet.
const HELD_SEGMENTS: usize = 3;
/// Encoders that cut alike begin their segments so close to each other, milliseconds.
const ALIKE_MS: u64 = 100;

/// A publication that stands by, or did before it took over.
#[derive(Debug)]
pub(super) struct Standby {
    pub(super) publication: Uuid,
    tracks: Vec<LiveTrack>,
    max_bytes: usize,
    role: Mutex<Role>,
    heard: Mutex<Instant>,
}

#[derive(Debug)]
enum Role {
    /// What it sends is held.
    Waiting(BTreeMap<String, Lane>),
    /// It has the channel: its numbers less `from`, plus `to`, are the channel's.
    Sending { from: u64, to: u64, inits: BTreeMap<String, Init> },
}

/// What is held of a track.
#[derive(Debug)]
struct Lane {
    /// Ticks per second of what is held.
    timescale: u32,
    max_bytes: usize,
    init: Option<Init>,
    segments: VecDeque<Held>,
}

/// The init segment of a track, as the channel counts it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Init {
    pub(super) number: u32,
    pub(super) defaults: Defaults,
}

#[derive(Debug)]
struct Held {
    number: u64,
    chunks: Vec<Chunk>,
    is_whole: bool,
}

// === impl Standby ===

impl Standby {
    /// One of `tracks`, of each of which at most `max_bytes` are held; with the ticks per second in which the channel counts.
    pub(super) fn new(publication: Uuid, tracks: Vec<(LiveTrack, u32)>, max_bytes: usize) -> Self {
        let lane = |timescale: u32| Lane { timescale, max_bytes, init: None, segments: VecDeque::new() };
        let lanes = tracks.iter().map(|(track, timescale)| (track.name.clone(), lane(*timescale))).collect();
        let tracks = tracks.into_iter().map(|(track, _)| track).collect();
        let heard = Mutex::new(Instant::now());
        Self { publication, tracks, max_bytes, role: Mutex::new(Role::Waiting(lanes)), heard }
    }

    fn role(&self) -> std::sync::MutexGuard<'_, Role> {
        self.role.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it has the channel.
    pub(super) fn is_sending(&self) -> bool {
        matches!(*self.role(), Role::Sending { .. })
    }

    /// How long nothing has come of it.
    pub(super) fn silent_for(&self) -> Duration {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Notes the init segment of a track.
    pub(super) fn init(&self, track: &str, init: Init) {
        match &mut *self.role() {
            Role::Waiting(lanes) => {
                if let Some(lane) = lanes.get_mut(track) {
                    lane.init = Some(init);
                }
            }
            Role::Sending { inits, .. } => {
                inits.insert(track.to_owned(), init);
            }
        }
    }

    /// What the init segment of a track said.
    pub(super) fn defaults(&self, track: &str) -> Option<Defaults> {
        let init = match &*self.role() {
            Role::Waiting(lanes) => lanes.get(track)?.init,
            Role::Sending { inits, .. } => inits.get(track).copied(),
        };
        init.map(|init| init.defaults)
    }

    /// Takes the `at`-th chunk of a segment: into the channel, or to be held.
    pub(super) fn chunk(
        &self,
        channel: &Channel,
        track: &str,
        (number, at): (u64, usize),
        chunk: Chunk,
    ) -> Result<(), NotTaken> {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        match &mut *self.role() {
            Role::Waiting(lanes) => {
                if let Some(lane) = lanes.get_mut(track) {
                    lane.take(number, at, chunk);
                }
            }
            Role::Sending { from, to, .. } => {
                channel.hears();
                // What lies before the segment that it took over with is there already.
                if let (Some(number), Some(found)) = (moved(number, *from, *to), channel.track(track)) {
                    channel.takes(&found, (number, at), chunk)?;
                }
            }
        }
        Ok(())
    }

    /// A segment has come to its end.
    pub(super) fn end(&self, channel: &Channel, track: &str, number: u64, behind: u64) {
        match &mut *self.role() {
            Role::Waiting(lanes) => {
                let held = lanes.get_mut(track).and_then(|lane| lane.segments.back_mut());
                if let Some(held) = held.filter(|held| held.number == number) {
                    held.is_whole = true;
                }
            }
            Role::Sending { from, to, .. } => {
                if let (Some(number), Some(found)) = (moved(number, *from, *to), channel.track(track)) {
                    found.end(number);
                    channel.leave_behind(&found, number, behind);
                }
            }
        }
    }

    /// Takes the channel over: what it sent from the end of what came on is the channel's from now on. `false` where it
    /// cannot: nothing is held, or it has it already.
    pub(super) fn take_over(&self, channel: &Channel) -> Result<bool, NotTaken> {
        let mut role = self.role();
        let Role::Waiting(lanes) = &mut *role else { return Ok(false) };
        let Some(from) = first(lanes, channel.end_ms()) else { return Ok(false) };
        let inits: BTreeMap<String, Init> =
            lanes.iter().filter_map(|(name, lane)| Some((name.clone(), lane.init?))).collect();
        for track in self.tracks.iter().filter_map(|facts| channel.track(&facts.name)) {
            track.can_skip_to(channel.next_number())?;
        }
        channel.taken_by(self.publication);
        let to = channel.next_number();
        for facts in &self.tracks {
            let found = channel.track(&facts.name).zip(inits.get(&facts.name)).zip(lanes.remove(&facts.name));
            let Some(((track, init), lane)) = found else { continue };
            track.announce(facts.clone());
            track.taken_by(self.publication, to)?;
            track.begin_with(init.number);
            for held in lane.segments {
                let Some(number) = moved(held.number, from, to) else { continue };
                for (at, chunk) in held.chunks.into_iter().enumerate() {
                    track.chunk((number, at), chunk, 0)?;
                }
                if held.is_whole {
                    track.end(number);
                }
            }
            channel.note_length(&track);
        }
        *role = Role::Sending { from, to, inits };
        Ok(true)
    }

    /// The channel is another one's again.
    pub(super) fn stand_by(&self, channel: &Channel) {
        let mut role = self.role();
        if let Role::Sending { inits, .. } = &*role {
            let lane = |(name, init): (&String, &Init)| {
                let timescale = channel.track(name)?.timescale();
                let lane = Lane { timescale, max_bytes: self.max_bytes, init: Some(*init), segments: VecDeque::new() };
                Some((name.clone(), lane))
            };
            *role = Role::Waiting(inits.iter().filter_map(lane).collect());
        }
    }
}

/// The number of the segment that a channel goes on with that has come to `end_ms`: the last one that begins before that. `None`
/// where not every track has it.
fn first(lanes: &BTreeMap<String, Lane>, end_ms: u64) -> Option<u64> {
    // The pictures say where; what comes with them has the same number.
    let leading = lanes.get("v").or_else(|| lanes.values().next())?;
    let begins = |held: &&Held| held.begin_ms(leading.timescale).is_some_and(|begin_ms| begin_ms <= end_ms + ALIKE_MS);
    let found = leading.segments.iter().rev().find(begins).or_else(|| leading.segments.front())?.number;
    lanes.values().all(|lane| lane.init.is_some()).then_some(found)
}

fn moved(number: u64, from: u64, to: u64) -> Option<u64> {
    Some(number.checked_sub(from)? + to)
}

// === impl Lane ===

impl Lane {
    /// What came twice is taken once; what is too old is let go of.
    fn take(&mut self, number: u64, at: usize, chunk: Chunk) {
        if self.segments.back().is_none_or(|last| last.number < number) {
            self.segments.push_back(Held { number, chunks: Vec::new(), is_whole: false });
        }
        let held_bytes = |segments: &VecDeque<Held>| -> usize {
            segments.iter().flat_map(|held| &held.chunks).map(|chunk| chunk.bytes.len()).sum()
        };
        while self.segments.len() > HELD_SEGMENTS
            || (self.segments.len() > 1 && held_bytes(&self.segments) > self.max_bytes)
        {
            self.segments.pop_front();
        }
        if let Some(held) = self.segments.iter_mut().find(|held| held.number == number)
            && held.chunks.len() == at
        {
            held.chunks.push(chunk);
        }
    }
}

// === impl Held ===

impl Held {
    fn begin_ms(&self, timescale: u32) -> Option<u64> {
        let timescale = u128::from(timescale.max(1));
        let ms = u128::from(self.chunks.first()?.time_ticks) * 1000 / timescale;
        u64::try_from(ms).ok()
    }
}
