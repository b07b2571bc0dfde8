//! Who says how they fare, each once a window and an address for a few at most: so neither one player that is badly off nor one machine
//! that makes sessions up decides for everybody. Values in, values out; bounded.
//!
//! Players are anonymous: a session is what somebody calls himself. What cannot be made up as easily is the address that he speaks from, so
//! that is what his weight is bounded by ([`speaker`]). Held are numbers that nobody can make sessions or addresses of again, and none for
//! longer than the window.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};

use http::{HeaderMap, HeaderName};

/// Sessions that are told apart in a window; what comes beyond is not counted.
const SESSIONS_MAX: usize = 8_192;
/// Sessions that one address may speak for in a window, where nothing else is said: a household. Heard twice,
/// they are still fewer than what steering listens to.
pub const OF_AN_ADDRESS: u32 = 4;
/// What a router says of where a request comes from.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Bits of an IPv6 address that name a subscriber; within them he chooses himself (RFC 6177).
const SUBSCRIBER_BITS: u32 = 64;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speaker<'a> {
    /// What the session calls itself; one that does not is whoever speaks from the address.
    pub session: Option<&'a str>,
    /// Where it speaks from; all of whom that is not known share one place.
    pub address: Option<IpAddr>,
}

/// Those who spoke.
#[derive(Debug)]
pub struct Voices {
    of_an_address: u32,
    /// When the window began.
    began_ms: u64,
    /// Whether it has complained, by the session.
    heard: HashMap<u64, bool>,
    /// How many sessions have spoken from there, by the address.
    addresses: HashMap<u64, u32>,
    digest: RandomState,
    sessions: u64,
    complaining: u64,
}

/// Where a report comes from: what the router in front says, where `peer` may be one, else `peer`.
///
/// It is good for weighing what is said and for nothing else: whoever is within (loopback, private addresses) and asks without a router can
/// write into the field what he likes.
#[must_use]
pub fn speaker(headers: &HeaderMap, peer: Option<IpAddr>) -> Option<IpAddr> {
    let told = headers.get(FORWARDED_FOR).and_then(|value| value.to_str().ok()?.trim().parse::<IpAddr>().ok());
    let told = told.filter(|_| peer.is_none_or(|peer| is_within(peer.to_canonical())));
    told.or(peer).map(|address| address.to_canonical())
}

/// Whether a router of this system may have this address.
fn is_within(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_private() || address.is_link_local(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local(),
    }
}

/// What of an address its owner does not choose himself.
fn subscriber(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> SUBSCRIBER_BITS << SUBSCRIBER_BITS).into(),
    }
}

// === impl Voices ===

impl Default for Voices {
    fn default() -> Self {
        Self::new(OF_AN_ADDRESS)
    }
}

impl Voices {
    /// Nobody has spoken yet; of one address `of_an_address` sessions count in a window, at least one.
    #[must_use]
    pub fn new(of_an_address: u32) -> Self {
        Self {
            // With none nobody would be heard, and addresses would be held without a bound.
            of_an_address: of_an_address.max(1),
            began_ms: 0,
            heard: HashMap::new(),
            addresses: HashMap::new(),
            digest: RandomState::new(),
            sessions: 0,
            complaining: 0,
        }
    }

    /// Somebody says how he fares, at `now_ms` of a clock that does not go back; a window lasts `window_ms`.
    pub fn hear(&mut self, now_ms: u64, window_ms: u64, speaker: Speaker<'_>, complains: bool) {
        if now_ms.saturating_sub(self.began_ms) >= window_ms {
            self.began_ms = now_ms;
            self.heard.clear();
            self.addresses.clear();
        }
        let address = speaker.address.map(subscriber);
        let session = match speaker.session {
            Some(session) => self.number_of(("session", session)),
            None => self.number_of(("address", address)),
        };
        if let Some(has_complained) = self.heard.get_mut(&session) {
            self.complaining += u64::from(complains && !*has_complained);
            *has_complained |= complains;
            return;
        }
        if self.heard.len() >= SESSIONS_MAX {
            return;
        }
        let address = self.number_of(address);
        let spoken = self.addresses.entry(address).or_default();
        if *spoken >= self.of_an_address {
            return;
        }
        *spoken += 1;
        self.heard.insert(session, complains);
        self.sessions += 1;
        self.complaining += u64::from(complains);
    }

    fn number_of(&self, what: impl Hash) -> u64 {
        self.digest.hash_one(what)
    }

    /// Sessions that were heard in all windows, and those of them that complained.
    #[must_use]
    pub fn counted(&self) -> (u64, u64) {
        (self.sessions, self.complaining)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW_MS: u64 = 1_000;

    fn from(address: u32, session: &str) -> Speaker<'_> {
        Speaker { session: Some(session), address: Some(IpAddr::V4(address.into())) }
    }

