//! What a template says: inputs, values taken from elsewhere, types of imports, policies, and the alerts beside it.

use flame_tosca::alerts;
use flame_tosca::template::{Resources, State};

use crate::{complaints, read, read_with, shipped};

/// A template with one function that has these properties, and these policies besides the first.
fn with(properties: &str, policies: &str) -> String {
    format!(
        "tosca_definitions_version: tosca_simple_yaml_1_3
metadata: {{ sfc: t, sfci: one }}
topology_template:
  inputs:
    name: {{ type: string, default: web }}
    cpus: {{ type: integer, default: 2, constraints: [ {{ in_range: [ 1, 4 ] }} ] }}
  node_templates:
    a:
      type: eu.ict-flame.nodes.ServiceFunction
      capabilities: {{ host: {{ properties: {{ num_cpus: {{ get_input: cpus }}, mem_size: 1.5 GB }} }} }}
      properties: {{ image: program, fqdn: [ {{ get_input: name }} ]{properties} }}
    b:
      type: eu.ict-flame.nodes.ServiceFunction
      properties: {{ image: program, fqdn: [ b.other.place ] }}
  policies:
    - start:
        type: eu.ict-flame.policies.InitialPolicy
        triggers:
          t:
            condition: {{ constraint: initialise }}
            action: {{ a: {{ bristol: eu.ict-flame.sfe.state.lifecycle.connected }} }}
{policies}"
    )
}

#[test]
fn values_come_from_inputs_and_other_properties() {
    let text = with(
        ", arguments: [ { concat: [ { get_property: [ SELF, image ] }, \"-\", { get_property: [ SELF, host, num_cpus ] } ] } ], \
         environment: { NAME: { get_property: [ b, fqdn, \"0\" ] } }",
        "",
    );
    let template = read_with(&text, &[("cpus", "3")], &|_| None).unwrap();
    let a = template.function("a").unwrap();
    assert_eq!((a.arguments[0].as_str(), a.environment["NAME"].as_str()), ("program-3", "b.other.place"));
    assert_eq!(a.takes, Resources { cpus: 3, memory_bytes: 1_500_000_000, disk_bytes: 0 });
    assert_eq!((a.names("One"), a.cluster.as_deref()), (vec!["web.one".to_owned()], Some("bristol")));
    assert_eq!(template.function("b").unwrap().names("one"), ["b.other.place"]);
    assert_eq!((template.initial("a"), template.initial("b")), (State::Connected, State::Unplaced));
    assert!(template.is_used("a") && !template.is_used("b"));
    for (inputs, complaint) in [
        (("cpus", "9"), "`cpus` is 1 to 4, not 9"),
        (("cpus", "many"), "`cpus` is a whole number, not a text"),
        (("cpu", "1"), "input `cpu` was given, and the template has none: do you mean `cpus`?"),
    ] {
        let errors = read_with(&text, &[inputs], &|_| None).unwrap_err();
        assert!(errors.iter().any(|error| error.to_string().contains(complaint)), "{errors:?}");
    }
    let endless = with(", arguments: { get_property: [ SELF, arguments ] }", "");
    assert!(complaints(&endless)[0].contains("taken from itself"), "{:?}", complaints(&endless));
}

