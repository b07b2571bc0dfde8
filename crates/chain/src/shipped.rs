//! The chains that come with the program, as their documents. They are in `templates/chains/`.

use std::collections::BTreeMap;

use crate::{Chain, read};

/// A chain that comes with the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shipped {
    /// Its name.
    pub name: &'static str,
    /// Its document.
    pub text: &'static str,
}

/// The chain that runs where nothing else is asked for.
pub const LADDER: &str = "ladder";

/// All of them.
pub const ALL: [Shipped; 5] = [
    Shipped { name: LADDER, text: include_str!("../../../templates/chains/ladder.yaml") },
    Shipped { name: "ladder-hevc", text: include_str!("../../../templates/chains/ladder-hevc.yaml") },
    Shipped { name: "ladder-av1", text: include_str!("../../../templates/chains/ladder-av1.yaml") },
    Shipped { name: "proxy", text: include_str!("../../../templates/chains/proxy.yaml") },
    Shipped { name: "audio-only", text: include_str!("../../../templates/chains/audio-only.yaml") },
];

/// The document of this name.
#[must_use]
pub fn find(name: &str) -> Option<Shipped> {
    ALL.into_iter().find(|shipped| shipped.name == name)
}

/// All of them, read.
#[must_use]
pub fn chains() -> Vec<Chain> {
    // A test reads them all.
    ALL.into_iter().filter_map(|shipped| read(shipped.text, &BTreeMap::new()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_chain_is_right_and_bears_its_name() {
        for shipped in ALL {
            let chain =
                read(shipped.text, &BTreeMap::new()).unwrap_or_else(|error| panic!("{}: {error}", shipped.name));
            assert_eq!(chain.name, shipped.name);
            assert!(!chain.about.is_empty() && chain.parameters.iter().all(|parameter| !parameter.about.is_empty()));
        }
        assert_eq!(chains().len(), ALL.len());
        assert_eq!(find("proxi"), None);
    }
}
