//! Eight sites on a switch: their routers are processes, their links lose packets, and four hundred clients want the
//! same cold object at once. What the origin's link carried is read from its counter.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::header;
use axum::routing::get;
use flame_service_host::keys::{self, Grant};
use flame_test_kit::foreign::Foreign;
use flame_test_kit::star::PORT;
use flame_test_kit::{Network, Scratch, eventually, loud_skip, star};
use tokio::task::JoinHandle;

const EDGES: [&str; 8] = ["e1", "e2", "e3", "e4", "e5", "e6", "e7", "e8"];
const CLIENTS: usize = 50;
const BODY_BYTES: usize = 4 << 20;
const LINK_MBIT: u32 = 200;
/// Time that the endpoint takes before it answers.
const ANSWER: Duration = Duration::from_millis(50);
/// Where the few packets are lost that begin a connection, TCP waits for a second, and that router comes late: a run may
/// cost a copy more. The median of so many is what is held against the promise, odd so that one of them is it.
const RUNS: usize = 7;
/// Copies on the origin's link, in the median, at 0 and 1 % of loss. 1.15 is promised, and `bench/run multicast` holds that on
/// a quiet machine. This runs beside other tests, in a debug build: one router of eight that comes too late then costs a
/// part of a copy of its own in every second run. Without multicast it would be eight.
const COPIES_MAX: f64 = 1.5;
/// The promise itself, which the best of the runs has to keep here, too.
const PROMISED_COPIES_MAX: f64 = 1.15;

/// The network, the routers and the endpoint.
struct World {
    network: Network,
    folder: Scratch,
    routers: Vec<Child>,
    asked: Arc<AtomicUsize>,
    endpoint: Endpoint,
}

/// Who answers at the origin.
enum Endpoint {
    /// One that takes its time, here.
    Ours(JoinHandle<()>),
    /// Somebody else's server, a process of its own.
    Foreign(Foreign),
}

const FOREIGN_PORT: u16 = 9000;

impl World {
    /// Routers at all sites; those of `without` have multicast switched off.
    async fn start(without: &[&str]) -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&asked);
        let ours = |network: &Network, _: &Scratch| {
            let listener = network.on("origin", || TcpListener::bind((network.address("origin"), 0)).unwrap());
            let address = listener.local_addr().unwrap();
            (address, Endpoint::Ours(endpoint(listener, counts)))
        };
        Self::start_with(without, asked, ours).await
    }

    /// The same with a server at the origin that nobody here wrote.
    async fn start_with_foreign() -> Self {
        let foreign = |network: &Network, folder: &Scratch| {
            let objects = folder.join("objects/object");
            std::fs::create_dir_all(&objects).unwrap();
            std::fs::write(folder.join("objects/ready"), "ready").unwrap();
            (0..RUNS).for_each(|run| std::fs::write(objects.join(run.to_string()), body()).unwrap());
            let (served, log) = (folder.join("objects"), folder.join("access.log"));
            let server = Foreign::start(network, "origin", FOREIGN_PORT, &served, &log);
            ((network.address("origin"), FOREIGN_PORT).into(), Endpoint::Foreign(server))
        };
        Self::start_with(&[], Arc::default(), foreign).await
    }

    async fn start_with(
        without: &[&str],
        asked: Arc<AtomicUsize>,
        endpoint: impl FnOnce(&Network, &Scratch) -> (SocketAddr, Endpoint),
    ) -> Self {
        let nodes: Vec<&str> = ["origin"].into_iter().chain(EDGES).collect();
        let (network, folder) = (Network::new(&nodes), Scratch::new("router-switch"));
        let (address, endpoint) = endpoint(&network, &folder);
        star::write_files(folder.path(), &network, &EDGES, LINK_MBIT, address);
        let grant = Grant {
            subject: "router".into(),
            tenant: "default".into(),
            scope: "service".into(),
            life: Duration::from_secs(600),
        };
        keys::ensure(&folder.join("keys")).unwrap();
        let token = keys::issue(&folder.join("keys"), &grant).unwrap().0;
        let routers =
            nodes.iter().map(|node| router(&network, &folder, node, &token, !without.contains(node))).collect();
        network.limit("origin", LINK_MBIT);
        let world = Self { network, folder, routers, asked, endpoint };
        for edge in EDGES {
            eventually(Duration::from_secs(30), || async {
                let found = world.network.on(edge, || ask("/~media/ready"));
                if found.as_deref() == Ok(b"ready") { Ok(()) } else { Err(format!("{edge}: {found:?}")) }
            })
            .await;
        }
        world
    }

    /// All clients of all sites ask for `/object/{name}` at once; copies on the origin's link, fetches, and time.
    fn deliver(&self, name: &str, body: &[u8], edges: &[&str], clients: usize) -> (f64, usize, Duration) {
        let path = format!("/~media/object/{name}");
        let connected: Vec<TcpStream> = edges
            .iter()
            .flat_map(|edge| self.network.on(edge, || (0..clients).map(|_| connect().unwrap()).collect::<Vec<_>>()))
            .collect();
        let (before, asked) = (self.network.sent_bytes("origin"), self.asked.load(Ordering::SeqCst));
        let began = Instant::now();
        std::thread::scope(|scope| {
            let reads = connected.into_iter().map(|client| {
                let path = &path;
                scope.spawn(move || compare(client, path, body))
            });
            let reads: Vec<_> = reads.collect();
            reads.into_iter().for_each(|read| read.join().expect("every client gets the whole"));
        });
        let took = began.elapsed();
        let copies = (self.network.sent_bytes("origin") - before) as f64 / BODY_BYTES as f64;
        (copies, self.asked.load(Ordering::SeqCst) - asked, took)
    }
}

