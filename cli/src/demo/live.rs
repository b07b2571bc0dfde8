//! Scenario `live`: channel → an encoder publishes a real clip by RTMP → low-latency HLS, and smaller renditions made meanwhile → the
//! encoder is cut off and comes back → the channel ends → its recording plays.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use flame_api::Client;
use flame_api::live::{Channel, ChannelState, LadderState, LiveLadder, NewChannel, PART_MS, SEGMENT_MS, WINDOW_S};
use reqwest::{Method, StatusCode};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::process::{Child, Command};
use uuid::Uuid;

use super::player;
use super::stage::Stage;
use super::tour::{Bound, Broken, Tour, Verified};
use crate::connection;

/// How long something may take that an encoder or a player waits for.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the playlist is followed.
const FOLLOWED: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(100);
/// Heights that transcode makes of what comes.
const RUNGS: [u32; 2] = [240, 144];

pub async fn perform(tour: &mut Tour, stage: &mut Stage, clip: &Path) -> Result<(), Broken> {
    let (client, rtmp) = tour.step("start", start(stage)).await?;
    let channel = tour.step("channel", create(&client)).await?;
    let door = format!("rtmp://{rtmp}/live/{}", channel.key.as_deref().unwrap_or_default());

    let (encoder, plays_after_s) = tour.step("publish", publish(&client, &channel, clip, &door)).await?;
    tour.figure("plays_after", plays_after_s, "s", None).await?;
    let followed = tour.step("follow", follow(&client, &channel)).await?;
    // The media's clock was tied to the wall's when the encoder's first picture came, which is late by the encoder's own
    // beginning: so what counts is how much later than the quickest one a part came.
    let quickest = followed.percentile(0);
    tour.figure("part_later_p50", followed.percentile(50) - quickest, "ms", None).await?;
    tour.figure("part_later_p95", followed.percentile(95) - quickest, "ms", Some(Bound::AtMost(1000.0))).await?;

    tour.step("ladder", ladder(&client, &channel)).await?;
    tour.step("cut off", cut_off(&client, &channel, encoder)).await?;
    let (encoder, back_after_s) = tour.step("come back", come_back(&client, &channel, clip, &door)).await?;
    tour.figure("back_after", back_after_s, "s", None).await?;
    let ended = Instant::now();
    tour.step("end", end(&client, &channel, encoder)).await?;
    let listed = tour.step("recording", recording(&client, &channel)).await?;
    // A segment is waited for before it ends, which is no part of ending.
    let waited = Duration::from_millis(u64::from(SEGMENT_MS));
    let recorded_after_s = listed.duration_since(ended).saturating_sub(waited).as_secs_f64();
    tour.figure("recording_after", recorded_after_s, "s", None).await?;
    let url = connection::play_url(client.router(), channel.id);
    tour.offer(format!("The recording plays at {url}"));
    tour.close_with("A channel of your own: flame channel create TITLE".to_owned());
    Ok(())
}

async fn start(stage: &mut Stage) -> anyhow::Result<Verified<(Client, SocketAddr)>> {
    // Free a moment ago: somebody would have to be very quick.
    let rtmp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    let rtmp = rtmp.context("find a free port")?;
    let (client, _) = stage.up_with(&["--rtmp", &rtmp.to_string()]).await?;
    let detail = format!("router at {}, encoders publish at rtmp://{rtmp}/live", client.router());
    Ok(Verified((client, rtmp), detail))
}

async fn create(client: &Client) -> anyhow::Result<Verified<Channel>> {
    let (id, title) = (Uuid::now_v7(), "The demo, live".to_owned());
    let new = NewChannel {
        id,
        title,
        segment_ms: SEGMENT_MS,
        part_ms: PART_MS,
        window_s: WINDOW_S,
        keep_s: None,
        source: None,
        ladder: Some(LiveLadder { rungs: RUNGS.to_vec() }),
        encryption: None,
    };
    let channel = client.create_channel(&new).await?;
    ensure!(channel.key.is_some(), "it has no key");
    let detail = format!("{id}, segments of {SEGMENT_MS} ms in parts of {PART_MS} ms; its key is said once");
    Ok(Verified(channel, detail))
}

/// FFmpeg, sending the clip over and over as an encoder would.
fn encoder(clip: &Path, door: &str) -> anyhow::Result<Child> {
    Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-re", "-stream_loop", "-1", "-i"])
        .arg(clip)
        .args(["-map", "0:v:0", "-map", "0:a:0?", "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency"])
        .args(["-pix_fmt", "yuv420p", "-vf", "scale=-2:360", "-force_key_frames", "expr:gte(t,n_forced*2)"])
        .args(["-x264-params", "scenecut=0:open-gop=0:keyint=infinite", "-c:a", "aac", "-ar", "48000", "-ac", "2"])
        .args(["-f", "flv", door])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("start ffmpeg; `make deps` or `apt install ffmpeg` installs it")
}

