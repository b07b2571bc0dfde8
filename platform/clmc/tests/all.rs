//! The service as those who report and those who ask meet it: on a socket, with a store on disk; and beside InfluxDB.

#[path = "all/servers.rs"]
mod servers;
#[path = "all/world.rs"]
mod world;

#[path = "all/alerts.rs"]
mod alerts;
#[path = "all/configured.rs"]
mod configured;
#[path = "all/contract.rs"]
mod contract;
#[path = "all/crash.rs"]
mod crash;
#[path = "all/forward.rs"]
mod forward;
#[path = "all/graph.rs"]
mod graph;
#[path = "all/judges.rs"]
mod judges;
#[path = "all/tenants.rs"]
mod tenants;
#[path = "all/write.rs"]
mod write;
