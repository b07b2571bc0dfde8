//! What the writer does not write, and where it cuts.

use flame_cmaf::{PictureCodec, Sample, Segmentation, TrackWriter, WriteError};

use crate::unpack::{video, write};

fn sample(dts_ticks: i64, pts_ticks: i64, is_sync: bool) -> Sample {
    Sample { dts_ticks, pts_ticks, duration_ticks: 10, is_sync, data: vec![0; 8].into() }
}

fn refused(samples: impl IntoIterator<Item = Sample>) -> WriteError {
    let mut writer = TrackWriter::new(&video(1000, 0), Segmentation::OnCall).unwrap();
    samples.into_iter().find_map(|sample| writer.push(sample).err()).or_else(|| writer.finish().err()).expect("refused")
}

#[test]
fn refuses_times_that_make_no_track() {
    assert!(matches!(refused([sample(-1, 0, true)]), WriteError::DecodeTime { dts_ticks: -1, .. }));
    assert!(matches!(refused([sample(0, -1, true)]), WriteError::PresentationTime { pts_ticks: -1, .. }));
    let repeated = refused([sample(5, 5, true), sample(5, 6, false)]);
    assert!(matches!(repeated, WriteError::DecodeTime { dts_ticks: 5, previous_ticks: Some(5) }));
    let far = refused([sample(0, 0, true), sample(1 << 33, 1 << 33, true)]);
    assert!(matches!(far, WriteError::DecodeTime { .. }));
    assert!(matches!(refused([sample(0, 1 << 40, true)]), WriteError::PresentationTime { .. }));
}

#[test]
fn refuses_a_track_that_cannot_be_decoded() {
    assert!(matches!(refused([]), WriteError::NoSamples));
    assert!(matches!(refused([sample(0, 0, false)]), WriteError::NoSync { number: 0, .. }));
    let hollow = Sample { data: Vec::new().into(), ..sample(0, 0, true) };
    assert!(matches!(refused([hollow]), WriteError::EmptySample { .. }));
    let endless = Sample { duration_ticks: 0, ..sample(0, 0, true) };
    assert!(matches!(refused([endless]), WriteError::EmptySample { .. }));

    let mut broken = video(1000, 0);
    if let flame_cmaf::MediaConfig::Video(video) = &mut broken.media
        && let PictureCodec::Avc(record) = &mut video.codec
    {
        record.truncate(8);
    }
    assert!(matches!(TrackWriter::new(&broken, Segmentation::OnCall), Err(WriteError::Box(_))));
    assert!(matches!(TrackWriter::new(&video(0, 0), Segmentation::OnCall), Err(WriteError::Zero { .. })));
    assert!(matches!(TrackWriter::new(&video(1, 0), Segmentation::Interval { ms: 0 }), Err(WriteError::Zero { .. })));
}

#[test]
fn begins_a_segment_where_it_is_told() {
    let mut writer = TrackWriter::new(&video(1000, 0), Segmentation::OnCall).unwrap();
    assert_eq!(writer.push(sample(0, 0, true)).unwrap(), None);
    assert_eq!(writer.push(sample(10, 10, true)).unwrap(), None);
    writer.begin_segment();
    let first = writer.push(sample(20, 20, true)).unwrap().expect("the first segment is complete");
    assert_eq!((first.entry.samples, first.entry.duration_ticks), (2, 20));
    writer.begin_segment();
    assert!(matches!(writer.push(sample(30, 30, false)), Err(WriteError::NoSync { number: 2, dts_ticks: 30 })));
}

#[test]
fn refuses_open_gops() {
    // Shown before the sync sample that it follows.
    let leading = refused([sample(0, 20, true), sample(10, 10, false), sample(20, 30, true)]);
    assert!(matches!(leading, WriteError::OpenGop { pts_ticks: 10, limit_ticks: 20 }));
    // A segment begins before the one before it has been shown.
    let mut writer = TrackWriter::new(&video(1000, 0), Segmentation::Interval { ms: 10 }).unwrap();
    writer.push(sample(0, 0, true)).unwrap();
    writer.push(sample(10, 30, false)).unwrap();
    let overlap = writer.push(sample(20, 20, true)).unwrap_err();
    assert!(matches!(overlap, WriteError::OpenGop { pts_ticks: 20, limit_ticks: 30 }));
}

#[test]
fn a_gap_longer_than_a_segment_makes_one_long_segment() {
    let samples = vec![sample(0, 0, true), sample(9_000, 9_000, true), sample(10_000, 10_000, true)];
    let written = write(&video(1000, 0), Segmentation::Interval { ms: 4000 }, samples);
    let durations: Vec<u64> = written.finished.index.segments.iter().map(|segment| segment.duration_ticks).collect();
    assert_eq!(durations, [9_000, 1_010]);
}
