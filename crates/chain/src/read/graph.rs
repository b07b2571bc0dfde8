//! Who feeds whom: no circles, each stage fed with what it takes, everything used, one package.

use super::Written;
use crate::chain::{Chain, Work};
use crate::document::{DocumentError, Place};
use crate::nearest::hint;
use crate::table::Flow;

/// Places of the stages, each after those that feed it.
pub(super) fn check(stages: &[Written], place: Place) -> Result<Vec<usize>, DocumentError> {
    let at = |name: &str| stages.iter().position(|stage| stage.name == name);
    let mut is_used = vec![false; stages.len()];
    for stage in stages {
        if stage.inputs.len() > stage.kind.inputs_max || (stage.inputs.is_empty() && stage.kind.inputs_max > 0) {
            let (most, is) = (stage.kind.inputs_max, stage.inputs.len());
            return Err(stage.place.wrong(format!("`{}` is fed by 1 to {most} stages, not by {is}", stage.name)));
        }
        for (n, (input, at_input)) in stage.inputs.iter().enumerate() {
            let from = at(input).ok_or_else(|| {
                let names = hint(input, stages.iter().map(|stage| stage.name.as_str()));
                at_input.wrong(format!("there is no stage `{input}`: {names}"))
            })?;
            if stage.inputs[..n].iter().any(|(other, _)| other == input) {
                return Err(at_input.wrong(format!("`{input}` feeds `{}` already", stage.name)));
            }
            fits(&stages[from], stage, *at_input)?;
            is_used[from] = true;
        }
    }
    let of_flow = |flow| stages.iter().filter(move |stage| stage.kind.gives == flow);
    for (flow, word) in [(Flow::Media, "decode"), (Flow::Version, "package")] {
        match of_flow(flow).count() {
            1 => {}
            0 => return Err(place.wrong(format!("a chain has a stage of type `{word}`"))),
            _ => {
                let second = of_flow(flow).nth(1).map_or(place, |stage| stage.place);
                return Err(second.wrong(format!("a chain has one stage of type `{word}`, not several")));
            }
        }
    }
    for (stage, is_used) in stages.iter().zip(&is_used) {
        if !is_used && stage.kind.gives != Flow::Version {
            return Err(stage.place.wrong(format!("nothing comes of `{}`: no stage has it as `input`", stage.name)));
        }
    }
    order(stages, at)
}

fn fits(from: &Written, to: &Written, place: Place) -> Result<(), DocumentError> {
    let gives = from.kind.gives;
    if !to.kind.takes.contains(&gives) {
        let takes: Vec<_> = to.kind.takes.iter().map(|flow| flow.words()).collect();
        let reason = format!(
            "`{}` ({}) gives {}, and `{}` ({}) takes {}",
            from.name,
            from.kind.word,
            gives.words(),
            to.name,
            to.kind.word,
            takes.join(" or ")
        );
        return Err(place.wrong(reason));
    }
    if from.kind.rank >= to.kind.rank {
        let reason = format!("`{}` stands before `{}`, not after it", to.kind.word, from.kind.word);
        return Err(place.wrong(reason));
    }
    Ok(())
}

/// Ranks only grow along an edge, so there is no circle; this keeps the order of the document among equals.
fn order(stages: &[Written], at: impl Fn(&str) -> Option<usize>) -> Result<Vec<usize>, DocumentError> {
    let mut order: Vec<usize> = Vec::with_capacity(stages.len());
    while order.len() < stages.len() {
        let is_ready = |n: &usize| {
            let mut inputs = stages[*n].inputs.iter().filter_map(|(input, _)| at(input));
            !order.contains(n) && inputs.all(|input| order.contains(&input))
        };
        let Some(next) = (0..stages.len()).find(is_ready) else {
            let rest = (0..stages.len()).find(|n| !order.contains(n)).unwrap_or(0);
            return Err(stages[rest].place.wrong(format!("`{}` feeds itself", stages[rest].name)));
        };
        order.push(next);
    }
    Ok(order)
}

/// What a player may switch between shows the same: all that is encoded has the same pictures at the same times. And
/// pictures that were changed cannot be compared with those of the source.
pub(super) fn check_pictures(chain: &Chain, written: &[Written]) -> Result<(), DocumentError> {
    let place = |name: &str| written.iter().find(|stage| stage.name == name).map(|stage| stage.place);
    let mut shared: Option<(&str, Vec<&str>)> = None;
    for stage in chain.stages.iter().filter(|stage| matches!(stage.work, Work::EncodeVideo(_))) {
        let at = place(&stage.name).unwrap_or(Place { line: 1, column: 1 });
        let path = chain.path(stage);
        let front = path.iter().filter(|stage| !matches!(stage.work, Work::Scale(_)));
        let front: Vec<&str> = front.map(|stage| stage.name.as_str()).collect();
        match &shared {
            Some((other, expected)) if *expected != front => {
                let reason = format!(
                    "players switch between all tracks of a version, so all show the same pictures: `{}` is made of {}, \
                     and `{other}` of {}",
                    stage.name,
                    front.join(", "),
                    expected.join(", ")
                );
                return Err(at.wrong(reason));
            }
            Some(_) => {}
            None => shared = Some((&stage.name, front)),
        }
        let changing = path.iter().find(|stage| stage.changes_pictures());
        let gate = stage.gates().iter().find(|gate| gate.needs_pictures());
        if let (Some(changing), Some(gate)) = (changing, gate) {
            let reason = format!(
                "`{gate}` compares `{}` with the source picture by picture, and `{}` ({}) changes the pictures: gate on \
                 `track.…` instead",
                stage.name, changing.name, changing.word
            );
            return Err(at.wrong(reason));
        }
    }
    Ok(())
}
