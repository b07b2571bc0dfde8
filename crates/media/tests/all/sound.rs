//! Odd sound: alone, in six channels, with a cover.

use flame_api::media::{AudioStream, SoundRole};
use flame_media::probe;

use crate::judge::{Clip, clip, ffmpeg, judge};

const PICTURE: &str = "-f lavfi -i testsrc2=size=320x240:rate=25:duration=2";

#[test]
fn alone() {
    for (name, codec) in
        [("a.m4a", "aac"), ("a.wav", "pcm_s16le"), ("a.mp3", "libmp3lame"), ("a.flac", "flac"), ("a.ogg", "libopus")]
    {
        let clip = clip(name, &format!("-f lavfi -i sine=frequency=440:sample_rate=48000:duration=2 -c:a {codec}"));
        let verdict = judge(&clip);
        assert_eq!(verdict.probe.video, None, "{name}");
        assert_eq!(verdict.ladder.source_frames, 0, "{name}");
    }
}

#[test]
fn in_six_channels() {
    let clip = clip(
        "a.mp4",
        &format!("{PICTURE} -f lavfi -i anoisesrc=r=48000:d=2:a=0.1 -ac 6 -c:v libx264 -pix_fmt yuv420p -c:a aac"),
    );
    let verdict = judge(&clip);
    assert_eq!(verdict.probe.audio.unwrap().channels, 6);
    assert_eq!(verdict.ladder.tracks.last().unwrap().channels, Some(2));
}

#[test]
fn at_other_rates_and_in_one_channel() {
    for rate in [22_050, 44_100, 96_000] {
        let clip = clip(
            "a.mkv",
            &format!(
                "{PICTURE} -f lavfi -i sine=sample_rate={rate}:duration=2 -c:v libx264 -pix_fmt yuv420p -c:a flac -ar {rate}"
            ),
        );
        let verdict = judge(&clip);
        let audio = verdict.probe.audio.unwrap();
        assert_eq!((audio.sample_rate_hz, audio.channels), (rate, 1));
        assert_eq!(verdict.ladder.tracks.last().unwrap().channels, Some(1));
    }
}

#[test]
fn with_a_language() {
    let clip = clip(
        "a.mp4",
        &format!(
            "{PICTURE} -f lavfi -i sine=duration=2 -c:v libx264 -pix_fmt yuv420p -c:a aac -metadata:s:a:0 language=deu"
        ),
    );
    let verdict = judge(&clip);
    assert_eq!(verdict.probe.audio.unwrap().language.as_deref(), Some("deu"));
    assert_eq!(verdict.ladder.tracks.last().unwrap().language.as_deref(), Some("deu"));
}

#[test]
fn a_cover_is_no_video() {
    let made = clip("a.mp3", "-f lavfi -i sine=duration=2 -c:a libmp3lame");
    ffmpeg(&made.folder, "-f lavfi -i testsrc2=size=64x64:rate=1:duration=1 -frames:v 1 cover.png");
    ffmpeg(&made.folder, "-i a.mp3 -i cover.png -map 0:a -map 1:v -c copy -disposition:v attached_pic cover.mp3");
    let clip = Clip { path: made.folder.join("cover.mp3"), folder: made.folder };
    assert_eq!(probe::probe(clip.path.to_str().unwrap()).unwrap().video, None);
    judge(&clip);
}

/// The encoder's priming is what the edit list says: a click stays where it was.
#[test]
fn a_click_stays_where_it_was() {
    let clip =
        clip("a.wav", "-f lavfi -i aevalsrc=0.9*lt(mod(t\\,1)\\,0.01)*sin(2*PI*1000*t):s=48000:d=2.5 -c:a pcm_s16le");
    let verdict = judge(&clip);
    let onset = |path: &std::path::Path| {
        let output = std::process::Command::new("ffmpeg")
            .args(["-v", "quiet", "-i"])
            .arg(path)
            .args(["-ac", "1", "-f", "s16le", "-"])
            .output()
            .unwrap()
            .stdout;
        let samples: Vec<i16> = output.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
        // The second click: at the first one the source has only just begun.
        (24_000..samples.len()).find(|&n| samples[n].unsigned_abs() > 8_000).unwrap() as i64
    };
    // FFmpeg decodes priming too where the track is fragmented, and starts its clock before zero.
    let moved = onset(&verdict.track("sound")) - 1024 - onset(&clip.path);
    assert!(moved.abs() <= 24, "the click moved by {moved} samples");
}

