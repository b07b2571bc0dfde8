//! Keys change with what they are about and with nothing else; a part that is there and the rest are the whole.

use flame_api::media::{SoundRole, TrackKind};
use flame_media_child::protocol::{Borders, LoudnessPlan};
use proptest::prelude::*;

use super::*;

fn source() -> Source {
    Source { sha256: "ab".repeat(32), size_bytes: 1000 }
}

fn video(n: u32, crf: u32) -> VideoRung {
    VideoRung {
        name: format!("v{n}"),
        width: 2 * (n + 8),
        height: 2 * (n + 8),
        encoder: "x264".to_owned(),
        crf,
        mean_bitrate_bps: None,
        max_bitrate_bps: 1_000_000,
        preset: "veryfast".to_owned(),
    }
}

fn audio(sound: u32, bitrate_bps: u32) -> AudioRung {
    AudioRung {
        name: format!("a{sound}"),
        sound,
        language: None,
        role: SoundRole::Main,
        title: None,
        channels: 2,
        sample_rate_hz: 48_000,
        bitrate_bps,
        loudness: None,
    }
}

fn thumbnails() -> ThumbnailPlan {
    ThumbnailPlan { interval_ms: 1000, columns: 5, rows: 5, width: 160, height: 90, sheets_max: 10 }
}

prop_compose! {
    /// Plans of up to four sizes and three sounds, of one stage each.
    fn plans()(
        sizes in prop::collection::vec(18_u32..30, 0..4),
        sounds in prop::collection::vec(32_000_u32..200_000, 0..3),
        sheets in any::<bool>(),
        gop_s in 1_u32..4,
        deinterlace in any::<bool>(),
    ) -> Plan {
        let video: Vec<_> = (0..).zip(&sizes).map(|(n, crf)| video(n, *crf)).collect();
        let audio: Vec<_> = (0..).zip(&sounds).map(|(n, bps)| audio(n, *bps)).collect();
        let names = video.iter().map(|rung| &rung.name).chain(audio.iter().map(|rung| &rung.name));
        let stages = names.map(|name| format!("stage-of-{name}")).collect();
        let ladder = LadderPlan {
            thumbnails: (sheets && !video.is_empty()).then(thumbnails),
            video,
            audio,
            gop_ms: gop_s * 1000,
            segment_ms: gop_s * 2000,
            video_timescale: 90_000,
            rotation_deg: 0,
            deinterlace,
            front: Vec::new(),
            frame_rate: Some(Rational { num: 25, den: 1 }),
            duration_ms: 60_000,
            agreed: None,
        };
        Plan { ladder, stages, encoders: vec!["x264".to_owned()] }
    }
}

fn keys(plan: &LadderPlan) -> Keys {
    Keys::of(&source(), plan, "tools 1")
}

/// Which of the tracks have another key, and whether the thumbnails do.
fn changed(before: &Keys, after: &Keys) -> (Vec<usize>, bool) {
    assert_eq!(before.tracks.len(), after.tracks.len());
    let pairs = before.tracks.iter().zip(&after.tracks).enumerate();
    (pairs.filter(|(_, (one, other))| one != other).map(|(at, _)| at).collect(), before.thumbnails != after.thumbnails)
}

fn track(name: &str) -> Track {
    Track {
        name: name.to_owned(),
        kind: TrackKind::Video,
        codec: "avc1.64001f".to_owned(),
        width: None,
        height: None,
        frame_rate: None,
        channels: None,
        sample_rate_hz: None,
        language: None,
        role: SoundRole::Main,
        title: None,
        source_sound: None,
        duration_ms: 1,
        samples: 1,
        average_bandwidth_bps: 1,
        peak_bandwidth_bps: 1,
        size_bytes: 1,
    }
}

fn sheets() -> Thumbnails {
    Thumbnails {
        interval_ms: 1000,
        columns: 5,
        rows: 5,
        tile_width: 160,
        tile_height: 90,
        count: 2,
        largest_sheet_bytes: 10,
        size_bytes: 10,
    }
}

fn names(plan: &LadderPlan) -> Vec<String> {
    plan.video.iter().map(|rung| rung.name.clone()).chain(plan.audio.iter().map(|rung| rung.name.clone())).collect()
}

