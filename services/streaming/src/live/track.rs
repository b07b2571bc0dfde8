//! A live track as requests see it: a lock and a signal around its window, and the playlists made from it.
//!
//! A playlist is written once for each change, however many viewers wait for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use flame_api::live::LiveTrack;
use flame_api::media::TrackKind;
use flame_cmaf::arriving::{ArrivalError, Chunk, Defaults};
use flame_cmaf::samples;
use flame_playlist::{DateRange, LiveMedia, PlaylistError, Position, RenditionReport, Wait};
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::documents::{InitDocument, SegmentDocument, TrackKeys};
use super::forgetting::Forgetting;
use super::standby::Init as Counted;
use super::view::View;
use super::window::{NotTaken, State, Window};
use crate::presentation::Document;

/// Segments whose octets stay in memory although they are stored: viewers at the live edge read them.
const HELD_SEGMENTS: usize = 6;

/// A live track.
#[derive(Debug)]
pub(crate) struct Track {
    pub(crate) keys: TrackKeys,
    facts: RwLock<LiveTrack>,
    inits: RwLock<Vec<Init>>,
    window: Mutex<Window>,
    /// Counts changes of the window.
    changes: watch::Sender<u64>,
    /// Something waits to be stored.
    pub(super) to_store: Notify,
    written: Mutex<Written>,
    /// What of it is not kept; held while something is deleted.
    pub(super) forgetting: tokio::sync::Mutex<Forgetting>,
    /// Who sent it last, or began to.
    publication: Mutex<Option<Uuid>>,
}

/// An init segment.
#[derive(Debug, Clone)]
pub(crate) struct Init {
    /// Its octets; none where they are in the store only.
    pub(crate) bytes: Bytes,
    pub(crate) size_bytes: u64,
    pub(crate) sha256: [u8; 32],
    pub(crate) defaults: Option<Defaults>,
    /// Transfer characteristics of its pictures (H.273), where it says them.
    pub(crate) transfer: Option<u16>,
}

/// The playlists of one moment.
#[derive(Debug, Default)]
struct Written {
    change: u64,
    target_duration_s: u64,
    whole: Option<Arc<Document>>,
    delta: Option<Arc<Document>>,
    iframes: Option<Arc<Document>>,
    transport_streams: Option<Arc<Document>>,
}

/// Some octets of a track.
#[derive(Debug, Clone)]
pub(crate) enum Octets {
    /// In memory.
    Held(Bytes, [u8; 32]),
    /// In the store: this object, of this length.
    Stored(String, u64, [u8; 32]),
}

/// What comes next of a segment that is sent while it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Following {
    /// This part.
    Part(Bytes),
    /// Nothing: it is whole.
    End,
    /// It did not come in time, or is not held any more.
    Lost,
}

/// What became of waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    /// It has come, or nothing more will.
    Come,
    /// It lies too far ahead.
    TooFar,
    /// It did not come in time.
    Late,
}

// === impl Track ===

impl Track {
    pub(crate) fn new(keys: TrackKeys, facts: LiveTrack, inits: Vec<Init>, window: Window) -> Self {
        Self {
            keys,
            facts: RwLock::new(facts),
            inits: RwLock::new(inits),
            window: Mutex::new(window),
            changes: watch::Sender::new(0),
            to_store: Notify::new(),
            written: Mutex::default(),
            forgetting: tokio::sync::Mutex::default(),
            publication: Mutex::default(),
        }
    }

