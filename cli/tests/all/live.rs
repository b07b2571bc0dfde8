//! Live, through the whole product: an encoder publishes by RTMP, SRT or pushed CMAF, a player watches by HLS, and what can go wrong does.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use flame_test_kit::{eventually, ports};
use reqwest::Url;
use serde_json::Value;

use crate::world::World;

pub const PATIENCE: Duration = Duration::from_secs(40);
/// Pictures a second of what is published.
pub const RATE: usize = 30;

pub struct Live {
    pub world: World,
    rtmp: SocketAddr,
}

/// A channel, as `flame channel create` says it.
pub struct Channel {
    pub id: String,
    pub key: String,
}

/// FFmpeg, publishing; it ends with its value.
pub struct Encoder(pub Child);

// === impl Live ===

impl Live {
    pub fn up() -> Self {
        let [port] = ports::free_tcp();
        let rtmp = SocketAddr::from(([127, 0, 0, 1], port));
        Self { world: World::up_with(&["--listen", "127.0.0.1:0", "--rtmp", &rtmp.to_string()]), rtmp }
    }

    pub fn channel(&self, title: &str) -> Channel {
        let made = self.world.json(&["channel", "create", title]);
        let text = |name: &str| made[name].as_str().unwrap_or_else(|| panic!("{made} has {name}")).to_owned();
        Channel { id: text("id"), key: text("key") }
    }

    pub fn state(&self, channel: &Channel) -> Value {
        self.world.json(&["channel", "show", &channel.id])["state"].clone()
    }

    pub fn publish(&self, key: &str) -> Encoder {
        self.publish_like(key, &format!("testsrc2=size=320x180:rate={RATE}"), &[])
    }

    /// Publishes this picture, with these arguments behind the usual ones.
    pub fn publish_like(&self, key: &str, picture: &str, more: &[&str]) -> Encoder {
        let gop = RATE.to_string();
        let url = format!("rtmp://{}/live/{key}", self.rtmp);
        let child = Command::new("ffmpeg")
            .args(["-nostdin", "-v", "error", "-re", "-f", "lavfi", "-i", picture])
            .args(["-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"])
            .args(["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", &gop, "-bf", "2"])
            .args(["-x264-params", "scenecut=0:open-gop=0", "-c:a", "aac", "-t", "60"])
            .args(more)
            .args(["-f", "flv", &url])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("ffmpeg starts");
        Encoder(child)
    }

    fn url(&self, channel: &Channel) -> Url {
        format!("{}/~streaming/{}/index.m3u8", self.world.router, channel.id).parse().unwrap()
    }

    /// Waits until the channel can be played.
    pub async fn plays(&self, channel: &Channel) {
        eventually(PATIENCE, || async {
            match reqwest::get(self.url(channel)).await.unwrap().status().as_u16() {
                200 => Ok(()),
                status => Err(format!("the playlist is answered with {status}:\n{}", self.world.log())),
            }
        })
        .await;
    }

    /// The playlist of the pictures.
    pub async fn pictures(&self, channel: &Channel) -> String {
        let text = async |url: Url| reqwest::get(url).await.unwrap().text().await.unwrap();
        let multivariant = text(self.url(channel)).await;
        let variant = multivariant.lines().find(|line| !line.starts_with('#') && !line.is_empty());
        let variant = variant.unwrap_or_else(|| panic!("no variant in {multivariant}"));
        text(self.url(channel).join(variant).unwrap()).await
    }

