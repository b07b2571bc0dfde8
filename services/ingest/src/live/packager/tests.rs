//! An encoder's side, sample by sample: what it does, and what must become of it.

use flame_api::media::Rational;

use super::*;

/// High profile, level 1.3; its parameter set is cut short, so the encoder has to say how large the pictures are.
const AVCC: &[u8] = &[
    0x01, 0x64, 0x00, 0x0d, 0xff, 0xe1, 0x00, 0x04, 0x67, 0x64, 0x00, 0x0d, 0x01, 0x00, 0x04, 0x68, 0xeb, 0xe3, 0xcb,
    0xfd, 0xf8, 0xf8, 0x00,
];
/// Another one.
const AVCC_LARGER: &[u8] = &[
    0x01, 0x64, 0x00, 0x1f, 0xff, 0xe1, 0x00, 0x04, 0x67, 0x64, 0x00, 0x1f, 0x01, 0x00, 0x04, 0x68, 0xeb, 0xe3, 0xcb,
    0xfd, 0xf8, 0xf8, 0x00,
];
const ASC: &[u8] = &[0x11, 0x90];
const KEY: &[u8] = &[0, 0, 0, 2, 0x65, 1];
const OTHER: &[u8] = &[0, 0, 0, 2, 0x41, 1];
const NOW_US: i64 = 1_795_700_000_000_000;
const LENGTHS: Lengths = Lengths { segment_ms: 2000, part_ms: 200 };
const FRAME_MS: u32 = 40;

/// An encoder at 25 pictures a second, a key frame a second, with sound, and what became of it.
struct Encoder {
    packager: Packager,
    steps: Vec<Step>,
    pictures: u32,
}

/// What a publication came to.
#[derive(Debug, Default)]
struct Programme {
    tracks: Vec<std::borrow::Cow<'static, str>>,
    /// Number, first presented time and length, ticks, of each segment of the pictures.
    segments: Vec<(u64, u64, u64)>,
    pictures: u32,
    units: u32,
    is_ended: bool,
}

// === impl Encoder ===

impl Encoder {
    fn new() -> Self {
        let mut encoder =
            Self { packager: Packager::new(LENGTHS, Count::MILLISECONDS), steps: Vec::new(), pictures: 0 };
        let rate = Some(Rational { num: 25, den: 1 });
        let hints = Hints { has_video: Some(true), has_audio: Some(true), rate, size: Some((320, 180)) };
        encoder.push(Input::Hints(hints)).unwrap();
        encoder.push(Input::Configuration(TrackKind::Video, Bytes::from_static(AVCC))).unwrap();
        encoder.push(Input::Configuration(TrackKind::Audio, Bytes::from_static(ASC))).unwrap();
        encoder
    }

    fn push(&mut self, input: Input) -> Result<(), PackageError> {
        let now_us = NOW_US + i64::from(self.pictures) * i64::from(FRAME_MS) * 1000;
        self.packager.push(input, now_us, &mut self.steps)?;
        if matches!(self.steps.last(), Some(Step::Begin(_))) {
            self.packager.begun(&mut self.steps)?;
        }
        Ok(())
    }

    /// Sends pictures with sound beside them, the first at `from_ms`; each is shown two frames after it is decoded.
    fn send(&mut self, pictures: u32, from_ms: u32) -> Result<(), PackageError> {
        self.send_keyed(pictures, from_ms, 25)
    }

    fn send_keyed(&mut self, pictures: u32, from_ms: u32, keys_apart: u32) -> Result<(), PackageError> {
        for n in 0..pictures {
            let time_ms = from_ms.wrapping_add(n * FRAME_MS);
            let data = if n % keys_apart == 0 { KEY } else { OTHER };
            self.picture(time_ms, data)?;
            self.sound(time_ms)?;
            self.sound(time_ms.wrapping_add(21))?;
        }
        Ok(())
    }

    fn picture(&mut self, time_ms: u32, data: &'static [u8]) -> Result<(), PackageError> {
        self.picture_shown(time_ms, 80, data)
    }

    fn picture_shown(&mut self, time_ms: u32, composition_ms: i32, data: &'static [u8]) -> Result<(), PackageError> {
        let (kind, data) = (TrackKind::Video, Bytes::from_static(data));
        self.push(Input::Media { kind, time: time_ms.into(), composition: composition_ms, data })?;
        self.pictures += 1;
        Ok(())
    }

    fn sound(&mut self, time_ms: u32) -> Result<(), PackageError> {
        let (kind, data) = (TrackKind::Audio, Bytes::from_static(&[1, 2, 3]));
        self.push(Input::Media { kind, time: time_ms.into(), composition: 0, data })
    }

