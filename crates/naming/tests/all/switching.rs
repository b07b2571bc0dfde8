//! Who gets a request when endpoints are slow, hang or drain; and when it is sent twice.

use std::time::Duration;

use flame_naming::health::{
    Demand, FULL_MAX, FULL_MIN, Health, LATE_MAX, Said, Standing, WRITE_REST_MAX, tells_latency,
};
use flame_naming::hedge::{Limits, Pace, is_wait};
use flame_naming::table::{NotTurned, Registered};
use flame_naming::{Choice, Destination, EndpointId, Lease, Lot, Moment, Name, NoChoice, State, Table};
use proptest::prelude::*;

const NOW: Moment = Moment(Duration::ZERO);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn name() -> Name {
    "media".parse().unwrap()
}

fn id(at: u16) -> EndpointId {
    format!("e{at}").parse().unwrap()
}

/// A table with `count` endpoints, and what each is called there.
fn table(count: u16) -> (Table, Vec<Choice>) {
    let mut table = Table::new("here".parse().unwrap(), 100);
    let choices = (0..count).map(|at| {
        let lease = Lease::new(([127, 0, 0, 1], at + 1).into(), 1, ms(60_000));
        table.register(&name(), &id(at), lease, NOW).unwrap();
        Choice { endpoint: id(at), address: lease.address, generation: 1, http2: false, tls: false }
    });
    let choices = choices.collect();
    (table, choices)
}

fn chosen(table: &Table, now: Moment) -> Vec<Result<EndpointId, NoChoice>> {
    chosen_for(table, Demand::Read, now)
}

fn chosen_for(table: &Table, demand: Demand, now: Moment) -> Vec<Result<EndpointId, NoChoice>> {
    let to: Destination = name().into();
    let one = |draw: u64| table.choose_for(demand, &to, now, &[], Lot::Drawn(draw | draw << 32));
    let mut all: Vec<_> = (0..64).map(|draw| one(draw).map(|(_, choice)| choice.endpoint)).collect();
    all.sort_by_key(|one| one.as_ref().ok().cloned());
    all.dedup();
    all
}

#[test]
fn the_slower_of_two_gets_a_request_only_when_the_quicker_is_that_much_busier() {
    let (mut table, choices) = table(2);
    table.began(&name(), &choices[0], ms(1), NOW);
    table.began(&name(), &choices[1], ms(10), NOW);
    assert_eq!(chosen(&table, NOW), [Ok(id(0))]);
    for _ in 0..10 {
        table.note(&name(), &choices[0], Health::opened);
    }
    assert_eq!(chosen(&table, NOW), [Ok(id(1))]);
}

#[test]
fn what_was_slow_is_tried_again_after_a_while() {
    let (mut table, choices) = table(2);
    table.began(&name(), &choices[0], ms(1000), NOW);
    let at = |s: u64| NOW + ms(s * 1000);
    for s in 1..30 {
        table.began(&name(), &choices[1], ms(10), at(s));
    }
    assert_eq!(chosen(&table, at(29)), [Ok(id(1))]);
    table.began(&name(), &choices[1], ms(10), at(40));
    assert_eq!(chosen(&table, at(40)), [Ok(id(0))]);
}

#[test]
fn what_was_slow_once_and_is_quick_since_gets_requests_again_soon() {
    let (mut table, choices) = table(2);
    // Its first connection took its time; the other one always does.
    table.began(&name(), &choices[0], ms(60), NOW);
    let (mut now, mut quick) = (NOW, 0);
    for _ in 0..400 {
        let to_first = chosen(&table, now) == [Ok(id(0))];
        let took = ms(if to_first { 1 } else { 30 });
        now = now + took;
        table.began(&name(), &choices[usize::from(!to_first)], took, now);
        quick += usize::from(to_first);
    }
    assert!(quick >= 200, "{quick} of 400 went to the quick one");
}

