//! One answer for many routers: who asks for the same, and how its bytes come to all of them.
//!
//! Towards an endpoint of another site, a router asks that site's router, and says that it can take part in a multicast
//! (`Upgrade`, [`PROTOCOL`]). That one asks the endpoint once for all who ask for the same before or while the
//! answer comes. If the answer may be shared it says 101 to each and sends the blocks (`flame_multicast`); if not, each
//! is answered by itself with plain HTTP. A router that knows nothing of it ignores the upgrade and just answers. At the
//! edge all clients that ask for the same hang on one such transfer, and see ordinary HTTP.
//!
//! Nothing is merged that is not certain to be the same: see `flame_naming::identity`. Who asks with a credential shares only where
//! this router has verified that it is a surrogate's, and with surrogates alone. What is held is bounded: so many transfers at once,
//! each of a length that the answer stated and that fits. One that states none takes room as it comes; where there is no more of it, it
//! goes on at the pace of those who hang on it, and nobody new is let in.

mod alike;
mod fan;
mod gathering;
pub(crate) mod head;
mod learned;
mod measurements;
mod room;
mod settings;

use std::future::poll_fn;
use std::hash::Hash;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::response::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use bytes::Bytes as Octets;
use flame_api::router::MulticastCounts;
use flame_multicast::{Broken, Door, Member, Pool, PoolConfig, sender};
use flame_naming::Label;
use flame_naming::group::Rules;
use flame_naming::identity::{Identity, Rights, control};
use flame_service_host::config::HostConfig;
use flame_service_host::keys::{KeyError, Keyring};
use flame_service_host::metrics::Metrics;
use futures_util::{Stream, StreamExt};
use http_body::Frame;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use alike::Fields;
pub(crate) use fan::{Fan, Reading};
pub(crate) use gathering::{Follow, Gathering, Lead, Nothing, Place};
use head::Length;
use learned::Learned;
use measurements::Measurements;
use room::{Memory, Room, UNSAID_BLOCKS};
pub use settings::MulticastConfig;

/// The protocol of a unicast leg, in `Upgrade`.
pub(crate) const PROTOCOL: HeaderValue = HeaderValue::from_static(flame_multicast::leg::PROTOCOL);

/// Why there is no multicast.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unjoined {
    /// The groups cannot be joined.
    #[error("join the groups at `[multicast] interface`")]
    Groups(#[source] io::Error),
    /// The keys of surrogates cannot be read.
    #[error("read the keys of `[multicast] surrogates`")]
    Keys(#[source] KeyError),
}

/// How long an answer that everybody has got stays for those whose request is late (TCP waits a second for a lost first
/// segment), unless it is not fresh for so long.
const LINGER: Duration = Duration::from_secs(2);
/// How long all wait for one who reads too slowly. Shorter than the patience of a transfer's sender with members that hold up others.
const SLOWEST_WAITED: Duration = Duration::from_secs(3);
/// How long the sender of a transfer may take to greet who was let in.
const JOIN_WITHIN: Duration = Duration::from_secs(5);

/// What takes part in multicast. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Multicast(Arc<Parties>);

struct Parties {
    pool: Pool,
    rules: Rules,
    memory: Memory,
    edge: Gathering<Asked, Arc<Shared>>,
    searched: Gathering<Searched, Arc<Shared>>,
    origin: Gathering<Sought, Door>,
    learned: Learned,
    surrogates: Option<Keyring>,
    tasks: TaskTracker,
    /// Where a transfer is worked at: coding, sealing and digests compute for too long for a thread that passes requests on.
    works_on: Handle,
    stop: CancellationToken,
    measurements: Measurements,
}

/// What is asked for, and whether of this site only: then nobody else's answer will do.
pub(crate) type Sought = (bool, Identity);
/// What is asked for at an edge, and of whose router: what another site would answer is not waited for.
pub(crate) type Asked = (Label, Sought);
/// What is searched for elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Searched {
    /// Where the clients see it: the answer is made for that.
    pub prefix: String,
    pub sought: Sought,
    /// For whom, if only for those whose requests are alike in all.
    pub alike: Option<Fields>,
}

