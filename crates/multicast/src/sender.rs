//! The sender's end of a transfer: takes a response as it comes, and conducts its way to all members.
//!
//! One task does it all, so that nothing has to be locked: it hears the response, the members and the clock, asks the
//! [`Group`] what follows, and does that. What is sent to all is sent one thing after the other at the link's rate;
//! what is said to one goes through a bounded queue of its own, and whoever lets that run over is dismissed.
//!
//! Members come through the [`Door`]: a seat is reserved first, so that the answer "you can take part" is true when it
//! is given. Whoever has reserved, and the blocks before there are any, wait for each other for a moment.

mod acts;
mod cutter;
mod peer;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use flame_naming::Moment;
use flame_naming::group::{Group, MemberId, NotJoined, Rules};
use futures_util::{Stream, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

pub use peer::Leg;

use crate::alc;
use crate::coding::Block;
use crate::leg::{Frame, Welcome};
use crate::pool::Pool;
use crate::seal::{Key, SEAL_BYTES, Sealer};
use cutter::Cutter;

/// Events that wait for the conductor; members wait for room.
const EVENTS_MAX: usize = 256;
/// How long the first block waits for those who have reserved a seat.
const SEATING: Duration = Duration::from_millis(50);
/// How long the first block is held for whoever has reserved a seat before there was no room for it any more.
const HELD: Duration = Duration::from_secs(1);
/// How long a transfer waits for its first member.
const FIRST_MEMBER: Duration = Duration::from_secs(5);
/// How long whoever has reserved a seat may take to listen.
const SITTING: Duration = Duration::from_secs(5);

/// Where members come in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Door(mpsc::Sender<Event>);

/// A reserved seat; given back when dropped.
#[derive(Debug)]
pub struct Seat {
    id: MemberId,
    events: mpsc::Sender<Event>,
    is_taken: bool,
}

/// What became of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Octets of the response.
    pub body_bytes: u64,
    /// Most members at once.
    pub members_max: usize,
    /// Members that took part.
    pub members: usize,
    /// Source symbols sent to all.
    pub source_symbols: u64,
    /// Repair symbols, and source symbols sent again, to all.
    pub repair_symbols: u64,
    /// Octets of blocks sent by unicast.
    pub unicast_bytes: u64,
    /// Members that got the rest by unicast because they lost too much.
    pub fell_back: usize,
    /// Members that were dismissed because they made no progress.
    pub dismissed: usize,
    /// Whether the response came to its end, and all members got it.
    pub is_complete: bool,
}

#[derive(Debug)]
enum Event {
    Reserve(bool, oneshot::Sender<Result<MemberId, NotJoined>>),
    Sits(MemberId, mpsc::Sender<Frame>),
    Said(MemberId, Frame),
    Left(MemberId),
}

/// Something that is to be sent to all.
struct Job {
    block: u32,
    symbols: Vec<(u8, Bytes)>,
}

type Airing = Pin<Box<dyn Future<Output = (u32, Sealer)> + Send>>;

struct Conductor {
    pool: Pool,
    began: Instant,
    group: Group,
    transfer: u32,
    key: Key,
    window_blocks: u32,
    symbol_bytes: u16,
    linger: Duration,
    /// Since when everybody has had everything.
    served: Option<Moment>,
    head: Bytes,
    blocks: BTreeMap<u32, Block>,
    announced: BTreeMap<u32, Frame>,
    jobs: VecDeque<Job>,
    /// Reserved, and not yet a member.
    seats: BTreeMap<MemberId, Reserved>,
    peers: BTreeMap<MemberId, mpsc::Sender<Frame>>,
    members: BTreeSet<MemberId>,
    next_member: u64,
    /// Whether the rest of the response is in the cutter.
    source_over: bool,
    /// How many blocks there are, once that is known.
    ended: Option<u32>,
    /// Since when.
    ended_at: Option<Moment>,
    summary: Summary,
}

#[derive(Debug, Clone, Copy)]
struct Reserved {
    hears: bool,
    until: Moment,
}

/// Begins a transfer of the response that `source` is; `head` says to members what it is. The future has to be run: it
/// ends when all members have everything and nobody more has come for the time `linger`, or nobody is left before the
/// end, or the source fails.
pub fn transfer<S, E>(
    pool: &Pool,
    rules: Rules,
    linger: Duration,
    head: Bytes,
    source: S,
) -> (Door, impl Future<Output = Summary> + Send + use<S, E>)
where
    S: Stream<Item = Result<Bytes, E>> + Send,
    E: std::fmt::Display + Send,
{
    let (sender, events) = mpsc::channel(EVENTS_MAX);
    let mut number = [0; 4];
    number.copy_from_slice(&Key::random().octets()[..4]);
    let conductor = Conductor {
        pool: pool.clone(),
        began: Instant::now(),
        group: Group::new(rules),
        transfer: u32::from_be_bytes(number),
        key: Key::random(),
        window_blocks: rules.blocks_max,
        symbol_bytes: crate::SYMBOL_BYTES,
        linger,
        served: None,
        head,
        blocks: BTreeMap::new(),
        announced: BTreeMap::new(),
        jobs: VecDeque::new(),
        seats: BTreeMap::new(),
        peers: BTreeMap::new(),
        members: BTreeSet::new(),
        next_member: 0,
        source_over: false,
        ended: None,
        ended_at: None,
        summary: Summary::default(),
    };
    (Door(sender), conductor.run(events, source))
}

