//! What a certificate says of its holder, and whether that is enough. Pure.
//!
//! It is written as DNS names under [`PARENT`], a domain that exists nowhere, so that every TLS stack checks it the way
//! it checks the name of a web server:
//!
//! | name in the certificate | says |
//! | --- | --- |
//! | `router.edge.site.flame.internal` | a router at the site `edge` |
//! | `service.edge.site.flame.internal` | a service there |
//! | `router.flame.internal` | any router: what who joins looks for |
//! | `main.media.acme.name.flame.internal` | may stand behind `media.main.acme` |
//! | `*.media.default.name.flame.internal` | may stand behind all instances of `media` |
//!
//! The instance comes first, so that `media.*` is an ordinary wildcard (RFC 6125 section 6.4.3).

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use flame_naming::name::DEFAULT_TENANT;
use flame_naming::{Label, Name, NameError};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

/// The domain of all names in certificates. `.internal` is reserved for private use and resolved by nobody.
pub const PARENT: &str = "flame.internal";
/// In the certificate of every router.
pub const ANY_ROUTER: &str = "router.flame.internal";
/// Names that a certificate lists at most.
pub const REACHES_MAX: usize = 64;

/// What a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Passes requests on: who calls through it is not who it is. It stands behind no names.
    Router,
    /// Answers behind names.
    Service,
}

/// An entry in a list of names: a whole name (`media`, `media.main.acme`), or a function with a star for its
/// instances in one tenant (`media.*`, `media.*.acme`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// One name.
    Name(Name),
    /// All instances of a function of a tenant.
    Instances {
        /// The function.
        function: Label,
        /// The tenant.
        tenant: Label,
    },
}

/// What a certificate says of its holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// What it is.
    pub role: Role,
    /// Where it is.
    #[serde(with = "text")]
    pub site: Label,
    /// Names that it may stand behind.
    pub names: BTreeSet<Reach>,
}

/// Who is at the other end of a connection, by its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// What the certificate says.
    pub standing: Standing,
    /// When it ends, Unix seconds.
    pub ends_unix_s: u64,
}

// === impl Role ===

impl Role {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Router => "router",
            Self::Service => "service",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = [Self::Router, Self::Service].into_iter().find(|role| role.as_str() == text);
        known.ok_or_else(|| format!("`{text}` is no role: router or service"))
    }
}

// === impl Reach ===

impl Reach {
    /// Whether it allows to stand behind `name`.
    #[must_use]
    pub fn covers(&self, name: &Name) -> bool {
        match self {
            Self::Name(own) => own == name,
            Self::Instances { function, tenant } => function == name.function() && tenant == name.tenant(),
        }
    }

    fn dns(&self) -> String {
        match self {
            Self::Name(name) => dns_of_name(name),
            Self::Instances { function, tenant } => format!("*.{function}.{tenant}.name.{PARENT}"),
        }
    }

    fn of_dns(labels: &str) -> Option<Self> {
        let mut parts = labels.split('.');
        let (instance, function, tenant) = (parts.next()?, parts.next()?, parts.next()?);
        let is_whole = parts.next().is_none();
        if is_whole { format!("{function}.{instance}.{tenant}").parse().ok() } else { None }
    }
}

impl FromStr for Reach {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let mut parts = text.split('.');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(function), Some("*"), tenant, None) => {
                let (function, tenant) = (function.parse::<Label>()?, tenant.unwrap_or(DEFAULT_TENANT).parse()?);
                // What a name cannot be, its instances cannot be either.
                Name::new(function.clone(), DEFAULT_TENANT.parse()?, DEFAULT_TENANT.parse()?)?;
                Ok(Self::Instances { function, tenant })
            }
            _ => text.parse().map(Self::Name),
        }
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Instances { function, tenant } if tenant.as_str() == DEFAULT_TENANT => write!(f, "{function}.*"),
            Self::Instances { function, tenant } => write!(f, "{function}.*.{tenant}"),
        }
    }
}

impl Serialize for Reach {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reach {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A label as the text that it is.
mod text {
    use flame_naming::Label;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(label: &Label, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(label)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Label, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What stands in the certificate of who may stand behind `name`: what a router looks for when it asks there.
#[must_use]
pub fn dns_of_name(name: &Name) -> String {
    format!("{}.{}.{}.name.{PARENT}", name.instance(), name.function(), name.tenant())
}

/// What stands in the certificate of a router at `site`.
#[must_use]
pub fn dns_of_router(site: &Label) -> String {
    format!("{}.{site}.site.{PARENT}", Role::Router)
}

// === impl Standing ===

impl Standing {
    /// Whether it may stand behind `name`.
    #[must_use]
    pub fn covers(&self, name: &Name) -> bool {
        self.names.iter().any(|reach| reach.covers(name))
    }

    /// The names in its certificate.
    #[must_use]
    pub fn dns_names(&self) -> Vec<String> {
        let mut names = vec![format!("{}.{}.site.{PARENT}", self.role, self.site)];
        if self.role == Role::Router {
            names.push(ANY_ROUTER.to_owned());
        }
        names.extend(self.names.iter().map(Reach::dns));
        names
    }

    /// What the names in a certificate say; `None` where they do not say it once and clearly.
    #[must_use]
    pub fn of_dns_names<'a>(all: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let (mut place, mut names, mut is_any_router) = (None, BTreeSet::new(), false);
        for name in all {
            let labels = name.strip_suffix(PARENT)?.strip_suffix('.')?;
            if name == ANY_ROUTER {
                is_any_router = true;
            } else if let Some(labels) = labels.strip_suffix(".name") {
                names.insert(Reach::of_dns(labels)?);
            } else {
                let (role, site) = labels.strip_suffix(".site")?.split_once('.')?;
                let said = (role.parse::<Role>().ok()?, site.parse::<Label>().ok()?);
                if place.replace(said).is_some() {
                    return None;
                }
            }
        }
        let (role, site) = place?;
        let fits = match role {
            Role::Router => is_any_router && names.is_empty(),
            Role::Service => !is_any_router,
        };
        fits.then_some(Self { role, site, names })
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.role, self.site)?;
        for (at, reach) in self.names.iter().enumerate() {
            write!(f, "{}{reach}", if at == 0 { " for " } else { ", " })?;
        }
        Ok(())
    }
}

// === impl Peer ===

impl Peer {
    /// Whether its certificate is over.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ends_in().is_zero()
    }

