//! `[steering]`: the sites that viewers are steered to, and when they are.

use std::time::Duration;

use flame_service_host::config::Span;
use serde::Deserialize;
use url::Url;

use crate::steering::Limits;

/// Most pathways: every playlist grows with each.
const PATHWAYS_MAX: usize = 16;
/// Longest name of one.
const SITE_MAX_BYTES: usize = 64;

/// `[steering]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SteeringConfig {
    /// One for each site, in the order in which viewers are sent to them while all is well.
    pub pathways: Vec<PathwayConfig>,
    /// How long players go on before they ask again.
    #[serde(default = "ttl")]
    pub ttl: Span,
    /// How often sites are asked how they fare.
    #[serde(default = "every")]
    pub every: Span,
    /// Time for a site to answer that.
    #[serde(default = "deadline")]
    pub deadline: Span,
    /// What is counted over so long.
    #[serde(default = "window")]
    pub window: Span,
    /// Load from which on a site is bad; 1 is its capacity.
    #[serde(default = "busy")]
    pub busy: f64,
    /// Load up to which it is calm.
    #[serde(default = "calm")]
    pub calm: f64,
    /// Share of its answers that may fail; half of it is calm.
    #[serde(default = "failing")]
    pub failing: f64,
    /// Share of its players' reports (CMCD) that may tell of waiting or errors; half of it is calm.
    #[serde(default = "starved")]
    pub starved: f64,
    /// Sessions of players that one address may speak for in a window; more from behind one proxy weigh no more.
    #[serde(default = "sessions_of_an_address")]
    pub sessions_of_an_address: u32,
    /// How long a site is bad before viewers are sent away.
    #[serde(default = "confirm")]
    pub confirm: Span,
    /// How long it is calm before they come back.
    #[serde(default = "hold")]
    pub hold: Span,
    /// The longest that this grows to, where they were sent away again soon.
    #[serde(default = "hold_max")]
    pub hold_max: Span,
    /// How long it takes until all are back.
    #[serde(default = "ramp")]
    pub ramp: Span,
}

/// `[[steering.pathways]]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathwayConfig {
    /// The site: its name in playlists.
    pub site: String,
    /// Where viewers find assets there: `https://edge.example/~cdn/`.
    pub base: String,
    /// The router of the site, where its surrogates are asked how they fare. Without it the host of `base`.
    #[serde(default)]
    pub router: Option<Url>,
    /// What its surrogates can send together; without it load is not counted.
    #[serde(default)]
    pub capacity_mbps: Option<f64>,
}

// === impl SteeringConfig ===

impl SteeringConfig {
    /// What is wrong with it, for people.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.pathways.len() > PATHWAYS_MAX {
            return Err(format!("[steering] has {} pathways; at most {PATHWAYS_MAX} can be", self.pathways.len()));
        }
        for (at, pathway) in self.pathways.iter().enumerate() {
            pathway.check().map_err(|wrong| format!("[[steering.pathways]] {at}: {wrong}"))?;
            if self.pathways[..at].iter().any(|other| other.site == pathway.site) {
                return Err(format!("[[steering.pathways]] {at}: site `{}` is there twice", pathway.site));
            }
        }
        if !(0.0..self.busy).contains(&self.calm) {
            return Err(format!("[steering] calm = {} must be from 0 to below busy = {}", self.calm, self.busy));
        }
        for (key, share) in [("failing", self.failing), ("starved", self.starved)] {
            if !(share > 0.0 && share <= 1.0) {
                return Err(format!("[steering] {key} = {share} must be above 0 and at most 1"));
            }
        }
        if self.sessions_of_an_address == 0 {
            return Err("[steering] sessions_of_an_address = 0 would hear nobody: it is at least 1".to_owned());
        }
        for (key, span) in [("ttl", self.ttl), ("every", self.every), ("window", self.window)] {
            let least = Duration::from_millis(if key == "every" { 100 } else { 1000 });
            if span.0 < least {
                return Err(format!("[steering] {key} must be at least {} ms", least.as_millis()));
            }
        }
        if self.window.0 < self.every.0 {
            return Err("[steering] window must not be shorter than every".to_owned());
        }
        Ok(())
    }

    pub(crate) fn limits(&self) -> Limits {
        let ms = |span: Span| u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX);
        Limits {
            busy: self.busy,
            calm: self.calm,
            failing: self.failing,
            starved: self.starved,
            confirm_ms: ms(self.confirm),
            hold_ms: ms(self.hold),
            hold_max_ms: ms(self.hold_max),
            ramp_ms: ms(self.ramp),
        }
    }
}

// === impl PathwayConfig ===

impl PathwayConfig {
    fn check(&self) -> Result<(), String> {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let site = &self.site;
        if site.is_empty() || site.len() > SITE_MAX_BYTES || !site.bytes().all(is_letter) {
            return Err(format!("site `{site}` must be of letters, digits, `.`, `-` and `_`"));
        }
        let base = Url::parse(&self.base).map_err(|error| format!("base `{}` is no URL: {error}", self.base))?;
        let is_plain = matches!(base.scheme(), "http" | "https") && base.query().is_none() && base.fragment().is_none();
        if !is_plain || !base.path().ends_with('/') || base.as_str() != self.base {
            return Err(format!("base `{}` must be like `https://edge.example/~cdn/`, with `/` at its end", self.base));
        }
        if self.capacity_mbps.is_some_and(|mbps| !(mbps.is_finite() && mbps > 0.0)) {
            return Err("capacity_mbps must be above 0".to_owned());
        }
        self.router().map(drop)
    }

    /// Where the site's surrogates are asked how they fare.
    pub(crate) fn router(&self) -> Result<Url, String> {
        if let Some(router) = &self.router {
            return Ok(router.clone());
        }
        let base = Url::parse(&self.base).map_err(|error| format!("base `{}` is no URL: {error}", self.base))?;
        base.join("/").map_err(|error| format!("base `{}` has no host: {error}", self.base))
    }
}

fn ttl() -> Span {
    Span(Duration::from_secs(10))
}

fn every() -> Span {
    Span(Duration::from_secs(1))
}

fn deadline() -> Span {
    Span(Duration::from_secs(1))
}

fn window() -> Span {
    Span(Duration::from_secs(4))
}

fn busy() -> f64 {
    0.9
}

fn calm() -> f64 {
    0.6
}

fn failing() -> f64 {
    0.2
}

fn starved() -> f64 {
    0.1
}

fn sessions_of_an_address() -> u32 {
    flame_cmcd::OF_AN_ADDRESS
}

fn confirm() -> Span {
    Span(Duration::from_secs(3))
}

fn hold() -> Span {
    Span(Duration::from_secs(60))
}

fn hold_max() -> Span {
    Span(Duration::from_secs(1800))
}

fn ramp() -> Span {
    Span(Duration::from_secs(60))
}
