//! Manifests of Kubernetes: a Deployment and a Service for each function.

use flame_tosca::template::State;
use serde_json::{Value, json};

use super::{Container, DATA, KEYS, PORT, Ways, texts};

/// `$(` begins a variable of Kubernetes; `$$(` is one `$(`.
pub(super) const WAYS: Ways = Ways { token: "$(FLAME_TOKEN)", literal: |text| text.replace("$(", "$$(") };
/// The label of nodes that says their cluster.
const CLUSTER: &str = "flame.eu/cluster";
/// The label of a function, by its container's name.
const FUNCTION: &str = "flame.eu/function";
/// The Secret with what endpoints show and know others by.
const SECRET: &str = "flame-endpoints";
/// The user that FLAME's images run as.
const USER: u32 = 10_001;

/// All of them.
pub(super) fn documents(containers: &[Container]) -> Vec<Value> {
    containers.iter().flat_map(|one| [deployment(one), service(one)]).collect()
}

fn deployment(one: &Container) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": one.name, "labels": texts(&one.labels) },
        "spec": {
            "replicas": u32::from(one.begins >= State::Booted),
            "selector": { "matchLabels": selected(one) },
            "strategy": { "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 1 } },
            "template": { "metadata": { "labels": texts(&one.labels) }, "spec": pod(one) },
        },
    })
}

/// The labels that it is selected by: its cluster may change, and these may not.
fn selected(one: &Container) -> Value {
    let lasting = one.labels.iter().filter(|(key, _)| key.as_str() != CLUSTER);
    texts(&lasting.map(|(key, text)| (key.clone(), text.clone())).collect())
}

fn pod(one: &Container) -> Value {
    let disk_bytes = one.takes.disk_bytes;
    let data = if disk_bytes > 0 { json!({ "sizeLimit": disk_bytes.to_string() }) } else { json!({}) };
    let mut pod = json!({
        "enableServiceLinks": false,
        "automountServiceAccountToken": false,
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "containers": [container(one)],
        "volumes": [
            { "name": "data", "emptyDir": data },
            { "name": "tmp", "emptyDir": { "sizeLimit": "256Mi" } },
            { "name": "keys", "secret": {
                "secretName": SECRET,
                "items": [{ "key": "jwks.json", "path": "jwks.json" }, { "key": "revoked.json", "path": "revoked.json" }],
            } },
        ],
    });
    if let Some(cluster) = one.labels.get(CLUSTER) {
        pod["nodeSelector"] = json!({ CLUSTER: cluster });
    } else {
        let near: Vec<Value> = one.beside.iter().map(|other| with(other)).collect();
        let far: Vec<Value> = one.apart_from.iter().map(|other| with(other)).collect();
        let required = "requiredDuringSchedulingIgnoredDuringExecution";
        if !near.is_empty() {
            pod["affinity"]["podAffinity"] = json!({ required: near });
        }
        if !far.is_empty() {
            pod["affinity"]["podAntiAffinity"] = json!({ required: far });
        }
    }
    pod
}

/// Whoever runs another function, in the same cluster.
fn with(other: &str) -> Value {
    json!({ "labelSelector": { "matchLabels": { FUNCTION: other } }, "topologyKey": CLUSTER })
}

fn container(one: &Container) -> Value {
    // First: others may refer to it.
    let token = json!({ "name": "FLAME_TOKEN", "valueFrom": { "secretKeyRef": { "name": SECRET, "key": "token" } } });
    let variables = one.environment.iter().map(|(name, value)| json!({ "name": name, "value": value }));
    let environment: Vec<Value> = std::iter::once(token).chain(variables).collect();
    let ready = match &one.ready_path {
        Some(path) => json!({ "httpGet": { "path": path, "port": "http" }, "periodSeconds": 1 }),
        None => json!({ "tcpSocket": { "port": "http" }, "periodSeconds": 1 }),
    };
    let memory = one.takes.memory_bytes.to_string();
    let mut container = json!({
        "name": "function",
        "image": one.image,
        "env": environment,
        "ports": [{ "name": "http", "containerPort": PORT }],
        "readinessProbe": ready,
        "resources": {
            "requests": { "cpu": one.takes.cpus.to_string(), "memory": memory },
            "limits": { "memory": memory },
        },
        "securityContext": {
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
        },
        "volumeMounts": [
            { "name": "data", "mountPath": DATA },
            { "name": "tmp", "mountPath": "/tmp" },
            { "name": "keys", "mountPath": KEYS, "readOnly": true },
        ],
    });
    if let Some(program) = &one.program {
        container["command"] = json!([program]);
    }
    if !one.arguments.is_empty() {
        container["args"] = json!(one.arguments);
    }
    container
}

fn service(one: &Container) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": one.name, "labels": texts(&one.labels) },
        "spec": { "selector": selected(one), "ports": [{ "name": "http", "port": 80, "targetPort": "http" }] },
    })
}
