//! The service as its callers meet it: with a real database, object store, router, catalogue and media process.

#[path = "all/world.rs"]
mod world;

#[path = "all/chains.rs"]
mod chains;
#[path = "all/chunks.rs"]
mod chunks;
#[path = "all/contract.rs"]
mod contract;
#[path = "all/crash.rs"]
mod crash;
#[path = "all/derived.rs"]
mod derived;
#[path = "all/endings.rs"]
mod endings;
#[path = "all/events.rs"]
mod events;
#[path = "all/jobs.rs"]
mod jobs;
#[path = "all/ladders.rs"]
mod ladders;
#[path = "all/queue.rs"]
mod queue;
#[path = "all/reuse.rs"]
mod reuse;
#[path = "all/schema.rs"]
mod schema;
#[path = "all/success.rs"]
mod success;
#[path = "all/tenants.rs"]
mod tenants;
