//! The client against the embedded server, over a real socket and a real folder.

#[path = "all/consistency.rs"]
mod consistency;
#[path = "all/world.rs"]
mod world;

#[path = "all/buckets.rs"]
mod buckets;
#[path = "all/clients.rs"]
mod clients;
#[path = "all/crash.rs"]
mod crash;
#[path = "all/direct.rs"]
mod direct;
#[path = "all/folder.rs"]
mod folder;
#[path = "all/hostile.rs"]
mod hostile;
#[path = "all/listing.rs"]
mod listing;
#[path = "all/multipart.rs"]
mod multipart;
#[path = "all/objects.rs"]
mod objects;
#[path = "all/snapshot.rs"]
mod snapshot;
