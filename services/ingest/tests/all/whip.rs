//! The WHIP door: FFmpeg publishes by WebRTC and all that it sends arrives; who may not, or offers nothing that can be taken, is told why.

use std::process::{Command, Stdio};
use std::time::Duration;

use flame_ingest::config::WhipConfig;
use flame_service_host::config::Span;
use flame_test_kit::eventually;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use reqwest::{Method, StatusCode};
use str0m::RtcConfig;
use str0m::crypto::from_feature_flags;
use str0m::ice::{StunMessage, TransId};
use str0m::media::{Direction, MediaKind};
use tokio::net::UdpSocket;
use uuid::Uuid;

use crate::stage::{Encoder, Stage};
use crate::world::PATIENCE;

/// Shorter than in production, so that tests end.
const IDLE: Duration = Duration::from_secs(3);
/// An FFmpeg that speaks WHIP: Debian's is older.
const FFMPEG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../media-tests/judges/ffmpeg");
const RATE: u32 = 30;

async fn stage() -> Stage {
    Stage::start(|config| {
        let listen = "127.0.0.1:0".parse().unwrap();
        config.whip = Some(WhipConfig { listen, idle: Span(IDLE), max_sessions: 2, ..WhipConfig::default() });
    })
    .await
}

/// A picture and a tone, for `seconds`, to a session that `key` opens.
fn publish(stage: &Stage, key: &str, seconds: u32) -> Encoder {
    let pictures = format!("testsrc2=size=320x180:rate={RATE}");
    let url = format!("{}/whip/{key}", stage.world.base());
    let child = Command::new(FFMPEG)
        .args(["-nostdin", "-v", "error", "-re", "-f", "lavfi", "-i", &pictures])
        .args(["-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", &seconds.to_string()])
        .args(["-c:v", "libx264", "-profile:v", "baseline", "-preset", "ultrafast", "-tune", "zerolatency"])
        .args(["-g", &RATE.to_string(), "-pix_fmt", "yuv420p", "-c:a", "libopus", "-ac", "2", "-b:a", "96k"])
        .args(["-f", "whip", &url])
        .env_remove("http_proxy")
        .stdin(Stdio::null())
        .spawn()
        .expect("ffmpeg starts");
    Encoder(child)
}

async fn is_idle(stage: &Stage, channel: Uuid) {
    eventually(PATIENCE, || async {
        let state = stage.client.channel(channel).await.map_err(|error| error.to_string())?.unwrap().state;
        if state == flame_api::live::ChannelState::Idle { Ok(()) } else { Err(format!("it is {state:?}")) }
    })
    .await;
}

/// Of each packet of the first stream of a kind, when it is shown, seconds.
fn times(url: &str, stream: &str) -> Vec<f64> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", stream, "-show_entries", "packet=pts_time", "-of", "csv=p=0", url])
        .output()
        .expect("ffprobe starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{url}: {errors}");
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().filter_map(|line| line.trim_end_matches(',').parse().ok()).collect()
}

/// What an encoder with these codecs would offer.
fn offer(offers: impl FnOnce(RtcConfig) -> RtcConfig, kind: MediaKind, direction: Direction) -> String {
    let config = RtcConfig::new().set_crypto_provider(std::sync::Arc::new(from_feature_flags())).clear_codecs();
    let mut rtc = offers(config).build(std::time::Instant::now());
    let mut changes = rtc.sdp_api();
    changes.add_media(kind, direction, None, None, None);
    changes.apply().unwrap().0.to_sdp_string()
}

async fn post(stage: &Stage, path: &str, content_type: &str, offer: String) -> (StatusCode, String, Option<String>) {
    let request = stage.world.request(Method::POST, path).header("content-type", content_type).body(offer);
    let answer = request.send().await.unwrap();
    let location = answer.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
    (answer.status(), answer.text().await.unwrap(), location)
}

