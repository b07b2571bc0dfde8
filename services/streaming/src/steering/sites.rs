//! Which sites take viewers, and which of them a viewer is sent to. Pure: what is known of the sites, and the time, come in.
//!
//! A site is *open* or *closed*. It is closed when it was bad for a while (`confirm`), never when it is the last one open that
//! answers; it is opened again when it was calm for much longer (`hold`), which doubles each time that it closes soon after.
//! Between bad and calm nothing changes. What was closed comes back slowly: every session has a place from 0 to 1, and is sent
//! back when the share that the site takes again has grown past it. Who is at an open site stays there, unless a site that
//! stands before it takes him. So instances that disagree on shares do not send a viewer to and fro.

/// When a site counts as bad, and when as calm again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Limits {
    /// Load from which on it is bad; 1 is all that it can carry.
    pub(crate) busy: f64,
    /// Load up to which it is calm.
    pub(crate) calm: f64,
    /// Share of its answers that may fail; half of it is calm.
    pub(crate) failing: f64,
    /// Share of its players' reports that may tell of waiting or of errors; half of it is calm.
    pub(crate) starved: f64,
    /// How long it is bad before it is closed, milliseconds.
    pub(crate) confirm_ms: u64,
    /// How long it is calm before it is opened, milliseconds.
    pub(crate) hold_ms: u64,
    /// The longest that this grows to, milliseconds.
    pub(crate) hold_max_ms: u64,
    /// How long it takes from being opened until it takes everybody, milliseconds.
    pub(crate) ramp_ms: u64,
}

/// What is known of a site at a moment. What is not known counts as neither bad nor good.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Condition {
    /// Whether a surrogate answered there.
    pub(crate) is_reached: bool,
    /// What it sends, of what it can.
    pub(crate) load: Option<f64>,
    /// Share of its answers that failed.
    pub(crate) failing: Option<f64>,
    /// Share of its players' reports that tell of waiting or of errors.
    pub(crate) starved: Option<f64>,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Viewer {
    /// The site that he is at.
    pub(crate) current: Option<usize>,
    /// His place among all sessions, from 0 to below 1: low ones are sent back first.
    pub(crate) place: f64,
    /// The site that he has left because too little came from there.
    pub(crate) left: Option<usize>,
    /// What his player measured, bits a second.
    pub(crate) throughput_bps: Option<u64>,
    /// What the least that it can play takes, bits a second; 0 where that is not known.
    pub(crate) needed_bps: u64,
}

/// Where a viewer is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Way {
    /// All sites, the one to take first; the closed ones last.
    pub(crate) order: Vec<usize>,
    /// The site that he has left because too little came from there. He does so once.
    pub(crate) left: Option<usize>,
}

/// All sites, in the order in which viewers are sent to them while all is well.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sites {
    limits: Limits,
    sites: Vec<Site>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Site {
    standing: Standing,
    /// Since when it is bad (open) or calm (closed).
    since_ms: Option<u64>,
    /// How long it must be calm the next time.
    hold_ms: u64,
    condition: Condition,
    /// Whether it ever answered while it was open.
    was_reached: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Since then; `None` from the beginning.
    Open(Option<u64>),
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Bad,
    Between,
    Calm,
}

// === impl Limits ===

impl Limits {
    fn verdict(&self, condition: &Condition) -> Verdict {
        let Condition { is_reached, load, failing, starved } = *condition;
        let exceeds = |value: Option<f64>, limit: f64| value.is_some_and(|value| value >= limit);
        let is_bad = exceeds(load, self.busy) || exceeds(failing, self.failing) || exceeds(starved, self.starved);
        let is_above = |value: Option<f64>, limit: f64| value.is_some_and(|value| value > limit);
        let is_restless =
            is_above(load, self.calm) || is_above(failing, self.failing / 2.0) || is_above(starved, self.starved / 2.0);
        match (is_reached && !is_bad, is_restless) {
            (false, _) => Verdict::Bad,
            (true, true) => Verdict::Between,
            (true, false) => Verdict::Calm,
        }
    }
}

// === impl Sites ===

impl Sites {
    /// `count` sites, all open.
    pub(crate) fn new(count: usize, limits: Limits) -> Self {
        let condition = Condition { is_reached: true, ..Condition::default() };
        let site = Site {
            standing: Standing::Open(None),
            since_ms: None,
            hold_ms: limits.hold_ms,
            condition,
            was_reached: false,
        };
        Self { limits, sites: vec![site; count] }
    }

    /// Whether a site takes viewers.
    pub(crate) fn is_open(&self, at: usize) -> bool {
        self.sites.get(at).is_some_and(|site| site.standing != Standing::Closed)
    }

    /// What was said last of a site.
    pub(crate) fn condition(&self, at: usize) -> Option<Condition> {
        self.sites.get(at).map(|site| site.condition)
    }

