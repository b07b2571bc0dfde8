//! What is asked upstream, and what comes back to one viewer alone: requests of his own, changes, and no answer at all.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use flame_naming::identity::{Token, codings, url};
use flame_service_host::Failure;
use http_body_util::Empty;
use hyper::body::Incoming;

use super::{Asked, Front};
use crate::answer::{self, Answer, CMSD_DYNAMIC, Content, Lead};
use crate::policy;
use crate::rules::cmcd::FIELDS;
use crate::shelf::{Changed, count};
use crate::stats;
use crate::status::{CacheStatus, Forwarded};
use crate::upstream::{CDN_LOOP, Sent, UpstreamError};

/// Hop-by-hop fields (RFC 9110 section 7.6.1).
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-authentication-info"),
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

// === impl Front ===

impl Front {
    /// Passes a request on alone; nothing of it is kept.
    pub(super) async fn pass(&self, asked: &Asked, reason: Forwarded) -> Answer {
        let asset = self.shelf.assets.of(&asked.target);
        count(&asset.passed, 1);
        count(&asset.fetches, 1);
        let method = if asked.is_head { Method::HEAD } else { Method::GET };
        let mut headers = own_headers(&asked.headers);
        if asked.is_head {
            // Only GET has ranges (RFC 9110 section 14.2); not every origin knows that.
            [header::RANGE, header::IF_RANGE].iter().for_each(|name| drop(headers.remove(name)));
        }
        match self.ask(&method, &asked.target, headers).await {
            Ok(answer) => self.passed(answer, asked.is_head, CacheStatus::forwarded(reason)),
            Err(error) => self.failed(&error, reason).await,
        }
    }

    /// Passes on a request that changes something; what it has changed is kept no longer (RFC 9111 section 4.4). It ends also when who
    /// asked has left: the service may have done it.
    pub(crate) async fn change(self: &Arc<Self>, method: &Method, asked: &Asked, body: Incoming) -> Answer {
        if let Err(refused) = self.refuse(asked) {
            return Answer::failure(refused, self.status(CacheStatus::refused())).await;
        }
        let target = match self.admit(&asked.target) {
            Ok(target) => target,
            Err(refused) => return Answer::failure(refused, self.status(CacheStatus::refused())).await,
        };
        count(&self.shelf.assets.of(&target).passed, 1);
        let (front, method, headers) = (Arc::clone(self), method.clone(), own_headers(&asked.headers));
        let changing = self.tasks.spawn(async move {
            let answer = front.upstream.ask(&method, &front.mount, &target, headers, Sent::Right(body)).await?;
            if answer.status().is_success() || answer.status().is_redirection() {
                front.shelf.forget_changed(front.changed(&target, answer.headers())).await;
            }
            Ok(answer)
        });
        match changing.await.unwrap_or(Err(UpstreamError::Abandoned)) {
            Ok(answer) => self.passed(answer, false, CacheStatus::forwarded(Forwarded::Method)),
            Err(error) => self.failed(&error, Forwarded::Method).await,
        }
    }

    /// What was asked to change, and what the answer says has: by URL, and by group (RFC 9875 section 3). All of it stands under
    /// this name.
    fn changed(&self, target: &str, answer: &HeaderMap) -> Changed {
        let mut own = answer.clone();
        self.unmount(&mut own);
        let named = [header::LOCATION, header::CONTENT_LOCATION]
            .into_iter()
            .filter_map(|name| crate::warm::resolve(target, own.get(name)?.to_str().ok()?));
        let urls = named.chain([target.to_owned()]).filter_map(|changed| url::canonical(&changed, Token::Unverified));
        let resources = urls.map(|changed| format!("{}{changed}", self.key_prefix)).collect();
        Changed { resources, prefix: self.key_prefix.clone(), groups: policy::invalidated(answer) }
    }

    /// An answer that is for one only.
    pub(super) fn passed(&self, answer: http::Response<Incoming>, is_head: bool, status: CacheStatus) -> Answer {
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
    pub(super) async fn failed(&self, error: &UpstreamError, reason: Forwarded) -> Answer {
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
            UpstreamError::Nowhere(_) | UpstreamError::NoRoom => {
                Failure::unavailable("there is no room for the answer", 2)
            }
        };
        Answer::failure(failure.because(error), self.status(CacheStatus::forwarded(reason))).await
    }

    /// Asks upstream. What a viewer's token has opened here, and the service refuses to strangers, it gives to a surrogate; only then
    /// is it asked as one, for what anybody may have merges on its way with what others ask.
    pub(crate) async fn ask(
        &self,
        method: &Method,
        target: &str,
        mut headers: HeaderMap,
    ) -> Result<http::Response<Incoming>, UpstreamError> {
        let ask = |headers| self.upstream.ask(method, &self.mount, target, headers, Sent::Left(Empty::new()));
        let of_its_own = headers.contains_key(header::AUTHORIZATION);
        let Some(credential) = self.credential(target).filter(|_| !of_its_own) else { return ask(headers).await };
        let asset = stats::asset(target);
        if self.protected.get(asset).is_none() {
            let answer = ask(headers.clone()).await?;
            if answer.status() != StatusCode::FORBIDDEN {
                return Ok(answer);
            }
        }
        headers.insert(header::AUTHORIZATION, credential.clone());
        let answer = ask(headers).await?;
        if answer.status().is_success() {
            self.protected.insert(asset.into(), ());
        }
        Ok(answer)
    }

    /// Makes fields of an answer what may be kept and shown to everybody.
    pub(crate) fn clean(&self, headers: &mut HeaderMap) {
        remove_hop_by_hop(headers);
        headers.remove(header::SET_COOKIE);
        // It is about the one transfer that is over.
        headers.remove(CMSD_DYNAMIC);
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
}

/// The fields of a request that go upstream for all who ask the same.
pub(super) fn shared_headers(asked: &HeaderMap, fields: &[HeaderName]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in policy::KEYED.iter().chain(fields) {
        for value in asked.get_all(name) {
            headers.append(name, value.clone());
        }
    }
    // In one form, so that what differs only in wording is the same.
    if let Ok(codings) = HeaderValue::from_str(&codings::accepted(asked)) {
        headers.insert(header::ACCEPT_ENCODING, codings);
    }
    // For a trace, and for loops: neither changes an answer.
    for name in [HeaderName::from_static("traceparent"), CDN_LOOP] {
        for value in asked.get_all(&name) {
            headers.append(&name, value.clone());
        }
    }
    headers
}

/// The fields of a request that goes upstream as one viewer's own.
fn own_headers(asked: &HeaderMap) -> HeaderMap {
    let mut headers = asked.clone();
    remove_hop_by_hop(&mut headers);
    // What a player says of itself was for this surrogate.
    [header::HOST].iter().chain(&FIELDS).for_each(|name| drop(headers.remove(name)));
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
