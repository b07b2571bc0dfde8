//! Which site a viewer plays from: every multivariant playlist names a pathway to each site (draft-pantos-hls-content-steering;
//! DASH-IF's content steering, ETSI TS 103 998), and players ask here from time to time which one to take.
//!
//! What is decided is in `sites` (pure), what surrogates count becomes what is known of a site in `figures` (pure), and `watch`
//! asks them; players may also tell this instance itself (CMCD). Nothing here sees a viewer's media, and nobody waits for it: while nothing is known, all sites are open. An
//! instance knows what it has seen itself; what it remembers of a session the session brings along (`RELOAD-URI`).

mod figures;
mod sites;
#[cfg(test)]
mod tests;
mod watch;

use std::fmt::Write;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use flame_api::Client;
use flame_cmcd::{Report, Speaker, Voices};
use flame_playlist::{DashSteering, MultivariantInput, Pathway, Steering as Tag};
use flame_service_host::{Host, StartError};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

pub(crate) use self::sites::Limits;
use self::sites::{Sites, Viewer};
use crate::config::{PathwayConfig, SteeringConfig};

/// Places that sessions are given, from 0.
const PLACES: u16 = 1000;
/// File name of the steering manifest of HLS, beside the multivariant playlist.
const HLS_FILE: &str = "steering";
/// That of DASH, beside the MPD.
const DASH_FILE: &str = "steering.json";

/// The sites, or that there is nothing to steer. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Steering(Option<Arc<Steered>>);

#[derive(Debug)]
struct Steered {
    config: SteeringConfig,
    /// To the router of each site.
    clients: Vec<Client>,
    sites: RwLock<Sites>,
    /// Who of the players of each site told this instance how they fare.
    told: Vec<Mutex<Voices>>,
    began: Instant,
}

/// The pathways to an asset, the one to begin with first; none where nothing is steered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ways(Vec<Pathway>);

/// In which words a player asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Hls,
    Dash,
}

/// What a player says when it asks.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Asked {
    /// The pathway that it is on.
    pathway: Option<String>,
    /// What it measured there, bits a second.
    throughput_bps: Option<u64>,
    /// The session's place; a new one has none.
    place: Option<u16>,
    /// The pathway that the session has left because too little came.
    left: Option<String>,
}

/// A steering manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
pub(crate) struct Manifest {
    /// Of the format: 1.
    version: u32,
    /// Seconds until the player asks again.
    ttl: u64,
    /// Where it asks then: at the site that it is sent to.
    reload_uri: String,
    /// All pathways, the one to take first.
    pathway_priority: Vec<String>,
}

fn lock(told: &Mutex<Voices>) -> MutexGuard<'_, Voices> {
    // Nothing under the lock panics half-way.
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Steering ===

impl Steering {
    /// The sites of `config`; nothing is steered with fewer than two.
    pub(crate) fn open(config: Option<&SteeringConfig>, host: &Host, token: Option<&str>) -> Result<Self, StartError> {
        let Some(config) = config else { return Ok(Self(None)) };
        let wrong = |text: String| StartError::Open {
            service: crate::NAME,
            what: "sites to steer viewers to",
            source: io::Error::other(text).into(),
        };
        config.check().map_err(&wrong)?;
        if config.pathways.len() < 2 {
            tracing::info!("there is one site: nothing is steered");
            return Ok(Self(None));
        }
        let client = |pathway: &PathwayConfig| {
            let router = pathway.router().map_err(&wrong)?;
            let client = Client::over(host.transport(), router, token.map(str::to_owned));
            Ok(client.with_deadline(config.deadline.0))
        };
        let clients = config.pathways.iter().map(client).collect::<Result<Vec<_>, StartError>>()?;
        let sites = RwLock::new(Sites::new(config.pathways.len(), config.limits()));
        let told = config.pathways.iter().map(|_| Mutex::new(Voices::new(config.sessions_of_an_address))).collect();
        Ok(Self(Some(Arc::new(Steered { config: config.clone(), clients, sites, told, began: Instant::now() }))))
    }

    /// The pathways to `asset` now. A protected one has none: on another pathway its viewers' URLs would lose their token.
    pub(crate) fn ways(&self, asset: Uuid, is_protected: bool) -> Ways {
        let steered = self.0.as_ref().filter(|_| !is_protected);
        Ways(steered.map(|steered| steered.pathways(asset)).unwrap_or_default())
    }

    /// A player says how it fares: from the site that it asks steering for, or else that it names itself. Of others nothing is learned. One
    /// that names no session is whoever speaks from `address`; of one address a few sessions count.
    pub(crate) fn hear(&self, report: &Report, pathway: Option<&str>, address: Option<IpAddr>) {
        let Some(steered) = &self.0 else { return };
        let Some(told) = steered.site_of(report, pathway).and_then(|at| steered.told.get(at)) else { return };
        let (now_ms, window_ms) = (steered.now_ms(), steered.window_ms());
        let speaker = Speaker { session: report.session.as_deref(), address };
        lock(told).hear(now_ms, window_ms, speaker, report.complains());
    }

