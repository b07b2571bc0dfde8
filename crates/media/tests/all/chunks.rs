//! Pictures that were encoded in chunks, each by a decoder and an encoder of its own: joined they are the tracks of a ladder in one piece.

use std::path::Path;

use flame_media::{ladder, probe};
use flame_media_child::protocol::{ChunkPlace, GopRange, LadderPlan, ThumbnailPlan};
use flame_test_kit::Scratch;

use crate::judge::{clip, decodes, frames};
use crate::later::shape;
use crate::plan;

const THUMBNAILS: ThumbnailPlan =
    ThumbnailPlan { interval_ms: 1000, columns: 3, rows: 2, width: 32, height: 18, sheets_max: 10 };
const CODED: &str = "-map 0:v -map 1:a -c:v libx264 -bf 3 -g 40 -pix_fmt yuv420p -c:a aac";
const SOUND: &str = "-f lavfi -i sine=sample_rate=44100:duration=9";

fn pictures(rate: &str) -> String {
    format!("-f lavfi -i testsrc2=size=320x240:rate={rate}:duration=9")
}

fn folder_in(folder: &Path, name: &str) -> std::path::PathBuf {
    let made = folder.join(name);
    std::fs::create_dir(&made).unwrap();
    made
}

/// The pictures of `plan` in chunks that begin at these GOPs.
fn chunks(input: &Path, folder: &Path, plan: &LadderPlan, edges: &[u32]) -> (Vec<ChunkPlace>, u64) {
    let mut places = Vec::new();
    let mut pictures = 0;
    for (n, &from) in edges.iter().enumerate() {
        let range = GopRange { from, to: edges.get(n + 1).copied(), buffer_percent: if n == 0 { 90 } else { 50 } };
        let folder = folder_in(folder, &format!("chunk-{n}"));
        let made = ladder::encode_chunk(input.to_str().unwrap(), &folder, plan, range, &mut |_| {})
            .unwrap_or_else(|error| panic!("chunk {n} of {}: {error}", input.display()));
        for (rung, size_bytes) in plan.video.iter().zip(&made.sizes_bytes) {
            let chunk = folder.join(format!("{}.chunk", rung.name));
            assert_eq!(std::fs::metadata(chunk).unwrap().len(), *size_bytes);
        }
        pictures += made.pictures;
        places.push(ChunkPlace { folder, range });
    }
    (places, pictures)
}

#[test]
fn chunks_joined_are_the_track_that_was_encoded_in_one_piece() {
    for (file, arguments) in [
        ("even.mp4", format!("{} {SOUND} {CODED}", pictures("25"))),
        ("sound-early.mkv", format!("-itsoffset 0.7 {} {SOUND} {CODED}", pictures("30000/1001"))),
        // Pictures are missing here and there, and for longer than a GOP.
        (
            "uneven.mkv",
            format!(
                "{} {SOUND} -vf select=not(eq(mod(n\\,7)\\,3))*not(between(t\\,3.2\\,5.4)) -vsync passthrough {CODED}",
                pictures("25")
            ),
        ),
    ] {
        let clip = clip(file, &arguments);
        let probe = probe::probe(clip.path.to_str().unwrap()).unwrap();
        let whole = LadderPlan { thumbnails: Some(THUMBNAILS), ..plan::of(&probe) };
        let together = folder_in(&clip.folder, "together");
        let made = ladder::encode(&clip.path, &together, &whole, &mut |_, _| {}).unwrap();

        let agreed = ladder::agree(&clip.path, &folder_in(&clip.folder, "agreeing"), &whole).unwrap();
        assert_eq!(Some(agreed), made.agreed, "{file}");
        assert_eq!(std::fs::read_dir(clip.folder.join("agreeing")).unwrap().count(), 0, "{file}");
        let agreed = Some(agreed);

        // Sound and thumbnails, without a picture encoded.
        let rest = LadderPlan { video: Vec::new(), agreed, ..whole.clone() };
        let beside = folder_in(&clip.folder, "beside");
        let sound = ladder::encode(&clip.path, &beside, &rest, &mut |_, _| {}).unwrap();
        assert_eq!((sound.source_frames, &sound.thumbnails), (made.source_frames, &made.thumbnails), "{file}");
        assert_eq!(shape(&beside, "sound"), shape(&together, "sound"), "{file}");

        let plan = LadderPlan { audio: Vec::new(), thumbnails: None, agreed, ..whole.clone() };
        let (places, pictures) = chunks(&clip.path, &clip.folder, &plan, &[0, 2, 3, 6]);
        assert_eq!(pictures, made.source_frames, "{file}");
        let apart = folder_in(&clip.folder, "apart");
        let joined = ladder::join(&places, &apart, &plan).unwrap();
        for (track, expected) in joined.tracks.iter().zip(&made.tracks) {
            let name = &expected.name;
            assert_eq!((&track.name, &track.codec), (name, &expected.codec), "{file}");
            assert_eq!(
                (track.samples, track.duration_ms),
                (expected.samples, expected.duration_ms),
                "{name} of {file}"
            );
            assert_eq!(shape(&apart, name), shape(&together, name), "{name} of {file}");
            // As a player sees it.
            let (one, other) = (together.join(format!("{name}.mp4")), apart.join(format!("{name}.mp4")));
            decodes(&other);
            let seen = |path: &Path| frames(path).iter().map(|it| (it.time_s, it.is_key)).collect::<Vec<_>>();
            assert_eq!(seen(&other), seen(&one), "{name} of {file}");
        }
        assert_eq!(joined.tracks.len(), 2);
    }
}

