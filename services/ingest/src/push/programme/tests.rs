//! Programmes of made-up tracks: pictures of any rate, cut alike, with everything that encoders do to them.

use flame_cmaf::{
    AudioConfig, ChunkWriter, MediaConfig, Parts, PictureCodec, Piece, Pushed, SoundCodec, TrackConfig, VideoConfig,
};
use proptest::prelude::*;

use super::*;
use crate::live::packager::Track;

const NOW_US: i64 = 1_795_700_000_000_000;
const LENGTHS: Lengths = Lengths { segment_ms: 2000, part_ms: 200 };
const BOUNDS: Bounds = Bounds { gather_us: 1_000_000, held_max_bytes: 4 << 20, tracks_max: 4 };
/// A record of H.264 in which nothing is looked at but profile and level.
const AVCC: [u8; 15] = [1, 0x42, 0xc0, 0x0d, 0xff, 0xe1, 0, 4, 0x67, 0x42, 0xc0, 0x0d, 1, 0, 0];

fn track(media: MediaConfig) -> PushedTrack {
    let writer = ChunkWriter::new(&TrackConfig { media, language: None }, Parts::of(200, 1000, None)).unwrap();
    let mut pushed = Pushed::new(1 << 20, None);
    pushed.push(writer.init());
    let Some(Piece::Track(track)) = pushed.piece().unwrap() else { panic!("an init segment is a track") };
    *track
}

fn pictures(timescale: u32, width: u16) -> PushedTrack {
    let (codec, height) = (PictureCodec::Avc(AVCC.to_vec()), 180);
    track(MediaConfig::Video(VideoConfig { codec, width, height, timescale, colour: None, composition_delay_ticks: 0 }))
}

fn sound() -> PushedTrack {
    let asc = vec![0x11, 0x90];
    track(MediaConfig::Audio(AudioConfig {
        codec: SoundCodec::Aac(asc),
        sample_rate_hz: 48_000,
        channels: 2,
        priming_samples: 0,
    }))
}

/// Sample `n` of a track with a sync sample every `gop`.
fn sample(n: i64, frame_ticks: u32, gop: i64) -> Sample {
    let dts_ticks = n * i64::from(frame_ticks);
    let data = vec![u8::try_from(n % 256).unwrap(); 10 + usize::try_from(n % 7).unwrap()].into();
    Sample { dts_ticks, pts_ticks: dts_ticks, duration_ticks: frame_ticks, is_sync: n % gop == 0, data }
}

