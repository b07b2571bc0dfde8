//! `flame parts`: what the parts of FLAME need of each other when each runs on its own, in a container or on a machine.
//!
//! One flat folder a part: its configuration (`part.toml`, with its own token and no other), the public keys that it knows callers by,
//! and the secrets that it needs. Each goes to that part alone; private keys stay in `authority`, which is a data folder for `flame token`,
//! and with the orchestrator, which makes tokens for what it starts. Run again, it makes what is missing, renews tokens that are
//! half through their life, and passes revocations on. It starts nothing, and overwrites no key.
//! What certificates add to that is in [`tls`].

mod tls;

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use flame_naming::Label;
use flame_service_host::Scope;
use flame_service_host::keys::{self, Claims, Grant, Keyring, unix_seconds};
use serde_json::{Value, json};
use url::Url;

use crate::args::{self, Global};
use crate::ca;
use crate::exit::Exit;
use crate::output;
use crate::secrets::{self, StoreKeys};
use crate::token::{KEYS, VIEWERS};
use tls::Tls;

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
/// The part that the others find each other by.
const ROUTER: &str = "router";
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
    Part { name: ROUTER, names: &[], stores: false },
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
    site: &'a Label,
    tls: Option<&'a Tls>,
}

/// What is one part's alone.
struct Own<'a> {
    token: &'a str,
    join_token: Option<&'a str>,
    /// Where it finds its folder.
    at: &'a Path,
}

pub fn run(global: &Global, args: &args::Parts) -> Result<(), Exit> {
    let folder = std::path::absolute(&args.folder).context("resolve the folder")?;
    let authority = folder.join(AUTHORITY);
    private(&authority)?;
    keys::ensure(&authority.join(KEYS)).context("make the key of tokens")?;
    keys::ensure(&authority.join(VIEWERS)).context("make the key of signed URLs")?;
    let tls = Tls::prepare(args, &global.router, &folder.join(ROUTER))?;
    let given = Given {
        router: &global.router,
        store: &args.store,
        is_external: args.external_store,
        keys: &StoreKeys::of(&authority)?,
        fronts: args.fronts,
        site: &args.site,
        tls: tls.as_ref(),
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
        let join_token = given.tls.map(|tls| tls.join_token(part, &own.join(CONFIGURATION))).transpose()?.flatten();
        let (token, join_token) = (token.as_str(), join_token.as_deref());
        let its = Own { token, join_token, at: args.at.as_deref().unwrap_or(&own) };
        let document = document(part, &its, &given)?;
        let text = toml::to_string(&document).context("write a configuration")?;
        write(&own.join(CONFIGURATION), text.as_bytes())?;
    }
    report(global, &folder, &authority, &renewed, tls.as_ref())
}

fn report(global: &Global, folder: &Path, authority: &Path, renewed: &[&str], tls: Option<&Tls>) -> Result<(), Exit> {
    let first = (!secrets::first_token_was_shown(authority)).then(|| secrets::first_token(authority)).transpose()?;
    if global.json {
        let fingerprint = tls.map(Tls::fingerprint);
        output::print_json(
            &json!({ "folder": folder, "renewed": renewed, "token": first, "fingerprint": fingerprint }),
        )?;
    } else {
        let mut text = format!("{}: {} parts, {} tokens made", folder.display(), PARTS.len(), renewed.len());
        if let Some(tls) = tls {
            text.push_str(&format!(
                "\nParts join the authority {} when they start, the router first; people and players ask it at {}",
                tls.fingerprint(),
                tls.viewers
            ));
        }
        if let Some(token) = &first {
            text.push_str(
                "\nThe first token for a person, which is not shown again, for the portal or FLAME_TOKEN:\n  ",
            );
            text.push_str(token);
        }
        output::print_line(&text)?;
    }
    if let Some(warning) = tls.and_then(|tls| tls.warning(&global.router)) {
        eprintln!("flame: {warning}");
    }
    if first.is_some() { Ok(secrets::note_first_token(authority)?) } else { Ok(()) }
}

