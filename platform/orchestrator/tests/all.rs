//! Placement and policies, judged by brute force and by hand; and the service as its callers meet it, with real processes behind
//! a real router.

#[path = "all/world.rs"]
mod world;

#[path = "all/contract.rs"]
mod contract;
#[path = "all/demands.rs"]
mod demands;
#[path = "all/deploy.rs"]
mod deploy;
#[path = "all/lasting.rs"]
mod lasting;
#[path = "all/plan.rs"]
mod plan;
#[path = "all/policy.rs"]
mod policy;
#[path = "all/trouble.rs"]
mod trouble;
