//! One name that is served: from a request to an answer.
//!
//! What is asked upstream for many carries nothing of one viewer: no cookie, no credential, no range. So whatever comes
//! back is the same for all, or says of itself that it is not. Requests with credentials of their own are passed on alone.

mod follow;
mod serve;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use flame_naming::{Destination, Name};
use flame_service_host::Failure;
use flame_service_host::disk::DiskGuard;
use hyper::body::Incoming;
use tokio_util::task::TaskTracker;

use crate::answer::{self, Answer, Content, Lead};
use crate::config::CacheConfig;
use crate::fetch::{self, Wanted};
use crate::fill::Fill;
use crate::object::{Object, UnixMs};
use crate::policy;
use crate::prefetch::Order;
use crate::purge::Purges;
use crate::shelf::{Found, Shelf, count};
use crate::status::{CacheStatus, Forwarded};
use crate::target;
use crate::upstream::{CDN_LOOP, Upstream, UpstreamError};

/// A name, and everything that is needed to answer for it.
#[derive(Debug)]
pub(crate) struct Front {
    pub name: Name,
    /// What upstream is mounted at: `/~streaming.main`.
    mount: String,
    /// What every key of this name begins with.
    key_prefix: String,
    pub shelf: Arc<Shelf>,
    pub upstream: Upstream,
    pub settings: CacheConfig,
    purges: Arc<Purges>,
    /// What playlists say comes after what.
    pub order: Order,
    disk_guard: Option<DiskGuard>,
    /// Fills, which outlive the requests that began them.
    tasks: TaskTracker,
}

/// What a front is made of, besides its names.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub shelf: Arc<Shelf>,
    pub upstream: Upstream,
    pub settings: CacheConfig,
    pub purges: Arc<Purges>,
    pub disk_guard: Option<DiskGuard>,
    pub tasks: TaskTracker,
}

/// A request without a body.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub is_head: bool,
    /// Path and query.
    pub target: String,
    pub headers: HeaderMap,
}

/// Hop-by-hop fields (RFC 9110 section 7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

// === impl Front ===

impl Front {
    pub(crate) fn new(name: Name, upstream: &Destination, parts: Parts) -> Self {
        let Parts { shelf, upstream: client, settings, purges, disk_guard, tasks } = parts;
        let (mount, key_prefix) = (format!("/~{upstream}"), key_prefix(&name));
        Self {
            name,
            mount,
            key_prefix,
            shelf,
            upstream: client,
            settings,
            purges,
            order: Order::new(),
            disk_guard,
            tasks,
        }
    }

    /// What every key of this name begins with.
    pub(crate) fn key_prefix(&self) -> &str {
        &self.key_prefix
    }

    /// The answer to a request that has nothing but a target, if it is in memory and fresh. `key` is the key of that
    /// target: what [`Self::key_prefix`] says, and the target.
    pub(crate) fn hit(self: &Arc<Self>, key: &str, is_head: bool) -> Option<Answer> {
        let object = self.shelf.get(key)?;
        let now = UnixMs::now();
        if !object.is_fresh(now) {
            return None;
        }
        count(&object.asset.hits, 1);
        self.first_hit(&object, &key[self.key_prefix.len()..]);
        Some(self.whole(&object, is_head, now, CacheStatus::hit(&object, now)))
    }

