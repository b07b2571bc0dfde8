//! Journal and replica under a network that loses, repeats and reorders.

use std::collections::BTreeMap;

use flame_naming::peers::{Applied, Changes, Journal, Key, Message, Replica, Stamp};
use proptest::prelude::*;

/// Registrations in the tests are numbers: the protocol never looks into them.
type Entries = BTreeMap<Key, u32>;

fn key(n: u8) -> Key {
    Key { name: format!("f{}", n % 3).parse().unwrap(), endpoint: format!("e{}", n / 3).parse().unwrap() }
}

fn entries() -> impl Strategy<Value = Entries> {
    proptest::collection::btree_map((0..9_u8).prop_map(key), 0..4_u32, 0..9)
}

/// An owner's life: states one after the other, some of them after a restart.
fn life() -> impl Strategy<Value = Vec<(bool, Entries)>> {
    proptest::collection::vec((proptest::bool::weighted(0.15), entries()), 1..12)
}

/// All that an owner might have said on its way, to peers that were anywhere: and its journal at the end.
fn said(life: &[(bool, Entries)]) -> (Vec<Message<u32>>, Journal<u32>) {
    let mut journal = Journal::new(1);
    let mut messages = vec![Message::Alive { stamp: journal.stamp() }];
    for (restarts, state) in life {
        if *restarts {
            journal = Journal::new(journal.stamp().incarnation + 1);
        }
        journal.update(state.clone());
        let Stamp { incarnation, version } = journal.stamp();
        messages.extend(journal.since(None));
        messages.extend((0..version).filter_map(|version| journal.since(Some(Stamp { incarnation, version }))));
        messages.push(Message::Alive { stamp: journal.stamp() });
    }
    (messages, journal)
}

fn state(journal: &Journal<u32>) -> Entries {
    match journal.since(None) {
        Some(Message::Full { entries, .. }) => entries,
        other => panic!("who has nothing gets everything: {other:?}"),
    }
}

fn with(mut entries: Entries, changes: &Changes<u32>) -> Entries {
    for (key, value) in changes {
        match value {
            Some(value) => entries.insert(key.clone(), *value),
            None => entries.remove(key),
        };
    }
    entries
}

proptest! {
    #[test]
    fn any_order_with_loss_and_repetition_ends_right_after_the_whole_state(
        life in life(),
        picks in proptest::collection::vec(any::<prop::sample::Index>(), 0..60),
    ) {
        let (messages, journal) = said(&life);
        let mut replica = Replica::new(usize::MAX);
        let mut told = Entries::new();
        let mut stamp = None;
        for pick in &picks {
            let message = pick.get(&messages).clone();
            let at = replica.stamp();
            match replica.apply(message) {
                Applied::Newer(changes) => {
                    told = with(told, &changes);
                    prop_assert!(replica.stamp() > at);
                }
                Applied::Old | Applied::Gap => prop_assert_eq!(replica.stamp(), at),
                Applied::TooMany { .. } => prop_assert!(false, "there is no limit"),
            }
            // It never goes back, and what it told its user is what it knows.
            prop_assert!(replica.stamp() >= stamp);
            stamp = replica.stamp();
            prop_assert_eq!(&told, replica.entries());
        }
        replica.apply(journal.since(None).unwrap());
        prop_assert_eq!(replica.entries(), &state(&journal));
        prop_assert_eq!(replica.stamp(), Some(journal.stamp()));
    }

    #[test]
    fn a_replica_is_at_every_moment_some_state_that_its_owner_was_in(
        life in life(),
        picks in proptest::collection::vec(any::<prop::sample::Index>(), 0..60),
    ) {
        let (messages, _) = said(&life);
        let states: BTreeMap<Stamp, Entries> = messages.iter().filter_map(|message| match message {
            Message::Full { stamp, entries } => Some((*stamp, entries.clone())),
            Message::Delta { .. } | Message::Alive { .. } => None,
        }).collect();
        let mut replica = Replica::new(usize::MAX);
        for pick in &picks {
            replica.apply(pick.get(&messages).clone());
            if let Some(stamp) = replica.stamp() {
                prop_assert_eq!(replica.entries(), &states[&stamp]);
            }
        }
    }

    #[test]
    fn who_hears_every_change_in_order_never_needs_the_whole_state_again(life in life()) {
        let mut journal = Journal::new(7);
        let mut replica = Replica::new(usize::MAX);
        replica.apply(journal.since(None).unwrap());
        for (_, state) in &life {
            let changed = journal.update(state.clone());
            let message = journal.since(replica.stamp());
            prop_assert_eq!(message.is_some(), changed);
            if let Some(message) = message {
                let is_delta = matches!(message, Message::Delta { .. });
                prop_assert!(is_delta);
                let is_newer = matches!(replica.apply(message), Applied::Newer(_));
                prop_assert!(is_newer);
            }
            prop_assert_eq!(replica.entries(), state);
        }
    }
}

#[test]
fn a_missing_change_is_noticed_by_the_next_one_and_by_a_sign_of_life() {
    let mut journal = Journal::new(1);
    let mut replica = Replica::new(10);
    assert_eq!(replica.apply(Message::Alive { stamp: journal.stamp() }), Applied::Gap);
    replica.apply(journal.since(None).unwrap());
    journal.update(Entries::from([(key(0), 1)]));
    let lost = journal.stamp();
    assert_eq!(replica.apply(Message::Alive { stamp: lost }), Applied::Gap);
    journal.update(Entries::from([(key(0), 2)]));
    assert_eq!(replica.apply(journal.since(Some(lost)).unwrap()), Applied::Gap);
    assert!(replica.entries().is_empty());
}

#[test]
fn an_owner_whose_clock_went_back_is_believed_in_a_new_conversation_only() {
    let (late, mut early) = (Journal::<u32>::new(2000), Journal::new(1000));
    early.update(Entries::from([(key(0), 1)]));
    let mut replica = Replica::new(10);
    replica.apply(late.since(None).unwrap());
    assert_eq!(replica.apply(early.since(None).unwrap()), Applied::Old);
    replica.begin_anew();
    assert!(matches!(replica.apply(early.since(None).unwrap()), Applied::Newer(_)));
    assert_eq!(replica.entries().len(), 1);
}

#[test]
fn a_replica_takes_no_more_than_it_may() {
    let mut journal = Journal::new(1);
    let mut replica = Replica::new(2);
    replica.apply(journal.since(None).unwrap());
    let three: Entries = (0..3).map(|n| (key(n), 0)).collect();
    journal.update(three);
    assert_eq!(replica.apply(journal.since(replica.stamp()).unwrap()), Applied::TooMany { limit: 2 });
    assert!(replica.entries().is_empty());
    assert_eq!(replica.apply(journal.since(None).unwrap()), Applied::TooMany { limit: 2 });
}

#[test]
fn a_journal_forgets_old_changes_and_then_sends_everything() {
    let mut journal = Journal::new(1);
    let begin = journal.stamp();
    for n in 0..5000_u32 {
        journal.update(Entries::from([(key(0), n)]));
    }
    assert!(matches!(journal.since(Some(begin)), Some(Message::Full { .. })));
    let recent = Stamp { version: 4990, ..journal.stamp() };
    assert!(matches!(journal.since(Some(recent)), Some(Message::Delta { after: 4990, .. })));
    assert_eq!(journal.since(Some(journal.stamp())), None);
}
