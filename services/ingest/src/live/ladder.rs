//! The ladder of a publication: its pictures go to transcode while they go to streaming, and what comes back goes to streaming as tracks
//! of the same publication.
//!
//! One request to transcode lasts as long as the publication ([`session`]). What was sent and has not come back has a bound: where
//! transcode does not keep up, whole segments are dropped, oldest first, but none that is being sent: they are gaps of the renditions; the source itself never waits. Where transcode, or its
//! media process, goes away, the renditions' segment under way ends as it is, and with the next segment another session goes on. A
//! publication begins without renditions where they are not there in time; once they can be had it is begun anew, with a discontinuity. So is
//! that of an encoder that stood by, once it has the channel: until then it has no ladder, and none any more when another one has the channel again.
//! How it goes is told streaming, for people to read.

mod feed;
mod session;

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use flame_api::live::{LadderStanding, LadderState, LiveTerms, NewLadder, Taken};
use flame_api::media::TrackKind;
use flame_cmaf::Chunk;
use flame_service_host::problem::chain;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::packager::Track;
use super::publisher::{Lost, Way};
use super::queue::{Bound, Queue};
use crate::retry;
use feed::Feed;
use session::{LadderError, Session};

/// How long after it began a publication that took a channel over may be told that another one has it.
const TAKEOVER_GRACE: Duration = Duration::from_secs(10);
/// Pause before it is said again how it goes, where that was not heard.
const SAY_AGAIN: Duration = Duration::from_secs(2);

/// The ladder of a publication. Dropping it ends it.
#[derive(Debug)]
pub struct Ladder {
    party: Arc<Party>,
    lanes: Vec<Arc<Queue>>,
    tasks: JoinSet<Ended>,
}

/// A ladder whose publication has not begun.
#[derive(Debug)]
pub struct Opened {
    party: Arc<Party>,
    /// None where it is not there.
    session: Option<Session>,
    is_hopeless: bool,
}

/// What became of the last segment of a publication that streaming took.
type Role = watch::Receiver<Option<Taken>>;

/// What its tasks share.
#[derive(Debug)]
struct Party {
    way: Way,
    wanted: NewLadder,
    source: Track,
    feed: Mutex<Feed>,
    standing: watch::Sender<LadderStanding>,
    /// The segment at which one was dropped last.
    behind_at: AtomicU64,
    /// Somebody takes what is sent.
    is_open: AtomicBool,
    /// Another encoder has the channel, and says how it goes with its ladder.
    is_aside: AtomicBool,
    /// Nothing more comes.
    over: CancellationToken,
    /// What is made cannot be sent.
    cut: CancellationToken,
}

/// Why a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// There is nothing more to do.
    Done,
    /// The publication has to begin anew for it.
    Changed,
}

// === impl Opened ===

impl Opened {
    /// Asks for the ladder of a publication of these tracks; `None` where the channel has none.
    pub async fn of(way: &Way, terms: &LiveTerms, tracks: &[Track]) -> Option<Self> {
        let ladder = terms.ladder.as_ref()?;
        let mut pictures = tracks.iter().filter(|track| track.live.kind == TrackKind::Video);
        let (source, other) = (pictures.next()?.clone(), pictures.next());
        let (channel, part_ms) = (terms.channel, terms.part_ms);
        let wanted = NewLadder { channel, part_ms, source: source.live.clone(), rungs: ladder.rungs.clone() };
        let opened = match other {
            Some(_) => Err(LadderError::Several),
            None => Session::open(way, &wanted, &source.init, &Arc::new(Queue::new(bound(way)))).await,
        };
        let opened = opened.and_then(|session| {
            let is_taken = |name: &str| tracks.iter().any(|track| track.name == name);
            match session.tracks().iter().find(|track| is_taken(&track.name)) {
                Some(taken) => Err(LadderError::Name(taken.name.to_string())),
                None => Ok(session),
            }
        });
        let standing = standing(opened.as_ref());
        let is_hopeless = matches!(&opened, Err(error) if error.is_final());
        if let Err(error) = &opened {
            way.figures.ladders_lost.with_label_values(&[error.reason()]).inc();
            tracing::warn!(%channel, error = chain(error), "a publication begins without its ladder");
        }
        let session = opened.ok();
        let feed = session.as_ref().map(Session::feed);
        let party = Party::of(way, (wanted, source), feed, standing);
        Some(Self { party: Arc::new(party), session, is_hopeless })
    }

