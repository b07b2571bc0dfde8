//! `flame parts`: what the parts of FLAME need of each other when each runs on its own, in a container or on a machine.
//!
//! One flat folder a part: its configuration (`part.toml`, with its own token and no other), the public keys that it knows callers by,
//! and the secrets that it needs. Each goes to that part alone; private keys stay in `authority`, which is a data folder for `flame token`,
//! and with the orchestrator, which makes tokens for what it starts. Run again, it makes what is missing, renews tokens that are
//! half through their life, and passes revocations on. It starts nothing, and overwrites no key.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use flame_service_host::Scope;
use flame_service_host::keys::{self, Claims, Grant, Keyring, unix_seconds};
use serde_json::{Value, json};
use url::Url;

use crate::args::{self, Global};
use crate::exit::Exit;
use crate::output;
use crate::secrets::{self, StoreKeys};
use crate::token::{KEYS, VIEWERS};

/// The folder with what signs.
const AUTHORITY: &str = "authority";
/// A part's configuration in its folder.
const CONFIGURATION: &str = "part.toml";
/// Whose signed URLs are taken.
const SIGNERS: &str = "viewers.json";
/// What streaming wraps keys with.
const SECRET: &str = "streaming.secret";
/// Tokens that are taken no more.
const REVOKED: &str = "revoked.json";
/// Life of a part's token.
const LIFE: Duration = Duration::from_secs(366 * 24 * 3600);

/// What a part does of which the others hear.
struct Part {
    name: &'static str,
    /// Names that it registers behind; none for who registers none, or others.
    names: &'static [&'static str],
    /// Whether it asks the object store.
    stores: bool,
}

/// All of them.
const PARTS: [Part; 9] = [
    Part { name: "router", names: &[], stores: false },
    Part { name: "clmc", names: &["clmc"], stores: false },
    Part { name: "ingest", names: &["ingest"], stores: true },
    Part { name: "metadata", names: &["metadata"], stores: true },
    Part { name: "transcode", names: &["transcode"], stores: true },
    Part { name: "streaming", names: &["streaming"], stores: true },
    Part { name: "quality", names: &["quality"], stores: true },
    Part { name: "vcdn", names: &["vcdn", "cdn", "cdn.signed"], stores: false },
    Part { name: "orchestrator", names: &[], stores: false },
];

/// What a configuration is made of.
struct Given<'a> {
    router: &'a Url,
    store: &'a Url,
    is_external: bool,
    keys: &'a StoreKeys,
    fronts: std::net::IpAddr,
}

pub fn run(global: &Global, args: &args::Parts) -> Result<(), Exit> {
    let folder = std::path::absolute(&args.folder).context("resolve the folder")?;
    let authority = folder.join(AUTHORITY);
    private(&authority)?;
    keys::ensure(&authority.join(KEYS)).context("make the key of tokens")?;
    keys::ensure(&authority.join(VIEWERS)).context("make the key of signed URLs")?;
    let given = Given {
        router: &global.router,
        store: &args.store,
        is_external: args.external_store,
        keys: &StoreKeys::of(&authority)?,
        fronts: args.fronts,
    };
    let wrapping = secrets::of_streaming(&authority)?;
    let mut renewed = Vec::new();
    for part in &PARTS {
        let own = folder.join(part.name);
        private(&own)?;
        let token = match kept(&own.join(CONFIGURATION), &authority.join(KEYS)) {
            Some(token) => token,
            None => {
                renewed.push(part.name);
                issue(&authority.join(KEYS), part)?
            }
        };
        publish(&authority.join(KEYS), &own)?;
        if part.name == "orchestrator" {
            let (_, signer) = keys::signer(&authority.join(KEYS)).context("read the key of tokens")?;
            write(&own.join(keys::SIGNER), &signer)?;
        }
        if part.name == "streaming" {
            copy(&wrapping, &own.join(SECRET))?;
        }
        if matches!(part.name, "streaming" | "vcdn") {
            copy(&authority.join(VIEWERS).join("jwks.json"), &own.join(SIGNERS))?;
        }
        let at = args.at.as_deref().unwrap_or(&own);
        let text = toml::to_string(&document(part, &token, at, &given)).context("write a configuration")?;
        write(&own.join(CONFIGURATION), text.as_bytes())?;
    }
    report(global, &folder, &authority, &renewed)
}

fn report(global: &Global, folder: &Path, authority: &Path, renewed: &[&str]) -> Result<(), Exit> {
    let first = (!secrets::first_token_was_shown(authority)).then(|| secrets::first_token(authority)).transpose()?;
    if global.json {
        output::print_json(&json!({ "folder": folder, "renewed": renewed, "token": first }))?;
    } else {
        let mut text = format!("{}: {} parts, {} tokens made", folder.display(), PARTS.len(), renewed.len());
        if let Some(token) = &first {
            text.push_str(
                "\nThe first token for a person, which is not shown again, for the portal or FLAME_TOKEN:\n  ",
            );
            text.push_str(token);
        }
        output::print_line(&text)?;
    }
    if first.is_some() { Ok(secrets::note_first_token(authority)?) } else { Ok(()) }
}