    /// What a player is told that plays `asset`; nothing where nothing is steered.
    pub(crate) fn manifest(&self, asset: Uuid, form: Form, asked: &Asked, needed_bps: u64) -> Option<Manifest> {
        let steered = self.0.as_ref()?;
        // Any number will do, as long as they are spread.
        let place =
            asked.place.unwrap_or_else(|| u16::try_from(Uuid::new_v4().as_u128() % u128::from(PLACES)).unwrap_or(0));
        let at = |id: &Option<String>| {
            let id = id.as_ref()?;
            steered.config.pathways.iter().position(|pathway| pathway.site == *id)
        };
        let viewer = Viewer {
            current: at(&asked.pathway),
            place: f64::from(place) / f64::from(PLACES),
            left: at(&asked.left),
            throughput_bps: asked.throughput_bps,
            needed_bps,
        };
        let way = steered.sites().decide(steered.now_ms(), &viewer);
        let file = match form {
            Form::Hls => HLS_FILE,
            Form::Dash => DASH_FILE,
        };
        let pathways = &steered.config.pathways;
        let first = &pathways[*way.order.first()?];
        let mut reload_uri = format!("{}{asset}/{file}?place={place}", first.base);
        if let Some(left) = way.left {
            // A `String` takes everything.
            let _ = write!(reload_uri, "&left={}", pathways[left].site);
        }
        let pathway_priority = way.order.into_iter().map(|at| pathways[at].site.clone()).collect();
        Some(Manifest { version: 1, ttl: steered.config.ttl.0.as_secs(), reload_uri, pathway_priority })
    }
}

// === impl Ways ===

impl Ways {
    /// Puts them into a multivariant playlist.
    pub(crate) fn put(&self, input: &mut MultivariantInput) {
        let first_pathway = self.0.first().map(|first| first.id.clone());
        input.steering = first_pathway.map(|first| Tag { server_uri: HLS_FILE.to_owned(), first_pathway: Some(first) });
        input.pathways.clone_from(&self.0);
    }

    /// The same of an MPD.
    pub(crate) fn dash(&self) -> Option<DashSteering> {
        let server_uri = format!("{}{DASH_FILE}", self.0.first()?.base);
        Some(DashSteering { server_uri, pathways: self.0.clone() })
    }
}

// === impl Steered ===

impl Steered {
    fn sites(&self) -> std::sync::RwLockReadGuard<'_, Sites> {
        self.sites.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn site_of(&self, report: &Report, pathway: Option<&str>) -> Option<usize> {
        let pathways = &self.config.pathways;
        let named = pathway.or(report.network.as_deref());
        let by_name = named.and_then(|name| pathways.iter().position(|pathway| pathway.site == name));
        by_name.or_else(|| {
            let url = report.url.as_deref()?;
            pathways.iter().position(|pathway| url.starts_with(&pathway.base))
        })
    }

    fn window_ms(&self) -> u64 {
        u64::try_from(self.config.window.0.as_millis()).unwrap_or(u64::MAX)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// All pathways, first the one that who knows nothing of steering should take, too: it takes everybody.
    fn pathways(&self, asset: Uuid) -> Vec<Pathway> {
        let last = Viewer { place: 1.0, ..Viewer::default() };
        let order = self.sites().decide(self.now_ms(), &last).order;
        let pathway = |at: usize| {
            let PathwayConfig { site, base, .. } = &self.config.pathways[at];
            Pathway { id: site.clone(), base: format!("{base}{asset}/") }
        };
        order.into_iter().map(pathway).collect()
    }
}

// === impl Asked ===

impl Asked {
    /// The pathway that the player is on, if it says so.
    pub(crate) fn pathway(&self) -> Option<&str> {
        self.pathway.as_deref()
    }

    /// What `query` says: `_HLS_pathway`, `_HLS_throughput`; `_DASH_pathway="east,west"`, `_DASH_throughput=900,1200`, of which the
    /// last is where the player is now; and what the address that was given here says. What cannot be understood is not said.
    pub(crate) fn of(query: Option<&str>) -> Self {
        let mut asked = Self::default();
        for argument in query.unwrap_or_default().split('&') {
            let (name, value) = argument.split_once('=').unwrap_or((argument, ""));
            // Names of pathways need no escapes; players escape quotes and commas.
            let value = value.replace("%22", "\"").replace("%2C", ",").replace("%2c", ",");
            let last = value.trim_matches('"').rsplit(',').next().unwrap_or_default();
            match name {
                "_HLS_pathway" | "_DASH_pathway" => asked.pathway = Some(last.to_owned()).filter(|id| !id.is_empty()),
                "_HLS_throughput" | "_DASH_throughput" => asked.throughput_bps = last.parse().ok(),
                "place" => asked.place = value.parse().ok().filter(|place| *place < PLACES),
                "left" => asked.left = Some(value),
                _ => {}
            }
        }
        asked
    }
}