/// What stands in a part's configuration, which finds its folder `at`.
fn document(part: &Part, own: &Own<'_>, given: &Given<'_>) -> anyhow::Result<Value> {
    let &Own { token, join_token, at } = own;
    let mut all = json!({ "host": {
        "token": token,
        "auth": { "keys": at },
        "telemetry": {},
    } });
    let StoreKeys { access_key, secret_key } = given.keys;
    if given.tls.is_some() {
        all["host"]["tls"] = json!({ "folder": at.join(tls::CERTIFICATE) });
    }
    if let Some(join_token) = join_token {
        all["host"]["tls"]["join_token"] = json!(join_token);
    }
    if part.name != ROUTER {
        all["host"]["router"] = json!(given.router);
    }
    if part.stores {
        all["store"] =
            json!({ "endpoint": given.store, "bucket": "flame", "access_key": access_key, "secret_key": secret_key });
    }
    match part.name {
        // Parts ask the router at the name that it has among them.
        ROUTER => {
            all["public_hosts"] = json!([given.router.host_str().unwrap_or_default()]);
            all["site"] = json!(given.site.to_string());
            if let Some(tls) = given.tls {
                all["issuer"] = json!({ "folder": at.join(ca::FOLDER) });
                all["viewers"] = json!([{ "listen": tls.viewers }]);
            }
        }
        "ingest" if given.is_external => all["store"] = json!({ "external": all["store"] }),
        // Where it listens, and on which folder, is said where it runs.
        "ingest" => all["store"] = json!({ "embedded": { "access_key": access_key, "secret_key": secret_key } }),
        "metadata" => all["purges"] = json!({ "names": ["*"] }),
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
        "orchestrator" => {
            all["process"] = json!({ "keys": at });
            // What it starts has no certificate.
            if let Some(tls) = given.tls {
                all["process"]["router"] = json!(tls.open_router(given.router)?);
            }
        }
        _ => {}
    }
    Ok(all)
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
    use flame_credentials::{Issuer, Key, Role, Wanted};

    use super::*;

    fn given<'a>(keys: &'a StoreKeys, tls: Option<&'a Tls>) -> Given<'a> {
        let url = |text: &str| Box::leak(Box::new(text.parse::<Url>().unwrap()));
        let (router, store) = (url("https://router:8443"), url("http://ingest:9000"));
        let site = Box::leak(Box::new("edge".parse().unwrap()));
        Given { router, store, is_external: false, keys, fronts: [0, 0, 0, 0].into(), site, tls }
    }

    #[test]
    fn nobody_gets_what_he_does_not_need() {
        let keys = StoreKeys { access_key: "who".to_owned(), secret_key: "sesame".to_owned() };
        for part in &PARTS {
            let own = Own { token: "mine", join_token: None, at: Path::new("/etc/flame") };
            let all = document(part, &own, &given(&keys, None)).unwrap();
            let text = toml::to_string(&all).unwrap();
            assert_eq!(text.contains("sesame"), part.stores, "{text}");
            assert_eq!(text.contains("streaming.secret"), part.name == "streaming", "{text}");
            assert_eq!(text.contains("viewers.json"), matches!(part.name, "streaming" | "vcdn"), "{text}");
            assert!(text.contains("token = \"mine\"") && text.contains("keys = \"/etc/flame\""), "{text}");
            assert!(!text.contains("tls"), "{text}");
        }
    }

    #[test]
    fn who_is_on_another_machine_is_not_left_to_loopback_without_a_word() {
        let scratch = tempfile::tempdir().unwrap();
        let issuer = Issuer::init(&scratch.path().join("ca")).unwrap();
        let warns = |viewers: &str, router: &str| {
            let (issuer, site, viewers) = (issuer.clone(), "edge".parse().unwrap(), viewers.parse().unwrap());
            let tls = Tls { issuer, site, join: Duration::from_secs(60), viewers };
            tls.warning(&router.parse().unwrap()).is_some()
        };
        for router in ["https://192.0.2.1:8443", "https://router:8443", "https://[2001:db8::1]:8443"] {
            assert!(warns("127.0.0.1:8081", router) && warns("[::1]:8081", router), "{router}");
            assert!(!warns("192.0.2.1:8081", router) && !warns("0.0.0.0:8081", router), "{router}");
        }
        for router in ["https://127.0.0.1:8443", "https://[::1]:8443", "https://localhost:8443"] {
            assert!(!warns("127.0.0.1:8081", router), "{router}");
        }
    }

    #[test]
    fn with_certificates_each_joins_for_its_own_names_once_and_the_router_holds_the_authority() {
        let keys = StoreKeys { access_key: "who".to_owned(), secret_key: "sesame".to_owned() };
        let scratch = tempfile::tempdir().unwrap();
        let (file, at) = (scratch.path().join("part.toml"), Path::new("/etc/flame"));
        let issuer = Issuer::init(&scratch.path().join("ca")).unwrap();
        let (site, viewers) = ("edge".parse().unwrap(), "0.0.0.0:8081".parse().unwrap());
        let tls = Tls { issuer: issuer.clone(), site, join: Duration::from_secs(60), viewers };
        for part in &PARTS {
            let made = tls.join_token(part, &file).unwrap();
            assert_eq!(made.is_none(), part.name == ROUTER);
            let own = Own { token: "mine", join_token: made.as_deref(), at };
            let text = toml::to_string(&document(part, &own, &given(&keys, Some(&tls))).unwrap()).unwrap();
            assert!(text.contains("folder = \"/etc/flame/certificate\""), "{text}");
            assert_eq!(text.contains("folder = \"/etc/flame/ca\""), part.name == ROUTER, "{text}");
            assert_eq!(text.contains("router = \"http://router:8081/\""), part.name == "orchestrator", "{text}");
            fs::write(&file, &text).unwrap();
            let Some(made) = made else { continue };
            assert!(text.contains(&made));
            assert_eq!(tls.join_token(part, &file).unwrap(), Some(made.clone()), "nobody has joined with it");
            let moved = Tls { issuer: issuer.clone(), site: "cloud".parse().unwrap(), join: tls.join, viewers };
            assert_ne!(moved.join_token(part, &file).unwrap(), Some(made.clone()), "it is for another site");
            let join = |names: &[&str]| {
                let names = names.iter().map(|name| name.parse().unwrap()).collect();
                let wanted = Wanted { role: Role::Service, site: Some("edge".parse().unwrap()), names };
                let request = Key::new().unwrap().request_pem().unwrap();
                issuer.join(&made.parse().unwrap(), &wanted, &request)
            };
            assert!(join(&["stranger"]).is_err());
            let own = [part.name];
            join(if part.names.is_empty() { &own } else { part.names }).unwrap();
            assert_ne!(tls.join_token(part, &file).unwrap(), Some(made.clone()), "it is spent");
            fs::remove_file(&file).unwrap();
        }
    }
}
