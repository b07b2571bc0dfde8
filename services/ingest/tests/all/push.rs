//! The CMAF door: encoders of others push one picture in several sizes, and whoever has no key is told so at once.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use flame_ingest::config::PushConfig;
use flame_service_host::config::Span;
use flame_test_kit::eventually;
use reqwest::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::stage::{Encoder, Stage};
use crate::world::{PATIENCE, World, problem, without_media};

/// Shorter than in production, so that tests end.
const IDLE: Duration = Duration::from_secs(4);
/// Of two sizes of one picture, a key frame a second, and sound.
const INPUTS: &[&str] = &[
    "-re",
    "-f",
    "lavfi",
    "-i",
    "testsrc2=size=320x180:rate=25",
    "-re",
    "-f",
    "lavfi",
    "-i",
    "sine=frequency=440:sample_rate=48000",
];
const X264: &[&str] =
    &["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "25", "-bf", "2", "-sc_threshold", "0"];

fn config() -> PushConfig {
    PushConfig { idle: Span(IDLE), ..PushConfig::default() }
}

fn ffmpeg(arguments: &[&[&str]]) -> Encoder {
    let child = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error"])
        .args(INPUTS)
        .args(arguments.concat())
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ffmpeg starts");
    Encoder(child)
}

/// `-f dash`: header and segments of each track in requests of their own, segments while they are made.
fn dash(url: &str, seconds: &str) -> Encoder {
    ffmpeg(&[
        &["-map", "0:v", "-map", "0:v", "-map", "1:a"],
        X264,
        &["-s:v:1", "160x90", "-c:a", "aac", "-t", seconds, "-f", "dash", "-streaming", "1", "-ldash", "1"],
        &["-seg_duration", "2", "-frag_type", "every_frame", "-method", "PUT", url],
    ])
}

/// `-f mp4`: each track one request that goes on.
fn tracks(base: &str, seconds: &str) -> Encoder {
    let [large, small, sound] = ["large.mp4", "small.mp4", "sound.mp4"].map(|name| format!("{base}/{name}"));
    let cmaf: &[&str] = &["-t", seconds, "-f", "mp4", "-movflags", "+cmaf+frag_every_frame", "-method", "PUT"];
    ffmpeg(&[
        &["-map", "0:v"],
        X264,
        cmaf,
        &[&large, "-map", "0:v", "-s", "160x90"],
        X264,
        cmaf,
        &[&small, "-map", "1:a", "-c:a", "aac"],
        cmaf,
        &[&sound],
    ])
}

/// What FFmpeg decodes of one track in `seconds`, without a complaint.
fn played(url: &str, track: &str, seconds: &str) -> usize {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i", url, "-map", track])
        .args(["-t", seconds, "-fps_mode", "passthrough", "-f", "framecrc", "-"])
        .output()
        .expect("ffmpeg starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|line| line.starts_with("0,")).count()
}

// Players are waited for while the services answer them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sizes_of_one_picture_become_variants_and_the_encoder_comes_back() {
    let stage = Stage::start(|config| config.push = Some(self::config())).await;
    let channel = stage.channel().await;
    let key = channel.key.clone().expect("it is made only now");
    let base = format!("{}/push/{key}", stage.world.base());
    let encoder = dash(&format!("{base}/live.mpd"), "60");
    let playlist = eventually(PATIENCE, || stage.multivariant(channel.id)).await;
    for wanted in ["RESOLUTION=320x180", "RESOLUTION=160x90", "TYPE=AUDIO"] {
        assert!(playlist.contains(wanted), "{playlist}");
    }
    assert_eq!(playlist.matches("#EXT-X-STREAM-INF").count(), 2, "{playlist}");
    let url = stage.client.url("streaming", &format!("{}/index.m3u8", channel.id));
    assert_eq!(["0:v:0", "0:v:1"].map(|track| played(url.as_str(), track, "4")), [100, 100]);
    let sound = played(url.as_str(), "0:a:0", "4");
    assert!((186..=189).contains(&sound), "{sound}");

    // It is killed, and comes back as one that sends tracks as a whole; viewers see one discontinuity.
    drop(encoder);
    eventually(PATIENCE, || async {
        let state = stage.client.channel(channel.id).await.unwrap().unwrap().state;
        if state == flame_api::live::ChannelState::Idle { Ok(()) } else { Err(format!("{state:?}")) }
    })
    .await;
    let mut again = dash(&format!("{base}/live.mpd"), "8");
    eventually(PATIENCE, || async {
        let playlist = stage.pictures(channel.id).await?;
        let (_, after) = playlist.split_once("#EXT-X-DISCONTINUITY\n").ok_or_else(|| playlist.clone())?;
        if after.matches("#EXTINF").count() >= 3 { Ok(()) } else { Err(playlist.clone()) }
    })
    .await;
    let status = again.0.wait().unwrap();
    let mut said = String::new();
    std::io::Read::read_to_string(again.0.stderr.as_mut().unwrap(), &mut said).unwrap();
    assert!(status.success() && !said.contains("HTTP"), "{said}");
    let text = stage.metrics().await;
    assert!(text.contains(r#"flame_live_publications_total{service="ingest"} 2"#), "{text}");
}

// Players are waited for while the services answer them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_track_may_be_one_request_and_its_end_is_the_publications() {
    let stage = Stage::start(|config| config.push = Some(PushConfig::default())).await;
    let channel = stage.channel().await;
    let base = format!("{}/push/{}", stage.world.base(), channel.key.clone().unwrap());
    let mut encoder = tracks(&base, "8");
    let playlist = eventually(PATIENCE, || stage.multivariant(channel.id)).await;
    for wanted in ["RESOLUTION=320x180", "RESOLUTION=160x90", "large/index.m3u8", "small/index.m3u8", "TYPE=AUDIO"] {
        assert!(playlist.contains(wanted), "{playlist}");
    }
    assert!(encoder.0.wait().unwrap().success());
    // FFmpeg says at the end of each track that it was the end: nobody waits for `idle`.
    let ended = Instant::now();
    eventually(PATIENCE, || async {
        let state = stage.client.channel(channel.id).await.unwrap().unwrap().state;
        if state == flame_api::live::ChannelState::Idle { Ok(()) } else { Err(format!("{state:?}")) }
    })
    .await;
    assert!(ended.elapsed() < Duration::from_secs(8), "{:?}", ended.elapsed());
    let url = stage.client.url("streaming", &format!("{}/index.m3u8", channel.id));
    stage.client.end_channel(channel.id).await.unwrap();
    // All of it is the recording: not a picture is missing.
    assert_eq!(["0:v:0", "0:v:1"].map(|track| played(url.as_str(), track, "60")), [200, 200]);
}

#[tokio::test]
async fn a_wrong_key_is_refused_before_a_body_is_read() {
    let stage = Stage::start(|config| config.push = Some(self::config())).await;
    let channel = stage.channel().await;
    let key = channel.key.clone().unwrap();
    let wrong = format!("{}{}", &key[..32], "0".repeat(32));
    let address = stage.world.base().strip_prefix("http://").unwrap().to_owned();
    for shown in [wrong.as_str(), "short", &channel.id.to_string()] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let head = format!(
            "PUT /push/{shown}/v.mp4 HTTP/1.1\r\nHost: {address}\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // Not a byte of the body is sent, or asked for.
        let mut answer = vec![0; 4096];
        let length = tokio::time::timeout(IDLE, stream.read(&mut answer)).await.expect("it answers").unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]);
        assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("wrong-key"), "{answer}");
    }
    // The key may also be a credential of the request, which is in no URL.
    let path = format!("/push/{}/live.mpd", channel.id);
    for (request, status) in [
        (stage.world.request(Method::PUT, &path).bearer_auth(&key), 204),
        (stage.world.request(Method::PUT, &path).basic_auth("encoder", Some(&key)), 204),
        (stage.world.request(Method::PUT, &path).bearer_auth(&wrong), 403),
        (stage.world.request(Method::DELETE, &path).bearer_auth(&key), 204),
        (stage.world.request(Method::PUT, &format!("/push/{}/live.mpd", uuid::Uuid::now_v7())).bearer_auth(&key), 403),
    ] {
        assert_eq!(request.send().await.unwrap().status().as_u16(), status);
    }
    let text = stage.metrics().await;
    assert!(text.contains(r#"flame_live_publishers_refused_total{reason="key",service="ingest"} 5"#), "{text}");
}

#[tokio::test]
async fn what_is_no_track_or_does_not_come_costs_its_request() {
    let idle = Span(Duration::from_secs(5));
    let stage =
        Stage::start(|config| config.push = Some(PushConfig { idle, max_tracks: 3, ..PushConfig::default() })).await;
    let key = stage.channel().await.key.unwrap();
    let put = |name: &str, body: Vec<u8>| stage.world.request(Method::PUT, &format!("/push/{key}/{name}")).body(body);
    let detail =
        problem(put("v.mp4", b"G@\0\x10\0\0\xb0\r\0\x01\xc1\0".to_vec()).send().await.unwrap(), 400, "no-cmaf").await;
    assert!(detail.contains("fragmented MP4"), "{detail}");
    problem(put("v.mp4", b"\x7f\xff\xff\xffmdat".to_vec()).send().await.unwrap(), 400, "no-cmaf").await;
    problem(put("v.mp4", b"\0\0\0\x10mdat12345678".to_vec()).send().await.unwrap(), 400, "no-cmaf").await;
    assert_eq!(put("picture.jpg", vec![0; 9]).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    // A body that stands still.
    let address = stage.world.base().strip_prefix("http://").unwrap().to_owned();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let head = format!("PUT /push/{key}/v.mp4 HTTP/1.1\r\nHost: {address}\r\nContent-Length: 9999\r\n\r\nabc");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let length = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await.expect("it answers").unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]);
    assert!(answer.starts_with("HTTP/1.1 408 ") || answer.starts_with("HTTP/1.1 503 "), "{answer}");
    // Tracks have a bound too.
    for n in 0..3 {
        assert_eq!(put(&format!("t{n}.mp4"), Vec::new()).send().await.unwrap().status(), 204);
    }
    problem(put("one-more.mp4", Vec::new()).send().await.unwrap(), 400, "no-programme").await;
}

#[tokio::test]
async fn without_streaming_an_encoder_is_told_to_come_back() {
    let world = World::start_with(|config| {
        without_media(config);
        config.push = Some(PushConfig::default());
    })
    .await;
    let path = format!("/push/{}/v.mp4", "0".repeat(64));
    problem(world.request(Method::PUT, &path).body("x").send().await.unwrap(), 503, "unavailable").await;
    let other = World::start_with(without_media).await;
    problem(other.request(Method::PUT, &path).body("x").send().await.unwrap(), 404, "not-found").await;
}
