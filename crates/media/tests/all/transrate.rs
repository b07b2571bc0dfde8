//! One segment made smaller: the times of the source, one init segment, and fast enough for who waits. FFmpeg judges.

use std::fs;
use std::path::{Path, PathBuf};

use flame_cmaf::index::TrackIndex;
use flame_cmaf::samples::{self, InitInfo};
use flame_media::{ladder, probe, transrate};
use flame_media_child::protocol::TransratePlan;
use flame_test_kit::Scratch;

use crate::judge::{self, Clip};
use crate::plan;

fn small() -> TransratePlan {
    TransratePlan {
        width: 320,
        height: 180,
        crf: 24,
        max_bitrate_bps: 600_000,
        preset: "veryfast".to_owned(),
        level: "3.1".to_owned(),
    }
}

/// A track of `clip` by `encoder`, cut at each two seconds: its init segment, and its segments.
fn track(clip: &Clip, encoder: &str) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut plan = plan::of(&probe::probe(clip.path.to_str().unwrap()).unwrap());
    plan.video.truncate(1);
    plan.audio.clear();
    plan.video[0].encoder = encoder.to_owned();
    let folder = Scratch::new("track");
    ladder::encode(&clip.path, &folder, &plan, &mut |_, _| {}).unwrap();
    let bytes = fs::read(folder.join("top.mp4")).unwrap();
    let index = TrackIndex::from_json(&fs::read(folder.join("top.index.json")).unwrap()).unwrap();
    let init = bytes[..usize::try_from(index.init_size_bytes).unwrap()].to_vec();
    let segment = |offset: u64, size: u64| {
        let offset = usize::try_from(offset).unwrap();
        bytes[offset..offset + usize::try_from(size).unwrap()].to_vec()
    };
    (init, index.segments.iter().map(|entry| segment(entry.offset_bytes, entry.size_bytes)).collect())
}

/// Processor time of this process, all its threads, seconds; the clock would count what others do on the machine.
fn processor_s() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux has /proc");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // utime and stime, the 14th and 15th of all, in hundredths on every Linux that Rust knows.
    let ticks: f64 = fields[11..13].iter().map(|field| field.parse::<f64>().unwrap()).sum();
    ticks / 100.0
}

/// The init segment and the segment that are made of one, and the processor time that it took, seconds.
fn derived(folder: &Path, init: &[u8], segment: &[u8], plan: &TransratePlan) -> (Vec<u8>, Vec<u8>, f64) {
    let input = folder.join("input.mp4");
    fs::write(&input, [init, segment].concat()).unwrap();
    let began_s = processor_s();
    let made = transrate::transrate(&input, init.len() as u64, folder, plan).unwrap_or_else(|error| panic!("{error}"));
    let took_s = processor_s() - began_s;
    assert!(made.codec.starts_with("avc1.6400"), "{}", made.codec);
    (fs::read(folder.join("init.mp4")).unwrap(), fs::read(folder.join("segment.m4s")).unwrap(), took_s)
}

/// When a sample is decoded, and for how long; when it is shown, and whether decoding can start there.
type Decoded = (i64, u32);
type Shown = (i64, bool);

/// Decode times, presentation times and sync samples, the edit applied.
fn times(init: &[u8], segment: &[u8]) -> (Vec<Decoded>, Vec<Shown>) {
    let init = InitInfo::parse(init).unwrap();
    let samples = samples::samples(segment, &init).unwrap();
    let decoded = samples.iter().map(|sample| (init.edited_ticks(sample), sample.duration_ticks)).collect();
    let mut shown: Vec<_> = samples.iter().map(|sample| (init.presented_ticks(sample), sample.is_sync)).collect();
    shown.sort_unstable();
    (decoded, shown)
}

