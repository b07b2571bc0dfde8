//! What a transport stream holds, in the words that all live doors use ([`crate::live::packager::Input`]). Pure.

use flame_api::media::TrackKind;
use flame_cmaf::ts::reader::{Kind, TsEvent};

use crate::live::packager::{Hints, Input};

/// What it means; `None` where it means nothing for a track.
#[must_use]
pub fn read(event: TsEvent) -> Option<Input> {
    let kind_of = |kind| match kind {
        Kind::Picture => TrackKind::Video,
        Kind::Sound => TrackKind::Audio,
    };
    match event {
        TsEvent::Program { has_pictures, has_sound } => {
            let hints = Hints { has_video: Some(has_pictures), has_audio: Some(has_sound), ..Hints::default() };
            Some(Input::Hints(hints))
        }
        TsEvent::Skipped { .. } => None,
        TsEvent::Configuration(kind, record) => Some(Input::Configuration(kind_of(kind), record)),
        TsEvent::Media { kind, time_ticks, composition_ticks, data } => {
            Some(Input::Media { kind: kind_of(kind), time: time_ticks, composition: composition_ticks, data })
        }
    }
}
