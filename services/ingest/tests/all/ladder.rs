//! Channels with a ladder: real footage comes by RTMP, transcode makes renditions of it while it comes, streaming offers all of them.
//! FFmpeg is the judge of each, and what happens to the media process happens to nothing else.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use flame_api::live::{Channel, ChannelState, LadderState, LiveLadder};
use flame_cmaf::samples::{self, InitInfo};
use flame_ingest::config::{LadderConfig, RtmpConfig};
use flame_service_host::config::Span;
use flame_test_kit::{clips, eventually};
use reqwest::{Method, Url};

use crate::stage::{Encoder, Stage};
use crate::world::PATIENCE;

/// Pictures a second of what is published.
const RATE: &str = "25";
/// How long one is shown, in units of the doors' 360 kHz.
const PICTURE_TICKS: i64 = 360_000 / 25;

pub struct Climb {
    pub stage: Stage,
    transcode: Option<flame_service_host::Running>,
    transcode_config: flame_transcode::Config,
}

/// One line of a playlist of media: a whole segment, how long its parts and the whole are, and whether it is a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    uri: String,
    duration: String,
    is_gap: bool,
}

// === impl Climb ===

impl Climb {
    /// With transcode, which makes so many ladders at once.
    pub async fn start(at_once: usize) -> Self {
        let stage = Stage::start(|config| {
            config.rtmp = Some(RtmpConfig { listen: "127.0.0.1:0".parse().unwrap(), ..RtmpConfig::default() });
            // Shorter than in production, so that tests end.
            config.ladder = LadderConfig {
                max_backoff: Span(Duration::from_millis(500)),
                stuck: Span(Duration::from_secs(12)),
                ..LadderConfig::default()
            };
        })
        .await;
        let scratch = stage.world.scratch.join("transcode");
        let mut config = flame_transcode::Config::new(stage.world.store_config());
        config.host.listen = "127.0.0.1:0".parse().unwrap();
        config.host.router = Some(stage.client.router().clone());
        config.host.min_free_disk_percent = 0.0;
        config.host.drain = Span(Duration::from_millis(100));
        config.database = scratch.join("transcode.db");
        config.scratch = scratch.join("scratch");
        config.media_program = Some(flame_test_kit::programs::program("flame-media"));
        config.live.at_once = at_once;
        let mut climb = Self { stage, transcode: None, transcode_config: config };
        climb.start_transcode().await;
        climb
    }

    async fn start_transcode(&mut self) {
        self.transcode = Some(flame_transcode::start(self.transcode_config.clone()).await.unwrap());
    }

    pub async fn channel(&self, rungs: &[u32]) -> Channel {
        self.stage.channel_of(None, Some(LiveLadder { rungs: rungs.to_vec() })).await
    }

    /// Publishes real footage for ever, with B-frames.
    pub fn publish(&self, channel: &Channel) -> Encoder {
        let url = format!("rtmp://{}/live/{}", self.stage.world.rtmp_address(), channel.key.as_deref().unwrap());
        let child = Command::new("ffmpeg")
            .args(["-nostdin", "-v", "error", "-re", "-stream_loop", "-1", "-i"])
            .arg(clips::path("bigbuckbunny"))
            .args(["-map", "0:v:0", "-map", "0:a:0", "-vf", "scale=640:360", "-r", RATE])
            .args(["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-pix_fmt", "yuv420p", "-g", RATE])
            .args(["-x264-params", "scenecut=0:open-gop=0", "-c:a", "aac", "-ar", "48000", "-ac", "2"])
            .args(["-f", "flv", &url])
            .stdin(Stdio::null())
            .spawn()
            .expect("ffmpeg starts");
        Encoder(child)
    }

    /// The multivariant playlist, once it has so many variants.
    pub async fn offered(&self, channel: &Channel, variants: usize) -> String {
        eventually(PATIENCE, || async {
            let text = self.stage.multivariant(channel.id).await?;
            let found = text.matches("#EXT-X-STREAM-INF").count();
            if found == variants { Ok(text) } else { Err(format!("{found} variants: {text}")) }
        })
        .await
    }

    fn url(&self, channel: &Channel, path: &str) -> Url {
        self.stage.client.url("streaming", &format!("{}/{}/{path}", channel.id, channel.version))
    }

    pub async fn bytes(&self, channel: &Channel, path: &str) -> Vec<u8> {
        let answer = reqwest::get(self.url(channel, path)).await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.bytes().await.unwrap().to_vec()
    }

