//! The sockets of a link: datagrams of one length go out together, and come in together, with one call of the system.
//!
//! The kernel carries such a bundle to every member as one piece (UDP GSO and GRO) and cuts it where the link needs it
//! cut. Sent singly, each datagram costs its sender the way to all members, and each member a waking up. A link that
//! does not take bundles (its frames are too short, or the device cannot) gets datagrams singly.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::pool::PoolConfig;

/// Most datagrams of a bundle.
pub(crate) const BUNDLE_MAX: usize = 16;
/// A bundle is no longer than what the link carries in this time: what follows it on the link waits no longer, and where
/// one is lost as a whole (on a machine's own bridge) not too much is lost at once.
const BUNDLE_TIME: Duration = Duration::from_micros(500);
/// Bundles that are read with one call.
const READS: usize = 4;
/// Room for one of them: what a device put together may be as long as a datagram can be.
const READ_BYTES: usize = u16::MAX as usize;

/// Where datagrams go out.
#[derive(Debug)]
pub(crate) struct Mouth {
    bundles: UdpSocket,
    state: UdpSocketState,
    /// Has no offload set, and may be fragmented.
    singly: UdpSocket,
    takes_bundles: AtomicBool,
}

/// Where the datagrams of one group come in.
#[derive(Debug)]
pub(crate) struct Ear {
    socket: UdpSocket,
    state: UdpSocketState,
    room: Mutex<Vec<u8>>,
}

/// How many datagrams of `length` octets, headers counted, make a bundle on a link of `rate_bps`.
pub(crate) fn bundle(rate_bps: u64, length: usize) -> usize {
    let octets = u128::from(rate_bps / 8) * BUNDLE_TIME.as_micros() / 1_000_000;
    usize::try_from(octets).unwrap_or(usize::MAX).checked_div(length).unwrap_or(1).clamp(1, BUNDLE_MAX)
}

// === impl Mouth ===

impl Mouth {
    pub(crate) fn open(config: &PoolConfig) -> io::Result<Self> {
        let (bundles, singly) = (mouth(config)?, mouth(config)?);
        let state = UdpSocketState::new(UdpSockRef::from(&bundles))?;
        let takes_bundles = AtomicBool::new(state.max_gso_segments() >= BUNDLE_MAX);
        Ok(Self { bundles, state, singly, takes_bundles })
    }

    /// Sends datagrams that lie behind each other, each of `length` octets and at most [`BUNDLE_MAX`] of them.
    pub(crate) async fn send(&self, group: SocketAddrV4, datagrams: &[u8], length: usize) -> io::Result<()> {
        let destination = SocketAddr::V4(group);
        if datagrams.len() > length && self.takes_bundles.load(Ordering::Relaxed) {
            let bundle =
                Transmit { destination, ecn: None, contents: datagrams, segment_size: Some(length), src_ip: None };
            let send = || self.state.try_send(UdpSockRef::from(&self.bundles), &bundle);
            match self.bundles.async_io(Interest::WRITABLE, send).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    tracing::info!(%error, "the link takes datagrams only singly");
                    self.takes_bundles.store(false, Ordering::Relaxed);
                }
            }
        }
        for datagram in datagrams.chunks(length) {
            self.singly.send_to(datagram, destination).await?;
        }
        Ok(())
    }
}

// === impl Ear ===

impl Ear {
    pub(crate) fn open(group: SocketAddrV4, config: &PoolConfig) -> io::Result<Self> {
        let socket = ear(group, config)?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        Ok(Self { socket, state, room: Mutex::new(vec![0; READS * READ_BYTES]) })
    }

