//! Who a request is for, decided from its authority and its path alone.
//!
//! | form | example | goes to |
//! | --- | --- | --- |
//! | host | `http://metadata.localhost:8080/assets` | `/assets` at `metadata.main` |
//! | absolute, through a proxy | `GET http://metadata.localhost/assets HTTP/1.1` | the same |
//! | path | `http://127.0.0.1:8080/~metadata/assets` | the same |
//! | API | `http://127.0.0.1:8080/api/metadata/assets` | the same |
//! | own | `http://127.0.0.1:8080/`, `…/api/router/endpoints` | the router itself |
//!
//! A host that the router does not answer for is refused, so that a page of a foreign site that makes its own name
//! resolve to this machine (DNS rebinding) gets nothing. A path with a `..` segment, however it is written, is
//! refused too: after `/~a/` it must never mean something of `/~b/`, whoever normalises it later.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::name::{Destination, Domain, Name, NameError};

/// The function under `/api/` that is the router itself.
const ROUTER: &str = "router";

/// The parts of a request that say who it is for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Authority of an absolute-form request target; it wins over Host (RFC 9112 section 3.2.2).
    pub authority: Option<&'a str>,
    /// The Host field; `None` where an HTTP/1.0 client sent none.
    pub host: Option<&'a str>,
    /// The path as it was sent, still encoded.
    pub path: &'a str,
    /// The query without its question mark.
    pub query: Option<&'a str>,
}

/// Who a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The router's own pages and API.
    Own,
    /// `/~name` without a slash: relative URLs need one, so the client is sent to this path and query.
    Slash(String),
    /// A service.
    Service(Forward),
}

/// A request for a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// Which service.
    pub destination: Destination,
    /// What to ask it: path and query, beginning with a slash.
    pub path_and_query: String,
    /// Where the client sees the service.
    pub mount: Mount,
}

/// Where the client sees a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    /// At the root of a host of its own.
    Host,
    /// Below a path: `/~metadata`, without a slash at the end, as the client wrote it.
    Path(String),
}

/// A request that is for nobody here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untargeted {
    /// The authority is not `host[:port]`.
    #[error("`{0}` is not a host with or without a port")]
    BadHost(String),
    /// A host that the router does not answer for.
    #[error("this router does not answer for the host `{0}`")]
    ForeignHost(String),
    /// A host under the domain that cannot be a name.
    #[error("the host `{host}` names nothing: {reason}")]
    HostName {
        /// The host.
        host: String,
        /// Why not.
        #[source]
        reason: NameError,
    },
    /// What follows `/~` or `/api/` cannot be a name.
    #[error("the path names nothing: {0}")]
    PathName(#[source] NameError),
    /// The path has a `..` segment.
    #[error("the path goes upwards with `..`")]
    Upwards,
}

/// The hosts that a router answers for.
#[derive(Debug, Clone, Default)]
pub struct Territory {
    domain: Domain,
    public_hosts: Vec<String>,
    any_host: bool,
}

// === impl Mount ===

impl Mount {
    /// What the client has in front of the service's own paths: `""` or `/~metadata`.
    #[must_use]
    pub fn prefix(&self) -> &str {
        match self {
            Self::Host => "",
            Self::Path(prefix) => prefix,
        }
    }
}

// === impl Territory ===

impl Territory {
    /// Names below `domain`, and the router's own pages at the domain, at `localhost`, at IP literals and at
    /// `public_hosts` (`"*"`: at every host).
    #[must_use]
    pub fn new(domain: Domain, public_hosts: &[String]) -> Self {
        let any_host = public_hosts.iter().any(|host| host == "*");
        Self { domain, public_hosts: public_hosts.iter().map(|host| host.to_ascii_lowercase()).collect(), any_host }
    }

    /// The parent domain of all names.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Who the request is for.
    pub fn target(&self, asked: &Asked<'_>) -> Result<Target, Untargeted> {
        if goes_upwards(asked.path) {
            return Err(Untargeted::Upwards);
        }
        let named = match asked.authority.or(asked.host) {
            Some(authority) => self.host_destination(authority)?,
            None => None,
        };
        match named {
            Some(destination) => Ok(Target::Service(Forward {
                destination,
                path_and_query: path_and_query(asked.path, asked.query),
                mount: Mount::Host,
            })),
            None => self.path_target(asked).map_err(Untargeted::PathName),
        }
    }

