//! One request of a pull: follows redirects, asks for what is missing, and says what the answer is worth.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Client, Response, StatusCode};
use url::Url;

use super::address::{self, AddressError, is_public};
use crate::config::PullConfig;

/// Asks servers for files. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Fetcher {
    http: Client,
    config: PullConfig,
}

/// A server's answer with bytes to come.
#[derive(Debug)]
pub struct Answer {
    /// The answer; its body begins at `begins_at_bytes`.
    pub response: Response,
    /// Offset of its first byte in the file.
    pub begins_at_bytes: u64,
    /// Length of the whole file, if the server says.
    pub length_bytes: Option<u64>,
    /// What names exactly these bytes, for resuming: a strong ETag, else the date of the last change.
    pub validator: Option<HeaderValue>,
}

/// Why there are no bytes.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It will not get better.
    #[error("{0}")]
    Refused(String),
    /// It may get better.
    #[error("{0}")]
    Later(String),
}

// === impl Fetcher ===

impl Fetcher {
    /// A fetcher that goes where `config` allows.
    #[must_use]
    pub fn new(config: PullConfig, idle: Duration) -> Self {
        let http = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .dns_resolver(address::resolver(config.allow_private))
            .connect_timeout(config.answer_timeout.0)
            .read_timeout(idle)
            .user_agent(concat!("flame-ingest/", env!("CARGO_PKG_VERSION")))
            .build()
            .expect("the TLS backend is compiled in");
        Self { http, config }
    }

    /// Asks for the file at `url` from `offset_bytes` on, provided that it is still the one that `validator` names.
    /// Without a validator it asks for the whole.
    pub async fn fetch(
        &self,
        url: &str,
        offset_bytes: u64,
        validator: Option<&HeaderValue>,
    ) -> Result<Answer, FetchError> {
        let mut validator = validator.filter(|_| offset_bytes > 0);
        loop {
            let mut headers = HeaderMap::new();
            if let Some(validator) = validator {
                headers.insert(header::RANGE, range(offset_bytes, None));
                headers.insert(header::IF_RANGE, validator.clone());
            }
            let (url, response) = self.send(self.check(url)?, &headers).await?;
            if response.status() == StatusCode::RANGE_NOT_SATISFIABLE && validator.take().is_some() {
                // What we have reaches beyond its end, so it is another file: from the beginning, then.
                continue;
            }
            return judge(&url, response, offset_bytes);
        }
    }

    /// Asks for all of what is at `url`, or for so many octets from `range` on; no more than `max_bytes` are taken. With the URL that
    /// it was found at, after redirects: what it names is relative to that.
    pub async fn get(
        &self,
        url: &Url,
        range: Option<(u64, u64)>,
        max_bytes: usize,
    ) -> Result<(Url, Bytes), FetchError> {
        let mut headers = HeaderMap::new();
        if let Some((from, length)) = range {
            headers.insert(header::RANGE, self::range(from, Some(length)));
        }
        let (url, response) = self.send(self.check(url.as_str())?, &headers).await?;
        let from = range.map_or(0, |(from, _)| from);
        let answer = judge(&url, response, from)?;
        if answer.begins_at_bytes != from {
            return Err(refused(&url, "answers without the range that was asked for"));
        }
        let body = body(answer.response, max_bytes).await.map_err(|what| later(&url, &what))?;
        Ok((url, body))
    }

    /// Asks, and follows redirects.
    async fn send(&self, mut url: Url, headers: &HeaderMap) -> Result<(Url, Response), FetchError> {
        for _ in 0..=self.config.max_redirects {
            let request = self.http.get(url.clone()).header(header::ACCEPT_ENCODING, "identity");
            let request = request.headers(headers.clone());
            let response = tokio::time::timeout(self.config.answer_timeout.0, request.send()).await;
            let response = response.map_err(|_elapsed| later(&url, "does not answer"))?;
            let response = response.map_err(|error| of_transport(&url, &error))?;
            if let Some(peer) = response.remote_addr()
                && !self.config.allow_private
                && !is_public(peer.ip())
            {
                let private = AddressError::Private { host: url.to_string(), address: peer.ip() };
                return Err(FetchError::Refused(private.to_string()));
            }
            match redirect(&response) {
                Some(target) => {
                    let target = target.to_str().ok().and_then(|target| url.join(target).ok());
                    let target = target.ok_or_else(|| refused(&url, "redirects to what is no URL"))?;
                    url = self.check(target.as_str())?;
                }
                None => return Ok((url, response)),
            }
        }
        Err(refused(&url, &format!("redirects more than {} times", self.config.max_redirects)))
    }

    fn check(&self, url: &str) -> Result<Url, FetchError> {
        address::check_url(url, self.config.allow_private).map_err(|error| FetchError::Refused(error.to_string()))
    }
}

