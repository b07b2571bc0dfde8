//! Streaming: what is stored as CMAF tracks, or was uploaded as an ordinary MP4, goes out as HLS and DASH, cut just in time; and
//! live channels, with parts.
//!
//! Of what is stored an instance holds nothing but caches: what plays is asked from the catalogue, bytes are ranges of
//! stored objects and flow through without being kept. So instances can be started and lost at will, and all of them
//! give the same answer, byte for byte and tag for tag. A live channel lives in the instance that its doors push to,
//! and in the object store. It never decodes.
//!
//! Reading order: [`config`], the names of public URLs ([`names`]), what plays of an asset ([`presentation`]), who may have
//! it (`admission`, `links`), what lies where in a track (`track`) and in a file as it was uploaded (`source`), what playlists say of
//! both (`complete`, `multivariant`, `clip`), what is made of a segment on request (`derived`), what it is encrypted with
//! (`seals`), what is read along with it (`text`), what other sites have of it (`replicas`), live channels (`live`), from which site viewers play (`steering`), then
//! `http`, which speaks.

mod admission;
mod clip;
mod complete;
pub mod config;
mod derived;
mod http;
mod links;
mod live;
mod multivariant;
pub mod names;
pub mod presentation;
mod replicas;
mod seals;
mod source;
mod steering;
mod store;
mod text;
mod track;

pub use config::Config;

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use flame_api::Client;
use flame_api::client::Transport;
use flame_naming::Name;
use flame_object_store::Store;
use flame_service_host::auth::DEFAULT_TENANT;
use flame_service_host::keys::{Keyring, unix_seconds};
use flame_service_host::viewers::Verifier;
use flame_service_host::{Host, HostConfig, Pages, Routes, Running, StartError, Whereabouts};
use uuid::Uuid;

use admission::Admission;
use config::{InvalidReplicas, ReplicasConfig};
use derived::Workshop;
use links::Links;
use live::{Figures, Live, Peers, Recordings};
use presentation::Presentations;
use replicas::Replicas;
use seals::{Seals, Wrapping};
use source::Sources;
use steering::Steering;
use store::MediaStore;
use text::Texts;
use track::Tracks;

/// The service's name, where nothing else is configured.
const NAME: &str = "streaming";
/// How long leases of live channels may be.
const LEASES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);

/// Connects to the object store and the router, and serves. A store that does not answer yet is waited for: until it has come, what lies in
/// it is 503.
///
/// # Errors
/// [`StartError`]: the address is taken, the credentials are unusable, or no router is configured.
pub async fn start(config: Config) -> Result<Running, StartError> {
    if let Some(replicas) = &config.replicas {
        let open =
            |source: InvalidReplicas| StartError::Open { service: NAME, what: "replicas", source: source.into() };
        replicas.check().map_err(open)?;
    }
    let others: Vec<&str> = config.replicas.iter().map(|replicas| replicas.name.as_str()).collect();
    let mut host = Host::bind_for(NAME, &config.host, &others).await?;
    let client = host.client().ok_or_else(|| StartError::Open {
        service: NAME,
        what: "catalogue",
        source: Box::new(io::Error::other("set `router` in [host]: metadata is reached by name through it")),
    })?;
    let catalogue = match &config.tenant {
        Some(tenant) => client.for_tenant(tenant),
        None => client.clone(),
    };
    let steering = Steering::open(config.steering.as_ref(), &host, config.host.token.as_deref())?;
    let objects = Store::connect(&config.store);
    let replicas = config.replicas.as_ref();
    let replicas = replicas.map(|replicas| replicate(&mut host, (replicas, config.host.advertise), (&objects, client)));
    let store = MediaStore::new(objects.clone(), config.store_deadline.0).beside(replicas);
    let needed = store.clone();
    host.need("object store", move || {
        let store = needed.clone();
        Box::pin(async move { store.check().await.map_err(|error| error.to_string()) })
    });
    let admission = admission(&config).map_err(|source| StartError::Open {
        service: NAME,
        what: "keys of viewers and surrogates",
        source,
    })?;
    let links = links(&config, &admission).map_err(|source| StartError::Open {
        service: NAME,
        what: "links of viewers",
        source,
    })?;
    let reading = admission.clone();
    host.on_reload(move || reading.reload());
    let tenant = config.tenant.clone().unwrap_or_else(|| DEFAULT_TENANT.to_owned());
    let secret = config.encryption.as_ref().map(|encryption| Wrapping::open_file(&encryption.secret)).transpose();
    let wrapping = secret.map_err(|source| StartError::Open {
        service: NAME,
        what: "secret that keys are wrapped with",
        source: source.into(),
    })?;
    let seals = Seals::new(store.clone(), objects.clone(), wrapping);
    let figures = Figures::new(host.metrics());
    let peers = peers(&host, &config).await?;
    let live = Live::open(tenant, objects, catalogue.clone(), (config.live, figures, seals.clone()), peers).await;
    let live =
        live.map_err(|source| StartError::Open { service: NAME, what: "live channels", source: source.into() })?;
    let taken_back = live.clone();
    host.need("live channels", move || {
        let unopened = taken_back.unopened();
        Box::pin(std::future::ready(unopened.map_or(Ok(()), Err)))
    });
    host.spawn("live", |stop| live.clone().until(stop));
    host.spawn("steering", |stop| steering.clone().until(stop));
    let state = http::State {
        presentations: Presentations::new(catalogue, &config.catalogue),
        tracks: Tracks::new(store.clone(), config.indexes.0),
        recordings: Recordings::new(store.clone(), seals.clone(), config.indexes.0),
        sources: Sources::new(store.clone(), config.movies.0),
        texts: Texts::new(store.clone(), config.subtitles.0),
        workshop: Workshop::new(store.clone(), &config.derived, host.metrics()),
        seals,
        live,
        steering,
        players: http::Players::new(host.metrics()),
        store,
        admission,
        links,
    };
    host.allow_pages(Pages { open_paths: &[http::EVENTS_PATH], ..Pages::default() });
    Ok(host.serve(Routes { public: http::public(state.clone()), private: http::private(state) }))
}