    /// The same for a publication that stands by: nothing is asked for.
    pub fn aside(way: &Way, terms: &LiveTerms, tracks: &[Track]) -> Option<Self> {
        let ladder = terms.ladder.as_ref()?;
        let source = tracks.iter().find(|track| track.live.kind == TrackKind::Video)?.clone();
        let (channel, part_ms) = (terms.channel, terms.part_ms);
        let wanted = NewLadder { channel, part_ms, source: source.live.clone(), rungs: ladder.rungs.clone() };
        let party = Party::of(way, (wanted, source), None, standing(Err(&LadderError::Aside)));
        party.is_aside.store(true, Ordering::Relaxed);
        Some(Self { party: Arc::new(party), session: None, is_hopeless: true })
    }

    /// The tracks that it adds to the publication.
    pub fn tracks(&self) -> Vec<Track> {
        self.session.as_ref().map(|session| session.tracks().to_vec()).unwrap_or_default()
    }

    /// Goes on with the publication, whose queue of a track `lane` says; `role` is that of an encoder that is to stand by.
    pub fn begin(self, lane: impl Fn(&str) -> Option<Arc<Queue>>, role: Option<Role>) -> Ladder {
        let Self { party, session, is_hopeless } = self;
        let (mut tasks, mut lanes) = (JoinSet::new(), Vec::new());
        if let Some(role) = role {
            let (over, turn) = (party.over.clone(), turn(Arc::clone(&party), role));
            tasks.spawn(async move { over.run_until_cancelled_owned(turn).await.unwrap_or(Ended::Done) });
        }
        match session {
            Some(session) => {
                lanes.extend(session.tracks().iter().filter_map(|track| lane(&track.name)));
                let (cut, kept) = (party.cut.clone(), keep(Arc::clone(&party), session, lanes.clone()));
                let cut_short = lanes.clone();
                tasks.spawn(async move {
                    cut.run_until_cancelled_owned(kept).await.unwrap_or_else(|| {
                        // What is under way of them comes to no end.
                        cut_short.iter().for_each(|lane| lane.cut());
                        Ended::Done
                    })
                });
            }
            None if is_hopeless => {}
            None => {
                let (cut, waits) = (party.cut.clone(), wait(Arc::clone(&party)));
                tasks.spawn(async move { cut.run_until_cancelled_owned(waits).await.unwrap_or(Ended::Done) });
            }
        }
        tasks.spawn(say(Arc::clone(&party)));
        Ladder { party, lanes, tasks }
    }
}

// === impl Ladder ===

impl Ladder {
    /// A chunk of the publication. Never waits.
    pub fn push(&self, track: &str, chunk: &Chunk, whole_at: Instant) {
        let party = &self.party;
        if track != party.source.name || !party.is_open.load(Ordering::Relaxed) {
            return;
        }
        let dropped = party.feed().push(chunk, whole_at, party.way.ladder.queue_segments);
        if dropped > 0 {
            let (channel, number) = (party.wanted.channel, chunk.number);
            party.way.figures.ladder_dropped_segments.inc_by(dropped);
            party.behind_at.store(number, Ordering::Relaxed);
            tracing::warn!(%channel, number, dropped, "the ladder does not keep up: segments of its renditions were dropped");
            party.standing.send_if_modified(|standing| {
                let was = std::mem::replace(&mut standing.state, LadderState::Behind);
                standing.error =
                    Some("transcode does not keep up: it needs more processors, or fewer rungs".to_owned());
                was != LadderState::Behind
            });
        }
    }

