//! Several instances with one object store: which of them owns the live channels of the tenant, and how another one becomes the owner when that one
//! dies, hangs or leaves.
//!
//! [`super::lease`] decides; here it is read and written, once in a beat. Whoever gets the lease takes all channels back from the store, as a
//! restart does ([`super::restoring`]); whoever lost it lets go of them, and stores nothing more. Numbers, names and the window are those of
//! the store, so viewers go on where they were, behind a discontinuity. A spare keeps no media: what it is asked of a channel
//! `http::elsewhere` answers.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use flame_api::client::Transport;
use flame_object_store::{IfExists, StoreError};
use flame_service_host::problem::chain;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::fence::{self, Fenced, Hold};
use super::figures::Figures;
use super::lease::{Action, Change, Event, Holder, Lease, Term};
use super::{Channel, DOCUMENT_TYPE, Live, LiveError, NotTaken, documents};

/// The lease is far smaller.
const TERM_MAX_BYTES: u64 = 4_096;
/// The tag of no object: MD5 of nothing that is ever written here.
const NO_TAG: &str = "00000000000000000000000000000000";
/// Pause after the channels could not be taken back.
const PAUSE: Duration = Duration::from_millis(500);

/// The other instances, as far as they have to be known.
#[derive(Debug, Clone)]
pub(crate) struct Peers {
    /// Where this one is reached by them.
    pub(crate) own: SocketAddr,
    /// How they are spoken to.
    pub(crate) transport: Transport,
}

/// Who has the channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// This instance.
    Here,
    /// The one that is reached there.
    At(SocketAddr),
    /// Nobody yet: whoever had them is not heard, or this instance is taking them back.
    Unsettled,
}

/// What a spare knows.
#[derive(Debug)]
pub(super) struct Sharing {
    life: Duration,
    peers: Peers,
    place: watch::Sender<Place>,
    /// Channels that have not ended, while another instance has them.
    elsewhere: RwLock<HashSet<Uuid>>,
    /// The renewal after which its owner did not answer.
    suspected: Mutex<Option<String>>,
    /// The last one that was seen.
    seen: Mutex<Option<String>>,
    is_owner: prometheus::IntGauge,
}

/// One time that the channels are this instance's. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Reign {
    pub(super) store: Fenced,
    /// Ends with it, or with the service.
    pub(super) stop: CancellationToken,
    is_ready: Arc<AtomicBool>,
}

// === impl Sharing ===

impl Sharing {
    pub(super) fn new(life: Duration, peers: Peers, figures: &Figures) -> Self {
        Self {
            life,
            peers,
            place: watch::Sender::new(Place::Unsettled),
            elsewhere: RwLock::default(),
            suspected: Mutex::default(),
            seen: Mutex::default(),
            is_owner: figures.is_owner.clone(),
        }
    }

    fn is_suspected(&self, tag: Option<&str>) -> bool {
        let suspected = self.suspected.lock().unwrap_or_else(PoisonError::into_inner);
        suspected.is_some() && suspected.as_deref() == tag
    }
}

// === impl Reign ===

impl Reign {
    pub(super) fn new(store: Fenced, stop: CancellationToken) -> Self {
        Self { store, stop, is_ready: Arc::default() }
    }
}

// === impl Live ===

