//! What a caller may have run, and behind which names. Pure.
//!
//! Whoever may write deploys the programs that the operator lists, behind names of instances of its own. Names of the instance
//! `main` are where the platform's own services are found: who stands there gets the requests, and the credentials, of those who
//! call them. The router lets only administrators register there; so does the orchestrator, which registers for others. A program
//! by its path can do all that the orchestrator's user can: that takes an administrator, too. It does not look at what a program
//! makes of its settings.

use flame_naming::Name;
use flame_naming::name::DEFAULT_INSTANCE;
use flame_tosca::{DocumentError, Template};

use crate::deployment::{own_name, whole_names};

/// How far a caller is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// As a tenant that may write.
    Tenant,
    /// As an administrator of its tenant, or a service.
    Admin,
}

/// Why a template is not the caller's to deploy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Overreach {
    /// A name of another tenant.
    #[error("the name {0} is another tenant's")]
    Foreign(String),
    /// A name of the platform's own services.
    #[error(
        "{0} is a name of the instance `{DEFAULT_INSTANCE}`, where the platform's own services are: take another instance (`sfci`), \
         or deploy with the scope `admin`"
    )]
    Reserved(String),
    /// A program by its path.
    #[error("`{function}` runs {image}: a program by its path needs the scope `admin`")]
    Path {
        /// The function.
        function: String,
        /// The path.
        image: String,
    },
    /// Variables that templates do not set.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Variables(Vec<DocumentError>),
}

/// What the loader, GStreamer and other libraries take code from, by how the variables begin.
const LOADERS: [&str; 8] = ["LD_", "GST_", "GIO_", "GCONV_", "GLIBC_", "LIBVA_", "OPENSSL_", "XDG_"];
/// What else only the operator says.
const OPERATORS: [&str; 3] = ["PATH", "HOME", "TMPDIR"];

/// Refuses what is not for a caller of `tenant` that is trusted so far.
pub fn check(template: &Template, tenant: &str, trust: Trust) -> Result<(), Overreach> {
    let mut variables = Vec::new();
    for function in &template.functions {
        // Also what its own API is called: the platform's services show what they are known by to whoever has such a name in `main`.
        let mut names = whole_names(function, &template.sfci, tenant);
        names.push(own_name(&function.image, &function.name, &template.sfci, tenant));
        for name in names.iter().filter_map(|name| name.parse::<Name>().ok()) {
            if name.tenant().as_str() != tenant {
                return Err(Overreach::Foreign(name.to_string()));
            }
            if trust == Trust::Tenant && name.instance().as_str() == DEFAULT_INSTANCE {
                return Err(Overreach::Reserved(name.to_string()));
            }
        }
        if trust == Trust::Tenant && function.image.contains('/') {
            let (function, image) = (function.name.clone(), function.image.clone());
            return Err(Overreach::Path { function, image });
        }
        for variable in function.environment.keys().filter(|name| !may_set(name)) {
            let reason = format!("`{}` sets {variable}, which templates do not set: {}", function.name, why(variable));
            variables.push(function.at.wrong(reason));
        }
    }
    if variables.is_empty() { Ok(()) } else { Err(Overreach::Variables(variables)) }
}

/// Whether a template may set a variable. `FLAME_` begins what the orchestrator tells an endpoint of itself, except for settings
/// of programs, which hold two underscores (`FLAME_VCDN__CACHE__MEMORY`).
#[must_use]
pub fn may_set(variable: &str) -> bool {
    let is_own = variable.strip_prefix("FLAME_").is_some_and(|rest| !rest.contains("__"));
    is_variable(variable)
        && !is_own
        && !LOADERS.iter().any(|begin| variable.starts_with(begin))
        && !OPERATORS.contains(&variable)
}

fn is_variable(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !text.is_empty() && text.bytes().all(fits) && !text.starts_with(|first: char| first.is_ascii_digit())
}

