//! A deployment: what was asked for, and how far its endpoints are. Pure; what is kept of it is one value.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use flame_api::orchestrator::{self as wire, NewDeployment};
use flame_tosca::template::{Function, Given, Resources, State};
use flame_tosca::{DocumentError, Template, alerts};
use serde::{Deserialize, Serialize};

use crate::lifecycle::{self, Action, Stage};
use crate::plan::{Cluster, Plan};
use crate::policy::Standing;

/// Tenant, chain, instance.
pub type Key = (String, String, String);

/// What is deployed.
#[derive(Debug, Clone)]
pub struct Deployment {
    pub record: Record,
    /// What the record's request says.
    pub template: Template,
    /// Why that is not understood any more: then the template is empty, and what runs goes on as it was.
    pub problem: Option<String>,
}

/// What is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub request: NewDeployment,
    /// Whether it was told to go.
    pub is_leaving: bool,
    pub endpoints: Vec<Endpoint>,
    /// Where policies stand.
    pub policies: BTreeMap<String, Standing>,
}

/// An endpoint, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Unique, also in the router.
    pub id: String,
    pub function: String,
    /// Another one takes its place, or nobody wants it any more.
    pub is_retired: bool,
    pub cluster: String,
    pub site: String,
    pub spec: Spec,
    pub desired: Desired,
    pub stage: Stage,
    pub since_ms: u64,
    pub failures: u32,
    /// Counts its starts: the router takes no renewals of earlier ones.
    pub generation: u64,
    pub port: Option<u16>,
    pub process: Option<Process>,
    /// What failed last, until a step forward is done.
    #[serde(default)]
    pub problem: Option<String>,
    /// The step that failed last, and when.
    #[serde(skip)]
    pub tried: Option<(Action, u64)>,
}

/// What runs, with everything that makes it another one if it changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    pub image: String,
    pub names: Vec<String>,
    pub arguments: Vec<String>,
    pub environment: BTreeMap<String, String>,
    pub registers_itself: bool,
    pub ready_path: Option<String>,
    pub cpus: u64,
    pub memory_bytes: u64,
    pub disk_bytes: u64,
}

/// A process, and when it was started: numbers of processes are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub pid: u32,
    pub start_ticks: u64,
}

/// [`State`], as it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Desired {
    Unplaced,
    Placed,
    Booted,
    Connected,
}

/// Reads what is asked for, with its alerts.
pub fn read(request: &NewDeployment) -> Result<Template, Vec<DocumentError>> {
    read_noting(request, &RefCell::default())
}

/// The same, and leaves imports away that it does not need: a record is written at each step.
pub fn accept(mut request: NewDeployment) -> Result<(Template, NewDeployment), Vec<DocumentError>> {
    let needed = RefCell::default();
    let template = read_noting(&request, &needed)?;
    request.imports.retain(|path, _| needed.borrow().contains(path));
    Ok((template, request))
}

fn read_noting(request: &NewDeployment, needed: &RefCell<BTreeSet<String>>) -> Result<Template, Vec<DocumentError>> {
    let import = |path: &str| {
        needed.borrow_mut().insert(path.to_owned());
        request.imports.get(path).cloned()
    };
    let given = Given { inputs: &request.inputs, instance: request.instance.as_deref(), import: &import };
    let template = flame_tosca::read(&request.template, given)?;
    if let Some(text) = &request.alerts {
        let in_alerts = |error| DocumentError { file: Some("alerts".to_owned()), ..error };
        let checked = alerts::check(&template, text);
        checked.map_err(|errors| errors.into_iter().map(in_alerts).collect::<Vec<_>>())?;
    }
    Ok(template)
}

// === impl Record ===

