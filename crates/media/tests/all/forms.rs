//! Forms in which films come to be compared: containers of all kinds, raw samples whose form was stated, a file for each picture. What
//! was made without loss has to be found without loss, each frame in its place.

use std::path::{Path, PathBuf};

use flame_api::media::Rational;
use flame_api::quality::{Comparison, Form, Metric, Scores};
use flame_media::{
    compare::{compare, sheets},
    fault::MediaError,
};
use flame_media_child::protocol::{ComparePlan, FramePair, SheetPlan};
use flame_test_kit::Scratch;

use crate::judge;

/// Frames of the film.
const FRAMES: u64 = 25;
/// Bytes of one of its pictures in 4:2:0.
const PICTURE_BYTES: usize = 320 * 240 * 3 / 2;

/// A second of a test picture without loss, and the folder where it lies.
fn original() -> (Scratch, PathBuf) {
    let folder = Scratch::new("forms");
    let source = "-f lavfi -i testsrc2=size=320x240:rate=25:duration=1,noise=alls=8:allf=t";
    judge::ffmpeg(&folder, &format!("{source} -pix_fmt yuv420p -c:v ffv1 original.mkv"));
    let path = folder.join("original.mkv");
    (folder, path)
}

fn raw(text: &str) -> Option<Form> {
    Some(Form::Raw(text.parse().expect(text)))
}

fn images() -> Option<Form> {
    Some(Form::Images { frame_rate: Rational { num: 25, den: 1 } })
}

fn run(
    reference: &Path,
    distorted: &Path,
    reference_form: Option<Form>,
    distorted_form: Option<Form>,
) -> Result<(Comparison, Scores), MediaError> {
    let plan = ComparePlan {
        reference: reference.to_string_lossy().into_owned(),
        distorted: distorted.to_string_lossy().into_owned(),
        follow_playlists: false,
        reference_form,
        distorted_form,
        metrics: vec![Metric::Psnr],
        frames_max: None,
        subsample: 1,
        threads: 1,
        confidence_min: 0.5,
    };
    compare(&plan, &mut |_| {})
}

/// What the films have in common, frame by frame: the lowest PSNR.
fn lowest(found: &(Comparison, Scores), what: &str) -> f64 {
    let (comparison, scores) = found;
    assert_eq!((scores.frames.len() as u64, comparison.distorted.frames), (FRAMES, FRAMES), "{what}");
    assert_eq!((comparison.alignment.dropped_frames, comparison.alignment.offset_frames), (0, 0), "{what}");
    assert_eq!(comparison.incomplete, Vec::<String>::new(), "{what}");
    comparison.columns[0].pooled.min
}

#[test]
fn containers_of_all_kinds_are_compared() {
    let (folder, reference) = original();
    let lossless = "-c:v libx264 -preset veryfast -qp 0 -pix_fmt yuv420p";
    for (name, encoder) in [
        ("film.y4m", "-pix_fmt yuv420p"),
        ("film.mov", lossless),
        ("film.ts", lossless),
        ("film.ivf", "-c:v libvpx-vp9 -lossless 1 -deadline realtime -cpu-used 8 -pix_fmt yuv420p"),
    ] {
        judge::ffmpeg(&folder, &format!("-i original.mkv {encoder} {name}"));
        let found = run(&reference, &folder.join(name), None, None).unwrap_or_else(|why| panic!("{name}: {why}"));
        assert_eq!(lowest(&found, name).to_bits(), 100.0_f64.to_bits(), "{name}");
    }
    judge::ffmpeg(&folder, "-i original.mkv -c:v mpeg2video -q:v 2 -pix_fmt yuv420p film.mxf");
    let found = run(&reference, &folder.join("film.mxf"), None, None).expect("it is compared");
    assert!(lowest(&found, "film.mxf") > 25.0, "{:?}", found.0.columns[0].pooled);
}

