//! The way of a search, as `Flame-Trace` shows it to who asked for it: a list (RFC 9651) with a member for each step.
//!
//! `Flame-Trace: "bristol/e1";status=404;ms=2.0, "london/e7";status=200;ms=1.3, "london";status=200;ms=9.1`: a surrogate is its
//! site and identifier, a site alone is its router, whose own steps stand before it. One that gave no answer has no
//! status. Addresses are never shown.

use std::fmt;
use std::time::Duration;

use crate::name::Label;
use crate::table::EndpointId;

/// Longest trail that is shown; later steps are left out.
const MAX_BYTES: usize = 4096;

/// The steps so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trail(String);

/// One step.
#[derive(Debug, Clone, Copy)]
pub struct Visit<'a> {
    /// Where.
    pub site: &'a Label,
    /// Whom; `None` is the site's router.
    pub endpoint: Option<&'a EndpointId>,
    /// What came of it.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
}

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// An answer of this status.
    Status(u16),
    /// None.
    NoAnswer,
}

// === impl Trail ===

impl Trail {
    /// Adds a step.
    pub fn visited(&mut self, visit: &Visit<'_>) {
        self.add(&visit.to_string());
    }

    /// Adds the steps that another router shows; what is no trail is left out.
    pub fn nested(&mut self, field: &str) {
        let is_plain = field.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if is_plain && field.starts_with('"') {
            self.add(field);
        }
    }

    /// The field's value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn add(&mut self, member: &str) {
        let separator = if self.0.is_empty() { "" } else { ", " };
        if self.0.len() + separator.len() + member.len() <= MAX_BYTES {
            self.0.push_str(separator);
            self.0.push_str(member);
        }
    }
}

impl fmt::Display for Visit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}", self.site)?;
        if let Some(endpoint) = self.endpoint {
            write!(f, "/{endpoint}")?;
        }
        f.write_str("\"")?;
        if let Outcome::Status(status) = self.outcome {
            write!(f, ";status={status}")?;
        }
        // RFC 9651 section 3.3.2: a decimal has at most 12 digits before the point.
        write!(f, ";ms={:.1}", (self.took.as_secs_f64() * 1000.0).min(999_999_999_999.0))
    }
}
