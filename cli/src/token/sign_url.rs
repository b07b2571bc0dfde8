//! `flame token sign-url`: a link that opens one asset for a while.
//!
//! The token (RFC 9246) is a segment in front of the asset, so that the relative URLs in its playlists keep it. It names the
//! canonical URLs behind the name that it opens, not the address that the viewer happens to use.

use anyhow::{Context, anyhow};
use flame_naming::identity::Token;
use flame_naming::identity::url::{TOKEN_PARAMETER, canonical};
use flame_naming::{Asked, Domain, Forward, Target, Territory};
use flame_service_host::keys;
use serde::Serialize;
use url::{Position, Url};

use super::{LIFE_MAX_S, VIEWERS};
use crate::args::{Global, SignUrl};
use crate::data;
use crate::exit::Exit;
use crate::output;

/// The claims of RFC 9246 section 2.1 that surrogates here hold to.
#[derive(Debug, Serialize)]
struct Claims {
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    exp: u64,
    cdniv: u32,
    cdniuc: String,
}

pub fn run(global: &Global, wanted: &SignUrl) -> Result<(), Exit> {
    let life_s = wanted.life.0.as_secs();
    if life_s == 0 || life_s > LIFE_MAX_S {
        return Err(Exit::usage(anyhow!("a signed URL lives between 1s and 366 days (8784h)")));
    }
    let forward = behind(&wanted.url).map_err(Exit::usage)?;
    let path = canonical(&forward.path_and_query, Token::Unverified);
    let path = path.filter(|path| !path.contains(TOKEN_PARAMETER));
    let path = path.ok_or_else(|| Exit::usage(anyhow!("{} is signed already, or is no URL of media", wanted.url)))?;
    let opened = wanted.path.clone().unwrap_or_else(|| asset_of(&path));
    if !path.starts_with(&opened) {
        return Err(Exit::usage(anyhow!("`--path {opened}` does not open {path}, which is asked for")));
    }
    let origin = wanted.origin.clone().unwrap_or_else(|| format!("https://{}", forward.destination.name));
    let claims = Claims {
        sub: wanted.subject.clone(),
        exp: keys::unix_seconds().saturating_add(life_s),
        cdniv: 1,
        cdniuc: format!("regex:{}.*", regex_lite::escape(&format!("{origin}{opened}"))),
    };
    let folder = match &wanted.keys {
        Some(folder) => folder.clone(),
        None => data::folder(wanted.data.as_deref())?.join(VIEWERS),
    };
    keys::ensure(&folder).context("make the signing key")?;
    let token = keys::sign(&folder, &claims).context("sign the URL")?;
    let url =
        format!("{}{}/;{TOKEN_PARAMETER}={token}{path}", &wanted.url[..Position::BeforePath], forward.mount.prefix());
    if global.json {
        return output::print_json(&serde_json::json!({ "url": url, "claims": claims }));
    }
    output::print_line(&url)
}

/// The name that a URL asks, and what for.
fn behind(url: &Url) -> anyhow::Result<Forward> {
    let territory = Territory::new(Domain::default(), &["*".to_owned()]);
    let asked = Asked { authority: None, host: url.host_str(), path: url.path(), query: url.query() };
    match territory.target(&asked).with_context(|| format!("{url} is behind no name"))? {
        Target::Service(forward) => Ok(forward),
        Target::Own | Target::Slash(_) => Err(anyhow!("{url} names nothing: say http://HOST/~NAME/ASSET/…")),
    }
}

/// The first segment of a path, which is an asset's: `/film/`.
fn asset_of(path: &str) -> String {
    let (asset, is_folder) = match path[1..].split_once(['/', '?']) {
        Some((asset, _)) => (asset, path[1 + asset.len()..].starts_with('/')),
        None => (&path[1..], false),
    };
    if is_folder { format!("/{asset}/") } else { format!("/{asset}") }
}
