//! Ordinary movies of others: which are played, how they are described, and which are left out, with what words.

use flame_cmaf::{
    Colour, MovieError,
    movie::{Media, Movie, MovieTrack, Picture, Sound, TRACKS_MAX, VideoRange},
};
use source::{Sample, Source, Track, avc1, boxed, esds, mp4a, picture_entry, sound_entry, track};

#[path = "movie/model.rs"]
mod model;
#[path = "movie/source.rs"]
mod source;

/// `count` samples of 40 ticks, a sync sample every `gop`.
fn samples(count: usize, gop: usize) -> Vec<Sample> {
    (0..count).map(|n| Sample { delta: 40, offset: 0, is_sync: n % gop == 0, data: vec![n as u8; 1 + n % 5] }).collect()
}

fn parse(tracks: Vec<Track>) -> Movie {
    let stored = Source { movie_timescale: 1000, tracks }.write();
    Movie::parse(&stored.moov, stored.file.len() as u64, 1000).unwrap()
}

fn pictures(entry: Vec<u8>) -> Track {
    track(1, b"vide", entry, samples(100, 25))
}

fn only(track: Track) -> MovieTrack {
    let mut movie = parse(vec![track]);
    assert!(movie.left_out.is_empty(), "{:?}", movie.left_out);
    movie.tracks.remove(0)
}

fn reason(track: Track) -> String {
    let mut movie = parse(vec![track]);
    assert!(movie.tracks.is_empty(), "{:?}", movie.tracks);
    movie.left_out.remove(0).reason
}

fn sound(entry: Vec<u8>) -> (String, Sound) {
    let track = only(track(1, b"soun", entry, samples(10, 1)));
    let Media::Sound(sound) = track.media else { panic!("sound") };
    (track.codec, sound)
}

fn picture(track: &MovieTrack) -> &Picture {
    let Media::Picture(picture) = &track.media else { panic!("pictures") };
    picture
}

#[test]
fn describes_pictures() {
    let pasp = boxed(b"pasp", &[&[0, 0, 0, 4, 0, 0, 0, 3]]);
    let colr = boxed(b"colr", &[b"nclx", &[0, 9, 0, 16, 0, 9, 0]]);
    let record = boxed(b"avcC", &[crate::unpack::AVCC]);
    let gama = boxed(b"gama", &[&[0, 1, 0, 0]]);
    let entry = picture_entry(b"avc1", &[gama, record, colr, pasp]);
    let language = *b"deu";
    let found = only(Track { timescale: 1001, language, turn: [0, 1, -1, 0], ..pictures(entry) });
    assert_eq!(
        (found.codec.as_str(), found.words.language.as_deref(), found.is_enabled),
        ("avc1.64000d", Some("deu"), true)
    );
    let colour = Colour { primaries: 9, transfer: 16, matrix: 9, full_range: false };
    let expected = Picture {
        width: 320,
        height: 180,
        pixel_aspect: (4, 3),
        rotation_degrees: 90,
        colour: Some(colour),
        range: VideoRange::Pq,
        frame_rate: Some((1001, 40)),
        supplemental_codec: None,
    };
    assert_eq!(picture(&found), &expected);

    let (ftyp, moov) = crate::unpack::init(found.init());
    assert!(ftyp.compatible_brands.iter().any(|brand| brand.to_string() == "cmf2"));
    let trak = &moov.trak[0];
    assert_eq!((trak.tkhd.matrix.a, trak.tkhd.matrix.b), (0, 1 << 16));
    assert_eq!((trak.tkhd.width.integer(), trak.tkhd.height.integer()), (320, 180));
    assert_eq!((trak.mdia.mdhd.language.as_str(), moov.mvhd.timescale), ("deu", 1001));
    let mp4_atom::Codec::Avc1(avc1) = &trak.mdia.minf.stbl.stsd.codecs[0] else { panic!("avc1") };
    assert_eq!(avc1.pasp.as_ref().map(|pasp| (pasp.h_spacing, pasp.v_spacing)), Some((4, 3)));
    assert!(matches!(avc1.colr, Some(mp4_atom::Colr::Nclx { transfer_characteristics: 16, .. })));
    let init = found.init();
    assert!(!init.windows(4).any(|bytes| bytes == b"gama" || bytes == b"\x03odd"), "QuickTime's own stays behind");
    assert!(init.windows(crate::unpack::AVCC.len()).any(|bytes| bytes == crate::unpack::AVCC), "copied byte for byte");
}