    /// The name that the host is; `None` where it is the router's own.
    fn host_destination(&self, authority: &str) -> Result<Option<Destination>, Untargeted> {
        let Some(host) = host_of(authority) else { return Err(Untargeted::BadHost(authority.to_owned())) };
        let host = host.to_ascii_lowercase();
        let is_own = self.public_hosts.contains(&host)
            || host == self.domain.as_str()
            || host == "localhost"
            || is_ip_literal(&host);
        if is_own {
            return Ok(None);
        }
        match self.domain.below(&host) {
            Some(text) => text.parse().map(Some).map_err(|reason| Untargeted::HostName { host: host.clone(), reason }),
            None if self.any_host => Ok(None),
            None => Err(Untargeted::ForeignHost(host)),
        }
    }

    fn path_target(&self, asked: &Asked<'_>) -> Result<Target, NameError> {
        let Some((lead, after)) = lead(asked.path) else { return Ok(Target::Own) };
        let (text, rest) = after.find('/').map_or((after, None), |at| (&after[..at], Some(&after[at..])));
        if lead.is_api && (text.is_empty() || text == ROUTER) {
            return Ok(Target::Own);
        }
        let destination = self.domain.destination(text)?;
        let mount = &asked.path[..lead.length + text.len()];
        Ok(match rest {
            Some(rest) => Target::Service(Forward {
                destination,
                path_and_query: path_and_query(rest, asked.query),
                mount: Mount::Path(mount.to_owned()),
            }),
            None => Target::Slash(path_and_query(&format!("{mount}/"), asked.query)),
        })
    }
}

/// What stands before a name in a path.
struct Lead {
    length: usize,
    is_api: bool,
}

/// Splits a path before the name in it. `%7E` is `~` (RFC 3986 section 6.2.2.2).
fn lead(path: &str) -> Option<(Lead, &str)> {
    ["/~", "/%7E", "/%7e", "/api/"].into_iter().find_map(|lead| {
        let after = path.strip_prefix(lead)?;
        Some((Lead { length: lead.len(), is_api: lead == "/api/" }, after))
    })
}

fn path_and_query(path: &str, query: Option<&str>) -> String {
    let path = if path.is_empty() { "/" } else { path };
    query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
}

/// The host of `host[:port]` (RFC 9110 section 7.2), without a root dot; `None` where it is none.
fn host_of(authority: &str) -> Option<&str> {
    let (host, port) = if authority.starts_with('[') {
        let end = authority.find(']')? + 1;
        authority[1..end - 1].parse::<Ipv6Addr>().ok()?;
        (&authority[..end], authority[end..].strip_prefix(':').or(authority[end..].is_empty().then_some(""))?)
    } else {
        let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if !host.bytes().all(fits) {
            return None;
        }
        (host.strip_suffix('.').unwrap_or(host), port)
    };
    (!host.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())).then_some(host)
}

fn is_ip_literal(host: &str) -> bool {
    host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok()
}

/// Whether a segment is `..`, with dots and slashes in any encoding and with or without parameters (`..;x`).
fn goes_upwards(path: &str) -> bool {
    if !path.contains("..") && !path.contains('%') {
        return false;
    }
    let mut plain = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        plain.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 3).unwrap_or_default();
        let decoded = match code.to_ascii_lowercase().as_str() {
            "2e" => Some('.'),
            "2f" => Some('/'),
            "5c" => Some('\\'),
            "3b" => Some(';'),
            _ => None,
        };
        plain.push(decoded.unwrap_or('%'));
        rest = &rest[at + if decoded.is_some() { 3 } else { 1 }..];
    }
    plain.push_str(rest);
    plain.split(['/', '\\']).any(|segment| segment.split(';').next() == Some(".."))
}

/// The name as it stands in a `/~` URL: the shortest form that means it.
#[must_use]
pub fn short(name: &Name) -> String {
    let text = name.to_string();
    match text.strip_suffix(".main") {
        Some(function) if !function.contains('.') => function.to_owned(),
        Some(_) | None => text,
    }
}
