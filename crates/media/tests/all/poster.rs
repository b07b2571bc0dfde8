//! One picture of a video.

use flame_media::poster;

use crate::judge::{clip, ffmpeg};

#[test]
fn is_upright_and_in_square_pixels() {
    let made = clip(
        "a.mp4",
        "-f lavfi -i testsrc2=size=176x144:rate=25:duration=2 -vf setsar=16/11 -c:v libx264 -pix_fmt yuv420p",
    );
    ffmpeg(&made.folder, "-i a.mp4 -c copy -metadata:s:v:0 rotate=90 turned.mp4");
    let output = made.folder.join("poster.jpg");
    let input = made.folder.join("turned.mp4");
    let poster = poster::write(input.to_str().unwrap(), 0, 1000, &output).unwrap();
    assert_eq!((poster.width, poster.height), (144, 256));
    let image = image::open(&output).unwrap();
    assert_eq!((image.width(), image.height()), (144, 256));
}

#[test]
fn fits_into_its_bound() {
    let made = clip("a.mp4", "-f lavfi -i testsrc2=size=640x360:rate=25:duration=1 -c:v libx264 -pix_fmt yuv420p");
    let output = made.folder.join("poster.jpg");
    let poster = poster::write(made.path.to_str().unwrap(), 500, 320, &output).unwrap();
    assert_eq!((poster.width, poster.height), (320, 180));
}

#[test]
fn shows_the_time_asked_for_or_the_first_picture() {
    // White for the first second, black for the next.
    let source = "-f lavfi -i color=white:size=64x64:rate=25:duration=1 -f lavfi -i color=black:size=64x64:rate=25:duration=1 \
                  -filter_complex concat=n=2 -c:v libx264 -pix_fmt yuv420p";
    let made = clip("a.mp4", source);
    let output = made.folder.join("poster.jpg");
    let brightness = |at_ms| {
        poster::write(made.path.to_str().unwrap(), at_ms, 64, &output).unwrap();
        let image = image::open(&output).unwrap().to_luma8();
        image.get_pixel(32, 32).0[0]
    };
    assert!(brightness(0) > 200);
    assert!(brightness(1500) < 50);
    assert!(brightness(60_000) > 200, "past the end it is the first picture");
}
