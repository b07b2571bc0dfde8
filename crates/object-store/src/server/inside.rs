//! The server for callers in its own process: the same signed requests, without a socket in between.
//!
//! Ingest hosts the server and brings most of its bytes; over loopback each of them would go into the kernel and out again.
//! What is sent, signed, checked and answered is the same as over the network, so nothing can come to rely on it.

use std::fmt;
use std::sync::{Arc, Weak};

use aws_sdk_s3::config::{HttpClient, RuntimeComponents};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use http::HeaderValue;
use http::header::HOST;
use s3s::service::S3Service;
use s3s::{Body, StdError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// An HTTP client whose only host is the embedded server.
#[derive(Clone)]
pub(crate) struct Inside {
    /// Its owner is the server's task: the folder is released when that ends, whoever still holds a client.
    service: Weak<S3Service>,
    /// The requests under way: the server waits for them when it stops.
    calls: TaskTracker,
    stop: CancellationToken,
}

// === impl Inside ===

impl Inside {
    pub(super) fn new(service: &Arc<S3Service>, calls: TaskTracker, stop: CancellationToken) -> Self {
        Self { service: Arc::downgrade(service), calls, stop }
    }
}

impl HttpClient for Inside {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Inside {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Self { service, calls, stop } = self.clone();
        let call = calls.track_future(async move {
            let service = service.upgrade().filter(|_| !stop.is_cancelled());
            let Some(service) = service else {
                return Err(ConnectorError::io("the embedded object store has stopped".into()));
            };
            let mut request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            // The signature covers Host, which a client of sockets adds when it sends.
            let host = request.uri().authority().map(|authority| HeaderValue::from_str(authority.as_str()));
            let host = host.transpose().map_err(|error| ConnectorError::user(error.into()))?;
            host.and_then(|host| request.headers_mut().insert(HOST, host));
            let answer = service.call(request.map(Body::http_body)).await.map_err(broken)?;
            HttpResponse::try_from(answer.map(SdkBody::from_body_1_x)).map_err(broken)
        });
        HttpConnectorFuture::new(call)
    }
}

fn broken(error: impl Into<StdError>) -> ConnectorError {
    ConnectorError::other(error.into(), None)
}

impl fmt::Debug for Inside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inside").finish_non_exhaustive()
    }
}