impl Record {
    /// Moves endpoints to what a new request asks for. What is unchanged stays; what is changed gets an endpoint beside the
    /// old one, which leaves once the new one serves. `before` is what was asked for until now, as far as it is understood;
    /// `plan` places all that is used.
    pub fn follow(
        &mut self,
        before: Option<&Template>,
        template: &Template,
        tenant: &str,
        plan: &Plan,
        clusters: &[Cluster],
        now_ms: u64,
    ) {
        let placed: BTreeMap<&str, &Cluster> =
            plan.places.iter().map(|place| (place.function.as_str(), &clusters[place.cluster])).collect();
        let mut kept: Vec<String> = Vec::new();
        let mut added = Vec::new();
        for function in template.functions.iter().filter(|function| template.is_used(&function.name)) {
            let Some(cluster) = placed.get(function.name.as_str()) else { continue };
            let spec = Spec::of(function, &template.sfci, tenant);
            // What a policy has moved stays there until the policy moves it again, or another beginning is asked for.
            let initial = template.initial(&function.name);
            let is_moved = before.is_some_and(|before| before.initial(&function.name) != initial);
            let moved = is_moved.then(|| Desired::from(initial));
            let same = self.endpoints.iter_mut().find(|one| {
                !one.is_retired && one.function == function.name && one.spec == spec && one.cluster == cluster.name
            });
            if let Some(same) = same {
                kept.push(same.id.clone());
                same.desired = moved.unwrap_or(same.desired);
                continue;
            }
            let older = self.endpoints.iter().find(|one| !one.is_retired && one.function == function.name);
            let desired = moved.or(older.map(|one| one.desired)).unwrap_or_else(|| initial.into());
            added.push(Endpoint::new(function, spec, cluster, desired, now_ms));
        }
        for endpoint in self.endpoints.iter_mut().filter(|one| !kept.contains(&one.id)) {
            endpoint.is_retired = true;
            endpoint.desired = Desired::Unplaced;
        }
        self.endpoints.extend(added);
        self.policies.retain(|id, _| template.policies.iter().any(|policy| policy.id == *id));
    }

    /// Wants all endpoints of a function to be so far. Whether it has any.
    pub fn want(&mut self, function: &str, desired: Desired) -> bool {
        let mut has_any = false;
        for endpoint in self.endpoints.iter_mut().filter(|one| !one.is_retired && one.function == function) {
            endpoint.desired = desired;
            has_any = true;
        }
        has_any
    }

    /// Leaves no time in it that is still to come: the machine's clock may have been set back.
    pub fn not_after(&mut self, now_ms: u64) {
        for endpoint in &mut self.endpoints {
            endpoint.since_ms = endpoint.since_ms.min(now_ms);
        }
        for changed_ms in self.policies.values_mut().filter_map(|standing| standing.changed_ms.as_mut()) {
            *changed_ms = now_ms.min(*changed_ms);
        }
    }

    /// What its endpoints take, by cluster: all that are or are to be there.
    pub fn takes(&self) -> impl Iterator<Item = (&str, Resources)> {
        let there = self.endpoints.iter().filter(|one| !one.is_retired || one.stage != Stage::Unplaced);
        there.map(|one| (one.cluster.as_str(), one.spec.takes()))
    }

    /// Whether every endpoint is as far as it should be.
    pub fn is_settled(&self) -> bool {
        self.endpoints.iter().all(|one| match (one.desired, one.stage) {
            (Desired::Unplaced, stage) => stage == Stage::Unplaced,
            (Desired::Placed, stage) => stage == Stage::Placed,
            (Desired::Booted, stage) => stage == Stage::Booted,
            (Desired::Connected, stage) => stage == Stage::Connected,
        })
    }
}

// === impl Endpoint ===

impl Endpoint {
    fn new(function: &Function, spec: Spec, cluster: &Cluster, desired: Desired, now_ms: u64) -> Self {
        Self {
            id: uuid::Uuid::now_v7().simple().to_string(),
            function: function.name.clone(),
            is_retired: false,
            cluster: cluster.name.clone(),
            site: cluster.site.clone(),
            spec,
            desired,
            stage: Stage::Unplaced,
            since_ms: now_ms,
            failures: 0,
            generation: 0,
            port: None,
            process: None,
            problem: None,
            tried: None,
        }
    }

    /// The endpoint as its life is decided on.
    pub fn seen(&self, is_alive: bool, is_ready: bool, open: u32, silent_ms: u64) -> lifecycle::Endpoint {
        lifecycle::Endpoint {
            names: self.spec.names.clone(),
            desired: self.desired.into(),
            stage: self.stage,
            since_ms: self.since_ms,
            failures: self.failures,
            tried: self.tried,
            is_alive,
            is_ready,
            open,
            silent_ms,
        }
    }

    /// Whether it is what a function says.
    pub fn is_of(&self, function: &Function, instance: &str, tenant: &str) -> bool {
        self.spec == Spec::of(function, instance, tenant)
    }

    /// What it takes of its cluster.
    pub fn takes(&self) -> Resources {
        self.spec.takes()
    }

    /// Where it listens.
    pub fn address(&self) -> Option<std::net::SocketAddr> {
        Some(std::net::SocketAddr::from(([127, 0, 0, 1], self.port?)))
    }
}

// === impl Spec ===

