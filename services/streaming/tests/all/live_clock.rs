//! Encoders whose clocks run otherwise than the wall's: what is said of the wall follows it, and nothing else changes.

use std::time::Duration;

use flame_api::live::{Channel, Publication};
use flame_service_host::config::Span;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use crate::live::{Encoder, NOON_TICKS, playlist, publish, send};
use crate::live_forms::{end, text};
use crate::world::World;

/// Segments of a second.
const SEGMENT: Duration = Duration::from_secs(1);
const SEGMENTS: u64 = 12;
const WINDOW: Duration = Duration::from_secs(2);
/// By how much clocks are off: two in a hundred.
const OFF: f64 = 0.02;

fn times_ms(playlist: &str) -> Vec<i64> {
    let times = playlist.lines().filter_map(|line| line.strip_prefix("#EXT-X-PROGRAM-DATE-TIME:"));
    times.map(|time| ms(OffsetDateTime::parse(time, &Rfc3339).unwrap())).collect()
}

fn ms(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap()
}

async fn clock_ms(world: &World, path: &str) -> i64 {
    let answer = world.get(path).await;
    assert_eq!((answer.status().as_u16(), answer.headers()["cache-control"].to_str().unwrap()), (200, "no-store"));
    ms(OffsetDateTime::parse(&answer.text().await.unwrap(), &Rfc3339).unwrap())
}

async fn channel(world: &World) -> Channel {
    let new = serde_json::json!({
        "id": Uuid::new_v4(), "title": "Off", "segment_ms": 1000, "part_ms": 250, "window_s": 60
    });
    world.http.post(world.url("channels")).json(&new).send().await.unwrap().json().await.unwrap()
}

/// Sends all segments, each when it is whole by a clock that is `speed` times as fast as the wall's.
async fn encode(world: &World, publication: &Publication, mut encoder: Encoder, speed: f64) {
    let mut due = interval(SEGMENT.div_f64(speed));
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0..SEGMENTS {
        due.tick().await;
        send(world, publication, number, &encoder.segment()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_the_wall_follows_a_clock_that_is_off_without_a_jump() {
    let mut world = World::start_with(|config| config.live.drift_window = Span(WINDOW)).await;
    let mut all = Vec::new();
    for speed in [1.0 + OFF, 1.0 - OFF] {
        let channel = channel(&world).await;
        let encoder = Encoder::of_parts(22_500, NOON_TICKS);
        let publication = publish(&world, channel.key.as_deref().unwrap(), encoder.init()).await;
        all.push((channel, publication, encoder, speed));
    }
    let runs = all.drain(..).map(|(channel, publication, encoder, speed)| {
        let world = &world;
        async move {
            encode(world, &publication, encoder, speed).await;
            (channel, speed)
        }
    });
    let channels = futures_util::future::join_all(runs.collect::<Vec<_>>()).await;
    let mut before = Vec::new();
    for (channel, speed) in &channels {
        let shown: Channel = world.get(&format!("channels/{}", channel.id)).await.json().await.unwrap();
        let clock = shown.clock.expect("it is known by now");
        println!("{speed}: {clock:?}");
        // Faster than the wall's: media times are ahead of it, and less is added to them.
        let sign = if *speed > 1.0 { 1 } else { -1 };
        assert!((10_000..=30_000).contains(&(sign * clock.ppm)), "{clock:?}");
        assert!((80..=260).contains(&(-sign * clock.correction_ms)), "{clock:?}");
        let metrics = text(&world, "metrics").await;
        let figure =
            format!("flame_live_clock_drift_ppm{{channel=\"{}\",service=\"streaming\"}} {}\n", channel.id, clock.ppm);
        assert!(metrics.contains(&figure), "{metrics}");
        let [wall_ms, channel_ms] =
            [clock_ms(&world, "clock").await, clock_ms(&world, &format!("{}/clock", channel.id)).await];
        let ahead_ms = channel_ms - wall_ms + clock.correction_ms;
        assert!((-1..2_000).contains(&ahead_ms), "{wall_ms} {channel_ms} {clock:?}");

        let listed = playlist(&world, channel, "").await;
        let times = times_ms(&listed);
        assert_eq!(times.len() as u64, SEGMENTS);
        let steps: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(steps.iter().all(|step| (950..=1050).contains(step)), "{steps:?}");
        let begins_ms = NOON_TICKS / 90;
        let corrected_ms = times[times.len() - 1] - begins_ms - 1_000 * (times.len() as i64 - 1);
        assert_eq!((times[0], corrected_ms), (begins_ms, clock.correction_ms));
        // Everything else is as it was sent.
        assert_eq!(listed.matches("#EXTINF:1.0,\n").count() as u64, SEGMENTS);
        assert!(listed.contains("PART-HOLD-BACK=1.5,HOLD-BACK=3.0,") && !listed.contains("DISCONTINUITY"), "{listed}");
        before.push(times);
    }
    world.restart_streaming().await;
    for ((channel, _), times) in channels.iter().zip(&before) {
        assert_eq!(&times_ms(&playlist(&world, channel, "").await), times);
        // What never comes has the times that it would have had; whoever sends then has the wall's.
        let ticks = NOON_TICKS + i64::try_from(SEGMENTS + 2).unwrap() * 90_000;
        let mut encoder = Encoder::of_parts(22_500, ticks);
        let publication = publish(&world, channel.key.as_deref().unwrap(), encoder.init()).await;
        send(&world, &publication, SEGMENTS + 2, &encoder.segment()).await;
        let after = times_ms(&playlist(&world, channel, "").await);
        assert_eq!(&after[..times.len()], times);
        let last = times[times.len() - 1];
        assert_eq!(after[times.len()..], [last + 1_000, last + 2_000, ticks / 90], "{after:?}");
        end(&world, channel).await;
        assert_eq!(times_ms(&playlist(&world, channel, "").await), after, "the recording says the same");
    }
    world.stop().await;
}
