//! Whether playlists and segments keep the rules of who wrote them down: draft-ietf-hls-rfc8216bis-22 ("HLS" below), and CMAF (ISO/IEC
//! 23000-19) as far as it is boxes. Text and bytes go in, findings come out, each with its clause and whether that says must or should.
//!
//! Nothing is fetched here, and nothing is mended: [`lines`] takes a playlist apart more strictly than a player would, who has to go on
//! with what it gets. In reading order: what is kept to ([`rules`]), a media playlist ([`media`], [`head`]) and what becomes of it while it is live
//! ([`reload`]), a multivariant playlist ([`multivariant`]), and what is in the segments ([`segments`]).

pub mod head;
pub mod lines;
pub mod media;
pub mod multivariant;
pub mod reload;
pub mod rules;
pub mod segments;

use serde::{Deserialize, Serialize};

use self::rules::{Rule, Severity};

/// Most findings that are listed; further ones are counted.
pub const FINDINGS_MAX: usize = 500;
/// Characters of a text of others that a finding repeats.
const QUOTE_MAX_CHARS: usize = 120;

/// A rule that is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule's name.
    pub rule: String,
    /// Whether the clause says must or should.
    pub severity: Severity,
    /// Where it stands.
    pub clause: String,
    /// What it asks for.
    pub asks: String,
    /// Which resource does not keep it.
    pub place: String,
    /// The line of a playlist, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// What is there instead.
    pub found: String,
}

/// All that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Findings of clauses that say must.
    pub must: u64,
    /// Findings of clauses that say should.
    pub should: u64,
    /// Playlists that were read, each time.
    pub playlists: u64,
    /// Segments and parts that were read.
    pub segments: u64,
    /// The first 500 findings.
    pub findings: Vec<Finding>,
    /// What nobody looked at, and why: it is no part of the verdict.
    pub not_checked: Vec<String>,
}

/// Findings about one resource.
#[derive(Debug)]
pub struct Place<'a> {
    report: &'a mut Report,
    name: String,
}

// === impl Report ===

impl Report {
    /// For findings about the resource `name`.
    pub fn at(&mut self, name: impl Into<String>) -> Place<'_> {
        Place { report: self, name: name.into() }
    }

    /// Puts the findings of another one behind its own.
    pub fn take(&mut self, other: Self) {
        self.must += other.must;
        self.should += other.should;
        self.playlists += other.playlists;
        self.segments += other.segments;
        let room = FINDINGS_MAX.saturating_sub(self.findings.len());
        self.findings.extend(other.findings.into_iter().take(room));
        other.not_checked.into_iter().for_each(|what| self.leave_out(what));
    }

    /// Notes, once, what is not looked at.
    pub fn leave_out(&mut self, what: impl Into<String>) {
        let what = what.into();
        if self.not_checked.len() < FINDINGS_MAX && !self.not_checked.contains(&what) {
            self.not_checked.push(what);
        }
    }
}

// === impl Place ===

impl Place<'_> {
    /// Notes that a rule is not kept.
    pub fn breaks(&mut self, rule: &Rule, line: Option<usize>, found: impl Into<String>) {
        match rule.severity {
            Severity::Must => self.report.must += 1,
            Severity::Should => self.report.should += 1,
        }
        if self.report.findings.len() < FINDINGS_MAX {
            self.report.findings.push(Finding {
                rule: rule.name.to_owned(),
                severity: rule.severity,
                clause: rule.clause.to_owned(),
                asks: rule.asks.to_owned(),
                place: self.name.clone(),
                line,
                found: found.into(),
            });
        }
    }
}

/// A text of others, short enough to be repeated.
#[must_use]
pub fn quote(text: &str) -> String {
    text.chars().take(QUOTE_MAX_CHARS).filter(|character| !character.is_control()).collect()
}

#[cfg(test)]
mod tests;
