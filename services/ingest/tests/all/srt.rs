//! The SRT door: FFmpeg's libsrt publishes over lines that lose, who may not is told why, and who speaks something else is not heard.

use std::io::Read;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use flame_ingest::config::SrtConfig;
use flame_ingest::srt::packet::{Body, Packet};
use flame_service_host::config::Span;
use flame_test_kit::{Scratch, clips, eventually};
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use tokio::net::UdpSocket;
use uuid::Uuid;

use crate::live::{AAC, H264};
use crate::stage::{Encoder, Stage};
use crate::world::PATIENCE;

/// Shorter than in production, so that tests end.
const IDLE: Duration = Duration::from_secs(2);
/// What FFmpeg is told besides: it is to wait until what it sent last has arrived.
const LINGER: &str = "linger=5";
/// How many of a hundred datagrams are lost, each way.
const LOST_PERCENT: u32 = 5;

async fn stage() -> (Stage, SocketAddr) {
    let stage = Stage::start(|config| {
        let listen = "127.0.0.1:0".parse().unwrap();
        config.srt = Some(SrtConfig { listen, idle: Span(IDLE), max_connections: 2, ..SrtConfig::default() });
    })
    .await;
    let address = stage.world.srt_address();
    (stage, address)
}

fn ffmpeg(input: &[&str], address: SocketAddr, arguments: &str) -> Encoder {
    let child = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error"])
        .args(input)
        .args(["-f", "mpegts", &format!("srt://{address}?{arguments}")])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ffmpeg starts");
    Encoder(child)
}

/// A picture and a tone that go on.
fn endless(address: SocketAddr, arguments: &str) -> Encoder {
    let input = ["-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30"];
    let tone = ["-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"];
    ffmpeg(&[&input[..], &tone, H264, AAC, &["-t", "60"]].concat(), address, arguments)
}

/// What it ended with, and said.
async fn ended(encoder: &mut Encoder) -> (bool, String) {
    let status = eventually(PATIENCE, || {
        let ended = encoder.0.try_wait().unwrap();
        async move { ended.ok_or("the encoder goes on") }
    })
    .await;
    let mut said = String::new();
    encoder.0.stderr.as_mut().unwrap().read_to_string(&mut said).unwrap();
    (status.success(), said)
}

/// A line to the door that loses datagrams both ways; where it begins.
async fn lossy(door: SocketAddr) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let [near, far] = [0; 2].map(|_| async { UdpSocket::bind("127.0.0.1:0").await.unwrap() });
    let (near, far) = (near.await, far.await);
    far.connect(door).await.unwrap();
    let address = near.local_addr().unwrap();
    let relaying = tokio::spawn(async move {
        let mut random = StdRng::seed_from_u64(11);
        let (mut caller, mut there, mut back) = (None, [0; 2048], [0; 2048]);
        loop {
            tokio::select! {
                Ok((length, from)) = near.recv_from(&mut there) => {
                    caller = Some(from);
                    if random.random_range(0..100) >= LOST_PERCENT {
                        let _ = far.send(&there[..length]).await;
                    }
                }
                Ok(length) = far.recv(&mut back) => {
                    if let Some(caller) = caller.filter(|_| random.random_range(0..100) >= LOST_PERCENT) {
                        let _ = near.send_to(&back[..length], caller).await;
                    }
                }
            }
        }
    });
    (address, relaying)
}

