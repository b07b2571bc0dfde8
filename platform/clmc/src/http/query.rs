//! `GET|POST /query`: questions in InfluxQL, as clients of InfluxDB 1.x ask them.

use std::collections::HashMap;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use flame_api::Problem;
use flame_service_host::problem::chain;
use flame_service_host::{Caller, Failure, Scope};
use flame_telemetry::line::Precision;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::IntoParams;

use super::error::Error;
use crate::query::ast::Statement;
use crate::query::{Asker, Budget, answer, parser};
use crate::{Clmc, now_ns};

/// Longest question, bytes.
const QUESTION_MAX_BYTES: usize = 64 << 10;

/// What is asked; in the query of the URL, of a POST also as a form.
#[derive(Debug, IntoParams)]
#[allow(dead_code, reason = "says what the API takes; it is read from two places")]
pub(super) struct AskQuery {
    /// The question, InfluxQL; several are separated by semicolons
    q: String,
    /// The database of statements that name none
    db: Option<String>,
    /// Times as whole numbers of this unit: `ns`, `u`, `ms`, `s`, `m`, `h`; without it as texts (RFC 3339)
    epoch: Option<String>,
    /// Values for names with `$` in the question, a JSON object
    params: Option<String>,
}

/// Answers questions. A statement that cannot be answered says so in its place of the answer.
#[utoipa::path(
    get,
    path = "/query",
    operation_id = "ask",
    params(AskQuery, ("Accept" = Option<String>, Header, description = "`application/csv`, else JSON")),
    responses(
        (status = 200, description = "Answers, each with `series` or `error`", body = Object),
        (status = 400, description = "The question cannot be read: where, and what was expected", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "Too many questions at once", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get(
    State(clmc): State<Clmc>,
    caller: Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Error> {
    clmc.ask(&caller, &parameters(&[query.unwrap_or_default().as_bytes()]), &headers, false).await
}

/// The same, and what changes something: `CREATE DATABASE`, `DROP DATABASE`.
#[utoipa::path(
    post,
    path = "/query",
    operation_id = "ask_by_post",
    params(AskQuery, ("Accept" = Option<String>, Header, description = "`application/csv`, else JSON")),
    request_body(content = String, content_type = "application/x-www-form-urlencoded", description = "The same as in the query"),
    responses(
        (status = 200, description = "Answers, each with `series` or `error`", body = Object),
        (status = 400, description = "The question cannot be read: where, and what was expected", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "Too many questions at once", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn post(
    State(clmc): State<Clmc>,
    caller: Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Error> {
    let is_form = |value: &header::HeaderValue| value.as_bytes().starts_with(b"application/x-www-form-urlencoded");
    let form = if headers.get(header::CONTENT_TYPE).is_some_and(is_form) { &body[..] } else { &[] };
    clmc.ask(&caller, &parameters(&[query.unwrap_or_default().as_bytes(), form]), &headers, true).await
}

fn parameters(texts: &[&[u8]]) -> HashMap<String, String> {
    texts
        .iter()
        .flat_map(|text| url::form_urlencoded::parse(text))
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

// === impl Clmc ===

impl Clmc {
    /// A place among those that are answered at once.
    pub(super) async fn slot(&self) -> Result<OwnedSemaphorePermit, Error> {
        let slot = tokio::time::timeout(self.query.wait.0, std::sync::Arc::clone(&self.asking).acquire_owned()).await;
        slot.map_err(|_| Error::busy("questions"))?.map_err(|_| Error::busy("questions"))
    }

    async fn ask(
        &self,
        caller: &Caller,
        said: &HashMap<String, String>,
        headers: &HeaderMap,
        may_change: bool,
    ) -> Result<Response, Error> {
        caller.require(Scope::Read)?;
        let question = said.get("q").map(String::as_str).unwrap_or_default();
        if question.is_empty() {
            return Err(Failure::bad_request("missing required parameter \"q\"").into());
        }
        if question.len() > QUESTION_MAX_BYTES {
            return Err(Failure::bad_request(format!("the question is longer than {QUESTION_MAX_BYTES} bytes")).into());
        }
        let epoch = said.get("epoch").filter(|unit| !unit.is_empty());
        let epoch = epoch.map(|unit| {
            Precision::of(unit).ok_or_else(|| Failure::bad_request(format!("`{unit}` is no unit of time")))
        });
        let epoch = epoch.transpose()?;
        let parameters =
            said.get("params").filter(|text| !text.is_empty()).map(|text| serde_json::from_str(text)).transpose();
        let parameters: parser::Parameters = parameters
            .map_err(|error| Failure::bad_request(format!("`params` is no JSON object: {error}")))?
            .unwrap_or_default();
        let statements =
            parser::parse(question, &parameters).map_err(|error| Failure::bad_request(error.to_string()))?;
        let changes =
            |statement: &Statement| matches!(statement, Statement::CreateDatabase(_) | Statement::DropDatabase(_));
        if statements.iter().any(changes) {
            caller.require(Scope::Write)?;
            if !may_change {
                return Err(
                    Failure::bad_request("CREATE and DROP are sent by POST: a link must not change anything").into()
                );
            }
        }
        let slot = self.slot().await?;
        let (clmc, tenant, database) = (self.clone(), caller.tenant.clone(), said.get("db").cloned());
        let is_csv = headers
            .get(header::ACCEPT)
            .is_some_and(|value| matches!(value.as_bytes(), b"application/csv" | b"text/csv"));
        let work = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            let (store, now_ns, budget) = (&clmc.store, now_ns(), Budget::new(&clmc.query));
            let asker = Asker { store, tenant: &tenant, database: database.as_deref(), now_ns, budget };
            let outcomes: Vec<answer::Outcome> = statements
                .iter()
                .map(|statement| {
                    asker.ask(statement).map_err(|error| {
                        tracing::debug!(error = chain(&error), "a question was not answered");
                        error.to_string()
                    })
                })
                .collect();
            if is_csv {
                (true, answer::csv(&outcomes, epoch))
            } else {
                (false, answer::json(&outcomes, epoch).to_string())
            }
        });
        let (is_csv, mut text) = work.await.map_err(|error| Failure::internal(&error))?;
        if !is_csv {
            text.push('\n');
        }
        let kind = if is_csv { "text/csv" } else { "application/json" };
        Ok((
            [
                (header::CONTENT_TYPE, kind),
                (header::HeaderName::from_static("x-influxdb-version"), super::ping::SPOKEN),
            ],
            text,
        )
            .into_response())
    }
}