#[test]
fn what_is_overtaken_several_times_in_a_row_hangs_until_it_is_heard() {
    let (mut table, choices) = table(2);
    for _ in 1..LATE_MAX {
        table.note(&name(), &choices[0], |health| health.overtaken(ms(20), NOW));
    }
    table.began(&name(), &choices[0], ms(1), NOW);
    for _ in 0..LATE_MAX {
        assert!(table.held(NOW).all(|held| !held.health.is_hung()), "it has answered in between");
        table.note(&name(), &choices[0], |health| health.overtaken(ms(20), NOW));
    }
    // No lapse of time brings it back, only an answer.
    let later = NOW + ms(59_000);
    assert_eq!(chosen(&table, later), [Ok(id(1))]);
    table.note(&name(), &choices[1], |health| health.failed(later, later));
    assert_eq!(chosen(&table, later), [Ok(id(1))], "one that rests is more likely to answer than one that hangs");
    table.note(&name(), &choices[0], Health::revive);
    assert_eq!(chosen(&table, later), [Ok(id(0))]);
    table.note(&name(), &choices[0], Health::hangs);
    assert_eq!(chosen(&table, later), [Ok(id(1))], "it kept a probe waiting");
}

#[test]
fn who_says_that_it_has_no_room_is_passed_over_until_then_and_asked_where_all_are_full() {
    let (mut table, choices) = table(2);
    let full = Said::of(Demand::Read, 503, Some(ms(20_000)));
    table.note(&name(), &choices[0], |health| health.said(full, NOW, NOW));
    for demand in [Demand::Read, Demand::Write] {
        assert_eq!(chosen_for(&table, demand, NOW + ms(19_999)), [Ok(id(1))]);
        assert_eq!(chosen_for(&table, demand, NOW + ms(20_000)), [Ok(id(0)), Ok(id(1))]);
    }
    // One that has no room still answers, which is more than one that rests does.
    table.note(&name(), &choices[1], |health| health.failed(NOW, NOW));
    assert_eq!(chosen(&table, NOW), [Ok(id(0))]);
    table.note(&name(), &choices[1], Health::revive);
    table.note(&name(), &choices[1], |health| health.said(full, NOW, NOW));
    assert_eq!(chosen(&table, NOW), [Ok(id(0)), Ok(id(1))], "all are full: they share what comes");
    table.turn(&name(), &id(1), State::Connected, NOW).unwrap();
    assert_eq!(chosen(&table, NOW), [Ok(id(1))], "who is connected anew is believed to have room");
}

#[test]
fn who_cannot_write_is_still_asked_for_what_it_has() {
    let (mut table, choices) = table(2);
    let say = |table: &mut Table, status: u16, now: Moment| {
        let said = Said::of(Demand::Write, status, None);
        table.note(&name(), &choices[0], |health| health.said(said, now, now));
    };
    let writes = |table: &Table, now: Moment| chosen_for(table, Demand::Write, now);
    let both = [Ok(id(0)), Ok(id(1))];
    say(&mut table, 507, NOW);
    assert_eq!((writes(&table, NOW), chosen(&table, NOW)), (vec![Ok(id(1))], both.to_vec()));
    // Each time longer, as long as nothing is written there.
    let (mut now, mut rest) = (NOW, ms(100));
    for _ in 0..9 {
        assert_eq!(writes(&table, now + (rest - ms(1))), [Ok(id(1))], "{rest:?}");
        now = now + rest;
        assert_eq!(writes(&table, now), both, "{rest:?}");
        say(&mut table, 507, now);
        rest = (rest * 2).min(WRITE_REST_MAX);
    }
    assert_eq!(rest, WRITE_REST_MAX);
    say(&mut table, 204, now);
    assert_eq!(writes(&table, now), both);
    // An error may be the request's fault: only three in a row are the endpoint's.
    for status in [500, 500, 201, 500, 500, 404, 501, 500] {
        assert_eq!(writes(&table, now), both, "before {status}");
        say(&mut table, status, now);
    }
    assert_eq!(writes(&table, now), [Ok(id(1))]);
}

