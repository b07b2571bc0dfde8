//! HTTP/2, frame by frame: connections without a request, clients that keep their windows shut, and one that begins with
//! nothing at all are let go.

use std::time::Duration;

use axum::routing::get;
use flame_service_host::config::Span;
use flame_service_host::{Host, HostConfig, Routes, Running};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use utoipa_axum::router::OpenApiRouter;

const PATIENCE: Duration = Duration::from_secs(20);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// SETTINGS with the size of new streams' windows.
fn settings(window_bytes: u32) -> Vec<u8> {
    frame(4, 0, 0, &[&[0, 4][..], &window_bytes.to_be_bytes()].concat())
}

/// `GET /` of `localhost`, whole (RFC 7541: the static table's entries 2, 6 and 4, and a literal :authority).
fn get_root() -> Vec<u8> {
    frame(1, 0x5, 1, &[&[0x82, 0x86, 0x84, 0x01, 9][..], b"localhost"].concat())
}

async fn serve(change: impl FnOnce(&mut HostConfig)) -> Running {
    let mut config = HostConfig::default();
    change(&mut config);
    let host = Host::bind("notes", &config).await.unwrap();
    let public = OpenApiRouter::new().route("/", get(async || "x".repeat(1 << 20)));
    host.serve(Routes { public, ..Routes::default() })
}

/// What comes until the server closes the connection.
async fn until_closed(client: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    // Cut: an error or an end.
    let _ = timeout(PATIENCE, client.read_to_end(&mut all)).await.expect("the server lets go");
    all
}

#[tokio::test]
async fn a_connection_without_a_request_is_said_goodbye_and_closed() {
    for beginning in [[PREFACE, &settings(1 << 16)].concat(), PREFACE[..10].to_vec(), Vec::new()] {
        let running = serve(|config| config.head_timeout = Span(Duration::from_millis(200))).await;
        let mut client = TcpStream::connect(running.address()).await.unwrap();
        client.write_all(&beginning).await.unwrap();
        let said = until_closed(&mut client).await;
        let goodbye = said.windows(9).any(|head| head[3] == 7 && head[..3] == [0, 0, 8]);
        assert_eq!(goodbye, beginning.len() > PREFACE.len(), "{said:?}");
        running.stop().await;
    }
}

#[tokio::test]
async fn a_client_that_keeps_its_windows_shut_is_let_go() {
    let running = serve(|config| config.write_idle = Span(Duration::from_millis(300))).await;
    let mut client = TcpStream::connect(running.address()).await.unwrap();
    client.write_all(&[PREFACE, &settings(0), &get_root()].concat()).await.unwrap();
    let said = until_closed(&mut client).await;
    // The head came, and not one byte of the body.
    assert!(said.windows(9).any(|head| head[3] == 1 && head[5..] == [0, 0, 0, 1]), "{said:?}");
    assert!(said.len() < 4096, "{} bytes", said.len());
    running.stop().await;
}