/// What comes by multicast, in order.
pub(crate) type Blocks = Pin<Box<dyn Stream<Item = Result<Octets, Broken>> + Send>>;

/// An answer that has begun to come, and the first who reads it.
pub(crate) type Begun = (Arc<Shared>, Reading);

/// An answer that is coming for all who hang on it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub head: head::Head,
    pub fan: Fan,
    /// For whom it is, where it does not say that it is for all who ask for the same.
    pub alike: Option<Fields>,
    room: Room,
}

// === impl Multicast ===

impl Multicast {
    /// Joins the groups; `None` where it is switched off. Transfers are worked at on the runtime that this is called on.
    /// The keys of `host` are those of surrogates, where the configuration names no others; and a router whose readers stand still is
    /// waited for as long as `host` waits for any client.
    pub(crate) fn join(
        config: &MulticastConfig,
        host: &HostConfig,
        metrics: &Metrics,
    ) -> Result<Option<(Self, impl Future<Output = ()> + Send + use<>)>, Unjoined> {
        if !config.enabled {
            return Ok(None);
        }
        let surrogates = config.surrogates.as_ref().or(host.auth.keys.as_ref()).map(|folder| Keyring::open(folder));
        let surrogates = surrogates.transpose().map_err(Unjoined::Keys)?;
        let (pool, ears) = Pool::join(&PoolConfig {
            groups: config.groups.clone(),
            interface: config.interface,
            rate_bps: u64::from(config.rate_mbps) * 1_000_000,
            ttl: config.ttl,
            receive_buffer_bytes: usize::try_from(config.receive_buffer.0).unwrap_or(usize::MAX),
        })
        .map_err(Unjoined::Groups)?;
        let stop = CancellationToken::new();
        let heard = ears.until(stop.clone());
        let multicast = Self(Arc::new(Parties {
            pool,
            rules: Rules { members_max: config.members, idle: host.write_idle.0, ..Rules::default() },
            memory: Memory::new(config.memory.0, config.body_max.0),
            edge: Gathering::default(),
            searched: Gathering::default(),
            origin: Gathering::default(),
            learned: Learned::default(),
            surrogates,
            tasks: TaskTracker::new(),
            works_on: Handle::current(),
            stop,
            measurements: Measurements::new(metrics),
        }));
        Ok(Some((multicast, heard)))
    }

    /// What it has sent.
    pub(crate) fn counts(&self) -> MulticastCounts {
        self.0.measurements.counts()
    }

