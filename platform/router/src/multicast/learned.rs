//! What answers have shown, and requests are kept apart by from then on: which names' answers depend on the client's language, and
//! which URLs have bodies that are longer than any that is shared.
//!
//! Both are bounded, and forgotten with the process: what is not known costs a group that is split once more, never a wrong body,
//! because every head is judged anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderName, header};
use flame_naming::Name;
use flame_naming::identity::{Identity, Split};

/// Names that are remembered.
const NAMES_MAX: usize = 1024;
/// URLs that are remembered.
const LONG_MAX: usize = 256;
/// For how long.
const LONG_FOR: Duration = Duration::from_secs(10);

/// Fields that an answer may depend on, and be shared among those who agree in them. Browsers send their language with everything,
/// media too, which does not depend on it: so the last one counts only for names whose answers were seen to vary by it.
static KEYED: [HeaderName; 3] = [header::ACCEPT, header::ORIGIN, header::ACCEPT_LANGUAGE];

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Learned {
    by_language: Mutex<BTreeSet<Name>>,
    long: Mutex<BTreeMap<Identity, Instant>>,
}

// === impl Learned ===

impl Learned {
    /// Fields that requests for `name` are kept apart by.
    pub(crate) fn keyed(&self, name: &Name) -> &'static [HeaderName] {
        if lock(&self.by_language).contains(name) { &KEYED } else { &KEYED[..2] }
    }

    /// Takes note of why an answer of `name` was not for all.
    pub(crate) fn note_split(&self, name: &Name, split: &Split) {
        let Split::Vary(fields) = split else { return };
        let mut names = lock(&self.by_language);
        if fields.contains(&header::ACCEPT_LANGUAGE) && names.len() < NAMES_MAX && names.insert(name.clone()) {
            tracing::debug!(%name, "its answers vary by language: who asks in another one asks apart from now on");
        }
    }

    /// Takes note of a body that was longer than any that is shared.
    pub(crate) fn note_long(&self, identity: Identity, now: Instant) {
        let mut long = lock(&self.long);
        long.retain(|_, until| *until > now);
        if long.len() < LONG_MAX {
            long.insert(identity, now + LONG_FOR);
        }
    }

    /// Whether the body was too long not long ago.
    pub(crate) fn is_long(&self, identity: &Identity, now: Instant) -> bool {
        lock(&self.long).get(identity).is_some_and(|until| *until > now)
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
        Identity::of(&question, learned.keyed(name)).unwrap()
    }

    #[test]
    fn a_name_whose_answers_vary_by_language_is_kept_apart_by_it_and_no_other_is() {
        let (learned, names) = (Learned::default(), ["media", "portal"].map(|name| name.parse::<Name>().unwrap()));
        let before = names.each_ref().map(|name| identity(name, "/a", &learned));
        learned.note_split(&names[1], &Split::Vary(vec![header::USER_AGENT]));
        learned.note_split(&names[1], &Split::Private);
        assert_eq!(identity(&names[1], "/a", &learned), before[1]);
        learned.note_split(&names[1], &Split::Vary(vec![header::USER_AGENT, header::ACCEPT_LANGUAGE]));
        assert_eq!(identity(&names[0], "/a", &learned), before[0]);
        assert_ne!(identity(&names[1], "/a", &learned), before[1]);
    }

    #[test]
    fn a_body_that_was_too_long_is_asked_for_singly_for_a_while_and_so_many_are_remembered() {
        let (learned, name, now) = (Learned::default(), "media".parse::<Name>().unwrap(), Instant::now());
        let of = |number: usize| identity(&name, &format!("/{number}"), &learned);
        (0..=LONG_MAX).for_each(|number| learned.note_long(of(number), now));
        let are_long = |now| [0, LONG_MAX - 1, LONG_MAX].map(|number| learned.is_long(&of(number), now));
        assert_eq!(are_long(now), [true, true, false]);
        let later = now + LONG_FOR;
        assert_eq!(are_long(later), [false; 3]);
        learned.note_long(of(LONG_MAX), later);
        assert_eq!(are_long(later), [false, false, true]);
    }
}