async fn publish(
    client: &Client,
    channel: &Channel,
    clip: &Path,
    door: &str,
) -> anyhow::Result<Verified<(Child, f64)>> {
    let began = Instant::now();
    let mut encoder = encoder(clip, door)?;
    let path = format!("{}/index.m3u8", channel.id);
    loop {
        let answer = client.request(Method::GET, "streaming", &path).send().await?;
        if answer.status() == StatusCode::OK {
            break;
        }
        if let Some(status) = encoder.try_wait()? {
            bail!("the encoder ended ({status}) before anything played");
        }
        ensure!(began.elapsed() < PATIENCE, "nothing plays after {} s: {}", PATIENCE.as_secs(), answer.text().await?);
        tokio::time::sleep(POLL).await;
    }
    let seconds = began.elapsed().as_secs_f64();
    Ok(Verified(
        (encoder, seconds),
        format!("FFmpeg sends the clip in a loop, 360 lines; it plays after {seconds:.1} s"),
    ))
}

/// How old each part was when a viewer who waited for it had it, milliseconds.
struct Followed(Vec<f64>);

impl Followed {
    fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
    }
}

/// Waits for one part after the other as a player does, and compares when it ended with when it came.
async fn follow(client: &Client, channel: &Channel) -> anyhow::Result<Verified<Followed>> {
    let track = video(client, channel).await?;
    let (began, mut ages) = (Instant::now(), Vec::new());
    let mut edge = Edge::read(&text(client, &track, &[]).await?)?;
    while began.elapsed() < FOLLOWED {
        let wait = [("_HLS_msn", edge.number), ("_HLS_part", edge.parts)];
        let next = Edge::read(&text(client, &track, &wait).await?)?;
        let moved = (next.number, next.parts) > (edge.number, edge.parts);
        ensure!(moved, "the playlist was answered without the part that was waited for: {edge:?}, {next:?}");
        ages.push(now_ms()? - next.end_ms);
        edge = next;
    }
    let count = ages.len();
    ensure!(count >= 10, "only {count} parts came in {} s", FOLLOWED.as_secs());
    Ok(Verified(Followed(ages), format!("{count} parts, each waited for and each there as soon as it was whole")))
}

/// The renditions that were made while the source came: in the playlist, in the source's places, and decoded.
async fn ladder(client: &Client, channel: &Channel) -> anyhow::Result<Verified<()>> {
    let shown = client.channel(channel.id).await?.and_then(|channel| channel.ladder).context("it has no ladder")?;
    ensure!(shown.state == LadderState::Running, "it is {:?}: {}", shown.state, shown.error.unwrap_or_default());
    let playlist = text(client, &channel.id.to_string(), &[]).await?;
    let variants = playlist.matches("#EXT-X-STREAM-INF").count();
    ensure!(variants == RUNGS.len() + 1, "{variants} variants:\n{playlist}");
    let source = Edge::read(&text(client, &video(client, channel).await?, &[]).await?)?;
    let mut details = Vec::new();
    for track in &shown.tracks {
        let track = format!("{}/{}/{track}", channel.id, channel.version);
        let edge = Edge::read(&text(client, &track, &[]).await?)?;
        ensure!(edge.number + 1 >= source.number, "{track} is at {edge:?}, the source at {source:?}");
        let bytes = segment(client, &track, edge.number.saturating_sub(1)).await?;
        details.push(format!(
            "{} with {} KiB a segment",
            track.rsplit('/').next().unwrap_or_default(),
            bytes.div_ceil(1024)
        ));
    }
    Ok(Verified((), format!("beside the source: {}; the same segments and parts", details.join(", "))))
}

/// How many octets a segment has.
async fn segment(client: &Client, track: &str, number: u64) -> anyhow::Result<usize> {
    let path = format!("{track}/{number}.m4s");
    let answer = client.request(Method::GET, "streaming", &path).timeout(PATIENCE).send().await?;
    ensure!(answer.status() == StatusCode::OK, "{path}: {}", answer.status());
    Ok(answer.bytes().await?.len())
}

/// How far a playlist is.
#[derive(Debug)]
struct Edge {
    /// The segment under way, and how many parts of it are there.
    number: u64,
    parts: u64,
    /// When the last part ended, by the media's own clock: milliseconds since 1970.
    end_ms: f64,
}

impl Edge {
    fn read(playlist: &str) -> anyhow::Result<Self> {
        let value = |line: &str, tag: &str| line.strip_prefix(tag).map(str::to_owned);
        let hint = playlist.lines().find_map(|line| value(line, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\""));
        let hint = hint.with_context(|| format!("no preload hint in {playlist}"))?;
        let mut numbers = hint.split('.');
        let mut number = || numbers.next().and_then(|text| text.parse().ok()).context("a hint of another form");
        let (number, parts) = (number()?, number()?);
        let mut end_ms = f64::NAN;
        for line in playlist.lines() {
            if let Some(time) = value(line, "#EXT-X-PROGRAM-DATE-TIME:") {
                let time = OffsetDateTime::parse(&time, &Rfc3339).context("a time of another form")?;
                let ms = u64::try_from(time.unix_timestamp_nanos() / 1_000_000).context("a time before 1970")?;
                end_ms = Duration::from_millis(ms).as_secs_f64() * 1000.0;
            }
            if let Some(part) = value(line, "#EXT-X-PART:DURATION=") {
                let seconds: f64 =
                    part.split(',').next().unwrap_or_default().parse().context("a part without duration")?;
                end_ms += seconds * 1000.0;
            }
        }
        Ok(Self { number, parts, end_ms })
    }
}

