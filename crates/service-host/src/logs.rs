//! Logs: structured, on standard error; JSON unless a person watches.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Sets up logging for the process. `FLAME_LOG` filters (`info`, `flame_ingest=debug`); `FLAME_LOG_FORMAT` is `json` or
/// `text` (default: text on a terminal, JSON otherwise). Does nothing if logging is set up already.
pub fn init(default_filter: &str) {
    let filter = EnvFilter::try_from_env("FLAME_LOG").unwrap_or_else(|_| EnvFilter::new(default_filter));
    let json = match std::env::var("FLAME_LOG_FORMAT").as_deref() {
        Ok("json") => true,
        Ok("text") => false,
        Ok(_) | Err(_) => !std::io::stderr().is_terminal(),
    };
    // A log that cannot be written (its disk is full) is lost; to say so on the same standard error would panic.
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).log_internal_errors(false);
    // An error means that a subscriber is set already: the first one stays.
    let _ = if json { builder.json().flatten_event(true).try_init() } else { builder.try_init() };
}
