//! Measurements: who measured ([`context`]), what ([`point`]), how it is written and read ([`line`]), how long a thing was in
//! which state ([`states`]), how the machine is ([`machine`]), and the bounded way to whoever collects them ([`reporter`]).
//!
//! Everything but the reporter is pure: values in, text out, and back. It knows neither HTTP nor any service: who reports
//! brings the way to send.

pub mod context;
pub mod line;
pub mod machine;
pub mod point;
pub mod reporter;
pub mod states;

pub use context::{Context, Tag};
pub use point::{Point, Value};
pub use reporter::{Outbox, Reporter};
