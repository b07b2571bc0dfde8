//! One live channel: its tracks, who sends to it, and the document that outlives this process.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use flame_api::live::{Channel as Shown, ChannelState, LadderStanding, LiveTerms, LiveTrack, Mark, SourceStanding};
use flame_playlist::{Container, DateRange, Key, PlaylistError, RenditionReport, date_ranges_since};
use uuid::Uuid;

use super::clock::Clock;
use super::documents::{ChannelDocument, TrackDocument, TrackKeys};
use super::fence::Fenced;
use super::manifest::Manifest;
use super::marks;
use super::standby::Standby;
use super::track::{Init, Track};
use super::view;
use super::window::Window;
use crate::presentation::Document;
use crate::seals::Seal;
use crate::steering::Ways;

/// Whole segments of one track after which those that have none are not waited for.
const WAITED_FOR_SEGMENTS: usize = 3;
/// From a track's playlist to what belongs to the channel.
const TO_CHANNEL: &str = "../../";

/// A channel. What never changes is public; the rest is behind locks.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) id: Uuid,
    pub(crate) media_version: String,
    pub(crate) segment_ms: u32,
    pub(crate) part_ms: u32,
    pub(crate) window_s: u32,
    /// How long media is kept while it goes on; without an end where nothing is said.
    pub(crate) keep_s: Option<u32>,
    /// What its media goes out with, if it is encrypted.
    pub(crate) seal: Option<Seal>,
    /// The document as it is in the store; held while it is written.
    pub(super) document: tokio::sync::Mutex<ChannelDocument>,
    tracks: RwLock<BTreeMap<String, Arc<Track>>>,
    standing: Mutex<Standing>,
    /// When something came the last time.
    heard: Mutex<Instant>,
    /// The clock of who sends.
    pub(super) clock: Clock,
    /// What its MPD remembers.
    pub(super) manifest: Mutex<Manifest>,
    /// The first number that nobody can have seen when this process began, and the same as it is noted in the store now.
    first_unseen: u64,
    pub(super) noted: tokio::sync::Mutex<u64>,
    /// Held while a mark is made.
    pub(super) marking: tokio::sync::Mutex<()>,
    marks: RwLock<Arc<Vec<Mark>>>,
    standby: Mutex<Option<Arc<Standby>>>,
    /// The store for as long as it is this instance's.
    pub(super) store: OnceLock<Fenced>,
    /// What was said last of its source.
    pub(super) source: Mutex<Option<SourceStanding>>,
    /// The same of its ladder.
    pub(super) ladder: Mutex<Option<LadderStanding>>,
}

/// What a channel is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standing {
    publication: Option<Uuid>,
    is_ended: bool,
    target_duration_s: Option<u64>,
}

// === impl Channel ===

impl Channel {
    /// One whose numbers before `first_unseen` may have been seen. The clock of who sends is looked at once in each `drift_window`.
    pub(super) fn going_on(
        document: ChannelDocument,
        tracks: BTreeMap<String, Arc<Track>>,
        first_unseen: u64,
        (seal, drift_window): (Option<Seal>, Duration),
    ) -> Self {
        let clock = Clock::new(drift_window);
        Self { first_unseen, noted: tokio::sync::Mutex::new(first_unseen), clock, seal, ..Self::of(document, tracks) }
    }

    pub(super) fn of(document: ChannelDocument, tracks: BTreeMap<String, Arc<Track>>) -> Self {
        let standing =
            Standing { publication: None, is_ended: document.is_ended, target_duration_s: document.target_duration_s };
        Self {
            id: document.id,
            media_version: document.media_version.clone(),
            segment_ms: document.segment_ms,
            part_ms: document.part_ms,
            window_s: document.window_s,
            keep_s: document.keep_s,
            seal: None,
            first_unseen: 0,
            noted: tokio::sync::Mutex::new(0),
            marking: tokio::sync::Mutex::new(()),
            marks: RwLock::new(Arc::new(document.marks.clone())),
            document: tokio::sync::Mutex::new(document),
            tracks: RwLock::new(tracks),
            standing: Mutex::new(standing),
            heard: Mutex::new(Instant::now()),
            clock: Clock::new(Duration::MAX),
            manifest: Mutex::default(),
            standby: Mutex::default(),
            store: OnceLock::new(),
            source: Mutex::default(),
            ladder: Mutex::default(),
        }
    }

