//! Single decisions of the group: what is sent for which loss, and what becomes of those who lose or are slow.

use super::*;

#[test]
fn the_cheapest_way_is_taken() {
    let now = Moment::default();
    let lost = |symbols: &[u32]| {
        let missing: SymbolSet = symbols.iter().copied().collect();
        Lack { missing, short: missing.len() }
    };
    let after = |reports: &[&[u32]]| {
        let mut group = Group::new(Rules::default());
        let ids: Vec<MemberId> = (0..reports.len() as u64).map(MemberId).collect();
        ids.iter().for_each(|id| group.join(*id, true, now).expect("there is room"));
        let (block, acts) = group.block(100, now);
        assert_eq!(acts, [Act::Source { block }]);
        assert_eq!(group.aired(block, now).len(), ids.len(), "everybody is asked");
        let acts: Vec<Act> = ids
            .iter()
            .zip(reports)
            .flat_map(|(id, report)| {
                if report.is_empty() {
                    group.has(*id, block, now)
                } else {
                    group.lacks(*id, block, 0, lost(report), now)
                }
            })
            .collect();
        acts
    };
    assert_eq!(after(&[&[], &[]]), []);
    let singly = Act::Unicast { member: MemberId(1), block: 0, symbols: [4].into_iter().collect() };
    assert_eq!(after(&[&[], &[4]]), [singly], "one member's loss is its own");
    let again = Act::Resend { block: 0, symbols: [4, 5].into_iter().collect() };
    assert_eq!(after(&[&[4, 5], &[4, 5], &[4]]), [again], "the same loss is repeated as it is");
    let repair = Act::Repair { block: 0, count: 3 };
    assert_eq!(after(&[&[1, 2], &[3, 4], &[5, 6]]), [repair], "different losses are repaired together");
}

#[test]
fn what_lacks_more_than_there_is_repair_gets_the_symbols_themselves_again() {
    let now = Moment::default();
    let mut group = Group::new(Rules::default());
    let ids = [MemberId(0), MemberId(1)];
    ids.iter().for_each(|id| group.join(*id, true, now).expect("there is room"));
    // A block of 250 symbols leaves five for repair.
    let (block, _) = group.block(250, now);
    let mut report = |round, lost: [&[u32]; 2]| {
        group.aired(block, now);
        let lack = |lost: &[u32]| Lack { missing: lost.iter().copied().collect(), short: lost.len() as u32 };
        let acts = ids.iter().zip(lost).flat_map(|(id, lost)| group.lacks(*id, block, round, lack(lost), now));
        acts.filter(|act| !matches!(act, Act::Ask { .. })).collect::<Vec<Act>>()
    };
    assert_eq!(report(0, [&[1, 2], &[3, 4]]), [Act::Repair { block, count: 3 }]);
    assert_eq!(report(1, [&[1, 2], &[3, 4]]), [Act::Repair { block, count: 2 }], "one more is wanted, and not there");
    let symbols = [1, 2, 3].into_iter().collect();
    assert_eq!(report(2, [&[1, 2], &[1, 3]]), [Act::Resend { block, symbols }]);
}

#[test]
fn loss_slows_the_link_down_then_costs_the_member_its_multicast_and_nobody_else() {
    let now = Moment::default();
    let mut group = Group::new(Rules::default());
    let (bad, good) = (MemberId(0), MemberId(1));
    group.join(bad, true, now).expect("there is room");
    group.join(good, true, now).expect("there is room");
    group.join(MemberId(2), true, now).expect("there is room");
    let mut seen = Vec::new();
    // Two windows of judgement, and a block after them.
    for _ in 0..17 {
        let (block, acts) = group.block(128, now);
        seen.extend(acts);
        group.aired(block, now);
        group.has(good, block, now);
        group.has(MemberId(2), block, now);
        let lack = Lack { missing: SymbolSet::first(12), short: 12 };
        seen.extend(group.lacks(bad, block, 0, lack, now));
        seen.extend(group.has(bad, block, now));
    }
    let at = |act| seen.iter().position(|seen| *seen == act);
    let (slow, fell) = (at(Act::Slow).expect("slowed"), at(Act::FellBack { member: bad }).expect("fell back"));
    assert!(slow < fell);
    assert!(seen[fell..].contains(&Act::Unicast { member: bad, block: 16, symbols: SymbolSet::first(128) }));
    assert!(seen[fell..].contains(&Act::Source { block: 16 }), "the others keep their multicast");
    assert!(!seen.contains(&Act::FellBack { member: good }));
}

