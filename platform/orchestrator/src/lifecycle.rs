//! The life of an endpoint: unplaced, placed, booted, connected, and back; one step at a time towards what is desired. Pure.
//!
//! What is seen comes in, one action with its reason comes out. Nobody leaves a name as long as another endpoint that is to
//! serve it does not: what is new serves before what is old goes, so that a change costs no request.

#[cfg(test)]
mod tests;

use flame_tosca::template::State;
use serde::{Deserialize, Serialize};

/// How far an endpoint is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It is not there.
    #[default]
    Unplaced,
    /// What it needs is on the cluster.
    Placed,
    /// It was started, and does not answer yet.
    Booting,
    /// It runs, and gets no requests.
    Booted,
    /// It gets requests.
    Connected,
    /// It gets no new requests; open ones end.
    Draining,
    /// It was told to end.
    Stopping,
}

/// What is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Puts what it needs on the cluster.
    Place,
    /// Starts it.
    Boot,
    /// Notes that it is up, registered and standing by.
    Rise,
    /// Lets it get requests.
    Connect,
    /// Lets it get no new ones.
    Drain,
    /// Notes that it stands by again.
    Rest,
    /// Tells it to end.
    Stop,
    /// Ends it.
    Kill,
    /// Notes that it ended as it was told.
    Settle,
    /// Notes that it ended by itself, and takes its names away.
    Bury,
    /// Takes what it needed off the cluster.
    Unplace,
}

/// An endpoint, as it is and as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Names that it serves.
    pub names: Vec<String>,
    /// How far it should be.
    pub desired: State,
    /// How far it is.
    pub stage: Stage,
    /// Since when, milliseconds.
    pub since_ms: u64,
    /// How often in a row it ended or did not come up.
    pub failures: u32,
    /// The step that failed last, if none was done since, and when.
    pub tried: Option<(Action, u64)>,
    /// Whether it runs.
    pub is_alive: bool,
    /// Whether it answers, and stands behind its names if it registers itself.
    pub is_ready: bool,
    /// Open requests there.
    pub open: u32,
    /// For how long it has not answered when it was asked, though it runs, milliseconds.
    pub silent_ms: u64,
}

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// From the start to the first answer.
    pub boot_ms: u64,
    /// Open requests of one that leaves.
    pub drain_ms: u64,
    /// From being told to end to being ended.
    pub stop_ms: u64,
    /// Rest after the second failure in a row; each further one doubles it.
    pub retry_ms: u64,
    /// The longest rest.
    pub retry_max_ms: u64,
    /// Who runs and does not answer for so long hangs.
    pub silent_ms: u64,
}

// === impl Stage ===

impl Stage {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unplaced => "unplaced",
            Self::Placed => "placed",
            Self::Booting => "booting",
            Self::Booted => "booted",
            Self::Connected => "connected",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
        }
    }

    /// Whether something should be running.
    #[must_use]
    pub fn runs(self) -> bool {
        matches!(self, Self::Booting | Self::Booted | Self::Connected | Self::Draining)
    }
}

// === impl Action ===

impl Action {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Place => "place",
            Self::Boot => "boot",
            Self::Rise => "rise",
            Self::Connect => "connect",
            Self::Drain => "drain",
            Self::Rest => "rest",
            Self::Stop => "stop",
            Self::Kill => "kill",
            Self::Settle => "settle",
            Self::Bury => "bury",
            Self::Unplace => "unplace",
        }
    }

    /// Whether it says that what failed before is over.
    #[must_use]
    pub fn is_well(self) -> bool {
        match self {
            Self::Place | Self::Rise | Self::Connect | Self::Drain | Self::Rest | Self::Unplace => true,
            Self::Boot | Self::Stop | Self::Kill | Self::Settle | Self::Bury => false,
        }
    }

    /// How far an endpoint is once it is done.
    #[must_use]
    pub fn leads_to(self) -> Stage {
        match self {
            Self::Place | Self::Settle | Self::Bury => Stage::Placed,
            Self::Boot => Stage::Booting,
            Self::Rise | Self::Rest => Stage::Booted,
            Self::Connect => Stage::Connected,
            Self::Drain => Stage::Draining,
            Self::Stop | Self::Kill => Stage::Stopping,
            Self::Unplace => Stage::Unplaced,
        }
    }
}

// === impl Terms ===

impl Terms {
    /// How long one rests before it is started again.
    fn rest_ms(self, failures: u32) -> u64 {
        match failures {
            0 | 1 => 0,
            more => self.retry_ms.saturating_mul(1 << (more - 2).min(20)).min(self.retry_max_ms),
        }
    }
}