impl World {
    /// What the routers had to say.
    fn print_logs(&self) {
        for node in ["origin"].into_iter().chain(EDGES) {
            let log = std::fs::read_to_string(self.folder.join(format!("{node}.log"))).unwrap();
            println!("--- {node}\n{log}");
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for router in &mut self.routers {
            // One that has ended needs no killing.
            let _ = router.kill();
            let _ = router.wait();
        }
        if let Endpoint::Ours(task) = &self.endpoint {
            task.abort();
        }
    }
}

fn router(network: &Network, folder: &Scratch, node: &str, token: &str, multicast: bool) -> Child {
    let program = env!("CARGO_BIN_EXE_flame-router");
    let mut command = star::router(network, folder.path(), node, program, token, LINK_MBIT * 97 / 100);
    command.env("FLAME_LOG", "info,flame_router=debug").env("FLAME_ROUTER__MULTICAST__ENABLED", multicast.to_string());
    let log = std::fs::File::create(folder.join(format!("{node}.log"))).unwrap();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

fn endpoint(listener: TcpListener, asked: Arc<AtomicUsize>) -> JoinHandle<()> {
    let object: &'static [u8] = body().leak();
    let answer = move || {
        asked.fetch_add(1, Ordering::SeqCst);
        async move {
            tokio::time::sleep(ANSWER).await;
            ([(header::CACHE_CONTROL, "public, max-age=60")], object)
        }
    };
    let service = Router::new().route("/ready", get(|| async { "ready" })).route("/object/{name}", get(answer));
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    tokio::spawn(async move { axum::serve(listener, service).await.unwrap() })
}

fn body() -> Vec<u8> {
    (0..BODY_BYTES).map(|at| ((at.wrapping_mul(2_654_435_761)) >> 13) as u8).collect()
}

fn connect() -> std::io::Result<TcpStream> {
    let client = TcpStream::connect((Ipv4Addr::LOCALHOST, PORT))?;
    client.set_read_timeout(Some(Duration::from_secs(60)))?;
    Ok(client)
}

fn ask(path: &str) -> Result<Vec<u8>, String> {
    let mut client = connect().map_err(|error| error.to_string())?;
    request(&mut client, path).map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).map_err(|error| error.to_string())?;
    let begins = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or("an answer without a head")?;
    Ok(answer.split_off(begins + 4))
}

fn request(client: &mut TcpStream, path: &str) -> std::io::Result<()> {
    client.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())
}

