//! Comparisons as a caller sees them. FFmpeg's own filters and its libvmaf are the judge of the figures
//! (`media-tests/judges/ffmpeg`); what was done to a film is known, so the alignment judges itself.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::Command,
};

use flame_api::quality::{Comparison, Metric, Scores};
use flame_media::{compare::compare, fault::MediaError};
use flame_media_child::protocol::ComparePlan;
use flame_test_kit::{Scratch, clips, repository};

use crate::judge;

/// What figures may differ by.
const TOLERANCE: f64 = 1e-3;

fn plan(reference: &Path, distorted: &Path, metrics: &[Metric]) -> ComparePlan {
    ComparePlan {
        reference: reference.to_string_lossy().into_owned(),
        distorted: distorted.to_string_lossy().into_owned(),
        follow_playlists: false,
        reference_form: None,
        distorted_form: None,
        metrics: metrics.to_vec(),
        frames_max: None,
        subsample: 1,
        threads: 2,
        confidence_min: 0.5,
    }
}

fn compared(reference: &Path, distorted: &Path, metrics: &[Metric]) -> (Comparison, Scores) {
    run(&plan(reference, distorted, metrics)).expect("they can be compared")
}

fn run(plan: &ComparePlan) -> Result<(Comparison, Scores), MediaError> {
    compare(plan, &mut |_| {})
}

/// A test picture of `seconds`, without loss, and the folder where it lies.
fn original(seconds: u32) -> (Scratch, PathBuf) {
    let folder = Scratch::new("compare");
    let source = format!("-f lavfi -i testsrc2=size=320x240:rate=25:duration={seconds},noise=alls=8:allf=t");
    judge::ffmpeg(&folder, &format!("{source} -pix_fmt yuv420p -c:v ffv1 original.mkv"));
    let path = folder.join("original.mkv");
    (folder, path)
}

/// What the judge's filters say of each frame: column to scores.
fn judged(folder: &Path, reference: &Path, distorted: &Path, with_ms_ssim: bool) -> HashMap<String, Vec<f64>> {
    let ms_ssim = if with_ms_ssim { "|name=float_ms_ssim" } else { "" };
    let models = "version=vmaf_v0.6.1\\:name=vmaf|version=vmaf_v0.6.1neg\\:name=vmaf_neg|\
                  version=vmaf_v0.6.1\\:name=vmaf_phone\\:enable_transform=true|version=vmaf_4k_v0.6.1\\:name=vmaf_4k";
    let graph = format!(
        "[0:v]settb=1/25,setpts=N,split=4[d1][d2][d3][d4];[1:v]settb=1/25,setpts=N,split=4[r1][r2][r3][r4];\
         [d1][r1]libvmaf=log_fmt=json:log_path=vmaf.json:n_threads=2:model='{models}':feature='name=float_ssim{ms_ssim}'[o1];\
         [d2][r2]psnr,metadata=mode=print:file=psnr.txt[o2];[d3][r3]ssim,metadata=mode=print:file=ssim.txt[o3];\
         [r4][d4]xpsnr,metadata=mode=print:file=xpsnr.txt[o4]"
    );
    let ran = Command::new(repository().join("media-tests/judges/ffmpeg"))
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(distorted)
        .arg("-i")
        .arg(reference)
        .args(["-lavfi", &graph, "-map", "[o1]", "-map", "[o2]", "-map", "[o3]", "-map", "[o4]", "-f", "null", "-"])
        .current_dir(folder)
        .output()
        .expect("the judge runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let mut columns: HashMap<String, Vec<f64>> = HashMap::new();
    let log: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.join("vmaf.json")).unwrap()).unwrap();
    for frame in log["frames"].as_array().expect("there are frames") {
        for (name, value) in frame["metrics"].as_object().expect("there are metrics") {
            let name = name.replace("integer_vif_", "vif_");
            columns.entry(name).or_default().push(value.as_f64().expect("it is a number"));
        }
    }
    for file in ["psnr.txt", "ssim.txt", "xpsnr.txt"] {
        printed(&std::fs::read_to_string(folder.join(file)).unwrap(), &mut columns);
    }
    columns
}