#[test]
fn takes_colour_of_quicktime_and_knows_ranges() {
    let with = |colr: &[u8]| {
        let boxes = [boxed(b"avcC", &[crate::unpack::AVCC]), boxed(b"colr", &[colr])];
        let found = only(pictures(picture_entry(b"avc3", &boxes)));
        assert_eq!(found.codec, "avc3.64000d");
        (picture(&found).colour.map(|colour| colour.transfer), picture(&found).range)
    };
    assert_eq!(with(b"nclc\0\x09\0\x12\0\x09"), (Some(18), VideoRange::Hlg));
    assert_eq!(with(b"nclx\0\x01\0\x01\0\x01\x80"), (Some(1), VideoRange::Sdr));
    assert_eq!(with(b"nclx\0\x02\0\x02\0\x02\0"), (None, VideoRange::Sdr));
    assert_eq!(with(b"prof\0\0\0\0"), (None, VideoRange::Sdr));
    assert_eq!(with(b"nclx\0"), (None, VideoRange::Sdr));
}

#[test]
fn names_the_codecs_of_pictures() {
    let hvcc = [1, 0x01, 0x60, 0, 0, 0, 0xb0, 0, 0, 0, 0, 0, 93, 0xf0, 0, 0xfc, 0xfd, 0xf8, 0xf8, 0, 0, 0x0f, 0];
    let hevc = |kind| only(pictures(picture_entry(kind, &[boxed(b"hvcC", &[&hvcc])]))).codec;
    assert_eq!((hevc(b"hvc1"), hevc(b"hev1")), ("hvc1.1.6.L93.B0".to_owned(), "hev1.1.6.L93.B0".to_owned()));
    let av1c = boxed(b"av1C", &[&[0x81, 0x04, 0x4e, 0]]);
    let colr = boxed(b"colr", &[b"nclx", &[0, 9, 0, 16, 0, 9, 0]]);
    let av1 = only(pictures(picture_entry(b"av01", &[av1c, colr])));
    assert_eq!(av1.codec, "av01.0.04M.10.0.112.09.16.09.0");
}