    /// Waits until something is there.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Gives what is there to `take`, until nothing is left or at least `most` datagrams were taken.
    pub(crate) fn drain(&self, most: usize, mut take: impl FnMut(&mut [u8])) {
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = 0;
        while taken < most {
            let mut metas = [RecvMeta::default(); READS];
            let mut rooms = room.chunks_mut(READ_BYTES);
            let mut slices: [IoSliceMut<'_>; READS] =
                std::array::from_fn(|_| IoSliceMut::new(rooms.next().expect("there is room for each")));
            let read = self.socket.try_io(Interest::READABLE, || {
                self.state.recv(UdpSockRef::from(&self.socket), &mut slices, &mut metas)
            });
            match read {
                Ok(bundles) => {
                    for (meta, slice) in metas.iter().zip(&mut slices).take(bundles) {
                        for datagram in slice[..meta.len].chunks_mut(meta.stride.max(1)) {
                            take(datagram);
                            taken += 1;
                        }
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // An error of one datagram is not one of the socket.
                Err(error) => {
                    tracing::debug!(%error, "a datagram was not read");
                    taken += 1;
                }
            }
        }
    }
}

fn ear(group: SocketAddrV4, config: &PoolConfig) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    // Several routers on one machine hear the same groups.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(config.receive_buffer_bytes)?;
    // Bound to the group, not to every address: what is sent to another group's port is not for this one.
    socket.bind(&SocketAddr::V4(group).into())?;
    socket.set_multicast_all_v4(false)?;
    socket.join_multicast_v4(group.ip(), &config.interface)?;
    UdpSocket::from_std(socket.into())
}

fn mouth(config: &PoolConfig) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.set_multicast_if_v4(&config.interface)?;
    socket.set_multicast_ttl_v4(config.ttl)?;
    // Other routers on this machine are members like others.
    socket.set_multicast_loop_v4(true)?;
    socket.bind(&SocketAddr::from((config.interface, 0)).into())?;
    UdpSocket::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn config() -> PoolConfig {
        PoolConfig {
            groups: vec![SocketAddrV4::new(Ipv4Addr::new(239, 255, 70, 77), 0)],
            interface: Ipv4Addr::LOCALHOST,
            rate_bps: 1_000_000_000,
            ttl: 1,
            receive_buffer_bytes: 1 << 20,
        }
    }

    async fn arrive(mouth: &Mouth, ear: &Ear) -> Vec<Vec<u8>> {
        let group = ear.socket.local_addr().unwrap();
        let SocketAddr::V4(group) = group else { unreachable!("an IPv4 socket") };
        let sent: Vec<u8> = (0..BUNDLE_MAX).flat_map(|at| vec![u8::try_from(at).unwrap(); 1000]).collect();
        mouth.send(group, &sent, 1000).await.unwrap();
        let mut heard = Vec::new();
        while heard.len() < BUNDLE_MAX {
            tokio::time::timeout(Duration::from_secs(10), ear.readable()).await.expect("datagrams arrive").unwrap();
            ear.drain(64, |datagram| heard.push(datagram.to_vec()));
        }
        heard
    }

    #[tokio::test]
    async fn what_is_sent_together_arrives_as_single_datagrams_whether_bundled_or_not() {
        let config = config();
        let (mouth, ear) = (Mouth::open(&config).unwrap(), Ear::open(config.groups[0], &config).unwrap());
        let sent: Vec<Vec<u8>> = (0..BUNDLE_MAX).map(|at| vec![u8::try_from(at).unwrap(); 1000]).collect();
        assert_eq!(arrive(&mouth, &ear).await, sent);
        mouth.takes_bundles.store(false, Ordering::Relaxed);
        assert_eq!(arrive(&mouth, &ear).await, sent);
    }

    #[test]
    fn a_bundle_is_half_a_millisecond_of_its_link() {
        let of = |mbit: u64| bundle(mbit * 1_000_000, 1500);
        assert_eq!([of(1), of(24), of(48), of(190), of(400), of(10_000)], [1, 1, 2, 7, 16, 16]);
        assert_eq!(bundle(u64::MAX, 0), 1);
    }

    #[tokio::test]
    async fn a_link_that_takes_no_bundles_gets_datagrams_singly() {
        let config = config();
        let (mouth, ear) = (Mouth::open(&config).unwrap(), Ear::open(config.groups[0], &config).unwrap());
        let SocketAddr::V4(group) = ear.socket.local_addr().unwrap() else { unreachable!("an IPv4 socket") };
        // A bundle of datagrams that no IPv4 packet holds: the kernel refuses it.
        let refused = mouth.send(group, &vec![0; 4 * 40_000], 40_000).await;
        assert!(refused.is_ok() && !mouth.takes_bundles.load(Ordering::Relaxed), "{refused:?}");
    }
}
