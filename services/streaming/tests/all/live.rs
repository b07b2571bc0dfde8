//! Live channels: what doors push, viewers get at once; what was sent outlives restarts and the end.

use std::time::{Duration, Instant};

use axum::http::{HeaderValue, Method};
use bytes::Bytes;
use flame_api::live::{Channel, ChannelState, LiveTrack, NewChannel, NewPublication, Publication};
use flame_api::media::TrackKind;
use flame_api::metadata::AssetState;
use flame_api::problem::{CONCERNS, RESOURCE};
use flame_cmaf::{Colour, MediaConfig, PictureCodec, Sample, Segmentation, TrackConfig, TrackWriter, VideoConfig};
use flame_service_host::config::Span;
use flame_test_kit::eventually;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::world::{DEADLINE, World, picture, problem};

pub const TIMESCALE: u32 = 90_000;
/// Parts of 500 ms, four of them a segment.
pub const PART_TICKS: i64 = 45_000;
pub const PARTS: usize = 4;
/// 2026-11-26T12:00:00Z.
pub const NOON_TICKS: i64 = 1_795_694_400 * 90_000;

/// Makes parts that follow each other.
pub struct Encoder {
    writer: TrackWriter,
    next_ticks: i64,
    part_ticks: i64,
    seed: u8,
    /// Octets of the one picture of a part.
    pub bytes: usize,
}

impl Encoder {
    pub fn new(width: u16, from_ticks: i64) -> Self {
        Self::counting_in(TIMESCALE, width, from_ticks)
    }

    /// One that counts in other ticks.
    pub fn counting_in(timescale: u32, width: u16, from_ticks: i64) -> Self {
        Self::with(timescale, width, from_ticks, PART_TICKS * i64::from(timescale) / i64::from(TIMESCALE))
    }

    /// One whose parts are so long.
    pub fn of_parts(part_ticks: i64, from_ticks: i64) -> Self {
        Self::with(TIMESCALE, 1280, from_ticks, part_ticks)
    }

    /// One whose pictures are as bright as these transfer characteristics say (H.273).
    pub fn bright(transfer: u16, from_ticks: i64) -> Self {
        let colour = Colour { primaries: 9, transfer, matrix: 9, full_range: false };
        Self::made((TIMESCALE, PART_TICKS), 1280, from_ticks, Some(colour))
    }

    fn with(timescale: u32, width: u16, from_ticks: i64, part_ticks: i64) -> Self {
        Self::made((timescale, part_ticks), width, from_ticks, None)
    }

    fn made((timescale, part_ticks): (u32, i64), width: u16, from_ticks: i64, colour: Option<Colour>) -> Self {
        let codec =
            PictureCodec::Avc(vec![1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 4, 0x67, 0x64, 0, 0x1f, 1, 0, 2, 0x68, 0xeb]);
        let video = VideoConfig { codec, width, height: 720, timescale, colour, composition_delay_ticks: 0 };
        let config = TrackConfig { media: MediaConfig::Video(video), language: None };
        let writer = TrackWriter::new(&config, Segmentation::OnCall).unwrap();
        let mut encoder = Self { writer, next_ticks: from_ticks, part_ticks, seed: 7, bytes: 1000 };
        // What is pushed comes out when the next one is there.
        encoder.part();
        encoder
    }

    pub fn init(&self) -> Bytes {
        self.writer.init().to_vec().into()
    }

    pub fn part(&mut self) -> Option<Bytes> {
        self.seed = self.seed.wrapping_mul(181).wrapping_add(1);
        let ticks = self.next_ticks;
        self.next_ticks += self.part_ticks;
        self.writer.begin_segment();
        let sample = Sample {
            dts_ticks: ticks,
            pts_ticks: ticks,
            duration_ticks: self.part_ticks as u32,
            is_sync: true,
            data: picture(self.seed, self.bytes).into(),
        };
        self.writer.push(sample).unwrap().map(|segment| segment.bytes.into())
    }

