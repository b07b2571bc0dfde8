//! Live ladders have places, and nobody takes those of others. What comes out of one is judged where it is played, in ingest's tests.

use std::process::Command;

use bytes::Bytes;
use flame_api::live::{LiveTrack, NewLadder};
use flame_api::media::TrackKind;
use flame_api::{Client, ClientError};
use flame_cmaf::relay::Message;
use flame_test_kit::eventually;
use futures_util::stream::{StreamExt, iter, pending};
use uuid::Uuid;

use crate::world::{PATIENCE, World, media_processes, short_clip};

/// The init segment of a real encoder.
fn init() -> Bytes {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(short_clip())
        .args(["-map", "0:v:0", "-frames:v", "5", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"])
        .args(["-movflags", "frag_keyframe+empty_moov+default_base_moof", "-f", "mp4", "-"])
        .output()
        .expect("ffmpeg starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let fragment = output.stdout.windows(4).position(|kind| kind == b"moof").expect("it has a fragment");
    Bytes::from(output.stdout).slice(..fragment - 4)
}

/// A ladder that is open until the answer is dropped.
async fn climb(client: &Client, init: &Bytes) -> Result<reqwest::Response, ClientError> {
    let source = LiveTrack {
        name: "v".to_owned(),
        kind: TrackKind::Video,
        codec: "avc1.64001f".to_owned(),
        timescale: 15_360,
        part_ticks: 3_072,
        width: Some(640),
        height: Some(360),
        frame_rate: None,
        channels: None,
        sample_rate_hz: None,
        language: None,
    };
    let wanted = NewLadder { channel: Uuid::now_v7(), part_ms: 200, source, rungs: vec![144] };
    let head = Message::Head(serde_json::to_vec(&wanted).unwrap().into());
    let opening = [head, Message::Init { track: 0, bytes: init.clone() }].map(|message| message.encode());
    let messages = iter(opening.map(Ok::<_, std::io::Error>)).chain(pending());
    client.climb(reqwest::Body::wrap_stream(messages)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ladders_of_one_tenant_do_not_take_the_places_of_another() {
    let world = World::start_with(|config| (config.live.at_once, config.live.at_once_of_tenant) = (3, 2)).await;
    world.until_registered().await;
    let (acme, other, init) = (world.client.for_tenant("acme"), world.client.for_tenant("other"), init());
    let refused = async |client: &Client| {
        let error = climb(client, &init).await.map(drop).expect_err("there is no place");
        assert_eq!(error.status(), Some(503), "{error}");
        error.to_string()
    };
    let mut of_acme = vec![climb(&acme, &init).await.unwrap(), climb(&acme, &init).await.unwrap()];
    let said = refused(&acme).await;
    assert!(said.contains("of this tenant"), "{said}");
    // The third place is nobody's yet; then there is none for anybody.
    let of_other = climb(&other, &init).await.unwrap();
    assert_eq!(media_processes(std::process::id()).len(), 3);
    let said = refused(&other).await;
    assert!(said.contains("this machine is set to make no more") && !said.contains("of this tenant"), "{said}");
    let metrics = reqwest::get(format!("{}/metrics", world.base())).await.unwrap().text().await.unwrap();
    for (reason, count) in [("share", 1), ("full", 1)] {
        let line = format!("flame_live_ladders_refused_total{{reason=\"{reason}\",service=\"transcode\"}} {count}");
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
    // A place that is given back is free for whoever has not got its share.
    of_acme.pop();
    let again = eventually(PATIENCE, || async { climb(&other, &init).await.map_err(|error| error.to_string()) }).await;
    drop((again, of_other, of_acme));
    eventually(PATIENCE, || async {
        let left = media_processes(std::process::id());
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
}