/// Takes what FFmpeg's filter `metadata` printed into `columns`.
fn printed(text: &str, columns: &mut HashMap<String, Vec<f64>>) {
    let names = [
        ("psnr.psnr_avg", "psnr"),
        ("psnr.psnr.y", "psnr_y"),
        ("psnr.psnr.u", "psnr_cb"),
        ("psnr.psnr.v", "psnr_cr"),
        ("ssim.All", "ssim"),
        ("ssim.Y", "ssim_y"),
        ("ssim.U", "ssim_cb"),
        ("ssim.V", "ssim_cr"),
        ("xpsnr.xpsnr.y", "xpsnr_y"),
        ("xpsnr.xpsnr.u", "xpsnr_cb"),
        ("xpsnr.xpsnr.v", "xpsnr_cr"),
    ];
    for line in text.lines() {
        let Some((key, value)) = line.strip_prefix("lavfi.").and_then(|line| line.split_once('=')) else {
            continue;
        };
        if let Some((_, name)) = names.iter().find(|(theirs, _)| *theirs == key) {
            columns.entry((*name).to_owned()).or_default().push(value.parse().expect("it is a number"));
        }
    }
}

/// Every column of `scores` is the judge's, frame by frame.
fn same_as_judged(scores: &Scores, judged: &HashMap<String, Vec<f64>>, what: &str) {
    for (at, column) in scores.columns.iter().enumerate() {
        let theirs = judged.get(column).unwrap_or_else(|| panic!("{what}: the judge has {:?}", judged.keys()));
        assert_eq!(theirs.len(), scores.frames.len(), "{what}: {column}");
        for (frame, theirs) in scores.frames.iter().zip(theirs) {
            let ours = frame.values[at];
            assert!((ours - theirs).abs() <= TOLERANCE, "{what}: {column} of {}: {ours}, {theirs}", frame.distorted);
        }
    }
}

const ALL_BUT_V1: [Metric; 10] = [
    Metric::Psnr,
    Metric::Ssim,
    Metric::Xpsnr,
    Metric::FloatSsim,
    Metric::MsSsim,
    Metric::Vif,
    Metric::Vmaf,
    Metric::VmafNeg,
    Metric::Vmaf4k,
    Metric::VmafPhone,
];

#[test]
fn figures_are_those_of_ffmpeg_and_libvmaf_on_real_footage() {
    let (reference, distorted) = (clips::path("carphone_pristine"), clips::path("carphone_distorted"));
    // Too small for MS-SSIM.
    let metrics: Vec<_> = ALL_BUT_V1.into_iter().filter(|metric| *metric != Metric::MsSsim).collect();
    let (comparison, scores) = compared(&reference, &distorted, &metrics);
    let folder = Scratch::new("judged");
    same_as_judged(&scores, &judged(&folder, &reference, &distorted, false), "carphone");
    assert_eq!((comparison.alignment.dropped_frames, comparison.alignment.offset_frames), (0, 0));
    assert!(comparison.alignment.confidence > 0.8, "{:?}", comparison.alignment);
    let refused = run(&plan(&reference, &distorted, &[Metric::MsSsim])).expect_err("it is too small");
    assert!(refused.to_string().contains("at least 176x176 samples"), "{refused}");
}

#[test]
fn figures_are_those_of_ffmpeg_and_libvmaf_at_five_rates() {
    let (folder, reference) = original(1);
    for (rate, format) in
        [(60, "yuv420p"), (150, "yuv420p"), (400, "yuv420p10le"), (1000, "yuv420p"), (3000, "yuv420p")]
    {
        let name = format!("{rate}.mp4");
        let encoder = format!("-c:v libx264 -preset veryfast -pix_fmt {format} -b:v {rate}k");
        judge::ffmpeg(&folder, &format!("-i original.mkv {encoder} {name}"));
        let distorted = folder.join(name);
        let (comparison, scores) = compared(&reference, &distorted, &ALL_BUT_V1);
        let wide = folder.join("wide.mkv");
        // FFmpeg would compare in 8 bits; the deeper of both formats is ours.
        let reference = if format == "yuv420p" { &reference } else { &wide };
        judge::ffmpeg(&folder, &format!("-i original.mkv -pix_fmt {format} -c:v ffv1 wide.mkv"));
        same_as_judged(&scores, &judged(&folder, reference, &distorted, true), &format!("{rate} kbit/s, {format}"));
        assert_eq!(comparison.compared_as.pixel_format, format);
        assert_eq!(comparison.notes.len(), usize::from(format != "yuv420p"), "{:?}", comparison.notes);
    }
}

