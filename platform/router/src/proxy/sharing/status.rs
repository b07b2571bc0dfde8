//! How an answer came that this router shared, in `Cache-Status` (RFC 9211): who looks with curl at an answer sees each router that it
//! was shared at, from the origin's on, before the surrogates.
//!
//! Only what was shared bears it: a router keeps nothing, so of all other answers there is nothing to say. It shows what the trace of a
//! search shows, sites and never addresses; where `[search] trace` is off, not even these.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use flame_naming::Label;
use flame_naming::identity::list;

use super::super::Parties;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// What the name of a router begins with that says where it is.
const NAMED: &str = "router-";

/// How an answer came to one who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    /// Another request was waited for.
    is_collapsed: bool,
    /// Nobody answered where it was asked for first.
    is_searched: bool,
}

// === impl Way ===

impl Way {
    /// It was asked for by this request.
    pub(super) const ALONE: Self = Self { is_collapsed: false, is_searched: false };
    /// It was asked for by another one.
    pub(super) const COLLAPSED: Self = Self { is_collapsed: true, is_searched: false };

    /// The same, found in a search.
    pub(super) const fn searched(self) -> Self {
        Self { is_searched: true, ..self }
    }

    /// As a member of the list, by the router of `site`, or by one that does not say where it is.
    fn text(self, site: Option<&Label>, pseudonym: &str) -> String {
        let by = site.map_or_else(|| pseudonym.to_owned(), |site| format!("{NAMED}{site}"));
        let collapsed = if self.is_collapsed { "; collapsed" } else { "" };
        let detail = if self.is_searched { "searched" } else { "multicast" };
        format!("{by}; fwd=miss{collapsed}; detail={detail}")
    }
}

// === impl Parties ===

impl Parties {
    /// Adds how it came to what an answer says of its way.
    pub(super) fn say_way(&self, headers: &mut HeaderMap, way: Way) {
        let site = self.searches.shows_sites().then(|| self.registry.site());
        if site.is_none() {
            hide_sites(headers);
        }
        let text = way.text(site.as_ref(), self.via.pseudonym());
        headers.append(CACHE_STATUS, HeaderValue::from_str(&text).expect("letters, digits and signs"));
    }
}

/// Takes out what the routers of other sites have said, each a member of a list; and what is no such list.
pub(crate) fn hide_sites(headers: &mut HeaderMap) {
    let said: Vec<HeaderValue> = headers.get_all(CACHE_STATUS).iter().cloned().collect();
    headers.remove(CACHE_STATUS);
    for line in said.iter().filter_map(|line| line.to_str().ok()) {
        let left: Vec<_> = list::members(line).filter(|member| !member.starts_with(NAMED)).collect();
        if !left.is_empty()
            && let Ok(left) = HeaderValue::from_str(&left.join(", "))
        {
            headers.append(CACHE_STATUS, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use sfv::{List, Parser};

    use super::*;

    #[test]
    fn a_way_is_a_member_of_a_list_and_names_its_site_only_where_that_may_be_shown() {
        let site: Label = "edge".parse().unwrap();
        for (way, expected) in [
            (Way::ALONE, "; fwd=miss; detail=multicast"),
            (Way::COLLAPSED, "; fwd=miss; collapsed; detail=multicast"),
            (Way::ALONE.searched(), "; fwd=miss; detail=searched"),
        ] {
            for (site, by) in [(Some(&site), "router-edge"), (None, "flame-1")] {
                let text = way.text(site, "flame-1");
                assert_eq!(text, format!("{by}{expected}"));
                assert_eq!(Parser::new(&text).parse::<List>().unwrap().len(), 1);
            }
        }
    }

    #[test]
    fn where_sites_are_not_shown_those_of_others_are_not_either() {
        let lines = [
            "router-origin; fwd=miss; detail=multicast",
            "vcdn-1; hit; key=\"a, router-b\", router-west; fwd=miss,router-east; fwd=miss",
            "flame-2; fwd=miss",
        ];
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CACHE_STATUS, HeaderValue::from_static(line));
        }
        hide_sites(&mut headers);
        let left: Vec<_> = headers.get_all(CACHE_STATUS).iter().collect();
        assert_eq!(left, ["vcdn-1; hit; key=\"a, router-b\"", "flame-2; fwd=miss"]);
    }
}
