//! The service as its callers meet it: with a real database, object store, router, catalogue and media process.

#[path = "all/world.rs"]
mod world;

#[path = "all/comparisons.rs"]
mod comparisons;
#[path = "all/contract.rs"]
mod contract;
#[path = "all/crash.rs"]
mod crash;
#[path = "all/inspections.rs"]
mod inspections;
#[path = "all/scores.rs"]
mod scores;
#[path = "all/suites.rs"]
mod suites;
#[path = "all/tenants.rs"]
mod tenants;
