//! The template of a solution: surrogates behind one name, each where it was placed. Pure; what it writes is TOSCA as anybody could.

use std::fmt::Write;

use flame_api::orchestrator::sla::{Calibration, Size, Surrogate};

use crate::document::Sla;

/// The label under which viewers find the surrogates: `edge.NAME-main`.
pub const LABEL: &str = "edge";

/// Most surrogates in one template: the functions that a template may have, without the chain.
pub const SURROGATES_MAX: u64 = 199;

/// The instance of a chain of this name.
#[must_use]
pub fn instance(name: &str) -> String {
    format!("{name}-main")
}

/// The template of a solution.
#[must_use]
pub fn of(sla: &Sla, calibration: &Calibration, sizes: &[Size]) -> String {
    let about = format!("Surrogates for the demand `{}`", sla.sla);
    surrogates(&sla.sla, &about, &calibration.surrogate, sizes)
}

/// So many surrogates of these sizes at these clusters, with the same settings wherever one is measured or deployed.
#[must_use]
pub fn surrogates(name: &str, about: &str, surrogate: &Surrogate, sizes: &[Size]) -> String {
    let (mut nodes, mut begins, mut functions) = (String::new(), String::new(), Vec::new());
    for (number, size) in (1..).zip(sizes) {
        for at in 1..=size.instances {
            let function = format!("s{number}-{at}");
            let uplink = surrogate
                .uplink_bytes_per_s
                .map_or_else(String::new, |rate| format!("\n          FLAME_VCDN__UPLINK__RATE: \"{rate}B\""));
            let memory_mib = (surrogate.overhead_bytes + size.cache_bytes).div_ceil(1 << 20).max(1);
            // Text of a document in quotes: names of clusters may be anything. No name is anywhere.
            let cluster = serde_json::to_string(&size.cluster).unwrap_or_default();
            let at = if size.cluster.is_empty() { String::new() } else { format!("\n        clusters: [ {cluster} ]") };
            let _ = write!(
                nodes,
                "    {function}:
      type: eu.ict-flame.nodes.ServiceFunction
      capabilities:
        host:
          properties: {{ num_cpus: {cpus}, mem_size: {memory_mib} MiB }}
      properties:
        image: flame-vcdn
        fqdn: [ {LABEL} ]
        registers: itself{at}
        environment:
          FLAME_VCDN__HOST__NAME: \"{{own}}\"
          FLAME_VCDN__HOST__ROUTER: \"{{router}}\"
          FLAME_VCDN__HOST__REGISTRATION: \"{{state=booted}}\"
          FLAME_VCDN__HOST__TELEMETRY: '{{interval=\"1s\"}}'
          FLAME_VCDN__FRONTS: '[{{name=\"{{fqdn}}\",upstream=\"streaming\",listen=\"127.0.0.1:{{port}}\"}}]'
          FLAME_VCDN__CACHE__MEMORY: \"{cache}B\"{uplink}
",
                cpus = surrogate.cpus,
                cache = size.cache_bytes,
            );
            let _ = writeln!(begins, "              {function}: {{ any: eu.ict-flame.sfe.state.lifecycle.connected }}");
            functions.push(function);
        }
    }
    let first = functions.first().map(String::as_str).unwrap_or_default();
    format!(
        "tosca_definitions_version: tosca_simple_yaml_1_3
description: {about}
imports: [ flame_definitions.yaml ]
metadata: {{ sfc: {name}, sfci: {instance} }}

topology_template:
  node_templates:
{nodes}
    chain:
      type: eu.ict-flame.nodes.ServiceFunctionChain
      properties:
        functions: [ {first} ]

  policies:
    - start:
        type: eu.ict-flame.policies.InitialPolicy
        triggers:
          deploy:
            condition: {{ constraint: initialise }}
            action:
{begins}",
        about = serde_json::to_string(about).unwrap_or_default(),
        instance = instance(name),
    )
}