fn decoded(input: &str) -> String {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i", input, "-map", "0:v:0", "-fps_mode", "passthrough", "-f", "md5", "-"])
        .output()
        .expect("ffmpeg starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{input}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

async fn idle(stage: &Stage, channel: Uuid) {
    eventually(PATIENCE, || async {
        let state = stage.client.channel(channel).await.map_err(|error| error.to_string())?.unwrap().state;
        if state == flame_api::live::ChannelState::Idle { Ok(()) } else { Err(format!("it is {state:?}")) }
    })
    .await;
}

#[tokio::test]
async fn every_picture_arrives_over_a_line_that_loses_five_of_a_hundred() {
    let (stage, door) = stage().await;
    let channel = stage.channel().await;
    let (line, relaying) = lossy(door).await;
    let clip = clips::path("bigbuckbunny");
    let clip = clip.to_str().unwrap();
    let sound = ["-c:v", "copy", "-c:a", "aac", "-ac", "2"];
    let input = [&["-re", "-i", clip][..], &sound].concat();
    let key = channel.key.as_deref().unwrap();
    // A tenth of a second would do for loopback, but not for a machine that does something else, too.
    let arguments = format!("streamid=#!::r={key},m=publish&latency=1000000&{LINGER}");
    let mut encoder = ffmpeg(&input, line, &arguments);
    let (is_well, said) = ended(&mut encoder).await;
    assert!(is_well, "{said}");
    idle(&stage, channel.id).await;
    relaying.abort();
    stage.client.end_channel(channel.id).await.unwrap();
    let url = stage.client.url("streaming", &format!("{}/index.m3u8", channel.id));
    eventually(PATIENCE, || async {
        let text = stage.multivariant(channel.id).await?;
        let pictures = stage.pictures(channel.id).await?;
        if pictures.contains("#EXT-X-ENDLIST") { Ok(()) } else { Err(text + &pictures) }
    })
    .await;
    let clip = clip.to_owned();
    let [published, original] =
        [url.to_string(), clip].map(|input| tokio::task::spawn_blocking(move || decoded(&input)));
    assert_eq!(published.await.unwrap(), original.await.unwrap());
    assert!(!stage.pictures(channel.id).await.unwrap().contains("#EXT-X-DISCONTINUITY\n"));
}

#[tokio::test]
async fn who_may_not_publish_is_refused_in_the_handshake_and_ends() {
    let (stage, door) = stage().await;
    let channel = stage.channel().await;
    let key = channel.key.as_deref().unwrap();
    let wrong = format!("{key}0");
    for arguments in [
        format!("streamid={wrong}"),
        format!("streamid=#!::r={key},m=request"),
        format!("streamid={key}&passphrase=a-long-passphrase"),
        "streamid=#!::u=me".to_owned(),
    ] {
        let mut encoder = endless(door, &arguments);
        let (is_well, said) = ended(&mut encoder).await;
        assert!(!is_well && said.contains("Input/output error"), "{arguments}: {said}");
    }
    let text = stage.metrics().await;
    assert!(text.contains(r#"flame_live_publishers_refused_total{reason="key",service="ingest"} "#), "{text}");
    assert!(text.contains(r#"flame_live_publishers_refused_total{reason="protocol",service="ingest"} "#), "{text}");
    assert!(text.contains(r#"flame_live_publications_total{service="ingest"} 0"#), "{text}");
}

#[tokio::test]
async fn whoever_knows_the_passphrase_publishes_and_nobody_else() {
    let folder = Scratch::new("srt");
    let file = folder.join("passphrase");
    std::fs::write(&file, "a-long-passphrase-for-tests\n").unwrap();
    let stage = Stage::start(|config| {
        let (listen, passphrase) = ("127.0.0.1:0".parse().unwrap(), Some(file.clone()));
        config.srt = Some(SrtConfig { listen, passphrase, idle: Span(IDLE), ..SrtConfig::default() });
    })
    .await;
    let door = stage.world.srt_address();
    assert!(stage.client.live_doors().await.unwrap().srt_encrypted);
    let channels = [stage.channel().await, stage.channel().await];
    let keys = channels.each_ref().map(|channel| channel.key.as_deref().unwrap());
    for arguments in [
        format!("streamid={}", keys[0]),
        format!("streamid={}&passphrase=another-long-passphrase", keys[0]),
        format!("streamid={}0&passphrase=a-long-passphrase-for-tests", keys[0]),
    ] {
        let mut encoder = endless(door, &arguments);
        let (is_well, said) = ended(&mut encoder).await;
        assert!(!is_well && said.contains("Input/output error"), "{arguments}: {said}");
    }
    let text = stage.metrics().await;
    for reason in ["passphrase", "protocol", "key"] {
        let figure = format!("flame_live_publishers_refused_total{{reason=\"{reason}\",service=\"ingest\"}} ");
        assert!(text.contains(&figure), "{reason}: {text}");
    }
    // Of 128 and of 256 bits, with keys that change while it sends.
    let refresh = "kmrefreshrate=200&kmpreannounce=50";
    let encoders = [("16", keys[0]), ("32", keys[1])].map(|(length, key)| {
        let secret = format!("passphrase=a-long-passphrase-for-tests&pbkeylen={length}&{refresh}");
        endless(door, &format!("streamid={key}&{secret}"))
    });
    for channel in &channels {
        eventually(PATIENCE, || async {
            let playlist = stage.pictures(channel.id).await?;
            if playlist.contains("#EXTINF") && playlist.contains("\n3.m4s\n") { Ok(()) } else { Err(playlist) }
        })
        .await;
        assert!(!stage.pictures(channel.id).await.unwrap().contains("#EXT-X-DISCONTINUITY\n"));
        let url = stage.client.url("streaming", &format!("{}/index.m3u8", channel.id));
        let decodes = tokio::task::spawn_blocking(move || {
            let input = ["-v", "error", "-t", "2", "-i", url.as_str(), "-map", "0:v:0", "-f", "null", "-"];
            Command::new("ffmpeg").arg("-nostdin").args(input).output().expect("ffmpeg starts")
        });
        let output = decodes.await.unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    drop(encoders);
}

#[tokio::test]
async fn an_encoder_that_is_killed_comes_back_to_its_channel_and_places_are_bounded() {
    let (stage, door) = stage().await;
    let channels = [stage.channel().await, stage.channel().await, stage.channel().await];
    let keys = channels.each_ref().map(|channel| format!("streamid={}", channel.key.as_deref().unwrap()));
    let encoder = endless(door, &keys[0]);
    eventually(PATIENCE, || stage.pictures(channels[0].id)).await;
    // It is killed: nothing says so, and another one takes its channel at once.
    drop(encoder);
    let _encoder = endless(door, &keys[0]);
    eventually(PATIENCE, || async {
        let playlist = stage.pictures(channels[0].id).await?;
        let (_, after) = playlist.split_once("#EXT-X-DISCONTINUITY\n").ok_or_else(|| playlist.clone())?;
        if after.contains("#EXTINF") { Ok(()) } else { Err(playlist.clone()) }
    })
    .await;
    // The first one's place is free by now; two are all.
    eventually(PATIENCE, || async {
        let text = stage.metrics().await;
        let is_over = text.contains(r#"flame_live_publications_open{service="ingest"} 1"#);
        if is_over { Ok(()) } else { Err(text) }
    })
    .await;
    let _other = endless(door, &keys[1]);
    eventually(PATIENCE, || stage.pictures(channels[1].id)).await;
    let mut third = endless(door, &keys[2]);
    let (is_well, said) = ended(&mut third).await;
    assert!(!is_well, "{said}");
    let text = stage.metrics().await;
    assert!(text.contains(r#"flame_live_publishers_refused_total{reason="full",service="ingest"} "#), "{text}");
}

#[tokio::test]
async fn who_speaks_something_else_is_not_heard_and_costs_nothing() {
    let (stage, door) = stage().await;
    let channel = stage.channel().await;
    let _encoder = endless(door, &format!("streamid={}", channel.key.as_deref().unwrap()));
    eventually(PATIENCE, || stage.pictures(channel.id)).await;
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut random = StdRng::seed_from_u64(7);
    let mut noise = [0; 1500];
    for length in [0, 1, 15, 16, 48, 64, 100, 1500] {
        for first in [0x00, 0x80, 0xff] {
            random.fill_bytes(&mut noise);
            // Data, a handshake, and something that nobody knows.
            (noise[0], noise[1]) = (first, first);
            stranger.send_to(&noise[..length], door).await.unwrap();
        }
    }
    // The last question is one: its answer comes after whatever the others would have been answered with.
    let induction = [
        &[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 2][..],
        &[0, 0, 0, 1, 0, 0, 5, 0xdc, 0, 0, 0x20, 0, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0],
        &[0; 16],
    ];
    stranger.send_to(&induction.concat(), door).await.unwrap();
    let mut answer = [0; 2048];
    let length = tokio::time::timeout(PATIENCE, stranger.recv(&mut answer)).await.expect("it answers").unwrap();
    let read = Packet::read(&answer[..length]).unwrap();
    assert!(read.destination == 9 && matches!(read.body, Body::Handshake(_)), "{read:?}");
    // What is answered is no longer than what was asked.
    assert_eq!(length, induction.concat().len());
    let state = stage.client.channel(channel.id).await.unwrap().unwrap().state;
    assert_eq!(state, flame_api::live::ChannelState::Live);
}