/// What stands in a part's configuration, which finds its folder `at`.
fn document(part: &Part, token: &str, at: &Path, given: &Given<'_>) -> Value {
    let mut all = json!({ "host": {
        "token": token,
        "auth": { "keys": at },
        "telemetry": {},
    } });
    let StoreKeys { access_key, secret_key } = given.keys;
    if part.name != "router" {
        all["host"]["router"] = json!(given.router);
    }
    if part.stores {
        all["store"] =
            json!({ "endpoint": given.store, "bucket": "flame", "access_key": access_key, "secret_key": secret_key });
    }
    match part.name {
        // Parts ask the router at the name that it has among them.
        "router" => all["public_hosts"] = json!([given.router.host_str().unwrap_or_default()]),
        "ingest" if given.is_external => all["store"] = json!({ "external": all["store"] }),
        // Where it listens, and on which folder, is said where it runs.
        "ingest" => all["store"] = json!({ "embedded": { "access_key": access_key, "secret_key": secret_key } }),
        "metadata" => all["purges"] = json!({ "names": ["cdn", "cdn.signed"] }),
        "streaming" => {
            all["encryption"] = json!({ "secret": at.join(SECRET) });
            all["viewers"] = json!({ "keys": at.join(SIGNERS) });
        }
        "vcdn" => {
            let listen = std::net::SocketAddr::new(given.fronts, 0);
            all["fronts"] = json!([
                { "name": "cdn", "upstream": "streaming", "listen": listen },
                { "name": "cdn.signed", "upstream": "streaming", "listen": listen, "tokens": { "keys": at.join(SIGNERS) } },
            ]);
        }
        "orchestrator" => all["process"] = json!({ "keys": at }),
        _ => {}
    }
    all
}

/// The token in a configuration that was made before, if it is good for half of its life still.
fn kept(path: &Path, keys: &Path) -> Option<String> {
    let table = fs::read_to_string(path).ok()?.parse::<toml::Table>().ok()?;
    let token = table.get("host")?.get("token")?.as_str()?.to_owned();
    let Claims { exp, .. } = Keyring::open(keys).ok()?.verify(&token).ok()?;
    (exp > unix_seconds() + LIFE.as_secs() / 2).then_some(token)
}

fn issue(keys: &Path, part: &Part) -> anyhow::Result<String> {
    let mut scopes = vec![Scope::Read, Scope::Write, Scope::Service];
    if part.name == "orchestrator" {
        scopes.push(Scope::Admin);
    }
    let scope = scopes.into_iter().map(Scope::as_str).collect::<Vec<_>>().join(" ");
    let grant = Grant { subject: part.name.to_owned(), tenant: "default".to_owned(), scope, life: LIFE };
    let names = (!part.names.is_empty()).then(|| part.names.iter().map(|name| (*name).to_owned()).collect());
    Ok(keys::issue_confined(keys, &grant, names).with_context(|| format!("issue the token of {}", part.name))?.0)
}

/// Passes public keys and revocations on.
fn publish(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let path = entry.with_context(|| format!("read {}", from.display()))?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let name = path.file_name().ok_or_else(|| anyhow!("{} has no name", path.display()))?;
            copy(&path, &to.join(name))?;
        }
    }
    // Those who hand files on one by one name this one, too.
    let revoked = to.join(REVOKED);
    if revoked.is_file() { Ok(()) } else { write(&revoked, b"[]") }
}

fn private(folder: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("make {}", folder.display()))
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let bytes = fs::read(from).with_context(|| format!("read {}", from.display()))?;
    write(to, &bytes)
}

/// Whole or not at all, and only if it is new: who watches the file reads it again then.
fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if fs::read(path).is_ok_and(|before| before == bytes) {
        return Ok(());
    }
    secrets::keep_secret(path, bytes).with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(keys: &StoreKeys) -> Given<'_> {
        let url = |text: &str| Box::leak(Box::new(text.parse::<Url>().unwrap()));
        let (router, store) = (url("http://router:8080"), url("http://ingest:9000"));
        Given { router, store, is_external: false, keys, fronts: [0, 0, 0, 0].into() }
    }

    #[test]
    fn nobody_gets_what_he_does_not_need() {
        let keys = StoreKeys { access_key: "who".to_owned(), secret_key: "sesame".to_owned() };
        for part in &PARTS {
            let all = document(part, "mine", Path::new("/etc/flame"), &given(&keys));
            let text = toml::to_string(&all).unwrap();
            assert_eq!(text.contains("sesame"), part.stores, "{text}");
            assert_eq!(text.contains("streaming.secret"), part.name == "streaming", "{text}");
            assert_eq!(text.contains("viewers.json"), matches!(part.name, "streaming" | "vcdn"), "{text}");
            assert!(text.contains("token = \"mine\"") && text.contains("keys = \"/etc/flame\""), "{text}");
        }
    }
}
