//! FFmpeg as the player, of tracks that FFmpeg itself encoded and cut: nothing of ours but the serving.

use std::path::Path;
use std::process::Command;

use flame_api::media::{Rational, SoundRole, Track, TrackKind};
use flame_cmaf::boxes::{BoxWalk, Step};
use flame_cmaf::index::VERSION as INDEX_VERSION;
use flame_cmaf::{Figures, SegmentEntry, TrackIndex};
use sha2::{Digest, Sha256};

use crate::world::{VERSION, World};

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{program} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// 6 s of picture and tone as fragmented MP4, one fragment each 2 s, picture and tone apart.
fn clip(folder: &Path, name: &str, arguments: &[&str]) -> Vec<u8> {
    let target = folder.join(name);
    let picture = "testsrc2=size=320x180:rate=25:duration=6";
    let tone = "sine=frequency=440:sample_rate=48000:duration=6";
    let mut all = vec!["-v", "error", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone];
    all.extend_from_slice(arguments);
    all.extend(["-movflags", "+empty_moov+default_base_moof+skip_trailer+negative_cts_offsets"]);
    all.extend(["-f", "mp4", target.to_str().unwrap()]);
    run("ffmpeg", &all);
    std::fs::read(target).unwrap()
}

/// The index of a fragmented MP4 whose fragments last `ticks` each, but for the last one.
fn index(object: &[u8], codec: &str, timescale: u32, ticks: u64, total_ticks: u64) -> TrackIndex {
    let mut starts = Vec::new();
    let mut walk = BoxWalk::new(object.len() as u64);
    let mut step = walk.step().unwrap();
    while let Step::Read { offset_bytes, .. } = step {
        let head = &object[usize::try_from(offset_bytes).unwrap()..];
        if &head[4..8] == b"moof" {
            starts.push(offset_bytes);
        }
        step = walk.feed(head).unwrap();
    }
    let sha256 = |from: u64, to: u64| {
        hex::encode(Sha256::digest(&object[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()]))
    };
    let end = |n: usize| starts.get(n + 1).copied().unwrap_or(object.len() as u64);
    let segments = starts.iter().enumerate().map(|(n, &start)| SegmentEntry {
        offset_bytes: start,
        size_bytes: end(n) - start,
        time_ticks: n as u64 * ticks,
        duration_ticks: if n + 1 == starts.len() { total_ticks - n as u64 * ticks } else { ticks },
        samples: 1,
        sap: 1,
        sha256: sha256(start, end(n)),
        keyframes: Vec::new(),
    });
    TrackIndex {
        version: INDEX_VERSION,
        codec: codec.to_owned(),
        timescale,
        edit_media_time_ticks: 0,
        init_size_bytes: starts[0],
        init_sha256: sha256(0, starts[0]),
        segments: segments.collect(),
    }
}

fn track(name: &str, kind: TrackKind, index: &TrackIndex) -> Track {
    let figures = Figures::of(index);
    let video = kind == TrackKind::Video;
    Track {
        name: name.to_owned(),
        kind,
        codec: index.codec.clone(),
        width: video.then_some(320),
        height: video.then_some(180),
        frame_rate: video.then_some(Rational { num: 25, den: 1 }),
        channels: (!video).then_some(1),
        sample_rate_hz: (!video).then_some(48_000),
        language: None,
        role: SoundRole::Main,
        title: None,
        source_sound: None,
        duration_ms: figures.duration_ms,
        samples: 1,
        average_bandwidth_bps: figures.average_bandwidth_bps,
        peak_bandwidth_bps: figures.peak_bandwidth_bps,
        size_bytes: figures.size_bytes,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ffmpeg_plays_to_the_end() {
    let folder = flame_test_kit::Scratch::new("player");
    let gop = "keyint=50:min-keyint=50:scenecut=0:bframes=0";
    let video = clip(
        &folder,
        "v.mp4",
        &[
            "-map",
            "0",
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
            "-pix_fmt",
            "yuv420p",
            "-profile:v",
            "high",
            "-x264-params",
            gop,
            "-video_track_timescale",
            "25",
            "-frag_duration",
            "2000000",
        ],
    );
    let audio = clip(&folder, "a.mp4", &["-map", "1", "-c:a", "aac", "-frag_duration", "2000000"]);
    let video_index = index(&video, "avc1.64000d", 25, 50, 150);
    let audio_index = index(&audio, "mp4a.40.2", 48_000, 94 * 1024, 6 * 48_000 + 1024);
    assert_eq!((video_index.segments.len(), audio_index.segments.len() >= 3), (3, true));

    let world = World::start().await;
    let asset = world.register(None).await;
    let tracks = vec![track("v180", TrackKind::Video, &video_index), track("a128", TrackKind::Audio, &audio_index)];
    world.put(asset, "v180", video, video_index.to_json()).await;
    world.put(asset, "a128", audio, audio_index.to_json()).await;
    world.publish(asset, tracks).await;
    assert_eq!(world.get(&format!("{asset}/{VERSION}/a128/0.m4s")).await.headers()["content-type"], "audio/mp4");

    let url = world.url(&format!("{asset}/index.m3u8"));
    let probed = tokio::task::spawn_blocking(move || {
        let entries = "stream=codec_name,nb_read_frames:format=duration";
        let probed =
            run("ffprobe", &["-v", "error", "-count_frames", "-show_entries", entries, "-of", "csv=p=0", &url]);
        run("ffmpeg", &["-v", "error", "-xerror", "-i", &url, "-f", "null", "-"]);
        probed
    });
    let probed = probed.await.unwrap();
    assert!(probed.contains("h264,150"), "{probed}");
    assert!(probed.contains("aac,28"), "{probed}");
    world.stop().await;
}
