//! Configuration: one TOML file per service, and environment variables over it.
//!
//! `FLAME_METADATA__HOST__LISTEN=127.0.0.1:9000` overrides `[host] listen` of the metadata service (two underscores
//! are a level). Unknown keys are errors. Durations read `"4s"`, sizes `"64MiB"`.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use flame_api::router::EndpointState;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use crate::auth::AuthConfig;
use crate::membership::TlsConfig;
use crate::probe;
use crate::telemetry::TelemetryConfig;

/// `[host]`: what every service is told.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Address that is registered with the router, if it is not the one listened on.
    pub advertise: Option<SocketAddr>,
    /// Name to register under (`metadata`, `metadata.main.acme`); the service's own name by default.
    pub name: Option<String>,
    /// The router; without one the service neither registers nor finds others.
    pub router: Option<Url>,
    /// Credential for calls to other services.
    pub token: Option<String>,
    /// Who may call.
    pub auth: AuthConfig,
    /// The certificate of this part; without it the service speaks plain HTTP.
    pub tls: Option<TlsConfig>,
    /// Hosts that requests may be for where no token is needed, besides IP addresses, `localhost` and names under it;
    /// what comes through the router is judged there.
    pub allowed_hosts: Vec<String>,
    /// Below this share of free disk, writes are answered with 507.
    pub min_free_disk_percent: f64,
    /// Connections served at once; more wait in the listen queue.
    pub max_connections: usize,
    /// Time that open requests get to finish when the service stops.
    pub drain: Span,
    /// Time that a client may take to send its request head.
    pub head_timeout: Span,
    /// Time that a client may take nothing of an answer that waits for it; then its connection is closed.
    pub write_idle: Span,
    /// On which terms it registers.
    pub registration: RegistrationConfig,
    /// How HTTP/2 is spoken.
    pub http2: Http2Config,
    /// Where it reports its measurements to, if it does.
    pub telemetry: Option<TelemetryConfig>,
}

/// `[host.http2]`: how HTTP/2 is spoken with those who begin with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http2Config {
    /// Requests at once on one connection; further ones wait at the client.
    pub max_streams: u32,
    /// What is taken ahead of a request's body and kept ahead of an answer's, each; four times that of all bodies of one
    /// connection's requests.
    pub window: Bytes,
}

/// `[host.registration]`: on which terms a service registers with the router.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistrationConfig {
    /// `connected` gets requests at once; `booted` stands by until it is connected (`flame endpoint connect`).
    pub state: EndpointState,
    /// How much it bears beside the others behind its name, 1 to 1000.
    pub weight: u16,
    /// Requests at once that it takes of one router; any number where it is unset.
    pub capacity: Option<u32>,
    /// Whether the router is to ask it by HTTP/2: all requests over one connection.
    pub http2: bool,
}

/// A duration, written as a number and a unit: `"250ms"`, `"4s"`, `"5min"`, `"2h"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// A number of bytes, written with a unit: `"512B"`, `"64KiB"`, `"64MiB"`, `"2GiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there.
    #[error("configuration file {0} cannot be read: it does not exist")]
    Missing(PathBuf),
    /// A value is missing, unknown or of the wrong form; the message names file and key.
    #[error("configuration of {service}: {message}")]
    Invalid {
        /// The service.
        service: String,
        /// figment's words: what, where.
        message: String,
    },
}

/// A value with a unit that is not understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{value}` is not {wanted}")]
pub struct UnitError {
    value: String,
    wanted: &'static str,
}

