//! Points at which a test can end the process as `kill -9` would: `FLAME_FAULT=last-part-stored:2` ends it when
//! the second upload comes by. `panic@assembled:2` makes the work panic there, the first two times. Only debug builds have them.

/// Ends the process here, or panics, if the environment says so.
///
/// # Panics
/// If the environment says so.
#[cfg(debug_assertions)]
pub fn point(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static WANTED: OnceLock<Option<(String, bool, AtomicU32)>> = OnceLock::new();
    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("FLAME_FAULT").ok()?;
        let (name, times) = text.split_once(':').unwrap_or((&text, "1"));
        let (name, panics) = name.strip_prefix("panic@").map_or((name, false), |name| (name, true));
        Some((name.to_owned(), panics, AtomicU32::new(times.parse().ok()?)))
    });
    let Some((_, panics, times)) = wanted.as_ref().filter(|(wanted, ..)| wanted == name) else { return };
    let before = times.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    match (panics, before) {
        (true, Ok(_)) => panic!("as FLAME_FAULT asks for, at {name}"),
        (false, Ok(1)) => std::process::abort(),
        (true | false, _) => {}
    }
}

/// Release builds have no such points.
#[cfg(not(debug_assertions))]
pub fn point(_: &str) {}
