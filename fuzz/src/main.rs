//! The targets under libFuzzer: `FLAME_FUZZ_TARGET=edge_head flame-fuzz CORPUS`. Built and called by `fuzz/run`.

#![no_main]

use std::sync::LazyLock;

use flame_fuzz::{TARGETS, Target, find};
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("FLAME_FUZZ_TARGET").unwrap_or_default();
    find(&name).unwrap_or_else(|| {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("FLAME_FUZZ_TARGET=`{name}` is no target; there are {}", names.join(" "));
        std::process::exit(2)
    })
});

fuzz_target!(|data: &[u8]| (TARGET.run)(data));
