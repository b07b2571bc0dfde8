//! Thumbnails that are made while a ladder is: the right picture in the right place, upright, and no more than were asked for.

use flame_media_child::protocol::ThumbnailPlan;
use image::{GenericImageView, Rgb};

use crate::judge::{Clip, Verdict, clip, ffmpeg, judge_with};

const PLAN: ThumbnailPlan =
    ThumbnailPlan { interval_ms: 1000, columns: 3, rows: 2, width: 32, height: 18, sheets_max: 10 };

/// Grey that gets lighter with each second, at 320x180.
fn steps(name: &str, seconds: u32) -> Clip {
    let filter = format!("color=black:size=320x180:rate=25:duration={seconds},format=yuv420p");
    clip(name, &format!("-f lavfi -i {filter},geq=lum=16+25*floor(T):cb=128:cr=128 -c:v libx264 -crf 10"))
}

fn sheets(verdict: &Verdict) -> Vec<image::DynamicImage> {
    let count = verdict.ladder.thumbnails.as_ref().map_or(0, |thumbnails| thumbnails.sheets());
    let path = |number| verdict.tracks.join(format!("thumbnails/{number}.jpg"));
    let sheets: Vec<_> = (0..count).map(|number| image::open(path(number)).unwrap()).collect();
    let sizes = (0..count).map(|number| std::fs::metadata(path(number)).unwrap().len());
    let said = verdict.ladder.thumbnails.as_ref().map_or(0, |thumbnails| thumbnails.size_bytes);
    assert_eq!(sizes.sum::<u64>(), said);
    assert!(!path(count).exists());
    sheets
}

/// The grey in the middle of a picture.
fn grey(sheet: &image::DynamicImage, plan: &ThumbnailPlan, at: u32) -> i32 {
    let (x, y) = (at % plan.columns * plan.width + plan.width / 2, at / plan.columns * plan.height + plan.height / 2);
    let Rgb([red, ..]) = sheet.to_rgb8().get_pixel(x, y).to_owned();
    red.into()
}

/// What RGB makes of the luma of a second.
fn expected(second: u32) -> i32 {
    i32::try_from(25 * second * 255 / 219).unwrap()
}

#[test]
fn each_interval_has_its_picture() {
    let clip = steps("a.mp4", 8);
    let verdict = judge_with(&clip, |plan| plan.thumbnails = Some(PLAN));
    let thumbnails = verdict.ladder.thumbnails.clone().unwrap();
    assert_eq!((thumbnails.count, thumbnails.sheets()), (8, 2), "{thumbnails:?}");
    assert!(thumbnails.largest_sheet_bytes > 0 && thumbnails.largest_sheet_bytes < thumbnails.size_bytes);
    let sheets = sheets(&verdict);
    for second in 0..8 {
        let (sheet, at) = (&sheets[second as usize / 6], second % 6);
        assert_eq!(sheet.dimensions(), (96, 36));
        assert!((grey(sheet, &PLAN, at) - expected(second)).abs() <= 6, "second {second}: {}", grey(sheet, &PLAN, at));
    }
    assert!(grey(&sheets[1], &PLAN, 3) <= 6, "places without a picture are black");
}

#[test]
fn no_more_sheets_than_planned() {
    let clip = steps("a.mp4", 6);
    let plan = ThumbnailPlan { columns: 2, rows: 1, sheets_max: 2, ..PLAN };
    let verdict = judge_with(&clip, |ladder| ladder.thumbnails = Some(plan));
    assert_eq!(verdict.ladder.thumbnails.as_ref().unwrap().count, 4);
    assert_eq!(sheets(&verdict).len(), 2);
}

#[test]
fn a_picture_that_stands_for_long_is_shown_as_long() {
    // One picture every three seconds.
    let made = steps("a.mp4", 9);
    ffmpeg(&made.folder, "-i a.mp4 -vf select=not(mod(n\\,75)) -vsync vfr -c:v libx264 -crf 10 slow.mkv");
    let clip = Clip { path: made.folder.join("slow.mkv"), folder: made.folder };
    let verdict = judge_with(&clip, |plan| plan.thumbnails = Some(PLAN));
    assert_eq!(verdict.ladder.thumbnails.as_ref().unwrap().count, 7);
    let sheets = sheets(&verdict);
    for (at, second) in [0, 0, 0, 3, 3, 3].into_iter().enumerate() {
        let grey = grey(&sheets[0], &PLAN, u32::try_from(at).unwrap());
        assert!((grey - expected(second)).abs() <= 6, "picture {at}: {grey}");
    }
}

#[test]
fn pictures_stand_upright() {
    // White above, black below, and told to be turned clockwise by a quarter.
    let made = clip(
        "a.mp4",
        "-f lavfi -i color=white:size=320x90:rate=25:duration=1 -f lavfi -i color=black:size=320x90:rate=25:duration=1 \
         -filter_complex vstack -c:v libx264 -pix_fmt yuv420p",
    );
    ffmpeg(&made.folder, "-i a.mp4 -c copy -metadata:s:v rotate=90 turned.mp4");
    let clip = Clip { path: made.folder.join("turned.mp4"), folder: made.folder };
    let plan = ThumbnailPlan { columns: 1, rows: 1, width: 18, height: 32, ..PLAN };
    let verdict = judge_with(&clip, |ladder| ladder.thumbnails = Some(plan));
    assert_ne!(verdict.probe.video.as_ref().unwrap().rotation_deg, 0);
    let sheet = sheets(&verdict)[0].to_rgb8();
    let turn = verdict.probe.video.as_ref().unwrap().rotation_deg;
    let (left, right) = (sheet.get_pixel(3, 16)[0], sheet.get_pixel(14, 16)[0]);
    // What was above is on the right after a turn clockwise.
    assert_eq!((left > 128, right > 128), if turn == 90 { (false, true) } else { (true, false) });
}
