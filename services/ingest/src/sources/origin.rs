//! Where playlists and segments are fetched from: the web, guarded as all pulls are, or streaming of this system, by name.

use bytes::Bytes;
use flame_api::{Client, Problem};
use reqwest::{Method, StatusCode, header};
use std::time::Duration;
use url::Url;
use uuid::Uuid;

use crate::pull::fetch::{self, FetchError, Fetcher};

/// The service that plays this system's assets.
const STREAMING: &str = "streaming";

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Origin {
    /// Servers of others.
    Web(Fetcher),
    /// This system.
    Own {
        /// The way to it.
        client: Client,
        /// Time for an answer's head.
        answer_timeout: Duration,
    },
}

// === impl Origin ===

impl Origin {
    /// The playlist of an asset of this system.
    #[must_use]
    pub fn asset(client: &Client, asset: Uuid) -> Url {
        client.url(STREAMING, &format!("{asset}/index.m3u8"))
    }

    /// All of what is at `url`, or so many octets of it from `range` on, and where it was found.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn get(
        &self,
        url: &Url,
        range: Option<(u64, u64)>,
        max_bytes: usize,
    ) -> Result<(Url, Bytes), FetchError> {
        match self {
            Self::Web(fetcher) => fetcher.get(url, range, max_bytes).await,
            Self::Own { client, answer_timeout } => {
                let path = url.path().strip_prefix(&format!("/~{STREAMING}/"));
                let path = path.ok_or_else(|| FetchError::Refused(format!("{url} is none of this system's assets")))?;
                let mut request = client.request(Method::GET, STREAMING, path);
                if let Some((from, length)) = range {
                    request = request.header(
                        header::RANGE,
                        format!("bytes={from}-{}", from.saturating_add(length).saturating_sub(1)),
                    );
                }
                let answer = tokio::time::timeout(*answer_timeout, request.send()).await;
                let answer = answer.map_err(|_| FetchError::Later(format!("streaming does not answer for {path}")))?;
                let unreachable = |error: reqwest::Error| {
                    FetchError::Later(format!("streaming cannot be reached: {}", error.without_url()))
                };
                let answer = answer.map_err(unreachable)?;
                let (status, wanted) = (answer.status(), range.map_or(StatusCode::OK, |_| StatusCode::PARTIAL_CONTENT));
                let body =
                    fetch::body(answer, max_bytes).await.map_err(|what| FetchError::Later(format!("{path} {what}")))?;
                if status == wanted {
                    return Ok((url.clone(), body));
                }
                let said = serde_json::from_slice::<Problem>(&body).map(|problem| problem.detail).unwrap_or_default();
                let text = format!("streaming answers {status} for {path}: {said}");
                let is_passing = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
                Err(if is_passing { FetchError::Later(text) } else { FetchError::Refused(text) })
            }
        }
    }
}
