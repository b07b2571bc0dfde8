//! What a purge covers: pure. A name, or `*` for all names of a tenant; and of what is kept under them one resource, a prefix or a group.

use flame_api::vcdn::Purge;
use flame_naming::identity::{Token, url};
use flame_naming::name::DEFAULT_TENANT;
use flame_naming::{Label, Name};

use super::{PurgeError, TEXT_MAX_BYTES};
use crate::front::key_prefix;

/// All names that surrogates serve for a tenant.
const ALL: &str = "*";

/// What a purge covers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Cover {
    /// What purges are counted by.
    under: String,
    /// Whose names, where all are covered.
    all_of: Option<Label>,
    scope: Scope,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Scope {
    /// One resource, in all its variants.
    Url(String),
    /// All whose path and query begin so.
    Prefix(String),
    /// All of one group (RFC 9875).
    Tag(String),
}

/// Whose names `text` covers where it stands for all of a tenant: `*` for those of the default tenant, `*.acme` for those of `acme`.
fn all_of(text: &str) -> Option<Result<Label, flame_naming::NameError>> {
    let rest = text.strip_prefix(ALL)?;
    match rest.strip_prefix('.') {
        Some(tenant) => Some(tenant.parse()),
        None if rest.is_empty() => Some(DEFAULT_TENANT.parse()),
        None => None,
    }
}

/// The name as it is told to others for a caller of `tenant`: `*` is all names of that tenant, whoever reads it then.
pub(crate) fn told(name: String, tenant: &str) -> String {
    if name == ALL { format!("{ALL}.{tenant}") } else { name }
}

// === impl Cover ===

impl Cover {
    /// What `purge` covers.
    pub(crate) fn of(purge: &Purge) -> Result<Self, PurgeError> {
        let wrong = |source| PurgeError::Name(purge.name.clone(), source);
        let (under, all_of) = match all_of(&purge.name) {
            Some(tenant) => {
                let tenant = tenant.map_err(wrong)?;
                (format!("{ALL}.{tenant}\0"), Some(tenant))
            }
            None => (key_prefix(&purge.name.parse::<Name>().map_err(wrong)?), None),
        };
        let texts = [&purge.url, &purge.prefix, &purge.tag];
        if texts.into_iter().flatten().any(|text| text.len() > TEXT_MAX_BYTES) {
            return Err(PurgeError::TooLong);
        }
        let path =
            |text: &String| url::canonical(text, Token::Unverified).ok_or_else(|| PurgeError::Path(text.clone()));
        let scope = match (&purge.url, &purge.prefix, &purge.tag) {
            (Some(url), None, None) => Scope::Url(path(url)?),
            (None, Some(prefix), None) => Scope::Prefix(path(prefix)?),
            (None, None, Some(tag)) if !tag.is_empty() => Scope::Tag(tag.clone()),
            _ => return Err(PurgeError::Scope),
        };
        Ok(Self { under, all_of, scope })
    }

    /// All that is kept under a name.
    pub(super) fn all_of(name: &str) -> Result<Self, PurgeError> {
        Self::of(&Purge { name: name.to_owned(), prefix: Some("/".to_owned()), ..Purge::default() })
    }

    /// The name that it is about, or all of a tenant: purges are remembered for each.
    pub(crate) fn under(&self) -> &str {
        &self.under
    }

    /// Whether it is about what surrogates keep for `tenant`, and nobody else.
    pub(crate) fn is_of(&self, tenant: &str) -> bool {
        owner(&self.under) == tenant
    }

    /// Whether it is about all names of a tenant.
    pub(crate) fn is_of_all_names(&self) -> bool {
        self.all_of.is_some()
    }

    /// Whether it covers what is kept under `key` with `tags`.
    pub(crate) fn covers(&self, key: &str, tags: &[Box<str>]) -> bool {
        let resource = match &self.all_of {
            Some(tenant) => {
                if owner(key) != tenant.as_str() {
                    return false;
                }
                key.split_once('\0').map(|(_, resource)| resource)
            }
            None => key.strip_prefix(&self.under),
        };
        let Some(resource) = resource else { return false };
        // Behind it stands what a variant depends on.
        let target = resource.split('\0').next().unwrap_or_default();
        match &self.scope {
            Scope::Url(url) => target == url,
            Scope::Prefix(prefix) => target.starts_with(prefix),
            Scope::Tag(tag) => tags.iter().any(|known| **known == **tag),
        }
    }
}

/// The tenant of the name that a key begins with (`cdn.main`, `cdn.main.acme`), or of all names (`*.acme`).
pub(super) fn owner(key: &str) -> &str {
    let name = key.split('\0').next().unwrap_or_default();
    match name.strip_prefix("*.") {
        Some(tenant) => tenant,
        None => name.split('.').nth(2).unwrap_or(DEFAULT_TENANT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_all_names_of_one_tenant() {
        let cover = |name: &str| {
            Cover::of(&Purge { name: name.to_owned(), tag: Some("red".to_owned()), ..Purge::default() }).unwrap()
        };
        let (red, keys) =
            (["red".into()], ["cdn.main\0/a", "edge.city\0/a", "cdn.main.acme\0/a", "edge.city.acme\0/a\0x"]);
        for (name, tenant, wanted) in [
            ("*", "default", [true, true, false, false]),
            ("*.default", "default", [true, true, false, false]),
            ("*.acme", "acme", [false, false, true, true]),
            ("*.other", "other", [false; 4]),
            ("cdn", "default", [true, false, false, false]),
            ("edge.city.acme", "acme", [false, false, false, true]),
        ] {
            let cover = cover(name);
            assert_eq!(keys.map(|key| cover.covers(key, &red)), wanted, "{name}");
            assert_eq!(keys.map(|key| cover.covers(key, &[])), [false; 4], "{name}");
            assert!(cover.is_of(tenant) && !cover.is_of("nobody"), "{name}");
        }
        for (name, tenant, wanted) in [
            ("*", "acme", "*.acme"),
            ("*", "default", "*.default"),
            ("*.other", "acme", "*.other"),
            ("cdn", "acme", "cdn"),
        ] {
            assert_eq!(told(name.to_owned(), tenant), wanted);
        }
        for name in ["**", "*cdn", "*.a.b", "*."] {
            let purge = Purge { name: name.to_owned(), tag: Some("red".to_owned()), ..Purge::default() };
            assert!(matches!(Cover::of(&purge), Err(PurgeError::Name(..))), "{name}");
        }
    }
}
