//! What is packaged just in time beside what Shaka Packager makes of the same files: the segments begin at the same pictures, and the
//! playlists say the same of them.
//!
//! Encoded bytes are not compared: both write boxes of their own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use flame_media_tests::renditions::Renditions;
use flame_test_kit::{Bundle, Scratch, clips, eventually, programs};
use hls_m3u8::MasterPlaylist;
use hls_m3u8::tags::VariantStream;
use url::Url;

/// Time in which an upload is looked into.
const DEADLINE: Duration = Duration::from_secs(20);
/// Target duration of segments: that of tracks here.
const SEGMENT_S: &str = "4";
/// Rounding of `EXTINF`: three decimals there, six here.
const ROUNDING_S: f64 = 0.002;
/// Sound is cut at the frame before or behind the picture's time: one AAC frame at 44.1 kHz, and the rounding.
const SOUND_OFF_S: f64 = 1024.0 / 44_100.0 + ROUNDING_S;
/// What the boxes around the media, and other ways to take a peak, may come to.
const RATE_OFF_MAX: f64 = 0.05;
/// There an I-frame is listed with the `moof` of its whole fragment, here with one of its own, which is not counted.
const MOOF_MAX_BITS: f64 = 8.0 * 1024.0;

/// What playlists say of one rendition of pictures, or of the sound.
#[derive(Debug, Clone, PartialEq)]
struct Said {
    width: usize,
    codecs: Vec<String>,
    peak_bps: u64,
    average_bps: u64,
    frame_rate: Option<f32>,
    /// `EXTINF` of each segment, or I-frame.
    durations_s: Vec<f64>,
}

/// What a multivariant playlist and those that it names say.
#[derive(Debug)]
struct Package {
    pictures: Vec<Said>,
    iframes: Vec<Said>,
    sounds: Vec<Vec<f64>>,
}

fn durations_s(playlist: &str) -> Vec<f64> {
    let lines = playlist.lines().filter_map(|line| line.strip_prefix("#EXTINF:"));
    lines.map(|line| line.split(',').next().and_then(|text| text.parse().ok()).expect("EXTINF is a number")).collect()
}

// === impl Package ===

impl Package {
    async fn read(multivariant: &str, get: impl AsyncFn(&str) -> String) -> Self {
        let text = get(multivariant).await;
        let playlist = MasterPlaylist::try_from(text.as_str()).expect("a multivariant playlist");
        let mut package = Self { pictures: Vec::new(), iframes: Vec::new(), sounds: Vec::new() };
        for stream in &playlist.variant_streams {
            let (uri, frame_rate, into) = match stream {
                VariantStream::ExtXStreamInf { uri, frame_rate, .. } => (uri, *frame_rate, &mut package.pictures),
                VariantStream::ExtXIFrame { uri, .. } => (uri, None, &mut package.iframes),
            };
            let codecs = stream.codecs().expect("CODECS").to_string();
            into.push(Said {
                width: stream.resolution().expect("RESOLUTION").width(),
                codecs: codecs.split(',').map(str::to_owned).collect(),
                peak_bps: stream.bandwidth(),
                average_bps: stream.average_bandwidth().expect("AVERAGE-BANDWIDTH"),
                frame_rate: frame_rate.map(|rate| rate.as_f32()),
                durations_s: durations_s(&get(uri).await),
            });
        }
        for media in &playlist.media {
            package.sounds.push(durations_s(&get(media.uri().expect("sound has a playlist")).await));
        }
        package.pictures.sort_by_key(|said| said.width);
        package.iframes.sort_by_key(|said| said.width);
        package
    }

    /// The same as `theirs`, but for what may differ.
    fn is_like(&self, theirs: &Self) {
        for (ours, theirs, what) in
            [(&self.pictures, &theirs.pictures, "pictures"), (&self.iframes, &theirs.iframes, "I-frames")]
        {
            assert_eq!(ours.len(), theirs.len(), "{what}: {self:#?}\nShaka Packager: {theirs:#?}");
            for (ours, theirs) in ours.iter().zip(theirs) {
                let both = || format!("{what}: {ours:?}\nShaka Packager: {theirs:?}");
                assert_eq!(
                    (ours.width, &ours.codecs, ours.frame_rate),
                    (theirs.width, &theirs.codecs, theirs.frame_rate),
                    "{}",
                    both()
                );
                assert!(is_near(&ours.durations_s, &theirs.durations_s, ROUNDING_S), "{}", both());
                let boxes_bps = if what == "I-frames" { MOOF_MAX_BITS / ours.durations_s[0] } else { 0.0 };
                #[expect(clippy::cast_precision_loss, reason = "nobody streams 2^52 bits per second")]
                for (ours, theirs) in [(ours.peak_bps, theirs.peak_bps), (ours.average_bps, theirs.average_bps)] {
                    let off_bps = (ours as f64 - theirs as f64).abs();
                    assert!(off_bps < theirs as f64 * RATE_OFF_MAX + boxes_bps, "{ours} and {theirs}: {}", both());
                }
            }
        }
        assert_eq!(self.sounds.len(), theirs.sounds.len());
        for (ours, theirs) in self.sounds.iter().zip(&theirs.sounds) {
            // A frame more here is one less there: what counts is where segments begin.
            assert!(is_near(&begins_s(ours), &begins_s(theirs), SOUND_OFF_S), "{ours:?}\nShaka Packager: {theirs:?}");
        }
    }
}