impl Spec {
    fn of(function: &Function, instance: &str, tenant: &str) -> Self {
        Self {
            image: function.image.clone(),
            names: whole_names(function, instance, tenant),
            arguments: function.arguments.clone(),
            environment: function.environment.clone(),
            registers_itself: function.registers_itself,
            ready_path: function.ready_path.clone(),
            cpus: function.takes.cpus,
            memory_bytes: function.takes.memory_bytes,
            disk_bytes: function.takes.disk_bytes,
        }
    }

    fn takes(&self) -> Resources {
        Resources { cpus: self.cpus, memory_bytes: self.memory_bytes, disk_bytes: self.disk_bytes }
    }
}

/// The name that an endpoint's own API has, beside those of the template: `vcdn-first.city` of an image `flame-vcdn`.
pub fn own_name(image: &str, function: &str, sfci: &str, tenant: &str) -> String {
    let program = image.rsplit('/').next().unwrap_or_default();
    let program = program.strip_prefix("flame-").unwrap_or(program);
    let word = |text: &str| text.to_lowercase().replace(|other: char| !other.is_ascii_alphanumeric(), "-");
    of_tenant(&format!("{}-{}.{}", word(program), word(function), word(sfci)), tenant)
}

/// A name of two parts is the tenant's own.
fn of_tenant(name: &str, tenant: &str) -> String {
    if tenant == flame_service_host::auth::DEFAULT_TENANT || name.matches('.').count() != 1 {
        return name.to_owned();
    }
    format!("{name}.{tenant}")
}

/// The names of a function as the router writes them, each once.
pub fn whole_names(function: &Function, instance: &str, tenant: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in function.names(instance) {
        let name = of_tenant(&name, tenant);
        // What is no name is refused where the template is read.
        let name = name.parse::<flame_naming::Name>().map_or(name, |name| name.to_string());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

// === impl Desired ===

impl From<State> for Desired {
    fn from(state: State) -> Self {
        match state {
            State::Unplaced => Self::Unplaced,
            State::Placed => Self::Placed,
            State::Booted => Self::Booted,
            State::Connected => Self::Connected,
        }
    }
}

impl From<wire::FunctionState> for Desired {
    fn from(state: wire::FunctionState) -> Self {
        match state {
            wire::FunctionState::Unplaced => Self::Unplaced,
            wire::FunctionState::Placed => Self::Placed,
            wire::FunctionState::Booted => Self::Booted,
            wire::FunctionState::Connected => Self::Connected,
        }
    }
}

impl From<Desired> for State {
    fn from(desired: Desired) -> Self {
        match desired {
            Desired::Unplaced => Self::Unplaced,
            Desired::Placed => Self::Placed,
            Desired::Booted => Self::Booted,
            Desired::Connected => Self::Connected,
        }
    }
}

// === impl Deployment ===

impl Deployment {
    /// One whose template is not understood any more. Its endpoints are kept as they are, it can be changed, and let go.
    pub fn lost((_, sfc, sfci): &Key, record: Record, error: &str) -> Self {
        let template = Template {
            sfc: sfc.clone(),
            sfci: sfci.clone(),
            description: String::new(),
            inputs: BTreeMap::new(),
            functions: Vec::new(),
            chains: Vec::new(),
            policies: Vec::new(),
        };
        let problem = format!(
            "its template is not understood any more, and no policy of it is followed: deploy it anew, or undeploy it: {error}"
        );
        Self { record, template, problem: Some(problem) }
    }

    /// What others see of it.
    pub fn shown(&self) -> wire::Deployment {
        let endpoints = self.record.endpoints.iter().map(|one| wire::DeployedEndpoint {
            function: one.function.clone(),
            endpoint: one.id.clone(),
            cluster: one.cluster.clone(),
            site: one.site.clone(),
            image: one.spec.image.clone(),
            names: one.spec.names.clone(),
            desired: State::from(one.desired).as_str().to_owned(),
            state: one.stage.as_str().to_owned(),
            since_unix_ms: one.since_ms,
            failures: one.failures,
            problem: one.problem.clone(),
            pid: one.process.map(|process| process.pid),
            address: one.address().filter(|_| one.stage.runs()).map(|address| address.to_string()),
        });
        wire::Deployment {
            sfc: self.template.sfc.clone(),
            sfci: self.template.sfci.clone(),
            description: self.template.description.clone(),
            is_leaving: self.record.is_leaving,
            is_settled: self.record.is_settled(),
            endpoints: endpoints.collect(),
            problem: self.problem.clone(),
        }
    }
}
