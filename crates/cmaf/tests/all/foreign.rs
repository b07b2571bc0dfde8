//! FFmpeg as the judge: real encoded samples, packed by this crate, must be to FFmpeg what they were before.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use flame_cmaf::{
    AudioConfig, MediaConfig, PictureCodec, Sample, Segmentation, SoundCodec, TrackConfig, VideoConfig,
    boxes::{BoxWalk, Step},
};
use mp4_atom::{Atom, Codec, Decode, Encode, Moov, StszSamples, Trak};

use crate::unpack::{Written, write};

pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{program} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// 3 s of moving picture and a tone, H.264 with B-frames in closed GOPs of half a second, and AAC.
fn clip(path: &Path) -> (Vec<u8>, Moov) {
    let picture = "testsrc2=size=320x180:rate=30000/1001:duration=3";
    let tone = "sine=frequency=440:sample_rate=48000:duration=3";
    let target = path.to_str().unwrap();
    run(
        "ffmpeg",
        &[
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            picture,
            "-f",
            "lavfi",
            "-i",
            tone,
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
            "-pix_fmt",
            "yuv420p",
            "-x264-params",
            "keyint=15:min-keyint=15:scenecut=0:bframes=3:open-gop=0",
            "-c:a",
            "aac",
            target,
        ],
    );
    let bytes = std::fs::read(path).unwrap();
    let moov = Moov::decode(&mut &bytes[moov_offset(&bytes)..]).unwrap();
    (bytes, moov)
}

/// Where `moov` lies in a real file, by this crate's walk.
fn moov_offset(file: &[u8]) -> usize {
    let mut walk = BoxWalk::new(file.len() as u64);
    let mut step = walk.step().unwrap();
    loop {
        match step {
            Step::Read { offset_bytes, .. } => {
                step = walk.feed(&file[usize::try_from(offset_bytes).unwrap()..]).unwrap()
            }
            Step::Done(layout) => {
                assert!(layout.moov_last, "FFmpeg writes `moov` last unless told otherwise");
                return usize::try_from(layout.moov_offset_bytes).unwrap();
            }
        }
    }
}

/// The samples of a track, by its sample table. Times are the track's own, priming and all.
fn samples(file: &[u8], trak: &Trak) -> Vec<Sample> {
    let table = &trak.mdia.minf.stbl;
    let StszSamples::Different { sizes } = &table.stsz.samples else { panic!("sizes differ") };
    let durations: Vec<u32> =
        table.stts.entries.iter().flat_map(|entry| vec![entry.sample_delta; entry.sample_count as usize]).collect();
    let offsets: Vec<i64> = table.ctts.iter().flat_map(|ctts| &ctts.entries).fold(Vec::new(), |mut offsets, entry| {
        offsets.extend(vec![entry.sample_offset; entry.sample_count as usize]);
        offsets
    });
    let chunks = &table.stco.as_ref().unwrap().entries;
    let mut samples = Vec::new();
    let mut dts_ticks = 0;
    for (chunk, &start) in chunks.iter().enumerate() {
        let run = table.stsc.entries.iter().rfind(|entry| entry.first_chunk as usize <= chunk + 1).unwrap();
        let mut at = start as usize;
        for _ in 0..run.samples_per_chunk {
            let n = samples.len();
            let size = sizes[n] as usize;
            let is_sync = table.stss.as_ref().is_none_or(|stss| stss.entries.contains(&u32::try_from(n + 1).unwrap()));
            samples.push(Sample {
                dts_ticks,
                pts_ticks: dts_ticks + offsets.get(n).copied().unwrap_or(0),
                duration_ticks: durations[n],
                is_sync,
                data: file[at..at + size].to_vec().into(),
            });
            at += size;
            dts_ticks += i64::from(durations[n]);
        }
    }
    samples
}

fn body<T: Atom>(atom: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    atom.encode(&mut bytes).unwrap();
    bytes.split_off(8)
}