#[test]
fn a_derived_segment_has_the_times_and_the_grid_of_its_source() {
    let clip =
        judge::clip("a.mkv", "-f lavfi -i testsrc2=size=640x360:rate=30000/1001:duration=7 -pix_fmt yuv420p -c:v ffv1");
    for encoder in ["x264", "x265", "svt-av1", "vpx-vp9"] {
        let folder = Scratch::new("derived");
        let (init, segments) = track(&clip, encoder);
        assert_eq!(segments.len(), 4, "{encoder}");
        let mut whole: Vec<u8> = Vec::new();
        for segment in &segments {
            let (own_init, own_segment, _) = derived(&folder, &init, segment, &small());
            assert_eq!(times(&own_init, &own_segment), times(&init, segment), "{encoder}");
            // One init segment for all.
            if whole.is_empty() {
                whole.clone_from(&own_init);
            }
            assert!(whole.starts_with(&own_init), "{encoder}");
            whole.extend(own_segment);
        }
        fs::write(folder.join("whole.mp4"), &whole).unwrap();
        fs::write(folder.join("source.mp4"), [init, segments.concat()].concat()).unwrap();
        let shown = |name: &str| {
            let frames = judge::frames(&folder.join(name));
            frames.iter().map(|frame| ((frame.time_s * 1e4).round() as i64, frame.is_key)).collect::<Vec<_>>()
        };
        assert_eq!(shown("whole.mp4"), shown("source.mp4"), "{encoder}");
        judge::ffmpeg(&folder, "-xerror -i whole.mp4 -f null -");
        judge::ffmpeg(
            &folder,
            "-i whole.mp4 -i source.mp4 -lavfi [1:v]scale=320:180:flags=bicubic[s];[0:v][s]psnr=f=psnr.log -f null -",
        );
        let log = fs::read_to_string(folder.join("psnr.log")).unwrap();
        let psnr_db = |line: &str| -> f64 {
            let value = line.split("psnr_y:").nth(1).unwrap().split_whitespace().next().unwrap();
            if value == "inf" { 100.0 } else { value.parse().unwrap() }
        };
        let worst_db = log.lines().map(psnr_db).fold(f64::INFINITY, f64::min);
        assert!(worst_db > 22.0, "{encoder}: {worst_db} dB");
    }
}

#[test]
fn what_is_no_segment_is_refused_with_a_reason() {
    let folder = Scratch::new("derived");
    let refused = |init: &[u8], segment: &[u8]| {
        let input = folder.join("input.mp4");
        fs::write(&input, [init, segment].concat()).unwrap();
        transrate::transrate(&input, init.len() as u64, &folder, &small()).unwrap_err().to_string()
    };
    let clip = judge::clip("a.mkv", "-f lavfi -i testsrc2=size=320x180:rate=25:duration=2 -pix_fmt yuv420p -c:v ffv1");
    let (init, segments) = track(&clip, "x264");
    assert!(refused(&init, &segments[0][..segments[0].len() / 2]).contains("cannot be used"));
    assert!(refused(&init[..20], &segments[0]).contains("cannot be used"));
    assert!(refused(b"", b"nonsense").contains("cannot be used"));
    let mut damaged = segments[0].clone();
    let middle = damaged.len() / 2;
    damaged[middle..].fill(0);
    let said = refused(&init, &damaged);
    assert!(said.contains("cannot be decoded") || said.contains("pictures"), "{said}");
}

/// 4 s of 720p to 360p on one core: real footage, where it is there.
#[test]
fn four_seconds_of_720p_are_made_smaller_within_one() {
    let path: PathBuf = flame_test_kit::clips::path("bigbuckbunny");
    let folder = Scratch::new("derived");
    let mut plan = plan::of(&probe::probe(path.to_str().unwrap()).unwrap());
    plan.video.truncate(1);
    plan.audio.clear();
    (plan.gop_ms, plan.segment_ms) = (2000, 4000);
    assert_eq!((plan.video[0].width, plan.video[0].height), (1280, 720));
    ladder::encode(&path, &folder, &plan, &mut |_, _| {}).unwrap();
    let bytes = fs::read(folder.join("top.mp4")).unwrap();
    let index = TrackIndex::from_json(&fs::read(folder.join("top.index.json")).unwrap()).unwrap();
    let init = &bytes[..usize::try_from(index.init_size_bytes).unwrap()];
    let first = &index.segments[0];
    assert_eq!(first.duration_ticks, u64::from(index.timescale) * 4);
    let (from, size) = (usize::try_from(first.offset_bytes).unwrap(), usize::try_from(first.size_bytes).unwrap());
    let plan = TransratePlan { width: 640, height: 360, ..small() };
    let (_, made, took_s) = derived(&folder, init, &bytes[from..from + size], &plan);
    eprintln!("{size} bytes of 720p became {} bytes of 360p in {took_s:.2} s", made.len());
    // One test is one process. Less than a second on a machine that does nothing else; caches and clocks are shared with others.
    assert!(took_s < 2.0, "{took_s} s of processor time");
}
