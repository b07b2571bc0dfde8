//! The surrogate on real sockets: behind a real router, in front of a real origin whose log is the witness.

#[path = "all/origin.rs"]
mod origin;
#[path = "all/world.rs"]
mod world;

#[path = "all/apis.rs"]
mod apis;
#[path = "all/broken.rs"]
mod broken;
#[path = "all/clocks.rs"]
mod clocks;
#[path = "all/cmcd.rs"]
mod cmcd;
#[path = "all/conditions.rs"]
mod conditions;
#[path = "all/contract.rs"]
mod contract;
#[path = "all/disk.rs"]
mod disk;
#[path = "all/filling.rs"]
mod filling;
#[path = "all/freshness.rs"]
mod freshness;
#[path = "all/hostile.rs"]
mod hostile;
#[path = "all/killed.rs"]
mod killed;
#[path = "all/multicast.rs"]
mod multicast;
#[path = "all/own.rs"]
mod own;
#[path = "all/own_name.rs"]
mod own_name;
#[path = "all/purges.rs"]
mod purges;
#[path = "all/ranges.rs"]
mod ranges;
#[path = "all/savings.rs"]
mod savings;
#[path = "all/sharing.rs"]
mod sharing;
#[path = "all/stopped.rs"]
mod stopped;
#[path = "all/strangers.rs"]
mod strangers;
#[path = "all/suite.rs"]
mod suite;
#[path = "all/tls.rs"]
mod tls;
#[path = "all/tls_and_plain.rs"]
mod tls_and_plain;
#[path = "all/tokens.rs"]
mod tokens;
#[path = "all/uplink.rs"]
mod uplink;
#[path = "all/warming.rs"]
mod warming;