/// A track of a test: name, header, length of a sample, and how often one is a sync sample.
struct Given(&'static str, PushedTrack, u32, i64);

/// Pushes `seconds` of tracks side by side, in fragments of half a second, in real time from `at_us` on.
fn push(
    programme: &mut Programme,
    given: &[Given],
    halves: std::ops::Range<i64>,
    at_us: i64,
) -> Result<Vec<Step>, ProgrammeError> {
    let mut steps = Vec::new();
    for Given(name, track, ..) in given {
        programme.track(name, track.clone(), at_us, &mut steps)?;
    }
    for half in halves {
        for Given(name, track, frame_ticks, gop) in given {
            let per_half = |half: i64| half * i64::from(track.timescale) / 2 / i64::from(*frame_ticks);
            let fragment = (per_half(half)..per_half(half + 1)).map(|n| sample(n, *frame_ticks, *gop)).collect();
            programme.media(name, fragment, at_us + (half + 1) * 500_000, &mut steps)?;
            if matches!(steps.last(), Some(Step::Begin(_))) {
                programme.begun(&mut steps)?;
            }
        }
    }
    Ok(steps)
}

fn finish(programme: &mut Programme, steps: &mut Vec<Step>) {
    programme.finish(steps).unwrap();
    if matches!(steps.last(), Some(Step::Begin(_))) {
        programme.begun(steps).unwrap();
    }
}

/// Number and first decode time of the segments of a track.
fn segments(steps: &[Step], name: &str) -> Vec<(u64, u64)> {
    let chunks = steps.iter().filter_map(|step| match step {
        Step::Chunk { track, chunk } if track == name => Some(chunk),
        Step::Chunk { .. } | Step::Begin(_) | Step::End => None,
    });
    chunks.filter(|chunk| chunk.begins_segment).map(|chunk| (chunk.number, chunk.time_ticks)).collect()
}

fn begun(steps: &[Step]) -> Vec<&Vec<Track>> {
    let begun = steps.iter().filter_map(|step| match step {
        Step::Begin(tracks) => Some(tracks),
        Step::Chunk { .. } | Step::End => None,
    });
    begun.collect()
}

fn samples(steps: &[Step], name: &str) -> u32 {
    let chunks = steps.iter().map(|step| match step {
        Step::Chunk { track, chunk } if track == name => chunk.samples,
        Step::Chunk { .. } | Step::Begin(_) | Step::End => 0,
    });
    chunks.sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// Variants that count in different ticks, and sound, have the same segments at the same times, and nothing is lost.
    #[test]
    fn all_tracks_are_cut_alike(gop_halves in 1_i64..5, halves in 6_i64..24, at_s in 0_i64..1_000_000) {
        let given = [
            Given("v1", pictures(12_800, 320), 512, gop_halves * 25 / 2),
            Given("v2", pictures(90_000, 640), 3600, gop_halves * 25 / 2),
            Given("a", sound(), 1024, 1),
        ];
        let mut programme = Programme::new(LENGTHS, BOUNDS);
        let mut steps = push(&mut programme, &given, 0..halves, NOW_US + at_s * 1_000_000).unwrap();
        finish(&mut programme, &mut steps);
        prop_assert_eq!(begun(&steps).len(), 1);
        prop_assert!(matches!(steps.last(), Some(Step::End)));
        let [first, second, third] = ["v1", "v2", "a"].map(|name| segments(&steps, name));
        prop_assert_eq!(first.len(), second.len());
        prop_assert!(first.len() as i64 >= (halves / 2) / 3);
        for ((one, at), (two, also)) in first.iter().zip(&second) {
            let (at, also) = (*at as f64 / 12_800.0, *also as f64 / 90_000.0);
            prop_assert!(one == two && (at - also).abs() < 0.0002, "{} {}", at, also);
        }
        for ((one, at), (three, also)) in first.iter().zip(&third) {
            let late = *also as f64 / 48_000.0 - *at as f64 / 12_800.0;
            prop_assert!(one == three && (-0.0002..0.0218).contains(&late), "{}", late);
        }
        prop_assert_eq!(i64::from(samples(&steps, "v1")), halves * 12_800 / 2 / 512);
        prop_assert_eq!(i64::from(samples(&steps, "v2")), halves * 90_000 / 2 / 3600);
    }
}

#[test]
fn an_encoder_that_counts_from_1970_is_believed_and_others_are_tied_to_the_wall() {
    let given = [Given("v", pictures(90_000, 320), 3600, 25)];
    let mut programme = Programme::new(LENGTHS, BOUNDS);
    let steps = push(&mut programme, &given, 0..8, NOW_US).unwrap();
    // The first 12 pictures, 480 ms, were whole 500 ms after it began.
    assert_eq!(segments(&steps, "v")[0].1, u64::try_from((NOW_US + 20_000) / 1000 * 90).unwrap());

    let mut programme = Programme::new(LENGTHS, BOUNDS);
    let mut steps = Vec::new();
    programme.track("v", pictures(1000, 320), NOW_US, &mut steps).unwrap();
    for n in 0..4 {
        // Three seconds behind the wall: as it says, to the millisecond.
        let base = NOW_US / 1000 - 3000 + n * 500 + 7;
        let shift = |sample: Sample| Sample {
            dts_ticks: sample.dts_ticks + base,
            pts_ticks: sample.pts_ticks + base,
            ..sample
        };
        let fragment = (0..25).map(|n| shift(sample(n, 20, 25))).collect();
        programme.media("v", fragment, NOW_US + n * 500_000, &mut steps).unwrap();
        if matches!(steps.last(), Some(Step::Begin(_))) {
            programme.begun(&mut steps).unwrap();
        }
    }
    finish(&mut programme, &mut steps);
    assert_eq!(segments(&steps, "v")[0].1, u64::try_from(NOW_US / 1000 - 3000 + 7).unwrap());
}

#[test]
fn what_comes_twice_is_taken_once_and_another_timeline_is_another_publication() {
    let given = [Given("v", pictures(90_000, 320), 3600, 25), Given("a", sound(), 1024, 1)];
    let mut programme = Programme::new(LENGTHS, BOUNDS);
    let mut steps = push(&mut programme, &given, 0..8, NOW_US).unwrap();
    // Its connection broke: header and the last second come again.
    steps.extend(push(&mut programme, &given, 6..12, NOW_US).unwrap());
    assert_eq!(begun(&steps).len(), 1);
    // It was started anew, and counts from 0 again, with other pictures.
    let given = [Given("v", pictures(90_000, 320), 3000, 30), Given("a", sound(), 1024, 1)];
    let later = push(&mut programme, &given, 0..8, NOW_US + 60_000_000).unwrap();
    let ended = later.iter().position(|step| matches!(step, Step::End)).expect("the first publication ends");
    assert_eq!(samples(&steps, "v") + samples(&later[..ended], "v"), 6 * 25);
    assert_eq!(begun(&later).len(), 1);
    assert!(segments(&later[ended..], "v")[0].1 >= u64::try_from(NOW_US / 1_000_000 + 60).unwrap() * 90_000);
}

#[test]
fn a_track_that_comes_later_begins_another_publication_with_all() {
    let one = [Given("v", pictures(90_000, 320), 3600, 25)];
    let mut programme = Programme::new(LENGTHS, BOUNDS);
    push(&mut programme, &one, 0..6, NOW_US).unwrap();
    let both = [Given("v", pictures(90_000, 320), 3600, 25), Given("a", sound(), 1024, 1)];
    let steps = push(&mut programme, &both, 6..16, NOW_US).unwrap();
    let names: Vec<_> = begun(&steps)[0].iter().map(|track| track.name.clone()).collect();
    assert_eq!(names, ["a", "v"]);
}

#[test]
fn what_makes_no_channel_is_refused_with_what_to_do() {
    let refused = |given: &[Given]| push(&mut Programme::new(LENGTHS, BOUNDS), given, 0..64, NOW_US).unwrap_err();
    // Key frames every second, and every 1.2 s.
    let apart = [Given("v1", pictures(90_000, 320), 3600, 25), Given("v2", pictures(90_000, 640), 3600, 30)];
    let error = refused(&apart);
    assert!(
        matches!(&error, ProgrammeError::NotAligned { track, leader } if track == "v2" && leader == "v1"),
        "{error}"
    );
    assert!(matches!(refused(&[Given("v", pictures(90_000, 320), 3600, 1 << 20)]), ProgrammeError::NoKeyFrame { .. }));
    let many: Vec<Given> = ["a", "b", "c", "d", "e"].into_iter().map(|name| Given(name, sound(), 1024, 1)).collect();
    assert!(matches!(refused(&many), ProgrammeError::Tracks(4)));

    // The leader stops, and the other goes on.
    let given = [Given("v1", pictures(90_000, 320), 3600, 25), Given("v2", pictures(90_000, 640), 3600, 25)];
    let mut programme = Programme::new(LENGTHS, Bounds { held_max_bytes: 2000, ..BOUNDS });
    push(&mut programme, &given, 0..4, NOW_US).unwrap();
    let error = push(&mut programme, &given[1..], 4..60, NOW_US).unwrap_err();
    assert!(matches!(error, ProgrammeError::Apart { .. }), "{error}");

    // Never a key frame.
    let mut programme = Programme::new(LENGTHS, BOUNDS);
    programme.track("v", pictures(90_000, 320), NOW_US, &mut Vec::new()).unwrap();
    let error = (1..5000)
        .find_map(|n| programme.media("v", vec![sample(n, 3600, 1 << 20)], NOW_US + n * 40_000, &mut Vec::new()).err());
    assert!(matches!(error, Some(ProgrammeError::NoBeginning { .. })), "{error:?}");
}

#[test]
fn a_clip_that_is_over_before_it_was_gathered_plays_all_the_same() {
    let given = [Given("v", pictures(90_000, 320), 3600, 25)];
    let mut programme = Programme::new(LENGTHS, BOUNDS);
    let mut steps = push(&mut programme, &given, 0..1, NOW_US).unwrap();
    assert!(begun(&steps).is_empty() && programme.last("v"));
    finish(&mut programme, &mut steps);
    assert_eq!(samples(&steps, "v"), 12);
    assert!(matches!(steps.last(), Some(Step::End)));
}
