//! The lease with the router: taken at start, renewed at a third of its life, given back at the end.
//!
//! Whether the service gets requests is changed at the router, which forgets it when it restarts. So a lease begins in the
//! state that the router last said: a standby that was connected is not taken back by a restart of the router.

use std::time::{Duration, SystemTime};

use flame_api::Client;
use flame_api::router::{EndpointState, LEASE_TTL_MS, Registration};
use tokio_util::sync::CancellationToken;

use crate::config::RegistrationConfig;
use crate::health::Health;
use crate::problem::chain;
use crate::whereabouts::Whereabouts;

/// Pause before the next try after a failed one.
const RETRY: Duration = Duration::from_millis(500);
/// What may be wrong where a router is asked over TLS by a part without a certificate.
const NO_CERTIFICATE: &str = ": this part has no certificate, which a router of parts with [host.tls] asks for";

/// One endpoint's place behind a name.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    pub client: Client,
    pub name: String,
    pub endpoint: String,
    pub whereabouts: Whereabouts,
    /// Whether it speaks TLS there.
    pub tls: bool,
    pub terms: RegistrationConfig,
}

// === impl Lease ===

impl Lease {
    /// Keeps the lease until `stop`, then gives it back.
    pub(crate) async fn keep(self, health: Health, stop: CancellationToken) {
        // Milliseconds of the start: a restarted endpoint has the higher generation, and takes the place of what was at its
        // address. Where the clock was set back meanwhile it does not: both are listed until the old lease ends. They are one
        // process, so nobody is sent astray; a counter on disk would cost every service a folder for that.
        let RegistrationConfig { state, weight, capacity, http2 } = self.terms;
        let begun = Registration::new(self.whereabouts.bound, unix_ms(), LEASE_TTL_MS);
        let mut registration = Registration { state, weight, capacity, http2, tls: self.tls, ..begun };
        let mut held = None;
        health.stage().set("connecting");
        loop {
            let asked = unix_ms();
            // Once it is held, the address stays: another one is another endpoint.
            let address = if held == Some(true) { Ok(registration.address) } else { self.whereabouts.address().await };
            let answer = match address {
                Ok(address) => {
                    registration.address = address;
                    let registered = self.client.register(&self.name, &self.endpoint, &registration).await;
                    registered.map_err(|error| chain(&error))
                }
                Err(error) => Err(format!("where it is reached is not known: {error}")),
            };
            let address = registration.address;
            let pause = match answer {
                Ok(endpoint) => {
                    if held != Some(true) {
                        tracing::info!(name = self.name, %address, state = ?endpoint.state, "registered");
                    }
                    held = Some(true);
                    registration.state = endpoint.state;
                    health.stage().set(match endpoint.state {
                        EndpointState::Connected => "connected",
                        EndpointState::Booted | EndpointState::Draining | EndpointState::Killed => "booted",
                    });
                    health.set_clock_offset_ms(offset_ms(asked, endpoint.router_time_unix_ms, unix_ms()));
                    Duration::from_millis(LEASE_TTL_MS / 3)
                }
                Err(error) => {
                    // Once, and not at each try: also the first, or a wrong router or token would never be named.
                    if held != Some(false) {
                        let hint =
                            if !self.tls && self.client.router().scheme() == "https" { NO_CERTIFICATE } else { "" };
                        tracing::warn!(name = self.name, %address, error, "not registered; trying on{hint}");
                    }
                    held = Some(false);
                    health.stage().set("connecting");
                    RETRY
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => break,
            }
        }
        if let Err(error) = self.client.deregister(&self.name, &self.endpoint).await {
            tracing::debug!(name = self.name, %error, "the lease was not given back; it ends by itself");
        }
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The other clock minus ours, taking its answer as given in the middle of the call.
fn offset_ms(asked: u64, theirs: u64, answered: u64) -> i64 {
    let ours = asked.midpoint(answered);
    theirs.cast_signed().wrapping_sub(ours.cast_signed())
}
