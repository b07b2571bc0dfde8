//! The router's own face: its API, and the page at `/`.

pub(crate) mod activity;
pub(crate) mod certificates;
pub(crate) mod endpoints;
pub(crate) mod oidc;
pub(crate) mod page;
pub(crate) mod paths;
pub(crate) mod peers;
pub(crate) mod routes;
pub(crate) mod session;
