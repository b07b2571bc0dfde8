//! What the OpenAPI document says about tokens: exactly the private routes ask for one.

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Components, OpenApi};

/// The name of the scheme in the document.
const SCHEME: &str = "token";

/// Declares that every operation in `document` needs a bearer token.
pub(crate) fn need_token(document: &mut OpenApi) {
    if document.paths.paths.is_empty() {
        return;
    }
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    let components = document.components.get_or_insert_with(Components::new);
    components.add_security_scheme(SCHEME, SecurityScheme::Http(scheme));
    for item in document.paths.paths.values_mut() {
        let operations = [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.delete,
            &mut item.options,
            &mut item.head,
            &mut item.patch,
            &mut item.trace,
            &mut item.query,
        ];
        for operation in operations.into_iter().flatten().chain(item.additional_operations.values_mut()) {
            operation.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], _>(SCHEME, [])]);
        }
    }
}
