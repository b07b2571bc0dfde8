//! Channels that fetch their media: from playlists that FFmpeg wrote, and from an asset of this system, over and over again.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use axum::Router;
use axum::http::{StatusCode, Uri};
use flame_api::live::{ChannelState, Source, SourceState};
use flame_ingest::config::{Config, SourcesConfig};
use flame_service_host::config::Span;
use flame_test_kit::{Scratch, eventually};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::live::{AAC, H264, PICTURE, TONE};
use crate::stage::{Encoder, Stage};
use crate::world::PATIENCE;

/// What FFmpeg is told of fragments, both kinds of media in one file.
const FRAGMENTS: &[&str] = &["-f", "hls", "-hls_time", "1", "-hls_playlist_type", "vod", "-hls_segment_type", "fmp4"];
const STREAMS: &[&str] = &["-f", "hls", "-hls_time", "1", "-hls_playlist_type", "vod"];

fn open_to_loopback(config: &mut Config) {
    config.pulls.allow_private = true;
    config.sources = Some(SourcesConfig {
        look: Span(Duration::from_millis(200)),
        stale: Span(Duration::from_secs(3)),
        max_backoff: Span(Duration::from_millis(500)),
        ..SourcesConfig::default()
    });
}

/// A folder as a web server gives it out; it ends with its value.
struct Served {
    base: String,
    _serving: JoinSet<()>,
}

impl Served {
    async fn start(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let folder: PathBuf = folder.to_owned();
        let files = move |uri: Uri| async move {
            std::fs::read(folder.join(uri.path().trim_start_matches('/'))).map_err(|_| StatusCode::NOT_FOUND)
        };
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, Router::new().fallback(files)).await.unwrap() });
        Self { base, _serving: serving }
    }

    fn source(&self, path: &str) -> Option<Source> {
        Some(Source::Pull(format!("{}/{path}", self.base)))
    }
}

fn ffmpeg(arguments: &[&[&str]]) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error"]).args(arguments.concat()).stdin(Stdio::null());
    command
}