fn begins_s(durations_s: &[f64]) -> Vec<f64> {
    let begin = |at_s: &mut f64, duration_s: &f64| Some(std::mem::replace(at_s, *at_s + duration_s));
    durations_s.iter().scan(0.0, begin).collect()
}

fn is_near(ours_s: &[f64], theirs_s: &[f64], off_s: f64) -> bool {
    ours_s.len() == theirs_s.len()
        && ours_s.iter().zip(theirs_s).all(|(ours_s, theirs_s)| (ours_s - theirs_s).abs() <= off_s)
}

/// Packages the pictures of some files, which have a key frame every so many seconds, and the sound of one.
fn shaka(pictures: &[PathBuf], sound: &Path, key_frames_s: &str) -> Scratch {
    let folder = Scratch::new("shaka-packager");
    let mut packager = Command::new(programs::repository().join("media-tests/judges/packager"));
    packager.current_dir(folder.path());
    for (at, file) in pictures.iter().enumerate() {
        packager.arg(format!(
            "in={},stream=video,init_segment=v{at}/init.mp4,segment_template=v{at}/$Number$.m4s,playlist_name=v{at}.m3u8,\
             iframe_playlist_name=i{at}.m3u8",
            file.display()
        ));
    }
    packager.arg(format!(
        "in={},stream=audio,init_segment=a/init.mp4,segment_template=a/$Number$.m4s,playlist_name=a.m3u8,hls_group_id=audio,\
         hls_name=sound",
        sound.display()
    ));
    // Of each fragment it lists the first picture.
    packager.args([
        "--segment_duration",
        SEGMENT_S,
        "--fragment_duration",
        key_frames_s,
        "--hls_master_playlist_output",
        "index.m3u8",
    ]);
    let ran = packager.output().expect("the packager starts");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    folder
}

async fn theirs(folder: &Scratch) -> Package {
    Package::read("index.m3u8", async |file| std::fs::read_to_string(folder.join(file)).expect("it is written")).await
}

async fn ours(url: &Url) -> Package {
    Package::read(url.as_str(), async |uri| {
        let answer = reqwest::get(url.join(uri).expect("URIs are relative")).await.expect("the router answers");
        answer.error_for_status().expect("it is there").text().await.expect("playlists are text")
    })
    .await
}

/// A track as one file: its init segment and all segments.
async fn fetch(playlist: &Url, into: PathBuf) -> PathBuf {
    let get = async |uri: &str| {
        let answer = reqwest::get(playlist.join(uri).expect("URIs are relative")).await.expect("the router answers");
        answer.error_for_status().expect("it is there").bytes().await.expect("the whole body")
    };
    let text = String::from_utf8(get("index.m3u8").await.to_vec()).expect("playlists are UTF-8");
    let mut file = get("init.mp4").await.to_vec();
    for uri in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        file.extend(get(uri).await);
    }
    std::fs::write(&into, file).expect("scratch is writable");
    into
}

fn ingest(bundle: &Bundle, file: &Path, more: &[&str]) -> Url {
    let arguments = [&["ingest", file.to_str().expect("paths of clips are UTF-8")], more].concat();
    let done: serde_json::Value = bundle.json(&arguments);
    let id = done[0]["id"].as_str().unwrap_or_else(|| panic!("no asset: {done:#}"));
    format!("{}/~streaming/{id}/index.m3u8", bundle.router()).parse().expect("an address makes a URL")
}

#[tokio::test]
async fn a_movie_as_it_is_is_cut_and_described_as_shaka_packager_does() {
    let bundle = Bundle::up().await;
    for clip in [clips::path("bigbuckbunny"), clips::recipe("key-frames").seconds(15.0).rate("30000/1001").make()] {
        let url = ingest(&bundle, &clip, &["--chain", "none"]);
        eventually(DEADLINE, || async {
            let status = reqwest::get(url.clone()).await.expect("the router answers").status();
            if status == 200 { Ok(()) } else { Err(status) }
        })
        .await;
        ours(&url).await.is_like(&theirs(&shaka(std::slice::from_ref(&clip), &clip, "1")).await);
    }
}

#[tokio::test]
async fn a_ladder_is_cut_and_described_as_shaka_packager_does() {
    let bundle = Bundle::up().await;
    let url = ingest(&bundle, &clips::recipe("synthetic").seconds(14.0).size(854, 480).make(), &[]);
    let renditions = Renditions::fetch(&url).await.expect("it plays");
    let folder = Scratch::new("tracks");
    let mut pictures = Vec::new();
    for (at, variant) in renditions.variants.iter().enumerate() {
        pictures.push(fetch(&variant.url, folder.join(format!("v{at}.mp4"))).await);
    }
    let sound = fetch(&renditions.audio[0], folder.join("a.mp4")).await;
    assert!(pictures.len() >= 2, "{renditions:?}");
    ours(&url).await.is_like(&theirs(&shaka(&pictures, &sound, "2")).await);
}
