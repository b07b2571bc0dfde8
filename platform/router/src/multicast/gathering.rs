//! Who asks for the same: the first one leads, the others wait for what it gets, or share it while it comes.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// What is asked for now, by key. Cheap to clone.
pub(crate) struct Gathering<K, V>(Arc<Mutex<HashMap<K, watch::Receiver<Told<V>>>>>);

/// What one who asks is to do.
pub(crate) enum Place<K: Eq + Hash, V> {
    /// Ask, and tell the others.
    Lead(Lead<K, V>),
    /// Wait for what the leader tells.
    Follow(Follow<K, V>),
}

/// The first one. Dropped without a word, another one leads.
pub(crate) struct Lead<K: Eq + Hash, V>(Entry<K, V>);

/// One of the others.
pub(crate) struct Follow<K, V> {
    key: K,
    all: Gathering<K, V>,
    told: watch::Receiver<Told<V>>,
}

/// While this lives, who asks for the same shares what there is.
pub(crate) struct Entry<K: Eq + Hash, V> {
    key: K,
    all: Gathering<K, V>,
    tell: watch::Sender<Told<V>>,
}

/// Why there is nothing to share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nothing {
    /// Everybody has to ask by themselves.
    Alone,
    /// Whoever led went without a word: another one is to lead.
    Leaderless,
    /// Whoever led was told that nobody answers, and so are those who waited.
    Failed,
    /// Whoever led was refused, and not by all for all: those who ask otherwise have to hear it themselves.
    Refused,
}

enum Told<V> {
    /// Nothing so far.
    Wait,
    Share(V),
    Alone,
    Failed,
    Refused,
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
            return Place::Follow(Follow { key, all: self.clone(), told: told.clone() });
        }
        let (tell, told) = watch::channel(Told::Wait);
        all.insert(key.clone(), told);
        Place::Lead(Lead(Entry { key, all: self.clone(), tell }))
    }
}

impl<K: Eq + Hash, V> Gathering<K, V> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, watch::Receiver<Told<V>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody new follows that leader; those who do already, still do.
    fn close(&self, key: &K, leader: impl FnOnce(&watch::Receiver<Told<V>>) -> bool) {
        let mut all = self.lock();
        if all.get(key).is_some_and(leader) {
            all.remove(key);
        }
    }
}

// === impl Lead ===

impl<K: Eq + Hash, V> Lead<K, V> {
    /// What is asked for.
    pub(crate) fn key(&self) -> &K {
        &self.0.key
    }

    /// Tells the others what there is to share, and those who come while the entry lives.
    pub(crate) fn open(self, value: V) -> Entry<K, V> {
        self.0.tell.send_replace(Told::Share(value));
        self.0
    }

    /// Tells the others that what there is cannot be shared.
    pub(crate) fn alone(self) {
        self.0.tell.send_replace(Told::Alone);
    }

    /// Tells those who wait that nobody answers; who comes later leads.
    pub(crate) fn failed(self) {
        self.0.tell.send_replace(Told::Failed);
    }

    /// Tells those who wait that this one was refused; who comes later leads.
    pub(crate) fn refused(self) {
        self.0.tell.send_replace(Told::Refused);
    }
}

// === impl Follow ===

impl<K: Eq + Hash, V: Clone> Follow<K, V> {
    /// What there is to share.
    pub(crate) async fn shared(&mut self) -> Result<V, Nothing> {
        match &*self.told.wait_for(|told| !matches!(told, Told::Wait)).await.map_err(|_| Nothing::Leaderless)? {
            Told::Share(value) => Ok(value.clone()),
            Told::Alone => Err(Nothing::Alone),
            Told::Failed => Err(Nothing::Failed),
            Told::Refused => Err(Nothing::Refused),
            Told::Wait => unreachable!("that was waited for"),
        }
    }

    /// What there is to share takes nobody new: whoever asks next leads.
    pub(crate) fn turned_away(self) {
        self.all.close(&self.key, |told| told.same_channel(&self.told));
    }
}

// === impl Entry ===

impl<K: Eq + Hash, V> Drop for Entry<K, V> {
    fn drop(&mut self) {
        let told = self.tell.subscribe();
        self.all.close(&self.key, |entered| entered.same_channel(&told));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(place: Place<u8, u8>) -> Result<Lead<u8, u8>, Follow<u8, u8>> {
        match place {
            Place::Lead(lead) => Ok(lead),
            Place::Follow(follow) => Err(follow),
        }
    }

    fn leads(all: &Gathering<u8, u8>, key: u8) -> Lead<u8, u8> {
        place(all.ask(key)).ok().expect("one leads")
    }

    fn follows(all: &Gathering<u8, u8>, key: u8) -> Follow<u8, u8> {
        place(all.ask(key)).err().expect("one follows")
    }

    #[tokio::test]
    async fn who_comes_before_or_while_it_comes_shares_it_and_who_comes_after_leads() {
        let all = Gathering::default();
        let lead = leads(&all, 1);
        drop(leads(&all, 2));
        let mut before = follows(&all, 1);
        let entry = lead.open(7);
        let mut during = follows(&all, 1);
        assert_eq!((before.shared().await, during.shared().await), (Ok(7), Ok(7)));
        drop(entry);
        leads(&all, 1).alone();
    }

    #[tokio::test]
    async fn where_there_is_nothing_to_share_everybody_is_told() {
        let all = Gathering::default();
        let lead = leads(&all, 1);
        let mut one = follows(&all, 1);
        lead.alone();
        assert_eq!(one.shared().await, Err(Nothing::Alone));
        leads(&all, 1).alone();
    }

    #[tokio::test]
    async fn who_waited_for_what_failed_is_told_and_who_comes_then_tries_again() {
        let all = Gathering::default();
        let lead = leads(&all, 1);
        let mut one = follows(&all, 1);
        lead.failed();
        assert_eq!(one.shared().await, Err(Nothing::Failed));
        leads(&all, 1).alone();
    }

    #[tokio::test]
    async fn when_the_leader_goes_without_a_word_one_of_the_others_leads() {
        let all = Gathering::default();
        let lead = leads(&all, 1);
        let (mut one, mut other) = (follows(&all, 1), follows(&all, 1));
        drop(lead);
        assert_eq!((one.shared().await, other.shared().await), (Err(Nothing::Leaderless), Err(Nothing::Leaderless)));
        let _next = leads(&all, 1);
        follows(&all, 1);
    }

    #[tokio::test]
    async fn who_is_turned_away_leads_and_the_end_of_the_first_is_not_the_end_of_the_second() {
        let all = Gathering::default();
        let first = leads(&all, 1).open(7);
        follows(&all, 1).turned_away();
        let second = leads(&all, 1);
        drop(first);
        let mut late = follows(&all, 1);
        let _second = second.open(8);
        assert_eq!(late.shared().await, Ok(8));
    }
}
