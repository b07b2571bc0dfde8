//! What Cargo knows of the workspace.

use std::path::PathBuf;
use std::process::Command;

use flame_test_kit::repository;
use serde::Deserialize;

#[derive(Deserialize)]
pub struct Metadata {
    pub packages: Vec<Package>,
}

#[derive(Deserialize)]
pub struct Package {
    pub name: String,
    pub license: Option<String>,
    pub source: Option<String>,
    pub manifest_path: PathBuf,
    pub dependencies: Vec<Dependency>,
    pub targets: Vec<Target>,
}

#[derive(Deserialize)]
pub struct Dependency {
    pub name: String,
    /// `None` for a normal one, else `dev` or `build`.
    pub kind: Option<String>,
    /// Where it lies, if it is one of ours.
    pub path: Option<PathBuf>,
}

#[derive(Deserialize)]
pub struct Target {
    pub name: String,
    pub kind: Vec<String>,
    pub src_path: PathBuf,
    /// Features without which it is not built: it is no part of the product.
    #[serde(default, rename = "required-features")]
    pub required_features: Vec<String>,
}

// === impl Metadata ===

impl Metadata {
    /// The packages of the workspace alone.
    pub fn ours() -> Self {
        Self::ask(&["--no-deps"])
    }

    /// With every package that Cargo.lock names for this platform.
    pub fn all() -> Self {
        Self::ask(&["--filter-platform", "x86_64-unknown-linux-gnu"])
    }

    fn ask(more: &[&str]) -> Self {
        let ran = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .current_dir(repository())
            .args(["metadata", "--format-version", "1", "--offline", "--locked"])
            .args(more)
            .output()
            .expect("cargo runs");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        serde_json::from_slice(&ran.stdout).expect("cargo metadata is JSON of version 1")
    }
}

// === impl Package ===

impl Package {
    /// Its folder, relative to the repository's root.
    pub fn folder(&self) -> PathBuf {
        let folder = self.manifest_path.parent().expect("a manifest lies in a folder");
        folder.strip_prefix(repository()).unwrap_or(folder).to_owned()
    }
}

// === impl Dependency ===

impl Dependency {
    pub fn is_dev(&self) -> bool {
        self.kind.as_deref() == Some("dev")
    }

    /// Its folder, relative to the repository's root, if it is one of ours.
    pub fn folder(&self) -> Option<PathBuf> {
        Some(self.path.as_ref()?.strip_prefix(repository()).ok()?.to_owned())
    }
}
