//! Tracks that are made later, one at a time: each is the one that was made beside the others.

use std::path::Path;

use flame_api::media::{Track, TrackKind};
use flame_cmaf::TrackIndex;
use flame_media::{ladder, probe};
use flame_media_child::protocol::{Agreed, LadderPlan};

use crate::{judge::clip, plan};

const PICTURES: &str = "-f lavfi -i testsrc2=size=320x240:rate=30000/1001:duration=5";
const CODED: &str = "-map 0:v -map 1:a -c:v libx264 -pix_fmt yuv420p -c:a aac";

/// All that is known of a track but its bytes.
#[derive(Debug, PartialEq)]
pub struct Shape {
    timescale: u32,
    edit_ticks: u64,
    /// Time, duration and samples of each segment.
    segments: Vec<(u64, u64, u32)>,
    /// Times of keyframes.
    keyframes: Vec<u64>,
}

pub fn shape(folder: &Path, track: &str) -> Shape {
    let json = std::fs::read(folder.join(format!("{track}.index.json"))).unwrap();
    let index = TrackIndex::from_json(&json).unwrap();
    let segments = &index.segments;
    Shape {
        timescale: index.timescale,
        edit_ticks: index.edit_media_time_ticks,
        segments: segments.iter().map(|it| (it.time_ticks, it.duration_ticks, it.samples)).collect(),
        keyframes: segments.iter().flat_map(|it| &it.keyframes).map(|keyframe| keyframe.time_ticks).collect(),
    }
}

/// `plan` with the track `name` alone, where the others have agreed.
fn alone(plan: &LadderPlan, name: &str, agreed: Option<Agreed>) -> LadderPlan {
    let mut plan = LadderPlan { agreed, ..plan.clone() };
    plan.video.retain(|rung| rung.name == name);
    plan.audio.retain(|rung| rung.name == name);
    plan
}

#[test]
fn a_track_made_later_is_the_one_that_was_made_beside_the_others() {
    let sound = |seconds: u32| format!("-f lavfi -i sine=sample_rate=44100:duration={seconds}");
    for (file, arguments) in [
        ("sound-late.mkv", format!("{PICTURES} -itsoffset 0.7 {} {CODED}", sound(5))),
        ("pictures-late.mkv", format!("-itsoffset 0.7 {PICTURES} {} {CODED}", sound(5))),
        // Alone it would look like a file that was cut off.
        ("sound-short.mp4", format!("{PICTURES} {} {CODED}", sound(2))),
    ] {
        let clip = clip(file, &arguments);
        let whole = plan::of(&probe::probe(clip.path.to_str().unwrap()).unwrap());
        let together = clip.folder.join("together");
        std::fs::create_dir(&together).unwrap();
        let ladder = ladder::encode(&clip.path, &together, &whole, &mut |_, _| {}).unwrap();
        let agreed = ladder.agreed.expect("they have agreed");
        for track in &ladder.tracks {
            let name = track.name.as_str();
            let folder = clip.folder.join(format!("alone-{name}"));
            std::fs::create_dir(&folder).unwrap();
            let plan = alone(&whole, name, Some(agreed));
            let again = ladder::encode(&clip.path, &folder, &plan, &mut |_, _| {});
            let again = again.unwrap_or_else(|error| panic!("{name} of {file}: {error}"));
            assert_eq!((again.tracks.len(), again.agreed), (1, Some(agreed)), "{name} of {file}");
            if track.kind == TrackKind::Video {
                assert_eq!(again.source_frames, ladder.source_frames, "{name} of {file}");
            }
            assert_eq!(shape(&folder, name), shape(&together, name), "{name} of {file}");
            let figures = |track: &Track| (track.duration_ms, track.samples, track.codec.clone());
            assert_eq!(figures(&again.tracks[0]), figures(track), "{name} of {file}");
        }
    }
}
