//! `flame template export`: the functions of a template as containers that something else starts.
//!
//! What a template says of a function is carried over: image, environment with its words filled in, what it takes, where it is, and the
//! state that it begins in. No policy is followed there: what starts the containers has its own ways. What is not carried over stands at
//! the head of what is written.

mod archive;
mod compose;
mod kubernetes;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, anyhow};
use flame_telemetry::Tag;
use flame_tosca::Template;
use flame_tosca::template::{Function, Resources, State};
use flame_tosca::words::filled;
use serde_json::{Value, json};

pub use archive::{ARCHIVE_MAX_BYTES, Opened, opened};

use super::deployed;
use super::file::TemplateFile;
use crate::args::{Global, TemplateExport, TemplateForm};
use crate::exit::Exit;
use crate::output;

/// Where a container listens, behind addresses of its own.
const PORT: u16 = 8080;
/// Where it keeps what it has.
const DATA: &str = "/data";
/// Where it finds the keys of its callers.
const KEYS: &str = "/etc/flame/keys";
/// Longest name of a container: a label of DNS.
const NAME_MAX_BYTES: usize = 63;

/// A function, as what starts containers is told of it.
#[derive(Debug, Clone, PartialEq)]
struct Container {
    /// A label of DNS, unique in the template.
    name: String,
    image: String,
    /// The program, where the image is FLAME's own: it is not to read the configuration of a part.
    program: Option<String>,
    arguments: Vec<String>,
    /// Without `FLAME_TOKEN`.
    environment: BTreeMap<String, String>,
    begins: State,
    cluster: Option<String>,
    takes: Resources,
    ready_path: Option<String>,
    /// What it is found by.
    labels: BTreeMap<String, String>,
    /// Containers that it is to be with.
    beside: Vec<String>,
    /// Containers that it is not to be with.
    apart_from: Vec<String>,
}

/// How a form writes what it fills in itself.
struct Ways {
    /// What stands for the token.
    token: &'static str,
    /// A text in which nothing is filled in.
    literal: fn(&str) -> String,
}

/// Where functions are.
type Places = BTreeMap<String, Place>;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    cluster: String,
    site: String,
}

pub async fn run(global: &Global, wanted: &TemplateExport) -> Result<(), Exit> {
    let file = TemplateFile::read(&wanted.file)?;
    if wanted.form == TemplateForm::Csar {
        let bytes = archive::packed(&file.request, &file.template).map_err(Exit::usage)?;
        // The command line asks for it.
        let out = wanted.out.as_deref().context("say where the archive goes with --out").map_err(Exit::usage)?;
        return Ok(std::fs::write(out, bytes).with_context(|| format!("write {}", out.display()))?);
    }
    let places = if wanted.placed { places(deployed::planned(global, &file).await?) } else { named(&file.template) };
    let ways = match wanted.form {
        TemplateForm::Kubernetes => kubernetes::WAYS,
        TemplateForm::Compose | TemplateForm::Csar => compose::WAYS,
    };
    let containers = containers(&file.template, &places, wanted, &ways).map_err(Exit::usage)?;
    let documents = match wanted.form {
        TemplateForm::Kubernetes => kubernetes::documents(&containers),
        TemplateForm::Compose | TemplateForm::Csar => vec![compose::document(&containers)],
    };
    let text = if global.json {
        serde_json::to_string_pretty(&json!({ "documents": documents })).map_err(anyhow::Error::new)?
    } else {
        let written: Vec<String> = documents.iter().map(yaml::written).collect();
        format!("{}{}", head(&file.template, wanted.form), written.join("---\n"))
    };
    match &wanted.out {
        None => output::print_line(text.trim_end()),
        Some(out) => {
            let text = format!("{}\n", text.trim_end());
            Ok(std::fs::write(out, text).with_context(|| format!("write {}", out.display()))?)
        }
    }
}

/// Where a plan puts functions.
fn places(plan: flame_api::orchestrator::Plan) -> Places {
    let sites: BTreeMap<String, String> = plan.clusters.into_iter().map(|room| (room.cluster, room.site)).collect();
    let places = plan.places.into_iter().map(|place| {
        let site = sites.get(&place.cluster).cloned().unwrap_or_else(|| place.cluster.clone());
        (place.function, Place { cluster: place.cluster, site })
    });
    places.collect()
}

/// Where policies say that functions are; of their sites nothing is known.
fn named(template: &Template) -> Places {
    let named = template.functions.iter().filter_map(|function| {
        let cluster = function.cluster.clone()?;
        Some((function.name.clone(), Place { site: cluster.clone(), cluster }))
    });
    named.collect()
}

/// What is not carried over, as comments.
fn head(template: &Template, form: TemplateForm) -> String {
    let (sfc, sfci) = (&template.sfc, &template.sfci);
    let begin = match form {
        TemplateForm::Kubernetes => {
            "# kubectl apply -f FILE. It needs a Secret `flame-endpoints` with `token`, `jwks.json` and `revoked.json`."
        }
        TemplateForm::Compose | TemplateForm::Csar => {
            "# docker compose -f FILE up -d, with FLAME_TOKEN and FLAME_KEYS (a folder with jwks.json and revoked.json)."
        }
    };
    let mut lines = vec![format!("# {sfc}/{sfci}, exported by flame {}.", env!("CARGO_PKG_VERSION")), begin.to_owned()];
    let used = || template.functions.iter().filter(|function| template.is_used(&function.name));
    let unregistered: Vec<_> = used().filter(|one| !one.registers_itself).map(|one| one.name.as_str()).collect();
    if !unregistered.is_empty() {
        let names = unregistered.join(", ");
        lines.push(format!("# Nobody registers {names}: write their names into the router's file of static entries."));
    }
    let policies: Vec<_> = template.policies.iter().filter(|one| !one.is_initial).map(|one| one.id.as_str()).collect();
    if !policies.is_empty() {
        lines.push(format!("# Nobody follows the policies of the template here: {}.", policies.join(", ")));
    }
    format!("{}\n", lines.join("\n"))
}