/// The configuration file that a service's own program was given, for `main`: `flame-<service> [CONFIG.toml]`. Ends the
/// process after `health`, `--help` and `--version`, and, with status 2, after anything else that is no file.
#[must_use]
pub fn file_argument(service: &str) -> Option<PathBuf> {
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next();
    let usage = format!(
        "usage: flame-{service} [CONFIG.toml]\n       flame-{service} health [CONFIG.toml]   whether the one that runs here is ready\n\n\
         Every key is in the service's config.example.toml; environment variables win: FLAME_{}__HOST__LISTEN=127.0.0.1:7000",
        service.to_uppercase().replace('-', "_")
    );
    match first.as_ref().and_then(|first| first.to_str()) {
        Some("-h" | "--help") => end(&usage, 0),
        Some("-V" | "--version") => end(&format!("flame-{service} {}", env!("CARGO_PKG_VERSION")), 0),
        Some("health") => {
            let file = arguments.next().map(PathBuf::from);
            if arguments.next().is_some() {
                end(&usage, 2);
            }
            let status = layers(Figment::new(), service, file.as_deref())
                .map(|configuration| probe::run(&configuration))
                .unwrap_or_else(|error| end(&error.to_string(), 1));
            std::process::exit(status)
        }
        Some(flag) if flag.starts_with('-') => end(&usage, 2),
        Some(_) | None if arguments.next().is_some() => end(&usage, 2),
        Some(_) | None => first.map(PathBuf::from),
    }
}

fn end(text: &str, status: i32) -> ! {
    if status == 0 {
        println!("{text}");
    } else {
        eprintln!("{text}");
    }
    std::process::exit(status)
}

/// What the orchestrator gives to endpoints where tokens are needed: their credential, and the folder with the public keys of callers.
const GIVEN: [(&str, &str); 2] = [("FLAME_TOKEN", "host.token"), ("FLAME_KEYS", "host.auth.keys")];

/// Loads the configuration of `service` from `file` (if given) and from `FLAME_<SERVICE>__…` variables; `host.token` also from
/// `FLAME_TOKEN`, and `host.auth.keys` from `FLAME_KEYS`.
pub fn load<T: DeserializeOwned>(service: &str, file: Option<&Path>) -> Result<T, ConfigError> {
    extract(Figment::new(), service, file)
}

/// The same over `defaults`: for a service whose defaults within a section are not those of the section's type.
pub fn load_over<T: DeserializeOwned + Serialize>(
    defaults: &T,
    service: &str,
    file: Option<&Path>,
) -> Result<T, ConfigError> {
    extract(Figment::from(Serialized::defaults(defaults)), service, file)
}

fn extract<T: DeserializeOwned>(figment: Figment, service: &str, file: Option<&Path>) -> Result<T, ConfigError> {
    let read = layers(figment, service, file)?.extract();
    read.map_err(|error| ConfigError::Invalid { service: service.to_owned(), message: error.to_string() })
}

/// What is said in the file and in the environment, over `figment`.
fn layers(mut figment: Figment, service: &str, file: Option<&Path>) -> Result<Figment, ConfigError> {
    if let Some(file) = file {
        if !file.is_file() {
            return Err(ConfigError::Missing(file.to_owned()));
        }
        figment = figment.merge(Toml::file_exact(file));
    }
    let prefix = format!("FLAME_{}__", service.to_uppercase().replace('-', "_"));
    figment = figment.merge(Env::prefixed(&prefix).split("__"));
    // What an endpoint is given by whoever started it, where nothing else is said.
    for (variable, key) in GIVEN {
        if let Some(value) = std::env::var(variable).ok().filter(|value| !value.is_empty()) {
            figment = figment.join((key, value));
        }
    }
    Ok(figment)
}

// === impl HostConfig ===

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            advertise: None,
            name: None,
            router: None,
            token: None,
            auth: AuthConfig::default(),
            tls: None,
            allowed_hosts: Vec::new(),
            min_free_disk_percent: 5.0,
            max_connections: 4096,
            drain: Span(Duration::from_secs(10)),
            head_timeout: Span(Duration::from_secs(10)),
            write_idle: Span(Duration::from_secs(60)),
            registration: RegistrationConfig::default(),
            http2: Http2Config::default(),
            telemetry: None,
        }
    }
}

impl Default for RegistrationConfig {
    fn default() -> Self {
        Self { state: EndpointState::Connected, weight: 1, capacity: None, http2: false }
    }
}

impl Default for Http2Config {
    fn default() -> Self {
        Self { max_streams: 128, window: Bytes(256 << 10) }
    }
}