    pub fn segment(&mut self) -> Vec<Bytes> {
        (0..PARTS).map(|_| self.part().unwrap()).collect()
    }
}

pub fn track(name: &str) -> LiveTrack {
    LiveTrack {
        name: name.to_owned(),
        kind: TrackKind::Video,
        codec: "avc1.64001f".to_owned(),
        timescale: TIMESCALE,
        part_ticks: PART_TICKS as u32,
        width: Some(1280),
        height: Some(720),
        frame_rate: None,
        channels: None,
        sample_rate_hz: None,
        language: None,
    }
}

pub async fn channel(world: &World) -> Channel {
    let new = NewChannel {
        id: Uuid::new_v4(),
        title: "News".to_owned(),
        segment_ms: 2000,
        part_ms: 500,
        window_s: 30,
        keep_s: None,
        source: None,
        ladder: None,
        encryption: None,
    };
    let answer = world.http.post(world.url("channels")).json(&new).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    answer.json().await.unwrap()
}

pub async fn publish(world: &World, key: &str, init: Bytes) -> Publication {
    publish_as(world, key, init, (track("v"), false)).await
}

/// Begins to send a track, perhaps as the one that stands by.
pub async fn publish_as(world: &World, key: &str, init: Bytes, (track, standby): (LiveTrack, bool)) -> Publication {
    let new = NewPublication { key: key.to_owned(), tracks: vec![track], standby };
    let answer = world.http.post(world.url("publications")).json(&new).send().await.unwrap();
    assert_eq!(answer.status(), 201, "{:?}", answer.text().await);
    let publication: Publication = answer.json().await.unwrap();
    let answer = put(world, &publication, "init.mp4", init).await;
    assert_eq!(answer.status(), 204);
    publication
}

pub async fn put(
    world: &World,
    publication: &Publication,
    name: &str,
    body: impl Into<reqwest::Body>,
) -> reqwest::Response {
    let url = world.url(&format!("publications/{}/v/{name}", publication.id));
    world.http.put(url).body(body).send().await.unwrap()
}

pub async fn send(world: &World, publication: &Publication, number: u64, parts: &[Bytes]) {
    let answer = put(world, publication, &format!("{number}.m4s"), parts.concat()).await;
    // What is held of who stands by is accepted, and what is the channel's has no content.
    assert!(matches!(answer.status().as_u16(), 202 | 204), "{:?}", answer.text().await);
}

/// A segment that is sent part by part: the next one when it is told.
pub fn open(world: &World, publication: &Publication, number: u64) -> (mpsc::Sender<Bytes>, JoinHandle<u16>) {
    let (parts, told) = mpsc::channel::<Bytes>(PARTS);
    let body = futures_util::stream::unfold(told, async |mut told| {
        let part = told.recv().await?;
        Some((Ok::<_, std::io::Error>(part), told))
    });
    let url = world.url(&format!("publications/{}/v/{number}.m4s", publication.id));
    let request = world.http.put(url).body(reqwest::Body::wrap_stream(body));
    (parts, tokio::spawn(async move { request.send().await.unwrap().status().as_u16() }))
}

pub fn path(channel: &Channel, name: &str) -> String {
    format!("{}/{}/v/{name}", channel.id, channel.version)
}

pub async fn playlist(world: &World, channel: &Channel, query: &str) -> String {
    let answer = world.get(&path(channel, &format!("index.m3u8{query}"))).await;
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert_eq!(status, 200, "{text}");
    text
}