    fn finish(mut self) -> Vec<Programme> {
        self.packager.finish(&mut self.steps).unwrap();
        programmes(self.steps)
    }
}

fn programmes(steps: Vec<Step>) -> Vec<Programme> {
    let mut programmes: Vec<Programme> = Vec::new();
    for step in steps {
        let last = programmes.last_mut().filter(|programme| !programme.is_ended);
        match (step, last) {
            (Step::Begin(tracks), None) => programmes.push(Programme {
                tracks: tracks.iter().map(|track| track.name.clone()).collect(),
                ..Programme::default()
            }),
            (Step::Chunk { track, chunk }, Some(programme)) if track == "v" => {
                programme.pictures += chunk.samples;
                match programme.segments.last_mut().filter(|(number, ..)| *number == chunk.number) {
                    Some((_, _, duration_ticks)) => *duration_ticks += chunk.duration_ticks,
                    None => programme.segments.push((chunk.number, chunk.presented_ticks, chunk.duration_ticks)),
                }
            }
            (Step::Chunk { chunk, .. }, Some(programme)) => programme.units += chunk.samples,
            (Step::End, Some(programme)) => programme.is_ended = true,
            (step, last) => panic!("{step:?} after {last:?}"),
        }
    }
    programmes
}

/// Ticks of a time, milliseconds after the first sample.
fn at(after_ms: i64) -> u64 {
    u64::try_from((NOW_US / 1000 + after_ms) * 360).unwrap()
}

#[test]
fn a_publication_begins_at_the_wall_and_is_cut_at_key_frames() {
    let mut encoder = Encoder::new();
    encoder.send(110, 5000).unwrap();
    let programmes = encoder.finish();
    let [programme] = programmes.as_slice() else { panic!("{programmes:?}") };
    assert_eq!(programme.tracks, ["v", "a"]);
    let second = 360_000;
    let expected = [(0, at(80), 2 * second), (1, at(2080), 2 * second), (2, at(4080), 10 * 40 * 360)];
    assert_eq!(programme.segments, expected);
    assert_eq!(programme.pictures, 110);
    // The first picture is shown 80 ms after the first sound.
    assert!((214..=217).contains(&programme.units), "{}", programme.units);
    assert!(programme.is_ended);
}

#[test]
fn an_encoder_that_runs_ahead_of_the_wall_begins_anew_where_it_was() {
    let mut encoder = Encoder::new();
    encoder.send(60, 0).unwrap();
    // Nothing of it took any time.
    encoder.pictures = 0;
    encoder.send(10, 3_600_000).unwrap();
    let programmes = encoder.finish();
    // The last picture was decoded at 59 * 40, for 40 ms, and the sound beside it went on for a little longer.
    let begins = programmes[1].segments[0].1;
    assert!((at(80 + 2400)..at(80 + 2400 + 22)).contains(&begins), "{begins}");
}

#[test]
fn a_count_that_wraps_goes_on() {
    let mut encoder = Encoder::new();
    encoder.send(100, u32::MAX - 1000).unwrap();
    let programmes = encoder.finish();
    assert_eq!((programmes.len(), programmes[0].pictures), (1, 100));
    assert_eq!(programmes[0].segments[1].1, at(2080));
}

#[test]
fn times_that_jump_and_another_configuration_begin_another_publication() {
    let mut encoder = Encoder::new();
    encoder.send(60, 0).unwrap();
    encoder.send(60, 3_600_000).unwrap();
    encoder.push(Input::Configuration(TrackKind::Video, Bytes::from_static(AVCC_LARGER))).unwrap();
    // Until the next key frame there is nothing to show.
    encoder.picture(3_602_400, OTHER).unwrap();
    encoder.send(60, 3_602_440).unwrap();
    // The same configuration once more says nothing.
    encoder.push(Input::Configuration(TrackKind::Video, Bytes::from_static(AVCC_LARGER))).unwrap();
    let programmes = encoder.finish();
    let pictures: Vec<u32> = programmes.iter().map(|programme| programme.pictures).collect();
    assert_eq!(pictures, [60, 60, 60]);
    // Each is at the wall's time, or after the last sound before it: the encoder's clock is tied to it anew.
    assert!((at(80 + 60 * 40)..at(80 + 60 * 40 + 22)).contains(&programmes[1].segments[0].1));
    assert!(programmes.iter().all(|programme| programme.is_ended));
}

