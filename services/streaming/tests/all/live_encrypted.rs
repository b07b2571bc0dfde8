//! Encrypted channels: what opens their segments and parts, and that nothing of them goes out in the clear, in no form, before and after the end.

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::time::Duration;

use axum::http::Method;
use bytes::Bytes;
use flame_api::live::Channel;
use flame_api::metadata::Encryption;
use flame_test_kit::eventually;
use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::encrypted::{encrypt, made, multivariant, opened, quoted};
use crate::live::{Encoder, NOON_TICKS, PARTS, open, path, publish, send};
use crate::live_forms::{self, sent, text};
use crate::world::{DEADLINE, World, problem};

/// So many octets of a sample in a row are no accident.
const RUN: usize = 48;

async fn create(world: &World, encryption: &str) -> reqwest::Response {
    let new = json!({
        "id": Uuid::new_v4(), "title": "Secret", "segment_ms": 2000, "part_ms": 500, "window_s": 30, "encryption": encryption,
    });
    world.http.post(world.url("channels")).json(&new).send().await.unwrap()
}

/// What was sent, and under which name it goes out.
struct Sent {
    channel: Channel,
    sealed: String,
    secret: Vec<u8>,
    segments: Vec<Bytes>,
    /// Of the segment that is under way, or was.
    parts: Vec<Bytes>,
}