/// All functions that are ever used.
fn containers(
    template: &Template,
    places: &Places,
    wanted: &TemplateExport,
    ways: &Ways,
) -> anyhow::Result<Vec<Container>> {
    let mut known = BTreeSet::new();
    let mut found = Vec::new();
    for function in template.functions.iter().filter(|function| template.is_used(&function.name)) {
        let container = container(template, function, places.get(&function.name), wanted, ways);
        if !known.insert(container.name.clone()) {
            return Err(anyhow!("two functions would be called {}: give one another name", container.name));
        }
        found.push(container);
    }
    Ok(found)
}

fn container(
    template: &Template,
    function: &Function,
    place: Option<&Place>,
    wanted: &TemplateExport,
    ways: &Ways,
) -> Container {
    let names = function.names(&template.sfci);
    let name = names.first().cloned().unwrap_or_default();
    let tenant = flame_service_host::auth::DEFAULT_TENANT;
    let own = flame_orchestrator::own_name(&function.image, &function.name, &template.sfci, tenant);
    let (cluster, site) = place.map(|place| (place.cluster.clone(), place.site.clone())).unwrap_or_default();
    let words = BTreeMap::from([
        ("port", PORT.to_string()),
        ("listen", format!("0.0.0.0:{PORT}")),
        ("router", wanted.platform.to_string()),
        ("fqdn", name.clone()),
        ("folder", DATA.to_owned()),
        ("cluster", cluster.clone()),
        ("site", site.clone()),
        ("function", function.name.clone()),
        ("instance", template.sfci.to_lowercase()),
        ("own", own),
        ("token", ways.token.to_owned()),
    ]);
    // What the template says is no variable of whoever starts it.
    let literal = |(word, value): (&'static str, String)| {
        let value = if word == "token" { value } else { (ways.literal)(&value) };
        (word, value)
    };
    let words: BTreeMap<&str, String> = words.into_iter().map(literal).collect();
    let begins = template.initial(&function.name);
    let value = |text: &str| filled(&(ways.literal)(text), &words);
    let mut environment: BTreeMap<String, String> = BTreeMap::new();
    for (key, text) in &function.environment {
        let text = value(text);
        // Nobody connects it later: it registers as what it begins as.
        let is_state = function.registers_itself && key.ends_with("__HOST__REGISTRATION") && begins == State::Connected;
        let text = if is_state { text.replace("state=booted", "state=connected") } else { text };
        environment.insert(key.clone(), text);
    }
    let context = [
        (Tag::Location, site.as_str()),
        (Tag::Chain, &template.sfc),
        (Tag::ChainInstance, &template.sfci),
        (Tag::Package, &function.image),
        (Tag::Function, &function.name),
        (Tag::Endpoint, &name),
    ];
    let said = context.into_iter().filter(|(_, value)| !value.is_empty());
    environment.extend(said.map(|(tag, value)| (tag.variable(), (ways.literal)(value))));
    environment.insert("FLAME_ROUTER".to_owned(), wanted.platform.to_string());
    environment.insert("FLAME_PORT".to_owned(), PORT.to_string());
    environment.insert("FLAME_KEYS".to_owned(), KEYS.to_owned());
    // It stands beside what was written, and is said by what starts the container.
    environment.remove("FLAME_TOKEN");
    let is_own = !function.image.contains(['/', ':']);
    let named = (ways.literal)(&function.image);
    let image = if is_own { format!("{}{named}:{}", wanted.registry, wanted.tag) } else { named.clone() };
    let called = |function: &String| label(&format!("{}-{function}", template.sfci));
    let mut labels = BTreeMap::from([
        ("app.kubernetes.io/part-of".to_owned(), label(&template.sfc)),
        ("app.kubernetes.io/instance".to_owned(), label(&template.sfci)),
        ("app.kubernetes.io/component".to_owned(), label(&function.name)),
        ("flame.eu/function".to_owned(), called(&function.name)),
    ]);
    labels.extend((!cluster.is_empty()).then(|| ("flame.eu/cluster".to_owned(), label(&cluster))));
    Container {
        name: called(&function.name),
        image,
        program: is_own.then(|| format!("/usr/local/bin/{named}")),
        arguments: function.arguments.iter().map(|argument| value(argument)).collect(),
        environment,
        begins,
        cluster: (!cluster.is_empty()).then_some(cluster),
        takes: function.takes,
        ready_path: function.ready_path.as_ref().map(|path| format!("/{}", path.trim_start_matches('/'))),
        labels,
        beside: function.beside.iter().map(called).collect(),
        apart_from: function.apart_from.iter().map(called).collect(),
    }
}

/// A text as a label of DNS.
fn label(text: &str) -> String {
    let text = text.to_lowercase().replace(|other: char| !other.is_ascii_alphanumeric(), "-");
    let text: String = text.trim_matches('-').chars().take(NAME_MAX_BYTES).collect();
    text.trim_end_matches('-').to_owned()
}

/// A document's map of texts.
fn texts(map: &BTreeMap<String, String>) -> Value {
    map.iter().map(|(key, text)| (key.clone(), Value::from(text.as_str()))).collect::<serde_json::Map<_, _>>().into()
}
