//! What tests of several packages share: waiting for a condition, free ports, scratch folders, clips, programs,
//! and the whole product as one process.
//!
//! Development only: no service, platform or command-line crate depends on it outside its tests. Everything here
//! panics with what to do when it cannot be had, for a test cannot go on without it. Nothing here imitates a part
//! of the product: a test that needs a service starts the real one.

pub mod bundle;
pub mod clips;
pub mod foreign;
pub mod hostile;
pub mod long_movie;
pub mod netns;
pub mod openapi;
pub mod origin;
pub mod ports;
pub mod postgres;
pub mod processes;
pub mod programs;
pub mod scratch;
pub mod seaweedfs;
pub mod skip;
pub mod star;
pub mod wait;

pub use bundle::Bundle;
pub use netns::Network;
pub use postgres::Postgres;
pub use programs::repository;
pub use scratch::Scratch;
pub use skip::loud_skip;
pub use wait::{eventually, wait_for};
