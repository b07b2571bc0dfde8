//! An alerts document (TOSCA, the shape that FLAME's experimenters wrote), read and checked. Pure.
//!
//! What is wrong is said with its line and column. Whether a policy exists in a resource specification is the
//! orchestrator's to check, who has both.

use std::collections::BTreeMap;

pub use flame_tosca::DocumentError;
pub use flame_tosca::document::DOCUMENT_MAX_BYTES;
use flame_tosca::document::malformed;
use flame_tosca::words::{self, VERSIONS, is_name};
use serde::Deserialize;
use serde_saphyr::Spanned;
use url::Url;

use crate::query::aggregate::Aggregate;
use crate::series::Tags;

/// Triggers in one document.
const TRIGGERS_MAX: usize = 200;
/// Longest window: a day.
const GRANULARITY_MAX_S: u64 = 86_400;

const POLICIES: [&str; 2] = ["eu.ict-flame.policies.StateChange", "eu.ict-flame.policies.Alert"];
const CONTEXT_PREFIX: &str = "flame_";

/// What a document asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Specification {
    /// The service function chain; its measurements are in the database of that name.
    pub sfc: String,
    /// Its instance.
    pub sfci: String,
    pub triggers: Vec<Trigger>,
}

/// One condition, and who is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Trigger {
    pub policy: String,
    pub id: String,
    pub description: String,
    pub event: Event,
    pub measurement: String,
    pub threshold: f64,
    pub granularity_s: u64,
    /// Tags that series must have.
    pub tags: Tags,
    pub handlers: Vec<Handler>,
}

/// What is compared.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The value of a window.
    Threshold { field: String, aggregate: Aggregate, word: String, comparison: Comparison },
    /// How much it differs from that of the window before.
    Relative { field: String, aggregate: Aggregate, word: String, comparison: Comparison },
    /// How many points a window has: at most so many.
    Deadman,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Less,
    LessOrEqual,
    Equal,
    Greater,
    GreaterOrEqual,
}

