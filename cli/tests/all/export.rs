//! `flame template export`: what others are given of a template, judged by schemas that nobody here wrote.

use std::path::Path;
use std::process::Command;

use flame_test_kit::skip::loud_skip;
use flame_test_kit::{Scratch, repository};
use serde_json::Value;

use crate::world::{World, flame};

fn shipped(name: &str) -> String {
    repository().join("templates/services").join(name).join("template.yaml").display().to_string()
}

/// The documents of a file that the judge has passed: those of Kubernetes are valid for every release that it knows.
fn judged(path: &Path) -> Vec<Value> {
    let ran = Command::new(repository().join("tools/python"))
        .arg(repository().join("media-tests/judges/kubernetes.py"))
        .arg(path)
        .output()
        .expect("tools/python starts");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let said = String::from_utf8(ran.stdout).expect("JSON is UTF-8");
    said.lines().map(|line| serde_json::from_str(line).expect("the judge prints JSON")).collect()
}

#[test]
fn manifests_of_a_template_are_valid_for_kubernetes() {
    let scratch = Scratch::new("export");
    let path = scratch.join("standby.yaml");
    let out = path.to_str().unwrap();
    let ran = flame(&["template", "export", &shipped("edge-standby"), "--as", "kubernetes", "--out", out]);
    assert_eq!(ran.status, 0, "{}", ran.err);
    let all = judged(&path);
    let names: Vec<_> =
        all.iter().map(|one| (one["kind"].as_str().unwrap(), one["metadata"]["name"].as_str().unwrap())).collect();
    let wanted = [
        ("Deployment", "city-first"),
        ("Service", "city-first"),
        ("Deployment", "city-second"),
        ("Service", "city-second"),
    ];
    assert_eq!(names, wanted);
    for (at, state) in [(0, "{state=connected}"), (2, "{state=booted}")] {
        let container = &all[at]["spec"]["template"]["spec"]["containers"][0];
        let value = |name: &str| {
            let variables = container["env"].as_array().unwrap();
            variables.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no {name}"))["value"].clone()
        };
        assert_eq!(value("FLAME_VCDN__HOST__REGISTRATION"), state);
        let fronts = "[{name=\"edge.city\",upstream=\"streaming\",listen=\"0.0.0.0:8080\"}]";
        assert_eq!(value("FLAME_VCDN__FRONTS"), fronts);
        assert_eq!(value("FLAME_VCDN__HOST__ROUTER"), "http://router:8080/");
        assert_eq!(container["resources"]["limits"]["memory"], "268435456");
        assert_eq!((&all[at]["spec"]["replicas"], &container["image"]), (&1.into(), &"flame-vcdn:edge".into()));
    }
    // What is not carried over is said.
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("# Nobody follows the policies of the template here: crowd."), "{text}");
}

#[test]
fn a_compose_file_of_a_template_is_read_by_others() {
    let scratch = Scratch::new("export");
    let path = scratch.join("vod.yaml");
    let out = path.to_str().unwrap();
    let arguments = ["--as", "compose", "--registry", "registry.example/", "--input", "memory=32MiB", "--out", out];
    let ran = flame(&[&["template", "export", &shipped("vod")][..], &arguments].concat());
    assert_eq!(ran.status, 0, "{}", ran.err);
    let all = judged(&path);
    let edge = &all[0]["services"]["vod-main-edge"];
    assert_eq!(edge["image"], "registry.example/flame-vcdn:edge", "{all:#?}");
    assert_eq!(edge["environment"]["FLAME_VCDN__CACHE__MEMORY"], "32MiB");
    assert_eq!(edge["environment"]["FLAME_VCDN__HOST__REGISTRATION"], "{state=connected}");
    assert_eq!(edge["entrypoint"][0], "/usr/local/bin/flame-vcdn");
    assert_eq!((&edge["read_only"], &edge["cap_drop"][0]), (&true.into(), &"ALL".into()));
    // Compose itself, where it is installed: images/test has it.
    let mut compose = Command::new("docker-compose");
    compose.args(["-f", out, "config", "-q"]).env("FLAME_TOKEN", "token").env("FLAME_KEYS", scratch.path());
    match compose.output() {
        Ok(ran) => assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr)),
        Err(error) => loud_skip(&format!("docker-compose does not start ({error}): apt-get install docker-compose")),
    }
}

#[test]
fn an_archive_holds_the_template_its_imports_and_its_alerts() {
    let scratch = Scratch::new("export");
    let path = scratch.join("standby.csar");
    let (out, template) = (path.to_str().unwrap(), shipped("edge-standby"));
    let alerts = template.replace("template.yaml", "alerts.yaml");
    let asked = flame(&["template", "export", &template, "--as", "csar"]);
    assert!(asked.status == 2 && asked.err.contains("--out"), "{}: {}", asked.status, asked.err);
    let ran = flame(&["template", "export", &template, "--alerts", &alerts, "--as", "csar", "--out", out]);
    assert_eq!(ran.status, 0, "{}", ran.err);
    // Python's zip is the judge of the form, and the standard says what has to be in it.
    let read = "import sys, zipfile\nz = zipfile.ZipFile(sys.argv[1])\nassert z.testzip() is None\nprint(*sorted(z.namelist()))\n\
                print(z.read('TOSCA-Metadata/TOSCA.meta').decode())";
    let judged = Command::new("python3").args(["-c", read, out]).output().expect("python3 starts");
    let said = String::from_utf8_lossy(&judged.stdout).into_owned();
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stderr));
    let files = "Definitions/1/2/edge-standby.yaml Definitions/types/flame_definitions.yaml Files/alerts.yaml TOSCA-Metadata/TOSCA.meta";
    assert_eq!(said.lines().next(), Some(files));
    assert!(
        said.contains("CSAR-Version: 1.1") && said.contains("Entry-Definitions: Definitions/1/2/edge-standby.yaml"),
        "{said}"
    );
    // What is read of it is what was written.
    let [packed, plain] = [out, &template].map(|file| flame(&["template", "explain", file, "--json"]));
    assert_eq!((packed.status, &packed.out), (0, &plain.out), "{}", packed.err);
    // A damaged one is no template.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.truncate(bytes.len() / 2);
    std::fs::write(&path, bytes).unwrap();
    let damaged = flame(&["template", "validate", out]);
    assert!(damaged.status == 2 && damaged.err.contains("no archive"), "{}: {}", damaged.status, damaged.err);
}

#[test]
fn where_functions_go_is_asked_of_the_orchestrator() {
    let world = World::up_with(&["--listen", "127.0.0.1:0", "--site", "bristol"]);
    let told = world.json(&["template", "export", &shipped("follow-me"), "--as", "kubernetes", "--placed"]);
    let all = told["documents"].as_array().unwrap();
    let nodes: Vec<_> = all
        .iter()
        .filter(|one| one["kind"] == "Deployment")
        .map(|one| one["spec"]["template"]["spec"]["nodeSelector"]["flame.eu/cluster"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(nodes, ["watershed-rack", "millennium-square-tower"], "{told:#}");
    let variables = all[0]["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap();
    assert!(variables.iter().any(|one| one["name"] == "FLAME_LOCATION" && one["value"] == "watershed"), "{told:#}");
}