/// A clip in `folder` and its pictures as this crate packs them, three segments.
pub fn pictures(folder: &Path) -> (PathBuf, Written) {
    let source = folder.join("source.mp4");
    let (file, moov) = clip(&source);
    let trak = moov.trak.iter().find(|trak| trak.mdia.minf.vmhd.is_some()).unwrap();
    let Codec::Avc1(avc1) = &trak.mdia.minf.stbl.stsd.codecs[0] else { panic!("avc1") };
    let timescale = trak.mdia.mdhd.timescale;
    // The source delays presentation by its reorder depth and takes that away with its edit list, as this crate does.
    let pictures = samples(&file, trak);
    let composition_delay_ticks = u32::try_from(pictures[0].pts_ticks).unwrap();
    assert_eq!(composition_delay_ticks, 2002);

    let codec = PictureCodec::Avc(body(&avc1.avcc));
    let config = VideoConfig { codec, width: 320, height: 180, timescale, colour: None, composition_delay_ticks };
    let config = TrackConfig { media: MediaConfig::Video(config), language: None };
    (source, write(&config, Segmentation::Interval { ms: 1000 }, pictures))
}

/// A clip in `folder` and its sound as this crate packs it.
pub fn sound(folder: &Path) -> (PathBuf, Written) {
    let source = folder.join("source.mp4");
    let (file, moov) = clip(&source);
    let trak = moov.trak.iter().find(|trak| trak.mdia.minf.smhd.is_some()).unwrap();
    let Codec::Mp4a(mp4a) = &trak.mdia.minf.stbl.stsd.codecs[0] else { panic!("mp4a") };
    let asc = mp4a.esds.es_desc.dec_config.dec_specific.as_ref().unwrap().raw.clone();
    let config =
        AudioConfig { codec: SoundCodec::Aac(asc), sample_rate_hz: 48_000, channels: 1, priming_samples: 1024 };
    let config = TrackConfig { media: MediaConfig::Audio(config), language: Some("en".to_owned()) };
    (source, write(&config, Segmentation::Interval { ms: 1000 }, samples(&file, trak)))
}

#[test]
fn ffmpeg_decodes_the_same_pictures_at_the_same_times() {
    let folder = tempfile::tempdir().unwrap();
    let (source, written) = pictures(folder.path());
    let packed = folder.path().join("packed.mp4");
    std::fs::write(&packed, &written.object).unwrap();

    let (source, packed) = (source.to_str().unwrap(), packed.to_str().unwrap());
    let frames = |path: &str| run("ffmpeg", &["-v", "error", "-i", path, "-map", "0:v", "-f", "framemd5", "-"]);
    assert_eq!(frames(packed), frames(source));
    assert_eq!(written.finished.figures.samples, 90);
    assert_eq!(written.finished.index.segments.len(), 3);
    let shown = |path: &str| {
        run(
            "ffprobe",
            &[
                "-v",
                "error",
                "-select_streams",
                "v",
                "-show_entries",
                "frame=pts,pkt_duration,key_frame",
                "-of",
                "csv",
                path,
            ],
        )
    };
    assert_eq!(shown(packed), shown(source));
    let codec = run(
        "ffprobe",
        &["-v", "error", "-show_entries", "stream=profile,level,codec_tag_string", "-of", "csv=p=0", packed],
    );
    assert_eq!(codec.trim(), "High,avc1,13");
    assert_eq!(written.finished.index.codec, "avc1.64000d");
}

#[test]
fn ffmpeg_decodes_the_same_sound_without_its_priming() {
    let folder = tempfile::tempdir().unwrap();
    let (source, written) = sound(folder.path());
    let packed = folder.path().join("packed.mp4");
    std::fs::write(&packed, &written.object).unwrap();

    let (source, packed) = (source.to_str().unwrap(), packed.to_str().unwrap());
    let pcm = |path: &str, name: &str| {
        let target = folder.path().join(name);
        run("ffmpeg", &["-v", "error", "-i", path, "-map", "0:a", "-f", "s16le", target.to_str().unwrap()]);
        std::fs::read(target).unwrap()
    };
    let (expected, decoded) = (pcm(source, "source.pcm"), pcm(packed, "packed.pcm"));
    // In fragmented tracks FFmpeg 5.1 obeys the edit list by time (the priming comes before 0), not by dropping.
    let first = run(
        "ffprobe",
        &["-v", "error", "-show_entries", "packet=pts", "-read_intervals", "%+#1", "-of", "csv=p=0", packed],
    );
    assert_eq!(first.trim().trim_end_matches(','), "-1024");
    assert_eq!(expected.len(), 2 * 141 * 1024);
    assert!(decoded[2 * 1024..] == expected, "the same sound, {} of {} bytes", decoded.len() - 2048, expected.len());
    assert_eq!(written.finished.figures.duration_ms, 3000);
}