fn now_ms() -> anyhow::Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64() * 1000.0)
}

/// The folder of the track with the pictures.
async fn video(client: &Client, channel: &Channel) -> anyhow::Result<String> {
    let playlist = text(client, &channel.id.to_string(), &[]).await?;
    let uri = playlist.lines().find(|line| !line.is_empty() && !line.starts_with('#'));
    let uri = uri.and_then(|uri| uri.strip_suffix("/index.m3u8")).context("the playlist names no variant")?;
    Ok(format!("{}/{uri}", channel.id))
}

async fn text(client: &Client, folder: &str, wait: &[(&str, u64)]) -> anyhow::Result<String> {
    let path = format!("{folder}/index.m3u8");
    let answer = client.request(Method::GET, "streaming", &path).query(wait).timeout(PATIENCE).send().await?;
    let status = answer.status();
    let text = answer.text().await?;
    ensure!(status == StatusCode::OK, "{path}: {status}: {text}");
    Ok(text)
}

async fn until(client: &Client, channel: &Channel, state: ChannelState) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let shown = client.channel(channel.id).await?.context("the channel is gone")?;
        if shown.state == state {
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "the channel is {:?} after {} s", shown.state, PATIENCE.as_secs());
        tokio::time::sleep(POLL).await;
    }
}

async fn cut_off(client: &Client, channel: &Channel, mut encoder: Child) -> anyhow::Result<Verified<()>> {
    let began = Instant::now();
    encoder.kill().await.context("kill the encoder")?;
    until(client, channel, ChannelState::Idle).await?;
    let seconds = began.elapsed().as_secs_f64();
    Ok(Verified((), format!("the encoder was killed; the channel is idle after {seconds:.1} s, what came stays")))
}

async fn come_back(
    client: &Client,
    channel: &Channel,
    clip: &Path,
    door: &str,
) -> anyhow::Result<Verified<(Child, f64)>> {
    let track = video(client, channel).await?;
    let before = Edge::read(&text(client, &track, &[]).await?)?;
    let began = Instant::now();
    let encoder = encoder(clip, door)?;
    loop {
        let playlist = text(client, &track, &[]).await?;
        let edge = Edge::read(&playlist)?;
        if playlist.contains("#EXT-X-DISCONTINUITY\n") && edge.number > before.number && edge.parts > 0 {
            let seconds = began.elapsed().as_secs_f64();
            let detail = format!(
                "segment {} follows a discontinuity, {seconds:.1} s after the encoder began again; same URLs",
                edge.number
            );
            return Ok(Verified((encoder, seconds), detail));
        }
        ensure!(began.elapsed() < PATIENCE, "nothing new after {} s:\n{playlist}", PATIENCE.as_secs());
        tokio::time::sleep(POLL).await;
    }
}

async fn end(client: &Client, channel: &Channel, mut encoder: Child) -> anyhow::Result<Verified<()>> {
    // A little of the second half is to be in the recording.
    tokio::time::sleep(Duration::from_millis(u64::from(SEGMENT_MS))).await;
    let ended = client.end_channel(channel.id).await?;
    ensure!(ended.state == ChannelState::Ended, "it is {:?}", ended.state);
    // Whoever still sends is told so, and would end by itself.
    encoder.kill().await.context("kill the encoder")?;
    let asset = client.asset(channel.id).await?.context("the catalogue does not know it")?;
    let seconds = Duration::from_millis(asset.probe.duration_ms).as_secs_f64();
    Ok(Verified((), format!("an asset of {seconds:.1} s in the catalogue; nothing was encoded or copied again")))
}

/// Plays the recording; says since when its playlist was whole.
async fn recording(client: &Client, channel: &Channel) -> anyhow::Result<Verified<Instant>> {
    let began = Instant::now();
    let track = video(client, channel).await?;
    let playlist = loop {
        let playlist = text(client, &track, &[]).await?;
        if playlist.ends_with("#EXT-X-ENDLIST\n") {
            break playlist;
        }
        ensure!(began.elapsed() < PATIENCE, "the playlist does not end");
        tokio::time::sleep(POLL).await;
    };
    let listed = Instant::now();
    let url = client.url("streaming", &format!("{track}/index.m3u8"));
    let played = player::play(url.as_str()).await?;
    ensure!(played.decode_errors == 0, "{} packets cannot be decoded", played.decode_errors);
    ensure!(played.video_frames > 0, "no frame comes out");
    let segments = playlist.lines().filter(|line| !line.starts_with('#')).count();
    Ok(Verified(listed, format!("{segments} segments, {} frames decoded without an error", played.video_frames)))
}
