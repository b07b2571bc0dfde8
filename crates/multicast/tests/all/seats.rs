//! Who sits down while a response goes on whose beginning is just about to be let go: it is held for a moment, and no longer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use flame_multicast::{Broken, Member, Summary};
use flame_naming::group::Rules;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

use crate::world::{LONG, Router, body, groups, join, whole};

/// Blocks that are held at once.
const WINDOW: usize = 4;
const BLOCKS: usize = 8;
const BLOCK_BYTES: usize = 1000;
/// Longer than a block takes, shorter than anybody is held for.
const SOON: Duration = Duration::from_millis(300);
/// Longer than anybody is held for, shorter than a seat stays reserved.
const LATE: Duration = Duration::from_secs(4);

/// A transfer, and its first member, who has all but the last block of what is held.
struct Begun {
    router: Router,
    _sender: Router,
    address: SocketAddr,
    feed: mpsc::Sender<Result<Bytes, Infallible>>,
    first: Member<TcpStream>,
    done: JoinHandle<Summary>,
}

/// A seat that is reserved, and what was said to whoever has it.
struct Reserved {
    leg: TcpStream,
    read: BytesMut,
}

impl Begun {
    async fn start() -> Self {
        let groups = groups(1);
        let (sender, router) = (Router::on_loopback(&groups), Router::on_loopback(&groups));
        let (feed, source) = mpsc::channel(BLOCKS);
        let rules = Rules { blocks_max: WINDOW as u32, alone_max: WINDOW as u32, ..Rules::default() };
        let (address, done) = sender.send(rules, ReceiverStream::new(source)).await;
        let first = join(address, Some(&router.pool)).await.unwrap();
        let mut begun = Self { router, _sender: sender, address, feed, first, done };
        for block in 0..WINDOW - 1 {
            begun.feed(block).await;
            begun.takes(block).await;
        }
        begun
    }

    async fn feed(&self, block: usize) {
        self.feed.send(Ok(Bytes::copy_from_slice(piece(block)))).await.unwrap();
    }

    async fn takes(&mut self, block: usize) {
        assert_eq!(timeout(LONG, self.first.next()).await.unwrap().unwrap().unwrap(), piece(block));
    }

    /// Reserves a seat, and does not listen yet.
    async fn reserve(&self) -> Reserved {
        let mut leg = TcpStream::connect(self.address).await.unwrap();
        leg.write_u8(1).await.unwrap();
        let mut read = BytesMut::new();
        // It is welcomed.
        assert_ne!(timeout(LONG, leg.read_buf(&mut read)).await.unwrap().unwrap(), 0);
        Reserved { leg, read }
    }

    async fn listen(&self, Reserved { leg, read }: Reserved) -> Member<TcpStream> {
        Member::begin(Some(&self.router.pool), leg, &read).await.unwrap()
    }
}

fn all() -> &'static [u8] {
    static ALL: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    ALL.get_or_init(|| body(BLOCKS * BLOCK_BYTES))
}

fn piece(block: usize) -> &'static [u8] {
    &all()[block * BLOCK_BYTES..(block + 1) * BLOCK_BYTES]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_beginning_is_held_for_who_had_a_seat_before_there_was_no_room_for_it_any_more() {
    let mut begun = Begun::start().await;
    let sitting = begun.reserve().await;
    begun.feed(WINDOW - 1).await;
    begun.takes(WINDOW - 1).await;
    // The next one would let the first one go: it waits, and nobody new is let in meanwhile.
    begun.feed(WINDOW).await;
    assert!(timeout(SOON, begun.first.next()).await.is_err(), "the beginning was let go");
    let late = join(begun.address, Some(&begun.router.pool)).await;
    assert!(matches!(late, Err(Broken::Closed | Broken::Leg(_))));
    let mut second = begun.listen(sitting).await;
    for block in WINDOW + 1..BLOCKS {
        begun.feed(block).await;
    }
    let Begun { mut first, feed, done, .. } = begun;
    drop(feed);
    let (rest, second) = timeout(LONG, async { tokio::join!(whole(&mut first), whole(&mut second)) }).await.unwrap();
    assert_eq!((rest.unwrap(), second.unwrap()), (all()[WINDOW * BLOCK_BYTES..].to_vec(), all().to_vec()));
    assert!(timeout(LONG, done).await.unwrap().unwrap().is_complete);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sits_down_for_too_long_is_not_waited_for_and_comes_too_late() {
    let mut begun = Begun::start().await;
    let (began, sitting) = (Instant::now(), begun.reserve().await);
    for block in WINDOW - 1..=WINDOW {
        begun.feed(block).await;
        begun.takes(block).await;
    }
    let took = began.elapsed();
    assert!(took > SOON && took < LATE, "{took:?}");
    let mut late = begun.listen(sitting).await;
    let told = timeout(LONG, late.next()).await.unwrap();
    assert!(matches!(told, Err(Broken::Closed | Broken::Leg(_))), "{told:?}");
}
