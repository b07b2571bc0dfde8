//! What a hostile template costs: each is answered at once, and with little.

use std::fmt::Write;

use crate::{complaints, read};

const HEAD: &str = "tosca_definitions_version: tosca_simple_yaml_1_3
metadata: { sfc: a, sfci: b }
topology_template:
  node_templates:
";
const POLICIES: &str = "  policies:
    - start:
        type: eu.ict-flame.policies.InitialPolicy
        triggers:
          deploy: { condition: { constraint: initialise }, action: { n0: { any: eu.ict-flame.sfe.state.lifecycle.booted } } }
";

fn node(name: &str, more: &str) -> String {
    format!(
        "    {name}: {{ type: eu.ict-flame.nodes.ServiceFunction, properties: {{ image: program, fqdn: [ {name} ], {more} }} }}\n"
    )
}

#[test]
fn values_that_multiply_are_refused() {
    let mut text = format!("{HEAD}{}", node("n0", &format!("arguments: [ {} ]", "x".repeat(2000))));
    for level in 1..8 {
        let parts = vec![format!("{{ get_property: [ n{}, arguments, \"0\" ] }}", level - 1); 10].join(", ");
        text += &node(&format!("n{level}"), &format!("arguments: [ {{ concat: [ {parts} ] }} ]"));
    }
    let found = complaints(&format!("{text}{POLICIES}"));
    assert!(
        found.iter().any(|one| one.ends_with("too much is taken from other properties: write values out")),
        "{found:?}"
    );

    // What people write is far from it.
    let mut text = format!("{HEAD}{}", node("n0", "arguments: [ --verbose ]"));
    for level in 1..100 {
        text += &node(
            &format!("n{level}"),
            "arguments: [ { concat: [ { get_property: [ n0, arguments, \"0\" ] }, \"=\", { get_property: [ SELF, image ] } ] } ]",
        );
    }
    let template = read(&format!("{text}{POLICIES}")).unwrap();
    assert_eq!(template.functions[99].arguments, ["--verbose=program"]);
}

#[test]
fn of_many_mistakes_the_first_hundred_are_told() {
    let mut text = HEAD.to_owned();
    for level in 0..199 {
        let strangers: Vec<String> = (0..150).map(|at| format!("w{}", at * 7919 % 9973)).collect();
        text += &node(&format!("n{level}"), &format!("beside: [ {} ]", strangers.join(", ")));
    }
    let found = complaints(&format!("{text}{POLICIES}"));
    assert_eq!(found.len(), 100);
    assert!(found.iter().map(String::len).sum::<usize>() < 100_000);
    assert!(found[0].contains("there is no function `w0`"), "{}", found[0]);
}

#[test]
fn lists_and_maps_have_a_length() {
    let words = |count: usize| (0..count).map(|at| format!("k{at}: 1")).collect::<Vec<_>>().join(", ");
    let map = format!("{HEAD}{}{POLICIES}", node("n0", &format!("environment: {{ {} }}", words(1001))));
    assert!(complaints(&map)[0].contains("a map has more than 1000 entries"), "{:?}", complaints(&map));
    let list =
        map.replace(&words(1001), "").replace("environment: {  }", &format!("arguments: [ {} ]", "1, ".repeat(1001)));
    assert!(complaints(&list)[0].contains("a list has more than 1000 entries"), "{:?}", complaints(&list));
}

#[test]
fn what_follows_from_one_alert_stands_in_one_trigger() {
    let mut text = format!("{HEAD}{}{}{POLICIES}", node("n0", ""), node("n1", ""));
    text += "    - crowd:\n        type: eu.ict-flame.policies.StateChange\n        triggers:\n";
    for (trigger, function, alert) in [("x", "n0", "slow"), ("y", "n1", "slow"), ("z", "n1", "calm")] {
        let state = if alert == "slow" { "connected" } else { "booted" };
        writeln!(
            text,
            "          {trigger}: {{ condition: {{ constraint: \"clmc::{alert}\" }}, action: {{ {function}: {{ any: eu.ict-flame.sfe.state.lifecycle.{state} }} }} }}"
        )
        .unwrap();
    }
    let found = complaints(&text);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("`y` waits for what `x` waits for, too (line "), "{}", found[0]);
}