#[test]
fn describes_sound_of_all_versions_of_its_description() {
    let stereo = ("mp4a.40.2".to_owned(), Sound { channels: 2, sample_rate_hz: 48_000 });
    assert_eq!(sound(mp4a()), stereo);
    // QuickTime: more fields, and the configuration in `wave` with a terminator behind it.
    for version in [1, 2] {
        let frma = boxed(b"frma", &[b"mp4a"]);
        let wave = boxed(
            b"wave",
            &[&frma, &boxed(b"mp4a", &[&[0; 4]]), &esds(0x40, crate::unpack::ASC), &[0, 0, 0, 8, 0, 0, 0, 0]],
        );
        let entry = sound_entry(b"mp4a", version, &[wave, boxed(b"chan", &[&[0; 12]])]);
        assert_eq!(sound(entry.clone()), stereo, "version {version}");
        let found = only(track(1, b"soun", entry, samples(10, 1)));
        let (_, moov) = crate::unpack::init(found.init());
        let mp4_atom::Codec::Mp4a(mp4a) = &moov.trak[0].mdia.minf.stbl.stsd.codecs[0] else { panic!("mp4a") };
        let asc = &mp4a.esds.es_desc.dec_config.dec_specific.as_ref().unwrap().raw;
        assert_eq!((asc.as_slice(), mp4a.audio.channel_count), (crate::unpack::ASC, 2));
        assert!(!found.init().windows(4).any(|bytes| bytes == b"wave"));
    }
    let aac = |asc: &[u8]| sound(sound_entry(b"mp4a", 0, &[esds(0x40, asc)]));
    assert_eq!(aac(&[0x11, 0xb0]), ("mp4a.40.2".to_owned(), Sound { channels: 6, sample_rate_hz: 48_000 }));
    // HE-AAC said openly: 22.05 kHz doubled.
    assert_eq!(aac(&[0x2b, 0x92, 0x08, 0x00]).1, Sound { channels: 2, sample_rate_hz: 44_100 });
    // With parametric stereo: one channel that becomes two.
    let parametric = ("mp4a.40.29".to_owned(), Sound { channels: 2, sample_rate_hz: 44_100 });
    assert_eq!(aac(&[0xeb, 0x8a, 0x08]), parametric);
    let opus = sound_entry(b"Opus", 0, &[boxed(b"dOps", &[&[0, 6, 1, 0x38, 0, 0, 0xbb, 0x80, 0, 0, 0]])]);
    assert_eq!(sound(opus), ("opus".to_owned(), Sound { channels: 6, sample_rate_hz: 48_000 }));
    // 48 kHz, 3/2 with a low-frequency channel, as FFmpeg writes them.
    let ac3 = sound_entry(b"ac-3", 0, &[boxed(b"dac3", &[&[0x10, 0x3d, 0xc0]])]);
    assert_eq!(sound(ac3), ("ac-3".to_owned(), Sound { channels: 6, sample_rate_hz: 48_000 }));
    let eac3 = sound_entry(b"ec-3", 0, &[boxed(b"dec3", &[&[0x0e, 0x00, 0x20, 0x0f, 0x00]])]);
    assert_eq!(sound(eac3), ("ec-3".to_owned(), Sound { channels: 6, sample_rate_hz: 48_000 }));
}

#[test]
fn says_why_tracks_are_left_out() {
    let with_edits = |edits: &[(u64, i64, u32)]| Track { edits: edits.to_vec(), ..pictures(avc1()) };
    let one = 1 << 16;
    let mp3 = sound_entry(b"mp4a", 0, &[esds(0x6b, &[0])]);
    let no_sync = samples(9, 1).into_iter().map(|sample| Sample { is_sync: false, ..sample }).collect();
    for (track, words) in [
        (track(1, b"tmcd", boxed(b"tmcd", &[&[0; 8]]), samples(1, 1)), "it is a time code"),
        (track(1, b"text", boxed(b"text", &[&[0; 8]]), samples(1, 1)), "it is text or chapters"),
        (track(1, b"hint", boxed(b"rtp ", &[&[0; 8]]), samples(1, 1)), "it is hints"),
        (pictures(boxed(b"encv", &[&[0; 78]])), "it is encrypted"),
        (pictures(picture_entry(b"ap4h", &[])), "its codec `ap4h`"),
        (pictures(picture_entry(b"avc1", &[])), "it has no `avcC`"),
        (track(1, b"soun", sound_entry(b"sowt", 1, &[]), samples(9, 1)), "its codec `sowt`"),
        (track(1, b"soun", mp3, samples(9, 1)), "it is MP3"),
        (Track { entries: vec![avc1(), avc1()], ..pictures(avc1()) }, "it has 2 sample descriptions"),
        (track(1, b"vide", avc1(), no_sync), "it has no sync sample"),
        (track(1, b"vide", avc1(), Vec::new()), "it has no samples"),
        (with_edits(&[(400, 0, one), (400, 800, one)]), "its edit list puts several stretches"),
        (with_edits(&[(400, 0, 2 * one)]), "its edit list changes the speed"),
        (with_edits(&[(400, -1, one)]), "its edit list shows nothing"),
        (with_edits(&[(400, 90_000, one)]), "its edit list begins behind"),
    ] {
        let reason = reason(track);
        assert!(reason.starts_with(words), "{words}: {reason}");
    }
    let chapters = track(2, b"vide", avc1(), samples(3, 1));
    let movie = parse(vec![Track { chapters: Some(2), ..pictures(avc1()) }, chapters]);
    assert_eq!((movie.tracks.len(), movie.left_out[0].track_id), (1, 2));
    assert!(movie.left_out[0].reason.contains("chapters"));
}