    /// Owns the transfers until `stop`; then it cuts them and waits for their tasks.
    pub(crate) async fn until(self, hears: impl Future<Output = ()> + Send, stop: CancellationToken) {
        let ends = async {
            stop.cancelled().await;
            self.0.stop.cancel();
        };
        tokio::join!(hears, ends);
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// Who asks `site` for the same at this edge.
    pub(crate) fn at_edge(&self, site: &Label, sought: &Sought) -> Place<Asked, Arc<Shared>> {
        self.0.edge.ask((site.clone(), sought.clone()))
    }

    /// Who waits at this edge for what is searched for elsewhere.
    pub(crate) fn search(&self, searched: Searched) -> Place<Searched, Arc<Shared>> {
        self.0.searched.ask(searched)
    }

    /// What answers that are held take.
    pub(crate) fn memory(&self) -> &Memory {
        &self.0.memory
    }

    /// What answers have shown so far.
    pub(crate) fn learned(&self) -> &Learned {
        &self.0.learned
    }

    /// The rights that the credential in these fields gives, if it is a surrogate's.
    pub(crate) fn surrogate(&self, headers: &HeaderMap) -> Option<Rights> {
        let keyring = self.0.surrogates.as_ref()?;
        let mut shown = headers.get_all(header::AUTHORIZATION).iter();
        let (scheme, token) = shown.next()?.to_str().ok()?.split_once(' ')?;
        if shown.next().is_some() || !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        keyring.surrogate(token.trim())
    }

    /// Which routers ask this one for the same.
    pub(crate) fn at_origin(&self, sought: Sought) -> Place<Sought, Door> {
        self.0.origin.ask(sought)
    }

    /// Takes part in the transfer at the other end of `leg`, and shares it with all who wait with `lead` if it `may_be_shared`: what
    /// `watched` makes of it, who may go on with it elsewhere.
    pub(crate) async fn receive<L, B>(
        &self,
        leg: L,
        lead: Lead<Asked, Arc<Shared>>,
        may_be_shared: impl FnOnce(&head::Head) -> bool,
        watched: impl FnOnce(&head::Head, Blocks) -> B,
    ) -> Result<Begun, Unreceived>
    where
        L: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        B: http_body::Body<Data = Octets, Error: std::error::Error + Send> + Send + Unpin + 'static,
    {
        let begun = tokio::time::timeout(JOIN_WITHIN, Member::begin(Some(&self.0.pool), leg, &[])).await;
        let member = match begun {
            Ok(Ok(member)) => member,
            Ok(Err(error)) => {
                tracing::warn!(%error, "a transfer was not joined");
                return Err(Unreceived::Lost);
            }
            Err(_) => {
                tracing::warn!("a transfer was not joined: its sender says nothing");
                return Err(Unreceived::Lost);
            }
        };
        let head = head::Head::read(member.head()).ok_or(Unreceived::Lost)?;
        let Some(room) = self.memory().room_for(&head.headers) else {
            // Nor would there be any for the next one who leads.
            lead.alone();
            return Err(Unreceived::NoRoom);
        };
        let (_, (_, identity)) = lead.key();
        let (identity, body) = (identity.clone(), watched(&head, Box::pin(blocks(member))));
        // Whoever sends it may know less of what its answers depend on than is known here.
        let lead = if may_be_shared(&head) {
            Some(lead)
        } else {
            lead.alone();
            None
        };
        Ok(self.spread(identity, (head, None), body, lead, room))
    }

    /// Shares an answer that is coming with all who wait with `lead`, or with those of them that are alike; with nobody where that is none.
    /// Nobody's body breaks off because it is long.
    pub(crate) fn spread<K, B>(
        &self,
        identity: Identity,
        (head, alike): (head::Head, Option<Fields>),
        mut body: B,
        lead: Option<Lead<K, Arc<Shared>>>,
        room: Room,
    ) -> Begun
    where
        K: Eq + Hash + Send + 'static,
        B: http_body::Body<Data = Octets, Error: std::error::Error + Send> + Send + Unpin + 'static,
    {
        let stated = head::length(&head.headers);
        let shared = Arc::new(Shared { head, fan: Fan::default(), alike, room });
        let reading = shared.fan.enter().expect("nothing of it has gone");
        let door = Mutex::new(lead.map(|lead| lead.open(Arc::clone(&shared))));
        let (all, parties) = (Arc::clone(&shared), Arc::clone(&self.0));
        let work = async move {
            // Nobody new is let in once the last byte is there: it is over then.
            let close = || drop(door.lock().unwrap_or_else(PoisonError::into_inner).take());
            let mut got_bytes = 0;
            let pump = async {
                let mut is_long = false;
                while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                    let block = match frame.map(Frame::into_data) {
                        Ok(Ok(block)) => block,
                        Ok(Err(_trailers)) => continue,
                        Err(error) => {
                            tracing::warn!(%error, "an answer that came for all broke off");
                            return false;
                        }
                    };
                    let bytes = block.len() as u64;
                    got_bytes += bytes;
                    match stated {
                        // There is room for what was announced, and not for more.
                        Some(Length::Stated(stated_bytes)) if got_bytes > stated_bytes => return false,
                        Some(Length::Stated(_)) => {}
                        Some(Length::Unsaid) | None => {
                            if got_bytes > parties.memory.body_max_bytes && !std::mem::replace(&mut is_long, true) {
                                parties.learned.note_long(identity.clone(), Instant::now());
                            }
                            if !parties.memory.grow(&all.room, all.fan.held_bytes() + bytes) {
                                close();
                                all.fan.make_room(bytes, all.room.bytes(), SLOWEST_WAITED).await;
                            }
                        }
                    }
                    all.fan.put(block);
                }
                !matches!(stated, Some(Length::Stated(stated_bytes)) if got_bytes != stated_bytes)
            };
            let left = async {
                let mut is_closed = false;
                loop {
                    all.fan.left().await;
                    // Who waited for it may be about to read.
                    tokio::time::sleep(LINGER).await;
                    if all.fan.is_left() {
                        if std::mem::replace(&mut is_closed, true) {
                            return;
                        }
                        close();
                    }
                }
            };
            let is_whole = tokio::select! {
                is_whole = pump => is_whole,
                () = left => false,
                () = parties.stop.cancelled() => false,
            };
            all.room.holds_only(all.fan.held_bytes());
            all.fan.end(is_whole);
        };
        self.0.tasks.spawn_on(work, &self.0.works_on);
        (shared, reading)
    }

