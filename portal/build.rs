//! Says which files are embedded: what `portal/build` made, or a page that tells of its absence.

use std::path::Path;

fn main() {
    let here = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let here = Path::new(&here);
    let built = here.join("dist");
    let embedded = if built.join("index.html").exists() { built.clone() } else { here.join("src/unbuilt") };
    println!("cargo:rustc-env=FLAME_PORTAL_FILES={}", embedded.display());
    println!("cargo:rerun-if-changed={}", built.display());
    println!("cargo:rerun-if-changed=build.rs");
}