impl Live {
    pub(super) fn reign(&self) -> Reign {
        self.0.reign.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The object store, for as long as the channels are this instance's.
    pub(super) fn store(&self) -> Fenced {
        self.reign().store
    }

    /// Whether the channels are this instance's now.
    pub(super) fn is_held(&self) -> bool {
        self.0.reign.read().unwrap_or_else(PoisonError::into_inner).store.hold().is_held()
    }

    /// Refuses where they are not, or where this instance stops: whoever sends is to send it again.
    pub(super) fn check(&self) -> Result<(), LiveError> {
        let reign = self.reign();
        let is_over = reign.stop.is_cancelled() || !reign.store.hold().is_held();
        if is_over { Err(NotTaken::Shut.into()) } else { Ok(()) }
    }

    /// The same where only the lease counts, and not that this instance stops.
    pub(super) fn held(&self) -> Result<(), LiveError> {
        if self.is_held() { Ok(()) } else { Err(NotTaken::Shut.into()) }
    }

    /// The object store for as long as the channel is this instance's: not that of a later time that it is, for what was begun before.
    pub(super) fn store_of(&self, channel: &Channel) -> Fenced {
        channel.store.get().cloned().unwrap_or_else(|| self.store())
    }

    /// How the other instances are reached; `None` where there are none.
    pub(crate) fn peers(&self) -> Option<&Peers> {
        self.0.sharing.as_ref().map(|sharing| &sharing.peers)
    }

    /// Whether that is a channel which another instance has, or nobody now.
    pub(crate) fn is_elsewhere(&self, asset: Uuid) -> bool {
        let Some(sharing) = &self.0.sharing else { return false };
        self.place(sharing) != Place::Here && {
            let known = sharing.elsewhere.read().unwrap_or_else(PoisonError::into_inner).contains(&asset);
            // An owner whose time is over has them still.
            known || self.0.channels.read().unwrap_or_else(PoisonError::into_inner).contains_key(&asset)
        }
    }

    fn place(&self, sharing: &Sharing) -> Place {
        match *sharing.place.borrow() {
            // It may have been stopped for so long that this is not true any more.
            Place::Here if !self.is_held() => Place::Unsettled,
            place => place,
        }
    }

    /// Who has the channels, as soon as that is known: it takes one life of the lease, and a moment, where their owner is gone.
    pub(crate) async fn settled(&self) -> Place {
        let Some(sharing) = &self.0.sharing else { return Place::Here };
        let mut places = sharing.place.subscribe();
        let known = async {
            loop {
                places.borrow_and_update();
                match self.place(sharing) {
                    Place::Unsettled => {}
                    place => return place,
                }
                if places.changed().await.is_err() {
                    return Place::Unsettled;
                }
            }
        };
        timeout(2 * sharing.life, known).await.unwrap_or(Place::Unsettled)
    }

    /// Returns once the channels are not, or may not be, with the owner that is reached at `address`.
    pub(crate) async fn moved(&self, address: SocketAddr) {
        let Some(sharing) = &self.0.sharing else { return };
        let mut places = sharing.place.subscribe();
        // Its sender lives as long as this.
        drop(places.wait_for(|place| *place != Place::At(address)).await);
    }

    /// The owner does not answer: until it renews its lease, nobody has the channels.
    pub(crate) fn suspect(&self) {
        let Some(sharing) = &self.0.sharing else { return };
        let seen = sharing.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        *sharing.suspected.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        sharing.place.send_if_modified(|place| {
            let is_other = matches!(place, Place::At(_));
            if is_other {
                *place = Place::Unsettled;
            }
            is_other
        });
    }

    /// Tries whether the store keeps conditions: one that does not would let two instances own the channels.
    pub(super) async fn try_conditions(&self) -> Result<(), LiveError> {
        let (store, key) = (&self.0.store, documents::conditions_key(&self.0.tenant));
        let octets = || Bytes::from_static(b"{}");
        store.put(&key, octets(), DOCUMENT_TYPE).await?;
        let of_another = store.put_over(&key, octets(), DOCUMENT_TYPE, NO_TAG).await;
        let of_none = store.put_if(&key, octets(), DOCUMENT_TYPE, IfExists::Fail).await;
        for kept in [of_another, of_none] {
            match kept {
                Err(StoreError::PreconditionFailed { .. }) => {}
                Ok(_) => return Err(LiveError::Conditions),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Watches the lease, and has it whenever it can, until this instance has `left`.
    pub(super) async fn hold_lease(&self, left: &CancellationToken) {
        let Some(sharing) = &self.0.sharing else { return };
        let mut lease = Lease::new(Uuid::new_v4(), sharing.peers.own, sharing.life);
        loop {
            let mut action = Some(lease.next());
            while let Some(next) = action.take() {
                let (then, change) = lease.take(self.perform(next, sharing.life / 3).await);
                self.follow(change, &lease);
                action = then;
            }
            self.settle(sharing, &lease).await;
            tokio::select! { () = sleep(lease.beat()) => {}, () = left.cancelled() => break }
        }
        self.reign().store.hold().end();
        if let Some(action) = lease.give_back() {
            self.perform(action, sharing.life / 3).await;
        }
    }

    async fn perform(&self, action: Action, within: Duration) -> Event {
        let (store, key, asked) = (&self.0.store, documents::lease_key(&self.0.tenant), fence::now());
        match action {
            Action::Look => match timeout(within, store.get_tagged(&key, TERM_MAX_BYTES)).await {
                Ok(Ok((json, tag))) => match serde_json::from_slice::<Term>(&json) {
                    Ok(term) if term.is_known() => Event::Found { at: fence::now(), found: Some((term, tag)) },
                    Ok(_) | Err(_) => {
                        tracing::error!(
                            key,
                            "the lease of live channels is damaged, or of a newer release: upgrade this one, or stop all instances and delete it"
                        );
                        Event::Unknown
                    }
                },
                Ok(Err(StoreError::NotFound { .. })) => Event::Found { at: fence::now(), found: None },
                Ok(Err(error)) => unknown(&key, &chain(&error)),
                Err(_) => unknown(&key, "the object store takes too long"),
            },
            Action::Write { term, over } => {
                let json = Bytes::from(serde_json::to_vec(&term).expect("names and numbers become JSON"));
                let written = async {
                    match &over {
                        Some(tag) => store.put_over(&key, json, DOCUMENT_TYPE, tag).await,
                        None => store.put_if(&key, json, DOCUMENT_TYPE, IfExists::Fail).await,
                    }
                };
                match timeout(within, written).await {
                    Ok(Ok(tag)) => Event::Written { asked, term, tag },
                    Ok(Err(StoreError::PreconditionFailed { .. } | StoreError::NotFound { .. })) => Event::Refused,
                    Ok(Err(error)) => unknown(&key, &chain(&error)),
                    Err(_) => unknown(&key, "the object store takes too long"),
                }
            }
        }
    }

    fn follow(&self, change: Change, lease: &Lease) {
        match (change, lease.until()) {
            (Change::Gained { generation }, Some(until)) => {
                tracing::info!(generation, "this instance owns the live channels from now on");
                let store = Fenced::new(self.0.store.clone(), Hold::until((generation, lease.own()), until));
                let reign = Reign::new(store, self.0.stop.child_token());
                *self.0.reign.write().unwrap_or_else(PoisonError::into_inner) = reign.clone();
                self.0.tasks.spawn(self.clone().ascend(reign));
            }
            (Change::Kept, Some(until)) => self.reign().store.hold().extend(until),
            (Change::Lost, _) => self.let_go(),
            (Change::None | Change::Gained { .. } | Change::Kept, _) => {}
        }
    }

    /// Takes the channels back, as often as it takes.
    async fn ascend(self, reign: Reign) {
        let restored = async {
            loop {
                match self.restore_all().await {
                    Ok(()) => return,
                    Err(error) => {
                        self.0.figures.failed_takeovers.inc();
                        tracing::error!(error = %chain(&error), "the live channels cannot be taken back; trying on");
                        sleep(PAUSE).await;
                    }
                }
            }
        };
        if reign.stop.run_until_cancelled(restored).await.is_some() {
            reign.is_ready.store(true, Ordering::Release);
            if let Some(sharing) = &self.0.sharing
                && reign.store.hold().is_held()
            {
                sharing.place.send_replace(Place::Here);
            }
        }
    }

    /// Another instance has the channels.
    fn let_go(&self) {
        tracing::warn!("another instance owns the live channels from now on");
        let reign = self.reign();
        reign.store.hold().end();
        reign.stop.cancel();
        self.publications().clear();
        let channels: Vec<_> = self.channels().drain().map(|(_, channel)| channel).collect();
        for channel in channels {
            self.0.figures.rests(&channel);
            // Who waits for what comes next waits in vain.
            channel.tracks().iter().for_each(|track| track.shut());
        }
    }

    /// Says who has the channels, and which they are while it is another one.
    async fn settle(&self, sharing: &Sharing, lease: &Lease) {
        let holder = lease.holder(fence::now());
        let place = match holder {
            Holder::Own if self.reign().is_ready.load(Ordering::Acquire) => Place::Here,
            Holder::Other(address) if !sharing.is_suspected(lease.seen()) => Place::At(address),
            Holder::Own | Holder::Other(_) | Holder::Nobody => Place::Unsettled,
        };
        *sharing.seen.lock().unwrap_or_else(PoisonError::into_inner) = lease.seen().map(str::to_owned);
        sharing.is_owner.set(i64::from(place == Place::Here));
        if holder != Holder::Own {
            match timeout(sharing.life / 3, self.going_on()).await {
                Ok(Ok(found)) => *sharing.elsewhere.write().unwrap_or_else(PoisonError::into_inner) = found,
                Ok(Err(error)) => drop(unknown("channels", &chain(&error))),
                Err(_) => {}
            }
        }
        sharing.place.send_replace(place);
    }

    /// Channels that have not ended.
    async fn going_on(&self) -> Result<HashSet<Uuid>, StoreError> {
        let (prefix, mut ids, mut page) = (documents::channels_prefix(&self.0.tenant), HashSet::new(), None);
        loop {
            let found = self.0.store.list(&prefix, page).await?;
            let names =
                found.objects.iter().filter_map(|object| object.key.strip_prefix(&prefix)?.strip_suffix(".json"));
            ids.extend(names.filter_map(|name| name.parse::<Uuid>().ok()));
            page = found.next;
            if page.is_none() || ids.len() > self.0.config.channels_max {
                return Ok(ids);
            }
        }
    }
}

fn unknown(key: &str, error: &str) -> Event {
    tracing::warn!(key, error, "what became of the lease of live channels is not known");
    Event::Unknown
}
