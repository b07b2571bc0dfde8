//! Asking the service behind a name, through the router.
//!
//! Nothing here decides what may be kept. Every request names this surrogate in `CDN-Loop` (RFC 8586), so that one that
//! comes back is seen, and has a deadline for the head and a patience for each piece of the body.

use std::time::Duration;

use axum::http::uri::{Authority, Scheme};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use bytes::Bytes;
use flame_credentials::Current;
use flame_credentials::standing::dns_of_router;
use flame_service_host::connector::{self, Connector};
use http_body_util::{BodyExt, Either, Empty};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use url::Url;

use crate::config::UpstreamConfig;
use crate::doubt::Gave;

/// RFC 8586.
pub(crate) const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");
/// Idle connections to the router that are kept.
const POOL_MAX_IDLE: usize = 256;
/// Shorter than routers keep them, so that a request never meets a connection that is being closed.
const POOL_IDLE: Duration = Duration::from_secs(5);
/// Time for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// What a request upstream has for a body: none, or a viewer's as it comes.
pub(crate) type Sent = Either<Empty<Bytes>, Incoming>;

/// Asks through one router. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Upstream {
    client: legacy::Client<Connector, Sent>,
    router: Router,
    settings: UpstreamConfig,
    /// This surrogate in `CDN-Loop` and `Via`.
    id: HeaderValue,
    via: HeaderValue,
}

/// Who is asked.
#[derive(Debug, Clone)]
struct Router {
    address: String,
    scheme: Scheme,
    /// The certificate that is shown there, and the name in that of the router.
    certificate: Option<(Current, String)>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// Neither connection nor head.
    #[error("upstream cannot be reached")]
    Unreachable(#[source] legacy::Error),
    /// The head took too long.
    #[error("upstream did not answer within {0:?}")]
    Silent(Duration),
    /// What is asked for cannot be written as a URL.
    #[error("the path cannot be asked for")]
    Path(#[source] axum::http::Error),
    /// The body broke off.
    #[error("the body broke off")]
    Broken(#[source] hyper::Error),
    /// The body stalled.
    #[error("the body stalled for {0:?}")]
    Stalled(Duration),
    /// The task that asked is gone.
    #[error("the request upstream was given up")]
    Abandoned,
    /// It cannot be kept while it flows.
    #[error("nowhere to put it")]
    Nowhere(#[source] std::io::Error),
    /// A body other than its head said.
    #[error("the body has not the length or range that its head says")]
    Length,
    /// It grows, and there is no room for more of it.
    #[error("there is no room for more of a body whose length was not said")]
    NoRoom,
    /// Too large for the cache, and its length was not said before.
    #[error("the body is larger than what is kept")]
    TooLarge,
}

// === impl UpstreamError ===

impl UpstreamError {
    /// What it says of whether it is worth asking again soon.
    pub(crate) fn gave(&self) -> Gave {
        match self {
            Self::Unreachable(_) | Self::Silent(_) => Gave::Nothing,
            Self::Broken(_)
            | Self::Stalled(_)
            | Self::Abandoned
            | Self::Path(_)
            | Self::Nowhere(_)
            | Self::Length
            | Self::NoRoom
            | Self::TooLarge => Gave::Fault,
        }
    }
}

// === impl Router ===

impl Router {
    fn authority(&self) -> Option<Authority> {
        match &self.certificate {
            Some((own, name)) => connector::expecting(name, Some(own), &self.address),
            None => self.address.parse().ok(),
        }
    }
}

// === impl Upstream ===

impl Upstream {
    /// Asks through the router at `router`, over TLS with the `own` certificate if its URL says https; `None` if it has no
    /// host, or there is no certificate for it.
    pub(crate) fn new(router: &Url, own: Option<&Current>, id: &str, settings: &UpstreamConfig) -> Option<Self> {
        let host = router.host_str()?;
        let port = router.port_or_known_default()?;
        let is_tls = router.scheme() == "https";
        let certificate = own.filter(|_| is_tls).map(|own| {
            let router = dns_of_router(&own.identity().standing.site);
            (own.clone(), router)
        });
        if is_tls && certificate.is_none() {
            return None;
        }
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let client = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(POOL_MAX_IDLE)
            .build(connector::connector(connector, own).ok()?);
        let scheme = if is_tls { Scheme::HTTPS } else { Scheme::HTTP };
        let router = Router { address: format!("{host}:{port}"), scheme, certificate };
        router.authority()?;
        Some(Self {
            client,
            router,
            settings: settings.clone(),
            id: HeaderValue::from_str(id).ok()?,
            via: HeaderValue::from_str(&format!("1.1 {id}")).ok()?,
        })
    }

    pub(crate) fn settings(&self) -> &UpstreamConfig {
        &self.settings
    }

    /// This surrogate's name in `CDN-Loop` and `Via`.
    pub(crate) fn id(&self) -> &str {
        self.id.to_str().unwrap_or_default()
    }

    /// Asks for `path_and_query` of the service mounted at `mount` (`/~streaming.main`).
    pub(crate) async fn ask(
        &self,
        method: &Method,
        mount: &str,
        path_and_query: &str,
        mut headers: HeaderMap,
        body: Sent,
    ) -> Result<http::Response<Incoming>, UpstreamError> {
        let mut uri = Uri::builder().scheme(self.router.scheme.clone());
        if let Some(router) = self.router.authority() {
            uri = uri.authority(router);
        }
        let uri = uri.path_and_query(format!("{mount}{path_and_query}")).build().map_err(UpstreamError::Path)?;
        headers.append(CDN_LOOP, self.id.clone());
        headers.append(header::VIA, self.via.clone());
        let mut request = http::Request::new(body);
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        let patience = self.settings.answer_timeout.0;
        match tokio::time::timeout(patience, self.client.request(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(UpstreamError::Unreachable(error)),
            Err(_) => Err(UpstreamError::Silent(patience)),
        }
    }

    /// The next piece of a body; `None` at its end. Trailers are dropped.
    pub(crate) async fn next(&self, body: &mut Incoming) -> Result<Option<Bytes>, UpstreamError> {
        let patience = self.settings.body_idle_timeout.0;
        loop {
            let frame = tokio::time::timeout(patience, body.frame()).await;
            match frame.map_err(|_| UpstreamError::Stalled(patience))? {
                None => return Ok(None),
                Some(Err(error)) => return Err(UpstreamError::Broken(error)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return Ok(Some(data)),
                    Err(_) => {}
                },
            }
        }
    }
}
