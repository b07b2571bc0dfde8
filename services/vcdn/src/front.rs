//! One name that is served: from a request to an answer.
//!
//! What is asked upstream for many carries nothing of one viewer: no cookie, no credential, no range. So whatever comes
//! back is the same for all, or says of itself that it is not. Requests with credentials of their own are passed on alone.

mod follow;
mod pass;
mod serve;
mod slices;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(crate) use slices::{Rest, Slice, Slices, slice_key};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use flame_naming::identity::{self, Token, list, url};
use flame_naming::{Destination, Name};
use flame_service_host::Failure;
use flame_service_host::disk::DiskGuard;
use flame_service_host::telemetry::Exchanges;
use quick_cache::UnitWeighter;
use quick_cache::sync::Cache;
use tokio_util::task::TaskTracker;

use crate::answer::Answer;
use crate::config::CacheConfig;
use crate::doubt::{Doubted, Vain};
use crate::fetch::{self, Wanted};
use crate::fill::Fill;
use crate::guard::Guard;
use crate::object::{Head, Object, UnixMs};
use crate::passed::Passed;
use crate::policy::{self, Part, Rules};
use crate::prefetch::Order;
use crate::purge::Purges;
use crate::rules::cmcd::{Carried, Report, speaker};
use crate::shelf::{Found, Shelf, count};
use crate::stats;
use crate::status::{CacheStatus, Forwarded};
use crate::uplink::Uplink;
use crate::upstream::{CDN_LOOP, Upstream};

/// A name, and everything that is needed to answer for it.
#[derive(Debug)]
pub(crate) struct Front {
    pub name: Name,
    /// What upstream is mounted at: `/~streaming.main`.
    mount: String,
    /// What every key of this name begins with.
    key_prefix: String,
    /// This hop in `CMSD-Dynamic`, before the milliseconds that it took.
    cmsd: String,
    pub shelf: Arc<Shelf>,
    pub upstream: Upstream,
    pub settings: CacheConfig,
    purges: Arc<Purges>,
    /// What playlists say comes after what.
    pub order: Order,
    disk_guard: Option<DiskGuard>,
    guard: Option<Guard>,
    /// Shown to a service that refuses what a viewer's token has opened here.
    credential: Option<HeaderValue>,
    /// Assets that were given for it.
    protected: Cache<Box<str>, (), UnitWeighter>,
    /// Fields that go upstream for all, beside those of every front.
    fields: Box<[HeaderName]>,
    /// Whether requests that change something go upstream.
    pub writes: bool,
    /// What came of asking for what may have been purged.
    pub vain: Vain,
    /// What bounds all that is sent.
    uplink: Option<Arc<Uplink>>,
    /// Fills, which outlive the requests that began them.
    tasks: TaskTracker,
    /// Requests answered, for the surrogate's measurements.
    pub exchanges: Exchanges,
}

/// Protected assets that are remembered; one that is not is asked for twice.
const PROTECTED: usize = 10_000;
/// Events of one batch that are read.
const EVENTS_MAX: usize = 1000;

/// What a front is made of, besides its names.
#[derive(Debug)]
pub(crate) struct Parts {
    pub shelf: Arc<Shelf>,
    pub upstream: Upstream,
    pub settings: CacheConfig,
    pub purges: Arc<Purges>,
    pub disk_guard: Option<DiskGuard>,
    pub guard: Option<Guard>,
    pub credential: Option<HeaderValue>,
    pub fields: Vec<HeaderName>,
    pub writes: bool,
    pub uplink: Option<Arc<Uplink>>,
    pub tasks: TaskTracker,
    pub exchanges: Exchanges,
}

/// A request without a body.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub is_head: bool,
    /// Path and query.
    pub target: String,
    pub headers: HeaderMap,
    /// Who asks: a viewer, or a router.
    pub peer: Option<IpAddr>,
}

// === impl Asked ===

