//! Where a pull may go: the guard against being sent to our own inner network (SSRF).
//!
//! A URL is judged three times: by itself, when its name is resolved (only judged addresses are handed to the connection,
//! so a name that answers differently the second time gains nothing), and by the address that was in fact connected to.
//! Every redirect begins anew.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Longest URL in bytes.
const URL_MAX_BYTES: usize = 2048;

/// Resolves names to public addresses only.
#[derive(Debug, Clone, Copy)]
pub struct GuardedResolver {
    /// Whether private addresses are as good as others.
    pub allow_private: bool,
}

/// Why a pull may not go there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not a URL that can be pulled from.
    #[error("the URL cannot be pulled from: {0}")]
    Url(String),
    /// It leads inside.
    #[error(
        "{host} leads to the private address {address}; this service pulls from public addresses only (`flame up --allow-private-pulls` lets it)"
    )]
    Private {
        /// The host.
        host: String,
        /// Its address.
        address: IpAddr,
    },
    /// It leads nowhere.
    #[error("{host} has no address")]
    Unresolved {
        /// The host.
        host: String,
    },
}

/// Reads a URL and judges what can be seen in it.
pub fn check_url(text: &str, allow_private: bool) -> Result<Url, AddressError> {
    if text.len() > URL_MAX_BYTES {
        return Err(AddressError::Url(format!("it is longer than {URL_MAX_BYTES} bytes")));
    }
    let url = Url::parse(text).map_err(|error| AddressError::Url(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(AddressError::Url(format!("its scheme is `{}`, not http or https", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(AddressError::Url("it holds a password, which would be stored in plain".to_owned()));
    }
    let literal = match url.host() {
        Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
        Some(Host::Domain(_)) => None,
        None => return Err(AddressError::Url("it names no host".to_owned())),
    };
    match literal {
        Some(address) if !allow_private && !is_public(address) => {
            Err(AddressError::Private { host: address.to_string(), address })
        }
        Some(_) | None => Ok(url),
    }
}

/// Whether an address is one that anybody on the internet could reach (IANA special-purpose registries, RFC 6890).
/// Addresses that carry an IPv4 address in them are judged by that.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = match a {
        0 | 10 | 127 => true,         // this network, private, loopback
        100 => b & 0b1100_0000 == 64, // 100.64/10 carrier-grade NAT
        169 => b == 254,              // link-local, where clouds keep their secrets
        172 => b & 0b1111_0000 == 16, // private
        // 192.0.0/24 protocols, 192.0.2/24 documentation, 192.88.99/24 6to4 relays, 192.168/16 private
        192 => matches!((b, c), (0, 0 | 2) | (88, 99)) || b == 168,
        // 198.18/15 benchmarks, 198.51.100/24 documentation
        198 => b & 0b1111_1110 == 18 || (b, c) == (51, 100),
        203 => (b, c) == (0, 113), // documentation
        224.. => true,             // multicast, reserved, broadcast
        _ => false,
    };
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        [0, 0, 0, 0, 0, 0xffff, high, low] => embedded(high, low), // IPv4-mapped
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low), // NAT64
        [0x2002, high, low, ..] => embedded(high, low),            // 6to4
        // Teredo and the other protocol assignments, documentation
        [0x2001, second, ..] if second < 0x200 || second == 0xdb8 => false,
        [0x3fff, second, ..] if second < 0x1000 => false, // documentation
        // Global unicast is 2000::/3; loopback, ULA, link-local, site-local, multicast and all else lie outside.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

// === impl GuardedResolver ===

impl GuardedResolver {
    async fn addresses(self, host: String) -> Result<Vec<SocketAddr>, AddressError> {
        // Port 0: the connection puts in its own.
        let found = tokio::net::lookup_host((host.as_str(), 0)).await;
        let found: Vec<_> = found.map_err(|_| AddressError::Unresolved { host: host.clone() })?.collect();
        if found.is_empty() {
            return Err(AddressError::Unresolved { host });
        }
        // One private address among public ones is how rebinding is done: the whole name is refused.
        let private = found.iter().find(|address| !self.allow_private && !is_public(address.ip()));
        match private {
            Some(address) => Err(AddressError::Private { host, address: address.ip() }),
            None => Ok(found),
        }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let addresses = self.addresses(name.as_str().to_owned());
        Box::pin(async move {
            let addresses: Addrs = Box::new(addresses.await?.into_iter());
            Ok(addresses)
        })
    }
}

/// The resolver, as the HTTP client takes it.
#[must_use]
pub fn resolver(allow_private: bool) -> Arc<GuardedResolver> {
    Arc::new(GuardedResolver { allow_private })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_addresses_are_told_from_public_ones() {
        for inner in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.9",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:a00:1::",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
            "4000::1",
        ] {
            assert!(!is_public(inner.parse().unwrap()), "{inner}");
        }
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "93.184.216.34",
            "100.63.0.1",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "192.169.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn urls_are_judged_by_themselves() {
        for wrong in [
            "",
            "file:///etc/passwd",
            "ftp://example.org/a",
            "http://",
            "http://user:pw@example.org/",
            "http://127.0.0.1/",
            "http://127.1/",
            "http://0x7f000001/",
            "http://2130706433/",
            "http://0177.0.0.1/",
            "http://[::1]/",
            "http://[::ffff:169.254.169.254]/",
            "http://169.254.169.254/latest/meta-data",
        ] {
            assert!(check_url(wrong, false).is_err(), "{wrong}");
        }
        assert!(check_url("https://example.org/a.mp4?x=1", false).is_ok());
        assert!(check_url("http://127.0.0.1:9/a.mp4", true).is_ok());
        assert!(check_url("file:///etc/passwd", true).is_err());
    }

    #[tokio::test]
    async fn names_that_lead_inside_are_refused() {
        let guarded = GuardedResolver { allow_private: false };
        let refused = guarded.addresses("localhost".to_owned()).await.unwrap_err();
        assert!(matches!(refused, AddressError::Private { .. }), "{refused}");
        let open = GuardedResolver { allow_private: true };
        assert!(!open.addresses("localhost".to_owned()).await.unwrap().is_empty());
    }
}