    pub async fn text(&self, channel: &Channel, track: &str) -> String {
        String::from_utf8(self.bytes(channel, &format!("{track}/index.m3u8")).await).unwrap()
    }

    /// The whole segments of a track, oldest first.
    async fn listed(&self, channel: &Channel, track: &str) -> Vec<Listed> {
        let text = self.text(channel, track).await;
        let (mut listed, mut duration, mut is_gap) = (Vec::new(), String::new(), false);
        for line in text.lines() {
            match line.strip_prefix("#EXTINF:") {
                Some(said) => duration = said.trim_end_matches(',').to_owned(),
                None if line == "#EXT-X-GAP" => is_gap = true,
                None if line.starts_with('#') || line.is_empty() => {}
                None => listed.push(Listed {
                    uri: line.to_owned(),
                    duration: duration.clone(),
                    is_gap: std::mem::take(&mut is_gap),
                }),
            }
        }
        listed
    }

    /// Waits until a track has a whole segment behind this one.
    pub async fn past(&self, channel: &Channel, track: &str, number: u64) {
        eventually(PATIENCE, || async {
            let last = number_of(self.listed(channel, track).await.last().ok_or("no segment")?);
            if last > number { Ok(()) } else { Err(format!("{track} is at {last}")) }
        })
        .await;
    }

    pub async fn last(&self, channel: &Channel, track: &str) -> u64 {
        number_of(self.listed(channel, track).await.last().expect("it has segments"))
    }

    /// Whether pictures are sync samples, and when they are shown, of one segment.
    async fn shown(&self, channel: &Channel, track: &str, uri: &str) -> Vec<(i64, bool)> {
        let init = InitInfo::parse(&self.bytes(channel, &format!("{track}/init.mp4")).await).unwrap();
        let segment = self.bytes(channel, &format!("{track}/{uri}")).await;
        let refs = samples::samples(&segment, &init).unwrap();
        let mut shown: Vec<_> = refs.iter().map(|sample| (init.presented_ticks(sample), sample.is_sync)).collect();
        shown.sort_unstable();
        shown
    }

    async fn ladder(&self, channel: &Channel) -> flame_api::live::ChannelLadder {
        let shown = self.stage.client.channel(channel.id).await.unwrap().expect("there is the channel");
        shown.ladder.expect("it has a ladder")
    }

    pub async fn stands(&self, channel: &Channel, state: LadderState) -> Option<String> {
        eventually(PATIENCE, || async {
            let ladder = self.ladder(channel).await;
            if ladder.state == state { Ok(ladder.error) } else { Err(format!("{ladder:?}")) }
        })
        .await
    }

    pub async fn transcode_metrics(&self) -> String {
        let url = self.stage.client.url("transcode", "metrics");
        reqwest::get(url).await.unwrap().text().await.unwrap()
    }
}

fn number_of(listed: &Listed) -> u64 {
    listed.uri.strip_suffix(".m4s").and_then(|number| number.parse().ok()).expect("segments have numbers")
}

/// The media processes that this test's services have started.
pub fn children() -> Vec<u32> {
    let own = std::process::id().to_string();
    let processes = std::fs::read_dir("/proc").expect("Linux has /proc");
    let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let rest = stat.split_once("(flame-media) ").map(|(_, rest)| rest.to_owned()).unwrap_or_default();
        let mut fields = rest.split(' ');
        fields.next().is_some_and(|state| state != "Z") && fields.next() == Some(own.as_str())
    })
    .collect()
}

fn signal(name: &str, process: u32) {
    let done = Command::new("kill").args([name, &process.to_string()]).status().expect("kill is there");
    assert!(done.success());
}

