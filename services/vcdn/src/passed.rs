//! Whom a request has passed on its way here (`CDN-Loop`, RFC 8586): whether it comes back, and whether it has come too far.
//!
//! Routers mark what they pass on, too, each once for every name. Between two surrogates there are one or several of them,
//! so they do not count: what is bounded is how many caches stand in a row. Values in, values out.

/// The members of `CDN-Loop` that were seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Passed {
    /// Surrogates, and other caches.
    pub surrogates: usize,
    /// Whether it was here before.
    pub is_back: bool,
}

// === impl Passed ===

impl Passed {
    /// Takes note of one value of the field; `me` is this surrogate.
    pub(crate) fn note(&mut self, value: &str, me: &str) {
        for member in value.split(',').map(str::trim).filter(|member| !member.is_empty()) {
            let (id, parameters) = member.split_once(';').unwrap_or((member, ""));
            let id = id.trim_end();
            self.is_back |= id == me;
            self.surrogates += usize::from(!is_router(id, parameters));
        }
    }

    /// Whether it goes no further, where `hops` surrogates may be passed.
    pub(crate) fn is_refused(self, hops: usize) -> bool {
        self.is_back || self.surrogates >= hops
    }
}

/// Whether a member was written by a router: `flame-1a2b3c4d;name=media.main`.
fn is_router(id: &str, parameters: &str) -> bool {
    let pseudonym = id.strip_prefix("flame-").unwrap_or_default();
    pseudonym.len() == 8
        && pseudonym.bytes().all(|byte| byte.is_ascii_hexdigit())
        && parameters.trim_start().starts_with("name=")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(values: &[&str]) -> (usize, bool) {
        let mut passed = Passed::default();
        values.iter().for_each(|value| passed.note(value, "vcdn-00000001"));
        (passed.surrogates, passed.is_back)
    }

    #[test]
    fn routers_between_surrogates_do_not_count_and_everybody_else_does() {
        let router = "flame-1a2b3c4d;name=media.main";
        assert_eq!(passed(&[]), (0, false));
        assert_eq!(passed(&[router, "", " , "]), (0, false));
        assert_eq!(passed(&[&format!("{router}, vcdn-00000002,{router} , other; x=1"), "third"]), (3, false));
        assert_eq!(passed(&[router, "vcdn-00000002, vcdn-00000001;x"]), (2, true));
        // What only looks like a router is none.
        assert_eq!(
            passed(&["flame-1a2b3c4d", "flame-1a2b3c4;name=a", "flame-1a2b3c4x;name=a", "vcdn;name=a"]),
            (4, false)
        );
    }

    #[test]
    fn the_last_one_that_may_be_passed_is_passed() {
        let of = |surrogates| Passed { surrogates, is_back: false };
        assert!(!of(0).is_refused(1) && !of(7).is_refused(8) && of(8).is_refused(8));
        assert!(Passed { surrogates: 1, is_back: true }.is_refused(8));
    }
}