/// The pictures' digest, as FFmpeg decodes them.
fn pictures(url: &str) -> String {
    let decoded = ["-map", "0:v", "-fps_mode", "passthrough", "-f", "framemd5", "-"];
    let output = ffmpeg(&[&["-i", url], &decoded]).output().expect("ffmpeg starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{url}: {errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit(',').next().unwrap().trim()).collect::<Vec<_>>().join("\n")
}

async fn standing(stage: &Stage, channel: Uuid) -> (ChannelState, SourceState, String) {
    let channel = stage.client.channel(channel).await.unwrap().expect("it was made");
    let source = channel.source.expect("it has one");
    (channel.state, source.state, source.error.unwrap_or_default())
}

async fn over(stage: &Stage, channel: Uuid) {
    eventually(PATIENCE, || async {
        match standing(stage, channel).await {
            (ChannelState::Idle, SourceState::Over, _) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

// FFmpeg is waited for while the services answer it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_pulled_is_the_same_picture_for_picture_and_plays_on_in_a_loop() {
    let stage = Stage::start(open_to_loopback).await;
    let scratch = Scratch::new("sources");
    let served = Served::start(&scratch).await;
    let path = |name: &str| scratch.join(name).to_str().unwrap().to_owned();
    let mut channels = Vec::new();
    for (name, form) in [("fragments.m3u8", FRAGMENTS), ("streams.m3u8", STREAMS)] {
        let made = ffmpeg(&[PICTURE, TONE, H264, &["-bf", "2"], AAC, form, &[&path(name)]]).status().unwrap();
        assert!(made.success());
        channels.push((name, stage.channel_from(served.source(name)).await.id));
    }
    let mut asset = None;
    for (name, channel) in channels {
        over(&stage, channel).await;
        let ended = stage.client.end_channel(channel).await.unwrap();
        assert_eq!(ended.source.expect("it is remembered").state, SourceState::Over);
        let playlist = stage.multivariant(channel).await.unwrap();
        assert!(playlist.contains("TYPE=AUDIO"), "{playlist}");
        let url = stage.client.url("streaming", &format!("{channel}/index.m3u8"));
        let (sent, seen) = (pictures(&path(name)), pictures(url.as_str()));
        // FFmpeg gives the end of a transport stream no length, so its last picture may be missing.
        let lines = seen.lines().count();
        assert!(lines >= 119 && sent.starts_with(&seen), "{name}: {lines}");
        asset.get_or_insert((channel, seen));
    }
    let (asset, once) = asset.unwrap();
    let channel = stage.channel_from(Some(Source::Loop(asset))).await.id;
    // More than two rounds, in one timeline.
    eventually(PATIENCE, || async {
        let playlist = stage.pictures(channel).await?;
        if playlist.matches("#EXTINF").count() >= 7 { Ok(()) } else { Err(playlist) }
    })
    .await;
    assert!(!stage.pictures(channel).await.unwrap().contains("#EXT-X-DISCONTINUITY"));
    stage.client.end_channel(channel).await.unwrap();
    let url = stage.client.url("streaming", &format!("{channel}/index.m3u8"));
    let seen = pictures(url.as_str());
    let rounds = [once.as_str(); 8].join("\n");
    let (count, in_two_rounds) = (seen.lines().count(), 2 * once.lines().count());
    assert!(count > in_two_rounds, "{count} pictures, two rounds are {in_two_rounds}");
    let differs = seen.lines().zip(rounds.lines()).position(|(seen, sent)| seen != sent);
    assert_eq!(differs, None, "the first of {count} pictures that is not what was sent");
}

fn live(folder: &Scratch) -> Encoder {
    let picture = ["-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25"];
    let list = folder.join("live.m3u8");
    let form =
        ["-f", "hls", "-hls_time", "1", "-hls_list_size", "5", "-hls_flags", "delete_segments", list.to_str().unwrap()];
    Encoder(ffmpeg(&[&picture, H264, &["-g", "25"], &form]).spawn().expect("ffmpeg starts"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_playlist_is_followed_and_waited_for_when_its_encoder_goes_away() {
    let stage = Stage::start(open_to_loopback).await;
    let scratch = Scratch::new("sources");
    let served = Served::start(&scratch).await;
    // Nothing is there yet, and people can read why.
    let channel = stage.channel_from(served.source("live.m3u8")).await.id;
    eventually(PATIENCE, || async {
        match standing(&stage, channel).await {
            (ChannelState::Idle, SourceState::Waiting, error) if error.contains("404") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let encoder = live(&scratch);
    let segments = |least: usize| {
        let stage = &stage;
        eventually(PATIENCE, move || async move {
            let playlist = stage.pictures(channel).await?;
            if playlist.matches("#EXTINF").count() >= least { Ok(playlist) } else { Err(playlist) }
        })
    };
    segments(3).await;
    assert_eq!(standing(&stage, channel).await.1, SourceState::Playing);
    drop(encoder);
    eventually(PATIENCE, || async {
        match standing(&stage, channel).await {
            (ChannelState::Idle, SourceState::Waiting, error) if error.contains("nothing new") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    // It counts from 0 again.
    let _again = live(&scratch);
    let before = stage.pictures(channel).await.unwrap().matches("#EXTINF").count();
    let playlist = segments(before + 3).await;
    assert!(playlist.contains("#EXT-X-DISCONTINUITY"), "{playlist}");
    stage.client.end_channel(channel).await.unwrap();
    let url = stage.client.url("streaming", &format!("{channel}/index.m3u8"));
    assert!(pictures(url.as_str()).lines().count() > 100);
}

#[tokio::test]
async fn private_addresses_and_channels_without_a_source_are_refused() {
    let stage = Stage::start(|config| {
        open_to_loopback(config);
        config.pulls.allow_private = false;
    })
    .await;
    let channel = stage.channel_from(Some(Source::Pull("http://127.0.0.1:9/live.m3u8".to_owned()))).await;
    assert!(channel.key.is_some());
    eventually(PATIENCE, || async {
        match standing(&stage, channel.id).await {
            (ChannelState::Idle, SourceState::Waiting, error) if error.contains("public addresses only") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let wrong = Some(Source::Pull("file:///etc/passwd".to_owned()));
    let new = flame_api::live::NewChannel {
        id: Uuid::now_v7(),
        title: "x".to_owned(),
        segment_ms: 2000,
        part_ms: 200,
        window_s: 60,
        keep_s: None,
        source: wrong,
        ladder: None,
        encryption: None,
    };
    assert_eq!(stage.client.create_channel(&new).await.unwrap_err().status(), Some(422));
    let none = stage.channel().await.id;
    let standing = flame_api::live::SourceStanding { state: SourceState::Playing, error: None };
    assert_eq!(stage.client.put_source_standing(none, &standing).await.unwrap_err().status(), Some(409));
}
