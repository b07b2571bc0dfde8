//! Media work happens in `flame-media` child processes: this crate starts, feeds, limits and reaps them.
//!
//! A hostile file may crash, hang or bloat a child; the service that asked sees an error and goes on. The
//! crate links no media library itself. Children are limited by `setrlimit(2)`, which each sets for itself
//! from its parent's flags, and by what they hold of the memory, which is looked at while they work ([`memory`]);
//! cgroups are not used. They die with their parent, whose end closes their
//! standard input.
//!
//! In reading order: what parent and child say to each other ([`protocol`]), where the program is
//! ([`program`]), one child (`child`), many of them ([`pool`]), one that
//! makes a ladder of live media for as long as it comes ([`live`]), and what can go wrong ([`error`]).

mod child;
pub mod error;
pub mod live;
pub mod memory;
pub mod pool;
pub mod program;
pub mod protocol;

pub use error::ChildError;
pub use live::{LiveChild, LivePlan, LiveRung};
pub use pool::{Call, Limits, Pool, PoolConfig};
pub use program::find_program;