#[test]
fn the_end_of_a_source_that_ends_earlier_than_it_said_is_a_chunk_without_pictures() {
    let clip = clip("short.mp4", &format!("{} {SOUND} {CODED}", pictures("25")));
    let probe = probe::probe(clip.path.to_str().unwrap()).unwrap();
    let whole = plan::of(&probe);
    let agreed = Some(ladder::agree(&clip.path, &folder_in(&clip.folder, "agreeing"), &whole).unwrap());
    let plan = LadderPlan { audio: Vec::new(), agreed, ..whole };
    let (places, pictures) = chunks(&clip.path, &clip.folder, &plan, &[0, 4, 30]);
    assert_eq!(pictures, 225);
    let apart = folder_in(&clip.folder, "apart");
    let joined = ladder::join(&places, &apart, &plan).unwrap();
    assert!(joined.tracks.iter().all(|track| track.samples == 225), "{:?}", joined.tracks);
}

#[test]
fn no_picture_is_missing_without_a_word_where_a_decoder_recovers_bit_by_bit() {
    let coded = "-map 0:v -c:v libx264 -bf 0 -g 40 -x264-params intra-refresh=1 -pix_fmt yuv420p";
    let clip = clip("refresh.mp4", &format!("{} {coded}", pictures("25")));
    let whole = plan::of(&probe::probe(clip.path.to_str().unwrap()).unwrap());
    let agreed = Some(ladder::agree(&clip.path, &folder_in(&clip.folder, "agreeing"), &whole).unwrap());
    let plan = LadderPlan { agreed, ..whole };
    for from in 0..8 {
        let range = GopRange { from, to: Some(from + 1), buffer_percent: 50 };
        let folder = folder_in(&clip.folder, &format!("chunk-{from}"));
        match ladder::encode_chunk(clip.path.to_str().unwrap(), &folder, &plan, range, &mut |_| {}) {
            Ok(made) => assert_eq!(made.pictures, 25, "{range:?}"),
            Err(error) => assert!(from > 0 && error.to_string().contains("may be missing"), "{range:?}: {error}"),
        }
    }
}

#[test]
fn a_source_with_few_keyframes_is_not_decoded_in_parts() {
    for (every, is_near) in [(100, true), (10_000, false)] {
        let coded = format!("-map 0:v -c:v libx264 -bf 0 -g {every} -sc_threshold 0 -pix_fmt yuv420p");
        let clip = clip("few.mp4", &format!("-f lavfi -i testsrc2=size=160x120:rate=5:duration=140 {coded}"));
        let whole = plan::of(&probe::probe(clip.path.to_str().unwrap()).unwrap());
        match ladder::agree(&clip.path, &folder_in(&clip.folder, "agreeing"), &whole) {
            Ok(_) => assert!(is_near, "every {every} pictures"),
            Err(error) => assert!(!is_near && error.to_string().contains("too few keyframes"), "{error}"),
        }
    }
}

#[test]
fn chunks_that_do_not_go_together_are_no_track() {
    let clip = clip("two.mp4", &format!("{} {SOUND} {CODED}", pictures("25")));
    let probe = probe::probe(clip.path.to_str().unwrap()).unwrap();
    let whole = plan::of(&probe);
    let agreed = Some(ladder::agree(&clip.path, &folder_in(&clip.folder, "agreeing"), &whole).unwrap());
    let plan = LadderPlan { audio: Vec::new(), agreed, ..whole };
    let (mut places, _) = chunks(&clip.path, &clip.folder, &plan, &[0, 4]);
    let apart = Scratch::new("apart");
    // The second one is cut off in the middle.
    let file = places[1].folder.join("top.chunk");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let error = ladder::join(&places, &apart, &plan).unwrap_err();
    assert!(error.to_string().contains("cannot be read"), "{error}");
    std::fs::write(&file, bytes).unwrap();
    // The wrong way round time goes back.
    places.reverse();
    ladder::join(&places, &apart, &plan).unwrap_err();
    assert_eq!(std::fs::read_dir(apart.path()).unwrap().count(), 0, "nothing is left");
}
