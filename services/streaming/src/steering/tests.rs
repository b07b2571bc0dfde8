//! Sites under arbitrary and under simulated load: nothing moves without need, and nothing flaps.

use super::sites::{Condition, Limits, Sites, Viewer};
use super::{Asked, PLACES};

const LIMITS: Limits = Limits {
    busy: 0.9,
    calm: 0.6,
    failing: 0.2,
    starved: 0.1,
    confirm_ms: 3_000,
    hold_ms: 60_000,
    hold_max_ms: 1_800_000,
    ramp_ms: 60_000,
};
const POLL_MS: u64 = 1_000;
const TTL_MS: u64 = 10_000;

fn loaded(load: f64) -> Condition {
    Condition { is_reached: true, load: Some(load), ..Condition::default() }
}

fn at(current: usize, place: f64) -> Viewer {
    Viewer { current: Some(current), place, ..Viewer::default() }
}

/// A pseudo-random number from 0 to below 1.
fn random(seed: &mut u64) -> f64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    f64::from(u32::try_from(*seed >> 33).unwrap()) / f64::from(1_u32 << 31)
}

/// Viewers who watch through a simulated night: where each is, and how often he was moved.
struct Night {
    sites: Sites,
    viewers: Vec<(usize, f64)>,
    moves: Vec<u32>,
    now_ms: u64,
}

impl Night {
    fn new(viewers: u32) -> Self {
        let viewers: Vec<_> = (0..viewers).map(|number| (0, f64::from(number) / f64::from(viewers))).collect();
        Self { sites: Sites::new(2, LIMITS), moves: vec![0; viewers.len()], viewers, now_ms: 0 }
    }

    fn on(&self, site: usize) -> f64 {
        let count = self.viewers.iter().filter(|(current, _)| *current == site).count();
        f64::from(u32::try_from(count).unwrap()) / f64::from(u32::try_from(self.viewers.len()).unwrap())
    }

    /// A second in which the sites carry `other` besides their viewers, who all together are `demand` of what one can carry.
    fn second(&mut self, demand: f64, other: [f64; 2]) {
        self.now_ms += POLL_MS;
        let conditions = [0, 1].map(|site| loaded(self.on(site) * demand + other[site]));
        self.sites.observe(self.now_ms, &conditions);
        for (number, (current, place)) in self.viewers.iter_mut().enumerate() {
            // Each asks at a moment of its own.
            if (self.now_ms / POLL_MS + number as u64).is_multiple_of(TTL_MS / POLL_MS) {
                let way = self.sites.decide(self.now_ms, &at(*current, *place));
                self.moves[number] += u32::from(way.order[0] != *current);
                *current = way.order[0];
            }
        }
    }
}

#[test]
fn below_the_threshold_nothing_changes() {
    for seed in 0..50 {
        let (mut seed, mut sites) = (seed, Sites::new(3, LIMITS));
        for second in 0..5_000_u64 {
            let conditions = [0, 1, 2].map(|_| Condition {
                is_reached: true,
                load: Some(random(&mut seed) * 0.899),
                failing: Some(random(&mut seed) * 0.199),
                starved: Some(random(&mut seed) * 0.099),
            });
            assert!(!sites.observe(second * POLL_MS, &conditions));
            let viewer = at(second as usize % 3, random(&mut seed));
            assert_eq!(sites.decide(second * POLL_MS, &viewer).order, [0, 1, 2]);
        }
    }
}

#[test]
fn a_peak_that_is_over_soon_moves_nobody() {
    let mut night = Night::new(100);
    for second in 0..3_600 {
        // Two seconds of every ten: shorter than it takes to be believed.
        night.second(0.3, [if second % 10 < 2 { 1.5 } else { 0.0 }, 0.0]);
    }
    assert!(night.moves.iter().all(|moves| *moves == 0));
}

#[test]
fn an_overloaded_site_is_left_within_one_ttl_and_comes_back_slowly() {
    let mut night = Night::new(100);
    (0..60).for_each(|_| night.second(0.3, [0.2, 0.2]));
    assert_eq!(night.on(0), 1.0);
    let seconds = (LIMITS.confirm_ms + TTL_MS + POLL_MS) / POLL_MS;
    (0..seconds).for_each(|_| night.second(0.3, [1.0, 0.2]));
    assert_eq!(night.on(1), 1.0, "who watched is at the other site");
    assert_eq!(
        night.sites.decide(night.now_ms, &Viewer { place: 0.99, ..Viewer::default() }).order,
        [1, 0],
        "who comes, too"
    );
    // Calm, and not for long enough.
    (0..LIMITS.hold_ms / POLL_MS - 2).for_each(|_| night.second(0.3, [0.1, 0.2]));
    assert_eq!(night.on(1), 1.0);
    (0..30).for_each(|_| night.second(0.3, [0.1, 0.2]));
    assert!((0.1..0.6).contains(&night.on(0)), "{} are back after a while", night.on(0));
    (0..90).for_each(|_| night.second(0.3, [0.1, 0.2]));
    assert_eq!(night.on(0), 1.0);
    assert!(night.moves.iter().all(|moves| *moves == 2), "there and back, once");
}

#[test]
fn viewers_who_are_too_many_for_either_site_alone_do_not_wander() {
    // Seven hours with what one site cannot carry, and two can.
    for demand in [0.95, 1.2, 1.6, 2.5] {
        let mut night = Night::new(200);
        (0..7 * 3_600).for_each(|_| night.second(demand, [0.0, 0.0]));
        let most = night.moves.iter().max().unwrap();
        // The hold doubles from one minute to thirty, and then there and back each half hour.
        assert!(*most <= 2 * (5 + 2 * 7), "{demand}: somebody was moved {most} times in seven hours");
    }
}

