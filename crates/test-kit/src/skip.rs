//! A check that this machine cannot make is skipped loudly: said on the spot, and counted at the end of `make test`.

use std::fs::OpenOptions;
use std::io::Write;
use std::panic::Location;

/// Environment variable with the file that `make test` counts.
const LIST_VARIABLE: &str = "FLAME_SKIPS";

/// Says that the calling test leaves something out, and why. The test returns after it.
///
/// # Panics
/// When the list of `make test` cannot be written: a skip that nobody counts is a test that lies.
#[track_caller]
pub fn loud_skip(reason: &str) {
    let caller = Location::caller();
    eprintln!("SKIPPED at {caller}: {reason}");
    if let Some(list) = std::env::var_os(LIST_VARIABLE) {
        let written = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&list)
            .and_then(|mut file| file.write_all(format!("{caller}: {reason}\n").as_bytes()));
        if let Err(error) = written {
            panic!("the skip could not be counted in {}: {error}", list.display());
        }
    }
}
