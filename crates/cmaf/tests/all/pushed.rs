//! What encoders push, taken apart: written by this crate and by FFmpeg, in pieces of any size, damaged in any place.

use std::process::{Command, Stdio};

use flame_cmaf::movie::Media;
use flame_cmaf::{
    AudioConfig, ChunkWriter, MediaConfig, Parts, Piece, Pushed, PushedError, PushedTrack, Sample, SoundCodec,
    TrackConfig,
};
use proptest::prelude::*;

const FRAGMENT_MAX_BYTES: usize = 1 << 20;

fn writer(parts: Parts) -> ChunkWriter {
    let sound = AudioConfig {
        codec: SoundCodec::Aac(vec![0x11, 0x90]),
        sample_rate_hz: 48_000,
        channels: 2,
        priming_samples: 0,
    };
    ChunkWriter::new(&TrackConfig { media: MediaConfig::Audio(sound), language: None }, parts).unwrap()
}

fn samples(count: i64, lengths: &[usize]) -> Vec<Sample> {
    let sample = |n: i64| Sample {
        dts_ticks: n * 1024,
        pts_ticks: n * 1024,
        duration_ticks: 1024,
        is_sync: true,
        data: vec![u8::try_from(n % 251).unwrap(); lengths[usize::try_from(n).unwrap() % lengths.len()]].into(),
    };
    (0..count).map(sample).collect()
}

/// The track as an encoder would push it, in segments of 20 samples.
fn written(samples: &[Sample]) -> Vec<u8> {
    let mut writer = writer(Parts::of(200, 48_000, Some(1024)));
    let mut octets = writer.init().to_vec();
    for (n, sample) in (0..).zip(samples) {
        for chunk in writer.push(sample.clone(), n / 20).unwrap() {
            octets.extend_from_slice(&chunk.bytes);
        }
    }
    writer.finish().unwrap().into_iter().for_each(|chunk| octets.extend_from_slice(&chunk.bytes));
    octets
}

/// What comes of octets that arrive in pieces.
fn taken(octets: &[u8], piece_bytes: usize) -> Result<(Vec<PushedTrack>, Vec<Sample>, bool), PushedError> {
    let (mut tracks, mut samples, mut is_last) = (Vec::new(), Vec::new(), false);
    let mut pushed = Pushed::new(FRAGMENT_MAX_BYTES, None);
    for piece in octets.chunks(piece_bytes.max(1)) {
        pushed.push(piece);
        while let Some(piece) = pushed.piece()? {
            match piece {
                Piece::Track(track) => tracks.push(*track),
                Piece::Samples(more) => samples.extend(more),
                Piece::Last => is_last = true,
            }
        }
    }
    is_last |= pushed.end()?;
    Ok((tracks, samples, is_last))
}

fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len() + 8).unwrap().to_be_bytes(), kind.as_slice(), body].concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_was_written_comes_back_in_pieces_of_any_size(
        count in 1_i64..90,
        lengths in prop::collection::vec(1_usize..400, 1..8),
        piece_bytes in 1_usize..5000,
    ) {
        let given = samples(count, &lengths);
        let (tracks, samples, is_last) = taken(&written(&given), piece_bytes).unwrap();
        prop_assert_eq!(tracks.len(), 1);
        prop_assert_eq!((tracks[0].codec.as_str(), tracks[0].timescale), ("mp4a.40.2", 48_000));
        prop_assert_eq!(samples, given);
        prop_assert!(!is_last);
    }

    #[test]
    fn damage_is_an_error_or_other_media_and_nothing_else(
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
        piece_bytes in 1_usize..3000,
    ) {
        let mut octets = written(&samples(50, &[40, 7]));
        let at = at.index(octets.len());
        octets[at] = value;
        if let Ok((_, samples, _)) = taken(&octets, piece_bytes) {
            let bytes: usize = samples.iter().map(|sample| sample.data.len()).sum();
            prop_assert!(bytes <= octets.len());
        }
    }
}

