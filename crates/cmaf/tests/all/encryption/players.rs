//! FFmpeg as the judge: with the key it sees what it sees of the clear track, without it nothing of the kind.

use std::path::Path;
use std::process::Command;

use flame_cmaf::{
    encryption::{cbcs_init, cbcs_segment, sequence_iv, whole},
    samples::InitInfo,
    ts,
};

use super::{SIZE_MAX_BYTES, init_of, key, segments_of};
use crate::foreign::{pictures, run, sound};
use crate::unpack::Written;

/// A digest of each decoded frame.
fn frames(path: &Path, options: &[&str]) -> String {
    let path = path.to_str().unwrap();
    let all = [&["-v", "error"], options, &["-i", path, "-f", "framehash", "-hash", "md5", "-"]].concat();
    // Without its first lines, which say what the container was.
    run("ffmpeg", &all).lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect()
}

/// The digests alone: a transport stream has other times.
fn digests(frames: &str) -> Vec<String> {
    frames.lines().filter_map(|line| line.rsplit(',').next()).map(|digest| digest.trim().to_owned()).collect()
}

/// What FFmpeg makes of it with options that do not open it; it may give up, or decode something else.
fn fails(path: &Path, options: &[&str]) -> Vec<String> {
    let path = path.to_str().unwrap();
    let all = [&["-v", "quiet"], options, &["-i", path, "-f", "framehash", "-hash", "md5", "-"]].concat();
    let output = Command::new("ffmpeg").args(all).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    digests(&text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect::<String>())
}

/// The most frames that FFmpeg has read ahead of its decoders at the end of a playlist.
const READ_AHEAD: usize = 5;
const LOCAL: [&str; 4] = ["-allowed_extensions", "ALL", "-protocol_whitelist", "file,crypto"];

/// A playlist of files in `folder` with this tag, and these segments; the key lies beside it.
fn hls(
    folder: &Path,
    key_tag: &str,
    init: Option<&[u8]>,
    segments: impl Iterator<Item = Vec<u8>>,
) -> std::path::PathBuf {
    std::fs::write(folder.join("key"), key().secret).unwrap();
    let mut text = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:VOD\n".to_owned();
    if let Some(init) = init {
        std::fs::write(folder.join("init.mp4"), init).unwrap();
        text += "#EXT-X-MAP:URI=\"init.mp4\"\n";
    }
    text += &format!("#EXT-X-KEY:{key_tag}\n");
    let extension = if init.is_some() { "m4s" } else { "ts" };
    for (number, segment) in segments.enumerate() {
        std::fs::write(folder.join(format!("{number}.{extension}")), segment).unwrap();
        text += &format!("#EXTINF:1.001,\n{number}.{extension}\n");
    }
    text += "#EXT-X-ENDLIST\n";
    let path = folder.join("index.m3u8");
    std::fs::write(&path, text).unwrap();
    path
}

fn check(written: &Written) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let init = InitInfo::parse(init_of(written)).unwrap();
    let clear = folder.join("clear.mp4");
    std::fs::write(&clear, &written.object).unwrap();
    let expected = frames(&clear, &[]);
    assert!(digests(&expected).len() > 50, "{expected}");

    // Encrypted samples, opened by their boxes. A fragment each: FFmpeg 5.1 loses count of samples in files of several.
    let sealed_init = cbcs_init(init_of(written), &key()).unwrap();
    let sealed = || segments_of(written).map(|segment| cbcs_segment(&init, segment, &key()).unwrap());
    let (file, plain, secret) = (folder.join("sealed.mp4"), folder.join("plain.mp4"), hex::encode(key().secret));
    for (segment, sealed) in segments_of(written).zip(sealed()) {
        std::fs::write(&plain, [init_of(written), segment].concat()).unwrap();
        std::fs::write(&file, [sealed_init.clone(), sealed].concat()).unwrap();
        let expected = frames(&plain, &[]);
        assert_eq!(frames(&file, &["-decryption_key", &secret]), expected);
        let wrong = fails(&file, &["-decryption_key", &"00".repeat(16)]);
        assert!(shared(&wrong, &expected) < 5, "another key opens nothing: {wrong:?}");
        assert!(shared(&fails(&file, &[]), &expected) < 5, "no key opens nothing");
    }

    // The four forms of HLS.
    let numbered = |segment: (usize, Vec<u8>)| whole(&key().secret, &sequence_iv(segment.0 as u64), segment.1);
    let stream = || segments_of(written).map(|segment| ts::segment(&init, segment, SIZE_MAX_BYTES).unwrap());
    let vector = hex::encode(key().iv);
    let by_number = "METHOD=AES-128,URI=\"key\"";
    let mp4 = segments_of(written).map(<[u8]>::to_vec).enumerate().map(numbered);
    let path = hls(folder, by_number, Some(init_of(written)), mp4);
    assert_eq!(frames(&path, &LOCAL), expected);
    std::fs::write(folder.join("key"), [0; 16]).unwrap();
    assert!(shared(&fails(&path, &LOCAL), &expected) < 5, "another key opens no segment");
    let path = hls(folder, "METHOD=SAMPLE-AES,URI=\"key\"", Some(&sealed_init), sealed());
    assert_eq!(frames(&path, &LOCAL), expected);

    let path = hls(folder, "METHOD=NONE", None, stream());
    let expected = frames(&path, &LOCAL);
    let path = hls(folder, by_number, None, stream().enumerate().map(numbered));
    assert_eq!(frames(&path, &LOCAL), expected);
    let samples =
        segments_of(written).map(|segment| ts::encrypted_segment(&init, segment, SIZE_MAX_BYTES, &key()).unwrap());
    let path = hls(folder, &format!("METHOD=SAMPLE-AES,URI=\"key\",IV=0x{vector}"), None, samples);
    // What it has read ahead when the last segment ends, FFmpeg 5.1 takes for not encrypted.
    let (found, expected) = (digests(&frames(&path, &LOCAL)), digests(&expected));
    assert_eq!(found[..found.len() - READ_AHEAD], expected[..expected.len() - READ_AHEAD]);
}

/// How many digests are the same.
fn shared(found: &[String], expected: &str) -> usize {
    let expected = digests(expected);
    found.iter().filter(|digest| expected.contains(digest)).count()
}

#[test]
fn ffmpeg_opens_pictures_with_the_key_only() {
    let folder = tempfile::tempdir().unwrap();
    check(&pictures(folder.path()).1);
}

#[test]
fn ffmpeg_opens_sound_with_the_key_only() {
    let folder = tempfile::tempdir().unwrap();
    check(&sound(folder.path()).1);
}
