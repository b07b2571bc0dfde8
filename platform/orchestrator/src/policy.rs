//! What a message of CLMC changes. Pure.
//!
//! A policy acts once, and rests for its cool-down. A condition that begins to hold meanwhile is not forgotten, for CLMC tells
//! of changes, not of states: it is acted on at the end of the cool-down, if it holds still.

use flame_tosca::Template;
use flame_tosca::template::Move;
use serde::{Deserialize, Serialize};

/// Where a policy stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// When it changed something last, milliseconds.
    pub changed_ms: Option<u64>,
    /// The alert that waits for the end of the cool-down.
    pub waiting: Option<String>,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Functions go into states.
    Moves(Vec<Move>, String),
    /// It is acted on later.
    Waits(String),
    /// Nothing.
    Nothing(String),
}

/// Why a message is not for this template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unheard(String);

/// What follows from a message about `alert`: that its condition `holds`, or that it holds no more.
pub fn told(
    template: &Template,
    standing: &mut Standing,
    (policy, alert): (&str, &str),
    holds: bool,
    now_ms: u64,
) -> Result<Verdict, Unheard> {
    let Some((found, trigger)) = template.awaiting(policy, alert) else {
        let waits = template.policies.iter().filter(|one| !one.is_initial).flat_map(|one| {
            one.triggers.iter().filter_map(move |trigger| Some(format!("{}/{}", one.id, trigger.alert.as_ref()?)))
        });
        let waits: Vec<_> = waits.collect();
        let waits = if waits.is_empty() { "nothing".to_owned() } else { waits.join(", ") };
        return Err(Unheard(format!("no policy waits for {policy}/{alert}: this template waits for {waits}")));
    };
    if !holds {
        if standing.waiting.as_deref() == Some(alert) {
            standing.waiting = None;
            return Ok(Verdict::Nothing(format!("{alert} holds no more: what waited for the cool-down is dropped")));
        }
        return Ok(Verdict::Nothing(format!("{alert} holds no more; a trigger of its own would say what follows")));
    }
    if let Some(left_ms) = cooling_ms(standing, found.cool_down_ms, now_ms) {
        standing.waiting = Some(alert.to_owned());
        return Ok(Verdict::Waits(format!("{alert} holds; policy {policy} rests for another {left_ms} ms")));
    }
    Ok(act(standing, policy, alert, &trigger.actions, now_ms))
}

/// What follows because time has passed.
pub fn rested(template: &Template, standing: &mut Standing, policy: &str, now_ms: u64) -> Option<Verdict> {
    let alert = standing.waiting.clone()?;
    let Some((found, trigger)) = template.awaiting(policy, &alert) else {
        // The template was changed meanwhile.
        standing.waiting = None;
        return None;
    };
    if cooling_ms(standing, found.cool_down_ms, now_ms).is_some() {
        return None;
    }
    Some(act(standing, policy, &alert, &trigger.actions, now_ms))
}

fn act(standing: &mut Standing, policy: &str, alert: &str, actions: &[Move], now_ms: u64) -> Verdict {
    *standing = Standing { changed_ms: Some(now_ms), waiting: None };
    Verdict::Moves(actions.to_vec(), format!("policy {policy}: {alert} holds"))
}

fn cooling_ms(standing: &Standing, cool_down_ms: u64, now_ms: u64) -> Option<u64> {
    let until = standing.changed_ms?.saturating_add(cool_down_ms);
    until.checked_sub(now_ms).filter(|left| *left > 0)
}