/// Reads an answer, and compares it as it comes.
fn compare(mut client: TcpStream, path: &str, body: &[u8]) {
    request(&mut client, path).unwrap();
    let mut head = Vec::new();
    let mut octet = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut octet).unwrap();
        head.push(octet[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
    let (mut buffer, mut at) = (vec![0; 64 * 1024], 0);
    loop {
        let length = client.read(&mut buffer).unwrap();
        if length == 0 {
            break;
        }
        assert!(body.get(at..at + length) == Some(&buffer[..length]), "a body differs after {at} octets");
        at += length;
    }
    assert_eq!(at, body.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_hundred_clients_at_eight_sites_cost_the_origin_one_fetch_and_its_link_one_copy() {
    if let Some(reason) = Network::missing() {
        return loud_skip(&format!("no network of namespaces: {reason}"));
    }
    let (world, body) = (World::start(&[]).await, body());
    for loss in [0.0, 1.0, 5.0] {
        for edge in EDGES {
            world.network.lose(edge, loss);
        }
        let mut copies = Vec::new();
        // Nine routers and four hundred clients share the cores of one machine: an edge that gets none for a while comes
        // when the others have everything, and costs a copy of its own. More than half of the runs have to do without.
        // At 5 % no number of copies is promised, only the one fetch.
        let bound = (loss <= 1.0).then_some(COPIES_MAX);
        for run in 0..if bound.is_some() { RUNS } else { 1 } {
            let deliver = || world.deliver(&format!("{loss}-{run}"), &body, &EDGES, CLIENTS);
            let (link, fetches, took) = tokio::task::block_in_place(deliver);
            println!("{loss} % lost, run {run}: {link:.3} copies, {fetches} fetches, {took:?}");
            if fetches != 1 {
                world.print_logs();
                panic!("{fetches} fetches where one was enough");
            }
            copies.push(link);
        }
        copies.sort_by(f64::total_cmp);
        let median = copies[copies.len() / 2];
        assert!(bound.is_none_or(|bound| median <= bound), "{copies:?} copies at {loss} %");
        assert!(bound.is_none() || copies[0] <= PROMISED_COPIES_MAX, "{copies:?} copies at {loss} %");
    }
}

/// What is saved, as others count it: a server that nobody here wrote, in its access log, and the kernel, at the link.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_access_log_of_a_foreign_origin_has_one_line_for_four_hundred_clients() {
    if let Some(reason) = Network::missing() {
        return loud_skip(&format!("no network of namespaces: {reason}"));
    }
    let (world, body) = (World::start_with_foreign().await, body());
    let mut copies = Vec::new();
    for run in 0..RUNS {
        let deliver = || world.deliver(&run.to_string(), &body, &EDGES, CLIENTS);
        let (link, _, took) = tokio::task::block_in_place(deliver);
        println!("run {run}: {link:.3} copies, {took:?}");
        copies.push(link);
        let Endpoint::Foreign(origin) = &world.endpoint else { panic!("another origin") };
        let lines = origin.asked(&format!("/object/{run}"));
        assert!(lines.len() == 1 && lines[0].contains(" 200 "), "{lines:?}");
    }
    copies.sort_by(f64::total_cmp);
    // The server, in Python, takes cores from the routers: who comes late costs a copy. What is promised of the link is held above, without it.
    assert!(copies[RUNS / 2] < EDGES.len() as f64 / 2.0, "{copies:?} copies");
}

/// One site's router is killed in the middle, another has multicast switched off: clients of all others, and of that one, get
/// the whole, and those of the dead one see that they did not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_that_dies_in_the_middle_harms_no_other_and_one_without_multicast_gets_the_same() {
    if let Some(reason) = Network::missing() {
        return loud_skip(&format!("no network of namespaces: {reason}"));
    }
    let (dying, without) = ("e7", "e8");
    let (mut world, body) = (World::start(&[without]).await, body());
    for edge in EDGES {
        world.network.lose(edge, 1.0);
    }
    let mut victim = world.routers.remove(1 + EDGES.iter().position(|edge| *edge == dying).unwrap());
    let network = &world.network;
    let reads = |edge: &str, clients: usize| -> Vec<TcpStream> {
        network.on(edge, || (0..clients).map(|_| connect().unwrap()).collect())
    };
    let whole: Vec<TcpStream> =
        EDGES.iter().filter(|edge| **edge != dying).flat_map(|edge| reads(edge, CLIENTS)).collect();
    let broken = reads(dying, 1).remove(0);
    let asked = world.asked.load(Ordering::SeqCst);
    tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            let (path, body) = ("/~media/object/dying", &body);
            let whole: Vec<_> =
                whole.into_iter().map(|client| scope.spawn(move || compare(client, path, body))).collect();
            // Its first bytes are there: the transfer is under way.
            let mut broken = broken;
            request(&mut broken, path).unwrap();
            let mut got = vec![0; 64 * 1024];
            broken.read_exact(&mut got).unwrap();
            victim.kill().unwrap();
            victim.wait().unwrap();
            let rest = broken.read_to_end(&mut got);
            assert!(rest.is_err() || got.len() < body.len(), "what a dead router sent looks whole");
            whole.into_iter().for_each(|read| read.join().expect("every other client gets the whole"));
        });
    });
    let asked = world.asked.load(Ordering::SeqCst) - asked;
    assert!(
        (1..=CLIENTS + 1).contains(&asked),
        "{asked}: one for the group, and at most one for each client without it"
    );
}