// === impl Door ===

impl Door {
    /// Reserves a seat; `hears` if multicast reaches whoever takes it. `None` where the transfer is over.
    pub async fn reserve(&self, hears: bool) -> Option<Result<Seat, NotJoined>> {
        let (answer, seat) = oneshot::channel();
        self.0.send(Event::Reserve(hears, answer)).await.ok()?;
        let seat = seat.await.ok()?;
        Some(seat.map(|id| Seat { id, events: self.0.clone(), is_taken: false }))
    }

    /// Whether the transfer is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

// === impl Seat ===

impl Seat {
    /// Takes part over `leg`, of which `already` was read before; ends with the leg. The caller runs it.
    pub async fn sit(mut self, leg: impl Leg, already: Bytes) {
        let (frames, queue) = mpsc::channel(peer::FRAMES_MAX);
        self.is_taken = true;
        if self.events.send(Event::Sits(self.id, frames)).await.is_ok() {
            peer::serve(self.id, leg, already, queue, self.events.clone()).await;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.is_taken {
            // Where the queue is full the seat stays reserved: it only delays, and only for a moment.
            let _ = self.events.try_send(Event::Left(self.id));
        }
    }
}

// === impl Reserved ===

impl Reserved {
    /// Until when the beginning is held for it.
    fn held_until(&self) -> Moment {
        Moment(self.until.0.saturating_sub(SITTING - HELD))
    }
}

// === impl Conductor ===

impl Conductor {
    async fn run<S, E>(mut self, mut events: mpsc::Receiver<Event>, source: S) -> Summary
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
        E: std::fmt::Display + Send,
    {
        let mut source = std::pin::pin!(source.fuse());
        let mut cutter = Cutter::new();
        let mut sealer = Some(Sealer::new(&self.key, self.transfer));
        let mut airing: Option<Airing> = None;
        while !self.is_over() {
            let now = self.now();
            while self.may_take()
                && let Some(block) = cutter.cut(now.0, self.source_over)
            {
                self.block(block);
            }
            if self.source_over && self.ended.is_none() && cutter.due().is_none() {
                self.end();
                continue;
            }
            if airing.is_none()
                && let Some(job) = self.jobs.pop_front()
                && let Some(sealer) = sealer.take()
            {
                airing = Some(Box::pin(air(self.pool.clone(), self.transfer, self.symbol_bytes, job, sealer)));
            }
            let wants_source = !self.source_over && self.may_take() && !cutter.is_full();
            let due = self.due(cutter.due());
            tokio::select! {
                Some(event) = events.recv() => self.hear(event),
                piece = source.next(), if wants_source => match piece {
                    Some(Ok(bytes)) => {
                        self.summary.body_bytes += bytes.len() as u64;
                        cutter.put(&bytes, self.now().0);
                    }
                    Some(Err(error)) => {
                        self.tell_all(&Frame::Abort { reason: error.to_string() });
                        return self.summary;
                    }
                    None => self.source_over = true,
                },
                (block, back) = aired(&mut airing), if airing.is_some() => {
                    airing = None;
                    sealer = Some(back);
                    tracing::trace!(transfer = self.transfer, block, "aired");
                    let acts = self.group.aired(block, self.now());
                    self.act(acts);
                }
                () = tokio::time::sleep_until(due) => {
                    let now = self.now();
                    self.seats.retain(|_, seat| seat.until > now);
                    let acts = self.group.tick(now);
                    self.act(acts);
                }
            }
        }
        self.summary.is_complete = self.group.is_served() && self.ended.is_some();
        self.summary
    }

    fn now(&self) -> Moment {
        Moment(self.began.elapsed())
    }

    /// Whether the response may go on: there is room, and nobody is just sitting down for its beginning.
    fn may_take(&self) -> bool {
        let now = self.now();
        if self.group.is_at_brim() && self.seats.values().any(|seat| seat.held_until() > now) {
            return false;
        }
        let is_seating = self.blocks.is_empty() && self.now().0 < SEATING && !self.seats.is_empty();
        self.group.has_room() && !is_seating && !(self.blocks.is_empty() && self.members.is_empty())
    }

    fn is_over(&mut self) -> bool {
        let now = self.now();
        let is_served = self.ended.is_some() && self.seats.is_empty() && self.group.is_served();
        self.served = is_served.then(|| self.served.unwrap_or(now));
        let nobody = self.members.is_empty() && self.seats.is_empty() && !is_served;
        let was_left = nobody && (self.summary.members > 0 || now.0 >= FIRST_MEMBER);
        was_left || self.served.is_some_and(|served| served + self.linger <= now)
    }