/// No FFmpeg has these models yet; that each is loaded, and is another one, shows in what they say.
#[test]
fn every_model_of_vmaf_v1_tells_rates_apart() {
    let folder = Scratch::new("v1");
    let source = "-f lavfi -i testsrc2=size=640x360:rate=25:duration=1,noise=alls=4:allf=t";
    judge::ffmpeg(&folder, &format!("{source} -pix_fmt yuv420p -c:v ffv1 original.mkv"));
    let metrics = [Metric::VmafV1, Metric::VmafV1Far, Metric::VmafV14k];
    let means: Vec<[f64; 3]> = [44, 34, 20]
        .into_iter()
        .map(|crf| {
            judge::ffmpeg(&folder, &format!("-i original.mkv -c:v libx264 -preset veryfast -crf {crf} coded.mkv"));
            let (comparison, _) = compared(&folder.join("original.mkv"), &folder.join("coded.mkv"), &metrics);
            let names: Vec<_> = comparison.columns.iter().map(|column| column.name.as_str()).collect();
            assert_eq!(names, ["vmaf_v1", "vmaf_v1_5h", "vmaf_v1_4k"]);
            std::array::from_fn(|at| comparison.columns[at].pooled.mean)
        })
        .collect();
    for (at, metric) in metrics.iter().enumerate() {
        let rising = means.windows(2).all(|pair| pair[0][at] <= pair[1][at]) && means[0][at] < means[2][at];
        assert!(rising, "{metric}: {means:?}");
    }
    // From where one sits, errors are not equally large.
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        assert!(means.iter().any(|means| (means[one] - means[other]).abs() > 0.1), "{one}, {other}: {means:?}");
    }
    judge::ffmpeg(&folder, "-i original.mkv -vf scale=640:120 -c:v ffv1 low.mkv");
    for metric in metrics {
        let refused =
            run(&plan(&folder.join("low.mkv"), &folder.join("low.mkv"), &[metric])).expect_err("it is too low");
        assert!(refused.to_string().contains("needs pictures of at least"), "{refused}");
    }
}

/// The other halves of XPSNR: second differences in time from 32 pictures a second on, means of 2 x 2 samples above 2048 x 1152, a last
/// column too narrow to have edges, and what is printed of the whole film.
#[test]
fn xpsnr_is_that_of_ffmpeg_also_of_fast_and_of_large_pictures() {
    let folder = Scratch::new("xpsnr");
    for (size, rate, frames) in [("322x242", 50, 12), ("2560x1440", 25, 3), ("2052x1154", 60, 3)] {
        let source = format!("-f lavfi -i testsrc2=size={size}:rate={rate},noise=alls=8:allf=t -frames:v {frames}");
        judge::ffmpeg(&folder, &format!("{source} -pix_fmt yuv420p -c:v ffv1 original.mkv"));
        judge::ffmpeg(&folder, "-i original.mkv -c:v libx264 -preset ultrafast -crf 32 coded.mkv");
        let (reference, distorted) = (folder.join("original.mkv"), folder.join("coded.mkv"));
        let ran = Command::new(repository().join("media-tests/judges/ffmpeg"))
            .args(["-nostdin", "-i", "original.mkv", "-i", "coded.mkv"])
            .args(["-lavfi", "[0:v][1:v]xpsnr,metadata=mode=print:file=xpsnr.txt", "-f", "null", "-"])
            .current_dir(&*folder)
            .output()
            .expect("the judge runs");
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{said}");
        let mut judged = HashMap::new();
        printed(&std::fs::read_to_string(folder.join("xpsnr.txt")).unwrap(), &mut judged);
        // Three pictures are too few to be sure of.
        let asked = ComparePlan { confidence_min: 0.0, ..plan(&reference, &distorted, &[Metric::Xpsnr]) };
        let (comparison, scores) = run(&asked).expect("they can be compared");
        assert_eq!(scores.frames.len(), frames);
        same_as_judged(&scores, &judged, size);
        // `XPSNR  y: 33.2826  u: 34.9241  v: 34.5568  (minimum: 33.2826)`
        let (_, film) = said.rsplit_once("XPSNR  y:").expect("it ends with the figures of the film");
        let theirs: Vec<f64> = film.split_whitespace().filter_map(|word| word.parse().ok()).take(3).collect();
        let ours: Vec<f64> = comparison.columns.iter().filter_map(|column| column.of_mean_error).collect();
        assert_eq!((ours.len(), theirs.len()), (3, 3), "{film}");
        assert!(ours.iter().zip(&theirs).all(|(ours, theirs)| (ours - theirs).abs() <= TOLERANCE), "{ours:?} {film}");
    }
}