#[test]
fn what_is_no_such_track_is_told_apart() {
    let whole = written(&samples(40, &[100]));
    let init = writer(Parts::of(200, 48_000, Some(1024))).init().len();
    let wrong = |octets: &[u8]| taken(octets, 100).unwrap_err();
    assert!(matches!(wrong(&whole[init..]), PushedError::NoTrack));
    assert!(matches!(wrong(&whole[..whole.len() - 1]), PushedError::CutOff { .. }));
    assert!(matches!(wrong(&boxed(b"mdat", b"x")), PushedError::NotFragmented));
    assert!(matches!(wrong(b"G@\0\x10\0\0\xb0\r\0\x01\xc1\0\0"), PushedError::Foreign { .. }));
    assert!(matches!(wrong(b"\x7f\xff\xff\xffmdat"), PushedError::Size { limit_bytes: FRAGMENT_MAX_BYTES, .. }));
    assert!(matches!(wrong(b"\0\0\0\x01mdat"), PushedError::Size { .. }));
    // What stands beside the media is passed over; a header may come again; the end is said by an index or a brand.
    let mut rich = [whole.as_slice(), &whole[..init], &boxed(b"prft", &[0; 20])].concat();
    assert_eq!(taken(&rich, 33).unwrap().0.len(), 2);
    rich.extend(boxed(b"mfra", &[]));
    assert!(taken(&rich, 1 << 20).unwrap().2);
    let last = [whole.as_slice(), &boxed(b"styp", b"msdh\0\0\0\0lmsg")].concat();
    assert!(taken(&last, 1 << 20).unwrap().2);
}

#[test]
fn ffmpegs_tracks_come_through_with_their_edits() {
    let arguments = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=2", "-c:v", "libx264", "-bf", "2"];
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("track.mp4");
    let path = path.to_str().unwrap();
    // Of the three only the second has an edit list, which puts the first picture at 0.
    for flags in [
        "+cmaf+frag_keyframe",
        "+frag_keyframe+delay_moov+default_base_moof",
        "+frag_every_frame+empty_moov+default_base_moof",
    ] {
        let encode = ["-g", "25", "-pix_fmt", "yuv420p", "-f", "mp4", "-movflags", flags, "-y", path];
        run("ffmpeg", &[&["-v", "error"], &arguments[..], &encode].concat());
        let whole = std::fs::read(path).unwrap();
        let (tracks, samples, is_last) = taken(&whole, 1000).unwrap_or_else(|error| panic!("{flags}: {error}"));
        let Media::Picture(picture) = &tracks[0].media else { panic!("these are pictures") };
        assert_eq!((picture.width, picture.height), (320, 180));
        assert_eq!(samples.len(), 50, "{flags}");
        assert_eq!(samples.iter().filter(|sample| sample.is_sync).count(), 2, "{flags}");
        // FFmpeg reads the same times in it; where composition offsets are negative it counts from another instant.
        let shown = run("ffprobe", &["-v", "error", "-show_entries", "packet=pts,dts", "-of", "csv=p=0", path]);
        let times: Vec<[i64; 2]> = shown
            .lines()
            .map(|line| line.split(',').map(|ticks| ticks.parse().unwrap()).collect::<Vec<_>>().try_into().unwrap())
            .collect();
        let since_first = |at: usize| times.iter().map(|time| time[at] - times[0][at]).collect::<Vec<_>>();
        let first = (samples[0].pts_ticks, samples[0].dts_ticks);
        assert_eq!(
            samples.iter().map(|sample| sample.pts_ticks - first.0).collect::<Vec<_>>(),
            since_first(0),
            "{flags}"
        );
        assert_eq!(
            samples.iter().map(|sample| sample.dts_ticks - first.1).collect::<Vec<_>>(),
            since_first(1),
            "{flags}"
        );
        assert!(
            !flags.contains("delay_moov") || first == (0, -1024),
            "the edit list puts the first picture at 0: {first:?}"
        );
        // FFmpeg ends a file with an index of its fragments.
        assert!(is_last, "{flags}");
        let mut again = Pushed::new(FRAGMENT_MAX_BYTES, None);
        again.push(&tracks[0].init);
        let Some(Piece::Track(ours)) = again.piece().unwrap() else { panic!("our own init segment is one") };
        assert_eq!((ours.codec, ours.info.edit_media_time_ticks, ours.info.track_id), (tracks[0].codec.clone(), 0, 1));
    }
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().expect("it starts");
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