#[test]
fn any_load_at_all_closes_a_site_only_so_often_and_never_all() {
    for seed in 0..100_u64 {
        let (mut random_state, mut sites, mut closings) = (seed, Sites::new(3, LIMITS), [0_u32; 3]);
        let mut level = [0.5; 3];
        for second in 0..10_000_u64 {
            for level in &mut level {
                *level = (*level + (random(&mut random_state) - 0.5) * 0.4).clamp(0.0, 2.0);
            }
            let before = [0, 1, 2].map(|at| sites.is_open(at));
            let conditions =
                level.map(|level| Condition { is_reached: random(&mut random_state) > 0.01, ..loaded(level) });
            sites.observe(second * POLL_MS, &conditions);
            assert!((0..3).any(|at| sites.is_open(at)));
            for at in 0..3 {
                closings[at] += u32::from(before[at] && !sites.is_open(at));
            }
            let way = sites.decide(second * POLL_MS, &at((second % 3) as usize, random(&mut random_state)));
            let mut all = way.order.clone();
            all.sort_unstable();
            assert_eq!(all, [0, 1, 2], "every site is named once");
            assert!(sites.is_open(way.order[0]), "nobody is sent to what is closed");
        }
        let most = 10_000 * POLL_MS / LIMITS.hold_ms + 1;
        assert!(closings.iter().all(|closings| u64::from(*closings) <= most), "{closings:?}");
    }
}

#[test]
fn complaints_of_players_and_failures_close_a_site_as_load_does() {
    let bad = [
        Condition { is_reached: true, starved: Some(0.1), ..Condition::default() },
        Condition { is_reached: true, failing: Some(0.2), ..Condition::default() },
        Condition { is_reached: false, ..Condition::default() },
    ];
    for condition in bad {
        let mut sites = Sites::new(2, LIMITS);
        for second in 0..=3 {
            sites.observe(second * POLL_MS, &[condition, loaded(0.0)]);
        }
        assert!(!sites.is_open(0) && sites.is_open(1), "{condition:?}");
    }
}

#[test]
fn the_last_site_stays_unless_it_is_gone_and_another_answers() {
    let mut sites = Sites::new(2, LIMITS);
    for second in 0..10 {
        sites.observe(second * POLL_MS, &[loaded(3.0), loaded(2.0)]);
    }
    assert!(!sites.is_open(0) && sites.is_open(1), "the worse one is closed, and then there is one");
    let gone = Condition { is_reached: false, ..Condition::default() };
    for second in 10..20 {
        sites.observe(second * POLL_MS, &[loaded(3.0), gone]);
    }
    assert!(sites.is_open(0) && !sites.is_open(1), "a busy one is better than none");
}

#[test]
fn a_site_that_was_not_there_yet_takes_everybody_as_soon_as_it_is() {
    let gone = Condition { is_reached: false, ..Condition::default() };
    let mut sites = Sites::new(2, LIMITS);
    for second in 0..10 {
        sites.observe(second * POLL_MS, &[gone, loaded(0.1)]);
    }
    assert!(!sites.is_open(0));
    for second in 10..14 {
        sites.observe(second * POLL_MS, &[loaded(0.1), loaded(0.1)]);
    }
    assert_eq!(sites.decide(14 * POLL_MS, &Viewer { place: 0.999, ..Viewer::default() }).order, [0, 1]);
    // From then on it is as any other.
    for second in 14..40 {
        sites.observe(second * POLL_MS, &[if second < 20 { gone } else { loaded(0.1) }, loaded(0.1)]);
    }
    assert!(!sites.is_open(0));
}

#[test]
fn a_session_leaves_a_site_of_which_too_little_comes_once() {
    let sites = Sites::new(2, LIMITS);
    let viewer = Viewer { throughput_bps: Some(900), needed_bps: 1_000, ..at(0, 0.5) };
    let way = sites.decide(0, &viewer);
    assert_eq!((&way.order[..], way.left), (&[1, 0][..], Some(0)));
    let there = Viewer { current: Some(1), left: way.left, ..viewer };
    assert_eq!(sites.decide(0, &there).order, [1, 0], "elsewhere it is no better, and it stays");
    let enough = Viewer { throughput_bps: Some(1_000), ..viewer };
    assert_eq!(sites.decide(0, &enough).order, [0, 1]);
}

#[test]
fn what_players_ask_is_understood_or_ignored() {
    let hls = Asked::of(Some("place=17&left=east&_HLS_pathway=west&_HLS_throughput=5140000"));
    assert_eq!((hls.pathway.as_deref(), hls.throughput_bps), (Some("west"), Some(5_140_000)));
    assert_eq!((hls.place, hls.left.as_deref()), (Some(17), Some("east")));
    let dash = Asked::of(Some("_DASH_pathway=%22east%2Cwest%22&_DASH_throughput=900,1200"));
    assert_eq!((dash.pathway.as_deref(), dash.throughput_bps), (Some("west"), Some(1200)));
    let dash = Asked::of(Some("_DASH_pathway=\"east\"&_DASH_throughput="));
    assert_eq!((dash.pathway.as_deref(), dash.throughput_bps), (Some("east"), None));
    for nothing in [None, Some(""), Some("&&="), Some("place=-1&_HLS_throughput=x&_HLS_pathway"), Some("place=1000")] {
        let asked = Asked::of(nothing);
        assert_eq!((asked.pathway, asked.throughput_bps, asked.place), (None, None, None), "{nothing:?}");
    }
    assert_eq!(PLACES, 1000);
}