    /// Plays some seconds of it with FFmpeg; pictures and units of sound that came out of the decoders.
    pub fn play(&self, channel: &Channel, seconds: usize) -> [usize; 2] {
        let output = Command::new("ffmpeg")
            .args(["-nostdin", "-v", "error", "-i", self.url(channel).as_str(), "-map", "0:v:0", "-map", "0:a:0"])
            .args(["-t", &seconds.to_string(), "-fps_mode", "passthrough", "-f", "framecrc", "-"])
            .output()
            .expect("ffmpeg starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && errors.is_empty(), "{errors}");
        let text = String::from_utf8(output.stdout).unwrap();
        ["0,", "1,"].map(|stream| text.lines().filter(|line| line.starts_with(stream)).count())
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn an_encoder_is_played_leaves_and_comes_back() {
    let live = Live::up();
    let channel = live.channel("Comes back");
    assert_eq!(live.state(&channel), "idle");
    let encoder = live.publish(&channel.key);
    live.plays(&channel).await;
    assert_eq!(live.state(&channel), "live");
    let [pictures, sound] = live.play(&channel, 4);
    // All of them: 4 s of pictures, and 187.5 units of sound, of which one may be cut at either end.
    assert_eq!(pictures, 4 * RATE);
    assert!((186..=189).contains(&sound), "{sound}");

    drop(encoder);
    eventually(PATIENCE, || async {
        let state = live.state(&channel);
        if state == "idle" { Ok(()) } else { Err(format!("the channel is {state}")) }
    })
    .await;
    let before = live.pictures(&channel).await;
    assert!(!before.contains("#EXT-X-DISCONTINUITY\n"), "{before}");
    let _encoder = live.publish(&channel.key);
    eventually(PATIENCE, || async {
        let playlist = live.pictures(&channel).await;
        let (_, after) = playlist.split_once("#EXT-X-DISCONTINUITY\n").ok_or_else(|| playlist.clone())?;
        if after.matches("#EXTINF").count() >= 3 { Ok(()) } else { Err(playlist.clone()) }
    })
    .await;
    assert_eq!(live.play(&channel, 4)[0], 4 * RATE);
    let log = live.world.log();
    assert!(!log.contains(&channel.key), "a key is in the log");
}

#[tokio::test]
async fn two_channels_go_on_at_once_and_a_wrong_key_opens_neither() {
    let live = Live::up();
    let channels = [live.channel("One"), live.channel("Two")];
    let _encoders = channels.each_ref().map(|channel| live.publish(&channel.key));
    for channel in &channels {
        live.plays(channel).await;
    }
    let wrong = format!("{}0", channels[0].key);
    let mut refused = live.publish(&wrong);
    let status = eventually(PATIENCE, || {
        let ended = refused.0.try_wait().unwrap();
        async move { ended.ok_or("an encoder with a wrong key goes on") }
    })
    .await;
    let mut said = String::new();
    std::io::Read::read_to_string(refused.0.stderr.as_mut().unwrap(), &mut said).unwrap();
    assert!(!status.success() && said.contains("This key opens no channel."), "{said}");
    for channel in &channels {
        assert_eq!(live.play(channel, 2)[0], 2 * RATE);
        assert_eq!(live.state(channel), "live");
    }
    assert!(!live.world.log().contains(&wrong));
}

#[tokio::test]
async fn an_encoder_publishes_by_srt_with_the_command_that_is_printed() {
    let live = Live::up();
    let printed = live.world.flame(&["channel", "create", "By SRT"]);
    assert_eq!(printed.status, 0, "{}", printed.err);
    let command = printed.out.lines().map(str::trim).find(|line| line.contains("-f mpegts")).expect("it is printed");
    let (_, key) = command.trim_end_matches('\'').split_once("streamid=").expect("the key is in the address");
    let channel = Channel { id: uuid::Uuid::parse_str(&key[..32]).unwrap().to_string(), key: key.to_owned() };
    let input =
        format!("-f lavfi -i testsrc2=size=320x180:rate={RATE} -re -f lavfi -i sine=frequency=440:sample_rate=48000");
    let codecs =
        format!("-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g {RATE} -bf 2 -sc_threshold 0 -c:a aac -t 60");
    let command = command.replace("-i FILE", &input).replace("-c copy", &codecs);
    let child = Command::new("sh")
        .args(["-c", &format!("exec {}", command.replace("ffmpeg ", "ffmpeg -nostdin -v error "))])
        .stdin(Stdio::null())
        .spawn()
        .expect("a shell starts");
    let _encoder = Encoder(child);
    live.plays(&channel).await;
    let [pictures, sound] = live.play(&channel, 4);
    assert_eq!(pictures, 4 * RATE);
    assert!((186..=189).contains(&sound), "{sound}");
    assert_eq!(live.state(&channel), "live");
    assert!(!live.world.log().contains(&channel.key), "a key is in the log");
}

#[tokio::test]
async fn an_encoder_publishes_by_whip_with_the_command_that_is_printed() {
    let live = Live::up();
    let printed = live.world.flame(&["channel", "create", "By WHIP"]);
    assert_eq!(printed.status, 0, "{}", printed.err);
    let command = printed.out.lines().map(str::trim).find(|line| line.contains("-f whip")).expect("it is printed");
    let (_, key) = command.split_once("/whip/").expect("the key is in the address");
    let channel = Channel { id: uuid::Uuid::parse_str(&key[..32]).unwrap().to_string(), key: key.to_owned() };
    let input =
        format!("-f lavfi -i testsrc2=size=320x180:rate={RATE} -re -f lavfi -i sine=frequency=440:sample_rate=48000");
    let command = command.replace("-i FILE", &input).replace("-f whip", "-pix_fmt yuv420p -t 60 -f whip");
    // Debian's FFmpeg does not know WHIP.
    let ffmpeg = concat!(env!("CARGO_MANIFEST_DIR"), "/../media-tests/judges/ffmpeg -nostdin -v error ");
    let child = Command::new("sh")
        .args(["-c", &format!("exec {}", command.replace("ffmpeg ", ffmpeg))])
        .stdin(Stdio::null())
        .spawn()
        .expect("a shell starts");
    let _encoder = Encoder(child);
    live.plays(&channel).await;
    let [pictures, sound] = live.play(&channel, 4);
    assert_eq!(pictures, 4 * RATE);
    // Packets of 20 ms.
    assert!((199..=201).contains(&sound), "{sound}");
    assert_eq!(live.state(&channel), "live");
    assert!(!live.world.log().contains(&channel.key), "a key is in the log");
}

#[tokio::test]
async fn a_ladder_is_pushed_through_the_router_with_the_command_that_is_printed() {
    let live = Live::up();
    // As people see it: the command, with the key in it.
    let printed = live.world.flame(&["channel", "create", "Ladder"]);
    assert_eq!(printed.status, 0, "{}", printed.err);
    let command =
        printed.out.lines().map(str::trim).find(|line| line.ends_with("/live.mpd")).expect("the push is printed");
    let (_, key) = command.split_once("/push/").expect("the key is in the path");
    let key = key.strip_suffix("/live.mpd").expect("a playlist is pushed").to_owned();
    let channel = Channel { id: uuid::Uuid::parse_str(&key[..32]).unwrap().to_string(), key };
    let input = "-f lavfi -i testsrc2=size=640x360:rate=30 -re -f lavfi -i sine=frequency=440:sample_rate=48000";
    let command = command
        .replace("-i FILE", input)
        .replace("-map 0:a", "-map 1:a")
        .replace("-preset veryfast", "-preset ultrafast");
    let command = command.replace("1280x720", "320x180").replace("640x360 -b", "160x90 -b");
    let child = Command::new("sh")
        .args(["-c", &format!("exec {}", command.replace("ffmpeg ", "ffmpeg -nostdin -v error "))])
        .stdin(Stdio::null())
        .spawn()
        .expect("a shell starts");
    let _encoder = Encoder(child);
    live.plays(&channel).await;
    let multivariant = reqwest::get(live.url(&channel)).await.unwrap().text().await.unwrap();
    assert_eq!(multivariant.matches("#EXT-X-STREAM-INF").count(), 2, "{multivariant}");
    let [pictures, sound] = live.play(&channel, 4);
    assert_eq!(pictures, 4 * RATE);
    assert!((186..=189).contains(&sound), "{sound}");
    assert_eq!(live.state(&channel), "live");
    assert!(!live.world.log().contains(&channel.key), "a key is in the log");
}
