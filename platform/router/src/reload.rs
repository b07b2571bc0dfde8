//! Reading the site file and the limits again (SIGHUP).
//!
//! Everything is judged before anything is changed: a file that cannot be used leaves all as it was. What is not a limit
//! (names, paths, groups, how connections are kept) stays as it was at the start.

use std::sync::Arc;

use flame_service_host::config::ConfigError;
use flame_service_host::problem::chain;
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::peers::{self, Wanted};
use crate::proxy::Proxy;
use crate::registry::Registry;
use crate::search::Rules;

/// Who follows the files.
pub(crate) struct Reload {
    pub(crate) registry: Registry,
    pub(crate) proxy: Proxy,
    pub(crate) wanted: watch::Sender<Wanted>,
}

// === impl Reload ===

impl Reload {
    /// Takes what `read` gives at every hangup, until `stop`.
    pub(crate) async fn on<F>(self, mut hangups: Signal, read: F, stop: CancellationToken)
    where
        F: Fn() -> Result<Config, ConfigError> + Send + Sync + 'static,
    {
        loop {
            tokio::select! {
                hangup = hangups.recv() => if hangup.is_none() { return },
                () = stop.cancelled() => return,
            }
            match read().map_err(Into::into).and_then(|config| self.with(&config)) {
                Ok(()) => tracing::info!("sites and limits are read again"),
                Err(error) => {
                    let error = chain(error.as_ref());
                    tracing::error!(error, "sites and limits stay as they were");
                }
            }
        }
    }

    /// Takes sites and limits of `config`.
    fn with(&self, config: &Config) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let sites = Arc::new(peers::sites(config.sites.as_deref(), &self.registry.site())?);
        let rules = Rules::new(&config.search)?;
        self.registry.rearrange(&sites, config.limits.endpoints, config.upstream.repeats());
        self.proxy.change(config, rules);
        self.wanted.send_replace(Wanted::new(&sites, config));
        Ok(())
    }
}