/// What is done next with each endpoint of `all`, by its place there, and why.
#[must_use]
pub fn reconcile(all: &[Endpoint], now_ms: u64, terms: Terms) -> Vec<(usize, Action, String)> {
    let step = |at: usize| next(all, at, now_ms, terms).map(|(action, reason)| (at, action, reason));
    // What failed is tried again after the same rests as what ended by itself.
    let rests = |at: usize, action: Action| {
        let rest_ms = terms.rest_ms(all[at].failures);
        all[at].tried.is_some_and(|(tried, at_ms)| tried == action && now_ms.saturating_sub(at_ms) < rest_ms)
    };
    (0..all.len()).filter_map(step).filter(|(at, action, _)| !rests(*at, *action)).collect()
}

/// How often in a row it has failed once `action` is done.
#[must_use]
pub fn failures_after(endpoint: &Endpoint, action: Action, now_ms: u64, terms: Terms) -> u32 {
    let has_held = endpoint.stage.runs() && now_ms.saturating_sub(endpoint.since_ms) >= terms.retry_max_ms;
    let so_far = if has_held && endpoint.stage != Stage::Booting { 0 } else { endpoint.failures };
    let is_wanted = endpoint.desired >= State::Booted;
    match action {
        Action::Bury if is_wanted => so_far.saturating_add(1),
        // One that hangs; who only does not end in time was told to.
        Action::Kill if is_wanted && endpoint.stage.runs() => so_far.saturating_add(1),
        Action::Stop if is_wanted && endpoint.stage == Stage::Booting => so_far.saturating_add(1),
        Action::Unplace => 0,
        _ => so_far,
    }
}

fn next(all: &[Endpoint], at: usize, now_ms: u64, terms: Terms) -> Option<(Action, String)> {
    let own = &all[at];
    let elapsed_ms = now_ms.saturating_sub(own.since_ms);
    let wanted = own.desired.as_str();
    let step = |action: Action, reason: String| Some((action, reason));
    if own.stage.runs() && !own.is_alive {
        return step(Action::Bury, format!("it ended by itself while it was {}", own.stage.as_str()));
    }
    // Requests that are open there will not end; who cannot hear that it is to end is ended. While it boots, it has its own time.
    if own.stage.runs() && own.stage != Stage::Booting && own.silent_ms >= terms.silent_ms {
        let reason =
            format!("it runs, was {}, and has not answered for {} ms: it hangs", own.stage.as_str(), own.silent_ms);
        return step(Action::Kill, reason);
    }
    match own.stage {
        Stage::Unplaced if own.desired > State::Unplaced => step(Action::Place, format!("it is to be {wanted}")),
        Stage::Unplaced => None,
        Stage::Placed if own.desired == State::Unplaced => {
            step(Action::Unplace, "it is not wanted any more".to_owned())
        }
        Stage::Placed if own.desired >= State::Booted => {
            let rest_ms = terms.rest_ms(own.failures);
            if elapsed_ms < rest_ms {
                return None;
            }
            let reason = match own.failures {
                0 => format!("it is to be {wanted}"),
                failures => format!("it is to be {wanted}, and failed {failures} times in a row"),
            };
            step(Action::Boot, reason)
        }
        Stage::Placed => None,
        Stage::Booting | Stage::Booted if own.desired < State::Booted => {
            step(Action::Stop, format!("it is to be {wanted}"))
        }
        Stage::Booting if own.is_ready => step(Action::Rise, "it answers".to_owned()),
        Stage::Booting if elapsed_ms >= terms.boot_ms => {
            step(Action::Stop, format!("it did not answer within {} ms", terms.boot_ms))
        }
        Stage::Booting => None,
        Stage::Booted if own.desired == State::Connected => {
            step(Action::Connect, "it is up, and to be connected".to_owned())
        }
        Stage::Booted => None,
        Stage::Connected if own.desired == State::Connected => None,
        Stage::Connected => {
            may_leave(all, at).then(|| (Action::Drain, format!("it is to be {wanted}; open requests end first")))
        }
        Stage::Draining if own.desired == State::Connected => step(Action::Connect, "it is wanted again".to_owned()),
        Stage::Draining => {
            let reason = match own.open {
                0 => "no request is open there".to_owned(),
                open if elapsed_ms >= terms.drain_ms => {
                    format!("{open} requests are still open after {} ms", terms.drain_ms)
                }
                _ => return None,
            };
            step(if own.desired == State::Booted { Action::Rest } else { Action::Stop }, reason)
        }
        Stage::Stopping if !own.is_alive => step(Action::Settle, "it has ended".to_owned()),
        Stage::Stopping if elapsed_ms >= terms.stop_ms => {
            step(Action::Kill, format!("it did not end within {} ms", terms.stop_ms))
        }
        Stage::Stopping => None,
    }
}

/// Whether each of its names is served without it, or is to be served by nobody.
fn may_leave(all: &[Endpoint], at: usize) -> bool {
    all[at].names.iter().all(|name| {
        let others = all.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, endpoint)| endpoint);
        let mut wanted = others
            .filter(|endpoint| endpoint.desired == State::Connected && endpoint.names.contains(name))
            .map(|endpoint| endpoint.stage == Stage::Connected && endpoint.is_alive)
            .peekable();
        wanted.peek().is_none() || wanted.any(|serves| serves)
    })
}