    /// The answer to any GET or HEAD.
    pub(crate) async fn answer(self: &Arc<Self>, asked: Asked) -> Answer {
        if let Err(refused) = self.refuse(&asked) {
            return Answer::failure(refused, self.status(CacheStatus::refused())).await;
        }
        let Some(target) = target::canonical(&asked.target) else {
            let failure = Failure::bad_request("the path is not one that can be asked for");
            return Answer::failure(failure, self.status(CacheStatus::refused())).await;
        };
        if asked.headers.contains_key(header::AUTHORIZATION) {
            return self.pass(&asked, Forwarded::Bypass).await;
        }
        let resource: Arc<str> = format!("{}{target}", self.key_prefix).into();
        let headers = shared_headers(&asked.headers);
        let key = self.key(&resource, &headers);
        let now = UnixMs::now();
        let stored = match self.shelf.get(&key) {
            Some(object) => Some(object),
            None => self.shelf.load(&key).await,
        };
        let accepts = |object: &Object| policy::accepts(&asked.headers, &object.times, now);
        if let Some(object) = stored.as_ref().filter(|object| accepts(object)) {
            if object.is_fresh(now) {
                count(&object.asset.hits, 1);
                self.first_hit(object, &target);
                return self.serve(&asked, object, now, CacheStatus::hit(object, now)).await;
            }
            if now < object.times.while_revalidate_until {
                let wanted = Wanted { target, resource, headers, stale: stored.clone() };
                if let Found::Begun(fill) = self.shelf.fill(&key, self.settings.fills, |_| false) {
                    self.begin(&fill, wanted);
                }
                count(&object.asset.stale, 1);
                return self.serve(&asked, object, now, CacheStatus::hit(object, now)).await;
            }
        }
        if policy::only_if_cached(&asked.headers) {
            let detail = "it is not kept here, and the request wants only what is";
            let failure = Failure::new(StatusCode::GATEWAY_TIMEOUT, "not-kept", "Not kept here", detail);
            return Answer::failure(failure, self.status(CacheStatus::forwarded(Forwarded::Request))).await;
        }
        let reason = match &stored {
            Some(object) if object.is_fresh(now) => Forwarded::Request,
            Some(_) => Forwarded::Stale,
            None if self.shelf.vary(&resource).is_some_and(|vary| !vary.is_empty()) => Forwarded::VaryMiss,
            None => Forwarded::UriMiss,
        };
        if self.shelf.is_unshared(&key) || (asked.is_head && stored.is_none()) {
            return self.pass(&asked, reason).await;
        }
        if let Some(answer) = self.beginning(&asked, &key) {
            return answer;
        }
        let wanted = Wanted { target, resource, headers, stale: stored };
        self.fetched(&asked, &key, wanted, reason, now).await
    }

    /// The same again, now that it is known what the answer varies by.
    async fn again(self: &Arc<Self>, asked: &Asked, wanted: &Wanted, reason: Forwarded) -> Answer {
        let key = self.key(&wanted.resource, &wanted.headers);
        let now = UnixMs::now();
        if let Some(object) = self.shelf.get(&key).filter(|object| object.is_fresh(now)) {
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
            is_new && object.is_fresh(now)
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
        self.follow(asked, &fill, &wanted, is_collapsed, reason).await
    }

    /// Fetches a resource, unless it is kept and fresh; for warming. True if it was fetched.
    pub(crate) async fn warm(self: &Arc<Self>, target: &str) -> Answer {
        let asked = Asked { is_head: false, target: target.to_owned(), headers: HeaderMap::new() };
        self.answer(asked).await
    }

    /// Who is asked for the first time has successors that are not kept yet.
    fn first_hit(self: &Arc<Self>, object: &Object, target: &str) {
        if !object.was_hit.load(Ordering::Relaxed) && !object.was_hit.swap(true, Ordering::Relaxed) {
            self.prefetch_after(target);
        }
    }

    pub(crate) fn begin(self: &Arc<Self>, fill: &Arc<Fill>, wanted: Wanted) {
        self.tasks.spawn(fetch::run(Arc::clone(self), Arc::clone(fill), wanted));
    }

    /// Requests that go in circles, or too far (RFC 8586).
    fn refuse(&self, asked: &Asked) -> Result<(), Failure> {
        let me = self.upstream.id();
        let values = asked.headers.get_all(&CDN_LOOP).iter().filter_map(|value| value.to_str().ok());
        let hops: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
        let is_loop = hops.iter().any(|hop| hop.split(';').next().unwrap_or_default().trim() == me);
        if !is_loop && hops.len() < self.upstream.settings().hops {
            return Ok(());
        }
        let detail = if is_loop {
            format!("the request came back to this surrogate: what stands behind `{}` asks for it again", self.mount)
        } else {
            format!("the request has passed {} surrogates", hops.len())
        };
        Err(Failure::new(StatusCode::LOOP_DETECTED, "loop", "The request runs in a circle", detail))
    }

    /// The key of `resource` for a request that sends `headers` upstream.
    pub(crate) fn key(&self, resource: &Arc<str>, headers: &HeaderMap) -> Arc<str> {
        let Some(vary) = self.shelf.vary(resource).filter(|vary| !vary.is_empty()) else { return Arc::clone(resource) };
        let mut key = resource.to_string();
        for name in &*vary {
            key.push('\0');
            for value in headers.get_all(name) {
                key.push_str(&hex::encode(value.as_bytes()));
                key.push(',');
            }
        }
        key.into()
    }

    /// Passes a request on alone; nothing of it is kept.
    async fn pass(&self, asked: &Asked, reason: Forwarded) -> Answer {
        let asset = self.shelf.assets.of(&asked.target);
        count(&asset.passed, 1);
        count(&asset.fetches, 1);
        let mut headers = asked.headers.clone();
        remove_hop_by_hop(&mut headers);
        headers.remove(header::HOST);
        let method = if asked.is_head { Method::HEAD } else { Method::GET };
        match self.ask(&method, &asked.target, headers).await {
            Ok(answer) => self.passed(answer, asked.is_head, CacheStatus::forwarded(reason)),
            Err(error) => self.failed(&error, reason).await,
        }
    }

    /// An answer that is for one only.
    fn passed(&self, answer: http::Response<Incoming>, is_head: bool, status: CacheStatus) -> Answer {
        let (parts, body) = answer.into_parts();
        let mut headers = parts.headers;
        remove_hop_by_hop(&mut headers);
        self.unmount(&mut headers);
        if !headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS) {
            answer::for_any_page(&mut headers);
        }
        let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let bodiless = is_head || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let content = if bodiless { Content::None } else { Content::Pass { body, length } };
        let status = self.status(status.forwarded_status(parts.status));
        Answer { lead: Lead::Fields(parts.status, headers), age_s: None, cache_status: status, content, asset: None }
    }