#[test]
fn a_lossless_copy_is_lossless_whatever_its_times_say() {
    let (folder, reference) = original(2);
    judge::ffmpeg(&folder, "-i original.mkv -c copy -bsf:v setts=ts=TS*3+500 late.mkv");
    let (comparison, scores) =
        compared(&reference, &folder.join("late.mkv"), &[Metric::Psnr, Metric::Ssim, Metric::Xpsnr, Metric::VmafV1]);
    assert_eq!((scores.frames.len(), comparison.reference.frames, comparison.distorted.frames), (50, 50, 50));
    assert!(comparison.alignment.confidence > 0.999, "{:?}", comparison.alignment);
    let lowest =
        |name: &str| comparison.columns.iter().find(|column| column.name == name).expect("asked for").pooled.min;
    assert_eq!((lowest("psnr"), lowest("ssim"), lowest("xpsnr_y")), (100.0, 1.0, 100.0));
    assert!(lowest("vmaf_v1") > 90.0, "{}", lowest("vmaf_v1"));
}

#[test]
fn what_was_done_to_the_frames_is_found_and_the_right_ones_are_scored() {
    let (folder, reference) = original(4);
    let encoder = "-c:v libx264 -preset veryfast -crf 18";
    // 10 frames of something else in front; of the film frames 15 to 89, without 40 to 42; frame 60 three times.
    let graph = "[0:v]trim=start_frame=15:end_frame=90,setpts=PTS-STARTPTS,select=not(between(n\\,25\\,27)),\
                 setpts=N/25/TB,loop=loop=2:size=1:start=42,setpts=N/25/TB[film];\
                 color=black:size=320x240:rate=25:duration=0.4,format=yuv420p[slate];[slate][film]concat";
    judge::ffmpeg(&folder, &format!("-i original.mkv -filter_complex {graph} {encoder} harmed.mp4"));
    let (comparison, scores) = compared(&reference, &folder.join("harmed.mp4"), &[Metric::Psnr]);
    let alignment = &comparison.alignment;
    assert_eq!((alignment.lead_in_reference, alignment.lead_in_distorted, alignment.offset_frames), (15, 10, -5));
    assert_eq!((alignment.dropped_frames, alignment.repeated_frames, alignment.foreign_frames), (3, 2, 0));
    assert_eq!((alignment.tail_reference, alignment.tail_distorted), (10, 0));
    assert_eq!(comparison.scored_frames, 72);
    assert!(scores.frames.iter().all(|frame| frame.values[0] > 30.0), "a pair of frames does not belong together");
    assert!(comparison.notes.iter().any(|note| note.contains("twice")), "{:?}", comparison.notes);
}

