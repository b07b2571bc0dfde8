//! The typed HTTP client: every call names a service, and goes to it by name through the router.
//!
//! No call retries by itself: whether trying again is safe is the caller's to decide (the ids in request bodies
//! make the creating calls idempotent). Every call has a deadline, and every body that is read has a bound.

mod arriving;
mod catalogue;
mod changes;
mod clmc;
mod feed;
mod live;
mod orchestrator;
mod quality;
mod subtitles;
mod transcode;
mod transport;
mod vcdn;

use std::time::Duration;

use futures_util::StreamExt;
use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;
use uuid::Uuid;

use crate::ingest::{NewPull, Scrub, Upload};
use crate::page::{Page, PageQuery};
use crate::problem::Problem;
use crate::router::{Activity, Certificate, CertificateRequest, Endpoint, Explanation, Registration, Route};

pub use changes::ChangeStream;
pub use feed::Feed;
pub use transport::Transport;

/// Longest body of an answer that the client reads.
pub const BODY_MAX_BYTES: usize = 8 * 1024 * 1024;
/// Time that a call may take, unless [`Client::with_deadline`] says otherwise.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A client of all services behind one router. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    transport: Transport,
    router: Url,
    token: Option<String>,
    tenant: Option<String>,
    deadline: Duration,
}

/// Why a call gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The service was not reached, or the connection broke.
    #[error("{method} {url}: no answer")]
    Unreachable {
        /// Method of the call.
        method: Method,
        /// Its URL.
        url: String,
        /// What happened.
        #[source]
        source: reqwest::Error,
    },
    /// The service said no.
    #[error("{method} {url}: {problem}")]
    Refused {
        /// Method of the call.
        method: Method,
        /// Its URL.
        url: String,
        /// What the service said.
        problem: Box<Problem>,
    },
    /// The answer is not what the contract promises.
    #[error("{method} {url}: the answer is not understood: {reason}")]
    Malformed {
        /// Method of the call.
        method: Method,
        /// Its URL.
        url: String,
        /// Where it deviates.
        reason: String,
    },
}

/// What is to be explained.
#[derive(Serialize)]
struct Explained<'a> {
    url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sticky: Option<&'a str>,
}

/// A call under construction.
struct Call {
    method: Method,
    url: Url,
    request: RequestBuilder,
}

// === impl ClientError ===

impl ClientError {
    /// The HTTP status of a refusal.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { problem, .. } => Some(problem.status),
            Self::Unreachable { .. } | Self::Malformed { .. } => None,
        }
    }

    /// Whether the same call may succeed later: no answer, 429, 5xx other than 501, or a name that nobody has
    /// registered yet.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { problem, .. } => {
                problem.status == 429 || (problem.status >= 500 && problem.status != 501) || self.is_unknown_name()
            }
            Self::Malformed { .. } => false,
        }
    }

    /// Whether the service said that there is no such thing. A bare 404 of something in between does not say it.
    fn is_absent(&self) -> bool {
        match self {
            Self::Refused { problem, .. } => problem.status == 404 && problem.slug() == "not-found",
            Self::Unreachable { .. } | Self::Malformed { .. } => false,
        }
    }

    /// Whether the router, and not the service, said no: a service that has not come up is not a resource that does
    /// not exist.
    #[must_use]
    pub fn is_unknown_name(&self) -> bool {
        match self {
            Self::Refused { problem, .. } => problem.slug() == "unknown-name",
            Self::Unreachable { .. } | Self::Malformed { .. } => false,
        }
    }
}

// === impl Client ===

