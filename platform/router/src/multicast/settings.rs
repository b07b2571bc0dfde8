//! What is configured of multicast. Groups are of IPv4, and so is the interface that leads to them: routers may reach each other by
//! IPv6, and then what goes to all of them at once goes by IPv4 all the same. What is not so is refused where it is read, in words.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;

use flame_service_host::config::Bytes;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

/// `[multicast]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MulticastConfig {
    /// The switch: without it every answer goes by unicast.
    pub enabled: bool,
    /// The groups, of IPv4 also where routers reach each other by IPv6; all routers have the same, in the same order.
    #[serde(deserialize_with = "groups")]
    pub groups: Vec<SocketAddrV4>,
    /// The IPv4 address of the interface that leads to the other routers.
    #[serde(deserialize_with = "interface")]
    pub interface: Ipv4Addr,
    /// What may go to the groups together, headers counted.
    pub rate_mbps: u32,
    /// Routers of the network that a packet may pass, plus one.
    pub ttl: u32,
    /// Receive buffer of each group's socket; `net.core.rmem_max` may allow less.
    pub receive_buffer: Bytes,
    /// Answers held at once, sent and received; further ones go by unicast.
    pub memory: Bytes,
    /// Longest answer that is shared as a whole: a router at the edge holds it while a client reads it. Of one that states no length no
    /// more than that is held. All that states none takes half of `memory` at most, what states one three quarters.
    pub body_max: Bytes,
    /// Routers in one group.
    pub members: usize,
    /// Folder with the keys that sign surrogates' tokens (scope `service`): who shows one shares with others who do what is for
    /// surrogates. Without it `[host.auth] keys`; without either, who shows a credential shares nothing.
    pub surrogates: Option<PathBuf>,
}

impl Default for MulticastConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            groups: (1..=4).map(|last| SocketAddrV4::new(Ipv4Addr::new(239, 255, 70, last), 7070)).collect(),
            interface: Ipv4Addr::LOCALHOST,
            rate_mbps: 400,
            ttl: 1,
            receive_buffer: Bytes(4 << 20),
            memory: Bytes(256 << 20),
            body_max: Bytes(16 << 20),
            members: 64,
            surrogates: None,
        }
    }
}

fn groups<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<SocketAddrV4>, D::Error> {
    let all = Vec::<SocketAddr>::deserialize(from)?;
    all.into_iter().map(|group| group_of(group).map_err(D::Error::custom)).collect()
}

fn group_of(group: SocketAddr) -> Result<SocketAddrV4, String> {
    match group {
        SocketAddr::V4(group) if group.ip().is_multicast() => Ok(group),
        SocketAddr::V4(group) => Err(format!(
            "{group} is no group of multicast: take one of 239.0.0.0/8, which stay within a site or an operator"
        )),
        SocketAddr::V6(group) => Err(format!(
            "{group} is of IPv6, and groups are of IPv4 (239.0.0.0/8), also where routers reach each other by IPv6"
        )),
    }
}

fn interface<'de, D: Deserializer<'de>>(from: D) -> Result<Ipv4Addr, D::Error> {
    match IpAddr::deserialize(from)? {
        IpAddr::V4(interface) => Ok(interface),
        IpAddr::V6(interface) => Err(D::Error::custom(format!(
            "{interface} is of IPv6: name the interface by its IPv4 address, as groups are of IPv4"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_their_interface_are_of_ipv4_and_others_are_refused_in_words() {
        let read = toml::from_str::<MulticastConfig>;
        let config = read("groups = ['239.255.1.1:7070']\ninterface = '10.0.0.1'").unwrap();
        assert_eq!(config.groups, ["239.255.1.1:7070".parse().unwrap()]);
        assert_eq!(config.interface, Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(read("").unwrap().groups.len(), 4);
        for (text, said) in [
            ("groups = ['[ff15::7070]:7070']", "[ff15::7070]:7070 is of IPv6, and groups are of IPv4 (239.0.0.0/8)"),
            ("groups = ['10.0.0.1:7070']", "10.0.0.1:7070 is no group of multicast"),
            ("groups = ['239.255.1.1']", "invalid socket address"),
            ("interface = '::1'", "::1 is of IPv6: name the interface by its IPv4 address"),
            ("interface = 'eth0'", "invalid IP address"),
        ] {
            let refused = read(text).unwrap_err().to_string();
            assert!(refused.contains(said), "{text}: {refused}");
        }
    }
}
