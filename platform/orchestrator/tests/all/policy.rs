//! What messages of CLMC change, and when.

use std::collections::BTreeMap;

use flame_orchestrator::policy::{Standing, Verdict, rested, told};
use flame_tosca::Template;
use flame_tosca::template::{Given, State};

fn template() -> Template {
    let path = flame_test_kit::repository().join("templates/services/edge-standby/template.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    flame_tosca::read(&text, Given { inputs: &BTreeMap::new(), instance: None, import: &|_| None }).unwrap()
}

fn states(verdict: &Verdict) -> Vec<(String, State)> {
    match verdict {
        Verdict::Moves(moves, _) => moves.iter().map(|one| (one.function.clone(), one.state)).collect(),
        Verdict::Waits(_) | Verdict::Nothing(_) => Vec::new(),
    }
}

#[test]
fn a_policy_acts_once_and_what_comes_in_its_rest_waits() {
    let (template, mut standing) = (template(), Standing::default());
    let first = told(&template, &mut standing, ("crowd", "slow"), true, 1000).unwrap();
    assert_eq!(states(&first), [("second".to_owned(), State::Connected)]);
    // Five seconds are the cool-down of the template.
    let next = told(&template, &mut standing, ("crowd", "calm"), true, 3000).unwrap();
    assert_eq!(next, Verdict::Waits("calm holds; policy crowd rests for another 3000 ms".to_owned()));
    assert_eq!(rested(&template, &mut standing, "crowd", 5999), None);
    let later = rested(&template, &mut standing, "crowd", 6000).unwrap();
    assert_eq!(states(&later), [("second".to_owned(), State::Booted)]);
    assert_eq!(rested(&template, &mut standing, "crowd", 60_000), None, "once");
}

#[test]
fn what_waits_and_holds_no_more_is_dropped() {
    let (template, mut standing) = (template(), Standing::default());
    told(&template, &mut standing, ("crowd", "slow"), true, 0).unwrap();
    told(&template, &mut standing, ("crowd", "calm"), true, 1000).unwrap();
    let over = told(&template, &mut standing, ("crowd", "calm"), false, 2000).unwrap();
    assert!(matches!(over, Verdict::Nothing(_)) && standing.waiting.is_none());
    assert_eq!(rested(&template, &mut standing, "crowd", 60_000), None);
    // That a condition is over is no order by itself.
    let over = told(&template, &mut standing, ("crowd", "slow"), false, 60_000).unwrap();
    assert!(states(&over).is_empty());
}

#[test]
fn what_nobody_waits_for_is_refused_with_what_is_waited_for() {
    let (template, mut standing) = (template(), Standing::default());
    for (policy, alert) in [("crowd", "slwo"), ("start", "deploy"), ("other", "slow")] {
        let said = told(&template, &mut standing, (policy, alert), true, 0).unwrap_err().to_string();
        assert!(said.ends_with("this template waits for crowd/slow, crowd/calm"), "{said}");
    }
}