    /// Sends an answer to all who come in by `lead`. One that states no length may be as long as it likes: nobody new is let in when its
    /// beginning is not held any more; and one that is longer than any that is held as a whole is asked for singly for a while.
    pub(crate) fn send(&self, answer: &Parts, body: Body, lead: Lead<Sought, Door>, room: Room) -> Door {
        let head = head::Head::from(answer).write();
        let linger = Duration::from_secs(control::fresh_for_s(&answer.headers)).min(LINGER);
        let (parties, room) = (Arc::clone(&self.0), Arc::new(room));
        let (_, identity) = lead.key().clone();
        let is_unsaid = head::length(&answer.headers) == Some(Length::Unsaid);
        let rules = if is_unsaid { Rules { blocks_max: UNSAID_BLOCKS, ..self.0.rules } } else { self.0.rules };
        let got_bytes = Arc::new(AtomicU64::new(0));
        let (got, held) = (Arc::clone(&got_bytes), Arc::clone(&room));
        let pieces = body.into_data_stream().map(move |piece| {
            let piece = piece.map_err(|error| error.to_string())?;
            let before_bytes = got.fetch_add(piece.len() as u64, Ordering::Relaxed);
            let limit_bytes = before_bytes..before_bytes + piece.len() as u64;
            if is_unsaid && limit_bytes.contains(&parties.memory.body_max_bytes) {
                parties.learned.note_long(identity.clone(), Instant::now());
            }
            Ok::<_, String>(piece)
        });
        // When all of it is here it may turn out that it takes less.
        let end = futures_util::stream::poll_fn(move |_| {
            held.holds_only(got_bytes.load(Ordering::Relaxed));
            Poll::Ready(None)
        });
        let (door, transfer) = sender::transfer(&self.0.pool, rules, linger, head, pieces.chain(end));
        let taken = lead.open(door.clone());
        let (measurements, stop) = (self.0.measurements.clone(), self.0.stop.clone());
        let work = async move {
            let _held = (taken, room);
            tokio::select! {
                summary = transfer => {
                    tracing::debug!(?summary, "a transfer ended");
                    measurements.ended(&summary);
                }
                () = stop.cancelled() => {}
            }
        };
        self.0.tasks.spawn_on(work, &self.0.works_on);
        door
    }

    /// Runs what belongs to a transfer until the router stops.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.0.stop.clone();
        let work = async move {
            tokio::select! { () = work => {}, () = stop.cancelled() => {} }
        };
        self.0.tasks.spawn_on(work, &self.0.works_on);
    }
}

/// What a member is given, in order.
fn blocks<L>(member: Member<L>) -> impl Stream<Item = Result<Octets, Broken>> + Send
where
    L: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    futures_util::stream::unfold(Some(member), async |member| {
        let mut member = member?;
        match member.next().await {
            Ok(block) => block.map(|block| (Ok(block), Some(member))),
            Err(error) => Some((Err(error), None)),
        }
    })
}

/// Why an answer that is on its way by multicast is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreceived {
    /// The leg broke off, or what came by it is no head of an answer.
    Lost,
    /// Other answers take the memory.
    NoRoom,
}