    /// What was said of it when somebody began to send.
    pub(crate) fn facts(&self) -> LiveTrack {
        self.facts.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn inits(&self) -> Vec<Init> {
        self.inits.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ticks per second in which it counts, whoever sends: what comes in others is counted anew.
    pub(crate) fn timescale(&self) -> u32 {
        self.window().timescale()
    }

    /// How long the newest segment is so far, rounded to seconds as `EXT-X-TARGETDURATION` wants it.
    pub(super) fn newest_length_s(&self) -> u64 {
        self.window().newest_length_s()
    }

    /// Notes what somebody says who begins to send.
    pub(crate) fn announce(&self, mut facts: LiveTrack) {
        let (from, to) = (u64::from(facts.timescale.max(1)), self.timescale());
        let part_ticks = (u64::from(facts.part_ticks) * u64::from(to)).div_ceil(from);
        (facts.timescale, facts.part_ticks) = (to, u32::try_from(part_ticks).unwrap_or(u32::MAX));
        *self.facts.write().unwrap_or_else(PoisonError::into_inner) = facts;
    }

    /// Takes an init segment: as it is counted, and whether it is a new one.
    pub(super) fn add_init(&self, bytes: Bytes) -> Result<(Counted, bool), ArrivalError> {
        let defaults = Defaults::read(&bytes)?;
        let sha256: [u8; 32] = Sha256::digest(&bytes).into();
        let mut inits = self.inits.write().unwrap_or_else(PoisonError::into_inner);
        let known = inits.iter().position(|init| init.sha256 == sha256);
        let at = known.unwrap_or(inits.len());
        let size_bytes = bytes.len() as u64;
        let transfer = samples::transfer_of(&bytes).ok().flatten();
        let init = Init { bytes, size_bytes, sha256, defaults: Some(defaults), transfer };
        match inits.get_mut(at) {
            Some(slot) => *slot = init,
            None => inits.push(init),
        }
        Ok((Counted { number: u32::try_from(at).unwrap_or(u32::MAX), defaults }, known.is_none()))
    }

    /// Somebody begins to send with this init segment.
    pub(super) fn begin_with(&self, init: u32) {
        let part_ticks = u64::from(self.facts().part_ticks);
        self.change(|window| window.begin(init, part_ticks));
    }

    /// What the init segment of what comes now says.
    pub(crate) fn defaults(&self) -> Option<Defaults> {
        let init = usize::try_from(self.window().init()).ok()?;
        self.inits.read().unwrap_or_else(PoisonError::into_inner).get(init)?.defaults
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.window().next_number()
    }

    /// What of it is stored already.
    pub(super) fn remember(&mut self, segments: &[SegmentDocument]) {
        let timescale = self.timescale();
        self.forgetting.get_mut().amounts.add(segments, timescale);
    }

    /// Takes a chunk; `false` where it was there already. `wall_offset_ms` is what has to be added to the time of its segment to have the wall's.
    pub(crate) fn chunk(
        &self,
        (number, at): (u64, usize),
        mut chunk: Chunk,
        wall_offset_ms: i64,
    ) -> Result<bool, NotTaken> {
        if self.facts().kind == TrackKind::Audio {
            // Each of its samples is one; nobody looks for pictures there.
            chunk.sync_samples.clear();
        }
        let before = self.next_number();
        let taken = self.change(|window| {
            window.correct(wall_offset_ms);
            window.chunk(number, at, chunk)
        });
        if self.next_number() != before {
            // What was under way before is whole now.
            self.to_store.notify_one();
        }
        taken
    }

    /// A segment has come to its end.
    pub(crate) fn end(&self, number: u64) {
        self.change(|window| window.end(number));
        self.to_store.notify_one();
    }

    /// Nobody sends now; what is under way is what there is.
    pub(crate) fn pause(&self) {
        self.end(self.next_number().saturating_sub(1));
    }

    /// Whether it can be taken over by who begins with `number`.
    pub(super) fn can_skip_to(&self, number: u64) -> Result<(), NotTaken> {
        self.window().can_skip_to(number)
    }

    /// `publication` begins to send it, with `number`: what the other tracks have and this one has not is left out.
    pub(super) fn taken_by(&self, publication: Uuid, number: u64) -> Result<(), NotTaken> {
        *self.publication.lock().unwrap_or_else(PoisonError::into_inner) = Some(publication);
        self.pause();
        let skipped = self.change(|window| window.skip_to(number));
        self.to_store.notify_one();
        skipped
    }

    /// Who sent it last, or began to.
    pub(super) fn publication(&self) -> Option<Uuid> {
        *self.publication.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves out all up to `number`, which begins at `time_ticks`; where nothing of it has ever come, there is nothing to leave out.
    pub(super) fn skip_until(&self, number: u64, time_ticks: u64) -> Result<(), NotTaken> {
        if self.next_number() >= number {
            return Ok(());
        }
        let skipped = self.change(|window| window.skip_until(number, time_ticks));
        self.to_store.notify_one();
        skipped
    }

    /// This process takes nothing more.
    pub(super) fn shut(&self) {
        self.change(Window::shut);
        self.to_store.notify_one();
    }

    /// Nothing more will come.
    pub(crate) fn finish(&self) {
        self.change(Window::finish);
        self.to_store.notify_one();
    }

    /// Notes that a segment is stored, lets go of what is no longer needed, and forgets what lies too far back.
    pub(super) fn stored(&self, number: u64, window_s: u32) {
        let mut window = self.window();
        window.stored(number);
        window.release(HELD_SEGMENTS);
        let window_ticks = u64::from(window_s) * u64::from(window.timescale());
        if window.trim(window_ticks) > 0 {
            drop(window);
            self.changes.send_modify(|change| *change += 1);
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Window) -> T) -> T {
        let changed = change(&mut self.window());
        self.changes.send_modify(|change| *change += 1);
        changed
    }

    pub(crate) fn window(&self) -> MutexGuard<'_, Window> {
        // Nothing under the lock panics half-way: what is there is whole.
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the playlist has `wanted`. What lies before `first_unseen` may have been seen, of another process: it is not too far ahead.
    pub(crate) async fn wait(&self, wanted: Position, first_unseen: u64, patience: Duration) -> Waited {
        let mut changes = self.changes.subscribe();
        let waits = async {
            loop {
                changes.borrow_and_update();
                match self.window().waits_for(wanted) {
                    Wait::Over => return Waited::Come,
                    Wait::TooFar if wanted.number > first_unseen => return Waited::TooFar,
                    Wait::TooFar | Wait::On => {}
                }
                if changes.changed().await.is_err() {
                    return Waited::Come;
                }
            }
        };
        tokio::time::timeout(patience, waits).await.unwrap_or(Waited::Late)
    }

    /// Waits until there is something to play: a segment that is whole.
    pub(crate) fn is_ready(&self) -> bool {
        self.window().whole().next().is_some()
    }

    /// What is written of the track as it is now.
    fn written(&self, target_duration_s: u64) -> MutexGuard<'_, Written> {
        let change = self.change_count();
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if (written.change, written.target_duration_s) != (change, target_duration_s) {
            *written = Written { change, target_duration_s, ..Written::default() };
        }
        written
    }

    /// The playlist as it is now.
    pub(crate) fn playlist(
        &self,
        target_duration_s: u64,
        beside: impl FnOnce() -> (Vec<RenditionReport>, Vec<DateRange>),
        skip: bool,
    ) -> Result<Arc<Document>, PlaylistError> {
        let mut written = self.written(target_duration_s);
        let slot = if skip { &written.delta } else { &written.whole };
        if let Some(document) = slot {
            return Ok(Arc::clone(document));
        }
        // Before the window is locked: the reports look into the other tracks' windows, and theirs into this one.
        let (reports, date_ranges) = beside();
        let media = LiveMedia { date_ranges, ..self.window().media(target_duration_s, reports) };
        let document = Arc::new(Document::new(media.playlist(skip)?));
        *(if skip { &mut written.delta } else { &mut written.whole }) = Some(Arc::clone(&document));
        Ok(document)
    }

    /// All that is known of it now.
    pub(crate) fn view(&self, target_duration_s: u64) -> View {
        // The facts first: nowhere is the window held while they are waited for.
        let (facts, inits) = (self.facts(), self.inits());
        let view = self.window().view(facts, target_duration_s);
        let newest = view.media.segments.last().and_then(|last| inits.get(usize::try_from(last.init).ok()?));
        View { transfer: newest.and_then(|init| init.transfer), ..view }
    }

    /// Something changed that its playlists say and its window does not.
    pub(super) fn touch(&self) {
        self.changes.send_modify(|change| *change += 1);
    }

    /// When what has come ends, milliseconds since 1970.
    pub(super) fn end_ms(&self) -> Option<u64> {
        self.window().end_ms()
    }

    /// When the newest segment begins, by the wall.
    pub(super) fn newest_ms(&self) -> Option<u64> {
        self.window().newest_ms()
    }

    /// How often it has changed.
    pub(super) fn change_count(&self) -> u64 {
        *self.changes.borrow()
    }

    /// The playlist of its I-frames as it is now; `None` where there are none.
    pub(crate) fn iframes(&self, target_duration_s: u64) -> Option<Result<Arc<Document>, PlaylistError>> {
        let mut written = self.written(target_duration_s);
        if let Some(document) = &written.iframes {
            return Some(Ok(Arc::clone(document)));
        }
        let document = match self.view(target_duration_s).iframes()? {
            Ok(document) => Arc::new(document),
            Err(refusal) => return Some(Err(refusal)),
        };
        written.iframes = Some(Arc::clone(&document));
        Some(Ok(document))
    }

    /// The playlist of its transport streams as it is now.
    pub(crate) fn transport_streams(&self, target_duration_s: u64) -> Result<Arc<Document>, PlaylistError> {
        let mut written = self.written(target_duration_s);
        if let Some(document) = &written.transport_streams {
            return Ok(Arc::clone(document));
        }
        let media = self.window().media(target_duration_s, Vec::new());
        let document = Arc::new(Document::new(media.transport_streams()?));
        written.transport_streams = Some(Arc::clone(&document));
        Ok(document)
    }

    /// Whether a segment is just being made.
    pub(crate) fn is_under_way(&self, number: u64) -> bool {
        self.window().segment(number).is_some_and(|segment| segment.state == State::UnderWay)
    }

    /// The part `at` of a segment as soon as it is there, if that is within `patience`.
    pub(crate) async fn follow(&self, number: u64, at: usize, patience: Duration) -> Following {
        let mut changes = self.changes.subscribe();
        let next = async {
            loop {
                changes.borrow_and_update();
                {
                    let window = self.window();
                    let Some(segment) = window.segment(number) else { return Following::Lost };
                    if let Some(part) = segment.parts.get(at) {
                        return Following::Part(part.bytes.clone());
                    }
                    if segment.state != State::UnderWay {
                        // Where its octets were let go of meanwhile, who reads so slowly has not got all of them.
                        return if segment.parts.len() == at { Following::End } else { Following::Lost };
                    }
                }
                if changes.changed().await.is_err() {
                    return Following::Lost;
                }
            }
        };
        tokio::time::timeout(patience, next).await.unwrap_or(Following::Lost)
    }

    /// The segment of an I-frame, and its place among those of the segment.
    pub(crate) fn keyframe(&self, number: u64) -> Option<(u64, u32)> {
        self.window().keyframe(number)
    }

    /// The init segment of a segment.
    pub(crate) fn init_of(&self, number: u64) -> Option<Octets> {
        let init = self.window().segment(number)?.init;
        self.init(init)
    }

    /// The last thing that came.
    pub(crate) fn last(&self) -> Option<Position> {
        self.window().last()
    }

    /// A whole segment.
    pub(crate) fn segment(&self, number: u64) -> Option<Octets> {
        let window = self.window();
        let segment = window.segment(number).filter(|segment| segment.state == State::Whole)?;
        Some(match segment.bytes() {
            Some(bytes) => Octets::Held(bytes, segment.sha256),
            None => Octets::Stored(self.keys.segment(number), segment.size_bytes, segment.sha256),
        })
    }

    /// A part, as long as it is held.
    pub(crate) fn part(&self, number: u64, part: u64) -> Option<Octets> {
        let window = self.window();
        let part = window.segment(number)?.parts.get(usize::try_from(part).ok()?)?;
        Some(Octets::Held(part.bytes.clone(), part.sha256))
    }

    /// Whether a part is the one that the playlist announces, or may be the next one all the same.
    pub(crate) fn is_announced(&self, number: u64, part: u64) -> bool {
        self.window().may_come_next(Position { number, part: Some(part) })
    }

    /// An init segment.
    pub(crate) fn init(&self, number: u32) -> Option<Octets> {
        let inits = self.inits.read().unwrap_or_else(PoisonError::into_inner);
        let init = inits.get(usize::try_from(number).ok()?)?;
        Some(if init.bytes.is_empty() {
            Octets::Stored(self.keys.init(number), init.size_bytes, init.sha256)
        } else {
            Octets::Held(init.bytes.clone(), init.sha256)
        })
    }
}

// === impl Octets ===

impl Octets {
    pub(crate) fn size_bytes(&self) -> u64 {
        match self {
            Self::Held(bytes, _) => bytes.len() as u64,
            Self::Stored(_, size_bytes, _) => *size_bytes,
        }
    }

    pub(crate) fn sha256(&self) -> &[u8; 32] {
        match self {
            Self::Held(_, sha256) | Self::Stored(_, _, sha256) => sha256,
        }
    }
}

// === impl Init ===

impl Init {
    /// One that is in the store.
    pub(crate) fn stored(document: &InitDocument) -> Option<Self> {
        let sha256 = super::documents::digest(&document.sha256)?;
        let (size_bytes, transfer) = (document.size_bytes, document.transfer);
        Some(Self { bytes: Bytes::new(), size_bytes, sha256, defaults: None, transfer })
    }

    pub(crate) fn document(&self) -> InitDocument {
        InitDocument { size_bytes: self.size_bytes, sha256: hex::encode(self.sha256), transfer: self.transfer }
    }
}
