//! A hostile file kills a child, never a service: only `flame-media` links media libraries.

use std::process::Command;

use flame_test_kit::programs::program;

use super::none;
use super::workspace::{Metadata, Target};

fn media_libraries(binary: &str) -> Vec<String> {
    let ran = Command::new("ldd").arg(program(binary)).output().expect("ldd runs");
    assert!(ran.status.success(), "ldd {binary}: {}", String::from_utf8_lossy(&ran.stderr));
    let libraries = String::from_utf8(ran.stdout).expect("ldd prints UTF-8");
    let names = libraries.lines().filter_map(|line| line.split_whitespace().next());
    let media = ["libgst", "libav", "libsw", "libvmaf", "libx264"];
    names.filter(|name| media.iter().any(|prefix| name.starts_with(prefix))).map(str::to_owned).collect()
}

#[test]
fn only_flame_media_links_media_libraries() {
    let mut findings = Vec::new();
    for package in Metadata::ours().packages {
        let is_built =
            |target: &&Target| target.kind.iter().any(|kind| kind == "bin") && target.required_features.is_empty();
        for target in package.targets.iter().filter(is_built) {
            let linked = media_libraries(&target.name);
            if target.name == "flame-media" {
                assert!(linked.iter().any(|name| name.starts_with("libgst")), "ldd shows what flame-media links");
            } else if !linked.is_empty() {
                findings.push(format!("{} links {}", target.name, linked.join(", ")));
            }
        }
    }
    none("only flame-media links media libraries", &findings);
}
