//! Serves a folder over HTTP, as any web server would.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path as UrlPath, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use url::Url;

/// Whether pages of other origins may read the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origins {
    Any,
    Same,
}

/// A running server; stops when dropped.
pub struct Host {
    root: Url,
    serving: JoinHandle<()>,
}

struct Folder {
    path: PathBuf,
    origins: Origins,
}

// === impl Host ===

impl Host {
    pub async fn serve(folder: &Path, origins: Origins) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let folder = Arc::new(Folder { path: folder.to_owned(), origins });
        let router = Router::new().route("/{file}", get(file)).with_state(folder);
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("serving goes on") });
        Self { root: format!("http://{address}/").parse().expect("an address makes a URL"), serving }
    }

    pub fn url(&self, file: &str) -> Url {
        self.root.join(file).expect("a file name makes a URL")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn file(
    State(folder): State<Arc<Folder>>,
    UrlPath(name): UrlPath<String>,
) -> Result<(HeaderMap, Vec<u8>), StatusCode> {
    let body = tokio::fs::read(folder.path.join(&name)).await.map_err(|_| StatusCode::NOT_FOUND)?;
    let media_type = if name.ends_with(".m3u8") { "application/vnd.apple.mpegurl" } else { "video/mp4" };
    let mut headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(media_type))]);
    if folder.origins == Origins::Any {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    Ok((headers, body))
}
