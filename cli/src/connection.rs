//! How client commands reach the services.

use flame_api::Client;
use url::Url;

use crate::args::Global;

/// A client of the services behind `--router`, with `--token`.
pub fn client(global: &Global) -> Client {
    Client::new(global.router.clone(), global.token.clone())
}

/// The URL under which an asset plays, in the form that every player can resolve.
pub fn play_url(router: &Url, asset: uuid::Uuid) -> Url {
    Client::new(router.clone(), None).url("streaming", &format!("{asset}/index.m3u8"))
}
