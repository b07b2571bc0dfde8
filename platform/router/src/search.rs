//! Net-level indirection as it is configured: which answers are searched on, for which names, and how far.
//!
//! `flame_naming::search` decides where a search goes; `proxy::indirection` goes there. This holds what both need to
//! know: the rules, the limits and this router's pseudonym.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use bytes::Bytes;
use flame_naming::name::NameError;
use flame_naming::search::{self, Budget, MARK_MAX_BYTES, Rule, Search};
use flame_naming::{Destination, Label, Moment, Name};
use flame_service_host::config::Span;
use serde::{Deserialize, Serialize};

/// `CDN-Loop` (RFC 8586).
const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");
/// What is left of a search, from router to router.
pub(crate) const FLAME_SEARCH: HeaderName = HeaderName::from_static("flame-search");
/// Asks for the way of a search, and shows it.
pub(crate) const FLAME_TRACE: HeaderName = HeaderName::from_static("flame-trace");
/// A request for one name may pass a router twice: for a surrogate, and when that asks by the same name again.
const PASSES_OF_A_NAME_MAX: usize = 2;

/// `[search]`: net-level indirection.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SearchConfig {
    /// Whether answers are searched on at all.
    pub enabled: bool,
    /// Time for a whole search, from the request's arrival on; nested ones included.
    pub deadline: Span,
    /// Time for one surrogate.
    pub step_timeout: Span,
    /// Surrogates that one search asks at most besides the first; nested ones included.
    pub hops: u32,
    /// Statuses of failure after which the search goes on.
    pub failures: Vec<u16>,
    /// Whether `Flame-Trace: ?1` in a request is answered with the way of the search.
    pub trace: bool,
    /// Names whose 404 is searched on.
    pub names: Vec<Searchable>,
}

/// `[[search.names]]`: a name whose 404 is searched on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Searchable {
    /// The name.
    pub name: String,
    /// Who knows for certain what there is, and is asked last: another name, or this one at a site (`cloud--media`).
    pub authority: Option<String>,
}

/// A `[search]` that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SearchInvalid {
    /// A name that is none.
    #[error("`[search]` of the configuration")]
    Name(#[source] NameError),
    /// A status that is not searched on.
    #[error("`[search] failures` of the configuration holds {0}: it takes 500 to 599 but 501 and 505")]
    Failure(u16),
    /// An authority that is every surrogate.
    #[error("`[search]` of the configuration: the authority of {0} is {0} itself; name its site, as in `cloud--{0}`")]
    Authority(Name),
}

/// The rules in force, and this router's pseudonym.
#[derive(Debug)]
pub(crate) struct Searches {
    rules: RwLock<Arc<Rules>>,
    /// This router in `CDN-Loop`.
    pseudonym: String,
}

/// Which answers are searched on, and how far.
#[derive(Debug)]
pub(crate) struct Rules {
    enabled: bool,
    trace: bool,
    limits: Budget,
    step_timeout: Duration,
    plain: Rule,
    named: BTreeMap<Name, Rule>,
}

/// What a request says of the search that it may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    /// What another router left of its budget, if that is who asks.
    pub(crate) nested: Option<Budget>,
    /// Whether the way is to be shown.
    pub(crate) wants_trace: bool,
    /// Whether it can be sent again as it came.
    repeatable: bool,
}

/// The request is back where it has been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Circle;

// === impl SearchConfig ===

impl Default for SearchConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            deadline: Span(Duration::from_secs(5)),
            step_timeout: Span(Duration::from_secs(2)),
            hops: 8,
            failures: Rule::FAILURES.to_vec(),
            trace: true,
            names: Vec::new(),
        }
    }
}

// === impl Rules ===

impl Rules {
    pub(crate) fn new(config: &SearchConfig) -> Result<Self, SearchInvalid> {
        let allowed = |status: &u16| (500..600).contains(status) && ![501, 505].contains(status);
        if let Some(status) = config.failures.iter().find(|status| !allowed(status)) {
            return Err(SearchInvalid::Failure(*status));
        }
        let plain = Rule { failures: config.failures.clone(), ..Rule::default() };
        let mut named = BTreeMap::new();
        for Searchable { name, authority } in &config.names {
            let name = name.parse::<Name>().map_err(SearchInvalid::Name)?;
            let authority = authority.as_deref().map(str::parse::<Destination>).transpose();
            let authority = authority.map_err(SearchInvalid::Name)?;
            if authority.as_ref().is_some_and(|authority| authority.name == name && authority.site.is_none()) {
                return Err(SearchInvalid::Authority(name));
            }
            named.insert(name, Rule { not_found: true, authority, ..plain.clone() });
        }
        let limits = Budget { hops: config.hops, deadline: config.deadline.0 };
        let (enabled, trace, step_timeout) = (config.enabled, config.trace, config.step_timeout.0);
        Ok(Self { enabled, trace, limits, step_timeout, plain, named })
    }
}

// === impl Searches ===

impl Searches {
    pub(crate) fn new(rules: Rules) -> Self {
        let pseudonym = format!("flame-{:08x}", rand::random::<u32>());
        Self { rules: RwLock::new(Arc::new(rules)), pseudonym }
    }

    /// Goes by other rules from now on.
    pub(crate) fn change(&self, rules: Rules) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether answers may show by which sites they came.
    pub(crate) fn shows_sites(&self) -> bool {
        self.rules().trace
    }

    /// Time for one surrogate.
    pub(crate) fn step_timeout(&self) -> Duration {
        self.rules().step_timeout
    }

    /// Takes what the request says of searches out of `headers`, and marks it as having been here.
    pub(crate) fn admit(&self, method: &Method, headers: &mut HeaderMap, name: &Name) -> Result<Asked, Circle> {
        let nested = headers.remove(FLAME_SEARCH).and_then(|field| field.to_str().ok()?.parse::<Budget>().ok());
        let wants_trace = headers.remove(FLAME_TRACE).is_some_and(|field| field == "?1");
        let values = || headers.get_all(CDN_LOOP).iter().filter_map(|value| value.to_str().ok());
        let passes = search::times_here(values(), &self.pseudonym, name);
        let length: usize = values().map(str::len).sum();
        // A search that was nested by this very router and is back: nothing rightly leads there.
        if passes >= PASSES_OF_A_NAME_MAX || (nested.is_some() && passes > 0) || length > MARK_MAX_BYTES {
            return Err(Circle);
        }
        if let Ok(mark) = HeaderValue::from_maybe_shared(Bytes::from(search::mark(&self.pseudonym, name))) {
            headers.append(CDN_LOOP, mark);
        }
        let repeatable = [Method::GET, Method::HEAD].contains(method);
        Ok(Asked { nested, wants_trace: wants_trace && self.rules().trace, repeatable })
    }

    /// The rule for `name`, and the search that a request for it may become; `None` where it is not searched.
    /// The request came at `began`, and `left` of its own budget.
    pub(crate) fn begin(
        &self,
        own: &Label,
        to: &Destination,
        asked: Asked,
        (began, left): (Moment, Budget),
    ) -> Option<(Rule, Search)> {
        // Who pins a site wants that one.
        let rules = self.rules();
        if !rules.enabled || !asked.repeatable || to.site.as_ref().is_some_and(|site| site != own) {
            return None;
        }
        let rule = rules.named.get(&to.name).unwrap_or(&rules.plain).clone();
        let budget = rules.limits.at_most(left);
        let is_confined = asked.nested.is_some() || to.site.is_some();
        Some((rule.clone(), Search::new(own.clone(), rule, budget, is_confined, began)))
    }
}
