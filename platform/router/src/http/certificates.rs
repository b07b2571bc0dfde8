//! `/api/router/certificates`: who joins shows a token, who renews shows the certificate that it has.
//!
//! Only the router that holds the issuer answers. A token is spent, and that is on disk, before its certificate is
//! signed; what is signed is what the token or the old certificate says, never what the request says.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use flame_api::router::{Certificate, CertificateRequest};
use flame_credentials::{Issued, Issuer, IssuerError, JoinToken, Peer, Role, Wanted};
use flame_naming::Name;
use flame_service_host::{Encrypted, Failure, FailureResult, Json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// How the request came.
struct Way {
    peer: Option<Peer>,
    is_private: bool,
}

/// The route; a token or the connection's certificate is the credential.
pub(crate) fn routes(issuer: Option<Issuer>) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(issue)).with_state(issuer)
}

/// Signs a certificate: for who joins with a one-time token, or for who renews the one that its connection shows.
#[utoipa::path(
    post,
    path = "/api/router/certificates",
    request_body = CertificateRequest,
    responses(
        (status = 200, body = Certificate),
        (status = 400, description = "over plain HTTP from another machine, or what is to be signed is no request"),
        (status = 403, description = "the token is spent, has ended, is unknown, or is for something else; or neither token nor certificate is shown"),
        (status = 404, description = "this router issues no certificates"),
        (status = 422, description = "role, site, name or token are none"),
    )
)]
async fn issue(State(issuer): State<Option<Issuer>>, request: Request) -> FailureResult<Json<Certificate>> {
    let way = Way::of(&request);
    let Json(body) = <Json<CertificateRequest> as axum::extract::FromRequest<()>>::from_request(request, &()).await?;
    let issuer = issuer.ok_or_else(|| Failure::not_found("issuer at this router: ask the one that holds it"))?;
    if !way.is_private {
        let detail = "certificates are given over TLS, and to this machine; a token must not cross a network in clear";
        return Err(Failure::bad_request(detail));
    }
    let issued = match &body.token {
        Some(token) => {
            let token = token.parse::<JoinToken>().map_err(|error| unfit(error.to_string()))?;
            let (wanted, id) = (wanted(&body)?, token.id());
            let given = blocking(move || issuer.join(&token, &wanted, &body.request)).await?;
            tracing::info!(token = id, standing = %given.standing, "joined");
            given
        }
        None => {
            let detail = "show a join token, or the certificate to renew on the connection";
            let peer = way.peer.filter(|peer| !peer.has_ended()).ok_or_else(|| forbidden(detail.to_owned()))?;
            let given = blocking(move || issuer.renew(peer.standing, &body.request)).await?;
            tracing::info!(standing = %given.standing, "renewed a certificate");
            given
        }
    };
    let Issued { certificate_pem: certificate, authority_pem: authority, standing } = issued;
    let (role, site) = (standing.role.to_string(), standing.site.to_string());
    let names = standing.names.iter().map(ToString::to_string).collect();
    Ok(Json(Certificate { certificate, authority, role, site, names }))
}

fn wanted(body: &CertificateRequest) -> FailureResult<Wanted> {
    let role = body.role.as_deref().ok_or_else(|| unfit("`role` is missing: router or service".to_owned()))?;
    let role = role.parse::<Role>().map_err(unfit)?;
    let site = body.site.as_deref().map(str::parse).transpose();
    let site = site.map_err(|error: flame_naming::NameError| unfit(error.to_string()))?;
    let names = body.names.iter().map(|name| name.parse::<Name>()).collect::<Result<_, _>>();
    let names = names.map_err(|error| unfit(error.to_string()))?;
    Ok(Wanted { role, site, names })
}

async fn blocking(work: impl FnOnce() -> Result<Issued, IssuerError> + Send + 'static) -> FailureResult<Issued> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::internal(&error))?.map_err(failure)
}

fn failure(error: IssuerError) -> Failure {
    match error {
        IssuerError::Refused(_) => forbidden(error.to_string()),
        IssuerError::Request(_) => Failure::bad_request(error.to_string()),
        IssuerError::Unfit(_) => unfit(error.to_string()),
        IssuerError::File(_) | IssuerError::Damaged { .. } | IssuerError::Absent(_) | IssuerError::Signing(_) => {
            Failure::internal(&error)
        }
    }
}

fn forbidden(detail: String) -> Failure {
    Failure::new(StatusCode::FORBIDDEN, "forbidden", "No certificate for this", detail)
}

fn unfit(detail: String) -> Failure {
    Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "unprocessable", "The request does not fit", detail)
}

// === impl Way ===

impl Way {
    fn of(request: &Request) -> Self {
        let known = request.extensions();
        let from = known.get::<ConnectInfo<SocketAddr>>();
        let is_near = from.is_some_and(|ConnectInfo(peer)| peer.ip().to_canonical().is_loopback());
        Self { peer: known.get().cloned(), is_private: is_near || known.get::<Encrypted>().is_some() }
    }
}
