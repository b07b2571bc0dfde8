//! What a shared cache may do, as functions of values: no clock, no socket.

pub use flame_cmcd as cmcd;
