//! Documents that people write and send: templates and chains.

use std::collections::BTreeMap;

use flame_tosca::Template;
use flame_tosca::template::Given;

use crate::fields::text;

/// Most mistakes that are told of one template.
const FINDINGS_MAX: usize = 100;
/// Longest of what is told of one of them, bytes: a place, a word of the document, and words that are meant.
const FINDING_MAX_BYTES: usize = 300 << 10;

/// The template; each file that it imports is itself again.
pub fn template(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let read = |inputs: &BTreeMap<String, String>| {
        flame_tosca::read(text, Given { inputs, instance: None, import: &|_| Some(text.to_owned()) })
    };
    match read(&BTreeMap::new()) {
        Ok(template) => whole(&template, &read(&template.inputs).expect("its own values can be given to it")),
        Err(findings) => {
            assert!(!findings.is_empty() && findings.len() <= FINDINGS_MAX, "{} findings", findings.len());
            assert!(findings.iter().all(|one| one.line > 0 && one.reason.len() <= FINDING_MAX_BYTES));
        }
    }
}

fn whole(template: &Template, again: &Template) {
    assert_eq!((&template.sfc, &template.sfci), (&again.sfc, &again.sfci));
    let names: Vec<&str> = template.functions.iter().map(|function| function.name.as_str()).collect();
    for trigger in template.policies.iter().flat_map(|policy| &policy.triggers) {
        assert!(trigger.actions.iter().all(|action| names.contains(&action.function.as_str())));
    }
}

/// The chain, also with each of its parameters set to the value that it has.
pub fn chain(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let Ok(chain) = flame_chain::read(text, &BTreeMap::new()) else { return };
    let set = chain.parameters.iter().map(|one| (one.name.clone(), one.value.clone())).collect();
    assert_eq!(flame_chain::read(text, &set).as_ref(), Ok(&chain));
    let mut seen: Vec<&str> = Vec::new();
    for stage in &chain.stages {
        assert!(
            stage.inputs.iter().all(|input| seen.contains(&input.as_str())),
            "{} comes before who feeds it",
            stage.name
        );
        seen.push(&stage.name);
    }
}