#[test]
fn a_burst_of_loss_is_not_taken_for_the_rule() {
    let now = Moment::default();
    let mut group = Group::new(Rules::default());
    let member = MemberId(0);
    group.join(member, true, now).expect("there is room");
    group.join(MemberId(1), true, now).expect("there is room");
    for number in 0..32 {
        let (block, _) = group.block(128, now);
        group.aired(block, now);
        group.has(MemberId(1), block, now);
        // Three bundles of eight are lost in one of four blocks: less than 5 % of all.
        let acts = if number % 4 == 0 {
            let lack = Lack { missing: SymbolSet::first(24), short: 24 };
            [group.lacks(member, block, 0, lack, now), group.has(member, block, now)].concat()
        } else {
            group.has(member, block, now)
        };
        assert!(!acts.iter().any(|act| matches!(act, Act::Slow | Act::FellBack { .. })), "{acts:?}");
    }
}

#[test]
fn at_the_brim_the_next_block_lets_the_first_one_go_and_nobody_can_join_any_more() {
    let mut group = Group::new(Rules { blocks_max: 3, ..Rules::default() });
    let now = Moment::default();
    for _ in 0..3 {
        assert!(!group.is_at_brim());
        group.block(1, now);
    }
    assert_eq!((group.is_at_brim(), group.may_join().is_ok()), (true, true));
    group.block(1, now);
    assert_eq!((group.is_at_brim(), group.may_join().is_ok()), (false, false));
}

#[test]
fn who_holds_up_others_is_dismissed_soon_and_who_holds_up_nobody_as_late_as_any_connection() {
    let at = |seconds: u64| Moment(Duration::from_secs(seconds));
    let dismissed = |acts: &[Act]| -> Vec<u64> {
        let of = |act: &Act| if let Act::Dismiss { member } = act { Some(member.0) } else { None };
        acts.iter().filter_map(of).collect()
    };
    // Members that owe the last so many of two blocks at a time; there is room for so many.
    let group_of = |owed: &[u32], blocks_max: u32| {
        let mut group = Group::new(Rules { blocks_max, ..Rules::default() });
        let ids: Vec<_> = (0..owed.len() as u64).map(MemberId).collect();
        ids.iter().for_each(|id| group.join(*id, true, at(0)).expect("there is room"));
        for block in 0..2 {
            group.block(1, at(0));
            group.aired(block, at(0));
            let has = ids.iter().zip(owed).filter(|(_, owed)| block < 2 - **owed);
            has.for_each(|(id, _)| drop(group.has(*id, block, at(0))));
        }
        group.tick(at(1));
        group
    };
    // Alone it is waited for; so are several of whom each could go on, wherever they stand, and those beside whom there is room.
    for (owed, blocks_max) in [(&[2][..], 2), (&[2, 2][..], 2), (&[1, 2][..], 2), (&[0, 2][..], 3), (&[0, 1][..], 2)] {
        let mut group = group_of(owed, blocks_max);
        let slow = owed.iter().filter(|owed| **owed > 0).count();
        assert_eq!((group.due(), dismissed(&group.tick(at(59)))), (Some(at(60)), vec![]), "{owed:?}");
        assert_eq!(dismissed(&group.tick(at(60))).len(), slow, "{owed:?}");
    }
    // While another one has all and there is no room for more it has so long, and as long again after each block.
    let mut group = group_of(&[1, 2, 2], 2);
    group.has(MemberId(0), 1, at(30));
    group.has(MemberId(1), 1, at(33));
    assert_eq!((group.due(), dismissed(&group.tick(at(34)))), (Some(at(35)), vec![]));
    let mut left = group.clone();
    assert_eq!(dismissed(&group.tick(at(35))), [2]);
    assert_eq!(dismissed(&group.tick(at(38))), [1]);
    // Nobody waits any more when that one has gone.
    left.left(MemberId(0), at(34));
    assert_eq!((left.due(), dismissed(&left.tick(at(59)))), (Some(at(60)), vec![]));
}
