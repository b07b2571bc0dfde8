//! One running store in a temporary folder, and a client of it.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use bytes::Bytes;
use flame_object_store::{EmbeddedConfig, EmbeddedServer, RunningStore, SecretKey, Store, StoreConfig};
use rand::RngCore;
use tempfile::TempDir;

use crate::consistency;

pub const BUCKET: &str = "flame";
pub const ACCESS_KEY: &str = "access";
pub const SECRET_KEY: &str = "secret-of-the-tests";

pub struct World {
    pub dir: TempDir,
    pub server: RunningStore,
    pub store: Store,
}

impl World {
    /// A running store with its bucket.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut EmbeddedConfig)) -> Self {
        let dir = TempDir::new().unwrap();
        let mut config = server_config(&root(&dir));
        change(&mut config);
        let server = EmbeddedServer::start(config).await.unwrap();
        let store = Store::connect(&store_config(&server.endpoint()));
        store.ensure_bucket().await.unwrap();
        Self { dir, server, store }
    }

    pub fn root(&self) -> PathBuf {
        root(&self.dir)
    }

    /// The files that hold bytes: links of one count once.
    pub fn data_inodes(&self) -> BTreeSet<u64> {
        let folders = std::fs::read_dir(self.root().join("data")).unwrap();
        let files = folders.flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap());
        files.map(|file| file.unwrap().metadata().unwrap().ino()).collect()
    }

    /// The paths of all data files.
    pub fn data_files(&self) -> BTreeSet<PathBuf> {
        let folders = std::fs::read_dir(self.root().join("data")).unwrap();
        folders
            .flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap())
            .map(|file| file.unwrap().path())
            .collect()
    }

    /// The SDK itself, for operations that the store does not offer.
    pub fn sdk(&self) -> Client {
        sdk(&self.server.endpoint(), SECRET_KEY)
    }

    /// Stops the server and checks that every data file has exactly one owner.
    pub async fn stop(self) {
        self.server.stop().await;
        consistency::assert_clean(&root(&self.dir));
    }

    /// Stops and starts again on the same folder.
    pub async fn restart(self) -> Self {
        self.server.stop().await;
        let server = EmbeddedServer::start(server_config(&root(&self.dir))).await.unwrap();
        let store = Store::connect(&store_config(&server.endpoint()));
        Self { dir: self.dir, server, store }
    }
}

fn root(dir: &TempDir) -> PathBuf {
    dir.path().join("store")
}

pub fn server_config(root: &Path) -> EmbeddedConfig {
    EmbeddedConfig {
        root: root.to_owned(),
        listen: "127.0.0.1:0".parse().unwrap(),
        access_key: ACCESS_KEY.to_owned(),
        secret_key: SecretKey::new(SECRET_KEY),
        // The machine that runs the tests may be nearly full; only one test is about that.
        min_free_percent: 0,
        max_connections: 64,
        max_writes: 16,
        stop_grace_s: 10,
    }
}

pub fn store_config(endpoint: &str) -> StoreConfig {
    StoreConfig {
        endpoint: endpoint.to_owned(),
        region: "us-east-1".to_owned(),
        bucket: BUCKET.to_owned(),
        access_key: ACCESS_KEY.to_owned(),
        secret_key: SecretKey::new(SECRET_KEY),
    }
}

/// The SDK with its own defaults: signed payloads, CRC trailers.
pub fn sdk(endpoint: &str, secret: &str) -> Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new(ACCESS_KEY, secret, None, None, "test"))
        .force_path_style(true)
        .build();
    Client::from_conf(config)
}

pub fn random_bytes(size_bytes: usize) -> Bytes {
    let mut bytes = vec![0; size_bytes];
    rand::rng().fill_bytes(&mut bytes);
    bytes.into()
}