/// x264 with B-frames: the first pictures behind the jump are decoded at times from before it. FLV has 24 bits for the
/// difference, so that of three hours comes as less than nothing.
#[test]
fn pictures_that_are_decoded_before_a_jump_and_shown_behind_it_are_left_out() {
    for (jump_ms, difference_ms) in [(10_800_000_u32, 10_800_080 - (1 << 24)), (60_000, 60_080), (7_000_000, 7_000_080)]
    {
        let mut encoder = Encoder::new();
        encoder.send(60, 0).unwrap();
        for n in 60..62 {
            encoder.picture_shown(n * FRAME_MS, difference_ms, if n == 60 { KEY } else { OTHER }).unwrap();
            encoder.sound(n * FRAME_MS).unwrap();
        }
        for n in 62..75 {
            encoder.picture(jump_ms + n * FRAME_MS, OTHER).unwrap();
            encoder.sound(jump_ms + n * FRAME_MS).unwrap();
        }
        encoder.send(60, jump_ms + 75 * FRAME_MS).unwrap();
        let programmes = encoder.finish();
        let pictures: Vec<u32> = programmes.iter().map(|programme| programme.pictures).collect();
        assert_eq!(pictures, [60, 60], "{jump_ms}");
        let begins = programmes[1].segments[0].1;
        assert!((at(80 + 75 * 40)..at(80 + 75 * 40 + 22)).contains(&begins), "{jump_ms}: {begins}");
    }
}

#[test]
fn lost_media_is_a_gap_in_time_and_not_another_publication() {
    let mut encoder = Encoder::new();
    encoder.send(60, 0).unwrap();
    encoder.send(60, 60 * 40 + 4000).unwrap();
    let programmes = encoder.finish();
    assert_eq!((programmes.len(), programmes[0].pictures), (1, 120));
    assert_eq!(programmes[0].segments.last().unwrap().1, at(80 + 6400 + 2000));
}

#[test]
fn what_is_announced_and_does_not_come_is_not_waited_for_long() {
    let mut encoder = Encoder::new();
    encoder.packager.audio = None;
    for n in 0..60 {
        encoder.picture(n * FRAME_MS, if n % 25 == 0 { KEY } else { OTHER }).unwrap();
    }
    let begun = encoder.steps.iter().position(|step| matches!(step, Step::Begin(_)));
    assert!(begun.is_some());
    // It comes after all: then both are another publication.
    encoder.push(Input::Configuration(TrackKind::Audio, Bytes::from_static(ASC))).unwrap();
    encoder.send(30, 60 * FRAME_MS).unwrap();
    let programmes = encoder.finish();
    assert_eq!(programmes.iter().map(|programme| programme.tracks.len()).collect::<Vec<_>>(), [1, 2]);
    // Nothing that waited was lost.
    assert_eq!(programmes[0].pictures, 60);
}

#[test]
fn an_encoder_without_key_frames_is_sent_away() {
    let mut encoder = Encoder::new();
    let error = encoder.send_keyed(2000, 0, 5000).unwrap_err();
    assert!(matches!(error, PackageError::NoKeyFrame { after_ms: 30_000..31_000, .. }), "{error}");
    let mut encoder = Encoder::new();
    let error = (0..1000).find_map(|n| encoder.picture(n * FRAME_MS, OTHER).err()).unwrap();
    assert!(matches!(error, PackageError::NoBeginning), "{error}");
    assert!(encoder.steps.is_empty());
}

#[test]
fn sound_without_pictures_is_not_kept_for_ever() {
    let mut encoder = Encoder::new();
    encoder.send(50, 0).unwrap();
    let error = (0..5000).find_map(|n| encoder.sound(2000 + n * 21).err()).unwrap();
    assert!(matches!(error, PackageError::PicturesStopped), "{error}");
}

#[test]
fn who_begins_anew_all_the_time_is_sent_away() {
    let mut encoder = Encoder::new();
    let error = (0..50).find_map(|n| encoder.send(30, n * 1_000_000).err()).unwrap();
    assert!(matches!(error, PackageError::Unsteady), "{error}");
    assert_eq!(programmes(encoder.steps).len(), usize::try_from(RESTARTS_MAX).unwrap());
}

#[test]
fn what_its_sound_is_may_be_said_after_the_first_pictures_and_none_is_lost() {
    let mut encoder = Encoder::new();
    encoder.packager.audio = None;
    // As in a transport stream: the key frame, some pictures, and only then the sound of the same time.
    for n in 0..6 {
        encoder.picture(n * FRAME_MS, if n == 0 { KEY } else { OTHER }).unwrap();
    }
    encoder.push(Input::Configuration(TrackKind::Audio, Bytes::from_static(ASC))).unwrap();
    (0..10).for_each(|n| encoder.sound(n * 21).unwrap());
    let programmes = encoder.finish();
    let [programme] = programmes.as_slice() else { panic!("{programmes:?}") };
    assert_eq!((programme.tracks.len(), programme.pictures), (2, 6));
    // The first picture is shown 80 ms after the first sound.
    assert_eq!(programme.units, 6);
}