/// Who is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handler {
    /// The orchestrator's endpoint management, `flame_sfemc`.
    Sfemc,
    Url(Url),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    tosca_definitions_version: Spanned<String>,
    #[serde(default, rename = "imports")]
    _imports: Vec<String>,
    #[serde(default, rename = "description")]
    _description: String,
    metadata: Metadata,
    topology_template: Topology,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    sfc: Spanned<String>,
    sfci: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Topology {
    policies: Spanned<Vec<Spanned<BTreeMap<String, Policy>>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    r#type: Spanned<String>,
    #[serde(default, rename = "description")]
    _description: String,
    triggers: Spanned<BTreeMap<String, TriggerText>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TriggerText {
    #[serde(default)]
    description: String,
    event_type: Spanned<String>,
    metric: Spanned<String>,
    condition: Condition,
    action: Action,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    threshold: Spanned<f64>,
    granularity: Spanned<u64>,
    #[serde(default)]
    aggregation_method: Option<Spanned<String>>,
    #[serde(default)]
    resource_type: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    comparison_operator: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Action {
    implementation: Spanned<Vec<Spanned<String>>>,
}

/// Reads a document.
pub fn read(text: &str) -> Result<Specification, DocumentError> {
    let document: Document = serde_saphyr::from_str(text).map_err(|error| malformed(&error))?;
    let version = &document.tosca_definitions_version;
    if !VERSIONS.contains(&version.value.as_str()) {
        return Err(wrong(
            version,
            format!("`{}` is no version that is read here: write {}", version.value, VERSIONS.join(" or ")),
        ));
    }
    let Metadata { sfc, sfci } = document.metadata;
    for name in [&sfc, &sfci] {
        check_name(name)?;
    }
    let mut triggers: Vec<Trigger> = Vec::new();
    let policies = document.topology_template.policies;
    if policies.value.is_empty() {
        return Err(wrong(&policies, "there are no policies".to_owned()));
    }
    for listed in policies.value {
        let at = Spanned::new((), listed.referenced, listed.defined);
        if listed.value.len() != 1 {
            return Err(wrong(&at, "each policy is a map with one key, its id".to_owned()));
        }
        for (id, policy) in listed.value {
            if triggers.iter().any(|trigger| trigger.policy == id) {
                return Err(wrong(&at, format!("there is another policy `{id}`")));
            }
            if !is_name(&id) {
                return Err(wrong(&at, format!("`{id}` is no id: letters, digits, `.`, `_` and `-`")));
            }
            one_of("policy type", &policy.r#type, &POLICIES)?;
            if policy.triggers.value.is_empty() {
                return Err(wrong(&policy.triggers, format!("policy `{id}` has no triggers")));
            }
            let place = Spanned::new((), policy.triggers.referenced, policy.triggers.defined);
            for (trigger, text) in policy.triggers.value {
                if triggers.len() >= TRIGGERS_MAX {
                    return Err(wrong(&place, format!("there are more than {TRIGGERS_MAX} triggers")));
                }
                if !is_name(&trigger) {
                    return Err(wrong(&place, format!("`{trigger}` is no id: letters, digits, `.`, `_` and `-`")));
                }
                triggers.push(checked(&id, trigger, text)?);
            }
        }
    }
    Ok(Specification { sfc: sfc.value, sfci: sfci.value, triggers })
}

fn checked(policy: &str, id: String, text: TriggerText) -> Result<Trigger, DocumentError> {
    let Condition { threshold, granularity, aggregation_method, resource_type, comparison_operator } = text.condition;
    one_of("event_type", &text.event_type, &["threshold", "relative", "deadman"])?;
    if !threshold.value.is_finite() {
        return Err(wrong(&threshold, "the threshold is a number".to_owned()));
    }
    if !(1..=GRANULARITY_MAX_S).contains(&granularity.value) {
        return Err(wrong(&granularity, format!("the granularity is 1 to {GRANULARITY_MAX_S} seconds")));
    }
    let metric = &text.metric;
    let parts =
        metric.value.split_once('.').filter(|(measurement, field)| !measurement.is_empty() && !field.is_empty());
    let is_deadman = text.event_type.value == "deadman";
    let (measurement, field) = match parts {
        Some((measurement, field)) => (measurement.to_owned(), field.to_owned()),
        None if is_deadman && !metric.value.is_empty() => (metric.value.clone(), String::new()),
        None => return Err(wrong(metric, format!("`{}` is no metric: write <measurement>.<field>", metric.value))),
    };
    let event = if is_deadman {
        Event::Deadman
    } else {
        let missing = |what: &str| wrong(&text.event_type, format!("a {} has a {what}", text.event_type.value));
        let method = aggregation_method.ok_or_else(|| missing("aggregation_method"))?;
        let words = ["mean", "median", "mode", "sum", "min", "max", "count", "first", "last"];
        one_of("aggregation_method", &method, &words)?;
        let word = method.value;
        let aggregate = Aggregate::of(&word, None).ok_or_else(|| missing("aggregation_method"))?;
        let operator = comparison_operator.ok_or_else(|| missing("comparison_operator"))?;
        one_of("comparison_operator", &operator, &["lt", "lte", "eq", "gt", "gte"])?;
        let comparison = match operator.value.as_str() {
            "lt" => Comparison::Less,
            "lte" => Comparison::LessOrEqual,
            "eq" => Comparison::Equal,
            "gt" => Comparison::Greater,
            _ => Comparison::GreaterOrEqual,
        };
        match text.event_type.value.as_str() {
            "relative" => Event::Relative { field, aggregate, word, comparison },
            _ => Event::Threshold { field, aggregate, word, comparison },
        }
    };
    for (name, value) in &resource_type {
        if !name.starts_with(CONTEXT_PREFIX) {
            return Err(wrong(value, format!("`{name}` is no context tag: they begin with {CONTEXT_PREFIX}")));
        }
    }
    let tags = resource_type.into_iter().map(|(name, value)| (name, value.value)).collect();
    let implementation = text.action.implementation;
    if implementation.value.is_empty() {
        return Err(wrong(&implementation, "nobody is told: name flame_sfemc or a URL".to_owned()));
    }
    let handlers = implementation.value.iter().map(handler).collect::<Result<_, _>>()?;
    Ok(Trigger {
        policy: policy.to_owned(),
        id,
        description: text.description,
        event,
        measurement,
        threshold: threshold.value,
        granularity_s: granularity.value,
        tags,
        handlers,
    })
}

fn handler(text: &Spanned<String>) -> Result<Handler, DocumentError> {
    if text.value == "flame_sfemc" {
        return Ok(Handler::Sfemc);
    }
    match text.value.parse::<Url>() {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(Handler::Url(url)),
        Ok(_) | Err(_) => Err(wrong(text, format!("`{}` is neither flame_sfemc nor an http URL", text.value))),
    }
}

fn check_name(name: &Spanned<String>) -> Result<(), DocumentError> {
    if is_name(&name.value) {
        return Ok(());
    }
    Err(wrong(name, format!("`{}` is no name: 1 to 64 letters, digits, `.`, `_` and `-`", name.value)))
}

fn one_of(what: &str, word: &Spanned<String>, known: &[&str]) -> Result<(), DocumentError> {
    if known.contains(&word.value.as_str()) {
        return Ok(());
    }
    Err(wrong(word, format!("`{}` is no {what}: {}", word.value, words::instead(&word.value, known))))
}

fn wrong<T>(place: &Spanned<T>, reason: String) -> DocumentError {
    DocumentError { file: None, line: place.referenced.line(), column: place.referenced.column(), reason }
}

// === impl Comparison ===

impl Comparison {
    pub fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Less => value < threshold,
            Self::LessOrEqual => value <= threshold,
            #[allow(clippy::float_cmp, reason = "whoever asks for equality means it")]
            Self::Equal => value == threshold,
            Self::Greater => value > threshold,
            Self::GreaterOrEqual => value >= threshold,
        }
    }
}