/// Without the token, which must not get into a log.
impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { transport: _, router, token, tenant, deadline } = self;
        f.debug_struct("Client")
            .field("router", &router.as_str())
            .field("token", &token.as_ref().map(|_| "[redacted]"))
            .field("tenant", tenant)
            .field("deadline", deadline)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the services behind `router` (for example `http://127.0.0.1:8080`).
    #[must_use]
    pub fn new(router: Url, token: Option<String>) -> Self {
        Self::over(Transport::default(), router, token)
    }

    /// The same over connections of the caller's making: those of a part that shows its certificate.
    #[must_use]
    pub fn over(transport: Transport, mut router: Url, token: Option<String>) -> Self {
        // What follows the path of a URL that somebody copied (`/?token=…`) is no part of every call.
        router.set_query(None);
        router.set_fragment(None);
        Self { transport, router, token, tenant: None, deadline: DEADLINE }
    }

    /// The same client with another deadline for each call.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The same client, acting for `tenant`: for services, whose credential allows it.
    #[must_use]
    pub fn for_tenant(&self, tenant: &str) -> Self {
        Self { tenant: Some(tenant.to_owned()), ..self.clone() }
    }

    /// The router that it speaks to.
    #[must_use]
    pub fn router(&self) -> &Url {
        &self.router
    }

    /// The URL of `path` (no leading slash) at the service called `name`, in the form that every client can resolve.
    #[must_use]
    pub fn url(&self, name: &str, path: &str) -> Url {
        let mut url = self.router.clone();
        url.set_path(&format!("/~{name}/{path}"));
        url
    }

    /// A raw request to the service called `name`, with the credential but without a deadline: for streams.
    pub fn request(&self, method: Method, name: &str, path: &str) -> RequestBuilder {
        self.authorised(method, self.url(name, path))
    }

    fn authorised(&self, method: Method, url: Url) -> RequestBuilder {
        let mut request = self.transport.http().request(method, url);
        if let Some(tenant) = &self.tenant {
            request = request.header("flame-tenant", tenant);
        }
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    fn call(&self, method: Method, name: &str, path: &str) -> Call {
        self.call_url(method, self.url(name, path))
    }

    fn call_url(&self, method: Method, url: Url) -> Call {
        let request = self.authorised(method.clone(), url.clone()).timeout(self.deadline);
        Call { method, url, request }
    }

    fn router_call(&self, method: Method, path: &str) -> Call {
        let mut url = self.router.clone();
        url.set_path(&format!("/api/router/{path}"));
        self.call_url(method, url)
    }

    // --- ingest ---

    /// What became of an upload, or `None` where there is none.
    pub async fn upload(&self, id: Uuid) -> Result<Option<Upload>, ClientError> {
        self.call(Method::GET, "ingest", &format!("uploads/{id}")).json_or_none().await
    }

    /// A page of uploads, newest first.
    pub async fn uploads(&self, query: &PageQuery) -> Result<Page<Upload>, ClientError> {
        self.call(Method::GET, "ingest", "uploads").query(query).json().await
    }

    /// Starts a pull from a URL.
    pub async fn pull(&self, pull: &NewPull) -> Result<Upload, ClientError> {
        self.call(Method::POST, "ingest", "pulls").body(pull).json().await
    }

    /// Whether what is stored is what it was.
    pub async fn scrub(&self) -> Result<Scrub, ClientError> {
        self.call(Method::GET, "ingest", "scrub").json().await
    }

    /// Has all that is stored read and compared.
    pub async fn begin_scrub(&self) -> Result<Scrub, ClientError> {
        self.call(Method::POST, "ingest", "scrub").json().await
    }

    // --- router ---

    /// Registers an endpoint behind `name`, or renews its lease.
    pub async fn register(&self, name: &str, endpoint: &str, body: &Registration) -> Result<Endpoint, ClientError> {
        self.router_call(Method::PUT, &format!("endpoints/{name}/{endpoint}")).body(body).json().await
    }

    /// Joins with a token, or renews the certificate that the connection shows.
    pub async fn certificate(&self, body: &CertificateRequest) -> Result<Certificate, ClientError> {
        self.router_call(Method::POST, "certificates").body(body).json().await
    }

    /// Lets an endpoint leave, as it does itself when it stops; `false` where there was none.
    pub async fn deregister(&self, name: &str, endpoint: &str) -> Result<bool, ClientError> {
        self.router_call(Method::DELETE, &format!("endpoints/{name}/{endpoint}")).done_or_none().await
    }

    /// Lets an endpoint get no new requests; `false` where there is none at the router's site.
    pub async fn drain(&self, name: &str, endpoint: &str) -> Result<bool, ClientError> {
        self.router_call(Method::POST, &format!("endpoints/{name}/{endpoint}/drain")).done_or_none().await
    }

    /// Takes an endpoint out for good and ends its open requests; `false` where there is none at the router's site.
    pub async fn kill(&self, name: &str, endpoint: &str) -> Result<bool, ClientError> {
        self.router_call(Method::POST, &format!("endpoints/{name}/{endpoint}/kill")).done_or_none().await
    }

    /// Lets an endpoint that drains or stands by get requests; `false` where there is none at the router's site.
    pub async fn connect(&self, name: &str, endpoint: &str) -> Result<bool, ClientError> {
        self.router_call(Method::POST, &format!("endpoints/{name}/{endpoint}/connect")).done_or_none().await
    }

    /// All endpoints as the router sees them.
    pub async fn routes(&self) -> Result<Page<Route>, ClientError> {
        self.router_call(Method::GET, "routes").json().await
    }

    /// Where a request for `url` would go now, and why; `None` where it is for nobody. `sticky` is what the cookie, field or
    /// argument of a sticky name would say.
    pub async fn explain(&self, url: &str, sticky: Option<&str>) -> Result<Option<Explanation>, ClientError> {
        self.router_call(Method::GET, "explain").query(&Explained { url, sticky }).json_or_none().await
    }

    /// What did not go straight through: events after number `after`, and counts since the router's start.
    pub async fn activity(&self, after: u64) -> Result<Activity, ClientError> {
        self.router_call(Method::GET, "activity").query(&[("after", after)]).json().await
    }

    /// All endpoints that the router knows.
    pub async fn endpoints(&self) -> Result<Page<Endpoint>, ClientError> {
        self.router_call(Method::GET, "endpoints").json().await
    }
}

