//! Whose datagram it is: all sessions share one port. Pure.
//!
//! A session is found by the name in the first messages that a peer sends to each address (ICE's username fragment, RFC 8445 section
//! 7.1.1), and by that address afterwards. A name is believed only where the message is sealed with the secret of its session: who sends
//! in the name of another address moves nothing. That decides nothing but who looks at a datagram: the session itself believes none
//! that is not sealed with its secrets.

use std::collections::HashMap;
use std::net::SocketAddr;

/// Addresses that one peer sends from: its interfaces, and those of relays in front of it.
const ADDRESSES_MAX: usize = 16;

/// Who gets what.
#[derive(Debug)]
pub struct Table<T> {
    by_name: HashMap<String, Entry<T>>,
    by_address: HashMap<SocketAddr, String>,
}

#[derive(Debug)]
struct Entry<T> {
    receiver: T,
    addresses: Vec<SocketAddr>,
}

// === impl Table ===

impl<T> Table<T> {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// What names `name` goes to `receiver` from now on.
    pub fn insert(&mut self, name: String, receiver: T) {
        self.remove(&name);
        self.by_name.insert(name, Entry { receiver, addresses: Vec::new() });
    }

    /// Forgets a session and where its peer is.
    pub fn remove(&mut self, name: &str) -> Option<T> {
        let entry = self.by_name.remove(name)?;
        for address in &entry.addresses {
            self.by_address.remove(address);
        }
        Some(entry.receiver)
    }

    /// All of them.
    pub fn receivers(&self) -> impl Iterator<Item = &T> {
        self.by_name.values().map(|entry| &entry.receiver)
    }

    /// Who is to look at a datagram from `address`; `named` reads the name in it, if it has one, and `is_sealed` says whether it
    /// is sealed with the secret of the one that has this name.
    pub fn find(
        &mut self,
        address: SocketAddr,
        named: impl FnOnce() -> Option<String>,
        is_sealed: impl FnOnce(&T) -> bool,
    ) -> Option<&T> {
        if let Some(name) = self.by_address.get(&address) {
            // A browser may begin another session from the same address: then it says so.
            if let Some(other) = named().filter(|other| other != name) {
                return self.learn(address, other, is_sealed);
            }
            return self.by_name.get(name).map(|entry| &entry.receiver);
        }
        self.learn(address, named()?, is_sealed)
    }

    fn learn(&mut self, address: SocketAddr, name: String, is_sealed: impl FnOnce(&T) -> bool) -> Option<&T> {
        let entry = self.by_name.get_mut(&name)?;
        if entry.addresses.len() >= ADDRESSES_MAX || !is_sealed(&entry.receiver) {
            return None;
        }
        entry.addresses.push(address);
        if let Some(before) = self.by_address.insert(address, name.clone())
            && let Some(entry) = self.by_name.get_mut(&before)
        {
            entry.addresses.retain(|own| *own != address);
        }
        self.by_name.get(&name).map(|entry| &entry.receiver)
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { by_name: HashMap::new(), by_address: HashMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn named(name: &str) -> impl FnOnce() -> Option<String> + use<> {
        let name = name.to_owned();
        move || Some(name)
    }

    #[test]
    fn a_session_is_found_by_its_name_and_then_by_where_its_peer_is() {
        let mut table = Table::default();
        table.insert("one".to_owned(), 1);
        table.insert("two".to_owned(), 2);
        assert_eq!(table.find(address(1), || None, |_| true), None, "it has not said who it is");
        assert_eq!(table.find(address(1), named("one"), |_| true), Some(&1));
        assert_eq!(table.find(address(1), || None, |_| true), Some(&1));
        assert_eq!(table.find(address(2), named("nobody"), |_| true), None);
        // Somebody who only knows the other name.
        assert_eq!(table.find(address(1), named("two"), |_| false), None);
        assert_eq!(table.find(address(1), || None, |_| true), Some(&1), "it goes on with its own");
        assert_eq!(table.find(address(3), named("two"), |_| false), None);
        // The same browser, another session.
        assert_eq!(table.find(address(1), named("two"), |_| true), Some(&2));
        assert_eq!(table.find(address(1), || None, |_| true), Some(&2));
        // The end of the first one does not take away what is the second one's.
        assert_eq!(table.remove("one"), Some(1));
        assert_eq!(table.find(address(1), || None, |_| true), Some(&2));
        assert_eq!(table.remove("two"), Some(2));
        assert_eq!(table.find(address(1), || None, |_| true), None);
        assert!(table.is_empty() && table.by_address.is_empty());
    }

    #[test]
    fn who_knows_a_name_cannot_make_it_grow() {
        let mut table = Table::default();
        table.insert("one".to_owned(), 1);
        let found = (1..1000).filter(|port| table.find(address(*port), named("one"), |_| true).is_some()).count();
        assert_eq!((found, table.by_address.len()), (ADDRESSES_MAX, ADDRESSES_MAX));
        assert_eq!(table.len(), 1);
    }
}