/// What a table of four entries becomes, or why it is left out.
fn with_table(change: impl FnOnce(&mut Vec<u8>)) -> Result<usize, String> {
    let stored = Source { movie_timescale: 1000, tracks: vec![pictures(avc1())] }.write();
    let mut moov = stored.moov.to_vec();
    change(&mut moov);
    let mut movie = Movie::parse(&moov.into(), stored.file.len() as u64, 1000).unwrap();
    movie.left_out.pop().map_or_else(|| Ok(movie.tracks.len()), |left| Err(left.reason))
}

#[test]
fn tables_that_contradict_each_other_are_left_out() {
    let at = |moov: &[u8], kind: &[u8; 4]| moov.windows(4).position(|bytes| bytes == kind).unwrap() + 4;
    assert_eq!(with_table(|_| {}), Ok(1));
    let set = |kind: &'static [u8; 4], field: usize, value: u32| {
        with_table(move |moov| {
            let at = at(moov, kind) + field;
            moov[at..at + 4].copy_from_slice(&value.to_be_bytes());
        })
    };
    for (kind, field, value, words) in [
        (b"stts", 8, 99, "`stts` ends before sample 99, of 100"),
        (b"stts", 8, 101, "`stts` goes on after the last of 100 samples"),
        (b"stts", 4, 9, "its `stts` box promises 9 entries"),
        (b"stsz", 8, 99, "`stts` goes on"),
        (b"stsz", 8, 101, "its `stsz` box has 400 bytes for 101 samples"),
        (b"stco", 8, 1 << 30, "sample 0 lies at 1073741824"),
        (b"stsc", 8, 2, "`stsc` does not say"),
        (b"stsc", 12, 0, "`stsc` does not say"),
        (b"stsc", 12, 2, "`stco` ends before sample"),
        (b"stsc", 12, 4, "`stco` goes on"),
        (b"stsc", 16, 2, "chunk 1 uses a second sample description"),
        (b"url ", 0, 0, "its samples lie in another file"),
        (b"stss", 12, 1, "`stss` is not in order"),
        (b"stss", 20, 101, "`stss` goes on"),
    ] {
        let reason = set(kind, field, value).unwrap_err();
        assert!(reason.contains(words), "{words}: {reason}");
    }
}

#[test]
fn movies_that_say_nothing_of_their_tracks_are_refused() {
    let stored = Source { movie_timescale: 1000, tracks: vec![pictures(avc1())] }.write();
    let parse = |moov: &[u8]| Movie::parse(&moov.to_vec().into(), 1 << 30, 4000).map(|_| ()).unwrap_err();
    let size = stored.moov.len();
    assert!(matches!(parse(&stored.moov[..size - 1]), MovieError::Damaged { .. }));
    assert!(matches!(parse(&stored.file), MovieError::Damaged { .. }));
    assert!(matches!(parse(&boxed(b"moov", &[&boxed(b"cmov", &[])])), MovieError::Compressed));
    assert!(matches!(parse(&boxed(b"moov", &[&boxed(b"mvex", &[])])), MovieError::Fragmented));
    assert!(matches!(parse(&boxed(b"moov", &[&stored.moov[8..size - 4]])), MovieError::Damaged { .. }));
    assert!(matches!(parse(&boxed(b"moov", &[&boxed(b"trak", &[])])), MovieError::Damaged { .. }));
    assert!(matches!(parse(&boxed(b"moov", &[&boxed(b"free", &[]).repeat(5000)])), MovieError::Damaged { .. }));
    let many = boxed(b"trak", &[]).repeat(TRACKS_MAX + 1);
    assert_eq!(parse(&boxed(b"moov", &[&many])), MovieError::TooManyTracks);
    assert_eq!(Movie::parse(&stored.moov, 1, 0).map(|_| ()), Err(MovieError::NoTarget));
}