    #[test]
    fn a_session_counts_once_a_window_however_often_it_speaks() {
        let mut voices = Voices::default();
        for second in 0..3 {
            for at in 0..20 {
                voices.hear(second * WINDOW_MS + at, WINDOW_MS, from(1, "one"), at > 10);
                voices.hear(second * WINDOW_MS + at, WINDOW_MS, from(1, "other"), false);
            }
            assert_eq!(voices.counted(), (2 * (second + 1), second + 1));
        }
        let nameless = |address: u32| Speaker { session: None, address: Some(IpAddr::V4(address.into())) };
        for address in [7, 7, 8] {
            voices.hear(3 * WINDOW_MS, WINDOW_MS, nameless(address), true);
        }
        assert_eq!(voices.counted(), (8, 5), "who says no name is the address that he speaks from");
    }

    #[test]
    fn whoever_makes_sessions_up_weighs_as_much_as_one_household() {
        let mut voices = Voices::default();
        for number in 0..5_000 {
            voices.hear(0, WINDOW_MS, from(1, &format!("made up {number}")), true);
        }
        for address in 2..102 {
            voices.hear(1, WINDOW_MS, from(address, &format!("of {address}")), false);
        }
        assert_eq!(voices.counted(), (u64::from(OF_AN_ADDRESS) + 100, u64::from(OF_AN_ADDRESS)));
        // In the next window it is no other, and in IPv6 not by taking another address of the same subscriber.
        for number in 0..5_000_u128 {
            let address = Some(IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8 << 96) | number)));
            let session = format!("made up {number}");
            voices.hear(WINDOW_MS, WINDOW_MS, Speaker { session: Some(&session), address }, true);
        }
        assert_eq!(voices.counted().1, 2 * u64::from(OF_AN_ADDRESS));
    }

    #[test]
    fn so_many_are_told_apart_and_no_more() {
        let mut voices = Voices::default();
        let sessions = 2 * u32::try_from(SESSIONS_MAX).unwrap();
        (0..sessions).for_each(|number| voices.hear(0, WINDOW_MS, from(number, &number.to_string()), true));
        assert_eq!((voices.heard.len(), voices.counted().0), (SESSIONS_MAX, SESSIONS_MAX as u64));
        assert!(voices.addresses.len() <= SESSIONS_MAX);
        voices.hear(WINDOW_MS, WINDOW_MS, from(1, "one"), true);
        assert_eq!((voices.heard.len(), voices.addresses.len()), (1, 1));
        // Also where nobody was to be heard.
        let mut none = Voices::new(0);
        (0..sessions).for_each(|number| none.hear(0, WINDOW_MS, from(number, &number.to_string()), true));
        assert_eq!((none.heard.len(), none.addresses.len()), (SESSIONS_MAX, SESSIONS_MAX));
    }

    #[test]
    fn a_router_within_says_where_a_report_comes_from_and_nobody_else_does() {
        let said = |text: &str| [(FORWARDED_FOR, text.parse().unwrap())].into_iter().collect::<HeaderMap>();
        let address = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        let viewer = said("203.0.113.7");
        for router in ["127.0.0.1", "10.0.0.2", "172.18.0.3", "::1", "::ffff:192.168.0.1", "fd00::1"] {
            assert_eq!(speaker(&viewer, address(router)), address("203.0.113.7"), "{router}");
        }
        assert_eq!(speaker(&viewer, address("198.51.100.1")), address("198.51.100.1"), "he says it himself");
        assert_eq!(speaker(&said("nobody"), address("127.0.0.1")), address("127.0.0.1"));
        assert_eq!(speaker(&said("::ffff:203.0.113.7"), None), address("203.0.113.7"));
        assert_eq!(speaker(&HeaderMap::new(), None), None);
    }

    proptest! {
        /// Whatever is said by whom, what one address adds to a window is bounded, and so is what is held.
        #[test]
        fn no_address_adds_more_than_its_share(
            said in prop::collection::vec((0_u32..4, 0_u32..40, any::<bool>(), 0_u64..300), 0..400),
            of_an_address in 1_u32..6,
        ) {
            let mut voices = Voices::new(of_an_address);
            let (mut now_ms, mut windows) = (0, 1);
            for (address, session, complains, later_ms) in said {
                now_ms += later_ms;
                let began_ms = voices.began_ms;
                voices.hear(now_ms, WINDOW_MS, from(address, &format!("{address} {session}")), complains);
                windows += u64::from(voices.began_ms != began_ms);
                prop_assert!(voices.heard.len() <= 4 * of_an_address as usize);
                prop_assert!(voices.addresses.values().all(|spoken| *spoken <= of_an_address));
            }
            let (sessions, complaining) = voices.counted();
            prop_assert!(complaining <= sessions && sessions <= windows * 4 * u64::from(of_an_address));
        }
    }
}
