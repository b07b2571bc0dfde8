//! Clients that stop reading.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::routing::get;
use flame_service_host::config::Span;
use flame_service_host::{Host, HostConfig, Routes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use utoipa_axum::router::OpenApiRouter;

/// More than all buffers between two sockets hold.
const ANSWER_BYTES: usize = 256 << 20;
const BLOCK_BYTES: usize = 64 << 10;

/// Says when it is dropped.
struct Witness(mpsc::Sender<()>);

/// A body that holds a witness: what the server keeps for the client goes together with it.
fn long(witness: Witness) -> Body {
    let block = Bytes::from(vec![b'x'; BLOCK_BYTES]);
    let blocks = (0..ANSWER_BYTES / BLOCK_BYTES).map(move |_| {
        let _held = &witness;
        Ok::<_, Infallible>(block.clone())
    });
    Body::from_stream(futures_util::stream::iter(blocks))
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.try_send(()).expect("one body, one message");
    }
}

#[tokio::test]
async fn a_client_that_stops_reading_is_let_go() {
    let config = HostConfig { write_idle: Span(Duration::from_millis(200)), ..HostConfig::default() };
    let host = Host::bind("notes", &config).await.unwrap();
    let (dropped, mut drops) = mpsc::channel(1);
    let public = OpenApiRouter::new().route("/long", get(async move || long(Witness(dropped.clone()))));
    let running = host.serve(Routes { public, ..Routes::default() });

    let mut client = TcpStream::connect(running.address()).await.unwrap();
    client.write_all(b"GET /long HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    client.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    // Nothing more is read. A server that waited for ever would hang the test here.
    drops.recv().await.unwrap();
    let mut rest = Vec::new();
    // Cut: an error or an end, and in any case before everything came.
    let _ = client.read_to_end(&mut rest).await;
    assert!(rest.len() < ANSWER_BYTES, "{} bytes came", rest.len());
    running.stop().await;
}
