//! Templates that run: where they would go, deployed, changed, moved, looked at, let go.

use std::time::{Duration, Instant};

use anyhow::anyhow;
use flame_api::Client;
use flame_api::orchestrator::{Deployment, FunctionState, NewDeployment, Plan};
use serde_json::json;

use super::file::TemplateFile;
use crate::args::{self, Global};
use crate::exit::Exit;
use crate::{connection, output};

/// How long `--wait` waits.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it looks.
const POLL: Duration = Duration::from_millis(100);

/// Where a template would go.
pub async fn planned(global: &Global, file: &TemplateFile) -> Result<Plan, Exit> {
    Ok(connection::client(global).plan(&file.request).await?)
}

pub async fn plan(global: &Global, file: TemplateFile) -> Result<(), Exit> {
    let plan = planned(global, &file).await?;
    if global.json {
        return output::print_json(&plan);
    }
    let mut table = output::table(&["function", "begins", "cluster", "why"]);
    for place in plan.places {
        table.add_row([place.function, place.begins, place.cluster, place.reason]);
    }
    output::print_line(&table.trim_fmt())?;
    let exact =
        if plan.is_exact { "no placement is cheaper".to_owned() } else { format!("at least {:.3} in any", plan.bound) };
    output::print_line(&format!("\nrequests under way because of distance: {:.3} ({exact})\n", plan.cost))?;
    let mut table = output::table(&["cluster", "site", "cpus left", "memory left", "disk left"]);
    for room in plan.clusters {
        let (memory, disk) = (output::size(room.memory_bytes), output::size(room.disk_bytes));
        table.add_row([room.cluster, room.site, room.cpus.to_string(), memory, disk]);
    }
    output::print_line(&table.trim_fmt())
}

pub async fn deploy(global: &Global, file: TemplateFile, wait: bool) -> Result<(), Exit> {
    let client = connection::client(global);
    let deployment = client.deploy(&file.request).await?;
    follow(global, &client, deployment, wait).await
}

pub async fn update(global: &Global, file: TemplateFile, wait: bool) -> Result<(), Exit> {
    let client = connection::client(global);
    let (sfc, sfci) = (&file.template.sfc, &file.template.sfci);
    if client.deployment(sfc, sfci).await?.is_none() {
        return Err(absent(sfc, sfci));
    }
    let deployment = client.deploy(&file.request).await?;
    follow(global, &client, deployment, wait).await
}

/// Deploys a text that is a template, and waits until it is as far as it should be.
pub async fn settled(client: &Client, template: String) -> Result<Deployment, Exit> {
    let request = NewDeployment { template, ..NewDeployment::default() };
    let deployment = client.deploy(&request).await?;
    awaited(client, deployment).await
}

async fn awaited(client: &Client, mut deployment: Deployment) -> Result<Deployment, Exit> {
    let began = Instant::now();
    while !deployment.is_settled {
        if began.elapsed() > PATIENCE {
            let (sfc, sfci) = (&deployment.sfc, &deployment.sfci);
            let late = deployment.endpoints.iter().find(|one| one.state != one.desired);
            let late = late.map(|one| {
                let why = one.problem.as_ref().map(|problem| format!(": {problem}")).unwrap_or_default();
                format!("{} is {}{why}", one.function, one.state)
            });
            let late = late.unwrap_or_default();
            return Err(Exit::not_carried_out(anyhow!(
                "not settled after {} s: {late}; `flame template decisions {sfc} {sfci}` says more",
                PATIENCE.as_secs()
            )));
        }
        tokio::time::sleep(POLL).await;
        let found = client.deployment(&deployment.sfc, &deployment.sfci).await?;
        deployment = found.ok_or_else(|| absent(&deployment.sfc, &deployment.sfci))?;
    }
    Ok(deployment)
}

async fn follow(global: &Global, client: &Client, mut deployment: Deployment, wait: bool) -> Result<(), Exit> {
    if wait {
        deployment = awaited(client, deployment).await?;
    }
    if global.json {
        let mut value = serde_json::to_value(&deployment).map_err(anyhow::Error::new)?;
        value["urls"] = json!(urls(client, &deployment));
        return output::print_json(&value);
    }
    show(client, &[deployment])
}