#[test]
fn every_other_pair_and_only_the_first() {
    let (folder, reference) = original(2);
    judge::ffmpeg(&folder, "-i original.mkv -c:v libx264 -preset veryfast -crf 30 half.mp4");
    let half = folder.join("half.mp4");
    let metrics = [Metric::Psnr, Metric::Xpsnr, Metric::Vmaf];
    let (_, all) = compared(&reference, &half, &metrics);
    let some = ComparePlan { subsample: 3, frames_max: Some(20), ..plan(&reference, &half, &metrics) };
    let (comparison, some) = run(&some).expect("they can be compared");
    assert_eq!(comparison.scored_frames, 7);
    for (frame, whole) in some.frames.iter().zip(all.frames.iter().step_by(3)) {
        assert_eq!(frame.distorted, whole.distorted);
        assert!(
            frame.values.iter().zip(&whole.values).all(|(one, other)| (one - other).abs() < 1e-6),
            "{frame:?} {whole:?}"
        );
    }
}

#[test]
fn other_sizes_are_scaled_and_it_says_so() {
    let (folder, reference) = original(1);
    judge::ffmpeg(&folder, "-i original.mkv -vf scale=160:120 -pix_fmt yuv444p -c:v ffv1 small.mkv");
    let (comparison, _) = compared(&reference, &folder.join("small.mkv"), &[Metric::Psnr]);
    assert_eq!((comparison.compared_as.width, comparison.compared_as.height), (320, 240));
    assert!(
        comparison.notes.iter().any(|note| note.contains("scaled from 160x120 to 320x240")),
        "{:?}",
        comparison.notes
    );
    assert!(comparison.notes.iter().any(|note| note.contains("yuv444p")), "{:?}", comparison.notes);
}

#[test]
fn what_cannot_be_compared_is_refused_and_says_why() {
    let (folder, reference) = original(1);
    let path = |name: &str| folder.join(name);
    judge::ffmpeg(&folder, "-f lavfi -i sine=duration=1 sound.m4a");
    judge::ffmpeg(
        &folder,
        "-i original.mkv -c:v libx264 -pix_fmt yuv420p10le -color_trc smpte2084 -colorspace bt2020nc -color_primaries bt2020 hdr.mp4",
    );
    judge::ffmpeg(&folder, "-f lavfi -i mandelbrot=size=320x240:rate=25 -frames:v 30 -c:v ffv1 other.mkv");
    std::fs::write(path("words.mp4"), "this is no film, it only says so").unwrap();
    std::fs::write(path("list.mp4"), "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n/etc/passwd\n").unwrap();
    let whole = std::fs::read(path("hdr.mp4")).unwrap();
    std::fs::write(path("cut.mp4"), &whole[..whole.len() / 2]).unwrap();
    for (name, why) in [
        ("sound.m4a", "no video"),
        ("hdr.mp4", "HDR"),
        ("words.mp4", "not a media file"),
        ("list.mp4", "not a media file"),
        ("cut.mp4", "damaged or cut off"),
        ("other.mkv", "do not correspond"),
        ("nowhere.mkv", "cannot open"),
    ] {
        let refused = run(&plan(&reference, &path(name), &[Metric::Psnr])).expect_err(name);
        assert!(refused.to_string().contains(why), "{name}: {refused}");
        run(&plan(&path(name), &reference, &[Metric::Psnr])).expect_err(name);
    }
}

#[test]
fn one_frame_and_a_film_that_ends_midway_give_what_there_is() {
    let (folder, reference) = original(1);
    judge::ffmpeg(&folder, "-i original.mkv -frames:v 1 -c:v ffv1 one.mkv");
    let (comparison, _) = compared(&folder.join("one.mkv"), &folder.join("one.mkv"), &[Metric::Psnr, Metric::Vmaf]);
    assert_eq!(comparison.scored_frames, 1);
    judge::ffmpeg(&folder, "-i original.mkv -c:v libx264 -preset veryfast -g 5 -f mpegts whole.ts");
    let whole = std::fs::read(folder.join("whole.ts")).unwrap();
    std::fs::write(folder.join("cut.ts"), &whole[..whole.len() * 2 / 3]).unwrap();
    let (comparison, _) = compared(&reference, &folder.join("cut.ts"), &[Metric::Psnr]);
    assert!((5..25).contains(&comparison.scored_frames), "{comparison:?}");
    assert_eq!(
        comparison.alignment.tail_reference + comparison.scored_frames + comparison.alignment.dropped_frames,
        25
    );
}