#[test]
fn what_is_refused_quickly_makes_nobody_look_quick() {
    for (status, tells) in
        [(200, true), (304, true), (404, true), (429, false), (500, false), (503, false), (507, false)]
    {
        assert_eq!(tells_latency(status), tells, "{status}");
    }
    // One answers after 20 ms, the other one refuses after 1 ms: it gets no more for that.
    let (mut table, choices) = table(2);
    let to: Destination = name().into();
    let mut chosen = [0, 0];
    for round in 0..400_u64 {
        let now = NOW + ms(round * 10);
        let draw = round.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let choice = table.choose(&to, now, &[], Lot::Drawn(draw)).unwrap();
        if choice.endpoint == id(0) {
            chosen[0] += 1;
            table.began(&name(), &choices[0], ms(20), now);
        } else {
            chosen[1] += 1;
            table.refused(&name(), &choices[1], ms(1), now);
        }
    }
    assert!(chosen[1] <= 250, "who refuses is asked {} times of 400", chosen[1]);
}

#[test]
fn who_keeps_something_for_a_key_keeps_it_also_while_it_is_full() {
    let (mut table, choices) = table(3);
    let to: Destination = name().into();
    let of_key = |table: &Table| table.choose_for(Demand::Read, &to, NOW, &[], Lot::Key(b"a viewer")).unwrap();
    let (_, own) = of_key(&table);
    let full = Said::of(Demand::Read, 503, Some(Duration::from_secs(9)));
    table.note(&name(), &own, |health| health.said(full, NOW, NOW));
    assert_eq!(of_key(&table), (Standing::Fit, own.clone()), "its own word is the answer");
    assert!(!chosen(&table, NOW).contains(&Ok(own.endpoint.clone())), "others go elsewhere");
    table.note(&name(), &own, |health| health.failed(NOW, NOW));
    assert_ne!(of_key(&table).1, own, "who is not there keeps nothing");
    assert_eq!(choices.len(), 3);
}

#[test]
fn what_drains_gets_nothing_new_and_keeps_its_lease() {
    let (mut table, _) = table(2);
    table.turn(&name(), &id(0), State::Draining, NOW).unwrap();
    assert_eq!(chosen(&table, NOW), [Ok(id(1))]);
    // A renewal does not bring it back; the last one leaves nobody.
    let lease = Lease::new(([127, 0, 0, 1], 1).into(), 1, ms(60_000));
    assert_eq!(table.register(&name(), &id(0), lease, NOW), Ok(Registered::Renewed));
    table.turn(&name(), &id(1), State::Draining, NOW).unwrap();
    assert_eq!(chosen(&table, NOW), [Err(NoChoice::Unconnected)]);
    assert_eq!(table.held(NOW).count(), 2);
    table.turn(&name(), &id(0), State::Connected, NOW).unwrap();
    assert_eq!(chosen(&table, NOW), [Ok(id(0))]);
    assert_eq!(table.turn(&name(), &id(7), State::Draining, NOW), Err(NotTurned::Absent));
    // A restart is another instance.
    table
        .register(&name(), &id(1), Lease { generation: 2, address: ([127, 0, 0, 1], 2).into(), ..lease }, NOW)
        .unwrap();
    assert_eq!(chosen(&table, NOW), [Ok(id(0)), Ok(id(1))]);
}

#[test]
fn late_is_later_than_answers_hardly_ever_come() {
    let limits = Limits::default();
    let mut pace = Pace::default();
    let first = pace.asked(&limits, NOW);
    assert!(first > limits.hedge_min && first <= limits.hedge_max, "nothing is known: {first:?}");
    (0..50).for_each(|_| pace.answered(ms(1)));
    assert_eq!(pace.asked(&limits, NOW), limits.hedge_min);
    (0..50).for_each(|_| pace.answered(ms(200)));
    let slow = pace.asked(&limits, NOW);
    assert!(slow > ms(195) && slow < ms(300), "{slow:?}");
    (0..50).for_each(|_| pace.answered(ms(10_000)));
    assert_eq!(pace.asked(&limits, NOW), limits.hedge_max);
}