/// Pictures and four sounds: German first, English a little later and marked as the default, commentary, description.
fn several(name: &str) -> Clip {
    let tone = |frequency: u32, seconds: &str| format!("-f lavfi -i sine=frequency={frequency}:duration={seconds}");
    let inputs = format!("{PICTURE} {} -itsoffset 0.3 {} {}", tone(400, "2"), tone(800, "1.5"), tone(1200, "2"));
    let languages = "-metadata:s:a:0 language=deu -metadata:s:a:1 language=eng -metadata:s:a:2 language=eng -metadata:s:a:3 language=deu";
    let flags = "-disposition:a:0 0 -disposition:a:1 default -disposition:a:2 comment \
                 -disposition:a:3 visual_impaired+descriptions";
    clip(
        name,
        &format!(
            "{inputs} -map 0:v -map 1:a -map 2:a -map 3:a -map 1:a -c:v libx264 -pix_fmt yuv420p -c:a aac \
             {languages} -metadata:s:a:1 title=Voices {flags}"
        ),
    )
}

#[test]
fn several_with_languages_and_roles() {
    for name in ["a.mp4", "a.mkv"] {
        let clip = several(name);
        let verdict = judge(&clip);
        let said = |sound: &AudioStream| (sound.number, sound.language.clone(), sound.role, sound.title.clone());
        let sounds: Vec<_> = verdict.probe.sounds().map(said).collect();
        let (deu, eng) = (Some("deu".to_owned()), Some("eng".to_owned()));
        // FFmpeg does not read it of an MP4; ingest does.
        let title = (name == "a.mkv").then(|| "Voices".to_owned());
        let expected = [
            (1, eng.clone(), SoundRole::Main, title),
            (0, deu.clone(), SoundRole::Main, None),
            (2, eng, SoundRole::Commentary, None),
            (3, deu, SoundRole::Description, None),
        ];
        assert_eq!(sounds, expected, "{name}");
        // Also where sound begins a little before the pictures, its first segment is one like others.
        for track in ["sound", "sound-2", "sound-3", "sound-4"] {
            let index = std::fs::read(verdict.tracks.join(format!("{track}.index.json"))).unwrap();
            let index = flame_cmaf::TrackIndex::from_json(&index).unwrap();
            let first_ticks = index.presented_ticks(0).unwrap();
            assert!(first_ticks * 2 > u64::from(index.timescale), "{name}: {track} begins with {first_ticks} ticks");
        }
        // Each is where it was, to one access unit (of 44.1 kHz, as the source's are): also the one that begins late.
        for (track, stream) in [("sound", "a:1"), ("sound-2", "a:0"), ("sound-3", "a:2"), ("sound-4", "a:3")] {
            let (given_s, wanted_s) = verdict.offsets_of(track, stream, &clip.path);
            assert!((given_s - wanted_s).abs() <= 0.0235, "{name}: {track} begins {given_s} s, not {wanted_s} s after");
        }
    }
}

#[test]
fn more_than_are_encoded_are_bounded_and_what_cannot_be_decoded_is_left_out() {
    let tones: String = (0..10).map(|at| format!("-f lavfi -i sine=frequency={}:duration=1 ", 300 + at * 50)).collect();
    let maps: String = (0..10).map(|at| format!("-map {at}:a ")).collect();
    let many = clip("many.mka", &format!("{tones}{maps}-c:a aac"));
    assert_eq!(judge(&many).probe.sounds().count(), 8);
    // The first one's bytes are no codec that is known; the second one is whole.
    let two = clip(
        "two.mkv",
        "-f lavfi -i sine=duration=1 -f lavfi -i sine=duration=1 -map 0:a -map 1:a -c:a:0 flac -c:a:1 aac",
    );
    let bytes = std::fs::read(&two.path).unwrap();
    let name = bytes.windows(6).position(|window| window == b"A_FLAC").unwrap();
    let damaged = [&bytes[..name], b"A_NONE", &bytes[name + 6..]].concat();
    std::fs::write(&two.path, damaged).unwrap();
    let sounds: Vec<_> = judge(&two).probe.sounds().map(|sound| (sound.number, sound.codec.clone())).collect();
    assert_eq!(sounds, [(1, "aac".to_owned())]);
}
