//! Demands: so many viewers at these sites, so well served, for so much. What they come to is decided here: how many surrogates of
//! which size, where. Pure: values in, values out.
//!
//! It deploys nothing, measures nothing, and invents nothing: what one surrogate does comes from a calibration with real viewers, and
//! nothing is said of loads that were not measured.
//!
//! Reading order: [`document`] (what is asked for), [`curve`] (what was measured), [`cache`] (how much of it a surrogate has), [`model`]
//! (what given surrogates would do), [`solve`] (the cheapest that keep the promise), [`nearest`] (what would be possible), [`template`].

pub mod cache;
pub mod curve;
pub mod document;
pub mod model;
pub mod nearest;
pub mod schema;
pub mod solve;
pub mod template;

pub use document::{Sla, SlaError};
pub use nearest::answer;
