//! `flame token`: made and revoked beside the data folder, because whoever can read its keys may sign anyway. Links for viewers
//! are in [`sign_url`], those that sign a browser in at the portal in [`link`].

mod link;
mod sign_url;

use std::path::Path;

use anyhow::{Context, anyhow};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flame_service_host::Scope;
use flame_service_host::auth::is_tenant;
use flame_service_host::keys::{self, Claims, Grant};
use uuid::Uuid;

use crate::args::{self, Global, TokenCommand};
use crate::data;
use crate::exit::Exit;
use crate::output;

/// Revocations of a bare id are kept this long: no token lives longer.
const LIFE_MAX_S: u64 = 366 * 24 * 3600;

/// The folder with the keys inside a data folder.
pub const KEYS: &str = "auth";
/// The folder with the keys of signed URLs: who may sign those may not call services.
pub const VIEWERS: &str = "viewers";

pub fn run(global: &Global, args: &args::Token) -> Result<(), Exit> {
    match &args.command {
        TokenCommand::Issue { subject, tenant, scopes, names, life, data } => {
            if !is_tenant(tenant) {
                return Err(Exit::usage(anyhow!(
                    "`{tenant}` cannot name a tenant: lower-case letters, digits, hyphens"
                )));
            }
            if life.0.as_secs() == 0 || life.0.as_secs() > LIFE_MAX_S {
                return Err(Exit::usage(anyhow!("a token lives between 1s and 366 days (8784h)")));
            }
            let (subject, tenant) = (subject.clone(), tenant.clone());
            let grant = Grant { subject, tenant, scope: scope(scopes), life: life.0 };
            // A star stands for an instance; the rest has to be a name, or nothing would ever be registered with it.
            let is_none = |name: &&String| name.replacen(".*", ".any", 1).parse::<flame_naming::Name>().is_err();
            if let Some(name) = names.iter().find(is_none) {
                return Err(Exit::usage(anyhow!("`{name}` is no name: FUNCTION[.INSTANCE[.TENANT]], or FUNCTION.*")));
            }
            let names = (!names.is_empty()).then(|| names.clone());
            let folder = data::folder(data.as_deref())?;
            let (token, claims) = issue_confined(&folder, &grant, names)?;
            if let Ok(Some(holder)) = data::holder(&folder)
                && holder.router.ip().is_loopback()
            {
                eprintln!(
                    "note: what runs on {} listens on loopback, where nobody is asked for a token",
                    folder.display()
                );
            }
            if global.json {
                return output::print_json(&serde_json::json!({ "token": token, "claims": claims }));
            }
            let end =
                i64::try_from(claims.exp).ok().and_then(|end| time::OffsetDateTime::from_unix_timestamp(end).ok());
            let end = end.map(output::moment).unwrap_or_default();
            eprintln!(
                "token {} for {} of tenant {}: {}, valid until {end}",
                claims.jti, grant.subject, grant.tenant, grant.scope
            );
            output::print_line(&token)
        }
        TokenCommand::Link(wanted) => link::run(global, wanted),
        TokenCommand::SignUrl(wanted) => sign_url::run(global, wanted),
        TokenCommand::Revoke { token, data } => {
            let (id, until) = match token.parse::<Uuid>() {
                Ok(id) => (id, keys::unix_seconds() + LIFE_MAX_S),
                Err(_) => identify(token).map_err(Exit::usage)?,
            };
            let folder = data::folder(data.as_deref())?.join(KEYS);
            if !folder.is_dir() {
                return Err(Exit::not_carried_out(anyhow!(
                    "{} does not exist: no token was ever issued there",
                    folder.display()
                )));
            }
            keys::revoke(&folder, id, until).context("revoke the token")?;
            if global.json {
                output::print_json(&serde_json::json!({ "revoked": id }))
            } else {
                output::print_line(&format!("revoked {id}"))
            }
        }
    }
}

/// The words of a token's `scope` claim.
fn scope(scopes: &[Scope]) -> String {
    scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" ")
}

/// Issues a token from the keys in the data folder `data`, which are made if there are none.
pub fn issue(data: &Path, grant: &Grant) -> anyhow::Result<(String, Claims)> {
    issue_confined(data, grant, None)
}

fn issue_confined(data: &Path, grant: &Grant, names: Option<Vec<String>>) -> anyhow::Result<(String, Claims)> {
    let folder = data.join(KEYS);
    keys::ensure(&folder).context("make the signing key")?;
    keys::issue_confined(&folder, grant, names).context("issue the token")
}

/// Id and end of a token. Its signature does not matter: revoking a forged one harms nobody.
fn identify(token: &str) -> anyhow::Result<(Uuid, u64)> {
    let wrong = "this is neither a token nor a token's id";
    let payload = token.split('.').nth(1).context(wrong)?;
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).context(wrong)?).context(wrong)?;
    Ok((claims.jti, claims.exp))
}
