//! The embedded S3 server: one folder, one process, one client identity.
//!
//! It exists so that one machine needs nothing installed, and so that what is built on it runs unchanged on a real
//! store. It speaks S3 through `s3s`; the folder below is our own. It never replicates, versions, encrypts, expires
//! or shares: a need for any of these is the time to name a real store in the configuration.
//!
//! # Layout (version 1, in `format`)
//! ```text
//! format                                    "flame-object-store 1"; a newer number is refused
//! lock                                      held (flock) by the process that serves the folder
//! buckets/{bucket}/objects/{key…}=o         one manifest (JSON) an object; the path is the key, see `key`
//! buckets/{bucket}/uploads/{id}/upload.json an open multipart upload
//! buckets/{bucket}/uploads/{id}/00001.part  the record of one stored part
//! data/{2 hex}/{32 hex}                     data files: written once, never changed
//! intents/{id}                              where to look after a crash; empty when nothing is under way
//! tmp/{id}                                  records before their rename; emptied at start
//! ```
//! An object is a manifest that names its data files (*extents*) in order. So a multipart completion moves no byte:
//! the parts' data files become the object's extents. A copy links them. Folders are read in the byte order of the
//! keys, so a listing starts anywhere and holds one page.
//!
//! # What a crash leaves
//! A write is acknowledged after: data file synced, its folder synced, manifest synced under a temporary name,
//! renamed, folder synced. The rename is the one moment in which an object appears, whole; the same holds for a
//! part. Before it nobody sees anything and all can be repeated; after it nothing needs to be finished for
//! correctness. What can be left over is space: data files that no record names. Before such a file comes or goes,
//! an *intent* notes it together with the one record that could name it, and the next start removes those that it
//! does not name. The start looks at intents, open uploads and `tmp`: as much as was under way, not as much as is
//! stored.
//!
//! A completed upload's id stays in the object's manifest: a client that lost the answer and asks again gets the
//! same one, as long as the object has not been replaced.
//!
//! The data files of a replaced or deleted object go when its last reader is done (`pins`).
//!
//! # Limits
//! Everything that can grow is bounded by [`EmbeddedConfig`] or a named constant: connections, bodies being
//! written, memory a body, idle time of a body and of a request head, size of a key, of XML, of a part.
//!
//! `s3s` logs every refused request, also a mere 404, as an error; a process that hosts this server filters
//! `s3s=off`. What is wrong on our side is logged here.
//!
//! # Left out, on purpose
//! Versioning, tagging, lifecycle, ACLs and policies, server-side encryption, events, `GetObject` by part number,
//! POST forms beyond 1 MiB. Keys with control characters are refused: XML could not list them. Abandoned uploads
//! stay until they are aborted (`ListMultipartUploads` names them). Small objects are not packed together: each costs
//! two files and four fsyncs. Bytes at rest are not verified on read; the catalogue's SHA-256 does that end to end.

mod buckets;
mod config;
mod data;
mod error;
mod folder;
mod inside;
mod intents;
mod key;
mod manifest;
mod objects;
#[doc(hidden)]
pub mod parsers;
mod pins;
mod protocol;
pub mod snapshot;
mod transfer;
mod uploads;
mod walk;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use s3s::auth::SimpleAuth;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use config::{EmbeddedConfig, ServerError};

use folder::Folder;
pub(crate) use inside::Inside;
use transfer::Backend;

/// A request head must arrive within this.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause after a failed accept (out of file descriptors, mostly): the cause passes when connections end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Largest XML body: a completion that names 10,000 parts with checksums has about 2 MiB.
const MAX_XML_BYTES: usize = 4 * 1024 * 1024;
/// POST forms are held in memory by the protocol crate; nothing here uses them.
const MAX_FORM_BYTES: u64 = 1024 * 1024;

/// The embedded server, not yet started.
#[derive(Debug)]
pub struct EmbeddedServer;

/// A started server. Dropped, it stops without anybody waiting for it; [`stop`](Self::stop) waits.
#[derive(Debug)]
pub struct RunningStore {
    address: SocketAddr,
    inside: Inside,
    stop: CancellationToken,
    serving: Option<JoinHandle<()>>,
}