#[tokio::test]
async fn all_that_ffmpeg_sends_arrives_in_time() {
    let stage = stage().await;
    let channel = stage.channel().await;
    let mut encoder = publish(&stage, channel.key.as_deref().unwrap(), 6);
    let ended = eventually(PATIENCE, || {
        let ended = encoder.0.try_wait().unwrap();
        async move { ended.ok_or("the encoder goes on") }
    });
    assert!(ended.await.success());
    // It says that it goes.
    is_idle(&stage, channel.id).await;
    stage.client.end_channel(channel.id).await.unwrap();
    eventually(PATIENCE, || async {
        let pictures = stage.pictures(channel.id).await?;
        if pictures.contains("#EXT-X-ENDLIST") { Ok(()) } else { Err(pictures) }
    })
    .await;
    let multivariant = stage.multivariant(channel.id).await.unwrap();
    assert!(multivariant.contains(",opus\"") && multivariant.contains("RESOLUTION=320x180"), "{multivariant}");
    let url = stage.client.url("streaming", &format!("{}/index.m3u8", channel.id));
    // The services that answer run in this thread.
    let probed = ["v:0", "a:0"].map(|stream| {
        let url = url.to_string();
        tokio::task::spawn_blocking(move || times(&url, stream))
    });
    let [pictures, sound] = probed;
    let (pictures, sound) = (pictures.await.unwrap(), sound.await.unwrap());
    // All of them; the last packet of RTP may lie in a picture that nothing ended.
    assert!((6 * RATE as usize - 1..=6 * RATE as usize).contains(&pictures.len()), "{}", pictures.len());
    assert!((297..=302).contains(&sound.len()), "{} packets of 20 ms", sound.len());
    let steps: Vec<f64> = pictures.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(steps.iter().all(|step| (0.02..0.05).contains(step)), "{steps:?}");
    // Both began at the same instant: what is apart is what the codecs need to get going.
    assert!((pictures[0] - sound[0]).abs() < 0.04, "{} {}", pictures[0], sound[0]);
    assert!((pictures[pictures.len() - 1] - sound[sound.len() - 1]).abs() < 0.06, "{pictures:?} {sound:?}");
}

