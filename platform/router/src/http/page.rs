//! `GET /` and `GET /portal/…`: the portal.
//!
//! It is the same for everybody and holds no data: its script asks the services as the viewer, and writes what they say as
//! text. The policy lets scripts and styles come from the portal's own folder alone, so that nothing which a service
//! behind `/~name/` serves can run as a part of it.

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use flame_portal::File;
use utoipa_axum::router::OpenApiRouter;

/// A year: such a name never gets other bytes.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");

/// The page needs no caller.
pub(crate) fn routes() -> OpenApiRouter {
    OpenApiRouter::new().route("/", axum::routing::get(show)).route("/portal/{*file}", axum::routing::get(file))
}

async fn show(uri: Uri, headers: HeaderMap) -> Response {
    let host = uri.authority().map(|authority| authority.as_str());
    let host = host.or_else(|| headers.get(header::HOST)?.to_str().ok());
    let mut answer = answered(flame_portal::PAGE, &headers);
    let more: [(HeaderName, HeaderValue); 2] = [
        (header::CONTENT_SECURITY_POLICY, policy(host)),
        // The address may hold a token.
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    answer.headers_mut().extend(more);
    answer
}

async fn file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    answered(&name, &headers)
}

fn answered(name: &str, asked: &HeaderMap) -> Response {
    let Some(File { bytes, gzip, media_type, immutable }) = flame_portal::file(name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let packed = gzip.filter(|_| takes_gzip(asked));
    let encoding = packed.is_some().then_some((header::CONTENT_ENCODING, HeaderValue::from_static("gzip")));
    let headers: [(HeaderName, HeaderValue); 4] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (header::CACHE_CONTROL, if immutable { IMMUTABLE } else { NO_CACHE }),
        (header::VARY, HeaderValue::from_static("accept-encoding")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    let mut answer = (headers, packed.unwrap_or(bytes)).into_response();
    answer.headers_mut().extend(encoding);
    answer
}

/// Whether the caller takes gzip (RFC 9110, 12.5.3).
fn takes_gzip(asked: &HeaderMap) -> bool {
    let accepted = asked.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0_f32));
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

/// What the page may do. `host` is what the viewer calls this router, as the request says it; where that is not a plain
/// host and port, nothing may run.
fn policy(host: Option<&str>) -> HeaderValue {
    let is_plain = |host: &&str| {
        !host.is_empty() && host.chars().all(|char| char.is_ascii_alphanumeric() || ".-:[]_".contains(char))
    };
    let own = match host.filter(is_plain) {
        // Sources of a policy have no IPv6 addresses (CSP Level 3, 2.3.1): there any script of this router's host may run.
        Some(host) if host.starts_with('[') => "'self'".to_owned(),
        Some(host) => format!("{host}/portal/"),
        None => "'none'".to_owned(),
    };
    let policy = format!(
        "default-src 'none'; script-src {own}; style-src {own}; connect-src 'self'; img-src 'self' data: blob:; \
         media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).expect("it is plain text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_the_portal_of_the_host_that_was_asked() {
        let scripts = |host| {
            let policy = policy(host).to_str().unwrap().to_owned();
            policy.split("; ").find_map(|rule| rule.strip_prefix("script-src ").map(str::to_owned)).unwrap()
        };
        assert_eq!(scripts(Some("localhost:8080")), "localhost:8080/portal/");
        assert_eq!(scripts(Some("[::1]:8080")), "'self'");
        for strange in [None, Some(""), Some("a; script-src *"), Some("a b"), Some("a,b"), Some("ü")] {
            assert_eq!(scripts(strange), "'none'", "{strange:?}");
        }
    }
}