    /// When something has to be looked at again.
    fn due(&self, cut: Option<Duration>) -> Instant {
        let now = self.now();
        let ahead = |due: Duration| Some(due).filter(|due| *due > now.0);
        let seating = ahead(SEATING).filter(|_| self.blocks.is_empty() && !self.seats.is_empty());
        let sitting =
            self.seats.values().flat_map(|seat| [ahead(seat.held_until().0), Some(seat.until.0)]).flatten().min();
        let first = ahead(FIRST_MEMBER).filter(|_| self.summary.members == 0);
        // Where the window is full a due block waits for room, not for the clock.
        let cut = cut.filter(|_| self.may_take());
        let group = self.group.due().map(|due| due.0);
        let over = self.served.map(|served| (served + self.linger).0);
        let next = [cut, seating, sitting, first, group, over].into_iter().flatten().min();
        self.began + next.unwrap_or(now.0 + FIRST_MEMBER)
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Reserve(hears, answer) => {
                // Who sits down now would come too late, and those who did before must not wait for ever. And a member that is still
                // waited for makes what is here no younger.
                let is_old = self.ended_at.is_some_and(|at| at + self.linger < self.now());
                let is_late = is_old || (self.group.is_at_brim() && !self.source_over);
                let may_join = if is_late { Err(NotJoined::TooLate) } else { self.group.may_join() };
                let answered = may_join.map(|()| {
                    let id = MemberId(self.next_member);
                    self.next_member += 1;
                    self.seats.insert(id, Reserved { hears, until: self.now() + SITTING });
                    id
                });
                let id = answered.ok();
                if answer.send(answered).is_err()
                    && let Some(id) = id
                {
                    self.seats.remove(&id);
                }
            }
            Event::Sits(id, frames) => {
                self.peers.insert(id, frames);
                let welcome = Welcome {
                    transfer: self.transfer,
                    key: self.key.clone(),
                    symbol_bytes: self.symbol_bytes,
                    window_blocks: self.window_blocks,
                    head: self.head.clone(),
                };
                self.tell(id, Frame::Welcome(welcome));
            }
            Event::Said(id, frame) => self.said(id, frame),
            Event::Left(id) => self.lose(id),
        }
    }

    fn said(&mut self, id: MemberId, frame: Frame) {
        let now = self.now();
        let acts = match frame {
            Frame::Ready => {
                self.seat(id);
                return;
            }
            Frame::Nudge => return,
            Frame::Has { block } => {
                tracing::trace!(transfer = self.transfer, member = id.0, block, "has it");
                self.group.has(id, block, now)
            }
            Frame::Lacks { block, round, lack } => {
                tracing::trace!(transfer = self.transfer, member = id.0, block, round, short = lack.short, "lacks");
                self.group.lacks(id, block, round, lack, now)
            }
            Frame::Spoiled { block } => self.group.spoiled(id, block, now),
            Frame::Welcome(_)
            | Frame::Block { .. }
            | Frame::Ask { .. }
            | Frame::Data { .. }
            | Frame::End { .. }
            | Frame::Abort { .. } => {
                tracing::warn!(member = id.0, "a member says what only senders say");
                self.lose(id);
                return;
            }
        };
        self.act(acts);
    }

    /// Makes a member of who has reserved a seat and listens now.
    fn seat(&mut self, id: MemberId) {
        let Some(Reserved { hears, .. }) = self.seats.remove(&id) else { return };
        if let Err(reason) = self.group.join(id, hears, self.now()) {
            // The beginning went while it sat down.
            tracing::debug!(member = id.0, %reason, "a member came too late");
            self.peers.remove(&id);
            return;
        }
        self.members.insert(id);
        self.summary.members += 1;
        self.summary.members_max = self.summary.members_max.max(self.members.len());
        let announced: Vec<Frame> = self.announced.values().cloned().collect();
        for frame in announced {
            self.tell(id, frame);
        }
        if let Some(blocks) = self.ended {
            self.tell(id, Frame::End { blocks });
        }
    }
}

async fn aired(airing: &mut Option<Airing>) -> (u32, Sealer) {
    match airing {
        Some(airing) => airing.await,
        None => std::future::pending().await,
    }
}

async fn air(pool: Pool, transfer: u32, symbol_bytes: u16, job: Job, mut sealer: Sealer) -> (u32, Sealer) {
    let mut sealed = Vec::new();
    let together = pool.together(usize::from(symbol_bytes) + SEAL_BYTES + alc::HEADER_BYTES);
    for symbols in job.symbols.chunks(together) {
        sealed.clear();
        for (esi, octets) in symbols {
            acts::seal(&mut sealer, &mut sealed, transfer, job.block, *esi, octets, symbol_bytes);
        }
        if let Err(error) = pool.send(transfer, &sealed, sealed.len() / symbols.len()).await {
            // They count as lost, and are repaired like what is lost on the way.
            tracing::debug!(%error, "packets were not sent");
        }
    }
    (job.block, sealer)
}
