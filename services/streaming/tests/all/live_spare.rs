//! Two instances with one object store: one owns the live channels, the other one is its spare.

use std::time::{Duration, Instant};

use axum::http::Method;
use bytes::Bytes;
use flame_api::live::{Channel, ChannelState, NewChannel, NewPublication, Publication};
use flame_service_host::Running;
use flame_service_host::config::Span;
use flame_test_kit::eventually;
use uuid::Uuid;

use crate::live::{path, playlist, send, track};
use crate::live_forms::sent;
use crate::live_restart::noted;
use crate::world::{DEADLINE, World};

/// Long enough for a machine that does other things, too.
const LEASE: Duration = Duration::from_secs(4);

async fn world() -> World {
    World::start_with(|config| {
        config.live.lease = Some(Span(LEASE));
        config.host.drain = Span(Duration::from_millis(200));
    })
    .await
}

fn at(spare: &Running, path: &str) -> String {
    format!("http://{}/{path}", spare.address())
}

async fn get(world: &World, url: String) -> (u16, String) {
    let answer = world.http.get(url).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// Waits until the spare knows that the channel is another one's.
async fn knows(world: &World, spare: &Running, channel: &Channel) {
    eventually(DEADLINE, || async {
        let answer = world.http.get(at(spare, &path(channel, "index.m3u8"))).send().await.unwrap();
        let (status, retry) = (answer.status().as_u16(), answer.headers().get("retry-after").cloned());
        if status == 503 && retry.is_some() { Ok(()) } else { Err(format!("{status}")) }
    })
    .await;
}

async fn publish(world: &World, spare: &Running, channel: &Channel, init: Bytes) -> Publication {
    let new = NewPublication { key: channel.key.clone().unwrap(), tracks: vec![track("v")], standby: false };
    let answer = world.http.post(at(spare, "publications")).json(&new).send().await.unwrap();
    assert_eq!(answer.status(), 201, "{:?}", answer.text().await);
    let publication: Publication = answer.json().await.unwrap();
    assert_eq!(put(world, spare, &publication, "init.mp4", init).await, 204);
    publication
}

async fn put(world: &World, spare: &Running, publication: &Publication, name: &str, body: Bytes) -> u16 {
    let url = at(spare, &format!("publications/{}/v/{name}", publication.id));
    world.http.put(url).body(body).send().await.unwrap().status().as_u16()
}

async fn end(world: &World, spare: &Running, channel: &Channel) -> String {
    let answer = world.http.post(at(spare, &format!("channels/{}/end", channel.id))).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
    let (status, recorded) = get(world, at(spare, &path(channel, "index.m3u8"))).await;
    assert!(status == 200 && recorded.ends_with("#EXT-X-ENDLIST\n"), "{recorded}");
    recorded
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spare_passes_on_what_is_asked_and_goes_on_when_the_owner_leaves() {
    let mut world = world().await;
    let (channel, publication, mut encoder, segments) = sent(&world, 3).await;
    let spare = flame_streaming::start(world.config()).await.unwrap();
    // Viewers are sent to the owner by whoever asked here; what doors and people say goes to the owner from here.
    knows(&world, &spare, &channel).await;
    let sent = encoder.segment();
    assert_eq!(put(&world, &spare, &publication, "3.m4s", sent.concat().into()).await, 204);
    assert!(playlist(&world, &channel, "").await.contains("\n3.m4s\n"));
    let (id, title) = (Uuid::new_v4(), "By the spare".to_owned());
    let new = NewChannel {
        id,
        title,
        segment_ms: 2_000,
        part_ms: 500,
        window_s: 30,
        keep_s: None,
        source: None,
        ladder: None,
        encryption: None,
    };
    let answer = world.http.post(at(&spare, "channels")).json(&new).send().await.unwrap();
    assert_eq!(answer.status(), 201, "{:?}", answer.text().await);
    assert_eq!(world.get(&format!("channels/{id}")).await.status(), 200);
    // A wrong one is told so by the owner, too.
    let answer = world.http.put(at(&spare, &format!("publications/{id}/v/init.mp4"))).body("x").send().await.unwrap();
    assert_eq!(answer.status(), 409);

    world.stop_streaming().await;
    // Until it has read that the owner is gone, it sends viewers to the owner.
    let listed = eventually(DEADLINE, || async {
        let (status, text) = get(&world, at(&spare, &path(&channel, "index.m3u8"))).await;
        if status == 200 { Ok(text) } else { Err(status) }
    })
    .await;
    assert!(listed.contains("#EXT-X-MEDIA-SEQUENCE:0\n") && listed.contains("\n3.m4s\n"), "{listed}");
    let again = publish(&world, &spare, &channel, encoder.init()).await;
    assert_eq!(again.first_number, 4, "nothing is left out");
    let after = encoder.segment();
    assert_eq!(put(&world, &spare, &again, "4.m4s", after.concat().into()).await, 204);
    let (_, listed) = get(&world, at(&spare, &path(&channel, "index.m3u8"))).await;
    assert!(listed.contains("#EXT-X-DISCONTINUITY\n") && listed.contains("\n4.m4s\n"), "{listed}");
    let recorded = end(&world, &spare, &channel).await;
    assert!(!recorded.contains("#EXT-X-GAP"), "{recorded}");
    let all = segments.iter().chain([&sent, &after]).enumerate();
    for (number, parts) in all {
        let answer = world.http.get(at(&spare, &path(&channel, &format!("{number}.m4s")))).send().await.unwrap();
        assert_eq!(answer.bytes().await.unwrap(), parts.concat(), "{number}");
    }
    spare.stop().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_was_stopped_knows_that_its_time_is_over_before_it_answers_or_writes() {
    let mut world = world().await;
    world.run_program().await;
    let (channel, old, mut encoder, _) = sent(&world, 3).await;
    noted(&world, &channel, 2).await;
    let spare = flame_streaming::start(world.config()).await.unwrap();
    knows(&world, &spare, &channel).await;
    world.signal("-STOP");
    let began = Instant::now();
    let listed = eventually(DEADLINE, || async {
        let (status, text) = get(&world, at(&spare, &path(&channel, "index.m3u8"))).await;
        if status == 200 { Ok(text) } else { Err(status) }
    })
    .await;
    println!(
        "the spare has the channels {} ms after the owner was stopped, of a lease of 4 s",
        began.elapsed().as_millis()
    );
    assert!(listed.contains("#EXT-X-MEDIA-SEQUENCE:0\n") && listed.contains("\n2.m4s\n"), "{listed}");
    let new = publish(&world, &spare, &channel, encoder.init()).await;
    assert!((4..=9).contains(&new.first_number), "{}: behind all that was seen", new.first_number);
    let first = new.first_number;
    assert_eq!(put(&world, &spare, &new, &format!("{first}.m4s"), encoder.segment().concat().into()).await, 204);

    // It wakes, with the channel in its memory and a publication that it has begun.
    world.signal("-CONT");
    for name in ["index.m3u8", "2.m4s", &format!("index.m3u8?_HLS_msn={first}")] {
        assert_eq!(world.get(&path(&channel, name)).await.status(), 503, "{name}");
    }
    let url = world.url(&format!("publications/{}/v/3.m4s", old.id));
    let answer = world.http.put(url).body(encoder.segment().concat()).send().await.unwrap();
    assert!([409, 503].contains(&answer.status().as_u16()), "{}", answer.status());
    // What doors ask of it goes to the new owner.
    eventually(DEADLINE, || async {
        let shown = world.ask(Method::GET, &format!("channels/{}", channel.id), &[]).await;
        let shown: Channel = shown.json().await.map_err(|error| error.to_string())?;
        if shown.state == ChannelState::Live { Ok(()) } else { Err(format!("{:?}", shown.state)) }
    })
    .await;
    let next = first + 1;
    send(&world, &new, next, &encoder.segment()).await;
    let recorded = end(&world, &spare, &channel).await;
    assert_eq!(recorded.matches("#EXT-X-GAP\n").count() as u64, first - 3, "{recorded}");
    assert!(recorded.ends_with(&format!("{next}.m4s\n#EXT-X-ENDLIST\n")), "{recorded}");
    spare.stop().await;
    world.stop().await;
}

/// What an instance measures.
async fn measured(world: &World, instance: &Running, name: &str) -> Result<u64, String> {
    let (_, text) = get(world, at(instance, "metrics")).await;
    let line = text.lines().find(|line| line.starts_with(name)).ok_or_else(|| text.clone())?;
    line.rsplit(' ').next().and_then(|value| value.parse().ok()).ok_or_else(|| line.to_owned())
}

/// Waits until it measures this.
async fn measures(world: &World, instance: &Running, name: &str, is_it: impl Fn(u64) -> bool) {
    eventually(DEADLINE, || async {
        let value = measured(world, instance, name).await?;
        if is_it(value) { Ok(()) } else { Err(format!("{name} is {value}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_spare_tries_in_vain_holds_nothing_and_what_owners_left_unnamed_goes_with_the_end() {
    let mut world = world().await;
    let (channel, _, mut encoder, segments) = sent(&world, 3).await;
    // One that is taken back after the other, and cannot be while its key cannot be read.
    let id = Uuid::from_u128(u128::MAX);
    let new = serde_json::json!({
        "id": id, "title": "Locked", "segment_ms": 2000, "part_ms": 500, "window_s": 30, "encryption": "aes-128",
    });
    let answer = world.http.post(world.url("channels")).json(&new).send().await.unwrap();
    assert_eq!(answer.status(), 201, "{:?}", answer.text().await);
    let spare = flame_streaming::start(world.config()).await.unwrap();
    knows(&world, &spare, &channel).await;
    assert_eq!(measured(&world, &spare, "flame_live_keepers").await, Ok(0), "a spare keeps no media");
    let key = format!("default/media/{id}/key.json");
    let kept = world.store.get(&key, 4_096).await.unwrap();
    world.store.put(&key, vec![b' '; 8_192].into(), "application/json").await.unwrap();
    world.stop_streaming().await;
    measures(&world, &spare, "flame_live_takeovers_failed_total", |failed| failed >= 3).await;
    assert_eq!(measured(&world, &spare, "flame_live_keepers").await, Ok(0), "what was read in vain is let go of");
    world.store.put(&key, kept, "application/json").await.unwrap();
    measures(&world, &spare, "flame_live_keepers", |keepers| keepers == 1).await;

    // What two owners stored and did not name: nobody plays it, and a predecessor may yet name it.
    let again = publish(&world, &spare, &channel, encoder.init()).await;
    let first = again.first_number;
    let after = encoder.segment();
    assert_eq!(put(&world, &spare, &again, &format!("{first}.m4s"), after.concat().into()).await, 204);
    let object = |name: &str| format!("default/live/{}/{}/v/{name}", channel.id, channel.version);
    for number in [first + 1, first + 90] {
        world.store.put(&object(&format!("{number}.m4s")), "x".into(), "video/mp4").await.unwrap();
    }
    let recorded = end(&world, &spare, &channel).await;
    eventually(DEADLINE, || async {
        for number in [first + 1, first + 90] {
            let found = world.store.head(&object(&format!("{number}.m4s"))).await.map_err(|error| error.to_string())?;
            if found.is_some() {
                return Err(format!("{number} is there"));
            }
        }
        Ok(())
    })
    .await;
    // All that the recording names is there.
    for (number, parts) in (0..).zip(&segments).chain([(first, &after)]) {
        assert!(recorded.contains(&format!("\n{number}.m4s\n")), "{recorded}");
        let answer = world.http.get(at(&spare, &path(&channel, &format!("{number}.m4s")))).send().await.unwrap();
        assert_eq!(answer.bytes().await.unwrap(), parts.concat(), "{number}");
    }
    for name in ["init.mp4", "recording.json"] {
        assert!(world.store.head(&object(name)).await.unwrap().is_some(), "{name}");
    }
    measures(&world, &spare, "flame_live_keepers", |keepers| keepers == 0).await;
    spare.stop().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_missing_block_named_stays() {
    let mut world = world().await;
    let (channel, _, mut encoder, _) = sent(&world, 3).await;
    let spare = flame_streaming::start(world.config()).await.unwrap();
    knows(&world, &spare, &channel).await;
    world.stop_streaming().await;
    measures(&world, &spare, "flame_live_keepers", |keepers| keepers == 1).await;
    let again = publish(&world, &spare, &channel, encoder.init()).await;
    let first = again.first_number;
    assert_eq!(put(&world, &spare, &again, &format!("{first}.m4s"), encoder.segment().concat().into()).await, 204);
    // Two in a row: no owner leaves those, so it is a block that is not there.
    let object = |number: u64| format!("default/live/{}/{}/v/{number}.m4s", channel.id, channel.version);
    for number in [first + 1, first + 2] {
        world.store.put(&object(number), "x".into(), "video/mp4").await.unwrap();
    }
    let _ = end(&world, &spare, &channel).await;
    // By then the sweep is over.
    measures(&world, &spare, "flame_live_keepers", |keepers| keepers == 0).await;
    for number in [first + 1, first + 2] {
        assert!(world.store.head(&object(number)).await.unwrap().is_some(), "{number} is gone");
    }
    spare.stop().await;
    world.stop().await;
}