proptest! {
    /// What an endpoint says is believed for a bounded time, and never keeps a request from being sent at all.
    #[test]
    fn nobody_talks_himself_out_of_all_requests_for_ever(
        all in proptest::collection::vec((0..3_usize, any::<bool>(), 100..600_u16, proptest::option::of(any::<u64>())), 0..60),
    ) {
        let (mut table, choices) = table(3);
        for (of, is_write, status, retry_after_s) in all {
            let demand = if is_write { Demand::Write } else { Demand::Read };
            let said = Said::of(demand, status, retry_after_s.map(Duration::from_secs));
            if let Said::NoRoom(span) = said {
                prop_assert!(span >= FULL_MIN && span <= FULL_MAX && status == 503 && !is_write);
            }
            table.note(&name(), &choices[of], |health| health.said(said, NOW, NOW));
        }
        let to: Destination = name().into();
        for demand in [Demand::Read, Demand::Write] {
            prop_assert!(table.choose_for(demand, &to, NOW, &[], Lot::Drawn(7)).is_ok());
            let later = NOW + FULL_MAX.max(WRITE_REST_MAX);
            let (standing, _) = table.choose_for(demand, &to, later, &[], Lot::Drawn(7)).unwrap();
            prop_assert_eq!((standing, chosen_for(&table, demand, later).len()), (Standing::Fit, 3));
        }
    }

    /// Whatever happens: no more repeats than the burst, the share of the requests and what time has earned.
    #[test]
    fn repeats_never_storm(steps in proptest::collection::vec((0..30_u64, 0..5_u32, 0..5_u32), 1..300)) {
        let limits = Limits { burst: 20, ..Limits::default() };
        let (mut pace, mut now, mut asked, mut repeated) = (Pace::default(), NOW, 0_u32, 0_u32);
        for (wait_ms, requests, repeats) in steps {
            now = now + ms(wait_ms);
            for _ in 0..requests {
                pace.asked(&limits, now);
                asked += 1;
            }
            for _ in 0..repeats {
                repeated += u32::from(pace.spend(&limits, now));
            }
            let earned = 20.0 + f64::from(asked) * 0.2 + now.0.as_secs_f64() * 2.0;
            prop_assert!(f64::from(repeated) <= earned + 0.001, "{repeated} repeats, {earned} earned");
        }
    }

    /// However much is searched, half of the burst is left for repeats.
    #[test]
    fn searches_leave_something_for_repeats(searches in 0..200_u32, burst in 2..60_u16) {
        let limits = Limits { burst, ..Limits::default() };
        let mut pace = Pace::default();
        let searched = (0..searches).filter(|_| pace.spend_on_search(&limits, NOW)).count();
        prop_assert!(searched <= usize::from(burst / 2));
        let repeated = (0..burst).filter(|_| pace.spend(&limits, NOW)).count();
        prop_assert_eq!(searched + repeated, usize::from(burst));
    }

    /// What was spent comes back with time alone, all of it in ten seconds.
    #[test]
    fn an_empty_bucket_fills(looks in proptest::collection::vec(1..400_u64, 1..60)) {
        let limits = Limits { burst: 50, ..Limits::default() };
        let mut pace = Pace::default();
        while pace.spend(&limits, NOW) {}
        let mut now = NOW;
        let mut repeated = 0;
        for look in looks {
            now = now + ms(look);
            while pace.spend(&limits, now) {
                repeated += 1;
            }
        }
        let earned = u128::from(limits.burst) * now.0.as_millis() / 10_000;
        prop_assert!((earned.saturating_sub(1)..=earned).contains(&repeated), "{repeated} of {earned}");
    }
}

#[test]
fn what_may_wait_at_its_endpoint_is_told_by_what_it_asks_for() {
    for wait in [
        "/live.m3u8?_HLS_msn=12",
        "/live.m3u8?token=x&_HLS_msn=12&_HLS_part=3",
        "/a/9.2.m4s",
        "/a/filePart271.0.mp4",
        "/9.2.m4s?token=9",
    ] {
        assert!(is_wait(wait), "{wait}");
    }
    for other in [
        "/",
        "",
        "/live.m3u8",
        "/live.m3u8?_HLS_skip=YES",
        "/live.m3u8?x_HLS_msn=1",
        "/9.m4s",
        "/a.2.m4s",
        "/9..m4s",
        "/9.2",
        "/9.2.js",
        "/9.2.m4s/x",
    ] {
        assert!(!is_wait(other), "{other}");
    }
}
