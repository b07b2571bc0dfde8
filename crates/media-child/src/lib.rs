//! Media work happens in `flame-media` child processes: this crate starts, feeds, limits and reaps them.
//!
//! A hostile file may crash, hang or bloat a child; the service that asked sees an error and goes on. The
//! crate links no media library itself. [`protocol`] is what parent and child say to each other.

pub mod protocol;
