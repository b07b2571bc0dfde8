//! Eight machines on a switch, each of which loses packets; what the sender's link carried is read from its counter.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flame_naming::group::Rules;
use flame_test_kit::{Network, loud_skip};
use futures_util::future::join_all;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::world::{LONG, Router, body, config, for_all, groups, join_over, whole};

const EDGES: [&str; 8] = ["e1", "e2", "e3", "e4", "e5", "e6", "e7", "e8"];
const BODY_BYTES: usize = 4 << 20;
const LINK_MBIT: u32 = 200;

/// What one delivery took.
#[derive(Debug)]
struct Delivery {
    copies: f64,
    first: Duration,
    all: Duration,
}

async fn deliver(network: &Network, edges: &[&str], hears: bool) -> Delivery {
    let groups = groups(4);
    let runtime = tokio::runtime::Handle::current();
    let start = |node: &str| {
        let config = config(groups.clone(), network.address(node), u64::from(LINK_MBIT) * 950_000);
        network.on(node, || {
            let _context = runtime.enter();
            Router::start(&config)
        })
    };
    let origin = start("origin");
    let routers: Vec<Router> = edges.iter().map(|edge| start(edge)).collect();
    let listener = network.on("origin", || std::net::TcpListener::bind("0.0.0.0:0").unwrap());
    let address = SocketAddr::from((network.address("origin"), listener.local_addr().unwrap().port()));
    let legs = edges.iter().map(|edge| {
        let leg = network.on(edge, || std::net::TcpStream::connect(address).unwrap());
        leg.set_nonblocking(true).unwrap();
        TcpStream::from_std(leg).unwrap()
    });
    let legs: Vec<TcpStream> = legs.collect();
    listener.set_nonblocking(true).unwrap();
    let body = Arc::new(body(BODY_BYTES));
    let before = network.sent_bytes("origin");
    let began = Instant::now();
    let (gate, source) = for_all(&body, edges.len());
    let done = origin.send_on(TcpListener::from_std(listener).unwrap(), Rules::default(), source);
    let members = legs.into_iter().zip(&routers).map(|(leg, router)| {
        let (pool, gate, body) = (hears.then(|| router.pool.clone()), gate.clone(), body.clone());
        tokio::spawn(async move {
            let mut member = join_over(leg, pool.as_ref()).await.unwrap();
            gate.pass();
            let mut octets = member.next().await.unwrap().unwrap().to_vec();
            let first = began.elapsed();
            octets.extend(whole(&mut member).await.unwrap());
            assert!(octets == *body, "a body differs");
            (first, began.elapsed())
        })
    });
    let members: Vec<_> = members.collect();
    let times = timeout(LONG, join_all(members)).await.unwrap();
    let times: Vec<(Duration, Duration)> = times.into_iter().map(Result::unwrap).collect();
    let summary = timeout(LONG, done).await.unwrap().unwrap();
    assert!(summary.is_complete && summary.members_max == edges.len(), "{summary:?}");
    let copies = (network.sent_bytes("origin") - before) as f64 / BODY_BYTES as f64;
    let first = times.iter().map(|(first, _)| *first).max().unwrap();
    let all = times.iter().map(|(_, all)| *all).max().unwrap();
    let delivery = Delivery { copies, first, all };
    println!("{} edges, multicast {hears}: {delivery:?} {summary:?}", edges.len());
    delivery
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_machines_get_one_copy_whatever_is_lost() {
    if let Some(reason) = Network::missing() {
        return loud_skip(&format!("no network of namespaces: {reason}"));
    }
    let nodes: Vec<&str> = ["origin"].into_iter().chain(EDGES).collect();
    let network = Network::new(&nodes);
    network.limit("origin", LINK_MBIT);
    for loss in [0.0, 1.0, 5.0] {
        for edge in EDGES {
            network.lose(edge, loss);
        }
        println!("--- {loss} % of loss");
        let one = deliver(&network, &EDGES[..1], false).await;
        let many = deliver(&network, &EDGES, true).await;
        if loss <= 1.0 {
            assert!(many.copies <= 1.15, "{} copies at {loss} %", many.copies);
        }
        let share = many.all.as_secs_f64() / one.all.as_secs_f64();
        println!("delivery {share:.2} x one unicast transfer; first block after {:?} and {:?}", many.first, one.first);
    }
}