    /// Returns once the publication has to begin anew. It may be dropped and called again.
    pub async fn changed(&mut self) {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(Ended::Changed)) => return,
                Some(Ok(Ended::Done) | Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// What it makes cannot be sent: nothing more is made until another publication begins. The publication goes on.
    pub fn cut(&self, lost: &Lost) {
        let party = &self.party;
        if !party.end() {
            return;
        }
        self.lanes.iter().for_each(|lane| lane.cut());
        party.way.figures.ladders_lost.with_label_values(&[lost.reason()]).inc();
        tracing::warn!(channel = %party.wanted.channel, error = chain(lost), "a publication goes on without its ladder");
        party.standing.send_modify(|standing| {
            (standing.state, standing.error) = (LadderState::Waiting, Some(chain(lost)));
        });
    }

    /// Waits, for as long as `patience` but never longer than a farewell may take, for the renditions of all that was sent: who waits
    /// here reads nothing of the encoder.
    pub async fn finish(mut self, patience: Duration) {
        let patience = patience.min(self.party.way.ladder.farewell.0);
        self.party.over.cancel();
        self.party.feed().queue.close();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, all).await.is_err() {
            let channel = self.party.wanted.channel;
            tracing::warn!(%channel, "the end of a ladder did not come in time");
        }
    }
}

// === impl Party ===

impl Party {
    fn feed(&self) -> MutexGuard<'_, Feed> {
        // Nothing panics while it holds it.
        self.feed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(way: &Way, (wanted, source): (NewLadder, Track), feed: Option<Arc<Queue>>, standing: LadderStanding) -> Self {
        let is_open = AtomicBool::new(feed.is_some());
        let feed = feed.unwrap_or_else(|| Arc::new(Queue::new(bound(way))));
        Self {
            way: way.clone(),
            wanted,
            feed: Mutex::new(Feed::of(feed, source.live.timescale)),
            source,
            standing: watch::Sender::new(standing),
            behind_at: AtomicU64::new(0),
            is_open,
            is_aside: AtomicBool::new(false),
            over: CancellationToken::new(),
            cut: CancellationToken::new(),
        }
    }

    /// Nothing more is made; `false` where that was so before.
    fn end(&self) -> bool {
        let ends = !self.cut.is_cancelled();
        self.is_open.store(false, Ordering::Relaxed);
        self.cut.cancel();
        ends
    }

    /// An empty queue that begins with the next segment.
    fn feed_anew(&self) -> Arc<Queue> {
        let fresh = Arc::new(Queue::new(bound(&self.way)));
        let before = std::mem::replace(&mut *self.feed(), Feed::of(Arc::clone(&fresh), self.source.live.timescale));
        before.queue.close();
        // Where it is over already, nobody else will.
        if self.over.is_cancelled() {
            fresh.close();
        }
        fresh
    }

    async fn open(&self, feed: &Arc<Queue>) -> Result<Session, LadderError> {
        Session::open(&self.way, &self.wanted, &self.source.init, feed).await
    }

    /// Something has come back.
    fn came(&self) {
        self.feed().came();
    }

    /// How long nothing has come back of what was sent.
    fn owed_for(&self) -> Duration {
        self.feed().owed_for(Instant::now())
    }

    /// All renditions have one segment more: this one.
    fn made(&self, number: u64) {
        // Of what was begun before it, nothing more comes.
        self.feed().away.retain(|away| *away > number);
        if number > self.behind_at.load(Ordering::Relaxed) {
            self.standing.send_if_modified(|standing| {
                let was = std::mem::replace(&mut standing.state, LadderState::Running);
                standing.error = None;
                was != LadderState::Running
            });
        }
    }

    fn lost(&self, error: &LadderError) {
        let channel = self.wanted.channel;
        self.way.figures.ladders_lost.with_label_values(&[error.reason()]).inc();
        tracing::warn!(%channel, error = chain(error), "a ladder broke off: it is begun again with the next segment");
        self.standing.send_modify(|standing| {
            (standing.state, standing.error) = (LadderState::Waiting, Some(chain(error)));
        });
    }

    /// Pauses before another try; `false` where it is over.
    async fn pause(&self, attempts: u32) -> bool {
        let pause = retry::pause(attempts, self.way.ladder.max_backoff.0);
        tokio::select! { () = tokio::time::sleep(pause) => true, () = self.over.cancelled() => false }
    }
}

fn bound(way: &Way) -> Bound {
    // One more than may be behind is the one that begins: no number of segments drops one that is being sent.
    Bound { segments: way.ladder.queue_segments + 1, ..way.bound }
}

fn standing(opened: Result<&Session, &LadderError>) -> LadderStanding {
    match opened {
        Ok(session) => {
            let tracks = session.tracks().iter().map(|track| track.name.to_string()).collect();
            LadderStanding { state: LadderState::Running, tracks, error: None }
        }
        Err(error) => LadderStanding { state: LadderState::Waiting, tracks: Vec::new(), error: Some(chain(error)) },
    }
}

