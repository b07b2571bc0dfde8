//! The contract between the parts: wire types of every service, and a typed HTTP client for each.
//!
//! A service never imports another one; what two of them say to each other stands here. One module is
//! one service. The types carry their OpenAPI schema, so that each service's `/openapi.json` and what
//! its callers compile against are the same thing. Nothing here decides, stores or listens.

pub mod client;
pub mod clmc;
pub mod group;
pub mod ingest;
pub mod jobs;
pub mod live;
pub mod media;
pub mod metadata;
pub mod orchestrator;
pub mod page;
pub mod peers;
pub mod problem;
pub mod quality;
pub mod replicas;
pub mod router;
pub mod subtitles;
pub mod transcode;
pub mod vcdn;
pub mod viewers;

pub use client::{Client, ClientError};
pub use page::Page;
pub use problem::Problem;