impl Asked {
    /// What of a body of `length` bytes is wanted. Only GET has ranges (RFC 9110 section 14.2).
    fn part(&self, head: &Head, length: u64) -> Part {
        if self.is_head { Part::Whole } else { policy::part(&self.headers, head, length) }
    }
}

// === impl Front ===

impl Front {
    pub(crate) fn new(name: Name, upstream: &Destination, parts: Parts) -> Self {
        let Parts {
            shelf,
            upstream: client,
            settings,
            purges,
            disk_guard,
            guard,
            credential,
            fields,
            writes,
            uplink,
            tasks,
            exchanges,
        } = parts;
        let (mount, key_prefix) = (format!("/~{upstream}"), key_prefix(&name));
        let cmsd = format!("\"{}\";rd=", client.id());
        Self {
            name,
            mount,
            key_prefix,
            cmsd,
            shelf,
            upstream: client,
            settings,
            purges,
            order: Order::new(),
            disk_guard,
            guard,
            credential,
            protected: Cache::new(PROTECTED),
            fields: fields.into(),
            writes,
            vain: Vain::new(),
            uplink,
            tasks,
            exchanges,
        }
    }

    /// What every key of this name begins with.
    pub(crate) fn key_prefix(&self) -> &str {
        &self.key_prefix
    }

    /// This hop in `CMSD-Dynamic` (CTA-5006): what delayed the first byte, in milliseconds, follows.
    pub(crate) fn cmsd(&self) -> &str {
        &self.cmsd
    }

