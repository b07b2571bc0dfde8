//! Transfers over real sockets: on loopback, and between machines on a switch that loses packets.

#[path = "all/frames.rs"]
mod frames;
#[path = "all/loopback.rs"]
mod loopback;
#[path = "all/packets.rs"]
mod packets;
#[path = "all/seats.rs"]
mod seats;
#[path = "all/switch.rs"]
mod switch;
#[path = "all/world.rs"]
mod world;