    /// As its owner sees it, without the key.
    pub(super) async fn shown(&self) -> Shown {
        let standing = self.standing();
        let document = self.document.lock().await;
        Shown {
            id: self.id,
            tenant: document.tenant.clone(),
            title: document.title.clone(),
            state: match (standing.is_ended, standing.publication) {
                (true, _) => ChannelState::Ended,
                (false, Some(_)) => ChannelState::Live,
                (false, None) => ChannelState::Idle,
            },
            version: self.media_version.clone(),
            segment_ms: self.segment_ms,
            part_ms: self.part_ms,
            window_s: self.window_s,
            keep_s: self.keep_s,
            key: None,
            source: self.shown_source(&document),
            ladder: self.shown_ladder(&document),
            clock: self.clock.shown().filter(|_| standing.publication.is_some()),
            encryption: document.encryption,
            created_at: document.created_at,
        }
    }

    /// What somebody with its key is told.
    pub(crate) async fn terms(&self) -> LiveTerms {
        let ladder = self.document.lock().await.ladder.clone();
        LiveTerms { channel: self.id, segment_ms: self.segment_ms, part_ms: self.part_ms, ladder }
    }

    fn standing(&self) -> Standing {
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stand(&self, change: impl FnOnce(&mut Standing)) {
        change(&mut self.standing.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.standing().is_ended
    }

    /// Whether `publication` is the one that sends now.
    pub(super) fn is_sent_by(&self, publication: Uuid) -> bool {
        self.standing().publication == Some(publication)
    }

    /// Something came.
    pub(super) fn hears(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How long nothing has come.
    pub(super) fn silent_for(&self) -> Duration {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// `publication` sends from now on; whoever did before does not any more.
    pub(super) fn taken_by(&self, publication: Uuid) {
        self.hears();
        self.clock.begin();
        self.stand(|standing| standing.publication = Some(publication));
    }

    /// Whether anybody sends now.
    pub(super) fn is_sent(&self) -> bool {
        self.standing().publication.is_some()
    }

    /// Who stands by.
    pub(super) fn standby(&self) -> Option<Arc<Standby>> {
        self.standby.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Another one stands by, or nobody; who did before.
    pub(super) fn replace_standby(&self, standby: Option<Arc<Standby>>) -> Option<Arc<Standby>> {
        std::mem::replace(&mut *self.standby.lock().unwrap_or_else(PoisonError::into_inner), standby)
    }

    /// When what has come ends, milliseconds since 1970.
    pub(super) fn end_ms(&self) -> u64 {
        self.tracks().iter().filter_map(|track| track.end_ms()).max().unwrap_or(0)
    }

    /// `publication` sends nothing more, if it was the one.
    pub(super) fn left_by(&self, publication: Uuid) {
        self.stand(|standing| {
            if standing.publication == Some(publication) {
                standing.publication = None;
            }
        });
    }

    pub(super) fn ended(&self) {
        self.stand(|standing| (standing.is_ended, standing.publication) = (true, None));
    }

    pub(crate) fn tracks(&self) -> Vec<Arc<Track>> {
        self.tracks.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(crate) fn track(&self, name: &str) -> Option<Arc<Track>> {
        self.tracks.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Adds a track.
    pub(super) fn add(&self, name: String, track: Arc<Track>) {
        self.tracks.write().unwrap_or_else(PoisonError::into_inner).insert(name, track);
    }

    /// What is said of spans of its time.
    pub(super) fn marks(&self) -> Arc<Vec<Mark>> {
        Arc::clone(&self.marks.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set_marks(&self, marks: Arc<Vec<Mark>>) {
        *self.marks.write().unwrap_or_else(PoisonError::into_inner) = marks;
        self.tracks().iter().for_each(|track| track.touch());
    }

    /// The marks that have not left the window: the same ones for every track.
    pub(super) fn date_ranges(&self) -> Vec<DateRange> {
        let marks = self.marks();
        if marks.is_empty() {
            return Vec::new();
        }
        let newest_ms = self.tracks().iter().filter_map(|track| track.newest_ms()).max().unwrap_or(0);
        let from_ms = newest_ms.saturating_sub(u64::from(self.window_s) * 1_000);
        // They were checked when they were made.
        date_ranges_since(&marks::date_ranges(&marks).unwrap_or_default(), from_ms)
    }

    /// The number with which whoever begins to send begins: one of which nobody has seen anything.
    pub(super) fn next_number(&self) -> u64 {
        self.tracks().iter().map(|track| track.next_number()).max().unwrap_or(0).max(self.first_unseen)
    }

    /// The newest segment of any track, also one that is under way.
    pub(crate) fn newest_number(&self) -> Option<u64> {
        self.tracks().iter().filter_map(|track| track.next_number().checked_sub(1)).max()
    }

    /// It is written to that store only.
    pub(super) fn belongs_to(&self, store: Fenced) {
        // It is said once, when it is made.
        let _ = self.store.set(store);
    }

    /// The first number of which nobody saw anything before this process.
    pub(crate) fn first_unseen(&self) -> u64 {
        self.first_unseen
    }

    /// An empty track of it.
    pub(super) fn new_track(&self, keys: TrackKeys, facts: LiveTrack, first_number: u64) -> Track {
        let gap_ticks = u64::from(facts.timescale) * u64::from(self.segment_ms) / 1000;
        let mut window = Window::new(facts.timescale, u64::from(facts.part_ticks), gap_ticks.max(1), first_number);
        window.seal(listed_key(self.seal.as_ref()));
        Track::new(keys, facts, Vec::new(), window)
    }

    /// What the document says of the tracks.
    pub(super) fn track_documents(&self) -> Vec<TrackDocument> {
        let document = |track: Arc<Track>| TrackDocument {
            track: track.facts(),
            inits: track.inits().iter().map(Init::document).collect(),
        };
        self.tracks().into_iter().map(document).collect()
    }

    /// Makes `EXT-X-TARGETDURATION` longer where a segment has become longer than it says: an encoder whose key frames come
    /// further apart than before. Players take a longer one better than a segment that is longer than it may be.
    pub(super) fn note_length(&self, track: &Track) {
        let length_s = track.newest_length_s();
        let is_longer = |target: Option<u64>| target.is_some_and(|target| target < length_s);
        if is_longer(self.standing().target_duration_s) {
            tracing::warn!(channel = %self.id, length_s, "segments become longer: key frames come further apart than before");
            self.stand(|standing| standing.target_duration_s = standing.target_duration_s.max(Some(length_s)));
        }
    }

    /// `EXT-X-TARGETDURATION`: as long as a segment should be, or as the first ones were; it only ever grows.
    /// `None` while not every track has a whole segment, unless one has several and others have none: they are not waited for.
    pub(crate) fn target_duration_s(&self) -> Option<u64> {
        let known = self.standing().target_duration_s;
        if known.is_some() {
            return known;
        }
        let tracks = self.tracks();
        let has_several = |track: &Arc<Track>| track.window().whole().count() >= WAITED_FOR_SEGMENTS;
        let is_begun = tracks.iter().all(|track| track.is_ready()) || tracks.iter().any(has_several);
        if tracks.is_empty() || !is_begun {
            return None;
        }
        self.settle_target_duration();
        self.standing().target_duration_s
    }

    /// The same at the end, when a track that has no whole segment will never have one.
    pub(crate) fn last_target_duration_s(&self) -> Option<u64> {
        if self.tracks().iter().any(|track| track.is_ready()) {
            self.settle_target_duration();
        }
        self.standing().target_duration_s
    }

    fn settle_target_duration(&self) {
        let tracks = self.tracks();
        let longest = tracks.iter().filter_map(|track| {
            let window = track.window();
            let ticks = window.whole().map(|segment| segment.duration_ticks).max()?;
            Some((2 * ticks + u64::from(window.timescale())) / (2 * u64::from(window.timescale())))
        });
        let asked = u64::from(self.segment_ms).div_ceil(1000);
        let target = longest.max().unwrap_or(1).max(asked).max(1);
        self.stand(|standing| {
            standing.target_duration_s.get_or_insert(target);
        });
    }

    /// The playlist of one of its tracks.
    pub(crate) fn playlist(
        &self,
        name: &str,
        track: &Track,
        target_duration_s: u64,
        skip: bool,
    ) -> Result<Arc<Document>, PlaylistError> {
        track.playlist(target_duration_s, || (self.reports(name), self.date_ranges()), skip)
    }

    fn reports(&self, name: &str) -> Vec<RenditionReport> {
        let tracks = self.tracks.read().unwrap_or_else(PoisonError::into_inner);
        let others = tracks.iter().filter(|(other, _)| *other != name);
        others
            .filter_map(|(other, track)| {
                Some(RenditionReport { uri: format!("../{other}/index.m3u8"), last: track.last()? })
            })
            .collect()
    }

    /// The version of its media in URLs.
    pub(crate) fn shown_version(&self) -> String {
        self.seal.as_ref().map_or_else(|| self.media_version.clone(), |seal| seal.version(&self.media_version))
    }

    /// The multivariant playlist in a form; `None` while not every track has a whole segment.
    pub(crate) fn multivariant(&self, container: Container, ways: &Ways) -> Option<Result<Document, PlaylistError>> {
        Some(view::multivariant((&self.shown_version(), container), &self.views()?, None, ways))
    }
}

/// As the playlists of its tracks say it, and after how many segments another one follows; whole segments are opened alike in all forms.
pub(super) fn listed_key(seal: Option<&Seal>) -> (Option<Key>, Option<NonZeroU64>) {
    (seal.map(|seal| seal.listed(TO_CHANNEL, Container::FragmentedMp4)), seal.and_then(|seal| seal.every))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use flame_api::live::NewChannel;
    use flame_api::media::TrackKind;
    use flame_cmaf::arriving::Chunk;

    use super::*;

    const ROUNDS: u64 = 2_000;
    const PATIENCE: Duration = Duration::from_secs(30);

    fn channel_of(names: [&str; 2]) -> Arc<Channel> {
        let new = NewChannel {
            id: Uuid::new_v4(),
            title: "two tracks".to_owned(),
            segment_ms: 2_000,
            part_ms: 200,
            window_s: 60,
            keep_s: None,
            source: None,
            ladder: None,
            encryption: None,
        };
        let document = ChannelDocument::new("default", &new, "0123456789ab".to_owned(), "0".repeat(64));
        let channel = Channel::of(document, BTreeMap::new());
        for name in names {
            let facts = LiveTrack {
                name: name.to_owned(),
                kind: TrackKind::Audio,
                codec: "mp4a.40.2".to_owned(),
                timescale: 1_000,
                part_ticks: 200,
                width: None,
                height: None,
                frame_rate: None,
                channels: Some(2),
                sample_rate_hz: Some(48_000),
                language: None,
            };
            let keys = TrackKeys::new("default", new.id, "0123456789ab", name);
            channel.add(name.to_owned(), Arc::new(channel.new_track(keys, facts, 0)));
        }
        Arc::new(channel)
    }

    /// Each playlist reports how far the other tracks are.
    #[test]
    fn playlists_of_two_tracks_are_written_at_the_same_time() {
        let channel = channel_of(["a", "v"]);
        let (done, wait) = mpsc::sync_channel(2);
        for name in ["a", "v"] {
            let (channel, done) = (Arc::clone(&channel), done.clone());
            thread::spawn(move || {
                let track = channel.track(name).unwrap();
                for number in 0..ROUNDS {
                    let chunk = Chunk {
                        bytes: vec![0; 8].into(),
                        time_ticks: number * 200,
                        duration_ticks: 200,
                        samples: 1,
                        is_independent: true,
                        sync_samples: Vec::new(),
                    };
                    track.chunk((number, 0), chunk, 0).unwrap();
                    track.end(number);
                    track.stored(number, 1);
                    let playlist = channel.playlist(name, &track, 2, false).unwrap();
                    assert!(playlist.text.ends_with(b"\n"));
                }
                done.send(name).unwrap();
            });
        }
        for _ in 0..2 {
            wait.recv_timeout(PATIENCE).expect("neither waits for the other for good");
        }
    }
}
