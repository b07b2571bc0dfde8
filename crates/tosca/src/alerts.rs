//! An alerts document beside the template whose policies it is for: each condition that tells the orchestrator has to find a
//! policy there that waits for it. What the conditions say is CLMC's to check.

use crate::document::{DocumentError, Map, Node, Place, parse};
use crate::template::{Template, head};
use crate::words;

/// Whom the orchestrator is in an alerts document.
const SFEMC: &str = "flame_sfemc";

/// Whether a document is of the template's chain, and every trigger that tells the orchestrator is waited for.
pub fn check(template: &Template, text: &str) -> Result<(), Vec<DocumentError>> {
    let document = parse(text).map_err(|error| vec![error])?;
    let mut findings = Vec::new();
    if let Err(error) = look(template, &document, &mut findings) {
        findings.push(error);
    }
    if findings.is_empty() { Ok(()) } else { Err(findings) }
}

fn look(template: &Template, document: &Node, findings: &mut Vec<DocumentError>) -> Result<(), DocumentError> {
    let map = head(document)?;
    let metadata = map.need("metadata")?.map("metadata")?;
    for (key, own) in [("sfc", &template.sfc), ("sfci", &template.sfci)] {
        let said = metadata.need(key)?;
        if said.text(key)? != own {
            findings
                .push(said.at.wrong(format!("the alerts are for another {key} than the template, which is `{own}`")));
        }
    }
    let policies = map.need("topology_template")?.map("topology_template")?.need("policies")?;
    for listed in policies.list("policies")? {
        for (key, body) in listed.map("a policy")?.iter() {
            let triggers = body.map("a policy")?.need("triggers")?.map("triggers")?;
            for (trigger, body) in triggers.iter() {
                if tells_us(body.map("a trigger")?)? && template.awaiting(&key.text, &trigger.text).is_none() {
                    findings.push(unheard(template, &key.text, key.at, &trigger.text, trigger.at));
                }
            }
        }
    }
    Ok(())
}

fn tells_us(trigger: Map<'_>) -> Result<bool, DocumentError> {
    let told = trigger.need("action")?.map("action")?.need("implementation")?.list("implementation")?;
    Ok(told.iter().any(|one| one.text("implementation").is_ok_and(|text| text == SFEMC)))
}

/// Names both places: that of the alert, and that of the template where something was expected.
fn unheard(template: &Template, policy: &str, policy_at: Place, trigger: &str, trigger_at: Place) -> DocumentError {
    let changes: Vec<_> = template.policies.iter().filter(|one| !one.is_initial).collect();
    let Some(found) = changes.iter().find(|one| one.id == policy) else {
        let known: Vec<&str> = changes.iter().map(|one| one.id.as_str()).collect();
        let instead = words::instead(policy, &known);
        return policy_at.wrong(format!("the template has no StateChange policy `{policy}`: {instead}"));
    };
    let known: Vec<&str> = found.triggers.iter().filter_map(|one| one.alert.as_deref()).collect();
    let line = found.at.line;
    let instead = words::instead(trigger, &known);
    trigger_at
        .wrong(format!("policy `{policy}` of the template (line {line}) does not wait for clmc::{trigger}: {instead}"))
}
