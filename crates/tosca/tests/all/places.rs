//! Whatever is wrong is said where it stands: any word of a right template, misspelt, is found at its line.

use flame_tosca::document::{Node, Value, parse};
use proptest::prelude::*;

use crate::{complaints, read, shipped};

/// All keys and texts of a document with their places.
fn words(node: &Node, found: &mut Vec<(u64, u64, String)>) {
    match &node.value {
        Value::Text(text) => found.push((node.at.line, node.at.column, text.clone())),
        Value::List(items) => items.iter().for_each(|item| words(item, found)),
        Value::Map(entries) => {
            for (key, node) in entries {
                found.push((key.at.line, key.at.column, key.text.clone()));
                words(node, found);
            }
        }
        _ => {}
    }
}

#[test]
fn every_key_and_text_has_the_place_where_it_stands() {
    let text = shipped("vod/template.yaml");
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    words(&parse(&text).unwrap(), &mut found);
    assert!(found.len() > 40, "{}", found.len());
    for (line, column, word) in found {
        let there = &lines[line as usize - 1][column as usize - 1..];
        let there = there.trim_start_matches("&edge").trim_start_matches(['"', '\'']);
        assert!(there.starts_with(&word), "line {line}, column {column}: `{word}`, and there stands `{there}`");
    }
}

#[test]
fn a_misspelt_word_is_named_with_its_place_and_the_one_that_was_meant() {
    let right = shipped("edge-standby/template.yaml");
    read(&right).unwrap();
    for (from, to, complaint) in [
        ("fqdn: [ edge ]", "fqnd: [ edge ]", "line 17, column 9: `first` has no property `fqnd`: do you mean `fqdn`?"),
        ("nodes.ServiceFunction\n", "nodes.ServiceFuntion\n", "do you mean `eu.ict-flame.nodes.ServiceFunction`?"),
        ("policies.StateChange", "policies.StateChanged", "do you mean `eu.ict-flame.policies.StateChange`?"),
        ("lifecycle.booted }", "lifecycle.boted }", "do you mean `eu.ict-flame.sfe.state.lifecycle.booted`?"),
        ("functions: [ first ]", "functions: [ fist ]", "column 22: there is no function `fist`: do you mean `first`?"),
        ("[ first, fqdn ]", "[ frist, fqdn ]", "there is no node `frist`: do you mean `first`?"),
        (
            "clmc::slow",
            "cmlc::slow",
            "the constraint of a StateChange is clmc::<trigger of the alerts document>, not `cmlc::slow`",
        ),
        (
            "constraint: initialise",
            "constraint: initialize",
            "the constraint of an InitialPolicy is initialise, not `initialize`",
        ),
        ("cool_down: 5 s", "cool_down: 5", "a whole number is not a time: `30 s`"),
        ("num_cpus: 1,", "num_cpus: one,", "`num_cpus` is a whole number, not a text"),
        ("mem_size: 256 MiB", "mem_size: 256 Mib/s", "`256 Mib/s` is not a size: `256 MiB`, with a unit of"),
        ("nfv_1_0_0", "nfv_1_0", "do you mean `tosca_simple_profile_for_nfv_1_0_0`?"),
        ("sfci: city", "sfci: the city", "line 5, column 38: `the city` is no name of an instance"),
        ("fqdn: [ edge ]", "fqdn: [ e_dge ]", "`e_dge` (with the instance `city`) is no name"),
        ("registers: itself", "registers: myself", "do you mean `itself`?"),
        ("topology_template:", "topology_templates:", "do you mean `topology_template`?"),
    ] {
        let found = complaints(&right.replacen(from, to, 1));
        assert!(found.iter().any(|said| said.contains(complaint)), "{to}: {found:?}");
    }
}

#[test]
fn all_that_is_wrong_is_found_at_once() {
    let text = shipped("edge-standby/template.yaml");
    let text = text.replace("image: flame-vcdn", "imge: flame-vcdn").replace("cool_down: 5 s", "cooldown: 5 s");
    let found = complaints(&text);
    let at: Vec<_> = found.iter().filter_map(|said| said.split_once(':').map(|(place, _)| place)).collect();
    assert_eq!(found.len(), 5, "two misspelt, two missing, one misspelt: {found:?}");
    assert!(at.is_sorted_by_key(|place| place.split([' ', ',']).nth(1).unwrap().parse::<u64>().unwrap()), "{at:?}");
}

proptest! {
    /// No document, however broken, does more than be refused with a place within it.
    #[test]
    fn whatever_is_cut_or_swapped_is_refused_within_the_document(from in 0usize..2000, length in 0usize..60, with in "[a-z:{}\\[\\]&*\n -]{0,6}") {
        let text = shipped("edge-standby/template.yaml");
        let (from, to) = (from.min(text.len()), (from + length).min(text.len()));
        let broken = format!("{}{with}{}", &text[..from], &text[to..]);
        if let Err(errors) = read(&broken) {
            prop_assert!(!errors.is_empty());
            let lines = broken.lines().count() as u64 + 1;
            for error in errors {
                prop_assert!(error.line >= 1 && error.line <= lines && error.column >= 1, "{error} of {lines}");
            }
        }
    }
}
