//! OpenStack's TOSCA parser reads our templates, too, and finds in them what we find.

use std::process::Command;

use flame_test_kit::repository;

use crate::{read, shipped};

#[test]
fn the_parser_of_others_finds_the_same() {
    let templates = ["vod", "edge-standby", "flash-crowd", "live-event", "quality-lab"];
    let templates = templates.map(|name| format!("{name}/template.yaml"));
    let paths = templates.each_ref().map(|path| repository().join("templates/services").join(path));
    let ran = Command::new(repository().join("tools/python"))
        .arg(repository().join("media-tests/judges/tosca.py"))
        .args(paths)
        .output()
        .expect("tools/python starts");
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    let ours = templates.each_ref().map(|path| {
        let template = read(&shipped(path)).unwrap_or_else(|errors| panic!("{path}: {errors:?}"));
        let mut nodes: Vec<_> = template.functions.iter().map(|function| function.name.clone()).collect();
        nodes.extend(template.chains.iter().map(|chain| chain.name.clone()));
        nodes.sort();
        let triggers = template.policies.iter().flat_map(|policy| {
            policy.triggers.iter().map(|trigger| {
                let alert = trigger.alert.as_ref().map_or("initialise".to_owned(), |alert| format!("clmc::{alert}"));
                format!("{}:{}={alert}", policy.id, trigger.id)
            })
        });
        let mut triggers: Vec<_> = triggers.collect();
        triggers.sort();
        nodes.extend(triggers);
        nodes.join(" ")
    });
    assert_eq!(said.lines().collect::<Vec<_>>(), ours);
}
