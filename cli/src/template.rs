//! `flame template`: templates of service function chains, from the first line to what runs of them.
//!
//! What works on a file alone needs no running service.

pub mod deployed;
mod diff;
mod export;
mod file;

use flame_tosca::Template;
use serde_json::{Value, json};

use crate::args::{self, Global, TemplateCommand};
use crate::exit::Exit;
use crate::output;
use file::TemplateFile;

/// The template that `new` prints under another name.
const EXAMPLE: &str = include_str!("../../templates/services/vod/template.yaml");

pub async fn run(global: &Global, args: args::Template) -> Result<(), Exit> {
    match args.command {
        TemplateCommand::New { name } => new(&name),
        TemplateCommand::Validate(file) => {
            let template = TemplateFile::read(&file)?.template;
            if global.json {
                return output::print_json(&shown(&template));
            }
            let (functions, policies) = (template.functions.len(), template.policies.len());
            let path = file.file.display();
            output::print_line(&format!("{path} is right: {functions} functions, {policies} policies"))
        }
        TemplateCommand::Explain(file) => explain(global, &TemplateFile::read(&file)?.template),
        TemplateCommand::Plan(file) => deployed::plan(global, TemplateFile::read(&file)?).await,
        TemplateCommand::Diff(file) => diff::run(global, TemplateFile::read(&file)?).await,
        TemplateCommand::Deploy { file, wait } => deployed::deploy(global, TemplateFile::read(&file)?, wait).await,
        TemplateCommand::Update { file, wait } => deployed::update(global, TemplateFile::read(&file)?, wait).await,
        TemplateCommand::Export(wanted) => export::run(global, &wanted).await,
        TemplateCommand::Status { sfc, sfci } => deployed::status(global, sfc, sfci).await,
        TemplateCommand::Decisions { sfc, sfci } => deployed::decisions(global, &sfc, &sfci).await,
        TemplateCommand::Move { sfc, sfci, function, state, wait } => {
            deployed::move_to(global, (&sfc, &sfci, &function), state, wait).await
        }
        TemplateCommand::Undeploy { sfc, sfci, wait } => deployed::undeploy(global, &sfc, &sfci, wait).await,
    }
}

fn new(name: &str) -> Result<(), Exit> {
    if !flame_tosca::words::is_name(name) || name.contains(['.', '_']) {
        return Err(Exit::usage(anyhow::anyhow!("`{name}` is no name of a chain: letters, digits and `-`")));
    }
    let text = EXAMPLE
        .replace("{ sfc: vod, sfci: vod-main }", &format!("{{ sfc: {name}, sfci: {name}-main }}"))
        .replace("../../types/", "")
        .replace(". The story is in README.md.", ".");
    output::print_line(text.trim_end())
}

fn explain(global: &Global, template: &Template) -> Result<(), Exit> {
    if global.json {
        return output::print_json(&shown(template));
    }
    output::print_line(&format!("{}/{}: {}\n", template.sfc, template.sfci, template.description))?;
    let mut table = output::table(&["function", "begins", "where", "image", "names", "cpus", "memory", "disk"]);
    for function in &template.functions {
        let takes = function.takes;
        table.add_row([
            function.name.clone(),
            template.initial(&function.name).as_str().to_owned(),
            place(function),
            function.image.clone(),
            function.names(&template.sfci).join(" "),
            takes.cpus.to_string(),
            output::size(takes.memory_bytes),
            output::size(takes.disk_bytes),
        ]);
    }
    output::print_line(&table.trim_fmt())?;
    for chain in &template.chains {
        output::print_line(&format!("\n{}: viewer → {}", chain.name, chain.functions.join(" → ")))?;
    }
    for policy in template.policies.iter().filter(|policy| !policy.is_initial) {
        let rest = policy.cool_down_ms / 1000;
        output::print_line(&format!("\npolicy {} (rests {rest} s after a change)", policy.id))?;
        for trigger in &policy.triggers {
            let moves: Vec<_> =
                trigger.actions.iter().map(|one| format!("{} becomes {}", one.function, one.state.as_str())).collect();
            let alert = trigger.alert.as_deref().unwrap_or_default();
            output::print_line(&format!("  when CLMC tells of {alert}: {}", moves.join(", ")))?;
        }
    }
    Ok(())
}

/// Where a function may be.
fn place(function: &flame_tosca::template::Function) -> String {
    match &function.cluster {
        Some(cluster) => cluster.clone(),
        None if function.clusters.is_empty() => "any".to_owned(),
        None => function.clusters.join(" "),
    }
}

fn shown(template: &Template) -> Value {
    let functions = template.functions.iter().map(|function| {
        json!({
            "name": function.name, "type": function.kind, "description": function.description, "image": function.image,
            "names": function.names(&template.sfci), "begins": template.initial(&function.name).as_str(),
            "cluster": function.cluster, "clusters": function.clusters, "cpus": function.takes.cpus,
            "memory_bytes": function.takes.memory_bytes, "disk_bytes": function.takes.disk_bytes,
        })
    });
    let policies = template.policies.iter().map(|policy| {
        let triggers = policy.triggers.iter().map(|trigger| {
            let actions = trigger.actions.iter().map(|one| {
                json!({ "function": one.function, "cluster": one.cluster, "state": one.state.as_str() })
            });
            json!({ "id": trigger.id, "alert": trigger.alert, "actions": actions.collect::<Vec<_>>() })
        });
        json!({ "id": policy.id, "is_initial": policy.is_initial, "cool_down_ms": policy.cool_down_ms, "triggers": triggers.collect::<Vec<_>>() })
    });
    json!({
        "sfc": template.sfc, "sfci": template.sfci, "description": template.description, "inputs": template.inputs,
        "functions": functions.collect::<Vec<_>>(), "policies": policies.collect::<Vec<_>>(),
        "chains": template.chains.iter().map(|chain| json!({ "name": chain.name, "functions": chain.functions })).collect::<Vec<_>>(),
    })
}