#[test]
fn raw_samples_are_what_was_stated() {
    let (folder, reference) = original();
    for (format, is_said) in [("yuv420p", false), ("nv12", false), ("yuv420p10le", true)] {
        judge::ffmpeg(&folder, &format!("-i original.mkv -f rawvideo -pix_fmt {format} {format}.yuv"));
        let samples = folder.join(format!("{format}.yuv"));
        let found = run(&reference, &samples, None, raw(&format!("320x240@25:{format}")));
        let found = found.unwrap_or_else(|why| panic!("{format}: {why}"));
        // Ten bits of what had eight: both are compared in ten, where the filter's rounding may show.
        assert!(lowest(&found, format) > 60.0, "{format}: {:?}", found.0.columns[0].pooled);
        assert_eq!(found.0.distorted.shape.pixel_format, format);
        // That a film of eight bits was widened is said; that chroma lies otherwise is no loss.
        assert_eq!(found.0.notes.is_empty(), !is_said, "{format}: {:?}", found.0.notes);
    }
    // Both sides, and the rate gives the times.
    let samples = folder.join("yuv420p.yuv");
    let fast = run(&samples, &samples, raw("320x240@50:yuv420p"), raw("320x240@50:yuv420p")).expect("it is compared");
    assert_eq!(lowest(&fast, "at 50").to_bits(), 100.0_f64.to_bits());
    assert!((fast.1.frames[3].time_ms - 60.0).abs() < 1e-9, "{:?}", fast.1.frames[3]);
    assert!((fast.0.distorted.duration_ms - 500.0).abs() < 1e-6, "{:?}", fast.0.distorted);
}

#[test]
fn raw_samples_that_end_midway_are_a_part_and_what_they_cannot_be_is_refused() {
    let (folder, reference) = original();
    judge::ffmpeg(&folder, "-i original.mkv -f rawvideo -pix_fmt yuv420p whole.yuv");
    let whole = std::fs::read(folder.join("whole.yuv")).unwrap();
    assert_eq!(whole.len(), PICTURE_BYTES * 25);
    let cut = folder.join("cut.yuv");
    std::fs::write(&cut, &whole[..PICTURE_BYTES * 20 + 1000]).unwrap();
    let (comparison, _) = run(&reference, &cut, None, raw("320x240@25:yuv420p")).expect("what there is is compared");
    assert_eq!((comparison.scored_frames, comparison.alignment.tail_reference), (20, 5));
    assert!(
        comparison.incomplete.iter().any(|word| word.contains("ends in the middle")),
        "{:?}",
        comparison.incomplete
    );

    let small = folder.join("small.yuv");
    std::fs::write(&small, &whole[..PICTURE_BYTES - 1]).unwrap();
    for (path, stated, why) in [
        (&small, "320x240@25:yuv420p", "a picture of 320x240@25:yuv420p has 115200"),
        (&cut, "320x240@25:yuv421p", "no pixel format"),
        (&cut, "320x240@25:pal8", "no pixel format"),
        (&cut, "320x240@25:vaapi", "no pixel format"),
        (&cut, "16384x16384@25:yuv444p16le", "at most"),
        (&folder.join("none.yuv"), "320x240@25:yuv420p", "cannot open"),
        (&PathBuf::from("http://127.0.0.1:9/film.yuv"), "320x240@25:yuv420p", "not from a URL"),
    ] {
        let refused = run(&reference, path, None, raw(stated)).expect_err(stated);
        assert!(refused.to_string().contains(why), "{stated}: {refused}");
    }
}