    /// Takes what is known of each site at `now_ms`, which never goes back. Says whether any was opened or closed.
    pub(crate) fn observe(&mut self, now_ms: u64, conditions: &[Condition]) -> bool {
        let before: Vec<Standing> = self.sites.iter().map(|site| site.standing).collect();
        let limits = self.limits;
        for (site, condition) in self.sites.iter_mut().zip(conditions) {
            site.condition = *condition;
            let counts = match (site.standing, limits.verdict(condition)) {
                (Standing::Open(_), Verdict::Bad) | (Standing::Closed, Verdict::Calm) => true,
                (Standing::Open(_), Verdict::Between | Verdict::Calm)
                | (Standing::Closed, Verdict::Bad | Verdict::Between) => false,
            };
            site.since_ms = if counts { site.since_ms.or(Some(now_ms)) } else { None };
            let lasted_ms = site.since_ms.map(|since_ms| now_ms.saturating_sub(since_ms));
            if site.standing == Standing::Closed && lasted_ms.is_some_and(|ms| ms >= site.hold_ms) {
                // What is there for the first time has given nobody a reason to come back slowly.
                site.standing = Standing::Open(site.was_reached.then_some(now_ms));
                site.since_ms = None;
            }
            site.was_reached |= condition.is_reached && site.standing != Standing::Closed;
        }
        self.close(now_ms);
        self.sites.iter().map(|site| site.standing).ne(before)
    }

    /// Closes what was bad for long enough, the worst first.
    fn close(&mut self, now_ms: u64) {
        loop {
            let is_due = |site: &Site| {
                let lasted_ms = site.since_ms.map_or(0, |since_ms| now_ms.saturating_sub(since_ms));
                site.standing != Standing::Closed && site.since_ms.is_some() && lasted_ms >= self.limits.confirm_ms
            };
            let badness =
                |site: &Site| if site.condition.is_reached { site.condition.load.unwrap_or(0.0) } else { f64::MAX };
            let due = self.sites.iter().enumerate().filter(|(_, site)| is_due(site));
            let worst = due.max_by(|one, other| badness(one.1).total_cmp(&badness(other.1))).map(|(at, _)| at);
            let Some(worst) = worst else { return };
            let others = |at: usize| at != worst;
            let has_other =
                self.sites.iter().enumerate().any(|(at, site)| others(at) && site.standing != Standing::Closed);
            if !has_other {
                // One that answers is better than one that does not, however busy it is.
                let answers = |(at, site): &(usize, &Site)| others(*at) && site.condition.is_reached;
                let refuge = self.sites.iter().enumerate().find(answers).map(|(at, _)| at);
                let Some(refuge) = refuge.filter(|_| !self.sites[worst].condition.is_reached) else { return };
                self.sites[refuge].standing = Standing::Open(None);
                self.sites[refuge].since_ms = None;
            }
            let Limits { hold_ms, hold_max_ms, .. } = self.limits;
            let site = &mut self.sites[worst];
            // Closed again soon after it was opened, it is trusted later the next time.
            let was_short = matches!(site.standing, Standing::Open(Some(opened_ms)) if now_ms.saturating_sub(opened_ms) < hold_max_ms);
            site.hold_ms = if !site.was_reached {
                self.limits.confirm_ms
            } else if was_short {
                site.hold_ms.saturating_mul(2).min(hold_max_ms)
            } else {
                hold_ms
            };
            (site.standing, site.since_ms) = (Standing::Closed, None);
        }
    }

    /// How much of all viewers a site takes, from 0 to 1.
    fn share(&self, at: usize, now_ms: u64) -> f64 {
        match self.sites[at].standing {
            Standing::Closed => 0.0,
            Standing::Open(None) => 1.0,
            #[expect(clippy::cast_precision_loss, reason = "milliseconds of minutes")]
            Standing::Open(Some(since_ms)) => {
                let since_ms = now_ms.saturating_sub(since_ms) as f64;
                (since_ms / self.limits.ramp_ms.max(1) as f64).min(1.0)
            }
        }
    }

    /// Where `viewer` is sent at `now_ms`.
    pub(crate) fn decide(&self, now_ms: u64, viewer: &Viewer) -> Way {
        let all = || 0..self.sites.len();
        let too_little = viewer.throughput_bps.is_some_and(|bps| bps < viewer.needed_bps);
        let goes = viewer
            .current
            .filter(|at| too_little && viewer.left.is_none() && all().any(|other| other != *at && self.is_open(other)));
        let left = viewer.left.or(goes);
        let takes = |at: &usize| {
            let is_there = viewer.current == Some(*at) || viewer.place < self.share(*at, now_ms);
            self.is_open(*at) && left != Some(*at) && is_there
        };
        let open = |at: &usize| self.is_open(*at);
        // Who is new waits for no share where nobody else is open.
        let first =
            all().find(takes).or_else(|| all().find(|at| open(at) && left != Some(*at))).or_else(|| all().find(open));
        let first = first.unwrap_or(0);
        let rest = |is_open: bool| all().filter(move |at| *at != first && self.is_open(*at) == is_open);
        let order =
            std::iter::once(first).filter(|at| *at < self.sites.len()).chain(rest(true)).chain(rest(false)).collect();
        Way { order, left }
    }
}