    /// What follows the milliseconds: that hardly another object could be fetched now, if that is so (`du`, "duress").
    pub(crate) fn duress(&self) -> &'static str {
        let is_crowded = self.shelf.filling() * 10 >= self.settings.fills * 9;
        if is_crowded { ";du" } else { "" }
    }

    /// The answer to a request that has nothing but a target, if it is in memory and fresh. `key` is the key of that
    /// target: what [`Self::key_prefix`] says, and the target.
    pub(crate) fn hit(self: &Arc<Self>, key: &str, is_head: bool) -> Option<Answer> {
        if self.guard.as_ref().is_some_and(|guard| !guard.is_open(&key[self.key_prefix.len()..])) {
            return None;
        }
        let object = self.shelf.get(key)?;
        let now = UnixMs::now();
        if !object.is_fresh(now) || self.shelf.is_doubted(&object) {
            return None;
        }
        count(&object.asset.hits, 1);
        self.first_hit(&object, &key[self.key_prefix.len()..]);
        Some(self.whole(&object, is_head, now, CacheStatus::hit(&object, now)))
    }

    /// Whether what is sent is bounded: then answers wait for their turn.
    pub(crate) fn takes_turns(&self) -> bool {
        self.uplink.is_some()
    }

    /// An answer, once it may go.
    pub(crate) async fn in_turn(&self, answer: Answer) -> Answer {
        match &self.uplink {
            Some(uplink) => uplink.turn(answer).await,
            None => answer,
        }
    }

    /// The answer to any GET or HEAD.
    pub(crate) async fn answer(self: &Arc<Self>, asked: Asked) -> Answer {
        if let Err(refused) = self.refuse(&asked) {
            return Answer::failure(refused, self.status(CacheStatus::refused())).await;
        }
        match self.admit(&asked.target) {
            Ok(target) => {
                self.note(&target, &asked);
                self.admitted(Asked { target, ..asked }).await
            }
            Err(refused) => Answer::failure(refused, self.status(CacheStatus::refused())).await,
        }
    }

    /// Adds what a player says of itself to the figures of the asset at `target`.
    fn note(&self, target: &str, asked: &Asked) {
        match Carried::of(&asked.target, &asked.headers) {
            Carried::Nothing => {}
            Carried::Damaged => self.shelf.assets.of(target).viewing.damaged(1),
            Carried::Report(report) => {
                let address = speaker(&asked.headers, asked.peer);
                let counters = self.shelf.assets.of(target);
                self.shelf.sessions.note(stats::asset(target), &report, address, &counters.viewing);
            }
        }
    }

    /// Adds a batch of events to the figures; how many there were.
    pub(crate) fn note_events(&self, text: &str, address: Option<IpAddr>) -> usize {
        let (reports, damaged) = Report::parse_events(text, EVENTS_MAX);
        for report in &reports {
            // Events come to one address, whatever was watched: the report says what.
            let target = format!("/{}/", report.content.as_deref().unwrap_or_default());
            let counters = self.shelf.assets.of_said(&target);
            self.shelf.sessions.note(stats::asset(&target), report, address, &counters.viewing);
        }
        if damaged > 0 {
            self.shelf.assets.of_said("/").viewing.damaged(damaged as u64);
        }
        reports.len()
    }

    /// The canonical URL of what is asked for, if whoever asks may have it.
    fn admit(&self, target: &str) -> Result<String, Failure> {
        let Some(guard) = &self.guard else {
            let no_path = || Failure::bad_request("the path is not one that can be asked for");
            return url::canonical(target, Token::Unverified).ok_or_else(no_path);
        };
        guard.admit(target, UnixMs::by_the_wall()).map_err(|refused| {
            Failure::new(StatusCode::FORBIDDEN, refused.kind(), "Not with this link", refused.to_string())
        })
    }

    /// The answer to a request for a canonical URL that may be answered.
    async fn admitted(self: &Arc<Self>, asked: Asked) -> Answer {
        let target = asked.target.clone();
        // Who asks with a credential that nobody here verified is asked for alone, whatever the answer says.
        if identity::credential(&asked.headers).is_some() || url::has_token(&target) {
            return self.pass(&asked, Forwarded::Bypass).await;
        }
        let resource: Arc<str> = format!("{}{target}", self.key_prefix).into();
        let headers = pass::shared_headers(&asked.headers, &self.fields);
        let key = self.key(&resource, &headers);
        let now = UnixMs::now();
        let stored = match self.shelf.get(&key) {
            Some(object) => Some(object),
            None => self.shelf.load(&key).await,
        };
        let is_doubted = |object: &Object| self.shelf.is_doubted(object);
        let accepts = |object: &Object| !is_doubted(object) && policy::accepts(&asked.headers, &object.times, now);
        if let Some(object) = stored.as_ref().filter(|object| accepts(object)) {
            if object.is_fresh(now) {
                count(&object.asset.hits, 1);
                self.first_hit(object, &target);
                return self.serve(&asked, object, now, CacheStatus::hit(object, now)).await;
            }
            if now < object.times.while_revalidate_until {
                let wanted = Wanted { target, resource, headers, stale: stored.clone() };
                self.ask_beside(&key, wanted);
                count(&object.asset.stale, 1);
                return self.serve(&asked, object, now, CacheStatus::hit(object, now)).await;
            }
        }
        let is_of_use = |object: &Object| object.is_fresh(now) && policy::accepts(&asked.headers, &object.times, now);
        if let Some(object) = stored.as_ref().filter(|object| is_doubted(object) && is_of_use(object)) {
            let turn = self.vain.turn(&key, now);
            if turn == Doubted::UseAndAsk {
                self.ask_beside(
                    &key,
                    Wanted {
                        target: target.clone(),
                        resource: Arc::clone(&resource),
                        headers: headers.clone(),
                        stale: stored.clone(),
                    },
                );
            }
            if turn != Doubted::Ask {
                count(&object.asset.stale, 1);
                return self.serve(&asked, object, now, CacheStatus::hit(object, now).stale_if_error()).await;
            }
        }
        if policy::only_if_cached(&asked.headers) {
            let detail = "it is not kept here, and the request wants only what is";
            let failure = Failure::new(StatusCode::GATEWAY_TIMEOUT, "not-kept", "Not kept here", detail);
            return Answer::failure(failure, self.status(CacheStatus::forwarded(Forwarded::Request))).await;
        }
        let reason = match &stored {
            Some(object) if object.is_fresh(now) && !is_doubted(object) => Forwarded::Request,
            Some(_) => Forwarded::Stale,
            None if self.shelf.vary(&resource).is_some_and(|vary| !vary.is_empty()) => Forwarded::VaryMiss,
            None => Forwarded::UriMiss,
        };
        let is_single = self.shelf.is_unshared(&key) || policy::forbids_keeping(&asked.headers);
        if is_single || (asked.is_head && stored.is_none()) {
            return self.pass(&asked, reason).await;
        }
        if let Some(answer) = self.beginning(&asked, &key) {
            return answer;
        }
        if let Some(answer) = self.kept_slices(&asked, &key).await {
            return answer;
        }
        let wanted = Wanted { target, resource, headers, stale: stored };
        self.fetched(&asked, &key, wanted, reason, now).await
    }

    /// Asks for what is kept under `key` again; nobody waits for it.
    fn ask_beside(self: &Arc<Self>, key: &Arc<str>, wanted: Wanted) {
        if let Found::Begun(fill) = self.shelf.fill(key, self.settings.fills, |_| false) {
            self.begin(&fill, wanted);
        }
    }

    /// The same again, now that it is known what the answer varies by.
    async fn again(self: &Arc<Self>, asked: &Asked, wanted: &Wanted, reason: Forwarded) -> Answer {
        let key = self.key(&wanted.resource, &wanted.headers);
        let now = UnixMs::now();
        let is_usable = |object: &Arc<Object>| object.is_fresh(now) && !self.shelf.is_doubted(object);
        if let Some(object) = self.shelf.get(&key).filter(is_usable) {
            return self.serve(asked, &object, now, CacheStatus::hit(&object, now)).await;
        }
        let wanted = Wanted { stale: None, ..wanted.clone() };
        // Boxed: it may come here again, where an origin changes its mind with every answer. Each time takes a request
        // upstream, and the deadline of the viewer's own connection ends it.
        Box::pin(self.fetched(asked, &key, wanted, reason, now)).await
    }

    /// The answer out of a fill, which may be another request's.
    async fn fetched(
        self: &Arc<Self>,
        asked: &Asked,
        key: &Arc<str>,
        wanted: Wanted,
        reason: Forwarded,
        since: UnixMs,
    ) -> Answer {
        // What came in after this request was made is new enough for it, whatever it says of age.
        let usable = |object: &Object| {
            let now = UnixMs::now();
            let is_new = object.times.received > since || policy::accepts(&asked.headers, &object.times, now);
            is_new && object.is_fresh(now) && !self.shelf.is_doubted(object)
        };
        let (fill, is_collapsed) = match self.shelf.fill(key, self.settings.fills, usable) {
            Found::Stored(object) => {
                count(&object.asset.collapsed, 1);
                let status = CacheStatus::forwarded(reason).collapsed();
                return self.serve(asked, &object, UnixMs::now(), status).await;
            }
            Found::Filling(fill) => (fill, true),
            Found::Begun(fill) => {
                self.begin(&fill, wanted.clone());
                self.prefetch_after(&wanted.target);
                (fill, false)
            }
            Found::Full => {
                let failure = Failure::unavailable("as many objects are fetched as may be at once", 1);
                return Answer::failure(failure, self.status(CacheStatus::forwarded(reason))).await;
            }
        };
        let asset = self.shelf.assets.of(&asked.target);
        count(if is_collapsed { &asset.collapsed } else { &asset.misses }, 1);
        self.follow(asked, &fill, &wanted, is_collapsed, reason, since).await
    }

    /// Fetches a resource, unless it is kept and fresh; for warming. True if it was fetched.
    pub(crate) async fn warm(self: &Arc<Self>, target: &str) -> Answer {
        let Some(target) = url::canonical(target, Token::Unverified) else {
            let failure = Failure::bad_request("the path is not one that can be asked for");
            return Answer::failure(failure, self.status(CacheStatus::refused())).await;
        };
        self.admitted(Asked { is_head: false, target, headers: HeaderMap::new(), peer: None }).await
    }

    /// Who is asked for the first time has successors that are not kept yet.
    fn first_hit(self: &Arc<Self>, object: &Object, target: &str) {
        if !object.was_hit.load(Ordering::Relaxed) && !object.was_hit.swap(true, Ordering::Relaxed) {
            self.prefetch_after(target);
        }
    }

    /// What is shown for `target` where a viewer had to have a token for it.
    fn credential(&self, target: &str) -> Option<&HeaderValue> {
        let is_verified = self.guard.as_ref().is_some_and(|guard| !guard.is_open(target));
        self.credential.as_ref().filter(|_| is_verified)
    }

    /// Reads the keys of those who sign URLs again.
    pub(crate) fn reload(&self) {
        if let Some(guard) = &self.guard {
            guard.reload();
        }
    }

    pub(crate) fn begin(self: &Arc<Self>, fill: &Arc<Fill>, wanted: Wanted) {
        self.tasks.spawn(fetch::run(Arc::clone(self), Arc::clone(fill), wanted));
    }

    /// Requests that go in circles, or too far (RFC 8586).
    fn refuse(&self, asked: &Asked) -> Result<(), Failure> {
        let me = self.upstream.id();
        let mut passed = Passed::default();
        let values = asked.headers.get_all(&CDN_LOOP).iter().filter_map(|value| value.to_str().ok());
        values.for_each(|value| passed.note(value, me));
        if !passed.is_refused(self.upstream.settings().hops) {
            return Ok(());
        }
        let detail = if passed.is_back {
            format!("the request came back to this surrogate: what stands behind `{}` asks for it again", self.mount)
        } else {
            format!("the request has passed {} surrogates", passed.surrogates)
        };
        Err(Failure::new(StatusCode::LOOP_DETECTED, "loop", "The request runs in a circle", detail))
    }

    /// The key of `resource` for a request that sends `headers` upstream.
    pub(crate) fn key(&self, resource: &Arc<str>, headers: &HeaderMap) -> Arc<str> {
        let Some(vary) = self.shelf.vary(resource).filter(|vary| !vary.is_empty()) else { return Arc::clone(resource) };
        let mut key = resource.to_string();
        for name in &*vary {
            key.push('\0');
            // Lines and blanks between members are no difference (RFC 9111 section 4.1).
            let lines = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
            for line in lines {
                for member in list::members(&line) {
                    let is_caseless = *name == header::ACCEPT_LANGUAGE;
                    let member = if is_caseless { member.to_ascii_lowercase() } else { member.to_owned() };
                    key.push_str(&hex::encode(member));
                    key.push(',');
                }
            }
        }
        key.into()
    }

    /// What this front adds to the rules of caching.
    pub(crate) fn rules(&self) -> Rules<'_> {
        let heuristic_max_ms = u64::try_from(self.settings.heuristic_max.0.as_millis()).unwrap_or(u64::MAX);
        Rules { fields: &self.fields, heuristic_max_ms }
    }

    /// Whether what `fill` fetches was purged or changed since it began.
    pub(crate) fn was_purged(&self, fill: &Fill, tags: &[Box<str>]) -> bool {
        fill.is_superseded() || self.purges.arrived_since(fill.began, &fill.key, tags)
    }

    /// Whether what `fill` fetches was purged after it began and before somebody asked for it at `asked`: who asks after a purge is
    /// given nothing that was on its way before it.
    pub(crate) fn was_purged_before(&self, fill: &Fill, asked: UnixMs) -> bool {
        self.purges.has_arrived_since(fill.began)
            && self.purges.arrived_between(fill.began, asked, &fill.key, &fill.tags())
    }

    pub(crate) fn has_free_space(&self) -> bool {
        self.disk_guard.as_ref().is_none_or(|guard| guard.check().is_ok())
    }

    fn status(&self, status: CacheStatus) -> String {
        status.text(self.upstream.id())
    }
}

/// What every key of `name` begins with. No target begins so.
pub(crate) fn key_prefix(name: &Name) -> String {
    format!("{name}\0")
}