#[test]
fn what_an_edit_hides_in_front_is_left_out_but_for_what_decoders_need() {
    // Shown from 2.5 s on: pictures from the sync sample at 2 s, sound from a quarter of a second before.
    let edits = vec![(0, 2500, 1 << 16)];
    let sounds = Track { edits: edits.clone(), ..track(2, b"soun", mp4a(), samples(100, 1)) };
    let movie = parse(vec![Track { edits, ..pictures(avc1()) }, sounds]);
    let [pictures, sounds] = movie.tracks.as_slice() else { panic!("{:?}", movie.left_out) };
    assert_eq!((pictures.edit_media_time_ticks(), pictures.figures().samples), (500, 50));
    assert_eq!((sounds.edit_media_time_ticks(), sounds.figures().samples), (260, 44));
    assert_eq!((pictures.figures().duration_ms, sounds.figures().duration_ms), (1500, 1500));
}

#[test]
fn delays_move_decode_times_and_negative_offsets_the_edit() {
    let shifted = samples(100, 25)
        .into_iter()
        .enumerate()
        .map(|(n, sample)| Sample { offset: [0, 80, -40, -40][n % 25 % 4], ..sample })
        .collect();
    let edits = vec![(3000, -1, 1 << 16), (0, 0, 1 << 16)];
    let found = only(Track { edits, ..track(1, b"vide", avc1(), shifted) });
    assert_eq!(found.edit_media_time_ticks(), 40);
    // The first segment begins 3 s late, and cuts lie on the same multiples for all tracks.
    let starts: Vec<u64> = found.segments().map(|segment| segment.time_ticks - 40).collect();
    assert_eq!(starts, [3000, 4000, 5000, 6000]);
}

#[test]
fn a_cut_between_two_ticks_comes_at_the_later_one() {
    // 7 ms are 308.7 ticks: a sample at 308 is before them.
    let each_tick = |count| (0..count).map(|_| Sample { delta: 1, offset: 0, is_sync: true, data: vec![1] }).collect();
    let sounds = Track { timescale: 44_100, ..track(1, b"soun", mp4a(), each_tick(1000)) };
    let stored = Source { movie_timescale: 1000, tracks: vec![sounds] }.write();
    let movie = Movie::parse(&stored.moov, stored.file.len() as u64, 7).unwrap();
    let starts: Vec<u64> = movie.tracks[0].segments().map(|segment| segment.time_ticks).collect();
    assert_eq!(starts, [0, 309, 618, 927]);
}

#[test]
fn version_1_of_iso_has_no_fields_of_quicktime() {
    let mut entry = mp4a();
    entry[8 + 9] = 1;
    let stored = Source { movie_timescale: 1000, tracks: vec![track(1, b"soun", entry, samples(9, 1))] }.write();
    let mut moov = stored.moov.to_vec();
    let stsd_at = moov.windows(4).position(|bytes| bytes == b"stsd").unwrap();
    moov[stsd_at + 4] = 1;
    let movie = Movie::parse(&moov.into(), stored.file.len() as u64, 1000).unwrap();
    assert_eq!(movie.tracks.len(), 1, "{:?}", movie.left_out);
}

#[test]
fn a_frame_rate_is_said_where_only_the_last_picture_lasts_otherwise() {
    let rate = |place: usize| {
        let mut samples = samples(100, 25);
        samples[place].delta = 41;
        picture(&only(track(1, b"vide", avc1(), samples))).frame_rate
    };
    assert_eq!(rate(99), Some((25, 1)));
    assert_eq!([rate(0), rate(50), rate(98)], [None; 3]);
}
