//! Checks that every service passes, driven by its own OpenAPI document: the contract is checked in as a golden, and
//! a stranger who walks every route gets nowhere.

use std::fmt::Write;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;

use crate::programs::repository;

/// Set to rewrite the goldens instead of comparing with them.
const UPDATE_VARIABLE: &str = "UPDATE_GOLDEN";
/// Body of an answer that a failed check shows, in characters.
const SHOWN_CHARS: usize = 300;

/// One operation of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// The method.
    pub method: Method,
    /// The path with its parameters in braces: `/assets/{id}`.
    pub path: String,
    /// Whether it asks for a token.
    pub needs_token: bool,
}

/// Somebody with a valid token of another tenant, and what is kept from them.
#[derive(Debug, Clone, Copy)]
pub struct Stranger<'a> {
    /// Their token, with the scopes `read` and `write`.
    pub token: &'a str,
    /// Path parameters of an existing resource that is not theirs: `[("id", "0192…"), ("version", "0123456789ab")]`.
    pub parameters: &'a [(&'a str, &'a str)],
    /// Texts that no answer to them may hold (ids, titles, keys of that resource).
    pub secrets: &'a [&'a str],
}

/// Fetches the document of the service at `base` (`http://127.0.0.1:PORT`).
///
/// # Panics
/// When the service gives none.
pub async fn document(base: &str) -> Value {
    let answer = reqwest::get(format!("{base}/openapi.json")).await.expect("the service answers");
    assert_eq!(answer.status(), StatusCode::OK, "{base}/openapi.json");
    answer.json().await.expect("/openapi.json is JSON")
}

/// Compares `document` with `docs/http-api/<service>.json`. `UPDATE_GOLDEN=1` writes that file instead.
///
/// # Panics
/// When they differ: a changed contract must be seen in review.
pub fn check_golden(service: &str, document: &Value) {
    let path = repository().join(format!("docs/http-api/{service}.json"));
    let mut text = serde_json::to_string_pretty(document).expect("a JSON value has a text");
    text.push('\n');
    if std::env::var_os(UPDATE_VARIABLE).is_some() {
        let folder = path.parent().expect("the path has folders");
        std::fs::create_dir_all(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        std::fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        return;
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = (1..).zip(golden.lines().zip(text.lines())).find(|(_, (theirs, ours))| theirs != ours);
    if let Some((line, (theirs, ours))) = differs {
        panic!(
            "{}:{line} says `{}`, the service `{}`; if that is meant, run the test with {UPDATE_VARIABLE}=1",
            path.display(),
            theirs.trim(),
            ours.trim()
        );
    }
    assert_eq!(
        golden.lines().count(),
        text.lines().count(),
        "{} has not the length of the service's document; if that is meant, run the test with {UPDATE_VARIABLE}=1",
        path.display()
    );
}

/// The operations of `document`.
///
/// # Panics
/// When it is not an OpenAPI document.
#[must_use]
pub fn operations(document: &Value) -> Vec<Operation> {
    let paths = document["paths"].as_object().expect("an OpenAPI document has paths");
    let mut found = Vec::new();
    for (path, item) in paths {
        for (word, operation) in item.as_object().expect("a path item is an object") {
            // A path item also holds members that are no methods: `parameters`, `summary`.
            let known = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
            if known.contains(&word.as_str()) {
                let method = word.to_uppercase().parse().expect("the word is a method");
                let needs_token = operation["security"].as_array().is_some_and(|list| !list.is_empty());
                found.push(Operation { method, path: path.clone(), needs_token });
            }
        }
    }
    found
}

/// Walks every operation of the service at `base`, which needs tokens: without one, with a damaged one, and with the
/// stranger's.
///
/// `dress` gives the request what it needs to be otherwise right (body, preconditions): only then does a refusal show
/// that the resource is guarded, and not that the request was malformed.
///
/// # Panics
/// When an operation that needs a token answers anything but 401 without one; when the stranger reaches a resource
/// that is not theirs (anything but 403 or 404); when an answer to the stranger holds a secret.
pub async fn walk_as_stranger(
    base: &str,
    stranger: Stranger<'_>,
    dress: impl Fn(&Operation, RequestBuilder) -> RequestBuilder,
) {
    let operations = operations(&document(base).await);
    assert!(operations.iter().any(|operation| operation.needs_token), "no operation needs a token");
    let http = reqwest::Client::new();
    let mut findings = String::new();
    for operation in operations.iter().filter(|operation| operation.needs_token) {
        let url = format!("{base}{}", operation.path_with(stranger.parameters));
        let request = || dress(operation, http.request(operation.method.clone(), &url));
        let attempts = [
            ("without a token", request()),
            ("with a damaged token", request().bearer_auth(format!("{}x", stranger.token))),
            ("with another tenant's token", request().bearer_auth(stranger.token)),
        ];
        for (how, attempt) in attempts {
            let answer = attempt.send().await.expect("the service answers");
            let (status, is_problem) = (answer.status(), is_problem(&answer));
            let body = answer.text().await.expect("the body is text");
            let refused = match how {
                "with another tenant's token" => {
                    let guarded = [StatusCode::FORBIDDEN, StatusCode::NOT_FOUND].contains(&status);
                    // A collection is everybody's, each with what is theirs in it.
                    guarded || !operation.path.contains('{')
                }
                _ => status == StatusCode::UNAUTHORIZED && is_problem,
            };
            let silent = |secret: &&str| stranger.parameters.iter().any(|(_, value)| value == secret);
            // What the stranger has put into the URL may come back in a refusal, but not in an answer.
            let leaked =
                stranger.secrets.iter().find(|secret| body.contains(**secret) && !(is_problem && silent(secret)));
            if !refused || leaked.is_some() {
                let shown: String = body.chars().take(SHOWN_CHARS).collect();
                let (method, path) = (&operation.method, &operation.path);
                let _ = writeln!(findings, "{method} {path} {how}: {status}, leaks {leaked:?}: {shown}");
            }
        }
    }
    assert!(findings.is_empty(), "a stranger gets further than they should:\n{findings}");
}

fn is_problem(answer: &reqwest::Response) -> bool {
    answer.headers().get("content-type").is_some_and(|value| value == "application/problem+json")
}

// === impl Operation ===

impl Operation {
    /// The path with `parameters` in the place of their names.
    ///
    /// # Panics
    /// When one of its parameters is not given: the walk would not reach the resource.
    #[must_use]
    pub fn path_with(&self, parameters: &[(&str, &str)]) -> String {
        let mut path = self.path.clone();
        for (name, value) in parameters {
            path = path.replace(&format!("{{{name}}}"), value);
        }
        assert!(!path.contains('{'), "{path}: give a value for every parameter");
        path
    }
}