/// A body that has an end, and is not longer than this.
///
/// # Errors
/// What is wrong with it.
pub async fn body(mut response: Response, max_bytes: usize) -> Result<Bytes, String> {
    let mut body = BytesMut::new();
    loop {
        match response.chunk().await {
            Ok(Some(piece)) if body.len() + piece.len() > max_bytes => {
                return Err(format!("is longer than the {max_bytes} bytes that are taken"));
            }
            Ok(Some(piece)) => body.extend_from_slice(&piece),
            Ok(None) => return Ok(body.freeze()),
            Err(error) => {
                return Err(format!("broke off: {}", flame_service_host::problem::chain(&error.without_url())));
            }
        }
    }
}

/// `Range`, up to the end or for so many octets.
fn range(from: u64, length: Option<u64>) -> HeaderValue {
    let last = length.map_or_else(String::new, |length| from.saturating_add(length).saturating_sub(1).to_string());
    HeaderValue::from_str(&format!("bytes={from}-{last}")).expect("digits are visible ASCII")
}

fn redirect(response: &Response) -> Option<&HeaderValue> {
    let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    response.headers().get(header::LOCATION).filter(|_| is_redirect)
}

fn judge(url: &Url, response: Response, offset_bytes: u64) -> Result<Answer, FetchError> {
    let headers = response.headers();
    let encoded = headers.get(header::CONTENT_ENCODING).is_some_and(|value| value != "identity");
    if encoded {
        return Err(refused(url, "sends the file encoded, although that was not asked for"));
    }
    let (begins_at_bytes, length_bytes) = match response.status() {
        StatusCode::OK => (0, content_length(headers)),
        StatusCode::PARTIAL_CONTENT => {
            let range = headers.get(header::CONTENT_RANGE).and_then(|value| content_range(value.to_str().ok()?));
            let (first, length) = range.ok_or_else(|| refused(url, "answers 206 without saying which bytes"))?;
            if first != offset_bytes {
                return Err(refused(url, &format!("sends bytes from {first} on, asked for from {offset_bytes} on")));
            }
            (first, length)
        }
        status => {
            let text = format!("answers {status}");
            let passing = status.is_server_error()
                || matches!(
                    status,
                    StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
                );
            return Err(if passing { later(url, &text) } else { refused(url, &text) });
        }
    };
    let validator = validator(headers);
    Ok(Answer { response, begins_at_bytes, length_bytes, validator })
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// First byte and length of `bytes 5-9/10` (RFC 9110 section 14.4).
fn content_range(value: &str) -> Option<(u64, Option<u64>)> {
    let (range, length) = value.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let length = match length.trim() {
        "*" => None,
        length => Some(length.parse().ok()?),
    };
    (first <= last && length.is_none_or(|length: u64| last < length)).then_some((first, length))
}

/// What `If-Range` takes (RFC 9110 section 13.1.5): a weak ETag does not promise the same bytes.
fn validator(headers: &HeaderMap) -> Option<HeaderValue> {
    let strong = |etag: &&HeaderValue| etag.as_bytes().starts_with(b"\"");
    headers.get(header::ETAG).filter(strong).or_else(|| headers.get(header::LAST_MODIFIED)).cloned()
}

fn of_transport(url: &Url, error: &reqwest::Error) -> FetchError {
    // What our own resolver said lies somewhere below the client's error.
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut last = "no connection".to_owned();
    while let Some(found) = cause {
        if let Some(address) = found.downcast_ref::<AddressError>() {
            return match address {
                AddressError::Private { .. } | AddressError::Url(_) => FetchError::Refused(address.to_string()),
                AddressError::Unresolved { .. } => FetchError::Later(address.to_string()),
            };
        }
        if !found.is::<reqwest::Error>() {
            last = found.to_string();
        }
        cause = found.source();
    }
    later(url, &format!("cannot be reached: {last}"))
}

fn refused(url: &Url, what: &str) -> FetchError {
    FetchError::Refused(format!("{} {what}", shown(url)))
}

fn later(url: &Url, what: &str) -> FetchError {
    FetchError::Later(format!("{} {what}", shown(url)))
}

/// The URL without its query, which may hold a signature.
#[must_use]
pub fn shown(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, None)));
        for wrong in ["", "bytes */10", "bytes 9-5/10", "bytes 5-10/10", "items 5-9/10", "bytes 5-/10"] {
            assert_eq!(content_range(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn weak_tags_do_not_name_bytes() {
        let headers = |pairs: &[(header::HeaderName, &'static str)]| -> HeaderMap {
            pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
        };
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(validator(&headers(&[(header::ETAG, "\"a\""), (header::LAST_MODIFIED, date)])).unwrap(), "\"a\"");
        assert_eq!(validator(&headers(&[(header::ETAG, "W/\"a\""), (header::LAST_MODIFIED, date)])).unwrap(), date);
        assert_eq!(validator(&headers(&[(header::ETAG, "W/\"a\"")])), None);
    }
}