/// An encoder of pictures goes from the film to RGB by the film's matrix, and back goes whoever compares.
#[test]
fn pictures_of_a_film_are_compared_by_its_matrix_and_grey_ones_by_all_their_values() {
    let (folder, _) = original();
    let matrix =
        "-i original.mkv -vf scale=out_color_matrix=bt709,format=yuv420p,setparams=colorspace=bt709 -c:v ffv1 hd.mkv";
    judge::ffmpeg(&folder, matrix);
    judge::ffmpeg(&folder, "-i hd.mkv p-%02d.png");
    let found = run(&folder.join("hd.mkv"), &folder.join("p-%02d.png"), None, images()).expect("it is compared");
    let psnr = found.1.columns.iter().position(|name| name == "psnr_y").expect("it is measured");
    let lowest_db = found.1.frames.iter().map(|frame| frame.values[psnr]).fold(f64::INFINITY, f64::min);
    assert!(lowest_db > 45.0, "by another matrix it is about 22 dB: {lowest_db}");

    judge::ffmpeg(&folder, "-i original.mkv -vf extractplanes=y -pix_fmt gray g-%02d.pgm");
    let squeezed = "-i original.mkv -vf extractplanes=y,eq=brightness=0.1 -pix_fmt gray h-%02d.pgm";
    judge::ffmpeg(&folder, squeezed);
    let found =
        run(&folder.join("g-%02d.pgm"), &folder.join("h-%02d.pgm"), images(), images()).expect("it is compared");
    let ours_db = found.1.frames[0].values[psnr];
    let differences = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let (one, other) = (differences("g-01.pgm"), differences("h-01.pgm"));
    // Both have heads of the same length.
    let samples = one.len().min(other.len());
    let squares: f64 =
        one.iter().zip(&other).map(|(one, other)| f64::from(i32::from(*one) - i32::from(*other)).powi(2)).sum();
    let head = one.iter().enumerate().filter(|(_, octet)| **octet == b'\n').nth(2).expect("three lines").0 + 1;
    let expected_db = 10.0 * (255.0_f64.powi(2) * (samples - head) as f64 / squares).log10();
    assert!((ours_db - expected_db).abs() < 0.01, "{ours_db} dB, and by the samples {expected_db}");
}

#[test]
fn a_file_for_each_picture_is_a_film_and_a_hole_in_it_is_none() {
    let (folder, _) = original();
    // The folder's name has what stands for a number in a file's.
    let inside = folder.join("50%d");
    std::fs::create_dir(&inside).unwrap();
    judge::ffmpeg(&folder, "-i original.mkv -start_number 7 p-%03d.png");
    judge::ffmpeg(&folder, "-i original.mkv -c:v png film.mkv");
    for number in 7..32 {
        let name = format!("p-{number:03}.png");
        std::fs::rename(folder.join(&name), inside.join(&name)).unwrap();
    }
    // What is not one of them is left alone.
    std::fs::write(inside.join("p-0900.png"), "another").unwrap();
    let (reference, sequence) = (folder.join("film.mkv"), inside.join("p-%03d.png"));
    let found = run(&reference, &sequence, None, images()).expect("it is compared");
    assert_eq!(lowest(&found, "pictures").to_bits(), 100.0_f64.to_bits());
    assert!((found.1.frames[5].time_ms - 200.0).abs() < 1e-6, "{:?}", found.1.frames[5]);

    let drawn = folder.join("drawn");
    std::fs::create_dir(&drawn).unwrap();
    let plan = SheetPlan {
        reference: reference.to_string_lossy().into_owned(),
        distorted: sequence.to_string_lossy().into_owned(),
        follow_playlists: false,
        reference_form: None,
        distorted_form: images(),
        pairs: vec![FramePair { reference: 3, distorted: 3 }],
    };
    sheets::write(&plan, &drawn).expect("it is drawn");
    assert!(drawn.join("3.jpg").is_file());

    std::fs::remove_file(inside.join("p-010.png")).unwrap();
    for (name, why) in [
        ("p-%03d.png", "1 of the pictures"),
        ("q-%03d.png", "no file is called like"),
        ("p-%03d.svg", "pictures of these kinds"),
        ("p-007.png", "does not say where the pictures' number is"),
    ] {
        let refused = run(&reference, &inside.join(name), None, images()).expect_err(name);
        assert!(refused.to_string().contains(why), "{name}: {refused}");
    }
}