/// Brings what is made to streaming, one session after another.
async fn keep(party: Arc<Party>, mut session: Session, lanes: Vec<Arc<Queue>>) -> Ended {
    let tracks = session.tracks().to_vec();
    let mut attempts = 0;
    loop {
        let began = Instant::now();
        let broken = session.relay(&lanes, &party).await;
        lanes.iter().for_each(|lane| lane.cut());
        let Err(error) = broken else { return Ended::Done };
        if party.over.is_cancelled() {
            return Ended::Done;
        }
        party.is_open.store(false, Ordering::Relaxed);
        // Its place at transcode is free before another is asked for.
        drop(session);
        party.lost(&error);
        if began.elapsed() > party.way.ladder.max_backoff.0 {
            attempts = 0;
        }
        session = loop {
            attempts += 1;
            if !party.pause(attempts).await {
                return Ended::Done;
            }
            let feed = party.feed_anew();
            let opened = party.open(&feed);
            let Some(opened) = party.over.run_until_cancelled(opened).await else { return Ended::Done };
            match opened {
                Ok(session) if session.tracks() == tracks => {
                    party.is_open.store(true, Ordering::Relaxed);
                    break session;
                }
                // What is made is another: players have to hear of it.
                Ok(_) => return Ended::Changed,
                Err(error) => party.lost(&error),
            }
        };
    }
}

/// Of an encoder that is to stand by: its ladder ends when another one has the channel, and it has to begin anew for one when it has it itself.
async fn turn(party: Arc<Party>, mut role: Role) -> Ended {
    if !party.is_aside.load(Ordering::Relaxed) {
        // Until it is said once that it has the channel, what is held is what came before streaming had heard of the takeover.
        let _ = tokio::time::timeout(TAKEOVER_GRACE, role.wait_for(|taken| *taken == Some(Taken::Used))).await;
        if role.wait_for(|taken| *taken == Some(Taken::Held)).await.is_err() {
            return Ended::Done;
        }
        party.is_aside.store(true, Ordering::Relaxed);
        party.end();
        tracing::info!(channel = %party.wanted.channel, "another encoder has the channel: the ladder of the one that stands by ends");
    }
    let has_channel = role.wait_for(|taken| *taken == Some(Taken::Used)).await.is_ok();
    if has_channel { Ended::Changed } else { Ended::Done }
}

/// Tries until it can be made.
async fn wait(party: Arc<Party>) -> Ended {
    loop {
        // For each that is found the publication is begun anew: never often.
        if !party.pause(u32::MAX).await {
            return Ended::Done;
        }
        // Nothing is sent: what is asked is whether it could be.
        let nothing = Arc::new(Queue::new(bound(&party.way)));
        nothing.close();
        let Some(opened) = party.over.run_until_cancelled(party.open(&nothing)).await else { return Ended::Done };
        match opened {
            Ok(_) => return Ended::Changed,
            Err(error) => party.lost(&error),
        }
    }
}

/// Tells streaming how it goes.
async fn say(party: Arc<Party>) -> Ended {
    let client = party.way.client.clone().with_deadline(party.way.answer_timeout);
    let mut standing = party.standing.subscribe();
    loop {
        let mut now = standing.borrow_and_update().clone();
        let is_over = party.over.is_cancelled();
        if is_over && now.error.is_none() {
            now.state = LadderState::Waiting;
        }
        let said = if party.is_aside.load(Ordering::Relaxed) {
            Ok(())
        } else {
            client.put_ladder_standing(party.wanted.channel, &now).await
        };
        if let Err(error) = &said {
            tracing::debug!(channel = %party.wanted.channel, error = chain(error), "how it goes with a ladder was not said");
        }
        if is_over {
            return Ended::Done;
        }
        let again = async {
            match &said {
                Ok(()) => std::future::pending().await,
                Err(_) => tokio::time::sleep(SAY_AGAIN).await,
            }
        };
        tokio::select! {
            changed = standing.changed() => if changed.is_err() { return Ended::Done },
            () = again => {}
            () = party.over.cancelled() => {}
        }
    }
}

/// The name of a track of the publication.
fn named(name: &str) -> Cow<'static, str> {
    Cow::Owned(name.to_owned())
}
