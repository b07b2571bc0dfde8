//! Who may stand behind which name. Whoever does gets the requests of those who call it, with their credentials.
//!
//! A token that lists names takes those and no others, whatever its scopes; one that lists none is judged by its scopes:
//! `service` takes every name, `admin` those of its own tenant. An entry is a whole name (`media`, `media.main.acme`), or
//! a function with a star for its instances (`media.*`). Where no tokens are needed, everybody on the machine is trusted.

use axum::http::StatusCode;
use flame_naming::name::DEFAULT_TENANT;
use flame_naming::{Label, Name};
use flame_service_host::{Caller, Failure, FailureResult, Scope};

/// Refuses with 403 unless `caller` may register behind `name`.
pub(crate) fn may_register(caller: &Caller, name: &Name) -> FailureResult<()> {
    if let Some(listed) = &caller.names {
        if !caller.is_service() {
            caller.require(Scope::Admin)?;
        }
        if listed.iter().any(|entry| covers(entry, name)) {
            return Ok(());
        }
        return Err(forbidden(format!("the token lists other names than {name}: {}", listed.join(", "))));
    }
    if caller.is_service() {
        return Ok(());
    }
    caller.require(Scope::Admin)?;
    if name.tenant().as_str() == caller.tenant {
        return Ok(());
    }
    Err(forbidden(format!("{name} is a name of the tenant {}, not of {}", name.tenant(), caller.tenant)))
}

/// Whether `entry` of a token's list is `name`, or all instances of its function in its tenant.
fn covers(entry: &str, name: &Name) -> bool {
    let Some((function, rest)) = entry.split_once(".*") else {
        return entry.parse::<Name>().is_ok_and(|entry| entry == *name);
    };
    let tenant = match rest {
        "" => Some(DEFAULT_TENANT),
        rest => rest.strip_prefix('.'),
    };
    let is = |text: &str, label: &Label| text.parse::<Label>().is_ok_and(|text| text == *label);
    is(function, name.function()) && tenant.is_some_and(|tenant| is(tenant, name.tenant()))
}

fn forbidden(detail: String) -> Failure {
    Failure::new(StatusCode::FORBIDDEN, "forbidden", "The token does not allow this", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_name_or_a_function_s_instances_in_one_tenant() {
        let cases = [
            ("media", "media", true),
            ("media.main", "media", true),
            ("Media", "media.main.default", true),
            ("media", "media.other", false),
            ("media", "media.main.acme", false),
            ("media.main.acme", "media.main.acme", true),
            ("media.*", "media.other", true),
            ("media.*", "media.other.acme", false),
            ("media.*.acme", "media.other.acme", true),
            ("media.*.acme", "media", false),
            ("media.*acme", "media.other.acme", false),
            ("*", "media", false),
            ("*.main", "media", false),
            ("*.*", "media", false),
            ("edge--media", "media", false),
            ("", "media", false),
        ];
        for (entry, name, wanted) in cases {
            assert_eq!(covers(entry, &name.parse().unwrap()), wanted, "{entry} covers {name}");
        }
    }
}