proptest! {
    #[test]
    fn a_changed_parameter_changes_the_keys_of_what_it_touches(plan in plans(), at in any::<prop::sample::Index>()) {
        let plan = plan.ladder;
        let (before, pictures, tracks) = (keys(&plan), plan.video.len(), plan.video.len() + plan.audio.len());
        let all_pictures: Vec<usize> = (0..pictures).collect();
        prop_assert_eq!(&keys(&plan.clone()), &before);

        // Of one track alone.
        if tracks > 0 {
            let at = at.index(tracks);
            let mut other = plan.clone();
            match at.checked_sub(pictures) {
                None => other.video[at].crf += 1,
                Some(sound) => other.audio[sound].bitrate_bps += 1,
            }
            prop_assert_eq!(changed(&before, &keys(&other)), (vec![at], false));
            let mut other = plan.clone();
            match at.checked_sub(pictures) {
                None => other.video[at].preset.push('!'),
                Some(sound) => {
                    let loudness = LoudnessPlan { target_lufs: -23.0, true_peak_max_dbtp: -1.0 };
                    other.audio[sound].loudness = Some(loudness);
                }
            }
            prop_assert_eq!(changed(&before, &keys(&other)), (vec![at], false));
        }
        // Of all pictures, and of no sound.
        let cropped = PictureStep::Crop(Borders { left: 2, ..Borders::default() });
        let other = LadderPlan { front: vec![cropped], ..plan.clone() };
        prop_assert_eq!(changed(&before, &keys(&other)), (all_pictures.clone(), false));
        let other = LadderPlan { gop_ms: plan.gop_ms * 2, ..plan.clone() };
        prop_assert_eq!(changed(&before, &keys(&other)), (all_pictures, false));
        // Of thumbnails alone.
        if let Some(thumbnails) = &plan.thumbnails {
            let other = ThumbnailPlan { width: 320, ..thumbnails.clone() };
            let other = LadderPlan { thumbnails: Some(other), ..plan.clone() };
            prop_assert_eq!(changed(&before, &keys(&other)), (Vec::new(), true));
        }
        // Of everything.
        let everything: Vec<usize> = (0..tracks).collect();
        let sources = [Source { sha256: "cd".repeat(32), ..source() }, Source { size_bytes: 1001, ..source() }];
        for other in sources {
            let other = Keys::of(&other, &plan, "tools 1");
            prop_assert_eq!(changed(&before, &other), (everything.clone(), plan.thumbnails.is_some()));
        }
        let other = Keys::of(&source(), &plan, "tools 2");
        prop_assert_eq!(changed(&before, &other), (everything.clone(), plan.thumbnails.is_some()));
        let other = LadderPlan { segment_ms: plan.segment_ms * 2, ..plan.clone() };
        prop_assert_eq!(changed(&before, &keys(&other)), (everything, false));
    }

    #[test]
    fn names_and_other_tracks_are_no_part_of_a_key_and_other_streams_are(plan in plans()) {
        let plan = plan.ladder;
        let before = keys(&plan);
        let mut named = plan.clone();
        named.video.iter_mut().for_each(|rung| rung.name.push_str("-2"));
        named.audio.iter_mut().for_each(|rung| rung.name.push_str("-2"));
        prop_assert_eq!(&keys(&named), &before);
        // Different rungs never share one.
        let mut different = before.tracks.clone();
        different.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        different.dedup();
        prop_assert_eq!(different.len(), before.tracks.len());

        let mut fewer = plan.clone();
        fewer.video.pop();
        let kept = fewer.video.len();
        if kept > 0 {
            // Another rung of the same pictures less.
            let after = keys(&fewer);
            prop_assert_eq!(&after.tracks[..kept], &before.tracks[..kept]);
            prop_assert_eq!(&after.tracks[kept..], &before.tracks[kept + 1..]);
        } else if !plan.video.is_empty() {
            // No pictures any more: the sound may begin elsewhere.
            prop_assert!(keys(&fewer).tracks.iter().all(|key| !before.tracks.contains(key)));
        }
        let mut quieter = plan.clone();
        if quieter.audio.pop().is_some() {
            prop_assert!(keys(&quieter).tracks.iter().all(|key| !before.tracks.contains(key)));
        }
    }

    #[test]
    fn what_is_there_and_the_rest_are_the_whole(
        plan in plans(),
        there in prop::collection::vec(any::<bool>(), 8),
        has_sheets in any::<bool>(),
    ) {
        let wanted = names(&plan.ladder);
        let mut taken = Taken::nothing(&plan);
        prop_assert!(taken.is_nothing() && taken.rest(&plan) == plan);
        for ((slot, name), there) in taken.tracks.iter_mut().zip(&wanted).zip(&there) {
            *slot = there.then(|| track(name));
        }
        taken.thumbnails = (has_sheets && plan.ladder.thumbnails.is_some()).then(sheets);
        let agreed = Agreed { origin_ns: -1, zero_ns: 2, grid_ns: 3 };
        taken.agreed = taken.tracks.iter().any(Option::is_some).then_some(agreed);
        let before = taken.tracks.iter().flatten().count();
        let taken = taken.with_pictures_for_thumbnails(&plan.ladder);
        prop_assert!(taken.tracks.iter().flatten().count() + 1 >= before);

        let rest = taken.rest(&plan);
        let left = names(&rest.ladder);
        prop_assert_eq!(rest.stages.len(), left.len());
        let all_stand = rest.stages.iter().zip(&left).all(|(stage, name)| *stage == format!("stage-of-{name}"));
        prop_assert!(all_stand);
        prop_assert!(rest.ladder.thumbnails.is_none() || !rest.ladder.video.is_empty(), "sheets need pictures");
        prop_assert_eq!(rest.ladder.thumbnails.is_some(), plan.ladder.thumbnails.is_some() && taken.thumbnails.is_none());
        prop_assert_eq!(rest.ladder.agreed, taken.agreed);

        let thumbnails = rest.ladder.thumbnails.as_ref().map(|_| sheets());
        let made = Made { tracks: left.iter().map(|name| track(name)).collect(), thumbnails, conditioning: None };
        let whole = taken.with(made);
        prop_assert_eq!(whole.tracks.iter().map(|track| track.name.clone()).collect::<Vec<_>>(), wanted.clone());
        prop_assert_eq!(whole.thumbnails.is_some(), plan.ladder.thumbnails.is_some());
        let again = plan.stages.iter().flat_map(|stage| taken.of_stage(&plan, stage));
        let again: Vec<String> = again.chain(left).collect();
        prop_assert!(again.len() == wanted.len() && wanted.iter().all(|name| again.contains(name)));
    }
}
