//! Where others reach a listener: what is registered for it.
//!
//! A listener on all addresses has none of its own. The one that this machine sends from towards its router is one that the router
//! reaches, in a container too, where addresses are not known before it runs. It never guesses: without a router, or a way to it,
//! it says so.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::{UdpSocket, lookup_host};
use url::Url;

/// A listener, and the router that is told of it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Whereabouts {
    /// What the configuration says, if it does.
    pub advertise: Option<SocketAddr>,
    /// What it listens on.
    pub bound: SocketAddr,
    /// Who is to reach it.
    pub router: Option<Url>,
}

// === impl Whereabouts ===

impl Whereabouts {
    /// The address that others are told. Asks the resolver for the router's where the listener is on all addresses; sends nothing.
    ///
    /// # Errors
    /// The router has no address, or there is no way to it from here.
    pub async fn address(&self) -> io::Result<SocketAddr> {
        if let Some(address) = self.advertise {
            return Ok(address);
        }
        if !self.bound.ip().is_unspecified() {
            return Ok(self.bound);
        }
        let nowhere = || io::Error::other("no router says from where it is reached: set `advertise`");
        let router = self.router.as_ref().ok_or_else(nowhere)?;
        let (host, port) = (router.host_str(), router.port_or_known_default());
        let (host, port) = host.zip(port).ok_or_else(nowhere)?;
        let mut missing = io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"));
        // As it stands in a URL, an IPv6 address is in brackets.
        for to in lookup_host((host.trim_matches(['[', ']']), port)).await? {
            match towards(to).await {
                Ok(ip) if self.bound.is_ipv6() || ip.is_ipv4() => return Ok(SocketAddr::new(ip, self.bound.port())),
                Ok(ip) => missing = io::Error::other(format!("it is reached from {ip}, and listens for IPv4 only")),
                Err(error) => missing = error,
            }
        }
        Err(missing)
    }
}

/// The address of this machine that leads to `to`: what the kernel takes for a socket that is connected, and sends nothing.
async fn towards(to: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = if to.is_ipv4() { [0, 0, 0, 0].into() } else { [0_u16; 8].into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(to).await?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(advertise: Option<&str>, bound: &str, router: Option<&str>) -> Whereabouts {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        Whereabouts {
            advertise: advertise.map(address),
            bound: address(bound),
            router: router.map(|url| url.parse().unwrap()),
        }
    }

    #[tokio::test]
    async fn what_is_said_wins_and_all_addresses_are_none() {
        let router = Some("http://127.0.0.1:8080/");
        for (advertise, bound, router, wanted) in [
            (Some("192.0.2.7:7010"), "0.0.0.0:7010", router, Some("192.0.2.7:7010")),
            (None, "192.0.2.8:7010", None, Some("192.0.2.8:7010")),
            (None, "0.0.0.0:7010", router, Some("127.0.0.1:7010")),
            (None, "[::]:7010", router, Some("127.0.0.1:7010")),
            (None, "0.0.0.0:7010", Some("http://localhost/"), Some("127.0.0.1:7010")),
            (None, "0.0.0.0:7010", Some("http://[::1]:8080/"), None),
            (None, "0.0.0.0:7010", Some("http://nobody.invalid/"), None),
            (None, "0.0.0.0:7010", None, None),
        ] {
            let found = listener(advertise, bound, router).address().await;
            assert_eq!(found.ok(), wanted.map(|text| text.parse().unwrap()), "{advertise:?} {bound} {router:?}");
        }
    }
}
