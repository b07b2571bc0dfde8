//! What answers have shown, and requests are kept apart by from then on: which names' answers depend on the client's language, and
//! which URLs have bodies that are longer than any that is shared.
//!
//! Both are bounded and forgotten after a time: what is not known costs a group that is split once more, never a wrong body, because
//! every head is judged anew.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderName, header};
use flame_naming::Name;
use flame_naming::identity::{Identity, Split};

/// Names that are remembered.
const NAMES_MAX: usize = 1024;
/// URLs that are remembered.
const LONG_MAX: usize = 1024;
/// For how long each of both is.
const REMEMBERED_FOR: Duration = Duration::from_secs(3600);

/// Fields that an answer may depend on, and be shared among those who agree in them. Browsers send their language with everything,
/// media too, which does not depend on it: so the last one counts only for names whose answers were seen to vary by it.
static KEYED: [HeaderName; 3] = [header::ACCEPT, header::ORIGIN, header::ACCEPT_LANGUAGE];

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Learned {
    by_language: Mutex<Noted<Name>>,
    long: Mutex<Noted<Identity>>,
}

/// What was noted, and until when it holds.
#[derive(Debug)]
struct Noted<K>(BTreeMap<K, Instant>);

// === impl Noted ===

impl<K> Default for Noted<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Clone + Ord> Noted<K> {
    /// Whether it was not known. Of `most` the one that was noted longest ago makes room.
    fn note(&mut self, key: K, most: usize, now: Instant) -> bool {
        let is_new = !self.holds(&key, now);
        if is_new && self.0.len() >= most {
            self.0.retain(|_, until| *until > now);
            let oldest = self.0.iter().min_by_key(|(_, until)| **until).map(|(key, _)| key.clone());
            if self.0.len() >= most
                && let Some(oldest) = oldest
            {
                self.0.remove(&oldest);
            }
        }
        self.0.insert(key, now + REMEMBERED_FOR);
        is_new
    }

    fn holds(&self, key: &K, now: Instant) -> bool {
        self.0.get(key).is_some_and(|until| *until > now)
    }
}

// === impl Learned ===

impl Learned {
    /// Fields that requests for `name` are kept apart by.
    pub(crate) fn keyed(&self, name: &Name, now: Instant) -> &'static [HeaderName] {
        if lock(&self.by_language).holds(name, now) { &KEYED } else { &KEYED[..2] }
    }

    /// Takes note of why an answer of `name` was not for all.
    pub(crate) fn note_split(&self, name: &Name, split: &Split, now: Instant) {
        let Split::Vary(fields) = split else { return };
        if fields.contains(&header::ACCEPT_LANGUAGE) && lock(&self.by_language).note(name.clone(), NAMES_MAX, now) {
            tracing::debug!(%name, "its answers vary by language: who asks in another one asks apart from now on");
        }
    }

    /// Takes note of a body that was longer than any that is shared.
    pub(crate) fn note_long(&self, identity: Identity, now: Instant) {
        lock(&self.long).note(identity, LONG_MAX, now);
    }

    /// Whether the body was too long not long ago.
    pub(crate) fn is_long(&self, identity: &Identity, now: Instant) -> bool {
        lock(&self.long).holds(identity, now)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, Method};
    use flame_naming::identity::{Bearer, Question, Token};

    use super::*;

    fn identity(name: &Name, path_and_query: &str, learned: &Learned) -> Identity {
        let headers = HeaderMap::from_iter([(header::ACCEPT_LANGUAGE, "de".parse().unwrap())]);
        let (method, token, bearer) = (&Method::GET, Token::Unverified, Bearer::Unverified);
        let question = Question { name, method, path_and_query, headers: &headers, token, bearer };
        Identity::of(&question, learned.keyed(name, Instant::now())).unwrap()
    }

    #[test]
    fn a_name_whose_answers_vary_by_language_is_kept_apart_by_it_and_no_other_is() {
        let (learned, now) = (Learned::default(), Instant::now());
        let names = ["media", "portal"].map(|name| name.parse::<Name>().unwrap());
        let before = names.each_ref().map(|name| identity(name, "/a", &learned));
        learned.note_split(&names[1], &Split::Vary(vec![header::USER_AGENT]), now);
        learned.note_split(&names[1], &Split::Private, now);
        assert_eq!(identity(&names[1], "/a", &learned), before[1]);
        learned.note_split(&names[1], &Split::Vary(vec![header::USER_AGENT, header::ACCEPT_LANGUAGE]), now);
        assert_eq!(identity(&names[0], "/a", &learned), before[0]);
        assert_ne!(identity(&names[1], "/a", &learned), before[1]);
        // Not for ever: a service may change.
        assert_eq!(learned.keyed(&names[1], now + REMEMBERED_FOR), &KEYED[..2]);
    }

    #[test]
    fn a_body_that_was_too_long_is_asked_for_singly_for_a_while_and_so_many_are_remembered() {
        let (learned, name, now) = (Learned::default(), "media".parse::<Name>().unwrap(), Instant::now());
        let of = |number: usize| identity(&name, &format!("/{number}"), &learned);
        let second = Duration::from_secs(1);
        learned.note_long(of(0), now);
        (1..=LONG_MAX).for_each(|number| learned.note_long(of(number), now + second));
        let are_long = |now| [0, 1, LONG_MAX].map(|number| learned.is_long(&of(number), now));
        assert_eq!(are_long(now + second), [false, true, true], "the oldest makes room");
        let later = now + second + REMEMBERED_FOR;
        assert_eq!(are_long(later), [false; 3]);
        learned.note_long(of(0), later);
        assert_eq!(are_long(later), [true, false, false]);
    }
}
