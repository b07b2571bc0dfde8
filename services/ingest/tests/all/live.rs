//! What the door makes of real encoders, without streaming: FFmpeg publishes over a socket, what comes out is written to
//! files, and FFmpeg says what is in them.

use std::borrow::Cow;
use std::path::Path;
use std::process::{Command, Stdio};

use flame_api::media::{Rational, TrackKind};
use flame_cmaf::Chunk;
use flame_cmaf::ts::reader::TsReader;
use flame_ingest::live::grid::Count;
use flame_ingest::live::packager::{Lengths, PackageError, Packager, Step, Track};
use flame_ingest::rtmp::media;
use flame_ingest::rtmp::session::{Event, Session};
use flame_ingest::srt;
use flame_test_kit::{Scratch, clips};
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A frame of 30000/1001, in 1/360000 s.
const FRAME_TICKS: u32 = 12_012;
const LENGTHS: Lengths = Lengths { segment_ms: 2000, part_ms: 200 };

/// A publication, as it would go to streaming.
pub struct Recorded {
    pub tracks: Vec<Track>,
    pub chunks: Vec<(Cow<'static, str>, Chunk)>,
    pub is_ended: bool,
}

/// FFmpeg's arguments for 4 s of a moving picture, with B-frames and a key frame a second.
pub const PICTURE: &[&str] = &["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30000/1001:duration=4"];
pub const TONE: &[&str] = &["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=4"];
pub const H264: &[&str] = &[
    "-c:v",
    "libx264",
    "-preset",
    "veryfast",
    "-pix_fmt",
    "yuv420p",
    "-g",
    "30",
    "-x264-params",
    "scenecut=0:open-gop=0",
];
pub const AAC: &[&str] = &["-c:a", "aac", "-ac", "2"];

/// Lets FFmpeg publish, and records everything that comes of it. It ends with the encoder.
async fn record(arguments: &[&[&str]]) -> Result<Vec<Recorded>, PackageError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("rtmp://{}/live/key", listener.local_addr().unwrap());
    let mut ffmpeg = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error"])
        .args(arguments.concat())
        .args(["-f", "flv", &url])
        .stdin(Stdio::null())
        .spawn()
        .expect("ffmpeg starts");
    let (stream, _) = listener.accept().await.unwrap();
    let recorded = receive(stream).await;
    if recorded.is_err() {
        ffmpeg.kill().unwrap();
    }
    ffmpeg.wait().unwrap();
    recorded
}

async fn receive(mut stream: TcpStream) -> Result<Vec<Recorded>, PackageError> {
    let (mut session, mut packager) = (Session::new(8 << 20), Packager::new(LENGTHS, Count::MILLISECONDS));
    let (mut buffer, mut events, mut steps) = (vec![0; 64 << 10], Vec::new(), Vec::new());
    'all: loop {
        let length = stream.read(&mut buffer).await.unwrap();
        if length == 0 {
            break;
        }
        session.receive(&buffer[..length], &mut events).unwrap();
        for event in events.drain(..) {
            match event {
                Event::Publish(key) => {
                    assert_eq!(key.reveal(), "key");
                    session.accept();
                }
                Event::Sent(sent) => {
                    let now_us = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1000;
                    if let Some(input) = media::read(sent).unwrap() {
                        packager.push(input, i64::try_from(now_us).unwrap(), &mut steps)?;
                    }
                    if matches!(steps.last(), Some(Step::Begin(_))) {
                        packager.begun(&mut steps)?;
                    }
                }
                Event::End => break 'all,
            }
        }
        stream.write_all(&session.take_output()).await.unwrap();
    }
    packager.finish(&mut steps)?;
    Ok(recordings(steps))
}

/// The same of a transport stream.
fn demultiplex(stream: &[u8]) -> Vec<Recorded> {
    let mut packager = Packager::new(LENGTHS, Count::TRANSPORT_STREAM);
    let (mut reader, mut events, mut steps) = (TsReader::new(8 << 20), Vec::new(), Vec::new());
    stream.chunks(1316).for_each(|piece| reader.push(piece, &mut events));
    reader.finish(&mut events);
    assert_eq!(reader.faults(), 0);
    let now_us = i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1000).unwrap();
    for input in events.into_iter().filter_map(srt::media::read) {
        packager.push(input, now_us, &mut steps).unwrap();
        if matches!(steps.last(), Some(Step::Begin(_))) {
            packager.begun(&mut steps).unwrap();
        }
    }
    packager.finish(&mut steps).unwrap();
    recordings(steps)
}