    /// There is no answer from upstream.
    async fn failed(&self, error: &UpstreamError, reason: Forwarded) -> Answer {
        let failure = match error {
            UpstreamError::Silent(_) | UpstreamError::Stalled(_) => {
                let detail = "the service behind this surrogate did not answer in time";
                Failure::new(StatusCode::GATEWAY_TIMEOUT, "upstream-silent", "No answer in time", detail)
            }
            UpstreamError::Unreachable(_)
            | UpstreamError::Broken(_)
            | UpstreamError::Length
            | UpstreamError::TooLarge
            | UpstreamError::Abandoned => {
                let detail = "the service behind this surrogate gave no whole answer";
                Failure::new(StatusCode::BAD_GATEWAY, "upstream-broken", "No answer from upstream", detail)
            }
            UpstreamError::Path(_) => Failure::bad_request("the path is not one that can be asked for"),
            UpstreamError::Nowhere(_) => Failure::unavailable("there is no room for the answer", 2),
        };
        Answer::failure(failure.because(error), self.status(CacheStatus::forwarded(reason))).await
    }

    /// Asks upstream.
    pub(crate) async fn ask(
        &self,
        method: &Method,
        target: &str,
        headers: HeaderMap,
    ) -> Result<http::Response<Incoming>, UpstreamError> {
        self.upstream.ask(method, &self.mount, target, headers).await
    }

    /// Makes fields of an answer what may be kept and shown to everybody.
    pub(crate) fn clean(&self, headers: &mut HeaderMap) {
        remove_hop_by_hop(headers);
        headers.remove(header::SET_COOKIE);
        self.unmount(headers);
        answer::for_any_page(headers);
    }

    /// The router in between has put the name of upstream before paths; the one in front will put ours there.
    fn unmount(&self, headers: &mut HeaderMap) {
        for name in [header::LOCATION, header::CONTENT_LOCATION] {
            let Some(path) = headers.get(&name).and_then(|value| value.to_str().ok()) else { continue };
            let Some(own) = path.strip_prefix(&self.mount).filter(|rest| rest.starts_with('/')) else { continue };
            if let Ok(own) = HeaderValue::from_str(own) {
                headers.insert(name, own);
            }
        }
    }

    /// Whether what `fill` fetches was purged since it began.
    pub(crate) fn was_purged(&self, fill: &Fill, tags: &[Box<str>]) -> bool {
        self.purges.covers_since(fill.began, &fill.key, tags)
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

/// The fields of a request that go upstream for all who ask the same.
fn shared_headers(asked: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in policy::KEYED {
        for value in asked.get_all(&name) {
            headers.append(&name, value.clone());
        }
    }
    // One of two forms, so that what differs only in wording is the same.
    let codings = asked.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let takes_gzip = codings.flat_map(|value| value.split(',')).any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
        name.trim().eq_ignore_ascii_case("gzip") && !matches!(quality.trim(), "q=0" | "q=0.0")
    });
    headers.remove(header::ACCEPT_ENCODING);
    if takes_gzip {
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    }
    // For a trace, and for loops: neither changes an answer.
    for name in [HeaderName::from_static("traceparent"), CDN_LOOP] {
        for value in asked.get_all(&name) {
            headers.append(&name, value.clone());
        }
    }
    headers
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}