fn why(variable: &str) -> &'static str {
    if !is_variable(variable) {
        "it is no name of a variable"
    } else if variable.starts_with("FLAME_") {
        "the orchestrator tells each endpoint who it is"
    } else {
        "it says what a program loads, or where its things are"
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use flame_tosca::template::Given;

    use super::*;

    fn template(sfci: &str, properties: &str) -> Template {
        let text = format!(
            "tosca_definitions_version: tosca_simple_yaml_1_3
metadata: {{ sfc: shop, sfci: {sfci} }}
topology_template:
  node_templates:
    f: {{ type: eu.ict-flame.nodes.ServiceFunction, properties: {{ {properties} }} }}
  policies:
    - start:
        type: eu.ict-flame.policies.InitialPolicy
        triggers:
          t: {{ condition: {{ constraint: initialise }}, action: {{ f: {{ any: eu.ict-flame.sfe.state.lifecycle.placed }} }} }}
"
        );
        flame_tosca::read(&text, Given { inputs: &BTreeMap::new(), instance: None, import: &|_| None }).unwrap()
    }

    #[test]
    fn only_administrators_stand_where_the_platform_is_or_run_programs_by_path() {
        for (sfci, properties, tenant, of_tenant, of_admin) in [
            ("mine", "image: flame-vcdn, fqdn: [ edge ]", "acme", None, None),
            ("mine", "image: flame-vcdn, fqdn: [ metadata.main ]", "acme", Some("a name of the instance `main`"), None),
            ("mine", "image: flame-vcdn, fqdn: [ Metadata.MAIN ]", "default", Some("metadata.main is a name"), None),
            ("main", "image: flame-vcdn, fqdn: [ edge ]", "default", Some("edge.main is a name"), None),
            // What it registers itself, where all its names are elsewhere.
            ("main", "image: flame-vcdn, fqdn: [ edge.city ]", "default", Some("vcdn-f.main is a name"), None),
            ("main", "image: flame-vcdn, fqdn: [ edge.city ]", "acme", Some("vcdn-f.main.acme is a name"), None),
            ("MAIN", "image: flame-vcdn, fqdn: [ edge.city ]", "acme", Some("vcdn-f.main.acme is a name"), None),
            ("mine", "image: /bin/true, fqdn: [ edge ]", "acme", Some("needs the scope `admin`"), None),
            ("mine", "image: f, fqdn: [ a.b.default ]", "acme", Some("another tenant's"), Some("another tenant's")),
        ] {
            for (trust, expected) in [(Trust::Tenant, of_tenant), (Trust::Admin, of_admin)] {
                let found = check(&template(sfci, properties), tenant, trust).map_err(|error| error.to_string());
                match expected {
                    None => assert_eq!(found, Ok(()), "{properties} {trust:?}"),
                    Some(text) => assert!(found.as_ref().is_err_and(|said| said.contains(text)), "{found:?}"),
                }
            }
        }
    }

    #[test]
    fn templates_set_settings_and_not_what_is_loaded_or_who_an_endpoint_is() {
        for allowed in ["FLAME_VCDN__FRONTS", "RUST_LOG", "SAY", "_x1"] {
            assert!(may_set(allowed), "{allowed}");
        }
        let refused = "LD_PRELOAD LD_LIBRARY_PATH GST_PLUGIN_PATH GIO_EXTRA_MODULES PATH HOME FLAME_TENANT FLAME_BOOT FLAME_TOKEN \
                       FLAME_KEYS FLAME_SF 1x a=b";
        for refused in refused.split(' ').chain(["", "A B"]) {
            assert!(!may_set(refused), "{refused}");
        }
        let said = check(
            &template(
                "mine",
                "image: flame-vcdn, fqdn: [ edge ], environment: { LD_PRELOAD: x.so, FLAME_TENANT: other }",
            ),
            "acme",
            Trust::Admin,
        );
        let said = said.unwrap_err().to_string();
        assert!(
            said.contains("line 5") && said.contains("sets LD_PRELOAD") && said.contains("sets FLAME_TENANT"),
            "{said}"
        );
    }
}
