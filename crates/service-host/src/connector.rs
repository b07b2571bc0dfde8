//! The asking side of TLS, for clients that make their own requests: connections to whoever has a certain name in its
//! certificate, wherever it listens.
//!
//! The name stands in the URL before the address, `https://main.media.default.name.flame.internal;3@192.0.2.7:7001/x`: so
//! a pool keeps connections of different names apart though they lead to one address, and a name is verified before
//! anything is sent. The number is that of the own certificate: connections that showed an older one are not used again.

use axum::http::Uri;
use axum::http::uri::Authority;
use flame_credentials::{Current, IdentityError, tls};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, ResolveServerName};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::pki_types::ServerName;

use crate::connecting::Connecting;

/// Makes plain and TLS connections.
pub type Connector = HttpsConnector<Connecting>;

/// Reads the name that a URL says is expected.
#[derive(Debug)]
struct Expected;

/// Connects as `http` does; and over TLS, showing the certificate in force, if there is one. Without one nobody's
/// certificate is believed.
pub fn connector(mut http: HttpConnector, own: Option<&Current>) -> Result<Connector, IdentityError> {
    http.enforce_http(false);
    let config = match own {
        Some(own) => own.client()?,
        None => tls::believing_nobody()?,
    };
    let builder = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http();
    Ok(builder.with_server_name_resolver(Expected).enable_http1().wrap_connector(Connecting(http)))
}

/// The authority of a URL for `address` (`host:port`), where somebody with `name` in its certificate is expected.
#[must_use]
pub fn expecting(name: &str, own: Option<&Current>, address: &str) -> Option<Authority> {
    format!("{name};{}@{address}", own.map_or(0, Current::serial)).parse().ok()
}

impl ResolveServerName for Expected {
    fn resolve(&self, uri: &Uri) -> Result<ServerName<'static>, Box<dyn std::error::Error + Sync + Send>> {
        let authority = uri.authority().map(Authority::as_str).unwrap_or_default();
        let (expected, _) = authority.rsplit_once('@').ok_or("the URL does not say whose certificate is expected")?;
        let name = expected.split(';').next().unwrap_or_default();
        Ok(ServerName::try_from(name.to_owned())?)
    }
}
