//! Streaming goes away while an encoder publishes, comes back without its publications, and goes for good.

use std::process::{Command, Stdio};
use std::time::Duration;

use flame_ingest::config::RtmpConfig;
use flame_service_host::config::Span;
use flame_test_kit::eventually;
use reqwest::Method;

use crate::live::{AAC, H264};
use crate::stage::{Encoder, Stage};
use crate::world::PATIENCE;

/// How long the door waits for streaming: longer than a restart, short enough for a test.
const AWAY: Duration = Duration::from_secs(8);

fn publish(url: &str) -> Encoder {
    let picture = ["-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30"];
    let tone = ["-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"];
    let child = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "quiet"])
        .args([picture, tone].concat())
        .args([H264, AAC, &["-t", "120", "-f", "flv", url]].concat())
        .stdin(Stdio::null())
        .spawn()
        .expect("ffmpeg starts");
    Encoder(child)
}

#[tokio::test]
async fn streaming_may_go_and_come_back_and_its_end_is_the_encoders() {
    let mut stage = Stage::start(|config| {
        let listen = "127.0.0.1:0".parse().unwrap();
        config.rtmp = Some(RtmpConfig { listen, patience: Span(AWAY), ..RtmpConfig::default() });
    })
    .await;
    let channel = stage.channel().await;
    let key = channel.key.expect("it is made only now");
    let mut encoder = publish(&format!("rtmp://{}/live/{key}", stage.world.rtmp_address()));
    eventually(PATIENCE, || stage.pictures(channel.id)).await;

    // It comes back and knows nothing of who publishes: the encoder notices nothing.
    stage.stop_streaming().await;
    stage.start_streaming().await;
    eventually(PATIENCE, || async {
        let playlist = stage.pictures(channel.id).await?;
        let (_, after) = playlist.split_once("#EXT-X-DISCONTINUITY\n").ok_or_else(|| playlist.clone())?;
        if after.contains("#EXTINF") { Ok(()) } else { Err(playlist.clone()) }
    })
    .await;
    assert!(encoder.0.try_wait().unwrap().is_none(), "the encoder goes on");
    let text = stage.metrics().await;
    assert!(text.contains(r#"flame_live_publications_total{service="ingest"} 2"#), "{text}");
    assert!(text.contains(r#"flame_live_publications_lost_total{reason="gone",service="ingest"} 1"#), "{text}");

    // It does not come back: the encoder is sent away.
    stage.stop_streaming().await;
    eventually(PATIENCE, || {
        let ended = encoder.0.try_wait().unwrap();
        async move { ended.map(drop).ok_or("the encoder goes on") }
    })
    .await;
    let text = stage.metrics().await;
    assert!(text.contains(r#"flame_live_publications_lost_total{reason="away",service="ingest"} 1"#), "{text}");
    assert!(text.contains(r#"flame_live_publications_open{service="ingest"} 0"#), "{text}");
    let ready = stage.world.request(Method::GET, "/health/ready").send().await.unwrap();
    assert_eq!(ready.status(), 200);
}
