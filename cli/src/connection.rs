//! How client commands reach the services, and how people write where those are.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::anyhow;
use flame_api::Client;
use reqwest::Method;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use url::Url;
use uuid::Uuid;

use crate::args::Global;

/// The RTMP or the SRT door of `flame up`, as an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiveDoor {
    /// It listens here.
    At(SocketAddr),
    /// There is none.
    Off,
}

/// The router in an argument: a URL, or only `host:port`.
pub fn router(text: &str) -> Result<Url, String> {
    let url = if text.contains("://") { Url::parse(text) } else { Url::parse(&format!("http://{text}")) };
    let url = url.map_err(|error| format!("{error}; it looks like http://127.0.0.1:8080"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("the router speaks http, not {}", url.scheme()));
    }
    Ok(url)
}

/// Where to listen, in an argument: address and port, or only a port, which is one of loopback.
pub fn listen(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix("localhost").unwrap_or(text);
    match port.strip_prefix(':').unwrap_or(port).parse::<u16>() {
        Ok(port) => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        Err(_) => text.parse().map_err(|_| "write it like 127.0.0.1:8090, 0.0.0.0:8080 or [::1]:8080".to_owned()),
    }
}

/// Where such a door listens, in an argument: as for [`listen`], or `off`.
pub fn live_door(text: &str) -> Result<LiveDoor, String> {
    if text == "off" { Ok(LiveDoor::Off) } else { listen(text).map(LiveDoor::At) }
}

/// An identifier in an argument.
pub fn id(text: &str) -> Result<Uuid, String> {
    text.parse().map_err(|_| "identifiers look like 0198a1b2-0000-7000-8000-000000000001; `list` shows them".to_owned())
}

/// A time in an argument.
pub fn moment(text: &str) -> Result<OffsetDateTime, String> {
    if text == "now" {
        return Ok(OffsetDateTime::now_utc());
    }
    OffsetDateTime::parse(text, &Rfc3339).map_err(|_| "write `now`, or a time like 2026-11-26T12:00:00Z".to_owned())
}

/// An attribute of a mark in an argument.
pub fn attribute(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| "write it like X-TITLE=News".to_owned())?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Nobody answered: says where, why, and what to do.
pub fn no_answer(router: &Url, error: &reqwest::Error) -> anyhow::Error {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    anyhow!("no answer from {router} ({cause}): is `flame up` running? `--router` or FLAME_ROUTER says where")
}

/// A client of the services behind `--router`, with `--token`.
pub fn client(global: &Global) -> Client {
    Client::new(global.router.clone(), global.token.clone())
}

/// Whether an asset plays to anybody now.
pub async fn plays(client: &Client, asset: uuid::Uuid) -> bool {
    let playlist = client.request(Method::HEAD, "streaming", &format!("{asset}/index.m3u8")).send().await;
    playlist.is_ok_and(|answer| answer.status().is_success())
}

/// The URL under which an asset plays, in the form that every player can resolve.
pub fn play_url(router: &Url, asset: uuid::Uuid) -> Url {
    Client::new(router.clone(), None).url("streaming", &format!("{asset}/index.m3u8"))
}

// === impl LiveDoor ===

/// As it is written in an argument.
impl std::fmt::Display for LiveDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::At(address) => address.fmt(f),
            Self::Off => f.write_str("off"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_door_has_an_address_or_is_off() {
        for text in ["127.0.0.1:1935", "0.0.0.0:0", "off"] {
            assert_eq!(live_door(text).unwrap().to_string(), text);
        }
        assert!(live_door("on").is_err());
    }

    #[test]
    fn a_router_is_a_url_or_an_authority() {
        for (text, url) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/"),
            ("localhost:8090", "http://localhost:8090/"),
            ("[::1]:80", "http://[::1]/"),
            ("https://media.example/", "https://media.example/"),
        ] {
            assert_eq!(router(text).unwrap().as_str(), url);
        }
        for wrong in ["", "ftp://x", "http://", "a b"] {
            assert!(router(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_port_alone_is_one_of_loopback() {
        for (text, address) in [
            ("8090", "127.0.0.1:8090"),
            (":8090", "127.0.0.1:8090"),
            ("localhost:8090", "127.0.0.1:8090"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::1]:80", "[::1]:80"),
        ] {
            assert_eq!(listen(text), Ok(address.parse().unwrap()), "{text}");
        }
        for wrong in ["", "here", "127.0.0.1", "99999", "localhost"] {
            assert!(listen(wrong).is_err(), "{wrong}");
        }
    }
}
