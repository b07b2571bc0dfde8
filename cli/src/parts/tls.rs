//! `flame parts --tls`: an authority in the router's folder, and for each other part a token that is good for one join.
//!
//! Nobody else gets the authority's key, and no key of a part is made here: each makes its own where it runs. Run again, it makes
//! a new token for each part that nobody can join with any more, so that who has lost its certificate gets another one.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use flame_credentials::{Issuer, JoinToken, Role, Standing};
use flame_naming::Label;
use url::Url;

use super::Part;
use crate::args;
use crate::ca;
use crate::exit::Exit;

/// Where a part keeps its key and certificate, in its own folder.
pub const CERTIFICATE: &str = "certificate";

/// What parts with certificates are told.
#[derive(Debug)]
pub struct Tls {
    pub(super) issuer: Issuer,
    pub(super) site: Label,
    /// How long a join token is good.
    pub(super) join: Duration,
    /// Where the router listens for those without certificates.
    pub(super) viewers: SocketAddr,
}

// === impl Tls ===

impl Tls {
    /// Makes the authority in `folder`, the router's, where there is none.
    pub(super) fn prepare(args: &args::Parts, router: &Url, folder: &Path) -> Result<Option<Self>, Exit> {
        if !args.tls {
            return Ok(None);
        }
        if router.scheme() != "https" {
            return Err(Exit::usage(anyhow!("with --tls parts speak TLS with the router: --router https://…")));
        }
        if args.join.0.is_zero() || args.join.0 > ca::TTL_MAX {
            return Err(Exit::usage(anyhow!("a join token is good for between 1s and 7 days (168h)")));
        }
        let issuer = Issuer::init(&folder.join(ca::FOLDER)).context("make the authority")?;
        Ok(Some(Self { issuer, site: args.site.clone(), join: args.join.0, viewers: args.viewers }))
    }

    /// What tells the authority from others.
    pub(super) fn fingerprint(&self) -> String {
        self.issuer.fingerprint().to_string()
    }

    /// The token that `part` joins with: the one in its configuration at `before` while somebody still can, else a new one. None for
    /// the router, which holds the authority.
    pub(super) fn join_token(&self, part: &Part, before: &Path) -> anyhow::Result<Option<String>> {
        if part.name == super::ROUTER {
            return Ok(None);
        }
        if let Some(token) = kept(before)
            && self.issuer.is_open(&token).context("look at a join token")?
        {
            return Ok(Some(token.to_string()));
        }
        let own = [part.name];
        let names = if part.names.is_empty() { &own[..] } else { part.names };
        let names = names.iter().map(|name| name.parse()).collect::<Result<_, _>>().context("name a part")?;
        let standing = Standing { role: Role::Service, site: self.site.clone(), names };
        let token = self.issuer.invite(&standing, self.join);
        Ok(Some(token.with_context(|| format!("make the join token of {}", part.name))?.to_string()))
    }

    /// Where who has no certificate reaches the router, which parts reach at `router`.
    pub(super) fn open_router(&self, router: &Url) -> anyhow::Result<Url> {
        let host = match self.viewers.ip() {
            IpAddr::V4(ip) if !ip.is_unspecified() => ip.to_string(),
            IpAddr::V6(ip) if !ip.is_unspecified() => format!("[{ip}]"),
            _ => router.host_str().unwrap_or_default().to_owned(),
        };
        format!("http://{host}:{}/", self.viewers.port()).parse().context("say where the router is reached")
    }
}

fn kept(path: &Path) -> Option<JoinToken> {
    let table = fs::read_to_string(path).ok()?.parse::<toml::Table>().ok()?;
    table.get("host")?.get("tls")?.get("join_token")?.as_str()?.parse().ok()
}