/// Without the token: configurations get into logs.
impl fmt::Debug for HostConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            listen,
            advertise,
            name,
            router,
            token,
            auth,
            tls,
            allowed_hosts,
            min_free_disk_percent,
            max_connections,
            drain,
            head_timeout,
            write_idle,
            registration,
            http2,
            telemetry,
        } = self;
        f.debug_struct("HostConfig")
            .field("listen", listen)
            .field("advertise", advertise)
            .field("name", name)
            .field("router", &router.as_ref().map(Url::as_str))
            .field("token", &token.as_ref().map(|_| "[redacted]"))
            .field("auth", auth)
            .field("tls", tls)
            .field("allowed_hosts", allowed_hosts)
            .field("min_free_disk_percent", min_free_disk_percent)
            .field("max_connections", max_connections)
            .field("drain", drain)
            .field("head_timeout", head_timeout)
            .field("write_idle", write_idle)
            .field("registration", registration)
            .field("http2", http2)
            .field("telemetry", telemetry)
            .finish()
    }
}

// === impl Span ===

const SPAN_UNITS: [(&str, u64); 4] = [("ms", 1), ("min", 60_000), ("h", 3_600_000), ("s", 1000)];

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse_unit(text, &SPAN_UNITS).map(|ms| Self(Duration::from_millis(ms))).ok_or_else(|| UnitError {
            value: text.to_owned(),
            wanted: "a duration such as \"250ms\", \"4s\", \"5min\" or \"2h\"",
        })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if ms.is_multiple_of(1000) { write!(f, "{}s", ms / 1000) } else { write!(f, "{ms}ms") }
    }
}

// === impl Bytes ===

const BYTE_UNITS: [(&str, u64); 5] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40), ("B", 1)];

impl FromStr for Bytes {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse_unit(text, &BYTE_UNITS).map(Self).ok_or_else(|| UnitError {
            value: text.to_owned(),
            wanted: "a size such as \"512B\", \"64KiB\", \"64MiB\" or \"2GiB\"",
        })
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = ["TiB", "GiB", "MiB", "KiB"].into_iter().find_map(|name| {
            let (_, size) = BYTE_UNITS.iter().find(|(unit, _)| *unit == name)?;
            (self.0 > 0 && self.0.is_multiple_of(*size)).then_some((name, *size))
        });
        match unit {
            Some((name, size)) => write!(f, "{}{name}", self.0 / size),
            None => write!(f, "{}B", self.0),
        }
    }
}

fn parse_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    units.iter().find_map(|(unit, scale)| {
        let number = text.strip_suffix(unit)?.trim_end();
        number.parse::<u64>().ok()?.checked_mul(*scale)
    })
}

macro_rules! text_serde {
    ($type:ty) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}
text_serde!(Span);
text_serde!(Bytes);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_and_printed() {
        for (text, ms) in [("250ms", 250), ("4s", 4000), ("5min", 300_000), ("2h", 7_200_000)] {
            assert_eq!(text.parse::<Span>().unwrap().0, Duration::from_millis(ms));
        }
        for (text, bytes) in [("512B", 512), ("64KiB", 65_536), ("2GiB", 2 << 30)] {
            let parsed: Bytes = text.parse().unwrap();
            assert_eq!(parsed.0, bytes);
            assert_eq!(parsed.to_string(), text);
        }
        for wrong in ["", "4", "4 parsecs", "-1s", "99999999999999999999s", "18446744073709551615TiB"] {
            assert!(wrong.parse::<Span>().is_err() && wrong.parse::<Bytes>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_configuration_does_not_print_its_token() {
        let config = HostConfig { token: Some("s3cret".to_owned()), ..HostConfig::default() };
        let text = format!("{config:?}");
        assert!(!text.contains("s3cret") && text.contains("[redacted]"), "{text}");
    }

    #[test]
    fn an_unknown_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.toml");
        std::fs::write(&file, "listn = \"127.0.0.1:1\"\n").unwrap();
        let error = load::<HostConfig>("metadata", Some(&file)).unwrap_err().to_string();
        assert!(error.contains("listn") && error.contains("a.toml"), "{error}");
    }
}