/// Stands in for the near store before other sites, and copies what they have.
fn replicate(
    host: &mut Host,
    (config, advertise): (&ReplicasConfig, Option<SocketAddr>),
    (near, client): (&Store, Client),
) -> Replicas {
    let (replicas, waiting) = Replicas::new((near.clone(), client), config, host.metrics());
    host.also_register(config.name.clone(), advertise.unwrap_or(host.address()));
    let copying = replicas.clone();
    host.spawn("replicas", move |stop| copying.until(waiting, stop));
    replicas
}

/// How other instances reach this one, and are reached; `None` where there are none.
async fn peers(host: &Host, config: &Config) -> Result<Option<Peers>, StartError> {
    let Some(life) = config.live.lease else { return Ok(None) };
    let open = |source| StartError::Open { service: NAME, what: "lease of live channels", source };
    if !LEASES.contains(&life.0) {
        return Err(open("`lease` in [live] is 1s to 1min".into()));
    }
    let HostConfig { advertise, router, .. } = config.host.clone();
    let own = Whereabouts { advertise, bound: host.address(), router }.address().await;
    let own = own.map_err(|error| open(error.into()))?;
    // An owner would take what a spare passes on for the spare's own word, by its certificate, and not by the caller's token.
    if host.certificate().is_some() {
        return Err(open("`lease` in [live] is not for instances with certificates ([host.tls]) yet".into()));
    }
    Ok(Some(Peers { own, transport: Transport::default() }))
}

/// Reads the keys of those who sign viewers' URLs and surrogates' tokens.
fn admission(config: &Config) -> Result<Admission, Box<dyn Error + Send + Sync>> {
    let name: Name = config.host.name.as_deref().unwrap_or(NAME).parse()?;
    let viewers = config.viewers.as_ref().map(|viewers| Verifier::open(viewers.signers(&name))).transpose()?;
    let surrogates = config.surrogates.as_ref().map(|surrogates| &surrogates.keys).or(config.host.auth.keys.as_ref());
    let surrogates = surrogates.map(|folder| Keyring::open(folder)).transpose()?;
    Ok(Admission { viewers: viewers.map(Arc::new), surrogates: surrogates.map(Arc::new) })
}

/// Where links are signed here, what signs them. What they would open here is held to the keys of this service: links that lead nowhere
/// else have to, and those that lead to a surrogate do not offer what they cannot.
fn links(config: &Config, admission: &Admission) -> Result<Option<Links>, Box<dyn Error + Send + Sync>> {
    let name: Name = config.host.name.as_deref().unwrap_or(NAME).parse()?;
    let (Some(viewers), Some(verifier)) = (&config.viewers, &admission.viewers) else { return Ok(None) };
    let Some(wanted) = &viewers.links else { return Ok(None) };
    let links = Links::open(wanted, &name, viewers.origin.as_deref())?;
    let now_unix_s = unix_seconds();
    let link = links.sign(Uuid::nil(), None, now_unix_s)?;
    let Err(refused) = verifier.verify(link.below(), now_unix_s) else { return Ok(Some(links)) };
    if links.lead_here() {
        let reason = "links of [viewers.links] open nothing here";
        return Err(format!("{reason}: {refused}; hold `signer` and `origin` against [viewers]").into());
    }
    tracing::info!(%refused, "links of [viewers.links] open nothing here, and lead to surrogates alone");
    Ok(Some(links.elsewhere()))
}
