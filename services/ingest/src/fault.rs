//! Points at which a test can end the process as `kill -9` would: `FLAME_INGEST_FAULT=last-part-stored:2` ends it when
//! the second upload comes by. Only debug builds have them.

/// Ends the process here if the environment says so.
#[cfg(debug_assertions)]
pub fn point(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static WANTED: OnceLock<Option<(String, AtomicU32)>> = OnceLock::new();
    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("FLAME_INGEST_FAULT").ok()?;
        let (name, times) = text.split_once(':').unwrap_or((&text, "1"));
        Some((name.to_owned(), AtomicU32::new(times.parse().ok()?)))
    });
    if let Some((wanted, times)) = wanted
        && wanted == name
        && times.fetch_sub(1, Ordering::Relaxed) == 1
    {
        std::process::abort();
    }
}

/// Release builds have no such points.
#[cfg(not(debug_assertions))]
pub fn point(_: &str) {}
