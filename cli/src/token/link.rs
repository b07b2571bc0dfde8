//! `flame token link`: a link that signs a browser in, once.

use std::time::Duration;

use anyhow::{Context, anyhow};
use flame_service_host::auth::is_tenant;
use flame_service_host::keys::{self, Grant};
use flame_service_host::links;
use url::Url;

use super::{KEYS, LIFE_MAX_S, scope};
use crate::args::{Global, TokenLink};
use crate::data;
use crate::exit::Exit;
use crate::output;
use crate::up;

/// A link that lies about for longer is a token.
const LINK_LIFE_MAX: Duration = Duration::from_secs(24 * 3600);

pub fn run(global: &Global, wanted: &TokenLink) -> Result<(), Exit> {
    let TokenLink { subject, tenant, scopes, life, session, portal, data } = wanted;
    if !is_tenant(tenant) {
        return Err(Exit::usage(anyhow!("`{tenant}` cannot name a tenant: lower-case letters, digits, hyphens")));
    }
    if life.0.as_secs() == 0 || life.0 > LINK_LIFE_MAX {
        return Err(Exit::usage(anyhow!("a link can be used for between 1s and 24h (`--life`)")));
    }
    if session.0.as_secs() == 0 || session.0.as_secs() > LIFE_MAX_S {
        return Err(Exit::usage(anyhow!("a browser is signed in for between 1s and 366 days (8784h; `--session`)")));
    }
    let folder = data::folder(data.as_deref())?;
    let mut portal = match portal {
        Some(portal) => portal.clone(),
        None => portal_of(data::holder(&folder)?)?,
    };
    let keys = folder.join(KEYS);
    keys::ensure(&keys).context("make the signing key")?;
    let grant = Grant { subject: subject.clone(), tenant: tenant.clone(), scope: scope(scopes), life: session.0 };
    let link = links::issue(&keys, &grant, life.0).context("sign the link")?;
    portal.set_fragment(Some(&format!("token={link}")));
    if global.json {
        return output::print_json(&serde_json::json!({ "url": portal, "scope": grant.scope, "tenant": tenant }));
    }
    eprintln!(
        "for {subject} of tenant {tenant}: {}; works once within {} s, signs in for {} s",
        grant.scope,
        life.0.as_secs(),
        session.0.as_secs()
    );
    output::print_line(portal.as_str())
}

/// Where a browser on this machine finds it.
fn portal_of(holder: Option<data::Holder>) -> anyhow::Result<Url> {
    let address = holder.map_or_else(|| "localhost:8080".to_owned(), |holder| up::shown(holder.router));
    format!("http://{address}/").parse().context("the address of the portal")
}