// === impl Call ===

impl Call {
    fn body(mut self, body: &impl Serialize) -> Self {
        self.request = self.request.json(body);
        self
    }

    /// A body of another type than JSON.
    fn text(mut self, kind: &'static str, body: String) -> Self {
        self.request = self.request.header(header::CONTENT_TYPE, kind).body(body);
        self
    }

    fn query(mut self, query: &impl Serialize) -> Self {
        self.request = self.request.query(query);
        self
    }

    fn header(mut self, name: header::HeaderName, value: String) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    async fn json<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        let (method, url) = (self.method.clone(), self.url.to_string());
        let answer = self.send().await?;
        decode(method, url, answer).await
    }

    async fn json_or_none<T: DeserializeOwned>(self) -> Result<Option<T>, ClientError> {
        or_none(self.json().await)
    }

    async fn done_or_none(self) -> Result<bool, ClientError> {
        Ok(or_none(self.send().await)?.is_some())
    }

    async fn send(self) -> Result<Response, ClientError> {
        let (method, url) = (self.method, self.url.to_string());
        let answer = self.request.send().await.map_err(|source| ClientError::Unreachable {
            method: method.clone(),
            url: url.clone(),
            source,
        })?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let body = bounded(&method, &url, answer).await?;
        Err(ClientError::Refused { method, url, problem: Box::new(problem(status, &body)) })
    }
}

fn or_none<T>(answer: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads the answer of a raw [`Client::request`] as JSON, or as the problem that it is.
pub async fn read_json<T: DeserializeOwned>(method: Method, answer: Response) -> Result<T, ClientError> {
    let url = answer.url().to_string();
    let status = answer.status();
    if status.is_success() {
        return decode(method, url, answer).await;
    }
    let body = bounded(&method, &url, answer).await?;
    Err(ClientError::Refused { method, url, problem: Box::new(problem(status, &body)) })
}

async fn decode<T: DeserializeOwned>(method: Method, url: String, answer: Response) -> Result<T, ClientError> {
    let body = bounded(&method, &url, answer).await?;
    serde_json::from_slice(&body).map_err(|error| ClientError::Malformed { method, url, reason: error.to_string() })
}

async fn bounded(method: &Method, url: &str, answer: Response) -> Result<Vec<u8>, ClientError> {
    let mut body = Vec::new();
    let mut chunks = answer.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk =
            chunk.map_err(|source| ClientError::Unreachable { method: method.clone(), url: url.to_owned(), source })?;
        if body.len() + chunk.len() > BODY_MAX_BYTES {
            let reason = format!("longer than {BODY_MAX_BYTES} bytes");
            return Err(ClientError::Malformed { method: method.clone(), url: url.to_owned(), reason });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn problem(status: StatusCode, body: &[u8]) -> Problem {
    Problem::read(status.as_u16(), status.canonical_reason().unwrap_or("refused"), body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, body: &str) -> ClientError {
        let status = StatusCode::from_u16(status).unwrap();
        let problem = Box::new(problem(status, body.as_bytes()));
        ClientError::Refused { method: Method::GET, url: "http://x/".to_owned(), problem }
    }

    #[test]
    fn only_a_service_that_says_so_makes_something_absent() {
        let body = |slug: &str, status: u16| serde_json::to_string(&Problem::new(status, slug, "t", "d")).unwrap();
        assert!(or_none::<()>(Err(refused(404, &body("not-found", 404)))).unwrap().is_none());
        for other in [
            refused(404, &body("unknown-name", 404)),
            refused(404, "<h1>not found</h1>"),
            refused(500, &body("not-found", 404)),
        ] {
            assert!(or_none::<()>(Err(other)).is_err());
        }
        assert!(refused(503, &body("not-found", 404)).is_transient());
    }

    #[test]
    fn a_client_does_not_print_its_token() {
        let client = Client::new("http://127.0.0.1:8080/".parse().unwrap(), Some("s3cret".to_owned()));
        let text = format!("{client:?} {:?}", client.for_tenant("acme"));
        assert!(!text.contains("s3cret") && text.contains("[redacted]"), "{text}");
    }

    #[test]
    fn a_router_url_is_taken_without_its_query() {
        let client = Client::new("http://127.0.0.1:8080/?token=x#y".parse().unwrap(), None);
        assert_eq!(client.url("metadata", "assets").as_str(), "http://127.0.0.1:8080/~metadata/assets");
    }
}
