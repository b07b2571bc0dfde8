//! Who may stand behind which name. Whoever does gets the requests of those who call it, with their credentials.
//!
//! A certificate lists the names of its holder; a token that it shows besides may allow more. A token that lists names takes those and no others, whatever its scopes; one that lists none
//! takes those of its own tenant if it has the scope `admin`, and else none: a service that could stand behind any name could have the
//! credentials of everybody who calls another one. What stands behind a name already, services drain, connect and cut off, as the
//! orchestrator does. An entry is a whole name (`media`, `media.main.acme`), or a function with a star for its instances (`media.*`).
//! Where no tokens are needed, everybody on the machine is trusted.

use axum::http::StatusCode;
use flame_credentials::Reach;
use flame_naming::{Label, Name};
use flame_service_host::{Caller, Failure, FailureResult, Scope};

/// Refuses with 403 unless `caller` may stand behind `name`.
pub(crate) fn may_register(caller: &Caller, name: &Name) -> FailureResult<()> {
    if caller.names.is_some() || caller.is_local || is_in_certificate(caller, name) {
        return may_turn(caller, name);
    }
    if caller.is_service() && caller.require(Scope::Admin).is_err() {
        return Err(forbidden(format!(
            "the token lists no names, so its holder stands behind none: make one with `flame token issue --scope service --name {}`",
            name.function()
        )));
    }
    of_own_tenant(caller, name)
}

/// Refuses with 403 unless `caller` may say what becomes of those who stand behind `name`.
pub(crate) fn may_turn(caller: &Caller, name: &Name) -> FailureResult<()> {
    if is_in_certificate(caller, name) {
        return Ok(());
    }
    if let Some(listed) = &caller.names {
        if !caller.is_service() {
            caller.require(Scope::Admin)?;
        }
        if listed.iter().any(|entry| covers(entry, name)) {
            return Ok(());
        }
        return Err(forbidden(format!("the credential lists other names than {name}: {}", listed.join(", "))));
    }
    if caller.is_service() {
        return Ok(());
    }
    of_own_tenant(caller, name)
}

fn is_in_certificate(caller: &Caller, name: &Name) -> bool {
    caller.part.as_ref().is_some_and(|part| part.standing.covers(name))
}

fn of_own_tenant(caller: &Caller, name: &Name) -> FailureResult<()> {
    caller.require(Scope::Admin)?;
    if name.tenant().as_str() == caller.tenant {
        return Ok(());
    }
    Err(forbidden(format!("{name} is a name of the tenant {}, not of {}", name.tenant(), caller.tenant)))
}

/// Refuses with 403 an endpoint whose certificate is of another site: each router owns the registrations of its own.
pub(crate) fn is_of_site(caller: &Caller, own: &Label) -> FailureResult<()> {
    match &caller.part {
        Some(part) if part.standing.site != *own => {
            let detail = format!("the certificate is of the site {}; this router is of {own}", part.standing.site);
            Err(forbidden(detail))
        }
        Some(_) | None => Ok(()),
    }
}

/// Whether `entry` of a list is `name`, or all instances of its function in its tenant.
fn covers(entry: &str, name: &Name) -> bool {
    entry.parse::<Reach>().is_ok_and(|entry| entry.covers(name))
}

fn forbidden(detail: String) -> Failure {
    Failure::new(StatusCode::FORBIDDEN, "forbidden", "The credential does not allow this", detail)
}