fn recordings(steps: Vec<Step>) -> Vec<Recorded> {
    let mut recorded: Vec<Recorded> = Vec::new();
    for step in steps {
        match step {
            Step::Begin(tracks) => {
                assert!(recorded.iter().all(|recorded| recorded.is_ended));
                recorded.push(Recorded { tracks, chunks: Vec::new(), is_ended: false });
            }
            Step::Chunk { track, chunk } => recorded.last_mut().expect("it has begun").chunks.push((track, chunk)),
            Step::End => recorded.last_mut().expect("it has begun").is_ended = true,
        }
    }
    recorded
}

impl Recorded {
    fn track(&self, name: &str) -> &Track {
        self.tracks.iter().find(|track| track.name == name).unwrap_or_else(|| panic!("there is a track {name}"))
    }

    fn chunks(&self, name: &str) -> Vec<&Chunk> {
        self.chunks.iter().filter(|(track, _)| *track == name).map(|(_, chunk)| chunk).collect()
    }

    /// Number and first decode time of each segment.
    fn segments(&self, name: &str) -> Vec<(u64, u64)> {
        let first = self.chunks(name).into_iter().filter(|chunk| chunk.begins_segment);
        first.map(|chunk| (chunk.number, chunk.presented_ticks)).collect()
    }