    /// Time until its certificate is over.
    #[must_use]
    pub fn ends_in(&self) -> Duration {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Duration::from_secs(self.ends_unix_s).saturating_sub(now)
    }

    /// Who holds the certificate `der`, whose signature somebody else has verified. `None` where it says nothing of a part.
    #[must_use]
    pub fn of(der: &[u8]) -> Option<Self> {
        let (_, certificate) = parse_x509_certificate(der).ok()?;
        let names = &certificate.subject_alternative_name().ok()??.value.general_names;
        let names = names.iter().map(|name| match name {
            GeneralName::DNSName(name) => Some(*name),
            _ => None,
        });
        let standing = Standing::of_dns_names(names.collect::<Option<Vec<_>>>()?)?;
        let ends_unix_s = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
        Some(Self { standing, ends_unix_s })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_entry_is_a_name_or_a_function_s_instances_in_one_tenant() {
        let cases = [
            ("media", "media", true),
            ("media.main", "media", true),
            ("Media", "media.main.default", true),
            ("media", "media.other", false),
            ("media", "media.main.acme", false),
            ("media.main.acme", "media.main.acme", true),
            ("media.*", "media.other", true),
            ("media.*", "media.other.acme", false),
            ("media.*.acme", "media.other.acme", true),
            ("media.*.acme", "media", false),
            ("media.*acme", "media.other.acme", false),
            ("*", "media", false),
            ("*.main", "media", false),
            ("*.*", "media", false),
            ("edge--media", "media", false),
            ("a--b.*", "media", false),
            ("", "media", false),
        ];
        for (entry, name, wanted) in cases {
            let covers = entry.parse::<Reach>().is_ok_and(|entry| entry.covers(&name.parse().unwrap()));
            assert_eq!(covers, wanted, "{entry} covers {name}");
        }
    }

    #[test]
    fn what_is_not_said_once_and_clearly_is_not_said() {
        let site = "service.edge.site.flame.internal";
        let read = |names: &[&str]| Standing::of_dns_names(names.iter().copied());
        assert!(read(&[site]).is_some());
        for wrong in [
            &[][..],
            &[site, "service.cloud.site.flame.internal"],
            &[site, "router.edge.site.flame.internal", ANY_ROUTER],
            &[site, ANY_ROUTER],
            &["router.edge.site.flame.internal"],
            &["router.edge.site.flame.internal", ANY_ROUTER, "main.media.default.name.flame.internal"],
            &[site, "www.example.org"],
            &[site, "main.media.name.flame.internal"],
            &[site, "a.main.media.default.name.flame.internal"],
            &[site, "*.*.default.name.flame.internal"],
            &["*.edge.site.flame.internal"],
            &["service.*.site.flame.internal"],
            &["service.edge.sub.site.flame.internal"],
            &["service.edge.site.notflame.internal"],
        ] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }

    fn label() -> impl Strategy<Value = String> {
        "[a-z][a-z0-9]{0,5}"
    }

    fn reach() -> impl Strategy<Value = Reach> {
        let one = (label(), label(), label()).prop_map(|(f, i, t)| format!("{f}.{i}.{t}"));
        let all = (label(), label()).prop_map(|(f, t)| format!("{f}.*.{t}"));
        prop_oneof![one, all].prop_map(|text| text.parse().unwrap())
    }

    proptest! {
        #[test]
        fn a_standing_is_read_back_as_it_was_written(
            is_router in any::<bool>(), site in label(), names in prop::collection::btree_set(reach(), 0..6),
        ) {
            let (role, names) = if is_router { (Role::Router, BTreeSet::new()) } else { (Role::Service, names) };
            let standing = Standing { role, site: site.parse().unwrap(), names };
            let written = standing.dns_names();
            prop_assert_eq!(Standing::of_dns_names(written.iter().map(String::as_str)), Some(standing.clone()));
            let text = serde_json::to_string(&standing).unwrap();
            prop_assert_eq!(serde_json::from_str::<Standing>(&text).unwrap(), standing);
        }

        /// What `covers` says and what a TLS stack says of the certificate is the same.
        #[test]
        fn a_name_is_covered_where_a_tls_stack_says_so(entry in reach(), f in "[ab]", i in "[ab]", t in "[ab]") {
            let name: Name = format!("{f}.{i}.{t}").parse().unwrap();
            let (wanted, dns) = (dns_of_name(&name), entry.dns());
            let by_dns = match dns.strip_prefix("*.") {
                Some(rest) => wanted.split_once('.').is_some_and(|(_, parent)| parent == rest),
                None => dns == wanted,
            };
            prop_assert_eq!(entry.covers(&name), by_dns);
        }
    }
}