#[test]
fn imported_types_bring_defaults_and_their_mistakes_are_named_with_the_file() {
    let types = "tosca_definitions_version: tosca_simple_yaml_1_3
node_types:
  org.example.Surrogate:
    derived_from: eu.ict-flame.nodes.ServiceFunction
    properties:
      image: { type: string, default: flame-vcdn }
      size: { type: scalar-unit.size, required: false }
";
    let text = with("", "").replace("metadata:", "imports: [ my/types.yaml ]\nmetadata:").replace(
        "type: eu.ict-flame.nodes.ServiceFunction\n      properties: { image: program, fqdn: [ b.other.place ] }",
        "type: org.example.Surrogate\n      properties: { fqdn: [ b ], size: 4 MiB }",
    );
    let import = |path: &str| (path == "my/types.yaml").then(|| types.to_owned());
    let template = read_with(&text, &[], &import).unwrap();
    let b = template.function("b").unwrap();
    assert_eq!((b.image.as_str(), b.kind.as_str()), ("flame-vcdn", "org.example.Surrogate"));
    let gone = read(&text).unwrap_err();
    assert_eq!(gone[0].to_string(), "line 2, column 12: `my/types.yaml` is not there");
    let wrong = |_: &str| Some(types.replace("nodes.ServiceFunction", "nodes.ServiceFunctoin"));
    let said = read_with(&text, &[], &wrong).unwrap_err()[0].to_string();
    assert!(
        said.starts_with("my/types.yaml, line 4, column 19: ")
            && said.ends_with("do you mean `eu.ict-flame.nodes.ServiceFunction`?"),
        "{said}"
    );
    let header = "tosca_definitions_version: tosca_simple_yaml_1_3\n";
    let endless = |path: &str| Some(format!("{header}imports: [ another-{path} ]\n"));
    let said = read_with(&text, &[], &endless).unwrap_err()[0].to_string();
    assert!(said.contains("more than 20 files are imported"), "{said}");

    // Two files import a third, which imports the first: each counts once, and what is wrong in the third is said of it.
    let several = |third: &'static str| {
        move |path: &str| {
            Some(match path {
                "my/types.yaml" => format!("{header}imports: [ left.yaml, right.yaml ]\n"),
                "left.yaml" | "right.yaml" => format!("{header}imports: [ third.yaml ]\n"),
                _ => format!("{header}imports: [ my/types.yaml ]\n{third}"),
            })
        }
    };
    let types = "node_types:\n  org.example.Surrogate: { derived_from: eu.ict-flame.nodes.ServiceFunction, properties: { size: { type: scalar-unit.size, required: false } } }\n";
    let text = text.replace("fqdn: [ b ],", "image: program, fqdn: [ b ],");
    read_with(&text, &[], &several(types)).unwrap();
    let wrong = "\n\nnode_types:\n  org.example.Surrogate: { derived_from: nothing }\n";
    let said = read_with(&text, &[], &several(wrong)).unwrap_err()[0].to_string();
    assert!(said.starts_with("third.yaml, line 6, column "), "{said}");
}

#[test]
fn policies_that_contradict_each_other_are_refused_with_both_places() {
    let change = |constraint: &str, action: &str| {
        format!(
            "    - more:\n        type: eu.ict-flame.policies.StateChange\n        triggers:\n          x: {{ condition: {{ constraint: \"{constraint}\" }}, action: {action} }}\n\
             \x20         y: {{ condition: {{ constraint: \"clmc::slow\" }}, action: {{ a: {{ any: eu.ict-flame.sfe.state.lifecycle.booted }} }} }}\n"
        )
    };
    read(&with("", &change("clmc::calm", "{ a: { any: eu.ict-flame.sfe.state.lifecycle.placed } }"))).unwrap();
    let twice = complaints(&with("", &change("clmc::slow", "{ a: { any: eu.ict-flame.sfe.state.lifecycle.placed } }")));
    assert_eq!(twice.len(), 2, "{twice:?}");
    assert!(
        twice[1].starts_with("line 26, ") && twice[1].contains("said twice for one event, here and in line 25"),
        "{twice:?}"
    );
    let elsewhere =
        complaints(&with("", &change("clmc::calm", "{ a: { london: eu.ict-flame.sfe.state.lifecycle.placed } }")));
    assert!(elsewhere[0].contains("is at `london` here and at `bristol` in policy `start` (line 21)"), "{elsewhere:?}");
    let nobody = complaints(
        &with("", "").replace("policies.InitialPolicy", "policies.StateChange").replace("initialise", "clmc::x"),
    );
    assert!(nobody[0].contains("there is no policy of type"), "{nobody:?}");
}

#[test]
fn an_alert_that_nobody_waits_for_is_refused_with_both_places() {
    let template = read(&shipped("edge-standby/template.yaml")).unwrap();
    let right = shipped("edge-standby/alerts.yaml");
    alerts::check(&template, &right).unwrap();
    for (from, to, complaint) in [
        (
            "          slow:",
            "          slwo:",
            "line 12, column 11: policy `crowd` of the template (line 53) does not wait for clmc::slwo: do you mean `slow`?",
        ),
        (
            "    - crowd:",
            "    - crown:",
            "line 9, column 7: the template has no StateChange policy `crown`: do you mean `crowd`?",
        ),
        (
            "sfci: city",
            "sfci: town",
            "line 5, column 38: the alerts are for another sfci than the template, which is `city`",
        ),
    ] {
        let found = alerts::check(&template, &right.replacen(from, to, 1)).unwrap_err();
        assert!(found.iter().any(|said| said.to_string() == complaint), "{to}: {found:?}");
    }
    // Who tells only others is no concern of ours.
    let others = right.replace("slow:", "other:").replacen("[ flame_sfemc ]", "[ \"http://127.0.0.1:9/\" ]", 1);
    alerts::check(&template, &others).unwrap();
}
