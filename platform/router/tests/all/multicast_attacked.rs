//! Somebody on the network of a group who hears everything and sends what he likes: the routers' clients notice nothing.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use flame_test_kit::eventually;
use tokio::net::UdpSocket;

use crate::multicast::{Origin, ask, body, measured, sites_of};

/// Hears everything that goes over `group`, and sends what `answer` makes of each packet, which it is shown once with its number:
/// its own packets come back to it as well, and it must not feed on them for ever.
async fn attack(group: SocketAddrV4, heard: Arc<AtomicUsize>, answer: fn(&[u8], usize) -> Vec<Vec<u8>>) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.set_recv_buffer_size(4 << 20).unwrap();
    socket.bind(&SocketAddr::V4(group).into()).unwrap();
    socket.join_multicast_v4(group.ip(), &Ipv4Addr::LOCALHOST).unwrap();
    let ear = UdpSocket::from_std(socket.into()).unwrap();
    let mouth = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    socket2::SockRef::from(&mouth).set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    let (own, mut buffer) = (mouth.local_addr().unwrap(), [0; 2048]);
    loop {
        let (length, from) = ear.recv_from(&mut buffer).await.unwrap();
        if from.port() != own.port() {
            for packet in answer(&buffer[..length], heard.fetch_add(1, Ordering::SeqCst)) {
                // A full queue drops a packet, as the network does.
                let _ = mouth.send_to(&packet, group).await;
            }
        }
    }
}

/// The packet again, twice.
fn replayed(packet: &[u8], _: usize) -> Vec<Vec<u8>> {
    vec![packet.to_vec(); 2]
}

/// The packet with a bit changed, at another place each time; one that claims to be far ahead; and its beginning alone.
fn forged(packet: &[u8], number: usize) -> Vec<Vec<u8>> {
    let (mut changed, mut ahead) = (packet.to_vec(), packet.to_vec());
    changed[number % packet.len()] ^= 1;
    // The sequence number follows the transfer's.
    ahead[4] ^= 0x40;
    vec![changed, ahead, packet[..number % packet.len()].to_vec()]
}

/// What is no packet at all, of every length.
fn nonsense(_: &[u8], number: usize) -> Vec<Vec<u8>> {
    vec![vec![0xEE; number % 1500], vec![0; number % 64]]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_and_replayed_packets_and_nonsense_change_nothing_for_the_clients_of_routers() {
    for answer in [replayed, forged, nonsense] {
        let (origin, group) = (Origin::start().await, OnceLock::new());
        let (_row, worlds) = sites_of(&origin.service, [true; 3], |config| {
            group.get_or_init(|| config.multicast.groups[0]);
        })
        .await;
        let heard = Arc::new(AtomicUsize::new(0));
        let attacker = tokio::spawn(attack(*group.get().unwrap(), Arc::clone(&heard), answer));
        let bodies = ask(&worlds[1..], "/~media/shared", 10, &origin, 1).await;
        assert!(bodies.len() == 20 && bodies.iter().all(|got| *got == body()), "a client got something else");
        assert_eq!(origin.asked(), 1);
        eventually(Duration::from_secs(10), || async {
            let size = measured(&worlds[0], "flame_multicast_group_size_sum").await;
            if size == 2.0 { Ok(()) } else { Err(format!("groups of {size} in all")) }
        })
        .await;
        assert!(heard.load(Ordering::SeqCst) > 100, "the attacker heard {heard:?} packets: the test shows nothing");
        attacker.abort();
    }
}