#[tokio::test]
async fn who_may_not_or_has_nothing_to_give_is_told_why() {
    let stage = stage().await;
    let channel = stage.channel().await;
    let key = channel.key.clone().unwrap();
    let path = format!("/whip/{key}");
    let sdp = "application/sdp";
    let good = || offer(|config| config.enable_h264(true), MediaKind::Video, Direction::SendOnly);
    let wrong = format!("/whip/{}{}", &key[..63], if key.ends_with('0') { '1' } else { '0' });
    let (vp8, asking) = (
        offer(|config| config.enable_vp8(true), MediaKind::Video, Direction::SendOnly),
        offer(|config| config.enable_h264(true), MediaKind::Video, Direction::RecvOnly),
    );
    for (path, content_type, body, status, reason) in [
        (&wrong, sdp, good(), 403, "wrong-key"),
        (&"/whip/nothing".to_owned(), sdp, good(), 403, "wrong-key"),
        (&path, "text/plain", good(), 415, "unsupported-type"),
        (&path, sdp, "v=0\r\nnothing\r\n".to_owned(), 400, "no-offer"),
        (&path, sdp, String::new(), 400, "no-offer"),
        (&path, sdp, vp8, 422, "no-media"),
        (&path, sdp, asking, 422, "no-media"),
    ] {
        let (got, text, location) = post(&stage, path, content_type, body).await;
        assert!(got == status && text.contains(reason) && location.is_none(), "{path}: {got} {text}");
        assert!(!text.contains(&key), "{text}");
    }
    // The channel in the path and the key as a token, as browsers and OBS do it; two sessions are all there may be.
    let request = || {
        let path = format!("/whip/{}", channel.id);
        stage.world.request(Method::POST, &path).header("content-type", sdp).bearer_auth(&key).body(good())
    };
    let answer = request().send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let session = answer.headers()["location"].to_str().unwrap().to_owned();
    let text = answer.text().await.unwrap();
    assert!(text.contains("a=ice-lite") && text.contains("a=recvonly") && text.contains("127.0.0.1"), "{text}");
    assert_eq!(request().send().await.unwrap().status(), 201);
    let third = request().send().await.unwrap();
    assert!(third.status() == 503 && third.headers().contains_key("retry-after"), "{third:?}");
    // A stranger ends nobody's session; who began it does, and makes room.
    let other = stage.channel().await;
    let stranger = session.replace(&channel.id.to_string(), other.key.as_deref().unwrap());
    assert_eq!(stage.world.request(Method::DELETE, &stranger).send().await.unwrap().status(), 404);
    let end = || stage.world.request(Method::DELETE, &session).bearer_auth(&key);
    assert_eq!(end().send().await.unwrap().status(), 200);
    eventually(PATIENCE, || async {
        let status = request().send().await.map_err(|error| error.to_string())?.status();
        if status == 201 { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    // Trickled candidates are not taken, and that is said as the standard says it.
    let patch = stage.world.request(Method::PATCH, &session).bearer_auth(&key).body("a=candidate:1");
    assert_eq!(patch.send().await.unwrap().status(), 405);
}

#[tokio::test]
async fn noise_and_the_names_of_others_disturb_nobody() {
    let stage = stage().await;
    let channel = stage.channel().await;
    let encoder = publish(&stage, channel.key.as_deref().unwrap(), 60);
    eventually(PATIENCE, || stage.pictures(channel.id)).await;
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let door = stage.world.whip_address();
    // The name of a session, but not its secret: more than a peer has addresses.
    let body = offer(|config| config.enable_h264(true), MediaKind::Video, Direction::SendOnly);
    let path = format!("/whip/{}", channel.key.as_deref().unwrap());
    let (status, answer, _) = post(&stage, &path, "application/sdp", body).await;
    assert_eq!(status, 201, "{answer}");
    let name = answer.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).expect("a name").to_owned();
    let user = format!("{name}:stranger");
    let hmac = |key: &[u8], payloads: &[&[u8]]| from_feature_flags().sha1_hmac_provider.sha1_hmac(key, payloads);
    for _ in 0..40 {
        let sender = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let request = StunMessage::binding_request(&user, TransId::new(), true, 1, 1, true);
        let mut octets = [0; 256];
        let length = request.to_bytes(Some(b"no secret of theirs"), &mut octets, hmac).unwrap();
        sender.send_to(&octets[..length], door).await.unwrap();
    }
    let mut random = StdRng::seed_from_u64(7);
    let mut noise = [0; 1500];
    for length in [0, 1, 12, 20, 100, 1500] {
        // STUN, DTLS, RTP and RTCP, and something that nobody knows.
        for first in [0x00, 0x16, 0x80, 0xff] {
            random.fill_bytes(&mut noise);
            noise[0] = first;
            stranger.send_to(&noise[..length], door).await.unwrap();
        }
    }
    let count = |text: String| text.matches("#EXTINF").count();
    let before = count(stage.pictures(channel.id).await.unwrap());
    eventually(PATIENCE, || async {
        let now = count(stage.pictures(channel.id).await?);
        if now > before { Ok(()) } else { Err(format!("{now} segments")) }
    })
    .await;
    let metrics = stage.metrics().await;
    assert!(metrics.contains(r#"flame_live_publications_total{service="ingest"} 1"#), "{metrics}");
    // Nobody says that it goes: it is noticed.
    drop(encoder);
    is_idle(&stage, channel.id).await;
}

#[tokio::test]
async fn one_key_does_not_take_the_places_of_others() {
    let stage = Stage::start(|config| {
        let listen = "127.0.0.1:0".parse().unwrap();
        config.whip = Some(WhipConfig { listen, max_sessions: 8, ..WhipConfig::default() });
    })
    .await;
    let (channel, other) = (stage.channel().await, stage.channel().await);
    let begin = async |key: &str| {
        let body = offer(|config| config.enable_h264(true), MediaKind::Video, Direction::SendOnly);
        post(&stage, &format!("/whip/{key}"), "application/sdp", body).await
    };
    let key = channel.key.as_deref().unwrap();
    for _ in 0..4 {
        assert_eq!(begin(key).await.0, 201);
    }
    let (status, text, _) = begin(key).await;
    assert!(status == 503 && text.contains("with this key"), "{status} {text}");
    assert_eq!(begin(other.key.as_deref().unwrap()).await.0, 201);
}