/// What FFmpeg decodes of a playlist in `seconds`, without a complaint: pictures, and their size.
fn played(url: &Url, seconds: &str) -> (usize, String) {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i", url.as_str(), "-map", "0:v:0"])
        .args(["-t", seconds, "-fps_mode", "passthrough", "-f", "framecrc", "-"])
        .output()
        .expect("ffmpeg starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    let size = text.lines().find_map(|line| line.strip_prefix("#dimensions 0: ")).unwrap_or_default().to_owned();
    (text.lines().filter(|line| line.starts_with("0,")).count(), size)
}

/// The same of a file.
fn frames(bytes: &[u8]) -> usize {
    let folder = flame_test_kit::Scratch::new("frames");
    let path = folder.join("segments.mp4");
    std::fs::write(&path, bytes).unwrap();
    played(&Url::from_file_path(&path).unwrap(), "1000").0
}

// Players are waited for while the services answer them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renditions_of_one_input_are_aligned_play_and_are_recorded() {
    let climb = Climb::start(1).await;
    let channel = climb.channel(&[240, 144]).await;
    let encoder = climb.publish(&channel);
    let playlist = climb.offered(&channel, 3).await;
    for wanted in ["RESOLUTION=640x360", "RESOLUTION=426x240", "RESOLUTION=256x144", "avc1.64", "TYPE=AUDIO"] {
        assert!(playlist.contains(wanted), "{playlist}");
    }
    climb.stands(&channel, LadderState::Running).await;
    assert_eq!(climb.ladder(&channel).await.tracks, ["v240", "v144"]);
    climb.past(&channel, "v144", 2).await;
    climb.past(&channel, "v", 2).await;

    // Each plays by itself, whole pictures only.
    for (track, size) in [("v", "640x360"), ("v240", "426x240"), ("v144", "256x144")] {
        let url = climb.url(&channel, &format!("{track}/index.m3u8"));
        let (pictures, played_size) = played(&url, "3");
        // The clip's own end leaves a hole of a picture or two; that a rendition has what its source has is looked at below.
        assert!((72..=76).contains(&pictures) && played_size == size, "{track}: {pictures} of {played_size}");
    }
    // What is measured of a rendition is what it costs: less for each smaller one.
    let bandwidths: Vec<u64> = playlist
        .lines()
        .filter_map(|line| {
            line.strip_prefix("#EXT-X-STREAM-INF:")?
                .split(',')
                .find_map(|one| one.strip_prefix("AVERAGE-BANDWIDTH=")?.parse().ok())
        })
        .collect();
    assert_eq!(bandwidths.len(), 3, "{playlist}");

    // The same segments, and the same pictures at the same times: a key frame at the beginning and nowhere else.
    let [source, large, small] =
        [climb.listed(&channel, "v").await, climb.listed(&channel, "v240").await, climb.listed(&channel, "v144").await];
    let shared = source.len().min(large.len()).min(small.len());
    assert!(shared >= 3, "{source:?} {large:?} {small:?}");
    assert_eq!((&source[..shared], &source[..shared]), (&large[..shared], &small[..shared]));
    assert!(source.iter().all(|segment| !segment.is_gap));
    for segment in &source[..shared] {
        let of_source = climb.shown(&channel, "v", &segment.uri).await;
        let times = |shown: &[(i64, bool)]| shown.iter().map(|(ticks, _)| *ticks).collect::<Vec<_>>();
        for track in ["v240", "v144"] {
            let of_rung = climb.shown(&channel, track, &segment.uri).await;
            // Where the clip begins again a picture is missing, and with B-frames it is not known before which one.
            let (of_rung_times, of_source_times) = (times(&of_rung), times(&of_source));
            let apart: Vec<_> =
                of_rung_times.iter().zip(&of_source_times).filter(|(one, other)| one != other).collect();
            let is_near = apart.iter().all(|(one, other)| (**one - **other).abs() <= PICTURE_TICKS);
            assert!(
                of_rung_times.len() == of_source_times.len() && apart.len() <= 1 && is_near,
                "{track}/{}: {of_rung_times:?} {of_source_times:?}",
                segment.uri
            );
            let keys: Vec<_> = of_rung.iter().map(|(_, is_sync)| *is_sync).collect();
            assert!(keys[0] && !keys[1..].contains(&true), "{track}/{}: {keys:?}", segment.uri);
        }
    }
    // Parts of the segment under way end at the same times.
    let parts = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.starts_with("#EXT-X-PART:"));
        lines.map(|line| line.split(',').next().unwrap_or_default().to_owned()).collect()
    };
    let (of_source, of_rung) = (climb.text(&channel, "v").await, climb.text(&channel, "v240").await);
    let (of_source, of_rung) = (parts(&of_source), parts(&of_rung));
    assert!(!of_rung.is_empty() && of_source.iter().take(9).eq(of_rung.iter().take(9)), "{of_source:?} {of_rung:?}");

    // The end: all renditions are the recording, whole, and the process has gone.
    drop(encoder);
    eventually(PATIENCE, || async { if children().is_empty() { Ok(()) } else { Err("the media process lives") } })
        .await;
    climb.stage.client.end_channel(channel.id).await.unwrap();
    let asset = climb.stage.client.asset(channel.id).await.unwrap().expect("it is catalogued");
    let tracks: Vec<_> = asset.version.iter().flat_map(|version| &version.tracks).map(|track| &track.name).collect();
    for wanted in ["v", "v240", "v144", "a"] {
        assert!(tracks.iter().any(|name| *name == wanted), "{tracks:?}");
    }
    let mut counts = Vec::new();
    for track in ["v", "v240", "v144"] {
        let mut bytes = climb.bytes(&channel, &format!("{track}/init.mp4")).await;
        for segment in climb.listed(&channel, track).await {
            bytes.extend(climb.bytes(&channel, &format!("{track}/{}", segment.uri)).await);
        }
        counts.push(frames(&bytes));
    }
    assert!(counts[0] > 75 && counts.iter().all(|count| *count == counts[0]), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_media_process_costs_its_renditions_a_moment_and_the_source_nothing() {
    let climb = Climb::start(1).await;
    let channel = climb.channel(&[144]).await;
    let _encoder = climb.publish(&channel);
    climb.offered(&channel, 2).await;
    let [child] = children()[..] else { panic!("one media process: {:?}", children()) };
    signal("-9", child);
    let killed_at = climb.last(&channel, "v144").await;
    climb.past(&channel, "v144", killed_at + 2).await;
    climb.past(&channel, "v", killed_at + 2).await;
    climb.stands(&channel, LadderState::Running).await;
    let source = climb.text(&channel, "v").await;
    assert!(!source.contains("#EXT-X-DISCONTINUITY") && !source.contains("#EXT-X-GAP"), "{source}");
    // It goes on with the same init segment, in the source's places, and can be decoded from there.
    let rung = climb.text(&channel, "v144").await;
    assert_eq!(rung.matches("#EXT-X-MAP").count(), 1, "{rung}");
    let last = climb.listed(&channel, "v144").await.pop().unwrap();
    let [of_source, of_rung] =
        [climb.shown(&channel, "v", &last.uri).await, climb.shown(&channel, "v144", &last.uri).await];
    assert_eq!((of_source.len(), of_source[0].0), (of_rung.len(), of_rung[0].0));
    let bytes =
        [climb.bytes(&channel, "v144/init.mp4").await, climb.bytes(&channel, &format!("v144/{}", last.uri)).await];
    assert_eq!(frames(&bytes.concat()), of_rung.len());
    let metrics = climb.stage.metrics().await;
    assert!(metrics.contains(r#"flame_live_ladders_lost_total{reason="broken",service="ingest"} 1"#), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_does_not_keep_up_leaves_segments_out_and_says_so() {
    let climb = Climb::start(1).await;
    let channel = climb.channel(&[144]).await;
    let _encoder = climb.publish(&channel);
    climb.offered(&channel, 2).await;
    let [child] = children()[..] else { panic!("one media process: {:?}", children()) };
    signal("-STOP", child);
    let error = climb.stands(&channel, LadderState::Behind).await;
    assert!(error.is_some_and(|error| error.contains("does not keep up")));
    // The source has gone on all the while.
    let at = climb.last(&channel, "v").await;
    climb.past(&channel, "v", at).await;
    signal("-CONT", child);
    let at = climb.last(&channel, "v").await;
    climb.past(&channel, "v144", at + 1).await;
    climb.stands(&channel, LadderState::Running).await;
    let listed = climb.listed(&channel, "v144").await;
    assert!(listed.iter().any(|segment| segment.is_gap), "{listed:?}");
    assert!(climb.listed(&channel, "v").await.iter().all(|segment| !segment.is_gap));
    let metrics = climb.stage.metrics().await;
    let dropped = metrics.lines().find(|line| line.starts_with("flame_live_ladder_segments_dropped_total{"));
    assert!(dropped.is_some_and(|line| !line.ends_with(" 0")), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_media_process_that_hangs_is_replaced_and_the_source_goes_on() {
    let mut climb = Climb::start(1).await;
    climb.transcode.take().expect("it runs").stop().await;
    climb.transcode_config.live.stuck = Span(Duration::from_secs(3));
    climb.start_transcode().await;
    let channel = climb.channel(&[144]).await;
    let _encoder = climb.publish(&channel);
    climb.offered(&channel, 2).await;
    let [child] = children()[..] else { panic!("one media process: {:?}", children()) };
    signal("-STOP", child);
    let [other] = eventually(PATIENCE, || async {
        let now = children();
        match now[..] {
            [other] if other != child => Ok([other]),
            _ => Err(format!("{now:?}")),
        }
    })
    .await;
    let at = climb.last(&channel, "v").await;
    climb.past(&channel, "v144", at + 1).await;
    climb.stands(&channel, LadderState::Running).await;
    assert_eq!(children(), [other]);
    let source = climb.text(&channel, "v").await;
    assert!(!source.contains("#EXT-X-DISCONTINUITY") && !source.contains("#EXT-X-GAP"), "{source}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publication_ends_soon_although_its_ladder_hangs() {
    let climb = Climb::start(1).await;
    let channel = climb.channel(&[144]).await;
    let encoder = climb.publish(&channel);
    climb.offered(&channel, 2).await;
    let [child] = children()[..] else { panic!("one media process: {:?}", children()) };
    signal("-STOP", child);
    drop(encoder);
    let left = Instant::now();
    eventually(PATIENCE, || async {
        let state = climb.stage.client.channel(channel.id).await.unwrap().unwrap().state;
        if state == ChannelState::Idle { Ok(()) } else { Err(format!("{state:?}")) }
    })
    .await;
    // Three seconds for what it still had to say.
    assert!(left.elapsed() < Duration::from_secs(8), "{:?}", left.elapsed());
    eventually(PATIENCE, || async { if children().is_empty() { Ok(()) } else { Err("the media process lives") } })
        .await;
}

/// Transcode comes back with other rungs: players have to hear of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_rungs_than_before_begin_the_publication_anew() {
    let mut climb = Climb::start(1).await;
    climb.transcode.take().expect("it runs").stop().await;
    climb.transcode_config.live.rungs = vec![144];
    climb.start_transcode().await;
    let channel = climb.channel(&[]).await;
    let _encoder = climb.publish(&channel);
    climb.offered(&channel, 2).await;
    climb.transcode.take().expect("it runs").stop().await;
    climb.transcode_config.live.rungs = vec![240];
    climb.start_transcode().await;
    let offered = eventually(PATIENCE, || async {
        let text = climb.stage.multivariant(channel.id).await?;
        if text.contains("RESOLUTION=426x240") { Ok(text) } else { Err(text) }
    })
    .await;
    assert!(offered.contains("RESOLUTION=640x360"), "{offered}");
    let source = climb.text(&channel, "v").await;
    assert_eq!(source.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{source}");
    climb.stands(&channel, LadderState::Running).await;
    assert_eq!(climb.ladder(&channel).await.tracks, ["v240"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_place_a_channel_begins_alone_and_gets_its_ladder_later() {
    let mut climb = Climb::start(0).await;
    let channel = climb.channel(&[144]).await;
    let _encoder = climb.publish(&channel);
    climb.offered(&channel, 1).await;
    let error = climb.stands(&channel, LadderState::Waiting).await;
    assert!(error.is_some_and(|error| error.contains("no more at once")));
    let metrics = climb.transcode_metrics().await;
    assert!(metrics.contains(r#"flame_live_ladders_refused_total{reason="full""#), "{metrics}");
    climb.transcode.take().expect("it runs").stop().await;
    // One more than is needed: what comes below is refused for its size.
    climb.transcode_config.live.at_once = 2;
    climb.start_transcode().await;
    climb.offered(&channel, 2).await;
    climb.stands(&channel, LadderState::Running).await;
    // Players hear of it.
    eventually(PATIENCE, || async {
        let text = climb.text(&channel, "v").await;
        if text.contains("#EXT-X-DISCONTINUITY") { Ok(()) } else { Err(text) }
    })
    .await;

    // What nothing can be made of goes on as it is, too, and says why.
    let small = climb.channel(&[720]).await;
    let _other = climb.publish(&small);
    climb.offered(&small, 1).await;
    let error = climb.stands(&small, LadderState::Waiting).await;
    assert!(error.is_some_and(|error| error.contains("640x360")));
}

#[tokio::test]
async fn what_is_no_ladder_is_refused_with_the_reason() {
    let climb = Climb::start(1).await;
    let url = climb.stage.client.url("transcode", "ladders");
    let http = reqwest::Client::new();
    let answer = async |body: Vec<u8>| {
        let answer = http.request(Method::POST, url.clone()).body(body).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    eventually(PATIENCE, || async {
        let (status, text) = answer(Vec::new()).await;
        if status == 400 { Ok(()) } else { Err(text) }
    })
    .await;
    let (status, text) = answer(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec()).await;
    assert_eq!(status, 400, "{text}");
    let head = flame_cmaf::relay::Message::Head("{}".into()).encode();
    let (status, text) = answer(head.to_vec()).await;
    assert_eq!(status, 400, "{text}");
    assert!(text.contains("description"), "{text}");
    assert!(children().is_empty());
}
