//! What every process of the platform does the same way: configuration, logs, health, metrics, who may call,
//! how an error looks, registration with the router, and a stop that loses nothing.
//!
//! A service builds its routes and its domain; [`Host`] does the rest:
//!
//! ```ignore
//! pub async fn start(config: Config) -> Result<Running, StartError> {
//!     let mut host = Host::bind("metadata", &config.host).await?;
//!     let store = Store::open(&config.database).await?;
//!     host.spawn("sweeper", |stop| sweep(store.clone(), stop));
//!     host.serve(Routes { private: http::private(store), public: OpenApiRouter::new() })
//! }
//! ```
//!
//! It never knows what a service is about.

mod acceptor;
pub mod access;
pub mod auth;
pub mod browser;
pub mod config;
pub mod connecting;
mod connection;
pub mod connector;
pub mod cores;
pub mod disk;
pub mod extract;
pub mod fault;
pub mod health;
pub mod host;
pub mod keys;
pub mod links;
pub mod logs;
pub mod membership;
pub mod metrics;
mod openapi;
pub mod plain;
pub mod precondition;
mod probe;
pub mod problem;
pub mod registration;
mod running;
mod server;
mod socket;
pub mod telemetry;
pub mod viewers;
pub mod whereabouts;

pub use acceptor::{Acceptor, Encrypted};
pub use auth::{Authority, Caller, Scope, SignedIn};
pub use browser::Pages;
pub use config::HostConfig;
pub use connection::Stays;
pub use disk::FreeSpace;
pub use extract::{Json, Path, Query};
pub use host::{Front, Host, Routes, StartError, Taken};
pub use membership::{Entry, TlsConfig, Transports};
pub use precondition::IfMatch;
pub use problem::{Failure, FailureResult};
pub use running::{Running, stop_wished};
pub use socket::Socket;
pub use telemetry::TelemetryConfig;
pub use whereabouts::Whereabouts;
