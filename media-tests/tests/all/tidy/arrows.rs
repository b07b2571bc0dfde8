//! Who may depend on whom: crates ◄ services, platform ◄ cli, media-tests, bench, fuzz.

use super::none;
use super::workspace::Metadata;

/// The folder that a package may draw on, by its own. A service meets another over HTTP, by name, never by a link.
fn may_use(layer: &str, other: &str) -> bool {
    match layer {
        "crates" | "services" => other == "crates",
        // The router serves the portal's files. The portal itself uses nothing of ours.
        "platform" => ["crates", "portal"].contains(&other),
        "cli" | "bench" | "media-tests" | "fuzz" => ["crates", "services", "platform"].contains(&other),
        _ => false,
    }
}

#[test]
fn arrows_point_down() {
    let mut findings = Vec::new();
    for package in Metadata::ours().packages {
        let folder = package.folder();
        let layer = folder.components().next().expect("not the root").as_os_str().to_string_lossy().into_owned();
        for dependency in package.dependencies.iter().filter(|dependency| !dependency.is_dev()) {
            let Some(other) = dependency.folder() else { continue };
            let other_layer = other.components().next().expect("not the root").as_os_str().to_string_lossy();
            let (from, to) = (folder.display(), other.display());
            // The test kit starts whole worlds, and only tests use it.
            let for_tests = ["crates/test-kit", "media-tests", "bench"].iter().any(|path| folder.ends_with(path));
            if !may_use(&layer, &other_layer) && !for_tests {
                findings.push(format!("{from} depends on {to}"));
            }
            if other.ends_with("test-kit") && !for_tests {
                findings.push(format!("{from} depends on {to} outside its tests"));
            }
            if other.ends_with("crates/media") {
                findings.push(format!("{from} links the media libraries through {to}: start flame-media instead"));
            }
        }
    }
    none("arrows: crates ◄ services, platform ◄ cli, media-tests, bench, fuzz (docs/architecture.md)", &findings);
}

#[test]
fn only_crates_media_names_media_libraries() {
    let mut findings = Vec::new();
    for package in Metadata::ours().packages.iter().filter(|package| !package.folder().ends_with("crates/media")) {
        for dependency in &package.dependencies {
            if ["gstreamer", "gst-", "ffmpeg", "vmaf"].iter().any(|prefix| dependency.name.starts_with(prefix)) {
                findings.push(format!("{} depends on {}", package.name, dependency.name));
            }
        }
    }
    none("only crates/media names GStreamer, FFmpeg or libvmaf", &findings);
}
