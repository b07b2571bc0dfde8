//! A Compose file (Compose Specification; `docker compose`, and `docker stack` for what is placed).

use flame_tosca::template::State;
use serde_json::{Map, Value, json};

use super::{Container, DATA, KEYS, Ways, texts};

/// `$` begins a variable of Compose; two of them are one.
pub(super) const WAYS: Ways = Ways { token: "${FLAME_TOKEN}", literal: |text| text.replace('$', "$$") };
/// The profile of what does not run from the beginning: `docker compose --profile placed up`.
const PLACED: &str = "placed";

/// All of it.
pub(super) fn document(containers: &[Container]) -> Value {
    let services: Map<String, Value> = containers.iter().map(|one| (one.name.clone(), service(one))).collect();
    json!({
        "services": services,
        // That of the platform: containers find its router there, and are found.
        "networks": { "platform": { "name": "${FLAME_NETWORK:-flame_default}", "external": true } },
    })
}

fn service(one: &Container) -> Value {
    let mut environment = texts(&one.environment);
    environment["FLAME_TOKEN"] = "${FLAME_TOKEN:?a token that registers behind the names of the template}".into();
    let keys = format!("${{FLAME_KEYS:?a folder with jwks.json and revoked.json}}:{KEYS}:ro");
    let memory = format!("{}b", one.takes.memory_bytes);
    let mut service = json!({
        "image": one.image,
        "environment": environment,
        "labels": texts(&one.labels),
        "networks": ["platform"],
        "volumes": [DATA, keys],
        "tmpfs": ["/tmp"],
        "read_only": true,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "restart": "unless-stopped",
        "stop_grace_period": "30s",
        "deploy": { "resources": { "limits": { "cpus": one.takes.cpus.to_string(), "memory": memory } } },
    });
    if let Some(program) = &one.program {
        service["entrypoint"] = json!([program]);
    }
    if !one.arguments.is_empty() {
        service["command"] = json!(one.arguments);
    }
    if one.begins < State::Booted {
        service["profiles"] = json!([PLACED]);
    }
    if let Some(cluster) = &one.cluster {
        let wanted = format!("node.labels.flame.cluster == {}", (WAYS.literal)(cluster));
        service["deploy"]["placement"] = json!({ "constraints": [wanted] });
    }
    service
}