pub async fn status(global: &Global, sfc: Option<String>, sfci: Option<String>) -> Result<(), Exit> {
    let client = connection::client(global);
    let mut found = client.deployments().await?.items;
    found.retain(|one| {
        sfc.as_ref().is_none_or(|sfc| one.sfc == *sfc) && sfci.as_ref().is_none_or(|sfci| one.sfci == *sfci)
    });
    if let (Some(sfc), Some(sfci), true) = (&sfc, &sfci, found.is_empty()) {
        return Err(absent(sfc, sfci));
    }
    if global.json {
        return output::print_json(&found);
    }
    show(&client, &found)
}

pub fn show(client: &Client, deployments: &[Deployment]) -> Result<(), Exit> {
    let mut table =
        output::table(&["sfc", "sfci", "function", "state", "desired", "cluster", "image", "pid", "failures", "names"]);
    for one in deployments {
        for endpoint in &one.endpoints {
            table.add_row([
                one.sfc.clone(),
                one.sfci.clone(),
                endpoint.function.clone(),
                endpoint.state.clone(),
                endpoint.desired.clone(),
                endpoint.cluster.clone(),
                endpoint.image.clone(),
                endpoint.pid.map_or_else(String::new, |pid| pid.to_string()),
                endpoint.failures.to_string(),
                endpoint.names.join(" "),
            ]);
        }
    }
    output::print_line(&table.trim_fmt())?;
    for one in deployments {
        if let Some(problem) = &one.problem {
            output::print_line(&format!("{}/{}: {problem}", one.sfc, one.sfci))?;
        }
        for endpoint in &one.endpoints {
            if let Some(problem) = &endpoint.problem {
                output::print_line(&format!("{}/{}, {}: {problem}", one.sfc, one.sfci, endpoint.function))?;
            }
        }
    }
    for url in deployments.iter().flat_map(|one| urls(client, one)) {
        output::print_line(&url)?;
    }
    Ok(())
}

/// Where the names of a deployment are reached.
fn urls(client: &Client, deployment: &Deployment) -> Vec<String> {
    let mut names: Vec<&String> = deployment.endpoints.iter().flat_map(|one| &one.names).collect();
    names.sort();
    names.dedup();
    names.into_iter().map(|name| client.url(name, "").to_string()).collect()
}

pub async fn decisions(global: &Global, sfc: &str, sfci: &str) -> Result<(), Exit> {
    let found = connection::client(global).decisions(sfc, sfci).await?.ok_or_else(|| absent(sfc, sfci))?;
    if global.json {
        return output::print_json(&found.items);
    }
    let mut table = output::table(&["time", "subject", "action", "reason"]);
    for one in found.items {
        let at = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(one.at_unix_ms) * 1_000_000);
        let at = at.ok().and_then(|at| at.format(&time::format_description::well_known::Rfc3339).ok());
        table.add_row([at.unwrap_or_default(), one.subject, one.action, one.reason]);
    }
    output::print_line(&table.trim_fmt())
}

pub async fn move_to(
    global: &Global,
    function: (&str, &str, &str),
    state: args::FunctionState,
    wait: bool,
) -> Result<(), Exit> {
    let client = connection::client(global);
    let state = match state {
        args::FunctionState::Unplaced => FunctionState::Unplaced,
        args::FunctionState::Placed => FunctionState::Placed,
        args::FunctionState::Booted => FunctionState::Booted,
        args::FunctionState::Connected => FunctionState::Connected,
    };
    let deployment = client.want_state(function, state).await?;
    follow(global, &client, deployment, wait).await
}

pub async fn undeploy(global: &Global, sfc: &str, sfci: &str, wait: bool) -> Result<(), Exit> {
    gone(&connection::client(global), sfc, sfci, wait).await?;
    output::print_line(&format!("{sfc}/{sfci} {}", if wait { "is gone" } else { "leaves" }))
}

/// Lets a deployment go, and waits for it if told to.
pub async fn gone(client: &Client, sfc: &str, sfci: &str, wait: bool) -> Result<(), Exit> {
    if !client.undeploy(sfc, sfci).await? {
        return Err(absent(sfc, sfci));
    }
    let began = Instant::now();
    while wait && client.deployment(sfc, sfci).await?.is_some() {
        if began.elapsed() > PATIENCE {
            return Err(Exit::not_carried_out(anyhow!("{sfc}/{sfci} is not gone after {} s", PATIENCE.as_secs())));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

pub fn absent(sfc: &str, sfci: &str) -> Exit {
    Exit::failed(anyhow!("{sfc}/{sfci} is not deployed; `flame template status` shows what is"))
}