impl Sent {
    /// Everything that is there by a clear name is refused; what is there by the other one opens, and shows nothing.
    async fn is_closed(&self, world: &World, has_parts: bool) {
        let Self { channel, sealed, .. } = self;
        let next = self.segments.len();
        let files =
            ["index.m3u8", "ts.m3u8", "iframes.m3u8", "init.mp4", "0.m4s", "0.ts", "i0.m4s", "2.m4s", "0.0.m4s"];
        let files = files.into_iter().map(str::to_owned);
        let more = [format!("{next}.0.m4s"), format!("{next}.m4s"), "1.m4s?to=2026-11-26T12:00:03Z".to_owned()];
        for name in files.chain(more) {
            let answer = world.get(&format!("{}/{}/v/{name}", channel.id, channel.version)).await;
            assert_eq!(answer.status(), 404, "{name}");
            assert_eq!(problem(answer).await.0, "encrypted", "{name}");
            let other = world.get(&format!("{}/{}-00000000/v/{name}", channel.id, channel.version)).await;
            assert_eq!(other.status(), 404, "{name} of another key");
        }
        for name in ["manifest.mpd", "thumbnails.vtt", "poster.jpg", "manifest.mpd?from=1s&to=3s"] {
            assert_eq!(world.get(&format!("{}/{name}", channel.id)).await.status(), 404, "{name}");
        }
        for (number, segment) in self.segments.iter().enumerate() {
            let answer = world.get(&format!("{sealed}/v/{number}.m4s")).await;
            assert_eq!(answer.status(), 200, "{number}");
            assert_eq!(opened(&self.secret, number as u64, &answer.bytes().await.unwrap()), *segment, "{number}");
        }
        if has_parts {
            for (at, part) in self.parts.iter().enumerate() {
                let answer = world.get(&format!("{sealed}/v/{next}.{at}.m4s")).await;
                assert_eq!(answer.status(), 200, "{next}.{at}");
                assert_eq!(opened(&self.secret, next as u64, &answer.bytes().await.unwrap()), *part, "{next}.{at}");
            }
        }
        let names = ["0.m4s", "0.ts", "i0.m4s", "i5.m4s", "1.m4s?to=2026-11-26T12:00:03Z"].map(str::to_owned);
        let parts = (0..4).map(|at| format!("{next}.{at}.m4s")).chain([format!("{next}.m4s"), "2.3.m4s".to_owned()]);
        for name in names.into_iter().chain(parts) {
            let answer = world.ask(Method::GET, &format!("{sealed}/v/{name}"), &[]).await;
            let octets = answer.bytes().await.unwrap_or_default();
            let is_bare = octets.windows(RUN).any(|run| run.iter().all(|octet| *octet == run[0]));
            assert!(!is_bare, "{name} shows a sample");
        }
        let iframes = text(world, &format!("{sealed}/v/iframes.m3u8")).await;
        assert!(iframes.contains("#EXT-X-KEY:METHOD=AES-128"), "{iframes}");
        let query = "?from=2026-11-26T12:00:01Z&to=2026-11-26T12:00:03Z";
        let clip = text(world, &format!("{sealed}/v/index.m3u8{query}")).await;
        assert!(clip.contains("#EXT-X-KEY:METHOD=AES-128"), "{clip}");
        for form in [String::new(), query.to_owned()] {
            let multivariant = text(world, &format!("{}/index.m3u8{form}", channel.id)).await;
            let (_, version) = sealed.split_once('/').unwrap();
            assert!(multivariant.contains(&format!("{version}/v/index.m3u8")), "{multivariant}");
            assert!(!multivariant.contains(&format!("{}/", channel.version)), "{multivariant}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_an_encrypted_channel_goes_out_in_the_clear_before_or_after_its_end() {
    let mut world = World::start_with(|config| {
        config.catalogue.media_fresh.0 = Duration::ZERO;
        config.catalogue.fresh.0 = Duration::from_millis(1);
        config.live.silence.0 = Duration::from_secs(120);
    })
    .await;
    let answer = create(&world, "aes-128").await;
    assert_eq!(answer.status(), 201);
    let channel: Channel = answer.json().await.unwrap();
    let mut encoder = Encoder::new(1280, NOON_TICKS);
    let publication = publish(&world, channel.key.as_deref().unwrap(), encoder.init()).await;
    let mut segments = Vec::new();
    for number in 0..3 {
        let parts = encoder.segment();
        send(&world, &publication, number, &parts).await;
        segments.push(Bytes::from(parts.concat()));
    }
    let multivariant = text(&world, &format!("{}/index.m3u8", channel.id)).await;
    let folder = multivariant.lines().find_map(|line| line.strip_suffix("/v/index.m3u8")).expect("it has a variant");
    let sealed = format!("{}/{folder}", channel.id);
    let (sending, answer) = open(&world, &publication, 3);
    let parts: Vec<Bytes> = (0..2).map(|_| encoder.part().unwrap()).collect();
    for part in &parts {
        sending.send(part.clone()).await.unwrap();
    }
    let listed = eventually(DEADLINE, || async {
        let listed = text(&world, &format!("{sealed}/v/index.m3u8")).await;
        if listed.contains("URI=\"3.1.m4s\"") { Ok(listed) } else { Err(listed) }
    })
    .await;
    assert!(listed.contains("#EXT-X-MAP:URI=\"init.mp4\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"../../keys/"), "{listed}");
    assert!(!listed.contains("CAN-SKIP-UNTIL") && !listed.contains("IV="), "{listed}");
    let key = quoted(&listed, "#EXT-X-KEY:METHOD=AES-128,URI").trim_start_matches("../../");
    let answer_of_key = world.get(&format!("{}/{key}", channel.id)).await;
    assert_eq!(
        (answer_of_key.status().as_u16(), &answer_of_key.headers()["cache-control"]),
        (200, &"no-store".parse().unwrap())
    );
    let secret = answer_of_key.bytes().await.unwrap().to_vec();
    assert_eq!(secret.len(), 16);
    let other = world.get(&format!("{}/keys/{}", channel.id, "0".repeat(32))).await;
    assert_eq!(other.status(), 404);

    // However many ask for a part, it is encrypted once.
    let (before, part) = (made(&world).await, format!("{sealed}/v/3.0.m4s"));
    let crowd = join_all((0..20).map(|_| world.get(&part))).await;
    assert!(crowd.iter().all(|answer| answer.status() == 200));
    assert_eq!(made(&world).await, before + 1);

    let mut sent = Sent { channel, sealed, secret, segments, parts };
    // What is under way has no length, and as a whole no key.
    assert_eq!(world.get(&format!("{}/v/3.m4s", sent.sealed)).await.status(), 404);
    sent.is_closed(&world, true).await;
    drop(sending);
    assert_eq!(answer.await.unwrap(), 204);
    sent.segments.push(Bytes::from(sent.parts.concat()));
    world.restart_streaming().await;
    sent.is_closed(&world, false).await;

    // The end: while it is served from memory still, and as a recording.
    end_of(&world, &sent).await;
    sent.is_closed(&world, false).await;
    world.restart_streaming().await;
    sent.is_closed(&world, false).await;
    let recorded = text(&world, &format!("{}/v/index.m3u8", sent.sealed)).await;
    assert!(recorded.contains("#EXT-X-KEY:METHOD=AES-128") && recorded.ends_with("#EXT-X-ENDLIST\n"), "{recorded}");
    let again = world.get(&format!("{}/{key}", sent.channel.id)).await;
    assert_eq!(again.bytes().await.unwrap(), sent.secret);
    world.stop().await;
}

async fn end_of(world: &World, sent: &Sent) {
    let answer = world.ask(Method::POST, &format!("channels/{}/end", sent.channel.id), &[]).await;
    assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_encrypted_as_whole_segments_or_not_at_all_and_older_releases_leave_it_out() {
    let world = World::start().await;
    let refused = create(&world, "sample-aes").await;
    assert_eq!(refused.status(), 422);
    let detail = refused.json::<flame_api::Problem>().await.unwrap().detail;
    assert!(detail.contains("aes-128"), "{detail}");
    let channel: Channel = create(&world, "aes-128").await.json().await.unwrap();
    let shown: Value = world.get(&format!("channels/{}", channel.id)).await.json().await.unwrap();
    assert_eq!(shown["encryption"], "aes-128", "{shown}");
    let version = async |key: String| {
        let document: Value = serde_json::from_slice(&world.store.get(&key, 1 << 20).await.unwrap()).unwrap();
        document["version"].clone()
    };
    assert_eq!(version(format!("default/channels/{}.json", channel.id)).await, 5);
    let mut encoder = Encoder::new(1280, NOON_TICKS);
    let publication = publish(&world, channel.key.as_deref().unwrap(), encoder.init()).await;
    send(&world, &publication, 0, &encoder.segment()).await;
    let answer = world.ask(Method::POST, &format!("channels/{}/end", channel.id), &[]).await;
    assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
    assert_eq!(version(format!("default/live/{}/{}/v/recording.json", channel.id, channel.version)).await, 5);
    world.stop().await;
}

/// Settings of the catalogue count at once.
async fn attentive() -> World {
    World::start_with(|config| {
        config.catalogue.media_fresh.0 = Duration::ZERO;
        config.catalogue.fresh.0 = Duration::from_millis(1);
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recording_of_a_channel_that_was_in_the_clear_can_be_encrypted_as_any_asset() {
    let mut world = attentive().await;
    let (channel, _, _, segments) = sent(&world, 4).await;
    live_forms::end(&world, &channel).await;
    // What remains is the recording, and nothing in memory.
    world.restart_streaming().await;
    let clear = text(&world, &path(&channel, "index.m3u8")).await;
    assert!(!clear.contains("#EXT-X-KEY"), "{clear}");

    encrypt(&world, channel.id, Some(Encryption::Aes128)).await;
    let playlist = multivariant(&world, channel.id, &format!("{}-", channel.version)).await;
    let folder = playlist.lines().find_map(|line| line.strip_suffix("/v/index.m3u8")).expect("it has a variant");
    assert!(playlist.contains(&format!("URI=\"{folder}/v/iframes.m3u8\"")), "{playlist}");
    let sealed = format!("{}/{folder}/v", channel.id);
    let listed = text(&world, &format!("{sealed}/index.m3u8")).await;
    assert!(listed.contains("#EXT-X-MAP:URI=\"init.mp4\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"../../keys/"), "{listed}");
    let without_keys: String =
        listed.lines().filter(|line| !line.starts_with("#EXT-X-KEY")).map(|line| format!("{line}\n")).collect();
    assert_eq!(without_keys, clear);
    let key = quoted(&listed, "#EXT-X-KEY:METHOD=AES-128,URI").trim_start_matches("../../");
    let secret = world.get(&format!("{}/{key}", channel.id)).await.bytes().await.unwrap();
    assert_eq!(secret.len(), 16);
    let get = async |name: &str| {
        let answer = world.get(&format!("{sealed}/{name}")).await;
        assert_eq!(answer.status(), 200, "{name}");
        answer.bytes().await.unwrap()
    };
    for (number, segment) in segments.iter().enumerate() {
        assert_eq!(opened(&secret, number as u64, &get(&format!("{number}.m4s")).await), segment.concat());
    }
    assert_eq!(&opened(&secret, 2, &get("i2.m4s").await)[4..8], b"styp");
    assert_eq!(&get("init.mp4").await[4..8], b"ftyp");
    for name in ["ts.m3u8", "iframes.m3u8", "index.m3u8?from=1s&to=5s"] {
        let text = text(&world, &format!("{sealed}/{name}")).await;
        assert!(text.contains("#EXT-X-KEY:METHOD=AES-128"), "{name}: {text}");
    }
    for name in ["index.m3u8", "ts.m3u8", "iframes.m3u8", "init.mp4", "0.m4s", "0.ts", "i0.m4s"] {
        let refused = world.get(&path(&channel, name)).await;
        assert_eq!((refused.status().as_u16(), problem(refused).await.0.as_str()), (404, "encrypted"), "{name}");
    }
    assert_eq!(world.get(&format!("{}/manifest.mpd", channel.id)).await.status(), 404);

    encrypt(&world, channel.id, None).await;
    let again = multivariant(&world, channel.id, &format!("{}/v/index.m3u8", channel.version)).await;
    assert!(!again.contains(folder), "{again}");
    assert_eq!(text(&world, &path(&channel, "index.m3u8")).await, clear);
    world.stop().await;
}

/// Of samples one block of ten is encrypted: so many octets in a row are none.
const CLEAR_RUN: usize = 200;

fn holds(octets: &[u8], what: &[u8]) -> bool {
    octets.windows(what.len()).any(|found| found == what)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_samples_of_a_recording_can_be_encrypted_in_hls_and_in_dash() {
    let mut world = attentive().await;
    let (channel, _, _, segments) = sent(&world, 3).await;
    live_forms::end(&world, &channel).await;
    world.restart_streaming().await;
    encrypt(&world, channel.id, Some(Encryption::SampleAes)).await;
    let playlist = multivariant(&world, channel.id, &format!("{}-", channel.version)).await;
    let folder = playlist.lines().find_map(|line| line.strip_suffix("/v/index.m3u8")).expect("it has a variant");
    let sealed = format!("{}/{folder}/v", channel.id);
    let listed = text(&world, &format!("{sealed}/index.m3u8")).await;
    assert!(listed.contains("#EXT-X-MAP:URI=\"init.mp4\"\n#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"../../keys/"), "{listed}");
    assert!(!listed.contains("IV="), "the init segment says it: {listed}");
    let (_, id) = quoted(&listed, "METHOD=SAMPLE-AES,URI").rsplit_once('/').unwrap();
    let get = async |name: &str| {
        let answer = world.get(&format!("{sealed}/{name}")).await;
        assert_eq!(answer.status(), 200, "{name}");
        answer.bytes().await.unwrap()
    };
    let init = get("init.mp4").await;
    assert!(holds(&init, b"encv") && holds(&init, b"cbcs") && holds(&init, &hex::decode(id).unwrap()));
    let is_bare = |octets: &[u8]| octets.windows(CLEAR_RUN).any(|run| run.iter().all(|octet| *octet == run[0]));
    for (number, segment) in segments.iter().enumerate() {
        let octets = get(&format!("{number}.m4s")).await;
        assert!(is_bare(&segment.concat()) && !is_bare(&octets) && holds(&octets, b"senc"), "{number}");
    }
    let picture = get("i2.m4s").await;
    assert!(holds(&picture, b"senc") && !is_bare(&picture));
    for (name, says) in [("ts.m3u8", ",IV=0x"), ("iframes.m3u8", "keys/"), ("index.m3u8?from=1s&to=5s", "keys/")] {
        let text = text(&world, &format!("{sealed}/{name}")).await;
        assert!(text.contains("#EXT-X-KEY:METHOD=SAMPLE-AES") && text.contains(says), "{name}: {text}");
    }
    for query in ["", "?from=1s&to=5s"] {
        let mpd = text(&world, &format!("{}/manifest.mpd{query}", channel.id)).await;
        let key = format!("cenc:default_KID=\"{}\"", Uuid::parse_str(id).unwrap());
        assert!(mpd.contains(&key) && mpd.contains(folder), "{mpd}");
    }
    for name in ["index.m3u8", "ts.m3u8", "iframes.m3u8", "init.mp4", "0.m4s", "0.ts", "i0.m4s"] {
        let refused = world.get(&path(&channel, name)).await;
        assert_eq!((refused.status().as_u16(), problem(refused).await.0.as_str()), (404, "encrypted"), "{name}");
    }
    // Encrypted as a whole from now on: by another name, and who plays goes on.
    encrypt(&world, channel.id, Some(Encryption::Aes128)).await;
    eventually(DEADLINE, || async {
        let playlist = text(&world, &format!("{}/index.m3u8", channel.id)).await;
        if playlist.contains(folder) { Err(playlist) } else { Ok(()) }
    })
    .await;
    assert_eq!(get("init.mp4").await, init);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_has_ended_gives_nothing_in_the_clear_once_its_asset_is_encrypted() {
    let world = attentive().await;
    let (channel, _, _, segments) = sent(&world, 4).await;
    live_forms::end(&world, &channel).await;
    encrypt(&world, channel.id, Some(Encryption::Aes128)).await;
    // What was known a millisecond ago may count for a few of these; for all of them only what is served from memory for seconds.
    for _ in 0..50 {
        if world.get(&path(&channel, "index.m3u8")).await.status() == 404 {
            break;
        }
    }
    for name in ["index.m3u8", "ts.m3u8", "iframes.m3u8", "init.mp4", "0.m4s", "0.ts", "i0.m4s"] {
        let refused = world.get(&path(&channel, name)).await;
        assert_eq!((refused.status().as_u16(), problem(refused).await.0.as_str()), (404, "encrypted"), "{name}");
    }
    assert_eq!(world.get(&format!("{}/manifest.mpd", channel.id)).await.status(), 404);
    let playlist = text(&world, &format!("{}/index.m3u8", channel.id)).await;
    let folder = playlist.lines().find_map(|line| line.strip_suffix("/v/index.m3u8")).expect("it has a variant");
    assert!(folder.starts_with(&format!("{}-", channel.version)), "{playlist}");
    let sealed = format!("{}/{folder}/v", channel.id);
    let listed = text(&world, &format!("{sealed}/index.m3u8")).await;
    let key = quoted(&listed, "#EXT-X-KEY:METHOD=AES-128,URI").trim_start_matches("../../");
    let secret = world.get(&format!("{}/{key}", channel.id)).await.bytes().await.unwrap();
    let octets = world.get(&format!("{sealed}/0.m4s")).await.bytes().await.unwrap();
    assert_eq!(opened(&secret, 0, &octets), segments[0].concat());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recording_of_an_encrypted_channel_is_what_it_was_whatever_the_catalogue_says() {
    let mut world = attentive().await;
    let channel: Channel = create(&world, "aes-128").await.json().await.unwrap();
    let mut encoder = Encoder::new(1280, NOON_TICKS);
    let publication = publish(&world, channel.key.as_deref().unwrap(), encoder.init()).await;
    let mut segments = Vec::new();
    for number in 0..3 {
        let parts = encoder.segment();
        send(&world, &publication, number, &parts).await;
        segments.push(parts.concat());
    }
    let answer = world.ask(Method::POST, &format!("channels/{}/end", channel.id), &[]).await;
    assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
    world.restart_streaming().await;
    let url = format!("{}/index.m3u8", channel.id);
    let before = text(&world, &url).await;
    let folder = before.lines().find_map(|line| line.strip_suffix("/v/index.m3u8")).expect("it has a variant");
    let sealed = format!("{}/{folder}/v", channel.id);
    let listed = text(&world, &format!("{sealed}/index.m3u8")).await;
    let key = quoted(&listed, "#EXT-X-KEY:METHOD=AES-128,URI").trim_start_matches("../../");
    let secret = world.get(&format!("{}/{key}", channel.id)).await.bytes().await.unwrap();
    for (setting, why) in [
        (Some(Encryption::SampleAes), "DASH of an encrypted recording"),
        (Some(Encryption::Aes128), "DASH of an asset that is encrypted"),
        (None, "DASH of a recording that is encrypted"),
    ] {
        encrypt(&world, channel.id, setting).await;
        // It is never offered as DASH; why not says which setting is known.
        eventually(DEADLINE, || async {
            let (slug, detail) = problem(world.get(&format!("{}/manifest.mpd", channel.id)).await).await;
            assert_eq!(slug, "not-found", "{detail}");
            if detail.contains(why) { Ok(()) } else { Err(detail) }
        })
        .await;
        assert_eq!(text(&world, &url).await, before, "{setting:?}");
        assert_eq!(text(&world, &format!("{sealed}/index.m3u8")).await, listed, "{setting:?}");
        let clip = text(&world, &format!("{sealed}/index.m3u8?from=1s&to=3s")).await;
        assert!(clip.contains("#EXT-X-KEY:METHOD=AES-128"), "{setting:?}: {clip}");
        for (number, segment) in segments.iter().enumerate() {
            let octets = world.get(&format!("{sealed}/{number}.m4s")).await.bytes().await.unwrap();
            assert_eq!(opened(&secret, number as u64, &octets), *segment, "{setting:?}");
        }
        let refused = world.get(&format!("{}/{}/v/0.m4s", channel.id, channel.version)).await;
        assert_eq!(problem(refused).await.0, "encrypted", "{setting:?}");
    }
    world.stop().await;
}

/// Each segment of a playlist, or each picture where they are called `i`, with where the key is that opens it.
fn keys_of(listed: &str, called: &str) -> Vec<(u64, String)> {
    let (mut key, mut found) = (String::new(), Vec::new());
    for line in listed.lines() {
        if line.starts_with("#EXT-X-KEY:METHOD=AES-128") {
            quoted(line, "METHOD=AES-128,URI").trim_start_matches("../../").clone_into(&mut key);
        }
        let name = line.strip_prefix(called).and_then(|name| name.strip_suffix(".m4s"));
        if let Some(number) = name.and_then(|digits| digits.parse().ok()) {
            found.push((number, key.clone()));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_changes_opens_its_own_segments_live_and_in_the_recording() {
    let mut world = World::start_with(|config| {
        config.live.key_segments = NonZeroU64::new(2);
        config.live.silence.0 = Duration::from_secs(120);
        config.catalogue.media_fresh.0 = Duration::ZERO;
        config.catalogue.fresh.0 = Duration::from_millis(1);
    })
    .await;
    let channel: Channel = create(&world, "aes-128").await.json().await.unwrap();
    let mut encoder = Encoder::new(1280, NOON_TICKS);
    let publication = publish(&world, channel.key.as_deref().unwrap(), encoder.init()).await;
    let mut segments = Vec::new();
    for number in 0..5 {
        let parts = encoder.segment();
        send(&world, &publication, number, &parts).await;
        segments.push(parts.concat());
    }
    let playlist = text(&world, &format!("{}/index.m3u8", channel.id)).await;
    assert!(playlist.contains("/v/iframes.m3u8"), "{playlist}");
    let folder = playlist.lines().find_map(|line| line.strip_suffix("/v/index.m3u8")).expect("it has a variant");
    let sealed = format!("{}/{folder}/v", channel.id);
    let secret = async |world: &World, key: &str| {
        let answer = world.get(&format!("{}/{key}", channel.id)).await;
        assert_eq!(answer.status(), 200, "{key}");
        answer.bytes().await.unwrap()
    };
    // All that is listed opens with the key that stands in front of it, and each key is one of two segments.
    let opens = async |world: &World, segments: &[Vec<u8>]| {
        let keys = keys_of(&text(world, &format!("{sealed}/index.m3u8")).await, "");
        assert_eq!(keys.len(), segments.len(), "{keys:?}");
        for (number, key) in &keys {
            assert!(key.ends_with(&format!("-{}", number / 2)), "{keys:?}");
            let octets = world.get(&format!("{sealed}/{number}.m4s")).await.bytes().await.unwrap();
            let place = usize::try_from(*number).unwrap();
            assert_eq!(opened(&secret(world, key).await, *number, &octets), segments[place], "{number}");
        }
        // So does each picture, whose vector is its own number.
        let pictures = keys_of(&text(world, &format!("{sealed}/iframes.m3u8")).await, "i");
        assert!(pictures.len() >= 5 * PARTS, "{pictures:?}");
        for (number, key) in &pictures {
            assert!(key.ends_with(&format!("-{}", number / PARTS as u64 / 2)), "{pictures:?}");
            let octets = world.get(&format!("{sealed}/i{number}.m4s")).await.bytes().await.unwrap();
            assert_eq!(&opened(&secret(world, key).await, *number, &octets)[4..8], b"styp", "{number}");
        }
        keys
    };
    let keys = opens(&world, &segments).await;
    let mut secrets = BTreeSet::new();
    for (_, key) in &keys {
        secrets.insert(secret(&world, key).await.to_vec());
    }
    assert_eq!(secrets.len(), 3);
    // A part opens with the key of its segment.
    let (sending, answer) = open(&world, &publication, 5);
    let part = encoder.part().unwrap();
    sending.send(part.clone()).await.unwrap();
    let octets = eventually(DEADLINE, || async {
        let answer = world.get(&format!("{sealed}/5.0.m4s")).await;
        if answer.status() == 200 { Ok(answer.bytes().await.unwrap()) } else { Err(answer.status()) }
    })
    .await;
    let (base, _) = keys[0].1.rsplit_once('-').unwrap();
    assert_eq!(opened(&secret(&world, &format!("{base}-2")).await, 5, &octets), part);
    // What the keys are made of is nobody's, nor is a key that is not used yet.
    // Segment 5 is under way: the next one is the first of period 3.
    let closed = [base.to_owned(), format!("{base}-3"), format!("{base}-9"), format!("{base}-00")];
    for name in &closed {
        assert_eq!(world.get(&format!("{}/{name}", channel.id)).await.status(), 404, "{name}");
    }
    drop(sending);
    assert_eq!(answer.await.unwrap(), 204);
    segments.push(part.to_vec());
    world.restart_streaming().await;
    assert_eq!(opens(&world, &segments).await[..5], keys[..]);
    // Whoever sends next begins further ahead; that has not begun either.
    for name in &closed {
        assert_eq!(world.get(&format!("{}/{name}", channel.id)).await.status(), 404, "{name} after a restart");
    }
    let answer = world.ask(Method::POST, &format!("channels/{}/end", channel.id), &[]).await;
    assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
    world.restart_streaming().await;
    assert_eq!(opens(&world, &segments).await[..5], keys[..]);
    assert!(text(&world, &format!("{sealed}/index.m3u8")).await.ends_with("#EXT-X-ENDLIST\n"));
    assert_eq!(world.get(&format!("{}/{base}", channel.id)).await.status(), 404);
    world.stop().await;
}
