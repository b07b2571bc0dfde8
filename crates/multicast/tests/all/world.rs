//! A sender and members on real sockets.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flame_multicast::reception::Counts;
use flame_multicast::{Broken, Door, Member, Pool, PoolConfig, Summary, sender};
use flame_naming::group::Rules;
use futures_util::{Stream, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// Time that any of this may take on a busy machine.
pub const LONG: Duration = Duration::from_secs(60);

/// A pool, and what runs it.
pub struct Router {
    pub pool: Pool,
    _ears: AbortOnDropHandle<()>,
}

/// A body of `length` octets that repeats nowhere soon.
pub fn body(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut octets = Vec::with_capacity(length + 8);
    while octets.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        octets.extend_from_slice(&state.to_le_bytes());
    }
    octets.truncate(length);
    octets
}

/// A response that is there at once, as soon as so many have joined.
pub fn for_all(body: &[u8], members: usize) -> (Gate, impl Stream<Item = Result<Bytes, Infallible>> + Send + use<>) {
    let pieces: Vec<Bytes> = body.chunks(64 * 1024).map(Bytes::copy_from_slice).collect();
    let gate = Gate(Arc::new(Semaphore::new(0)));
    let opens = Arc::clone(&gate.0);
    let wait = async move {
        let _all = opens.acquire_many(u32::try_from(members).unwrap()).await.unwrap();
    };
    (gate, futures_util::stream::once(wait).flat_map(move |()| futures_util::stream::iter(pieces.clone())).map(Ok))
}

/// Where those who have joined are counted.
#[derive(Clone)]
pub struct Gate(Arc<Semaphore>);

impl Gate {
    pub fn pass(&self) {
        self.0.add_permits(1);
    }
}

/// Groups that nobody else on this machine has: the port was free a moment ago.
pub fn groups(count: u8) -> Vec<SocketAddrV4> {
    let probe = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = probe.local_addr().unwrap().port();
    (1..=count).map(|last| SocketAddrV4::new(Ipv4Addr::new(239, 255, 70, last), port)).collect()
}

pub fn config(groups: Vec<SocketAddrV4>, interface: Ipv4Addr, rate_bps: u64) -> PoolConfig {
    PoolConfig { groups, interface, rate_bps, ttl: 1, receive_buffer_bytes: 4 << 20 }
}

impl Router {
    pub fn start(config: &PoolConfig) -> Self {
        let (pool, ears) = Pool::join(config).unwrap();
        Self { pool, _ears: AbortOnDropHandle::new(tokio::spawn(ears.until(CancellationToken::new()))) }
    }

    pub fn on_loopback(groups: &[SocketAddrV4]) -> Self {
        Self::start(&config(groups.to_vec(), Ipv4Addr::LOCALHOST, 400_000_000))
    }

    /// Begins a transfer whose legs come in at the returned address.
    pub async fn send<S>(&self, rules: Rules, source: S) -> (SocketAddr, JoinHandle<Summary>)
    where
        S: Stream<Item = Result<Bytes, Infallible>> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        (address, self.send_on(listener, rules, source))
    }

    pub fn send_on<S>(&self, listener: TcpListener, rules: Rules, source: S) -> JoinHandle<Summary>
    where
        S: Stream<Item = Result<Bytes, Infallible>> + Send + 'static,
    {
        let (door, transfer) = sender::transfer(&self.pool, rules, Duration::ZERO, Bytes::from_static(b"head"), source);
        tokio::spawn(async move {
            let legs = TaskTracker::new();
            let seats = AbortOnDropHandle::new(tokio::spawn(admit(listener, door, legs.clone())));
            let summary = transfer.await;
            drop(seats);
            legs.close();
            legs.wait().await;
            summary
        })
    }
}

/// Gives a seat to whoever connects; the first octet says whether multicast reaches it.
async fn admit(listener: TcpListener, door: Door, legs: TaskTracker) {
    loop {
        let (mut leg, _) = listener.accept().await.unwrap();
        leg.set_nodelay(true).unwrap();
        let door = door.clone();
        legs.spawn(async move {
            use tokio::io::AsyncReadExt;
            let hears = leg.read_u8().await.unwrap() == 1;
            if let Some(Ok(seat)) = door.reserve(hears).await {
                seat.sit(leg, Bytes::new()).await;
            }
        });
    }
}

pub async fn join(address: SocketAddr, pool: Option<&Pool>) -> Result<Member<TcpStream>, Broken> {
    join_over(TcpStream::connect(address).await.unwrap(), pool).await
}

pub async fn join_over(mut leg: TcpStream, pool: Option<&Pool>) -> Result<Member<TcpStream>, Broken> {
    use tokio::io::AsyncWriteExt;
    leg.set_nodelay(true).unwrap();
    leg.write_u8(u8::from(pool.is_some())).await.unwrap();
    let member = Member::begin(pool, leg, &[]).await?;
    assert_eq!(member.head(), &b"head"[..]);
    Ok(member)
}

/// Joins, waits for the others, and takes the whole.
pub async fn take(address: SocketAddr, pool: Option<&Pool>, gate: &Gate) -> (Vec<u8>, Counts) {
    let mut member = join(address, pool).await.unwrap();
    gate.pass();
    let octets = whole(&mut member).await.unwrap();
    (octets, member.counts())
}

pub async fn whole<L>(member: &mut Member<L>) -> Result<Vec<u8>, Broken>
where
    L: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut octets = Vec::new();
    while let Some(block) = member.next().await? {
        octets.extend_from_slice(&block);
    }
    Ok(octets)
}
