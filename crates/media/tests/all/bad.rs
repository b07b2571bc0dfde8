//! Bad input: a clear reason, the input's fault, and nothing left behind.

use std::{fs, path::Path};

use flame_media::{fault::MediaError, ladder, poster, probe};
use flame_test_kit::Scratch;

use crate::{
    judge::{Clip, clip},
    plan,
};

const BOTH: &str = "-f lavfi -i testsrc2=size=320x240:rate=25:duration=4 -f lavfi -i sine=sample_rate=48000:duration=4 \
                    -c:v libx264 -pix_fmt yuv420p -c:a aac";

fn file(name: &str, bytes: &[u8]) -> (Scratch, String) {
    let folder = Scratch::new("bad");
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

fn refusal(path: &str) -> String {
    let reason = match probe::probe(path) {
        Err(MediaError::Input(reason)) => reason,
        other => panic!("{other:?}"),
    };
    assert!(matches!(poster::write(path, 0, 100, Path::new("/dev/null/poster.jpg")), Err(MediaError::Input(_))));
    // A caller that did not probe gets the same answer, not a hang or a crash.
    let folder = Scratch::new("refused");
    let plan = plan::of(&probe::probe(clip("ok.mp4", BOTH).path.to_str().unwrap()).unwrap());
    let result = ladder::encode(Path::new(path), &folder, &plan, &mut |_, _| {});
    assert!(matches!(result, Err(MediaError::Input(_))), "{result:?}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "nothing is left behind");
    reason
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn text_is_not_media() {
    let (_folder, path) = file("film.mp4", b"This is a letter, not a film.\n".repeat(50).as_slice());
    let reason = refusal(&path);
    assert!(reason.contains("not a media file"), "{reason}");
}

#[test]
fn zero_bytes() {
    let (_folder, path) = file("film.mp4", b"");
    assert!(refusal(&path).contains("empty"));
}

#[test]
fn noise_is_not_media() {
    let (_folder, path) = file("film.bin", &noise(300_000));
    refusal(&path);
}

#[test]
fn noise_behind_the_head_of_an_mp4() {
    let mut bytes = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp42".to_vec();
    bytes.extend(noise(200_000));
    let (_folder, path) = file("film.mp4", &bytes);
    let reason = refusal(&path);
    assert!(reason.contains("damaged"), "{reason}");
}

#[test]
fn a_lie_of_two_gibibytes_in_a_box_size() {
    let mut bytes = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp42".to_vec();
    bytes.extend(b"\x7f\xff\xff\xffmoov\x7f\xff\xff\xf0trak");
    bytes.extend(noise(2000));
    let (_folder, path) = file("film.mp4", &bytes);
    refusal(&path);
}

#[test]
fn an_mp4_without_its_index() {
    let made = clip("a.mp4", BOTH);
    let bytes = fs::read(&made.path).unwrap();
    let (_folder, path) = file("film.mp4", &bytes[..bytes.len() / 2]);
    let reason = refusal(&path);
    assert!(reason.contains("moov"), "{reason}");
}

fn cut_off(made: &Clip, part: f64) -> MediaError {
    let probe = probe::probe(made.path.to_str().unwrap()).unwrap();
    let bytes = fs::read(&made.path).unwrap();
    let folder = Scratch::new("cut");
    let cut = folder.join("cut");
    fs::write(&cut, &bytes[..(bytes.len() as f64 * part) as usize]).unwrap();
    // The container's head still promises all of it.
    let tracks = folder.join("tracks");
    fs::create_dir(&tracks).unwrap();
    let error = ladder::encode(&cut, &tracks, &plan::of(&probe), &mut |_, _| {}).unwrap_err();
    assert_eq!(fs::read_dir(&tracks).unwrap().count(), 0, "nothing is left behind");
    error
}

#[test]
fn cut_off_in_the_middle() {
    for (name, options) in [("a.mp4", "-movflags +faststart"), ("a.mkv", ""), ("a.ts", "")] {
        let made = clip(name, &format!("{BOTH} {options}"));
        match cut_off(&made, 0.5) {
            MediaError::Input(reason) => assert!(reason.contains("cut off") || reason.contains("damaged"), "{reason}"),
            MediaError::Environment(reason) => panic!("{name}: {reason}"),
        }
    }
}

#[test]
fn a_playlist_reads_nothing_else() {
    let secret = clip("secret.ts", BOTH);
    let playlist = format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{}\n#EXT-X-ENDLIST\n", secret.path.display());
    let (_folder, path) = file("film.mp4", playlist.as_bytes());
    refusal(&path);
    let (_folder, path) = file("film.m3u8", playlist.as_bytes());
    refusal(&path);
    let concat = format!("ffconcat version 1.0\nfile '{}'\n", secret.path.display());
    let (_folder, path) = file("film.ffconcat", concat.as_bytes());
    refusal(&path);
}

#[test]
fn what_is_not_there_is_not_the_files_fault() {
    assert!(matches!(probe::probe("/nowhere/film.mp4"), Err(MediaError::Environment(_))));
}

#[test]
fn a_plan_that_leaves_its_folder_is_refused() {
    let made = clip("a.mp4", BOTH);
    let mut plan = plan::of(&probe::probe(made.path.to_str().unwrap()).unwrap());
    plan.video[0].name = "../escaped".to_owned();
    let error = ladder::encode(&made.path, &made.folder, &plan, &mut |_, _| {}).unwrap_err();
    assert!(error.to_string().contains("name"), "{error}");
}

#[test]
fn a_folder_that_cannot_be_written_is_the_environments_fault() {
    let made = clip("a.mp4", BOTH);
    let plan = plan::of(&probe::probe(made.path.to_str().unwrap()).unwrap());
    let error = ladder::encode(&made.path, &made.folder.join("missing"), &plan, &mut |_, _| {}).unwrap_err();
    assert!(matches!(&error, MediaError::Environment(reason) if reason.contains("cannot write")), "{error:?}");
}
