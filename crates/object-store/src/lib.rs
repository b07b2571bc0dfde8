//! The one way to the stored bytes: S3, spoken by [`Store`]; and [`EmbeddedServer`], an S3 server on a folder
//! for a machine that has none.
//!
//! The services know only [`Store`]. Whether the other end is the embedded server, SeaweedFS, MinIO or AWS is a
//! matter of [`StoreConfig`] alone, and no code asks which it is. There is no second storage API and no way
//! around the protocol: the process that hosts the embedded server sends it the same signed requests as everybody, only
//! not through a socket.
//!
//! Reading order: [`client`], then [`server`], whose first page describes the folder and what a crash leaves.

pub mod aligned;
pub mod client;
pub mod server;

pub use aligned::aligned_buffer;
pub use client::{
    IfExists, ListPage, MultipartUpload, ObjectBody, ObjectInfo, ObjectSummary, OpenUpload, PageToken, PartTag,
    PresignedPut, SecretKey, Store, StoreConfig, StoreError,
};
pub use server::{EmbeddedConfig, EmbeddedServer, RunningStore, ServerError, snapshot};
