//! Durable jobs: a queue in a service's own database, whose jobs come to an end whatever dies meanwhile.
//!
//! A service brings its table, its work and what the work needs; here is what all of them have in common. Nothing here knows what
//! a job is for, and nothing is kept in memory that the next process would miss.
//!
//! Reading order: the decisions ([`job`], [`cursor`]), [`queue`], which carries them out in the database, [`changes`], which tells
//! of them; then what a worker needs: [`scratch`], [`hold`], [`patience`], [`attempt`], [`worker`], [`metrics`]; and [`http`], what
//! callers see.

pub mod attempt;
pub mod changes;
pub mod cursor;
pub mod hold;
pub mod http;
pub mod job;
pub mod metrics;
pub mod patience;
pub mod queue;
pub mod scratch;
pub mod worker;