pub async fn octets(world: &World, channel: &Channel, name: &str) -> Bytes {
    let answer = world.get(&path(channel, name)).await;
    assert_eq!(answer.status(), 200, "{name}");
    assert_eq!(answer.headers()["cache-control"], "public, max-age=31536000, immutable");
    answer.bytes().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_part_goes_to_who_waits_for_it_as_soon_as_it_is_there() {
    let world = World::start().await;
    let channel = channel(&world).await;
    let mut encoder = Encoder::new(1280, NOON_TICKS);
    let publication = publish(&world, channel.key.as_deref().unwrap(), encoder.init()).await;
    assert_eq!((publication.channel, publication.first_number), (channel.id, 0));
    assert_eq!(problem(world.get(&format!("{}/index.m3u8", channel.id)).await).await.0, "not-ready");
    let first = encoder.segment();
    send(&world, &publication, 0, &first).await;

    let multivariant = world.get(&format!("{}/index.m3u8", channel.id)).await.text().await.unwrap();
    assert!(multivariant.contains(&format!("{}/v/index.m3u8", channel.version)), "{multivariant}");
    let (parts, sent) = open(&world, &publication, 1);
    for part in 0..PARTS {
        let (url, announced) = (
            path(&channel, &format!("index.m3u8?_HLS_msn=1&_HLS_part={part}")),
            path(&channel, &format!("1.{part}.m4s")),
        );
        // Two wait, one for the playlist and one for the part that it announces; nothing has come yet.
        let waits = [world.http.get(world.url(&url)).send(), world.http.get(world.url(&announced)).send()];
        let waits = tokio::spawn(futures_util::future::join_all(waits));
        world.requests_open(2).await;
        let octets = encoder.part().unwrap();
        let told = Instant::now();
        parts.send(octets.clone()).await.unwrap();
        let answers = tokio::time::timeout(DEADLINE, waits).await.unwrap().unwrap();
        println!("part {part}: {:?}", told.elapsed());
        let [playlist, part_answer] = answers.try_into().unwrap();
        let playlist = playlist.unwrap();
        assert_eq!(playlist.headers()["cache-control"], "public, max-age=12");
        let text = playlist.text().await.unwrap();
        assert!(text.contains(&format!("URI=\"1.{part}.m4s\",INDEPENDENT=YES\n")), "{text}");
        assert!(text.contains("#EXT-X-PROGRAM-DATE-TIME:2026-11-26T12:00:02.000Z\n"), "{text}");
        assert_eq!(part_answer.unwrap().bytes().await.unwrap(), octets);
    }
    drop(parts);
    assert_eq!(sent.await.unwrap(), 204);
    assert_eq!(octets(&world, &channel, "0.m4s").await, first.concat());
    assert_eq!(octets(&world, &channel, "init.mp4").await, encoder.init());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playlist_that_will_be_another_has_no_ranges_and_its_media_has() {
    let world = World::start().await;
    let channel = channel(&world).await;
    let mut encoder = Encoder::new(1280, NOON_TICKS);
    let publication = publish(&world, channel.key.as_deref().unwrap(), encoder.init()).await;
    let first = encoder.segment();
    send(&world, &publication, 0, &first).await;
    let part = async |name: &str, range: &str| {
        let answer = world.http.get(world.url(name)).header("range", range).send().await.unwrap();
        (answer.status().as_u16(), answer.headers()["accept-ranges"].clone(), answer.bytes().await.unwrap())
    };
    for name in ["index.m3u8", "index.m3u8?_HLS_msn=0", "iframes.m3u8"] {
        let name = path(&channel, name);
        let whole = world.get(&name).await.bytes().await.unwrap();
        for range in ["bytes=0-5", &format!("bytes={}-", whole.len())] {
            assert_eq!(part(&name, range).await, (200, "none".parse().unwrap(), whole.clone()), "{name} {range}");
        }
    }
    let segment = part(&path(&channel, "0.m4s"), "bytes=4-7").await;
    assert_eq!(segment, (206, "bytes".parse().unwrap(), first.concat()[4..8].to_vec().into()));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_waited_for_is_refused() {
    let world = World::start_with(|config| config.live.patience = Span(Duration::from_millis(200))).await;
    let channel = channel(&world).await;
    let mut encoder = Encoder::new(1280, NOON_TICKS);
    let publication = publish(&world, channel.key.as_deref().unwrap(), encoder.init()).await;
    send(&world, &publication, 0, &encoder.segment()).await;
    for (query, status, slug) in [
        ("_HLS_msn=1", 503, "unavailable"),
        ("_HLS_msn=1&_HLS_part=0", 503, "unavailable"),
        ("_HLS_msn=3", 400, "bad-request"),
        ("_HLS_part=3", 400, "bad-request"),
        ("_HLS_msn=1000000000", 400, "bad-request"),
    ] {
        let answer = world.get(&path(&channel, &format!("index.m3u8?{query}"))).await;
        assert_eq!(answer.status(), status, "{query}");
        // The router goes on asking here for everything else.
        let alone = answer.headers().get(CONCERNS).map(HeaderValue::as_bytes);
        assert_eq!(alone, (status == 503).then_some(RESOURCE.as_bytes()), "{query}");
        assert_eq!(problem(answer).await.0, slug, "{query}");
    }
    for name in ["1.m4s", "1000000000.m4s", "0.9.m4s", "1.1.m4s", "init-1.mp4"] {
        assert_eq!(world.get(&path(&channel, name)).await.status(), 404, "{name}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_out_is_a_gap_and_what_came_twice_is_taken_once() {
    let world = World::start().await;
    let channel = channel(&world).await;
    let mut encoder = Encoder::new(1280, NOON_TICKS);
    let publication = publish(&world, channel.key.as_deref().unwrap(), encoder.init()).await;
    let first = encoder.segment();
    send(&world, &publication, 0, &first).await;
    encoder.segment();
    let third = encoder.segment();
    send(&world, &publication, 2, &third).await;
    send(&world, &publication, 2, &third).await;
    send(&world, &publication, 0, &third).await;
    assert_eq!(octets(&world, &channel, "0.m4s").await, first.concat());
    assert_eq!(octets(&world, &channel, "2.m4s").await, third.concat());
    let text = playlist(&world, &channel, "").await;
    assert!(text.contains("12:00:02.000Z\n#EXT-X-GAP\n#EXTINF:2.0,\n1.m4s\n"), "{text}");
    assert_eq!(world.get(&path(&channel, "1.m4s")).await.status(), 404);

    // What breaks off in the middle is sent again, and goes on where it was.
    let fourth = encoder.segment();
    let (parts, sent) = open(&world, &publication, 3);
    parts.send(fourth[0].clone()).await.unwrap();
    parts.send(fourth[1].slice(..100)).await.unwrap();
    drop(parts);
    assert_eq!(sent.await.unwrap(), 400);
    send(&world, &publication, 3, &fourth).await;
    assert_eq!(octets(&world, &channel, "3.m4s").await, fourth.concat());
    let text = playlist(&world, &channel, "").await;
    assert_eq!(text.matches("URI=\"3.").count(), PARTS, "{text}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_media_or_does_not_follow_is_refused_and_harms_nothing() {
    let world = World::start().await;
    let channel = channel(&world).await;
    let mut encoder = Encoder::new(1280, NOON_TICKS);
    let publication = publish(&world, channel.key.as_deref().unwrap(), encoder.init()).await;
    let first = encoder.segment();
    send(&world, &publication, 0, &first).await;
    let before = playlist(&world, &channel, "").await;
    let mut lying = first[0].to_vec();
    lying[0] = 0x7f;
    for (body, status, what) in [
        (b"not a box at all, not a box".to_vec(), 400, "garbage"),
        (lying, 400, "a box of 2 GiB"),
        (first[0][..50].to_vec(), 400, "half a chunk"),
        (first.concat(), 409, "a time that was"),
        (encoder.init().to_vec(), 400, "an init segment"),
    ] {
        let answer = put(&world, &publication, "1.m4s", body).await;
        assert_eq!(answer.status(), status, "{what}: {:?}", answer.text().await);
    }
    let answer = put(&world, &publication, "100000.m4s", encoder.segment().concat()).await;
    assert_eq!(answer.status(), 409);
    let answer = put(&world, &publication, "init.mp4", "not a box").await;
    assert_eq!(answer.status(), 400);
    assert_eq!(playlist(&world, &channel, "").await, before);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_key_opens_a_channel_and_the_newest_publisher_has_it() {
    let world = World::start().await;
    let channel = channel(&world).await;
    let key = channel.key.clone().unwrap();
    let other = format!("{}{}", channel.id.simple(), Uuid::new_v4().simple());
    for wrong in ["", "x", &key[..40], &other, &format!("{key}0"), &key.to_uppercase()] {
        let new = NewPublication { key: wrong.to_owned(), tracks: vec![track("v")], standby: false };
        let answer = world.http.post(world.url("publications")).json(&new).send().await.unwrap();
        assert_eq!(answer.status(), 403, "{wrong}");
    }
    let shown: Channel = world.get(&format!("channels/{}", channel.id)).await.json().await.unwrap();
    assert_eq!((shown.state, shown.key), (ChannelState::Idle, None));

    let mut encoder = Encoder::new(1280, NOON_TICKS);
    let first = publish(&world, &key, encoder.init()).await;
    send(&world, &first, 0, &encoder.segment()).await;
    let second = publish(&world, &key, encoder.init()).await;
    assert_eq!(second.first_number, 1);
    let answer = put(&world, &first, "1.m4s", encoder.segment().concat()).await;
    assert_eq!(answer.status(), 409, "the first one is over");
    send(&world, &second, 1, &encoder.segment()).await;
    let text = playlist(&world, &channel, "").await;
    assert!(text.contains("0.m4s\n#EXT-X-DISCONTINUITY\n#EXT-X-PROGRAM"), "{text}");

    let rotated = world.ask(Method::POST, &format!("channels/{}/key", channel.id), &[]).await;
    let rotated: Channel = rotated.json().await.unwrap();
    let new = NewPublication { key, tracks: vec![track("v")], standby: false };
    let answer = world.http.post(world.url("publications")).json(&new).send().await.unwrap();
    assert_eq!(answer.status(), 403, "the old key");
    send(&world, &second, 2, &encoder.segment()).await;
    // Other pictures have another init segment.
    let mut encoder = Encoder::new(640, NOON_TICKS + 100 * PART_TICKS);
    let third = publish(&world, rotated.key.as_deref().unwrap(), encoder.init()).await;
    send(&world, &third, 3, &encoder.segment()).await;
    let text = playlist(&world, &channel, "").await;
    assert!(text.contains("#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"init-1.mp4\"\n"), "{text}");
    assert_eq!(octets(&world, &channel, "init-1.mp4").await, encoder.init());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_died_without_a_word_is_noticed() {
    let world = World::start_with(|config| config.live.silence = Span(Duration::from_millis(300))).await;
    let channel = channel(&world).await;
    let mut encoder = Encoder::new(1280, NOON_TICKS);
    let publication = publish(&world, channel.key.as_deref().unwrap(), encoder.init()).await;
    send(&world, &publication, 0, &encoder.segment()).await;
    eventually(DEADLINE, || async {
        let shown: Channel = world.get(&format!("channels/{}", channel.id)).await.json().await.unwrap();
        if shown.state == ChannelState::Idle { Ok(()) } else { Err(format!("{:?}", shown.state)) }
    })
    .await;
    let answer = put(&world, &publication, "1.m4s", encoder.segment().concat()).await;
    assert_eq!(answer.status(), 409, "it is over");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_it_goes_on_and_after_the_end_it_is_an_asset() {
    let mut world = World::start().await;
    let channel = channel(&world).await;
    let key = channel.key.clone().unwrap();
    let mut encoder = Encoder::new(1280, NOON_TICKS);
    let publication = publish(&world, &key, encoder.init()).await;
    let mut sent = Vec::new();
    for number in 0..10 {
        sent.push(encoder.segment());
        send(&world, &publication, number, sent.last().unwrap()).await;
    }
    let before = playlist(&world, &channel, "").await;
    world.restart_streaming().await;
    let after = playlist(&world, &channel, "").await;
    let names = |text: &str| text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!((names(&before), names(&before).len()), (names(&after), 10), "{after}");
    assert_eq!(put(&world, &publication, "10.m4s", "").await.status(), 409, "doors begin anew");
    let publication = publish(&world, &key, encoder.init()).await;
    assert_eq!(publication.first_number, 10);
    // More than the window of 30 s: what lies further back goes, and numbers stay.
    for number in 10..20 {
        sent.push(encoder.segment());
        send(&world, &publication, number, sent.last().unwrap()).await;
    }
    eventually(DEADLINE, || async {
        let text = playlist(&world, &channel, "").await;
        let first = text.lines().find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:")).unwrap().to_owned();
        if first == "5" { Ok(()) } else { Err(text) }
    })
    .await;
    let delta = playlist(&world, &channel, "?_HLS_skip=YES").await;
    assert!(delta.contains("#EXT-X-SKIP:SKIPPED-SEGMENTS="), "{delta}");
    assert_eq!(octets(&world, &channel, "6.m4s").await, sent[6].concat());

    let ended = world.ask(Method::POST, &format!("channels/{}/end", channel.id), &[]).await;
    let status = ended.status();
    let ended = ended.text().await.unwrap();
    assert_eq!(status, 200, "{ended}");
    for restarts in 0..2 {
        let text = eventually(DEADLINE, || async {
            let text = playlist(&world, &channel, "").await;
            if text.contains("#EXT-X-MEDIA-SEQUENCE:0\n") { Ok(text) } else { Err(text) }
        })
        .await;
        assert!(text.ends_with("19.m4s\n#EXT-X-ENDLIST\n"), "{text}");
        assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{text}");
        for number in [0, 10, 19] {
            assert_eq!(octets(&world, &channel, &format!("{number}.m4s")).await, sent[number].concat());
        }
        assert_eq!(octets(&world, &channel, "init.mp4").await, encoder.init());
        let multivariant = world.get(&format!("{}/index.m3u8", channel.id)).await;
        assert_eq!(multivariant.status(), 200, "after {restarts} restarts");
        let shown: Channel = world.get(&format!("channels/{}", channel.id)).await.json().await.unwrap();
        assert_eq!(shown.state, ChannelState::Ended);
        world.restart_streaming().await;
    }
    let asset = world.catalogue.asset(channel.id).await.unwrap().unwrap();
    assert_eq!((asset.title.as_str(), asset.state), ("News", AssetState::Ready));
    assert_eq!(asset.version.unwrap().tracks[0].duration_ms, 40_000);
    let answer = world.ask(Method::POST, &format!("channels/{}/end", channel.id), &[]).await;
    assert_eq!(answer.status(), 200, "repeating it changes nothing");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_away_viewers_go_on_and_nothing_is_lost() {
    let mut world = World::start().await;
    let channel = channel(&world).await;
    let mut encoder = Encoder::new(1280, NOON_TICKS);
    let publication = publish(&world, channel.key.as_deref().unwrap(), encoder.init()).await;
    let mut sent = vec![encoder.segment()];
    send(&world, &publication, 0, &sent[0]).await;
    world.stop_store().await;
    for number in 1..12 {
        sent.push(encoder.segment());
        send(&world, &publication, number, sent.last().unwrap()).await;
        assert_eq!(octets(&world, &channel, &format!("{number}.m4s")).await, sent.last().unwrap().concat());
    }
    world.start_store().await;
    eventually(DEADLINE, || async {
        let key = format!("default/live/{}/{}/v/11.m4s", channel.id, channel.version);
        world.store.head(&key).await.unwrap().map(drop).ok_or("not stored")
    })
    .await;
    world.restart_streaming().await;
    for (number, parts) in sent.iter().enumerate() {
        assert_eq!(octets(&world, &channel, &format!("{number}.m4s")).await, parts.concat());
    }
    world.stop().await;
}
