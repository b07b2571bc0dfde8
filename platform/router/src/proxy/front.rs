//! Which requests are passed on: those that are for a service, if there is no doubt about what they are. The router's own
//! go on to its page and API; what is in doubt is refused here. Nothing is asked of an endpoint yet.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::uri::{Authority, Scheme};
use axum::http::{HeaderValue, Method, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use flame_naming::{Asked, Target};
use flame_service_host::{Encrypted, Failure, Front, Taken};

use super::fault::Fault;
use super::{Parties, Proxy};
use crate::session::Sessions;

// === impl Proxy ===

impl Proxy {
    /// Takes every request that is not for the router itself.
    pub(crate) fn front(self, sessions: Sessions) -> Front {
        Arc::new(move |request| {
            let target = match self.decide(request) {
                Ok(target) => target,
                Err(fault) => return Some(at_once(move || Failure::from(fault).into_response())),
            };
            let session = sessions.take(&target, request);
            match target {
                Target::Own => None,
                Target::Slash(to) => Some(at_once(move || slash(&to))),
                Target::Service(forward) => {
                    let proxy = self.clone();
                    Some(Box::new(move |request| {
                        Box::pin(async move {
                            let mut answer = proxy.pass_on(forward, request).await;
                            session.confine(&mut answer);
                            answer
                        })
                    }))
                }
            }
        })
    }
}

// === impl Parties ===

impl Parties {
    /// Who the request is for, if there is no doubt about what it is.
    fn decide(&self, request: &Request) -> Result<Target, Fault> {
        let (uri, fields) = (request.uri(), request.headers());
        if *request.method() == Method::CONNECT {
            return Err(Fault::Connect);
        }
        let mut hosts = fields.get_all(header::HOST).iter();
        let host = hosts.next().map(HeaderValue::to_str).transpose();
        let host = host.map_err(|_| Fault::Malformed("Host has other characters than a host may have"))?;
        if hosts.next().is_some() || (host.is_none() && request.version() >= Version::HTTP_11) {
            return Err(Fault::Malformed("send exactly one Host field"));
        }
        let own = if request.extensions().get::<Encrypted>().is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        if uri.scheme().is_some_and(|scheme| *scheme != Scheme::HTTP && *scheme != own) {
            return Err(Fault::Malformed("only http:// can be asked for in absolute form, and https:// over TLS"));
        }
        let authority = uri.authority().map(Authority::as_str);
        let asked = Asked { authority, host, path: uri.path(), query: uri.query() };
        Ok(self.territory.target(&asked)?)
    }
}

fn at_once(answer: impl FnOnce() -> Response + Send + 'static) -> Taken {
    Box::new(move |_| Box::pin(async move { answer() }))
}

fn slash(to: &str) -> Response {
    match HeaderValue::from_str(to) {
        Ok(location) => (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, location)]).into_response(),
        Err(_) => Failure::bad_request("the path cannot be sent back").into_response(),
    }
}
