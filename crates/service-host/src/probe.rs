//! `flame-<service> health`: the service's own program asks whether the service that runs beside it is ready. It is what images are
//! probed by, which hold no other program.
//!
//! It reads where the service listens, and nothing else of its configuration; it shows no token, and never changes anything.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use figment::Figment;
use flame_credentials::{Current, Identity, IdentityError};
use rustls::pki_types::ServerName;

use crate::problem::chain;

/// Time to connect, and for each read and write.
const PATIENCE: Duration = Duration::from_secs(2);
/// What is read of an answer; the first line says all.
const ANSWER_MAX_BYTES: u64 = 4096;
const REQUEST: &[u8] = b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Why a service is not known to be ready.
#[derive(Debug, thiserror::Error)]
enum NotReady {
    /// The configuration does not say where it listens.
    #[error("[host] listen says no port, so nobody knows where to ask")]
    NoPort,
    /// The configuration cannot be read.
    #[error("where it listens is not known: {0}")]
    Configuration(Box<figment::Error>),
    /// Nobody takes the connection, or the answer breaks off.
    #[error("{0} does not answer")]
    Silent(SocketAddr, #[source] io::Error),
    /// It speaks TLS, and its own certificate cannot be used.
    #[error("its certificate")]
    Certificate(#[from] IdentityError),
    /// It answers something else.
    #[error("it answers {0}")]
    Answered(String),
}

/// Asks, says what came of it, and gives the exit status: 0 if the service is ready, 1 if not.
pub(crate) fn run(configuration: &Figment) -> i32 {
    let outcome = ask(configuration);
    match &outcome {
        Ok(()) => println!("ready"),
        Err(error) => eprintln!("not ready: {}", chain(error)),
    }
    i32::from(outcome.is_err())
}

fn ask(configuration: &Figment) -> Result<(), NotReady> {
    let listen: SocketAddr =
        configuration.extract_inner("host.listen").map_err(|error| NotReady::Configuration(Box::new(error)))?;
    if listen.port() == 0 {
        return Err(NotReady::NoPort);
    }
    let address = SocketAddr::new(own(listen.ip()), listen.port());
    let silent = |source| NotReady::Silent(address, source);
    let stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(silent)?;
    stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE))).map_err(silent)?;
    let answer = match configuration.extract_inner::<PathBuf>("host.tls.folder") {
        Ok(folder) => {
            let identity =
                Identity::read(&folder)?.ok_or_else(|| IdentityError::Unusable("there is none".to_owned()))?;
            exchange(secured(identity, stream)?)
        }
        Err(_) => exchange(stream),
    };
    let answer = answer.map_err(silent)?;
    let line = answer.lines().next().unwrap_or_default();
    let status = line.split(' ').nth(1).unwrap_or_default();
    if status == "200" { Ok(()) } else { Err(NotReady::Answered(line.to_owned())) }
}

/// Where a listener on all addresses is reached from here.
fn own(listening: IpAddr) -> IpAddr {
    match listening {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

/// TLS to a listener that shows the same certificate.
fn secured(identity: Identity, stream: TcpStream) -> Result<impl Read + Write + fmt::Debug, IdentityError> {
    let unusable = |error: &dyn fmt::Display| IdentityError::Unusable(error.to_string());
    let name = identity.standing.dns_names().swap_remove(0);
    let config = Current::new(identity).client_expecting(&name)?;
    let name = ServerName::try_from(name).map_err(|error| unusable(&error))?;
    let connection = rustls::ClientConnection::new(Arc::new(config), name).map_err(|error| unusable(&error))?;
    Ok(rustls::StreamOwned::new(connection, stream))
}

fn exchange(mut stream: impl Read + Write) -> io::Result<String> {
    stream.write_all(REQUEST)?;
    let mut answer = Vec::new();
    // Whoever closes without a farewell has said the first line all the same.
    let read = stream.take(ANSWER_MAX_BYTES).read_to_end(&mut answer);
    if answer.is_empty() { read.map(|_| String::new()) } else { Ok(String::from_utf8_lossy(&answer).into_owned()) }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use figment::providers::{Format, Toml};

    use super::*;

    fn asked(listen: SocketAddr) -> Result<(), NotReady> {
        ask(&Figment::from(Toml::string(&format!("[host]\nlisten = \"{listen}\""))))
    }

    #[test]
    fn only_who_says_200_is_ready() {
        for (answer, wanted) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nready\n", None),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", Some("it answers HTTP/1.1 503 Service Unavailable")),
            ("", Some("it answers ")),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let served = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; REQUEST.len()];
                stream.read_exact(&mut request).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
                request == *REQUEST
            });
            let said = asked(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()));
            assert_eq!(said.err().map(|error| error.to_string()).as_deref(), wanted);
            assert!(served.join().unwrap());
        }
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(matches!(asked(gone), Err(NotReady::Silent(at, _)) if at == gone));
        assert!(matches!(asked("127.0.0.1:0".parse().unwrap()), Err(NotReady::NoPort)));
        assert!(matches!(ask(&Figment::new()), Err(NotReady::Configuration(_))));
    }
}