// === impl EmbeddedServer ===

impl EmbeddedServer {
    /// Opens the folder, cleans up after a crash, and serves.
    ///
    /// # Errors
    /// [`ServerError`]: the folder is foreign, newer, in use or unusable, or the address is taken.
    pub async fn start(config: EmbeddedConfig) -> Result<RunningStore, ServerError> {
        let (root, min_free_percent) = (config.root.clone(), config.min_free_percent);
        let tasks = TaskTracker::new();
        let held = tasks.token();
        let opening = tokio::task::spawn_blocking(move || {
            let folder = Folder::open(&root, min_free_percent, held)?;
            let swept = intents::sweep(&folder).map_err(|source| ServerError::sweep(root, source))?;
            Ok((folder, swept))
        });
        let (folder, swept) = opening.await.expect("opening the folder does not panic")?;
        let listen = config.listen;
        let listening = |source| ServerError::Listen { listen, source };
        let listener = TcpListener::bind(listen).await.map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;
        tracing::info!(%address, root = %config.root.display(), ?swept, "embedded object store serves");

        let backend =
            Backend { folder: Arc::new(folder), tasks, writes: Arc::new(Semaphore::new(config.max_writes.max(1))) };
        let service = Arc::new(service(&config, backend.clone()));
        let (stop, calls) = (CancellationToken::new(), TaskTracker::new());
        let inside = Inside::new(&service, calls.clone(), stop.clone());
        let serving = tokio::spawn(serve(listener, service, calls, backend.tasks, config, stop.clone()));
        Ok(RunningStore { address, inside, stop, serving: Some(serving) })
    }
}

// === impl RunningStore ===

impl RunningStore {
    /// The bound address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The endpoint for [`StoreConfig`](crate::StoreConfig).
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What [`Store::connect_inside`](crate::Store::connect_inside) talks through.
    pub(crate) fn inside(&self) -> Inside {
        self.inside.clone()
    }

    /// Takes no more requests, lets those under way finish within the configured grace, and releases the folder.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(serving) = self.serving.take()
            && let Err(error) = serving.await
        {
            tracing::error!(%error, "the embedded object store ended badly");
        }
    }
}

impl Drop for RunningStore {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn service(config: &EmbeddedConfig, backend: Backend) -> S3Service {
    let mut limits = S3Config::default();
    limits.xml_max_body_size = MAX_XML_BYTES;
    limits.post_object_max_file_size = MAX_FORM_BYTES;
    let mut builder = S3ServiceBuilder::new(backend);
    builder.set_auth(SimpleAuth::from_single(config.access_key.clone(), config.secret_key.expose()));
    builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(limits))));
    builder.build()
}

async fn serve(
    listener: TcpListener,
    service: Arc<S3Service>,
    calls: TaskTracker,
    tasks: TaskTracker,
    config: EmbeddedConfig,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(config.max_connections.max(1)));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(_ended) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        let (socket, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Answers are written whole; waiting to coalesce them only adds delay.
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        let connection = graceful.watch(http.serve_connection(TokioIo::new(socket), S3Service::clone(&service)));
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke off");
            }
            drop(place);
        });
    }
    drop(listener);
    calls.close();
    let answered = async { tokio::join!(graceful.shutdown(), calls.wait()) };
    if tokio::time::timeout(config.stop_grace(), answered).await.is_err() {
        tracing::warn!("answers under way are cut off: the grace for stopping is over");
        connections.abort_all();
    }
    while connections.join_next().await.is_some() {}
    // The work on the disk that connections left behind. It holds the folder, and what became of it does too, until
    // somebody drops it: only when all of that has gone, the lock has.
    drop(service);
    tasks.close();
    if tokio::time::timeout(config.stop_grace(), tasks.wait()).await.is_err() {
        tracing::warn!("the folder is still in use: somebody in this process holds the body of an answer");
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.expect("the semaphore is never closed");
    let (socket, _peer) = listener.accept().await?;
    Ok((socket, place))
}
