//! Names, who a request is for, and which endpoint gets it: the decisions of service routing.
//!
//! Everything here is values in, values out: the clock, the randomness and the network are the caller's. So what a
//! router does can be read, tested and replayed without one.
//!
//! Reading order: [`name`], [`target`] (from a request to a name), [`table`] (from a name to an endpoint), [`health`] and
//! [`hedge`] (how endpoints do, and when a second one is asked), [`site`] (how far endpoints are), [`peers`] (how routers
//! tell each other of them), [`search`] (where a request goes next), [`path`]
//! (functions in a row), [`identity`] (which requests may share an answer).

pub mod group;
pub mod health;
pub mod hedge;
pub mod identity;
pub mod name;
pub mod path;
pub mod peers;
pub mod search;
pub mod site;
pub mod table;
pub mod target;

pub use name::{Destination, Domain, Label, Name, NameError};
pub use table::{Choice, EndpointId, Lease, Lot, Moment, NoChoice, Refused, State, Table, Terms};
pub use target::{Asked, Forward, Mount, Target, Territory, Untargeted};
