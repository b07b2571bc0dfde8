//! TOSCA documents: service function chains, with what runs where and when, read and checked. Pure: values in, values out.
//!
//! What is wrong is said with line, column, reason and the nearest right word. It reads no files, deploys nothing, and knows
//! no cluster: whether there is room is the orchestrator's to say.
//!
//! Reading order: [`document`] (YAML with places), [`words`], [`types`], `values` (what stands in a property), then
//! [`template`] and [`alerts`].

pub mod alerts;
pub mod document;
pub mod template;
pub mod types;
mod values;
pub mod words;

pub use document::DocumentError;
pub use template::{Template, read};
