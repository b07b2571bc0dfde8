//! Transfers on loopback: no privilege needed.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use flame_multicast::Broken;
use flame_multicast::reception::Counts;
use flame_naming::group::{Lack, Rules, SymbolSet};
use flame_test_kit::eventually;
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;

use crate::world::{LONG, Router, body, config, for_all, groups, join, take, whole};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_transfers_at_once_reach_all_their_members() {
    let groups = groups(2);
    let sender = Router::on_loopback(&groups);
    let routers: Vec<Router> = (0..3).map(|_| Router::on_loopback(&groups)).collect();
    let transfers = (0..4).map(|number: usize| {
        let (sender, routers) = (&sender, &routers);
        async move {
            let body = body(600_000 + number * 77_777);
            let (gate, source) = for_all(&body, routers.len());
            let (address, done) = sender.send(Rules::default(), source).await;
            let members = routers.iter().map(|router| take(address, Some(&router.pool), &gate));
            let members = timeout(LONG, join_all(members)).await.unwrap();
            assert!(members.iter().all(|(whole, _)| *whole == body));
            assert!(members.iter().all(|(_, counts)| counts.taken > 100), "it did not come by multicast");
            let summary = timeout(LONG, done).await.unwrap().unwrap();
            assert!(summary.is_complete && summary.members_max == 3, "{summary:?}");
            assert_eq!(summary.body_bytes, body.len() as u64);
        }
    });
    join_all(transfers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_and_a_tiny_response_arrive() {
    let groups = groups(1);
    let (sender, router) = (Router::on_loopback(&groups), Router::on_loopback(&groups));
    for length in [0, 1] {
        let body = body(length);
        let (gate, source) = for_all(&body, 1);
        let (address, done) = sender.send(Rules::default(), source).await;
        assert_eq!(timeout(LONG, take(address, Some(&router.pool), &gate)).await.unwrap().0, body);
        assert!(timeout(LONG, done).await.unwrap().unwrap().is_complete);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_cannot_hear_multicast_gets_the_same_bytes_by_unicast() {
    let groups = groups(1);
    let sender = Router::on_loopback(&groups);
    let hearing: Vec<Router> = (0..2).map(|_| Router::on_loopback(&groups)).collect();
    // One says that it cannot hear; another one thinks that it can.
    let elsewhere = Router::on_loopback(&crate::world::groups(1));
    let body = body(1_500_000);
    let pools = [Some(&hearing[0].pool), Some(&hearing[1].pool), None, Some(&elsewhere.pool)];
    let (gate, source) = for_all(&body, pools.len());
    let (address, done) = sender.send(Rules::default(), source).await;
    let members = pools.map(|pool| take(address, pool, &gate));
    let members = timeout(LONG, join_all(members)).await.unwrap();
    assert!(members.iter().all(|(whole, _)| *whole == body));
    let taken: Vec<u64> = members.iter().map(|(_, counts)| counts.taken).collect();
    assert!(taken[0] > 0 && taken[1] > 0 && taken[2] == 0 && taken[3] == 0, "{taken:?}");
    let summary = timeout(LONG, done).await.unwrap().unwrap();
    assert!(summary.is_complete && summary.fell_back == 1, "{summary:?}");
}

/// Repair in the presence of loss, by a relay that passes on from one group to another what it does not drop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lossy_network_drops_is_repaired() {
    let (near, far) = (groups(1), [groups(1), groups(1), groups(1)]);
    // A pace that three relays beside it can follow: only what they drop is to be lost.
    let sender = Router::start(&config(near.to_vec(), Ipv4Addr::LOCALHOST, 100_000_000));
    let routers: Vec<Router> = far.iter().map(|groups| Router::on_loopback(groups)).collect();
    let _relays: Vec<AbortOnDropHandle<()>> = far
        .iter()
        .enumerate()
        .map(|(at, to)| {
            let relay = relay(near[0].into(), to[0].into(), move |packet| packet % 53 != at as u64);
            AbortOnDropHandle::new(tokio::spawn(relay))
        })
        .collect();
    let body = body(3_000_000);
    let (gate, source) = for_all(&body, routers.len());
    let (address, done) = sender.send(Rules::default(), source).await;
    let members = routers.iter().map(|router| take(address, Some(&router.pool), &gate));
    assert!(timeout(LONG, join_all(members)).await.unwrap().iter().all(|(whole, _)| *whole == body));
    let summary = timeout(LONG, done).await.unwrap().unwrap();
    assert!(summary.is_complete && summary.repair_symbols > 0, "{summary:?}");
    assert!(summary.unicast_bytes < 300_000, "three members with 2 % of loss share their repair: {summary:?}");
}

async fn relay(from: SocketAddr, to: SocketAddr, keeps: impl Fn(u64) -> bool) {
    let (SocketAddr::V4(group), Ipv4Addr::LOCALHOST) = (from, Ipv4Addr::LOCALHOST) else { unreachable!() };
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.set_recv_buffer_size(4 << 20).unwrap();
    socket.bind(&from.into()).unwrap();
    socket.join_multicast_v4(group.ip(), &Ipv4Addr::LOCALHOST).unwrap();
    socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    let socket = UdpSocket::from_std(socket.into()).unwrap();
    let mut buffer = [0; 2048];
    for packet in 0.. {
        let length = socket.recv(&mut buffer).await.unwrap();
        if keeps(packet) {
            socket.send_to(&buffer[..length], to).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_comes_in_the_middle_gets_the_whole() {
    let groups = groups(1);
    let sender = Router::on_loopback(&groups);
    let routers: Vec<Router> = (0..3).map(|_| Router::on_loopback(&groups)).collect();
    let body = body(2_000_000);
    let (feed, source) = mpsc::channel(64);
    let (address, done) = sender.send(Rules::default(), ReceiverStream::new(source)).await;
    let (early, late) = body.split_at(1_000_000);
    for piece in early.chunks(50_000) {
        feed.send(Ok(Bytes::copy_from_slice(piece))).await.unwrap();
    }
    let mut first = join(address, Some(&routers[0].pool)).await.unwrap();
    let mut got = first.next().await.unwrap().unwrap().to_vec();
    while got.len() < 900_000 {
        got.extend_from_slice(&first.next().await.unwrap().unwrap());
    }
    let mut second = join(address, Some(&routers[1].pool)).await.unwrap();
    let mut third = join(address, Some(&routers[2].pool)).await.unwrap();
    let rest = async {
        for piece in late.chunks(50_000) {
            feed.send(Ok(Bytes::copy_from_slice(piece))).await.unwrap();
        }
        drop(feed);
    };
    let all = async { tokio::join!(whole(&mut first), whole(&mut second), whole(&mut third), rest) };
    let (first, second, third, ()) = timeout(LONG, all).await.unwrap();
    got.extend(first.unwrap());
    assert!(got == body && second.unwrap() == body && third.unwrap() == body);
    assert!(timeout(LONG, done).await.unwrap().unwrap().is_complete);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_longer_than_the_window_flows_and_takes_no_late_comer() {
    let groups = groups(1);
    let sender = Router::on_loopback(&groups);
    let routers: Vec<Router> = (0..2).map(|_| Router::on_loopback(&groups)).collect();
    let rules = Rules { blocks_max: 8, ..Rules::default() };
    let body = body(6_000_000);
    let (feed, source) = mpsc::channel(1);
    let (address, done) = sender.send(rules, ReceiverStream::new(source)).await;
    let members = routers
        .iter()
        .map(|router| async { whole(&mut join(address, Some(&router.pool)).await.unwrap()).await.unwrap() });
    let late = async {
        for piece in body.chunks(100_000) {
            feed.send(Ok(Bytes::copy_from_slice(piece))).await.unwrap();
        }
        // The window has moved on: the beginning is gone.
        let refused = join(address, Some(&sender.pool)).await;
        drop(feed);
        refused.map(|_| ())
    };
    let (members, late) = timeout(LONG, async { tokio::join!(join_all(members), late) }).await.unwrap();
    assert!(members.iter().all(|whole| *whole == body));
    assert!(matches!(late, Err(Broken::Closed | Broken::Leg(_))), "{late:?}");
    assert!(timeout(LONG, done).await.unwrap().unwrap().is_complete);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_dies_and_one_that_stops_harm_no_other() {
    let groups = groups(1);
    let sender = Router::on_loopback(&groups);
    let routers: Vec<Router> = (0..4).map(|_| Router::on_loopback(&groups)).collect();
    let rules = Rules { blocks_max: 8, patience: Duration::from_millis(300), ..Rules::default() };
    let body = body(6_000_000);
    let (gate, source) = for_all(&body, 2);
    let (address, done) = sender.send(rules, source).await;
    let mut dying = join(address, Some(&routers[2].pool)).await.unwrap();
    let mut stopping = join(address, Some(&routers[3].pool)).await.unwrap();
    let good = routers[..2].iter().map(|router| take(address, Some(&router.pool), &gate));
    let dies = async move {
        dying.next().await.unwrap();
        drop(dying);
        // This one stays, and asks for nothing more.
        stopping.next().await.unwrap();
        stopping
    };
    let (good, stopping) = timeout(LONG, async { tokio::join!(join_all(good), dies) }).await.unwrap();
    assert!(good.iter().all(|(whole, _)| *whole == body));
    let summary = timeout(LONG, done).await.unwrap().unwrap();
    assert!(summary.is_complete && summary.dismissed == 1, "{summary:?}");
    drop(stopping);
}

/// Hears everything that goes over `group`, and sends what `answer` makes of each packet, which it is shown once: its own
/// packets come back to it as well, and it must not feed on them for ever.
async fn attack(group: SocketAddr, answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) {
    let SocketAddr::V4(address) = group else { unreachable!() };
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.set_recv_buffer_size(4 << 20).unwrap();
    socket.bind(&group.into()).unwrap();
    socket.join_multicast_v4(address.ip(), &Ipv4Addr::LOCALHOST).unwrap();
    let ear = UdpSocket::from_std(socket.into()).unwrap();
    let mouth = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    socket2::SockRef::from(&mouth).set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    let (own, mut buffer) = (mouth.local_addr().unwrap(), [0; 2048]);
    loop {
        let (length, from) = ear.recv_from(&mut buffer).await.unwrap();
        if from.port() != own.port() {
            for packet in answer(&buffer[..length]) {
                mouth.send_to(&packet, group).await.unwrap();
            }
        }
    }
}

/// What two members of one transfer counted, while somebody in their group answers each packet.
async fn under_attack(answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> Vec<Counts> {
    let groups = groups(1);
    let sender = Router::on_loopback(&groups);
    let routers: Vec<Router> = (0..2).map(|_| Router::on_loopback(&groups)).collect();
    let body = body(2_000_000);
    let attacker = AbortOnDropHandle::new(tokio::spawn(attack(groups[0].into(), answer)));
    let (gate, source) = for_all(&body, routers.len());
    let (address, done) = sender.send(Rules::default(), source).await;
    let members = routers.iter().map(|router| take(address, Some(&router.pool), &gate));
    let members = timeout(LONG, join_all(members)).await.unwrap();
    assert!(members.iter().all(|(whole, _)| *whole == body));
    assert!(timeout(LONG, done).await.unwrap().unwrap().is_complete);
    drop(attacker);
    members.into_iter().map(|(_, counts)| counts).collect()
}

/// Nothing but what was sent comes, and comes again: the seal is right, so only the memory of what was seen drops it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replayed_packets_are_dropped_unread() {
    let counts = under_attack(|packet| vec![packet.to_vec()]).await;
    assert!(counts.iter().all(|counts| counts.dropped > 0 && counts.taken > 1000), "{counts:?}");
}

/// Packets with one bit changed, and such that claim to be far ahead: if those moved the window on, every good packet
/// after them would look old.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_packets_are_dropped_and_move_nothing() {
    let counts = under_attack(|packet| {
        let (mut changed, mut ahead) = (packet.to_vec(), packet.to_vec());
        let last = changed.len() - 1;
        changed[last] ^= 1;
        // The sequence number follows the transfer's.
        ahead[4] ^= 0x40;
        vec![changed, ahead]
    })
    .await;
    assert!(counts.iter().all(|counts| counts.dropped > 0 && counts.taken > 1000), "{counts:?}");
}

/// A member has the key and can forge; the digest on the unicast leg decides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_that_a_member_forged_is_mended_by_unicast() {
    use flame_multicast::alc::Symbol;
    use flame_multicast::leg::Frame;
    use flame_multicast::seal::Sealer;

    let groups = groups(1);
    let (sender, router) = (Router::on_loopback(&groups), Router::on_loopback(&groups));
    let body = body(30_000);
    let (feed, source) = mpsc::channel(1);
    let (address, done) = sender.send(Rules::default(), ReceiverStream::new(source)).await;
    let mut traitor = TcpStream::connect(address).await.unwrap();
    traitor.write_u8(1).await.unwrap();
    let mut read = bytes::BytesMut::new();
    let welcome = loop {
        traitor.read_buf(&mut read).await.unwrap();
        if let Some(Frame::Welcome(welcome)) = Frame::read(&mut read).unwrap() {
            break welcome;
        }
    };
    let say = |frame: Frame| {
        let mut out = bytes::BytesMut::new();
        frame.write(&mut out);
        out
    };
    traitor.write_all(&say(Frame::Ready)).await.unwrap();
    let mut member = join(address, Some(&router.pool)).await.unwrap();
    // Sequence numbers far ahead of the sender's own: these come first, and those are then old.
    let mut forger = Sealer::new(&welcome.key, welcome.transfer);
    let mouth = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    socket2::SockRef::from(&mouth).set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    let mut sealed = Vec::new();
    for esi in 0..5 {
        let octets = vec![0xEE; usize::from(welcome.symbol_bytes)];
        let forged = Symbol { transfer: welcome.transfer, block: 0, esi, octets: &octets };
        sealed.clear();
        forger.seal(&mut sealed, |out| forged.write(out));
        mouth.send_to(&sealed, groups[0]).await.unwrap();
    }
    let counted = || {
        let taken = member.counts().taken;
        async move { if taken == 5 { Ok(()) } else { Err(format!("{taken} of 5 forged symbols are taken")) } }
    };
    eventually(LONG, counted).await;
    feed.send(Ok(Bytes::copy_from_slice(&body))).await.unwrap();
    drop(feed);
    // The traitor also lies about what it lacks; that costs itself.
    let lack = Lack { missing: SymbolSet::first(3), short: u32::MAX };
    traitor.write_all(&say(Frame::Lacks { block: 0, round: 0, lack })).await.unwrap();
    assert_eq!(timeout(LONG, whole(&mut member)).await.unwrap().unwrap(), body);
    drop(traitor);
    let summary = timeout(LONG, done).await.unwrap().unwrap();
    assert!(summary.is_complete && summary.unicast_bytes >= 30_000, "{summary:?}");
}