    /// Checks what holds for every track, and writes it to a file, init segment first.
    fn write(&self, name: &str, folder: &Path) -> String {
        let track = self.track(name);
        let chunks = self.chunks(name);
        let longest = u64::from(track.live.part_ticks);
        let mut file = track.init.to_vec();
        for pair in chunks.windows(2) {
            assert_eq!(pair[0].time_ticks + pair[0].duration_ticks, pair[1].time_ticks);
            assert_eq!(pair[0].ends_segment, pair[1].begins_segment);
        }
        for chunk in &chunks {
            // The 85 % of rfc8216bis, and on the grid even all of it.
            assert!(
                chunk.duration_ticks == longest || (chunk.ends_segment && chunk.duration_ticks < longest),
                "{chunk:?}"
            );
            assert!(!chunk.begins_segment || chunk.is_independent);
            file.extend_from_slice(&chunk.bytes);
        }
        let path = folder.join(format!("{name}.mp4"));
        std::fs::write(&path, file).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// What FFmpeg counts in the only stream of a file, after it has decoded all of it without a complaint.
fn frames(path: &str, selected: &str) -> usize {
    let entries = "stream=nb_read_frames";
    let arguments =
        ["-v", "error", "-count_frames", "-select_streams", selected, "-show_entries", entries, "-of", "csv=p=0", path];
    // Of a transport stream it says it twice: of the program, and of the stream.
    let said = run("ffprobe", &arguments);
    said.lines().next().expect("it says a number").trim_end_matches(',').parse().unwrap()
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{program} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn pictures_and_sound_of_ffmpeg_become_tracks_cut_alike() {
    let scratch = Scratch::new("live");
    let began = OffsetDateTime::now_utc();
    let recorded = record(&[PICTURE, TONE, H264, &["-bf", "2"], AAC]).await.unwrap();
    let [recorded] = recorded.as_slice() else { panic!("one publication, not {}", recorded.len()) };
    let video = &recorded.track("v").live;
    assert_eq!((video.kind, video.width, video.height), (TrackKind::Video, Some(320), Some(180)));
    assert_eq!((video.frame_rate, video.timescale), (Some(Rational { num: 30_000, den: 1001 }), 360_000));
    assert_eq!(video.part_ticks, 5 * FRAME_TICKS);
    let audio = &recorded.track("a").live;
    assert_eq!((audio.timescale, audio.part_ticks, audio.channels), (48_000, 9 * 1024, Some(2)));
    assert_eq!(audio.codec, "mp4a.40.2");
    // Not a frame is lost: 4 s are 119.88 of them.
    let path = recorded.write("v", &scratch);
    assert_eq!(frames(&path, "v"), 120);
    // The priming, 188 units, and perhaps what came before the first picture.
    let path = recorded.write("a", &scratch);
    assert!((186..=190).contains(&frames(&path, "a")));
    // Two seconds are 60 frames less 2 ms: the segment ends with the key frame after them.
    let (segments, sound) = (recorded.segments("v"), recorded.segments("a"));
    assert_eq!(segments.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(segments[1].1 - segments[0].1, u64::from(60 * FRAME_TICKS));
    assert_eq!(sound.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 1]);
    for ((_, pictures), (_, sound)) in segments.iter().zip(&sound) {
        let (pictures, sound) = (*pictures as f64 / 360_000.0, *sound as f64 / 48_000.0);
        assert!((0.0..0.022).contains(&(sound - pictures)), "{pictures} {sound}");
    }
    // Times are those of the wall.
    let first_s = segments[0].1 as f64 / 360_000.0;
    assert!((0.0..10.0).contains(&(first_s - began.unix_timestamp_nanos() as f64 / 1e9)), "{first_s}");
}

#[tokio::test]
async fn a_real_clip_comes_through_unchanged() {
    let clip = clips::path("bigbuckbunny");
    let clip = clip.to_str().unwrap();
    let scratch = Scratch::new("live");
    let recorded = record(&[&["-i", clip, "-c", "copy"]]).await.unwrap();
    let [recorded] = recorded.as_slice() else { panic!("one publication, not {}", recorded.len()) };
    let decoded = ["-map", "0:v", "-fps_mode", "passthrough", "-f", "md5", "-"];
    let digest = |path: &str| run("ffmpeg", &[&["-v", "error", "-i", path][..], &decoded].concat());
    let video = recorded.write("v", &scratch);
    assert_eq!(digest(&video), digest(clip));
    assert_eq!(recorded.track("v").live.frame_rate, Some(Rational { num: 25, den: 1 }));
    let audio = recorded.write("a", &scratch);
    assert_eq!(recorded.track("a").live.channels, Some(6));
    assert!(frames(clip, "a").abs_diff(frames(&audio, "a")) <= 2);
}

#[tokio::test]
async fn pictures_alone_and_sound_alone_are_publications() {
    let scratch = Scratch::new("live");
    let recorded = record(&[PICTURE, H264, &["-tune", "zerolatency"]]).await.unwrap();
    assert_eq!(recorded[0].tracks.len(), 1);
    assert_eq!(frames(&recorded[0].write("v", &scratch), "v"), 120);
    let recorded = record(&[TONE, AAC]).await.unwrap();
    assert_eq!(recorded[0].tracks.len(), 1);
    // 192,000 samples and the priming; each segment begins with the first unit after 2 s.
    assert!((188..=190).contains(&frames(&recorded[0].write("a", &scratch), "a")));
    let segments = recorded[0].segments("a");
    assert_eq!((segments[0].0, segments[1].0, segments[1].1 - segments[0].1), (0, 1, 94 * 1024));
}

#[test]
fn a_transport_stream_of_a_real_clip_comes_through_unchanged_and_to_the_tick() {
    let clip = clips::path("bigbuckbunny");
    let clip = clip.to_str().unwrap();
    let scratch = Scratch::new("live");
    let stream = scratch.join("clip.ts").to_str().unwrap().to_owned();
    // Sound at a rate of which no frame is a whole number of ticks.
    let sound = ["-c:v", "copy", "-c:a", "aac", "-ac", "2", "-ar", "44100"];
    run("ffmpeg", &[&["-v", "error", "-i", clip][..], &sound, &["-f", "mpegts", &stream]].concat());
    let recorded = demultiplex(&std::fs::read(&stream).unwrap());
    let [recorded] = recorded.as_slice() else { panic!("one publication, not {}", recorded.len()) };
    let decoded = ["-map", "0:v", "-fps_mode", "passthrough", "-f", "md5", "-"];
    let digest = |path: &str| run("ffmpeg", &[&["-v", "error", "-i", path][..], &decoded].concat());
    let video = recorded.write("v", &scratch);
    assert_eq!(digest(&video), digest(clip));
    // Its parameter set does not say that the rate is constant, and a transport stream has no other word for it.
    assert_eq!(recorded.track("v").live.frame_rate, None);
    let audio = recorded.write("a", &scratch);
    assert_eq!((recorded.track("a").live.channels, recorded.track("a").live.timescale), (Some(2), 44_100));
    assert!(frames(&stream, "a").abs_diff(frames(&audio, "a")) <= 2);
    // Where no rate is known: 1/90000 s are four ticks, and nothing is rounded.
    let variable = scratch.join("variable.ts").to_str().unwrap().to_owned();
    let picture = "testsrc2=size=320x180:rate=30000/1001:duration=3";
    let no_rate = [&["-v", "error", "-f", "lavfi", "-i", picture][..], H264, &["-bf", "0"]].concat();
    let no_rate =
        [&no_rate[..], &["-bsf:v", "h264_metadata=fixed_frame_rate_flag=0", "-f", "mpegts", &variable]].concat();
    run("ffmpeg", &no_rate);
    let recorded = demultiplex(&std::fs::read(&variable).unwrap());
    assert_eq!(recorded[0].track("v").live.frame_rate, None);
    let shown = recorded[0].segments("v");
    assert_eq!(shown[1].1 - shown[0].1, u64::from(60 * FRAME_TICKS));
}
