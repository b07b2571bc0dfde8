//! The listener's side of TLS: the handshake of one connection, and who is at its other end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use flame_credentials::Peer;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Makes TLS of connections. Cheap to clone.
#[derive(Clone)]
pub struct Acceptor {
    tls: TlsAcceptor,
    patience: Duration,
}

/// In the extensions of a request that came over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encrypted;

// === impl Acceptor ===

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acceptor").field("patience", &self.patience).finish_non_exhaustive()
    }
}

impl Acceptor {
    /// Handshakes as `config` says, which may take `patience`.
    #[must_use]
    pub fn new(config: Arc<ServerConfig>, patience: Duration) -> Self {
        Self { tls: TlsAcceptor::from(config), patience }
    }

    /// Shakes hands; and who the other one is by its certificate, if it shows one of a part.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<(TlsStream<TcpStream>, Option<Peer>)> {
        let shaken = tokio::time::timeout(self.patience, self.tls.accept(stream)).await;
        let stream = shaken.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let certificates = stream.get_ref().1.peer_certificates();
        let peer = certificates.and_then(|chain| Peer::of(chain.first()?));
        Ok((stream, peer))
    }
}
