//! `<function>[.<instance>[.<tenant>]]`, under a domain or without it, and `<site>--<function>…` that pins a site.
//!
//! A pinned name is the same resource as the plain one: the site is kept apart from the [`Name`], so nothing that is
//! keyed by name can see it. Letters are lower-cased on the way in, as in DNS (RFC 4343).

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

/// The instance of a name that states none.
pub const DEFAULT_INSTANCE: &str = "main";
/// The tenant of a name that states none.
pub const DEFAULT_TENANT: &str = "default";
/// What parts the site from the function.
const PIN: &str = "--";
/// Longest label (RFC 1035 section 2.3.4).
const LABEL_MAX_BYTES: usize = 63;

/// A DNS label: 1 to 63 lower-case letters, digits and inner hyphens. Cheap to clone: every request does.
#[derive(Debug, Clone)]
pub struct Label(Text);

/// What most names have in common costs no memory and no count of who holds it.
#[derive(Debug, Clone)]
enum Text {
    Constant(&'static str),
    Shared(Arc<str>),
}

/// What is asked for: a function, one of its instances, of a tenant. Prints without domain and default tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    function: Label,
    instance: Label,
    tenant: Label,
}

/// A name, and the site that it is wanted at if that matters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Destination {
    /// What is asked for.
    pub name: Name,
    /// The pinned site.
    pub site: Option<Label>,
}

/// The parent domain of all names: one or more labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain(Box<str>);

/// A text that is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A label is empty, too long, or has other characters than letters, digits and inner hyphens.
    #[error("`{0}` is no label: 1 to 63 letters, digits and inner hyphens")]
    Label(String),
    /// More labels than function, instance and tenant.
    #[error("`{0}` has too many parts: a name is FUNCTION[.INSTANCE[.TENANT]]")]
    Parts(String),
    /// Two hyphens in a row in a function: they part a site from it.
    #[error("`{0}` has `--` in its function, which only parts a site from a function")]
    Pin(String),
    /// A site where only a name fits.
    #[error("`{0}` pins a site, which has no meaning here")]
    Pinned(String),
}

// === impl Label ===

impl Label {
    /// The text, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Constant(text) => text,
            Text::Shared(text) => text,
        }
    }

    fn constant(text: &'static str) -> Self {
        Self(Text::Constant(text))
    }
}

impl PartialEq for Label {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Label {}

impl Hash for Label {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl PartialOrd for Label {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Label {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl FromStr for Label {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let fits = (1..=LABEL_MAX_BYTES).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-');
        if !fits {
            return Err(NameError::Label(text.to_owned()));
        }
        let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        Ok(Self(Text::Shared(if is_lower { text.into() } else { text.to_ascii_lowercase().into() })))
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Name ===

impl Name {
    /// The name of an instance of a function.
    pub fn new(function: Label, instance: Label, tenant: Label) -> Result<Self, NameError> {
        if function.as_str().contains(PIN) {
            return Err(NameError::Pin(function.to_string()));
        }
        Ok(Self { function, instance, tenant })
    }

    /// What it does.
    #[must_use]
    pub fn function(&self) -> &Label {
        &self.function
    }

    /// Which of several of the same function.
    #[must_use]
    pub fn instance(&self) -> &Label {
        &self.instance
    }

    /// Whose it is.
    #[must_use]
    pub fn tenant(&self) -> &Label {
        &self.tenant
    }

    /// Appends what is printed of it: every request does.
    pub fn write_to(&self, text: &mut String) {
        self.parts().for_each(|part| text.push_str(part));
    }

    fn parts(&self) -> impl Iterator<Item = &str> {
        let own = self.tenant.as_str() != DEFAULT_TENANT;
        let tenant = [".", self.tenant.as_str()].into_iter().filter(move |_| own);
        [self.function.as_str(), ".", self.instance.as_str()].into_iter().chain(tenant)
    }
}

impl FromStr for Name {
    type Err = NameError;

    /// Reads a name without a domain.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let destination: Destination = text.parse()?;
        match destination.site {
            None => Ok(destination.name),
            Some(_) => Err(NameError::Pinned(text.to_owned())),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts().try_for_each(|part| f.write_str(part))
    }
}

// === impl Destination ===

impl FromStr for Destination {
    type Err = NameError;

    /// Reads a name without a domain, with or without a site.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let mut parts = text.split('.');
        let first = parts.next().unwrap_or_default();
        // The whole first label has to be one too: DNS sees it so.
        first.parse::<Label>()?;
        let (site, function) = match first.split_once(PIN) {
            Some((site, function)) => (Some(site.parse()?), function),
            None => (None, first),
        };
        let instance = parts.next().map_or_else(|| Ok(Label::constant(DEFAULT_INSTANCE)), str::parse)?;
        let tenant = parts.next().map_or_else(|| Ok(Label::constant(DEFAULT_TENANT)), str::parse)?;
        if parts.next().is_some() {
            return Err(NameError::Parts(text.to_owned()));
        }
        Ok(Self { name: Name::new(function.parse()?, instance, tenant)?, site })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(site) = &self.site {
            write!(f, "{site}{PIN}")?;
        }
        self.name.fmt(f)
    }
}

impl From<Name> for Destination {
    fn from(name: Name) -> Self {
        Self { name, site: None }
    }
}

// === impl Domain ===

impl Domain {
    /// The text, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the domain in `host`; `None` where `host` is not below it (also where it is the domain).
    #[must_use]
    pub fn below<'a>(&self, host: &'a str) -> Option<&'a str> {
        let at = host.len().checked_sub(self.0.len())?;
        let (front, end) = (host.get(..at)?, host.get(at..)?);
        if end.eq_ignore_ascii_case(&self.0) { front.strip_suffix('.') } else { None }
    }

    /// Reads a name that may end in this domain.
    pub fn destination(&self, text: &str) -> Result<Destination, NameError> {
        self.below(text).unwrap_or(text).parse()
    }
}

impl Default for Domain {
    fn default() -> Self {
        Self("localhost".into())
    }
}

impl FromStr for Domain {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        for label in text.split('.') {
            label.parse::<Label>()?;
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
