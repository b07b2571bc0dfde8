//! Gets playlists and segments, from this machine's folders or by HTTP: whole, or a range; never more than a bound.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use reqwest::header::RANGE;
use url::Url;

/// Longest playlist.
const PLAYLIST_MAX_BYTES: usize = 16 << 20;
/// Longest segment.
const SEGMENT_MAX_BYTES: usize = 256 << 20;
/// Time for one request, its body included. A blocking reload may wait for three target durations.
const PATIENCE: Duration = Duration::from_secs(40);
/// Most init segments that are remembered.
const INITS_MAX: usize = 10_000;

/// A playlist's rendition and its init segment, with the range of it.
type Init = (String, Option<(u64, u64)>);

/// Where things come from.
#[derive(Debug)]
pub struct Source {
    http: reqwest::Client,
    /// Whether what was asked for is a file: then it may lead to files. What comes from elsewhere may not.
    is_local: bool,
    inits: Mutex<BTreeSet<Init>>,
}

// === impl Source ===

impl Source {
    /// For a path or an `http://` URL, and all that it leads to; and its URL.
    pub fn of(place: &str) -> Result<(Self, Url), String> {
        let http =
            reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().map_err(|error| error.to_string())?;
        let url = Self::locate(place)?;
        Ok((Self { http, is_local: url.scheme() == "file", inits: Mutex::default() }, url))
    }

    fn locate(place: &str) -> Result<Url, String> {
        if place.starts_with("http://") {
            return Url::parse(place).map_err(|error| format!("{place} is no URL: {error}"));
        }
        Url::from_file_path(Path::new(place)).map_err(|()| format!("{place} is no path"))
    }

    /// A playlist.
    pub async fn text(&self, url: &Url) -> Result<String, String> {
        let bytes = self.get(url, None, PLAYLIST_MAX_BYTES).await?;
        String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
    }

    /// A segment, an init segment, or a part of a resource that a playlist names.
    pub async fn part(&self, base: &Url, uri: &str, range: Option<(u64, u64)>) -> Result<Vec<u8>, String> {
        let url = base.join(uri).map_err(|error| error.to_string())?;
        self.get(&url, range, SEGMENT_MAX_BYTES).await
    }

    /// Whether an init segment was not asked for before by this playlist's rendition, or another one came since.
    pub fn is_new(&self, base: &Url, uri: &str, range: Option<(u64, u64)>) -> bool {
        let Ok(url) = base.join(uri) else { return true };
        let key = (format!("{base} {url}"), range);
        let mut inits = self.inits.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if inits.contains(&key) {
            return false;
        }
        // The one before no longer counts: a rendition may come back to it.
        let start = format!("{base} ");
        inits.retain(|(one, _)| !one.starts_with(&start));
        if inits.len() < INITS_MAX {
            inits.insert(key);
        }
        true
    }

    async fn get(&self, url: &Url, range: Option<(u64, u64)>, max_bytes: usize) -> Result<Vec<u8>, String> {
        let bytes = match url.to_file_path() {
            Ok(_) if url.scheme() == "file" && !self.is_local => {
                return Err("it is a file of whoever looks, which no playlist from elsewhere may name".to_owned());
            }
            Ok(path) if url.scheme() == "file" => read(&path, max_bytes).await?,
            Ok(_) | Err(()) if url.scheme() == "http" => return self.fetch(url, range, max_bytes).await,
            Ok(_) | Err(()) => return Err(format!("{} is neither a file nor http", url.scheme())),
        };
        let Some((from, length)) = range else { return Ok(bytes) };
        let (from, length) =
            (usize::try_from(from).unwrap_or(usize::MAX), usize::try_from(length).unwrap_or(usize::MAX));
        let cut = bytes.get(from..from.saturating_add(length));
        cut.map(<[u8]>::to_vec).ok_or_else(|| format!("it has {} bytes, the range ends behind them", bytes.len()))
    }

    async fn fetch(&self, url: &Url, range: Option<(u64, u64)>, max_bytes: usize) -> Result<Vec<u8>, String> {
        let mut request = self.http.get(url.clone());
        if let Some((from, length)) = range {
            request = request.header(RANGE, format!("bytes={from}-{}", from.saturating_add(length).saturating_sub(1)));
        }
        let mut answer = request.send().await.map_err(|error| said(&error))?;
        if !answer.status().is_success() {
            return Err(format!("the answer is {}", answer.status()));
        }
        let is_partial = answer.status().as_u16() == 206;
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| said(&error))? {
            if body.len() + piece.len() > max_bytes {
                return Err(format!("it has more than {max_bytes} bytes"));
            }
            body.extend_from_slice(&piece);
        }
        match range {
            // A server that knows no ranges sends all.
            Some((from, length)) if !is_partial => {
                let (from, length) =
                    (usize::try_from(from).unwrap_or(usize::MAX), usize::try_from(length).unwrap_or(usize::MAX));
                let cut = body.get(from..from.saturating_add(length));
                cut.map(<[u8]>::to_vec)
                    .ok_or_else(|| format!("it has {} bytes, the range ends behind them", body.len()))
            }
            Some(_) | None => Ok(body),
        }
    }
}

async fn read(path: &Path, max_bytes: usize) -> Result<Vec<u8>, String> {
    let metadata = tokio::fs::metadata(path).await.map_err(|error| error.to_string())?;
    // A device or a pipe has no length, and perhaps no end.
    if !metadata.is_file() {
        return Err("it is no file".to_owned());
    }
    if metadata.len() > max_bytes as u64 {
        return Err(format!("it has more than {max_bytes} bytes"));
    }
    tokio::fs::read(path).await.map_err(|error| error.to_string())
}

fn said(error: &reqwest::Error) -> String {
    if error.is_timeout() { "no answer in time".to_owned() } else { flame_service_host::problem::chain(error) }
}
