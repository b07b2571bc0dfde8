//! The context of a measurement: where and what the endpoint is that measured. It never decides what is measured.
//!
//! FLAME joins measurements of services, hosts and networks by these tags, so every one of them carries all of them. The
//! one table of their spellings is [`Tag::name`]; the environment variable of a tag is its name in capitals.

use std::collections::BTreeMap;

/// A tag that says where a measurement comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tag {
    /// The site of the server.
    Location,
    /// The host.
    Server,
    /// The service function chain: the template.
    Chain,
    /// The instance of the template.
    ChainInstance,
    /// The package (type) of the service function.
    Package,
    /// The instance of the service function.
    Function,
    /// The endpoint, by its name.
    Endpoint,
    /// The tenant. Ours: FLAME had none.
    Tenant,
}

/// The values of the tags at one endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    values: BTreeMap<Tag, String>,
}

// === impl Tag ===

impl Tag {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Location,
        Self::Server,
        Self::Chain,
        Self::ChainInstance,
        Self::Package,
        Self::Function,
        Self::Endpoint,
        Self::Tenant,
    ];

    /// How the tag is spelt.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Location => "flame_location",
            Self::Server => "flame_server",
            Self::Chain => "flame_sfc",
            Self::ChainInstance => "flame_sfci",
            Self::Package => "flame_sfp",
            Self::Function => "flame_sf",
            Self::Endpoint => "flame_sfe",
            Self::Tenant => "flame_tenant",
        }
    }

    /// The environment variable that says its value.
    #[must_use]
    pub fn variable(self) -> String {
        self.name().to_uppercase()
    }
}

// === impl Context ===

impl Context {
    /// What `variable` (the environment, mostly) says; tags that it is silent on are not there.
    #[must_use]
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let said = Tag::ALL.into_iter().filter_map(|tag| Some((tag, variable(&tag.variable())?)));
        Self { values: said.filter(|(_, value)| !value.is_empty()).collect() }
    }

    /// The same with a value for a tag that nothing was said of.
    #[must_use]
    pub fn or(mut self, tag: Tag, value: &str) -> Self {
        if !value.is_empty() {
            self.values.entry(tag).or_insert_with(|| value.to_owned());
        }
        self
    }

    /// The value of a tag.
    #[must_use]
    pub fn get(&self, tag: Tag) -> Option<&str> {
        self.values.get(&tag).map(String::as_str)
    }

    /// All tags that have a value.
    pub fn iter(&self) -> impl Iterator<Item = (Tag, &str)> {
        self.values.iter().map(|(tag, value)| (*tag, value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_wins_over_what_a_service_knows_of_itself() {
        let said = |name: &str| (name == "FLAME_LOCATION").then(|| "bristol-we-the-curious".to_owned());
        let context = Context::of(said).or(Tag::Location, "local").or(Tag::Chain, "flame").or(Tag::Server, "");
        let tags: Vec<_> = context.iter().map(|(tag, value)| (tag.name(), value)).collect();
        assert_eq!(tags, [("flame_location", "bristol-we-the-curious"), ("flame_sfc", "flame")]);
    }
}
