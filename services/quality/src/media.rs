//! Where the media that a job names is found: an object of the store, or a URL below the router. Pure.
//!
//! Objects are of the tenant's own assets, as the catalogue has them for that tenant; nothing else in the store can be named.

use flame_api::metadata::Asset;
use flame_api::quality::jobs::MediaName;
use thiserror::Error;
use url::Url;
use uuid::Uuid;

/// What a media process is to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// An object, to be brought here first: what lies in the store may be behind TLS, and is read twice where films do not
    /// correspond.
    Object {
        /// Its key.
        key: String,
    },
    /// A file or an HLS playlist below the router.
    Url(String),
}

/// Media that cannot be opened, whoever tries again.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Missing {
    /// There is no such asset.
    #[error("there is no asset {0}")]
    Asset(Uuid),
    /// The asset has no version.
    #[error("asset {0} has no version yet: its job has not published one; `{0}/source` is what was uploaded")]
    Version(Uuid),
    /// The version has no such track.
    #[error("asset {id} has no track `{track}`; it has {}", known.join(", "))]
    Track {
        /// The asset.
        id: Uuid,
        /// What was asked for.
        track: String,
        /// What there is.
        known: Vec<String>,
    },
    /// What plays is read over HTTP.
    #[error("{0} is read from the router, which is reached by TLS here; name the source or a track instead")]
    Tls(MediaName),
}

/// Whether the catalogue must be asked for the place of this.
#[must_use]
pub fn is_catalogued(name: &MediaName) -> Option<Uuid> {
    match name {
        MediaName::Source(id) | MediaName::Track(id, _) => Some(*id),
        MediaName::Asset(_) | MediaName::Path(_) => None,
    }
}

/// The place of an object of `asset`.
///
/// # Errors
/// The asset has no such thing.
pub fn object(name: &MediaName, asset: &Asset) -> Result<Place, Missing> {
    let MediaName::Track(id, wanted) = name else { return Ok(Place::Object { key: asset.source.key.clone() }) };
    let version = asset.version.as_ref().ok_or(Missing::Version(*id))?;
    if !version.tracks.iter().any(|track| track.name == *wanted) {
        let known = version.tracks.iter().map(|track| track.name.clone()).collect();
        return Err(Missing::Track { id: *id, track: wanted.clone(), known });
    }
    // docs/storage-format.md
    Ok(Place::Object { key: format!("{}/media/{}/{}/{wanted}.mp4", asset.tenant, asset.id, version.name) })
}

/// The place of what plays below `router`.
///
/// # Errors
/// The router is not reached by plain HTTP.
pub fn played(name: &MediaName, router: &Url) -> Result<Place, Missing> {
    if router.scheme() != "http" {
        return Err(Missing::Tls(name.clone()));
    }
    let base = router.as_str().trim_end_matches('/');
    let path = match name {
        MediaName::Path(path) => path.clone(),
        MediaName::Asset(id) | MediaName::Source(id) | MediaName::Track(id, _) => {
            format!("/~streaming/{id}/index.m3u8")
        }
    };
    Ok(Place::Url(format!("{base}{path}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0198a7c2-0000-7000-8000-000000000001";

    fn asset() -> Asset {
        let track = |name: &str| {
            format!(
                r#"{{"name":"{name}","kind":"video","codec":"avc1.64001f","duration_ms":1,"samples":1,"average_bandwidth_bps":1,
                    "peak_bandwidth_bps":1,"size_bytes":1}}"#
            )
        };
        let text = format!(
            r#"{{"id":"{ID}","tenant":"acme","title":"A","state":"ready","error":null,
                "source":{{"key":"acme/sources/x","file_name":null,"size_bytes":1,"sha256":"00"}},
                "probe":{{"container":"mp4","duration_ms":1,"bitrate_bps":1,"video":null,"audio":null}},"poster_key":null,
                "version":{{"name":"374708fff771","job_id":null,"chain":"ladder","tracks":[{},{}],"created_at":"2026-01-01T00:00:00Z"}},
                "revision":1,"created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z"}}"#,
            track("v720"),
            track("v360"),
        );
        serde_json::from_str(&text).expect("it is an asset")
    }

    fn name(text: &str) -> MediaName {
        text.parse().expect("it is a name")
    }

    #[test]
    fn sources_and_tracks_are_objects_of_the_tenant() {
        let key = |text: &str| object(&name(text), &asset());
        assert_eq!(key(&format!("{ID}/source")), Ok(Place::Object { key: "acme/sources/x".to_owned() }));
        let track = format!("acme/media/{ID}/374708fff771/v360.mp4");
        assert_eq!(key(&format!("{ID}/v360")), Ok(Place::Object { key: track }));
        assert!(key(&format!("{ID}/v1080")).is_err_and(|missing| missing.to_string().ends_with("it has v720, v360")));
        let unpublished = Asset { version: None, ..asset() };
        assert!(object(&name(&format!("{ID}/v360")), &unpublished).is_err());
    }

    #[test]
    fn what_plays_is_below_the_router() {
        let router: Url = "http://127.0.0.1:8080/".parse().expect("it is a URL");
        let url = |text: &str| played(&name(text), &router);
        assert_eq!(url(ID), Ok(Place::Url(format!("http://127.0.0.1:8080/~streaming/{ID}/index.m3u8"))));
        assert_eq!(url("/~cdn/a/b.m3u8"), Ok(Place::Url("http://127.0.0.1:8080/~cdn/a/b.m3u8".to_owned())));
        let router: Url = "https://127.0.0.1:8080/".parse().expect("it is a URL");
        assert_eq!(played(&name(ID), &router), Err(Missing::Tls(name(ID))));
    }
}
