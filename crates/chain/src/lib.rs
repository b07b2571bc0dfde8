//! Chains: documents that say how an asset is conditioned, read and checked. Pure: text in, values or a reason out.
//!
//! A chain is a graph of stages with typed parameters. Whoever writes a wrong one is told the line, the column, and the
//! word that was probably meant. What a chain makes of a certain source is decided by the transcode service, and nothing
//! here touches media.
//!
//! Reading order: [`document`] (text to nodes), [`table`] (every stage and parameter there is), [`setting`] (nodes to
//! values), [`chain`] (what a document says), [`read`] (the checks), [`shipped`], [`schema`].

pub mod chain;
pub mod document;
mod nearest;
pub mod read;
pub mod schema;
pub mod setting;
pub mod shipped;
pub mod table;

pub use chain::Chain;
pub use document::DocumentError;
pub use read::read;
