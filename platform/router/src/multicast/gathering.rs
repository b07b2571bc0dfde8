//! Who asks for the same: the first one leads, the others wait for what it gets, or share it while it comes.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// What is asked for now, by key. Cheap to clone.
pub(crate) struct Gathering<K, V>(Arc<Mutex<HashMap<K, watch::Receiver<Option<V>>>>>);

/// What one who asks is to do.
pub(crate) enum Place<K: Eq + Hash, V> {
    /// Ask, and tell the others.
    Lead(Lead<K, V>),
    /// Wait for what the leader tells.
    Follow(Follow<V>),
}

/// The first one. Dropped without a word, everybody asks by themselves.
pub(crate) struct Lead<K: Eq + Hash, V> {
    tell: watch::Sender<Option<V>>,
    entry: Entry<K, V>,
}

/// One of the others.
pub(crate) struct Follow<V>(watch::Receiver<Option<V>>);

/// While this lives, who asks for the same shares what there is.
pub(crate) struct Entry<K: Eq + Hash, V> {
    key: Option<K>,
    all: Gathering<K, V>,
    told: Option<watch::Sender<Option<V>>>,
}

// === impl Gathering ===

impl<K, V> Clone for Gathering<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, V> Default for Gathering<K, V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Clone + Eq + Hash, V> Gathering<K, V> {
    /// Takes one who asks.
    pub(crate) fn ask(&self, key: K) -> Place<K, V> {
        let mut all = self.lock();
        if let Some(told) = all.get(&key) {
            return Place::Follow(Follow(told.clone()));
        }
        let (tell, told) = watch::channel(None);
        all.insert(key.clone(), told);
        Place::Lead(Lead { tell, entry: Entry { key: Some(key), all: self.clone(), told: None } })
    }
}

impl<K, V> Gathering<K, V> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, watch::Receiver<Option<V>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Lead ===

impl<K: Eq + Hash, V> Lead<K, V> {
    /// Tells the others what there is to share, and those who come while the entry lives.
    pub(crate) fn open(self, value: V) -> Entry<K, V> {
        let Self { tell, mut entry } = self;
        tell.send_replace(Some(value));
        entry.told = Some(tell);
        entry
    }
}

// === impl Follow ===

impl<V: Clone> Follow<V> {
    /// What there is to share; `None` where everybody has to ask by themselves.
    pub(crate) async fn shared(mut self) -> Option<V> {
        self.0.wait_for(Option::is_some).await.ok()?.clone()
    }
}

impl<K: Eq + Hash, V> Drop for Entry<K, V> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.all.lock().remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(place: Place<u8, u8>) -> Result<Lead<u8, u8>, Follow<u8>> {
        match place {
            Place::Lead(lead) => Ok(lead),
            Place::Follow(follow) => Err(follow),
        }
    }

    #[tokio::test]
    async fn who_comes_before_or_while_it_comes_shares_it_and_who_comes_after_leads() {
        let all: Gathering<u8, u8> = Gathering::default();
        let lead = place(all.ask(1)).ok().expect("the first one leads");
        assert!(place(all.ask(2)).is_ok(), "another key is another thing");
        let before = place(all.ask(1)).err().expect("the second one follows");
        let entry = lead.open(7);
        let during = place(all.ask(1)).err().expect("it is still coming");
        assert_eq!((before.shared().await, during.shared().await), (Some(7), Some(7)));
        drop(entry);
        assert!(place(all.ask(1)).is_ok(), "it is over");
    }

    #[tokio::test]
    async fn when_the_leader_gets_nothing_to_share_everybody_is_told() {
        let all: Gathering<u8, u8> = Gathering::default();
        let lead = place(all.ask(1)).ok().expect("the first one leads");
        let follows = place(all.ask(1)).err().expect("the second one follows");
        drop(lead);
        assert_eq!(follows.shared().await, None);
        assert!(place(all.ask(1)).is_ok());
    }
}
