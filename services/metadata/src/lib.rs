//! The metadata database: the catalogue of assets, their versions and tracks, and its full-text search.
//!
//! What is acknowledged has reached the disk. It never sees media bytes: it knows the keys of objects, and after an
//! asset is deleted it sees to it that they are gone.
//!
//! Reading order: [`config`], the decisions ([`asset`], [`edit`], [`subtitle`], [`limits`], [`record`], [`imports`], [`search`], `searched`, `stems`, [`filter`], [`facet`], [`cursor`], `highlight`), then [`store`], which
//! keeps them, [`deletions`], `trash`, `purges`, `unread` and [`webhooks`], which work behind, and `http`, which speaks.

pub mod asset;
pub mod config;
pub mod cursor;
pub mod deletions;
pub mod edit;
pub mod facet;
pub mod filter;
mod highlight;
mod http;
pub mod imports;
pub mod known;
pub mod limits;
mod merge;
mod purges;
pub mod record;
pub mod search;
mod searched;
mod stems;
pub mod store;
pub mod subtitle;
mod trash;
mod unread;
pub mod webhooks;
mod words;

pub use config::Config;

use flame_service_host::{Host, Routes, Running, StartError};

use store::Store;

/// The service's name, where nothing else is configured.
const NAME: &str = "metadata";

/// Opens the database, migrates it, and serves.
pub async fn start(config: Config) -> Result<Running, StartError> {
    let mut host = Host::bind(NAME, &config.host).await?;
    let store = Store::open(&config).await.map_err(|error| StartError::Open {
        service: NAME,
        what: "database",
        source: Box::new(error),
    })?;
    if let Some(folder) = config.database.file().and_then(std::path::Path::parent) {
        host.guard_disk(folder.to_owned());
    }
    let needed = store.clone();
    host.need("database", move || {
        let store = needed.clone();
        Box::pin(async move { store.check().await.map_err(|error| error.to_string()) })
    });
    match &config.store {
        Some(objects) => {
            let objects = flame_object_store::Store::connect(objects);
            let store = store.clone();
            host.spawn("deletions", move |stop| deletions::work_off(store, objects, stop));
        }
        None => tracing::warn!("no object store is configured: the objects of deleted assets stay"),
    }
    let feed = store.clone();
    host.spawn("feed", move |stop| async move {
        stop.cancelled().await;
        feed.close_feed();
    });
    for webhook in &config.webhooks {
        let failed = |source| StartError::Open { service: NAME, what: "webhooks", source };
        store.begin_webhook(&webhook.tenant, &webhook.name).await.map_err(|error| failed(Box::new(error)))?;
        let http = webhooks::client().map_err(|error| failed(Box::new(error)))?;
        let (store, webhook) = (store.clone(), webhook.clone());
        host.spawn("webhooks", move |stop| webhooks::tell(store, webhook, http, stop));
    }
    let trash = store.clone();
    host.spawn("trash", move |stop| trash::work_off(trash, stop));
    let records = store.clone();
    host.spawn("records", move |stop| unread::work_off(records, stop));
    if !config.purges.names.is_empty() {
        match host.client() {
            Some(client) => {
                let store = store.clone();
                host.spawn("purges", move |stop| purges::work_off(store, client, stop));
            }
            None => tracing::warn!("no router is configured: surrogates are not told of deletions"),
        }
    }
    let public = http::public(http::Shown { store: store.clone(), config: config.public });
    Ok(host.serve(Routes { private: http::routes(store), public }))
}
